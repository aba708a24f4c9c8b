//! The types of parameters, by what stands beside them: a comparison, a list, a pattern, LIMIT, the width of a bucket.
//!
//! A parameter of which nothing says a type takes any value.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit};
use lynxstore_storage::types::TableSchema;
use sqlparser::ast::{
    self, BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments, LimitClause, Query, Value, Visit, Visitor,
};

use super::bind::Binder;
use super::coerce::{TIME_TYPE, is_text};
use super::select::qualifier_of;
use crate::error::{Error, Result};
use crate::scalar::{Interval, Scalar};
use crate::sql::{fold_ident, parse_interval, parse_timestamp};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// The types of `$1`, `$2` and so on in a query over one table, or none; `None` for a parameter that takes any value.
///
/// # Errors
/// `Plan` when a parameter stands at places of different types.
pub(crate) fn parameter_types(query: &Query, table: Option<&Arc<TableSchema>>) -> Result<Vec<Option<DataType>>> {
    let table = table.map(|table| &**table).zip(qualifier_of(query));
    let mut inference = Inference { table, types: Vec::new() };
    match query.visit(&mut inference) {
        ControlFlow::Continue(()) => Ok(inference.types),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Values of the types that parameters have, for planning without values.
pub(crate) fn placeholders(types: &[Option<DataType>]) -> Vec<Scalar> {
    let value = |data_type: &Option<DataType>| match data_type {
        Some(DataType::Int64) => Scalar::I64(1),
        Some(DataType::UInt64) => Scalar::U64(1),
        Some(DataType::Float64) => Scalar::F64(1.0),
        Some(DataType::Boolean) => Scalar::Bool(true),
        Some(DataType::Timestamp(..)) => Scalar::Time(0),
        Some(DataType::Interval(_)) => Scalar::Interval(Interval { months: 0, days: 1, nanos: 0 }),
        Some(data_type) if is_text(data_type) => Scalar::from(""),
        _ => Scalar::Null,
    };
    types.iter().map(value).collect()
}

/// Fails when a value does not fit its parameter.
pub(crate) fn check_parameters(types: &[Option<DataType>], values: &[Scalar]) -> Result<()> {
    for (index, (data_type, value)) in types.iter().zip(values).enumerate() {
        let Some(data_type) = data_type else { continue };
        if !fits(value, data_type) {
            let (number, wanted, given) = (index + 1, type_name(data_type), type_name(&value.data_type()));
            let shown = if let Scalar::Text(text) = value { format!(" '{text}'") } else { String::new() };
            return Err(Error::plan(format!("parameter ${number} must be {wanted}, but {given}{shown} was given")));
        }
    }
    Ok(())
}

fn fits(value: &Scalar, data_type: &DataType) -> bool {
    match (value, data_type) {
        (Scalar::Null, _) => true,
        (Scalar::I64(_) | Scalar::U64(_) | Scalar::F64(_), data_type) => data_type.is_numeric(),
        (Scalar::Text(text), DataType::Timestamp(..)) => parse_timestamp(text).is_ok(),
        (Scalar::Text(text), DataType::Interval(_)) => parse_interval(text).is_ok(),
        (Scalar::Text(_), data_type) => is_text(data_type),
        (Scalar::Time(_), DataType::Timestamp(..)) | (Scalar::Interval(_), DataType::Interval(_)) => true,
        (value, data_type) => value.data_type() == *data_type,
    }
}

/// The SQL name of a type.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Binary => "BYTEA".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Interval(_) => "INTERVAL".into(),
        data_type if is_text(data_type) => "TEXT".into(),
        other => other.to_string(),
    }
}

/// Walks a query and notes the types of its parameters.
struct Inference<'a> {
    table: Option<(&'a TableSchema, String)>,
    types: Vec<Option<DataType>>,
}

