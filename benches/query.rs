//! Statements over one day of a fleet of 1,000 hosts: SQL text to Arrow rows, rows in segments. And statements over two
//! hours of it, and over a quarter of an hour, once with every row in the memtable and once with the same rows flushed.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lynxstore::generate::CpuOptions;
use support::{filled_database, one_day, scratch_dir};

/// Name and text; times are within the first day of the data.
const STATEMENTS: &[(&str, &str)] = &[
    (
        "max_per_minute_of_one_host_for_one_hour",
        "SELECT time_bucket('1m', time) AS minute, max(usage_user) FROM cpu \
         WHERE hostname = 'host_7' AND time >= '2026-01-01 02:00:00' AND time < '2026-01-01 03:00:00' \
         GROUP BY minute ORDER BY minute",
    ),
    (
        "avg_per_host_and_hour_over_12_hours",
        "SELECT hostname, time_bucket('1h', time) AS hour, avg(usage_user) FROM cpu \
         WHERE time >= '2026-01-01 00:00:00' AND time < '2026-01-01 12:00:00' GROUP BY hostname, hour",
    ),
    ("avg_of_the_whole_table", "SELECT avg(usage_user) FROM cpu"),
    ("avg_by_region", "SELECT region, avg(usage_user) FROM cpu GROUP BY region"),
    ("p99_by_region", "SELECT region, approx_percentile_cont(usage_user, 0.99) FROM cpu GROUP BY region"),
    ("exact_p99_by_region", "SELECT region, percentile_cont(usage_user, 0.99) FROM cpu GROUP BY region"),
    ("distinct_values_by_region", "SELECT region, count(DISTINCT usage_user) FROM cpu GROUP BY region"),
    ("distinct_hosts_by_region", "SELECT region, count(DISTINCT hostname) FROM cpu GROUP BY region"),
    (
        "rows_above_a_level_of_one_host",
        "SELECT * FROM cpu WHERE usage_user > 90 AND hostname = 'host_7' AND time < '2026-01-01 12:00:00'",
    ),
];

fn statements(c: &mut Criterion) {
    let scratch = scratch_dir();
    let database = filled_database(scratch.path(), &one_day());
    database.flush().unwrap();

    let mut group = c.benchmark_group("query");
    for (name, sql) in STATEMENTS {
        // The number of rows and the way say whether two runs measured the same thing.
        let output = database.query(sql).unwrap();
        eprintln!("{name}: {} rows, {:?}", output.row_count(), output.route);
        group.bench_function(*name, |bencher| bencher.iter(|| black_box(database.query(sql).unwrap())));
        if let Ok(prepared) = database.prepare(sql) {
            group.bench_function(format!("{name}/prepared"), |bencher| {
                bencher.iter(|| black_box(prepared.execute(&[]).unwrap()));
            });
        }
    }
    group.finish();
}

/// Statements over the first two hours, which are few enough rows to stay in the memtable.
const RECENT: &[(&str, &str)] = &[
    (
        "max_per_minute_of_one_host_for_one_hour",
        "SELECT time_bucket('1m', time) AS minute, max(usage_user) FROM cpu \
         WHERE hostname = 'host_7' AND time < '2026-01-01 01:00:00' GROUP BY minute ORDER BY minute",
    ),
    (
        "avg_per_host_and_minute_over_half_an_hour",
        "SELECT hostname, time_bucket('1m', time) AS minute, avg(usage_user) FROM cpu \
         WHERE time >= '2026-01-01 01:00:00' AND time < '2026-01-01 01:30:00' GROUP BY hostname, minute",
    ),
    ("avg_of_the_whole_table", "SELECT avg(usage_user) FROM cpu"),
    ("avg_by_region", "SELECT region, avg(usage_user) FROM cpu GROUP BY region"),
    ("last_per_host", "SELECT hostname, last(usage_user, time) FROM cpu GROUP BY hostname"),
    ("rows_above_a_level", "SELECT * FROM cpu WHERE usage_user > 90"),
    ("avg_per_hour", "SELECT time_bucket('1h', time) AS hour, avg(usage_user) FROM cpu GROUP BY hour"),
    (
        "bounds_of_five_per_host_and_hour",
        "SELECT hostname, time_bucket('1h', time) AS hour, max(usage_user), min(usage_system), avg(usage_idle), \
         max(usage_nice), sum(usage_iowait) FROM cpu GROUP BY hostname, hour",
    ),
    (
        "last_per_host_and_hour",
        "SELECT hostname, time_bucket('1h', time) AS hour, last(usage_user, time) FROM cpu GROUP BY hostname, hour",
    ),
    (
        "increase_per_host_and_hour",
        "SELECT hostname, time_bucket('1h', time) AS hour, increase(usage_user) FROM cpu GROUP BY hostname, hour",
    ),
];

fn memtable_and_flushed(c: &mut Criterion) {
    let day = one_day();
    compare_with_flushed(c, "recent", &CpuOptions { rows_per_host: day.rows_per_host / 12, ..day.clone() });
    // Fewer rows than make a chunk, as they are shortly after a flush.
    compare_with_flushed(c, "just_now", &CpuOptions { rows_per_host: 100, ..day });
}

fn compare_with_flushed(c: &mut Criterion, group: &str, options: &CpuOptions) {
    let (in_memory, flushed) = (scratch_dir(), scratch_dir());
    let in_memory = filled_database(in_memory.path(), options);
    let flushed = filled_database(flushed.path(), options);
    flushed.flush().unwrap();
    assert_eq!(in_memory.engine().stats().memtable_rows, options.row_count());
    assert_eq!(flushed.engine().stats().memtable_rows, 0);

    let mut group = c.benchmark_group(group);
    for (name, sql) in RECENT {
        let rows = [&in_memory, &flushed].map(|database| database.query(sql).unwrap().row_count());
        assert_eq!(rows[0], rows[1], "{name}");
        eprintln!("{name}: {} rows", rows[0]);
        for (place, database) in [("memtable", &in_memory), ("flushed", &flushed)] {
            group.bench_function(format!("{name}/{place}"), |bencher| {
                bencher.iter(|| black_box(database.query(sql).unwrap()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, statements, memtable_and_flushed);
criterion_main!(benches);
