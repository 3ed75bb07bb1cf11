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

    /// Whether a file has exactly this content.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn holds(&self, path: &RelativePath, content: &[u8]) -> Result<bool> {
        Ok(self.read(path)?.as_deref() == Some(content))
    }

    /// Whether there is a file.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn has(&self, path: &RelativePath) -> Result<bool> {
        Ok(self.read(path)?.is_some())
    }

    /// Whether something stands in the way of a file: a folder of its name, or a file that has
    /// the name of one of its folders.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn is_blocked(&self, path: &RelativePath) -> Result<bool>;

    /// The path of every file below a folder.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn paths(&self, folder: &str) -> Result<BTreeSet<RelativePath>>;

    /// The path of every entity file ([`index::is_entity`]).
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn entities(&self) -> Result<BTreeSet<RelativePath>>;

    /// The requests that probably own a file, where that is cheaper to ask than to read every
    /// inventory.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn likely_owners(&self, _path: &RelativePath) -> Result<Vec<Identity>> {
        Ok(Vec::new())
    }
}

/// Content by path; none for what is removed.
pub type Changes = BTreeMap<RelativePath, Option<Vec<u8>>>;

/// A tree with changes on it that are not written yet.
pub struct Overlay<'t, T> {
    base: &'t T,
    /// The changes.
    pub changes: Changes,
}

impl<'t, T: Tree> Overlay<'t, T> {
    /// The tree itself.
    pub fn new(base: &'t T) -> Self {
        Self { base, changes: BTreeMap::new() }
    }

    /// Puts a plan for this tree on it.
    pub fn apply(&mut self, plan: &Plan) {
        self.changes.extend(plan.writes.iter().map(|(path, content)| (path.clone(), Some(content.clone()))));
        self.changes.extend(plan.removals.iter().map(|path| (path.clone(), None)));
    }

    fn with_changes(&self, mut paths: BTreeSet<RelativePath>, wanted: impl Fn(&str) -> bool) -> BTreeSet<RelativePath> {
        for (path, content) in &self.changes {
            match content {
                Some(_) if wanted(path.as_str()) => drop(paths.insert(path.clone())),
                Some(_) => {}
                None => drop(paths.remove(path)),
            }
        }
        paths
    }
}

impl<T: Tree> Tree for Overlay<'_, T> {
    fn read(&self, path: &RelativePath) -> Result<Option<Vec<u8>>> {
        match self.changes.get(path) {
            Some(content) => Ok(content.clone()),
            None => self.base.read(path),
        }
    }

    fn holds(&self, path: &RelativePath, content: &[u8]) -> Result<bool> {
        match self.changes.get(path) {
            Some(changed) => Ok(changed.as_deref() == Some(content)),
            None => self.base.holds(path, content),
        }
    }

    fn has(&self, path: &RelativePath) -> Result<bool> {
        match self.changes.get(path) {
            Some(changed) => Ok(changed.is_some()),
            None => self.base.has(path),
        }
    }

    fn is_blocked(&self, path: &RelativePath) -> Result<bool> {
        let written = |p: &RelativePath| p.is_above(path) || path.is_above(p);
        Ok(self.changes.iter().any(|(p, content)| content.is_some() && written(p)) || self.base.is_blocked(path)?)
    }

    fn paths(&self, folder: &str) -> Result<BTreeSet<RelativePath>> {
        let below = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        Ok(self.with_changes(self.base.paths(folder)?, below))
    }

    fn entities(&self) -> Result<BTreeSet<RelativePath>> {
        Ok(self.with_changes(self.base.entities()?, index::is_entity))
    }

    fn likely_owners(&self, path: &RelativePath) -> Result<Vec<Identity>> {
        let mut likely = Vec::new();
        for (path, content) in self.changes.iter().filter(|(path, _)| path.as_str().starts_with(FOLDER)) {
            likely.extend(content.as_ref().map(|content| parse(path, content)).transpose()?.map(|found| found.request));
        }
        likely.extend(self.base.likely_owners(path)?);
        Ok(likely)
    }
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
        let present = tree.has(path)?;
        let same = present && tree.holds(path, content)?;
        let foreign = !owned.contains(path) && (present || tree.is_blocked(path)?);
        if foreign {
            match find_owner(tree, request, path)? {
                Owner::Nobody if same => {}
                owner => return Err(Unplanned::Taken(path.clone(), owner)),
            }
        }
        if !same {
            plan.write(path, content, present);
        }
    }
    for path in owned.iter().filter(|path| files.paths().all(|p| p != *path)) {
        if tree.has(path)? {
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

    /// What it does for the request, in a word.
    pub fn verb(&self) -> &'static str {
        let only_removes = self.writes.keys().all(|path| path.as_str() == index::PATH) && !self.removals.is_empty();
        match (self.known, only_removes) {
            (false, _) => "create",
            (true, true) => "delete",
            (true, false) => "update",
        }
    }

    fn write(&mut self, path: &RelativePath, content: &[u8], present: bool) {
        let kind = if present { ChangeKind::Changed } else { ChangeKind::Added };
        self.changes.push(Change { path: path.clone(), kind });
        self.writes.insert(path.clone(), content.to_vec());
    }

    /// Writes a file of ours, where it differs.
    fn keep(&mut self, tree: &impl Tree, path: RelativePath, content: Vec<u8>) -> Result<()> {
        if !tree.holds(&path, &content)? {
            self.writes.insert(path, content);
        }
        Ok(())
    }

    fn keep_index(&mut self, tree: &impl Tree) -> Result<()> {
        let path = RelativePath::parse(index::PATH)?;
        let mut entities = tree.entities()?;
        entities.extend(self.writes.keys().filter(|p| index::is_entity(p.as_str())).cloned());
        entities.retain(|p| !self.removals.contains(p));
        // A repository that never held an entity needs no index.
        if entities.is_empty() && !tree.has(&path)? {
            return Ok(());
        }
        let content = index::build(entities.iter())?;
        self.keep(tree, path, content)
    }
}

/// Where a request's inventory is.
pub fn path_of(request: &Identity) -> Result<RelativePath> {
    RelativePath::parse(&format!("{FOLDER}/{}.yaml", request.path()))
}

pub fn parse(path: &RelativePath, content: &[u8]) -> Result<Inventory> {
    serde_yaml::from_slice(content)
        .with_context(|| format!("the inventory `{path}` is damaged: restore it from the repository's history"))
}

/// The request that owns what is in the way at `path`. Every inventory is read only where the
/// likely owners do not list it.
fn find_owner(tree: &impl Tree, request: &Identity, path: &RelativePath) -> Result<Owner> {
    let owner_by = |inventory: &RelativePath| -> Result<Option<Owner>> {
        let Some(content) = tree.read(inventory)? else {
            return Ok(None);
        };
        let Inventory { request: other, files } = parse(inventory, &content)?;
        Ok((other != *request && files.iter().any(|p| p.excludes(path))).then_some(Owner::Request(other)))
    };
    for likely in tree.likely_owners(path)? {
        if let Some(owner) = owner_by(&path_of(&likely)?)? {
            return Ok(owner);
        }
    }
    for inventory in tree.paths(FOLDER)? {
        if let Some(owner) = owner_by(&inventory)? {
            return Ok(owner);
        }
    }
    Ok(Owner::Nobody)
}
