//! Reads `review:`, what the platform decides for Terraform in Gitea Actions.

use super::read::{is_in_the_clear, parse_bool, parse_file, within};
use super::{NamedFile, Source};
use crate::document::{Node, Value};
use crate::fields::{Fields, wrong_type};
use crate::names::{RepositoryName, RootModule, Username};
use crate::text::{is_deceptive, quote};
use crate::violation::Refusal;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::Regex;
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

impl Default for PolicySettings {
    fn default() -> Self {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Self {
            providers: texts(&["go-gitea/gitea"]),
            resources: texts(&[
                "gitea_org",
                "gitea_team",
                "gitea_team_membership",
                "gitea_repository",
                "gitea_repository_branch_protection",
            ]),
            public: true,
            rules: Vec::new(),
            waivers: Vec::new(),
        }
    }
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

/// The rules that no waiver covers: what breaks one could not be reviewed.
pub const NOT_WAIVED: [&str; 2] = [ROOT_MODULE, TOO_LONG];

/// The rule that a root module breaks which is not as ours are.
pub const ROOT_MODULE: &str = "root-module";

/// The rule that what has too long a plan breaks: nobody could read it whole.
pub const TOO_LONG: &str = "too-long";

/// Reads the section, whose files are found by `source`; `insecure`, secrets may be sent in the clear.
pub(super) fn read(review: &mut Fields<'_, '_>, source: &Source, insecure: bool) -> Option<Settings> {
    let user = review.required("user", Username::parse);
    let user_id = review.value("userId", |node| within(node, 1, i64::MAX as u64));
    review.require("repository");
    let repository = review.object("repository", |repository| {
        let owner = repository.required("owner", Username::parse);
        let name = repository.required("name", RepositoryName::parse);
        Some((owner?, name?))
    });
    let owners = review.texts("owners", 50, Username::parse);
    let parallel = review.value("parallel", |node| within(node, 1, 64)).unwrap_or(4);
    let approvals = review.object("approvals", |approvals| {
        let required = approvals.value("required", parse_bool);
        Some((required, approvals.value("maxAgeDays", |node| within(node, 1, 365))))
    });
    let (needs_approval, days) = approvals.unwrap_or_default();
    let terraform = review.object("terraform", |terraform| Some(read_terraform(terraform, source, insecure)));
    let policy = review.object("policy", |policy| Some(read_policy(policy, source)));
    Some(Settings {
        user: user?,
        user_id: user_id.map(|id| id as i64),
        repository: repository?,
        owners,
        needs_approval: needs_approval.unwrap_or(true),
        approval_age: Duration::from_secs(days.unwrap_or(14) * 24 * 3600),
        parallel: parallel as usize,
        terraform: terraform.unwrap_or_else(|| usual_terraform(insecure)),
        policy: policy.unwrap_or_default(),
    })
}

fn usual_terraform(insecure: bool) -> TerraformSettings {
    TerraformSettings {
        program: "terraform".to_owned(),
        timeout: Duration::from_secs(600),
        lock_timeout: Duration::from_secs(60),
        lock_file: None,
        environment: Vec::new(),
        insecure,
        backend: Backend::Gitea,
    }
}

fn read_terraform(terraform: &mut Fields<'_, '_>, source: &Source, insecure: bool) -> TerraformSettings {
    let usual = usual_terraform(insecure);
    let seconds = |number: Option<u64>, usual| number.map_or(usual, Duration::from_secs);
    TerraformSettings {
        program: terraform.optional("program", |name| Ok(parse_file(name)?.to_owned())).unwrap_or(usual.program),
        timeout: seconds(terraform.value("timeoutSeconds", |node| within(node, 10, 7200)), usual.timeout),
        lock_timeout: seconds(terraform.value("lockTimeoutSeconds", |node| within(node, 0, 3600)), usual.lock_timeout),
        lock_file: terraform.optional("lockFile", |name| find_file(name, source)),
        environment: terraform.texts("environment", 50, parse_variable),
        insecure,
        backend: terraform.object("backend", |backend| read_backend(backend, insecure)).unwrap_or(usual.backend),
    }
}

fn read_backend(backend: &mut Fields<'_, '_>, insecure: bool) -> Option<Backend> {
    let kind = backend.required("type", |text| {
        matching(text, "^[a-z][a-z0-9_-]{0,63}$", "backend", "is not the type of a backend", "write it as in `pg`")
    });
    backend.require("settings");
    let settings = backend.value("settings", |node| read_settings(node, insecure));
    Some(Backend::Other { kind: kind?, settings: settings? })
}

/// Settings of which one must tell the root modules apart: else they would share one state, and
/// each apply would destroy what the others made.
fn read_settings(node: &Node, insecure: bool) -> Result<Vec<(String, String)>, Refusal> {
    let Value::Map(entries) = &node.value else {
        return Err(wrong_type(node, "a mapping"));
    };
    let refuse = |what: String| {
        Err(Refusal::new("backend", what).help("write texts of one line, one with `{state}`, the state's name"))
    };
    let mut settings = Vec::new();
    for (key, value) in entries {
        if !insecure && value.as_str().is_some_and(is_in_the_clear) {
            let refusal = Refusal::new("url", format!("{} would send the state in the clear", quote(&key.name)));
            return Err(refusal.help("use https, or say `insecure: true` beside `gitea.url`"));
        }
        let is_name = !key.name.is_empty() && key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        match value.as_str() {
            Some(text) if is_name && text.len() <= 1000 && !text.chars().any(is_deceptive) => {
                settings.push((key.name.clone(), text.to_owned()));
            }
            _ => return refuse(format!("{} is not a setting of a backend", quote(&key.name))),
        }
    }
    match settings.iter().any(|(_, text)| text.contains("{state}")) {
        true => Ok(settings),
        false => refuse("gives every root module the same state".to_owned()),
    }
}

fn read_policy(policy: &mut Fields<'_, '_>, source: &Source) -> PolicySettings {
    let usual = PolicySettings::default();
    let (has_providers, has_resources) = (policy.has("providers"), policy.has("resources"));
    let providers = policy.texts("providers", 50, |text| {
        let pattern = "^([a-z0-9.-]{1,253}/)?[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$";
        matching(text, pattern, "provider", "is not the source of a provider", "write it as in `go-gitea/gitea`")
    });
    let resources = policy.texts("resources", 500, |text| {
        let help = "write it as in `gitea_team`, or `gitea_*` for all that begin so";
        matching(text, r"^[a-z][a-z0-9_]{0,127}\*?$", "resource-type", "is not the type of a resource", help)
    });
    PolicySettings {
        providers: if has_providers { providers } else { usual.providers },
        resources: if has_resources { resources } else { usual.resources },
        public: policy.value("publicVisibility", parse_bool).unwrap_or(usual.public),
        rules: policy.texts("rules", 50, |name| find_file(name, source)),
        waivers: policy.objects("waivers", 500, read_waiver),
    }
}

fn read_waiver(waiver: &mut Fields<'_, '_>) -> Option<Waiver> {
    let rule = waiver.required("rule", |text| match NOT_WAIVED.contains(&text) {
        true => Err(Refusal::new("waiver", format!("{} cannot be waived", quote(text)))),
        false => {
            matching(text, "^[A-Za-z0-9._-]{1,100}$", "waiver", "is not the id of a rule", "write it as in `destroy`")
        }
    });
    let module = waiver.required("module", RootModule::parse);
    let has_until = waiver.has("until");
    let until = waiver.optional("until", parse_until);
    let reason = waiver.required("reason", |text| {
        match text.trim().is_empty() || text.len() > 500 || text.chars().any(is_deceptive) {
            true => Err(Refusal::new("reason", "is not a text of one line").help("use at most 500 bytes")),
            false => Ok(text.to_owned()),
        }
    });
    // One whose end cannot be read must not last for ever.
    (has_until == until.is_some()).then_some(())?;
    Some(Waiver { rule: rule?, module: module?, until, reason: reason? })
}

/// A moment, or a day of which the end counts.
fn parse_until(text: &str) -> Result<Timestamp, Refusal> {
    let end = |day: Date| Some(day.at(23, 59, 59, 0).to_zoned(TimeZone::UTC).ok()?.timestamp());
    text.parse().ok().or_else(|| end(text.parse().ok()?)).ok_or_else(|| {
        Refusal::new("time", format!("{} is not a day", quote(text)))
            .help("write it as in `2027-01-31` or `2027-01-31T12:00:00Z`")
    })
}

fn find_file(name: &str, source: &Source) -> Result<NamedFile, Refusal> {
    source
        .plain(parse_file(name)?)
        .ok_or_else(|| Refusal::new("file", format!("{} is no key of the ConfigMap", quote(name))).help("add the key"))
}

/// The name of a variable that changes nothing about which program runs, and with which arguments.
fn parse_variable(name: &str) -> Result<String, Refusal> {
    if name == "PATH" || name.starts_with("LD_") || name.starts_with("TF_CLI_ARGS") {
        let refusal = Refusal::new("environment", format!("{} decides what is run", quote(name)));
        return Err(refusal.help("leave it out: nobody could tell from the configuration what that is"));
    }
    let help = "write it as in `PG_CONN_STR`";
    matching(name, "^[A-Z_][A-Z0-9_]{0,127}$", "environment", "is not the name of a variable", help)
}

fn matching(text: &str, pattern: &str, rule: &'static str, why: &str, help: &str) -> Result<String, Refusal> {
    match Regex::new(pattern).expect("a constant").is_match(text) {
        true => Ok(text.to_owned()),
        false => Err(Refusal::new(rule, format!("{} {why}", quote(text))).help(help)),
    }
}
