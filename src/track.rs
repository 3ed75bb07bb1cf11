//! The step `track`: what became of what was delivered, as Gitea and Terraform's runs tell it.
//!
//! It only reads, and says what is true: nothing that it finds is taken for an approval. What is
//! not at its end is looked at again, later each time. On deletion it holds the request until
//! what Terraform made is gone.

use crate::config::{Config, Delivery, Loaded, Remote};
use crate::kratix::Folders;
use crate::outcome::{Action, PullRequestState};
use crate::outputs::Role;
use crate::platform::PLAN;
use crate::repository::{Held, Pull, Sight, Survey, look};
use crate::request::Identity;
use crate::status::{Condition, Delivered, Phase, Report, Status, delay};
use anyhow::Result;
use jiff::Timestamp;
use std::time::Duration;

/// What the statuses begin with that a workflow sets on a commit, followed by `: ` and the root
/// module: for a plan ([`PLAN`]) on the head of a pull request, for an apply on the commit that
/// brought the files to the branch.
const APPLY: &str = "goldpath/apply";
/// The same for what somebody has changed by hand since the apply.
const DRIFT: &str = "goldpath/drift";

/// The pauses between two looks.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The same, where only a person can make it go on.
const CLOSED_PAUSE: Duration = Duration::from_secs(3600);

/// What `track` has found.
#[derive(Debug)]
pub enum Tracked {
    /// How far the request has come, in a word and a sentence, and whether that is its end.
    Seen(Phase, String, bool),
    /// An earlier step has asked for an end.
    Stopped,
    /// Nothing was delivered that could be followed, and nothing is to be waited for.
    DryRun,
}

/// How far one delivery has come.
pub struct Progress {
    /// In a word.
    pub phase: Phase,
    /// What is true, and what to do next.
    pub message: String,
    /// Since when, as far as that is known.
    pub since: Option<Timestamp>,
    /// Whether nothing more will happen by itself, nor need happen.
    ended: bool,
    /// Whether a person has agreed to it, and what there is to say of that; nothing where nobody is asked.
    reviewed: Option<(bool, String)>,
    /// What Terraform would do, or has done.
    pub plan: Option<Report>,
    /// What was changed by hand since the apply.
    pub drift: Option<String>,
}

impl Progress {
    fn new(phase: Phase, message: impl Into<String>) -> Self {
        let ended = phase == Phase::Applied;
        Self { phase, message: message.into(), since: None, ended, reviewed: None, plan: None, drift: None }
    }
}

/// Ends the step in a dry run, whose request is Kratix's own copy, beside or instead of the one that it is about: what
/// became of that one is not the copy's, and looking again would hold the dry run for ever.
///
/// # Errors
/// A status that cannot be written.
pub fn dry_run(folders: &Folders) -> Result<Tracked> {
    if folders.is_stopped() {
        return Ok(Tracked::Stopped);
    }
    folders.write_status(&Status { message: "dry run: nothing is delivered".to_owned(), ..Status::default() })?;
    Ok(Tracked::DryRun)
}

