//! Templates that print objects, in ordinary Jinja, which no value can be injected into: what a template prints for a value is
//! a token, and the value takes the token's place once the text is parsed.
//!
//! `{{ x }}` may stand anywhere in a scalar or key: `image: "{{ image }}:{{ version }}"`. A plain scalar that is one value and
//! nothing else has the value's type, a list or mapping too; anything else is text. Whatever a value holds, it is data.

use crate::document::{self, Node, Value};
use crate::template::{Format, write_string};
use crate::text::quote;
use crate::violation::nearest;
use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};
use regex::Regex;
use serde_json::{Map, Value as Json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// What a token begins and ends with: noncharacters (Unicode 23.7), which are in no text of a user's.
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// The longest template, in bytes.
const MAX_SOURCE: usize = 256 << 10;
/// The most steps that a template may take, so that each ends.
const FUEL: u64 = 10_000_000;
/// As many templates, and shapes of what they print, are kept.
const KEPT: usize = 512;

/// A template that cannot be used, or what of its values it cannot print.
#[derive(Debug, thiserror::Error)]
#[error("cannot render template `{name}`{}: {message}", .place.map(|place| format!(", {place}")).unwrap_or_default())]
pub struct ObjectTemplateError {
    name: String,
    message: String,
    place: Option<Place>,
}

/// Where something is wrong; lines and columns count from one.
#[derive(Clone, Copy, Debug)]
enum Place {
    Template {
        line: usize,
        column: usize,
    },
    /// In what the template prints, where tokens stand for values and make columns say nothing.
    Printed {
        line: usize,
    },
}

impl Place {
    /// Of a byte of a template.
    fn of(source: &str, at: usize) -> Self {
        let before = source.get(..at).unwrap_or(source);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self::Template { line: before.matches('\n').count() + 1, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template { line, column } => write!(f, "line {line}, column {column}"),
            Self::Printed { line } => write!(f, "line {line} of what it prints"),
        }
    }
}

/// The objects that a template prints, in the order of its documents; empty documents are left out.
///
/// # Errors
/// A template that is too long or not valid, takes no end, captures what it prints, or names something undefined; what is no
/// YAML or no mapping once it is printed; a value that cannot stand where it is printed.
pub fn render(name: &str, source: &str, context: &minijinja::Value) -> Result<Vec<Json>, ObjectTemplateError> {
    let wrong = |(message, place)| ObjectTemplateError { name: name.to_owned(), message, place };
    let (text, values) = ENGINE.with_borrow_mut(|engine| engine.print(name, source, context)).map_err(wrong)?;
    let shape = SHAPES.with_borrow_mut(|shapes| {
        if let Some(shape) = shapes.get(&text) {
            return Ok(Rc::clone(shape));
        }
        let documents = document::parse(text.as_bytes()).map_err(|fault| {
            let place = fault.span.map(|span| Place::Printed { line: span.line });
            (format!("that is no YAML: {}", shown(&fault.message)), place)
        })?;
        let shape = Rc::new(documents.iter().map(|node| Part::of(node, &text)).collect::<Result<Vec<_>, _>>()?);
        if shapes.len() >= KEPT {
            shapes.clear();
        }
        shapes.insert(text, Rc::clone(&shape));
        Ok(shape)
    });
    let values = values.into_iter().map(value_of).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let mut objects = Vec::new();
    for part in shape.map_err(wrong)?.iter() {
        match part.fill(&values).map_err(wrong)? {
            Json::Null => {}
            object @ Json::Object(_) => objects.push(object),
            _ => return Err(wrong(("prints a document that is no mapping".to_owned(), None))),
        }
    }
    Ok(objects)
}

/// A value that a template can only print by itself: it is never taken apart, which costs more than all else.
pub fn whole(value: Json) -> minijinja::Value {
    minijinja::Value::from_object(Whole(value))
}

#[derive(Debug)]
struct Whole(Json);

impl Object for Whole {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Why, and where.
type Why = (String, Option<Place>);

/// A message of a reader of what was printed, in which tokens may stand.
fn shown(message: &str) -> String {
    message.replace([BEGIN, END], "")
}

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(Engine::new());
    /// What texts are, parsed once: thousands of renderings print the same one, but for the values.
    static SHAPES: RefCell<HashMap<String, Rc<Vec<Part>>>> = RefCell::new(HashMap::new());
}

struct Engine {
    environment: Environment<'static>,
    /// Those that are printed, in their order.
    values: Arc<Mutex<Vec<minijinja::Value>>>,
    names: HashMap<String, String>,
}

impl Engine {
    fn new() -> Self {
        let values = Arc::new(Mutex::new(Vec::new()));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true);
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        // They would do nothing here; an author who reaches for one should hear so.
        for filter in ["safe", "escape", "e"] {
            environment.remove_filter(filter);
        }
        let printed = Arc::clone(&values);
        environment.set_formatter(move |out, _, value| {
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_fmt(format_args!("{BEGIN}{}{END}", printed.len()))?;
            printed.push(value.clone());
            Ok(())
        });
        Self { environment, values, names: HashMap::new() }
    }

    /// What a template prints, with tokens for these values.
    fn print(
        &mut self,
        name: &str,
        source: &str,
        context: &minijinja::Value,
    ) -> Result<(String, Vec<minijinja::Value>), Why> {
        if self.names.get(name).is_none_or(|known| known != source) {
            check_source(source)?;
            if self.names.len() >= KEPT {
                self.environment.clear_templates();
                self.names.clear();
            }
            let added = self.environment.add_template_owned(name.to_owned(), source.to_owned());
            added.map_err(|error| explain(&error, source, context))?;
            self.names.insert(name.to_owned(), source.to_owned());
        }
        self.values.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let template = self.environment.get_template(name).map_err(|error| explain(&error, source, context))?;
        let text = template.render(context).map_err(|error| explain(&error, source, context))?;
        let values = std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((text, values))
    }
}

