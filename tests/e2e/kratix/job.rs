//! A Pipeline as Kratix runs it: one Job with the steps between Kratix's own containers, and the rights of its steps.

use super::install::IMAGE;
use super::promise::Api;
use super::{Cluster, DRY_RUN, PIPELINE, PROMISE, RESOURCE, digest, label, name_with, text};
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// When a Job was made, to the nanosecond: two of one request may be made in the same second.
const ORDER: &str = "goldpath-e2e/created";
/// Set when what the Job's steps have written is in the API.
const COLLECTED: &str = "goldpath-e2e/collected";

/// One run of a Pipeline.
pub(super) struct Run<'a> {
    pub(super) api: &'a Api<'a>,
    pub(super) pipeline: &'a Value,
    pub(super) action: &'a str,
    pub(super) last: bool,
    /// As it is in the API.
    pub(super) request: &'a Value,
    /// As the steps are to see it.
    pub(super) seen: &'a Value,
}

/// What the Promise and the request ask for: a Job with another hash is of another state of them.
pub(super) fn hash(api: &Api, request: &Value) -> String {
    digest(&format!("{}-{}-{}", api.promise["spec"], request["spec"], label(request, DRY_RUN)))
}

/// The Jobs of a request for an action, the newest first.
pub(super) fn of<'a>(jobs: &'a [Value], promise: &str, request: &Value, action: &str) -> Vec<&'a Value> {
    let labels = [
        (PROMISE, promise),
        (RESOURCE, text(request, "/metadata/name")),
        ("kratix.io/workflow-type", "resource"),
        ("kratix.io/workflow-action", action),
    ];
    let namespace = &request["metadata"]["namespace"];
    let is_of = |job: &&Value| job["metadata"]["namespace"] == *namespace && super::has_labels(job, &labels);
    let mut jobs: Vec<_> = jobs.iter().filter(is_of).collect();
    let order = |job: &Value| match job["metadata"]["annotations"][ORDER].as_str() {
        Some(order) => order.to_owned(),
        None => text(job, "/metadata/creationTimestamp").replace('Z', ".000000000Z"),
    };
    jobs.sort_by_key(|job| std::cmp::Reverse(order(job)));
    jobs
}

fn has_condition(job: &Value, kinds: &[&str]) -> bool {
    let conditions = job["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|it| it["status"] == "True" && kinds.contains(&text(it, "/type")))
}

pub(super) fn is_running(job: &Value) -> bool {
    job["status"]["active"].as_i64() > Some(0) || !has_condition(job, &["Complete", "Failed", "Suspended"])
}

/// Failed, suspended for a run by hand, or refused by us as Kratix's own containers would have refused it.
pub(super) fn has_failed(job: &Value) -> bool {
    has_condition(job, &["Failed", "Suspended"]) || job["metadata"]["annotations"][COLLECTED] == "refused"
}

/// Whether a Job of ours is complete, and nobody has looked at what its steps have written.
pub(super) fn is_to_be_collected(job: &Value) -> bool {
    let annotations = &job["metadata"]["annotations"];
    has_condition(job, &["Complete"]) && !annotations[ORDER].is_null() && annotations[COLLECTED].is_null()
}

pub(super) fn set_collected(cluster: &Cluster, job: &Value, how: &str) -> Result<()> {
    cluster.call("MERGE", &path(job), &json!({"metadata": {"annotations": {COLLECTED: how}}})).map(drop)
}

pub(super) fn path(job: &Value) -> String {
    let namespace = text(job, "/metadata/namespace");
    format!("/apis/batch/v1/namespaces/{namespace}/jobs/{}", text(job, "/metadata/name"))
}

/// Whether the steps of the Job were the last of the configure workflow when it was made.
pub(super) fn was_last(job: &Value) -> bool {
    let env = job.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
    env.is_some_and(|env| env.iter().any(|it| it["name"] == "IS_LAST_PIPELINE" && it["value"] == "true"))
}

/// Makes the Job of a run, with what it needs.
pub(super) fn create(cluster: &Cluster, run: &Run) -> Result<()> {
    let account = grant(cluster, run)?;
    if run.action == "configure" {
        make_selectors(cluster, run)?;
    }
    let namespace = text(run.request, "/metadata/namespace");
    let job = shape(run, &account);
    let made = cluster.call("POST", &format!("/apis/batch/v1/namespaces/{namespace}/jobs"), &job)?;
    make_object(cluster, &made, run.seen)?;
    cluster.say(&format!("job {namespace}/{} for {} {}", text(&made, "/metadata/name"), run.action, named(run)));
    Ok(())
}

fn named(run: &Run) -> String {
    format!("{}/{}", run.api.name(), text(run.request, "/metadata/name"))
}

/// What `reader` reads. The Pod waits for it, should we end before it is made.
pub(super) fn make_object(cluster: &Cluster, job: &Value, object: &Value) -> Result<()> {
    let (name, namespace) = (text(job, "/metadata/name"), text(job, "/metadata/namespace"));
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]});
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]},
        "data": {"object.yaml": serde_yaml::to_string(object)?},
    });
    match cluster.send("POST", &format!("/api/v1/namespaces/{namespace}/configmaps"), &map)? {
        (409 | 200..300, _) => Ok(()),
        (status, answer) => anyhow::bail!("the object of job {name}: {status} {}", answer["message"]),
    }
}

