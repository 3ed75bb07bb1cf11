//! The platform's configuration: defaults, where the repositories are, and how to reach them.
//!
//! One YAML file; without it the built-in values hold. It never holds a secret, only the names of
//! files that do. In a Pod file and secrets come through the Kubernetes API, so that nothing of
//! them has to be in the namespaces of the requests.

mod read;
pub mod review;

pub use read::is_in_the_clear;

use crate::cluster::ServiceAccount;
use crate::document::{Node, Unreadable};
use crate::file_tree::RelativePath;
use crate::names::{
    Addresses, BranchName, Domain, GroupPrefix, Label, MetadataKey, NamespaceName, RepositoryName, SubdomainName,
    TeamId, Username,
};
use crate::outcome::Author;
use crate::outputs::Role;
use crate::quantity::{Bytes, Count, Cpu};
use crate::violation::{Refusal, Violation, told};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the file is looked for when nobody names one.
const DEFAULT_PATH: &str = "/etc/goldpath/config.yaml";
/// Where the catalog's index is unless it names another path: where Backstage's discovery looks.
const INDEX: &str = "catalog-info.yaml";
/// The key of the ConfigMap that holds the file.
const KEY: &str = "config.yaml";

/// What the platform decides for every request.
#[derive(Clone, Debug)]
pub struct Config {
    /// Gitea's address, without a slash at its end: for links, and where repositories are in it.
    pub gitea_url: String,
    /// Whether tokens may be sent in the clear, to any machine.
    pub insecure: bool,
    /// What the API server puts before the groups that Gitea names.
    pub group_prefix: GroupPrefix,
    /// What a request gets that does not say.
    pub defaults: Defaults,
    /// What namespaces may reach, and be reached by.
    pub network: Network,
    /// Where the platform's own requests are, and whose they are.
    pub platform: Platform,
    /// Kratix's stores, by their names, as far as Flux reads from them.
    pub state_stores: BTreeMap<String, StateStore>,
    /// Whether the namespaces of Applications are deleted with what is in them.
    pub prune_namespaces: bool,
    /// Who commits.
    pub author: Author,
    /// Further trailers of every commit message, in the order written.
    pub trailers: Vec<(String, String)>,
    /// Where in the catalog the index is that lists all entities.
    pub catalog_index: RelativePath,
    /// The repositories by role.
    pub repositories: BTreeMap<Role, Remote>,
    /// The private organisation whose registry holds Terraform's states, one a root module.
    pub state_owner: Option<Username>,
    /// How Terraform is reviewed in Gitea Actions, where it is.
    pub review: Option<review::Settings>,
    /// Which labels and annotations of a request what it makes has too.
    pub propagate: Propagate,
    /// When a step gives up.
    pub patience: Patience,
}

/// Where the platform's own requests are, and whose they are.
#[derive(Clone, Debug)]
pub struct Platform {
    /// The namespace in which alone Environments count, because nobody else writes there.
    pub namespace: NamespaceName,
    /// The group in the catalog that owns them, as `platform`.
    pub owner: TeamId,
    /// The namespace of Flux in the platform's cluster.
    pub flux_namespace: NamespaceName,
}

/// Where a store of Kratix's is, for Flux to read from it.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(untagged)]
pub enum StateStore {
    /// A GitStateStore.
    Git {
        /// Its address.
        url: String,
        /// The branch that is written.
        branch: BranchName,
        /// The folder in it that Kratix writes to.
        path: String,
        /// The Secret in Flux's namespace with what it takes to read it.
        secret: Option<SubdomainName>,
    },
    /// A BucketStateStore.
    Bucket {
        /// The bucket.
        bucket_name: SubdomainName,
        /// The server.
        endpoint: String,
        /// Whether it is asked without TLS.
        insecure: bool,
        /// The folder in it that Kratix writes to.
        path: String,
        /// The Secret in Flux's namespace with what it takes to read it.
        secret: Option<SubdomainName>,
    },
}

impl StateStore {
    /// The folder in it that Kratix writes to.
    pub fn path(&self) -> &str {
        let (Self::Git { path, .. } | Self::Bucket { path, .. }) = self;
        path
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            namespace: NamespaceName::parse("platform").expect("a constant"),
            owner: TeamId::parse("platform").expect("a constant"),
            flux_namespace: NamespaceName::parse("flux-system").expect("a constant"),
        }
    }
}

