//! InfluxDB line protocol: a body parsed, and a body written durably.
//!
//! Values per second count field values, numbers included. The parser alone runs on one core.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lynxstore::Database;
use lynxstore::generate::{CPU_FIELDS, CpuOptions};
use lynxstore::ingest::line_protocol::{LineOptions, LineParser, write};
use lynxstore::ingest::rows::{RowLimits, RowWriter};
use support::scratch_dir;

/// Lines of a body, as Telegraf batches them.
const LINES: usize = 5_000;

/// Lines of the `cpu` table: ten tags and ten fields each, of 1,000 hosts.
fn body(decimals: usize) -> String {
    let batch = CpuOptions::default().batches().next().unwrap();
    let schema = batch.schema();
    let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).zip(batch.columns()).collect();
    let cell =
        |column: &arrow::array::ArrayRef, row: usize| arrow::util::display::array_value_to_string(column, row).unwrap();
    let mut text = String::new();
    for row in 0..LINES.min(batch.num_rows()) {
        text.push_str("cpu");
        let is_field = |name: &str| CPU_FIELDS.contains(&name);
        for (name, column) in columns.iter().filter(|(name, _)| !is_field(name) && *name != "time") {
            write!(text, ",{name}={}", cell(column, row)).unwrap();
        }
        for (index, (name, column)) in columns.iter().filter(|(name, _)| is_field(name)).enumerate() {
            let value: f64 = cell(column, row).parse().unwrap();
            let separator = if index == 0 { ' ' } else { ',' };
            // Other digits in every row and column.
            let value = value + (row * 7 + index * 13) as f64 / 10_007.0;
            write!(text, "{separator}{name}={value:.decimals$}").unwrap();
        }
        writeln!(text, " {}", 1_767_225_600_000_000_000_i64 + row as i64 * 1_000).unwrap();
    }
    text
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("line_protocol");
    for decimals in [2, 17] {
        let text = body(decimals);
        let values = text.lines().count() * CPU_FIELDS.len();
        group.throughput(Throughput::Elements(values as u64));
        group.bench_function(format!("parse_{decimals}_decimals"), |bencher| {
            bencher.iter(|| {
                let mut parser = LineParser::new(black_box(&text), 1);
                let mut count = 0;
                while let Some(line) = parser.next_line() {
                    black_box(line.unwrap());
                    count += black_box(parser.fields()).len();
                }
                assert_eq!(count, values);
            });
        });
    }
    group.finish();
}

fn write_durably(c: &mut Criterion) {
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    let writer = RowWriter::new(Arc::clone(database.engine()), "public", RowLimits::default(), 64 << 20);
    let text = body(2);
    let values = text.lines().count() * CPU_FIELDS.len();
    let mut group = c.benchmark_group("line_protocol");
    group.throughput(Throughput::Elements(values as u64));
    group.bench_function("write_durable", |bencher| {
        bencher.iter(|| {
            let outcome = write(&writer, black_box(text.as_bytes()), &LineOptions::default(), 0).unwrap();
            assert!(outcome.rejected.is_empty());
        });
    });
    group.finish();
    database.close().unwrap();
}

criterion_group!(benches, parse, write_durably);
criterion_main!(benches);
