//! Senders of line protocol and of OTLP while `tsq serve` is killed under them: no gap, no duplicate.
//!
//! Prometheus and vmagent stand in `prometheus.rs`. Here the truth is what the sender says that it had to deliver: it sends
//! each request until it is taken, as Telegraf and a careful exporter do, so what is stored must be exactly that.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use lynxstore::Database;
use serde_json::Value;

use crate::server::{gzip, otel_python};
use crate::support::{
    KillOnDrop, free_port, kill_times, project_root, report_skipped, scratch_dir, start_server, stop_gracefully,
};

/// Time between two kills of an ordinary run.
const KILL_EVERY: Duration = Duration::from_secs(2);
/// How long the server is away.
const AWAY: Duration = Duration::from_millis(500);

/// Kills the server again and again; it is up at the end.
fn kill_again_and_again(mut server: KillOnDrop, start: impl Fn() -> KillOnDrop) -> KillOnDrop {
    for time in kill_times(&[KILL_EVERY; 4]) {
        std::thread::sleep(time);
        server.kill();
        std::thread::sleep(AWAY);
        server = start();
    }
    std::thread::sleep(KILL_EVERY);
    server
}

/// Time, tag and bits of the value of a row.
type Row = (i64, String, u64);

/// The rows of a table: its time, a tag, a field of floats; as sorted text, so that rows that stand twice are seen.
fn rows(database: &Database, sql: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in &database.query(sql).unwrap().batches {
        let times = cast(batch.column(0), &DataType::Int64).unwrap();
        let tags = cast(batch.column(1), &DataType::Utf8).unwrap();
        for row in 0..batch.num_rows() {
            let value = batch.column(2).as_primitive::<Float64Type>().value(row);
            let tag = tags.as_string::<i32>().value(row).to_owned();
            rows.push((times.as_primitive::<Int64Type>().value(row), tag, value.to_bits()));
        }
    }
    rows.sort_unstable();
    rows
}

fn assert_same(mut expected: Vec<Row>, found: &[Row], what: &str) {
    expected.sort_unstable();
    assert!(expected.len() > 20, "{what}: only {} rows were sent", expected.len());
    let missing = expected.iter().filter(|row| found.binary_search(row).is_err()).count();
    assert!(expected == found, "{what}: {} rows sent, {} found, {missing} missing", expected.len(), found.len());
}

/// What a sender of lines delivered, and how often it had to send again.
#[derive(Default)]
struct Delivered {
    rows: Vec<Row>,
    retries: u64,
}

/// Sends what Telegraf's plugins for the processor and memory would, as its output does: a batch at a time, compressed,
/// each until it is taken.
fn send_lines(port: u16, stop: &AtomicBool) -> Delivered {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let url = format!("http://127.0.0.1:{port}/api/v2/write?org=&bucket=telegraf&precision=ns");
    let mut delivered = Delivered::default();
    let mut number = 0_u32;
    while !stop.load(Ordering::Acquire) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        let mut text = String::new();
        for cpu in ["cpu0", "cpu1", "cpu-total"] {
            number += 1;
            let value = f64::from(number) / 8.0;
            text.push_str(&format!("cpu,cpu={cpu},host=h1 usage_idle={},usage_user={value} {now}\n", 100.0 - value));
            delivered.rows.push((now, cpu.to_owned(), value.to_bits()));
        }
        text.push_str(&format!("mem,host=h1 used={number}i,free=1i {now}\n"));
        let body = gzip(text.as_bytes());
        loop {
            match agent.post(&url).header("content-encoding", "gzip").send(&body[..]) {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) => assert!(answer.status().is_server_error(), "{} drops a good batch", answer.status()),
                Err(_) => {}
            }
            delivered.retries += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    delivered
}

#[test]
fn every_line_of_a_telegraf_shaped_sender_is_in_sql_over_many_kills() {
    let scratch = scratch_dir();
    let (dir, port) = (scratch.path().join("database"), free_port());
    let start = || start_server(&dir, port);
    let server = start();
    let stop = AtomicBool::new(false);
    let (server, delivered) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_lines(port, &stop));
        let server = kill_again_and_again(server, start);
        stop.store(true, Ordering::Release);
        (server, sender.join().unwrap())
    });
    assert!(delivered.retries > 0, "no request met a server that was away");
    stop_gracefully(server, "tsq serve");
    let database = Database::open(&dir).unwrap();
    let batches = delivered.rows.len() / 3;
    assert_same(delivered.rows, &rows(&database, "SELECT time, cpu, usage_user FROM cpu"), "cpu");
    assert_eq!(database.query("SELECT used FROM mem").unwrap().row_count(), batches, "a row per batch");
}

#[test]
fn every_export_of_the_python_sdk_is_in_sql_over_many_kills() {
    let Some(python) = otel_python() else {
        let reason = "no OpenTelemetry SDK on this machine; .ci/install-peers.sh fetches one";
        report_skipped("senders::every_export_of_the_python_sdk_is_in_sql_over_many_kills", reason);
        return;
    };
    let scratch = scratch_dir();
    let (dir, port) = (scratch.path().join("database"), free_port());
    let start = || start_server(&dir, port);
    let server = start();
    let script = project_root().join("tests/integration/server/open_telemetry_sender.py");
    let mut sender = Command::new(python)
        .arg(script)
        .arg(format!("127.0.0.1:{port}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(scratch.path().join("sdk.log")).unwrap())
        .spawn()
        .unwrap();
    let server = kill_again_and_again(server, start);
    // It exports once more when nobody holds its input, and says what it had to deliver.
    drop(sender.stdin.take());
    let output = sender.wait_with_output().unwrap();
    let log = std::fs::read_to_string(scratch.path().join("sdk.log")).unwrap();
    assert!(output.status.success(), "{log}");
    stop_gracefully(server, "tsq serve");
    let truth: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(truth["retries"].as_u64().unwrap() > 0, "no export met a server that was away: {truth}");
    let database = Database::open(&dir).unwrap();
    for table in ["requests_total", "queue_length", "request_duration_seconds_count"] {
        let sent = truth["points"][table].as_array().unwrap().iter().map(|point| {
            let value = point[1].as_f64().unwrap();
            (point[0].as_i64().unwrap(), "api".to_owned(), value.to_bits())
        });
        let found = rows(&database, &format!("SELECT time, job, value FROM {table}"));
        assert_same(sent.collect(), &found, table);
    }
}
