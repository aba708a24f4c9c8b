//! The engine end to end on a temporary directory and on the simulated disk.

mod attach;
mod attach_races;
mod backup;
pub(super) mod hook_io;

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::*;
use crate::error::Error;
use crate::ingest::group_rows;
use crate::io::sim::SimIo;
use crate::snapshot::{Snapshot, TagFilter, TagTerm};
use crate::types::{Dedup, FieldType, TableOptions, TableSchema, TableSpec, TimeRange};

pub(super) type Row = (&'static str, i64, Option<i64>);

pub(super) fn options() -> EngineOptions {
    // Small log files: the simulated disk keeps a copy of every reserved byte.
    EngineOptions {
        background: Background::Caller,
        wal_file_bytes_max: 64 << 10,
        ..EngineOptions::with_memory_budget(8 << 20)
    }
}

pub(super) fn open(dir: &Path) -> Engine {
    Engine::open(dir, options()).unwrap()
}

pub(super) fn spec(dedup: Dedup) -> TableSpec {
    let options = TableOptions { dedup, ..TableOptions::default() };
    TableSpec::new("cpu").tag("host").field("v", FieldType::I64).options(options)
}

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.1)));
    let hosts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>());
    RecordBatch::try_from_iter_with_nullable([("time", times, false), ("host", hosts, true), ("v", values, true)])
        .unwrap()
}

pub(super) fn write(engine: &Engine, rows: &[Row]) -> WriteReceipt {
    let schema = engine.table("public", "cpu").unwrap();
    engine.write(vec![group_rows(&schema, &batch(rows)).unwrap()], Ack::Durable).unwrap()
}

pub(super) fn read_range(snapshot: &Snapshot, filter: &TagFilter, range: TimeRange) -> Vec<(String, i64, Option<i64>)> {
    let table = snapshot.table("public", "cpu").unwrap();
    let set = table.series(filter, range).unwrap();
    let mut rows = Vec::new();
    let mut scan = set.scan(&[0], range);
    for (index, series) in set.iter().enumerate() {
        let host = series.tag(0).unwrap_or_default();
        scan.open(index).unwrap();
        while let Some(mut block) = scan.next_block().unwrap() {
            let values = block.array(0).unwrap();
            let values = values.as_primitive::<Int64Type>();
            let times = block.times().unwrap();
            for (row, value) in values.iter().enumerate() {
                rows.push((host.clone(), times.get(row), value));
            }
        }
    }
    rows
}

pub(super) fn read(snapshot: &Snapshot) -> Vec<(String, i64, Option<i64>)> {
    read_range(snapshot, &TagFilter::all(), TimeRange::ALL)
}

pub(super) fn expected(rows: &[Row]) -> Vec<(String, i64, Option<i64>)> {
    rows.iter().map(|(host, time, value)| ((*host).to_owned(), *time, *value)).collect()
}

#[test]
fn rows_are_the_same_in_memory_after_a_flush_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let rows: [Row; 4] =
        [("a", 1, Some(10)), ("a", 2, None), ("b", -5, Some(i64::MIN)), ("b", i64::MAX, Some(i64::MAX))];
    let engine = open(dir.path());
    engine.create_table(&spec(Dedup::Last)).unwrap();
    write(&engine, &rows);
    assert_eq!(read(&engine.snapshot()), expected(&rows));
    engine.flush().unwrap();
    assert_eq!(engine.stats().memtable_rows, 0);
    assert_eq!(engine.stats().segments, 1);
    assert_eq!(read(&engine.snapshot()), expected(&rows));
    engine.close().unwrap();
    let engine = open(dir.path());
    assert_eq!(engine.recovery_report().replayed_commits, 0);
    assert_eq!(read(&engine.snapshot()), expected(&rows));
}

