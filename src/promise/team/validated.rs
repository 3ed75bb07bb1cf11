//! A Team with nothing left open: what rendering gets.

use super::request::{Member, Role, TeamSpec, Visibility};
use crate::config::{Config, ContainerDefaults, Network, Propagated, Resources};
use crate::names::{Description, DisplayName, Email, GroupPrefix, TeamId};
use crate::quantity::{Bytes, Count, Cpu};

/// A Team whose every value is known and keeps its rule.
#[derive(Debug)]
pub struct ValidatedTeam {
    /// See [`TeamSpec::id`].
    pub id: TeamId,
    /// See [`TeamSpec::name`].
    pub name: DisplayName,
    /// The user's, or the id at the platform's domain.
    pub email: Email,
    /// See [`TeamSpec::description`].
    pub description: Option<Description>,
    /// See [`TeamSpec::parent`].
    pub parent: Option<TeamId>,
    /// By role, in the order of [`Role`], then by name.
    pub members: Vec<Member>,
    /// The user's, completed by the platform's.
    pub quota: ValidatedQuota,
    /// What a container gets that does not say, which fits into the quota.
    pub containers: ContainerDefaults,
    /// See [`TeamSpec::visibility`].
    pub visibility: Visibility,
    /// Sorted.
    pub allow_network_from: Vec<TeamId>,
    /// The organisation's page in Gitea.
    pub organization_url: String,
    /// What the platform lets the namespace reach, and be reached by.
    pub network: Network,
    /// What the API server puts before the groups of Gitea's.
    pub group_prefix: GroupPrefix,
    /// What manifests and entity have of the request's own labels and annotations.
    pub propagated: Propagated,
}

/// A quota whose every limit is known.
#[derive(Debug, serde::Serialize)]
pub struct ValidatedQuota {
    /// Processors.
    pub cpu: Cpu,
    /// Bytes of memory.
    pub memory: Bytes,
    /// Bytes of persistent storage.
    pub storage: Bytes,
    /// Pods.
    pub pods: Count,
}

/// Completes a Team from the platform's configuration; members and ids are sorted, so that their
/// order in the request changes nothing.
pub fn validate(spec: TeamSpec, propagated: Propagated, config: &Config) -> ValidatedTeam {
    // Who may name the Team is for those who do.
    let TeamSpec {
        id,
        name,
        email,
        description,
        parent,
        mut members,
        quota,
        visibility,
        mut allow_network_from,
        request_namespaces: _,
    } = spec;
    members.sort_by(|a, b| (a.role, &a.username).cmp(&(b.role, &b.username)));
    allow_network_from.sort();
    let defaults = &config.defaults.quota;
    let quota = ValidatedQuota {
        cpu: quota.cpu.unwrap_or_else(|| defaults.cpu.clone()),
        memory: quota.memory.unwrap_or_else(|| defaults.memory.clone()),
        storage: quota.storage.unwrap_or_else(|| defaults.storage.clone()),
        pods: quota.pods.unwrap_or(defaults.pods),
    };
    let ContainerDefaults { limits, requests } = &config.defaults.containers;
    let limits =
        Resources { cpu: limits.cpu.within(&quota.cpu).clone(), memory: limits.memory.within(&quota.memory).clone() };
    let requests = Resources {
        cpu: requests.cpu.within(&limits.cpu).clone(),
        memory: requests.memory.within(&limits.memory).clone(),
    };
    ValidatedTeam {
        email: email.unwrap_or_else(|| config.defaults.email_domain.address_of(&id)),
        quota,
        containers: ContainerDefaults { limits, requests },
        organization_url: format!("{}/{id}", config.gitea_url),
        network: config.network.clone(),
        group_prefix: config.group_prefix.clone(),
        propagated,
        id,
        name,
        description: description.filter(|d| !d.as_str().is_empty()),
        parent,
        members,
        visibility,
        allow_network_from,
    }
}

impl ValidatedTeam {
    /// The people of each role in use, from the most to the least: `(role, user names)`.
    pub fn members_by_role(&self) -> impl Iterator<Item = (&'static str, Role, Vec<&str>)> {
        Role::ALL.into_iter().filter_map(|(name, role)| {
            let people: Vec<_> = self.members.iter().filter(|m| m.role == role).map(|m| m.username.as_str()).collect();
            (!people.is_empty()).then_some((name, role, people))
        })
    }
}
