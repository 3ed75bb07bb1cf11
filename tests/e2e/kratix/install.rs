//! What the cluster needs: Kratix's kinds, its namespace, and the image of the containers around the steps.

use super::PLATFORM;
use crate::kubernetes::Kubernetes;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const SYSTEM: &str = "kratix-platform-system";
/// Runs as `reader`, `work-writer` and `status-writer`.
pub(super) const IMAGE: &str = "localhost/goldpath-e2e-busybox:1";
const OURS: &str = "goldpath-e2e";

/// Plural, kind, whether it is namespaced, short names, and the columns that people see.
type Kind = (&'static str, &'static str, bool, &'static [&'static str], &'static [(&'static str, &'static str)]);
const READY: &str = ".status.conditions[?(@.type==\"Ready\")]";
const KINDS: [Kind; 6] = [
    (
        "promises",
        "Promise",
        false,
        &[],
        &[
            ("Status", ".status.status"),
            ("Kind", ".status.kind"),
            ("API Version", ".status.apiVersion"),
            ("Version", ".status.version"),
            ("Message", ".status.message"),
        ],
    ),
    (
        "destinations",
        "Destination",
        false,
        &["dest", "dests"],
        &[
            ("StateStoreKind", ".spec.stateStoreRef.kind"),
            ("StateStoreName", ".spec.stateStoreRef.name"),
            ("Ready", "READY.status"),
        ],
    ),
    (
        "gitstatestores",
        "GitStateStore",
        false,
        &[],
        &[("URL", ".spec.url"), ("Branch", ".spec.branch"), ("Ready", "READY.status")],
    ),
    ("works", "Work", true, &[], &[("STATUS", "READY.message")]),
    (
        "workplacements",
        "WorkPlacement",
        true,
        &["wp", "wps"],
        &[("DESTINATION", ".spec.targetDestinationName"), ("STATUS", "READY.message")],
    ),
    ("dryruns", "DryRun", true, &[], &[]),
];

fn definition((plural, kind, namespaced, short, columns): &Kind) -> Value {
    let column =
        |(name, path): &(&str, &str)| json!({"name": name, "type": "string", "jsonPath": path.replace("READY", READY)});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.platform.kratix.io"), "labels": {"app.kubernetes.io/managed-by": OURS}},
        "spec": {
            "group": "platform.kratix.io",
            "scope": if *namespaced { "Namespaced" } else { "Cluster" },
            "names": {
                "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
                "shortNames": short, "categories": ["kratix"],
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns.iter().map(column).collect::<Vec<_>>(),
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Kratix's own kinds stay, where it is installed: then only its manager is replaced.
pub(super) fn install(kubernetes: &Kubernetes) {
    let path = format!("/api/v1/namespaces/{SYSTEM}");
    if kubernetes.get(&path).is_none() {
        let metadata = json!({"name": SYSTEM, "labels": {"app.kubernetes.io/managed-by": OURS}});
        kubernetes.apply(&path, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
    for kind in &KINDS {
        let path = format!("{DEFINITIONS}/{}.platform.kratix.io", kind.0);
        if kubernetes.get(&path).is_none_or(|it| it["metadata"]["labels"]["app.kubernetes.io/managed-by"] == OURS) {
            kubernetes.apply(&path, &definition(kind));
        }
    }
    for kind in &KINDS {
        // Established is not enough: the path must answer.
        let until = Instant::now() + Duration::from_secs(60);
        while kubernetes.get(&format!("{PLATFORM}/{}", kind.0)).is_none() {
            assert!(Instant::now() < until, "{} are not served", kind.0);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("busybox.tar");
    image(&archive);
    let address = std::env::var("CONTAINERD_ADDRESS").unwrap_or("/run/containerd/containerd.sock".to_owned());
    run(Command::new("ctr").args(["--address", &address, "--namespace", "k8s.io", "images", "import"]).arg(&archive));
}

pub(super) fn remove(kubernetes: &Kubernetes) {
    let ours = kubernetes.list(&format!("{DEFINITIONS}?labelSelector=app.kubernetes.io/managed-by%3D{OURS}"));
    if ours.is_empty() {
        return;
    }
    let requests = kubernetes.list(&format!("{DEFINITIONS}?labelSelector={}", super::PROMISE.replace('/', "%2F")));
    for definition in requests.iter().chain(&ours) {
        let spec = |key: &str| super::text(definition, &format!("/spec/{key}")).to_owned();
        let base = format!("/apis/{}/{}", spec("group"), spec("versions/0/name"));
        // Nobody is there who would take their finalizers away.
        for object in kubernetes.list(&format!("{base}/{}", spec("names/plural"))) {
            let place = match super::text(&object, "/metadata/namespace") {
                "" => base.clone(),
                namespace => format!("{base}/namespaces/{namespace}"),
            };
            let path = format!("{place}/{}/{}", spec("names/plural"), super::text(&object, "/metadata/name"));
            kubernetes.send_merge(&path, &json!({"metadata": {"finalizers": null}}));
        }
        kubernetes.delete(&format!("{DEFINITIONS}/{}", super::text(definition, "/metadata/name")));
    }
    for namespace in kubernetes.list(&format!("/api/v1/namespaces?labelSelector=app.kubernetes.io/managed-by%3D{OURS}"))
    {
        kubernetes.delete(&format!("/api/v1/namespaces/{}", super::text(&namespace, "/metadata/name")));
    }
}

/// Writes an OCI archive with the busybox of this machine (Debian: busybox-static).
fn image(archive: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, layout) = (folder.path().join("root"), folder.path().join("layout"));
    std::fs::create_dir_all(root.join("bin")).expect("a folder");
    std::fs::create_dir_all(layout.join("blobs/sha256")).expect("a folder");
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox, of the Debian package busybox-static");
    for applet in ["sh", "base64", "cp", "find", "sort"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
    let layer = folder.path().join("layer.tar");
    let options = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--create", "--file"];
    run(Command::new("tar").args(options).arg(&layer).arg("--directory").arg(&root).arg("bin"));

    let blob = |media: &str, content: &[u8]| {
        let digest = ring::digest::digest(&ring::digest::SHA256, content);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(layout.join("blobs/sha256").join(&digest), content).expect("a blob");
        let media = format!("application/vnd.oci.image.{media}");
        json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": content.len()})
    };
    let layer = blob("layer.v1.tar", &std::fs::read(layer).expect("a layer"));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"User": "65532:65532", "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob("config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]});
    let mut manifest = blob("manifest.v1+json", manifest.to_string().as_bytes());
    manifest["annotations"] = json!({"io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": IMAGE});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string()).expect("an index");
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).expect("a layout");
    run(Command::new("tar").arg("--create").arg("--file").arg(archive).arg("--directory").arg(&layout).arg("."));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
