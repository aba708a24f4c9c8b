//! Bounds, each at one less, at the bound, and at one more; connections under time; quotas of tenants.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lynxstore::server::{ServerOptions, TenantLimits};
use serde_json::json;

use super::client::{Answer, TestServer};
use super::message::{Message, request, series};

/// Starts a server whose defaults were changed.
fn server(change: impl FnOnce(&mut ServerOptions)) -> TestServer {
    let mut options = ServerOptions::default();
    change(&mut options);
    TestServer::start_with(options)
}

fn samples(metric: &str, count: usize) -> Message {
    (0..count).fold(series(metric, &[]), |series, index| series.sample(1.0, index as i64))
}

fn many_series(count: usize, prefix: &str) -> Message {
    request((0..count).map(|index| series("up", &[("instance", &format!("{prefix}{index}"))]).sample(1.0, 1)))
}

/// The reason of a partial write.
fn reason(answer: &Answer) -> &str {
    answer.text.split("metadata: ").last().unwrap().split('=').next().unwrap()
}

#[test]
fn elements_of_a_request_are_refused_from_the_first_one_over_their_bound() {
    let server = server(|options| {
        options.remote_write.series_max = 10;
        options.remote_write.samples_max = 20;
    });
    for (count, status) in [(9, 204), (10, 204), (11, 413)] {
        assert_eq!(server.write(&many_series(count, "s").body()).status, status, "{count} series");
    }
    for (count, status) in [(19, 204), (20, 204), (21, 413)] {
        assert_eq!(server.write(&request([samples("x", count)]).body()).status, status, "{count} samples");
    }
}

#[test]
fn labels_are_refused_from_the_first_byte_over_their_bound() {
    let server = server(|options| {
        options.remote_write.labels_max = 3;
        options.remote_write.label_name_bytes_max = 8;
        options.remote_write.label_value_bytes_max = 16;
        options.remote_write.label_bytes_max = 64;
    });
    let write = |labels: &[(&str, &str)]| server.write(&request([series("m", labels).sample(1.0, 1)]).body());
    let name = |len: usize| "n".repeat(len);
    let value = |len: usize| "v".repeat(len);
    for (len, status) in [(7, 204), (8, 204), (9, 400)] {
        assert_eq!(write(&[(&name(len), "x")]).status, status, "a name of {len} bytes");
    }
    for (len, status) in [(15, 204), (16, 204), (17, 400)] {
        assert_eq!(write(&[("a", &value(len))]).status, status, "a value of {len} bytes");
    }
    // The metric name is a label too.
    for (count, status) in [(1, 204), (2, 204), (3, 400)] {
        let labels: Vec<_> = ["a", "b", "c"].iter().take(count).map(|name| (*name, "x")).collect();
        assert_eq!(write(&labels).status, status, "{count} labels beside the name");
    }
}

#[test]
fn bodies_are_refused_from_the_first_byte_over_their_bound() {
    let body = request([samples("m", 500)]).body();
    let decoded = snap::raw::decompress_len(&body).unwrap();
    for (room, status) in [(1_i64, 204), (0, 204), (-1, 413)] {
        let limit = |len: usize| usize::try_from(len as i64 + room).unwrap();
        let by_wire = server(|options| options.remote_write.body_bytes_max = limit(body.len()));
        assert_eq!(by_wire.write(&body).status, status, "a body with {room} bytes of room");
        let by_decoded = server(|options| options.remote_write.decoded_bytes_max = limit(decoded));
        assert_eq!(by_decoded.write(&body).status, status, "a message with {room} bytes of room");
    }
}

#[test]
fn bodies_and_what_they_are_unpacked_to_share_one_bound() {
    let body = request([samples("m", 5_000)]).body();
    let decoded = snap::raw::decompress_len(&body).unwrap();
    let needed = (body.len() + decoded).div_ceil(1024) * 1024;
    let status = |bytes: usize| server(|options| options.body_bytes_in_flight_max = bytes).write(&body);
    assert_eq!(status(needed + 1024).status, 204);
    assert_eq!(status(needed).status, 204);
    let refused = status(needed - 1024);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
}

