//! Application: components of a Team's, in every cluster of every environment that it names.

mod catalog;
mod check;
mod container;
mod merge;
mod place;
mod render;
mod request;
mod route;
mod schedule;
mod workload;

use super::{NAME, Promise, accepted, digest_of, environment, has_its_id, team};
use crate::config::Config;
use crate::digest::sha256;
use crate::document::Node;
use crate::file_tree::FileTree;
use crate::known::{Known, Need, Relation, Stop};
use crate::names::{ApplicationName, TeamId};
use crate::outputs::{Outputs, Role};
use crate::promise::team::request::{TeamSpec, parse as parse_team};
use crate::request::Request;
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use flate2::Compression;
use flate2::write::GzEncoder;
use merge::{alone, lay_over, with_ports};
use place::{Check, Image, Site, place, ports_of, read};
use render::Rendering;
use request::{ApplicationSpec, Component, Instance};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// Application's line in the table.
pub const PROMISE: Promise = Promise {
    name: "application",
    kind: "Application",
    plural: "applications",
    short_name: "app",
    about: "An Application of a Team's: its components, and where they run in which version",
    columns: &[("Team", ".spec.team"), ("Versions", ".status.versions"), ("Message", ".status.message")],
    spec: request::schema,
    check: |spec, _| request::parse(spec).1,
    generate,
    id: NAME,
    fixed: "spec.team",
    name_schema: Some(<ApplicationName as crate::api::Api>::schema),
    is_of_platform: false,
    roles: &[Role::Catalog, Role::Infrastructure],
    is_repository: true,
    holds: None,
    remembers: true,
    refers_to: &["Team", "Environment"],
    used_by: &[],
    pace: |_| (1, 60),
    names,
    place_of: catalog::place_of,
};

/// As many bytes as Kratix may keep of one request's manifests: etcd takes 1.5 MiB in one object.
const MAX_STORED: usize = 1_363_148;

/// The Environments that it is in, or is to be in.
fn names(object: &Node) -> Vec<Need> {
    let instances = ["spec", "status"].into_iter().filter_map(|part| object.get(part));
    let instances = instances.flat_map(|part| nodes(part, "instances"));
    instances.filter_map(|instance| instance.get("environment")?.as_str()).map(environment::need_of).collect()
}

/// The Team of an Application.
struct Team {
    spec: TeamSpec,
    digest: String,
}

fn generate(request: &Request<'_>, known: &Known, config: &Config) -> Result<Outputs, Stop> {
    let name = ApplicationName::parse(request.identity.name.as_str());
    let mut faults: Vec<Violation> =
        name.as_ref().err().map(|refusal| refusal.clone().at(NAME, None)).into_iter().collect();
    let (spec, wrong) = request::parse(request.spec);
    faults.extend(wrong);
    // What has no name is nowhere.
    let is_whole = |spec: &ApplicationSpec| {
        nodes(request.spec, "components").len() == spec.components.len()
            && nodes(request.spec, "instances").len() == spec.instances.len()
    };
    let (Ok(name), Some(spec)) = (name, spec.filter(is_whole)) else { return Err(faults.into()) };
    let relations = relations(&spec);
    known.require(relations.iter().map(|relation| &relation.need))?;
    let mut check = Check { spec: request.spec, faults };
    check_repository(&spec, &mut check);
    let team = match find_team(request, &spec.team, known, config) {
        Ok(team) => Some(team),
        Err(refusal) => {
            let span = request.spec.get("team").unwrap_or(request.spec).span;
            check.fault(span, "", refusal);
            None
        }
    };
    let below = below(request.spec, &mut check);
    for (component, node) in spec.components.iter().zip(nodes(request.spec, "components")) {
        if component.r#type.is_none() {
            let refusal = Refusal::new("required", "is missing");
            check.fault(node.span, ".type", refusal.help("say what it is: `webapp`, `worker` or `cron`"));
        }
    }
    let mut rendering = Rendering::new(request, &name, &spec, team.as_ref().map(|team| &team.spec), config);
    let mut references = BTreeMap::new();
    if let Some(team) = &team {
        references.insert(format!("Team {}", spec.team), team.digest.clone());
    }
    for (instance, node) in spec.instances.iter().zip(nodes(request.spec, "instances")) {
        let environment = instance.environment.as_str();
        let span = node.get("environment").unwrap_or(node).span;
        let (object, found) = match environment::look_up(environment, known, config) {
            Ok(found) => found,
            Err(refusal) => {
                check.fault(span, "", refusal);
                continue;
            }
        };
        if object.at("metadata.deletionTimestamp").is_some() && !had(request, environment) {
            let refusal = Refusal::new("deleting", format!("{} is being deleted", quote(environment)));
            check.fault(span, "", refusal.help("name another"));
        }
        if found.teams.as_ref().is_some_and(|teams| !teams.contains(&spec.team)) {
            let message = format!("{} is not for the Team {}", quote(environment), quote(spec.team.as_str()));
            let refusal = Refusal::new("no-right", message);
            check.fault(span, "", refusal.help("have the Team added to `teams` of that Environment"));
        }
        references.insert(format!("Environment {environment}"), digest_of(object, config));
        let site = Where { instance, node, environment: &found };
        place_instance(&site, &below, &mut check, &mut rendering)?;
    }
    let mut faults = check.faults;
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.span.map(|span| span.start));
        return Err(faults.into());
    }
    let outputs = rendering.finish(relations, references)?;
    check_size(&outputs.manifests)?;
    Ok(outputs)
}

