//! The step `commit`: what `render` left goes to the repositories, or out of them.
//!
//! It does nothing where an earlier step has asked for an end. What may pass ends in a later run,
//! never in an exit code; running it again finishes what was begun.

use crate::config::{Config, Loaded};
use crate::kratix::Folders;
use crate::outcome::{Action, Cause, Delivery, Extent, Outcome, PullRequest, PullRequestState, Undelivered, short};
use crate::outputs::{Outputs, Role};
use crate::promise::{find, id_field, roles_of};
use crate::render::{refuse, wait};
use crate::repository::{deliver, let_others_claim, module_of};
use crate::request::Request;
use crate::status::{Condition, DELIVERING, Delivered, Status};
use crate::violation::Violation;
use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Instant;

/// What became of a delivery.
#[derive(Debug)]
pub enum Committed {
    /// It is in every repository or proposed for it, or would be in a dry run.
    Done(BTreeMap<Role, Outcome>),
    /// An earlier step has asked for an end.
    Stopped,
    /// The request has to change, because of what others have, and the status says so.
    Refused(Violation),
    /// Something failed that may pass, and Kratix is asked to run it again: why.
    Later(String),
}

/// What the step is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Bring the files in, or take them out.
    pub action: Action,
    /// How far.
    pub extent: Extent,
    /// Tell the changes as a diff too.
    pub with_diff: bool,
}

/// Runs the step.
///
/// # Errors
/// A broken contract: no request, a folder that cannot be read or written.
pub fn run(folders: &Folders, config: Loaded<'_>, task: Task, now: Timestamp) -> Result<Committed> {
    run_with(folders, config, task, now, |config, delivery, done| within(config, delivery, task.extent, done))
}

/// Runs the step, where somebody else has delivered: with what it changed, or why it did not.
///
/// # Errors
/// As [`run`].
pub fn record(
    folders: &Folders,
    config: &Config,
    task: Task,
    now: Timestamp,
    delivered: Result<BTreeMap<Role, Outcome>, Undelivered>,
) -> Result<Committed> {
    run_with(folders, Ok(config), task, now, |_, _, mut done| match delivered {
        Ok(outcomes) => {
            outcomes.into_iter().try_for_each(|(role, outcome)| done(role, outcome))?;
            Ok(Ok(()))
        }
        Err(error) => Ok(Err(error)),
    })
}

/// Says that a request is refused that was not rendered.
///
/// # Errors
/// As [`run`].
pub fn refuse_unrendered(folders: &Folders, refusal: &Violation, now: Timestamp) -> Result<()> {
    folders.clear_verdict()?;
    refuse(folders, &folders.read_object()?, "Delivered", std::slice::from_ref(refusal), now)
}

/// Says that a deletion waits for others, and asks to be run again.
///
/// # Errors
/// As [`run`].
pub fn hold(folders: &Folders, why: &str, now: Timestamp) -> Result<()> {
    folders.clear_verdict()?;
    let object = folders.read_object()?;
    let mut status = Status::of_object(object.get("status"));
    status.goldpath.deletion = true;
    wait(folders, &object, status, "Delivered", "InUse", why, now)
}

/// Tells what is done in a repository.
type Done<'d> = Box<dyn FnMut(Role, Outcome) -> Result<()> + 'd>;

