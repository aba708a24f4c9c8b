//! Evaluates bound expressions over columns with Arrow kernels.
//!
//! Constants stay single values until a kernel needs a column. Comparison of floats is that of DataFusion: NaN is greater
//! than every number and equal to itself, and -0 equals 0. Integer arithmetic wraps; integer division by zero is an
//! error.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Datum, TimestampNanosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::kernels::{boolean, cmp, comparison, concat_elements, numeric};
use arrow::compute::{CastOptions, cast, cast_with_options, is_null, prep_null_mask_filter, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use hashbrown::HashSet;

use super::case::evaluate_case;
use super::float_zero::{is_nonzero_float, without_negative_zero};
use super::scalar_function::evaluate_call;
use crate::error::{Error, Result};
use crate::plan::{ArithmeticOp, CompareOp, Expr};
use crate::scalar::Scalar;

/// The value of an expression over some rows.
#[derive(Debug, Clone)]
pub(crate) enum ColumnValue {
    /// A value per row.
    Array(ArrayRef),
    /// One value for all rows, as an array of one row.
    Scalar(ArrayRef),
}

impl Datum for ColumnValue {
    fn get(&self) -> (&dyn Array, bool) {
        match self {
            Self::Array(array) => (&**array, false),
            Self::Scalar(array) => (&**array, true),
        }
    }
}

impl ColumnValue {
    /// The value as a column of `rows` rows.
    pub(crate) fn into_array(self, rows: usize) -> Result<ArrayRef> {
        match self {
            Self::Array(array) => Ok(array),
            Self::Scalar(value) if rows == 1 => Ok(value),
            Self::Scalar(value) => take(&value, &UInt32Array::from_value(0, rows), None).map_err(Error::arrow),
        }
    }

    fn array(&self) -> &ArrayRef {
        match self {
            Self::Array(array) | Self::Scalar(array) => array,
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Self::Scalar(_))
    }

    /// The result of a kernel on the single array inside.
    pub(super) fn try_map(&self, kernel: impl FnOnce(&ArrayRef) -> Result<ArrayRef>) -> Result<Self> {
        Ok(match self {
            Self::Array(array) => Self::Array(kernel(array)?),
            Self::Scalar(array) => Self::Scalar(kernel(array)?),
        })
    }

    /// The same without a dictionary.
    fn plain(self) -> Result<Self> {
        match self.array().data_type() {
            DataType::Dictionary(_, values) => {
                let values = (**values).clone();
                self.try_map(|array| cast(array, &values).map_err(Error::arrow))
            }
            _ => Ok(self),
        }
    }

    /// Itself and another value as comparisons take them.
    fn for_comparison(self, other: Self) -> Result<(Self, Self)> {
        let is_plain = |value: &Self| value.is_scalar() && is_nonzero_float(value.array());
        if *self.array().data_type() != DataType::Float64 || is_plain(&self) || is_plain(&other) {
            return Ok((self, other));
        }
        let positive = |value: Self| value.try_map(|array| Ok(without_negative_zero(array)));
        Ok((positive(self)?, positive(other)?))
    }

    /// The result of a kernel on two values: a single value when both were.
    fn from_kernel(result: ArrayRef, left: &Self, right: &Self) -> Self {
        if left.is_scalar() && right.is_scalar() { Self::Scalar(result) } else { Self::Array(result) }
    }
}

/// Evaluates an expression without columns.
pub(crate) fn evaluate_constant(expr: &Expr) -> Result<Scalar> {
    if let Expr::Literal(value, _) = expr {
        return Ok(value.clone());
    }
    let value = evaluate(expr, &[], 1)?;
    Scalar::from_array(value.array(), 0)
}

/// Evaluates a condition to a mask without NULLs.
pub(crate) fn evaluate_mask(expr: &Expr, columns: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
    let value = evaluate(expr, columns, rows)?.into_array(rows)?;
    let mask = value.as_boolean();
    Ok(if mask.null_count() == 0 { mask.clone() } else { prep_null_mask_filter(mask) })
}

/// Evaluates an expression over `columns`, all of `rows` rows.
pub(crate) fn evaluate(expr: &Expr, columns: &[ArrayRef], rows: usize) -> Result<ColumnValue> {
    match expr {
        Expr::Column(index, _) => match columns.get(*index) {
            Some(column) => Ok(ColumnValue::Array(Arc::clone(column))),
            None => Err(Error::execution("a column is missing from the plan")),
        },
        Expr::Literal(value, data_type) => Ok(ColumnValue::Scalar(value.to_array(data_type))),
        Expr::Aggregate(..) | Expr::Fill(..) => Err(Error::execution("an aggregate stands outside a grouping")),
        Expr::Arithmetic(..) | Expr::Compare(..) | Expr::And(..) | Expr::Or(..) | Expr::Concat(..) => {
            evaluate_chain(expr, columns, rows)
        }
        Expr::Negate(inner) => {
            evaluate(inner, columns, rows)?.try_map(|array| numeric::neg_wrapping(array).map_err(Error::arrow))
        }
        Expr::Not(inner) => evaluate(inner, columns, rows)?
            .try_map(|array| Ok(Arc::new(boolean::not(array.as_boolean()).map_err(Error::arrow)?))),
        Expr::IsNull(inner) => evaluate(inner, columns, rows)?.try_map(|array| {
            // A dictionary can hold NULL in its values too; tags keep theirs in the keys.
            Ok(Arc::new(is_null(array).map_err(Error::arrow)?))
        }),
        Expr::InList { expr, list, negated } => {
            evaluate(expr, columns, rows)?.try_map(|array| evaluate_in_list(array, list, *negated))
        }
        Expr::Like { expr, pattern, negated, ignore_case } => {
            let (mut value, mut pattern) = (evaluate(expr, columns, rows)?, evaluate(pattern, columns, rows)?);
            if !pattern.is_scalar() {
                // With patterns per row the kernel panics on a dictionary without values, as that of a tag that no row has.
                (value, pattern) = (value.plain()?, pattern.plain()?);
            }
            let result = match (negated, ignore_case) {
                (false, false) => comparison::like(&value, &pattern),
                (true, false) => comparison::nlike(&value, &pattern),
                (false, true) => comparison::ilike(&value, &pattern),
                (true, true) => comparison::nilike(&value, &pattern),
            };
            Ok(ColumnValue::from_kernel(Arc::new(result.map_err(Error::arrow)?), &value, &pattern))
        }
        Expr::Case { branches, otherwise } => evaluate_case(branches, otherwise, columns, rows),
        Expr::Cast { expr, to, checked } => {
            let options = CastOptions { safe: !*checked, ..CastOptions::default() };
            evaluate(expr, columns, rows)?.try_map(|array| cast_with_options(array, to, &options).map_err(Error::arrow))
        }
        Expr::Call(function, arguments, data_type) => {
            let arguments =
                arguments.iter().map(|argument| evaluate(argument, columns, rows)).collect::<Result<Vec<_>>>()?;
            evaluate_call(*function, arguments, data_type, rows)
        }
        Expr::TimeBucket(bucket, inner) => evaluate(inner, columns, rows)?.try_map(|array| {
            if *array.data_type() == DataType::Null {
                return Ok(new_null_array(&expr.data_type(), array.len()));
            }
            let times = array.as_primitive::<TimestampNanosecondType>();
            let floored: TimestampNanosecondArray = times.unary(|time_ns| bucket.floor(time_ns));
            Ok(Arc::new(floored))
        }),
    }
}

/// The operands of a binary operator.
fn operands(expr: &Expr) -> Option<(&Expr, &Expr)> {
    match expr {
        Expr::Arithmetic(_, left, right, _)
        | Expr::Compare(_, left, right)
        | Expr::And(left, right)
        | Expr::Or(left, right)
        | Expr::Concat(left, right) => Some((left, right)),
        _ => None,
    }
}

/// Evaluates a chain of binary operators; it leans to the left and may be long, so it is not walked by recursion.
fn evaluate_chain(expr: &Expr, columns: &[ArrayRef], rows: usize) -> Result<ColumnValue> {
    let mut chain = Vec::new();
    let mut first = expr;
    while let Some((left, right)) = operands(first) {
        chain.push((first, right));
        first = left;
    }
    let mut value = evaluate(first, columns, rows)?;
    for (operation, right) in chain.into_iter().rev() {
        let right = evaluate(right, columns, rows)?;
        value = apply(operation, value, right, rows)?;
    }
    Ok(value)
}

/// Applies a binary operator to its evaluated operands.
fn apply(operation: &Expr, left: ColumnValue, right: ColumnValue, rows: usize) -> Result<ColumnValue> {
    let result: ArrayRef = match operation {
        Expr::Arithmetic(op, ..) => match op {
            ArithmeticOp::Add => numeric::add_wrapping(&left, &right),
            ArithmeticOp::Subtract => numeric::sub_wrapping(&left, &right),
            ArithmeticOp::Multiply => numeric::mul_wrapping(&left, &right),
            ArithmeticOp::Divide => numeric::div(&left, &right),
            ArithmeticOp::Modulo => numeric::rem(&left, &right),
        }
        .map_err(Error::arrow)?,
        Expr::Compare(op, ..) => {
            let (left, right) = left.for_comparison(right)?;
            let result = match op {
                CompareOp::Eq => cmp::eq(&left, &right),
                CompareOp::NotEq => cmp::neq(&left, &right),
                CompareOp::Lt => cmp::lt(&left, &right),
                CompareOp::LtEq => cmp::lt_eq(&left, &right),
                CompareOp::Gt => cmp::gt(&left, &right),
                CompareOp::GtEq => cmp::gt_eq(&left, &right),
            };
            let result: ArrayRef = Arc::new(result.map_err(Error::arrow)?);
            return Ok(ColumnValue::from_kernel(result, &left, &right));
        }
        _ => {
            let both_scalar = left.is_scalar() && right.is_scalar();
            let rows = if both_scalar { 1 } else { rows };
            let (left, right) = (left.into_array(rows)?, right.into_array(rows)?);
            let result: ArrayRef = match operation {
                Expr::And(..) => {
                    Arc::new(boolean::and_kleene(left.as_boolean(), right.as_boolean()).map_err(Error::arrow)?)
                }
                Expr::Or(..) => {
                    Arc::new(boolean::or_kleene(left.as_boolean(), right.as_boolean()).map_err(Error::arrow)?)
                }
                _ => {
                    let (left, right) = (to_text(left)?, to_text(right)?);
                    let joined =
                        concat_elements::concat_elements_utf8(left.as_string::<i32>(), right.as_string::<i32>());
                    Arc::new(joined.map_err(Error::arrow)?)
                }
            };
            return Ok(if both_scalar { ColumnValue::Scalar(result) } else { ColumnValue::Array(result) });
        }
    };
    Ok(ColumnValue::from_kernel(result, &left, &right))
}

/// Text as plain Utf8; tags arrive as dictionaries.
fn to_text(array: ArrayRef) -> Result<ArrayRef> {
    if *array.data_type() == DataType::Utf8 {
        return Ok(array);
    }
    cast(&array, &DataType::Utf8).map_err(Error::arrow)
}

/// What equal floats share.
fn float_key(value: f64) -> u64 {
    if value == 0.0 { 0 } else { value.to_bits() }
}

/// `array IN (list)`: NULL where the value is NULL. The list holds no NULL.
fn evaluate_in_list(array: &ArrayRef, list: &[Scalar], negated: bool) -> Result<ArrayRef> {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        // Each distinct value is looked up once.
        let hits = evaluate_in_list(dictionary.values(), list, negated)?;
        return take(&hits, dictionary.keys(), None).map_err(Error::arrow);
    }
    macro_rules! primitive {
        ($arrow:ty, $variant:path, $key:expr) => {{
            let wanted: HashSet<_> = list
                .iter()
                .filter_map(|scalar| if let $variant(value) = scalar { Some($key(*value)) } else { None })
                .collect();
            let values = array.as_primitive::<$arrow>();
            BooleanArray::from_unary(values, |value| wanted.contains(&$key(value)) != negated)
        }};
    }
    let mask = match array.data_type() {
        DataType::Int64 => primitive!(Int64Type, Scalar::I64, std::convert::identity),
        DataType::UInt64 => primitive!(UInt64Type, Scalar::U64, std::convert::identity),
        DataType::Float64 => primitive!(Float64Type, Scalar::F64, float_key),
        DataType::Timestamp(..) => primitive!(TimestampNanosecondType, Scalar::Time, std::convert::identity),
        DataType::Boolean => {
            let accepts = |value: bool| list.contains(&Scalar::Bool(value)) != negated;
            let (on_true, on_false) = (accepts(true), accepts(false));
            array.as_boolean().iter().map(|value| value.map(|value| if value { on_true } else { on_false })).collect()
        }
        DataType::Utf8 => {
            let wanted: HashSet<&str> = list
                .iter()
                .filter_map(|scalar| if let Scalar::Text(text) = scalar { Some(&**text) } else { None })
                .collect();
            let values = array.as_string::<i32>();
            values.iter().map(|value| value.map(|value| wanted.contains(value) != negated)).collect()
        }
        other => return Err(Error::execution(format!("IN does not compare {other}"))),
    };
    Ok(Arc::new(mask))
}
