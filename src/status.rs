//! What a request's status says: plain data, which `kratix.rs` reads and writes.

use crate::document::{Node, to_json};
use crate::outcome::PullRequest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The conditions that are ours.
const CONDITIONS: [&str; 4] = ["Rendered", "Delivered", "Reviewed", "Applied"];

/// The reason of the condition `Delivered` from the claim to the delivery.
pub const DELIVERING: &str = "Delivering";

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
    /// Whether it is being deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deletion: bool,
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
