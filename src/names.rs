//! Names and texts as types, each parsed once by its `parse`.
//!
//! Who holds one of these knows that it keeps its rule; no later step checks it again.
//! A type of an API has there too the part of its rule that the API server can hold, as its schema.

use crate::api::{self, Api, WORDS};
use crate::document::Node;
use crate::fields;
use crate::text::{is_deceptive, quote};
use crate::violation::{Refusal, Violation};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::net::IpAddr;
use std::sync::LazyLock;

/// Names that Gitea keeps for itself, for users and organisations alike (`models/user`).
pub const RESERVED_BY_GITEA: [&str; 30] = [
    ".",
    "..",
    ".well-known",
    "api",
    "assets",
    "attachments",
    "avatar",
    "avatars",
    "captcha",
    "explore",
    "favicon.ico",
    "ghost",
    "gitea-actions",
    "issues",
    "login",
    "manifest.json",
    "metrics",
    "milestones",
    "notifications",
    "openapi3.v1.json",
    "org",
    "pulls",
    "repo",
    "repo-avatars",
    "robots.txt",
    "sitemap.xml",
    "ssh_info",
    "swagger.v1.json",
    "user",
    "v2",
];

/// Endings that Gitea refuses in names, because they are routes of its own.
const RESERVED_ENDINGS: [&str; 5] = [".keys", ".gpg", ".rss", ".atom", ".png"];

/// Names that no Team gets, beside those that Gitea reserves, and whose they are.
const RESERVED_BY_OTHERS: [(&str, &[&str]); 3] = [
    // `/org/invite` is a route of Gitea's own.
    ("Gitea", &["invite"]),
    // `system` and `kubeadm` begin groups that have rights in every cluster: `system:masters`,
    // `kubeadm:cluster-admins`. The others would be taken for what they are not, by people and by policies.
    ("Kubernetes", &["default", "kube-node-lease", "kube-public", "kube-system", "kubeadm", "kubernetes", "system"]),
    // Files of these names, with any ending, cannot be checked out
    // (<https://learn.microsoft.com/windows/win32/fileio/naming-a-file>).
    (
        "Windows",
        &[
            "aux", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt0",
            "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
        ],
    ),
];

/// A list of texts without quotes, in the API server's expressions.
fn in_cel(texts: impl IntoIterator<Item = &'static str>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| format!("'{text}'")).collect();
    format!("[{}]", texts.join(", "))
}

/// Declares a name: a `String` that keeps a rule.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident $(, $schema:expr)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text).map_err(|refusal| refusal.message)
            }
        }

        $(impl Api for $name {
            fn schema() -> Value {
                $schema
            }

            fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
                api::leaf(node, path, faults, |node| fields::text(node, Self::parse))
            }
        })?
    };
}

mod workload;

pub use workload::*;

name!(
    /// A Team's id: also its organisation in Gitea and, after `team-`, its namespace.
    TeamId,
    json!({
        "type": "string",
        WORDS: "`a-z`, `0-9` and single hyphens between them, at most 40; not a name that Gitea, Kubernetes or Windows reserves (`api`, `system`, `con`, …)",
        "minLength": 1,
        "maxLength": TeamId::MAX,
        "pattern": TeamId::PATTERN,
        "x-kubernetes-validations": [{
            "rule": format!("!(self in {})", in_cel(TeamId::reserved().map(|(_, name)| name))),
            "message": "is a name that Gitea, Kubernetes or Windows reserves",
        }],
    })
);

impl TeamId {
    /// Gitea's limit for names.
    const MAX: usize = 40;
    /// A DNS label (RFC 1123) in which, as Gitea asks, no two hyphens follow each other.
    const PATTERN: &str = "^[a-z0-9]+(-[a-z0-9]+)*$";

    /// The reserved names that would otherwise be ids: whose, and the name.
    fn reserved() -> impl Iterator<Item = (&'static str, &'static str)> {
        let gitea = RESERVED_BY_GITEA.into_iter().filter(|n| is_dashed(n)).map(|n| ("Gitea", n));
        gitea.chain(RESERVED_BY_OTHERS.into_iter().flat_map(|(whose, names)| names.iter().map(move |n| (whose, *n))))
    }

