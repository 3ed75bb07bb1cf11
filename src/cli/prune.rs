//! What earlier runs have delivered from files that are given again, and that is in them no more.
//!
//! Each request in a workspace has a note beside it: the file that it came from. A request is missing where that file was read
//! and does not hold it, or is gone from a folder that was read; where a file is passed over, nothing is known of it.

use super::requests::{Source, is_read};
use super::{Files, one_line};
use crate::document;
use crate::file_tree::write_file;
use crate::request::{API_VERSION, Identity};
use crate::standing::folders_of_requests;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The note's name, in the folder of a request.
const NOTE: &str = "source";

/// Where a file is, by the way that people name it: where it is a link, the link counts.
fn place(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs::canonicalize(folder).ok()?.join(file.file_name()?))
}

/// Whether a file is no more: its place can be looked at, down to where nothing is, and no link is on the way, whose target
/// may only be away for a while.
fn is_gone(file: &Path) -> bool {
    for path in file.ancestors() {
        match fs::symlink_metadata(path) {
            Ok(found) => return path != file && found.is_dir(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => return false,
        }
    }
    false
}

/// Notes which file a request came from. What came from stdin has no note: nobody can say what is missing there.
///
/// # Errors
/// A file that cannot be written.
pub fn remember(folder: &Path, source: &str) -> Result<()> {
    let note = folder.join(NOTE);
    let Some(path) = place(Path::new(source)).filter(|path| path.exists()) else {
        if note.exists() {
            fs::remove_file(&note).with_context(|| format!("cannot remove {}", note.display()))?;
        }
        return Ok(());
    };
    let path = path.to_string_lossy();
    if fs::read(&note).is_ok_and(|old| old == path.as_bytes()) {
        return Ok(());
    }
    write_file(&note, path.as_bytes())
}

/// Which file each request of a workspace came from, where that is known.
pub struct Notes(Vec<(Identity, PathBuf)>);

impl Notes {
    /// Those of a workspace.
    ///
    /// # Errors
    /// A workspace that cannot be read.
    pub fn read(workspace: &Path) -> Result<Self> {
        let folders = folders_of_requests(&workspace.join("requests"))?;
        let note = |(folder, path): (PathBuf, String)| {
            let note = fs::read_to_string(folder.join(NOTE)).ok()?;
            Some((crate::promise::identify(&path).ok()?, PathBuf::from(note)))
        };
        Ok(Self(folders.into_iter().filter_map(note).collect()))
    }

    /// Whether something is no more that was the file of a request, or a folder with it.
    pub fn is_gone(&self, path: &Path) -> bool {
        place(path).is_some_and(|path| is_gone(&path) && self.0.iter().any(|(_, file)| file.starts_with(&path)))
    }

    /// The requests that came from what was read now and are not in it, each with what deletes it. None where something that
    /// was read is no request: it may be one of them.
    pub fn strays(&self, files: &Files, sources: &[Source]) -> Vec<(Identity, Source)> {
        let (mut given, mut read) = (BTreeSet::new(), BTreeMap::new());
        for source in sources {
            let Ok(documents) = &source.documents else { return Vec::new() };
            for document in documents {
                match crate::promise::read(document) {
                    Ok(request) => drop(given.insert(request.identity)),
                    Err(_) => return Vec::new(),
                }
            }
            read.extend(place(Path::new(&source.name)).map(|path| (path, source.is_whole)));
        }
        let folder = |path: &PathBuf| fs::canonicalize(path).ok().or_else(|| place(path));
        let folders: Vec<PathBuf> = files.all().filter(|path| !path.is_file()).filter_map(folder).collect();
        let is_missing = |file: &Path| match read.get(file) {
            Some(is_whole) => *is_whole,
            None => {
                let is_read = |folder: &PathBuf| is_read(folder, file, files.recursive);
                is_gone(file) && folders.iter().any(is_read)
            }
        };
        let strays = self.0.iter().filter(|(request, file)| !given.contains(request) && is_missing(file));
        strays.map(|(request, file)| (request.clone(), deletion(request, file))).collect()
    }
}

/// What deletes a request that came from a file.
fn deletion(request: &Identity, file: &Path) -> Source {
    let metadata = json!({"name": request.name, "namespace": request.namespace});
    let object = json!({"apiVersion": API_VERSION, "kind": request.kind, "metadata": metadata, "spec": {}});
    let text = object.to_string().into_bytes();
    Source { name: file.display().to_string(), documents: document::parse(&text), text, is_whole: true }
}

/// Whether a person agrees that requests are deleted.
///
/// # Errors
/// Where nobody can be asked.
pub fn confirm(names: &[String]) -> Result<bool> {
    ensure!(
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        "`--prune` would delete {}: nobody is here to be asked, so say `--yes` too; nothing was done",
        shown(names)
    );
    let mut err = std::io::stderr().lock();
    write!(err, "Delete {}? [y/N] ", shown(names)).and_then(|()| err.flush()).context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read an answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The first of some names, and how many more there are.
pub fn shown(names: &[String]) -> String {
    let first = names.iter().take(3).map(|name| one_line(name)).collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=3 => first,
        n => format!("{first} and {} more", n - 3),
    }
}
