//! How fast deliveries are on the real Gitea that the environment names (see the head of
//! scripts/run-integration-tests.sh): many writers beside one plain client in the same run, large
//! repositories beside small ones, the API beside git. Prints the tables of the README.
//!
//!   cargo bench --bench delivery [-- files]    only the second table
#![expect(clippy::print_stdout, reason = "it prints tables")]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

use base64::Engine;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use support::gitea::{Organization, admin_token, api, variable};
use support::load::Requests;
use support::proxy::{Proxy, Verdict};

const WRITERS: usize = 16;

fn main() {
    let organization = Organization::with_repositories("bench");
    if !std::env::args().any(|argument| argument == "files") {
        many_writers(&organization);
    }
    large_repositories(&organization);
}

fn many_writers(organization: &Organization) {
    println!("| writers on one branch | deliveries | rate | p50 | p99 |\n|---|---:|---:|---:|---:|");
    let plain = plain_client(organization, 40);
    row("a plain client, alone, which only writes", &plain.0, plain.1);
    for (name, writers, count, git) in [
        ("1", 1, 40, false),
        ("16", WRITERS, 320, false),
        ("1, by git", 1, 10, true),
        ("16, by git", WRITERS, 32, true),
    ] {
        let repository = format!("many-{}-{git}", writers);
        make(organization, &repository, 100);
        let requests = Requests::render((0..count).map(|n| format!("t{n:03}")).collect());
        requests.configure(&catalog(organization, &repository, git, &requests), 600);
        let (times, all) = requests.deliver_all(writers);
        row(name, &times, all);
    }
    count_tries(organization);
}

fn large_repositories(organization: &Organization) {
    println!("\n| files in the repository | by the API | by git |\n|---:|---:|---:|");
    for files in [100, 10_000] {
        let medians = [false, true].map(|git| {
            let repository = format!("files-{files}-{git}");
            make(organization, &repository, files);
            let requests = Requests::render((0..9).map(|n| format!("t{n}")).collect());
            requests.configure(&catalog(organization, &repository, git, &requests), 600);
            median(&requests.deliver_all(1).0)
        });
        println!("| {files} | {:.2} s | {:.2} s |", medians[0].as_secs_f64(), medians[1].as_secs_f64());
    }
}

fn catalog(organization: &Organization, repository: &str, git: bool, requests: &Requests) -> Value {
    let catalog = match git {
        true => json!({
            "url": format!("{}/{}/{repository}.git", variable("GITEA_URL"), organization.0),
            "tokenFile": variable("GITEA_TOKEN_FILE"),
        }),
        false => json!({"owner": organization.0, "name": repository, "delivery": "commit"}),
    };
    json!({"catalog": catalog, "infrastructure": {"url": requests.local_repository()}})
}

/// Counts what 16 writers send, by way of a proxy, which takes its own part of the machine.
fn count_tries(organization: &Organization) {
    make(organization, "tries", 100);
    let authority = variable("GITEA_CA_FILE");
    let proxy = Proxy::start(&variable("GITEA_URL"), Some(Path::new(&authority)), |_| Verdict::Forward, |_| ());
    let requests = Requests::render((0..80).map(|n| format!("t{n:03}")).collect());
    requests.configure_at(proxy.url(), &catalog(organization, "tries", false, &requests), 600);
    requests.deliver_all(WRITERS);
    let calls = proxy.calls();
    let commits: Vec<_> = calls.iter().filter(|c| c.method == "POST" && c.path.ends_with("/contents")).collect();
    let done = commits.iter().filter(|call| call.status == Some(201)).count();
    println!(
        "\n16 writers, 80 deliveries: {} tries to commit ({:.2} a delivery), of which {done} made a commit; {} calls in all",
        commits.len(),
        commits.len() as f64 / 80.0,
        calls.len()
    );
}

/// One client that commits file after file, and reads nothing.
fn plain_client(organization: &Organization, commits: usize) -> (Vec<Duration>, Duration) {
    make(organization, "plain", 100);
    let content = base64::engine::general_purpose::STANDARD.encode("content\n");
    let start = Instant::now();
    let mut times: Vec<_> = (0..commits)
        .map(|n| {
            let start = Instant::now();
            let files = json!([
                {"operation": "create", "path": format!("teams/p{n}.yaml"), "content": content},
                {"operation": "create", "path": format!(".goldpath/team/people/p{n}.yaml"), "content": content},
            ]);
            let commit = json!({"branch": "main", "message": "plain", "files": files});
            api("POST", &organization.path("plain", "/contents"), &commit);
            start.elapsed()
        })
        .collect();
    times.sort();
    (times, start.elapsed())
}

fn row(name: &str, times: &[Duration], all: Duration) {
    println!(
        "| {name} | {} | {:.1}/s | {:.2} s | {:.2} s |",
        times.len(),
        times.len() as f64 / all.as_secs_f64(),
        median(times).as_secs_f64(),
        times[times.len() * 99 / 100].as_secs_f64()
    );
}

fn median(times: &[Duration]) -> Duration {
    times[times.len() / 2]
}

/// Makes a repository that holds so many files, as long as an entity is and no two of them alike:
/// entities and inventories.
fn make(organization: &Organization, repository: &str, files: usize) {
    let new = json!({"name": repository, "private": true, "default_branch": "main"});
    api("POST", &format!("/orgs/{}/repos", organization.0), &new);
    let folder = tempfile::tempdir().expect("a folder");
    let local = git2::Repository::init_bare(folder.path()).expect("a repository");
    let mut update = git2::build::TreeUpdateBuilder::new();
    for n in 0..files / 2 {
        for path in [format!("teams/old{n}.yaml"), format!(".goldpath/team/people/old{n}.yaml")] {
            let lines = (0..20).map(|line| format!("{line}: {:x}\n", fastrand::u128(..)));
            let blob = local.blob((format!("{path}\n") + &lines.collect::<String>()).as_bytes()).expect("a blob");
            update.upsert(Path::new(&path), blob, git2::FileMode::Blob);
        }
    }
    let empty = local.find_tree(local.treebuilder(None).expect("a tree").write().expect("a tree")).expect("a tree");
    let tree = local.find_tree(update.create_updated(&local, &empty).expect("a tree")).expect("a tree");
    let who = git2::Signature::now("Bench", "bench@example.com").expect("a person");
    local.commit(Some("refs/heads/main"), &who, &who, "many files", &tree, &[]).expect("a commit");
    let mut callbacks = git2::RemoteCallbacks::new();
    callbacks.credentials(|_, _, _| git2::Cred::userpass_plaintext("goldpath", &admin_token()));
    callbacks.certificate_check(|_, _| Ok(git2::CertificateCheckStatus::CertificateOk));
    let mut options = git2::PushOptions::new();
    options.remote_callbacks(callbacks);
    let url = format!("{}/{}/{repository}.git", variable("GITEA_URL"), organization.0);
    let mut remote = local.remote_anonymous(&url).expect("a remote");
    remote.push(&["refs/heads/main:refs/heads/main"], Some(&mut options)).expect("a push");
}
