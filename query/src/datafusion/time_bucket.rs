//! `time_bucket(width, time [, origin] [, zone] [, offset])` and `date_trunc(unit, time, zone)`: the start of the bucket
//! that a time is in.
//!
//! The same functions as in the vectorized executor, over the same [`Bucket`]. DataFusion has a `date_trunc` of its own,
//! without a zone; a call with one is given the name [`TRUNC_IN_ZONE`] before it is planned.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::error::to_datafusion;
use crate::plan::{Bucket, BucketSpec, trunc_bucket};
use crate::scalar::Scalar;

/// The name of `date_trunc` with a zone.
pub(super) const TRUNC_IN_ZONE: &str = "date_trunc_in_zone";

const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Arguments behind the time: origin, zone, offset.
const OTHERS_MAX: usize = 3;

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    Bucket,
    Trunc,
}

/// A function for DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeBucket {
    call: Call,
    signature: Signature,
}

impl TimeBucket {
    /// `time_bucket`.
    pub(super) fn bucket() -> Self {
        Self { call: Call::Bucket, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// `date_trunc` with a zone.
    pub(super) fn trunc_in_zone() -> Self {
        Self { call: Call::Trunc, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        match self.call {
            Call::Bucket => "time_bucket",
            Call::Trunc => TRUNC_IN_ZONE,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(TIME)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let (width, time, others) = match (self.call, types) {
            (Call::Bucket, [width, time, others @ ..]) if others.len() <= OTHERS_MAX => (width, time, others),
            (Call::Trunc, [unit, time, zone]) if unit.is_string() && zone.is_string() => {
                return Ok(vec![DataType::Utf8, time_type(name, time)?, DataType::Utf8]);
            }
            (Call::Trunc, _) => return plan_err!("date_trunc takes (unit, time [, zone]), unit and zone as text"),
            (Call::Bucket, _) => {
                let given = types.len();
                return plan_err!(
                    "{name} takes (width, time [, origin] [, zone] [, offset]), {given} arguments were given"
                );
            }
        };
        let width = match width {
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            width if width.is_string() => DataType::Utf8,
            other => return plan_err!("the width of {name} is an interval such as '5 minutes', not {other}"),
        };
        let mut coerced = vec![width, time_type(name, time)?];
        for other in others {
            coerced.push(match other {
                other if other.is_string() => DataType::Utf8,
                DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
                other => time_type(name, other)?,
            });
        }
        Ok(coerced)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [first, times, others @ ..] = args.args.as_slice() else {
            return plan_err!("{} takes at least two arguments", self.name());
        };
        let first = constant(self.name(), first)?;
        let others = others.iter().map(|other| constant(self.name(), other)).collect::<Result<Vec<_>>>()?;
        if first == Scalar::Null || others.contains(&Scalar::Null) {
            return Ok(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(None, None)));
        }
        let bucket = self.cuts(&first, &others)?;
        Ok(match times {
            ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(time, _)) => {
                ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(time.map(|time| bucket.floor(time)), None))
            }
            other => {
                let times = other.to_array(args.number_rows)?;
                let floors: TimestampNanosecondArray =
                    times.as_primitive::<TimestampNanosecondType>().unary(|time| bucket.floor(time));
                ColumnarValue::Array(Arc::new(floors) as ArrayRef)
            }
        })
    }
}

impl TimeBucket {
    fn cuts(&self, first: &Scalar, others: &[Scalar]) -> Result<Bucket> {
        match (self.call, first, others) {
            (Call::Bucket, ..) => BucketSpec::new(self.name(), first, others)
                .and_then(|spec| spec.bucket(self.name()))
                .map_err(to_datafusion),
            (Call::Trunc, Scalar::Text(unit), [Scalar::Text(zone)]) => {
                match trunc_bucket(unit, Some(zone)).map_err(to_datafusion)? {
                    Some(bucket) => Ok(bucket),
                    None => plan_err!("date_trunc with a zone cuts at a second up to a year, not at '{unit}'"),
                }
            }
            (Call::Trunc, ..) => plan_err!("date_trunc takes (unit, time [, zone])"),
        }
    }
}

fn time_type(name: &str, given: &DataType) -> Result<DataType> {
    if matches!(given, DataType::Timestamp(..) | DataType::Date32 | DataType::Null) || given.is_string() {
        Ok(TIME)
    } else {
        plan_err!("{name} works on timestamps, not {given}")
    }
}

fn constant(name: &str, value: &ColumnarValue) -> Result<Scalar> {
    let ColumnarValue::Scalar(scalar) = value else {
        return plan_err!("all arguments of {name} but the time must be constants");
    };
    Scalar::from_array(&scalar.to_array()?, 0).map_err(to_datafusion)
}
