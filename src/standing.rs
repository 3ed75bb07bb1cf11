//! How requests stand: as the statuses of a workspace say it, or as repositories show it to who has nothing else.

use crate::config::Config;
use crate::http::at_once;
use crate::kratix::Folders;
use crate::outcome::Action;
use crate::outcome::PullRequest;
use crate::outputs::Role;
use crate::promise::identify;
use crate::repository::{Held, Holdings, hold};
use crate::request::Identity;
use crate::status::{Condition, Fault, Report, Status};
use crate::track::{Progress, deciding, judge};
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How one request stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Which one.
    pub request: Identity,
    /// How far it is: a [`crate::status::Phase`], or `wrong`, `refused`, `waiting`, `delivering`, `rendered`, `unknown`.
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

/// Every request that was found, by identity, and what could not be read, in a sentence each.
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
        let Ok(request) = identify(&path) else { continue };
        let folders = Folders::below(&folder);
        if !folders.has_status() {
            continue;
        }
        match folders.read_status() {
            Ok(status) => standings.requests.push(Standing::of_status(request, status)),
            Err(error) => standings.notes.push(format!("{error:#}")),
        }
    }
    standings.requests.sort_by(|a, b| a.request.cmp(&b.request));
    Ok(standings)
}

/// The folder of every request in a workspace, and the path of its identity.
///
/// # Errors
/// A folder that cannot be read.
pub fn folders_of_requests(requests: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut folders = vec![(requests.to_owned(), String::new())];
    for _ in 0..3 {
        let mut below = Vec::new();
        for (folder, name) in folders {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
                let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                below.push((path, if name.is_empty() { own } else { format!("{name}/{own}") }));
            }
        }
        folders = below;
    }
    folders.sort();
    Ok(folders)
}

/// Reads what the repositories of a configuration hold, and what became of it.
///
/// # Errors
/// A repository that is not there or cannot be read.
pub fn of_repositories(config: &Config) -> Result<Standings> {
    let mut all = BTreeMap::new();
    for (role, remote) in &config.repositories {
        let holdings = hold(*role, remote, &config.patience)
            .with_context(|| format!("cannot read what {} holds", role.as_str()))?;
        all.insert(*role, holdings);
    }
    let notes = all.values_mut().flat_map(|holdings| std::mem::take(&mut holdings.notes)).collect();
    let held: BTreeSet<_> = all.values().flat_map(|holdings| holdings.requests.keys().cloned()).collect();
    let mut requests = Vec::new();
    for eight in held.into_iter().collect::<Vec<_>>().chunks(8) {
        requests.extend(at_once(eight, |request| Standing::of_holdings(config, request, &all)));
    }
    Ok(Standings { requests, notes })
}

impl Standing {
    fn of_status(request: Identity, status: Status) -> Self {
        let (phase, message) = (phase_of(&status), status.message);
        let progress = status.goldpath;
        let mut pulls = progress.repositories.into_values().filter_map(|delivered| delivered.pull_request);
        Self {
            request,
            phase,
            message,
            deletion: false,
            since: status.conditions.iter().map(|condition| condition.last_transition_time).max(),
            pull_request: pulls.next_back(),
            plan: progress.plan,
            violations: progress.violations,
            warnings: progress.warnings,
            drift: progress.drift,
        }
    }

    fn of_holdings(config: &Config, request: &Identity, all: &BTreeMap<Role, Holdings>) -> Self {
        let (mut found, mut missing, mut pull_request, mut deletion) = (Vec::new(), Vec::new(), None, false);
        let mut standing = Self {
            request: request.clone(),
            phase: "unknown",
            message: String::new(),
            deletion: false,
            since: None,
            pull_request: None,
            plan: None,
            violations: Vec::new(),
            warnings: Vec::new(),
            drift: Vec::new(),
        };
        for (role, holdings) in all {
            match look(config, *role, request, holdings) {
                Ok(Some((held, progress))) => {
                    deletion |= held.action == Action::Delete;
                    pull_request = held.delivered.pull_request.or(pull_request);
                    found.push(progress);
                }
                Ok(None) => missing.push(role.as_str()),
                Err(error) => {
                    standing.message = format!("cannot follow what happens in {}: {error:#}", role.as_str());
                    return standing;
                }
            }
        }
        let Some(progress) = deciding(&mut found) else { return standing };
        (standing.phase, standing.since) = (progress.phase.as_str(), progress.since);
        standing.message = match deletion {
            true => format!("it is being deleted: {}", progress.message),
            false => progress.message.clone(),
        };
        standing.plan = progress.plan.take();
        standing.drift.extend(found.iter_mut().filter_map(|progress| progress.drift.take()));
        if !deletion && let [missing, ..] = missing.as_slice() {
            standing.phase = "delivering";
            standing.message = format!("it is not in {missing}: its next run delivers it there");
        }
        Self { deletion, pull_request, ..standing }
    }
}

/// What a repository holds of a request, and how far that is; nothing where it holds nothing.
fn look(config: &Config, role: Role, request: &Identity, holdings: &Holdings) -> Result<Option<(Held, Progress)>> {
    let remote = config.repositories.get(&role).context("it was read from the configuration")?;
    let held = match (holdings.requests.get(request), &holdings.survey) {
        (Some(held), _) => Some(held.clone()),
        (None, Some(survey)) => survey.declined(request)?,
        (None, None) => None,
    };
    let Some(mut held) = held else { return Ok(None) };
    let progress = judge(config, role, remote, holdings.survey.as_ref(), request, &mut held)?;
    Ok(Some((held, progress)))
}

/// How far a request is by its status, in a word.
fn phase_of(status: &Status) -> &'static str {
    let find = |name: &str| status.conditions.iter().find(|condition| condition.r#type == name);
    let is_false = |condition: &&Condition| condition.status == "False";
    match (find("Rendered").filter(is_false), find("Delivered").filter(is_false)) {
        (Some(rendered), _) if rendered.reason == "RequestWrong" => "wrong",
        (_, Some(delivered)) if delivered.reason == "RequestWrong" => "refused",
        (_, Some(delivered)) if delivered.reason == "Declined" => "closed",
        (_, Some(delivered)) if delivered.reason == "Delivering" => "delivering",
        (Some(_), _) | (_, Some(_)) => "waiting",
        (None, None) => match status.goldpath.phase {
            Some(phase) => phase.as_str(),
            None if find("Delivered").is_some() => "delivered",
            None => "rendered",
        },
    }
}