#[test]
fn statements_are_refused_from_the_first_thing_over_their_bound() {
    let server = server(|options| {
        options.sql_bytes_max = 64;
        options.sql_rows_max = 5;
        options.sql_nodes_max = 20;
    });
    assert_eq!(server.write(&many_series(6, "s").body()).status, 204);
    let status = |sql: &str| server.post("/api/v1/sql", &[], sql.as_bytes()).status;
    let padded = |len: usize| format!("{:<len$}", "SELECT 1");
    for (len, expected) in [(63, 200), (64, 200), (65, 413)] {
        assert_eq!(status(&padded(len)), expected, "{len} bytes");
    }
    for (rows, expected) in [(4, 200), (5, 200), (6, 400)] {
        assert_eq!(status(&format!("SELECT instance FROM up LIMIT {rows}")), expected, "{rows} rows");
    }
    // The word and its numbers count, commas do not.
    for (numbers, expected) in [(18, 200), (19, 200), (20, 400)] {
        assert_eq!(status(&format!("SELECT {}", vec!["1"; numbers].join(","))), expected, "{numbers} numbers");
    }
}

#[test]
fn brackets_are_refused_from_the_first_level_over_their_bound() {
    let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    let deepest = |depth_max: usize| {
        let server = server(|options| options.sql_depth_max = depth_max);
        let accepts = |depth: &usize| server.post("/api/v1/sql", &[], nested(*depth).as_bytes()).status == 200;
        (1..40).take_while(accepts).last()
    };
    assert_eq!([9, 10, 11].map(deepest), [Some(7), Some(8), Some(9)]);
}

#[test]
fn results_that_nobody_reads_yet_share_one_bound() {
    let with = |bytes| {
        let server = server(|options| options.result_bytes_in_flight_max = bytes);
        assert_eq!(server.write(&request([samples("m", 1000)]).body()).status, 204);
        server.post("/api/v1/sql", &[], b"SELECT * FROM m")
    };
    let refused = with(1024);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true), "{}", refused.text);
    assert_eq!(with(1 << 20).status, 200);
}

#[test]
fn heads_are_bounded_in_bytes_and_headers() {
    let server = server(|options| {
        options.head_bytes_max = 8 << 10;
        options.headers_max = 10;
    });
    let ask = |headers: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = write!(stream, "GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split_whitespace().nth(1).unwrap_or("closed").to_owned()
    };
    let with_headers = |count: usize| ask(&(2..count).map(|index| format!("x-{index}: y\r\n")).collect::<String>());
    assert_eq!([with_headers(9), with_headers(10), with_headers(11)], ["200", "200", "431"]);
    assert_eq!(ask(&format!("x: {}\r\n", "y".repeat(7 << 10))), "200");
    assert_ne!(ask(&format!("x: {}\r\n", "y".repeat(9 << 10))), "200");
}

/// Waits until the server closes a connection; how long that took.
fn closed_after(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut rest = Vec::new();
    // A reset is a close as well.
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the server kept the connection");
    }
    start.elapsed()
}

