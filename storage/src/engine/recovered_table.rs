//! Tables of which only rows in the log are left.
//!
//! A table whose record in the manifest was lost before its first flush has no segment that would describe it. Its rows
//! are in the log, with ids and types of fields and with tag values, but without names. Invariant: such rows are never
//! left out; they go to a table with made-up names, which an operator can rename or copy from.

use std::collections::BTreeSet;

use crate::types::{
    ColumnId, Dedup, FieldColumn, FieldType, SeriesBatch, SeriesKey, TableId, TableOptions, TableSchema, TableSpec,
    TagColumn,
};

/// Ids of tags that the log does not tell are taken from here on, so that they do not meet those of fields that turn up
/// later.
const TAG_ID_BASE: u32 = 1 << 16;

/// More tags than this are not made up: the key is no key.
const TAGS_MAX: usize = 1 << 10;

/// A schema that `batch` fits: `known` with the columns that it lacks, or a new one. `None` when there is no such
/// schema, for a field has another type, or when nothing is lacking.
pub(super) fn recovered_schema(known: Option<&TableSchema>, batch: &SeriesBatch) -> Option<TableSchema> {
    let mut schema = match known {
        Some(known) => known.clone(),
        None => nameless_table(batch.table)?,
    };
    let tag_count = batch.series.iter().map(|series| tag_count(&series.key)).max()??;
    let mut is_changed = known.is_none();
    for (id, array) in &batch.fields {
        let field_type = FIELD_TYPES.into_iter().find(|field_type| field_type.arrow_type() == *array.data_type())?;
        match schema.field_index_by_id(*id).map(|field| schema.fields[field].field_type) {
            Some(known) if known == field_type => {}
            Some(_) => return None,
            None => {
                if *id == schema.time.id || id.0 == u32::MAX || schema.tags.iter().any(|tag| tag.id == *id) {
                    return None;
                }
                let name = free_name(&schema, *id);
                schema.fields.push(FieldColumn { id: *id, name, field_type });
                schema.next_column_id = schema.next_column_id.max(id.next());
                is_changed = true;
            }
        }
    }
    while schema.tags.len() < tag_count {
        let used: BTreeSet<ColumnId> =
            schema.tags.iter().map(|tag| tag.id).chain(schema.fields.iter().map(|field| field.id)).collect();
        let id = (TAG_ID_BASE.max(schema.next_column_id.0)..u32::MAX).map(ColumnId).find(|id| !used.contains(id))?;
        let name = free_name(&schema, id);
        schema.tags.push(TagColumn { id, name });
        schema.next_column_id = schema.next_column_id.max(id.next());
        is_changed = true;
    }
    if known.is_some() {
        schema.version += 1;
    }
    is_changed.then_some(schema)
}

const FIELD_TYPES: [FieldType; 6] =
    [FieldType::F64, FieldType::I64, FieldType::U64, FieldType::Bool, FieldType::String, FieldType::Binary];

fn nameless_table(id: TableId) -> Option<TableSchema> {
    // Every row is kept: what the table did with duplicates is not known.
    let options = TableOptions { dedup: Dedup::Off, ..TableOptions::default() };
    TableSchema::from_spec(id, &TableSpec::new(format!("recovered_{id}")).options(options)).ok()
}

/// A name that says which column it was.
fn free_name(schema: &TableSchema, id: ColumnId) -> String {
    let mut name = format!("column_{id}");
    while schema.column_exists(&name) {
        name.push('_');
    }
    name
}

/// Number of tags in a key, which ends with a value; `None` when it is not well formed.
fn tag_count(key: &SeriesKey) -> Option<usize> {
    let bytes = key.as_bytes();
    // The shortest tag has one byte.
    let bound = bytes.len().min(TAGS_MAX);
    (0..=bound).find(|count| SeriesKey::is_well_formed(bytes, *count))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::engine::batch_check::check_batch;
    use crate::types::SeriesRows;

    fn batch(tags: &[Option<&str>], fields: &[(u32, ArrayRef)]) -> SeriesBatch {
        SeriesBatch {
            table: TableId(7),
            series: vec![SeriesRows {
                key: SeriesKey::from_tags(tags.iter().map(|tag| tag.map(str::as_bytes))),
                rows: 0..1,
            }],
            times: vec![1].into(),
            fields: fields.iter().map(|(id, array)| (ColumnId(*id), Arc::clone(array))).collect(),
        }
    }

    fn number() -> ArrayRef {
        Arc::new(Int64Array::from(vec![1]))
    }

    #[test]
    fn a_made_up_table_takes_the_rows_it_was_made_up_for() {
        let first = batch(&[Some("a"), None, Some("b")], &[(2, number()), (5, Arc::new(StringArray::from(vec!["x"])))]);
        let schema = recovered_schema(None, &first).unwrap();
        check_batch(&schema, &first).unwrap();
        assert_eq!((schema.tags.len(), schema.fields.len()), (3, 2));
        assert_eq!(recovered_schema(Some(&schema), &first), None, "nothing is lacking");
        let wider = batch(&[Some("a"), None, None, Some("c")], &[(9, number())]);
        let schema = recovered_schema(Some(&schema), &wider).unwrap();
        check_batch(&schema, &wider).unwrap();
        check_batch(&schema, &first).unwrap();
        assert_eq!(schema.version, 2);
    }

    #[test]
    fn a_field_of_another_type_is_not_made_to_fit() {
        let schema = recovered_schema(None, &batch(&[], &[(2, number())])).unwrap();
        let other = batch(&[], &[(2, Arc::new(StringArray::from(vec!["x"])))]);
        assert_eq!(recovered_schema(Some(&schema), &other), None);
        let time = batch(&[], &[(0, number())]);
        assert_eq!(recovered_schema(None, &time), None);
    }
}
