//! Requests on the real Gitea that the environment names, from an empty server to applied and gone.
//!
//! A test is a story: what Kratix and people do, one after the other. What each step changed in the
//! requests' status, and in the branches, files and pull requests of both repositories, is compared
//! with `tests/gitea/<story>.txt`, which tells everything: what it does not list is as it was.
//! `BLESS=1` writes it anew; a person reads the difference. `scripts/run-integration-tests.sh` runs these.
#![expect(clippy::unwrap_used, reason = "a test")]

mod story;
use crate::support::gitea::{Organization, User, admin_token, api, ask, get_all, goldpath, variable};
use crate::support::load::Requests;
use crate::support::team;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use story::{BRANCH, Story};

const PLAN: &str = "goldpath/plan: teams/alpha";
const APPLY: &str = "goldpath/apply: teams/alpha";

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_team_comes_from_an_empty_server_to_applied_and_goes_when_it_is_destroyed() {
    let mut story = Story::new("life");
    story.apply("alpha", "alpha", "Alpha");
    story.reconcile_in_vain(1);
    story.apply("alpha", "alpha", "Alphas");
    let of_another = PLAN.replace("alpha", "beta");
    for (run, state, text) in [
        (PLAN, "pending", "running"),
        (&of_another, "failure", "of another module"),
        (PLAN, "failure", "no such provider"),
        (PLAN, "success", "+3 ~0 -0"),
    ] {
        story.run_says(1, run, state, text);
        story.track("alpha");
    }
    story.merge(1);
    story.track("alpha");
    story.reconcile("alpha");
    for (state, text) in [("pending", "running"), ("failure", "no such organisation"), ("success", "+3 ~0 -0")] {
        story.run_says(1, APPLY, state, text);
        story.track("alpha");
    }
    story.reconcile_in_vain(1);
    story.delete("alpha");
    story.delete("alpha");
    story.merge(2);
    story.delete("alpha");
    for (state, text) in [("pending", "running"), ("success", "+0 ~0 -3")] {
        story.run_says(2, APPLY, state, text);
        story.delete("alpha");
    }
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn another_id_is_refused_and_what_has_the_old_one_stays() {
    let mut story = Story::new("rename");
    story.apply("alpha", "before", "Alpha");
    story.apply("alpha", "between", "Alpha");
    story.merge(1);
    story.apply("alpha", "after", "Alpha");
    story.apply("alpha", "before", "Alphas");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_request_that_was_refused_is_let_go() {
    let mut story = Story::new("refused");
    story.apply("alpha", "alpha", "Alpha");
    story.merge(1);
    story.apply("beta", "alpha", "Another");
    story.delete("beta");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_is_claimed_nobody_else_gets_and_whoever_writes_writes_it_too() {
    let mut story = Story::new("claims");
    story.apply("alpha", "alpha", "Alpha");
    story.claim("beta", "beta", "Beta");
    story.claim("gamma", "beta", "Another Beta");
    story.claim("beta", "beta", "Betas");
    story.edit("gamma", "beta", "Without a claim");
    story.track("gamma");
    story.apply("delta", "delta", "Delta");
    story.reconcile("beta");
    // Deleted before it was written: whoever writes afterwards does not bring it back.
    story.claim("echo", "echo", "Echo");
    story.delete("echo");
    story.claim("gamma", "echo", "Echo");
    story.reconcile("alpha");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn two_teams_share_the_catalogs_branch_and_are_proposed_beside_each_other() {
    let mut story = Story::new("two");
    story.apply("alpha", "alpha", "Alpha");
    story.apply("beta", "beta", "Beta");
    story.merge(1);
    story.reconcile("beta");
    story.merge(2);
    story.reconcile("beta");
    story.delete("alpha");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_reviewers_say_is_told_and_an_approval_counts_for_what_was_seen() {
    let mut story = Story::new("review");
    story.apply("alpha", "alpha", "Alpha");
    let [first, second] = ["first", "second"].map(|name| story.person(name));
    story.review(1, &first, "COMMENT");
    story.review(1, &first, "APPROVED");
    story.review(1, &second, "REQUEST_CHANGES");
    story.apply("alpha", "alpha", "Alphas");
    story.review(1, &second, "APPROVED");
    story.merge(1);
    story.configure(&json!([first]));
    story.apply("alpha", "alpha", "Reviewed");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_pull_request_that_a_person_closed_stays_closed_until_the_request_changes() {
    let mut story = Story::new("closed");
    story.list();
    story.apply("alpha", "alpha", "Alpha");
    let person = story.person("person");
    story.list();
    story.set(&person, 1, "closed");
    story.track("alpha");
    story.reconcile("alpha");
    story.list();
    story.reconcile_in_vain(1);
    story.apply("alpha", "alpha", "Alphas");
    story.set(&person, 2, "closed");
    story.list();
    story.reconcile("alpha");
    story.set(&person, 2, "open");
    story.reconcile("alpha");
    story.set(&person, 2, "closed");
    story.remove_branch(&person);
    story.reconcile("alpha");
    story.reconcile_in_vain(2);
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_branch_that_a_person_pushed_to_is_left_alone_until_it_is_merged_or_removed() {
    let mut story = Story::new("edited");
    story.apply("alpha", "alpha", "Alpha");
    let person = story.person("person");
    story.write(&person, "main", "NOTES.md", "A file of nobody's.\n");
    let update = |story: &mut Story| drop(api("POST", &story.path("/pulls/1/update"), &Value::Null));
    story.happens("a person updates the branch of #1", update);
    story.reconcile("alpha");
    story.list();
    story.write(&person, BRANCH, "teams/alpha/main.tf", "# mine\n");
    story.list();
    story.reconcile("alpha");
    story.reconcile("alpha");
    story.apply("alpha", "alpha", "Alphas");
    story.apply("alpha", "alpha", "Alpha");
    story.set(&person, 1, "closed");
    story.reconcile("alpha");
    story.remove_branch(&person);
    story.reconcile("alpha");
    story.write(&person, BRANCH, "teams/alpha/extra.tf", "# mine\n");
    story.reconcile("alpha");
    story.merge(2);
    story.reconcile("alpha");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_main_changed_meanwhile_is_named_and_the_next_run_puts_it_right() {
    let mut story = Story::new("main");
    story.apply("alpha", "alpha", "Alpha");
    story.merge(1);
    story.apply("alpha", "alpha", "Alphas");
    story.write_in_conflict_with(2, "teams/alpha/main.tf", "# by hand\n");
    story.track("alpha");
    story.reconcile("alpha");
    story.merge(2);
    story.run_says(2, APPLY, "success", "+3 ~0 -0");
    story.reconcile("alpha");
    story.write("", "main", "teams/alpha/main.tf", "# by another hand\n");
    story.write("", "main", "teams/alpha.yaml", "by: hand\n");
    story.track("alpha");
    story.reconcile("alpha");
    story.merge(3);
    story.run_says(3, APPLY, "success", "+0 ~1 -0");
    story.apply("alpha", "alpha", "Alpha");
    story.apply("alpha", "alpha", "Alphas");
    story.reconcile_in_vain(4);
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_deletion_takes_back_what_was_proposed_and_is_taken_back_itself() {
    let mut story = Story::new("deletion");
    story.apply("alpha", "alpha", "Alpha");
    let person = story.person("person");
    story.delete("alpha");
    story.settle();
    story.apply("alpha", "alpha", "Alpha");
    story.merge(2);
    story.run_says(2, APPLY, "success", "+3 ~0 -0");
    story.delete("alpha");
    // Somebody took the finalizer off.
    story.requests.clear();
    story.apply("alpha", "alpha", "Alpha");
    story.settle();
    story.delete("alpha");
    story.set(&person, 4, "closed");
    story.delete("alpha");
    story.set(&person, 4, "open");
    story.delete("alpha");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn an_apply_by_hand_shows_its_outputs_and_an_empty_state_lets_a_deletion_go() {
    let mut story = Story::new("state");
    story.apply("alpha", "alpha", "Alpha");
    story.merge(1);
    let put = |story: &mut Story, serial: u64, resources: Value| {
        let state = json!({
            "version": 4, "terraform_version": "1.11.0", "serial": serial, "resources": resources,
            "lineage": "7c9d1f0e-0000-4000-8000-000000000000", "outputs": {
                "organization_name": {"value": "alpha", "type": "string"},
                "password": {"value": "planted-5ecret", "type": "string", "sensitive": true},
            },
        });
        let put = |story: &mut Story| drop(api("POST", &story.state_path(), &state));
        story.happens(&format!("somebody runs Terraform by hand: {resources}"), put);
    };
    put(&mut story, 3, json!([{"mode": "managed", "type": "gitea_org", "name": "team", "instances": []}]));
    story.track("alpha");
    story.delete("alpha");
    story.merge(2);
    story.delete("alpha");
    put(&mut story, 4, json!([]));
    story.delete("alpha");
    assert!(!story.text.contains("planted"), "{}", story.text);
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_repository_that_is_not_what_it_was_is_said_to_be_so() {
    let mut story = Story::new("repository");
    story.apply("alpha", "alpha", "Alpha");
    let change = |what: &'static str, story: &mut Story, method: &str, path: String, body: Value| {
        story.happens(&format!("infrastructure is {what}"), |_| drop(api(method, &path, &body)));
        story.track("alpha");
        story.reconcile("alpha");
    };
    let path = story.path("");
    change("archived", &mut story, "PATCH", path.clone(), json!({"archived": true}));
    change("no longer archived", &mut story, "PATCH", path.clone(), json!({"archived": false}));
    change("renamed", &mut story, "PATCH", path, json!({"name": "modules"}));
    let modules = story.organization.path("modules", "");
    story.happens("infrastructure is removed", |_| drop(api("DELETE", &modules, &Value::Null)));
    // It is made again, and the number of alpha's pull request is beta's.
    story.apply("beta", "beta", "Beta");
    story.track("alpha");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn looks_come_ever_later_until_there_is_something_new_to_see() {
    let mut story = Story::new("looks");
    story.apply("alpha", "alpha", "Alpha");
    (0..6).for_each(|_| story.track("alpha"));
    story.run_says(1, PLAN, "pending", "running");
    story.track("alpha");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn in_a_large_repository_a_file_of_another_request_is_refused_with_its_owner() {
    let mut story = Story::new("large");
    story.apply("alpha", "alpha", "Alpha");
    let path = story.organization.path("catalog", "/contents");
    story.happens("the catalog has 1100 more files", |_| {
        for n in 0..11 {
            let file = |k| json!({"operation": "create", "path": format!("zoo/{n}/{k}.md"), "content": "eA=="});
            let files: Vec<_> = (0..100).map(file).collect();
            api("POST", &path, &json!({"branch": "main", "files": files, "message": "zoo"}));
        }
    });
    story.apply("beta", "alpha", "Thief");
    story.apply("beta", "beta", "Beta");
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn goldpath_run_delivers_from_a_laptop() {
    let mut story = Story::new("laptop");
    fs::write(story.folder.path().join("team.yaml"), crate::support::gitea::team("alpha")).unwrap();
    for arguments in [&["-f", "team.yaml"][..], &["-f", "team.yaml"], &["-f", "team.yaml", "--delete"]] {
        story.happens(&format!("goldpath run {}", arguments.join(" ")), |story| {
            let output = goldpath(story.folder.path(), arguments).output().unwrap();
            story.text += &crate::support::transcript(&output);
        });
    }
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_diff_is_what_a_run_would_do_whatever_waits_for_review() {
    let mut story = Story::new("diff");
    let write = |story: &Story, name: &str| {
        let text = crate::support::gitea::team("alpha").replace("name: Team", &format!("name: {name}"));
        fs::write(story.folder.path().join("team.yaml"), text).unwrap();
    };
    let call = |story: &mut Story, arguments: &[&str]| {
        story.happens(&format!("goldpath {}", arguments.join(" ")), |story| {
            let mut command = crate::support::binary("goldpath");
            command.current_dir(story.folder.path()).args(arguments).args(["--config", "platform.yaml"]);
            story.text += &crate::support::transcript(&command.output().unwrap());
        });
    };
    let run = ["run", "-v", "team.yaml"];
    let both = |story: &mut Story| {
        call(story, &["diff", "--stat", "team.yaml"]);
        call(story, &run);
    };
    write(&story, "Alpha");
    both(&mut story);
    // It waits for a review, as it is, edited, declined, and edited by a person.
    call(&mut story, &["diff", "--stat", "team.yaml"]);
    write(&story, "Alphas");
    both(&mut story);
    call(&mut story, &["diff", "--stat", "team.yaml"]);
    let person = story.person("person");
    story.set(&person, 1, "closed");
    both(&mut story);
    story.set(&person, 1, "open");
    story.write(&person, BRANCH, "teams/alpha/main.tf", "# mine\n");
    both(&mut story);
    story.end();
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn an_index_that_somebody_wrote_stays_and_the_entities_of_people_are_listed() {
    let organization = Organization::with_repositories("index");
    let entity = |kind: &str, name: &str| {
        format!("apiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    };
    let by_hand = entity("Location", "company") + "spec: {targets: ['https://example.com/all.yaml']}\n";
    let mut files = vec![
        ("catalog-info.yaml".to_owned(), by_hand.clone()),
        ("shop.yml".to_owned(), entity("Component", "shop")),
        ("api/openapi.yaml".to_owned(), "openapi: 3.1.0\npaths: {}\n".to_owned()),
    ];
    files.extend((10..30).map(|n| (format!("components/c{n}.yaml"), entity("Component", &format!("c{n}")))));
    let write = |files: &[(String, String)], operation: &str, sha: Option<&str>| {
        let file = |(path, text): &(String, String)| json!({"operation": operation, "path": path, "content": BASE64.encode(text), "sha": sha});
        let body = json!({"branch": "main", "message": "by hand", "files": files.iter().map(file).collect::<Vec<_>>()});
        api("POST", &organization.path("catalog", "/contents"), &body);
    };
    write(&files, "create", None);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), crate::support::gitea::team("alpha")).unwrap();
    let run = |more: &Value| {
        let gitea = |name: &str| json!({"owner": organization.0, "name": name, "delivery": "commit"});
        let mut config = json!({
            "gitea": {"url": variable("GITEA_URL"), "tokenFile": variable("GITEA_TOKEN_FILE"), "caFile": variable("GITEA_CA_FILE")},
            "repositories": {"catalog": gitea("catalog"), "infrastructure": gitea("infrastructure")},
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fs::write(folder.path().join("platform.yaml"), config.to_string()).unwrap();
        let output = goldpath(folder.path(), &["-f", "team.yaml"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (
            report[0]["outcome"].as_str().unwrap().to_owned(),
            String::from_utf8(output.stderr).unwrap(),
            output.status.code(),
        )
    };
    let commits = || get_all(&organization.path("catalog", "/commits")).len();
    let targets = |path: &str| -> Vec<String> {
        let index: Value = serde_yaml::from_str(&organization.content("catalog", "main", path)).unwrap();
        serde_json::from_value(index["spec"]["targets"].clone()).unwrap()
    };

    let (outcome, text, code) = run(&json!({}));
    assert_eq!((outcome.as_str(), code), ("refused", Some(1)), "{text}");
    assert!(
        text.starts_with("error[index]: `catalog-info.yaml` in catalog is to be the list of all entities")
            && text.contains("`catalog.index`"),
        "{text}"
    );
    assert_eq!((organization.content("catalog", "main", "catalog-info.yaml"), commits()), (by_hand, 1));

    let elsewhere = json!({"catalog": {"index": "goldpath/all.yaml"}});
    let (outcome, text, code) = run(&elsewhere);
    assert_eq!((outcome.as_str(), code), ("committed", Some(0)), "{text}");
    let mut expected: Vec<_> =
        files.iter().filter(|(path, _)| path != "api/openapi.yaml").map(|(path, _)| path.as_str()).collect();
    expected.push("teams/alpha.yaml");
    expected.sort_unstable();
    let expected: Vec<_> = expected.iter().map(|path| format!("./../{path}")).collect();
    assert_eq!(targets("goldpath/all.yaml"), expected);
    assert_eq!((run(&elsewhere).0.as_str(), commits()), ("unchanged", 2));

    let old = api("GET", &organization.path("catalog", "/contents/shop.yml"), &Value::Null);
    write(&[("shop.yml".to_owned(), "no: entity\n".to_owned())], "update", old["sha"].as_str());
    assert_eq!(run(&elsewhere).0, "unchanged");
    let rest: Vec<_> = expected.iter().filter(|path| !path.ends_with("shop.yml")).cloned().collect();
    assert_eq!((targets("goldpath/all.yaml"), commits()), (rest, 4));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn who_has_no_account_is_named_before_anybody_reviews() {
    let organization = Organization::with_repositories("people");
    let readme = json!({"branch": "main", "message": "first", "content": ""});
    for repository in ["catalog", "infrastructure"] {
        api("POST", &organization.path(repository, "/contents/README.md"), &readme);
    }
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "gitea": {"url": variable("GITEA_URL"), "tokenFile": variable("GITEA_TOKEN_FILE"), "caFile": variable("GITEA_CA_FILE")},
        "repositories": {
            "catalog": {"owner": organization.0, "name": "catalog"},
            "infrastructure": {"owner": organization.0, "name": "infrastructure"},
        },
    });
    fs::write(folder.path().join("platform.yaml"), config.to_string()).unwrap();
    let ada = User::new("people-ada");
    let [bob, eve] = ["bob", "eve"].map(|name| format!("goldpath-user-people-{name}-{}", std::process::id()));
    let members: Vec<_> = [&ada.0, &bob, &eve].map(|name| json!({"username": name})).into();
    let id = format!("people-{}", std::process::id());
    let team = team(json!({"name": "people"}), json!({"id": id, "name": "People", "members": members}));
    fs::write(folder.path().join("team.yaml"), team.to_string()).unwrap();
    let run = || -> (Value, String) {
        let output = goldpath(folder.path(), &["-f", "team.yaml"]).output().unwrap();
        assert!(output.status.success(), "{}", crate::support::transcript(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let body = organization.pulls("infrastructure")[0]["body"].as_str().unwrap().to_owned();
        (report[0].clone(), body)
    };
    let warning =
        format!("`spec.members`: `{bob}` and `{eve}` have no accounts in Gitea, without which the apply fails");
    let (report, body) = run();
    assert_eq!(report["repositories"]["infrastructure"]["warnings"], json!([warning]));
    assert!(report["message"].as_str().unwrap().ends_with(&format!("; {warning}")), "{report}");
    assert!(body.contains(&format!("**Warning**: {warning}.")), "{body}");
    let status = folder.path().join(".goldpath/requests/team/default/people/metadata/status.yaml");
    let status: Value = serde_yaml::from_slice(&fs::read(status).unwrap()).unwrap();
    assert_eq!(status["goldpath"]["warnings"], json!([warning]));

    let _bob = User::new("people-bob");
    let (report, body) = run();
    let warning = format!("`spec.members`: `{eve}` has no account in Gitea, without which the apply fails");
    assert_eq!(report["repositories"]["infrastructure"]["warnings"], json!([warning]));
    assert!(body.contains(&format!("**Warning**: {warning}.")), "{body}");
    let _eve = User::new("people-eve");
    let (report, body) = run();
    assert_eq!(report["repositories"]["infrastructure"]["warnings"], Value::Null);
    assert!(!body.contains("Warning") && !report["message"].to_string().contains("account"), "{report} {body}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_keeps_a_platform_from_its_first_delivery_is_told_before() {
    let organization = Organization::with_repositories("doctor");
    let writer = User::new("doctor-writer");
    for repository in ["catalog", "infrastructure"] {
        writer.join(&organization, repository, "write");
    }
    let folder = tempfile::tempdir().unwrap();
    let reviewers = RefCell::new(json!([]));
    let doctor = |scopes: &[&str], server: &str| {
        let token = writer.token(&format!("doctor-{:08x}", fastrand::u32(..)), scopes);
        fs::write(folder.path().join("token"), token).unwrap();
        let config = json!({
            "gitea": {"url": server, "tokenFile": "token", "caFile": variable("GITEA_CA_FILE")},
            "repositories": {
                "catalog": {"owner": organization.0, "name": "catalog"},
                "infrastructure": {
                    "owner": organization.0, "name": "infrastructure",
                    "reviewers": *reviewers.borrow(), "teamReviewers": *reviewers.borrow(),
                },
            },
        });
        fs::write(folder.path().join("platform.yaml"), config.to_string()).unwrap();
        let mut command = crate::support::binary("goldpath");
        let output = command.current_dir(folder.path()).args(["doctor", "--config", "platform.yaml"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let all = ["write:repository", "write:issue"];
    let server = variable("GITEA_URL");
    let (code, told) = doctor(&all, "https://127.0.0.1:9");
    assert!(
        code == Some(1) && told.contains("help: see `gitea.url`") && told.ends_with("2 things to put right\n"),
        "{told}"
    );
    let (code, told) = doctor(&all, &server);
    assert!(
        code == Some(1) && told.contains("wrong  infrastructure: it is empty\n       help: have its first commit made"),
        "{told}"
    );
    for repository in ["catalog", "infrastructure"] {
        let readme = json!({"branch": "main", "message": "first", "content": ""});
        api("POST", &organization.path(repository, "/contents/README.md"), &readme);
    }
    let (code, told) = doctor(&all, &server);
    assert!(code == Some(1) && told.contains("wrong  infrastructure: `main` is not protected\n"), "{told}");
    let protection = json!({"rule_name": "main", "enable_push": false, "required_approvals": 1});
    api("POST", &organization.path("infrastructure", "/branch_protections"), &protection);
    let (code, told) = doctor(&all, &server);
    assert_eq!((code, told.lines().last()), (Some(0), Some("all is well")), "{told}");
    assert!(told.contains("ok     infrastructure: `main` is protected, and needs 1 approvals\n"), "{told}");
    assert!(told.contains("ok     catalog: the token's user may push to `main`\n"), "{told}");
    // Nothing was made by asking.
    for what in ["releases", "issues"] {
        assert_eq!(api("GET", &organization.path("infrastructure", &format!("/{what}")), &Value::Null), json!([]));
    }
    let (code, told) = doctor(&all[..1], &server);
    assert!(
        code == Some(1) && told.contains("help: give it the scope `write:issue`") && told.contains("1 thing to"),
        "{told}"
    );
    let (_, told) = doctor(&["read:repository"], &server);
    assert!(told.contains("help: give it the scope `write:repository`"), "{told}");
    *reviewers.borrow_mut() = json!(["nobody-here"]);
    let (_, told) = doctor(&all, &server);
    for line in [
        "the user `nobody-here` is not there, or may not read it\n       help: correct `repositories.infrastructure.reviewers`",
        "the team `nobody-here` is not there, or may not read it\n       help: correct `repositories.infrastructure.teamReviewers`",
    ] {
        assert!(told.contains(line) && told.ends_with("2 things to put right\n"), "{line}{told}");
    }
    *reviewers.borrow_mut() = json!(["Owners"]);
    let (_, told) = doctor(&all, &server);
    assert!(told.contains("the user `Owners` is") && told.ends_with("1 thing to put right\n"), "{told}");
    *reviewers.borrow_mut() = json!(["nobody-here"]);
    let file = folder.path().join("team.yaml");
    let text =
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec: {id: doctor-a, name: A}\n";
    fs::write(&file, text).unwrap();
    let mut command = crate::support::binary("goldpath");
    let run =
        command.current_dir(folder.path()).args(["run", "--config", "platform.yaml", "team.yaml"]).output().unwrap();
    let told = crate::support::transcript(&run);
    assert!(
        told.contains("whom `reviewers` and `teamReviewers` of the repository in the configuration name"),
        "{told}"
    );
    *reviewers.borrow_mut() = json!([]);
    api("PATCH", &organization.path("infrastructure", ""), &json!({"archived": true}));
    let (_, told) = doctor(&all, &server);
    assert!(
        told.ends_with("is archived\n       help: have it unarchived, or name another\n1 thing to put right\n"),
        "{told}"
    );
    // What the other holds is told all the same.
    let mut command = crate::support::binary("goldpath");
    let list = command.current_dir(folder.path()).args(["list", "--config", "platform.yaml"]).output().unwrap();
    let told = crate::support::transcript(&list);
    assert!(told.contains("team/default/a  unknown") && told.contains("archived"), "{told}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_dry_run_on_an_empty_server_makes_nothing() {
    let organization = Organization::planned("dry");
    let requests = Requests::render(vec!["alpha".to_owned()]);
    let gitea = |name: &str| json!({"owner": organization.0, "name": name, "create": true});
    requests.configure(&json!({"catalog": gitea("catalog"), "infrastructure": gitea("infrastructure")}), 60);
    let output = requests.step("commit", "alpha").env("KRATIX_DRY_RUN", "true").output().unwrap();
    let expected = "catalog: would commit\n  + teams/alpha.yaml\ninfrastructure: would commit\n  \
                    + teams/alpha/backend.tf\n  + teams/alpha/main.tf\n  + teams/alpha/outputs.tf\n  \
                    + teams/alpha/providers.tf\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(ask(&admin_token(), "GET", &format!("/orgs/{}", organization.0), &Value::Null).0, 404);
}
