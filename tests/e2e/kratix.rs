//! Stands in for Kratix's manager, which is in no package registry: real Jobs of the shape that Kratix makes, Works
//! delivered to a real repository, statuses by Kratix's rules. What our steps, scripts and tests can see is the same;
//! inside, one thread looks at everything twice a second, and keeps nothing that the API does not hold, so that it can
//! end anywhere and the next one goes on.
//!
//! In place of Kratix's adapter, busybox prints what the steps have written into the Pod's log, and the stand-in does
//! from there what the adapter would have done in the Pod.
//!
//! Not there: Promise workflows, dependencies and requirements (such a Promise does not become Available), revisions,
//! bindings, pausing, `pipelineNamespace`, component dry runs, and file path modes but `nestedByMetadata`.

mod destination;
mod dry_run;
mod install;
mod job;
mod promise;
mod request;
mod status;
mod store;
mod work;

use crate::kubernetes::Kubernetes;
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Checks of the stand-in itself that need no cluster, by name.
pub fn checks() -> impl Iterator<Item = &'static (&'static str, fn())> {
    status::CHECKS.iter().chain(work::CHECKS)
}

/// Between two looks at everything.
const PERIOD: Duration = Duration::from_millis(500);

const PLATFORM: &str = "/apis/platform.kratix.io/v1alpha1";
const PROMISE: &str = "kratix.io/promise-name";
const RESOURCE: &str = "kratix.io/resource-name";
const PIPELINE: &str = "kratix.io/pipeline-name";
const DRY_RUN: &str = "kratix.io/dry-run";
const DESTINATION: &str = "kratix.io/targetDestinationName";

/// Kratix's place, taken until this is stopped or dropped.
pub struct StandIn {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Installs what is missing, and goes on with what the cluster holds. A line for each Job, commit and failure goes
    /// to the file that `GOLDPATH_E2E_LOG` names, or to stderr.
    pub fn start(kubernetes: Kubernetes, gitea_ca: PathBuf) -> Self {
        install::install(&kubernetes);
        let log: Box<dyn Write + Send> = match std::env::var_os("GOLDPATH_E2E_LOG") {
            Some(file) => Box::new(std::fs::File::options().append(true).create(true).open(file).expect("a log")),
            None => Box::new(std::io::stderr()),
        };
        let stopped = Arc::new(AtomicBool::new(false));
        let cluster = Cluster { kubernetes, stopped: stopped.clone(), log: Arc::new(Mutex::new(log)) };
        let thread = std::thread::spawn(move || Manager::new(cluster, gitea_ca).run());
        Self { stopped, thread: Some(thread) }
    }

    /// Ends it between any two calls of the API, as a kill would.
    pub fn stop(mut self) {
        self.end();
    }

    /// Takes away what `start` has installed, and with it Promises and requests that a test has left; where Kratix's own
    /// kinds were found, nothing.
    pub fn remove(kubernetes: &Kubernetes) {
        install::remove(kubernetes);
    }

    fn end(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the stand-in for Kratix has panicked");
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.end();
    }
}