    /// Whether a text looks like an id, reserved or not: which names are reserved changes, and what was delivered stays.
    pub fn is_form(text: &str) -> bool {
        text.len() <= Self::MAX && is_dashed(text)
    }

    /// Refuses what is no DNS label of at most 40 characters, or a reserved name.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, Self::MAX)?;
        if !is_dashed(text) {
            return Err(Refusal::new("pattern", format!("{} is not an id", quote(text)))
                .help("use a-z, 0-9 and single hyphens between them, as in `team-alpha`"));
        }
        match Self::reserved().find(|(_, n)| *n == text) {
            None => Ok(Self(text.to_owned())),
            Some((whose, _)) => Err(Self::refuse(text, &format!("is a name that {whose} reserves"))),
        }
    }

    /// Refuses an id that is an account of the platform's own: `accounts` are names in Gitea, where users and
    /// organisations share one set of names, compared without case.
    ///
    /// # Errors
    /// The same name among `accounts`.
    pub fn none_of<'a>(self, accounts: impl IntoIterator<Item = &'a Username>) -> Result<Self, Refusal> {
        match accounts.into_iter().any(|account| account.as_str().eq_ignore_ascii_case(&self.0)) {
            true => Err(Self::refuse(&self.0, "is an account of the platform's own, by its configuration")),
            false => Ok(self),
        }
    }

    fn refuse(text: &str, why: &str) -> Refusal {
        Refusal::new("reserved", format!("{} {why}", quote(text))).help(format!("use another, such as `{text}-team`"))
    }
}

impl From<&TeamId> for Username {
    /// Every id is a name that Gitea takes.
    fn from(id: &TeamId) -> Self {
        Self(id.0.clone())
    }
}

name!(
    /// What the API server puts before each group that Gitea names, as `gitea:`.
    GroupPrefix
);

impl Default for GroupPrefix {
    fn default() -> Self {
        Self("gitea:".to_owned())
    }
}

impl GroupPrefix {
    const MAX: usize = 100;

    /// Refuses what could make a group of Gitea's one of Kubernetes': whatever the names of organisations and teams are,
    /// a group that begins with this does not begin with `system:` or `kubeadm:`.
    ///
    /// # Errors
    /// None at all; what does not end in `:`, or begins as groups of Kubernetes' own do; what is no plain word.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |why: &str| Err(Refusal::new("group-prefix", why).help("write it as in `gitea:`"));
        length(text, 0, Self::MAX)?;
        let lower = text.to_ascii_lowercase();
        match text.strip_suffix(':') {
            _ if text.is_empty() => refuse(
                "is empty: an organisation `system` with a team `masters` would be the group `system:masters`, which may do everything",
            ),
            None => refuse("does not end in `:`: it could be continued to the name of another group"),
            Some(_) if lower.starts_with("system:") || lower.starts_with("kubeadm:") => {
                refuse("begins as groups of Kubernetes' own do")
            }
            Some(word)
                if word.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b)) =>
            {
                Ok(Self(text.to_owned()))
            }
            Some(_) => {
                refuse("is not of letters, digits, `-`, `_`, `.`, `/` and `:`, beginning with a letter or digit")
            }
        }
    }

    /// The group of a team of an organisation, as Gitea names it in the claim `groups`.
    pub fn group(&self, organization: &TeamId, team: &str) -> String {
        format!("{self}{organization}:{team}")
    }
}

name!(
    /// A person's user name in Gitea.
    Username,
    json!({
        "type": "string",
        WORDS: "letters, digits, and single `-`, `_` or `.` between them, at most 40; not a name that Gitea reserves (`ghost`, `x.keys`, …)",
        "minLength": 1,
        "maxLength": TeamId::MAX,
        "pattern": "^[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*$",
        "x-kubernetes-validations": [{
            "rule": format!(
                "!(self.lowerAscii() in {}) && !{}.exists(ending, self.lowerAscii().endsWith(ending))",
                in_cel(RESERVED_BY_GITEA),
                in_cel(RESERVED_ENDINGS)
            ),
            "message": "is a name that Gitea reserves",
        }],
    })
);

