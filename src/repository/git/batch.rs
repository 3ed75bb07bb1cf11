//! Many deliveries to a repository on this machine, in one commit.
//!
//! The tree is read once, and what is delivered is planned on it in memory, one after the other: what a delivery costs does
//! not grow with what the repository holds. The commit's objects go into one pack.

use super::{Branch, Try, for_each_file};
use crate::config::GitRemote;
use crate::diff::FileDiff;
use crate::file_tree::{FileTree, RelativePath};
use crate::outcome::{Cause, Change, ChangeKind, Delivery, Extent, Outcome, Undelivered};
use crate::outputs::Role;
use crate::repository::index::{self, Index};
use crate::repository::inventory::{self, Plan, Tree};
use crate::repository::message;
use anyhow::{Context, Result, bail};
use git2::build::TreeUpdateBuilder;
use git2::{Buf, FileMode, ObjectType, Oid, Repository};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::ops::Bound;
use std::time::{Duration, Instant};

/// As many packs as a repository may have before they become one.
const MAX_PACKS: usize = 20;

/// Which inventories list a file, by its path.
type Listed = BTreeMap<RelativePath, BTreeSet<RelativePath>>;

/// What is to be committed to one repository.
pub struct Batch {
    role: Role,
    index: RelativePath,
    branch: Branch,
    /// Other writers wait; nobody does for who only looks.
    _turn: Option<File>,
    base: Option<Oid>,
    /// Every file, as it is to be, by git's id of its content.
    files: BTreeMap<RelativePath, Oid>,
    /// What is no file and no folder.
    links: BTreeSet<String>,
    /// The content of files that are not written yet.
    contents: BTreeMap<RelativePath, Vec<u8>>,
    /// Files that are to be written or removed.
    touched: BTreeSet<RelativePath>,
    listed: OnceCell<RefCell<Listed>>,
    /// Whether somebody else has written what is at the index's path: looked at once, because it is as long as the catalog.
    foreign: OnceCell<bool>,
    /// Whether the index is right for what is staged, for the same reason.
    is_indexed: bool,
    /// What is done for whom, without content.
    parts: Vec<(Cause, Plan)>,
}

