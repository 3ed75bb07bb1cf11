//! Reads the requests that the user names, as kubectl does: files, folders, stdin; YAML, JSON, and lists of them.

use super::prune::Notes;
use super::{Files, one_line};
use crate::config::Config;
use crate::document::{self, Node, Unreadable, Value};
use crate::known;
use crate::request::API_VERSION;
use crate::set::{self, Item, Verdict};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What was read.
#[derive(Default)]
pub struct Sources {
    /// The files, in the order given.
    pub sources: Vec<Source>,
    /// What was passed over, and why: a line each.
    pub notes: Vec<String>,
}

/// One file, read.
pub struct Source {
    /// As the user named it.
    pub name: String,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Its documents, or why there are none.
    pub documents: Result<Vec<Node>, Unreadable>,
    /// Whether nothing of it was passed over.
    pub is_whole: bool,
}

impl Source {
    /// Its documents, with their places.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let place = |document: &Node| format!("{}:{}", self.name, document.span.line);
        self.documents.iter().flatten().map(move |document| Item { document, place: place(document) })
    }
}

/// Reads every file, in the order given; those of a folder (`*.yaml`, `*.yml`, `*.json`) by name. With notes of where earlier
/// runs had requests from, whose files may hold none any more, and be gone.
///
/// # Errors
/// A file that cannot be read; a folder without files.
pub fn read(files: &Files, notes: Option<&Notes>) -> Result<Sources> {
    let mut read = Sources::default();
    for path in files.all() {
        if path.is_dir() {
            read.read_folder(path, files.recursive, notes.is_some())?;
        } else if notes.is_some_and(|notes| notes.is_gone(path)) {
            let name = path.display().to_string();
            read.sources.push(Source { name, text: Vec::new(), documents: Ok(Vec::new()), is_whole: true });
        } else {
            let source = read_one(path)?;
            read.sources.push(source);
        }
    }
    for source in read.sources.iter_mut().filter(|_| notes.is_none()) {
        if source.documents.as_ref().is_ok_and(|documents| source.is_whole && documents.is_empty()) {
            let help = "write one; what it held when it was run before, `goldpath run --prune` deletes".to_owned();
            let message = "the file holds no request".to_owned();
            source.documents = Err(Unreadable { message, help: Some(help), span: None });
        }
    }
    Ok(read)
}

impl Sources {
    fn read_folder(&mut self, folder: &Path, recursive: bool, may_be_empty: bool) -> Result<()> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        list(folder, recursive, &mut files, &mut folders)?;
        if files.is_empty() && !may_be_empty {
            let shown = folder.display();
            match folders.first() {
                Some(below) => bail!(
                    "{shown} holds no file that ends in .yaml, .yml or .json, and {} does: `--recursive` reads it too",
                    below.display()
                ),
                None => bail!("{shown} holds no file that ends in .yaml, .yml or .json"),
            }
        }
        let mut note =
            |path: &Path, what: &str| self.notes.push(format!("{}: {what}", one_line(&path.display().to_string())));
        for folder in folders {
            match folder.is_symlink() {
                true => note(&folder, "not read, because it is a link to a folder: name it to have it read"),
                false => note(&folder, "not read, because `--recursive` is not given"),
            }
        }
        let mut sources = Vec::new();
        for file in files {
            if file.file_stem().is_some_and(|name| name.eq_ignore_ascii_case("kustomization")) {
                note(&file, "not read, because it is for kustomize: `kubectl kustomize` builds what it names");
                continue;
            }
            let mut source = read_one(&file)?;
            if let Ok(documents) = &mut source.documents {
                let all = documents.len();
                documents.retain(|document| match foreign(document) {
                    Some(version) => {
                        let line = document.span.line;
                        note(&file, &format!("the document in line {line} is none of this platform's ({version})"));
                        false
                    }
                    None => true,
                });
                source.is_whole = documents.len() == all;
            }
            sources.push(source);
        }
        self.sources.extend(sources);
        Ok(())
    }
}

