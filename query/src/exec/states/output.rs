//! The states of all groups, and how they become result columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};

use super::layout::{Layout, Output, StateKind};
use super::number::{NumberKind, NumberStates};
use super::value::{Pick, ValueStates};
use crate::error::Result;
use crate::exec::summaries::{RowOrigin, SummaryStates, float_of_key};
use crate::plan::AggregateFunction;

/// The states of one argument.
#[derive(Debug)]
pub(crate) enum ColumnStates {
    /// Numbers of values.
    Count(Vec<u64>),
    /// States over numbers.
    Number(NumberStates),
    /// States over other values.
    Value(ValueStates),
    /// Summaries.
    Summary(SummaryStates),
}

impl ColumnStates {
    /// Values of a numeric argument in a group.
    pub(crate) fn number_count(&self, group: usize) -> u64 {
        match self {
            Self::Number(states) => states.counts[group],
            Self::Count(_) | Self::Value(_) | Self::Summary(_) => 0,
        }
    }
}

/// The states of all groups.
#[derive(Debug)]
pub(crate) struct GroupStates {
    /// Rows per group.
    pub(crate) rows: Vec<u64>,
    /// States per argument.
    pub(crate) columns: Vec<ColumnStates>,
}

impl GroupStates {
    /// States of `groups` groups without rows.
    pub(crate) fn new(layout: &Layout, groups: usize) -> Self {
        let columns = layout.arguments.iter().map(|argument| match &argument.kind {
            StateKind::Count => ColumnStates::Count(Vec::new()),
            StateKind::Number(kind, needs) => ColumnStates::Number(NumberStates::new(*kind, *needs)),
            StateKind::Value(data_type, needs) => {
                ColumnStates::Value(ValueStates::new(data_type.clone(), needs.bounds, needs.ends))
            }
            StateKind::Summary(kind, data_type) => ColumnStates::Summary(SummaryStates::new(*kind, data_type.clone())),
        });
        let mut states = Self { rows: Vec::new(), columns: columns.collect() };
        states.resize(groups);
        states
    }

    /// Makes room for `groups` groups.
    pub(crate) fn resize(&mut self, groups: usize) {
        self.rows.resize(groups, 0);
        for column in &mut self.columns {
            match column {
                ColumnStates::Count(counts) => counts.resize(groups, 0),
                ColumnStates::Number(states) => states.resize(groups),
                ColumnStates::Value(states) => states.resize(groups),
                ColumnStates::Summary(states) => states.resize(groups),
            }
        }
    }

    /// Asks for the memory of so many groups without touching it, so that growing to them copies nothing.
    pub(crate) fn reserve(&mut self, groups: usize) {
        self.rows.reserve_exact(groups);
        for column in &mut self.columns {
            match column {
                ColumnStates::Count(counts) => counts.reserve_exact(groups),
                ColumnStates::Number(states) => states.reserve(groups),
                ColumnStates::Value(_) | ColumnStates::Summary(_) => {}
            }
        }
    }

    /// Makes room for at least `groups` groups: in steps within what was reserved, else for twice as many, so that a new
    /// bucket per block does not copy all states each time.
    pub(crate) fn grow(&mut self, groups: usize) {
        const STEP: usize = 1 << 14;
        let reserved = self.rows.capacity();
        self.resize(if groups <= reserved { reserved.min(groups + STEP) } else { groups.next_power_of_two() });
    }

    /// Bytes that summaries take.
    pub(crate) fn summary_bytes(&self) -> u64 {
        let bytes = self.columns.iter().map(|column| match column {
            ColumnStates::Summary(states) => states.bytes() as u64,
            ColumnStates::Count(_) | ColumnStates::Number(_) | ColumnStates::Value(_) => 0,
        });
        bytes.sum()
    }

