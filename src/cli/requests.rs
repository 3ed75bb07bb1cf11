//! Reads the requests that the user names: files, folders, stdin.

use super::Files;
use crate::document::{self, Node, Unreadable};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::Path;

/// One file, read.
pub struct Source {
    /// As the user named it.
    pub name: String,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Its documents, or why there are none.
    pub documents: Result<Vec<Node>, Unreadable>,
}

/// Reads every file, in the order given; those of a folder (`*.yaml`, `*.yml`) by name.
///
/// # Errors
/// A file that cannot be read, a folder without files.
pub fn read(files: &Files) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in &files.files {
        if path.is_dir() {
            let found = list(path)?;
            ensure!(!found.is_empty(), "{} holds no file that ends in .yaml or .yml", path.display());
            for file in found {
                sources.push(read_one(&file)?);
            }
        } else {
            sources.push(read_one(path)?);
        }
    }
    Ok(sources)
}

fn list(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let reading = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read_one(path: &Path) -> Result<Source> {
    let (name, text) = if path == Path::new("-") {
        ("<stdin>".to_owned(), document::read_limited(std::io::stdin().lock()).context("cannot read stdin")?)
    } else {
        let read = || document::read_limited(File::open(path)?);
        (path.display().to_string(), read().with_context(|| format!("cannot read {}", path.display()))?)
    };
    let documents = document::parse(&text).and_then(|documents| match documents.is_empty() {
        true => Err(Unreadable { message: "the file holds no request".to_owned(), help: None, span: None }),
        false => Ok(documents),
    });
    Ok(Source { name, text, documents })
}
