//! Remote write 2.0: the cases of the receiver suite of `prometheus/compliance` as tests of our own, real bodies, partial
//! writes, and what the headers say.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::client::{Answer, TestServer};
use super::message::{Message, RequestV2, request, series};
use super::remote_write::Captured;

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Names and values.
type Labels<'a> = &'a [(&'a str, &'a str)];

fn post_body(server: &TestServer, body: &[u8]) -> Answer {
    let headers =
        [("content-encoding", "snappy"), ("content-type", V2), ("x-prometheus-remote-write-version", "2.0.0")];
    server.post("/api/v1/write", &headers, body)
}

fn post(server: &TestServer, request: &RequestV2) -> Answer {
    post_body(server, &request.message().body())
}

/// Samples, histograms and exemplars that the answer says were written.
fn written(answer: &Answer) -> [Option<u64>; 3] {
    ["samples", "histograms", "exemplars"].map(|kind| {
        let header = answer.header(&format!("x-prometheus-remote-write-{kind}-written"))?;
        Some(header.parse().unwrap())
    })
}

fn assert_written(answer: &Answer, counts: [u64; 3], what: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{what}");
    assert_eq!(written(answer), counts.map(Some), "{what}");
}

fn assert_refused(answer: &Answer, status: u16, counts: [u64; 3], what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text);
    assert_eq!(written(answer), counts.map(Some), "{what}");
    assert!(!answer.text.is_empty() && answer.text.len() <= 1024, "{what}: {}", answer.text);
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn sample(value: f64, time_ms: i64) -> Message {
    Message::default().sample(value, time_ms)
}

fn and(parts: impl IntoIterator<Item = Message>) -> Message {
    Message(parts.into_iter().flat_map(|part| part.0).collect())
}

fn zigzags(values: &[i64]) -> Vec<u8> {
    values.iter().map(|value| (value << 1 ^ value >> 63) as u8).collect()
}

fn doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect()
}

fn span(offset: u64, length: u64) -> Message {
    Message::default().varint(1, offset << 1).varint(2, length)
}

/// A histogram of integers as a field of a series: zero bucket 2, buckets 1, 3, 2.
fn histogram(count: u64, time_ms: i64) -> Message {
    let message = Message::default().varint(1, count).double(3, 12.5).varint(4, 2).double(5, 0.001).varint(6, 2);
    let message = message.bytes(11, span(0, 3).0).bytes(12, zigzags(&[1, 2, -1])).varint(15, time_ms as u64);
    Message::default().bytes(3, message.0)
}

#[test]
fn content_types_and_encodings_choose_the_message_or_are_refused() {
    let server = TestServer::start();
    let v1 = request([series("up", &[]).sample(1.0, 1)]).body();
    let v2 = RequestV2::new().series(&[("__name__", "up")], sample(2.0, 2)).message().body();
    let post = |encoding: &str, content_type: &str, body: &[u8]| {
        server.post("/api/v1/write", &[("content-encoding", encoding), ("content-type", content_type)], body)
    };
    for (encoding, content_type) in [
        ("gzip", V2),
        ("deflate", V2),
        ("zstd", V2),
        ("zstd", "application/x-protobuf"),
        ("snappy", "application/json"),
        ("snappy", "image/png"),
        ("snappy", "application/x-protobuf;proto=io.prometheus.write.v3.Request"),
        ("snappy", "text/plain;proto=io.prometheus.write.v2.Request"),
    ] {
        assert_eq!(post(encoding, content_type, &v2).status, 415, "{encoding}, {content_type}");
    }
    // A body of the other version has no field in common with the one that is expected.
    assert_eq!(post("snappy", V2, &v1).status, 204);
    assert_eq!(post("snappy", "application/x-protobuf", &v2).status, 204);
    assert!(server.is_untouched());

    let answer = post("snappy", V2, &v2);
    assert_written(&answer, [1, 0, 0], "version 2");
    let answer = post("snappy", "application/x-protobuf;proto=prometheus.WriteRequest", &v1);
    assert_eq!((answer.status, written(&answer)), (204, [None; 3]), "version 1 gets no counts");
    assert_eq!(server.rows("SELECT count(*), sum(value) FROM up"), json!([[2, 3.0]]));
    let bad_v1 = request([Message::default().sample(1.0, 1)]).body();
    let answer = post("snappy", "application/x-protobuf", &bad_v1);
    assert_eq!((answer.status, written(&answer)), (400, [None; 3]), "nor when it fails");
}

