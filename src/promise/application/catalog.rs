//! What an Application has in the catalog: its entities, and its claims on names that Applications share.

use super::request::ApplicationSpec;
use crate::api::Choice;
use crate::config::Propagated;
use crate::digest::sha256;
use crate::file_tree::{FileTree, RelativePath};
use crate::names::{ApplicationName, ComponentName, EnvironmentName, HostName, TeamId};
use crate::outputs::Role;
use crate::promise::Place;
use crate::request::Request;
use crate::template::{Format, TemplateError, render as fill};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const SYSTEM: &str = include_str!("../../../manifests/backstage/system.yaml.j2");

/// The folder of the entities, which other kinds of systems have too, and of its root modules.
const SYSTEMS: &str = "systems";
/// The root module of a repository of its own.
const ROOT_MODULE: [(&str, &str); 4] = [
    ("backend.tf", include_str!("../../../terraform_templates/backend.tf.j2")),
    ("main.tf", include_str!("../../../terraform_templates/application/main.tf.j2")),
    ("outputs.tf", include_str!("../../../terraform_templates/application/outputs.tf.j2")),
    ("providers.tf", include_str!("../../../terraform_templates/providers.tf.j2")),
];
/// The folders of the claims. They are no YAML, which the index would list.
const HOSTS: &str = "hosts";
const PORTS: &str = "ports";
const ENDING: &str = ".json";
/// The longest name of a claim's file that says all of a path.
const LONGEST: usize = 200;

/// Where its entities are.
pub fn entity_file(team: &TeamId, name: &ApplicationName) -> RelativePath {
    RelativePath::of_names(&format!("{SYSTEMS}/{team}/{name}.yaml"))
}

/// The claim on a host and a path below it: the path is one segment, because `/api` and `/api/v1` may be of two.
pub fn host_file(environment: &str, visibility: &str, host: &str, path: &str) -> RelativePath {
    RelativePath::of_names(&format!("{HOSTS}/{environment}/{visibility}/{host}/{}{ENDING}", segment(path)))
}

/// The claim on a port of TCP or UDP.
pub fn port_file(environment: &str, visibility: &str, protocol: &str, port: i64) -> RelativePath {
    RelativePath::of_names(&format!("{PORTS}/{environment}/{visibility}/{protocol}-{port}{ENDING}"))
}

/// The path of a URL as the name of a file, which is another for each, also where names know no case.
fn segment(path: &str) -> String {
    let mut name = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(char::from(byte)),
            _ => name += &format!("%{byte:02x}"),
        }
    }
    match name.len() > LONGEST {
        true => format!("{}~{}", &name[..LONGEST - 65], sha256(path.as_bytes())),
        false => name,
    }
}

/// The entities: the System, and a Component of it for each, by its `hosts` that are reached from outside; its code is at
/// `source`.
///
/// # Errors
/// A template that is wrong: our bug.
pub fn entities(
    request: &Request<'_>,
    name: &ApplicationName,
    spec: &ApplicationSpec,
    hosts: &BTreeMap<String, BTreeSet<String>>,
    lifecycle: &str,
    source: Option<&str>,
    propagated: &Propagated,
) -> Result<String, TemplateError> {
    let team = &spec.team;
    let entity = |component: &ComponentName| format!("component:{team}/{name}.{component}");
    let above: BTreeSet<_> = spec.components.iter().map(|component| &component.name).collect();
    // And those that are in an instance alone, each once.
    let own = spec.instances.iter().flat_map(|instance| &instance.components);
    let own: BTreeMap<_, _> = own.filter(|own| !above.contains(&own.name)).map(|own| (&own.name, own)).collect();
    let names: BTreeSet<_> = above.iter().copied().chain(own.keys().copied()).collect();
    let components: Vec<_> = spec
        .components
        .iter()
        .chain(own.into_values())
        .map(|component| {
            let env = component.env.iter().flatten().filter_map(|variable| variable.component.as_ref());
            let others: BTreeSet<_> = env.filter(|other| names.contains(other)).map(entity).collect();
            let selector = format!("goldpath.dev/application={name},goldpath.dev/component={}", component.name);
            json!({
                "name": format!("{name}.{}", component.name),
                "title": component.name,
                "type": component.r#type.map_or("webapp", |r#type| r#type.as_str()),
                "depends_on": others,
                "selector": selector,
                "links": hosts.get(component.name.as_str()).cloned().unwrap_or_default(),
            })
        })
        .collect();
    let context = json!({
        "name": name,
        "team": team,
        "owner": format!("group:default/{team}"),
        "description": spec.description.as_ref().map_or("", |description| description.as_str()),
        "lifecycle": lifecycle,
        "source": source,
        "components": components,
        "request": request.identity.path(),
        "propagated": propagated,
    });
    fill(Format::Yaml, "system", SYSTEM, context)
}

