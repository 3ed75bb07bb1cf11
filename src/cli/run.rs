//! `goldpath run`: what Kratix would do with requests, in a folder of this machine.
//!
//! Each request gets the folders that Kratix would mount, and the steps run on them; the
//! repositories are bare ones in the same folder, unless the configuration names others.
#![expect(clippy::print_stderr, reason = "this is where people are told")]

use super::validate::{Fault, unreadable};
use super::{ConfigArgs, Files, Output, diagnostics, is_colored, print, requests};
use crate::commit::{self, Committed, Task};
use crate::config::{Config, Remote};
use crate::document::{Node, to_json};
use crate::kratix::{Action, Folders, Phase, Status};
use crate::promise::{Role, Unrendered};
use crate::render::{self, Rendered, count};
use crate::repository::{Extent, Outcome, create_repository, short};
use crate::request::{Identity, Request};
use crate::track::{self, Tracked};
use crate::violation::{Violation, is_deceptive, told};
use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to leave everything
    #[arg(long, default_value = ".goldpath", value_name = "FOLDER")]
    workspace: PathBuf,
    /// Take away what the requests brought about
    #[arg(long)]
    delete: bool,
    /// Show what changes in each file
    #[arg(long)]
    diff: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// What became of one document.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    /// It is a request, and the steps ran.
    Ran(Report),
    /// It is none, or a wrong one: for programs; people have been told.
    Wrong { outcome: &'static str, faults: Vec<Fault> },
}

impl Entry {
    fn wrong(file: &str, violations: &[Violation]) -> Self {
        Self::Wrong { outcome: "wrong", faults: told(violations).into_iter().map(|v| Fault::new(file, v)).collect() }
    }
}

/// What became of one request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    request: Identity,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How far it has come in Gitea, and what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    manifests: Vec<String>,
    output_folder: PathBuf,
    repositories: BTreeMap<Role, Outcome>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut config = arguments.config.load()?;
    let sources = requests::read(&arguments.files)?;
    for role in Role::ALL {
        if let btree_map::Entry::Vacant(entry) = config.repositories.entry(role) {
            let path = arguments.workspace.join(format!("{}.git", role.as_str()));
            create_repository(&path, "main")?;
            entry.insert(Remote::at(&path));
        }
    }
    let now = commit::now()?;
    let action = if arguments.delete { Action::Delete } else { Action::Configure };
    let task = Task { action, extent: Extent::Whole, with_diff: arguments.diff };
    let color = is_colored(&std::io::stderr());
    let mut entries = Vec::new();
    let mut failed = false;
    for source in &sources {
        let documents = match &source.documents {
            Ok(documents) => documents,
            Err(fault) => {
                eprint!("{}", diagnostics::render_unreadable(&source.name, &source.text, fault, color));
                entries.push(Entry::wrong(&source.name, &[unreadable(fault)]));
                failed = true;
                continue;
            }
        };
        for document in documents {
            match run_one(document, &arguments.workspace, &config, task, now)? {
                Ok(report) => {
                    failed |= report.reason.is_some();
                    if arguments.output == Output::Text {
                        print(&show(&report, arguments.diff))?;
                    }
                    entries.push(Entry::Ran(report));
                }
                Err(violations) => {
                    let text = String::from_utf8_lossy(&source.text);
                    eprint!("{}", diagnostics::render_violations(&source.name, &text, &violations, color));
                    entries.push(Entry::wrong(&source.name, &violations));
                    failed = true;
                }
            }
        }
    }
    if arguments.output == Output::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&entries)?))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the steps on one request, or gives its faults, with their places in its file.
