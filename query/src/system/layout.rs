//! `system.segments`, `system.partitions` and `system.tiers`: where rows lie.

use std::collections::{BTreeMap, BTreeSet};

use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::Engine;
use lynxstore_storage::snapshot::Snapshot;
use lynxstore_storage::types::{TableId, Tier, partition_of};

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
        .text("tier", rows.iter().map(|row| row.0.tier.name().to_owned()))
        .build()
}

#[derive(Default)]
struct PartitionRow {
    runs: Vec<u64>,
    tiers: BTreeSet<Tier>,
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
            row.tiers.insert(segment.tier);
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
        .text("tier", rows.iter().map(|row| tier_names(&row.3.tiers)))
        .build()
}

/// The tiers of a partition, the coldest first: `warm, hot` when late rows are not merged yet.
fn tier_names(tiers: &BTreeSet<Tier>) -> String {
    tiers.iter().rev().map(|tier| tier.name()).collect::<Vec<_>>().join(", ")
}

/// A row per table and tier with rows in it. `compression` is raw bytes per byte.
pub(super) fn tiers(engine: &Engine, snapshot: &Snapshot) -> Result<RecordBatch> {
    let names = table_names(snapshot);
    let tiers = engine.tiers();
    let rows: Vec<_> = tiers.iter().filter_map(|tier| Some((tier, names.get(&tier.table)?))).collect();
    let age_s = |time_ns: i64| engine.now_ns().saturating_sub(time_ns) / 1_000_000_000;
    TableBuilder::default()
        .text("namespace", rows.iter().map(|row| row.1.0.clone()))
        .text("table_name", rows.iter().map(|row| row.1.1.clone()))
        .text("tier", rows.iter().map(|row| row.0.tier.name().to_owned()))
        .count("partitions", rows.iter().map(|row| row.0.partitions))
        .count("segments", rows.iter().map(|row| row.0.segments))
        .count("rows", rows.iter().map(|row| row.0.rows))
        .count("bytes", rows.iter().map(|row| row.0.bytes))
        .count("raw_bytes", rows.iter().map(|row| row.0.raw_bytes))
        .float("compression", rows.iter().map(|row| row.0.raw_bytes as f64 / row.0.bytes.max(1) as f64))
        .time("oldest_time", rows.iter().map(|row| row.0.time_range.start_ns))
        .time("newest_time", rows.iter().map(|row| row.0.time_range.end_ns))
        .number("oldest_age_s", rows.iter().map(|row| age_s(row.0.time_range.start_ns)))
        .number("newest_age_s", rows.iter().map(|row| age_s(row.0.time_range.end_ns)))
        .build()
}
