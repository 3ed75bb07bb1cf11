//! What an Application becomes: objects for each cluster of each instance, entities, claims, and what its status says.

use super::catalog;
use super::place::{Check, Placed, PlacedPort, Resources, Site, address_port, default_cpu, default_memory, port_of};
use super::request::{
    ApplicationSpec, ComponentType, Container, ExecProbe, HttpProbe, Instance, PortProbe, Probe, Protocol, Secret,
    Variable, Visibility,
};
use crate::api::Choice;
use crate::config::Config;
use crate::digest::sha256;
use crate::document::to_json;
use crate::file_tree::RelativePath;
use crate::known::{Relation, Stop};
use crate::names::ApplicationName;
use crate::object_template::{self, ObjectTemplateError};
use crate::outputs::{Claim, Claims, Outputs, Role};
use crate::promise::environment::request::{Cluster, Egress, EnvironmentSpec, Gateway, RouteVersion};
use crate::promise::team::render::cluster_role;
use crate::promise::team::request::{Role as TeamRole, TeamSpec};
use crate::request::Request;
use crate::scalars::IntOrPercent;
use crate::text::quote;
use crate::violation::Refusal;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const INSTANCE: (&str, &str) = ("instance", include_str!("../../../manifests/application/instance.yaml.j2"));
const CONTAINER: (&str, &str) = ("container", include_str!("../../../manifests/application/container.yaml.j2"));
const POD: (&str, &str) = ("pod", include_str!("../../../manifests/application/pod.yaml.j2"));
const SERVICE: (&str, &str) = ("service", include_str!("../../../manifests/application/service.yaml.j2"));
const SUPPORT: (&str, &str) = ("support", include_str!("../../../manifests/application/support.yaml.j2"));
const DEPLOYMENT: (&str, &str) = ("deployment", include_str!("../../../manifests/application/deployment.yaml.j2"));
const CRON: (&str, &str) = ("cron", include_str!("../../../manifests/application/cron.yaml.j2"));

/// What a component of a type becomes, in this order.
const fn templates_of(r#type: ComponentType) -> [(&'static str, &'static str); 3] {
    match r#type {
        ComponentType::Webapp | ComponentType::Worker => [DEPLOYMENT, SERVICE, SUPPORT],
        ComponentType::Cron => [CRON, SERVICE, SUPPORT],
    }
}

/// The label by which the Pods of a component are known, which never changes.
const COMPONENT: &str = "goldpath.dev/component";
/// The volume of the files of a component. No name of a user's holds two hyphens in a row.
const FILES: &str = "goldpath--files";

/// An Application, as far as it is rendered.
pub struct Rendering<'a> {
    request: &'a Request<'a>,
    name: &'a ApplicationName,
    spec: &'a ApplicationSpec,
    team: Option<&'a TeamSpec>,
    config: &'a Config,
    outputs: Outputs,
    claims: Claims,
    instances: Vec<Value>,
    versions: Vec<String>,
    /// Whether it has come to an environment that others were before.
    is_promoted: bool,
    /// What runs, for the catalog: by component, its hosts.
    entities: BTreeMap<String, BTreeSet<String>>,
}

/// One way from outside to a port.
#[derive(Serialize)]
struct Route {
    kind: &'static str,
    version: &'static str,
    name: String,
    gateway: Value,
    section: Option<String>,
    host: Option<String>,
    path: Option<String>,
    port: i64,
    target: i64,
    transport: &'static str,
    traffic_from: String,
}

impl<'a> Rendering<'a> {
    /// Of an Application, nothing of which is rendered.
    pub fn new(
        request: &'a Request<'a>,
        name: &'a ApplicationName,
        spec: &'a ApplicationSpec,
        team: Option<&'a TeamSpec>,
        config: &'a Config,
    ) -> Self {
        Self {
            request,
            name,
            spec,
            team,
            config,
            outputs: Outputs { id: name.to_string(), ..Outputs::default() },
            claims: Claims::new(),
            instances: Vec::new(),
            versions: Vec::new(),
            is_promoted: false,
            entities: BTreeMap::new(),
        }
    }

