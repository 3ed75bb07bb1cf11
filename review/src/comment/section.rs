//! What can be opened: one root module's findings and plan.

use super::alerts::{ADDRESS, NAMED, SENTENCE, first, is_whole, sentence};
use super::text::{code, count, counted, fenced, fits, without_legend};
use super::whole::list;
use super::{Outcome, Planned, word_of};
use crate::finding::Finding;
use std::fmt::Write as _;

/// How a part ends that can be opened.
pub(super) const DETAILS_END: &str = "\n</details>\n";

/// The least room that a part's body can do with.
pub(super) const LEAST: usize = 250;

/// A finding has at most so many bytes, and so many drifted addresses and providers are named.
const FINDING: usize = 2_000;
const DRIFTED: usize = 20;
const PROVIDERS: usize = 5;

/// What can be opened for one root module.
pub(super) struct Section<'a> {
    pub head: String,
    items: Vec<String>,
    /// What is done to what, where the text cannot tell it.
    list: String,
    info: &'static str,
    text: &'a str,
    pub tail: String,
    /// Whether something is left out already.
    is_cut: bool,
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
        let is_told = |f: &Finding| is_only && sentence(f, FINDING) == sentence(f, SENTENCE);
        let mut items: Vec<String> = planned
            .findings()
            .iter()
            .filter(|f| !is_told(f))
            .map(|f| format!("- **{}** {}\n", word_of(f.severity), sentence(f, FINDING)))
            .collect();
        let (mut tail, mut all_changes) = (String::new(), String::new());
        let mut is_cut = !planned.findings().iter().all(|f| is_whole(f, FINDING));
        if let Outcome::Plan { digest, versions, changes, .. } = planned.outcome {
            all_changes = list(changes);
            is_cut |= changes.drift.len() > DRIFTED || !changes.drift.iter().all(|r| fits(&r.address, ADDRESS));
            if !changes.drift.is_empty() && (!is_only || changes.drift.len() > NAMED) {
                let all = first(changes.drift.iter().map(|r| code(&r.address, 200)), DRIFTED);
                items.push(format!("- Changed by hand since the last apply: {all}\n"));
            }
            let _ = write!(tail, "\nChanges: {}", code(&format!("sha256:{digest}"), 80));
            if !versions.is_empty() {
                let shown = |(name, version): &(String, String)| format!("{name} {version}");
                is_cut |= versions.len() > PROVIDERS || !versions.iter().all(|v| fits(&shown(v), 80));
                let all = first(versions.iter().map(|v| code(&shown(v), 80)), PROVIDERS);
                let _ = write!(tail, "\nProviders: {all}");
            }
            tail.push('\n');
        }
        tail.push_str(DETAILS_END);
        Self { head, items, list: all_changes, info, text, tail, is_cut }
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
        let (list, info, text, tail) = (String::new(), "", "", DETAILS_END.to_owned());
        (!items.is_empty()).then_some(Self { head, items, list, info, text, tail, is_cut: false })
    }

    /// The bytes around the body.
    pub fn frame(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The body in at most `room` bytes, and whether something is left out.
    pub fn body(&self, room: usize, see: &str) -> (String, bool) {
        let mut out = String::new();
        // findings must not take all the room from the plan
        let part = if self.text.is_empty() && self.list.is_empty() { room } else { room / 2 };
        let mut is_cut = self.is_cut;
        for (shown, item) in self.items.iter().enumerate() {
            out.push_str(if shown == 0 { "\n" } else { "" });
            if out.len() + item.len() + 40 > part {
                let _ = writeln!(out, "- and {} more", count(self.items.len() - shown));
                is_cut = true;
                break;
            }
            out.push_str(item);
        }
        let block = |out: &str, text, see| fenced(self.info, text, room.saturating_sub(out.len() + 1), see);
        let text = self.text.trim_end();
        let mut told = (!text.is_empty()).then(|| block(&out, text, see));
        // what the text does not tell whole, the list does: it has room before the text, and is never cut
        if !self.list.is_empty() && told.as_ref().is_none_or(|told| told.is_cut) {
            let list = block(&out, &self.list, "");
            match list.is_cut {
                true => out.push_str(&format!("\n… {}{see}\n", counted(self.list.lines().count(), "change"))),
                false => out.push_str(&format!("\n{}", list.markdown)),
            }
            is_cut |= list.is_cut;
            told = told.map(|_| block(&out, text, see));
        }
        if let Some(told) = told {
            out.push('\n');
            out.push_str(&told.markdown);
            is_cut |= told.is_cut;
        }
        (out, is_cut)
    }
}