/// What is wrong with the documents of each file, in its order: of those that can be read.
pub fn judge<'s>(
    sources: &'s [Source],
    config: &Config,
    source: &dyn known::Source,
) -> impl Iterator<Item = (&'s Source, Verdict)> {
    let items: Vec<_> = sources.iter().flat_map(Source::items).collect();
    let mut verdicts = set::check(&items, config, source).into_iter();
    sources.iter().map(move |source| {
        let mut all = Verdict::default();
        for Verdict { faults, conflicts, warnings } in verdicts.by_ref().take(source.items().count()) {
            all.faults.extend(faults.into_iter().chain(conflicts));
            all.warnings.extend(warnings);
        }
        (source, all)
    })
}

/// The `apiVersion` of an object of another group.
fn foreign(document: &Node) -> Option<String> {
    let group = |version: &str| version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let version = document.get("apiVersion").and_then(Node::as_str)?;
    (group(version) != group(API_VERSION)).then(|| crate::text::quote(version))
}

/// The files of a folder, and the folders in it that hold such files and are not read.
fn list(folder: &Path, recursive: bool, files: &mut Vec<PathBuf>, unread: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("cannot read {}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        entries.push(entry.with_context(reading)?.path());
    }
    entries.sort();
    for path in entries {
        // A link to a folder may lead back here, and what begins with a dot is for tools: the workspace is one such.
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && (is_hidden || path.is_symlink()) {
            unread.extend((!is_hidden).then_some(path));
            continue;
        }
        if path.is_dir() {
            let mut below = Vec::new();
            match recursive {
                true => list(&path, true, files, unread)?,
                false if list(&path, true, &mut below, &mut Vec::new()).is_ok() && !below.is_empty() => {
                    unread.push(path)
                }
                false => {}
            }
        } else if is_named(&path) {
            // A link to nothing too: reading it says so.
            files.push(path);
        }
    }
    Ok(())
}

fn is_named(path: &Path) -> bool {
    let is_it = |suffix: &OsStr| ["yaml", "yml", "json"].iter().any(|known| suffix.eq_ignore_ascii_case(known));
    // Which is for kustomize, and is told to be passed over.
    path.extension().map_or_else(|| path.file_name().is_some_and(|name| name == "Kustomization"), is_it)
}

/// Whether a file would be read that is in a folder which is given.
pub fn is_read(folder: &Path, file: &Path, recursive: bool) -> bool {
    let Ok(rest) = file.strip_prefix(folder) else { return false };
    let folders = rest.parent().map_or(0, |parent| parent.components().count());
    let is_hidden = |part: std::path::Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    let is_below = folders == 0 || recursive && !rest.parent().is_some_and(|parent| parent.components().any(is_hidden));
    is_named(file) && is_below
}

fn read_one(path: &Path) -> Result<Source> {
    let (name, text) = if path == Path::new("-") {
        ("<stdin>".to_owned(), document::read_limited(std::io::stdin().lock()).context("cannot read stdin")?)
    } else {
        let read = || document::read_limited(File::open(path)?);
        let reading = || match path.is_symlink() && !path.exists() {
            true => format!("cannot read {}, a link to what is not there", path.display()),
            false => format!("cannot read {}", path.display()),
        };
        (path.display().to_string(), read().with_context(reading)?)
    };
    let documents = parse(&text);
    Ok(Source { name, text, documents, is_whole: true })
}

/// The documents of a file: of YAML, or of JSON objects one after the other; of a `List` its items.
fn parse(text: &[u8]) -> Result<Vec<Node>, Unreadable> {
    let mut flat = Vec::new();
    for document in document::parse_file(text)? {
        match items(document) {
            Ok(items) => flat.extend(items),
            Err(document) => flat.push(document),
        }
    }
    Ok(flat)
}

/// The items of a `List`, as kubectl prints several objects.
fn items(document: Node) -> Result<Vec<Node>, Node> {
    let is_list = document.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
    let has_items = matches!(document.get("items").map(|items| &items.value), Some(Value::List(_)));
    match document.value {
        Value::Map(entries) if is_list && has_items => {
            let items = entries.into_iter().find(|(key, _)| key.name == "items").map(|(_, items)| items.value);
            match items {
                Some(Value::List(items)) => Ok(items),
                _ => Ok(Vec::new()),
            }
        }
        value => Err(Node { value, span: document.span }),
    }
}