    /// The namespace of an instance: no part of it holds two hyphens in a row.
    fn namespace(&self, instance: &Instance) -> String {
        format!("{}--{}--{}", self.spec.team, self.name, instance.environment)
    }

    /// Says what is wrong with the ways to the components of an instance, of which other things are wrong.
    pub fn route_only(&mut self, instance: &Instance, clusters: &[&Cluster], placed: &[Placed], check: &mut Check<'_>) {
        for component in placed.iter().filter(|placed| placed.component.enabled != Some(false)) {
            for cluster in clusters {
                drop(self.routes(instance, cluster, component, check));
            }
        }
        self.check_namespace(instance, check);
    }

    fn check_namespace(&self, instance: &Instance, check: &mut Check<'_>) {
        let namespace = self.namespace(instance);
        if namespace.len() > 63 {
            let message = format!("gives the namespace {}, of {} characters", quote(&namespace), namespace.len());
            let refusal = Refusal::new("length", message)
                .help("use names of the Team, the Application and the Environment of at most 59 together");
            let span = check.spec.at("instances").unwrap_or(check.spec).span;
            check.fault(span, "", refusal);
        }
    }

    /// Renders an instance that nothing is wrong with.
    ///
    /// # Errors
    /// A template of ours that is wrong.
    pub fn add(
        &mut self,
        instance: &Instance,
        clusters: &[&Cluster],
        placed: &[Placed],
        site: &Site<'_>,
        check: &mut Check<'_>,
    ) -> Result<(), Stop> {
        let environment = site.environment;
        self.check_namespace(instance, check);
        let Some(team) = self.team else { return Ok(()) };
        let namespace = self.namespace(instance);
        let is_enabled = instance.enabled != Some(false);
        let (mut destinations, mut urls) = (Vec::new(), BTreeSet::new());
        for cluster in clusters {
            let mut objects = self.instance_objects(environment, team, &namespace)?;
            for component in placed {
                if !is_enabled || component.component.enabled == Some(false) {
                    continue;
                }
                let routes = self.routes(instance, cluster, component, check);
                for route in routes.iter().filter(|route| route.host.is_some()) {
                    let (host, path) =
                        (route.host.as_deref().unwrap_or_default(), route.path.as_deref().unwrap_or("/"));
                    let url = format!("https://{host}{path}");
                    self.entities.entry(component.component.name.to_string()).or_default().insert(url.clone());
                    urls.insert(url);
                }
                let context = component_context(component, site, &routes)?;
                objects.extend(component_objects(component, context)?);
            }
            let labels = json!({
                "app.kubernetes.io/managed-by": "goldpath",
                "goldpath.dev/team": self.spec.team,
                "goldpath.dev/application": self.name,
                "goldpath.dev/environment": instance.environment,
            });
            let own = Own {
                namespace: &namespace,
                labels: labels.as_object().cloned().unwrap_or_default(),
                request: self.request.identity.path(),
                config: self.config,
                asked: self.request,
            };
            objects.iter_mut().for_each(|object| own.put_on(object));
            let destination = cluster.destination(&instance.environment);
            // No part of an identity holds `_`, so that no two requests share a file's name.
            let file = format!("{destination}/{}.yaml", self.request.identity.path().replace('/', "_"));
            self.outputs.manifests.insert(path_of(&file), object_template::to_yaml(&objects));
            let selector = BTreeMap::from([("goldpath.dev/destination".to_owned(), destination.clone())]);
            self.outputs.destinations.insert(destination.clone(), selector);
            destinations.push(destination);
        }
        let version = instance.version.as_ref().map(|version| version.as_str());
        let version = version.or(instance.digest.as_ref().map(|digest| &digest.as_str()[..19]));
        let name = instance.environment.as_str();
        self.versions.push(match (version, is_enabled) {
            (Some(version), true) => format!("{name} {version}"),
            (None, true) => name.to_owned(),
            (_, false) => format!("{name} off"),
        });
        self.is_promoted |= is_enabled && environment.promotes_from.is_some();
        let mut said = json!({
            "environment": name,
            "namespace": namespace,
            "destinations": destinations,
            "urls": urls,
        });
        if let Some(image) = &instance.image {
            said["image"] = json!(image);
        }
        if let Some(version) = version {
            said["version"] = version.into();
        }
        if !is_enabled {
            said["enabled"] = false.into();
        }
        if environment.settings.disables_workloads() {
            said["workloads"] = "disabled by the Environment".into();
        }
        self.instances.push(said);
        Ok(())
    }

