//! What is told of a run, to people and programs.

use super::super::requests::Source;
use super::super::validate::{Fault, unreadable};
use super::super::{FAILED, Output, WRONG, diagnostics, is_colored, one_line, print, tell};
use super::job::{Manifests, Report};
use crate::diff::FileDiff;
use crate::document::Node;
use crate::outcome::{Change, short};
use crate::text::count;
use crate::violation::{Violation, told};
use anyhow::Result;
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// After how long a person wants to see that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of one document.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Entry {
    /// It is a request, and the steps ran.
    Ran(Box<Report>),
    /// Something of this machine failed.
    Failed { outcome: &'static str, file: String, reason: String },
    /// It is none, or a wrong one: for programs; people have been told.
    Wrong { outcome: &'static str, faults: Vec<Fault> },
}

/// How the reports are shown.
pub(super) struct Shown {
    pub quiet: bool,
    pub verbose: bool,
    /// Only the differences, as a diff or as their numbers.
    pub only_diff: bool,
    pub stat: bool,
    pub output: Output,
}

/// How all of it ended.
#[derive(Default)]
pub(super) struct Ended {
    pub wrong: bool,
    pub failed: bool,
    pub changed: bool,
}

impl Ended {
    pub fn exit_code(&self) -> ExitCode {
        match (self.failed, self.wrong) {
            (true, _) => ExitCode::from(FAILED),
            (false, true) => ExitCode::from(WRONG),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}

/// What was told so far.
pub(super) struct Told {
    pub ended: Ended,
    /// Whether the catalog's index changes.
    pub index: bool,
    pub entries: Vec<Entry>,
    pub color: bool,
}

impl Told {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { ended: Ended::default(), index: false, entries: Vec::new(), color: is_colored(&std::io::stderr()) }
    }

    /// Tells what became of one document.
    pub fn tell(
        &mut self,
        source: &Source,
        document: Option<&Node>,
        warnings: &[Violation],
        result: Result<Result<Report, Vec<Violation>>>,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let text = String::from_utf8_lossy(&source.text);
        progress.tell(&diagnostics::render_warnings(&source.name, &text, warnings, self.color));
        match result {
            Ok(Err(_)) if let Err(fault) = &source.documents => {
                progress.tell(&diagnostics::render_unreadable(&source.name, &source.text, fault, self.color));
                progress.count("wrong");
                self.entries.push(wrong(&source.name, &[unreadable(fault)]));
                self.ended.wrong = true;
            }
            Ok(Ok(report)) => {
                if let Some(mut refusal) = report.refusal.clone() {
                    refusal.span = document.and_then(|document| document.at(&refusal.path)).map(|node| node.span);
                    progress.tell(&diagnostics::render_violations(&source.name, &text, &[refusal], self.color));
                }
                if let Some(reason) = report.reason.as_ref().filter(|_| report.outcome == "failed") {
                    progress.tell(&format!("error: {}: {}\n", report.request, one_line(reason)));
                }
                self.ended.wrong |= report.outcome == "refused";
                self.ended.failed |= report.outcome == "failed";
                self.ended.changed |= report.is_changed();
                progress.print(&report)?;
                self.entries.push(Entry::Ran(Box::new(report)));
            }
            Ok(Err(faults)) => {
                progress.tell(&diagnostics::render_violations(&source.name, &text, &faults, self.color));
                progress.count("wrong");
                self.entries.push(wrong(&source.name, &faults));
                self.ended.wrong = true;
            }
            // The others have nothing to do with it.
            Err(error) => {
                let reason = format!("{error:#}");
                let place =
                    document.map_or_else(String::new, |document| format!("{}:{}: ", source.name, document.span.line));
                progress.tell(&format!("error: {}\n", one_line(&format!("{place}{reason}"))));
                progress.count("failed");
                self.entries.push(Entry::Failed { outcome: "failed", file: source.name.clone(), reason });
                self.ended.failed = true;
            }
        }
        Ok(())
    }
}

fn wrong(file: &str, violations: &[Violation]) -> Entry {
    Entry::Wrong { outcome: "wrong", faults: told(violations).into_iter().map(|v| Fault::new(file, v)).collect() }
}

/// A report for people.
fn show(report: &Report, shown: &Shown) -> String {
    let diff = show_diff(report.diffs(), shown);
    if shown.only_diff {
        return diff;
    }
    let color = is_colored(&std::io::stdout());
    let request = report.request.to_string();
    let bold = if color { format!("\u{1b}[1m{request}\u{1b}[0m") } else { request };
    let mut lines = vec![format!("{bold}: {}", report.outcome)];
    if shown.verbose || report.outcome != "unchanged" {
        lines.extend(places(report));
    }
    if let (Some(phase), Some(message)) = (report.phase, &report.message) {
        lines.push(format!("  {:<15} {}", phase.as_str(), one_line(message)));
    }
    lines.join("\n") + "\n" + &diff
}

/// How files change, whole or in numbers.
pub(super) fn show_diff<'d>(files: impl IntoIterator<Item = &'d FileDiff>, shown: &Shown) -> String {
    let color = is_colored(&std::io::stdout());
    let show = |file: &FileDiff| match shown.stat {
        true => format!("{} | +{} -{}\n", file.path, file.added, file.removed),
        false => colored(&file.diff, color),
    };
    files.into_iter().map(show).collect()
}

/// A line for each place where something of the request is, and for each change there.
fn places(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut place = |name: &str, what: &str, changes: &[Change]| {
        lines.push(format!("  {name:<15} {what}"));
        lines.extend(changes.iter().map(|change| format!("    {change}")));
    };
    let Manifests { files, changes, .. } = &report.manifests;
    if *files + changes.len() > 0 {
        let what = match changes.len() {
            0 => "unchanged".to_owned(),
            n => format!("{} in {}", count(n, "change"), report.output_folder.display()),
        };
        place("manifests", &what, changes);
    }
    for (role, outcome) in &report.repositories {
        let what = match &outcome.commit {
            Some(commit) if outcome.pull_request.is_none() && !outcome.changes.is_empty() => {
                format!("{} in commit {}", count(outcome.changes.len(), "change"), short(commit))
            }
            None if !outcome.changes.is_empty() => count(outcome.changes.len(), "change"),
            _ => outcome.summary(false),
        };
        place(role.as_str(), &what, &outcome.changes);
    }
    let warnings = report.repositories.values().flat_map(|outcome| &outcome.warnings);
    lines.extend(warnings.map(|warning| format!("  {:<15} {}", "warning", one_line(warning))));
    lines
}

/// A diff as git colours it. It holds text of users, which is shown and never obeyed.
fn colored(diff: &str, color: bool) -> String {
    let mut text = String::with_capacity(diff.len());
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'd', b'i', b'f', b'f', ..] | [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Style::new().bold(),
            [b'+', ..] => AnsiColor::Green.on_default(),
            [b'-', ..] => AnsiColor::Red.on_default(),
            [b'@', ..] => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        let line = one_line(line);
        match color {
            true => text += &format!("{style}{line}{style:#}\n"),
            false => text += &format!("{line}\n"),
        }
    }
    text
}

