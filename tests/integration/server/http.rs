//! SQL over HTTP, health, metrics, limits of connections, shutdown.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lynxstore::Database;
use lynxstore::server::{Exposure, Server, ServerOptions};
use serde_json::json;

use super::client::{Answer, TestServer};
use super::message::{request, series};
use crate::support::scratch_dir;

fn sql(server: &TestServer, sql: &str) -> Answer {
    server.post("/api/v1/sql", &[], sql.as_bytes())
}

fn with_rows() -> TestServer {
    let server = TestServer::start();
    let create = "CREATE TABLE readings (time TIMESTAMP, host STRING TAG, usage DOUBLE, count BIGINT, note STRING)";
    let answer = sql(&server, create);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let insert = "INSERT INTO readings (time, host, usage, count, note) VALUES \
                  ('2026-01-01T00:00:00Z', 'a', 1.5, 9007199254740993, 'x,\"y\"'), \
                  ('2026-01-01T00:00:00.5Z', 'b', 2.0, 7, '')";
    let answer = sql(&server, insert);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["rows_affected"], 2, "{}", answer.text);
    server
}

#[test]
fn a_result_comes_as_json_json_lines_or_csv() {
    let server = with_rows();
    let statement = "SELECT time, host, usage, count, note FROM readings ORDER BY time";
    let answer = sql(&server, statement);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let result = answer.json();
    let names: Vec<_> = result["columns"].as_array().unwrap().iter().map(|column| column["name"].clone()).collect();
    assert_eq!(names, ["time", "host", "usage", "count", "note"]);
    assert_eq!(
        result["rows"],
        json!([
            ["2026-01-01T00:00:00Z", "a", 1.5, "9007199254740993", "x,\"y\""],
            ["2026-01-01T00:00:00.500Z", "b", 2.0, 7, ""],
        ])
    );
    assert_eq!(result["row_count"], 2);
    assert!(result["elapsed_ms"].as_f64().is_some_and(|elapsed| elapsed >= 0.0));

    let csv = "time,host,usage,count,note\n\
               2026-01-01T00:00:00Z,a,1.5,9007199254740993,\"x,\"\"y\"\"\"\n\
               2026-01-01T00:00:00.500Z,b,2.0,7,\"\"\n";
    assert_eq!(server.post("/api/v1/sql?format=csv", &[], statement.as_bytes()).text, csv);
    let by_accept = server.post("/api/v1/sql", &[("accept", "text/csv")], statement.as_bytes());
    assert_eq!((by_accept.text.as_str(), by_accept.status), (csv, 200));

    let lines = server.post("/api/v1/sql?format=ndjson", &[], b"SELECT host, count FROM readings ORDER BY host").text;
    assert_eq!(lines, "{\"host\":\"a\",\"count\":\"9007199254740993\"}\n{\"host\":\"b\",\"count\":7}\n");
}

#[test]
fn a_statement_comes_as_text_as_json_or_in_the_address() {
    let server = with_rows();
    let expected = json!([[2]]);
    let as_json = server.post(
        "/api/v1/sql",
        &[("content-type", "application/json")],
        br#"{"sql": "SELECT count(*) FROM readings"}"#,
    );
    assert_eq!(as_json.json()["rows"], expected);
    let in_address = server.get("/api/v1/sql?q=SELECT%20count(*)%20FROM%20readings");
    assert_eq!(in_address.json()["rows"], expected);
    assert_eq!(server.rows("SELECT count(*) FROM readings;"), expected);
}

