//! `goldpath run`, and `goldpath diff`, which is the same and writes nothing.
//!
//! Each request gets the folders that Kratix would mount, and the steps run on them; the repositories are bare ones in the
//! same folder, the workspace, unless the configuration names others.

use super::requests::{self, Source, Sources};
use super::validate::{Fault, unreadable};
use super::{ConfigArgs, FAILED, Files, Output, WRONG, diagnostics, is_colored, print, prune, tell};
use crate::commit::{self, Committed, Task};
use crate::config::{Config, Remote};
use crate::diff::{self, FileDiff};
use crate::document::{Node, to_json};
use crate::file_tree::{FileTree, write_file};
use crate::kratix::{Action, Condition, Folders, Phase, Status};
use crate::promise::{Outputs, Role, Unrendered};
use crate::render::{self, Rendered, count};
use crate::repository::{Batch, Change, ChangeKind, Delivery, Extent, Outcome, Undelivered, create_repository, short};
use crate::request::{Identity, Request};
use crate::set::{self, Verdict};
use crate::track::{self, Tracked};
use crate::violation::{Violation, is_deceptive, told};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, btree_map};
use std::fmt::Write;
use std::fs::{self, File, TryLockError};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// As many requests as one commit brings.
const TOGETHER: usize = 1000;
/// After how long a person wants to see that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    place: PlaceArgs,
    /// Delete the requests, and all that they brought about
    #[arg(long)]
    delete: bool,
    /// Delete what earlier runs delivered from these files and folders and what is in them no more
    #[arg(long, conflicts_with = "delete")]
    prune: bool,
    /// Do not ask before anything is pruned
    #[arg(long, requires = "prune")]
    yes: bool,
    /// Show what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Show what changes in each file
    #[arg(long)]
    diff: bool,
    /// Print nothing but faults
    #[arg(short, long)]
    quiet: bool,
    /// Show unchanged requests in full too
    #[arg(short, long)]
    verbose: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Args)]
pub(super) struct DiffArguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    place: PlaceArgs,
    /// Compare with the requests deleted
    #[arg(long)]
    delete: bool,
    /// Compare with what `run --prune` would delete too
    #[arg(long, conflicts_with = "delete")]
    prune: bool,
    /// Show only how many lines change in each file
    #[arg(long)]
    stat: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// What requests are delivered to.
#[derive(Args)]
pub(super) struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The local folder for everything that the configuration names no repository for
    #[arg(long, default_value = ".goldpath", value_name = "FOLDER")]
    workspace: PathBuf,
}

/// What became of one document.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    /// It is a request, and the steps ran.
    Ran(Box<Report>),
    /// Something of this machine failed.
    Failed { outcome: &'static str, file: String, reason: String },
    /// It is none, or a wrong one: for programs; people have been told.
    Wrong { outcome: &'static str, faults: Vec<Fault> },
}

/// What became of one request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    request: Identity,
    outcome: &'static str,
    /// Why it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How far it has come in Gitea, and what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    manifests: Manifests,
    output_folder: PathBuf,
    repositories: BTreeMap<Role, Outcome>,
    /// What is wrong with the request, so that it was refused.
    #[serde(skip)]
    refusal: Option<Violation>,
}

/// What became of the manifests of a request.
#[derive(Default, Serialize)]
struct Manifests {
    files: usize,
    changes: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diff: Vec<FileDiff>,
}

/// What there is to do, and where.
struct Job<'a> {
    workspace: &'a Path,
    config: &'a Config,
    task: Task,
    now: Timestamp,
    /// Where all repositories are on this machine: what is delivered to them together.
    batch: Option<Batch>,
}

/// How the reports are shown.
struct Shown {
    quiet: bool,
    verbose: bool,
    /// Only the differences, as a diff or as their numbers.
    only_diff: bool,
    stat: bool,
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { files, place, delete, prune, yes, dry_run, diff, quiet, verbose, output } = arguments;
    let extent = if *dry_run { Extent::DryRun } else { Extent::Whole };
    let shown = Shown { quiet: *quiet, verbose: *verbose, only_diff: false, stat: false, output: *output };
    let pruning = match (prune, yes) {
        (false, _) => Pruning::No,
        (true, false) => Pruning::Asked,
        (true, true) => Pruning::Agreed,
    };
    let action = if *delete { Action::Delete } else { Action::Configure };
    let ended = run_all(files, place, Task { action, extent, with_diff: *diff || *dry_run }, pruning, &shown)?;
    Ok(ended.exit_code())
}

