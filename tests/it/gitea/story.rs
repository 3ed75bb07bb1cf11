//! A story: what Kratix and people do with requests on the real Gitea, and what came of each step.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, admin_token, api, ask, variable};
use crate::support::{binary, team, transcript};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The branch of the request `alpha`.
pub const BRANCH: &str = "goldpath/team/default/alpha";

/// What happens to requests, and what came of it so far.
pub struct Story {
    name: &'static str,
    pub folder: tempfile::TempDir,
    pub organization: Organization,
    users: Vec<String>,
    /// The objects as Kratix holds them, and what the last Pipeline asked of it.
    pub requests: BTreeMap<&'static str, Value>,
    /// Everything as it was seen last, by place.
    seen: BTreeMap<String, String>,
    pub text: String,
}

impl Drop for Story {
    fn drop(&mut self) {
        ask(&admin_token(), "DELETE", &self.state_path(), &Value::Null);
        for user in &self.users {
            ask(&admin_token(), "DELETE", &format!("/admin/users/{user}?purge=true"), &Value::Null);
        }
    }
}

/// What Kratix does.
impl Story {
    pub fn new(name: &'static str) -> Self {
        let (organization, folder) = (Organization::planned(name), tempfile::tempdir().unwrap());
        let (users, requests, seen, text) = Default::default();
        let story = Self { name, folder, organization, users, requests, seen, text };
        story.configure(&json!([]));
        story
    }

    pub fn configure(&self, reviewers: &Value) {
        let owner = &self.organization.0;
        let [url, ca, token] = ["GITEA_URL", "GITEA_CA_FILE", "GITEA_TOKEN_FILE"].map(variable);
        let config = json!({
            "gitea": {"url": url, "caFile": ca, "tokenFile": token},
            "repositories": {
                "catalog": {"owner": owner, "name": "catalog", "create": true},
                "infrastructure": {
                    "owner": owner, "name": "infrastructure", "create": true,
                    "labels": ["goldpath"], "reviewers": reviewers,
                },
            },
            "state": {"owner": owner},
        });
        fs::write(self.folder.path().join("platform.yaml"), config.to_string()).unwrap();
    }

    /// Somebody applies a request for a Team, new or edited, and Kratix runs its Pipelines.
    pub fn apply(&mut self, name: &'static str, id: &str, full_name: &str) {
        self.edit(name, id, full_name);
        self.reconcile(name);
    }

    /// Somebody applies a request, and Kratix gets no further than the first Pipeline.
    pub fn claim(&mut self, name: &'static str, id: &str, full_name: &str) {
        self.edit(name, id, full_name);
        self.text += &format!("\n== kratix begins with {name}\n");
        self.run_pipeline(name, "claim", "configure");
        self.tell();
    }

    /// Somebody looks who has nothing but the repositories.
    pub fn list(&mut self) {
        self.happens("goldpath status", |story| {
            let mut command = binary("goldpath");
            command.current_dir(story.folder.path()).args(["status", "--config", "platform.yaml"]);
            let shown = transcript(&command.output().unwrap());
            story.text += &Regex::new(r" since \S+ \(\d+s\)").unwrap().replace_all(&shown, " since a moment");
        });
    }

    pub fn edit(&mut self, name: &'static str, id: &str, full_name: &str) {
        let new = || json!({"object": {"metadata": {"generation": 0}, "status": {}}});
        let object = &mut self.requests.entry(name).or_insert_with(new)["object"];
        let generation = object["metadata"]["generation"].as_u64().unwrap() + 1;
        let status = object["status"].take();
        let metadata = json!({"name": name, "namespace": "default", "generation": generation});
        *object = team(metadata, json!({"id": id, "name": full_name}));
        object["status"] = status;
        self.text += &format!("\n== somebody applies {name}: {id}, {full_name}");
    }

