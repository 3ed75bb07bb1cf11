//! A DryRun: a request of its own, whose Pipelines know that it is one, and whose files go to the Destination for them.
//! Requests that its files hold are not tried in their turn, as Kratix does for compound Promises.

use super::promise::Api;
use super::{Cluster, DRY_RUN, PLATFORM, World, digest, label, name_with, path_of, status, text, work};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

const OWNER: &str = "kratix.io/dry-run-owner";
const REAL_NAME: &str = "kratix.io/dry-run-resource-name";
const REAL_NAMESPACE: &str = "kratix.io/dry-run-resource-namespace";

/// What the steps see of a request: of a DryRun's, the real one with the spec that is tried.
pub(super) fn seen(cluster: &Cluster, api: &Api, request: &Value) -> Result<Value> {
    let annotation = |key: &str| request["metadata"]["annotations"][key].as_str().unwrap_or_default();
    let name = annotation(REAL_NAME);
    if label(request, DRY_RUN) != "true" || name.is_empty() {
        return Ok(request.clone());
    }
    let namespace = annotation(REAL_NAMESPACE);
    let mut seen = match cluster.get(&format!("{}/{name}", api.path(namespace)))? {
        Some(real) => real,
        None => {
            let mut renamed = request.clone();
            renamed["metadata"]["name"] = json!(name);
            renamed["metadata"]["namespace"] = json!(namespace);
            renamed
        }
    };
    seen["spec"] = request["spec"].clone();
    Ok(seen)
}

/// Takes a DryRun one step further.
pub(super) fn reconcile(cluster: &Cluster, world: &World, dry_run: &Value) -> Result<()> {
    if !status::condition(dry_run, "Completed", "status").is_empty()
        || !text(dry_run, "/metadata/deletionTimestamp").is_empty()
    {
        return Ok(());
    }
    let promise = text(dry_run, "/spec/promiseRef/name");
    let promise =
        world.promises.iter().find(|it| text(it, "/metadata/name") == promise).context("its Promise is not there")?;
    let api = Api { promise };
    let (name, namespace) = (text(dry_run, "/metadata/name"), text(dry_run, "/metadata/namespace"));
    let request_name = format!("kratix-dry-run-{name}");
    let request_name = name_with(&request_name, &digest(&request_name));
    let Some(request) = cluster.get(&format!("{}/{request_name}", api.path(namespace)))? else {
        return make_request(cluster, &api, dry_run, &request_name);
    };
    if status::condition(&request, "ConfigureWorkflowCompleted", "reason") == "ConfigureWorkflowFailed" {
        return end(
            cluster,
            dry_run,
            "False",
            "PipelineFailed",
            status::condition(&request, "ConfigureWorkflowCompleted", "message"),
        );
    }
    match status::condition(&request, "WorksSucceeded", "status") {
        "True" => {}
        "False" => {
            let message = format!("pipeline failed: {}", status::condition(&request, "WorksSucceeded", "message"));
            return end(cluster, dry_run, "False", "PipelineFailed", &message);
        }
        _ => return Ok(()),
    }
    summarize(cluster, world, &api, dry_run, &request)?;
    end(cluster, dry_run, "True", "SummaryWritten", "Dry run completed; summary written to output repository")
}

fn make_request(cluster: &Cluster, api: &Api, dry_run: &Value, name: &str) -> Result<()> {
    let (owner, namespace) = (text(dry_run, "/metadata/name"), text(dry_run, "/metadata/namespace"));
    let real = &dry_run["spec"]["resourceRequestRef"];
    let mut annotations = json!({});
    if !text(real, "/name").is_empty() {
        let place = real["namespace"].as_str().filter(|it| !it.is_empty()).unwrap_or(namespace);
        annotations = json!({REAL_NAME: real["name"], REAL_NAMESPACE: place});
    }
    let reference = json!({
        "apiVersion": "platform.kratix.io/v1alpha1", "kind": "DryRun", "name": owner, "uid": dry_run["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    });
    let request = json!({
        "apiVersion": format!("{}/{}", api.group(), api.version()), "kind": api.kind(),
        "metadata": {
            "name": name, "labels": {DRY_RUN: "true", OWNER: owner},
            "annotations": annotations, "ownerReferences": [reference],
        },
        "spec": dry_run["spec"]["resource"],
    });
    cluster.call("POST", &api.path(namespace), &request).map(drop)
}

fn end(cluster: &Cluster, dry_run: &Value, status: &str, reason: &str, message: &str) -> Result<()> {
    let mut object = dry_run.clone();
    status::set_condition(&mut object, "Completed", status, reason, message);
    cluster.say(&format!("dry run {}: {reason}", text(dry_run, "/metadata/name")));
    cluster.write_status(&path_of("dryruns", dry_run), &object).map(drop)
}

/// Delivers what would change, in words: what each Pipeline has written beside what is delivered of the real request.
fn summarize(cluster: &Cluster, world: &World, api: &Api, dry_run: &Value, request: &Value) -> Result<()> {
    let real = &dry_run["spec"]["resourceRequestRef"];
    let namespace = real["namespace"].as_str().unwrap_or(text(dry_run, "/metadata/namespace"));
    let real = json!({"metadata": {"name": real["name"], "namespace": namespace}});
    let mut pipelines: BTreeMap<&str, &Value> = BTreeMap::new();
    let works = work::of(world, api.name(), request);
    pipelines.extend(works.iter().filter(|it| !work::is_summary(it)).map(|it| (label(it, super::PIPELINE), *it)));
    let mut text = "# Kratix Dry Run Summary\n".to_owned();
    for (pipeline, tried) in pipelines {
        let live = work::of(world, api.name(), &real).into_iter().find(|it| label(it, super::PIPELINE) == pipeline);
        let (before, after) = (live.map(work::files_of).transpose()?.unwrap_or_default(), work::files_of(tried)?);
        writeln!(text, "\n## Pipeline: `{pipeline}`\n")?;
        for (path, content) in &after {
            match before.get(path) {
                None => writeln!(text, "Added: `{path}`\n\n```yaml\n{}```\n", String::from_utf8_lossy(content))?,
                Some(old) if old != content => {
                    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(content));
                    let diff = similar::TextDiff::from_lines(&*old, &*new);
                    writeln!(text, "Modified: `{path}`\n\n```diff\n{}```\n", diff.unified_diff())?;
                }
                Some(_) => {}
            }
        }
        for path in before.keys().filter(|it| !after.contains_key(*it)) {
            writeln!(text, "Removed: `{path}`\n")?;
        }
    }
    let files = BTreeMap::from([("output/kratix-dry-run-summary.md".to_owned(), text.into_bytes())]);
    let groups = work::groups(&files, None, &json!({}))?;
    let summary = work::summary(api.name(), dry_run, request, groups);
    cluster
        .ensure(&format!("{PLATFORM}/namespaces/{}/works", super::text(request, "/metadata/namespace")), &summary)
        .map(drop)
}
