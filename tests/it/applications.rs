//! What Applications become, as a whole: that it fits together, that it stays as it is, and that no value becomes structure.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::{binary, hostile};
use goldpath::commit::{Task, delivery};
use goldpath::config::Config;
use goldpath::document::{Node, parse};
use goldpath::known::{Answer, Known, Need, Source};
use goldpath::outcome::{Action, Extent};
use goldpath::outputs::{Outputs, Role, Unrendered};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Documents that are given by hand.
struct Given(Vec<Arc<Node>>);

impl Given {
    fn of(texts: &[String]) -> Self {
        Self(texts.iter().flat_map(|text| parse(text.as_bytes()).unwrap()).map(Arc::new).collect())
    }
}

impl Source for Given {
    fn look(&self, needs: &BTreeSet<Need>) -> anyhow::Result<Known> {
        let answer = |need: &Need| {
            let is_it = |document: &&Arc<Node>| goldpath::promise::need_of(document).as_ref() == Some(need);
            let found: Vec<_> = self.0.iter().filter(is_it).cloned().collect();
            match found.is_empty() && matches!(need, Need::Request { .. }) {
                true => Answer::Absent(Default::default()),
                false => Answer::Found(found),
            }
        };
        Ok(Known(needs.iter().map(|need| (need.clone(), answer(need))).collect()))
    }
}

/// The Team and the Environments of the golden case `example`.
fn neighbours() -> Given {
    let folder = format!("{ROOT}/promises/application/cases/example/with");
    Given::of(&["team.yaml", "environments.yaml"].map(|name| fs::read_to_string(format!("{folder}/{name}")).unwrap()))
}

fn request(spec: &Value) -> Value {
    json!({
        "apiVersion": "platform.kratix.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "people"}, "spec": spec,
    })
}

fn render(spec: &Value) -> Result<Outputs, Vec<String>> {
    // In quotes, and with what YAML does not take as it is escaped.
    let escaped = |c: char| match u32::from(c) {
        code @ 0x7f..=0xffff => format!("\\u{code:04x}"),
        _ => c.to_string(),
    };
    let document: String = request(spec).to_string().chars().map(escaped).collect();
    let node = parse(document.as_bytes()).unwrap().remove(0);
    match goldpath::generate_with(&node, &Config::default(), &neighbours()) {
        Ok((_, outputs)) => Ok(outputs),
        Err(Unrendered::Wrong(faults)) => Err(faults.iter().map(|f| format!("{} {}", f.path, f.rule)).collect()),
        Err(other) => panic!("{other:?}"),
    }
}

fn documents(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    let documents = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

/// All objects, by the Destination's folder.
fn objects(outputs: &Outputs) -> BTreeMap<String, Vec<Value>> {
    let folder = |path: &str| path.split('/').next().unwrap().to_owned();
    outputs.manifests.iter().map(|(path, content)| (folder(path.as_str()), documents(content))).collect()
}

fn of<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn one<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
    objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap_or(&Value::Null)
}

