//! A Pod that delivers to repositories of its own on the real Gitea, over a network that a test disturbs.
#![expect(clippy::unwrap_used, reason = "a test")]

use super::gitea::{Organization, admin_token, api, ask, variable};
use super::proxy::{Call, Proxy, Verdict};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

type Decide = Box<dyn Fn(usize, &Call) -> Verdict + Send>;

/// What goes wrong in one run; calls are counted from 1.
pub enum Fault {
    None,
    /// The process is killed at a call: before Gitea hears it, or before the process hears the answer.
    Kill {
        at: usize,
        answered: bool,
    },
    /// What the network makes of each call.
    Network(Decide),
}

/// A Pod in which one request is delivered to repositories of its own, through a network that fails.
pub struct Site {
    pub organization: Organization,
    pub folder: tempfile::TempDir,
    pub wire: Arc<Wire>,
    pub proxy: Proxy,
    /// How long the last step took.
    pub took: Mutex<Duration>,
}

/// What the network does to the process that runs now.
pub struct Wire {
    fault: Mutex<Fault>,
    /// How many there were in the run.
    pub calls: AtomicUsize,
    process: AtomicU32,
    /// The path of a release that is removed when somebody waits for it.
    awaited: Mutex<Option<String>>,
}

impl Wire {
    pub fn decide(&self, call: &Call) -> Verdict {
        let number = self.calls.fetch_add(1, SeqCst) + 1;
        let waits = call.method == "GET" && call.path.contains("/releases/");
        if let Some(path) = self.awaited.lock().unwrap().take_if(|_| waits) {
            api("DELETE", &path, &Value::Null);
        }
        match &*self.fault.lock().unwrap() {
            Fault::Kill { at, answered: false } if *at == number => {
                self.kill(Signal::KILL);
                Verdict::CutBefore
            }
            Fault::Network(decide) => decide(number, call),
            _ => Verdict::Forward,
        }
    }

    pub fn answered(&self) {
        if matches!(*self.fault.lock().unwrap(), Fault::Kill { at, answered: true } if at == self.calls.load(SeqCst)) {
            self.kill(Signal::KILL);
        }
    }

    /// The process that calls, which may do so before we have learned its number.
    pub fn process(&self) -> u32 {
        while self.process.load(SeqCst) == 0 {
            thread::yield_now();
        }
        self.process.load(SeqCst)
    }

    pub fn kill(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.process()).unwrap()).unwrap(), signal).unwrap();
    }
}

impl Site {
    /// One whose repositories, and their organisation, are still to be made.
    pub fn new(name: &str) -> Self {
        Self::with_settings(Organization::planned(name), &json!({}))
    }

    /// One whose repositories have a first commit.
    pub fn prepared(name: &str, settings: &Value) -> Self {
        let organization = Organization::new(name);
        for role in ["catalog", "infrastructure"] {
            let repository = json!({"name": role, "private": true, "default_branch": "main", "auto_init": true});
            api("POST", &format!("/orgs/{}/repos", organization.0), &repository);
        }
        Self::with_settings(organization, settings)
    }

