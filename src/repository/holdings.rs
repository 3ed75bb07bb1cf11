//! What a repository holds of every request: on its branch, and in pull requests that wait.

use super::git;
use super::gitea;
use super::inventory::{self, Tree};
use crate::config::{Patience, Remote};
use crate::file_tree::RelativePath;
use crate::outcome::Action;
use crate::outputs::Role;
use crate::request::Identity;
use crate::status::Delivered;
use anyhow::Result;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What there is of one request.
#[derive(Clone, Debug)]
pub struct Held {
    /// Whether it is there, or is to be removed by a pull request that waits.
    pub action: Action,
    /// The same as the request's own status would say.
    pub delivered: Delivered,
    /// When the branch last changed for it, where its history is here.
    pub since: Option<Timestamp>,
}

/// What a repository holds.
#[derive(Default)]
pub struct Holdings {
    /// By request.
    pub requests: BTreeMap<Identity, Held>,
    /// What could not be read, in a sentence each.
    pub notes: Vec<String>,
    /// Where more can be asked of each; nothing where the repository is only git.
    pub survey: Option<gitea::Survey>,
}

/// Reads what a repository holds.
///
/// # Errors
/// A repository that is not there or cannot be read.
pub fn hold(role: Role, remote: &Remote, patience: &Patience) -> Result<Holdings> {
    let mut holdings = match remote {
        Remote::Git(remote) => {
            let branch = git::Branch::open(remote)?;
            let mut holdings = branch.with_tree(|tree| Holdings::read(role, tree))?;
            let times = branch.last_changes(&holdings.inventories()?)?;
            for (request, held) in &mut holdings.requests {
                held.since = times.get(&inventory::path_of(request)?).copied();
            }
            holdings
        }
        Remote::Gitea(remote) => gitea::Survey::open(remote, patience)?.hold(role)?,
    };
    holdings.notes.sort();
    Ok(holdings)
}

impl Holdings {
    /// Reads every inventory of a tree.
    ///
    /// # Errors
    /// A tree that cannot be read.
    pub(super) fn read(role: Role, tree: &impl Tree) -> Result<Self> {
        let mut holdings = Self::default();
        let paths = inventory::inventories(tree)?;
        tree.read_ahead(&paths)?;
        for path in paths {
            let Some(content) = tree.read(&path)? else { continue };
            match inventory::parse(&path, &content) {
                Ok(inventory) => {
                    let module = module_of(role, inventory.files.iter());
                    let delivered =
                        Delivered { commit: None, files: inventory.files.len(), module, pull_request: None };
                    let held = Held { action: Action::Configure, delivered, since: None };
                    holdings.requests.insert(inventory.request, held);
                }
                Err(error) => holdings.notes.push(format!("{error:#}")),
            }
        }
        Ok(holdings)
    }

    /// Where the inventories are that were read.
    fn inventories(&self) -> Result<Vec<RelativePath>> {
        self.requests.keys().map(inventory::path_of).collect()
    }
}

/// The folder of the root module among the files of a request: one request has one.
pub fn module_of<'p>(role: Role, mut files: impl Iterator<Item = &'p RelativePath>) -> Option<String> {
    let folder = files.next().filter(|_| role == Role::Infrastructure)?.folders().last()?;
    Some(folder.to_owned())
}
