//! Many writers at once, each a process of its own, as Kratix's Jobs are.

use super::binary;
use super::gitea::variable;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Requests for Teams, rendered, each in Kratix's folders.
pub struct Requests {
    folder: tempfile::TempDir,
    ids: Vec<String>,
}

impl Requests {
    /// Renders a Team for each id.
    pub fn render(ids: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        goldpath::repository::create_repository(&folder.path().join("infrastructure.git"), "main")
            .expect("a repository");
        let requests = Self { folder, ids };
        for id in &requests.ids {
            let object = super::team(json!({"name": id, "namespace": "people"}), json!({"id": id, "name": "A Team"}));
            let input = requests.path(id).join("input");
            fs::create_dir_all(&input).expect("a folder");
            fs::write(input.join("object.yaml"), object.to_string()).expect("a request");
            let rendered = requests.step("render", id).output().expect("a process");
            assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        }
        requests
    }

    /// Their ids.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Where a bare repository is that no server is behind.
    pub fn local_repository(&self) -> PathBuf {
        self.folder.path().join("infrastructure.git")
    }

    /// Sets the repositories that the steps deliver to.
    pub fn configure(&self, repositories: &Value, deadline: u64) {
        self.configure_at(&variable("GITEA_URL"), repositories, deadline);
    }

    /// The same, of a Gitea at this address.
    pub fn configure_at(&self, url: &str, repositories: &Value, deadline: u64) {
        let config = json!({
            "gitea": {
                "url": url,
                "caFile": variable("GITEA_CA_FILE"),
                "tokenFile": variable("GITEA_TOKEN_FILE"),
            },
            "repositories": repositories,
            "deadlineSeconds": deadline,
        });
        fs::write(self.folder.path().join("config.yaml"), config.to_string()).expect("a configuration");
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.path().join(id)
    }

    /// A step on the request of an id.
    pub fn step(&self, name: &str, id: &str) -> Command {
        let mut command = binary(name);
        command.current_dir(self.path(id)).env("SSL_CERT_FILE", variable("GITEA_CA_FILE"));
        if Path::new(&self.folder.path().join("config.yaml")).exists() {
            command.env("GOLDPATH_CONFIG", "../config.yaml");
        }
        for volume in ["INPUT", "OUTPUT", "METADATA"] {
            command.env(format!("KRATIX_{volume}"), volume.to_lowercase());
        }
        command
    }

    /// Delivers the request of an id, and gives how long that took; fails where it is to be tried later.
    pub fn deliver(&self, id: &str) -> Duration {
        let start = Instant::now();
        let output = self.step("commit", id).output().expect("a process");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !printed.contains("later: "), "{id}: {printed}");
        start.elapsed()
    }

    /// Delivers all of them, so many at a time; gives how long each took, sorted, and all together.
    pub fn deliver_all(&self, writers: usize) -> (Vec<Duration>, Duration) {
        let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..writers {
                scope.spawn(|| {
                    while let Some(id) = self.ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let time = self.deliver(id);
                        times.lock().expect("times").push(time);
                    }
                });
            }
        });
        let all = start.elapsed();
        let mut times = times.into_inner().expect("times");
        times.sort();
        (times, all)
    }
}
