//! The container contract of Kratix: folders, environment, status, workflow control.
//!
//! The only module that knows Kratix's paths. What it writes is whole or absent.

use crate::document::{self, Node, to_json};
use crate::file_tree::{FileTree, RelativePath, write_file};
use crate::promise::{Accounts, Outputs, Role};
use crate::repository::PullRequest;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a step finds and leaves its files.
#[derive(Args, Clone, Debug)]
pub struct Folders {
    /// The folder that holds object.yaml
    #[arg(long, env = "KRATIX_INPUT", default_value = "/kratix/input")]
    pub input: PathBuf,
    /// The folder for manifests
    #[arg(long, env = "KRATIX_OUTPUT", default_value = "/kratix/output")]
    pub output: PathBuf,
    /// The folder for the status and for the steps that follow
    #[arg(long, env = "KRATIX_METADATA", default_value = "/kratix/metadata")]
    pub metadata: PathBuf,
}

/// What Kratix wants done with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Bring about what it says.
    Configure,
    /// Take away what it brought about.
    Delete,
}

/// The conditions that are ours.
const CONDITIONS: [&str; 4] = ["Rendered", "Delivered", "Reviewed", "Applied"];

const STATUS: &str = "status.yaml";
const CONTROL: &str = "workflow-control.yaml";
/// Our own folder for what passes from `render` to `commit`: one folder a repository, and a file.
const HANDOVER: &str = "goldpath";
/// The accounts in Gitea that the request is about, as JSON.
const ACCOUNTS: &str = "accounts.json";

impl Folders {
    /// The folders of one request below `folder`.
    pub fn below(folder: &Path) -> Self {
        Self { input: folder.join("input"), output: folder.join("output"), metadata: folder.join("metadata") }
    }

    /// Reads the request.
    ///
    /// # Errors
    /// An object.yaml that is not there, or is not one YAML document: the contract is broken.
    pub fn read_object(&self) -> Result<Node> {
        let path = self.input.join("object.yaml");
        let read = || -> Result<Node> {
            let source = document::read_limited(File::open(&path)?)?;
            let mut documents = document::parse(&source)?;
            match (documents.pop(), documents.is_empty()) {
                (Some(object), true) => Ok(object),
                (None, _) => bail!("it is empty"),
                (Some(_), false) => bail!("it holds {} documents instead of one", documents.len() + 1),
            }
        };
        read().with_context(|| format!("cannot read the request {}", path.display()))
    }

    /// Writes the request, as Kratix does.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_object(&self, source: &[u8]) -> Result<()> {
        write_file(&self.input.join("object.yaml"), source)
    }

    /// Forgets what an earlier run of this step left behind: Kratix restarts a failed container
    /// in the same Pod. Manifests stay until there are new ones.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear_verdict(&self) -> Result<()> {
        for name in [STATUS, CONTROL] {
            let path = self.metadata.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes manifests for Kratix, and the repositories' files for `commit`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_outputs(&self, outputs: &Outputs) -> Result<()> {
        outputs.manifests.replace(&self.output)?;
        self.write_repositories(outputs)
    }

    /// Writes the repositories' files, and the accounts, for `commit`, and no manifests.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_repositories(&self, outputs: &Outputs) -> Result<()> {
        let mut handover = FileTree::default();
        for (role, tree) in &outputs.repositories {
            for (path, content) in tree.iter() {
                handover.insert(RelativePath::parse(&format!("{}/{path}", role.as_str()))?, content);
            }
        }
        handover.insert(RelativePath::parse(ACCOUNTS)?, serde_json::to_vec(&outputs.accounts)?);
        handover.replace(&self.metadata.join(HANDOVER))
    }

    /// Takes away everything that a configure run left, once the request is gone.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear_outputs(&self) -> Result<()> {
        self.write_outputs(&Outputs::default())
    }

    /// Reads what `render` left for each repository.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read_repositories(&self) -> Result<BTreeMap<Role, FileTree>> {
        Role::ALL
            .into_iter()
            .map(|role| Ok((role, FileTree::read(&self.metadata.join(HANDOVER).join(role.as_str()))?)))
            .collect()
    }

    /// Reads which accounts in Gitea the request is about, as `render` left it.
    ///
    /// # Errors
    /// A file that is not there or cannot be read.
    pub fn read_accounts(&self) -> Result<Accounts> {
        let path = self.metadata.join(HANDOVER).join(ACCOUNTS);
        let reading = || format!("cannot read {}", path.display());
        serde_json::from_slice(&fs::read(&path).with_context(reading)?).with_context(reading)
    }

    /// Whether an earlier step of this Pipeline has asked for an end: Kratix still runs the rest.
    pub fn is_stopped(&self) -> bool {
        self.metadata.join(CONTROL).exists()
    }

    /// Whether an earlier step of this Pipeline has written a status.
    pub fn has_status(&self) -> bool {
        self.metadata.join(STATUS).exists()
    }

    /// Reads what an earlier step of this Pipeline wrote as the status.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn read_status(&self) -> Result<Status> {
        let path = self.metadata.join(STATUS);
        if !path.exists() {
            return Ok(Status::default());
        }
        let reading = || format!("cannot read {}", path.display());
        serde_yaml::from_slice(&fs::read(&path).with_context(reading)?).with_context(reading)
    }

    /// Writes the status; Kratix merges it into the request's, at the top level only.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_status(&self, status: &Status) -> Result<()> {
        write_file(&self.metadata.join(STATUS), serde_yaml::to_string(status)?.as_bytes())
    }

    /// Asks Kratix to run the Pipeline again after a time, and to leave as it is what is live.
    /// Not `suspend`: with that, Kratix can lose an edit.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_retry(&self, after: Duration, message: &str) -> Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Control<'a> {
            retry_after: String,
            message: &'a str,
        }
        let control = Control { retry_after: format!("{}s", after.as_secs()), message };
        write_file(&self.metadata.join(CONTROL), serde_yaml::to_string(&control)?.as_bytes())
    }
}

