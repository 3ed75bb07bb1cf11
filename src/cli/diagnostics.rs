//! Shows faults as compilers do: the rule, the file with line and column, the line, what to do.
//! Nothing the user wrote reaches the terminal as a control sequence or turns its text around,
//! and neither a long line nor a large file floods it.

use crate::config::Faulty;
use crate::document::Unreadable;
use crate::text::{Span, is_deceptive};
use crate::violation::{Violation, told};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// The widest output; a longer source line is cut around its fault.
const WIDTH: usize = 120;
/// How far into a line, in bytes, a fault is still shown in its text: each fault costs a pass
/// over the line up to it, and a request as JSON on one line can hold thousands.
const MAX_LINE: usize = 16 << 10;

/// Renders the faults of one file. `name` as the user gave it (or `<stdin>`); `source` its text;
/// `color` whether to style for a terminal.
pub fn render_violations(name: &str, source: &str, faults: &[Violation], color: bool) -> String {
    render_all(Level::ERROR, name, source, faults, color)
}

/// The same of what may be wrong.
pub fn render_warnings(name: &str, source: &str, warnings: &[Violation], color: bool) -> String {
    render_all(Level::WARNING, name, source, warnings, color)
}

fn render_all(level: Level<'_>, name: &str, source: &str, faults: &[Violation], color: bool) -> String {
    let mut output = String::new();
    for fault in &told(faults) {
        let suggestion = fault.suggestion.as_ref();
        let notes =
            Vec::from_iter((fault.help.clone().into_iter()).chain(suggestion.map(|s| format!("did you mean `{s}`?"))));
        let sentence = fault.sentence();
        let title = (level.clone(), Some(fault.rule), sentence.as_str());
        output += &render(name, source, title, &fault.path, fault.span, &notes, color);
    }
    output
}

/// Renders what is wrong with a configuration.
pub fn render_fault(name: &str, text: &[u8], fault: &Faulty, color: bool) -> String {
    match fault {
        Faulty::Unreadable(fault) => render_unreadable(name, text, fault, color),
        Faulty::Wrong(faults) => render_violations(name, &String::from_utf8_lossy(text), faults, color),
    }
}

/// Renders why a file could not be read; without its text where that is not UTF-8.
pub fn render_unreadable(name: &str, source: &[u8], fault: &Unreadable, color: bool) -> String {
    let source = std::str::from_utf8(source).unwrap_or_default();
    let notes = Vec::from_iter(fault.help.clone());
    render(name, source, (Level::ERROR, None, &fault.message), "", fault.span, &notes, color)
}

