//! InfluxDB line protocol over HTTP, as clients of its three versions send it.

use std::io::Write;

use lynxstore::ingest::rows::RowLimits;
use lynxstore::server::ServerOptions;
use serde_json::json;

use super::client::TestServer;

/// A body as clients compress it.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn lines_become_rows_of_tables_with_tags_and_typed_fields() {
    let server = TestServer::start();
    let body = "cpu,host=a,dc=eu usage=1.5,n=3i,ok=t,note=\"x, y\" 1700000000000000000\n\
                # comment\n\
                cpu,dc=eu,host=a usage=2 1700000001000000000\n\
                mem\\ free,host=b value=7u 1700000000000000000\n";
    let answer = server.post("/write?db=metrics&rp=&u=x&p=y", &[], body.as_bytes());
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let rows = server.rows("SELECT time, host, dc, usage, n, ok, note FROM cpu ORDER BY time");
    let expected = json!([
        ["2023-11-14T22:13:20Z", "a", "eu", 1.5, 3, true, "x, y"],
        ["2023-11-14T22:13:21Z", "a", "eu", 2.0, null, null, null],
    ]);
    assert_eq!(rows, expected);
    assert_eq!(server.rows("SELECT host, value FROM \"mem free\""), json!([["b", 7]]));
    assert_eq!(server.database.engine().stats().commits, 1);
    // Sent again, nothing changes.
    assert_eq!(server.post("/write", &[], body.as_bytes()).status, 204);
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[2]]));
}

#[test]
fn precision_gzip_and_the_three_paths() {
    let server = TestServer::start();
    for (path, body) in [
        ("/write?precision=s", "t,p=1 f=1 1700000000"),
        ("/write?precision=ms", "t,p=2 f=1 1700000000000"),
        ("/api/v2/write?org=o&bucket=b&precision=us", "t,p=3 f=1 1700000000000000"),
        ("/api/v2/write", "t,p=4 f=1 1700000000000000000"),
        ("/api/v3/write_lp?db=d", "t,p=5 f=1 1700000000"),
        ("/api/v3/write_lp?db=d&precision=millisecond&no_sync=false", "t,p=6 f=1 1700000000000"),
    ] {
        let answer = server.post(path, &[("authorization", "Token x")], body.as_bytes());
        assert_eq!(answer.status, 204, "{path}: {}", answer.text);
        let packed = gzip(body.replace("f=1", "g=1").as_bytes());
        assert_eq!(server.post(path, &[("content-encoding", "gzip")], &packed).status, 204, "{path}");
    }
    let rows = server.rows("SELECT DISTINCT time, f, g FROM t");
    assert_eq!(rows, json!([["2023-11-14T22:13:20Z", 1.0, 1.0]]));
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[6]]));
    // Without a timestamp it is the time of arrival.
    assert_eq!(server.post("/write", &[], b"now f=1").status, 204);
    assert_eq!(server.rows("SELECT count(*) FROM now WHERE time > now() - INTERVAL '1 hour'"), json!([[1]]));
}