/// Which labels and annotations of a request its manifests and its entity have too: no others, because labels decide, as on
/// what network policies and Destinations select.
#[derive(Clone, Debug, Default)]
pub struct Propagate {
    /// The keys of labels.
    pub labels: Vec<MetadataKey>,
    /// The keys of annotations.
    pub annotations: Vec<MetadataKey>,
}

/// What a request's manifests and its entity have of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Propagated {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Propagate {
    /// The longest annotation, in bytes: each is in every manifest, and etcd takes all of them together only up to 1.5 MiB.
    const MAX: usize = 1000;

    /// Takes from a request's labels and annotations what it passes on.
    pub fn take(&self, labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Propagated {
        let take = |keys: &[MetadataKey], all: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let entry = |key: &MetadataKey| all.get_key_value(key.as_str());
            keys.iter().filter_map(entry).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        Propagated { labels: take(&self.labels, labels), annotations: take(&self.annotations, annotations) }
    }

    /// Every annotation of an object that is passed on and too long for that.
    pub fn check(&self, object: &Node) -> Vec<Violation> {
        let annotations = object.at("metadata.annotations");
        let value = |key: &MetadataKey| annotations?.get(key.as_str()).map(|value| (key.clone(), value));
        let values = self.annotations.iter().filter_map(value);
        let too_long = values.filter(|(_, value)| value.as_str().is_some_and(|text| text.len() > Self::MAX));
        too_long
            .map(|(key, value)| {
                Refusal::new("length", format!("has more than {} bytes, and all that is made gets it", Self::MAX))
                    .help(format!("use at most {}", Self::MAX))
                    .at(format!("metadata.annotations.{key}"), Some(value.span))
            })
            .collect()
    }
}

/// Tells the files of the catalog that requests have: none of them can be its index.
pub type IsGenerated = fn(&RelativePath) -> bool;

/// When a step gives up, and asks to be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After so long.
    pub deadline: Duration,
    /// One call to a server, after so long.
    pub call: Duration,
    /// After so many tries that failed for something that may pass, lost races not counted.
    pub retries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gitea_url: "https://gitea.example.com".to_owned(),
            insecure: false,
            group_prefix: GroupPrefix::default(),
            defaults: Defaults::default(),
            network: Network::default(),
            platform: Platform::default(),
            state_stores: BTreeMap::new(),
            prune_namespaces: false,
            author: Author::default(),
            trailers: Vec::new(),
            catalog_index: RelativePath::parse(INDEX).expect("a constant"),
            repositories: BTreeMap::new(),
            state_owner: None,
            review: None,
            propagate: Propagate::default(),
            patience: Patience::default(),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(60), call: Duration::from_secs(20), retries: 5 }
    }
}

/// What every Team's namespace may reach, and be reached by, beside Teams.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Network {
    /// The port of the cluster's DNS, as Pods see it.
    pub dns_port: u16,
    /// The namespace of the cluster's DNS; any, where none is named.
    pub dns_namespace: Option<NamespaceName>,
    /// The namespaces that may connect to every Team's, as that of an ingress controller.
    pub allow_from: Vec<NamespaceName>,
    /// The addresses beyond the cluster that every Team may connect to.
    pub allow_to: Vec<Addresses>,
}

impl Default for Network {
    fn default() -> Self {
        Self { dns_port: 53, dns_namespace: None, allow_from: Vec::new(), allow_to: Vec::new() }
    }
}

/// What a request gets that does not say.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The domain of a Team's mail address.
    pub email_domain: Domain,
    /// The quota of a namespace.
    pub quota: QuotaDefaults,
    /// What a container gets, as far as the quota goes.
    pub containers: ContainerDefaults,
}

/// What a container gets that does not say.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ContainerDefaults {
    /// The most that it may use.
    pub limits: Resources,
    /// What is kept for it.
    pub requests: Resources,
}

/// Processors and memory.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Resources {
    /// Processors.
    pub cpu: Cpu,
    /// Bytes of memory.
    pub memory: Bytes,
}

