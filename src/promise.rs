//! The one table of Promises: kind → its API, and what a request of it becomes.
//!
//! A Promise lives in a folder of this one, and in one line of [`PROMISES`].

mod team;

use crate::config::Config;
use crate::document::Node;
use crate::file_tree::{FileTree, RelativePath};
use crate::names::Username;
use crate::request::Request;
use crate::template::TemplateError;
use crate::violation::{Refusal, Violation, quote};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every Promise, by kind.
pub const PROMISES: [Promise; 1] = [team::PROMISE];

/// What the platform promises for one kind of request.
#[derive(Debug)]
pub struct Promise {
    /// The name of the Promise and of its folders, as `team`.
    pub name: &'static str,
    /// As `Team`.
    pub kind: &'static str,
    /// The API, made from the Rust types.
    pub definition: fn() -> CustomResourceDefinition,
    /// Every fault of a spec.
    pub check: fn(&Node, &Config) -> Vec<Violation>,
    /// Parses and validates a request's spec, and renders what it asks for: no I/O.
    pub generate: fn(&Request<'_>, &Config) -> Result<Outputs, Unrendered>,
    /// The `spec.id` of the request of this kind that can have a file at a path, now or as an earlier version rendered it.
    /// Nothing else is removed or overwritten on the word of an inventory, which others may edit.
    pub id_of: fn(Role, &RelativePath) -> Option<&str>,
}

impl Promise {
    /// The kind as kubectl takes it whatever other kinds a cluster has: as `teams.platform.kratix.io`.
    pub fn resource(&self) -> String {
        (self.definition)().metadata.name.unwrap_or_default()
    }
}

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

/// The Promise of a kind.
///
/// # Errors
/// A kind that nobody promises, with the nearest that somebody does.
pub fn find(kind: &str) -> Result<&'static Promise, Refusal> {
    static TABLE: [Promise; PROMISES.len()] = PROMISES;
    let kinds = TABLE.iter().map(|p| p.kind);
    TABLE.iter().find(|p| p.kind == kind).ok_or_else(|| {
        let known: Vec<_> = kinds.clone().map(|k| format!("`{k}`")).collect();
        Refusal::new("kind", format!("{} is not a kind of this platform", quote(kind)))
            .help(format!("use {}", known.join(", ")))
            .suggest(kind, kinds)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use std::fs;

    #[test]
    fn every_file_of_a_case_is_one_that_its_kind_can_have() {
        let mut seen = 0;
        for promise in &PROMISES {
            let cases = format!("{}/promises/{}/cases", env!("CARGO_MANIFEST_DIR"), promise.name);
            let cases = fs::read_dir(cases).unwrap().map(|case| case.unwrap().path());
            let files = cases.flat_map(|case| ["request.yaml", "update.yaml"].map(|name| case.join(name)));
            let sources = files.filter_map(|file| crate::document::parse(&fs::read(file).ok()?).ok());
            for request in sources.flatten() {
                let Ok((_, outputs)) = crate::generate(&request, &Config::default()) else { continue };
                for (role, tree) in &outputs.repositories {
                    assert_eq!(tree.paths().find(|path| (promise.id_of)(*role, path).is_none()), None);
                    seen += tree.len();
                }
            }
        }
        assert!(seen >= 50, "only {seen} files were seen");
    }
}
