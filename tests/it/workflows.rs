//! The whole of it through Gitea Actions, from an empty server: the setup script, the workflows, their runners, the
//! real Terraform and provider. `scripts/run-integration-tests.sh` runs these.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which tell how long it takes")]

use crate::support::gitea::{PASSWORD, User, api, ask, variable};
use crate::support::platform::{APPLY, PLAN, Platform};
use crate::support::review::Managed;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Instant;

#[test]
#[ignore = "needs a Gitea with Actions: scripts/run-integration-tests.sh"]
fn a_team_goes_from_request_to_applied_through_the_workflows() {
    let platform = Platform::new("flow", "");
    assert!(platform.set_up().contains("nothing to change"));
    let (ada, bob) = (User::new("flow-ada"), User::new("flow-bob"));
    let team = platform.team("flow");
    let mut times = Vec::new();

    let spec = format!("name: Alpha, members: [{{username: {}, role: admin}}]", ada.0);
    let number = request(&platform, &team, &spec, &[], "success: +3 ~0 -0", &mut times);
    assert!(platform.comments(number)[0].contains(&ada.0));
    let standing = platform.standing(&team).unwrap();
    assert_eq!([&standing["phase"], &standing["plan"]["summary"]], ["awaiting-review", "+3 ~0 -0"], "{standing}");
    assert_eq!(standing["pullRequest"]["number"], number);
    platform.approve(&platform.reviewer, number);
    merge(&platform, &team, number, ("applied", "success: +3 ~0 -0"), &mut times);
    assert_eq!(team.get().unwrap()["full_name"], "Alpha");
    assert_eq!(team.members("admin"), [ada.0.as_str()]);
    let seen = platform.deliver(&team, &spec, &[]);
    assert_eq!(seen["phase"], "applied", "{seen}");
    let standing = platform.standing(&team).unwrap();
    assert_eq!([&standing["phase"], &standing["plan"]["summary"]], ["applied", "+3 ~0 -0"], "{standing}");
    let age = Timestamp::now().duration_since(standing["since"].as_str().unwrap().parse().unwrap());
    assert!((0..60).contains(&age.as_secs()), "{standing}");
    let shown = format!("| `organization_url` | `\"{}/{}\"` |", variable("GITEA_URL"), team.0);
    platform.wait(
        || "the comment with the outputs".to_owned(),
        || platform.comments(number).get(1).is_some_and(|comment| comment.contains(&shown)).then_some(()),
    );

    let spec = format!("name: Alphas, members: [{{username: {}, role: admin}}, {{username: {}}}]", ada.0, bob.0);
    let number = request(&platform, &team, &spec, &[], "success: +2 ~1 -0", &mut times);
    platform.approve(&platform.reviewer, number);
    merge(&platform, &team, number, ("applied", "success: +2 ~1 -0"), &mut times);
    assert_eq!(team.get().unwrap()["full_name"], "Alphas");
    assert_eq!(team.members("developer"), [bob.0.as_str()]);

    let pending = "pending: a platform owner must approve this: destroy";
    let number = request(&platform, &team, &spec, &["--delete"], pending, &mut times);
    assert!(platform.comments(number)[0].contains("destroy"));
    let standing = platform.standing(&team).unwrap();
    assert_eq!([&standing["phase"], &standing["deletion"]], [&json!("awaiting-review"), &json!(true)], "{standing}");
    let begin = Instant::now();
    platform.approve(&platform.owner, number);
    platform.planned(number, "success: +0 ~0 -5");
    times.push(format!("approval of an owner -> plan may be merged: {:.1} s", begin.elapsed().as_secs_f64()));
    merge(&platform, &team, number, ("deleted", "success: +0 ~0 -5"), &mut times);
    assert!(team.get().is_none());
    let gone = platform.deliver(&team, &spec, &["--delete"]);
    assert_eq!([&gone["phase"], &gone["message"]], ["applied", "everything that Terraform made is destroyed"]);
    assert_eq!(platform.standing(&team), None);
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
    platform.run(&format!("goldpath status team/{} --wait=awaiting-review --timeout 90s", team.0));
    platform.planned(number, status);
    times.push(format!("request -> plan shown: {:.1} s", begin.elapsed().as_secs_f64()));
    number
}

