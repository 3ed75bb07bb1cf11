//! What a request becomes: manifests, and files for each repository.

use crate::file_tree::FileTree;
use crate::names::Username;
use crate::template::TemplateError;
use crate::violation::Violation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that a request becomes.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Kubernetes manifests, for Kratix's Destinations.
    pub manifests: FileTree,
    /// Files by the role of the repository that they belong to.
    pub repositories: BTreeMap<Role, FileTree>,
    /// The accounts in Gitea that it is about.
    pub accounts: Accounts,
    /// The request's `spec.id`.
    pub id: String,
    /// The ids of other requests that it names, by field, as `spec.parent`.
    pub relations: Vec<(String, String)>,
    /// Top-level keys of the request's status.
    pub status: serde_json::Map<String, serde_json::Value>,
}

/// Accounts in Gitea, users or organisations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// Those that the request's Terraform makes: nobody else may have their names, because the manifests give rights to who
    /// has.
    pub made: Vec<Username>,
    /// Those that it needs, by the field that names them.
    pub needed: BTreeMap<String, Vec<Username>>,
}

impl Outputs {
    /// What a request becomes that is deleted: no file in any repository.
    pub fn nothing() -> Self {
        let repositories = Role::ALL.into_iter().map(|role| (role, FileTree::default())).collect();
        Self { repositories, ..Self::default() }
    }
}

/// What a repository is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Backstage entities.
    Catalog,
    /// Terraform root modules.
    Infrastructure,
}

impl Role {
    /// Every role, in the order of delivery.
    pub const ALL: [Self; 2] = [Self::Catalog, Self::Infrastructure];

    /// As in the configuration and in folder names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Infrastructure => "infrastructure",
        }
    }
}

/// Why a request became nothing.
#[derive(Debug)]
pub enum Unrendered {
    /// The request is wrong: every fault of it.
    Wrong(Vec<Violation>),
    /// We are.
    Broken(TemplateError),
}

impl From<TemplateError> for Unrendered {
    fn from(error: TemplateError) -> Self {
        Self::Broken(error)
    }
}

impl From<Vec<Violation>> for Unrendered {
    fn from(violations: Vec<Violation>) -> Self {
        Self::Wrong(violations)
    }
}
