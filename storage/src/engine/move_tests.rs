//! Partitions that move between tiers: what is shown, what late rows and deletes do, and what a power cut leaves.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::recovery_tests::MODELS;
use super::tests::{Row, expected, options, read, write};
use super::*;
use crate::error::{Error, Result};
use crate::io::sim::{CrashModel, SimIo};
use crate::snapshot::{TagFilter, TagTerm};
use crate::types::{FieldType, Setting, TableId, TableOptions, TableSchema, TableSpec, Tier, TierChange, TimeRange};

const PARTITION_NS: i64 = 100;

thread_local! {
    static NOW_NS: Cell<i64> = const { Cell::new(0) };
}

/// Three partitions of several runs.
pub(super) const ROWS: [Row; 6] = [
    ("a", 10, Some(1)),
    ("a", 20, Some(2)),
    ("a", 120, Some(3)),
    ("a", 210, Some(4)),
    ("b", 30, Some(5)),
    ("b", 220, None),
];

pub(super) fn try_open(io: &SimIo) -> Result<Engine> {
    let options = EngineOptions { clock: || NOW_NS.get(), wal_file_bytes_max: 4 << 10, ..options() };
    Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options)
}

pub(super) fn set_now_ns(now_ns: i64) {
    NOW_NS.set(now_ns);
}

pub(super) fn filled(io: &SimIo) -> Engine {
    NOW_NS.set(0);
    let engine = try_open(io).unwrap();
    let options = TableOptions { partition_ns: PARTITION_NS, ..TableOptions::default() };
    engine.create_table(&TableSpec::new("cpu").tag("host").field("v", FieldType::I64).options(options)).unwrap();
    for row in ROWS {
        write(&engine, &[row]);
        engine.flush().unwrap();
    }
    engine
}

pub(super) fn table(engine: &Engine) -> Arc<TableSchema> {
    engine.table("public", "cpu").unwrap()
}

pub(super) fn set_hot_for(engine: &Engine, age_ns: i64) {
    let change = TierChange { hot_for_ns: Some(Setting::Set(age_ns)), ..TierChange::default() };
    engine.alter_table(table(engine).id, &TableChange::SetTiers { change }).unwrap();
}

/// Partition and tier of each section.
pub(super) fn layout(engine: &Engine) -> Vec<(i64, Tier)> {
    let mut sections: Vec<_> = engine
        .segments()
        .iter()
        .flat_map(|segment| segment.sections.iter().map(|section| (section.partition_start_ns, segment.tier)))
        .collect();
    sections.sort_unstable();
    sections
}

#[test]
fn partitions_become_warm_when_their_end_is_older_than_the_policy_says() {
    let io = SimIo::new();
    let engine = filled(&io);
    set_hot_for(&engine, 50);
    let held = engine.snapshot();
    for (now_ns, warm) in [(149, 0), (150, 1), (249, 1), (250, 2), (350, 3)] {
        NOW_NS.set(now_ns);
        engine.maintain().unwrap();
        let layout = layout(&engine);
        let partitions = |tier| {
            let mut of_tier: Vec<i64> = layout.iter().filter(|place| place.1 == tier).map(|place| place.0).collect();
            of_tier.dedup();
            of_tier.len()
        };
        assert_eq!((partitions(Tier::Warm), partitions(Tier::Hot)), (warm, 3 - warm), "at {now_ns}: {layout:?}");
        assert_eq!(read(&engine.snapshot()), expected(&ROWS), "at {now_ns}");
    }
    assert_eq!(read(&held), expected(&ROWS), "a snapshot of before");
    let moves = engine.tasks().iter().filter(|task| task.kind == TaskKind::Move).count();
    assert_eq!(moves, 3);
    engine.close().unwrap();
    let engine = try_open(&io).unwrap();
    assert!(layout(&engine).iter().all(|place| place.1 == Tier::Warm));
    assert_eq!(read(&engine.snapshot()), expected(&ROWS));
}

