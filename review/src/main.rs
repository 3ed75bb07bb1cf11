//! The program that `goldpath policy` and `goldpath terraform` start.

use std::process::ExitCode;

fn main() -> ExitCode {
    goldpath::cli::review::main(goldpath_review::cli::run)
}
