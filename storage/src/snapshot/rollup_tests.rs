//! Scans with rollups see the rows that scans without them see, whole base buckets as states.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::{Piece, RollupNeeds, RollupUse, TagFilter, TimeCuts};
use crate::engine::{Ack, Engine, EngineOptions};
use crate::ingest::group_rows;
use crate::segment::FieldStatistic;
use crate::types::{FieldType, TableSpec, TimeRange};

const HOUR_NS: i64 = 3_600_000_000_000;
const STEP_NS: i64 = 10_000_000_000;

fn open(dir: &Path) -> Engine {
    let engine = Engine::open(dir, EngineOptions::default()).unwrap();
    engine.create_table(&TableSpec::new("t").tag("host").field("v", FieldType::I64)).unwrap();
    engine
}

/// A number without a trend, so wide that rollups pay.
fn value(time_ns: i64) -> i64 {
    time_ns.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 12
}

fn write(engine: &Engine, times: &[i64]) {
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("time", Arc::new(TimestampNanosecondArray::from(times.to_vec())), false),
        ("host", Arc::new(StringArray::from(vec!["a"; times.len()])), true),
        ("v", Arc::new(times.iter().map(|time| Some(value(*time))).collect::<Int64Array>()), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let schema = engine.table("public", "t").unwrap();
    engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
}

fn every_step(start_ns: i64, rows: i64) -> Vec<i64> {
    (0..rows).map(|row| start_ns + row * STEP_NS).collect()
}

/// Times that are not regular, one in each step.
fn in_every_step(start_ns: i64, rows: i64) -> Vec<i64> {
    (0..rows).map(|row| start_ns + row * STEP_NS + row % 7).collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    rollup_rows: usize,
    rows: u64,
    sum: i128,
}

fn scan(engine: &Engine, range: TimeRange, cuts: TimeCuts) -> Seen {
    let set = engine.snapshot().table("public", "t").unwrap().series(&TagFilter::all(), range).unwrap();
    let needs = vec![RollupNeeds { sum: true, bounds: true, ends: true, resets: false }];
    let mut scan = set.scan(&[0], range).with_rollups(RollupUse { cuts, needs, times: true });
    let mut seen = Seen::default();
    for series in 0..set.len() {
        scan.open(series).unwrap();
        let mut last_ns = i64::MIN;
        while let Some(piece) = scan.next_piece().unwrap() {
            match piece {
                Piece::Rollup(piece) => {
                    seen.rollup_rows += piece.len();
                    seen.rows += piece.row_counts().iter().map(|&count| u64::from(count)).sum::<u64>();
                    seen.sum += piece.integers(0, FieldStatistic::Sum).iter().map(|&sum| i128::from(sum)).sum::<i128>();
                    for (index, (&first_ns, &end_ns)) in piece.first_times().iter().zip(piece.last_times()).enumerate()
                    {
                        assert!(range.contains(first_ns) && range.contains(end_ns) && last_ns <= first_ns);
                        assert_eq!(piece.integers(0, FieldStatistic::First)[index], value(first_ns));
                        assert_eq!(piece.integers(0, FieldStatistic::Last)[index], value(end_ns));
                        last_ns = end_ns;
                    }
                }
                Piece::Block(mut block) => {
                    seen.rows += block.len() as u64;
                    seen.sum += block.i64_values(0).unwrap().iter().map(|&value| i128::from(value)).sum::<i128>();
                    let bounds = block.time_bounds().unwrap();
                    assert!(last_ns <= bounds.start_ns);
                    last_ns = bounds.end_ns;
                }
            }
        }
    }
    seen
}

fn expected(times: &[i64], range: TimeRange, rollup_rows: usize) -> Seen {
    let inside = times.iter().filter(|time| range.contains(**time));
    Seen { rollup_rows, rows: inside.clone().count() as u64, sum: inside.map(|time| i128::from(value(*time))).sum() }
}

fn range(start_ns: i64, end_ns: i64) -> TimeRange {
    TimeRange { start_ns, end_ns }
}

#[test]
fn a_bucket_that_the_bounds_of_a_query_cut_is_read_row_by_row() {
    for times in [every_step(-3 * HOUR_NS, 6 * 360), in_every_step(-3 * HOUR_NS, 6 * 360)] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        write(&engine, &times);
        engine.flush().unwrap();
        for (range, rollup_rows) in [
            (TimeRange::ALL, 6),
            (range(-3 * HOUR_NS, 3 * HOUR_NS - 1), 6),
            (range(-3 * HOUR_NS + 1, 3 * HOUR_NS), 5),
            (range(-2 * HOUR_NS, HOUR_NS - 1), 3),
            (range(-2 * HOUR_NS - 1, HOUR_NS + 1), 3),
            (range(-2 * HOUR_NS + STEP_NS, HOUR_NS - 2 * STEP_NS), 1),
            (range(3, HOUR_NS - 1), 0),
            (range(i64::MIN, -HOUR_NS - 1), 2),
            (range(HOUR_NS, i64::MAX), 2),
        ] {
            assert_eq!(scan(&engine, range, TimeCuts::Nowhere), expected(&times, range, rollup_rows), "{range:?}");
        }
    }
}

