//! An HTTP/1.1 proxy on loopback that is told, call by call, how the network fails.
//!
//! The client speaks plain HTTP to it, and it speaks to the real server. A panic in its threads (upstream
//! cannot be reached, the client speaks no HTTP, an assertion of the test's closures) comes up when it is dropped.

use reqwest::blocking::Client;
use reqwest::{Certificate, Method, StatusCode, redirect};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What concerns one connection only, or what each side writes for itself.
const OF_THE_HOP: &str = "connection content-length expect host keep-alive proxy-authenticate proxy-authorization \
     proxy-connection te trailer transfer-encoding upgrade";

/// A request of the client, which the proxy has read to its end.
#[derive(Clone, Debug)]
pub struct Call {
    /// From 1, in order of arrival.
    pub number: usize,
    pub method: String,
    /// With the query.
    pub path: String,
    /// As the client sent them.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What upstream answered, even if the client never learns it, or what [`Verdict::Answer`] says.
    pub status: Option<u16>,
}

impl Call {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What becomes of a call.
pub enum Verdict {
    /// To upstream, and its answer back.
    Forward,
    /// Without asking upstream.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Close the connection without forwarding.
    CutBefore,
    /// Forward, throw the answer away, close the connection.
    CutAfter,
    /// Wait that long, or until the client gives up, then close without forwarding.
    Hang(Duration),
}

type Decide = Box<dyn Fn(&Call) -> Verdict + Send + Sync>;
type After = Box<dyn Fn(&Call) + Send + Sync>;
type Connection = (Weak<TcpStream>, JoinHandle<()>);

pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<Vec<Connection>>>,
}

impl Proxy {
    /// `decide` is asked for each call before it is forwarded; `after` is told of each call that upstream has
    /// answered, before the client is. `authority` is a PEM file that `upstream`'s certificate is checked with.
    pub fn start(
        upstream: &str,
        authority: Option<&Path>,
        decide: impl Fn(&Call) -> Verdict + Send + Sync + 'static,
        after: impl Fn(&Call) + Send + Sync + 'static,
    ) -> Self {
        // The process has one provider: an error says that another test has installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        // A fresh connection for each call: a kept one that upstream closes would be a fault that no test asked for.
        let mut client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(120));
        if let Some(path) = authority {
            let pem = std::fs::read(path).expect("the authority can be read");
            client = client.tls_certs_merge(Certificate::from_pem_bundle(&pem).expect("the authority is PEM"));
        }
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            client: client.build().expect("an HTTP client"),
            decide: Box::new(decide),
            after: Box::new(after),
            calls: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accepting = Arc::clone(&shared);
        let acceptor = Some(thread::spawn(move || accepting.accept(&listener)));
        Self { url: format!("http://{address}"), shared, acceptor }
    }

    /// Without a `/` at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// In order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("a lock").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The acceptor looks at `stopped` when somebody connects.
        drop(TcpStream::connect(&self.url["http://".len()..]));
        let connections = self.acceptor.take().expect("dropped once").join().unwrap_or_default();
        for stream in connections.iter().filter_map(|(stream, _)| stream.upgrade()) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
        // A test that has failed need not wait; a second panic would abort the others.
        for (_, thread) in connections.into_iter().filter(|_| !thread::panicking()) {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

struct Shared {
    upstream: String,
    client: Client,
    decide: Decide,
    after: After,
    calls: Mutex<Vec<Call>>,
    stopped: AtomicBool,
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) -> Vec<Connection> {
        let mut connections = Vec::new();
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                break;
            }
            // Only its thread holds it, so that the thread's end closes it, even by a panic.
            let stream = Arc::new(stream.expect("a connection"));
            let (weak, shared) = (Arc::downgrade(&stream), Arc::clone(&self));
            let thread = thread::spawn(move || {
                // An error is a client that is killed, or gives up: what the tests are about.
                drop(shared.serve(&stream));
            });
            connections.push((weak, thread));
        }
        connections
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let (mut reader, mut writer) = (BufReader::new(stream), stream);
        while let Some((mut call, last)) = read_call(&mut reader)? {
            call.number = self.record(&call);
            let verdict = (self.decide)(&call);
            let cut = matches!(verdict, Verdict::CutAfter);
            let answer = match verdict {
                Verdict::CutBefore => return Ok(()),
                Verdict::Hang(time) => {
                    // A read that has nothing to read ends early when there is nobody left to wait for.
                    stream.set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
                    return stream.peek(&mut [0]).map(drop);
                }
                Verdict::Answer { status, headers, body } => {
                    self.note_status(&mut call, status);
                    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes()));
                    Answer { status, headers: headers.collect(), body: body.into_bytes() }
                }
                Verdict::Forward | Verdict::CutAfter => {
                    let answer = self.forward(&call);
                    self.note_status(&mut call, answer.status);
                    (self.after)(&call);
                    answer
                }
            };
            if cut {
                return Ok(());
            }
            writer.write_all(&answer.into_bytes(&call.method))?;
            if last {
                break;
            }
        }
        Ok(())
    }

    fn record(&self, call: &Call) -> usize {
        let mut calls = self.calls.lock().expect("a lock");
        let number = calls.len() + 1;
        calls.push(Call { number, ..call.clone() });
        number
    }

    fn note_status(&self, call: &mut Call, status: u16) {
        call.status = Some(status);
        self.calls.lock().expect("a lock")[call.number - 1].status = call.status;
    }

    fn forward(&self, call: &Call) -> Answer {
        let method = Method::from_bytes(call.method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}{}", self.upstream, call.path));
        for (name, value) in call.headers.iter().filter(|(name, _)| !is_of_the_hop(name)) {
            request = request.header(name, value);
        }
        let response = request.body(call.body.clone()).send().expect("upstream answers");
        let kept = |name: &str| !is_of_the_hop(name) || (call.method == "HEAD" && name == "content-length");
        let headers = response.headers().iter().filter(|(name, _)| kept(name.as_str()));
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        let status = response.status().as_u16();
        Answer { status, headers, body: response.bytes().expect("upstream answers to the end").to_vec() }
    }
}

