//! Groups the rows of a batch by series.
//!
//! Works on tag codes: tag after tag, the group of a row becomes (group so far, code). Rows that follow one another with
//! equal tags cost one comparison per tag; the strings of a series are touched once per batch.

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_select::take::take;
use hashbrown::HashMap;

use super::columns::{TagCodes, resolve};
use crate::error::{Error, Result};
use crate::types::{SeriesBatch, SeriesKey, SeriesRows, TableSchema};

/// Below this many cells a dense table finds the group of (group, code); above it a hash map does.
const DENSE_CELLS_MAX: usize = 1 << 20;

/// Checks a record batch against a table and groups its rows by series.
///
/// Columns are matched by name. A missing tag or field column is NULL in every row.
///
/// # Errors
/// `InvalidInput` names the column (and row) that does not fit, and what to do.
pub fn group_rows(schema: &TableSchema, batch: &RecordBatch) -> Result<SeriesBatch> {
    if u32::try_from(batch.num_rows()).is_err() {
        return Err(Error::invalid("a batch holds at most 4,294,967,295 rows: split it"));
    }
    let columns = resolve(schema, batch)?;
    let rows = batch.num_rows();
    let present: Vec<&TagCodes> = columns.tags.iter().flatten().collect();
    let (groups, group_count) = group_ids(&present, rows);

    // The first row of each group stands for it; groups are numbered by first appearance.
    let mut counts = vec![0_u32; group_count];
    let mut representative = vec![u32::MAX; group_count];
    for (row, &group) in groups.iter().enumerate() {
        counts[group as usize] += 1;
        if representative[group as usize] == u32::MAX {
            representative[group as usize] = row as u32;
        }
    }
    let mut series = Vec::with_capacity(group_count);
    let mut start = 0;
    let mut key = Vec::new();
    for group in 0..group_count {
        let row = representative[group] as usize;
        SeriesKey::encode_into(
            columns.tags.iter().map(|tag| {
                let tag = tag.as_ref()?;
                let code = tag.codes[row] as usize;
                (code < tag.values.len()).then(|| tag.values.value(code).as_bytes())
            }),
            &mut key,
        );
        let end = start + counts[group];
        series.push(SeriesRows { key: SeriesKey::from_encoded(&key), rows: start..end });
        start = end;
    }

    if groups.is_sorted() {
        return Ok(SeriesBatch { table: schema.id, series, times: columns.times, fields: columns.fields });
    }
    let mut next: Vec<u32> = series.iter().map(|group| group.rows.start).collect();
    let mut permutation = vec![0_u32; rows];
    for (row, &group) in groups.iter().enumerate() {
        let position = &mut next[group as usize];
        permutation[*position as usize] = row as u32;
        *position += 1;
    }
    let times: Vec<i64> = permutation.iter().map(|&row| columns.times[row as usize]).collect();
    let permutation = UInt32Array::from(permutation);
    let fields = columns
        .fields
        .into_iter()
        .map(|(id, array)| match take(&array, &permutation, None) {
            Ok(taken) => Ok((id, taken)),
            Err(error) => Err(Error::invalid(format!("the batch cannot be reordered: {error}"))),
        })
        .collect::<Result<Vec<(_, ArrayRef)>>>()?;
    Ok(SeriesBatch { table: schema.id, series, times: times.into(), fields })
}

/// The group of each row, numbered by first appearance, and the number of groups.
fn group_ids(tags: &[&TagCodes], rows: usize) -> (Vec<u32>, usize) {
    if rows == 0 {
        return (Vec::new(), 0);
    }
    let mut groups = vec![0_u32; rows];
    let mut group_count = 1;
    for tag in tags {
        group_count = refine(&mut groups, group_count, &tag.codes, tag.values.len() + 1);
    }
    (groups, group_count)
}

