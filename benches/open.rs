//! Opening a database: closed cleanly, and with a log to replay.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lynxstore::Database;
use lynxstore::generate::CpuOptions;
use support::{filled_database, one_day, scratch_dir};

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
