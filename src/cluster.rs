//! The platform's configuration, read through the Kubernetes API with the step's own service account.
//!
//! A step may get one ConfigMap and one Secret, list the kinds that its Promise refers to, and ask those that refer to it to run
//! again; it asks for nothing else. Neither the account's token nor a value of the Secret gets into an error, into `Debug` or into a log.

use crate::http;
use anyhow::{Context, Error, Result, anyhow, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use reqwest::StatusCode;
use reqwest::blocking::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fmt, fs, thread};

/// How long a call may take; nothing is tried again after that.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The pauses before it is tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// How long an answer may be. The API server takes objects of 1 MiB, which base64 makes a third longer.
const LIMIT: usize = 4 << 20;

/// As many objects as are asked for at once; where they are long, a quarter of that, and so on.
const PAGE: usize = 256;

/// How long all pages of a list may be together.
const LIST_LIMIT: usize = 16 << 20;

const NAMESPACE: &str = "goldpath-system";

const CONFIG_MAP: Object =
    Object { kind: "ConfigMap", resource: "configmaps", name: "goldpath", advice: "apply manifests/platform" };

const SECRET: Object = Object {
    kind: "Secret",
    resource: "secrets",
    name: "goldpath-gitea",
    advice: "manifests/platform/README.md says how to create it",
};

/// One of the two objects that a step may get.
struct Object {
    kind: &'static str,
    resource: &'static str,
    name: &'static str,
    /// What to do where there is none.
    advice: &'static str,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` in the namespace `{NAMESPACE}`", self.kind, self.name)
    }
}

/// A kind of object as the API server's addresses have it.
#[derive(Clone, Debug)]
pub struct Resource {
    /// As `platform.kratix.io`.
    pub group: String,
    /// As `v1alpha1`.
    pub version: String,
    /// As `teams`.
    pub plural: String,
}

impl Resource {
    /// Where its objects are.
    fn path(&self, namespace: Option<&str>) -> String {
        let Self { group, version, plural } = self;
        let namespace = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
        format!("/apis/{group}/{version}/{namespace}{plural}")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.plural, self.group)
    }
}

/// A value as a field selector takes it.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        escaped.extend(matches!(c, '\\' | ',' | '=').then_some('\\'));
        escaped.push(c);
    }
    escaped
}

/// What is asked of the API server.
struct Call {
    verb: &'static str,
    /// What is to be changed of it.
    body: Option<serde_json::Value>,
    path: String,
    query: Vec<(&'static str, String)>,
    /// Of what, for errors.
    what: String,
    /// The error where it is not there.
    missing: String,
}

/// An answer beyond [`LIMIT`].
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {} MiB", LIMIT >> 20)]
struct TooLong;

/// Whether asking again may help.
enum Failure {
    Passing(Error),
    Lasting(Error),
}

/// Who a step is to the API server. Its token stays in its file, and is read at each use.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The API server's address.
    url: String,
    folder: PathBuf,
}

impl ServiceAccount {
    /// The one of this process: of the API server that `KUBERNETES_SERVICE_HOST` and
    /// `KUBERNETES_SERVICE_PORT` name, with `token` and `ca.crt` in `folder`, which is
    /// `/var/run/secrets/kubernetes.io/serviceaccount` in a Pod. None outside of a cluster, or in a
    /// Pod without a token.
    #[must_use]
    pub fn find(folder: &Path) -> Option<Self> {
        Self::of(|name| env::var(name).ok(), folder)
    }

