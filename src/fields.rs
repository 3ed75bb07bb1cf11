//! Reads a mapping field by field, and notes every fault on the way.
//!
//! A reader asks for each field that it knows; what nobody asked for is unknown. So the known
//! names, the types and the rules stand once, where the request is read. A field that is `null`
//! counts as left out: the API server drops it.

use crate::document::{Key, Node, Value};
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use std::collections::BTreeMap;

/// The fields of one mapping, while it is read.
pub struct Fields<'n, 'f> {
    path: String,
    node: &'n Node,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
    faults: &'f mut Vec<Violation>,
}

/// Reads the mapping `node`, which stands at `path`: `read` asks for its fields and gives the
/// result. What is no mapping, and every field that `read` did not ask for, is a fault. Faults come
/// in the order of the text.
pub fn read<'n, T>(
    node: &'n Node,
    path: &str,
    faults: &mut Vec<Violation>,
    read: impl FnOnce(&mut Fields<'n, '_>) -> Option<T>,
) -> Option<T> {
    let Value::Map(entries) = &node.value else {
        faults.push(wrong_type(node, "a mapping").at(path, Some(node.span)));
        return None;
    };
    let begin = faults.len();
    let mut fields = Fields { path: path.to_owned(), node, entries, known: Vec::new(), faults };
    let result = read(&mut fields);
    fields.refuse_unknown();
    faults[begin..].sort_by_key(|fault| fault.span.map(|span| span.start));
    result
}

