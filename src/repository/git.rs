//! Any git remote: a bare repository on this machine, or one behind https.
//!
//! A branch moves only from the commit that the new one was built on. On this machine that is a
//! compare-and-swap of the ref, under a lock that the kernel releases when its holder dies (the
//! push of libgit2 to a path would overwrite what came in between); behind https the server
//! refuses a push that has lost a race. Who loses builds again on what won.

mod batch;
mod https;

use super::index;
use super::inventory::{self, Plan, Tree, Unplanned};
use crate::config::{GitRemote, Location};
use crate::diff::FileDiff;
use crate::file_tree::{FileTree, RelativePath};
use crate::outcome::{Author, Delivery, Outcome, Undelivered};
use crate::outputs::Role;
use anyhow::{Context, Result, anyhow, bail, ensure};
use git2::build::TreeUpdateBuilder;
use git2::{ErrorCode, FetchOptions, FileMode, Oid, PushOptions, RemoteCallbacks, Repository};
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub use batch::Batch;

/// How old a lock of git's own on a ref is before its holder counts as killed: git holds it for
/// the time of one write.
const STALE_LOCK: Duration = Duration::from_secs(5);

/// One branch of a repository.
pub struct Branch {
    repository: Repository,
    remote: GitRemote,
    /// The folder of `repository` where it is a copy of what is behind https.
    copy: Option<TempDir>,
}

/// How a try to move the branch ended.
enum Try {
    Moved,
    /// Somebody else moved it first.
    Lost,
}

/// Keeps the machine's and the user's git configuration out: nothing of it is needed, and it may be broken, or say something
/// else than ours. Only where a repository is opened: libgit2 takes longer to begin than most steps take to end.
fn ignore_configuration() -> Result<()> {
    use git2::ConfigLevel::{Global, ProgramData, System, XDG};
    static IGNORED: LazyLock<Result<(), git2::Error>> = LazyLock::new(|| {
        for level in [ProgramData, System, XDG, Global] {
            #[expect(
                unsafe_code,
                reason = "libgit2 keeps the paths in a global, which is read where a repository is opened"
            )]
            unsafe {
                git2::opts::set_search_path(level, "")?;
            }
        }
        Ok(())
    });
    IGNORED.as_ref().map_err(|error| anyhow!("cannot set libgit2 up: {error}")).copied()
}

/// Makes an empty bare repository, unless there is one.
///
/// # Errors
/// A folder that cannot be written.
pub fn create(path: &Path, branch: &str) -> Result<()> {
    if path.join("HEAD").exists() {
        return Ok(());
    }
    let making = || format!("cannot make the repository {}", path.display());
    ignore_configuration().with_context(making)?;
    // Made beside its place, so that nobody finds half of one; who comes second keeps the first's.
    let folder = path.parent().with_context(making)?;
    fs::create_dir_all(folder).with_context(making)?;
    let new = TempDir::new_in(folder).with_context(making)?;
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head(branch);
    Repository::init_opts(new.path(), &options).with_context(making)?;
    match fs::rename(new.path(), path) {
        Err(error) if !path.join("HEAD").exists() => Err(error).with_context(making),
        _ => Ok(()),
    }
}

impl Branch {
    /// Opens the branch, and brings it here where it is elsewhere.
    ///
    /// # Errors
    /// A URL of a kind that we do not speak, a repository that is not there or not bare, a
    /// network or server that fails.
    pub fn open(remote: &GitRemote) -> Result<Self> {
        let branch = Self::open_any(remote).with_context(|| format!("cannot read the repository {}", remote.url))?;
        Ok(branch)
    }

    fn open_any(remote: &GitRemote) -> Result<Self> {
        ignore_configuration()?;
        if let Location::Path(path) = &remote.url {
            let repository = Repository::open_bare(path)?;
            ensure!(repository.is_bare(), "it is not a bare repository");
            return Ok(Self { repository, remote: remote.clone(), copy: None });
        }
        https::prepare(remote)?;
        let folder = TempDir::new().context("cannot make a folder for a copy")?;
        let repository = Repository::init_bare(folder.path())?;
        let branch = Self { repository, remote: remote.clone(), copy: Some(folder) };
        branch.fetch()?;
        Ok(branch)
    }

    /// What a delivery would change now; writes nothing.
    ///
    /// # Errors
    /// As [`Branch::commit`], but for races.
    pub fn preview(&self, role: Role, delivery: &Delivery, files: &FileTree) -> Result<Outcome, Undelivered> {
        let base = self.head()?;
        let (plan, diff) = self.plan(role, delivery, files, base)?;
        let commit = base.filter(|_| plan.is_empty()).map(|id| id.to_string());
        Ok(Outcome { commit, changes: plan.changes, files: files.len(), diff, ..Outcome::default() })
    }

