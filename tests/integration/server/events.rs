//! Events as JSON lines over HTTP, and what is stored when they are sent again.

use lynxstore::ingest::sampling::SamplingOptions;
use lynxstore::server::ServerOptions;
use serde_json::json;

use super::client::TestServer;
use super::line_protocol::gzip;

const CLICKS: &str = r#"{"time":"2026-01-01T00:00:00Z","device_id":"d1","event_type":"click","payload":{"x":1,"y":{"z":2.5}}}
{"time":"2026-01-01T00:00:00Z","device_id":"d2","event_type":"click","payload":{"x":7},"list":[1,2]}

{"time":1767225601000,"device_id":"d1","event_type":"view","ok":true,"gone":null}
"#;

#[test]
fn objects_become_rows_with_tags_and_flat_fields() {
    let server = TestServer::start();
    let answer = server.post("/api/v1/events/clicks?tags=event_type", &[], CLICKS.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json(), json!({"written": 3, "duplicates": 0, "rejected": 0, "errors": []}));
    let sql = "SELECT time, event_type, device_id, \"payload.x\", \"payload.y.z\", list, ok FROM clicks ORDER BY time, device_id";
    let expected = json!([
        ["2026-01-01T00:00:00Z", "click", "d1", 1, 2.5, null, null],
        ["2026-01-01T00:00:00Z", "click", "d2", 7, null, "[1,2]", null],
        ["2026-01-01T00:00:01Z", "view", "d1", null, null, null, true],
    ]);
    assert_eq!(server.rows(sql), expected);
    let kept =
        server.post("/api/v1/events/kept?nested=json", &[("content-encoding", "gzip")], &gzip(CLICKS.as_bytes()));
    assert_eq!(kept.status, 200, "{}", kept.text);
    let rows = server.rows("SELECT payload FROM kept WHERE device_id = 'd1' ORDER BY time");
    assert_eq!(rows, json!([[r#"{"x":1,"y":{"z":2.5}}"#], [null]]));
}

#[test]
fn a_bad_line_is_named_and_the_others_are_written() {
    let server = TestServer::start();
    let create = "CREATE TABLE e (at TIMESTAMP TIME, kind STRING TAG, n BIGINT, f DOUBLE) WITH (dedup = 'off')";
    assert_eq!(server.post("/api/v1/sql", &[], create.as_bytes()).status, 200);
    let lines = [
        r#"{"at":1767225600,"kind":"a","n":1}"#,
        r#"{"at":1767225600,"kind":"a","n":1.5}"#,
        r#"not json"#,
        r#"{"kind":"a","n":1}"#,
        r#"{"at":"soon","n":1}"#,
        r#"{"time":1767225601000000,"kind":7,"n":2,"f":3}"#,
        r#"{"at":1,"n":1,"n":2}"#,
        r#"{"at":1,"n":"text"}"#,
    ];
    let answer = server.post("/api/v1/events/e", &[], lines.join("\n").as_bytes());
    assert_eq!(answer.status, 400);
    let json = answer.json();
    assert_eq!((&json["written"], &json["rejected"]), (&json!(2), &json!(6)));
    let errors: Vec<_> = json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].clone(), error["reason"].clone()))
        .collect();
    let expected = [
        (2, "type_conflict"),
        (3, "malformed"),
        (4, "missing_time"),
        (5, "invalid_time"),
        (7, "duplicate_column"),
        (8, "type_conflict"),
    ];
    assert_eq!(errors, expected.map(|(line, reason)| (json!(line), json!(reason))));
    assert_eq!(server.rows("SELECT kind, n, f FROM e ORDER BY at"), json!([["a", 1, null], ["7", 2, 3.0]]));
}

#[test]
fn an_event_that_is_sent_again_is_stored_once_also_after_a_restart() {
    let mut server = TestServer::start();
    let path = "/api/v1/events/clicks?tags=event_type&dedup_key=device_id,event_type";
    assert_eq!(server.post(path, &[], CLICKS.as_bytes()).json()["written"], 3);
    for _ in 0..2 {
        let again = server.post(path, &[], CLICKS.as_bytes());
        assert_eq!(again.json(), json!({"written": 0, "duplicates": 3, "rejected": 0, "errors": []}), "{}", again.text);
        server = server.restart();
    }
    // One new event among old ones.
    let more = format!("{CLICKS}{}", r#"{"time":"2026-01-01T00:00:00Z","device_id":"d3","event_type":"click"}"#);
    let answer = server.post(path, &[], more.as_bytes()).json();
    assert_eq!((&answer["written"], &answer["duplicates"]), (&json!(1), &json!(3)));
    assert_eq!(server.rows("SELECT count(*) FROM clicks"), json!([[4]]));
    // Without a key every row stays.
    assert_eq!(server.post("/api/v1/events/clicks", &[], CLICKS.as_bytes()).json()["written"], 3);
    assert_eq!(server.rows("SELECT count(*) FROM clicks"), json!([[7]]));
}

#[test]
fn the_same_events_from_many_senders_at_once_are_stored_once() {
    let server = TestServer::start();
    let body: String = (0..300)
        .map(|id| format!("{{\"time\":{},\"id\":\"{id}\",\"kind\":\"k{}\"}}\n", 1_767_225_600 + id / 100, id % 3))
        .collect();
    let written: u64 = std::thread::scope(|scope| {
        let send = || {
            let answer = server.post("/api/v1/events/e?dedup_key=id&tags=kind", &[], body.as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.json()["written"].as_u64().unwrap()
        };
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert_eq!(written, 300);
    assert_eq!(server.rows("SELECT count(*) FROM e"), json!([[300]]));
}

#[test]
fn a_table_that_asks_for_sampling_keeps_a_weighted_part_under_pressure() {
    // Any line at all is a flood.
    let event_sampling = SamplingOptions { rows_per_second_max: 1e-6, ..SamplingOptions::default() };
    let server = TestServer::start_with(ServerOptions { event_sampling, ..ServerOptions::default() });
    let mut sent = 0;
    let mut send = |path: &str| {
        let body: String = (sent..sent + 1_000)
            .map(|id| format!("{{\"time\":{},\"id\":{id}}}\n", 1_767_225_600_000_i64 + id))
            .collect();
        sent += 1_000;
        let answer = server.post(path, &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let path = "/api/v1/events/e?sampling=adaptive";
    let first = send(path);
    assert_eq!((&first["written"], &first["sampled_out"], &first["weight"]), (&json!(1_000), &json!(0), &json!(1)));
    assert_eq!(server.rows("SELECT sum(sample_weight) FROM e"), json!([[1_000]]));
    // The sampler looks once a second.
    let sampled = loop {
        let answer = send(path);
        if answer["weight"] != 1 {
            break answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let (written, sampled_out) = (sampled["written"].as_u64().unwrap(), sampled["sampled_out"].as_u64().unwrap());
    assert_eq!((&sampled["weight"], written + sampled_out), (&json!(100), 1_000));
    assert!((1..50).contains(&written), "{written} of 1,000 lines were kept at one of a hundred");
    let kept = server.rows("SELECT count(*) FROM e WHERE sample_weight = 100");
    assert_eq!(kept, json!([[written]]));
    let metrics = server.get("/metrics").text;
    for (percent, tables) in [(1, 1), (5, 0), (20, 0), (100, 0)] {
        let line = format!("lynxstore_sampled_tables{{percent=\"{percent}\",tenant=\"public\"}} {tables}\n");
        assert!(metrics.contains(&line), "{line}");
    }
    let left_out =
        metrics.lines().find_map(|line| line.strip_prefix("lynxstore_sampled_out_rows_total{tenant=\"public\"} "));
    assert_eq!(left_out.unwrap().parse::<u64>(), Ok(sampled_out));
    // Who does not ask for it loses nothing, beside it in the same table.
    let whole = send("/api/v1/events/e");
    assert_eq!((&whole["written"], whole.get("weight")), (&json!(1_000), None));
    assert_eq!(server.rows("SELECT count(*) FROM e WHERE sample_weight IS NULL"), json!([[1_000]]));
}

#[test]
fn numbers_are_the_floats_that_are_nearest_to_their_text() {
    let server = TestServer::start();
    // Digits of which a reader that only comes near makes another float.
    for (number, text) in ["31.245270191439438", "121.48791951161945", "0.30000000000000004"].iter().enumerate() {
        let event = format!("{{\"time\":{number},\"f\":{text}}}");
        assert_eq!(server.post("/api/v1/events/e?time_unit=ns", &[], event.as_bytes()).status, 200);
        let point = format!("{{\"timeUnixNano\":\"{}\",\"asDouble\":{text}}}", number + 1);
        let otlp = format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"m\",\"gauge\":{{\"dataPoints\":[{point}]}}}}]}}]}}]}}"
        );
        let answer = server.post("/v1/metrics", &[("content-type", "application/json")], otlp.as_bytes());
        assert_eq!((answer.status, &*answer.text), (200, "{}"));
        let expected = text.parse::<f64>().unwrap().to_bits();
        for sql in ["SELECT f FROM e ORDER BY time", "SELECT value FROM m ORDER BY time"] {
            let csv = server.post("/api/v1/sql?format=csv", &[], sql.as_bytes()).text;
            let found: f64 = csv.lines().nth(number + 1).unwrap().parse().unwrap();
            assert_eq!(found.to_bits(), expected, "{sql}: {found} for {text}");
        }
    }
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    let server = TestServer::start();
    for path in [
        "/api/v1/events/e?nested=maybe",
        "/api/v1/events/e?time_unit=weeks",
        "/api/v1/events/e?tags=a,,b",
        "/api/v1/events/e?sampling=yes",
        "/api/v1/events/e?unknown=1",
    ] {
        assert_eq!(server.post(path, &[], CLICKS.as_bytes()).status, 400, "{path}");
    }
    assert_eq!(server.get("/api/v1/events/e").status, 405);
    assert_eq!(server.post("/api/v1/events/", &[], CLICKS.as_bytes()).status, 404);
    assert_eq!(
        server.post("/api/v1/events/e", &[("origin", "http://elsewhere.example")], CLICKS.as_bytes()).status,
        403
    );
    assert!(server.is_untouched());
    let answer = server.post("/api/v1/events/a%2F..%2Fb?time=time&time_unit=ms", &[], br#"{"time":5,"n":1}"#);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(server.database.table("a/../b").is_ok());
}
