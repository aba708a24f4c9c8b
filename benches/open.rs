//! Opening a database: closed cleanly, with many partitions of many series, and with a log to replay.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lynxstore::generate::CpuOptions;
use lynxstore::{Ack, Database};
use support::{filled_database, is_smoke_run, one_day, scratch_dir, table_spec};

fn open(c: &mut Criterion) {
    let scratch = scratch_dir();
    let day = one_day();
    let mut group = c.benchmark_group("open");
    group.sample_size(10);

    let dir = scratch.path().join("closed");
    filled_database(&dir, &day).close().unwrap();
    group.bench_function("closed_cleanly", |bencher| {
        bencher.iter_batched(|| (), |()| black_box(Database::open(&dir).unwrap()), BatchSize::PerIteration);
    });

    let dir = scratch.path().join("partitions");
    let segments = partitioned_database(&dir);
    eprintln!("{segments} segments");
    group.bench_function("partitions", |bencher| {
        bencher.iter_batched(|| (), |()| black_box(Database::open(&dir).unwrap()), BatchSize::PerIteration);
    });

    // A tenth of the rows, none of them flushed. Copies of the open database are what a killed process leaves.
    let dir = scratch.path().join("open");
    let tenth = CpuOptions { rows_per_host: day.rows_per_host / 10, ..day };
    let database = filled_database(&dir, &tenth);
    let killed = scratch.path().join("killed");
    group.bench_function("with_a_log_to_replay", |bencher| {
        bencher.iter_batched(
            || copy_database(&dir, &killed),
            |()| black_box(Database::open(&killed).unwrap()),
            BatchSize::PerIteration,
        );
    });
    drop(database);
    group.finish();
}

/// A hundred days of hourly rows of 1,000 hosts, each day a partition with a segment of its own. Returns the number of
/// segments.
fn partitioned_database(dir: &Path) -> u64 {
    let (days, hosts) = if is_smoke_run() { (3, 10) } else { (100, 1_000) };
    let database = Database::open(dir).unwrap();
    database.create_table(&table_spec()).unwrap();
    let hour_ns = 3_600_000_000_000;
    let options = CpuOptions { hosts, rows_per_host: days * 24, interval_ns: hour_ns, ..CpuOptions::default() };
    let rows_per_day = hosts as usize * 24;
    let mut rows = 0;
    for batch in options.batches() {
        let mut start = 0;
        while start < batch.num_rows() {
            let len = (rows_per_day - rows % rows_per_day).min(batch.num_rows() - start);
            database.write_with("cpu", &batch.slice(start, len), Ack::Volatile).unwrap();
            (rows, start) = (rows + len, start + len);
            if rows.is_multiple_of(rows_per_day) {
                database.flush().unwrap();
            }
        }
    }
    let segments = database.engine().stats().segments;
    database.close().unwrap();
    segments
}

/// Replaces `to` by a copy of the files of `from`.
fn copy_database(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    for folder in ["", "wal", "segments"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
}

criterion_group!(benches, open);
criterion_main!(benches);
