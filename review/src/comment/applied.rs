//! The comment that tells what an apply did.

use super::text::{advice, code, count, counted, fenced, prose, shares};
use super::{APPLY_MARKER, LIMIT};
use goldpath::names::RootModule;
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// What became of one root module.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    /// Which one.
    pub module: &'a RootModule,
    /// The commit that it was applied from.
    pub commit: &'a str,
    /// What came of it.
    pub result: AppliedResult<'a>,
}

/// How an apply ended.
#[derive(Clone, Copy, Debug)]
pub enum AppliedResult<'a> {
    /// It was applied.
    Done {
        /// What was done, as `+3 ~0 -0`.
        summary: &'a str,
        /// Its outputs; those that are sensitive are left out or masked.
        outputs: &'a Map<String, Value>,
    },
    /// It was not applied.
    Refused {
        /// Why.
        reason: &'a str,
        /// What to do: the platform's own words, whose addresses become links.
        next: &'a str,
    },
    /// Terraform failed.
    Failed {
        /// Its own words.
        words: &'a str,
    },
}

/// The comment's Markdown, at most [`LIMIT`] bytes.
pub fn render_applied(all: &[Applied<'_>], commit: &str) -> String {
    let mut out = format!("{APPLY_MARKER}\n### {}\n", verdict(all));
    let _ = write!(out, "\nApplied from {}.\n", short(commit));
    // what needs somebody comes first, and loses no room to outputs
    let (done, rest): (Vec<_>, Vec<_>) = all.iter().partition(|a| matches!(a.result, AppliedResult::Done { .. }));
    let parts: Vec<(String, Option<&str>)> = rest.into_iter().chain(done).map(|a| part(a, commit)).collect();
    let wants: Vec<usize> = parts.iter().map(|(head, words)| size(head, *words)).collect();
    let mut lost = 0;
    for ((head, words), share) in parts.iter().zip(shares(&wants, LIMIT - out.len() - 100)) {
        if head.len() > share {
            lost += 1;
            continue;
        }
        out.push_str(head);
        if let Some(words) = words {
            let block = fenced("", words, share.saturating_sub(head.len() + 1), ": see the run");
            // too little room even to say how much is missing
            if head.len() + 1 + block.markdown.len() <= share {
                let _ = write!(out, "\n{}", block.markdown);
            }
        }
    }
    if lost > 0 {
        let _ = write!(out, "\n… {}\n", counted(lost, "more root module"));
    }
    out
}

/// What a failure's words need beside themselves.
const LEAST: usize = 200;

/// The bytes that a part takes, uncut.
fn size(head: &str, words: Option<&str>) -> usize {
    head.len() + words.map_or(0, |w| fenced("", w, LIMIT, "").markdown.len() + LEAST)
}

/// What it is all about, in one line.
fn verdict(all: &[Applied<'_>]) -> String {
    let number = |is: fn(&AppliedResult<'_>) -> bool| all.iter().filter(|a| is(&a.result)).count();
    let done = number(|r| matches!(r, AppliedResult::Done { .. }));
    let failed = number(|r| matches!(r, AppliedResult::Failed { .. }));
    let refused = number(|r| matches!(r, AppliedResult::Refused { .. }));
    if done == all.len() {
        return format!("Applied: {}", counted(done, "root module"));
    }
    let mut parts = vec![format!("{} of {}", count(done), counted(all.len(), "root module"))];
    parts.extend((failed > 0).then(|| format!("{} failed", count(failed))));
    parts.extend((refused > 0).then(|| format!("{} refused", count(refused))));
    let word = if done == 0 { "Not applied" } else { "Applied in part" };
    format!("{word}: {}", parts.join(", "))
}

/// What stands for one root module, and the words that come after it.
fn part<'a>(applied: &Applied<'a>, commit: &str) -> (String, Option<&'a str>) {
    let name = applied.module;
    // a root module can be applied from a later commit than the others
    let from = if applied.commit == commit { String::new() } else { format!(" from {}", short(applied.commit)) };
    match applied.result {
        AppliedResult::Done { summary, outputs } => {
            let mut out = format!("\n**Applied** `{name}`{from}: {}\n", prose(summary, 200));
            out.push_str(&table(outputs));
            (out, None)
        }
        AppliedResult::Refused { reason, next } => {
            let why = prose(reason, 2_000);
            let next = advice(next, 1_000);
            (format!("\n> [!CAUTION]\n> **Not applied** `{name}`{from}: {why}\n>\n> **Next**: {next}\n"), None)
        }
        AppliedResult::Failed { words } => {
            (format!("\n> [!CAUTION]\n> **Failed** `{name}`{from}: what was done before stays done\n"), Some(words))
        }
    }
}

/// The outputs.
fn table(outputs: &Map<String, Value>) -> String {
    const SHOWN: usize = 20;
    if outputs.is_empty() {
        return String::new();
    }
    let mut out = "\n| Output | Value |\n|---|---|\n".to_owned();
    for (name, value) in outputs.iter().take(SHOWN) {
        let _ = writeln!(out, "| {} | {} |", code(name, 100), code(&value.to_string(), 300));
    }
    if outputs.len() > SHOWN {
        let _ = writeln!(out, "| and {} more | |", count(outputs.len() - SHOWN));
    }
    out
}

/// A commit as people know it.
fn short(commit: &str) -> String {
    code(&commit[..commit.floor_char_boundary(10)], 60)
}