/// The root module that makes the repository at `url`.
///
/// # Errors
/// A template that is wrong: our bug.
pub fn root_module(name: &ApplicationName, spec: &ApplicationSpec, url: &str) -> Result<FileTree, TemplateError> {
    let context = json!({
        "team": spec.team,
        "name": name,
        "description": spec.description.as_ref().map_or("", |description| description.as_str()),
        "url": url,
    });
    let mut files = FileTree::default();
    for (file, source) in ROOT_MODULE {
        let path = RelativePath::of_names(&format!("{SYSTEMS}/{}/{name}/{file}", spec.team));
        files.insert(path, fill(Format::Hcl, file, source, &context)?);
    }
    Ok(files)
}

/// See [`crate::promise::Promise::place_of`].
pub(in crate::promise) fn place_of(role: Role, path: &RelativePath) -> Option<Place<'_>> {
    let parts: Vec<_> = path.as_str().split('/').collect();
    if role == Role::Infrastructure {
        let [SYSTEMS, team, name, file] = *parts else { return None };
        let is_ours = ROOT_MODULE.iter().any(|(own, _)| *own == file)
            && TeamId::is_form(team)
            && ApplicationName::parse(name).is_ok();
        let module = path.as_str().strip_suffix(file)?.strip_suffix('/');
        return is_ours.then_some(Place { fixed: Some(team), module });
    }
    match parts.as_slice() {
        [SYSTEMS, team, file] => {
            let is_ours = TeamId::is_form(team) && ApplicationName::parse(file.strip_suffix(".yaml")?).is_ok();
            is_ours.then_some(Place { fixed: Some(team), module: None })
        }
        [HOSTS, environment, "public" | "private", host, file] => {
            let is_ours = EnvironmentName::parse(environment).is_ok() && HostName::parse(host).is_ok();
            (is_ours && file.strip_suffix(ENDING)?.starts_with("%2f")).then_some(Place { fixed: None, module: None })
        }
        [PORTS, environment, "public" | "private", file] => {
            let (protocol, port) = file.strip_suffix(ENDING)?.split_once('-')?;
            let is_ours = EnvironmentName::parse(environment).is_ok()
                && matches!(protocol, "tcp" | "udp")
                && port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
            is_ours.then_some(Place { fixed: None, module: None })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_path_is_one_segment_and_another_for_each() {
        let long = format!("/{}", "A".repeat(119));
        let other = format!("/{}B", "A".repeat(118));
        let paths = ["/", "/api", "/Api", "/api/v1", "/api-v1", "/%2fapi", "/.well-known", &long, &other];
        let names: BTreeSet<_> = paths.iter().map(|path| segment(path).to_lowercase()).collect();
        assert_eq!(names.len(), paths.len());
        for path in paths {
            let file = host_file("dev", "public", "a.example.com", path);
            assert_eq!(file.as_str().matches('/').count(), 4);
            assert_eq!(place_of(Role::Catalog, &file), Some(Place { fixed: None, module: None }), "{file}");
        }
    }

    #[test]
    fn an_application_has_its_entities_and_its_claims_and_nothing_else() {
        let place = |path: &str| {
            place_of(Role::Catalog, &RelativePath::parse(path).unwrap()).map(|p| p.fixed.map(str::to_owned))
        };
        assert_eq!(place("systems/alpha/api.yaml"), Some(Some("alpha".to_owned())));
        assert_eq!(place("ports/dev/public/tcp-5432.json"), Some(None));
        for path in [
            "systems/alpha.yaml",
            "systems/A/api.yaml",
            "systems/a/b--c.yaml",
            "hosts/dev/cluster/a.b/%2f.json",
            "hosts/dev/public/a.b/x.json",
            "ports/dev/public/http-80.json",
            "ports/dev/public/tcp-080.json",
            "ports/dev/public/tcp-0.json",
            "teams/a.yaml",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
        let main = RelativePath::parse("systems/alpha/api/main.tf").unwrap();
        let module = Some("systems/alpha/api");
        assert_eq!(place_of(Role::Infrastructure, &main), Some(Place { fixed: Some("alpha"), module }));
        for path in ["systems/alpha/main.tf", "systems/a/b/c/main.tf", "systems/a/b--c/main.tf", "systems/a/b/extra.tf"]
        {
            assert_eq!(place_of(Role::Infrastructure, &RelativePath::parse(path).unwrap()), None, "{path}");
        }
    }
}
