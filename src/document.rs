//! Reads what a person or Kratix wrote: YAML into a tree whose every node knows its place.
//! Works within hard limits of bytes, depth and nodes, and never recurses, so that no input
//! can exhaust memory or the stack; what another YAML reader could understand differently
//! (aliases, merge keys, tags, duplicate keys), and what kubectl's cannot read, is refused rather
//! than guessed.

use crate::text::Span;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle, options};
use std::collections::{HashMap, HashSet};
use std::io::Read;

/// The longest source that is read, in bytes: etcd refuses an object over 1.5 MiB, and the
/// same object as indented YAML takes at most about twice that.
pub const MAX_BYTES: usize = 3 << 20;
/// The deepest nesting of lists and mappings; ours go to 10, Kubernetes schemas to about 20.
const MAX_DEPTH: usize = 64;
/// The most nodes (keys included) in one source.
const MAX_NODES: usize = 100_000;

/// A value and its place.
///
/// A scalar's span covers its text as written, quotes included, for a block scalar the text
/// under its `|`; a list or mapping starts at its first character. An absent value has an
/// empty span after its `:` or `-`.
#[derive(Clone, Debug)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where.
    pub span: Span,
}

/// What was written, by the core schema of YAML 1.2, so that a plain `no` is a string.
/// Numbers that JSON has no word for (`.inf`, `.nan`, `1e999`) are strings.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer where it is whole and fits 64 bits, otherwise a float.
    Number(serde_json::Number),
    /// A quoted text, or a plain one that is nothing else.
    String(String),
    /// A plain text that kubectl, whose YAML is 1.1, reads as something else than we: its text.
    Ambiguous(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order written, without duplicate keys.
    Map(Vec<(Key, Node)>),
}

/// What is laid over others.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// The documents.
    pub documents: Vec<Node>,
    /// How values are merged that say so, by where each begins.
    pub tags: HashMap<usize, MergeTag>,
}

/// How a value is merged with that of a file before
/// (<https://github.com/compose-spec/compose-spec/blob/main/13-merge.md>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeTag {
    /// `!reset`: what was there goes.
    Reset,
    /// `!override`: it takes the place of what was there.
    Override,
}

/// A mapping's key: its text, also where it reads as a number or boolean.
#[derive(Clone, Debug)]
pub struct Key {
    /// The text, unquoted.
    pub name: String,
    /// Whether kubectl, for which every key is a value first, makes another text of it, or none.
    pub is_ambiguous: bool,
    /// Where it stands, quotes included.
    pub span: Span,
}

impl Node {
    /// The kind of value, as a message says it.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Ambiguous(_) => "a word that kubectl reads otherwise",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value of a mapping's key; nothing where this is no mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.name == key).map(|(_, n)| n),
            _ => None,
        }
    }

    /// Changes every place in it; as deep as [`parse`] goes.
    fn each_span(&mut self, change: &impl Fn(&mut Span)) {
        change(&mut self.span);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.each_span(change)),
            Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
                change(&mut key.span);
                value.each_span(change);
            }),
            _ => {}
        }
    }

    /// What stands at a path such as `spec.members[2].role`; the node itself for an empty one.
    pub fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').filter(|part| !part.is_empty()).try_fold(self, |node, part| {
            let (name, index) = part.strip_suffix(']').and_then(|part| part.split_once('[')).unwrap_or((part, ""));
            match (node.get(name)?, index.parse::<usize>()) {
                (Node { value: Value::List(items), .. }, Ok(index)) => items.get(index),
                (node, _) => Some(node),
            }
        })
    }

    /// The entries of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A mapping with another value under a key, in its place or at the end.
    #[must_use]
    pub fn with(mut self, key: &str, value: Node) -> Self {
        let span = self.span;
        if let Value::Map(entries) = &mut self.value {
            entries.retain(|(known, _)| known.name != key);
            entries.push((Key { name: key.to_owned(), is_ambiguous: false, span }, value));
        }
        self
    }

    /// Whether it is `null`, or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The text of a string; nothing where this is no string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// What made a source unreadable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .span.map(|s| format!(" (line {}, column {})", s.line, s.column)).unwrap_or_default())]
pub struct Unreadable {
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Where, if the fault has a place.
    pub span: Option<Span>,
}

/// The error of a fault, with its help if that is not empty.
fn refuse<T>(message: impl Into<String>, help: &str, span: Option<Span>) -> Result<T, Unreadable> {
    let message = message.into();
    let help = (!help.is_empty()).then(|| help.to_owned());
    Err(Unreadable { message, help, span })
}

/// Reads at most one byte more than [`MAX_BYTES`], which [`parse`] then refuses, so that neither
/// a huge file nor an endless stdin fills memory. Errors are the reader's own.
pub fn read_limited(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All documents of a source of YAML; those that hold only comments or nothing are left out.
pub fn parse(source: &[u8]) -> Result<Vec<Node>, Unreadable> {
    parse_as(source, Dialect::Kubectl).map(|layer| layer.documents)
}

/// As [`parse`], of a file that is laid over others: with aliases, merge keys, `!reset` and `!override`. What an alias stands for
/// has its places where it is written, and counts each time; so does what has an anchor.
pub fn parse_layer(source: &[u8]) -> Result<Layer, Unreadable> {
    parse_as(source, Dialect::Layer)
}

/// What is taken beside what every reader takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Kubectl,
    Json,
    Layer,
}

