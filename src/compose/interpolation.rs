//! Variables in values: `$X`, `${X}`, `${X:-default}` and the like
//! (<https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md>).
//!
//! Where docker compose's own reader (compose-go) guesses, because it looks for the last brace of a line, braces count here.

use crate::text::quote;
use crate::violation::Refusal;

/// As deep as defaults may stand in defaults.
const MAX_DEPTH: usize = 32;
/// The longest text that may come out, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

const RULE: &str = "interpolation";

/// A text whose variables have got their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interpolated {
    /// The text.
    pub text: String,
    /// The variables that nobody has set, for which nothing was put in.
    pub unset: Vec<String>,
}

/// Puts values in the place of variables; `$$` is a `$`.
///
/// # Errors
/// A `${` that is not closed on its line or not understood; a variable that must be set (`:?`), in its author's words; what
/// is too deep or comes out too long. Nothing of the text is told, which may be a secret.
pub fn interpolate(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<Interpolated, Refusal> {
    let mut done = Interpolated::default();
    expand(text, variable, MAX_DEPTH, &mut done)?;
    Ok(done)
}

fn expand(
    text: &str,
    variable: &impl Fn(&str) -> Option<String>,
    depth: usize,
    done: &mut Interpolated,
) -> Result<(), Refusal> {
    let Some(below) = depth.checked_sub(1) else {
        return Err(Refusal::new(RULE, format!("has defaults in defaults, more than {MAX_DEPTH} deep")));
    };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        add(done, before)?;
        if let Some(inner) = after.strip_prefix('{') {
            let (expression, behind) = closed(inner).ok_or_else(|| {
                let refusal = Refusal::new(RULE, "has a `${` that is not closed on its line");
                refusal.help("write `}` behind it, or `$${` for the text `${`")
            })?;
            braced(expression, variable, below, done)?;
            rest = behind;
            continue;
        }
        let (name, behind) = name(after);
        rest = match (name, after.strip_prefix('$')) {
            ("", Some(behind)) => {
                add(done, "$")?;
                behind
            }
            // What is no variable is a text.
            ("", None) => {
                add(done, "$")?;
                after
            }
            (name, _) => {
                put(name, variable(name), done)?;
                behind
            }
        };
    }
    add(done, rest)
}

/// What stands between braces: a name, alone or with what to do.
fn braced(
    expression: &str,
    variable: &impl Fn(&str) -> Option<String>,
    depth: usize,
    done: &mut Interpolated,
) -> Result<(), Refusal> {
    let (name, rest) = name(expression);
    let (skips_empty, operation) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
    let word = operation.get(1..);
    let (Some(word), false) = (word.or((rest.is_empty()).then_some("")), name.is_empty()) else {
        return Err(not_understood());
    };
    let value = variable(name);
    let is_there = value.as_ref().is_some_and(|value| !(skips_empty && value.is_empty()));
    // What stands there is read whether it counts or not: a slip in it is one.
    let mut other = Interpolated::default();
    match operation.chars().next() {
        None if rest.is_empty() => return put(name, value, done),
        Some('-' | '+' | '?') => expand(word, variable, depth, &mut other)?,
        _ => return Err(not_understood()),
    }
    match (operation.as_bytes()[0], is_there) {
        (b'-', false) | (b'+', true) => {
            done.unset.append(&mut other.unset);
            add(done, &other.text)
        }
        (b'?', false) => {
            // As it is written, without values.
            let why = if word.is_empty() { String::new() } else { format!(": {}", quote(word)) };
            Err(Refusal::new("required-variable", format!("needs the variable {}{why}", quote(name)))
                .help("set it in `variables` or in the `.env`"))
        }
        _ => add(done, &value.unwrap_or_default()),
    }
}

fn not_understood() -> Refusal {
    Refusal::new(
        RULE,
        "has a `${` behind which stands no name, or no `}` and none of `:-`, `-`, `:+`, `+`, `:?`, `?` behind that",
    )
    .help("write it as in `${NAME}` or `${NAME:-default}`, or `$${` for the text `${`")
}

fn put(name: &str, value: Option<String>, done: &mut Interpolated) -> Result<(), Refusal> {
    match value {
        Some(value) => add(done, &value),
        None => {
            done.unset.push(name.to_owned());
            Ok(())
        }
    }
}

fn add(done: &mut Interpolated, text: &str) -> Result<(), Refusal> {
    if done.text.len() + text.len() > MAX_TEXT {
        return Err(
            Refusal::new(RULE, format!("becomes longer than {} KiB", MAX_TEXT >> 10)).help("use shorter values")
        );
    }
    done.text.push_str(text);
    Ok(())
}

