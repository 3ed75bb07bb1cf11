//! What a rule has found in a plan.

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