#[test]
fn idle_connections_and_slow_heads_are_closed_and_slow_bodies_answered() {
    let server = server(|options| {
        options.idle_timeout = Duration::from_millis(200);
        options.head_timeout = Duration::from_millis(100);
        options.body_timeout = Duration::from_millis(100);
    });
    let mut idle = TcpStream::connect(server.address()).unwrap();
    assert!(closed_after(&mut idle) >= Duration::from_millis(150), "idle connections have their time");

    let mut after_request = TcpStream::connect(server.address()).unwrap();
    after_request.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    closed_after(&mut after_request);

    let mut half = TcpStream::connect(server.address()).unwrap();
    half.write_all(b"GET /-/healthy HTTP/1.1\r\nho").unwrap();
    closed_after(&mut half);

    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.write_all(b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\nabc")
        .unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[test]
fn a_new_connection_takes_the_place_of_the_idlest_one() {
    let server = server(|options| options.connections_max = 3);
    let mut idle: Vec<_> = (0..3)
        .map(|_| {
            let stream = TcpStream::connect(server.address()).unwrap();
            // So that they are accepted in this order.
            std::thread::sleep(Duration::from_millis(20));
            stream
        })
        .collect();
    assert_eq!(server.get("/-/healthy").status, 200, "though all places were taken");
    closed_after(&mut idle[0]);
    idle[2].write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    idle[2].read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "the others stay: {answer}");
}

#[test]
fn an_answer_that_is_not_read_is_cut_and_gives_its_memory_back() {
    let server = server(|options| {
        options.stall_timeout = Duration::from_millis(200);
        options.remote_write.label_value_bytes_max = 64 << 10;
        options.remote_write.label_bytes_max = 64 << 10;
    });
    let long = "x".repeat(8 << 10);
    let all = (0..500).map(|index| series("up", &[("long", &format!("{index}{long}"))]).sample(1.0, 1));
    assert_eq!(server.write(&request(all).body()).status, 204);
    let in_flight = || {
        let text = server.get("/metrics").text;
        let line = text.lines().find_map(|line| line.strip_prefix("lynxstore_memory_bytes{area=\"results\"} "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let sql = "SELECT a.long FROM up AS a";
    let sql = if cfg!(feature = "datafusion") { sql } else { "SELECT long FROM up" };
    for _ in 0..8 {
        write!(stream, "POST /api/v1/sql HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{sql}", sql.len()).unwrap();
    }
    let mut was_held = false;
    for _ in 0..500 {
        was_held |= in_flight() > 0.0;
        if was_held && in_flight() == 0.0 {
            closed_after(&mut stream);
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the result is still held, or never was: {was_held}");
}

#[test]
fn a_tenant_over_its_rate_is_told_when_to_come_back_and_nothing_is_written() {
    let server = server(|options| options.tenant_limits.samples_per_second = 10);
    assert_eq!(server.write(&request([samples("a", 99)]).body()).status, 204);
    assert_eq!(server.write(&request([samples("b", 1)]).body()).status, 204);
    let refused = server.write(&request([samples("c", 50)]).body());
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 4);
    assert_eq!(server.post("/api/v1/sql", &[], b"SELECT * FROM c").status, 404);
    let metrics = server.get("/metrics").text;
    assert!(metrics.contains("lynxstore_tenant_samples_total{outcome=\"refused\",tenant=\"public\"} 50"), "{metrics}");
}

#[test]
fn series_that_are_there_go_on_when_new_ones_may_not_begin() {
    let limits = TenantLimits { new_series_per_minute: 10, ..TenantLimits::default() };
    let server = server(|options| options.tenant_limits = limits.clone());
    assert_eq!(server.write(&many_series(9, "old").body()).status, 204);
    assert_eq!(server.write(&many_series(1, "tenth").body()).status, 204);
    let mixed = (0..9)
        .map(|index| series("up", &[("instance", &format!("old{index}"))]).sample(2.0, 2))
        .chain([series("up", &[("instance", "new")]).sample(2.0, 2), series("new_metric", &[]).sample(2.0, 2)]);
    let refused = server.write(&request(mixed).body());
    assert_eq!((refused.status, reason(&refused)), (429, "series_rate"), "{}", refused.text);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text.contains("written 9 series, 9 samples"), "{}", refused.text);
    assert_eq!(server.rows("SELECT count(*) FROM up WHERE value = 2"), json!([[9]]));
    assert_eq!(server.rows("SHOW TABLES").as_array().unwrap().len(), 1, "no table was made for a refused series");
    // The cache is gone, the series are not: a restart makes nothing new.
    let server = server.restart_with(ServerOptions {
        tenant_limits: TenantLimits { new_series_per_minute: 1, ..limits },
        ..ServerOptions::default()
    });
    assert_eq!(server.write(&many_series(9, "old").body()).status, 204);
}

#[test]
fn a_table_takes_series_up_to_its_bound_and_a_tenant_up_to_its_own() {
    let server = server(|options| {
        options.tenant_limits.series_per_table = 5;
        options.tenant_limits.series = 7;
    });
    assert_eq!(server.write(&many_series(5, "a").body()).status, 204);
    let refused = server.write(&many_series(1, "sixth").body());
    assert_eq!((refused.status, reason(&refused)), (400, "series_limit"), "{}", refused.text);
    assert_eq!(server.write(&many_series(5, "a").body()).status, 204, "those that are there");
    let other = |count: usize| {
        request((0..count).map(|index| series("other", &[("n", &index.to_string())]).sample(1.0, 1))).body()
    };
    assert_eq!(server.write(&other(1)).status, 204);
    assert_eq!(server.write(&other(2)).status, 204);
    let refused = server.write(&other(3));
    assert_eq!((refused.status, reason(&refused)), (400, "series_limit"), "{}", refused.text);
    // Dropping a table makes room, once the series are counted again.
    server.rows("DROP TABLE up");
    let has_room = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        server.write(&other(3)).status == 204
    });
    assert!(has_room, "a dropped table still counts");
}

#[test]
fn writes_are_refused_while_the_disk_is_low_and_reads_are_not() {
    let server = server(|options| options.disk_free_bytes_min = u64::MAX);
    let refused = server.write(&many_series(1, "a").body());
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true), "{}", refused.text);
    assert_eq!(server.post("/api/v1/sql", &[], b"SHOW TABLES").status, 200);
    assert!(server.get("/metrics").text.contains("\nlynxstore_disk_low 1\n"));
    assert!(server.is_untouched());
}

