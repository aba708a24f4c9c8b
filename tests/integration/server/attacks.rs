//! Requests that want to bring the server down: `tsq serve` in a process of its own, whose memory is looked at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::line_protocol::gzip;
use super::message::{Message, request, series};
use crate::support::{KillOnDrop, free_port, scratch_dir, tsq_binary};

/// What the process may use in all.
const MEMORY_MAX: u64 = 256 << 20;

/// Memory that a request may cost which is refused by its declared size.
const DECLARED_MAX: u64 = 1 << 20;

/// Memory that a request may cost which is refused by its elements: its body, and what that is unpacked to.
const ELEMENTS_MAX: u64 = 64 << 20;

/// The body of CVE-2026-42154: 47 bytes that declare 2.7 GB.
const BOMB: &str = "97eab4890a170a085f5f6e616d655f5f120b746573745f6d6574726963121009000000000000f03f10d48fc9b2a333";

/// A server in a process of its own. Its peak of resident memory is what a control group of 256 MiB would end it for;
/// moving processes between control groups is not for a test.
struct Victim {
    process: KillOnDrop,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Victim {
    fn start() -> Self {
        let dir = scratch_dir();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Command::new(tsq_binary())
            .arg("serve")
            .arg(dir.path().join("db"))
            .args(["--listen", &address.to_string()])
            .args(["--set", "database.memory_budget=64MiB", "--set", "limits.series_cache=8MiB"])
            .args(["--set", "limits.bodies_in_flight=64MiB", "--set", "limits.disk_free=0"])
            .args(["--set", "rows.decoded_bytes=8MiB"])
            .args(["--set", "sql.memory=32MiB", "--set", "sql.results_in_flight=32MiB"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let victim = Self { process: KillOnDrop(process), address, _dir: dir };
        let is_up = (0..3000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            TcpStream::connect(address).is_ok()
        });
        assert!(is_up, "the server does not start");
        victim
    }

    fn status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The most memory that the process had beyond that before `action`.
    fn growth(&self, action: impl FnOnce()) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.process.0.id()), "5").unwrap();
        let before = self.status("VmRSS");
        action();
        self.status("VmHWM").saturating_sub(before)
    }

    /// Posts a body; the status of the answer, 0 when there was none.
    fn post(&self, headers: &str, body: &[u8]) -> u16 {
        self.post_to("/api/v1/write", headers, body)
    }

    fn post_to(&self, path: &str, headers: &str, body: &[u8]) -> u16 {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return 0 };
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}");
        let _ = write!(stream, "{head}content-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// A good request, as senders do it: again while the server is busy.
    fn write_good(&self, metric: &str, value: usize) {
        let body = request([series(metric, &[]).sample(value as f64, value as i64)]).body();
        for _ in 0..600 {
            match self.post(SNAPPY, &body) {
                204 => return,
                0 | 503 => std::thread::sleep(Duration::from_millis(50)),
                status => panic!("{status} for a good request"),
            }
        }
        panic!("a good request is not taken");
    }

    fn assert_alive(&mut self) {
        assert!(self.process.0.try_wait().unwrap().is_none(), "the process ended");
        self.write_good("alive", 1);
        let peak = self.status("VmHWM");
        assert!(peak < MEMORY_MAX, "the process had {peak} bytes");
    }
}

const SNAPPY: &str = "content-encoding: snappy\r\ncontent-type: application/x-protobuf\r\n";
const SNAPPY_V2: &str =
    "content-encoding: snappy\r\ncontent-type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n";
