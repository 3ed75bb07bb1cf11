//! An API, defined once: what of it the API server holds, and how a request is read, come from the same types.
//!
//! `#[derive(Api)]` (the crate `derive/`) writes a struct's fields down as a table of [`Field`], and an enum's choices. Here
//! is what each entry means at both ends: as structural schema with rules in CEL, and as what a request is told that breaks
//! it. A leaf, such as a name, has its schema beside its own parser.

use crate::document::{Node, Value as Written};
use crate::fields::{self, Fields};
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub use goldpath_derive::Api;

/// What in a schema is for people, and not for the API server: what a value takes, in words.
pub const WORDS: &str = "x-goldpath-words";
/// The same: the fields of a mapping, in the order of its type.
pub const ORDER: &str = "x-goldpath-order";

/// A schema without its words, for the API server and for editors.
pub fn without_words(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            fields.retain(|name, _| name != WORDS && name != ORDER);
            fields.values_mut().for_each(|field| *field = without_words(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_words(item.take())),
        _ => {}
    }
    schema
}

/// A schema whose lists hold no rules in CEL: of lists in lists the API server takes them for too costly.
pub fn without_rules_in_lists(mut schema: Value) -> Value {
    fn strip(schema: &mut Value, is_in_list: bool) {
        let is_in_list = is_in_list || schema["type"] == "array";
        if let Value::Object(fields) = schema {
            if is_in_list {
                fields.remove("x-kubernetes-validations");
            }
            let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
            properties.into_iter().flat_map(|all| all.values_mut()).for_each(|field| strip(field, is_in_list));
            fields.get_mut("items").into_iter().for_each(|items| strip(items, true));
        }
    }
    strip(&mut schema, false);
    schema
}

/// A type of an API.
pub trait Api: Sized {
    /// The [structural schema](https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/)
    /// by which the API server checks it.
    fn schema() -> Value;

    /// Reads it from `node`, which stands at `path`; every fault is noted.
    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self>;

    /// What it is where a request leaves it out; nothing if it has to be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// One of some words.
pub trait Choice {
    /// The word, as requests have it.
    fn as_str(&self) -> &'static str;
}

/// A field of a mapping.
pub struct Field {
    name: &'static str,
    about: &'static str,
    rules: &'static [Rule],
    schema: fn() -> Value,
    is_required: fn() -> bool,
}

/// What holds of a field beside the rule of its type.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// A list is of at most so many.
    Max(usize),
    /// A list of texts has none twice.
    Unique,
    /// A list of mappings has no text twice in the field of this name.
    UniqueBy(&'static str),
    /// The same, in whatever case.
    UniqueInAnyCase(&'static str),
    /// An id, or a list of ids, names others of the kind than the one itself, whose id is in the field `own` beside it.
    Another {
        /// The field with the object's own id.
        own: &'static str,
        /// As `Team`.
        kind: &'static str,
    },
    /// What was said once stays: it names what exists already.
    Fixed,
}

impl Field {
    /// A field of a type.
    pub const fn of<T: Api>(name: &'static str, about: &'static str, rules: &'static [Rule]) -> Self {
        Self { name, about, rules, schema: T::schema, is_required: || T::absent().is_none() }
    }
}

impl Rule {
    /// Writes it into the schema of its field, or into the rules of the mapping, where it is about several fields.
    fn write(self, name: &str, schema: &mut Value, mapping: &mut Vec<Value>) {
        let is_list = schema["type"] == "array";
        let words = match self {
            Self::Max(most) => format!("at most {most}"),
            Self::Unique => "none twice".to_owned(),
            Self::UniqueBy(key) => format!("no {key} twice"),
            Self::UniqueInAnyCase(key) => format!("no {key} twice, in whatever case"),
            Self::Another { kind, .. } => format!("not the {kind} itself"),
            Self::Fixed => "cannot be changed".to_owned(),
        };
        let before = schema[WORDS].as_str().map(|before| format!("{before}; ")).unwrap_or_default();
        schema[WORDS] = format!("{before}{words}").into();
        let mut between = |rule: String, message: String| {
            mapping.push(json!({"fieldPath": format!(".{name}"), "message": message, "rule": rule}));
        };
        match self {
            Self::Max(most) => schema["maxItems"] = most.into(),
            Self::Unique => schema["x-kubernetes-list-type"] = "set".into(),
            Self::UniqueBy(key) => {
                schema["x-kubernetes-list-type"] = "map".into();
                schema["x-kubernetes-list-map-keys"] = json!([key]);
            }
            Self::UniqueInAnyCase(key) => {
                schema["x-kubernetes-list-type"] = "map".into();
                schema["x-kubernetes-list-map-keys"] = json!([key]);
                // A map refuses a key that it has. What compares each with each costs more than the API server spends.
                let rule = format!(
                    "self.transformMapEntry(index, item, {{item.{key}.lowerAscii(): index}}).size() == self.size()"
                );
                let message = format!("has a {key} twice, in whatever case");
                schema["x-kubernetes-validations"] = json!([{"rule": rule, "message": message}]);
            }
            Self::Another { own, kind } if is_list => {
                between(
                    format!("!has(self.{name}) || !(self.{own} in self.{name})"),
                    format!("holds the {kind} itself"),
                );
            }
            Self::Another { own, kind } => {
                between(format!("!has(self.{name}) || self.{name} != self.{own}"), format!("is the {kind} itself"));
            }
            Self::Fixed => {
                let message = "cannot be changed: it names what exists already".to_owned();
                between(format!("self.{name} == oldSelf.{name}"), message);
            }
        }
    }

    /// The part of a value, or of an item of a list, that it is about, and its path in there.
    fn part<'n>(&self, item: &'n Node) -> Option<(&'n Node, String)> {
        match self {
            Self::UniqueBy(key) | Self::UniqueInAnyCase(key) => Some((item.get(key)?, format!(".{key}"))),
            _ => Some((item, String::new())),
        }
    }

    /// Why a text may not be in its field, beside which are `others`, and after what was `seen` there.
    fn check(&self, text: &str, others: &Node, seen: &mut BTreeSet<String>) -> Result<(), Refusal> {
        let mut once = |key: String| match seen.insert(key) {
            true => Ok(()),
            false => Err(Refusal::new("duplicate", format!("`{text}` is listed twice")).help("keep one of the two")),
        };
        match self {
            Self::Unique | Self::UniqueBy(_) => once(text.to_owned()),
            Self::UniqueInAnyCase(_) => once(text.to_ascii_lowercase()),
            Self::Another { own, kind } if others.get(own).and_then(Node::as_str) == Some(text) => {
                Err(Refusal::new("self", format!("is the {kind} itself")).help(format!("name another {kind}")))
            }
            // Max is checked before the items are read, and what was said before is not known here.
            Self::Another { .. } | Self::Max(_) | Self::Fixed => Ok(()),
        }
    }
}

/// The schema of a mapping of these fields, and of no others.
pub fn object(about: &str, fields: &[Field]) -> Value {
    let (mut properties, mut rules) = (json!({}), Vec::new());
    for field in fields {
        let mut schema = (field.schema)();
        schema["description"] = field.about.into();
        field.rules.iter().for_each(|rule| rule.write(field.name, &mut schema, &mut rules));
        properties[field.name] = schema;
    }
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "description": about, "properties": properties, ORDER: names});
    let required: Vec<_> = fields.iter().filter(|field| (field.is_required)()).map(|field| field.name).collect();
    match required.is_empty() {
        true => schema["default"] = json!({}),
        false => schema["required"] = required.into(),
    }
    if !rules.is_empty() {
        schema["x-kubernetes-validations"] = rules.into();
    }
    schema
}

