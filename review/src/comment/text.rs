//! Other people's text in a comment: whatever it holds, it is read as text.
//!
//! Gitea makes links of mentions, references, hashes and addresses wherever they stand in prose,
//! and no escape stops it: only words that nobody reads a meaning into stay prose, the rest is code.

use goldpath::text::is_deceptive;

/// A line of other people's text is shown up to here, in characters.
const LINE: usize = 500;

/// Whether a character is not shown, or changes how others are: what the rest of Goldpath refuses,
/// and what Unicode's Default_Ignorable_Code_Point has beyond that, as tags and fillers.
fn is_hidden(c: char) -> bool {
    is_deceptive(c)
        || matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{e0000}'..='\u{e0fff}')
}

/// Adds a character as one can see it, as `\u{202e}`.
fn push_shown(out: &mut String, c: char) {
    match is_hidden(c) {
        true => out.extend(c.escape_unicode()),
        false => out.push(c),
    }
}

/// A text on one line, as one can see it.
pub(super) fn one_line(text: &str) -> String {
    let mut shown = String::new();
    text.chars().for_each(|c| push_shown(&mut shown, c));
    shown
}

/// A number with a comma before each three digits.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// As `1 line`, `2 lines`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Inline code of at most about `max` bytes, on one line, also for a table's cell.
pub(super) fn code(text: &str, max: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= max {
            shown.push('…');
            break;
        }
        match c {
            // a table takes it for the end of the cell, also in code
            '|' => shown.push_str("\\u{7c}"),
            c => push_shown(&mut shown, c),
        }
    }
    if shown.is_empty() {
        shown.push_str("\"\"");
    }
    let ticks = "`".repeat(longest_run(&shown) + 1);
    // CommonMark takes one space off each end if both have one
    let pad = if shown.starts_with(['`', ' ']) || shown.ends_with(['`', ' ']) { " " } else { "" };
    format!("{ticks}{pad}{shown}{pad}{ticks}")
}

/// Whether [`code`] of at most `max` bytes cuts nothing.
pub(super) fn fits(text: &str, max: usize) -> bool {
    code(text, max) == code(text, usize::MAX)
}

/// Whether a word can stand outside of code: letters or a short number, with punctuation around
/// them that neither Markdown nor Gitea reads.
fn is_quiet(word: &str) -> bool {
    let word =
        word.trim_start_matches(['(', '"', '\'']).trim_end_matches(['.', ',', ';', ':', '?', ')', '"', '\'', '…']);
    let is_number = word.len() <= 6 && word.bytes().all(|b| b.is_ascii_digit());
    let is_word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphabetic() && c <= '\u{24f}');
    // seven such letters may be a commit
    let is_hash = word.len() >= 7 && word.bytes().all(|b| b.is_ascii_hexdigit());
    word == "—" || is_number || (!is_hash && word.split(['-', '\'', '’']).all(is_word))
}

/// A piece of a sentence.
struct Piece {
    text: String,
    is_code: bool,
    /// Whether there is room before it.
    apart: bool,
}

/// Splits a sentence into prose and code: what stands in backticks is code, and so is every word
/// that is not quiet.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut add = |text: &str, is_code: bool, apart: bool| match pieces.last_mut() {
        Some(last) if last.is_code == is_code => {
            last.text.push_str(if apart { " " } else { "" });
            last.text.push_str(text);
        }
        _ => pieces.push(Piece { text: text.to_owned(), is_code, apart }),
    };
    let mut apart = false;
    let is_paired = text.matches('`').count().is_multiple_of(2);
    let segments: Vec<&str> = if is_paired { text.split('`').collect() } else { vec![text] };
    for (i, segment) in segments.into_iter().enumerate() {
        if i % 2 == 1 {
            add(segment, true, apart);
            apart = false;
            continue;
        }
        let mut rest = segment;
        while let Some(word) = rest.split_whitespace().next() {
            let start = rest.find(word).unwrap_or(0);
            apart |= start > 0;
            add(word, !is_quiet(word), apart);
            apart = false;
            rest = &rest[start + word.len()..];
        }
        apart |= !rest.is_empty();
    }
    pieces
}

/// A sentence on one line, of about `max` bytes at most. It must not begin a line: `1.` would be a list.
pub(super) fn prose(text: &str, max: usize) -> String {
    // more than can be shown need not be looked at
    let end = text.floor_char_boundary(max.saturating_mul(2));
    let mut out = String::new();
    for piece in pieces(&text[..end]) {
        let room = max.saturating_sub(out.len());
        if room < 8 {
            return out + " …";
        }
        out.push_str(if piece.apart && !out.is_empty() { " " } else { "" });
        match piece.is_code {
            true => out.push_str(&code(&piece.text, room.saturating_sub(12))),
            false if piece.text.len() <= room => out.push_str(&piece.text),
            false => {
                let end = piece.text[..piece.text.floor_char_boundary(room)].rfind(' ').unwrap_or(0);
                return out + &piece.text[..end] + " …";
            }
        }
    }
    out + if end < text.len() { " …" } else { "" }
}

