//! The containers of a component's Pod, and what they find: variables, files, volumes, probes.

use super::place::{Placed, PlacedPort, Resources, Site, address_port, default_cpu, default_memory, port_of};
use super::request::{Container, ExecProbe, HttpProbe, PortProbe, Probe, Protocol, Secret, Variable};
use super::workload::fill_one;
use crate::digest::sha256;
use crate::names::PortName;
use crate::object_template::ObjectTemplateError;
use crate::promise::environment::request::EnvironmentSpec;
use minijinja::value::Serde;
use serde::Serialize;
use serde_json::{Map, Value, json};

const CONTAINER: (&str, &str) = ("container", include_str!("../../../manifests/application/container.yaml.j2"));

/// The volume of the files of a component. No name of a user's holds two hyphens in a row.
const FILES: &str = "goldpath--files";

/// The containers of a Pod, each by the same template.
pub(super) struct OwnContainer<'a> {
    pub placed: &'a Placed,
    pub site: &'a Site<'a>,
    pub mounts: &'a [Value],
    pub security: &'a Value,
}

impl OwnContainer<'_> {
    pub fn main(&self) -> Result<Value, ObjectTemplateError> {
        let (placed, component) = (self.placed, &self.placed.component);
        let Resources { cpu, memory, cpu_limit, memory_limit } = &placed.resources;
        let ports: Vec<_> = placed
            .ports
            .iter()
            .map(|port| json!({"name": port.name, "target": port.target, "transport": port.transport()}))
            .collect();
        let probe = |own: &Option<Probe>, general: Option<&Probe>| {
            own.as_ref().or(general).map(|probe| probe_of(probe, &placed.ports))
        };
        let general = component.health_check.as_ref();
        self.fill(json!({
            "name": component.name,
            "image": placed.image,
            "command": component.command,
            "args": component.args,
            "env": variables(component.env.as_deref(), component.secrets.as_deref(), component.name.as_str(), "", self.site),
            "ports": ports,
            "resources": {"cpu": cpu, "memory": memory, "cpu_limit": cpu_limit, "memory_limit": memory_limit},
            "liveness": probe(&component.liveness, general),
            "readiness": probe(&component.readiness, general),
            "startup": probe(&component.startup, None),
            "pre_stop": component.pre_stop_seconds,
            "mounts": self.mounts,
        }))
    }

    pub fn other(&self, container: &Container, image: &str) -> Result<Value, ObjectTemplateError> {
        let cpu = container.cpu.clone().unwrap_or_else(|| default_cpu(self.site.environment));
        let memory = container.memory.clone().unwrap_or_else(|| default_memory(self.site.environment));
        let prefix = format!("{}.", container.name);
        let own = self.placed.component.name.as_str();
        self.fill(json!({
            "name": container.name,
            "image": image,
            "command": container.command,
            "args": container.args,
            "env": variables(container.env.as_deref(), container.secrets.as_deref(), own, &prefix, self.site),
            "ports": [],
            "resources": {"cpu": cpu, "memory": memory, "cpu_limit": null, "memory_limit": memory},
            "liveness": null,
            "readiness": null,
            "startup": null,
            "pre_stop": null,
            "mounts": self.mounts,
        }))
    }

    fn fill(&self, mut context: Value) -> Result<Value, ObjectTemplateError> {
        context["pull_policy"] = json!(self.placed.component.image_pull_policy);
        context["security"] = self.security.clone();
        fill_one(CONTAINER, &minijinja::Value::from(Serde(context)))
    }
}

