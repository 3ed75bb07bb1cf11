//! What a Team becomes: manifests, an entity, a root module.

use super::request::{Role, Visibility};
use super::validated::{ValidatedQuota, ValidatedTeam};
use crate::config::{ContainerDefaults, Network, Propagated};
use crate::file_tree::{FileTree, RelativePath};
use crate::names::{TeamId, Username};
use crate::outputs::{Accounts, Outputs, Role as RepositoryRole};
use crate::promise::Place;
use crate::request::Identity;
use crate::template::{Format, TemplateError, render as fill};
use serde::Serialize;
use std::collections::BTreeMap;

const MANIFESTS: [(&str, &str); 6] = [
    ("namespace", include_str!("../../../manifests/team/namespace.yaml.j2")),
    ("quota", include_str!("../../../manifests/team/quota.yaml.j2")),
    ("limits", include_str!("../../../manifests/team/limits.yaml.j2")),
    ("network-policies", include_str!("../../../manifests/team/network-policies.yaml.j2")),
    ("role-bindings", include_str!("../../../manifests/team/role-bindings.yaml.j2")),
    ("service-account", include_str!("../../../manifests/team/service-account.yaml.j2")),
];

const GROUP: &str = include_str!("../../../manifests/backstage/group.yaml.j2");

/// The folder of every Team's files, in both repositories.
const FOLDER: &str = "teams";

/// The name of a file that is not rendered any more goes to [`place_of`], so that inventories that list it are believed.
const ROOT_MODULE: [(&str, &str); 4] = [
    ("backend.tf", include_str!("../../../terraform_templates/backend.tf.j2")),
    ("main.tf", include_str!("../../../terraform_templates/team/main.tf.j2")),
    ("outputs.tf", include_str!("../../../terraform_templates/team/outputs.tf.j2")),
    ("providers.tf", include_str!("../../../terraform_templates/providers.tf.j2")),
];

/// What the templates see: whole values, none of them to be glued to another.
#[derive(Serialize)]
struct Context<'a> {
    id: &'a str,
    name: &'a str,
    email: &'a str,
    description: &'a str,
    parent: Option<&'a str>,
    visibility: Visibility,
    namespace: String,
    request: String,
    folder: String,
    repository: String,
    organization_url: &'a str,
    quota: &'a ValidatedQuota,
    containers: &'a ContainerDefaults,
    network: &'a Network,
    propagated: &'a Propagated,
    members: Vec<&'a str>,
    teams: Vec<GiteaTeam>,
    role_bindings: Vec<RoleBinding>,
    allowed_namespaces: Vec<String>,
}

/// A team in the organisation.
#[derive(Serialize)]
struct GiteaTeam {
    role: &'static str,
    permission: &'static str,
    can_create_repos: bool,
    /// In lower case, as Gitea compares them: each is a key in Terraform's state, and one that changed its case would be
    /// destroyed and made side by side, in any order.
    usernames: Vec<String>,
}

#[derive(Serialize)]
struct RoleBinding {
    role: &'static str,
    cluster_role: &'static str,
    /// A team as Gitea's OIDC names it, behind the API server's prefix.
    group: String,
}

/// Renders everything that a Team becomes.
///
/// # Errors
/// A template that is wrong: our bug.
pub fn render(identity: &Identity, team: &ValidatedTeam) -> Result<Outputs, TemplateError> {
    let context = Context::new(identity, team);
    let mut manifests = FileTree::default();
    for (name, source) in MANIFESTS {
        let path = format!("{}_{name}.yaml", identity.file_name());
        manifests.insert(RelativePath::of_names(&path), fill(Format::Yaml, name, source, &context)?);
    }
    let mut catalog = FileTree::default();
    catalog.insert(
        RelativePath::of_names(&format!("{FOLDER}/{}.yaml", team.id)),
        fill(Format::Yaml, "group", GROUP, &context)?,
    );
    let mut infrastructure = FileTree::default();
    for (name, source) in ROOT_MODULE {
        infrastructure.insert(
            RelativePath::of_names(&format!("{}/{name}", context.folder)),
            fill(Format::Hcl, name, source, &context)?,
        );
    }
    Ok(Outputs {
        manifests,
        repositories: BTreeMap::from([
            (RepositoryRole::Catalog, catalog),
            (RepositoryRole::Infrastructure, infrastructure),
        ]),
        accounts: Accounts {
            made: vec![Username::from(&team.id)],
            needed: BTreeMap::from([(
                "spec.members".to_owned(),
                team.members.iter().map(|member| member.username.clone()).collect(),
            )]),
        },
        id: team.id.to_string(),
        status: serde_json::Map::from_iter([("email".to_owned(), team.email.as_str().into())]),
        ..Outputs::default()
    })
}

