//! Traces of a real `tsq serve` at a collector of OpenTelemetry, and one that does not answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::message::{request, series};
use crate::support::{KillOnDrop, free_port, scratch_dir, tsq_binary};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What was posted: its head, and its body.
type Post = (String, Vec<u8>);

/// A collector that takes everything and passes it on.
fn collector() -> (String, mpsc::Receiver<Post>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (posts, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, posts) = (stream.unwrap(), posts.clone());
            std::thread::spawn(move || {
                while let Some(post) = read_message(&mut stream) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                    // The test may have seen enough.
                    let _ = posts.send(post);
                }
            });
        }
    });
    (endpoint, received)
}

/// A request or an answer with a length; `None` at the end of the connection.
fn read_message(stream: &mut TcpStream) -> Option<Post> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; len.map_or(0, |len| len.trim().parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A server that exports, once it answers.
fn serve(folder: &Path, endpoint: &str, settings: &[&str]) -> (KillOnDrop, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let endpoint = format!("traces.endpoint={endpoint}");
    let mut command = Command::new(tsq_binary());
    command.current_dir(folder).args(["serve", "db", "--listen", &address, "--log-level", "warn", "--set", &endpoint]);
    settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
    let child = command.env_remove("TSQ_LOG").stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = KillOnDrop(child);
    while TcpStream::connect(&address).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    (server, address)
}

/// Sends a request; the status of its answer.
fn post(address: &str, path: &str, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    read_message(&mut stream).unwrap().0.lines().next().unwrap().to_owned()
}

fn end(server: &mut Child) {
    let asked = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert!(server.wait().unwrap().success());
}

fn count(within: &[u8], part: &[u8]) -> usize {
    within.windows(part.len()).filter(|window| *window == part).count()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn spans_of_requests_writes_commits_and_statements_reach_the_collector_under_the_callers_trace() {
    let folder = scratch_dir();
    let secrets = folder.path().join("headers");
    std::fs::write(&secrets, "authorization: Bearer the-token\n").unwrap();
    std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (endpoint, posts) = collector();
    let (mut server, address) =
        serve(folder.path(), &endpoint, &["traces.headers_file=headers", "traces.service_name=the-service"]);
    let context = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
    let remote_write = "content-encoding: snappy\r\ncontent-type: application/x-protobuf\r\n";
    let body = request([series("up", &[]).sample(1.0, 1)]).body();
    let status = post(&address, "/api/v1/write", &format!("{context}{remote_write}"), &body);
    assert_eq!(status, "http/1.1 204 no content");
    assert_eq!(post(&address, "/write", &context, b"m v=1 1\n"), "http/1.1 204 no content");
    assert_eq!(post(&address, "/api/v1/sql", &context, b"SELECT count(*) FROM m"), "http/1.1 200 ok");
    // A caller that does not want its trace recorded.
    let unsampled = format!("traceparent: 00-{}-{CALLER}-00\r\n", "ab".repeat(16));
    assert_eq!(post(&address, "/api/v1/sql", &unsampled, b"SHOW TABLES"), "http/1.1 200 ok");
    // What waits is sent at the end.
    end(&mut server.0);
    let posts: Vec<Post> = posts.try_iter().collect();
    let all: Vec<u8> = posts.iter().flat_map(|(_, body)| body.clone()).collect();
    for (head, _) in &posts {
        assert!(head.starts_with("post /v1/traces ") && head.contains("authorization: bearer the-token"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    }
    for (part, least) in [
        ("the-service", 1),
        ("POST /api/v1/write", 1),
        ("POST /write", 1),
        ("POST /api/v1/sql", 1),
        ("statement", 1),
        ("line_protocol", 1),
        ("commit", 2),
    ] {
        assert!(count(&all, part.as_bytes()) >= least, "{part} is not exported {least} times");
    }
    // Three requests, two writes, two commits and a statement; each request is a child of the caller's span.
    assert!(count(&all, &bytes(TRACE)) >= 8, "{} spans of the trace", count(&all, &bytes(TRACE)));
    assert_eq!(count(&all, &bytes(CALLER)), 3);
    assert_eq!(count(&all, &[0xab; 16]), 0, "a trace that its caller does not record");
}

#[test]
fn a_collector_that_never_answers_stops_neither_writes_nor_the_end() {
    let folder = scratch_dir();
    // It takes connections, as many as wait, and reads nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut server, address) = serve(folder.path(), &format!("http://{}/", silent.local_addr().unwrap()), &[]);
    for time in 0..200 {
        assert_eq!(post(&address, "/write", "", format!("m v=1 {time}\n").as_bytes()), "http/1.1 204 no content");
    }
    end(&mut server.0);
}

#[test]
fn what_cannot_be_exported_is_said_at_the_start() {
    let folder = scratch_dir();
    std::fs::write(folder.path().join("headers"), "authorization: x\n").unwrap();
    std::fs::set_permissions(folder.path().join("headers"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for (setting, expected) in [
        ("traces.endpoint=127.0.0.1:4318", "http://"),
        ("traces.sample_ratio=2", "0 to 1"),
        ("traces.headers_file=headers", "chmod 600"),
    ] {
        let mut command = Command::new(tsq_binary());
        command.current_dir(folder.path()).args(["serve", "db", "--listen", "127.0.0.1:0"]);
        command.args(["--set", "traces.endpoint=http://127.0.0.1:1/v1/traces", "--set", setting]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(expected), "{setting}: {errors}");
    }
}
