//! Rights that somebody gives or takes away in Gitea, past every request.

use super::*;
use crate::support::gitea::get_all;
use crate::support::review::last_status;

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn rights_that_somebody_gives_or_takes_by_hand_are_named_until_they_are_as_approved() {
    let mut review = Review::new("by-hand", &json!({}));
    let [ada, bob, eve, mallory] = ["by-hand-Ada", "by-hand-bob", "by-hand-Eve", "by-hand-mallory"].map(User::new);
    let team = review.team("by-hand");
    let module = format!("teams/{}", team.0);
    // Each is written in another case than the account's own.
    let (written_ada, written_bob) = (ada.0.to_lowercase(), bob.0.to_uppercase());
    let people = format!("{{username: {written_ada}, role: admin}}, {{username: {written_bob}, role: viewer}}");
    let number = review.request(&team, &format!("name: Team, members: [{people}]"));
    review.run_well(&["plan"]);
    review.approve(&review.reviewer, number);
    review.merge(number);
    assert_eq!(review.run_well(&["apply"]), format!("{module}: +5 ~0 -0\n"));
    assert_eq!(team.members("admin"), [ada.0.as_str()]);
    // A change of case asks for nothing: what is another key is destroyed beside what is made, in any order.
    let file = review.file(&format!("{}.yaml", team.0));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&written_ada, &ada.0).replace(&written_bob, &bob.0)).unwrap();
    review.track(&team);
    assert_eq!(review.open(), [] as [u64; 0]);

    let teams = api("GET", &format!("/orgs/{}/teams", team.0), &Value::Null);
    let id = |name: &str| teams.as_array().unwrap().iter().find(|team| team["name"] == name).unwrap()["id"].clone();
    let member = |method: &str, team: &str, user: &User| {
        api(method, &format!("/teams/{}/members/{}", id(team), user.0), &json!({}));
    };
    let permit = |permission: &str| {
        let units = ["code", "issues", "ext_issues", "wiki", "pulls", "releases", "projects", "ext_wiki", "actions"];
        let units: Vec<_> = units.into_iter().chain(["packages"]).map(|unit| format!("repo.{unit}")).collect();
        api("PATCH", &format!("/teams/{}", id("viewer")), &json!({"permission": permission, "units": units}));
    };
    member("PUT", "admin", &eve);
    member("PUT", "Owners", &mallory);
    member("DELETE", "viewer", &bob);
    permit("admin");
    let further = json!({"name": "intruders", "permission": "write", "units": ["repo.code"]});
    let further = api("POST", &format!("/orgs/{}/teams", team.0), &further)["id"].clone();

    let merged = review.pull(number)["merge_commit_sha"].as_str().unwrap().to_owned();
    let context = format!("goldpath/drift: {module}");
    let (organization, robot) = (review.organization.0.clone(), review.robot.0.clone());
    let path = |rest: &str| format!("/repos/{organization}/infrastructure{rest}");
    let statuses = || get_all(&path(&format!("/commits/{merged}/statuses"))).len();
    let issues = |state: &str| get_all(&path(&format!("/issues?type=issues&state={state}")));
    let applied = format!("pull request #{number} in infrastructure is applied (+5 ~0 -0)");
    let said = review.run_well(&["drift"]);
    let issue = issues("open")[0].clone();
    let url = issue["html_url"].as_str().unwrap();
    assert_eq!(said, format!("{module}: drifts ({url})\n"));
    let (eves, mallorys) = (&eve.0, &mallory.0);
    let rights = format!(
        "- `{mallorys}` is in the team `Owners`: nobody else than the platform is to be there: take them out by hand\n\
         - there is a further team `intruders`: delete it by hand\n\
         - `{eves}` is in the team `admin`: add them to the request, or take them out by hand\n\
         - the team `viewer` has other rights: `permission` is `admin` instead of `read`: set it back by hand\n\
         - `{}` is not in the team `viewer`: take them out of the request, or put them back by hand\n\n",
        written_bob.to_lowercase()
    );
    let body = issue["body"].as_str().unwrap();
    assert!(body.contains(&rights) && body.contains("gitea_team_membership.viewer"), "{body}");
    let short = format!(
        "`{mallorys}` is in the team `Owners`; there is a further team `intruders`; `{eves}` is in the team `admin`; and 3 more"
    );
    assert_eq!(last_status(&review.organization, &robot, &merged, &context), format!("failure: {short}"));
    let tracked = &review.track(&team)[0];
    let message = format!("{applied}, and was changed by hand: {short} ({url})");
    assert_eq!([&tracked["phase"], &tracked["message"]], ["applied", &message]);
    let kept = review.file(&format!(".goldpath/requests/team/default/{}/metadata/status.yaml", team.0));
    let kept: Value = serde_yaml::from_str(&fs::read_to_string(kept).unwrap()).unwrap();
    assert_eq!(kept["goldpath"]["drift"], json!([format!("infrastructure: {short} ({url})")]));
    let condition = kept["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Applied").unwrap();
    assert_eq!([&condition["status"], &condition["message"]], ["True", &message]);
    // It is said once.
    let before = (statuses(), issue["updated_at"].clone());
    review.run_well(&["drift"]);
    assert_eq!((statuses(), issues("open")[0]["updated_at"].clone()), before);

    // What cannot be asked is not taken for what is as it was.
    review.environment.push(("GITEA_TOKEN", review.robot_token.clone()));
    assert!(review.run_in_vain(&["drift"]).starts_with(&format!("{module}: cannot be looked at: ")));
    review.environment.clear();
    assert_eq!((statuses(), issues("open").len()), (before.0, 1));

    member("DELETE", "admin", &eve);
    member("DELETE", "Owners", &mallory);
    member("PUT", "viewer", &bob);
    permit("read");
    api("DELETE", &format!("/teams/{further}"), &Value::Null);
    assert_eq!(review.run_well(&["drift"]), "1 root modules, none drifts\n");
    assert_eq!(last_status(&review.organization, &robot, &merged, &context), "success: nothing differs any more");
    assert_eq!((issues("open").len(), issues("closed").len()), (0, 1));
    assert_eq!(review.track(&team)[0]["message"], applied.as_str());
}
