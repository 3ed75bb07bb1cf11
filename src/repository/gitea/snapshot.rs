//! The files of one commit, read as they are asked for, each once.
//!
//! Where one answer lists them all, that is asked first, and most questions need no other.

use super::{Api, BASE64, Changes, Operation, PastCommit};
use crate::file_tree::RelativePath;
use crate::gitea::Failure;
use crate::http::at_once;
use crate::repository::inventory::{self, Tree, blob_id};
use crate::repository::{REQUEST_TRAILER, index};
use crate::request::Identity;
use anyhow::{Context, Result};
use base64::Engine;
use serde::Deserialize;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// How many entries Gitea gives at once at most (`DEFAULT_GIT_TREES_PER_PAGE`).
const PAGE: &str = "1000";

/// The files of one commit.
pub struct Snapshot {
    api: Arc<Api>,
    /// None for a repository that is still empty.
    pub commit: Option<String>,
    /// None where they are too many.
    all: OnceCell<Option<All>>,
    root: OnceCell<All>,
    folders: RefCell<BTreeMap<String, bool>>,
    files: RefCell<BTreeMap<RelativePath, Option<Rc<File>>>>,
    entities: OnceCell<BTreeMap<RelativePath, String>>,
    /// The ids of what was listed by its folder.
    listed: RefCell<BTreeMap<RelativePath, String>>,
    likely: RefCell<BTreeMap<RelativePath, BTreeSet<RelativePath>>>,
}

/// Every entry, by path.
type All = BTreeMap<String, Entry>;

struct File {
    sha: String,
    content: Vec<u8>,
}

fn by_path(entries: Vec<Entry>) -> All {
    entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect()
}

/// A folder's entries, as Gitea lists them.
#[derive(Deserialize)]
pub struct Listing {
    /// The folder's id.
    pub sha: String,
    /// As many of its entries as are on a page.
    pub tree: Vec<Entry>,
    /// Whether more are on the next page.
    pub truncated: bool,
    total_count: usize,
}

/// A file or folder of a repository.
#[derive(Deserialize)]
pub struct Entry {
    /// From the folder that is listed.
    pub path: String,
    /// The id of its content.
    pub sha: String,
    /// `blob` or `tree`, or `commit` of a submodule.
    pub r#type: String,
    /// As git has it: `100644`.
    pub mode: String,
    /// In bytes; of files.
    #[serde(default)]
    pub size: u64,
}

impl Entry {
    fn is_file(&self) -> bool {
        self.r#type == "blob"
    }
}

impl Snapshot {
    /// What the repository holds at `commit`.
    pub fn new(api: Arc<Api>, commit: Option<String>) -> Self {
        let (all, root, folders, files, entities, listed, likely) = Default::default();
        Self { api, commit, all, root, folders, files, entities, listed, likely }
    }

