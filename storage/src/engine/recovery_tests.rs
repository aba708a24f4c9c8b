//! What an open makes of a damaged directory. The directories are small, so that every byte of them can be damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tests::{Row, batch, expected, options, read, read_range, spec, write};
use super::*;
use crate::error::{Error, Result};
use crate::ingest::group_rows;
use crate::io::Io;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, SimIo};
use crate::snapshot::{DamagePolicy, TagFilter};
use crate::types::{Dedup, FieldType, TableSpec, TimeRange};

const DIR: &str = "/db";
pub(super) const MODELS: [CrashModel; 3] = [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random];

pub(super) fn try_open(io: &SimIo) -> Result<Engine> {
    // Files of the log must be small: the simulated disk keeps every reserved byte.
    let options = EngineOptions { wal_file_bytes_max: 4 << 10, ..options() };
    Engine::open_with(Arc::new(io.clone()), Path::new(DIR), options)
}

pub(super) fn open(io: &SimIo) -> Engine {
    try_open(io).unwrap()
}

pub(super) fn file(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// The rows of the three parts: two flushed ones, and one that is in the log only.
const PARTS: [&[Row]; 3] =
    [&[("a", 1, Some(1)), ("b", 2, Some(2))], &[("a", 10, Some(3)), ("c", 11, Some(4))], &[("a", 20, Some(5))]];

/// A directory that a process was killed over: two segments, and a log with two commits.
pub(super) fn killed(dedup: Dedup) -> SimIo {
    let io = SimIo::new();
    let engine = open(&io);
    engine.create_table(&spec(dedup)).unwrap();
    for part in &PARTS[..2] {
        write(&engine, part);
        engine.flush().unwrap();
    }
    write(&engine, PARTS[2]);
    io.after_crash(0, CrashModel::LoseAll)
}

pub(super) fn all_rows() -> Vec<(String, i64, Option<i64>)> {
    let mut rows: Vec<_> = PARTS.iter().flat_map(|part| expected(part)).collect();
    rows.sort();
    rows
}

pub(super) fn rows_of(engine: &Engine) -> Vec<(String, i64, Option<i64>)> {
    let mut rows = read(&engine.snapshot());
    rows.sort();
    rows
}

fn kinds(engine: &Engine) -> Vec<RecoveryKind> {
    engine.recovery_events().iter().map(|event| event.kind).collect()
}

/// Every file of a directory that has this content.
fn has_content(io: &SimIo, dir: &str, content: &[u8]) -> bool {
    io.paths().iter().any(|path| path.starts_with(file(dir)) && io.content(path).unwrap() == content)
}

#[test]
fn no_flipped_byte_of_the_manifest_costs_a_row() {
    for dedup in [Dedup::Last, Dedup::First] {
        let len = killed(dedup).content(&file("MANIFEST")).unwrap().len();
        for position in 0..len {
            let io = killed(dedup);
            io.damage(&file("MANIFEST"), |bytes| bytes[position] ^= 0x10);
            let damaged = io.content(&file("MANIFEST")).unwrap();
            let engine = open(&io);
            assert_eq!(rows_of(&engine), all_rows(), "byte {position}");
            assert!(!engine.recovery_events().is_empty(), "byte {position}");
            let is_salvaged = engine.recovery_report().found_damage();
            assert!(!is_salvaged || has_content(&io, "quarantine", &damaged), "byte {position}");
            // New tables and rows have their place, and the next open finds nothing amiss.
            engine.create_table(&TableSpec { name: "next".into(), ..spec(dedup) }).unwrap();
            write(&engine, &[("z", 99, Some(9))]);
            engine.close().unwrap();
            let engine = open(&io);
            assert_eq!(engine.recovery_events(), [], "byte {position}");
            assert_eq!(read(&engine.snapshot()).len(), all_rows().len() + 1, "byte {position}");
        }
    }
}

#[test]
fn a_missing_manifest_is_rebuilt_and_never_taken_for_a_new_database() {
    let io = killed(Dedup::Last);
    io.remove(&file("MANIFEST")).unwrap();
    let engine = open(&io);
    assert_eq!(rows_of(&engine), all_rows());
    assert!(kinds(&engine).contains(&RecoveryKind::ManifestMissing), "{:?}", kinds(&engine));
    assert_eq!(kinds(&engine).iter().filter(|kind| **kind == RecoveryKind::SegmentAdopted).count(), 2);
    let adopted = engine.recovery_events().iter().find(|event| event.kind == RecoveryKind::SegmentAdopted).unwrap();
    assert_eq!((adopted.rows, adopted.time_range), (Some(2), Some(TimeRange { start_ns: 1, end_ns: 2 })));
    assert_eq!(adopted.severity, Severity::Warning);
}

#[test]
fn an_adopted_segment_stands_where_it_stood_in_the_order_of_commits() {
    use crate::segment::{SegmentOrigin, SegmentWriter};
    use crate::types::{SegmentId, SeriesKey, Tier, TombstoneId};
    let io = SimIo::new();
    let engine = open(&io);
    let table = engine.create_table(&spec(Dedup::Last)).unwrap();
    for value in [1, 2] {
        write(&engine, &[("a", 1, Some(value))]);
        engine.flush().unwrap();
    }
    drop(engine);
    // What a compaction of the first segment would leave: a later file of earlier commits.
    let id = SegmentId(9);
    let origin = SegmentOrigin { commit_order: 1, deletes_applied: TombstoneId(5) };
    let path = file("segments/0000000000000009.seg");
    let mut writer = SegmentWriter::create_with_origin(Arc::new(io.clone()), &path, id, origin, Tier::Hot).unwrap();
    writer.begin_table(&table).unwrap();
    let values: arrow_array::ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![1]));
    writer.push_series(&SeriesKey::from_tags([Some(&b"a"[..])]), &[1], &[(table.fields[0].id, values)]).unwrap();
    writer.end_table().unwrap();
    writer.finish().unwrap();
    io.remove(&file("segments/0000000000000001.seg")).unwrap();
    io.remove(&file("MANIFEST")).unwrap();
    let engine = open(&io);
    assert_eq!(rows_of(&engine), expected(&[("a", 1, Some(2))]));
    let state = crate::manifest::survey(&io, Path::new(DIR)).unwrap().state;
    assert_eq!((state.segments[&id].commit_order, state.next_tombstone_id), (1, TombstoneId(5)));
}

