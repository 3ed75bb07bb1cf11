//! A component where it runs: what comes of merging, with nothing left open, and every fault that only shows there.

use super::merge::{MAIN_PORT, path_of};
use super::request::{
    Autoscaling, Component, ComponentType, Container, Probe, Protocol, Secret, Security, Variable, Visibility,
};
use super::schedule::{check_schedule, check_time_zone};
use crate::api::{Api, Choice};
use crate::document::Node;
use crate::names::{ComponentName, HostName, ImageDigest, ImageName, ImageVersion, PortName, UrlPath};
use crate::promise::environment::request::{EnvironmentSpec, PodSecurity};
use crate::quantity::{Bytes, Cpu};
use crate::scalars::IntOrPercent;
use crate::text::{Span, quote};
use crate::violation::{Refusal, Violation};
use std::collections::{BTreeMap, BTreeSet};

/// As many faults as are looked for.
const MAX_FAULTS: usize = 500;

/// As Kubernetes has it, where nothing is said.
const GRACE: i64 = 30;

/// What [Pod Security](https://kubernetes.io/docs/concepts/security/pod-security-standards/) lets a container have beside
/// nothing.
const BASELINE: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const RESTRICTED: [&str; 1] = ["NET_BIND_SERVICE"];

/// The fields that only a cron has, and those that it has not.
const OF_CRON: [&str; 9] = [
    "schedule",
    "timeZone",
    "concurrencyPolicy",
    "suspend",
    "startingDeadlineSeconds",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "history",
];
const NOT_OF_CRON: [&str; 13] = [
    "ports",
    "healthCheck",
    "liveness",
    "readiness",
    "startup",
    "replicas",
    "autoscaling",
    "update",
    "disruption",
    "spread",
    "metrics",
    "preStopSeconds",
    // It would never end.
    "sidecars",
];

/// Notes what is wrong in an instance, at the places that it comes from.
pub struct Check<'a> {
    /// The spec, which has the places.
    pub spec: &'a Node,
    /// What is wrong, each thing once, however many instances show it.
    pub faults: Vec<Violation>,
}

impl Check<'_> {
    /// Notes a fault of what stands at a place of the spec, or would stand `below` it.
    pub fn fault(&mut self, span: Span, below: &str, refusal: Refusal) {
        // Nobody reads more, and each is compared with all others.
        if self.faults.len() >= MAX_FAULTS {
            return;
        }
        let path = path_of(self.spec, "spec", span).unwrap_or_else(|| "spec".to_owned()) + below;
        let fault = refusal.at(path, Some(span));
        if !self.faults.iter().any(|other| explains(other, &fault)) {
            self.faults.push(fault);
        }
    }

    /// The same, at a path in a component that was merged: where that is not there, at what it would be in.
    fn at(&mut self, component: &Node, path: &str, refusal: Refusal) {
        let mut known = path;
        let node = loop {
            match component.at(known) {
                Some(node) => break node,
                None => known = known.rfind('.').map_or("", |end| &known[..end]),
            }
        };
        let below = path[known.len()..].trim_start_matches('.');
        let below = if below.is_empty() { String::new() } else { format!(".{below}") };
        self.fault(node.span, &below, refusal);
    }
}

/// Whether a fault is told already: it is the same, or is of what has a part that is wrong by itself.
fn explains(told: &Violation, fault: &Violation) -> bool {
    let below = told.path.strip_prefix(&fault.path).filter(|rest| rest.starts_with(['.', '[']) || rest.is_empty());
    match below {
        Some("") => told.rule != fault.rule || told.message == fault.message,
        below => below.is_some() && fault.rule != "quota",
    }
}

/// What is the same for all components of an instance.
pub struct Site<'a> {
    /// The Environment's name.
    pub name: &'a str,
    /// The Environment.
    pub environment: &'a EnvironmentSpec,
    /// The image of components that have none of their own.
    pub image: Image<'a>,
    /// Whether that is wrong, which is told there.
    pub has_wrong_image: bool,
    /// Where the instance is.
    pub span: Span,
    /// Every component here, with its ports.
    pub ports: BTreeMap<&'a str, BTreeMap<&'a str, (i64, Protocol)>>,
}