    /// What makes this the tree with `changes`.
    /// What is so already is left out.
    pub(super) fn operations<'a>(&self, changes: &'a Changes) -> Result<Vec<Operation<'a>>> {
        let mut operations = Vec::new();
        for (path, content) in changes {
            let (operation, sha) = match (self.sha(path)?, content) {
                (None, None) => continue,
                (None, Some(_)) => ("create", None),
                (Some(sha), Some(content)) if blob_id(content)? == sha => continue,
                (Some(sha), Some(_)) => ("update", Some(sha)),
                (Some(sha), None) => ("delete", Some(sha)),
            };
            let content = content.as_ref().map(|content| BASE64.encode(content));
            operations.push(Operation { operation, path: path.as_str(), content, sha });
        }
        Ok(operations)
    }

    /// The id of a file's content.
    pub fn sha(&self, path: &RelativePath) -> Result<Option<String>> {
        let listed = match self.all()? {
            Some(all) => all,
            None if path.folders().next().is_none() => self.root()?,
            None => return Ok(self.file(path)?.map(|file| file.sha.clone())),
        };
        Ok(listed.get(path.as_str()).filter(|entry| entry.is_file()).map(|entry| entry.sha.clone()))
    }

    /// What is in no folder, and the outermost folders.
    fn root(&self) -> Result<&All, Failure> {
        if self.root.get().is_none() {
            let _ = self.root.set(by_path(self.list_all("", false)?));
        }
        Ok(self.root.get_or_init(All::new))
    }

    fn all(&self) -> Result<Option<&All>, Failure> {
        if self.all.get().is_none() {
            let all = match self.list("", 1, true, PAGE)? {
                Some(listing) if listing.truncated => None,
                listing => Some(listing.map_or_else(Vec::new, |listing| listing.tree)),
            };
            let _ = self.all.set(all.map(by_path));
        }
        Ok(self.all.get().and_then(Option::as_ref))
    }

    fn file(&self, path: &RelativePath) -> Result<Option<Rc<File>>> {
        let Some(commit) = &self.commit else {
            return Ok(None);
        };
        if let Some(file) = self.files.borrow().get(path) {
            return Ok(file.clone());
        }
        let is_there = match (self.all()?, path.folders().last()) {
            (Some(all), _) => all.get(path.as_str()).is_some_and(Entry::is_file),
            (None, Some(folder)) => self.is_folder(folder)?,
            (None, None) => true,
        };
        let file = if is_there { self.fetch(path, commit)?.map(Rc::new) } else { None };
        self.files.borrow_mut().insert(path.clone(), file.clone());
        Ok(file)
    }

    fn fetch(&self, path: &RelativePath, commit: &str) -> Result<Option<File>> {
        #[derive(Deserialize)]
        struct Answer {
            file_contents: Option<Contents>,
        }
        #[derive(Deserialize)]
        struct Contents {
            sha: String,
            r#type: String,
            content: Option<String>,
        }
        let path_in_api = self.api.path(&["contents-ext", path.as_str()]);
        let query = [("ref", commit), ("includes", "file_content")];
        let answer: Option<Answer> = self.api.gitea.get(&path_in_api, &query)?;
        let Some(contents) = answer.and_then(|answer| answer.file_contents).filter(|c| c.r#type == "file") else {
            return Ok(None);
        };
        let content = BASE64
            .decode(contents.content.unwrap_or_default())
            .with_context(|| format!("Gitea's answer for `{path}` is not base64"))?;
        Ok(Some(File { sha: contents.sha, content }))
    }

    fn is_folder(&self, folder: &str) -> Result<bool> {
        if let Some(all) = self.all()? {
            return Ok(all.get(folder).is_some_and(|entry| !entry.is_file()));
        }
        if let Some(is_folder) = self.folders.borrow().get(folder) {
            return Ok(*is_folder);
        }
        let is_folder = self.list(folder, 1, false, "1")?.is_some();
        self.folders.borrow_mut().insert(folder.to_owned(), is_folder);
        Ok(is_folder)
    }

    /// A page of the entries of a folder, with everything below them or without.
    fn list(&self, folder: &str, page: usize, below: bool, size: &str) -> Result<Option<Listing>, Failure> {
        match &self.commit {
            Some(commit) => list(&self.api, commit, folder, page, below, size),
            None => Ok(None),
        }
    }

    /// Every entry of a folder, all pages of it.
    pub fn list_all(&self, folder: &str, below: bool) -> Result<Vec<Entry>, Failure> {
        let Some(first) = self.list(folder, 1, below, PAGE)? else {
            return Ok(Vec::new());
        };
        let mut entries = first.tree;
        let pages = first.total_count.div_ceil(entries.len().max(1));
        let (api, commit) = (&*self.api, self.commit.as_deref().unwrap_or_default());
        // Gitea works out the whole folder for each page: several at once take half the time.
        let rest: Vec<_> = (2..=pages).collect();
        let listings = at_once(4, &rest, |page| list(api, commit, folder, *page, below, PAGE))?;
        entries.extend(listings.into_iter().flatten().flat_map(|listing| listing.tree));
        Ok(entries)
    }

    /// The requests that probably own a file: for which the commits were made that have touched it.
    pub fn likely_owners(&self, path: &RelativePath) -> Result<Vec<Identity>> {
        Ok(self.history(path, false)?.iter().flat_map(|past| causes(&past.commit.message, path)).collect())
    }

    fn history(&self, path: &RelativePath, with_files: bool) -> Result<Vec<PastCommit>, Failure> {
        match &self.commit {
            Some(commit) => self.api.history(commit, path.as_str(), with_files),
            None => Ok(Vec::new()),
        }
    }

    /// The files below a folder.
    fn files_below(&self, folder: &str) -> Result<Vec<(RelativePath, Entry)>> {
        let files = self.list_all(folder, true)?.into_iter().filter(Entry::is_file);
        // What we could not have written is nobody's entity and nobody's inventory.
        Ok(files
            .filter_map(|entry| Some((RelativePath::parse(&format!("{folder}/{}", entry.path)).ok()?, entry)))
            .collect())
    }
}

