//! Arrow streams, CSV and Parquet files into a declared table over HTTP.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::client::TestServer;
use super::line_protocol::gzip;

const ARROW: [(&str, &str); 1] = [("content-type", "application/vnd.apache.arrow.stream")];
const PARQUET: [(&str, &str); 1] = [("content-type", "application/vnd.apache.parquet")];
const CSV: [(&str, &str); 1] = [("content-type", "text/csv; charset=utf-8")];

fn with_table() -> TestServer {
    let server = TestServer::start();
    let create = "CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, f DOUBLE, n BIGINT, ok BOOLEAN, s STRING)";
    assert_eq!(server.post("/api/v1/sql", &[], create.as_bytes()).status, 200);
    server
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn an_arrow_stream_is_one_commit_and_integers_go_into_floats() {
    let server = with_table();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampMillisecondArray::from(vec![1_767_225_600_000, 1_767_225_601_000]))),
        ("host", Arc::new(StringArray::from(vec![Some("b"), None]))),
        ("f", Arc::new(Int64Array::from(vec![1, 2]))),
    ];
    let body = stream(&batch(columns));
    let before = server.database.engine().stats().commits;
    let answer = server.post("/api/v1/tables/t/rows", &ARROW, &body);
    assert_eq!((answer.status, answer.json()), (200, json!({"written": 2})));
    assert_eq!(server.database.engine().stats().commits, before + 1);
    let expected = json!([["2026-01-01T00:00:00Z", "b", 1.0], ["2026-01-01T00:00:01Z", null, 2.0]]);
    assert_eq!(server.rows("SELECT time, host, f FROM t ORDER BY time"), expected);
    let text: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampMillisecondArray::from(vec![1]))),
        ("f", Arc::new(StringArray::from(vec!["x"]))),
    ];
    let other: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampMillisecondArray::from(vec![1]))),
        ("g", Arc::new(Float64Array::from(vec![1.0]))),
    ];
    let timeless: Vec<(&str, ArrayRef)> = vec![("f", Arc::new(Float64Array::from(vec![1.0])))];
    for columns in [text, other, timeless] {
        let answer = server.post("/api/v1/tables/t/rows", &ARROW, &stream(&batch(columns)));
        assert_eq!((answer.status, &answer.json()["error"]["kind"]), (400, &json!("invalid_input")), "{}", answer.text);
    }
    assert_eq!(server.post("/api/v1/tables/t/rows", &ARROW, &body[..body.len() / 2]).status, 400);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[2]]));
}

fn parquet(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn a_parquet_file_is_one_commit_or_refused_whole() {
    let server = with_table();
    let path = "/api/v1/tables/t/rows";
    let columns = |fields: Vec<(&'static str, ArrayRef)>| {
        let time: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_767_225_600_000, 1_767_225_601_000]));
        batch(std::iter::once(("time", time)).chain(fields).collect())
    };
    let rows = columns(vec![
        ("host", Arc::new(StringArray::from(vec![Some("b"), None]))),
        ("f", Arc::new(Int64Array::from(vec![1, 2]))),
        ("s", Arc::new(StringArray::from(vec!["ü", "x"]))),
    ]);
    let body = parquet(&rows, Compression::SNAPPY);
    let before = server.database.engine().stats().commits;
    let answer = server.post(path, &PARQUET, &body);
    assert_eq!((answer.status, answer.text.as_str()), (200, "{\"written\":2}"));
    assert_eq!(server.database.engine().stats().commits, before + 1);
    let expected = json!([["2026-01-01T00:00:00Z", "b", 1.0, "ü"], ["2026-01-01T00:00:01Z", null, 2.0, "x"]]);
    assert_eq!(server.rows("SELECT time, host, f, s FROM t ORDER BY time"), expected);
    // Sent again, packed as a whole too: the rows are those that are there.
    let headers = [PARQUET[0], ("content-encoding", "gzip")];
    let again = server.post(path, &headers, &gzip(&parquet(&rows, Compression::UNCOMPRESSED)));
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(server.rows("SELECT time, host, f, s FROM t ORDER BY time"), expected);
    let later = server.restart();
    assert_eq!(later.rows("SELECT time, host, f, s FROM t ORDER BY time"), expected);
    for (fields, status) in [
        (vec![("f", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef)], 400),
        (vec![("g", Arc::new(Float64Array::from(vec![1.0, 2.0])) as ArrayRef)], 400),
        // Texts of 34 MiB, by a dictionary that says them once.
        (vec![("s", Arc::new(StringArray::from(vec!["x".repeat(17 << 20); 2])) as ArrayRef)], 413),
    ] {
        let answer = later.post(path, &PARQUET, &parquet(&columns(fields), Compression::SNAPPY));
        assert_eq!(
            (answer.status, &answer.json()["error"]["kind"]),
            (status, &json!("invalid_input")),
            "{}",
            answer.text
        );
    }
    for body in [&body[..body.len() / 2], b"PAR1", b""] {
        assert_eq!(later.post(path, &PARQUET, body).status, 400);
    }
    assert_eq!(later.rows("SELECT count(*) FROM t"), json!([[2]]));
}

#[test]
fn csv_is_read_by_the_types_of_the_table_or_refused_whole() {
    let server = with_table();
    let body = "host,time,n,f,ok,s\r\na,2026-01-01T00:00:00Z,1,1.5,true,\"x,\"\"y\"\"\"\r\n,1767225601,,,,\r\n";
    let headers = [CSV[0], ("content-encoding", "gzip")];
    let answer = server.post("/api/v1/tables/t/rows", &headers, &gzip(body.as_bytes()));
    assert_eq!((answer.status, answer.text.as_str()), (200, "{\"written\":2}"));
    let expected = json!([
        ["2026-01-01T00:00:00Z", "a", 1, 1.5, true, "x,\"y\""],
        ["2026-01-01T00:00:01Z", null, null, null, null, null],
    ]);
    assert_eq!(server.rows("SELECT time, host, n, f, ok, s FROM t ORDER BY time"), expected);
    for body in [
        "time,n\n2026-01-02,1\n2026-01-02,1.5\n",
        "time,n\nyesterday,1\n",
        "time,x\n2026-01-02,1\n",
        "n\n1\n",
        "time,n\n,1\n",
        "time,n\n2026-01-02,1,2\n",
    ] {
        let answer = server.post("/api/v1/tables/t/rows", &CSV, body.as_bytes());
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
    }
    assert_eq!(server.post("/api/v1/tables/t/rows", &CSV, b"time,n\n").text, "{\"written\":0}");
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[2]]));
}

#[test]
fn the_table_must_be_there_and_the_type_be_known() {
    let server = with_table();
    assert_eq!(server.post("/api/v1/tables/absent/rows", &CSV, b"time\n1\n").status, 404);
    let answer = server.post("/api/v1/tables/t/rows", &[("content-type", "text/plain")], b"time\n1\n");
    assert_eq!(answer.status, 415);
    assert!(answer.text.contains("application/vnd.apache.parquet"), "{}", answer.text);
    let answer = server.post("/api/v1/tables/t/rows", &[CSV[0], ("origin", "http://elsewhere.example")], b"time\n1\n");
    assert_eq!(answer.status, 403);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[0]]));
}