    fn instance_objects(
        &self,
        environment: &EnvironmentSpec,
        team: &TeamSpec,
        namespace: &str,
    ) -> Result<Vec<Value>, Stop> {
        let access = &environment.access;
        let role_of = |role: TeamRole| match role {
            TeamRole::Admin => &access.admin,
            TeamRole::Maintainer => &access.maintainer,
            TeamRole::Developer => &access.developer,
            TeamRole::Viewer => &access.viewer,
        };
        let bindings = TeamRole::ALL.map(|(name, role)| {
            let cluster_role = role_of(role).as_ref().map_or(cluster_role(role), |name| name.as_str());
            json!({"role": name, "cluster_role": cluster_role, "group": self.config.group_prefix.group(&team.id, name)})
        });
        let defaults = &environment.defaults;
        let network = &self.config.network;
        let quota = defaults
            .quota
            .as_ref()
            .map(|quota| json!({"cpu": quota.cpu, "memory": quota.memory, "pods": quota.pods.map(|pods| pods.get())}));
        let allowed = &environment.network.allow;
        let context = json!({
            "namespace": namespace,
            "pod_security": environment.pod_security.as_str(),
            "prune": self.config.prune_namespaces,
            "quota": quota,
            "container": {"cpu": default_cpu(environment), "memory": default_memory(environment)},
            "bindings": bindings,
            "restricted": environment.network.egress == Egress::Restricted,
            "allowed_teams": team.allow_network_from,
            "allow": allowed,
            "dns": {"port": network.dns_port, "namespace": network.dns_namespace},
        });
        Ok(fill(INSTANCE, context)?)
    }

    /// The ways from outside to a component in a cluster. What is wrong with one is noted, and what it claims.
    fn routes(&mut self, instance: &Instance, cluster: &Cluster, placed: &Placed, check: &mut Check<'_>) -> Vec<Route> {
        let mut routes = Vec::new();
        for port in placed.ports.iter().filter(|port| port.visibility > Visibility::Cluster) {
            let gateways = cluster.gateways.as_ref();
            let gateway = gateways.and_then(|gateways| match port.visibility {
                Visibility::Public => gateways.public.as_ref(),
                _ => gateways.private.as_ref(),
            });
            let Some(gateway) = gateway else {
                check.fault(port.span, "", no_gateway(cluster, port.visibility));
                continue;
            };
            let host = match (&port.host, &gateway.domain, port.protocol) {
                (_, _, Protocol::Tcp | Protocol::Udp) => None,
                (Some(host), ..) => Some(host.to_string()),
                (None, Some(domain), _) => Some(format!("{}-{}.{domain}", placed.component.name, self.name)),
                (None, None, _) => {
                    let message = format!(
                        "has no host, and the Gateway of the cluster {} has no domain",
                        quote(cluster.name.as_str())
                    );
                    check.fault(port.span, "", Refusal::new("host", message).help("add `host:`"));
                    continue;
                }
            };
            let path = (port.protocol == Protocol::Http).then(|| port.path.as_ref().map_or("/", |path| path.as_str()));
            self.claim(instance, placed, port, host.as_deref(), path, check);
            routes.push(Route::new(cluster, gateway, placed, port, host, path.map(str::to_owned)));
        }
        routes
    }

