//! How requests stand: as the statuses of a workspace say it, or as repositories show it to who has nothing else.

use crate::commit::explain_edited;
use crate::config::Config;
use crate::http::at_once;
use crate::kratix::Folders;
use crate::outcome::{Action, FOREIGN_INDEX, PullRequest};
use crate::outputs::Role;
use crate::promise::{find, identify, roles_of};
use crate::repository::{Held, Holdings, hold};
use crate::request::Identity;
use crate::status::{Condition, Fault, Phase, Report, Status};
use crate::track::{Progress, deciding, judge};
use crate::violation::sentence;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The phase of a request of which it cannot be said how far it is.
pub const UNKNOWN: &str = "unknown";

/// How one request stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Which one.
    pub request: Identity,
    /// How far it is: a [`crate::status::Phase`], or `wrong`, `refused`, `delivering`, [`UNKNOWN`].
    pub phase: &'static str,
    /// What is true, and what to do next.
    pub message: String,
    /// Whether it is being deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deletion: bool,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The pull request that proposes it, or the last one that did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// What Terraform would do, or has done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Report>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Fault>,
    /// What will keep an apply from its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What somebody has changed by hand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
}

/// Every request that was found, by identity, and what could not be read and is of nobody that is known, in a sentence each.
#[derive(Default)]
pub struct Standings {
    /// By identity.
    pub requests: Vec<Standing>,
    /// What is not known.
    pub notes: Vec<String>,
}

/// Reads the statuses of a workspace.
///
/// # Errors
/// A folder that cannot be read.
pub fn of_workspace(workspace: &Path) -> Result<Standings> {
    let mut standings = Standings::default();
    for (folder, path) in folders_of_requests(&workspace.join("requests"))? {
        let folders = Folders::below(&folder);
        let request = match identify(&path) {
            Ok(request) => request,
            Err(refusal) => {
                if folders.metadata.exists() {
                    standings.notes.push(format!("{}: {}", folder.display(), refusal.message));
                }
                continue;
            }
        };
        standings.requests.push(match folders.read_status() {
            _ if !folders.has_status() => Standing::unknown(
                request,
                "its run has not ended: it goes on, or was interrupted; run it again".to_owned(),
            ),
            Ok(status) if status.conditions.is_empty() => {
                Standing::unknown(request, "its status says nothing: run it again".to_owned())
            }
            Ok(status) if is_interrupted(&status) => Standing::unknown(
                request,
                "its run was interrupted before it delivered anything, or goes on: run it again".to_owned(),
            ),
            Ok(status) if status.goldpath.manifests > 0 && !folders.output.exists() => Standing::unknown(
                request,
                format!("its manifests are gone from {}: run it again", folders.output.display()),
            ),
            Ok(status) => Standing::of_status(request, status),
            Err(error) => Standing::unknown(request, format!("{error:#}; run it again, which writes it anew")),
        });
    }
    standings.requests.sort_by(|a, b| a.request.cmp(&b.request));
    Ok(standings)
}

/// The folder of every request in a workspace, and the path of its identity; none where there is no workspace.
///
/// # Errors
/// A folder that cannot be read.
pub fn folders_of_requests(requests: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut folders = vec![(requests.to_owned(), String::new())];
    for _ in 0..3 {
        let mut below = Vec::new();
        for (folder, name) in folders {
            let reading = || format!("cannot read {}", folder.display());
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                // A file that somebody has put there is no request.
                Err(error) if error.kind() == ErrorKind::NotADirectory && !name.is_empty() => continue,
                Err(error) => return Err(error).with_context(reading),
            };
            for entry in entries {
                let path = entry.with_context(reading)?.path();
                let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                below.push((path, if name.is_empty() { own } else { format!("{name}/{own}") }));
            }
        }
        folders = below;
    }
    folders.retain(|(folder, _)| folder.is_dir());
    folders.sort();
    Ok(folders)
}

/// Reads what the repositories of a configuration hold, and what became of it.
///
/// # Errors
/// A thread that cannot be started. What a repository holds that is not there or cannot be read is not known.
pub fn of_repositories(config: &Config) -> Result<Standings> {
    let (mut all, mut notes) = (BTreeMap::new(), Vec::new());
    for (role, remote) in &config.repositories {
        match hold(*role, remote, &config.patience) {
            Ok(mut holdings) => {
                notes.extend(holdings.notes.drain(..).map(|note| format!("{}: {note}", role.as_str())));
                all.insert(*role, holdings);
            }
            Err(error) => notes.push(format!("cannot read what {} holds: {error:#}", role.as_str())),
        }
    }
    let held: BTreeSet<_> = all.values().flat_map(|holdings| holdings.requests.keys().cloned()).collect();
    let held: Vec<_> = held.into_iter().collect();
    let requests = at_once(8, &held, |request| anyhow::Ok(Standing::of_holdings(config, request, &all)))?;
    Ok(Standings { requests, notes })
}

impl Standing {
    /// Of a request of which it cannot be said how far it is.
    fn unknown(request: Identity, message: String) -> Self {
        Self {
            request,
            phase: UNKNOWN,
            message,
            deletion: false,
            since: None,
            pull_request: None,
            plan: None,
            violations: Vec::new(),
            warnings: Vec::new(),
            drift: Vec::new(),
        }
    }

    /// Of a request that is so far.
    #[cfg(test)]
    pub(crate) fn at(request: Identity, phase: &'static str) -> Self {
        Self { phase, ..Self::unknown(request, String::new()) }
    }

