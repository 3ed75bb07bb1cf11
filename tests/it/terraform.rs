//! The real Terraform on the real Gitea that the environment names, and on a PostgreSQL of the test's own.
//!
//! `scripts/run-integration-tests.sh` runs these; they need what `remote.rs` does, and TF_CLI_CONFIG_FILE,
//! with which Terraform finds the provider go-gitea/gitea.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, admin_token, api, ask, variable};
use goldpath::config::review::{Backend, TerraformSettings};
use goldpath::file_tree::{FileTree, RelativePath};
use goldpath::names::RootModule;
use goldpath_review::changes::Action;
use goldpath_review::terraform::{Failed, Mode, Terraform, Workspace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const GOLDEN: &str = "promises/team/cases/minimal/expected/infrastructure/teams/team-small";

/// A registry with one state, which goes with it: Gitea removes no organisation that still has one.
struct Registry {
    organization: Organization,
    home: tempfile::TempDir,
}

impl Registry {
    fn new(name: &str) -> Self {
        Self { organization: Organization::new(name), home: tempfile::tempdir().unwrap() }
    }

    /// The API's path of the state; it is beside the API's first version, and not in it.
    fn path(&self, rest: &str) -> String {
        format!("/../packages/{}/terraform/state/{}{rest}", self.organization.0, module().state())
    }

    fn environment(&self, change: &[(&str, &str)]) -> BTreeMap<String, OsString> {
        let user = api("GET", "/user", &Value::Null);
        let token = admin_token();
        let mut environment = environment(self.home.path());
        for (name, value) in [
            ("TF_CLI_CONFIG_FILE", variable("TF_CLI_CONFIG_FILE").as_str()),
            ("SSL_CERT_FILE", &variable("GITEA_CA_FILE")),
            ("GITEA_BASE_URL", &variable("GITEA_URL")),
            ("GITEA_TOKEN", &token),
            ("TF_HTTP_USERNAME", user["login"].as_str().unwrap()),
            ("TF_HTTP_PASSWORD", &token),
        ]
        .into_iter()
        .chain(change.iter().copied())
        {
            environment.insert(name.to_owned(), value.into());
        }
        environment
    }

    fn terraform(&self, timeout: u64, change: &[(&str, &str)]) -> Terraform {
        let registry = format!("{}/api/packages/{}/terraform/state/", variable("GITEA_URL"), self.organization.0);
        let settings = settings(timeout, Backend::Gitea);
        Terraform::with_environment(&settings, Some(registry), &self.environment(change)).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        ask(&admin_token(), "DELETE", &self.path("/lock"), &holder());
        ask(&admin_token(), "DELETE", &self.path(""), &Value::Null);
    }
}

fn environment(home: &Path) -> BTreeMap<String, OsString> {
    let path = std::env::var_os("PATH").unwrap();
    BTreeMap::from([("PATH".to_owned(), path), ("HOME".to_owned(), home.into())])
}

fn settings(timeout: u64, backend: Backend) -> TerraformSettings {
    TerraformSettings {
        program: "terraform".to_owned(),
        timeout: Duration::from_secs(timeout),
        lock_timeout: Duration::from_secs(1),
        lock_file: None,
        environment: vec!["PG_CONN_STR".to_owned()],
        insecure: false,
        backend,
    }
}

fn module() -> RootModule {
    RootModule::parse("teams/a-b").unwrap()
}

fn one_file(text: &str) -> FileTree {
    let mut files = FileTree::default();
    files.insert(RelativePath::parse("main.tf").unwrap(), text);
    files
}

fn resource(input: &str) -> FileTree {
    one_file(&format!("resource \"terraform_data\" \"a\" {{\n  input = \"{input}\"\n}}\n"))
}

/// A resource that takes a minute to make; the number is for finding its process.
fn slow(number: u32) -> FileTree {
    one_file(&format!(
        "resource \"terraform_data\" \"a\" {{\n  provisioner \"local-exec\" {{\n    command = \"exec sleep 60.{number}\"\n  }}\n}}\n"
    ))
}

fn is_running(number: u32) -> bool {
    let wanted = format!("60.{number}");
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    lines.any(|line| line.starts_with("sleep\0") && line.contains(&wanted))
}

fn holder() -> Value {
    json!({
        "ID": "11111111-2222-3333-4444-555555555555", "Operation": "OperationTypeApply", "Who": "ada@machine",
        "Version": "1.11.4", "Created": "2026-01-02T03:04:05.678901234Z", "Path": "", "Info": "",
    })
}

fn apply(workspace: &Workspace<'_>, mode: Mode) -> serde_json::Map<String, Value> {
    workspace.apply(&workspace.plan(mode, true).unwrap()).unwrap()
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_golden_root_module_is_made_stays_as_it_is_and_goes() {
    let registry = Registry::new("tf");
    let name = format!("{}-made", registry.organization.0);
    let golden = FileTree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN)).unwrap();
    let mut files = FileTree::default();
    for (path, content) in golden.iter() {
        files.insert(
            path.clone(),
            String::from_utf8(content.to_vec()).unwrap().replace("\"team-small\"", &format!("\"{name}\"")),
        );
    }
    let terraform = registry.terraform(120, &[]);
    let workspace = terraform.open(&module(), &files).unwrap();
    workspace.check_format().unwrap();
    workspace.validate().unwrap();

    let plan = workspace.plan(Mode::Normal, false).unwrap();
    assert!(plan.changes.resources.iter().all(|resource| resource.action == Action::Create), "{:?}", plan.changes);
    let text = workspace.show(&plan, 1 << 20).unwrap();
    assert!(text.contains("gitea_org.team will be created"), "{text}");
    assert_eq!(plan.versions.len(), 1);
    assert_eq!(plan.versions[0].0, "registry.terraform.io/go-gitea/gitea");
    assert_eq!(workspace.plan(Mode::Normal, false).unwrap().changes.digest("t"), plan.changes.digest("t"));
    let outputs = workspace.apply(&plan).unwrap();
    assert_eq!(outputs["organization_name"], name.as_str());
    assert_eq!(api("GET", &format!("/orgs/{name}"), &Value::Null)["username"], name.as_str());

    // Another runner, which knows the state from the registry only.
    let again = terraform.open(&module(), &files).unwrap();
    assert_eq!(again.plan(Mode::Normal, true).unwrap().changes.summary(), "+0 ~0 -0");
    assert!(again.plan(Mode::RefreshOnly, false).unwrap().changes.is_empty());
    apply(&again, Mode::Destroy);
    assert_eq!(ask(&admin_token(), "GET", &format!("/orgs/{name}"), &Value::Null).0, 404);
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn who_holds_the_lock_is_told() {
    let registry = Registry::new("tf-lock");
    let terraform = registry.terraform(60, &[]);
    let workspace = terraform.open(&module(), &resource("a")).unwrap();
    let plan = workspace.plan(Mode::Normal, true).unwrap();
    assert_eq!(ask(&admin_token(), "POST", &registry.path("/lock"), &holder()).0, 200);

    let told = "the state is locked: lock 11111111-2222-3333-4444-555555555555 of ada@machine, \
                for OperationTypeApply, since 2026-01-02T03:04:05Z";
    assert_eq!(workspace.plan(Mode::Normal, true).unwrap_err().to_string(), told);
    assert_eq!(workspace.apply(&plan).unwrap_err().to_string(), told);
    assert_eq!(workspace.plan(Mode::Normal, false).unwrap().changes.summary(), "+1 ~0 -0");

    assert_eq!(ask(&admin_token(), "DELETE", &registry.path("/lock"), &holder()).0, 200);
    workspace.apply(&plan).unwrap();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_plan_is_applied_to_the_state_that_it_was_made_for() {
    let registry = Registry::new("tf-stale");
    let terraform = registry.terraform(60, &[]);
    let workspace = terraform.open(&module(), &resource("a")).unwrap();
    let (first, second) = (workspace.plan(Mode::Normal, true).unwrap(), workspace.plan(Mode::Normal, true).unwrap());
    workspace.apply(&first).unwrap();
    assert!(matches!(workspace.apply(&second), Err(Failed::Stale)));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_call_that_takes_too_long_ends_with_its_children_and_releases_the_lock() {
    let registry = Registry::new("tf-slow");
    let number = std::process::id();
    let terraform = registry.terraform(8, &[]);
    let workspace = terraform.open(&module(), &slow(number)).unwrap();
    let plan = workspace.plan(Mode::Normal, true).unwrap();
    let failed = thread::scope(|scope| {
        let applying = scope.spawn(|| workspace.apply(&plan));
        let start = Instant::now();
        while !is_running(number) {
            assert!(start.elapsed() < Duration::from_secs(8), "it does not start");
            thread::sleep(Duration::from_millis(50));
        }
        applying.join().unwrap().unwrap_err()
    });
    assert_eq!(failed.to_string(), "`apply` was ended after 8 seconds");
    assert!(!is_running(number));
    workspace.plan(Mode::Normal, true).unwrap();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_refused_token_is_in_no_error() {
    let registry = Registry::new("tf-token");
    let terraform = registry.terraform(60, &[("TF_HTTP_PASSWORD", "planted-5ecret-t0ken")]);
    let failed = terraform.open(&module(), &resource("a")).and_then(|workspace| workspace.plan(Mode::Normal, true));
    let words = failed.unwrap_err().to_string();
    assert!(words.contains("HTTP remote state endpoint") && !words.contains("planted"), "{words}");

    let terraform = registry.terraform(60, &[("GITEA_TOKEN", "planted-5ecret-t0ken")]);
    let golden = FileTree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN)).unwrap();
    let workspace = terraform.open(&module(), &golden).unwrap();
    let failed = workspace.plan(Mode::Normal, true).and_then(|plan| workspace.apply(&plan));
    let words = format!("{:?}", failed.unwrap_err());
    assert!(!words.contains("planted"), "{words}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_fault_is_told_in_terraforms_words() {
    let registry = Registry::new("tf-words");
    let terraform = registry.terraform(60, &[]);
    let workspace = terraform.open(&module(), &one_file("locals {\n  a=local.b\n}\n")).unwrap();
    let words = workspace.check_format().unwrap_err().to_string();
    assert!(words.starts_with("`fmt` failed:\nmain.tf\n") && words.contains("\n+  a = local.b\n"), "{words}");
    let words = workspace.validate().unwrap_err().to_string();
    let beginning =
        "`validate` failed:\nError: Reference to undeclared local value\n\n  on main.tf line 2, in locals:\n";
    assert!(words.starts_with(beginning), "{words}");
}

/// A PostgreSQL of the test's own, which goes with it.
struct Postgres {
    server: Child,
    folder: tempfile::TempDir,
    port: u16,
}

const PASSWORD: &str = "planted-pg-passw0rd";

impl Postgres {
    /// It refuses to run as root.
    fn command(program: &Path) -> Command {
        if !rustix::process::getuid().is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    }

    fn start() -> Self {
        let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is needed").filter_map(Result::ok);
        let bin = versions.map(|version| version.path().join("bin")).max().unwrap();
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::create_dir(&data).unwrap();
        fs::write(&password, PASSWORD).unwrap();
        if rustix::process::getuid().is_root() {
            let id = Command::new("id").args(["-u", "postgres"]).output().unwrap();
            let user = String::from_utf8(id.stdout).unwrap().trim().parse().unwrap();
            chown(&data, Some(user), None).unwrap();
        }
        let initdb = Self::command(&bin.join("initdb"))
            .args(["--auth=scram-sha-256", "--username=goldpath", "--no-sync", "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(initdb.status.success(), "{initdb:?}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self::command(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-k", "", "-F", "-p", &port.to_string()])
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postgres = Self { server, folder, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not start");
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_millis(500));
        postgres
    }

    fn terraform(&self, timeout: u64) -> Terraform {
        let url = format!("postgres://goldpath:{PASSWORD}@127.0.0.1:{}/postgres?sslmode=disable", self.port);
        let mut environment = environment(self.folder.path());
        environment.insert("PG_CONN_STR".to_owned(), url.into());
        let schema = ("schema_name".to_owned(), "goldpath_{state}".to_owned());
        let backend = Backend::Other { kind: "pg".to_owned(), settings: vec![schema] };
        Terraform::with_environment(&settings(timeout, backend), None, &environment).unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Asked first, since its own children keep shared memory.
        let server = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(server, rustix::process::Signal::INT).unwrap();
        self.server.wait().unwrap();
    }
}

#[test]
#[ignore = "needs a PostgreSQL: scripts/run-integration-tests.sh"]
fn the_states_can_be_in_postgresql() {
    let postgres = Postgres::start();
    let terraform = postgres.terraform(60);
    let impatient = postgres.terraform(10);
    let workspace = terraform.open(&module(), &resource("a")).unwrap();
    apply(&workspace, Mode::Normal);
    let again = terraform.open(&module(), &resource("a")).unwrap();
    assert!(again.plan(Mode::Normal, true).unwrap().changes.is_empty());
    let other = terraform.open(&RootModule::parse("teams/b").unwrap(), &resource("a")).unwrap();
    assert_eq!(other.plan(Mode::Normal, true).unwrap().changes.summary(), "+1 ~0 -0");

    let number = std::process::id() + 1_000_000;
    let slow = impatient.open(&RootModule::parse("teams/slow").unwrap(), &slow(number)).unwrap();
    let plan = slow.plan(Mode::Normal, true).unwrap();
    thread::scope(|scope| {
        let applying = scope.spawn(|| slow.apply(&plan));
        let start = Instant::now();
        while !is_running(number) {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not start");
            thread::sleep(Duration::from_millis(50));
        }
        let locked = slow.plan(Mode::Normal, true).unwrap_err();
        assert_eq!(locked.to_string(), "the state is locked: its registry does not tell by whom");
        drop(applying.join().unwrap());
    });

    drop(postgres);
    let words = again.plan(Mode::Normal, true).unwrap_err().to_string();
    assert!(words.starts_with("`plan` failed:") && !words.contains("passw0rd"), "{words}");
}
