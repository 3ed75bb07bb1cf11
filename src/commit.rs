//! The step `commit`: what `render` left goes to the repositories, or out of them.
//!
//! It does nothing where an earlier step has asked for an end. What may pass ends in a later run,
//! never in an exit code; running it again finishes what was begun.

use crate::config::Config;
use crate::kratix::{Action, Condition, Delivered, Folders, Status};
use crate::promise::Role;
use crate::render::{refuse, wait};
use crate::repository::{Delivery, Outcome, Owner, Undelivered, deliver};
use crate::request::Request;
use crate::violation::Refusal;
use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Instant;

/// What became of a delivery.
#[derive(Debug)]
pub enum Committed {
    /// It is in every repository, or would be in a dry run.
    Done(BTreeMap<Role, Outcome>),
    /// An earlier step has asked for an end.
    Stopped,
    /// A file belongs to another request, and the status says so.
    Refused(String),
    /// Something failed that may pass, and Kratix is asked to run it again: why.
    Later(String),
}

/// What the step is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Bring the files in, or take them out.
    pub action: Action,
    /// Only find out what it would do, and write nothing.
    pub dry_run: bool,
}

/// Runs the step.
///
/// # Errors
/// A broken contract: no request, a folder that cannot be read or written.
pub fn run(folders: &Folders, config: Result<Config>, task: Task, now: Timestamp) -> Result<Committed> {
    if task.action == Action::Delete && !task.dry_run {
        folders.clear_verdict()?;
    }
    if folders.is_stopped() {
        return Ok(Committed::Stopped);
    }
    let object = folders.read_object()?;
    let request = match Request::read(&object) {
        Ok(request) => request,
        Err(faults) => anyhow::bail!("the request has no identity: {} {}", faults[0].path, faults[0].message),
    };
    let mut status = match task.action {
        Action::Configure => folders.read_status()?,
        Action::Delete => Status::of_object(request.status),
    };
    let delivery = |config: &Config| -> Result<Delivery> {
        let files = match task.action {
            Action::Configure => folders.read_repositories()?,
            Action::Delete => Role::ALL.into_iter().map(|role| (role, Default::default())).collect(),
        };
        Ok(Delivery {
            identity: request.identity.clone(),
            generation: request.generation,
            files,
            author: config.author.clone(),
            time: now,
        })
    };
    let result = match config {
        Ok(config) => within(&config, delivery(&config)?, task.dry_run),
        Err(error) => Err(Undelivered::Passing(anyhow!("{error:#}"))),
    };
    if task.dry_run {
        return Ok(match result {
            Ok(outcomes) => Committed::Done(outcomes),
            Err(error @ Undelivered::Taken { .. }) => Committed::Refused(error.to_string()),
            Err(Undelivered::Passing(error)) => Committed::Later(format!("{error:#}")),
        });
    }
    match result {
        Ok(outcomes) => {
            if task.action == Action::Delete {
                folders.clear_outputs()?;
            }
            record(&mut status, &outcomes, request.generation, now, task.action);
            folders.write_status(&status)?;
            Ok(Committed::Done(outcomes))
        }
        Err(Undelivered::Taken { repository, path, owner }) => {
            let message = Undelivered::Taken { repository, path, owner: owner.clone() }.to_string();
            let help = match owner {
                Owner::Request(_) => "use another id, or delete that request first",
                Owner::Nobody => "use another id, or have the file removed from the repository",
            };
            let violation = Refusal::new("taken", message.clone()).help(help).at("spec.id", None);
            refuse(folders, &object, "Delivered", &[violation], now)?;
            Ok(Committed::Refused(message))
        }
        Err(Undelivered::Passing(error)) => {
            let message = format!("{error:#}");
            wait(folders, &object, status, "Delivered", &message, now)?;
            Ok(Committed::Later(message))
        }
    }
}

/// Delivers, for as long as the configuration allows: a server that never answers would hold the
/// step for ever, because Kratix has no deadline. What hangs ends with the process.
fn within(config: &Config, delivery: Delivery, dry_run: bool) -> Result<BTreeMap<Role, Outcome>, Undelivered> {
    let (sender, receiver) = mpsc::channel();
    let (remotes, limit) = (config.repositories.clone(), config.deadline);
    std::thread::spawn(move || {
        // The receiver is gone only when its time is up: nobody waits for the result then.
        let _ = sender.send(deliver(&remotes, &delivery, dry_run, Instant::now() + limit.mul_f32(0.8)));
    });
    receiver
        .recv_timeout(limit)
        .unwrap_or_else(|_| Err(anyhow!("the repositories did not answer within {} s", limit.as_secs()).into()))
}

fn record(
    status: &mut Status,
    outcomes: &BTreeMap<Role, Outcome>,
    generation: Option<u64>,
    now: Timestamp,
    action: Action,
) {
    let places: Vec<_> = outcomes
        .iter()
        .map(|(role, outcome)| match &outcome.commit {
            Some(commit) => format!("{} {}", role.as_str(), short(commit)),
            None => format!("{} (empty)", role.as_str()),
        })
        .collect();
    let verb = if action == Action::Delete { "removed from" } else { "delivered to" };
    let message = format!("{verb} {}", places.join(", "));
    status.goldpath.observed_generation = generation;
    status.goldpath.attempts = 0;
    status.goldpath.repositories = outcomes
        .iter()
        .filter_map(|(role, outcome)| {
            Some((role.as_str().to_owned(), Delivered { commit: outcome.commit.clone()?, files: outcome.files }))
        })
        .collect();
    status.set_condition(Condition {
        r#type: "Delivered".to_owned(),
        status: "True".to_owned(),
        reason: "Delivered".to_owned(),
        message: message.clone(),
        last_transition_time: now,
        observed_generation: generation,
    });
    status.message = message;
}

/// A commit's id, as short as people write it.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

impl Committed {
    /// What to tell in a step's log: a line for each thing.
    pub fn lines(&self, dry_run: bool) -> Vec<String> {
        match self {
            Self::Stopped => vec!["an earlier step has asked for an end: nothing to do".to_owned()],
            Self::Refused(why) => vec![format!("refused: {why}")],
            Self::Later(why) => vec![format!("later: {why}")],
            Self::Done(outcomes) => outcomes
                .iter()
                .flat_map(|(role, outcome)| {
                    let head = match (&outcome.commit, outcome.changes.is_empty()) {
                        (_, true) => "unchanged".to_owned(),
                        (_, false) if dry_run => "would commit".to_owned(),
                        (Some(commit), false) => format!("committed {}", short(commit)),
                        (None, false) => "committed".to_owned(),
                    };
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