/// Merges, and waits until it is applied.
fn merge(platform: &Platform, team: &Managed, number: u64, (goal, status): (&str, &str), times: &mut Vec<String>) {
    platform.merge(number);
    let begin = Instant::now();
    platform.run(&format!("goldpath status team/{} --wait={goal} --timeout 90s", team.0));
    platform.applied(number, team, status);
    times.push(format!("merge -> applied: {:.1} s", begin.elapsed().as_secs_f64()));
}

/// Terraform that waits where a test wants it to, and that tells how often it has applied something.
const TERRAFORM: &str = r#"
hold() { touch "$folder/$1-is-held"; while [ -e "$folder/hold-$1" ]; do sleep 0.1; done; }
case $1 in
  plan) [ ! -e "$folder/hold-plan" ] || hold plan ;;
  apply)
    echo "$@" >>"$folder/applies"
    if [ -e "$folder/hold-apply" ]; then # one of several objects is done, and the state is locked
      $terraform apply -parallelism=1 "${@:2}" >"$folder/output" 2>&1 &
      until grep -q 'complete after' "$folder/output"; do sleep 0.005; done
      kill -STOP $!
      hold apply
      kill -CONT $!
      wait $! && status=0 || status=$?
      cat "$folder/output"
      exit $status
    elif [ -e "$folder/kill-after-apply" ]; then
      rm "$folder/kill-after-apply"
      $terraform "$@"
      kill -KILL $PPID
    fi ;;
esac"#;

#[test]
#[ignore = "needs a Gitea with Actions: scripts/run-integration-tests.sh"]
fn a_killed_runner_leaves_what_the_next_run_finishes() {
    let mut platform = Platform::new("killed", TERRAFORM);
    let people = ["a", "b", "c", "d"].map(|name| User::new(&format!("killed-{name}")));
    let members = people.each_ref().map(|user| format!("{{username: {}}}", user.0));
    let team = platform.team("killed");

    platform.write("hold-plan");
    platform.deliver(&team, &format!("name: Alpha, members: [{}]", members[0]), &[]);
    let number = platform.pull();
    platform.wait_for_file("plan-is-held");
    assert_eq!(platform.plan_status(number), "pending: being planned");
    platform.kill_runner(PLAN);
    platform.remove("hold-plan");
    platform.start_runner(PLAN);
    assert_eq!(platform.plan_status(number), "pending: being planned");
    let begin = Instant::now();
    let run = platform.dispatch("plan", &json!({"pull": number.to_string()}));
    assert_eq!(platform.ended(run), "success");
    println!("plan asked for by hand -> ended: {:.1} s", begin.elapsed().as_secs_f64());
    assert_eq!(platform.plan_status(number), "success: +3 ~0 -0");
    assert_eq!(platform.comments(number).len(), 1);
    platform.approve(&platform.reviewer, number);
    platform.merge(number);
    platform.applied(number, &team, "success: +3 ~0 -0");

    // What Terraform makes and has not yet written into the state it does not know again: here it may do it twice.
    let spec = format!("name: Beta, members: [{}]", members.join(", "));
    platform.deliver(&team, &spec, &[]);
    let number = platform.pull();
    // The bell is not heard while Gitea takes the killed run for one that runs.
    let run = platform.dispatch("plan", &json!({"pull": number.to_string()}));
    assert_eq!(platform.ended(run), "success");
    platform.approve(&platform.reviewer, number);
    platform.write("hold-apply");
    platform.merge(number);
    platform.wait_for_file("apply-is-held");
    assert_eq!(platform.apply_status(number, &team), "pending: being applied");
    platform.kill_runner(APPLY);
    platform.remove("hold-apply");
    platform.start_runner(APPLY);
    assert_eq!(platform.apply_status(number, &team), "pending: being applied");
    assert_eq!(platform.ended(platform.dispatch("apply", &json!({}))), "failure");
    let status = platform.apply_status(number, &team);
    assert!(status.starts_with("failure: lock failed: the state is locked by "), "{status}");
    let comment = platform.comments(number).pop().unwrap();
    let begin = format!("goldpath terraform unlock teams/{} ", team.0);
    let command = comment.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("{comment}"));
    platform.run(command);

    // What is half done is not what was approved.
    assert_eq!(platform.ended(platform.dispatch("apply", &json!({}))), "failure");
    let status = platform.apply_status(number, &team);
    let reason = "the changes are not those that #2 showed: the state, or what is real, has moved since";
    assert_eq!(status, format!("failure: refused: {reason}"));
    let again = platform.pull();
    platform.approve(&platform.reviewer, again);
    platform.merge(again);
    assert_eq!(platform.ended(platform.dispatch("apply", &json!({}))), "success", "{}", platform.job_logs());
    let status = platform.apply_status(number, &team);
    assert!(status.starts_with("success: +"), "{status}");
    assert_eq!(team.get().unwrap()["full_name"], "Beta");
    assert_eq!(team.members("developer"), people.each_ref().map(|user| user.0.as_str()));
    let applies = platform.read("applies").lines().count();
    assert_eq!(platform.ended(platform.dispatch("apply", &json!({}))), "success");
    assert_eq!((applies, platform.read("applies").lines().count()), (3, 3));
    assert_eq!(platform.deliver(&team, &spec, &[])["phase"], "applied");
}

