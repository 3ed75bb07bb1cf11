//! The command line: what people read, and what programs get.
//!
//! Only this module and the binaries print. What was asked for goes to stdout, the rest to
//! stderr. Exit codes: 0 done, 1 faults in requests or a failure, 2 usage.
#![expect(clippy::print_stderr, reason = "this is where people are told")]

mod diagnostics;
mod generate;
mod requests;
mod run;
mod validate;

use crate::config::Config;
use anyhow::Result;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Golden-path Promises for Kratix, on a laptop
#[derive(Parser)]
#[command(version, styles = STYLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do what Kratix would do with requests, in a folder of this machine
    Run(run::Arguments),
    /// Show every fault of requests
    Validate(validate::Arguments),
    /// Bring the generated files of this repository up to date
    Generate(generate::Arguments),
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
pub struct ConfigArgs {
    /// The platform's configuration [default: /etc/goldpath/config.yaml if it is there]
    #[arg(long, env = "GOLDPATH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads it.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn load(&self) -> Result<Config> {
        Config::load(self.config.as_deref())
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

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What the platform or the machine fails at; faults of requests end in an exit code.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Validate(arguments) => validate::run(&arguments),
            Command::Generate(arguments) => generate::run(&arguments),
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
pub fn finish(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let closed = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
        if !error.chain().filter_map(|cause| cause.downcast_ref()).any(closed) {
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