/// Runs the step.
///
/// # Errors
/// A broken contract: no request, a folder that cannot be read or written.
pub fn run(folders: &Folders, config: Loaded<'_>, action: Action, now: Timestamp) -> Result<Tracked> {
    if folders.is_stopped() {
        return Ok(Tracked::Stopped);
    }
    let object = folders.read_object()?;
    let request = match crate::promise::read(&object) {
        Ok(request) => request,
        Err(faults) => anyhow::bail!("the request has no identity: {} {}", faults[0].path, faults[0].message),
    };
    let before = Status::of_object(request.status);
    let mut status = if folders.has_status() { folders.read_status()? } else { before.clone() };
    let mut found = Vec::new();
    status.goldpath.drift.clear();
    status.goldpath.plan = None;
    match config {
        Err(error) => found.push(failed(error)),
        Ok(config) => {
            for role in Role::ALL {
                let Some(delivered) = status.goldpath.repositories.get(role.as_str()).cloned() else {
                    continue;
                };
                let (progress, sight) = look_at(config, role, &delivered, &request.identity, action);
                if let Some(Sight { pull_request, drifted, state, .. }) = sight {
                    let journal = status.goldpath.repositories.get_mut(role.as_str());
                    if let Some(pull) = journal.and_then(|delivered| delivered.pull_request.as_mut()) {
                        pull.state = match (pull_request, pull.state) {
                            (Some(Pull::Merged(_)), _) => PullRequestState::Merged,
                            (Some(Pull::Closed), _) => PullRequestState::Closed,
                            (Some(Pull::Open { .. }), PullRequestState::Closed) => PullRequestState::Open,
                            (_, state) => state,
                        };
                    }
                    let drifted = drifted.iter().filter(|_| action == Action::Configure);
                    status.goldpath.drift.extend(drifted.map(|path| format!("{}: {path}", role.as_str())));
                    let outputs = state.map(|state| state.outputs()).filter(|outputs| !outputs.is_empty());
                    status.extra.extend(outputs.map(|outputs| ("outputs".to_owned(), outputs.into())));
                }
                found.push(progress);
            }
        }
    }
    let generation = request.generation;
    let condition = |name: &str, holds: &str, reason: &str, message: &str| Condition {
        r#type: name.to_owned(),
        status: holds.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: now,
        observed_generation: generation,
    };
    if let Some((phase, (holds, message))) = found.iter().find_map(|p| Some((p.phase, p.reviewed.as_ref()?))) {
        let reason = if *holds { "Reviewed".to_owned() } else { reason_of(phase) };
        status.set_condition(condition("Reviewed", if *holds { "True" } else { "False" }, &reason, message));
    }
    let ended = found.iter().all(|progress| progress.ended);
    let (phase, mut message) = match deciding(&mut found) {
        Some(progress) => {
            status.goldpath.plan = progress.plan.take();
            (progress.phase, progress.message.clone())
        }
        None => (Phase::Applied, "there is nothing to follow".to_owned()),
    };
    if let [first, others @ ..] = status.goldpath.drift.as_slice() {
        let others = match others.len() {
            0 => String::new(),
            n => format!(" (and {n} more in status.goldpath.drift)"),
        };
        message = format!("{message}; `{first}`{others} was changed by hand: the next reconciliation puts it back");
    }
    if phase != Phase::Applied {
        message = status.with_warnings(message);
    }
    // Nothing puts that back, and the message says it already.
    status.goldpath.drift.extend(found.iter_mut().filter_map(|progress| progress.drift.take()));
    let applied = match phase {
        Phase::Applied => "True",
        Phase::Delivered => "Unknown",
        _ => "False",
    };
    if status.goldpath.repositories.values().any(|delivered| delivered.module.is_some()) {
        status.set_condition(condition("Applied", applied, &reason_of(phase), &message));
    }
    status.goldpath.attempts = match before.goldpath.phase == Some(phase) && !ended {
        true => before.goldpath.attempts + 1,
        false => 0,
    };
    status.goldpath.phase = Some(phase);
    status.message.clone_from(&message);
    folders.write_status(&status)?;
    if !ended {
        let after = match phase {
            Phase::Closed => CLOSED_PAUSE,
            // Four times as long each time: a look costs a cluster as much as a delivery.
            _ => delay(2 * status.goldpath.attempts, FIRST_PAUSE, LONGEST_PAUSE),
        };
        folders.write_retry(after, &message)?;
    }
    Ok(Tracked::Seen(phase, message, ended))
}

