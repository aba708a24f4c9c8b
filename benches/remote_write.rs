//! Remote write 1.0 over loopback: samples per second, samples per CPU-second of the server, its memory, and how long an
//! answer takes at half of that load. The same bodies go to `tsq serve` and to the peers that are installed.
//!
//! The load: 10,000 series of 100 metrics, each of 100 instances with four labels beside the name, as a scrape brings them
//! (all metrics of an instance, then the next instance); 2,000 samples a request; four connections, each of which sends a
//! quarter of the series, in order. Half of the metrics are counters, half are gauges with two decimals. All bodies are
//! made and compressed before the first is sent, so what the client does is to write to four sockets and to read the
//! status. The CPU time is that of the server process, user and system, of all threads.
//!
//! `LYNX_RW_ROUNDS` scrapes (1,000 unless set; each is 10,000 samples), `LYNX_RW_METRICS`, `LYNX_TSQ` (the binary; else
//! `tsq` beside this one), `LYNX_TSQ_ARGS` (more arguments for it), `LYNX_VICTORIA_METRICS` and `LYNX_PROMETHEUS` (peers; not measured unless set),
//! `LYNX_RW_ONLY=lynxstore` for one of them, `LYNX_RW_HOLD=1` to print the process id and wait before the load.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SERIES: usize = 10_000;
const CONNECTIONS: usize = 4;
const SAMPLES_PER_REQUEST: usize = 2_000;
/// Time between two scrapes.
const STEP_MS: i64 = 1_000;
/// The first part of the requests, in which series are new.
const NEW_PART: f64 = 0.1;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_smoke = !arguments.iter().any(|argument| argument == "--bench") || arguments.iter().any(|a| a == "--test");
    let rounds = setting("LYNX_RW_ROUNDS", if is_smoke { 4 } else { 1_000 });
    let metrics = setting("LYNX_RW_METRICS", 100);
    let load = Load::new(rounds, metrics);
    decoding(&load);
    println!(
        "{SERIES} series of {metrics} metrics, {SAMPLES_PER_REQUEST} samples a request, {CONNECTIONS} connections, {} requests, {} bytes each",
        load.requests.iter().map(Vec::len).sum::<usize>(),
        load.requests[0][0].len()
    );
    for peer in [Peer::LynxStore, Peer::VictoriaMetrics, Peer::Prometheus] {
        let only = std::env::var("LYNX_RW_ONLY").ok();
        if only.is_some_and(|only| only != peer.name()) {
            continue;
        }
        match peer.program() {
            Some(program) => measure(peer, &program, &load),
            None => println!("{}: not installed", peer.name()),
        }
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Decompression and decoding alone, on one thread.
fn decoding(load: &Load) {
    use lynxstore::ingest::prometheus::{Limits, Version, decode, decompress};
    let limits = Limits::default();
    let bodies = &load.bodies;
    let (mut buffer, mut samples, mut unpacked) = (Vec::new(), 0, Duration::ZERO);
    let start = Instant::now();
    for _ in 0..20 {
        for body in bodies {
            let begin = Instant::now();
            let message = decompress(body, &limits, &mut buffer).unwrap();
            unpacked += begin.elapsed();
            samples += decode(message, Version::V1, &limits).unwrap().samples.len();
        }
    }
    let decoded = start.elapsed() - unpacked;
    let rate = |time: Duration| samples as f64 / time.as_secs_f64() / 1e6;
    println!("decoding: {:.1} M samples/s, decompression {:.1} M samples/s", rate(decoded), rate(unpacked));
}

/// The requests of each connection, heads included.
struct Load {
    requests: Vec<Vec<Vec<u8>>>,
    /// Some bodies without heads.
    bodies: Vec<Vec<u8>>,
}

impl Load {
    fn new(rounds: usize, metrics: usize) -> Self {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let begin_ms = now_ms - rounds as i64 * STEP_MS;
        let of_connection = |connection: usize| {
            let part = SERIES / CONNECTIONS;
            let labels: Vec<Vec<u8>> =
                (connection * part..(connection + 1) * part).map(|series| labels(series, metrics)).collect();
            let mut encoder = snap::raw::Encoder::new();
            let (mut message, mut count, mut requests) = (Vec::new(), 0, Vec::new());
            for round in 0..rounds {
                for (series, labels) in labels.iter().enumerate() {
                    push_series(&mut message, labels, value(series, round), begin_ms + round as i64 * STEP_MS);
                    count += 1;
                    if count == SAMPLES_PER_REQUEST {
                        requests.push(encoder.compress_vec(&message).unwrap());
                        message.clear();
                        count = 0;
                    }
                }
            }
            requests
        };
        let bodies: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS).map(|one| scope.spawn(move || of_connection(one))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let some = bodies[0].iter().take(50).cloned().collect();
        let with_head = |body: Vec<u8>| {
            let head = format!(
                "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\n\
                 Content-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            [head.into_bytes(), body].concat()
        };
        let requests = bodies.into_iter().map(|bodies| bodies.into_iter().map(with_head).collect()).collect();
        Self { requests, bodies: some }
    }
}

/// The labels of a series, as fields of its message.
fn labels(series: usize, metrics: usize) -> Vec<u8> {
    let (instance, metric) = (series / metrics, series % metrics);
    let pairs = [
        ("__name__", format!("node_metric_{metric:03}_seconds_total")),
        ("cluster", format!("eu-central-{}", instance % 3)),
        ("instance", format!("host-{instance:04}.example.com:9100")),
        ("job", "node-exporter".to_owned()),
        ("mode", ["idle", "iowait", "system", "user"][metric % 4].to_owned()),
    ];
    let mut out = Vec::new();
    for (name, value) in pairs {
        let mut label = Vec::new();
        push_bytes(&mut label, 1, name.as_bytes());
        push_bytes(&mut label, 2, value.as_bytes());
        push_bytes(&mut out, 1, &label);
    }
    out
}

/// Counters that grow by a number of their own, and gauges with two decimals.
fn value(series: usize, round: usize) -> f64 {
    let mixed = (series * 7_919 + round * 104_729) % 1_000;
    if series.is_multiple_of(2) { (round * (1 + series % 97) * 1_000 + mixed) as f64 } else { mixed as f64 / 100.0 }
}

fn push_series(out: &mut Vec<u8>, labels: &[u8], value: f64, time_ms: i64) {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    push_varint(&mut sample, time_ms as u64);
    out.push(0x0a);
    push_varint(out, (labels.len() + 2 + sample.len()) as u64);
    out.extend_from_slice(labels);
    push_bytes(out, 2, &sample);
}

fn push_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A server that takes remote write.
#[derive(Clone, Copy)]
enum Peer {
    LynxStore,
    VictoriaMetrics,
    Prometheus,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::LynxStore => "lynxstore",
            Self::VictoriaMetrics => "victoria-metrics",
            Self::Prometheus => "prometheus",
        }
    }

    fn program(self) -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("tsq"));
        let program = match self {
            Self::LynxStore => set("LYNX_TSQ").or_else(beside),
            Self::VictoriaMetrics => set("LYNX_VICTORIA_METRICS"),
            Self::Prometheus => set("LYNX_PROMETHEUS"),
        };
        program.filter(|program| program.is_file())
    }

    fn start(self, program: &Path, dir: &Path, port: u16) -> Child {
        let data = dir.join("data");
        let mut command = Command::new(program);
        match self {
            Self::LynxStore => {
                let more = std::env::var("LYNX_TSQ_ARGS").unwrap_or_default();
                command.arg("serve").arg(&data).args(["--listen", &format!("127.0.0.1:{port}")]);
                command.args(more.split_whitespace())
            }
            Self::VictoriaMetrics => command.args([
                format!("-httpListenAddr=127.0.0.1:{port}"),
                format!("-storageDataPath={}", data.display()),
                "-retentionPeriod=10y".to_owned(),
                "-memory.allowedBytes=256MB".to_owned(),
            ]),
            Self::Prometheus => {
                let config = dir.join("prometheus.yml");
                std::fs::write(&config, "storage:\n  tsdb:\n    out_of_order_time_window: 2h\n").unwrap();
                command.args([
                    format!("--config.file={}", config.display()),
                    format!("--storage.tsdb.path={}", data.display()),
                    format!("--web.listen-address=127.0.0.1:{port}"),
                    "--web.enable-remote-write-receiver".to_owned(),
                ])
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }
}

/// What a process took so far.
#[derive(Clone, Copy)]
struct Usage {
    cpu: Duration,
    peak_mib: u64,
}

impl Usage {
    fn of(process: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        // Behind the name in brackets; user and system time are its 12th and 13th field there, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        Self { cpu: Duration::from_millis(ticks * 10), peak_mib: peak_kib >> 10 }
    }
}

fn measure(peer: Peer, program: &Path, load: &Load) {
    let base = std::env::var_os("LYNX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let scratch = tempfile::Builder::new().prefix("lynxstore-rw-").tempdir_in(base).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = peer.start(program, scratch.path(), port);
    let mut sockets = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while sockets.len() < CONNECTIONS {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => {
                socket.set_nodelay(true).unwrap();
                sockets.push(socket);
            }
            Err(error) => {
                assert!(Instant::now() < deadline, "{}: {error}", peer.name());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    if std::env::var_os("LYNX_RW_HOLD").is_some() {
        println!("process {}", child.id());
        std::thread::sleep(Duration::from_secs(2));
    }
    let per_connection = load.requests[0].len();
    let new = ((per_connection as f64 * NEW_PART) as usize).max(1).min(per_connection - 1);
    // The last fifth is sent at half of the speed.
    let paced = (per_connection / 5).max(1).min(per_connection - new);
    let warm_rate = {
        report(peer, "new series", &child, &mut sockets, load, 0..new, None);
        let end = (per_connection - paced).max(new + 1).min(per_connection);
        report(peer, "warm", &child, &mut sockets, load, new..end, None)
    };
    let pause = Duration::from_secs_f64(2.0 * (CONNECTIONS * SAMPLES_PER_REQUEST) as f64 / warm_rate);
    report(peer, "half load", &child, &mut sockets, load, per_connection - paced..per_connection, Some(pause));
    drop(sockets);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Sends some requests of each connection, one every `pause` when there is one; prints and returns samples per second.
fn report(
    peer: Peer,
    what: &str,
    child: &Child,
    sockets: &mut [TcpStream],
    load: &Load,
    range: std::ops::Range<usize>,
    pause: Option<Duration>,
) -> f64 {
    let before = Usage::of(child.id());
    let own_before = Usage::of(std::process::id());
    let start = Instant::now();
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = sockets
            .iter_mut()
            .zip(&load.requests)
            .map(|(socket, requests)| {
                let requests = &requests[range.clone()];
                scope.spawn(move || send_all(socket, requests, pause))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let elapsed = start.elapsed();
    let after = Usage::of(child.id());
    let own_cpu = Usage::of(std::process::id()).cpu - own_before.cpu;
    let samples = (latencies.len() * SAMPLES_PER_REQUEST) as f64;
    latencies.sort_unstable();
    let percentile = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    println!(
        "{}, {what}: {:.2} M samples/s, {:.2} M per CPU-second; {:.2} s, CPU {cpu:.2} s, client {:.2} s; \
         P50 {:.1} ms, P99 {:.1} ms; peak {} MiB",
        peer.name(),
        samples / elapsed.as_secs_f64() / 1e6,
        samples / cpu / 1e6,
        elapsed.as_secs_f64(),
        own_cpu.as_secs_f64(),
        percentile(0.5),
        percentile(0.99),
        after.peak_mib
    );
    samples / elapsed.as_secs_f64()
}

fn send_all(socket: &mut TcpStream, requests: &[Vec<u8>], pause: Option<Duration>) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(requests.len());
    let mut answers = BufReader::new(socket.try_clone().unwrap());
    let begin = Instant::now();
    for (number, request) in (0..).zip(requests) {
        if let Some(pause) = pause {
            std::thread::sleep((begin + pause * number).saturating_duration_since(Instant::now()));
        }
        let start = Instant::now();
        socket.write_all(request).unwrap();
        read_answer(&mut answers);
        latencies.push(start.elapsed());
    }
    latencies
}

/// Reads an answer, which must be a success.
fn read_answer(answers: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    let status = line.clone();
    let mut body_bytes = 0;
    loop {
        line.clear();
        answers.read_line(&mut line).unwrap();
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            body_bytes = length.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; body_bytes];
    answers.read_exact(&mut body).unwrap();
    assert!(status.contains(" 20"), "{status} {}", String::from_utf8_lossy(&body));
}
