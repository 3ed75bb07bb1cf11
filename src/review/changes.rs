//! What a plan would do: the resource changes, in a normal form that has a digest.

use anyhow::Result;
use serde_json::Value;

/// What a plan would do, as Terraform's JSON tells it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// By address; what stays as it is and what is only read is left out.
    pub resources: Vec<ResourceChange>,
    /// The names of the outputs that change, with whether they are sensitive.
    pub outputs: Vec<OutputChange>,
    /// What was changed by hand since the last apply.
    pub drift: Vec<ResourceChange>,
}

/// What becomes of one resource.
#[derive(Clone, Debug)]
pub struct ResourceChange {
    /// As `gitea_team_membership.admin["ada"]`.
    pub address: String,
    /// As `gitea_team_membership`.
    pub kind: String,
    /// The provider's full name.
    pub provider: String,
    /// What is done to it.
    pub action: Action,
    /// What it was; `null` if it was not.
    pub before: Value,
    /// What it will be, as far as it is known; sensitive values are `"(sensitive)"`, those that only the apply
    /// knows `"(known after apply)"`. The same for `before`.
    pub after: Value,
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is destroyed and made again.
    Replace,
    /// It is destroyed.
    Delete,
    /// It is let go of, and stays.
    Forget,
    /// It is taken over (with or without a change in place).
    Import,
}

/// What becomes of one output.
#[derive(Clone, Debug)]
pub struct OutputChange {
    /// Its name.
    pub name: String,
    /// What it was and will be, as in [`ResourceChange`].
    pub before: Value,
    /// As `before`.
    pub after: Value,
}

impl Changes {
    /// Reads what `terraform show -json` prints of a plan.
    ///
    /// # Errors
    /// No JSON, or no plan of format 1.
    pub fn parse(_json: &[u8]) -> Result<Self> {
        anyhow::bail!("not written yet")
    }

    /// Whether an apply would do nothing.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.outputs.is_empty()
    }

    /// As `+3 ~0 -0`: a replacement counts as one made and one destroyed.
    pub fn summary(&self) -> String {
        String::new()
    }

    /// What is approved: SHA-256, in hex, of the tree (the id of the root module's folder in git)
    /// and the changes. No sensitive value goes into it.
    pub fn digest(&self, _tree: &str) -> String {
        String::new()
    }
}
