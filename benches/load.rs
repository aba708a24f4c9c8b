//! Whole loads: 100 M values through each front of the library, with the CPU time, the memory and the disk that they took.
//!
//! Each load runs in a process of its own, under a memory budget of 512 MiB (`LYNX_LOAD_BUDGET_MIB`), in commits of
//! 10,000 rows of 10 fields, Durable, and ends with every row in segments. Making the rows counts for nothing: it is
//! measured by itself before, and taken off. CPU time is that of all threads, so values per CPU-second are values per
//! second and core. `LYNX_LOADS` names the loads to run, with
//! commas between, all by default.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, AsArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use lynxstore::generate::{CPU_FIELDS, CPU_TAGS, CpuOptions, RowOrder, ValueKind};
use lynxstore::{Appender, Database, FieldType, Options, TableSpec};
use support::process::{Peak, anonymous_kib, cpu_seconds};
use support::{is_smoke_run, scratch_dir, table_spec_of};

/// Rows of a commit.
const BATCH_ROWS: usize = 10_000;
const FIELDS: usize = CPU_FIELDS.len();

/// Rows of the most late ones, in intervals: an hour.
const LATE_STEPS: u64 = 360;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Record batches in the order of time: ten rows of each of a thousand series in a commit.
    InOrder,
    /// The same with one row in twenty up to an hour late.
    FivePercentLate,
    /// Record batches of one series after the other.
    BySeries,
    /// Rows in the order of time through the appender, ten tags and ten fields set by name.
    Appender,
    /// The same with one tag.
    AppenderOneTag,
    /// Record batches in the order of time with floats of two decimals: 8.64 M rows.
    TwoDecimals,
}

const LOADS: [Load; 6] =
    [Load::InOrder, Load::FivePercentLate, Load::BySeries, Load::Appender, Load::AppenderOneTag, Load::TwoDecimals];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let chosen = |name: &str| LOADS.into_iter().find(|load| format!("{load:?}") == name);
    if let Some(place) = arguments.iter().position(|argument| argument == "child") {
        run(chosen(&arguments[place + 1]).unwrap());
        return;
    }
    println!("load: rows/s, values per CPU-second, MiB of memory above that of the rows to come, MB on disk");
    let wanted = std::env::var("LYNX_LOADS").unwrap_or_default();
    let is_wanted = |load: &Load| wanted.is_empty() || wanted.split(',').any(|name| name == format!("{load:?}"));
    for load in LOADS.into_iter().filter(is_wanted) {
        let mode = if is_smoke_run() { "--test" } else { "--bench" };
        let child = Command::new(std::env::current_exe().unwrap()).args([mode, "child", &format!("{load:?}")]).status();
        assert!(child.unwrap().success(), "{load:?} failed");
    }
}

fn run(load: Load) {
    let rows_per_host = match (is_smoke_run(), load) {
        (true, _) => 20,
        (false, Load::TwoDecimals) => 8_640,
        (false, _) => 10_000,
    };
    let rows = Rows::make(load, rows_per_host);
    let order = rows.order_of_arrival(load);
    let making = cpu_seconds();
    if !is_appended(load) {
        order.chunks(BATCH_ROWS).for_each(|ids| drop(rows.batch(ids)));
    }
    let making = cpu_seconds() - making;

    let scratch = scratch_dir();
    let budget_mib = std::env::var("LYNX_LOAD_BUDGET_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(512);
    let (kib_before, peak) = (anonymous_kib(), Peak::watch());
    let (begin, cpu_before) = (Instant::now(), cpu_seconds());
    let database =
        Database::open_with(scratch.path(), Options::default().memory_budget_bytes(budget_mib << 20)).unwrap();
    database.create_table(&rows.spec(load)).unwrap();
    if is_appended(load) {
        let mut appender = database.appender("cpu").unwrap();
        for ids in order.chunks(BATCH_ROWS) {
            rows.append(load, ids, &mut appender);
            appender.flush().unwrap();
        }
    } else {
        for ids in order.chunks(BATCH_ROWS) {
            database.write("cpu", &rows.batch(ids)).unwrap();
        }
    }
    database.flush().unwrap();
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu_before - making);
    let stats = database.engine().stats();
    let written =
        database.query("SELECT count(*) FROM cpu").unwrap().batches[0].column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(written as usize, order.len(), "every row is there once");
    println!(
        "{load:?}: {:.2} M rows/s, {:.1} M values per CPU-second ({cpu:.2} s, {making:.2} s of making taken off), {} MiB, \
         {:.1} MB in {} segments; {} commits, {} syncs, {} flushes",
        order.len() as f64 / (seconds - making) / 1e6,
        (order.len() * FIELDS) as f64 / cpu / 1e6,
        peak.mib().saturating_sub(kib_before / 1024),
        stats.segment_bytes as f64 / 1e6,
        stats.segments,
        stats.commits,
        stats.wal_syncs,
        stats.flushes,
    );
    database.close().unwrap();
}

fn is_appended(load: Load) -> bool {
    matches!(load, Load::Appender | Load::AppenderOneTag)
}

