//! Gitea's pages, for what its API neither tells nor sets.

use super::{Failure, Gitea, Path};
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::{StatusCode, Url};
use std::collections::BTreeMap;
use std::time::Duration;

/// One person's session, as a browser has it.
pub struct Pages {
    http: Client,
    server: Url,
    call: Duration,
    cookies: BTreeMap<String, String>,
}

impl Gitea {
    /// Opens a session, in which nobody is signed in yet.
    pub fn pages(&self) -> Pages {
        Pages { http: self.http.clone(), server: self.server.clone(), call: self.call, cookies: BTreeMap::new() }
    }
}

impl Pages {
    /// Gives a page; nothing where there is none, or none for this person.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn get(&mut self, path: Path<'_>) -> Result<Option<String>, Failure> {
        let (status, text) = self.send(self.http.get(self.url(path)), path)?;
        Ok((status == StatusCode::OK).then_some(text))
    }

    /// Sends a form. What came of it, only another page tells.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn post(&mut self, path: Path<'_>, form: &[(&str, &str)]) -> Result<(), Failure> {
        let mut fields = self.server.clone();
        fields.query_pairs_mut().clear().extend_pairs(form);
        let request = self.http.post(self.url(path)).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(fields.query().unwrap_or_default().to_owned()), path).map(drop)
    }

    fn url(&self, path: Path<'_>) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn send(&mut self, request: RequestBuilder, path: Path<'_>) -> Result<(StatusCode, String), Failure> {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let broken = |_| Failure::passing(format!("Gitea at {} does not give /{}", self.server, path.join("/")));
        let response = request.header(COOKIE, cookies.join("; ")).timeout(self.call).send().map_err(broken)?;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|cookie| cookie.split(';').next()?.split_once('='));
            self.cookies.extend(pair.map(|(name, value)| (name.trim().to_owned(), value.to_owned())));
        }
        let status = response.status();
        let text = response.text().map_err(|_| Failure::passing(format!("Gitea at {} broke off", self.server)))?;
        match status.is_server_error() {
            true => Err(Failure::passing(format!("Gitea at {} fails with {status}: /{}", self.server, path.join("/")))),
            false => Ok((status, text)),
        }
    }
}