fn is_of_the_hop(header: &str) -> bool {
    OF_THE_HOP.split(' ').any(|name| name.eq_ignore_ascii_case(header))
}

struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Answer {
    fn into_bytes(mut self, method: &str) -> Vec<u8> {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        // The answer to a HEAD has the length of the body that a GET would get.
        let has_length = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if !has_length && !matches!(self.status, 204 | 304) {
            self.headers.push(("content-length".to_owned(), self.body.len().to_string().into_bytes()));
        }
        let mut bytes = format!("HTTP/1.1 {} {}\r\n", self.status, reason.unwrap_or_default()).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        if method != "HEAD" {
            bytes.extend(self.body);
        }
        bytes
    }
}

/// The next request and whether it is the connection's last; none when the client has closed.
fn read_call(reader: &mut impl BufRead) -> io::Result<Option<(Call, bool)>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let first = read_line(reader)?;
    let [method, path, version] = first.split(' ').collect::<Vec<_>>()[..] else {
        panic!("not a request line: {first:?}");
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut call = Call { number: 0, method, path, headers: Vec::new(), body: Vec::new(), status: None };
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').expect("a header");
        call.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let says = |header: &str, word: &str| call.header(header).is_some_and(|value| value.eq_ignore_ascii_case(word));
    let last = version != "HTTP/1.1" || says("connection", "close");
    if says("transfer-encoding", "chunked") {
        loop {
            let line = read_line(reader)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            read_body(reader, size, &mut call.body)?;
            // The end of the chunk; after the last one, of the trailers, which nobody sends.
            assert_eq!(read_line(reader)?, "");
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = call.header("content-length") {
        let length = length.parse().expect("a length");
        read_body(reader, length, &mut call.body)?;
    }
    Ok(Some((call, last)))
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    Ok(String::from_utf8(line.to_vec()).expect("UTF-8"))
}

fn read_body(reader: &mut impl Read, size: usize, body: &mut Vec<u8>) -> io::Result<()> {
    assert!(body.len() + size <= 100 << 20, "a body of more than 100 MiB");
    let start = body.len();
    body.resize(start + size, 0);
    reader.read_exact(&mut body[start..])
}
