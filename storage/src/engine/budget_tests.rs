//! The log's share of the memory budget: records on their way, the buffer that puts them together, and replay.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array};
use parking_lot::{Condvar, Mutex};

use super::tests::hook_io::HookIo;
use super::tests::{options, read, spec};
use super::*;
use crate::error::Error;
use crate::io::sim::{CrashModel, SimIo};
use crate::types::{Dedup, SeriesBatch, SeriesKey, SeriesRows, TableSchema};
use crate::wal::encode_commit;

const ROWS: u32 = 1000;

/// Times and values: 8 bytes each.
const ROWS_BYTES: u64 = 16 * ROWS as u64;

/// A batch of numbers that no encoding makes shorter.
fn batch(table: &TableSchema, number: u64) -> SeriesBatch {
    let mut state = number;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ (state >> 31)).cast_signed()
    };
    // Of one day, and so of one partition.
    let times = (0..ROWS).map(|_| random() & ((1 << 46) - 1)).collect();
    let values: ArrayRef = Arc::new((0..ROWS).map(|_| Some(random())).collect::<Int64Array>());
    let series = vec![SeriesRows { key: SeriesKey::from_tags([Some(&b"a"[..])]), rows: 0..ROWS }];
    SeriesBatch { table: table.id, series, times, fields: vec![(table.fields[0].id, values)] }
}

/// Holds operations on the log up.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
    has_waited: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        let mut is_shut = self.is_shut.lock();
        while *is_shut {
            self.has_waited.store(true, Ordering::SeqCst);
            self.changed.wait(&mut is_shut);
        }
    }

    fn set_shut(&self, is_shut: bool) {
        *self.is_shut.lock() = is_shut;
        self.changed.notify_all();
    }
}

fn open(memtable_bytes_max: u64) -> (Engine, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let passing = Arc::clone(&gate);
    let io = HookIo::over(Arc::new(SimIo::new()), move |_, path| {
        if path.starts_with("/db/wal") {
            passing.pass();
        }
        Ok(())
    });
    let write_deadline = Duration::ZERO;
    let flush_bytes_max = memtable_bytes_max / 2;
    let options = EngineOptions { memtable_bytes_max, flush_bytes_max, write_deadline, ..options() };
    let engine = Engine::open_with(io, Path::new("/db"), options).unwrap();
    engine.create_table(&spec(Dedup::Off)).unwrap();
    (engine, gate)
}

#[test]
fn records_that_wait_for_the_log_count_and_hold_further_writes_back() {
    let limit = 6 * ROWS_BYTES;
    let (engine, gate) = open(limit);
    let table = engine.table("public", "cpu").unwrap();
    let record_bytes = encode_commit(&[batch(&table, 0)]).unwrap().byte_len() as u64;
    assert!(record_bytes > ROWS_BYTES, "a record is told from its estimate by its size: {record_bytes}");
    gate.set_shut(true);
    let results = std::thread::scope(|scope| {
        let (engine, table) = (&engine, &table);
        let mut threads = Vec::new();
        for number in 0..8 {
            let before = engine.stats().writing_bytes;
            let thread = scope.spawn(move || engine.write(vec![batch(table, number)], Ack::Durable));
            // Until it waits for the log, its record encoded, or was refused. Before, rows and record count as rows twice.
            while !thread.is_finished() && engine.stats().writing_bytes <= before + 2 * ROWS_BYTES {
                std::thread::yield_now();
            }
            threads.push(thread);
        }
        while !gate.has_waited.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert!(engine.stats().writing_bytes < limit + 4 * ROWS_BYTES, "{:?}", engine.stats());
        gate.set_shut(false);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    // Rows and record of a write are two shares of the limit: three writes fill it.
    let written = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(written, 3, "{results:?}");
    let is_refused = |result: &Result<_, Error>| matches!(result, Err(Error::Backpressure { .. }));
    assert_eq!(results.iter().filter(|result| is_refused(result)).count(), 5, "{results:?}");
    assert_eq!(engine.stats().writing_bytes, 0);
    engine.flush().unwrap();
    engine.write(vec![batch(&table, 9)], Ack::Durable).unwrap();
    assert_eq!(read(&engine.snapshot()).len(), 4 * ROWS as usize);
}

#[test]
fn the_buffer_of_the_log_is_part_of_the_budget() {
    let limit = 1 << 20;
    let (engine, gate) = open(limit);
    let table = engine.table("public", "cpu").unwrap();
    assert_eq!(engine.stats().wal_buffer_bytes, 0);
    // Writers that come while another one is at the disk make a group; whether they come in time is up to the machine.
    for _ in 0..100 {
        gate.set_shut(true);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (engine, table) = (&engine, &table);
                scope.spawn(move || engine.write(vec![batch(table, number)], Ack::Logged).unwrap());
            }
            while engine.stats().writing_bytes < 7 * ROWS_BYTES {
                std::thread::yield_now();
            }
            gate.set_shut(false);
        });
        engine.flush().unwrap();
        if engine.stats().wal_buffer_bytes > 0 {
            break;
        }
    }
    assert_eq!(engine.stats().wal_buffer_bytes, limit / 8);
}

#[test]
fn replay_flushes_before_a_commit_for_which_there_is_no_room() {
    let io = SimIo::new();
    let engine = Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options()).unwrap();
    let table = engine.create_table(&spec(Dedup::Off)).unwrap();
    for number in 0..4 {
        engine.write(vec![batch(&table, number)], Ack::Durable).unwrap();
    }
    let io = io.after_crash(0, CrashModel::LoseAll);
    // Two batches are less than a full memtable; a third one, decoded and as a record, is more than all memory.
    let (flush_bytes_max, memtable_bytes_max) = (3 * ROWS_BYTES, 3 * ROWS_BYTES);
    let options = EngineOptions { flush_bytes_max, memtable_bytes_max, ..options() };
    let engine = Engine::open_with(Arc::new(io), Path::new("/db"), options).unwrap();
    assert_eq!(engine.recovery_report().replayed_commits, 4);
    let rows = |segment: &SegmentInfo| segment.sections.iter().map(|section| section.row_count).sum::<u32>();
    assert_eq!(engine.segments().iter().map(rows).collect::<Vec<_>>(), [ROWS; 3]);
    assert_eq!(engine.stats().memtable_rows, u64::from(ROWS));
    assert_eq!(read(&engine.snapshot()).len(), 4 * ROWS as usize);
}