impl Inference<'_> {
    /// Notes that a parameter stands where a value of a type is wanted.
    fn note(&mut self, expr: &ast::Expr, data_type: Option<DataType>) -> Result<()> {
        let Some(index) = parameter(expr) else { return Ok(()) };
        if self.types.len() <= index {
            self.types.resize(index + 1, None);
        }
        let Some(data_type) = data_type else { return Ok(()) };
        let known = &mut self.types[index];
        match known {
            None => *known = Some(data_type),
            // Numbers go together; the first place decides.
            Some(known) if *known == data_type || (known.is_numeric() && data_type.is_numeric()) => {}
            Some(known) => {
                let (one, other) = (type_name(known), type_name(&data_type));
                return Err(Error::plan(format!("parameter ${} stands for {one} and for {other}", index + 1)));
            }
        }
        Ok(())
    }

    /// The type of an expression without parameters.
    fn type_of(&self, expr: &ast::Expr) -> Option<DataType> {
        let table = self.table.as_ref().map(|(table, qualifier)| (*table, qualifier.clone()));
        let bound = Binder::new(table, &[], 0).bind(expr).ok()?;
        match bound.data_type() {
            DataType::Null => None,
            DataType::Int32 => Some(DataType::Int64),
            data_type if is_text(&data_type) => Some(DataType::Utf8),
            data_type => Some(data_type),
        }
    }

    /// Notes parameters on either side of an operator.
    fn note_operands(&mut self, left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr) -> Result<()> {
        for (operand, other) in [(left, right), (right, left)] {
            if parameter(operand).is_none() {
                continue;
            }
            let wanted = match op {
                BinaryOperator::And | BinaryOperator::Or => Some(DataType::Boolean),
                BinaryOperator::StringConcat => Some(DataType::Utf8),
                BinaryOperator::Plus | BinaryOperator::Minus => match self.type_of(other) {
                    Some(DataType::Timestamp(..)) => Some(INTERVAL),
                    other => other,
                },
                _ => self.type_of(other),
            };
            self.note(operand, wanted)?;
        }
        Ok(())
    }

    fn note_expression(&mut self, expr: &ast::Expr) -> Result<()> {
        use ast::Expr as Ast;
        match expr {
            Ast::BinaryOp { left, op, right } => self.note_operands(left, op, right),
            Ast::Between { expr, low, high, .. } => {
                let data_type = self.type_of(expr);
                self.note(low, data_type.clone())?;
                self.note(high, data_type)
            }
            Ast::InList { expr, list, .. } => {
                let data_type = self.type_of(expr);
                list.iter().try_for_each(|item| self.note(item, data_type.clone()))
            }
            Ast::Like { pattern, .. } | Ast::ILike { pattern, .. } => self.note(pattern, Some(DataType::Utf8)),
            Ast::Function(function) => self.note_arguments(function),
            Ast::Value(_) => self.note(expr, None),
            _ => Ok(()),
        }
    }

    /// The width and the time of a bucket.
    fn note_arguments(&mut self, function: &ast::Function) -> Result<()> {
        let [part] = function.name.0.as_slice() else { return Ok(()) };
        let is_bucket = part.as_ident().is_some_and(|name| {
            matches!(fold_ident(name).as_str(), "time_bucket" | "date_bin" | "time_bucket_gapfill")
        });
        let FunctionArguments::List(list) = &function.args else { return Ok(()) };
        if !is_bucket {
            return Ok(());
        }
        for (position, argument) in list.args.iter().take(2).enumerate() {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                self.note(expr, Some(if position == 0 { INTERVAL } else { TIME_TYPE }))?;
            }
        }
        Ok(())
    }

    fn note_limit(&mut self, query: &Query) -> Result<()> {
        let rows = Some(DataType::Int64);
        match &query.limit_clause {
            None => Ok(()),
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter().try_for_each(|limit| self.note(limit, rows.clone()))?;
                offset.iter().try_for_each(|offset| self.note(&offset.value, rows.clone()))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                self.note(offset, rows.clone())?;
                self.note(limit, rows)
            }
        }
    }
}

impl Visitor for Inference<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        into_flow(self.note_limit(query))
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Error> {
        into_flow(self.note_expression(expr))
    }
}

fn into_flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

/// The place in the list of values of a parameter `$1`, `$2` and so on; none beyond what text can hold.
fn parameter(expr: &ast::Expr) -> Option<usize> {
    /// More parameters than a statement has literals.
    const PARAMETERS_MAX: usize = 1 << 16;
    let ast::Expr::Value(value) = expr else { return None };
    let Value::Placeholder(name) = &value.value else { return None };
    let number = name.strip_prefix('$')?.parse::<usize>().ok()?;
    number.checked_sub(1).filter(|index| *index < PARAMETERS_MAX)
}
