//! A repository behind https, on the real Gitea that the environment names.
//!
//! `scripts/run-integration-tests.sh` runs these; they need GITEA_URL, GITEA_TOKEN_FILE and
//! GITEA_CA_FILE, and fail without.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, api, team, variable};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

const WRITERS: usize = 6;

/// A configuration that takes the repositories for any git remotes.
fn config(organization: &Organization, token_file: &str) -> String {
    let remote = |role: &str| {
        let url = format!("{}/{}/{role}.git", variable("GITEA_URL"), organization.0);
        json!({"url": url, "tokenFile": token_file})
    };
    json!({"repositories": {"catalog": remote("catalog"), "infrastructure": remote("infrastructure")}}).to_string()
}

fn goldpath(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = crate::support::gitea::goldpath(folder, arguments);
    command.env("SSL_CERT_FILE", variable("GITEA_CA_FILE"));
    command
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn writers_behind_https_lose_nothing_and_take_out_what_they_brought() {
    let organization = Organization::with_repositories("race");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("platform.yaml"), config(&organization, &variable("GITEA_TOKEN_FILE"))).unwrap();
    let ids: Vec<_> = (0..WRITERS).map(|n| format!("team-{n}")).collect();
    for id in &ids {
        fs::write(folder.path().join(format!("{id}.yaml")), team(id)).unwrap();
    }
    let writers: Vec<_> = ids
        .iter()
        // Each with its own workspace, in which others would wait.
        .map(|id| {
            let mut writer = goldpath(folder.path(), &["-f", &format!("{id}.yaml"), "--workspace", id]);
            writer.stdout(Stdio::piped()).spawn().unwrap()
        })
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
    let mut files = organization.files("catalog", "main");
    files.sort();
    assert_eq!(files, expected);
    let commits =
        api("GET", &format!("/repos/{}/infrastructure/commits?limit=50&stat=false", organization.0), &json!({}));
    assert_eq!(commits.as_array().unwrap().len(), WRITERS);

    let again: Value = serde_json::from_slice(
        &goldpath(folder.path(), &["-f", "team-0.yaml", "--workspace", "team-0"]).output().unwrap().stdout,
    )
    .unwrap();
    assert_eq!(again[0]["outcome"], "unchanged", "{again}");
    let gone: Value = serde_json::from_slice(
        &goldpath(folder.path(), &["-f", "team-0.yaml", "--workspace", "team-0", "--delete"]).output().unwrap().stdout,
    )
    .unwrap();
    assert_eq!(gone[0]["outcome"], "deleted", "{gone}");
    assert!(organization.files("infrastructure", "main").iter().all(|path| !path.contains("team-0")));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_refused_token_is_not_shown_and_sent_once() {
    let organization = Organization::with_repositories("token");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "planted-5ecret-t0ken\n").unwrap();
    fs::write(folder.path().join("platform.yaml"), config(&organization, "token")).unwrap();
    fs::write(folder.path().join("a.yaml"), team("a")).unwrap();
    let output = goldpath(folder.path(), &["-f", "a.yaml"]).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reports[0]["outcome"], "failed", "{printed}");
    assert!(reports[0]["reason"].as_str().unwrap().contains("the server refuses the token in token"), "{printed}");
    assert!(!printed.contains("planted"), "{printed}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_the_server_refuses_is_told_and_a_token_goes_nowhere_else() {
    let organization = Organization::with_repositories("told");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), team("a")).unwrap();
    let reason = |config: &str| {
        fs::write(folder.path().join("platform.yaml"), config).unwrap();
        let output = goldpath(folder.path(), &["-f", "a.yaml"]).output().unwrap();
        let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
        reports[0]["reason"].as_str().unwrap().to_owned()
    };
    let config = config(&organization, &variable("GITEA_TOKEN_FILE"));
    let without_token = config.replace("tokenFile", "username").replace(&variable("GITEA_TOKEN_FILE"), "goldpath");
    let asked = reason(&without_token);
    assert!(asked.contains("it asks for a token: name its file as `tokenFile`"), "{asked}");
    let missing = reason(&config.replace("catalog.git", "nothing.git"));
    assert!(missing.contains("nothing.git: the server answers 404 Not Found"), "{missing}");
    // Where the repository was before it was renamed, Gitea answers with a redirect.
    api("PATCH", &organization.path("catalog", ""), &json!({"name": "renamed"}));
    let moved = reason(&config);
    assert!(moved.contains("the server answers 301 Moved Permanently: write the URL that it leads to"), "{moved}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_server_whose_certificate_nobody_knows_is_not_trusted() {
    let organization = Organization::with_repositories("tls");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("platform.yaml"), config(&organization, &variable("GITEA_TOKEN_FILE"))).unwrap();
    fs::write(folder.path().join("a.yaml"), team("a")).unwrap();
    let output = goldpath(folder.path(), &["-f", "a.yaml"]).env_remove("SSL_CERT_FILE").output().unwrap();
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(reports[0]["reason"].as_str().unwrap().contains("certificate"), "{reports}");
}
