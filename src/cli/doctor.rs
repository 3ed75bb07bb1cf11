//! `goldpath doctor`: what keeps a platform from its first delivery.

use super::{ConfigArgs, WRONG, is_colored, one_line, print};
use crate::doctor::{Finding, examine};
use crate::text::count;
use anyhow::Result;
use clap::Args;
use clap::builder::styling::AnsiColor;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let findings = examine(&arguments.config.load()?).0;
    let color = is_colored(&std::io::stdout());
    print(&findings.iter().map(|finding| line(finding, color)).collect::<String>())?;
    let wrong = findings.iter().filter(|finding| finding.remedy.is_some()).count();
    print(&match wrong {
        0 => "all is well\n".to_owned(),
        wrong => format!("{} to put right\n", count(wrong, "thing")),
    })?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

/// As `ok     catalog: …`, with what to do in the next line.
fn line(finding: &Finding, color: bool) -> String {
    let (word, style) = match finding.remedy {
        None => ("ok", AnsiColor::Green.on_default()),
        Some(_) => ("wrong", AnsiColor::BrightRed.on_default().bold()),
    };
    let word = format!("{word:<6}");
    let word = if color { format!("{style}{word}{style:#}") } else { word };
    let what = one_line(&format!("{}: {}", finding.about, finding.what));
    let remedy = finding.remedy.iter().map(|remedy| format!("       help: {}\n", one_line(remedy)));
    format!("{word} {what}\n{}", remedy.collect::<String>())
}