/// An address if it is one of the web that holds nothing but an address.
pub(super) fn address(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#=&%+[]".contains(&b);
    (!rest.is_empty() && text.len() <= 500 && rest.bytes().all(is_plain)).then_some(text)
}

/// The platform's own sentence: like [`prose`], and addresses are links.
pub(super) fn advice(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut plain = String::new();
    for word in text.split_whitespace() {
        let bare = word.trim_end_matches(['.', ',', ';', ')']);
        match address(bare) {
            Some(address) if out.len() + address.len() < max => {
                out = out + &prose(&plain, max) + if plain.is_empty() { "<" } else { " <" } + address + ">";
                out.push_str(&word[bare.len()..]);
                plain.clear();
                out.push(' ');
            }
            _ => {
                plain.push_str(if plain.is_empty() { "" } else { " " });
                plain.push_str(word);
            }
        }
    }
    let left = max.saturating_sub(out.len());
    (out + &prose(&plain, left)).trim_end().to_owned()
}

/// A line as it can be shown, and whether it is whole.
fn shown_line(line: &str) -> (String, bool) {
    let mut shown = String::new();
    let mut rest = line.char_indices();
    for (_, c) in rest.by_ref().take(LINE) {
        push_in_block(&mut shown, c);
    }
    let cut = rest.next().map_or(0, |(at, _)| line[at..].chars().count());
    if cut > 0 {
        shown.push_str(&format!(" … ({})", counted(cut, "more character")));
    }
    (shown, cut == 0)
}

/// Adds a character where tabs are welcome.
fn push_in_block(out: &mut String, c: char) {
    match c {
        '\t' => out.push(c),
        c => push_shown(out, c),
    }
}

/// The lines between line ends of any kind, without empty ones at the end.
fn raw_lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_end().split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// All of a text, uncut, as one can see it.
pub(super) fn uncut(text: &str) -> impl Iterator<Item = String> {
    raw_lines(text).map(|line| {
        // most lines, and a long plan has millions of characters
        if line.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            return line.to_owned();
        }
        let mut shown = String::new();
        line.chars().for_each(|c| push_in_block(&mut shown, c));
        shown
    })
}

/// A plan's text without its legend, which says the same each time.
pub(super) fn without_legend(text: &str) -> &str {
    let text = text.trim_start_matches(['\n', '\r']);
    let is_legend = ["Terraform used the selected providers", "OpenTofu used the selected providers"];
    if !is_legend.iter().any(|l| text.starts_with(l)) {
        return text;
    }
    let rest = text.split_once("\n\n").map_or(text, |(_, rest)| rest);
    let is_opening = ["Terraform will perform the following actions:", "OpenTofu will perform the following actions:"];
    let rest = is_opening.iter().find_map(|l| rest.strip_prefix(l)).unwrap_or(rest);
    rest.trim_start_matches(['\n', '\r'])
}

/// A line of a plan as a line of a `diff`: what says how it changes comes first.
fn diff_line(line: &str) -> String {
    let rest = line.trim_start_matches(' ');
    let indent = line.len() - rest.len();
    for (mark, shown) in [("-/+ ", "-/+"), ("+/- ", "- +/-"), ("+ ", "+"), ("- ", "-"), ("~ ", "!")] {
        if let Some(rest) = rest.strip_prefix(mark) {
            let width = (indent + mark.len()).max(shown.len() + 1);
            return format!("{shown:width$}{rest}");
        }
    }
    line.to_owned()
}

/// A block of code.
pub(super) struct Fenced {
    /// The Markdown, with its line end; nothing but what is left out where there was no room.
    pub markdown: String,
    /// Whether something is left out.
    pub is_cut: bool,
}

/// The longest `… 1,234 more lines` with its line ends.
const MORE: usize = 60;

/// Puts a text into a block of code of at most `room` bytes; `diff` makes a plan's lines those of a
/// diff. `see` says where the rest is.
pub(super) fn fenced(info: &str, text: &str, room: usize, see: &str) -> Fenced {
    let (mut body, mut ticks, mut left, mut is_cut) = (String::new(), 3, 0, false);
    let mut rest = raw_lines(text);
    while let Some(line) = rest.next() {
        let (line, is_whole) = shown_line(line);
        let line = if info == "diff" { diff_line(&line) } else { line };
        let fence = ticks.max(longest_run(&line) + 1);
        let size = body.len() + line.len() + 2 * fence + info.len() + MORE + see.len();
        if size > room {
            left = 1 + rest.count();
            break;
        }
        is_cut |= !is_whole;
        ticks = fence;
        body.push_str(&line);
        body.push('\n');
    }
    let mut markdown = String::new();
    if !body.is_empty() {
        let fence = "`".repeat(ticks);
        markdown = format!("{fence}{info}\n{body}{fence}\n");
    }
    if left > 0 {
        markdown.push_str(&format!("\n… {}{see}\n", counted(left, "more line")));
    }
    Fenced { markdown, is_cut: is_cut || left > 0 }
}

