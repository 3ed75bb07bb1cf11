//! What happens to requests, as those see it who make, review and look after them.

use crate::support::gitea::User;
use crate::support::until;
use crate::world::{self, Team, World, condition, is_current, kubectl, person, run};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

pub fn people_read_what_a_team_is(world: &World) {
    let team = world.kubernetes.get("/apis/platform.kratix.io/v1alpha1/promises/team").unwrap();
    assert_eq!(condition(&team, "Available")["status"], "True", "{team}");
    let namespace = world.namespace("read");
    let head = kubectl(&["get", "teams", "--all-namespaces"]);
    assert!(!head.contains("error"), "{head}");
    let team = world.team(&namespace, "read", "read");
    team.apply(&json!({"name": "Readers"}));
    team.delivered(90);
    let shown = kubectl(&["get", "teams", "--namespace", &namespace]);
    let mut lines = shown.lines();
    let columns: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(columns, ["NAME", "ID", "EMAIL", "MESSAGE", "AGE"]);
    let line = lines.next().unwrap();
    let mail = format!("{}@example.com", team.managed.0);
    for part in ["read", &team.managed.0, &mail, "pull request #"] {
        assert!(line.contains(part), "{shown}");
    }
    let explained = kubectl(&["explain", "teams.spec", "--api-version=platform.kratix.io/v1alpha1"]);
    for part in ["What a Team is to be.", "allowNetworkFrom\t<[]string>", "id\t<string> -required-", "quota\t<Object>"]
    {
        assert!(explained.contains(part), "{explained}");
    }
    let explained = kubectl(&["explain", "teams.spec.id", "--api-version=platform.kratix.io/v1alpha1"]);
    assert!(explained.contains("The Team's id, for ever: its organisation in Gitea"), "{explained}");
    pods_are_ours(world, &team);
}

/// The steps ran our image as nobody, on a file system that they cannot write, within 64 MiB; none was restarted.
fn pods_are_ours(world: &World, team: &Team) {
    let pods = world.kubernetes.list(&format!("/api/v1/namespaces/{}/pods", team.namespace));
    let mut steps = BTreeMap::new();
    for pod in &pods {
        let spec = &pod["spec"];
        let mounts_secret = spec["volumes"].as_array().into_iter().flatten().any(|volume| !volume["secret"].is_null());
        assert!(!mounts_secret, "{pod}");
        let statuses = pod["status"]["initContainerStatuses"].as_array().into_iter().flatten();
        let ids: BTreeMap<_, _> = statuses.map(|s| (s["name"].as_str().unwrap(), s)).collect();
        for step in spec["initContainers"].as_array().unwrap() {
            let name = step["name"].as_str().unwrap();
            if !matches!(name, "claim" | "deliver" | "delete") {
                continue;
            }
            assert_eq!(step["image"], world.image, "{step}");
            let security = &step["securityContext"];
            assert_eq!([&security["runAsNonRoot"], &security["readOnlyRootFilesystem"]], [true, true], "{step}");
            assert_eq!([&security["runAsUser"], &security["runAsGroup"]], [65532, 65532], "{step}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{step}");
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{step}");
            assert_eq!(step["resources"]["limits"]["memory"], "64Mi", "{step}");
            assert_eq!(ids[name]["restartCount"], 0, "{pod}");
            *steps.entry(name).or_insert(0) += 1;
        }
    }
    assert!(steps.len() == 2, "{steps:?} of {} Pods", pods.len());
}