/// As [`parse`], of a file as kubectl reads one: what begins with `{` is JSON, one object or several.
pub fn parse_file(source: &[u8]) -> Result<Vec<Node>, Unreadable> {
    match source.trim_ascii_start().first() {
        Some(b'{') if source.len() <= MAX_BYTES => parse_objects(source),
        _ => parse(source),
    }
}

fn parse_as(source: &[u8], dialect: Dialect) -> Result<Layer, Unreadable> {
    if source.len() > MAX_BYTES {
        let message = format!("more than {} MiB of input", MAX_BYTES >> 20);
        return refuse(message, "Kubernetes takes no object that large; split it", None);
    }
    let text = std::str::from_utf8(source).or_else(|e| {
        let message = format!("not UTF-8 at byte offset {}", e.valid_up_to());
        refuse(message, "save the file as UTF-8", None)
    })?;
    let limits = options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        emit_unresolved_aliases: true,
        emit_comments: false,
        disallow_directives: true,
    };
    let mut loader = Loader {
        text,
        dialect,
        open: Vec::new(),
        layer: Layer::default(),
        nodes: 0,
        begun: 0,
        closed: Vec::new(),
        anchored: HashMap::new(),
    };
    for event in Parser::new_from_str_with_options(text, limits) {
        let (event, span) = event.or_else(explain)?;
        loader.take(event, span)?;
    }
    if dialect != Dialect::Json {
        loader.refuse_tabs()?;
    }
    Ok(loader.layer)
}

/// JSON objects one after the other; places are those in the source.
fn parse_objects(source: &[u8]) -> Result<Vec<Node>, Unreadable> {
    let mut stream = serde_json::Deserializer::from_slice(source).into_iter::<serde::de::IgnoredAny>();
    let (mut all, mut begin, mut lines, mut columns) = (Vec::new(), 0, 0, 0);
    while let Some(object) = stream.next() {
        object.or_else(|error| {
            let line: usize = source.split_inclusive(|b| *b == b'\n').take(error.line() - 1).map(<[u8]>::len).sum();
            let start = (line + error.column().max(1) - 1).min(source.len());
            let column = String::from_utf8_lossy(&source[line..start]).chars().count() + 1;
            let why = error.to_string();
            let why = why.split_once(" at line ").map_or(&*why, |(why, _)| why);
            let help = "write JSON, or make it YAML by `---` in the first line";
            let span = Span { start, end: start, line: error.line(), column };
            refuse(format!("a file that begins with `{{` is JSON for kubectl: {why}"), help, Some(span))
        })?;
        let end = stream.byte_offset();
        let shift = |span: &mut Span| {
            span.start += begin;
            span.end += begin;
            span.column += if span.line == 1 { columns } else { 0 };
            span.line += lines;
        };
        let documents = parse_as(&source[begin..end], Dialect::Json).map_err(|mut fault| {
            fault.span.iter_mut().for_each(shift);
            fault
        })?;
        for mut document in documents.documents {
            document.each_span(&shift);
            all.push(document);
        }
        for c in String::from_utf8_lossy(&source[begin..end]).chars() {
            (lines, columns) = if c == '\n' { (lines + 1, 0) } else { (lines, columns + 1) };
        }
        begin = end;
    }
    Ok(all)
}

/// A list or mapping whose end has not come yet.
struct Open {
    node: Node,
    /// The key whose value comes next.
    key: Option<Key>,
    /// The places of a mapping's keys, for duplicates.
    seen: HashMap<String, Span>,
    /// Whether it is in brackets, or in what is.
    is_flow: bool,
    /// What stands before it.
    marks: Marks,
    /// Whether the key that comes next is a merge key.
    is_merge: bool,
    /// The mappings whose entries it has too, unless it has such keys itself.
    merged: Vec<Node>,
}

/// The anchor and the tag of a node.
#[derive(Clone, Copy, Default)]
struct Marks {
    anchor: usize,
    tag: Option<MergeTag>,
}

struct Loader<'a> {
    text: &'a str,
    dialect: Dialect,
    open: Vec<Open>,
    layer: Layer,
    nodes: usize,
    /// How many documents have begun.
    begun: usize,
    /// Where texts and what is in brackets begin and end: tabs are no indentation there.
    closed: Vec<(usize, usize)>,
    /// What has an anchor, by its number.
    anchored: HashMap<usize, Node>,
}

