//! `goldpath validate`: every fault of every request, where it stands.
#![expect(clippy::print_stderr, reason = "this is where people are told")]

use super::{ConfigArgs, Files, Output, diagnostics, is_colored, print, requests};
use crate::config::Config;
use crate::promise::Unrendered;
use crate::render::count;
use crate::request::Identity;
use crate::violation::{Refusal, Violation, told};
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// One fault, for programs.
#[derive(Serialize)]
pub(super) struct Fault {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    #[serde(flatten)]
    violation: Violation,
}

impl Fault {
    pub(super) fn new(file: &str, violation: Violation) -> Self {
        let span = violation.span;
        Self { file: file.to_owned(), line: span.map(|s| s.line), column: span.map(|s| s.column), violation }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.config.load()?;
    let sources = requests::read(&arguments.files)?;
    let color = is_colored(&std::io::stdout());
    let mut seen = BTreeMap::new();
    let (mut requests, mut faults, mut text, mut all) = (0, 0, String::new(), Vec::new());
    for source in &sources {
        let violations = match &source.documents {
            Err(fault) => {
                text += &diagnostics::render_unreadable(&source.name, &source.text, fault, color);
                vec![unreadable(fault)]
            }
            Ok(documents) => {
                requests += documents.len();
                let violations: Vec<_> =
                    documents.iter().flat_map(|d| check(d, &source.name, &config, &mut seen)).collect();
                let source_text = String::from_utf8_lossy(&source.text);
                text += &diagnostics::render_violations(&source.name, &source_text, &violations, color);
                violations
            }
        };
        faults += violations.len();
        all.extend(told(&violations).into_iter().map(|violation| Fault::new(&source.name, violation)));
    }
    match arguments.output {
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?,
        Output::Text => print(&text)?,
    }
    let found = if faults == 0 { "no fault".to_owned() } else { count(faults, "fault") };
    eprintln!("{found} in {}", count(requests, "request"));
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every fault of one request, and of two requests that are the same object.
fn check(
    document: &crate::document::Node,
    file: &str,
    config: &Config,
    seen: &mut BTreeMap<Identity, String>,
) -> Vec<Violation> {
    match crate::generate(document, config) {
        Err(Unrendered::Wrong(violations)) => violations,
        Err(Unrendered::Broken(error)) => {
            vec![Refusal::new("internal", format!("{error}: our bug")).at("", Some(document.span))]
        }
        Ok((request, _)) => {
            let place = format!("{file}:{}", document.span.line);
            match seen.insert(request.identity.clone(), place) {
                None => Vec::new(),
                Some(other) => {
                    let message = format!("{} is also in {other}", request.identity);
                    let refusal = Refusal::new("duplicate", message).help("give one of the two another name");
                    let span = document.get("metadata").and_then(|m| m.get("name")).map(|n| n.span);
                    vec![refusal.at("metadata.name", span)]
                }
            }
        }
    }
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
