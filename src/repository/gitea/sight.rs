//! What became of a delivery: what Gitea says of its pull request, its commits and its branch.

use super::pull_request::branch_of;
use super::{Api, Info, PastCommit, RelativePath, Result, Snapshot, Touched, Tree, User};
use crate::config::{GiteaRemote, Patience};
use crate::gitea::{Failure, Gitea};
use crate::outcome::Action;
use crate::repository::inventory;
use crate::request::Identity;
use crate::status::Delivered;
use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// What is wrong where [`Api::info`] finds nothing.
pub const MISSING: &str = "there is no such repository: was it removed, or may the token no longer read it?";

/// What became of a delivery to one repository.
#[derive(Debug, Default)]
pub struct Sight {
    /// The pull request that was opened for it.
    pub pull_request: Option<Pull>,
    /// What programs say of the commit that counts: the head of an open pull request, or the
    /// commit that brought the files to the branch.
    pub statuses: Vec<Status>,
    /// Files that the branch should hold as they were delivered and does not.
    pub drifted: Vec<RelativePath>,
    /// Whether the branch has ever held the root module.
    pub was_there: bool,
    /// What Terraform's state holds, where there is one.
    pub state: Option<State>,
    /// Since when that is so: when the pull request was opened, closed or merged, or when the branch last changed.
    pub since: Option<Timestamp>,
}

/// A pull request.
#[derive(Debug)]
pub enum Pull {
    /// There is none of this number.
    Gone,
    /// It was closed without being merged.
    Closed,
    /// It was merged, as this commit.
    Merged(String),
    /// It waits.
    Open {
        /// Files that the branch has changed meanwhile too, so that it cannot be merged.
        conflicts: Vec<RelativePath>,
        /// Who has asked for changes, and not taken it back.
        changes_requested_by: Vec<String>,
        /// Who has approved its head.
        approved_by: Vec<String>,
    },
}

/// What a program says of a commit.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// What it is about, as `goldpath/plan: teams/alpha`.
    pub context: String,
    /// `pending`, `success`, `failure`, `error` or `warning`.
    pub status: String,
    /// In words.
    pub description: String,
    /// Where there is more.
    pub target_url: String,
    /// When it was said.
    pub created_at: Timestamp,
    id: u64,
    creator: Option<User>,
}

/// What is known of a Terraform state.
#[derive(Debug, Deserialize)]
pub struct State {
    /// Counts its changes.
    pub serial: u64,
    #[serde(default)]
    outputs: BTreeMap<String, Output>,
    #[serde(default)]
    resources: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Output {
    value: serde_json::Value,
    #[serde(default)]
    sensitive: bool,
}

impl State {
    /// The outputs that anybody may see.
    pub fn outputs(&self) -> serde_json::Map<String, serde_json::Value> {
        let shown = self.outputs.iter().filter(|(_, output)| !output.sensitive);
        shown.map(|(name, output)| (name.clone(), output.value.clone())).collect()
    }

    /// Whether nothing is left of what Terraform made.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }
}

#[derive(Deserialize)]
struct PullAnswer {
    state: String,
    merged: bool,
    merge_commit_sha: Option<String>,
    mergeable: bool,
    head: Head,
    created_at: Timestamp,
    closed_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Head {
    /// The branch's name, also when it is gone.
    label: String,
    sha: String,
}

#[derive(Deserialize)]
struct Review {
    state: String,
    commit_id: String,
    dismissed: bool,
    user: Option<User>,
}

/// Looks at what was delivered for a request; `state_owner` is the organisation whose registry holds
/// Terraform's state of it, if it has one; `review_user` the name, and the id where it is known, of the only one whose
/// statuses count, if there is one. It takes half of the deadline at most: there are two
/// repositories.
///
/// # Errors
/// A repository that is not there, has moved or is archived; a server that fails.
pub fn look(
    remote: &GiteaRemote,
    patience: &Patience,
    delivered: &Delivered,
    request: &Identity,
    state_owner: Option<&str>,
    review_user: Option<(&str, Option<i64>)>,
) -> Result<Sight> {
    let api = Arc::new(Api {
        gitea: Gitea::open(remote, patience.call)?.until(Instant::now() + patience.deadline / 2),
        remote: remote.clone(),
    });
    api.info()?.context(MISSING)?;
    let mut sight = api.look(delivered, request, state_owner, review_user)?;
    let files = match &delivered.commit {
        Some(commit) => files_of(&Snapshot::new(api.clone(), Some(commit.clone())), request)?,
        None => BTreeSet::new(),
    };
    if matches!(sight.pull_request, None | Some(Pull::Merged(_))) {
        sight.drifted = api.drifted(delivered.commit.as_deref(), &files)?;
    }
    Ok(sight)
}

/// The files of a request at a commit, by its inventory.
fn files_of(snapshot: &Snapshot, request: &Identity) -> Result<BTreeSet<RelativePath>> {
    let path = inventory::path_of(request)?;
    Ok(match snapshot.read(&path)? {
        Some(content) => inventory::parse(&path, &content)?.files,
        None => BTreeSet::new(),
    })
}

impl Api {
    /// What Gitea says of the repository, if it is there.
    ///
    /// # Errors
    /// One in which nothing can happen any more; a server that fails.
    pub(super) fn info(&self) -> Result<Option<Info>> {
        let info = self.gitea.get::<Info>(&self.path(&[]), &[])?;
        ensure!(
            info.as_ref().is_none_or(|info| !info.archived),
            "it is archived: nothing can be merged until it is unarchived"
        );
        Ok(info)
    }

