//! Delivery for a person to merge: one branch and one pull request a request, kept current.
//!
//! The branch is one commit on top of the base. It is written again where the request or the base
//! has changed what it says, and moves only from the commit that we have looked at. What a person
//! did stands: a branch that one has pushed to is not written, and a pull request that one has
//! closed is not opened again for the same content.

use super::{Api, Commit, On, Overlay, PastCommit, Plan, Repository, Role, Snapshot, Tree, Tried, User, nullable};
use crate::diff::FileDiff;
use crate::digest::{hex, sha256};
use crate::file_tree::{FileTree, RelativePath};
use crate::gitea::Failure;
use crate::outcome::{Action, Change, Delivery, Outcome, PullRequest, PullRequestState};
use crate::promise::{self, Promise};
use crate::repository::{REQUEST_TRAILER, inventory, message, subject};
use crate::request::Identity;
use anyhow::{Result, anyhow};
use reqwest::Method;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What the branch of a request's pull request begins with, by what the pull request is for; the longer one first.
pub const PREFIXES: [(&str, Action); 2] = [("goldpath/delete", Action::Delete), ("goldpath", Action::Configure)];

/// What the body of a pull request holds that we have closed ourselves.
const CLOSED: &str = "<!-- goldpath: closed -->";
/// What a comment begins its last line with that says which push is left alone.
const EDITED: &str = "<!-- goldpath: edited ";

/// The longest name of a branch that Gitea takes.
const MAX_BRANCH: usize = 100;

/// When to look whether Gitea has closed what proposes a branch again that was removed.
const REMOVALS: [Duration; 3] = [Duration::from_millis(300), Duration::from_millis(500), Duration::from_millis(1200)];

/// A pull request, as Gitea tells of it.
#[derive(Clone, Deserialize)]
pub(super) struct Pull {
    pub number: u64,
    html_url: String,
    title: String,
    body: String,
    state: String,
    merged: bool,
    merge_commit_sha: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    labels: Vec<LabelInfo>,
    pub head: End,
    base: End,
    /// Who opened it: we.
    user: User,
}

/// One of the two branches of a pull request.
#[derive(Clone, Deserialize)]
pub(super) struct End {
    /// The branch's name, also when it is gone: `ref` is another then.
    pub label: String,
    pub sha: String,
    repo_id: i64,
}

#[derive(Clone, Deserialize)]
struct LabelInfo {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Comment {
    body: String,
}

impl Pull {
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }

    pub fn is_merged(&self) -> bool {
        self.merged
    }

    /// Whether it has brought a commit to the branch, by whichever way of merging.
    pub fn has_brought(&self, commit: &str) -> bool {
        self.merged && (self.head.sha == commit || self.merge_commit_sha.as_deref() == Some(commit))
    }

    /// Whether it is for a branch, from one of the same repository and not of a fork.
    pub fn is_into(&self, branch: &str) -> bool {
        self.base.label == branch && self.head.repo_id == self.base.repo_id
    }

    pub fn outcome(&self, state: PullRequestState) -> Option<PullRequest> {
        Some(PullRequest { number: self.number, url: self.html_url.clone(), state })
    }
}

/// The branch of a request's pull request; deletion has its own. Where the whole name is not one
/// that git and Gitea take, it ends in a digest.
pub fn branch_of(request: &Identity, action: Action) -> String {
    let [(deletion, _), (proposal, _)] = PREFIXES;
    name_of_branch(if action == Action::Delete { deletion } else { proposal }, request)
}

fn name_of_branch(prefix: &str, request: &Identity) -> String {
    let name = format!("{prefix}/{}", request.path());
    if name.len() <= MAX_BRANCH && git2::Reference::is_valid_name(&format!("refs/heads/{name}")) {
        return name;
    }
    format!("{prefix}/{}/{}", request.kind.lower(), &sha256(name.as_bytes())[..32])
}

/// What a branch holds beside its base.
enum State {
    /// Exactly what is to be proposed.
    Current,
    /// Something of ours that is not it.
    Outdated,
    /// What a person has pushed.
    Edited,
}

