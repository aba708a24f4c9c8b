//! Whole base buckets of one series as a reader gets them: states instead of rows.

use std::ops::Range;

use super::rollup_scratch::{RollupScratch, RollupVector};
use super::rollup_use::RollupUse;
use super::scratch::{TimesScratch, VectorKey};
use crate::encoding::VECTOR_LEN;
use crate::error::Result;
use crate::memtable::NarrowChunk;
use crate::segment::{FieldRollups, FieldStatistic, RowStatistic, Section, SectionRollups, SeriesEntry};
use crate::types::FieldColumn;

/// How many values of a field the rollup rows of a piece have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueCounts<'a> {
    /// None: the field is NULL in every row.
    None,
    /// One per row.
    OnePerRow,
    /// This many per rollup row.
    Each(&'a [i64]),
}

/// Where the states of a piece are.
#[derive(Debug)]
pub(super) enum RollupSource<'a> {
    /// In a section.
    Section(SectionSource<'a>),
    /// With the rows of a chunk in memory.
    Chunk(&'a NarrowChunk),
}

/// Rollups of a section.
#[derive(Debug)]
pub(super) struct SectionSource<'a> {
    pub(super) section: &'a Section,
    pub(super) rollups: &'a SectionRollups,
    pub(super) entry: SeriesEntry,
    /// States per field; `None` when it is NULL in every row.
    pub(super) states: &'a [Option<&'a FieldRollups>],
    /// Behind the last row of the section that the rollup rows stand for.
    pub(super) row_end: u32,
}

/// Rollup rows of one series in time order, each the state of the rows of a section or a chunk in one base bucket.
///
/// Fields are named by their position in the list given to the scan. What was not asked for is empty.
#[derive(Debug)]
pub struct RollupPiece<'a> {
    pub(super) source: RollupSource<'a>,
    /// The fields of the scan.
    pub(super) fields: &'a [FieldColumn],
    pub(super) key: RollupVector,
    /// Rollup rows within their vector.
    pub(super) rows: Range<usize>,
    pub(super) scratch: &'a mut RollupScratch,
    pub(super) times: &'a mut TimesScratch,
}

impl RollupPiece<'_> {
    /// Decodes what `uses` asks for, and checks that the rollup rows of a section fit the series.
    pub(super) fn load(&mut self, uses: &RollupUse) -> Result<()> {
        match &self.source {
            RollupSource::Section(source) => source.load(uses, self.key, self.rows.clone(), self.scratch),
            RollupSource::Chunk(chunk) => {
                self.scratch.load_chunk(chunk, self.rows.clone(), self.fields, &uses.needs, self.key);
                Ok(())
            }
        }
    }

    /// Number of rollup rows; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a piece has at least one rollup row")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of rows that each rollup row stands for, at least one.
    pub fn row_counts(&self) -> &[u32] {
        &self.scratch.row_counts
    }

    /// Time of the first row of each rollup row; for a reader that asked for times.
    pub fn first_times(&self) -> &[i64] {
        &self.scratch.first_times
    }

    /// Time of the last row of each rollup row; for a reader that asked for times.
    pub fn last_times(&self) -> &[i64] {
        &self.scratch.last_times
    }

    /// Number of values of a field that are not NULL.
    pub fn value_counts(&self, field: usize) -> ValueCounts<'_> {
        let states = match &self.source {
            RollupSource::Section(source) => source.states[field],
            RollupSource::Chunk(_) if self.scratch.chunk_has(field) => return ValueCounts::OnePerRow,
            RollupSource::Chunk(_) => None,
        };
        match states {
            None => ValueCounts::None,
            Some(states) if states.has(FieldStatistic::Count) => {
                ValueCounts::Each(self.integers(field, FieldStatistic::Count))
            }
            Some(_) => ValueCounts::OnePerRow,
        }
    }

    /// A statistic of an I64 or U64 field, one per rollup row; it means nothing where there is no value.
    pub fn integers(&self, field: usize, statistic: FieldStatistic) -> &[i64] {
        self.scratch.integers(field, statistic, self.key).get(self.rows.clone()).unwrap_or_default()
    }

    /// A statistic of an F64 field, one per rollup row; it means nothing where there is no value.
    pub fn floats(&self, field: usize, statistic: FieldStatistic) -> &[f64] {
        self.scratch.floats(field, statistic, self.key).get(self.rows.clone()).unwrap_or_default()
    }

    /// Time of the first value of a field in rollup row `index` of the piece, which has one; for a reader that asked for
    /// times.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn first_value_time(&mut self, field: usize, index: usize) -> Result<i64> {
        match self.skip(field, FieldStatistic::FirstSkip, index) {
            0 => Ok(self.scratch.first_times[index]),
            skip => self.time_of(index, skip),
        }
    }

    /// Time of the last value of a field in rollup row `index` of the piece, which has one; for a reader that asked for
    /// times.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn last_value_time(&mut self, field: usize, index: usize) -> Result<i64> {
        match self.skip(field, FieldStatistic::LastSkip, index) {
            0 => Ok(self.scratch.last_times[index]),
            skip => self.time_of(index, i64::from(self.scratch.row_counts[index]) - 1 - skip),
        }
    }

    fn skip(&self, field: usize, statistic: FieldStatistic, index: usize) -> i64 {
        match self.value_counts(field) {
            ValueCounts::Each(_) => self.integers(field, statistic)[index],
            _ => 0,
        }
    }

    /// Time of a row of a rollup row.
    fn time_of(&mut self, index: usize, row: i64) -> Result<i64> {
        match &self.source {
            RollupSource::Section(source) => {
                source.time_of(self.key, self.rows.start, (index, row), self.scratch, self.times)
            }
            // Every row has a value, so nobody asks for a row within.
            RollupSource::Chunk(_) => Ok(self.scratch.first_times[index]),
        }
    }
}

