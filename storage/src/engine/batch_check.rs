//! Refuses batches that could not be flushed or replayed, before they are logged.
//!
//! Replay runs the same check: what a log of another life brings must not stop the open or reach the memtable.

use hashbrown::HashSet;

use crate::error::{Error, Result};
use crate::memtable::FoundSeries;
use crate::snapshot::{Version, cast_to};
use crate::types::{FieldType, SeriesBatch, SeriesKey, TableSchema};

/// Casts columns of batches that were put together before their field was widened.
pub(super) fn widen_batches(version: &Version, batches: &mut [SeriesBatch]) -> Result<()> {
    for batch in batches {
        let Some(table) = version.tables.get(&batch.table) else { continue };
        for (id, array) in &mut batch.fields {
            let Some(field) = table.schema.field_index_by_id(*id).map(|field| &table.schema.fields[field]) else {
                continue;
            };
            let found = FieldType::of_arrow(array.data_type());
            if found.is_some_and(|found| found != field.field_type && found.can_widen_to(field.field_type)) {
                *array = cast_to(array, field.field_type)?;
            }
        }
    }
    Ok(())
}

/// Whether every batch belongs to a table and fits it; `found` are its series as the memtable has them.
pub(super) fn check_batches(version: &Version, batches: &[SeriesBatch], found: &[FoundSeries]) -> Result<()> {
    let mut seen = SeenSeries::default();
    for (batch, found) in batches.iter().zip(found) {
        let table = version
            .tables
            .get(&batch.table)
            .ok_or_else(|| Error::TableNotFound { name: format!("with id {}", batch.table) })?;
        check_series(&table.schema, batch, Some(found), &mut seen)?;
        check_fields(&table.schema, batch)?;
    }
    Ok(())
}

/// Whether a batch fits its table: groups that cover the rows one after the other, distinct well-formed keys, fields of
/// the table, each once and of its type and length. Fields that the table has no more are left alone.
pub(super) fn check_batch(schema: &TableSchema, batch: &SeriesBatch) -> Result<()> {
    check_series(schema, batch, None, &mut SeenSeries::default())?;
    check_fields(schema, batch)
}

fn check_fields(schema: &TableSchema, batch: &SeriesBatch) -> Result<()> {
    let rows = batch.row_count();
    for (position, (id, array)) in batch.fields.iter().enumerate() {
        let field = schema.field_index_by_id(*id).map(|field| &schema.fields[field]);
        if field.is_none() && !schema.is_dropped(*id) {
            return Err(Error::invalid(format!("table '{}' has no field with id {id}", schema.name)));
        }
        // A field that was dropped since the batch was put together: its values are left out when they are read.
        let Some(field) = field else { continue };
        if batch.fields[..position].iter().any(|(other, _)| other == id) {
            return Err(Error::invalid(format!("field '{}' stands twice in a batch", field.name)));
        }
        if array.len() != rows || *array.data_type() != field.field_type.arrow_type() {
            return Err(Error::invalid(format!(
                "field '{}' of table '{}' needs {rows} values of type {}",
                field.name,
                schema.name,
                field.field_type.arrow_type()
            )));
        }
    }
    Ok(())
}

/// The series of a batch so far. Kept from batch to batch of a commit, which may have hundreds of short ones.
#[derive(Default)]
struct SeenSeries<'a> {
    /// Numbers of series that the memtable has.
    known: HashSet<u32>,
    new: HashSet<&'a SeriesKey>,
}

/// A series that the memtable has was checked when it came there; only those that are new are looked into.
fn check_series<'a>(
    schema: &TableSchema,
    batch: &'a SeriesBatch,
    found: Option<&FoundSeries>,
    seen: &mut SeenSeries<'a>,
) -> Result<()> {
    let mut covered = 0;
    seen.known.clear();
    seen.new.clear();
    // As long as numbers ascend none stands twice, which is how most senders bring them.
    let (mut highest, mut is_ascending) = (None, true);
    for (index, group) in batch.series.iter().enumerate() {
        if group.rows.start as usize != covered || group.rows.end <= group.rows.start {
            return Err(Error::invalid("each series of a batch needs rows, one series after the other"));
        }
        covered = group.rows.end as usize;
        let is_first = match found.and_then(|found| found.number(index)) {
            number @ Some(_) if is_ascending && number > highest => {
                highest = number;
                true
            }
            Some(number) => {
                if std::mem::take(&mut is_ascending) {
                    let before =
                        found.into_iter().flat_map(|found| (0..index).filter_map(move |before| found.number(before)));
                    seen.known.extend(before);
                }
                seen.known.insert(number)
            }
            _ if is_key_of(schema, &group.key) => seen.new.insert(&group.key),
            _ => return Err(Error::invalid(format!("a series key does not fit the tags of table '{}'", schema.name))),
        };
        if !is_first {
            return Err(Error::invalid("a series stands twice in a batch: put its rows together"));
        }
    }
    if covered != batch.row_count() {
        return Err(Error::invalid("the series of a batch must cover all of its rows"));
    }
    Ok(())
}

fn is_key_of(schema: &TableSchema, key: &SeriesKey) -> bool {
    let tag_count = schema.tags.len();
    // An ASCII key has ASCII tags; others are decoded to see whether each is UTF-8.
    let is_text = || key.decode(tag_count).iter().flatten().all(|tag| std::str::from_utf8(tag).is_ok());
    SeriesKey::is_well_formed(key.as_bytes(), tag_count) && (key.as_bytes().is_ascii() || is_text())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};

    use super::*;
    use crate::types::{ColumnId, FieldType, SeriesRows, TableId, TableSpec};

    fn batch(keys: &[(&[u8], std::ops::Range<u32>)], fields: &[u32], rows: i64) -> SeriesBatch {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        SeriesBatch {
            table: TableId(1),
            series: keys
                .iter()
                .map(|(key, rows)| SeriesRows { key: SeriesKey::from_encoded(key), rows: rows.clone() })
                .collect(),
            times: (0..rows).collect::<Vec<_>>().into(),
            fields: fields.iter().map(|id| (ColumnId(*id), Arc::clone(&values))).collect(),
        }
    }

    #[test]
    fn what_could_not_be_flushed_is_refused() {
        let spec = TableSpec::new("t").tag("host").field("v", FieldType::I64).field("w", FieldType::F64);
        let schema = TableSchema::from_spec(TableId(1), &spec).unwrap();
        let (a, b): (&[u8], &[u8]) = (b"\x01a\0\0", b"\x01b\0\0");
        check_batch(&schema, &batch(&[(a, 0..1), (b, 1..3)], &[2], 3)).unwrap();
        check_batch(&schema, &batch(&[(b"", 0..3)], &[], 3)).unwrap();
        check_batch(&schema, &batch(&[("\x01\u{e4}\0\0".as_bytes(), 0..3)], &[], 3)).unwrap();
        for refused in [
            batch(&[(a, 0..1), (a, 1..3)], &[2], 3),
            batch(&[(a, 0..0), (b, 0..3)], &[2], 3),
            batch(&[(a, 0..2)], &[2], 3),
            batch(&[(b"\x01a", 0..3)], &[2], 3),
            batch(&[(b"\x01a\0\0\x01b\0\0", 0..3)], &[2], 3),
            batch(&[(b"\x01\xff\0\0", 0..3)], &[2], 3),
            batch(&[(a, 0..3)], &[2, 2], 3),
            batch(&[(a, 0..3)], &[3], 3),
            batch(&[(a, 0..3)], &[9], 3),
        ] {
            assert!(check_batch(&schema, &refused).is_err(), "{refused:?}");
        }
    }
}