pub(super) fn diff(arguments: &DiffArguments) -> Result<ExitCode> {
    let DiffArguments { files, place, delete, prune, stat, output } = arguments;
    let shown = Shown { quiet: false, verbose: false, only_diff: true, stat: *stat, output: *output };
    let action = if *delete { Action::Delete } else { Action::Configure };
    let pruning = if *prune { Pruning::Agreed } else { Pruning::No };
    let ended = run_all(files, place, Task { action, extent: Extent::DryRun, with_diff: true }, pruning, &shown)?;
    Ok(match ended {
        Ended { wrong: false, failed: false, changed: true } => ExitCode::from(1),
        Ended { wrong: false, failed: false, changed: false } => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    })
}

/// Whether what is in the files no more is deleted.
#[derive(Clone, Copy)]
enum Pruning {
    No,
    /// If somebody agrees.
    Asked,
    Agreed,
}

/// How all of it ended.
#[derive(Default)]
struct Ended {
    wrong: bool,
    failed: bool,
    changed: bool,
}

impl Ended {
    fn exit_code(&self) -> ExitCode {
        match (self.failed, self.wrong) {
            (true, _) => ExitCode::from(FAILED),
            (false, true) => ExitCode::from(WRONG),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}

fn run_all(files: &Files, place: &PlaceArgs, task: Task, pruning: Pruning, shown: &Shown) -> Result<Ended> {
    let mut config = place.config.load()?;
    let Sources { sources, mut notes } = requests::read(files)?;
    let Task { action, extent, .. } = task;
    // A dry run neither makes a workspace nor waits for one.
    let dry_workspace = if extent == Extent::DryRun { Some(TempDir::new()?) } else { None };
    let _lock = if dry_workspace.is_none() { Some(open_workspace(&place.workspace)?) } else { None };
    for role in Role::ALL {
        if let btree_map::Entry::Vacant(entry) = config.repositories.entry(role) {
            let name = format!("{}.git", role.as_str());
            let mut path = place.workspace.join(&name);
            if let Some(dry) = dry_workspace.as_ref().filter(|_| !path.join("HEAD").exists()) {
                path = dry.path().join(&name);
            }
            create_repository(&path, "main")?;
            entry.insert(Remote::at(&path));
        }
    }
    let batch = Batch::open(&config, extent)?;
    let mut job = Job { workspace: &place.workspace, config: &config, task, now: commit::now()?, batch };
    let verdicts = check(&sources, &config, action);
    let mut progress = Progress::new(verdicts.len(), shown);
    let mut told =
        Told { ended: Ended::default(), index: false, entries: Vec::new(), color: is_colored(&std::io::stderr()) };
    if action == Action::Configure {
        let strays = prune::find(&place.workspace, files, &sources)?;
        let names: Vec<_> = strays.iter().map(|(identity, _)| identity.to_string()).collect();
        match pruning {
            _ if names.is_empty() => {}
            Pruning::No => notes.push(format!(
                "{} came from these files and {} in them no more: `--prune` deletes {}",
                prune::shown(&names),
                if names.len() == 1 { "is" } else { "are" },
                if names.len() == 1 { "it" } else { "them" },
            )),
            Pruning::Asked if extent == Extent::Whole && !prune::confirm(&names)? => {
                notes.push(format!("{} stays", prune::shown(&names)));
            }
            // Before the others: one of them may be the same under another name.
            Pruning::Asked | Pruning::Agreed => {
                let strays: Vec<_> = strays.into_iter().map(|(_, source)| source).collect();
                job.task.action = Action::Delete;
                let verdicts = check(&strays, &config, Action::Delete);
                job.run(&strays, verdicts, &mut told, &mut progress)?;
                job.task.action = Action::Configure;
            }
        }
    }
    job.run(&sources, verdicts, &mut told, &mut progress)?;
    let Told { ended, index, entries, .. } = told;
    progress.end();
    if index && !progress.changes_entities() {
        let verb = if extent == Extent::DryRun { "would be" } else { "is" };
        notes.push(format!(
            "`{}` in catalog {verb} brought up to date: it lists what holds entities now",
            config.catalog_index
        ));
    }
    if shown.output == Output::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&entries)?))?;
    }
    notes.iter().for_each(|note| tell(&format!("note: {note}\n")));
    let summary = format!("{}\n", progress.summary());
    match (shown.quiet, shown.output, shown.only_diff) {
        (true, ..) => {}
        (false, Output::Text, false) => print(&summary)?,
        // What others read is no place for it.
        _ => tell(&summary),
    }
    Ok(ended)
}