/// What it refers to: what is not there is a fault of its own.
fn relations(spec: &ApplicationSpec) -> Vec<Relation> {
    let environments = spec.instances.iter().enumerate().map(|(n, instance)| Relation {
        path: format!("spec.instances[{n}].environment"),
        need: environment::need_of(instance.environment.as_str()),
        rule: "unknown-environment",
    });
    let team = Relation { path: "spec.team".to_owned(), need: team::need_of(&spec.team), rule: "unknown-team" };
    std::iter::once(team).chain(environments).collect()
}

/// The entries of a list of mappings.
fn nodes<'n>(node: &'n Node, name: &str) -> &'n [Node] {
    node.get(name).map_or(&[], Node::items)
}

/// Whether the request had an instance there when it was rendered last.
fn had(request: &Request<'_>, environment: &str) -> bool {
    let instances = request.status.map_or(&[][..], |status| nodes(status, "instances"));
    instances.iter().any(|instance| instance.get("environment").and_then(Node::as_str) == Some(environment))
}

fn check_repository(spec: &ApplicationSpec, check: &mut Check<'_>) {
    let Some(repository) = &spec.repository else { return };
    let both = match (&repository.url, repository.create) {
        (Some(_), Some(true)) => Some("both"),
        (None, None) => Some("none"),
        _ => None,
    };
    if let Some(both) = both {
        let span = check.spec.get("repository").unwrap_or(check.spec).span;
        let refusal = Refusal::new("alternative", format!("has {both} of `url` and `create`"));
        check.fault(span, "", refusal.help("give the `url` of one that is there, or have one made: `create: true`"));
    }
    let Some(url) = repository.url.as_ref().map(|url| url.as_str()) else { return };
    let is_right = reqwest::Url::parse(url).is_ok_and(|url| {
        url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none()
    });
    if !is_right || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let span = check.spec.at("repository.url").unwrap_or(check.spec).span;
        check.fault(
            span,
            "",
            Refusal::new("url", "is no address that everybody may read")
                .help("write `https://`, a host and a path, without a user"),
        );
    }
}

/// The Team in whose name the request is: it must be in the request's namespace, or let it.
fn find_team(request: &Request<'_>, id: &TeamId, known: &Known, config: &Config) -> Result<Team, Refusal> {
    const RULE: &str = "unknown-team";
    let need = team::need_of(id);
    let found = known.find(&need).map_err(|others| others.refuse(&need, RULE))?;
    let namespace = request.identity.namespace.as_str();
    let mut lets_nobody = false;
    for object in found.iter().filter(|object| has_its_id(object)) {
        let Some(spec) = accepted(object, config) else { continue };
        let Ok(team) = parse_team(spec, config) else { continue };
        let own = object.at("metadata.namespace").and_then(Node::as_str).unwrap_or("default");
        if own == namespace || team.request_namespaces.iter().any(|name| name.as_str() == namespace) {
            let digest = sha256(format!("{:?} {:?}", team.id, team.allow_network_from).as_bytes());
            return Ok(Team { spec: team, digest: digest[..16].to_owned() });
        }
        lets_nobody = true;
    }
    Err(match lets_nobody {
        true => {
            let message = format!(
                "{} is a Team that no request of the namespace {} may name",
                quote(id.as_str()),
                quote(namespace)
            );
            Refusal::new("no-right", message).help(format!(
                "have `requestNamespaces: [{namespace}]` added to that Team, or put the request where the Team is"
            ))
        }
        false => Refusal::new(RULE, format!("{} is the id of a Team that has not got it yet", quote(id.as_str())))
            .help("it is tried again by itself: the Team's status says what it waits for"),
    })
}

