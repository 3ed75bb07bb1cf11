//! The platform's configuration file: defaults, and where the repositories are.
//!
//! Without a file the built-in values hold. It never holds a secret, only the paths of files that do.

use crate::names::Domain;
use crate::promise::Role;
use crate::quantity::{Count, Quantity};
use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the file is looked for when nobody names one.
const DEFAULT_PATH: &str = "/etc/goldpath/config.yaml";

/// What the platform decides for every request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Gitea's address, as `https://gitea.example.com`, for links.
    pub gitea_url: String,
    /// What a request gets that does not say.
    pub defaults: Defaults,
    /// Who commits.
    pub author: Author,
    /// The repositories by role.
    pub repositories: BTreeMap<Role, Remote>,
    /// After how many seconds a step gives up and asks to be run again.
    #[serde(rename = "deadlineSeconds", deserialize_with = "seconds")]
    pub deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gitea_url: "https://gitea.example.com".to_owned(),
            defaults: Defaults::default(),
            author: Author::default(),
            repositories: BTreeMap::new(),
            deadline: Duration::from_secs(60),
        }
    }
}

/// What a request gets that does not say.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Defaults {
    /// The domain of a Team's mail address.
    pub email_domain: Domain,
    /// The quota of a namespace.
    pub quota: QuotaDefaults,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { email_domain: Domain::parse("example.com").expect("a constant"), quota: QuotaDefaults::default() }
    }
}

/// The quota of a namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaDefaults {
    /// Processors.
    pub cpu: Quantity,
    /// Bytes of memory.
    pub memory: Quantity,
    /// Bytes of persistent storage.
    pub storage: Quantity,
    /// Pods.
    pub pods: Count,
}

impl Default for QuotaDefaults {
    fn default() -> Self {
        let amount = |text| Quantity::parse_text(text).expect("a constant");
        Self { cpu: amount("4"), memory: amount("8Gi"), storage: amount("20Gi"), pods: Count::new(50) }
    }
}

/// Who commits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

impl Default for Author {
    fn default() -> Self {
        Self { name: "Goldpath".to_owned(), email: "goldpath@example.com".to_owned() }
    }
}

/// A git repository to deliver to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remote {
    /// Where it is.
    pub url: Location,
    /// The branch that is written.
    #[serde(default = "main_branch")]
    pub branch: String,
    /// Who signs in, for https; most servers take any name beside a token.
    #[serde(default = "user_name")]
    pub username: String,
    /// The file that holds the token, for https. It is read at each use.
    pub token_file: Option<PathBuf>,
}

/// Where a repository is: a path, or a URL with `file://` or `https://`; without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Location {
    /// A bare repository on this machine.
    Path(PathBuf),
    /// One behind https: the whole URL.
    Https(String),
}

impl TryFrom<String> for Location {
    type Error = String;

    /// An error never repeats the URL: it may hold a credential.
    fn try_from(url: String) -> Result<Self, String> {
        match url.split_once("://") {
            None => Ok(Self::Path(url.into())),
            Some(("file", path)) => Ok(Self::Path(path.into())),
            Some(("https", rest)) if rest.split('/').next().unwrap_or_default().contains('@') => {
                Err("a URL must not hold credentials: use `username` and `tokenFile`".to_owned())
            }
            Some(("https", _)) => Ok(Self::Https(url)),
            Some((scheme, _)) => Err(format!("{scheme}:// is not supported: use a path, file:// or https://")),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Https(url) => f.write_str(url),
        }
    }
}

impl Remote {
    /// The repository at `path`, on this machine.
    pub fn at(path: &Path) -> Self {
        Self { url: Location::Path(path.to_owned()), branch: main_branch(), username: user_name(), token_file: None }
    }
}

fn main_branch() -> String {
    "main".to_owned()
}

fn user_name() -> String {
    "goldpath".to_owned()
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(|| serde::de::Error::unknown_variant(&name, &["catalog", "infrastructure"]))
    }
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match u64::deserialize(from)? {
        seconds @ 1..=3600 => Ok(Duration::from_secs(seconds)),
        other => Err(serde::de::Error::custom(format!("{other} is not from 1 to 3600"))),
    }
}

impl Config {
    /// Reads the file at `path`; without one, the file at its usual place if there is one; else
    /// the built-in values.
    ///
    /// # Errors
    /// A file that was named and is not there, or any that is not right, with its line.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let (file, named) = (path.unwrap_or(Path::new(DEFAULT_PATH)), path.is_some());
        let reading = || format!("cannot read the configuration {}", file.display());
        let text = match fs::read(file) {
            Err(error) if error.kind() == ErrorKind::NotFound && !named => return Ok(Self::default()),
            read => read.with_context(reading)?,
        };
        let mut config: Self = serde_yaml::from_slice(&text).with_context(reading)?;
        config.gitea_url.truncate(config.gitea_url.trim_end_matches('/').len());
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn load(text: &str) -> Result<Config> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()))
    }

    #[test]
    fn what_the_file_leaves_out_is_built_in() {
        let config =
            load("defaults: {emailDomain: company.com, quota: {cpu: '9'}}\nrepositories: {catalog: {url: /srv/c.git}}")
                .unwrap();
        assert_eq!(config.defaults.email_domain.as_str(), "company.com");
        assert_eq!(config.defaults.quota.memory, Quantity::parse_text("8Gi").unwrap());
        assert_eq!(config.repositories[&Role::Catalog].branch, "main");
        assert_eq!(config.deadline, Duration::from_secs(60));
    }

    #[test]
    fn the_example_is_right_and_shows_the_built_in_values() {
        let (example, built_in) = (load(include_str!("../config.example.yaml")).unwrap(), Config::default());
        assert_eq!(example.repositories.len(), 2);
        let Config { gitea_url, defaults, author, repositories: _, deadline } = example;
        assert_eq!(
            format!("{gitea_url} {defaults:?} {author:?} {deadline:?}"),
            format!("{} {:?} {:?} {:?}", built_in.gitea_url, built_in.defaults, built_in.author, built_in.deadline)
        );
    }

    #[test]
    fn a_slip_in_the_file_is_an_error_with_its_line() {
        let error = format!("{:#}", load("defaults:\n  emailDomian: company.com\n").unwrap_err());
        assert!(error.contains("unknown field `emailDomian`") && error.contains("line 2"), "{error}");
        assert!(format!("{:#}", load("deadlineSeconds: 0").unwrap_err()).contains("not from 1 to 3600"));
        assert!(Config::load(Some(Path::new("/nowhere"))).is_err());
    }
}
