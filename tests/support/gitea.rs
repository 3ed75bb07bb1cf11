//! The real Gitea that the environment names, for the tests that `scripts/run-integration-tests.sh`
//! runs: they fail where it is not there.

use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// An environment variable that the tests need.
pub fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: scripts/run-integration-tests.sh says what is needed"))
}

/// Of the users that tests make.
pub const PASSWORD: &str = "a long enough password of a test";

/// The administrator's token.
pub fn admin_token() -> String {
    std::fs::read_to_string(variable("GITEA_TOKEN_FILE")).expect("a token").trim().to_owned()
}

static HTTP: LazyLock<reqwest::blocking::Client> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = std::fs::read(variable("GITEA_CA_FILE")).expect("a certificate");
    let authority = reqwest::Certificate::from_pem_bundle(&authority).expect("PEM");
    reqwest::blocking::Client::builder().tls_certs_merge(authority).build().expect("a client")
});

/// Asks Gitea as the owner of a token; gives the status and the answer.
pub fn ask(token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    ask_with(&format!("token {token}"), method, path, body)
}

/// Asks Gitea with any header `Authorization`.
pub fn ask_with(authorization: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let method: Method = method.parse().expect("a method");
    let url = format!("{}/api/v1{path}", variable("GITEA_URL"));
    let mut request = HTTP.request(method.clone(), url).header("Authorization", authorization);
    if method != Method::GET {
        request = request.json(body);
    }
    let answer = request.send().expect("an answer");
    (answer.status().as_u16(), answer.json().unwrap_or(Value::Null))
}

/// Asks Gitea as its administrator for something beside the API's first version; `null` where it is not there.
pub fn get_raw(path: &str) -> Value {
    let url = format!("{}{path}", variable("GITEA_URL"));
    let answer = HTTP.get(url).header("Authorization", format!("token {}", admin_token())).send().expect("an answer");
    match answer.status().as_u16() {
        200 => answer.json().expect("JSON"),
        404 => Value::Null,
        status => panic!("GET {path}: {status}"),
    }
}

/// Asks Gitea as its administrator for a text; empty where it is not there.
pub fn get_text(path: &str) -> String {
    let url = format!("{}{path}", variable("GITEA_URL"));
    let answer = HTTP.get(url).header("Authorization", format!("token {}", admin_token())).send().expect("an answer");
    if answer.status().is_success() { answer.text().expect("text") } else { String::new() }
}

/// Asks Gitea as its administrator for what must succeed.
pub fn api(method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(&admin_token(), method, path, body);
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

/// Asks Gitea as its administrator for all of a list that comes in pages.
pub fn get_all(path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let sign = if path.contains('?') { '&' } else { '?' };
        let answer = api("GET", &format!("{path}{sign}limit=50&page={page}"), &Value::Null);
        let more = answer.as_array().expect("a list").clone();
        let last = more.len() < 50;
        all.extend(more);
        if last {
            break;
        }
    }
    all
}

/// The paths of the files on a branch of a repository, `OWNER/NAME`, in Gitea's order; nothing where it gives no tree.
pub fn files_of(repository: &str, branch: &str) -> Option<Vec<String>> {
    let mut files = Vec::new();
    for page in 1.. {
        let rest = format!("/git/trees/{}?recursive=true&per_page=1000&page={page}", branch.replace('/', "%2F"));
        let (status, tree) = ask(&admin_token(), "GET", &format!("/repos/{repository}{rest}"), &Value::Null);
        if status != 200 {
            return None;
        }
        let entries = tree["tree"].as_array().expect("a tree").iter().filter(|entry| entry["type"] == "blob");
        files.extend(entries.map(|entry| entry["path"].as_str().expect("a path").to_owned()));
        if tree["truncated"] != true {
            break;
        }
    }
    Some(files)
}

/// An organisation of a test's own, with everything in it, which goes with it.
pub struct Organization(pub String);

impl Organization {
    /// One that is not there yet: `create: true` makes it.
    pub fn planned(name: &str) -> Self {
        Self(format!("goldpath-test-{name}-{}", std::process::id()))
    }

    /// One that is there, without a repository.
    pub fn new(name: &str) -> Self {
        let organization = Self::planned(name);
        api("POST", "/orgs", &json!({"username": organization.0, "visibility": "private"}));
        organization
    }

    /// One with the two repositories, still empty.
    pub fn with_repositories(name: &str) -> Self {
        let organization = Self::new(name);
        for role in ["catalog", "infrastructure"] {
            let repository = json!({"name": role, "private": true, "default_branch": "main"});
            api("POST", &format!("/orgs/{}/repos", organization.0), &repository);
        }
        organization
    }

    /// The API's path of something in a repository.
    pub fn path(&self, repository: &str, rest: &str) -> String {
        format!("/repos/{}/{repository}{rest}", self.0)
    }

    /// What a repository holds on a branch: the paths of its files, sorted.
    pub fn files(&self, repository: &str, branch: &str) -> Vec<String> {
        files_of(&format!("{}/{repository}", self.0), branch).expect("a branch")
    }

