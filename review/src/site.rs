//! What a review reads and writes in Gitea, and what of it counts.
//!
//! Whoever may write to the infrastructure repository can edit a comment and set a status. So a
//! status counts only if our own user made it (it cannot be changed afterwards), and a comment only
//! if nobody has touched it since. A person is an account's id: names can be changed, and taken.

use super::comment;
use super::judge::with_record;
use super::plan::PLAN;
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use goldpath::config::review::Settings;
use goldpath::config::{Config, GiteaRemote, NamedFile, Remote};
use goldpath::digest::sha256;
use goldpath::file_tree::{FileTree, RelativePath};
use goldpath::gitea::{Failure, Gitea, Nothing};
use goldpath::names::RootModule;
use goldpath::outputs::Role;
use goldpath::repository::inventory::{self, Tree};
use goldpath::repository::snapshot::{Entry, Snapshot, list};
use goldpath::repository::{Api, User};
use goldpath::request::Identity;
use goldpath::text::is_deceptive;
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The file that makes a folder a root module.
const BACKEND: &str = "backend.tf";
/// A root module is refused that has more files, or more bytes in them.
const MAX_FILES: usize = 100;
const MAX_BYTES: u64 = 1 << 20;
/// The branch and the file of the review repository that tell what is applied.
pub(super) const RECORDS: (&str, &str) = ("records", "applied.json");
/// The folder of the files by which something is approved again that is merged already.
const APPROVALS: &str = "approvals";
/// How often a call is made again that had no answer: for half a minute.
const RETRIES: u32 = 5;
/// So many merged pull requests are looked through for the one that brought something.
const MAX_MERGED: usize = 300;

/// The infrastructure repository, and the review repository beside it.
pub struct Site<'c> {
    /// What the platform decides.
    pub settings: &'c Settings,
    /// The infrastructure repository.
    pub(super) api: Arc<Api>,
    pub(super) records: Api,
    /// What Terraform's own provider may see.
    provider: Option<Gitea>,
    /// Our own user's id.
    pub(super) me: i64,
    /// The platform's owners, as their accounts were when they were first seen here.
    pub(super) owners: Vec<User>,
}

/// A pull request, as Gitea tells of it.
#[derive(Clone, Deserialize)]
pub(super) struct PullRequest {
    pub number: u64,
    pub html_url: String,
    pub head: End,
    base: Base,
    pub user: User,
    pub merged: bool,
    pub state: String,
    pub created_at: Timestamp,
    pub merged_at: Option<Timestamp>,
    pub merge_commit_sha: Option<String>,
}

/// A pull request that was merged, and is about one root module.
pub(super) struct Merged {
    pub pull: PullRequest,
    /// Every path that it changes.
    pub changed: BTreeSet<String>,
    /// Whether it changed the root module, and did not just approve it again.
    pub brings_it: bool,
}

/// The branch that a pull request is made of: one of the repository's, or of a fork's.
#[derive(Clone, Deserialize)]
pub(super) struct End {
    pub sha: String,
    /// The branch's name, also when it is gone.
    pub label: String,
    repo_id: i64,
    /// None where it is gone.
    pub repo: Option<Repository>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Repository {
    pub name: String,
    pub owner: User,
}

#[derive(Clone, Deserialize)]
struct Base {
    r#ref: String,
    repo_id: i64,
}

/// What our user has said of a commit.
#[derive(Clone, Deserialize)]
pub(super) struct Status {
    id: u64,
    pub status: String,
    pub description: String,
    pub target_url: String,
    context: String,
    creator: Option<User>,
    pub created_at: Timestamp,
}

/// A comment of our user's.
#[derive(Clone, Deserialize)]
pub(super) struct Comment {
    pub id: u64,
    pub body: String,
    pub updated_at: Timestamp,
    user: Option<User>,
}

/// An issue of our user's.
#[derive(Deserialize)]
pub(super) struct Issue {
    number: u64,
    html_url: String,
    pub body: String,
    user: User,
}

/// A file that is attached to a pull request.
#[derive(Deserialize)]
struct Attachment {
    browser_download_url: String,
    size: u64,
}

/// A root module at one commit.
pub(super) struct Folder {
    /// The id of its tree in git.
    pub tree: String,
    pub files: FileTree,
    /// What is no file that we read: links, submodules, too much.
    pub odd: Vec<String>,
}

/// What is applied of a root module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The id of its folder's tree in git.
    pub tree: String,
    /// A commit of the branch that has it.
    pub commit: String,
    /// When.
    pub at: Timestamp,
    /// The pull request that brought it, where one did.
    pub pull_request: Option<u64>,
    /// Who has approved it.
    pub approved_by: Vec<String>,
    /// The digest of the changes.
    pub changes: String,
    /// The providers, with their versions.
    pub providers: Vec<(String, String)>,
}

