//! Gitea's API, as far as Goldpath needs it: calls, answers, and what a refusal means.
//!
//! The token goes to the configured address and nowhere else: no redirect is followed, and no
//! message repeats it.

mod pages;

pub use pages::Pages;

use crate::config::{GiteaRemote, NamedFile};
use crate::http;
use crate::text::is_deceptive;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use reqwest::blocking::multipart::{Form, Part};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, DATE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest answer that is read, in bytes: a page of a thousand entries takes a quarter of one.
const MAX_ANSWER: u64 = 16 << 20;

/// As many entries of a list as Gitea gives at once (`MAX_RESPONSE_ITEMS`).
const PAGE: usize = 50;
/// After so many pages without anything, nothing more is looked for.
const EMPTY_PAGES: usize = 3;

/// Why a call had no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Somebody else moved the branch first.
    #[error("others were faster")]
    LostRace,
    /// What was to be written contradicts what is there (409, 422): with Gitea's words.
    #[error("{0}")]
    Conflict(String),
    /// Something that may pass: the network, the server's own trouble, too many calls.
    #[error("{what}")]
    Passing {
        /// What happened.
        what: String,
        /// How long the server asks to be left alone.
        after: Option<Duration>,
    },
    /// What only a person can put right.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// Something that may pass, which no server has given a time for.
    pub fn passing(what: impl Into<String>) -> Self {
        Self::Passing { what: what.into(), after: None }
    }
}

/// One Gitea, with one identity.
pub struct Gitea {
    http: Client,
    server: Url,
    /// The header `Authorization`, and where it is from.
    credential: Mutex<HeaderValue>,
    source: Source,
    /// The server's time, when it answered last.
    time: Mutex<Option<Timestamp>>,
    /// How long a call may take, and when all of them have to be over.
    call: Duration,
    end: Option<Instant>,
    /// How often a call without an answer is made again.
    retries: u32,
}

/// Where a credential is from.
enum Source {
    Token(NamedFile),
    /// The password of a user.
    Password(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(file) => write!(f, "the token in {file}"),
            Self::Password(user) => write!(f, "the password of {user}"),
        }
    }
}

