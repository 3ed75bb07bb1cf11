//! Environment: clusters, where Applications can be, and what holds there.

mod render;
pub(super) mod request;

use super::{ACCEPTED, NAME, Promise, accepted};
use crate::api::Api;
use crate::config::Config;
use crate::document::{Node, to_json};
use crate::known::{Known, Need, Relation, Stop};
use crate::names::{EnvironmentName, Kind};
use crate::outputs::{Outputs, Role};
use crate::request::Request;
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use request::{Cluster, EnvironmentSpec};
use std::collections::{BTreeMap, BTreeSet};

/// Environment's line in the table.
pub const PROMISE: Promise = Promise {
    name: "environment",
    kind: KIND,
    plural: "environments",
    short_name: "env",
    about: "An environment: its clusters, who may deploy to them, and what holds there",
    columns: &[
        ("Clusters", ".status.clusters"),
        ("Promotes-From", ".spec.promotesFrom"),
        ("Message", ".status.message"),
    ],
    spec: EnvironmentSpec::schema,
    check: |spec, _| request::parse(spec).err().unwrap_or_default(),
    generate,
    id: NAME,
    fixed: NAME,
    name_schema: Some(EnvironmentName::schema),
    is_of_platform: true,
    roles: &[Role::Catalog],
    is_repository: false,
    holds: None,
    remembers: true,
    refers_to: &[KIND, "Team"],
    used_by: &["Application"],
    pace: |spec| request::parse(spec).map_or((1, 60), |spec| (spec.batch(), spec.pause_seconds())),
    names: |_| Vec::new(),
    place_of: render::place_of,
};

const KIND: &str = "Environment";

/// As many environments as one may be promoted through.
const LONGEST_WAY: usize = 20;

/// Who needs an Environment.
pub(super) fn need_of(name: &str) -> Need {
    Need::Request { kind: Kind::parse(KIND).expect("a constant"), id: name.to_owned() }
}

/// An Environment that others name, as it was last accepted.
///
/// # Errors
/// Why it counts for nothing.
pub(super) fn look_up<'k>(
    name: &str,
    known: &'k Known,
    config: &Config,
) -> Result<(&'k Node, EnvironmentSpec), Refusal> {
    const RULE: &str = "unknown-environment";
    let need = need_of(name);
    let found = known.find(&need).map_err(|others| others.refuse(&need, RULE))?;
    let platform = config.platform.namespace.as_str();
    let is_elsewhere = |object: &&Node| object.at("metadata.namespace").and_then(Node::as_str) != Some(platform);
    let Some(object) = found.iter().map(AsRef::as_ref).find(|object| !is_elsewhere(object)) else {
        let message = format!("{} is not an Environment of the platform's namespace `{platform}`", quote(name));
        return Err(Refusal::new(RULE, message).help(format!("only those in `{platform}` count: move it there")));
    };
    match accepted(object, config).and_then(|spec| request::parse(spec).ok()) {
        Some(spec) => Ok((object, spec)),
        None => Err(Refusal::new(RULE, format!("{} is wrong itself, and was never accepted", quote(name)))
            .help("have it put right first: its status says what is wrong")),
    }
}

