//! What the user wrote: Team's API.
//!
//! The types are the API's only definition: the schema by which the API server checks a request, and the reader that
//! reports every fault of it at once, are derived from them.

use crate::api::Api;
use crate::config::Config;
use crate::document::Node;
use crate::fields;
use crate::known::Relation;
use crate::names::{Description, DisplayName, Email, NamespaceName, TeamId, Username};
use crate::quantity::{Bytes, Count, Cpu};
use crate::violation::Violation;

/// What a Team is to be.
#[derive(Debug, Api)]
pub struct TeamSpec {
    /// The Team's id, for ever: its organisation in Gitea and, after `team-`, its namespace.
    #[api(Fixed)]
    pub id: TeamId,
    /// The name that people know the Team by.
    pub name: DisplayName,
    /// Where mail reaches the Team; by default its id at the platform's mail domain.
    pub email: Option<Email>,
    /// What the Team does.
    pub description: Option<Description>,
    /// The id of the Team that this one belongs to.
    #[api(Another { own: "id", kind: "Team" })]
    pub parent: Option<TeamId>,
    /// The people of the Team, each once.
    #[api(Max(500), UniqueInAnyCase("username"))]
    pub members: Vec<Member>,
    /// What the Team's namespace may use; by default as the platform has it.
    pub quota: Quota,
    /// Who sees the Team's organisation in Gitea.
    pub visibility: Visibility,
    /// The ids of the Teams whose namespaces may connect to this one's.
    #[api(Max(100), Unique, Another { own: "id", kind: "Team" })]
    pub allow_network_from: Vec<TeamId>,
    /// The namespaces whose requests may name the Team, beside its own: who may write requests there deploys in its name.
    #[api(Max(100), Unique)]
    pub request_namespaces: Vec<NamespaceName>,
}

impl TeamSpec {
    /// The other Teams that it names.
    pub fn relations(&self) -> Vec<Relation> {
        let relation = |path: String, id: &TeamId| Relation { path, need: super::need_of(id), rule: "unknown-team" };
        let neighbours = self.allow_network_from.iter().enumerate();
        let neighbours = neighbours.map(|(n, id)| relation(format!("spec.allowNetworkFrom[{n}]"), id));
        self.parent.iter().map(|id| relation("spec.parent".to_owned(), id)).chain(neighbours).collect()
    }
}

/// One person of a Team.
#[derive(Debug, Api)]
pub struct Member {
    /// The person's user name in Gitea.
    pub username: Username,
    /// What the person may do.
    pub role: Role,
}

/// What a person may do in a Team's organisation and namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Api)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
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
#[derive(Debug, Api)]
pub struct Quota {
    /// Processors, requested and at most.
    pub cpu: Option<Cpu>,
    /// Memory, requested and at most.
    pub memory: Option<Bytes>,
    /// Persistent storage.
    pub storage: Option<Bytes>,
    /// The number of Pods.
    pub pods: Option<Count>,
}

/// Reads a Team's spec. An id that is an account of the platform's own, by `config`, is a fault as others are.
///
/// # Errors
/// Every fault of it.
pub fn parse(spec: &Node, config: &Config) -> Result<TeamSpec, Vec<Violation>> {
    let mut faults = Vec::new();
    let team = fields::read(spec, "spec", &mut faults, |spec| {
        let team = TeamSpec::fill(spec);
        spec.value("id", |id| match id.as_str().map(TeamId::parse) {
            Some(Ok(id)) => id.none_of(config.accounts()).map(drop),
            // A fault already.
            _ => Ok(()),
        });
        team
    });
    team.filter(|_| faults.is_empty()).ok_or(faults)
}
