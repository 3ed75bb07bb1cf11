//! The step `render`: a request in, manifests and files for the repositories out.
//!
//! A wrong request is an answer, not an error: its status says every fault, nothing new is
//! written, and what an earlier run delivered stays live.

use crate::config::Loaded;
use crate::document::Node;
use crate::generate_with;
use crate::known::Source;
use crate::kratix::Folders;
use crate::outcome::FOREIGN_INDEX;
use crate::outputs::{Outputs, Unrendered};
use crate::promise;
use crate::request::Request;
use crate::status::{Condition, Fault, Progress, Status, delay};
use crate::text::count;
use crate::violation::{Violation, told};
use anyhow::Result;
use jiff::Timestamp;
use std::time::Duration;

/// As many faults as a status lists.
const MAX_FAULTS: usize = 50;

/// What became of a request.
#[derive(Debug)]
pub enum Rendered {
    /// Its outputs are written.
    Done(Box<Outputs>),
    /// It is wrong, and its status says so.
    Wrong(Vec<Violation>),
    /// The platform's configuration cannot be used, or what the request refers to cannot be looked for, and Kratix is asked to
    /// run it again: why.
    Later(String),
}

/// Runs the step.
///
/// # Errors
/// A broken contract (no request, a folder that cannot be written), or a template of ours that
/// is wrong.
pub fn run(folders: &Folders, config: Loaded<'_>, source: &dyn Source, now: Timestamp) -> Result<Rendered> {
    rendered(folders, config, source, now, |request, outputs| {
        folders.write_outputs(outputs)?;
        folders.write_status(&rendered_status(request, outputs, now))
    })
}

/// Renders once more what is for the repositories, where [`run`] ran in another Pipeline: its manifests are out, and
/// nothing but the status comes from there.
///
/// # Errors
/// As [`run`].
pub fn run_for_repositories(
    folders: &Folders,
    config: Loaded<'_>,
    source: &dyn Source,
    now: Timestamp,
) -> Result<Rendered> {
    rendered(folders, config, source, now, |_, outputs| folders.write_repositories(outputs))
}

fn rendered(
    folders: &Folders,
    config: Loaded<'_>,
    source: &dyn Source,
    now: Timestamp,
    write: impl FnOnce(&Request<'_>, &Outputs) -> Result<()>,
) -> Result<Rendered> {
    folders.clear_verdict()?;
    let object = folders.read_object()?;
    let later = |message: String| {
        wait(folders, &object, Status::of_object(object.get("status")), "Rendered", "Waiting", &message, now)?;
        Ok(Rendered::Later(message))
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return later(format!("{error:#}")),
    };
    match generate_with(&object, config, source) {
        Ok((request, outputs)) => {
            write(&request, &outputs)?;
            Ok(Rendered::Done(Box::new(outputs)))
        }
        Err(Unrendered::Wrong(violations)) => {
            refuse(folders, &object, "Rendered", &violations, now)?;
            Ok(Rendered::Wrong(violations))
        }
        Err(Unrendered::Broken(error)) => Err(error),
        Err(Unrendered::Unknown(error)) => later(format!("cannot look for what the request refers to: {error:#}")),
    }
}

impl Rendered {
    /// What to tell in the step's log: a line for each thing.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Done(outputs) => vec![summary(outputs)],
            Self::Later(why) => vec![format!("later: {why}")],
            Self::Wrong(violations) => {
                told(violations).iter().map(|v| format!("{}: {} [{}]", v.path, v.message, v.rule)).collect()
            }
        }
    }
}