/// From one request to every cluster of an environment, and out of them again.
pub fn an_application_reaches_every_cluster(world: &World) {
    let namespace = world.namespace("applications");
    let team = world.team(&namespace, "owners", "owners");
    let id = team.managed.0.as_str();
    team.apply(&json!({"name": "Owners"}));
    let environment = world.environment("e2e");
    let cluster = |name: &str| json!({"name": name, "stateStore": world.store(), "gateways": {"public": {"namespace": "gateways", "name": "public", "domain": format!("{name}.example.com")}}});
    let spec = |clusters: &[&str], standard: &str, replicas: u64| {
        json!({
            "clusters": clusters.iter().map(|name| cluster(name)).collect::<Vec<_>>(),
            "podSecurity": standard, "settings": {"maxReplicas": replicas}, "rollout": {"batch": 2, "pauseSeconds": 2},
        })
    };
    environment.apply(&spec(&["a", "b"], "restricted", 5));
    environment.delivered();
    team.delivered(90);
    // What the platform's own cluster applies.
    let stored = world.paths_of_state("platform/resources/platform/environment/e2e/");
    assert_eq!(stored.len(), 2, "{stored:?}");
    for path in stored {
        let destination: Value = serde_yaml::from_str(&world.text_of_state(&path)).unwrap();
        let name = destination["metadata"]["name"].as_str().unwrap();
        world.kubernetes.apply(&format!("/apis/platform.kratix.io/v1alpha1/destinations/{name}"), &destination);
    }
    let files = |cluster: &str| {
        let folder = format!("environments/e2e/{cluster}/resources/{namespace}/application/shop/");
        world.paths_of_state(&folder)
    };
    let application = |name: &str, version: &str| {
        let request = world.application(&namespace, name);
        request.apply(&json!({
            "team": id,
            "components": [{"name": "web", "type": "webapp", "port": 80, "visibility": "public", "host": "shop.example.com", "replicas": 3}],
            "instances": [{"environment": "e2e", "image": "registry.example.com/shop", "version": version}],
        }));
        request
    };
    let shop = application("shop", "1");
    let shown = shop.delivered();
    assert_eq!(shown["status"]["versions"], "e2e 1", "{shown}");
    assert_eq!(shown["status"]["instances"][0]["namespace"], format!("{id}--shop--e2e"), "{shown}");
    for cluster in ["a", "b"] {
        let found = until(60, || format!("files in {cluster}"), || files(cluster).first().cloned());
        let text = world.text_of_state(&found);
        assert!(text.contains("image: \"registry.example.com/shop:1\"") && text.contains("kind: HTTPRoute"), "{text}");
    }

    // A host is one Application's.
    let thief = application("thief", "1");
    let refused = thief.wait(90, "to be refused", |it| condition(it, "Delivered")["reason"] == "RequestWrong");
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("belongs to Application {namespace}/shop")), "{message}");
    assert_eq!(refused["status"]["goldpath"]["violations"][0]["path"], "spec.components[0].host", "{refused}");
    thief.delete();
    until(90, || "the refused to be gone".to_owned(), || thief.get().is_none().then_some(()));

    // What would make it wrong does not touch it, and says so.
    environment.apply(&spec(&["a", "b"], "restricted", 2));
    let shown = environment.wait(90, "to say what would be wrong", |it| {
        it["status"]["applications"]["wrong"].as_array().is_some_and(|w| w.len() == 1)
    });
    let wrong = shown["status"]["applications"]["wrong"][0].as_str().unwrap();
    assert!(wrong.contains("shop: ") && wrong.contains("is 3, and `e2e` allows 2"), "{shown}");
    let before = shop.get().unwrap()["status"]["references"].clone();

    // What changes it reaches it by itself.
    environment.apply(&spec(&["a", "b"], "baseline", 5));
    shop.wait(120, "to follow its Environment", |it| {
        it["status"]["references"] != before && condition(it, "Delivered")["status"] == "True"
    });
    let found = files("a").first().cloned().unwrap();
    let is_there = || world.text_of_state(&found).contains("enforce: baseline").then_some(());
    until(60, || "the change in the cluster".to_owned(), is_there);
    environment.wait(90, "all to have it", |it| {
        it["status"]["applications"] == json!({"current": 1, "behind": 0, "wrong": []})
    });

    // While it is wrong, it counts as it was last accepted.
    let mut wrong = spec(&["a", "b"], "restricted", 5);
    wrong["promotesFrom"] = "nowhere".into();
    environment.apply(&wrong);
    environment.wait(90, "to be refused", |it| condition(it, "Rendered")["reason"] == "RequestWrong");
    application("shop", "2").delivered();
    let is_there = || {
        let text = world.text_of_state(&found);
        (text.contains("registry.example.com/shop:2") && text.contains("enforce: baseline")).then_some(())
    };
    until(60, || "the new version, by what was accepted".to_owned(), is_there);

    // A cluster that is taken out is emptied, and its Destination goes last.
    environment.apply(&spec(&["a"], "baseline", 5));
    until(120, || "the cluster to be empty".to_owned(), || files("b").is_empty().then_some(()));
    assert!(!files("a").is_empty());
    let destinations = || world.paths_of_state("platform/resources/platform/environment/e2e/");
    until(90, || "the Destination to be gone".to_owned(), || (destinations().len() == 1).then_some(()));

    // What is used stays.
    environment.delete();
    let held = environment
        .wait(90, "to be held", |it| it["status"]["message"].as_str().unwrap_or_default().contains("is used by"));
    assert!(held["status"]["message"].as_str().unwrap().contains(&format!("Application {namespace}/shop")), "{held}");
    shop.delete();
    until(120, || "the Application to be gone".to_owned(), || shop.get().is_none().then_some(()));
    until(60, || "its files to be gone".to_owned(), || files("a").is_empty().then_some(()));
    until(180, || "the Environment to be gone".to_owned(), || environment.get().is_none().then_some(()));
    let left: Vec<_> =
        world.files("catalog").into_iter().filter(|path| path.contains("e2e") || path.contains("shop")).collect();
    assert!(left.iter().all(|path| path.contains("goldpath-e2e")) || left.is_empty(), "{left:?}");
}

