//! Names and texts as types, each parsed once by its `parse`.
//!
//! Who holds one of these knows that it keeps its rule; no later step checks it again.
//! Each type's JSON Schema is the part of its rule that the API server can hold.

use crate::violation::{Refusal, is_deceptive, quote};
use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
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

/// Declares a name: a `String` that keeps a rule.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $schema:expr) => {
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

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

name!(
    /// A Team's id: also its organisation in Gitea and, after `team-`, its namespace.
    TeamId,
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": TeamId::MAX,
        "pattern": TeamId::PATTERN,
        "x-kubernetes-validations": [{
            "rule": format!("!(self in [{}])", TeamId::reserved().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ")),
            "message": "is a name that Gitea reserves",
        }],
    })
);

impl TeamId {
    /// Gitea's limit for names.
    const MAX: usize = 40;
    /// A DNS label (RFC 1123) in which, as Gitea asks, no two hyphens follow each other.
    const PATTERN: &str = "^[a-z0-9]+(-[a-z0-9]+)*$";

    /// The reserved names that would otherwise be ids.
    fn reserved() -> impl Iterator<Item = &'static str> {
        RESERVED_BY_GITEA.into_iter().filter(|n| is_dashed(n))
    }

    /// Whether a text looks like an id, reserved or not: which names are reserved changes, and what was delivered stays.
    pub fn is_form(text: &str) -> bool {
        text.len() <= Self::MAX && is_dashed(text)
    }

    /// Refuses what is no DNS label of at most 40 characters, or is reserved by Gitea.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        length(text, 1, Self::MAX)?;
        if !is_dashed(text) {
            return Err(Refusal::new("pattern", format!("{} is not an id", quote(text)))
                .help("use a-z, 0-9 and single hyphens between them, as in `team-alpha`"));
        }
        if Self::reserved().any(|n| n == text) {
            return Err(Refusal::new("reserved", format!("{} is a name that Gitea reserves", quote(text)))
                .help(format!("use another, such as `{text}-team`")));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A person's user name in Gitea.
    Username,
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": TeamId::MAX,
        "pattern": "^[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*$",
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
    json_schema!({"type": "string", "minLength": 1, "maxLength": DisplayName::MAX, "pattern": LINE_PATTERN})
);

impl DisplayName {
    /// Gitea's limit for an organisation's full name.
    const MAX: usize = 100;

    /// Refuses the blank, the too long, and what is not one line.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        line(text, Self::MAX)?;
        if text.trim().is_empty() {
            return Err(Refusal::new("length", "is blank").help("write a name that people know"));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A sentence or two for people to read: one line.
    Description,
    json_schema!({"type": "string", "maxLength": Description::MAX, "pattern": LINE_PATTERN})
);

impl Description {
    /// Gitea's limit for an organisation's description.
    const MAX: usize = 255;

    /// Refuses the too long and what is not one line.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        line(text, Self::MAX)?;
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A mail address.
    Email,
    json_schema!({"type": "string", "maxLength": Email::MAX, "pattern": Email::PATTERN})
);

impl Email {
    /// RFC 5321's limit for a path, less its angle brackets.
    const MAX: usize = 254;
    /// The pattern of the proof of concept, so that its requests stay valid.
    const PATTERN: &str = r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$";

    /// Refuses what the pattern of the API refuses, and what it lets through and mail does not:
    /// dots at an end or in a row in the mailbox (RFC 5321, `Dot-string`), domains that are none.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new(Email::PATTERN).expect("a constant"));
        length(text, 1, Self::MAX)?;
        let mailbox = text.split('@').next().unwrap_or_default();
        let dots = mailbox.starts_with('.') || mailbox.ends_with('.') || mailbox.contains("..");
        if dots || !PATTERN.is_match(text) || !validator::ValidateEmail::validate_email(&text) {
            return Err(Refusal::new("email", format!("{} is not a mail address", quote(text)))
                .help("write it as in `alpha@company.com`"));
        }
        Ok(Self(text.to_owned()))
    }
}

name!(
    /// A whole name in DNS, such as the part of a mail address behind its `@`.
    Domain,
    json_schema!({"type": "string", "maxLength": 190})
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
    RepositoryName,
    json_schema!({"type": "string", "maxLength": 100})
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
    BranchName,
    json_schema!({"type": "string", "maxLength": 100})
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
    Label,
    json_schema!({"type": "string", "maxLength": 50})
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
    ObjectName,
    json_schema!({"type": "string", "maxLength": 63})
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
    json_schema!({"type": "string", "maxLength": 63})
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

/// No controls, no line or paragraph separators, no change of direction, in the regular
/// expressions of the API server (RE2).
const LINE_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}]*$";

fn line(text: &str, max: usize) -> Result<(), Refusal> {
    length(text, 0, max)?;
    let refused = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    match text.chars().find(|c| refused(*c)) {
        None => Ok(()),
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
        for reserved in ["api", "user", "org", "gitea-actions", "v2"] {
            assert_eq!(rule(TeamId::parse(reserved)), "reserved", "{reserved}");
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
    fn the_step_refuses_addresses_that_the_pattern_lets_through_and_mail_does_not() {
        let pattern = Regex::new(Email::PATTERN).unwrap();
        for bad in [
            "a@-x.com",
            "a@x-.com",
            "a@x..com",
            ".a@x.com",
            "a.@x.com",
            "a..b@x.com",
            &format!("{}@x.com", "a".repeat(65)),
            &format!("a@{}.com", "x".repeat(64)),
        ] {
            assert!(pattern.is_match(bad), "{bad}");
            assert_eq!(rule(Email::parse(bad)), "email", "{bad}");
        }
        for bad in ["a", "a@localhost", "a@.com", "a b@x.com", "a@x.c", "a@x.com\n", "\"a\"@x.com"] {
            assert_eq!(rule(Email::parse(bad)), "email", "{bad:?}");
        }
        assert_eq!(Email::parse("alpha+ci@company.co.uk").unwrap().as_str(), "alpha+ci@company.co.uk");
    }

    #[test]
    fn a_display_name_is_one_line_in_any_script() {
        for good in ["Team Alpha", " Ünï \"quoted\" ${x} 🦀 ", "فريق", "👩\u{200d}💻"] {
            assert_eq!(DisplayName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["a\nb", "a\r", "\0", "\u{85}", "a\u{2028}b", "\u{202e}a"] {
            assert_eq!(rule(DisplayName::parse(bad)), "characters", "{bad:?}");
        }
        assert_eq!(rule(DisplayName::parse("")), "length");
        assert_eq!(rule(DisplayName::parse("\u{3000} ")), "length");
        assert_eq!(rule(DisplayName::parse(&"é".repeat(101))), "length");
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
