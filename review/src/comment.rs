//! The comments of a review: what a reviewer reads before the approval, and what came of it.
//!
//! Plans, findings and Terraform's words hold text of anybody: it is shown, and is never Markdown.
//! Same input, same bytes; what must not be missed comes first and is never cut away.

mod alerts;
mod applied;
mod section;
mod text;
mod whole;

pub use applied::{Applied, AppliedResult, render_applied};
pub use whole::{too_long, whole, without_room};

use crate::changes::{Action, Changes};
use crate::finding::{Finding, Severity};
use crate::rights::Difference;
use alerts::alerts;
use goldpath::names::RootModule;
use section::{DETAILS_END, LEAST, Section};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use text::{address, code, count, counted, prose, shares};

/// How the comment with the plan begins.
pub const PLAN_MARKER: &str = "<!-- goldpath: plan -->";

/// How the comment that tells what an apply did begins.
pub const APPLY_MARKER: &str = "<!-- goldpath: apply -->";

/// A comment has at most so many bytes.
pub const LIMIT: usize = 60_000;

/// The root modules of the whole text have at most so many bytes together.
pub const WHOLE_LIMIT: usize = 8 << 20;

/// So many rows are shown, as long as they take no more bytes than this.
const ROWS: usize = 200;
const TABLE: usize = 24_000;

/// What planning one root module gave.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// Which one.
    pub module: &'a RootModule,
    /// What it gave.
    pub outcome: Outcome<'a>,
}

/// How planning ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// There is a plan.
    Plan {
        /// What it would do.
        changes: &'a Changes,
        /// What `terraform show -no-color` prints of it.
        text: &'a str,
        /// The changes' digest: 64 hexadecimal digits.
        digest: &'a str,
        /// What the rules found.
        findings: &'a [Finding],
        /// Whether the whole root module is destroyed.
        destroys: bool,
        /// The providers' names and versions.
        versions: &'a [(String, String)],
        /// Whether they are others than those that were applied last.
        providers_changed: bool,
    },
    /// It was refused before anything ran.
    Refused(&'a [Finding]),
    /// A step failed.
    Failed {
        /// Which one, as `init`.
        what: &'a str,
        /// Terraform's own words.
        words: &'a str,
    },
}

/// All that the comment with the plan tells.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The commit that was planned.
    pub commit: &'a str,
    /// The root modules, in the order that they are shown.
    pub modules: &'a [Planned<'a>],
    /// The address of [`whole`]'s text, where it is attached.
    pub whole: Option<&'a str>,
    /// Why nobody's approval counts, where that is so.
    pub unapprovable: Option<&'a str>,
}

impl Page<'_> {
    /// Whether something stands in the way of an apply.
    fn is_blocked(&self) -> bool {
        self.unapprovable.is_some() || self.modules.iter().any(|m| m.outcome.is_blocked())
    }
}

/// The comment's Markdown, at most [`LIMIT`] bytes.
pub fn render(page: &Page<'_>) -> String {
    compose(page).0
}

/// Whether [`render`] leaves something out that [`whole`] has.
pub fn is_cut(page: &Page<'_>) -> bool {
    compose(page).1
}

/// Whether an address can be [`Page::whole`]: no other becomes a link.
pub fn is_link(text: &str) -> bool {
    address(text).is_some()
}

/// The address of the whole text in a comment that [`render`] made.
pub fn link(comment: &str) -> Option<&str> {
    // it ends the comment, and other people's text never does
    comment.trim_end().strip_suffix('>')?.rsplit_once("\n[whole]: <").map(|(_, link)| link)
}

/// How many resources are made, changed and destroyed, and what else becomes of them.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    add: usize,
    change: usize,
    destroy: usize,
    import: usize,
    forget: usize,
}

