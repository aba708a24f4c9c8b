//! A single value: a literal of a statement, or a parameter of a prepared one.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, IntervalMonthDayNanoArray,
    StringArray, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampNanosecondType,
    UInt64Type,
};

use crate::error::{Error, Result};

/// A typed value of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// NULL, of no type yet.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer above the signed range, or a value of an unsigned column.
    U64(u64),
    /// A float.
    F64(f64),
    /// Text.
    Text(Arc<str>),
    /// Bytes.
    Binary(Arc<[u8]>),
    /// A time in nanoseconds since the epoch.
    Time(i64),
    /// A span of time.
    Interval(Interval),
}

/// A span of time in the three parts that do not convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Calendar months.
    pub months: i32,
    /// Calendar days; all of 24 hours, since time is UTC.
    pub days: i32,
    /// Nanoseconds.
    pub nanos: i64,
}

impl Interval {
    /// Nanoseconds of the days and nanoseconds parts; `None` when there are months, or on overflow.
    pub(crate) fn fixed_ns(self) -> Option<i64> {
        const DAY_NS: i64 = 86_400_000_000_000;
        if self.months != 0 {
            return None;
        }
        i64::from(self.days).checked_mul(DAY_NS)?.checked_add(self.nanos)
    }

    /// The opposite span; `None` on overflow.
    pub(crate) fn negate(self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            nanos: self.nanos.checked_neg()?,
        })
    }
}

impl Scalar {
    /// The Arrow type of the value.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Bool(_) => DataType::Boolean,
            Self::I64(_) => DataType::Int64,
            Self::U64(_) => DataType::UInt64,
            Self::F64(_) => DataType::Float64,
            Self::Text(_) => DataType::Utf8,
            Self::Binary(_) => DataType::Binary,
            Self::Time(_) => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }

    /// The value as an array of one row; NULL takes the type `data_type`.
    pub(crate) fn to_array(&self, data_type: &DataType) -> ArrayRef {
        match self {
            Self::Null => new_null_array(data_type, 1),
            Self::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
            Self::I64(value) => Arc::new(Int64Array::from_value(*value, 1)),
            Self::U64(value) => Arc::new(UInt64Array::from_value(*value, 1)),
            Self::F64(value) => Arc::new(Float64Array::from_value(*value, 1)),
            Self::Text(value) => Arc::new(StringArray::from(vec![&**value])),
            Self::Binary(value) => Arc::new(BinaryArray::from(vec![&**value])),
            Self::Time(value) => Arc::new(TimestampNanosecondArray::from_value(*value, 1)),
            Self::Interval(value) => Arc::new(IntervalMonthDayNanoArray::from_value(
                IntervalMonthDayNanoType::make_value(value.months, value.days, value.nanos),
                1,
            )),
        }
    }
}

impl Scalar {
    /// The value of a row, for the types that a scalar can be.
    pub(crate) fn from_array(array: &ArrayRef, row: usize) -> Result<Self> {
        if array.is_null(row) {
            return Ok(Self::Null);
        }
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().value(row)),
            DataType::Int64 => Self::I64(array.as_primitive::<Int64Type>().value(row)),
            DataType::UInt64 => Self::U64(array.as_primitive::<UInt64Type>().value(row)),
            DataType::Float64 => Self::F64(array.as_primitive::<Float64Type>().value(row)),
            DataType::Utf8 => Self::from(array.as_string::<i32>().value(row)),
            DataType::Binary => Self::Binary(array.as_binary::<i32>().value(row).into()),
            DataType::Timestamp(TimeUnit::Nanosecond, None) => {
                Self::Time(array.as_primitive::<TimestampNanosecondType>().value(row))
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let (months, days, nanos) =
                    IntervalMonthDayNanoType::to_parts(array.as_primitive::<IntervalMonthDayNanoType>().value(row));
                Self::Interval(Interval { months, days, nanos })
            }
            other => return Err(Error::execution(format!("a single value of type {other} is not supported"))),
        })
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<u64> for Scalar {
    fn from(value: u64) -> Self {
        Self::U64(value)
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Scalar {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}