/// An image as it is named.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    /// Registry and repository.
    pub name: Option<&'a ImageName>,
    /// The tag.
    pub version: Option<&'a ImageVersion>,
    /// The digest.
    pub digest: Option<&'a ImageDigest>,
}

impl Image<'_> {
    /// As a container names it; nothing where something is missing.
    fn whole(self) -> Option<String> {
        let (name, Self { version, digest, .. }) = (self.name?, self);
        let version_text = version.map(|version| format!(":{version}")).unwrap_or_default();
        let digest_text = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        (version.is_some() || digest.is_some()).then(|| format!("{name}{version_text}{digest_text}"))
    }
}

/// A component with nothing left open.
pub struct Placed {
    /// What was merged.
    pub component: Component,
    /// What it is.
    pub r#type: ComponentType,
    /// Its image.
    pub image: String,
    /// Where it listens.
    pub ports: Vec<PlacedPort>,
    /// Its containers beside its own: those that end first, and those that run beside it, with their images.
    pub others: [Vec<(Container, String)>; 2],
    /// The least Pods.
    pub least: i64,
    /// The most Pods.
    pub most: i64,
    /// Whether a budget holds for its disruption.
    pub has_budget: bool,
    /// What its own container gets.
    pub resources: Resources,
}

/// What a container requests, and the most that it may use.
#[derive(Clone)]
pub struct Resources {
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Bytes,
    /// The most processors.
    pub cpu_limit: Option<Cpu>,
    /// The most memory.
    pub memory_limit: Bytes,
}

/// A port with nothing left open but its host, which a cluster's domain may give.
pub struct PlacedPort {
    /// Its name.
    pub name: PortName,
    /// Its number.
    pub port: i64,
    /// The number that the container listens at.
    pub target: i64,
    /// What is spoken.
    pub protocol: Protocol,
    /// Who reaches it.
    pub visibility: Visibility,
    /// The host.
    pub host: Option<HostName>,
    /// The path.
    pub path: Option<UrlPath>,
    /// Where it stands, and what names it.
    pub span: Span,
}

impl PlacedPort {
    /// What it is in layer 4.
    pub const fn transport(&self) -> &'static str {
        match self.protocol {
            Protocol::Udp => "UDP",
            _ => "TCP",
        }
    }
}

/// Reads what was merged, as far as it is right: what stands in it was read before, where it stands. What merging made wrong,
/// as a list that is too long then, is noted.
pub fn read(merged: &Node, check: &mut Check<'_>) -> Option<Component> {
    let mut faults = Vec::new();
    let component = Component::read(merged, "", &mut faults);
    for fault in &faults {
        let refusal = Refusal { help: fault.help.clone(), ..Refusal::new(fault.rule, fault.message.clone()) };
        check.fault(fault.span.unwrap_or(merged.span), "", refusal);
    }
    component
}

/// The ports of a component that was merged.
pub fn ports_of(component: &Component) -> BTreeMap<&str, (i64, Protocol)> {
    let ports = component.ports.iter().flatten();
    let number = |port: &super::request::PortSpec| port.port.map_or(0, |port| port.get());
    ports.map(|port| (port.name.as_str(), (number(port), port.protocol.unwrap_or(Protocol::Http)))).collect()
}