impl Counts {
    fn of(changes: &Changes) -> Self {
        let mut counts = Self::default();
        for resource in &changes.resources {
            match resource.action {
                Action::Create => counts.add += 1,
                Action::Update => counts.change += 1,
                Action::Delete => counts.destroy += 1,
                Action::Import => counts.import += 1,
                Action::Forget => counts.forget += 1,
                Action::Replace => {
                    counts.add += 1;
                    counts.destroy += 1;
                }
            }
        }
        counts
    }

    fn plus(self, other: Self) -> Self {
        Self {
            add: self.add + other.add,
            change: self.change + other.change,
            destroy: self.destroy + other.destroy,
            import: self.import + other.import,
            forget: self.forget + other.forget,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{} ~{} -{}", count(self.add), count(self.change), count(self.destroy))?;
        for (number, what) in [(self.import, "imported"), (self.forget, "let go")] {
            if number > 0 {
                write!(f, ", {} {what}", count(number))?;
            }
        }
        Ok(())
    }
}

/// More plans than these are put into one that can be opened.
const SECTIONS: usize = 10;

/// What a severity means to who reads it.
fn word_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Denied => "denied",
        Severity::NeedsOwner => "needs a platform owner's approval",
        Severity::Warning => "warning",
        Severity::Waived => "waived",
    }
}

impl<'a> Outcome<'a> {
    fn findings(&self) -> &'a [Finding] {
        match self {
            Outcome::Plan { findings, .. } | Outcome::Refused(findings) => findings,
            Outcome::Failed { .. } => &[],
        }
    }

    /// Whether it stands in the way of an apply.
    fn is_blocked(&self) -> bool {
        !matches!(self, Outcome::Plan { .. }) || self.findings().iter().any(|f| f.severity == Severity::Denied)
    }
}

impl<'a> Planned<'a> {
    fn findings(&self) -> &'a [Finding] {
        self.outcome.findings()
    }

    fn counts(&self) -> Counts {
        match self.outcome {
            Outcome::Plan { changes, .. } => Counts::of(changes),
            _ => Counts::default(),
        }
    }

    fn has(&self, severity: Severity) -> bool {
        self.findings().iter().any(|f| f.severity == severity)
    }

    /// Whether an apply would do nothing.
    fn is_still(&self) -> bool {
        matches!(self.outcome, Outcome::Plan { changes, .. } if changes.is_empty())
    }

    /// Whether nothing can be said of it but that all stays as it is.
    fn is_quiet(&self) -> bool {
        match self.outcome {
            Outcome::Plan { changes, findings, destroys, providers_changed, .. } => {
                let is_still = changes.is_empty() && changes.drift.is_empty();
                is_still && findings.is_empty() && !destroys && !providers_changed
            }
            _ => false,
        }
    }

    /// What stands beside its name where it can be opened.
    fn mark(&self) -> String {
        let end = match self.outcome {
            Outcome::Failed { .. } => return "failed".to_owned(),
            Outcome::Refused(_) => return "refused".to_owned(),
            Outcome::Plan { .. } if self.has(Severity::Denied) => " — denied",
            Outcome::Plan { .. } if self.has(Severity::NeedsOwner) => " — needs an owner",
            Outcome::Plan { destroys: true, .. } => " — destroys all of it",
            Outcome::Plan { changes, .. } if changes.resources.is_empty() && !changes.is_empty() => " — outputs only",
            Outcome::Plan { .. } => "",
        };
        format!("{}{end}", self.counts())
    }

    /// What became of it, in a few words.
    fn result(&self) -> String {
        match self.outcome {
            Outcome::Failed { what, .. } => format!("**failed** in {}", prose(what, 60)),
            Outcome::Refused(findings) => format!("**refused**: {}", rules(findings)),
            Outcome::Plan { findings, .. } if self.has(Severity::Denied) => {
                format!("**denied**: {}", rules(findings.iter().filter(|f| f.severity == Severity::Denied)))
            }
            Outcome::Plan { findings, .. } if self.has(Severity::NeedsOwner) => {
                format!("needs an owner: {}", rules(findings.iter().filter(|f| f.severity == Severity::NeedsOwner)))
            }
            Outcome::Plan { destroys: true, .. } => "planned, **destroys all of it**".to_owned(),
            Outcome::Plan { changes, .. } if changes.is_empty() => "no changes".to_owned(),
            Outcome::Plan { changes, .. } if changes.resources.is_empty() => "planned, outputs only".to_owned(),
            Outcome::Plan { .. } => "planned".to_owned(),
        }
    }
}

