//! `goldpath generate`: what is made from the Rust types, in this repository.

use super::{WRONG, schema, tell};
use crate::file_tree::write_file;
use crate::promise::{PROMISES, Promise};
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Above it, promise.yaml is written by hand; below it, by us.
const MARK: &str = "  # The API is made by `goldpath generate`: do not edit below.\n";

#[derive(Args)]
pub(super) struct Arguments {
    /// The repository
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    root: PathBuf,
    /// Write nothing, and fail if something is out of date
    #[arg(long)]
    check: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut stale = false;
    let mut files = Vec::new();
    for promise in &PROMISES {
        let path = arguments.root.join("promises").join(promise.name).join("promise.yaml");
        let (old, new) = regenerate(promise, &path)?;
        files.push((path, old, new));
        let path = arguments.root.join("schemas").join(format!("{}.json", promise.name));
        let old = fs::read_to_string(&path).unwrap_or_default();
        files.push((path, old, schema::text(promise)?));
    }
    for (path, old, new) in files {
        if old == new {
            continue;
        }
        stale = true;
        if arguments.check {
            tell(&format!("{} is out of date: run `goldpath generate`\n", path.display()));
        } else {
            write_file(&path, new.as_bytes())?;
            tell(&format!("wrote {}\n", path.display()));
        }
    }
    Ok(if stale && arguments.check { ExitCode::from(WRONG) } else { ExitCode::SUCCESS })
}

/// A promise.yaml as it is, and as it should be.
fn regenerate(promise: &Promise, path: &Path) -> Result<(String, String)> {
    let old = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (by_hand, _) = old.split_once(MARK).with_context(|| format!("{} has no line {MARK:?}", path.display()))?;
    let mut new = format!("{by_hand}{MARK}  api:\n");
    for line in serde_yaml::to_string(&promise.definition())?.lines() {
        new += &format!("    {line}\n");
    }
    Ok((old, new))
}
