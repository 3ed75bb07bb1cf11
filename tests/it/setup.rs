//! `goldpath platform setup` on the real Gitea. `scripts/run-integration-tests.sh` runs these; that what it makes carries a
//! review, `workflows.rs` shows.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, PASSWORD, User, admin_token, api, ask, variable};
use crate::support::{binary, transcript};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// The platform of a configuration, which goes with it.
struct Site {
    folder: tempfile::TempDir,
    organization: Organization,
    owner: User,
    users: String,
}

impl Site {
    fn new(name: &str) -> Self {
        let (organization, owner) = (Organization::planned(name), User::new(&format!("{name}-owner")));
        let users = format!("gp-{name}-{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| json!({"owner": organization.0, "name": name});
        let config = json!({
            "gitea": {"url": variable("GITEA_URL"), "caFile": "ca.crt", "tokenFile": "credentials/token"},
            "repositories": {"catalog": place("catalog"), "infrastructure": place("infrastructure")},
            "state": {"owner": organization.0},
            "review": {
                "user": format!("{users}-review"),
                "repository": {"owner": organization.0, "name": "review"},
                "owners": [owner.0],
            },
        });
        fs::write(folder.path().join("platform.yaml"), config.to_string()).unwrap();
        fs::copy(variable("GITEA_CA_FILE"), folder.path().join("ca.crt")).unwrap();
        Self { folder, organization, owner, users }
    }

    /// Runs it as an administrator; gives the exit code and what it says.
    fn set_up(&self, arguments: &[&str]) -> (i32, String) {
        self.set_up_as(&variable("GITEA_TOKEN_FILE"), arguments)
    }

    fn set_up_as(&self, token: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = binary("goldpath");
        command.current_dir(self.folder.path()).env("GITEA_ADMIN_TOKEN_FILE", token);
        command.args(["platform", "setup", "--config", "platform.yaml", "--runner", "host"]);
        let output = command.args(["--credentials", "credentials"]).args(arguments).output().unwrap();
        (output.status.code().unwrap(), transcript(&output))
    }

    fn token(&self) -> PathBuf {
        self.folder.path().join("credentials/token")
    }

    fn has_organization(&self) -> bool {
        ask(&admin_token(), "GET", &format!("/orgs/{}", self.organization.0), &Value::Null).0 == 200
    }

    fn path(&self, repository: &str, rest: &str) -> String {
        self.organization.path(repository, rest)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for user in ["", "-review", "-bell", "-terraform"] {
            ask(&admin_token(), "DELETE", &format!("/admin/users/{}{user}?purge=true", self.users), &json!({}));
        }
    }
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_platform_is_made_kept_put_right_and_its_tokens_made_anew() {
    let site = Site::new("setup");
    let owner = &site.organization.0;
    let (code, told) = site.set_up(&["--dry-run"]);
    for line in [
        &format!("make    private organisation {owner}\n"),
        &format!("make    commit in {owner}/review: platform.yaml, ca.crt, .gitea/workflows/apply.yaml"),
        &format!("make    protection of main in {owner}/infrastructure\n"),
        &format!("make    token of {} (write:repository write:issue read:organization read:package)\n", site.users),
    ] {
        assert!(told.contains(line), "{line}{told}");
    }
    assert_eq!((code, site.has_organization(), site.token().exists()), (0, false, false), "{told}");

    let (code, told) = site.set_up(&[]);
    assert_eq!((code, told.contains("wrong"), told.contains("\nmade ")), (0, false, true), "{told}");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(site.token()), mode(site.folder.path().join("credentials"))], [0o600, 0o700]);
    let first = fs::read_to_string(site.token()).unwrap();
    assert!(!told.contains(first.trim()), "{told}");
    let mut doctor = binary("goldpath");
    let doctor = doctor.current_dir(site.folder.path()).args(["doctor", "--config", "platform.yaml"]).output().unwrap();
    let doctor = transcript(&doctor);
    assert!(doctor.contains("all is well"), "{doctor}");
    let (code, told) = site.set_up(&[]);
    assert!(code == 0 && told.contains("nothing to change\n") && !told.contains("made"), "{told}");

