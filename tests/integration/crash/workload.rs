//! A small workload that uses every durable step of the engine, and what must be true after it was interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use lynxstore_storage::engine::{Ack, Engine};
use lynxstore_storage::ingest::group_rows;
use lynxstore_storage::snapshot::TagFilter;
use lynxstore_storage::types::{FieldType, SeriesBatch, TableSpec, TimeRange};
use lynxstore_storage::{Error, Result};

const NAMESPACE: &str = "public";

/// One call into the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create(&'static str),
    Drop(&'static str),
    /// Adds the field `extra` to a table.
    Widen(&'static str),
    /// Writes the commit of this number to all tables that are there.
    Write(u64, Ack),
    Flush,
}

/// Rows of several tables in one commit, all acknowledgements, flushes with and without new rows, changes of tables
/// between them, and rows that only the WAL has at the end.
const STEPS: &[Step] = &[
    Step::Create("first"),
    Step::Write(1, Ack::Durable),
    Step::Write(2, Ack::Logged),
    Step::Write(3, Ack::Durable),
    Step::Flush,
    Step::Create("second"),
    Step::Write(4, Ack::Durable),
    Step::Widen("first"),
    Step::Write(5, Ack::Logged),
    Step::Write(6, Ack::Durable),
    Step::Write(7, Ack::Volatile),
    Step::Flush,
    Step::Flush,
    Step::Write(8, Ack::Volatile),
    Step::Write(9, Ack::Durable),
    Step::Drop("second"),
    Step::Write(10, Ack::Durable),
    Step::Flush,
    Step::Write(11, Ack::Durable),
    Step::Write(12, Ack::Logged),
];

/// A row: host, time, then the values of `commit`, `value` and, where the table has it, `extra`.
type Row = (String, i64, Vec<Option<i64>>);

/// What the workload knows of a commit.
#[derive(Debug, Clone)]
struct Commit {
    ack: Ack,
    /// The engine said that it is done.
    acked: bool,
    /// A flush that began after it was acknowledged was done.
    flushed: bool,
    /// Its rows by table.
    rows: BTreeMap<&'static str, BTreeSet<Row>>,
}

/// What the workload knows of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Table {
    created: Progress,
    dropped: Progress,
    widened: Progress,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    NotBegun,
    /// The call failed: it may have happened or not.
    Unknown,
    Done,
}

/// What an outside observer of the workload knows, and what follows from it.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    commits: BTreeMap<u64, Commit>,
    tables: BTreeMap<&'static str, Table>,
}

/// What becomes of the steps after one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// The power is gone.
    Stop,
    /// The program goes on with the next step.
    GoOn,
}

/// Runs the steps and notes what was acknowledged.
pub fn run(engine: &Arc<Engine>, after_failure: AfterFailure) -> Oracle {
    let mut oracle = Oracle::default();
    for step in STEPS {
        if oracle.run_step(engine, *step).is_err() && after_failure == AfterFailure::Stop {
            break;
        }
    }
    oracle
}

impl Oracle {
    /// Number of commits that were tried.
    pub fn commit_count(&self) -> usize {
        self.commits.len()
    }

    fn run_step(&mut self, engine: &Arc<Engine>, step: Step) -> Result<()> {
        match step {
            Step::Create(name) => {
                let spec =
                    TableSpec::new(name).tag("host").field("commit", FieldType::I64).field("value", FieldType::I64);
                let result = engine.create_table(&spec).map(drop);
                self.tables.entry(name).or_default().created = progress(&result);
                result
            }
            Step::Drop(name) => {
                let result = engine.drop_table(NAMESPACE, name);
                self.tables.entry(name).or_default().dropped = progress(&result);
                result
            }
            Step::Widen(name) => {
                let table = engine.table(NAMESPACE, name)?.id;
                let result = engine.add_columns(table, &[], &[("extra".into(), FieldType::I64)]).map(drop);
                self.tables.entry(name).or_default().widened = progress(&result);
                result
            }
            Step::Write(number, ack) => self.write(engine, number, ack),
            Step::Flush => {
                let acked: Vec<_> =
                    self.commits.iter().filter(|(_, commit)| commit.acked).map(|(number, _)| *number).collect();
                engine.flush()?;
                for number in acked {
                    self.commits.get_mut(&number).expect("commits are never removed").flushed = true;
                }
                Ok(())
            }
        }
    }

    fn write(&mut self, engine: &Arc<Engine>, number: u64, ack: Ack) -> Result<()> {
        let mut batches = Vec::new();
        let mut rows = BTreeMap::new();
        for name in ["first", "second"] {
            let Ok(schema) = engine.table(NAMESPACE, name) else { continue };
            let with_extra = schema.field_index("extra").is_some();
            let table_rows = rows_of_commit(name, number, with_extra);
            batches.push(to_batch(engine, name, &table_rows, with_extra)?);
            rows.insert(name, table_rows);
        }
        self.commits.insert(number, Commit { ack, acked: false, flushed: false, rows });
        engine.write(batches, ack)?;
        self.commits.get_mut(&number).expect("it was just inserted").acked = true;
        Ok(())
    }