    /// Kratix runs the Pipelines of a request.
    pub fn reconcile(&mut self, name: &'static str) {
        self.text += &format!("\n== kratix reconciles {name}\n");
        if self.run_pipeline(name, "claim", "configure") {
            self.run_pipeline(name, "deliver", "configure");
        }
        self.tell();
    }

    /// Kratix runs the last Pipeline of a request again.
    pub fn track(&mut self, name: &'static str) {
        self.text += &format!("\n== kratix looks after {name}\n");
        self.run_pipeline(name, "deliver", "configure");
        self.tell();
    }

    /// Kratix runs the Pipeline of a request that is being deleted, and forgets it when it may.
    pub fn delete(&mut self, name: &'static str) {
        self.text += &format!("\n== kratix deletes {name}\n");
        let gone = self.run_pipeline(name, "delete", "delete");
        self.tell();
        if gone {
            self.text += "and lets it go\n";
            self.requests.remove(name);
        }
    }

    /// Runs the container of one Pod, and gives whether Kratix goes on from there.
    fn run_pipeline(&mut self, name: &'static str, program: &str, action: &str) -> bool {
        let pod = tempfile::tempdir_in(self.folder.path()).unwrap();
        let request = self.requests.get_mut(name).unwrap();
        let mut object = request["object"].clone();
        // What Kratix adds of its own.
        object["status"]["kratix"] = json!({"workflows": {}});
        let mut conditions = by_type(&object["status"]["conditions"]);
        let reconciled = json!({
            "type": "Reconciled", "status": "Unknown", "reason": "Pending", "message": "Pending",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        conditions.insert("Reconciled".to_owned(), reconciled);
        object["status"]["conditions"] = conditions.into_iter().map(|(_, condition)| condition).collect();
        fs::create_dir(pod.path().join("input")).unwrap();
        fs::write(pod.path().join("input/object.yaml"), object.to_string()).unwrap();
        let mut command = binary(program);
        for volume in ["input", "output", "metadata"] {
            command.env(format!("KRATIX_{}", volume.to_uppercase()), pod.path().join(volume));
        }
        command.env("GOLDPATH_CONFIG", self.folder.path().join("platform.yaml"));
        let output = command.env("KRATIX_WORKFLOW_ACTION", action).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{program}: {output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        printed.lines().for_each(|line| self.text += &format!("  {program}: {line}\n"));
        let read = |file: &str| fs::read(pod.path().join("metadata").join(file)).ok();
        let status = serde_yaml::from_slice(&read("status.yaml").unwrap()).unwrap();
        request["control"] = read("workflow-control.yaml").map_or(Value::Null, |c| serde_yaml::from_slice(&c).unwrap());
        merge(request["object"]["status"].as_object_mut().unwrap(), status);
        request["control"].is_null()
    }
}

/// Merges a status as Kratix does: the top level, and conditions by their type.
fn merge(status: &mut Map<String, Value>, mut new: Map<String, Value>) {
    let mut conditions = by_type(status.get("conditions").unwrap_or(&Value::Null));
    let later = by_type(&new.remove("conditions").unwrap_or_default());
    let foreign = new.contains_key("kratix") || later.contains_key("Reconciled");
    assert!(!foreign, "what is Kratix's comes back to it: {new:?} {later:?}");
    conditions.extend(later);
    status.extend(new);
    status.insert("conditions".to_owned(), conditions.into_iter().map(|(_, condition)| condition).collect());
}

/// A condition as one line, without what the status says too.
fn line(condition: &Value, status: &Value) -> String {
    let text = |key: &str| condition[key].as_str().unwrap();
    let mut line = format!("{} {} since {}", text("status"), text("reason"), text("lastTransitionTime"));
    if condition["observedGeneration"] != status["goldpath"]["observedGeneration"] {
        line += &format!(", of generation {}", condition["observedGeneration"]);
    }
    if condition["message"] != status["message"] {
        line += &format!(": {}", text("message"));
    }
    line
}

fn by_type(conditions: &Value) -> Map<String, Value> {
    let conditions = conditions.as_array().into_iter().flatten();
    conditions.map(|condition| (condition["type"].as_str().unwrap().to_owned(), condition.clone())).collect()
}

/// What there is to see.
impl Story {
    /// Tells what is other than it was.
    fn tell(&mut self) {
        let mut now = BTreeMap::new();
        for (name, mut request) in self.requests.clone() {
            let status = &mut request["object"]["status"];
            status["conditions"] = by_type(&status["conditions"]).iter().map(|(t, c)| (t, line(c, status))).collect();
            if request["control"]["message"] == request["object"]["status"]["message"] {
                request["control"].as_object_mut().unwrap().remove("message");
            }
            flatten(&format!("{name} status"), &request["object"]["status"], &mut now);
            flatten(&format!("{name} control"), &request["control"], &mut now);
        }
        for role in ["catalog", "infrastructure"] {
            flatten(role, &self.look(role), &mut now);
        }
        let both: BTreeMap<_, _> = self.seen.iter().chain(&now).collect();
        for (place, value) in both {
            self.text += &match (self.seen.get(place), now.get(place)) {
                (old, new) if old == new => continue,
                (None, _) => format!("+ {place}: {value}\n"),
                (_, Some(value)) => format!("~ {place}: {value}\n"),
                (_, None) => format!("- {place}\n"),
            };
        }
        self.seen = now;
    }

    /// All that a repository holds: pull requests, the commits and files of its main branch, and of each other what
    /// that has beside.
    fn look(&self, role: &str) -> Value {
        let get = |rest: &str| ask(&admin_token(), "GET", &self.organization.path(role, rest), &Value::Null);
        let list = |list: &Value, what: &dyn Fn(&Value) -> Value| -> Value {
            list.as_array().into_iter().flatten().map(what).collect()
        };
        match get("") {
            (200, repository) if repository["empty"] == true => return json!("is empty"),
            (200, _) => {}
            _ => return json!("is not there"),
        }
        let files = |branch: &str| -> BTreeMap<String, String> {
            let tree = get(&format!("/git/trees/{branch}?recursive=true&per_page=1000")).1;
            let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
            let all = tree["tree"].as_array().unwrap().iter().filter(|entry| entry["type"] == "blob");
            all.map(|e| (text(e, "path"), text(e, "sha"))).filter(|(path, _)| !path.starts_with("zoo/")).collect()
        };
        let line = |commit: &Value| {
            let parents: Vec<_> = commit["parents"].as_array().unwrap().iter().map(|p| p["sha"].as_str()).collect();
            let parents = parents.into_iter().flatten().collect::<Vec<_>>().join(" and ");
            let message = commit["commit"]["message"].as_str().unwrap().lines().next().unwrap_or_default();
            json!(format!("{} on {parents}: {message}", commit["sha"].as_str().unwrap()))
        };
        let (main, mut branches, mut pulls) = (files("main"), Map::new(), Map::new());
        // Only what came to the branch one after the other.
        let all = get("/commits?sha=main&limit=50&stat=false&files=false").1;
        let parent = |commit: &&Value| {
            let id = commit["parents"][0]["sha"].clone();
            all.as_array().unwrap().iter().find(|commit| commit["sha"] == id)
        };
        let mut commits: Vec<_> = std::iter::successors(all.get(0), parent).map(line).collect();
        commits.reverse();
        branches.insert("main".to_owned(), json!({"commits": commits, "files": main}));
        for branch in self.organization.branches(role).into_iter().filter(|branch| branch != "main") {
            let escaped = branch.replace('/', "%2F");
            let own = files(&escaped);
            let other = own.iter().filter(|(path, sha)| main.get(*path) != Some(sha)).map(|(p, s)| (p, s.as_str()));
            let gone = main.keys().filter(|path| !own.contains_key(*path)).map(|path| (path, "gone"));
            let mut commits = list(&get(&format!("/compare/main...{escaped}")).1["commits"], &line);
            commits.as_array_mut().unwrap().reverse();
            let files: BTreeMap<_, _> = other.chain(gone).collect();
            branches.insert(branch, json!({"is": "there", "commits": commits, "files": files}));
        }
        for pull in self.organization.pulls(role) {
            let comments = get(&format!("/issues/{}/comments", pull["number"])).1;
            // The rest is the same of each, and is looked at once.
            let same = ["Goldpath keeps ", "    kubectl get ", "[All files of "];
            let is_own = |line: &&str| {
                self.name == "life" || !line.is_empty() && !same.iter().any(|begin| line.starts_with(begin))
            };
            let body = pull["body"].as_str().unwrap().lines();
            let shown = json!({
                "state": if pull["merged"] == true { json!("merged") } else { pull["state"].clone() },
                "title": pull["title"],
                "body": body.filter(is_own).collect::<Vec<_>>(),
                "from": pull["head"]["label"],
                "to": pull["base"]["label"],
                "labels": list(&pull["labels"], &|label| label["name"].clone()),
                "reviewers": list(&pull["requested_reviewers"], &|user| user["login"].clone()),
                "comments": list(&comments, &|comment| comment["body"].clone()),
            });
            pulls.insert(format!("#{}", pull["number"]), shown);
        }
        let drafts = get("/releases?draft=true").1;
        // Without when it was.
        let claim =
            |draft: &Value| draft["tag_name"].as_str().unwrap().rsplit_once('/').map(|(claim, _)| claim.to_owned());
        let claims: BTreeMap<_, _> =
            drafts.as_array().unwrap().iter().filter_map(claim).map(|c| (c, "there")).collect();
        json!({"branch": branches, "pull": pulls, "draft": claims})
    }

    /// Compares what came of it with what was expected.
    pub fn end(self) {
        let text = self.told();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/gitea/{}.txt", self.name));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        let difference = similar::TextDiff::from_lines(&expected, &text);
        assert!(expected == text, "{}", difference.unified_diff().header(&file.to_string_lossy(), "actual"));
    }

    /// The text without what cannot be known: ids are numbered as they come.
    fn told(&self) -> String {
        let text = self.text.replace(&self.organization.0, "ORGANIZATION").replace(&variable("GITEA_URL"), "GITEA");
        let mut ids = BTreeMap::new();
        let id = Regex::new("(?-u:\\b)([0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{7})(?-u:\\b)").unwrap();
        for id in id.find_iter(&text).map(|id| id.as_str()).filter(|id| id.len() > 7) {
            let next = ids.len() + 1;
            ids.entry(id).or_insert(next);
        }
        let number = |id: &Captures<'_>| match ids.iter().find(|(known, _)| known.starts_with(&id[0])) {
            Some((_, number)) => format!("<{number}>"),
            None => id[0].to_owned(),
        };
        id.replace_all(&text, number).into_owned()
    }
}

/// Every value by its place.
fn flatten(place: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&format!("{place} {key}"), value, into)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(n, value)| flatten(&format!("{place} {n:02}"), value, into));
        }
        _ => drop(into.insert(place.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
    }
}