impl SectionSource<'_> {
    fn load(&self, uses: &RollupUse, key: RollupVector, rows: Range<usize>, scratch: &mut RollupScratch) -> Result<()> {
        let rollups = self.rollups;
        let wrong = || rollups.contradiction((key.vector * VECTOR_LEN + rows.start) as u32);
        let mut counts = std::mem::take(&mut scratch.row_counts);
        counts.clear();
        let first_rows = &scratch.load_row(rollups, RowStatistic::FirstRow, key)?[rows.clone()];
        let ends = first_rows.iter().skip(1).copied().chain([i64::from(self.row_end - self.entry.row_start)]);
        for (&first, end) in first_rows.iter().zip(ends) {
            let count = end.checked_sub(first).filter(|count| (1..=i64::from(self.entry.row_count)).contains(count));
            counts.push(count.ok_or_else(wrong)? as u32);
        }
        scratch.row_counts = counts;
        if uses.times {
            scratch.load_times(rollups, key, &rows)?;
        }
        for (position, (states, needs)) in self.states.iter().zip(&uses.needs).enumerate() {
            let Some(states) = states else { continue };
            for statistic in needs.statistics() {
                scratch.load_field(states, position, statistic, key)?;
            }
            if !states.has(FieldStatistic::Count) {
                continue;
            }
            for statistic in [FieldStatistic::Count, FieldStatistic::FirstSkip, FieldStatistic::LastSkip] {
                scratch.load_field(states, position, statistic, key)?;
            }
            let counts = &scratch.integers(position, FieldStatistic::Count, key)[rows.clone()];
            let mut pairs = counts.iter().zip(&scratch.row_counts);
            if !pairs.all(|(&count, &rows)| (0..=i64::from(rows)).contains(&count)) {
                return Err(wrong());
            }
        }
        Ok(())
    }

    /// Time of row `row` of the rollup row `index` of a piece that starts at `start`: by arithmetic, or from the vector
    /// of times.
    fn time_of(
        &self,
        key: RollupVector,
        start: usize,
        (index, row): (usize, i64),
        scratch: &mut RollupScratch,
        times: &mut TimesScratch,
    ) -> Result<i64> {
        if !(0..i64::from(scratch.row_counts[index])).contains(&row) {
            return Err(self.rollups.contradiction((key.vector * VECTOR_LEN + start + index) as u32));
        }
        if self.entry.step_ns > 0 {
            return Ok(scratch.first_times[index].wrapping_add(self.entry.step_ns.wrapping_mul(row)));
        }
        let first_row = scratch.load_row(self.rollups, RowStatistic::FirstRow, key)?[start + index];
        // Loading the piece has checked that the rollup row ends within the series.
        let row = self.entry.row_start + (first_row + row) as u32;
        let vector = self.section.vector_of_row(row);
        let offset = (row - self.section.vector_rows(vector).start) as usize;
        Ok(times.load(VectorKey { section: key.section, vector }, self.section)?[offset])
    }
}