/// The variables of a container, as Kubernetes has them.
fn variables(
    env: Option<&[Variable]>,
    secrets: Option<&[Secret]>,
    component: &str,
    prefix: &str,
    site: &Site<'_>,
) -> Vec<Value> {
    let plain = env.into_iter().flatten().map(|variable| match (&variable.value, &variable.component) {
        (None, Some(other)) => {
            let port = variable.port.as_ref().map(|port| port.as_str());
            let found = site.ports.get(other.as_str()).and_then(|ports| address_port(port, ports));
            let value = match found {
                Some((port, Protocol::Http)) => format!("http://{other}:{port}"),
                Some((port, _)) => format!("{other}:{port}"),
                None => other.to_string(),
            };
            json!({"name": variable.name, "value": value})
        }
        (value, _) => {
            json!({"name": variable.name, "value": value.as_ref().map_or("", |value| value.as_str())})
        }
    });
    let secret = secrets.into_iter().flatten().map(|secret| {
        let (name, key) = match &secret.secret {
            Some(of) => (of.name.to_string(), of.key.to_string()),
            None => (external_name(component), format!("{prefix}{}", secret.name)),
        };
        json!({"name": secret.name, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
    });
    plain.chain(secret).collect()
}

/// The name of what External Secrets makes for a component. No name of a user's holds two hyphens in a row.
fn external_name(component: &str) -> String {
    format!("{component}--external")
}

/// What External Secrets is asked for.
#[derive(Serialize)]
pub(super) struct External {
    name: String,
    store: Option<Value>,
    data: Vec<Value>,
}

impl External {
    pub fn of(placed: &Placed, environment: &EnvironmentSpec) -> Option<Self> {
        let component = &placed.component;
        let [first, beside] = &placed.others;
        let own = component.secrets.iter().flatten().map(|secret| (String::new(), secret));
        let others = first.iter().chain(beside).flat_map(|(container, _)| {
            container.secrets.iter().flatten().map(|secret| (format!("{}.", container.name), secret))
        });
        let data: Vec<_> = own
            .chain(others)
            .filter_map(|(prefix, secret)| {
                let external = secret.external.as_ref()?;
                let mut remote = json!({"key": external.key});
                if let Some(property) = &external.property {
                    remote["property"] = json!(property);
                }
                let mut entry = json!({"secretKey": format!("{prefix}{}", secret.name), "remoteRef": remote});
                if let Some(store) = &external.store {
                    entry["sourceRef"] = json!({"storeRef": store});
                }
                Some(entry)
            })
            .collect();
        let store = environment.defaults.secret_store.as_ref().map(|store| json!(store));
        (!data.is_empty()).then(|| Self { name: external_name(component.name.as_str()), store, data })
    }
}

/// The ConfigMap with the files of a component, named by what they hold, so that Pods follow.
pub(super) fn files_of(placed: &Placed) -> Option<Value> {
    let files: Vec<_> = placed.component.files.iter().flatten().collect();
    if files.is_empty() {
        return None;
    }
    let content = |n: usize| files[n].content.as_ref().map_or("", |content| content.as_str());
    let data: Map<_, _> = (0..files.len()).map(|n| (n.to_string(), Value::from(content(n)))).collect();
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    let digest = sha256(json!([paths, data]).to_string().as_bytes());
    Some(json!({"name": format!("{}--files-{}", placed.component.name, &digest[..10]), "data": data}))
}

/// The volumes of a Pod, and where its containers have them.
pub(super) fn volumes_of(placed: &Placed, files: Option<&Value>) -> (Vec<Value>, Vec<Value>) {
    let component = &placed.component;
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    if let Some(files) = files {
        volumes.push(json!({"name": FILES, "configMap": {"name": files["name"]}}));
        for (n, file) in component.files.iter().flatten().enumerate() {
            mounts.push(json!({"name": FILES, "mountPath": file.path, "subPath": n.to_string(), "readOnly": true}));
        }
    }
    for volume in component.volumes.iter().flatten() {
        let mut entry = json!({"name": volume.name});
        if let Some(empty) = &volume.empty_dir {
            entry["emptyDir"] = json!({});
            if let Some(limit) = &empty.size_limit {
                entry["emptyDir"]["sizeLimit"] = json!(limit);
            }
            if let Some(medium) = &empty.medium {
                entry["emptyDir"]["medium"] = json!(medium);
            }
        } else if let Some(claim) = &volume.claim {
            entry["persistentVolumeClaim"] = json!({"claimName": claim});
        } else if let Some(name) = &volume.config_map {
            entry["configMap"] = json!({"name": name});
        } else if let Some(name) = &volume.secret {
            entry["secret"] = json!({"secretName": name});
        }
        volumes.push(entry);
        let mut mount = json!({"name": volume.name, "mountPath": volume.mount_path});
        if volume.read_only == Some(true) {
            mount["readOnly"] = true.into();
        }
        mounts.push(mount);
    }
    (volumes, mounts)
}

/// A probe, as Kubernetes has it.
fn probe_of(probe: &Probe, ports: &[PlacedPort]) -> Value {
    let port = |name: &Option<PortName>| port_of(name.as_ref(), ports);
    let name = |name: &Option<PortName>| port(name).map(|port| port.name.to_string());
    let mut written = match probe {
        Probe { http: Some(HttpProbe { path, port }), .. } => {
            let path = path.as_ref().map_or("/", |path| path.as_str());
            json!({"httpGet": {"path": path, "port": name(port)}})
        }
        Probe { tcp: Some(PortProbe { port }), .. } => json!({"tcpSocket": {"port": name(port)}}),
        // It takes no name.
        Probe { grpc: Some(PortProbe { port: of }), .. } => json!({"grpc": {"port": port(of).map(|port| port.target)}}),
        Probe { exec: Some(ExecProbe { command }), .. } => json!({"exec": {"command": command}}),
        _ => json!({}),
    };
    for (name, value) in [
        ("periodSeconds", probe.period_seconds.map(|n| n.get())),
        ("timeoutSeconds", probe.timeout_seconds.map(|n| n.get())),
        ("failureThreshold", probe.failure_threshold.map(|n| n.get())),
        ("initialDelaySeconds", probe.initial_delay_seconds.map(|n| n.get())),
    ] {
        if let Some(value) = value {
            written[name] = value.into();
        }
    }
    written
}