/// Splits groups by a code per row; returns the number of groups.
fn refine(groups: &mut [u32], group_count: usize, codes: &[u32], code_count: usize) -> usize {
    let mut next = 0;
    let mut last = None;
    let mut last_group = 0;
    let mut assign = |row: usize, group: &mut u32, find: &mut dyn FnMut(u32, u32, &mut u32) -> u32| {
        let pair = (*group, codes[row]);
        if last != Some(pair) {
            last = Some(pair);
            last_group = find(pair.0, pair.1, &mut next);
        }
        *group = last_group;
    };
    match group_count.checked_mul(code_count).filter(|&cells| cells <= DENSE_CELLS_MAX) {
        Some(cells) => {
            let mut table = vec![u32::MAX; cells];
            let mut find = |group: u32, code: u32, next: &mut u32| {
                let cell = &mut table[group as usize * code_count + code as usize];
                if *cell == u32::MAX {
                    *cell = *next;
                    *next += 1;
                }
                *cell
            };
            for (row, group) in groups.iter_mut().enumerate() {
                assign(row, group, &mut find);
            }
        }
        None => {
            let mut table: HashMap<(u32, u32), u32> = HashMap::new();
            let mut find = |group: u32, code: u32, next: &mut u32| {
                *table.entry((group, code)).or_insert_with(|| {
                    *next += 1;
                    *next - 1
                })
            };
            for (row, group) in groups.iter_mut().enumerate() {
                assign(row, group, &mut find);
            }
        }
    }
    next as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int32Type};
    use arrow_array::{
        BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray, UInt64Array,
    };
    use arrow_schema::{Field, Schema};

    use super::*;
    use crate::types::{FieldType, TableId, TableSpec};

    fn schema() -> TableSchema {
        let spec =
            TableSpec::new("cpu").tag("host").tag("region").field("usage", FieldType::F64).field("n", FieldType::I64);
        TableSchema::from_spec(TableId(1), &spec).unwrap()
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
            .unwrap()
    }

    fn times(values: Vec<i64>) -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from(values))
    }

    #[test]
    fn rows_are_grouped_in_order_of_first_appearance() {
        let grouped = group_rows(
            &schema(),
            &batch(vec![
                ("time", times(vec![1, 2, 3, 4])),
                ("host", Arc::new(StringArray::from(vec![Some("b"), Some("a"), Some("b"), None]))),
                ("usage", Arc::new(Int64Array::from(vec![10, 20, 30, 40]))),
            ]),
        )
        .unwrap();
        let keys: Vec<_> =
            grouped.series.iter().map(|group| (group.key.decode(2)[0].clone(), group.rows.clone())).collect();
        assert_eq!(keys, [(Some(b"b".to_vec()), 0..2), (Some(b"a".to_vec()), 2..3), (None, 3..4)]);
        assert_eq!(grouped.times.to_vec(), [1_000_000, 3_000_000, 2_000_000, 4_000_000]);
        assert_eq!(grouped.fields[0].1.as_primitive::<Float64Type>().values().to_vec(), [10.0, 30.0, 20.0, 40.0]);
    }

    #[test]
    fn equal_values_under_two_dictionary_keys_are_one_series() {
        let keys = Int32Array::from(vec![0, 1, 2, 0]);
        let values = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        let host = DictionaryArray::<Int32Type>::new(keys, values);
        let grouped =
            group_rows(&schema(), &batch(vec![("time", times(vec![1, 2, 3, 4])), ("host", Arc::new(host))])).unwrap();
        assert_eq!(grouped.series.len(), 2);
        assert_eq!(grouped.times.to_vec(), [1_000_000, 3_000_000, 4_000_000, 2_000_000]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        let time = || ("time", times(vec![1]));
        let refused = |columns| group_rows(&schema(), &batch(columns)).unwrap_err().to_string();
        assert!(
            refused(vec![("host", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]).contains("time column 'time'")
        );
        assert!(refused(vec![time(), ("x", Arc::new(Int64Array::from(vec![1])))]).contains("no column 'x'"));
        assert!(refused(vec![time(), ("n", Arc::new(UInt64Array::from(vec![1])))]).contains("UInt64"));
        assert!(refused(vec![time(), ("n", Arc::new(BooleanArray::from(vec![true])))]).contains("Boolean"));
        assert!(refused(vec![time(), ("host", Arc::new(Int64Array::from(vec![1])))]).contains("tags"));
        let null_time = Arc::new(TimestampMillisecondArray::from(vec![Some(1), None]));
        assert!(refused(vec![("time", null_time)]).contains("row 1 has no time"));
        assert!(refused(vec![("time", times(vec![i64::MAX]))]).contains("does not fit"));
    }

    #[test]
    fn many_groups_find_their_series_through_the_hash_map() {
        let hosts: Vec<String> = (0..3000).map(|host| format!("host_{}", host % 1500)).collect();
        let regions: Vec<String> = (0..3000).map(|row| format!("region_{}", row % 1000)).collect();
        let grouped = group_rows(
            &schema(),
            &batch(vec![
                ("time", times((0..3000).collect())),
                ("host", Arc::new(StringArray::from(hosts))),
                ("region", Arc::new(StringArray::from(regions))),
            ]),
        )
        .unwrap();
        assert_eq!(grouped.series.len(), 3000);
    }
}