#[test]
fn bodies_that_are_no_request_of_version_2_are_refused_with_zero_counts() {
    let server = TestServer::start();
    let good = RequestV2::new().series(&[("__name__", "up")], sample(1.0, 1)).message();
    let body = good.body();
    let no_empty_symbol = Message::default().bytes(4, "up").bytes(5, Message::default().bytes(1, [0, 0]).0);
    for (what, body, status) in [
        ("an empty body", Vec::new(), 400),
        ("no snappy block", b"not snappy at all".to_vec(), 400),
        ("a framed snappy stream", [b"\xff\x06\x00\x00sNaPpY".as_slice(), &body].concat(), 400),
        ("a cut block", body[..body.len() - 1].to_vec(), 400),
        ("an uncompressed message", good.0.clone(), 400),
        ("a message that ends within a field", Message::default().bytes(5, [0x0a, 0x7f]).body(), 400),
        ("a first symbol that is not empty", no_empty_symbol.body(), 400),
        ("series without symbols", Message::default().bytes(5, [0x0a, 0x00]).body(), 400),
        ("a block that declares 256 MiB", vec![0x80, 0x80, 0x80, 0x80, 0x01], 413),
        ("eight million empty series", Message([0x2a, 0x00].repeat(8 << 20)).body(), 413),
        ("eight million empty symbols", Message([0x22, 0x00].repeat(8 << 20)).body(), 413),
        ("a body over the limit", vec![0; (16 << 20) + 1], 413),
    ] {
        assert_refused(&post_body(&server, &body), status, [0; 3], what);
    }
    assert!(server.is_untouched());
    assert_eq!(server.get("/api/v1/write").status, 405);
}

