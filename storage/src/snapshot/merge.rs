//! Merges rows of one series from several sources into one sorted chunk and resolves duplicates by the table's rule.
//!
//! Sources come in commit order, so that of two rows of equal time the one that stands later was committed later.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::ArrowError;
use arrow_select::concat::concat;
use arrow_select::take::take;

use crate::error::{Error, Result};
use crate::memtable::{LazyZones, RowChunk, TimeOrder};
use crate::types::{Dedup, FieldColumn, TimeRange};

/// Merges `chunks` for the given fields; keeps the rows in `range`. The result has every field as a column.
pub(crate) fn merge_chunks(
    chunks: &[Arc<RowChunk>],
    fields: &[FieldColumn],
    dedup: Dedup,
    range: TimeRange,
) -> Result<RowChunk> {
    let times: Vec<i64> = chunks.iter().flat_map(|chunk| chunk.times.iter().copied()).collect();
    if let (Some(&first), Some(&last)) = (times.first(), times.last())
        && range.contains(first)
        && range.contains(last)
        && times.is_sorted_by(|before, after| before < after)
    {
        // Every row stays, in its place: as rows mostly come.
        let columns: Result<_> = fields.iter().map(|field| Ok((field.id, whole_column(chunks, field)?))).collect();
        let bounds = TimeRange { start_ns: first, end_ns: last };
        let order = TimeOrder::StrictlyIncreasing;
        return Ok(RowChunk { times: times.into(), columns: columns?, order, bounds, zones: LazyZones::default() });
    }
    let order = rows_by_time(&times, range);
    let has_duplicates = !order.is_sorted_by(|&before, &after| times[before as usize] < times[after as usize]);
    let groups = if has_duplicates { groups_of_equal_time(&order, &times) } else { Vec::new() };
    // The rows that survive where no column says otherwise with a NULL.
    let rows = match has_duplicates {
        true => surviving_rows(&order, &groups, dedup, |_| true),
        false => order.clone(),
    };
    let merged_times: Vec<i64> = rows.iter().map(|&row| times[row as usize]).collect();
    let all_stay = is_identity(&rows, times.len());
    let rows = UInt32Array::from(rows);
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let all = whole_column(chunks, field)?;
        let array = if has_duplicates && dedup == Dedup::Last && all.null_count() > 0 {
            let rows = surviving_rows(&order, &groups, dedup, |row| all.is_valid(row as usize));
            take(&all, &UInt32Array::from(rows), None).map_err(bug)?
        } else if all_stay {
            all
        } else {
            take(&all, &rows, None).map_err(bug)?
        };
        columns.push((field.id, array));
    }

    let bounds = match (merged_times.first(), merged_times.last()) {
        (Some(&start_ns), Some(&end_ns)) => TimeRange { start_ns, end_ns },
        _ => TimeRange { start_ns: i64::MAX, end_ns: i64::MIN },
    };
    let is_strict = !has_duplicates || dedup != Dedup::Off;
    let order = if is_strict { TimeOrder::StrictlyIncreasing } else { TimeOrder::Mixed };
    let zones = LazyZones::default();
    Ok(RowChunk { times: ScalarBuffer::from(merged_times), columns, order, bounds, zones })
}

/// The rows in `range` in the order of time, those of equal time in commit order.
///
/// Rows mostly come in order. Those that are late, before one that came earlier, are sorted and merged into the others: a
/// sort of all rows finds no runs where one in twenty is late.
fn rows_by_time(times: &[i64], range: TimeRange) -> Vec<u32> {
    let mut in_order = Vec::with_capacity(times.len());
    let mut late = Vec::new();
    let mut latest = i64::MIN;
    for (row, &time) in (0u32..).zip(times).filter(|(_, time)| range.contains(**time)) {
        if time >= latest {
            latest = time;
            in_order.push(row);
        } else {
            late.push(row);
        }
    }
    if late.is_empty() {
        return in_order;
    }
    // Stable, and fast where the rows of a whole source are late.
    late.sort_by_key(|&row| times[row as usize]);
    // Row numbers, which grow with commits, tell equal times apart.
    let key = |row: u32| (times[row as usize], row);
    let mut merged = Vec::with_capacity(in_order.len() + late.len());
    let mut late = late.into_iter().peekable();
    for row in in_order {
        while let Some(earlier) = late.next_if(|&late| key(late) < key(row)) {
            merged.push(earlier);
        }
        merged.push(row);
    }
    merged.extend(late);
    merged
}

/// A field of all chunks, one behind the other.
fn whole_column(chunks: &[Arc<RowChunk>], field: &FieldColumn) -> Result<ArrayRef> {
    let column = |chunk: &Arc<RowChunk>| match chunk.column(field.id) {
        Some(array) => Arc::clone(array),
        None => new_null_array(&field.field_type.arrow_type(), chunk.times.len()),
    };
    let parts: Vec<ArrayRef> = chunks.iter().map(column).collect();
    match parts.as_slice() {
        [only] => Ok(Arc::clone(only)),
        [] => Ok(new_null_array(&field.field_type.arrow_type(), 0)),
        parts => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(bug),
    }
}

