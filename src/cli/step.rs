//! The step containers: the library's steps, with Kratix's folders. The program is the step that
//! it is called by the name of.
#![expect(clippy::print_stdout, reason = "a step's log is its output")]

use super::ConfigArgs;
use crate::commit::{self, Task};
use crate::kratix::{Action, Folders};
use crate::{render, track};
use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;

/// Check a request and render what it asks for
#[derive(Parser)]
#[command(name = "render", version)]
struct Render {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Deliver what `render` left to the repositories, or take it out of them
#[derive(Parser)]
#[command(name = "commit", version)]
struct Commit {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
    /// What to do with the request's files
    #[arg(long, env = "KRATIX_WORKFLOW_ACTION", default_value = "configure")]
    action: Action,
    /// Say what would be done, and do nothing
    #[arg(long, env = "KRATIX_DRY_RUN")]
    dry_run: bool,
}

/// Say in the request's status what became of what `commit` delivered
#[derive(Parser)]
#[command(name = "track", version)]
struct Track {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
    /// Whether the request is to be, or to be gone
    #[arg(long, env = "KRATIX_WORKFLOW_ACTION", default_value = "configure")]
    action: Action,
    /// Follow nothing, because nothing was delivered
    #[arg(long, env = "KRATIX_DRY_RUN")]
    dry_run: bool,
}

/// Runs the step of this name, or gives none where there is no such step.
///
/// # Errors
/// A broken contract with Kratix, and our own bugs: all else is in the status.
pub(super) fn run(name: &str) -> Option<Result<ExitCode>> {
    let lines = match name {
        "render" => render(&Render::parse()),
        "commit" => commit(&Commit::parse()),
        "track" => track(&Track::parse()),
        _ => return None,
    };
    Some(lines.map(|lines| {
        for line in lines {
            println!("{}", super::one_line(&line));
        }
        ExitCode::SUCCESS
    }))
}

fn render(Render { folders, config }: &Render) -> Result<Vec<String>> {
    Ok(render::run(folders, config.load_as_step(), commit::now()?)?.lines())
}

fn commit(Commit { folders, config, action, dry_run }: &Commit) -> Result<Vec<String>> {
    let task = Task { action: *action, dry_run: *dry_run, with_diff: false };
    Ok(commit::run(folders, config.load_as_step(), task, commit::now()?)?.lines(*dry_run))
}

fn track(Track { folders, config, action, dry_run }: &Track) -> Result<Vec<String>> {
    if *dry_run {
        return Ok(track::dry_run(folders)?.lines());
    }
    Ok(track::run(folders, config.load_as_step(), *action, commit::now()?)?.lines())
}
