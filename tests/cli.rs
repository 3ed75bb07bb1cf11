//! The command `goldpath`: what people and programs get.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use support::{binary, tree_of};

const EXAMPLE: &str = include_str!("../promises/team/resource-request.yaml");

fn goldpath(folder: &Path, arguments: &[&str]) -> Output {
    binary("goldpath").current_dir(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_second_run_is_unchanged_and_a_deletion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), EXAMPLE).unwrap();
    let run = |extra: &[&str]| {
        let output = goldpath(folder.path(), &[&["run", "-f", "team.yaml"], extra].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).to_owned()
    };
    let first = run(&["--diff"]);
    assert!(first.contains("+  name: \"team-alpha\"\n") && first.contains("committed"), "{first}");
    let second = run(&["--diff"]);
    assert!(second.starts_with("Team default/example-team: unchanged\n") && !second.contains("diff --git"), "{second}");
    let deleted = run(&["--delete"]);
    assert!(deleted.contains("    - teams/team-alpha.yaml\n"), "{deleted}");
    assert_eq!(tree_of(&folder.path().join(".goldpath/infrastructure.git")).len(), 0);
    assert_eq!(
        tree_of(&folder.path().join(".goldpath/catalog.git")).paths().map(ToString::to_string).collect::<Vec<_>>(),
        ["catalog-info.yaml"]
    );
    assert!(!folder.path().join(".goldpath/requests/team/default/example-team").exists());
    assert!(run(&["--delete"]).contains("unchanged"));
}

#[test]
fn requests_come_from_files_folders_and_stdin() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("teams")).unwrap();
    let other = |id: &str| EXAMPLE.replace("example-team", id).replace("team-alpha", id);
    fs::write(folder.path().join("teams/b.yml"), other("b")).unwrap();
    fs::write(folder.path().join("teams/a.yaml"), format!("{}---\n{}", other("a1"), other("a2"))).unwrap();
    fs::write(folder.path().join("teams/notes.txt"), "not a request").unwrap();
    fs::write(folder.path().join("c.yaml"), other("c")).unwrap();
    let mut child = binary("goldpath")
        .current_dir(folder.path())
        .args(["run", "--output", "json", "-f", "teams", "c.yaml", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(other("d").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = reports.as_array().unwrap().iter().map(|r| r["request"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a1", "a2", "b", "c", "d"]);
    let first = &reports[0];
    assert_eq!(first["outcome"], "committed");
    assert_eq!(first["manifests"].as_array().unwrap().len(), 6);
    assert_eq!(first["repositories"]["catalog"]["commit"].as_str().unwrap().len(), 40);
    assert_eq!(
        first["repositories"]["catalog"]["changes"],
        serde_json::json!([{"path": "teams/a1.yaml", "kind": "added"}])
    );
}

#[test]
fn a_wrong_request_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), EXAMPLE.replace("team-alpha", "api")).unwrap();
    fs::write(folder.path().join("b.yaml"), EXAMPLE).unwrap();
    let output = goldpath(folder.path(), &["run", "-f", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("Team default/example-team: committed\n"));
    assert!(
        stderr(&output).starts_with("error[reserved]: `api` is a name that Gitea reserves\n --> ./a.yaml:6:7\n"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn programs_hear_of_wrong_requests_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), EXAMPLE.replace("team-alpha", "api")).unwrap();
    fs::write(folder.path().join("b.yaml"), "a: [").unwrap();
    fs::write(folder.path().join("c.yaml"), EXAMPLE).unwrap();
    let output = goldpath(folder.path(), &["run", "-f", ".", "--output", "json"]);
    let entries: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes: Vec<_> = entries.as_array().unwrap().iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["wrong", "wrong", "committed"]);
    assert_eq!((&entries[0]["faults"][0]["rule"], &entries[0]["faults"][0]["line"]), (&"reserved".into(), &6.into()));
    assert_eq!(
        (&entries[1]["faults"][0]["rule"], &entries[1]["faults"][0]["file"]),
        (&"unreadable".into(), &"./b.yaml".into())
    );
}

#[test]
fn exit_codes_tell_clean_from_faulty_from_misused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), EXAMPLE).unwrap();
    fs::write(folder.path().join("bad.yaml"), EXAMPLE.replace("email", "emial")).unwrap();
    let code = |arguments: &[&str]| goldpath(folder.path(), arguments).status.code();
    assert_eq!(code(&["validate", "-f", "good.yaml"]), Some(0));
    assert_eq!(code(&["validate", "-f", "bad.yaml"]), Some(1));
    assert_eq!(code(&["validate", "-f", "absent.yaml"]), Some(1));
    assert_eq!(code(&["validate"]), Some(2));
    assert_eq!(code(&["validate", "-f", "good.yaml", "--frobnicate"]), Some(2));
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--version"]), Some(0));
}

#[test]
fn faults_for_programs_have_their_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.yaml"), EXAMPLE.replace("email", "emial")).unwrap();
    let output = goldpath(folder.path(), &["validate", "-f", "bad.yaml", "--output", "json"]);
    let faults: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(faults.as_array().unwrap().len(), 1);
    let fault = &faults[0];
    assert_eq!((&fault["file"], &fault["line"], &fault["column"]), (&"bad.yaml".into(), &8.into(), &3.into()));
    assert_eq!(
        (&fault["path"], &fault["rule"], &fault["suggestion"]),
        (&"spec.emial".into(), &"unknown-field".into(), &"email".into())
    );
    assert_eq!(stderr(&output), "1 fault in 1 request\n");
}