/// What was told so far.
struct Told {
    ended: Ended,
    /// Whether the catalog's index changes.
    index: bool,
    entries: Vec<Entry>,
    color: bool,
}

impl Told {
    /// Tells what became of one document.
    fn tell(
        &mut self,
        source: &Source,
        document: Option<&Node>,
        warnings: &[Violation],
        result: Result<Result<Report, Vec<Violation>>>,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let text = String::from_utf8_lossy(&source.text);
        progress.tell(&diagnostics::render_warnings(&source.name, &text, warnings, self.color));
        match result {
            Ok(Err(_)) if let Err(fault) = &source.documents => {
                progress.tell(&diagnostics::render_unreadable(&source.name, &source.text, fault, self.color));
                progress.count("wrong");
                self.entries.push(wrong(&source.name, &[unreadable(fault)]));
                self.ended.wrong = true;
            }
            Ok(Ok(report)) => {
                if let Some(mut refusal) = report.refusal.clone() {
                    refusal.span = document.and_then(|document| place_of(document, &refusal.path));
                    progress.tell(&diagnostics::render_violations(&source.name, &text, &[refusal], self.color));
                }
                if let Some(reason) = report.reason.as_ref().filter(|_| report.outcome == "failed") {
                    progress.tell(&format!("error: {}: {}\n", report.request, super::one_line(reason)));
                }
                self.ended.wrong |= report.outcome == "refused";
                self.ended.failed |= report.outcome == "failed";
                self.ended.changed |= report.is_changed();
                progress.print(&report)?;
                self.entries.push(Entry::Ran(Box::new(report)));
            }
            Ok(Err(faults)) => {
                progress.tell(&diagnostics::render_violations(&source.name, &text, &faults, self.color));
                progress.count("wrong");
                self.entries.push(wrong(&source.name, &faults));
                self.ended.wrong = true;
            }
            // The others have nothing to do with it.
            Err(error) => {
                let reason = format!("{error:#}");
                let place =
                    document.map_or_else(String::new, |document| format!("{}:{}: ", source.name, document.span.line));
                progress.tell(&format!("error: {}\n", super::one_line(&format!("{place}{reason}"))));
                progress.count("failed");
                self.entries.push(Entry::Failed { outcome: "failed", file: source.name.clone(), reason });
                self.ended.failed = true;
            }
        }
        Ok(())
    }
}

/// Every fault of requests that are to be there; a deletion asks for no more than who a request is.
fn check(sources: &[Source], config: &Config, action: Action) -> Vec<Verdict> {
    let items: Vec<_> = sources.iter().flat_map(Source::items).collect();
    match action {
        Action::Configure => set::check(&items, config),
        Action::Delete => items.iter().map(|_| Verdict::default()).collect(),
    }
}

fn wrong(file: &str, violations: &[Violation]) -> Entry {
    Entry::Wrong { outcome: "wrong", faults: told(violations).into_iter().map(|v| Fault::new(file, v)).collect() }
}

/// Where a field of a request stands, or what is there of it.
fn place_of(document: &Node, path: &str) -> Option<crate::document::Span> {
    let mut node = document;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        node = node.get(name)?;
    }
    Some(node.span)
}

/// Makes the workspace, which no git repository that it may be in takes in, and waits until no other run uses it.
fn open_workspace(folder: &Path) -> Result<File> {
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        write_file(&ignore, b"*\n")?;
    }
    let path = folder.join("lock");
    let locking = || format!("cannot lock the workspace {}", folder.display());
    let lock = File::options().create(true).append(true).open(&path).with_context(locking)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            tell(&format!("waiting for another run in {}\n", super::one_line(&folder.display().to_string())));
            lock.lock().with_context(locking)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(locking),
    }
    Ok(lock)
}

