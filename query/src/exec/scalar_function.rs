//! Evaluates the scalar functions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, nullif};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::expr::ColumnValue;
use crate::error::{Error, Result};
use crate::plan::ScalarFunction;

/// Applies `function` to its evaluated arguments.
pub(super) fn evaluate_call(
    function: ScalarFunction,
    mut arguments: Vec<ColumnValue>,
    data_type: &DataType,
    rows: usize,
) -> Result<ColumnValue> {
    match function {
        ScalarFunction::Coalesce => return coalesce(arguments, rows),
        ScalarFunction::NullIf | ScalarFunction::Power => {
            let scalar = arguments.iter().all(|argument| matches!(argument, ColumnValue::Scalar(_)));
            let rows = if scalar { 1 } else { rows };
            let (Some(right), Some(left)) = (arguments.pop(), arguments.pop()) else {
                return Err(Error::execution("the function takes two arguments"));
            };
            let (left, right) = (left.into_array(rows)?, right.into_array(rows)?);
            let result = if function == ScalarFunction::NullIf {
                let equal = arrow::compute::kernels::cmp::eq(&left, &right).map_err(Error::arrow)?;
                nullif(&left, &equal).map_err(Error::arrow)?
            } else {
                let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
                let power: Float64Array = arrow::compute::binary(left, right, f64::powf).map_err(Error::arrow)?;
                Arc::new(power)
            };
            return Ok(if scalar { ColumnValue::Scalar(result) } else { ColumnValue::Array(result) });
        }
        _ => {}
    }
    let digits = match (function, arguments.get(1)) {
        (ScalarFunction::Round, Some(digits)) => Some(constant_digits(digits)?),
        _ => None,
    };
    let Some(argument) = arguments.first() else {
        return Err(Error::execution("the function takes an argument"));
    };
    argument.try_map(|array| unary(function, array, digits, data_type))
}

fn unary(function: ScalarFunction, array: &ArrayRef, digits: Option<i32>, data_type: &DataType) -> Result<ArrayRef> {
    if *array.data_type() == DataType::Null {
        return Ok(arrow::array::new_null_array(data_type, array.len()));
    }
    match array.data_type() {
        DataType::Float64 => {
            let map: fn(f64) -> f64 = match function {
                ScalarFunction::Abs => f64::abs,
                ScalarFunction::Round => return Ok(round(array.as_primitive(), digits.unwrap_or(0))),
                ScalarFunction::Floor => f64::floor,
                ScalarFunction::Ceil => f64::ceil,
                ScalarFunction::Sqrt => f64::sqrt,
                ScalarFunction::Exp => f64::exp,
                ScalarFunction::Ln => f64::ln,
                ScalarFunction::Log10 => f64::log10,
                _ => return Err(Error::execution("the function does not take DOUBLE")),
            };
            let result: Float64Array = array.as_primitive::<Float64Type>().unary(map);
            Ok(Arc::new(result))
        }
        DataType::Int64 if function == ScalarFunction::Abs => {
            let result: Result<Int64Array, _> = array.as_primitive::<Int64Type>().try_unary(|value| {
                value.checked_abs().ok_or_else(|| Error::execution(format!("abs({value}) is out of range")))
            });
            Ok(Arc::new(result?))
        }
        // Rounding an integer, or the absolute value of an unsigned one, changes nothing.
        _ if matches!(function, ScalarFunction::Abs | ScalarFunction::Round) => Ok(Arc::clone(array)),
        DataType::Utf8 => {
            let text = array.as_string::<i32>();
            let result: StringArray = match function {
                ScalarFunction::Lower => text.iter().map(|value| value.map(str::to_lowercase)).collect(),
                ScalarFunction::Upper => text.iter().map(|value| value.map(str::to_uppercase)).collect(),
                ScalarFunction::Trim => text.iter().map(|value| value.map(|text| text.trim_matches(' '))).collect(),
                ScalarFunction::Length => {
                    let lengths: arrow::array::Int32Array = text
                        .iter()
                        .map(|value| value.map(|text| i32::try_from(text.chars().count()).unwrap_or(i32::MAX)))
                        .collect();
                    return Ok(Arc::new(lengths));
                }
                _ => return Err(Error::execution("the function does not take TEXT")),
            };
            Ok(Arc::new(result))
        }
        DataType::Binary => match function {
            ScalarFunction::Histogram(part) => Ok(part.evaluate(array.as_binary::<i32>())),
            _ => Err(Error::execution("the function does not take BLOB")),
        },
        other => Err(Error::execution(format!("the function does not take {other}"))),
    }
}

/// Rounds half away from zero to `digits` decimals.
fn round(values: &Float64Array, digits: i32) -> ArrayRef {
    let factor = 10f64.powi(digits);
    let round_one = |value: f64| {
        let scaled = value * factor;
        match factor {
            // Beyond the digits that a float has there is nothing to round; above its largest power nothing is left.
            _ if !scaled.is_finite() => value,
            0.0 => 0.0,
            _ => scaled.round() / factor,
        }
    };
    let result: Float64Array = if digits == 0 { values.unary(f64::round) } else { values.unary(round_one) };
    Arc::new(result)
}

fn constant_digits(digits: &ColumnValue) -> Result<i32> {
    match digits {
        ColumnValue::Scalar(array) if array.null_count() == 0 && *array.data_type() == DataType::Int64 => {
            let digits = array.as_primitive::<Int64Type>().value(0);
            i32::try_from(digits).map_err(|_| Error::execution(format!("cannot round to {digits} digits")))
        }
        _ => Err(Error::execution("round takes a constant number of digits")),
    }
}

fn coalesce(arguments: Vec<ColumnValue>, rows: usize) -> Result<ColumnValue> {
    let mut arguments = arguments.into_iter().rev();
    let Some(last) = arguments.next() else { return Err(Error::execution("coalesce takes an argument")) };
    let mut result = last.into_array(rows)?;
    for argument in arguments {
        let argument = argument.into_array(rows)?;
        let present = is_not_null(&argument).map_err(Error::arrow)?;
        result = zip(&present, &argument, &result).map_err(Error::arrow)?;
    }
    Ok(ColumnValue::Array(result))
}
