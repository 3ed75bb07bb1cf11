//! `goldpath render`: what requests become, as one stream or as files, and nothing of it delivered.

use super::neighbours::Neighbours;
use super::run::PlaceArgs;
use super::{Files, WRONG, diagnostics, is_colored, print, requests, tell};
use crate::file_tree::{FileTree, RelativePath};
use crate::outputs::{Outputs, Role};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    place: PlaceArgs,
    /// Render the Backstage entities instead of the manifests
    #[arg(long, conflicts_with = "infrastructure")]
    catalog: bool,
    /// Render the Terraform instead of the manifests
    #[arg(long)]
    infrastructure: bool,
    /// Write files into this folder, which must be empty or new, instead of one stream
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.place.config.load()?;
    let requests::Sources { sources, notes } = requests::read(&arguments.files, None)?;
    let neighbours = Neighbours::read(&sources, &arguments.files, &arguments.place.workspace)?;
    let color = is_colored(&std::io::stderr());
    let mut is_wrong = false;
    for (source, wrong) in requests::judge(&sources, &config, &neighbours) {
        let text = String::from_utf8_lossy(&source.text);
        if let Err(fault) = &source.documents {
            is_wrong = true;
            tell(&diagnostics::render_unreadable(&source.name, &source.text, fault, color));
        }
        is_wrong |= !wrong.faults.is_empty();
        tell(&diagnostics::render_violations(&source.name, &text, &wrong.faults, color));
        tell(&diagnostics::render_warnings(&source.name, &text, &wrong.warnings, color));
    }
    notes.iter().for_each(|note| tell(&format!("note: {note}\n")));
    if is_wrong {
        // Whoever applies a part of them applies something else than was meant.
        tell("nothing is rendered: mend these requests first\n");
        return Ok(ExitCode::from(WRONG));
    }
    let mut all = FileTree::default();
    for item in sources.iter().flat_map(requests::Source::items) {
        // It was rendered before, without a fault.
        let Ok((_, Outputs { manifests, mut repositories, .. })) =
            crate::generate_with(item.document, &config, &neighbours)
        else {
            continue;
        };
        let tree = match (arguments.catalog, arguments.infrastructure) {
            (true, _) => repositories.remove(&Role::Catalog).unwrap_or_default(),
            (_, true) => repositories.remove(&Role::Infrastructure).unwrap_or_default(),
            _ => manifests,
        };
        tree.iter().for_each(|(path, content)| all.insert(path.clone(), content));
    }
    match &arguments.to {
        Some(folder) => {
            let is_empty = !folder.exists() || folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
            ensure!(is_empty, "{} is not an empty folder", folder.display());
            all.replace(folder).with_context(|| format!("cannot write into {}", folder.display()))?;
            tell(&format!("{} in {}\n", crate::text::count(all.len(), "file"), folder.display()));
        }
        None => print(&stream(&all, arguments.infrastructure))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// All files as one: YAML documents, of which Namespaces come first, so that what is in them can be made; of Terraform each
/// file behind its path.
fn stream(files: &FileTree, is_terraform: bool) -> String {
    let text = |content: &[u8]| String::from_utf8_lossy(content).trim_end().to_owned() + "\n";
    if is_terraform {
        return files.iter().map(|(path, content)| format!("# {path}\n{}\n", text(content))).collect();
    }
    let is_namespace = |content: &[u8]| content.split(|byte| *byte == b'\n').any(|line| line == b"kind: Namespace");
    let mut sorted: Vec<(&RelativePath, &[u8])> = files.iter().collect();
    sorted.sort_by_key(|(_, content)| !is_namespace(content));
    sorted.into_iter().map(|(_, content)| format!("---\n{}", text(content))).collect()
}
