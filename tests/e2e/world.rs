//! The platform that the stories run on: cluster with Kratix, Gitea, runners, Terraform; and requests.

use crate::kratix::StandIn;
use crate::kubernetes::Kubernetes;
use crate::support::gitea::{User, admin_token, ask, files_of, variable};
use crate::support::platform::{Platform, script};
use crate::support::review::Managed;
use crate::support::{program, team, transcript, until};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// What the API paths of Teams begin with.
const GROUP: &str = "/apis/platform.kratix.io/v1alpha1";
/// Of everything that stories make in the cluster.
const LABEL: &str = "goldpath.dev/e2e";

/// Made once for all stories by the scripts that people use; all of it goes with it.
pub struct World {
    pub kubernetes: Kubernetes,
    pub platform: RwLock<Platform>,
    /// The organisation of the platform's repositories.
    pub organization: String,
    /// The file with a token of the platform's owner, who approves and merges.
    owner_token: String,
    /// The Gitea repository that Kratix writes manifests to.
    pub state: String,
    /// The image that the Promise names.
    pub image: String,
    kratix: Mutex<Option<StandIn>>,
}

impl World {
    pub fn new() -> Self {
        let kubernetes = Kubernetes::connect();
        if !is_real() {
            StandIn::remove(&kubernetes);
        }
        clear(&kubernetes);
        let kratix = (!is_real()).then(|| StandIn::start(kubernetes.clone(), authority()));
        let platform = Platform::new("e2e", "");
        let organization = platform.organization.0.clone();
        let owner_token = platform.file("owner.token").display().to_string();
        let token = platform.owner.token("e2e", &["write:repository", "write:issue", "read:user"]);
        fs::write(&owner_token, token).unwrap();
        let state = state_of(&kubernetes).unwrap_or_else(|| {
            let state = format!("{organization}/state");
            run(script("04-configure-ssh-gitea.sh").args(["--repository", &state, "--log-folder"]).arg(logs("setup")));
            state
        });
        let version = env!("CARGO_PKG_VERSION");
        let world = Self {
            kubernetes,
            platform: RwLock::new(platform),
            organization,
            owner_token,
            state,
            image: format!("localhost/goldpath:v{version}"),
            kratix: Mutex::new(kratix),
        };
        world.install();
        world
    }

    /// The configuration, the token and the Promises, by the script that people use.
    fn install(&self) {
        let platform = self.platform();
        let mut config: Value = serde_json::from_str(&platform.read("platform.yaml")).unwrap();
        config["gitea"]["caFile"] = "ca.crt".into();
        config["gitea"]["tokenFile"] = "token".into();
        let store = self.store()["name"].clone();
        config["stateStores"] =
            json!([{"name": store, "url": self.state_url(), "branch": "main", "secret": "e2e-state"}]);
        fs::write(platform.file("cluster.yaml"), config.to_string()).unwrap();
        fs::copy(variable("GITEA_CA_FILE"), platform.file("ca.crt")).unwrap();
        let mut command = script("02-install-kratix.sh");
        command.current_dir(platform.folder.path());
        command.args(["--existing", "--only", "promises", "--config", "cluster.yaml", "--ca", "ca.crt"]);
        command.args(["--token", "credentials/token", "--load", "containerd"]);
        command.args(["--address", &variable("CONTAINERD_ADDRESS"), "--log-folder"]).arg(logs("setup"));
        run(&mut command);
    }

    pub fn platform(&self) -> RwLockReadGuard<'_, Platform> {
        self.platform.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A namespace of a story's own.
    pub fn namespace(&self, name: &str) -> String {
        self.make_namespace(&format!("goldpath-e2e-{name}"))
    }

