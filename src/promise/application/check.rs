//! What may be wrong with the parts of a component where it runs.

use super::merge::MAIN_PORT;
use super::place::{At, PlacedPort, Site, address_port, port_of};
use super::request::{Component, ComponentType, Probe, Protocol, Secret, Security, Variable};
use super::schedule::{check_schedule, check_time_zone};
use crate::api::Choice;
use crate::document::Node;
use crate::names::{ComponentName, PortName};
use crate::promise::environment::request::PodSecurity;
use crate::scalars::IntOrPercent;
use crate::text::quote;
use crate::violation::Refusal;
use std::collections::BTreeSet;

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

pub(super) fn check_type(r#type: ComponentType, merged: &Node, at: At<'_>) {
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

/// A new version takes over with more Pods, or with fewer: the API server refuses neither.
pub(super) fn check_update(component: &Component, at: At<'_>) {
    let is_none = |of: IntOrPercent| matches!(of, IntOrPercent::Number(0) | IntOrPercent::Percent(0));
    let Some(update) = &component.update else { return };
    if update.max_surge.is_some_and(is_none) && update.max_unavailable.is_none_or(is_none) {
        let refusal = Refusal::new("range", "leaves no way for a new version: no Pod more, and none missing");
        at("update.maxSurge", refusal.help("allow one more, or add `maxUnavailable: 1`"));
    }
}

pub(super) fn check_probe(name: &str, probe: &Probe, ports: &[PlacedPort], at: At<'_>) {
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

/// Whether a variable's name says that it is secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words = ["PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "CREDENTIAL", "APIKEY", "PRIVATE_KEY"];
    words.iter().any(|word| name.contains(word)) || name == "KEY" || name.ends_with("_KEY")
}

pub(super) fn check_variables(
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

pub(super) fn check_files(component: &Component, at: At<'_>) {
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

pub(super) fn check_security(security: &Security, site: &Site<'_>, at: At<'_>) {
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
        let message =
            format!("asks for {what}, which Pod Security `{}` of {} forbids", standard.as_str(), quote(site.name));
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