#[test]
#[ignore = "needs a Gitea with Actions: scripts/run-integration-tests.sh"]
fn what_is_applied_but_not_recorded_is_recorded_and_not_applied_again() {
    let platform = Platform::new("unrecorded", TERRAFORM);
    let team = platform.team("unrecorded");
    platform.deliver(&team, "name: Alpha", &[]);
    let number = platform.pull();
    platform.planned(number, "success: +1 ~0 -0");
    platform.approve(&platform.reviewer, number);
    platform.write("kill-after-apply");
    platform.merge(number);
    platform.applied(number, &team, "pending: being applied");
    platform.wait(
        || "the job to fail".to_owned(),
        || platform.runs().iter().find(|r| r["conclusion"] == "failure").cloned(),
    );
    assert_eq!(team.get().unwrap()["full_name"], "Alpha");
    assert_eq!(platform.apply_status(number, &team), "pending: being applied");
    assert_eq!(platform.ended(platform.dispatch("apply", &json!({}))), "success");
    assert_eq!(platform.apply_status(number, &team), "success: no changes");
    assert_eq!(platform.read("applies").lines().count(), 1);
    assert_eq!(platform.deliver(&team, "name: Alpha", &[])["phase"], "applied");
}

#[test]
#[ignore = "needs a Gitea with Actions: scripts/run-integration-tests.sh"]
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
    // What the script has pushed rings as well.
    platform.wait(
        || "the script's runs to end".to_owned(),
        || {
            let runs = platform.runs();
            (!runs.is_empty() && runs.iter().all(|run| run["status"] == "completed")).then_some(())
        },
    );
    let owners = format!("/issues/{owners}");
    // A closed issue rings as well.
    for body in [json!({"body": "rung"}), json!({"body": "rung", "state": "closed"}), json!({"body": "rung"})] {
        let last = platform.runs()[0]["id"].as_u64();
        assert_eq!(ask(&token, "PATCH", &review(&plan), &body).0, 201);
        let run = platform.wait(
            || "the bell to be heard".to_owned(),
            || {
                let is_new = |r: &Value| r["id"].as_u64() > last && r["path"] == "plan.yaml@refs/heads/main";
                platform.runs().into_iter().find(is_new)
            },
        );
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
