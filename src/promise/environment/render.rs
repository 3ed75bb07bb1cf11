//! What an Environment becomes: Destinations, Flux's objects, entities.

use super::request::{Cluster, EnvironmentSpec, StoreKind};
use crate::api::Choice;
use crate::config::{Config, Propagated, StateStore};
use crate::document::{Node, to_json};
use crate::file_tree::{FileTree, RelativePath};
use crate::known::Stop;
use crate::names::{ClusterName, EnvironmentName};
use crate::outputs::{Claim, Outputs, Role};
use crate::promise::{ACCEPTED, Place, selector};
use crate::request::Identity;
use crate::template::{Format, TemplateError, render as fill};
use crate::text::quote;
use crate::violation::Refusal;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const DESTINATION: &str = include_str!("../../../manifests/environment/destination.yaml.j2");
const FLUX: &str = include_str!("../../../manifests/environment/flux.yaml.j2");
const MARKER: &str = include_str!("../../../manifests/environment/cluster.yaml.j2");
const ENTITY: &str = include_str!("../../../manifests/backstage/environment.yaml.j2");
const CLUSTER: &str = include_str!("../../../manifests/backstage/cluster.yaml.j2");

/// The folders of the entities.
const ENVIRONMENTS: &str = "environments";
const CLUSTERS: &str = "clusters";

/// What the templates see of one cluster.
#[derive(Serialize)]
struct Context<'a> {
    environment: &'a EnvironmentName,
    cluster: &'a ClusterName,
    destination: String,
    /// The name of what is always there in the cluster.
    marker: String,
    /// Where its files are below the store's own path.
    path: String,
    labels: BTreeMap<&'a str, &'a str>,
    store_kind: &'static str,
    store_name: &'a str,
    store: Option<&'a StateStore>,
    /// Where its files are in the store.
    store_path: String,
    flux_namespace: &'a str,
    kube_config: Option<&'a str>,
    owner: String,
    description: &'a str,
    request: String,
    propagated: &'a Propagated,
}

