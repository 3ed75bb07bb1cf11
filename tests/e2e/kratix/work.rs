//! What the Pipelines of a request deliver: a Work for each, a WorkPlacement for each of its groups of files, and a
//! commit for each WorkPlacement.

use super::store::{Edit, Stores, pipe};
use super::{Cluster, DESTINATION, DRY_RUN, PIPELINE, PLATFORM, PROMISE, RESOURCE, World};
use super::{has_labels, label, name_with, path_of, status, text};
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const WORK: &str = "kratix.io/work";
const GROUP: &str = "kratix.io/workload-group-id";
const SUMMARY: &str = "kratix.io/dry-run-summary";
/// MD5 of `.`, the folder of what no entry of `destination-selectors.yaml` names.
const DEFAULT_GROUP: &str = "5058f1af8388633f609cadb75a75dc9d";

/// A file as Works carry it.
pub(super) fn pack(path: &str, content: &[u8]) -> Result<Value> {
    Ok(json!({"filepath": path, "content": STANDARD.encode(pipe("gzip", &["--no-name", "--stdout"], content)?)}))
}

fn unpack(workload: &Value) -> Result<Vec<u8>> {
    pipe("gzip", &["--decompress", "--stdout"], &STANDARD.decode(text(workload, "/content"))?)
}

/// The files of a Work.
pub(super) fn files_of(work: &Value) -> Result<BTreeMap<String, Vec<u8>>> {
    let groups = work["spec"]["workloadGroups"].as_array().into_iter().flatten();
    let workloads = groups.flat_map(|it| it["workloads"].as_array().into_iter().flatten());
    workloads.map(|it| Ok((text(it, "/filepath").to_owned(), unpack(it)?))).collect()
}

/// The groups of what a Pipeline's steps have written. An error is what Kratix's `work-writer` would fail with.
pub(super) fn groups(
    files: &BTreeMap<String, Vec<u8>>,
    selectors: Option<&str>,
    promise: &Value,
) -> Result<Vec<Value>> {
    let entries: Vec<Value> =
        serde_yaml::from_str(selectors.unwrap_or("[]")).context("`destination-selectors.yaml`")?;
    let (mut groups, mut folders, mut of_default) = (Vec::new(), BTreeSet::new(), Vec::new());
    let output = || files.iter().filter_map(|(path, content)| Some((path.strip_prefix("output/")?, content)));
    for entry in &entries {
        ensure!(entry["matchLabels"].as_object().is_some_and(|it| !it.is_empty()), "an entry has no selectors");
        let source = json!({"matchLabels": entry["matchLabels"], "source": "resource-workflow"});
        let folder = text(entry, "/directory").trim_end_matches('/');
        ensure!(folders.insert(folder) && !folder.contains('/'), "`{folder}` is there twice, or not at the top");
        if matches!(folder, "" | ".") {
            of_default.push(source);
            continue;
        }
        let below = output().filter(|(path, _)| path.starts_with(&format!("{folder}/")));
        let workloads: Vec<_> = below.map(|(path, content)| pack(path, content)).collect::<Result<_>>()?;
        ensure!(!workloads.is_empty(), "there is no folder `{folder}`");
        let id = String::from_utf8(pipe("md5sum", &[], folder.as_bytes())?)?[..32].to_owned();
        groups.push(json!({"id": id, "directory": folder, "workloads": workloads, "destinationSelectors": [source]}));
    }
    let is_default = |path: &str| path.split_once('/').is_none_or(|(folder, _)| !folders.contains(folder));
    let rest = output().filter(|(path, _)| is_default(path));
    let workloads: Vec<_> = rest.map(|(path, content)| pack(path, content)).collect::<Result<_>>()?;
    if !workloads.is_empty() {
        // The Promise's first selector wins.
        let mut squashed = json!({});
        for selector in promise["spec"]["destinationSelectors"].as_array().into_iter().flatten().rev() {
            for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
                squashed[key] = value.clone();
            }
        }
        if squashed.as_object().is_some_and(|it| !it.is_empty()) {
            of_default.push(json!({"matchLabels": squashed, "source": "promise"}));
        }
        groups.push(
            json!({"id": DEFAULT_GROUP, "directory": ".", "workloads": workloads, "destinationSelectors": of_default}),
        );
    }
    Ok(groups)
}

