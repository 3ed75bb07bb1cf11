//! Review: Terraform in Gitea Actions. A pull request carries its plan, a person approves it, and
//! what is applied makes exactly the changes that were approved.
//!
//! What counts is recorded by one Gitea user alone, whose token no workflow of the infrastructure
//! repository can reach; docs/review.md says who can do what.

mod apply;
pub mod changes;
pub mod cli;
pub mod comment;
mod drift;
pub mod finding;
mod judge;
mod kept;
mod people;
mod plan;
pub mod policy;
pub mod rights;
mod site;
pub mod source;
pub mod terraform;

use anyhow::{Context, Result};
use goldpath::config::Config;
use goldpath::names::RootModule;
use jiff::Timestamp;
use judge::Review;

/// Plans the open pull requests that have no plan for their head commit, or the one of a number.
/// Gives a line each, and whether all went well.
///
/// # Errors
/// A configuration or a server that is of no use; a fault of one pull request is told in it.
pub fn plan(config: &Config, pull: Option<u64>, now: Timestamp) -> Result<(Vec<String>, bool)> {
    Review::open(config, now)?.plan(pull)
}

/// Applies what is merged and approved, and not yet applied. Gives a line a root module, and whether
/// all went well.
///
/// # Errors
/// As [`plan`].
pub fn apply(config: &Config, now: Timestamp) -> Result<(Vec<String>, bool)> {
    Review::open(config, now)?.apply()
}

/// Keeps an issue open for each root module whose objects were changed by hand. Gives a line for
/// each, and whether all could be looked at.
///
/// # Errors
/// As [`plan`].
pub fn drift(config: &Config, now: Timestamp) -> Result<(Vec<String>, bool)> {
    Review::open(config, now)?.drift()
}

/// Releases the lock of a root module's state in Gitea's registry, which `terraform force-unlock`
/// cannot.
///
/// # Errors
/// As [`plan`]; a lock of another ID.
pub fn unlock(config: &Config, module: &RootModule, id: &str) -> Result<String> {
    let owner = config.state_owner.as_ref().context("the configuration has no `state.owner`")?;
    site::unlock(config, owner.as_str(), module, id)?;
    Ok(format!("{module}: the lock {id} is released"))
}