    /// Claims what a route needs for itself alone: a host with a path, or a port.
    fn claim(
        &mut self,
        instance: &Instance,
        placed: &Placed,
        port: &PlacedPort,
        host: Option<&str>,
        path: Option<&str>,
        check: &mut Check<'_>,
    ) {
        let (environment, visibility) = (&instance.environment, port.visibility.as_str());
        let (file, what) = match host {
            Some(host) => (
                catalog::host_file(environment.as_str(), visibility, host, path.unwrap_or("/")),
                format!(
                    "the host {} in {}",
                    quote(&format!("{host}{}", path.unwrap_or("/"))),
                    quote(environment.as_str())
                ),
            ),
            None => (
                catalog::port_file(environment.as_str(), visibility, port.protocol.as_str(), port.port),
                format!("the {} port {} in {}", port.protocol.as_str(), port.port, quote(environment.as_str())),
            ),
        };
        let field = super::merge::path_of(check.spec, "spec", port.span).unwrap_or_else(|| "spec".to_owned());
        let owner = json!({
            "request": self.request.identity.path(),
            "component": placed.component.name,
            "port": port.name,
        });
        let content = format!("{owner}\n");
        let catalog = self.outputs.repositories.entry(Role::Catalog).or_default();
        if let Some(other) = catalog.get(&file).filter(|other| *other != content.as_bytes()) {
            let other: Value = serde_json::from_slice(other).unwrap_or_default();
            let name = quote(other["component"].as_str().unwrap_or_default());
            let refusal = Refusal::new("duplicate", format!("{what} is that of the component {name} too"));
            check.fault(port.span, "", refusal.help("give each a host or path of its own"));
            return;
        }
        catalog.insert(file.clone(), content);
        self.claims.insert(file, Claim { field, what });
    }

    /// All that is rendered.
    ///
    /// # Errors
    /// A template of ours that is wrong.
    pub fn finish(mut self, relations: Vec<Relation>, references: BTreeMap<String, String>) -> Result<Outputs, Stop> {
        let lifecycle = if self.is_promoted { "production" } else { "experimental" };
        let entity = catalog::entities(
            self.request,
            self.name,
            self.spec,
            &self.entities,
            lifecycle,
            &self.config.propagate.take(&self.request.labels, &self.request.annotations),
        )?;
        let file = catalog::entity_file(&self.spec.team, self.name);
        self.outputs.repositories.entry(Role::Catalog).or_default().insert(file, entity);
        let mut text = String::new();
        for (path, content) in self.outputs.manifests.iter() {
            text += &format!("{path} {}\n", sha256(content));
        }
        let left = self.left();
        self.outputs.status = Map::from_iter([
            ("instances".to_owned(), self.instances.clone().into()),
            ("versions".to_owned(), self.versions.join(", ").into()),
            ("references".to_owned(), json!(references)),
            ("rendered".to_owned(), sha256(text.as_bytes())[..16].into()),
            ("left".to_owned(), left.into()),
        ]);
        self.outputs.claims = self.claims;
        Ok(Outputs { relations, ..self.outputs })
    }

    /// What an instance that was taken out has left in a cluster, and what removes it.
    fn left(&self) -> Vec<Value> {
        let status = self.request.status.map(to_json).unwrap_or_default();
        let each = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let mut before: BTreeSet<(String, String)> = BTreeSet::new();
        for instance in each(&status["instances"]) {
            let namespace = instance["namespace"].as_str().unwrap_or_default().to_owned();
            let destinations = each(&instance["destinations"]);
            before.extend(destinations.iter().filter_map(|d| Some((d.as_str()?.to_owned(), namespace.clone()))));
        }
        for left in each(&status["left"]) {
            let text = |name: &str| left[name].as_str().unwrap_or_default().to_owned();
            before.insert((text("destination"), text("namespace")));
        }
        for instance in &self.instances {
            let namespace = instance["namespace"].as_str().unwrap_or_default();
            for destination in each(&instance["destinations"]) {
                before.remove(&(destination.as_str().unwrap_or_default().to_owned(), namespace.to_owned()));
            }
        }
        let left = before.into_iter().filter(|_| !self.config.prune_namespaces);
        left.map(|(destination, namespace)| {
            let remove = format!("kubectl delete namespace {namespace}");
            json!({"destination": destination, "namespace": namespace, "remove": remove})
        })
        .collect()
    }
}