#[test]
fn errors_say_their_kind_and_have_the_status_that_fits() {
    let server = with_rows();
    let create = "CREATE TABLE readings (time TIMESTAMP, host STRING TAG, usage DOUBLE)";
    for (statement, status, kind) in [
        ("SELECT (1", 400, "invalid_input"),
        ("SELECT nothing FROM readings", 400, "invalid_input"),
        ("SELECT * FROM absent", 404, "not_found"),
        (create, 409, "already_exists"),
        ("COPY readings TO '/tmp/stolen.csv'", 400, "unsupported"),
        ("SELECT * FROM '/etc/passwd.csv'", 400, "unsupported"),
        ("", 400, "invalid_input"),
    ] {
        let answer = sql(&server, statement);
        assert_eq!(answer.status, status, "{statement}: {}", answer.text);
        assert_eq!(answer.json()["error"]["kind"], kind, "{statement}: {}", answer.text);
        assert!(answer.json()["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{statement}");
    }
    let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(sql(&server, &deep).status, 400);
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert_eq!(sql(&server, &long).status, 413);
    assert_eq!(server.post("/api/v1/sql?format=xml", &[], b"SELECT 1").status, 400);
    assert_eq!(server.post("/api/v1/sql", &[("origin", "http://elsewhere.example")], b"SELECT 1").status, 403);
    assert_eq!(server.post("/api/v1/sql", &[("content-type", "application/json")], b"SELECT 1").status, 400);
    assert_eq!(server.get("/api/v1/sql").status, 400);
}

#[test]
fn get_never_writes() {
    let server = with_rows();
    for statement in ["DROP%20TABLE%20readings", "INSERT%20INTO%20readings%20(time)%20VALUES%20(1)"] {
        assert_eq!(server.get(&format!("/api/v1/sql?q={statement}")).status, 400, "{statement}");
    }
    assert_eq!(server.rows("SELECT count(*) FROM readings"), json!([[2]]));
}

#[test]
fn a_result_over_the_limit_of_rows_is_refused() {
    let server = TestServer::start_with(ServerOptions { sql_rows_max: 10, ..ServerOptions::default() });
    let all = (0..20).map(|index| series("up", &[]).sample(1.0, index));
    assert_eq!(server.write(&request(all).body()).status, 204);
    let answer = sql(&server, "SELECT * FROM up");
    assert_eq!((answer.status, &answer.json()["error"]["kind"]), (400, &json!("limit_exceeded")), "{}", answer.text);
    assert_eq!(server.rows("SELECT count(*) FROM up"), json!([[20]]));
}

#[test]
fn special_values_come_through_as_documented() {
    let server = TestServer::start();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let values = [stale, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let all = (0..).zip(values).map(|(index, value)| series("special", &[]).sample(value, index));
    assert_eq!(server.write(&request(all).body()).status, 204);
    let rows = server.rows("SELECT value FROM special ORDER BY time");
    assert_eq!(rows, json!([["NaN"], ["NaN"], ["Infinity"], ["-Infinity"], [-0.0]]));
    let csv = server.post("/api/v1/sql?format=csv", &[], b"SELECT value FROM special ORDER BY time").text;
    assert_eq!(csv, "value\nNaN\nNaN\nInfinity\n-Infinity\n-0.0\n");
}

#[test]
fn health_paths_and_methods_are_answered() {
    let server = TestServer::start();
    assert_eq!(server.get("/-/healthy").status, 200);
    assert_eq!(server.get("/-/ready").status, 200);
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.post("/metrics", &[], b"").status, 405);
}

#[test]
fn metrics_are_in_the_text_format_and_count_what_happened() {
    let server = TestServer::start();
    let body =
        request([series("up", &[("a", "b"), ("a", "c")]).sample(1.0, 1), series("up", &[]).sample(1.0, 1)]).body();
    assert_eq!(server.write(&body).status, 400);
    assert_eq!(sql(&server, "SELECT count(*) FROM up").status, 200);
    server.get("/some/path/of/an/attacker");
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let mut names = BTreeSet::new();
    for line in answer.text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(names.insert(series.to_owned()), "{line} stands twice");
    }
    for line in [
        "lynxstore_http_requests_total{code=\"400\",path=\"/api/v1/write\"} 1",
        "lynxstore_http_requests_total{code=\"404\",path=\"other\"} 1",
        "lynxstore_remote_write_written_total{kind=\"samples\"} 1",
        "lynxstore_remote_write_rejected_total{reason=\"duplicate_label\"} 1",
        "lynxstore_remote_write_rejected_total{reason=\"invalid_utf8\"} 0",
        "lynxstore_commits_total 1",
        "lynxstore_tables 1",
    ] {
        assert!(answer.text.lines().any(|found| found == line), "{line} is not in\n{}", answer.text);
    }
    for name in ["process_resident_memory_bytes", "lynxstore_memtable_bytes", "lynxstore_wal_syncs_total"] {
        let value = answer.text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
        assert!(value.parse::<f64>().unwrap() > 0.0, "{name} {value}");
    }
    assert!(!answer.text.contains("attacker"));
}

#[test]
fn half_requests_and_idle_connections_do_not_keep_others_out() {
    let server = TestServer::start();
    let halves: Vec<_> = (0..200)
        .map(|index| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            let half = [
                "",
                "POST /api/v1/write HT",
                "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc",
            ];
            stream.write_all(half[index % 3].as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(server.write(&request([series("up", &[]).sample(1.0, 1)]).body()).status, 204);
    assert_eq!(server.rows("SELECT count(*) FROM up"), json!([[1]]));
    drop(halves);
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let server = TestServer::start();
    let many = (0..100).map(|index| format!("x-{index}: y\r\n")).collect::<String>();
    let large = format!("x-large: {}\r\n", "y".repeat(32 << 10));
    for headers in [many, large] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The server may close before all of it was sent.
        let _ = write!(stream, "GET /-/healthy HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[test]
fn other_addresses_than_loopback_need_to_be_allowed() {
    let dir = scratch_dir();
    let database = Database::open(dir.path()).unwrap();
    let options = ServerOptions { listen: ([0, 0, 0, 0], 0).into(), ..ServerOptions::default() };
    let error = Server::bind(database.clone(), options.clone()).unwrap_err();
    assert_eq!(error.kind(), lynxstore::ErrorKind::InvalidInput);
    assert!(Server::bind(database, ServerOptions { exposure: Exposure::AnyAddress, ..options }).is_ok());
}

#[test]
fn a_shutdown_under_load_loses_nothing_that_was_acknowledged() {
    let server = TestServer::start();
    let acknowledged = std::sync::Mutex::new(BTreeSet::new());
    let address = server.address();
    let restarted = std::thread::scope(|scope| {
        for sender in 0..4_i64 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                for round in 0..100_000_i64 {
                    let time_ms = sender * 100_000 + round;
                    let body =
                        request([series("load", &[("sender", &sender.to_string())]).sample(1.0, time_ms)]).body();
                    match agent.post(format!("http://{address}/api/v1/write")).send(&body) {
                        Ok(response) if response.status() == 204 => _ = acknowledged.lock().unwrap().insert(time_ms),
                        // The server is going.
                        Ok(response) => assert_eq!(response.status(), 503),
                        Err(_) => break,
                    }
                }
            });
        }
        while acknowledged.lock().unwrap().len() < 50 {
            std::thread::yield_now();
        }
        server.restart()
    });
    let stored = restarted.rows("SELECT count(*) FROM load")[0][0].as_u64().unwrap();
    let acknowledged = acknowledged.into_inner().unwrap().len() as u64;
    // A request may have been written without its answer having reached the sender.
    assert!((acknowledged..=acknowledged + 4).contains(&stored), "{stored} rows, {acknowledged} acknowledged");
}