/// A file by the id of its content.
fn blob(api: &Api, sha: &str) -> Result<File> {
    #[derive(Deserialize)]
    struct Blob {
        content: Option<String>,
    }
    let blob: Option<Blob> = api.gitea.get(&api.path(&["git", "blobs", sha]), &[])?;
    let content = blob.and_then(|blob| blob.content).with_context(|| format!("Gitea has no content of `{sha}`"))?;
    let content = BASE64.decode(content).with_context(|| format!("Gitea's answer for `{sha}` is not base64"))?;
    Ok(File { sha: sha.to_owned(), content })
}

/// A page of a folder's entries at a commit, `below` of the folders in it too; none where it is not there.
///
/// # Errors
/// A server that fails.
pub fn list(
    api: &Api,
    commit: &str,
    folder: &str,
    page: usize,
    below: bool,
    size: &str,
) -> Result<Option<Listing>, Failure> {
    let tree = if folder.is_empty() { commit.to_owned() } else { format!("{commit}:{folder}") };
    let mut path = api.path(&["git", "trees"]);
    path.push(&tree);
    let (page, below) = (page.to_string(), below.to_string());
    let query = [("page", page.as_str()), ("per_page", size), ("recursive", below.as_str())];
    match api.gitea.get(&path, &query) {
        // How Gitea says that there is no such folder.
        Err(Failure::Refused(words)) if words.contains("sha not found") => Ok(None),
        answer => answer,
    }
}

impl Tree for Snapshot {
    fn read(&self, path: &RelativePath) -> Result<Option<Vec<u8>>> {
        Ok(self.file(path)?.map(|file| file.content.clone()))
    }

    fn has(&self, path: &RelativePath) -> Result<bool> {
        Ok(self.sha(path)?.is_some())
    }

    fn holds(&self, path: &RelativePath, content: &[u8]) -> Result<bool> {
        Ok(self.sha(path)? == Some(blob_id(content)?))
    }

    fn is_blocked(&self, path: &RelativePath) -> Result<bool> {
        for folder in path.folders() {
            if !self.is_folder(folder)? {
                // Nothing, or a file; below nothing there is nothing.
                return self.has(&RelativePath::parse(folder)?);
            }
        }
        self.is_folder(path.as_str())
    }

    fn paths(&self, folder: &str) -> Result<BTreeSet<RelativePath>> {
        let files: BTreeMap<_, _> =
            self.files_below(folder)?.into_iter().map(|(path, entry)| (path, entry.sha)).collect();
        let paths = files.keys().cloned().collect();
        self.listed.borrow_mut().extend(files);
        Ok(paths)
    }

    fn possible_entities(&self) -> Result<BTreeMap<RelativePath, String>> {
        if let Some(entities) = self.entities.get() {
            return Ok(entities.clone());
        }
        let mut entities = BTreeMap::new();
        let mut take = |path: RelativePath, entry: &Entry| {
            // What has no length here is too long.
            if index::is_possible(&path, || usize::try_from(entry.size)).unwrap_or_default() {
                entities.insert(path, entry.sha.clone());
            }
        };
        let all = self.all()?;
        for (path, entry) in all.map_or_else(|| self.root(), Ok)? {
            if entry.is_file() {
                RelativePath::parse(path).into_iter().for_each(|path| take(path, entry));
            } else if all.is_none() && !path.starts_with('.') {
                self.files_below(path)?.into_iter().for_each(|(path, entry)| take(path, &entry));
            }
        }
        Ok(self.entities.get_or_init(|| entities).clone())
    }