    // What people change by hand.
    let stranger = User::new("setup-stranger");
    let teams = api("GET", &format!("/orgs/{owner}/teams"), &Value::Null);
    let team = |name: &str| teams.as_array().unwrap().iter().find(|t| t["name"] == name).unwrap()["id"].clone();
    api("PUT", &format!("/teams/{}/members/{}", team("platform-owners"), stranger.0), &json!({}));
    let rights = json!({"name": "goldpath-bell", "units_map": {"repo.issues": "write"}});
    api("PATCH", &format!("/teams/{}", team("goldpath-bell")), &rights);
    let rule = site.path("infrastructure", "/branch_protections/main");
    api("PATCH", &rule, &json!({"required_approvals": 0, "status_check_contexts": []}));
    let plan = site.path("review", "/contents/.gitea/workflows/plan.yaml");
    let file = api("GET", &plan, &Value::Null);
    let edit = json!({"branch": "main", "message": "x", "content": "", "sha": file["sha"]});
    let token = site.owner.token("edit", &["write:repository"]);
    assert_eq!(ask(&token, "PUT", &plan, &edit).0, 200);
    api("PUT", &site.path("infrastructure", "/actions/variables/GOLDPATH_RUNNER"), &json!({"value": "other"}));
    fs::write(site.token(), "wrong\n").unwrap();
    let (code, told) = site.set_up(&["--dry-run"]);
    assert!(code == 0 && told.contains("would make 7 changes\n"), "{told}");
    let (code, told) = site.set_up(&[]);
    for line in [
        format!("removed {} from the team platform-owners of {owner}\n", stranger.0),
        format!("set     rights of the team goldpath-bell of {owner}\n"),
        format!("set     protection of main in {owner}/infrastructure\n"),
        format!("made    commit in {owner}/review: .gitea/workflows/plan.yaml\n"),
        format!("set     variable GOLDPATH_RUNNER of {owner}/infrastructure\n"),
        format!("made    token of {} (", site.users),
        format!("removed an old token of {}\n", site.users),
        "made 7 changes\n".to_owned(),
    ] {
        assert!(told.contains(&line), "{line}{told}");
    }
    assert_eq!((code, site.set_up(&[]).1.contains("nothing to change\n")), (0, true), "{told}");
    let protected = api("GET", &site.path("review", "/branch_protections/main"), &Value::Null);
    assert_eq!(protected["push_whitelist_usernames"], json!([]));

    // What is not its own to change.
    stranger.join(&site.organization, "review", "write");
    let (code, told) = site.set_up(&[]);
    assert!(code == 1 && told.contains(&format!("wrong   {} has access to {owner}/review\n", stranger.0)), "{told}");
    api("DELETE", &site.path("review", &format!("/collaborators/{}", stranger.0)), &json!({}));

    // Tokens that somebody has removed, one that only reads, and a rule by which others would write a branch.
    let reader = site.owner.token("reader", &["read:repository"]);
    fs::write(site.token(), reader).unwrap();
    let rule = json!({"rule_name": "open/*", "enable_push": true});
    api("POST", &site.path("review", "/branch_protections"), &rule);
    let bell = format!("{}-bell", site.users);
    let account = json!({"login_name": "goldpath:set-up", "source_id": 0, "password": PASSWORD});
    api("PATCH", &format!("/admin/users/{bell}"), &account);
    remove_tokens(&bell);
    let (code, told) = site.set_up(&[]);
    for line in [
        format!("made    token of {bell} (write:issue)\n"),
        format!("set     secret GOLDPATH_BELL_TOKEN of {owner}/infrastructure\n"),
        format!("made    token of {} (", site.users),
        format!("wrong   the rule `open/*` of {owner}/review may let others write a branch"),
    ] {
        assert!(told.contains(&line), "{line}{told}");
    }
    assert_eq!(code, 1, "{told}");
    api("DELETE", &site.path("review", "/branch_protections/open%2F%2A"), &json!({}));

    let second = fs::read_to_string(site.token()).unwrap();
    let (code, told) = site.set_up(&["--rotate"]);
    let counted = |begin: &str| told.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!((code, counted("made    token"), counted("removed an old"), counted("set     secret")), (0, 7, 7, 6));
    let third = fs::read_to_string(site.token()).unwrap();
    let sees = |token: &str| ask(token.trim(), "GET", &site.path("infrastructure", ""), &Value::Null).0;
    assert_eq!([&first, &second, &third].map(|token| sees(token)), [401, 401, 200]);
}