fn pod(workload: &Value) -> &Value {
    let template =
        if workload["kind"] == "CronJob" { &workload["spec"]["jobTemplate"]["spec"] } else { &workload["spec"] };
    &template["template"]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

/// Every file of manifests of a golden case of Applications.
fn golden_files() -> Vec<PathBuf> {
    fn files(folder: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }
    let all = files(Path::new(&format!("{ROOT}/promises/application/cases")));
    let is_output = |path: &PathBuf| path.display().to_string().contains("/output/");
    all.into_iter().filter(is_output).collect()
}

#[test]
fn the_objects_of_every_golden_tree_fit_together() {
    let mut seen = BTreeMap::<&str, usize>::new();
    let files = golden_files();
    for file in &files {
        let all = documents(&fs::read(file).unwrap());
        let at = file.display();
        let namespace = &of(&all, "Namespace")[0]["metadata"]["name"];
        let workloads: Vec<_> = [of(&all, "Deployment"), of(&all, "CronJob")].concat();
        let mut count = |what| *seen.entry(what).or_default() += 1;
        for object in all.iter().filter(|object| object["kind"] != "Namespace") {
            assert_eq!(object["metadata"]["namespace"], *namespace, "{at}: {object}");
        }
        for object in &all {
            let metadata = &object["metadata"];
            assert!(metadata["annotations"]["goldpath.dev/request"].is_string(), "{at}: {object}");
            for label in ["team", "application", "environment"] {
                assert!(metadata["labels"][format!("goldpath.dev/{label}")].is_string(), "{at}: {object}");
            }
        }
        for deployment in of(&all, "Deployment") {
            count("selector");
            assert!(
                selects(&deployment["spec"]["selector"]["matchLabels"], &pod(deployment)["metadata"]["labels"]),
                "{at}"
            );
        }
        // Of those that an environment leaves out, nothing else is looked for.
        let pods_of = |selector: &Value| -> Vec<&Value> {
            workloads.iter().copied().filter(|w| selects(selector, &pod(w)["metadata"]["labels"])).collect()
        };
        let has_port = |workload: &Value, name: &Value| {
            let containers = list(&pod(workload)["spec"]["containers"]);
            containers.iter().flat_map(|c| list(&c["ports"])).any(|port| port["name"] == *name)
        };
        for service in of(&all, "Service") {
            let pods = pods_of(&service["spec"]["selector"]);
            assert_eq!(pods.len(), usize::from(!workloads.is_empty()), "{at}: {service}");
            for port in list(&service["spec"]["ports"]) {
                count("service port");
                assert!(pods.iter().all(|workload| has_port(workload, &port["targetPort"])), "{at}: {port}");
            }
        }
        for workload in &workloads {
            let spec = &pod(workload)["spec"];
            let account = spec["serviceAccountName"].as_str().unwrap();
            assert!(!one(&all, "ServiceAccount", account).is_null(), "{at}: {account}");
            for volume in list(&spec["volumes"]) {
                let name = volume["configMap"]["name"].as_str().unwrap_or_default();
                if name.contains("--files-") {
                    count("file");
                    assert!(!one(&all, "ConfigMap", name).is_null(), "{at}: {name}");
                }
            }
            let containers = [list(&spec["initContainers"]), list(&spec["containers"])].concat();
            let volumes: BTreeSet<_> = list(&spec["volumes"]).iter().map(|v| v["name"].as_str().unwrap()).collect();
            for container in &containers {
                for mount in list(&container["volumeMounts"]) {
                    count("mount");
                    assert!(volumes.contains(mount["name"].as_str().unwrap()), "{at}: {mount}");
                }
                for variable in list(&container["env"]) {
                    let reference = &variable["valueFrom"]["secretKeyRef"];
                    let name = reference["name"].as_str().unwrap_or_default();
                    if name.ends_with("--external") {
                        count("external secret");
                        let data = list(&one(&all, "ExternalSecret", name)["spec"]["data"]);
                        assert!(data.iter().any(|entry| entry["secretKey"] == reference["key"]), "{at}: {variable}");
                    }
                }
                for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                    for kind in ["httpGet", "tcpSocket"] {
                        let port = &container[probe][kind]["port"];
                        if !port.is_null() {
                            count("probe");
                            assert!(has_port(workload, port), "{at}: {port}");
                        }
                    }
                }
            }
        }
        for kind in ["HTTPRoute", "GRPCRoute", "TCPRoute", "UDPRoute"] {
            for route in of(&all, kind) {
                count(kind);
                let backend = &route["spec"]["rules"][0]["backendRefs"][0];
                let service = one(&all, "Service", backend["name"].as_str().unwrap());
                assert!(
                    list(&service["spec"]["ports"]).iter().any(|port| port["port"] == backend["port"]),
                    "{at}: {route}"
                );
            }
        }
        for scaler in of(&all, "HorizontalPodAutoscaler") {
            count("autoscaler");
            let target = &scaler["spec"]["scaleTargetRef"];
            let deployment = one(&all, "Deployment", target["name"].as_str().unwrap());
            assert_eq!(target["apiVersion"], deployment["apiVersion"], "{at}");
            assert!(deployment["spec"]["replicas"].is_null(), "{at}: both say how many there are");
        }
        for budget in of(&all, "PodDisruptionBudget") {
            count("budget");
            assert_eq!(pods_of(&budget["spec"]["selector"]["matchLabels"]).len(), 1, "{at}: {budget}");
        }
        for policy in of(&all, "NetworkPolicy") {
            let selector = &policy["spec"]["podSelector"]["matchLabels"];
            assert!(
                selector.is_null() || pods_of(selector).len() == usize::from(!workloads.is_empty()),
                "{at}: {policy}"
            );
        }
    }
    assert!(files.len() >= 13, "only {} files were seen", files.len());
    let least = [
        "selector",
        "service port",
        "file",
        "mount",
        "external secret",
        "probe",
        "HTTPRoute",
        "GRPCRoute",
        "TCPRoute",
        "UDPRoute",
        "autoscaler",
        "budget",
    ];
    assert!(least.iter().all(|what| seen.contains_key(what)), "{seen:?}");
}

