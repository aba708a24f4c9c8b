//! Checks a whole segment: every checksum, every padding byte, and that everything decodes.

use super::column::{ColumnStorage, SectionColumn};
use super::layout::padding;
use super::reader::Segment;
use super::rollup_verify::verify_rollups;
use super::section::Section;
use super::vector_table::{VectorTable, check_zeros};
use crate::encoding::VECTOR_LEN;
use crate::error::Result;
use crate::types::partition_of;

impl Segment {
    /// Reads the whole file: no byte of it may have changed since it was written, and everything must decode.
    ///
    /// Opening has checked the header, the footer and the metadata; this checks the rest, even what was checked at
    /// first use before.
    ///
    /// # Errors
    /// `Corruption` with the first damage.
    pub fn verify_all(&self) -> Result<()> {
        self.verify_each().into_iter().collect()
    }

    /// The same, with the first damage of each section.
    pub(super) fn verify_each(&self) -> Vec<Result<()>> {
        let file = self.file();
        let mut checks: Vec<Result<()>> = self.sections().iter().map(|section| verify_section(section)).collect();
        // The metadata blocks adjoin the next section or the footer except for padding; the footer has checked that.
        checks.extend(self.metadata_ends().map(|metadata_end| {
            let end = metadata_end + padding(metadata_end as u64);
            check_zeros(file, metadata_end, &file.bytes()[metadata_end..end])
        }));
        checks
    }

    fn metadata_ends(&self) -> impl Iterator<Item = usize> {
        self.sections().iter().map(|section| section.metadata_range().end)
    }
}

fn verify_section(section: &Section) -> Result<()> {
    let file = section.file();
    let metadata_start = section.metadata_range().start;
    let damaged = |reason: &str| file.corruption(metadata_start, reason);
    section.directory().check_order().map_err(damaged)?;
    let partition = partition_of(section.time_range().start_ns, section.written_schema()?.options.partition_ns);
    if partition.start_ns != section.partition_start_ns() || !partition.contains(section.time_range().end_ns) {
        return Err(damaged("rows of the section are not of its partition"));
    }

    let mut position = section.data_range().start as u64;
    if let Some(times) = section.times() {
        if times.data_range().start != position {
            return Err(damaged("the times do not start where the section does"));
        }
        position = end_of(times)?;
    }
    verify_times(section)?;
    verify_series_times(section)?;
    for column in section.columns() {
        if column.vectors().data_range().start != position {
            return Err(damaged("a column does not start where the one before ends"));
        }
        position = verify_column(section, column)?;
    }
    if let Some(rollups) = section.rollups() {
        for table in rollups.tables() {
            if table.data_range().start != position {
                return Err(damaged("the rollups do not adjoin what is before them"));
            }
            position = end_of(table)?;
        }
        verify_rollups(section, rollups)?;
    }
    match position == metadata_start as u64 {
        true => Ok(()),
        false => Err(damaged("the columns do not end where the metadata starts")),
    }
}

/// Where the data of vectors ends that all lie within the section, with the padding behind it.
fn end_of(table: &VectorTable) -> Result<u64> {
    table.verify_end()?;
    Ok(table.data_range().end)
}

fn verify_times(section: &Section) -> Result<()> {
    let mut decoded = [0; VECTOR_LEN];
    for vector in 0..section.vector_count() {
        if let Some(times) = section.times() {
            if !section.are_times_in_directory(vector) {
                times.verify(vector)?;
            } else if !times.is_absent(vector) {
                let start = section.metadata_range().start;
                return Err(section.file().corruption(start, format!("vector {vector} stores times that are regular")));
            }
        }
        let len = section.decode_times(vector, &mut decoded)?;
        let times = &decoded[..len];
        let bounds = times.iter().fold((i64::MAX, i64::MIN), |(min, max), &time| (min.min(time), max.max(time)));
        if bounds != section.time_zone(vector) {
            return Err(section.file().corruption(
                section.metadata_range().start,
                format!("the bounds of vector {vector} are not those of its times"),
            ));
        }
    }
    Ok(())
}

/// Checks that the rows of each series are in the order of their times and between the bounds of its directory entry.
fn verify_series_times(section: &Section) -> Result<()> {
    let damaged = |series: usize| {
        let reason = format!("the times of series {series} are not in order, or not those of its directory entry");
        section.file().corruption(section.metadata_range().start, reason)
    };
    let mut decoded = [0; VECTOR_LEN];
    let mut loaded = None;
    for series in 0..section.series_count() {
        let entry = section.series(series);
        // The times of a regular series follow from its entry.
        if entry.step_ns > 0 {
            continue;
        }
        let (mut row, end) = (entry.row_start, entry.row_start + entry.row_count);
        let mut last = None;
        while row < end {
            let vector = section.vector_of_row(row);
            let rows = section.vector_rows(vector);
            if loaded != Some(vector) {
                section.decode_times(vector, &mut decoded)?;
                loaded = Some(vector);
            }
            let upto = end.min(rows.end);
            for &time in &decoded[(row - rows.start) as usize..(upto - rows.start) as usize] {
                if last.is_some_and(|last| last > time) || (last.is_none() && time != entry.min_time) {
                    return Err(damaged(series));
                }
                last = Some(time);
            }
            row = upto;
        }
        if last != Some(entry.max_time) {
            return Err(damaged(series));
        }
    }
    Ok(())
}

/// Checks a column; returns where the next one starts.
fn verify_column(section: &Section, column: &SectionColumn) -> Result<u64> {
    let file = section.file();
    for vector in 0..section.vector_count() {
        column.vectors().verify(vector)?;
        column.decode_array(vector, 0..section.vector_rows(vector).len())?;
    }
    let data_end = end_of(column.vectors())?;
    let dictionary = &column.dictionary_place().range;
    if dictionary.start as u64 != data_end {
        return Err(file.corruption(dictionary.start, "a dictionary does not start where its vectors end"));
    }
    match column.storage() {
        ColumnStorage::Dictionary => drop(column.read_dictionary()?),
        _ if dictionary.is_empty() => {}
        _ => return Err(file.corruption(dictionary.start, "a column without codes has a dictionary")),
    }
    let end = dictionary.end + padding(dictionary.end as u64);
    check_zeros(file, dictionary.end, &file.bytes()[dictionary.end..end])?;
    Ok(end as u64)
}
