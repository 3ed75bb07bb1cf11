//! `goldpath validate`: every fault of every request, where it stands.

use super::neighbours::Neighbours;
use super::run::PlaceArgs;
use super::{Files, Output, WRONG, diagnostics, is_colored, print, requests, tell};
use crate::text::count;
use crate::violation::{Violation, told};
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    place: PlaceArgs,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// One fault, for programs.
#[derive(Serialize)]
pub(super) struct Fault {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    warning: bool,
    #[serde(flatten)]
    violation: Violation,
}

impl Fault {
    pub(super) fn new(file: &str, violation: Violation) -> Self {
        let span = violation.span;
        let (line, column) = (span.map(|s| s.line), span.map(|s| s.column));
        Self { file: file.to_owned(), line, column, warning: false, violation }
    }

    pub(super) fn warning(file: &str, violation: Violation) -> Self {
        Self { warning: true, ..Self::new(file, violation) }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.place.config.load()?;
    let requests::Sources { sources, notes } = requests::read(&arguments.files, None)?;
    let neighbours = Neighbours::read(&sources, &arguments.files, &arguments.place.workspace)?;
    let color = is_colored(&std::io::stdout());
    let requests = sources.iter().flat_map(requests::Source::items).count();
    let (mut faults, mut warnings, mut text, mut all) = (0, 0, String::new(), Vec::new());
    for (source, wrong) in requests::judge(&sources, &config, &neighbours) {
        if let Err(fault) = &source.documents {
            text += &diagnostics::render_unreadable(&source.name, &source.text, fault, color);
            faults += 1;
            all.push(Fault::new(&source.name, unreadable(fault)));
            continue;
        }
        let source_text = String::from_utf8_lossy(&source.text);
        text += &diagnostics::render_violations(&source.name, &source_text, &wrong.faults, color);
        text += &diagnostics::render_warnings(&source.name, &source_text, &wrong.warnings, color);
        (faults, warnings) = (faults + wrong.faults.len(), warnings + wrong.warnings.len());
        all.extend(told(&wrong.faults).into_iter().map(|violation| Fault::new(&source.name, violation)));
        all.extend(told(&wrong.warnings).into_iter().map(|violation| Fault::warning(&source.name, violation)));
    }
    match arguments.output {
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?,
        Output::Text => print(&text)?,
    }
    notes.iter().for_each(|note| tell(&format!("note: {note}\n")));
    let found = if faults == 0 { "no fault".to_owned() } else { count(faults, "fault") };
    let warned = if warnings == 0 { String::new() } else { format!(", {}", count(warnings, "warning")) };
    tell(&format!("{found}{warned} in {}\n", count(requests, "request")));
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

pub(super) fn unreadable(fault: &crate::document::Unreadable) -> Violation {
    Violation {
        path: String::new(),
        rule: "unreadable",
        message: fault.message.clone(),
        help: fault.help.clone(),
        suggestion: None,
        span: fault.span,
    }
}
