//! Numbers, texts and free mappings of APIs, each with its bounds in its type.

use crate::api::{self, Api, WORDS};
use crate::document::{Key, Node, Value, to_json};
use crate::fields::{self, wrong_type};
use crate::names::{MetadataKey, check_label_value};
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use regex::Regex;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

impl Api for bool {
    fn schema() -> serde_json::Value {
        json!({"type": "boolean", WORDS: "`true` or `false`", "default": false})
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        api::leaf(node, path, faults, |node| match &node.value {
            Value::Bool(value) => Ok(*value),
            _ => Err(wrong_type(node, "a boolean").help("write `true` or `false`")),
        })
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Int<const MIN: i64, const MAX: i64>(i64);

/// A port's number.
pub type Port = Int<1, 65_535>;
/// A number of seconds, up to a day.
pub type Seconds = Int<0, 86_400>;

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<const MIN: i64, const MAX: i64> fmt::Display for Int<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MIN: i64, const MAX: i64> Api for Int<MIN, MAX> {
    fn schema() -> serde_json::Value {
        json!({"type": "integer", WORDS: format!("{MIN} to {MAX}"), "minimum": MIN, "maximum": MAX})
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        api::leaf(node, path, faults, |node| {
            let Value::Number(number) = &node.value else { return Err(wrong_type(node, "a whole number")) };
            match number.as_i64() {
                Some(value) if (MIN..=MAX).contains(&value) => Ok(Self(value)),
                _ => Err(Refusal::new("range", format!("`{number}` is not a whole number from {MIN} to {MAX}"))),
            }
        })
    }
}

/// A text of at most `MAX` characters, of any but NUL and the two that templates mark values by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses what is longer, or holds what no text may.
    ///
    /// # Errors
    /// Which of both.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        check_text(text)?;
        match text.chars().count() {
            count if count > MAX => {
                Err(Refusal::new("length", format!("has {count} characters")).help(format!("use at most {MAX}")))
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

fn check_text(text: &str) -> Result<(), Refusal> {
    match text.chars().find(|c| matches!(c, '\0' | '\u{fdd0}' | '\u{fdd1}')) {
        None => Ok(()),
        Some(c) => Err(Refusal::new("characters", format!("contains the character U+{:04X}", u32::from(c)))
            .help("leave it out: no process gets it")),
    }
}

impl<const MAX: usize> Api for Text<MAX> {
    fn schema() -> serde_json::Value {
        json!({"type": "string", WORDS: format!("any text of at most {MAX}"), "maxLength": MAX, "pattern": r"^[^\x00\x{fdd0}\x{fdd1}]*$"})
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        api::leaf(node, path, faults, |node| fields::text(node, Self::parse))
    }
}

/// A number of Pods, or a percentage of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrPercent {
    /// So many.
    Number(i64),
    /// So many of a hundred.
    Percent(i64),
}

impl IntOrPercent {
    const MAX: i64 = 10_000;

    /// How many of `all` it is, rounded up, or else down.
    pub const fn of(self, all: i64, up: bool) -> i64 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => (all * percent + if up { 99 } else { 0 }) / 100,
        }
    }
}

impl Serialize for IntOrPercent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Percent(percent) => serializer.serialize_str(&format!("{percent}%")),
        }
    }
}

impl Api for IntOrPercent {
    fn schema() -> serde_json::Value {
        json!({
            "x-kubernetes-int-or-string": true,
            WORDS: format!("a number up to {}, or a percentage up to `100%`", Self::MAX),
            "minimum": 0,
            "maximum": Self::MAX,
            "pattern": "^(100|[1-9]?[0-9])%$",
        })
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new("^(100|[1-9]?[0-9])%$").expect("a constant"));
        api::leaf(node, path, faults, |node| match &node.value {
            Value::Number(number) if number.as_i64().is_some_and(|n| (0..=Self::MAX).contains(&n)) => {
                Ok(Self::Number(number.as_i64().unwrap_or_default()))
            }
            Value::String(text) if PATTERN.is_match(text) => {
                Ok(Self::Percent(text.trim_end_matches('%').parse().unwrap_or_default()))
            }
            Value::Number(_) | Value::String(_) => Err(Refusal::new("range", "is not a number of Pods")
                .help(format!("write a number from 0 to {}, or a percentage in quotes, as `\"25%\"`", Self::MAX))),
            _ => Err(wrong_type(node, "a number or a percentage")),
        })
    }
}

