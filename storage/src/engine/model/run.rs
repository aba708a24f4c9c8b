//! Runs operations on the engine and on the oracle, and compares.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::op::{Hosts, Op, OpRow, PARTITION_NS};
use super::oracle::{Oracle, ReadRow, Value};
use crate::engine::{Ack, Background, Engine, EngineOptions, TableChange};
use crate::error::{Error, Result};
use crate::ingest::group_rows;
use crate::io::sim::{CrashModel, SimIo};
use crate::snapshot::{Snapshot, TagFilter, TagTerm};
use crate::types::{
    Dedup, FieldType, Setting, TableId, TableOptions, TableSchema, TableSpec, Tier, TierChange, TimeRange,
};

const DIR: &str = "/db";
const START_NS: i64 = 700;

thread_local! {
    static NOW_NS: Cell<i64> = const { Cell::new(START_NS) };
    static COMPACTION_BYTES: Cell<u64> = const { Cell::new(0) };
}

fn options() -> EngineOptions {
    EngineOptions {
        background: Background::Caller,
        compaction_bytes_max: COMPACTION_BYTES.get(),
        clock: || NOW_NS.get(),
        // The simulated disk keeps a copy of every reserved byte.
        wal_file_bytes_max: 64 << 10,
        ..EngineOptions::with_memory_budget(8 << 20)
    }
}

struct Model {
    io: SimIo,
    engine: Engine,
    table: TableId,
    oracle: Oracle,
    /// Snapshots with what each must show.
    held: Vec<(Snapshot, Vec<ReadRow>)>,
    /// A power cut within the next operation: after so many calls.
    cut: Option<(u8, CrashModel)>,
    fields_added: u32,
}

/// Runs operations; the first byte of `bytes` chooses the rule for duplicates, and whether a compaction has room for more
/// than a series.
///
/// # Panics
/// When the engine does not show what it must.
pub fn run(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let dedup = [Dedup::Last, Dedup::First, Dedup::Off][usize::from(first % 3)];
    COMPACTION_BYTES.set([1 << 20, 1][usize::from(first / 3 % 2)]);
    NOW_NS.set(START_NS);
    let mut model = Model::new(dedup);
    for op in Op::from_bytes(rest) {
        model.step(&op);
    }
    model.check("at the end");
    model.reopen().unwrap();
    model.check("after the last open");
}

impl Model {
    fn new(dedup: Dedup) -> Self {
        let io = SimIo::new();
        let engine = open(&io).unwrap();
        let options = TableOptions { dedup, partition_ns: PARTITION_NS, ..TableOptions::default() };
        let spec = TableSpec::new("t").tag("host").field("i", FieldType::I64).field("f", FieldType::F64);
        let schema = engine.create_table(&spec.field("s", FieldType::String).options(options)).unwrap();
        let fields = schema.fields.iter().map(|field| (field.id, field.field_type)).collect();
        let oracle = Oracle::new(dedup, fields);
        Self { io, engine, table: schema.id, oracle, held: Vec::new(), cut: None, fields_added: 0 }
    }

    fn step(&mut self, op: &Op) {
        if let Op::CrashWithin { call, model } = op {
            self.cut = Some((*call, *model));
            return;
        }
        let cut = self.cut.take();
        if let Some((call, _)) = cut {
            self.io.set_crash_at(self.io.operations() + 1 + u64::from(call));
        }
        let before = self.oracle.clone();
        let result = self.apply(op);
        match (cut, self.io.is_off()) {
            (Some((call, model)), true) => self.recover(&before, u64::from(call), model),
            _ => {
                self.io.set_crash_at(u64::MAX);
                result.unwrap_or_else(|error| panic!("{op:?} failed: {error}"));
            }
        }
        self.check(&format!("after {op:?}"));
    }