/// What is applied, by root module.
pub(super) type Records = BTreeMap<RootModule, Record>;

impl<'c> Site<'c> {
    /// Prepares to review what the configuration names. The token is that of the environment
    /// variable `GOLDPATH_TOKEN`, where it is set.
    ///
    /// # Errors
    /// A configuration without `review:`; a token that is another user's than `review.user`.
    pub fn open(config: &'c Config) -> Result<Self> {
        let settings = config.review.as_ref().context("the configuration has no `review:`")?;
        let mut remote = infrastructure(config)?.clone();
        if let Some(token) = NamedFile::variable("GOLDPATH_TOKEN") {
            remote.token = token;
        }
        let mut records = remote.clone();
        (records.owner, records.name) = settings.repository.clone();
        let open =
            |remote: &GiteaRemote| Ok::<_, anyhow::Error>(Gitea::open(remote, config.patience.call)?.retrying(RETRIES));
        let provider = NamedFile::variable("GITEA_TOKEN").map(|token| open(&GiteaRemote { token, ..remote.clone() }));
        let mut site = Self {
            settings,
            api: Arc::new(Api { gitea: open(&remote)?, remote: remote.clone() }),
            records: Api { gitea: open(&records)?, remote: records },
            provider: provider.transpose()?,
            me: 0,
            owners: Vec::new(),
        };
        let user: User = site.api.gitea.get(&["user"], &[])?.context("Gitea does not say whose token this is")?;
        if user.login != settings.user.as_str() {
            bail!("the token is of `{}`, and `review.user` is `{}`", user.login, settings.user);
        }
        site.me = user.id;
        site.owners = site.recognise(&user)?;
        Ok(site)
    }

    /// The branch that holds what is true.
    pub fn branch(&self) -> &str {
        self.api.remote.branch.as_str()
    }

    /// The commit that the branch is at.
    pub fn head(&self) -> Result<String> {
        let branch = self.api.remote.branch.as_str();
        self.api.head(branch)?.with_context(|| format!("{} has no branch `{branch}`", self.api.remote))
    }