fn make_selectors(cluster: &Cluster, run: &Run) -> Result<()> {
    let selector = |it: &Value| json!({"matchlabels": it["matchLabels"], "source": "promise"});
    let selectors = run.api.promise["spec"]["destinationSelectors"].as_array().map_or(&[][..], Vec::as_slice);
    let selectors: Vec<_> = selectors.iter().map(selector).collect();
    let namespace = text(run.request, "/metadata/namespace");
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("destination-selectors-{}", run.api.name()), "labels": {PROMISE: run.api.name()}},
        "data": {"destinationSelectors": serde_yaml::to_string(&selectors)?},
    });
    cluster.ensure(&format!("/api/v1/namespaces/{namespace}/configmaps"), &map).map(drop)
}

/// Gives the Pipeline its ServiceAccount and rights, with Kratix's names; tells the ServiceAccount's name.
fn grant(cluster: &Cluster, run: &Run) -> Result<String> {
    let rbac = &run.pipeline["spec"]["rbac"];
    let (pipeline, namespace) = (text(run.pipeline, "/metadata/name"), text(run.request, "/metadata/namespace"));
    let id = format!("{}-resource-{}-{pipeline}", run.api.name(), run.action);
    let account = rbac["serviceAccount"].as_str().unwrap_or(&id).to_owned();
    let ours = json!({PROMISE: run.api.name()});
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    if rbac["serviceAccount"].is_null() || cluster.get(&format!("{accounts}/{account}"))?.is_none() {
        let object =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "labels": ours}});
        cluster.ensure(&accounts, &object)?;
    }
    let rights = |namespace: &str, kinds: &str| match namespace {
        "" => format!("/apis/rbac.authorization.k8s.io/v1/{kinds}"),
        _ => format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{kinds}"),
    };
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": namespace}]);
    let binding = |name: &str, labels: &Value, kind: &str, role: &str| {
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role});
        json!({"metadata": {"name": name, "labels": labels}, "roleRef": role, "subjects": subjects})
    };

    let plural = run.api.plural();
    let verbs = json!(["get", "list", "update", "create", "patch"]);
    let rules = json!([
        {"apiGroups": [run.api.group()], "resources": [plural, format!("{plural}/status")], "verbs": verbs},
        {"apiGroups": ["platform.kratix.io"], "resources": ["works"], "verbs": ["*"]},
    ]);
    cluster.ensure(&rights(namespace, "roles"), &json!({"metadata": {"name": id, "labels": ours}, "rules": rules}))?;
    cluster.ensure(&rights(namespace, "rolebindings"), &binding(&id, &ours, "Role", &id))?;

    let mut asked: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for permission in rbac["permissions"].as_array().map_or(&[][..], Vec::as_slice) {
        let mut rule = permission.clone();
        rule.as_object_mut().context("a permission is an object")?.remove("resourceNamespace");
        asked.entry(text(permission, "/resourceNamespace")).or_default().push(rule);
    }
    for (place, rules) in asked {
        let mut labels = json!({
            PROMISE: run.api.name(), PIPELINE: pipeline, "kratix.io/pipeline-namespace": namespace,
            "kratix.io/workflow-type": "resource", "kratix.io/workflow-action": run.action,
        });
        let at = |scope: &str| name_with(&format!("{id}-{scope}"), &digest(&format!("{id}-{scope}")));
        if place.is_empty() {
            let name = name_with(&id, &digest(&id));
            let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
            cluster.ensure(&rights(namespace, "roles"), &role)?;
            cluster.ensure(&rights(namespace, "rolebindings"), &binding(&name, &labels, "Role", &name))?;
            continue;
        }
        let everywhere = place == "*";
        labels["kratix.io/resource-namespace"] = json!(if everywhere { "kratix_all_namespaces" } else { place });
        let role = at(if everywhere { "kratix-all-namespaces" } else { place });
        cluster.ensure(
            &rights("", "clusterroles"),
            &json!({"metadata": {"name": role, "labels": labels}, "rules": rules}),
        )?;
        let binding = binding(&at(namespace), &labels, "ClusterRole", &role);
        let kinds = if everywhere { rights("", "clusterrolebindings") } else { rights(place, "rolebindings") };
        cluster.ensure(&kinds, &binding)?;
    }
    Ok(account)
}