    /// Makes the branch hold the delivery.
    ///
    /// # Errors
    /// A file in the way, a repository that fails, or no race won until `deadline`.
    pub fn commit(
        &self,
        role: Role,
        delivery: &Delivery,
        files: &FileTree,
        deadline: Instant,
    ) -> Result<Outcome, Undelivered> {
        // Writers on this machine take turns.
        let _turn = if self.copy.is_none() { Some(self.take_turn()?) } else { None };
        for attempt in 0_u32.. {
            let base = self.head()?;
            let (plan, diff) = self.plan(role, delivery, files, base)?;
            let commit = base.map(|id| id.to_string());
            let mut outcome = Outcome { commit, diff, files: files.len(), ..Outcome::default() };
            if plan.is_empty() {
                return Ok(outcome);
            }
            let tree = self.write_tree(&plan, base)?;
            let message = super::message(&[(&delivery.cause, &plan)], &delivery.trailers);
            let commit = self.write_commit(tree, base, delivery, &message)?;
            let moved = match &self.copy {
                None => self.swap(base, commit, deadline),
                Some(_) => self.push(commit),
            };
            if matches!(
                moved.with_context(|| format!("cannot write to the repository {}", self.remote.url))?,
                Try::Moved
            ) {
                outcome.commit = Some(commit.to_string());
                outcome.changes = plan.changes;
                return Ok(outcome);
            }
            let pause = Duration::from_millis(fastrand::u64(20..200) << attempt.min(4));
            if Instant::now() + pause >= deadline {
                break;
            }
            std::thread::sleep(pause);
            if self.copy.is_some() {
                self.fetch()?;
            }
        }
        Err(anyhow!("others were faster in the repository {} until the time was up", self.remote.url).into())
    }

    /// What a delivery changes on top of `base`, and, where that was asked for, how.
    fn plan(
        &self,
        role: Role,
        delivery: &Delivery,
        files: &FileTree,
        base: Option<Oid>,
    ) -> Result<(Plan, Vec<FileDiff>), Undelivered> {
        let snapshot = Snapshot { repository: &self.repository, tree: self.tree_of(base)?, read: RefCell::default() };
        let planned = inventory::plan(&snapshot, role, &delivery.index, &delivery.cause.request, files);
        let plan = planned.map_err(|unplanned| self.explain_unplanned(unplanned, role))?;
        let diff = if delivery.with_diff { inventory::diff(&snapshot, role, &plan)? } else { Vec::new() };
        Ok((plan, diff))
    }