/// A request whose steps have begun.
struct Begun {
    report: Report,
    folders: Folders,
    /// Its manifests before.
    before: FileTree,
    delivery: Delivery,
    /// What it changes, where it is delivered with others.
    staged: Option<Result<BTreeMap<Role, Outcome>, Undelivered>>,
    is_done: bool,
}

impl Job<'_> {
    /// Runs the steps on every document, a thousand at a time together.
    fn run(
        &mut self,
        sources: &[Source],
        verdicts: Vec<Verdict>,
        told: &mut Told,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let documents: Vec<(&Source, Option<&Node>)> = sources
            .iter()
            .flat_map(|source| match &source.documents {
                Ok(documents) => documents.iter().map(|document| (source, Some(document))).collect(),
                Err(_) => vec![(source, None)],
            })
            .collect();
        let mut verdicts = verdicts.into_iter();
        for together in documents.chunks(TOGETHER) {
            let mut waiting = Vec::new();
            for (source, document) in together {
                let Some(document) = document else {
                    waiting.push((*source, None, Vec::new(), Ok(Err(Vec::new()))));
                    continue;
                };
                // What is wrong by itself the steps find too, and say so in its status.
                let Verdict { faults: _, conflicts, warnings } = verdicts.next().unwrap_or_default();
                let begun = if conflicts.is_empty() { self.begin(document) } else { Ok(Err(conflicts)) };
                waiting.push((*source, Some(*document), warnings, begun));
            }
            let index = self.index_diff()?;
            told.ended.changed |= !index.is_empty();
            told.index |= !index.is_empty();
            let committed = self.commit(waiting.iter().find_map(|(.., begun)| begun.as_ref().ok()?.as_ref().ok()));
            for (source, document, warnings, begun) in waiting {
                let result = match begun {
                    Ok(Ok(begun)) => self.end(begun, &committed, &source.name).map(Ok),
                    Ok(Err(faults)) => Ok(Err(faults)),
                    Err(error) => Err(error),
                };
                told.tell(source, document, &warnings, result, progress)?;
            }
            if self.task.with_diff {
                progress.print_text(&show_diff(&index, progress.shown))?;
            }
        }
        Ok(())
    }

    /// Begins the steps on one request, or gives its faults, with their places in its file.
    fn begin(&mut self, document: &Node) -> Result<Result<Begun, Vec<Violation>>> {
        // A deletion asks for no more than who it is.
        let request = match Request::read(document) {
            Ok(request) => request,
            Err(faults) => return Ok(Err(faults_of(document, self.config).unwrap_or(faults))),
        };
        let folders = Folders::below(&self.workspace.join("requests").join(request.identity.path()));
        let report = Report {
            request: request.identity.clone(),
            outcome: "unchanged",
            reason: None,
            phase: None,
            message: None,
            manifests: Manifests::default(),
            output_folder: folders.output.clone(),
            repositories: BTreeMap::new(),
            refusal: None,
        };
        ensure!(!folders.output.is_symlink(), "{} is a link, and no folder of ours", folders.output.display());
        // One that is damaged is written anew.
        let status = if folders.has_status() { folders.read_status().ok() } else { None };
        if status.is_none() && self.task.extent == Extent::Whole {
            folders.clear_verdict()?;
        }
        let is_dry = self.task.extent == Extent::DryRun;
        let mut outputs = match (self.task.action, crate::generate(document, self.config)) {
            (Action::Delete, _) => Outputs::nothing(),
            (_, Ok((_, outputs))) => outputs,
            (_, Err(Unrendered::Broken(error))) => return Err(error.into()),
            (_, Err(Unrendered::Wrong(faults))) => {
                if !is_dry {
                    folders.write_object(as_object(document, status.as_ref())?.as_bytes())?;
                    render::run(&folders, Ok(self.config), self.now)?;
                }
                return Ok(Err(faults));
            }
        };
        let manifests = std::mem::take(&mut outputs.manifests);
        let said = status.clone().unwrap_or_default();
        let delivery = commit::delivery(self.config, &request, outputs, &said, self.task, self.now);
        let before = FileTree::read(&folders.output)?;
        let mut begun = Begun { report, folders, before, delivery, staged: None, is_done: is_dry };
        begun.report.manifests = self.compare(&begun.before, &manifests)?;
        begun.staged = self.batch.as_mut().map(|batch| batch.stage(&begun.delivery));
        if is_dry {
            let found = match begun.staged.take() {
                Some(found) => found,
                None => commit::preview(self.config, begun.delivery.clone())?,
            };
            begun.report.take(found);
            return Ok(Ok(begun));
        }
        if let Some(Ok(outcomes)) = &begun.staged {
            begun.report.repositories.clone_from(outcomes);
            let stays = !begun.report.is_changed() && self.task.action == Action::Configure;
            if stays && is_delivered(&begun.folders, &said) {
                begun.is_done = true;
                return Ok(Ok(begun));
            }
        }
        // As Kratix does: what the last run said is a part of the object.
        begun.folders.write_object(as_object(document, status.as_ref())?.as_bytes())?;
        // Of a request that is refused Kratix delivers no manifests: those of before stay.
        let is_refused =
            begun.staged.as_ref().is_some_and(|staged| staged.as_ref().is_err_and(|e| e.refusal().is_some()));
        if self.task.action == Action::Configure && !is_refused {
            match render::run(&begun.folders, Ok(self.config), self.now)? {
                Rendered::Done(_) => {}
                Rendered::Later(why) => bail!("{why}"),
                Rendered::Wrong(_) => bail!("{} is wrong only as a copy: our bug", begun.report.request),
            }
        }
        Ok(Ok(begun))
    }

    /// How the catalog's index changes by what was begun together.
    fn index_diff(&mut self) -> Result<Vec<FileDiff>> {
        match &mut self.batch {
            Some(batch) => batch.index_diff(),
            None => Ok(Vec::new()),
        }
    }

    /// Commits what was begun together, of which `one` is one.
    fn commit(&mut self, one: Option<&Begun>) -> Result<BTreeMap<Role, Option<String>>, String> {
        match (&mut self.batch, one, self.task.extent) {
            (Some(batch), Some(one), Extent::Whole) => {
                batch.commit(&one.delivery).map_err(|error| format!("{error:#}"))
            }
            _ => Ok(BTreeMap::new()),
        }
    }

    /// Ends the steps on one request.
    fn end(
        &self,
        begun: Begun,
        committed: &Result<BTreeMap<Role, Option<String>>, String>,
        source: &str,
    ) -> Result<Report> {
        let Begun { mut report, folders, before, staged, is_done, .. } = begun;
        let is_deletion = self.task.action == Action::Delete;
        let folder = folders.input.parent().context("it has no folder")?;
        if !is_deletion && self.task.extent == Extent::Whole {
            prune::remember(folder, source)?;
        }
        if is_done {
            if self.task.extent == Extent::DryRun && report.outcome == "unchanged" && report.is_changed() {
                report.outcome = if is_deletion { "would be deleted" } else { "would change" };
            }
            return Ok(report);
        }
        let config = Ok(self.config);
        let refusal = staged.as_ref().and_then(|staged| staged.as_ref().err()?.refusal());
        let result = match staged {
            _ if let Some(refusal) = refusal => {
                commit::refuse_unrendered(&folders, &refusal, self.now)?;
                Committed::Refused(refusal)
            }
            None => commit::run(&folders, config, self.task, self.now)?,
            Some(staged) => {
                let delivered = match (staged, committed) {
                    (Ok(mut outcomes), Ok(commits)) => {
                        for (role, outcome) in &mut outcomes {
                            outcome.commit = commits.get(role).cloned().flatten().or(outcome.commit.take());
                        }
                        Ok(outcomes)
                    }
                    (Ok(_), Err(why)) => Err(anyhow::anyhow!("{why}").into()),
                    (Err(error), _) => Err(error),
                };
                commit::record(&folders, self.config, self.task, self.now, delivered)?
            }
        };
        match result {
            Committed::Done(outcomes) => {
                report.repositories = outcomes;
                let mut outcomes = report.repositories.values();
                let is_written = outcomes.clone().any(|outcome| !outcome.changes.is_empty());
                let is_proposed = outcomes.any(|outcome| outcome.pull_request.is_some());
                report.outcome = match is_deletion {
                    _ if !report.is_changed() => "unchanged",
                    _ if is_written && is_proposed => "proposed",
                    true => "deleted",
                    false if is_written => "committed",
                    false => "rendered",
                };
                let mut ended = true;
                let is_followed = self.config.repositories.values().any(|remote| matches!(remote, Remote::Gitea(_)));
                let tracked =
                    is_followed.then(|| track::run(&folders, config, self.task.action, self.now)).transpose()?;
                if let Some(Tracked::Seen(phase, message, end)) = tracked {
                    (report.phase, report.message, ended) = (Some(phase), Some(message), end);
                }
                if is_deletion && ended {
                    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
                }
            }
            Committed::Refused(refusal) => {
                if before != FileTree::read(&folders.output)? {
                    before.replace(&folders.output)?;
                }
                report.manifests = Manifests::default();
                report.repositories.clear();
                report.refuse(refusal);
            }
            Committed::Later(why) => report.fail(why),
            Committed::Stopped => report.fail("the step was stopped".to_owned()),
        }
        Ok(report)
    }

    fn compare(&self, before: &FileTree, after: &FileTree) -> Result<Manifests> {
        let paths: std::collections::BTreeSet<_> = before.paths().chain(after.paths()).collect();
        let kind = |path| match (before.get(path), after.get(path)) {
            (None, Some(_)) => Some(ChangeKind::Added),
            (Some(_), None) => Some(ChangeKind::Removed),
            (old, new) if old != new => Some(ChangeKind::Changed),
            _ => None,
        };
        let changes = paths.into_iter().filter_map(|path| Some(Change { path: path.clone(), kind: kind(path)? }));
        let diff = if self.task.with_diff { diff::trees("manifests", before, after)? } else { Vec::new() };
        Ok(Manifests { files: after.len(), changes: changes.collect(), diff })
    }
}

