//! Reads the configuration, as a request is read: every fault at once, with its place.

use super::{
    Config, ContainerDefaults, Defaults, Delivery, Faulty, GitRemote, GiteaRemote, IsGenerated, Location, NamedFile,
    Network, Patience, Platform, Propagate, QuotaDefaults, Remote, Resources, Source, StateStore, default_username,
};
use crate::config::review::Backend;
use crate::document::{self, Node, Value};
use crate::fields::{self, Fields, one_of, wrong_type};
use crate::file_tree::RelativePath;
use crate::names::{
    Addresses, BranchName, DisplayName, Domain, Email, GroupPrefix, Label, MetadataKey, NamespaceName, RepositoryName,
    SubdomainName, TeamId, Username,
};
use crate::outcome::Author;
use crate::outputs::Role;
use crate::quantity::{Bytes, Count, Cpu};
use crate::text::{is_deceptive, quote};
use crate::violation::Refusal;
use regex::Regex;
use reqwest::Url;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

/// How to reach Gitea.
#[derive(Default)]
struct Server {
    url: Option<String>,
    insecure: bool,
    /// Whether there is a URL, right or wrong.
    named: bool,
    authority: Option<NamedFile>,
    token: Option<NamedFile>,
}

/// Reads a configuration, whose files are found by `source`.
///
/// # Errors
/// Every fault of it.
pub fn read(text: &[u8], source: &Source, is_generated: IsGenerated) -> Result<Config, Faulty> {
    let documents = document::parse(text).map_err(Faulty::Unreadable)?;
    let root = match documents.as_slice() {
        [] => return Ok(Config::default()),
        [root] => root,
        [_, second, ..] => {
            let refusal = Refusal::new("documents", "it holds several documents").help("remove all but the first");
            return Err(Faulty::Wrong(vec![refusal.at("", Some(second.span))]));
        }
    };
    let mut faults = Vec::new();
    let config = fields::read(root, "", &mut faults, |config| {
        let server = config.object("gitea", |gitea| Some(read_server(gitea, source))).unwrap_or_default();
        let group_prefix = config.object("access", |access| access.optional("groupPrefix", GroupPrefix::parse));
        let defaults = config.object("defaults", |defaults| Some(read_defaults(defaults)));
        let network = config.object("network", |network| Some(read_network(network)));
        let platform = config.object("platform", |platform| {
            let usual = Platform::default();
            Some(Platform {
                namespace: platform.optional("namespace", NamespaceName::parse).unwrap_or(usual.namespace),
                owner: platform.optional("owner", TeamId::parse).unwrap_or(usual.owner),
                flux_namespace: platform
                    .optional("fluxNamespace", NamespaceName::parse)
                    .unwrap_or(usual.flux_namespace),
            })
        });
        let state_stores = config.objects("stateStores", 100, read_store).into_iter().collect();
        let prune_namespaces = config.object("applications", |all| all.value("pruneNamespaces", parse_bool));
        let propagate = config.object("propagate", |propagate| {
            let labels = propagate.texts("labels", 20, |key| MetadataKey::parse(key)?.free());
            let annotations = propagate.texts("annotations", 20, |key| MetadataKey::parse_annotation(key)?.free());
            Some(Propagate { labels, annotations })
        });
        let author = config.object("author", |author| {
            let name = author.required("name", DisplayName::parse);
            let email = author.required("email", Email::parse);
            Some(Author { name: name?, email: email? })
        });
        let trailers = config.value("trailers", read_trailers);
        let catalog_index =
            config.object("catalog", |catalog| catalog.optional("index", |text| parse_index(text, is_generated)));
        let mut has_infrastructure = false;
        let repositories = config.object("repositories", |repositories| {
            has_infrastructure = repositories.has(Role::Infrastructure.as_str());
            let mut remotes = BTreeMap::new();
            for role in Role::ALL {
                let remote = repositories.object(role.as_str(), |remote| read_remote(remote, role, &server, source));
                remotes.extend(remote.map(|remote| (role, remote)));
            }
            if Role::ALL.iter().all(|role| remotes.get(role).is_some_and(is_proposed)) {
                repositories.fault("repositories.catalog.delivery".to_owned(), nothing_is_claimed());
            }
            Some(remotes)
        });
        let state_owner = config.object("state", |state| state.required("owner", Username::parse));
        let review = config.object("review", |review| {
            let settings = super::review::read(review, source, server.insecure);
            let refuse =
                |what: &str, help: &str| Refusal::new("required", format!("{what}: `review` needs it")).help(help);
            let infrastructure = repositories.as_ref().and_then(|r| r.get(&Role::Infrastructure));
            if !has_infrastructure || matches!(infrastructure, Some(Remote::Git(_))) {
                let refusal = refuse("is not in Gitea", "name its `owner` and `name`");
                review.fault("repositories.infrastructure".to_owned(), refusal);
            }
            if state_owner.is_none() && settings.as_ref().is_some_and(|s| s.terraform.backend == Backend::Gitea) {
                review.fault("state.owner".to_owned(), refuse("is missing", "add it, or `review.terraform.backend`"));
            }
            settings
        });
        let usual = Patience::default();
        let seconds = |number: Option<u64>, usual| number.map_or(usual, Duration::from_secs);
        let patience = Patience {
            deadline: seconds(config.value("deadlineSeconds", |node| within(node, 1, 3600)), usual.deadline),
            call: seconds(config.value("callSeconds", |node| within(node, 1, 600)), usual.call),
            retries: config.value("retries", |node| within(node, 0, 100)).map_or(usual.retries, |n| n as u32),
        };
        let built_in = Config::default();
        Some(Config {
            gitea_url: server.url.unwrap_or(built_in.gitea_url),
            insecure: server.insecure,
            group_prefix: group_prefix.unwrap_or_default(),
            defaults: defaults.unwrap_or_default(),
            network: network.unwrap_or_default(),
            platform: platform.unwrap_or_default(),
            state_stores,
            prune_namespaces: prune_namespaces.unwrap_or_default(),
            author: author.unwrap_or_default(),
            trailers: trailers.unwrap_or_default(),
            catalog_index: catalog_index.unwrap_or(built_in.catalog_index),
            repositories: repositories.unwrap_or_default(),
            state_owner,
            review,
            propagate: propagate.unwrap_or_default(),
            patience,
        })
    });
    config.filter(|_| faults.is_empty()).ok_or(Faulty::Wrong(faults))
}

