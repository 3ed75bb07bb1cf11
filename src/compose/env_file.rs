//! Files of variables, `.env` and those of `env_file`
//! (<https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax>).

use super::interpolation::interpolate;
use crate::text::{Span, quote};
use crate::violation::{Refusal, Violation};
use std::collections::BTreeMap;

const RULE: &str = "env-file";

/// What a file of variables says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvFile {
    /// The values, by name; of a name that is there twice, the last.
    pub variables: BTreeMap<String, String>,
    /// The names without a value, which nobody has set, with their places: they are not there.
    pub unset: Vec<(String, Span)>,
    /// Every fault; no value is told.
    pub faults: Vec<Violation>,
}

/// Reads `NAME=value` and `NAME: value`, each perhaps behind `export`; a name alone has the value that `variable` knows.
/// Values without quotes end with their line or before ` #`; in `"…"` they may be of several lines, with escapes as in
/// `\n`, and as those without quotes have variables: of the file, above, or those that `variable` knows, which come first.
/// In `'…'` all is as it is.
pub fn read(text: &str, variable: &impl Fn(&str) -> Option<String>) -> EnvFile {
    let mut reader = Reader { text, at: 0, counted: (0, 1), variable, file: EnvFile::default() };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    while reader.skip_blank() {
        let begin = reader.at;
        if let Err((refusal, at)) = reader.entry() {
            let span = reader.span(at.unwrap_or(begin), at.unwrap_or(begin));
            reader.file.faults.push(refusal.at("", Some(span)));
            // The next line may be right.
            reader.at = reader.line_end(reader.at.max(begin));
        }
    }
    reader.file
}

struct Reader<'t, F> {
    text: &'t str,
    at: usize,
    /// Up to where lines are counted, and the line there.
    counted: (usize, usize),
    variable: &'t F,
    file: EnvFile,
}

/// What is wrong, and where, if not at the name.
type Wrong = (Refusal, Option<usize>);

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end)
    }

    fn span(&mut self, start: usize, end: usize) -> Span {
        if start < self.counted.0 {
            self.counted = (0, 1);
        }
        let line = self.counted.1 + self.text[self.counted.0..start].matches('\n').count();
        self.counted = (start, line);
        let column = self.text[..start].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Span { start, end, line, column }
    }

    /// Goes on to the next entry, if there is one.
    fn skip_blank(&mut self) -> bool {
        loop {
            self.at = self.text.len() - self.rest().trim_start().len();
            match self.rest().starts_with('#') {
                true => self.at = self.line_end(self.at),
                false => return !self.rest().is_empty(),
            }
        }
    }

    fn entry(&mut self) -> Result<(), Wrong> {
        if let Some(rest) = self.rest().strip_prefix("export").filter(|rest| rest.starts_with(is_space)) {
            self.at = self.text.len() - rest.trim_start_matches(is_space).len();
        }
        let begin = self.at;
        let line = &self.text[begin..self.line_end(begin)];
        let end = line.find(['=', ':']).unwrap_or(line.len());
        let name = line[..end].trim_end();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        if let Some(wrong) = name.find(|c: char| !is_part(c)) {
            let message = format!("{} is no name of a variable", quote(name));
            let refusal = Refusal::new(RULE, message).help("write `NAME=value`, a line each, and `#` before a comment");
            return Err((refusal, Some(begin + wrong)));
        }
        if name.is_empty() {
            let refusal = Refusal::new(RULE, "a name is missing").help("write `NAME=value`");
            return Err((refusal, None));
        }
        let name = name.to_owned();
        if end == line.len() {
            self.at = begin + end;
            match (self.variable)(&name) {
                Some(value) => drop(self.file.variables.insert(name, value)),
                None => {
                    let span = self.span(begin, begin + name.len());
                    self.file.unset.push((name, span));
                }
            }
            return Ok(());
        }
        self.at = begin + end + 1;
        self.at = self.text.len() - self.rest().trim_start_matches(is_space).len();
        let value = self.value(&name)?;
        self.file.variables.insert(name, value);
        Ok(())
    }

    fn value(&mut self, name: &str) -> Result<String, Wrong> {
        let begin = self.at;
        let Some(quoted_by) = self.rest().chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let end = self.line_end(begin);
            self.at = end;
            let line = &self.text[begin..end];
            let value = line.split(" #").next().unwrap_or_default().trim_end();
            return self.with_variables(value, begin);
        };
        let inner = &self.text[begin + 1..];
        let mut is_escaped = false;
        let end = inner.find(|c| {
            let ends = c == quoted_by && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        let Some(end) = end else {
            let message = format!("the quotes of {} are not closed", quote(name));
            return Err((Refusal::new(RULE, message).help(format!("write `{quoted_by}` at the end")), Some(begin)));
        };
        let behind = begin + 1 + end + 1;
        self.at = behind;
        let rest = self.text[behind..self.line_end(behind)].trim_start_matches(is_space);
        if !rest.is_empty() && !rest.starts_with('#') {
            let message = format!("there is a text behind the quotes of {}", quote(name));
            return Err((Refusal::new(RULE, message).help("put all of the value in quotes"), Some(behind)));
        }
        let inner = &inner[..end];
        match quoted_by {
            '"' => self.with_variables(&unescaped(inner), begin),
            _ => Ok(inner.replace("\\'", "'")),
        }
    }

    fn with_variables(&self, value: &str, at: usize) -> Result<String, Wrong> {
        let known = |name: &str| (self.variable)(name).or_else(|| self.file.variables.get(name).cloned());
        interpolate(value, &known).map(|done| done.text).map_err(|refusal| (refusal, Some(at)))
    }
}

