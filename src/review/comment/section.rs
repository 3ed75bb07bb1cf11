//! What can be opened: one root module's findings and plan.

use super::alerts::{NAMED, SENTENCE, first, sentence};
use super::text::{code, count, counted, fenced, without_legend};
use super::{Outcome, Planned, word_of};
use crate::review::Finding;
use std::fmt::Write as _;

/// How a part ends that can be opened.
pub(super) const DETAILS_END: &str = "\n</details>\n";

/// The least room that a part's body can do with.
pub(super) const LEAST: usize = 200;

/// What can be opened for one root module.
pub(super) struct Section<'a> {
    pub head: String,
    items: Vec<String>,
    info: &'static str,
    text: &'a str,
    pub tail: String,
}

impl<'a> Section<'a> {
    /// The one for a root module; an only one is open, and need not say again what stands above it.
    pub fn of(planned: &Planned<'a>, is_only: bool) -> Self {
        let (info, text) = match planned.outcome {
            Outcome::Plan { text, .. } => ("diff", without_legend(text)),
            Outcome::Refused(_) => ("", ""),
            Outcome::Failed { words, .. } => ("", words.trim_start_matches(['\n', '\r'])),
        };
        let open = if is_only { " open" } else { "" };
        let head = format!("\n<details{open}><summary><code>{}</code> {}</summary>\n", planned.module, planned.mark());
        let is_told = |f: &Finding| is_only && sentence(f, 2_000) == sentence(f, SENTENCE);
        let mut items: Vec<String> = planned
            .findings()
            .iter()
            .filter(|f| !is_told(f))
            .map(|f| format!("- **{}** {}\n", word_of(f.severity), sentence(f, 2_000)))
            .collect();
        let mut tail = String::new();
        if let Outcome::Plan { digest, versions, changes, .. } = planned.outcome {
            if !changes.drift.is_empty() && (!is_only || changes.drift.len() > NAMED) {
                let all = first(changes.drift.iter().map(|r| code(&r.address, 200)), 20);
                items.push(format!("- Changed by hand since the last apply: {all}\n"));
            }
            let _ = write!(tail, "\nChanges: {}", code(&format!("sha256:{digest}"), 80));
            if !versions.is_empty() {
                let all = first(versions.iter().map(|(name, version)| code(&format!("{name} {version}"), 80)), 5);
                let _ = write!(tail, "\nProviders: {all}");
            }
            tail.push('\n');
        }
        tail.push_str(DETAILS_END);
        Self { head, items, info, text, tail }
    }

    /// All root modules that stay as they are, in one.
    pub fn of_quiet(modules: &[Planned<'a>]) -> Option<Self> {
        let items: Vec<String> = modules
            .iter()
            .filter(|m| m.is_quiet())
            .filter_map(|m| match m.outcome {
                Outcome::Plan { digest, .. } => {
                    Some(format!("- `{}`: {}\n", m.module, code(&format!("sha256:{digest}"), 80)))
                }
                _ => None,
            })
            .collect();
        let head = format!("\n<details><summary>{} without changes</summary>\n", counted(items.len(), "root module"));
        (!items.is_empty()).then_some(Self { head, items, info: "", text: "", tail: DETAILS_END.to_owned() })
    }

    /// The bytes around the body.
    pub fn frame(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The body in at most `room` bytes, and whether something is left out.
    pub fn body(&self, room: usize, see: &str) -> (String, bool) {
        let mut out = String::new();
        // findings must not take all the room from the plan
        let part = if self.text.is_empty() { room } else { room / 2 };
        let mut is_cut = false;
        for (shown, item) in self.items.iter().enumerate() {
            out.push_str(if shown == 0 { "\n" } else { "" });
            if out.len() + item.len() + 40 > part {
                let _ = writeln!(out, "- and {} more", count(self.items.len() - shown));
                is_cut = true;
                break;
            }
            out.push_str(item);
        }
        if self.text.trim().is_empty() {
            return (out, is_cut);
        }
        out.push('\n');
        let block = fenced(self.info, self.text, room.saturating_sub(out.len()), see);
        (out + &block.markdown, is_cut || block.is_cut)
    }
}
