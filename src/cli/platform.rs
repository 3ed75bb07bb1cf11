//! `goldpath platform setup`: what delivery and review need in Gitea.

use super::{ConfigArgs, WRONG, is_colored, one_line, print};
use crate::config::NamedFile;
use crate::platform::setup::{Order, Told, Verb, set_up};
use crate::text::{count, is_deceptive};
use anyhow::{Context, Result};
use clap::builder::styling::{AnsiColor, Style};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(super) enum Platform {
    /// Make in Gitea what delivery and review need, from a platform's configuration
    ///
    /// Makes the organisations and repositories that the configuration names; the users PREFIX, PREFIX-review (which
    /// `review.user` names), PREFIX-bell and PREFIX-terraform; their teams, tokens and secrets; the workflows; and the
    /// protection of the branches. The configuration becomes `platform.yaml` in the review repository, with the files
    /// beside it that it names (`gitea.caFile`, `lockFile`, `rules`). A repository that is there keeps its content.
    ///
    /// Run it again at any time: it makes what is missing, sets what differs, and then checks what it relies on. The
    /// exit code is 1 if something is not as it must be. docs/review.md lists the tokens.
    Setup(Arguments),
}

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    /// The label of the runner that rings for the infrastructure repository, as `ubuntu-latest`
    #[arg(long, value_name = "LABEL", value_parser = parse_label)]
    runner: String,
    /// Write the token with which requests are delivered into this folder, as the file `token`; a valid one stays
    #[arg(long, value_name = "FOLDER")]
    credentials: Option<PathBuf>,
    /// The file with an administrator's token (scopes: write:admin, write:organization, write:repository, write:issue,
    /// read:user)
    #[arg(long, env = "GITEA_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token: PathBuf,
    /// Make every token anew, and remove the old ones
    #[arg(long)]
    rotate: bool,
    /// Only read, and show what would change
    #[arg(long)]
    dry_run: bool,
}

fn parse_label(text: &str) -> Result<String, String> {
    match text.is_empty() || text.chars().any(|c| c.is_whitespace() || is_deceptive(c)) {
        true => Err("a label is one word".to_owned()),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn run(Platform::Setup(arguments): &Platform) -> Result<ExitCode> {
    let Arguments { config, runner, credentials, admin_token, rotate, dry_run } = arguments;
    let file = config.config.as_deref().context("no configuration is named: name the platform's with `--config`")?;
    let text = std::fs::read(file).with_context(|| format!("cannot read the configuration {}", file.display()))?;
    let order = Order {
        config: &config.load()?,
        text,
        admin: NamedFile::at(admin_token),
        runner,
        credentials: credentials.as_deref(),
        rotate: *rotate,
        dry_run: *dry_run,
    };
    let (color, mut wrong, mut printed) = (is_colored(&std::io::stdout()), 0, Ok(()));
    let changes = set_up(&order, &mut |told| {
        wrong += usize::from(matches!(told, Told::Wrong { .. }));
        let result = print(&line(&told, *dry_run, color));
        if printed.is_ok() {
            printed = result;
        }
    })?;
    printed?;
    print(&match (changes, wrong) {
        (_, 1..) => format!("{} to put right\n", count(wrong, "thing")),
        (0, _) => "nothing to change\n".to_owned(),
        _ if *dry_run => format!("would make {}\n", count(changes, "change")),
        _ => format!("made {}\n", count(changes, "change")),
    })?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

/// As `made    user goldpath`, or in a dry run `make    user goldpath`; what is wrong with what to do in the next line.
fn line(told: &Told, dry_run: bool, color: bool) -> String {
    let (word, style, what, remedy) = match told {
        Told::Change(verb, what) => {
            let word = match (verb, dry_run) {
                (Verb::Make, true) => "make",
                (Verb::Make, false) => "made",
                (Verb::Set, _) => "set",
                (Verb::Remove, true) => "remove",
                (Verb::Remove, false) => "removed",
            };
            (word, AnsiColor::Green.on_default(), what, None)
        }
        Told::Note(what) => ("note", Style::new(), what, None),
        Told::Wrong { what, remedy } => ("wrong", AnsiColor::BrightRed.on_default().bold(), what, Some(remedy)),
    };
    let word = format!("{word:<7}");
    let word = if color { format!("{style}{word}{style:#}") } else { word };
    let remedy = remedy.map(|remedy| format!("        help: {}\n", one_line(remedy))).unwrap_or_default();
    format!("{word} {}\n{remedy}", one_line(what))
}
