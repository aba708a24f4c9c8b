//! Compactions of more series than their memory holds.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::recovery_tests::MODELS;
use super::tests::{options, read, spec};
use super::*;
use crate::error::Result;
use crate::ingest::group_rows;
use crate::io::sim::{CrashModel, SimIo};
use crate::types::Dedup;

const FLUSHES: i64 = 5;
const SERIES: i64 = 200;

/// Room for four series of a slice and some dozen in the segment that is written.
const COMPACTION_BYTES: u64 = 4 << 10;

fn try_open(io: &SimIo) -> Result<Engine> {
    let options = EngineOptions { compaction_bytes_max: COMPACTION_BYTES, wal_file_bytes_max: 4 << 10, ..options() };
    Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options)
}

/// A row of each series in each flush, of which the later ones replace half of the earlier ones.
fn flood(engine: &Engine) {
    let schema = engine.create_table(&spec(Dedup::Last)).unwrap();
    for flush in 0..FLUSHES {
        let numbers = || (0..SERIES).map(|number| number * 7 % 250 + flush);
        let times: ArrayRef =
            Arc::new(TimestampNanosecondArray::from_iter_values(numbers().map(|number| number % 2 * flush)));
        let hosts: ArrayRef =
            Arc::new(StringArray::from_iter_values(numbers().map(|number| format!("host with a long name {number}"))));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers().map(|number| number * 10 + flush)));
        let batch = RecordBatch::try_from_iter([("time", times), ("host", hosts), ("v", values)]).unwrap();
        engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Durable).unwrap();
        engine.flush().unwrap();
    }
}

#[test]
fn runs_of_more_series_than_fit_into_memory_become_one_run_of_small_segments() {
    type Work = fn(&Engine) -> Result<()>;
    for work in [Engine::compact as Work, Engine::maintain as Work] {
        let engine = try_open(&SimIo::new()).unwrap();
        flood(&engine);
        let before = read(&engine.snapshot());
        assert!(before.len() > 2 * SERIES as usize);
        assert_eq!(engine.segments().len() as i64, FLUSHES);
        let held = engine.snapshot();
        work(&engine).unwrap();
        let segments = engine.segments();
        let newest = segments.iter().map(|segment| segment.commit_order).max();
        assert!(segments.iter().all(|segment| Some(segment.commit_order) == newest), "{segments:?}");
        let rows = |segment: &SegmentInfo| segment.sections.iter().map(|section| section.row_count).sum::<u32>();
        assert!(segments.iter().all(|segment| rows(segment) < 100), "{segments:?}");
        assert!(segments.len() > 3 && segments.len() < 50, "{}", segments.len());
        assert_eq!(read(&engine.snapshot()), before);
        assert_eq!(read(&held), before);
        // One run, which is not merged again.
        let compactions = engine.stats().compactions;
        engine.compact().unwrap();
        assert_eq!((engine.stats().compactions, engine.segments().len()), (compactions, segments.len()));
    }
}

#[test]
fn a_power_cut_anywhere_in_a_compaction_to_several_segments_loses_nothing() {
    let begin = SimIo::new();
    let engine = try_open(&begin).unwrap();
    flood(&engine);
    let rows = read(&engine.snapshot());
    drop(engine);
    let begin = begin.after_crash(0, CrashModel::KeepAll);
    let mut cuts = 0;
    for cut in 1.. {
        let io = begin.after_crash(0, CrashModel::KeepAll);
        let engine = try_open(&io).unwrap();
        io.set_crash_at(io.operations() + cut);
        let compacted = engine.compact();
        if !io.is_off() {
            compacted.unwrap();
            break;
        }
        cuts = cut;
        for model in MODELS {
            let reopened = try_open(&io.after_crash(cut, model)).unwrap();
            assert!(!reopened.recovery_report().found_damage(), "cut {cut} {model:?}");
            assert_eq!(read(&reopened.snapshot()), rows, "cut {cut} {model:?}");
        }
    }
    assert!(cuts > 30, "the loop must reach every step of the compaction: {cuts}");
}
