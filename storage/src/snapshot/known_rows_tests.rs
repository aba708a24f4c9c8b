//! What is known of rows is what scans show, and nothing is known where only reading tells.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::{KnownRows, TagFilter};
use crate::engine::{Ack, Engine, EngineOptions};
use crate::ingest::group_rows;
use crate::types::{Dedup, FieldType, TableSpec, TimeRange};

fn open(dir: &Path, dedup: Dedup) -> Engine {
    let engine = Engine::open(dir, EngineOptions::default()).unwrap();
    let mut spec = TableSpec::new("t").tag("host").field("v", FieldType::I64);
    spec.options.dedup = dedup;
    engine.create_table(&spec).unwrap();
    engine
}

/// Writes rows of two hosts; `v` is NULL where the time is a multiple of 5.
fn write(engine: &Engine, times: impl Iterator<Item = i64> + Clone) {
    for host in ["a", "b"] {
        let times: Vec<i64> = times.clone().collect();
        let columns: [(&str, ArrayRef, bool); 3] = [
            ("time", Arc::new(TimestampNanosecondArray::from(times.clone())), false),
            ("host", Arc::new(StringArray::from(vec![host; times.len()])), true),
            ("v", Arc::new(times.iter().map(|time| (time % 5 != 0).then_some(*time)).collect::<Int64Array>()), true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let schema = engine.table("public", "t").unwrap();
        engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
    }
}

/// Asserts that what is known, if anything, is what a scan serves, and gives it.
fn known(engine: &Engine, range: TimeRange) -> Option<KnownRows> {
    let set = engine.snapshot().table("public", "t").unwrap().series(&TagFilter::all(), range).unwrap();
    let known = set.known_rows(0..set.len());
    let mut scan = set.scan(&[0], range);
    let (mut times, mut nulls) = (Vec::new(), 0);
    for series in 0..set.len() {
        scan.open(series).unwrap();
        while let Some(mut block) = scan.next_block().unwrap() {
            nulls += block.array(0).unwrap().null_count() as u64;
            let len = block.len();
            let found = block.times().unwrap();
            times.extend((0..len).map(|row| found.get(row)));
        }
    }
    if let Some(known) = known {
        assert_eq!(known.count, times.len() as u64, "{range:?}");
        if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
            assert_eq!((known.times.start_ns, known.times.end_ns), (*first, *last), "{range:?}");
        }
        assert!(set.known_null_count(0, known).is_none_or(|known| known == nulls), "{range:?}");
    }
    known
}

fn between(start_ns: i64, end_ns: i64) -> TimeRange {
    TimeRange { start_ns, end_ns }
}

#[test]
fn rows_of_segments_that_lie_apart_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), Dedup::Last);
    write(&engine, (0..5_000).map(|row| row * 10));
    assert_eq!(known(&engine, TimeRange::ALL), None, "rows in memory are counted by reading them");
    engine.flush().unwrap();
    assert_eq!(known(&engine, TimeRange::ALL).unwrap().count, 10_000);
    // A cut through a regular series is arithmetic.
    assert_eq!(known(&engine, between(95, 1_000)).unwrap(), KnownRows { count: 182, times: between(100, 1_000) });
    assert_eq!(known(&engine, between(101, 109)).map(|known| known.count), Some(0));
    write(&engine, (0..5_000).map(|row| 60_000 + row * 10 + row % 3));
    engine.flush().unwrap();
    assert_eq!(known(&engine, TimeRange::ALL).unwrap().count, 20_000);
    assert_eq!(known(&engine, between(0, 70_000)), None, "a cut through an irregular series takes its times");
    let all = engine.snapshot().table("public", "t").unwrap().series(&TagFilter::all(), TimeRange::ALL).unwrap();
    assert!(all.known_null_count(0, all.known_rows(0..2).unwrap()).unwrap() > 10_000);
    assert_eq!(all.known_null_count(0, all.known_rows(0..1).unwrap()), None, "zone maps tell nothing of one series");
}

#[test]
fn nothing_is_known_of_late_rows_before_they_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), Dedup::Last);
    for start in [0, 200] {
        write(&engine, (start..start + 1_000).map(|row| row * 10));
        engine.flush().unwrap();
    }
    assert_eq!(known(&engine, TimeRange::ALL), None);
    assert_eq!(known(&engine, between(0, 1_990)).unwrap().count, 400);
    engine.compact().unwrap();
    assert_eq!(known(&engine, TimeRange::ALL).unwrap().count, 2_400);
}

#[test]
fn rows_of_tables_that_keep_duplicates_are_known_where_they_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), Dedup::Off);
    for _ in 0..2 {
        write(&engine, (0..1_000).map(|row| row * 10));
        engine.flush().unwrap();
    }
    assert_eq!(known(&engine, TimeRange::ALL).unwrap().count, 4_000);
}

#[test]
fn a_delete_is_known_to_matter_only_where_it_took_rows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), Dedup::Last);
    write(&engine, (0..1_000).map(|row| row * 10));
    engine.flush().unwrap();
    let table = engine.table("public", "t").unwrap().id;
    engine.delete(table, &TagFilter::all(), between(5_000, 5_090)).unwrap();
    assert_eq!(known(&engine, TimeRange::ALL), None);
    assert_eq!(known(&engine, between(0, 4_990)).unwrap().count, 1_000);
}
