//! What a repository holds of every request: on its branch, and in pull requests that wait.

use super::git;
use super::gitea;
use super::inventory::{self, Inventory, Tree};
use crate::config::{Patience, Remote};
use crate::file_tree::RelativePath;
use crate::outcome::Action;
use crate::outputs::Role;
use crate::promise::find;
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
    /// Its files that the branch has not, where all of them are here to be looked at.
    pub gone: Vec<RelativePath>,
}

impl Held {
    /// Of a request that is to be there, or not, and nothing else yet.
    pub fn new(action: Action, delivered: Delivered) -> Self {
        Self { action, delivered, since: None, gone: Vec::new() }
    }
}

/// What a repository holds.
#[derive(Default)]
pub struct Holdings {
    /// By request: what there is, or why that cannot be read.
    pub requests: BTreeMap<Identity, Result<Held, String>>,
    /// What could not be read and is of nobody that is known, in a sentence each.
    pub notes: Vec<String>,
    /// Where more can be asked of each; nothing where the repository is only git.
    pub survey: Option<gitea::Survey>,
}

/// Reads what a repository holds.
///
/// # Errors
/// A repository or branch that is not there or cannot be read.
pub fn hold(role: Role, remote: &Remote, patience: &Patience) -> Result<Holdings> {
    match remote {
        Remote::Git(remote) => {
            let branch = git::Branch::open(remote)?;
            let mut holdings = branch.with_tree(|tree| Holdings::read(role, tree, true))?;
            let paths = holdings.requests.keys().map(inventory::path_of).collect::<Result<Vec<_>>>()?;
            let times = branch.last_changes(&paths)?;
            for (held, path) in holdings.requests.values_mut().zip(&paths) {
                held.iter_mut().for_each(|held| held.since = times.get(path).copied());
            }
            Ok(holdings)
        }
        Remote::Gitea(remote) => gitea::Survey::open(remote, patience)?.hold(role),
    }
}

impl Holdings {
    /// Reads every inventory of a tree, and looks for the files that they list if `is_here`: elsewhere each look is a call.
    ///
    /// # Errors
    /// A tree that cannot be read.
    pub(super) fn read(role: Role, tree: &impl Tree, is_here: bool) -> Result<Self> {
        let mut holdings = Self::default();
        let paths = inventory::inventories(tree)?;
        tree.read_ahead(&paths)?;
        let mut read = BTreeMap::new();
        for path in paths {
            let Some(content) = tree.read(&path)? else { continue };
            match (inventory::parse(&path, &content), inventory::identity_of(&path)) {
                (Ok(inventory), _) => drop(read.insert(path, inventory)),
                (Err(error), Some(request)) => drop(holdings.requests.insert(request, Err(format!("{error:#}")))),
                (Err(error), None) => holdings.notes.push(format!("{error:#}")),
            }
        }
        let mut listed = BTreeMap::<_, Vec<_>>::new();
        for (path, inventory) in &read {
            inventory.files.iter().for_each(|file| listed.entry(file).or_default().push(path));
        }
        for (path, inventory) in &read {
            let files = inventory.files.len();
            let module = module_of(role, &inventory.request, inventory.files.iter());
            let mut held = Held::new(Action::Configure, Delivered { commit: None, files, module, pull_request: None });
            for file in inventory.files.iter().filter(|_| is_here) {
                if !tree.has(file)? {
                    held.gone.push(file.clone());
                }
            }
            let held = match unbelieved(role, path, inventory, &listed, &read) {
                Some(why) => Err(why),
                None => Ok(held),
            };
            holdings.requests.insert(inventory.request.clone(), held);
        }
        Ok(holdings)
    }
}

/// Why an inventory is not believed, as a delivery has it too.
fn unbelieved(
    role: Role,
    path: &RelativePath,
    inventory: &Inventory,
    listed: &BTreeMap<&RelativePath, Vec<&RelativePath>>,
    all: &BTreeMap<RelativePath, Inventory>,
) -> Option<String> {
    // Whose kind nobody here knows is told elsewhere.
    find(inventory.request.kind.as_str()).ok()?;
    if let Err(error) = inventory::refuse_impossible(role, &inventory.request, path, &inventory.files) {
        return Some(format!("{error:#}"));
    }
    if inventory.files.is_empty() {
        return Some(format!("the inventory `{path}` lists no file: its next run writes it again"));
    }
    let other_of = |file| listed.get(file)?.iter().find(|other| **other != path);
    let other = inventory.files.iter().find_map(other_of)?;
    let shared: Vec<_> = inventory.files.intersection(&all[*other].files).collect();
    Some(inventory::sharing(path, &inventory::summary(&shared)?, other, &all[*other].request))
}

/// The folder of the root module among the files of a request: one request has one.
pub fn module_of<'p>(
    role: Role,
    request: &Identity,
    mut files: impl Iterator<Item = &'p RelativePath>,
) -> Option<String> {
    let promise = find(request.kind.as_str()).ok()?;
    files.find_map(|file| (promise.place_of)(role, file)?.module).map(str::to_owned)
}
