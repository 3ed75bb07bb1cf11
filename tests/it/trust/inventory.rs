//! What a writer of a repository can put into what Goldpath keeps there: inventories, tickets and claims.

use super::*;
use crate::support::binary;
use crate::support::gitea::Organization;
use crate::support::load::Requests;
use crate::support::team;
use std::process::Output;
use std::thread;

/// A platform whose repositories are written directly, with somebody who may write them too.
struct Site {
    organization: Organization,
    /// Is gone when this is.
    _writer: User,
    token: String,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(name: &str) -> Self {
        let organization = Organization::with_repositories(name);
        let writer = User::new(name);
        for repository in ["catalog", "infrastructure"] {
            writer.join(&organization, repository, "write");
        }
        let token = writer.token("writer", &["write:repository"]);
        let site = Self { organization, _writer: writer, token, folder: tempfile::tempdir().unwrap() };
        let [catalog, infrastructure] = ["catalog", "infrastructure"].map(|name| site.remote(name, "commit"));
        site.configure(&json!({"catalog": catalog, "infrastructure": infrastructure}));
        site
    }

    fn remote(&self, name: &str, delivery: &str) -> Value {
        json!({"owner": self.organization.0, "name": name, "delivery": delivery})
    }

    fn configure(&self, repositories: &Value) {
        let [url, ca, token] = ["GITEA_URL", "GITEA_CA_FILE", "GITEA_TOKEN_FILE"].map(variable);
        let gitea = json!({"url": url, "caFile": ca, "tokenFile": token});
        let config = json!({"gitea": gitea, "repositories": repositories, "deadlineSeconds": 300});
        fs::write(self.folder.path().join("platform.yaml"), config.to_string()).unwrap();
    }

    /// `goldpath run` of a request for a Team.
    fn run(&self, request: (&str, &str), id: &str, full_name: &str, arguments: &[&str]) -> Output {
        let (namespace, name) = request;
        let file = format!("{name}-{id}.yaml");
        let team = team(json!({"name": name, "namespace": namespace}), json!({"id": id, "name": full_name}));
        fs::write(self.folder.path().join(&file), team.to_string()).unwrap();
        let workspace = format!("workspace-{name}-{id}");
        let mut command = binary("goldpath");
        command.args(["run", "--config", "platform.yaml", "--workspace", &workspace, "-f", &file]).args(arguments);
        command.current_dir(self.folder.path()).output().unwrap()
    }

    fn run_well(&self, request: (&str, &str), id: &str, full_name: &str, arguments: &[&str]) {
        let output = self.run(request, id, full_name, arguments);
        assert!(output.status.success(), "{}", crate::support::transcript(&output));
    }

    /// Runs a request that is refused for its inventory, and writes nothing anywhere.
    fn run_in_vain(&self, request: (&str, &str), id: &str, arguments: &[&str], why: &str) {
        let before = self.heads();
        let said = crate::support::transcript(&self.run(request, id, "Alpha", arguments));
        assert!(said.contains(why) && said.ends_with("exit 2\n"), "{id} {arguments:?}: {said}");
        assert_eq!(self.heads(), before, "{id} {arguments:?}: {said}");
    }

    fn heads(&self) -> [Value; 2] {
        ["catalog", "infrastructure"].map(|repository| {
            api("GET", &self.organization.path(repository, "/branches/main"), &Value::Null)["commit"]["id"].clone()
        })
    }

    /// The writer commits files, as if it were for the request `default/a`.
    fn write(&self, repository: &str, files: &[(&str, &str)]) {
        let old = self.organization.files(repository, "main");
        let files: Vec<_> = files
            .iter()
            .map(|(path, content)| {
                let is_there = old.iter().any(|file| file == path);
                let at = self.organization.path(repository, &format!("/contents/{path}"));
                let sha = if is_there { api("GET", &at, &Value::Null)["sha"].clone() } else { Value::Null };
                let operation = if is_there { "update" } else { "create" };
                json!({"operation": operation, "path": path, "content": BASE64.encode(content), "sha": sha})
            })
            .collect();
        let message = "team: update default/a\n\nGoldpath-Request: Team default/a\n";
        let commit = json!({"branch": "main", "message": message, "files": files});
        let (status, answer) = ask(&self.token, "POST", &self.organization.path(repository, "/contents"), &commit);
        assert_eq!(status, 201, "{answer}");
    }
}

