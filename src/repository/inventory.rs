//! Who owns which files: one inventory a request, in the repository itself.
//!
//! A file belongs to the request whose inventory lists it. [`plan`] works out what a delivery
//! changes in a tree, or whose files are in its way.

use super::{Change, ChangeKind, Owner, index};
use crate::file_tree::{FileTree, RelativePath};
use crate::promise::Role;
use crate::request::Identity;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The folder of the inventories.
pub const FOLDER: &str = ".goldpath";

/// The files of one request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Inventory {
    /// Whose they are.
    pub request: Identity,
    /// Their paths, sorted.
    pub files: BTreeSet<RelativePath>,
}

/// What a repository's branch holds.
pub trait Tree {
    /// The content of a file; none where there is no file.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn read(&self, path: &RelativePath) -> Result<Option<Vec<u8>>>;

    /// Whether something stands in the way of a file: a folder of its name, or a file that has
    /// the name of one of its folders.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn is_blocked(&self, path: &RelativePath) -> Result<bool>;

    /// Every file's path below a folder, or everywhere.
    ///
    /// # Errors
    /// A repository that cannot be read, or a path that we would not write.
    fn paths(&self, below: Option<&str>) -> Result<BTreeSet<RelativePath>>;
}

/// The steps from a tree to the one that holds a delivery.
#[derive(Debug, Default)]
pub struct Plan {
    /// Whether the request had files here before.
    pub known: bool,
    /// Files to write: only those whose content differs.
    pub writes: BTreeMap<RelativePath, Vec<u8>>,
    /// Files to remove: only those that are there.
    pub removals: BTreeSet<RelativePath>,
    /// The same, to be told: without our own inventories and index.
    pub changes: Vec<Change>,
}

/// Why there is no plan.
pub enum Unplanned {
    /// A file is in the way.
    Taken(RelativePath, Owner),
    /// The tree could not be read.
    Unread(anyhow::Error),
}

impl From<anyhow::Error> for Unplanned {
    fn from(error: anyhow::Error) -> Self {
        Self::Unread(error)
    }
}

/// Works out what makes `tree` hold exactly `files` of the request, and its inventory, and the
/// right index.
///
/// # Errors
/// A file in the way, or a tree that cannot be read.
pub fn plan(tree: &impl Tree, role: Role, request: &Identity, files: &FileTree) -> Result<Plan, Unplanned> {
    let inventory_path = path_of(request)?;
    let old = match tree.read(&inventory_path)? {
        Some(content) => Some(parse(&inventory_path, &content)?),
        None => None,
    };
    let mut plan = Plan { known: old.is_some(), ..Plan::default() };
    let owned = old.map(|inventory| inventory.files).unwrap_or_default();

    for (path, content) in files.iter() {
        let present = tree.read(path)?;
        let same = present.as_deref() == Some(content);
        let foreign = !owned.contains(path) && (present.is_some() || tree.is_blocked(path)?);
        if foreign {
            match find_owner(tree, request, path)? {
                Owner::Nobody if same => {}
                owner => return Err(Unplanned::Taken(path.clone(), owner)),
            }
        }
        if !same {
            plan.write(path, content, present.is_some());
        }
    }
    for path in owned.iter().filter(|path| files.paths().all(|p| p != *path)) {
        if tree.read(path)?.is_some() {
            plan.changes.push(Change { path: path.clone(), kind: ChangeKind::Removed });
            plan.removals.insert(path.clone());
        }
    }
    plan.changes.sort_by(|a, b| a.path.cmp(&b.path));

    if files.is_empty() {
        plan.removals.extend(plan.known.then_some(inventory_path));
    } else {
        let inventory = Inventory { request: request.clone(), files: files.paths().cloned().collect() };
        let content = serde_yaml::to_string(&inventory).context("cannot write an inventory")?;
        plan.keep(tree, inventory_path, content.into_bytes())?;
    }
    if role == Role::Catalog {
        plan.keep_index(tree)?;
    }
    Ok(plan)
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.removals.is_empty()
    }

    fn write(&mut self, path: &RelativePath, content: &[u8], present: bool) {
        let kind = if present { ChangeKind::Changed } else { ChangeKind::Added };
        self.changes.push(Change { path: path.clone(), kind });
        self.writes.insert(path.clone(), content.to_vec());
    }

    /// Writes a file of ours, where it differs.
    fn keep(&mut self, tree: &impl Tree, path: RelativePath, content: Vec<u8>) -> Result<()> {
        if tree.read(&path)?.as_ref() != Some(&content) {
            self.writes.insert(path, content);
        }
        Ok(())
    }

    fn keep_index(&mut self, tree: &impl Tree) -> Result<()> {
        let path = RelativePath::parse(index::PATH)?;
        let mut entities = tree.paths(None)?;
        entities.extend(self.writes.keys().cloned());
        entities.retain(|p| index::is_entity(p.as_str()) && !self.removals.contains(p));
        // A repository that never held an entity needs no index.
        if entities.is_empty() && tree.read(&path)?.is_none() {
            return Ok(());
        }
        let content = index::build(entities.iter())?;
        self.keep(tree, path, content)
    }
}

/// Where a request's inventory is.
fn path_of(request: &Identity) -> Result<RelativePath> {
    RelativePath::parse(&format!("{FOLDER}/{}.yaml", request.path()))
}

fn parse(path: &RelativePath, content: &[u8]) -> Result<Inventory> {
    serde_yaml::from_slice(content)
        .with_context(|| format!("the inventory `{path}` is damaged: restore it from the repository's history"))
}

/// Reads every inventory: only done where a file is in the way.
fn find_owner(tree: &impl Tree, request: &Identity, path: &RelativePath) -> Result<Owner> {
    let folder = format!("{path}/");
    for inventory in tree.paths(Some(FOLDER))? {
        let Some(content) = tree.read(&inventory)? else {
            continue;
        };
        let Inventory { request: other, files } = parse(&inventory, &content)?;
        let in_the_way = |p: &RelativePath| {
            p == path || p.as_str().starts_with(&folder) || path.as_str().starts_with(&format!("{p}/"))
        };
        if other != *request && files.iter().any(in_the_way) {
            return Ok(Owner::Request(other));
        }
    }
    Ok(Owner::Nobody)
}
