//! What is wrong with a request: where, which rule, what would be right.
//!
//! A [`Violation`] is for the person who wrote the request. It never ends a
//! program: all violations of a request are collected and shown at once.

use crate::text::Span;
use serde::Serialize;

/// As many faults of a file are told. A request of 1.5 MB can have 20,000, which nobody reads, and a log should not hold.
const MAX_TOLD: usize = 200;

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The field, as `spec.members[2].role`; empty for the whole request.
    pub path: String,
    /// The rule's name, as `unknown-field`: stable, for programs.
    pub rule: &'static str,
    /// What is wrong, with the value, as one line without a full stop.
    pub message: String,
    /// What is allowed, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The allowed value nearest to the one given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Where in the file; none where the request came without its text.
    #[serde(skip)]
    pub span: Option<Span>,
}

impl Violation {
    /// The fault as one sentence: a message that does not name the value gets the field's name.
    pub fn sentence(&self) -> String {
        sentence(&self.path, &self.message)
    }
}

/// A fault in a field as one sentence.
pub fn sentence(path: &str, message: &str) -> String {
    match path.is_empty() || message.starts_with('`') {
        true => message.to_owned(),
        false => format!("`{path}` {message}"),
    }
}

/// The faults to tell: the first of many, and then how many more there are.
pub fn told(faults: &[Violation]) -> Vec<Violation> {
    let mut told: Vec<_> = faults.iter().take(MAX_TOLD).cloned().collect();
    if let Some(more @ 1..) = faults.len().checked_sub(MAX_TOLD) {
        told.push(Refusal::new("more", format!("and {more} more")).help("mend these first").at("", None));
    }
    told
}

/// Why a value is not what its type takes: a [`Violation`] before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// See [`Violation::rule`].
    pub rule: &'static str,
    /// See [`Violation::message`].
    pub message: String,
    /// See [`Violation::help`].
    pub help: Option<String>,
    /// See [`Violation::suggestion`].
    pub suggestion: Option<String>,
}

impl Refusal {
    /// A refusal by `rule`, with what is wrong.
    pub fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), help: None, suggestion: None }
    }

    /// Adds what is allowed.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the one of `known` that `given` was probably meant to be, if one is near.
    #[must_use]
    pub fn suggest<'a>(mut self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.suggestion = nearest(given, known).map(str::to_owned);
        self
    }

    /// Gives the refusal its place.
    pub fn at(self, path: impl Into<String>, span: Option<Span>) -> Violation {
        Violation {
            path: path.into(),
            rule: self.rule,
            message: self.message,
            help: self.help,
            suggestion: self.suggestion,
            span,
        }
    }
}

/// The one of `known` that `given` is probably a slip for: at most a third of it differs.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 64 {
        return None;
    }
    let given = given.to_lowercase();
    let length = given.chars().count();
    let allowed = |k: &str| k.chars().count().max(3) / 3;
    known
        .into_iter()
        // What differs in length by more costs no comparison: a request can hold 20,000 slips.
        .filter(|k| k.chars().count().abs_diff(length) <= allowed(k))
        .map(|k| (strsim::damerau_levenshtein(&given, &k.to_lowercase()), k))
        .filter(|(distance, k)| *distance <= allowed(k))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_suggested_and_another_word_is_not() {
        assert_eq!(nearest("emial", ["name", "email"]), Some("email"));
        assert_eq!(nearest("Visibility", ["visibility"]), Some("visibility"));
        assert_eq!(nearest("colour", ["name", "email"]), None);
    }
}
