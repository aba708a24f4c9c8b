//! Durable ingest of record batches, and import of a CSV and of a Parquet file.
//!
//! Values per second count field values, as the figures of other engines do; rows per second count rows.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lynxstore::generate::{CPU_FIELDS, CpuOptions};
use lynxstore::{Ack, Database};
use parquet::arrow::ArrowWriter;
use support::{is_smoke_run, scratch_dir, table_spec};

/// Rows of ten fields in one batch, as the goal of the project says.
const BATCH_ROWS: usize = 10_000;

fn record_batches(c: &mut Criterion) {
    let scratch = scratch_dir();
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements((BATCH_ROWS * CPU_FIELDS.len()) as u64));
    for ack in [Ack::Durable, Ack::Logged, Ack::Volatile] {
        let database = Database::open(scratch.path().join(format!("{ack:?}"))).unwrap();
        database.create_table(&table_spec()).unwrap();
        let mut batches = batches_without_end();
        group.bench_function(format!("record_batch_{ack:?}"), |bencher| {
            bencher.iter_batched(
                || batches.next().expect("there is always another batch"),
                |batch| database.write_with("cpu", &batch, ack).unwrap(),
                BatchSize::LargeInput,
            );
        });
        database.close().unwrap();
    }
    group.finish();
}

/// Ten rows of each of 1,000 hosts, then the next ten. The same day again when it is over: a benchmark that long
/// overwrites its own rows.
fn batches_without_end() -> impl Iterator<Item = RecordBatch> {
    let day = CpuOptions::default();
    std::iter::repeat_with(move || day.batches()).flatten().flat_map(|batch| {
        let whole = batch.num_rows() / BATCH_ROWS;
        (0..whole).map(move |part| batch.slice(part * BATCH_ROWS, BATCH_ROWS))
    })
}

fn import(c: &mut Criterion) {
    let scratch = scratch_dir();
    let rows_per_host = if is_smoke_run() { 5 } else { 1_000 };
    let options = CpuOptions { rows_per_host, ..CpuOptions::default() };
    let files = write_files(scratch.path(), &options);
    let mut group = c.benchmark_group("import");
    group.sample_size(10);
    group.throughput(Throughput::Elements(options.row_count()));
    for file in &files {
        let format = file.extension().and_then(|extension| extension.to_str()).expect("the files have extensions");
        let mut round = 0;
        group.bench_function(format, |bencher| {
            bencher.iter_batched(
                || {
                    round += 1;
                    let database = Database::open(scratch.path().join(format!("{format}-{round}"))).unwrap();
                    database.create_table(&table_spec()).unwrap();
                    database
                },
                |database| {
                    let output = database.query(&format!("COPY cpu FROM '{}'", file.display())).unwrap();
                    assert_eq!(output.rows_affected, Some(options.row_count()));
                    // Durable at the end, in segments.
                    database.close().unwrap();
                    black_box(output)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// The same rows as a CSV and as a Parquet file.
fn write_files(dir: &Path, options: &CpuOptions) -> [PathBuf; 2] {
    let (csv, parquet) = (dir.join("cpu.csv"), dir.join("cpu.parquet"));
    let mut csv_writer = arrow::csv::WriterBuilder::new().with_header(true).build(File::create(&csv).unwrap());
    let mut parquet_writer = ArrowWriter::try_new(File::create(&parquet).unwrap(), options.schema(), None).unwrap();
    for batch in options.batches() {
        csv_writer.write(&batch).unwrap();
        parquet_writer.write(&batch).unwrap();
    }
    parquet_writer.close().unwrap();
    [csv, parquet]
}

criterion_group!(benches, record_batches, import);
criterion_main!(benches);