impl Repository {
    /// Makes the pull request propose the files, or in a dry run says what that would change.
    pub(super) fn propose(
        &mut self,
        role: Role,
        delivery: &Delivery,
        files: &FileTree,
        dry_run: bool,
    ) -> Result<Outcome, Tried> {
        let request = &delivery.cause.request;
        let base = self.read(delivery)?;
        if base.commit.is_none() {
            return Err(anyhow!("it is empty: have its first commit made, or set `create: true`").into());
        }
        let plan = self.plan(&*base, role, &delivery.cause, files)?;
        let proposal = Proposal {
            api: &self.api,
            warnings: &self.warnings,
            role,
            delivery,
            branch: branch_of(request, delivery.action),
            spare: if dry_run { String::new() } else { name_of_branch("goldpath/next", request) },
            marker: format!("<!-- goldpath: {} -->", digest(files)),
            base,
            plan,
        };
        if !dry_run {
            proposal.withdraw_opposite()?;
        }
        let mut outcome = proposal.bring_about(dry_run)?;
        outcome.files = files.len();
        outcome.warnings.clone_from(&self.warnings);
        Ok(outcome)
    }
}

/// What the content of a request's files is, whatever its base.
fn digest(files: &FileTree) -> String {
    let mut context = Context::new(&SHA256);
    for (path, content) in files.iter() {
        // Lengths, so that no two trees are one text.
        context.update(format!("{path}\n{}\n", content.len()).as_bytes());
        context.update(content);
    }
    hex(context.finish().as_ref())
}

/// One delivery that is to be a pull request.
struct Proposal<'r> {
    api: &'r Arc<Api>,
    /// What a reviewer should know too.
    warnings: &'r [String],
    role: Role,
    delivery: &'r Delivery,
    branch: String,
    /// Where a new commit is built before the branch moves to it; nowhere where nothing is written.
    spare: String,
    /// What the body of the pull request holds, to be known by.
    marker: String,
    base: Rc<Snapshot>,
    plan: Plan,
}