/// Labels of a user's own: none of Kubernetes', Kratix's or ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

/// Annotations of a user's own: none of Kubernetes', Kratix's or ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Annotations(pub BTreeMap<String, String>);

/// As many labels or annotations as an object may be given.
const MAX_KEYS: usize = 50;
/// As long as one annotation may be, in characters.
const MAX_ANNOTATION: usize = 10_000;

impl Api for Labels {
    fn schema() -> serde_json::Value {
        let value =
            json!({"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"});
        json!({"type": "object", WORDS: "keys and values of labels, at most 50", "maxProperties": MAX_KEYS, "additionalProperties": value})
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        let parse_key = |key: &str| MetadataKey::parse(key)?.free().map(drop);
        texts(node, path, faults, parse_key, check_label_value).map(Self)
    }
}

impl Api for Annotations {
    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            WORDS: "keys and texts, at most 50",
            "maxProperties": MAX_KEYS,
            "additionalProperties": Text::<MAX_ANNOTATION>::schema(),
        })
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        let parse_key = |key: &str| MetadataKey::parse_annotation(key)?.free().map(drop);
        texts(node, path, faults, parse_key, |text| Text::<MAX_ANNOTATION>::parse(text).map(drop)).map(Self)
    }
}

/// Reads a mapping of texts by keys of the user's own.
fn texts(
    node: &Node,
    path: &str,
    faults: &mut Vec<Violation>,
    check_key: impl Fn(&str) -> Result<(), Refusal>,
    check: impl Fn(&str) -> Result<(), Refusal>,
) -> Option<BTreeMap<String, String>> {
    let begin = faults.len();
    let mut texts = BTreeMap::new();
    for (key, value) in entries(node, path, MAX_KEYS, faults)? {
        let path = path_of(path, key);
        let checked = if key.is_ambiguous { Err(ambiguous(key)) } else { check_key(&key.name) };
        faults.extend(checked.err().map(|refusal| refusal.at(path.as_str(), Some(key.span))));
        match fields::text(value, |text| check(text).map(|()| text.to_owned())) {
            Ok(text) => drop(texts.insert(key.name.clone(), text)),
            Err(refusal) => faults.push(refusal.at(path, Some(value.span))),
        }
    }
    (faults.len() == begin).then_some(texts)
}

fn ambiguous(key: &Key) -> Refusal {
    Refusal::new("ambiguous", format!("{} without quotes is something else for kubectl", quote(&key.name)))
        .help("put it in quotes")
}

fn entries<'n>(node: &'n Node, path: &str, max: usize, faults: &mut Vec<Violation>) -> Option<&'n [(Key, Node)]> {
    let refusal = match &node.value {
        Value::Map(entries) if entries.len() <= max => return Some(entries),
        Value::Map(entries) => {
            Refusal::new("length", format!("has {} entries", entries.len())).help(format!("use at most {max}"))
        }
        _ => wrong_type(node, "a mapping"),
    };
    faults.push(refusal.at(path, Some(node.span)));
    None
}

fn path_of(path: &str, key: &Key) -> String {
    format!("{path}.{}", quote(&key.name).trim_matches('`'))
}

type Schema = fn() -> serde_json::Value;

/// Values that a platform names for its templates, by words; those that decide something have fields of their own.
#[derive(Clone, Debug, Default)]
pub struct Settings(pub serde_json::Map<String, serde_json::Value>);

impl Settings {
    const MAX: usize = 100;
    /// The two that are ours, with their schemas.
    const OWN: [(&str, Schema); 2] = [("maxReplicas", Int::<1, 10_000>::schema), ("disableWorkloads", bool::schema)];

    /// The most Pods that a component may ask for.
    pub fn max_replicas(&self) -> Option<i64> {
        self.0.get("maxReplicas")?.as_i64()
    }

    /// Whether nothing that runs is made.
    pub fn disables_workloads(&self) -> bool {
        self.0.get("disableWorkloads").is_some_and(|value| value == true)
    }
}