/// A path of the API, segment by segment: no text in it can become another path.
pub type Path<'a> = &'a [&'a str];

/// A place that Gitea's answers leave out.
#[derive(serde::Deserialize)]
pub struct Nothing {}

impl Gitea {
    /// Prepares to speak to the server of `remote`; a call ends after `call`.
    ///
    /// # Errors
    /// A file of the configuration that cannot be read, or holds no certificate or token.
    pub fn open(remote: &GiteaRemote, call: Duration) -> Result<Self> {
        let authority = match &remote.authority {
            Some(file) => Some((file, file.read()?)),
            None => None,
        };
        let pem = authority.as_ref().map(|(_, pem)| pem.as_slice());
        let server = Url::parse(&remote.server).context("not a URL")?;
        // What is in the clear stays on this machine, or on the way that was allowed.
        let http = http::client(pem, call, server.scheme() == "http").with_context(|| match &authority {
            Some((file, _)) => format!("cannot use {file}, which is `gitea.caFile`"),
            None => format!("cannot speak to {}", remote.server),
        })?;
        Ok(Self {
            http,
            server,
            credential: Mutex::new(read_token(&remote.token)?),
            source: Source::Token(remote.token.clone()),
            time: Mutex::new(None),
            call,
            end: None,
            retries: 0,
        })
    }

    /// The same server for somebody who signs in with a password, as Gitea demands of who makes a token.
    ///
    /// # Errors
    /// A name or password that no header can hold.
    pub fn with_password(&self, user: &str, password: &str) -> Result<Self> {
        let encoded = BASE64.encode(format!("{user}:{password}"));
        let mut credential = HeaderValue::from_str(&format!("Basic {encoded}"))?;
        credential.set_sensitive(true);
        Ok(Self {
            http: self.http.clone(),
            server: self.server.clone(),
            credential: Mutex::new(credential),
            source: Source::Password(user.to_owned()),
            time: Mutex::new(None),
            call: self.call,
            end: self.end,
            retries: self.retries,
        })
    }

    /// Has every call end before `end`, so that it can still be said who did not answer.
    pub fn until(self, end: Instant) -> Self {
        Self { end: Some(end), ..self }
    }

    /// Has each call without an answer made again, so often, after pauses of 1 s, 2 s, 4 s and so on:
    /// for callers to whom it is the same if Gitea has heard a call twice.
    pub fn retrying(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// Asks for something that need not be there.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn get<T: DeserializeOwned>(&self, path: Path<'_>, query: &[(&str, &str)]) -> Result<Option<T>, Failure> {
        match self.call(&Method::GET, path, query, None::<&()>)? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) => self.parse(path, &self.accepted(&Method::GET, path, status, body)?).map(Some),
        }
    }

    /// Asks whether something is there of which Gitea tells no more than that.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn has(&self, path: Path<'_>) -> Result<bool, Failure> {
        match self.call(&Method::GET, path, &[], None::<&()>)? {
            (StatusCode::NOT_FOUND, _) => Ok(false),
            (status, body) => self.accepted(&Method::GET, path, status, body).map(|_| true),
        }
    }

    /// Asks for all of a list that comes in pages; nothing where there is no such list.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn get_all<T: DeserializeOwned>(&self, path: Path<'_>, query: &[(&str, &str)]) -> Result<Vec<T>, Failure> {
        Ok(self.get_all_of(path, query)?.unwrap_or_default())
    }

    /// The same for a list that is not taken for an empty one where there is none, or none that may be seen.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn get_all_of<T: DeserializeOwned>(
        &self,
        path: Path<'_>,
        query: &[(&str, &str)],
    ) -> Result<Option<Vec<T>>, Failure> {
        let mut all = Vec::new();
        for page in 1.. {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let query = [query, &[("limit", size.as_str()), ("page", page.as_str())]].concat();
            let Some(more): Option<Vec<T>> = self.get(path, &query)? else { return Ok(None) };
            let last = more.len() < PAGE;
            all.extend(more);
            if last {
                break;
            }
        }
        Ok(Some(all))
    }

    /// Asks for all of a list from whose pages Gitea leaves out what is not to be shown, after it has cut them: a
    /// short page, or an empty one, is not the last.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn get_all_shown<T: DeserializeOwned>(&self, path: Path<'_>) -> Result<Vec<T>, Failure> {
        let (mut all, mut empty) = (Vec::new(), 0);
        for page in 1.. {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let query = [("limit", size.as_str()), ("page", page.as_str())];
            // Gitea says `null` for an empty one.
            let more = self.get::<Option<Vec<T>>>(path, &query)?.flatten().unwrap_or_default();
            empty = if more.is_empty() { empty + 1 } else { 0 };
            all.extend(more);
            if empty == EMPTY_PAGES {
                break;
            }
        }
        Ok(all)
    }

    /// Asks the registry of an organisation for a Terraform state.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn get_state<T: DeserializeOwned>(&self, owner: &str, name: &str) -> Result<Option<T>, Failure> {
        self.get(&["..", "packages", owner, "terraform", "state", name], &[])
    }

    /// Writes something, and gives what Gitea says of it.
    ///
    /// # Errors
    /// See [`Failure`]; a 404 is a [`Failure::Refused`].
    pub fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: Path<'_>,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let (status, answer) = self.call(&method, path, &[], Some(body))?;
        self.parse(path, &self.accepted(&method, path, status, answer)?)
    }

    /// Writes something that Gitea answers with nothing.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn put(&self, method: Method, path: Path<'_>, body: &impl Serialize) -> Result<(), Failure> {
        let (status, answer) = self.call(&method, path, &[], Some(body))?;
        self.accepted(&method, path, status, answer).map(drop)
    }

    /// Sends a file, as a form of a page would, and gives what Gitea says of it.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn upload<T: DeserializeOwned>(&self, path: Path<'_>, name: &str, text: String) -> Result<T, Failure> {
        let part = Part::text(text).file_name(name.to_owned());
        let part = part.mime_str("text/plain").map_err(|error| Failure::Refused(error.to_string()))?;
        let request = self.http.post(self.url(path, &[])).multipart(Form::new().part("attachment", part));
        let (status, answer) = self.send_once(request.header(AUTHORIZATION, self.credential()))?;
        self.parse(path, &self.accepted(&Method::POST, path, status, answer)?)
    }

    /// Removes something; what is gone already is removed.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn delete(&self, path: Path<'_>) -> Result<(), Failure> {
        match self.call(&Method::DELETE, path, &[], None::<&()>)? {
            (StatusCode::NOT_FOUND, _) => Ok(()),
            (status, body) => self.accepted(&Method::DELETE, path, status, body).map(drop),
        }
    }

    /// Signs a text with the token, so that who does not hold it cannot forge it.
    pub fn sign(&self, text: &[u8]) -> ring::hmac::Tag {
        ring::hmac::sign(&self.key(), text)
    }

    /// Whether a text was signed by somebody with the same token.
    pub fn is_signed(&self, text: &[u8], tag: &[u8]) -> bool {
        ring::hmac::verify(&self.key(), text, tag).is_ok()
    }

    /// The server's time, as of its last answer: what it has stamped is compared with that.
    pub fn now(&self) -> Timestamp {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Timestamp::now)
    }

    fn key(&self) -> ring::hmac::Key {
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.credential().as_bytes())
    }

    fn credential(&self) -> HeaderValue {
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls, as often as [`Gitea::retrying`] says while there is no answer.
    fn call(
        &self,
        method: &Method,
        path: Path<'_>,
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let mut pause = Duration::from_secs(1);
        for _ in 0..self.retries {
            match self.call_with_token(method, path, query, body) {
                Err(Failure::Passing { after, .. }) => {
                    thread::sleep(after.unwrap_or(pause).min(Duration::from_secs(60)))
                }
                Ok((status, _)) if status.is_server_error() => thread::sleep(pause),
                answer => return answer,
            }
            pause *= 2;
        }
        self.call_with_token(method, path, query, body)
    }

    /// Calls, with the token that is valid now: one that was refused is read again, once.
    fn call_with_token(
        &self,
        method: &Method,
        path: Path<'_>,
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let token = self.credential();
        let answer = self.call_once(method, path, query, body, &token)?;
        if let (StatusCode::UNAUTHORIZED, Source::Token(file)) = (answer.0, &self.source) {
            let new = read_token(file).map_err(|error| Failure::Refused(format!("{error:#}")))?;
            if new != token {
                self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&new);
                return self.call_once(method, path, query, body, &new);
            }
        }
        Ok(answer)
    }

    fn call_once(
        &self,
        method: &Method,
        path: Path<'_>,
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
        token: &HeaderValue,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let mut request = self.http.request(method.clone(), self.url(path, query)).header(AUTHORIZATION, token);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send_once(request)
    }

    fn url(&self, path: Path<'_>, query: &[(&str, &str)]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api");
            match path {
                // What is beside the API's first version, and not in it.
                ["..", path @ ..] => segments.extend(path),
                _ => segments.push("v1").extend(path),
            };
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn send_once(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Failure> {
        let left = self.end.map_or(self.call, |end| end.saturating_duration_since(Instant::now()));
        let request = request.timeout(left.min(self.call));
        let response = request.send().map_err(|error| self.unanswered(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(self.redirected(&response));
        }
        let after = after(&response);
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        if let Some(time) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            *self.time.lock().unwrap_or_else(PoisonError::into_inner) = Some(time.timestamp());
        }
        let mut answer = Vec::new();
        response
            .take(MAX_ANSWER)
            .read_to_end(&mut answer)
            .map_err(|_| Failure::passing(format!("Gitea at {} broke off in the middle of an answer", self.server)))?;
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                Err(Failure::Passing { what: format!("Gitea at {} is called too often", self.server), after })
            }
            _ => Ok((status, answer)),
        }
    }

    /// Gives the answer of a call that went well, or what went wrong.
    fn accepted(&self, method: &Method, path: Path<'_>, status: StatusCode, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if status.is_success() {
            return Ok(body);
        }
        let words = self.words(&body);
        let place = format!("{method} {}", path.join("/"));
        // What Gitea says of a branch that somebody else has moved (gitea.md): never a 409.
        let lost = ["cannot lock ref", "PushOutOfDate", "stale info", "branch commit does not match", "fetch first"];
        Err(match status {
            _ if lost.iter().any(|sign| words.contains(sign)) => Failure::LostRace,
            // All that is left of git's own words, where no hook has said why: somebody else has made the branch.
            _ if words == "push is rejected" => Failure::LostRace,
            // The registry's only words, whether the scope is missing or the user's own right.
            StatusCode::UNAUTHORIZED if words == "reqPackageAccess" => Failure::Refused(format!(
                "{} lacks the scope `read:package`, or its user may not read what `state.owner` has",
                self.source
            )),
            // What its git hook says when it cannot reach Gitea itself: no word on the token.
            StatusCode::FORBIDDEN if words.contains("Internal Server Connection Error") => {
                Failure::passing(format!("Gitea at {} does not reach itself: {place}: {words}", self.server))
            }
            StatusCode::UNAUTHORIZED => Failure::Refused(format!("Gitea refuses {}", self.source)),
            StatusCode::FORBIDDEN => Failure::Refused(match missing_scope(&words) {
                Some(scope) => format!("{} lacks the scope {scope}", self.source),
                None => format!("{} may not do this: {place}: {words}", self.source),
            }),
            StatusCode::LOCKED => {
                Failure::Refused("it is archived: have it unarchived, or name another in the configuration".to_owned())
            }
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                Failure::Conflict(format!("Gitea at {} refuses it with {status}: {place}: {words}", self.server))
            }
            StatusCode::METHOD_NOT_ALLOWED if words.contains("try again") => {
                Failure::passing(format!("Gitea at {} is not ready for it: {place}: {words}", self.server))
            }
            _ if status.is_server_error() => {
                Failure::passing(format!("Gitea at {} fails with {status}: {place}: {words}", self.server))
            }
            _ => Failure::Refused(format!("Gitea at {} refuses it with {status}: {place}: {words}", self.server)),
        })
    }

    /// What an answer says, as a part of one line.
    fn words(&self, body: &[u8]) -> String {
        #[derive(serde::Deserialize)]
        struct Message {
            message: String,
        }
        let text = String::from_utf8_lossy(body);
        // Some handlers write a second document behind the first.
        let first = serde_json::Deserializer::from_slice(body).into_iter::<Message>().next();
        let text = first.and_then(Result::ok).map_or(text.into_owned(), |m| m.message);
        // Hidden first: the end of what is told may be in the middle of the token.
        let text = self.without_token(&text);
        let line: String = text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).take(300).collect();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What a server says, which may repeat what it was sent.
    fn without_token(&self, text: &str) -> String {
        match self.credential().to_str().ok().and_then(|credential| credential.split_once(' ')) {
            Some((_, secret)) => text.replace(secret, "***"),
            None => text.to_owned(),
        }
    }

    fn parse<T: DeserializeOwned>(&self, path: Path<'_>, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|error| {
            let what = self.without_token(&error.to_string());
            Failure::passing(format!("Gitea's answer for {} is not what it should be: {what}", path.join("/")))
        })
    }

    fn unanswered(&self, error: &reqwest::Error) -> Failure {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let all = causes.join(": ");
        if all.contains("UnknownIssuer") || all.contains("UnknownCA") {
            return Failure::Refused(format!(
                "the certificate of {} is signed by an authority that is not known here: name its file as `gitea.caFile`",
                self.server
            ));
        }
        match causes.last() {
            _ if error.is_timeout() => Failure::passing(format!("Gitea at {} does not answer in time", self.server)),
            Some(last) => Failure::passing(format!("Gitea at {} does not answer: {last}", self.server)),
            None => Failure::passing(format!("Gitea at {} does not answer", self.server)),
        }
    }

    /// Where a redirect within the same server leads is told, because there what was renamed is.
    fn redirected(&self, response: &Response) -> Failure {
        let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
        let target = location.and_then(|l| self.server.join(l).ok());
        Failure::Refused(match target {
            Some(url) if url.origin() == self.server.origin() => {
                let segments = url.path().split('/').skip_while(|segment| *segment != "repos").skip(1).take(2);
                let place = self.without_token(&segments.collect::<Vec<_>>().join("/"));
                format!("it has moved to {place}: name that in the configuration")
            }
            Some(url) => format!(
                "Gitea at {} answers with a redirect to {}, which is not followed: is `gitea.url` right?",
                self.server,
                url.host_str().unwrap_or("another host")
            ),
            None => format!("Gitea at {} answers with a redirect", self.server),
        })
    }
}