fn run_with(
    folders: &Folders,
    config: Loaded<'_>,
    task: Task,
    now: Timestamp,
    deliver: impl FnOnce(&Config, Delivery, Done<'_>) -> Result<Result<(), Undelivered>>,
) -> Result<Committed> {
    let dry_run = task.extent == Extent::DryRun;
    if task.action == Action::Delete && !dry_run {
        folders.clear_verdict()?;
    }
    if folders.is_stopped() {
        return Ok(Committed::Stopped);
    }
    let object = folders.read_object()?;
    let request = match crate::promise::read(&object) {
        Ok(request) => request,
        Err(faults) => anyhow::bail!("the request has no identity: {} {}", faults[0].path, faults[0].message),
    };
    let id = id_field(&request.identity);
    let before = Status::of_object(request.status);
    let mut status = if folders.has_status() { folders.read_status()? } else { before.clone() };
    status.goldpath.deletion = task.action == Action::Delete;
    let mut outcomes = BTreeMap::new();
    let prepared = match config {
        Ok(config) => {
            let outputs = match task.action {
                Action::Configure => Outputs {
                    repositories: folders.read_repositories()?,
                    accounts: folders.read_accounts()?,
                    claims: folders.read_claims()?,
                    ..Outputs::default()
                },
                Action::Delete => Outputs::nothing(),
            };
            Ok((config, delivery(config, &request, outputs, &status, task, now)))
        }
        Err(error) => Err(error),
    };
    let claims = prepared.as_ref().map(|(_, delivery)| delivery.claims.clone()).unwrap_or_default();
    let files = prepared.iter().flat_map(|(_, delivery)| delivery.files.keys());
    let concerned: BTreeSet<Role> = files.copied().collect();
    let modules: BTreeMap<_, _> = prepared
        .iter()
        .flat_map(|(_, delivery)| &delivery.files)
        .filter_map(|(role, files)| Some((*role, module_of(*role, &request.identity, files.paths())?)))
        .collect();
    // A repository of its own is not of every Application: one that never was there goes without a word.
    let is_repository = find(request.identity.kind.as_str()).is_ok_and(|promise| promise.is_repository);
    let may_lack = |role: Role| is_repository && role.has_root_modules();
    let delivered = before.conditions.iter().find(|condition| condition.r#type == "Delivered");
    if let Ok((config, delivery)) = &prepared
        && task.extent == Extent::Whole
        && delivered.is_some_and(|delivered| delivered.reason == DELIVERING)
    {
        let_others_claim(config, delivery);
    }
    let result = match prepared {
        Ok((config, delivery)) => {
            let done = |role: Role, outcome: Outcome| {
                let holds_nothing = outcome.files == 0 && outcome.changes.is_empty() && outcome.pull_request.is_none();
                let had_nothing = !status.goldpath.repositories.contains_key(role.as_str());
                let is_news = !(may_lack(role) && holds_nothing && had_nothing);
                if !dry_run && is_news {
                    // Remembered at once, for the run that comes after one that was killed.
                    journal(&mut status, role, &outcome, modules.get(&role).cloned());
                    folders.write_status(&status)?;
                }
                outcomes.insert(role, outcome);
                Ok(())
            };
            deliver(config, delivery, Box::new(done))?
        }
        Err(error) => Err(Undelivered::Passing(anyhow!("{error:#}"))),
    };
    if dry_run {
        return Ok(match result {
            Ok(()) => Committed::Done(outcomes),
            Err(Undelivered::Passing(error)) => Committed::Later(format!("{error:#}")),
            Err(error) => Committed::Refused(error.refusal(id, &claims).context("not passing, and no refusal")?),
        });
    }
    // Nothing of the request is wrong.
    if let Err(error @ Undelivered::InUse { .. }) = &result {
        let why = error.to_string();
        wait(folders, &object, status, "Delivered", "InUse", &why, now)?;
        return Ok(Committed::Later(why));
    }
    if let Some(refusal) = result.as_ref().err().and_then(|error| error.refusal(id, &claims)) {
        refuse(folders, &object, "Delivered", std::slice::from_ref(&refusal), now)?;
        return Ok(Committed::Refused(refusal));
    }
    match result {
        Ok(()) => {
            if let Some(why) = outcomes.iter().find_map(edited) {
                wait(folders, &object, status, "Delivered", "BranchEdited", &why, now)?;
                return Ok(Committed::Later(why));
            }
            if task.action == Action::Delete {
                folders.clear_outputs()?;
            }
            let next: Vec<_> =
                concerned.iter().filter(|role| !outcomes.contains_key(role)).map(|r| r.as_str()).collect();
            let said = delivered.filter(|_| before.goldpath.observed_generation == request.generation);
            status.goldpath.warnings = match task.action {
                Action::Configure => folders.read_warnings()?,
                Action::Delete => Vec::new(),
            };
            status.goldpath.warnings.extend(outcomes.values().flat_map(|outcome| outcome.warnings.clone()));
            say_delivered(&mut status, &next, request.generation, now, task.action);
            if let Some(said) = said.filter(|_| !next.is_empty()) {
                // It holds of this edit until all is looked at again.
                status.set_condition(said.clone());
            }
            folders.write_status(&status)?;
            Ok(Committed::Done(outcomes))
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            let all = concerned.len();
            let message = match outcomes.len() {
                0 => format!("{error:#}"),
                done => {
                    let is_done = |name: &str| outcomes.keys().any(|role| role.as_str() == name);
                    let done_now = status.goldpath.repositories.iter().filter(|(name, _)| is_done(name));
                    format!("{done} of {all} repositories are done, {}; then: {error:#}", places(done_now))
                }
            };
            wait(folders, &object, status, "Delivered", "Waiting", &message, now)?;
            Ok(Committed::Later(message))
        }
    }
}

/// Finds out what a delivery would do, and writes nothing.
///
/// # Errors
/// As [`deliver`].
pub fn preview(config: &Config, delivery: Delivery) -> Result<Result<BTreeMap<Role, Outcome>, Undelivered>> {
    let mut outcomes = BTreeMap::new();
    let done = |role, outcome| {
        outcomes.insert(role, outcome);
        Ok(())
    };
    let result = within(config, delivery, Extent::DryRun, Box::new(done))?;
    Ok(match outcomes.iter().find_map(edited) {
        Some(why) => Err(Undelivered::Passing(anyhow!("{why}"))),
        None => result.map(|()| outcomes),
    })
}

/// What is to be delivered of a request's outputs, after what its status says.
pub fn delivery(
    config: &Config,
    request: &Request<'_>,
    outputs: Outputs,
    status: &Status,
    task: Task,
    now: Timestamp,
) -> Delivery {
    let Outputs {
        manifests: _,
        destinations: _,
        mut repositories,
        accounts,
        claims,
        warnings: _,
        id: _,
        relations: _,
        status: _,
    } = outputs;
    let journal = &status.goldpath.repositories;
    // One that never had anything of the request is asked only before that goes, if the platform has it at all.
    let roles = roles_of(&request.identity);
    let may_have = |role: &Role| task.action == Action::Delete && config.repositories.contains_key(role);
    let had = |role: &Role| may_have(role) || journal.contains_key(role.as_str());
    for role in roles.iter().copied().filter(had) {
        repositories.entry(role).or_default();
    }
    repositories.retain(|role, files| roles.contains(role) && (had(role) || !files.is_empty()));
    let number = |role: Role| Some((role, journal.get(role.as_str())?.pull_request.as_ref()?.number));
    Delivery {
        cause: Cause { request: request.identity.clone(), generation: request.generation },
        action: task.action,
        files: repositories,
        accounts,
        claims,
        pull_requests: Role::ALL.into_iter().filter_map(number).collect(),
        index: config.catalog_index.clone(),
        author: config.author.clone(),
        trailers: config.trailers.clone(),
        time: now,
        with_diff: task.with_diff,
    }
}

/// Delivers, for as long as the configuration allows: a server that never answers would hold the
/// step for ever, because Kratix has no deadline. What hangs ends with the process.
fn within(config: &Config, delivery: Delivery, extent: Extent, mut done: Done<'_>) -> Result<Result<(), Undelivered>> {
    enum Event {
        Done(Role, Outcome),
        End(Result<(), Undelivered>),
    }
    let (sender, receiver) = mpsc::channel();
    let (config, limit) = (config.clone(), config.patience.deadline);
    let end = Instant::now() + limit;
    std::thread::spawn(move || {
        // The receiver is gone only when its time is up: nobody waits for the result then.
        let tell = |role, outcome| drop(sender.send(Event::Done(role, outcome)));
        let result = deliver(&config, &delivery, extent, Instant::now() + limit.mul_f32(0.8), tell);
        let _ = sender.send(Event::End(result));
    });
    loop {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Event::Done(role, outcome)) => done(role, outcome)?,
            Ok(Event::End(result)) => return Ok(result),
            Err(_) => {
                return Ok(Err(anyhow!("the repositories did not answer within {} s", limit.as_secs()).into()));
            }
        }
    }
}

