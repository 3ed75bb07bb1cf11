//! Who owns which files: one inventory a request, in the repository itself.
//!
//! A file belongs to the request whose inventory lists it. [`plan`] works out what a delivery
//! changes in a tree, or whose files are in its way.
//!
//! Whoever may write the repository may have edited an inventory. So one is believed only for what a request of its kind
//! can have, and for what no other lists; where it claims more, nothing is planned.

use super::index::{self, Index};
use crate::diff::FileDiff;
use crate::file_tree::{FileTree, RelativePath};
use crate::outcome::{Change, ChangeKind, Owner, Undelivered};
use crate::outputs::Role;
use crate::promise::{self, Place};
use crate::request::Identity;
use anyhow::{Context, Result, bail, ensure};
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

    /// Every file of the repository that has entities by its name ([`crate::promise::is_generated`]) or perhaps by its content
    /// (`index::may_be_entity` says so, and not too long), and git's id of its content.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn possible_entities(&self) -> Result<BTreeMap<RelativePath, String>>;

    /// The inventories that probably list a file; all of them, where reading them costs little.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn likely_inventories(&self, _path: &RelativePath) -> Result<BTreeSet<RelativePath>> {
        inventories(self)
    }

    /// Reads files that are asked for next, where many at once cost less than one after the other.
    ///
    /// # Errors
    /// A repository that cannot be read.
    fn read_ahead(&self, _paths: &BTreeSet<RelativePath>) -> Result<()> {
        Ok(())
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

    fn possible_entities(&self) -> Result<BTreeMap<RelativePath, String>> {
        let mut entities = self.base.possible_entities()?;
        for (path, content) in &self.changes {
            match content {
                Some(content) if index::is_possible(path, || anyhow::Ok(content.len()))? => {
                    entities.insert(path.clone(), blob_id(content)?);
                }
                _ => drop(entities.remove(path)),
            }
        }
        Ok(entities)
    }

    fn likely_inventories(&self, path: &RelativePath) -> Result<BTreeSet<RelativePath>> {
        Ok(self.with_changes(self.base.likely_inventories(path)?, is_inventory))
    }

    fn read_ahead(&self, paths: &BTreeSet<RelativePath>) -> Result<()> {
        self.base.read_ahead(&paths.iter().filter(|path| !self.changes.contains_key(*path)).cloned().collect())
    }
}

