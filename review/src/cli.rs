//! What `goldpath-review` does with the arguments that `goldpath` has read.

mod policy;
mod terraform;

use anyhow::Result;
use goldpath::cli::review::Review;
use std::process::ExitCode;

/// Does what is asked for; what is wrong is in the exit code.
///
/// # Errors
/// Whatever else keeps it from its end.
pub fn run(review: &Review) -> Result<ExitCode> {
    match review {
        Review::Policy(arguments) => policy::run(arguments),
        Review::Terraform(arguments) => terraform::run(arguments),
    }
}
