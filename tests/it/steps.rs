//! The step binaries and Kratix's contract: folders, environment, status, workflow control.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::{binary, messages_of, tree_of};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

/// The folders that Kratix mounts, and two repositories with a configuration that names them.
struct Pod {
    folder: tempfile::TempDir,
}

impl Pod {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for role in ["catalog", "infrastructure"] {
            goldpath::repository::create_repository(&path(&format!("{role}.git")), "main").unwrap();
        }
        let config = json!({"repositories": {
            "catalog": {"url": path("catalog.git")},
            "infrastructure": {"url": format!("file://{}", path("infrastructure.git").display())},
        }});
        fs::write(path("config.yaml"), config.to_string()).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn request(&self, object: &Value) {
        fs::create_dir_all(self.path().join("input")).unwrap();
        fs::write(self.path().join("input/object.yaml"), object.to_string()).unwrap();
    }

    /// A new Pod for the same request: the volumes are empty again.
    fn restart(&self) {
        for volume in ["output", "metadata"] {
            let _ = fs::remove_dir_all(self.path().join(volume));
        }
    }

    fn step(&self, name: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = binary(name);
        command.current_dir(self.path()).env("GOLDPATH_CONFIG", "config.yaml");
        for volume in ["INPUT", "OUTPUT", "METADATA"] {
            command.env(format!("KRATIX_{volume}"), volume.to_lowercase());
        }
        command.envs(environment.iter().copied()).output().unwrap()
    }

    /// Runs a step that has to end well, and gives what it printed.
    fn run(&self, name: &str, environment: &[(&str, &str)]) -> String {
        let output = self.step(name, environment);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap()
    }

    fn metadata(&self, name: &str) -> Value {
        serde_yaml::from_slice(&fs::read(self.path().join("metadata").join(name)).unwrap()).unwrap()
    }

    fn files(&self, role: &str) -> Vec<String> {
        tree_of(&self.path().join(format!("{role}.git"))).paths().map(ToString::to_string).collect()
    }
}

fn team(name: &str, id: &str, status: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": "people", "generation": 3});
    let mut team = crate::support::team(metadata, json!({"id": id, "name": "A Team"}));
    team["status"] = status.clone();
    team
}

