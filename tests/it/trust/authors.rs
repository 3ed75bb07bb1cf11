//! Behind an account that is no person's can be anybody.

use super::*;

/// Has a workflow of a branch of its own do something with its automatic token, and waits until `done`.
fn launder(review: &Review, branch: &str, calls: &[(&str, String, Value)], done: impl Fn() -> Option<()>) {
    let steps: String = calls
        .iter()
        .map(|(method, path, body)| {
            let url = format!("{}/api/v1{}", variable("GITEA_URL"), review.path(path));
            let header = "-H \"Authorization: token $TOKEN\" -H 'Content-Type: application/json'";
            format!("          curl -sS -k -f -o /dev/null -X {method} {header} '{url}' -d '{body}'\n")
        })
        .collect();
    let workflow = format!(
        "on:\n  push:\n    branches: [{branch}]\njobs:\n  x:\n    runs-on: host\n    steps:\n      - env:\n          TOKEN: ${{{{ github.token }}}}\n        run: |\n{steps}"
    );
    let files = [(".gitea/workflows/x.yaml".to_owned(), workflow)];
    commit(&review.writer_token, &infrastructure(review), branch, "x", &files);
    crate::support::until(60, || format!("what the workflow of {branch} does"), done);
}

#[test]
#[ignore = "needs a Gitea with Actions: scripts/run-integration-tests.sh"]
fn what_no_person_has_written_is_nobodys_to_approve() {
    let review = Review::new("authors", &json!({}));
    api("PATCH", &review.path(""), &json!({"has_actions": true}));
    let repository = infrastructure(&review);
    let [changed, opened, reopened, keyed, gone] =
        ["changed", "opened", "reopened", "keyed", "gone"].map(|name| review.team(&format!("by-{name}")));
    let owner = review.owner.token("push", &["write:repository", "write:issue"]);
    let propose = |token: &str, team: &Managed| {
        commit(token, &repository, &team.0, "x", &module(team));
        open(&review, token, &team.0, "x")
    };
    let [from_changed, from_reopened, from_keyed] = [&changed, &reopened, &keyed].map(|team| propose(&owner, team));
    let state = json!({"state": "closed"});
    assert_eq!(ask(&owner, "PATCH", &review.path(&format!("/pulls/{from_reopened}")), &state).0, 201);
    let leaver = User::new("authors-leaver");
    leaver.join(&review.organization, "infrastructure", "write");
    let from_gone = propose(&leaver.token("push", &["write:repository", "write:issue"]), &gone);

    // A workflow changes somebody's branch, opens a pull request, and opens one again.
    let main = format!("teams/{}/main.tf", changed.0);
    let sha = api("GET", &review.path(&format!("/contents/{main}?ref={}", changed.0)), &Value::Null)["sha"].clone();
    let content = BASE64.encode(organization(&changed.0, "by the writer"));
    let update = json!({"branch": changed.0, "sha": sha, "message": "tidy", "content": content});
    commit(&review.writer_token, &repository, &opened.0, "x", &module(&opened));
    let calls = [
        ("PUT", format!("/contents/{main}"), update),
        ("POST", "/pulls".to_owned(), json!({"base": "main", "head": opened.0, "title": "x"})),
        ("PATCH", format!("/pulls/{from_reopened}"), json!({"state": "open"})),
    ];
    launder(&review, "work", &calls, || (review.pull(from_reopened)["state"] == "open").then_some(()));
    review.settle(&changed.0);
    let from_opened = *review.open().iter().max().unwrap();
    assert_eq!(review.pull(from_opened)["user"]["login"], "gitea-actions");
    // A deploy key pushes in the name of the repository's owner.
    push_by_key(&review, &keyed);
    // An account that is removed.
    api("DELETE", &format!("/admin/users/{}", leaver.0), &Value::Null);

    let said = review.run_well(&["plan"]);
    let organization = &review.organization.0;
    let unknown = [
        (&changed, from_changed, "pushed to", "gitea-actions"),
        (&opened, from_opened, "opened", "gitea-actions"),
        (&reopened, from_reopened, "opened again", "gitea-actions"),
        (&keyed, from_keyed, "pushed to", organization.as_str()),
        (&gone, from_gone, "opened", "Ghost"),
    ];
    let why = |number: u64, did: &str, who: &str| {
        format!("nobody's approval counts: #{number} was {did} by `{who}`, which is no person's account")
    };
    for (_, number, did, who) in unknown {
        let planned = review.planned(number, "goldpath/plan");
        assert_eq!(planned, format!("failure: {}", why(number, did, who)), "{said}");
        let comment = review.comments(number)[0]["body"].as_str().unwrap().to_owned();
        assert!(comment.contains("approval counts") && comment.contains(who), "{comment}");
        for user in [&review.writer, &review.reviewer, &review.owner] {
            review.review(user, number, "APPROVED");
        }
        review.merge(number);
    }
    let said = review.run_in_vain(&["apply"]);
    for (team, number, did, who) in unknown {
        let refused = format!("failure: refused: {}", why(number, did, who));
        assert_eq!(review.applied(number, team), refused, "{said}");
        assert!(team.get().is_none(), "{} is there", team.0);
        let told = review.comments(number);
        assert!(told.last().unwrap()["body"].as_str().unwrap().contains("no person"), "{told:?}");
    }
    assert_eq!(review.open(), [] as [u64; 0], "somebody is asked to approve what nobody can");
}

