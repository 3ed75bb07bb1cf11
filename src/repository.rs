//! Delivery: the files of a request, in the repositories, owned by it.
//!
//! Nothing is written while any file of it belongs to another request, in any repository. What
//! is written is one commit a repository, or none where nothing changes.

mod git;
mod gitea;
mod holdings;
pub(crate) mod index;
pub mod inventory;

use crate::config::{self, Config, GitRemote, Location, Remote};
use crate::diff::FileDiff;
use crate::outcome::{Cause, Delivery, Extent, Outcome, Undelivered};
use crate::outputs::Role;
use anyhow::{Context, Result, ensure};
use inventory::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use std::{fmt, fs};

pub use git::create as create_repository;

/// Whether a repository can be read.
///
/// # Errors
/// Why it cannot.
pub fn can_be_read(remote: &GitRemote) -> Result<()> {
    git::Branch::open(remote).map(drop)
}
pub use gitea::{Api, Pull, Sight, Status, Survey, User, look, snapshot};
pub use holdings::{Held, Holdings, hold, module_of};

/// Delivers to every repository that there are files for, and tells `done` of each that is done.
///
/// # Errors
/// A file that belongs to another request, or an account in Gitea that the request has not made, before anything is
/// written; anything that may pass, a
/// race that was not won by `deadline` included. Running it again finishes what was begun.
pub fn deliver(
    config: &Config,
    delivery: &Delivery,
    extent: Extent,
    deadline: Instant,
    mut done: impl FnMut(Role, Outcome),
) -> Result<(), Undelivered> {
    let mut open = Vec::new();
    for (role, files) in &delivery.files {
        let remote = config
            .repositories
            .get(role)
            .with_context(|| format!("the configuration names no repository for {}", role.as_str()))?;
        let mut target = match remote {
            Remote::Git(remote) => Target::Git(Box::new(git::Branch::open(remote)?)),
            Remote::Gitea(remote) => {
                Target::Gitea(Box::new(gitea::Repository::open(remote, config, deadline, extent)?))
            }
        };
        let preview = match &mut target {
            Target::Git(branch) => branch.preview(*role, delivery, files)?,
            Target::Gitea(repository) => repository.preview(*role, delivery, files)?,
        };
        match extent {
            Extent::DryRun => {
                let foreseen = match &mut target {
                    Target::Git(_) => None,
                    Target::Gitea(repository) => repository.foresee(*role, delivery, files)?,
                };
                done(*role, foreseen.unwrap_or(preview));
            }
            Extent::Claim | Extent::Whole => open.push((*role, files, target)),
        }
    }
    for (role, files, mut target) in open {
        let outcome = match &mut target {
            Target::Git(branch) => Some(branch.commit(role, delivery, files, deadline)?),
            Target::Gitea(repository) if extent == Extent::Claim => repository.claim(role, delivery, files)?,
            Target::Gitea(repository) => Some(repository.deliver(role, delivery, files)?),
        };
        if let Some(outcome) = outcome {
            done(role, outcome);
        }
    }
    Ok(())
}

/// Many deliveries to repositories on this machine, each of which gets one commit for all of them. While it is there, other
/// writers wait.
pub struct Batch(BTreeMap<Role, git::Batch>);

impl Batch {
    /// Opens every repository; none where one of them is elsewhere. In a dry run nobody has to wait.
    ///
    /// # Errors
    /// A repository that cannot be read, or that is there for two roles.
    pub fn open(config: &Config, extent: Extent) -> Result<Option<Self>> {
        let mut paths = BTreeSet::new();
        for remote in config.repositories.values() {
            let Remote::Git(GitRemote { url: Location::Path(path), .. }) = remote else { return Ok(None) };
            let is_new = paths.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
            ensure!(
                is_new,
                "{} cannot be both the catalog's and the infrastructure's repository: name two",
                path.display()
            );
        }
        let mut batches = BTreeMap::new();
        for (role, remote) in &config.repositories {
            if let Remote::Git(remote) = remote {
                batches.insert(*role, git::Batch::open(remote, *role, &config.catalog_index, extent)?);
            }
        }
        Ok(Some(Self(batches)))
    }

