//! A platform with review on the real Gitea: what `goldpath platform setup` makes from an
//! empty server, and the two runners of its review repository.
#![expect(clippy::unwrap_used, reason = "a test")]

use super::gitea::{Organization, User, admin_token, api, ask, variable};
use super::review::{Managed, last_status};
use super::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The labels of the runners, and the workflows that they run.
pub const PLAN: &str = "goldpath-plan";
pub const APPLY: &str = "goldpath-apply";

/// The two repositories and the states, with people, users and runners; all of it goes with it.
pub struct Platform {
    /// What the names of the users begin with that the script makes.
    pub users: String,
    /// Holds `platform.yaml`, `credentials/token`, the requests, and the runners' folders with what they say.
    pub folder: tempfile::TempDir,
    runners: Vec<Runner>,
    /// May write the infrastructure repository, and approves.
    pub reviewer: User,
    /// The only platform owner.
    pub owner: User,
    owner_token: String,
    pub organization: Organization,
}

impl Platform {
    /// One whose Terraform is a shell script, which has the real one in `$terraform` and the folder in `$folder`.
    pub fn new(name: &str, terraform: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = User::new(&format!("{name}-owner"));
        let owner_token = owner.token("owner", &["write:repository", "write:issue"]);
        let mut platform = Self {
            users: format!("gp-{name}-{}", std::process::id()),
            folder,
            runners: Vec::new(),
            reviewer: User::new(&format!("{name}-reviewer")),
            owner,
            owner_token,
            organization: Organization::planned(name),
        };
        platform.configure(terraform);
        platform.set_up();
        platform.reviewer.join(&platform.organization, "infrastructure", "write");
        for label in [PLAN, APPLY] {
            platform.start_runner(label);
        }
        platform
    }

    fn configure(&self, terraform: &str) {
        let real = Command::new("sh").args(["-c", "command -v terraform"]).output().unwrap();
        let real = String::from_utf8(real.stdout).unwrap();
        let wrapper = self.file("terraform.sh");
        let folder = self.folder.path().display();
        let script =
            format!("#!/bin/bash\nterraform={} folder={folder}\n{terraform}\nexec $terraform \"$@\"\n", real.trim());
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let owner = &self.organization.0;
        let config = json!({
            "gitea": {"url": variable("GITEA_URL"), "caFile": variable("GITEA_CA_FILE"), "tokenFile": "credentials/token"},
            "repositories": {
                "catalog": {"owner": owner, "name": "catalog", "delivery": "commit"},
                "infrastructure": {"owner": owner, "name": "infrastructure", "delivery": "pull-request"},
            },
            "state": {"owner": owner},
            "review": {
                "user": format!("{}-review", self.users),
                "repository": {"owner": owner, "name": "review"},
                "owners": [self.owner.0],
                "terraform": {"program": wrapper, "lockTimeoutSeconds": 1},
            },
        });
        fs::write(self.file("platform.yaml"), config.to_string()).unwrap();
    }

    /// Runs the stage, again too; gives what it says.
    pub fn set_up(&self) -> String {
        let mut command = script("05-setup-kratix-repo.sh");
        command.current_dir(self.folder.path()).env("GOLDPATH_POC", self.file("poc"));
        command.env("GOLDPATH_BINARIES", super::program().parent().unwrap());
        command.args(["--config", "platform.yaml", "--runner", "host", "--credentials", "credentials"]);
        let output = command.args(["--log-folder", "log"]).output().unwrap();
        let text = super::transcript(&output);
        assert!(output.status.success(), "{text}");
        text
    }

    /// Starts the runner of a label, again too, and waits until Gitea knows of it.
    pub fn start_runner(&mut self, label: &str) {
        let folder = self.file(label);
        fs::create_dir_all(&folder).unwrap();
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let program = super::program();
        let path = format!("{}:{}", program.parent().unwrap().display(), variable("PATH"));
        let runner = PathBuf::from(variable("RUNNER_PATH")).join("gitea-runner");
        let mut command = script("start-runner.sh");
        command.args(["--repository", &format!("{}/review", self.organization.0), "--label", label, "--folder"]);
        command.arg(&folder).env("PATH", path).env("GITEA_RUNNER", runner);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut runner = Runner { process: command.spawn().unwrap(), folder };
        until(
            30,
            || "a runner".to_owned(),
            || {
                let ended = runner.process.try_wait().unwrap();
                assert!(ended.is_none(), "the runner has ended: {}", runner.log());
                let answer = api("GET", &self.organization.path("review", "/actions/runners"), &Value::Null);
                let is_it =
                    |r: &Value| r["name"].as_str().unwrap_or_default().starts_with(label) && r["status"] != "offline";
                answer["runners"].as_array().into_iter().flatten().any(is_it).then_some(())
            },
        );
        self.runners.push(runner);
    }