/// A text between `"` with what its escapes mean; `\$` is `$$`, which variables leave as `$`.
fn unescaped(text: &str) -> String {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        value.push_str(before);
        let octal = escape.strip_prefix('0').and_then(|digits| digits.get(..3)).filter(|digits| is_octal(digits));
        let code = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let plain = match escape.chars().next() {
            Some('a') => "\u{7}",
            Some('b') => "\u{8}",
            Some('f') => "\u{c}",
            Some('n') => "\n",
            Some('r') => "\r",
            Some('t') => "\t",
            Some('v') => "\u{b}",
            Some('$') => "$$",
            Some('"') => "\"",
            Some('\\') => "\\",
            _ => "",
        };
        rest = match (plain, code) {
            (_, Some(code)) => {
                value.push(char::from(code));
                &escape[4..]
            }
            ("", None) => {
                value.push('\\');
                escape
            }
            (plain, None) => {
                value.push_str(plain);
                &escape[1..]
            }
        };
    }
    value + rest
}

fn is_octal(digits: &str) -> bool {
    digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'))
}

/// White space within a line.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> EnvFile {
        read(text, &|name| (name == "FOO").then(|| "first".to_owned()))
    }

    fn shown(text: &str) -> String {
        of(text).variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    /// As compose-go 2.10 reads each.
    #[test]
    fn a_value_is_as_for_docker_compose() {
        for (text, expected) in [
            ("A=1\nB: 2\nexport C = 3 \n", "A=1\nB=2\nC=3\n"),
            ("\u{feff}# a\n\n  A=1 # b\nB=1#c\n", "A=1\nB=1#c\n"),
            ("A=x y\nB=$A-${FOO}-${GONE:-z}\nC='$A'\nD=\"$A\\n\\$A\"\n", "A=x y\nB=x y-first-z\nC=$A\nD=x y\n$A\n"),
            ("A=\"x\ny\" # z\nB='1\n2'\n", "A=x\ny\nB=1\n2\n"),
            ("A=\nB=\"\"\nC=''\n", "A=\nB=\nC=\n"),
            ("FOO\nGONE\nA=1", "A=1\nFOO=first\n"),
            ("A='it\\'s'\nB=\"a\\\"b\\\\c\\x\\0101\"\n", "A=it's\nB=a\"b\\c\\xA\n"),
            ("A=1\nA=2\n", "A=2\n"),
            ("a.b-c[0]=1\n\u{e4}=2\n", "a.b-c[0]=1\n\u{e4}=2\n"),
            ("A=1\r\nB='2'\r\n", "A=1\nB=2\n"),
            ("FOO=mine\nB=$FOO\n", "B=first\nFOO=mine\n"),
        ] {
            assert_eq!((shown(text), of(text).faults), (expected.to_owned(), vec![]), "{text:?}");
        }
        assert_eq!(of("A=1\n GONE\n").unset, [("GONE".to_owned(), Span { start: 5, end: 9, line: 2, column: 2 })]);
    }

    #[test]
    fn each_fault_is_told_with_its_place_and_hides_no_other() {
        let file = of("A B=1\n=2\nC=${x\nD=\"a\" b\nGOOD=1\nE=\"secret\nF=${FOO:?}\n");
        let told: Vec<_> = file
            .faults
            .iter()
            .map(|fault| (fault.span.map_or((0, 0), |span| (span.line, span.column)), fault.message.as_str()))
            .collect();
        let expected = [
            ((1, 2), "`A B` is no name of a variable"),
            ((2, 1), "a name is missing"),
            ((3, 3), "has a `${` that is not closed on its line"),
            ((4, 6), "there is a text behind the quotes of `D`"),
            ((6, 3), "the quotes of `E` are not closed"),
        ];
        assert_eq!(told, expected);
        assert_eq!(file.variables.keys().collect::<Vec<_>>(), ["F", "GOOD"]);
        assert!(!told.iter().any(|(_, message)| message.contains("secret")));
    }
}