#[test]
fn bad_lines_are_named_and_the_others_are_written() {
    let server = TestServer::start();
    let body = b"t,a=x f=1 1\nt,a=x f=\nt,a=x f=\"text\" 2\n\xff f=1\nt,a=y f=3i 3\n";
    let answer = server.post("/write", &[], body);
    assert_eq!(answer.status, 400);
    let json = answer.json();
    let message = json["error"].as_str().unwrap();
    assert!(message.starts_with("partial write: 2 lines written, 3 rejected: "), "{message}");
    assert!(
        message.contains("malformed=1") && message.contains("type_conflict=1") && message.contains("invalid_utf8=1")
    );
    assert_eq!(json["message"], json["error"]);
    assert_eq!(json["code"], "invalid");
    let lines: Vec<_> =
        json["data"].as_array().unwrap().iter().map(|line| line["line_number"].as_u64().unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!([2, 3, 4].iter().all(|line| lines.contains(line)), "{lines:?}");
    assert_eq!(server.rows("SELECT a, f FROM t ORDER BY time"), json!([["x", 1.0], ["y", 3.0]]));
    let metrics = server.get("/metrics").text;
    for line in [
        "lynxstore_ingest_rows_total{protocol=\"line_protocol\",result=\"written\"} 2",
        "lynxstore_ingest_rejected_rows_total{protocol=\"line_protocol\",reason=\"type_conflict\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    // Tables of the namespace `system` are served by DataFusion.
    #[cfg(feature = "datafusion")]
    let rejected = server.rows("SELECT protocol, reason, count FROM system.rejected_counts ORDER BY reason");
    #[cfg(feature = "datafusion")]
    assert_eq!(
        rejected,
        json!(["invalid_utf8", "malformed", "type_conflict"].map(|reason| json!(["line_protocol", reason, 1])))
    );
    let whole = server.post("/api/v3/write_lp?accept_partial=false", &[], b"u f=1 1\nu f=\n");
    assert_eq!(whole.status, 400);
    assert!(whole.text.contains("0 lines written"), "{}", whole.text);
    assert_eq!(server.post("/api/v1/sql", &[], b"SELECT * FROM u").status, 404);
}

#[test]
fn requests_over_a_limit_or_in_another_form_write_nothing() {
    let rows = RowLimits {
        body_bytes_max: 4_000,
        decoded_bytes_max: 10_000,
        rows_max: 100,
        cells_max: 300,
        ..RowLimits::default()
    };
    let server = TestServer::start_with(ServerOptions { rows, ..ServerOptions::default() });
    let lines = |count: usize| "t f=1\n".repeat(count).into_bytes();
    let wide: String = (0..60).map(|field| format!(",f{field}=1")).collect();
    for (headers, body, status) in [
        (&[][..], lines(101), 413),
        (&[], vec![b'x'; 4_001], 413),
        (&[], format!("t {}\n", &wide[1..]).repeat(8).into_bytes(), 413),
        (&[("content-encoding", "gzip")], gzip(&vec![b'\n'; 10_001]), 413),
        (&[("content-encoding", "gzip")], gzip(&vec![b' '; 10_001]), 413),
        (&[("content-encoding", "gzip")], b"not gzip".to_vec(), 400),
        (&[("content-encoding", "zstd")], lines(1), 415),
        (&[("origin", "http://elsewhere.example")], lines(1), 403),
    ] {
        let answer = server.post("/write", headers, &body);
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.json()["error"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert_eq!(server.post("/write?precision=weeks", &[], b"t f=1").status, 400);
    assert!(server.is_untouched());
    assert_eq!(server.post("/write", &[], &lines(100)).status, 204);
    assert_eq!(server.post("/write", &[], b"").status, 204);
}

#[test]
fn clients_find_the_server_alive() {
    let server = TestServer::start();
    let ping = server.get("/ping");
    assert_eq!(ping.status, 204);
    assert!(ping.header("x-influxdb-version").is_some_and(|version| version.starts_with("LynxStore")));
    let health = server.get("/health");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("pass")));
}

#[test]
fn names_are_only_names() {
    let server = TestServer::start();
    for (number, name) in
        ["..", ".", "../../etc/passwd", "a/b", "%2e%2e", "C:\\x", "nul\0", "\u{202e}x"].iter().enumerate()
    {
        let body = format!("{name},{name}=1 f=1 {number}");
        assert_eq!(server.post("/write", &[], body.as_bytes()).status, 204, "{name:?}");
        assert!(server.database.table(name).is_ok(), "{name:?}");
    }
    let long = "n".repeat(257);
    assert_eq!(server.post("/write", &[], format!("{long} f=1").as_bytes()).status, 400);
    let entries = std::fs::read_dir(server.directory()).unwrap().map(|entry| entry.unwrap().file_name());
    let known = ["LOCK", "MANIFEST", "wal", "segments", "RECOVERY", "leases", "quarantine"];
    assert!(entries.into_iter().all(|name| known.iter().any(|known| name == *known)));
}
