//! A writing process is killed with SIGKILL at a random moment, round after round, on one database.
//!
//! The child is this test binary again: `child_writes_until_it_is_killed`, which does nothing in an ordinary run. Its
//! writers acknowledge each batch on a pipe, after the engine acknowledged it to them. The parent kills it, reopens the
//! database and checks per writer: every acknowledged batch is there, every batch is whole, every value is the one
//! that was written, and the batches there are the first n in order, without a hole. SIGKILL does not lose what the
//! kernel has, so this holds for `Ack::Logged` as for `Ack::Durable`; lost power is the topic of `crash`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use lynxstore::{Ack, Database, Engine, FieldType, Options, TableSpec};
use lynxstore_storage::engine::EngineOptions;

use crate::support::{KillOnDrop, Rng, scratch_dir};

/// Rounds of one run; the promise is checked on every one of them.
const ROUNDS: u64 = 200;

/// Rounds on one directory. Recovery of what earlier recoveries left is part of the test, yet the last rounds should not
/// spend their time on old data.
const ROUNDS_PER_DATABASE: u64 = 20;

const DIR_VARIABLE: &str = "LYNX_KILL9_DIR";
const ROUND_VARIABLE: &str = "LYNX_KILL9_ROUND";
const TABLE: &str = "batches";
const WRITERS: [(&str, Ack); 2] = [("durable", Ack::Durable), ("logged", Ack::Logged)];

/// Small limits, so that files rotate and flushes happen within a round of some 50 ms.
fn open(dir: &Path) -> Database {
    let options =
        EngineOptions { flush_bytes_max: 256 << 10, wal_file_bytes_max: 128 << 10, ..EngineOptions::default() };
    Database::from_engine(Arc::new(Engine::open(dir, options).unwrap()), Options::default())
}

/// The batch of a writer with this number: its size and values follow from the number.
fn batch(round: u64, writer: &str, number: u64) -> RecordBatch {
    let rows = batch_rows(number);
    let times = (0..rows).map(|row| time_ns(round, number, row));
    let filled = |value: i64| Arc::new(Int64Array::from(vec![value; rows as usize]));
    RecordBatch::try_from_iter([
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times)) as Arc<dyn Array>),
        ("writer", Arc::new(StringArray::from(vec![writer; rows as usize]))),
        ("round", filled(round as i64)),
        ("number", filled(number as i64)),
        ("value", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| value(number, row))))),
    ])
    .unwrap()
}

fn batch_rows(number: u64) -> u64 {
    1 + Rng::new(number).below(300)
}

fn time_ns(round: u64, number: u64, row: u64) -> i64 {
    ((round << 32) + (number << 12) + row) as i64
}

fn value(number: u64, row: u64) -> i64 {
    (number * 1_000_003 + row * row) as i64
}

#[test]
fn acknowledged_batches_survive_kill_9_and_no_batch_is_torn() {
    let mut rng = Rng::new(9);
    let mut acked_total = 0;
    let mut scratch = scratch_dir();
    let mut unchecked = Vec::new();
    for round in 0..ROUNDS {
        if round % ROUNDS_PER_DATABASE == 0 {
            scratch = scratch_dir();
            let spec = TableSpec::new(TABLE)
                .tag("writer")
                .field("round", FieldType::I64)
                .field("number", FieldType::I64)
                .field("value", FieldType::I64);
            open(scratch.path()).create_table(&spec).unwrap();
        }
        let acked = run_and_kill(scratch.path(), round, Duration::from_micros(rng.below(70_000)));
        acked_total += acked.values().sum::<u64>();
        unchecked.push((round, acked));
        // Now and then the next child opens what the killed one left, so that recovery meets logs of several lives.
        if (round + 1) % ROUNDS_PER_DATABASE == 0 || rng.below(3) > 0 {
            let database = open(scratch.path());
            for (round, acked) in unchecked.drain(..) {
                check(&database, round, &acked);
            }
            database.close().unwrap();
        }
    }
    // A canary: rounds in which nothing was acknowledged prove nothing.
    assert!(acked_total > ROUNDS * 5, "only {acked_total} batches were acknowledged in {ROUNDS} rounds");
}

