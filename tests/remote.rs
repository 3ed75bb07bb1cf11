//! A repository behind https, on the real Gitea that the environment names.
//!
//! `scripts/run-contract-tests.sh` runs these; they need curl, GITEA_URL, GITEA_TOKEN_FILE and
//! GITEA_CA_FILE, and fail without.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use support::binary;

const WRITERS: usize = 6;

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: scripts/run-contract-tests.sh says what is needed"))
}

/// Asks Gitea as its administrator.
fn api(method: &str, path: &str, body: &Value) -> Value {
    let header = format!("Authorization: token {}", fs::read_to_string(variable("GITEA_TOKEN_FILE")).unwrap().trim());
    let output = Command::new("curl")
        .args([
            "-sS",
            "--fail-with-body",
            "--cacert",
            &variable("GITEA_CA_FILE"),
            "-X",
            method,
            "-H",
            "Content-Type: application/json",
        ])
        .args(["-H", &header, "-d", &body.to_string(), &format!("{}/api/v1{path}", variable("GITEA_URL"))])
        .output()
        .unwrap();
    assert!(output.status.success(), "{method} {path}: {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// An organisation of this test's own, with the two repositories, still empty.
struct Organization(String);

impl Organization {
    fn new(name: &str) -> Self {
        let name = format!("goldpath-test-{name}-{}", std::process::id());
        api("POST", "/orgs", &json!({"username": name, "visibility": "private"}));
        for role in ["catalog", "infrastructure"] {
            api("POST", &format!("/orgs/{name}/repos"), &json!({"name": role, "default_branch": "main"}));
        }
        Self(name)
    }

    fn config(&self, token_file: &str) -> String {
        let remote = |role: &str| {
            let url = format!("{}/{}/{role}.git", variable("GITEA_URL"), self.0);
            json!({"url": url, "tokenFile": token_file})
        };
        json!({"repositories": {"catalog": remote("catalog"), "infrastructure": remote("infrastructure")}}).to_string()
    }

    fn files(&self, role: &str) -> Vec<String> {
        let tree =
            api("GET", &format!("/repos/{}/{role}/git/trees/main?recursive=true&per_page=1000", self.0), &json!({}));
        let files = tree["tree"].as_array().unwrap().iter().filter(|entry| entry["type"] == "blob");
        files.map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Organization {
    fn drop(&mut self) {
        for role in ["catalog", "infrastructure"] {
            api("DELETE", &format!("/repos/{}/{role}", self.0), &json!({}));
        }
        api("DELETE", &format!("/orgs/{}", self.0), &json!({}));
    }
}

fn team(id: &str) -> String {
    format!(
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {{name: {id}}}\nspec: {{id: {id}, name: Team}}\n"
    )
}

fn goldpath(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = binary("goldpath");
    command
        .current_dir(folder)
        .env("SSL_CERT_FILE", variable("GITEA_CA_FILE"))
        .args(["run", "--config", "platform.yaml", "--output", "json"])
        .args(arguments);
    command
}

#[test]
#[ignore = "needs a Gitea: scripts/run-contract-tests.sh"]
fn writers_behind_https_lose_nothing_and_take_out_what_they_brought() {
    let organization = Organization::new("race");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("platform.yaml"), organization.config(&variable("GITEA_TOKEN_FILE"))).unwrap();
    let ids: Vec<_> = (0..WRITERS).map(|n| format!("team-{n}")).collect();
    for id in &ids {
        fs::write(folder.path().join(format!("{id}.yaml")), team(id)).unwrap();
    }
    let writers: Vec<_> = ids
        .iter()
        .map(|id| goldpath(folder.path(), &["-f", &format!("{id}.yaml")]).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(reports[0]["outcome"], "committed", "{reports}");
    }
    let mut expected: Vec<_> =
        ids.iter().flat_map(|id| [format!(".goldpath/team/default/{id}.yaml"), format!("teams/{id}.yaml")]).collect();
    expected.push("catalog-info.yaml".to_owned());
    expected.sort();
    let mut files = organization.files("catalog");
    files.sort();
    assert_eq!(files, expected);
    let commits =
        api("GET", &format!("/repos/{}/infrastructure/commits?limit=50&stat=false", organization.0), &json!({}));
    assert_eq!(commits.as_array().unwrap().len(), WRITERS);

    let again: Value =
        serde_json::from_slice(&goldpath(folder.path(), &["-f", "team-0.yaml"]).output().unwrap().stdout).unwrap();
    assert_eq!(again[0]["outcome"], "unchanged", "{again}");
    let gone: Value =
        serde_json::from_slice(&goldpath(folder.path(), &["-f", "team-0.yaml", "--delete"]).output().unwrap().stdout)
            .unwrap();
    assert_eq!(gone[0]["outcome"], "deleted", "{gone}");
    assert!(organization.files("infrastructure").iter().all(|path| !path.contains("team-0")));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-contract-tests.sh"]
fn a_refused_token_is_not_shown_and_sent_once() {
    let organization = Organization::new("token");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "planted-5ecret-t0ken\n").unwrap();
    fs::write(folder.path().join("platform.yaml"), organization.config("token")).unwrap();
    fs::write(folder.path().join("a.yaml"), team("a")).unwrap();
    let output = goldpath(folder.path(), &["-f", "a.yaml"]).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reports[0]["outcome"], "failed", "{printed}");
    assert!(reports[0]["reason"].as_str().unwrap().contains("the server refuses the token in token"), "{printed}");
    assert!(!printed.contains("planted"), "{printed}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-contract-tests.sh"]
fn a_server_whose_certificate_nobody_knows_is_not_trusted() {
    let organization = Organization::new("tls");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("platform.yaml"), organization.config(&variable("GITEA_TOKEN_FILE"))).unwrap();
    fs::write(folder.path().join("a.yaml"), team("a")).unwrap();
    let output = goldpath(folder.path(), &["-f", "a.yaml"]).env_remove("SSL_CERT_FILE").output().unwrap();
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(reports[0]["reason"].as_str().unwrap().contains("certificate"), "{reports}");
}