/// What a request's status says. Other keys than these are Kratix's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// One sentence: what is true, or what to do next. kubectl shows it.
    #[serde(default)]
    pub message: String,
    /// What holds, by type.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Ours; written whole each time, because Kratix does not merge below the top level.
    #[serde(default)]
    pub goldpath: Progress,
    /// What the Promise adds, as a Team's `email`.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl JsonSchema for Status {
    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
    }
}

/// One line of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// As `Rendered`.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as one word.
    pub reason: String,
    /// Why, as a sentence.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
    /// The edit of the request that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
}

/// What the steps remember and show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// The edit of the request that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
    /// How often this edit was tried without success: the delay grows with it.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// What is wrong with the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Fault>,
    /// How many manifests it has.
    #[serde(skip_serializing_if = "is_zero")]
    pub manifests: usize,
    /// What each repository holds of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub repositories: BTreeMap<String, Delivered>,
    /// How far it has come, when somebody looked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What Terraform would do, or has done: as `+3 ~0 -0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Report>,
    /// What will keep an apply from its end if it stays so: as a member who has no account in Gitea.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What somebody has changed by hand: a generated file, as `infrastructure: teams/a/main.tf`, or what an apply made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Something went wrong that a person has to look at.
    Failed,
    /// A person has declined it.
    Closed,
    /// The branch has changed what the pull request changes too.
    Conflicted,
    /// A person has asked for changes of the pull request.
    ChangesRequested,
    /// Terraform finds out what it would do.
    Planning,
    /// A person is to look at the pull request.
    AwaitingReview,
    /// It is on the branch, and not yet applied.
    Merged,
    /// Terraform is at it.
    Applying,
    /// It is in a repository in which nothing tells what becomes of it.
    Delivered,
    /// It is so.
    Applied,
}

impl Phase {
    /// As in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Closed => "closed",
            Self::Conflicted => "conflicted",
            Self::ChangesRequested => "changes-requested",
            Self::Planning => "planning",
            Self::AwaitingReview => "awaiting-review",
            Self::Merged => "merged",
            Self::Applying => "applying",
            Self::Delivered => "delivered",
            Self::Applied => "applied",
        }
    }
}

/// What a program has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In words.
    pub summary: String,
    /// Where there is more.
    pub url: String,
}

/// A violation, as the status shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// See [`crate::violation::Violation::path`].
    pub path: String,
    /// See [`crate::violation::Violation::rule`].
    pub rule: String,
    /// See [`crate::violation::Violation::message`].
    pub message: String,
    /// See [`crate::violation::Violation::help`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
    /// See [`crate::violation::Violation::suggestion`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suggestion: Option<String>,
}

/// What one repository holds of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// The commit that brought it there, or that holds it unchanged; on the branch of the pull
    /// request while that is open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// How many files it is.
    pub files: usize,
    /// The folder of its root module, once there is one, also while that is being removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module: Option<String>,
    /// The pull request that proposes it, or has brought it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pull_request: Option<PullRequest>,
}

fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}

impl Status {
    /// What the status of an object says, as far as it is ours and well-formed: anybody with
    /// rights on it may have written something else.
    pub fn of_object(status: Option<&Node>) -> Self {
        let read = |node: &Node| serde_json::from_value::<Self>(to_json(node)).ok();
        let mut status = status.and_then(read).unwrap_or_default();
        // Kratix's own, which it refuses when they come back, or takes for new when they are old.
        status.extra.remove("kratix");
        status.conditions.retain(|condition| CONDITIONS.contains(&condition.r#type.as_str()));
        status
    }

    /// A message, with what will keep an apply from its end.
    pub fn with_warnings(&self, message: String) -> String {
        std::iter::once(&message).chain(&self.goldpath.warnings).map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// Sets a condition; its time changes only with its status.
    pub fn set_condition(&mut self, new: Condition) {
        match self.conditions.iter_mut().find(|c| c.r#type == new.r#type) {
            Some(old) if old.status == new.status => {
                let last_transition_time = old.last_transition_time;
                *old = Condition { last_transition_time, ..new };
            }
            Some(old) => *old = new,
            None => self.conditions.push(new),
        }
    }
}

/// How long to wait after a number of failed attempts: twice as long each time.
pub fn delay(attempts: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(attempts.min(20))).min(longest)
}
