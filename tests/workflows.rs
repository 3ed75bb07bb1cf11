//! The whole of it through Gitea Actions, from an empty server: the setup script, the workflows, their runners, the
//! real Terraform and provider. `scripts/run-contract-tests.sh` runs these.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use serde_json::{Value, json};
use std::time::Instant;
use support::gitea::{PASSWORD, User, api, ask, variable};
use support::platform::Platform;
use support::review::Managed;

#[test]
#[ignore = "needs a Gitea with Actions: scripts/run-contract-tests.sh"]
fn a_team_goes_from_request_to_applied_through_the_workflows() {
    let platform = Platform::new("flow", "");
    assert!(platform.set_up().contains("nothing to change"));
    let (ada, bob) = (User::new("flow-ada"), User::new("flow-bob"));
    let team = platform.team("flow");
    let mut times = Vec::new();

    let spec = format!("name: Alpha, members: [{{username: {}, role: admin}}]", ada.0);
    let number = request(&platform, &team, &spec, &[], "success: +3 ~0 -0", &mut times);
    assert!(platform.comments(number)[0].contains(&ada.0));
    platform.approve(&platform.reviewer, number);
    merge(&platform, &team, number, "success: +3 ~0 -0", &mut times);
    assert_eq!(team.get().unwrap()["full_name"], "Alpha");
    assert_eq!(team.members("admin"), [ada.0.as_str()]);
    let seen = platform.deliver(&team, &spec, &[]);
    assert_eq!(seen["phase"], "applied", "{seen}");
    let shown = format!("| `organization_url` | `\"{}/{}\"` |", variable("GITEA_URL"), team.0);
    assert!(platform.comments(number)[1].contains(&shown));

    let spec = format!("name: Alphas, members: [{{username: {}, role: admin}}, {{username: {}}}]", ada.0, bob.0);
    let number = request(&platform, &team, &spec, &[], "success: +2 ~1 -0", &mut times);
    platform.approve(&platform.reviewer, number);
    merge(&platform, &team, number, "success: +2 ~1 -0", &mut times);
    assert_eq!(team.get().unwrap()["full_name"], "Alphas");
    assert_eq!(team.members("developer"), [bob.0.as_str()]);

    let pending = "pending: a platform owner must approve this: destroy";
    let number = request(&platform, &team, &spec, &["--delete"], pending, &mut times);
    assert!(platform.comments(number)[0].contains("destroy"));
    let begin = Instant::now();
    platform.approve(&platform.owner, number);
    platform.planned(number, "success: +0 ~0 -5");
    times.push(format!("approval of an owner -> plan may be merged: {:.1} s", begin.elapsed().as_secs_f64()));
    merge(&platform, &team, number, "success: +0 ~0 -5", &mut times);
    assert!(team.get().is_none());
    let gone = platform.deliver(&team, &spec, &["--delete"]);
    assert_eq!([&gone["phase"], &gone["message"]], ["applied", "everything that Terraform made is destroyed"]);
    println!("{}", times.join("\n"));
}

/// Delivers a request, and waits until its plan is shown.
fn request(
    platform: &Platform,
    team: &Managed,
    spec: &str,
    arguments: &[&str],
    status: &str,
    times: &mut Vec<String>,
) -> u64 {
    let begin = Instant::now();
    platform.deliver(team, spec, arguments);
    let number = platform.pull();
    platform.planned(number, status);
    times.push(format!("request -> plan shown: {:.1} s", begin.elapsed().as_secs_f64()));
    number
}

/// Merges, and waits until it is applied.
fn merge(platform: &Platform, team: &Managed, number: u64, status: &str, times: &mut Vec<String>) {
    platform.merge(number);
    let begin = Instant::now();
    platform.applied(number, team, status);
    times.push(format!("merge -> applied: {:.1} s", begin.elapsed().as_secs_f64()));
}

