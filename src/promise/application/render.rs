//! What an Application becomes: objects for each cluster of each instance, entities, claims, and what its status says.

use super::catalog;
use super::place::{Check, Placed, PlacedPort, Site, default_cpu, default_memory};
use super::request::{ApplicationSpec, Instance, Protocol, Repository, Visibility};
use super::route::{Route, no_gateway};
use super::workload::{component_context, component_objects};
use crate::api::Choice;
use crate::config::Config;
use crate::digest::sha256;
use crate::document::to_json;
use crate::file_tree::RelativePath;
use crate::known::{Relation, Stop};
use crate::names::ApplicationName;
use crate::object_template::{self, ObjectTemplateError};
use crate::outputs::{Claim, Claims, Outputs, Role};
use crate::promise::environment::request::{Cluster, Egress, EnvironmentSpec};
use crate::promise::selector;
use crate::promise::team::render::cluster_role;
use crate::promise::team::request::{Role as TeamRole, TeamSpec};
use crate::request::Request;
use crate::text::quote;
use crate::violation::Refusal;
use minijinja::value::Serde;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const INSTANCE: (&str, &str) = ("instance", include_str!("../../../manifests/application/instance.yaml.j2"));
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
        let own = Own::new(self, instance, &namespace);
        let around = self.instance_objects(environment, team, &namespace)?;
        for cluster in clusters {
            let mut objects = around.clone();
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
            objects.iter_mut().for_each(|object| own.put_on(object));
            let destination = cluster.destination(&instance.environment);
            let file = format!("{destination}/{}.yaml", self.request.identity.file_name());
            self.outputs.manifests.insert(RelativePath::of_names(&file), object_template::to_yaml(&objects));
            self.outputs.destinations.insert(destination.clone(), selector(&destination));
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
        let repository = self.spec.repository.as_ref();
        let is_made = repository.is_some_and(Repository::is_made);
        let source = match is_made {
            true => Some(format!("{}/{}/{}", self.config.gitea_url, self.spec.team, self.name)),
            false => repository.and_then(|repository| Some(repository.url.as_ref()?.as_str().to_owned())),
        };
        let entity = catalog::entities(
            self.request,
            self.name,
            self.spec,
            &self.entities,
            lifecycle,
            source.as_deref(),
            &self.config.propagate.take(&self.request.labels, &self.request.annotations),
        )?;
        let file = catalog::entity_file(&self.spec.team, self.name);
        if let (true, Some(source)) = (is_made, &source) {
            let root_module = catalog::root_module(self.name, self.spec, source)?;
            self.outputs.repositories.insert(Role::Infrastructure, root_module);
        }
        self.outputs.repositories.entry(Role::Catalog).or_default().insert(file, entity);
        let mut text = String::new();
        for (path, content) in self.outputs.manifests.iter() {
            text += &format!("{path} {}\n", sha256(content));
        }
        for (role, files) in &self.outputs.repositories {
            for (path, content) in files.iter() {
                text += &format!("{} {path} {}\n", role.as_str(), sha256(content));
            }
        }
        let left = self.left();
        self.outputs.status = Map::from_iter([
            ("instances".to_owned(), self.instances.clone().into()),
            ("versions".to_owned(), self.versions.join(", ").into()),
            ("references".to_owned(), json!(references)),
            ("rendered".to_owned(), sha256(text.as_bytes())[..16].into()),
            ("left".to_owned(), left.into()),
        ]);
        if let Some(source) = source {
            self.outputs.status.insert("repository".to_owned(), source.into());
        }
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

/// What every object of an instance has.
struct Own {
    namespace: String,
    labels: Vec<(String, Value)>,
    annotations: Vec<(String, Value)>,
}

impl Own {
    fn new(rendering: &Rendering<'_>, instance: &Instance, namespace: &str) -> Self {
        let Rendering { request, name, spec, config, .. } = rendering;
        let text = |(key, value): (&str, &str)| (key.to_owned(), Value::from(value));
        let all = |own: &[(&str, &str)], propagated: &BTreeMap<String, String>| -> Vec<_> {
            let propagated = propagated.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            own.iter().copied().chain(propagated).map(text).collect()
        };
        let propagated = config.propagate.take(&request.labels, &request.annotations);
        let labels = [
            ("app.kubernetes.io/managed-by", "goldpath"),
            ("goldpath.dev/team", spec.team.as_str()),
            ("goldpath.dev/application", name.as_str()),
            ("goldpath.dev/environment", instance.environment.as_str()),
        ];
        let path = request.identity.path();
        Self {
            namespace: namespace.to_owned(),
            labels: all(&labels, &propagated.labels),
            annotations: all(&[("goldpath.dev/request", path.as_str())], &propagated.annotations),
        }
    }

    fn put_on(&self, object: &mut Value) {
        let is_namespace = object["kind"] == "Namespace";
        let metadata = &mut object["metadata"];
        if !is_namespace {
            metadata["namespace"] = self.namespace.as_str().into();
        }
        put(metadata, "labels", self.labels.iter().cloned());
        put(metadata, "annotations", self.annotations.iter().cloned());
    }
}

pub(super) fn put(metadata: &mut Value, name: &str, entries: impl Iterator<Item = (String, Value)>) {
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