    /// Kills the runner of a label with its jobs and all that these have started, as a machine that goes away.
    pub fn kill_runner(&mut self, label: &str) {
        self.runners.retain(|runner| !runner.folder.ends_with(label));
    }

    /// Has a request for a Team delivered from a laptop, as its writer.
    pub fn deliver(&self, team: &Managed, spec: &str, arguments: &[&str]) -> Value {
        let file = format!("{}.yaml", team.0);
        let text = super::team_text(&team.0, &format!("id: {}, {spec}", team.0));
        fs::write(self.file(&file), text).unwrap();
        let output =
            super::gitea::goldpath(self.folder.path(), &[&["-f", &file], arguments].concat()).output().unwrap();
        assert!(output.status.success(), "{}", super::transcript(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()[0].clone()
    }

    /// How a request stands for somebody who has nothing but the repositories; nothing where they hold nothing of it.
    pub fn standing(&self, team: &Managed) -> Option<Value> {
        let mut command = super::binary("goldpath");
        command.current_dir(self.folder.path()).args(["list", "-o", "json", "--config", "platform.yaml"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", super::transcript(&output));
        let standings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        standings.into_iter().find(|standing| standing["request"]["name"] == team.0.as_str())
    }

    /// The pull request that is open, which must be the only one.
    pub fn pull(&self) -> u64 {
        let pulls = self.organization.pulls("infrastructure");
        let open: Vec<_> = pulls.iter().filter(|pull| pull["state"] == "open").collect();
        assert_eq!(open.len(), 1, "{open:?}");
        open[0]["number"].as_u64().unwrap()
    }

    /// Waits for a status of a pull request's head, as `success: +3 ~0 -0`.
    pub fn planned(&self, number: u64, status: &str) {
        self.wait_for_status(status, || self.plan_status(number));
    }

    pub fn plan_status(&self, number: u64) -> String {
        let head = self.get(&format!("/pulls/{number}"))["head"]["sha"].as_str().unwrap().to_owned();
        last_status(&self.organization, &self.robot(), &head, "goldpath/plan")
    }

    /// Waits for a status of the commit that merged a pull request.
    pub fn applied(&self, number: u64, team: &Managed, status: &str) {
        self.wait_for_status(status, || self.apply_status(number, team));
    }

    fn wait_for_status(&self, status: &str, look: impl Fn() -> String) {
        let seen = RefCell::new(String::new());
        let what = || format!("`{status}`, and the last status was `{}`", seen.borrow());
        self.wait(what, || {
            *seen.borrow_mut() = look();
            (*seen.borrow() == status).then_some(())
        });
    }

    pub fn apply_status(&self, number: u64, team: &Managed) -> String {
        let commit = self.get(&format!("/pulls/{number}"))["merge_commit_sha"].as_str().unwrap().to_owned();
        last_status(&self.organization, &self.robot(), &commit, &format!("goldpath/apply: teams/{}", team.0))
    }

    /// What the user says whose word counts, in the comments of a pull request.
    pub fn comments(&self, number: u64) -> Vec<String> {
        let comments = self.get(&format!("/issues/{number}/comments"));
        let ours = comments.as_array().unwrap().iter().filter(|c| c["user"]["login"] == self.robot().as_str());
        ours.map(|comment| comment["body"].as_str().unwrap().to_owned()).collect()
    }

    pub fn approve(&self, user: &User, number: u64) {
        // Gitea's times have seconds, and an approval must be later than what it approves.
        std::thread::sleep(Duration::from_millis(1100));
        let token = user.token(&format!("approve {number}"), &["write:repository", "write:issue"]);
        let head = self.get(&format!("/pulls/{number}"))["head"]["sha"].clone();
        let body = json!({"event": "APPROVED", "body": "", "commit_id": head});
        let path = self.organization.path("infrastructure", &format!("/pulls/{number}/reviews"));
        let (status, answer) = ask(&token, "POST", &path, &body);
        assert_eq!(status, 200, "{answer}");
    }

    /// Merges as the platform owner, as soon as the branch's protection lets it.
    pub fn merge(&self, number: u64) {
        let path = self.organization.path("infrastructure", &format!("/pulls/{number}/merge"));
        self.wait(
            || format!("#{number} to be merged"),
            || {
                let (status, answer) = ask(&self.owner_token, "POST", &path, &json!({"Do": "merge"}));
                assert!(matches!(status, 200 | 405), "{status} {answer}");
                (status == 200).then_some(())
            },
        );
    }

    /// Starts a workflow of the review repository by hand, as an administrator; gives the id of the run.
    pub fn dispatch(&self, workflow: &str, inputs: &Value) -> u64 {
        let path = format!("/actions/workflows/{workflow}.yaml/dispatches?return_run_details=true");
        let body = json!({"ref": "main", "inputs": inputs});
        let run = api("POST", &self.organization.path("review", &path), &body);
        run["workflow_run_id"].as_u64().unwrap()
    }

    /// Waits for the end of a run, and gives it, as `success`.
    pub fn ended(&self, run: u64) -> String {
        let path = self.organization.path("review", &format!("/actions/runs/{run}"));
        self.wait(
            || format!("the run {run} to end"),
            || {
                let run = api("GET", &path, &Value::Null);
                (run["status"] == "completed").then(|| run["conclusion"].as_str().unwrap().to_owned())
            },
        )
    }

    /// The runs of the review repository, the last first.
    pub fn runs(&self) -> Vec<Value> {
        self.runs_of("review")
    }

    fn runs_of(&self, repository: &str) -> Vec<Value> {
        let runs = api("GET", &self.organization.path(repository, "/actions/runs?limit=50"), &Value::Null);
        runs["workflow_runs"].as_array().unwrap().clone()
    }

    pub fn wait<T>(&self, what: impl Fn() -> String, look: impl FnMut() -> Option<T>) -> T {
        let told = || {
            let pulls = self.organization.pulls("infrastructure");
            let pulls: Vec<_> =
                pulls.iter().map(|p| format!("#{} {} {}", p["number"], p["state"], p["created_at"])).collect();
            let mut runs = pulls;
            for repository in ["infrastructure", "review"] {
                for r in self.runs_of(repository) {
                    runs.push(format!(
                        "{} {} {} {} {} {}",
                        r["started_at"], repository, r["path"], r["event"], r["status"], r["conclusion"]
                    ));
                }
            }
            let logs: Vec<_> = self.runners.iter().map(Runner::log).collect();
            format!("{}:\n{}\n{}\n{}", what(), logs.join("\n"), self.job_logs(), runs.join("\n"))
        };
        until(90, told, look)
    }

    /// What the last jobs have printed, for who reads why a test has failed.
    pub fn job_logs(&self) -> String {
        let mut text = String::new();
        for run in self.runs().iter().take(3) {
            let jobs = self.organization.path("review", &format!("/actions/runs/{}/jobs", run["id"]));
            let jobs = api("GET", &jobs, &Value::Null);
            for job in jobs["jobs"].as_array().into_iter().flatten() {
                let url = format!(
                    "/api/v1{}",
                    self.organization.path("review", &format!("/actions/jobs/{}/logs", job["id"]))
                );
                text += &super::gitea::get_text(&url);
            }
        }
        text
    }

    fn get(&self, rest: &str) -> Value {
        api("GET", &self.organization.path("infrastructure", rest), &Value::Null)
    }

    /// The user whose statuses and comments count.
    fn robot(&self) -> String {
        format!("{}-review", self.users)
    }

    /// Runs a command line on a machine of the platform's people.
    pub fn run(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut command = super::binary(words.next().unwrap());
        command.current_dir(self.folder.path()).args(words).args(["--config", "platform.yaml"]);
        let output = command.env("TF_HTTP_PASSWORD", admin_token()).output().unwrap();
        let text = super::transcript(&output);
        assert!(output.status.success(), "{line}: {text}");
        text
    }

    pub fn wait_for_file(&self, name: &str) {
        self.wait(|| format!("the file {name}"), || self.file(name).exists().then_some(()));
    }

    pub fn write(&self, name: &str) {
        fs::write(self.file(name), "").unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An id for a Team that no other test has; what Terraform makes of it goes with [`Managed`].
    pub fn team(&self, name: &str) -> Managed {
        Managed(format!("gp-{}-{name}", std::process::id()))
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.runners.clear();
        let token = admin_token();
        for user in ["", "-review", "-bell", "-terraform"] {
            ask(&token, "DELETE", &format!("/admin/users/{}{user}?purge=true", self.users), &json!({}));
        }
    }
}

/// A runner, and what its jobs started: each step of a job is in a process group of its own.
struct Runner {
    process: Child,
    folder: PathBuf,
}

impl Runner {
    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Asked to end, it would wait until its job has ended. Children are found while it is known whose they are; the
        // runner goes first, so that it does not tell Gitea that its job has failed.
        let jobs = descendants(self.process.id());
        let _ = self.process.kill();
        for process in jobs {
            let _ = i32::try_from(process).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = self.process.wait();
    }
}

/// The processes that a process started, and those that these started.
fn descendants(process: u32) -> Vec<u32> {
    let children = |process: u32| -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        lists.flat_map(|l| l.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
    };
    let mut found = children(process);
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        found.extend(children(process));
        next += 1;
    }
    found
}

/// A script of ours, with the administrator's token.
pub fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name));
    command.env("GITEA_ADMIN_TOKEN_FILE", variable("GITEA_TOKEN_FILE"));
    command
}