/// A phase as the reason of a condition.
fn reason_of(phase: Phase) -> String {
    let words = phase.as_str().split('-');
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// The one that is least far, of equals the last: that of the root module, which has the most to say.
pub fn deciding(found: &mut [Progress]) -> Option<&mut Progress> {
    found.iter_mut().rev().min_by_key(|progress| progress.phase)
}

fn failed(error: &anyhow::Error) -> Progress {
    Progress::new(Phase::Failed, format!("{error:#}"))
}

/// How far a delivery has come to a repository that is only git.
fn delivered_unseen(role: Role, action: Action) -> Progress {
    let (done, run) = match action {
        Action::Configure => ("delivered to", "applies"),
        Action::Delete => ("removed from", "destroys"),
    };
    let mut message = format!("{done} {}", role.as_str());
    if role.has_root_modules() {
        message += ", a git repository in which nothing tells whether Terraform is run: whoever runs it there ";
        message += &format!("{run} this");
    }
    let phase = if role.has_root_modules() { Phase::Delivered } else { Phase::Applied };
    Progress { ended: true, ..Progress::new(phase, message) }
}

/// How far what a repository holds of a request has come.
///
/// # Errors
/// A server that fails.
pub fn judge(
    config: &Config,
    role: Role,
    remote: &Remote,
    survey: Option<&Survey>,
    request: &Identity,
    held: &mut Held,
) -> Result<Progress> {
    let Held { action, delivered, since, gone: _ } = held;
    let (Remote::Gitea(remote), Some(survey)) = (remote, survey) else {
        return Ok(Progress { since: *since, ..delivered_unseen(role, *action) });
    };
    let (state_owner, review_user) = whose(config, role);
    let sight = survey.look(request, delivered, state_owner, review_user)?;
    Ok(Case { role, delivered, action: *action, reviews: remote.delivery == Delivery::PullRequest }.judge(&sight))
}

/// Who holds the states of what is in a repository, and whose statuses count.
fn whose(config: &Config, role: Role) -> (Option<&str>, Option<(&str, Option<i64>)>) {
    let owner = config.state_owner.as_ref().filter(|_| role.has_root_modules()).map(|owner| owner.as_str());
    (owner, config.review.as_ref().map(|review| (review.user.as_str(), review.user_id)))
}

/// Looks at one delivery.
fn look_at(
    config: &Config,
    role: Role,
    delivered: &Delivered,
    request: &Identity,
    action: Action,
) -> (Progress, Option<Sight>) {
    let remote = match config.repositories.get(&role) {
        Some(Remote::Gitea(remote)) => remote,
        // What runs behind any other repository, if anything does, does not say so here.
        _ => return (delivered_unseen(role, action), None),
    };
    let (state_owner, review_user) = whose(config, role);
    match look(remote, &config.patience, delivered, request, state_owner, review_user) {
        Err(error) => (failed(&error.context(format!("cannot follow what happens in {remote}"))), None),
        Ok(sight) => {
            let case = Case { role, delivered, action, reviews: remote.delivery == Delivery::PullRequest };
            (case.judge(&sight), Some(sight))
        }
    }
}

/// One delivery that is looked at.
struct Case<'a> {
    role: Role,
    delivered: &'a Delivered,
    action: Action,
    /// Whether a person is asked.
    reviews: bool,
}