const A: (&str, &str) = ("default", "a");
const B: (&str, &str) = ("people", "b");
const INVENTORY: &str = ".goldpath/team/default/a.yaml";

fn inventory(files: &[&str]) -> String {
    let files: String = files.iter().map(|file| format!("- {file}\n")).collect();
    format!("request:\n  kind: Team\n  namespace: default\n  name: a\nfiles:\n{files}")
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn what_a_writer_puts_into_an_inventory_removes_and_overwrites_nothing() {
    let site = Site::new("forged");
    site.run_well(A, "alpha", "Alpha", &[]);
    site.run_well(B, "beta", "Beta", &[]);
    let honest = site.organization.content("catalog", "main", INVENTORY);

    let listed = ["teams/alpha.yaml", "teams/beta.yaml", ".goldpath/team/people/b.yaml", ".gitea/workflows/ci.yaml"];
    site.write("catalog", &[(INVENTORY, &inventory(&listed)), (".gitea/workflows/ci.yaml", "on: push\n")]);
    let why = "`.gitea/workflows/ci.yaml` and 1 more, which no Team has in catalog; restore it";
    site.run_in_vain(A, "alpha", &[], why);
    site.run_in_vain(A, "alpha", &["--delete"], why);

    // The file was touched with a trailer of the writer's too.
    let entity = site.organization.content("catalog", "main", "teams/beta.yaml");
    let shared = inventory(&["teams/alpha.yaml", "teams/beta.yaml"]);
    site.write("catalog", &[(INVENTORY, &shared), ("teams/beta.yaml", &format!("{entity}# edited\n"))]);
    let why = "`teams/beta.yaml`, which `.goldpath/team/people/b.yaml` of Team people/b lists too; restore the one";
    site.run_in_vain(A, "alpha", &[], why);
    site.run_in_vain(A, "alpha", &["--delete"], why);
    site.run_in_vain(A, "beta", &[], why);

    // Beside others that are written together it removes nothing, and holds up nobody.
    let run = |name: &'static str| site.run(("default", name), name, "Another", &[]).status.success();
    let together = thread::scope(|scope| {
        let running = ["a", "c", "d"].map(|name| scope.spawn(move || run(name)));
        running.map(|thread| thread.join().unwrap())
    });
    assert_eq!(together, [false, true, true]);

    site.write("catalog", &[(INVENTORY, &honest)]);
    site.run_well(B, "beta", "Beta goes on", &[]);
    let module = ["backend", "main", "outputs", "providers"].map(|name| format!("teams/alpha/{name}.tf"));
    let module: Vec<_> = module.iter().map(String::as_str).chain(["teams/beta/main.tf"]).collect();
    let honest = site.organization.content("infrastructure", "main", INVENTORY);
    site.write("infrastructure", &[(INVENTORY, &inventory(&module))]);
    let why = "`teams/beta/main.tf`, which `.goldpath/team/people/b.yaml` of Team people/b lists too; restore the one";
    site.run_in_vain(A, "alpha", &["--delete"], why);

    site.write("infrastructure", &[(INVENTORY, &honest)]);
    site.run_well(A, "alpha", "Restored", &["--delete"]);
    for (repository, file) in [("catalog", "teams/beta.yaml"), ("infrastructure", "teams/beta/main.tf")] {
        let files = site.organization.files(repository, "main");
        assert!(files.iter().any(|path| path == file), "{files:?}");
        assert!(!files.iter().any(|path| path.contains("alpha")), "{files:?}");
    }
    assert!(site.organization.content("catalog", "main", "teams/beta.yaml").contains("Beta goes on"));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_claim_that_a_writer_has_kept_is_not_written_again() {
    let site = Site::new("replay");
    let releases = site.organization.path("catalog", "/releases");
    let requests = Requests::render(["first", "alpha", "beta", "gamma"].map(str::to_owned).to_vec());
    let local = requests.local_repository();
    requests.configure(&json!({"catalog": site.remote("catalog", "commit"), "infrastructure": {"url": local}}), 300);
    requests.deliver("first");
    let claim = |id: &str| {
        let output = requests.step("claim", id).output().unwrap();
        assert!(output.status.success(), "{}", crate::support::transcript(&output));
        let claims = ask(&site.token, "GET", &format!("{releases}?draft=true"), &Value::Null).1;
        claims.as_array().unwrap().iter().find(|c| c["tag_name"].as_str().unwrap().contains(id)).unwrap().clone()
    };
    let kept = claim("alpha");
    requests.deliver("alpha");
    let is_there = || site.organization.files("catalog", "main").contains(&"teams/alpha.yaml".to_owned());
    assert!(is_there());
    let deleted = requests.step("commit", "alpha").env("KRATIX_WORKFLOW_ACTION", "delete").output().unwrap();
    assert!(deleted.status.success() && !is_there(), "{}", crate::support::transcript(&deleted));
    // As long as a claim is good for, from when it was made: until then nobody is told that the Team is gone.
    thread::sleep(std::time::Duration::from_secs(16));

    // As a release of the writer's own, and as one that we have made for somebody else.
    let mut copy = json!({"draft": true, "target_commitish": "main", "name": "x"});
    (copy["tag_name"], copy["body"]) = (kept["tag_name"].clone(), kept["body"].clone());
    let (status, answer) = ask(&site.token, "POST", &releases, &copy);
    assert_eq!(status, 201, "{answer}");
    requests.deliver("beta");
    assert!(!is_there(), "a copy brings back what was deleted");
    ask(&site.token, "DELETE", &format!("{releases}/{}", answer["id"]), &Value::Null);
    let ours = claim("gamma");
    copy["tag_name"] = "goldpath/claim/team/people/alpha/1".into();
    let (status, answer) = ask(&site.token, "PATCH", &format!("{releases}/{}", ours["id"]), &copy);
    assert_eq!(status, 200, "{answer}");
    requests.deliver("gamma");
    assert!(!is_there(), "an edit brings back what was deleted");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn two_requests_of_one_id_never_both_get_its_namespace() {
    let site = Site::new("one-id");
    let first = json!({"branch": "main", "message": "first", "content": ""});
    for repository in ["catalog", "infrastructure"] {
        api("POST", &site.organization.path(repository, "/contents/README.md"), &first);
    }
    let local = site.folder.path().join("local.git");
    goldpath::repository::create_repository(&local, "main").unwrap();
    let [commit, proposal] = ["commit", "pull-request"].map(|delivery| {
        let remote = |repository| site.remote(repository, delivery);
        (remote("catalog"), remote("infrastructure"))
    });
    let git = json!({"url": local});
    for (number, (catalog, infrastructure, goes_out)) in [
        (&proposal.0, &proposal.1, 0),
        (&commit.0, &proposal.1, 1),
        (&proposal.0, &commit.1, 1),
        (&git, &proposal.1, 1),
        (&proposal.0, &git, 1),
    ]
    .into_iter()
    .enumerate()
    {
        site.configure(&json!({"catalog": catalog, "infrastructure": infrastructure}));
        let out = thread::scope(|scope| {
            let claim = |name: &'static str| {
                let folder = site.folder.path().join(format!("{name}-{number}"));
                let spec = json!({"id": format!("one-{number}"), "name": "One"});
                let team = team(json!({"name": name, "namespace": "people"}), spec);
                fs::create_dir_all(folder.join("input")).unwrap();
                fs::write(folder.join("input/object.yaml"), team.to_string()).unwrap();
                let mut command = binary("claim");
                for volume in ["INPUT", "OUTPUT", "METADATA"] {
                    command.env(format!("KRATIX_{volume}"), volume.to_lowercase());
                }
                let output = command.current_dir(&folder).env("GOLDPATH_CONFIG", "../platform.yaml").output().unwrap();
                assert!(output.status.success(), "{}", crate::support::transcript(&output));
                // With it Kratix writes none of the manifests.
                let is_held = folder.join("metadata/workflow-control.yaml").exists();
                (!is_held, crate::support::transcript(&output))
            };
            ["a", "b"].map(|name| scope.spawn(move || claim(name))).map(|thread| thread.join().unwrap())
        });
        assert_eq!(out.iter().filter(|(goes_out, _)| *goes_out).count(), goes_out, "{number}: {out:#?}");
    }
}