    fn of_status(request: Identity, status: Status) -> Self {
        let (phase, message) = phase_of(&status);
        let mut message = message.unwrap_or(&status.message).to_owned();
        // The status says it to who has a cluster.
        if let ("wrong" | "refused", [first, others @ ..]) = (phase, status.goldpath.violations.as_slice())
            && first.rule != FOREIGN_INDEX
        {
            let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
            message = format!("{}{more}; edit it and run it again", sentence(&first.path, &first.message));
        }
        if status.goldpath.deletion {
            message = format!("it is being deleted: {message}");
        }
        let since = status.conditions.iter().map(|condition| condition.last_transition_time).max();
        let progress = status.goldpath;
        let mut pulls = progress.repositories.into_values().filter_map(|delivered| delivered.pull_request);
        Self {
            phase,
            since,
            deletion: progress.deletion,
            pull_request: pulls.next_back(),
            plan: progress.plan,
            violations: progress.violations,
            warnings: progress.warnings,
            drift: progress.drift,
            ..Self::unknown(request, message)
        }
    }

    fn of_holdings(config: &Config, request: &Identity, all: &BTreeMap<Role, Holdings>) -> Self {
        let mut standing = Self::unknown(request.clone(), String::new());
        if find(request.kind.as_str()).is_err() {
            standing.message = format!("this Goldpath has no Promise for {}: ask one that has", request.kind);
            return standing;
        }
        let (mut found, mut missing, mut edited) = (Vec::new(), Vec::new(), None);
        for (role, holdings) in all.iter().filter(|(role, _)| roles_of(request).contains(role)) {
            match look(config, *role, request, holdings) {
                Ok(Some((held, progress))) => {
                    edited = edited.or(held.delivered.pull_request.as_ref().and_then(|p| explain_edited(*role, p)));
                    standing.deletion |= held.action == Action::Delete;
                    standing.pull_request = held.delivered.pull_request.or(standing.pull_request);
                    standing.drift.extend(held.gone.iter().map(|path| format!("{}: {path}", role.as_str())));
                    found.push(progress);
                }
                Ok(None) => missing.push(role.as_str()),
                Err(error) => {
                    standing.message = format!("cannot tell what {} holds of it: {error:#}", role.as_str());
                    return standing;
                }
            }
        }
        let Some(progress) = deciding(&mut found) else { return standing };
        (standing.phase, standing.since) = (progress.phase.as_str(), progress.since);
        standing.message.clone_from(&progress.message);
        standing.plan = progress.plan.take();
        if let Some(gone) = standing.drift.first() {
            standing.message += &format!("; `{gone}` is gone from there: run it again");
        }
        standing.drift.extend(found.iter_mut().filter_map(|progress| progress.drift.take()));
        match missing.first() {
            _ if standing.deletion => standing.message = format!("it is being deleted: {}", standing.message),
            Some(missing) => {
                standing.phase = "delivering";
                standing.message = format!("it is not in {missing}: its next run delivers it there");
            }
            None => {}
        }
        if let Some(why) = edited {
            (standing.phase, standing.message) = (Phase::Failed.as_str(), why);
        }
        if let Some(unseen) = roles_of(request).iter().find(|role| !all.contains_key(role)) {
            let name = unseen.as_str();
            standing.phase = UNKNOWN;
            standing.message += &format!("; what {name} holds is not known");
            if !config.repositories.contains_key(unseen) {
                standing.message += ": name it in the configuration, or the workspace that has it";
            }
        }
        standing
    }
}

/// What a repository holds of a request, and how far that is; nothing where it holds nothing.
fn look(config: &Config, role: Role, request: &Identity, holdings: &Holdings) -> Result<Option<(Held, Progress)>> {
    let remote = config.repositories.get(&role).context("it was read from the configuration")?;
    let held = match (holdings.requests.get(request), &holdings.survey) {
        (Some(Err(damage)), _) => bail!("{damage}"),
        (Some(Ok(held)), _) => Some(held.clone()),
        (None, Some(survey)) => survey.declined(request)?,
        (None, None) => None,
    };
    let Some(mut held) = held else { return Ok(None) };
    let progress = judge(config, role, remote, holdings.survey.as_ref(), request, &mut held)?;
    Ok(Some((held, progress)))
}

/// Whether the last that its run said is that it was rendered: it says more when it ends.
fn is_interrupted(status: &Status) -> bool {
    let is_last = |condition: &Condition| condition.r#type == "Rendered" && condition.message == status.message;
    status.conditions.iter().any(|condition| condition.status == "True" && is_last(condition))
}

/// How far a request is by its status, in a word, and what to say of that where it is not the status's own message.
fn phase_of(status: &Status) -> (&'static str, Option<&str>) {
    let find = |name: &str| status.conditions.iter().find(|condition| condition.r#type == name);
    let stop = |name: &str| find(name).filter(|condition| condition.status == "False");
    let stops = [stop("Delivered"), stop("Rendered")];
    // One of the two may be of an earlier run: the message is that of the last.
    let is_last = |condition: &&Condition| status.message.contains(&condition.message);
    let stop = stops.into_iter().flatten().find(is_last).or(stops[0]).or(stops[1]);
    match stop.map(|condition| (condition.r#type.as_str(), condition.reason.as_str(), condition)) {
        Some(("Rendered", "RequestWrong", _)) => ("wrong", None),
        Some((_, "RequestWrong", _)) => ("refused", None),
        Some((_, "Declined", _)) => (Phase::Closed.as_str(), None),
        Some((_, "Delivering", _)) => ("delivering", None),
        // The status says that it is tried again, which nobody does here.
        Some((.., condition)) => (Phase::Failed.as_str(), Some(&condition.message)),
        None => match status.goldpath.phase {
            Some(phase) => (phase.as_str(), None),
            None => (Phase::Delivered.as_str(), None),
        },
    }
}
