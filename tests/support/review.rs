//! An infrastructure repository and its review repository on the real Gitea, with people, and our
//! commands run as the review repository's workflows run them.
#![expect(clippy::unwrap_used, reason = "a test")]

use super::gitea::{Organization, User, admin_token, api, ask, variable};
use super::until;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Two repositories, their people, and what Terraform makes of them.
pub struct Review {
    pub folder: tempfile::TempDir,
    /// With the repositories `catalog`, `infrastructure` and `review`.
    pub organization: Organization,
    /// Whose registry holds the states.
    pub states: Organization,
    /// Our own user.
    pub robot: User,
    pub robot_token: String,
    /// May write the infrastructure repository, and nothing else.
    pub writer: User,
    pub writer_token: String,
    /// May write it too, and approves.
    pub reviewer: User,
    /// A platform owner.
    pub owner: User,
    /// Environment variables of the next runs.
    pub environment: Vec<(&'static str, String)>,
}

impl Review {
    /// With settings of `review:` beside or instead of the usual ones.
    pub fn new(name: &str, settings: &Value) -> Self {
        let organization = Organization::new(name);
        let states = Organization::new(&format!("{name}-states"));
        for repository in ["catalog", "infrastructure", "review"] {
            let details = json!({"name": repository, "private": true, "auto_init": true, "default_branch": "main"});
            api("POST", &format!("/orgs/{}/repos", organization.0), &details);
        }
        let records = json!({"new_branch_name": "records", "old_branch_name": "main"});
        api("POST", &organization.path("review", "/branches"), &records);
        let [robot, writer, reviewer, owner] = ["robot", "writer", "reviewer", "owner"].map(|who| {
            let user = User::new(&format!("{name}-{who}"));
            user.join(&organization, "infrastructure", "write");
            user
        });
        robot.join(&organization, "review", "write");
        let robot_token = robot.token("review", &["write:repository", "write:issue", "read:user", "read:organization"]);
        let writer_token = writer.token("writer", &["write:repository", "write:issue"]);
        let environment = Vec::new();
        let folder = tempfile::tempdir().unwrap();
        let review = Self {
            folder,
            organization,
            states,
            robot,
            robot_token,
            writer,
            writer_token,
            reviewer,
            owner,
            environment,
        };
        review.configure(settings);
        review
    }

    /// Writes the configuration.
    pub fn configure(&self, settings: &Value) {
        let [url, ca, token] = ["GITEA_URL", "GITEA_CA_FILE", "GITEA_TOKEN_FILE"].map(variable);
        let owner = &self.organization.0;
        let mut review = json!({
            "user": self.robot.0, "repository": {"owner": owner, "name": "review"}, "owners": [self.owner.0],
        });
        review.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let config = json!({
            "gitea": {"url": url, "caFile": ca, "tokenFile": token},
            "repositories": {
                "catalog": {"owner": owner, "name": "catalog"},
                "infrastructure": {"owner": owner, "name": "infrastructure"},
            },
            "state": {"owner": self.states.0},
            "review": review,
        });
        fs::write(self.folder.path().join("platform.yaml"), config.to_string()).unwrap();
    }

    /// An id for a Team that no other test has; what Terraform makes of it goes with [`Managed`].
    pub fn team(&self, name: &str) -> Managed {
        Managed(format!("gp-{}-{name}", std::process::id()))
    }

    /// `goldpath terraform …`, as a workflow of the review repository runs it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = super::binary("goldpath");
        let cache = self.folder.path().join("cache");
        command.current_dir(self.folder.path()).arg("terraform").args(arguments).args(["--config", "platform.yaml"]);
        command.env("GOLDPATH_TOKEN", &self.robot_token).env("XDG_CACHE_HOME", cache);
        command.env("SSL_CERT_FILE", variable("GITEA_CA_FILE")).env("GITEA_BASE_URL", variable("GITEA_URL"));
        command.env("GITEA_TOKEN", admin_token()).env("TF_HTTP_USERNAME", "platform-admin");
        command.env("TF_HTTP_PASSWORD", admin_token()).env_remove("SOURCE_DATE_EPOCH");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it, and gives what it says and whether it went well.
    pub fn run(&self, arguments: &[&str]) -> (String, bool) {
        let output = self.command(arguments).output().unwrap();
        let text = said(&output);
        for secret in [&self.robot_token, &admin_token()] {
            assert!(!text.contains(secret.as_str()), "a token is shown");
        }
        (text, output.status.success())
    }

    /// Runs it: it must go well.
    pub fn run_well(&self, arguments: &[&str]) -> String {
        let (text, well) = self.run(arguments);
        assert!(well, "goldpath terraform {arguments:?}: {text}");
        text
    }

