//! A plan that nobody can read whole, because it is too long or because its file is gone, is nobody's to approve.

use super::*;

/// A root module with teams beside `gitea_team.aab`, as many before it as after it, whose descriptions have `length`
/// times 110 characters.
fn teams(team: &Managed, number: usize, length: usize) -> Vec<(String, String)> {
    let many = |name: &str| {
        format!(
            "\nresource \"gitea_team\" \"{name}\" {{\n  for_each     = toset([for i in range({number}) : \"{name}${{i}}\"])\n  organisation = gitea_org.team.name\n  name         = each.value\n  description  = local.long\n  permission   = \"read\"\n}}\n"
        )
    };
    let admin = "\nresource \"gitea_team\" \"aab\" {\n  organisation = gitea_org.team.name\n  name         = \"aab\"\n  permission   = \"admin\"\n}\n";
    let long =
        format!("\nlocals {{\n  long = join(\"\", [for i in range({length}) : \"{}\"])\n}}\n", "0123456789".repeat(11));
    let mut files = module(team);
    files[1].1 += &[many("aaa"), admin.to_owned(), many("ccc"), long].concat();
    files
}

/// A root module with an organisation, and an output of so many lines of 5 kB.
fn output(team: &Managed, lines: usize) -> Vec<(String, String)> {
    let mut files = module(team);
    files[1].1 += &format!(
        "\nlocals {{\n  line = \"{}\"\n}}\n\noutput \"long\" {{\n  value = [for n in range({lines}) : \"${{n}} ${{local.line}}\"]\n}}\n",
        "0123456789".repeat(500)
    );
    files
}

/// Proposes files as the writer.
fn propose(review: &Review, branch: &str, files: &[(String, String)]) -> u64 {
    commit(&review.writer_token, &infrastructure(review), branch, branch, files);
    open(review, &review.writer_token, branch, branch)
}

/// What a reviewer of a pull request can read: the comment with the plan, and its file.
fn shown(review: &Review, number: u64) -> (String, String) {
    let body = review.comments(number)[0]["body"].as_str().unwrap().to_owned();
    let link = body.split_once("[whole]: <").map(|(_, link)| link.split_once('>').unwrap().0);
    let file = link.map(|link| crate::support::gitea::get_text(link.strip_prefix(&variable("GITEA_URL")).unwrap()));
    (body, file.unwrap_or_default())
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_is_too_long_to_be_shown_whole_is_denied_and_what_is_shown_leaves_nothing_out() {
    let review = Review::new("cut", &json!({}));
    let [hidden, left, right, many] =
        ["hidden", "left", "right", "many"].map(|name| review.team(&format!("cut-{name}")));
    // 11 MB with an administrator in the middle; and two that fit alone, and not together.
    let files = [teams(&hidden, 50, 1_000), output(&left, 900), output(&right, 1_000)].concat();
    let number = propose(&review, "hidden", &files);
    review.run_well(&["plan"]);
    assert_eq!(review.planned(number, "goldpath/plan"), "failure: 2 of 3 root modules cannot be applied");
    let plan = |number: u64, team: &Managed| review.planned(number, &format!("goldpath/plan: teams/{}", team.0));
    assert_eq!(plan(number, &hidden), "failure: denied by policy: too-long");
    assert_eq!(plan(number, &left), "success: +1 ~0 -0, needs a platform owner: outside-folder");
    assert_eq!(plan(number, &right), "failure: denied by policy: too-long");
    let (comment, file) = shown(&review, number);
    assert!(comment.contains("`teams/") && comment.contains("make several root modules of it"), "{comment}");
    assert!(comment.contains("propose it in another pull request"), "{comment}");
    assert!(comment.contains("\n+ create gitea_team.aab\n") && file.contains("\n+ create gitea_team.aab\n"));
    assert_eq!((file.matches(" 0123456789").count(), file.contains("more line")), (900, false));

    // Approved by everybody, and merged.
    for user in [&review.reviewer, &review.owner] {
        review.approve(user, number);
    }
    review.merge(number);
    let said = review.run_in_vain(&["apply"]);
    assert_eq!(review.applied(number, &left), "success: +1 ~0 -0", "{said}");
    let refused = review.applied(number, &hidden);
    assert!(refused.starts_with("failure: refused: it is denied by policy: too-long: its plan takes 11,"), "{refused}");
    let refused =
        format!("failure: refused: #{number} showed no plan that can be approved: denied by policy: too-long");
    assert_eq!(review.applied(number, &right), refused, "{said}");
    assert!(hidden.get().is_none() && right.get().is_none());
    // What fits alone is asked for again; what does not is nobody's to approve.
    let [again] = review.open()[..] else { panic!("{:?} are open", review.open()) };
    assert_eq!(plan(again, &right), "success: +1 ~0 -0, needs a platform owner: outside-folder");
    assert_eq!(shown(&review, again).1.matches(" 0123456789").count(), 1_000);

    // As many changes with short values: each with its action is shown.
    let number = propose(&review, "many", &teams(&many, 150, 1));
    review.run_well(&["plan", "--pull", &number.to_string()]);
    assert_eq!(review.planned(number, "goldpath/plan"), "success: +302 ~0 -0");
    let (comment, file) = shown(&review, number);
    let names = ["aaa", "ccc"].into_iter().flat_map(|name| (0..150).map(move |n| format!("{name}[\"{name}{n}\"]")));
    for name in names.chain(["aab".to_owned()]) {
        let line = format!("+ create gitea_team.{name}\n");
        assert!(comment.contains(&line) && file.contains(&line), "{name} is not shown");
    }
    assert!(comment.len() <= 60_000 && file.contains("| Plan: 302 to add, 0 to change, 0 to destroy."));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_plan_whose_file_somebody_has_removed_is_shown_again() {
    let review = Review::new("removed", &json!({}));
    let team = review.team("cut-removed");
    let number = propose(&review, "removed", &output(&team, 50));
    let remove = |number: u64| {
        let assets = review.path(&format!("/issues/{number}/assets"));
        let id = api("GET", &assets, &Value::Null)[0]["id"].as_u64().unwrap();
        assert_eq!(ask(&review.writer_token, "DELETE", &format!("{assets}/{id}"), &Value::Null).0, 204);
    };
    review.run_well(&["plan"]);
    let before = shown(&review, number);
    remove(number);
    review.run_well(&["plan", "--pull", &number.to_string()]);
    let after = shown(&review, number);
    assert!(after.0 != before.0 && after.1 == before.1, "the comment leads to no file");
    assert!(after.1.contains("49 0123456789"));

    review.approve(&review.reviewer, number);
    review.merge(number);
    remove(number);
    review.run_in_vain(&["apply"]);
    let refused = format!("failure: refused: somebody has removed the file with the whole plan of #{number}");
    assert_eq!(review.applied(number, &team), refused);
    let [again] = review.open()[..] else { panic!("{:?} are open", review.open()) };
    assert!(shown(&review, again).1.contains("49 0123456789"));
    review.approve(&review.reviewer, again);
    review.merge(again);
    review.run_well(&["apply"]);
    assert!(team.get().is_some());
}