/// Four components of which each has an address of another.
fn spec() -> Value {
    let component = |n: usize| {
        json!({
            "name": format!("c{n}"), "type": "webapp", "port": 8080 + n, "visibility": "public",
            "env": [{"name": "NEXT", "component": format!("c{}", (n + 1) % 4)}], "replicas": 2,
        })
    };
    json!({
        "team": "alpha",
        "components": (0..4).map(component).collect::<Vec<_>>(),
        "instances": [{"environment": "dev", "image": "registry.example.com/shop", "version": "1"}],
    })
}

/// The Pod templates of an Application, by component.
fn pods(spec: &Value) -> BTreeMap<String, Value> {
    let outputs = render(spec).unwrap();
    let all: Vec<_> = objects(&outputs).into_values().flatten().collect();
    let workloads = [of(&all, "Deployment"), of(&all, "CronJob")].concat();
    workloads.iter().map(|w| (w["metadata"]["name"].as_str().unwrap().to_owned(), pod(w).clone())).collect()
}

fn edits() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        (1..9).prop_map(|n| ("replicas", json!(n))),
        "[a-z]{1,9}".prop_map(|text| ("args", json!([text]))),
        "[a-z]{1,9}".prop_map(|text| ("version", json!(text))),
        any::<bool>().prop_map(|is| ("spread", json!(is))),
        "[a-z]{1,9}".prop_map(|text| ("labels", json!({"a": text}))),
        "[a-z]{1,9}".prop_map(|text| ("files", json!([{"path": "/etc/a", "content": text}]))),
        (1..9).prop_map(|n| ("cpu", json!(format!("{n}00m")))),
        Just(("enabled", json!(false))),
        (2..9).prop_map(|n| ("autoscaling", json!({"min": 2, "max": n}))),
        "[a-z]{1,9}".prop_map(|text| ("host", json!(format!("{text}.example.com")))),
        Just(("metrics", json!({"port": 9090}))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn an_edit_restarts_the_pods_of_its_component_and_no_others((field, value) in edits(), n in 0_usize..4) {
        let mut edited = spec();
        if field == "autoscaling" {
            edited["components"][n].as_object_mut().unwrap().remove("replicas");
        }
        edited["components"][n][field] = value;
        let (before, after) = (pods(&spec()), pods(&edited));
        for (name, pod) in &after {
            prop_assert!(*name == format!("c{n}") || before[name] == *pod, "{} of c{} changes {}", field, n, name);
        }
        // What is no Pod's is in no Pod.
        if matches!(field, "replicas" | "autoscaling" | "host") {
            prop_assert_eq!(before, after);
        }
    }
}

#[test]
fn no_text_becomes_structure() {
    let count = |spec: &Value| objects(&render(spec).unwrap()).values().map(Vec::len).collect::<Vec<_>>();
    let with = |text: &str| {
        let mut spec = spec();
        let component = &mut spec["components"][0];
        component["env"] = json!([{"name": "A", "value": text}]);
        component["args"] = json!([text]);
        component["command"] = json!([text]);
        component["files"] = json!([{"path": "/etc/a", "content": text}]);
        component["annotations"] = json!({"example.com/a": text});
        component["liveness"] = json!({"exec": {"command": [text]}});
        spec
    };
    let expected = count(&with("plain"));
    let mut seen = 0;
    for text in hostile::HOSTILE.iter().filter(|text| !text.contains(['\0', '\u{fdd0}', '\u{fdd1}'])) {
        let outputs = render(&with(text)).unwrap();
        let all = objects(&outputs);
        assert_eq!(all.values().map(Vec::len).collect::<Vec<_>>(), expected, "{text:?}");
        let all: Vec<_> = all.into_values().flatten().collect();
        let deployment = one(&all, "Deployment", "c0");
        let container = &pod(deployment)["spec"]["containers"][0];
        assert_eq!(container["env"][0]["value"], *text);
        assert_eq!([&container["args"][0], &container["command"][0]], [*text, *text]);
        assert_eq!(container["livenessProbe"]["exec"]["command"][0], *text);
        assert_eq!(of(&all, "ConfigMap")[0]["data"]["0"], *text);
        assert_eq!(pod(deployment)["metadata"]["annotations"]["example.com/a"], *text);
        assert_eq!(deployment["metadata"]["annotations"]["example.com/a"], *text);
        seen += 1;
    }
    assert!(seen > 50);
}