impl Username {
    /// Refuses what Gitea refuses as a user name (`models/user`, `modules/validation`).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, TeamId::MAX)?;
        let words = text.split(['-', '_', '.']);
        if !words.into_iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric())) {
            return Err(Refusal::new("pattern", format!("{} is not a user name", quote(text)))
                .help("use letters, digits, and single `-`, `_` or `.` between them"));
        }
        let lower = text.to_ascii_lowercase();
        if RESERVED_BY_GITEA.contains(&lower.as_str()) || RESERVED_ENDINGS.iter().any(|e| lower.ends_with(e)) {
            return Err(Refusal::new("reserved", format!("{} is a name that Gitea reserves", quote(text))));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A name for people to read: one line.
    DisplayName,
    json!({
        "type": "string",
        WORDS: "one line of 1 to 100 characters, one of which can be seen",
        "minLength": 1,
        // With the line break at its end.
        "maxLength": DisplayName::MAX,
        "pattern": LINE_PATTERN,
        "x-kubernetes-validations": [{"rule": format!("self.matches(r\"{}\")", visible_pattern()), "message": "is blank"}],
    })
);

impl DisplayName {
    /// Gitea's limit for an organisation's full name.
    const MAX: usize = 100;

    /// Refuses the blank, the too long, and what is not one line.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let text = line(text, Self::MAX)?;
        if !text.chars().any(is_visible) {
            return Err(Refusal::new("length", "is blank").help("write a name that people know"));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A sentence or two for people to read: one line.
    Description,
    json!({"type": "string",
        WORDS: "one line of at most 255 characters", "maxLength": Description::MAX, "pattern": LINE_PATTERN})
);

impl Description {
    /// Gitea's limit for an organisation's description.
    const MAX: usize = 255;

    /// Refuses the too long and what is not one line.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Ok(Self(line(text, Self::MAX)?.to_owned()))
    }
}

name!(
    /// A mail address.
    Email,
    json!({
        "type": "string",
        WORDS: "a mail address: RFC 5321's `Dot-string` at a domain, also one in IDNA's form (`xn--…`)",
        "maxLength": Email::MAX,
        "pattern": Email::PATTERN,
        "x-kubernetes-validations": [{"rule": "self.indexOf('@') <= 64", "message": "has more than 64 characters before the `@`"}],
    })
);

impl Email {
    /// RFC 5321's limit for a path, less its angle brackets.
    const MAX: usize = 254;
    /// RFC 5321's `Dot-string` at a `Domain` of at least two names, the last of letters or in IDNA's form (RFC 5890).
    const PATTERN: &str = concat!(
        r"^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*",
        r"@([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+",
        r"([a-zA-Z]{2,63}|[xX][nN]--[a-zA-Z0-9-]{0,58}[a-zA-Z0-9])$"
    );

    /// Refuses what the API refuses, which knows the same rules.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new(Email::PATTERN).expect("a constant"));
        length(text, 1, Self::MAX)?;
        if !PATTERN.is_match(text) || text.find('@').is_none_or(|at| at > 64) {
            return Err(Refusal::new("email", format!("{} is not a mail address", quote(text)))
                .help("write it as in `alpha@company.com`"));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A whole name in DNS, such as the part of a mail address behind its `@`.
    Domain
);

impl Domain {
    /// Refuses what cannot stand behind the `@` of a mail address.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match Email::parse(&format!("a@{text}")) {
            Ok(_) if text.len() <= 190 => Ok(Self(text.to_owned())),
            _ => Err(Refusal::new("domain", format!("{} is not a domain of mail addresses", quote(text)))
                .help("write it as in `company.com`")),
        }
    }

    /// The address of a Team in this domain.
    pub fn address_of(&self, id: &TeamId) -> Email {
        Email(format!("{id}@{self}"))
    }
}

name!(
    /// The name of a repository in Gitea.
    RepositoryName
);