    /// Checks what an engine holds that was opened after the interruption.
    pub fn check(&self, engine: &Arc<Engine>, at: &str) {
        assert!(!engine.recovery_report().found_damage(), "{at}: a crash is no damage: {:?}", engine.recovery_report());
        let mut found: BTreeMap<u64, BTreeMap<&'static str, BTreeSet<Row>>> = BTreeMap::new();
        for (name, table) in &self.tables {
            let there = engine.table(NAMESPACE, name).is_ok();
            match (table.created, table.dropped) {
                (_, Progress::Done) => assert!(!there, "{at}: table {name} was dropped and is there again"),
                (Progress::Done, Progress::NotBegun) => assert!(there, "{at}: table {name} is lost"),
                _ => {}
            }
            if !there {
                continue;
            }
            let has_extra = engine.table(NAMESPACE, name).unwrap().field_index("extra").is_some();
            assert!(has_extra || table.widened != Progress::Done, "{at}: table {name} lost a field");
            for row in read_rows(engine, name) {
                let number = row.2[0].unwrap_or_else(|| panic!("{at}: row {row:?} of no commit")) as u64;
                let fresh = found.entry(number).or_default().entry(name).or_default().insert(row.clone());
                assert!(fresh, "{at}: row {row:?} of {name} is there twice");
            }
        }
        for (number, rows) in &found {
            let commit =
                self.commits.get(number).unwrap_or_else(|| panic!("{at}: commit {number} was never written: {rows:?}"));
            for (name, expected) in &commit.rows {
                let there = engine.table(NAMESPACE, name).is_ok();
                let seen = rows.get(name).cloned().unwrap_or_default();
                assert!(!there || seen == *expected, "{at}: commit {number} is not whole in {name}: {seen:?}");
            }
        }
        for (number, commit) in &self.commits {
            let tables_left = commit.rows.keys().any(|name| engine.table(NAMESPACE, name).is_ok());
            let must_be_there = commit.flushed || (commit.acked && commit.ack == Ack::Durable);
            assert!(
                found.contains_key(number) || !must_be_there || !tables_left,
                "{at}: commit {number} was acknowledged as {:?} (flushed: {}) and is lost",
                commit.ack,
                commit.flushed
            );
            // No hole: what was acknowledged later is not there without what came before it in the log.
            let later = found.keys().any(|later| later > number && self.commits[later].ack != Ack::Volatile);
            let logged = commit.acked && commit.ack != Ack::Volatile;
            assert!(
                found.contains_key(number) || !logged || !later || !tables_left,
                "{at}: commit {number} is missing between commits that are there"
            );
        }
    }
}

fn progress(result: &Result<()>) -> Progress {
    match result {
        Ok(()) => Progress::Done,
        // Nothing was tried.
        Err(Error::TableNotFound { .. } | Error::TableExists { .. }) => Progress::NotBegun,
        Err(_) => Progress::Unknown,
    }
}

/// Rows of several series; no two commits write the same row.
fn rows_of_commit(table: &str, number: u64, with_extra: bool) -> BTreeSet<Row> {
    let hosts = if table == "first" { 3 } else { 1 };
    let mut rows = BTreeSet::new();
    for host in 0..hosts {
        for row in 0..4 {
            let mut values = vec![Some(number as i64), Some((number * 100 + row) as i64)];
            if with_extra {
                values.push(Some(-(number as i64)));
            }
            rows.insert((format!("host-{host}"), (number * 10 + row) as i64, values));
        }
    }
    rows
}

/// The rows of a commit for the table `first`.
pub fn one_batch(engine: &Arc<Engine>, number: u64) -> SeriesBatch {
    let with_extra = engine.table(NAMESPACE, "first").unwrap().field_index("extra").is_some();
    to_batch(engine, "first", &rows_of_commit("first", number, with_extra), with_extra).unwrap()
}

fn to_batch(engine: &Arc<Engine>, table: &str, rows: &BTreeSet<Row>, with_extra: bool) -> Result<SeriesBatch> {
    let schema = engine.table(NAMESPACE, table)?;
    let field =
        |index: usize| -> Arc<dyn Array> { Arc::new(rows.iter().map(|row| row.2[index]).collect::<Int64Array>()) };
    let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.1));
    let mut columns: Vec<(&str, Arc<dyn Array>)> = vec![
        ("time", Arc::new(times)),
        ("host", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0.as_str())))),
        ("commit", field(0)),
        ("value", field(1)),
    ];
    if with_extra {
        columns.push(("extra", field(2)));
    }
    let batch = RecordBatch::try_from_iter(columns).expect("the columns have one length");
    group_rows(&schema, &batch)
}

fn read_rows(engine: &Arc<Engine>, table: &str) -> Vec<Row> {
    let snapshot = engine.snapshot().table(NAMESPACE, table).unwrap();
    let field_count = snapshot.schema().fields.len();
    let fields: Vec<usize> = (0..field_count).collect();
    let set = snapshot.series(&TagFilter::all(), TimeRange::ALL).unwrap();
    let mut scan = set.scan(&fields, TimeRange::ALL);
    let mut rows = Vec::new();
    for series in 0..set.len() {
        let host = set.get(series).tag(0).unwrap();
        scan.open(series).unwrap();
        while let Some(mut block) = scan.next_block().unwrap() {
            let times = block.time_array().unwrap();
            let values: Vec<_> = fields.iter().map(|field| block.array(*field).unwrap()).collect();
            for row in 0..block.len() {
                let mut row_values: Vec<_> = values
                    .iter()
                    .map(|array| array.is_valid(row).then(|| array.as_primitive::<Int64Type>().value(row)))
                    .collect();
                // A field that was added later is NULL in older rows, which the oracle knows as absent.
                if row_values.len() == 3 && row_values[2].is_none() {
                    row_values.pop();
                }
                let time = times.as_primitive::<TimestampNanosecondType>().value(row);
                rows.push((host.clone(), time, row_values));
            }
        }
    }
    rows
}
