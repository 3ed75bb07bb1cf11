//! Templates that cannot be injected into: every `{{ x }}` prints one whole literal, or fails.
//! The engine's formatter sees to it, not the author: filters, captures and quotes do not change it.
//! A template that fails is our bug, never the user's, whose values are validated before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::text::is_deceptive;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

/// The language that a template is written in, and that its literals are printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON-compatible YAML value, in flow style, on one line.
    Yaml,
    /// One HCL expression without anything to evaluate, as `terraform fmt` would write it.
    /// Terraform itself normalises every string to NFC.
    Hcl,
}

/// What templates of YAML include below `labels:` and `annotations:`: what a request passes on, from the context's
/// `propagated`.
const PARTIALS: [(&str, &str); 2] = [
    ("labels", include_str!("../manifests/labels.yaml.j2")),
    ("annotations", include_str!("../manifests/annotations.yaml.j2")),
];

/// A template of ours that is wrong, or was given a value that it cannot print.
#[derive(Debug, thiserror::Error)]
#[error("cannot render template `{name}`")]
pub struct TemplateError {
    name: String,
    source: Error,
}

/// Renders one template; `name` is only for messages.
///
/// HCL templates also have the filter `identifier`, which prints a bare word.
///
/// # Errors
///
/// When the template is not valid, names something undefined, prints a value that has no literal,
/// or prints a literal where it would be part of something else: inside quotes, in a plain scalar.
pub fn render(
    format: Format,
    name: &str,
    source: &'static str,
    context: impl serde::Serialize,
) -> Result<String, TemplateError> {
    let in_template = |source| TemplateError { name: name.to_owned(), source };
    let text = ENGINES.with_borrow_mut(|engines| {
        let place = match engines.iter().position(|engine| engine.format == format) {
            Some(place) => place,
            None => {
                engines.push(Engine::new(format)?);
                engines.len() - 1
            }
        };
        engines[place].render(name, source, Value::from(Serde(context)))
    });
    let text = text.map_err(in_template)?;
    String::from_utf8(text).map_err(|error| in_template(refusal("the output is not UTF-8").with_source(error)))
}

thread_local! {
    /// One for each format, because to compile a template takes longer than to fill it.
    static ENGINES: RefCell<Vec<Engine>> = const { RefCell::new(Vec::new()) };
}

/// Templates of one format, compiled.
struct Engine {
    format: Format,
    environment: Environment<'static>,
    printing: Arc<AtomicBool>,
}

impl Engine {
    fn new(format: Format) -> Result<Self, Error> {
        let printing = Arc::new(AtomicBool::new(false));
        Ok(Self { format, environment: environment(format, Arc::clone(&printing))?, printing })
    }

    fn render(&mut self, name: &str, source: &'static str, context: Value) -> Result<Vec<u8>, Error> {
        // Two Promises may have templates of one name.
        let is_known = self.environment.get_template(name).is_ok_and(|known| known.source() == source);
        if !is_known {
            self.environment.add_template_owned(name.to_owned(), source)?;
        }
        let printing = Arc::clone(&self.printing);
        let mut page = Page { format: self.format, printing, text: Vec::new(), line: Vec::new(), after: false };
        self.environment.get_template(name)?.render_captured_to(context, &mut page)?;
        Ok(page.text)
    }
}

fn environment(format: Format, printing: Arc<AtomicBool>) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true);
    environment.set_syntax(syntax.build()?);
    // They would do nothing here; an author who reaches for one should hear so.
    for filter in ["safe", "escape", "e"] {
        environment.remove_filter(filter);
    }
    if format == Format::Yaml {
        for (name, source) in PARTIALS {
            environment.add_template(name, source)?;
        }
    }
    // Not in YAML, where the bare words `no` and `null` are no strings, and quotes are always right.
    if format == Format::Hcl {
        environment.add_filter("identifier", identifier);
    }
    environment.set_formatter(move |out, _, value| {
        if let Some(Identifier(word)) = value.downcast_object_ref() {
            return Ok(out.write_str(word)?);
        }
        let mut text = String::new();
        write_literal(format, &mut text, value)?;
        printing.store(true, Ordering::Relaxed);
        let written = out.write_str(&text);
        printing.store(false, Ordering::Relaxed);
        Ok(written?)
    });
    Ok(environment)
}