fn render(
    name: &str,
    source: &str,
    (level, rule, message): (Level<'_>, Option<&str>, &str),
    path: &str,
    span: Option<Span>,
    notes: &[String],
    color: bool,
) -> String {
    let mut title = level.primary_title(harmless(message));
    if let Some(rule) = rule {
        title = title.id(rule);
    }
    let mut group = Group::with_title(title);
    let name = harmless(name);
    let path = harmless(path);
    let line = span.and_then(|span| faulty_line(source, span));
    let mut footer = Vec::new();
    if let (Some(span), Some((text, mark))) = (span, line) {
        let mut annotation = AnnotationKind::Primary.span(mark);
        if !path.is_empty() {
            annotation = annotation.label(path);
        }
        let snippet = Snippet::source(text).line_start(span.line).path(name);
        group = group.element(snippet.annotation(annotation));
    } else {
        let origin = Origin::path(name);
        group = group.element(match span {
            Some(span) => origin.line(span.line).char_column(span.column),
            None => origin,
        });
        if !path.is_empty() {
            footer.push(Level::NOTE.message(format!("at {path}")));
        }
    }
    footer.extend(notes.iter().map(|note| Level::HELP.message(harmless(note))));
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let report = [group.elements(footer)];
    renderer.term_width(WIDTH).render(&report) + "\n\n"
}

/// The line a span begins in, harmless, and the span's part of it; nothing where the span is not
/// of this source or too far into its line.
fn faulty_line(source: &str, span: Span) -> Option<(String, std::ops::Range<usize>)> {
    let before = source.get(..span.start)?;
    let after = &source[span.start..];
    let start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let before = before[start..].trim_start_matches('\u{feff}');
    if before.len() > MAX_LINE {
        return None;
    }
    let rest = after.split(['\n', '\r']).next().unwrap_or_default();
    let rest = &rest[..rest.floor_char_boundary(4 * WIDTH)];
    let marked = span.end.saturating_sub(span.start).min(rest.len());
    let marked = &rest[..rest.floor_char_boundary(marked)];
    let text = harmless(before);
    let mark = text.len()..text.len() + harmless(marked).len();
    Some((text + &harmless(rest), mark))
}

/// The text without line breaks and what controls a terminal, each such character replaced by
/// one that shows, so that columns stay. Tabs stay too: the renderer makes them spaces.
fn harmless(text: &str) -> String {
    let shown = |c| {
        if is_deceptive(c) && c != '\t' { '\u{fffd}' } else { c }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: &str = "spec:\r\n  members:\r\n    - name: Zoë\r\n      role: owner # é\r\n";

    /// A fault at the one place of `source` that reads `marked`.
    fn fault(source: &str, marked: &str) -> Violation {
        let start = source.find(marked).unwrap_or(source.len());
        let before = &source[..start];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        Violation {
            path: "spec.members[0].role".to_owned(),
            rule: "enum",
            message: "`owner` is not one of the allowed roles".to_owned(),
            help: Some("use one of `admin`, `viewer`".to_owned()),
            suggestion: Some("viewer".to_owned()),
            span: Some(Span {
                start,
                end: start + marked.len(),
                line: before.matches('\n').count() + 1,
                column: before[line..].chars().count() + 1,
            }),
        }
    }

    #[test]
    fn a_fault_shows_its_rule_place_line_and_notes() {
        let shown = render_violations("team.yaml", TEAM, &[fault(TEAM, "owner")], false);
        let expected = "\
error[enum]: `owner` is not one of the allowed roles
 --> team.yaml:4:13
  |
4 |       role: owner # é
  |             ^^^^^ spec.members[0].role
  |
  = help: use one of `admin`, `viewer`
  = help: did you mean `viewer`?

";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_fault_without_a_place_names_the_file() {
        let fault = Violation { span: None, suggestion: None, ..fault(TEAM, "owner") };
        let shown = render_violations("<stdin>", TEAM, &[fault.clone(), fault], false);
        let expected = "\
error[enum]: `owner` is not one of the allowed roles
--> <stdin>
 = note: at spec.members[0].role
 = help: use one of `admin`, `viewer`

";
        assert_eq!(shown, expected.repeat(2));
    }

    #[test]
    fn columns_count_characters_also_after_wide_ones_tabs_and_a_byte_order_mark() {
        let source = "\u{feff}\"日本\u{200b}\u{301}\":\towner";
        let mut fault = fault(source, "owner");
        if let Some(span) = &mut fault.span {
            span.column -= 1;
        }
        let shown = render_violations("a", source, &[fault], false);
        assert_eq!(shown.lines().nth(1), Some(" --> a:1:9"), "{shown}");
    }

    #[test]
    fn only_the_first_line_of_a_long_value_is_marked() {
        let source = "a:\n  b: 1\n  c: 2\n";
        let shown = render_violations("a", source, &[fault(source, "b: 1\n  c: 2")], false);
        let lines = Vec::from_iter(shown.lines().skip(3).take(2));
        assert_eq!(lines, ["2 |   b: 1", "  |   ^^^^ spec.members[0].role"]);
    }

    #[test]
    fn a_place_at_the_end_of_the_source_has_a_caret() {
        let shown = render_violations("a", "b: [1", &[fault("b: [1", "gone")], false);
        let lines = Vec::from_iter(shown.lines().skip(1).take(4));
        assert_eq!(lines, [" --> a:1:6", "  |", "1 | b: [1", "  |      ^ spec.members[0].role"]);
    }

    #[test]
    fn a_long_line_is_cut_around_its_fault_and_keeps_its_column() {
        for (before, after) in [(5_000, 5_000), (0, 3_000_000), (9_990, 0)] {
            let source = "x".repeat(before) + "owner" + &"y".repeat(after);
            let shown = render_violations("a", &source, &[fault(&source, "owner")], false);
            assert!(shown.contains(&format!("a:1:{}\n", before + 1)), "{shown}");
            assert!(shown.contains("owner"), "{shown}");
            assert!(shown.lines().all(|l| l.chars().count() < 200), "{shown}");
        }
        let all = "x".repeat(10_000);
        let shown = render_violations("a", &all, &[fault(&all, &all)], false);
        assert!(shown.lines().all(|l| l.chars().count() < 200), "{shown}");
        let source = "x".repeat(1_000_000) + "owner";
        let shown = render_violations("a", &source, &[fault(&source, "owner")], false);
        let head = shown.lines().nth(1);
        assert_eq!((head, shown.len() < 300), (Some("--> a:1:1000001"), true));
    }

    #[test]
    fn nothing_the_user_wrote_controls_the_terminal() {
        let evil = "\u{1b}[31mx\u{1b}]0;t\u{7}\u{9b}2J\u{8}\u{202e}y\u{2066}\u{200f}\u{2028}z\u{85}";
        let source = format!("k{evil}: owner {evil}\rfake: 1\n");
        let planted = Violation {
            path: evil.to_owned(),
            message: format!("{evil}\r\nerror: fake"),
            help: Some(evil.to_owned()),
            suggestion: Some(evil.to_owned()),
            ..fault(&source, "owner")
        };
        let homeless = Violation { span: None, ..planted.clone() };
        let unreadable = Unreadable { message: evil.to_owned(), help: Some(evil.to_owned()), span: planted.span };
        let shown = render_violations(evil, &source, &[planted.clone(), homeless], false)
            + &render_unreadable(evil, source.as_bytes(), &unreadable, false);
        let hidden = |c: char| is_deceptive(c) && c != '\n';
        assert_eq!(shown.chars().find(|&c| hidden(c)), None, "{shown:?}");
        assert!(shown.contains("owner"), "{shown}");
        assert!(!shown.lines().any(|l| l.starts_with("error: fake")), "{shown}");
        let styled = render_violations("a\u{1b}[2J", &source, &[planted], true);
        assert!(styled.contains("\u{1b}[0m"), "colours are wanted");
        let sequences = Vec::from_iter(styled.split('\u{1b}').skip(1));
        let colour = |s: &&&str| {
            s.strip_prefix('[')
                .and_then(|s| s.split_once('m'))
                .is_some_and(|(n, _)| n.bytes().all(|b| b.is_ascii_digit() || b == b';'))
        };
        assert_eq!(sequences.iter().find(|s| !colour(s)), None);
        assert!(!styled.contains("[31mx\u{1b}"), "{styled:?}");
    }

    #[test]
    fn an_unreadable_file_shows_its_place_where_it_has_text() {
        let broken =
            crate::document::parse(b"a: b: c").map_err(|fault| render_unreadable("a.yaml", b"a: b: c", &fault, false));
        let expected = "\
error: mapping values are not allowed in this context
 --> a.yaml:1:5
  |
1 | a: b: c
  |     ^
  |
  = help: put a text that contains `: ` in quotes

";
        assert_eq!(broken.err().as_deref(), Some(expected));
        let binary =
            crate::document::parse(b"a\xff").map_err(|fault| render_unreadable("a.yaml", b"a\xff", &fault, false));
        let expected = "\
error: not UTF-8 at byte offset 1
--> a.yaml
 = help: save the file as UTF-8

";
        assert_eq!(binary.err().as_deref(), Some(expected));
    }
}
