//! What a reader wants to know of whole base buckets, and which sections can say it.

use std::sync::Arc;

use crate::segment::{FieldStatistic, Section};
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
}

impl RollupUse {
    /// Per section whether its rollups say all that is wanted.
    pub(super) fn usable(&self, sections: &[Arc<Section>], fields: &[FieldColumn]) -> Vec<bool> {
        sections.iter().map(|section| self.fits(section, fields)).collect()
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