#[test]
fn duplicates_are_resolved_across_memory_and_segments() {
    for (dedup, expected_rows) in [
        (Dedup::Last, vec![("a", 1, Some(12)), ("a", 2, Some(20)), ("a", 3, Some(30))]),
        (Dedup::First, vec![("a", 1, Some(10)), ("a", 2, Some(20)), ("a", 3, Some(30))]),
        (
            Dedup::Off,
            vec![
                ("a", 1, Some(10)),
                ("a", 1, Some(11)),
                ("a", 1, Some(12)),
                ("a", 2, Some(20)),
                ("a", 2, None),
                ("a", 3, Some(30)),
            ],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        engine.create_table(&spec(dedup)).unwrap();
        write(&engine, &[("a", 1, Some(10)), ("a", 2, Some(20))]);
        engine.flush().unwrap();
        write(&engine, &[("a", 3, Some(30)), ("a", 1, Some(11))]);
        engine.flush().unwrap();
        write(&engine, &[("a", 2, None), ("a", 1, Some(12))]);
        assert_eq!(read(&engine.snapshot()), expected(&expected_rows), "{dedup:?}");
        engine.flush().unwrap();
        assert_eq!(read(&engine.snapshot()), expected(&expected_rows), "{dedup:?} flushed");
    }
}

#[test]
fn a_snapshot_does_not_change_under_writes_flushes_and_drops() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.create_table(&spec(Dedup::Last)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    write(&engine, &[("a", 2, Some(2))]);
    let snapshot = engine.snapshot();
    let before = read(&snapshot);
    write(&engine, &[("a", 1, Some(100)), ("a", 3, Some(3)), ("b", 1, Some(1))]);
    assert_eq!(read(&snapshot), before);
    engine.flush().unwrap();
    assert_eq!(read(&snapshot), before);
    engine.drop_table("public", "cpu").unwrap();
    assert_eq!(read(&snapshot), before);
    assert!(matches!(engine.snapshot().table("public", "cpu"), Err(Error::TableNotFound { .. })));
    let files = || std::fs::read_dir(dir.path().join("segments")).unwrap().count();
    // The segment that the old snapshot reads stays until the snapshot goes.
    assert_eq!(files(), 1);
    drop(snapshot);
    assert_eq!(files(), 0);
}

#[test]
fn tags_and_times_select_rows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.create_table(&spec(Dedup::Last)).unwrap();
    let hosts = ["a", "b", "c"];
    let rows: Vec<Row> = (0..3000).map(|row| (hosts[row % 3], (row / 3) as i64 * 10, Some(row as i64))).collect();
    write(&engine, &rows[..1500]);
    engine.flush().unwrap();
    write(&engine, &rows[1500..]);
    let range = TimeRange { start_ns: 4_000, end_ns: 5_999 };
    for filter in [
        TagFilter { terms: vec![TagTerm::one_of(0, vec!["b".into()])] },
        TagFilter { terms: vec![TagTerm::predicate(0, |tag| tag == Some("b"))] },
    ] {
        let got = read_range(&engine.snapshot(), &filter, range);
        let mut want: Vec<Row> = rows.iter().copied().filter(|row| row.0 == "b" && range.contains(row.1)).collect();
        want.sort_by_key(|row| row.1);
        assert_eq!(got, expected(&want));
        assert_eq!(got.len(), 200);
    }
    let nothing = TagFilter { terms: vec![TagTerm::one_of(0, vec!["zzz".into()])] };
    assert!(read_range(&engine.snapshot(), &nothing, TimeRange::ALL).is_empty());
    let set = engine.snapshot().table("public", "cpu").unwrap().series(&TagFilter::all(), TimeRange::ALL).unwrap();
    let tag = set.tag_column(0);
    let names: Vec<&str> = tag.indices.iter().map(|&index| tag.values.value(index as usize)).collect();
    assert_eq!(names, hosts);
}

#[test]
fn a_column_that_is_added_is_null_in_older_rows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let table = engine.create_table(&spec(Dedup::Last)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    let changed = engine.add_columns(table.id, &["region".into()], &[("w".into(), FieldType::F64)]).unwrap();
    assert_eq!(engine.add_columns(table.id, &["region".into()], &[("w".into(), FieldType::F64)]).unwrap(), changed);
    assert!(engine.add_columns(table.id, &[], &[("v".into(), FieldType::F64)]).is_err());
    let with_region = RecordBatch::try_from_iter([
        ("time", Arc::new(TimestampNanosecondArray::from(vec![2, 3])) as ArrayRef),
        ("host", Arc::new(StringArray::from(vec!["a", "a"])) as ArrayRef),
        ("region", Arc::new(StringArray::from(vec![None, Some("eu")])) as ArrayRef),
        ("w", Arc::new(arrow_array::Float64Array::from(vec![0.5, 1.5])) as ArrayRef),
    ])
    .unwrap();
    engine.write(vec![group_rows(&changed, &with_region).unwrap()], Ack::Durable).unwrap();
    for flushed in [false, true] {
        if flushed {
            engine.flush().unwrap();
        }
        let snapshot = engine.snapshot();
        let table = snapshot.table("public", "cpu").unwrap();
        let set = table.series(&TagFilter::all(), TimeRange::ALL).unwrap();
        assert_eq!(set.iter().map(|series| series.tag(1)).collect::<Vec<_>>(), [None, Some("eu".to_owned())]);
        assert_eq!(set.get(0).row_count_estimate(), 2);
        let mut scan = set.get(0).scan(&[1], TimeRange::ALL).unwrap();
        let mut nulls = Vec::new();
        while let Some(mut block) = scan.next_block().unwrap() {
            nulls.extend(
                block
                    .array(0)
                    .unwrap()
                    .logical_nulls()
                    .map_or_else(|| vec![true; block.len()], |nulls| nulls.iter().collect::<Vec<_>>()),
            );
        }
        assert_eq!(nulls, [false, true], "flushed: {flushed}");
    }
}

