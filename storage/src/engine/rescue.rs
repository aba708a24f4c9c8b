//! Writes the rows of a damaged segment that can still be read to a new file.
//!
//! A vector of which any column is damaged is given up whole: a row with one of its values missing would be another row.
//! What is left stands in the same order, so the new segment can take the place of the old one.

use std::path::Path;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_select::concat::concat;

use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::manifest::SegmentMeta;
use crate::segment::{Section, Segment, SegmentWriter};
use crate::types::ColumnId;

/// Writes what can be read of the sections that `meta` names to `path`, as a segment of the same id, order and deletes;
/// `None` when nothing can.
///
/// A crash leaves a temporary file, or the whole new one.
///
/// # Errors
/// `Io`.
pub(super) fn rescue(
    io: &Arc<dyn Io>,
    path: &Path,
    meta: &SegmentMeta,
    damaged: &Segment,
) -> Result<Option<SegmentMeta>> {
    let mut writer =
        SegmentWriter::create_with_origin(Arc::clone(io), path, meta.id, damaged.origin(), damaged.tier())?;
    let mut open_table = None;
    let mut has_rows = false;
    for section in damaged.sections() {
        let is_named = meta.sections.iter().any(|one| one.is_at(section.table_id(), section.partition_start_ns()));
        // A section that does not say what its columns are is of no use.
        let Some(schema) = unless_damaged(section.written_schema())?.filter(|_| is_named) else { continue };
        let readable = readable_vectors(section)?;
        // The sections of a table follow each other.
        if open_table != Some(schema.id) {
            if open_table.replace(schema.id).is_some() {
                writer.end_table()?;
            }
            writer.begin_table(&schema)?;
        }
        for series in 0..section.series_count() {
            let Some((times, columns)) = rows_of(section, series, &readable)? else { continue };
            writer.push_series(&section.series_key(series), &times, &columns)?;
            has_rows = true;
        }
    }
    if open_table.is_some() {
        writer.end_table()?;
    }
    if has_rows { writer.finish().map(Some) } else { Ok(None) }
}

/// Which vectors can be read whole.
fn readable_vectors(section: &Section) -> Result<Vec<bool>> {
    let mut times = [0; VECTOR_LEN];
    let mut is_readable = |vector: usize| {
        section.decode_times(vector, &mut times)?;
        let rows = section.vector_rows(vector).len();
        section.columns().iter().try_for_each(|column| column.decode_array(vector, 0..rows).map(drop))
    };
    (0..section.vector_count()).map(|vector| unless_damaged(is_readable(vector)).map(|done| done.is_some())).collect()
}

type Rows = (Vec<i64>, Vec<(ColumnId, ArrayRef)>);

/// The rows of a series in readable vectors.
fn rows_of(section: &Section, series: usize, readable: &[bool]) -> Result<Option<Rows>> {
    let entry = section.series(series);
    let (mut row, end) = (entry.row_start, entry.row_start + entry.row_count);
    let mut times = Vec::new();
    let mut decoded = [0; VECTOR_LEN];
    let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); section.columns().len()];
    while row < end {
        let vector = section.vector_of_row(row);
        let bounds = section.vector_rows(vector);
        let upto = end.min(bounds.end);
        let rows = (row - bounds.start) as usize..(upto - bounds.start) as usize;
        row = upto;
        if !readable[vector] {
            continue;
        }
        section.decode_times(vector, &mut decoded)?;
        times.extend_from_slice(&decoded[rows.clone()]);
        for (part, column) in parts.iter_mut().zip(section.columns()) {
            part.push(column.decode_array(vector, rows.clone())?);
        }
    }
    if times.is_empty() || !times.is_sorted() {
        return Ok(None);
    }
    let columns = section.columns().iter().zip(&parts).map(|(column, part)| {
        let part: Vec<_> = part.iter().map(AsRef::as_ref).collect();
        let array = concat(&part).map_err(|error| Error::invalid(format!("values of one series differ: {error}")))?;
        Ok((column.id(), array))
    });
    Ok(Some((times, columns.collect::<Result<_>>()?)))
}

/// Damage as nothing; every other error stays one.
fn unless_damaged<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::Corruption { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