#[test]
fn tables_that_only_the_log_knows_get_a_made_up_name() {
    let io = SimIo::new();
    let engine = open(&io);
    engine.create_table(&spec(Dedup::Last)).unwrap();
    write(&engine, PARTS[0]);
    let io = io.after_crash(0, CrashModel::LoseAll);
    io.remove(&file("MANIFEST")).unwrap();
    for round in 0..2 {
        let engine = open(&io);
        let snapshot = engine.snapshot();
        let table = snapshot.table("public", "recovered_1").unwrap();
        let set = table.series(&TagFilter::all(), TimeRange::ALL).unwrap();
        assert_eq!(set.iter().map(|series| series.tag(0).unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(table.row_count_estimate(), 2);
        assert_eq!(kinds(&engine).contains(&RecoveryKind::TableRecovered), round == 0);
        // An id that the log uses is given to no other table.
        let next = TableSpec { name: format!("next{round}"), ..spec(Dedup::Last) };
        assert_eq!(engine.create_table(&next).unwrap().id.0, 2 + round);
        engine.close().unwrap();
    }
}

#[test]
fn columns_whose_record_was_lost_keep_their_values() {
    let io = SimIo::new();
    let engine = open(&io);
    let table = engine.create_table(&spec(Dedup::Last)).unwrap();
    let changed = engine.add_columns(table.id, &[], &[("w".into(), FieldType::I64)]).unwrap();
    let from = io.content(&file("MANIFEST")).unwrap().len();
    let mut rows = group_rows(&table, &batch(PARTS[0])).unwrap();
    rows.fields[0].0 = changed.fields[1].id;
    engine.write(vec![rows], Ack::Durable).unwrap();
    let io = io.after_crash(0, CrashModel::LoseAll);
    // The last record looks torn, though it was acknowledged.
    io.damage(&file("MANIFEST"), |bytes| bytes[from - 9] ^= 1);
    let engine = open(&io);
    let schema = engine.table("public", "cpu").unwrap();
    assert_eq!(schema.fields.len(), 2, "{schema:?}");
    assert_eq!(schema.fields[1].id, changed.fields[1].id);
    assert!(kinds(&engine).contains(&RecoveryKind::TableRecovered));
    assert_eq!(engine.recovery_report().rows_refused, 0);
}

#[test]
fn a_dropped_table_stays_dropped_when_a_record_says_so() {
    let io = SimIo::new();
    let engine = open(&io);
    engine.create_table(&TableSpec { name: "gone".into(), ..spec(Dedup::Last) }).unwrap();
    engine.create_table(&spec(Dedup::Last)).unwrap();
    let gone = engine.table("public", "gone").unwrap();
    write(&engine, PARTS[0]);
    engine.write(vec![group_rows(&gone, &batch(PARTS[0])).unwrap()], Ack::Durable).unwrap();
    engine.flush().unwrap();
    let start = io.content(&file("MANIFEST")).unwrap().len();
    engine.create_table(&TableSpec { name: "lost".into(), ..spec(Dedup::Last) }).unwrap();
    engine.drop_table("public", "gone").unwrap();
    let io = io.after_crash(0, CrashModel::LoseAll);
    io.damage(&file("MANIFEST"), |bytes| bytes[start + 50] ^= 1);
    let engine = open(&io);
    assert!(engine.recovery_report().found_damage());
    assert_eq!(engine.tables().iter().map(|table| table.name.clone()).collect::<Vec<_>>(), ["cpu"]);
    assert_eq!(rows_of(&engine), expected(PARTS[0]));
}

#[test]
fn a_crash_anywhere_in_a_salvage_costs_no_row() {
    for is_missing in [false, true] {
        for at in 1.. {
            let io = killed(Dedup::Last);
            match is_missing {
                true => io.remove(&file("MANIFEST")).unwrap(),
                false => io.damage(&file("MANIFEST"), |bytes| bytes[300] ^= 1),
            }
            io.sync_dir(Path::new(DIR)).unwrap();
            io.set_crash_at(io.operations() + at);
            let opened = try_open(&io);
            for seed in 0..4 {
                for model in MODELS {
                    let after = io.after_crash(seed, model);
                    let engine = open(&after);
                    assert_eq!(rows_of(&engine), all_rows(), "crash at {at}, seed {seed}, {model:?}");
                    engine.close().unwrap();
                    assert_eq!(rows_of(&open(&after)), all_rows(), "crash at {at}, seed {seed}, {model:?}");
                }
            }
            if !io.is_off() {
                drop(opened.unwrap());
                break;
            }
        }
    }
}

#[test]
fn a_failing_disk_during_a_salvage_costs_no_row() {
    for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::ShortWrite] {
        for is_for_ever in [false, true] {
            for at in 1.. {
                let io = killed(Dedup::Last);
                io.damage(&file("MANIFEST"), |bytes| bytes[300] ^= 1);
                let number = io.operations() + at;
                io.fail(if is_for_ever { FaultAt::From(number) } else { FaultAt::Once(number) }, kind);
                let opened = try_open(&io);
                let is_reached = io.operations() >= number;
                // Reads that fail once are no damage: they are tried again, and nothing is salvaged away.
                if let Ok(engine) = opened {
                    let is_whole = engine.recovery_report().damaged_segments.is_empty();
                    assert!(!is_whole || is_for_ever || rows_of(&engine) == all_rows(), "{kind:?} at {at}");
                    io.clear_faults();
                    let _may_fail = engine.close();
                }
                io.clear_faults();
                let engine = open(&io);
                assert_eq!(rows_of(&engine), all_rows(), "{kind:?} at {at}, for ever: {is_for_ever}");
                if !is_reached {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_flipped_byte_of_a_segment_costs_its_tables_and_times_only() {
    let segment = file("segments/0000000000000001.seg");
    let len = killed(Dedup::Last).content(&segment).unwrap().len();
    let (mut at_open, mut at_read) = (0, 0);
    for position in 0..len {
        let io = killed(Dedup::Last);
        io.damage(&segment, |bytes| bytes[position] ^= 0x08);
        let engine = open(&io);
        let snapshot = engine.snapshot();
        // Other times are as they were.
        let later = TimeRange { start_ns: 10, end_ns: i64::MAX };
        assert_eq!(read_range(&snapshot, &TagFilter::all(), later).len(), 3, "byte {position}");
        let table = snapshot.table("public", "cpu").unwrap();
        let is_open_damage = table.series(&TagFilter::all(), TimeRange::ALL).is_err();
        let partial = table.clone().on_damage(DamagePolicy::Skip);
        let set = partial.series(&TagFilter::all(), TimeRange::ALL).unwrap();
        let mut scan = set.scan(&[0], TimeRange::ALL);
        let mut rows = 0;
        for series in 0..set.len() {
            scan.open(series).unwrap();
            while let Some(block) = scan.next_block().unwrap() {
                rows += block.len();
            }
        }
        if is_open_damage {
            at_open += 1;
            assert_eq!(rows, 3, "byte {position}");
            let known = engine.corruption();
            assert_eq!((known.len(), known[0].found_by), (1, crate::segment::FoundBy::Open));
            assert_eq!(known[0].time_range, TimeRange { start_ns: 1, end_ns: 2 });
            continue;
        }
        at_read += usize::from(scan.skipped_rows() > 0);
        assert_eq!(rows as u64 + scan.skipped_rows(), 5, "byte {position}");
        assert_eq!(engine.corruption().is_empty(), scan.skipped_rows() == 0, "byte {position}");
        let scrubbed = engine.scrub().unwrap();
        assert_eq!(scrubbed.damaged.len(), 1, "byte {position}: padding is checked too");
        assert!(engine.corruption().iter().any(|known| known.path == segment), "byte {position}");
    }
    assert!(at_open > 0 && at_read > 0, "{at_open} {at_read}");
}

#[test]
fn a_segment_that_the_disk_does_not_give_back_is_set_aside_at_the_open() {
    let segment = file("segments/0000000000000001.seg");
    let len = killed(Dedup::Last).content(&segment).unwrap().len();
    for part in [0..1, len - 1..len] {
        let io = killed(Dedup::Last);
        io.make_unreadable(&segment, part);
        let engine = open(&io);
        assert_eq!(engine.recovery_report().damaged_segments.len(), 1);
        let later = TimeRange { start_ns: 10, end_ns: i64::MAX };
        assert_eq!(read_range(&engine.snapshot(), &TagFilter::all(), later).len(), 3);
    }
}

#[test]
fn a_read_error_that_goes_away_is_no_damage() {
    let len = {
        let io = killed(Dedup::Last);
        let before = io.operations();
        drop(open(&io));
        io.operations() - before
    };
    for at in 1..=len {
        let io = killed(Dedup::Last);
        io.fail(FaultAt::Once(io.operations() + at), FaultKind::Eio);
        if let Ok(engine) = try_open(&io)
            && engine.recovery_report().damaged_segments.is_empty()
        {
            assert_eq!(rows_of(&engine), all_rows(), "operation {at}");
        }
        let engine = open(&io);
        assert_eq!(rows_of(&engine), all_rows(), "operation {at}");
    }
}

#[test]
fn a_segment_that_an_ordinary_crash_left_is_not_taken_in_twice() {
    // Duplicates would show: the table keeps them.
    for at in 1.. {
        let io = killed(Dedup::Off);
        let engine = open(&io);
        io.set_crash_at(io.operations() + at);
        let done = engine.flush().is_ok();
        for seed in 0..6 {
            for model in MODELS {
                let engine = open(&io.after_crash(seed, model));
                assert_eq!(rows_of(&engine), all_rows(), "crash at {at}, seed {seed}, {model:?}");
                assert!(!engine.recovery_report().found_damage(), "crash at {at}, seed {seed}, {model:?}");
            }
        }
        if done {
            break;
        }
    }
}

#[test]
fn a_damaged_segment_that_no_record_names_is_moved_away_and_reported() {
    let io = killed(Dedup::Last);
    let segment = file("segments/0000000000000002.seg");
    io.remove(&file("MANIFEST")).unwrap();
    io.damage(&segment, |bytes| bytes[0] ^= 1);
    let engine = open(&io);
    assert!(engine.recovery_events().iter().any(|event| {
        event.kind == RecoveryKind::SegmentSetAside && event.severity == Severity::Loss && event.kept.is_some()
    }));
    assert_eq!(rows_of(&engine).len(), 3);
    assert!(!io.paths().contains(&segment));
    let newer = killed(Dedup::Last);
    newer.remove(&file("MANIFEST")).unwrap();
    newer.make_unreadable(&segment, 0..1);
    let error = try_open(&newer).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "whether it is damaged is not known: {error}");
    assert!(newer.paths().contains(&segment));
}

#[test]
fn an_ordinary_crash_is_never_taken_for_damage() {
    // Duplicates would show: the table keeps them.
    let live = |io: &SimIo, acknowledged: &mut usize| -> Result<()> {
        let engine = try_open(io)?;
        let table = engine.create_table(&spec(Dedup::Off))?;
        let other = engine.create_table(&TableSpec { name: "other".into(), ..spec(Dedup::Off) })?;
        for round in 0..4_i64 {
            let rows = group_rows(&table, &batch(&[("a", round, Some(round))]))?;
            engine.write(vec![rows], Ack::Durable)?;
            *acknowledged += 1;
            match round {
                0 => engine.write(vec![group_rows(&other, &batch(&[("x", 1, None)]))?], Ack::Durable).map(drop)?,
                1 => engine.flush()?,
                2 => engine.drop_table("public", "other")?,
                _ => engine.add_columns(table.id, &["region".into()], &[("w".into(), FieldType::F64)]).map(drop)?,
            }
        }
        engine.close()
    };
    for at in 1.. {
        let io = SimIo::new();
        io.set_crash_at(at);
        let mut acknowledged = 0;
        let done = live(&io, &mut acknowledged).is_ok();
        for seed in 0..4 {
            for model in MODELS {
                let engine = open(&io.after_crash(seed, model));
                let context = format!("crash at {at}, seed {seed}, {model:?}");
                let report = engine.recovery_report();
                assert!(!report.found_damage(), "{context}: {:?}", report.events);
                if engine.table("public", "cpu").is_ok() {
                    let rows = rows_of(&engine).len();
                    assert!(rows == acknowledged || rows == acknowledged + 1, "{context}: {rows} of {acknowledged}");
                }
            }
        }
        if done && !io.is_off() {
            break;
        }
    }
}