    fn make_namespace(&self, name: &str) -> String {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {LABEL: "true"}}});
        self.kubernetes.apply(&format!("/api/v1/namespaces/{name}"), &object);
        name.to_owned()
    }

    /// An Environment that is to be, in the platform's namespace.
    pub fn environment(&self, name: &str) -> Request<'_> {
        let namespace = self.make_namespace("platform");
        Request { world: self, kind: "Environment", plural: "environments", namespace, name: name.to_owned() }
    }

    /// An Application that is to be.
    pub fn application(&self, namespace: &str, name: &str) -> Request<'_> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Request { world: self, kind: "Application", plural: "applications", namespace, name }
    }

    /// The text of a file in the repository that Kratix writes to.
    pub fn text_of_state(&self, path: &str) -> String {
        crate::support::gitea::get_text(&format!("/api/v1/repos/{}/raw/{path}?ref=main", self.state))
    }

    /// The address of the repository that Kratix writes to.
    pub fn state_url(&self) -> String {
        format!("{}/{}.git", variable("GITEA_URL"), self.state)
    }

    /// The store of the platform's own Destination.
    pub fn store(&self) -> Value {
        let destination = self.kubernetes.get(&format!("{GROUP}/destinations/platform")).unwrap();
        let store = &destination["spec"]["stateStoreRef"];
        json!({"kind": store["kind"], "name": store["name"]})
    }

    /// A Team that is to be; its organisation in Gitea goes with it.
    pub fn team<'w>(&'w self, namespace: &str, name: &str, id: &str) -> Team<'w> {
        let managed = Managed(format!("gp-{}-{id}", std::process::id()));
        Team { world: self, namespace: namespace.to_owned(), name: name.to_owned(), managed }
    }

    /// The paths in the repository that Kratix writes to that begin so.
    pub fn paths_of_state(&self, begin: &str) -> Vec<String> {
        files_of(&self.state, "main").unwrap_or_default().into_iter().filter(|path| path.starts_with(begin)).collect()
    }

    /// The files of the platform's own repositories, `catalog` or `infrastructure`.
    pub fn files(&self, repository: &str) -> Vec<String> {
        files_of(&format!("{}/{repository}", self.organization), "main").unwrap()
    }

    /// The number of commits on the branch `main` of the platform's own repositories, `catalog` or `infrastructure`.
    pub fn commits(&self, repository: &str) -> usize {
        self.commits_to(repository, "")
    }

    /// The number of those that change a file.
    pub fn commits_to(&self, repository: &str, file: &str) -> usize {
        let mut all = 0;
        for page in 1.. {
            let rest = "stat=false&verification=false&files=false&limit=50";
            let path =
                format!("/repos/{}/{repository}/commits?sha=main&path={file}&{rest}&page={page}", self.organization);
            let (_, answer) = ask(&admin_token(), "GET", &path, &Value::Null);
            let found = answer.as_array().map_or(0, Vec::len);
            all += found;
            if found < 50 {
                break;
            }
        }
        all
    }

    /// The stage of the proof of concept that looks at Teams, with what makes it look at this platform.
    pub fn look_at_teams(&self) -> Command {
        let platform = self.platform();
        let mut command = script("06-test-teams.sh");
        command.args(["--installed", "--id", &format!("gp-{}-alpha", std::process::id())]);
        command.arg("--config").arg(platform.file("platform.yaml")).args(["--owner-token", &self.owner_token]);
        command.arg("--log-folder").arg(logs("teams")).env("GOLDPATH_BINARIES", program().parent().unwrap());
        command
    }

    /// Runs a command of the environment's that takes a server away or brings it back.
    pub fn disturb(&self, name: &str) {
        let line = variable(name);
        run(Command::new("bash").args(["-c", &line]));
    }

    /// Leaves what tells why a story has failed: objects, events, logs and repositories, as far as they can be had.
    pub fn keep_artefacts(&self, story: &str) {
        let folder = logs(story);
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, command: &mut Command| {
            let output = command.output().map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
            fs::write(folder.join(name), output).unwrap();
        };
        for kind in [
            "teams.platform.kratix.io",
            "environments.platform.kratix.io",
            "applications.platform.kratix.io",
            "destinations",
            "works",
            "workplacements",
            "jobs",
            "pods",
            "events",
            "promises",
        ] {
            let arguments = ["get", kind, "--all-namespaces", "--output", "yaml", "--request-timeout", "20s"];
            write(&format!("{kind}.yaml"), Command::new("kubectl").args(arguments));
        }
        for namespace in namespaces(&self.kubernetes) {
            let script = format!(
                "for pod in $(kubectl get pods -n {namespace} -o name); do echo \"== $pod\"; \
                 kubectl logs -n {namespace} $pod --all-containers --prefix --tail 200; done"
            );
            write(&format!("{namespace}.log"), Command::new("bash").args(["-c", &script]));
        }
        let header = format!("Authorization: token {}", admin_token());
        for repository in
            [&self.state, &format!("{}/catalog", self.organization), &format!("{}/infrastructure", self.organization)]
        {
            let mut clone = Command::new("git");
            clone.args(["clone", "--quiet", "--mirror", &format!("{}/{repository}.git", variable("GITEA_URL"))]);
            let name = repository.rsplit('/').next().unwrap();
            clone.arg(folder.join(name));
            let config = [("http.extraHeader", header.as_str()), ("http.sslCAInfo", &variable("GITEA_CA_FILE"))];
            clone.env("GIT_CONFIG_COUNT", config.len().to_string());
            for (number, (key, value)) in config.into_iter().enumerate() {
                clone.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
            }
            write(&format!("{name}.log"), &mut clone);
        }
        println!("what tells why is in {}", folder.display());
    }

    /// Stops what runs the Promises, in the middle of whatever it does, and starts it again.
    pub fn restart_kratix(&self) {
        let mut kratix = self.kratix.lock().unwrap_or_else(PoisonError::into_inner);
        match kratix.take() {
            Some(stand_in) => {
                stand_in.stop();
                *kratix = Some(StandIn::start(self.kubernetes.clone(), authority()));
            }
            None => self.disturb("GOLDPATH_RESTART_KRATIX"),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        clear(&self.kubernetes);
        if let Some(stand_in) = self.kratix.lock().unwrap_or_else(PoisonError::into_inner).take() {
            stand_in.stop();
            StandIn::remove(&self.kubernetes);
        }
    }
}