/// Makes or replaces the Work of a request's Pipeline.
pub(super) fn write(
    cluster: &Cluster,
    world: &World,
    request: &Value,
    promise: &str,
    pipeline: &str,
    groups: Vec<Value>,
) -> Result<()> {
    let (name, namespace) = (text(request, "/metadata/name"), text(request, "/metadata/namespace"));
    let mut labels = json!({"kratix.io/work-type": "resource", PROMISE: promise, RESOURCE: name, PIPELINE: pipeline});
    if label(request, DRY_RUN) == "true" {
        labels[DRY_RUN] = json!("true");
    }
    let suffix = format!("{:05x}", fastrand::u32(0..0x10_0000));
    let spec = json!({
        "promiseName": promise, "resourceName": name,
        "workloadGroups": groups, "lastExecutionTimestamp": status::now(),
    });
    let mut work = json!({
        "apiVersion": "platform.kratix.io/v1alpha1", "kind": "Work", "spec": spec,
        "metadata": {"name": name_with(&format!("{promise}-{name}-{pipeline}"), &suffix), "namespace": namespace, "labels": labels},
    });
    let mut works = of(world, promise, request).into_iter();
    match works.find(|it| label(it, PIPELINE) == pipeline && label(it, DRY_RUN) == label(&work, DRY_RUN)) {
        Some(old) => {
            work["metadata"] = old["metadata"].clone();
            cluster.call("PUT", &path_of("works", old), &work).map(drop)
        }
        None => cluster.call("POST", &format!("{PLATFORM}/namespaces/{namespace}/works"), &work).map(drop),
    }
}

/// The Work of a DryRun's summary.
pub(super) fn summary(promise: &str, dry_run: &Value, request: &Value, groups: Vec<Value>) -> Value {
    let name = format!("{promise}-{}-dry-run-summary", text(dry_run, "/metadata/name"));
    let resource = text(request, "/metadata/name");
    let labels = json!({
        "kratix.io/work-type": "resource", PROMISE: promise, RESOURCE: resource,
        DRY_RUN: "true", SUMMARY: "true", "kratix.io/dry-run-owner": dry_run["metadata"]["name"],
    });
    json!({
        "apiVersion": "platform.kratix.io/v1alpha1", "kind": "Work",
        "metadata": {"name": name_with(&name, &super::digest(&name)), "labels": labels},
        "spec": {"promiseName": promise, "resourceName": resource, "workloadGroups": groups},
    })
}

/// The Works of a request.
pub(super) fn of<'a>(world: &'a World, promise: &str, request: &Value) -> Vec<&'a Value> {
    let labels = [(PROMISE, promise), (RESOURCE, text(request, "/metadata/name"))];
    let namespace = &request["metadata"]["namespace"];
    let is_of = |work: &&Value| work["metadata"]["namespace"] == *namespace && has_labels(work, &labels);
    world.works.iter().filter(is_of).collect()
}

pub(super) fn is_summary(work: &Value) -> bool {
    label(work, SUMMARY) == "true"
}

fn placements_of<'a>(world: &'a World, work: &Value) -> impl Iterator<Item = &'a Value> {
    let (name, namespace) = (text(work, "/metadata/name").to_owned(), work["metadata"]["namespace"].clone());
    world.placements.iter().filter(move |it| label(it, WORK) == name && it["metadata"]["namespace"] == namespace)
}

/// The Destinations that a group may go to.
fn matching<'a>(world: &'a World, group: &Value, dry: bool) -> Vec<&'a Value> {
    let mut selectors: BTreeMap<&str, &str> = BTreeMap::new();
    // Kratix's own order: the Promise comes last, and wins.
    for selector in group["destinationSelectors"].as_array().into_iter().flatten() {
        let labels = selector["matchLabels"].as_object().into_iter().flatten();
        selectors.extend(labels.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))));
    }
    if dry {
        selectors = BTreeMap::from([(DRY_RUN, "true")]);
    }
    let selectors: Vec<_> = selectors.into_iter().collect();
    let fits = |it: &&Value| {
        let strict = it["spec"]["strictMatchLabels"] == true && it["metadata"]["labels"].is_object();
        text(it, "/metadata/deletionTimestamp").is_empty()
            && has_labels(it, &selectors)
            && (dry || label(it, DRY_RUN) != "true")
            && !(strict && selectors.is_empty())
    };
    world.destinations.iter().filter(fits).collect()
}

