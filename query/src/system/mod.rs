//! The tables of the namespace `system`: what the database knows of itself, as rows.
//!
//! Each is made when a statement names it, from one snapshot and the state of the engine at that moment. They can be read
//! and joined like any table, and not written. A program that runs statements may add tables of what it knows itself
//! ([`SystemRows`](crate::SystemRows)).

mod builder;
mod cardinality;
mod catalog;
mod damage;
mod engine;
mod layout;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::Engine;
use lynxstore_storage::snapshot::Snapshot;

use crate::error::{Error, Result};
use crate::options::{StatementAccess, SystemAccess};
use crate::system_rows::SystemTable;

/// Names of the system tables.
const NAMES: [&str; 11] = [
    "cardinality",
    "columns",
    "corruption",
    "memory",
    "partitions",
    "recovery",
    "segments",
    "series",
    "tables",
    "tasks",
    "tiers",
];

/// Makes system tables of one engine. Cheap to clone.
///
/// What tells of tables comes from the snapshot, which shows only the namespaces that the statement may name. What tells of
/// the whole process is not for those who may only read or write rows.
#[derive(Debug, Clone)]
pub(crate) struct SystemTables {
    pub(crate) engine: Arc<Engine>,
    /// Tables that the program adds.
    pub(crate) added: Arc<[SystemTable]>,
    pub(crate) access: SystemAccess,
}

/// The tables about the whole process: files, background work, memory.
const OF_THE_PROCESS: [&str; 4] = ["corruption", "memory", "recovery", "tasks"];

impl SystemTables {
    /// The rows of a system table; `None` when there is none of that name.
    pub(crate) fn table(&self, snapshot: &Snapshot, name: &str) -> Result<Option<RecordBatch>> {
        if OF_THE_PROCESS.contains(&name) && self.access == SystemAccess::OwnTables {
            let needs = StatementAccess::Admin.name();
            return Err(Error::AccessDenied { what: format!("the table system.{name}"), needs });
        }
        match self.added.iter().find(|table| table.name == name) {
            Some(table) => table.rows.rows().map(Some).map_err(Error::arrow),
            None => table(&self.engine, snapshot, name),
        }
    }

    /// Names of all tables.
    pub(crate) fn names(&self) -> Vec<String> {
        NAMES.into_iter().chain(self.added.iter().map(|table| table.name)).map(str::to_owned).collect()
    }
}

fn table(engine: &Engine, snapshot: &Snapshot, name: &str) -> Result<Option<RecordBatch>> {
    Ok(Some(match name {
        "cardinality" => cardinality::cardinality(snapshot)?,
        "tables" => catalog::tables(engine, snapshot)?,
        "columns" => catalog::columns(snapshot)?,
        "series" => catalog::series(snapshot)?,
        "segments" => layout::segments(engine, snapshot)?,
        "partitions" => layout::partitions(engine, snapshot)?,
        "tiers" => layout::tiers(engine, snapshot)?,
        "recovery" => damage::recovery(engine, snapshot)?,
        "corruption" => damage::corruption(engine, snapshot)?,
        "tasks" => engine::tasks(engine)?,
        "memory" => engine::memory(engine)?,
        _ => return Ok(None),
    }))
}
