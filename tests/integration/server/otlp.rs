//! OpenTelemetry metrics over HTTP, in both encodings.

use serde_json::json;

use super::client::{Answer, TestServer};
use super::line_protocol::gzip;
use super::message::Message;

const PROTOBUF: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const TIME_NS: u64 = 1_767_225_600_000_000_000;

fn fixed(message: Message, number: u32, value: u64) -> Message {
    message.double(number, f64::from_bits(value))
}

fn attribute(key: &str, value: &str) -> Message {
    Message::default().bytes(1, key).bytes(2, Message::default().bytes(1, value).0)
}

/// A request of one resource with the service `shop/api`, instance `i1`.
fn request(metrics: impl IntoIterator<Item = Message>) -> Message {
    let attributes = [
        attribute("service.namespace", "shop"),
        attribute("service.name", "api"),
        attribute("service.instance.id", "i1"),
        attribute("host.name", "h1"),
    ];
    let resource = attributes.into_iter().fold(Message::default(), |all, one| all.bytes(1, one.0));
    let scope = metrics.into_iter().fold(Message::default(), |all, one| all.bytes(2, one.0));
    Message::default().bytes(1, Message::default().bytes(1, resource.0).bytes(2, scope.0).0)
}

fn metric(name: &str, unit: &str, data: u32, message: Message) -> Message {
    Message::default().bytes(1, name).bytes(3, unit).bytes(data, message.0)
}

/// A number point with the attribute `http.method`.
fn point(value: f64) -> Message {
    fixed(Message::default(), 3, TIME_NS).bytes(7, attribute("http.method", "GET").0).double(4, value)
}

fn sum(points: impl IntoIterator<Item = Message>, temporality: u64, monotonic: u64) -> Message {
    let points = points.into_iter().fold(Message::default(), |all, one| all.bytes(1, one.0));
    points.varint(2, temporality).varint(3, monotonic)
}