/// The components above, by name, with what is short in them written out.
fn below(spec: &Node, check: &mut Check<'_>) -> Vec<(String, Node)> {
    let mut faults = Vec::new();
    let mut below = Vec::new();
    for node in nodes(spec, "components") {
        let name = node.get("name").and_then(Node::as_str).unwrap_or_default();
        let node = with_ports(node, &mut faults);
        below.push((name.to_owned(), alone(&node, &mut faults)));
    }
    check.note(faults);
    below
}

/// An instance, and where it is.
struct Where<'a> {
    instance: &'a Instance,
    node: &'a Node,
    environment: &'a environment::request::EnvironmentSpec,
}

fn place_instance(
    site: &Where<'_>,
    below: &[(String, Node)],
    check: &mut Check<'_>,
    rendering: &mut Rendering<'_>,
) -> Result<(), Stop> {
    let Where { instance, node, environment } = *site;
    let name = instance.environment.as_str();
    let clusters = clusters_of(site, check);
    let merged = merge_components(site, below, check);
    let components: Vec<Option<Component>> = merged.iter().map(|merged| read(merged, check)).collect();
    let ports = components.iter().flatten().map(|component| (component.name.as_str(), ports_of(component))).collect();
    let image =
        Image { name: instance.image.as_ref(), version: instance.version.as_ref(), digest: instance.digest.as_ref() };
    let path = merge::path_of(check.spec, "spec", node.span).unwrap_or_default();
    let is_image =
        |fault: &Violation| ["image", "version", "digest"].iter().any(|field| fault.path == format!("{path}.{field}"));
    let has_wrong_image = check.faults.iter().any(is_image);
    let here = Site { name, environment, image, has_wrong_image, span: node.span, ports };
    let mut placed = Vec::new();
    for (component, merged) in components.iter().zip(&merged) {
        let Some(component) = component else { continue };
        placed.extend(place(component.clone(), merged, &here, check));
    }
    if instance.enabled != Some(false) {
        check_quota(&placed, site, check);
    }
    if !check.faults.is_empty() {
        rendering.route_only(instance, &clusters, &placed, check);
        return Ok(());
    }
    rendering.add(instance, &clusters, &placed, &here, check)
}

/// The clusters of an environment that an instance is in.
fn clusters_of<'e>(site: &Where<'e>, check: &mut Check<'_>) -> Vec<&'e environment::request::Cluster> {
    let Where { instance, node, environment } = *site;
    let name = instance.environment.as_str();
    let Some(chosen) = &instance.clusters else {
        if environment.clusters.is_empty() {
            let span = node.get("environment").unwrap_or(node).span;
            let refusal = Refusal::new("unknown-cluster", format!("{} has no cluster", quote(name)));
            check.fault(span, "", refusal.help("have one added, or take the instance out"));
        }
        return environment.clusters.iter().collect();
    };
    if chosen.is_empty() {
        let refusal = Refusal::new("length", "names no cluster").help("leave it out for all, or say `enabled: false`");
        check.fault(node.get("clusters").unwrap_or(node).span, "", refusal);
    }
    let all: Vec<_> = environment.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let known = all.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    for (n, cluster) in chosen.iter().enumerate() {
        if !all.contains(&cluster.as_str()) {
            let refusal = Refusal::new(
                "unknown-cluster",
                format!("{} is no cluster of {}", quote(cluster.as_str()), quote(name)),
            )
            .help(format!("its clusters are {known}"))
            .suggest(cluster.as_str(), all.iter().copied());
            let span = nodes(node, "clusters").get(n).unwrap_or(node).span;
            check.fault(span, "", refusal);
        }
    }
    environment.clusters.iter().filter(|cluster| chosen.contains(&cluster.name)).collect()
}

