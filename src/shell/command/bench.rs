//! `tsq bench`: times statements inside this process, from SQL text to Arrow rows.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};

use super::bench_lines;
use crate::shell::cli::BenchArgs;
use crate::shell::error::{CommandError, Result};
use crate::shell::output::{Format, Rows, TableStyle};
use crate::shell::script::Script;
use crate::shell::terminal;
use crate::{Database, Options, RollupMode};

/// What was measured of one statement.
struct Measurement {
    name: String,
    median: Duration,
    min: Duration,
    rows: u64,
}

/// Measures each statement of the file.
pub(super) fn run(args: &BenchArgs) -> Result<()> {
    if !args.directory.is_dir() {
        return Err(CommandError::input(format!(
            "{} is no database: there is no such directory",
            args.directory.display()
        )));
    }
    let rollups = if args.no_rollups { RollupMode::Off } else { RollupMode::On };
    let database = Database::open_with(&args.directory, Options::default().rollups(rollups))?;
    let Some(file) = &args.file else {
        bench_lines::answer_all(&database, io::stdin().lock(), io::stdout().lock())?;
        return Ok(database.close()?);
    };
    let text = std::fs::read_to_string(file).map_err(|error| CommandError::io("read", file, error))?;
    let measurements = measure_all(&database, file, &text, args)?;
    database.close()?;
    let mut out = io::stdout().lock();
    let printed = if args.json { print_json(&measurements, &mut out) } else { print_table(&measurements, &mut out) };
    printed.and_then(|()| out.flush()).map_err(CommandError::Output)
}

fn measure_all(database: &Database, file: &Path, text: &str, args: &BenchArgs) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for (index, command) in Script::new(text).enumerate() {
        let place = || format!("{}:{}", file.display(), command.line);
        if command.is_dot() {
            return Err(CommandError::input("dot commands cannot be timed: statements only").at(place()));
        }
        let name = command.name().map_or_else(|| format!("q{}", index + 1), str::to_owned);
        measurements.push(measure(database, name, command.text, args).map_err(|error| error.at(place()))?);
    }
    Ok(measurements)
}

fn measure(database: &Database, name: String, sql: &str, args: &BenchArgs) -> Result<Measurement> {
    let prepared = if args.prepared { Some(database.prepare(sql)?) } else { None };
    let run = || match &prepared {
        Some(prepared) => prepared.execute(&[]).map_err(crate::Error::from),
        None => database.query(sql),
    };
    let rows = run()?.row_count() as u64;
    let mut times = Vec::with_capacity(args.runs as usize);
    for _ in 0..args.runs {
        let start = Instant::now();
        let output = run()?;
        times.push(start.elapsed());
        drop(output);
    }
    times.sort();
    Ok(Measurement { name, median: median(&times), min: times[0], rows })
}

/// The middle of sorted times, which are not empty; between the two in the middle when their number is even.
fn median(sorted: &[Duration]) -> Duration {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2 } else { sorted[middle] }
}

/// Milliseconds with all digits that the clock gave.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// One object per line, keys in the documented order.
fn print_json(measurements: &[Measurement], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "[")?;
    for (index, measurement) in measurements.iter().enumerate() {
        let Measurement { name, median, min, rows } = measurement;
        let name = serde_json::Value::from(name.as_str());
        let (median_ms, min_ms) = (milliseconds(*median), milliseconds(*min));
        let comma = if index + 1 < measurements.len() { "," } else { "" };
        let times = format!("\"median_ms\": {median_ms}, \"min_ms\": {min_ms}");
        writeln!(out, "  {{\"name\": {name}, {times}, \"rows\": {rows}}}{comma}")?;
    }
    writeln!(out, "]")
}

fn print_table(measurements: &[Measurement], out: &mut dyn Write) -> io::Result<()> {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(measurements.iter().map(|m| &m.name)));
    // Fixed decimals align; three of them are microseconds.
    let time = |duration: Duration| format!("{:.3}", milliseconds(duration));
    let medians: ArrayRef = Arc::new(StringArray::from_iter_values(measurements.iter().map(|m| time(m.median))));
    let minima: ArrayRef = Arc::new(StringArray::from_iter_values(measurements.iter().map(|m| time(m.min))));
    let rows: ArrayRef = Arc::new(UInt64Array::from_iter_values(measurements.iter().map(|m| m.rows)));
    let batch =
        RecordBatch::try_from_iter([("name", names), ("median_ms", medians), ("min_ms", minima), ("rows", rows)])
            .expect("every column has one value per measurement");
    let style = TableStyle { rows_max: None, width_max: None, types: false, color: terminal::stdout_has_color() };
    let rows = Rows { schema: &batch.schema(), batches: std::slice::from_ref(&batch) };
    rows.print(Format::Table, &style, out).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let times = |values: &[u64]| values.iter().map(|ns| Duration::from_nanos(*ns)).collect::<Vec<_>>();
        assert_eq!(median(&times(&[7])), Duration::from_nanos(7));
        assert_eq!(median(&times(&[1, 2, 9])), Duration::from_nanos(2));
        assert_eq!(median(&times(&[1, 2, 4, 9])), Duration::from_nanos(3));
    }

    #[test]
    fn json_has_exactly_the_documented_keys() {
        let measurement = Measurement {
            name: "a \"b\"".into(),
            median: Duration::from_nanos(1_234_567),
            min: Duration::from_nanos(999),
            rows: 60,
        };
        let mut out = Vec::new();
        print_json(&[measurement], &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{"name": "a \"b\"", "median_ms": 1.234567, "min_ms": 0.000999, "rows": 60}])
        );
    }
}
