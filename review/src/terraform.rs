//! Runs the real Terraform, or OpenTofu, on one root module.
//!
//! It gets a folder of its own and a clean environment: what it may know is named here. Credentials
//! are in the environment only, and no text that is given back repeats one.
//! If Goldpath itself is killed, a call of Terraform goes on until it is done: to tie it to our life
//! would need `unsafe`. It then ends as it would have, and releases its lock.

use super::changes::Changes;
use anyhow::{Context, Result, bail};
use goldpath::config::is_in_the_clear;
use goldpath::config::review::{Backend, TerraformSettings};
use goldpath::digest::sha256;
use goldpath::file_tree::{FileTree, RelativePath};
use goldpath::http;
use goldpath::names::RootModule;
use jiff::Timestamp;
use reqwest::{StatusCode, Url};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The variables of our own environment that Terraform gets, beside those of the configuration.
const PASSED: &[&str] = &[
    "PATH",
    "TF_CLI_CONFIG_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "GITEA_BASE_URL",
    "GITEA_TOKEN",
    "GITEA_CACERT_FILE",
    "TF_HTTP_USERNAME",
    "TF_HTTP_PASSWORD",
];

/// Those of them that are secrets; every one that the configuration names is, too.
const SECRET: &[&str] = &["GITEA_TOKEN", "TF_HTTP_PASSWORD"];

/// A shorter value is hidden nowhere: it would blank out words that mean nothing.
const MIN_SECRET: usize = 6;

/// How much is kept of the head of what Terraform only talks, and of its tail, in bytes.
const MAX_ENDS: usize = 4 << 20;
/// The longest JSON of a plan, in bytes.
const MAX_JSON: usize = 64 << 20;
/// How much is told of what went wrong, in bytes.
const MAX_WORDS: usize = 16 << 10;

/// How long a call that was interrupted may take to end by itself, and so release its lock.
const GRACE: Duration = Duration::from_secs(30);

/// The longest name of a schema that is not cut, in bytes: PostgreSQL keeps 63, some of them of the setting's own.
const MAX_SCHEMA: usize = 40;

/// What keeps the backend as the platform says, whatever the root module says: Terraform merges files of such
/// names over the others, <https://developer.hashicorp.com/terraform/language/files/override>.
const OVERRIDE: &str = "goldpath_override.tf";
const LOCK_FILE: &str = ".terraform.lock.hcl";

/// How Terraform is run.
pub struct Terraform {
    settings: TerraformSettings,
    program: PathBuf,
    registry: Option<String>,
    environment: BTreeMap<String, OsString>,
    secrets: Vec<String>,
    cache: PathBuf,
}

/// One root module in a temporary folder, ready to plan.
pub struct Workspace<'a> {
    terraform: &'a Terraform,
    folder: tempfile::TempDir,
    environment: BTreeMap<String, OsString>,
    plans: AtomicUsize,
}

/// What to plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What the root module asks for.
    Normal,
    /// That everything goes.
    Destroy,
    /// What the root module asks for, of what is in the state: what is let go of may be gone, which is an error to some
    /// providers.
    Unrefreshed,
    /// Only to find out what was changed by hand.
    RefreshOnly,
}

/// A saved plan.
pub struct Plan {
    /// What it would do.
    pub changes: Changes,
    /// The providers that were locked, by source, with their version.
    pub versions: Vec<(String, String)>,
    /// All that Terraform tells of it, as JSON: with sensitive values in clear.
    pub json: Value,
    file: PathBuf,
}

/// Without its JSON, which holds secrets.
impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("changes", &self.changes.summary()).finish_non_exhaustive()
    }
}

/// Why a call had no result.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Somebody else works on the state.
    #[error("the state is locked: {0}")]
    Locked(Lock),
    /// The state is another than when the plan was made.
    #[error("the state has changed since it was planned: plan again")]
    Stale,
    /// It took too long, and was ended.
    #[error("`{what}` was ended after {} seconds", after.as_secs())]
    TimedOut {
        /// The command, as `plan`.
        what: String,
        /// The time it had.
        after: Duration,
    },
    /// Terraform says that something is wrong.
    #[error("`{what}` failed:\n{words}")]
    Failed {
        /// The command, as `plan`.
        what: String,
        /// Terraform's own words.
        words: String,
    },
    /// It prints more than is read. What is cut must not be taken for all.
    #[error(
        "`{what}` prints {size} bytes, and at most {limit} are read: make several root modules of it, or its values shorter"
    )]
    TooLong {
        /// The command, as `show`.
        what: String,
        /// What it prints, in bytes.
        size: u64,
        /// What is read, in bytes.
        limit: u64,
    },
    /// It could not be run.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Who has locked a state; what its registry does not tell is empty. (PostgreSQL tells nothing, and Terraform
