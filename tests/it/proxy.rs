//! The proxy that the tests of network faults stand on does what its verdicts say.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::proxy::{Call, Proxy, Verdict};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A server that answers with the request it got, chunked for `/chunked`; its address, and the requests.
fn upstream() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut request).unwrap(), 0);
            }
            request.make_ascii_lowercase();
            let length = request.split_once("content-length: ").map_or(0, |(_, rest)| {
                let digits = rest.split_once('\r').unwrap().0;
                digits.parse().unwrap()
            });
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            request += std::str::from_utf8(&body).unwrap();
            seen.lock().unwrap().push(request.clone());
            let head = "HTTP/1.1 201 Created\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n";
            let length = request.len();
            let answer = if request.starts_with("head ") {
                format!("{head}Content-Length: 4321\r\n\r\n")
            } else if request.starts_with("get /chunked ") {
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{request}\r\n0\r\n\r\n")
            } else {
                format!("{head}Content-Length: {length}\r\n\r\n{request}")
            };
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, requests)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// All that the proxy answers until it closes the connection.
fn ask(proxy: &Proxy, request: &str) -> String {
    let mut stream = connect(proxy);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(proxy: &Proxy, path: &str) -> String {
    ask(proxy, &format!("GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"))
}

fn by_path(call: &Call) -> Verdict {
    match call.path.as_str() {
        "/answer" => Verdict::Answer { status: 503, headers: vec![("Retry-After", "7".into())], body: "busy".into() },
        "/cut-before" => Verdict::CutBefore,
        "/cut-after" => Verdict::CutAfter,
        "/hang" => Verdict::Hang(Duration::from_millis(300)),
        "/hang-long" => Verdict::Hang(Duration::from_secs(600)),
        "/panic" => panic!("as the test wants"),
        _ => Verdict::Forward,
    }
}

#[test]
fn calls_of_one_connection_are_forwarded_and_recorded() {
    let (url, requests) = upstream();
    let proxy = Proxy::start(&format!("{url}/"), None, by_path, |_| ());
    let answer = ask(
        &proxy,
        "POST /a%2Fb?c=d HTTP/1.1\r\nHost: proxy\r\nAuthorization: token t\r\nContent-Length: 3\r\n\r\nabc\
         PUT /b HTTP/1.1\r\nHost: proxy\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nab\n\r\nA\r\n0123456789\r\n0\r\n\r\n\
         HEAD /c HTTP/1.1\r\nHost: proxy\r\nKeep-Alive: 5\r\n\r\n\
         GET /chunked HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n",
    );
    let requests = requests.lock().unwrap();
    let starts = ["post /a%2fb?c=d http/1.1\r\n", "put /b http/1.1\r\n", "head /c ", "get /chunked "];
    let ends = ["\r\n\r\nabc", "\r\n\r\nab\n0123456789", "\r\n\r\n", "\r\n\r\n"];
    for (request, (start, end)) in requests.iter().zip(starts.iter().zip(ends)) {
        assert!(request.starts_with(start) && request.ends_with(end), "{request}");
        assert!(request.contains(&format!("host: {}\r\n", &url[7..])) && !request.contains("proxy"), "{request}");
        assert!(!request.contains("keep-alive") && !request.contains("chunked\r\n"), "{request}");
    }
    assert!(requests[0].contains("\r\nauthorization: token t\r\n"));
    let head = |length| format!("HTTP/1.1 201 Created\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: {length}\r\n\r\n");
    let whole = |request: &String| head(request.len()) + request;
    assert_eq!(answer, [whole(&requests[0]), whole(&requests[1]), head(4321), whole(&requests[3])].concat());
    let calls = proxy.calls();
    let recorded: Vec<_> = calls.iter().map(|c| (c.number, c.method.as_str(), c.path.as_str(), c.status)).collect();
    assert_eq!(
        recorded,
        [
            (1, "POST", "/a%2Fb?c=d", Some(201)),
            (2, "PUT", "/b", Some(201)),
            (3, "HEAD", "/c", Some(201)),
            (4, "GET", "/chunked", Some(201))
        ]
    );
    assert_eq!((calls[1].body.as_slice(), calls[0].header("authorization")), (&b"ab\n0123456789"[..], Some("token t")));
}

#[test]
fn a_large_body_comes_and_goes_whole() {
    let (url, _) = upstream();
    let proxy = Proxy::start(&url, None, by_path, |_| ());
    let body = "0123456789abcdef".repeat(1 << 20);
    let length = body.len();
    let answer =
        ask(&proxy, &format!("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"));
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")));
}

#[test]
fn each_fault_is_what_its_verdict_says() {
    let (url, requests) = upstream();
    let proxy = Proxy::start(&url, None, by_path, |_| ());
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\ncontent-length: 4\r\n\r\nbusy";
    assert_eq!(get(&proxy, "/answer"), busy);
    assert_eq!(get(&proxy, "/cut-before"), "");
    let start = Instant::now();
    assert_eq!(get(&proxy, "/hang"), "");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(requests.lock().unwrap().len(), 0);
    assert_eq!(get(&proxy, "/cut-after"), "");
    assert_eq!(requests.lock().unwrap().len(), 1);
    let statuses: Vec<_> = proxy.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Some(503), None, None, Some(201)]);
}

#[test]
fn after_is_told_once_upstream_has_answered_and_before_the_client_is() {
    let (url, requests) = upstream();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let proxy = Proxy::start(&url, None, by_path, move |call| {
        telling.lock().unwrap().push((call.path.clone(), call.status, requests.lock().unwrap().len()));
        thread::sleep(Duration::from_millis(300));
    });
    let start = Instant::now();
    get(&proxy, "/answer");
    get(&proxy, "/forward");
    assert!(start.elapsed() >= Duration::from_millis(300));
    get(&proxy, "/cut-after");
    let expected = [("/forward".to_owned(), Some(201), 1), ("/cut-after".to_owned(), Some(201), 2)];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn a_dropped_proxy_accepts_nobody_and_leaves_nobody_waiting() {
    let (url, _) = upstream();
    let proxy = Proxy::start(&url, None, by_path, |_| ());
    let address = proxy.url()[7..].to_owned();
    let (mut idle, mut hanging) = (connect(&proxy), connect(&proxy));
    hanging.write_all(b"GET /hang-long HTTP/1.1\r\n\r\n").unwrap();
    while proxy.calls().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    drop(proxy);
    assert_eq!((idle.read(&mut [0]).unwrap(), hanging.read(&mut [0]).unwrap()), (0, 0));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_panic_in_a_closure_and_a_lost_upstream_fail_the_test() {
    let (url, _) = upstream();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (upstream, path) in [(url, "/panic"), (format!("http://{nobody}"), "/forward")] {
        let proxy = Proxy::start(&upstream, None, by_path, |_| ());
        assert_eq!(get(&proxy, path), "");
        assert!(catch_unwind(AssertUnwindSafe(|| drop(proxy))).is_err());
    }
}
