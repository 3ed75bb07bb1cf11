//! `goldpath init`: a first request, and a configuration to begin with.

use super::{schema, tell};
use crate::file_tree::write_file;
use crate::promise::PROMISES;
use anyhow::{Result, ensure};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

const REQUEST: &str = include_str!("../../promises/team/resource-request.yaml");
const CONFIGURATION: &str = include_str!("../../config.example.yaml");

#[derive(Args)]
pub(super) struct Arguments {
    /// Where to begin
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let folder = &arguments.folder;
    let mut files = vec![
        ("requests/team.yaml".to_owned(), REQUEST.replace("$schema=../../schemas/", "$schema=../schemas/")),
        ("goldpath.yaml".to_owned(), CONFIGURATION.to_owned()),
    ];
    for promise in &PROMISES {
        files.push((format!("schemas/{}.json", promise.name), schema::text(promise)?));
    }
    let there: Vec<_> = files.iter().map(|(name, _)| folder.join(name)).filter(|path| path.exists()).collect();
    let shown: Vec<_> = there.iter().map(|path| path.display().to_string()).collect();
    ensure!(there.is_empty(), "{} would be overwritten: name another folder", shown.join(", "));
    for (name, text) in &files {
        write_file(&folder.join(name), text.as_bytes())?;
        tell(&format!("wrote {}\n", folder.join(name).display()));
    }
    let requests = folder.join("requests");
    tell(&format!("next: `goldpath diff {0}`, then `goldpath run {0}`\n", requests.display()));
    Ok(ExitCode::SUCCESS)
}
