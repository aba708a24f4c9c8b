//! Adds what rollups say to the states of a numeric argument.
//!
//! Counts, bounds, ends and sums of integers come out as from the rows. A sum of floats is the sum of the sums per base
//! bucket: other additions than over the rows, so its last digits may differ.

use std::ops::Range;

use lynxstore_storage::segment::FieldStatistic;
use lynxstore_storage::snapshot::{RollupPiece, ValueCounts};

use super::ends::Ends;
use super::number::{FloatState, IntegerBounds, NumberKind, NumberStates};
use crate::error::Result;
use crate::exec::summaries::key_of_float;

/// States of one field in a piece, looked up once for all of its runs.
struct States<'a> {
    values: ValueCounts<'a>,
    rows: &'a [u32],
}

impl States<'_> {
    fn has_value(&self, row: usize) -> bool {
        !matches!(self.values, ValueCounts::Each(counts) if counts[row] == 0)
    }

    /// Number of values of a rollup row.
    fn count(&self, row: usize) -> u64 {
        match self.values {
            ValueCounts::None => 0,
            ValueCounts::OnePerRow => u64::from(self.rows[row]),
            ValueCounts::Each(counts) => counts[row].cast_unsigned(),
        }
    }
}

impl NumberStates {
    /// Adds the rollup rows of a piece, cut into `runs` of one group each, for a field by its position in the scan.
    pub(crate) fn add_rollups(
        &mut self,
        piece: &mut RollupPiece<'_>,
        field: usize,
        runs: &[(usize, Range<usize>)],
    ) -> Result<()> {
        if self.needs.ends {
            self.add_rollup_ends(piece, field, runs)?;
        }
        let states = States { values: piece.value_counts(field), rows: piece.row_counts() };
        if states.values == ValueCounts::None {
            return Ok(());
        }
        for (group, rows) in runs {
            self.counts[*group] += rows.clone().map(|row| states.count(row)).sum::<u64>();
        }
        if self.kind == NumberKind::F64 {
            self.add_floats_of(piece, field, &states, runs)
        } else {
            self.add_integers_of(piece, field, &states, runs)
        }
        Ok(())
    }

    fn add_floats_of(
        &mut self,
        piece: &RollupPiece<'_>,
        field: usize,
        states: &States<'_>,
        runs: &[(usize, Range<usize>)],
    ) {
        if self.needs.sum {
            let sums = piece.floats(field, FieldStatistic::Sum);
            for (group, rows) in runs {
                for row in rows.clone().filter(|row| states.has_value(*row)) {
                    self.floats[*group].sum += sums[row];
                }
            }
        }
        if self.needs.bounds {
            let (mins, maxes) = (piece.floats(field, FieldStatistic::Min), piece.floats(field, FieldStatistic::Max));
            for (group, rows) in runs {
                for row in rows.clone().filter(|row| states.has_value(*row)) {
                    self.floats[*group].add(FloatState { sum: 0.0, min: mins[row], max: maxes[row] });
                }
            }
        }
    }

    fn add_integers_of(
        &mut self,
        piece: &RollupPiece<'_>,
        field: usize,
        states: &States<'_>,
        runs: &[(usize, Range<usize>)],
    ) {
        if self.needs.sum {
            let sums = piece.integers(field, FieldStatistic::Sum);
            let is_unsigned = self.kind == NumberKind::U64;
            for (group, rows) in runs {
                let total = &mut self.sums[*group];
                for row in rows.clone().filter(|row| states.has_value(*row)) {
                    *total += i128::from(sums[row]);
                    if is_unsigned {
                        // Groups add the ordered forms up, which are by 2^63 per value smaller; so is this one sum.
                        *total -= (i128::from(states.count(row)) - 1) << 63;
                    }
                }
            }
        }
        if self.needs.bounds {
            let (mins, maxes) =
                (piece.integers(field, FieldStatistic::Min), piece.integers(field, FieldStatistic::Max));
            for (group, rows) in runs {
                for row in rows.clone().filter(|row| states.has_value(*row)) {
                    self.bounds[*group].add(IntegerBounds { min: mins[row], max: maxes[row] });
                }
            }
        }
    }

    fn add_rollup_ends(
        &mut self,
        piece: &mut RollupPiece<'_>,
        field: usize,
        runs: &[(usize, Range<usize>)],
    ) -> Result<()> {
        for (group, rows) in runs {
            let states = States { values: piece.value_counts(field), rows: piece.row_counts() };
            let mut with_values = rows.clone().filter(|row| states.count(*row) > 0);
            let Some(first) = with_values.next() else { continue };
            let last = with_values.next_back().unwrap_or(first);
            let key = |statistic, row: usize| match self.kind {
                NumberKind::F64 => key_of_float(piece.floats(field, statistic)[row]),
                _ => piece.integers(field, statistic)[row],
            };
            let (first_key, last_key) = (key(FieldStatistic::First, first), key(FieldStatistic::Last, last));
            let first_ns = piece.first_value_time(field, first)?;
            let last_ns = piece.last_value_time(field, last)?;
            self.ends[*group].merge(&Ends::of((first_ns, first_key), (last_ns, last_key)));
        }
        Ok(())
    }
}