/// The steps from a tree to the one that holds a delivery.
#[derive(Debug, Default)]
pub struct Plan {
    /// Whether the request had files here before.
    pub known: bool,
    /// Whether one of the files that it has now was its own here before.
    pub owned: bool,
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
    /// Somebody has written by hand what is at the index's path.
    Index(RelativePath),
    /// The request was delivered by another id, the first, than it has now, which a field has.
    Renamed(&'static str, String, String),
    /// The request goes, and others have these files for which it has to stay.
    Held(String),
    /// The tree could not be read.
    Unread(anyhow::Error),
}

impl Unplanned {
    /// What the request has to change in the repository of a role.
    ///
    /// # Errors
    /// The error itself, where it is not the request's.
    pub fn refused(self, role: Role) -> Result<Undelivered> {
        match self {
            Self::Taken(path, owner) => Ok(Undelivered::Taken { repository: role, path, owner }),
            Self::Renamed(field, old, new) => Ok(Undelivered::Renamed { field, old, new }),
            Self::Index(path) => Ok(Undelivered::Index { path }),
            Self::Held(files) => Ok(Undelivered::InUse { files }),
            Self::Unread(error) => Err(error),
        }
    }
}

impl From<anyhow::Error> for Unplanned {
    fn from(error: anyhow::Error) -> Self {
        Self::Unread(error)
    }
}

/// Works out what makes `tree` hold exactly `files` of the request, and its inventory, and the
/// right index, which is at `index`.
///
/// # Errors
/// A file in the way, another id than the request was delivered by, an inventory that claims what is not the request's, or
/// a tree that cannot be read.
pub fn plan(
    tree: &impl Tree,
    role: Role,
    index: &RelativePath,
    request: &Identity,
    files: &FileTree,
) -> Result<Plan, Unplanned> {
    let mut plan = plan_files(tree, role, request, files)?;
    if role.has_index() {
        plan.keep_index(tree, index)?;
    }
    Ok(plan)
}

/// As [`plan`], without the index.
///
/// # Errors
/// As [`plan`].
pub fn plan_files(tree: &impl Tree, role: Role, request: &Identity, files: &FileTree) -> Result<Plan, Unplanned> {
    let inventory_path = path_of(request)?;
    let inventory = Inventory { request: request.clone(), files: files.paths().cloned().collect() };
    let inventory = serde_yaml::to_string(&inventory).context("cannot write an inventory")?.into_bytes();
    if !files.is_empty() && tree.holds(&inventory_path, &inventory)? {
        let mut is_same = true;
        for (path, content) in files.iter() {
            is_same = is_same && tree.holds(path, content)?;
        }
        if is_same {
            return Ok(Plan { known: true, owned: true, ..Plan::default() });
        }
    }
    let old = match tree.read(&inventory_path)? {
        Some(content) => Some(parse(&inventory_path, &content)?),
        None => None,
    };
    let mut plan = Plan { known: old.is_some(), ..Plan::default() };
    let owned = old.map(|inventory| inventory.files).unwrap_or_default();
    refuse_impossible(role, request, &inventory_path, &owned)?;
    refuse_renamed(tree, role, request, (&inventory_path, &owned), files)?;
    if files.is_empty() {
        refuse_held(tree, role, request, &owned)?;
    }
    // The inventories that may list what is written over or removed.
    let mut suspects = BTreeSet::new();
    plan.owned = files.paths().any(|path| owned.contains(path));

    for (path, content) in files.iter() {
        let present = tree.has(path)?;
        let same = present && tree.holds(path, content)?;
        // Also where its own file was, somebody may have put a folder, or a file in place of its folder.
        let blocked = !present && tree.is_blocked(path)?;
        let foreign = !owned.contains(path) && present;
        if foreign || blocked {
            match find_owner(tree, request, path)? {
                Owner::Nobody if same => {}
                owner => return Err(Unplanned::Taken(path.clone(), owner)),
            }
        }
        if !same {
            if present && !foreign {
                suspects.extend(tree.likely_inventories(path)?);
            }
            plan.write(path, content, present);
        }
    }
    for path in owned.iter().filter(|path| files.paths().all(|p| p != *path)) {
        if tree.has(path)? {
            plan.changes.push(Change { path: path.clone(), kind: ChangeKind::Removed });
            plan.removals.insert(path.clone());
            suspects.extend(tree.likely_inventories(path)?);
        }
    }
    suspects.remove(&inventory_path);
    refuse_shared(tree, &inventory_path, &owned, &suspects)?;
    plan.changes.sort_by(|a, b| a.path.cmp(&b.path));

    if files.is_empty() {
        plan.removals.extend(plan.known.then_some(inventory_path));
    } else {
        plan.keep(tree, inventory_path, inventory)?;
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
        let is_removed = |change: &Change| change.kind == ChangeKind::Removed;
        let only_removes = self.changes.iter().all(is_removed) && !self.removals.is_empty();
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

    /// Makes the index at `path` list the files with entities that the tree will have.
    ///
    /// # Errors
    /// A file that somebody has written there by hand, or a tree that cannot be read.
    pub fn keep_index(&mut self, tree: &impl Tree, path: &RelativePath) -> Result<(), Unplanned> {
        let mut possible = tree.possible_entities()?;
        possible.remove(path);
        let (generated, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) =
            possible.into_iter().partition(|(path, _)| crate::promise::is_generated(path));
        let old = match tree.read(path)? {
            Some(content) => Some(Index::read(&content).ok_or_else(|| Unplanned::Index(path.clone()))?),
            None => None,
        };
        let looked_into = index::digest(unknown.iter());
        let mut entities = match old.as_ref().and_then(|old| old.listed(path, &looked_into)) {
            Some(listed) => listed.into_iter().filter(|path| unknown.contains_key(path)).collect(),
            None => look_into(tree, unknown.into_keys().collect())?,
        };
        entities.extend(generated.into_keys());
        entities.extend(self.writes.keys().filter(|path| crate::promise::is_generated(path)).cloned());
        entities.retain(|p| !self.removals.contains(p));
        // A repository that never held an entity needs no index.
        if entities.is_empty() && old.is_none() {
            return Ok(());
        }
        let content = index::build(path, entities.iter(), &looked_into)?;
        Ok(self.keep(tree, path.clone(), content)?)
    }
}

/// How a plan changes the files of its tree.
///
/// # Errors
/// A repository that cannot be read.
pub fn diff(tree: &impl Tree, role: Role, plan: &Plan) -> Result<Vec<FileDiff>> {
    let removals = plan.removals.iter().map(|path| (path, None));
    let writes = plan.writes.iter().map(|(path, content)| (path, Some(content.as_slice())));
    let changes: BTreeMap<_, _> = removals.chain(writes).collect();
    let file = |(path, new)| FileDiff::new(role.as_str(), path, tree.read(path)?.as_deref(), new);
    changes.into_iter().map(file).collect()
}

/// Those of the files that hold entities.
fn look_into(tree: &impl Tree, mut files: BTreeSet<RelativePath>) -> Result<BTreeSet<RelativePath>> {
    tree.read_ahead(&files)?;
    let mut failure = Ok(());
    files.retain(|path| match tree.read(path) {
        Ok(content) => content.is_some_and(|content| index::holds_entity(&content)),
        Err(error) => {
            failure = Err(error);
            false
        }
    });
    failure.map(|()| files)
}

/// The id that git gives to content.
///
/// # Errors
/// None that is known: what libgit2 says.
pub fn blob_id(content: &[u8]) -> Result<String> {
    let id = git2::Oid::hash_object(git2::ObjectType::Blob, content).context("cannot hash a file")?;
    Ok(id.to_string())
}

/// Where a request's inventory is.
pub fn path_of(request: &Identity) -> Result<RelativePath> {
    RelativePath::parse(&format!("{FOLDER}/{}.yaml", request.path()))
}

/// Whose inventory is at a path that [`path_of`] gives, if somebody promises its kind.
pub fn identity_of(path: &RelativePath) -> Option<Identity> {
    let rest = path.as_str().strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".yaml")?;
    promise::identify(rest).ok()
}

/// Whether a path is one that [`path_of`] gives.
pub fn is_inventory(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.ends_with(".yaml") && rest.matches('/').count() == 3)
}