/// Refuses what no Gateway of a cluster lets in.
fn no_gateway(cluster: &Cluster, visibility: Visibility) -> Refusal {
    let gateways = cluster.gateways.as_ref();
    let has = |name, gateway: Option<&Gateway>| gateway.map(|_| name);
    let known: Vec<_> = [
        has("public", gateways.and_then(|gateways| gateways.public.as_ref())),
        has("private", gateways.and_then(|gateways| gateways.private.as_ref())),
    ]
    .into_iter()
    .flatten()
    .map(quote)
    .collect();
    let help = match known.is_empty() {
        true => "it has none: use `visibility: cluster` there, or another cluster".to_owned(),
        false => format!("it has {}", known.join(", ")),
    };
    let message =
        format!("the cluster {} has no Gateway for {}", quote(cluster.name.as_str()), quote(visibility.as_str()));
    Refusal::new("no-gateway", message).help(help)
}

impl Route {
    fn new(
        cluster: &Cluster,
        gateway: &Gateway,
        placed: &Placed,
        port: &PlacedPort,
        host: Option<String>,
        path: Option<String>,
    ) -> Self {
        let of_version = match cluster.routes {
            RouteVersion::V1 => "v1",
            RouteVersion::V1alpha2 => "v1alpha2",
        };
        let (kind, version) = match port.protocol {
            Protocol::Http => ("HTTPRoute", "v1"),
            Protocol::Grpc => ("GRPCRoute", "v1"),
            Protocol::Tcp => ("TCPRoute", of_version),
            Protocol::Udp => ("UDPRoute", of_version),
        };
        let section = match port.protocol {
            Protocol::Http | Protocol::Grpc => gateway.section.as_ref().map(|section| section.to_string()),
            _ => Some(format!("{}-{}", port.protocol.as_str(), port.port)),
        };
        Self {
            kind,
            version,
            // No name holds two hyphens in a row, so that no two of these are one.
            name: format!("{}--{}", placed.component.name, port.name),
            gateway: json!({"namespace": gateway.namespace, "name": gateway.name}),
            section,
            host,
            path,
            port: port.port,
            target: port.target,
            transport: port.transport(),
            traffic_from: gateway.traffic_from.as_ref().unwrap_or(&gateway.namespace).to_string(),
        }
    }
}

/// What every object of an instance has.
struct Own<'a> {
    namespace: &'a str,
    labels: Map<String, Value>,
    request: String,
    config: &'a Config,
    asked: &'a Request<'a>,
}

impl Own<'_> {
    fn put_on(&self, object: &mut Value) {
        let is_namespace = object["kind"] == "Namespace";
        let metadata = &mut object["metadata"];
        if !is_namespace {
            metadata["namespace"] = self.namespace.into();
        }
        let propagated = self.config.propagate.take(&self.asked.labels, &self.asked.annotations);
        let texts = |all: &BTreeMap<String, String>| -> Vec<(String, Value)> {
            all.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect()
        };
        let own = [("goldpath.dev/request".to_owned(), Value::from(self.request.as_str()))];
        put(metadata, "labels", self.labels.clone().into_iter().chain(texts(&propagated.labels)));
        put(metadata, "annotations", own.into_iter().chain(texts(&propagated.annotations)));
    }
}

fn put(metadata: &mut Value, name: &str, entries: impl Iterator<Item = (String, Value)>) {
    if !metadata[name].is_object() {
        metadata[name] = json!({});
    }
    if let Some(all) = metadata[name].as_object_mut() {
        all.extend(entries);
    }
}

fn fill((name, source): (&str, &str), context: impl Serialize) -> Result<Vec<Value>, ObjectTemplateError> {
    object_template::render(name, source, &minijinja::Value::from(Serde(context)))
}

/// The one object that a template prints.
fn fill_one((name, source): (&str, &str), context: &minijinja::Value) -> Result<Value, ObjectTemplateError> {
    Ok(object_template::render(name, source, context)?.into_iter().next().unwrap_or_default())
}

