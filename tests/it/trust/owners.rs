//! A name is whose it was when it was written down.

use super::*;

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn who_takes_an_owners_name_is_no_owner_and_who_takes_our_users_is_not_us() {
    let review = Review::new("owners", &json!({}));
    let number = review.propose("beside", &[("README.md", Some("new\n"))]);
    let waits = "pending: a platform owner must approve this: outside-folder";
    let says = || {
        review.run_well(&["plan", "--pull", &number.to_string()]);
        review.planned(number, "goldpath/plan")
    };
    assert_eq!(says(), waits);
    let accounts = review.organization.content("review", "records", "accounts.json");
    let id = |user: &User| api("GET", &format!("/users/{}", user.0), &Value::Null)["id"].as_i64().unwrap();
    let expected = json!({&review.owner.0: id(&review.owner), &review.robot.0: id(&review.robot)});
    assert_eq!(serde_json::from_str::<Value>(&accounts).unwrap(), expected);

    review.configure(&json!({"userId": id(&review.robot) + 1}));
    assert!(review.run_in_vain(&["plan"]).contains("`review.userId` is another"));
    review.configure(&json!({"userId": id(&review.robot)}));
    assert_eq!(says(), waits);

    // The owner's account has another name, and a reviewer has taken the old one.
    let rename =
        |from: &str, to: &str| api("POST", &format!("/admin/users/{from}/rename"), &json!({"new_username": to}));
    let (owner, reviewer) = (review.owner.0.as_str(), review.reviewer.0.as_str());
    let (away, old) = (User(format!("{owner}-away")), User(owner.to_owned()));
    rename(owner, &away.0);
    rename(reviewer, owner);
    review.approve(&old, number);
    assert_eq!(says(), waits, "who has the name is taken for the owner");
    review.approve(&away, number);
    assert_eq!(says(), waits, "an owner of another name is none");
    rename(owner, reviewer);
    rename(&away.0, owner);
    assert_eq!(says(), "success: no root module is changed");

    // The same of the user whose word counts, also where its id is not in the configuration.
    review.configure(&json!({}));
    let robot = review.robot.0.as_str();
    let gone = User(format!("{robot}-gone"));
    rename(robot, &gone.0);
    let taker = User::new("owners-taker");
    rename(&taker.0, robot);
    let taker = User(robot.to_owned());
    taker.join(&review.organization, "infrastructure", "write");
    taker.join(&review.organization, "review", "write");
    let token = taker.token("t", &["write:repository", "write:issue", "read:user"]);
    let said = crate::support::review::said(&review.command(&["plan"]).env("GOLDPATH_TOKEN", token).output().unwrap());
    assert!(said.contains("is another account than the one that was recorded"), "{said}");
}