/// The name that a text begins with, and what is behind it.
fn name(text: &str) -> (&str, &str) {
    let is_part =
        |(at, byte): &(usize, u8)| byte.is_ascii_alphabetic() || *byte == b'_' || (*at > 0 && byte.is_ascii_digit());
    text.split_at(text.bytes().enumerate().take_while(is_part).count())
}

/// What stands before the brace that closes, on the same line, and what behind.
fn closed(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\n' => return None,
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Interpolated, Refusal> {
        interpolate(text, &|name| match name {
            "FOO" => Some("first".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("$FOO".to_owned()),
            _ => None,
        })
    }

    fn text(source: &str) -> String {
        of(source).map_or_else(|refusal| format!("{}: {}", refusal.rule, refusal.message), |done| done.text)
    }

    /// As compose-go 2.10 reads each.
    #[test]
    fn a_value_is_as_for_docker_compose() {
        for (source, expected) in [
            ("a", "a"),
            ("$FOO-${FOO}", "first-first"),
            ("$$FOO $${FOO} $", "$FOO ${FOO} $"),
            ("$1 $. $ 100$", "$1 $. $ 100$"),
            ("${GONE}", ""),
            ("${GONE:-x}${EMPTY:-y}${FOO:-z}", "xyfirst"),
            ("${GONE-x}|${EMPTY-y}|${FOO-z}", "x||first"),
            ("${GONE:+x}|${EMPTY:+y}|${FOO:+z}", "||z"),
            ("${GONE+x}|${EMPTY+y}|${FOO+z}", "|y|z"),
            ("${FOO:?no}|${EMPTY?no}", "first|"),
            ("${GONE:-${EMPTY:-${FOO}}}", "first"),
            ("${GONE:-a b:c-d?e+f}", "a b:c-d?e+f"),
            ("${GONE:-{\"a\": {}}}", "{\"a\": {}}"),
            ("${GONE:-x}-${FOO}}", "x-first}"),
            ("${DOLLAR}", "$FOO"),
            ("${GONE-}", ""),
            ("\u{e4}$FOO\u{e4}", "\u{e4}first\u{e4}"),
            ("$_a$A1", ""),
        ] {
            assert_eq!(text(source), expected, "{source}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused_and_nothing_of_it_is_told() {
        const NOT_CLOSED: &str = "interpolation: has a `${` that is not closed on its line";
        const NOT_UNDERSTOOD: &str = "interpolation: has a `${` behind which stands no name, or no `}` and none of `:-`, `-`, `:+`, `+`, `:?`, `?` behind that";
        for (source, told) in [
            ("a ${FOO", NOT_CLOSED),
            ("${GONE:-x\n}", NOT_CLOSED),
            ("${}", NOT_UNDERSTOOD),
            ("${1}", NOT_UNDERSTOOD),
            ("${FOO.x}", NOT_UNDERSTOOD),
            ("${FOO:x}", NOT_UNDERSTOOD),
            ("${FOO:}", NOT_UNDERSTOOD),
            ("${FOO:-${}}", NOT_UNDERSTOOD),
            ("${GONE:?set it, $FOO}", "required-variable: needs the variable `GONE`: `set it, $FOO`"),
            ("${EMPTY:?}", "required-variable: needs the variable `EMPTY`"),
            ("${FOO\u{e4}}", NOT_UNDERSTOOD),
        ] {
            assert_eq!(text(source), told, "{source}");
        }
        let deep = format!("{}{}", "${A:-".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
        assert_eq!(text(&deep), "interpolation: has defaults in defaults, more than 32 deep");
        let long = interpolate(&"$A".repeat(2000), &|_| Some("x".repeat(1000)));
        assert!(long.is_err_and(|refusal| refusal.message.starts_with("becomes longer than 1024 KiB")));
    }

    #[test]
    fn what_nobody_has_set_is_told_where_it_counts() {
        let unset = |source: &str| of(source).map(|done| done.unset.join(" "));
        assert_eq!(
            unset("$A ${B} ${C:-c} ${D+$E} ${F:-$G} ${FOO:-$H} ${I?x}").map_err(|r| r.rule),
            Err("required-variable")
        );
        assert_eq!(unset("$A ${B} ${C:-c} ${D+$E} ${F:-$G} ${FOO:-$H} ${FOO+$I}"), Ok("A B G I".to_owned()));
    }
}
