//! The API of the cluster that `KUBECONFIG` names. Every answer comes from the server: nothing is kept here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::blocking::{Client, Response};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a server that does not answer, or is too busy, is asked again: tests restart things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with the certificate of the kubeconfig's current user.
#[derive(Clone)]
pub struct Kubernetes {
    http: Client,
    server: String,
}

impl Kubernetes {
    /// Of the current context of the file that `KUBECONFIG` names.
    pub fn connect() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = PathBuf::from(std::env::var("KUBECONFIG").expect("KUBECONFIG is set"));
        let config: Value = serde_yaml::from_slice(&std::fs::read(&file).expect("a kubeconfig")).expect("YAML");
        let named = |list: &str, key: &str, name: &Value| {
            let entries = config[list].as_array().expect("a list");
            entries.iter().find(|entry| entry["name"] == *name).expect("an entry of that name")[key].clone()
        };
        let context = named("contexts", "context", &config["current-context"]);
        let cluster = named("clusters", "cluster", &context["cluster"]);
        let user = named("users", "user", &context["user"]);
        let folder = file.parent().unwrap_or(Path::new("."));
        let pem = |entry: &Value, key: &str| match (&entry[format!("{key}-data")], &entry[key]) {
            (Value::String(data), _) => STANDARD.decode(data).expect("base64"),
            (_, Value::String(path)) => std::fs::read(folder.join(path)).expect("a file of the kubeconfig"),
            _ => panic!("the kubeconfig has no {key}"),
        };
        let authority = reqwest::Certificate::from_pem_bundle(&pem(&cluster, "certificate-authority")).expect("PEM");
        let identity = [pem(&user, "client-certificate"), b"\n".to_vec(), pem(&user, "client-key")].concat();
        let http = Client::builder()
            .no_proxy()
            .tls_certs_only(authority)
            .identity(reqwest::Identity::from_pem(&identity).expect("a certificate and its key"))
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        Self { http, server: cluster["server"].as_str().expect("a server").trim_end_matches('/').to_owned() }
    }

    /// Asks for anything; gives the status and the answer. `null` is no body.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.exchange(method, path, "application/json", body);
        (answer.status().as_u16(), answer.json().unwrap_or(Value::Null))
    }

    /// An object; none if it is not there.
    pub fn get(&self, path: &str) -> Option<Value> {
        match self.send("GET", path, &Value::Null) {
            (404, _) => None,
            answer => Some(expect_success("GET", path, answer)),
        }
    }

    /// The objects of a collection.
    pub fn list(&self, path: &str) -> Vec<Value> {
        let mut list = expect_success("GET", path, self.send("GET", path, &Value::Null));
        serde_json::from_value(list["items"].take()).expect("a list")
    }

    /// Makes an object, or makes these fields of it what they are to be, whoever set them before.
    pub fn apply(&self, path: &str, object: &Value) -> Value {
        let query = format!("{path}?fieldManager=goldpath-e2e&force=true");
        let answer = self.exchange("PATCH", &query, "application/apply-patch+yaml", object);
        expect_success("PATCH", path, (answer.status().as_u16(), answer.json().unwrap_or(Value::Null)))
    }

    /// Changes fields of an object by a merge patch; `null` removes one.
    pub fn merge(&self, path: &str, patch: &Value) -> Value {
        expect_success("PATCH", path, self.send_merge(path, patch))
    }

    /// A merge patch that may be refused.
    pub fn send_merge(&self, path: &str, patch: &Value) -> (u16, Value) {
        let answer = self.exchange("PATCH", path, "application/merge-patch+json", patch);
        (answer.status().as_u16(), answer.json().unwrap_or(Value::Null))
    }

    /// Deletes an object, if it is there; what it owns goes afterwards.
    pub fn delete(&self, path: &str) {
        let answer = self.send("DELETE", &format!("{path}?propagationPolicy=Background"), &Value::Null);
        if answer.0 != 404 {
            expect_success("DELETE", path, answer);
        }
    }

    /// What a container has printed so far; none if the Pod is gone, or its log.
    pub fn find_logs(&self, namespace: &str, pod: &str, container: &str) -> Option<String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}");
        let answer = self.exchange("GET", &path, "application/json", &Value::Null);
        answer.status().is_success().then(|| answer.text().expect("UTF-8"))
    }

    fn exchange(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Response {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut request = self.http.request(method.parse().expect("a method"), format!("{}{path}", self.server));
            if !body.is_null() {
                request = request.header("Content-Type", content_type).body(body.to_string());
            }
            let answer = request.send();
            let passes = answer.as_ref().map_or(true, |it| it.status() == 429 || it.status().is_server_error());
            if !passes || Instant::now() > until {
                return answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

fn expect_success(method: &str, path: &str, (status, answer): (u16, Value)) -> Value {
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}