#[test]
fn inserts_are_held_to_the_room_on_the_disk_and_to_the_quotas_as_what_is_pushed() {
    let insert = |server: &TestServer, hosts: &[&str], time: usize| {
        let rows: Vec<_> = hosts.iter().map(|host| format!("({time}, '{host}', 1.0)")).collect();
        let sql = format!("INSERT INTO t (time, host, f) VALUES {}", rows.join(", "));
        server.post("/api/v1/sql", &[], sql.as_bytes())
    };
    let kind = |answer: &Answer| answer.json()["error"]["kind"].as_str().unwrap().to_owned();
    let with_table = |change: fn(&mut ServerOptions)| {
        let server = server(change);
        server.rows("CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, f DOUBLE)");
        server
    };
    let low = with_table(|options| options.disk_free_bytes_min = u64::MAX);
    let refused = insert(&low, &["a"], 1);
    assert_eq!((refused.status, &*kind(&refused), refused.header("retry-after").is_some()), (503, "busy", true));
    assert_eq!(low.rows("SELECT count(*) FROM t"), json!([[0]]));

    let slow = with_table(|options| options.tenant_limits.samples_per_second = 1);
    assert_eq!(insert(&slow, &["a"; 9], 1).status, 200);
    assert_eq!(insert(&slow, &["a"; 1], 2).status, 200);
    let refused = insert(&slow, &["a"; 5], 3);
    assert_eq!((refused.status, &*kind(&refused)), (429, "too_many_requests"), "{}", refused.text);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 4);
    assert_eq!(slow.rows("SELECT count(*) FROM t"), json!([[2]]), "rows of equal tags and time are one");
    let metrics = slow.get("/metrics").text;
    assert!(metrics.contains("lynxstore_tenant_samples_total{outcome=\"accepted\",tenant=\"public\"} 10"), "{metrics}");

    let few = with_table(|options| options.tenant_limits.new_series_per_minute = 2);
    // What is refused or fails is not taken.
    for _ in 0..3 {
        let refused = insert(&few, &["a", "b", "c"], 1);
        assert_eq!((refused.status, refused.header("retry-after").is_some()), (429, true), "{}", refused.text);
    }
    assert_eq!(insert(&few, &["a", "b", "a"], 1).status, 200);
    assert_eq!(insert(&few, &["c"], 1).status, 429);
    assert_eq!(insert(&few, &["a", "b"], 2).status, 200, "those that are there");
    let bounded = with_table(|options| options.tenant_limits.series_per_table = 2);
    for (hosts, status) in [(&["a"][..], 200), (&["b"], 200), (&["c"], 400), (&["a", "b"], 200)] {
        assert_eq!(insert(&bounded, hosts, 5).status, status, "{hosts:?}");
    }
}

#[test]
fn bodies_of_rows_over_a_quota_are_refused_whole_and_may_come_again() {
    let server = server(|options| options.tenant_limits.new_series_per_minute = 2);
    server.rows("CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, f DOUBLE)");
    let post = |csv: &str| server.post("/api/v1/tables/t/rows", &[("content-type", "text/csv")], csv.as_bytes());
    for _ in 0..3 {
        let refused = post("time,host,f\n1,a,1\n1,b,1\n1,c,1\n");
        assert_eq!((refused.status, refused.header("retry-after").is_some()), (429, true), "{}", refused.text);
    }
    assert_eq!(post("time,host,f\n1,a,1\n1,b,1\n").status, 200);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[2]]));
}