    /// Adds one row per group id; `arguments` are the evaluated arguments, as long as `groups`.
    pub(crate) fn add_rows(
        &mut self,
        arguments: &[(ArrayRef, Option<ArrayRef>)],
        groups: &[u32],
        origin: Option<RowOrigin<'_>>,
    ) -> Result<()> {
        let times = origin.map(|origin| origin.times);
        count_rows(&mut self.rows, groups);
        for (column, (array, second)) in self.columns.iter_mut().zip(arguments) {
            match column {
                ColumnStates::Count(counts) => {
                    // A column that is NULL by its type has no bits of its own.
                    match array.logical_nulls() {
                        None => count_rows(counts, groups),
                        Some(nulls) => nulls.valid_indices().for_each(|row| counts[groups[row] as usize] += 1),
                    }
                }
                ColumnStates::Number(states) => states.add_array(array, groups, times),
                ColumnStates::Value(states) => states.add(array, groups, times)?,
                ColumnStates::Summary(states) => states.add_rows(array, second.as_ref(), groups, origin)?,
            }
        }
        Ok(())
    }

    /// Adds a group of other states of the same layout.
    pub(crate) fn merge(&mut self, group: usize, other: &Self, other_group: usize) {
        self.rows[group] += other.rows[other_group];
        for (column, other) in self.columns.iter_mut().zip(&other.columns) {
            match (column, other) {
                (ColumnStates::Count(counts), ColumnStates::Count(others)) => counts[group] += others[other_group],
                (ColumnStates::Number(states), ColumnStates::Number(other)) => states.merge(group, other, other_group),
                (ColumnStates::Value(states), ColumnStates::Value(other)) => states.merge(group, other, other_group),
                (ColumnStates::Summary(states), ColumnStates::Summary(other)) => {
                    states.merge(group, other, other_group)
                }
                _ => {}
            }
        }
    }

    /// The result columns of the aggregates, one row per entry of `groups`.
    pub(crate) fn finish(&self, layout: &Layout, groups: &[u32]) -> Vec<ArrayRef> {
        layout.outputs.iter().map(|output| self.finish_one(output, groups)).collect()
    }

    /// The result column of one aggregate.
    pub(crate) fn finish_one(&self, output: &Output, groups: &[u32]) -> ArrayRef {
        let Some(argument) = output.argument else {
            return Arc::new(
                groups.iter().map(|&group| Some(self.rows[group as usize] as i64)).collect::<Int64Array>(),
            );
        };
        let column = &self.columns[argument];
        if let (ColumnStates::Summary(states), Some(function)) = (column, output.function.summary()) {
            return states.finish(function, groups);
        }
        if output.function == AggregateFunction::Count {
            let count = |group: u32| match column {
                ColumnStates::Count(counts) => counts[group as usize],
                ColumnStates::Number(states) => states.counts[group as usize],
                ColumnStates::Value(states) => states.count(group as usize),
                // A count is laid out apart from summaries.
                ColumnStates::Summary(_) => 0,
            };
            return Arc::new(
                groups.iter().map(|&group| count(group) as i64).collect::<Vec<_>>().into_iter().collect::<Int64Array>(),
            );
        }
        match column {
            ColumnStates::Number(states) => finish_number(states, output.function, groups),
            ColumnStates::Value(states) => {
                let pick = match output.function {
                    AggregateFunction::Min => Pick::Min,
                    AggregateFunction::Max => Pick::Max,
                    AggregateFunction::First => Pick::First,
                    _ => Pick::Last,
                };
                states.finish(pick, groups)
            }
            // Only `count` is laid out without values, and summaries were read off above.
            ColumnStates::Count(_) | ColumnStates::Summary(_) => Arc::new(Int64Array::new_null(groups.len())),
        }
    }
}

/// Counts the rows of each group.
fn count_rows(counts: &mut [u64], groups: &[u32]) {
    // Additions to one place wait for each other, so a batch of one group is not counted row by row.
    match groups.first() {
        Some(first) if groups.iter().all(|group| group == first) => counts[*first as usize] += groups.len() as u64,
        _ => groups.iter().for_each(|group| counts[*group as usize] += 1),
    }
}

/// Turns the ordered form of an unsigned integer back.
fn unsigned(ordered: i64) -> u64 {
    ordered.cast_unsigned() ^ (1 << 63)
}