    /// Runs it: it must not go well.
    pub fn run_in_vain(&self, arguments: &[&str]) -> String {
        let (text, well) = self.run(arguments);
        assert!(!well, "goldpath terraform {arguments:?}: {text}");
        text
    }

    /// Has a request for a Team delivered from a laptop, and gives the number of its pull request.
    pub fn request(&self, team: &Managed, spec: &str) -> u64 {
        let text = super::team_text(&team.0, &format!("id: {}, {spec}", team.0));
        fs::write(self.folder.path().join(format!("{}.yaml", team.0)), text).unwrap();
        self.deliver(team, &[]);
        *self.open().last().unwrap()
    }

    /// Has a request deleted, and gives the number of the pull request that takes it away.
    pub fn delete(&self, team: &Managed) -> u64 {
        self.deliver(team, &["--delete"]);
        *self.open().last().unwrap()
    }

    /// The status of a request, as `track` sees it.
    pub fn track(&self, team: &Managed) -> Value {
        self.deliver(team, &[])
    }

    /// The same of one that is being deleted.
    pub fn track_deletion(&self, team: &Managed) -> Value {
        self.deliver(team, &["--delete"])
    }

    fn deliver(&self, team: &Managed, arguments: &[&str]) -> Value {
        self.deliver_file(&format!("{}.yaml", team.0), arguments)
    }