pub fn teams_are_created_changed_and_deleted(world: &World) {
    println!("{}", run(&mut world.look_at_teams()));
}

/// How the requests of a kind live.
struct Life {
    /// What the request is called in the cluster.
    name: &'static str,
    /// What it asks for, one after the other.
    edits: &'static [Edit],
    /// Has something made, as others would, for which nothing is destroyed, and gives the path by which it is removed.
    use_it: fn(&Team) -> String,
    /// What that is called in the status.
    in_use: &'static str,
    /// What its end destroys.
    removal: &'static str,
}

/// One edit of a request.
struct Edit {
    /// The spec beside its id.
    spec: fn([&User; 2]) -> Value,
    /// What it plans.
    plan: &'static str,
    /// Looks at what is there once it is applied.
    holds: fn(&Team, [&User; 2], &Value),
}

/// A row for each kind.
const LIVES: [Life; 1] = [Life {
    name: "life",
    edits: &[
        Edit {
            spec: |[ada, bob]| {
                let members = json!([{"username": ada.0, "role": "admin"}, {"username": bob.0, "role": "developer"}]);
                json!({"name": "Alpha", "members": members})
            },
            plan: "+5 ~0 -0",
            holds: |team, [ada, bob], shown| {
                assert_eq!(shown["status"]["outputs"]["organization_name"], team.managed.0.as_str());
                assert_eq!(team.managed.members("admin"), [ada.0.as_str()]);
                assert_eq!(team.managed.members("developer"), [bob.0.as_str()]);
            },
        },
        // A member that is gone: this is destroyed, so an owner must agree.
        Edit {
            spec: |[ada, _]| json!({"name": "Alpha", "members": [{"username": ada.0, "role": "admin"}]}),
            plan: "+0 ~0 -2",
            holds: |team, _, _| assert!(team.managed.members("developer").is_empty()),
        },
    ],
    use_it: |team| {
        let owner = &team.managed.0;
        let repository = json!({"name": "precious", "private": true});
        crate::support::gitea::api("POST", &format!("/orgs/{owner}/repos"), &repository);
        format!("/repos/{owner}/precious")
    },
    in_use: "organization-in-use",
    removal: "+0 ~0 -3",
}];

