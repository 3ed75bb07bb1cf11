//! What earlier runs have delivered from files that are given again, and that is in them no more.
//!
//! Each request in a workspace has a note beside it: the file that it came from.

use super::requests::Source;
use super::{Files, one_line};
use crate::document;
use crate::file_tree::write_file;
use crate::request::Identity;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The note's name, in the folder of a request.
const NOTE: &str = "source";

/// Notes which file a request came from. What came from stdin has none: nobody can say what is missing there.
///
/// # Errors
/// A file that cannot be written.
pub fn remember(folder: &Path, source: &str) -> Result<()> {
    let note = folder.join(NOTE);
    let Ok(path) = fs::canonicalize(source) else { return Ok(()) };
    let path = path.to_string_lossy();
    if fs::read(&note).is_ok_and(|old| old == path.as_bytes()) {
        return Ok(());
    }
    write_file(&note, path.as_bytes())
}

/// The requests of a workspace that came from what is given now and are not among `given`, each as the file that it last was.
///
/// # Errors
/// A workspace that cannot be read.
pub fn find(workspace: &Path, files: &Files, given: &BTreeSet<Identity>) -> Result<Vec<Source>> {
    let given_paths: Vec<PathBuf> = files.all().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let is_from = |file: &Path| {
        given_paths.iter().any(|path| {
            file == path
                || file.parent() == Some(path)
                || files.recursive && file.ancestors().any(|above| above == path)
        })
    };
    let paths: BTreeSet<String> = given.iter().map(Identity::path).collect();
    let mut strays = Vec::new();
    let requests = workspace.join("requests");
    for (folder, name) in folders_of_requests(&requests)? {
        let Ok(note) = fs::read_to_string(folder.join(NOTE)) else { continue };
        if paths.contains(&name) || !is_from(Path::new(&note)) {
            continue;
        }
        let object = folder.join("input/object.yaml");
        let text = fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
        let documents = document::parse(&text);
        strays.push(Source { name: object.display().to_string(), text, documents });
    }
    Ok(strays)
}

/// Every folder three levels below, and its path from there.
fn folders_of_requests(requests: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut folders = vec![(requests.to_owned(), String::new())];
    for _ in 0..3 {
        let mut below = Vec::new();
        for (folder, name) in folders {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
                let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                below.push((path, if name.is_empty() { own } else { format!("{name}/{own}") }));
            }
        }
        folders = below;
    }
    folders.sort();
    Ok(folders)
}

/// Whether a person agrees that requests are deleted.
///
/// # Errors
/// Where nobody can be asked.
pub fn confirm(names: &[String]) -> Result<bool> {
    ensure!(
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        "`--prune` would delete {}: nobody is here to be asked, so say `--yes` too",
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
