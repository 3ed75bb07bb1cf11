//! A Promise: its API in the cluster, and that it is Available.

use super::{Cluster, PLATFORM, PROMISE, label, path_of, status, text};
use anyhow::{Context, Result};
use serde_json::{Value, json};

pub(super) const FROM_START: &str = "internal.workflows.kratix.io/run-from-start";
const RECONCILE: &str = "kratix.io/reconcile-resources";
const FINALIZERS: [&str; 4] = [
    "kratix.io/resource-request-cleanup",
    "kratix.io/dynamic-controller-dependant-resources-cleanup",
    "kratix.io/api-crd-cleanup",
    "kratix.io/workflows-cleanup",
];

/// What a Promise says of its requests.
pub(super) struct Api<'a> {
    pub(super) promise: &'a Value,
}

impl<'a> Api<'a> {
    pub(super) fn name(&self) -> &'a str {
        text(self.promise, "/metadata/name")
    }

    pub(super) fn group(&self) -> &'a str {
        text(self.promise, "/spec/api/spec/group")
    }

    pub(super) fn plural(&self) -> &'a str {
        text(self.promise, "/spec/api/spec/names/plural")
    }

    pub(super) fn kind(&self) -> &'a str {
        text(self.promise, "/spec/api/spec/names/kind")
    }

    /// The version that is stored.
    pub(super) fn version(&self) -> &'a str {
        let versions = self.promise["spec"]["api"]["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
        versions.iter().find(|it| it["storage"] == true).map_or("", |it| text(it, "/name"))
    }

    /// The Pipelines of requests for an action.
    pub(super) fn pipelines(&self, action: &str) -> Vec<&'a Value> {
        self.promise["spec"]["workflows"]["resource"][action].as_array().map_or(Vec::new(), |it| it.iter().collect())
    }

    fn all(&self) -> String {
        format!("/apis/{}/{}/{}", self.group(), self.version(), self.plural())
    }

    /// The path of requests in a namespace.
    pub(super) fn path(&self, namespace: &str) -> String {
        format!("/apis/{}/{}/namespaces/{namespace}/{}", self.group(), self.version(), self.plural())
    }
}

/// Does what a Promise needs; gives its requests.
pub(super) fn reconcile(cluster: &Cluster, promise: &Value) -> Result<Vec<Value>> {
    let (api, path) = (Api { promise }, path_of("promises", promise));
    let definition =
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", text(promise, "/spec/api/metadata/name"));
    let definition_now = cluster.get(&definition)?;
    let served = definition_now.as_ref().is_some_and(|it| status::condition(it, "Established", "status") == "True");
    let requests = if served { cluster.list(&api.all())? } else { Vec::new() };
    if !text(promise, "/metadata/deletionTimestamp").is_empty() {
        if requests.is_empty() {
            return remove(cluster, &api, &path, &definition).map(|()| requests);
        }
        for request in requests.iter().filter(|it| text(it, "/metadata/deletionTimestamp").is_empty()) {
            let namespace = text(request, "/metadata/namespace");
            cluster.call(
                "DELETE",
                &format!("{}/{}", api.path(namespace), text(request, "/metadata/name")),
                &Value::Null,
            )?;
        }
        return Ok(requests);
    }
    let finalizers = promise["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
    if !FINALIZERS.iter().all(|it| finalizers.contains(&json!(it))) {
        cluster.call("MERGE", &path, &json!({"metadata": {"finalizers": FINALIZERS}}))?;
        return Ok(requests);
    }
    if let Some(unknown) = unknown(promise) {
        let mut object = promise.clone();
        if status::set_condition(&mut object, "Available", "False", "UnknownToStandIn", &unknown) {
            cluster.write_status(&path, &object)?;
        }
        anyhow::bail!("{unknown}");
    }
    let observed = promise["status"]["observedGeneration"] == promise["metadata"]["generation"];
    if definition_now.is_none() || !observed {
        define(cluster, &api, &definition)?;
    }
    if !served {
        return Ok(requests);
    }
    if label(promise, RECONCILE) == "true" || (!observed && !promise["status"]["observedGeneration"].is_null()) {
        for request in &requests {
            let path =
                format!("{}/{}", api.path(text(request, "/metadata/namespace")), text(request, "/metadata/name"));
            cluster.call("MERGE", &path, &json!({"metadata": {"labels": {FROM_START: "true"}}}))?;
        }
        if label(promise, RECONCILE) == "true" {
            cluster.call("MERGE", &path, &json!({"metadata": {"labels": {RECONCILE: null}}}))?;
        }
    }
    make_available(cluster, &api, &path)?;
    Ok(requests)
}

/// What a Promise has that the stand-in does not do.
fn unknown(promise: &Value) -> Option<String> {
    let fields = ["/workflows/promise", "/dependencies", "/requiredPromises", "/workflows/config/pipelineNamespace"];
    let has = |it: &&&str| match promise["spec"].pointer(it) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(value) => !value.is_null(),
        None => false,
    };
    fields
        .iter()
        .find(has)
        .map(|it| format!("the stand-in for Kratix knows no `spec{}` of a Promise", it.replace('/', ".")))
}

