//! What a reader wants to know of whole base buckets, and which sections can say it.

use std::sync::Arc;

use crate::encoding::VECTOR_LEN;
use crate::memtable::NarrowChunk;
use crate::segment::{BASE_BUCKET_NS, FieldStatistic, RowStatistic, Section};
use crate::types::{FieldColumn, FieldType};

/// Where the times are cut that a reader keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeCuts {
    /// Nowhere.
    Nowhere,
    /// At some of the times `offset_ns + k * unit_ns`.
    Every {
        /// Distance, positive.
        unit_ns: i64,
        /// A time at which there may be a cut.
        offset_ns: i64,
    },
}

impl TimeCuts {
    /// Whether no cut lies within a bucket of `base_ns` that is aligned to the epoch.
    fn leave_whole(self, base_ns: i64) -> bool {
        match self {
            Self::Nowhere => true,
            Self::Every { unit_ns, offset_ns } => unit_ns % base_ns == 0 && offset_ns % base_ns == 0,
        }
    }
}

/// What is wanted of a field beside the number of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollupNeeds {
    /// The sum.
    pub sum: bool,
    /// Minimum and maximum.
    pub bounds: bool,
    /// First and last value by time.
    pub ends: bool,
    /// What a counter lost by starting anew.
    pub resets: bool,
}

impl RollupNeeds {
    /// The statistics that say it, of a field without NULLs.
    pub(super) fn statistics(self) -> impl Iterator<Item = FieldStatistic> {
        use FieldStatistic as F;
        let all = [
            (self.sum, F::Sum),
            (self.bounds, F::Min),
            (self.bounds, F::Max),
            (self.ends, F::First),
            (self.ends, F::Last),
            (self.resets, F::Resets),
        ];
        all.into_iter().filter_map(|(is_needed, statistic)| is_needed.then_some(statistic))
    }
}

/// How a scan may use rollups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupUse {
    /// Where the reader cuts time.
    pub cuts: TimeCuts,
    /// What it wants of each field of the scan.
    pub needs: Vec<RollupNeeds>,
    /// Whether it reads the times of rollup rows.
    pub times: bool,
}

/// How much of a section a scan reads: part of its series and part of its time, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ReadParts {
    pub(super) series: f64,
    pub(super) time: f64,
}

/// How much slower a state must be to decode than its rows would be for rows to be read: statistics of whole vectors
/// spare some of the rows their decoding.
const ROWS_PER_STATE_VALUE: f64 = 2.0;

impl RollupUse {
    /// Per section whether its rollups say all that is wanted.
    pub(super) fn usable(
        &self,
        sections: &[Arc<Section>],
        fields: &[FieldColumn],
        parts: impl Fn(&Section) -> ReadParts,
    ) -> Vec<bool> {
        sections.iter().map(|section| self.fits(section, fields) && self.pays(section, parts(section))).collect()
    }

    /// Whether chunks in memory can have what is wanted.
    pub(super) fn fits_memory(&self) -> bool {
        self.cuts.leave_whole(BASE_BUCKET_NS)
    }

    /// Whether the buckets of a chunk, whose times ascend, say all that is wanted.
    pub(super) fn fits_chunk(&self, chunk: &NarrowChunk, fields: &[FieldColumn]) -> bool {
        let mut pairs = fields.iter().zip(&self.needs);
        !chunk.buckets().is_empty() && pairs.all(|(field, needs)| chunk.has_states(field, needs.statistics()))
    }

    /// Whether decoding vectors of states is less work than decoding the rows that they stand for. A vector of states is
    /// decoded as a whole, though a scan of few series wants a handful of them.
    fn pays(&self, section: &Section, parts: ReadParts) -> bool {
        let Some(rollups) = section.rollups() else { return false };
        let (rollup_rows, series) = (f64::from(rollups.row_count()), section.series_count() as f64);
        let per_series = (rollup_rows / series).max(1.0);
        let vector_len = rollup_rows.min(VECTOR_LEN as f64);
        let series_in_vector = (vector_len / per_series * parts.series).max(1.0);
        let states_wanted = series_in_vector * per_series.min(vector_len) * parts.time;
        let rows = states_wanted * f64::from(section.row_count()) / rollup_rows * self.needs.len().max(1) as f64;
        let statistics = RowStatistic::COUNT + self.needs.iter().map(|needs| needs.statistics().count()).sum::<usize>();
        rows >= ROWS_PER_STATE_VALUE * vector_len * statistics as f64
    }

    fn fits(&self, section: &Section, fields: &[FieldColumn]) -> bool {
        let Some(rollups) = section.rollups().filter(|rollups| self.cuts.leave_whole(rollups.base_ns())) else {
            return false;
        };
        fields.iter().zip(&self.needs).all(|(field, needs)| {
            // A field without a column is NULL in every row.
            section.column(field.id).is_none()
                || rollups.field(field.id).is_some_and(|states| {
                    let is_same_type = states.field_type() == field.field_type;
                    // The states of booleans are numbers, which nobody asked for.
                    let is_number = field.field_type != FieldType::Bool || *needs == RollupNeeds::default();
                    is_same_type && is_number && needs.statistics().all(|statistic| states.has(statistic))
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cuts_at_boundaries_of_base_buckets_leave_them_whole() {
        let every = |unit_ns, offset_ns| TimeCuts::Every { unit_ns, offset_ns };
        assert!(TimeCuts::Nowhere.leave_whole(10));
        assert!(
            every(10, 0).leave_whole(10)
                && every(30, -20).leave_whole(10)
                && every(i64::MAX / 10 * 10, 0).leave_whole(10)
        );
        assert!(!every(15, 0).leave_whole(10) && !every(10, 5).leave_whole(10) && !every(5, 0).leave_whole(10));
    }
}
