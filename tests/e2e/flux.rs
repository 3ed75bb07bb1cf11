//! Flux brings what Kratix delivers to the clusters themselves, and takes it out of them.

use crate::stories::shell_image;
use crate::support::gitea::{admin_token, variable};
use crate::support::until;
use crate::world::{World, condition, kubectl, run};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const FLUX: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations";
const SOURCES: &str = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories";

pub fn flux_brings_an_application_to_every_cluster_and_out_of_them(world: &World) {
    let flux = Flux::prepare(world);
    let namespace = world.namespace("flux");
    let team = world.team(&namespace, "owners", "flux");
    let id = team.managed.0.clone();
    team.apply(&json!({"name": "Owners"}));
    let cluster = |name: &str| {
        let gateway = json!({"namespace": "gateways", "name": "public"});
        json!({
            "name": name, "stateStore": world.store(), "kubeConfig": {"secret": "e2e-cluster"},
            "gateways": {"public": gateway}, "routes": "v1alpha2",
        })
    };
    let clusters = |names: &[&str]| json!({"clusters": names.iter().map(|name| cluster(name)).collect::<Vec<_>>()});
    let two = world.environment("e2e-two");
    let one = world.environment("e2e-one");
    two.apply(&clusters(&["flux-a", "flux-b"]));
    one.apply(&clusters(&["flux-c"]));
    two.delivered();
    one.delivered();
    team.delivered(90);
    // What is for the platform's own cluster, its Flux applies: the Destinations, and what brings their content to the clusters.
    for name in ["e2e-two.flux-a", "e2e-two.flux-b", "e2e-one.flux-c"] {
        until(
            90,
            || format!("the Destination {name}"),
            || {
                flux.look("e2e-platform");
                world.kubernetes.get(&format!("/apis/platform.kratix.io/v1alpha1/destinations/{name}"))
            },
        );
    }

    let shop = world.application(&namespace, "shop");
    let component = json!({
        "name": "web", "type": "webapp", "port": 80, "visibility": "public", "host": "flux.example.com",
        "autoscaling": {"min": 2, "max": 5, "cpu": 80}, "files": [{"path": "/etc/web/a.conf", "content": "a"}],
    });
    // Flux waits until what it has applied is well.
    let image = images(world);
    let runs = json!({
        "command": ["/bin/sh", "-c", "sleep 100000"], "security": {"runAsUser": 65532}, "cpu": "10m", "memory": "16Mi",
        "terminationGracePeriodSeconds": 1,
    });
    let with = |component: Value, patch: &Value| {
        let mut component = component;
        let fields = component.as_object_mut().unwrap();
        fields.extend(patch.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        component
    };
    let component = with(component, &runs);
    let other = with(json!({"name": "work", "type": "worker"}), &runs);
    let edit = |version: &str, components: Value, names: &[&str]| {
        let instance = |name: &&str| match name.strip_suffix(" off") {
            Some(name) => json!({"environment": name, "image": image, "version": version, "enabled": false}),
            None => json!({"environment": name, "image": image, "version": version}),
        };
        let instances: Vec<_> = names.iter().map(instance).collect();
        shop.apply(&json!({"team": id, "components": components, "instances": instances}));
        shop.delivered();
    };
    let here = |environment: &str| Namespace { world, name: format!("{id}--shop--{environment}") };
    let (in_two, in_one) = (here("e2e-two"), here("e2e-one"));
    edit("1", json!([component, other]), &["e2e-two", "e2e-one"]);
    flux.wait("all of it", || {
        let all = |it: &Namespace| it.names("apps/v1", "deployments") == ["web", "work"] && it.has_route("httproutes");
        all(&in_two) && all(&in_one)
    });
    // Two Destinations of one cluster: each of them has applied the same.
    flux.wait("all of it, for each Destination,", || {
        ["e2e-two.flux-a", "e2e-two.flux-b", "e2e-one.flux-c"].iter().all(|name| {
            let applied = world.kubernetes.get(&format!("{FLUX}/{name}")).unwrap_or_default();
            applied["status"]["inventory"]["entries"].as_array().is_some_and(|entries| entries.len() > 10)
        })
    });

    // What an autoscaler does stays, and a new version changes the Deployments alone.
    kubectl(&["scale", "deployment/web", "--replicas=4", "--namespace", &in_one.name]);
    let before = in_one.versions();
    let component = |patch: Value| with(component.clone(), &patch);
    edit("2", json!([component(json!({})), other]), &["e2e-two", "e2e-one"]);
    flux.wait("the new version", || {
        let containers = in_one.deployment("web")["spec"]["template"]["spec"]["containers"].clone();
        containers[0]["image"] == format!("{image}:2")
    });
    assert_eq!(in_one.deployment("web")["spec"]["replicas"], 4);
    let changed: Vec<_> =
        in_one.versions().into_iter().filter(|it| before.get(&it.0) != Some(&it.1)).map(|it| it.0).collect();
    assert_eq!(changed, ["deployments/web", "deployments/work"]);

    // From http to tcp, and to nobody outside.
    edit("2", json!([component(json!({"protocol": "tcp", "host": null})), other]), &["e2e-two", "e2e-one"]);
    flux.wait("the other route", || in_one.has_route("tcproutes") && !in_one.has_route("httproutes"));
    edit("2", json!([component(json!({"visibility": "cluster", "host": null})), other]), &["e2e-two", "e2e-one"]);
    flux.wait("no route", || !in_one.has_route("tcproutes") && !in_one.has_route("httproutes"));
    // A component that is off, an instance that is off, and one that is taken out.
    edit("2", json!([component(json!({"enabled": false})), other]), &["e2e-two", "e2e-one"]);
    flux.wait("one component", || in_one.names("apps/v1", "deployments") == ["work"]);
    edit("2", json!([other]), &["e2e-two", "e2e-one off"]);
    flux.wait("no component", || in_one.names("apps/v1", "deployments").is_empty());
    assert!(!in_one.names("v1", "limitranges").is_empty(), "what it may have stays as it was");
    edit("2", json!([other]), &["e2e-two"]);
    flux.wait("nothing", || in_one.names("v1", "limitranges").is_empty());
    let left = world.kubernetes.get(&format!("/api/v1/namespaces/{}", in_one.name)).unwrap();
    assert_eq!(left["status"]["phase"], "Active", "what people have in it stays");
    assert_eq!(shop.get().unwrap()["status"]["left"][0]["namespace"], in_one.name.as_str());

    // A cluster that is taken out: its objects go first, and then what brought them. The other brings them back, because here
    // both are one.
    two.apply(&clusters(&["flux-a"]));
    flux.wait("the cluster to be let go of", || {
        let gone = |path: String| world.kubernetes.get(&path).is_none();
        gone(format!("{FLUX}/e2e-two.flux-b"))
            && gone("/apis/platform.kratix.io/v1alpha1/destinations/e2e-two.flux-b".to_owned())
    });
    flux.wait("the other cluster to have it", || in_two.names("apps/v1", "deployments") == ["work"]);
    shop.delete();
    until(180, || "the Application to be gone".to_owned(), || shop.get().is_none().then_some(()));
    flux.wait("nothing", || in_two.names("apps/v1", "deployments").is_empty());
    for environment in [&one, &two] {
        environment.delete();
        until(180, || "the Environment to be gone".to_owned(), || environment.get().is_none().then_some(()));
    }
    flux.wait("no Destination", || {
        let there = world.kubernetes.list("/apis/platform.kratix.io/v1alpha1/destinations");
        !there.iter().any(|it| it["metadata"]["name"].as_str().unwrap().starts_with("e2e-"))
    });
    for it in [&in_one, &in_two] {
        world.kubernetes.delete(&format!("/api/v1/namespaces/{}", it.name));
    }
}

/// An image that the node has as the versions 1 and 2.
fn images(world: &World) -> String {
    let shell = shell_image(world);
    for version in ["1", "2"] {
        let mut tag = Command::new("ctr");
        tag.args(["--address", &variable("CONTAINERD_ADDRESS"), "--namespace", "k8s.io", "images", "tag", "--force"]);
        run(tag.args([shell.as_str().unwrap(), &format!("localhost/e2e-shop:{version}")]));
    }
    "localhost/e2e-shop".to_owned()
}

/// The platform's Flux, which has what Kratix writes for the platform's own cluster.
struct Flux<'w> {
    world: &'w World,
}

