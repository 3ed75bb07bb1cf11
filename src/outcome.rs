//! What is delivered, and what came of it: plain data.

use crate::diff::FileDiff;
use crate::file_tree::{FileTree, RelativePath};
use crate::names::{DisplayName, Email, Username};
use crate::outputs::{Accounts, Claims, Role};
use crate::request::Identity;
use crate::violation::{Refusal, Violation};
use clap::ValueEnum;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What Kratix wants done with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Bring about what it says.
    Configure,
    /// Take away what it brought about.
    Delete,
}

/// For whom something is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The request.
    pub request: Identity,
    /// Which edit of it.
    pub generation: Option<u64>,
}

/// Who commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: DisplayName,
    /// The mail address.
    pub email: Email,
}

impl Default for Author {
    fn default() -> Self {
        Self {
            name: DisplayName::parse("Goldpath").expect("a constant"),
            email: Email::parse("goldpath@example.com").expect("a constant"),
        }
    }
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
    /// What files claim that is not the request's id.
    pub claims: Claims,
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
                PullRequestState::Open if changed && dry_run => {
                    format!("would propose in pull request #{number}: {url}")
                }
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
    /// The request was delivered by another id than it has now, which names what exists.
    #[error("`{field}` was `{old}` and cannot be changed to `{new}`: it names what exists already")]
    Renamed {
        /// The field that has it.
        field: &'static str,
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
    /// The request is to go, and others have files in the catalog for which it has to stay.
    #[error("it is used by {files} in catalog: it goes once they are gone")]
    InUse {
        /// Which files.
        files: String,
    },
    /// Something around it that may pass.
    #[error(transparent)]
    Passing(#[from] anyhow::Error),
}

impl Undelivered {
    /// Whether the request has to change.
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Passing(_))
    }

    /// What is to be done about it, as a fault of the request in the field that has its id, or in the one of `claims`; nothing
    /// where something around it failed.
    pub fn refusal(&self, id: &str, claims: &Claims) -> Option<Violation> {
        if let Self::Taken { path, owner, .. } = self
            && let Some(claim) = claims.get(path)
        {
            let refusal = Refusal::new("taken", format!("{} belongs to {owner}", claim.what));
            return Some(refusal.help("use another, or have it given up there first").at(claim.field.as_str(), None));
        }
        let (rule, help) = match self {
            Self::Passing(_) => return None,
            Self::Taken { owner: Owner::Request(_), .. } => ("taken", "use another id, or delete that request first"),
            Self::Taken { .. } => ("taken", "use another id, or have what is there removed from the repository"),
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
            Self::InUse { .. } => ("in-use", "delete the requests that they are of first"),
            Self::Exists { .. } => (
                "organization-exists",
                "use another id, or have an administrator of Gitea rename or remove it; what a deleted request has made is \
                 gone once the pull request of its deletion is merged and applied",
            ),
        };
        let path = match self {
            Self::Index { .. } | Self::InUse { .. } => "",
            Self::Renamed { field, .. } => field,
            _ => id,
        };
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