/// From the first request to the end, and from there to a beginning again.
pub fn every_kind_lives(world: &World) {
    let namespace = world.namespace("life");
    let people = [person("ada"), person("bob")];
    for life in &LIVES {
        let team = world.team(&namespace, life.name, life.name);
        for Edit { spec, plan, holds } in life.edits {
            let people = people.each_ref();
            team.apply(&spec(people));
            let shown = team.delivered(90);
            let phase = shown["status"]["goldpath"]["phase"].as_str().unwrap();
            assert!(phase.contains("review") || phase == "planning", "{shown}");
            let shown = team.review(plan);
            for kind in ["Rendered", "Delivered", "Reviewed", "Applied"] {
                assert_eq!(condition(&shown, kind)["status"], "True", "{shown}");
            }
            holds(&team, people, &shown);
        }

        // What others use is not destroyed, whoever approves.
        let used = (life.use_it)(&team);
        team.delete();
        let shown = team.wait(90, "its deletion to be held", |team| {
            team["metadata"]["deletionTimestamp"].is_string()
                && team["status"]["message"].as_str().unwrap_or_default().contains(life.in_use)
        });
        assert!(!shown["metadata"]["finalizers"].as_array().unwrap().is_empty(), "{shown}");
        assert_eq!(shown["status"]["goldpath"]["deletion"], true, "{shown}");
        assert!(!team.manifests().is_empty(), "the manifests stay until everything is destroyed");
        crate::support::gitea::api("DELETE", &used, &Value::Null);
        let number = team.pull();
        world.platform().dispatch("plan", &json!({"pull": number.to_string()}));
        team.approve(life.removal);
        until(180, || "the request to be gone".to_owned(), || team.get().is_none().then_some(()));
        assert!(team.managed.get().is_none());
        until(60, || "its files to be gone".to_owned(), || team.manifests().is_empty().then_some(()));
        for repository in ["catalog", "infrastructure"] {
            let files = world.files(repository);
            assert!(!files.iter().any(|path| path.contains(team.managed.0.as_str())), "{files:?}");
        }

        // The same id again, without what its people were.
        team.apply(&json!({"name": "Alpha again"}));
        team.delivered(90);
        team.review("+1 ~0 -0");
        assert_eq!(team.managed.get().unwrap()["full_name"], "Alpha again");
    }
}

pub fn namesakes_stay_apart(world: &World) {
    let teams = ["one", "two"].map(|which| world.team(&world.namespace(&format!("same-{which}")), "same", which));
    let [one, two] = &teams;
    let parents = [(one, "gp-e2e-nobody"), (two, one.managed.0.as_str())];
    for (team, parent) in parents {
        team.apply(&json!({"name": format!("Of {}", team.namespace), "parent": parent}));
    }
    for (team, parent) in parents {
        let shown = team.delivered(120);
        // A step may list Teams, in every namespace.
        let warnings = match parent {
            "gp-e2e-nobody" => json!(["`gp-e2e-nobody` is the id of no Team"]),
            _ => Value::Null,
        };
        assert_eq!(shown["status"]["goldpath"]["warnings"], warnings, "{shown}");
        assert_eq!(team.manifests().len(), 6, "{:?}", team.manifests());
        assert!(team.manifests().iter().all(|name| name.starts_with(&format!("team_{}_same_", team.namespace))));
    }
    let catalog = world.files("catalog");
    for team in &teams {
        assert!(catalog.contains(&format!("teams/{}.yaml", team.managed.0)), "{catalog:?}");
    }
    // A third that takes an id is refused, with who has it; and what is there stays.
    let taker = world.team(&two.namespace, "taker", "one");
    taker.apply(&json!({"name": "Taker"}));
    let owner = format!("{}/same", one.namespace);
    taker.wait(90, "to be refused", |team| team["status"]["message"].as_str().unwrap_or_default().contains(&owner));
    taker.delete();
    // Of what was never merged nothing is there to be destroyed.
    one.delete();
    for gone in [&taker, one] {
        until(180, || format!("{}/{} to be gone", gone.namespace, gone.name), || gone.get().is_none().then_some(()));
    }
    until(60, || "its files to be gone".to_owned(), || one.manifests().is_empty().then_some(()));
    assert_eq!(two.manifests().len(), 6);
    let catalog = world.files("catalog");
    let is_there = |team: &Team| catalog.contains(&format!("teams/{}.yaml", team.managed.0));
    assert_eq!([is_there(one), is_there(two)], [false, true], "{catalog:?}");
}

