//! Millions of distinct series under a small memory budget, with a kill -9 in the middle.
//!
//! A child process writes one row of each series, is killed half way, and another one opens the database under the same
//! budget and writes the rest, then merges everything to one run. Both print the most memory that they held, beside the
//! budget. Mapped files do not count.
//!
//! `LYNX_FLOOD_SERIES` (10,000,000) and `LYNX_FLOOD_BUDGET_MIB` (256) set the size; a smoke run takes 20,000 series.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

#[path = "support/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use lynxstore_storage::Error;
use lynxstore_storage::engine::{Ack, Engine, EngineOptions};
use lynxstore_storage::ingest::group_rows;
use lynxstore_storage::types::{FieldType, TableSchema, TableSpec};
use process::Peak;

const BATCH_ROWS: u64 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_smoke = !arguments.iter().any(|argument| argument == "--bench") || arguments.iter().any(|a| a == "--test");
    if let Some(place) = arguments.iter().position(|argument| argument == "child") {
        let number = |offset: usize| arguments[place + offset].parse::<u64>().unwrap();
        write_series(Path::new(&arguments[place + 1]), number(2), number(3), number(4));
        return;
    }
    let series = setting("LYNX_FLOOD_SERIES", if is_smoke { 20_000 } else { 10_000_000 });
    let budget_mib = setting("LYNX_FLOOD_BUDGET_MIB", 256);
    let base = std::env::var_os("LYNX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let scratch = tempfile::Builder::new().prefix("lynxstore-flood-").tempdir_in(base).unwrap();
    let dir = scratch.path().join("db");

    println!("{series} series, a budget of {budget_mib} MiB");
    let mut first = spawn(&dir, 0, series, budget_mib);
    let written = follow(&mut first, |written| written >= series / 2);
    first.kill().unwrap();
    first.wait().unwrap();
    println!("killed after {written} series");
    let mut second = spawn(&dir, written, series, budget_mib);
    follow(&mut second, |_| false);
    assert!(second.wait().unwrap().success());
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn spawn(dir: &Path, from: u64, to: u64, budget_mib: u64) -> Child {
    let numbers = [from, to, budget_mib].map(|number| number.to_string());
    Command::new(std::env::current_exe().unwrap())
        .arg("child")
        .arg(dir)
        .args(numbers)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Prints what the child says until it ends or `is_enough`; returns how far it came.
fn follow(child: &mut Child, is_enough: impl Fn(u64) -> bool) -> u64 {
    let mut written = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix("written ") {
            Some(number) => written = number.parse().unwrap(),
            None => println!("{line}"),
        }
        if is_enough(written) {
            break;
        }
    }
    written
}

fn write_series(dir: &Path, from: u64, to: u64, budget_mib: u64) {
    let begin = Instant::now();
    let peak = Peak::watch();
    let options =
        EngineOptions { write_deadline: Duration::from_secs(5), ..EngineOptions::with_memory_budget(budget_mib << 20) };
    let engine = Engine::open(dir, options).unwrap();
    let report = engine.recovery_report();
    let opened = begin.elapsed();
    println!(
        "opened in {} ms, {} rows replayed, {} MiB at most so far",
        opened.as_millis(),
        report.replayed_rows,
        peak.mib()
    );
    let spec = TableSpec::new("flood").tag("host").tag("metric").field("value", FieldType::F64);
    let schema = engine.ensure_tables(&[spec]).unwrap().remove(0);
    let mut refused = 0;
    for start in (from..to).step_by(BATCH_ROWS as usize) {
        let batch = batch_of(&schema, start, to.min(start + BATCH_ROWS));
        while let Err(error) = engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Durable) {
            assert!(matches!(error, Error::Backpressure { .. }), "{error}");
            refused += 1;
        }
        println!("written {}", to.min(start + BATCH_ROWS));
        // A pipe that nobody reads any more is the end of this process, not an error of it.
        let _ = std::io::stdout().flush();
    }
    engine.flush().unwrap();
    let rows = engine.snapshot().table("public", "flood").unwrap().row_count_estimate();
    let stats = engine.stats();
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{rows} rows in {} segments after {seconds:.1} s ({:.0} series/s), {refused} writes refused, {} compactions, \
         {} MiB of memory at most",
        stats.segments,
        (to - from) as f64 / seconds,
        stats.compactions,
        peak.mib()
    );
    let begin = Instant::now();
    engine.compact().unwrap();
    let segments = engine.segments();
    let runs: BTreeSet<u64> = segments.iter().map(|segment| segment.commit_order).collect();
    println!(
        "merged to {} segments of {} runs in {:.1} s, {} MiB of memory at most",
        segments.len(),
        runs.len(),
        begin.elapsed().as_secs_f64(),
        peak.mib()
    );
    engine.close().unwrap();
}

fn batch_of(schema: &TableSchema, start: u64, end: u64) -> RecordBatch {
    // Numbers in an order that is not that of their names, as new series come.
    let scattered = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8;
    let times = TimestampNanosecondArray::from_iter_values((start..end).map(|number| number as i64 * 1_000_000));
    let hosts = StringArray::from_iter_values((start..end).map(|number| format!("host-{:014x}", scattered(number))));
    let metrics = StringArray::from_iter_values((start..end).map(|number| format!("metric_{}", number % 100)));
    let values = Float64Array::from_iter_values((start..end).map(|number| number as f64 / 4.0));
    let columns: [ArrayRef; 4] = [Arc::new(times), Arc::new(hosts), Arc::new(metrics), Arc::new(values)];
    let names = std::iter::once(schema.time.name.as_str()).chain(["host", "metric", "value"]);
    RecordBatch::try_from_iter(names.zip(columns)).unwrap()
}