impl<'w> Flux<'w> {
    fn prepare(world: &'w World) -> Self {
        let flux = Self { world };
        let kubernetes = &world.kubernetes;
        kubernetes.apply(
            "/api/v1/namespaces/flux-system",
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}),
        );
        let secret = |name: &str, data: Value| {
            let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "flux-system"}, "stringData": data});
            kubernetes.apply(&format!("/api/v1/namespaces/flux-system/secrets/{name}"), &object);
        };
        let authority = std::fs::read_to_string(variable("GITEA_CA_FILE")).unwrap();
        secret("e2e-state", json!({"username": "platform-admin", "password": admin_token(), "ca.crt": authority}));
        let kubeconfig = std::fs::read_to_string(variable("KUBECONFIG")).unwrap();
        secret("e2e-cluster", json!({"value": kubeconfig}));
        let metadata = json!({"name": "e2e-platform", "namespace": "flux-system"});
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": metadata,
            "spec": {"interval": "1h", "url": world.state_url(), "ref": {"branch": "main"}, "secretRef": {"name": "e2e-state"}},
        });
        kubernetes.apply(&format!("{SOURCES}/e2e-platform"), &source);
        let all = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata,
            "spec": {
                "interval": "1h", "prune": true, "path": "platform",
                "sourceRef": {"kind": "GitRepository", "name": "e2e-platform"},
            },
        });
        kubernetes.apply(&format!("{FLUX}/e2e-platform"), &all);
        flux
    }

    /// Has it look at a source now, and not in a minute.
    fn look(&self, name: &str) {
        let now = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": jiff::Timestamp::now().to_string()}}});
        for path in [format!("{SOURCES}/{name}"), format!("{FLUX}/{name}")] {
            self.world.kubernetes.send_merge(&path, &now);
        }
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        until(
            180,
            || format!("{what} in the cluster; {}", self.told()),
            || {
                if is_so() {
                    return Some(());
                }
                for name in ["e2e-platform", "e2e-two.flux-a", "e2e-two.flux-b", "e2e-one.flux-c"] {
                    self.look(name);
                }
                std::thread::sleep(std::time::Duration::from_secs(2));
                None
            },
        );
    }

    /// What it says of all that it applies.
    fn told(&self) -> String {
        let all = self.world.kubernetes.list(FLUX);
        let told = all.iter().map(|it| format!("{}: {}", it["metadata"]["name"], condition(it, "Ready")["message"]));
        told.collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Flux<'_> {
    fn drop(&mut self) {
        for path in [format!("{FLUX}/e2e-platform"), format!("{SOURCES}/e2e-platform")] {
            self.world.kubernetes.delete(&path);
        }
    }
}