#[test]
fn the_same_object_twice_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("twice.yaml"), format!("{EXAMPLE}---\n{EXAMPLE}")).unwrap();
    let output = goldpath(folder.path(), &["validate", "-f", "twice.yaml"]);
    assert!(
        stdout(&output).contains("error[duplicate]") && stdout(&output).contains("twice.yaml:13:9"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn no_colour_and_no_control_sequence_reaches_what_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("bad.yaml"),
        EXAMPLE.replace("Team Alpha", "\"\\e[31mred\\u202e\"  # \u{1b}[32m").replace("email:", "em\u{202e}ail:"),
    )
    .unwrap();
    for arguments in [["validate", "-f", "bad.yaml"], ["run", "-f", "bad.yaml"]] {
        let output = goldpath(folder.path(), &arguments);
        let printed = format!("{}{}", stdout(&output), stderr(&output));
        assert!(printed.contains("error"), "{printed}");
        assert!(!printed.contains(['\u{1b}', '\u{202e}', '\r']), "{printed:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), EXAMPLE).unwrap();
    let mut child = binary("goldpath")
        .current_dir(folder.path())
        .args(["run", "--diff", "-f", "team.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(stderr(&child.wait_with_output().unwrap()), "");
}

#[test]
fn the_configuration_changes_what_is_generated() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), EXAMPLE.replace("  email", "  # email")).unwrap();
    fs::write(
        folder.path().join("platform.yaml"),
        "defaults: {emailDomain: corp.example, quota: {pods: 9}}\ngitea: {url: https://git.corp.example/}\n",
    )
    .unwrap();
    let output = goldpath(folder.path(), &["run", "--config", "platform.yaml", "--diff", "-f", "team.yaml"]);
    let text = stdout(&output);
    assert!(
        text.contains("email: \"team-alpha@corp.example\"") && text.contains("\"https://git.corp.example/team-alpha\""),
        "{text}"
    );
    let quota = fs::read_to_string(
        folder.path().join(".goldpath/requests/team/default/example-team/output/team_default_example-team_quota.yaml"),
    )
    .unwrap();
    assert!(quota.contains("pods: 9\n"), "{quota}");
}

#[test]
fn generated_files_are_current_and_versions_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = goldpath(root, &["generate", "--check"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let promise: Value = serde_yaml::from_slice(&fs::read(root.join("promises/team/promise.yaml")).unwrap()).unwrap();
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(promise["metadata"]["labels"]["kratix.io/promise-version"], version);
    for pipeline in ["configure", "delete"] {
        for container in promise["spec"]["workflows"]["resource"][pipeline][0]["spec"]["containers"].as_array().unwrap()
        {
            assert!(container["image"].as_str().unwrap().ends_with(&format!(":{version}")), "{container}");
        }
    }
}

#[test]
fn a_promise_that_is_out_of_date_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let promise = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/promises/team/promise.yaml")).unwrap();
    fs::create_dir_all(folder.path().join("promises/team")).unwrap();
    let stale = folder.path().join("promises/team/promise.yaml");
    fs::write(&stale, promise.replace("maxLength: 40", "maxLength: 41")).unwrap();
    assert_eq!(goldpath(folder.path(), &["generate", "--check"]).status.code(), Some(1));
    assert!(goldpath(folder.path(), &["generate"]).status.success());
    assert_eq!(fs::read_to_string(stale).unwrap(), promise);
}

#[test]
fn a_plan_is_checked_by_rules_that_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let config = |rules: &str| {
        let review = "user: r, repository: {owner: o, name: n}, policy: {rules: [own.rego]}";
        let rest = "gitea: {url: 'https://git.example', tokenFile: t}\nstate: {owner: s}\n\
                    repositories: {infrastructure: {owner: o, name: i}}";
        fs::write(folder.path().join("config.yaml"), format!("review: {{{review}}}\n{rest}\n")).unwrap();
        fs::write(folder.path().join("own.rego"), rules).unwrap();
    };
    fs::write(folder.path().join("plan.json"), "{}").unwrap();
    let policy =
        |module: &str| goldpath(folder.path(), &["policy", "--config", "config.yaml", "--module", module, "plan.json"]);
    config("package goldpath\ndeny contains {{");
    let output = policy("teams/alpha");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "error: cannot use the platform's rules: own.rego:2:17: expecting expression\n");
    config("package goldpath\ndeny contains \"a\" if input.deletes");
    let output = policy("teams/alpha");
    assert_eq!(output.status.code(), Some(1));
    let message = "error: plan.json is not a plan, as `terraform show -json` prints it: ";
    assert!(stderr(&output).starts_with(message), "{}", stderr(&output));
    assert_eq!(policy("../alpha").status.code(), Some(2));

    let plan = |action: &str| {
        let object = serde_json::json!({"id": "7", "name": "alpha", "visibility": "private"});
        let (before, after) = if action == "delete" { (object, Value::Null) } else { (Value::Null, object) };
        let change = serde_json::json!({
            "address": "gitea_org.team", "mode": "managed", "type": "gitea_org", "name": "team",
            "provider_name": "registry.terraform.io/go-gitea/gitea",
            "change": {"actions": [action], "before": before, "after": after},
        });
        let plan = serde_json::json!({"format_version": "1.2", "resource_changes": [change]});
        fs::write(folder.path().join("plan.json"), plan.to_string()).unwrap();
    };
    plan("create");
    let output = policy("teams/alpha");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), "no finding in 1 plan\n"));
    plan("delete");
    let output = policy("teams/alpha");
    assert_eq!(
        support::transcript(&output),
        "needs-owner[destroy] gitea_org.team: it is destroyed, with all that is in it\n1 finding in 1 plan\nexit 1\n"
    );
}
