//! What the user wrote: Team's API, and its parser.
//!
//! The types are the API's only definition; the CRD is generated from them. The parser fills
//! them from a request, or reports every fault at once.

use crate::config::Config;
use crate::document::Node;
use crate::fields::{self, Fields, one_of};
use crate::known::{Need, Relation};
use crate::names::{Description, DisplayName, Email, Kind, TeamId, Username};
use crate::quantity::{Bytes, Count, Cpu};
use crate::status::Status;
use crate::violation::{Refusal, Violation};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// As many people as one Team may have.
const MAX_MEMBERS: usize = 500;
/// As many Teams as one Team may let in.
const MAX_ALLOWED: usize = 100;

/// What a Team is to be.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "platform.kratix.io",
    version = "v1alpha1",
    kind = "Team",
    plural = "teams",
    shortname = "tm",
    doc = "A team of people: its namespace, its organisation in Gitea, its entry in the catalog",
    namespaced,
    status = "Status",
    selectable = ".spec.id",
    printcolumn = r#"{"name":"Id", "type":"string", "jsonPath":".spec.id"}"#,
    printcolumn = r#"{"name":"Email", "type":"string", "jsonPath":".status.email"}"#,
    printcolumn = r#"{"name":"Message", "type":"string", "jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.id == oldSelf.id", "fieldPath": ".id", "message": "cannot be changed: it names what exists already"},
    {"rule": "!has(self.parent) || self.parent != self.id", "fieldPath": ".parent", "message": "is the Team itself"},
    {"rule": "!has(self.allowNetworkFrom) || !(self.id in self.allowNetworkFrom)", "fieldPath": ".allowNetworkFrom", "message": "holds the Team itself"},
]))]
pub struct TeamSpec {
    /// The Team's id, for ever: its organisation in Gitea and, after `team-`, its namespace.
    pub id: TeamId,
    /// The name that people know the Team by.
    pub name: DisplayName,
    /// Where mail reaches the Team; by default its id at the platform's mail domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// What the Team does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The id of the Team that this one belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TeamId>,
    /// The people of the Team, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["username"]))]
    pub members: Vec<Member>,
    /// What the Team's namespace may use; by default as the platform has it.
    #[serde(default)]
    pub quota: Quota,
    /// Who sees the Team's organisation in Gitea.
    #[serde(default)]
    pub visibility: Visibility,
    /// The ids of the Teams whose namespaces may connect to this one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub allow_network_from: Vec<TeamId>,
}

impl TeamSpec {
    /// The other Teams that it names.
    pub fn relations(&self) -> Vec<Relation> {
        let kind = Kind::parse("Team").expect("a constant");
        let relation = |path: String, id: &TeamId| {
            let need = Need::Request { kind: kind.clone(), id: id.to_string() };
            Relation { path, need, rule: "unknown-team" }
        };
        let neighbours = self.allow_network_from.iter().enumerate();
        let neighbours = neighbours.map(|(n, id)| relation(format!("spec.allowNetworkFrom[{n}]"), id));
        self.parent.iter().map(|id| relation("spec.parent".to_owned(), id)).chain(neighbours).collect()
    }
}

/// One person of a Team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The person's user name in Gitea.
    pub username: Username,
    /// What the person may do.
    #[serde(default)]
    pub role: Role,
}

/// What a person may do in a Team's organisation and namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Write, and make repositories.
    Maintainer,
    /// Write.
    #[default]
    Developer,
    /// Read.
    Viewer,
}

/// Who sees an organisation in Gitea.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// Everybody who is signed in.
    Limited,
    /// Its members.
    Private,
}

/// What a namespace may use, as far as the user says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Processors, requested and at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory, requested and at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Persistent storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Bytes>,
    /// The number of Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<Count>,
}

impl Role {
    /// Every role, from the most to the least.
    pub const ALL: [(&'static str, Self); 4] = [
        ("admin", Self::Admin),
        ("maintainer", Self::Maintainer),
        ("developer", Self::Developer),
        ("viewer", Self::Viewer),
    ];
}

impl Visibility {
    const ALL: [(&'static str, Self); 3] =
        [("public", Self::Public), ("limited", Self::Limited), ("private", Self::Private)];
}

/// Reads a Team's spec. An id that is an account of the platform's own, by `config`, is a fault as others are.
///
/// # Errors
/// Every fault of it.
pub fn parse(spec: &Node, config: &Config) -> Result<TeamSpec, Vec<Violation>> {
    let mut faults = Vec::new();
    let spec = fields::read(spec, "spec", &mut faults, |spec| {
        let id = spec.required("id", |text| TeamId::parse(text)?.none_of(config.accounts()));
        let own = id.clone();
        let other = |text: &str| match TeamId::parse(text)? {
            other if Some(&other) == own.as_ref() => {
                Err(Refusal::new("self", "is the Team itself").help("name another Team"))
            }
            other => Ok(other),
        };
        let name = spec.required("name", DisplayName::parse);
        let email = spec.optional("email", Email::parse);
        let description = spec.optional("description", Description::parse);
        let parent = spec.optional("parent", other);
        let mut usernames = BTreeSet::new();
        let members = spec.objects("members", MAX_MEMBERS, |member| {
            let username = member.required("username", once(&mut usernames, Username::parse));
            let role = member.optional("role", |text| one_of(text, &Role::ALL));
            Some(Member { username: username?, role: role.unwrap_or_default() })
        });
        let quota = spec.object("quota", |quota| Some(parse_quota(quota)));
        let visibility = spec.optional("visibility", |text| one_of(text, &Visibility::ALL));
        let mut allowed = BTreeSet::new();
        let allow_network_from = spec.texts("allowNetworkFrom", MAX_ALLOWED, once(&mut allowed, other));
        Some(TeamSpec {
            id: id?,
            name: name?,
            email,
            description,
            parent,
            members,
            quota: quota.unwrap_or_default(),
            visibility: visibility.unwrap_or_default(),
            allow_network_from,
        })
    });
    spec.filter(|_| faults.is_empty()).ok_or(faults)
}

fn parse_quota(quota: &mut Fields<'_, '_>) -> Quota {
    Quota {
        cpu: quota.value("cpu", Cpu::parse),
        memory: quota.value("memory", Bytes::parse),
        storage: quota.value("storage", Bytes::parse),
        pods: quota.value("pods", Count::parse),
    }
}

/// Parses as `parse`, and refuses what was `seen` before; Gitea's names differ in more than case.
fn once<T: ToString>(
    seen: &mut BTreeSet<String>,
    mut parse: impl FnMut(&str) -> Result<T, Refusal>,
) -> impl FnMut(&str) -> Result<T, Refusal> {
    move |text| {
        let value = parse(text)?;
        if seen.insert(value.to_string().to_lowercase()) {
            return Ok(value);
        }
        Err(Refusal::new("duplicate", format!("`{}` is listed twice", value.to_string())).help("keep one of the two"))
    }
}

/// The schema of an enumeration: the API server takes no `oneOf` with descriptions in its place.
macro_rules! enumeration {
    ($name:ident) => {
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "enum": $name::ALL.map(|(name, _)| name)})
            }
        }
    };
}

enumeration!(Role);
enumeration!(Visibility);