    /// Puts a delivery on what is to be committed, in all repositories or in none, and gives what it changes.
    ///
    /// # Errors
    /// As [`deliver`], but for races.
    pub fn stage(&mut self, delivery: &Delivery) -> Result<BTreeMap<Role, Outcome>, Undelivered> {
        let (mut plans, mut outcomes) = (Vec::new(), BTreeMap::new());
        for (role, files) in &delivery.files {
            let batch = self.0.get(role).with_context(|| format!("no repository for {} is open", role.as_str()))?;
            let (plan, outcome) = batch.plan(delivery, files)?;
            plans.push((*role, plan));
            outcomes.insert(*role, outcome);
        }
        for (role, plan) in plans {
            if let Some(batch) = self.0.get_mut(&role) {
                batch.stage(&delivery.cause, plan)?;
            }
        }
        Ok(outcomes)
    }

    /// How the catalog's index changes by all that is staged; not at all where it is not ours, and all are refused for it.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub fn index_diff(&mut self) -> Result<Vec<FileDiff>> {
        match self.0.iter_mut().find(|(role, _)| role.has_index()).map(|(_, batch)| batch.stage_index()) {
            Some(Err(Undelivered::Index { .. })) | None => Ok(Vec::new()),
            Some(diff) => Ok(diff?),
        }
    }

    /// Commits what is staged, of which `one` is one. Gives the commit that each repository is at.
    ///
    /// # Errors
    /// A repository that cannot be written, or that somebody else has written meanwhile.
    pub fn commit(&mut self, one: &Delivery) -> Result<BTreeMap<Role, Option<String>>> {
        self.0.iter_mut().map(|(role, batch)| Ok((*role, batch.commit(one)?))).collect()
    }
}

/// Waits while others go on claiming paths, where the request has claimed its own, for two minutes at most: all of that
/// becomes one commit, and the manifests of a burst of requests, which somebody waits for, are not held up by what is
/// delivered beside them. What fails here is told by the delivery.
pub fn let_others_claim(config: &Config, delivery: &Delivery) {
    let end = Instant::now() + Duration::from_secs(120);
    for (role, files) in &delivery.files {
        if let Some(Remote::Gitea(remote)) = config.repositories.get(role)
            && remote.delivery == config::Delivery::Commit
            && let Ok(repository) = gitea::Repository::open(remote, config, end, Extent::Whole)
        {
            let _ = repository.let_others_claim(delivery, files, end);
        }
    }
}

/// A repository that is being delivered to.
enum Target {
    Git(Box<git::Branch>),
    Gitea(Box<gitea::Repository>),
}

/// What the line of a commit's message begins with that names the request.
const REQUEST_TRAILER: &str = "Goldpath-Request: ";

/// The message of one commit: what changed for whom; the trailers are for programs. It holds no
/// text of a user's but names that are names by their types.
fn message(parts: &[(&Cause, &Plan)], trailers: &[(String, String)]) -> String {
    use fmt::Write;
    let mut text = match parts {
        [(cause, plan)] => format!("{}\n", subject(cause, plan)),
        _ => format!("goldpath: deliver {} requests\n", parts.len()),
    };
    for (cause, plan) in parts {
        if parts.len() > 1 {
            let _ = write!(text, "\n{}", subject(cause, plan));
        }
        if !plan.changes.is_empty() {
            text.push('\n');
        }
        for change in &plan.changes {
            let _ = writeln!(text, "{change}");
        }
    }
    text.push('\n');
    for (cause, _) in parts {
        let _ = writeln!(text, "{REQUEST_TRAILER}{}", cause.request);
        if let Some(generation) = cause.generation {
            let _ = writeln!(text, "Goldpath-Generation: {generation}");
        }
    }
    let _ = writeln!(text, "Goldpath-Promise-Version: {}", crate::VERSION);
    for (name, value) in trailers {
        let _ = writeln!(text, "{name}: {value}");
    }
    text
}

/// What is done for whom.
fn subject(cause: &Cause, plan: &Plan) -> String {
    let request = &cause.request;
    format!("{}: {} {}/{}", request.kind.lower(), plan.verb(), request.namespace, request.name)
}
