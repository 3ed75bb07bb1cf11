//! A change of an Environment reaches the Applications that it concerns, some at a time.

use crate::support::until;
use crate::world::{Request, World, condition, is_current};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How many Applications there are, and of them: how many have a route, and how many have more replicas than the others.
const ALL: usize = 60;
const ROUTED: usize = 17;
const LARGE: usize = 3;
/// How many are at work at once.
const BATCH: usize = 10;

pub fn sixty_applications_follow_their_environment_in_waves(world: &World) {
    let namespace = world.namespace("waves");
    let team = world.team(&namespace, "owners", "waves");
    team.apply(&json!({"name": "Owners"}));
    let environment = world.environment("e2e-waves");
    let spec = |domain: &str, replicas: usize, security: &str| {
        let gateway = json!({"namespace": "gateways", "name": "public", "domain": domain});
        json!({
            "clusters": [{"name": "waves", "stateStore": world.store(), "gateways": {"public": gateway}}],
            "settings": {"maxReplicas": replicas}, "podSecurity": security, "rollout": {"batch": BATCH, "pauseSeconds": 2},
        })
    };
    environment.apply(&spec("a.example.com", 9, "restricted"));
    environment.delivered();
    team.delivered(90);
    let applications: Vec<_> = (0..ALL).map(|number| world.application(&namespace, &format!("a{number:02}"))).collect();
    for (number, application) in applications.iter().enumerate() {
        let component = match number {
            0..ROUTED => json!({"name": "web", "type": "webapp", "port": 80, "visibility": "public"}),
            _ if number < ROUTED + LARGE => json!({"name": "work", "type": "worker", "replicas": 9}),
            _ => json!({"name": "work", "type": "worker"}),
        };
        let instances = json!([{"environment": "e2e-waves", "image": "registry.example.com/a", "version": "1"}]);
        application.apply(&json!({"team": team.managed.0, "components": [component], "instances": instances}));
    }
    let begin = Instant::now();
    until(
        1200,
        || "all to be delivered".to_owned(),
        || {
            let all = world.kubernetes.list(&applications[0].collection());
            let is_done = |it: &Value| condition(it, "Delivered")["status"] == "True" && !is_at_work(it);
            (all.len() == ALL && all.iter().all(is_done)).then_some(())
        },
    );
    println!("waves: {ALL} Applications are delivered in {} s", begin.elapsed().as_secs());

    // What changes all of them reaches all.
    let seen = follow(world, &applications[0], &environment, &spec("a.example.com", 9, "baseline"));
    assert_eq!(seen.runs.len(), ALL, "{:?}", seen.runs);
    assert_eq!(seen.shown, json!({"current": ALL, "behind": 0, "wrong": []}));
    seen.check();

    // What would make all of them wrong touches none.
    let mut nobody = spec("a.example.com", 9, "baseline");
    nobody["teams"] = json!(["somebody-else"]);
    let seen = follow(world, &applications[0], &environment, &nobody);
    assert!(seen.runs.is_empty(), "{:?}", seen.runs);
    let wrong = seen.shown["wrong"].as_array().unwrap();
    assert_eq!((wrong.len(), &seen.shown["current"]), (50, &json!(0)), "{}", seen.shown);
    assert!(wrong[0].as_str().unwrap().contains("`e2e-waves` is not for the Team"), "{}", wrong[0]);
    assert!(seen.message.contains("a00") && seen.message.contains("and 59 more"), "{}", seen.message);

    // What makes some of them wrong, and leaves others as they are, reaches the rest.
    let seen = follow(world, &applications[0], &environment, &spec("b.example.com", 1, "baseline"));
    assert_eq!(seen.runs.len(), ROUTED, "{:?}", seen.runs);
    assert_eq!((&seen.shown["current"], &seen.shown["behind"]), (&json!(ALL - LARGE), &json!(0)), "{}", seen.shown);
    assert_eq!(seen.shown["wrong"].as_array().unwrap().len(), LARGE, "{}", seen.shown);
    seen.check();

    applications.iter().for_each(Request::delete);
    until(
        900,
        || "all to be gone".to_owned(),
        || world.kubernetes.list(&applications[0].collection()).is_empty().then_some(()),
    );
    environment.delete();
    until(120, || "the Environment to be gone".to_owned(), || environment.get().is_none().then_some(()));
}

/// What was seen of a change.
struct Seen {
    /// The Jobs of each Application that ran, by the Pipeline's name.
    runs: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// The most that were at work at once.
    most: usize,
    /// What the Environment's status says in the end.
    shown: Value,
    message: String,
}

impl Seen {
    fn check(&self) {
        println!("waves: {} Applications in {} at most at once", self.runs.len(), self.most);
        assert!((2..=BATCH).contains(&self.most), "{} were at work at once", self.most);
        let twice: Vec<_> = self.runs.iter().filter(|(_, runs)| runs.values().any(|jobs| jobs.len() > 1)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

/// Edits the Environment, and looks until its status says that nobody is left.
fn follow(world: &World, one: &Request<'_>, environment: &Request<'_>, spec: &Value) -> Seen {
    let jobs = || world.kubernetes.list(&format!("/apis/batch/v1/namespaces/{}/jobs", one.namespace));
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let before: BTreeSet<_> = jobs().iter().map(|job| text(job, "/metadata/uid")).collect();
    environment.apply(spec);
    let mut seen = Seen { runs: BTreeMap::new(), most: 0, shown: Value::Null, message: String::new() };
    let begin = Instant::now();
    let mut quiet = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(1800), "{} of {}", seen.most, seen.shown);
        let at_work = world.kubernetes.list(&one.collection()).iter().filter(|it| is_at_work(it)).count();
        seen.most = seen.most.max(at_work);
        for job in jobs() {
            let (uid, pipeline) =
                (text(&job, "/metadata/uid"), text(&job, "/metadata/labels/kratix.io~1pipeline-name"));
            if !before.contains(&uid) && text(&job, "/metadata/labels/kratix.io~1promise-name") == "application" {
                let name = text(&job, "/metadata/labels/kratix.io~1resource-name");
                seen.runs.entry(name).or_default().entry(pipeline).or_default().insert(uid);
            }
        }
        let object = environment.get().unwrap();
        let is_over = is_current(&object) && !is_at_work(&object) && object["status"]["goldpath"]["phase"] == "applied";
        let is_settled =
            is_over && at_work == 0 && object["status"]["kratix"]["workflows"]["suspendedGeneration"].is_null();
        if !is_settled {
            quiet = Instant::now();
        } else if quiet.elapsed() > Duration::from_secs(5) {
            println!("waves: {} s", begin.elapsed().as_secs() - 5);
            seen.shown = object["status"]["applications"].clone();
            seen.message = text(&object, "/status/message");
            return seen;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether a request's Pipelines run, or are asked to.
fn is_at_work(request: &Value) -> bool {
    let label = |name: &str| request["metadata"]["labels"][name] == "true";
    let run = condition(request, "ConfigureWorkflowCompleted");
    label("kratix.io/manual-reconciliation") || run["status"] != "True" && !label("kratix.io/workflow-suspended")
}