impl Default for ContainerDefaults {
    fn default() -> Self {
        let resources = |cpu, memory| Resources {
            cpu: Cpu::parse_text(cpu).expect("a constant"),
            memory: Bytes::parse_text(memory).expect("a constant"),
        };
        Self { limits: resources("500m", "256Mi"), requests: resources("50m", "128Mi") }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            email_domain: Domain::parse("example.com").expect("a constant"),
            quota: QuotaDefaults::default(),
            containers: ContainerDefaults::default(),
        }
    }
}

/// The quota of a namespace.
#[derive(Clone, Debug)]
pub struct QuotaDefaults {
    /// Processors.
    pub cpu: Cpu,
    /// Bytes of memory.
    pub memory: Bytes,
    /// Bytes of persistent storage.
    pub storage: Bytes,
    /// Pods.
    pub pods: Count,
}

impl Default for QuotaDefaults {
    fn default() -> Self {
        let amount = |text| Bytes::parse_text(text).expect("a constant");
        Self {
            cpu: Cpu::parse_text("4").expect("a constant"),
            memory: amount("8Gi"),
            storage: amount("20Gi"),
            pods: Count::new(50),
        }
    }
}

/// A repository to deliver to.
#[derive(Clone, Debug)]
pub enum Remote {
    /// Any git repository.
    Git(GitRemote),
    /// One in Gitea.
    Gitea(GiteaRemote),
}

/// Any git repository.
#[derive(Clone, Debug)]
pub struct GitRemote {
    /// Where it is.
    pub url: Location,
    /// The branch that is written.
    pub branch: BranchName,
    /// Who signs in, for https; most servers take any name beside a token.
    pub username: Username,
    /// What holds the token, for https.
    pub token: Option<NamedFile>,
}

/// A repository in Gitea.
#[derive(Clone, Debug)]
pub struct GiteaRemote {
    /// Gitea's address, as [`Config::gitea_url`].
    pub server: String,
    /// What holds the certificate authority that signed its certificate, where that is no public one.
    pub authority: Option<NamedFile>,
    /// What holds the token.
    pub token: NamedFile,
    /// The organisation or user.
    pub owner: Username,
    /// The repository.
    pub name: RepositoryName,
    /// The branch that holds what is true.
    pub branch: BranchName,
    /// How changes reach it.
    pub delivery: Delivery,
    /// Whether to make the repository, and its organisation, where it is missing.
    pub create: bool,
    /// The labels of a pull request.
    pub labels: Vec<Label>,
    /// Who is asked to review a pull request.
    pub reviewers: Vec<Username>,
    /// Which teams of the organisation are.
    pub team_reviewers: Vec<Username>,
}

/// The configuration as steps take it: one that cannot be used is an answer, which the request's status tells.
pub type Loaded<'a> = Result<&'a Config, &'a anyhow::Error>;

/// How changes reach a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As a commit.
    Commit,
    /// As a pull request, for a person to merge.
    PullRequest,
}

impl Delivery {
    const ALL: [(&'static str, Self); 2] = [("commit", Self::Commit), ("pull-request", Self::PullRequest)];

    /// What is usual for a repository: entities are shown, root modules are reviewed.
    const fn of(role: Role) -> Self {
        if role.is_reviewed() { Self::PullRequest } else { Self::Commit }
    }
}

/// Where a git repository is: a path, or a URL with `file://` or `https://`; without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A bare repository on this machine.
    Path(PathBuf),
    /// One behind https: the whole URL.
    Https(String),
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
        Self::Git(GitRemote {
            url: Location::Path(path.to_owned()),
            branch: BranchName::default(),
            username: default_username(),
            token: None,
        })
    }
}

impl fmt::Display for Remote {
    /// The repository as people name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(git) => git.url.fmt(f),
            Self::Gitea(gitea) => gitea.fmt(f),
        }
    }
}

impl fmt::Display for GiteaRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.server, self.owner, self.name)
    }
}

fn default_username() -> Username {
    Username::parse("goldpath").expect("a constant")
}

/// A file that the configuration names: beside it, or a key of the Secret or ConfigMap that it
/// came with. Its content is in no `Debug`.
#[derive(Clone)]
pub struct NamedFile {
    name: String,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Path(PathBuf),
    Key(Arc<[u8]>),
    SecretKey(Arc<ServiceAccount>),
    Variable,
}