    /// By the ids of their content, several at once.
    fn read_ahead(&self, paths: &BTreeSet<RelativePath>) -> Result<()> {
        let (entities, listed) = (self.entities.get(), self.listed.borrow());
        let mut wanted = Vec::new();
        for path in paths.iter().filter(|path| !self.files.borrow().contains_key(*path)) {
            // Of the others it is not known without another question whether they are there.
            if let Some(sha) = entities.and_then(|known| known.get(path)).or_else(|| listed.get(path)) {
                wanted.push((path, sha));
            }
        }
        let api = &*self.api;
        let files = at_once(8, &wanted, |(_, sha)| blob(api, sha))?;
        let files = wanted.iter().zip(files).map(|((path, _), file)| ((*path).clone(), Some(Rc::new(file))));
        self.files.borrow_mut().extend(files);
        Ok(())
    }

    /// By the commits that have touched the file, each for the requests of its trailers, or, where somebody has squashed
    /// these away, with the inventories that it changed too. Whoever may write can add a commit, and with it a look into
    /// one more inventory.
    fn likely_inventories(&self, path: &RelativePath) -> Result<BTreeSet<RelativePath>> {
        if let Some(likely) = self.likely.borrow().get(path) {
            return Ok(likely.clone());
        }
        let mut likely = BTreeSet::new();
        let mut commits = self.history(path, false)?;
        if commits.iter().any(|past| causes(&past.commit.message, path).is_empty()) {
            commits = self.history(path, true)?;
        }
        for past in &commits {
            let causes = causes(&past.commit.message, path);
            if causes.is_empty() {
                let files = past.files.iter().filter(|file| inventory::is_inventory(&file.filename));
                likely.extend(files.filter_map(|file| RelativePath::parse(&file.filename).ok()));
            }
            for request in &causes {
                likely.insert(inventory::path_of(request)?);
            }
        }
        self.likely.borrow_mut().insert(path.clone(), likely.clone());
        Ok(likely)
    }
}

/// The requests for which a commit changed a file, by its message ([`crate::repository::message`]): of many, those in whose
/// part a line names the file.
fn causes(message: &str, path: &RelativePath) -> Vec<Identity> {
    let trailers = message.lines().filter_map(|line| line.strip_prefix(REQUEST_TRAILER));
    let all: Vec<Identity> = trailers.filter_map(|request| request.parse().ok()).collect();
    let (mut subject, mut subjects) = ("", Vec::new());
    for line in message.lines().filter(|line| !line.is_empty()) {
        match line.split_at_checked(2) {
            Some(("+ " | "~ " | "- ", changed)) if changed == path.as_str() => subjects.push(subject),
            Some(("+ " | "~ " | "- ", _)) => {}
            _ => subject = line,
        }
    }
    let is_named = |request: &&Identity| {
        let end = format!(" {}/{}", request.namespace, request.name);
        subjects.iter().any(|subject| subject.ends_with(&end))
    };
    let named: Vec<_> = all.iter().filter(is_named).cloned().collect();
    if named.is_empty() { all } else { named }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::outcome::{Cause, Change, ChangeKind};
    use crate::repository::inventory::Plan;
    use crate::repository::message;

    #[test]
    fn a_commit_for_many_is_for_those_whose_part_names_the_file() {
        let cause = |name: &str| Cause { request: format!("Team x/{name}").parse().unwrap(), generation: Some(1) };
        let plan = |paths: &[&str]| {
            let change = |path: &&str| Change { path: RelativePath::parse(path).unwrap(), kind: ChangeKind::Added };
            Plan { changes: paths.iter().map(change).collect(), ..Plan::default() }
        };
        let [a, b, aa] = ["a", "b", "a-a"].map(cause);
        let plans = [plan(&["teams/a.yaml"]), plan(&["teams/b.yaml"]), plan(&[])];
        let text = message(&[(&a, &plans[0]), (&aa, &plans[2]), (&b, &plans[1])], &[]);
        let causes = |message: &str, path: &str| {
            let causes = causes(message, &RelativePath::parse(path).unwrap());
            causes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(causes(&text, "teams/b.yaml"), ["Team x/b"]);
        assert_eq!(causes(&text, "teams/other.yaml"), ["Team x/a", "Team x/a-a", "Team x/b"]);
        assert_eq!(causes(&message(&[(&a, &plans[0])], &[]), "teams/a.yaml"), ["Team x/a"]);
        assert!(causes("by hand\n\n~ teams/a.yaml\n", "teams/a.yaml").is_empty());
    }
}
