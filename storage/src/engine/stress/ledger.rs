//! What the writers write: every value follows from the writer and the number of the batch.
//!
//! One commit has rows of three tables. `ledger` has several rows per batch, of which deletes take the oldest; `expiring`
//! has one, which expires; `counter` has rows that each batch overwrites. A snapshot must show the same batches in all
//! three.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::history::{Before, History};
use crate::engine::Engine;
use crate::ingest::group_rows;
use crate::snapshot::{Snapshot, TagFilter};
use crate::types::{FieldType, SeriesBatch, TableOptions, TableSpec, TimeRange};

pub(super) const WRITERS: usize = 3;
const SLOTS: u64 = 3;

/// Time between two batches.
pub(super) const STEP_NS: i64 = 1_000;

/// A batch expires when its writer is this many batches further.
pub(super) const EXPIRES_AFTER: u64 = 50;

const TABLES: [&str; 3] = ["ledger", "expiring", "counter"];

/// A row of any of the tables.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Row {
    writer: usize,
    slot: u64,
    time_ns: i64,
    number: Option<i64>,
    /// In `counter` only every third batch says it, so that its value is older than that of `number`.
    value: Option<i64>,
}

pub(super) fn create_tables(engine: &Engine) {
    for table in TABLES {
        let retention_ns = (table == "expiring").then_some(EXPIRES_AFTER as i64 * STEP_NS);
        let options = TableOptions { partition_ns: 16 * STEP_NS, retention_ns, ..TableOptions::default() };
        let spec = TableSpec::new(table).tag("writer").tag("slot");
        let spec = spec.field("number", FieldType::I64).field("value", FieldType::I64);
        engine.create_table(&spec.options(options)).unwrap();
    }
}

/// Rows of the ledger in a batch, per slot.
fn rows_per_slot(number: u64) -> u64 {
    1 + number * 7 % 11
}

/// Rows of the ledger in a batch.
pub(super) fn ledger_rows(number: u64) -> u64 {
    SLOTS * rows_per_slot(number)
}

/// When batches of this number begin.
pub(super) fn time_of(number: u64) -> i64 {
    number as i64 * STEP_NS
}

fn ledger(writer: usize, slot: u64, number: u64) -> impl Iterator<Item = Row> {
    (0..rows_per_slot(number)).map(move |row| Row {
        writer,
        slot,
        time_ns: time_of(number) + row as i64,
        number: Some(number as i64),
        value: Some(((number * 31 + row) * 31 + slot) as i64 * 1_000_003 + writer as i64),
    })
}

fn expiring(writer: usize, number: u64) -> Row {
    let number_value = number as i64;
    Row { writer, slot: 0, time_ns: time_of(number), number: Some(number_value), value: Some(-number_value) }
}

/// What the counter holds after a batch; the batch itself says no value unless its number is a multiple of three.
fn counter(writer: usize, slot: u64, number: u64) -> Row {
    let value = Some((number - number % 3) as i64);
    Row { writer, slot, time_ns: 0, number: Some(number as i64), value }
}

/// The commit of a writer.
pub(super) fn batches(engine: &Engine, writer: usize, number: u64) -> Vec<SeriesBatch> {
    let counted = (0..SLOTS).map(|slot| {
        let row = counter(writer, slot, number);
        Row { value: row.value.filter(|_| number.is_multiple_of(3)), ..row }
    });
    let rows = [
        (0..SLOTS).flat_map(|slot| ledger(writer, slot, number)).collect::<Vec<_>>(),
        vec![expiring(writer, number)],
        counted.collect(),
    ];
    let grouped = TABLES.iter().zip(&rows).map(|(table, rows)| {
        let schema = engine.table("public", table).unwrap();
        group_rows(&schema, &record_batch(rows)).unwrap()
    });
    grouped.collect()
}

fn record_batch(rows: &[Row]) -> RecordBatch {
    let text = |of: fn(&Row) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let integer = |of: fn(&Row) -> Option<i64>| Arc::new(rows.iter().map(of).collect::<Int64Array>()) as ArrayRef;
    let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.time_ns));
    RecordBatch::try_from_iter_with_nullable([
        ("time", Arc::new(times) as ArrayRef, false),
        ("writer", text(|row| row.writer.to_string()), true),
        ("slot", text(|row| row.slot.to_string()), true),
        ("number", integer(|row| row.number), true),
        ("value", integer(|row| row.value), true),
    ])
    .unwrap()
}

/// All rows of a table that a snapshot shows, by writer, slot and time.
fn rows_of(snapshot: &Snapshot, table: &str) -> Vec<Row> {
    let table = snapshot.table("public", table).unwrap();
    let set = table.series(&TagFilter::all(), TimeRange::ALL).unwrap();
    let mut scan = set.scan(&[0, 1], TimeRange::ALL);
    let mut rows = Vec::new();
    for (series, handle) in set.iter().enumerate() {
        let tag = |position: usize| handle.tag(position).unwrap().parse::<u64>().unwrap();
        let (writer, slot) = (tag(0) as usize, tag(1));
        scan.open(series).unwrap();
        while let Some(mut block) = scan.next_block().unwrap() {
            let (numbers, values) = (block.array(0).unwrap(), block.array(1).unwrap());
            let (numbers, values) = (numbers.as_primitive::<Int64Type>(), values.as_primitive::<Int64Type>());
            let times = block.times().unwrap();
            for (row, (number, value)) in numbers.iter().zip(values).enumerate() {
                rows.push(Row { writer, slot, time_ns: times.get(row), number, value });
            }
        }
    }
    rows
}

/// Everything that a snapshot shows.
pub(super) fn contents(snapshot: &Snapshot) -> [Vec<Row>; 3] {
    TABLES.map(|table| rows_of(snapshot, table))
}

/// Checks that a snapshot shows whole batches without a gap, the same ones in each table, and those that it must. Returns
/// how many batches each writer has.
pub(super) fn check(contents: &[Vec<Row>; 3], history: &History, before: &Before) -> [u64; WRITERS] {
    let [ledger_rows, expiring_rows, counter_rows] = contents;
    std::array::from_fn(|writer| {
        let of = |rows: &[Row]| rows.iter().filter(|row| row.writer == writer).cloned().collect::<Vec<_>>();
        let counters = of(counter_rows);
        let end = counters.first().map_or(0, |row| row.number.map_or(0, |number| number as u64 + 1));
        let expected: Vec<_> = (0..SLOTS).filter(|_| end > 0).map(|slot| counter(writer, slot, end - 1)).collect();
        assert_eq!(counters, expected, "writer {writer}: the rows of the counter are not those of one batch");

        let found = of(ledger_rows);
        let first = found.iter().map(|row| (row.time_ns / STEP_NS) as u64).min().unwrap_or(end);
        let expected: Vec<_> =
            (0..SLOTS).flat_map(|slot| (first..end).flat_map(move |number| ledger(writer, slot, number))).collect();
        assert_eq!(found, expected, "writer {writer}: the ledger does not show batches {first} to {end}, each whole");

        let found = of(expiring_rows);
        let first_unexpired = found.first().map_or(end, |row| (row.time_ns / STEP_NS) as u64);
        let expected: Vec<_> = (first_unexpired..end).map(|number| expiring(writer, number)).collect();
        assert_eq!(found, expected, "writer {writer}: of those that expire, a batch in the middle is missing");
        history.check(before, writer, first, end, first_unexpired);
        end
    })
}