const ZSTD: &str = "content-encoding: zstd\r\ncontent-type: application/x-protobuf\r\n";

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Name, headers, body, statuses that are right, and the memory that it may cost.
type Attack = (&'static str, &'static str, Vec<u8>, &'static [u16], u64);

fn attacks() -> Vec<Attack> {
    let repeated = |bytes: [u8; 2]| Message(bytes.repeat(8 << 20)).body();
    // A frame that declares nothing of its size and holds blocks of one repeated byte: 128 KiB for four bytes each.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68];
    (0..8_000).for_each(|_| zstd.extend([0x02, 0x00, 0x10, 0x00]));
    vec![
        ("47 bytes that declare 2.7 GB", SNAPPY, unhex(BOMB), &[413], DECLARED_MAX),
        ("5 bytes that declare 256 MiB", SNAPPY, vec![0x80, 0x80, 0x80, 0x80, 0x01], &[413], DECLARED_MAX),
        ("a zstd bomb", ZSTD, zstd, &[415, 400, 413], DECLARED_MAX),
        ("8 Mi empty series", SNAPPY, repeated([0x0a, 0x00]), &[413], ELEMENTS_MAX),
        // What does not speak version 2 says so by its content type.
        ("8 Mi empty series of version 2", SNAPPY_V2, repeated([0x2a, 0x00]), &[413, 415], ELEMENTS_MAX),
        ("no snappy at all", SNAPPY, vec![0xff; 1000], &[400, 413], DECLARED_MAX),
    ]
}

#[test]
fn bombs_are_refused_before_they_cost_memory() {
    let mut victim = Victim::start();
    // What is allocated once is not of a request.
    for (_, headers, body, ..) in attacks() {
        victim.post(headers, &body);
    }
    for (name, headers, body, statuses, memory_max) in attacks() {
        let mut status = 0;
        let growth = victim.growth(|| status = victim.post(headers, &body));
        assert!(statuses.contains(&status), "{name}: {status}");
        assert!(growth < memory_max, "{name}: {growth} bytes");
    }
    victim.assert_alive();
}

/// Small Parquet files that are large inside: rows that take no bytes, a text of 40 MiB, and one that is said 300 times.
fn parquet_attacks() -> Vec<(&'static str, Vec<u8>, u16)> {
    let file = |column: ArrayRef, compression| {
        let batch = RecordBatch::try_from_iter([("s", column)]).unwrap();
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let gzip = || Compression::GZIP(Default::default());
    let rows = file(Arc::new(Int64Array::from(vec![1; 600_000])), Compression::SNAPPY);
    let long = file(Arc::new(StringArray::from(vec!["x".repeat(40 << 20)])), gzip());
    let repeated = file(Arc::new(StringArray::from(vec!["x".repeat(200_000); 300])), gzip());
    let cut = long[..long.len() - 100].to_vec();
    vec![
        ("600,000 rows", rows, 413),
        ("a text of 40 MiB", long, 413),
        ("300 times the same text", repeated, 413),
        ("a file that is cut", cut, 400),
    ]
}

#[test]
fn parquet_files_that_are_large_inside_are_refused_before_they_cost_memory() {
    let mut victim = Victim::start();
    let create = b"CREATE TABLE t (time TIMESTAMP TIME, s STRING)";
    assert_eq!(victim.post_to("/api/v1/sql", "", create), 200);
    let post = |victim: &Victim, body: &[u8]| {
        let content_type = "content-type: application/vnd.apache.parquet\r\n";
        victim.post_to("/api/v1/tables/t/rows", content_type, body)
    };
    let attacks = parquet_attacks();
    // What is allocated once is not of a request.
    for (_, body, _) in &attacks {
        post(&victim, body);
    }
    for (name, body, expected) in &attacks {
        assert!(body.len() < 100_000, "{name}: the file has {} bytes", body.len());
        // The allocator takes megabytes at once, now and then: the least of a few is that of the request.
        let growths = [(); 3].map(|()| victim.growth(|| assert_eq!(post(&victim, body), *expected, "{name}")));
        let growth = growths.into_iter().min().expect("there are three");
        assert!(growth < DECLARED_MAX, "{name}: {growth} bytes");
    }
    victim.assert_alive();
}

#[test]
fn otlp_as_json_does_not_grow_beyond_its_text() {
    let mut victim = Victim::start();
    let request = |point: &str, points: usize| {
        let points = vec![point; points].join(",");
        let json = format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"histogram\":{{\"dataPoints\":[{points}]}}}}]}}]}}]}}"
        );
        gzip(json.as_bytes())
    };
    let headers = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let list = |numbers: usize| format!("{{\"bucketCounts\":[{}]}}", vec!["1"; numbers].join(","));
    // Nine bytes as a message for two as text: a list that would be 18 MiB, lists that are just allowed and would be as much
    // together, and a body that is refused early. The text itself takes its 4 MiB, in a buffer of up to twice that.
    let attacks = [
        ("one list", request(&list(2_000_000), 1), 16 << 20),
        ("many lists", request(&list(10_000), 200), 28 << 20),
        ("a small body", request(&list(100_000), 1), DECLARED_MAX),
    ];
    for (_, body, _) in &attacks {
        victim.post_to("/v1/metrics", headers, body);
    }
    for (name, body, memory_max) in &attacks {
        let mut status = 0;
        let growth = victim.growth(|| status = victim.post_to("/v1/metrics", headers, body));
        assert_eq!(status, 413, "{name}");
        assert!(growth < *memory_max, "{name}: {growth} bytes");
    }
    victim.assert_alive();
}

#[test]
fn a_thousand_bombs_at_once_leave_the_server_within_its_memory() {
    let mut victim = Victim::start();
    let (next, attacks) = (AtomicUsize::new(0), attacks());
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                while let position @ 0..1000 = next.fetch_add(1, Ordering::Relaxed) {
                    let (name, headers, body, statuses, _) = &attacks[position % attacks.len()];
                    // 503 is the right answer of a server that has as many as it may; 0 is a connection that it cut.
                    let status = victim.post(headers, body);
                    assert!([0, 503].contains(&status) || statuses.contains(&status), "{name}: {status}");
                }
            });
        }
    });
    victim.assert_alive();
}

#[test]
fn slow_broken_and_idle_connections_do_not_keep_a_good_sender_out() {
    let mut victim = Victim::start();
    let mut held = Vec::new();
    for number in 0..1500 {
        let Ok(mut stream) = TcpStream::connect(victim.address) else { continue };
        let _ = match number % 5 {
            // Idle; half a head; a slow body; two and a half requests at once; a body that breaks off.
            0 => Ok(()),
            1 => stream.write_all(b"POST /api/v1/write HT"),
            2 => stream.write_all(b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nab"),
            3 => stream.write_all(
                b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\nGET /-/ready HTTP/1.1\r\nhost: x\r\n\r\nGET /-/he",
            ),
            _ => {
                let sent = stream.write_all(b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nabc");
                let _ = stream.shutdown(std::net::Shutdown::Both);
                sent
            }
        };
        held.push(stream);
        if number % 100 == 0 {
            victim.write_good("good", number);
        }
    }
    victim.write_good("good", 1501);
    drop(held);
    victim.assert_alive();
}

#[test]
fn random_series_stop_at_their_quota_and_known_ones_go_on() {
    let mut victim = Victim::start();
    victim.write_good("known", 1);
    let mut was_refused = false;
    for round in 0..60 {
        let many = (0..2_000).map(|number| series("bomb", &[("id", &format!("{round}-{number}"))]).sample(1.0, 1));
        was_refused |= victim.post(SNAPPY, &request(many).body()) == 429;
    }
    assert!(was_refused, "120,000 new series are over the 50,000 of a minute");
    victim.write_good("known", 2);
    victim.assert_alive();
}
