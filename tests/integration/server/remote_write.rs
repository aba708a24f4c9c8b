//! Prometheus remote write: real bodies, statuses, partial writes, repetitions, restarts.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampNanosecondType};
use lynxstore::Database;
use lynxstore::ingest::prometheus::{Limits, Version, decode, decompress, parse_labels, table_name, tag_name};
use serde_json::{Value, json};

use super::client::TestServer;
use super::message::{Message, request, series};
use crate::support::project_root;

const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A request that a real sender made, and what was recorded about it.
pub struct Captured {
    pub name: String,
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
    stats: Value,
    pub answered: u64,
}

impl Captured {
    pub fn all(folder: &str) -> Vec<Self> {
        let folder = project_root().join("testdata/remote_write").join(folder);
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let record: Value =
                    serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                Self {
                    name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                    body: std::fs::read(&path).unwrap(),
                    headers: record["headers"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|pair| (text(&pair[0]), text(&pair[1])))
                        .collect(),
                    stats: record["stats"].clone(),
                    answered: record["answered"].as_u64().unwrap(),
                }
            })
            .collect()
    }

    pub fn count(&self, key: &str) -> u64 {
        self.stats[key].as_u64().unwrap()
    }

    /// Posts it with its own headers, but for those that the client writes itself.
    pub fn post(&self, server: &TestServer) -> super::client::Answer {
        let own = |name: &str| name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case("content-length");
        let headers = self.headers.iter().filter(|(name, _)| !own(name));
        let headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        server.post("/api/v1/write", &headers, &self.body)
    }
}

/// Rows of metric tables: table, tags, time, then the bits of the value or the bytes of the histogram.
type Rows = BTreeMap<(String, Vec<(String, String)>, i64), (Option<u64>, Option<Vec<u8>>)>;

/// What a body should become in SQL; a later sample of the same series and time replaces the earlier one.
fn expected_rows(body: &[u8], rows: &mut Rows) {
    let limits = Limits::default();
    let mut buffer = Vec::new();
    let request = decode(decompress(body, &limits, &mut buffer).unwrap(), Version::V1, &limits).unwrap();
    for series in &request.series {
        let labels = parse_labels(&series.labels, &limits).unwrap().unwrap();
        let table = table_name(labels.metric().unwrap()).into_owned();
        let mut tags: Vec<_> =
            labels.pairs().iter().map(|(name, value)| (tag_name(name).into_owned(), (*value).to_owned())).collect();
        tags.sort();
        for sample in &request.samples[series.samples.start as usize..series.samples.end as usize] {
            let row = rows.entry((table.clone(), tags.clone(), sample.time_ms * 1_000_000)).or_default();
            row.0 = Some(sample.value.to_bits());
        }
        for histogram in &request.histograms[series.histograms.start as usize..series.histograms.end as usize] {
            let row = rows.entry((table.clone(), tags.clone(), histogram.time_ms * 1_000_000)).or_default();
            row.1 = Some(histogram.message.to_vec());
        }
    }
}

/// All rows of all metric tables, out of SQL.
fn stored_rows(database: &Database) -> Rows {
    let mut rows = Rows::new();
    for table in database.tables() {
        if table.name.starts_with("prometheus_")
            && table.name != "prometheus_ready"
            && table.tag_index("metric").is_some()
        {
            continue;
        }
        let output = database.query(&format!("SELECT * FROM \"{}\"", table.name)).unwrap();
        for batch in &output.batches {
            let time = batch.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>().clone();
            let value = batch.column_by_name("value").unwrap().as_primitive::<Float64Type>().clone();
            let histogram = batch.column_by_name("histogram").map(|column| column.as_binary::<i32>().clone());
            let tags: Vec<_> = table
                .tags
                .iter()
                .map(|tag| (&tag.name, cast(batch.column_by_name(&tag.name).unwrap(), &DataType::Utf8).unwrap()))
                .collect();
            for row in 0..batch.num_rows() {
                let mut labels: Vec<_> = tags
                    .iter()
                    .filter(|(_, column)| column.is_valid(row))
                    .map(|(name, column)| ((*name).clone(), column.as_string::<i32>().value(row).to_owned()))
                    .collect();
                labels.sort();
                let bits = value.is_valid(row).then(|| value.value(row).to_bits());
                let message =
                    histogram.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row).to_vec());
                let twice = rows.insert((table.name.clone(), labels, time.value(row)), (bits, message));
                assert!(twice.is_none(), "a row stands twice");
            }
        }
    }
    rows
}

fn assert_same_rows(stored: &Rows, expected: &Rows, when: &str) {
    assert_eq!(stored.len(), expected.len(), "{when}");
    for (key, row) in expected {
        assert_eq!(stored.get(key), Some(row), "{when}: {key:?}");
    }
}

