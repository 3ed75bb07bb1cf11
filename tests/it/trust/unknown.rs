//! What only the apply knows, and what nobody has asked for.

use super::*;
use crate::support::gitea::Organization;

/// A root module with further code behind its organisation.
fn with(team: &Managed, code: &str) -> Vec<(String, String)> {
    let mut files = module(team);
    files[1].1 += code;
    files
}

fn member(team_id: &str, username: &str) -> String {
    format!(
        "\nresource \"gitea_team\" \"own\" {{\n  organisation = gitea_org.team.name\n  name         = \"own\"\n  permission   = \"read\"\n}}\n\nresource \"gitea_team_membership\" \"x\" {{\n  team_id  = {team_id}\n  username = {username}\n}}\n"
    )
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_only_the_apply_knows_is_no_way_into_another_organisation() {
    let review = Review::new("unknown", &json!({}));
    let victim = Organization::new("unknown-victim");
    let teams = api("GET", &format!("/orgs/{}/teams", victim.0), &Value::Null);
    let owners = teams[0]["id"].to_string();
    let outsider = User::new("unknown-outsider");
    let quoted = format!("\"{}\"", outsider.0);
    let hidden = |text: &str| format!("length(gitea_org.team.id) > 0 ? \"{text}\" : gitea_team.own.id");
    let [conditional, local, id, person, right, honest, second] =
        ["conditional", "local", "id", "person", "right", "honest", "second"]
            .map(|name| review.team(&format!("unknown-{name}")));
    let in_local = format!("\nlocals {{\n  x = {}\n}}\n{}", hidden(&owners), member("local.x", &quoted));
    let permission = member("gitea_team.own.id", &quoted)
        .replace("\"read\"", "length(gitea_org.team.id) > 0 ? \"admin\" : \"read\"");
    let cases = [
        (&conditional, member(&hidden(&owners), &quoted)),
        (&local, in_local),
        (&id, member("gitea_org.team.id", &quoted)),
        (&person, member("gitea_team.own.id", &hidden(&outsider.0))),
        (&right, permission),
    ];
    let propose = |team: &Managed, files: &[(String, String)]| {
        commit(&review.writer_token, &infrastructure(&review), &team.0, "x", files);
        open(&review, &review.writer_token, &team.0, "x")
    };
    let hidden: Vec<_> = cases.iter().map(|(team, code)| (*team, propose(team, &with(team, code)))).collect();
    let shown = propose(&honest, &with(&honest, &member("gitea_team.own.id", &quoted)));
    let other = format!("{}-more", second.0);
    let more = format!("\nresource \"gitea_org\" \"more\" {{\n  name = \"{other}\"\n}}\n");
    let two = propose(&second, &with(&second, &more));
    review.run_well(&["plan"]);
    let planned = |team: &Managed, number| review.planned(number, &format!("goldpath/plan: teams/{}", team.0));
    for (team, number) in &hidden {
        assert_eq!(planned(team, *number), "failure: denied by policy: root-module", "{}", team.0);
    }
    assert_eq!(planned(&honest, shown), "success: +3 ~0 -0");
    assert_eq!(planned(&second, two), "success: +2 ~0 -0, needs a platform owner: organization");

    for number in hidden.iter().map(|(_, number)| *number).chain([shown, two]) {
        review.approve(&review.reviewer, number);
        review.merge(number);
    }
    let said = review.run_in_vain(&["apply"]);
    for (team, number) in &hidden {
        assert!(review.applied(*number, team).starts_with("failure: refused: it is denied by policy: "), "{said}");
        assert!(team.get().is_none(), "{} is there", team.0);
    }
    let members = api("GET", &format!("/teams/{owners}/members"), &Value::Null);
    assert!(members.as_array().unwrap().iter().all(|member| member["login"] != outsider.0.as_str()), "{members}");
    assert_eq!(honest.members("own"), [outsider.0.as_str()], "{said}");
    let refused = "failure: refused: a platform owner must approve it: organization";
    assert_eq!(review.applied(two, &second), refused, "{said}");
    assert!(second.get().is_none() && Managed(other).get().is_none());
}