/// The paths of all inventories.
///
/// # Errors
/// A tree that cannot be read.
pub fn inventories(tree: &(impl Tree + ?Sized)) -> Result<BTreeSet<RelativePath>> {
    let mut paths = tree.paths(FOLDER)?;
    paths.retain(|path| is_inventory(path.as_str()));
    Ok(paths)
}

/// Reads an inventory that was found at a path.
///
/// # Errors
/// One that is not as we write it, or says that it is another request's.
pub fn parse(path: &RelativePath, content: &[u8]) -> Result<Inventory> {
    let inventory: Inventory = serde_yaml::from_slice(content)
        .with_context(|| format!("the inventory `{path}` is damaged: restore it from the repository's history"))?;
    ensure!(
        path_of(&inventory.request)? == *path,
        "the inventory `{path}` says that it is that of {}: restore it from the repository's history",
        inventory.request
    );
    Ok(inventory)
}

/// What the path of a file says that a request of this kind can have in such a repository. Never what Gitea, tools, and we keep
/// beside.
fn place_of<'p>(role: Role, request: &Identity, path: &'p RelativePath) -> Option<Place<'p>> {
    promise::find(request.kind.as_str())
        .ok()
        .filter(|_| !path.is_hidden())
        .and_then(|promise| (promise.place_of)(role, path))
}

/// Refuses to let a request go that others are of.
fn refuse_held(
    tree: &impl Tree,
    role: Role,
    request: &Identity,
    owned: &BTreeSet<RelativePath>,
) -> Result<(), Unplanned> {
    let holds = promise::find(request.kind.as_str()).ok().and_then(|promise| promise.holds);
    let own = owned.iter().find_map(|path| place_of(role, request, path)?.fixed);
    let Some((holds, own)) = holds.filter(|_| role.has_index()).zip(own) else { return Ok(()) };
    let files = tree.paths(&holds(own))?;
    match summary(&files.iter().collect::<Vec<_>>()) {
        Some(files) => Err(Unplanned::Held(files)),
        None => Ok(()),
    }
}

