//! Review: Terraform in Gitea Actions. A pull request carries its plan, a person approves it, and
//! what is applied makes exactly the changes that were approved.
//!
//! What counts is recorded by one Gitea user alone, whose token no workflow of the infrastructure
//! repository can reach; docs/review.md says who can do what.

mod apply;
pub mod changes;
pub mod comment;
mod drift;
mod judge;
mod people;
mod plan;
pub mod policy;
pub mod rights;
mod site;
pub mod source;
pub mod terraform;

use crate::config::{Config, NamedFile};
use crate::names::{RepositoryName, Username};
use crate::violation::{Refusal, quote};
use anyhow::{Context, Result};
use jiff::Timestamp;
use judge::Review;
use std::fmt;
use std::time::Duration;

/// What the platform decides for every review; `review:` in its configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Gitea user whose comments and statuses count.
    pub user: Username,
    /// The id of that account, where the configuration has it: who takes the name has another.
    pub user_id: Option<i64>,
    /// Where the workflows run that have the tokens, and where is recorded what was applied.
    pub repository: (Username, RepositoryName),
    /// Who may approve what needs an approval of the platform's.
    pub owners: Vec<Username>,
    /// Whether somebody else than its author must approve a pull request.
    pub needs_approval: bool,
    /// An approval counts for so long.
    pub approval_age: Duration,
    /// So many root modules are worked on side by side.
    pub parallel: usize,
    /// How to run Terraform.
    pub terraform: TerraformSettings,
    /// What a plan must not do.
    pub policy: PolicySettings,
}

/// How to run Terraform.
#[derive(Clone, Debug)]
pub struct TerraformSettings {
    /// The program: `terraform`, `tofu`, or a path of one.
    pub program: String,
    /// One call of it may take so long.
    pub timeout: Duration,
    /// How long to wait for a state that somebody else has locked.
    pub lock_timeout: Duration,
    /// The lock file of the allowed providers, `.terraform.lock.hcl`.
    pub lock_file: Option<NamedFile>,
    /// Further environment variables that it gets, by name.
    pub environment: Vec<String>,
    /// Whether it may send secrets in the clear, to any machine.
    pub insecure: bool,
    /// Where the states are.
    pub backend: Backend,
}

/// Where Terraform's states are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In Gitea's registry, under `state.owner`.
    Gitea,
    /// In another one that Terraform has, as `pg`: its type, and settings of it in which `{state}`
    /// stands for the root module's name. Secrets of it come in environment variables.
    Other {
        /// As `pg`.
        kind: String,
        /// As `schema_name`: `goldpath_{state}`.
        settings: Vec<(String, String)>,
    },
}

/// What a plan must not do.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// The sources of the providers that may be used, as `go-gitea/gitea`.
    pub providers: Vec<String>,
    /// The types of the resources that may be used, as `gitea_team`; `gitea_*` is all that begin so.
    pub resources: Vec<String>,
    /// Whether an organisation or a repository may be public.
    pub public: bool,
    /// The platform's own rules, in Rego.
    pub rules: Vec<NamedFile>,
    /// Where a rule does not hold.
    pub waivers: Vec<Waiver>,
}

/// One rule that does not hold for one root module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The rule's id.
    pub rule: String,
    /// For which root module.
    pub module: RootModule,
    /// Until when; for ever without one.
    pub until: Option<Timestamp>,
    /// Why, for who reads the comment.
    pub reason: String,
}

/// What a rule has found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// The rule's id, as `destroy`.
    pub rule: String,
    /// Which object, as `gitea_org.team`; empty where it is the whole root module.
    pub place: String,
    /// What is wrong, why, and what to do: text of any kind, also a user's.
    pub message: String,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is not applied, whoever approves it.
    Denied,
    /// It is applied only if a platform owner approves it.
    NeedsOwner,
    /// A reviewer must not miss it.
    Warning,
    /// It would be denied or need an owner, but for a waiver.
    Waived,
}

/// The folder of a root module in the infrastructure repository, as `teams/alpha`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct RootModule(String);

impl RootModule {
    /// Takes one to four segments of lower-case letters, digits, `-` and `_`: what is a path, a part
    /// of a URL, a state's name (`.` for `/`) and a word of a comment, and no more than that.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let is_name = |segment: &str| {
            segment.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        let count = text.split('/').count();
        match text.len() <= 200 && count <= 4 && text.split('/').all(is_name) {
            true => Ok(Self(text.to_owned())),
            false => Err(Refusal::new("root-module", format!("{} is not the folder of a root module", quote(text)))
                .help("use at most four names of lower-case letters, digits, `-` and `_`, as in `teams/alpha`")),
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its state, as `teams.alpha`.
    pub fn state(&self) -> String {
        self.0.replace('/', ".")
    }
}

impl fmt::Display for RootModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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

/// SHA-256, in hex.
fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
