//! A repository in Gitea, through its API.
//!
//! What is read is read at one commit. What is written is one commit: Gitea builds it on the
//! branch's head and refuses it where a file is not what it was when we read it; where the head
//! has moved meanwhile, what is ours is checked again on top of it.

mod create;
mod pull_request;
mod queue;
mod sight;
pub mod snapshot;
mod survey;

use super::inventory::{self, Changes, Overlay, Plan, Tree};
use crate::config::{self, Config, GiteaRemote, Patience};
use crate::file_tree::{FileTree, RelativePath};
use crate::gitea::{Failure, Gitea};
use crate::names::Username;
use crate::outcome::{Action, Cause, Delivery, Extent, Outcome, Owner, Undelivered};
use crate::outputs::Role;
use anyhow::{Result, anyhow};
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use queue::{Queue, Ticket, Turn};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use snapshot::Snapshot;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use sight::{Pull, Sight, Status, look};
pub use survey::Survey;

/// One repository, while it is delivered to.
pub struct Repository {
    api: Arc<Api>,
    patience: Patience,
    deadline: Instant,
    /// Whether to make what is missing.
    create: bool,
    /// Where the catalog's index is.
    index: RelativePath,
    /// What was found that will keep an apply from its end.
    warnings: Vec<String>,
    /// What was read last, until something is written.
    snapshot: Option<Rc<Snapshot>>,
}

/// The API of one repository.
pub struct Api {
    /// The server.
    pub gitea: Gitea,
    /// Which repository and branch of it.
    pub remote: GiteaRemote,
}

#[derive(Deserialize)]
struct Branch {
    commit: Id,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// What Gitea says of a repository.
#[derive(Deserialize)]
struct Info {
    empty: bool,
    archived: bool,
}

/// A commit that was written.
#[derive(Deserialize)]
struct Commit {
    sha: String,
    #[serde(default)]
    parents: Vec<Sha>,
}

#[derive(Deserialize)]
struct Sha {
    sha: String,
}

/// A commit that was there, with what it says and changed.
#[derive(Deserialize)]
pub struct PastCommit {
    /// Its id.
    pub sha: String,
    commit: Details,
    parents: Vec<Sha>,
    #[serde(default, deserialize_with = "nullable")]
    files: Vec<Touched>,
}

#[derive(Deserialize)]
struct Details {
    author: Person,
    message: String,
}

#[derive(Deserialize)]
struct Person {
    email: String,
    date: Timestamp,
}

impl PastCommit {
    /// When it was made.
    fn time(&self) -> Timestamp {
        self.commit.author.date
    }
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Touched {
    filename: String,
}

/// Who does something in Gitea.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// Who it is, whatever the name: a name can be changed, and be somebody else's then.
    pub id: i64,
    /// The name now.
    pub login: String,
}

/// A list that Gitea may leave out, or give as `null`.
fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// One change of a file, as Gitea takes it.
#[derive(Serialize)]
struct Operation<'a> {
    operation: &'static str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<String>,
}

