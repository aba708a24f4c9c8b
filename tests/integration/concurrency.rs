//! Writers, readers and flushes at once: what a snapshot shows never changes, and no query sees part of a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use lynxstore::{Ack, Database, Engine, FieldType, Options, TableSpec};
use lynxstore_storage::engine::EngineOptions;
use lynxstore_storage::snapshot::{Snapshot, TagFilter};
use lynxstore_storage::types::TimeRange;

use crate::support::scratch_dir;

const TABLE: &str = "t";
const ROWS_PER_COMMIT: u64 = 60;
const HOSTS: u64 = 7;
const WRITERS: u64 = 2;
const DURATION: Duration = Duration::from_secs(4);

/// A commit spreads over all hosts; the values of its rows add up to zero.
fn commit(writer: u64, number: u64) -> RecordBatch {
    let rows = 0..ROWS_PER_COMMIT;
    let value = |row: u64| if row.is_multiple_of(2) { (number + row) as i64 } else { -((number + row - 1) as i64) };
    // Some commits come out of order, some overwrite every row of an earlier one.
    let slot = if number % 5 == 4 { number - 3 } else { number ^ 1 };
    let time = |row: u64| ((slot * ROWS_PER_COMMIT + row) * WRITERS + writer) as i64;
    RecordBatch::try_from_iter([
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values(rows.clone().map(time))) as Arc<dyn Array>),
        ("host", Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("host-{}", row % HOSTS))))),
        ("value", Arc::new(Int64Array::from_iter_values(rows.map(value)))),
    ])
    .unwrap()
}

/// Count, sum, and a hash over times and values of all rows that a snapshot shows, in order.
fn digest(snapshot: &Snapshot) -> (u64, i64, u64) {
    let table = snapshot.table("public", TABLE).unwrap();
    let set = table.series(&TagFilter::all(), TimeRange::ALL).unwrap();
    let mut scan = set.scan(&[0], TimeRange::ALL);
    let (mut count, mut sum, mut hash) = (0, 0, 0xcbf2_9ce4_8422_2325_u64);
    for series in 0..set.len() {
        scan.open(series).unwrap();
        while let Some(mut block) = scan.next_block().unwrap() {
            let times = block.time_array().unwrap();
            let values = block.array(0).unwrap();
            let (times, values) = (times.as_primitive::<TimestampNanosecondType>(), values.as_primitive::<Int64Type>());
            for (time, value) in times.values().iter().zip(values.values()) {
                count += 1;
                sum += value;
                for part in [*time, *value] {
                    hash = (hash ^ part as u64).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
    }
    (count, sum, hash)
}

#[test]
fn a_snapshot_never_changes_while_others_write_and_flush() {
    let scratch = scratch_dir();
    let options =
        EngineOptions { flush_bytes_max: 128 << 10, wal_file_bytes_max: 64 << 10, ..EngineOptions::default() };
    let engine = Arc::new(Engine::open(scratch.path(), options).unwrap());
    let database = Database::from_engine(engine, Options::default());
    database.create_table(&TableSpec::new(TABLE).tag("host").field("value", FieldType::I64)).unwrap();
    let (stop, commits, checks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (database, stop, commits) = (&database, &stop, &commits);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let ack = [Ack::Volatile, Ack::Logged, Ack::Durable][(number % 3) as usize];
                    database.write_with(TABLE, &commit(writer, number), ack).unwrap();
                    commits.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                    // Readers look at every row: past some size another row finds no new fault.
                    if number > 2_000 {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
        let (flusher, reader) = (&database, &database);
        let (stop, checks) = (&stop, &checks);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                flusher.flush().unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let snapshot = reader.engine().snapshot();
                let first = digest(&snapshot);
                for _ in 0..5 {
                    assert_eq!(digest(&snapshot), first, "a snapshot changed under its reader");
                }
                // Every commit adds up to zero, and one that overwrites another does so whole.
                assert_eq!(first.1, 0, "a snapshot shows part of a commit");
                checks.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reader = &database;
        scope.spawn(move || {
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let output = reader.query("SELECT count(*), sum(value) FROM t").unwrap();
                let columns = output.batches[0].columns();
                let count = columns[0].as_primitive::<Int64Type>().value(0);
                assert!(count >= last, "rows went away: {count} after {last}");
                last = count;
                let sum = columns[1].as_primitive::<Int64Type>();
                assert!(sum.is_null(0) || sum.value(0) == 0, "a query sees part of a commit: {}", sum.value(0));
            }
        });
        let begin = Instant::now();
        // A slow machine gets time for three checks; a reader that panicked must not keep the test waiting.
        while begin.elapsed() < DURATION || (checks.load(Ordering::Relaxed) < 3 && begin.elapsed() < 15 * DURATION) {
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(commits.load(Ordering::Relaxed) > 50 && checks.load(Ordering::Relaxed) >= 3);
    let before = digest(&database.engine().snapshot());
    database.close().unwrap();
    let database = Database::open(scratch.path()).unwrap();
    assert_eq!(digest(&database.engine().snapshot()), before, "after reopening");
}