fn run_one(
    document: &Node,
    workspace: &Path,
    config: &Config,
    task: Task,
    now: Timestamp,
) -> Result<Result<Report, Vec<Violation>>> {
    // A deletion asks for no more than who it is.
    let identity = match Request::read(document) {
        Ok(request) => request.identity,
        Err(faults) => return Ok(Err(faults_of(document, config).unwrap_or(faults))),
    };
    let folder = workspace.join("requests").join(identity.path());
    let folders = Folders::below(&folder);
    // As Kratix does: what the last run said is a part of the object.
    let status = if folders.has_status() { Some(folders.read_status()?) } else { None };
    folders.write_object(as_object(document, status.as_ref())?.as_bytes())?;
    let mut report = Report {
        request: identity,
        outcome: "unchanged",
        reason: None,
        phase: None,
        message: None,
        manifests: Vec::new(),
        output_folder: folders.output.clone(),
        repositories: BTreeMap::new(),
    };
    if task.action == Action::Configure {
        match render::run(&folders, Ok(config), now)? {
            Rendered::Done(outputs) => report.manifests = outputs.manifests.paths().map(ToString::to_string).collect(),
            Rendered::Later(why) => anyhow::bail!("{why}"),
            Rendered::Wrong(_) => {
                // The step read its own copy; the faults that people see are those of their file.
                return match faults_of(document, config) {
                    Some(violations) => Ok(Err(violations)),
                    None => anyhow::bail!("{} is wrong only as a copy: our bug", report.request),
                };
            }
        }
    }
    match commit::run(&folders, Ok(config), task, now)? {
        Committed::Done(outcomes) => {
            if outcomes.values().any(|outcome| !outcome.changes.is_empty()) {
                let proposed = outcomes.values().any(|outcome| outcome.pull_request.is_some());
                report.outcome = match task.action {
                    _ if proposed => "proposed",
                    Action::Delete => "deleted",
                    Action::Configure => "committed",
                };
            }
            report.repositories = outcomes;
            let mut ended = true;
            let followed = config.repositories.values().any(|remote| matches!(remote, Remote::Gitea(_)));
            let tracked = followed.then(|| track::run(&folders, Ok(config), task.action, now)).transpose()?;
            if let Some(Tracked::Seen(phase, message, end)) = tracked {
                (report.phase, report.message, ended) = (Some(phase), Some(message), end);
            }
            if task.action == Action::Delete && ended {
                std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        Committed::Refused(why) => (report.outcome, report.reason) = ("refused", Some(why)),
        Committed::Later(why) => (report.outcome, report.reason) = ("failed", Some(why)),
        Committed::Stopped => (report.outcome, report.reason) = ("failed", Some("the step was stopped".to_owned())),
    }
    Ok(Ok(report))
}

/// Every fault of a request.
fn faults_of(document: &Node, config: &Config) -> Option<Vec<Violation>> {
    match crate::generate(document, config) {
        Err(Unrendered::Wrong(violations)) => Some(violations),
        _ => None,
    }
}

/// A document as Kratix would write it: JSON, which is YAML, so that no text changes its type on
/// the way; what YAML does not take as it is (controls, line separators) is escaped.
fn as_object(document: &Node, status: Option<&Status>) -> Result<String> {
    let mut object = to_json(document);
    if let (Some(status), Some(object)) = (status, object.as_object_mut()) {
        object.insert("status".to_owned(), serde_json::to_value(status)?);
    }
    let json = serde_json::to_string_pretty(&object)?;
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_deceptive(c) {
            write!(text, "\\u{:04x}", u32::from(c))?;
        } else {
            text.push(c);
        }
    }
    Ok(text)
}

/// A report for people.
fn show(report: &Report, with_diff: bool) -> String {
    let bold = |text: &str| match is_colored(&std::io::stdout()) {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let mut lines = vec![format!("{}: {}", bold(&report.request.to_string()), report.outcome)];
    lines.extend(report.reason.iter().map(|reason| format!("  {}", super::one_line(reason))));
    if !report.manifests.is_empty() && report.reason.is_none() {
        lines.push(format!(
            "  {:<15} {} in {}",
            "manifests",
            count(report.manifests.len(), "file"),
            report.output_folder.display()
        ));
    }
    for (role, outcome) in &report.repositories {
        let what = match &outcome.commit {
            Some(commit) if outcome.pull_request.is_none() && !outcome.changes.is_empty() => {
                format!("{} in commit {}", count(outcome.changes.len(), "change"), short(commit))
            }
            _ => outcome.summary(false),
        };
        lines.push(format!("  {:<15} {what}", role.as_str()));
        lines.extend(outcome.changes.iter().map(|change| format!("    {change}")));
    }
    if let (Some(phase), Some(message)) = (report.phase, &report.message) {
        lines.push(format!("  {:<15} {}", phase.as_str(), super::one_line(message)));
    }
    let mut text = lines.join("\n") + "\n";
    if with_diff {
        text.extend(report.repositories.values().map(|outcome| outcome.diff.as_str()));
    }
    text
}
