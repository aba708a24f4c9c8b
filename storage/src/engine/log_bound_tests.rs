//! The write-ahead log stays within its bound, so that the next open replays in bounded time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::tests::{Row, batch, options, read, spec, write};
use super::*;
use crate::error::Error;
use crate::ingest::group_rows;
use crate::io::sim::{FaultAt, FaultKind, SimIo};
use crate::types::Dedup;

fn open(io: &SimIo, wal_bytes_max: u64) -> Engine {
    let write_deadline = Duration::from_millis(1);
    let options = EngineOptions { wal_bytes_max, wal_file_bytes_max: 8 << 10, write_deadline, ..options() };
    let engine = Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options).unwrap();
    engine.ensure_tables(&[spec(Dedup::Last)]).unwrap();
    engine
}

#[test]
fn commits_of_a_few_rows_are_flushed_when_the_log_is_full() {
    let engine = open(&SimIo::new(), 32 << 10);
    let mut most = 0;
    for row in 0..2000 {
        write(&engine, &[("a", row, Some(row))]);
        most = most.max(engine.stats().wal_bytes);
    }
    let stats = engine.stats();
    assert!(stats.flushes > 2 && stats.memtable_bytes < options().flush_bytes_max, "{stats:?}");
    assert!(most < 33 << 10, "{most}");
    assert_eq!(read(&engine.snapshot()).len(), 2000);
}

#[test]
fn a_flush_removes_the_files_of_the_log() {
    let io = SimIo::new();
    let engine = open(&io, 1 << 30);
    for row in 0..500 {
        write(&engine, &[("a", row, Some(row))]);
    }
    let logs = || io.paths().into_iter().filter(|path| path.starts_with("/db/wal")).count();
    assert!(logs() > 4);
    engine.flush().unwrap();
    assert_eq!(logs(), 1);
    assert!(engine.stats().wal_bytes < 100);
}

#[test]
fn rows_of_dropped_tables_do_not_keep_the_log() {
    let io = SimIo::new();
    let engine = open(&io, 1 << 30);
    write(&engine, &[("a", 1, Some(1))]);
    engine.drop_table("public", "cpu").unwrap();
    let io = io.after_crash(0, crate::io::sim::CrashModel::KeepAll);
    let options = EngineOptions { wal_file_bytes_max: 8 << 10, ..options() };
    let engine = Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options).unwrap();
    assert_eq!((engine.recovery_report().rows_without_table, engine.stats().memtable_rows), (1, 0));
    let before = engine.stats().wal_bytes;
    engine.flush().unwrap();
    assert!(engine.stats().wal_bytes < before);
    assert_eq!(io.paths().iter().filter(|path| path.starts_with("/db/wal")).count(), 1);
}

#[test]
fn writes_are_held_back_when_flushes_fail_and_go_on_when_they_work_again() {
    let io = SimIo::new();
    let engine = open(&io, 16 << 10);
    let table = engine.table("public", "cpu").unwrap();
    let rows: [Row; 1] = [("a", 0, Some(0))];
    let commit = |row: i64| {
        let rows = [(rows[0].0, row, Some(row))];
        engine.write(vec![group_rows(&table, &batch(&rows)).unwrap()], Ack::Durable)
    };
    let mut refused = None;
    for row in 0..2000 {
        // The rename that publishes a segment fails, each time.
        io.fail(FaultAt::Next(crate::io::sim::Operation::Rename), FaultKind::Enospc);
        if let Err(error) = commit(row) {
            refused = Some((row, error));
            break;
        }
    }
    let (row, error) = refused.expect("a log that nothing empties fills");
    assert!(matches!(error, Error::Backpressure { limit_bytes: 32_768, .. }), "{error}");
    assert!(engine.stats().wal_bytes < 34 << 10, "{:?}", engine.stats());
    io.clear_faults();
    commit(row).unwrap();
    assert!(engine.stats().wal_bytes < 16 << 10, "{:?}", engine.stats());
    assert_eq!(read(&engine.snapshot()).len() as i64, row + 1);
}

/// Replay, start to end, on this machine: `cargo test --release -p lynxstore-storage replay_speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, of use in a release build on a machine at rest"]
fn replay_speed_of_a_large_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        wal_bytes_max: u64::MAX,
        flush_bytes_max: u64::MAX,
        memtable_bytes_max: u64::MAX,
        ..EngineOptions::default()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    let fields = (0..10).fold(crate::types::TableSpec::new("cpu").tag("host"), |spec, field| {
        spec.field(format!("v{field}"), crate::types::FieldType::F64)
    });
    let table = engine.create_table(&fields).unwrap();
    for commit in 0..400_i64 {
        let batch = measured_batch(&table, commit);
        engine.write(vec![batch], Ack::Logged).unwrap();
    }
    let bytes = engine.stats().wal_bytes;
    for (what, options) in [("without a flush", options), ("with flushes", EngineOptions::default())] {
        replay_copy(dir.path(), bytes, what, options);
    }
}

/// Opens what a killed process leaves.
fn replay_copy(dir: &Path, bytes: u64, what: &str, options: EngineOptions) {
    let killed = tempfile::tempdir().unwrap();
    for folder in ["", "wal", "segments"] {
        std::fs::create_dir_all(killed.path().join(folder)).unwrap();
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), killed.path().join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    let started = std::time::Instant::now();
    let reopened = Engine::open(killed.path(), options).unwrap();
    let elapsed = started.elapsed();
    let rate = bytes as f64 / elapsed.as_secs_f64() / 1e6;
    println!(
        "{what}: replayed {} rows, {bytes} bytes in {elapsed:?}: {rate:.0} MB/s",
        reopened.recovery_report().replayed_rows
    );
    assert_eq!(reopened.recovery_report().replayed_rows, 400 * 10_000);
}

/// A thousand hosts, ten rows each, ten floats that are no integers.
fn measured_batch(table: &crate::types::TableSchema, commit: i64) -> crate::types::SeriesBatch {
    use arrow_array::{ArrayRef, Float64Array};

    use crate::types::{SeriesBatch, SeriesKey, SeriesRows};
    let series = (0..1000_u32).map(|host| {
        let name = format!("host_{host:04}");
        SeriesRows { key: SeriesKey::from_tags([Some(name.as_bytes())]), rows: host * 10..host * 10 + 10 }
    });
    let times = (0..10_000).map(|row: i64| (commit * 10 + row % 10) * 10_000_000_000);
    let fields = table.fields.iter().map(|field| {
        let values = (0..10_000).map(|row| f64::from(row % 997) * 0.37 + commit as f64);
        (field.id, Arc::new(Float64Array::from_iter_values(values)) as ArrayRef)
    });
    SeriesBatch { table: table.id, series: series.collect(), times: times.collect(), fields: fields.collect() }
}