fn generate(request: &Request<'_>, known: &Known, config: &Config) -> Result<Outputs, Stop> {
    let name = EnvironmentName::parse(request.identity.name.as_str());
    let mut faults: Vec<Violation> =
        name.as_ref().err().map(|refusal| refusal.clone().at(NAME, None)).into_iter().collect();
    if request.identity.name.as_str() == "platform" {
        let refusal = Refusal::new("reserved", "`platform` is the label of the platform's own Destination");
        faults.push(refusal.help("use another name").at(NAME, None));
    }
    let namespace = &config.platform.namespace;
    if request.identity.namespace != *namespace {
        let message = format!("an Environment in `{}` counts for nothing", request.identity.namespace);
        let refusal = Refusal::new("namespace", message);
        faults.push(refusal.help(format!("put it into `{namespace}`")).at("metadata.namespace", None));
    }
    let spec = match request::parse(request.spec) {
        Ok(spec) => Some(spec),
        Err(wrong) => {
            faults.extend(wrong);
            None
        }
    };
    let (Ok(name), Some(mut spec)) = (name, spec) else { return Err(faults.into()) };
    faults.extend(spec.check(&name, request.spec));
    let team = |(n, id): (usize, &_)| Relation {
        path: format!("spec.teams[{n}]"),
        need: super::team::need_of(id),
        rule: "unknown-team",
    };
    let relations: Vec<_> = spec.teams.iter().flatten().enumerate().map(team).collect();
    let above = spec.promotes_from.as_ref().map(|above| need_of(above.as_str()));
    known.require(relations.iter().map(|relation| &relation.need).chain(&above))?;
    if let Some(above) = &spec.promotes_from {
        let wrong = check_way(&name, above, known, config)?;
        let span = request.spec.get("promotesFrom").map(|node| node.span);
        faults.extend(wrong.map(|refusal| refusal.at("spec.promotesFrom", span)));
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let leaving = leaving(request, &name, &spec, known)?;
    spec.clusters.extend(leaving.iter().filter_map(|node| Cluster::read(node, "", &mut Vec::new())));
    let warnings = known.warnings(&relations)?;
    let propagated = config.propagate.take(&request.labels, &request.annotations);
    let mut outputs = render::render(&request.identity, &name, &spec, request.spec, &propagated, config)?;
    outputs.status.insert("leaving".to_owned(), leaving.iter().map(|node| to_json(node)).collect());
    Ok(Outputs { relations, warnings, ..outputs })
}

/// The clusters that were taken out and in which Applications still have files: Kratix would take all of them away with the
/// Destination, at once.
fn leaving<'n>(
    request: &Request<'n>,
    name: &EnvironmentName,
    spec: &EnvironmentSpec,
    known: &Known,
) -> Result<Vec<&'n Node>, Stop> {
    let status = request.status.map_or(&[][..], std::slice::from_ref);
    let before = status.iter().flat_map(|status| {
        let accepted = status.get(ACCEPTED).and_then(|spec| spec.get("clusters"));
        [accepted, status.get("leaving")].into_iter().flatten().flat_map(Node::items)
    });
    let mut gone = BTreeMap::new();
    for cluster in before {
        let Some(own) = cluster.get("name").and_then(Node::as_str) else { continue };
        if spec.clusters.iter().all(|cluster| cluster.name.as_str() != own) {
            gone.insert(own, cluster);
        }
    }
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let Need::Request { kind, id } = need_of(name.as_str()) else { return Ok(Vec::new()) };
    let users = Need::Users { kind, id };
    known.require([&users])?;
    // Where nobody can say, all of them may be in use.
    let Ok(users) = known.find(&users) else { return Ok(gone.into_values().collect()) };
    let instances = users.iter().filter_map(|user| user.at("status.instances")).flat_map(Node::items);
    let destinations = instances.filter_map(|instance| instance.get("destinations")).flat_map(Node::items);
    let in_use: BTreeSet<_> = destinations.filter_map(Node::as_str).collect();
    gone.retain(|own, _| in_use.contains(format!("{name}.{own}").as_str()));
    Ok(gone.into_values().collect())
}

/// What is wrong with the way that leads from one environment to the next.
fn check_way(
    own: &EnvironmentName,
    first: &EnvironmentName,
    known: &Known,
    config: &Config,
) -> Result<Option<Refusal>, Stop> {
    let mut way = vec![own.clone(), first.clone()];
    loop {
        let last = &way[way.len() - 1];
        let told = way.iter().map(EnvironmentName::as_str).collect::<Vec<_>>().join(" → ");
        if way[..way.len() - 1].contains(last) {
            return Ok((last == own)
                .then(|| Refusal::new("circle", format!("closes a circle: {told}")).help("leave one of these out")));
        }
        if way.len() > LONGEST_WAY {
            let refusal = Refusal::new("length", format!("leads through more than {LONGEST_WAY} environments"));
            return Ok(Some(refusal.help("promote through fewer")));
        }
        known.require([&need_of(last.as_str())])?;
        match look_up(last.as_str(), known, config) {
            Ok((_, EnvironmentSpec { promotes_from: Some(next), .. })) => way.push(next),
            Ok(_) => return Ok(None),
            // What is wrong further on is told there.
            Err(refusal) => return Ok((last == first).then_some(refusal)),
        }
    }
}

/// The kinds that a table must know for this one.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::promise::find;

    #[test]
    fn what_it_names_is_promised() {
        for kind in PROMISE.refers_to.iter().chain(PROMISE.used_by) {
            assert!(find(kind).is_ok(), "{kind}");
        }
    }
}
