//! `system.recovery` and `system.corruption`: what openings found, and which damage is known now.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::{Corruption, Engine, RecoveryEvent};
use lynxstore_storage::snapshot::Snapshot;
use lynxstore_storage::types::TableId;

use super::builder::TableBuilder;
use crate::error::Result;

/// Names of tables, those that are gone by their ids.
fn names(snapshot: &Snapshot, tables: &[TableId]) -> Option<String> {
    let known: BTreeMap<TableId, &str> = snapshot.tables().map(|schema| (schema.id, schema.name.as_str())).collect();
    let name = |id: &TableId| known.get(id).map_or_else(|| format!("(table {id})"), |name| (*name).to_owned());
    (!tables.is_empty()).then(|| tables.iter().map(name).collect::<Vec<_>>().join(", "))
}

/// A row per thing that this or a past open found, with what it did about it; oldest first.
pub(super) fn recovery(engine: &Engine, snapshot: &Snapshot) -> Result<RecordBatch> {
    let history = engine.recovery_history();
    let events: Vec<&RecoveryEvent> = history.iter().map(|past| &past.event).collect();
    let path = |path: &std::path::Path| path.display().to_string();
    TableBuilder::default()
        .time("opened_at", history.iter().map(|past| past.time_ns))
        .text("kind", events.iter().map(|event| event.kind.as_str().to_owned()))
        .text("severity", events.iter().map(|event| event.severity.as_str().to_owned()))
        .text("file", events.iter().map(|event| path(&event.file)))
        .count("byte_start", events.iter().map(|event| event.bytes.as_ref().map(|bytes| bytes.start)))
        .count("byte_end", events.iter().map(|event| event.bytes.as_ref().map(|bytes| bytes.end)))
        .count("first_lost_lsn", events.iter().map(|event| event.lsn_gap.as_ref().map(|gap| gap.start().0)))
        .count("last_lost_lsn", events.iter().map(|event| event.lsn_gap.as_ref().map(|gap| gap.end().0)))
        .text("tables", events.iter().map(|event| names(snapshot, &event.tables)))
        .time("first_time", events.iter().map(|event| event.time_range.map(|range| range.start_ns)))
        .time("last_time", events.iter().map(|event| event.time_range.map(|range| range.end_ns)))
        .count("rows", events.iter().map(|event| event.rows))
        .text("found", events.iter().map(|event| event.found.clone()))
        .text("done", events.iter().map(|event| event.done.clone()))
        .text("kept", events.iter().map(|event| event.kept.as_deref().map(path)))
        .build()
}

/// A row per damage of a segment that is known now.
pub(super) fn corruption(engine: &Engine, snapshot: &Snapshot) -> Result<RecordBatch> {
    let damages: Vec<Corruption> = engine.corruption();
    TableBuilder::default()
        .count("segment_id", damages.iter().map(|damage| damage.segment.0))
        .text("file", damages.iter().map(|damage| damage.path.display().to_string()))
        .count("byte_offset", damages.iter().map(|damage| damage.offset))
        .text("tables", damages.iter().map(|damage| names(snapshot, &damage.tables)))
        .time("first_time", damages.iter().map(|damage| damage.time_range.start_ns))
        .time("last_time", damages.iter().map(|damage| damage.time_range.end_ns))
        .text("found_by", damages.iter().map(|damage| damage.found_by.as_str().to_owned()))
        .text("reason", damages.iter().map(|damage| damage.reason.clone()))
        .build()
}
