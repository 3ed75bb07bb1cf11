//! Delivery: the files of a request, in the repositories, owned by it.
//!
//! Nothing is written while any file of it belongs to another request, in any repository. What
//! is written is one commit a repository, or none where nothing changes.

mod git;
mod gitea;
mod holdings;
pub(crate) mod index;
pub(crate) mod inventory;

use crate::config::{self, Author, Config, GitRemote, Location, Remote};
use crate::diff::FileDiff;
use crate::file_tree::{FileTree, RelativePath};
use crate::kratix::Action;
use crate::names::Username;
use crate::promise::{Accounts, Role};
use crate::request::Identity;
use crate::violation::{Refusal, Violation};
use anyhow::{Context, Result, ensure};
use inventory::Plan;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use std::{fmt, fs};

pub use git::create as create_repository;

/// Whether a repository can be read.
///
/// # Errors
/// Why it cannot.
pub fn can_be_read(remote: &GitRemote) -> Result<()> {
    git::Branch::open(remote).map(drop)
}
pub(crate) use gitea::{Api, User, snapshot};
pub use gitea::{Pull, Sight, Status, Survey, look};
pub use holdings::{Held, Holdings, hold, module_of};

/// For whom something is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The request.
    pub request: Identity,
    /// Which edit of it.
    pub generation: Option<u64>,
}

/// What is to be delivered, for whom.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// For whom.
    pub cause: Cause,
    /// Bring the files in, or take them out.
    pub action: Action,
    /// All files of it in each repository; none to take away what there is.
    pub files: BTreeMap<Role, FileTree>,
    /// The accounts in Gitea that are to be made, each of which must be free or the request's own, and that must be there.
    pub accounts: Accounts,
    /// The pull requests that earlier runs opened, by their numbers.
    pub pull_requests: BTreeMap<Role, u64>,
    /// Where the catalog's index is.
    pub index: RelativePath,
    /// Who commits.
    pub author: Author,
    /// Further trailers of the message.
    pub trailers: Vec<(String, String)>,
    /// When.
    pub time: Timestamp,
    /// Whether to tell the changes as a diff too.
    pub with_diff: bool,
}

/// What a delivery does or did in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The commit that holds the files: on the branch, or on that of a pull request; none in a
    /// repository that is still empty, or in a dry run.
    pub commit: Option<String>,
    /// The pull request that proposes them, where they are not on the branch, or brought them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// What changed; nothing where all was there already.
    pub changes: Vec<Change>,
    /// How many files of the request there are now, without what Goldpath keeps beside them.
    pub files: usize,
    /// What will keep the apply from its end if it stays so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How each file changes, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<FileDiff>,
}

impl Outcome {
    /// What was done, in a few words; with `dry_run`, what would be.
    pub fn summary(&self, dry_run: bool) -> String {
        let changed = !self.changes.is_empty();
        if let Some(PullRequest { number, url, state }) = &self.pull_request {
            return match state {
                PullRequestState::Open if changed => format!("proposed in pull request #{number}: {url}"),
                PullRequestState::Open => format!("unchanged in pull request #{number}: {url}"),
                PullRequestState::Edited => format!("left alone, edited by somebody, in pull request #{number}: {url}"),
                PullRequestState::Closed => format!("declined in pull request #{number}: {url}"),
                PullRequestState::Merged => format!("unchanged since pull request #{number} was merged"),
            };
        }
        match &self.commit {
            _ if !changed => "unchanged".to_owned(),
            _ if dry_run => "would commit".to_owned(),
            Some(commit) => format!("committed {}", short(commit)),
            None => "committed".to_owned(),
        }
    }
}

/// A commit's id, as short as people write it.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// A pull request of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// What became of it.
    pub state: PullRequestState,
}

/// What became of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullRequestState {
    /// It proposes what the request asks for.
    Open,
    /// A person has pushed to its branch, which is not overwritten.
    Edited,
    /// A person has closed it; it is not opened again for the same content.
    Closed,
    /// It is on the branch.
    Merged,
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
    /// The request was delivered by another `spec.id` than it has now, which names what exists.
    #[error("`spec.id` was `{old}` and cannot be changed to `{new}`: it names what exists already")]
    Renamed {
        /// The id that it was delivered by.
        old: String,
        /// The id that it has.
        new: String,
    },
    /// What is at the path of the catalog's index is not ours, and is not replaced.
    #[error(
        "`{path}` in catalog is to be the list of all entities, and somebody has written another file there by hand"
    )]
    Index {
        /// The path.
        path: RelativePath,
    },
    /// An account that the request is to make is there, and somebody else's: the request has to change, because its
    /// manifests give rights to whoever has the name.
    #[error("`{name}` is in Gitea already, as a user or organisation that this request has not made")]
    Exists {
        /// Its name.
        name: Username,
    },
    /// Something around it that may pass.
    #[error(transparent)]
    Passing(#[from] anyhow::Error),
}