/// Says what is wrong with a component in an instance, or gives it with nothing left open.
pub fn place(component: Component, merged: &Node, site: &Site<'_>, check: &mut Check<'_>) -> Option<Placed> {
    let begin = check.faults.len();
    let mut at = |path: &str, refusal: Refusal| check.at(merged, path, refusal);
    let Some(r#type) = component.r#type else {
        at("type", Refusal::new("required", "is missing").help("say what it is: `webapp`, `worker` or `cron`"));
        return None;
    };
    check_type(r#type, merged, &mut at);
    if component.name.as_str() == "default" {
        let refusal = Refusal::new("reserved", "`default` is the account of all Pods of the namespace");
        at("name", refusal.help("use another name"));
    }
    check_update(&component, &mut at);
    let own = Image {
        name: component.image.as_ref().or(site.image.name),
        version: component.version.as_ref().or(site.image.version.filter(|_| component.image.is_none())),
        digest: component
            .digest
            .as_ref()
            .or(site.image.digest.filter(|_| component.image.is_none() && component.version.is_none())),
    };
    let image = own.whole();
    let missing = if own.name.is_none() { "image" } else { "version" };
    let is_own = component.image.is_some();
    if image.is_none() && is_own {
        at(missing, Refusal::new("required", "is missing").help("add `version:`, or `digest:`"));
    }
    let is_missing_above = image.is_none() && !is_own && !site.has_wrong_image;
    let ports = place_ports(&component, merged, &mut at);
    if r#type == ComponentType::Webapp && component.ports.iter().flatten().next().is_none() {
        at(
            "port",
            Refusal::new("required", "is missing").help("name the port that it listens at, or make it a `worker`"),
        );
    }
    for (name, probe) in [
        ("healthCheck", &component.health_check),
        ("liveness", &component.liveness),
        ("readiness", &component.readiness),
        ("startup", &component.startup),
    ] {
        if let Some(probe) = probe {
            check_probe(name, probe, &ports, &mut at);
        }
    }
    let (least, most) = check_replicas(&component, r#type, site, &mut at);
    let has_budget = check_disruption(&component, r#type, least, &mut at);
    let resources = resources_of(&component, site, &mut at);
    let names = component.name.as_str();
    check_variables("", component.env.as_deref(), component.secrets.as_deref(), names, site, &mut at);
    check_files(&component, &mut at);
    let others = place_others(&component, own, site, &mut at);
    if let Some(security) = &component.security {
        check_security(security, site, &mut at);
    }
    let grace = component.termination_grace_period_seconds.map_or(GRACE, |grace| grace.get());
    if component.pre_stop_seconds.is_some_and(|pause| pause.get() >= grace) {
        let refusal = Refusal::new("range", format!("leaves no time of the {grace} s that it has to end"));
        at("preStopSeconds", refusal.help("make it less than `terminationGracePeriodSeconds`"));
    }
    if component.metrics.as_ref().is_some_and(|metrics| metrics.port.is_none()) {
        at("metrics.port", Refusal::new("required", "is missing").help("add `port:`"));
    }
    if is_missing_above {
        let refusal = Refusal::new("required", "is missing, and not every component names its own");
        check.fault(site.span, &format!(".{missing}"), refusal.help(format!("add `{missing}:`")));
    }
    let image = image.filter(|_| check.faults.len() == begin)?;
    Some(Placed { r#type, image, ports, others, least, most, has_budget, resources, component })
}

/// Notes a fault at a path of the component.
type At<'f> = &'f mut dyn FnMut(&str, Refusal);

fn check_type(r#type: ComponentType, merged: &Node, at: At<'_>) {
    let has = |name: &&str| merged.get(name).is_some_and(|node| !node.is_null());
    let (refused, what): (&[&str], _) = match r#type {
        ComponentType::Cron => (&NOT_OF_CRON, "no field of a cron".to_owned()),
        other => (&OF_CRON, format!("a field of a cron, and this is a {}", other.as_str())),
    };
    for name in refused.iter().copied().filter(has) {
        let refusal = Refusal::new("unknown-field", format!("is {what}"));
        at(name, refusal.help("leave it out, or change `type`"));
    }
    if r#type != ComponentType::Cron {
        return;
    }
    match merged.get("schedule").and_then(Node::as_str) {
        None => at("schedule", Refusal::new("required", "is missing").help("say when it runs, as in `0 6 * * *`")),
        Some(schedule) => {
            if let Err(refusal) = check_schedule(schedule) {
                at("schedule", refusal);
            }
        }
    }
    if let Some(Err(refusal)) = merged.get("timeZone").and_then(Node::as_str).map(check_time_zone) {
        at("timeZone", refusal);
    }
}

fn place_ports(component: &Component, merged: &Node, at: At<'_>) -> Vec<PlacedPort> {
    let mut placed = Vec::new();
    let mut seen = BTreeMap::new();
    for (n, spec) in component.ports.iter().flatten().enumerate() {
        let path = |field: &str| format!("ports[{n}].{field}");
        let Some(port) = spec.port else {
            at(&path("port"), Refusal::new("required", "is missing").help("add the port's number"));
            continue;
        };
        let protocol = spec.protocol.unwrap_or(Protocol::Http);
        let visibility = spec.visibility.unwrap_or(Visibility::Cluster);
        let target = spec.target_port.unwrap_or(port).get();
        let transport = if protocol == Protocol::Udp { "UDP" } else { "TCP" };
        for (what, field, number) in [("port", "port", port.get()), ("target", "targetPort", target)] {
            if let Some(other) = seen.insert((what, transport, number), spec.name.as_str()) {
                let field = if spec.target_port.is_none() { "port" } else { field };
                let refusal = Refusal::new("duplicate", format!("{number} is that of the port {} too", quote(other)));
                at(&path(field), refusal.help("give each port a number of its own"));
                break;
            }
        }
        let is_routed = visibility > Visibility::Cluster;
        let has_host = matches!(protocol, Protocol::Http | Protocol::Grpc);
        if spec.host.is_some() && !(is_routed && has_host) {
            let why = if has_host { "only who is in the cluster reaches the port" } else { "tcp and udp know no host" };
            at(&path("host"), Refusal::new("host", format!("is of no use: {why}")).help("leave it out"));
        }
        if spec.path.is_some() && !(is_routed && protocol == Protocol::Http) {
            let why = if is_routed { "only http knows paths" } else { "only who is in the cluster reaches the port" };
            at(&path("path"), Refusal::new("path", format!("is of no use: {why}")).help("leave it out"));
        }
        let span = [path("host"), path("port")].iter().find_map(|path| merged.at(path)).unwrap_or(merged).span;
        placed.push(PlacedPort {
            name: spec.name.clone(),
            port: port.get(),
            target,
            protocol,
            visibility,
            host: spec.host.clone(),
            path: spec.path.clone(),
            span,
        });
    }
    placed
}

/// The port that a probe is for.
pub fn port_of<'p>(name: Option<&PortName>, ports: &'p [PlacedPort]) -> Option<&'p PlacedPort> {
    match (name, ports) {
        (Some(name), _) => ports.iter().find(|port| port.name == *name),
        (None, [only]) => Some(only),
        (None, _) => ports.iter().find(|port| port.name.as_str() == MAIN_PORT),
    }
}