#[test]
fn the_default_of_the_namespace_counts_where_the_table_says_nothing() {
    let engine = filled(&SimIo::new());
    NOW_NS.set(1_000);
    let change = |hot_for_ns| TierChange { hot_for_ns: Some(hot_for_ns), ..TierChange::default() };
    engine.alter_tier_defaults(None, &change(Setting::Off)).unwrap();
    engine.maintain().unwrap();
    assert!(layout(&engine).iter().all(|place| place.1 == Tier::Hot));
    engine.alter_tier_defaults(Some("public"), &change(Setting::Set(5))).unwrap();
    assert_eq!(engine.tier_policy(&table(&engine)).hot_for_ns, Setting::Set(5));
    engine.maintain().unwrap();
    assert!(layout(&engine).iter().all(|place| place.1 == Tier::Warm));
}

#[test]
fn a_partition_is_moved_by_hand_and_back() {
    let engine = filled(&SimIo::new());
    let id = table(&engine).id;
    let moved = engine.move_partition(id, 15, Tier::Warm).unwrap();
    assert_eq!((moved.partition.start_ns, moved.partition.end_ns, moved.rows), (0, 99, 3));
    assert!(moved.bytes_in > 0 && moved.bytes_out > 0);
    assert_eq!(layout(&engine)[0], (0, Tier::Warm));
    assert_eq!(engine.move_partition(id, 99, Tier::Warm).unwrap().rows, 0, "it is there");
    let info = engine.tiers();
    assert_eq!(
        info.iter().map(|info| (info.tier, info.partitions, info.rows)).collect::<Vec<_>>(),
        [(Tier::Hot, 2, 3), (Tier::Warm, 1, 3)]
    );
    assert_eq!((info[1].raw_bytes, info[1].time_range), (3 * 16, TimeRange { start_ns: 10, end_ns: 30 }));
    // Rows in memory come along.
    write(&engine, &[("a", 40, Some(9))]);
    assert_eq!(engine.move_partition(id, 0, Tier::Hot).unwrap().rows, 4);
    assert!(layout(&engine).iter().all(|place| place.1 == Tier::Hot));
    let mut rows = ROWS.to_vec();
    rows.insert(2, ("a", 40, Some(9)));
    assert_eq!(read(&engine.snapshot()), expected(&rows));
    for (id, time_ns, tier, part) in [
        (id, 5_000, Tier::Warm, "no rows"),
        (id, 0, Tier::Cold, "cannot write cold partitions"),
        (TableId(99), 0, Tier::Warm, "not exist"),
    ] {
        let error = engine.move_partition(id, time_ns, tier).unwrap_err();
        let is_as_said = error.to_string().contains(part) || matches!(error, Error::TableNotFound { .. });
        assert!(is_as_said, "{error}");
    }
}

#[test]
fn late_rows_are_hot_until_compaction_merges_them_into_the_warm_run_and_deletes_go_on_working() {
    let engine = filled(&SimIo::new());
    let id = table(&engine).id;
    engine.move_partition(id, 0, Tier::Warm).unwrap();
    write(&engine, &[("c", 50, Some(7)), ("a", 10, Some(8))]);
    engine.flush().unwrap();
    assert_eq!(layout(&engine)[..2], [(0, Tier::Hot), (0, Tier::Warm)]);
    let mut rows = ROWS.to_vec();
    rows[0].2 = Some(8);
    rows.push(("c", 50, Some(7)));
    assert_eq!(read(&engine.snapshot()), expected(&rows));
    engine.compact().unwrap();
    assert_eq!(layout(&engine), [(0, Tier::Warm), (100, Tier::Hot), (200, Tier::Hot)]);
    assert_eq!(read(&engine.snapshot()), expected(&rows));
    let of_a = TagFilter { terms: vec![TagTerm::one_of(0, vec!["a".into()])] };
    assert_eq!(engine.delete(id, &of_a, TimeRange { start_ns: 0, end_ns: 99 }).unwrap().rows, 2);
    let is_left = |row: &Row| row.0 != "a" || row.1 > 99;
    let rows: Vec<Row> = rows.into_iter().filter(is_left).collect();
    assert_eq!(read(&engine.snapshot()), expected(&rows));
    engine.maintain().unwrap();
    assert!(engine.tombstones().is_empty());
    assert_eq!(layout(&engine)[0], (0, Tier::Warm));
    assert_eq!(read(&engine.snapshot()), expected(&rows));
}