impl Api for Settings {
    fn schema() -> serde_json::Value {
        let mut schema = json!({
            "type": "object",
            WORDS: "`maxReplicas`, `disableWorkloads`, and any others by words (letters, digits and `_`), for templates",
            "maxProperties": Self::MAX,
            "x-kubernetes-preserve-unknown-fields": true,
        });
        for (name, of) in Self::OWN {
            let mut of = of();
            of.as_object_mut().map(|of| of.remove("default"));
            schema["properties"][name] = of;
        }
        schema
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        static WORD: LazyLock<Regex> =
            LazyLock::new(|| Regex::new("^[A-Za-z][A-Za-z0-9_]{0,62}$").expect("a constant"));
        let begin = faults.len();
        let mut settings = serde_json::Map::new();
        for (key, value) in entries(node, path, Self::MAX, faults)?.iter().filter(|(_, value)| !value.is_null()) {
            let path = path_of(path, key);
            if !WORD.is_match(&key.name) || key.is_ambiguous {
                let refusal = Refusal::new("pattern", format!("{} is not a setting's name", quote(&key.name)));
                faults.push(
                    refusal.help("use letters, digits and `_`, beginning with a letter").at(path, Some(key.span)),
                );
                continue;
            }
            match key.name.as_str() {
                "maxReplicas" => drop(Int::<1, 10_000>::read(value, &path, faults)),
                "disableWorkloads" => drop(bool::read(value, &path, faults)),
                _ => check_texts(value, &path, faults),
            }
            settings.insert(key.name.clone(), to_json(value));
        }
        (faults.len() == begin).then_some(Self(settings))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// Notes every text in a value of any form that no text may be.
fn check_texts(node: &Node, path: &str, faults: &mut Vec<Violation>) {
    let check = |text: &str| check_text(text).err().map(|refusal| refusal.at(path, Some(node.span)));
    match &node.value {
        Value::String(text) => faults.extend(check(text)),
        Value::Ambiguous(_) => faults.push(wrong_type(node, "a value").at(path, Some(node.span))),
        Value::List(items) => {
            items.iter().enumerate().for_each(|(n, item)| check_texts(item, &format!("{path}[{n}]"), faults));
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let path = path_of(path, key);
                let refusal = if key.is_ambiguous { Err(ambiguous(key)) } else { check_text(&key.name) };
                faults.extend(refusal.err().map(|refusal| refusal.at(path.as_str(), Some(key.span))));
                check_texts(value, &path, faults);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn faults<T: Api>(text: &str) -> String {
        let node = crate::document::parse(text.as_bytes()).unwrap().remove(0);
        let mut faults = Vec::new();
        let read = T::read(&node, "x", &mut faults);
        assert_eq!(read.is_none(), !faults.is_empty(), "{text}");
        faults.iter().map(|fault| format!("{} {}", fault.path, fault.rule)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_type_keeps_its_bounds() {
        assert_eq!(
            ["1", "65535", "0", "65536", "1.5", "'1'"].map(faults::<Port>),
            ["", "", "x range", "x range", "x range", "x type"]
        );
        assert_eq!(["true", "'true'", "yes"].map(faults::<bool>), ["", "x type", "x ambiguous"]);
        assert_eq!(
            ["ab", "abc", "\"a\\0\"", "\"\u{fdd0}\"", "1"].map(faults::<Text<2>>),
            ["", "x length", "x characters", "x characters", "x type"]
        );
        assert_eq!(
            ["0", "25%", "101%", "-1", "x", "[]"].map(faults::<IntOrPercent>),
            ["", "", "x range", "x range", "x range", "x type"]
        );
        assert_eq!(
            ["{a.b/c: d}", "{goldpath.dev/a: b}", "{a: b c}", "{a: 1}", "[]"].map(faults::<Labels>),
            ["", "x.goldpath.dev/a reserved", "x.a pattern", "x.a type", "x type"]
        );
        assert_eq!(["{a: \"b c\"}", "{kratix.io/a: b}"].map(faults::<Annotations>), ["", "x.kratix.io/a reserved"]);
        let settings = "{maxReplicas: 0, disableWorkloads: 1, a-b: 1, deep: {k: [\"\u{fdd1}\"]}, n: null, ok: [1]}";
        assert_eq!(
            faults::<Settings>(settings),
            "x.maxReplicas range, x.disableWorkloads type, x.a-b pattern, x.deep.k[0] characters"
        );
    }

    #[test]
    fn a_percentage_is_rounded() {
        let quarter = IntOrPercent::Percent(25);
        assert_eq!([quarter.of(10, true), quarter.of(10, false), IntOrPercent::Number(3).of(10, true)], [3, 2, 3]);
    }
}