/// The path of the catalog's index, which no request has and which is not hidden.
fn parse_index(text: &str, is_generated: IsGenerated) -> Result<RelativePath, Refusal> {
    match RelativePath::parse(text) {
        Ok(path) if path.is_yaml() && !path.is_hidden() && !is_generated(&path) => Ok(path),
        _ => Err(Refusal::new("index", format!("{} is no path for the index", quote(text)))
            .help("write the path of a YAML file in the repository, as `catalog-info.yaml` or `goldpath/index.yaml`")),
    }
}

fn read_server(gitea: &mut Fields<'_, '_>, source: &Source) -> Server {
    let insecure = gitea.value("insecure", parse_bool).unwrap_or_default();
    Server {
        named: gitea.has("url"),
        insecure,
        url: gitea.required("url", |text| parse_server(text, insecure)),
        authority: gitea.optional("caFile", |name| {
            source.plain(parse_file(name)?).ok_or_else(|| {
                Refusal::new("file", format!("{} is no key of the ConfigMap", quote(name))).help("add the key")
            })
        }),
        token: gitea.optional("tokenFile", |name| Ok(source.secret(parse_file(name)?))),
    }
}

fn read_network(network: &mut Fields<'_, '_>) -> Network {
    let usual = Network::default();
    let dns = network.object("dns", |dns| {
        let port = dns.value("port", |node| within(node, 1, 65_535));
        Some((port, dns.optional("namespace", NamespaceName::parse)))
    });
    let (port, namespace) = dns.unwrap_or_default();
    Network {
        dns_port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(usual.dns_port),
        dns_namespace: namespace,
        allow_from: network.texts("allowFrom", 100, NamespaceName::parse),
        allow_to: network.texts("allowTo", 100, Addresses::parse),
    }
}

