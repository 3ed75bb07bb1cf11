//! The step container `render`: the library's `render`, with Kratix's folders.
#![expect(clippy::print_stdout, reason = "a step's log is its output")]

use clap::Parser;
use goldpath::cli::{ConfigArgs, finish};
use goldpath::kratix::Folders;
use goldpath::{commit, render};
use std::process::ExitCode;

/// Check a request and render what it asks for
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
}

fn main() -> ExitCode {
    let Args { folders, config } = Args::parse();
    finish((|| {
        for line in render::run(&folders, config.load(), commit::now()?)?.lines() {
            println!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    })())
}