/// prints the lock that it wanted to take itself in that place.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The lock's id.
    pub id: String,
    /// As `user@machine`.
    pub who: String,
    /// As `OperationTypeApply`.
    pub operation: String,
    /// Since when.
    pub created: Option<Timestamp>,
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.id.is_empty() {
            return f.write_str("its registry does not tell by whom");
        }
        write!(f, "lock {}", self.id)?;
        if !self.who.is_empty() {
            write!(f, " of {}", self.who)?;
        }
        if !self.operation.is_empty() {
            write!(f, ", for {}", self.operation)?;
        }
        match self.created {
            Some(created) => write!(f, ", since {created:.0}"),
            None => Ok(()),
        }
    }
}

impl Terraform {
    /// Takes what it needs from our environment. `registry` is where the states are for [`Backend::Gitea`]:
    /// `https://…/api/packages/{owner}/terraform/state/`.
    ///
    /// # Errors
    /// No `registry` where one is needed, a backend whose name is none, a variable that would have secrets sent in the
    /// clear, or no folder for the providers.
    pub fn new(settings: &TerraformSettings, registry: Option<String>) -> Result<Self> {
        let own: BTreeMap<String, OsString> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        Self::with_environment(settings, registry, &own)
    }

    /// The same with another environment than our own.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub fn with_environment(
        settings: &TerraformSettings,
        registry: Option<String>,
        own: &BTreeMap<String, OsString>,
    ) -> Result<Self> {
        match &settings.backend {
            Backend::Gitea if registry.is_none() => bail!("`state.owner` is missing: the states are in its registry"),
            Backend::Other { kind, .. } if !is_word(kind) => bail!("{kind:?} is not the type of a backend"),
            _ => {}
        }
        let further = settings.environment.iter().map(String::as_str);
        let mut environment = BTreeMap::new();
        for name in PASSED.iter().copied().chain(further.clone()) {
            if let Some(value) = own.get(name) {
                // A proxy sees nothing of what is sent by https through it.
                let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
                if !is_proxy && !settings.insecure && value.to_str().is_some_and(is_in_the_clear) {
                    bail!(
                        "the environment variable {name} would have secrets sent in the clear: make it an https:// URL \
                         (a Gitea says http in its workflows where its ROOT_URL does)"
                    );
                }
                environment.insert(name.to_owned(), value.clone());
            }
        }
        let cache = match own.get("TF_PLUGIN_CACHE_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => cache_folder(own)?,
        };
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        environment.insert("TF_PLUGIN_CACHE_DIR".to_owned(), cache.clone().into());
        if settings.lock_file.is_none() {
            // Else the cache is not used where there is no lock file; ours is thrown away anyhow.
            environment.insert("TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE".to_owned(), "1".into());
        }
        for (name, value) in
            [("LANG", "C.UTF-8"), ("TF_IN_AUTOMATION", "1"), ("TF_INPUT", "0"), ("CHECKPOINT_DISABLE", "1")]
        {
            environment.insert(name.to_owned(), value.into());
        }
        let mut secrets: Vec<String> = SECRET
            .iter()
            .copied()
            .chain(further)
            .filter_map(|name| own.get(name)?.to_str())
            .flat_map(|secret| [Some(secret.trim().to_owned()), password(secret)])
            .flatten()
            .filter(|secret| secret.len() >= MIN_SECRET)
            .collect();
        // One may hold another: the longest first leaves no rest.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Ok(Self {
            program: program(&settings.program)?,
            settings: settings.clone(),
            registry,
            environment,
            secrets,
            cache,
        })
    }

    /// Writes a root module into a temporary folder that only we can read and that goes with the result,
    /// and runs `init`.
    ///
    /// The files must have passed [`super::source::check`].
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn open(&self, module: &RootModule, files: &FileTree) -> Result<Workspace<'_>, Failed> {
        let folder = tempfile::Builder::new().prefix("goldpath-").tempdir().context("cannot make a folder")?;
        let mut files = files.clone();
        let (kind, arguments) = self.backend(module);
        files.insert(RelativePath::parse(OVERRIDE)?, format!("terraform {{\n  backend \"{kind}\" {{}}\n}}\n"));
        if let Some(lock_file) = &self.settings.lock_file {
            files.insert(RelativePath::parse(LOCK_FILE)?, lock_file.read()?);
        }
        files.replace(&folder.path().join("module"))?;
        let mut environment = self.environment.clone();
        for (name, place) in [("HOME", "home"), ("TMPDIR", "tmp")] {
            let place = folder.path().join(place);
            fs::create_dir(&place).with_context(|| format!("cannot make {}", place.display()))?;
            environment.insert(name.to_owned(), place.into());
        }
        for (name, value) in self.state(module) {
            environment.insert(name.to_owned(), value.into());
        }
        let workspace = Workspace { terraform: self, folder, environment, plans: AtomicUsize::new(0) };
        workspace.init(&arguments)?;
        Ok(workspace)
    }

    /// The type of the backend, and the arguments of `init` that set it up.
    fn backend(&self, module: &RootModule) -> (&str, Vec<String>) {
        match &self.settings.backend {
            Backend::Gitea => ("http", Vec::new()),
            Backend::Other { kind, settings } => {
                let state = schema_of(module);
                let argument = |(key, value): &(String, String)| {
                    format!("-backend-config={key}={}", value.replace("{state}", &state))
                };
                (kind, settings.iter().map(argument).collect())
            }
        }
    }

    /// Where Gitea's registry has the state, as <https://docs.gitea.com/usage/packages/terraform> says.
    fn state(&self, module: &RootModule) -> Vec<(&'static str, String)> {
        let (Backend::Gitea, Some(registry)) = (&self.settings.backend, &self.registry) else { return Vec::new() };
        let address = format!("{}/{}", registry.trim_end_matches('/'), module.state());
        vec![
            ("TF_HTTP_LOCK_ADDRESS", format!("{address}/lock")),
            ("TF_HTTP_LOCK_METHOD", "POST".to_owned()),
            ("TF_HTTP_UNLOCK_ADDRESS", format!("{address}/lock")),
            ("TF_HTTP_UNLOCK_METHOD", "DELETE".to_owned()),
            ("TF_HTTP_ADDRESS", address),
        ]
    }

    /// A text without the values of secret variables.
    fn without_secrets(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// A root module's name in other backends: one that PostgreSQL takes for a schema, as `teams_alpha`. Where it would
/// be another root module's as well, or too long, a digest comes after `__`, which the plain ones do not have.
fn schema_of(module: &RootModule) -> String {
    let name = module.as_str().replace(['/', '-'], "_");
    match name.len() <= MAX_SCHEMA && !module.as_str().contains(['-', '_']) {
        true => name,
        false => format!("{:.22}__{:.16}", name, sha256(module.as_str().as_bytes())),
    }
}

/// What is secret in an address, as in `postgres://user:password@host`, also where it is told in parts.
fn password(address: &str) -> Option<String> {
    Url::parse(address).ok()?.password().map(str::to_owned)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A path is made absolute, since Terraform is started in another folder; a name is looked for on the `PATH`.
fn program(name: &str) -> Result<PathBuf> {
    match name.contains('/') {
        true => fs::canonicalize(name).with_context(|| format!("cannot find {name}")),
        false => Ok(PathBuf::from(name)),
    }
}

/// Where providers are kept between runs: fifty root modules must not fetch one fifty times.
fn cache_folder(own: &BTreeMap<String, OsString>) -> Result<PathBuf> {
    let absolute = |name: &str| own.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Ok(folder.context("there is no folder for providers: set HOME or TF_PLUGIN_CACHE_DIR")?.join("goldpath/plugins"))
}

impl Workspace<'_> {
    /// Several at once would break the cache of the providers, which Terraform does not lock:
    /// <https://developer.hashicorp.com/terraform/cli/config/config-file#provider-plugin-cache>.
    fn init(&self, backend: &[String]) -> Result<(), Failed> {
        let path = self.terraform.cache.join(".goldpath.lock");
        let locking = || format!("cannot lock {}", path.display());
        let lock = File::create(&path).with_context(locking)?;
        // Held by the open file, so by no other thread either; released when it is closed.
        lock.lock().with_context(locking)?;
        let mut arguments = vec!["init", "-no-color", "-input=false"];
        if self.terraform.settings.lock_file.is_some() {
            arguments.push("-lockfile=readonly");
        }
        arguments.extend(backend.iter().map(String::as_str));
        self.run("init", &arguments).map(drop)
    }

    /// Whether the files are written as `terraform fmt` would.
    ///
    /// # Errors
    /// [`Failed::Failed`] with the differences.
    pub fn check_format(&self) -> Result<(), Failed> {
        self.run("fmt", &["fmt", "-no-color", "-check", "-diff"]).map(drop)
    }

    /// Whether the root module is right in itself.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn validate(&self) -> Result<(), Failed> {
        self.run("validate", &["validate", "-no-color"]).map(drop)
    }

    /// Plans; `lock` says whether to keep others from the state meanwhile.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn plan(&self, mode: Mode, lock: bool) -> Result<Plan, Failed> {
        let number = self.plans.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.path().join(format!("plan-{number}"));
        let out = format!("-out={}", file.display());
        let locking = if lock { self.lock_timeout() } else { "-lock=false".to_owned() };
        let mut arguments = vec!["plan", "-no-color", "-input=false", &locking, &out];
        match mode {
            Mode::Normal => {}
            Mode::Destroy => arguments.push("-destroy"),
            Mode::Unrefreshed => arguments.push("-refresh=false"),
            Mode::RefreshOnly => arguments.push("-refresh-only"),
        }
        self.run("plan", &arguments)?;
        let name = file.display().to_string();
        let json = self.read("show", &["show", "-no-color", "-json", &name], MAX_JSON)?;
        Ok(Plan {
            changes: Changes::parse(json.as_bytes())?,
            json: serde_json::from_str(&json).context("the plan is no JSON")?,
            versions: self.versions()?,
            file,
        })
    }

    /// Tells a plan in Terraform's words, in which it masks sensitive values itself.
    ///
    /// # Errors
    /// See [`Failed`]; [`Failed::TooLong`] for more than `max` bytes.
    pub fn show(&self, plan: &Plan, max: usize) -> Result<String, Failed> {
        let file = plan.file.display().to_string();
        let text = self.read("show", &["show", "-no-color", &file], max)?;
        Ok(self.terraform.without_secrets(&text))
    }

    /// Applies exactly what was planned, and gives the outputs that are not sensitive. Members who are written in
    /// another case are put back if Gitea has taken them out last.
    ///
    /// # Errors
    /// See [`Failed`]. After one of `output`, everything is applied.
    pub fn apply(&self, plan: &Plan) -> Result<Map<String, Value>, Failed> {
        #[derive(Deserialize)]
        struct Output {
            #[serde(default)]
            sensitive: bool,
            #[serde(default)]
            value: Value,
        }
        let file = plan.file.display().to_string();
        self.run("apply", &["apply", "-no-color", "-input=false", &self.lock_timeout(), &file])?;
        let json = self.read("output", &["output", "-no-color", "-json"], MAX_JSON)?;
        let outputs: BTreeMap<String, Output> =
            serde_json::from_str(&json).context("the outputs are not what Terraform should print")?;
        let open = outputs.into_iter().filter(|(_, output)| !output.sensitive);
        Ok(open.map(|(name, output)| (name, output.value)).collect())
    }

    fn lock_timeout(&self) -> String {
        format!("-lock-timeout={}s", self.terraform.settings.lock_timeout.as_secs())
    }

    /// The providers in the lock file, which `init` has written or was given.
    fn versions(&self) -> Result<Vec<(String, String)>> {
        let path = self.module().join(LOCK_FILE);
        if !path.exists() {
            // Without a provider of one's own, there is none.
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).context("cannot read the lock file")?;
        let body = hcl_edit::parser::parse_body(&text).context("the lock file is no HCL")?;
        let version = |block: &hcl_edit::structure::Block| {
            let version = block.body.get_attribute("version")?.value.as_str()?.to_owned();
            Some((block.labels.first()?.as_str().to_owned(), version))
        };
        Ok(body.get_blocks("provider").filter_map(version).collect())
    }

    fn module(&self) -> PathBuf {
        self.folder.path().join("module")
    }

    /// Asks Gitea's registry who has locked the state, which nothing reads out: it answers a write with
    /// another lock's id with 423 and the lock. A write without a state is refused, so nothing is written
    /// if the lock is gone by now.
    fn ask_holder(&self) -> Option<Lock> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Holder {
            #[serde(rename = "ID")]
            id: String,
            #[serde(default)]
            who: String,
            #[serde(default)]
            operation: String,
            created: Option<Timestamp>,
        }
        let variable = |name: &str| self.environment.get(name).and_then(|value| value.to_str());
        let address = variable("TF_HTTP_ADDRESS").filter(|_| self.terraform.settings.backend == Backend::Gitea)?;
        let authority = variable("SSL_CERT_FILE").and_then(|file| fs::read(file).ok());
        let client = http::client(authority.as_deref(), Duration::from_secs(10), false).ok()?;
        let user = variable("TF_HTTP_USERNAME").unwrap_or_default();
        let request = client.post(format!("{address}?ID=goldpath-asks"));
        let answer = request.basic_auth(user, variable("TF_HTTP_PASSWORD")).send().ok()?;
        let holder: Holder = match answer.status() {
            StatusCode::LOCKED => serde_json::from_reader(answer.take(MAX_WORDS as u64)).ok()?,
            _ => return None,
        };
        Some(Lock { id: holder.id, who: holder.who, operation: holder.operation, created: holder.created })
    }

    /// Runs Terraform, and gives all that it prints: at most `max` bytes.
    fn read(&self, what: &str, arguments: &[&str], max: usize) -> Result<String, Failed> {
        let mut stdout = self.run(what, arguments)?;
        let (size, limit) = (stdout.metadata().context("cannot read what Terraform prints")?.len(), max as u64);
        if size > limit {
            return Err(Failed::TooLong { what: what.to_owned(), size, limit });
        }
        Ok(String::from_utf8_lossy(&part(&mut stdout, 0, size)?).into_owned())
    }

    /// Runs Terraform, and gives the file with what it prints.
    fn run(&self, what: &str, arguments: &[&str]) -> Result<File, Failed> {
        let started = Timestamp::now();
        let timeout = self.terraform.settings.timeout;
        let mut command = Command::new(&self.terraform.program);
        command.args(arguments).current_dir(self.module()).env_clear().envs(&self.environment);
        let ended = run(command, timeout, GRACE)
            .with_context(|| format!("cannot run `{}`", self.terraform.program.display()))?;
        let Some(status) = ended.status else {
            return Err(Failed::TimedOut { what: what.to_owned(), after: timeout });
        };
        if status.success() {
            return Ok(ended.stdout);
        }
        // `fmt` prints its differences where others print results.
        let stderr = ends(ended.stderr, MAX_ENDS)?;
        let text = if stderr.trim().is_empty() { ends(ended.stdout, MAX_ENDS)? } else { stderr };
        let words = words(&self.terraform.without_secrets(&text), self.folder.path());
        if what == "apply" && words.contains("Saved plan is stale") {
            return Err(Failed::Stale);
        }
        match read_lock(&words, started) {
            // The rest is good to know, and no reason to fail in another way.
            Some(lock) if lock.who.is_empty() => Err(Failed::Locked(self.ask_holder().unwrap_or(lock))),
            Some(lock) => Err(Failed::Locked(lock)),
            None => Err(Failed::Failed { what: what.to_owned(), words }),
        }
    }
}

