//! `goldpath run`, and `goldpath diff`, which is the same and writes nothing.
//!
//! Each request gets the folders that Kratix would mount, and the steps run on them (`job.rs`); the repositories are bare ones
//! in the same folder, the workspace, unless the configuration names others.

mod job;
mod told;

use super::neighbours::Neighbours;
use super::requests::{self, Source, Sources};
use super::{ConfigArgs, FAILED, Files, Output, print, prune, tell};
use crate::commit::{self, Task};
use crate::config::{Config, Remote};
use crate::file_tree::write_file;
use crate::known;
use crate::outcome::{Action, Extent};
use crate::outputs::Role;
use crate::promise::{self, PROMISES};
use crate::repository::{Batch, create_repository};
use crate::set::Item;
use crate::set::{self, Verdict};
use crate::violation::Refusal;
use anyhow::{Context, Result, ensure};
use clap::Args;
use job::Job;
use std::collections::btree_map;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;
use told::{Ended, Progress, Shown, Told};

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
    pub config: ConfigArgs,
    /// The local folder for everything that the configuration names no repository for
    #[arg(long, default_value = ".goldpath", value_name = "FOLDER")]
    pub workspace: PathBuf,
}

impl PlaceArgs {
    /// Where the repository is that the configuration does not name.
    pub fn repository(&self, role: Role) -> PathBuf {
        self.workspace.join(format!("{}.git", role.as_str()))
    }

    /// Refuses what is another's folder: one in a git repository's own, the clone of one that is delivered to, whose folder of
    /// the workspace's name holds the inventories, and one that holds something else, which would be hidden from git. What
    /// was a workspace before stays one.
    ///
    /// # Errors
    /// Such a folder; one that cannot be read.
    pub fn check_workspace(&self) -> Result<()> {
        let folder = &self.workspace;
        let help = "run this elsewhere, or name another folder with `--workspace`";
        let absolute = std::path::absolute(folder)?;
        let is_repository = |folder: &Path| folder.join("HEAD").is_file() && folder.join("objects").is_dir();
        let is_in_one = absolute.ancestors().any(is_repository) || folder.join(".git").exists();
        ensure!(!is_in_one, "{} is no workspace, it is a git repository: {help}", folder.display());
        if !folder.is_dir() || folder.join(LOCK).exists() {
            return Ok(());
        }
        for promise in &PROMISES {
            let inventories = folder.join(promise.name);
            ensure!(
                !inventories.exists(),
                "{} is no workspace: it holds {}, as the clone of a repository that Goldpath delivers to does; {help}",
                folder.display(),
                inventories.display()
            );
        }
        let own: Vec<_> = Role::ALL.into_iter().map(|role| self.repository(role)).collect();
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            // What begins so is being written, by a run that begins at the same moment.
            let is_being_written = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".tmp"));
            let is_ours = is_being_written
                || own.contains(&path)
                || path == folder.join("requests")
                || path == folder.join(IGNORE) && fs::read(&path).is_ok_and(|text| text == IGNORED);
            ensure!(
                is_ours,
                "{} is no workspace: it holds {}, which git would no longer see; {help}",
                folder.display(),
                path.display()
            );
        }
        Ok(())
    }
}

/// The file by which git passes a workspace over, and what it holds.
const IGNORE: &str = ".gitignore";
const IGNORED: &[u8] = b"*\n";
/// The file by which one run waits for another.
const LOCK: &str = "lock";

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

fn run_all(files: &Files, place: &PlaceArgs, task: Task, pruning: Pruning, shown: &Shown) -> Result<Ended> {
    let mut config = place.config.load()?;
    place.check_workspace()?;
    let came_from = prune::Notes::read(&place.workspace)?;
    let Sources { sources, mut notes } =
        requests::read(files, (!matches!(pruning, Pruning::No)).then_some(&came_from))?;
    let Task { action, extent, .. } = task;
    // A dry run neither makes a workspace nor waits for one.
    let dry_workspace = if extent == Extent::DryRun { Some(TempDir::new()?) } else { None };
    let _lock = if dry_workspace.is_none() { Some(open_workspace(&place.workspace)?) } else { None };
    for role in Role::ALL {
        if let btree_map::Entry::Vacant(entry) = config.repositories.entry(role) {
            let mut path = place.repository(role);
            if let Some(dry) = dry_workspace.as_ref().filter(|_| !path.join("HEAD").exists()) {
                path = dry.path().join(role.as_str());
            }
            create_repository(&path, "main")?;
            entry.insert(Remote::at(&path));
        }
    }
    let batch = Batch::open(&config, extent)?;
    let neighbours = Neighbours::read(&sources, files, &place.workspace)?;
    let source: &dyn known::Source = &neighbours;
    let mut job = Job { workspace: &place.workspace, config: &config, source, task, now: commit::now()?, batch };
    let verdicts = check(&sources, &config, source, action);
    let mut progress = Progress::new(verdicts.len(), shown);
    let mut told = Told::new();
    if action == Action::Configure {
        let strays = came_from.strays(files, &sources);
        let names: Vec<_> = strays.iter().map(|(identity, _)| identity.to_string()).collect();
        match pruning {
            _ if names.is_empty() => {}
            // One that is wrong may be what takes its place.
            Pruning::Asked | Pruning::Agreed if verdicts.iter().any(|v| !v.faults.is_empty()) => notes.push(format!(
                "{} came from these files and {} in them no more: `--prune` waits until nothing in them is wrong",
                prune::shown(&names),
                if names.len() == 1 { "is" } else { "are" },
            )),
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
                let verdicts = check(&strays, &config, source, Action::Delete);
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

/// Every fault of requests that are to be there; a deletion asks for no more than who a request is.
fn check(sources: &[Source], config: &Config, source: &dyn known::Source, action: Action) -> Vec<Verdict> {
    let items: Vec<_> = sources.iter().flat_map(Source::items).collect();
    if action == Action::Configure {
        return set::check(&items, config, source);
    }
    // What goes too holds nothing.
    let all = items.iter().filter_map(|item| Some(promise::read(item.document).ok()?.identity)).collect();
    let verdict = |item: &Item<'_>| {
        let mut verdict = Verdict::default();
        if let Some(why) = promise::held_by(item.document, source, &all) {
            let span = item.document.at(promise::NAME).map(|node| node.span);
            let refusal = Refusal::new("in-use", why).help("delete them too, or take it out of them first");
            verdict.conflicts.push(refusal.at(promise::NAME, span));
        }
        verdict
    };
    items.iter().map(verdict).collect()
}

/// Makes the workspace, which no git repository that it may be in takes in, and waits until no other run uses it.
fn open_workspace(folder: &Path) -> Result<File> {
    let ignore = folder.join(IGNORE);
    if !ignore.exists() {
        write_file(&ignore, IGNORED)?;
    }
    let path = folder.join(LOCK);
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
