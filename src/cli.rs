//! The command line: what people read, and what programs get.
//!
//! Only this module and the binaries print. What was asked for goes to stdout, the rest to
//! stderr. Exit codes: 0 done, 1 wrong or refused requests, 2 everything else.

mod diagnostics;
mod doctor;
mod generate;
mod init;
mod list;
mod neighbours;
mod platform;
mod prune;
mod render;
mod requests;
pub mod review;
mod run;
mod schema;
mod step;
mod validate;
mod wait;

use crate::cluster::ServiceAccount;
use crate::config::{Config, Unusable};
use crate::promise::is_generated;
use anyhow::{Context, Result};
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ErrorKind};
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit code for requests that are wrong or refused, or found so by a rule.
pub const WRONG: u8 = 1;
/// The exit code for everything else that keeps a command from its end; also that of wrong usage.
const FAILED: u8 = 2;

/// Where Kubernetes mounts the service account of a Pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Turns small requests, such as for a team, into Kubernetes manifests, Backstage entities and Terraform, and delivers them
#[derive(Parser)]
#[command(name = "goldpath", version, styles = STYLES, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a first request and a configuration, to begin with
    Init(init::Arguments),
    /// Check requests, and show every fault where it stands
    Validate(validate::Arguments),
    /// Render requests as manifests, Backstage entities or Terraform, and deliver nothing
    Render(render::Arguments),
    /// Show what `run` would change, and write nothing
    Diff(run::DiffArguments),
    /// Render requests and deliver them, to a local folder or to a platform's repositories
    Run(run::Arguments),
    /// List requests: how far each is, and since when
    List(list::ListArguments),
    /// Show what is true of requests, and what to do next
    Status(list::StatusArguments),
    /// Check a platform's configuration against its servers, before the first delivery
    Doctor(doctor::Arguments),
    /// Set up what a platform needs in Gitea
    #[command(subcommand)]
    Platform(platform::Platform),
    /// Print the JSON Schema of a kind of request, for editors
    Schema(schema::Arguments),
    /// Bring the generated files of this repository up to date
    #[command(hide = true)]
    Generate(generate::Arguments),
    #[command(flatten)]
    Review(review::Review),
    /// Generate a shell completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where the requests are.
#[derive(Args)]
#[group(skip)]
#[command(group(ArgGroup::new("requests").required(true).multiple(true).args(["named", "files"])))]
struct Files {
    /// Files of requests, folders of such files, or `-` for stdin
    #[arg(value_name = "FILE")]
    named: Vec<PathBuf>,
    /// The same, as kubectl takes them
    #[arg(short = 'f', long = "filename", visible_alias = "file", value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Read the folders in folders too, but those whose names begin with a dot
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Look at the requests in this file or folder too, to which those that are given may refer
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.named.iter().chain(&self.files)
    }
}

/// Where the configuration is.
#[derive(Args)]
pub struct ConfigArgs {
    /// The platform's configuration [default: /etc/goldpath/config.yaml if it is there]
    #[arg(long, env = "GOLDPATH_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads it.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn load(&self) -> Result<Config> {
        Config::load(self.config.as_deref(), None, is_generated)
    }

    /// Reads it as a step does: from the cluster, where no file says otherwise.
    ///
    /// # Errors
    /// See [`Config::load`].
    fn load_as_step(&self) -> Result<Config> {
        let account = ServiceAccount::find(Path::new(SERVICE_ACCOUNT));
        Config::load(self.config.as_deref(), account, is_generated)
    }
}

/// For whom results are written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
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
    finish(step::run(&name).unwrap_or_else(|| Cli::read().run()))
}

/// What is there instead of what people know from kubectl.
const HABITS: [(&[&str], &str); 11] = [
    (&["apply", "create", "replace"], "`goldpath run FILE` renders and delivers requests"),
    (&["delete"], "`goldpath run --delete FILE` deletes requests"),
    (&["get"], "`goldpath list` lists requests"),
    (&["describe", "logs"], "`goldpath status KIND/NAME` shows what is true of one"),
    (&["edit"], "edit the file, and `goldpath run FILE` delivers what it says now"),
    (&["explain"], "`goldpath schema KIND` prints the fields of a kind"),
    (
        &["kustomize", "-k", "--kustomize"],
        "`kubectl kustomize FOLDER | goldpath run -` takes what a kustomization builds",
    ),
    (&["-n", "--namespace"], "the namespace of a request stands in its `metadata`"),
    (&["-A", "--all-namespaces"], "`goldpath list` lists the requests of all namespaces"),
    (&["-l", "--selector"], "nothing is chosen by labels here: name files, or filter what `-o json` prints"),
    (&["--context", "--kubeconfig"], "no cluster is asked: `--config` names the configuration of a platform"),
];

/// Keeps tokens out of core files, and other processes of the same user out of this one's memory.
fn keep_memory_private() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

impl Cli {
    /// Reads the arguments, or ends the program with what is wrong with them.
    fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let is_wrong = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
            let habit = |word: std::ffi::OsString| {
                let word = word.to_string_lossy();
                let word = word.split_once('=').map_or(&*word, |(word, _)| word);
                HABITS.iter().find(|(names, _)| names.contains(&word)).map(|(_, hint)| hint)
            };
            let hint = std::env::args_os().skip(1).find_map(habit).filter(|_| is_wrong);
            let mut error = error;
            if hint.is_some() {
                // What is spelt nearly the same means something else.
                for guess in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::Suggested] {
                    error.remove(guess);
                }
            }
            let _ = error.print();
            if let Some(hint) = hint {
                tell(&format!("\nhint: {hint}\n"));
            }
            std::process::exit(error.exit_code())
        })
    }

    /// Runs the subcommand. What the platform or the machine fails at is an error; faults of
    /// requests end in an exit code.
    fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Render(arguments) => render::run(&arguments),
            Command::Diff(arguments) => run::diff(&arguments),
            Command::Run(arguments) => run::run(&arguments),
            Command::List(arguments) => list::list(&arguments),
            Command::Status(arguments) => list::status(&arguments),
            Command::Validate(arguments) => validate::run(&arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
            Command::Platform(platform) => platform::run(&platform),
            Command::Init(arguments) => init::run(&arguments),
            Command::Schema(arguments) => schema::run(&arguments),
            Command::Generate(arguments) => generate::run(&arguments),
            Command::Review(_) => review::start(),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "goldpath", &mut script);
                print(&String::from_utf8_lossy(&script))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Ends a program: an error is shown once, with all that led to it.
fn finish(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        if let Some(Unusable { name, text, fault }) = error.downcast_ref() {
            tell(&diagnostics::render_fault(name, text, fault, is_colored(&std::io::stderr())));
        } else {
            tell(&format!("error: {}\n", one_line(&format!("{error:#}"))));
        }
        ExitCode::from(FAILED)
    })
}

/// Prints what was asked for. A reader that has seen enough (`goldpath … | head`) stops nothing of the work.
///
/// # Errors
/// Whatever else stdout fails at.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// Tells people something beside what was asked for; that nobody reads it is no reason to stop.
pub fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A text as one line of a log, whatever is in it.
pub fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| match crate::text::is_deceptive(c) {
            true => c.escape_unicode().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Whether a stream takes colours (no-color.org).
pub fn is_colored(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