fn refusal(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

/// The only value that is printed as it is. Only the filter makes one, so no context can hold one.
#[derive(Debug)]
struct Identifier(String);

impl Object for Identifier {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn identifier(word: &str) -> Result<Value, Error> {
    let starts = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let continues = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    // These three are literals wherever HCL expects an expression.
    let literal = matches!(word, "true" | "false" | "null");
    if !starts || !continues || literal || word.len() > 64 {
        return Err(refusal(format!("{word:?} is not an identifier")));
    }
    Ok(Value::from_object(Identifier(word.to_owned())))
}

fn write_literal(format: Format, out: &mut String, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => {
            let number =
                serde_json::to_string(value).map_err(|error| refusal("a number has no literal").with_source(error))?;
            // How serde_json writes infinities and NaN.
            if number == "null" {
                return Err(refusal("a number that is not finite has no literal"));
            }
            out.push_str(&number);
        }
        ValueKind::String => write_string(format, out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_literal(format, out, &item)?;
            }
            out.push(']');
        }
        ValueKind::Map => write_map(format, out, value)?,
        kind => return Err(refusal(format!("a value of kind {kind} has no literal"))),
    }
    Ok(())
}

fn write_map(format: Format, out: &mut String, map: &Value) -> Result<(), Error> {
    let mut entries = BTreeMap::new();
    for key in map.try_iter()? {
        let mut literal = String::new();
        match key.as_str() {
            Some(text) => write_string(format, &mut literal, text),
            None => return Err(refusal("a map has a key that is not a string")),
        }
        // Where parsers give up: https://yaml.org/spec/1.2.2/, section 7.4.2.
        if format == Format::Yaml && literal.chars().count() > 1024 {
            return Err(refusal("a map has a key of more than 1024 characters"));
        }
        entries.insert(key.as_str().map(str::to_owned), (literal, map.get_item(&key)?));
    }
    let (open, colon, close) = match format {
        Format::Yaml => ("{", ": ", "}"),
        Format::Hcl if entries.is_empty() => ("{", "", "}"),
        Format::Hcl => ("{ ", " = ", " }"),
    };
    out.push_str(open);
    for (index, (key, value)) in entries.values().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        out.push_str(key);
        out.push_str(colon);
        write_literal(format, out, value)?;
    }
    out.push_str(close);
    Ok(())
}

