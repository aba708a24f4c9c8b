//! Statements over one day of a fleet of 1,000 hosts: SQL text to Arrow rows, rows in segments.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
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

criterion_group!(benches, statements);
criterion_main!(benches);