pub fn a_dry_run_changes_nothing(world: &World) {
    if world::is_real() {
        // Without it Kratix leaves a DryRun as it is, and says nothing.
        let config = world.kubernetes.get("/api/v1/namespaces/kratix-platform-system/configmaps/kratix");
        let is_on =
            config.is_some_and(|map| map["data"]["config"].as_str().is_some_and(|c| c.contains("dryRun: true")));
        assert!(is_on, "Kratix's preview is off: see scripts/02-install-kratix.sh");
    }
    let namespace = world.namespace("dry");
    let group = "/apis/platform.kratix.io/v1alpha1";
    let platform = world.kubernetes.get(&format!("{group}/destinations/platform")).unwrap();
    let destination = json!({
        "apiVersion": "platform.kratix.io/v1alpha1",
        "kind": "Destination",
        "metadata": {"name": "goldpath-e2e-dry-run", "labels": {"kratix.io/dry-run": "true"}},
        "spec": {
            "path": "goldpath-e2e-dry-run",
            "stateStoreRef": platform["spec"]["stateStoreRef"],
            "filepath": {"mode": "nestedByMetadata"},
            "strictMatchLabels": true,
        },
    });
    world.kubernetes.apply(&format!("{group}/destinations/goldpath-e2e-dry-run"), &destination);
    let head = |world: &World| ["catalog", "infrastructure"].map(|r| world.commits(r));
    let team = world.team(&namespace, "dry", "dry");
    team.apply(&json!({"name": "Wet"}));
    team.delivered(90);
    let number = team.pull();
    let shown = |world: &World| {
        world.platform().organization.pulls("infrastructure").into_iter().find(|p| p["number"] == number).unwrap()
    };
    let (before, pull, manifests) = (head(world), shown(world)["head"]["sha"].clone(), team.manifests());
    let dry_run = json!({
        "apiVersion": "platform.kratix.io/v1alpha1",
        "kind": "DryRun",
        "metadata": {"name": "dry", "namespace": namespace},
        "spec": {
            "promiseRef": {"name": "team"},
            "resourceRequestRef": {"name": "dry", "namespace": namespace},
            "resource": {"id": team.managed.0, "name": "Dry", "quota": {"pods": 7}},
        },
    });
    let path = format!("{group}/namespaces/{namespace}/dryruns/dry");
    world.kubernetes.apply(&path, &dry_run);
    until(
        180,
        || "the dry run to be completed".to_owned(),
        || (condition(&world.kubernetes.get(&path)?, "Completed")["status"] == "True").then_some(()),
    );
    assert_eq!((head(world), team.manifests()), (before, manifests));
    let now = shown(world);
    assert_eq!([&now["head"]["sha"], &now["state"]], [&pull, &json!("open")]);
    assert!(!now["title"].as_str().unwrap().contains("Dry"), "{now}");
    let dry = world.paths_of_state("goldpath-e2e-dry-run/");
    assert!(dry.iter().any(|path| path.ends_with("_quota.yaml")), "{dry:?}");
    // What it was made with goes with it.
    world.kubernetes.delete(&path);
    let teams = format!("{group}/namespaces/{namespace}/teams");
    until(
        120,
        || "the dry run's request to be gone".to_owned(),
        || (world.kubernetes.list(&teams).len() == 1).then_some(()),
    );
    world.kubernetes.delete(&format!("{group}/destinations/goldpath-e2e-dry-run"));
}