/// What templates see of it, with what is printed by itself.
struct Context {
    values: Value,
    init_containers: Vec<Value>,
    containers: Vec<Value>,
}

/// All objects of a component, with its labels and annotations.
fn component_objects(placed: &Placed, context: Context) -> Result<Vec<Value>, Stop> {
    let Context { values, init_containers, containers } = context;
    let values = minijinja::Value::from(Serde(&values));
    let each = |all: Vec<Value>| -> minijinja::Value { all.into_iter().map(object_template::whole).collect() };
    let (containers, init_containers) = (each(containers), each(init_containers));
    let pod = fill_one(POD, &context! { containers, init_containers, ..values.clone() })?;
    let context = context! { pod => object_template::whole(pod), ..values };
    let mut objects = Vec::new();
    for (name, source) in templates_of(placed.r#type) {
        objects.extend(object_template::render(name, source, &context)?);
    }
    let component = &placed.component;
    for object in &mut objects {
        let metadata = &mut object["metadata"];
        let labels = component.labels.iter().flat_map(|labels| &labels.0);
        let own = [(COMPONENT.to_owned(), Value::from(component.name.as_str()))];
        let text = |(key, value): (&String, &String)| (key.clone(), Value::from(value.as_str()));
        put(metadata, "labels", labels.map(text).chain(own));
        let annotations = component.annotations.iter().flat_map(|annotations| &annotations.0);
        put(metadata, "annotations", annotations.map(text));
    }
    Ok(objects)
}