/// See [`crate::promise::Promise::place_of`].
pub fn place_of(role: RepositoryRole, path: &RelativePath) -> Option<Place<'_>> {
    let (FOLDER, rest) = path.as_str().split_once('/')? else { return None };
    let (id, module) = match role {
        RepositoryRole::Catalog => (rest.strip_suffix(".yaml")?, None),
        RepositoryRole::Infrastructure => {
            let (id, file) = rest.split_once('/')?;
            ROOT_MODULE.iter().find(|(name, _)| *name == file)?;
            (id, path.as_str().strip_suffix(file)?.strip_suffix('/'))
        }
    };
    TeamId::is_form(id).then_some(Place { fixed: Some(id), module })
}

impl<'a> Context<'a> {
    fn new(identity: &Identity, team: &'a ValidatedTeam) -> Self {
        let mut members: Vec<_> = team.members.iter().map(|m| m.username.as_str()).collect();
        members.sort_unstable();
        let folder = format!("{FOLDER}/{}", team.id);
        Self {
            id: team.id.as_str(),
            name: team.name.as_str(),
            email: team.email.as_str(),
            description: team.description.as_ref().map_or("", |d| d.as_str()),
            parent: team.parent.as_ref().map(|p| p.as_str()),
            visibility: team.visibility,
            namespace: format!("team-{}", team.id),
            request: identity.path(),
            repository: format!("{}/{folder}", RepositoryRole::Infrastructure.as_str()),
            folder,
            organization_url: &team.organization_url,
            quota: &team.quota,
            containers: &team.containers,
            network: &team.network,
            propagated: &team.propagated,
            members,
            teams: team
                .members_by_role()
                .map(|(name, role, usernames)| GiteaTeam::new(name, role, &usernames))
                .collect(),
            role_bindings: Role::ALL
                .into_iter()
                .map(|(name, role)| RoleBinding {
                    role: name,
                    cluster_role: cluster_role(role),
                    group: team.group_prefix.group(&team.id, name),
                })
                .collect(),
            allowed_namespaces: team.allow_network_from.iter().map(|id| format!("team-{id}")).collect(),
        }
    }
}

impl GiteaTeam {
    fn new(role: &'static str, kind: Role, usernames: &[&str]) -> Self {
        let (permission, can_create_repos) = match kind {
            Role::Admin => ("admin", true),
            Role::Maintainer => ("write", true),
            Role::Developer => ("write", false),
            Role::Viewer => ("read", false),
        };
        let mut usernames: Vec<_> = usernames.iter().map(|name| name.to_lowercase()).collect();
        usernames.sort();
        Self { role, permission, can_create_repos, usernames }
    }
}

/// Kubernetes' own roles for people in a namespace.
pub(in crate::promise) fn cluster_role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Maintainer | Role::Developer => "edit",
        Role::Viewer => "view",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_team_has_its_entity_and_its_root_module_and_nothing_else() {
        let id_of = |role, path: &str| Some(place_of(role, &RelativePath::parse(path).unwrap())?.fixed?.to_owned());
        // A name that is reserved today may have been an id.
        for id in ["alpha", "a-1", "gitea-actions"] {
            assert_eq!(id_of(RepositoryRole::Catalog, &format!("teams/{id}.yaml")).as_deref(), Some(id));
            assert_eq!(id_of(RepositoryRole::Infrastructure, &format!("teams/{id}/main.tf")).as_deref(), Some(id));
        }
        let main = RelativePath::parse("teams/a-1/main.tf").unwrap();
        let module = Some("teams/a-1");
        assert_eq!(place_of(RepositoryRole::Infrastructure, &main), Some(Place { fixed: Some("a-1"), module }));
        let names = ["Teams/a.yaml", "teams/A.yaml", "teams/a.yml", "teams/a.YAML", "teams/.yaml", "teams/-a.yaml"];
        let places = ["teams/a/b.yaml", "a.yaml", "x/teams/a.yaml", "teams/\u{430}.yaml", "teams/a/main.tf"];
        for path in names.into_iter().chain(places) {
            assert_eq!(id_of(RepositoryRole::Catalog, path), None, "{path}");
        }
        let names = ["teams/a/extra.tf", "teams/a/Main.tf", "teams/A/main.tf", "teams/a/main.tf.json"];
        let places = ["teams/a/b/main.tf", "teams/main.tf", "x/teams/a/main.tf", "teams/a.yaml"];
        for path in names.into_iter().chain(places) {
            assert_eq!(id_of(RepositoryRole::Infrastructure, path), None, "{path}");
        }
    }
}
