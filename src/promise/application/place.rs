//! A component where it runs: what comes of merging, with nothing left open, and every fault that only shows there.

use super::check::{check_files, check_probe, check_security, check_type, check_update, check_variables};
use super::merge::{MAIN_PORT, path_of};
use super::request::{Autoscaling, Component, ComponentType, Container, Protocol, Visibility};
use crate::api::Api;
use crate::document::Node;
use crate::names::{HostName, ImageDigest, ImageName, ImageVersion, PortName, UrlPath};
use crate::promise::environment::request::EnvironmentSpec;
use crate::quantity::{Bytes, Cpu};
use crate::scalars::IntOrPercent;
use crate::text::{Span, quote};
use crate::violation::{Refusal, Violation};
use std::collections::{BTreeMap, BTreeSet};

/// As many faults as are looked for.
const MAX_FAULTS: usize = 500;

/// As Kubernetes has it, where nothing is said.
const GRACE: i64 = 30;

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

    /// Notes what was found in a component that was merged, at the places that it comes from.
    pub fn note(&mut self, faults: Vec<Violation>) {
        for Violation { rule, message, help, suggestion, span, path: _ } in faults {
            self.fault(span.unwrap_or(self.spec.span), "", Refusal { rule, message, help, suggestion });
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
        below => below.is_some(),
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
    check.note(faults);
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
pub(super) type At<'f> = &'f mut dyn FnMut(&str, Refusal);

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

/// The port by which a component is reached: the one that is named, else `main`, else its only one.
pub fn address_port(name: Option<&str>, ports: &BTreeMap<&str, (i64, Protocol)>) -> Option<(i64, Protocol)> {
    match (name, ports.len()) {
        (Some(name), _) => ports.get(name).copied(),
        (None, 1) => ports.values().next().copied(),
        (None, _) => ports.get(MAIN_PORT).copied(),
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
