//! `goldpath terraform`: what the workflows of the review repository run.
#![expect(clippy::print_stdout, reason = "a run's log is its output")]

use super::ConfigArgs;
use crate::names::RootModule;
use crate::review::{self};
use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Review Terraform in pull requests, and apply what was approved
///
/// Run by the workflows of the review repository (docs/review.md). The token of `review.user` comes
/// in GOLDPATH_TOKEN or as the configuration says; Terraform gets GITEA_TOKEN, TF_HTTP_USERNAME and
/// TF_HTTP_PASSWORD, and what `review.terraform.environment` names. Exits with 1 where something
/// failed or was refused, which is in the pull request too.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Show in each open pull request what merging it would do
    Plan {
        /// Only this one, also if it has a plan
        #[arg(long, value_name = "NUMBER")]
        pull: Option<u64>,
    },
    /// Apply what is merged and approved, and not yet applied
    Apply,
    /// Keep an issue open for each root module whose objects were changed by hand
    Drift,
    /// Release the lock of a state that a killed run has left
    Unlock {
        /// The root module, as `teams/alpha`
        module: String,
        /// The lock's ID, as the message about it has it
        id: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.config.load()?;
    let now = crate::commit::now()?;
    let (lines, well) = match &arguments.command {
        Command::Plan { pull } => review::plan(&config, *pull, now)?,
        Command::Apply => review::apply(&config, now)?,
        Command::Drift => review::drift(&config, now)?,
        Command::Unlock { module, id } => {
            let module = RootModule::parse(module).map_err(|refusal| anyhow!(refusal.at("", None).sentence()))?;
            (vec![review::unlock(&config, &module, id)?], true)
        }
    };
    for line in lines {
        println!("{}", super::one_line(&line));
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