/// What other generators of such objects got wrong.
#[test]
fn no_defect_of_those_before_us_is_here() {
    let mut spec = spec();
    spec["components"] = json!([
        {"name": "web", "type": "webapp", "port": 80, "visibility": "public", "host": "web.example.com", "autoscaling": {"min": 2, "max": 3},
            "command": ["python", "app.py"], "args": ["--port", "80"], "env": [{"name": "A", "value": "x\"\n  - y: z"}],
            "secrets": [{"name": "KEY", "external": {"key": "a", "store": {"name": "vault"}}}]},
        {"name": "inside", "type": "webapp", "port": 80},
        {"name": "off", "type": "worker", "enabled": false},
        {"name": "cron", "type": "cron", "schedule": "0 0 * * *", "cpu": "100m", "memory": "64Mi", "ttlSecondsAfterFinished": 60},
    ]);
    spec["instances"] = json!([
        {"environment": "dev", "image": "a/b", "version": "1"},
        {"environment": "production", "image": "a/b", "version": "1", "clusters": ["eu"]},
    ]);
    let all = objects(&render(&spec).unwrap());
    let (dev, production) = (&all["dev.eu-dev"], &all["production.eu"]);
    let web = &pod(one(dev, "Deployment", "web"))["spec"];
    let container = &web["containers"][0];
    // Words stay words: no shell takes the first of them for a script.
    assert_eq!((&container["command"], &container["args"]), (&json!(["python", "app.py"]), &json!(["--port", "80"])));
    // What a cron requests is its container's, and how long it is kept is its Job's.
    let job = &one(dev, "CronJob", "cron")["spec"]["jobTemplate"]["spec"];
    let cron = &job["template"]["spec"]["containers"][0];
    assert_eq!(cron["resources"]["requests"], json!({"cpu": "100m", "memory": "64Mi"}));
    assert!(cron["requests"].is_null() && cron["limits"].is_null());
    assert_eq!(job["ttlSecondsAfterFinished"], 60);
    assert!(
        job["template"]["spec"]["dnsConfig"].is_null() && job["template"]["spec"]["ttlSecondsAfterFinished"].is_null()
    );
    // Pods are spread by their own labels.
    let spread = &web["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"];
    assert!(selects(spread, &pod(one(dev, "Deployment", "web"))["metadata"]["labels"]), "{spread}");
    let target = &one(dev, "HorizontalPodAutoscaler", "web")["spec"]["scaleTargetRef"];
    assert_eq!(target["apiVersion"], "apps/v1");
    // Public is public, also where there is a private Gateway; what is for the cluster needs none.
    assert_eq!(one(production, "HTTPRoute", "web--main")["spec"]["parentRefs"][0]["name"], "public");
    assert!(one(production, "HTTPRoute", "inside--main").is_null() && !one(production, "Service", "inside").is_null());
    // What is off is not there.
    assert!(dev.iter().all(|object| object["metadata"]["name"] != "off"));
    assert_eq!(container["env"][0]["value"], "x\"\n  - y: z");
    // One namespace for each environment.
    assert_ne!(of(dev, "Namespace")[0]["metadata"]["name"], of(production, "Namespace")[0]["metadata"]["name"]);
    // A secret's keys stand where they are read.
    assert_eq!(one(dev, "ExternalSecret", "web--external")["spec"]["data"][0]["secretKey"], "KEY");
    assert!(of(dev, "Secret").is_empty());
    // No annotation that nobody asked for.
    assert_eq!(pod(one(dev, "Deployment", "web"))["metadata"]["annotations"], json!({}));
    // Names are names, and each is there once.
    spec["components"] =
        json!([{"name": "a b", "type": "worker"}, {"name": "c", "type": "worker"}, {"name": "c", "type": "worker"}]);
    assert_eq!(render(&spec).unwrap_err(), ["spec.components[0].name pattern", "spec.components[2].name duplicate"]);
}