fn check_probe(name: &str, probe: &Probe, ports: &[PlacedPort], at: At<'_>) {
    let Probe { http, tcp, grpc, exec, .. } = probe;
    let kinds = [
        ("http", http.as_ref().map(|http| http.port.as_ref())),
        ("tcp", tcp.as_ref().map(|tcp| tcp.port.as_ref())),
        ("grpc", grpc.as_ref().map(|grpc| grpc.port.as_ref())),
    ];
    let count = kinds.iter().filter(|(_, kind)| kind.is_some()).count() + usize::from(exec.is_some());
    if count != 1 {
        let refusal = Refusal::new("alternative", format!("has {count} of `http`, `tcp`, `grpc` and `exec`"));
        at(name, refusal.help("say one of them"));
    }
    if exec.as_ref().is_some_and(|exec| exec.command.is_empty()) {
        at(&format!("{name}.exec.command"), Refusal::new("required", "is empty").help("write what is to be run"));
    }
    for (kind, port) in kinds {
        let Some(port) = port else { continue };
        let path = format!("{name}.{kind}.port");
        match port_of(port, ports) {
            None => {
                let known: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
                let what =
                    port.map_or("is missing".to_owned(), |port| format!("{} is no port of it", quote(port.as_str())));
                let help = match known.is_empty() {
                    true => "it has no ports: add one".to_owned(),
                    false => format!("its ports are {}", known.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ")),
                };
                at(
                    &path,
                    Refusal::new("unknown-port", what).help(help).suggest(port.map_or("", |p| p.as_str()), known),
                );
            }
            Some(port) if port.protocol == Protocol::Udp => {
                at(&path, Refusal::new("unknown-port", "is a port of UDP, which cannot be asked").help("name another"));
            }
            Some(_) => {}
        }
    }
}

/// The least and the most Pods.
fn check_replicas(component: &Component, r#type: ComponentType, site: &Site<'_>, at: At<'_>) -> (i64, i64) {
    if r#type == ComponentType::Cron {
        return (1, 1);
    }
    let allowed = site.environment.settings.max_replicas();
    let within = |path: &str, count: i64, at: At<'_>| {
        if let Some(allowed) = allowed.filter(|allowed| count > *allowed) {
            let refusal =
                Refusal::new("max-replicas", format!("is {count}, and {} allows {allowed}", quote(site.name)));
            at(path, refusal.help("use less there, by an entry of its own under `instances`"));
        }
    };
    let Some(Autoscaling { min, max, .. }) = &component.autoscaling else {
        let replicas = component.replicas.map_or(1, |replicas| replicas.get());
        within("replicas", replicas, at);
        return (replicas, replicas);
    };
    if component.replicas.is_some() {
        let refusal = Refusal::new("alternative", "says how many Pods there are, as `autoscaling` does");
        at("replicas", refusal.help("say one of the two"));
    }
    let least = min.map_or(1, |min| min.get());
    let Some(most) = max.map(|max| max.get()) else {
        at("autoscaling.max", Refusal::new("required", "is missing").help("add the most Pods"));
        return (least, least);
    };
    if least > most {
        let refusal = Refusal::new("range", format!("is {least}, more than the {most} of `max`"));
        at("autoscaling.min", refusal.help("make it at most `max`"));
    }
    within("autoscaling.max", most, at);
    (least, most)
}

