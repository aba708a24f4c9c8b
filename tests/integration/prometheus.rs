//! Real senders scrape `tsq serve` and write what they scraped to it; `tsq serve` is killed in the middle.
//!
//! The truth is what Prometheus itself stored: every sample that its own HTTP API returns for the time of the test must be
//! in SQL once, with the same bits, and nothing else may be there. Prometheus retries what was not acknowledged, so this
//! holds over the kill as well: a sample that was acknowledged and lost would stay lost.
//!
//! A Prometheus of Debian's newer suites does the same with remote write 2.0 and a kill every few seconds. vmagent, which
//! begins with zstd and is told to use snappy, keeps nothing that could be the truth but the number of its scrapes.
//!
//! The binaries come from `LYNX_PROMETHEUS`, `LYNX_PROMETHEUS_NEW` and `LYNX_VMAGENT`, from where `.ci/install-peers.sh`
//! puts them, or from the path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMillisecondType};
use lynxstore::Database;
use serde_json::Value;

use crate::support::{
    KillOnDrop, free_port, kill_times, report_skipped, scratch_dir, start_server, stop_gracefully, wait_until_up,
};

/// Time from the first scrape to the kill, and from the restart to the comparison.
const PHASE: Duration = Duration::from_secs(15);

/// Time between two kills, where there are many.
const KILL_EVERY: Duration = Duration::from_secs(5);

/// How long Prometheus may take to send what it has queued while the server was away.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// What Prometheus writes into a series that ended: a NaN of its own, which its query API leaves out.
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// A series by its labels, among them `__name__`; its samples by time in milliseconds.
type Series = BTreeMap<BTreeMap<String, String>, Vec<(i64, u64)>>;

/// Which message a Prometheus is told to send.
#[derive(Clone, Copy, PartialEq)]
enum Message {
    V1,
    V2,
}

#[test]
fn a_real_prometheus_finds_its_samples_in_sql_over_a_kill() {
    match find_binary("LYNX_PROMETHEUS", "prometheus", "prometheus") {
        Some(binary) => run_prometheus(&binary, Message::V1, &kill_times(&[PHASE])),
        None => skip("a_real_prometheus_finds_its_samples_in_sql_over_a_kill", "Prometheus"),
    }
}

#[test]
fn a_newer_prometheus_finds_its_samples_in_sql_with_remote_write_2_over_many_kills() {
    match find_binary("LYNX_PROMETHEUS_NEW", "prometheus-new", "prometheus") {
        Some(binary) => run_prometheus(&binary, Message::V2, &kill_times(&[KILL_EVERY; 5])),
        None => {
            skip("a_newer_prometheus_finds_its_samples_in_sql_with_remote_write_2_over_many_kills", "newer Prometheus")
        }
    }
}

fn skip(test: &str, program: &str) {
    let reason = format!("no {program} on this machine; .ci/install-peers.sh fetches one");
    report_skipped(&format!("prometheus::{test}"), &reason);
}

/// Kills the server after each of the times, then compares.
fn run_prometheus(binary: &Path, message: Message, kills: &[Duration]) {
    let scratch = scratch_dir();
    let dir = scratch.path().join("database");
    let (server_port, prometheus_port) = (free_port(), free_port());

    let mut server = start_server(&dir, server_port);
    let prometheus = start_prometheus(binary, scratch.path(), prometheus_port, server_port, message);
    for time in kills {
        std::thread::sleep(*time);
        server.kill();
        // Long enough for a failed scrape: `up` becomes 0 and every other series gets a stale marker.
        std::thread::sleep(Duration::from_secs(3));
        server = start_server(&dir, server_port);
    }
    std::thread::sleep(PHASE);

    let end = http_get_json(prometheus_port, "/api/v1/query?query=time()");
    let end_seconds = end["data"]["result"][0].as_f64().unwrap().floor();
    // A moment for the scrape that is under way to reach Prometheus' own storage.
    std::thread::sleep(Duration::from_secs(2));
    let truth = samples_of_prometheus(prometheus_port, end_seconds);
    assert_is_a_real_run(&truth);

    let deadline = Instant::now() + CATCH_UP_MAX;
    while !has_caught_up(server_port, &truth) {
        assert!(Instant::now() < deadline, "the samples from after the restart do not arrive");
        std::thread::sleep(Duration::from_millis(500));
    }
    // Prometheus sends what it still has queued before it ends.
    stop_gracefully(prometheus, "Prometheus");
    stop_gracefully(server, "tsq serve");

    let database = Database::open(&dir).unwrap();
    compare(&truth, &samples_in_sql(&database, &truth, end_seconds), "after a graceful stop");
    database.flush().unwrap();
    compare(&truth, &samples_in_sql(&database, &truth, end_seconds), "after a flush");
    if message == Message::V2 {
        assert!(database.table("prometheus_metadata").is_ok(), "version 2 brings metadata with the series");
    }
}