/// Shares room out: who wants little gets it, and the others get the same each.
pub(super) fn shares(wants: &[usize], mut room: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|&i| wants[i]);
    let mut shares = vec![0; wants.len()];
    for (done, i) in order.into_iter().enumerate() {
        shares[i] = wants[i].min(room / (wants.len() - done));
        room -= shares[i];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stays_code_whatever_is_in_it() {
        assert_eq!(code("a", 99), "`a`");
        assert_eq!(code("a``b`", 99), "``` a``b` ```");
        assert_eq!(code("a|b\n\u{202e}", 99), r"`a\u{7c}b\u{a}\u{202e}`");
        assert_eq!(code("", 99), "`\"\"`");
        assert_eq!(code("abcdef", 3), "`abc…`");
    }

    #[test]
    fn only_quiet_words_are_prose() {
        for (text, shown) in [
            ("`a.b` is destroyed; say `keep`.", "`a.b` is destroyed; say `keep`."),
            ("ask @ada and #12 or x@y.org, please", "ask `@ada` and `#12` or `x@y.org,` please"),
            ("<b>bold</b> **x** [a](b) :smile: www.x.org", "`<b>bold</b> **x** [a](b) :smile: www.x.org`"),
            ("one ` tick", "one `` ` `` tick"),
            ("`a``b`", "`ab`"),
            (
                "commit deadbee1 defaced on 12 days, ABC-1 (see it's well-known)",
                "commit `deadbee1 defaced` on 12 days, `ABC-1` (see it's well-known)",
            ),
            ("a\n\n# b", "a `#` b"),
        ] {
            assert_eq!(prose(text, 400), shown);
        }
    }

    #[test]
    fn prose_is_cut() {
        assert_eq!(prose(&"word ".repeat(100), 22), "word word word word …");
        assert!(prose(&"@".repeat(1 << 20), 300).len() <= 310);
    }

    #[test]
    fn advice_links_addresses_alone() {
        assert_eq!(advice("push again, see https://g.x/a/b?c#d.", 200), "push again, see <https://g.x/a/b?c#d>.");
        assert_eq!(advice("https://x/<b> javascript:1", 200), "`https://x/<b> javascript:1`");
    }

    #[test]
    fn lines_end_at_any_line_end_and_are_cut() {
        assert_eq!(raw_lines("a\r\nb\rc\n\nd\n\n").collect::<Vec<_>>(), ["a", "b", "c", "", "d"]);
        assert_eq!(shown_line("\u{1b}[1m\t\0"), ("\\u{1b}[1m\t\\u{0}".to_owned(), true));
        let cut = format!("{} … (1,001 more characters)", "x".repeat(500));
        assert_eq!(shown_line(&"x".repeat(1_501)), (cut, false));
    }

    #[test]
    fn a_plans_marks_come_first() {
        for (line, shown) in [
            ("  + resource", "+   resource"),
            ("      ~ name = \"a\" -> \"b\"", "!       name = \"a\" -> \"b\""),
            ("-/+ resource", "-/+ resource"),
            ("+/- resource", "- +/- resource"),
            ("  # a.b will be made", "  # a.b will be made"),
            ("- x", "- x"),
        ] {
            assert_eq!(diff_line(line), shown);
        }
    }

    #[test]
    fn a_fence_is_longer_than_all_in_it_and_keeps_to_its_room() {
        let text = "````\na\n";
        assert_eq!(fenced("diff", text, 999, "").markdown, "`````diff\n````\na\n`````\n");
        let long = "line\n".repeat(2_000);
        let cut = fenced("", &long, 200, ": see it");
        assert!(cut.is_cut && cut.markdown.len() <= 200, "{}", cut.markdown);
        let kept = cut.markdown.matches("line\n").count();
        let end = format!("line\n```\n\n… {} more lines: see it\n", count(2_000 - kept));
        assert!(kept > 15 && cut.markdown.ends_with(&end), "{}", cut.markdown);
    }

    #[test]
    fn a_large_one_does_not_take_the_room_of_small_ones() {
        assert_eq!(shares(&[10, 1_000, 20, 900], 230), [10, 100, 20, 100]);
        assert_eq!(shares(&[10, 20], 100), [10, 20]);
        assert_eq!(shares(&[], 100), [0; 0]);
    }

    #[test]
    fn the_legend_goes_and_the_actions_stay() {
        let text = "\nTerraform used the selected providers to generate the following execution\nplan. x:\n  + create\n\nTerraform will perform the following actions:\n\n  # a\n";
        assert_eq!(without_legend(text), "  # a\n");
        assert_eq!(without_legend("Note: x\n\ny"), "Note: x\n\ny");
    }
}