/// A new version takes over with more Pods, or with fewer: the API server refuses neither.
fn check_update(component: &Component, at: At<'_>) {
    let is_none = |of: IntOrPercent| matches!(of, IntOrPercent::Number(0) | IntOrPercent::Percent(0));
    let Some(update) = &component.update else { return };
    if update.max_surge.is_some_and(is_none) && update.max_unavailable.is_none_or(is_none) {
        let refusal = Refusal::new("range", "leaves no way for a new version: no Pod more, and none missing");
        at("update.maxSurge", refusal.help("allow one more, or add `maxUnavailable: 1`"));
    }
}

/// Whether there is a budget: from two Pods on, of which one can be spared.
fn check_disruption(component: &Component, r#type: ComponentType, least: i64, at: At<'_>) -> bool {
    let Some(disruption) = &component.disruption else { return r#type != ComponentType::Cron && least >= 2 };
    let refuse = |why: &str| Refusal::new("disruption", format!("lets no node be emptied: {why}"));
    match (disruption.max_unavailable, disruption.min_available) {
        (Some(_), Some(_)) => {
            let refusal = Refusal::new("alternative", "says both `maxUnavailable` and `minAvailable`");
            at("disruption", refusal.help("say one of the two"));
        }
        (Some(most), None) if least > 0 && most.of(least, true) == 0 => {
            at("disruption.maxUnavailable", refuse("no Pod may be missing").help("allow one"));
        }
        (None, Some(there)) if least > 0 && there.of(least, true) >= least => {
            let why = format!("of {least} Pods {} have to be there", there.of(least, true));
            at("disruption.minAvailable", refuse(&why).help("ask for fewer, or have more Pods"));
        }
        _ => {}
    }
    true
}

/// The processors that a container requests that does not say.
pub fn default_cpu(environment: &EnvironmentSpec) -> Cpu {
    environment.defaults.cpu.clone().unwrap_or_else(|| Cpu::parse_text("100m").expect("a constant"))
}

/// The memory that a container requests that does not say.
pub fn default_memory(environment: &EnvironmentSpec) -> Bytes {
    environment.defaults.memory.clone().unwrap_or_else(|| Bytes::parse_text("128Mi").expect("a constant"))
}

fn resources_of(component: &Component, site: &Site<'_>, at: At<'_>) -> Resources {
    let (limit_cpu, limit_memory) =
        component.limits.as_ref().map_or((None, None), |limits| (limits.cpu.clone(), limits.memory.clone()));
    let cpu = component.cpu.clone().unwrap_or_else(|| default_cpu(site.environment));
    let memory = component.memory.clone().unwrap_or_else(|| default_memory(site.environment));
    let over = |path: &str, at: At<'_>| {
        at(path, Refusal::new("limit", "is less than what is requested").help("raise it, or request less"));
    };
    if limit_cpu.as_ref().is_some_and(|limit| limit.value() < cpu.value()) {
        over("limits.cpu", at);
    }
    if limit_memory.as_ref().is_some_and(|limit| limit.value() < memory.value()) {
        over("limits.memory", at);
    }
    Resources { cpu_limit: limit_cpu, memory_limit: limit_memory.unwrap_or_else(|| memory.clone()), cpu, memory }
}