impl NamedFile {
    /// The name in the configuration, as `policy/example.rego`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the file holds now.
    ///
    /// # Errors
    /// A file or key that is not there or cannot be read.
    pub fn read(&self) -> Result<Vec<u8>> {
        match &self.place {
            Place::Path(path) => fs::read(path).with_context(|| format!("cannot read {}", path.display())),
            Place::Key(content) => Ok(content.to_vec()),
            Place::Variable => Ok(std::env::var_os(&self.name).unwrap_or_default().into_encoded_bytes()),
            Place::SecretKey(account) => account.secret()?.remove(&self.name).with_context(|| {
                format!("the Secret `goldpath-gitea` in the namespace `goldpath-system` has no key `{}`", self.name)
            }),
        }
    }
}

impl NamedFile {
    /// A file that no configuration names.
    pub fn at(path: &Path) -> Self {
        Self { name: path.display().to_string(), place: Place::Path(path.to_owned()) }
    }

    /// What stands in an environment variable instead of a file; none where it is not set.
    pub fn variable(name: &str) -> Option<Self> {
        std::env::var_os(name)?;
        Some(Self { name: name.to_owned(), place: Place::Variable })
    }
}

impl fmt::Display for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Path(path) => write!(f, "{}", path.display()),
            Place::Variable => write!(f, "the environment variable {}", self.name),
            Place::Key(_) => write!(f, "key `{}` of the ConfigMap `goldpath`", self.name),
            Place::SecretKey(_) => write!(f, "key `{}` of the Secret `goldpath-gitea`", self.name),
        }
    }
}

impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedFile({self})")
    }
}

/// Where a configuration comes from, and so the files that it names.
enum Source {
    /// A file; others are relative to its folder.
    Folder(PathBuf),
    /// The ConfigMap, with what it holds, and the Secret beside it.
    Cluster { account: Arc<ServiceAccount>, map: BTreeMap<String, Vec<u8>> },
}

impl Source {
    /// A file that holds a secret.
    fn secret(&self, name: &str) -> NamedFile {
        let place = match self {
            Self::Cluster { account, .. } if !name.starts_with('/') => Place::SecretKey(account.clone()),
            _ => Place::Path(self.path(name)),
        };
        NamedFile { name: name.to_owned(), place }
    }

    /// A file that holds none; nothing where the ConfigMap has no such key.
    fn plain(&self, name: &str) -> Option<NamedFile> {
        let place = match self {
            Self::Cluster { map, .. } if !name.starts_with('/') => Place::Key(map.get(name)?.as_slice().into()),
            _ => Place::Path(self.path(name)),
        };
        Some(NamedFile { name: name.to_owned(), place })
    }

    fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(name),
            Self::Cluster { .. } => PathBuf::from(name),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the configuration {name} is wrong: {}", .fault.in_one_line())]
pub struct Unusable {
    /// Where it is.
    pub name: String,
    /// Its text.
    pub text: Vec<u8>,
    /// What is wrong with it.
    pub fault: Box<Faulty>,
}

/// What is wrong with a configuration.
#[derive(Debug)]
pub enum Faulty {
    /// It is no YAML that we take.
    Unreadable(Unreadable),
    /// Every fault of what it says.
    Wrong(Vec<Violation>),
}

impl Faulty {
    fn in_one_line(&self) -> String {
        match self {
            Self::Unreadable(fault) => fault.to_string(),
            Self::Wrong(violations) => {
                let line = |v: &Violation| match v.span {
                    Some(span) => format!("{} (line {})", v.sentence(), span.line),
                    None => v.sentence(),
                };
                told(violations).iter().map(line).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

impl Config {
    /// The accounts that it names: users and organisations that the platform trusts, and that are no Team's.
    pub fn accounts(&self) -> impl Iterator<Item = &Username> {
        let remotes = self.repositories.values().flat_map(|remote| match remote {
            Remote::Gitea(gitea) => Some(&gitea.owner).into_iter().chain(&gitea.reviewers),
            // Nobody signs in at a path.
            Remote::Git(git) => matches!(git.url, Location::Https(_)).then_some(&git.username).into_iter().chain(&[]),
        });
        let review = self.review.iter().flat_map(|r| [&r.user, &r.repository.0].into_iter().chain(&r.owners));
        remotes.chain(&self.state_owner).chain(review)
    }

    /// Reads the file at `path`; without one, the file at its usual place if there is one; else,
    /// with the service account of a step, the ConfigMap; else the built-in values.
    ///
    /// # Errors
    /// [`Unusable`] for what is not right, with its lines; a file that was named and is not there;
    /// a ConfigMap that is not there or may not be read.
    pub fn load(path: Option<&Path>, account: Option<ServiceAccount>, is_generated: IsGenerated) -> Result<Self> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        match (fs::read(file), account) {
            (Ok(text), _) => {
                let folder = file.parent().unwrap_or(Path::new("")).to_owned();
                Ok(Self::parse(&file.display().to_string(), text, &Source::Folder(folder), is_generated)?)
            }
            (Err(error), Some(account)) if error.kind() == ErrorKind::NotFound && path.is_none() => {
                let map = account.config_map()?;
                let text = map.get(KEY).cloned().with_context(|| {
                    format!("the ConfigMap `goldpath` in the namespace `goldpath-system` has no key `{KEY}`")
                })?;
                let source = Source::Cluster { account: Arc::new(account), map };
                Ok(Self::parse("in the ConfigMap `goldpath-system/goldpath`", text, &source, is_generated)?)
            }
            (Err(error), None) if error.kind() == ErrorKind::NotFound && path.is_none() => Ok(Self::default()),
            (Err(error), _) => Err(error).with_context(|| format!("cannot read the configuration {}", file.display())),
        }
    }

    fn parse(name: &str, text: Vec<u8>, source: &Source, is_generated: IsGenerated) -> Result<Self, Unusable> {
        read::read(&text, source, is_generated).map_err(|fault| Unusable {
            name: name.to_owned(),
            text,
            fault: Box::new(fault),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn parse(text: &str) -> Result<Config, Unusable> {
        Config::parse("config.yaml", text.as_bytes().to_vec(), &Source::Folder("/etc/goldpath".into()), |path| {
            path.as_str().starts_with("teams/")
        })
    }

    fn with_review(text: &str) -> Result<Config, Unusable> {
        parse(&format!(
            "{text}\nstate: {{owner: states}}\ngitea: {{url: 'https://git.company.com/', tokenFile: token}}\n\
             repositories: {{infrastructure: {{owner: platform, name: i}}}}"
        ))
    }

    fn gitea(config: &Config, role: Role) -> &GiteaRemote {
        match &config.repositories[&role] {
            Remote::Gitea(remote) => remote,
            Remote::Git(_) => panic!("not in Gitea"),
        }
    }

    #[test]
    fn what_the_file_leaves_out_is_built_in() {
        let config = parse(
            "defaults: {emailDomain: company.com, quota: {cpu: '9'}}\n\
             gitea: {url: 'https://git.company.com/', tokenFile: token}\n\
             repositories: {catalog: {owner: platform, name: c}, infrastructure: {owner: platform, name: i}}",
        )
        .unwrap();
        assert_eq!(config.defaults.email_domain.as_str(), "company.com");
        assert_eq!(config.defaults.quota.memory, Bytes::parse_text("8Gi").unwrap());
        assert_eq!(config.patience, Patience::default());
        let catalog = gitea(&config, Role::Catalog);
        assert_eq!(catalog.to_string(), "https://git.company.com/platform/c");
        assert_eq!((catalog.branch.as_str(), catalog.delivery), ("main", Delivery::Commit));
        assert_eq!(catalog.token.to_string(), "/etc/goldpath/token");
        assert_eq!(gitea(&config, Role::Infrastructure).delivery, Delivery::PullRequest);
        assert!(!catalog.create);
    }

    #[test]
    fn the_example_is_right_and_shows_the_built_in_values() {
        let (example, built_in) = (parse(include_str!("../config.example.yaml")).unwrap(), Config::default());
        assert_eq!(example.repositories.len(), 2);
        let shown = |config: &Config| {
            let Config {
                gitea_url,
                insecure,
                group_prefix,
                defaults,
                network,
                author,
                trailers,
                catalog_index,
                propagate,
                patience,
                ..
            } = config;
            format!(
                "{gitea_url} {insecure} {group_prefix} {defaults:?} {network:?} {author:?} {trailers:?} {catalog_index} \
                 {propagate:?} {patience:?}"
            )
        };
        assert_eq!(shown(&example), shown(&built_in));
        let least = "review: {user: goldpath-review, repository: {owner: platform, name: review}}";
        assert_eq!(
            format!("{:?}", example.review.unwrap()),
            format!("{:?}", with_review(least).unwrap().review.unwrap())
        );
    }

    #[test]
    fn the_config_map_that_is_applied_is_right() {
        let map: serde_json::Value = serde_yaml::from_str(include_str!("../manifests/platform/config.yaml")).unwrap();
        assert_eq!(parse(map["data"]["config.yaml"].as_str().unwrap()).unwrap().repositories.len(), 2);
    }

    #[test]
    fn every_account_that_the_file_names_is_the_platforms() {
        let config = parse(
            "gitea: {url: 'https://git.company.com', tokenFile: token}\nstate: {owner: states}\n\
             repositories:\n  catalog: {url: 'https://git.company.com/c.git', username: writer}\n  \
             infrastructure: {owner: platform, name: i, reviewers: [ada], teamReviewers: [reviewers]}\n\
             review: {user: robot, repository: {owner: control, name: r}, owners: [grace]}",
        )
        .unwrap();
        let names: Vec<_> = config.accounts().map(Username::as_str).collect();
        assert_eq!(names, ["writer", "platform", "ada", "states", "robot", "control", "grace"]);
        let on_this_machine = Config {
            repositories: BTreeMap::from([(Role::Catalog, Remote::at(Path::new("/c")))]),
            ..Config::default()
        };
        assert_eq!(on_this_machine.accounts().count(), 0);
    }

    #[test]
    fn a_token_goes_in_the_clear_to_this_machine_alone() {
        let url = |text: &str, insecure: &str| {
            let result = parse(&format!("gitea: {{url: '{text}'{insecure}}}"));
            result.map(|config| config.gitea_url).map_err(|error| error.to_string())
        };
        for good in [
            "https://gitea.example.com",
            "http://localhost:3000",
            "http://LOCALHOST",
            "http://127.0.0.1:3000/git",
            "http://127.8.9.10",
            "http://127.1",
            "http://2130706433",
            "http://[::1]:3000",
        ] {
            assert!(url(good, "").is_ok(), "{good}: {:?}", url(good, ""));
        }
        for bad in [
            "http://gitea.example.com",
            "http://127.evil.example",
            "http://127.0.0.1.nip.io",
            "http://localhost.",
            "http://localhost.evil.example",
            "http://127.0.0.1@evil.example",
            "http://localhost:80@evil.example",
            "http://evil.example\\\\@127.0.0.1",
            "http://[::2]",
            "http://[::ffff:10.0.0.1]",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "HTTP://evil.example",
            "http:evil.example",
        ] {
            let error = url(bad, "").unwrap_err();
            assert!(error.contains("`gitea.url` would send the token in the clear"), "{bad}: {error}");
            assert!(url(bad, ", insecure: false").is_err(), "{bad}");
        }
        assert_eq!(url("http://gitea.internal:3000/", ", insecure: true").unwrap(), "http://gitea.internal:3000");
        for never in ["http://u:p@gitea.internal", "ftp://localhost", "localhost"] {
            assert!(url(never, ", insecure: true").is_err(), "{never}");
        }
        for location in ["http://127.0.0.1/x.git", "HTTPS://h/x.git", "git://h/x", "https://u@h/x"] {
            let error = parse(&format!("repositories: {{catalog: {{url: '{location}'}}}}")).unwrap_err();
            assert_eq!(places(&error), [("repositories.catalog.url", "url", Some(1))], "{location}");
        }
        let backend = |address: &str, more: &str| {
            parse(&format!(
                "gitea: {{url: 'https://g.example', tokenFile: t{more}}}\nstate: {{owner: s}}\n\
                 repositories: {{infrastructure: {{owner: p, name: i}}}}\nreview: {{user: r, repository: {{owner: o, name: control}}, \
                 terraform: {{backend: {{type: http, settings: {{address: '{address}/{{state}}'}}}}}}}}"
            ))
        };
        backend("https://states.example", "").unwrap();
        backend("http://localhost:1", "").unwrap();
        backend("http://states.example", ", insecure: true").unwrap();
        let error = backend("http://127.states.example", "").unwrap_err();
        assert_eq!(places(&error), [("review.terraform.backend.settings", "url", Some(4))]);
    }

    #[test]
    fn addresses_are_networks_and_the_platforms_own_are_named() {
        let network = |text: &str| parse(&format!("network: {text}"));
        let read = network(
            "{dns: {port: 5353, namespace: openshift-dns}, allowFrom: [ingress-nginx], allowTo: [10.0.0.0/8, 'fd00::/8', 0.0.0.0/0]}",
        );
        let Network { dns_port, dns_namespace, allow_from, allow_to } = read.unwrap().network;
        assert_eq!((dns_port, dns_namespace.unwrap().as_str()), (5353, "openshift-dns"));
        assert_eq!(allow_from[0].as_str(), "ingress-nginx");
        assert_eq!(allow_to.iter().map(Addresses::as_str).collect::<Vec<_>>(), ["10.0.0.0/8", "fd00::/8", "0.0.0.0/0"]);
        for bad in
            ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "fd00::1/8", "10.0.0.0/-1", "10.0.0.0/08", "a/8", "fd00::/8 "]
        {
            let error = network(&format!("{{allowTo: ['{bad}']}}")).unwrap_err();
            assert_eq!(places(&error), [("network.allowTo[0]", "addresses", Some(1))], "{bad}");
        }
        let error = network("{dns: {port: 0}, allowFrom: [A]}").unwrap_err();
        assert_eq!(places(&error).len(), 2, "{error}");
    }

    #[test]
    fn every_slip_in_the_file_is_shown_with_its_place() {
        let error = parse(
            "defaults:\n  emailDomian: company.com\ndeadlineSeconds: 0\ngitea: {url: 'http://git.company.com'}\n\
             repositories:\n  catalog: {name: x}\n  infrastructure: {url: 'https://u:s3cret@h/x', owner: a}\n\
             trailers: {Signed off: x}\n",
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("s3cret"), "{text}");
        assert_eq!(
            places(&error),
            [
                ("defaults.emailDomian", "unknown-field", Some(2)),
                ("deadlineSeconds", "range", Some(3)),
                ("gitea.url", "url", Some(4)),
                ("repositories.catalog.owner", "required", Some(6)),
                ("gitea.tokenFile", "required", Some(6)),
                ("repositories.infrastructure.url", "url", Some(7)),
                ("repositories.infrastructure.owner", "unknown-field", Some(7)),
                ("trailers", "trailer", Some(8)),
            ]
        );
    }

    #[test]
    fn something_is_committed_before_manifests_go_out() {
        let with = |catalog: &str, infrastructure: &str| {
            parse(&format!(
                "gitea: {{url: 'https://git.company.com/', tokenFile: token}}\nrepositories:\n  catalog: {catalog}\n  \
                 infrastructure: {infrastructure}"
            ))
        };
        let [commit, proposal, usual] = ["{delivery: commit, ", "{delivery: pull-request, ", "{"]
            .map(|start| format!("{start}owner: platform, name: x}}"));
        let git = "{url: /x.git}";
        for infrastructure in [&proposal, &usual] {
            let error = with(&proposal, infrastructure).unwrap_err();
            assert_eq!(places(&error), [("repositories.catalog.delivery", "unclaimed", Some(3))]);
        }
        for (catalog, infrastructure) in
            [(&*usual, &*usual), (&commit, &proposal), (&proposal, &commit), (&proposal, git), (git, &proposal)]
        {
            with(catalog, infrastructure).unwrap();
        }
        // What reviews alone delivers nothing.
        with("null", &proposal).unwrap();
    }

    fn places(error: &Unusable) -> Vec<(&str, &str, Option<usize>)> {
        let Faulty::Wrong(faults) = &*error.fault else { panic!("{error}") };
        faults.iter().map(|f| (f.path.as_str(), f.rule, f.span.map(|s| s.line))).collect()
    }

    #[test]
    fn every_slip_about_reviews_is_shown_with_its_place() {
        let error = parse(
            "review:\n  user: a b\n  owners: [a, 'b c']\n  parallel: 65\n  approvals: {required: maybe, maxAgeDays: 0}\n  \
             terraform:\n    timeoutSeconds: 9\n    environment: [PG_CONN_STR, TF_CLI_ARGS_plan, PATH, lower]\n    \
             backend: {type: pg, settings: {schema_name: shared}}\n  \
             policy:\n    providers: [gitea]\n    resources: ['*']\n    \
             waivers: [{rule: visibility, module: /, until: soon}, {rule: root-module, module: a, reason: x}]\n",
        )
        .unwrap_err();
        assert_eq!(
            places(&error),
            [
                ("review.repository", "required", Some(2)),
                ("repositories.infrastructure", "required", Some(2)),
                ("review.user", "pattern", Some(2)),
                ("review.owners[1]", "pattern", Some(3)),
                ("review.parallel", "range", Some(4)),
                ("review.approvals.required", "type", Some(5)),
                ("review.approvals.maxAgeDays", "range", Some(5)),
                ("review.terraform.timeoutSeconds", "range", Some(7)),
                ("review.terraform.environment[1]", "environment", Some(8)),
                ("review.terraform.environment[2]", "environment", Some(8)),
                ("review.terraform.environment[3]", "environment", Some(8)),
                ("review.terraform.backend.settings", "backend", Some(9)),
                ("review.policy.providers[0]", "provider", Some(11)),
                ("review.policy.resources[0]", "resource-type", Some(12)),
                ("review.policy.waivers[0].reason", "required", Some(13)),
                ("review.policy.waivers[0].module", "root-module", Some(13)),
                ("review.policy.waivers[0].until", "time", Some(13)),
                ("review.policy.waivers[1].rule", "waiver", Some(13)),
            ]
        );
    }

    #[test]
    fn what_a_review_is_told_is_read() {
        let review = with_review(
            "review:\n  user: r\n  repository: {owner: o, name: control}\n  owners: [alice]\n  approvals: {maxAgeDays: 2}\n  \
             terraform: {lockFile: .terraform.lock.hcl, backend: {type: pg, settings: {schema_name: 'g_{state}'}}}\n  \
             policy:\n    publicVisibility: false\n    resources: ['gitea_*']\n    rules: [policy/example.rego]\n    waivers:\n    \
             - {rule: visibility, module: teams/alpha, until: 2027-01-31, reason: open source}\n    \
             - {rule: destroy, module: teams/beta, until: '2027-01-31T12:00:00+01:00', reason: moved}",
        )
        .unwrap()
        .review
        .unwrap();
        assert_eq!((review.needs_approval, review.approval_age), (true, Duration::from_secs(2 * 24 * 3600)));
        let settings = vec![("schema_name".to_owned(), "g_{state}".to_owned())];
        assert_eq!(review.terraform.backend, crate::config::review::Backend::Other { kind: "pg".to_owned(), settings });
        assert_eq!(review.terraform.lock_file.unwrap().to_string(), "/etc/goldpath/.terraform.lock.hcl");
        assert_eq!((review.policy.public, review.policy.providers), (false, vec!["go-gitea/gitea".to_owned()]));
        assert_eq!(review.policy.rules[0].name(), "policy/example.rego");
        let until: Vec<_> = review.policy.waivers.iter().map(|w| w.until.unwrap().to_string()).collect();
        assert_eq!(until, ["2027-01-31T23:59:59Z", "2027-01-31T11:00:00Z"]);
    }

    #[test]
    fn states_in_gitea_need_their_organisation() {
        let review = "review: {user: r, repository: {owner: o, name: control}";
        let rest =
            "gitea: {url: 'https://g.example', tokenFile: t}\nrepositories: {infrastructure: {owner: p, name: i}}";
        let error = parse(&format!("{review}}}\n{rest}")).unwrap_err();
        assert_eq!(places(&error), [("state.owner", "required", Some(1))]);
        let backend = "terraform: {backend: {type: pg, settings: {schema_name: 'g_{state}'}}}";
        parse(&format!("{review}, {backend}}}\n{rest}")).unwrap();
    }

    #[test]
    fn a_configuration_that_was_named_must_be_there() {
        assert!(Config::load(Some(Path::new("/nowhere")), None, |_| false).is_err());
    }
}