/// The rules' names, three of them.
fn rules<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> String {
    let names: BTreeSet<&str> = findings.into_iter().map(|f| f.rule.as_str()).collect();
    let shown: Vec<String> = names.iter().take(3).map(|name| prose(name, 40)).collect();
    shown.join(", ") + if names.len() > 3 { ", …" } else { "" }
}

/// The comment, and whether something is left out.
fn compose(page: &Page<'_>) -> (String, bool) {
    let mut out = format!("{PLAN_MARKER}\n### {}\n", verdict(page));
    if let Some(why) = page.unapprovable {
        let _ = write!(out, "\n> [!CAUTION]\n> - {}\n", prose(why, alerts::WARNING));
    }
    let (warnings, lost_warnings) = alerts(page.modules);
    let (table, lost_rows) = table(page.modules);
    out.push_str(&warnings);
    out.push_str(&table);

    let loud = || page.modules.iter().filter(|m| !m.is_quiet());
    let is_only = loud().count() == 1 && !lost_warnings;
    let mut sections: Vec<Section> = loud().map(|m| Section::of(m, is_only)).collect();
    let is_folded = sections.len() > SECTIONS;
    if is_folded {
        let _ = write!(out, "\n<details><summary>{}</summary>\n", counted(sections.len(), "plan"));
    }
    sections.extend(Section::of_quiet(page.modules));

    // the links are there only if something is cut; there is room for them always
    let room = LIMIT - out.len() - footer(page, true).len() - 2 * LEAST;
    let fits = sections.iter().scan(0, |sum, s| {
        *sum += s.frame() + LEAST;
        Some(*sum)
    });
    let shown = fits.take_while(|sum| *sum <= room).count();
    let lost_sections = sections.len() - shown;
    sections.truncate(shown);

    let see = if page.whole.and_then(address).is_some() { ": see [the whole plan][whole]" } else { "" };
    let wants: Vec<usize> = sections.iter().map(|s| s.body(LIMIT, see).0.len().max(LEAST)).collect();
    let left = room - sections.iter().map(Section::frame).sum::<usize>();
    let mut is_cut = lost_warnings || lost_rows || lost_sections > 0;
    for ((section, share), want) in sections.iter().zip(shares(&wants, left)).zip(wants) {
        let (body, cut) = section.body(if share < want { share } else { LIMIT }, see);
        is_cut |= cut;
        out.push_str(&section.head);
        out.push_str(&body);
        out.push_str(&section.tail);
    }
    if is_folded {
        out.push_str(DETAILS_END);
    }
    if lost_sections > 0 {
        let _ = write!(out, "\n… {}{see}\n", counted(lost_sections, "more root module"));
    }
    out.push_str(&footer(page, is_cut));
    (out, is_cut)
}

/// What it is all about, in one line.
fn verdict(page: &Page<'_>) -> String {
    let modules = page.modules;
    let all = modules.iter().map(Planned::counts).fold(Counts::default(), Counts::plus);
    let what = match modules.len() {
        0 => return "Plan: no root module is touched".to_owned(),
        number if modules.iter().all(Planned::is_still) => format!("{}, no changes", counted(number, "root module")),
        number => format!("{}, {all}", counted(number, "root module")),
    };
    let end = if page.is_blocked() {
        " — cannot be applied as it is"
    } else if modules.iter().any(|m| m.has(Severity::NeedsOwner)) {
        " — needs a platform owner's approval"
    } else {
        ""
    };
    format!("Plan: {what}{end}")
}