#[test]
fn an_hour_that_goes_on_in_another_section_is_made_of_both_states() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let times = every_step(0, 40 * 360);
    for part in [&times[..5000], &times[5000..]] {
        write(&engine, part);
        engine.flush().unwrap();
    }
    let all = TimeRange::ALL;
    assert_eq!(scan(&engine, all, TimeCuts::Nowhere), expected(&times, all, 41));
    let every = |unit_ns, offset_ns| TimeCuts::Every { unit_ns, offset_ns };
    assert_eq!(scan(&engine, all, every(2 * HOUR_NS, HOUR_NS)), expected(&times, all, 41));
    assert_eq!(scan(&engine, all, every(HOUR_NS, 1)), expected(&times, all, 0));
    assert_eq!(scan(&engine, all, every(HOUR_NS / 2, 0)), expected(&times, all, 0));
}

#[test]
fn rows_of_another_source_at_the_same_times_take_rollups_out_of_use() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut times = every_step(0, 4 * 360);
    write(&engine, &times);
    engine.flush().unwrap();
    // The same row again: a sum of states would count it twice.
    write(&engine, &times[100..101]);
    let all = TimeRange::ALL;
    assert_eq!(scan(&engine, all, TimeCuts::Nowhere), expected(&times, all, 0));
    // A query that does not reach the late row finds nothing that overlaps.
    let later = range(HOUR_NS, i64::MAX);
    assert_eq!(scan(&engine, later, TimeCuts::Nowhere), expected(&times, later, 3));
    // Rows behind the section do not matter.
    let more = every_step(4 * HOUR_NS + HOUR_NS / 2, 3);
    write(&engine, &more);
    times.extend(&more);
    assert_eq!(scan(&engine, later, TimeCuts::Nowhere).rows, expected(&times, later, 3).rows);
}

#[test]
fn the_ends_of_time_are_whole_buckets_too() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let times: Vec<i64> = (0..900).map(|row| i64::MIN + row).chain((0..900).map(|row| i64::MAX - 899 + row)).collect();
    write(&engine, &times);
    engine.flush().unwrap();
    let all = TimeRange::ALL;
    assert_eq!(scan(&engine, all, TimeCuts::Nowhere), expected(&times, all, 2));
    let most = range(i64::MIN + 1, i64::MAX);
    assert_eq!(scan(&engine, most, TimeCuts::Nowhere), expected(&times, most, 1));
}

#[test]
fn rows_in_memory_have_rollups_of_the_hours_that_a_query_covers() {
    for times in [every_step(-3 * HOUR_NS, 6 * 360), in_every_step(-3 * HOUR_NS, 6 * 360)] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        write(&engine, &times);
        // Chunks end within the third and the sixth hour, which come in two parts each.
        for (range, rollup_rows) in [
            (TimeRange::ALL, 8),
            (range(-3 * HOUR_NS + 1, 3 * HOUR_NS), 7),
            (range(-2 * HOUR_NS, HOUR_NS - 1), 4),
            (range(-2 * HOUR_NS - 1, HOUR_NS + 1), 4),
            (range(3, HOUR_NS - 1), 0),
            (range(i64::MIN, -HOUR_NS - 1), 2),
        ] {
            // The second time they are there already.
            for _ in 0..2 {
                assert_eq!(scan(&engine, range, TimeCuts::Nowhere), expected(&times, range, rollup_rows), "{range:?}");
            }
        }
        let every = |unit_ns, offset_ns| TimeCuts::Every { unit_ns, offset_ns };
        assert_eq!(scan(&engine, TimeRange::ALL, every(HOUR_NS / 2, 0)), expected(&times, TimeRange::ALL, 0));
        // A row again: states would count it twice.
        write(&engine, &times[700..701]);
        let seen = scan(&engine, TimeRange::ALL, TimeCuts::Nowhere);
        assert_eq!(seen, expected(&times, TimeRange::ALL, seen.rollup_rows));
    }
}

#[test]
fn hours_of_rows_in_memory_are_read_from_the_back_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let times = every_step(0, 2 * 360);
    write(&engine, &times);
    let set = engine.snapshot().table("public", "t").unwrap().series(&TagFilter::all(), TimeRange::ALL).unwrap();
    let needs = vec![RollupNeeds { sum: true, ..RollupNeeds::default() }];
    let uses = RollupUse { cuts: TimeCuts::Nowhere, needs, times: true };
    let mut scan = set.scan(&[0], TimeRange::ALL).with_rollups(uses);
    scan.open(0).unwrap();
    let mut sums = Vec::new();
    while let Some(piece) = scan.next_piece_back().unwrap() {
        let Piece::Rollup(piece) = piece else { panic!("rows") };
        sums.push((piece.first_times()[0], piece.row_counts()[0], piece.integers(0, FieldStatistic::Sum)[0]));
    }
    let sum = |times: &[i64]| times.iter().map(|time| value(*time)).sum::<i64>();
    assert_eq!(sums, [(HOUR_NS, 360, sum(&times[360..])), (0, 360, sum(&times[..360]))]);
}