/// A store of Kratix's, by its name.
fn read_store(store: &mut Fields<'_, '_>) -> Option<(String, StateStore)> {
    let name = store.required("name", SubdomainName::parse);
    let path = store.optional("path", |text| match text.trim_matches('/') {
        "" => Ok(String::new()),
        path => RelativePath::parse(path).map(String::from).map_err(|error| Refusal::new("path", format!("{error:#}"))),
    });
    let (path, secret) = (path.unwrap_or_default(), store.optional("secret", SubdomainName::parse));
    let parsed = if store.has("bucketName") {
        let bucket_name = store.required("bucketName", SubdomainName::parse);
        let endpoint = store.required("endpoint", |text| Ok(quote(text).trim_matches('`').to_owned()));
        let insecure = store.value("insecure", parse_bool).unwrap_or_default();
        StateStore::Bucket { bucket_name: bucket_name?, endpoint: endpoint?, insecure, path, secret }
    } else {
        let url = store.required("url", |text| match Url::parse(text) {
            Ok(url) if url.password().is_none() && matches!(url.scheme(), "https" | "http" | "ssh") => Ok(url.into()),
            _ => Err(Refusal::new("url", format!("{} is no address of a git repository", quote(text)))
                .help("write it as in `https://git.example.com/platform/state.git`, without a password")),
        });
        let branch = store.optional("branch", BranchName::parse).unwrap_or_default();
        StateStore::Git { url: url?, branch, path, secret }
    };
    Some((name?.into(), parsed))
}

fn read_defaults(defaults: &mut Fields<'_, '_>) -> Defaults {
    let built_in = Defaults::default();
    let quota = defaults.object("quota", |quota| {
        let QuotaDefaults { cpu, memory, storage, pods } = QuotaDefaults::default();
        Some(QuotaDefaults {
            cpu: quota.value("cpu", Cpu::parse).unwrap_or(cpu),
            memory: quota.value("memory", Bytes::parse).unwrap_or(memory),
            storage: quota.value("storage", Bytes::parse).unwrap_or(storage),
            pods: quota.value("pods", Count::parse).unwrap_or(pods),
        })
    });
    let containers = defaults.object("containers", |containers| {
        let ContainerDefaults { limits, requests } = ContainerDefaults::default();
        let mut read = |name, usual: Resources| {
            let given = containers.object(name, |resources| {
                let cpu = resources.value("cpu", Cpu::parse).unwrap_or_else(|| usual.cpu.clone());
                let memory = resources.value("memory", Bytes::parse).unwrap_or_else(|| usual.memory.clone());
                Some(Resources { cpu, memory })
            });
            given.unwrap_or(usual)
        };
        Some(ContainerDefaults { limits: read("limits", limits), requests: read("requests", requests) })
    });
    Defaults {
        email_domain: defaults.optional("emailDomain", Domain::parse).unwrap_or(built_in.email_domain),
        quota: quota.unwrap_or_default(),
        containers: containers.unwrap_or_default(),
    }
}

fn read_remote(remote: &mut Fields<'_, '_>, role: Role, server: &Server, source: &Source) -> Option<Remote> {
    let token = remote.optional("tokenFile", |name| Ok(source.secret(parse_file(name)?)));
    let branch = remote.optional("branch", BranchName::parse).unwrap_or_default();
    if remote.has("url") {
        let url = remote.required("url", parse_location);
        let username = remote.optional("username", Username::parse).unwrap_or_else(default_username);
        return Some(Remote::Git(GitRemote { url: url?, branch, username, token }));
    }
    let owner = remote.required("owner", Username::parse);
    let name = remote.required("name", RepositoryName::parse);
    let delivery = remote.optional("delivery", |text| one_of(text, &Delivery::ALL));
    let create = remote.value("create", parse_bool);
    let labels = remote.texts("labels", 20, Label::parse);
    let reviewers = remote.texts("reviewers", 20, Username::parse);
    let team_reviewers = remote.texts("teamReviewers", 20, Username::parse);
    for (name, missing) in [("url", !server.named), ("tokenFile", token.is_none() && server.token.is_none())] {
        if missing {
            let refusal = Refusal::new("required", "is missing: this repository is in Gitea");
            remote.fault(format!("gitea.{name}"), refusal.help(format!("add `{name}:` to `gitea:`")));
        }
    }
    Some(Remote::Gitea(GiteaRemote {
        server: server.url.clone()?,
        authority: server.authority.clone(),
        token: token.or_else(|| server.token.clone())?,
        owner: owner?,
        name: name?,
        branch,
        delivery: delivery.unwrap_or(Delivery::of(role)),
        create: create.unwrap_or_default(),
        labels,
        reviewers,
        team_reviewers,
    }))
}

