//! What expired is not shown, whether or not it is dropped yet.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::tests::{Row, batch, expected, options, read};
use super::*;
use crate::ingest::group_rows;
use crate::io::sim::SimIo;
use crate::snapshot::TagFilter;
use crate::types::{FieldType, TableOptions, TableSpec, TimeRange};

thread_local! {
    static NOW_NS: Cell<i64> = const { Cell::new(0) };
}

const RETENTION_NS: i64 = 100;

const ROWS: [Row; 4] = [("a", 0, Some(1)), ("a", 50, Some(2)), ("b", 99, Some(3)), ("b", 150, Some(4))];

fn open(io: &SimIo) -> Engine {
    let options = EngineOptions { clock: || NOW_NS.get(), ..options() };
    let engine = Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options).unwrap();
    let table = TableOptions { retention_ns: Some(RETENTION_NS), ..TableOptions::default() };
    engine.ensure_tables(&[TableSpec::new("cpu").tag("host").field("v", FieldType::I64).options(table)]).unwrap();
    engine
}

fn write(engine: &Engine) {
    let schema = engine.table("public", "cpu").unwrap();
    engine.write(vec![group_rows(&schema, &batch(&ROWS)).unwrap()], Ack::Durable).unwrap();
}

fn set_retention(engine: &Engine, retention_ns: Option<i64>) {
    let table = engine.table("public", "cpu").unwrap().id;
    engine.alter_table(table, &TableChange::SetRetention { retention_ns }).unwrap();
}

#[test]
fn a_snapshot_leaves_out_what_had_expired_when_it_was_taken_and_stays_as_it_is() {
    let io = SimIo::new();
    NOW_NS.set(0);
    let engine = open(&io);
    write(&engine);
    let all = engine.snapshot();
    for is_flushed in [false, true] {
        if is_flushed {
            engine.flush().unwrap();
        }
        let attached = EngineOptions { clock: || NOW_NS.get(), ..options() };
        let reader = Engine::open_read_only_with(Arc::new(io.clone()), Path::new("/db"), attached).unwrap();
        for (now_ns, expired) in [(100, 0), (101, 1), (199, 2), (200, 3), (250, 3), (251, 4)] {
            NOW_NS.set(now_ns);
            for engine in [&engine, &reader] {
                let snapshot = engine.snapshot();
                assert_eq!(read(&snapshot), expected(&ROWS[expired..]), "at {now_ns}, flushed: {is_flushed}");
                let range = snapshot.table("public", "cpu").unwrap().time_range();
                assert!(range.is_none_or(|range| range.start_ns >= now_ns - RETENTION_NS), "{range:?} at {now_ns}");
            }
        }
        assert_eq!(read(&all), expected(&ROWS), "a snapshot lost rows while it was held");
    }
}

#[test]
fn a_longer_retention_brings_back_what_was_not_dropped_unless_it_was_deleted() {
    let io = SimIo::new();
    NOW_NS.set(0);
    let engine = open(&io);
    write(&engine);
    NOW_NS.set(251);
    assert_eq!(read(&engine.snapshot()), []);
    let table = engine.table("public", "cpu").unwrap().id;
    let first = TimeRange { start_ns: 0, end_ns: 0 };
    let receipt = engine.delete(table, &TagFilter::all(), first).unwrap();
    assert_eq!(receipt.rows, 0, "rows that are not shown are not counted");
    set_retention(&engine, None);
    assert_eq!(read(&engine.snapshot()), expected(&ROWS[1..]));
    set_retention(&engine, Some(RETENTION_NS));
    engine.maintain().unwrap();
    set_retention(&engine, None);
    assert_eq!(read(&engine.snapshot()), [], "what was dropped does not come back");
}