    /// With further settings of the configuration.
    pub fn with_settings(organization: Organization, settings: &Value) -> Self {
        let wire = Arc::new(Wire {
            fault: Mutex::new(Fault::None),
            calls: AtomicUsize::new(0),
            process: AtomicU32::new(0),
            awaited: Mutex::new(None),
        });
        let (before, after) = (wire.clone(), wire.clone());
        let authority = variable("GITEA_CA_FILE");
        let proxy = Proxy::start(
            &variable("GITEA_URL"),
            Some(Path::new(&authority)),
            move |call| before.decide(call),
            move |_| after.answered(),
        );
        let folder = tempfile::tempdir().unwrap();
        let site = Self { organization, folder, wire, proxy, took: Mutex::default() };
        let remote =
            |name: &str| json!({"owner": site.organization.0, "name": name, "create": true, "labels": ["goldpath"]});
        let mut config = json!({
            "gitea": {"url": site.proxy.url(), "tokenFile": "token"},
            "repositories": {"catalog": remote("catalog"), "infrastructure": remote("infrastructure")},
            // What a test does not break must not end because the machine has much else to do.
            "deadlineSeconds": 300, "callSeconds": 60,
        });
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        site.write("token", &admin_token());
        site.write("config.yaml", &config.to_string());
        // So that what is rendered is the same everywhere.
        site.write("render.yaml", "{}");
        site
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Has the next runs do something with the request, in a new Pod.
    pub fn ask_for(&self, generation: u64) {
        let metadata = json!({"name": "a", "namespace": "people", "generation": generation});
        let mut object = super::team(metadata, json!({"id": "alpha", "name": format!("A Team {generation}")}));
        object["status"] = self.metadata("status.yaml");
        self.write("input/object.yaml", &object.to_string());
        self.renew();
    }

    /// A new Pod for the same: the volumes are empty again.
    pub fn renew(&self) {
        for volume in ["output", "metadata"] {
            let _ = fs::remove_dir_all(self.folder.path().join(volume));
        }
    }

    pub fn metadata(&self, name: &str) -> Value {
        let text = fs::read(self.folder.path().join("metadata").join(name)).unwrap_or_default();
        serde_yaml::from_slice(&text).unwrap()
    }

    /// Has the network do this until it is told otherwise.
    pub fn disturb(&self, fault: Fault) {
        *self.wire.fault.lock().unwrap() = fault;
    }

    pub fn step(&self, name: &str, action: &str, config: &str) -> Output {
        let mut command = super::binary(name);
        command.current_dir(self.folder.path()).env("GOLDPATH_CONFIG", config).env("KRATIX_WORKFLOW_ACTION", action);
        for volume in ["INPUT", "OUTPUT", "METADATA"] {
            command.env(format!("KRATIX_{volume}"), volume.to_lowercase());
        }
        let start = Instant::now();
        let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.wire.process.store(process.id(), SeqCst);
        let output = process.wait_with_output().unwrap();
        *self.took.lock().unwrap() = start.elapsed();
        output
    }

    /// Runs the Pipeline as far as `commit`, with a fault, and gives how that ended.
    pub fn run(&self, action: &str, fault: Fault) -> Output {
        if action == "configure" {
            let output = self.step("render", action, "render.yaml");
            assert!(output.status.success(), "{}", super::transcript(&output));
        }
        *self.wire.fault.lock().unwrap() = fault;
        self.wire.calls.store(0, SeqCst);
        self.wire.process.store(0, SeqCst);
        let output = self.step("commit", action, "config.yaml");
        *self.wire.fault.lock().unwrap() = Fault::None;
        let said = ["status.yaml", "workflow-control.yaml"].map(|name| self.metadata(name).to_string()).concat();
        let text = format!("{}{said}", super::transcript(&output));
        let token = fs::read_to_string(self.folder.path().join("token")).unwrap_or_default();
        assert!(token.is_empty() || !text.contains(&token[..16]), "the token is shown, or a part of it");
        output
    }

    /// Runs the Pipeline without a fault: it must deliver.
    pub fn deliver(&self, action: &str) {
        let output = self.run(action, Fault::None);
        let text = super::transcript(&output);
        assert!(output.status.success() && !text.contains("later: "), "{text}");
    }

    /// Runs the Pipeline with a fault that it cannot get over, which must not make it fail: what it says.
    pub fn fall_behind(&self, fault: Fault) -> String {
        let output = self.run("configure", fault);
        let text = super::transcript(&output);
        assert!(output.status.success() && text.starts_with("later: "), "{text}");
        assert!(self.metadata("workflow-control.yaml")["retryAfter"].is_string(), "{text}");
        text
    }

    /// All that Gitea and the status hold, without the ids of commits and what each site has of its own.
    pub fn state(&self) -> String {
        let mut status = self.metadata("status.yaml");
        status["message"].take();
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["message"].take();
        }
        for repository in status["goldpath"]["repositories"].as_object_mut().into_iter().flatten() {
            repository.1["commit"].take();
            if let Some(pull) = repository.1["pullRequest"].as_object_mut() {
                pull.remove("url");
            }
        }
        format!("{status:#}\n{}", self.gitea())
            .replace(&self.organization.0, "ORGANIZATION")
            .replace(self.proxy.url(), "SERVER")
    }

