//! What compaction costs: bytes written per byte flushed, for rows in order, with 5 % late ones, and fully shuffled.
//!
//! Rows of 100 hosts go through a memtable of a megabyte into one partition, so that there are many flushes; background
//! work runs after each batch. A smoke run takes a hundredth of the rows.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use lynxstore_storage::engine::{Ack, Background, Engine, EngineOptions};
use lynxstore_storage::ingest::group_rows;
use lynxstore_storage::types::{FieldType, TableSpec};

const HOSTS: u64 = 100;
const STEP_NS: i64 = 1_000_000_000;
const BATCH_ROWS: usize = 10_000;

#[derive(Debug, Clone, Copy)]
enum Arrival {
    InOrder,
    FivePercentLate,
    Shuffled,
}

fn main() {
    let is_smoke = !std::env::args().any(|argument| argument == "--bench");
    let rows_per_host = if is_smoke { 800 } else { 80_000 };
    println!(
        "arrival, flushes, compactions, bytes written per byte flushed, then after one more full compaction, rows/s"
    );
    for arrival in [Arrival::InOrder, Arrival::FivePercentLate, Arrival::Shuffled] {
        run(arrival, rows_per_host);
    }
}

/// A number that looks random, the same on every run.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 29
}

/// Host and row of each arriving row.
fn order_of(arrival: Arrival, rows_per_host: u64) -> Vec<(u64, u64)> {
    let mut rows: Vec<(u64, u64)> =
        (0..rows_per_host).flat_map(|row| (0..HOSTS).map(move |host| (host, row))).collect();
    match arrival {
        Arrival::InOrder => {}
        Arrival::FivePercentLate => rows.sort_by_key(|&(host, row)| {
            let random = scatter(row * HOSTS + host);
            // Up to an hour late.
            row + if random.is_multiple_of(20) { (random >> 8) % 3_600 } else { 0 }
        }),
        Arrival::Shuffled => rows.sort_by_key(|&(host, row)| scatter(row * HOSTS + host)),
    }
    rows
}

fn run(arrival: Arrival, rows_per_host: u64) {
    let base = std::env::var_os("LYNX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let scratch = tempfile::Builder::new().prefix("lynxstore-compaction-").tempdir_in(base).unwrap();
    let options = EngineOptions {
        background: Background::Caller,
        flush_bytes_max: 1 << 20,
        ..EngineOptions::with_memory_budget(256 << 20)
    };
    let engine = Engine::open(scratch.path(), options).unwrap();
    let spec = TableSpec::new("t").tag("host").field("a", FieldType::I64).field("b", FieldType::I64);
    let schema = engine.create_table(&spec).unwrap();
    let rows = order_of(arrival, rows_per_host);
    let begin = Instant::now();
    for part in rows.chunks(BATCH_ROWS) {
        let times = part.iter().map(|(_, row)| *row as i64 * STEP_NS);
        let value = |salt: u64| part.iter().map(move |(host, row)| (scatter(row ^ host << 40 ^ salt) % 100) as i64);
        let columns: [(&str, ArrayRef); 4] = [
            ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times))),
            ("host", Arc::new(StringArray::from_iter_values(part.iter().map(|(host, _)| format!("host_{host:03}"))))),
            ("a", Arc::new(Int64Array::from_iter_values(value(1)))),
            ("b", Arc::new(Int64Array::from_iter_values(value(2)))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
        engine.maintain().unwrap();
    }
    engine.flush().unwrap();
    engine.maintain().unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    let stats = engine.stats();
    let amplification = |compacted: u64| (stats.flushed_bytes + compacted) as f64 / stats.flushed_bytes as f64;
    engine.compact().unwrap();
    let whole = engine.stats();
    println!(
        "{arrival:?}, {}, {}, {:.2}, {:.2}, {:.0}",
        stats.flushes,
        stats.compactions,
        amplification(stats.compacted_bytes),
        amplification(whole.compacted_bytes),
        rows.len() as f64 / seconds
    );
    engine.close().unwrap();
}
