//! The aggregates over summaries for DataFusion: percentiles, modes, histograms, correlations and the like.
//!
//! The same functions as in the vectorized executor, over the same [`SummaryStates`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility};

use super::error::to_datafusion;
use super::first_last::TIME;
use super::series_aggregate::SeriesAccumulator;
use crate::error::Error;
use crate::exec::{SummaryKind, SummaryStates, decode, encode};
use crate::plan::{AggregateName, SummaryFunction};
use crate::scalar::Scalar;

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SummaryAggregate {
    name: &'static str,
    aggregate: AggregateName,
    signature: Signature,
}

impl SummaryAggregate {
    /// All functions.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        AggregateName::of_summaries().map(|(name, aggregate)| Self {
            name,
            aggregate,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }

    /// The types of `(x [, method], time, keys...)`.
    fn coerce_series(&self, value: DataType, rest: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name;
        let mut coerced = vec![value];
        let mut rest = rest.iter();
        let mut time = rest.next();
        if matches!(self.aggregate, AggregateName::TimeWeight) && time.is_some_and(DataType::is_string) {
            coerced.push(DataType::Utf8);
            time = rest.next();
        }
        match time {
            Some(DataType::Timestamp(..) | DataType::Date32 | DataType::Null) => coerced.push(TIME),
            Some(other) => return plan_err!("{name} takes the time after its value, not {other}"),
            None => {
                return plan_err!(
                    "{name}(x) knows the order and the series of a single table only: write {name}(x, time, host, ...) \
                     with the columns that tell series apart, or {name}(x, time) when each group is one series"
                );
            }
        }
        coerced.extend(rest.map(|_| DataType::Utf8));
        Ok(coerced)
    }
}

/// The type in which the executor knows values of a type.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::UInt64,
        DataType::Float16 | DataType::Float32 | DataType::Null => DataType::Float64,
        other if other.is_decimal() => DataType::Float64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            DataType::Timestamp(TimeUnit::Nanosecond, None)
        }
        other => other.clone(),
    }
}

impl AggregateUDFImpl for SummaryAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let count = self.aggregate.value_count();
        if types.len() < count {
            return plan_err!("{} takes {}, {} were given", self.name, self.aggregate.arguments(), types.len());
        }
        let (values, constants) = types.split_at(count);
        let mut coerced: Vec<DataType> = values.iter().map(plain_type).collect();
        if self.aggregate.result_type(&coerced[0]).is_none() {
            return plan_err!("{} of {} is not supported: cast it to a number first", self.name, types[0]);
        }
        if self.aggregate.is_by_series() {
            return self.coerce_series(coerced.swap_remove(0), constants);
        }
        if let Some(second) = coerced.get_mut(1)
            && !self.aggregate.takes_second(second)
        {
            return plan_err!("{} by {} is not supported", self.name, types[1]);
        }
        coerced.extend(constants.iter().map(|constant| match constant {
            DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Float32 => DataType::Float64,
            constant if constant.is_integer() => DataType::Int64,
            other => other.clone(),
        }));
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first().and_then(|value| self.aggregate.result_type(value)) {
            Some(result) => Ok(result),
            None => plan_err!("{} takes {}", self.name, self.aggregate.arguments()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "summary"), DataType::LargeBinary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("{} with DISTINCT is not supported", self.name);
        }
        let constants = self.constants(&args)?;
        let function = self.aggregate.function(self.name, &constants).map_err(to_datafusion)?;
        let Some(function) = function.summary() else {
            return plan_err!("{} is no aggregate over summaries", self.name);
        };
        let kind = SummaryKind::of(function);
        if let SummaryKind::Fold { kind, .. } = kind {
            return Ok(Box::new(SeriesAccumulator::new(kind, function, 1 + constants.len())));
        }
        let data_type = args.expr_fields[0].data_type().clone();
        let mut states = SummaryStates::new(kind, data_type.clone());
        states.resize(1);
        Ok(Box::new(SummaryAccumulator {
            function,
            kind,
            data_type,
            takes_two: self.aggregate.value_count() == 2,
            states,
            groups: Vec::new(),
        }))
    }
}

impl SummaryAggregate {
    /// The constants of a call.
    fn constants(&self, args: &AccumulatorArgs<'_>) -> Result<Vec<Scalar>> {
        let values = self.aggregate.value_count();
        let is_constant = |index: usize| !self.aggregate.is_by_series() || *args.expr_fields[index].data_type() != TIME;
        let last =
            (values..args.exprs.len()).take_while(|index| is_constant(*index)).last().map_or(values, |last| last + 1);
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let constants = args.exprs[values..last].iter().map(|expr| match expr.evaluate(&nothing) {
            Ok(ColumnarValue::Scalar(value)) => Ok(match value {
                ScalarValue::Int64(Some(value)) => Scalar::I64(value),
                ScalarValue::UInt64(Some(value)) => Scalar::U64(value),
                ScalarValue::Float64(Some(value)) => Scalar::F64(value),
                ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => Scalar::from(text),
                _ => Scalar::Null,
            }),
            _ => plan_err!("{} takes {}, of which only x may be a column", self.name, self.aggregate.arguments()),
        });
        constants.collect()
    }
}

/// The summary of one group.
#[derive(Debug)]
struct SummaryAccumulator {
    function: SummaryFunction,
    kind: SummaryKind,
    data_type: DataType,
    takes_two: bool,
    states: SummaryStates,
    /// Zeros: all rows are of the one group.
    groups: Vec<u32>,
}

impl Accumulator for SummaryAccumulator {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let second = if self.takes_two { columns.get(1) } else { None };
        self.groups.resize(columns[0].len(), 0);
        self.states.add_rows(&columns[0], second, &self.groups, None).map_err(to_datafusion)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for bytes in states[0].as_binary::<i64>().iter().flatten() {
            let summary = decode(bytes, self.kind, &self.data_type).map_err(to_datafusion)?;
            self.states.merge_summary(0, &summary);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.states.finish(self.function, &[0]), 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let bytes = encode(self.states.get(0)).map_err(to_datafusion)?;
        Ok(vec![ScalarValue::LargeBinary(Some(bytes))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.states.bytes() + self.groups.capacity() * size_of::<u32>()
    }
}

/// The error of a state that is none.
pub(super) fn damaged_state() -> Error {
    Error::execution("the state of an aggregate is damaged")
}