    /// All that Gitea holds, as far as the repositories have been made.
    pub fn gitea(&self) -> String {
        let is_there = |path: &str| ask(&admin_token(), "GET", path, &Value::Null).0 == 200;
        let [catalog, infrastructure] = ["catalog", "infrastructure"]
            .map(|name| is_there(&self.organization.path(name, "")).then(|| self.repository(name)));
        let organization = is_there(&format!("/orgs/{}", self.organization.0));
        format!("{:#}", json!([organization, catalog, infrastructure]))
    }

    pub fn repository(&self, name: &str) -> Value {
        // An empty repository has not all of it.
        let get = |rest: &str| ask(&admin_token(), "GET", &self.organization.path(name, rest), &Value::Null).1;
        let list = |rest: &str| get(rest).as_array().cloned().unwrap_or_default();
        let branches = list("/branches").into_iter().map(|branch| {
            let head = branch["commit"]["id"].as_str().unwrap();
            let files = get(&format!("/git/trees/{head}?recursive=true"))["tree"].take();
            let files: Vec<_> =
                files.as_array().unwrap().iter().map(|file| json!([file["path"], file["sha"]])).collect();
            let commits = list(&format!("/commits?sha={head}&limit=50&stat=false&files=false"));
            let messages: Vec<_> = commits.iter().map(|commit| &commit["commit"]["message"]).collect();
            (branch["name"].as_str().unwrap().to_owned(), json!([files, messages]))
        });
        let pulls = list("/pulls?state=all").into_iter().map(|pull| {
            let labels: Vec<_> = pull["labels"].as_array().unwrap().iter().map(|label| &label["name"]).collect();
            let [number, title, body, state] = ["number", "title", "body", "state"].map(|key| &pull[key]);
            json!([number, title, body, state, pull["merged"], pull["comments"], pull["head"]["ref"], labels])
        });
        let releases = list("/releases?draft=true").into_iter().map(|release| release["tag_name"].clone());
        json!({
            "branches": branches.collect::<serde_json::Map<String, Value>>(),
            "pulls": pulls.collect::<Value>(),
            "releases": releases.collect::<Value>(),
        })
    }

    /// Leaves a ticket in the line, as another writer's, until somebody waits for it.
    pub fn have_another_wait(&self) {
        let path = self.organization.path("catalog", "/releases");
        let ticket =
            json!({"tag_name": "goldpath/queue/another", "target_commitish": "main", "body": "", "draft": true});
        let release = api("POST", &path, &ticket);
        *self.wire.awaited.lock().unwrap() = Some(format!("{path}/{}", release["id"]));
    }

    pub fn merge_the_last(&self) {
        let last = self.organization.pulls("infrastructure").pop().unwrap();
        self.organization.merge("infrastructure", last["number"].as_u64().unwrap());
    }
}

/// One thing that becomes of a request, after something that is done undisturbed.
pub struct Stage {
    pub what: &'static str,
    pub prepare: fn(&Site),
    pub action: &'static str,
}

/// What becomes of a request, in turn.
pub const LIFE: [Stage; 5] = [
    Stage {
        what: "a creation, of organisation and repositories too",
        prepare: |site| site.ask_for(1),
        action: "configure",
    },
    Stage {
        what: "an update of what waits for a review, while another writes the catalog",
        prepare: |site| {
            site.have_another_wait();
            site.ask_for(2);
        },
        action: "configure",
    },
    Stage { what: "a deletion of what was not merged", prepare: |site| site.ask_for(2), action: "delete" },
    Stage {
        what: "a deletion of what was merged",
        prepare: |site| {
            site.ask_for(3);
            site.deliver("configure");
            site.merge_the_last();
            site.ask_for(3);
        },
        action: "delete",
    },
    Stage { what: "a creation before the deletion is merged", prepare: |site| site.ask_for(4), action: "configure" },
];

/// Does a thing once, at a call, and lets all calls through.
pub fn at(call: usize, thing: impl Fn() + Send + 'static) -> Fault {
    Fault::Network(Box::new(move |number, _| {
        if number == call {
            thing();
        }
        Verdict::Forward
    }))
}

pub fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Verdict {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Verdict::Answer { status, headers, body: body.to_owned() }
}
