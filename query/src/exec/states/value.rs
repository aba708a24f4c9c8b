//! States over arguments that are no numbers: bounds, first and last of texts, bytes and booleans.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, StringBuilder};
use arrow::datatypes::DataType;

use crate::error::Result;
use crate::scalar::Scalar;

/// A value with the time of its row.
#[derive(Debug, Clone)]
struct TimedValue {
    time_ns: i64,
    value: Scalar,
}

impl TimedValue {
    /// By time; of equal times by the value, so that the order of rows does not matter.
    fn compare(&self, other: &Self) -> Ordering {
        self.time_ns.cmp(&other.time_ns).then_with(|| order(&self.value, &other.value))
    }
}

/// What a group remembers; the bounds or the ends, as the functions ask.
#[derive(Debug, Clone, Default)]
struct ValueState {
    count: u64,
    min: Option<Scalar>,
    max: Option<Scalar>,
    first: Option<TimedValue>,
    last: Option<TimedValue>,
}

/// The states of one argument that is no number, one per group.
#[derive(Debug)]
pub(crate) struct ValueStates {
    data_type: DataType,
    bounds: bool,
    ends: bool,
    states: Vec<ValueState>,
}

/// Which value of a group is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    Min,
    Max,
    First,
    Last,
}

impl ValueStates {
    /// States of no group.
    pub(crate) fn new(data_type: DataType, bounds: bool, ends: bool) -> Self {
        Self { data_type, bounds, ends, states: Vec::new() }
    }

    /// Makes room for `groups` groups.
    pub(crate) fn resize(&mut self, groups: usize) {
        self.states.resize_with(groups, ValueState::default);
    }

    /// Adds a row per group id.
    pub(crate) fn add(&mut self, array: &ArrayRef, groups: &[u32], times: Option<&[i64]>) -> Result<()> {
        for (row, &group) in groups.iter().enumerate() {
            if array.is_null(row) {
                continue;
            }
            let state = &mut self.states[group as usize];
            state.count += 1;
            if self.bounds {
                let below = state.min.as_ref().is_none_or(|min| compare(array, row, min) == Ordering::Less);
                let above = state.max.as_ref().is_none_or(|max| compare(array, row, max) == Ordering::Greater);
                if below {
                    state.min = Some(Scalar::from_array(array, row)?);
                }
                if above {
                    state.max = Some(Scalar::from_array(array, row)?);
                }
            }
            if self.ends {
                let time_ns = times.map_or(0, |times| times[row]);
                let order =
                    |known: &TimedValue| time_ns.cmp(&known.time_ns).then_with(|| compare(array, row, &known.value));
                if state.first.as_ref().is_none_or(|first| order(first) == Ordering::Less) {
                    state.first = Some(TimedValue { time_ns, value: Scalar::from_array(array, row)? });
                }
                if state.last.as_ref().is_none_or(|last| order(last) == Ordering::Greater) {
                    state.last = Some(TimedValue { time_ns, value: Scalar::from_array(array, row)? });
                }
            }
        }
        Ok(())
    }

    /// Adds a group of other states of the same layout.
    pub(crate) fn merge(&mut self, group: usize, other: &Self, other_group: usize) {
        let (state, other) = (&mut self.states[group], &other.states[other_group]);
        state.count += other.count;
        if let Some(min) = &other.min
            && state.min.as_ref().is_none_or(|known| order(min, known) == Ordering::Less)
        {
            state.min = Some(min.clone());
        }
        if let Some(max) = &other.max
            && state.max.as_ref().is_none_or(|known| order(max, known) == Ordering::Greater)
        {
            state.max = Some(max.clone());
        }
        if let Some(first) = &other.first
            && state.first.as_ref().is_none_or(|known| first.compare(known) == Ordering::Less)
        {
            state.first = Some(first.clone());
        }
        if let Some(last) = &other.last
            && state.last.as_ref().is_none_or(|known| last.compare(known) == Ordering::Greater)
        {
            state.last = Some(last.clone());
        }
    }

    /// Number of values of a group.
    pub(crate) fn count(&self, group: usize) -> u64 {
        self.states[group].count
    }

    /// One value of each of `groups`.
    pub(crate) fn finish(&self, pick: Pick, groups: &[u32]) -> ArrayRef {
        let values = groups.iter().map(|&group| {
            let state = &self.states[group as usize];
            match pick {
                Pick::Min => state.min.as_ref(),
                Pick::Max => state.max.as_ref(),
                Pick::First => state.first.as_ref().map(|first| &first.value),
                Pick::Last => state.last.as_ref().map(|last| &last.value),
            }
        });
        match self.data_type {
            DataType::Boolean => {
                let mut builder = BooleanBuilder::new();
                values.for_each(|value| {
                    builder.append_option(if let Some(Scalar::Bool(value)) = value { Some(*value) } else { None });
                });
                std::sync::Arc::new(builder.finish())
            }
            DataType::Binary => {
                let mut builder = BinaryBuilder::new();
                values.for_each(|value| {
                    builder.append_option(if let Some(Scalar::Binary(value)) = value { Some(value) } else { None });
                });
                std::sync::Arc::new(builder.finish())
            }
            _ => {
                let mut builder = StringBuilder::new();
                values.for_each(|value| {
                    builder.append_option(if let Some(Scalar::Text(value)) = value { Some(value) } else { None });
                });
                std::sync::Arc::new(builder.finish())
            }
        }
    }
}

/// The order of a row's value and a known one of the same type, without a copy of the row's.
fn compare(array: &ArrayRef, row: usize, known: &Scalar) -> Ordering {
    match known {
        Scalar::Text(known) => array.as_string::<i32>().value(row).cmp(known),
        Scalar::Binary(known) => array.as_binary::<i32>().value(row).cmp(known),
        Scalar::Bool(known) => array.as_boolean().value(row).cmp(known),
        _ => Ordering::Equal,
    }
}

fn order(left: &Scalar, right: &Scalar) -> Ordering {
    match (left, right) {
        (Scalar::Text(left), Scalar::Text(right)) => left.cmp(right),
        (Scalar::Binary(left), Scalar::Binary(right)) => left.cmp(right),
        (Scalar::Bool(left), Scalar::Bool(right)) => left.cmp(right),
        _ => Ordering::Equal,
    }
}