    /// Reads what the branch holds: nothing in a repository that is still empty.
    ///
    /// # Errors
    /// A branch that is not there though others are; what `read` fails at.
    pub fn with_tree<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T>) -> Result<T> {
        let reading = || format!("cannot read the repository {}", self.remote.url);
        let head = self.head()?;
        if head.is_none() && self.repository.branches(None)?.next().is_some() {
            return Err(anyhow!("it has no branch `{}`", self.remote.branch)).with_context(reading);
        }
        let tree = self.tree_of(head).with_context(reading)?;
        read(&Snapshot { repository: &self.repository, tree, read: RefCell::default() }).with_context(reading)
    }

    /// When each inventory was last changed; of what is behind https no history is here.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub fn last_changes(&self, inventories: &[RelativePath]) -> Result<BTreeMap<RelativePath, Timestamp>> {
        let mut times = BTreeMap::new();
        let Some(head) = self.head()?.filter(|_| self.copy.is_none()) else { return Ok(times) };
        let mut missing: BTreeSet<_> = inventories.iter().cloned().collect();
        let mut walk = self.repository.revwalk()?;
        walk.push(head)?;
        walk.simplify_first_parent()?;
        for id in walk {
            if missing.is_empty() {
                break;
            }
            let commit = self.repository.find_commit(id?)?;
            let before = commit.parents().next().map(|parent| parent.tree()).transpose()?;
            let mut options = git2::DiffOptions::new();
            options.pathspec(inventory::FOLDER);
            let diff = self.repository.diff_tree_to_tree(before.as_ref(), Some(&commit.tree()?), Some(&mut options))?;
            for path in diff.deltas().filter_map(|delta| delta.new_file().path()?.to_str().map(str::to_owned)) {
                if let Some(path) = missing.take(path.as_str()) {
                    times.insert(path, Timestamp::from_second(commit.time().seconds())?);
                }
            }
        }
        Ok(times)
    }

    fn explain_unplanned(&self, unplanned: Unplanned, role: Role) -> Undelivered {
        let reading = |error: anyhow::Error| error.context(format!("cannot read the repository {}", self.remote.url));
        unplanned.refused(role).unwrap_or_else(|error| reading(error).into())
    }

    fn head(&self) -> Result<Option<Oid>> {
        match self.repository.refname_to_id(&self.tracked()) {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read the branch {}", self.remote.branch)),
        }
    }

    fn branch(&self) -> String {
        format!("refs/heads/{}", self.remote.branch)
    }

    /// The ref that says where the branch is, here.
    fn tracked(&self) -> String {
        match self.copy {
            None => self.branch(),
            Some(_) => format!("refs/remotes/origin/{}", self.remote.branch),
        }
    }

    fn tree_of(&self, commit: Option<Oid>) -> Result<Option<git2::Tree<'_>>> {
        Ok(commit.map(|id| self.repository.find_commit(id)?.tree()).transpose()?)
    }

    fn write_tree(&self, plan: &Plan, base: Option<Oid>) -> Result<Oid> {
        let mut update = TreeUpdateBuilder::new();
        for (path, content) in &plan.writes {
            update.upsert(path.as_str(), self.repository.blob(content)?, FileMode::Blob);
        }
        for path in &plan.removals {
            update.remove(path.as_str());
        }
        let base = match self.tree_of(base)? {
            Some(tree) => tree,
            None => self.repository.find_tree(self.repository.treebuilder(None)?.write()?)?,
        };
        Ok(update.create_updated(&self.repository, &base)?)
    }

    fn write_commit(&self, tree: Oid, base: Option<Oid>, delivery: &Delivery, message: &str) -> Result<Oid> {
        let Author { name, email } = &delivery.author;
        let who = git2::Signature::new(name.as_str(), email.as_str(), &git2::Time::new(delivery.time.as_second(), 0))?;
        let parent = base.map(|id| self.repository.find_commit(id)).transpose()?;
        let tree = self.repository.find_tree(tree)?;
        Ok(self.repository.commit(None, &who, &who, message, &tree, &parent.iter().collect::<Vec<_>>())?)
    }

    /// Waits until no other process of ours writes here.
    fn take_turn(&self) -> Result<File> {
        let path = self.repository.path().join("goldpath.lock");
        let take = || {
            // Who may not write the file of another user can still lock it.
            let lock = File::create(&path).or_else(|_| File::open(&path))?;
            lock.lock()?;
            std::io::Result::Ok(lock)
        };
        take().with_context(|| format!("cannot lock {}", path.display()))
    }

    /// Moves the branch of a repository on this machine.
    fn swap(&self, base: Option<Oid>, commit: Oid, deadline: Instant) -> Result<Try> {
        let name = self.branch();
        loop {
            let moved = match base {
                Some(base) => self.repository.reference_matching(&name, commit, true, base, "goldpath"),
                None => self.repository.reference(&name, commit, false, "goldpath"),
            };
            match moved.map(drop) {
                Ok(()) => return Ok(Try::Moved),
                Err(error) if matches!(error.code(), ErrorCode::Modified | ErrorCode::Exists | ErrorCode::NotFound) => {
                    return Ok(Try::Lost);
                }
                Err(error) if error.code() == ErrorCode::Locked && Instant::now() < deadline => {
                    self.break_stale_lock(&name)?
                }
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the lock that a killed process left on a ref.
    fn break_stale_lock(&self, name: &str) -> Result<()> {
        let path = self.repository.path().join(format!("{name}.lock"));
        let age = fs::metadata(&path).and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > STALE_LOCK) {
            fs::remove_file(&path).with_context(|| format!("cannot remove the stale lock {}", path.display()))?;
        }
        Ok(())
    }

    fn fetch(&self) -> Result<()> {
        let mut options = FetchOptions::new();
        options.depth(1);
        let refspec = format!("+{}:{}", self.branch(), self.tracked());
        self.repository
            .remote_anonymous(&self.remote.url.to_string())?
            .fetch(&[refspec], Some(&mut options), None)
            .map_err(|error| self.explain(error))
    }

    fn push(&self, commit: Oid) -> Result<Try> {
        self.repository.reference(&self.branch(), commit, true, "goldpath")?;
        let refused = RefCell::new(None);
        let mut callbacks = RemoteCallbacks::new();
        callbacks.push_update_reference(|_, status| {
            *refused.borrow_mut() = status.map(str::to_owned);
            Ok(())
        });
        let mut options = PushOptions::new();
        options.remote_callbacks(callbacks);
        let pushed =
            self.repository.remote_anonymous(&self.remote.url.to_string())?.push(&[self.branch()], Some(&mut options));
        drop(options);
        match (pushed, refused.into_inner()) {
            (Ok(()), None) => Ok(Try::Moved),
            (Err(error), _) if error.code() == ErrorCode::NotFastForward => Ok(Try::Lost),
            (Err(error), _) => Err(self.explain(error)),
            // What git's own server, and so Gitea, says of a ref that somebody else moved.
            (Ok(()), Some(status))
                if ["cannot lock ref", "failed to update ref", "fetch first", "non-fast-forward", "stale info"]
                    .iter()
                    .any(|s| status.contains(s)) =>
            {
                Ok(Try::Lost)
            }
            (Ok(()), Some(status)) => bail!("the server refuses the commit: {status:?}"),
        }
    }

    /// Says which token it is about: a server's own words are about its protocol.
    fn explain(&self, error: git2::Error) -> anyhow::Error {
        let refused = error.code() == ErrorCode::Auth;
        let error = anyhow::Error::from(error);
        match &self.remote.token {
            Some(file) if refused => error.context(format!("the server refuses the token in {file}")),
            _ => error,
        }
    }
}

/// The files of one commit.
pub struct Snapshot<'r> {
    repository: &'r Repository,
    /// None for a repository that is still empty.
    tree: Option<git2::Tree<'r>>,
    /// What was read ahead.
    read: RefCell<BTreeMap<RelativePath, Vec<u8>>>,
}

