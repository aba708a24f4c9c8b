//! Opening a database: closed cleanly, with many partitions of many series, with a log to replay, and with as long a log as
//! a budget of 512 MiB leaves unflushed.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use lynxstore::generate::CpuOptions;
use lynxstore::{Ack, Database, Options};
use support::process::{Peak, anonymous_kib};
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

/// Names the database that a child opens.
const KILLED_DIR: &str = "LYNX_OPEN_KILLED_DIR";

/// Opens a database and says what memory that took at most.
fn report_memory(dir: &Path) {
    let (before_kib, peak) = (anonymous_kib(), Peak::watch());
    let opened = Database::open_with(dir, Options::default().memory_budget_bytes(BUDGET_BYTES)).unwrap();
    let peak_mib = peak.mib().max(anonymous_kib() / 1024).saturating_sub(before_kib / 1024);
    eprintln!("the open replays {} rows in {peak_mib} MiB", opened.engine().recovery_report().replayed_rows);
}

/// The memory budget of a database whose log is replayed.
const BUDGET_BYTES: u64 = 512 << 20;

/// What a process that is killed leaves at most: rows, none of them flushed, up to where the memtable or the log would be
/// flushed. In commits of 10,000 rows, ten of each of 1,000 hosts, and in commits of ten rows.
fn full_log(c: &mut Criterion) {
    let scratch = scratch_dir();
    let mut group = c.benchmark_group("open_with_a_full_log");
    group.sample_size(10);
    let options = || Options::default().memory_budget_bytes(BUDGET_BYTES);
    for (name, commit_rows) in [("commits_of_10000_rows", 10_000), ("commits_of_10_rows", 10)] {
        let (dir, killed, copy) =
            (scratch.path().join(name), scratch.path().join("killed"), scratch.path().join("copy"));
        let database = Database::open_with(&dir, options()).unwrap();
        database.create_table(&table_spec()).unwrap();
        let rows = fill_log(&database, commit_rows);
        let stats = database.engine().stats();
        assert_eq!((stats.flushes, stats.memtable_rows), (0, rows), "nothing is flushed");
        copy_database(&dir, &killed);
        drop(database);

        copy_database(&killed, &copy);
        eprintln!(
            "{name}: {rows} rows, a log of {:.1} MB, {:.1} MB in memory",
            stats.wal_bytes as f64 / 1e6,
            stats.memtable_bytes as f64 / 1e6
        );
        // In a process that holds nothing yet.
        let child = Command::new(std::env::current_exe().unwrap()).env(KILLED_DIR, &copy).status().unwrap();
        assert!(child.success());
        group.throughput(Throughput::Bytes(stats.wal_bytes));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || copy_database(&killed, &copy),
                |()| black_box(Database::open_with(&copy, options()).unwrap()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Writes rows until one more commit could begin a flush. Returns their number.
fn fill_log(database: &Database, commit_rows: usize) -> u64 {
    let (flush_bytes, log_bytes) = match is_smoke_run() {
        true => (1 << 20, 1 << 20),
        // What `EngineOptions::with_memory_budget` makes of the budget, less a twentieth.
        false => (BUDGET_BYTES / 8 / 20 * 19, (128 << 20) / 20 * 19),
    };
    let mut rows = 0;
    let options = CpuOptions { rows_per_host: u32::MAX, ..CpuOptions::default() };
    for batch in options.batches() {
        let mut start = 0;
        while start < batch.num_rows() {
            let stats = database.engine().stats();
            if stats.memtable_bytes >= flush_bytes || stats.wal_bytes >= log_bytes {
                return rows;
            }
            let len = commit_rows.min(batch.num_rows() - start);
            database.write_with("cpu", &batch.slice(start, len), Ack::Logged).unwrap();
            (rows, start) = (rows + len as u64, start + len);
        }
    }
    rows
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

criterion_group!(benches, open, full_log);

fn main() {
    match std::env::var_os(KILLED_DIR) {
        Some(dir) => report_memory(Path::new(&dir)),
        None => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
