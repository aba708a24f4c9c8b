//! A process that dies between the sync of a commit and its answer, and the sender that sends the same request again.
//!
//! One simulated disk lives through all rounds. In each a body of one of three protocols is written, the process dies at
//! a random moment, most often when the commit is on disk and the answer is not sent, the next process opens what is
//! left, and the body comes again: once, twice, or from two connections at once. Then each of its rows must be there
//! once. What was taken in earlier rounds is looked at again and again: flushes and compactions run in between.

use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lynxstore::ingest::events::{self, EventOptions};
use lynxstore::ingest::line_protocol::{self, LineOptions};
use lynxstore::ingest::prometheus::{Limits, RemoteWriter, Version};
use lynxstore::ingest::rows::{RowLimits, RowWriter};
use lynxstore_query::{QueryEngine, QueryOptions};
use lynxstore_storage::engine::{Background, Engine, EngineOptions};
use lynxstore_storage::io::sim::{CrashModel, SimIo};

use crate::server::message;
use crate::support::Rng;

const ROUNDS: u64 = 1_000;
/// Everything is compared after each so many rounds; the rows of a round after each round.
const ROUNDS_PER_FULL_CHECK: u64 = 50;
/// The first moment of 2026.
const BASE_NS: i64 = 1_767_225_600_000_000_000;
const ROUND_NS: i64 = 10_000_000_000;
const MS: i64 = 1_000_000;

/// The text that tells rows of equal time apart, the time, the value.
type Row = (String, i64, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    RemoteWrite,
    Lines,
    Events,
}

/// A request and what it must come to.
#[derive(Debug)]
struct Body {
    protocol: Protocol,
    table: String,
    bytes: Vec<u8>,
    /// Sorted.
    rows: Vec<Row>,
    /// The first time of the span that belongs to its round alone.
    start_ns: i64,
}

impl Body {
    fn new(round: u64, random: &mut Rng) -> Self {
        let protocol = [Protocol::RemoteWrite, Protocol::Lines, Protocol::Events][random.below(3) as usize];
        // Spans do not come in the order of time. Every 250 rounds the tables are new, so that some deaths meet them half made.
        let start_ns = BASE_NS + (round * 389 % ROUNDS) as i64 * ROUND_NS;
        let table = format!("{}_{}", ["rw", "lp", "ev"][protocol as usize], round / 250);
        let rows: Vec<Row> = (0..8 + random.below(8) as i64)
            .map(|number| (format!("s{:02}", number % 5), start_ns + number / 5 * MS, round as i64 * 100 + number))
            .collect();
        let mut body = Self { protocol, table, bytes: Vec::new(), rows, start_ns };
        body.bytes = match protocol {
            Protocol::RemoteWrite => body.remote_write(),
            // A new column from time to time.
            Protocol::Lines => body.text(|(name, time_ns, value)| {
                format!("{},host={name} value={value},extra{}=1i {time_ns}\n", body.table, round / 100)
            }),
            Protocol::Events => body.text(|(id, time_ns, value)| {
                format!(
                    "{{\"time\":{time_ns},\"kind\":\"k\",\"host\":\"{id}\",\"value\":{value},\"extra{}\":1}}\n",
                    round / 100
                )
            }),
        };
        body.rows.sort_unstable();
        body
    }

    fn text(&self, line: impl Fn(&Row) -> String) -> Vec<u8> {
        self.rows.iter().map(line).collect::<String>().into_bytes()
    }