/// What people and programs do.
impl Story {
    /// Something happens that is no request.
    pub fn happens(&mut self, what: &str, how: impl FnOnce(&mut Self)) {
        self.text += &format!("\n== {what}\n");
        how(self);
        self.tell();
    }

    /// The API's path of something in the repository of root modules.
    pub fn path(&self, rest: &str) -> String {
        self.organization.path("infrastructure", rest)
    }

    pub fn state_path(&self) -> String {
        format!("/../packages/{}/terraform/state/teams.alpha", self.organization.0)
    }

    pub fn pull(&self, number: u64) -> Value {
        api("GET", &self.path(&format!("/pulls/{number}")), &Value::Null)
    }

    /// Kratix reconciles a request, and nothing is touched: not even the pull request's time, which is in seconds.
    pub fn reconcile_in_vain(&mut self, number: u64) {
        let before = (self.pull(number), self.seen.clone());
        std::thread::sleep(std::time::Duration::from_millis(1100));
        self.reconcile("alpha");
        assert_eq!((self.pull(number)["updated_at"].clone(), &self.seen), (before.0["updated_at"].clone(), &before.1));
    }

    /// A person changes a file on main that a pull request changes too, and Gitea has found out.
    pub fn write_in_conflict_with(&mut self, number: u64, path: &str, content: &str) {
        self.write("", "main", path, content);
        while self.pull(number)["mergeable"] == true {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    pub fn merge(&mut self, number: u64) {
        let merge = |story: &mut Self| story.organization.merge("infrastructure", number);
        self.happens(&format!("a person merges #{number}"), merge);
    }

    pub fn set(&mut self, person: &str, number: u64, state: &str) {
        let change = |story: &mut Self| {
            drop(api("PATCH", &story.path(&format!("/pulls/{number}?sudo={person}")), &json!({"state": state})));
        };
        self.happens(&format!("a person makes #{number} {state}"), change);
    }

    /// Lets Gitea catch up: when a branch is removed, it closes what is open from it some time later, also if that is
    /// a new pull request from a new branch of the same name.
    pub fn settle(&self) {
        std::thread::sleep(std::time::Duration::from_secs(5));
    }

    pub fn remove_branch(&mut self, person: &str) {
        let remove = |story: &mut Self| {
            drop(api("DELETE", &story.path(&format!("/branches/{BRANCH}?sudo={person}")), &Value::Null));
        };
        self.happens("a person removes the branch", remove);
        self.settle();
    }

    /// A run of Terraform says how far it is, on the commit that counts.
    pub fn run_says(&mut self, number: u64, run: &str, state: &str, text: &str) {
        let pull = self.pull(number);
        let commit = if pull["merged"] == true { &pull["merge_commit_sha"] } else { &pull["head"]["sha"] };
        let path = self.path(&format!("/statuses/{}", commit.as_str().unwrap()));
        let status = json!({"context": run, "state": state, "description": text, "target_url": "https://ci.test/1"});
        self.happens(&format!("{run} says {state}: {text}"), |_| drop(api("POST", &path, &status)));
    }

    /// A person who may write the repository of root modules.
    pub fn person(&mut self, name: &str) -> String {
        let user = format!("{name}-{}", self.organization.0);
        let mail = format!("{user}@example.com");
        let new =
            json!({"username": user, "email": mail, "password": "ex4mple-Passw0rd", "must_change_password": false});
        api("POST", "/admin/users", &new);
        self.users.push(user.clone());
        api("PUT", &self.path(&format!("/collaborators/{user}")), &json!({"permission": "write"}));
        user
    }

    /// A person, or the administrator without a name, writes a file on a branch.
    pub fn write(&mut self, user: &str, branch: &str, path: &str, content: &str) {
        let role = if path.ends_with(".yaml") { "catalog" } else { "infrastructure" };
        let at = self.organization.path(role, &format!("/contents/{path}"));
        self.happens(&format!("a person writes {path} on {branch}"), |_| {
            let old = ask(&admin_token(), "GET", &format!("{at}?ref={}", branch.replace('/', "%2F")), &Value::Null).1;
            let method = if old["sha"].is_null() { "POST" } else { "PUT" };
            let content = BASE64.encode(content);
            let change = json!({"branch": branch, "content": content, "sha": old["sha"], "message": "by hand"});
            api(method, &format!("{at}?sudo={user}"), &change);
        });
    }

    pub fn review(&mut self, number: u64, user: &str, event: &str) {
        let path = self.path(&format!("/pulls/{number}/reviews?sudo={user}"));
        let review = json!({"event": event, "body": "words"});
        self.happens(&format!("{user} says {event}"), |_| drop(api("POST", &path, &review)));
        self.track("alpha");
    }
}