fn read_token(file: &NamedFile) -> Result<HeaderValue> {
    let reading = || format!("the token in {file} cannot be used");
    let token = String::from_utf8(file.read()?).ok().filter(|t| !t.trim().is_empty()).with_context(reading)?;
    let mut value = HeaderValue::from_str(&format!("token {}", token.trim())).ok().with_context(reading)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The scope that a token lacks, from Gitea's words (`token does not have at least one of required
/// scope(s), required=[write:repository], token scope=read:repository`).
fn missing_scope(words: &str) -> Option<String> {
    let (_, rest) = words.split_once("required=[")?;
    let (scopes, _) = rest.split_once(']')?;
    Some(
        scopes
            .split(&[' ', ','][..])
            .filter(|s| !s.is_empty())
            .map(|s| format!("`{s}`"))
            .collect::<Vec<_>>()
            .join(" or "),
    )
}

/// How long a server asks to be left alone, in the form of seconds.
fn after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::config::{Config, Remote};
    use crate::outputs::Role;

    /// A Gitea that is not there, to which the token `s3cret-t0ken` would be sent.
    fn gitea() -> Gitea {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "s3cret-t0ken\n").unwrap();
        let config = folder.path().join("config.yaml");
        let text = "gitea: {url: 'http://127.0.0.1:1', tokenFile: token}\nrepositories: {catalog: {owner: o, name: c}}";
        std::fs::write(&config, text).unwrap();
        let config = Config::load(Some(&config), None, |_| false).unwrap();
        let Remote::Gitea(remote) = &config.repositories[&Role::Catalog] else { panic!("not in Gitea") };
        Gitea::open(remote, Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn a_scope_is_named_as_gitea_names_it() {
        let words = |scopes| {
            format!("token does not have at least one of required scope(s), required=[{scopes}], token scope=read:user")
        };
        assert_eq!(missing_scope(&words("write:repository")).unwrap(), "`write:repository`");
        assert_eq!(missing_scope(&words("read:issue read:repository")).unwrap(), "`read:issue` or `read:repository`");
        assert_eq!(missing_scope("user should have a permission to write to a repo"), None);
    }

    #[test]
    fn what_a_server_says_is_one_short_line_without_the_token() {
        let gitea = gitea();
        assert_eq!(gitea.words(b"{\"message\":\"a\\n b\\u202e\"}{\"x\":1}"), "a b");
        assert_eq!(gitea.words(b"<html> Bad\r\nGateway"), "<html> Bad Gateway");
        assert_eq!(gitea.words(b"sent: token s3cret-t0ken"), "sent: token ***");
        let cut = gitea.words(format!("{}s3cret-t0ken", "x".repeat(295)).as_bytes());
        assert_eq!(cut, format!("{}***", "x".repeat(295)));
        let Err(Failure::Passing { what, .. }) = gitea.parse::<u64>(&["x"], b"\"s3cret-t0ken\"") else { panic!() };
        assert!(what.contains("***") && !what.contains("s3cret"), "{what}");
    }

    #[test]
    fn a_call_that_is_too_late_ends_at_once() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut gitea = gitea().until(Instant::now());
        gitea.server = Url::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
        let Err(failure) = gitea.get::<Nothing>(&["version"], &[]) else { panic!("an answer") };
        assert_eq!(failure.to_string(), format!("Gitea at {} does not answer in time", gitea.server));
    }
}