/// Gives each group of a Work its WorkPlacement. Where Kratix throws dice between Destinations, this takes the first.
pub(super) fn schedule(cluster: &Cluster, stores: &mut Stores, world: &World, work: &Value) -> Result<()> {
    if !text(work, "/metadata/deletionTimestamp").is_empty() {
        return remove(cluster, stores, world, work);
    }
    let groups = work["spec"]["workloadGroups"].as_array().map_or(&[][..], Vec::as_slice);
    let (mut unscheduled, mut misplaced) = (Vec::new(), Vec::new());
    for group in groups {
        let id = text(group, "/id");
        let destinations = matching(world, group, label(work, DRY_RUN) == "true");
        let spec = json!({"workloads": group["workloads"], "generation": work["metadata"]["generation"]});
        let existing = placements_of(world, work).find(|it| label(it, GROUP) == id);
        match (existing, destinations.first()) {
            (Some(existing), _) => {
                if existing["spec"]["generation"] != spec["generation"] {
                    cluster.call("MERGE", &path_of("workplacements", existing), &json!({"spec": spec}))?;
                }
                let target = &existing["spec"]["targetDestinationName"];
                if !destinations.iter().any(|it| it["metadata"]["name"] == *target) {
                    misplaced.push(id);
                }
            }
            (None, Some(destination)) => place(cluster, work, group, spec, text(destination, "/metadata/name"))?,
            (None, None) => unscheduled.push(id),
        }
    }
    for old in placements_of(world, work).filter(|it| groups.iter().all(|group| text(group, "/id") != label(it, GROUP)))
    {
        withdraw(cluster, stores, world, old)?;
    }

    let failing = placements_of(world, work).any(|it| status::condition(it, "WriteSucceeded", "status") == "False");
    let (ready, reason, message) = if !unscheduled.is_empty() {
        ("False", "UnscheduledWorkloads", "Pending")
    } else if !misplaced.is_empty() {
        ("False", "Misplaced", "Misplaced")
    } else if failing {
        ("False", "WorkplacementsFailing", "Failing")
    } else {
        ("True", "AllWorkplacementsScheduled", "Ready")
    };
    let said = match reason {
        "UnscheduledWorkloads" => {
            format!("No matching destination found for workloadGroups: [{}]", unscheduled.join(","))
        }
        "AllWorkplacementsScheduled" => "All workplacements scheduled successfully".to_owned(),
        _ => reason.to_owned(),
    };
    let mut object = work.clone();
    let mut changed = status::set_condition(&mut object, "ScheduleSucceeded", ready, reason, &said);
    changed |= status::set_condition(&mut object, "Ready", ready, reason, message);
    for (key, count) in [("workPlacements", groups.len()), ("workPlacementsCreated", groups.len() - unscheduled.len())]
    {
        changed |= object["status"][key].as_u64().unwrap_or_default() != count as u64;
        object["status"][key] = json!(count);
    }
    // Deleted in this look: the next one does not see it.
    if changed && cluster.get(&path_of("works", work))?.is_some() {
        cluster.write_status(&path_of("works", work), &object)?;
    }
    Ok(())
}