pub fn a_request_survives_a_new_version(world: &World) {
    let namespace = world.namespace("upgrade");
    let team = world.team(&namespace, "upgrade", "upgrade");
    team.apply(&json!({"name": "Lasting"}));
    team.delivered(90);
    let before = team.review("+1 ~0 -0");
    let manifests = team.manifests();
    let commits = |world: &World| ["catalog", "infrastructure"].map(|r| world.commits(r));
    let (commits_before, jobs) = (commits(world), team.jobs().len());

    // A version that knows one more field.
    let wait_for_field = |is_there: bool| {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/teams.platform.kratix.io";
        until(
            60,
            || format!("a CRD in which the field is: {is_there}"),
            || {
                let crd = world.kubernetes.get(path)?;
                let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
                (spec["properties"]["later"].is_object() == is_there).then_some(())
            },
        );
    };
    let path = "/apis/platform.kratix.io/v1alpha1/promises/team";
    let mut promise = world.kubernetes.get(path).unwrap();
    let versions = promise["spec"]["api"]["spec"]["versions"].clone();
    promise["metadata"] = json!({"name": "team", "labels": {"kratix.io/promise-version": "v0.2.0"}});
    promise.as_object_mut().unwrap().remove("status");
    let field = json!({"type": "string", "description": "A field of a later version."});
    promise["spec"]["api"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["later"] =
        field;
    world.kubernetes.apply(path, &promise);
    wait_for_field(true);
    until(120, || "its Jobs to run again".to_owned(), || (team.jobs().len() > jobs).then_some(()));
    let after = team.wait(120, "to be as it was", |team| {
        is_current(team)
            && team["status"]["goldpath"]["phase"] == "applied"
            && team["status"]["kratix"]["workflows"]["suspendedGeneration"].is_null()
    });
    for key in ["repositories", "phase"] {
        assert_eq!(after["status"]["goldpath"][key], before["status"]["goldpath"][key], "{after}");
    }
    assert_eq!((team.manifests(), commits(world)), (manifests, commits_before));
    assert_eq!(after["spec"], before["spec"]);

    promise["spec"]["api"]["spec"]["versions"] = versions;
    promise["metadata"]["labels"]["kratix.io/promise-version"] = "v0.1.0".into();
    world.kubernetes.apply(path, &promise);
    wait_for_field(false);
}

/// How long it takes until the manifests of as many Teams are in git, beside as many requests whose one container writes
/// one file.
pub fn many_teams_at_once(world: &World) {
    let count = 50;
    let [minimal, ours] = ["many-minimal", "many"].map(|name| world.namespace(name));
    install_minimal(world);
    let begin = Instant::now();
    for number in 0..count {
        let name = format!("m{number}");
        let object = json!({"apiVersion": "e2e.goldpath.dev/v1alpha1", "kind": "Minimal", "metadata": {"name": name, "namespace": minimal}, "spec": {}});
        world
            .kubernetes
            .apply(&format!("/apis/e2e.goldpath.dev/v1alpha1/namespaces/{minimal}/minimals/{name}"), &object);
    }
    let least = in_git(world, &minimal, "minimal", count, begin);
    let least_jobs = jobs(world, &minimal);

    let teams: Vec<_> =
        (0..count).map(|number| world.team(&ours, &format!("t{number}"), &format!("many-{number}"))).collect();
    let commits = |world: &World| world.commits("catalog");
    let commits_before = commits(world);
    let begin = Instant::now();
    for team in &teams {
        team.apply(&json!({"name": format!("Team {}", team.name)}));
    }
    let time = in_git(world, &ours, "team", count, begin);
    println!("{count} requests of one container: {least:.1} s, {least_jobs} Jobs");
    println!("{count} Teams: {time:.1} s, {} Jobs; {:.2} times", jobs(world, &ours), time / least);
    for team in &teams {
        team.delivered(600);
        assert_eq!(team.manifests().len(), 6);
    }
    let (seconds, commits) = (begin.elapsed().as_secs_f64(), commits(world) - commits_before);
    println!(
        "{count} Teams: all say that they are delivered after {seconds:.1} s, with {commits} commits to the catalog"
    );
    let catalog = world.files("catalog");
    let there = teams.iter().filter(|team| catalog.contains(&format!("teams/{}.yaml", team.managed.0))).count();
    assert_eq!(there, count);
    let pulls = world.platform().organization.pulls("infrastructure");
    let ours = pulls.iter().filter(|p| p["head"]["ref"].as_str().unwrap().contains(&format!("team/{ours}/"))).count();
    assert_eq!(ours, count);
    if world::is_real() {
        assert!(time <= 1.5 * least, "{time:.1} s are more than one and a half times {least:.1} s");
    }
}

/// A Promise that does the least: its only container writes one manifest.
fn install_minimal(world: &World) {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "minimals.e2e.goldpath.dev"},
        "spec": {
            "group": "e2e.goldpath.dev",
            "scope": "Namespaced",
            "names": {"kind": "Minimal", "plural": "minimals", "singular": "minimal"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
            }],
        },
    });
    let write = r#"printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n' "$KRATIX_OBJECT_NAME" >/kratix/output/configmap.yaml"#;
    let container = json!({"name": "write", "image": shell_image(world), "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", write]});
    let pipeline = json!({"apiVersion": "platform.kratix.io/v1alpha1", "kind": "Pipeline", "metadata": {"name": "write"}, "spec": {"containers": [container]}});
    let promise = json!({
        "apiVersion": "platform.kratix.io/v1alpha1",
        "kind": "Promise",
        "metadata": {"name": "minimal"},
        "spec": {
            "destinationSelectors": [{"matchLabels": {"environment": "platform"}}],
            "api": crd,
            "workflows": {"resource": {"configure": [pipeline]}},
        },
    });
    let path = "/apis/platform.kratix.io/v1alpha1/promises/minimal";
    world.kubernetes.apply(path, &promise);
    until(
        60,
        || "the minimal Promise to be available".to_owned(),
        || (condition(&world.kubernetes.get(path)?, "Available")["status"] == "True").then_some(()),
    );
}

/// An image with a shell that the node has: that of the container with which each of Kratix's Pods begins.
pub fn shell_image(world: &World) -> Value {
    let namespace = world.namespace("shell");
    let team = world.team(&namespace, "shell", "shell");
    team.apply(&json!({"name": "Shell"}));
    let job = until(60, || "a Job".to_owned(), || team.jobs().into_iter().next());
    job["spec"]["template"]["spec"]["initContainers"][0]["image"].clone()
}

/// Waits until all requests of a namespace have files in git; gives the seconds since.
fn in_git(world: &World, namespace: &str, promise: &str, count: usize, begin: Instant) -> f64 {
    let folder = format!("platform/resources/{namespace}/{promise}/");
    until(
        600,
        || format!("the files of {count} {promise}s"),
        || {
            let stored = world.paths_of_state(&folder);
            let mut names: Vec<_> = stored.iter().filter_map(|path| path[folder.len()..].split('/').next()).collect();
            names.dedup();
            (names.len() >= count).then(|| begin.elapsed().as_secs_f64())
        },
    )
}

fn jobs(world: &World, namespace: &str) -> usize {
    world.kubernetes.list(&format!("/apis/batch/v1/namespaces/{namespace}/jobs")).len()
}