#[test]
fn every_scrape_of_vmagent_is_in_sql_over_many_kills() {
    let Some(binary) = find_binary("LYNX_VMAGENT", "victoria-metrics-new", "vmagent") else {
        skip("every_scrape_of_vmagent_is_in_sql_over_many_kills", "vmagent");
        return;
    };
    let scratch = scratch_dir();
    let dir = scratch.path().join("database");
    let (server_port, agent_port) = (free_port(), free_port());
    let mut server = start_server(&dir, server_port);
    let agent = start_vmagent(&binary, scratch.path(), agent_port, server_port);
    for time in kill_times(&[KILL_EVERY; 4]) {
        std::thread::sleep(time);
        server.kill();
        std::thread::sleep(Duration::from_secs(2));
        server = start_server(&dir, server_port);
    }
    std::thread::sleep(KILL_EVERY);
    let scrapes = scrapes_of_vmagent(agent_port);
    assert!(scrapes > 15, "only {scrapes} scrapes");
    // It sends what it has queued before it ends.
    stop_gracefully(agent, "vmagent");
    stop_gracefully(server, "tsq serve");

    let database = Database::open(&dir).unwrap();
    let output = database.query("SELECT time FROM up ORDER BY time").unwrap();
    let rows = output.row_count() as u64;
    // One may have been made since they were counted; a repeated request makes no second row.
    assert!((scrapes..=scrapes + 2).contains(&rows), "{scrapes} scrapes, {rows} rows");
    let down = database.query("SELECT count(*) FROM up WHERE value = 0").unwrap();
    let down = down.batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0);
    assert!(down > 0, "no scrape failed while the server was down");
}