#[test]
#[ignore = "needs a Gitea with Actions: scripts/run-contract-tests.sh"]
fn whoever_steals_the_bells_token_can_ring_and_write_issues() {
    let platform = Platform::new("bell", "");
    let bell = User(format!("{}-bell", platform.users));
    let path = format!("/admin/users/{}", bell.0);
    let password = json!({"login_name": bell.0, "source_id": 0, "password": PASSWORD, "must_change_password": false});
    api("PATCH", &path, &password);
    let token = bell.token("stolen", &["write:issue"]);
    // Of a user, one would be worth no more.
    let all = bell.token("all", &["all"]);
    let review = |rest: &str| platform.organization.path("review", rest);
    let owners = api("POST", &review("/issues"), &json!({"title": "of an owner"}))["number"].clone();
    let label = api("POST", &review("/labels"), &json!({"name": "l", "color": "#000000"}))["id"].clone();
    let number = |name: &str| {
        let variable = api("GET", &review(&format!("/actions/variables/{name}")), &Value::Null);
        variable["data"].as_str().unwrap().to_owned()
    };
    let plan = format!("/issues/{}", number("PLAN_BELL"));
    let owners = format!("/issues/{owners}");
    // A closed issue rings as well.
    for body in [json!({"body": "rung"}), json!({"body": "rung", "state": "closed"}), json!({"body": "rung"})] {
        let last = platform.runs()[0]["id"].as_u64();
        assert_eq!(ask(&token, "PATCH", &review(&plan), &body).0, 201);
        let run = platform.wait(|| "the bell to be heard".to_owned(), || {
            let is_new = |r: &Value| r["id"].as_u64() > last && r["path"] == "plan.yaml@refs/heads/main";
            platform.runs().into_iter().find(is_new)
        });
        assert_eq!(platform.ended(run["id"].as_u64().unwrap()), "success");
    }
    let run = platform.runs()[0]["id"].clone();
    let job = api("GET", &review(&format!("/actions/runs/{run}/jobs")), &Value::Null)["jobs"][0]["id"].clone();
    let may = [
        ("PATCH", plan.as_str(), json!({"title": "renamed"})),
        ("PATCH", &plan, json!({"title": "plan", "assignees": [bell.0]})),
        ("POST", &format!("{plan}/comments"), json!({"body": "x"})),
        ("POST", "/issues", json!({"title": "plan"})),
        ("GET", "/issues", Value::Null),
        ("POST", &format!("{owners}/comments"), json!({"body": "x"})),
        ("POST", &format!("{owners}/reactions"), json!({"content": "heart"})),
    ];
    for (method, rest, body) in &may {
        let status = ask(&token, method, &review(rest), body).0;
        assert!(matches!(status, 200 | 201), "{method} {rest} {body}: {status}");
    }
    assert_eq!(api("GET", &review(&plan), &Value::Null)["assignees"], Value::Null);
    let may_not = [
        ("PUT", format!("{plan}/lock"), json!({})),
        ("POST", format!("{plan}/pin"), json!({})),
        ("POST", format!("{plan}/labels"), json!({"labels": [label]})),
        ("DELETE", plan.clone(), Value::Null),
        ("PATCH", owners.clone(), json!({"body": "x"})),
        ("PATCH", owners.clone(), json!({"state": "closed"})),
        ("POST", "/labels".to_owned(), json!({"name": "x", "color": "#ffffff"})),
        ("POST", "/milestones".to_owned(), json!({"title": "x"})),
        ("GET", "/contents/platform.yaml".to_owned(), Value::Null),
        ("GET", "/git/trees/main".to_owned(), Value::Null),
        ("GET", "/branches".to_owned(), Value::Null),
        ("GET", "/pulls".to_owned(), Value::Null),
        ("POST", "/forks".to_owned(), json!({})),
        ("GET", "/actions/secrets".to_owned(), Value::Null),
        ("GET", "/actions/variables".to_owned(), Value::Null),
        ("GET", "/actions/runs".to_owned(), Value::Null),
        ("GET", format!("/actions/jobs/{job}/logs"), Value::Null),
        ("DELETE", format!("/actions/runs/{run}"), Value::Null),
        ("POST", format!("/actions/runs/{run}/rerun"), json!({})),
        ("GET", "/actions/workflows".to_owned(), Value::Null),
        ("PUT", "/actions/workflows/plan.yaml/disable".to_owned(), json!({})),
        ("POST", "/actions/workflows/plan.yaml/dispatches".to_owned(), json!({"ref": "main"})),
    ];
    for (method, rest, body) in &may_not {
        for token in [&token, &all] {
            let status = ask(token, method, &review(rest), body).0;
            assert!(matches!(status, 403 | 404), "{method} {rest} {body}: {status}");
        }
    }
}
