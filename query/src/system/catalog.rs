//! `system.tables`, `system.columns` and `system.series`.

use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::Engine;
use lynxstore_storage::snapshot::{Snapshot, TagFilter};
use lynxstore_storage::types::{Dedup, SchemaMode, TableSchema, TimeRange};

use super::builder::TableBuilder;
use crate::error::Result;
use crate::statement::sql_type;

/// A row per table: its declaration, and what it holds. Rows count duplicates that are not merged yet. What it does not
/// say itself of its tiers is what its namespace or the database says.
pub(super) fn tables(engine: &Engine, snapshot: &Snapshot) -> Result<RecordBatch> {
    let schemas: Vec<_> = snapshot.tables().cloned().collect();
    let tiers: Vec<_> = schemas.iter().map(|schema| engine.tier_policy(schema)).collect();
    let mut held = Vec::with_capacity(schemas.len());
    for schema in &schemas {
        // A table with damaged segments is listed all the same.
        held.push(snapshot.table_by_id(schema.id).ok().map(|table| (table.row_count_estimate(), table.time_range())));
    }
    let range = |position: usize| held[position].as_ref().and_then(|(_, range)| *range);
    let all = || 0..schemas.len();
    TableBuilder::default()
        .text("namespace", schemas.iter().map(|schema| schema.namespace.clone()))
        .text("table_name", schemas.iter().map(|schema| schema.name.clone()))
        .text("time_column", schemas.iter().map(|schema| schema.time.name.clone()))
        .count("tags", schemas.iter().map(|schema| schema.tags.len() as u64))
        .count("fields", schemas.iter().map(|schema| schema.fields.len() as u64))
        .text("dedup", schemas.iter().map(|schema| dedup(schema)))
        .text("schema_mode", schemas.iter().map(|schema| schema_mode(schema)))
        .number("partition_ns", schemas.iter().map(|schema| schema.options.partition_ns))
        .number("retention_ns", schemas.iter().map(|schema| schema.options.retention_ns))
        .number("hot_for_ns", tiers.iter().map(|tiers| tiers.hot_for_ns.value().copied()))
        .number("warm_for_ns", tiers.iter().map(|tiers| tiers.warm_for_ns.value().copied()))
        .text("cold", tiers.iter().map(|tiers| tiers.cold.value().cloned()))
        .count("rows", all().map(|table| held[table].as_ref().map(|(rows, _)| *rows)))
        .time("first_time", all().map(|table| range(table).map(|range| range.start_ns)))
        .time("last_time", all().map(|table| range(table).map(|range| range.end_ns)))
        .build()
}

fn dedup(schema: &TableSchema) -> String {
    match schema.options.dedup {
        Dedup::Last => "last",
        Dedup::First => "first",
        Dedup::Off => "off",
    }
    .to_owned()
}

fn schema_mode(schema: &TableSchema) -> String {
    match schema.options.schema_mode {
        SchemaMode::Evolving => "evolving",
        SchemaMode::Strict => "strict",
    }
    .to_owned()
}

/// A row per column.
pub(super) fn columns(snapshot: &Snapshot) -> Result<RecordBatch> {
    let mut rows: Vec<(String, String, String, &str, &str, u64)> = Vec::new();
    for schema in snapshot.tables() {
        let mut push = |name: &str, data_type, role, id: u32| {
            rows.push((schema.namespace.clone(), schema.name.clone(), name.to_owned(), data_type, role, u64::from(id)));
        };
        push(&schema.time.name, "TIMESTAMP", "time", schema.time.id.0);
        schema.tags.iter().for_each(|tag| push(&tag.name, "TEXT", "tag", tag.id.0));
        schema.fields.iter().for_each(|field| push(&field.name, sql_type(field.field_type), "field", field.id.0));
    }
    TableBuilder::default()
        .text("namespace", rows.iter().map(|row| row.0.clone()))
        .text("table_name", rows.iter().map(|row| row.1.clone()))
        .text("column_name", rows.iter().map(|row| row.2.clone()))
        .text("data_type", rows.iter().map(|row| row.3.to_owned()))
        .text("role", rows.iter().map(|row| row.4.to_owned()))
        .count("column_id", rows.iter().map(|row| row.5))
        .build()
}

/// A row per series: its tags as `name=value` pairs, its first and last time, and its rows, duplicates counted.
pub(super) fn series(snapshot: &Snapshot) -> Result<RecordBatch> {
    let mut rows: Vec<(String, String, String, TimeRange, u64)> = Vec::new();
    for schema in snapshot.tables() {
        let Ok(table) = snapshot.table_by_id(schema.id) else { continue };
        for series in table.series(&TagFilter::all(), TimeRange::ALL)?.iter() {
            let tags = schema.tags.iter().enumerate();
            let tags: Vec<_> =
                tags.filter_map(|(tag, column)| Some(format!("{}={}", column.name, series.tag(tag)?))).collect();
            let (bounds, count) = (series.time_bounds(), series.row_count_estimate());
            rows.push((schema.namespace.clone(), schema.name.clone(), tags.join(","), bounds, count));
        }
    }
    TableBuilder::default()
        .text("namespace", rows.iter().map(|row| row.0.clone()))
        .text("table_name", rows.iter().map(|row| row.1.clone()))
        .text("tags", rows.iter().map(|row| row.2.clone()))
        .time("first_time", rows.iter().map(|row| row.3.start_ns))
        .time("last_time", rows.iter().map(|row| row.3.end_ns))
        .count("rows", rows.iter().map(|row| row.4))
        .build()
}