/// Whether the last run has ended well, so that nothing is left to say of the same.
fn is_delivered(folders: &Folders, status: &Status) -> bool {
    let says = |condition: &Condition| condition.r#type == "Delivered" && condition.status == "True";
    !folders.is_stopped() && status.conditions.iter().any(says)
}

impl Report {
    /// Takes what a dry run has found.
    fn take(&mut self, found: Result<BTreeMap<Role, Outcome>, Undelivered>) {
        match found {
            Ok(outcomes) => self.repositories = outcomes,
            Err(error) => match error.refusal() {
                Some(refusal) => {
                    self.manifests = Manifests::default();
                    self.refuse(refusal);
                }
                None => self.fail(format!("{:#}", anyhow::Error::from(error))),
            },
        }
    }

    fn is_changed(&self) -> bool {
        let is_written = |outcome: &Outcome| !outcome.changes.is_empty();
        !self.manifests.changes.is_empty() || self.repositories.values().any(is_written)
    }

    /// What was written of it all the same, the next run finds.
    fn fail(&mut self, why: String) {
        (self.outcome, self.reason) = ("failed", Some(why));
        self.manifests = Manifests::default();
        self.repositories.clear();
    }

    fn refuse(&mut self, refusal: Violation) {
        (self.outcome, self.reason) = ("refused", Some(refusal.message.clone()));
        self.refusal = Some(refusal);
    }