/// Renders everything that an Environment becomes.
///
/// # Errors
/// A cluster that Flux is to apply to, whose store nobody knows; a template that is wrong: our bug.
pub(super) fn render(
    identity: &Identity,
    name: &EnvironmentName,
    spec: &EnvironmentSpec,
    source: &Node,
    propagated: &Propagated,
    config: &Config,
) -> Result<Outputs, Stop> {
    let mut outputs = Outputs { id: name.to_string(), ..Outputs::default() };
    let mut faults = Vec::new();
    let mut catalog = FileTree::default();
    let description = spec.description.as_ref().map_or("", |description| description.as_str());
    let owner = format!("group:default/{}", config.platform.owner);
    for (n, cluster) in spec.clusters.iter().enumerate() {
        let path = format!("spec.clusters[{n}]");
        let store = match store_of(cluster, config) {
            Ok(store) => store,
            Err(refusal) => {
                let span = source.at(&format!("clusters[{n}].stateStore")).map(|node| node.span);
                faults.push(refusal.at(format!("{path}.stateStore"), span));
                continue;
            }
        };
        let context = Context::new(identity, name, cluster, store, propagated, config, &owner, description);
        let mut text = fill(Format::Yaml, "destination", DESTINATION, &context)?;
        if cluster.kube_config.is_some() {
            text += "---\n";
            text += &fill(Format::Yaml, "flux", FLUX, &context)?;
        }
        let own = identity.file_name();
        outputs.manifests.insert(RelativePath::of_names(&format!("{own}_{}.yaml", cluster.name)), text);
        let file = RelativePath::of_names(&format!("{}/{own}.yaml", context.destination));
        outputs.manifests.insert(file, fill(Format::Yaml, "marker", MARKER, &context)?);
        outputs.destinations.insert(context.destination.clone(), selector(&context.destination));
        let file = RelativePath::of_names(&format!("{CLUSTERS}/{}.yaml", cluster.name));
        catalog.insert(file.clone(), fill(Format::Yaml, "cluster", CLUSTER, &context)?);
        let what = format!("the cluster {}", quote(cluster.name.as_str()));
        outputs.claims.insert(file, Claim { field: format!("{path}.name"), what });
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let file = RelativePath::of_names(&format!("{ENVIRONMENTS}/{name}.yaml"));
    catalog.insert(file, entity(identity, name, spec, propagated, &owner, description)?);
    outputs.repositories.insert(Role::Catalog, catalog);
    let clusters: Vec<_> = spec.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    outputs.status = serde_json::Map::from_iter([
        ("clusters".to_owned(), clusters.join(", ").into()),
        (ACCEPTED.to_owned(), to_json(source)),
    ]);
    Ok(outputs)
}

fn entity(
    identity: &Identity,
    name: &EnvironmentName,
    spec: &EnvironmentSpec,
    propagated: &Propagated,
    owner: &str,
    description: &str,
) -> Result<String, TemplateError> {
    let clusters: Vec<_> =
        spec.clusters.iter().map(|cluster| format!("resource:{CLUSTERS}/{}", cluster.name)).collect();
    let above = spec.promotes_from.as_ref().map(|above| format!("resource:{ENVIRONMENTS}/{above}"));
    let context: Value = json!({
        "name": name,
        "description": description,
        "owner": owner,
        "depends_on": clusters.iter().chain(&above).collect::<Vec<_>>(),
        "request": identity.path(),
        "propagated": propagated,
    });
    fill(Format::Yaml, "environment", ENTITY, context)
}

/// The store of a cluster that Flux applies to: what Kratix calls it says nothing of where it is.
fn store_of<'c>(cluster: &Cluster, config: &'c Config) -> Result<Option<&'c StateStore>, Refusal> {
    let (kind, name) = (cluster.state_store.kind, cluster.state_store.name.as_str());
    if cluster.kube_config.is_none() {
        return Ok(None);
    }
    let is_kind = |store: &&StateStore| matches!(store, StateStore::Git { .. }) == (kind == StoreKind::GitStateStore);
    config.state_stores.get(name).filter(is_kind).map(Some).ok_or_else(|| {
        Refusal::new("unknown-store", format!("the configuration names no {} {}", kind.as_str(), quote(name)))
            .help("have it added to `stateStores`, from where Flux reads, or leave `kubeConfig` out")
            .suggest(name, config.state_stores.keys().map(String::as_str))
    })
}

impl<'a> Context<'a> {
    #[expect(clippy::too_many_arguments, reason = "each is one of the things that a cluster's objects say")]
    fn new(
        identity: &Identity,
        environment: &'a EnvironmentName,
        cluster: &'a Cluster,
        store: Option<&'a StateStore>,
        propagated: &'a Propagated,
        config: &'a Config,
        owner: &str,
        description: &'a str,
    ) -> Self {
        let labels = cluster.labels.iter().flat_map(|labels| &labels.0);
        let path = format!("{ENVIRONMENTS}/{environment}/{}", cluster.name);
        let above = store.map_or("", StateStore::path).trim_matches('/');
        Self {
            environment,
            cluster: &cluster.name,
            marker: format!("goldpath-{}", cluster.destination(environment)),
            destination: cluster.destination(environment),
            labels: labels.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            store_kind: cluster.state_store.kind.as_str(),
            store_name: cluster.state_store.name.as_str(),
            store,
            store_path: format!("./{above}{}{path}", if above.is_empty() { "" } else { "/" }),
            path,
            flux_namespace: config.platform.flux_namespace.as_str(),
            kube_config: cluster.kube_config.as_ref().map(|kube_config| kube_config.secret.as_str()),
            owner: owner.to_owned(),
            description,
            request: identity.path(),
            propagated,
        }
    }
}

/// See [`crate::promise::Promise::place_of`].
pub(super) fn place_of(role: Role, path: &RelativePath) -> Option<Place<'_>> {
    let (folder, file) = path.as_str().split_once('/').filter(|_| role == Role::Catalog)?;
    let name = file.strip_suffix(".yaml")?;
    match folder {
        ENVIRONMENTS => EnvironmentName::parse(name).ok().map(|_| Place { fixed: Some(name), module: None }),
        CLUSTERS => ClusterName::parse(name).ok().map(|_| Place { fixed: None, module: None }),
        _ => None,
    }
}
