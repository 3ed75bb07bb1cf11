//! The repositories that Kratix writes to, by the program `git`. Secrets reach it in its environment and in files that
//! only this user reads.

use super::{Cluster, PLATFORM, path_of, status, text};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What an edit fails with that is for the next look.
pub(super) const LATER: &str = "one commit a look";
/// How long a store that has failed is left alone.
const REST: Duration = Duration::from_secs(3);

/// What to change: these files and folders go, then these files are written. Paths are from the store's folder.
pub(super) struct Edit {
    pub(super) remove: Vec<String>,
    pub(super) write: Vec<(String, Vec<u8>)>,
}

pub(super) struct Stores {
    gitea_ca: PathBuf,
    open: HashMap<String, Store>,
    /// Whether `git` has run in this look. It takes as long as all else: once is enough, for Kratix writes stores
    /// beside its other work.
    pub(super) published: bool,
}

/// A store that was tried.
struct Store {
    /// Of the GitStateStore and its Secret.
    version: String,
    checkout: Option<Checkout>,
    tried: Instant,
}

impl Stores {
    pub(super) fn new(gitea_ca: PathBuf) -> Self {
        Self { gitea_ca, open: HashMap::new(), published: false }
    }

    /// Opens stores that are new or have changed, tries again those that have failed, and says so in their statuses.
    pub(super) fn look(&mut self, cluster: &Cluster) -> Result<()> {
        self.published = false;
        for store in cluster.list(&format!("{PLATFORM}/gitstatestores"))? {
            let secret = &store["spec"]["secretRef"];
            let namespace = secret["namespace"].as_str().unwrap_or("default");
            let secret = cluster.get(&format!("/api/v1/namespaces/{namespace}/secrets/{}", text(secret, "/name")))?;
            let secret_version = secret.as_ref().map_or("", |it| text(it, "/metadata/resourceVersion"));
            let version = format!("{} {secret_version}", store["metadata"]["generation"]);
            let name = text(&store, "/metadata/name");
            let known = self.open.get(name).filter(|it| it.version == version);
            if known.is_some_and(|it| it.checkout.is_some() || it.tried.elapsed() < REST) {
                continue;
            }
            let opened = match &secret {
                Some(secret) => Checkout::open(&store, secret, &self.gitea_ca),
                None => Err(anyhow::anyhow!("its Secret is not there")),
            };
            let (state, status, reason, message) = match &opened {
                Ok(_) => ("Ready", "True", "StateStoreReady", "State store is ready".to_owned()),
                Err(error) => {
                    ("NotReady", "False", "ErrorInitialisingWriter", format!("Error initialising writer: {error:#}"))
                }
            };
            let mut object = store.clone();
            if status::set_condition(&mut object, "Ready", status, reason, &message)
                || object["status"]["status"] != state
            {
                object["status"]["status"] = json!(state);
                object["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
                cluster.write_status(&path_of("gitstatestores", &store), &object)?;
                cluster.say(&format!("store {name}: {message}"));
            }
            self.open.insert(name.to_owned(), Store { version, checkout: opened.ok(), tried: Instant::now() });
        }
        Ok(())
    }

    fn of(&self, destination: &Value) -> Option<&Store> {
        self.open.get(text(destination, "/spec/stateStoreRef/name"))
    }

    /// Whether a Destination's store is ready.
    pub(super) fn is_ready(&self, destination: &Value) -> bool {
        self.of(destination).is_some_and(|it| it.checkout.is_some())
    }

    /// Whether a Destination's store is not to be written now: it has failed, or another edit was made in this look.
    pub(super) fn rests(&self, destination: &Value) -> bool {
        self.published || self.of(destination).is_none_or(|it| it.checkout.is_none() && it.tried.elapsed() < REST)
    }

    /// Makes one commit of an edit, if it changes anything, and tells its id.
    pub(super) fn publish(
        &mut self,
        cluster: &Cluster,
        destination: &Value,
        edit: &Edit,
        message: &str,
    ) -> Result<Option<String>> {
        let mode = destination["spec"]["filepath"]["mode"].as_str().unwrap_or("nestedByMetadata");
        ensure!(mode == "nestedByMetadata", "the stand-in for Kratix knows no file path mode `{mode}`");
        let store =
            self.open.get_mut(text(destination, "/spec/stateStoreRef/name")).context("there is no such store")?;
        let checkout = store.checkout.as_ref().context("the store is not ready")?;
        ensure!(!self.published, LATER);
        self.published = true;
        let written = checkout.publish(edit, message);
        match &written {
            Ok(Some(commit)) => cluster.say(&format!("commit {commit}: {message}")),
            Ok(None) => {}
            // Opened again, it says in its status what is wrong.
            Err(_) => (store.checkout, store.tried) = (None, Instant::now()),
        }
        written
    }
}

/// A clone of a store's branch, with what `git` needs to reach it.
struct Checkout {
    folder: TempDir,
    environment: Vec<(String, String)>,
    branch: String,
    path: String,
}

impl Checkout {
    fn open(store: &Value, secret: &Value, gitea_ca: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder")?;
        let url = text(store, "/spec/url");
        let value = |key: &str| -> Result<Vec<u8>> {
            let value = secret["data"][key].as_str().with_context(|| format!("its Secret has no `{key}`"))?;
            Ok(STANDARD.decode(value)?)
        };
        let author = |key: &str, other: &str| text(store, &format!("/spec/gitAuthor/{key}")).to_owned() + other;
        let (name, email) = (author("name", ""), author("email", ""));
        let mut environment: Vec<(&str, String)> = vec![
            ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_HTTP_LOW_SPEED_LIMIT", "1".to_owned()),
            ("GIT_HTTP_LOW_SPEED_TIME", "20".to_owned()),
        ];
        for role in ["AUTHOR", "COMMITTER"] {
            let or = |value: &str, other: &str| if value.is_empty() { other.to_owned() } else { value.to_owned() };
            environment
                .push((if role == "AUTHOR" { "GIT_AUTHOR_NAME" } else { "GIT_COMMITTER_NAME" }, or(&name, "kratix")));
            let key = if role == "AUTHOR" { "GIT_AUTHOR_EMAIL" } else { "GIT_COMMITTER_EMAIL" };
            environment.push((key, or(&email, "kratix@localhost")));
        }
        match (text(store, "/spec/authMethod"), url.starts_with("https://")) {
            ("ssh", false) if url.starts_with("ssh://") || url.contains('@') => {
                let (key, hosts) = (folder.path().join("key"), folder.path().join("known_hosts"));
                for (file, content) in [(&key, value("sshPrivateKey")?), (&hosts, value("knownHosts")?)] {
                    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(file)?;
                    file.write_all(&content)?;
                }
                let command = format!(
                    "ssh -F /dev/null -i {} -o UserKnownHostsFile={} -o IdentitiesOnly=yes -o IdentityAgent=none \
                     -o StrictHostKeyChecking=yes -o BatchMode=yes -o ConnectTimeout=10",
                    key.display(),
                    hosts.display()
                );
                environment.push(("GIT_SSH_COMMAND", command));
            }
            ("" | "basicAuth", true) => {
                let credentials = [value("username")?, b":".to_vec(), value("password")?].concat();
                environment.push(("GIT_SSL_CAINFO", gitea_ca.display().to_string()));
                environment.push(("GIT_CONFIG_COUNT", "1".to_owned()));
                environment.push(("GIT_CONFIG_KEY_0", "http.extraHeader".to_owned()));
                environment
                    .push(("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {}", STANDARD.encode(credentials))));
            }
            (method, _) => bail!("`{url}` and the method `{method}` do not go together"),
        }
        let environment = environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let branch = store["spec"]["branch"].as_str().unwrap_or("main").to_owned();
        let path = text(store, "/spec/path").trim_matches('/').to_owned();
        let checkout = Self { folder, environment, branch, path };
        std::fs::create_dir(checkout.work_tree())?;
        checkout.git(&["init", "--quiet"])?;
        checkout.git(&["remote", "add", "origin", url])?;
        checkout.reset()?;
        // Whether it may be written.
        checkout.git(&["push", "--quiet", "--dry-run", "origin", &format!("HEAD:refs/heads/{}", checkout.branch)])?;
        Ok(checkout)
    }