impl<'n> Fields<'n, '_> {
    /// A text that must be there.
    pub fn required<T>(&mut self, name: &'static str, parse: impl FnMut(&str) -> Result<T, Refusal>) -> Option<T> {
        self.require(name);
        self.optional(name, parse)
    }

    /// Notes a fault where there is no such field.
    pub fn require(&mut self, name: &'static str) {
        if self.node.get(name).is_none_or(Node::is_null) {
            let refusal = Refusal::new("required", "is missing").help(format!("add `{name}:`"));
            self.faults.push(refusal.at(self.path_of(name), Some(self.node.span)));
        }
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.node.get(name).is_some_and(|node| !node.is_null())
    }

    /// Notes a fault that this mapping shows, of what stands at `path`.
    pub fn fault(&mut self, path: String, refusal: Refusal) {
        self.faults.push(refusal.at(path, Some(self.node.span)));
    }

    /// A text that may be there.
    pub fn optional<T>(&mut self, name: &'static str, mut parse: impl FnMut(&str) -> Result<T, Refusal>) -> Option<T> {
        self.value(name, |node| text(node, &mut parse))
    }

    /// Any value that may be there.
    pub fn value<T>(&mut self, name: &'static str, parse: impl FnOnce(&'n Node) -> Result<T, Refusal>) -> Option<T> {
        let node = self.find(name)?;
        parse(node).map_err(|refusal| self.faults.push(refusal.at(self.path_of(name), Some(node.span)))).ok()
    }

    /// Any value that may be there, whose faults `read` notes, at its path.
    pub fn read_one<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'n Node, &str, &mut Vec<Violation>) -> Option<T>,
    ) -> Option<T> {
        let node = self.find(name)?;
        read(node, &self.path_of(name), self.faults)
    }

    /// The mapping.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// A mapping that may be there.
    pub fn object<T>(&mut self, name: &'static str, each: impl FnOnce(&mut Fields<'n, '_>) -> Option<T>) -> Option<T> {
        self.read_one(name, |node, path, faults| read(node, path, faults, each))
    }

    /// A list of mappings that may be there, of at most `max`; those without fault.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut each: impl FnMut(&mut Fields<'n, '_>) -> Option<T>,
    ) -> Vec<T> {
        self.list(name, max, |node, path, faults| read(node, path, faults, &mut each))
    }

    /// A list of texts that may be there, of at most `max`; those without fault.
    pub fn texts<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut parse: impl FnMut(&str) -> Result<T, Refusal>,
    ) -> Vec<T> {
        self.list(name, max, |node, path, faults| {
            text(node, &mut parse).map_err(|refusal| faults.push(refusal.at(path, Some(node.span)))).ok()
        })
    }

    /// A mapping of texts that may be there, by keys that are the user's own; those without fault. What is `null` is empty,
    /// as for the API server.
    pub fn texts_by_key(
        &mut self,
        name: &'static str,
        mut check_key: impl FnMut(&str) -> Result<(), Refusal>,
        mut check: impl FnMut(&str) -> Result<(), Refusal>,
    ) -> BTreeMap<String, String> {
        let Some(node) = self.find(name) else { return BTreeMap::new() };
        let path = self.path_of(name);
        let Value::Map(entries) = &node.value else {
            self.faults.push(wrong_type(node, "a mapping").at(path, Some(node.span)));
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for (key, value) in entries {
            let path = join(&path, quote(&key.name).trim_matches('`'));
            let text = match &value.value {
                Value::String(text) => Ok(text.clone()),
                Value::Null => Ok(String::new()),
                _ => Err(wrong_type(value, "a string")),
            };
            let checked = text.and_then(|text| check(&text).map(|()| text));
            let key_is_right = if key.is_ambiguous { Err(ambiguous(&key.name)) } else { check_key(&key.name) };
            let key_is_right = key_is_right.map_err(|refusal| refusal.at(path.clone(), Some(key.span)));
            let text = checked.map_err(|refusal| refusal.at(path, Some(value.span)));
            match (key_is_right, text) {
                (Ok(()), Ok(text)) => drop(texts.insert(key.name.clone(), text)),
                (key, text) => self.faults.extend(key.err().into_iter().chain(text.err())),
            }
        }
        texts
    }

    fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
        each: impl FnMut(&'n Node, &str, &mut Vec<Violation>) -> Option<T>,
    ) -> Vec<T> {
        let read = self.read_one(name, |node, path, faults| match too_many(node, max) {
            None => Some(items(node, path, faults, each)),
            Some(refusal) => {
                faults.push(refusal.at(path, Some(node.span)));
                None
            }
        });
        read.unwrap_or_default()
    }

    fn find(&mut self, name: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    fn refuse_unknown(self) {
        for (key, _) in self.entries {
            if !self.known.contains(&key.name.as_str()) {
                let refusal = Refusal::new("unknown-field", format!("{} is not a field here", quote(&key.name)))
                    .help(format!("the fields are {}", list(&self.known)))
                    .suggest(&key.name, self.known.iter().copied());
                let path = join(&self.path, quote(&key.name).trim_matches('`'));
                self.faults.push(refusal.at(path, Some(key.span)));
            }
        }
    }
}

/// Reads a list that stands at `path`, of any length; its items without fault.
pub fn items<'n, T>(
    node: &'n Node,
    path: &str,
    faults: &mut Vec<Violation>,
    mut each: impl FnMut(&'n Node, &str, &mut Vec<Violation>) -> Option<T>,
) -> Vec<T> {
    let Value::List(items) = &node.value else {
        faults.push(wrong_type(node, "a list").at(path, Some(node.span)));
        return Vec::new();
    };
    let items = items.iter().enumerate();
    items.filter_map(|(index, item)| each(item, &format!("{path}[{index}]"), faults)).collect()
}

/// A list of more than `max`.
pub fn too_many(node: &Node, max: usize) -> Option<Refusal> {
    let Value::List(items) = &node.value else { return None };
    let refusal = || Refusal::new("length", format!("has {} entries", items.len())).help(format!("use at most {max}"));
    (items.len() > max).then(refusal)
}

/// Parses a text, and refuses what is none.
pub fn text<T>(node: &Node, parse: impl FnOnce(&str) -> Result<T, Refusal>) -> Result<T, Refusal> {
    node.as_str().map_or_else(|| Err(wrong_type(node, "a string")), parse)
}

/// The one of `choices` that `text` names.
pub fn one_of<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, Refusal> {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        Refusal::new("enum", format!("{} is not a choice", quote(text)))
            .help(format!("use {}", list(&names)))
            .suggest(text, names)
    })
}

/// A value of another type than `wanted`.
pub fn wrong_type(node: &Node, wanted: &str) -> Refusal {
    let refusal = Refusal::new("type", format!("is {}, not {wanted}", node.kind()));
    match (&node.value, wanted) {
        (Value::Ambiguous(text), _) => ambiguous(text),
        (Value::Number(_) | Value::Bool(_), "a string") => refusal.help("put it in quotes"),
        _ => refusal,
    }
}

/// A text that kubectl reads otherwise.
fn ambiguous(text: &str) -> Refusal {
    Refusal::new("ambiguous", format!("{} without quotes is something else for kubectl", quote(text)))
        .help("put it in quotes; for a boolean write `true` or `false`, for a number its decimal digits")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}