#[test]
fn rows_survive_without_a_close_and_are_flushed_while_replaying() {
    let io = SimIo::new();
    let dir = Path::new("/db");
    let engine = Engine::open_with(Arc::new(io.clone()), dir, options()).unwrap();
    engine.create_table(&spec(Dedup::Last)).unwrap();
    let rows: Vec<Row> = (0..5000).map(|row| ("a", row, Some(row))).collect();
    for rows in rows.chunks(500) {
        write(&engine, rows);
    }
    let crashed = io.after_crash(1, crate::io::sim::CrashModel::LoseAll);
    let tiny = EngineOptions { flush_bytes_max: 5_000, ..options() };
    let engine = Engine::open_with(Arc::new(crashed), dir, tiny).unwrap();
    assert_eq!(engine.recovery_report().replayed_rows, 5000);
    assert!(engine.stats().segments > 1, "replay must flush when its memory is full");
    assert_eq!(read(&engine.snapshot()), expected(&rows));
}

#[test]
fn a_second_writer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let refused = Engine::open(dir.path(), options()).unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }));
    engine.close().unwrap();
    Engine::open(dir.path(), options()).unwrap();
}

#[test]
fn a_damaged_segment_leaves_other_tables_readable() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.create_table(&spec(Dedup::Last)).unwrap();
    let other = engine.create_table(&TableSpec { name: "other".into(), ..spec(Dedup::Last) }).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    engine.write(vec![group_rows(&other, &batch(&[("x", 1, Some(2))])).unwrap()], Ack::Durable).unwrap();
    engine.close().unwrap();
    let first =
        std::fs::read_dir(dir.path().join("segments")).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    let end = bytes.len() - 10;
    bytes[end] ^= 1;
    std::fs::write(&first, bytes).unwrap();

    let engine = open(dir.path());
    assert_eq!(engine.recovery_report().damaged_segments.len(), 1);
    let snapshot = engine.snapshot();
    let damaged = snapshot.table("public", "cpu").unwrap();
    assert!(matches!(damaged.series(&TagFilter::all(), TimeRange::ALL), Err(Error::Corruption { .. })));
    let table = snapshot.table("public", "other").unwrap();
    assert_eq!(table.series(&TagFilter::all(), TimeRange::ALL).unwrap().row_count_estimate(), 1);
}

#[test]
fn several_tables_share_one_commit_and_one_segment() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let specs: Vec<TableSpec> =
        (0..20).map(|table| TableSpec { name: format!("t{table}"), ..spec(Dedup::Last) }).collect();
    let tables = engine.ensure_tables(&specs).unwrap();
    assert_eq!(engine.ensure_tables(&specs).unwrap(), tables);
    assert!(matches!(engine.create_table(&specs[0]), Err(Error::TableExists { .. })));
    let batches =
        tables.iter().map(|table: &Arc<TableSchema>| group_rows(table, &batch(&[("a", 1, Some(1))])).unwrap());
    let receipt = engine.write(batches.collect(), Ack::Logged).unwrap();
    assert_eq!(receipt.rows, 20);
    engine.flush().unwrap();
    assert_eq!(engine.stats().segments, 1);
    let snapshot = engine.snapshot();
    for spec in &specs {
        let table = snapshot.table("public", &spec.name).unwrap();
        assert_eq!(table.row_count_estimate(), 1);
        assert_eq!(table.time_range(), Some(TimeRange { start_ns: 1, end_ns: 1 }));
    }
}

#[test]
fn a_closed_engine_refuses_work() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let table = engine.create_table(&spec(Dedup::Last)).unwrap();
    let rows = group_rows(&table, &batch(&[("a", 1, Some(1))])).unwrap();
    engine.close().unwrap();
    engine.close().unwrap();
    assert!(matches!(engine.write(vec![rows], Ack::Durable), Err(Error::Closed)));
    assert!(matches!(engine.create_table(&spec(Dedup::Last)), Err(Error::Closed)));
}