impl Proposal<'_> {
    fn bring_about(&self, dry_run: bool) -> Result<Outcome, Tried> {
        let head = self.api.head(&self.branch)?;
        let pull = self.find()?;
        let outcome = |commit: Option<String>, pull_request| Outcome { commit, pull_request, ..Outcome::default() };
        let open = pull.as_ref().filter(|pull| pull.is_open());
        let state = head.as_ref().map(|head| self.state_of(head)).transpose()?;

        if self.plan.is_empty() {
            if let (Some(pull), Some(State::Edited)) = (open, &state) {
                if !dry_run {
                    self.say_edited(pull, head.as_deref())?;
                }
                return Ok(outcome(head, pull.outcome(PullRequestState::Edited)));
            }
            if let Some(pull) = open.filter(|_| !dry_run) {
                let why = format!("`{}` holds all of this already.", self.api.remote.branch);
                self.close(pull, &why)?;
            }
            if !dry_run && head.is_some() && !matches!(state, Some(State::Edited)) {
                self.api.gitea.delete(&self.api.path(&["branches", &self.branch]))?;
            }
            let merged = match pull {
                Some(pull) if !pull.merged => self.find_merged()?,
                pull => pull,
            };
            let merged = merged.and_then(|pull| pull.outcome(PullRequestState::Merged));
            return Ok(outcome(self.base.commit.clone(), merged));
        }

        let closed = pull.as_ref().filter(|pull| self.is_closed_as_it_is(pull));
        if let Some(pull) = closed
            && self.was_closed_by_a_person(pull)?
        {
            // Who has edited the branch closes it and deletes the branch to have ours again.
            if head.is_some() || !self.comments(pull)?.iter().any(|comment| comment.body.contains(EDITED)) {
                return Ok(outcome(head, pull.outcome(PullRequestState::Closed)));
            }
        }
        if let (Some(head), Some(State::Edited)) = (&head, &state) {
            let Some(pull) = open else { return Err(self.edited().into()) };
            if !dry_run {
                self.say_edited(pull, Some(head))?;
            }
            return Ok(outcome(Some(head.clone()), pull.outcome(PullRequestState::Edited)));
        }
        let is_current = matches!(state, Some(State::Current));
        let (changes, diff) = match open {
            Some(_) if is_current => (Vec::new(), Vec::new()),
            _ => self.news(open.and(head.as_deref()))?,
        };
        if dry_run {
            let pull_request = open.and_then(|pull| pull.outcome(PullRequestState::Open));
            return Ok(Outcome { changes, diff, ..outcome(head.filter(|_| is_current), pull_request) });
        }
        let was_removed = head.is_none() && pull.is_some();
        let commit = match head {
            Some(head) if is_current => head,
            Some(head) => self.write_again(&head)?,
            None => self.write_first()?,
        };
        let pull = match open {
            Some(pull) => self.keep_current(pull)?,
            None => self.open()?,
        };
        if was_removed {
            self.hold_open(&pull)?;
        }
        Ok(Outcome { changes, diff, ..outcome(Some(commit), pull.outcome(PullRequestState::Open)) })
    }

    /// What a new commit changes for a person: in what is proposed at `head`, or in the branch where nothing is, and where
    /// the branch alone has moved.
    fn news(&self, head: Option<&str>) -> Result<(Vec<Change>, Vec<FileDiff>), Tried> {
        let files = &self.delivery.files[&self.role];
        let beside = |head: &str| {
            let proposed = Snapshot::new(self.api.clone(), Some(head.to_owned()));
            let plan = inventory::plan_files(&proposed, self.role, &self.delivery.cause.request, files).ok()?;
            (!plan.changes.is_empty()).then_some((plan, proposed))
        };
        let beside = head.and_then(beside);
        let (plan, tree) = beside.as_ref().map_or((&self.plan, &*self.base), |(plan, proposed)| (plan, proposed));
        let diff = if self.delivery.with_diff { inventory::diff(tree, self.role, plan)? } else { Vec::new() };
        Ok((plan.changes.clone(), diff))
    }

    /// Takes back what was proposed before the request was deleted, or made again.
    fn withdraw_opposite(&self) -> Result<(), Tried> {
        let (action, why) = match self.delivery.action {
            Action::Configure => (Action::Delete, "The request was made again."),
            Action::Delete => (Action::Configure, "The request was deleted."),
        };
        let opposite = Self {
            branch: branch_of(&self.delivery.cause.request, action),
            marker: String::new(),
            plan: Plan::default(),
            spare: String::new(),
            base: self.base.clone(),
            ..*self
        };
        let Some(head) = self.api.head(&opposite.branch)? else {
            return Ok(());
        };
        if let Some(pull) = opposite.find()?.filter(Pull::is_open) {
            opposite.close(&pull, why)?;
        }
        if !matches!(opposite.state_of(&head)?, State::Edited) {
            self.api.gitea.delete(&self.api.path(&["branches", &opposite.branch]))?;
        }
        Ok(())
    }

    /// Whether the pull request was closed, by somebody else than us, as it would be now.
    fn is_closed_as_it_is(&self, pull: &Pull) -> bool {
        !pull.is_open() && !pull.merged && pull.body.contains(&self.marker) && !pull.body.contains(CLOSED)
    }

    /// Gitea closes what proposes a branch that was removed, in the name of who removed it, and
    /// so late that it can be a new branch of that name.
    fn was_closed_by_a_person(&self, pull: &Pull) -> Result<bool, Failure> {
        #[derive(Deserialize)]
        struct Event {
            r#type: String,
            user: Option<User>,
        }
        let number = pull.number.to_string();
        let events: Vec<Option<Event>> =
            self.api.gitea.get_all_shown(&self.api.path(&["issues", &number, "timeline"]))?;
        let last = events.into_iter().flatten().rfind(|event| event.r#type == "close");
        Ok(last.and_then(|event| event.user).is_none_or(|user| user.login != pull.user.login))
    }

    fn write(&self, on: On<'_>) -> Result<Commit, Tried> {
        let mut overlay = Overlay::new(&*self.base);
        overlay.apply(&self.plan);
        let operations = self.base.operations(&overlay.changes)?;
        let message = message(&[(&self.delivery.cause, &self.plan)], &self.delivery.trailers);
        Ok(self.api.commit(on, &operations, &message, self.delivery)?)
    }

    /// Makes the branch; what Gitea does not list but git has is written over, if it is ours.
    fn write_first(&self) -> Result<String, Tried> {
        match self.write(On::New { branch: &self.branch, force: false }) {
            Err(Tried::Failed(Failure::LostRace)) => match self.api.head_in_git(&self.branch)? {
                Some(head) if matches!(self.state_of(&head)?, State::Edited) => Err(self.edited().into()),
                Some(_) => Ok(self.write(On::New { branch: &self.branch, force: true })?.sha),
                None => Err(Failure::LostRace.into()),
            },
            written => Ok(written?.sha),
        }
    }

    /// Writes the branch again, on top of the base, if it is still at `head`.
    fn write_again(&self, head: &str) -> Result<String, Tried> {
        let mut commit = self.write(On::New { branch: &self.spare, force: true })?.sha;
        let moving = json!({"new_commit_id": commit, "old_commit_id": head, "force": true});
        match self.api.gitea.put(Method::PUT, &self.api.path(&["branches", &self.branch]), &moving) {
            // Nobody has moved it: Gitea's list is behind.
            Err(Failure::LostRace) if self.api.head(&self.branch)?.as_deref() == Some(head) => {
                commit = self.write(On::New { branch: &self.branch, force: true })?.sha;
            }
            moved => moved?,
        }
        self.api.gitea.delete(&self.api.path(&["branches", &self.spare]))?;
        Ok(commit)
    }

    fn edited(&self) -> anyhow::Error {
        anyhow!("a person has pushed to the branch `{}`: delete it, or open a pull request", self.branch)
    }

    /// What the branch, which is at `head`, holds beside its base.
    fn state_of(&self, head: &str) -> Result<State, Tried> {
        // Of a run that was killed.
        if !self.spare.is_empty() {
            self.api.gitea.delete(&self.api.path(&["branches", &self.spare]))?;
        }
        let base = self.base.commit.as_deref().unwrap_or_default();
        let commits = self.api.compare(base, head)?;
        // A merge is no edit, if it left what is ours as it was.
        let own: Vec<_> = commits.iter().filter(|commit| commit.parents.len() < 2).collect();
        if own.iter().any(|commit| !self.is_ours(commit)) {
            return Ok(State::Edited);
        }
        let Some(last) = own.first() else {
            return Ok(State::Outdated);
        };
        let touched: BTreeSet<_> =
            own.iter().flat_map(|commit| &commit.files).map(|file| file.filename.as_str()).collect();
        let at = |commit: &str| Snapshot::new(self.api.clone(), Some(commit.to_owned()));
        let now = at(head);
        if head != last.sha {
            let written = at(&last.sha);
            for path in touched.iter().filter_map(|path| RelativePath::parse(path).ok()) {
                if now.sha(&path)? != written.sha(&path)? {
                    return Ok(State::Edited);
                }
            }
        }
        let planned: BTreeSet<_> =
            self.plan.writes.keys().chain(&self.plan.removals).map(RelativePath::as_str).collect();
        if touched != planned || own.len() != 1 {
            return Ok(State::Outdated);
        }
        // What the base has changed since would be a conflict.
        let begun = last.parents.first().map(|parent| at(&parent.sha));
        for path in self.plan.writes.keys().chain(&self.plan.removals) {
            let moved = match &begun {
                Some(begun) if begun.commit != self.base.commit => begun.sha(path)? != self.base.sha(path)?,
                _ => false,
            };
            if moved || now.read(path)?.as_ref() != self.plan.writes.get(path) {
                return Ok(State::Outdated);
            }
        }
        Ok(State::Current)
    }

    fn is_ours(&self, commit: &PastCommit) -> bool {
        let trailer = format!("{REQUEST_TRAILER}{}", self.delivery.cause.request);
        commit.commit.author.email == self.delivery.author.email.as_str()
            && commit.commit.message.lines().any(|line| line == trailer)
    }

    /// The pull request of the branch: the one that is remembered, or else the open one, or any.
    fn find(&self) -> Result<Option<Pull>, Failure> {
        if let Some(number) = self.delivery.pull_requests.get(&self.role) {
            let known = self.api.gitea.get::<Pull>(&self.api.path(&["pulls", &number.to_string()]), &[])?;
            if let Some(pull) = known.filter(|pull| self.is_of_branch(pull)) {
                return Ok(Some(pull));
            }
        }
        let path = self.api.path(&["pulls", self.api.remote.branch.as_str(), &self.branch]);
        match self.api.gitea.get::<Pull>(&path, &[])? {
            // Gitea gives any of several.
            Some(pull) if !pull.is_open() => Ok(self.find_open()?.or(Some(pull))),
            pull => Ok(pull),
        }
    }

    /// Whether a pull request is of our branch, and not of one of the same name in a fork.
    fn is_of_branch(&self, pull: &Pull) -> bool {
        pull.head.label == self.branch && pull.head.repo_id == pull.base.repo_id
    }

    /// Looks through the pull requests, the newest first, for the last that was merged.
    fn find_merged(&self) -> Result<Option<Pull>, Failure> {
        for page in 1.. {
            let query = [("state", "closed"), ("limit", "50"), ("page", &page.to_string())];
            let pulls: Vec<Pull> = self.api.gitea.get(&self.api.path(&["pulls"]), &query)?.unwrap_or_default();
            if pulls.is_empty() {
                break;
            }
            if let Some(pull) = pulls.into_iter().find(|pull| pull.merged && self.is_of_branch(pull)) {
                return Ok(Some(pull));
            }
        }
        Ok(None)
    }

    fn open(&self) -> Result<Pull, Tried> {
        let remote = &self.api.remote;
        let request = json!({
            "base": remote.branch.as_str(),
            "head": self.branch,
            "title": self.title(),
            "body": self.body(),
            "labels": self.labels()?,
            "reviewers": remote.reviewers.iter().map(|r| r.as_str()).collect::<Vec<_>>(),
            "team_reviewers": remote.team_reviewers.iter().map(|r| r.as_str()).collect::<Vec<_>>(),
        });
        match self.api.gitea.send(Method::POST, &self.api.path(&["pulls"]), &request) {
            // Of a run that was killed before it could remember the number.
            Err(Failure::Conflict(_)) => match self.find_open()? {
                Some(pull) => Ok(self.keep_current(&pull)?),
                None => Err(Failure::LostRace.into()),
            },
            Err(Failure::Refused(why)) if !remote.reviewers.is_empty() || !remote.team_reviewers.is_empty() => {
                let keys = "`reviewers` and `teamReviewers` of the repository in the configuration";
                Err(Failure::Refused(format!("{why}; whom {keys} name must be there and may read it")).into())
            }
            answer => Ok(answer?),
        }
    }

    /// Opens a pull request again that Gitea closes because a branch of this name was removed before: it does so
    /// when it gets to it.
    fn hold_open(&self, pull: &Pull) -> Result<(), Tried> {
        let number = pull.number.to_string();
        let path = self.api.path(&["pulls", &number]);
        for pause in REMOVALS {
            thread::sleep(pause);
            let now: Option<Pull> = self.api.gitea.get(&path, &[])?;
            if now.is_some_and(|now| !now.is_open() && !now.merged) && !self.was_closed_by_a_person(pull)? {
                self.api.gitea.put(Method::PATCH, &path, &json!({"state": "open"}))?;
                break;
            }
        }
        Ok(())
    }

    /// Looks through all open pull requests.
    fn find_open(&self) -> Result<Option<Pull>, Failure> {
        let query = [("state", "open"), ("sort", "recentupdate")];
        let pulls: Vec<Pull> = self.api.gitea.get_all(&self.api.path(&["pulls"]), &query)?;
        Ok(pulls.into_iter().find(|pull| self.is_of_branch(pull)))
    }

    /// Makes an open pull request say what it proposes now.
    fn keep_current(&self, pull: &Pull) -> Result<Pull, Failure> {
        let number = pull.number.to_string();
        let path = self.api.path(&["pulls", &number]);
        let same = |old: &str, new: &str| old.replace("\r\n", "\n").trim() == new.trim();
        let (title, body) = (self.title(), self.body());
        if !same(&pull.title, &title) || !same(&pull.body, &body) {
            self.api.gitea.put(Method::PATCH, &path, &json!({"title": title, "body": body}))?;
        }
        let missing = self.api.remote.labels.iter().any(|label| pull.labels.iter().all(|l| l.name != label.as_str()));
        if missing {
            let path = self.api.path(&["issues", &number, "labels"]);
            self.api.gitea.put(Method::POST, &path, &json!({"labels": self.labels()?}))?;
        }
        Ok(pull.clone())
    }

    /// Closes a pull request of ours, and says why.
    fn close(&self, pull: &Pull, why: &str) -> Result<(), Failure> {
        let number = pull.number.to_string();
        let body = format!("{}\n\n{why}\n{CLOSED}", pull.body.trim_end());
        self.api.gitea.put(
            Method::PATCH,
            &self.api.path(&["pulls", &number]),
            &json!({"state": "closed", "body": body}),
        )
    }

    /// Tells the people of a pull request, once, that their branch is left alone.
    fn say_edited(&self, pull: &Pull, head: Option<&str>) -> Result<(), Failure> {
        let marker = format!("{EDITED}{} -->", head.unwrap_or_default());
        if self.comments(pull)?.iter().any(|comment| comment.body.contains(&marker)) {
            return Ok(());
        }
        let text = format!(
            "Somebody has pushed to this branch, so Goldpath leaves it alone. Merge it, or close the pull request and \
             delete the branch: the next run then proposes again what the request asks for.\n{marker}"
        );
        let number = pull.number.to_string();
        let path = self.api.path(&["issues", &number, "comments"]);
        self.api.gitea.put(Method::POST, &path, &json!({"body": text}))
    }

    fn comments(&self, pull: &Pull) -> Result<Vec<Comment>, Failure> {
        let number = pull.number.to_string();
        // All at once: this list of Gitea's has no pages.
        Ok(self.api.gitea.get(&self.api.path(&["issues", &number, "comments"]), &[])?.unwrap_or_default())
    }

    fn title(&self) -> String {
        subject(&self.delivery.cause, &self.plan)
    }

    /// What is proposed, for whom, by which request. It holds no text of a user's but names and
    /// paths that are such by their types.
    fn body(&self) -> String {
        let Identity { kind, namespace, name } = &self.delivery.cause.request;
        let generation = match self.delivery.cause.generation {
            Some(generation) => format!(", generation {generation}"),
            None => String::new(),
        };
        let files: String = self.plan.changes.iter().map(|change| format!("    {change}\n")).collect();
        let (happens, rules) = match self.delivery.action {
            Action::Configure => (
                "brings about what the request asks for",
                "Goldpath keeps this pull request current with the request: to change it, edit the request. Closing it \
                 declines it, until the request changes.",
            ),
            Action::Delete => (
                "takes away what the request brought about, because it is being deleted",
                "The request stays until this is merged and applied. Closing it holds the deletion, until it is opened \
                 again.",
            ),
        };
        let warnings: String = self.warnings.iter().map(|warning| format!("**Warning**: {warning}.\n\n")).collect();
        format!(
            "Merging this {happens}: {kind} `{namespace}/{name}`{generation}.\n\n{files}\n{warnings}{rules}\n\n    \
             kubectl get {} --namespace {namespace} {name}\n\n[All files of the branch]({}/src/branch/{})\n\n{}\n",
            promise::find(kind.as_str()).map_or_else(|_| kind.lower(), Promise::resource),
            self.api.remote,
            self.branch,
            self.marker,
        )
    }

    /// The ids of the labels; one that is missing is made.
    fn labels(&self) -> Result<Vec<u64>, Failure> {
        let wanted = &self.api.remote.labels;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let in_repository = self.api.path(&["labels"]);
        let mut known: Vec<LabelInfo> = self.api.gitea.get_all(&in_repository, &[])?;
        known.extend(self.api.gitea.get_all::<LabelInfo>(&["orgs", self.api.remote.owner.as_str(), "labels"], &[])?);
        let mut ids = Vec::new();
        for label in wanted {
            ids.push(match known.iter().find(|known| known.name == label.as_str()) {
                Some(known) => known.id,
                None => {
                    let new = json!({"name": label.as_str(), "color": "#1f6feb"});
                    self.api.gitea.send::<LabelInfo>(Method::POST, &in_repository, &new)?.id
                }
            });
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn branches(request: &str) -> [String; 2] {
        let request = request.parse().unwrap();
        [Action::Configure, Action::Delete].map(|action| branch_of(&request, action))
    }

    #[test]
    fn a_branch_is_named_as_git_and_gitea_take_it() {
        assert_eq!(branches("Team people/a"), ["goldpath/team/people/a", "goldpath/delete/team/people/a"]);
        let long = format!("Team {}/{}", "n".repeat(63), "a".repeat(63));
        let names = [branches(&long), branches("Team people/a.lock"), branches("Team people/b.lock")].concat();
        for name in &names {
            assert!(
                name.len() <= MAX_BRANCH && git2::Reference::is_valid_name(&format!("refs/heads/{name}")),
                "{name}"
            );
        }
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}