#[test]
fn real_requests_are_answered_as_recorded_and_come_back_through_sql_bit_for_bit() {
    let mut server = TestServer::start();
    let mut expected = Rows::new();
    let (mut exemplars, mut metadata) = (0, 0);
    for captured in Captured::all("prometheus-3.5.3-rw1") {
        let answer = captured.post(&server);
        assert_eq!(u64::from(answer.status), captured.answered, "{}: {}", captured.name, answer.text);
        assert_eq!(answer.text, "", "{}", captured.name);
        expected_rows(&captured.body, &mut expected);
        exemplars += captured.count("exemplars");
        metadata += captured.count("metadata");
    }
    let stale = expected.values().filter(|(value, _)| *value == Some(STALE)).count();
    let histograms = expected.values().filter(|(_, histogram)| histogram.is_some()).count();
    assert!(stale > 100 && histograms > 10, "{stale} stale markers, {histograms} histograms");

    let check = |server: &TestServer, when: &str| {
        assert_same_rows(&stored_rows(&server.database), &expected, when);
        assert_eq!(server.rows("SELECT count(*) FROM prometheus_exemplars"), json!([[exemplars]]), "{when}");
        assert_eq!(server.rows("SELECT count(*) FROM prometheus_metadata"), json!([[metadata]]), "{when}");
    };
    check(&server, "in memory");
    server.database.flush().unwrap();
    check(&server, "after a flush");
    for captured in Captured::all("prometheus-3.5.3-rw1").iter().filter(|captured| captured.count("metadata") == 0) {
        assert_eq!(captured.post(&server).status, 204);
    }
    check(&server, "after every request was repeated");
    server = server.restart();
    check(&server, "after a restart");
}

#[test]
fn exemplars_and_metadata_are_rows_that_sql_finds() {
    let server = TestServer::start();
    for captured in Captured::all("prometheus-3.5.3-rw1") {
        captured.post(&server);
    }
    let found = server.rows(
        "SELECT value, labels FROM prometheus_exemplars WHERE metric = 'demo_requests_total' AND time >= '2026-11-20T20:28:17.475Z' AND time < '2026-11-20T20:28:17.476Z'",
    );
    assert_eq!(found, json!([[1.0, "{trace_id=\"5a97566f552db93f\"}"]]));
    let found = server.rows("SELECT type, unit FROM prometheus_metadata WHERE metric = 'process_cpu_seconds'");
    assert!(found.as_array().is_some_and(|rows| rows.iter().all(|row| row[0] == "counter")), "{found}");
}

#[test]
fn what_is_not_a_request_is_refused_and_nothing_is_written() {
    let server = TestServer::start();
    let good = request([series("up", &[]).sample(1.0, 1)]).body();
    let with = |name: &str, value: &str| server.post("/api/v1/write", &[(name, value)], &good).status;
    assert_eq!(with("content-encoding", "gzip"), 415);
    assert_eq!(with("content-encoding", "zstd"), 415);
    assert_eq!(with("content-type", "application/json"), 415);
    assert_eq!(with("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"), 415);
    assert_eq!(with("origin", "http://elsewhere.example"), 403);

    let unknown_field_only = Message::default().bytes(4, "").body();
    let framed = [b"\xff\x06\x00\x00sNaPpY".as_slice(), &good].concat();
    for (what, body, status) in [
        ("an empty body", Vec::new(), 400),
        ("no snappy block", b"not snappy at all".to_vec(), 400),
        ("a framed snappy stream", framed, 400),
        ("a cut block", good[..good.len() - 1].to_vec(), 400),
        ("a message that ends within a field", Message::default().bytes(1, [0x0a, 0x7f]).body(), 400),
        ("a group", Message(vec![0x0b, 0x0c]).body(), 400),
        ("a block that declares 256 MiB", vec![0x80, 0x80, 0x80, 0x80, 0x01], 413),
        ("a block that declares 2.5 GiB", bomb(), 413),
        ("eight million empty series", Message([0x0a, 0x00].repeat(8 << 20)).body(), 413),
        ("a body over the limit", vec![0; (16 << 20) + 1], 413),
        ("fields that version 1 does not have", unknown_field_only, 204),
    ] {
        let answer = server.write(&body);
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.text.len() <= 1024, "{what}");
    }
    assert!(server.is_untouched());

    let answer = server.get("/api/v1/write");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(server.post("/api/v1/write", &[], &good).status, 204, "missing headers mean version 1");
}

/// A body of 47 bytes that declares to decode to 2,704,094,487.
fn bomb() -> Vec<u8> {
    let hex = "97eab4890a170a085f5f6e616d655f5f120b746573745f6d6574726963121009000000000000f03f10d48fc9b2a333";
    (0..hex.len()).step_by(2).map(|index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap()).collect()
}

#[test]
fn many_bombs_at_once_do_no_harm() {
    let server = TestServer::start();
    let empty_series = Message([0x0a, 0x00].repeat(8 << 20)).body();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(server.write(&bomb()).status, 413);
                }
                let status = server.write(&empty_series).status;
                assert!(status == 413 || status == 503, "{status}");
            });
        }
    });
    assert!(server.is_untouched());
}