/// Whether the real Kratix runs, as `scripts/run-e2e-tests.sh` has found out.
pub fn is_real() -> bool {
    variable("GOLDPATH_KRATIX") == "real"
}

/// What stories leave, also of a run that was killed: requests are let go as they are, because nobody reviews any more.
fn clear(kubernetes: &Kubernetes) {
    let namespaces = namespaces(kubernetes);
    for (promise, plural, group) in [
        ("application", "applications", GROUP),
        ("environment", "environments", GROUP),
        ("team", "teams", GROUP),
        ("minimal", "minimals", "/apis/e2e.goldpath.dev/v1alpha1"),
    ] {
        for namespace in &namespaces {
            let path = format!("{group}/namespaces/{namespace}/{plural}");
            let requests = kubernetes.get(&path).unwrap_or_default();
            for request in requests["items"].as_array().into_iter().flatten() {
                let path = format!("{path}/{}", request["metadata"]["name"].as_str().unwrap());
                kubernetes.delete(&path);
                kubernetes.send_merge(&path, &json!({"metadata": {"finalizers": null}}));
            }
        }
        kubernetes.delete(&format!("{GROUP}/promises/{promise}"));
    }
    for namespace in &namespaces {
        kubernetes.delete(&format!("/api/v1/namespaces/{namespace}"));
    }
    for destination in
        kubernetes.get(&format!("{GROUP}/destinations")).unwrap_or_default()["items"].as_array().into_iter().flatten()
    {
        let name = destination["metadata"]["name"].as_str().unwrap();
        if name.starts_with("e2e") {
            kubernetes.delete(&format!("{GROUP}/destinations/{name}"));
        }
    }
    let is_gone = |promise: &str| kubernetes.get(&format!("{GROUP}/promises/{promise}")).is_none();
    let gone =
        || self::namespaces(kubernetes).is_empty() && ["team", "environment", "application"].into_iter().all(is_gone);
    until(120, || "what was left to be gone".to_owned(), || gone().then_some(()));
}