/// One row for a root module, and whether some are left out.
fn table(modules: &[Planned<'_>]) -> (String, bool) {
    if modules.is_empty() {
        return (String::new(), false);
    }
    let mut out = "\n| Root module | Add | Change | Destroy | Result |\n|---|--:|--:|--:|---|\n".to_owned();
    for (shown, planned) in modules.iter().enumerate() {
        let row = match planned.outcome {
            Outcome::Plan { .. } => {
                let c = planned.counts();
                let (add, change, destroy) = (count(c.add), count(c.change), count(c.destroy));
                let bold = if c.destroy > 0 { "**" } else { "" };
                format!("| `{}` | {add} | {change} | {bold}{destroy}{bold} | {} |\n", planned.module, planned.result())
            }
            _ => format!("| `{}` | | | | {} |\n", planned.module, planned.result()),
        };
        if shown == ROWS || out.len() + row.len() > TABLE {
            let _ = writeln!(out, "| and {} more | | | | |", count(modules.len() - shown));
            return (out, true);
        }
        out.push_str(&row);
    }
    (out, false)
}

/// What was planned, how to go on, and where there is more.
fn footer(page: &Page<'_>, is_cut: bool) -> String {
    let short = &page.commit[..page.commit.floor_char_boundary(10)];
    let again = "A change of the branch or of the state makes a new plan.";
    let next = if page.unapprovable.is_some() {
        "Propose it anew from a branch that a person has pushed: who has written it can then be told.".to_owned()
    } else if page.is_blocked() {
        "What is wrong must be put right in the branch: each commit makes a new plan.".to_owned()
    } else if page.modules.iter().all(Planned::is_still) {
        format!("There is nothing to apply. {again}")
    } else {
        let who = match page.modules.iter().any(|m| m.has(Severity::NeedsOwner)) {
            true => "A platform owner approves the head commit",
            false => "Approve the head commit",
        };
        format!("{who} to have exactly these changes applied after the merge. {again}")
    };
    let mut out = format!("\nPlanned at {}. {next}", code(short, 60));
    out.push('\n');
    if is_cut {
        match page.whole.and_then(address) {
            Some(whole) => {
                let _ = write!(out, "\nParts are left out here: read [the whole plan][whole].\n\n[whole]: <{whole}>\n");
            }
            None => out.push_str("\nParts are left out here.\n"),
        }
    }
    out
}

#[cfg(test)]
mod tests;

/// What an issue says while a root module drifts: it begins with `marker`, which it is known by, names the rights that
/// somebody gave or took away, and shows what the next apply would put back.
pub fn render_drift(marker: &str, module: &RootModule, rights: &[Difference], plan: Option<&str>) -> String {
    let mut out = format!("{marker}\n");
    if !rights.is_empty() {
        let _ = write!(out, "In Gitea, rights are not as `{module}` says, and no apply takes away what was given:\n\n");
        for (shown, difference) in rights.iter().enumerate() {
            let line = prose(&format!("{}: {}", difference.what, difference.advice), 2_000);
            if out.len() + line.len() > TABLE {
                let _ = writeln!(out, "- … {}", counted(rights.len() - shown, "more difference"));
                break;
            }
            let _ = writeln!(out, "- {line}");
        }
        out.push('\n');
    }
    if let Some(plan) = plan {
        let room = LIMIT - out.len() - 1_000;
        let plan = text::fenced("diff", text::without_legend(plan), room, "").markdown;
        let _ = write!(
            out,
            "What Terraform made for `{module}` was changed by hand. An apply would put this back:\n\n{plan}\nTo keep a \
             change, make it in the request; to put it back, propose any change of it, or undo it by hand. "
        );
    }
    out + "This issue is closed when nothing differs any more.\n"
}
