//! `system.cardinality`: how many series each tag of a table divides its rows into.

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use lynxstore_storage::snapshot::{Snapshot, TagFilter};
use lynxstore_storage::types::TimeRange;

use super::builder::TableBuilder;
use crate::error::Result;

/// A row per tag of each table: its different values, the series that have one, and all series of the table. Exact, from
/// the dictionaries of the series; one table is looked at at a time.
pub(super) fn cardinality(snapshot: &Snapshot) -> Result<RecordBatch> {
    let mut rows: Vec<(String, String, String, [u64; 3])> = Vec::new();
    for schema in snapshot.tables() {
        let Ok(table) = snapshot.table_by_id(schema.id) else { continue };
        let set = table.series(&TagFilter::all(), TimeRange::ALL)?;
        for (position, tag) in schema.tags.iter().enumerate() {
            let column = set.tag_column(position);
            let mut is_used = vec![false; column.values.len()];
            let mut tagged = 0;
            for &index in &column.indices {
                // NULL is beyond every value.
                if let Some(is_used) = is_used.get_mut(index as usize) {
                    *is_used = true;
                    tagged += 1;
                }
            }
            let values = is_used.into_iter().filter(|is_used| *is_used).count() as u64;
            let counts = [values, tagged, set.len() as u64];
            rows.push((schema.namespace.clone(), schema.name.clone(), tag.name.clone(), counts));
        }
    }
    TableBuilder::default()
        .text("namespace", rows.iter().map(|row| row.0.clone()))
        .text("table_name", rows.iter().map(|row| row.1.clone()))
        .text("label", rows.iter().map(|row| row.2.clone()))
        .count("distinct_values", rows.iter().map(|row| row.3[0]))
        .count("series_with_label", rows.iter().map(|row| row.3[1]))
        .count("series", rows.iter().map(|row| row.3[2]))
        .build()
}
