//! What a request becomes: manifests, and files for each repository.

use crate::file_tree::{FileTree, RelativePath};
use crate::known::{ABSENT, Relation};
use crate::names::Username;
use crate::violation::Violation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that a request becomes.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Kubernetes manifests, for Kratix's Destinations: for those of the Promise, or in a folder of `destinations`.
    pub manifests: FileTree,
    /// The labels of the Destination that gets what is in a folder of `manifests`, by that folder.
    pub destinations: BTreeMap<String, BTreeMap<String, String>>,
    /// Files by the role of the repository that they belong to.
    pub repositories: BTreeMap<Role, FileTree>,
    /// The accounts in Gitea that it is about.
    pub accounts: Accounts,
    /// What files claim that is not the request's id: a name that requests share.
    pub claims: Claims,
    /// The request's id.
    pub id: String,
    /// The other requests that it names.
    pub relations: Vec<Relation>,
    /// What may be wrong, as far as is known, with the paths of the fields and without their places.
    pub warnings: Vec<Violation>,
    /// Top-level keys of the request's status.
    pub status: serde_json::Map<String, serde_json::Value>,
}

/// What files claim, by their paths.
pub type Claims = BTreeMap<RelativePath, Claim>;

/// A claim on a name that one request has, as a host: its file is in the catalog, whose owner has the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The field of the request that names it.
    pub field: String,
    /// What it is, in words.
    pub what: String,
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
    /// What may be wrong wherever the request is, in a sentence each.
    pub fn lasting_warnings(&self) -> Vec<String> {
        self.warnings.iter().filter(|warning| warning.rule == ABSENT).map(Violation::sentence).collect()
    }

    /// What a request becomes that is deleted: no file in any repository.
    pub fn nothing() -> Self {
        let repositories = Role::ALL.into_iter().map(|role| (role, FileTree::default())).collect();
        Self { repositories, ..Self::default() }
    }
}

/// What a repository is for. All that makes one differ from another stands here: who wants to know asks for the property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Backstage entities.
    Catalog,
    /// Terraform root modules.
    Infrastructure,
}

/// What is true of a repository by what it is for.
struct Properties {
    name: &'static str,
    has_index: bool,
    has_root_modules: bool,
    is_reviewed: bool,
}

impl Role {
    /// Every role, in the order of delivery.
    pub const ALL: [Self; 2] = [Self::Catalog, Self::Infrastructure];

    const fn properties(self) -> Properties {
        match self {
            Self::Catalog => {
                Properties { name: "catalog", has_index: true, has_root_modules: false, is_reviewed: false }
            }
            Self::Infrastructure => {
                Properties { name: "infrastructure", has_index: false, has_root_modules: true, is_reviewed: true }
            }
        }
    }

    /// As in the configuration and in folder names.
    pub const fn as_str(self) -> &'static str {
        self.properties().name
    }

    /// Whether it has a list of all entities in it, which is kept current.
    pub const fn has_index(self) -> bool {
        self.properties().has_index
    }

    /// Whether Terraform is run on what is in it.
    pub const fn has_root_modules(self) -> bool {
        self.properties().has_root_modules
    }

    /// Whether a person is asked before something gets there, where the configuration does not say.
    pub const fn is_reviewed(self) -> bool {
        self.properties().is_reviewed
    }
}

/// Why a request became nothing.
#[derive(Debug)]
pub enum Unrendered {
    /// The request is wrong: every fault of it.
    Wrong(Vec<Violation>),
    /// We are: which template.
    Broken(anyhow::Error),
    /// What it refers to could not be looked for: why.
    Unknown(anyhow::Error),
}
