//! States over numeric arguments: count, sum, bounds, moments, first and last, all filled in one pass over the values.
//!
//! Integers are summed in 128 bits, so no order of additions overflows. Floats: NaN is the greatest value, so `max` is
//! NaN when one is there, and `min` only when nothing else is.

use std::ops::Range;

use lynxstore_storage::encoding::{ZoneMap, kernel};
use lynxstore_storage::snapshot::BlockTimes;

use super::ends::Ends;
use crate::exec::row_mask::RowMask;
use crate::exec::summaries::key_of_float;

/// The times for states that read none.
pub(crate) const NO_TIMES: BlockTimes<'static> = BlockTimes::Regular { start_ns: 0, step_ns: 0 };

/// How the values of an argument are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberKind {
    /// Signed integers.
    I64,
    /// Unsigned integers in the ordered form (highest bit flipped).
    U64,
    /// Floats.
    F64,
    /// Times.
    Time,
}

/// What the functions over an argument need beyond the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    /// The sum.
    pub(crate) sum: bool,
    /// Minimum and maximum.
    pub(crate) bounds: bool,
    /// Mean and squared deviations.
    pub(crate) moments: bool,
    /// First and last by time.
    pub(crate) ends: bool,
}

/// Least and greatest of some integers.
#[derive(Debug, Clone, Copy)]
pub(super) struct IntegerBounds {
    pub(super) min: i64,
    pub(super) max: i64,
}

impl IntegerBounds {
    const EMPTY: Self = Self { min: i64::MAX, max: i64::MIN };

