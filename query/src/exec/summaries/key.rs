//! Values as integers that compare like them, and back.
//!
//! Integers and times are their own keys, unsigned ones with the highest bit flipped, booleans 0 and 1. Floats follow the
//! total order of IEEE 754; -0 lies right below 0.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};

use crate::error::{Error, Result};
use crate::plan::ordered;

/// The highest key of a float; every NaN takes it where values matter, not bits.
const NAN_KEY: i64 = key_of_float(f64::NAN);

/// How the keys of an argument are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    I64,
    U64,
    F64,
    Time,
    Bool,
}

impl KeyKind {
    /// The kind of a type; `None` for texts and bytes.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int64 => Self::I64,
            DataType::UInt64 => Self::U64,
            DataType::Float64 => Self::F64,
            DataType::Timestamp(..) => Self::Time,
            DataType::Boolean => Self::Bool,
            _ => return None,
        })
    }

    /// The number behind a key.
    pub(crate) fn to_f64(self, key: i64) -> f64 {
        match self {
            Self::F64 => float_of_key(key),
            Self::U64 => unsigned_of_key(key) as f64,
            Self::I64 | Self::Time | Self::Bool => key as f64,
        }
    }

    /// A column of the values behind keys.
    pub(crate) fn to_array(self, keys: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        match self {
            Self::I64 => Arc::new(keys.collect::<Int64Array>()),
            Self::U64 => Arc::new(keys.map(|key| key.map(unsigned_of_key)).collect::<UInt64Array>()),
            Self::F64 => Arc::new(keys.map(|key| key.map(float_of_key)).collect::<Float64Array>()),
            Self::Time => Arc::new(keys.collect::<TimestampNanosecondArray>()),
            Self::Bool => Arc::new(keys.map(|key| key.map(|key| key != 0)).collect::<BooleanArray>()),
        }
    }
}

/// The key of a float.
pub(crate) const fn key_of_float(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The float of a key.
pub(crate) const fn float_of_key(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

/// The key of a float of which all NaNs are one value, greater than every number, and both zeros are one.
pub(crate) fn key_of_float_value(value: f64) -> i64 {
    if value.is_nan() { NAN_KEY } else { key_of_float(value + 0.0) }
}

fn unsigned_of_key(key: i64) -> u64 {
    key.cast_unsigned() ^ (1 << 63)
}

/// The keys of an array of numbers, times or booleans; those of NULLs mean nothing.
pub(crate) fn keys_of(array: &ArrayRef) -> Result<Vec<i64>> {
    Ok(match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().values().to_vec(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().values().iter().map(|value| ordered(*value)).collect(),
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().values().iter().map(|value| key_of_float_value(*value)).collect()
        }
        DataType::Timestamp(..) => array.as_primitive::<TimestampNanosecondType>().values().to_vec(),
        DataType::Boolean => array.as_boolean().values().iter().map(i64::from).collect(),
        other => return Err(Error::execution(format!("a value of type {other} has no key"))),
    })
}

/// The values of an array of numbers as floats; those of NULLs mean nothing.
pub(crate) fn floats_of(array: &ArrayRef) -> Result<Vec<f64>> {
    Ok(match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().values().iter().map(|value| *value as f64).collect(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().values().iter().map(|value| *value as f64).collect(),
        DataType::Float64 => array.as_primitive::<Float64Type>().values().to_vec(),
        other => return Err(Error::execution(format!("a value of type {other} is no number"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_floats_are_ordered_like_them_and_lead_back() {
        let values = [f64::NEG_INFINITY, -2.5, -f64::MIN_POSITIVE, -0.0, 0.0, 1e-300, 1.0, f64::INFINITY, f64::NAN];
        assert!(values.is_sorted_by_key(|value| key_of_float(*value)));
        for value in values {
            assert_eq!(float_of_key(key_of_float(value)).to_bits(), value.to_bits());
        }
        assert_eq!(key_of_float_value(-f64::NAN), NAN_KEY);
        assert_eq!(key_of_float_value(-0.0), key_of_float(0.0));
    }
}