impl Undelivered {
    /// What is to be done about it, as a fault of the request; nothing where something around it failed.
    pub fn refusal(&self) -> Option<Violation> {
        let (rule, help) = match self {
            Self::Passing(_) => return None,
            Self::Taken { owner: Owner::Request(_), .. } => ("taken", "use another id, or delete that request first"),
            Self::Taken { .. } => ("taken", "use another id, or have the file removed from the repository"),
            Self::Renamed { .. } => (
                "immutable",
                "put the old one back; what is to have the new one is another request, with another name, and this one can \
                 be deleted",
            ),
            Self::Index { .. } => (
                FOREIGN_INDEX,
                "have its entities moved to another file, which the list then names, and the file removed; or have another \
                 path named as `catalog.index` in the platform's configuration",
            ),
            Self::Exists { .. } => (
                "organization-exists",
                "use another id, or have an administrator of Gitea rename or remove it; what a deleted request has made is \
                 gone once the pull request of its deletion is merged and applied",
            ),
        };
        let path = if matches!(self, Self::Index { .. }) { "" } else { "spec.id" };
        Some(Refusal::new(rule, self.to_string()).help(help).at(path, None))
    }
}

/// The rule by which a request is refused for what is at the path of the catalog's index, whatever the request says.
pub(crate) const FOREIGN_INDEX: &str = "index";

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

/// How far a delivery goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It finds out what it would do, and writes nothing.
    DryRun,
    /// From then on nobody else gets the files' paths. Where that cannot be said otherwise, the files are committed.
    Claim,
    /// The files are there, or are proposed.
    Whole,
}

/// Delivers to every repository that there are files for, and tells `done` of each that is done.
///
/// # Errors
/// A file that belongs to another request, or an account in Gitea that the request has not made, before anything is
/// written; anything that may pass, a
/// race that was not won by `deadline` included. Running it again finishes what was begun.
pub fn deliver(
    config: &Config,
    delivery: &Delivery,
    extent: Extent,
    deadline: Instant,
    mut done: impl FnMut(Role, Outcome),
) -> Result<(), Undelivered> {
    let mut open = Vec::new();
    for (role, files) in &delivery.files {
        let remote = config
            .repositories
            .get(role)
            .with_context(|| format!("the configuration names no repository for {}", role.as_str()))?;
        let mut target = match remote {
            Remote::Git(remote) => Target::Git(Box::new(git::Branch::open(remote)?)),
            Remote::Gitea(remote) => {
                Target::Gitea(Box::new(gitea::Repository::open(remote, config, deadline, extent)?))
            }
        };
        let preview = match &mut target {
            Target::Git(branch) => branch.preview(*role, delivery, files)?,
            Target::Gitea(repository) => repository.preview(*role, delivery, files)?,
        };
        match extent {
            Extent::DryRun => done(*role, preview),
            Extent::Claim | Extent::Whole => open.push((*role, files, target)),
        }
    }
    for (role, files, mut target) in open {
        let outcome = match &mut target {
            Target::Git(branch) => Some(branch.commit(role, delivery, files, deadline)?),
            Target::Gitea(repository) if extent == Extent::Claim => repository.claim(role, delivery, files)?,
            Target::Gitea(repository) => Some(repository.deliver(role, delivery, files)?),
        };
        if let Some(outcome) = outcome {
            done(role, outcome);
        }
    }
    Ok(())
}

/// Many deliveries to repositories on this machine, each of which gets one commit for all of them. While it is there, other
/// writers wait.
pub struct Batch(BTreeMap<Role, git::Batch>);

impl Batch {
    /// Opens every repository; none where one of them is elsewhere. In a dry run nobody has to wait.
    ///
    /// # Errors
    /// A repository that cannot be read, or that is there for two roles.
    pub fn open(config: &Config, extent: Extent) -> Result<Option<Self>> {
        let mut paths = BTreeSet::new();
        for remote in config.repositories.values() {
            let Remote::Git(GitRemote { url: Location::Path(path), .. }) = remote else { return Ok(None) };
            let is_new = paths.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
            ensure!(
                is_new,
                "{} cannot be both the catalog's and the infrastructure's repository: name two",
                path.display()
            );
        }
        let mut batches = BTreeMap::new();
        for (role, remote) in &config.repositories {
            if let Remote::Git(remote) = remote {
                batches.insert(*role, git::Batch::open(remote, *role, &config.catalog_index, extent)?);
            }
        }
        Ok(Some(Self(batches)))
    }