#[test]
fn a_clean_close_leaves_no_reserved_space_and_no_old_log_files() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let engine = open(dir.path());
        if round == 0 {
            engine.create_table(&spec(Dedup::Last)).unwrap();
            write(&engine, &[("a", 1, Some(1))]);
        }
        engine.close().unwrap();
        let logs: Vec<u64> = std::fs::read_dir(dir.path().join("wal"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        assert!(logs.len() == 1 && logs[0] < 4096, "{logs:?}");
    }
}

#[test]
fn a_segment_that_the_manifest_never_named_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.create_table(&spec(Dedup::Last)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.close().unwrap();
    let segments = dir.path().join("segments");
    std::fs::copy(segments.join("0000000000000001.seg"), segments.join("0000000000000009.seg")).unwrap();
    std::fs::write(segments.join("0000000000000002.seg.tmp"), b"half").unwrap();
    let engine = open(dir.path());
    let report = engine.recovery_report();
    assert_eq!((report.removed_files, report.quarantined_segments.len()), (1, 1));
    assert!(dir.path().join("quarantine/0000000000000009.seg").exists());
    assert_eq!(read(&engine.snapshot()), expected(&[("a", 1, Some(1))]));
}

#[test]
fn a_flush_whose_manifest_record_failed_is_repeated_under_another_segment_id() {
    use crate::io::sim::{FaultAt, FaultKind};
    let dir = Path::new("/db");
    let rows: Vec<Row> = (0..100).map(|row| ("a", row, Some(row))).collect();
    let mut failures = 0;
    for operation in 1..60 {
        let io = SimIo::new();
        let engine = Engine::open_with(Arc::new(io.clone()), dir, options()).unwrap();
        engine.create_table(&spec(Dedup::Last)).unwrap();
        write(&engine, &rows);
        io.fail(FaultAt::Once(io.operations() + operation), FaultKind::Eio);
        // A few operations may fail without harm, such as giving reserved space back.
        failures += usize::from(engine.flush().is_err());
        // The rows stay readable, and whatever the failed flush left, the next start finds each of them once.
        assert_eq!(read(&engine.snapshot()), expected(&rows), "operation {operation}");
        let flushed_again = engine.flush();
        let crashed = io.after_crash(operation, crate::io::sim::CrashModel::KeepAll);
        let reopened = Engine::open_with(Arc::new(crashed), dir, options()).unwrap();
        assert_eq!(read(&reopened.snapshot()), expected(&rows), "operation {operation}, again: {flushed_again:?}");
    }
    assert!(failures > 10, "the loop must reach every operation of a flush: {failures}");
}

#[test]
fn a_failed_flush_is_tried_again_by_the_next_write() {
    use crate::io::sim::{FaultAt, FaultKind, Operation};
    let io = SimIo::new();
    let tiny = EngineOptions { flush_bytes_max: 5_000, memtable_bytes_max: 10_000, ..options() };
    let engine = Engine::open_with(Arc::new(io.clone()), Path::new("/db"), tiny).unwrap();
    engine.create_table(&spec(Dedup::Last)).unwrap();
    let rows: Vec<Row> = (0..10_000).map(|row| ("a", row, Some(row))).collect();
    for (index, rows) in rows.chunks(100).enumerate() {
        if index % 7 == 3 {
            io.fail(FaultAt::Next(Operation::Rename), FaultKind::Enospc);
        }
        write(&engine, rows);
    }
    io.clear_faults();
    assert!(engine.stats().flush_failures > 0 && engine.stats().flushes > 5, "{:?}", engine.stats());
    assert_eq!(read(&engine.snapshot()), expected(&rows));
}

#[test]
fn a_close_waits_for_writes_and_sends_away_those_that_wait_for_memory() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), EngineOptions::with_memory_budget(64 << 20)).unwrap();
    let table = engine.create_table(&spec(Dedup::Last)).unwrap();
    let acknowledged = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (engine, table) = (&engine, &table);
                scope.spawn(move || {
                    let mut acknowledged = 0_usize;
                    for row in 0.. {
                        let rows = [("a", writer * 1_000_000 + row, Some(row))];
                        match engine.write(vec![group_rows(table, &batch(&rows)).unwrap()], Ack::Logged) {
                            Ok(_) => acknowledged += 1,
                            Err(Error::Closed) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(50));
        engine.close().unwrap();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum::<usize>()
    });
    assert_eq!(read(&open(dir.path()).snapshot()).len(), acknowledged);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, max_shrink_iters: 20_000, ..Default::default() })]

    #[test]
    fn any_sequence_of_operations_shows_what_the_oracle_shows(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
        model::run(&bytes);
    }
}
