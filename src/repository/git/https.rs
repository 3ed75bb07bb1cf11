//! git over https ([smart HTTP](https://git-scm.com/docs/http-protocol)) by the client that Goldpath has for everything: libgit2
//! is built without TLS of its own, so that there is one rule for certificate authorities, proxies and redirects.

use crate::config::{GitRemote, NamedFile};
use crate::http;
use crate::names::Username;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport, register};
use git2::{Error, ErrorClass, ErrorCode};
use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// How long one call may take, a large repository's too: the step has its own, shorter deadline.
const LONGEST_CALL: Duration = Duration::from_secs(600);

/// Who signs in, and what holds the token.
#[derive(Clone)]
struct Identity {
    username: Username,
    token: Option<NamedFile>,
}

/// By URL, which is all that libgit2 tells of a remote that it wants a transport for.
static IDENTITIES: Mutex<BTreeMap<String, Identity>> = Mutex::new(BTreeMap::new());

/// Has libgit2 reach a remote by this module.
///
/// # Errors
/// What libgit2 says of the registration.
pub fn prepare(remote: &GitRemote) -> Result<(), Error> {
    static REGISTERED: LazyLock<Result<(), Error>> = LazyLock::new(|| {
        #[expect(
            unsafe_code,
            reason = "libgit2's list of transports is a global: it is written once, before any remote is opened"
        )]
        unsafe {
            register("https", |remote| {
                let identities = IDENTITIES.lock().unwrap_or_else(PoisonError::into_inner);
                let identity = remote.url().ok().and_then(|url| identities.get(url)).cloned();
                let identity = identity.ok_or_else(|| failure("nobody is known who signs in there"))?;
                let client = http::client(None, LONGEST_CALL, false).map_err(|error| failure(format!("{error:#}")))?;
                Transport::smart(remote, true, Https { client, identity })
            })
        }
    });
    let identity = Identity { username: remote.username.clone(), token: remote.token.clone() };
    IDENTITIES.lock().unwrap_or_else(PoisonError::into_inner).insert(remote.url.to_string(), identity);
    REGISTERED.as_ref().map_err(|error| failure(error.message())).copied()
}

fn failure(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::GenericError, ErrorClass::Http, message)
}

/// One remote.
struct Https {
    client: Client,
    identity: Identity,
}

impl SmartSubtransport for Https {
    fn action(&self, url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, Error> {
        let (name, is_list) = match service {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        let request = match is_list {
            true => self.client.get(format!("{url}/info/refs?service={name}")),
            false => self
                .client
                .post(format!("{url}/{name}"))
                .header(CONTENT_TYPE, format!("application/x-{name}-request"))
                .header(ACCEPT, format!("application/x-{name}-result")),
        };
        let request = match &self.identity.token {
            Some(file) => {
                let token = file.read().and_then(|token| Ok(String::from_utf8(token)?));
                let token = token.map_err(|error| failure(format!("{error:#}")))?;
                request.basic_auth(self.identity.username.as_str(), Some(token.trim()))
            }
            None => request,
        };
        let has_token = self.identity.token.is_some();
        Ok(Box::new(match is_list {
            true => Stream::Answer(send(request, has_token)?),
            false => Stream::Question { request: Some(request), body: Vec::new(), has_token },
        }))
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn send(request: RequestBuilder, has_token: bool) -> Result<Response, Error> {
    let answer = request.send().map_err(|error| failure(format!("{:#}", anyhow::Error::from(error.without_url()))))?;
    match answer.status() {
        StatusCode::OK => Ok(answer),
        StatusCode::UNAUTHORIZED if has_token => {
            Err(Error::new(ErrorCode::Auth, ErrorClass::Http, "the server answers 401 Unauthorized"))
        }
        StatusCode::UNAUTHORIZED => Err(failure("it asks for a token: name its file as `tokenFile`")),
        status if status.is_redirection() && answer.headers().contains_key(LOCATION) => {
            Err(failure(format!("the server answers {status}: write the URL that it leads to")))
        }
        status => Err(failure(format!("the server answers {status}"))),
    }
}

/// A call: what is written to it is sent when its answer is first read.
enum Stream {
    Question { request: Option<RequestBuilder>, body: Vec<u8>, has_token: bool },
    Answer(Response),
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Question { body, .. } => body.write(bytes),
            Self::Answer(_) => Err(io::Error::other("it has been answered already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Question { request, body, has_token } = self {
            let request = request.take().ok_or_else(|| io::Error::other("it has failed already"))?;
            let answer = send(request.body(std::mem::take(body)), *has_token);
            *self = Self::Answer(answer.map_err(|error| io::Error::other(error.message().to_owned()))?);
        }
        match self {
            Self::Answer(answer) => answer.read(buffer),
            Self::Question { .. } => Ok(0),
        }
    }
}