    /// Every open pull request for the branch.
    pub fn open_pulls(&self) -> Result<Vec<PullRequest>> {
        let mut pulls: Vec<PullRequest> =
            self.api.gitea.get_all(&self.api.path(&["pulls"]), &[("state", "open"), ("sort", "oldest")])?;
        pulls.retain(|pull| pull.base.r#ref == self.api.remote.branch.as_str());
        Ok(pulls)
    }

    /// The pull request of a number.
    pub fn pull(&self, number: u64) -> Result<PullRequest> {
        let pull = self.api.gitea.get(&self.api.path(&["pulls", &number.to_string()]), &[])?;
        pull.with_context(|| format!("there is no pull request #{number} in {}", self.api.remote))
    }

    /// For each root module the merged pull request that changed it last, after those that approved it
    /// again since, the last first.
    pub fn merged_pulls(&self, modules: &BTreeSet<&RootModule>) -> Result<BTreeMap<RootModule, Vec<Merged>>> {
        let mut merged: Vec<PullRequest> = Vec::new();
        for page in 1.. {
            let page = page.to_string();
            let query = [("state", "closed"), ("sort", "recentclose"), ("limit", "50"), ("page", page.as_str())];
            let closed: Vec<PullRequest> = self.api.gitea.get(&self.api.path(&["pulls"]), &query)?.unwrap_or_default();
            let last = closed.len() < 50;
            let branch = self.api.remote.branch.as_str();
            merged.extend(closed.into_iter().filter(|pull| pull.merged && pull.base.r#ref == branch));
            if last || merged.len() >= MAX_MERGED {
                break;
            }
        }
        merged.sort_by_key(|pull| std::cmp::Reverse((pull.merged_at, pull.number)));
        let mut found: BTreeMap<RootModule, Vec<Merged>> = BTreeMap::new();
        let mut missing: BTreeSet<&RootModule> = modules.clone();
        for pull in merged {
            if missing.is_empty() {
                break;
            }
            let changed = self.changed_paths(pull.number)?;
            for module in modules {
                let (folder, approval) = (format!("{module}/"), approval_path(module));
                let brings_it = changed.iter().any(|path| path.starts_with(&folder));
                if missing.contains(module) && (brings_it || changed.contains(&approval)) {
                    let merged = Merged { pull: pull.clone(), changed: changed.clone(), brings_it };
                    found.entry((*module).clone()).or_default().push(merged);
                    // What came before is about another content.
                    if brings_it {
                        missing.remove(module);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Every path that a pull request adds, changes, removes or renames.
    pub fn changed_paths(&self, number: u64) -> Result<BTreeSet<String>> {
        #[derive(Deserialize)]
        struct Changed {
            filename: String,
            previous_filename: Option<String>,
        }
        let changed: Vec<Changed> =
            self.api.gitea.get_all(&self.api.path(&["pulls", &number.to_string(), "files"]), &[])?;
        Ok(changed.into_iter().flat_map(|file| [Some(file.filename), file.previous_filename]).flatten().collect())
    }

    /// The id of the tree of every root module at a commit, and the folders that would be one, but
    /// for their names.
    pub fn modules_at(&self, commit: &str) -> Result<(BTreeMap<RootModule, String>, Vec<String>)> {
        let entries = Snapshot::new(self.api.clone(), Some(commit.to_owned())).list_all("", true)?;
        let trees: BTreeMap<_, _> =
            entries.iter().filter(|e| e.r#type == "tree").map(|e| (e.path.as_str(), e.sha.as_str())).collect();
        let (mut modules, mut misnamed) = (BTreeMap::new(), Vec::new());
        for folder in entries.iter().filter_map(|entry| entry.path.strip_suffix(BACKEND)?.strip_suffix('/')) {
            match (RootModule::parse(folder), trees.get(folder)) {
                (Ok(module), Some(tree)) => drop(modules.insert(module, (*tree).to_owned())),
                _ => misnamed.push(folder.to_owned()),
            }
        }
        Ok((modules, misnamed))
    }

    /// A root module's files at a commit; none where it is not there.
    pub fn folder(&self, commit: &str, module: &RootModule) -> Result<Option<Folder>> {
        let Some(listing) = list(&self.api, commit, module.as_str(), 1, true, "1000")? else {
            return Ok(None);
        };
        let (mut files, mut odd) = (FileTree::default(), Vec::new());
        let blobs: Vec<&Entry> = listing.tree.iter().filter(|entry| entry.r#type != "tree").collect();
        if listing.truncated || blobs.len() > MAX_FILES || blobs.iter().map(|entry| entry.size).sum::<u64>() > MAX_BYTES
        {
            odd.push(format!("more than {MAX_FILES} files or {MAX_BYTES} bytes"));
            return Ok(Some(Folder { tree: listing.sha, files, odd }));
        }
        for entry in blobs {
            match (entry.r#type.as_str(), entry.mode.as_str(), RelativePath::parse(&entry.path)) {
                ("blob", "100644" | "100755", Ok(path)) => files.insert(path, self.blob(&entry.sha)?),
                _ => odd.push(format!("`{}`, which is no plain file", entry.path)),
            }
        }
        Ok(Some(Folder { tree: listing.sha, files, odd }))
    }

    fn blob(&self, sha: &str) -> Result<Vec<u8>> {
        #[derive(Deserialize)]
        struct Blob {
            content: String,
        }
        let blob: Option<Blob> = self.api.gitea.get(&self.api.path(&["git", "blobs", sha]), &[])?;
        let content = blob.with_context(|| format!("Gitea has lost the file {sha}"))?.content;
        BASE64.decode(content).context("Gitea's answer for a file is not base64")
    }

    /// The id of a root module's tree at a commit.
    pub fn tree(&self, commit: &str, module: &RootModule) -> Result<Option<String>> {
        Ok(list(&self.api, commit, module.as_str(), 1, false, "1")?.map(|listing| listing.sha))
    }

    /// The request that owns a root module at a commit, by its inventory, which must list the file
    /// that makes it one. `changed` are paths in which a new inventory may be.
    pub fn owner(&self, commit: &str, module: &RootModule, changed: &BTreeSet<String>) -> Result<Option<Identity>> {
        let snapshot = Snapshot::new(self.api.clone(), Some(commit.to_owned()));
        let file = RelativePath::parse(&format!("{module}/{BACKEND}"))?;
        let mut inventories: BTreeSet<_> =
            changed.iter().filter(|path| path.starts_with(".goldpath/")).cloned().collect();
        // A commit's trailers can be forged; the inventory that they lead to decides.
        for request in snapshot.likely_owners(&file)? {
            inventories.insert(inventory::path_of(&request)?.as_str().to_owned());
        }
        for path in inventories.iter().filter_map(|path| RelativePath::parse(path).ok()) {
            let Some(content) = snapshot.read(&path)? else { continue };
            let Ok(inventory) = inventory::parse(&path, &content) else { continue };
            if inventory.files.contains(&file) && inventory::path_of(&inventory.request)? == path {
                return Ok(Some(inventory.request));
            }
        }
        Ok(None)
    }

    /// What our user has said of a commit in `context`, the last first.
    pub fn said(&self, commit: &str, context: &str) -> Result<Vec<Status>, Failure> {
        let mut statuses: Vec<Status> =
            self.api.gitea.get_all(&self.api.path(&["commits", commit, "statuses"]), &[])?;
        statuses.retain(|s| s.context == context && s.creator.as_ref().is_some_and(|creator| creator.id == self.me));
        statuses.sort_by_key(|status| std::cmp::Reverse(status.id));
        Ok(statuses)
    }

    /// What our user has said of the head commit of a pull request for this one, the last first: another can have
    /// the same.
    pub fn said_in(&self, pull: &PullRequest, context: &str) -> Result<Vec<Status>, Failure> {
        let mut said = self.said(&pull.head.sha, context)?;
        said.retain(|said| said.target_url.split(['?', '#']).next() == Some(&pull.html_url));
        Ok(said)
    }

    /// Says something of a commit.
    pub fn say(&self, commit: &str, context: &str, state: &str, text: &str, url: &str) -> Result<Status, Failure> {
        let status = json!({"context": context, "state": state, "description": in_short(text), "target_url": url});
        self.api.gitea.send(Method::POST, &self.api.path(&["statuses", commit]), &status)
    }

    /// Says something of a commit, unless it is the last that we have said; gives whether it is news,
    /// as nothing is that was said before somebody was at it again.
    pub fn say_once(&self, commit: &str, context: &str, state: &str, text: &str, url: &str) -> Result<bool, Failure> {
        let said = self.said(commit, context)?;
        if said.first().is_none_or(|last| !last.says(state, text, url)) {
            self.say(commit, context, state, text, url)?;
        }
        let end = said.iter().find(|said| said.status != "pending");
        Ok(end.is_none_or(|end| !end.says(state, text, url)))
    }

    /// Our user's comment that begins with `marker`.
    pub fn comment(&self, number: u64, marker: &str) -> Result<Option<Comment>, Failure> {
        // All at once: this list of Gitea's has no pages.
        let number = number.to_string();
        let comments: Vec<Comment> =
            self.api.gitea.get(&self.api.path(&["issues", &number, "comments"]), &[])?.unwrap_or_default();
        Ok(comments.into_iter().find(|comment| {
            comment.body.starts_with(marker) && comment.user.as_ref().is_some_and(|by| by.id == self.me)
        }))
    }

    /// Whether a comment says what it did when it was recorded for the head commit of its pull request.
    pub fn is_recorded(&self, pull: &PullRequest, comment: &Comment) -> Result<bool, Failure> {
        let said = self.said_in(pull, PLAN)?;
        let last = said.iter().find(|status| status.target_url.contains(COMMENT));
        let digest = format!("{COMMENT}{}-", sha256(comment.body.as_bytes()));
        Ok(last.is_some_and(|last| last.target_url.contains(&digest)))
    }

    /// Since when it has been recorded as it is now, and was not touched since; none where it was. An edit that was undone
    /// is an edit: somebody may have approved what was there meanwhile.
    pub fn recorded_since(&self, pull: &PullRequest, comment: &Comment) -> Result<Option<Timestamp>, Failure> {
        let url = comment_record(pull, comment);
        let said = self.said_in(pull, PLAN)?;
        let recorded = said.iter().filter(|status| status.target_url.contains(COMMENT));
        Ok(recorded.take_while(|status| status.target_url == url).last().map(|status| status.created_at))
    }

    /// Writes our user's comment that begins with `marker`: the one that is there, or a new one.
    pub fn write_comment(&self, number: u64, old: Option<&Comment>, body: &str) -> Result<Comment, Failure> {
        let body = json!({"body": body});
        match old {
            Some(old) => {
                let id = old.id.to_string();
                self.api.gitea.send(Method::PATCH, &self.api.path(&["issues", "comments", &id]), &body)
            }
            None => {
                let number = number.to_string();
                self.api.gitea.send(Method::POST, &self.api.path(&["issues", &number, "comments"]), &body)
            }
        }
    }

    /// Attaches a text to a pull request, and gives its address.
    pub fn attach(&self, number: u64, name: &str, text: String) -> Result<String> {
        let (number, size) = (number.to_string(), text.len() as u64);
        let path = self.api.path(&["issues", &number, "assets"]);
        let kept: Attachment = self.api.gitea.upload(&path, name, text)?;
        ensure!(kept.size == size, "Gitea has kept {} of {size} bytes", kept.size);
        Ok(kept.browser_download_url)
    }

    /// Whether the file is there that a comment with a plan leads to, where it does: any writer can remove it, and
    /// nobody can change it.
    pub fn has_its_file(&self, pull: &PullRequest, comment: &Comment) -> Result<bool, Failure> {
        let Some(link) = comment::link(&comment.body) else { return Ok(true) };
        let number = pull.number.to_string();
        let path = self.api.path(&["issues", &number, "assets"]);
        let files: Vec<Attachment> = self.api.gitea.get(&path, &[])?.unwrap_or_default();
        Ok(files.iter().any(|file| link.split('?').next() == Some(&file.browser_download_url)))
    }

    /// Gitea, as who may ask for other people's rights: with the token that Terraform's provider has.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn platform(&self) -> Result<&Gitea, Failure> {
        let missing = || Failure::Refused("GITEA_TOKEN is not set: nobody can ask who has which rights".to_owned());
        self.provider.as_ref().ok_or_else(missing)
    }

    /// What an organisation has in it: names of repositories and packages. Gitea refuses to remove
    /// one that has any, with a bare 500.
    pub fn content_of_organization(&self, name: &str) -> Result<Vec<String>, Failure> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
            #[serde(default)]
            r#type: String,
        }
        let gitea = self.platform()?;
        let mut content = Vec::new();
        for (what, path) in [("repository", ["orgs", name, "repos"].as_slice()), ("package", &["packages", name])] {
            for Named { name, r#type } in gitea.get_all::<Named>(path, &[])? {
                let what = if r#type.is_empty() { what.to_owned() } else { format!("{type} {what}") };
                content.push(format!("{what} {name}"));
            }
        }
        content.sort();
        content.dedup();
        Ok(content)
    }

    /// What is applied, and the id of the file that says so.
    pub fn records(&self) -> Result<(Records, Option<String>)> {
        let Some((sha, content)) = file_at(&self.records, RECORDS.0, RECORDS.1)? else {
            return Ok((Records::new(), None));
        };
        let records = serde_json::from_slice(&content).with_context(|| {
            format!("{}: `{}` on `{}` is not what we write", self.records.remote, RECORDS.1, RECORDS.0)
        })?;
        Ok((records, Some(sha)))
    }

    /// Remembers what is applied of a root module; nothing where nothing of it is left.
    pub fn record(&self, module: &RootModule, record: Option<&Record>) -> Result<()> {
        loop {
            let (mut records, sha) = self.records()?;
            if records.get(module) == record {
                return Ok(());
            }
            match record {
                Some(record) => drop(records.insert(module.clone(), record.clone())),
                None => drop(records.remove(module)),
            }
            let what = if record.is_some() { "is applied" } else { "is destroyed" };
            if self.write_record(RECORDS.1, sha.as_deref(), &records, &format!("{module} {what}"))? {
                return Ok(());
            }
        }
    }

    /// Writes a file of the branch of records, which has this id so far; gives whether it is written, else another run
    /// was faster.
    pub(super) fn write_record(
        &self,
        path: &str,
        sha: Option<&str>,
        content: &impl Serialize,
        message: &str,
    ) -> Result<bool> {
        let text = serde_json::to_string_pretty(content)? + "\n";
        let mut body = json!({"branch": RECORDS.0, "message": message, "content": BASE64.encode(text)});
        let method = match sha {
            Some(sha) => {
                body["sha"] = sha.into();
                Method::PUT
            }
            None => Method::POST,
        };
        match self.records.gitea.put(method, &self.records.path(&["contents", path]), &body) {
            Err(Failure::LostRace | Failure::Conflict(_))
                if file_at(&self.records, RECORDS.0, path)?.map(|(sha, _)| sha).as_deref() != sha =>
            {
                Ok(false)
            }
            Err(Failure::LostRace) => {
                std::thread::sleep(std::time::Duration::from_millis(fastrand::u64(50..500)));
                Ok(false)
            }
            written => Ok(written.map(|()| true)?),
        }
    }

    /// The last commit of the branch that changed a root module.
    pub fn last_commit(&self, module: &RootModule) -> Result<Option<String>, Failure> {
        Ok(self.api.last_change(self.api.remote.branch.as_str(), module.as_str())?.map(|commit| commit.sha))
    }

    /// Opens a pull request by which changes can be approved that are merged already, or gives the
    /// last that was opened for them since the merge of the one numbered `after`.
    pub fn ask_again(
        &self,
        module: &RootModule,
        tree: &str,
        changes: &str,
        after: Option<u64>,
        body: &str,
    ) -> Result<PullRequest> {
        let branch = format!("goldpath/apply/{module}");
        let path = approval_path(module);
        let content = format!(
            "# Merging this applies what the pull request shows, and changes nothing else.\n\
             module: {module}\ntree: {tree}\nchanges: {changes}\nafter: {}\n",
            after.unwrap_or_default()
        );
        let head = self.api.head(&branch)?;
        let file = |commit: &str| file_at(&self.api, commit, &path);
        if let Some(head) = &head
            && file(head)?.is_some_and(|(_, old)| old == content.as_bytes())
        {
            let query = [("state", "all"), ("sort", "recentupdate"), ("limit", "50")];
            let pulls: Vec<PullRequest> = self.api.gitea.get(&self.api.path(&["pulls"]), &query)?.unwrap_or_default();
            if let Some(pull) = pulls.into_iter().find(|pull| pull.is_of(&branch) && !pull.merged) {
                return Ok(pull);
            }
        }
        let base = self.head()?;
        let mut operation = json!({"operation": "create", "path": path, "content": BASE64.encode(&content)});
        if let Some((sha, _)) = file(&base)? {
            operation["operation"] = "update".into();
            operation["sha"] = sha.into();
        }
        let title = format!("{module}: approve what is to be applied");
        let commit = json!({
            "branch": self.api.remote.branch.as_str(), "new_branch": branch, "force_push": true,
            "message": title, "files": [operation],
        });
        self.api.gitea.send::<Nothing>(Method::POST, &self.api.path(&["contents"]), &commit)?;
        let open = json!({"base": self.api.remote.branch.as_str(), "head": branch, "title": title, "body": body});
        match self.api.gitea.send(Method::POST, &self.api.path(&["pulls"]), &open) {
            // One is open: it shows the new content.
            Err(Failure::Conflict(_)) => {
                let pull = self.open_pulls()?.into_iter().find(|pull| pull.is_of(&branch));
                pull.context("Gitea refuses a pull request for one that it does not have")
            }
            opened => Ok(opened?),
        }
    }

    /// Our user's open issues.
    pub fn open_issues(&self) -> Result<Vec<Issue>, Failure> {
        let query = [("type", "issues"), ("state", "open"), ("created_by", self.settings.user.as_str())];
        let mut issues: Vec<Issue> = self.api.gitea.get_all(&self.api.path(&["issues"]), &query)?;
        issues.retain(|issue| issue.user.id == self.me);
        Ok(issues)
    }

    /// Keeps one issue open that begins with `marker`, while there is a body for it; `open` are those that are.
    pub fn keep_issue(
        &self,
        open: &[Issue],
        marker: &str,
        title: &str,
        body: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        match (open.iter().find(|issue| issue.body.starts_with(marker)), body) {
            (None, None) => Ok(None),
            (Some(issue), body) => {
                let number = issue.number.to_string();
                let change = match body {
                    Some(body) if body == issue.body => return Ok(Some(issue.html_url.clone())),
                    Some(body) => json!({"body": body}),
                    None => json!({"state": "closed"}),
                };
                self.api.gitea.put(Method::PATCH, &self.api.path(&["issues", &number]), &change)?;
                Ok(body.map(|_| issue.html_url.clone()))
            }
            (None, Some(body)) => {
                let issue: Issue = self.api.gitea.send(
                    Method::POST,
                    &self.api.path(&["issues"]),
                    &json!({"title": title, "body": body}),
                )?;
                Ok(Some(issue.html_url))
            }
        }
    }

    /// The address under which the states are.
    pub fn registry(&self, owner: &str) -> String {
        format!("{}/api/packages/{owner}/terraform/state/", self.api.remote.server)
    }
}

/// What stands before the record of a comment in a status's address.
const COMMENT: &str = "?comment=";

/// What the status of a whole pull request leads to: the comment, with its digest and when it was written.
pub(super) fn comment_record(pull: &PullRequest, comment: &Comment) -> String {
    let written = format!("{}-{}", sha256(comment.body.as_bytes()), comment.updated_at.as_second());
    with_record(pull, "comment", &written, comment.id)
}

/// Where the configuration has the infrastructure repository.
fn infrastructure(config: &Config) -> Result<&GiteaRemote> {
    match config.repositories.get(&Role::Infrastructure) {
        Some(Remote::Gitea(remote)) => Ok(remote),
        _ => bail!("the configuration names no infrastructure repository in Gitea"),
    }
}

/// The id and the content of a file on a branch or at a commit; none where it is not there.
pub(super) fn file_at(api: &Api, at: &str, path: &str) -> Result<Option<(String, Vec<u8>)>> {
    #[derive(Deserialize)]
    struct File {
        sha: String,
        content: Option<String>,
    }
    let file: Option<File> = api.gitea.get(&api.path(&["contents", path]), &[("ref", at)])?;
    let Some(file) = file else { return Ok(None) };
    let content = BASE64.decode(file.content.unwrap_or_default()).context("Gitea's answer is not base64")?;
    Ok(Some((file.sha, content)))
}

/// Releases a lock of Gitea's registry, with the password that Terraform gets for it.
pub(super) fn unlock(config: &Config, owner: &str, module: &RootModule, id: &str) -> Result<()> {
    let remote = infrastructure(config)?;
    let token = NamedFile::variable("TF_HTTP_PASSWORD").unwrap_or_else(|| remote.token.clone());
    let gitea = Gitea::open(&GiteaRemote { token, ..remote.clone() }, config.patience.call)?;
    let path = ["..", "packages", owner, "terraform", "state", &module.state(), "lock"];
    Ok(gitea.put(Method::DELETE, &path, &json!({"ID": id}))?)
}

impl Status {
    /// Whether it is this.
    pub fn says(&self, state: &str, text: &str, url: &str) -> bool {
        self.status == state && self.description == in_short(text) && self.target_url == url
    }
}

/// A text as one line that a list of statuses has room for.
fn in_short(text: &str) -> String {
    let text: String = text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// The file by which a root module is approved again.
pub(super) fn approval_path(module: &RootModule) -> String {
    format!("{APPROVALS}/{module}.yaml")
}

/// The root module that a file approves again; none for any other file.
pub(super) fn approved_module(path: &str) -> Option<RootModule> {
    RootModule::parse(path.strip_prefix(APPROVALS)?.strip_prefix('/')?.strip_suffix(".yaml")?).ok()
}

impl PullRequest {
    /// Whether it is made of this branch of the repository; a fork can have one of the same name.
    fn is_of(&self, branch: &str) -> bool {
        self.head.label == branch && self.head.repo_id == self.base.repo_id
    }

    /// Whether it can still be merged.
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }
}
