//! A small database for the tests of this module.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::util::pretty::pretty_format_batches;
use lynxstore_storage::engine::{Ack, Engine, EngineOptions};
use lynxstore_storage::ingest::group_rows;
use lynxstore_storage::types::{FieldType, TableSpec};
use tempfile::TempDir;

use super::run::{Rows, RunOptions, SqlInput, explain, run};
use crate::cancellation::Cancellation;
use crate::error::Error;
use crate::options::QueryOptions;

/// 2026-01-01T00:00:00Z.
pub(super) const START_NS: i64 = 1_767_225_600_000_000_000;
pub(super) const MINUTE_NS: i64 = 60_000_000_000;
pub(super) const HOSTS: usize = 4;
pub(super) const ROWS_PER_HOST: usize = 3_000;

pub(super) struct Fixture {
    pub(super) dir: TempDir,
    pub(super) engine: Arc<Engine>,
    pub(super) options: RunOptions,
}

/// A table `cpu` (host, region; usage i64, load f64, total u64, note text): host_0 to host_3, one row a minute. The
/// first half is in a segment, the second in memory. `load` is NULL in every tenth row. A table `Hosts` names owners.
pub(super) fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::open(&dir.path().join("db"), EngineOptions::default()).unwrap());
    let cpu = TableSpec::new("cpu")
        .tag("host")
        .tag("region")
        .field("usage", FieldType::I64)
        .field("load", FieldType::F64)
        .field("total", FieldType::U64)
        .field("note", FieldType::String);
    engine.create_table(&cpu).unwrap();
    let hosts = TableSpec::new("Hosts").tag("host").field("Owner", FieldType::String);
    engine.create_table(&hosts).unwrap();
    for half in 0..2 {
        write_cpu(&engine, half * ROWS_PER_HOST / 2..(half + 1) * ROWS_PER_HOST / 2);
        if half == 0 {
            engine.flush().unwrap();
        }
    }
    let owners: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampNanosecondArray::from(vec![START_NS; 2]))),
        ("host", Arc::new(StringArray::from(vec!["host_1", "host_2"]))),
        ("Owner", Arc::new(StringArray::from(vec!["ann", "bob"]))),
    ];
    write(&engine, "Hosts", owners);
    let options = RunOptions { threads: 2, ..RunOptions::new(&QueryOptions::default(), &engine) };
    Fixture { dir, engine, options }
}

/// Writes rows of all hosts, which are those that such rows always are.
pub(super) fn write_cpu(engine: &Engine, rows: Range<usize>) {
    let all: Vec<(usize, usize)> = rows.flat_map(|row| (0..HOSTS).map(move |host| (row, host))).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "time",
            Arc::new(TimestampNanosecondArray::from_iter_values(
                all.iter().map(|(row, _)| START_NS + *row as i64 * MINUTE_NS),
            )),
        ),
        ("host", Arc::new(StringArray::from_iter_values(all.iter().map(|(_, host)| format!("host_{host}"))))),
        (
            "region",
            Arc::new(StringArray::from_iter(all.iter().map(|(_, host)| match host {
                3 => None,
                host => Some(if host % 2 == 0 { "eu" } else { "us" }),
            }))),
        ),
        ("usage", Arc::new(Int64Array::from_iter_values(all.iter().map(|(row, host)| (row * 10 + host) as i64)))),
        (
            "load",
            Arc::new(Float64Array::from_iter(
                all.iter().map(|(row, host)| (row % 10 != 0).then_some(*row as f64 / 2.0 - *host as f64)),
            )),
        ),
        ("total", Arc::new(UInt64Array::from_iter_values(all.iter().map(|(row, _)| u64::MAX - *row as u64)))),
        ("note", Arc::new(StringArray::from_iter_values(all.iter().map(|(row, _)| format!("n{}", row % 7))))),
    ];
    write(engine, "cpu", columns);
}

fn write(engine: &Engine, table: &str, columns: Vec<(&str, ArrayRef)>) {
    let schema = engine.table("public", table).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Logged).unwrap();
}

/// The rows as lines of text.
pub(super) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",")).collect()
}

impl Fixture {
    pub(super) fn try_run(&self, sql: &str) -> Result<Rows, Error> {
        run(&self.engine.snapshot(), SqlInput::Text(sql.into()), &[], &self.options, &Cancellation::new())
    }

    /// The result as a table in text, without the frame.
    pub(super) fn text(&self, sql: &str) -> Vec<String> {
        let rows = self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        lines(&rows.batches)
    }

    pub(super) fn one(&self, sql: &str) -> String {
        let lines = self.text(sql);
        assert_eq!(lines.len(), 1, "{sql}: {lines:?}");
        lines[0].clone()
    }

    pub(super) fn explain(&self, sql: &str) -> String {
        explain(&self.engine.snapshot(), SqlInput::Text(sql.into()), &[], &self.options, &Cancellation::new()).unwrap()
    }

    pub(super) fn error(&self, sql: &str) -> Error {
        self.try_run(sql).expect_err(sql)
    }
}
