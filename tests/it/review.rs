//! Review on the real Gitea, with the real Terraform and provider: what was shown, approved and merged
//! is applied, and nothing else is. `scripts/run-integration-tests.sh` runs these.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test, which tells what it has measured")]

use crate::support::gitea::{User, api, ask, get_all};
use crate::support::review::{Managed, Review};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_team_is_made_changed_and_destroyed_as_it_was_approved() {
    let review = Review::new("life", &json!({}));
    let (ada, bob) = (User::new("life-ada"), User::new("life-bob"));
    let team = review.team("life");
    let context = format!("goldpath/plan: teams/{}", team.0);

    let first = review.request(&team, &format!("name: Alpha, members: [{{username: {}, role: admin}}]", ada.0));
    review.run_well(&["plan"]);
    assert_eq!(review.planned(first, &context), "success: +3 ~0 -0");
    assert_eq!(review.planned(first, "goldpath/plan"), "success: +3 ~0 -0");
    review.approve(&review.reviewer, first);
    review.merge(first);
    assert_eq!(review.run_well(&["apply"]), format!("teams/{}: +3 ~0 -0\n", team.0));
    assert_eq!(review.applied(first, &team), "success: +3 ~0 -0");
    assert_eq!(team.get().unwrap()["full_name"], "Alpha");
    assert_eq!(team.members("admin"), [ada.0.as_str()]);
    let comments = review.comments(first);
    let url = format!("{}/{}", crate::support::gitea::variable("GITEA_URL"), team.0);
    assert!(comments[1]["body"].as_str().unwrap().contains(&format!("| `organization_url` | `\"{url}\"` |")));
    assert_eq!(review.track(&team)[0]["phase"], "applied");
    // Nothing is left to do, and nobody is told twice.
    assert_eq!(review.run_well(&["apply"]), "everything on the branch is applied\n");
    assert_eq!(review.run_well(&["plan"]), "every open pull request is planned\n");
    assert_eq!(review.run_well(&["drift"]), "1 root modules, none drifts\n");
    assert_eq!(review.comments(first), comments);

    // What somebody changes by hand is told in one issue, until it is as it was.
    let by_hand = |text: &str| drop(api("PATCH", &format!("/orgs/{}", team.0), &json!({"description": text})));
    let issues = |state: &str| {
        get_all(&review.path(&format!("/issues?type=issues&state={state}")))
            .into_iter()
            .map(|issue| issue["title"].clone())
    };
    by_hand("changed");
    for _ in 0..2 {
        assert!(review.run_well(&["drift"]).starts_with(&format!("teams/{}: drifts (https://", team.0)));
        assert_eq!(issues("open").collect::<Vec<_>>(), [format!("Drift: teams/{}", team.0)]);
    }
    by_hand("");
    assert_eq!(review.run_well(&["drift"]), "1 root modules, none drifts\n");
    assert_eq!((issues("open").count(), issues("closed").count()), (0, 1));

    let people = format!("name: Alphas, members: [{{username: {}, role: admin}}, {{username: {}}}]", ada.0, bob.0);
    let second = review.request(&team, &people);
    review.run_well(&["plan"]);
    review.approve(&review.reviewer, second);
    review.merge(second);
    review.run_well(&["apply"]);
    assert_eq!(review.applied(second, &team), "success: +2 ~1 -0");
    assert_eq!(team.get().unwrap()["full_name"], "Alphas");
    assert_eq!(team.members("developer"), [bob.0.as_str()]);

    // Gitea would refuse to remove an organisation that has something in it, with a 500.
    let repository = format!("/repos/{}/kept", team.0);
    api("POST", &format!("/orgs/{}/repos", team.0), &json!({"name": "kept"}));
    let third = review.delete(&team);
    review.run_well(&["plan"]);
    assert_eq!(review.planned(third, &context), "failure: denied by policy: organization-in-use");
    let comment = review.comments(third)[0]["body"].as_str().unwrap().to_owned();
    assert!(comment.contains("kept"), "{comment}");
    api("DELETE", &repository, &Value::Null);
    review.run_well(&["plan"]);
    assert_eq!(review.planned(third, &context), "success: +0 ~0 -5, needs a platform owner: destroy");
    assert_eq!(review.planned(third, "goldpath/plan"), "pending: a platform owner must approve this: destroy");
    review.approve(&review.owner, third);
    review.run_well(&["plan"]);
    assert_eq!(review.planned(third, "goldpath/plan"), "success: +0 ~0 -5");
    review.merge(third);
    assert_eq!(review.run_well(&["apply"]), format!("teams/{}: +0 ~0 -5\n", team.0));
    assert!(team.get().is_none());
    let gone = review.track_deletion(&team);
    assert_eq!([&gone[0]["phase"], &gone[0]["message"]], ["applied", "everything that Terraform made is destroyed"]);
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_repository_of_an_application_is_made_and_stays_when_that_goes() {
    let review = Review::new("code", &json!({}));
    let team = review.team("code");
    let first = review.request(&team, "name: Coders");
    review.run_well(&["plan"]);
    review.approve(&review.reviewer, first);
    review.merge(first);
    review.run_well(&["apply"]);

    let environment = "apiVersion: platform.kratix.io/v1alpha1\nkind: Environment\nmetadata: {name: dev, namespace: platform}\n\
                       spec: {clusters: [{name: eu, stateStore: {kind: GitStateStore, name: default}}]}\n";
    std::fs::write(review.file("dev.yaml"), environment).unwrap();
    let team_file = format!("{}.yaml", team.0);
    let ask_for = |spec: &str| {
        let text = format!(
            "apiVersion: platform.kratix.io/v1alpha1\nkind: Application\nmetadata: {{name: shop}}\nspec: {{team: {}, \
             {spec}components: [{{name: web, type: worker}}], instances: [{{environment: dev, image: a/b, version: '1'}}]}}\n",
            team.0
        );
        std::fs::write(review.file("shop.yaml"), text).unwrap();
        review.deliver_file("shop.yaml", &["--with", "dev.yaml", "--with", &team_file])
    };
    let (module, path) = (format!("systems/{}/shop", team.0), format!("/repos/{}/shop", team.0));
    let plan = format!("goldpath/plan: {module}");
    let told = ask_for("description: Sells, repository: {create: true}, ");
    let url = told[0]["repositories"]["infrastructure"]["pullRequest"]["url"].as_str().unwrap_or_default().to_owned();
    let second = *review.open().last().unwrap();
    assert!(url.ends_with(&format!("/pulls/{second}")), "{told}");
    review.run_well(&["plan"]);
    assert_eq!(review.planned(second, &plan), "success: +2 ~0 -0");
    review.approve(&review.reviewer, second);
    review.merge(second);
    assert_eq!(review.run_well(&["apply"]), format!("{module}: +2 ~0 -0\n"));
    let repository = api("GET", &path, &Value::Null);
    assert_eq!([&repository["description"], &repository["default_branch"]], ["Sells", "main"]);
    assert_eq!(repository["private"], true);
    let protection = api("GET", &format!("{path}/branch_protections/main"), &Value::Null);
    assert_eq!((&protection["required_approvals"], &protection["enable_push"]), (&json!(1), &json!(false)));
    // A second plan is empty, also when people have set up their repository.
    api("PATCH", &path, &json!({"has_wiki": false, "website": "https://shop.example.com", "allow_rebase": false}));
    assert_eq!(review.run_well(&["drift"]), "2 root modules, none drifts\n");

    // The request lets go of it, as its deletion would: with an owner's approval, since nobody looks after it then. What
    // somebody has removed by hand is no hindrance.
    api("DELETE", &format!("{path}/branch_protections/main"), &Value::Null);
    ask_for("");
    let third = *review.open().last().unwrap();
    review.run_well(&["plan"]);
    assert_eq!(review.planned(third, &plan), "success: +0 ~0 -0, forgets 2, needs a platform owner: destroy");
    let comment = review.comments(third)[0]["body"].as_str().unwrap().to_owned();
    assert!(
        comment.contains("it stays, and nobody looks after it any more") && !comment.contains("destroys"),
        "{comment}"
    );
    review.approve(&review.owner, third);
    review.run_well(&["plan"]);
    review.merge(third);
    assert_eq!(review.run_well(&["apply"]), format!("{module}: +0 ~0 -0, forgets 2\n"));
    assert_eq!(review.applied_module(third, &module), "success: +0 ~0 -0, forgets 2");
    assert_eq!(api("GET", &path, &Value::Null)["id"], repository["id"]);
    let gone = review.deliver_file("shop.yaml", &["--delete"]);
    assert_eq!(gone[0]["phase"], "applied", "{gone}");
    api("DELETE", &path, &Value::Null);
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn nothing_is_applied_but_what_was_shown_and_approved() {
    let review = Review::new("refusals", &json!({"policy": {"rules": ["own.rego"]}}));
    let rule = "package goldpath\nimport rego.v1\ndeny contains {\"id\": \"no-denied\", \"msg\": \"no such names\"} if endswith(input.module, \"-denied\")\n";
    std::fs::write(review.file("own.rego"), rule).unwrap();
    let teams = ["good", "moved", "base", "again", "unreviewed", "edited", "restored", "early", "denied"];
    let [good, moved, base, again, unreviewed, edited, restored, early, denied] = teams.map(|name| review.team(name));

    // Three that are applied as they should be.
    let mut first = Vec::new();
    for team in [&good, &moved, &base, &again] {
        first.push(review.request(team, "name: Before"));
    }
    review.run_well(&["plan"]);
    // A status of somebody else's is worth nothing, whatever it says.
    for context in [format!("goldpath/plan: teams/{}", good.0), "goldpath/plan".to_owned()] {
        let forged =
            json!({"context": context, "state": "failure", "description": "forged", "target_url": "https://x"});
        let path = review.path(&format!("/statuses/{}", review.head(first[0])));
        assert_eq!(ask(&review.writer_token, "POST", &path, &forged).0, 201);
    }
    for number in &first {
        review.approve(&review.reviewer, *number);
        review.merge(*number);
    }
    review.run_well(&["apply"]);
    assert_eq!(full_name(&good), "Before");
    let serials = [&good, &moved, &base].map(|team| review.state(team)["serial"].clone());

    // What is merged without being right, each in its own way.
    let early_number = review.request(&early, "name: Early");
    review.approve(&review.owner, early_number);
    let numbers: Vec<_> = [
        (&moved, "After"),
        (&base, "After"),
        (&unreviewed, "New"),
        (&edited, "New"),
        (&restored, "New"),
        (&denied, "New"),
    ]
    .map(|(team, name)| review.request(team, &format!("name: {name}")))
    .into();
    let [moved_number, base_number, unreviewed_number, edited_number, restored_number, denied_number] = numbers[..]
    else {
        panic!()
    };
    let main = format!("teams/{}/main.tf", good.0);
    let text = review.organization.content("infrastructure", "main", &main).replace("Before", "By hand");
    let by_hand = review.propose("by-hand", &[(&main, Some(&text))]);
    let own = review.reviewer.token("push", &["write:repository"]);
    let commit = json!({"branch": "by-hand", "message": "more", "files": [{"operation": "create", "path": format!("teams/{}/README.md", good.0), "content": ""}]});
    review.commit(&own, &commit);
    review.run_well(&["plan"]);
    assert_eq!(review.planned(denied_number, "goldpath/plan"), "failure: 1 of 1 root modules cannot be applied");
    let comment_of = |number: u64| review.comments(number)[0].clone();
    let edit = |comment: &Value, body: &str| {
        let path = review.path(&format!("/issues/comments/{}", comment["id"]));
        assert_eq!(ask(&review.writer_token, "PATCH", &path, &json!({"body": body})).0, 200);
    };
    let (shown, honest) = (comment_of(edited_number), comment_of(restored_number));
    edit(&shown, &shown["body"].as_str().unwrap().replace("+1", "+0"));
    edit(&honest, "<!-- goldpath: plan -->\nnothing to see");
    for number in [moved_number, base_number, edited_number, restored_number, denied_number, by_hand] {
        review.approve(&review.reviewer, number);
    }
    assert_eq!(review.review(&review.writer, by_hand, "APPROVED").0, 422, "Gitea lets an author approve");
    edit(&honest, honest["body"].as_str().unwrap());
    for number in numbers.iter().chain([&by_hand, &early_number]) {
        review.merge(*number);
    }
    api("PATCH", &format!("/orgs/{}", moved.0), &json!({"description": "changed by hand"}));
    let main = format!("teams/{}/main.tf", base.0);
    let text = review.organization.content("infrastructure", "main", &main).replace("After", "Later");
    review.push("main", "main", &[(&main, Some(&text))]);
    // As if it had never been applied.
    api("DELETE", &format!("/orgs/{}", again.0), &Value::Null);
    review.remove_state(&again);
    forget(&review, &again);

    let said = review.run_in_vain(&["apply"]);
    let why = |number, team: &Managed| review.applied(number, team);
    let reason = |number: u64, text: &str| format!("failure: refused: {}", text.replace('#', &format!("#{number}")));
    assert_eq!(
        why(moved_number, &moved),
        reason(moved_number, "the changes are not those that # showed: the state, or what is real, has moved since"),
        "{said}"
    );
    assert_eq!(
        why(base_number, &base),
        reason(
            base_number,
            &format!("the base has moved under it: `main` holds another `teams/{}` than # showed", base.0)
        )
    );
    assert_eq!(why(first[3], &again), reason(first[3], "what # showed was applied once already, and was undone since"));
    assert_eq!(
        why(unreviewed_number, &unreviewed),
        reason(unreviewed_number, "nobody but its author has approved the head commit of #")
    );
    assert_eq!(why(by_hand, &good), reason(by_hand, "nobody but its author has approved the head commit of #"));
    assert_eq!(
        why(edited_number, &edited),
        reason(edited_number, "somebody has edited the comment with the plan of #")
    );
    assert_eq!(
        why(restored_number, &restored),
        reason(restored_number, "# was approved before the comment with its plan was last written")
    );
    assert_eq!(
        why(early_number, &early),
        reason(early_number, "# was approved before the comment with its plan was last written")
    );
    assert_eq!(why(denied_number, &denied), "failure: refused: it is denied by policy: no-denied: no such names");

    // Nothing has changed on the server.
    for team in [&again, &unreviewed, &edited, &restored, &early, &denied] {
        assert!(team.get().is_none(), "{} is there", team.0);
    }
    for (team, name) in [(&good, "Before"), (&moved, "Before"), (&base, "Before")] {
        assert_eq!(full_name(team), name);
    }
    assert_eq!([&good, &moved, &base].map(|team| review.state(team)["serial"].clone()), serials);

    // A refusal is told once, and asks for an approval once.
    let open = review.open();
    assert_eq!(open.len(), 8, "one for each but the denied one");
    let comments = review.comments(unreviewed_number);
    review.run_in_vain(&["apply"]);
    assert_eq!((review.open(), review.comments(unreviewed_number)), (open.clone(), comments));

    // Approving again is the way out.
    for number in open {
        assert!(
            review.planned(number, "goldpath/plan").starts_with("success: "),
            "{}",
            review.planned(number, "goldpath/plan")
        );
        review.approve(&review.owner, number);
        review.merge(number);
    }
    let said = review.run_in_vain(&["apply"]);
    assert_eq!(said.lines().filter(|line| line.contains("refused")).count(), 1, "{said}");
    let all = [
        (&good, "By hand"),
        (&moved, "After"),
        (&base, "Later"),
        (&again, "Before"),
        (&unreviewed, "New"),
        (&edited, "New"),
        (&restored, "New"),
        (&early, "Early"),
    ];
    for (team, name) in all {
        assert_eq!(full_name(team), name);
    }
    assert!(denied.get().is_none());

    // An approval does not count for ever.
    let late = review.team("late");
    let number = review.request(&late, "name: Late");
    review.run_well(&["plan"]);
    review.approve(&review.reviewer, number);
    review.merge(number);
    let later = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 15 * 86_400;
    let mut command = review.command(&["apply"]);
    let output = command.env("SOURCE_DATE_EPOCH", later.to_string()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(why(number, &late), reason(number, "the approval of # is older than 14 days"));
    assert!(late.get().is_none());
}

fn full_name(team: &Managed) -> String {
    team.get().unwrap()["full_name"].as_str().unwrap().to_owned()
}

/// Takes a root module out of what is recorded as applied.
fn forget(review: &Review, team: &Managed) {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let path = review.organization.path("review", "/contents/applied.json");
    let file = api("GET", &format!("{path}?ref=records"), &Value::Null);
    let mut records: Value =
        serde_json::from_slice(&engine.decode(file["content"].as_str().unwrap()).unwrap()).unwrap();
    records.as_object_mut().unwrap().remove(&format!("teams/{}", team.0)).unwrap();
    let content = engine.encode(records.to_string());
    api("PUT", &path, &json!({"branch": "records", "sha": file["sha"], "content": content, "message": "forget"}));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn many_root_modules_of_one_pull_request_and_many_pull_requests_at_once_are_applied_once_each() {
    let review = Review::new("many", &json!({"parallel": 8}));
    let pattern = review.team("pattern");
    let number = review.request(&pattern, "name: Pattern");
    let branch = review.pull(number)["head"]["ref"].as_str().unwrap().to_owned();
    let read =
        |file: &str| review.organization.content("infrastructure", &branch, &format!("teams/{}/{file}", pattern.0));
    let contents = ["main.tf", "providers.tf", "backend.tf"].map(|file| (file, read(file)));
    let (modules, pulls) = (crate::support::whole_or(50, 8), crate::support::whole_or(10, 4));
    let many: Vec<_> = (0..modules).map(|n| review.team(&format!("m{n}"))).collect();
    let files: Vec<_> = many
        .iter()
        .flat_map(|team| {
            contents
                .each_ref()
                .map(|(file, text)| (format!("teams/{}/{file}", team.0), text.replace(&pattern.0, &team.0)))
        })
        .collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    let all = review.propose("many", &files);
    let start = Instant::now();
    review.run_well(&["plan"]);
    println!("{modules} root modules planned in {:.0} s", start.elapsed().as_secs_f64());
    assert_eq!(
        review.planned(all, "goldpath/plan"),
        "pending: a platform owner must approve this: outside-folder, owner"
    );
    let comment = review.comments(all)[0]["body"].as_str().unwrap().to_owned();
    assert!(comment.len() <= 60_000 && many.iter().all(|team| comment.contains(&team.0)), "{comment}");
    review.approve(&review.owner, all);
    review.merge(all);
    let start = Instant::now();
    assert_eq!(review.run_well(&["apply"]).lines().filter(|line| line.ends_with(": +1 ~0 -0")).count(), modules);
    println!("{modules} root modules applied in {:.0} s", start.elapsed().as_secs_f64());
    for team in &many {
        assert_eq!(
            (full_name(team), review.applied(all, team)),
            ("Pattern".to_owned(), "success: +1 ~0 -0".to_owned())
        );
    }

    // Several at once, and two runs that know nothing of each other.
    let teams: Vec<_> = (0..pulls).map(|n| review.team(&format!("t{n}"))).collect();
    let numbers: Vec<_> = teams.iter().map(|team| review.request(team, "name: First")).collect();
    review.run_well(&["plan"]);
    for number in &numbers {
        review.approve(&review.reviewer, *number);
    }
    let start = Instant::now();
    let runs: Vec<_> = numbers
        .chunks(pulls / 2)
        .map(|numbers| {
            numbers.iter().for_each(|number| review.merge(*number));
            review.command(&["apply"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: Vec<_> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
    println!("{pulls} pull requests merged and applied in {:.0} s", start.elapsed().as_secs_f64());
    for (team, number) in teams.iter().zip(&numbers) {
        assert_eq!(review.applied(*number, team), "success: +1 ~0 -0", "{said:?}");
        assert_eq!(full_name(team), "First");
        // One state of one apply; the comment with the plan and the one with the result.
        assert_eq!((review.state(team)["serial"].clone(), review.comments(*number).len()), (json!(1), 2));
    }
    assert_eq!(review.run_well(&["apply"]), "everything on the branch is applied\n");
}