    /// Applies an operation to the engine, then to the oracle.
    fn apply(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Write { rows, ack } => {
                // Applied to the oracle even when it fails: the log may have it.
                let written = self.write(rows, *ack);
                self.oracle.write(rows, *ack);
                written?;
            }
            Op::Delete { hosts, range } => {
                let deleted = self.engine.delete(self.table, &filter(hosts), *range);
                let before = self.oracle.read(hosts, *range, NOW_NS.get()).len();
                self.oracle.delete(hosts, *range);
                assert_eq!(deleted?.rows, before as u64, "a delete counts other rows than it takes away");
            }
            Op::Flush => {
                self.oracle.flush();
                self.engine.flush()?;
            }
            Op::Compact => {
                self.oracle.flush();
                self.oracle.retain(NOW_NS.get());
                self.engine.compact()?;
            }
            Op::Maintain => {
                self.oracle.retain(NOW_NS.get());
                self.engine.maintain()?;
            }
            Op::Move { time, tier } => {
                self.oracle.flush();
                self.move_partition(*time, *tier)?;
            }
            Op::SetHotFor(age_ns) => {
                let hot_for_ns = Some(age_ns.map_or(Setting::Off, Setting::Set));
                self.alter(&TableChange::SetTiers { change: TierChange { hot_for_ns, ..TierChange::default() } })?;
            }
            Op::SetRetention(retention_ns) => {
                self.oracle.retention_ns = *retention_ns;
                self.alter(&TableChange::SetRetention { retention_ns: *retention_ns })?;
            }
            Op::Advance(by_ns) => NOW_NS.set(NOW_NS.get() + by_ns),
            Op::AddField(field_type) => self.add_field(*field_type)?,
            Op::DropField(which) => {
                if let Some(name) = self.field_name(*which).filter(|_| self.oracle.fields.len() > 1) {
                    let position = usize::from(*which) % self.oracle.fields.len();
                    self.oracle.fields.remove(position);
                    self.alter(&TableChange::DropField { name })?;
                }
            }
            Op::RenameField(which) => {
                if let Some(from) = self.field_name(*which) {
                    let to = format!("{from}'");
                    self.alter(&TableChange::RenameColumn { from, to })?;
                }
            }
            Op::WidenField(which) => {
                let position = usize::from(*which) % self.oracle.fields.len();
                if let Some(name) = self.field_name(*which)
                    && self.oracle.fields[position].1 == FieldType::I64
                {
                    self.oracle.flush();
                    self.oracle.fields[position].1 = FieldType::F64;
                    self.alter(&TableChange::WidenField { name, to: FieldType::F64 })?;
                }
            }
            Op::Hold => {
                let rows = self.oracle.read(&Hosts::All, TimeRange::ALL, NOW_NS.get());
                self.held.push((self.engine.snapshot(), rows));
            }
            Op::Query { hosts, range } => {
                let found = read(&self.engine.snapshot(), hosts, *range);
                assert_eq!(found, self.oracle.read(hosts, *range, NOW_NS.get()), "{op:?}");
            }
            Op::Reopen => {
                self.reopen()?;
            }
            Op::Crash { model, seed } => {
                let before = self.oracle.clone();
                self.recover(&before, u64::from(*seed), *model);
            }
            Op::CrashWithin { .. } => {}
        }
        Ok(())
    }

    fn move_partition(&self, time: i64, tier: Tier) -> Result<()> {
        let moved = match self.engine.move_partition(self.table, time, tier) {
            Ok(moved) => moved,
            Err(error @ Error::InvalidInput { .. }) if error.to_string().contains("no rows") => return Ok(()),
            Err(error) => return Err(error),
        };
        for segment in self.engine.segments() {
            let is_there =
                segment.sections.iter().any(|section| section.partition_start_ns == moved.partition.start_ns);
            assert!(!is_there || segment.tier == tier, "the partition of {time} is not {tier:?}: {segment:?}");
        }
        Ok(())
    }

    fn alter(&self, change: &TableChange) -> Result<()> {
        self.engine.alter_table(self.table, change).map(drop)
    }

    fn add_field(&mut self, field_type: FieldType) -> Result<()> {
        self.fields_added += 1;
        let name = format!("added_{}", self.fields_added);
        let before = self.schema();
        // The id that it gets, whether or not the call ends.
        self.oracle.fields.push((before.next_column_id, field_type));
        self.engine.add_columns(self.table, &[], &[(name, field_type)]).map(drop)
    }

    fn schema(&self) -> Arc<TableSchema> {
        self.engine.table("public", "t").unwrap()
    }

    fn field_name(&self, which: u8) -> Option<String> {
        let schema = self.schema();
        let position = usize::from(which).checked_rem(schema.fields.len())?;
        Some(schema.fields[position].name.clone())
    }

    fn write(&self, rows: &[OpRow], ack: Ack) -> Result<()> {
        let schema = self.schema();
        self.engine.write(vec![group_rows(&schema, &batch(&schema, rows))?], ack).map(drop)
    }

    fn reopen(&mut self) -> Result<()> {
        self.held.clear();
        self.oracle.flush();
        self.engine.close()?;
        self.engine = open(&self.io)?;
        Ok(())
    }

    /// Goes on from what a power cut left, which must be a state that it may leave.
    fn recover(&mut self, before: &Oracle, seed: u64, model: CrashModel) {
        self.held.clear();
        let io = self.io.after_crash(seed, model);
        // What the cut-off operation may have done: nothing; its flush; all of it.
        let mut flushed = before.clone();
        flushed.flush();
        let mut candidates = before.after_crash();
        candidates.push(flushed);
        candidates.extend(self.oracle.after_crash());
        let mut all = self.oracle.clone();
        all.flush();
        candidates.push(all);
        // The old engine must not touch the disk that its successor reads.
        drop(std::mem::replace(&mut self.engine, open(&io).unwrap()));
        self.io = io;
        let schema = self.schema();
        // Long ago nothing had expired: a commit of expired rows alone is there or not, which a longer retention would show.
        let now_ns = NOW_NS.replace(i64::MIN);
        let found = read(&self.engine.snapshot(), &Hosts::All, TimeRange::ALL);
        let fields: Vec<_> = schema.fields.iter().map(|field| (field.id, field.field_type)).collect();
        let matching = candidates.into_iter().find(|candidate| {
            candidate.fields == fields
                && candidate.retention_ns == schema.options.retention_ns
                && candidate.read(&Hosts::All, TimeRange::ALL, NOW_NS.get()) == found
        });
        NOW_NS.set(now_ns);
        self.oracle = matching.unwrap_or_else(|| panic!("no crash may leave {found:?}"));
    }

    fn check(&self, when: &str) {
        let found = read(&self.engine.snapshot(), &Hosts::All, TimeRange::ALL);
        assert_eq!(found, self.oracle.read(&Hosts::All, TimeRange::ALL, NOW_NS.get()), "{when}");
        for (snapshot, rows) in &self.held {
            assert_eq!(&read(snapshot, &Hosts::All, TimeRange::ALL), rows, "a snapshot changed {when}");
        }
    }
}

