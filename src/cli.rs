//! The command line: what people read, and what programs get.
//!
//! Only this module and the binaries print. What was asked for goes to stdout, the rest to
//! stderr. Exit codes: 0 done, 1 faults in requests or a failure, 2 usage.
#![expect(clippy::print_stderr, reason = "this is where people are told")]

mod diagnostics;
mod generate;
mod policy;
mod requests;
mod run;
mod step;
mod terraform;
mod validate;

use crate::cluster::ServiceAccount;
use crate::config::{Config, Unusable};
use anyhow::Result;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where Kubernetes mounts the service account of a Pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Golden-path Promises for Kratix, on a laptop
#[derive(Parser)]
#[command(name = "goldpath", version, styles = STYLES, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do what Kratix would do with requests, in a folder of this machine
    Run(run::Arguments),
    /// Show every fault of requests
    Validate(validate::Arguments),
    /// Show what the platform's rules find in plans of Terraform
    Policy(policy::Arguments),
    /// Bring the generated files of this repository up to date
    Generate(generate::Arguments),
    Terraform(terraform::Arguments),
    /// Print what makes a shell complete this command
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where the requests are.
#[derive(Args)]
struct Files {
    /// Files of requests, folders of such files, or `-` for stdin
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigArgs {
    /// The platform's configuration [default: /etc/goldpath/config.yaml if it is there]
    #[arg(long, env = "GOLDPATH_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads it.
    ///
    /// # Errors
    /// See [`Config::load`].
    fn load(&self) -> Result<Config> {
        Config::load(self.config.as_deref(), None)
    }

    /// Reads it as a step does: from the cluster, where no file says otherwise.
    ///
    /// # Errors
    /// See [`Config::load`].
    fn load_as_step(&self) -> Result<Config> {
        Config::load(self.config.as_deref(), ServiceAccount::find(Path::new(SERVICE_ACCOUNT)))
    }
}

/// For whom results are written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs the step or the command that this process is called by the name of, and says how it ended.
pub fn main() -> ExitCode {
    if let Err(error) = keep_memory_private() {
        return finish(Err(error.into()));
    }
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default().to_string_lossy();
    finish(step::run(&name).unwrap_or_else(|| Cli::parse().run()))
}

/// Keeps tokens out of core files, and other processes of the same user out of this one's memory.
fn keep_memory_private() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

impl Cli {
    /// Runs the subcommand. What the platform or the machine fails at is an error; faults of
    /// requests end in an exit code.
    fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Validate(arguments) => validate::run(&arguments),
            Command::Policy(arguments) => policy::run(&arguments),
            Command::Generate(arguments) => generate::run(&arguments),
            Command::Terraform(arguments) => terraform::run(&arguments),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "goldpath", &mut script);
                print(&String::from_utf8_lossy(&script))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Ends a program: an error is shown once, with all that led to it. A reader that has seen enough
/// (`goldpath … | head`) is no error.
fn finish(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let closed = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
        let mut causes = error.chain();
        if let Some(Unusable { name, text, fault }) = error.downcast_ref() {
            eprint!("{}", diagnostics::render_fault(name, text, fault, is_colored(&std::io::stderr())));
        } else if !causes.any(|cause| cause.downcast_ref().is_some_and(closed)) {
            eprintln!("error: {}", one_line(&format!("{error:#}")));
        }
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// A text as one line of a log, whatever is in it.
fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| match crate::violation::is_deceptive(c) {
            true => c.escape_unicode().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Whether a stream takes colours (no-color.org).
fn is_colored(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