/// How a program ended.
struct Ended {
    /// None if it took too long.
    status: Option<ExitStatus>,
    stdout: File,
    stderr: File,
}

/// Runs a program in a process group of its own, so that what it has started ends with it: when its time is
/// over, the group is asked to end, and killed if it has not within `grace`.
///
/// It prints into files that have no name, not into pipes: should this process be killed, an apply goes on to
/// its end, and leaves a state that is true and no lock.
fn run(mut command: Command, timeout: Duration, grace: Duration) -> Result<Ended> {
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).process_group(0);
    let mut child = command.spawn()?;
    let mut status = wait(&mut child, Instant::now() + timeout)?;
    if status.is_none() {
        let group = Pid::from_child(&child);
        // One that has just ended by itself is not there any more.
        kill_process_group(group, Signal::INT).ok();
        let deadline = Instant::now() + grace;
        // The leader stays a zombie until it is waited for, so its number is not given to others before.
        while Instant::now() < deadline && !is_over(&child)? {
            thread::sleep(Duration::from_millis(20));
        }
        kill_process_group(group, Signal::KILL).ok();
        child.wait()?;
        status = None;
    }
    Ok(Ended { status, stdout, stderr })
}

fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Whether a child has ended, without taking its status.
fn is_over(child: &Child) -> Result<bool> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(Pid::from_child(child)), options)?.is_some())
}