/// Prints files into the log, between marks that tell whether all of it is there.
const PRINT: &str = r#"
print() { cd "$1" && find . -maxdepth "$3" -type f | sort | while IFS= read -r file; do
  echo "file $2/${file#./}"; base64 "$file" || exit 1; done; }
echo "begin goldpath-e2e"
"#;
const READ: &str = "cp /goldpath-e2e/object.yaml /kratix/input/object.yaml";

fn shape(run: &Run, account: &str) -> Value {
    let request = run.request;
    let (name, namespace) = (text(request, "/metadata/name"), text(request, "/metadata/namespace"));
    let pipeline = text(run.pipeline, "/metadata/name");
    let spec = &run.pipeline["spec"];
    let mut labels = json!({
        "app.kubernetes.io/managed-by": "Kratix", "kratix.io/hash": hash(run.api, request),
        PIPELINE: pipeline, PROMISE: run.api.name(), RESOURCE: name,
        "kratix.io/workflow-action": run.action, "kratix.io/workflow-type": "resource",
    });
    for (key, value) in run.pipeline["metadata"]["labels"].as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    let fraction = jiff::Timestamp::now();
    let annotations = json!({
        "kratix.io/job-resource-api-version": request["apiVersion"], "kratix.io/job-resource-kind": request["kind"],
        "kratix.io/job-resource-name": name, "kratix.io/job-resource-namespace": namespace,
        ORDER: format!("{fraction:.9}"),
    });
    let env = environment(run);
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let print_metadata = "print /work-creator-files/metadata metadata 1 && echo 'end goldpath-e2e'";

    let object = json!({"name": "goldpath-e2e", "mountPath": "/goldpath-e2e", "readOnly": true});
    let mounts = json!([mount("shared-input", "/kratix/input"), mount("shared-output", "/kratix/output"), object]);
    let mut steps = vec![ours("reader", READ, &env, mounts)];
    steps.extend(spec["containers"].as_array().into_iter().flatten().map(|step| container(step, &env)));
    let mut volumes = vec![json!({"name": "goldpath-e2e", "configMap": {"name": "TO BE NAMED"}})];
    volumes.extend(["input", "output", "metadata"].map(|it| json!({"name": format!("shared-{it}"), "emptyDir": {}})));
    volumes.extend(spec["volumes"].as_array().into_iter().flatten().cloned());
    if run.action == "configure" {
        let script = format!("{PRINT} print /work-creator-files/input output 99 && {print_metadata}");
        let mounts = json!([
            mount("shared-output", "/work-creator-files/input"),
            mount("shared-metadata", "/work-creator-files/metadata"),
            mount("promise-scheduling", "/work-creator-files/kratix-system"),
        ]);
        steps.push(ours("work-writer", &script, &[], mounts));
        let items = json!([{"key": "destinationSelectors", "path": "promise-scheduling"}]);
        let map = json!({"name": format!("destination-selectors-{}", run.api.name()), "items": items});
        volumes.insert(0, json!({"name": "promise-scheduling", "configMap": map}));
    }
    let last = json!({"name": "IS_LAST_PIPELINE", "value": run.last.to_string()});
    let mounts = json!([mount("shared-metadata", "/work-creator-files/metadata")]);
    let writer = ours("status-writer", &format!("{PRINT} {print_metadata}"), &[&[last], &env[..]].concat(), mounts);

    let suffix = format!("{:05x}", fastrand::u32(0..0x10_0000));
    let job_name = name_with(&format!("kratix-{}-{name}-{pipeline}", run.api.name()), &suffix);
    let map = volumes.iter_mut().find(|it| it["name"] == "goldpath-e2e").expect("the volume of above");
    map["configMap"]["name"] = json!(job_name);
    let owner = json!({"apiVersion": request["apiVersion"], "kind": request["kind"], "name": name, "uid": request["metadata"]["uid"]});
    let restart = spec["restartPolicy"].as_str().filter(|it| !it.is_empty()).unwrap_or("OnFailure");
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": job_name, "namespace": namespace,
            "labels": labels, "annotations": annotations, "ownerReferences": [owner],
        },
        "spec": {
            "backoffLimit": spec["jobOptions"]["backoffLimit"],
            "template": {
                "metadata": {"labels": labels, "annotations": run.pipeline["metadata"]["annotations"]},
                "spec": {
                    "serviceAccountName": account, "restartPolicy": restart,
                    "initContainers": steps, "containers": [writer], "volumes": volumes,
                    "imagePullSecrets": spec["imagePullSecrets"], "nodeSelector": spec["nodeSelector"],
                    "tolerations": spec["tolerations"],
                },
            },
        },
    })
}