/// Whether a variable's name says that it is secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words = ["PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "CREDENTIAL", "APIKEY", "PRIVATE_KEY"];
    words.iter().any(|word| name.contains(word)) || name == "KEY" || name.ends_with("_KEY")
}

fn check_variables(
    base: &str,
    env: Option<&[Variable]>,
    secrets: Option<&[Secret]>,
    own: &str,
    site: &Site<'_>,
    at: At<'_>,
) {
    let mut names = BTreeSet::new();
    for (n, variable) in env.into_iter().flatten().enumerate() {
        let path = format!("{base}env[{n}]");
        names.insert(variable.name.as_str());
        if variable.remove == Some(true) {
            at(&path, nothing_to_remove());
            continue;
        }
        match (&variable.value, &variable.component) {
            (Some(_), None) => {
                if variable.port.is_some() {
                    let refusal = Refusal::new("alternative", "is the port of a component, and there is a `value`");
                    at(&format!("{path}.port"), refusal.help("leave it out"));
                }
                if is_secret(variable.name.as_str()) && variable.allow_plain != Some(true) {
                    let message = format!(
                        "{} says that it is secret, and this could be read by many",
                        quote(variable.name.as_str())
                    );
                    at(
                        &format!("{path}.value"),
                        Refusal::new("plain-secret", message).help(
                            "name a Secret or an external one under `secrets`; if it is none, add `allowPlain: true`",
                        ),
                    );
                }
            }
            (None, Some(component)) => check_address(&path, component, variable.port.as_ref(), own, site, at),
            (value, _) => {
                let what = if value.is_some() { "both" } else { "none" };
                let refusal = Refusal::new("alternative", format!("has {what} of `value` and `component`"));
                at(&path, refusal.help("say one of the two"));
            }
        }
    }
    for (n, secret) in secrets.into_iter().flatten().enumerate() {
        let path = format!("{base}secrets[{n}]");
        if secret.remove == Some(true) {
            at(&path, nothing_to_remove());
            continue;
        }
        if !names.insert(secret.name.as_str()) {
            let refusal =
                Refusal::new("duplicate", format!("{} is a variable of `env` too", quote(secret.name.as_str())));
            at(&format!("{path}.name"), refusal.help("keep one of the two"));
        }
        match (&secret.secret, &secret.external) {
            (Some(_), None) => {}
            (None, Some(external)) => {
                if external.store.is_none() && site.environment.defaults.secret_store.is_none() {
                    let message = format!("comes from no store: {} names none", quote(site.name));
                    at(
                        &format!("{path}.external.store"),
                        Refusal::new("required", message)
                            .help("add `store: {kind, name}`, or have `defaults.secretStore` added to the Environment"),
                    );
                }
            }
            (secret, _) => {
                let what = if secret.is_some() { "both" } else { "none" };
                let refusal = Refusal::new("alternative", format!("has {what} of `secret` and `external`"));
                at(&path, refusal.help("say one of the two"));
            }
        }
    }
}

/// Refuses to take out of a list that is not merged, but replaced.
fn nothing_to_remove() -> Refusal {
    Refusal::new("unknown", "is to be taken out of what is there as it stands").help("leave the whole entry out")
}