#[test]
fn floats_of_every_kind_are_written_bit_for_bit() {
    let server = TestServer::start();
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::from_bits(STALE),
        f64::from_bits(0x7ff8_0000_0000_0001),
    ];
    let samples = and(values.iter().zip(1..).map(|(value, time_ms)| sample(*value, time_ms)));
    let answer = post(&server, &RequestV2::new().series(&[("__name__", "floats"), ("job", "a")], samples));
    assert_written(&answer, [values.len() as u64, 0, 0], "floats");
    let stored = server.database.query("SELECT value FROM floats ORDER BY time").unwrap();
    let bits: Vec<_> = stored
        .batches
        .iter()
        .flat_map(|batch| {
            use arrow::array::AsArray;
            let column = batch.column(0).as_primitive::<arrow::datatypes::Float64Type>().clone();
            column.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(bits, values.map(f64::to_bits));
}

#[test]
fn histograms_of_every_shape_are_written_and_bad_ones_are_not() {
    let server = TestServer::start();
    let field = |message: Message| Message::default().bytes(3, message.varint(15, 1).0);
    let integer = Message::default().varint(1, 8).double(3, 12.5).varint(4, 2).double(5, 0.001).varint(6, 2);
    let both_sides = Message::default()
        .varint(1, 9)
        .double(3, 1.0)
        .varint(6, 3)
        .bytes(8, span(1, 2).0)
        .bytes(9, zigzags(&[1, 1]))
        .bytes(11, span(0, 1).0)
        .bytes(11, span(3, 1).0)
        .bytes(12, zigzags(&[1, 1]));
    let float = Message::default()
        .double(2, 6.5)
        .double(3, 3.0)
        .varint(4, 2)
        .double(5, 0.001)
        .double(7, 0.5)
        .bytes(11, span(0, 2).0)
        .bytes(13, doubles(&[2.0, 4.0]));
    let custom = Message::default()
        .varint(1, 5)
        .double(3, 3.0)
        .varint(4, 105)
        .bytes(11, span(0, 2).0)
        .bytes(12, zigzags(&[2, 1]))
        .bytes(16, doubles(&[1.0, 2.5]));
    let stale = Message::default().double(3, f64::from_bits(STALE));
    let good = [
        ("buckets", field(integer.clone().bytes(11, span(0, 3).0).bytes(12, zigzags(&[1, 2, -1])))),
        ("both_sides", field(both_sides)),
        ("floats", field(float.clone())),
        ("custom_bounds", field(custom.clone())),
        ("empty", field(Message::default().varint(1, 0).varint(4, 6))),
        ("gauge", field(integer.clone().bytes(11, span(0, 3).0).bytes(12, zigzags(&[1, 2, -1])).varint(14, 3))),
        ("stale", field(stale)),
    ];
    for (name, histogram) in good {
        let answer = post(&server, &RequestV2::new().series(&[("__name__", name), ("job", "a")], histogram));
        assert_written(&answer, [0, 1, 0], name);
        let found = server.rows(&format!("SELECT value, histogram IS NOT NULL FROM {name}"));
        assert_eq!(found, json!([[null, true]]), "{name}");
    }
    let bad = [
        ("bad_count", histogram(9, 1)),
        ("spans_and_buckets", field(integer.clone().bytes(11, span(0, 3).0).bytes(12, zigzags(&[1])))),
        ("negative_bucket", field(integer.bytes(11, span(0, 2).0).bytes(12, zigzags(&[1, -2])))),
        ("bounds_that_fall", field(custom.bytes(16, doubles(&[0.5])))),
        ("negative_float", field(float.bytes(11, span(0, 1).0).bytes(13, doubles(&[-1.0])))),
    ];
    for (name, histogram) in bad {
        let answer = post(&server, &RequestV2::new().series(&[("__name__", name), ("job", "a")], histogram));
        assert_refused(&answer, 400, [0; 3], name);
        assert!(answer.text.contains("invalid_histogram=1"), "{}", answer.text);
    }
}

#[test]
fn histograms_and_samples_are_counted_apart() {
    let server = TestServer::start();
    let request = RequestV2::new()
        .series(&[("__name__", "h")], and([histogram(8, 1), histogram(8, 2)]))
        .series(&[("__name__", "f")], and([sample(1.0, 1), sample(2.0, 2), sample(3.0, 3)]));
    assert_written(&post(&server, &request), [3, 2, 0], "both");
}

#[test]
fn exemplars_of_every_shape_are_written() {
    let server = TestServer::start();
    let long = "x".repeat(100);
    let shapes: [(&str, Labels<'_>, f64, bool); 7] = [
        ("with_trace_id", &[("trace_id", "5a97566f552db93f")], 1.0, true),
        ("with_many_labels", &[("span_id", "b"), ("trace_id", "a"), ("user", "\u{1F41F}")], 0.25, true),
        ("without_labels", &[], 3.0, true),
        ("without_samples", &[("trace_id", "c")], 4.0, false),
        ("negative", &[("trace_id", "d")], -1.0, true),
        ("nan", &[("trace_id", "e")], f64::NAN, true),
        ("long", &[("trace_id", &long)], 5.0, true),
    ];
    for (name, labels, value, has_sample) in shapes {
        let mut request = RequestV2::new();
        let exemplar = request.exemplar(labels, value, 1_000);
        let rest = if has_sample { and([sample(1.0, 1_000), exemplar]) } else { exemplar };
        let answer = post(&server, &request.series(&[("__name__", name), ("job", "a")], rest));
        assert_written(&answer, [u64::from(has_sample), 0, 1], name);
    }
    assert_eq!(server.rows("SELECT count(*) FROM prometheus_exemplars"), json!([[7]]));
    let mut request = RequestV2::new();
    let two = and([request.exemplar(&[("a", "1")], 1.0, 5), request.exemplar(&[("a", "2")], 2.0, 6), histogram(8, 1)]);
    assert_written(&post(&server, &request.series(&[("__name__", "of_histogram")], two)), [0, 1, 2], "of a histogram");
}

#[test]
fn exemplars_of_one_millisecond_in_different_requests_are_different_rows_and_repeated_ones_are_not() {
    let server = TestServer::start();
    let send = |trace: &str| {
        let mut request = RequestV2::new();
        let exemplar = request.exemplar(&[("trace_id", trace)], 1.0, 1_000);
        assert_written(&post(&server, &request.series(&[("__name__", "up")], exemplar)), [0, 0, 1], trace);
    };
    ["a", "b", "a", "c", "b"].into_iter().for_each(send);
    let found = server.rows("SELECT labels FROM prometheus_exemplars ORDER BY labels");
    assert_eq!(found, json!([["{trace_id=\"a\"}"], ["{trace_id=\"b\"}"], ["{trace_id=\"c\"}"]]));
    let within = "SELECT count(*) FROM prometheus_exemplars WHERE time >= '1970-01-01T00:00:01Z' \
                  AND time < '1970-01-01T00:00:01.001Z'";
    assert_eq!(server.rows(within), json!([[3]]));
}

#[test]
fn metadata_of_every_type_is_kept_and_needs_no_samples() {
    let server = TestServer::start();
    let types = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
    for (number, name) in (0..).zip(types) {
        let mut request = RequestV2::new();
        let metadata = request.metadata(number, &format!("Help of {name}."), "seconds");
        let rest = if number % 2 == 0 { and([sample(1.0, 1), metadata]) } else { metadata };
        let answer = post(&server, &request.series(&[("__name__", name)], rest));
        assert_written(&answer, [u64::from(number % 2 == 0), 0, 0], name);
        let found = server.rows(&format!("SELECT type, help, unit FROM prometheus_metadata WHERE metric = '{name}'"));
        assert_eq!(found, json!([[name, format!("Help of {name}."), "seconds"]]));
    }
    for (help, unit) in [("", "bytes"), ("Only help.", ""), ("", "")] {
        let mut request = RequestV2::new();
        let metadata = request.metadata(2, help, unit);
        let answer = post(&server, &request.series(&[("__name__", "partial")], and([sample(1.0, 1), metadata])));
        assert_written(&answer, [1, 0, 0], help);
    }
    let mut request = RequestV2::new();
    let metadata = request.metadata(0, "", "");
    let nothing = request.series(&[("__name__", "nothing")], and([sample(1.0, 1), metadata]));
    assert_written(&post(&server, &nothing), [1, 0, 0], "metadata that says nothing");
    let bare = RequestV2::new().series(&[("__name__", "bare")], Message::default());
    assert_written(&post(&server, &bare), [0, 0, 0], "a series of nothing");
    let out_of_range = Message::default().bytes(5, Message::default().varint(1, 1).varint(3, 99).0);
    let answer = post(&server, &RequestV2::new().series(&[("__name__", "x")], and([sample(1.0, 1), out_of_range])));
    assert_refused(&answer, 400, [1, 0, 0], "a reference of metadata out of range");
}

#[test]
fn labels_that_break_a_rule_refuse_their_series_and_the_rest_is_counted() {
    let server = TestServer::start();
    let good = |job| [("__name__", "up"), ("job", job)];
    let bad: [(&str, Labels<'_>); 4] = [
        ("a label that stands twice", &[("__name__", "up"), ("job", "a"), ("job", "b")]),
        ("no metric name", &[("job", "a")]),
        ("an empty metric name", &[("__name__", ""), ("job", "a")]),
        ("an empty label name", &[("", "x"), ("__name__", "up")]),
    ];
    for (what, labels) in bad {
        let request = RequestV2::new()
            .series(&good("a"), sample(1.0, 1_000))
            .series(&good("b"), sample(1.0, 1_000))
            .series(labels, sample(1.0, 1_000))
            .series(&good("c"), sample(1.0, 1_000));
        for _ in 0..2 {
            assert_refused(&post(&server, &request), 400, [3, 0, 0], what);
            assert_eq!(server.rows("SELECT count(*) FROM up"), json!([[3]]), "{what}");
        }
    }
    for (what, references) in [("out of range", &[1_u8, 99][..]), ("an odd number", &[1, 2, 1])] {
        let message = RequestV2::new().series(&good("a"), sample(1.0, 1_000)).message();
        let body = message.bytes(5, and([Message::default().bytes(1, references), sample(1.0, 1)]).0).body();
        assert_refused(&post_body(&server, &body), 400, [1, 0, 0], what);
    }
}

#[test]
fn labels_in_any_order_and_of_any_text_are_taken() {
    let server = TestServer::start();
    let sorted = [("__name__", "order"), ("a", "1"), ("b", "2")];
    let mixed = [("b", "2"), ("__name__", "order"), ("a", "1")];
    assert_written(&post(&server, &RequestV2::new().series(&sorted, sample(1.0, 1))), [1, 0, 0], "sorted");
    assert_written(&post(&server, &RequestV2::new().series(&mixed, sample(2.0, 1))), [1, 0, 0], "mixed");
    assert_eq!(server.rows("SELECT a, b, value FROM \"order\""), json!([["1", "2", 2.0]]));
    for (name, label, value) in [
        ("http.requests", "service.name", "a b"),
        ("with space", "label with space", "line\nbreak\ttab"),
        ("\u{6e29}\u{5ea6}", "\u{1F41F}", "\u{e4}\"\\"),
        ("colons:and:_", "x", ""),
    ] {
        let answer = post(&server, &RequestV2::new().series(&[("__name__", name), (label, value)], sample(1.0, 1)));
        assert_written(&answer, [1, 0, 0], name);
        assert_eq!(server.rows(&format!("SELECT count(*) FROM \"{name}\"")), json!([[1]]));
    }
}

#[test]
fn start_times_are_kept_beside_their_samples() {
    let server = TestServer::start();
    let started = |value: f64, time_ms: u64, start_ms: u64| {
        Message::default().bytes(2, Message::default().double(1, value).varint(2, time_ms).varint(3, start_ms).0)
    };
    let labels = [("__name__", "requests_total")];
    let request = RequestV2::new().series(&labels, and([started(1.0, 2_000, 1_000), sample(2.0, 3_000)]));
    assert_written(&post(&server, &request), [2, 0, 0], "a start of the sample");
    let created = RequestV2::new().series(&labels, and([sample(3.0, 4_000), Message::default().varint(6, 1_500)]));
    assert_written(&post(&server, &created), [1, 0, 0], "a start of the series");
    let found = server.rows("SELECT value, start_time FROM requests_total ORDER BY time");
    assert_eq!(found, json!([[1.0, 1_000_000_000], [2.0, null], [3.0, 1_500_000_000]]));
}

#[test]
fn samples_of_the_past_are_rows_repeated_ones_are_success_and_those_of_the_future_are_refused() {
    let server = TestServer::start();
    let now = now_ms();
    let request = |value, time_ms| RequestV2::new().series(&[("__name__", "t")], sample(value, time_ms));
    for (value, time_ms) in [(1.0, now), (1.0, now), (2.0, now - 86_400_000), (3.0, 0), (4.0, now + 500_000)] {
        assert_written(&post(&server, &request(value, time_ms)), [1, 0, 0], &format!("{time_ms}"));
    }
    let answer = post(&server, &request(9.0, now + 1_200_000));
    assert_refused(&answer, 400, [0; 3], "twenty minutes ahead");
    assert!(answer.text.contains("too_far_in_future=1"), "{}", answer.text);
    assert_eq!(server.rows("SELECT count(*), sum(value) FROM t"), json!([[4, 10.0]]));
}

#[test]
fn real_requests_are_answered_as_recorded_with_exact_counts() {
    let mut server = TestServer::start();
    let all = Captured::all("prometheus-3.5.3-rw2");
    assert_eq!(all.len(), 4);
    for round in 0..2 {
        for captured in &all {
            let answer = captured.post(&server);
            assert_eq!(u64::from(answer.status), captured.answered, "{}: {}", captured.name, answer.text);
            let counts = ["samples", "histograms", "exemplars"].map(|key| Some(captured.count(key)));
            assert_eq!(written(&answer), counts, "{}, {round}", captured.name);
        }
    }
    let count = "SELECT count(*) FROM prometheus_exemplars";
    let exemplars: u64 = all.iter().map(|captured| captured.count("exemplars")).sum();
    assert_eq!(server.rows(count), json!([[exemplars]]), "repeated exemplars are the same rows");
    server = server.restart();
    assert_eq!(server.rows(count), json!([[exemplars]]));
}

#[test]
fn one_bad_series_of_a_thousand_is_refused_again_when_it_is_repeated_and_the_others_stay() {
    let mut server = TestServer::start();
    let mut all = RequestV2::new();
    for index in 0..1_000 {
        let job = index.to_string();
        let labels = [("__name__", "up"), ("job", job.as_str()), ("job", "twice")];
        all = all.series(&labels[..if index == 500 { 3 } else { 2 }], sample(f64::from(index), 1_000));
    }
    for round in 0..2 {
        assert_refused(&post(&server, &all), 400, [999, 0, 0], &format!("{round}"));
        assert_eq!(server.rows("SELECT count(*), sum(value) FROM up"), json!([[999, 499_000.0]]));
    }
    server = server.restart();
    assert_eq!(server.rows("SELECT count(*), sum(value) FROM up"), json!([[999, 499_000.0]]));
}

#[test]
fn a_closed_database_is_503_with_zero_counts() {
    let server = TestServer::start();
    server.database.close().unwrap();
    let answer = post(&server, &RequestV2::new().series(&[("__name__", "up")], sample(1.0, 1)));
    assert_refused(&answer, 503, [0; 3], "closed");
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn many_requests_of_version_2_at_once_are_all_written() {
    let server = TestServer::start();
    std::thread::scope(|scope| {
        for sender in 0..4_i64 {
            let server = &server;
            scope.spawn(move || {
                let sender_label = sender.to_string();
                for round in 0..10_i64 {
                    let request = (0..20).fold(RequestV2::new(), |request, metric| {
                        let name = format!("metric_{}", metric + round);
                        request.series(&[("__name__", &name), ("sender", &sender_label)], sample(1.0, round))
                    });
                    assert_written(&post(server, &request), [20, 0, 0], &sender_label);
                }
            });
        }
    });
    assert_eq!(server.rows("SELECT count(*) FROM metric_19"), json!([[40]]));
}

#[test]
fn what_is_refused_is_counted_by_tenant_and_reason() {
    let server = TestServer::start();
    let twice = [("__name__", "up"), ("job", "a"), ("job", "b")];
    let request = RequestV2::new()
        .series(&twice, and([sample(1.0, 1), sample(2.0, 2), sample(3.0, 3)]))
        .series(&[("__name__", "up"), ("job", "c")], and([sample(4.0, 4), sample(5.0, now_ms() + 1_200_000)]));
    for _ in 0..2 {
        assert_refused(&post(&server, &request), 400, [1, 0, 0], "two rules are broken");
    }
    let metrics = server.get("/metrics").text;
    for (reason, count) in [("duplicate_label", 6), ("too_far_in_future", 2)] {
        let line = format!(
            "lynxstore_rejected_total{{protocol=\"remote_write\",reason=\"{reason}\",tenant=\"public\"}} {count}"
        );
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

/// System tables are joined and filtered by DataFusion.
#[cfg(feature = "datafusion")]
#[test]
fn what_is_refused_is_described_in_sql() {
    let server = TestServer::start();
    assert_eq!(server.rows("SELECT count(*) FROM system.rejected_samples"), json!([[0]]));
    let future = now_ms() + 1_200_000;
    let request = RequestV2::new()
        .series(&[("__name__", "up"), ("job", "a"), ("job", "b")], sample(1.0, 1))
        .series(&[("__name__", "up"), ("job", "c")], and([sample(4.0, 4), sample(5.0, future)]));
    assert_refused(&post(&server, &request), 400, [1, 0, 0], "two rules are broken");
    let found = server.rows("SELECT protocol, reason, table_name, labels FROM system.rejected_samples ORDER BY reason");
    let expected = json!([
        ["remote_write", "duplicate_label", "", ""],
        ["remote_write", "too_far_in_future", "up", "{job=\"c\"}"]
    ]);
    assert_eq!(found, expected);
    let found = server.rows(
        "SELECT count(*) FROM system.rejected_samples WHERE sample_time > now() AND detail LIKE '%(value 5)%' \
         AND refused_at < sample_time",
    );
    assert_eq!(found, json!([[1]]));
    let found = server.rows("SELECT reason, count FROM system.rejected_counts ORDER BY reason");
    assert_eq!(found, json!([["duplicate_label", 1], ["too_far_in_future", 1]]));
    let found = server.rows("SELECT label, distinct_values, series FROM system.cardinality WHERE table_name = 'up'");
    assert_eq!(found, json!([["job", 1, 1]]));
}
