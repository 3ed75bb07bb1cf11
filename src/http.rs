//! How Goldpath speaks HTTP: over TLS, never to where a redirect points, never for ever.

use anyhow::{Context, Result};
use reqwest::blocking::Client;
use reqwest::{Certificate, redirect};
use std::sync::Once;
use std::time::Duration;

/// A client that trusts `authority` (PEM) beside the machine's own certificate authorities, and
/// gives up on a call after `timeout`. It follows no redirect, because its caller's credentials
/// must not reach another host; `direct`, it uses no proxy of the environment either.
///
/// # Errors
/// An `authority` that is no PEM.
pub fn client(authority: Option<&[u8]>, timeout: Duration, direct: bool) -> Result<Client> {
    static PROVIDER: Once = Once::new();
    // Who comes second finds that the first has done it.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let mut builder = Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .redirect(redirect::Policy::none())
        .user_agent(concat!("goldpath/", env!("CARGO_PKG_VERSION")));
    if direct {
        builder = builder.no_proxy();
    }
    if let Some(pem) = authority {
        let certificates = Certificate::from_pem_bundle(pem).ok().filter(|certificates| !certificates.is_empty());
        let certificates = certificates.context("it holds no certificate in PEM form")?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().context("cannot make an HTTP client")
}

/// Asks for several things, so many at once, and gives the answers in their order.
///
/// # Errors
/// The first of `ask`, behind which no more is asked.
pub fn at_once<T: Sync, R: Send, E: Send>(
    number: usize,
    what: &[T],
    ask: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let mut answers = Vec::with_capacity(what.len());
    for some in what.chunks(number) {
        let some: Result<Vec<R>, E> = std::thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|one| scope.spawn(|| ask(one))).collect();
            running.into_iter().map(|thread| thread.join().expect("a thread that does not panic")).collect()
        });
        answers.extend(some?);
    }
    Ok(answers)
}
