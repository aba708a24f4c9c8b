//! Zero has one value: -0 equals 0 in comparisons, and both are one group.
//!
//! Arrow's kernels take floats in their total order, in which -0 is less than 0; SQL and DataFusion do not. Everything
//! else of that order holds: NaN equals itself and is greater than every number.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};

/// The array with 0 in place of -0; the same array when there is nothing to replace.
pub(crate) fn without_negative_zero(array: &ArrayRef) -> ArrayRef {
    if *array.data_type() != DataType::Float64 {
        return Arc::clone(array);
    }
    let floats = array.as_primitive::<Float64Type>();
    if !floats.values().iter().any(|value| value.to_bits() == (-0.0f64).to_bits()) {
        return Arc::clone(array);
    }
    // Not an addition of 0: that would change the payload of a signalling NaN.
    let positive: Float64Array = floats.unary(|value| if value == 0.0 { 0.0 } else { value });
    Arc::new(positive)
}

/// Whether an array of one row holds a float other than zero, beside which -0 and 0 compare alike.
pub(crate) fn is_nonzero_float(array: &ArrayRef) -> bool {
    array.as_primitive_opt::<Float64Type>().is_some_and(|floats| floats.is_valid(0) && floats.value(0) != 0.0)
}