/// The namespaces of stories.
fn namespaces(kubernetes: &Kubernetes) -> Vec<String> {
    let found = kubernetes.list(&format!("/api/v1/namespaces?labelSelector={}%3Dtrue", LABEL.replace('/', "%2F")));
    found.iter().map(|namespace| namespace["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// The repository of the Destination `platform`, where there is one.
fn state_of(kubernetes: &Kubernetes) -> Option<String> {
    let destination = kubernetes.get(&format!("{GROUP}/destinations/platform"))?;
    let store = destination["spec"]["stateStoreRef"]["name"].as_str()?;
    let store = kubernetes.get(&format!("{GROUP}/gitstatestores/{store}"))?;
    let url = store["spec"]["url"].as_str()?.strip_suffix(".git")?;
    let mut parts = url.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    Some(format!("{owner}/{name}"))
}

/// The certificate authority of Gitea.
fn authority() -> PathBuf {
    variable("GITEA_CA_FILE").into()
}

/// Where a script leaves its log, and what tells why it failed.
fn logs(name: &str) -> PathBuf {
    Path::new(&variable("GOLDPATH_ARTEFACTS")).join(name)
}

/// Runs what must go well, and gives what it says.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = transcript(&output);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// `kubectl`, as people use it.
pub fn kubectl(arguments: &[&str]) -> String {
    run(Command::new("kubectl").args(arguments))
}

/// One request.
pub struct Team<'w> {
    world: &'w World,
    pub namespace: String,
    pub name: String,
    /// Its id, and what Terraform makes of it.
    pub managed: Managed,
}

impl Team<'_> {
    fn path(&self) -> String {
        format!("{GROUP}/namespaces/{}/teams/{}", self.namespace, self.name)
    }

    /// Applies it with a spec beside its id, as `kubectl apply` would.
    pub fn apply(&self, spec: &Value) {
        let mut spec = spec.clone();
        spec["id"] = self.managed.0.clone().into();
        let object = team(json!({"name": self.name, "namespace": self.namespace}), spec);
        self.world.kubernetes.apply(&self.path(), &object);
    }

    pub fn get(&self) -> Option<Value> {
        self.world.kubernetes.get(&self.path())
    }

    pub fn delete(&self) {
        self.world.kubernetes.delete(&self.path());
    }

    /// Has Kratix run it now, and not when it comes back by itself, which is after minutes.
    pub fn run_again(&self) {
        self.world
            .kubernetes
            .merge(&self.path(), &json!({"metadata": {"labels": {"kratix.io/manual-reconciliation": "true"}}}));
    }

    /// Waits until it is as it must be.
    pub fn wait(&self, seconds: u64, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let seen = RefCell::new(Value::Null);
        let told = || format!("{}/{}: {what}; it is {}", self.namespace, self.name, seen.borrow()["status"]);
        until(seconds, told, || {
            let object = self.get()?;
            let found = is_so(&object).then(|| object.clone());
            *seen.borrow_mut() = object;
            found
        })
    }

    /// Waits until what its spec says now is delivered.
    pub fn delivered(&self, seconds: u64) -> Value {
        self.wait(seconds, "to be delivered", |team| {
            is_current(team)
                && condition(team, "Delivered")["status"] == "True"
                && !team["status"]["goldpath"]["phase"].is_null()
        })
    }

    /// Waits until a phase is told, having Kratix look each time that this can have come about.
    pub fn reaches(&self, phase: &str) -> Value {
        self.run_again();
        self.wait(120, phase, |team| is_current(team) && team["status"]["goldpath"]["phase"] == phase)
    }

    /// From its open pull request to what that brings about, as `+1 ~0 -0`; gives the request when it says so.
    pub fn review(&self, changes: &str) -> Value {
        self.approve(changes);
        self.reaches("applied")
    }

    /// Waits for the plan of its pull request, has it approved and merged by an owner, and waits until it is applied.
    pub fn approve(&self, changes: &str) {
        let number = self.pull();
        let platform = self.world.platform();
        let (done, owners) = (format!("success: {changes}"), "pending: a platform owner must approve this: ");
        platform.wait(
            || format!("the plan of #{number}: {changes}"),
            || {
                let status = platform.plan_status(number);
                (status == done || status.starts_with(owners)).then_some(())
            },
        );
        platform.approve(&platform.owner, number);
        platform.merge(number);
        platform.applied(number, &self.managed, &done);
    }

    /// The number of its pull request, once it is open.
    pub fn pull(&self) -> u64 {
        let branch = format!("team/{}/{}", self.namespace, self.name);
        until(
            60,
            || format!("a pull request from {branch}"),
            || {
                let platform = self.world.platform();
                let pulls = platform.organization.pulls("infrastructure");
                let ours = pulls
                    .iter()
                    .rfind(|p| p["state"] == "open" && p["head"]["ref"].as_str().unwrap().ends_with(&branch));
                ours.map(|pull| pull["number"].as_u64().unwrap())
            },
        )
    }

    /// The names of its manifests at the Destination.
    pub fn manifests(&self) -> Vec<String> {
        let folder = format!("platform/resources/{}/team/{}/", self.namespace, self.name);
        let stored = self.world.paths_of_state(&folder);
        let mut names: Vec<_> = stored.iter().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Its Jobs, the oldest first.
    pub fn jobs(&self) -> Vec<Value> {
        let path = format!(
            "/apis/batch/v1/namespaces/{}/jobs?labelSelector=kratix.io%2Fresource-name%3D{}",
            self.namespace, self.name
        );
        let mut jobs = self.world.kubernetes.list(&path);
        jobs.sort_by_key(|job| job["metadata"]["creationTimestamp"].as_str().unwrap().to_owned());
        jobs
    }
}

/// A request of another kind.
pub struct Request<'w> {
    world: &'w World,
    kind: &'static str,
    plural: &'static str,
    pub namespace: String,
    pub name: String,
}

impl Request<'_> {
    /// The path of those of its kind in its namespace.
    pub fn collection(&self) -> String {
        format!("{GROUP}/namespaces/{}/{}", self.namespace, self.plural)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    pub fn apply(&self, spec: &Value) {
        let metadata = json!({"name": self.name, "namespace": self.namespace});
        let object =
            json!({"apiVersion": "platform.kratix.io/v1alpha1", "kind": self.kind, "metadata": metadata, "spec": spec});
        self.world.kubernetes.apply(&self.path(), &object);
    }

    pub fn get(&self) -> Option<Value> {
        self.world.kubernetes.get(&self.path())
    }

    pub fn delete(&self) {
        self.world.kubernetes.delete(&self.path());
    }

    pub fn wait(&self, seconds: u64, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let seen = RefCell::new(Value::Null);
        let told = || format!("{}/{}: {what}; it is {}", self.namespace, self.name, seen.borrow()["status"]);
        until(seconds, told, || {
            let object = self.get()?;
            let found = is_so(&object).then(|| object.clone());
            *seen.borrow_mut() = object;
            found
        })
    }

    /// Waits until what its spec says now is delivered.
    pub fn delivered(&self) -> Value {
        self.wait(120, "to be delivered", |object| {
            is_current(object)
                && condition(object, "Delivered")["status"] == "True"
                && !object["status"]["goldpath"]["phase"].is_null()
        })
    }
}

/// Whether the status is about the spec as it is now.
pub fn is_current(team: &Value) -> bool {
    team["status"]["goldpath"]["observedGeneration"] == team["metadata"]["generation"]
}

/// One of a request's conditions.
pub fn condition<'v>(team: &'v Value, kind: &str) -> &'v Value {
    let all = team["status"]["conditions"].as_array().into_iter().flatten();
    all.rev().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// A person of a story's own.
pub fn person(name: &str) -> User {
    User::new(&format!("e2e-{name}"))
}