fn rendered_status(request: &Request<'_>, outputs: &Outputs, now: Timestamp) -> Status {
    let message = summary(outputs);
    let mut status = Status::of_object(request.status);
    // The journal of the deliveries stays: the next one goes on from it.
    let repositories = std::mem::take(&mut status.goldpath.repositories);
    let manifests = outputs.manifests.len();
    status.goldpath = Progress {
        observed_generation: request.generation,
        manifests,
        repositories,
        warnings: outputs.lasting_warnings(),
        ..Progress::default()
    };
    status.extra.clear();
    status.extra.extend(outputs.status.clone());
    status.conditions.retain(|c| matches!(c.r#type.as_str(), "Rendered" | "Delivered"));
    status.set_condition(Condition {
        r#type: "Rendered".to_owned(),
        status: "True".to_owned(),
        reason: "Rendered".to_owned(),
        message: message.clone(),
        last_transition_time: now,
        observed_generation: request.generation,
    });
    status.message = message;
    status
}

/// What there is, in words.
fn summary(outputs: &Outputs) -> String {
    let files = outputs.repositories.iter().map(|(role, tree)| count(tree.len(), &format!("{} file", role.as_str())));
    let parts = std::iter::once(count(outputs.manifests.len(), "manifest")).chain(files);
    format!("rendered {}", parts.collect::<Vec<_>>().join(", "))
}

/// Says in the status what is wrong with the request, in the condition `what` too, and asks for
/// another run, later each time, in case what was wrong was around it. Editing the request runs it
/// at once.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn refuse(
    folders: &Folders,
    object: &Node,
    what: &str,
    violations: &[Violation],
    now: Timestamp,
) -> Result<()> {
    let generation = generation_of(object);
    let mut status = Status::of_object(object.get("status"));
    // What others refer to stays as it was accepted, and what is delivered stays too.
    let remembers = promise::of(object).is_some_and(|promise| promise.remembers);
    status.extra.retain(|_, _| remembers);
    status.conditions.retain(|c| matches!(c.r#type.as_str(), "Rendered" | "Delivered"));
    let attempts = match status.goldpath.observed_generation == generation && status.goldpath.phase.is_none() {
        true => status.goldpath.attempts,
        false => 0,
    };
    let first = &violations[0];
    let others = match violations.len() {
        1 => String::new(),
        n => format!(" (and {} more in status.goldpath.violations)", n - 1),
    };
    let message = match (first.rule, &first.help) {
        // Nothing of it is wrong.
        (FOREIGN_INDEX, Some(help)) => format!("the request is refused: {}; {help}", first.sentence()),
        _ => format!("the request is wrong: {}{others}; edit it and apply it again", first.sentence()),
    };
    status.goldpath = Progress {
        observed_generation: generation,
        attempts: attempts + 1,
        phase: None,
        violations: violations.iter().take(MAX_FAULTS).map(as_fault).collect(),
        ..status.goldpath
    };
    status.set_condition(Condition {
        r#type: what.to_owned(),
        status: "False".to_owned(),
        reason: "RequestWrong".to_owned(),
        message: message.clone(),
        last_transition_time: now,
        observed_generation: generation,
    });
    status.message.clone_from(&message);
    folders.write_status(&status)?;
    folders.write_retry(delay(attempts, Duration::from_secs(60), Duration::from_secs(3600)), &message)
}

/// Says in the status what the platform fails at, in the condition `what` too, and asks for another
/// run, later each time.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn wait(
    folders: &Folders,
    object: &Node,
    mut status: Status,
    what: &str,
    reason: &str,
    why: &str,
    now: Timestamp,
) -> Result<()> {
    // With a phase they are the looks of `track`.
    let before = Status::of_object(object.get("status")).goldpath;
    let attempts = if before.phase.is_none() { before.attempts } else { 0 };
    status.goldpath.phase = None;
    status.goldpath.attempts = attempts + 1;
    status.message = match reason {
        "Waiting" => format!("the platform fails, and tries again by itself: {why}"),
        _ => why.to_owned(),
    };
    status.set_condition(Condition {
        r#type: what.to_owned(),
        status: "False".to_owned(),
        reason: reason.to_owned(),
        message: why.to_owned(),
        last_transition_time: now,
        observed_generation: generation_of(object),
    });
    folders.write_status(&status)?;
    folders.write_retry(delay(attempts, Duration::from_secs(15), Duration::from_secs(300)), &status.message)
}

fn as_fault(violation: &Violation) -> Fault {
    Fault {
        path: violation.path.clone(),
        rule: violation.rule.to_owned(),
        message: violation.message.clone(),
        help: violation.help.clone(),
        suggestion: violation.suggestion.clone(),
    }
}

/// The generation, of an object that need not be a request.
fn generation_of(object: &Node) -> Option<u64> {
    match &object.get("metadata")?.get("generation")?.value {
        crate::document::Value::Number(number) => number.as_u64(),
        _ => None,
    }
}
