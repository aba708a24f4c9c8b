//! Every bound of a request with its default, and each of them met at one less, at the bound, and at one more.
//!
//! The table names every key of the configuration that bounds something, so that a new one cannot be left out. Bounds whose
//! test stands elsewhere, because it needs time, memory or a connection of its own, name that test.

use std::collections::BTreeSet;
use std::fs;

use lynxstore::server::ServerOptions;
use lynxstore::server::config::all_keys;

use super::client::TestServer;
use super::line_protocol::gzip;
use super::message::{Message, RequestV2, request, series};
use crate::support::project_root;

/// Sets the bound.
type Set = fn(&mut ServerOptions, usize);
/// Brings so many of what is bounded to a server; the status of the answer. The last number makes names that are new.
type Bring = fn(&TestServer, usize, usize) -> u16;

/// How a bound is shown to hold.
enum Shown {
    /// Here: the bound that is set, how, what is brought, and the statuses of what fits and of what does not.
    Here(usize, Set, Bring, u16, u16),
    /// By a test of this name.
    By(&'static str),
}

use Shown::{By, Here};

/// The key, its default, and how it is shown to hold.
type Row = (&'static str, &'static str, Shown);

fn lines(server: &TestServer, text: &str) -> u16 {
    server.post("/write", &[], text.as_bytes()).status
}

fn events(server: &TestServer, text: &str) -> u16 {
    server.post("/api/v1/events/e", &[], text.as_bytes()).status
}

fn v2(server: &TestServer, request: &RequestV2) -> u16 {
    let content_type = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let headers = [("content-encoding", "snappy"), ("content-type", content_type)];
    server.post("/api/v1/write", &headers, &request.message().body()).status
}

fn v1(server: &TestServer, message: &Message) -> u16 {
    server.write(&message.body()).status
}

/// A native histogram of one observation.
fn histogram(time_ms: u64) -> Message {
    Message::default().varint(1, 1).double(3, 0.5).varint(6, 1).varint(15, time_ms)
}

/// So many fields of a row.
fn fields(count: usize) -> String {
    (0..count).map(|number| format!("f{number}=1")).collect::<Vec<_>>().join(",")
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    vec![
        ("limits.body_bytes", "16MiB", By("bodies_are_refused_from_the_first_byte_over_their_bound")),
        ("limits.decoded_bytes", "32MiB", By("bodies_are_refused_from_the_first_byte_over_their_bound")),
        // The empty symbol, `__name__`, the metric, and others that nothing refers to.
        ("limits.symbols", "200000", Here(20, |options, max| options.remote_write.symbols_max = max, |server, count, _| {
            let mut request = RequestV2::new().series(&[("__name__", "m")], Message::default().sample(1.0, 1));
            (3..count).for_each(|number| _ = request.symbol(&format!("s{number}")));
            v2(server, &request)
        }, 204, 413)),
        ("limits.series", "50000", Here(10, |options, max| options.remote_write.series_max = max, |server, count, _| {
            v1(server, &request((0..count).map(|number| series("m", &[("n", &number.to_string())]).sample(1.0, 1))))
        }, 204, 413)),
        ("limits.samples", "500000", Here(10, |options, max| options.remote_write.samples_max = max, |server, count, _| {
            v1(server, &request([(0..count).fold(series("m", &[]), |series, time| series.sample(1.0, time as i64))]))
        }, 204, 413)),
        ("limits.histograms", "50000", Here(10, |options, max| options.remote_write.histograms_max = max, |server, count, _| {
            v1(server, &request([(1..=count).fold(series("m", &[]), |series, time| series.bytes(4, histogram(time as u64).0))]))
        }, 204, 413)),
        ("limits.exemplars", "50000", Here(10, |options, max| options.remote_write.exemplars_max = max, |server, count, _| {
            let exemplar = |time: usize| Message::default().double(2, 1.0).varint(3, time as u64);
            v1(server, &request([(0..count).fold(series("m", &[]), |series, time| series.bytes(3, exemplar(time).0))]))
        }, 204, 413)),
        ("limits.metadata", "50000", Here(10, |options, max| options.remote_write.metadata_max = max, |server, count, _| {
            let entry = |number: usize| Message::default().varint(1, 1).bytes(2, format!("m{number}"));
            v1(server, &(0..count).fold(Message::default(), |request, number| request.bytes(3, entry(number).0)))
        }, 204, 413)),
        // The name of the metric is a label.
        ("limits.labels", "40", Here(5, |options, max| options.remote_write.labels_max = max, |server, count, _| {
            let names: Vec<_> = (1..count).map(|number| format!("n{number}")).collect();
            let labels: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
            v1(server, &request([series("m", &labels).sample(1.0, 1)]))
        }, 204, 400)),
        ("limits.label_name_bytes", "256", Here(16, |options, max| options.remote_write.label_name_bytes_max = max, |server, len, _| {
            v1(server, &request([series("m", &[(&"n".repeat(len), "x")]).sample(1.0, 1)]))
        }, 204, 400)),
        ("limits.label_value_bytes", "4KiB", Here(16, |options, max| options.remote_write.label_value_bytes_max = max, |server, len, _| {
            v1(server, &request([series("m", &[("n", &"v".repeat(len))]).sample(1.0, 1)]))
        }, 204, 400)),
        // Nine are `__name__` and `m`, one is `n`.
        ("limits.label_bytes", "16KiB", Here(64, |options, max| options.remote_write.label_bytes_max = max, |server, len, _| {
            v1(server, &request([series("m", &[("n", &"v".repeat(len - 10))]).sample(1.0, 1)]))
        }, 204, 400)),
        ("limits.future", "10m", By("samples_of_the_past_are_rows_repeated_ones_are_success_and_those_of_the_future_are_refused")),
        ("limits.series_cache", "128MiB", By("memory_is_bounded_and_series_in_use_stay")),
        ("limits.writes", "", By("jobs_over_the_slots_wait_and_jobs_over_the_queue_are_refused")),
        ("limits.waiting", "64", By("jobs_over_the_slots_wait_and_jobs_over_the_queue_are_refused")),
        ("limits.wait", "5s", By("a_job_that_waits_too_long_is_refused")),
        ("limits.bodies_in_flight", "0", By("bodies_and_what_they_are_unpacked_to_share_one_bound")),
        ("limits.body_timeout", "2m", By("idle_connections_and_slow_heads_are_closed_and_slow_bodies_answered")),
        ("limits.body_speed", "1KiB", By("a_body_that_never_comes_and_one_that_breaks_are_errors")),
        ("limits.connections", "512", By("a_new_connection_takes_the_place_of_the_idlest_one")),
        ("limits.head_bytes", "16KiB", By("heads_are_bounded_in_bytes_and_headers")),
        ("limits.headers", "64", By("heads_are_bounded_in_bytes_and_headers")),
        ("limits.head_timeout", "10s", By("idle_connections_and_slow_heads_are_closed_and_slow_bodies_answered")),
        ("limits.idle_timeout", "1m", By("idle_connections_and_slow_heads_are_closed_and_slow_bodies_answered")),
        ("limits.stall_timeout", "30s", By("an_answer_that_is_not_read_is_cut_and_gives_its_memory_back")),
        ("limits.disk_free", "256MiB", By("writes_end_below_the_bound_and_begin_again_above_it")),
        ("rows.body_bytes", "16MiB", Here(1_000, |options, max| options.rows.body_bytes_max = max, |server, len, _| {
            lines(server, &format!("{:<len$}", "t f=1\n#"))
        }, 204, 413)),
        ("rows.decoded_bytes", "32MiB", Here(1_000, |options, max| options.rows.decoded_bytes_max = max, |server, len, _| {
            let body = gzip(format!("{:<len$}", "t f=1\n#").as_bytes());
            server.post("/write", &[("content-encoding", "gzip")], &body).status
        }, 204, 413)),
        ("rows.rows", "500000", Here(10, |options, max| options.rows.rows_max = max, |server, count, _| {
            lines(server, &"t f=1 1\n".repeat(count))
        }, 204, 413)),
        ("rows.tables", "10000", Here(5, |options, max| options.rows.tables_max = max, |server, count, _| {
            lines(server, &(0..count).map(|number| format!("t{number} f=1 1\n")).collect::<String>())
        }, 204, 413)),
        ("rows.columns", "100000", Here(10, |options, max| options.rows.columns_max = max, |server, count, round| {
            lines(server, &format!("t{round} {} 1\n", fields(count)))
        }, 204, 413)),
        // Those of a row are its fields and its time.
        ("rows.cells", "16777216", Here(10, |options, max| options.rows.cells_max = max, |server, count, round| {
            lines(server, &format!("t{round} {} 1\n", fields(count - 1)))
        }, 204, 413)),
        ("rows.tags", "40", Here(5, |options, max| options.rows.tags_max = max, |server, count, _| {
            let tags: String = (0..count).map(|number| format!(",t{number}=x")).collect();
            lines(server, &format!("t{tags} f=1 1\n"))
        }, 204, 400)),
        ("rows.fields", "1024", Here(5, |options, max| options.rows.fields_max = max, |server, count, round| {
            lines(server, &format!("t{round} {} 1\n", fields(count)))
        }, 204, 400)),
        ("rows.name_bytes", "256", Here(16, |options, max| options.rows.name_bytes_max = max, |server, len, _| {
            lines(server, &format!("{} f=1 1\n", "n".repeat(len)))
        }, 204, 400)),
        ("rows.tag_value_bytes", "4KiB", Here(16, |options, max| options.rows.tag_value_bytes_max = max, |server, len, _| {
            lines(server, &format!("t,a={} f=1 1\n", "v".repeat(len)))
        }, 204, 400)),
        // One is the name.
        ("rows.tag_bytes", "16KiB", Here(64, |options, max| options.rows.tag_bytes_max = max, |server, len, _| {
            lines(server, &format!("t,a={} f=1 1\n", "v".repeat(len - 1)))
        }, 204, 400)),
        ("rows.line_bytes", "1MiB", Here(100, |options, max| options.rows.line_bytes_max = max, |server, len, _| {
            let empty = r#"{"time":1,"s":""}"#.len();
            events(server, &format!("{{\"time\":1,\"s\":\"{}\"}}", "x".repeat(len - empty)))
        }, 200, 400)),
        ("sql.bytes", "1MiB", By("statements_are_refused_from_the_first_thing_over_their_bound")),
        ("sql.depth", "50", By("statements_are_refused_from_the_first_thing_over_their_bound")),
        ("sql.nodes", "50000", By("statements_are_refused_from_the_first_thing_over_their_bound")),
        ("sql.rows", "1000000", By("statements_are_refused_from_the_first_thing_over_their_bound")),
        ("sql.results_in_flight", "512MiB", By("results_that_nobody_reads_yet_share_one_bound")),
        ("tenant_limits.samples_per_second", "0", By("samples_up_to_the_rate_pass_and_one_more_waits_for_its_time")),
        ("tenant_limits.new_series_per_minute", "50000", By("series_begin_up_to_the_bound_of_a_minute")),
        ("tenant_limits.series_per_table", "1000000", By("a_table_takes_series_up_to_its_bound_and_a_tenant_up_to_its_own")),
        ("tenant_limits.series", "5000000", By("a_table_takes_series_up_to_its_bound_and_a_tenant_up_to_its_own")),
    ]
}

/// Bounds on what statements do once they run are tested where they are kept, in the query crate.
const OF_THE_QUERY_CRATE: [&str; 4] = ["sql.memory", "sql.timeout", "sql.statements", "sql.threads"];

#[test]
fn every_bound_holds_at_one_less_at_it_and_at_one_more() {
    for (key, _, shown) in table() {
        let Here(max, set, bring, fits, over) = shown else { continue };
        let mut options = ServerOptions::default();
        set(&mut options, max);
        let server = TestServer::start_with(options);
        for (round, (count, status)) in [(max - 1, fits), (max, fits), (max + 1, over)].into_iter().enumerate() {
            assert_eq!(bring(&server, count, round), status, "{key}: {count} where {max} are allowed");
        }
    }
}

#[test]
fn the_table_has_every_bound_with_its_default_and_names_tests_that_exist() {
    let table = table();
    for (key, default, _) in table.iter().filter(|(_, default, _)| !default.is_empty()) {
        let found = all_keys().iter().find(|found| found.name == *key).unwrap_or_else(|| panic!("no key {key}"));
        assert_eq!(found.default_value(), *default, "{key}");
    }
    let listed: BTreeSet<_> = table.iter().map(|(key, ..)| *key).chain(OF_THE_QUERY_CRATE).collect();
    let sections = ["limits.", "rows.", "sql.", "tenant_limits."];
    let keys = all_keys().iter().map(|key| key.name);
    let keys: BTreeSet<_> = keys.filter(|key| sections.iter().any(|section| key.starts_with(section))).collect();
    assert_eq!(listed, keys);
    let mut sources = String::new();
    for dir in ["tests/integration/server", "src/server", "src/ingest/quota", "src/ingest/prometheus"] {
        for entry in fs::read_dir(project_root().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    for (key, _, shown) in table {
        if let By(test) = shown {
            assert!(sources.contains(&format!("fn {test}()")), "{key}: no test {test}");
        }
    }
}

#[test]
fn json_is_read_up_to_its_depth() {
    let server = TestServer::start();
    // serde_json ends at 128, the line itself is one of them.
    for nested in ["flatten", "json"] {
        for (depth, status) in [(126, 200), (127, 200), (128, 400), (10_000, 400)] {
            let body = format!("{{\"time\":1,\"a\":{}1{}}}", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
            let path = format!("/api/v1/events/{nested}?nested={nested}");
            assert_eq!(server.post(&path, &[], body.as_bytes()).status, status, "{nested}, {depth}");
        }
    }
    // A list within a list, as the value of an attribute: a text and 16 lists around it.
    for (depth, is_taken) in [(15, true), (16, true), (17, false)] {
        let value = (0..depth).fold(r#"{"stringValue":"x"}"#.to_owned(), |inner, _| {
            format!("{{\"arrayValue\":{{\"values\":[{inner}]}}}}")
        });
        let body = format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"m\",\"gauge\":{{\"dataPoints\":[{{\
             \"timeUnixNano\":\"1767225600000000000\",\"asDouble\":1,\"attributes\":[{{\"key\":\"k\",\"value\":{value}}}]}}]}}}}]}}]}}]}}"
        );
        let answer = server.post("/v1/metrics", &[("content-type", "application/json")], body.as_bytes());
        assert_eq!((answer.status, answer.text == "{}"), (200, is_taken), "{depth}: {}", answer.text);
    }
}

#[test]
fn attributes_and_buckets_of_a_point_are_refused_from_the_first_one_over_their_bound() {
    let server = TestServer::start();
    let post = |data: &str, point: &str| {
        let body = format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"m\",\"{data}\":{{\
             \"aggregationTemporality\":2,\"dataPoints\":[{{\"timeUnixNano\":\"1767225600000000000\",{point}}}]}}}}]}}]}}]}}"
        );
        server.post("/v1/metrics", &[("content-type", "application/json")], body.as_bytes())
    };
    // A row has at most 40 tags, a point up to 128 attributes that are looked at.
    for (count, reason) in [(40, ""), (41, "too_many_columns"), (128, "too_many_columns"), (129, "too_many_columns")] {
        let attribute = |n: usize| format!("{{\"key\":\"k{n}\",\"value\":{{\"stringValue\":\"x\"}}}}");
        let attributes: Vec<_> = (0..count).map(attribute).collect();
        let answer = post("gauge", &format!("\"asDouble\":1,\"attributes\":[{}]", attributes.join(",")));
        assert_eq!((answer.status, answer.text.contains(reason)), (200, true), "{count}: {}", answer.text);
        assert_eq!(answer.text == "{}", count <= 40, "{count}: {}", answer.text);
    }
    for (count, status) in [(9_999, 200), (10_000, 200), (10_001, 413)] {
        let counts = vec!["0"; count].join(",");
        let point = format!("\"count\":0,\"scale\":0,\"positive\":{{\"offset\":0,\"bucketCounts\":[{counts}]}}");
        let answer = post("exponentialHistogram", &point);
        assert_eq!(answer.status, status, "{count} buckets: {}", answer.text);
    }
    // In the protobuf form as well: packed lists of one field of a point.
    let packed = |count: usize| vec![0_u8; 8 * count];
    for (count, status) in [(9_999, 200), (10_000, 200), (10_001, 413)] {
        let point = Message::default().double(3, f64::from_bits(1_767_225_600_000_000_000));
        let point = point.bytes(6, packed(count)).bytes(7, packed(count - 1));
        let histogram = Message::default().bytes(1, point.0).varint(2, 2);
        let metric = Message::default().bytes(1, "h").bytes(9, histogram.0);
        let message =
            Message::default().bytes(1, Message::default().bytes(2, Message::default().bytes(2, metric.0).0).0);
        let answer = server.post("/v1/metrics", &[("content-type", "application/x-protobuf")], &message.0);
        assert_eq!(answer.status, status, "{count} buckets");
    }
}

#[test]
fn buckets_of_a_native_histogram_are_those_that_its_bytes_hold() {
    let server = TestServer::start();
    // Spans may claim any number of buckets; as many deltas have to be there.
    for (claimed, there, status) in
        [(999_u64, 1_000, 400), (1_000, 1_000, 204), (1_001, 1_000, 400), (u64::from(u32::MAX), 1_000, 400)]
    {
        let span = Message::default().varint(1, 0).varint(2, claimed);
        let histogram = histogram(1).bytes(11, span.0).bytes(12, vec![0_u8; there]);
        assert_eq!(v1(&server, &request([series("m", &[]).bytes(4, histogram.0)])), status, "{claimed} of {there}");
    }
}