impl Snapshot<'_> {
    fn entry(&self, path: &str) -> Result<Option<git2::TreeEntry<'static>>> {
        let Some(tree) = &self.tree else {
            return Ok(None);
        };
        match tree.get_path(Path::new(path)) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read `{path}`")),
        }
    }
}

impl Tree for Snapshot<'_> {
    fn read(&self, path: &RelativePath) -> Result<Option<Vec<u8>>> {
        if let Some(content) = self.read.borrow().get(path) {
            return Ok(Some(content.clone()));
        }
        match self.entry(path.as_str())? {
            Some(entry) if entry.kind() == Some(git2::ObjectType::Blob) => {
                Ok(Some(self.repository.find_blob(entry.id())?.content().to_vec()))
            }
            _ => Ok(None),
        }
    }

    fn is_blocked(&self, path: &RelativePath) -> Result<bool> {
        for folder in path.folders() {
            if self.entry(folder)?.is_some_and(|e| e.kind() != Some(git2::ObjectType::Tree)) {
                return Ok(true);
            }
        }
        Ok(self.entry(path.as_str())?.is_some_and(|e| e.kind() != Some(git2::ObjectType::Blob)))
    }

    fn paths(&self, folder: &str) -> Result<BTreeSet<RelativePath>> {
        match self.entry(folder)? {
            Some(entry) if entry.kind() == Some(git2::ObjectType::Tree) => {
                walk(&self.repository.find_tree(entry.id())?, &format!("{folder}/"))
            }
            _ => Ok(BTreeSet::new()),
        }
    }

    /// By one walk: to find a file by its path takes longer the more files its folder has.
    fn read_ahead(&self, paths: &BTreeSet<RelativePath>) -> Result<()> {
        let Some(tree) = self.tree.as_ref().filter(|_| paths.len() > 1) else { return Ok(()) };
        let mut found = Vec::new();
        for_each_file(tree, "", |path, id| found.extend(paths.contains(&path).then_some((path, id))))?;
        for (path, id) in found {
            self.read.borrow_mut().insert(path, self.repository.find_blob(id)?.content().to_vec());
        }
        Ok(())
    }

    fn possible_entities(&self) -> Result<BTreeMap<RelativePath, String>> {
        let mut files = Vec::new();
        if let Some(tree) = &self.tree {
            for_each_file(tree, "", |path, id| files.push((path, id)))?;
        }
        let objects = self.repository.odb()?;
        let mut entities = BTreeMap::new();
        for (path, id) in files {
            if index::is_possible(&path, || objects.read_header(id).map(|(length, _)| length))? {
                entities.insert(path, id.to_string());
            }
        }
        Ok(entities)
    }
}

/// The path of every file of a tree, behind `prefix`.
fn walk(tree: &git2::Tree<'_>, prefix: &str) -> Result<BTreeSet<RelativePath>> {
    let mut paths = BTreeSet::new();
    for_each_file(tree, prefix, |path, _| {
        paths.insert(path);
    })?;
    Ok(paths)
}

fn for_each_file(tree: &git2::Tree<'_>, prefix: &str, mut each: impl FnMut(RelativePath, Oid)) -> Result<()> {
    tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() == Some(git2::ObjectType::Blob) {
            // What we could not have written is nobody's entity and nobody's inventory.
            let path = entry.name().map(|name| RelativePath::parse(&format!("{prefix}{folder}{name}")));
            if let Ok(Ok(path)) = path {
                each(path, entry.id());
            }
        }
        git2::TreeWalkResult::Ok
    })?;
    Ok(())
}