fn environment(run: &Run) -> Vec<Value> {
    let request = run.request;
    let (group, version) = text(request, "/apiVersion").split_once('/').unwrap_or(("", "v1"));
    let mut variables = vec![
        ("WORKFLOW_ACTION", run.action),
        ("WORKFLOW_TYPE", "resource"),
        ("PROMISE_NAME", run.api.name()),
        ("PIPELINE_NAME", text(run.pipeline, "/metadata/name")),
        ("OBJECT_KIND", text(request, "/kind")),
        ("OBJECT_GROUP", group),
        ("OBJECT_VERSION", version),
        ("OBJECT_NAME", text(request, "/metadata/name")),
        ("OBJECT_NAMESPACE", text(request, "/metadata/namespace")),
        ("CRD_PLURAL", run.api.plural()),
        ("CLUSTER_SCOPED", "false"),
    ];
    if label(request, DRY_RUN) == "true" {
        variables.push(("DRY_RUN", "true"));
    }
    variables.iter().map(|(name, value)| json!({"name": format!("KRATIX_{name}"), "value": value})).collect()
}

/// A step, as the Promise has it, with what Kratix adds.
fn container(step: &Value, env: &[Value]) -> Value {
    let mut container = step.clone();
    let own = |key: &str| step[key].as_array().cloned().unwrap_or_default();
    let mut mounts = vec![
        json!({"name": "shared-input", "mountPath": "/kratix/input", "readOnly": true}),
        json!({"name": "shared-output", "mountPath": "/kratix/output"}),
        json!({"name": "shared-metadata", "mountPath": "/kratix/metadata"}),
    ];
    mounts.extend(own("volumeMounts"));
    container["volumeMounts"] = json!(mounts);
    container["env"] = json!([env, &own("env")[..]].concat());
    if step["resources"].is_null() {
        container["resources"] = default_resources();
    }
    container
}

