//! Everything, uncut, as plain text.

use super::text::{count, counted, one_line, shares, uncut};
use super::{Counts, Outcome, Page, WHOLE_LIMIT, word_of};
use crate::changes::{Action, Changes};
use crate::finding::{Finding, Severity};
use goldpath::config::review::TOO_LONG;
use std::fmt::Write as _;

/// Everything that was planned, as plain text: what controls a terminal is shown instead, and Terraform's words stand
/// behind `| `, so that none of them is taken for ours.
///
/// What can be approved is never cut: [`without_room`] says what must be denied for that. The rest shares the room that
/// is left.
pub fn whole(page: &Page<'_>) -> String {
    let mut parts: Vec<String> = page.modules.iter().map(|m| told(&m.outcome)).collect();
    let (blocked, open): (Vec<usize>, Vec<usize>) =
        (0..parts.len()).partition(|&i| page.modules[i].outcome.is_blocked());
    let room = WHOLE_LIMIT.saturating_sub(open.iter().map(|&i| parts[i].len()).sum());
    let wants: Vec<usize> = blocked.iter().map(|&i| parts[i].len()).collect();
    for (i, share) in blocked.into_iter().zip(shares(&wants, room)) {
        cut(&mut parts[i], share);
    }
    let mut out = format!("Plan of commit {}\n", prose_line(page.commit));
    for (planned, part) in page.modules.iter().zip(parts) {
        let _ = write!(out, "\n==== {} ====\n{part}", planned.module);
    }
    out
}

/// Those of the plans that [`whole`] has no room for, with what must be said of them: the smallest have room first.
pub fn without_room(plans: &[Outcome<'_>]) -> Vec<(usize, Finding)> {
    let mut sizes: Vec<(usize, usize)> = plans
        .iter()
        .enumerate()
        .filter(|(_, plan)| !plan.is_blocked())
        .map(|(i, plan)| (told(plan).len(), i))
        .collect();
    sizes.sort_unstable();
    let (mut taken, mut found) = (0, Vec::new());
    for (size, i) in sizes {
        match taken + size <= WHOLE_LIMIT {
            true => taken += size,
            false => found.push((i, too_long(size as u64, taken))),
        }
    }
    found
}

/// What is said of a plan of so many bytes, where `taken` bytes of the room are other plans'.
pub fn too_long(size: u64, taken: usize) -> Finding {
    let [size, limit] = [size, WHOLE_LIMIT as u64].map(|n| count(usize::try_from(n).unwrap_or(usize::MAX)));
    let what = format!("its plan takes {size} bytes, and what shows the plans of a pull request whole takes {limit}");
    let message = match taken {
        0 => format!("{what}: make several root modules of it, or its values shorter"),
        taken => format!("{what}, {} of them for smaller ones: propose it in another pull request", count(taken)),
    };
    Finding { severity: Severity::Denied, rule: TOO_LONG.to_owned(), place: String::new(), message }
}

/// What is done to what, a line each. It is of the changes: Terraform's words hold values of anybody.
pub(super) fn list(changes: &Changes) -> String {
    let resources = changes.resources.iter().map(|resource| (resource.action, resource.address.clone()));
    let outputs = changes.outputs.iter().map(|output| (output.action(), format!("output.{}", output.name)));
    let line = |(action, address): (Action, String)| {
        let does = match action {
            Action::Create => "+ create",
            Action::Update => "~ update",
            Action::Replace => "-/+ replace",
            Action::Delete => "- delete",
            Action::Forget => "  forget",
            Action::Import => "  import",
        };
        format!("{does} {}\n", one_line(&address))
    };
    resources.chain(outputs).map(line).collect()
}

/// A text of one line, as one can see it.
fn prose_line(text: &str) -> String {
    uncut(text).collect::<Vec<_>>().join(" ")
}

/// All that there is to say of one root module.
fn told(outcome: &Outcome<'_>) -> String {
    let mut out = String::new();
    let (findings, words) = match outcome {
        Outcome::Plan { changes, text, digest, findings, destroys, versions, providers_changed } => {
            let _ = write!(out, "{}\n{}", Counts::of(changes), list(changes));
            out.push_str(if *destroys { "all of it is destroyed\n" } else { "" });
            for resource in &changes.drift {
                let _ = writeln!(out, "changed by hand: {}", one_line(&resource.address));
            }
            let _ = writeln!(out, "changes: sha256:{}", prose_line(digest));
            out.push_str(if *providers_changed { "other providers than those that were applied last\n" } else { "" });
            for (name, version) in *versions {
                let _ = writeln!(out, "provider: {} {}", prose_line(name), prose_line(version));
            }
            (*findings, *text)
        }
        Outcome::Refused(findings) => (*findings, ""),
        Outcome::Failed { what, words } => {
            let _ = writeln!(out, "failed in {}", prose_line(what));
            (&[][..], *words)
        }
    };
    for f in findings {
        let (rule, place, message) = (prose_line(&f.rule), prose_line(&f.place), prose_line(&f.message));
        let _ = writeln!(out, "{}: {rule}: {place}: {message}", word_of(f.severity));
    }
    if !words.trim().is_empty() {
        out.push('\n');
        for line in uncut(words) {
            let _ = writeln!(out, "{}", format!("| {line}").trim_end());
        }
    }
    out
}

/// Leaves whole lines of at most `room` bytes, and says how many are left out.
fn cut(part: &mut String, room: usize) {
    if part.len() > room {
        let end = part[..part.floor_char_boundary(room)].rfind('\n').map_or(0, |line| line + 1);
        let left = part[end..].lines().count();
        part.truncate(end);
        let _ = writeln!(part, "… {}", counted(left, "more line"));
    }
}