/// Thousands of instances become one file a Destination, which Kratix can keep, or are refused before anything is written.
#[test]
fn what_kratix_cannot_keep_is_refused() {
    let mut spec = spec();
    let noise = |n: usize| goldpath::digest::sha256(n.to_string().as_bytes()).repeat(60);
    let component = |n: usize| json!({"name": format!("c{n}"), "type": "worker", "args": [noise(n), noise(n + 1000)]});
    spec["components"] = (0..300).map(component).collect();
    assert!(render(&spec).is_ok());
    let noise = |n: usize| (0..60).map(|m| goldpath::digest::sha256(format!("{n} {m}").as_bytes())).collect::<String>();
    let component = |n: usize| json!({"name": format!("c{n}"), "type": "worker", "args": [noise(n), noise(n + 1000)]});
    spec["components"] = (0..300).map(component).collect();
    assert_eq!(render(&spec).unwrap_err(), ["spec too-large"]);
}

/// On a laptop as in a cluster, which the end-to-end story has: what is used stays, and a cluster that is taken out goes last.
#[test]
fn what_is_used_stays_until_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["team", "environment", "application"] {
        let example = format!("{ROOT}/promises/{kind}/resource-request.yaml");
        fs::copy(example, folder.path().join(format!("{kind}.yaml"))).unwrap();
    }
    let run = |arguments: &[&str]| {
        let output = binary("goldpath").current_dir(folder.path()).arg("run").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let all = ["application.yaml", "team.yaml", "environment.yaml"];
    assert_eq!(run(&all).0, Some(0));
    // In any order, and each by itself.
    assert!(run(&["team.yaml", "environment.yaml", "application.yaml"]).1.contains("3 unchanged"));
    for file in all {
        assert!(run(&[file]).1.contains("1 unchanged"), "{file}");
    }
    for (file, why) in [
        ("team.yaml", "it is used by `systems/team-alpha/my-api.yaml` in catalog"),
        ("environment.yaml", "`metadata.name` is used by Application default/my-api"),
    ] {
        let (code, told) = run(&["--delete", file]);
        assert!(code == Some(1) && told.contains(why), "{told}");
    }
    let output = |path: &str| folder.path().join(".goldpath/requests").join(path).exists();
    let destination = "environment/platform/dev/output/environment_platform_dev_us-dev.yaml";
    let environment = fs::read_to_string(folder.path().join("environment.yaml")).unwrap();
    let (before, rest) = environment.split_once("    - name: us-dev\n").unwrap();
    let (_, after) = rest.split_once("  defaults:").unwrap();
    fs::write(folder.path().join("environment.yaml"), format!("{before}  defaults:{after}")).unwrap();
    assert_eq!(run(&["environment.yaml"]).0, Some(0));
    assert!(output(destination), "the Application is still there");
    assert_eq!(run(&["application.yaml"]).0, Some(0));
    assert!(!output("application/default/my-api/output/dev.us-dev"));
    assert_eq!(run(&["environment.yaml"]).0, Some(0));
    assert!(!output(destination), "nobody is there any more");
    let (code, told) = run(&["--delete", "team.yaml", "environment.yaml", "application.yaml"]);
    assert!(code == Some(0) && told.contains("3 deleted"), "{told}");
}

/// A platform that has no repository for infrastructure is not asked for one before an Application goes that has nothing there.
#[test]
fn what_never_was_anywhere_is_not_looked_for_there() {
    let document = parse(request(&spec()).to_string().as_bytes()).unwrap().remove(0);
    let request = goldpath::promise::read(&document).unwrap();
    let task = Task { action: Action::Delete, extent: Extent::Whole, with_diff: false };
    let roles = |status: Value| {
        let status = serde_json::from_value(json!({"goldpath": {"repositories": status}})).unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let delivery = delivery(&Config::default(), &request, Outputs::nothing(), &status, task, now);
        delivery.files.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(roles(json!({})), []);
    assert_eq!(roles(json!({"catalog": {"files": 1}})), [Role::Catalog]);
    assert_eq!(roles(json!({"catalog": {"files": 1}, "infrastructure": {"files": 4}})), Role::ALL);
}