    pub(super) fn add(&mut self, other: Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// What some integers come to.
#[derive(Debug, Clone, Copy)]
struct IntegerState {
    sum: i128,
    bounds: IntegerBounds,
}

impl IntegerState {
    const EMPTY: Self = Self { sum: 0, bounds: IntegerBounds::EMPTY };

    fn add(&mut self, value: i64) {
        self.sum += i128::from(value);
        self.bounds.add(IntegerBounds { min: value, max: value });
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct FloatState {
    pub(super) sum: f64,
    /// NaN while there is nothing else.
    pub(super) min: f64,
    pub(super) max: f64,
}

impl FloatState {
    const EMPTY: Self = Self { sum: 0.0, min: f64::NAN, max: f64::NEG_INFINITY };

    pub(super) fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = if self.max.is_nan() || other.max.is_nan() { f64::NAN } else { self.max.max(other.max) };
    }
}

/// Mean and sum of squared deviations, merged after Chan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) squares: f64,
}

impl Moments {
    const EMPTY: Self = Self { mean: 0.0, squares: 0.0 };

    fn add(&mut self, count: u64, other: Self, other_count: u64) {
        if other_count == 0 {
            return;
        }
        if count == 0 {
            *self = other;
            return;
        }
        let total = (count + other_count) as f64;
        let delta = other.mean - self.mean;
        self.mean += delta * other_count as f64 / total;
        self.squares += other.squares + delta * delta * count as f64 * other_count as f64 / total;
    }
}

/// The states of one numeric argument, one per group.
#[derive(Debug)]
pub(crate) struct NumberStates {
    pub(super) kind: NumberKind,
    pub(super) needs: Needs,
    pub(super) counts: Vec<u64>,
    /// Sums and bounds of integers apart: mostly one of them is needed.
    pub(super) sums: Vec<i128>,
    pub(super) bounds: Vec<IntegerBounds>,
    pub(super) floats: Vec<FloatState>,
    pub(super) moments: Vec<Moments>,
    pub(super) ends: Vec<Ends>,
}

impl NumberStates {
    /// States of no group.
    pub(crate) fn new(kind: NumberKind, needs: Needs) -> Self {
        Self {
            kind,
            needs,
            counts: Vec::new(),
            sums: Vec::new(),
            bounds: Vec::new(),
            floats: Vec::new(),
            moments: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// How the values are to be read.
    pub(crate) fn kind(&self) -> NumberKind {
        self.kind
    }

    /// Whether the times of rows matter.
    pub(crate) fn needs_times(&self) -> bool {
        self.needs.ends
    }

    /// Whether counts and sums of integers are all that is kept.
    pub(crate) fn needs_sum_alone(&self) -> bool {
        let is_integer = matches!(self.kind, NumberKind::I64 | NumberKind::U64);
        is_integer && self.needs == Needs { sum: true, ..Needs::default() }
    }

    /// Adds `count` integers of which only the sum matters.
    pub(crate) fn add_sum(&mut self, group: usize, sum: i128, count: usize) {
        self.sums[group] += sum;
        self.counts[group] += count as u64;
    }

    /// Makes room for `groups` groups.
    pub(crate) fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        if self.kind == NumberKind::F64 {
            if self.needs.sum || self.needs.bounds {
                self.floats.resize(groups, FloatState::EMPTY);
            }
        } else {
            if self.needs.sum {
                self.sums.resize(groups, 0);
            }
            if self.needs.bounds {
                self.bounds.resize(groups, IntegerBounds::EMPTY);
            }
        }
        if self.needs.moments {
            self.moments.resize(groups, Moments::EMPTY);
        }
        if self.needs.ends {
            self.ends.resize(groups, Ends::EMPTY);
        }
    }

    /// Asks for the memory of so many groups.
    pub(crate) fn reserve(&mut self, groups: usize) {
        self.counts.reserve_exact(groups);
        if self.kind == NumberKind::F64 {
            if self.needs.sum || self.needs.bounds {
                self.floats.reserve_exact(groups);
            }
        } else {
            if self.needs.sum {
                self.sums.reserve_exact(groups);
            }
            if self.needs.bounds {
                self.bounds.reserve_exact(groups);
            }
        }
        if self.needs.moments {
            self.moments.reserve_exact(groups);
        }
        if self.needs.ends {
            self.ends.reserve_exact(groups);
        }
    }

    /// Adds whole vectors from their statistics; `false` when these do not say enough.
    pub(crate) fn add_zone(&mut self, group: usize, zone: &ZoneMap, rows: usize) -> bool {
        if self.needs.moments || self.needs.ends {
            return false;
        }
        let count = rows - zone.null_count();
        if count > 0 && (self.needs.sum || self.needs.bounds) {
            if self.kind == NumberKind::F64 {
                let (Some(sum), has_nan) = (zone.sum_f64(), zone.has_nan()) else { return false };
                let min = zone.min_f64().unwrap_or(f64::NAN);
                let max = if has_nan { f64::NAN } else { zone.max_f64().unwrap_or(f64::NAN) };
                self.floats[group].add(FloatState { sum, min, max });
            } else {
                let (Some(min), Some(max)) = (zone.min_i64(), zone.max_i64()) else { return false };
                let sum = match zone.sum_i64() {
                    Some(sum) => i128::from(sum),
                    None if self.needs.sum => return false,
                    None => 0,
                };
                self.add_state(group, IntegerState { sum, bounds: IntegerBounds { min, max } });
            }
        }
        self.counts[group] += count as u64;
        true
    }

    /// Adds to sum and bounds, as far as they are needed.
    fn add_state(&mut self, group: usize, state: IntegerState) {
        if self.needs.sum {
            self.sums[group] += state.sum;
        }
        if self.needs.bounds {
            self.bounds[group].add(state.bounds);
        }
    }

    /// Adds the integers of `rows` of a block, those that `mask` keeps.
    pub(crate) fn add_integers(
        &mut self,
        group: usize,
        values: &[i64],
        mask: Option<&RowMask>,
        rows: Range<usize>,
        times: BlockTimes<'_>,
    ) {
        let offset = rows.start;
        let slice = &values[rows.clone()];
        let Some(mask) = mask else {
            if self.needs.sum || self.needs.bounds {
                self.add_state(group, sum_and_bounds(slice, self.needs));
            }
            self.add_moments(group, slice.len(), || moments_of(slice.iter().map(|&value| value as f64)));
            self.add_ends(group, None, times, (offset, rows.end - 1), |row| values[row]);
            self.counts[group] += slice.len() as u64;
            return;
        };
        let count = mask.count(rows.clone());
        let Some((first, last)) = mask.bounds(rows.clone()) else { return };
        let mut state = IntegerState::EMPTY;
        if self.needs.sum || self.needs.bounds {
            if slice.len() <= SCALAR_ROWS_MAX {
                for row in mask.iter(rows.clone()) {
                    state.add(values[row]);
                }
            } else {
                let mask = mask.shifted(rows.clone());
                if self.needs.sum {
                    state.sum = kernel::sum_i64_masked(slice, &mask);
                }
                if self.needs.bounds
                    && let Some((min, max)) = kernel::min_max_i64_masked(slice, &mask)
                {
                    state.bounds = IntegerBounds { min, max };
                }
            }
            self.add_state(group, state);
        }
        self.add_moments(group, count, || moments_of(mask.iter(rows).map(|row| values[row] as f64)));
        self.add_ends(group, Some(mask), times, (first, last), |row| values[row]);
        self.counts[group] += count as u64;
    }

    /// Adds the floats of `rows` of a block, those that `mask` keeps.
    pub(crate) fn add_floats(
        &mut self,
        group: usize,
        values: &[f64],
        mask: Option<&RowMask>,
        rows: Range<usize>,
        times: BlockTimes<'_>,
    ) {
        let slice = &values[rows.clone()];
        let (count, first, last) = match mask {
            None => (slice.len(), rows.start, rows.end - 1),
            Some(mask) => match mask.bounds(rows.clone()) {
                None => return,
                Some((first, last)) => (mask.count(rows.clone()), first, last),
            },
        };
        if self.needs.sum || self.needs.bounds {
            let mut state = FloatState::EMPTY;
            let bounds = match mask {
                None => {
                    state.sum = if self.needs.sum { kernel::sum_f64(slice) } else { 0.0 };
                    self.needs.bounds.then(|| kernel::min_max_f64(slice))
                }
                Some(mask) => {
                    let mask = mask.shifted(rows.clone());
                    state.sum = if self.needs.sum { kernel::sum_f64_masked(slice, &mask) } else { 0.0 };
                    self.needs.bounds.then(|| kernel::min_max_f64_masked(slice, &mask))
                }
            };
            if let Some(bounds) = bounds {
                let (min, max) = bounds.range.unwrap_or((f64::NAN, f64::NAN));
                (state.min, state.max) = (min, if bounds.has_nan { f64::NAN } else { max });
            }
            self.floats[group].add(state);
        }
        self.add_moments(group, count, || match mask {
            None => moments_of(slice.iter().copied()),
            Some(mask) => moments_of(mask.iter(rows).map(|row| values[row])),
        });
        self.add_ends(group, mask, times, (first, last), |row| key_of_float(values[row]));
        self.counts[group] += count as u64;
    }

    /// Adds `count` times of which only the outermost matter.
    pub(crate) fn add_times(&mut self, group: usize, count: usize, first_ns: i64, last_ns: i64) {
        if count == 0 {
            return;
        }
        if self.needs.bounds {
            self.bounds[group].add(IntegerBounds { min: first_ns, max: last_ns });
        }
        if self.needs.ends {
            let ends = Ends::of((first_ns, first_ns), (last_ns, last_ns));
            self.ends[group].merge(&ends);
        }
        self.counts[group] += count as u64;
    }

    /// Adds one integer.
    pub(super) fn add_integer(&mut self, group: usize, value: i64, time_ns: i64) {
        self.add_state(group, IntegerState { sum: value.into(), bounds: IntegerBounds { min: value, max: value } });
        self.add_one(group, value as f64, value, time_ns);
    }

    /// Adds one float.
    pub(super) fn add_float(&mut self, group: usize, value: f64, time_ns: i64) {
        if self.needs.sum || self.needs.bounds {
            self.floats[group].add(FloatState { sum: value, min: value, max: value });
        }
        self.add_one(group, value, key_of_float(value), time_ns);
    }

    fn add_one(&mut self, group: usize, value: f64, key: i64, time_ns: i64) {
        if self.needs.moments {
            self.moments[group].add(self.counts[group], Moments { mean: value, squares: 0.0 }, 1);
        }
        if self.needs.ends {
            self.ends[group].merge(&Ends::of((time_ns, key), (time_ns, key)));
        }
        self.counts[group] += 1;
    }

    fn add_moments(&mut self, group: usize, count: usize, moments: impl FnOnce() -> Moments) {
        if count > 0 && self.needs.moments {
            let moments = moments();
            self.moments[group].add(self.counts[group], moments, count as u64);
        }
    }

    /// Adds the outermost of the rows `first..=last`, those that `mask` keeps, which are in the order of time.
    fn add_ends(
        &mut self,
        group: usize,
        mask: Option<&RowMask>,
        times: BlockTimes<'_>,
        (first, last): (usize, usize),
        key: impl Fn(usize) -> i64,
    ) {
        if !self.needs.ends {
            return;
        }
        let counts = |row: usize| mask.is_none_or(|mask| mask.contains(row));
        let (first_ns, last_ns) = (times.get(first), times.get(last));
        // Several rows of one time stand together, where the table keeps them.
        let at_first = (first..=last).take_while(|row| times.get(*row) == first_ns).filter(|row| counts(*row));
        let at_last = (first..=last).rev().take_while(|row| times.get(*row) == last_ns).filter(|row| counts(*row));
        let first_key = at_first.map(&key).min().unwrap_or_else(|| key(first));
        let last_key = at_last.map(&key).max().unwrap_or_else(|| key(last));
        self.ends[group].merge(&Ends::of((first_ns, first_key), (last_ns, last_key)));
    }

    /// Adds a group of other states of the same layout.
    pub(crate) fn merge(&mut self, group: usize, other: &Self, other_group: usize) {
        if let Some(sum) = other.sums.get(other_group) {
            self.sums[group] += sum;
        }
        if let Some(bounds) = other.bounds.get(other_group) {
            self.bounds[group].add(*bounds);
        }
        if let Some(state) = other.floats.get(other_group) {
            self.floats[group].add(*state);
        }
        if let Some(moments) = other.moments.get(other_group) {
            self.moments[group].add(self.counts[group], *moments, other.counts[other_group]);
        }
        if let Some(ends) = other.ends.get(other_group) {
            self.ends[group].merge(ends);
        }
        self.counts[group] += other.counts[other_group];
    }
}

/// Runs up to this length are added value by value: a call into a kernel costs as much as these rows.
const SCALAR_ROWS_MAX: usize = 16;

#[inline]
fn sum_and_bounds(values: &[i64], needs: Needs) -> IntegerState {
    let mut state = IntegerState::EMPTY;
    if values.len() <= SCALAR_ROWS_MAX {
        if needs.sum {
            state.sum = values.iter().map(|&value| i128::from(value)).sum();
        }
        if needs.bounds {
            for &value in values {
                state.bounds.add(IntegerBounds { min: value, max: value });
            }
        }
        return state;
    }
    if needs.sum {
        state.sum = kernel::sum_i64(values);
    }
    if needs.bounds
        && let Some((min, max)) = kernel::min_max_i64(values)
    {
        state.bounds = IntegerBounds { min, max };
    }
    state
}

/// Two passes: the mean first, so that squares stay small.
fn moments_of(values: impl Iterator<Item = f64> + Clone) -> Moments {
    let (sum, count) = values.clone().fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    let mean = sum / count as f64;
    let squares = values.map(|value| (value - mean) * (value - mean)).sum();
    Moments { mean, squares }
}