fn edited((role, outcome): (&Role, &Outcome)) -> Option<String> {
    outcome.pull_request.as_ref().and_then(|pull| explain_edited(*role, pull))
}

/// What a person did to a branch of ours, if anybody has, and what to do.
pub fn explain_edited(role: Role, pull: &PullRequest) -> Option<String> {
    (pull.state == PullRequestState::Edited).then(|| {
        format!(
            "somebody has pushed to the branch of pull request #{} in {}, which is not overwritten: merge it, or close it \
             and delete the branch ({})",
            pull.number,
            role.as_str(),
            pull.url
        )
    })
}

/// Remembers what a repository holds.
fn journal(status: &mut Status, role: Role, outcome: &Outcome, module: Option<String>) {
    let before = status.goldpath.repositories.remove(role.as_str());
    let delivered = Delivered {
        commit: outcome.commit.clone(),
        files: outcome.files,
        module: module.or(before.and_then(|before| before.module)),
        pull_request: outcome.pull_request.clone(),
    };
    status.goldpath.repositories.insert(role.as_str().to_owned(), delivered);
}

/// Where things are now, in words.
fn places<'d>(journal: impl Iterator<Item = (&'d String, &'d Delivered)>) -> String {
    let place = |(repository, delivered): (&String, &Delivered)| match (&delivered.pull_request, &delivered.commit) {
        (Some(PullRequest { number, state: PullRequestState::Open | PullRequestState::Edited, .. }), _) => {
            format!("{repository} as pull request #{number}")
        }
        (Some(PullRequest { number, state: PullRequestState::Closed, .. }), _) => {
            format!("{repository} (declined: somebody has closed pull request #{number})")
        }
        (_, Some(commit)) => format!("{repository} {}", short(commit)),
        (_, None) => format!("{repository} (empty)"),
    };
    journal.map(place).collect::<Vec<_>>().join(", ")
}