impl Case<'_> {
    fn judge(&self, sight: &Sight) -> Progress {
        let role = self.role.as_str();
        let place = match (&self.delivered.pull_request, &self.delivered.module) {
            (Some(pull), _) => format!("pull request #{} in {role}", pull.number),
            (None, Some(module)) => format!("`{module}` in {role}"),
            (None, None) => role.to_owned(),
        };
        let url = self.delivered.pull_request.as_ref().map_or("", |pull| pull.url.as_str());
        let progress = match &sight.pull_request {
            Some(Pull::Gone) => {
                Progress::new(Phase::Failed, format!("{place} is gone: the next reconciliation proposes it again"))
            }
            Some(Pull::Closed) if self.action == Action::Configure => Progress::new(
                Phase::Closed,
                format!(
                    "{place} was closed without being merged, and nothing is proposed again until the request changes: \
                     change it, or open the pull request again ({url})"
                ),
            ),
            Some(Pull::Closed) => Progress::new(
                Phase::Closed,
                format!("{place} was closed without being merged, which holds the deletion: open it again ({url})"),
            ),
            Some(Pull::Open { conflicts, changes_requested_by, approved_by }) => {
                self.judge_open(sight, &place, url, conflicts, changes_requested_by, approved_by)
            }
            Some(Pull::Merged(_)) => self.judge_merged(sight, &place),
            None => self.judge_merged(sight, &place),
        };
        let reviewed = match sight.pull_request {
            _ if !self.reviews || self.delivered.pull_request.is_none() => None,
            Some(Pull::Merged(_)) => Some((true, format!("{place} is merged ({url})"))),
            _ => Some((false, progress.message.clone())),
        };
        let run = sight.statuses.iter().find(|status| {
            let about = status.context.split_once(": ");
            about.is_some_and(|(kind, module)| {
                (kind == PLAN || kind == APPLY) && Some(module) == self.delivered.module.as_deref()
            })
        });
        let since = sight.since.max(run.map(|run| run.created_at));
        Progress { reviewed, since, ..progress }
    }

    /// What the run of one kind says of this root module.
    fn run<'s>(&self, sight: &'s Sight, kind: &str) -> Option<Run<'s>> {
        let context = format!("{kind}: {}", self.delivered.module.as_deref()?);
        let status = sight.statuses.iter().find(|status| status.context == context)?;
        let state = match status.status.as_str() {
            "success" => RunState::Done,
            "pending" => RunState::Running,
            _ => RunState::Failed,
        };
        Some(Run { state, summary: &status.description, url: &status.target_url })
    }

    fn judge_open(
        &self,
        sight: &Sight,
        place: &str,
        url: &str,
        conflicts: &[crate::file_tree::RelativePath],
        changes_requested_by: &[String],
        approved_by: &[String],
    ) -> Progress {
        let plan = self.run(sight, PLAN);
        let summary = |plan: &Option<Run<'_>>| plan.as_ref().map_or(String::new(), |p| format!(" ({})", p.summary));
        let progress = if let Some(path) = conflicts.first() {
            let message = format!(
                "{place} cannot be merged, because `{path}` has changed meanwhile: the next reconciliation brings it up to date ({url})"
            );
            Progress::new(Phase::Conflicted, message)
        } else if let Some(plan) = plan.as_ref().filter(|plan| plan.state == RunState::Failed) {
            let message = format!("the plan of {place} failed: {} ({})", plan.summary, plan.url);
            Progress::new(Phase::Failed, message)
        } else if !changes_requested_by.is_empty() {
            let who = changes_requested_by.join(", ");
            Progress::new(Phase::ChangesRequested, format!("{who} asks for changes of {place}: see {url}"))
        } else if plan.as_ref().is_some_and(|plan| plan.state == RunState::Running) {
            Progress::new(Phase::Planning, format!("{place} is being planned ({url})"))
        } else if approved_by.is_empty() {
            Progress::new(Phase::AwaitingReview, format!("{place} awaits review{}: {url}", summary(&plan)))
        } else {
            let who = approved_by.join(", ");
            let message = format!("{place} is approved by {who}{}: merge it ({url})", summary(&plan));
            Progress::new(Phase::AwaitingReview, message)
        };
        Progress { plan: plan.map(Run::report), ..progress }
    }

    fn judge_merged(&self, sight: &Sight, place: &str) -> Progress {
        // A request can do without what it had, too.
        let gone = self.action == Action::Delete || self.delivered.files == 0;
        if !self.role.has_root_modules() {
            let message = if gone { "nothing of it is left in" } else { "all of it is in" };
            return Progress::new(Phase::Applied, format!("{message} {}", self.role.as_str()));
        }
        if gone && !sight.was_there && sight.state.as_ref().is_none_or(|state| state.is_empty()) {
            return Progress::new(Phase::Applied, format!("{place} was never merged: there is nothing to destroy"));
        }
        let apply = self.run(sight, APPLY);
        if gone && sight.state.as_ref().is_some_and(|state| state.is_empty()) {
            // The review says so of what may not be destroyed.
            let message = match apply.is_some_and(|run| run.summary.contains("forgets ")) {
                true => "what Terraform made stays in Gitea, and nobody looks after it any more",
                false => "everything that Terraform made is destroyed",
            };
            return Progress::new(Phase::Applied, message);
        }
        let progress = match &apply {
            Some(Run { state: RunState::Failed, summary, url, .. }) => {
                Progress::new(Phase::Failed, format!("the apply of {place} failed: {summary} ({url})"))
            }
            Some(Run { state: RunState::Running, url, .. }) => {
                Progress::new(Phase::Applying, format!("{place} is being applied ({url})"))
            }
            Some(Run { summary, .. }) => {
                let mut progress = Progress::new(Phase::Applied, format!("{place} is applied ({summary})"));
                let drift = self.run(sight, DRIFT).filter(|drift| drift.state == RunState::Failed && !gone);
                if let Some(Run { summary, url, .. }) = drift {
                    progress.message += &format!(", and was changed by hand: {summary} ({url})");
                    progress.drift = Some(format!("{}: {summary} ({url})", self.role.as_str()));
                }
                progress
            }
            None => {
                let state = match &sight.state {
                    Some(state) => format!("; the state is at serial {}, which no run has confirmed", state.serial),
                    None => String::new(),
                };
                Progress::new(Phase::Merged, format!("{place} is merged, and no run has applied it yet{state}"))
            }
        };
        Progress { plan: apply.map(Run::report), ..progress }
    }
}

/// What a run says.
struct Run<'a> {
    state: RunState,
    summary: &'a str,
    url: &'a str,
}

#[derive(PartialEq, Eq)]
enum RunState {
    Failed,
    Running,
    Done,
}

impl Run<'_> {
    fn report(self) -> Report {
        Report { summary: self.summary.to_owned(), url: self.url.to_owned() }
    }
}

impl Tracked {
    /// What to tell in the step's log.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Stopped => vec!["an earlier step has asked for an end: nothing to do".to_owned()],
            Self::DryRun => vec!["nothing is delivered in a dry run: nothing to follow".to_owned()],
            Self::Seen(phase, message, _) => vec![format!("{}: {message}", phase.as_str())],
        }
    }
}