/// Refuses what would make values of texts that hold tokens, or bring other templates.
fn check_source(source: &str) -> Result<(), Why> {
    static BLOCK: LazyLock<Regex> = LazyLock::new(|| {
        let tags = r"macro|call|filter|block|include|import|from|extends";
        Regex::new(&format!(r"(?s)\{{#.*?#\}}|\{{%[-+]?\s*(?:({tags})\b|(set)\s+[A-Za-z_][A-Za-z0-9_.]*\s*[-+]?%\}})"))
            .expect("a constant")
    });
    let place = |at: usize| Some(Place::of(source, at));
    if source.len() > MAX_SOURCE {
        return Err((format!("it has more than {} KiB: split it", MAX_SOURCE >> 10), None));
    }
    if let Some(at) = source.find([BEGIN, END]) {
        return Err(("it holds U+FDD0 or U+FDD1, which mark values: remove it".to_owned(), place(at)));
    }
    for found in BLOCK.captures_iter(source) {
        if let Some(tag) = found.get(1).or(found.get(2)) {
            let what = format!("`{{% {} %}}` cannot be used: what it captures holds no values yet", tag.as_str());
            return Err((what + "; write the text where it is to be, or `{% set x = … %}`", place(tag.start())));
        }
    }
    Ok(())
}