fn start_vmagent(binary: &Path, scratch: &Path, port: u16, server_port: u16) -> KillOnDrop {
    let config = scratch.join("vmagent.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n\
         scrape_configs:\n  - job_name: lynxstore\n    static_configs:\n      - targets: ['127.0.0.1:{server_port}']\n"
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(binary)
        .arg(format!("-promscrape.config={}", config.display()))
        .arg(format!("-remoteWrite.url=http://127.0.0.1:{server_port}/api/v1/write"))
        .arg(format!("-remoteWrite.tmpDataPath={}", scratch.join("vmagent").display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg("-remoteWrite.retryMinInterval=100ms")
        .arg("-remoteWrite.retryMaxTime=500ms")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(scratch.join("vmagent.log")).unwrap())
        .spawn()
        .unwrap();
    let agent = KillOnDrop(child);
    wait_until_up(&format!("http://127.0.0.1:{port}/health"), "vmagent");
    agent
}

/// How many scrapes it made so far, failed ones included.
fn scrapes_of_vmagent(port: u16) -> u64 {
    let mut response = ureq::get(format!("http://127.0.0.1:{port}/metrics")).call().unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    // By status where there was an answer, and those that had none.
    let counts = ["vm_promscrape_scrapes_total{", "vm_promscrape_scrapes_failed_total "];
    let lines = text.lines().filter(|line| counts.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// A program by its variable, in the cache of `.ci/install-peers.sh`, or on the path.
fn find_binary(variable: &str, package: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let cache = std::env::var_os("LYNX_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/lynxstore")));
    let cached = cache.map(|cache| cache.join("peers").join(package).join("usr/bin").join(name));
    // What is on the path may be old.
    let on_path = std::env::var_os("PATH").filter(|_| package == name);
    let on_path = on_path.into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let candidates = named.into_iter().chain(cached).chain(on_path.map(|dir| dir.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

fn start_prometheus(binary: &Path, scratch: &Path, port: u16, server_port: u16, message: Message) -> KillOnDrop {
    let protobuf_message = match message {
        Message::V1 => "",
        Message::V2 => "    protobuf_message: io.prometheus.write.v2.Request\n",
    };
    let config = scratch.join("prometheus.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n\
         scrape_configs:\n  - job_name: lynxstore\n    static_configs:\n      - targets: ['127.0.0.1:{server_port}']\n\
         remote_write:\n  - url: http://127.0.0.1:{server_port}/api/v1/write\n    remote_timeout: 5s\n{protobuf_message}    \
         queue_config:\n      batch_send_deadline: 500ms\n      min_backoff: 30ms\n      max_backoff: 500ms\n"
    );
    std::fs::write(&config, text).unwrap();
    let log = std::fs::File::create(scratch.join("prometheus.log")).unwrap();
    // Version 2 takes metadata from the log of Prometheus, where it stands only when it is told so.
    let features = (message == Message::V2).then_some("--enable-feature=metadata-wal-records");
    let child = Command::new(binary)
        .args(features)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", scratch.join("prometheus").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let prometheus = KillOnDrop(child);
    wait_until_up(&format!("http://127.0.0.1:{port}/-/ready"), "Prometheus");
    prometheus
}

fn http_get_json(port: u16, path: &str) -> Value {
    let mut response = ureq::get(format!("http://127.0.0.1:{port}{path}")).call().unwrap();
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

/// Raw samples of every series up to `end_seconds`; Prometheus sends values as text that reads back to the same bits.
fn samples_of_prometheus(port: u16, end_seconds: f64) -> Series {
    let path = format!("/api/v1/query?query=%7Bjob=%22lynxstore%22%7D%5B10m%5D&time={end_seconds}");
    let answer = http_get_json(port, &path);
    assert_eq!(answer["status"], "success", "{answer}");
    let mut found = Series::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let labels = series["metric"].as_object().unwrap().iter();
        let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let samples = series["values"].as_array().unwrap().iter().map(|sample| {
            let time_ms = (sample[0].as_f64().unwrap() * 1_000.0).round() as i64;
            let value = match sample[1].as_str().unwrap() {
                "NaN" => f64::NAN,
                "+Inf" => f64::INFINITY,
                "-Inf" => f64::NEG_INFINITY,
                number => number.parse().unwrap(),
            };
            (time_ms, comparable_bits(value))
        });
        found.insert(labels, samples.collect());
    }
    found
}

/// The bits of a value; all NaNs that are not stale markers are one, since their text does not tell them apart.
fn comparable_bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if value.is_nan() && bits != STALE_BITS { f64::NAN.to_bits() } else { bits }
}

/// A run in which Prometheus scraped little, or in which the kill left no trace, would prove nothing.
fn assert_is_a_real_run(truth: &Series) {
    let scrapes = PHASE.as_secs() as usize;
    let up = truth.iter().find(|(labels, _)| labels["__name__"] == "up").expect("Prometheus knows `up`").1;
    assert!(up.len() >= scrapes, "only {} scrapes", up.len());
    assert!(up.iter().any(|(_, bits)| f64::from_bits(*bits) == 0.0), "no scrape failed while the server was down");
    let samples: usize = truth.values().map(Vec::len).sum();
    assert!(truth.len() > 10 && samples > 10 * scrapes, "only {} series, {samples} samples", truth.len());
}

/// Whether the number of samples that the server has for `up` has reached that of Prometheus; the comparison proper is
/// made on the stopped database.
fn has_caught_up(port: u16, truth: &Series) -> bool {
    let (_, samples) = truth.iter().find(|(labels, _)| labels["__name__"] == "up").expect("Prometheus knows `up`");
    let last_ms = samples.last().expect("`up` has samples").0;
    let sql = "SELECT max(time) AS last FROM up";
    let response = ureq::post(format!("http://127.0.0.1:{port}/api/v1/sql?format=csv")).send(sql);
    let Ok(mut response) = response else { return false };
    let text = response.body_mut().read_to_string().unwrap();
    let last = text.lines().nth(1).unwrap_or_default().trim_matches('"').to_owned();
    parse_time_ms(&last).is_some_and(|last| last > last_ms)
}

/// Milliseconds since the epoch of `2024-01-02T03:04:05.678...`; `None` for other text.
fn parse_time_ms(text: &str) -> Option<i64> {
    let nanoseconds = arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(text).ok()?;
    Some(nanoseconds / 1_000_000)
}

/// The same series out of SQL: each metric is a table, each label a tag.
fn samples_in_sql(database: &Database, truth: &Series, end_seconds: f64) -> Series {
    let mut found = Series::new();
    let metrics: std::collections::BTreeSet<_> = truth.keys().map(|labels| labels["__name__"].clone()).collect();
    for metric in metrics {
        let output = database.query(&format!("SELECT * FROM \"{metric}\" ORDER BY time")).unwrap();
        for batch in &output.batches {
            let schema = batch.schema();
            let times = cast(batch.column_by_name("time").unwrap(), &DataType::Timestamp(TimeUnit::Millisecond, None));
            let times = times.unwrap();
            let values = batch.column_by_name("value").unwrap();
            let tags: Vec<_> = schema
                .fields()
                .iter()
                .zip(batch.columns())
                .filter(|(field, _)| matches!(field.data_type(), DataType::Dictionary(..)))
                .map(|(field, column)| (field.name().clone(), cast(column, &DataType::Utf8).unwrap()))
                .collect();
            for row in 0..batch.num_rows() {
                let time_ms = times.as_primitive::<TimestampMillisecondType>().value(row);
                let bits = comparable_bits(values.as_primitive::<Float64Type>().value(row));
                // The query API leaves out stale markers, and the comparison ends at a moment of the past.
                if values.is_null(row) || bits == STALE_BITS || time_ms as f64 > end_seconds * 1_000.0 {
                    continue;
                }
                let mut labels = BTreeMap::from([("__name__".to_owned(), metric.clone())]);
                for (name, column) in &tags {
                    if column.is_valid(row) {
                        labels.insert(name.clone(), column.as_string::<i32>().value(row).to_owned());
                    }
                }
                found.entry(labels).or_default().push((time_ms, bits));
            }
        }
    }
    found
}

fn compare(truth: &Series, found: &Series, when: &str) {
    let missing: Vec<_> = truth.keys().filter(|labels| !found.contains_key(*labels)).collect();
    assert!(missing.is_empty(), "{when}: series not in SQL: {missing:?}");
    let extra: Vec<_> = found.keys().filter(|labels| !truth.contains_key(*labels)).collect();
    assert!(extra.is_empty(), "{when}: series that Prometheus does not have: {extra:?}");
    for (labels, samples) in truth {
        // Equality of the sorted lists says both: no gap and no duplicate.
        assert_eq!(&found[labels], samples, "{when}: {labels:?}");
    }
}