    /// The content of a file on a branch.
    pub fn content(&self, repository: &str, branch: &str, path: &str) -> String {
        let rest = format!("/contents/{path}?ref={}", branch.replace('/', "%2F"));
        let file = api("GET", &self.path(repository, &rest), &Value::Null);
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(file["content"].as_str().expect("a file"));
        String::from_utf8(bytes.expect("base64")).expect("UTF-8")
    }

    /// The names of a repository's branches, sorted.
    pub fn branches(&self, repository: &str) -> Vec<String> {
        let branches = api("GET", &self.path(repository, "/branches?limit=50"), &Value::Null);
        let names = branches.as_array().expect("branches").iter();
        let mut names: Vec<_> = names.map(|b| b["name"].as_str().expect("a name").to_owned()).collect();
        names.sort();
        names
    }

    /// Every pull request of a repository, by number.
    pub fn pulls(&self, repository: &str) -> Vec<Value> {
        let mut pulls = get_all(&self.path(repository, "/pulls?state=all"));
        pulls.sort_by_key(|pull| pull["number"].as_u64());
        pulls
    }

    /// Merges a pull request, once Gitea has found out that it can.
    pub fn merge(&self, repository: &str, number: u64) {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let path = self.path(repository, &format!("/pulls/{number}/merge"));
            let (status, answer) = ask(&admin_token(), "POST", &path, &json!({"Do": "merge"}));
            match status {
                200 => return,
                405 if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
                _ => panic!("pull request {number} cannot be merged: {status} {answer}"),
            }
        }
    }
}

impl Drop for Organization {
    fn drop(&mut self) {
        let token = admin_token();
        let (_, packages) = ask(&token, "GET", &format!("/packages/{}?limit=50", self.0), &Value::Null);
        for package in packages.as_array().into_iter().flatten() {
            let [kind, name, version] =
                ["type", "name", "version"].map(|key| package[key].as_str().unwrap_or_default());
            ask(&token, "DELETE", &format!("/packages/{}/{kind}/{name}/{version}", self.0), &Value::Null);
        }
        let (_, repositories) = ask(&token, "GET", &format!("/orgs/{}/repos", self.0), &Value::Null);
        for repository in repositories.as_array().into_iter().flatten() {
            let name = repository["name"].as_str().unwrap_or_default();
            ask(&token, "DELETE", &self.path(name, ""), &Value::Null);
        }
        ask(&token, "DELETE", &format!("/orgs/{}", self.0), &Value::Null);
    }
}

/// The command `goldpath`, in a folder that holds `platform.yaml`.
pub fn goldpath(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = super::binary("goldpath");
    command.current_dir(folder).args(["run", "--config", "platform.yaml", "--output", "json"]).args(arguments);
    command
}

/// A request for a Team.
pub fn team(id: &str) -> String {
    super::team_text(id, &format!("id: {id}, name: Team"))
}

/// A user of a test's own, who goes with it.
pub struct User(pub String);

impl User {
    pub fn new(name: &str) -> Self {
        let user = Self(format!("goldpath-user-{name}-{}", std::process::id()));
        let mail = format!("{}@example.com", user.0);
        let details = json!({"username": user.0, "email": mail, "password": PASSWORD, "must_change_password": false});
        api("POST", "/admin/users", &details);
        user
    }

    /// A token of this user's, which is known by the name, with the scopes.
    pub fn token(&self, name: &str, scopes: &[&str]) -> String {
        let answer = self.ask("POST", "", &json!({"name": name, "scopes": scopes}));
        answer["sha1"].as_str().expect("a token").to_owned()
    }

    pub fn revoke(&self, name: &str) {
        self.ask("DELETE", &format!("/{name}"), &Value::Null);
    }

    fn ask(&self, method: &str, rest: &str, body: &Value) -> Value {
        use base64::Engine;
        let authorization = base64::engine::general_purpose::STANDARD.encode(format!("{}:{PASSWORD}", self.0));
        let path = format!("/users/{}/tokens{rest}", self.0);
        let (status, answer) = ask_with(&format!("Basic {authorization}"), method, &path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Makes this user one of an organisation's owners.
    pub fn own(&self, organization: &Organization) {
        let teams = api("GET", &format!("/orgs/{}/teams", organization.0), &Value::Null);
        api("PUT", &format!("/teams/{}/members/{}", teams[0]["id"], self.0), &json!({}));
    }

    /// Lets this user `read` or `write` a repository.
    pub fn join(&self, organization: &Organization, repository: &str, permission: &str) {
        let path = organization.path(repository, &format!("/collaborators/{}", self.0));
        api("PUT", &path, &json!({"permission": permission}));
    }
}

impl Drop for User {
    fn drop(&mut self) {
        ask(&admin_token(), "DELETE", &format!("/admin/users/{}?purge=true", self.0), &Value::Null);
    }
}