#[test]
fn a_power_cut_anywhere_in_a_move_leaves_the_partition_here_or_there_and_whole() {
    let begin = SimIo::new();
    let engine = filled(&begin);
    set_hot_for(&engine, 50);
    drop(engine);
    let begin = begin.after_crash(0, CrashModel::KeepAll);
    let (mut cuts, mut moved) = (0, 0);
    for cut in 1.. {
        NOW_NS.set(150);
        let io = begin.after_crash(0, CrashModel::KeepAll);
        let engine = try_open(&io).unwrap();
        io.set_crash_at(io.operations() + cut);
        let maintained = engine.maintain();
        if !io.is_off() {
            maintained.unwrap();
            break;
        }
        cuts = cut;
        for model in MODELS {
            let reopened = try_open(&io.after_crash(cut, model)).unwrap();
            assert!(!reopened.recovery_report().found_damage(), "cut {cut} {model:?}");
            assert_eq!(read(&reopened.snapshot()), expected(&ROWS), "cut {cut} {model:?}");
            let first: Vec<Tier> = layout(&reopened).iter().filter(|place| place.0 == 0).map(|place| place.1).collect();
            assert!(first == [Tier::Warm] || first.iter().all(|tier| *tier == Tier::Hot), "cut {cut} {model:?}");
            moved += usize::from(first == [Tier::Warm]);
            // What was cut off is done by the next turn.
            reopened.maintain().unwrap();
            assert_eq!(layout(&reopened)[0], (0, Tier::Warm), "cut {cut} {model:?}");
        }
    }
    assert!(cuts > 10 && moved > 0, "the loop must reach every step of the move: {cuts} {moved}");
}

#[test]
fn a_partition_that_cannot_be_written_does_not_hold_up_the_others_and_is_tried_again_later() {
    use crate::io::sim::{FaultAt, FaultKind, Operation};
    const HOUR_NS: i64 = 3_600_000_000_000;
    let io = SimIo::new();
    let engine = filled(&io);
    engine.compact().unwrap();
    set_hot_for(&engine, 50);
    NOW_NS.set(250);
    io.fail(FaultAt::Next(Operation::Write), FaultKind::Enospc);
    engine.maintain().unwrap_err();
    assert_eq!(layout(&engine), [(0, Tier::Hot), (100, Tier::Warm), (200, Tier::Hot)]);
    assert!(engine.tasks().iter().any(|task| task.kind == TaskKind::Move && task.error.is_some()));
    engine.maintain().unwrap();
    assert_eq!(layout(&engine)[0], (0, Tier::Hot));
    NOW_NS.set(250 + HOUR_NS);
    engine.maintain().unwrap();
    assert!(layout(&engine).iter().all(|place| place.1 == Tier::Warm));
    assert_eq!(read(&engine.snapshot()), expected(&ROWS));
}

#[test]
fn whoever_reads_keeps_the_same_answer_while_partitions_move_and_rows_come() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    let options = TableOptions { partition_ns: PARTITION_NS, ..TableOptions::default() };
    engine.create_table(&TableSpec::new("cpu").tag("host").field("v", FieldType::I64).options(options)).unwrap();
    let id = table(&engine).id;
    let rows: Vec<Row> = ["a", "b"].iter().flat_map(|host| (0..300).map(|time| (*host, time, Some(time)))).collect();
    for rows in rows.chunks(100) {
        write(&engine, rows);
    }
    engine.flush().unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    assert_eq!(read(&engine.snapshot()), expected(&rows));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                // Rows that are there, so that the answer is the same.
                write(&engine, &rows[150..160]);
                engine.compact().unwrap();
            }
        });
        for round in 0..2 {
            for partition in 0..3 {
                let tier = [Tier::Warm, Tier::Hot][round % 2];
                engine.move_partition(id, partition * PARTITION_NS, tier).unwrap();
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(read(&engine.snapshot()), expected(&rows));
}