/// Positions in `order` at which a new time starts.
fn groups_of_equal_time(order: &[u32], times: &[i64]) -> Vec<u32> {
    let mut groups = Vec::with_capacity(order.len());
    let mut last = None;
    for (position, &row) in order.iter().enumerate() {
        let time = times[row as usize];
        if last != Some(time) {
            groups.push(position as u32);
            last = Some(time);
        }
    }
    groups
}

/// For each row of the result, the input row that gives the value of a column in which `has_value` rows have one.
fn surviving_rows(order: &[u32], groups: &[u32], dedup: Dedup, has_value: impl Fn(u32) -> bool) -> Vec<u32> {
    let group_end = |group: usize| groups.get(group + 1).map_or(order.len(), |&end| end as usize);
    match dedup {
        Dedup::Off => order.to_vec(),
        Dedup::First => groups.iter().map(|&start| order[start as usize]).collect(),
        Dedup::Last => groups
            .iter()
            .enumerate()
            .map(|(group, &start)| {
                let rows = &order[start as usize..group_end(group)];
                let last = rows[rows.len() - 1];
                if rows.len() == 1 || has_value(last) {
                    return last;
                }
                // A NULL says nothing: the field keeps the older value.
                rows.iter().rev().copied().find(|&row| has_value(row)).unwrap_or(last)
            })
            .collect(),
    }
}

fn is_identity(rows: &[u32], len: usize) -> bool {
    rows.len() == len && rows.iter().enumerate().all(|(position, &row)| position as u32 == row)
}

fn bug(error: ArrowError) -> Error {
    Error::invalid(format!("columns of one field have different types: {error}"))
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    use super::*;
    use crate::types::{ColumnId, FieldType};

    fn chunk(rows: &[(i64, Option<i64>)]) -> Arc<RowChunk> {
        let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
        Arc::new(RowChunk {
            bounds: TimeRange::ALL,
            times: times.into(),
            columns: vec![(ColumnId(1), values)],
            order: TimeOrder::Mixed,
            zones: LazyZones::default(),
        })
    }

    fn merged(dedup: Dedup, range: TimeRange, chunks: &[Arc<RowChunk>]) -> Vec<(i64, Option<i64>)> {
        let field = FieldColumn { id: ColumnId(1), name: "v".into(), field_type: FieldType::I64 };
        let merged = merge_chunks(chunks, &[field], dedup, range).unwrap();
        let values = merged.columns[0].1.as_primitive::<Int64Type>().iter();
        merged.times.iter().copied().zip(values).collect()
    }

    #[test]
    fn last_keeps_the_later_value_and_the_older_one_where_the_later_is_null() {
        let chunks =
            [chunk(&[(1, Some(10)), (2, Some(20)), (3, Some(30))]), chunk(&[(2, Some(21)), (3, None), (2, Some(22))])];
        assert_eq!(merged(Dedup::Last, TimeRange::ALL, &chunks), [(1, Some(10)), (2, Some(22)), (3, Some(30))]);
    }

    #[test]
    fn first_keeps_the_earliest_row_whole() {
        let chunks = [chunk(&[(1, None), (2, Some(20))]), chunk(&[(1, Some(11)), (0, Some(0))])];
        assert_eq!(merged(Dedup::First, TimeRange::ALL, &chunks), [(0, Some(0)), (1, None), (2, Some(20))]);
    }

    #[test]
    fn off_keeps_every_row_in_commit_order() {
        let chunks = [chunk(&[(1, Some(1)), (2, Some(2))]), chunk(&[(1, Some(3))])];
        assert_eq!(merged(Dedup::Off, TimeRange::ALL, &chunks), [(1, Some(1)), (1, Some(3)), (2, Some(2))]);
    }

    #[test]
    fn late_rows_go_to_their_times_in_commit_order() {
        let mut state = 7_u64;
        for (rows, one_in) in [(0, 1), (1, 1), (500, 1), (500, 2), (500, 20), (500, 1000)] {
            let mut late_by = || {
                state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                if (state >> 40).is_multiple_of(one_in) { (state >> 50) as i64 % 60 } else { 0 }
            };
            // Each time comes twice on average.
            let times: Vec<i64> = (0..rows).map(|row: i64| row / 2 - late_by()).collect();
            let range = TimeRange { start_ns: 10, end_ns: 240 };
            let mut expected: Vec<u32> = (0..rows as u32).filter(|&row| range.contains(times[row as usize])).collect();
            expected.sort_by_key(|&row| times[row as usize]);
            assert_eq!(rows_by_time(&times, range), expected, "one in {one_in}");
        }
    }

    #[test]
    fn rows_outside_the_range_are_left_out() {
        let chunks = [chunk(&[(i64::MIN, Some(1)), (5, Some(2)), (i64::MAX, Some(3))])];
        let range = TimeRange { start_ns: 0, end_ns: i64::MAX };
        assert_eq!(merged(Dedup::Last, range, &chunks), [(5, Some(2)), (i64::MAX, Some(3))]);
    }
}