    /// What became of a delivery, but for files that were changed since.
    pub fn look(
        self: &Arc<Self>,
        delivered: &Delivered,
        request: &Identity,
        state_owner: Option<&str>,
        review_user: Option<(&str, Option<i64>)>,
    ) -> Result<Sight> {
        let mut sight = Sight::default();
        let counts = match (&delivered.pull_request, &delivered.module) {
            (Some(pull), _) => {
                let (pull, commit, since) = self.look_at_pull(pull.number, request)?;
                (sight.pull_request, sight.since) = (Some(pull), since);
                commit.or_else(|| delivered.commit.clone())
            }
            (None, Some(module)) => {
                let last = self.last_change(self.remote.branch.as_str(), module)?;
                sight.since = last.as_ref().map(PastCommit::time);
                last.map(|commit| commit.sha)
            }
            (None, None) => delivered.commit.clone(),
        };
        // What was refused has neither, and nothing on the branch is its own.
        sight.was_there = counts.is_some() && (delivered.pull_request.is_some() || delivered.module.is_some());
        if let Some(commit) = &counts {
            sight.statuses = self.statuses(commit, review_user)?;
        }
        if let Some((owner, module)) = state_owner.zip(delivered.module.as_deref()) {
            sight.state = self.gitea.get_state(owner, &module.replace('/', "."))?;
        }
        Ok(sight)
    }

    /// What became of a pull request, which commit of it counts, and since when that is so.
    fn look_at_pull(
        self: &Arc<Self>,
        number: u64,
        request: &Identity,
    ) -> Result<(Pull, Option<String>, Option<Timestamp>)> {
        let number = number.to_string();
        let ours = [Action::Configure, Action::Delete].map(|action| branch_of(request, action));
        // In a repository that was made again the number is another's.
        let pull = self.gitea.get::<PullAnswer>(&self.path(&["pulls", &number]), &[])?;
        let Some(pull) = pull.filter(|pull| ours.contains(&pull.head.label)) else {
            return Ok((Pull::Gone, None, None));
        };
        if let Some(commit) = pull.merge_commit_sha.filter(|_| pull.merged) {
            return Ok((Pull::Merged(commit.clone()), Some(commit), pull.closed_at));
        }
        if pull.state != "open" {
            return Ok((Pull::Closed, None, pull.closed_at));
        }
        // Gitea says `false` also while it is still finding out.
        let conflicts = if pull.mergeable { Vec::new() } else { self.conflicts(&number, &pull.head.sha)? };
        let reviews = self.gitea.get_all_shown::<Review>(&self.path(&["pulls", &number, "reviews"]))?;
        let mut verdicts = BTreeMap::new();
        for review in &reviews {
            let counts = match review.state.as_str() {
                "APPROVED" => review.commit_id == pull.head.sha,
                "REQUEST_CHANGES" => true,
                _ => continue,
            };
            if let Some(user) = &review.user {
                // The last word of each.
                verdicts.insert(user.login.clone(), (review.state.as_str(), counts && !review.dismissed));
            }
        }
        let by = |verdict: &str| {
            let said = verdicts.iter().filter(|(_, (state, counts))| *state == verdict && *counts);
            said.map(|(user, _)| user.clone()).collect()
        };
        let open = Pull::Open { conflicts, changes_requested_by: by("REQUEST_CHANGES"), approved_by: by("APPROVED") };
        Ok((open, Some(pull.head.sha), Some(pull.created_at)))
    }

    /// The files of a pull request that its base has changed since: none where `head` is on top of
    /// the base, whatever Gitea has not found out yet.
    fn conflicts(&self, number: &str, head: &str) -> Result<Vec<RelativePath>> {
        let base = self.head(self.remote.branch.as_str())?.unwrap_or_default();
        let changed: BTreeSet<_> = self.compare(head, &base)?.into_iter().flat_map(|commit| commit.files).collect();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let proposed = self.gitea.get_all::<Touched>(&self.path(&["pulls", number, "files"]), &[])?;
        proposed.iter().filter(|file| changed.contains(file)).map(|file| RelativePath::parse(&file.filename)).collect()
    }

    /// What was said of a commit, by one user or by anybody, the last first.
    fn statuses(&self, commit: &str, by: Option<(&str, Option<i64>)>) -> Result<Vec<Status>, Failure> {
        let mut statuses: Vec<Status> = self.gitea.get_all(&self.path(&["commits", commit, "statuses"]), &[])?;
        statuses.retain(|status| {
            by.is_none_or(|(name, id)| {
                status.creator.as_ref().is_some_and(|user| user.login == name && id.is_none_or(|id| user.id == id))
            })
        });
        statuses.sort_by_key(|status| std::cmp::Reverse(status.id));
        Ok(statuses)
    }

    /// Which of the files are not on the branch as they were at `commit`.
    fn drifted(self: &Arc<Self>, commit: Option<&str>, files: &BTreeSet<RelativePath>) -> Result<Vec<RelativePath>> {
        let head = self.head(self.remote.branch.as_str())?;
        if head.as_deref() == commit {
            return Ok(Vec::new());
        }
        let then = Snapshot::new(self.clone(), commit.map(str::to_owned));
        let now = Snapshot::new(self.clone(), head);
        let mut drifted = Vec::new();
        for path in files {
            if then.sha(path)? != now.sha(path)? {
                drifted.push(path.clone());
            }
        }
        Ok(drifted)
    }
}
