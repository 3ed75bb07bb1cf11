//! `goldpath terraform`: what the workflows of the review repository run.
#![expect(clippy::print_stdout, reason = "a run's log is its output")]

use anyhow::{Result, anyhow};
use goldpath::cli::one_line;
use goldpath::cli::review::{Task, Terraform};
use goldpath::commit::now;
use goldpath::names::RootModule;
use std::process::ExitCode;

pub fn run(arguments: &Terraform) -> Result<ExitCode> {
    let config = arguments.config.load()?;
    let now = now()?;
    let (lines, well) = match &arguments.task {
        Task::Plan { pull } => crate::plan(&config, *pull, now)?,
        Task::Apply => crate::apply(&config, now)?,
        Task::Drift => crate::drift(&config, now)?,
        Task::Unlock { module, id } => {
            let module = RootModule::parse(module).map_err(|refusal| anyhow!(refusal.at("", None).sentence()))?;
            (vec![crate::unlock(&config, &module, id)?], true)
        }
    };
    for line in lines {
        println!("{}", one_line(&line));
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