/// The API, until the stand-in is stopped.
struct Cluster {
    kubernetes: Kubernetes,
    stopped: Arc<AtomicBool>,
    log: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl Cluster {
    fn say(&self, line: &str) {
        let time = status::now();
        writeln!(self.log.lock().expect("a log"), "{time} kratix stand-in: {line}").expect("a log that can be written");
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        ensure!(!self.is_stopped(), "stopped");
        Ok(match method {
            "MERGE" => self.kubernetes.send_merge(path, body),
            _ => self.kubernetes.send(method, path, body),
        })
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        match self.send(method, path, body)? {
            (200..300, answer) => Ok(answer),
            (status, answer) => bail!("{method} {path}: {status} {}", answer["message"]),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Value>> {
        match self.send("GET", path, &Value::Null)? {
            (404, _) => Ok(None),
            (200, object) => Ok(Some(object)),
            (status, answer) => bail!("GET {path}: {status} {}", answer["message"]),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Value>> {
        Ok(serde_json::from_value(self.call("GET", path, &Value::Null)?["items"].take())?)
    }

    /// Makes an object, or replaces the one that has its name.
    fn ensure(&self, collection: &str, object: &Value) -> Result<Value> {
        match self.send("POST", collection, object)? {
            (409, _) => {
                let path = format!("{collection}/{}", text(object, "/metadata/name"));
                self.call("MERGE", &path, object)
            }
            (200..300, object) => Ok(object),
            (status, answer) => bail!("POST {collection}: {status} {}", answer["message"]),
        }
    }

    /// Writes an object's status, unless somebody has changed the object since it was read: then it fails, and the
    /// next look reads it again.
    fn write_status(&self, path: &str, object: &Value) -> Result<Value> {
        self.call("PUT", &format!("{path}/status"), object)
    }

    /// Removes an object, with the finalizers that Kratix's own manager may have left on it.
    fn delete(&self, path: &str, object: &Value) -> Result<()> {
        if object["metadata"]["finalizers"].as_array().is_some_and(|them| !them.is_empty()) {
            self.call("MERGE", path, &json!({"metadata": {"finalizers": null}}))?;
        }
        match self.send("DELETE", &format!("{path}?propagationPolicy=Background"), &Value::Null)? {
            (404 | 200..300, _) => Ok(()),
            (status, answer) => bail!("DELETE {path}: {status} {}", answer["message"]),
        }
    }
}

/// All that is looked at, as it was when this look began.
struct World {
    destinations: Vec<Value>,
    promises: Vec<Value>,
    jobs: Vec<Value>,
    works: Vec<Value>,
    placements: Vec<Value>,
}

impl World {
    fn read(cluster: &Cluster) -> Result<Self> {
        let ours = |plural: &str| cluster.list(&format!("{PLATFORM}/{plural}"));
        Ok(Self {
            destinations: ours("destinations")?,
            promises: ours("promises")?,
            jobs: cluster.list("/apis/batch/v1/jobs?labelSelector=app.kubernetes.io/managed-by%3DKratix")?,
            works: ours("works")?,
            placements: ours("workplacements")?,
        })
    }
}

struct Manager {
    cluster: Cluster,
    stores: store::Stores,
    /// The last failure of each object, to be told once.
    failures: HashMap<String, String>,
}

impl Manager {
    fn new(cluster: Cluster, gitea_ca: PathBuf) -> Self {
        Self { cluster, stores: store::Stores::new(gitea_ca), failures: HashMap::new() }
    }

    fn run(mut self) {
        self.cluster.say("started");
        while !self.cluster.is_stopped() {
            match self.look() {
                Ok(true) => continue,
                Ok(false) => self.note("the cluster", Ok(())),
                Err(failure) => self.note("the cluster", Err(failure)),
            }
            std::thread::sleep(PERIOD);
        }
        self.cluster.say("stopped");
    }

    /// Looks at everything once; tells whether a store was written.
    fn look(&mut self) -> Result<bool> {
        self.stores.look(&self.cluster)?;
        let world = World::read(&self.cluster)?;
        for destination in &world.destinations {
            let done = destination::reconcile(&self.cluster, &mut self.stores, &world, destination);
            self.note(&named("destination", destination), done);
        }
        for promise in &world.promises {
            let requests = promise::reconcile(&self.cluster, promise);
            let requests = requests.map(|requests| {
                for request in requests {
                    let name = named("request", &request);
                    let done = request::reconcile(&self.cluster, &mut self.stores, &world, promise, request);
                    self.note(&name, done);
                }
            });
            self.note(&named("promise", promise), requests);
        }
        for work in &world.works {
            let done = work::schedule(&self.cluster, &mut self.stores, &world, work);
            self.note(&named("work", work), done);
        }
        for dry_run in self.cluster.list(&format!("{PLATFORM}/dryruns"))? {
            let done = dry_run::reconcile(&self.cluster, &world, &dry_run);
            self.note(&named("dry run", &dry_run), done);
        }
        for placement in &world.placements {
            let done = work::deliver(&self.cluster, &mut self.stores, &world, placement);
            self.note(&named("workplacement", placement), done);
        }
        Ok(self.stores.published)
    }

    /// Tells a failure, unless it is the same as before or heals by itself: all is tried again at the next look.
    fn note(&mut self, what: &str, done: Result<()>) {
        let Err(failure) = done.map_err(|it| format!("{it:#}")) else {
            self.failures.remove(what);
            return;
        };
        let heals =
            self.cluster.is_stopped() || failure.contains("the object has been modified") || failure == store::LATER;
        if !heals && self.failures.get(what) != Some(&failure) {
            self.cluster.say(&format!("{what}: {failure}"));
            self.failures.insert(what.to_owned(), failure);
        }
    }
}

/// A text of an object; empty if it is not there.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}

fn has_labels(object: &Value, labels: &[(&str, &str)]) -> bool {
    labels.iter().all(|(key, value)| label(object, key) == *value)
}

fn named(kind: &str, object: &Value) -> String {
    format!("{kind} {}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// The path of an object of Kratix's API group.
fn path_of(plural: &str, object: &Value) -> String {
    let name = text(object, "/metadata/name");
    match text(object, "/metadata/namespace") {
        "" => format!("{PLATFORM}/{plural}/{name}"),
        namespace => format!("{PLATFORM}/namespaces/{namespace}/{plural}/{name}"),
    }
}

/// Hex digits that name a text. Kratix takes MD5; nobody computes them again.
fn digest(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A name that fits a label, with five more characters.
fn name_with(name: &str, suffix: &str) -> String {
    let name = &name[..name.len().min(56)];
    format!("{}-{}", name.trim_end_matches(|it: char| !it.is_ascii_alphanumeric()), &suffix[..5])
}