impl Loader<'_> {
    fn take(&mut self, event: Event<'_>, place: granit_parser::Span) -> Result<(), Unreadable> {
        let mut span = span_of(place);
        if event.is_node() {
            self.count(1, span)?;
        }
        let tag = match (event.tag(), self.dialect) {
            (None, _) => None,
            (Some(tag), Dialect::Layer) if (tag.handle(), tag.suffix()) == ("!", "reset") => Some(MergeTag::Reset),
            (Some(tag), Dialect::Layer) if (tag.handle(), tag.suffix()) == ("!", "override") => {
                Some(MergeTag::Override)
            }
            (Some(_), _) => {
                let span = place.tag_span().map_or(span, span_of);
                let help = "leave it out; to make a value a string, put it in quotes";
                return refuse("a tag is not supported", help, Some(span));
            }
        };
        match event {
            Event::DocumentStart(is_explicit, _) => {
                self.begun += 1;
                let line = self.text[span.start..].lines().next().unwrap_or_default();
                let rest = line.strip_prefix("---").unwrap_or_default().trim_start();
                match (is_explicit, rest.is_empty() || rest.starts_with('#')) {
                    (true, false) => refuse("text after `---`", "begin the document in the next line", Some(span)),
                    (false, _) if self.begun > 1 => {
                        refuse("a document that does not begin with `---`", "write `---` before it", Some(span))
                    }
                    _ => Ok(()),
                }
            }
            Event::Alias(anchor) if self.dialect == Dialect::Layer => {
                let Some(node) = self.anchored.get(&anchor).cloned() else {
                    return refuse("an alias inside of what it stands for", "write the value out", Some(span));
                };
                self.count(size_of(&node), span)?;
                if self.expects_key() {
                    return refuse("an alias as a key", "write the key out", Some(span));
                }
                self.finish(node, Marks::default())
            }
            Event::UnresolvedAlias(name) if self.dialect == Dialect::Layer => {
                let message = format!("there is no anchor {} above", crate::text::quote(&name));
                refuse(message, "a text that begins with `*` needs quotes", Some(span))
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let message = "an alias is not supported";
                let help = "write the value out; a text that begins with `*` needs quotes";
                refuse(message, help, Some(span))
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                // The parser hands an absent value over as `~`.
                let absent = plain && span.start == span.end;
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    let written = &self.text[span.start..span.end];
                    span.end = span.start + written.trim_end_matches(['\r', '\n', ' ']).len();
                }
                if absent && self.open.is_empty() {
                    return Ok(());
                }
                if self.dialect != Dialect::Json {
                    self.refuse_unknown_to_kubectl(style, span)?;
                }
                if !self.is_flow() {
                    self.closed.push((span.start, span.end));
                }
                if self.expects_key() {
                    return self.take_key(text.into_owned(), span, plain, absent);
                }
                let value = if plain { plain_value(&text) } else { Value::String(text.into_owned()) };
                self.finish(Node { value, span }, Marks { anchor, tag })
            }
            Event::SequenceStart(style, anchor, _) => {
                if style == StructureStyle::Block {
                    // A list not indented under its key is reported at its first item.
                    let line = self.text[..span.start].rfind(['\n', '\r']).map_or(0, |at| at + 1);
                    let before = self.text[line..span.start].trim_end_matches([' ', '\t']);
                    let under_key = self.open.last().is_some_and(|open| open.key.is_some());
                    if under_key && before.trim_start_matches(' ') == "-" {
                        span.start = line + before.len() - 1;
                        span.column = before.len();
                    }
                }
                self.start(Value::List(Vec::new()), style, span, Marks { anchor, tag })
            }
            Event::MappingStart(style, anchor, _) => {
                self.start(Value::Map(Vec::new()), style, span, Marks { anchor, tag })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { mut node, is_flow, marks, merged, .. }) = self.open.pop() else { return Ok(()) };
                // The end of a block is noticed only where the next thing starts.
                if span.end > span.start {
                    node.span.end = span.end;
                }
                if is_flow && !self.is_flow() {
                    self.closed.push((node.span.start, node.span.end));
                }
                if let Value::Map(entries) = &mut node.value {
                    merge(entries, merged);
                }
                self.finish(node, marks)
            }
            _ => Ok(()),
        }
    }

    fn is_flow(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_flow)
    }

    /// Refuses what YAML 1.2 has and kubectl's reader has not.
    fn refuse_unknown_to_kubectl(&self, style: ScalarStyle, span: Span) -> Result<(), Unreadable> {
        let written = &self.text[span.start..span.end];
        if style == ScalarStyle::Plain && self.is_flow() && (written.contains('?') || written.starts_with(':')) {
            let message = "kubectl takes no `?`, and no `:` at the start, in a text in brackets";
            return refuse(message, "put the text in quotes", Some(span));
        }
        let mut rest = if style == ScalarStyle::DoubleQuoted { written } else { "" };
        while let Some((_, escape)) = rest.split_once('\\') {
            let is_half =
                |digits: &str| matches!(digits.as_bytes(), [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
            match escape.strip_prefix('u') {
                _ if escape.starts_with('/') => {
                    return refuse("kubectl does not know the escape `\\/`", "write `/`", Some(span));
                }
                Some(digits) if is_half(digits) => {
                    let message = "kubectl takes no character as two halves, each by `\\u`";
                    return refuse(message, "write the character itself, or `\\U` and eight digits", Some(span));
                }
                _ => rest = escape.get(1..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Refuses a tab where a line begins, or behind the `-`, `?` and `:` that it begins with, except in texts and in brackets.
    fn refuse_tabs(&mut self) -> Result<(), Unreadable> {
        self.closed.sort_unstable();
        let mut start = 0;
        for (line, text) in self.text.split_inclusive('\n').enumerate() {
            let blank = text.len() - text.trim_start_matches([' ', '\t', '-', '?', ':']).len();
            if let Some(tab) = text[..blank].find('\t').filter(|_| !text.starts_with("---")) {
                let at = start + tab;
                let before = self.closed.partition_point(|(begin, _)| *begin <= at);
                if before == 0 || self.closed[before - 1].1 <= at {
                    let span = Span { start: at, end: at + 1, line: line + 1, column: tab + 1 };
                    return refuse("a tab where a line begins", "indent with spaces", Some(span));
                }
            }
            start += text.len();
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        let open = self.open.last();
        open.is_some_and(|open| open.key.is_none() && matches!(open.node.value, Value::Map(_)))
    }

    fn take_key(&mut self, name: String, span: Span, plain: bool, absent: bool) -> Result<(), Unreadable> {
        if absent {
            let message = "a key is missing before `:`";
            return refuse(message, "write `key: value`", Some(span));
        }
        let is_merge = plain && name == "<<";
        if is_merge && self.dialect != Dialect::Layer {
            let message = "a merge key `<<` is not supported";
            return refuse(message, "write the keys out", Some(span));
        }
        if let Some(open) = self.open.last_mut() {
            if let Some(first) = open.seen.insert(name.clone(), span) {
                let message = format!("the key {} is given twice", crate::text::quote(&name));
                let help =
                    format!("it is first given in line {}, column {}; keep one of them", first.line, first.column);
                return refuse(message, &help, Some(span));
            }
            let is_ambiguous = plain && is_ambiguous_key(&name);
            open.key = Some(Key { name, is_ambiguous, span });
            open.is_merge = is_merge;
        }
        Ok(())
    }

    fn start(&mut self, value: Value, style: StructureStyle, span: Span, marks: Marks) -> Result<(), Unreadable> {
        if self.expects_key() {
            let message = "a list or mapping as a key";
            let help = "a key is a text; a value that begins with `{` or `[` needs quotes";
            return refuse(message, help, Some(span));
        }
        if self.open.len() == MAX_DEPTH {
            return refuse_depth(span);
        }
        let node = Node { value, span };
        let is_flow = self.is_flow() || style == StructureStyle::Flow;
        self.open.push(Open {
            node,
            key: None,
            seen: HashMap::new(),
            is_flow,
            marks,
            is_merge: false,
            merged: Vec::new(),
        });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn finish(&mut self, node: Node, marks: Marks) -> Result<(), Unreadable> {
        self.layer.tags.extend(marks.tag.map(|tag| (node.span.start, tag)));
        if marks.anchor != 0 && self.dialect == Dialect::Layer {
            self.count(size_of(&node), node.span)?;
            self.anchored.insert(marks.anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.layer.documents.push(node);
            return Ok(());
        };
        parent.node.span.end = parent.node.span.end.max(node.span.end);
        match (&mut parent.node.value, parent.key.take()) {
            (Value::Map(_), Some(_)) if parent.is_merge => parent.merged.extend(mappings(node)?),
            (Value::Map(entries), Some(key)) => entries.push((key, node)),
            (Value::List(items), _) => items.push(node),
            // Not reached: what stands where a key is expected becomes the key or is refused.
            _ => {}
        }
        Ok(())
    }

    /// Counts what is read, and what stands for something once more.
    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Unreadable> {
        self.nodes += nodes;
        match self.nodes > MAX_NODES {
            true => refuse(format!("more than {MAX_NODES} values and keys"), "split the file", Some(span)),
            false => Ok(()),
        }
    }
}

/// How many values and keys a node is.
fn size_of(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size_of).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| 1 + size_of(value)).sum(),
        _ => 0,
    }
}

/// What a merge key brings: one mapping, or several.
fn mappings(node: Node) -> Result<Vec<Node>, Unreadable> {
    let all = match node.value {
        Value::List(items) => items,
        _ => vec![node],
    };
    match all.iter().find(|node| !matches!(node.value, Value::Map(_))) {
        Some(other) => {
            let message = format!("`<<` brings in {}, and not a mapping", other.kind());
            refuse(message, "write an alias of a mapping, as in `<<: *common`", Some(other.span))
        }
        None => Ok(all),
    }
}

/// Adds what stands in others, the first of which wins.
fn merge(entries: &mut Vec<(Key, Node)>, others: Vec<Node>) {
    let mut known: HashSet<String> = match others.is_empty() {
        true => return,
        false => entries.iter().map(|(key, _)| key.name.clone()).collect(),
    };
    for other in others {
        if let Value::Map(more) = other.value {
            entries.extend(more.into_iter().filter(|(key, _)| known.insert(key.name.clone())));
        }
    }
}

fn span_of(place: granit_parser::Span) -> Span {
    let bytes = place.byte_range().unwrap_or_default();
    Span { start: bytes.start, end: bytes.end, line: place.start.line(), column: place.start.col() + 1 }
}

fn refuse_depth<T>(span: Span) -> Result<T, Unreadable> {
    let message = format!("lists and mappings nested deeper than {MAX_DEPTH}");
    refuse(message, "look for a stray `[`, `{` or `-`", Some(span))
}

/// The parser's own error, without what it was doing, and with help where we know some.
fn explain<T>(error: ScanError) -> Result<T, Unreadable> {
    let span = span_of(granit_parser::Span::empty(*error.marker()));
    let help = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return refuse_depth(span),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "indent with spaces",
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            "close the quote on the line that opens it"
        }
        ErrorKind::DirectiveDisallowed => "leave the line out: kubectl takes none",
        ErrorKind::MappingValueNotAllowed => "put a text that contains `: ` in quotes",
        ErrorKind::UnexpectedCharacter { .. } => "put a text that begins with a special character in quotes",
        _ => "",
    };
    let message = error.kind().to_string();
    let message = match message.split_once(", ") {
        Some((context, rest)) if context.starts_with("while ") => rest,
        _ => &message,
    };
    refuse(message, help, Some(span))
}

/// A plain scalar by the [core schema](https://yaml.org/spec/1.2.2/#103-core-schema).
fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_ambiguous(text) => Value::Ambiguous(text.to_owned()),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// Whether kubectl makes another text of a plain key, which it reads as a value and then writes as JSON: `yes` becomes `true`,
/// `1e3` becomes `1000`, and `null` is refused.
fn is_ambiguous_key(text: &str) -> bool {
    match plain_value(text) {
        Value::Bool(value) => value.to_string() != text,
        // It takes no key of more than 63 bits.
        Value::Number(number) if number.is_i64() => number.to_string() != text,
        // A fraction becomes one of 32 bits, which Go writes with an exponent where it is large or small.
        Value::Number(number) if number.is_f64() => {
            let is_plain = |number: f32| (1e-4..1e6).contains(&number.abs()) && number.to_string() == text;
            !text.parse().is_ok_and(is_plain)
        }
        Value::Number(_) => true,
        Value::Null | Value::Ambiguous(_) => true,
        _ => false,
    }
}

/// Whether kubectl reads a plain text otherwise than YAML 1.2 has it, or not at all: as a boolean, or as a number of another
/// value (sigs.k8s.io/yaml, which reads as YAML 1.1 has it, and numbers as Go's `strconv` does with base 0).
fn is_ambiguous(text: &str) -> bool {
    let words = ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    let specials = [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"];
    if words.contains(&text) || specials.contains(&text.trim_start_matches(['+', '-'])) {
        return true;
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) {
        return false;
    }
    let plain = text.replace('_', "");
    let (is_negative, digits) = match plain.strip_prefix(['+', '-']) {
        Some(rest) => (plain.starts_with('-'), rest),
        None => (false, plain.as_str()),
    };
    let prefix = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    let radix = match prefix.as_str() {
        "0x" => 16,
        "0b" => 2,
        "0o" => 8,
        _ if digits.len() > 1 && digits.starts_with('0') => 8,
        _ => 10,
    };
    let bare = if prefix.ends_with(['x', 'b', 'o']) { &digits[2..] } else { digits };
    let theirs = match bare.starts_with(['+', '-']) {
        true => None,
        false => u64::from_str_radix(bare, radix).ok().map(i128::from).map(|n| if is_negative { -n } else { n }),
    };
    let ours = number(text);
    match theirs {
        Some(theirs) => ours.is_none_or(|ours| ours.as_i128() != Some(theirs) && !ours.is_f64()),
        None => ours.is_none() && number(&plain).is_some(),
    }
}

fn number(text: &str) -> Option<serde_json::Number> {
    let digits = |radix| move |d: &str| u64::from_str_radix(d, radix).ok().filter(|_| !d.starts_with('+'));
    if let Some(digits) = text.strip_prefix("0x").and_then(digits(16)).or(text.strip_prefix("0o").and_then(digits(8))) {
        return Some(digits.into());
    }
    // Rust also reads `inf` and `nan`, which are words here.
    if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    let integer = text.parse::<i64>().map(Into::into).or(text.parse::<u64>().map(Into::into));
    integer.ok().or_else(|| {
        let float: f64 = text.parse().ok()?;
        // JSON, by which kubectl hands it on, has no other word for `1e3` than `1000`.
        let is_whole = float.fract() == 0.0 && float.abs() < 9e18;
        if is_whole { Some((float as i64).into()) } else { serde_json::Number::from_f64(float) }
    })
}

/// The same tree without positions.
pub fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => value.clone().into(),
        Value::String(value) | Value::Ambiguous(value) => value.clone().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.name.clone(), to_json(value))).collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_aliases_merge_keys_and_two_tags() {
        let read = |source: &str| {
            let layer = parse_layer(source.as_bytes());
            layer.map(|all| all.documents.iter().map(|it| to_json(it).to_string()).collect::<Vec<_>>().join(" "))
        };
        for (source, expected) in [
            ("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n", r#"{"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}]}"#),
            ("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", r#"{"a":1,"b":1,"c":2,"d":2}"#),
            ("x: &x {a: 1, b: 2}\ny:\n  b: 3\n  <<: *x\n  c: 4\n", r#"{"x":{"a":1,"b":2},"y":{"a":1,"b":3,"c":4}}"#),
            (
                "x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}\n",
                r#"{"x":{"a":1},"y":{"a":2,"b":2},"z":{"a":1,"b":2}}"#,
            ),
            (
                "x: &x {a: 1}\ny: &y {<<: *x, b: 2}\nz: {<<: *y}\n",
                r#"{"x":{"a":1},"y":{"a":1,"b":2},"z":{"a":1,"b":2}}"#,
            ),
            ("a: {<<: {b: 1}}\n\"<<\": 2\n", r#"{"<<":2,"a":{"b":1}}"#),
            ("a: !reset null\nb: !override [1]\nc: !reset\n", r#"{"a":null,"b":[1],"c":null}"#),
            ("a: 1\n---\nb: 2\n", r#"{"a":1} {"b":2}"#),
        ] {
            assert_eq!(read(source).as_deref(), Ok(expected), "{source}");
        }
        for (source, told) in [
            ("a: *x\n", "there is no anchor `x` above (line 1, column 4)"),
            ("a: &x {b: *x}\n", "an alias inside of what it stands for (line 1, column 11)"),
            ("a: {<<: 1}\n", "`<<` brings in a number, and not a mapping (line 1, column 9)"),
            ("a: &x [1]\nb: {<<: [*x]}\n", "`<<` brings in a list, and not a mapping (line 1, column 7)"),
            ("a: !!str 1\n", "a tag is not supported (line 1, column 4)"),
            ("a: !other 1\n", "a tag is not supported (line 1, column 4)"),
            ("a: &x k\n*x : 1\n", "an alias as a key (line 2, column 1)"),
            ("a: 1\na: 2\n", "the key `a` is given twice (line 2, column 1)"),
        ] {
            assert_eq!(read(source).map_err(|fault| fault.to_string()), Err(told.to_owned()), "{source}");
        }
        let bomb = (0..40).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
            let alias = format!("*a{n}");
            text + &format!("a{}: &a{} [{}]\n", n + 1, n + 1, vec![alias; 9].join(", "))
        });
        assert!(read(&bomb).is_err_and(|fault| fault.message.starts_with("more than 100000 values")));
        let layer = parse_layer(b"a: !override {b: &x c}\nd: *x\ne: !reset\nf: !reset [1]\n").unwrap();
        let tag_of = |name: &str| layer.tags.get(&layer.documents[0].get(name).unwrap().span.start).copied();
        let tags = ["a", "d", "e", "f"].map(tag_of);
        assert_eq!(tags, [Some(MergeTag::Override), None, Some(MergeTag::Reset), Some(MergeTag::Reset)]);
        assert_eq!(layer.documents[0].get("d").unwrap().span.column, 21, "where it is written");
        for source in ["a: &x 1\nb: *x\n", "a: {<<: {}}\n", "a: !reset 1\n"] {
            assert!(parse(source.as_bytes()).is_err(), "{source}");
        }
    }

    /// The tree with every scalar and key as the source shows it.
    fn shape(source: &str) -> String {
        parse(source.as_bytes()).unwrap().iter().map(|n| show(source, n)).collect::<Vec<_>>().join(" --- ")
    }

    fn show(source: &str, node: &Node) -> String {
        let join = |parts: Vec<String>| parts.join(", ");
        match &node.value {
            Value::List(items) => format!("[{}]", join(items.iter().map(|n| show(source, n)).collect())),
            Value::Map(entries) => format!(
                "{{{}}}",
                join(entries.iter().map(|(k, n)| format!("{}: {}", at(source, k.span), show(source, n))).collect())
            ),
            _ => at(source, node.span),
        }
    }

    fn at(source: &str, span: Span) -> String {
        format!("{}@{}:{}", &source[span.start..span.end], span.line, span.column)
    }

    fn refusal(source: &str) -> (String, String) {
        let fault = parse(source.as_bytes()).unwrap_err();
        let place = fault.span.map_or_else(String::new, |s| format!(" @{}:{}", s.line, s.column));
        (fault.message + &place, fault.help.unwrap_or_default())
    }

    fn values(source: &str) -> Vec<Value> {
        let Value::List(items) = parse(source.as_bytes()).unwrap().remove(0).value else { panic!("{source}") };
        items.into_iter().map(|n| n.value).collect()
    }

    #[test]
    fn spans_cover_scalars_and_keys_as_written() {
        assert_eq!(shape("é: \"ü\\n\" # c\nb: 'x''y'"), "{é@1:1: \"ü\\n\"@1:4, b@2:1: 'x''y'@2:4}");
        assert_eq!(shape("a: ß\r\nb:\r\n  c: d\r\n"), "{a@1:1: ß@1:4, b@2:1: {c@3:3: d@3:6}}");
        assert_eq!(
            shape("k: [é, {ü: 2, \"z\": }, c: 3]"),
            "{k@1:1: [é@1:5, {ü@1:9: 2@1:12, \"z\"@1:15: @1:18}, {c@1:23: 3@1:26}]}"
        );
        assert_eq!(shape("a: |-\n  é1\n  2\n\nb: >\n  f\n"), "{a@1:1: é1\n  2@2:3, b@5:1: f@6:3}");
        assert_eq!(shape("a:\n- 1\n-\n"), "{a@1:1: [1@2:3, @3:2]}");
        assert_eq!(shape("a: &x 1\nb: two\n  words"), "{a@1:1: 1@1:7, b@2:1: two\n  words@2:4}");
    }

    #[test]
    fn lists_and_mappings_start_at_their_first_character() {
        for (source, whole) in [
            ("a:\n- x\n- y\n# c\n", "- x\n- y@2:1"),
            ("a:\n- - x\n", "- - x@2:1"),
            ("a:\n  -   x\nb: 1", "-   x@2:3"),
            ("a: # -\n  é: 1\n  b: {c: 2}\n\n", "é: 1\n  b: {c: 2}@2:3"),
            ("a: [ x ] # c", "[ x ]@1:4"),
            ("a: { x: 1 }", "{ x: 1 }@1:4"),
        ] {
            let documents = parse(source.as_bytes()).unwrap();
            assert_eq!(at(source, documents[0].get("a").unwrap().span), whole, "{source}");
        }
    }

    #[test]
    fn every_document_counts_its_lines_from_the_start_and_empty_ones_are_left_out() {
        assert_eq!(shape("# c\n---\na: 1\n---\n# c\n---\n...\n---\né\n"), "{a@3:1: 1@3:4} --- é@9:1");
        assert_eq!(shape("\u{feff}a: b"), "{a@1:1: b@1:4}");
        assert_eq!(shape(""), "");
        assert_eq!(shape("---  # c\n~"), "~@2:1");
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let read = |text: &str| {
            values(&format!("[{text}]"))
                .iter()
                .map(|v| match v {
                    Value::Number(n) => n.to_string(),
                    other => format!("{other:?}"),
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(read("null, ~, '', true, FALSE"), r#"Null Null String("") Bool(true) Bool(false)"#);
        assert_eq!(
            read("no, 'true', .inf, nan, 1_0, 1e999, 0x+1, ."),
            r#"Ambiguous("no") String("true") Ambiguous(".inf") String("nan") Ambiguous("1_0") String("1e999") String("0x+1") String(".")"#
        );
        assert_eq!(read("1, -2, +3, 0x1F, 0o17, 1.50, .5, 2e3"), "1 -2 3 31 15 1.5 0.5 2000");
        assert_eq!(read("18446744073709551615, 18446744073709551616"), "18446744073709551615 1.8446744073709552e+19");
    }

    #[test]
    fn a_key_of_which_kubectl_makes_another_is_ambiguous() {
        let ambiguous = |key: &str| match &parse(format!("{key}: a").as_bytes()).unwrap()[0].value {
            Value::Map(entries) => entries[0].0.is_ambiguous,
            value => panic!("{value:?}"),
        };
        for key in [
            "yes",
            "on",
            "True",
            "null",
            "~",
            "1.50",
            "0x1",
            "1_0",
            "010",
            "1e3",
            "+1",
            "1e-7",
            "9223372036854775808",
            "1234567.5",
            "1.23456789",
            "0.30000001",
            "0.00001",
        ] {
            assert!(ambiguous(key) && !ambiguous(&format!("'{key}'")), "{key}");
        }
        for key in ["a", "true", "false", "1", "0", "1.5", "0.3", "123456.5", "9223372036854775807", "a.com/a", "1.2.3"]
        {
            assert!(!ambiguous(key), "{key}");
        }
    }

    /// What kubectl makes of them was asked of it: tests/contract/kubernetes has many more.
    #[test]
    fn what_kubectl_reads_otherwise_is_ambiguous() {
        let ambiguous = |text: &str| {
            matches!(parse(format!("a: {text}").as_bytes()).unwrap()[0].get("a").unwrap().value, Value::Ambiguous(_))
        };
        for text in [
            "y", "N", "no", "On", "OFF", ".inf", "-.INF", ".NaN", "010", "-017", "0b11", "+0b1", "0B1", "0X1F",
            "-0x1F", "0O17", "1_000", "0x_1", "0_8", "0o_7", "1_0.5",
        ] {
            assert!(ambiguous(text), "{text}");
            assert!(!ambiguous(&format!("'{text}'")), "{text} in quotes");
        }
        for text in [
            "true",
            "False",
            "yess",
            "nO",
            "0",
            "00",
            "07",
            "08",
            "0o17",
            "0x1F",
            "1e3",
            ".5",
            "5.",
            "+.5",
            "1:30",
            "2001-01-01",
            "=",
            "_1",
            "0x",
            "0b",
            "12e",
            "1e999",
            "18446744073709551616",
            "-9223372036854775808",
            "inf",
            "~",
        ] {
            assert!(!ambiguous(text), "{text}");
        }
    }

    #[test]
    fn accessors_tell_kinds_apart() {
        let node = parse(b"a: x\n1: [~, 2, true]").unwrap().remove(0);
        assert_eq!((node.kind(), node.get("b").is_none(), node.as_str()), ("a mapping", true, None));
        assert_eq!(node.get("a").and_then(Node::as_str), Some("x"));
        let list = node.get("1").unwrap();
        assert_eq!((list.kind(), list.get("a").is_none()), ("a list", true));
        let Value::List(items) = &list.value else { panic!() };
        assert_eq!(items.iter().map(Node::kind).collect::<Vec<_>>(), ["nothing", "a number", "a boolean"]);
    }

    #[test]
    fn what_readers_disagree_on_is_refused() {
        for (source, message, help) in [
            (
                "a: 1\n\"a\": 2",
                "the key `a` is given twice @2:1",
                "it is first given in line 1, column 1; keep one of them",
            ),
            (
                "a: &x 1\nb: *x",
                "an alias is not supported @2:4",
                "write the value out; a text that begins with `*` needs quotes",
            ),
            (
                "a: *.log",
                "an alias is not supported @1:4",
                "write the value out; a text that begins with `*` needs quotes",
            ),
            ("<<: {a: 1}", "a merge key `<<` is not supported @1:1", "write the keys out"),
            ("a: !!str 1", "a tag is not supported @1:4", "leave it out; to make a value a string, put it in quotes"),
            ("!foo {}", "a tag is not supported @1:1", "leave it out; to make a value a string, put it in quotes"),
            (
                "a: {{ x }}",
                "a list or mapping as a key @1:5",
                "a key is a text; a value that begins with `{` or `[` needs quotes",
            ),
            (": 1", "a key is missing before `:` @1:1", "write `key: value`"),
        ] {
            assert_eq!(refusal(source), (message.to_owned(), help.to_owned()), "{source}");
        }
    }

    /// Each was shown to kubectl 1.32.
    #[test]
    fn what_kubectl_cannot_read_is_refused() {
        let tab = "a tab where a line begins";
        for (source, message) in [
            (r#"a: "x\/y""#, r"kubectl does not know the escape `\/` @1:4".to_owned()),
            (r#"a: "\\\ud83d\ude00""#, r"kubectl takes no character as two halves, each by `\u` @1:4".to_owned()),
            ("a: {b: x?y}", "kubectl takes no `?`, and no `:` at the start, in a text in brackets @1:8".to_owned()),
            ("a: [:b]", "kubectl takes no `?`, and no `:` at the start, in a text in brackets @1:5".to_owned()),
            ("%YAML 1.2\n---\na: 1", "YAML directives are disallowed @1:1".to_owned()),
            ("a: 1\n--- {b: 1}", "text after `---` @2:1".to_owned()),
            ("a: 1\n...\nb: 1", "a document that does not begin with `---` @3:1".to_owned()),
            ("\t\na: 1", format!("{tab} @1:1")),
            ("a:\n  b: 1\n  \t# c\n", format!("{tab} @3:3")),
            ("a:\n- -\tb", format!("{tab} @2:4")),
            ("a: |\n  x\n\t\nb: 1", format!("{tab} @3:1")),
        ] {
            assert_eq!(refusal(source).0, message, "{source}");
        }
        for source in [
            r#"a: "\\/ \U0001F600 \u00e9""#,
            "a: x?y\n? b\n: http://x/?y",
            "a: {? b : 'c?'}",
            "a:\t1 \t# c\n---\t\nb: 1\n...\n",
            "a: |\n  \tx\n\n  \ty\n  \t\nb: [\n  \tx ]",
        ] {
            assert!(parse(source.as_bytes()).is_ok(), "{source}: {:?}", parse(source.as_bytes()));
        }
    }

    #[test]
    fn a_file_that_begins_with_a_brace_is_json() {
        let read = |source: &str| {
            let places = |documents: Vec<Node>| documents.iter().map(|n| show(source, n)).collect::<Vec<_>>().join(" ");
            let fault = |fault: Unreadable| {
                let span = fault.span.unwrap();
                let why = fault.message.strip_prefix("a file that begins with `{` is JSON for kubectl: ");
                format!("{} @{}:{}", why.unwrap_or(&fault.message), span.line, span.column)
            };
            parse_file(source.as_bytes()).map_or_else(fault, places)
        };
        assert_eq!(
            read("\t{\"é\":\n\t\"\\/\\ud83d\\ude00\"}{\"a\": 1}"),
            r#"{"é"@1:3: "\/\ud83d\ude00"@2:2} {"a"@2:20: 1@2:25}"#
        );
        assert_eq!(read("{\"é\": 1,}"), "key must be a string @1:9");
        assert_eq!(read("{a: 1}"), "key must be a string @1:2");
        assert_eq!(read("{\"a\": 1}\n---\nb: 1"), "invalid number @2:2");
        assert_eq!(read("{\"a\": 1}\n{\"a\": 1, \"a\": 2}"), "the key `a` is given twice @2:10");
        assert_eq!(read("---\n{a: 1,}"), "{a@2:2: 1@2:5}");
    }

    #[test]
    fn broken_syntax_is_refused_with_its_place() {
        for (source, message, help) in [
            ("a:\n\t- x", "tabs disallowed within this context (block indentation) @2:2", "indent with spaces"),
            ("a: 'x", "unclosed quote @1:4", "close the quote on the line that opens it"),
            (
                "a: b: c",
                "mapping values are not allowed in this context @1:5",
                "put a text that contains `: ` in quotes",
            ),
            ("a: @x", "unexpected character: `@' @1:4", "put a text that begins with a special character in quotes"),
            ("a: [1, 2", "unclosed bracket '[' @1:4", ""),
        ] {
            assert_eq!(refusal(source), (message.to_owned(), help.to_owned()), "{source}");
        }
        assert_eq!(parse(b"a: \xc3\xa9\xff").unwrap_err().message, "not UTF-8 at byte offset 5");
    }

    #[test]
    fn hostile_sources_end_in_an_error_not_in_a_stack_overflow() {
        let blocks: String = (0..2_000).map(|d| " ".repeat(d) + "a:\n").collect();
        for source in
            ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "[{a: ".repeat(50_000), blocks]
        {
            let (message, _) = refusal(&source);
            assert!(message.starts_with("lists and mappings nested deeper than 64 @"), "{message}");
        }
        assert_eq!(refusal(&"? ".repeat(100_000)).0, "a list or mapping as a key @1:3");
        let mixed = "- ".repeat(40) + &"[".repeat(40) + &"]".repeat(40);
        assert_eq!(refusal(&mixed).0, "lists and mappings nested deeper than 64 @1:105");
        assert_eq!(refusal(&"- a\n".repeat(100_000)).0, "more than 100000 values and keys @100000:3");
        let bomb = "a: &a [x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n";
        assert_eq!(refusal(bomb).0, "an alias is not supported @2:8");
        assert_eq!(parse(&vec![b'x'; 20 << 20]).unwrap_err().message, "more than 3 MiB of input");
        assert_eq!(parse(&vec![b'x'; MAX_BYTES]).unwrap().len(), 1);
    }

    #[test]
    fn depth_and_count_are_taken_up_to_their_limit() {
        assert_eq!(parse(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes()).unwrap().len(), 1);
        assert_eq!(parse("- a\n".repeat(99_999).as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn an_endless_reader_is_left_after_the_limit() {
        assert_eq!(read_limited(std::io::repeat(b'x')).unwrap().len(), MAX_BYTES + 1);
    }
}