/// Refuses what the API server refuses too, which knows the request as it was: an id names what exists.
fn refuse_renamed(
    tree: &impl Tree,
    role: Role,
    request: &Identity,
    (inventory, owned): (&RelativePath, &BTreeSet<RelativePath>),
    files: &FileTree,
) -> Result<(), Unplanned> {
    let fixed = |path| place_of(role, request, path)?.fixed;
    let Some(new) = files.paths().find_map(fixed) else { return Ok(()) };
    let of_another = |path| fixed(path).filter(|old| *old != new).map(str::to_owned);
    let Some(old) = owned.iter().find_map(of_another) else { return Ok(()) };
    // Unless somebody has written another's files into its inventory.
    let mut suspects = BTreeSet::new();
    for path in owned {
        suspects.extend(tree.likely_inventories(path)?);
    }
    suspects.remove(inventory);
    refuse_shared(tree, inventory, owned, &suspects)?;
    Err(Unplanned::Renamed(promise::fixed_field(request), old, new.to_owned()))
}

/// Refuses an inventory that lists what no request of its kind has.
///
/// # Errors
/// Which files those are.
pub fn refuse_impossible(
    role: Role,
    request: &Identity,
    inventory: &RelativePath,
    listed: &BTreeSet<RelativePath>,
) -> Result<()> {
    let impossible: Vec<_> = listed.iter().filter(|path| place_of(role, request, path).is_none()).collect();
    let Some(paths) = summary(&impossible) else { return Ok(()) };
    bail!(
        "the inventory `{inventory}` is not believed: it lists {paths}, which no {} has in {}; restore it from the \
         repository's history",
        request.kind,
        role.as_str()
    )
}

/// Refuses an inventory that shares a file with one of the others.
fn refuse_shared(
    tree: &impl Tree,
    inventory: &RelativePath,
    listed: &BTreeSet<RelativePath>,
    others: &BTreeSet<RelativePath>,
) -> Result<()> {
    tree.read_ahead(others)?;
    for other in others {
        let Some(content) = tree.read(other)? else { continue };
        let Inventory { request, files } = parse(other, &content)?;
        let shared: Vec<_> = listed.intersection(&files).collect();
        if let Some(paths) = summary(&shared) {
            bail!("{}", sharing(inventory, &paths, other, &request));
        }
    }
    Ok(())
}

/// What is wrong where two inventories list the same paths.
pub fn sharing(inventory: &RelativePath, paths: &str, other: &RelativePath, request: &Identity) -> String {
    format!(
        "the inventory `{inventory}` is not believed: it lists {paths}, which `{other}` of {request} lists too; restore the \
         one that somebody has edited from the repository's history"
    )
}

/// The first of some paths, and how many more there are; none where there are none.
pub fn summary(paths: &[&RelativePath]) -> Option<String> {
    let (first, others) = paths.split_first()?;
    Some(if others.is_empty() { format!("`{first}`") } else { format!("`{first}` and {} more", others.len()) })
}