#[test]
fn a_request_is_delivered_and_its_status_says_where() {
    let pod = Pod::new();
    pod.request(&team("a", "alpha", &json!({})));
    assert_eq!(pod.run("render", &[]), "rendered 6 manifests, 1 catalog file, 4 infrastructure files\n");
    pod.run("commit", &[]);
    let status = pod.metadata("status.yaml");
    let commit = status["goldpath"]["repositories"]["catalog"]["commit"].as_str().unwrap();
    let repository = git2::Repository::open_bare(pod.path().join("catalog.git")).unwrap();
    assert_eq!(repository.refname_to_id("refs/heads/main").unwrap().to_string(), commit);
    assert!(status["message"].as_str().unwrap().contains(&commit[..7]), "{status}");
    assert_eq!(status["email"], "alpha@example.com");
    assert_eq!(status["goldpath"]["observedGeneration"], 3);
    let conditions: Vec<_> = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["type"].as_str().unwrap(), c["status"].as_str().unwrap(), c["observedGeneration"].as_u64()))
        .collect();
    assert_eq!(conditions, [("Rendered", "True", Some(3)), ("Delivered", "True", Some(3))]);
    assert_eq!(pod.files("catalog"), [".goldpath/team/people/a.yaml", "catalog-info.yaml", "teams/alpha.yaml"]);
    let message = messages_of(&pod.path().join("catalog.git")).remove(0);
    let trailers: Vec<_> =
        git2::message_trailers_strs(&message).unwrap().iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let expected =
        [("Goldpath-Request", "Team people/a"), ("Goldpath-Generation", "3"), ("Goldpath-Promise-Version", version)];
    assert_eq!(trailers, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn the_steps_may_run_again_in_the_same_pod_and_in_another() {
    let pod = Pod::new();
    pod.request(&team("a", "alpha", &json!({})));
    for _ in 0..2 {
        pod.run("render", &[]);
        pod.run("commit", &[]);
        pod.run("commit", &[]);
        pod.restart();
    }
    assert_eq!(messages_of(&pod.path().join("catalog.git")).len(), 1);
}

/// Where nothing can be claimed, everything goes with the first Pipeline.
#[test]
fn a_pipeline_is_one_program() {
    let pod = Pod::new();
    pod.request(&team("a", "alpha", &json!({})));
    let printed = pod.run("claim", &[]);
    assert!(printed.starts_with("rendered 6 manifests, 1 catalog file, 4 infrastructure files\ncatalog: committed "));
    assert!(printed.contains("\ninfrastructure: committed "), "{printed}");
    let delivered = pod.metadata("status.yaml");
    assert_eq!(delivered["conditions"][1]["status"], "True", "{delivered}");
    assert_eq!(fs::read_dir(pod.path().join("output")).unwrap().count(), 6);

    // What the first has put out stays as it is.
    pod.restart();
    pod.request(&team("a", "alpha", &delivered));
    pod.run("deliver", &[]);
    let followed = pod.metadata("status.yaml");
    assert_eq!(followed["goldpath"]["phase"], "delivered");
    assert_eq!(followed["goldpath"]["repositories"], delivered["goldpath"]["repositories"]);
    assert!(!pod.path().join("output").exists() && !pod.path().join("metadata/workflow-control.yaml").exists());

    // An edit that the first has not seen, and that is wrong, stops the second too.
    pod.restart();
    let mut edited = team("a", "alpha", &followed);
    edited["metadata"]["generation"] = 4.into();
    edited["spec"]["nmae"] = "x".into();
    pod.request(&edited);
    assert!(pod.run("deliver", &[]).starts_with("spec.nmae: "));
    assert_eq!(pod.metadata("status.yaml")["goldpath"]["violations"][0]["path"], "spec.nmae");

    pod.restart();
    pod.request(&edited);
    pod.run("delete", &[("KRATIX_WORKFLOW_ACTION", "delete")]);
    assert_eq!(pod.files("catalog"), ["catalog-info.yaml"]);
    assert!(!pod.path().join("metadata/workflow-control.yaml").exists());
    for program in ["claim", "deliver", "delete"] {
        pod.restart();
        pod.request(&team("a", "alpha", &json!({})));
        pod.run(program, &[("KRATIX_DRY_RUN", "true")]);
        assert_eq!(pod.files("catalog"), ["catalog-info.yaml"]);
        assert!(!pod.path().join("metadata/workflow-control.yaml").exists(), "{program}");
    }
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let pod = Pod::new();
    pod.request(&team("a", "alpha", &json!({})));
    pod.run("render", &[]);
    let before = pod.metadata("status.yaml");
    let printed = pod.run("commit", &[("KRATIX_DRY_RUN", "true")]);
    assert!(printed.starts_with("catalog: would commit\n  + teams/alpha.yaml\n"), "{printed}");
    assert_eq!(pod.metadata("status.yaml"), before);
    assert_eq!(pod.files("catalog"), [""; 0]);
    assert!(pod.run("commit", &[("KRATIX_DRY_RUN", "false")]).contains("committed"));

    // Whatever cannot be followed holds a request, but no dry run.
    for (dry_run, is_held) in [("false", true), ("true", false)] {
        pod.restart();
        pod.run("track", &[("KRATIX_DRY_RUN", dry_run), ("GOLDPATH_CONFIG", "none.yaml")]);
        assert_eq!(pod.path().join("metadata/workflow-control.yaml").exists(), is_held, "{dry_run}");
    }
    assert_eq!(pod.metadata("status.yaml")["message"], "dry run: nothing is delivered");
}

#[test]
fn delete_takes_out_what_the_request_owns_whatever_its_spec_says_now() {
    let pod = Pod::new();
    for (name, id) in [("a", "alpha"), ("b", "beta")] {
        pod.request(&team(name, id, &json!({})));
        pod.run("render", &[]);
        pod.run("commit", &[]);
        pod.restart();
    }
    let mut object = team("a", "alpha", &json!({}));
    object["spec"] = json!({"id": 7, "nonsense": true});
    pod.request(&object);
    let printed = pod.run("commit", &[("KRATIX_WORKFLOW_ACTION", "delete")]);
    assert!(printed.contains("  - teams/alpha.yaml\n"), "{printed}");
    assert_eq!(pod.files("catalog"), [".goldpath/team/people/b.yaml", "catalog-info.yaml", "teams/beta.yaml"]);
    assert_eq!(pod.files("infrastructure").len(), 5);
    assert_eq!(
        pod.run("commit", &[("KRATIX_WORKFLOW_ACTION", "delete")]),
        "catalog: unchanged\ninfrastructure: unchanged\n"
    );
    assert!(!pod.path().join("metadata/workflow-control.yaml").exists());
}

#[test]
fn a_wrong_request_ends_well_says_all_and_is_tried_later_each_time() {
    let pod = Pod::new();
    let mut delays = Vec::new();
    let mut status = json!({});
    for attempt in 1..=8 {
        let mut object = team("a", "alpha", &status);
        object["spec"]["nmae"] = "x".into();
        object["spec"]["email"] = "nobody".into();
        pod.request(&object);
        pod.run("render", &[]);
        assert_eq!(pod.run("commit", &[]), "an earlier step has asked for an end: nothing to do\n");
        status = pod.metadata("status.yaml");
        assert_eq!(status["goldpath"]["attempts"], attempt);
        delays.push(pod.metadata("workflow-control.yaml")["retryAfter"].as_str().unwrap().to_owned());
    }
    assert_eq!(delays, ["60s", "120s", "240s", "480s", "960s", "1920s", "3600s", "3600s"]);
    let violations = status["goldpath"]["violations"].as_array().unwrap();
    let rules: Vec<_> = violations.iter().map(|v| (v["path"].as_str().unwrap(), v["rule"].as_str().unwrap())).collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert!(rules.contains(&("spec.nmae", "unknown-field")) && rules.contains(&("spec.email", "email")), "{rules:?}");
    assert_eq!(violations.iter().find(|v| v["path"] == "spec.nmae").unwrap()["suggestion"], "name");
    assert_eq!(status["conditions"][0]["status"], "False");
    assert!(!pod.path().join("output").exists());

    let mut corrected = team("a", "alpha", &status);
    corrected["metadata"]["generation"] = 4.into();
    pod.request(&corrected);
    pod.run("render", &[]);
    pod.run("commit", &[]);
    let status = pod.metadata("status.yaml");
    assert_eq!((&status["goldpath"]["violations"], &status["goldpath"]["attempts"]), (&Value::Null, &Value::Null));
    assert!(!pod.path().join("metadata/workflow-control.yaml").exists());
}

#[test]
fn the_files_of_another_request_are_not_taken_in_any_repository() {
    let pod = Pod::new();
    pod.request(&team("first", "alpha", &json!({})));
    pod.run("render", &[]);
    pod.run("commit", &[]);
    // Only the infrastructure still holds the first: nothing may reach the catalog.
    fs::remove_dir_all(pod.path().join("catalog.git")).unwrap();
    goldpath::repository::create_repository(&pod.path().join("catalog.git"), "main").unwrap();
    pod.restart();
    pod.request(&team("second", "alpha", &json!({})));
    pod.run("render", &[]);
    let printed = pod.run("commit", &[]);
    assert_eq!(printed, "refused: `teams/alpha/backend.tf` in infrastructure belongs to Team people/first\n");
    assert_eq!(pod.files("catalog"), [""; 0]);
    assert_eq!(pod.metadata("status.yaml")["goldpath"]["violations"][0]["rule"], "taken");
    assert!(pod.metadata("workflow-control.yaml")["message"].as_str().unwrap().contains("people/first"));
}

#[test]
fn a_file_that_a_person_wrote_is_not_overwritten() {
    let pod = Pod::new();
    let repository = git2::Repository::open_bare(pod.path().join("catalog.git")).unwrap();
    let blob = repository.blob(b"by hand\n").unwrap();
    let mut update = git2::build::TreeUpdateBuilder::new();
    update.upsert("teams/alpha.yaml", blob, git2::FileMode::Blob);
    let empty = repository.find_tree(repository.treebuilder(None).unwrap().write().unwrap()).unwrap();
    let tree = repository.find_tree(update.create_updated(&repository, &empty).unwrap()).unwrap();
    let person = git2::Signature::now("A Person", "person@example.com").unwrap();
    repository.commit(Some("refs/heads/main"), &person, &person, "by hand", &tree, &[]).unwrap();
    pod.request(&team("a", "alpha", &json!({})));
    pod.run("render", &[]);
    let printed = pod.run("commit", &[]);
    assert_eq!(printed, "refused: `teams/alpha.yaml` in catalog belongs to no request (somebody wrote it by hand)\n");
    assert_eq!(messages_of(&pod.path().join("catalog.git")).len(), 1);
}

#[test]
fn what_the_platform_fails_at_is_tried_later() {
    for (what, config, expected) in [
        (
            "a repository that is gone",
            r#"{"repositories": {"catalog": {"url": "/nowhere.git"}, "infrastructure": {"url": "/nowhere.git"}}}"#,
            "/nowhere.git",
        ),
        ("no repository", "{}", "names no repository for catalog"),
        (
            "a server that is not there",
            r#"{"repositories": {"catalog": {"url": "https://127.0.0.1:9/c.git"}, "infrastructure": {"url": "/x"}}}"#,
            "https://127.0.0.1:9/c.git",
        ),
        (
            "a scheme in the clear",
            r#"{"repositories": {"catalog": {"url": "http://127.0.0.1/c.git"}, "infrastructure": {"url": "/x"}}}"#,
            "has the scheme `http`, which is not supported",
        ),
        (
            "a credential in a URL",
            r#"{"repositories": {"catalog": {"url": "https://u:s3cret@127.0.0.1/c.git"}, "infrastructure": {"url": "/x"}}}"#,
            "must not hold credentials",
        ),
    ] {
        let pod = Pod::new();
        pod.request(&team("a", "alpha", &json!({})));
        pod.run("render", &[]);
        fs::write(pod.path().join("config.yaml"), config).unwrap();
        let printed = pod.run("commit", &[]);
        assert!(printed.starts_with("later: ") && printed.contains(expected), "{what}: {printed}");
        assert!(!printed.contains("s3cret"), "{what}: {printed}");
        let control = pod.metadata("workflow-control.yaml");
        assert_eq!(control["retryAfter"], "15s", "{what}");
        let status = pod.metadata("status.yaml");
        assert!(!status.to_string().contains("s3cret"), "{what}: {status}");
        let delivered = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Delivered").unwrap();
        assert_eq!(
            (delivered["status"].as_str(), delivered["reason"].as_str()),
            (Some("False"), Some("Waiting")),
            "{what}"
        );
    }
}

#[test]
fn a_configuration_that_is_wrong_is_the_platforms_fault() {
    let pod = Pod::new();
    pod.request(&team("a", "alpha", &json!({})));
    fs::write(pod.path().join("config.yaml"), "colour: red\n").unwrap();
    assert!(pod.run("render", &[]).contains("`colour` is not a field here (line 1)"));
    assert!(pod.metadata("status.yaml")["message"].as_str().unwrap().contains("config.yaml"));
    assert_eq!(pod.metadata("workflow-control.yaml")["retryAfter"], "15s");
}

#[test]
fn a_server_that_hangs_ends_with_the_deadline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/c.git", listener.local_addr().unwrap());
    let pod = Pod::new();
    pod.request(&team("a", "alpha", &json!({})));
    pod.run("render", &[]);
    let config =
        json!({"deadlineSeconds": 1, "repositories": {"catalog": {"url": url}, "infrastructure": {"url": url}}});
    fs::write(pod.path().join("config.yaml"), config.to_string()).unwrap();
    assert_eq!(pod.run("commit", &[]), "later: the repositories did not answer within 1 s\n");
}

#[test]
fn a_broken_contract_is_an_exit_code() {
    let pod = Pod::new();
    for step in ["render", "commit"] {
        let output = pod.step(step, &[]);
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("error: cannot read the request input/object.yaml: "), "{step}: {error}");
    }
}