fn packed(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn post(server: &TestServer, message: &Message) -> Answer {
    server.post("/v1/metrics", &PROTOBUF, &message.0)
}

#[test]
fn gauges_sums_and_histograms_become_the_tables_that_prometheus_names() {
    let server = TestServer::start();
    let gauge = Message::default().bytes(1, point(0.5).0);
    let integer = fixed(fixed(Message::default(), 3, TIME_NS), 6, (-7_i64) as u64);
    let histogram = fixed(fixed(Message::default(), 3, TIME_NS), 4, 6).double(5, 12.5);
    let histogram = histogram.bytes(6, packed(&[1, 2, 3])).bytes(7, packed(&[0.5_f64.to_bits(), 1.0_f64.to_bits()]));
    let quantile = Message::default().double(1, 0.5).double(2, 3.0);
    let summary = fixed(fixed(Message::default(), 3, TIME_NS), 4, 2).double(5, 5.0).bytes(6, quantile.0);
    let message = request([
        metric("cpu.utilization", "1", 5, gauge),
        metric("queue.length", "{items}", 7, sum([integer], 2, 0)),
        metric("http.requests", "1", 7, sum([point(5.0)], 2, 1)),
        metric("http.duration", "s", 9, Message::default().bytes(1, histogram.0).varint(2, 2)),
        metric("old.summary", "", 11, Message::default().bytes(1, summary.0)),
    ]);
    let answer = post(&server, &message);
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(server.database.engine().stats().commits, 1);
    let rows = server.rows("SELECT time, job, instance, http_method, value FROM cpu_utilization_ratio");
    assert_eq!(rows, json!([["2026-01-01T00:00:00Z", "shop/api", "i1", "GET", 0.5]]));
    assert_eq!(server.rows("SELECT value FROM queue_length"), json!([[-7.0]]));
    assert_eq!(server.rows("SELECT value, http_method FROM http_requests_total"), json!([[5.0, "GET"]]));
    let buckets = server.rows("SELECT le, value FROM http_duration_seconds_bucket ORDER BY value");
    assert_eq!(buckets, json!([["0.5", 1.0], ["1", 3.0], ["+Inf", 6.0]]));
    assert_eq!(server.rows("SELECT value FROM http_duration_seconds_sum"), json!([[12.5]]));
    assert_eq!(server.rows("SELECT value FROM http_duration_seconds_count"), json!([[6.0]]));
    assert_eq!(server.rows("SELECT quantile, value FROM old_summary"), json!([["0.5", 3.0]]));
    assert_eq!(server.rows("SELECT host_name, job, value FROM target_info"), json!([["h1", "shop/api", 1.0]]));
    // Sent again, nothing changes.
    assert_eq!(post(&server, &message).status, 200);
    assert_eq!(server.rows("SELECT count(*) FROM http_duration_seconds_bucket"), json!([[3]]));
}

#[test]
fn exponential_histograms_are_native_histograms_of_at_most_schema_8() {
    let server = TestServer::start();
    let exponential = |scale: u64, count: u64, buckets: &[u8]| {
        let side = Message::default().varint(1, 5).bytes(2, buckets);
        let point = fixed(fixed(Message::default(), 3, TIME_NS), 4, count).double(5, 1.5).varint(6, scale);
        metric("latency", "", 10, Message::default().bytes(1, fixed(point, 7, 1).bytes(8, side.0).0).varint(2, 2))
    };
    // Zigzag: scale 10 is 20, offset -3 is 5.
    let answer = post(&server, &request([exponential(20, 11, &[1, 2, 3, 4])]));
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    let expected = Message::default().varint(1, 11).double(3, 1.5).varint(4, 16).double(5, 1e-128).varint(6, 1);
    // Four buckets of scale 10 are one of scale 8: -3, -2 and -1 come together, 0 begins the next. Prometheus counts from
    // the upper bounds, so the first is its bucket 0.
    let span = Message::default().varint(1, 0).varint(2, 2);
    let expected = expected.bytes(11, span.0).bytes(12, [12, 3]).varint(15, TIME_NS / 1_000_000);
    let hex: String = expected.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(server.rows("SELECT histogram FROM latency"), json!([[hex]]));
    // A count that is not that of the buckets.
    let answer = post(&server, &request([exponential(20, 12, &[1, 2, 3, 4])]));
    assert!(answer.status == 200 && answer.text.contains("count"), "{}", answer.text);
    assert_eq!(server.rows("SELECT count(*) FROM latency"), json!([[1]]));
}

#[test]
fn points_that_cannot_be_kept_are_counted_and_the_others_are_written() {
    let server = TestServer::start();
    let message = request([
        metric("delta", "", 7, sum([point(1.0), point(2.0)], 1, 1)),
        metric("good", "", 5, Message::default().bytes(1, point(1.0).0)),
        metric("timeless", "", 5, Message::default().bytes(1, Message::default().double(4, 1.0).0)),
        metric("\u{e4}", "", 5, Message::default().bytes(1, point(1.0).0)),
    ]);
    let answer = post(&server, &message);
    assert_eq!(answer.status, 200);
    // partial_success { rejected_data_points: 4, error_message }
    assert_eq!(&answer.text.as_bytes()[..1], [0x0a]);
    assert_eq!(&answer.text.as_bytes()[2..5], [0x08, 4, 0x12]);
    assert!(answer.text.contains("unsupported=2") && answer.text.contains("invalid_time=1"), "{}", answer.text);
    assert_eq!(server.rows("SELECT value FROM good"), json!([[1.0]]));
}

#[test]
fn json_requests_come_to_the_same_rows_and_get_json_answers() {
    let server = TestServer::start();
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "api"}},
            {"key": "tags", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": true}]}}},
        ]},
        "unknown": {"x": [1, 2]},
        "scopeMetrics": [{"scope": {"name": "s"}, "metrics": [
            {"name": "g", "gauge": {"dataPoints": [
                {"timeUnixNano": TIME_NS.to_string(), "asInt": "-3", "attributes": [{"key": "a", "value": {"doubleValue": 1.5}}]},
                {"timeUnixNano": TIME_NS, "asDouble": "NaN", "attributes": [{"key": "a", "value": {"stringValue": "x"}}]},
            ]}},
            {"name": "h", "unit": "ms", "histogram": {"aggregationTemporality": 2, "dataPoints": [
                {"timeUnixNano": TIME_NS.to_string(), "count": "3", "sum": 4, "bucketCounts": ["1", 2], "explicitBounds": [2.5]},
            ]}},
            {"name": "d", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [
                {"timeUnixNano": "1", "asDouble": 1},
            ]}},
        ]}],
    }]});
    let headers = [JSON[0], ("content-encoding", "gzip")];
    let answer = server.post("/api/v1/otlp/v1/metrics", &headers, &gzip(body.to_string().as_bytes()));
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["partialSuccess"]["rejectedDataPoints"], "1");
    assert_eq!(
        server.rows("SELECT a, job, value FROM g ORDER BY a"),
        json!([["1.5", "api", -3.0], ["x", "api", "NaN"]])
    );
    let buckets = server.rows("SELECT le, value FROM h_milliseconds_bucket ORDER BY value");
    assert_eq!(buckets, json!([["2.5", 1.0], ["+Inf", 3.0]]));
    assert_eq!(server.rows("SELECT tags FROM target_info"), json!([["[1,true]"]]));
}

#[test]
fn requests_that_are_not_well_formed_or_of_another_type_write_nothing() {
    let server = TestServer::start();
    let good = request([metric("g", "", 5, Message::default().bytes(1, point(1.0).0))]).0;
    let answer = server.post("/v1/metrics", &PROTOBUF, &good[..good.len() - 1]);
    assert_eq!(answer.status, 400);
    // google.rpc.Status { code: INVALID_ARGUMENT, message }
    assert!(answer.text.as_bytes().starts_with(&[0x08, 3, 0x12]), "{:?}", answer.text);
    for body in ["{", "[1]", "7", r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":7}]}]}]}"#] {
        let answer = server.post("/v1/metrics", &JSON, body.as_bytes());
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(3)), "{body}");
    }
    assert_eq!(server.post("/v1/metrics", &[("content-type", "text/plain")], &good).status, 415);
    let many = metric("h", "", 9, {
        let point = fixed(Message::default(), 3, TIME_NS).bytes(6, vec![0; 8 * 10_001]);
        Message::default().bytes(1, point.0).varint(2, 2)
    });
    assert_eq!(server.post("/v1/metrics", &PROTOBUF, &request([many]).0).status, 413);
    assert!(server.is_untouched());
    assert_eq!(server.post("/v1/metrics", &PROTOBUF, b"").status, 200);
    assert_eq!(server.post("/v1/metrics", &JSON, b"{}").text, "{}");
}