impl RepositoryName {
    /// Refuses what Gitea refuses as a repository's name (`models/repo`, `IsUsableRepoName`).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, 100)?;
        let lower = text.to_ascii_lowercase();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        let endings = [".wiki", ".git", ".rss", ".atom"];
        if !plain
            || matches!(text, "." | ".." | "-")
            || text.contains("..")
            || endings.iter().any(|e| lower.ends_with(e))
        {
            return Err(Refusal::new("pattern", format!("{} is not a repository's name", quote(text)))
                .help("use letters, digits, `-`, `_` and `.`"));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// The name of a branch, without `refs/heads/`.
    BranchName
);

impl Default for BranchName {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl BranchName {
    /// Refuses what git or Gitea refuses (git-check-ref-format; Gitea takes 100 characters).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, 100)?;
        if !git2::Reference::is_valid_name(&format!("refs/heads/{text}")) || text.chars().any(is_deceptive) {
            return Err(Refusal::new("pattern", format!("{} is not the name of a branch", quote(text))));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A label of pull requests.
    Label
);

impl Label {
    /// Refuses what Gitea refuses as a label's name: more than 50 characters, or none.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        line(text, 50)?;
        if text.trim().is_empty() {
            return Err(Refusal::new("length", "is blank"));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// The name of a Kubernetes object: a DNS subdomain (RFC 1123), here of at most 63 characters,
    /// because Kratix makes it a label's value.
    ObjectName
);

impl ObjectName {
    /// Refuses what the API server or Kratix refuses as `metadata.name`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, 63)?;
        if !text.split('.').all(is_label) {
            return Err(Refusal::new("pattern", format!("{} is not an object's name", quote(text)))
                .help("use a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit"));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// The name of a Kubernetes namespace: a DNS label (RFC 1123).
    NamespaceName,
    json!({
        "type": "string",
        WORDS: "`a-z`, `0-9` and `-`, beginning and ending with a letter or digit; at most 63",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    })
);

impl Default for NamespaceName {
    /// The namespace that kubectl takes where none is named.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl NamespaceName {
    /// Refuses what the API server refuses as a namespace's name.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, 63)?;
        if !is_label(text) {
            return Err(Refusal::new("pattern", format!("{} is not a namespace's name", quote(text)))
                .help("use a-z, 0-9 and `-`, beginning and ending with a letter or digit"));
        }
        Ok(Self(text.to_owned()))
    }
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

name!(
    /// The kind of a request, as `Team`: known to this build or not.
    Kind
);

impl Kind {
    /// Refuses what is no word in upper camel case, as Kubernetes names kinds.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, 63)?;
        if !text.starts_with(|c: char| c.is_ascii_uppercase()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Refusal::new("kind", format!("{} is not a kind", quote(text))).help("write it as in `Team`"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As in paths: `team`.
    pub fn lower(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

name!(
    /// The key of a label or annotation: a name, with a domain before it or none, as `example.com/cost-center`.
    MetadataKey
);

impl MetadataKey {
    /// The domains of Kubernetes, Kratix and Goldpath: what their labels say is for them to say.
    const RESERVED: [&str; 4] = ["kubernetes.io", "k8s.io", "kratix.io", "goldpath.dev"];

    /// Refuses what the API server refuses as a label's key (`IsQualifiedName`).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Self::parse_with(text, |domain| domain.split('.').all(is_label))
    }

    /// The same for an annotation's key, in which the API server takes capitals everywhere.
    pub fn parse_annotation(text: &str) -> Result<Self, Refusal> {
        Self::parse_with(text, |domain| domain.to_ascii_lowercase().split('.').all(is_label))
    }

    fn parse_with(text: &str, is_domain: impl Fn(&str) -> bool) -> Result<Self, Refusal> {
        let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
        let is_domain = |domain: &str| domain.len() <= 253 && is_domain(domain);
        if !domain.is_none_or(is_domain) || name.is_empty() || !is_label_value(name) {
            return Err(Refusal::new("pattern", format!("{} is not the key of a label or annotation", quote(text)))
                .help("write a name of up to 63 letters, digits, `-`, `_` and `.`, as in `example.com/cost-center`"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Refuses also the keys of Kubernetes, of Kratix and of ours, which nobody may set by a request.
    pub fn free(self) -> Result<Self, Refusal> {
        let text = self.0.as_str();
        let domain = text.split_once('/').map_or("", |(domain, _)| domain).to_ascii_lowercase();
        let is_of =
            |reserved: &&str| domain.strip_suffix(*reserved).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
        match Self::RESERVED.iter().find(|reserved| is_of(reserved)) {
            None => Ok(self),
            Some(reserved) => Err(Refusal::new("reserved", format!("{} is one of `{reserved}`", quote(text)))
                .help("name keys of your own, as `example.com/cost-center`")),
        }
    }
}

/// Refuses what the API server refuses as a label's value (`IsValidLabelValue`).
pub fn check_label_value(text: &str) -> Result<(), Refusal> {
    match text.is_empty() || is_label_value(text) {
        true => Ok(()),
        false => Err(Refusal::new("pattern", format!("{} is not a label's value", quote(text))).help(
            "use up to 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit; an annotation may hold \
             any text",
        )),
    }
}

/// Whether a text is what values of labels and the names of their keys may be.
fn is_label_value(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= 63
        && ends.into_iter().flatten().all(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

name!(
    /// A block of addresses, as `10.0.0.0/8` or `fd00::/8`.
    Addresses,
    json!({
        "type": "string",
        WORDS: "a block in CIDR's notation, as `10.0.0.0/8`",
        "maxLength": 50,
        "x-kubernetes-validations": [{"rule": "isCIDR(self) && cidr(self) == cidr(self).masked()", "message": "is no block of addresses"}],
    })
);

impl Addresses {
    /// Refuses what is no block in CIDR's notation (RFC 4632, RFC 4291), also one whose address has more bits than its prefix.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let is_block = |(address, length): (&str, &str)| {
            let (bits, width) = match address.parse().ok()? {
                IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
                IpAddr::V6(address) => (address.to_bits(), 128),
            };
            let prefix: u32 =
                length.parse().ok().filter(|prefix: &u32| *prefix <= width && prefix.to_string() == length)?;
            let rest = 1_u128.checked_shl(width - prefix).map_or(u128::MAX, |beyond| beyond - 1);
            (bits & rest == 0).then_some(())
        };
        match text.split_once('/').and_then(is_block) {
            Some(()) => Ok(Self(text.to_owned())),
            None => Err(Refusal::new("addresses", format!("{} is no block of addresses", quote(text)))
                .help("write its first address and its length, as in `10.0.0.0/8`")),
        }
    }
}

/// No controls, no line or paragraph separators, no change of direction, in the regular
/// expressions of the API server (RE2). At its end the line break may stand that a block scalar (`>`) leaves there.
const LINE_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}]*\n?$";

/// The characters that nobody sees, from each first to its last: spaces, what takes no room, letters that show nothing.
const INVISIBLE: [(char, char); 20] = [
    ('\0', ' '),
    ('\u{7f}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200f}'),
    ('\u{2028}', '\u{202f}'),
    ('\u{205f}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{e0000}', '\u{e0fff}'),
];

fn is_visible(c: char) -> bool {
    !INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// A character that is seen, in the regular expressions of the API server.
fn visible_pattern() -> String {
    let range = |(first, last): &(char, char)| format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(*first), u32::from(*last));
    format!("[^{}]", INVISIBLE.iter().map(range).collect::<String>())
}

/// The line that a text is, without the line break at its end.
fn line(text: &str, max: usize) -> Result<&str, Refusal> {
    length(text, 0, max)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let refused = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    match line.chars().find(|c| refused(*c)) {
        None => Ok(line),
        Some('\n') => Err(Refusal::new("characters", "has several lines")
            .help("write one line; one that is too long for the file goes on in the next behind `>-`")),
        Some(c) => Err(Refusal::new("characters", format!("contains the character U+{:04X}", u32::from(c)))
            .help("write one line, without control characters and changes of direction")),
    }
}

fn length(text: &str, min: usize, max: usize) -> Result<(), Refusal> {
    let count = text.chars().count();
    if (min..=max).contains(&count) {
        return Ok(());
    }
    let message = if count == 0 { "is empty".to_owned() } else { format!("has {count} characters") };
    Err(Refusal::new("length", message).help(format!("use {min} to {max} characters")))
}

/// Whether `text` is a DNS label, but for its length.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_dashed(text: &str) -> bool {
    is_label(text) && !text.contains("--")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn rule<T: fmt::Debug>(result: Result<T, Refusal>) -> &'static str {
        result.unwrap_err().rule
    }

    #[test]
    fn an_id_is_a_dns_label_that_gitea_takes_and_does_not_reserve() {
        for good in ["a", "team-alpha", "0", "7up", &"x".repeat(40)] {
            assert_eq!(TeamId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["A", "a--b", "-a", "a-", "a.b", "a_b", "ä", "a b", "../x", "a\n"] {
            assert_eq!(rule(TeamId::parse(bad)), "pattern", "{bad:?}");
        }
        assert_eq!(rule(TeamId::parse("")), "length");
        assert_eq!(rule(TeamId::parse(&"x".repeat(41))), "length");
        for reserved in ["api", "user", "org", "gitea-actions", "v2", "invite", "system", "kubeadm", "default", "con"] {
            assert_eq!(rule(TeamId::parse(reserved)), "reserved", "{reserved}");
        }
        for (_, name) in TeamId::reserved() {
            assert!(is_dashed(name), "{name} is none anyhow");
        }
    }

    #[test]
    fn an_id_is_none_of_the_platforms_accounts_in_any_case() {
        let accounts = ["Platform", "goldpath-review"].map(|name| Username::parse(name).unwrap());
        for (id, free) in [("platform", false), ("goldpath-review", false), ("platform-x", true)] {
            assert_eq!(TeamId::parse(id).unwrap().none_of(&accounts).is_ok(), free, "{id}");
        }
    }

    #[test]
    fn labels_are_those_of_the_api_server() {
        let long = |n| "x".repeat(n);
        for good in ["a", "A.b_c-9", "example.com/cost-center", "x/y", &long(63), &format!("{}/y", long(63))] {
            assert_eq!(MetadataKey::parse(good).unwrap().as_str(), good);
            assert!(MetadataKey::parse(good).unwrap().free().is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "-a", "a-", "A.com/x", "a b", "a..b/c", "ä", &long(64)] {
            assert_eq!(rule(MetadataKey::parse(bad)), "pattern", "{bad:?}");
        }
        for reserved in ["kubernetes.io/x", "app.kubernetes.io/x", "goldpath.dev/team", "kratix.io/x", "x.k8s.io/y"] {
            assert_eq!(rule(MetadataKey::parse(reserved).unwrap().free()), "reserved", "{reserved}");
        }
        assert!(MetadataKey::parse("notkubernetes.io/x").unwrap().free().is_ok());
        for (key, is_good) in [("A.com/x", true), ("a", true), ("A..b/x", false), ("\u{c9}.com/x", false)] {
            assert_eq!(MetadataKey::parse_annotation(key).is_ok(), is_good, "{key}");
        }
        assert_eq!(rule(MetadataKey::parse_annotation("Kubernetes.IO/x").unwrap().free()), "reserved");
        for (value, is_good) in [("", true), ("a.B_c-9", true), ("-a", false), ("a b", false), ("a/b", false)] {
            assert_eq!(check_label_value(value).is_ok(), is_good, "{value:?}");
        }
        assert!(check_label_value(&long(63)).is_ok() && check_label_value(&long(64)).is_err());
    }

    /// By construction: a group of a Team's is the prefix, and the rest; and in no prefix is the first word before `:`
    /// one of Kubernetes'.
    #[test]
    fn no_group_behind_a_prefix_is_one_of_kubernetes() {
        let refused = [
            "",
            "gitea",
            ":",
            "system:",
            "system:x:",
            "System:",
            "kubeadm:",
            "git ea:",
            "gitea:\n",
            "\u{202e}x:",
            "-x:",
            "a\"b:",
            "system:masters",
            "gitea: ",
        ];
        for bad in refused {
            assert_eq!(rule(GroupPrefix::parse(bad)), "group-prefix", "{bad:?}");
        }
        assert_eq!(rule(GroupPrefix::parse(&format!("{}:", "x".repeat(100)))), "length");
        for good in ["gitea:", "oidc:", "https://git.company.com/:", "a:b:", "systems:"] {
            let group = GroupPrefix::parse(good).unwrap().group(&TeamId::parse("x").unwrap(), "masters");
            assert_eq!(group, format!("{good}x:masters"));
            assert!(!["system", "kubeadm"].contains(&group.split(':').next().unwrap()), "{group}");
        }
    }

    #[test]
    fn a_user_name_keeps_giteas_rule() {
        for good in ["ada", "Ada.Lovelace", "a_b-c.d", "0"] {
            assert_eq!(Username::parse(good).unwrap().as_str(), good);
        }
        for bad in ["a..b", "_a", "a-", "a@b", "a/b", "ada lovelace", "é"] {
            assert_eq!(rule(Username::parse(bad)), "pattern", "{bad:?}");
        }
        for reserved in ["Ghost", "my.keys", "x.PNG", "robots.txt"] {
            assert_eq!(rule(Username::parse(reserved)), "reserved", "{reserved}");
        }
    }

    #[test]
    fn the_pattern_of_addresses_is_that_of_mail() {
        let pattern = Regex::new(Email::PATTERN).unwrap();
        for bad in [
            "a",
            "a@localhost",
            "a@.com",
            "a b@x.com",
            "a@x.c",
            "a@x.com\n",
            "\"a\"@x.com",
            "a@-x.com",
            "a@x-.com",
            "a@x..com",
            ".a@x.com",
            "a.@x.com",
            "a..b@x.com",
            "a@x.xn--",
            "a@x.123",
            "a@[1.2.3.4]",
            &format!("a@{}.com", "x".repeat(64)),
        ] {
            assert!(!pattern.is_match(bad), "{bad}");
            assert_eq!(rule(Email::parse(bad)), "email", "{bad}");
        }
        // The other rule of the API is for this one.
        assert_eq!(rule(Email::parse(&format!("{}@x.com", "a".repeat(65)))), "email");
        for good in [
            "alpha+ci@company.co.uk",
            "o'brien@company.com",
            "a!#$%&'*+/=?^_`{|}~-b@x.com",
            "a@xn--bcher-kva.example",
            "a@company.xn--p1ai",
            "a@1.2.com",
            &format!("{}@x.com", "a".repeat(64)),
        ] {
            assert_eq!(Email::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_display_name_is_one_line_in_any_script() {
        for good in ["Team Alpha", " Ünï \"quoted\" ${x} 🦀 ", "فريق", "👩\u{200d}💻"] {
            assert_eq!(DisplayName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["a\nb", "a\r\n", "\0", "\u{85}", "a\u{2028}b", "\u{202e}a"] {
            assert_eq!(rule(DisplayName::parse(bad)), "characters", "{bad:?}");
        }
        assert_eq!(rule(DisplayName::parse("")), "length");
        for blank in ["\u{3000} ", "\u{200b}\u{feff}", "\u{3164}", "\u{2800}", "\u{115f}\u{1160}", "\u{e0020}", "\n"] {
            assert!(DisplayName::parse(blank).is_err(), "{blank:?}");
        }
        assert_eq!(DisplayName::parse("Sells things\n").unwrap().as_str(), "Sells things");
        assert_eq!(rule(DisplayName::parse("a\n\n")), "characters");
        assert_eq!(rule(DisplayName::parse(&"é".repeat(101))), "length");
    }

    #[test]
    fn what_is_seen_is_the_same_for_the_api_server() {
        let pattern = Regex::new(&visible_pattern()).unwrap();
        let differs = |c: &char| is_visible(*c) != pattern.is_match(c.encode_utf8(&mut [0; 4]));
        assert_eq!(('\0'..=char::MAX).find(differs), None);
    }

    #[test]
    fn object_names_cannot_be_paths() {
        for bad in ["..", "a/b", "a..b", ".git", "A", "a_b", "-a"] {
            assert_eq!(rule(ObjectName::parse(bad)), "pattern", "{bad}");
        }
        assert_eq!(ObjectName::parse("a.b-c").unwrap().as_str(), "a.b-c");
        assert_eq!(rule(NamespaceName::parse("a.b")), "pattern");
    }
}