/// Writes a text as a literal, whatever is in it.
pub(crate) fn write_string(format: Format, out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // `$${` is HCL for `${`; further dollars before it stand for themselves.
            '$' | '%' if format == Format::Hcl && rest.peek() == Some(&'{') => out.extend([c, c]),
            c if is_deceptive(c) && u32::from(c) <= 0xFFFF => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            // JSON has only surrogate pairs for these, which YAML parsers refuse, so there they stay.
            c if is_deceptive(c) && format == Format::Hcl => {
                out.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What is rendered so far. It refuses a literal that the template's own text makes part of
/// something else: in `"{{ x }}"` the literal's quotes would end the author's.
struct Page {
    format: Format,
    /// Whether what is being written is a literal.
    printing: Arc<AtomicBool>,
    text: Vec<u8>,
    /// The line so far, each literal replaced by `""`.
    line: Vec<u8>,
    /// Whether the last thing written was a literal.
    after: bool,
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let literal = self.printing.load(Ordering::Relaxed);
        let glued = match bytes.first() {
            Some(_) if literal => self.after || !self.takes_literal(),
            Some(first) => self.after && !b" \t\r\n,:)]}.[".contains(first),
            None => return Ok(0),
        };
        if glued {
            let line = String::from_utf8_lossy(&self.line);
            let detail = format!("`{{{{ }}}}` prints a whole literal, here it is glued: `{line}`");
            return Err(io::Error::other(detail));
        }
        self.text.extend_from_slice(bytes);
        self.after = literal;
        if literal {
            self.line.extend_from_slice(b"\"\"");
        } else {
            let last = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            if last.len() < bytes.len() {
                self.line.clear();
            }
            self.line.extend_from_slice(last);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn takes_literal(&self) -> bool {
        let (quotes, neighbours): (&[u8], &[u8]) = match self.format {
            Format::Yaml => (b"\"'", b" \t[{,"),
            Format::Hcl => (b"\"", b" \t[{(,=:?!"),
        };
        let mut open = None;
        let mut before = b' ';
        let mut rest = self.line.iter().copied();
        while let Some(byte) = rest.next() {
            let next = rest.clone().next();
            match (open, byte) {
                (None, b'#') if self.format == Format::Hcl || before.is_ascii_whitespace() => {
                    return true;
                }
                (None, _) if quotes.contains(&byte) => open = Some(byte),
                // An expression inside a string may hold strings: too deep to tell quotes apart.
                (Some(b'"'), b'$' | b'%') if self.format == Format::Hcl && next == Some(b'{') => {
                    return false;
                }
                (Some(b'"'), b'\\') => drop(rest.next()),
                (Some(quote), _) if quote == byte => open = None,
                _ => {}
            }
            before = byte;
        }
        // In YAML what follows a word is part of that word's plain scalar.
        let word = self.format == Format::Yaml
            && self.line.trim_ascii_end().last().is_some_and(|last| !b":-?,[{".contains(last));
        open.is_none() && !word && self.line.last().is_none_or(|last| neighbours.contains(last))
    }
}

#[cfg(test)]
#[path = "../tests/support/hostile.rs"]
pub(crate) mod hostile;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::collections::BTreeMap;
    use std::error::Error as _;

    use hcl::eval::Evaluate as _;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn yaml(source: &str, context: Value) -> Result<String, TemplateError> {
        render(Format::Yaml, "test.yaml.j2", source.to_owned().leak(), context)
    }

    fn hcl(source: &str, context: Value) -> Result<String, TemplateError> {
        render(Format::Hcl, "test.tf.j2", source.to_owned().leak(), context)
    }

    fn reason(result: Result<String, TemplateError>) -> String {
        let error = result.unwrap_err();
        let source = error.source().unwrap();
        match source.source() {
            Some(cause) => format!("{source}: {cause}"),
            None => source.to_string(),
        }
    }

    fn hostile_strings() -> impl Iterator<Item = String> {
        hostile::HOSTILE.iter().map(|text| (*text).to_owned()).chain([hostile::long()])
    }

    /// The value comes back from every place that it can stand in, out of one document.
    fn assert_yaml_holds(text: &str) {
        let source = "---\na: {{ x }}\nb:\n  - {{ x }}\n  - c: {{ x }}\n    d: [{{ x }}, 1]\n\
                      e: {{ all }}\nf: |\n  {{ x }}\ng: end\n# {{ x }}\n";
        let short: String = text.chars().take(100).collect();
        let all = json!([{ short: [text] }]);
        let rendered = yaml(source, json!({ "x": text, "all": all })).unwrap();
        let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&rendered)
            .map(|document| Value::deserialize(document).unwrap())
            .collect();
        let printed = yaml("{{ x }}", json!({ "x": text })).unwrap() + "\n";
        let expected = json!({
            "a": text, "b": [text, { "c": text, "d": [text, 1] }], "e": all, "f": printed, "g": "end",
        });
        assert_eq!(documents, [expected], "{rendered}");
        assert_eq!(rendered.lines().count(), source.lines().count(), "{rendered}");
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), json!(text));
    }

    /// The value comes back from every place that it can stand in, out of one block.
    fn assert_hcl_holds(text: &str) {
        let source = "block {{ x }} \"b\" {\n  a = {{ x }}\n  b = [{{ x }}, 1]\n  c = {{ all }}\n\
                      \x20 d = {\n    {{ x }} = {{ x }}\n  }\n}\n# {{ x }}\nend = true\n";
        let all = json!([{ text: [text] }]);
        let rendered = hcl(source, json!({ "x": text, "all": all })).unwrap();
        let body: hcl::Body = hcl::from_str(&rendered).unwrap();
        assert_eq!(body.blocks().count(), 1, "{rendered}");
        assert_eq!(body.attributes().count(), 1, "{rendered}");
        let block = body.blocks().next().unwrap();
        let labels: Vec<&str> = block.labels().iter().map(hcl::BlockLabel::as_str).collect();
        assert_eq!(labels, [text, "b"]);
        let attributes: BTreeMap<&str, Value> = block
            .body()
            .attributes()
            .map(|attribute| {
                let value = attribute.expr().evaluate(&hcl::eval::Context::new()).unwrap();
                (attribute.key(), serde_json::to_value(value).unwrap())
            })
            .collect();
        let expected =
            BTreeMap::from([("a", json!(text)), ("b", json!([text, 1])), ("c", all), ("d", json!({ text: text }))]);
        assert_eq!(attributes, expected, "{rendered}");
        assert_eq!(rendered.lines().count(), source.lines().count(), "{rendered}");
    }

    #[test]
    fn hostile_strings_survive_yaml() {
        hostile_strings().for_each(|text| assert_yaml_holds(&text));
    }

    #[test]
    fn hostile_strings_survive_hcl() {
        hostile_strings().for_each(|text| assert_hcl_holds(&text));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_string_survives(text in any::<String>()) {
            assert_yaml_holds(&text);
            assert_hcl_holds(&text);
        }

        #[test]
        fn any_mix_of_marks_survives(text in "[$%{}\"'\\\\\n#:\\- a~*/]{0,24}") {
            assert_yaml_holds(&text);
            assert_hcl_holds(&text);
        }
    }

    #[test]
    fn values_print_as_literals_of_the_format() {
        let context = json!({ "x": {
            "b": [], "a": {}, "c": [1, -2, 1.5, 1e30, true, null], "${d}": { "e": "f" },
        } });
        assert_eq!(
            yaml("{{ x }}", context.clone()).unwrap(),
            r#"{"${d}": {"e": "f"}, "a": {}, "b": [], "c": [1, -2, 1.5, 1e+30, true, null]}"#
        );
        assert_eq!(
            hcl("{{ x }}", context).unwrap(),
            r#"{ "$${d}" = { "e" = "f" }, "a" = {}, "b" = [], "c" = [1, -2, 1.5, 1e+30, true, null] }"#
        );
    }

    #[test]
    fn characters_that_deceive_are_escaped() {
        let context = json!({ "x": "\0\t\u{7f}\u{85}\u{2028}\u{202e}\u{200b}\u{feff}\u{1fffe}\u{1f600}é" });
        let escaped = r"\u0000\t\u007f\u0085\u2028\u202e\u200b\ufeff";
        assert_eq!(yaml("{{ x }}", context.clone()).unwrap(), format!("\"{escaped}\u{1fffe}\u{1f600}é\""));
        assert_eq!(hcl("{{ x }}", context).unwrap(), format!("\"{escaped}\\U0001fffe\u{1f600}é\""));
    }

    // Each of these was checked against `terraform output -json` 1.11.
    #[test]
    fn markers_are_doubled_once_whatever_comes_before() {
        for (text, literal) in [
            ("${", r#""$${""#),
            ("$${", r#""$$${""#),
            ("$$${", r#""$$$${""#),
            ("%%{", r#""%%%{""#),
            ("$%{", r#""$%%{""#),
            ("$ {$", r#""$ {$""#),
        ] {
            assert_eq!(hcl("{{ x }}", json!({ "x": text })).unwrap(), literal);
        }
    }

    #[test]
    fn lines_of_statements_vanish_and_the_last_newline_stays() {
        let source = "a:\n  {% for x in xs %}\n  - {{ x }}\n  {% endfor %}\n";
        let rendered = yaml(source, json!({ "xs": [1, "b"] })).unwrap();
        assert_eq!(rendered, "a:\n  - 1\n  - \"b\"\n");
    }

    #[test]
    fn undefined_is_an_error_that_names_the_template() {
        for source in ["a: {{ x }}", "a: {{ [x] }}", "a: {{ 1 if false }}", "{% if x %}{% endif %}"] {
            let error = yaml(source, json!({})).unwrap_err();
            assert_eq!(error.to_string(), "cannot render template `test.yaml.j2`");
            assert!(reason(Err(error)).contains("undefined"), "{source}");
        }
    }

    #[test]
    fn what_has_no_literal_is_an_error() {
        for number in [f64::NAN, f64::INFINITY] {
            let context = BTreeMap::from([("x", [number])]);
            let result = render(Format::Hcl, "n", "{{ x }}", context);
            assert!(reason(result).contains("not finite"));
        }
        let number_key = BTreeMap::from([("x", BTreeMap::from([(1, 2)]))]);
        let result = render(Format::Yaml, "n", "{{ x }}", number_key);
        assert!(reason(result).contains("not a string"));
        let long_key = json!({ "x": { hostile::long(): 1 } });
        assert!(reason(yaml("{{ x }}", long_key)).contains("1024"));
        assert!(reason(hcl("{{ [x|identifier] }}", json!({ "x": "a" }))).contains("plain object"));
    }

    #[test]
    fn filters_that_would_mark_a_string_safe_do_not_exist() {
        for filter in ["safe", "escape", "e", "tojson"] {
            let source = format!("{{{{ x|{filter} }}}}");
            assert!(reason(yaml(&source, json!({ "x": "a" }))).contains("unknown filter"));
        }
    }

    #[test]
    fn captures_and_filters_print_whole_literals_too() {
        for (source, expected) in [
            (r#"{% set x %}"{% endset %}{{ x }}"#, r#""\"""#),
            (r#"{% set x %}{{ y }}{% endset %}{{ x }}"#, r#""\"\\\"\"""#),
            (r#"{% autoescape 'html' %}{% set x %}"{% endset %}{{ x }}{% endautoescape %}"#, r#""\"""#),
            (r#"{% filter upper %}a{{ y }}{% endfilter %}"#, r#""A\"\\\"\"""#),
            (r#"{{ y ~ "${" }}"#, r#""\"$${""#),
            (r#"{{ "%s"|format(y) }}"#, r#""\"""#),
            (r#"{% set x = "a"|identifier %}{{ x ~ "" }}"#, r#""a""#),
            (r#"{% set x %}{{ "a"|identifier }}"{% endset %}{{ x }}"#, r#""a\"""#),
        ] {
            assert_eq!(hcl(source, json!({ "y": "\"" })).unwrap(), expected, "{source}");
        }
    }

    /// The engine is built without macros: with them, what they print would be a captured string. What is included is
    /// printed where it stands, and is refused there like the template's own.
    #[test]
    fn macros_do_not_exist_and_nothing_is_included_but_what_a_request_passes_on() {
        let source = "{% macro m() %}\"{% endmacro %}{{ m() }}";
        assert!(reason(hcl(source, json!({}))).contains("unknown statement"));
        assert!(reason(hcl("{% include 'labels' %}", json!({}))).contains("template not found"));
        let passed = json!({"propagated": {"labels": {"example.com/a\"": "\"\n"}, "annotations": {}}});
        assert_eq!(
            yaml("a:\n{% include 'labels' %}\nb: 1\n", passed.clone()).unwrap(),
            "a:\n    \"example.com/a\\\"\": \"\\\"\\n\"\nb: 1\n"
        );
        assert!(reason(yaml("a: \"{% include 'labels' %}\"", passed)).contains("glued"));
    }

    #[test]
    fn a_literal_that_is_glued_to_something_is_refused() {
        for source in [
            "a: \"{{ x }}\"",
            "a: '{{ x }}'",
            "a: ' {{ x }} '",
            "a: [\" {{ x }} \"]",
            "a:{{ x }}",
            "a: b {{ x }}",
            "a: b-{{ x }}",
            "a: {{ x }}b",
            "a: {{ x }}{{ x }}",
            "a: b#'c: {{ x }}",
            "a: \"b\\\": {{ x }}\"",
        ] {
            assert!(reason(yaml(source, json!({ "x": "a" }))).contains("glued"), "{source}");
        }
        for source in [
            "a = \"{{ x }}\"",
            "a = \" {{ x }} \"",
            "a = \"${f(\" {{ x }} \")}\"",
            "a = b{{ x }}",
            "a = {{ x }}b",
            "a = {{ x }}{{ x|identifier }}",
            "a = \"\\\" = {{ x }}\"",
        ] {
            assert!(reason(hcl(source, json!({ "x": "a" }))).contains("glued"), "{source}");
        }
    }

    #[test]
    fn a_literal_may_stand_wherever_the_language_takes_a_value() {
        for source in [
            "{{ x }}: {{ x }}\n",
            "- {{ x }}\n",
            "a: [{{ x }}, {{ x }}]\n",
            "a: {b: {{ x }}}\n",
            "a: # it's {{ x }}\n",
            "- - {{ x }}\n",
            "\"a\": {{ x }}\n",
            "--- # a\n{{ x }}\n",
        ] {
            let rendered = yaml(source, json!({ "x": "a" })).unwrap();
            serde_yaml::from_str::<serde_yaml::Value>(&rendered).unwrap();
        }
        for source in [
            "a \"b\" {{ x }} {}\n",
            "a = f({{ x }})\n",
            "a = {{ x }} # {{ x }}\n",
            "a={{ x }}\n",
            "a = [\"b\", {{ x }}]\n",
            "a = b ? {{ x }} : {{ x }}\n",
            "a = { b = {{ x }} }\n",
            "a = {{ [x] }}[0]\n",
            "a = \"${b.{{ x|identifier }}}\"\n",
            "a = \"$5\" == {{ x }}\n",
        ] {
            let rendered = hcl(source, json!({ "x": "a" })).unwrap();
            hcl::parse(&rendered).unwrap();
        }
    }

    #[test]
    fn an_identifier_prints_bare_or_not_at_all() {
        let longest = "a".repeat(64);
        for word in ["a", "_", "team-a_1", "A9", longest.as_str()] {
            let rendered = hcl("{{ x|identifier }} = 1", json!({ "x": word })).unwrap();
            assert_eq!(rendered, format!("{word} = 1"));
        }
        let refused = ["", "1a", "-a", "a b", "a.b", "a\n", "é", "a\"", "${a}", "null", "true", "false"];
        for word in refused.into_iter().map(str::to_owned).chain([longest + "a"]) {
            let result = hcl("{{ x|identifier }}", json!({ "x": word }));
            assert!(reason(result).contains("is not an identifier"), "{word:?}");
        }
        for value in [json!(null), json!(1), json!(["a"])] {
            hcl("{{ x|identifier }}", json!({ "x": value })).unwrap_err();
        }
        let result = yaml("{{ x|identifier }}", json!({ "x": "no" }));
        assert!(reason(result).contains("unknown filter"));
    }
}