/// The schema of one of `choices`, and of which one it is where nothing is said.
pub fn choice<T: PartialEq>(choices: &[(&'static str, T)], absent: Option<T>) -> Value {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    let mut schema = json!({"type": "string", "enum": names});
    if let Some((name, _)) = choices.iter().find(|(_, choice)| Some(choice) == absent.as_ref()) {
        schema["default"] = (*name).into();
    }
    schema
}

/// Reads one field of a mapping: as its type is read, and then held to its rules.
pub fn field<T: Api>(fields: &mut Fields<'_, '_>, field: &Field) -> Option<T> {
    if (field.is_required)() {
        fields.require(field.name);
    }
    let others = fields.node();
    let read = fields.read_one(field.name, |node, path, faults| {
        let begin = faults.len();
        let most = field.rules.iter().find_map(|rule| if let Rule::Max(most) = rule { Some(*most) } else { None });
        if let Some(refusal) = most.and_then(|most| fields::too_many(node, most)) {
            faults.push(refusal.at(path, Some(node.span)));
            return None;
        }
        let value = T::read(node, path, faults);
        for rule in field.rules {
            hold(rule, node, path, others, faults, begin);
        }
        value
    });
    read.or_else(T::absent)
}

/// Notes what breaks `rule` in a value, or in the items of a list. What is wrong already, of which the faults since `begin`
/// tell, is not told again.
fn hold(rule: &Rule, node: &Node, path: &str, others: &Node, faults: &mut Vec<Violation>, begin: usize) {
    let items = match &node.value {
        Written::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let Some((part, below)) = rule.part(item) else { continue };
        let path = match &node.value {
            Written::List(_) => format!("{path}[{index}]{below}"),
            _ => format!("{path}{below}"),
        };
        let Some(text) = part.as_str().filter(|_| !faults[begin..].iter().any(|fault| fault.path == path)) else {
            continue;
        };
        if let Err(refusal) = rule.check(text, others, &mut seen) {
            faults.push(refusal.at(path, Some(part.span)));
        }
    }
}

/// Reads a leaf by its own parser.
pub fn leaf<T>(
    node: &Node,
    path: &str,
    faults: &mut Vec<Violation>,
    parse: impl FnOnce(&Node) -> Result<T, Refusal>,
) -> Option<T> {
    parse(node).map_err(|refusal| faults.push(refusal.at(path, Some(node.span)))).ok()
}

impl<T: Api> Api for Option<T> {
    fn schema() -> Value {
        let mut schema = T::schema();
        // Left out is nothing, also of a type that is something then.
        schema.as_object_mut().map(|schema| schema.remove("default"));
        schema
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        T::read(node, path, faults).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// The words of a text, as a list has them: at most five.
fn words(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().map(|word| quote(word).replace('`', "\"")).collect();
    let more = if words.len() > 5 { ", …" } else { "" };
    format!("{}{more}", words[..words.len().min(5)].join(", "))
}

impl<T: Api> Api for Vec<T> {
    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        if let Some(text) = node.as_str()
            && T::schema()["type"] == "string"
        {
            let refusal = fields::wrong_type(node, "a list").help(format!("write `[{}]`, each by itself", words(text)));
            faults.push(refusal.at(path, Some(node.span)));
            return Some(Self::new());
        }
        Some(fields::items(node, path, faults, T::read))
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::names::TeamId;

    /// A thing.
    #[derive(Debug, Api)]
    struct Thing {
        /// Its id.
        #[api(Fixed)]
        id: TeamId,
        /// Another.
        #[api(Another { own: "id", kind: "Thing" })]
        next_to: Option<TeamId>,
        /// Parts.
        #[api(Max(3), UniqueInAnyCase("id"))]
        parts: Vec<Part>,
        /// Others.
        #[api(Unique, Another { own: "id", kind: "Thing" })]
        others: Vec<TeamId>,
        /// How large.
        size: Size,
    }

    /// A part.
    #[derive(Debug, Api)]
    struct Part {
        /// Its id.
        id: TeamId,
        /// How large.
        size: Option<Size>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Api)]
    enum Size {
        Small,
        #[default]
        VeryLarge,
    }

    fn read(text: &str) -> Result<Thing, Vec<String>> {
        let documents = crate::document::parse(text.as_bytes()).unwrap();
        let mut faults = Vec::new();
        let thing = Thing::read(&documents[0], "spec", &mut faults);
        thing.filter(|_| faults.is_empty()).ok_or_else(|| {
            faults.iter().map(|f| format!("{}:{} {} {}", f.span.unwrap().line, f.path, f.rule, f.message)).collect()
        })
    }

    #[test]
    fn what_is_left_out_is_what_its_type_says() {
        let thing = read("{id: a, nextTo: null, parts: [{id: b}]}").unwrap();
        assert_eq!((thing.next_to, thing.size, thing.parts[0].size), (None, Size::VeryLarge, None));
        assert_eq!((thing.id.as_str(), thing.parts[0].id.as_str(), thing.others.len()), ("a", "b", 0));
    }

    #[test]
    fn every_fault_is_told_once_at_its_place() {
        let text = "nextTo: a\nid: a\nparts: [{id: b, size: small}, {id: B},\n  {id: b, size: huge, colour: red}]\n\
                    others: [a, b,\n  b, Aa, Aa]\nsize: 1\n";
        assert_eq!(
            read(text).unwrap_err(),
            [
                "1:spec.nextTo self is the Thing itself",
                "3:spec.parts[1].id pattern `B` is not an id",
                "4:spec.parts[2].id duplicate `b` is listed twice",
                "4:spec.parts[2].size enum `huge` is not a choice",
                "4:spec.parts[2].colour unknown-field `colour` is not a field here",
                "5:spec.others[0] self is the Thing itself",
                "6:spec.others[2] duplicate `b` is listed twice",
                "6:spec.others[3] pattern `Aa` is not an id",
                "6:spec.others[4] pattern `Aa` is not an id",
                "7:spec.size type is a number, not a string",
            ]
        );
        assert_eq!(
            read("parts: [1, 2, 3, 4]").unwrap_err(),
            ["1:spec.id required is missing", "1:spec.parts length has 4 entries"]
        );
    }

    #[test]
    fn each_rule_is_in_the_schema() {
        let schema = without_words(Thing::schema());
        assert_eq!(schema["required"], json!(["id"]));
        let keys = |schema: &Value| schema.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&schema["properties"]), "id nextTo others parts size");
        let parts = &schema["properties"]["parts"];
        assert_eq!((&parts["maxItems"], &parts["x-kubernetes-list-map-keys"]), (&json!(3), &json!(["id"])));
        assert_eq!(schema["properties"]["others"]["x-kubernetes-list-type"], "set");
        let size = json!({"type": "string", "enum": ["small", "veryLarge"], "description": "How large."});
        assert_eq!(parts["items"]["properties"]["size"], size);
        assert_eq!(schema["properties"]["size"]["default"], "veryLarge");
        let rules: Vec<_> = schema["x-kubernetes-validations"].as_array().unwrap().iter().map(|r| &r["rule"]).collect();
        assert_eq!(
            rules,
            [
                "self.id == oldSelf.id",
                "!has(self.nextTo) || self.nextTo != self.id",
                "!has(self.others) || !(self.id in self.others)"
            ]
        );
    }
}
