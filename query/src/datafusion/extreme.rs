//! `min`, `max` and `any_value` for DataFusion, with the order of floats that the vectorized executor has: NaN is greater
//! than every number, and -0 is 0.
//!
//! DataFusion's own keep a NaN or not, depending on the order of rows, and take bounds from statistics that know no
//! NaN. For every other type theirs are used.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::compute::{and, is_not_null, not, nullif};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};

use crate::exec::{bound, float_of_key, key_of_float_value};

/// Which bound is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bound {
    Min,
    Max,
}

impl Bound {
    /// The key of no value: beyond those of all floats.
    fn none(self) -> i64 {
        match self {
            Self::Min => i64::MAX,
            Self::Max => i64::MIN,
        }
    }

    fn of(self, left: i64, right: i64) -> i64 {
        match self {
            Self::Min => left.min(right),
            Self::Max => left.max(right),
        }
    }

    fn value(self, key: i64) -> Option<f64> {
        (key != self.none()).then(|| bound(float_of_key(key)))
    }
}

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    name: &'static str,
    bound: Bound,
    /// DataFusion's function for types without NaN.
    others: Arc<AggregateUDF>,
}

impl Extreme {
    /// All functions.
    pub(super) fn all() -> [Self; 3] {
        [
            Self { name: "min", bound: Bound::Min, others: min_udaf() },
            Self { name: "max", bound: Bound::Max, others: max_udaf() },
            // Any value may do; the least is the same every time.
            Self { name: "any_value", bound: Bound::Min, others: min_udaf() },
        ]
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        self.others.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.others.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.others.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.others.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Float64 => Ok(Box::new(FloatBound { bound: self.bound, key: self.bound.none() })),
            _ => self.others.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.others.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Float64 => Ok(Box::new(FloatBounds { bound: self.bound, keys: Vec::new() })),
            _ => self.others.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.others.create_sliding_accumulator(args)
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        // Statistics say nothing of NaN.
        if *args.return_type == DataType::Float64 { None } else { self.others.value_from_stats(args) }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.others.inner().set_monotonicity(data_type)
    }
}

/// The bound of one group.
#[derive(Debug)]
struct FloatBound {
    bound: Bound,
    key: i64,
}

impl Accumulator for FloatBound {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for value in columns[0].as_primitive::<Float64Type>().iter().flatten() {
            self.key = self.bound.of(self.key, key_of_float_value(value));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.bound.value(self.key)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The bounds of all groups.
#[derive(Debug)]
struct FloatBounds {
    bound: Bound,
    keys: Vec<i64>,
}

impl GroupsAccumulator for FloatBounds {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.keys.resize(total_num_groups, self.bound.none());
        let values = values[0].as_primitive::<Float64Type>();
        let passes = |row: usize| opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        for (row, &group) in group_indices.iter().enumerate() {
            if values.is_valid(row) && passes(row) {
                self.keys[group] = self.bound.of(self.keys[group], key_of_float_value(values.value(row)));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.update_batch(states, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let keys = emit_to.take_needed(&mut self.keys);
        Ok(Arc::new(keys.into_iter().map(|key| self.bound.value(key)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(filter) = opt_filter else { return Ok(values.to_vec()) };
        // What the filter drops becomes NULL, which has no bound.
        let passes = and(filter, &is_not_null(filter)?)?;
        let kept = nullif(values[0].as_primitive::<Float64Type>(), &not(&passes)?)?;
        Ok(vec![kept])
    }

    fn size(&self) -> usize {
        self.keys.capacity() * size_of::<i64>()
    }
}