/// A number that looks random, the same on every run.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 29
}

/// The rows to come, in two bytes a value so that they are few beside what is measured. A row is known by its place.
struct Rows {
    options: CpuOptions,
    /// In hundredths.
    gauges: [Vec<u16>; FIELDS],
    /// Per tag the code of each host, and the values.
    tags: Vec<(Vec<i32>, StringArray)>,
}

impl Rows {
    fn make(load: Load, rows_per_host: u32) -> Self {
        let order = if load == Load::BySeries { RowOrder::Host } else { RowOrder::Time };
        let values = if load == Load::TwoDecimals { ValueKind::TwoDecimals } else { ValueKind::Integer };
        let options = CpuOptions { rows_per_host, order, values, ..CpuOptions::default() };
        let mut gauges: [Vec<u16>; FIELDS] = Default::default();
        for batch in options.batches() {
            for (gauge, column) in gauges.iter_mut().zip(&batch.columns()[1 + CPU_TAGS.len()..]) {
                match values {
                    ValueKind::Integer => {
                        gauge.extend(
                            column.as_primitive::<Int64Type>().values().iter().map(|value| *value as u16 * 100),
                        );
                    }
                    ValueKind::TwoDecimals => {
                        let hundredths = |value: &f64| (value * 100.0).round() as u16;
                        gauge.extend(column.as_primitive::<Float64Type>().values().iter().map(hundredths));
                    }
                }
            }
        }
        // The first row of each host, of the same data set, says its tags.
        let first = CpuOptions { rows_per_host: 1, ..options.clone() }.batches().next().unwrap();
        let tags = first.columns()[1..=CPU_TAGS.len()].iter().map(|tag| {
            let tag = tag.as_dictionary::<Int32Type>();
            (tag.keys().values().to_vec(), tag.values().as_string::<i32>().clone())
        });
        Self { tags: tags.collect(), options, gauges }
    }

    fn spec(&self, load: Load) -> TableSpec {
        let gauge = if self.options.values == ValueKind::Integer { FieldType::I64 } else { FieldType::F64 };
        if load == Load::AppenderOneTag {
            let spec = TableSpec::new("cpu").tag(CPU_TAGS[0]);
            return CPU_FIELDS.iter().fold(spec, |spec, field| spec.field(*field, gauge));
        }
        table_spec_of(gauge)
    }

    fn order_of_arrival(&self, load: Load) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..self.options.row_count() as u32).collect();
        if load == Load::FivePercentLate {
            let hosts = u64::from(self.options.hosts);
            ids.sort_by_cached_key(|&id| {
                let (step, random) = (u64::from(id) / hosts, scatter(id.into()));
                (step + if random.is_multiple_of(20) { (random >> 8) % LATE_STEPS } else { 0 }) as u32
            });
        }
        ids
    }

    /// Time and host.
    fn place(&self, id: u32) -> (i64, usize) {
        let CpuOptions { hosts, rows_per_host, start_ns, interval_ns, order, .. } = self.options;
        let (step, host) = match order {
            RowOrder::Time => (id / hosts, id % hosts),
            RowOrder::Host => (id % rows_per_host, id / rows_per_host),
        };
        (start_ns + i64::from(step) * interval_ns, host as usize)
    }

    fn batch(&self, ids: &[u32]) -> RecordBatch {
        let places: Vec<(i64, usize)> = ids.iter().map(|&id| self.place(id)).collect();
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(TimestampNanosecondArray::from_iter_values(places.iter().map(|place| place.0)))];
        for (codes, values) in &self.tags {
            let keys = Int32Array::from_iter_values(places.iter().map(|place| codes[place.1]));
            columns.push(Arc::new(DictionaryArray::new(keys, Arc::new(values.clone()))));
        }
        for gauge in &self.gauges {
            let hundredths = ids.iter().map(|&id| gauge[id as usize]);
            columns.push(match self.options.values {
                ValueKind::Integer => {
                    Arc::new(Int64Array::from_iter_values(hundredths.map(|value| i64::from(value / 100))))
                }
                ValueKind::TwoDecimals => {
                    Arc::new(Float64Array::from_iter_values(hundredths.map(|value| f64::from(value) / 100.0)))
                }
            });
        }
        RecordBatch::try_new(self.options.schema(), columns).unwrap()
    }

    fn append(&self, load: Load, ids: &[u32], appender: &mut Appender) {
        let tag_count = if load == Load::AppenderOneTag { 1 } else { CPU_TAGS.len() };
        for &id in ids {
            let (time, host) = self.place(id);
            let mut row = appender.row(time).unwrap();
            for (name, (codes, values)) in CPU_TAGS[..tag_count].iter().zip(&self.tags) {
                row = row.tag(name, values.value(codes[host] as usize)).unwrap();
            }
            for (name, gauge) in CPU_FIELDS.iter().zip(&self.gauges) {
                row = row.field(name, i64::from(gauge[id as usize] / 100)).unwrap();
            }
        }
    }
}
