//! Texts: where they stand, and how they can be shown.

/// Where something stands in its source: byte offsets, line and column from 1, the column in
/// characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// The line of the first byte.
    pub line: usize,
    /// The column of the first byte.
    pub column: usize,
}

/// A user's text as it can stand in a message: in backticks, on one line, without
/// control or direction-changing characters, cut at 60 characters.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == 60 {
            quoted.push('…');
            break;
        }
        if c == '`' || is_deceptive(c) {
            quoted.extend(c.escape_unicode());
        } else {
            quoted.push(c);
        }
    }
    quoted.push('`');
    quoted
}

/// Whether a character controls how text is shown rather than being shown: controls, line and
/// paragraph separators, what changes direction (Unicode TR 36, bidirectional text spoofing) or
/// takes no room, and what is no character at all.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}')
        || matches!(c, '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xFFFE == 0xFFFE
}

/// `1 file`, `2 files`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_stays_on_its_line_and_in_its_backticks() {
        assert_eq!(quote("a`\n\u{1b}[31m\u{202e}"), r"`a\u{60}\u{a}\u{1b}[31m\u{202e}`");
        assert_eq!(quote(&"x".repeat(70)).chars().count(), 63);
    }
}
