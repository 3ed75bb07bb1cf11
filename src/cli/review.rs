//! `goldpath policy` and `goldpath terraform`: read here, so that help and completions know them, and carried out by the
//! program `goldpath-review`, which alone has the interpreter of policies and the parser of Terraform's language.

use super::{ConfigArgs, Output, STYLES, finish, keep_memory_private};
use crate::VERSION;
use crate::names::RootModule;
use crate::promise::identify;
use crate::request::Identity;
use anyhow::{Context, Result, anyhow, ensure};
use clap::{Args, Parser, Subcommand};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// What a child is told of the program that starts it, which has read the same arguments.
const STARTED_BY: &str = "GOLDPATH_STARTED_BY";

/// What is asked of `goldpath-review`.
#[derive(Subcommand)]
pub enum Review {
    /// Check plans of Terraform against the platform's rules
    Policy(Policy),
    /// Review Terraform in pull requests, and apply what was approved
    ///
    /// Run by the workflows of the review repository (docs/review.md). The token of `review.user` comes
    /// in GOLDPATH_TOKEN or as the configuration says; Terraform gets GITEA_TOKEN, TF_HTTP_USERNAME and
    /// TF_HTTP_PASSWORD, and what `review.terraform.environment` names. Exits with 1 where something
    /// failed or was refused, which is in the pull request too.
    Terraform(Terraform),
}

/// What the platform's rules are to be asked of.
#[derive(Args)]
pub struct Policy {
    /// What `terraform show -json` prints of plans of the root module: files, or `-` for stdin
    #[arg(value_name = "PLAN", required = true)]
    pub plans: Vec<PathBuf>,
    /// Where the rules are.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The root module's folder in the infrastructure repository, as `teams/alpha`
    #[arg(long, value_name = "FOLDER", value_parser = |text: &str| RootModule::parse(text).map_err(|r| r.message))]
    pub module: RootModule,
    /// The request that owns it, as `Team default/alpha`; without it, that somebody owns it is not checked
    #[arg(long, value_name = "REQUEST", value_parser = |text: &str| identify(text).map_err(|r| r.message))]
    pub request: Option<Identity>,
    /// The plan is one that destroys the whole root module
    #[arg(long)]
    pub deletes: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
}

/// What is to be reviewed or applied.
#[derive(Args)]
pub struct Terraform {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
    /// Where the repositories are.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What to do with the root modules.
#[derive(Subcommand)]
pub enum Task {
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

/// Has `goldpath-review`, beside this program or on the PATH, do what this one was asked for, and becomes it.
///
/// # Errors
/// There is none, or it cannot be started.
pub(super) fn start() -> Result<ExitCode> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let beside = own.with_file_name("goldpath-review");
    let program = if beside.exists() { beside } else { PathBuf::from("goldpath-review") };
    let error = Command::new(&program).args(std::env::args_os().skip(1)).env(STARTED_BY, VERSION).exec();
    ensure!(
        error.kind() != ErrorKind::NotFound,
        "`goldpath-review`, which does this, is neither beside `goldpath` nor on the PATH: in Goldpath's repository, \
         `cargo install --path review --locked` installs it"
    );
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

/// Reads the arguments of `goldpath-review`, does what they ask for, and says how it ended.
pub fn main(run: impl FnOnce(&Review) -> Result<ExitCode>) -> ExitCode {
    /// Reviews what Terraform would do, for `goldpath`
    #[derive(Parser)]
    #[command(name = "goldpath-review", version, styles = STYLES, disable_help_subcommand = true)]
    struct Cli {
        #[command(subcommand)]
        review: Review,
    }
    if let Err(error) = keep_memory_private() {
        return finish(Err(error.into()));
    }
    if let Some(version) = std::env::var_os(STARTED_BY).filter(|version| version != VERSION) {
        let version = version.to_string_lossy();
        return finish(Err(anyhow!(
            "goldpath-review is {VERSION}, and goldpath {version}: install both from one commit"
        )));
    }
    finish(run(&Cli::parse().review))
}
