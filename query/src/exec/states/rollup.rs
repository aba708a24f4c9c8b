//! Adds what rollups say to the states of a numeric argument.
//!
//! Counts, bounds, ends and sums of integers come out as from the rows. A sum of floats is the sum of the sums per base
//! bucket: other additions than over the rows, so its last digits may differ.

use std::ops::Range;

use lynxstore_storage::segment::FieldStatistic;
use lynxstore_storage::snapshot::{RollupPiece, ValueCounts};

use super::ends::Ends;
use super::number::{FloatState, IntegerState, Needs, NumberKind, NumberStates};
use crate::error::Result;

impl NumberStates {
    /// Adds the rollup rows `rows` of a piece, for a field by its position in the scan.
    pub(crate) fn add_rollups(
        &mut self,
        group: usize,
        piece: &mut RollupPiece<'_>,
        field: usize,
        rows: Range<usize>,
    ) -> Result<()> {
        let (count, first, last): (u64, usize, usize) = match piece.value_counts(field) {
            ValueCounts::None => return Ok(()),
            ValueCounts::OnePerRow => {
                let count = piece.row_counts()[rows.clone()].iter().map(|&count| u64::from(count)).sum();
                (count, rows.start, rows.end - 1)
            }
            ValueCounts::Each(counts) => {
                let mut with_values = rows.clone().filter(|row| counts[*row] > 0);
                let Some(first) = with_values.next() else { return Ok(()) };
                let last = with_values.next_back().unwrap_or(first);
                (counts[rows.clone()].iter().map(|&count| count.cast_unsigned()).sum(), first, last)
            }
        };
        if self.needs.sum || self.needs.bounds {
            match piece.value_counts(field) {
                ValueCounts::Each(counts) => self.add_each(group, piece, field, rows.filter(|row| counts[*row] > 0)),
                _ => self.add_each(group, piece, field, rows),
            }
            if self.kind == NumberKind::U64 && self.needs.sum {
                // States of unsigned integers add the ordered forms up, which are by 2^63 per value smaller.
                self.integers[group].sum -= i128::from(count) << 63;
            }
        }
        if self.needs.ends {
            let ends = if self.kind == NumberKind::F64 {
                let bits = |statistic, row: usize| piece.floats(field, statistic)[row].to_bits();
                [bits(FieldStatistic::First, first), bits(FieldStatistic::Last, last)]
            } else {
                let bits = |statistic, row: usize| piece.integers(field, statistic)[row].cast_unsigned();
                [bits(FieldStatistic::First, first), bits(FieldStatistic::Last, last)]
            };
            let times = (piece.first_value_time(field, first)?, piece.last_value_time(field, last)?);
            self.ends[group].merge(&Ends::of((times.0, ends[0]), (times.1, ends[1])));
        }
        self.counts[group] += count;
        Ok(())
    }

    fn add_each(
        &mut self,
        group: usize,
        piece: &RollupPiece<'_>,
        field: usize,
        rows: impl Iterator<Item = usize> + Clone,
    ) {
        use FieldStatistic as F;
        let Needs { sum, bounds, .. } = self.needs;
        if self.kind == NumberKind::F64 {
            let state = &mut self.floats[group];
            if sum {
                let sums = piece.floats(field, F::Sum);
                rows.clone().for_each(|row| state.sum += sums[row]);
            }
            if bounds {
                let (mins, maxes) = (piece.floats(field, F::Min), piece.floats(field, F::Max));
                rows.for_each(|row| state.add(FloatState { sum: 0.0, min: mins[row], max: maxes[row] }));
            }
            return;
        }
        let state = &mut self.integers[group];
        if sum {
            let sums = piece.integers(field, F::Sum);
            let unsigned = self.kind == NumberKind::U64;
            rows.clone().for_each(|row| {
                state.sum += i128::from(sums[row]) + if unsigned { 1 << 63 } else { 0 };
            });
        }
        if bounds {
            let (mins, maxes) = (piece.integers(field, F::Min), piece.integers(field, F::Max));
            rows.for_each(|row| state.add(IntegerState { sum: 0, min: mins[row], max: maxes[row] }));
        }
    }
}