/// An error of the engine's, with what it is about.
fn explain(error: &Error, source: &str, context: &minijinja::Value) -> Why {
    let mut message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    if error.kind() == ErrorKind::UndefinedError {
        let expression = error.range().and_then(|range| source.get(range)).unwrap_or_default();
        let word = expression.trim_matches(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        message = format!("{} is not defined", quote(word));
        let first = word.split('.').next().unwrap_or_default();
        let names: Vec<String> =
            context.try_iter().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        if let Some(near) = nearest(first, names.iter().map(String::as_str)).filter(|near| *near != first) {
            message += &format!(": did you mean {}?", quote(near));
        }
    }
    let place = error.range().map(|range| Place::of(source, range.start));
    (message, place.or_else(|| error.line().map(|line| Place::Template { line, column: 1 })))
}

/// A value as what an object has.
fn value_of(value: minijinja::Value) -> Result<Json, Why> {
    let refuse = |what: &str| (format!("a value {what} cannot be printed"), None);
    // Its texts are those of values that were printed, or of a request, which has no marks.
    if let Some(Whole(value)) = value.downcast_object_ref() {
        return Ok(value.clone());
    }
    if value.kind() == ValueKind::Number && value.is_integer() {
        return serde_json::to_value(&value).map_err(|_| refuse("that is too large"));
    }
    let json = serde_json::to_value(&value).map_err(|_| refuse("of this kind"))?;
    if json.is_null() && value.kind() != ValueKind::None {
        return Err(refuse("that is no finite number"));
    }
    match has_mark(&json) {
        true => Err(refuse("with U+FDD0 or U+FDD1")),
        false => Ok(json),
    }
}

fn has_mark(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains([BEGIN, END]),
        Json::Array(items) => items.iter().any(has_mark),
        Json::Object(entries) => entries.iter().any(|(key, value)| key.contains([BEGIN, END]) || has_mark(value)),
        _ => false,
    }
}

/// What a template printed, with places for its values.
enum Part {
    /// What is the same with all values.
    Fixed(Json),
    /// A value by itself.
    Whole(usize),
    /// A text with values in it.
    Text(Vec<Piece>, Place),
    List(Vec<Part>),
    Map(Vec<(Vec<Piece>, Part, Place)>),
}

enum Piece {
    Text(String),
    Value(usize),
}

impl Part {
    fn of(node: &Node, text: &str) -> Result<Self, Why> {
        let place = Place::Printed { line: node.span.line };
        Ok(match &node.value {
            Value::Null => Self::Fixed(Json::Null),
            Value::Bool(value) => Self::Fixed((*value).into()),
            Value::Number(number) => Self::Fixed(number.clone().into()),
            Value::Ambiguous(word) => {
                return Err((
                    format!("{} without quotes is something else for kubectl: quote it", quote(word)),
                    Some(place),
                ));
            }
            Value::String(value) if !value.contains(BEGIN) => Self::Fixed(value.as_str().into()),
            Value::String(value) => match pieces(value).as_slice() {
                [Piece::Value(index)] if is_plain(node, value, text) => Self::Whole(*index),
                _ => Self::Text(pieces(value), place),
            },
            Value::List(items) => Self::List(items.iter().map(|item| Self::of(item, text)).collect::<Result<_, _>>()?),
            Value::Map(entries) => {
                let entry = |(key, value): &(document::Key, Node)| {
                    Ok((pieces(&key.name), Self::of(value, text)?, Place::Printed { line: key.span.line }))
                };
                Self::Map(entries.iter().map(entry).collect::<Result<_, Why>>()?)
            }
        })
    }

    fn fill(&self, values: &[Json]) -> Result<Json, Why> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Whole(index) => values[*index].clone(),
            Self::Text(pieces, place) => join(pieces, values, *place)?.into(),
            Self::List(items) => items.iter().map(|item| item.fill(values)).collect::<Result<_, _>>()?,
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, value, place) in entries {
                    let key = join(key, values, *place)?;
                    if map.contains_key(&key) {
                        return Err((format!("the key {} is there twice", quote(&key)), Some(*place)));
                    }
                    map.insert(key, value.fill(values)?);
                }
                map.into()
            }
        })
    }
}

/// Whether a scalar is a plain one, by how it is written, which is all that a value without quotes can be.
fn is_plain(node: &Node, value: &str, text: &str) -> bool {
    let (before, rest) = text.split_at(node.span.start);
    let header = before.trim_end_matches(' ').strip_suffix('\n').and_then(|before| before.trim_end().lines().last());
    let is_block = header.is_some_and(|line| line.trim_end_matches(['+', '-']).ends_with(['|', '>']));
    rest.starts_with(value) && !is_block
}

