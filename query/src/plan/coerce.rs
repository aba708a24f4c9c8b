//! Types that meet in one operation. The rules are DataFusion's for the types that a table can hold; pairs that would
//! need a decimal or a guess are left to DataFusion.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::expr::{ArithmeticOp, Expr};
use crate::error::{Error, Result};
use crate::scalar::Scalar;
use crate::sql::parse_timestamp;

/// The type of times.
pub(crate) const TIME_TYPE: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Whether values of the type are text; tags are dictionaries of text.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 => true,
        DataType::Dictionary(_, value) => **value == DataType::Utf8,
        _ => false,
    }
}

/// Whether the type is one of the integer types of a table.
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64 | DataType::Int32)
}

/// Brings two operands of a comparison to one type.
pub(crate) fn for_comparison(left: Expr, right: Expr) -> Result<(Expr, Expr)> {
    let (left_type, right_type) = (left.data_type(), right.data_type());
    if left_type == right_type || (is_text(&left_type) && is_text(&right_type)) {
        return Ok((left, right));
    }
    if let Some(right) = literal_as(&right, &left_type)? {
        return Ok((left, right));
    }
    if let Some(left) = literal_as(&left, &right_type)? {
        return Ok((left, right));
    }
    match common_number(&left_type, &right_type) {
        Some(common) => Ok((left.cast(&common), right.cast(&common))),
        None => Err(mismatch("comparison", &left_type, &right_type)),
    }
}

/// A literal in the type of what it meets, when the meaning is plain.
fn literal_as(literal: &Expr, target: &DataType) -> Result<Option<Expr>> {
    let Expr::Literal(value, _) = literal else { return Ok(None) };
    let typed = match (value, target) {
        (Scalar::Null, _) => Scalar::Null,
        (Scalar::Text(text), DataType::Timestamp(TimeUnit::Nanosecond, None)) => Scalar::Time(parse_timestamp(text)?),
        (Scalar::I64(value), DataType::UInt64) if *value >= 0 => Scalar::U64(*value as u64),
        (Scalar::I64(value), DataType::Float64) => Scalar::F64(*value as f64),
        (Scalar::U64(value), DataType::Float64) => Scalar::F64(*value as f64),
        _ => return Ok(None),
    };
    Ok(Some(Expr::Literal(typed, target.clone())))
}

fn common_number(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (DataType::Float64, other) | (other, DataType::Float64) if is_integer(other) => Some(DataType::Float64),
        (DataType::Int64, DataType::Int32) | (DataType::Int32, DataType::Int64) => Some(DataType::Int64),
        _ => None,
    }
}

/// Brings several expressions (branches of CASE, arguments of coalesce, items of IN) to one type.
pub(crate) fn unify(expressions: Vec<Expr>) -> Result<(Vec<Expr>, DataType)> {
    let mut common = DataType::Null;
    for expression in &expressions {
        let data_type = expression.data_type();
        common = match (&common, &data_type) {
            (DataType::Null, _) => data_type,
            (_, DataType::Null) => common,
            (a, b) if a == b => common,
            (a, b) if is_text(a) && is_text(b) => DataType::Utf8,
            (a, b) => common_number(a, b).ok_or_else(|| mismatch("one expression", a, b))?,
        };
    }
    let expressions = expressions.into_iter().map(|expression| expression.cast(&common)).collect();
    Ok((expressions, common))
}

/// Brings two operands of an arithmetic operation to their types and tells the type of the result.
pub(crate) fn for_arithmetic(op: ArithmeticOp, left: Expr, right: Expr) -> Result<(Expr, Expr, DataType)> {
    const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
    let (left_type, right_type) = (left.data_type(), right.data_type());
    let additive = matches!(op, ArithmeticOp::Add | ArithmeticOp::Subtract);
    match (&left_type, &right_type) {
        (a, b) if a == b && (is_integer(a) || *a == DataType::Float64) => Ok((left, right, left_type)),
        (DataType::Null, b) if b.is_numeric() => Ok((left.cast(b), right, right_type)),
        (a, DataType::Null) if a.is_numeric() => Ok((left, right.cast(a), left_type)),
        (DataType::Timestamp(..), b) if *b == INTERVAL && additive => Ok((left, right, TIME_TYPE)),
        (a, DataType::Timestamp(..)) if *a == INTERVAL && op == ArithmeticOp::Add => Ok((right, left, TIME_TYPE)),
        (DataType::Timestamp(..), DataType::Timestamp(..)) if op == ArithmeticOp::Subtract => {
            Ok((left, right, DataType::Duration(TimeUnit::Nanosecond)))
        }
        (a, b) => match common_number(a, b) {
            Some(common) => Ok((left.cast(&common), right.cast(&common), common)),
            None => Err(mismatch("arithmetic", a, b)),
        },
    }
}

fn mismatch(operation: &str, left: &DataType, right: &DataType) -> Error {
    Error::Unsupported {
        what: format!("{operation} of {left} and {right}"),
        hint: "CAST one side to the type of the other".into(),
    }
}