/// Every component as an instance has it, in the order of those above.
fn merge_components(site: &Where<'_>, below: &[(String, Node)], check: &mut Check<'_>) -> Vec<Node> {
    let mut faults = Vec::new();
    let mut above = BTreeMap::new();
    let known: BTreeSet<_> = below.iter().map(|(name, _)| name.as_str()).collect();
    let mut added = Vec::new();
    for node in nodes(site.node, "components") {
        let name = node.get("name").and_then(Node::as_str).unwrap_or_default();
        let node_with_ports = with_ports(node, &mut faults);
        if known.contains(name) {
            above.insert(name, node_with_ports);
        } else if node.get("type").is_none_or(Node::is_null) {
            let refusal = Refusal::new("unknown-component", format!("{} is no component above", quote(name)))
                .help("give it a `type`, if it is to be here alone")
                .suggest(name, known.iter().copied());
            let span = node.get("name").unwrap_or(node).span;
            check.fault(span, "", refusal);
        } else {
            added.push(alone(&node_with_ports, &mut faults));
        }
    }
    let merged = below.iter().map(|(name, below)| match above.get(name.as_str()) {
        Some(above) => lay_over(below, above, &mut faults),
        None => below.clone(),
    });
    let merged = merged.collect::<Vec<_>>().into_iter().chain(added).collect();
    check.note(faults);
    merged
}

/// What all components request together must fit into the quota of the namespace, or Pods would wait for ever.
fn check_quota(placed: &[place::Placed], site: &Where<'_>, check: &mut Check<'_>) {
    let Some(quota) = &site.environment.defaults.quota else { return };
    if site.environment.settings.disables_workloads() {
        return;
    }
    let running = placed.iter().filter(|placed| placed.component.enabled != Some(false));
    let (cpu, memory, pods) = running
        .map(|placed| placed.most_requested(site.environment))
        .fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    let one = 1_000_000_000;
    let pods_allowed = quota.pods.map(|pods| u128::from(pods.get()) * one);
    for (what, sum, allowed, shown) in [
        (
            "cpu",
            cpu,
            quota.cpu.as_ref().map(crate::quantity::Cpu::value),
            crate::quantity::Cpu::shown as fn(u128) -> String,
        ),
        ("memory", memory, quota.memory.as_ref().map(crate::quantity::Bytes::value), crate::quantity::Bytes::shown),
        ("Pods", pods * one, pods_allowed, crate::quantity::Cpu::shown),
    ] {
        if let Some(allowed) = allowed.filter(|allowed| sum > *allowed) {
            let name = site.instance.environment.as_str();
            let message = format!(
                "asks for {} of {what} at its most, with what an update takes beside it, and {} gives a namespace {}",
                shown(sum),
                quote(name),
                shown(allowed)
            );
            let span = site.node.get("environment").unwrap_or(site.node).span;
            check.fault(
                span,
                "",
                Refusal::new("quota", message).help("ask for less there, by `components` of the instance"),
            );
        }
    }
}

/// Refuses more than Kratix can keep, which packs each file by itself.
fn check_size(manifests: &FileTree) -> Result<(), Stop> {
    let raw: usize = manifests.iter().map(|(_, content)| content.len()).sum();
    if raw < MAX_STORED / 2 {
        return Ok(());
    }
    // What fits when it is packed in haste fits.
    let hasty = Compression::fast();
    if manifests.iter().map(|(_, content)| stored(content, hasty)).sum::<usize>() <= MAX_STORED {
        return Ok(());
    }
    let mut sizes: Vec<_> =
        manifests.iter().map(|(path, content)| (stored(content, Compression::default()), path)).collect();
    let all: usize = sizes.iter().map(|(size, _)| size).sum();
    if all <= MAX_STORED {
        return Ok(());
    }
    sizes.sort();
    let largest = sizes.last().map(|(size, path)| format!("{path} is {} KiB of it", size >> 10)).unwrap_or_default();
    let message = format!("becomes {} KiB as Kratix keeps it, of at most {}: {largest}", all >> 10, MAX_STORED >> 10);
    let refusal = Refusal::new("too-large", message)
        .help("split it into several Applications, or shorten its files and variables");
    Err(vec![refusal.at("spec", None)].into())
}

/// How long something is as Kratix keeps it: by gzip, in base64.
fn stored(content: &[u8], compression: Compression) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), compression);
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.map_or(content.len(), |packed| packed.len()).div_ceil(3) * 4
}