    /// Puts a delivery on what is to be committed, in all repositories or in none, and gives what it changes.
    ///
    /// # Errors
    /// As [`deliver`], but for races.
    pub fn stage(&mut self, delivery: &Delivery) -> Result<BTreeMap<Role, Outcome>, Undelivered> {
        let (mut plans, mut outcomes) = (Vec::new(), BTreeMap::new());
        for (role, files) in &delivery.files {
            let batch = self.0.get(role).with_context(|| format!("no repository for {} is open", role.as_str()))?;
            let (plan, outcome) = batch.plan(delivery, files)?;
            plans.push((*role, plan));
            outcomes.insert(*role, outcome);
        }
        for (role, plan) in plans {
            if let Some(batch) = self.0.get_mut(&role) {
                batch.stage(&delivery.cause, plan)?;
            }
        }
        Ok(outcomes)
    }

    /// How the catalog's index changes by all that is staged; not at all where it is not ours, and all are refused for it.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub fn index_diff(&mut self) -> Result<Vec<FileDiff>> {
        match self.0.get_mut(&Role::Catalog).map(git::Batch::stage_index) {
            Some(Err(Undelivered::Index { .. })) | None => Ok(Vec::new()),
            Some(diff) => Ok(diff?),
        }
    }

    /// Commits what is staged, of which `one` is one. Gives the commit that each repository is at.
    ///
    /// # Errors
    /// A repository that cannot be written, or that somebody else has written meanwhile.
    pub fn commit(&mut self, one: &Delivery) -> Result<BTreeMap<Role, Option<String>>> {
        self.0.iter_mut().map(|(role, batch)| Ok((*role, batch.commit(one)?))).collect()
    }
}

/// Waits while others go on claiming paths, where the request has claimed its own, for two minutes at most: all of that
/// becomes one commit, and the manifests of a burst of requests, which somebody waits for, are not held up by what is
/// delivered beside them. What fails here is told by the delivery.
pub fn let_others_claim(config: &Config, delivery: &Delivery) {
    let end = Instant::now() + Duration::from_secs(120);
    for (role, files) in &delivery.files {
        if let Some(Remote::Gitea(remote)) = config.repositories.get(role)
            && remote.delivery == config::Delivery::Commit
            && let Ok(repository) = gitea::Repository::open(remote, config, end, Extent::Whole)
        {
            let _ = repository.let_others_claim(delivery, files, end);
        }
    }
}

/// A repository that is being delivered to.
enum Target {
    Git(Box<git::Branch>),
    Gitea(Box<gitea::Repository>),
}

/// What the line of a commit's message begins with that names the request.
const REQUEST_TRAILER: &str = "Goldpath-Request: ";

/// The message of one commit: what changed for whom; the trailers are for programs. It holds no
/// text of a user's but names that are names by their types.
fn message(parts: &[(&Cause, &Plan)], trailers: &[(String, String)]) -> String {
    use fmt::Write;
    let mut text = match parts {
        [(cause, plan)] => format!("{}\n", subject(cause, plan)),
        _ => format!("goldpath: deliver {} requests\n", parts.len()),
    };
    for (cause, plan) in parts {
        if parts.len() > 1 {
            let _ = write!(text, "\n{}", subject(cause, plan));
        }
        if !plan.changes.is_empty() {
            text.push('\n');
        }
        for change in &plan.changes {
            let _ = writeln!(text, "{change}");
        }
    }
    text.push('\n');
    for (cause, _) in parts {
        let _ = writeln!(text, "{REQUEST_TRAILER}{}", cause.request);
        if let Some(generation) = cause.generation {
            let _ = writeln!(text, "Goldpath-Generation: {generation}");
        }
    }
    let _ = writeln!(text, "Goldpath-Promise-Version: {}", crate::VERSION);
    for (name, value) in trailers {
        let _ = writeln!(text, "{name}: {value}");
    }
    text
}

/// What is done for whom.
fn subject(cause: &Cause, plan: &Plan) -> String {
    let request = &cause.request;
    format!("{}: {} {}/{}", request.kind.to_lowercase(), plan.verb(), request.namespace, request.name)
}
