//! Many writers at once on the real Gitea: nothing is lost, nothing is there twice. How fast that
//! is, `cargo bench --bench delivery` says.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, api};
use crate::support::load::Requests;
use serde_json::{Value, json};

/// What belongs to one request in a catalog.
fn catalog_files(id: &str) -> [String; 2] {
    [format!(".goldpath/team/people/{id}.yaml"), format!("teams/{id}.yaml")]
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn many_writers_lose_nothing_in_one_branch() {
    let organization = Organization::with_repositories("load");
    let requests = Requests::render((0..crate::support::whole_or(320, 48)).map(|n| format!("t{n:03}")).collect());
    requests.configure(
        &json!({
            "catalog": {"owner": organization.0, "name": "catalog", "delivery": "commit"},
            "infrastructure": {"url": requests.local_repository()},
        }),
        300,
    );
    requests.deliver_all(16);

    let mut expected: Vec<_> = requests.ids().iter().flat_map(|id| catalog_files(id)).collect();
    expected.push("catalog-info.yaml".to_owned());
    expected.sort();
    let mut files = organization.files("catalog", "main");
    files.sort();
    assert_eq!(files, expected);

    let index: Value = serde_yaml::from_str(&organization.content("catalog", "main", "catalog-info.yaml")).unwrap();
    let targets: Vec<_> = requests.ids().iter().map(|id| format!("./teams/{id}.yaml")).collect();
    assert_eq!(index["spec"]["targets"], json!(targets));

    // Each request is in exactly one commit, and nobody's ticket is left.
    let mut delivered = Vec::new();
    for page in 1.. {
        let path = organization.path("catalog", &format!("/commits?limit=50&stat=false&files=false&page={page}"));
        let commits = api("GET", &path, &Value::Null).as_array().unwrap().clone();
        let messages = commits.iter().map(|commit| commit["commit"]["message"].as_str().unwrap());
        let trailers = messages.flat_map(str::lines).filter_map(|line| line.strip_prefix("Goldpath-Request: "));
        delivered.extend(trailers.map(str::to_owned));
        if commits.len() < 50 {
            break;
        }
    }
    delivered.sort();
    let each: Vec<_> = requests.ids().iter().map(|id| format!("Team people/{id}")).collect();
    assert_eq!(delivered, each);
    assert_eq!(api("GET", &organization.path("catalog", "/releases?draft=true"), &Value::Null), json!([]));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn many_pull_requests_are_merged_one_after_the_other() {
    let organization = Organization::with_repositories("pulls");
    let first =
        json!({"branch": "main", "message": "first", "content": "", "author": {"name": "A", "email": "a@b.cc"}});
    api("POST", &organization.path("infrastructure", "/contents/README.md"), &first);
    let count = crate::support::whole_or(50, 8);
    let requests = Requests::render((0..count).map(|n| format!("t{n:02}")).collect());
    let local = requests.local_repository();
    requests.configure(
        &json!({
            "catalog": {"url": local},
            "infrastructure": {"owner": organization.0, "name": "infrastructure"},
        }),
        300,
    );
    requests.deliver_all(8);
    let pulls = organization.pulls("infrastructure");
    let mut heads: Vec<_> = pulls.iter().map(|pull| pull["head"]["ref"].as_str().unwrap().to_owned()).collect();
    heads.sort();
    let expected: Vec<_> = requests.ids().iter().map(|id| format!("goldpath/team/people/{id}")).collect();
    assert_eq!(heads, expected);

    for pull in &pulls {
        organization.merge("infrastructure", pull["number"].as_u64().unwrap());
    }
    let mut files = organization.files("infrastructure", "main");
    files.sort();
    let module = |id: &String| {
        let files = ["backend", "main", "outputs", "providers"].map(|name| format!("teams/{id}/{name}.tf"));
        [files.to_vec(), vec![format!(".goldpath/team/people/{id}.yaml")]].concat()
    };
    let mut expected: Vec<_> = requests.ids().iter().flat_map(module).collect();
    expected.push("README.md".to_owned());
    expected.sort();
    assert_eq!(files, expected);

    // The next runs find all of it there, and tidy up.
    requests.deliver_all(8);
    assert_eq!(organization.branches("infrastructure"), ["main"]);
    assert_eq!(organization.pulls("infrastructure").len(), count);
}
