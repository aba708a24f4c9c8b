//! What the database must hold: a list of commits, read the slow and obvious way.

use std::collections::BTreeMap;

use super::op::{Hosts, OpRow};
use crate::engine::Ack;
use crate::types::{ColumnId, Dedup, FieldType, TimeRange};

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    I64(i64),
    /// Bits.
    F64(u64),
    Text(String),
}

impl Value {
    /// The value of a field of this type that `number` stands for; extremes and special floats among them.
    pub(super) fn new(number: u8, field_type: FieldType) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(match number {
                1 => 0x7FF0_0000_0000_0002,
                2 => (-0.0_f64).to_bits(),
                other => (f64::from(other) + 0.25).to_bits(),
            }),
            FieldType::String => Self::Text("x".repeat(usize::from(number) - 1)),
            _ => Self::I64(match number {
                1 => i64::MIN,
                2 => i64::MAX,
                other => i64::from(other),
            }),
        }
    }

    /// The value in a field that has this type now.
    fn widened(&self, field_type: FieldType) -> Self {
        match (self, field_type) {
            (Self::I64(value), FieldType::F64) => Self::F64((*value as f64).to_bits()),
            (value, _) => value.clone(),
        }
    }
}

#[derive(Debug, Clone)]
struct Row {
    host: Option<u8>,
    time: i64,
    values: BTreeMap<ColumnId, Value>,
}

#[derive(Debug, Clone)]
struct Commit {
    rows: Vec<Row>,
    ack: Ack,
    is_flushed: bool,
}

/// A row as it is read: host, time, and the value of each field in schema order.
pub(super) type ReadRow = (Option<u8>, i64, Vec<Option<Value>>);

/// A field of the table.
pub(super) type Field = (ColumnId, FieldType);

/// The state that the database must show.
#[derive(Debug, Clone)]
pub(super) struct Oracle {
    dedup: Dedup,
    pub(super) fields: Vec<Field>,
    pub(super) retention_ns: Option<i64>,
    commits: Vec<Commit>,
}

impl Hosts {
    pub(super) fn accept(&self, host: Option<u8>) -> bool {
        match (self, host) {
            (Self::All, _) | (Self::Null, None) => true,
            (Self::OneOf(hosts), Some(host)) => hosts.contains(&host),
            (Self::Not(other), host) => host != Some(*other),
            (Self::OneOf(_), None) | (Self::Null, Some(_)) => false,
        }
    }
}

impl Oracle {
    pub(super) fn new(dedup: Dedup, fields: Vec<Field>) -> Self {
        Self { dedup, fields, retention_ns: None, commits: Vec::new() }
    }

    pub(super) fn write(&mut self, rows: &[OpRow], ack: Ack) {
        // Rows of a series stay in the order in which they were given; series do not meet.
        let rows = rows.iter().map(|row| Row {
            host: row.host,
            time: row.time,
            values: (self.fields.iter().zip(&row.values))
                .filter_map(|((id, field_type), number)| Some((*id, Value::new((*number)?, *field_type))))
                .collect(),
        });
        self.commits.push(Commit { rows: rows.collect(), ack, is_flushed: false });
    }

    pub(super) fn flush(&mut self) {
        self.commits.iter_mut().for_each(|commit| commit.is_flushed = true);
    }

    pub(super) fn delete(&mut self, hosts: &Hosts, range: TimeRange) {
        self.flush();
        for commit in &mut self.commits {
            commit.rows.retain(|row| !(hosts.accept(row.host) && range.contains(row.time)));
        }
    }

    /// Rows before this time are not shown at `now_ns`.
    fn cutoff_ns(&self, now_ns: i64) -> Option<i64> {
        self.retention_ns.and_then(|retention_ns| now_ns.checked_sub(retention_ns))
    }

    /// Drops what is in segments and expired.
    pub(super) fn retain(&mut self, now_ns: i64) {
        let Some(cutoff_ns) = self.cutoff_ns(now_ns) else { return };
        for commit in self.commits.iter_mut().filter(|commit| commit.is_flushed) {
            commit.rows.retain(|row| row.time >= cutoff_ns);
        }
    }

    /// What a power cut may leave: what was flushed, and of the log any part from its start that has everything durable.
    pub(super) fn after_crash(&self) -> Vec<Self> {
        let in_log: Vec<usize> = (0..self.commits.len())
            .filter(|&at| !self.commits[at].is_flushed && self.commits[at].ack != Ack::Volatile)
            .collect();
        let durable = in_log.iter().rposition(|&at| self.commits[at].ack == Ack::Durable).map_or(0, |last| last + 1);
        (durable..=in_log.len())
            .map(|kept| {
                let keeps = |at: usize| self.commits[at].is_flushed || in_log[..kept].contains(&at);
                let commits = (0..self.commits.len()).filter(|&at| keeps(at)).map(|at| self.commits[at].clone());
                Self { commits: commits.collect(), ..self.clone() }
            })
            .collect()
    }

    /// The rows of some hosts and times that have not expired at `now_ns`, by host and time.
    pub(super) fn read(&self, hosts: &Hosts, range: TimeRange, now_ns: i64) -> Vec<ReadRow> {
        let range = TimeRange { start_ns: range.start_ns.max(self.cutoff_ns(now_ns).unwrap_or(i64::MIN)), ..range };
        let mut by_identity: BTreeMap<(Option<u8>, i64), Vec<&Row>> = BTreeMap::new();
        let rows = self.commits.iter().flat_map(|commit| &commit.rows);
        for row in rows.filter(|row| hosts.accept(row.host) && range.contains(row.time)) {
            by_identity.entry((row.host, row.time)).or_default().push(row);
        }
        let read = |row: &Row| {
            let value = |(id, field_type): &Field| row.values.get(id).map(|value| value.widened(*field_type));
            (row.host, row.time, self.fields.iter().map(value).collect::<Vec<_>>())
        };
        let mut out = Vec::new();
        for rows in by_identity.values() {
            match self.dedup {
                Dedup::Off => out.extend(rows.iter().map(|row| read(row))),
                Dedup::First => out.extend(rows.first().map(|row| read(row))),
                Dedup::Last => {
                    let mut merged = read(rows[0]);
                    for row in &rows[1..] {
                        for (value, later) in merged.2.iter_mut().zip(read(row).2) {
                            *value = later.or(value.take());
                        }
                    }
                    out.push(merged);
                }
            }
        }
        out
    }
}