/// The request that owns what is in the way at `path`. Every inventory is read only where the
/// likely ones do not list it.
fn find_owner(tree: &impl Tree, request: &Identity, path: &RelativePath) -> Result<Owner> {
    let own = path_of(request)?;
    let owner_by = |inventory: &RelativePath| -> Result<Option<Owner>> {
        let Some(content) = tree.read(inventory)?.filter(|_| *inventory != own) else {
            return Ok(None);
        };
        let Inventory { request: other, files } = parse(inventory, &content)?;
        Ok(files.iter().any(|p| p.excludes(path)).then_some(Owner::Request(other)))
    };
    let likely = tree.likely_inventories(path)?;
    for inventory in &likely {
        if let Some(owner) = owner_by(inventory)? {
            return Ok(owner);
        }
    }
    let mut others = inventories(tree)?;
    others.retain(|inventory| !likely.contains(inventory));
    tree.read_ahead(&others)?;
    for inventory in &others {
        if let Some(owner) = owner_by(inventory)? {
            return Ok(owner);
        }
    }
    Ok(Owner::Nobody)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// A repository without a file: what a test has in it lies on it.
    struct Nothing;

    impl Tree for Nothing {
        fn read(&self, _: &RelativePath) -> Result<Option<Vec<u8>>> {
            Ok(None)
        }

        fn is_blocked(&self, _: &RelativePath) -> Result<bool> {
            Ok(false)
        }

        fn paths(&self, _: &str) -> Result<BTreeSet<RelativePath>> {
            Ok(BTreeSet::new())
        }

        fn possible_entities(&self) -> Result<BTreeMap<RelativePath, String>> {
            Ok(BTreeMap::new())
        }
    }

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    fn index() -> RelativePath {
        path("catalog-info.yaml")
    }

    fn team(name: &str) -> Identity {
        format!("Team {name}").parse().unwrap()
    }

    /// The files of a Team with this id, which say whose they are.
    fn files(role: Role, request: &str, id: Option<&str>) -> FileTree {
        let mut files = FileTree::default();
        if let Some(id) = id {
            match role {
                Role::Catalog => files.insert(path(&format!("teams/{id}.yaml")), request),
                Role::Infrastructure => {
                    for name in ["backend", "main"] {
                        files.insert(path(&format!("teams/{id}/{name}.tf")), request);
                    }
                }
            }
        }
        files
    }

    /// A repository that Teams were delivered to, each with its id.
    fn repository(role: Role, teams: &[(&str, &str)]) -> Overlay<'static, Nothing> {
        let mut tree = Overlay::new(&Nothing);
        for (name, id) in teams {
            let Ok(plan) = plan(&tree, role, &index(), &team(name), &files(role, name, Some(id))) else {
                panic!("{name}")
            };
            tree.apply(&plan);
        }
        tree
    }

    fn forge(tree: &mut Overlay<'_, Nothing>, request: &str, files: &[&str]) {
        let inventory = Inventory { request: team(request), files: files.iter().map(|file| path(file)).collect() };
        let text = serde_yaml::to_string(&inventory).unwrap();
        tree.changes.insert(path_of(&team(request)).unwrap(), Some(text.into_bytes()));
        for file in files {
            tree.changes.entry(path(file)).or_insert(Some(b"by hand".to_vec()));
        }
    }

    /// Why a Team, with an id or deleted, is not planned.
    fn refused(tree: &Overlay<'_, Nothing>, role: Role, request: &str, id: Option<&str>) -> Option<String> {
        match plan(tree, role, &index(), &team(request), &files(role, request, id)) {
            Ok(_) => None,
            Err(Unplanned::Unread(error)) => Some(error.to_string()),
            Err(Unplanned::Taken(path, owner)) => Some(format!("{path} is taken by {owner}")),
            Err(Unplanned::Renamed(_, old, new)) => Some(format!("{old} is now {new}")),
            Err(Unplanned::Index(path)) => Some(format!("{path} is no index")),
            Err(Unplanned::Held(files)) => Some(format!("held by {files}")),
        }
    }

    #[test]
    fn an_inventory_that_lists_what_no_team_has_is_not_believed() {
        for (role, listed) in [
            (Role::Catalog, "README.md"),
            (Role::Catalog, ".gitea/workflows/ci.yaml"),
            (Role::Catalog, ".goldpath/team/x/b.yaml"),
            (Role::Catalog, "teams/.hidden.yaml"),
            (Role::Catalog, "catalog-info.yaml"),
            (Role::Catalog, "Teams/alpha.yaml"),
            (Role::Infrastructure, "teams/alpha/extra.tf"),
            (Role::Infrastructure, "teams/alpha.yaml"),
        ] {
            let mut tree = repository(role, &[("x/a", "alpha"), ("x/b", "beta")]);
            let before = tree.changes.clone();
            forge(&mut tree, "x/a", &[listed, "zoo"]);
            let expected = format!(
                "the inventory `.goldpath/team/x/a.yaml` is not believed: it lists `{listed}` and 1 more, which no Team has in \
                 {}; restore it from the repository's history",
                role.as_str()
            );
            for id in [Some("alpha"), None] {
                assert_eq!(refused(&tree, role, "x/a", id).as_ref(), Some(&expected));
            }
            tree.changes = before;
            assert_eq!(refused(&tree, role, "x/a", None), None, "it is restored");
        }
    }

    #[test]
    fn an_inventory_that_lists_what_another_lists_is_not_believed() {
        for (role, own, foreign) in [
            (Role::Catalog, "teams/alpha.yaml", "teams/beta.yaml"),
            (Role::Infrastructure, "teams/alpha/main.tf", "teams/beta/main.tf"),
        ] {
            let mut tree = repository(role, &[("x/a", "alpha"), ("y/b", "beta")]);
            forge(&mut tree, "x/a", &[own, foreign]);
            let expected = format!(
                "the inventory `.goldpath/team/x/a.yaml` is not believed: it lists `{foreign}`, which \
                 `.goldpath/team/y/b.yaml` of Team y/b lists too; restore the one that somebody has edited from the \
                 repository's history"
            );
            for id in [Some("alpha"), Some("gamma"), None] {
                assert_eq!(refused(&tree, role, "x/a", id).as_ref(), Some(&expected), "{id:?}");
            }
        }
        let mut tree = repository(Role::Catalog, &[("x/a", "alpha"), ("y/b", "beta")]);
        forge(&mut tree, "x/a", &["teams/beta.yaml"]);
        let why = refused(&tree, Role::Catalog, "x/a", Some("beta")).unwrap();
        assert!(why.contains("`.goldpath/team/y/b.yaml` of Team y/b lists too"), "taken over: {why}");
    }

    #[test]
    fn an_inventory_is_that_of_the_request_whose_name_it_has() {
        let mut tree = repository(Role::Catalog, &[("x/a", "alpha"), ("y/b", "beta")]);
        let (own, other) = (path_of(&team("x/a")).unwrap(), path_of(&team("y/b")).unwrap());
        let content = tree.read(&own).unwrap();
        tree.changes.insert(other, content);
        let expected = "the inventory `.goldpath/team/y/b.yaml` says that it is that of Team x/a: restore it from the \
                        repository's history";
        assert_eq!(refused(&tree, Role::Catalog, "x/a", None).as_deref(), Some(expected));
        assert_eq!(refused(&tree, Role::Catalog, "y/b", Some("beta")).as_deref(), Some(expected));
    }

    #[test]
    fn what_a_team_owns_it_changes_and_removes_and_its_id_is_for_ever() {
        for role in Role::ALL {
            let mut tree = repository(role, &[("x/a", "alpha"), ("y/b", "beta")]);
            tree.changes.insert(path(".goldpath/README.md"), Some(b"not an inventory".to_vec()));
            for id in [Some("alpha"), None, Some("gamma")] {
                let Ok(plan) = plan(&tree, role, &index(), &team("x/a"), &files(role, "x/a", id)) else {
                    panic!("{id:?}")
                };
                tree.apply(&plan);
            }
            assert_eq!(refused(&tree, role, "x/a", Some("alpha")).as_deref(), Some("gamma is now alpha"));
            assert_eq!(refused(&tree, role, "x/c", Some("alpha")), None, "what is gone is free");
        }
    }
    #[test]
    fn an_index_that_somebody_wrote_by_hand_is_not_replaced_and_their_entities_are_listed() {
        let by_hand = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: shop}\n";
        let mut tree = Overlay::new(&Nothing);
        let mut put = |name: &str, text: &str| tree.changes.insert(path(name), Some(text.as_bytes().to_vec()));
        put("catalog-info.yaml", by_hand);
        put("shop.yml", by_hand);
        put("api/openapi.yaml", "openapi: 3.1.0\n");
        let team = |tree: &Overlay<'_, Nothing>, at: &str| {
            let files = files(Role::Catalog, "x/a", Some("alpha"));
            plan(tree, Role::Catalog, &path(at), &team("x/a"), &files)
        };
        match team(&tree, "catalog-info.yaml") {
            Err(Unplanned::Index(path)) => assert_eq!(path.as_str(), "catalog-info.yaml"),
            _ => panic!("it is replaced"),
        }
        let Ok(plan) = team(&tree, "goldpath.yaml") else { panic!() };
        let written = &plan.writes[&path("goldpath.yaml")];
        let targets = |index: &[u8]| -> Vec<String> {
            let index: serde_json::Value = serde_yaml::from_slice(index).unwrap();
            serde_json::from_value(index["spec"]["targets"].clone()).unwrap()
        };
        assert_eq!(targets(written), ["./catalog-info.yaml", "./shop.yml", "./teams/alpha.yaml"]);
        tree.apply(&plan);
        tree.changes.insert(path("shop.yml"), Some(b"no: entity".to_vec()));
        let Ok(plan) = team(&tree, "goldpath.yaml") else { panic!() };
        assert_eq!(targets(&plan.writes[&path("goldpath.yaml")]), ["./catalog-info.yaml", "./teams/alpha.yaml"]);
        // The index of before, elsewhere, is no entity.
        let Ok(plan) = team(&tree, "all.yaml") else { panic!() };
        assert_eq!(targets(&plan.writes[&path("all.yaml")]), ["./catalog-info.yaml", "./teams/alpha.yaml"]);
    }
}