/// So many bytes of a file.
fn part(file: &mut File, begin: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What was said of a failure: at most `max` bytes of its head and as many of its tail.
fn ends(mut from: File, max: usize) -> Result<String> {
    let (size, max) = (from.metadata()?.len(), u64::try_from(max)?);
    if size <= 2 * max {
        return Ok(String::from_utf8_lossy(&part(&mut from, 0, size)?).into_owned());
    }
    let (mut head, mut tail) = (part(&mut from, 0, max)?, part(&mut from, size - max, max)?);
    // Whole lines, so that no part of a secret is left that would not be found.
    head.truncate(head.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    tail.drain(..tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |end| end + 1));
    head.extend_from_slice("[…]\n".as_bytes());
    head.append(&mut tail);
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Terraform's words as plain text: without colours and frames, and without the folder, which is another one
/// each time.
fn words(text: &str, folder: &Path) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => {
                if characters.next() == Some('[') {
                    // A control sequence ends with a letter (ECMA-48, 5.4).
                    characters.find(|c| ('@'..='~').contains(c));
                }
            }
            '\r' => {}
            c => plain.push(c),
        }
    }
    let plain = plain.replace(&format!("{}/", folder.display()), "");
    let mut lines: Vec<&str> = Vec::new();
    for line in plain.lines() {
        let line = line.strip_prefix(['╷', '│', '╵']).map_or(line, |line| line.strip_prefix(' ').unwrap_or(line));
        let line = line.trim_end();
        // One empty line between two things is enough, and none before the first.
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    let mut words = lines.join("\n").trim_end().to_owned();
    if words.len() > MAX_WORDS {
        words.truncate(words.floor_char_boundary(MAX_WORDS));
        words.push_str("\n[…]");
    }
    words
}