impl Api {
    /// The path of something in the repository.
    pub fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["repos", self.remote.owner.as_str(), self.remote.name.as_str()];
        path.extend(rest.iter().flat_map(|part| part.split('/')));
        path
    }

    /// Whether there is a user or organisation of this name, also one that is hidden from us. Gitea tells whoever may
    /// read a repository: for a collaborator's name that is nobody's it has 422, else 204 or 404.
    fn has_account(&self, name: &Username) -> Result<bool, Failure> {
        match self.gitea.has(&self.path(&["collaborators", name.as_str()])) {
            Ok(_is_collaborator) => Ok(true),
            Err(Failure::Conflict(words)) if words.contains("user does not exist") => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The commit that a branch is at.
    pub fn head(&self, branch: &str) -> Result<Option<String>, Failure> {
        Ok(self.gitea.get::<Branch>(&self.path(&["branches", branch]), &[])?.map(|branch| branch.commit.id))
    }

    /// The commit that a branch is at in git. Gitea answers from a list of its own, which lacks a
    /// branch, or is behind it, where the server ended in the middle of a push.
    fn head_in_git(&self, branch: &str) -> Result<Option<String>, Failure> {
        #[derive(Deserialize)]
        struct Ref {
            r#ref: String,
            object: Sha,
        }
        let refs: Vec<Ref> = self.gitea.get(&self.path(&["git", "refs", "heads", branch]), &[])?.unwrap_or_default();
        let name = format!("refs/heads/{branch}");
        Ok(refs.into_iter().find(|found| found.r#ref == name).map(|found| found.object.sha))
    }

    /// The commits of `head` that `base` has not, the last first; none where one of the two is gone.
    fn compare(&self, base: &str, head: &str) -> Result<Vec<PastCommit>, Failure> {
        #[derive(Deserialize)]
        struct Compared {
            #[serde(deserialize_with = "nullable")]
            commits: Vec<PastCommit>,
        }
        let range = format!("{base}...{head}");
        let compared: Option<Compared> =
            self.gitea.get(&self.path(&["compare", &range]), &[("verification", "false")])?;
        Ok(compared.map_or_else(Vec::new, |compared| compared.commits))
    }

    /// The last commit of a branch or commit that changed something at a path.
    pub fn last_change(&self, of: &str, path: &str) -> Result<Option<PastCommit>, Failure> {
        let query = [&about(of, path, "false")[..], &[("limit", "1")]].concat();
        let commits: Option<Vec<PastCommit>> = self.gitea.get(&self.path(&["commits"]), &query)?;
        Ok(commits.and_then(|commits| commits.into_iter().next()))
    }

    /// Every commit before another that changed something at a path, the newest first; `with_files` to know what else each
    /// has changed.
    fn history(&self, of: &str, path: &str, with_files: bool) -> Result<Vec<PastCommit>, Failure> {
        self.gitea.get_all(&self.path(&["commits"]), &about(of, path, if with_files { "true" } else { "false" }))
    }

    /// Writes changes as one commit on `branch`, or on a new one that begins there.
    fn commit(
        &self,
        on: On<'_>,
        operations: &[Operation<'_>],
        message: &str,
        delivery: &Delivery,
    ) -> Result<Commit, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            commit: Commit,
        }
        let who = serde_json::json!({"name": delivery.author.name.as_str(), "email": delivery.author.email.as_str()});
        let mut body = serde_json::json!({
            "branch": self.remote.branch.as_str(),
            "message": message,
            "author": who,
            "committer": who,
            "dates": {"author": delivery.time, "committer": delivery.time},
            "files": operations,
        });
        if let On::New { branch, force } = on {
            body["new_branch"] = branch.into();
            body["force_push"] = force.into();
        }
        let answer: Answer = self.gitea.send(Method::POST, &self.path(&["contents"]), &body)?;
        Ok(answer.commit)
    }
}

/// Asks for the commits that changed something at a path, and for no more of each than `files`.
fn about<'a>(of: &'a str, path: &'a str, files: &'a str) -> [(&'a str, &'a str); 5] {
    [("sha", of), ("path", path), ("stat", "false"), ("verification", "false"), ("files", files)]
}

/// Refuses files of which somebody else has claimed one before.
fn refuse_claimed(earlier: &[Ticket], role: Role, files: &FileTree) -> Result<(), Tried> {
    for ticket in earlier {
        for path in files.paths() {
            if ticket.files.paths().any(|p| p.excludes(path)) {
                let owner = Owner::Request(ticket.cause.request.clone());
                return Err(Tried::Ended(Undelivered::Taken { repository: role, path: path.clone(), owner }));
            }
        }
    }
    Ok(())
}

/// Where a commit goes.
#[derive(Clone, Copy)]
enum On<'a> {
    /// The configured branch.
    Base,
    /// Another, which begins at it; `force` where there may be one of that name.
    New { branch: &'a str, force: bool },
}

impl Repository {
    /// Prepares to deliver, until `deadline`.
    ///
    /// # Errors
    /// A token or certificate that cannot be read.
    pub fn open(remote: &GiteaRemote, config: &Config, deadline: Instant, extent: Extent) -> Result<Self> {
        // Later than the last try begins, earlier than the process ends.
        let patience = config.patience;
        let end = deadline + patience.deadline.mul_f32(0.15);
        let gitea = Gitea::open(remote, patience.call)?.until(end);
        let api = Arc::new(Api { gitea, remote: remote.clone() });
        Ok(Self {
            api,
            patience,
            deadline,
            create: remote.create && extent != Extent::DryRun,
            index: config.catalog_index.clone(),
            warnings: Vec::new(),
            snapshot: None,
        })
    }

    /// What a delivery would change on the branch now; writes nothing.
    ///
    /// # Errors
    /// As [`Repository::deliver`], but for races.
    pub fn preview(&mut self, role: Role, delivery: &Delivery, files: &FileTree) -> Result<Outcome, Undelivered> {
        self.with_retries(|repository| {
            let mut snapshot = repository.read(delivery)?;
            let mut plan = repository.plan(&*snapshot, role, &delivery.cause, files)?;
            // A dry run, where there is no repository to ask in.
            let is_missing = snapshot.commit.is_none() && repository.api.remote.create;
            if role.has_root_modules() && !plan.owned && !is_missing {
                for name in &delivery.accounts.made {
                    if !repository.api.has_account(name)? {
                        continue;
                    }
                    // Read after that: it may have been merged, and applied, since.
                    snapshot = repository.read(delivery)?;
                    plan = repository.plan(&*snapshot, role, &delivery.cause, files)?;
                    if !plan.owned {
                        return Err(Tried::Ended(Undelivered::Exists { name: name.clone() }));
                    }
                }
            }
            // What is merged is applied, or failed: nobody need be asked again.
            let is_asked = role.has_root_modules() && !plan.is_empty() && !is_missing && !files.is_empty();
            repository.warnings = if is_asked { repository.missing_accounts(delivery)? } else { Vec::new() };
            let warnings = repository.warnings.clone();
            let commit = snapshot.commit.clone().filter(|_| plan.is_empty());
            let diff = if delivery.with_diff { inventory::diff(&*snapshot, role, &plan)? } else { Vec::new() };
            repository.snapshot = Some(snapshot);
            Ok(Outcome { commit, changes: plan.changes, files: files.len(), warnings, diff, ..Outcome::default() })
        })
    }

    /// What a delivery would do, after [`Self::preview`]: where it is proposed, beside what is proposed now.
    ///
    /// # Errors
    /// As [`Self::preview`].
    pub fn foresee(
        &mut self,
        role: Role,
        delivery: &Delivery,
        files: &FileTree,
    ) -> Result<Option<Outcome>, Undelivered> {
        let is_proposed = self.api.remote.delivery == config::Delivery::PullRequest;
        let is_there = self.snapshot.as_ref().is_some_and(|snapshot| snapshot.commit.is_some());
        match is_proposed && is_there {
            true => self.with_retries(|repository| repository.propose(role, delivery, files, true)).map(Some),
            false => Ok(None),
        }
    }

    /// Names the accounts that the request needs and that are not there: an apply fails without them, after the review.
    fn missing_accounts(&self, delivery: &Delivery) -> Result<Vec<String>, Tried> {
        let mut warnings = Vec::new();
        for (field, names) in &delivery.accounts.needed {
            let mut missing = Vec::new();
            for name in names {
                if !self.api.has_account(name)? {
                    missing.push(format!("`{name}`"));
                }
            }
            if let Some((last, others)) = missing.split_last() {
                let (names, verb) = match others {
                    [] => (last.clone(), "has no account"),
                    others => (format!("{} and {last}", others.join(", ")), "have no accounts"),
                };
                warnings.push(format!("`{field}`: {names} {verb} in Gitea, without which the apply fails"));
            }
        }
        Ok(warnings)
    }

    /// Delivers: makes the branch hold the files, or proposes that in a pull request.
    ///
    /// # Errors
    /// A file in the way, a server that fails, or no race won until the deadline.
    pub fn deliver(&mut self, role: Role, delivery: &Delivery, files: &FileTree) -> Result<Outcome, Undelivered> {
        match self.api.remote.delivery {
            config::Delivery::Commit => self.commit(role, delivery, files),
            config::Delivery::PullRequest => self.with_retries(|r| r.propose(role, delivery, files, false)),
        }
    }

    /// Keeps the files' paths for the request, until they are written: whoever comes later is refused them. Where that
    /// cannot be kept, it writes them at once, and gives what it did. What is proposed to a person nobody can be kept from
    /// proposing too.
    ///
    /// # Errors
    /// As [`Repository::deliver`]; a path that somebody else has claimed is in the way.
    pub fn claim(&mut self, role: Role, delivery: &Delivery, files: &FileTree) -> Result<Option<Outcome>, Undelivered> {
        if self.api.remote.delivery == config::Delivery::PullRequest {
            return Ok(None);
        }
        let mut queue = Queue::new(self.api.clone(), &delivery.cause, files);
        let claimed = self.with_retries(|repository| {
            let snapshot = repository.read(delivery)?;
            if repository.plan(&*snapshot, role, &delivery.cause, files)?.is_empty() {
                return Ok(true);
            }
            let Some(earlier) = queue.claim(snapshot.commit.is_some())? else {
                return Ok(false);
            };
            refuse_claimed(&earlier, role, files)?;
            // Read after that: an earlier claim that is not there any more is on the branch.
            let snapshot = repository.read(delivery)?;
            repository.plan(&*snapshot, role, &delivery.cause, files)?;
            Ok(true)
        });
        if self.unless_taken(claimed, &mut queue)? { Ok(None) } else { self.commit(role, delivery, files).map(Some) }
    }

    /// See [`super::let_others_claim`].
    ///
    /// # Errors
    /// A server that fails.
    pub fn let_others_claim(&self, delivery: &Delivery, files: &FileTree, end: Instant) -> Result<(), Failure> {
        Queue::new(self.api.clone(), &delivery.cause, files).let_others_claim(end)
    }

    /// Gives up what was claimed by a request that is refused.
    fn unless_taken<T>(&mut self, result: Result<T, Undelivered>, queue: &mut Queue) -> Result<T, Undelivered> {
        if result.as_ref().is_err_and(|error| error.is_refusal()) {
            self.with_retries(|_| Ok(queue.give_up()?))?;
        }
        result
    }

    /// Makes the branch hold the files. Who loses a race waits in line, and who is first there
    /// writes what all of them have to write.
    fn commit(&mut self, role: Role, delivery: &Delivery, files: &FileTree) -> Result<Outcome, Undelivered> {
        let mut queue = Queue::new(self.api.clone(), &delivery.cause, files);
        let mut changes = Vec::new();
        let mut may_be_written = delivery.action == Action::Delete;
        let committed = self.with_retries(|repository| {
            if may_be_written && queue.give_up()? {
                // Whoever has seen the claim writes it in this time, or not at all.
                std::thread::sleep(queue::LIFETIME);
                repository.snapshot = None;
            }
            may_be_written = false;
            // In this order: what is taken from the queue was still waiting at that commit.
            let snapshot = repository.read(delivery)?;
            let plan = repository.plan(&*snapshot, role, &delivery.cause, files)?;
            let warnings = repository.warnings.clone();
            let commit = snapshot.commit.clone();
            let mut outcome = Outcome { commit, files: files.len(), warnings, ..Outcome::default() };
            if plan.is_empty() {
                // Or somebody has written it for us.
                outcome.changes = std::mem::take(&mut changes);
                queue.give_up()?;
                return Ok(outcome);
            }
            let mut orders = match queue.turn(snapshot.commit.is_some())? {
                Turn::After { first, others } => {
                    queue.wait(first, others, repository.deadline)?;
                    return Err(Tried::Again);
                }
                Turn::Ours(orders) => orders,
            };
            refuse_claimed(&orders.before, role, files)?;
            // More than one commit takes: ours is not in this one.
            let is_last = orders.before.len() <= queue::MAX_TOGETHER;
            if !is_last {
                orders.before.truncate(queue::MAX_TOGETHER);
                orders.after.clear();
            }
            let mut overlay = Overlay::new(&*snapshot);
            let mut plans = repository.plan_all(&mut overlay, role, &orders.before);
            if is_last {
                let plan = repository.plan(&overlay, role, &delivery.cause, files)?;
                overlay.apply(&plan);
                changes.clone_from(&plan.changes);
                if delivery.with_diff {
                    outcome.diff = inventory::diff(&*snapshot, role, &plan)?;
                }
                plans.push((&delivery.cause, plan));
                plans.extend(repository.plan_all(&mut overlay, role, &orders.after));
            }
            let parts: Vec<_> = plans.iter().filter(|(_, plan)| !plan.is_empty()).map(|(c, p)| (*c, p)).collect();
            let message = super::message(&parts, &delivery.trailers);
            let operations = snapshot.operations(&overlay.changes)?;
            let commit = match repository.api.commit(On::Base, &operations, &message, delivery) {
                Ok(commit) => commit,
                Err(error @ (Failure::LostRace | Failure::Conflict(_))) => {
                    queue.join()?;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            };
            queue.served(&orders)?;
            // Or the index was made for another commit than the one that this is built on.
            let is_on_top = commit.parents.first().map(|p| &p.sha) == snapshot.commit.as_ref();
            if !is_last || !is_on_top {
                return Err(Tried::Again);
            }
            queue.end(&orders)?;
            outcome.changes = std::mem::take(&mut changes);
            outcome.commit = Some(commit.sha);
            Ok(outcome)
        });
        self.unless_taken(committed, &mut queue)
    }

    /// What the branch holds: what was read before, or is now.
    fn read(&mut self, delivery: &Delivery) -> Result<Rc<Snapshot>, Tried> {
        if let Some(snapshot) = self.snapshot.take() {
            return Ok(snapshot);
        }
        let branch = self.api.remote.branch.as_str();
        let commit = match self.api.head(branch)? {
            Some(commit) => Some(commit),
            None => match (self.api.head_in_git(branch)?, self.api.gitea.get::<Info>(&self.api.path(&[]), &[])?) {
                // The server ended in the middle of the first push. It neither reads nor writes what it takes for empty, and
                // looks again only where somebody looks at its page.
                (Some(_), Some(info)) if info.empty => {
                    let what = "Gitea takes it for empty, which it is not: open it in a browser, and Gitea looks again";
                    return Err(Failure::passing(what).into());
                }
                (Some(commit), _) => {
                    // An empty list of branches is made anew when somebody asks for it.
                    self.api.gitea.get::<Vec<Branch>>(&self.api.path(&["branches"]), &[("limit", "1")])?;
                    Some(commit)
                }
                (None, Some(info)) if info.archived => {
                    return Err(
                        anyhow!("it is archived: have it unarchived, or name another in the configuration").into()
                    );
                }
                (None, Some(info)) if info.empty && self.create => Some(create::first_commit(&self.api, delivery)?),
                (None, Some(info)) if info.empty => None,
                // Or not yet: Gitea lists a branch some time after its first commit.
                (None, Some(_)) => return Err(Failure::passing(format!("it has no branch `{branch}`")).into()),
                (None, None) if self.create => {
                    create::repository(&self.api)?;
                    Some(create::first_commit(&self.api, delivery)?)
                }
                // A dry run, which makes nothing.
                (None, None) if self.api.remote.create => None,
                (None, None) => {
                    let help = "have it made, or set `create: true`, or see whether the token may read it";
                    return Err(anyhow!("there is no such repository: {help}").into());
                }
            },
        };
        Ok(Rc::new(Snapshot::new(self.api.clone(), commit)))
    }

    fn plan(&self, tree: &impl Tree, role: Role, cause: &Cause, files: &FileTree) -> Result<Plan, Tried> {
        let planned = inventory::plan(tree, role, &self.index, &cause.request, files);
        planned.map_err(|unplanned| unplanned.refused(role).map_or_else(Tried::from, Tried::Ended))
    }

    /// What tickets change, one after the other, on top of `overlay`. What cannot be planned is its own delivery's to
    /// report.
    fn plan_all<'t>(
        &self,
        overlay: &mut Overlay<'_, Snapshot>,
        role: Role,
        tickets: &'t [Ticket],
    ) -> Vec<(&'t Cause, Plan)> {
        let mut plans = Vec::new();
        for ticket in tickets {
            if let Ok(plan) = self.plan(overlay, role, &ticket.cause, &ticket.files) {
                overlay.apply(&plan);
                plans.push((&ticket.cause, plan));
            }
        }
        plans
    }

    /// Tries until it is done: a lost race until the deadline, what may pass as often as the
    /// configuration says.
    fn with_retries<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<T, Tried>) -> Result<T, Undelivered> {
        let (mut retries, mut races) = (0, 0);
        loop {
            let (failure, pause) = match attempt(self) {
                Ok(result) => return Ok(result),
                Err(Tried::Ended(Undelivered::Passing(error))) => return Err(self.failed(error)),
                Err(Tried::Ended(undelivered)) => return Err(undelivered),
                Err(Tried::Again) => (anyhow!(Failure::LostRace), Duration::ZERO),
                Err(Tried::Failed(Failure::LostRace)) => {
                    races += 1;
                    (anyhow!(Failure::LostRace), jitter(50 << races.min(4)))
                }
                Err(Tried::Failed(Failure::Refused(why))) => return Err(self.failed(anyhow!(why))),
                Err(Tried::Failed(failure)) => {
                    retries += 1;
                    let pause = match &failure {
                        Failure::Passing { after: Some(after), .. } => *after,
                        _ => jitter(100 << retries.min(6)),
                    };
                    (anyhow!(failure), pause)
                }
            };
            self.snapshot = None;
            if retries > self.patience.retries || Instant::now() + pause >= self.deadline {
                return Err(self.failed(failure));
            }
            std::thread::sleep(pause);
        }
    }

    fn failed(&self, error: anyhow::Error) -> Undelivered {
        error.context(format!("cannot deliver to {}", self.api.remote)).into()
    }
}

/// A pause of about so many milliseconds: who waits for the same thing does not come back at once.
fn jitter(milliseconds: u64) -> Duration {
    Duration::from_millis(fastrand::u64(milliseconds / 2..=milliseconds * 3 / 2))
}

/// How a try ended that brought no result.
enum Tried {
    /// By a call.
    Failed(Failure),
    /// It is to be looked at again, at once.
    Again,
    /// For good.
    Ended(Undelivered),
}

impl From<Failure> for Tried {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<anyhow::Error> for Tried {
    fn from(error: anyhow::Error) -> Self {
        // A call that failed beneath what was being done.
        match error.downcast::<Failure>() {
            Ok(failure) => Self::Failed(failure),
            Err(error) => Self::Ended(Undelivered::Passing(error)),
        }
    }
}