    /// Has what is in a file delivered from a laptop, and gives what that says.
    pub fn deliver_file(&self, file: &str, arguments: &[&str]) -> Value {
        let arguments = [&["-f", file], arguments].concat();
        let output = super::gitea::goldpath(self.folder.path(), &arguments).output().unwrap();
        assert!(output.status.success(), "{}", super::transcript(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Proposes a change of files as the writer, on a branch, and gives the pull request's number; no
    /// content removes a file.
    pub fn propose(&self, branch: &str, files: &[(&str, Option<&str>)]) -> u64 {
        self.push(branch, "main", files);
        let pull = json!({"base": "main", "head": branch, "title": branch});
        let (status, pull) = ask(&self.writer_token, "POST", &self.path("/pulls"), &pull);
        assert_eq!(status, 201, "{pull}");
        pull["number"].as_u64().unwrap()
    }

    /// Writes files as the writer: on a branch, which begins at another if it is new.
    pub fn push(&self, branch: &str, from: &str, files: &[(&str, Option<&str>)]) {
        let operations: Vec<_> = files
            .iter()
            .map(|(path, content)| {
                let path_in_api = self.path(&format!("/contents/{path}?ref={from}"));
                let (_, old) = ask(&admin_token(), "GET", &path_in_api, &Value::Null);
                let mut operation = json!({"path": path});
                match (old["sha"].as_str(), content) {
                    (Some(sha), Some(_)) => operation["sha"] = sha.into(),
                    (Some(sha), None) => operation["sha"] = sha.into(),
                    (None, _) => {}
                }
                let kind = match (old["sha"].is_string(), content) {
                    (_, None) => "delete",
                    (true, Some(_)) => "update",
                    (false, Some(_)) => "create",
                };
                operation["operation"] = kind.into();
                if let Some(content) = content {
                    operation["content"] = BASE64.encode(content).into();
                }
                operation
            })
            .collect();
        let mut commit = json!({"branch": from, "message": "by hand", "files": operations});
        if branch != from {
            commit["new_branch"] = branch.into();
        }
        self.commit(&self.writer_token, &commit);
    }

    /// Commits what the API is asked for, as whose token it is.
    pub fn commit(&self, token: &str, commit: &Value) {
        let (status, answer) = ask(token, "POST", &self.path("/contents"), commit);
        assert_eq!(status, 201, "{answer}");
        let branch = commit.get("new_branch").unwrap_or(&commit["branch"]);
        self.settle(branch.as_str().unwrap());
    }

    /// Waits until what is open of a branch has its last commit: Gitea sees to that when it has answered already.
    pub fn settle(&self, branch: &str) {
        let tip = api("GET", &self.path(&format!("/branches/{}", branch.replace('/', "%2F"))), &Value::Null);
        until(
            30,
            || format!("pull requests of {branch} with its last commit"),
            || {
                let pulls = api("GET", &self.path("/pulls?state=open&limit=50"), &Value::Null);
                let is_old = |pull: &Value| pull["head"]["ref"] == branch && pull["head"]["sha"] != tip["commit"]["id"];
                (!pulls.as_array().unwrap().iter().any(is_old)).then_some(())
            },
        );
    }

    /// Somebody reviews the head commit of a pull request.
    pub fn review(&self, user: &User, number: u64, verdict: &str) -> (u16, Value) {
        // Gitea's times have seconds, and an approval must be later than what it approves.
        std::thread::sleep(Duration::from_millis(1100));
        let token = user.token(&format!("r{}", nanos()), &["write:repository", "write:issue"]);
        let body = json!({"event": verdict, "body": "seen", "commit_id": self.head(number)});
        ask(&token, "POST", &self.path(&format!("/pulls/{number}/reviews")), &body)
    }

    pub fn approve(&self, user: &User, number: u64) {
        let (status, answer) = self.review(user, number, "APPROVED");
        assert_eq!(status, 200, "{answer}");
    }

    pub fn merge(&self, number: u64) {
        self.organization.merge("infrastructure", number);
    }

    /// The API's path of something in the infrastructure repository.
    pub fn path(&self, rest: &str) -> String {
        self.organization.path("infrastructure", rest)
    }

    pub fn pull(&self, number: u64) -> Value {
        api("GET", &self.path(&format!("/pulls/{number}")), &Value::Null)
    }

    pub fn head(&self, number: u64) -> String {
        self.pull(number)["head"]["sha"].as_str().unwrap().to_owned()
    }

    /// What our user says last of a pull request's head in a context, as `success: +3 ~0 -0`.
    pub fn planned(&self, number: u64, context: &str) -> String {
        self.status(&self.head(number), context)
    }

    /// What our user says last of the commit that merged a pull request.
    pub fn applied(&self, number: u64, team: &Managed) -> String {
        self.applied_module(number, &format!("teams/{}", team.0))
    }

    /// The same of a root module of any kind.
    pub fn applied_module(&self, number: u64, module: &str) -> String {
        let commit = self.pull(number)["merge_commit_sha"].as_str().unwrap().to_owned();
        self.status(&commit, &format!("goldpath/apply: {module}"))
    }

    fn status(&self, commit: &str, context: &str) -> String {
        last_status(&self.organization, &self.robot.0, commit, context)
    }

    /// The comments of a pull request.
    pub fn comments(&self, number: u64) -> Vec<Value> {
        let comments = api("GET", &self.path(&format!("/issues/{number}/comments")), &Value::Null);
        comments.as_array().unwrap().clone()
    }

    /// The open pull requests, by number.
    pub fn open(&self) -> Vec<u64> {
        let pulls = self.organization.pulls("infrastructure");
        pulls.iter().filter(|p| p["state"] == "open").map(|p| p["number"].as_u64().unwrap()).collect()
    }

    /// Terraform's state of a Team; `null` while there is none.
    pub fn state(&self, team: &Managed) -> Value {
        let path = format!("/api/packages/{}/terraform/state/teams.{}", self.states.0, team.0);
        super::gitea::get_raw(&path)
    }

    /// Removes it from the registry.
    pub fn remove_state(&self, team: &Managed) {
        let path = format!("/packages/{}/terraform/teams.{}", self.states.0, team.0);
        for package in api("GET", &format!("/packages/{}?limit=50&q=teams.{}", self.states.0, team.0), &Value::Null)
            .as_array()
            .unwrap()
        {
            api("DELETE", &format!("{path}/{}", package["version"].as_str().unwrap()), &Value::Null);
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// An organisation that Terraform is to make, with its teams; what is there in the end is removed.
pub struct Managed(pub String);

impl Managed {
    /// The organisation; none while it is not there.
    pub fn get(&self) -> Option<Value> {
        let (status, organization) = ask(&admin_token(), "GET", &format!("/orgs/{}", self.0), &Value::Null);
        (status == 200).then_some(organization)
    }

    /// The members of a team of it, sorted.
    pub fn members(&self, team: &str) -> Vec<String> {
        let teams = api("GET", &format!("/orgs/{}/teams", self.0), &Value::Null);
        let team = teams.as_array().unwrap().iter().find(|t| t["name"] == team).cloned();
        let Some(team) = team else { return Vec::new() };
        let members = api("GET", &format!("/teams/{}/members", team["id"]), &Value::Null);
        let mut names: Vec<_> =
            members.as_array().unwrap().iter().map(|m| m["login"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        ask(&admin_token(), "DELETE", &format!("/orgs/{}", self.0), &Value::Null);
    }
}

/// What a user says last of a commit of the infrastructure repository, as `success: +3 ~0 -0`.
pub fn last_status(organization: &Organization, user: &str, commit: &str, context: &str) -> String {
    let statuses = super::gitea::get_all(&organization.path("infrastructure", &format!("/commits/{commit}/statuses")));
    let of_theirs = |s: &&Value| s["context"] == context && s["creator"]["login"] == user;
    let last = statuses.iter().filter(of_theirs).max_by_key(|s| s["id"].as_u64()).cloned();
    last.map_or("nothing".to_owned(), |s| {
        format!("{}: {}", s["status"].as_str().unwrap(), s["description"].as_str().unwrap())
    })
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}