/// The namespace of an instance, in the cluster itself.
struct Namespace<'w> {
    world: &'w World,
    name: String,
}

impl Namespace<'_> {
    fn all(&self, api: &str, plural: &str) -> Vec<Value> {
        let group = if api == "v1" { "/api".to_owned() } else { "/apis".to_owned() };
        self.world.kubernetes.list(&format!("{group}/{api}/namespaces/{}/{plural}", self.name))
    }

    fn names(&self, api: &str, plural: &str) -> Vec<String> {
        let all = self.all(api, plural);
        all.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    fn deployment(&self, name: &str) -> Value {
        self.world.kubernetes.get(&format!("/apis/apps/v1/namespaces/{}/deployments/{name}", self.name)).unwrap()
    }

    fn has_route(&self, plural: &str) -> bool {
        let api = if plural == "httproutes" { "v1" } else { "v1alpha2" };
        !self.names(&format!("gateway.networking.k8s.io/{api}"), plural).is_empty()
    }

    /// How often what it is to be of each object has changed: of those that we make, by their kind and name.
    fn versions(&self) -> BTreeMap<String, Value> {
        let kinds = [
            ("apps/v1", "deployments"),
            ("autoscaling/v2", "horizontalpodautoscalers"),
            ("gateway.networking.k8s.io/v1", "httproutes"),
            ("networking.k8s.io/v1", "networkpolicies"),
            ("policy/v1", "poddisruptionbudgets"),
            ("rbac.authorization.k8s.io/v1", "rolebindings"),
            ("v1", "configmaps"),
            ("v1", "limitranges"),
            ("v1", "resourcequotas"),
            ("v1", "serviceaccounts"),
            ("v1", "services"),
        ];
        let mut versions = BTreeMap::new();
        for (api, plural) in kinds {
            for it in self.all(api, plural) {
                let is_ours = it["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "goldpath";
                // A status is none of ours.
                let applied = it["metadata"]["managedFields"].as_array().into_iter().flatten();
                let own: Vec<_> =
                    applied.filter(|it| it["manager"] == "kustomize-controller").map(|it| it["time"].clone()).collect();
                if is_ours {
                    versions.insert(format!("{plural}/{}", it["metadata"]["name"].as_str().unwrap()), json!(own));
                }
            }
        }
        versions
    }
}