fn ours(name: &str, script: &str, env: &[Value], mounts: Value) -> Value {
    json!({
        "name": name, "image": IMAGE, "command": ["/bin/sh", "-c"], "args": [script], "env": env,
        "volumeMounts": mounts, "resources": default_resources(),
        "securityContext": {
            "allowPrivilegeEscalation": false, "privileged": false, "runAsNonRoot": true, "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

fn default_resources() -> Value {
    json!({
        "requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "128Mi"},
        "limits": {"cpu": "200m", "memory": "256Mi", "ephemeral-storage": "256Mi"},
    })
}

/// What the steps have written: files of `output/` and `metadata/`.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Reads what a Job's Pod has printed; none if the Pod is gone.
pub(super) fn printed(cluster: &Cluster, job: &Value, configure: bool) -> Result<Option<Files>> {
    let (name, namespace) = (text(job, "/metadata/name"), text(job, "/metadata/namespace"));
    let pods = cluster.list(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector=job-name%3D{name}"))?;
    let Some(pod) = pods.iter().find(|it| it["status"]["phase"] == "Succeeded") else {
        return Ok(None);
    };
    ensure!(!cluster.is_stopped(), "stopped");
    let container = if configure { "work-writer" } else { "status-writer" };
    let Some(log) = cluster.kubernetes.find_logs(namespace, text(pod, "/metadata/name"), container) else {
        return Ok(None);
    };
    parse(&log).with_context(|| format!("the log of job {name}")).map(Some)
}

fn parse(log: &str) -> Result<Files> {
    let lines: Vec<_> = log.lines().skip_while(|it| *it != "begin goldpath-e2e").skip(1).collect();
    ensure!(lines.last() == Some(&"end goldpath-e2e"), "it has no end");
    let mut encoded: BTreeMap<&str, String> = BTreeMap::new();
    let mut file = None;
    for line in &lines[..lines.len() - 1] {
        match (line.strip_prefix("file "), &file) {
            (Some(path), _) => {
                file = Some(path);
                encoded.insert(path, String::new());
            }
            (None, Some(path)) => encoded.entry(*path).or_default().push_str(line),
            (None, None) => anyhow::bail!("a line belongs to no file"),
        }
    }
    encoded.into_iter().map(|(path, content)| Ok((path.to_owned(), STANDARD.decode(content)?))).collect()
}

/// Deletes all but the newest five Jobs of each Pipeline.
pub(super) fn prune(cluster: &Cluster, jobs: &[&Value]) -> Result<()> {
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    for job in jobs {
        let count = kept.entry(label(job, PIPELINE)).or_default();
        *count += 1;
        if *count > 5 && !is_running(job) {
            cluster.delete(&path(job), job)?;
        }
    }
    Ok(())
}

/// For a Pod that waits: makes what `reader` reads again, should an earlier stand-in have ended before it did.
pub(super) fn heal(cluster: &Cluster, job: &Value, object: &Value) -> Result<()> {
    let started = text(job, "/status/startTime").parse::<jiff::Timestamp>();
    let waits = started.is_ok_and(|it| it.duration_until(jiff::Timestamp::now()).as_secs() >= 3)
        && !job["metadata"]["annotations"][ORDER].is_null();
    let (name, namespace) = (text(job, "/metadata/name"), text(job, "/metadata/namespace"));
    if waits && cluster.get(&format!("/api/v1/namespaces/{namespace}/configmaps/{name}"))?.is_none() {
        make_object(cluster, job, object)?;
    }
    Ok(())
}

/// Stops a running Job for a run by hand.
pub(super) fn suspend(cluster: &Cluster, job: &Value) -> Result<()> {
    cluster.call("MERGE", &path(job), &json!({"spec": {"suspend": true}})).map(drop)
}