impl Batch {
    /// Reads what the branch holds, and keeps others from writing, but in a dry run.
    ///
    /// # Errors
    /// A repository that cannot be read or locked.
    pub fn open(remote: &GitRemote, role: Role, index: &RelativePath, extent: Extent) -> Result<Self> {
        let branch = Branch::open(remote)?;
        let turn = if extent == Extent::DryRun { None } else { Some(branch.take_turn()?) };
        let base = branch.head()?;
        let (mut files, mut links) = (BTreeMap::new(), BTreeSet::new());
        if let Some(tree) = branch.tree_of(base)? {
            for_each_file(&tree, "", |path, id| {
                files.insert(path, id);
            })?;
            tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
                if entry.kind() == Some(ObjectType::Commit) {
                    links.insert(format!("{folder}{}", entry.name().unwrap_or_default()));
                }
                git2::TreeWalkResult::Ok
            })?;
        }
        let (contents, touched, listed, foreign, is_indexed, parts) = Default::default();
        let index = index.clone();
        Ok(Self {
            role,
            index,
            branch,
            _turn: turn,
            base,
            files,
            links,
            contents,
            touched,
            listed,
            foreign,
            is_indexed,
            parts,
        })
    }

    /// What a delivery changes on top of what is staged, to be staged next; the commit is not known yet.
    ///
    /// # Errors
    /// As [`Branch::commit`], but for races.
    pub fn plan(&self, delivery: &Delivery, files: &FileTree) -> Result<(Plan, Outcome), Undelivered> {
        let request = &delivery.cause.request;
        if self.role.has_index() && self.is_index_foreign()? {
            return Err(Undelivered::Index { path: self.index.clone() });
        }
        let planned = inventory::plan_files(self, self.role, request, files);
        let plan = planned.map_err(|unplanned| self.branch.explain_unplanned(unplanned, self.role))?;
        let diff = if delivery.with_diff { inventory::diff(self, self.role, &plan)? } else { Vec::new() };
        let commit = self.base.map(|id| id.to_string());
        let mut changes = plan.changes.clone();
        if changes.is_empty() {
            // Nothing but what Goldpath keeps beside them: its inventory, which somebody has changed.
            let kept = plan.writes.keys().map(|path| (path, ChangeKind::Changed));
            let kept = kept.chain(plan.removals.iter().map(|path| (path, ChangeKind::Removed)));
            changes.extend(kept.map(|(path, kind)| Change { path: path.clone(), kind }));
        }
        let outcome = Outcome { commit, changes, files: files.len(), diff, ..Outcome::default() };
        Ok((plan, outcome))
    }

    /// Puts a plan on what is to be committed.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub fn stage(&mut self, cause: &Cause, mut plan: Plan) -> Result<()> {
        if !plan.is_empty() {
            self.is_indexed = false;
            self.apply(&mut plan)?;
            self.parts.push((cause.clone(), plan));
        }
        Ok(())
    }

    /// Puts the index on what is to be committed, and gives how it changes.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub fn stage_index(&mut self) -> Result<Vec<FileDiff>, Undelivered> {
        let mut plan = Plan::default();
        if self.role.has_index() && !self.is_indexed {
            let kept = plan.keep_index(&*self, &self.index.clone());
            kept.map_err(|unplanned| self.branch.explain_unplanned(unplanned, self.role))?;
        }
        let diff = inventory::diff(&*self, self.role, &plan)?;
        self.apply(&mut plan)?;
        self.is_indexed = true;
        Ok(diff)
    }

    /// Commits what is staged, with the index, if anything is. `one` is what was delivered, for its author and time. Gives the
    /// commit that the branch is at.
    ///
    /// # Errors
    /// A repository that cannot be written, or that somebody else has written meanwhile.
    pub fn commit(&mut self, one: &Delivery) -> Result<Option<String>> {
        self.stage_index()?;
        if !self.touched.is_empty() {
            let writing = || format!("cannot write to the repository {}", self.branch.remote.url);
            let commit = self.write(one).with_context(writing)?;
            self.base = Some(commit);
            self.contents.clear();
            self.touched.clear();
            self.parts.clear();
        }
        Ok(self.base.map(|id| id.to_string()))
    }

    fn write(&self, one: &Delivery) -> Result<Oid> {
        let repository = &self.branch.repository;
        let objects = repository.odb()?;
        // Until they are packed, the objects are in memory.
        let memory = objects.add_new_mempack_backend(1000)?;
        let old = self.branch.tree_of(self.base)?;
        let mut update = TreeUpdateBuilder::new();
        for path in &self.touched {
            match self.contents.get(path) {
                Some(content) => drop(update.upsert(path.as_str(), repository.blob(content)?, FileMode::Blob)),
                None => drop(update.remove(path.as_str())),
            }
        }
        let empty = repository.find_tree(repository.treebuilder(None)?.write()?)?;
        let tree = repository.find_tree(update.create_updated(repository, old.as_ref().unwrap_or(&empty))?)?;
        let parts: Vec<_> = self.parts.iter().map(|(cause, plan)| (cause, plan)).collect();
        let only_index = [(&one.cause, &Plan { known: true, ..Plan::default() })];
        let parts = if parts.is_empty() { &only_index[..] } else { &parts };
        let commit = self.branch.write_commit(tree.id(), self.base, one, &message(parts, &one.trailers))?;
        let mut builder = repository.packbuilder()?;
        builder.insert_object(commit, None)?;
        let mut new = Vec::new();
        new_objects(repository, &tree, old.as_ref(), &mut new)?;
        for id in new {
            builder.insert_object(id, None)?;
        }
        let mut pack = Buf::new();
        builder.write_buf(&mut pack)?;
        let mut writer = objects.packwriter()?;
        writer.write_all(&pack)?;
        writer.commit()?;
        memory.reset()?;
        match self.branch.swap(self.base, commit, Instant::now() + Duration::from_secs(10))? {
            Try::Moved => {}
            Try::Lost => bail!("somebody else has written to it meanwhile: run it again"),
        }
        // What is delivered is delivered; the next one tries again.
        let _ = self.keep_packed();
        Ok(commit)
    }

    /// Makes one pack of many, with every object that is in any of them, whether something leads to it or not: the repository
    /// may be somebody's. Packs that git is told to keep stay.
    fn keep_packed(&self) -> Result<()> {
        let repository = &self.branch.repository;
        let folder = repository.path().join("objects/pack");
        let old: Vec<_> = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        let old: Vec<_> = old.into_iter().filter(|path| !path.with_extension("keep").exists()).collect();
        if old.iter().filter(|path| path.extension().is_some_and(|extension| extension == "pack")).count() <= MAX_PACKS
        {
            return Ok(());
        }
        // Opened anew: the objects in memory, of which none are left, cannot be listed.
        let repository = Repository::open_bare(repository.path())?;
        let mut ids = Vec::new();
        repository.odb()?.foreach(|id| {
            ids.push(*id);
            true
        })?;
        let mut builder = repository.packbuilder()?;
        ids.into_iter().try_for_each(|id| builder.insert_object(id, None))?;
        builder.write(&folder, 0o444)?;
        let name = builder.name()?.context("the pack has no name")?.to_owned();
        for path in old.iter().filter(|path| !path.to_string_lossy().contains(&name)) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Makes a plan so here, and empties it of content.
    fn apply(&mut self, plan: &mut Plan) -> Result<()> {
        for path in &plan.removals {
            self.relist(path, None)?;
            self.files.remove(path);
            self.contents.remove(path);
            self.touched.insert(path.clone());
        }
        for (path, content) in std::mem::take(&mut plan.writes) {
            self.relist(&path, Some(&content))?;
            self.files.insert(path.clone(), Oid::hash_object(ObjectType::Blob, &content)?);
            self.touched.insert(path.clone());
            self.contents.insert(path, content);
        }
        Ok(())
    }

    /// Remembers what an inventory will list.
    fn relist(&self, path: &RelativePath, content: Option<&[u8]>) -> Result<()> {
        let Some(listed) = self.listed.get().filter(|_| inventory::is_inventory(path.as_str())) else { return Ok(()) };
        let mut listed = listed.borrow_mut();
        if let Some(Ok(old)) = self.read(path)?.map(|old| inventory::parse(path, &old)) {
            for file in &old.files {
                listed.entry(file.clone()).or_default().remove(path);
            }
        }
        if let Some(content) = content {
            for file in inventory::parse(path, content)?.files {
                listed.entry(file).or_default().insert(path.clone());
            }
        }
        Ok(())
    }

    fn is_index_foreign(&self) -> Result<bool> {
        if self.foreign.get().is_none() {
            let is_foreign = self.read(&self.index)?.is_some_and(|content| Index::read(&content).is_none());
            let _ = self.foreign.set(is_foreign);
        }
        Ok(self.foreign.get().copied().unwrap_or_default())
    }

    fn listed(&self) -> Result<&RefCell<Listed>> {
        if self.listed.get().is_none() {
            let mut listed = Listed::new();
            for path in inventory::inventories(self)? {
                let Some(content) = self.read(&path)? else { continue };
                // One that is damaged says so to those who need it.
                let Ok(inventory) = inventory::parse(&path, &content) else { continue };
                for file in inventory.files {
                    listed.entry(file).or_default().insert(path.clone());
                }
            }
            let _ = self.listed.set(RefCell::new(listed));
        }
        self.listed.get().context("it was set")
    }

    /// The files in a folder.
    fn below(&self, folder: &str) -> impl Iterator<Item = &RelativePath> {
        let folder = format!("{folder}/");
        let from_there = self.files.range::<str, _>((Bound::Excluded(folder.as_str()), Bound::Unbounded));
        from_there.map(|(path, _)| path).take_while(move |path| path.as_str().starts_with(&folder))
    }
}