fn make_available(cluster: &Cluster, api: &Api, path: &str) -> Result<()> {
    let mut object = api.promise.clone();
    let version = object["metadata"]["labels"]["kratix.io/promise-version"].as_str().unwrap_or("not-set").to_owned();
    let is = json!({
        "status": "Available", "kind": api.kind(), "apiVersion": format!("{}/{}", api.group(), api.version()), "version": version,
    });
    let mut changed = status::set_condition(
        &mut object,
        "Available",
        "True",
        "PromiseAvailable",
        "Ready to fulfil resource requests",
    );
    let works = "All works associated with this promise are ready";
    changed |= status::set_condition(&mut object, "WorksSucceeded", "True", "WorksSucceeded", works);
    for (key, value) in is.as_object().context("an object")? {
        changed |= object["status"][key] != *value;
        object["status"][key] = value.clone();
        object["status"]["kratix"][key] = value.clone();
    }
    changed |= object["status"]["observedGeneration"] != object["metadata"]["generation"];
    if changed {
        object["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
        object["status"]["lastAvailableTime"] = json!(status::now());
        cluster.write_status(path, &object)?;
        cluster.say(&format!("promise {} is Available", api.name()));
    }
    Ok(())
}

/// The Promise's API with what Kratix makes of it: a status of its own schema, which drops fields of conditions and of
/// `kratix` that it does not know, and names that fit a label.
fn define(cluster: &Cluster, api: &Api, path: &str) -> Result<()> {
    let string = json!({"type": "string"});
    let time = json!({"type": "string", "format": "datetime"});
    let number = json!({"type": "integer", "format": "int64"});
    let condition =
        json!({"type": string, "status": string, "reason": string, "message": string, "lastTransitionTime": time});
    let pipeline = json!({
        "name": string, "phase": string, "message": string, "lastTransitionTime": time, "nextRetryAt": string, "attempts": number,
    });
    let list = |properties: &Value| json!({"type": "array", "items": {"type": "object", "properties": properties}});
    let workflows = json!({"type": "object", "properties": {
        "lastSuccessfulConfigureWorkflowTime": string, "suspendedGeneration": number, "pipelines": list(&pipeline),
    }});
    let status = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "conditions": list(&condition),
        "kratix": {"type": "object", "properties": {"workflows": workflows}},
        "message": string, "observedGeneration": number,
        "workflows": number, "workflowsFailed": number, "workflowsSucceeded": number,
    }});
    let mut definition = api.promise["spec"]["api"].clone();
    definition["metadata"] = json!({"name": definition["metadata"]["name"], "labels": {PROMISE: api.name()}});
    for version in definition["spec"]["versions"].as_array_mut().context("versions")? {
        version["subresources"] = json!({"status": {}});
        if version["additionalPrinterColumns"].as_array().is_none_or(Vec::is_empty) {
            version["additionalPrinterColumns"] = json!([
                {"name": "message", "type": "string", "jsonPath": ".status.message"},
                {"name": "status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Reconciled\")].message"},
            ]);
        }
        let properties = &mut version["schema"]["openAPIV3Schema"]["properties"];
        properties["status"] = status.clone();
        properties["metadata"] = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}});
    }
    let collection = path.rsplit_once('/').context("a path")?.0;
    cluster.ensure(collection, &definition)?;
    cluster.say(&format!("promise {}: its API {} is defined", api.name(), path.rsplit('/').next().unwrap_or_default()));
    Ok(())
}

/// When no request is left: the API, the rights of its Pipelines, and the Promise itself.
fn remove(cluster: &Cluster, api: &Api, path: &str, definition: &str) -> Result<()> {
    let selector = format!("labelSelector={}%3D{}", PROMISE.replace('/', "%2F"), api.name());
    let rights = "/apis/rbac.authorization.k8s.io/v1";
    let namespaced =
        [(rights, "rolebindings"), (rights, "roles"), ("/api/v1", "serviceaccounts"), ("/api/v1", "configmaps")];
    for (base, plural) in [(rights, "clusterrolebindings"), (rights, "clusterroles")].into_iter().chain(namespaced) {
        for object in cluster.list(&format!("{base}/{plural}?{selector}"))? {
            let name = text(&object, "/metadata/name");
            let path = match text(&object, "/metadata/namespace") {
                "" => format!("{base}/{plural}/{name}"),
                namespace => format!("{base}/namespaces/{namespace}/{plural}/{name}"),
            };
            cluster.delete(&path, &object)?;
        }
    }
    cluster.delete(definition, &Value::Null)?;
    for revision in cluster.list(&format!("{PLATFORM}/promiserevisions?{selector}")).unwrap_or_default() {
        cluster.delete(&path_of("promiserevisions", &revision), &revision)?;
    }
    cluster.call("MERGE", path, &json!({"metadata": {"finalizers": null}}))?;
    cluster.say(&format!("promise {} is gone", api.name()));
    Ok(())
}
