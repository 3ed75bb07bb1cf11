//! What a reviewer must not miss.

use super::text::{code, count, prose};
use super::{Outcome, Planned, word_of};
use crate::changes::{Action, ResourceChange};
use crate::finding::{Finding, Severity};
use std::fmt::Write as _;

/// So many warnings are shown.
pub(super) const WARNINGS: usize = 50;

/// Each has at most so many bytes.
pub(super) const WARNING: usize = 500;

/// So many bytes of it are a finding: the longest root module's name goes before it.
pub(super) const SENTENCE: usize = WARNING - 250;

/// What must not be missed, the worst first, and whether some are left out.
pub(super) fn alerts(modules: &[Planned<'_>]) -> (String, bool) {
    let mut all: [Vec<String>; 3] = Default::default();
    let [caution, warning, note] = &mut all;
    for severity in [Severity::Denied, Severity::NeedsOwner, Severity::Warning, Severity::Waived] {
        for (planned, finding) in modules.iter().flat_map(|m| m.findings().iter().map(move |f| (m, f))) {
            // what ran into a refusal is in the way, whatever its severity
            let is_refused = matches!(planned.outcome, Outcome::Refused(_));
            let (is_here, word) = match is_refused {
                true => (severity == Severity::Denied, "refused"),
                false => (severity == finding.severity, word_of(severity)),
            };
            let list = match severity {
                Severity::Denied => &mut *caution,
                Severity::NeedsOwner | Severity::Warning if tells_destruction(finding) => &mut *caution,
                Severity::NeedsOwner | Severity::Warning => &mut *warning,
                Severity::Waived => &mut *note,
            };
            if is_here {
                list.push(format!("`{}` **{word}** {}", planned.module, sentence(finding, SENTENCE)));
            }
        }
    }
    for planned in modules {
        let name = planned.module;
        match planned.outcome {
            Outcome::Failed { what, .. } => caution.push(format!("`{name}` **failed** in {}", prose(what, 60))),
            Outcome::Refused([]) => caution.push(format!("`{name}` **refused**")),
            Outcome::Refused(_) => {}
            Outcome::Plan { changes, destroys, providers_changed, .. } => {
                if destroys {
                    let all = addresses(changes.resources.iter()).unwrap_or_else(|| "nothing is left of it".to_owned());
                    caution.push(format!("`{name}` **is destroyed as a whole**: {all}"));
                }
                for (action, does) in [(Action::Delete, "destroys"), (Action::Replace, "destroys and makes again")] {
                    // a rule that tells it with more words has come before
                    let is_told = |r: &ResourceChange| {
                        let is_it = |f: &Finding| tells_destruction(f) && f.place == r.address;
                        destroys || planned.findings().iter().any(is_it)
                    };
                    let gone = changes.resources.iter().filter(|r| r.action == action && !is_told(r));
                    if let Some(gone) = addresses(gone) {
                        caution.push(format!("`{name}` **{does}** {gone}"));
                    }
                }
                if providers_changed {
                    warning.push(format!("`{name}` **other providers** than those that were applied last"));
                }
                if let Some(drift) = addresses(changes.drift.iter()) {
                    note.push(format!("`{name}` **changed by hand** since the last apply: {drift}"));
                }
            }
        }
    }
    let total: usize = all.iter().map(Vec::len).sum();
    let (mut out, mut shown) = (String::new(), 0);
    for (list, kind) in all.iter().zip(["CAUTION", "WARNING", "NOTE"]) {
        let here = &list[..list.len().min(WARNINGS - shown)];
        if here.is_empty() {
            continue;
        }
        shown += here.len();
        let _ = write!(out, "\n> [!{kind}]\n");
        for line in here {
            let _ = writeln!(out, "> - {line}");
        }
        if shown == WARNINGS && total > shown {
            let _ = writeln!(out, "> - and {} more", count(total - shown));
        }
    }
    (out, total > shown)
}

/// Whether a finding says that its place is destroyed. A waiver does not make that harmless.
fn tells_destruction(finding: &Finding) -> bool {
    matches!(finding.rule.as_str(), "destroy" | "destroy-other") && finding.severity != Severity::Waived
}

/// A finding as a sentence of about `max` bytes.
pub(super) fn sentence(finding: &Finding, max: usize) -> String {
    cut_sentence(finding, 40, 80, max)
}

/// Whether a sentence of about `max` bytes cuts nothing of a finding.
pub(super) fn is_whole(finding: &Finding, max: usize) -> bool {
    sentence(finding, max) == cut_sentence(finding, usize::MAX, usize::MAX, usize::MAX)
}

fn cut_sentence(finding: &Finding, rule: usize, place: usize, max: usize) -> String {
    let mut out = format!("({})", prose(&finding.rule, rule));
    if !finding.place.is_empty() {
        let _ = write!(out, " {}", code(&finding.place, place));
    }
    out.push_str(": ");
    let left = max.saturating_sub(out.len());
    out + &prose(&finding.message, left)
}

/// So many addresses are named in a warning, each with at most so many bytes.
pub(super) const NAMED: usize = 3;
pub(super) const ADDRESS: usize = 70;

/// The first `number` of them, and whether there are others.
pub(super) fn first(all: impl Iterator<Item = String>, number: usize) -> String {
    let mut shown: Vec<String> = all.take(number + 1).collect();
    if shown.len() > number {
        shown[number] = "…".to_owned();
    }
    shown.join(", ")
}

/// The first addresses and how many others there are; none without any.
fn addresses<'a>(mut resources: impl Iterator<Item = &'a ResourceChange>) -> Option<String> {
    let first: Vec<String> = resources.by_ref().take(NAMED).map(|r| code(&r.address, ADDRESS)).collect();
    let more = match resources.count() {
        0 => String::new(),
        number => format!(" and {} more", count(number)),
    };
    (!first.is_empty()).then(|| first.join(", ") + &more)
}
