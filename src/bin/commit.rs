//! The step container `commit`: the library's `commit`, with Kratix's folders.
#![expect(clippy::print_stdout, reason = "a step's log is its output")]

use clap::Parser;
use goldpath::cli::{ConfigArgs, finish};
use goldpath::commit::{self, Task};
use goldpath::kratix::{Action, Folders};
use std::process::ExitCode;

/// Deliver what `render` left to the repositories, or take it out of them
#[derive(Parser)]
#[command(version)]
struct Args {
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

fn main() -> ExitCode {
    let Args { folders, config, action, dry_run } = Args::parse();
    finish((|| {
        let committed = commit::run(&folders, config.load(), Task { action, dry_run }, commit::now()?)?;
        for line in committed.lines(dry_run) {
            println!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    })())
}
