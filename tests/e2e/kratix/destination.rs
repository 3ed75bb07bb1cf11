//! A Destination: Ready when Kratix's first files are in its folder.

use super::store::{Edit, Stores};
use super::{Cluster, DESTINATION, World, label, path_of, status, text, work};
use anyhow::Result;
use serde_json::{Value, json};

const FINALIZER: &str = "kratix.io/destination-cleanup";
const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: kratix-worker-system\n";
const INFO: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kratix-info\n  namespace: kratix-worker-system\n\
    data:\n  canary: this confirms your infrastructure is reading from Kratix state stores\n";

pub(super) fn reconcile(cluster: &Cluster, stores: &mut Stores, world: &World, destination: &Value) -> Result<()> {
    let path = path_of("destinations", destination);
    let folder = text(destination, "/spec/path").trim_matches('/');
    let canaries = [
        (format!("{folder}/dependencies/kratix-canary-namespace.yaml"), NAMESPACE.as_bytes().to_vec()),
        (format!("{folder}/resources/kratix-canary-configmap.yaml"), INFO.as_bytes().to_vec()),
    ];
    let held = destination["metadata"]["finalizers"].as_array().is_some_and(|them| them.contains(&json!(FINALIZER)));
    if !text(destination, "/metadata/deletionTimestamp").is_empty() {
        let name = text(destination, "/metadata/name");
        for placement in world.placements.iter().filter(|it| label(it, DESTINATION) == name) {
            work::withdraw(cluster, stores, world, placement)?;
        }
        let edit = Edit { remove: canaries.map(|it| it.0).to_vec(), write: Vec::new() };
        stores.publish(cluster, destination, &edit, "Delete from: kratix-canary")?;
        return cluster.call("MERGE", &path, &json!({"metadata": {"finalizers": null}})).map(drop);
    }
    if (text(destination, "/spec/cleanup") == "all") != held {
        let finalizers = if held { json!(null) } else { json!([FINALIZER]) };
        return cluster.call("MERGE", &path, &json!({"metadata": {"finalizers": finalizers}})).map(drop);
    }
    if status::is_true_now(destination, "Ready") || stores.published {
        return Ok(());
    }
    let wanted = destination["spec"]["initWorkloads"]["enabled"] != false;
    let edit = Edit { remove: Vec::new(), write: if wanted { canaries.to_vec() } else { Vec::new() } };
    let written = match stores.is_ready(destination) {
        true => stores.publish(cluster, destination, &edit, "Update from: kratix-canary"),
        false => Err(anyhow::anyhow!("its store is not ready")),
    };
    let (status, reason, message) = match &written {
        Ok(_) => ("True", "TestDocumentsWritten", "Test documents written to State Store".to_owned()),
        Err(error) => {
            ("False", "StateStoreWriteFailed", format!("Failed to write test documents to State Store: {error:#}"))
        }
    };
    let mut object = destination.clone();
    let changed = status::set_condition(&mut object, "Ready", status, reason, &message);
    status::set_observed(&mut object, "Ready");
    if changed || written.is_ok() {
        cluster.write_status(&path, &object)?;
    }
    written.map(drop)
}