    fn diffs(&self) -> impl Iterator<Item = &FileDiff> {
        self.manifests.diff.iter().chain(self.repositories.values().flat_map(|outcome| &outcome.diff))
    }
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
fn show(report: &Report, shown: &Shown) -> String {
    let diff = show_diff(report.diffs(), shown);
    if shown.only_diff {
        return diff;
    }
    let color = is_colored(&std::io::stdout());
    let request = report.request.to_string();
    let bold = if color { format!("\u{1b}[1m{request}\u{1b}[0m") } else { request };
    let mut lines = vec![format!("{bold}: {}", report.outcome)];
    if shown.verbose || report.outcome != "unchanged" {
        lines.extend(places(report));
    }
    if let (Some(phase), Some(message)) = (report.phase, &report.message) {
        lines.push(format!("  {:<15} {}", phase.as_str(), super::one_line(message)));
    }
    lines.join("\n") + "\n" + &diff
}

/// How files change, whole or in numbers.
fn show_diff<'d>(files: impl IntoIterator<Item = &'d FileDiff>, shown: &Shown) -> String {
    let color = is_colored(&std::io::stdout());
    let show = |file: &FileDiff| match shown.stat {
        true => format!("{} | +{} -{}\n", file.path, file.added, file.removed),
        false => colored(&file.diff, color),
    };
    files.into_iter().map(show).collect()
}

