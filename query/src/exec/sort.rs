//! ORDER BY: one pass finds out whether the rows are in order already; otherwise Arrow sorts them.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, UInt32Array, make_comparator};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, sort_to_indices, take};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;

use super::context::ExecContext;
use super::result::record_batch;
use crate::error::{Error, Result};
use crate::memory::batch_bytes;
use crate::plan::SortKey;

/// Sorts rows and cuts them to `limit`; gives at most one batch.
pub(crate) fn sort_batches(
    batches: Vec<RecordBatch>,
    keys: &[SortKey],
    limit: Option<usize>,
    context: &ExecContext<'_>,
) -> Result<Vec<RecordBatch>> {
    let mut memory = context.memory.holder();
    // The rows in one piece, and in order.
    memory.set(2 * batches.iter().map(batch_bytes).sum::<u64>())?;
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let keys = keys.to_vec();
    // The memory goes with the work: a statement that was cancelled may be followed by the next one at once.
    context.long_step(rows, move || {
        let _memory = memory;
        sort_at_once(batches, &keys, limit)
    })
}

fn sort_at_once(batches: Vec<RecordBatch>, keys: &[SortKey], limit: Option<usize>) -> Result<Vec<RecordBatch>> {
    let batch = match batches.as_slice() {
        [] => return Ok(batches),
        [only] => only.clone(),
        [first, ..] => concat_batches(&first.schema(), &batches).map_err(Error::arrow)?,
    };
    let columns = keys
        .iter()
        .map(|key| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            Ok((ranked(batch.column(key.column))?, options))
        })
        .collect::<Result<Vec<(ArrayRef, SortOptions)>>>()?;
    if is_sorted(&columns, batch.num_rows())? {
        let rows = limit.map_or(batch.num_rows(), |limit| limit.min(batch.num_rows()));
        return Ok(vec![batch.slice(0, rows)]);
    }
    let indices = sort_indices(&columns, limit)?;
    let arrays = batch.columns().iter().map(|column| take(column, &indices, None)).collect::<Result<Vec<_>, _>>();
    Ok(vec![record_batch(&batch.schema(), arrays.map_err(Error::arrow)?, indices.len())?])
}

fn sort_indices(columns: &[(ArrayRef, SortOptions)], limit: Option<usize>) -> Result<UInt32Array> {
    match columns {
        [(values, options)] => sort_to_indices(values, Some(*options), limit),
        columns => {
            let columns: Vec<SortColumn> = columns
                .iter()
                .map(|(values, options)| SortColumn { values: Arc::clone(values), options: Some(*options) })
                .collect();
            lexsort_to_indices(&columns, limit)
        }
    }
    .map_err(Error::arrow)
}

fn is_sorted(columns: &[(ArrayRef, SortOptions)], rows: usize) -> Result<bool> {
    let comparators = columns
        .iter()
        .map(|(values, options)| make_comparator(values, values, *options))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::arrow)?;
    Ok((1..rows).all(|row| {
        let order = comparators.iter().map(|compare| compare(row - 1, row)).find(|order| *order != Ordering::Equal);
        order != Some(Ordering::Greater)
    }))
}

/// A column whose order is that of `array`; tags become the ranks of their values, which compare as integers.
fn ranked(array: &ArrayRef) -> Result<ArrayRef> {
    let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() else { return Ok(Arc::clone(array)) };
    let order = sort_to_indices(dictionary.values(), None, None).map_err(Error::arrow)?;
    let values = dictionary.values().as_string_opt::<i32>();
    let mut ranks = vec![0i32; order.len()];
    let mut rank = 0;
    for (position, index) in order.values().iter().enumerate() {
        // Equal values, which a concatenated dictionary can hold twice, share a rank.
        if let (Some(values), Some(previous)) = (values, position.checked_sub(1))
            && values.value(order.value(previous) as usize) != values.value(*index as usize)
        {
            rank += 1;
        }
        ranks[*index as usize] = rank;
    }
    let keys = dictionary.keys();
    let ranked: Int32Array = keys.iter().map(|key| key.map(|key| ranks[key as usize])).collect();
    Ok(Arc::new(ranked))
}