    fn work_tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.work_tree()).args(arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.output().context("git cannot be started")
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {}: {}", arguments[0], said.trim());
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn reset(&self) -> Result<()> {
        self.git(&["fetch", "--quiet", "--depth", "1", "origin", &self.branch])?;
        self.git(&["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"])?;
        self.git(&["clean", "-ffdxq"]).map(drop)
    }

    fn publish(&self, edit: &Edit, message: &str) -> Result<Option<String>> {
        // Others write there too: what is refused is done again on what is there then.
        for _ in 0..5 {
            self.reset()?;
            for path in &edit.remove {
                let path = self.place(path)?;
                match std::fs::symlink_metadata(&path) {
                    Ok(found) if found.is_dir() => std::fs::remove_dir_all(path)?,
                    Ok(_) => std::fs::remove_file(path)?,
                    Err(_) => {}
                }
            }
            for (path, content) in &edit.write {
                let path = self.place(path)?;
                std::fs::create_dir_all(path.parent().context("a folder")?)?;
                std::fs::write(path, content)?;
            }
            self.git(&["add", "--all", "--force"])?;
            if self.run(&["diff", "--cached", "--quiet"])?.status.success() {
                return Ok(None);
            }
            self.git(&["commit", "--quiet", "--message", message])?;
            let target = format!("HEAD:refs/heads/{}", self.branch);
            let pushed = self.run(&["push", "--quiet", "origin", &target])?;
            if pushed.status.success() {
                return self.git(&["rev-parse", "HEAD"]).map(Some);
            }
            let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
            ensure!(said.contains("rejected") || said.contains("cannot lock ref"), "git push: {}", said.trim());
        }
        bail!("the push was refused five times")
    }

    fn place(&self, path: &str) -> Result<PathBuf> {
        let inside = Path::new(path).components().all(|it| matches!(it, Component::Normal(name) if name != ".git"));
        ensure!(inside, "`{path}` is not within the repository");
        Ok(self.work_tree().join(&self.path).join(path))
    }
}

/// What a program makes of an input.
pub(super) fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input)?;
    std::io::Seek::rewind(&mut file)?;
    let output = Command::new(program).args(arguments).stdin(file).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
