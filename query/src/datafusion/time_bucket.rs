//! `time_bucket(width, time [, origin])`: the start of the bucket that a time is in.
//!
//! The same function as in the vectorized executor, over the same [`Bucket`].

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::error::to_datafusion;
use crate::error::Error;
use crate::plan::Bucket;
use crate::scalar::Interval;
use crate::sql::parse_interval;

const NAME: &str = "time_bucket";
const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// The function for DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(TIME)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (width, times) = match types {
            [width, times @ ..] if matches!(times.len(), 1 | 2) => (width, times),
            _ => return plan_err!("{NAME} takes (width, time [, origin]), {} arguments were given", types.len()),
        };
        let width = match width {
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            width if width.is_string() => DataType::Utf8,
            other => return plan_err!("the width of {NAME} is an interval such as '5 minutes', not {other}"),
        };
        let mut coerced = vec![width];
        for time in times {
            if !matches!(time, DataType::Timestamp(..) | DataType::Date32 | DataType::Null) && !time.is_string() {
                return plan_err!("{NAME} works on timestamps, not {time}");
            }
            coerced.push(TIME);
        }
        Ok(coerced)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [width, times, origin @ ..] = args.args.as_slice() else {
            return plan_err!("{NAME} takes (width, time [, origin])");
        };
        let origin_ns = match origin.first() {
            None => Some(0),
            Some(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(origin, _))) => *origin,
            Some(_) => return plan_err!("the origin of {NAME} must be a constant time"),
        };
        let (Some(width), Some(origin_ns)) = (constant_width(width)?, origin_ns) else {
            return Ok(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(None, None)));
        };
        let bucket = bucket(width, origin_ns).map_err(to_datafusion)?;
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

fn constant_width(width: &ColumnarValue) -> Result<Option<Interval>> {
    match width {
        ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(value)) => Ok(value.map(|value| {
            let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(value);
            Interval { months, days, nanos }
        })),
        ColumnarValue::Scalar(ScalarValue::Utf8(text)) => {
            text.as_deref().map(parse_interval).transpose().map_err(to_datafusion)
        }
        _ => plan_err!("the width of {NAME} must be a constant"),
    }
}

fn bucket(width: Interval, origin_ns: i64) -> Result<Bucket, Error> {
    match (width.months, width.fixed_ns()) {
        (1.., _) if width.days == 0 && width.nanos == 0 => Ok(Bucket::months(width.months, origin_ns)),
        (0, Some(width_ns @ 1..)) => Ok(Bucket::fixed(width_ns, origin_ns)),
        _ => Err(Error::plan(format!("the width of {NAME} must be positive, and either months or a fixed span"))),
    }
}