/// Starts the writing child, kills it `delay` after its database is open, and returns how many batches each writer had
/// acknowledged.
fn run_and_kill(dir: &Path, round: u64, delay: Duration) -> BTreeMap<String, u64> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill9::child_writes_until_it_is_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR_VARIABLE, dir)
        .env(ROUND_VARIABLE, round.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = KillOnDrop(child);
    let mut lines = BufReader::new(child.0.stdout.take().expect("it is piped")).lines();
    // The test harness prints lines of its own first.
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line.ends_with("ready"));
    assert!(ready, "the child of round {round} ended before it could write");
    // The pipe is drained while the clock runs, so that a full pipe never holds the child back.
    let reader = std::thread::spawn(move || {
        let mut acked = BTreeMap::new();
        for line in lines.map_while(Result::ok) {
            // The kill may cut the last line; a whole one ends in a full stop.
            if let Some((writer, number)) = line.strip_suffix('.').and_then(|line| line.split_once(' ')) {
                acked.insert(writer.to_owned(), number.parse::<u64>().unwrap() + 1);
            }
        }
        acked
    });
    std::thread::sleep(delay);
    child.kill();
    reader.join().unwrap()
}

fn check(database: &Database, round: u64, acked: &BTreeMap<String, u64>) {
    let sql = format!(
        "SELECT writer, number, count(*), sum(value), min(value), max(value) FROM {TABLE} WHERE round = {round} \
         GROUP BY writer, number ORDER BY writer, number"
    );
    let output = database.query(&sql).unwrap();
    let mut present: BTreeMap<String, u64> = BTreeMap::new();
    for found in &output.batches {
        let writers = cast(found.column(0), &DataType::Utf8).unwrap();
        let integer = |column: usize, row: usize| found.column(column).as_primitive::<Int64Type>().value(row);
        for row in 0..found.num_rows() {
            let writer = writers.as_string::<i32>().value(row).to_owned();
            let number = integer(1, row) as u64;
            let next = present.entry(writer.clone()).or_default();
            assert_eq!(number, *next, "round {round}: {writer} lacks a batch between those that are there");
            *next += 1;
            let rows = batch_rows(number);
            let values = || (0..rows).map(|row| value(number, row));
            let expected = (
                rows as i64,
                values().sum::<i64>(),
                values().min().unwrap_or_default(),
                values().max().unwrap_or_default(),
            );
            let seen = (integer(2, row), integer(3, row), integer(4, row), integer(5, row));
            assert_eq!(seen, expected, "round {round}: batch {number} of {writer} is not whole");
        }
    }
    for (writer, count) in acked {
        let there = present.get(writer).copied().unwrap_or(0);
        assert!(there >= *count, "round {round}: {writer} had {count} batches acknowledged, {there} are there");
    }
}

/// Not a test of its own: the process that `run_and_kill` starts.
#[test]
#[ignore = "it is the child process of acknowledged_batches_survive_kill_9_and_no_batch_is_torn"]
fn child_writes_until_it_is_killed() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIR_VARIABLE), std::env::var(ROUND_VARIABLE)) else { return };
    let round: u64 = round.parse().unwrap();
    let database = open(Path::new(&dir));
    print_line("ready");
    let batches = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for (writer, ack) in WRITERS {
            let (database, batches) = (&database, &batches);
            scope.spawn(move || {
                // The bound ends a child whose parent is gone; no round comes near it.
                for number in 0..100_000 {
                    database.write_with(TABLE, &batch(round, writer, number), ack).unwrap();
                    print_line(&format!("{writer} {number}."));
                    batches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (database, batches) = (&database, &batches);
        scope.spawn(move || {
            let mut flushed_at = 0;
            while batches.load(Ordering::Relaxed) < 2 * 100_000 {
                std::thread::sleep(Duration::from_millis(1));
                let now = batches.load(Ordering::Relaxed);
                if now >= flushed_at + 40 {
                    database.flush().unwrap();
                    flushed_at = now;
                }
            }
        });
    });
}

/// One write call per line: a pipe takes lines of this size whole, so two writers never mix theirs.
fn print_line(line: &str) {
    let line = format!("{line}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}
