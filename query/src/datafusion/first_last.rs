//! `first(value, time)` and `last(value, time)`: the value at the earliest or latest time of a group.
//!
//! Rows whose value or time is NULL do not count. Of several values at that time the smallest (first) or largest (last)
//! is taken, so that the answer does not depend on the order in which partitions come in.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DynComparator, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use super::first_last_groups::FirstLastGroups;

pub(super) const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Which end of time is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    First,
    Last,
}

impl End {
    /// Whether what stands in relation `ordering` to the winner so far wins over it.
    pub(super) fn prefers(self, ordering: Ordering) -> bool {
        match self {
            Self::First => ordering == Ordering::Less,
            Self::Last => ordering == Ordering::Greater,
        }
    }

    /// Whether the candidate (time and value) wins over the best so far.
    pub(super) fn wins(self, candidate: (i64, &ScalarValue), best: (i64, &ScalarValue)) -> bool {
        let by_time = candidate.0.cmp(&best.0);
        let ordering = by_time.then_with(|| candidate.1.partial_cmp(best.1).unwrap_or(Ordering::Equal));
        self.prefers(ordering)
    }
}

/// The columns of a batch with what is needed to compare two of its rows.
pub(super) struct Candidates<'a> {
    pub(super) times: &'a [i64],
    values: &'a ArrayRef,
    time_nulls: Option<&'a NullBuffer>,
    value_nulls: Option<NullBuffer>,
    compare_values: DynComparator,
}

impl<'a> Candidates<'a> {
    /// Of the columns value and time.
    pub(super) fn new(columns: &'a [ArrayRef]) -> Result<Self> {
        let [values, times] = columns else {
            return plan_err!("first and last take (value, time)");
        };
        let times = times.as_primitive::<TimestampNanosecondType>();
        Ok(Self {
            times: times.values(),
            values,
            time_nulls: times.nulls(),
            value_nulls: values.logical_nulls(),
            compare_values: make_comparator(values, values, SortOptions::default())?,
        })
    }

    /// Whether the row has a value and a time.
    pub(super) fn counts(&self, row: usize) -> bool {
        self.time_nulls.is_none_or(|nulls| nulls.is_valid(row))
            && self.value_nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    /// How the first row stands to the second, by time and then value.
    pub(super) fn compare(&self, left: usize, right: usize) -> Ordering {
        self.times[left].cmp(&self.times[right]).then_with(|| (self.compare_values)(left, right))
    }

    pub(super) fn value(&self, row: usize) -> Result<ScalarValue> {
        // Compacted, because a slice of a string array would keep the whole batch alive.
        let mut value = ScalarValue::try_from_array(self.values, row)?;
        value.compact();
        Ok(value)
    }
}

/// One of the two functions for DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FirstLast {
    end: End,
    signature: Signature,
}

impl FirstLast {
    pub(super) fn new(end: End) -> Self {
        Self { end, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for FirstLast {
    fn name(&self) -> &str {
        match self.end {
            End::First => "first",
            End::Last => "last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, time] = types else {
            return plan_err!("{} takes (value, time), {} arguments were given", self.name(), types.len());
        };
        if !matches!(time, DataType::Timestamp(..) | DataType::Date32 | DataType::Null) {
            return plan_err!("{} orders by a timestamp, not by {time}", self.name());
        }
        // Aggregates return text, never dictionaries.
        let value = match value {
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        Ok(vec![value, TIME])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let value = args.return_field.data_type().clone();
        Ok(vec![
            Arc::new(Field::new(format_state_name(args.name, "value"), value, true)),
            Arc::new(Field::new(format_state_name(args.name, "time"), TIME, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(FirstLastAccumulator {
            end: self.end,
            time_ns: None,
            value: ScalarValue::try_from(args.return_field.data_type())?,
        }))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(FirstLastGroups::new(self.end, args.return_field.data_type().clone())))
    }
}

/// The winner of one group.
#[derive(Debug)]
struct FirstLastAccumulator {
    end: End,
    /// `None` while no row counted.
    time_ns: Option<i64>,
    value: ScalarValue,
}

impl Accumulator for FirstLastAccumulator {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let candidates = Candidates::new(columns)?;
        let rows = (0..candidates.times.len()).filter(|&row| candidates.counts(row));
        let best = rows.reduce(|best, row| if self.end.prefers(candidates.compare(row, best)) { row } else { best });
        let Some(row) = best else { return Ok(()) };
        let (time_ns, value) = (candidates.times[row], candidates.value(row)?);
        if self.time_ns.is_none_or(|best| self.end.wins((time_ns, &value), (best, &self.value))) {
            self.time_ns = Some(time_ns);
            self.value = value;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::TimestampNanosecond(self.time_ns, None)])
    }

    fn size(&self) -> usize {
        size_of_val(self) - size_of_val(&self.value) + self.value.size()
    }
}