/// A text by its tokens.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once(BEGIN) {
        let (index, after) = from.split_once(END).unwrap_or((from, ""));
        pieces.extend((!before.is_empty()).then(|| Piece::Text(before.to_owned())));
        pieces.extend(index.parse().ok().map(Piece::Value));
        rest = after;
    }
    pieces.extend((!rest.is_empty()).then(|| Piece::Text(rest.to_owned())));
    pieces
}

fn join(pieces: &[Piece], values: &[Json], place: Place) -> Result<String, Why> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text += part,
            Piece::Value(index) => match &values[*index] {
                Json::String(value) => text += value,
                value @ (Json::Number(_) | Json::Bool(_)) => text += &value.to_string(),
                value => {
                    let what = match value {
                        Json::Null => "nothing",
                        Json::Array(_) => "a list",
                        _ => "a mapping",
                    };
                    return Err((format!("{what} stands inside of a text: print it by itself"), Some(place)));
                }
            },
        }
    }
    Ok(text)
}

/// Writes objects as YAML, one document each: who and what an object is first, then the rest by name.
pub fn to_yaml<'o>(objects: impl IntoIterator<Item = &'o Json>) -> String {
    let mut out = String::new();
    for object in objects {
        out += "---\n";
        match object {
            Json::Object(entries) if !entries.is_empty() => write_map(&mut out, entries, 0, FIRST),
            other => {
                write_flow(&mut out, other);
                out.push('\n');
            }
        }
    }
    out
}

const FIRST: &[&str] = &["apiVersion", "kind", "metadata"];

fn write_map(out: &mut String, entries: &Map<String, Json>, depth: usize, first: &[&str]) {
    let begin = first.iter().filter_map(|name| entries.get_key_value(*name));
    let rest = entries.iter().filter(|(key, _)| !first.contains(&key.as_str()));
    for (n, (key, value)) in begin.chain(rest).enumerate() {
        if n > 0 {
            indent(out, depth);
        }
        write_text(out, key);
        out.push(':');
        let first: &[&str] = if depth == 0 && key == "metadata" { &["name", "namespace"] } else { &["name"] };
        write_below(out, value, depth, first);
    }
}

/// What stands behind a key.
fn write_below(out: &mut String, value: &Json, depth: usize, first: &[&str]) {
    match value {
        Json::Object(entries) if !entries.is_empty() => {
            out.push('\n');
            indent(out, depth + 1);
            write_map(out, entries, depth + 1, first);
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                out.push('\n');
                indent(out, depth);
                out.push_str("- ");
                match item {
                    Json::Object(entries) if !entries.is_empty() => {
                        write_map(out, entries, depth + 1, &["name"]);
                        out.pop();
                    }
                    other => write_flow(out, other),
                }
            }
            out.push('\n');
        }
        scalar => {
            out.push(' ');
            write_flow(out, scalar);
            out.push('\n');
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    (0..depth).for_each(|_| out.push_str("  "));
}

/// A value on one line.
fn write_flow(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => drop(write!(out, "{number}")),
        Json::String(text) => write_text(out, text),
        Json::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                write_flow(out, item);
            }
            out.push(']');
        }
        Json::Object(entries) => {
            out.push('{');
            for (n, (key, value)) in entries.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                write_text(out, key);
                out.push_str(": ");
                write_flow(out, value);
            }
            out.push('}');
        }
    }
}

/// A text without quotes where no reader of YAML takes it for something else: a word of letters that is no word of YAML's, or
/// such words joined by signs that mean nothing between them.
fn write_text(out: &mut String, text: &str) {
    match is_word(text) {
        true => out.push_str(text),
        false => write_string(Format::Yaml, out, text),
    }
}

