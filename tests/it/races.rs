//! Many writers, and writers that are killed: nothing lost, nothing twice.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::{binary, messages_of, team_text, tree_of};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const WRITERS: usize = 16;
const REQUESTS: usize = 50;
const ALL: usize = WRITERS * REQUESTS;

/// One file a writer, of `REQUESTS` Teams.
fn write_batches(folder: &Path) {
    for writer in 0..WRITERS {
        let batch: Vec<_> = (0..REQUESTS)
            .map(|n| {
                let id = format!("team-{writer}-{n}");
                team_text(&id, &format!("id: {id}, name: Team"))
            })
            .collect();
        fs::write(folder.join(format!("{writer}.yaml")), batch.join("---\n")).unwrap();
    }
}

fn start(folder: &Path, writer: usize, arguments: &[&str]) -> Child {
    binary("goldpath")
        .args(["run", "-f", &format!("{writer}.yaml")])
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(writer: Child) {
    let output = writer.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn assert_complete(folder: &Path) {
    for (role, files) in [("catalog", 1), ("infrastructure", 4)] {
        let repository = folder.join(format!(".goldpath/{role}.git"));
        let messages = messages_of(&repository).join("\n");
        let mut delivered: Vec<_> = messages.lines().filter(|line| line.starts_with("Goldpath-Request: ")).collect();
        assert_eq!(delivered.len(), ALL, "deliveries to {role}");
        delivered.sort_unstable();
        delivered.dedup();
        assert_eq!(delivered.len(), ALL, "different deliveries to {role}");
        let tree = tree_of(&repository);
        let inventories = tree.paths().filter(|p| p.as_str().starts_with(".goldpath/team/default/")).count();
        assert_eq!(inventories, ALL, "inventories in {role}");
        assert_eq!(tree.paths().filter(|p| p.as_str().starts_with("teams/")).count(), ALL * files, "files in {role}");
        if role == "catalog" {
            let index = tree.iter().find(|(p, _)| p.as_str() == "catalog-info.yaml").unwrap().1;
            let index: serde_json::Value = serde_yaml::from_slice(index).unwrap();
            let listed: Vec<_> =
                index["spec"]["targets"].as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect();
            let there: Vec<_> =
                tree.paths().filter(|p| p.as_str().starts_with("teams/")).map(|p| format!("./{p}")).collect();
            assert_eq!(listed, there);
        }
    }
}

#[test]
fn writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_batches(folder.path());
    let writers: Vec<_> = (0..WRITERS).map(|writer| start(folder.path(), writer, &[])).collect();
    writers.into_iter().for_each(finish);
    assert_complete(folder.path());
}

#[test]
fn workspaces_with_the_same_repositories_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_batches(folder.path());
    for role in ["catalog", "infrastructure"] {
        let repository = folder.path().join(format!(".goldpath/{role}.git"));
        goldpath::repository::create_repository(&repository, "main").unwrap();
    }
    let config =
        "repositories: {catalog: {url: .goldpath/catalog.git}, infrastructure: {url: .goldpath/infrastructure.git}}";
    fs::write(
        folder.path().join("config.yaml"),
        config.replace("url: ", &format!("url: {}/", folder.path().display())),
    )
    .unwrap();
    let start = |writer: usize| {
        let workspace = format!("workspace-{writer}");
        start(folder.path(), writer, &["--config", "config.yaml", "--workspace", &workspace])
    };
    let writers: Vec<_> = (0..WRITERS).map(start).collect();
    writers.into_iter().for_each(finish);
    assert_complete(folder.path());
    let packs = fs::read_dir(folder.path().join(".goldpath/catalog.git/objects/pack")).unwrap();
    assert!(packs.count() <= 2 * 21, "they become one when there are many");
}

#[test]
fn killed_writers_that_run_again_reach_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    write_batches(folder.path());
    for round in 0..3 {
        let writers: Vec<_> = (0..WRITERS).map(|writer| start(folder.path(), writer, &[])).collect();
        for mut writer in writers {
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..150)));
            writer.kill().unwrap();
            writer.wait().unwrap();
        }
        assert!(
            messages_of(&folder.path().join(".goldpath/catalog.git")).len() < WRITERS,
            "round {round} ended before it was killed"
        );
    }
    let writers: Vec<_> = (0..WRITERS).map(|writer| start(folder.path(), writer, &[])).collect();
    writers.into_iter().for_each(finish);
    assert_complete(folder.path());
}

#[test]
fn the_lock_of_a_killed_git_does_not_stop_us() {
    let folder = tempfile::tempdir().unwrap();
    write_batches(folder.path());
    let run = || binary("goldpath").args(["run", "-f", "0.yaml"]).current_dir(folder.path()).output().unwrap();
    assert!(run().status.success());
    let lock = folder.path().join(".goldpath/catalog.git/refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    fs::File::open(&lock).unwrap().set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
    let batch = fs::read_to_string(folder.path().join("0.yaml")).unwrap();
    fs::write(folder.path().join("0.yaml"), batch.replace("name: Team", "name: Other")).unwrap();
    let output = run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(messages_of(&folder.path().join(".goldpath/catalog.git")).len(), 2);
}