    fn of(variable: impl Fn(&str) -> Option<String>, folder: &Path) -> Option<Self> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let url = address(&variable("KUBERNETES_SERVICE_HOST")?, &variable("KUBERNETES_SERVICE_PORT")?);
        folder.join("token").is_file().then(|| Self { url, folder: folder.to_owned() })
    }

    /// What the ConfigMap `goldpath` holds, its `binaryData` too.
    ///
    /// # Errors
    /// There is none; the account may not get it; the API server does not answer, or not with it.
    pub fn config_map(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let answer: ConfigMap = parse(&self.get(&CONFIG_MAP)?, &CONFIG_MAP)?;
        let text = answer.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
        let binary = answer.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
        Ok(text.chain(binary).collect())
    }

    /// What the Secret `goldpath-gitea` holds.
    ///
    /// # Errors
    /// As of [`Self::config_map`].
    pub fn secret(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let answer: Secret = parse(&self.get(&SECRET)?, &SECRET)?;
        Ok(answer.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect())
    }

    /// The objects of a resource, page by page, each as it was told: those of one namespace, or of all, and those whose field
    /// has a value, if the resource's definition names that field as selectable. `each` gets them one after the other.
    ///
    /// # Errors
    /// The account may not list them; the API server does not know them, or does not answer; all pages together are longer
    /// than 16 MiB; what `each` says.
    pub fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        field: Option<(&str, &str)>,
        mut each: impl FnMut(&RawValue) -> Result<()>,
    ) -> Result<()> {
        #[derive(Deserialize)]
        struct List<'a> {
            #[serde(default)]
            metadata: Metadata,
            #[serde(borrow)]
            items: Vec<&'a RawValue>,
        }
        #[derive(Deserialize, Default)]
        struct Metadata {
            #[serde(default)]
            r#continue: String,
        }
        let what = resource.to_string();
        let selector = |(field, value)| ("fieldSelector", format!("{field}={}", escaped(value)));
        let query: Vec<_> = field.map(selector).into_iter().collect();
        let (mut all, mut next, mut page) = (0, String::new(), PAGE);
        loop {
            let mut query = query.clone();
            query.push(("limit", page.to_string()));
            query.extend((!next.is_empty()).then(|| ("continue", next.clone())));
            let answer = self.call(&Call {
                verb: "list",
                body: None,
                path: resource.path(namespace),
                query,
                missing: format!("the API server knows no {what}: install the Promise"),
                what: what.clone(),
            });
            let answer = match answer {
                Err(error) if error.is::<TooLong>() && page > 1 => {
                    page /= 4;
                    continue;
                }
                answer => answer?,
            };
            all += answer.len();
            ensure!(all <= LIST_LIMIT, "cannot list {what}: they are longer than {} MiB together", LIST_LIMIT >> 20);
            let List { metadata, items } = serde_json::from_slice(&answer).map_err(|error| {
                anyhow!(
                    "the API server's answer is no list of {what}: line {}, column {}",
                    error.line(),
                    error.column()
                )
            })?;
            items.into_iter().try_for_each(&mut each)?;
            next = metadata.r#continue;
            if next.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sets labels and annotations of an object: `metadata` is merged with its own.
    ///
    /// # Errors
    /// As of [`Self::list`].
    pub fn mark(&self, resource: &Resource, namespace: &str, name: &str, metadata: &Value) -> Result<()> {
        let what = format!("{resource} {namespace}/{name}");
        let answer = self.call(&Call {
            verb: "patch",
            body: Some(serde_json::json!({"metadata": metadata})),
            path: format!("{}/{name}", resource.path(Some(namespace))),
            query: Vec::new(),
            missing: format!("there is no {what} any more"),
            what,
        });
        answer.map(drop)
    }

    fn get(&self, object: &Object) -> Result<Vec<u8>> {
        self.call(&Call {
            verb: "get",
            body: None,
            path: format!("/api/v1/namespaces/{NAMESPACE}/{}/{}", object.resource, object.name),
            query: Vec::new(),
            what: format!("the {object}"),
            missing: format!("there is no {object}: {}", object.advice),
        })
    }

    fn call(&self, call: &Call) -> Result<Vec<u8>> {
        let token = fs::read_to_string(self.file("token")).with_context(|| self.cannot_read("token"))?;
        let authority = fs::read(self.file("ca.crt")).with_context(|| self.cannot_read("ca.crt"))?;
        let client = http::client(Some(authority.as_slice()).filter(|pem| !pem.is_empty()), TIMEOUT, true)
            .with_context(|| self.cannot_read("ca.crt"))?;
        let start = Instant::now();
        let mut pauses = PAUSES.iter();
        loop {
            match self.ask(&client, token.trim(), call) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(error)) => match pauses.next() {
                    Some(pause) if start.elapsed() < TIMEOUT => thread::sleep(*pause),
                    _ => return Err(error),
                },
            }
        }
    }

    fn ask(&self, client: &Client, token: &str, call: &Call) -> Result<Vec<u8>, Failure> {
        let failed = || format!("cannot {} {}", call.verb, call.what);
        let url = format!("{}{}", self.url, call.path);
        let request = match &call.body {
            None => client.get(url),
            Some(body) => {
                client.patch(url).header("Content-Type", "application/merge-patch+json").body(body.to_string())
            }
        };
        let answer = request.query(&call.query).bearer_auth(token).send().map_err(|error| {
            let lasting = error.is_builder();
            let error = Error::new(error).context(failed());
            if lasting { Failure::Lasting(error) } else { Failure::Passing(error) }
        })?;
        let status = answer.status();
        let mut body = Vec::new();
        let read = answer.take(LIMIT as u64 + 1).read_to_end(&mut body).with_context(failed);
        read.map_err(Failure::Passing)?;
        if body.len() > LIMIT {
            return Err(Failure::Lasting(Error::new(TooLong).context(failed())));
        }
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::NOT_FOUND => Err(Failure::Lasting(anyhow!("{}", call.missing))),
            StatusCode::FORBIDDEN => Err(Failure::Lasting(forbidden(&body, call))),
            StatusCode::UNAUTHORIZED => {
                let file = self.file("token");
                let error = anyhow!("the API server does not accept the token in `{}`", file.display());
                Err(Failure::Lasting(error.context(failed())))
            }
            other => {
                let error = anyhow!("the API server answers {other}").context(failed());
                let passing = other.is_server_error() || other == StatusCode::TOO_MANY_REQUESTS;
                Err(if passing { Failure::Passing(error) } else { Failure::Lasting(error) })
            }
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn cannot_read(&self, name: &str) -> String {
        format!("cannot read the service account's `{}`", self.file(name).display())
    }
}