/// A line for each place where something of the request is, and for each change there.
fn places(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut place = |name: &str, what: &str, changes: &[Change]| {
        lines.push(format!("  {name:<15} {what}"));
        lines.extend(changes.iter().map(|change| format!("    {change}")));
    };
    let Manifests { files, changes, .. } = &report.manifests;
    if *files + changes.len() > 0 {
        let what = match changes.len() {
            0 => "unchanged".to_owned(),
            n => format!("{} in {}", count(n, "change"), report.output_folder.display()),
        };
        place("manifests", &what, changes);
    }
    for (role, outcome) in &report.repositories {
        let what = match &outcome.commit {
            Some(commit) if outcome.pull_request.is_none() && !outcome.changes.is_empty() => {
                format!("{} in commit {}", count(outcome.changes.len(), "change"), short(commit))
            }
            None if !outcome.changes.is_empty() => count(outcome.changes.len(), "change"),
            _ => outcome.summary(false),
        };
        place(role.as_str(), &what, &outcome.changes);
    }
    let warnings = report.repositories.values().flat_map(|outcome| &outcome.warnings);
    lines.extend(warnings.map(|warning| format!("  {:<15} {}", "warning", super::one_line(warning))));
    lines
}

/// A diff as git colours it. It holds text of users, which is shown and never obeyed.
fn colored(diff: &str, color: bool) -> String {
    let mut text = String::with_capacity(diff.len());
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'd', b'i', b'f', b'f', ..] | [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Style::new().bold(),
            [b'+', ..] => AnsiColor::Green.on_default(),
            [b'-', ..] => AnsiColor::Red.on_default(),
            [b'@', ..] => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        let line = super::one_line(line);
        match color {
            true => text += &format!("{style}{line}{style:#}\n"),
            false => text += &format!("{line}\n"),
        }
    }
    text
}

/// What is printed while it goes on, and the sum of it.
struct Progress<'a> {
    total: usize,
    shown: &'a Shown,
    begin: Instant,
    /// Whether there is a line that says how far it is.
    has_line: bool,
    counts: BTreeMap<&'static str, usize>,
}

impl<'a> Progress<'a> {
    fn new(total: usize, shown: &'a Shown) -> Self {
        Self { total, shown, begin: Instant::now(), has_line: false, counts: BTreeMap::new() }
    }

    fn count(&mut self, outcome: &'static str) {
        *self.counts.entry(outcome).or_default() += 1;
        let done: usize = self.counts.values().sum();
        // Where reports are printed, they show that it goes on.
        let is_silent = self.shown.quiet || self.shown.output == Output::Json || !std::io::stdout().is_terminal();
        if is_silent && self.begin.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            tell(&format!("\r\u{1b}[K{done} of {}", count(self.total, "request")));
            self.has_line = true;
        }
    }

    fn print(&mut self, report: &Report) -> Result<()> {
        self.count(report.outcome);
        self.print_text(&show(report, self.shown))
    }

    fn print_text(&mut self, text: &str) -> Result<()> {
        match self.shown.output == Output::Text && !self.shown.quiet && !text.is_empty() {
            true => print(text),
            false => Ok(()),
        }
    }

    fn tell(&mut self, text: &str) {
        if !text.is_empty() {
            self.end();
            tell(text);
        }
    }

    /// Whether requests' own entities were added or removed, so that the index changes with them.
    fn changes_entities(&self) -> bool {
        ["committed", "deleted", "would change", "would be deleted"]
            .iter()
            .any(|outcome| self.counts.contains_key(outcome))
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            tell("\r\u{1b}[K");
        }
    }

    /// As `3 committed, 997 unchanged, 1 refused`.
    fn summary(&self) -> String {
        let order = [
            "proposed",
            "committed",
            "rendered",
            "deleted",
            "would change",
            "would be deleted",
            "unchanged",
            "refused",
            "wrong",
            "failed",
        ];
        let told: Vec<_> =
            order.iter().filter_map(|outcome| Some(format!("{} {outcome}", self.counts.get(outcome)?))).collect();
        if told.is_empty() { "nothing to do".to_owned() } else { told.join(", ") }
    }
}