fn is_proposed(remote: &Remote) -> bool {
    matches!(remote, Remote::Gitea(remote) if remote.delivery == Delivery::PullRequest)
}

/// A proposal keeps nobody else from proposing the same, so that something has to be committed before manifests go out.
fn nothing_is_claimed() -> Refusal {
    let why = "is `pull-request`, and that of `infrastructure` too: until a merge two requests could have one id, and both \
               get its namespace";
    Refusal::new("unclaimed", why).help("use `commit` for one of the two")
}

/// An address to which a token may be sent: in the clear only on this machine, or where that is allowed.
///
/// # Errors
/// What is no such address; it is not repeated, because it may hold a credential.
fn parse_server(text: &str, insecure: bool) -> Result<String, Refusal> {
    let refuse = |why: &str| Err(Refusal::new("url", why).help("write it as in `https://gitea.example.com`"));
    let Ok(url) = Url::parse(text) else {
        return refuse("is not a URL");
    };
    match url.scheme() {
        "https" => {}
        "http" if insecure || is_loopback(&url) => {}
        "http" => return refuse("would send the token in the clear"),
        _ => return refuse("is not an https:// URL"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds credentials: use `tokenFile`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("has a query or a fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether a text is a URL at which what is sent can be read on the way.
pub fn is_in_the_clear(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url))
}

/// Whether a URL is of this machine: by an address, or by the one name that never is another's. A name that looks like an
/// address, as `127.evil.example`, is anybody's.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn parse_location(url: &str) -> Result<Location, Refusal> {
    let refuse = |why: String| Err(Refusal::new("url", why).help("use a path, file:// or https://"));
    match url.split_once("://") {
        None => Ok(Location::Path(url.into())),
        Some(("file", path)) => Ok(Location::Path(path.into())),
        Some(("https", rest)) if rest.split('/').next().unwrap_or_default().contains('@') => {
            refuse("must not hold credentials: use `username` and `tokenFile`".to_owned())
        }
        Some(("https", _)) => Ok(Location::Https(url.to_owned())),
        Some((scheme, _)) => refuse(format!("has the scheme {}, which is not supported", quote(scheme))),
    }
}

pub(super) fn parse_file(name: &str) -> Result<&str, Refusal> {
    match name.is_empty() || name.chars().any(is_deceptive) {
        true => Err(Refusal::new("file", format!("{} is not the name of a file", quote(name)))),
        false => Ok(name),
    }
}

pub(super) fn parse_bool(node: &Node) -> Result<bool, Refusal> {
    match node.value {
        Value::Bool(value) => Ok(value),
        _ => Err(wrong_type(node, "a boolean").help("use `true` or `false`")),
    }
}

pub(super) fn within(node: &Node, least: u64, most: u64) -> Result<u64, Refusal> {
    match &node.value {
        Value::Number(number) => match number.as_u64() {
            Some(n) if (least..=most).contains(&n) => Ok(n),
            _ => Err(Refusal::new("range", format!("is {number}")).help(format!("use {least} to {most}"))),
        },
        _ => Err(wrong_type(node, "a whole number")),
    }
}

/// Trailers as `git interpret-trailers` knows them: one line each.
fn read_trailers(node: &Node) -> Result<Vec<(String, String)>, Refusal> {
    static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new("^[A-Za-z][A-Za-z0-9-]{0,63}$").expect("a constant"));
    let Value::Map(entries) = &node.value else {
        return Err(wrong_type(node, "a mapping"));
    };
    let refuse = |what: String| Err(Refusal::new("trailer", what).help("write it as in `Signed-off-by: Somebody`"));
    entries
        .iter()
        .map(|(key, value)| match value.as_str() {
            _ if !KEY.is_match(&key.name) || key.name.starts_with("Goldpath-") => {
                refuse(format!("{} is not the name of a trailer", quote(&key.name)))
            }
            Some(text) if !text.trim().is_empty() && text.len() <= 200 && !text.chars().any(is_deceptive) => {
                Ok((key.name.clone(), text.to_owned()))
            }
            _ => refuse(format!("{} is not a text of one line", quote(&key.name))),
        })
        .collect()
}