/// The address of another component has to be there.
fn check_address(
    path: &str,
    component: &ComponentName,
    port: Option<&PortName>,
    own: &str,
    site: &Site<'_>,
    at: At<'_>,
) {
    let Some(ports) = site.ports.get(component.as_str()) else {
        let names = || site.ports.keys().copied().filter(|name| *name != own);
        let known: Vec<_> = names().take(10).map(quote).collect();
        let help = match known.is_empty() {
            true => "there is no other component".to_owned(),
            false => format!("the others are {}", known.join(", ")),
        };
        let message = format!("{} is no component", quote(component.as_str()));
        at(
            &format!("{path}.component"),
            Refusal::new("unknown-component", message).help(help).suggest(component.as_str(), names()),
        );
        return;
    };
    if address_port(port.map(PortName::as_str), ports).is_none() {
        let name = port.map_or(MAIN_PORT, |port| port.as_str());
        let known: Vec<_> = ports.keys().map(|name| quote(name)).collect();
        let help = match known.is_empty() {
            true => format!("it has no ports: add `port:` to {}", quote(component.as_str())),
            false => format!("its ports are {}", known.join(", ")),
        };
        let message = format!("{} is no port of {}", quote(name), quote(component.as_str()));
        at(
            &format!("{path}.port"),
            Refusal::new("unknown-port", message).help(help).suggest(name, ports.keys().copied()),
        );
    }
}

/// The port by which a component is reached: the one that is named, else `main`, else its only one.
pub fn address_port(name: Option<&str>, ports: &BTreeMap<&str, (i64, Protocol)>) -> Option<(i64, Protocol)> {
    match (name, ports.len()) {
        (Some(name), _) => ports.get(name).copied(),
        (None, 1) => ports.values().next().copied(),
        (None, _) => ports.get(MAIN_PORT).copied(),
    }
}

fn check_files(component: &Component, at: At<'_>) {
    let mut places = BTreeSet::new();
    for (n, file) in component.files.iter().flatten().enumerate() {
        places.insert(file.path.as_str());
        if file.content.is_none() {
            at(&format!("files[{n}].content"), Refusal::new("required", "is missing").help("add what it holds"));
        }
    }
    let size: usize =
        component.files.iter().flatten().filter_map(|f| f.content.as_ref()).map(|c| c.as_str().len()).sum();
    if size > 900 << 10 {
        let refusal = Refusal::new("length", format!("hold {} KiB together", size >> 10));
        at("files", refusal.help("use at most 900: more is for a volume, or the image"));
    }
    for (n, volume) in component.volumes.iter().flatten().enumerate() {
        let path = format!("volumes[{n}]");
        let kinds =
            [volume.empty_dir.is_some(), volume.claim.is_some(), volume.config_map.is_some(), volume.secret.is_some()];
        let count = kinds.iter().filter(|is_there| **is_there).count();
        if count != 1 {
            let refusal =
                Refusal::new("alternative", format!("has {count} of `emptyDir`, `claim`, `configMap` and `secret`"));
            at(&path, refusal.help("say one of them"));
        }
        match &volume.mount_path {
            None => at(&format!("{path}.mountPath"), Refusal::new("required", "is missing").help("say where it is")),
            Some(place) if !places.insert(place.as_str()) => {
                let refusal = Refusal::new("duplicate", format!("{} is that of another too", quote(place.as_str())));
                at(&format!("{path}.mountPath"), refusal.help("give each a place of its own"));
            }
            Some(_) => {}
        }
    }
}