    fn remote_write(&self) -> Vec<u8> {
        let mut names: Vec<&str> = self.rows.iter().map(|row| row.0.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let series = names.into_iter().map(|name| {
            let samples = self.rows.iter().filter(|row| row.0 == name);
            samples.fold(message::series(&self.table, &[("host", name)]), |series, (_, time_ns, value)| {
                series.sample(*value as f64, time_ns / MS)
            })
        });
        message::request(series).body()
    }
}

/// A process with the database open. What its writers remember of series dies with it.
struct Process {
    disk: SimIo,
    engine: Arc<Engine>,
    query: QueryEngine,
    remote: RemoteWriter<Arc<Engine>>,
    rows: RowWriter,
}

impl Process {
    fn start(disk: SimIo) -> Self {
        // Small enough that flushes and compactions come every few rounds, on the thread of the writer: some deaths
        // are in the middle of one.
        let options = EngineOptions {
            flush_bytes_max: 32 << 10,
            wal_bytes_max: 64 << 10,
            wal_file_bytes_max: 8 << 10,
            background: Background::Caller,
            ..EngineOptions::default()
        };
        let engine = Arc::new(Engine::open_with(Arc::new(disk.clone()), Path::new("/db"), options).unwrap());
        assert!(!engine.recovery_report().found_damage(), "a crash is no damage: {:?}", engine.recovery_report());
        Self {
            query: QueryEngine::new(Arc::clone(&engine), QueryOptions::default()),
            remote: RemoteWriter::new(Arc::clone(&engine), "public", Limits::default(), 1 << 20),
            rows: RowWriter::new(Arc::clone(&engine), "public", RowLimits::default(), 1 << 20),
            engine,
            disk,
        }
    }

    /// The process dies as it stands; what the next one finds.
    fn die(self, seed: u64, model: CrashModel) -> Self {
        let left = self.disk.after_crash(seed, model);
        // The end of the handles may do to the old disk what it likes.
        drop(self);
        Self::start(left)
    }

    /// Writes a body: rows that were written and duplicates, or nothing when the engine did not take it.
    fn send(&self, body: &Body) -> Option<(u64, u64)> {
        let (written, duplicates, rejected) = match body.protocol {
            Protocol::RemoteWrite => {
                let arrival_ns = BASE_NS + (ROUNDS as i64 + 1) * ROUND_NS;
                let outcome = self.remote.write(&body.bytes, Version::V1, arrival_ns).ok()?;
                (outcome.written.samples, 0, u64::from(!outcome.rejected.is_empty()))
            }
            Protocol::Lines => {
                let outcome = line_protocol::write(&self.rows, &body.bytes, &LineOptions::default(), 0).ok()?;
                (outcome.written, outcome.duplicates, outcome.rejected.count())
            }
            Protocol::Events => {
                let options = EventOptions {
                    tags: vec!["kind".into()],
                    dedup_key: vec!["host".into()],
                    ..EventOptions::default()
                };
                let outcome = events::write(&self.rows, &body.table, &body.bytes, &options).ok()?;
                (outcome.written, outcome.duplicates, outcome.rejected.count())
            }
        };
        assert_eq!(rejected, 0, "{body:?}");
        assert_eq!(written + duplicates, body.rows.len() as u64, "{body:?}");
        Some((written, duplicates))
    }

    /// The rows of a table from a time on, for so long, sorted.
    fn read(&self, table: &str, start_ns: i64, length_ns: i64) -> Vec<Row> {
        let Ok(schema) = self.engine.table("public", table) else { return Vec::new() };
        // It died between the table and its columns.
        if !["host", "value"].iter().all(|name| schema.column_exists(name)) {
            return Vec::new();
        }
        let text = |time_ns: i64| {
            let second = (time_ns - BASE_NS) / 1_000_000_000;
            format!("'2026-01-01 {:02}:{:02}:{:02}'", second / 3_600, second / 60 % 60, second % 60)
        };
        let (start, end) = (text(start_ns), text(start_ns + length_ns));
        let sql = format!("SELECT host, time, value FROM {table} WHERE time >= {start} AND time < {end}");
        let mut rows = Vec::new();
        for batch in &self.query.execute(&sql).unwrap().batches {
            let options = FormatOptions::default();
            let text = |column| ArrayFormatter::try_new(batch.column(column), &options).unwrap();
            let (names, values) = (text(0), text(2));
            let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
            for row in 0..batch.num_rows() {
                let value: f64 = values.value(row).to_string().parse().unwrap();
                rows.push((names.value(row).to_string(), times.value(row), value as i64));
            }
        }
        rows.sort_unstable();
        rows
    }

