//! Everything, uncut, as plain text.

use super::text::{counted, shares, uncut};
use super::{Counts, Outcome, Page, Planned, WHOLE_LIMIT, word_of};
use std::fmt::Write as _;

/// Everything that was planned, as plain text of at most [`WHOLE_LIMIT`] bytes: no line is cut, and
/// what controls a terminal is shown instead.
pub fn whole(page: &Page<'_>) -> String {
    const NOTE: usize = 200;
    let mut parts = vec![format!("Plan of commit {}\n", prose_line(page.commit))];
    parts.extend(page.modules.iter().map(whole_module));
    let wants: Vec<usize> = parts.iter().map(String::len).collect();
    let room = WHOLE_LIMIT.saturating_sub(parts.len() * NOTE);
    for (part, share) in parts.iter_mut().zip(shares(&wants, room)) {
        if share < part.len() {
            let end = part.floor_char_boundary(share);
            let end = part[..end].rfind('\n').map_or(end, |line| line + 1);
            let left = part[end..].lines().count();
            part.truncate(end);
            let _ = writeln!(part, "… {}", counted(left, "more line"));
        }
    }
    parts.concat()
}

/// A text of one line, as one can see it.
fn prose_line(text: &str) -> String {
    uncut(text).collect::<Vec<_>>().join(" ")
}

/// One root module of the whole text.
fn whole_module(planned: &Planned<'_>) -> String {
    let mut out = format!("\n==== {} ====\n", planned.module);
    let (findings, words) = match planned.outcome {
        Outcome::Plan { changes, text, digest, findings, versions, .. } => {
            let _ = writeln!(out, "{}\nchanges: sha256:{}", Counts::of(changes), prose_line(digest));
            for (name, version) in versions {
                let _ = writeln!(out, "provider: {} {}", prose_line(name), prose_line(version));
            }
            (findings, text)
        }
        Outcome::Refused(findings) => (findings, ""),
        Outcome::Failed { what, words } => {
            let _ = writeln!(out, "failed in {}", prose_line(what));
            (&[][..], words)
        }
    };
    for f in findings {
        let (rule, place, message) = (prose_line(&f.rule), prose_line(&f.place), prose_line(&f.message));
        let _ = writeln!(out, "{}: {rule}: {place}: {message}", word_of(f.severity));
    }
    out.push('\n');
    for line in uncut(words) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}