/// A reviewer who is an owner of the platform, so that the status tells whether their approval counts: nobody's does who
/// has pushed to the branch, whatever became of Gitea's events.
#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn who_has_pushed_is_an_author_even_where_gitea_has_forgotten_it() {
    let review = Review::new("pushers", &json!({}));
    let repository = infrastructure(&review);
    let token = review.owner.token("push", &["write:repository", "write:issue"]);
    let name = json!({"name": review.writer.0, "email": format!("{}@example.com", review.writer.0)});
    let add = |token: &str, branch: &str, path: &str| {
        let files = json!([{"operation": "create", "path": path, "content": ""}]);
        review.commit(
            token,
            &json!({"branch": branch, "message": "x", "author": name, "committer": name, "files": files}),
        );
    };
    let begin = |token: &str, branch: &str| {
        commit(token, &repository, branch, "x", &[(format!("{branch}.md"), String::new())]);
    };
    let close = |number: u64, state: &str| {
        let path = review.path(&format!("/pulls/{number}"));
        assert_eq!(ask(&review.writer_token, "PATCH", &path, &json!({"state": state})).0, 201);
    };
    let opened = |branch: &str| open(&review, &review.writer_token, branch, branch);

    // Pushed before it was opened by another, while it was closed, before a rebase, before its target changed.
    begin(&token, "before");
    let before = opened("before");
    begin(&review.writer_token, "closed");
    let closed = opened("closed");
    close(closed, "closed");
    add(&token, "closed", "hidden.md");
    close(closed, "open");
    add(&review.writer_token, "closed", "more.md");
    begin(&review.writer_token, "rebased");
    let rebased = opened("rebased");
    add(&token, "rebased", "hidden.md");
    review.push("main", "main", &[("main.md", Some("x"))]);
    let update = review.path(&format!("/pulls/{rebased}/update?style=rebase"));
    assert_eq!(ask(&review.writer_token, "POST", &update, &json!({})).0, 200);
    begin(&review.writer_token, "moved");
    let moved = opened("moved");
    add(&token, "moved", "hidden.md");
    let other = json!({"new_branch_name": "other", "old_branch_name": "main"});
    api("POST", &review.path("/branches"), &other);
    for base in ["other", "main"] {
        let path = review.path(&format!("/pulls/{moved}"));
        assert_eq!(ask(&review.writer_token, "PATCH", &path, &json!({"base": base})).0, 201);
    }
    begin(&review.writer_token, "honest");
    let honest = opened("honest");
    for branch in ["before", "closed", "rebased", "moved", "honest"] {
        review.settle(branch);
    }
    for number in [before, closed, rebased, moved, honest] {
        review.approve(&review.owner, number);
    }
    review.run_well(&["plan"]);
    let waits = "pending: a platform owner must approve this: outside-folder";
    for (number, how) in [(before, "before"), (closed, "closed"), (rebased, "rebased"), (moved, "moved")] {
        assert_eq!(review.planned(number, "goldpath/plan"), waits, "who has pushed can approve: {how}");
    }
    assert_eq!(review.planned(honest, "goldpath/plan"), "success: no root module is changed");
}

/// Pushes a commit to a Team's branch with a new deploy key.
fn push_by_key(review: &Review, team: &Managed) {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let public = fs::read_to_string(folder.path().join("key.pub")).unwrap();
    api("POST", &review.path("/keys"), &json!({"title": "x", "key": public.trim(), "read_only": false}));
    let url = api("GET", &review.path(""), &Value::Null)["ssh_url"].as_str().unwrap().to_owned();
    let ssh = format!(
        "ssh -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        key.display()
    );
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(folder.path()).args(["-c", "user.name=x", "-c", "user.email=x@example.com"]);
        let output = git.env("GIT_SSH_COMMAND", &ssh).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", crate::support::review::said(&output));
    };
    git(&["clone", "--quiet", "--branch", &team.0, &url, "copy"]);
    git(&["-C", "copy", "commit", "--quiet", "--allow-empty", "--message", "by a key"]);
    git(&["-C", "copy", "push", "--quiet"]);
    review.settle(&team.0);
}