/// What the templates see of a component.
fn component_context(placed: &Placed, site: &Site<'_>, routes: &[Route]) -> Result<Context, ObjectTemplateError> {
    let environment = site.environment;
    let component = &placed.component;
    let name = component.name.as_str();
    let security = component.security.as_ref();
    let said = |of: Option<bool>| of == Some(true);
    let capabilities = security.and_then(|s| s.capabilities.clone()).unwrap_or_default();
    let security_context = json!({
        "as_root": said(security.and_then(|s| s.run_as_root)),
        "user": security.and_then(|s| s.run_as_user),
        "writable": said(security.and_then(|s| s.writable_root_filesystem)),
        "capabilities": capabilities,
        "token": said(security.and_then(|s| s.service_account_token)),
    });
    let mut labels = component.labels.clone().unwrap_or_default().0;
    labels.insert(COMPONENT.to_owned(), name.to_owned());
    let mut annotations = component.annotations.clone().unwrap_or_default().0;
    if let Some(metrics) = &component.metrics {
        annotations.insert("prometheus.io/scrape".to_owned(), "true".to_owned());
        let port = metrics.port.map(|port| port.to_string()).unwrap_or_default();
        annotations.insert("prometheus.io/port".to_owned(), port);
        let path = metrics.path.as_ref().map_or("/metrics", |path| path.as_str());
        annotations.insert("prometheus.io/path".to_owned(), path.to_owned());
    }
    let external = External::of(placed, environment);
    let files = files_of(placed);
    let (volumes, mounts) = volumes_of(placed, files.as_ref());
    let own = OwnContainer { placed, site, mounts: &mounts, security: &security_context };
    let [first, beside] = &placed.others;
    let container_of = |(container, image): &(Container, String)| own.other(container, image);
    let containers =
        std::iter::once(own.main()).chain(beside.iter().map(container_of)).collect::<Result<Vec<_>, _>>()?;
    let update = component.update.as_ref();
    let ports: Vec<_> = placed
        .ports
        .iter()
        .map(|port| {
            json!({
                "name": port.name, "port": port.port, "target": port.target, "transport": port.transport(),
                "protocol": port.protocol.as_str(),
            })
        })
        .collect();
    let account = component.service_account.as_ref();
    let init_containers = first.iter().map(container_of).collect::<Result<Vec<_>, _>>()?;
    let values = json!({
        "component": {
            "name": name,
            "type": placed.r#type.as_str(),
            "labels": labels,
            "pod_annotations": annotations,
            "selector": {COMPONENT: name},
            "replicas": placed.least,
            "service_account": if account.is_some() { name } else { "default" },
            "grace": component.termination_grace_period_seconds,
            "pull_secrets": component.image_pull_secrets,
            "spread": placed.r#type != ComponentType::Cron && component.spread != Some(false),
        },
        "workloads": !environment.settings.disables_workloads(),
        "settings": environment.settings.0,
        "security": security_context,
        "volumes": volumes,
        "ports": ports,
        "routes": routes,
        "metrics": component.metrics.as_ref().map(|metrics| json!({"port": metrics.port})),
        "monitoring": environment.network.monitoring,
        "autoscaling": component.autoscaling.as_ref().map(|scaling| {
            let percent = |name: &str, percent: Option<i64>| percent.map(|percent| json!({"name": name, "percent": percent}));
            let (cpu, memory) = (scaling.cpu.map(|cpu| cpu.get()), scaling.memory.map(|memory| memory.get()));
            let cpu = cpu.or(memory.is_none().then_some(80));
            let metrics: Vec<_> = [percent("cpu", cpu), percent("memory", memory)].into_iter().flatten().collect();
            json!({"min": placed.least, "max": placed.most, "metrics": metrics})
        }),
        "update": {
            "max_surge": update.and_then(|update| update.max_surge).unwrap_or(IntOrPercent::Percent(25)),
            "max_unavailable": update.and_then(|update| update.max_unavailable).unwrap_or(IntOrPercent::Number(0)),
        },
        "budget": placed.has_budget.then(|| budget_of(placed)),
        "cron": (placed.r#type == ComponentType::Cron).then(|| cron_of(placed)),
        "files": files,
        "external": external,
        "account": account.map(|account| json!({"annotations": account.annotations.clone().unwrap_or_default()})),
    });
    Ok(Context { values, init_containers, containers })
}

fn budget_of(placed: &Placed) -> Value {
    let disruption = placed.component.disruption.as_ref();
    let most = disruption.and_then(|disruption| disruption.max_unavailable);
    json!({
        "max_unavailable": most.unwrap_or(IntOrPercent::Number(1)),
        "min_available": disruption.and_then(|disruption| disruption.min_available),
    })
}

fn cron_of(placed: &Placed) -> Value {
    let component = &placed.component;
    let history = component.history.as_ref();
    json!({
        "schedule": component.schedule,
        "time_zone": component.time_zone,
        "concurrency_policy": component.concurrency_policy.map_or("Forbid", |policy| policy.as_str()),
        "suspend": component.suspend == Some(true),
        "starting_deadline": component.starting_deadline_seconds,
        "active_deadline": component.active_deadline_seconds,
        "backoff_limit": component.backoff_limit.map_or(2, |limit| limit.get()),
        "ttl": component.ttl_seconds_after_finished,
        "succeeded": history.and_then(|history| history.succeeded).map_or(3, |count| count.get()),
        "failed": history.and_then(|history| history.failed).map_or(1, |count| count.get()),
    })
}

/// The containers of a Pod, each by the same template.
struct OwnContainer<'a> {
    placed: &'a Placed,
    site: &'a Site<'a>,
    mounts: &'a [Value],
    security: &'a Value,
}

impl OwnContainer<'_> {
    fn main(&self) -> Result<Value, ObjectTemplateError> {
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

    fn other(&self, container: &Container, image: &str) -> Result<Value, ObjectTemplateError> {
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
struct External {
    name: String,
    store: Option<Value>,
    data: Vec<Value>,
}

impl External {
    fn of(placed: &Placed, environment: &EnvironmentSpec) -> Option<Self> {
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
fn files_of(placed: &Placed) -> Option<Value> {
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
fn volumes_of(placed: &Placed, files: Option<&Value>) -> (Vec<Value>, Vec<Value>) {
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
    let port = |name: &Option<crate::names::PortName>| port_of(name.as_ref(), ports);
    let name = |name: &Option<crate::names::PortName>| port(name).map(|port| port.name.to_string());
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

/// Names of environments, clusters and identities are names by their types: every path made of them is one.
fn path_of(path: &str) -> RelativePath {
    RelativePath::parse(path).expect("made of names")
}