/// The trees and files of a tree that an older one has not.
fn new_objects(
    repository: &Repository,
    new: &git2::Tree<'_>,
    old: Option<&git2::Tree<'_>>,
    found: &mut Vec<Oid>,
) -> Result<()> {
    found.push(new.id());
    for entry in new {
        let before = old.and_then(|old| old.get_name_bytes(entry.name_bytes()));
        if before.as_ref().is_some_and(|before| before.id() == entry.id()) {
            continue;
        }
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let before = before.filter(|before| before.kind() == Some(ObjectType::Tree));
                let before = before.map(|before| repository.find_tree(before.id())).transpose()?;
                new_objects(repository, &repository.find_tree(entry.id())?, before.as_ref(), found)?;
            }
            Some(ObjectType::Blob) => found.push(entry.id()),
            _ => {}
        }
    }
    Ok(())
}

impl Tree for Batch {
    fn read(&self, path: &RelativePath) -> Result<Option<Vec<u8>>> {
        match (self.contents.get(path), self.files.get(path)) {
            (Some(content), _) => Ok(Some(content.clone())),
            (None, Some(id)) => Ok(Some(self.branch.repository.find_blob(*id)?.content().to_vec())),
            (None, None) => Ok(None),
        }
    }

    fn holds(&self, path: &RelativePath, content: &[u8]) -> Result<bool> {
        match self.files.get(path) {
            Some(id) => Ok(Oid::hash_object(ObjectType::Blob, content)? == *id),
            None => Ok(false),
        }
    }

    fn has(&self, path: &RelativePath) -> Result<bool> {
        Ok(self.files.contains_key(path))
    }

    fn is_blocked(&self, path: &RelativePath) -> Result<bool> {
        for folder in path.folders() {
            if self.links.contains(folder) || self.files.contains_key(&RelativePath::parse(folder)?) {
                return Ok(true);
            }
        }
        Ok(self.links.contains(path.as_str()) || self.below(path.as_str()).next().is_some())
    }

    fn paths(&self, folder: &str) -> Result<BTreeSet<RelativePath>> {
        Ok(self.below(folder).cloned().collect())
    }

    fn possible_entities(&self) -> Result<BTreeMap<RelativePath, String>> {
        let objects = self.branch.repository.odb()?;
        let mut entities = BTreeMap::new();
        for (path, id) in &self.files {
            let length = || match self.contents.get(path) {
                Some(content) => Ok(content.len()),
                None => objects.read_header(*id).map(|(length, _)| length),
            };
            if index::is_possible(path, length)? {
                entities.insert(path.clone(), id.to_string());
            }
        }
        Ok(entities)
    }

    fn likely_inventories(&self, path: &RelativePath) -> Result<BTreeSet<RelativePath>> {
        Ok(self.listed()?.borrow().get(path).cloned().unwrap_or_default())
    }
}
