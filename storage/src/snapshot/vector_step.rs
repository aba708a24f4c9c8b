//! One vector of a run after the other, and what is done about damaged ones.

use std::sync::atomic::{AtomicU64, Ordering};

use super::run::SectionRun;
use super::scratch::{ScanScratch, VectorKey};
use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};
use crate::segment::{Section, SectionColumn};

/// Rows of one vector.
pub(super) struct VectorStep {
    pub(super) key: VectorKey,
    pub(super) offset: usize,
    pub(super) len: usize,
    pub(super) whole: bool,
    pub(super) own: bool,
    pub(super) regular: Option<(i64, i64)>,
}

/// Moves `run` over the rest of its current vector; `None` when no row of it is within its bounds.
pub(super) fn next_vector(
    run: &mut SectionRun,
    section: &Section,
    scratch: &mut ScanScratch,
) -> Result<Option<VectorStep>> {
    let range = run.bounds;
    let vector = run.vector(section);
    let bounds = section.vector_rows(vector);
    // Only a row of the run that is left makes it one.
    run.next_vector = (run.row_end > bounds.end).then_some(vector + 1);
    let key = VectorKey { section: run.section, vector };
    let own = run.entry.row_start <= bounds.start && bounds.end - run.entry.row_start <= run.entry.row_count;
    let (mut start, mut end) = (run.row, run.row_end.min(bounds.end));
    run.row = end;
    if run.entry.step_ns > 0 {
        let first = run.time_of(start);
        let whole = start == bounds.start && end == bounds.end;
        let offset = (start - bounds.start) as usize;
        let regular = Some((first, run.entry.step_ns));
        return Ok(Some(VectorStep { key, offset, len: (end - start) as usize, whole, own, regular }));
    }
    if run.trim {
        let (first, last) = section.time_zone(vector);
        if last < range.start_ns || first > range.end_ns {
            return Ok(None);
        }
        if first < range.start_ns || last > range.end_ns {
            let times = scratch.times.load(key, section)?;
            let rows = &times[(start - bounds.start) as usize..(end - bounds.start) as usize];
            let before = rows.partition_point(|&time| time < range.start_ns) as u32;
            let within = rows.partition_point(|&time| time <= range.end_ns) as u32;
            (start, end) = (start + before, start + within);
            if start >= end {
                return Ok(None);
            }
        }
    }
    let whole = start == bounds.start && end == bounds.end;
    let offset = (start - bounds.start) as usize;
    Ok(Some(VectorStep { key, offset, len: (end - start) as usize, whole, own, regular: None }))
}

/// Whether all that a scan may ask of a vector can be had.
pub(super) fn check_vector(section: &Section, columns: &[Option<&SectionColumn>], vector: usize) -> Result<()> {
    section.decode_times(vector, &mut [0; VECTOR_LEN])?;
    let rows = section.vector_rows(vector).len();
    columns.iter().flatten().try_for_each(|column| column.decode_array(vector, 0..rows).map(drop))
}

/// Moves `run` behind its damaged vector and counts the rows that it leaves out; an error that is no damage stays one.
pub(super) fn skip_vector(
    run: &mut SectionRun,
    section: &Section,
    vector: usize,
    error: Error,
    skipped_rows: &AtomicU64,
) -> Result<()> {
    if !matches!(error, Error::Corruption { .. }) {
        return Err(error);
    }
    let end = run.row_end.min(section.vector_rows(vector).end);
    skipped_rows.fetch_add(u64::from(end - run.row), Ordering::Relaxed);
    run.row = end;
    Ok(())
}
