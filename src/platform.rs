//! What a platform in Gitea needs: [`setup`] makes it, and `doctor` looks whether it is there.

pub mod setup;

use crate::gitea::{Failure, Gitea, Path};
use reqwest::Method;
use serde_json::{Value, json};

/// The oldest Gitea that delivery and review work with (docs/delivery.md).
pub const OLDEST: &str = "1.26.2";
/// The status of a commit that says what its plans would do, before which nothing is merged.
pub const PLAN: &str = "goldpath/plan";
/// As many people must approve a change of the infrastructure.
pub const APPROVALS: i64 = 1;
/// The visibility of an organisation that holds Terraform's states: a job's token can read those of a public one.
pub const PRIVATE: &str = "private";
/// The team of the platform's owners.
const OWNERS: &str = "platform-owners";

/// Something that a token may do or not.
pub struct Right {
    /// As `write repositories`.
    pub what: &'static str,
    /// The scope without which it may not.
    pub scope: &'static str,
}

/// What the writer's token is for.
pub const WRITE: Right = Right { what: "write repositories", scope: "write:repository" };
/// The same.
pub const PROPOSE: Right = Right { what: "open pull requests with labels", scope: "write:issue" };
/// With `create: true`, and of who sets a platform up.
pub const ORGANIZE: Right = Right { what: "make organisations", scope: "write:organization" };
/// Of who sets a platform up.
const ADMINISTER: Right = Right { what: "make users", scope: "write:admin" };

/// The scopes of the token with which requests are delivered and looked after.
const WRITER: [&str; 4] = [WRITE.scope, PROPOSE.scope, "read:organization", "read:package"];

/// A workflow's secret: a token of one of the platform's users.
struct Secret {
    name: &'static str,
    /// The end of the user's name.
    user: &'static str,
    scopes: &'static [&'static str],
}

/// Of the review repository.
const SECRETS: [Secret; 5] = [
    Secret { name: "REVIEW_TOKEN", user: "-review", scopes: &["write:repository", "write:issue", "read:user"] },
    Secret { name: "PLAN_STATE_TOKEN", user: "-review", scopes: &["read:package"] },
    Secret { name: "APPLY_STATE_TOKEN", user: "-review", scopes: &["write:package"] },
    Secret {
        name: "PLAN_GITEA_TOKEN",
        user: "-terraform",
        scopes: &["read:admin", "read:organization", "read:package", "read:repository", "read:user"],
    },
    Secret {
        name: "APPLY_GITEA_TOKEN",
        user: "-terraform",
        scopes: &["read:admin", "write:organization", "read:package", "write:repository", "read:user"],
    },
];
/// Of the infrastructure repository.
const BELL: Secret = Secret { name: "GOLDPATH_BELL_TOKEN", user: "-bell", scopes: &["write:issue"] };

/// The protection of the branch whose changes are reviewed. An owner who could override it would merge what is not
/// planned; who must, changes the rule, which Gitea shows.
fn reviewed_branch() -> Value {
    json!({
        "enable_push": false, "enable_push_whitelist": false, "push_whitelist_teams": [], "push_whitelist_usernames": [],
        "enable_merge_whitelist": true, "merge_whitelist_teams": [OWNERS], "merge_whitelist_usernames": [],
        "required_approvals": APPROVALS, "dismiss_stale_approvals": true, "block_on_rejected_reviews": true,
        "enable_status_check": true, "status_check_contexts": [PLAN], "protected_file_patterns": ".gitea/**",
        "block_admin_merge_override": true, "enable_force_push": false,
    })
}

/// The protection of the review repository's branches, of which the first rule that fits counts.
fn owners_branch(priority: u8) -> Value {
    json!({
        "enable_push": true, "enable_push_whitelist": true, "push_whitelist_teams": [OWNERS],
        "push_whitelist_usernames": [], "enable_force_push": false, "protected_file_patterns": "", "priority": priority,
    })
}

/// The protection of the branch of what was applied: a workflow in it could be run with the secrets.
fn records_branch(reviewer: &str) -> Value {
    json!({
        "enable_push": true, "enable_push_whitelist": true, "push_whitelist_teams": [],
        "push_whitelist_usernames": [reviewer], "enable_force_push": false,
        "protected_file_patterns": ".gitea/**;.github/**", "priority": 2,
    })
}

/// Whether a Gitea is one that delivery and review work with.
pub fn is_recent(version: &str) -> bool {
    let numbers = |version: &str| -> [u64; 3] {
        let mut numbers = version.split(['.', '-', '+']).map_while(|part| part.parse().ok());
        std::array::from_fn(|_| numbers.next().unwrap_or_default())
    };
    numbers(version) >= numbers(OLDEST)
}

/// Asks Gitea for its version; nothing where no Gitea is.
///
/// # Errors
/// See [`Failure`].
pub fn version(gitea: &Gitea) -> Result<Option<String>, Failure> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: String,
    }
    Ok(gitea.get::<Version>(&["version"], &[])?.map(|answer| answer.version))
}

/// Asks whether a token may make something, without saying what: Gitea looks at the token, and then refuses what is
/// lacking.
///
/// # Errors
/// See [`Failure`]; also that Gitea has taken it.
pub fn may_post(gitea: &Gitea, path: Path<'_>) -> Result<(), Failure> {
    match gitea.send::<Value>(Method::POST, path, &json!({})) {
        Err(Failure::Conflict(_)) => Ok(()),
        Err(failure) => Err(failure),
        Ok(_) => Err(Failure::Refused("Gitea takes an empty request: look for something without a name".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_its_numbers() {
        let recent = ["1.26.2", "1.26.10", "1.27.0+dev-12", "2.0"].map(is_recent);
        let old = ["1.26.1", "1.9.9", "1.26", "unknown"].map(is_recent);
        assert_eq!((recent, old), ([true; 4], [false; 4]));
    }
}