/// Removes what a user signs in with beside its password.
fn remove_tokens(user: &str) {
    let command = |method: &str, path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--user", &format!("{user}:{PASSWORD}"), "--request", method]);
        curl.arg("--cacert")
            .arg(variable("GITEA_CA_FILE"))
            .arg(format!("{}/api/v1/users/{user}/tokens{path}", variable("GITEA_URL")));
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{method} {path}: {output:?}");
        output.stdout
    };
    let tokens: Vec<Value> = serde_json::from_slice(&command("GET", "")).unwrap();
    assert!(!tokens.is_empty());
    for token in &tokens {
        command("DELETE", &format!("/{}", token["id"]));
    }
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_token_that_may_not_makes_nothing() {
    let site = Site::new("may-not");
    let user = User::new("may-not");
    let token = |name: &str, scopes: &[&str]| {
        let file = site.folder.path().join(name);
        fs::write(&file, user.token(name, scopes)).unwrap();
        file.display().to_string()
    };
    let all = ["write:organization", "write:repository", "write:issue", "read:user", "write:admin"];
    let (code, told) = site.set_up_as(&token("plain", &all), &[]);
    assert!(code == 2 && told.contains(" is no administrator of "), "{told}");
    let admin = json!({"login_name": user.0, "source_id": 0, "admin": true});
    api("PATCH", &format!("/admin/users/{}", user.0), &admin);
    let file = token("less", &all[..4]);
    let (code, told) = site.set_up_as(&file, &[]);
    let why =
        format!("error: the token in {file} may not make users: the token in {file} lacks the scope `write:admin`\n");
    assert!(code == 2 && told.contains(&why), "{told}");
    assert!(!site.has_organization());
    let (code, told) = site.set_up_as(&token("none", &["read:user"]), &["--dry-run"]);
    assert!(code == 2 && told.contains("lacks the scope `"), "{told}");
    let (code, told) = site.set_up_as("/nowhere", &[]);
    assert!(code == 2 && told.contains("cannot read /nowhere"), "{told}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_cannot_be_a_platform_is_told_before_anything_is_made() {
    let site = Site::new("cannot");
    let file = site.folder.path().join("platform.yaml");
    let right: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let place = |name: &str| json!({"owner": site.organization.0.to_uppercase(), "name": name});
    let other = Organization::with_repositories("cannot-other");
    for (pointer, value, why) in [
        ("/review", Value::Null, "the configuration has no `review`".to_owned()),
        ("/state", Value::Null, "state.owner".to_owned()),
        ("/repositories/infrastructure", json!({"url": "a.git"}), "is not in Gitea".to_owned()),
        (
            "/repositories/infrastructure/branch",
            json!("trunk"),
            "`repositories.infrastructure.branch` is not `main`".to_owned(),
        ),
        ("/review/repository", place("infrastructure"), "is `repositories.infrastructure` too".to_owned()),
        ("/review/repository", place("catalog"), "is `repositories.catalog` too".to_owned()),
        ("/review/user", json!("robot"), "`review.user` is robot, and must be".to_owned()),
        ("/review/owners", json!(["nobody-here"]), "there is no user nobody-here: `review.owners`".to_owned()),
        ("/review/owners", json!([]), "`review.owners` names nobody".to_owned()),
        ("/review/owners", json!([other.0]), format!("there is no user {}: `review.owners`", other.0)),
        ("/review/repository/owner", json!(site.owner.0), format!("{} is a user, or is to be one", site.owner.0)),
        ("/state/owner", json!(site.users), format!("{} is a user, or is to be one", site.users)),
        ("/repositories/catalog", place("infrastructure"), "is the infrastructure repository too".to_owned()),
        ("/repositories/infrastructure/delivery", json!("commit"), "make it `pull-request`".to_owned()),
        ("/gitea/caFile", json!("platform.yaml"), "`platform.yaml` of the review repository is not for".to_owned()),
        ("/review/policy", json!({"rules": ["own.rego"]}), "cannot read".to_owned()),
    ] {
        let mut config = right.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = config.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(parent.remove(key)),
            value => drop(parent.insert(key.to_owned(), value)),
        }
        fs::write(&file, config.to_string()).unwrap();
        let (code, told) = site.set_up(&[]);
        assert!(code == 2 && told.contains(&why), "{pointer}: {why}: {told}");
        assert!(!site.has_organization(), "{pointer}: {told}");
    }
    fs::write(&file, right.to_string()).unwrap();
    let stranger = format!("{}-bell", site.users);
    let account = json!({"username": stranger, "email": "bell@example.com", "password": PASSWORD});
    api("POST", "/admin/users", &account);
    let (code, told) = site.set_up(&[]);
    assert!(code == 2 && told.contains(&format!("there is a user or organisation {stranger} that was not")), "{told}");
    assert!(!site.has_organization(), "{told}");
}
