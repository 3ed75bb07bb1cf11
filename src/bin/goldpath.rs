//! The command `goldpath`: everything on a laptop.

use clap::Parser;
use goldpath::cli::{Cli, finish};
use std::process::ExitCode;

fn main() -> ExitCode {
    finish(Cli::parse().run())
}