fn open(io: &SimIo) -> Result<Engine> {
    let engine = Engine::open_with(Arc::new(io.clone()), Path::new(DIR), options())?;
    assert!(!engine.recovery_report().found_damage(), "{:?}", engine.recovery_report());
    Ok(engine)
}

fn host_name(host: u8) -> String {
    format!("host_{host}")
}

fn filter(hosts: &Hosts) -> TagFilter {
    let term = match hosts.clone() {
        Hosts::All => return TagFilter::all(),
        Hosts::OneOf(hosts) => TagTerm::one_of(0, hosts.into_iter().map(host_name).collect()),
        Hosts::Not(host) => {
            let other = host_name(host);
            TagTerm::predicate(0, move |value| value != Some(&other))
        }
        Hosts::Null => TagTerm::predicate(0, |value| value.is_none()),
    };
    TagFilter { terms: vec![term] }
}

fn batch(schema: &TableSchema, rows: &[OpRow]) -> RecordBatch {
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.time)));
    let hosts: ArrayRef = Arc::new(rows.iter().map(|row| row.host.map(host_name)).collect::<StringArray>());
    let mut columns = vec![("time".to_owned(), times, false), ("host".to_owned(), hosts, true)];
    for (position, field) in schema.fields.iter().enumerate() {
        let values = rows.iter().map(|row| {
            let number = row.values.get(position).copied().flatten()?;
            Some(Value::new(number, field.field_type))
        });
        let array: ArrayRef = match field.field_type {
            FieldType::F64 => Arc::new(Float64Array::from_iter(values.map(|value| match value? {
                Value::F64(bits) => Some(f64::from_bits(bits)),
                _ => None,
            }))),
            FieldType::String => Arc::new(StringArray::from_iter(values.map(|value| match value? {
                Value::Text(text) => Some(text),
                _ => None,
            }))),
            _ => Arc::new(Int64Array::from_iter(values.map(|value| match value? {
                Value::I64(value) => Some(value),
                _ => None,
            }))),
        };
        columns.push((field.name.clone(), array, true));
    }
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn read(snapshot: &Snapshot, hosts: &Hosts, range: TimeRange) -> Vec<ReadRow> {
    let table = snapshot.table("public", "t").unwrap();
    let fields: Vec<usize> = (0..table.schema().fields.len()).collect();
    let set = table.series(&filter(hosts), range).unwrap();
    let mut scan = set.scan(&fields, range);
    let mut rows = Vec::new();
    for (index, series) in set.iter().enumerate() {
        let host = series.tag(0).map(|name| name.trim_start_matches("host_").parse().unwrap());
        scan.open(index).unwrap();
        while let Some(mut block) = scan.next_block().unwrap() {
            let arrays: Vec<ArrayRef> = fields.iter().map(|&field| block.array(field).unwrap()).collect();
            let times = block.time_array().unwrap();
            let times = times.as_primitive::<arrow_array::types::TimestampNanosecondType>();
            for row in 0..times.len() {
                rows.push((host, times.value(row), arrays.iter().map(|array| value(array, row)).collect()));
            }
        }
    }
    rows
}

fn value(array: &ArrayRef, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return None;
    }
    Some(if let Some(values) = array.as_primitive_opt::<Int64Type>() {
        Value::I64(values.value(row))
    } else if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        Value::F64(values.value(row).to_bits())
    } else {
        Value::Text(array.as_string::<i32>().value(row).to_owned())
    })
}
