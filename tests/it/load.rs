//! Many writers at once on the real Gitea: nothing is lost, nothing is there twice. How fast that
//! is, `cargo bench --bench delivery` says.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, api, goldpath, variable};
use crate::support::load::Requests;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Applications of which three each claim one host at the same time, by processes of their own.
#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn of_applications_that_claim_one_host_at_once_one_gets_it() {
    const WRITERS: usize = 16;
    const RIVALS: usize = 3;
    let hosts = crate::support::whole_or(64, 16);
    let organization = Organization::with_repositories("claims");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let [url, ca, token] = ["GITEA_URL", "GITEA_CA_FILE", "GITEA_TOKEN_FILE"].map(variable);
    let repository = |name: &str| json!({"owner": organization.0, "name": name, "delivery": "commit"});
    let config = json!({
        "gitea": {"url": url, "caFile": ca, "tokenFile": token}, "deadlineSeconds": 300,
        "repositories": {"catalog": repository("catalog"), "infrastructure": repository("infrastructure")},
    });
    write("platform.yaml", &config.to_string());
    let gateway = "{public: {namespace: gateways, name: public}}";
    write(
        "with.yaml",
        &format!(
            "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {{name: alpha}}\nspec: {{id: alpha, name: A}}\n---\n\
             apiVersion: platform.kratix.io/v1alpha1\nkind: Environment\nmetadata: {{name: dev, namespace: platform}}\n\
             spec: {{clusters: [{{name: eu, stateStore: {{kind: GitStateStore, name: default}}, gateways: {gateway}}}]}}\n"
        ),
    );
    let deliver = |number: usize| {
        let (name, host) = (format!("a{number:03}"), format!("h{:02}.example.com", number / RIVALS));
        let component = format!("{{name: web, type: webapp, port: 80, visibility: public, host: {host}}}");
        write(
            &format!("{name}.yaml"),
            &format!(
                "apiVersion: platform.kratix.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\nspec: {{team: alpha, \
                 components: [{component}], instances: [{{environment: dev, image: a/b, version: '1'}}]}}\n"
            ),
        );
        let arguments = ["--workspace", &name, "-f", &format!("{name}.yaml"), "--with", "with.yaml"];
        let output = goldpath(folder.path(), &arguments).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), told[0]["outcome"].clone(), told[0]["reason"].clone(), name, host)
    };
    let deliver_all = || {
        let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= hosts * RIVALS {
                            return;
                        }
                        let end = deliver(number);
                        ended.lock().unwrap().push(end);
                    }
                });
            }
        });
        ended.into_inner().unwrap()
    };
    let ended = deliver_all();
    let owners: BTreeMap<_, _> = ended
        .iter()
        .filter(|(code, ..)| *code == Some(0))
        .map(|(.., name, host)| (host.clone(), name.clone()))
        .collect();
    assert_eq!(owners.len(), hosts, "{ended:?}");
    let look = |ended: &[(Option<i32>, Value, Value, String, String)], done: &[&str]| {
        assert_eq!(ended.iter().filter(|(code, ..)| *code == Some(0)).count(), hosts, "{ended:?}");
        for (code, outcome, message, name, host) in ended {
            let owner = &owners[host];
            if name == owner {
                assert!(done.iter().any(|done| outcome == done), "{ended:?}");
                continue;
            }
            assert_eq!((*code, outcome), (Some(1), &json!("refused")), "{name}: {message}");
            let told = format!("the host `{host}/` in `dev` belongs to Application default/{owner}");
            assert!(message.as_str().unwrap_or_default().contains(&told), "{name}: {message}");
        }
    };
    // Another may have brought it along with its own.
    look(&ended, &["committed", "rendered"]);
    let mut expected = vec!["catalog-info.yaml".to_owned()];
    for (host, name) in &owners {
        expected.push(format!(".goldpath/application/default/{name}.yaml"));
        expected.push(format!("hosts/dev/public/{host}/%2f.json"));
        expected.push(format!("systems/alpha/{name}.yaml"));
        let claim = organization.content("catalog", "main", &format!("hosts/dev/public/{host}/%252f.json"));
        assert!(claim.contains(&format!("application/default/{name}")), "{claim}");
    }
    expected.sort();
    let mut files = organization.files("catalog", "main");
    files.sort();
    assert_eq!(files, expected);
    // Who has it keeps it, and who has not is refused again.
    look(&deliver_all(), &["unchanged"]);
    assert_eq!(api("GET", &organization.path("catalog", "/releases?draft=true"), &Value::Null), json!([]));
}