    fn read_round(&self, body: &Body) -> Vec<Row> {
        self.read(&body.table, body.start_ns, ROUND_NS)
    }
}

/// How often each kind of death was seen: a run that always dies at the same moment shows nothing.
#[derive(Debug, Default)]
struct Seen {
    /// On disk, and the engine said so: the answer was about to be sent.
    answered: u64,
    /// On disk although the engine could not say so.
    unanswered: u64,
    lost: u64,
    at_once: u64,
}

#[test]
fn a_thousand_kills_between_sync_and_answer_leave_one_copy_of_each_sample() {
    let mut random = Rng::new(5);
    let mut process = Process::start(SimIo::new());
    let mut taken: Vec<Body> = Vec::new();
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let body = Body::new(round, &mut random);
        let mut acknowledged = false;
        // The sender may meet a second death with its second attempt.
        for _ in 0..1 + u64::from(random.below(8) == 0) {
            let ahead = match random.below(8) {
                // Around the sync of the commit.
                0 | 1 => Some(1 + random.below(4)),
                // In what comes before it, new tables and columns, or after it, a flush.
                2 | 3 => Some(1 + random.below(40)),
                // Between the sync and the answer.
                _ => None,
            };
            if let Some(ahead) = ahead {
                process.disk.set_crash_at(process.disk.operations() + ahead);
            }
            acknowledged |= process.send(&body).is_some();
            // A process that is killed leaves what it gave to the system, a power cut only what was synced, or more.
            let model = [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random][random.below(3) as usize];
            process = process.die(random.next_u64(), model);
            let there = process.read_round(&body);
            assert!(
                there.is_empty() || there == body.rows,
                "round {round}: not whole, or not once: {there:?} of {body:?}"
            );
            assert!(!there.is_empty() || !acknowledged, "round {round}: what was on disk is lost: {body:?}");
            *match (there.is_empty(), acknowledged) {
                (true, _) => &mut seen.lost,
                (false, false) => &mut seen.unanswered,
                (false, true) => &mut seen.answered,
            } += 1;
        }
        let was_there = !process.read_round(&body).is_empty();
        let answers = match random.below(3) {
            0 => vec![process.send(&body)],
            1 => vec![process.send(&body), process.send(&body)],
            _ => {
                seen.at_once += 1;
                std::thread::scope(|scope| {
                    let senders = [0, 1].map(|_| scope.spawn(|| process.send(&body)));
                    senders.into_iter().map(|sender| sender.join().unwrap()).collect()
                })
            }
        };
        let written: u64 = answers.iter().map(|answer| answer.expect("nobody dies now").0).sum();
        if body.protocol == Protocol::Events {
            let expected = if was_there { 0 } else { body.rows.len() as u64 };
            assert_eq!(written, expected, "round {round}: {answers:?} for {body:?}");
        }
        assert_eq!(process.read_round(&body), body.rows, "round {round}: {body:?}");
        taken.push(body);
        if (round + 1) % ROUNDS_PER_FULL_CHECK == 0 {
            check_all(&process, &taken, round);
        }
    }
    process.engine.flush().unwrap();
    check_all(&process, &taken, ROUNDS);
    let stats = process.engine.stats();
    let least = seen.answered.min(4 * seen.unanswered).min(4 * seen.lost).min(2 * seen.at_once);
    assert!(least > 200, "too few deaths of a kind: {seen:?}, {stats:?}");
}

/// Compares every table with all that was taken.
fn check_all(process: &Process, taken: &[Body], round: u64) {
    let mut tables: Vec<&str> = taken.iter().map(|body| body.table.as_str()).collect();
    tables.sort_unstable();
    tables.dedup();
    for table in tables {
        let bodies = taken.iter().filter(|body| body.table == table);
        let mut expected: Vec<Row> = bodies.flat_map(|body| body.rows.iter().cloned()).collect();
        expected.sort_unstable();
        let found = process.read(table, BASE_NS, ROUNDS as i64 * ROUND_NS);
        assert!(found == expected, "after round {round}: {} rows of {table}, expected {}", found.len(), expected.len());
    }
}