#[test]
fn one_bad_series_of_a_thousand_is_counted_and_the_others_are_kept_over_a_restart() {
    let mut server = TestServer::start();
    let bad = series("up", &[("job", "a"), ("job", "b")]).sample(1.0, 1);
    let good = (0..999).map(|index| series("up", &[("job", &index.to_string())]).sample(f64::from(index), 1_000));
    let body =
        request(good.take(500).chain([bad]).chain(
            (500..999).map(|index| series("up", &[("job", &index.to_string())]).sample(f64::from(index), 1_000)),
        ))
        .body();
    for round in 0..2 {
        let answer = server.write(&body);
        assert_eq!(answer.status, 400, "round {round}");
        assert!(answer.text.len() <= 1024);
        assert!(answer.text.starts_with("written 999 series, 999 samples,"), "{}", answer.text);
        assert!(answer.text.contains("rejected 1 series, 1 samples,"), "{}", answer.text);
        assert!(answer.text.contains("duplicate_label=1"), "{}", answer.text);
        assert_eq!(server.rows("SELECT count(*), sum(value) FROM up"), json!([[999, 498_501.0]]));
    }
    server = server.restart();
    assert_eq!(server.rows("SELECT count(*), sum(value) FROM up"), json!([[999, 498_501.0]]));
}

#[test]
fn late_and_repeated_samples_are_ordinary_rows() {
    let server = TestServer::start();
    let series = |value, time_ms| series("temperature", &[("room", "a")]).sample(value, time_ms);
    assert_eq!(server.write(&request([series(3.0, 3_000), series(1.0, 1_000)]).body()).status, 204);
    assert_eq!(server.write(&request([series(2.0, 2_000)]).body()).status, 204);
    assert_eq!(server.write(&request([series(4.0, 3_000)]).body()).status, 204);
    let expected = json!([["1970-01-01T00:00:01Z", 1.0], ["1970-01-01T00:00:02Z", 2.0], ["1970-01-01T00:00:03Z", 4.0]]);
    assert_eq!(server.rows("SELECT time, value FROM temperature ORDER BY time"), expected);
}

#[test]
fn any_name_is_a_table_or_a_tag_and_never_a_path() {
    let server = TestServer::start();
    let names = [
        "..",
        "../../etc/passwd",
        "a/b",
        "%2e%2e",
        "a\0b",
        "__reserved",
        "C:\\x",
        "\u{1F41F}",
        "select",
        "x\"y",
        "time",
    ];
    let long = "n".repeat(200);
    let all = names.iter().copied().chain([long.as_str()]);
    let body = request(all.clone().map(|name| series(name, &[(name, name), ("value", "v")]).sample(1.0, 1))).body();
    let answer = server.write(&body);
    assert_eq!(answer.status, 204, "{}", answer.text);
    for name in all {
        let quoted = name.replace('"', "\"\"");
        assert_eq!(
            server.rows(&format!("SELECT label_value, value FROM \"{quoted}\"")),
            json!([["v", 1.0]]),
            "{name:?}"
        );
    }
    let files = std::fs::read_dir(server.directory()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(files.into_iter().all(|name| !name.to_str().unwrap().contains("passwd")));
}

#[test]
fn concurrent_senders_of_new_metrics_are_all_answered_204() {
    let server = TestServer::start();
    std::thread::scope(|scope| {
        for sender in 0..6_i64 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..10_i64 {
                    let sender_label = sender.to_string();
                    let all = (0..20).map(|metric| {
                        let name = format!("metric_{}", metric + round);
                        series(&name, &[("sender", &sender_label)]).sample(1.0, round)
                    });
                    let answer = server.write(&request(all).body());
                    assert_eq!(answer.status, 204, "{}", answer.text);
                }
            });
        }
    });
    assert_eq!(stored_rows(&server.database).len(), 6 * 10 * 20);
    assert_eq!(server.rows("SELECT count(*) FROM metric_19"), json!([[60]]));
}

#[test]
fn a_table_that_was_dropped_comes_back_with_the_next_request() {
    let server = TestServer::start();
    let body = request([series("up", &[("job", "a")]).sample(1.0, 1)]).body();
    assert_eq!(server.write(&body).status, 204);
    assert_eq!(server.post("/api/v1/sql", &[], b"DROP TABLE up").status, 200);
    assert_eq!(server.write(&body).status, 204);
    assert_eq!(server.rows("SELECT count(*) FROM up"), json!([[1]]));
}

#[test]
fn a_closed_database_asks_senders_to_come_back() {
    let server = TestServer::start();
    let body = request([series("up", &[]).sample(1.0, 1)]).body();
    assert_eq!(server.write(&body).status, 204);
    server.database.close().unwrap();
    let answer = server.write(&body);
    assert_eq!(answer.status, 503, "{}", answer.text);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
}