/// What is printed while it goes on, and the sum of it.
pub(super) struct Progress<'a> {
    total: usize,
    pub shown: &'a Shown,
    begin: Instant,
    /// Whether there is a line that says how far it is.
    has_line: bool,
    counts: BTreeMap<&'static str, usize>,
}

impl<'a> Progress<'a> {
    pub fn new(total: usize, shown: &'a Shown) -> Self {
        Self { total, shown, begin: Instant::now(), has_line: false, counts: BTreeMap::new() }
    }

    fn count(&mut self, outcome: &'static str) {
        *self.counts.entry(outcome).or_default() += 1;
        let done: usize = self.counts.values().sum();
        // Where reports are printed, they show that it goes on.
        let is_silent = self.shown.quiet || self.shown.output == Output::Json || !std::io::stdout().is_terminal();
        if is_silent && self.begin.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            tell(&format!("\r\u{1b}[K{done} of {}", count(self.total, "request")));
            self.has_line = true;
        }
    }

    fn print(&mut self, report: &Report) -> Result<()> {
        self.count(report.outcome);
        self.print_text(&show(report, self.shown))
    }

    pub fn print_text(&mut self, text: &str) -> Result<()> {
        match self.shown.output == Output::Text && !self.shown.quiet && !text.is_empty() {
            true => print(text),
            false => Ok(()),
        }
    }

    fn tell(&mut self, text: &str) {
        if !text.is_empty() {
            self.end();
            tell(text);
        }
    }

    /// Whether requests' own entities were added or removed, so that the index changes with them.
    pub fn changes_entities(&self) -> bool {
        ["committed", "deleted", "would change", "would be deleted"]
            .iter()
            .any(|outcome| self.counts.contains_key(outcome))
    }

    pub fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            tell("\r\u{1b}[K");
        }
    }

    /// As `3 committed, 997 unchanged, 1 refused`.
    pub fn summary(&self) -> String {
        let order = [
            "proposed",
            "committed",
            "rendered",
            "deleted",
            "would change",
            "would be deleted",
            "unchanged",
            "refused",
            "wrong",
            "failed",
        ];
        let told: Vec<_> =
            order.iter().filter_map(|outcome| Some(format!("{} {outcome}", self.counts.get(outcome)?))).collect();
        if told.is_empty() { "nothing to do".to_owned() } else { told.join(", ") }
    }
}
