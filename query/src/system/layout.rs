//! `system.segments` and `system.partitions`: where rows lie.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::Engine;
use lynxstore_storage::snapshot::Snapshot;
use lynxstore_storage::types::{TableId, partition_of};

use super::builder::TableBuilder;
use crate::error::Result;

/// Namespace, name and partition width of each table.
fn table_names(snapshot: &Snapshot) -> BTreeMap<TableId, (String, String, i64)> {
    let tables = snapshot.tables();
    tables
        .map(|schema| (schema.id, (schema.namespace.clone(), schema.name.clone(), schema.options.partition_ns)))
        .collect()
}

/// A row per section: what a segment holds of a table and partition.
pub(super) fn segments(engine: &Engine, snapshot: &Snapshot) -> Result<RecordBatch> {
    let names = table_names(snapshot);
    let segments = engine.segments();
    let rows: Vec<_> = segments
        .iter()
        .flat_map(|segment| segment.sections.iter().map(move |section| (segment, section)))
        .filter_map(|(segment, section)| Some((segment, section, names.get(&section.table)?)))
        .collect();
    TableBuilder::default()
        .count("segment_id", rows.iter().map(|row| row.0.id.0))
        .text("namespace", rows.iter().map(|row| row.2.0.clone()))
        .text("table_name", rows.iter().map(|row| row.2.1.clone()))
        .time("partition_start", rows.iter().map(|row| row.1.partition_start_ns))
        .time("first_time", rows.iter().map(|row| row.1.time_range.start_ns))
        .time("last_time", rows.iter().map(|row| row.1.time_range.end_ns))
        .count("rows", rows.iter().map(|row| u64::from(row.1.row_count)))
        .count("bytes", rows.iter().map(|row| row.1.byte_len))
        .count("commit_order", rows.iter().map(|row| row.0.commit_order))
        .count("file_bytes", rows.iter().map(|row| row.0.file_len))
        .build()
}

#[derive(Default)]
struct PartitionRow {
    runs: Vec<u64>,
    segments: u64,
    rows: u64,
    bytes: u64,
    first_ns: Option<i64>,
    last_ns: Option<i64>,
}

/// A row per table and partition that has rows in segments. More than one run means that a compaction may be due.
pub(super) fn partitions(engine: &Engine, snapshot: &Snapshot) -> Result<RecordBatch> {
    let names = table_names(snapshot);
    let mut partitions: BTreeMap<(TableId, i64), PartitionRow> = BTreeMap::new();
    for segment in engine.segments() {
        for section in &segment.sections {
            let row = partitions.entry((section.table, section.partition_start_ns)).or_default();
            if !row.runs.contains(&segment.commit_order) {
                row.runs.push(segment.commit_order);
            }
            row.segments += 1;
            row.rows += u64::from(section.row_count);
            row.bytes += section.byte_len;
            let (start_ns, end_ns) = (section.time_range.start_ns, section.time_range.end_ns);
            row.first_ns = Some(row.first_ns.map_or(start_ns, |first_ns| first_ns.min(start_ns)));
            row.last_ns = Some(row.last_ns.map_or(end_ns, |last_ns| last_ns.max(end_ns)));
        }
    }
    let rows: Vec<_> = partitions
        .iter()
        .filter_map(|((table, start_ns), row)| {
            let (namespace, name, width_ns) = names.get(table)?;
            Some((namespace, name, partition_of(*start_ns, *width_ns), row))
        })
        .collect();
    TableBuilder::default()
        .text("namespace", rows.iter().map(|row| row.0.clone()))
        .text("table_name", rows.iter().map(|row| row.1.clone()))
        .time("partition_start", rows.iter().map(|row| row.2.start_ns))
        .time("partition_end", rows.iter().map(|row| row.2.end_ns))
        .count("runs", rows.iter().map(|row| row.3.runs.len() as u64))
        .count("segments", rows.iter().map(|row| row.3.segments))
        .count("rows", rows.iter().map(|row| row.3.rows))
        .count("bytes", rows.iter().map(|row| row.3.bytes))
        .time("first_time", rows.iter().map(|row| row.3.first_ns))
        .time("last_time", rows.iter().map(|row| row.3.last_ns))
        .build()
}