/// The containers beside a component's own, with their images.
fn place_others(component: &Component, own: Image<'_>, site: &Site<'_>, at: At<'_>) -> [Vec<(Container, String)>; 2] {
    let mut names = BTreeSet::from([component.name.as_str().to_owned()]);
    let mut place = |list: &'static str, containers: Option<&Vec<Container>>| {
        let mut placed = Vec::new();
        for (n, container) in containers.into_iter().flatten().enumerate() {
            let path = format!("{list}[{n}]");
            if !names.insert(container.name.to_string()) {
                let message = format!("{} is that of another container too", quote(container.name.as_str()));
                at(&format!("{path}.name"), Refusal::new("duplicate", message).help("give each a name of its own"));
            }
            let image = match &container.image {
                Some(name) => {
                    Image { name: Some(name), version: container.version.as_ref(), digest: container.digest.as_ref() }
                }
                // Of the component's own image, another version.
                None if container.version.is_some() || container.digest.is_some() => {
                    Image { name: own.name, version: container.version.as_ref(), digest: container.digest.as_ref() }
                }
                None => own,
            };
            match image.whole() {
                Some(image) => placed.push((n, image)),
                None if container.image.is_none() => {}
                None => at(
                    &format!("{path}.version"),
                    Refusal::new("required", "is missing").help("add `version:`, or `digest:`"),
                ),
            }
            let own = component.name.as_str();
            check_variables(&format!("{path}."), container.env.as_deref(), container.secrets.as_deref(), own, site, at);
        }
        placed
    };
    let first = place("initContainers", component.init_containers.as_ref());
    let beside = place("sidecars", component.sidecars.as_ref());
    let with = |containers: &Option<Vec<Container>>, placed: Vec<(usize, String)>| {
        let all = containers.as_deref().unwrap_or_default();
        placed.into_iter().map(|(n, image)| (all[n].clone(), image)).collect()
    };
    [with(&component.init_containers, first), with(&component.sidecars, beside)]
}

fn check_security(security: &Security, site: &Site<'_>, at: At<'_>) {
    let standard = site.environment.pod_security;
    let as_root = security.run_as_root == Some(true);
    if security.run_as_user.is_some_and(|user| user.get() == 0) && !as_root {
        let refusal = Refusal::new("root", "is root, and `runAsRoot` is not said");
        at(
            "security.runAsUser",
            refusal.help("name another user, or say `runAsRoot: true` where the Environment lets it"),
        );
    }
    let forbids = |what: String| {
        let message = format!("Pod Security `{}` of {} forbids {what}", standard.as_str(), quote(site.name));
        Refusal::new("pod-security", message).help("leave it out there")
    };
    if as_root && standard == PodSecurity::Restricted {
        at("security.runAsRoot", forbids("root".to_owned()));
    }
    let allowed: &[&str] = if standard == PodSecurity::Restricted { &RESTRICTED } else { &BASELINE };
    for (n, capability) in security.capabilities.iter().flatten().enumerate() {
        if !allowed.contains(&capability.as_str()) {
            at(
                &format!("security.capabilities[{n}]"),
                forbids(format!("the capability {}", quote(capability.as_str()))),
            );
        }
    }
}

impl Placed {
    /// What all its Pods may take of a quota at their most, while a new version takes over: processors and memory in billionths,
    /// and how many Pods.
    pub fn most_requested(&self, environment: &EnvironmentSpec) -> (u128, u128, u128) {
        let surge = match self.r#type {
            ComponentType::Cron => 0,
            _ => self
                .component
                .update
                .as_ref()
                .and_then(|update| update.max_surge)
                .unwrap_or(IntOrPercent::Percent(25))
                .of(self.most, true),
        };
        let pods = u128::try_from(self.most + surge).unwrap_or_default();
        // The quota is for the limits of memory too, which are no less.
        let (mut cpu, mut memory) = (self.resources.cpu.value(), self.resources.memory_limit.value());
        let [first, beside] = &self.others;
        for (container, _) in beside {
            cpu += container.cpu.as_ref().map_or_else(|| default_cpu(environment).value(), Cpu::value);
            memory += container.memory.as_ref().map_or_else(|| default_memory(environment).value(), Bytes::value);
        }
        // What ends before the others begin counts where it asks for more than they do together.
        for (container, _) in first {
            cpu = cpu.max(container.cpu.as_ref().map_or_else(|| default_cpu(environment).value(), Cpu::value));
            memory =
                memory.max(container.memory.as_ref().map_or_else(|| default_memory(environment).value(), Bytes::value));
        }
        (cpu * pods, memory * pods, pods)
    }
}
