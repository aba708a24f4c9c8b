//! One type for a column that several files type differently.

use arrow::datatypes::{DataType, TimeUnit};

/// The narrowest type that holds the values of both, when there is one.
pub(super) fn widen(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        _ if is_text(left) && is_text(right) => Some(DataType::Utf8),
        _ if left.is_signed_integer() && right.is_signed_integer() => Some(DataType::Int64),
        _ if left.is_unsigned_integer() && right.is_unsigned_integer() => Some(DataType::UInt64),
        // Only a 64-bit unsigned value may lie beyond i64.
        _ if left.is_integer() && right.is_integer() && *left != DataType::UInt64 && *right != DataType::UInt64 => {
            Some(DataType::Int64)
        }
        _ if left.is_numeric() && right.is_numeric() => Some(DataType::Float64),
        (DataType::Timestamp(_, left_zone), DataType::Timestamp(_, right_zone)) => {
            // Both count from the epoch in UTC; a zone only says how to print.
            let zone = if left_zone == right_zone { left_zone.clone() } else { None };
            Some(DataType::Timestamp(TimeUnit::Nanosecond, zone))
        }
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}