fn place(cluster: &Cluster, work: &Value, group: &Value, mut spec: Value, destination: &str) -> Result<()> {
    if cluster.get(&path_of("works", work))?.is_none() {
        return Ok(());
    }
    let (name, namespace, id) = (text(work, "/metadata/name"), text(work, "/metadata/namespace"), text(group, "/id"));
    spec["id"] = json!(id);
    spec["targetDestinationName"] = json!(destination);
    spec["promiseName"] = work["spec"]["promiseName"].clone();
    spec["resourceName"] = work["spec"]["resourceName"].clone();
    let owner = json!({
        "apiVersion": "platform.kratix.io/v1alpha1", "kind": "Work", "name": name, "uid": work["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    });
    let labels = json!({WORK: name, GROUP: id, DESTINATION: destination, PIPELINE: label(work, PIPELINE)});
    let placement = json!({
        "apiVersion": "platform.kratix.io/v1alpha1", "kind": "WorkPlacement", "spec": spec,
        "metadata": {"name": format!("{name}.{destination}-{}", &id[..5]), "labels": labels, "ownerReferences": [owner]},
    });
    cluster.call("POST", &format!("{PLATFORM}/namespaces/{namespace}/workplacements"), &placement).map(drop)
}

/// Where a WorkPlacement's files go in its store.
fn folder(destination: &Value, placement: &Value) -> String {
    let spec = |key: &str| text(placement, &format!("/spec/{key}")).to_owned();
    let parts = [
        text(destination, "/spec/path").trim_matches('/').to_owned(),
        "resources".to_owned(),
        text(placement, "/metadata/namespace").to_owned(),
        spec("promiseName"),
        spec("resourceName"),
        label(placement, PIPELINE).to_owned(),
        spec("id")[..5].to_owned(),
    ];
    parts.join("/")
}

fn destination_of<'a>(world: &'a World, placement: &Value) -> Option<&'a Value> {
    let target = &placement["spec"]["targetDestinationName"];
    world.destinations.iter().find(|it| it["metadata"]["name"] == *target)
}

/// Writes a WorkPlacement's files, in the place of those that are there, unless that is done.
pub(super) fn deliver(cluster: &Cluster, stores: &mut Stores, world: &World, placement: &Value) -> Result<()> {
    if !text(placement, "/metadata/deletionTimestamp").is_empty() {
        return withdraw(cluster, stores, world, placement);
    }
    let Some(destination) = destination_of(world, placement) else { return Ok(()) };
    if status::is_true_now(placement, "WriteSucceeded") || stores.rests(destination) {
        return Ok(());
    }
    // As it is now: it may have been withdrawn in this look.
    let path = path_of("workplacements", placement);
    let Some(mut object) = cluster.get(&path)? else { return Ok(()) };
    let workloads = object["spec"]["workloads"].as_array().into_iter().flatten();
    let folder = folder(destination, placement);
    let write = workloads.map(|it| Ok((format!("{folder}/{}", text(it, "/filepath")), unpack(it)?)));
    let edit = Edit { write: write.collect::<Result<_>>()?, remove: vec![folder] };
    let name = text(placement, "/metadata/name");
    let written = stores.publish(cluster, destination, &edit, &format!("Update from: {name}"));
    match &written {
        Ok(commit) => {
            let message = "Scheduled to correct Destination";
            status::set_condition(&mut object, "ScheduleSucceeded", "True", "ScheduledToDestination", message);
            let (reason, message) = ("WorkloadsWrittenToStateStore", "Workloads written to State Store");
            status::set_condition(&mut object, "WriteSucceeded", "True", reason, message);
            status::set_condition(&mut object, "Ready", "True", "WorkloadsWrittenToTargetDestination", "Ready");
            if let Some(commit) = commit {
                object["status"]["versionID"] = json!(commit);
            }
        }
        Err(error) => {
            let reason = "WorkloadsFailedWrite";
            status::set_condition(&mut object, "WriteSucceeded", "False", reason, &format!("{error:#}"));
            status::set_condition(&mut object, "Ready", "False", reason, "Failing");
        }
    }
    status::set_observed(&mut object, "WriteSucceeded");
    cluster.write_status(&path, &object)?;
    written.map(drop)
}

/// Removes a WorkPlacement's files, then itself.
pub(super) fn withdraw(cluster: &Cluster, stores: &mut Stores, world: &World, placement: &Value) -> Result<()> {
    if let Some(destination) = destination_of(world, placement) {
        let edit = Edit { write: Vec::new(), remove: vec![folder(destination, placement)] };
        let name = text(placement, "/metadata/name");
        stores.publish(cluster, destination, &edit, &format!("Delete from: {name}"))?;
    }
    cluster.delete(&path_of("workplacements", placement), placement)
}

/// Removes a Work with all that was delivered for it.
pub(super) fn remove(cluster: &Cluster, stores: &mut Stores, world: &World, work: &Value) -> Result<()> {
    for placement in placements_of(world, work) {
        withdraw(cluster, stores, world, placement)?;
    }
    cluster.delete(&path_of("works", work), work)
}

/// What must hold of the above, as named checks that need no cluster.
pub const CHECKS: &[(&str, fn())] = &[(
    "a folder of its own is a group, and the Promise's selectors win for the rest",
    || {
        let files = ["output/tf/a.tf", "output/b.yaml", "output/c/d.yaml", "metadata/status.yaml"];
        let files = files.map(|path| (path.to_owned(), path.as_bytes().to_vec())).into();
        let selectors = "[{directory: tf, matchLabels: {to: terraform}}, {matchLabels: {to: dev, zone: a}}]";
        let promise = json!({"spec": {"destinationSelectors": [{"matchLabels": {"to": "platform"}}, {"matchLabels": {"to": "x"}}]}});
        let groups = groups(&files, Some(selectors), &promise).expect("groups");
        let paths = |group: &Value| {
            files_of(&json!({"spec": {"workloadGroups": [group]}})).expect("files").into_keys().collect::<Vec<_>>()
        };
        assert_eq!(groups.iter().map(paths).collect::<Vec<_>>(), [vec!["tf/a.tf"], vec!["b.yaml", "c/d.yaml"]]);
        assert_eq!(
            (text(&groups[0], "/id"), text(&groups[1], "/id")),
            ("114d6a415b3d04db792ca7c0da0c7a55", DEFAULT_GROUP)
        );
        let destination = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let destinations = vec![
            destination("dev", json!({"to": "dev", "zone": "a"})),
            destination("platform", json!({"to": "platform", "zone": "a"})),
            destination("terraform", json!({"to": "terraform"})),
            destination("dry", json!({"kratix.io/dry-run": "true"})),
        ];
        let world = World { destinations, promises: vec![], jobs: vec![], works: vec![], placements: vec![] };
        let names = |group: &Value, dry| {
            matching(&world, group, dry).iter().map(|it| text(it, "/metadata/name")).collect::<Vec<_>>()
        };
        assert_eq!(names(&groups[0], false), ["terraform"]);
        assert_eq!(names(&groups[1], false), ["platform"]);
        assert_eq!(names(&groups[0], true), ["dry"]);
    },
)];