/// Says in the status what is done; it is not all where something comes `next`.
fn say_delivered(status: &mut Status, next: &[&str], generation: Option<u64>, now: Timestamp, action: Action) {
    let journal = &status.goldpath.repositories;
    let verb = if action == Action::Delete { "removed from" } else { "delivered to" };
    let mut pulls = journal.values().filter_map(|delivered| delivered.pull_request.as_ref());
    let declined = pulls.any(|pull| pull.state == PullRequestState::Closed);
    let advice = match action {
        Action::Configure => "; nothing is proposed again until the request changes",
        Action::Delete => "; the deletion goes on when it is open again",
    };
    let places = places(journal.iter());
    let (holds, reason, message) = match next {
        [] if declined => ("False", "Declined", format!("{verb} {places}{advice}")),
        [] => ("True", "Delivered", format!("{verb} {places}")),
        next => ("False", DELIVERING, format!("delivered next to {}", next.join(", "))),
    };
    let message = status.with_warnings(message);
    status.goldpath.observed_generation = generation;
    status.goldpath.attempts = 0;
    status.set_condition(Condition {
        r#type: "Delivered".to_owned(),
        status: holds.to_owned(),
        reason: reason.to_owned(),
        message: message.clone(),
        last_transition_time: now,
        observed_generation: generation,
    });
    status.message = message;
}

impl Committed {
    /// What to tell in a step's log: a line for each thing.
    pub fn lines(&self, dry_run: bool) -> Vec<String> {
        match self {
            Self::Stopped => vec!["an earlier step has asked for an end: nothing to do".to_owned()],
            Self::Refused(why) => vec![format!("refused: {}", why.message)],
            Self::Later(why) => vec![format!("later: {why}")],
            Self::Done(outcomes) => outcomes
                .iter()
                .flat_map(|(role, outcome)| {
                    let head = outcome.summary(dry_run);
                    let changes = outcome.changes.iter().map(|change| format!("  {change}"));
                    std::iter::once(format!("{}: {head}", role.as_str())).chain(changes)
                })
                .collect(),
        }
    }
}

/// The current time, in whole seconds: or that of `SOURCE_DATE_EPOCH`, by which builds are made
/// reproducible (reproducible-builds.org).
///
/// # Errors
/// A `SOURCE_DATE_EPOCH` that is no number of seconds.
pub fn now() -> Result<Timestamp> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds"))?,
        Err(_) => Timestamp::now().as_second(),
    };
    Timestamp::from_second(seconds).context("the time is out of range")
}
