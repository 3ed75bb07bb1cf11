//! Who could approve when they did, and can no longer.

use super::*;

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn the_rights_of_who_has_approved_are_those_of_the_apply() {
    let review = Review::new("yesterday", &json!({}));
    let organization = &review.organization.0;
    let team = json!({"name": "reviewers", "units_map": {"repo.code": "write", "repo.pulls": "write"}, "includes_all_repositories": true});
    let reviewers = api("POST", &format!("/orgs/{organization}/teams"), &team)["id"].clone();
    let people = ["one", "two", "three", "four", "five"].map(|who| User::new(&format!("once-{who}")));
    let [collaborator, member, gone, colleague, listed] = &people;
    collaborator.join(&review.organization, "infrastructure", "write");
    gone.join(&review.organization, "infrastructure", "write");
    let in_team =
        |method: &str, user: &User| api(method, &format!("/teams/{reviewers}/members/{}", user.0), &json!({}));
    in_team("PUT", member);
    in_team("PUT", colleague);
    let propose = |team: &Managed| {
        commit(&review.writer_token, &infrastructure(&review), &team.0, "x", &module(team));
        open(&review, &review.writer_token, &team.0, "x")
    };
    let teams = ["once-removed", "once-left", "once-locked", "once-still", "once-listed"].map(|name| review.team(name));
    let numbers = teams.each_ref().map(propose);
    review.run_well(&["plan"]);
    for (user, number) in people.iter().zip(numbers).take(4) {
        review.approve(user, number);
    }
    api("DELETE", &review.path(&format!("/collaborators/{}", collaborator.0)), &Value::Null);
    in_team("DELETE", member);
    let locked = json!({"login_name": gone.0, "source_id": 0, "prohibit_login": true});
    api("PATCH", &format!("/admin/users/{}", gone.0), &locked);
    for number in &numbers[..4] {
        review.merge(*number);
    }
    let said = review.run_in_vain(&["apply"]);
    let refused = |user: &User, number: u64| {
        format!("failure: refused: `{}`, who has approved #{number}, may not do so any more", user.0)
    };
    for place in 0..3 {
        assert_eq!(review.applied(numbers[place], &teams[place]), refused(&people[place], numbers[place]), "{said}");
        assert!(teams[place].get().is_none());
    }
    assert_eq!(review.applied(numbers[3], &teams[3]), "success: +1 ~0 -0", "{said}");

    // Whom the branch's protection lists is a reviewer while it does, and need not write anything.
    let protection = |user: &User| {
        let list = json!([user.0]);
        json!({"rule_name": "main", "enable_push": true, "enable_approvals_whitelist": true, "approvals_whitelist_username": list})
    };
    listed.join(&review.organization, "infrastructure", "read");
    api("POST", &review.path("/branch_protections"), &protection(listed));
    review.approve(listed, numbers[4]);
    api("PATCH", &review.path("/branch_protections/main"), &protection(&review.owner));
    review.merge(numbers[4]);
    let said = review.run_in_vain(&["apply"]);
    assert_eq!(review.applied(numbers[4], &teams[4]), refused(listed, numbers[4]), "{said}");
    api("PATCH", &review.path("/branch_protections/main"), &protection(listed));
    let asked = *review.open().last().unwrap();
    review.approve(listed, asked);
    review.merge(asked);
    let said = review.run_in_vain(&["apply"]);
    assert_eq!(review.applied(numbers[4], &teams[4]), "success: +1 ~0 -0", "{said}");
}