/// The address of the API server. In a cluster of IPv6 the host is an address without brackets.
fn address(host: &str, port: &str) -> String {
    if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
}

/// What `answer` holds. The parser's own message would quote a value.
fn parse<T: DeserializeOwned>(answer: &[u8], object: &Object) -> Result<T> {
    serde_json::from_slice(answer).map_err(|error| {
        anyhow!("the API server's answer is not the {object}: line {}, column {}", error.line(), error.column())
    })
}

fn forbidden(answer: &[u8], call: &Call) -> Error {
    let who = match account(answer) {
        Some((namespace, name)) => format!("the service account `{name}` of the namespace `{namespace}`"),
        None => "the step's service account".to_owned(),
    };
    anyhow!(
        "{who} may not {} {}: the Promise's Pipeline needs rbac.permissions for it: see promises/team/promise.yaml",
        call.verb,
        call.what
    )
}

/// The namespace and the name of the account that the API server says it refused.
fn account(answer: &[u8]) -> Option<(String, String)> {
    let message = serde_json::from_slice::<Status>(answer).ok()?.message?;
    let (_, rest) = message.split_once("User \"system:serviceaccount:")?;
    let (namespace, name) = rest.split_once('"')?.0.split_once(':')?;
    Some((namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use tempfile::TempDir;

    const TOKEN: &str = "planted-5ecret-t0ken";
    const EMPTY: &str = r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {}}"#;

    /// An account of a server that gives these answers, status and body, one a connection; it
    /// hangs up instead of a status 0. The receiver gets the head of each request.
    fn account_of(answers: Vec<(u16, String)>) -> (ServiceAccount, Receiver<String>, TempDir) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(&stream).lines().map(Result::unwrap);
                sender.send(lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")).unwrap();
                if status > 0 {
                    let length = body.len();
                    let head = format!("HTTP/1.1 {status} .\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                    // A client that has heard enough hangs up.
                    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
                }
            }
        });
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        fs::write(folder.path().join("ca.crt"), "").unwrap();
        (ServiceAccount { url, folder: folder.path().to_owned() }, receiver, folder)
    }

    /// The error of asking for the Secret, and how often the server was asked.
    fn failure(answers: &[(u16, &str)]) -> (String, usize) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let (account, requests, _folder) = account_of(answers);
        let error = account.secret().unwrap_err();
        let shown = format!("{error:#}\n{error:?}\n{account:?}");
        assert!(!shown.contains("planted"), "{shown}");
        (format!("{error:#}"), requests.try_iter().count())
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        assert_eq!(address("10.96.0.1", "443"), "https://10.96.0.1:443");
        assert_eq!(address("fd00::1", "6443"), "https://[fd00::1]:6443");
    }

    #[test]
    fn an_account_takes_both_variables_and_a_token() {
        const HOST: &str = "KUBERNETES_SERVICE_HOST";
        const PORT: &str = "KUBERNETES_SERVICE_PORT";
        let folder = tempfile::tempdir().unwrap();
        let url = |variables: &[(&str, &str)]| {
            let value =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            ServiceAccount::of(value, folder.path()).map(|account| account.url)
        };
        assert_eq!(url(&[(HOST, "10.96.0.1"), (PORT, "443")]), None);
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        assert_eq!(url(&[(HOST, "10.96.0.1"), (PORT, "443")]), Some("https://10.96.0.1:443".to_owned()));
        for variables in [&[][..], &[(HOST, "10.96.0.1")], &[(PORT, "443")], &[(HOST, ""), (PORT, "443")]] {
            assert_eq!(url(variables), None, "{variables:?}");
        }
    }

    #[test]
    fn data_and_binary_data_are_bytes() {
        let body = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {},
            "data": {"config.yaml": "a: ü\n"}, "binaryData": {"ca.der": "AP8="}}"#;
        let (account, requests, _folder) = account_of(vec![(200, body.to_owned())]);
        let expected = [("ca.der".to_owned(), vec![0, 255]), ("config.yaml".to_owned(), "a: ü\n".into())];
        assert_eq!(account.config_map().unwrap(), BTreeMap::from(expected));
        let request = requests.recv().unwrap().to_lowercase();
        assert!(
            request.starts_with("get /api/v1/namespaces/goldpath-system/configmaps/goldpath http/1.1\n"),
            "{request}"
        );
        assert!(request.contains(&format!("\nauthorization: bearer {TOKEN}")), "{request}");
    }

    #[test]
    fn data_of_a_secret_is_decoded() {
        let body = r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"token": "aHVzaAo="}}"#;
        let (account, requests, _folder) = account_of(vec![(200, body.to_owned())]);
        assert_eq!(account.secret().unwrap(), BTreeMap::from([("token".to_owned(), b"hush\n".to_vec())]));
        assert!(requests.recv().unwrap().starts_with("GET /api/v1/namespaces/goldpath-system/secrets/goldpath-gitea "));
    }

    #[test]
    fn what_passes_is_asked_for_three_times() {
        for passing in [0, 429, 500, 503] {
            let answers = vec![(passing, String::new()), (passing, String::new()), (200, EMPTY.to_owned())];
            let (account, requests, _folder) = account_of(answers);
            assert_eq!(account.secret().unwrap(), BTreeMap::new(), "{passing}");
            assert_eq!(requests.try_iter().count(), 3, "{passing}");
        }
        assert_eq!(
            failure(&[(503, TOKEN), (503, TOKEN), (503, TOKEN), (200, EMPTY)]),
            (
                "cannot get the Secret `goldpath-gitea` in the namespace `goldpath-system`: \
                 the API server answers 503 Service Unavailable"
                    .to_owned(),
                3
            )
        );
    }

    #[test]
    fn what_lasts_is_asked_for_once() {
        let get = "cannot get the Secret `goldpath-gitea` in the namespace `goldpath-system`";
        for (status, answer) in [(302, "302 Found"), (400, "400 Bad Request")] {
            let expected = format!("{get}: the API server answers {answer}");
            assert_eq!(failure(&[(status, TOKEN), (200, EMPTY)]), (expected, 1));
        }
        let (error, times) = failure(&[(401, TOKEN), (200, EMPTY)]);
        assert!(error.starts_with(&format!("{get}: the API server does not accept the token in `/")), "{error}");
        assert_eq!(times, 1);
    }

    #[test]
    fn what_is_missing_comes_with_how_to_make_it() {
        let expected = "there is no Secret `goldpath-gitea` in the namespace `goldpath-system`: \
                        manifests/platform/README.md says how to create it";
        assert_eq!(failure(&[(404, "{}"), (200, EMPTY)]), (expected.to_owned(), 1));
        let (account, _requests, _folder) = account_of(vec![(404, "{}".to_owned())]);
        let expected = "there is no ConfigMap `goldpath` in the namespace `goldpath-system`: apply manifests/platform";
        assert_eq!(account.config_map().unwrap_err().to_string(), expected);
    }

    #[test]
    fn who_is_refused_is_named_with_what_it_needs() {
        let needs = "may not get the Secret `goldpath-gitea` in the namespace `goldpath-system`: \
                     the Promise's Pipeline needs rbac.permissions for it: see promises/team/promise.yaml";
        let status = r#"{"apiVersion": "v1", "kind": "Status", "metadata": {}, "message": "secrets \"goldpath-gitea\" is
            forbidden: User \"system:serviceaccount:shop:team-deliver\" cannot get resource"}"#;
        let named = format!("the service account `team-deliver` of the namespace `shop` {needs}");
        assert_eq!(failure(&[(403, &status.replace('\n', " ")), (200, EMPTY)]), (named, 1));
        for body in ["", TOKEN, &status.replace("system:serviceaccount:", "")] {
            assert_eq!(failure(&[(403, body)]).0, format!("the step's service account {needs}"));
        }
    }

    #[test]
    fn an_answer_that_is_not_the_object_is_not_quoted() {
        let not_it = "the API server's answer is not the Secret `goldpath-gitea` in the namespace `goldpath-system`: ";
        for body in [
            r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"token": "planted+5ecret!"}}"#,
            r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": "planted"}"#,
            r#"{"apiVersion": "v1", "kind": "planted", "metadata": {}}"#,
            "planted",
        ] {
            let (error, times) = failure(&[(200, body), (200, EMPTY)]);
            assert!(error.starts_with(not_it), "{error}");
            assert_eq!(times, 1);
        }
    }

    #[test]
    fn an_answer_has_a_limit() {
        let padded = |length: usize| format!("{EMPTY}{}", " ".repeat(length - EMPTY.len()));
        let (account, _requests, _folder) = account_of(vec![(200, padded(LIMIT))]);
        assert_eq!(account.secret().unwrap(), BTreeMap::new());
        let (error, times) = failure(&[(200, &padded(LIMIT + 1)), (200, EMPTY)]);
        let expected = "cannot get the Secret `goldpath-gitea` in the namespace `goldpath-system`: \
                        the answer is longer than 4 MiB";
        assert_eq!((error.as_str(), times), (expected, 1));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let (account, _requests, folder) = account_of(Vec::new());
        fs::write(folder.path().join("ca.crt"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        let file = folder.path().join("ca.crt").display().to_string();
        let error = format!("{:#}", account.secret().unwrap_err());
        assert!(
            error.starts_with(&format!("cannot read the service account's `{file}`: it holds no certificate")),
            "{error}"
        );
        fs::remove_file(&file).unwrap();
        let error = format!("{:#}", account.secret().unwrap_err());
        assert!(error.starts_with(&format!("cannot read the service account's `{file}`: No such file")), "{error}");
    }
}
