//! Delivery: the files of a request, in the repositories, owned by it.
//!
//! Nothing is written while any file of it belongs to another request, in any repository. What
//! is written is one commit a repository, or none where nothing changes.

mod git;
mod index;
mod inventory;

use crate::config::{Author, Remote};
use crate::file_tree::{FileTree, RelativePath};
use crate::promise::Role;
use crate::request::Identity;
use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

pub use git::create as create_repository;

/// What is to be delivered, for whom.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The request.
    pub identity: Identity,
    /// Which edit of it.
    pub generation: Option<u64>,
    /// All files of it in each repository; none to take away what there is.
    pub files: BTreeMap<Role, FileTree>,
    /// Who commits.
    pub author: Author,
    /// When.
    pub time: Timestamp,
}

/// What a delivery does or did in one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The commit that holds the files; none in a repository that is still empty, or in a dry run.
    pub commit: Option<String>,
    /// What changed; nothing where all was there already.
    pub changes: Vec<Change>,
    /// How many files of the request there are now, without what Goldpath keeps beside them.
    pub files: usize,
    /// The changes as a unified diff.
    #[serde(skip)]
    pub diff: String,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its path.
    pub path: RelativePath,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It has other content.
    Changed,
    /// It is gone.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        write!(f, "{sign} {}", self.path)
    }
}

/// Why nothing was delivered.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// A file of the request is there already and not its own: the request has to change.
    #[error("`{path}` in {repository} belongs to {owner}", repository = .repository.as_str())]
    Taken {
        /// Which repository.
        repository: Role,
        /// Which file.
        path: RelativePath,
        /// Whose it is.
        owner: Owner,
    },
    /// Something around it that may pass.
    #[error(transparent)]
    Passing(#[from] anyhow::Error),
}

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Another request's.
    Request(Identity),
    /// Nobody's that we know: somebody wrote it by hand.
    Nobody,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(identity) => write!(f, "{identity}"),
            Self::Nobody => f.write_str("no request (somebody wrote it by hand)"),
        }
    }
}

/// Delivers to every repository that there are files for. With `dry_run` it only finds out what
/// it would do.
///
/// # Errors
/// A file that belongs to another request, before anything is written; anything that may pass, a
/// race that was not won by `deadline` included. Running it again finishes what was begun.
pub fn deliver(
    remotes: &BTreeMap<Role, Remote>,
    delivery: &Delivery,
    dry_run: bool,
    deadline: Instant,
) -> Result<BTreeMap<Role, Outcome>, Undelivered> {
    let mut open = Vec::new();
    let mut outcomes = BTreeMap::new();
    for (role, files) in &delivery.files {
        let remote = remotes
            .get(role)
            .ok_or_else(|| anyhow::anyhow!("the configuration names no repository for {}", role.as_str()))?;
        let repository = git::Branch::open(remote)?;
        outcomes.insert(*role, repository.preview(*role, delivery, files)?);
        open.push((*role, files, repository));
    }
    if !dry_run {
        for (role, files, repository) in open {
            outcomes.insert(role, repository.commit(role, delivery, files, deadline)?);
        }
    }
    Ok(outcomes)
}