fn is_word(text: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && !(text.len() <= 5 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use minijinja::value::Serde;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    /// Every hostile text but those that no text of a user's may be.
    fn hostile() -> Vec<&'static str> {
        crate::template::hostile::HOSTILE.iter().copied().filter(|text| !text.contains([BEGIN, END])).collect()
    }

    fn print(source: &str, context: Json) -> Result<Vec<Json>, String> {
        render("test", source, &minijinja::Value::from(Serde(context))).map_err(|error| error.to_string())
    }

    fn wrong(source: &str, context: Json) -> String {
        print(source, context).unwrap_err().strip_prefix("cannot render template `test`").unwrap().to_owned()
    }

    #[test]
    fn a_value_stands_anywhere_and_is_data() {
        let source = "a: {{ x }}\nb: \"{{ x }}\"\nc: '{{ x }}'\nd: v{{ x }}w\ne: \"{{ x }}:{{ x }}\"\n\"{{ x }}-k\": 1\n\
                      f: [{{ x }}, {a: {{ x }}}]\ng: |\n  {{ x }}\n  {{ x }}\nh:\n  - {{ x }}\n  - - {{ x }}\ni: |-\n  {{ x }}\n";
        for text in hostile().into_iter().chain(["a: b", "- x", "007", "\\\"", "{{ x }}", "# c", "&a", "*a", "!!int 1"])
        {
            let objects = print(source, json!({"x": text})).unwrap();
            let expected = json!({
                "a": text, "b": text, "c": text, "d": format!("v{text}w"), "e": format!("{text}:{text}"), (format!("{text}-k")): 1,
                "f": [text, {"a": text}], "g": format!("{text}\n{text}\n"), "h": [text, [text]], "i": text,
            });
            assert_eq!(objects, [expected], "{text:?}");
        }
    }

    #[test]
    fn a_value_by_itself_keeps_its_type_and_in_text_it_is_text() {
        let context = json!({"n": 8080, "b": true, "f": 1.5, "l": [1, "a: b"], "m": {"k": null}, "z": null, "s": "1"});
        let source = "n: {{ n }}\nb: {{ b }}\nf: {{ f }}\nl: {{ l }}\nm: {{ m }}\nz: {{ z }}\ns: {{ s }}\n\
                      t: \"{{ n }}\"\nu: port-{{ n }}\nv: {{ n }}Mi\nw: \"{{ b }}\"\n{{ n }}: {{ s }}\nx: |-\n  {{ n }}\n";
        let expected = json!({
            "n": 8080, "b": true, "f": 1.5, "l": [1, "a: b"], "m": {"k": null}, "z": null, "s": "1",
            "t": "8080", "u": "port-8080", "v": "8080Mi", "w": "true", "8080": "1", "x": "8080",
        });
        assert_eq!(print(source, context).unwrap(), [expected]);
    }

    #[test]
    fn what_jinja_decides_it_decides_on_values() {
        let source = "{% for p in ports if p > 1 %}\n---\nport: {{ p + 1 }}\nname: {{ name|upper }}\nor: {{ none_here|default('x') }}\n{% endfor %}\n";
        assert_eq!(
            print(source, json!({"ports": [1, 2, 3], "name": "a"})).unwrap(),
            [json!({"port": 3, "name": "A", "or": "x"}), json!({"port": 4, "name": "A", "or": "x"})]
        );
        assert_eq!(
            print("{% if a %}\na: 1\n{% endif %}\n---\n---\n# c\n", json!({"a": false})).unwrap(),
            Vec::<Json>::new()
        );
        // The same text with other values, and other text by the same name.
        assert_eq!(print("a: {{ x }}", json!({"x": 1})).unwrap(), [json!({"a": 1})]);
        assert_eq!(print("a: {{ x }}", json!({"x": "y"})).unwrap(), [json!({"a": "y"})]);
        assert_eq!(print("b: {{ x }}", json!({"x": 2})).unwrap(), [json!({"b": 2})]);
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let x = || json!({"image": "a", "list": [1], "none": null, "mark": "\u{fdd0}"});
        for (source, message) in [
            ("a: 1\nb: {{ imag }}", ", line 2, column 7: `imag` is not defined: did you mean `image`?"),
            ("a: {{ image.tag }}", ", line 1, column 7: `image.tag` is not defined"),
            ("a: 1\nb: x{{ list }}", ", line 2 of what it prints: a list stands inside of a text: print it by itself"),
            ("a: \"{{ none }}\"", ", line 1 of what it prints: nothing stands inside of a text: print it by itself"),
            ("a: 1\n{{ image }}: 1", ", line 2 of what it prints: the key `a` is there twice"),
            ("a: {{ mark }}", ": a value with U+FDD0 or U+FDD1 cannot be printed"),
            ("a: 1\n\u{fdd1}", ", line 2, column 1: it holds U+FDD0 or U+FDD1, which mark values: remove it"),
            ("a: [", ", line 1 of what it prints: that is no YAML: "),
            ("a: 1\nb: \u{e4}{{ 1 + }}", ", line 2, column 12: "),
            ("- {{ image }}", ": prints a document that is no mapping"),
            ("{{ image }}", ": prints a document that is no mapping"),
            ("a: yes", ", line 1 of what it prints: `yes` without quotes is something else for kubectl: quote it"),
            (
                "a: 1\n{% set x %}{{ image }}{% endset %}",
                ", line 2, column 4: `{% set %}` cannot be used: what it captures holds no values yet; write the text where it is to be, or \
                 `{% set x = … %}`",
            ),
        ] {
            let told = wrong(source, x());
            assert!(told.starts_with(message) && (told == message || message.ends_with(": ")), "{source}: {told}");
        }
        for source in [
            "{% macro a() %}{% endmacro %}",
            "{%- filter upper %}{{ image }}{% endfilter %}",
            "{% include 'a' %}",
            "{% extends 'a' %}",
            "a: &x 1\nb: *x",
            "a: !!str 1",
            "a: [",
            "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
            "a: {{ image|safe }}",
            "a: 1\na: 2",
        ] {
            assert!(print(source, x()).is_err(), "{source}");
        }
        assert!(print("{# {% macro a() %} #}{% set y = image %}a: {{ y }}", x()).is_ok());
    }

    #[test]
    fn objects_are_written_as_people_write_them() {
        let object = json!({
            "spec": {"ports": [{"port": 80, "name": "a"}], "empty": {}, "none": [], "text": "a\nb", "nested": [[1, {"b": "no"}]]},
            "metadata": {"labels": {"b": "1", "a": "x/y.z"}, "namespace": "ns", "name": "m"}, "kind": "K", "apiVersion": "v1",
        });
        let expected = "---\napiVersion: v1\nkind: K\nmetadata:\n  name: m\n  namespace: ns\n  labels:\n    a: x/y.z\n    b: \"1\"\n\
                        spec:\n  empty: {}\n  nested:\n  - [1, {b: \"no\"}]\n  none: []\n  ports:\n  - name: a\n    port: 80\n  text: \"a\\nb\"\n";
        assert_eq!(to_yaml([&object]), expected);
        assert_eq!(to_yaml([&object, &json!({})]), format!("{expected}---\n{{}}\n"));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let text = prop_oneof![
            any::<String>().prop_filter("marks", |text| !text.contains([BEGIN, END])),
            proptest::sample::select(hostile()).prop_map(str::to_owned),
            "[a-z0-9:.-]{0,6}",
        ];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            text.clone().prop_map(Json::from)
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map(text.clone(), inner, 0..4)
                    .prop_map(|entries| Json::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(value in any_json()) {
            let object = json!({"a": value});
            let printed = print("a: {{ a }}", object.clone()).unwrap();
            prop_assert_eq!(&printed, std::slice::from_ref(&object));
            let text = to_yaml(&printed);
            let read = Json::deserialize(serde_yaml::Deserializer::from_str(&text)).unwrap();
            prop_assert_eq!(&read, &object, "{}", text);
            let nodes = document::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(document::to_json(&nodes[0]), object, "{}", text);
        }
    }
}