/// Who holds the lock, if that is what Terraform's words are about.
///
/// Where its backend does not get to know (http, pg), it prints the lock that it wanted to take itself: that
/// one was made after the call began.
fn read_lock(words: &str, started: Timestamp) -> Option<Lock> {
    let (_, rest) = words.split_once("Error acquiring the state lock")?;
    let (before, info) = rest.split_once("Lock Info:")?;
    let field = |name: &str| {
        info.lines().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim).unwrap_or_default()
    };
    // As Go prints a time: `2026-01-02 03:04:05.678901234 +0000 UTC`.
    let created = field("Created:").trim_end_matches(" UTC").to_owned();
    let created = Timestamp::strptime("%Y-%m-%d %H:%M:%S%.f %z", created).ok();
    if created.is_some_and(|created| created >= started) {
        let id = before.split_once("ID=").map(|(_, id)| id.split_whitespace().next().unwrap_or_default());
        return Some(Lock { id: id.unwrap_or_default().to_owned(), ..Lock::default() });
    }
    let text = |name: &str| field(name).to_owned();
    Some(Lock { id: text("ID:"), who: text("Who:"), operation: text("Operation:"), created })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    /// A Terraform whose program is a shell script, with the environment; what it keeps is in `folder`.
    fn script(
        folder: &Path,
        script: &str,
        own: &[(&str, &str)],
        change: impl FnOnce(&mut TerraformSettings),
    ) -> Terraform {
        let program = folder.join("terraform");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut settings = TerraformSettings {
            program: program.display().to_string(),
            timeout: Duration::from_secs(20),
            lock_timeout: Duration::from_secs(3),
            lock_file: None,
            environment: vec!["EXTRA_SECRET".to_owned()],
            insecure: false,
            backend: Backend::Gitea,
        };
        change(&mut settings);
        let home = folder.display().to_string();
        let path = std::env::var("PATH").unwrap();
        let base = [("HOME", home.as_str()), ("PATH", path.as_str())];
        let own = base.iter().chain(own).map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        let registry = Some("https://gitea/api/packages/o/terraform/state/".to_owned());
        Terraform::with_environment(&settings, registry, &own).unwrap()
    }

    fn module() -> RootModule {
        RootModule::parse("teams/a-b").unwrap()
    }

    fn error(result: Result<Workspace<'_>, Failed>) -> Failed {
        match result {
            Err(failed) => failed,
            Ok(_) => panic!("it went well"),
        }
    }

    #[test]
    fn the_environment_is_what_is_named_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let own = [
            ("GITEA_TOKEN", "tok"),
            ("EXTRA_SECRET", "x"),
            ("TF_CLI_ARGS", "-destroy"),
            ("TF_VAR_a", "b"),
            ("KUBECONFIG", "k"),
            ("https_proxy", "p"),
        ];
        let terraform = script(folder.path(), "env | sort >&2; pwd >&2; echo \"$@\" >&2; exit 1", &own, |_| {});
        let Failed::Failed { what, words } = error(terraform.open(&module(), &FileTree::default())) else { panic!() };
        assert_eq!(what, "init");
        let told: Vec<_> = words.lines().filter(|l| !l.starts_with("PATH=") && !l.starts_with("_=")).collect();
        let cache = format!("TF_PLUGIN_CACHE_DIR={}/.cache/goldpath/plugins", folder.path().display());
        assert_eq!(
            told,
            [
                "CHECKPOINT_DISABLE=1",
                "EXTRA_SECRET=x",
                "GITEA_TOKEN=tok",
                "HOME=home",
                "LANG=C.UTF-8",
                "PWD=module",
                "TF_HTTP_ADDRESS=https://gitea/api/packages/o/terraform/state/teams.a-b",
                "TF_HTTP_LOCK_ADDRESS=https://gitea/api/packages/o/terraform/state/teams.a-b/lock",
                "TF_HTTP_LOCK_METHOD=POST",
                "TF_HTTP_UNLOCK_ADDRESS=https://gitea/api/packages/o/terraform/state/teams.a-b/lock",
                "TF_HTTP_UNLOCK_METHOD=DELETE",
                "TF_INPUT=0",
                "TF_IN_AUTOMATION=1",
                &cache,
                "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE=1",
                "TMPDIR=tmp",
                "https_proxy=p",
                "module",
                "init -no-color -input=false",
            ]
        );
    }

    #[test]
    fn no_variable_has_a_secret_sent_in_the_clear_but_to_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let with = |name: &str, value: &str, insecure: bool| {
            let own = [("HOME", folder.path().to_str().unwrap()), (name, value)];
            let own = own.map(|(name, value)| (name.to_owned(), OsString::from(value))).into();
            let settings = TerraformSettings {
                program: "/bin/sh".to_owned(),
                timeout: Duration::from_secs(20),
                lock_timeout: Duration::from_secs(3),
                lock_file: None,
                environment: vec!["TF_HTTP_ADDRESS".to_owned()],
                insecure,
                backend: Backend::Gitea,
            };
            Terraform::with_environment(&settings, Some("https://gitea/".to_owned()), &own).map(drop)
        };
        for (name, value) in
            [("GITEA_BASE_URL", "http://127.evil.example"), ("TF_HTTP_ADDRESS", " HTTP://states.example")]
        {
            let error = with(name, value, false).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("the environment variable {name} would have secrets sent in the clear")),
                "{error}"
            );
            with(name, value, true).unwrap();
        }
        for (name, value) in [
            ("GITEA_BASE_URL", "https://gitea.example.com"),
            ("GITEA_BASE_URL", "http://127.0.0.1:3000"),
            ("https_proxy", "http://proxy.example.com:3128"),
            ("HTTPS_PROXY", "http://proxy.example.com:3128"),
        ] {
            with(name, value, false).unwrap();
        }
    }

    #[test]
    fn another_backend_is_set_up_over_what_the_root_module_says() {
        let folder = tempfile::tempdir().unwrap();
        let terraform =
            script(folder.path(), "cat goldpath_override.tf >&2; echo \"$@\" >&2; exit 1", &[], |settings| {
                let schema = ("schema_name".to_owned(), "goldpath_{state}".to_owned());
                settings.backend = Backend::Other { kind: "pg".to_owned(), settings: vec![schema] };
            });
        let Failed::Failed { words, .. } = error(terraform.open(&module(), &FileTree::default())) else { panic!() };
        let init = "init -no-color -input=false -backend-config=schema_name=goldpath_teams_a_b__d67a97555b9b97db";
        assert_eq!(words, format!("terraform {{\n  backend \"pg\" {{}}\n}}\n{init}"));
    }

    #[test]
    fn no_two_root_modules_share_a_schema() {
        let long = format!("teams/{}", "a".repeat(60));
        let names = ["teams/a/b", "teams/a-b", "teams/a_b", "teams/a--b", "teams-a/b", &long, &format!("{long}b")];
        let schemas: BTreeSet<_> = names.map(|name| schema_of(&RootModule::parse(name).unwrap())).into();
        assert_eq!(schemas.len(), names.len(), "{schemas:?}");
        assert!(schemas.iter().all(|schema| schema.len() <= MAX_SCHEMA), "{schemas:?}");
        assert_eq!(schema_of(&RootModule::parse("teams/alpha").unwrap()), "teams_alpha");
    }

    #[test]
    fn a_secret_is_in_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let own =
            [("GITEA_TOKEN", "s3cret-t0ken"), ("EXTRA_SECRET", "s3cret-t0ken-and-more"), ("TF_HTTP_PASSWORD", "short")];
        let terraform = script(
            folder.path(),
            "echo \"a $GITEA_TOKEN b $EXTRA_SECRET c $TF_HTTP_PASSWORD\" >&2; exit 1",
            &own,
            |_| {},
        );
        let failed = error(terraform.open(&module(), &FileTree::default()));
        assert_eq!(failed.to_string(), "`init` failed:\na *** b *** c short");
    }

    #[test]
    fn a_call_that_takes_too_long_ends_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let mut command = Command::new("sh");
        // The child ignores the first signal, as a provider does.
        command
            .args(["-c", "sh -c 'trap \"\" INT; sleep 60; sleep 60' & echo $! >\"$0\"; trap 'exit 3' INT; wait"])
            .arg(&pids);
        let start = Instant::now();
        let ended = run(command, Duration::from_millis(500), Duration::from_secs(1)).unwrap();
        assert!(ended.status.is_none() && start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        let child = fs::read_to_string(pids).unwrap();
        let state = || fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        for _ in 0..100 {
            if state().is_empty() || state().contains(") Z ") {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{} is still there", state());
    }

    #[test]
    fn a_time_that_is_over_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let terraform = script(folder.path(), "exec sleep 60", &[], |s| s.timeout = Duration::from_secs(1));
        let failed = error(terraform.open(&module(), &FileTree::default()));
        assert_eq!(failed.to_string(), "`init` was ended after 1 seconds");
    }

    #[test]
    fn of_long_words_whole_lines_of_both_ends_are_kept() {
        let text = (0..1000).map(|n| format!("line {n}\n")).collect::<String>();
        let file = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            file
        };
        let kept = "line 0\nline 1\nline 2\nline 3\n[…]\nline 997\nline 998\nline 999\n";
        assert_eq!(ends(file(&text), 30).unwrap(), kept);
        assert_eq!(ends(file(&text), 5000).unwrap(), text);
    }

    #[test]
    fn a_plan_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let plan = "case \"$*\" in\n*-json*) echo '{\"format_version\": \"1.2\", \"planned_values\": {}}' ;;\nshow*) printf 0123456789 ;;\nesac";
        let terraform = script(folder.path(), plan, &[], |_| {});
        let workspace = terraform.open(&module(), &FileTree::default()).unwrap();
        let plan = workspace.plan(Mode::Normal, false).unwrap();
        assert_eq!(workspace.show(&plan, 10).unwrap(), "0123456789");
        let failed = workspace.show(&plan, 9).unwrap_err();
        assert!(matches!(failed, Failed::TooLong { size: 10, limit: 9, .. }), "{failed}");
        let expected =
            "`show` prints 10 bytes, and at most 9 are read: make several root modules of it, or its values shorter";
        assert_eq!(failed.to_string(), expected);
    }

    #[test]
    fn words_are_plain() {
        let text = "\n\u{1b}[31m╷\u{1b}[0m\n│ Error: x\n│\n│   on /tmp/f/module/main.tf line 1\n╵\n\n";
        assert_eq!(words(text, Path::new("/tmp/f")), "Error: x\n\n  on module/main.tf line 1");
        assert_eq!(words(&"é".repeat(MAX_WORDS), Path::new("/x")).len(), MAX_WORDS + "\n[…]".len());
    }

    /// Terraform 1.11.4 at Gitea's registry: `Lock Info` is what it wanted to lock with itself.
    const LOCKED: &str = "Error: Error acquiring the state lock\n\nError message: HTTP remote state already locked:\nID=11111111-2222\nLock Info:\n  ID:        cac144b5-726a\n  Path:\n  Operation: OperationTypePlan\n  Who:       root@vm\n  Version:   1.11.4\n  Created:   2026-11-21 19:41:25.087767583 +0000 UTC\n  Info:\n\nTerraform acquires a state lock to protect the state";

    #[test]
    fn a_lock_is_told_without_taking_our_own_for_it() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let lock = read_lock(LOCKED, time("2026-11-21T19:41:25Z")).unwrap();
        assert_eq!(lock, Lock { id: "11111111-2222".to_owned(), ..Lock::default() });
        let lock = read_lock(LOCKED, time("2026-11-21T19:50:00Z")).unwrap();
        assert_eq!(
            lock.to_string(),
            "lock cac144b5-726a of root@vm, for OperationTypePlan, since 2026-11-21T19:41:25Z"
        );
        assert_eq!(read_lock("Error: Error acquiring the state lock\n\nconnection refused", Timestamp::MIN), None);
    }

    #[test]
    fn a_state_in_gitea_needs_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let settings = script(folder.path(), "", &[], |_| {}).settings;
        let error = Terraform::new(&settings, None).err().unwrap();
        assert_eq!(error.to_string(), "`state.owner` is missing: the states are in its registry");
        let evil = Backend::Other { kind: "pg\" {}".to_owned(), settings: Vec::new() };
        assert!(Terraform::new(&TerraformSettings { backend: evil, ..settings }, None).is_err());
    }
}
