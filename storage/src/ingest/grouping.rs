//! Groups the rows of a batch by series.
//!
//! Works on tag codes: tag after tag, the group of a row becomes (group so far, code), unless the code follows from the
//! group. Rows that follow one another with equal tags cost one comparison per tag; the strings of a series are touched
//! once per batch.

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_select::take::take;
use hashbrown::HashMap;

use super::columns::{TagCodes, resolve};
use crate::error::{Error, Result};
use crate::types::{ColumnId, SeriesBatch, SeriesKey, SeriesRows, TableId, TableSchema};

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
    let RowGroups { groups, first_rows } = RowGroups::of(&present, rows);

    let mut key = Vec::new();
    // The first row of each group stands for it.
    let keys = first_rows.into_iter().map(|first_row| {
        let row = first_row as usize;
        SeriesKey::encode_into(
            columns.tags.iter().map(|tag| {
                let tag = tag.as_ref()?;
                let code = tag.codes[row] as usize;
                (code < tag.values.len()).then(|| tag.values.value(code).as_bytes())
            }),
            &mut key,
        );
        SeriesKey::from_encoded(&key)
    });
    let keys = keys.collect();
    arrange(schema.id, keys, &groups, columns.times, columns.fields)
}

/// Puts the rows of each series together, in the order in which they came. `groups` says the series of each row as a
/// place in `keys`, each of which has a row; no key stands twice.
///
/// # Errors
/// `InvalidInput` when a field cannot be put into order.
///
/// # Panics
/// When a group is no place in `keys`, or there are not as many groups as times.
pub fn arrange(
    table: TableId,
    keys: Vec<SeriesKey>,
    groups: &[u32],
    times: ScalarBuffer<i64>,
    fields: Vec<(ColumnId, ArrayRef)>,
) -> Result<SeriesBatch> {
    let mut next = vec![0_u32; keys.len()];
    for &group in groups {
        next[group as usize] += 1;
    }
    let mut end = 0;
    let series = keys.into_iter().zip(&mut next).map(|(key, next)| {
        // The number of rows of a series becomes the place of its first one.
        let start = end;
        end += *next;
        *next = start;
        SeriesRows { key, rows: start..end }
    });
    let series = series.collect();
    if groups.is_sorted() {
        return Ok(SeriesBatch { table, series, times, fields });
    }
    let mut permutation = vec![0_u32; groups.len()];
    for (row, &group) in groups.iter().enumerate() {
        let position = &mut next[group as usize];
        permutation[*position as usize] = row as u32;
        *position += 1;
    }
    let times: Vec<i64> = permutation.iter().map(|&row| times[row as usize]).collect();
    let permutation = UInt32Array::from(permutation);
    let fields = fields.into_iter().map(|(id, array)| match take(&array, &permutation, None) {
        Ok(taken) => Ok((id, taken)),
        Err(error) => Err(Error::invalid(format!("the batch cannot be reordered: {error}"))),
    });
    let fields = fields.collect::<Result<Vec<(_, ArrayRef)>>>()?;
    Ok(SeriesBatch { table, series, times: times.into(), fields })
}

/// Rows of equal tags, in groups that are numbered by first appearance.
struct RowGroups {
    /// The group of each row.
    groups: Vec<u32>,
    /// The first row of each group.
    first_rows: Vec<u32>,
}

impl RowGroups {
    fn of(tags: &[&TagCodes], rows: usize) -> Self {
        let mut all = Self { groups: vec![0; rows], first_rows: if rows == 0 { Vec::new() } else { vec![0] } };
        // Of each row, that of its group.
        let mut first_rows = vec![0; rows];
        for tag in tags {
            // Mostly the first tags name the series, and the others say no more.
            if is_same_in_groups(&tag.codes, &first_rows) {
                continue;
            }
            all.split_by(tag);
            for (first_row, &group) in first_rows.iter_mut().zip(&all.groups) {
                *first_row = all.first_rows[group as usize];
            }
        }
        all
    }

    /// Splits groups by the codes of a tag.
    fn split_by(&mut self, tag: &TagCodes) {
        let code_count = tag.values.len() + 1;
        let cells = self.first_rows.len().checked_mul(code_count).filter(|&cells| cells <= DENSE_CELLS_MAX);
        self.first_rows.clear();
        match cells {
            Some(cells) => {
                let mut table = vec![u32::MAX; cells];
                self.renumber(&tag.codes, |group, code, next| {
                    let cell = &mut table[group as usize * code_count + code as usize];
                    if *cell == u32::MAX {
                        *cell = next;
                    }
                    *cell
                });
            }
            None => {
                let mut table: HashMap<(u32, u32), u32> = HashMap::new();
                self.renumber(&tag.codes, |group, code, next| *table.entry((group, code)).or_insert(next));
            }
        }
    }

    /// Gives each pair of a group and a code a number: that of `find`, which takes the next one for a pair that is new.
    fn renumber(&mut self, codes: &[u32], mut find: impl FnMut(u32, u32, u32) -> u32) {
        let (mut last, mut number) = (None, 0);
        for ((row, group), &code) in (0..).zip(&mut self.groups).zip(codes) {
            let pair = (*group, code);
            if last != Some(pair) {
                last = Some(pair);
                let next = self.first_rows.len() as u32;
                number = find(pair.0, pair.1, next);
                if number == next {
                    self.first_rows.push(row);
                }
            }
            *group = number;
        }
    }
}

/// Whether every row has the code of the first row of its group.
fn is_same_in_groups(codes: &[u32], first_rows: &[u32]) -> bool {
    const CHECK_ROWS: usize = 512;
    let differs = |difference, (&code, &first_row): (&u32, &u32)| difference | (code ^ codes[first_row as usize]);
    let mut parts = codes.chunks(CHECK_ROWS).zip(first_rows.chunks(CHECK_ROWS));
    parts.all(|(codes, first_rows)| codes.iter().zip(first_rows).fold(0, differs) == 0)
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
    use crate::types::{FieldType, TableSpec};

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
