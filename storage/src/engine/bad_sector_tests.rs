//! Sectors that go bad below segments that are open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tests::{Row, batch, options, spec, write};
use super::*;
use crate::error::{Error, Result};
use crate::ingest::group_rows;
use crate::io::sim::{CrashModel, SimIo};
use crate::segment::FoundBy;
use crate::snapshot::{DamagePolicy, TagFilter};
use crate::types::{Dedup, TableSpec, TimeRange};

fn open(io: &SimIo, segment_reads: SegmentReads) -> Engine {
    let options = EngineOptions { segment_reads, ..options() };
    Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options).unwrap()
}

/// Three vectors of numbers that no encoding makes disappear.
fn rows() -> Vec<Row> {
    (0..3_000_i64).map(|row| ("a", row, Some(row.wrapping_mul(0x5851_F42D_4C95_7F2D)))).collect()
}

fn numbers() -> Vec<i64> {
    rows().iter().filter_map(|row| row.2).collect()
}

/// The same rows in two tables, each in a segment of its own; the path of the first one.
fn two_tables() -> (SimIo, PathBuf) {
    let io = SimIo::new();
    let engine = open(&io, SegmentReads::Mapped);
    engine.create_table(&spec(Dedup::Last)).unwrap();
    let other = engine.create_table(&TableSpec { name: "other".into(), ..spec(Dedup::Last) }).unwrap();
    write(&engine, &rows());
    engine.flush().unwrap();
    engine.write(vec![group_rows(&other, &batch(&rows())).unwrap()], Ack::Durable).unwrap();
    engine.close().unwrap();
    let io = io.after_crash(0, CrashModel::KeepAll);
    let first = io.paths().into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    (io, first)
}

/// The data of the first vector stands right behind the header.
const FIRST_VECTOR: std::ops::Range<usize> = 70..71;

fn values(engine: &Engine, table: &str, policy: DamagePolicy) -> Result<Vec<i64>> {
    let table = engine.snapshot().table("public", table)?.on_damage(policy);
    let set = table.series(&TagFilter::all(), TimeRange::ALL)?;
    let mut scan = set.scan(&[0], TimeRange::ALL);
    let mut values = Vec::new();
    for series in 0..set.len() {
        scan.open(series)?;
        while let Some(mut block) = scan.next_block()? {
            let len = block.len();
            values.extend_from_slice(&block.i64_values(0)?[..len]);
        }
    }
    Ok(values)
}

#[test]
fn a_sector_that_goes_bad_below_a_mapping_fails_only_the_statements_that_use_it() {
    let (io, first) = two_tables();
    let engine = open(&io, SegmentReads::Mapped);
    io.make_unreadable(&first, FIRST_VECTOR);
    let error = values(&engine, "cpu", DamagePolicy::Fail).unwrap_err();
    assert!(matches!(&error, Error::Corruption { path, .. } if *path == first), "{error}");
    assert!(error.to_string().contains("the disk does not give it back"), "{error}");
    assert_eq!(values(&engine, "other", DamagePolicy::Fail).unwrap(), numbers());
    assert_eq!(values(&engine, "cpu", DamagePolicy::Skip).unwrap(), numbers()[1024..]);
    let known = engine.corruption();
    assert_eq!((known.len(), &known[0].path, known[0].found_by), (1, &first, FoundBy::Read));
}

#[test]
fn segments_that_were_copied_need_no_disk_and_one_that_cannot_be_is_set_aside_alone() {
    let (io, first) = two_tables();
    let engine = open(&io, SegmentReads::Copied);
    io.make_unreadable(&first, FIRST_VECTOR);
    assert_eq!(values(&engine, "cpu", DamagePolicy::Fail).unwrap(), numbers());
    drop(engine);
    let engine = open(&io, SegmentReads::Copied);
    assert_eq!(engine.recovery_report().damaged_segments.len(), 1);
    assert!(matches!(values(&engine, "cpu", DamagePolicy::Fail), Err(Error::Corruption { .. })));
    assert_eq!(values(&engine, "other", DamagePolicy::Fail).unwrap(), numbers());
}