fn finish_number(states: &NumberStates, function: AggregateFunction, groups: &[u32]) -> ArrayRef {
    use AggregateFunction as F;
    // One value has no deviation from others.
    let values_min = if matches!(function, F::Variance | F::Stddev) { 2 } else { 1 };
    let is_known = |row: usize| states.counts[groups[row] as usize] >= values_min;
    let nulls = (!(0..groups.len()).all(is_known))
        .then(|| NullBuffer::new(BooleanBuffer::collect_bool(groups.len(), is_known)));
    let count = |group: usize| states.counts[group] as f64;
    let squares = |group: usize| states.moments[group].squares;
    let floats = |value: &dyn Fn(usize) -> f64| primitive::<Float64Type>(groups, nulls.clone(), value);
    match (function, states.kind) {
        (F::Avg, NumberKind::F64) => {
            primitive::<Float64Type>(groups, nulls, |group| states.floats[group].sum / count(group))
        }
        (F::Avg, NumberKind::U64) => {
            primitive::<Float64Type>(groups, nulls, |group| to_float(unsigned_sum(states, group)) / count(group))
        }
        (F::Avg, _) => primitive::<Float64Type>(groups, nulls, |group| to_float(states.sums[group]) / count(group)),
        (F::VariancePop, _) => floats(&|group| squares(group) / count(group)),
        (F::StddevPop, _) => floats(&|group| (squares(group) / count(group)).sqrt()),
        (F::Variance, _) => floats(&|group| squares(group) / (count(group) - 1.0)),
        (F::Stddev, _) => floats(&|group| (squares(group) / (count(group) - 1.0)).sqrt()),
        (F::Sum, NumberKind::F64) => floats(&|group| states.floats[group].sum),
        (F::Min, NumberKind::F64) => floats(&|group| bound(states.floats[group].min)),
        (F::Max, NumberKind::F64) => floats(&|group| bound(states.floats[group].max)),
        (F::First, NumberKind::F64) => floats(&|group| float_of_key(states.ends[group].first_key())),
        (_, NumberKind::F64) => floats(&|group| float_of_key(states.ends[group].last_key())),
        (F::Sum, NumberKind::U64) => primitive::<UInt64Type>(groups, nulls, |group| unsigned_sum(states, group) as u64),
        (_, kind) => {
            let integer = |group: usize| match function {
                // Sums wrap like those of DataFusion.
                F::Sum => states.sums[group] as i64,
                F::Min => states.bounds[group].min,
                F::Max => states.bounds[group].max,
                F::First => states.ends[group].first_key(),
                _ => states.ends[group].last_key(),
            };
            match kind {
                NumberKind::U64 => primitive::<UInt64Type>(groups, nulls, |group| unsigned(integer(group))),
                NumberKind::Time => primitive::<TimestampNanosecondType>(groups, nulls, integer),
                _ => primitive::<Int64Type>(groups, nulls, integer),
            }
        }
    }
}

/// A value per group; what `value` says of a group that is NULL is not seen.
fn primitive<T: ArrowPrimitiveType>(
    groups: &[u32],
    nulls: Option<NullBuffer>,
    value: impl Fn(usize) -> T::Native,
) -> ArrayRef {
    let values: Vec<T::Native> = groups.iter().map(|&group| value(group as usize)).collect();
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

/// A least or greatest float as it is shown: one NaN, and 0 for -0, as rollups have it.
pub(crate) fn bound(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

/// The sum of unsigned values whose ordered forms were summed.
fn unsigned_sum(states: &NumberStates, group: usize) -> i128 {
    states.sums[group] + (i128::from(states.counts[group]) << 63)
}

/// The nearest float: of 64 bits the processor makes it itself.
fn to_float(sum: i128) -> f64 {
    // Out of line, or the compiler computes it both ways and picks one.
    #[cold]
    #[inline(never)]
    fn wide(sum: i128) -> f64 {
        sum as f64
    }
    match i64::try_from(sum) {
        Ok(sum) => sum as f64,
        Err(_) => wide(sum),
    }
}
