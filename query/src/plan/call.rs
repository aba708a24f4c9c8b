//! Binds function calls: aggregates, time buckets, `now()` and scalar functions.

use arrow::datatypes::DataType;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::aggregate::AggregateName;
use super::bind::{Binder, fold};
use super::bucket::Bucket;
use super::coerce::{self, TIME_TYPE};
use super::expr::Expr;
use super::function::ScalarFunction;
use crate::error::{Error, Result};
use crate::scalar::{Interval, Scalar};
use crate::sql::{fold_ident, parse_interval};

/// The arguments of a call.
enum Arguments<'a> {
    Star,
    List(Vec<&'a ast::Expr>),
}

impl<'a> Binder<'a> {
    /// Binds a call of any function.
    pub(super) fn bind_function(&mut self, function: &'a ast::Function) -> Result<Expr> {
        let name = match function.name.0.as_slice() {
            [part] => part.as_ident().map(fold_ident),
            _ => None,
        };
        let Some(name) = name else { return Err(Error::unsupported(format!("the function {}", function.name))) };
        if let Some(aggregate) = AggregateName::from_name(&name) {
            return self.bind_aggregate(&name, aggregate, function);
        }
        let modified = function.over.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
            || !matches!(function.parameters, FunctionArguments::None);
        if modified {
            return Err(Error::unsupported(format!("{name} with OVER, WITHIN GROUP or a treatment of NULLs")));
        }
        let arguments = arguments(function, &name)?;
        if function.filter.is_some() {
            return Err(Error::unsupported(format!("{name} with FILTER")));
        }
        let Arguments::List(arguments) = arguments else { return Err(Error::unsupported(format!("{name}(*)"))) };
        match name.as_str() {
            "now" | "current_timestamp" if arguments.is_empty() => Ok(self.now()),
            "time_bucket" | "date_bin" => self.bind_bucket(&name, &arguments),
            "date_trunc" => self.bind_trunc(&arguments),
            _ => self.bind_scalar_function(&name, arguments),
        }
    }

    fn bind_bucket(&mut self, name: &str, arguments: &[&'a ast::Expr]) -> Result<Expr> {
        let (width, time, origin) = match arguments {
            [width, time] => (width, time, None),
            [width, time, origin] => (width, time, Some(origin)),
            _ => {
                let given = arguments.len();
                return Err(Error::plan(format!(
                    "{name} takes (width, time [, origin]), {given} arguments were given"
                )));
            }
        };
        let width = match self.bind(width)? {
            Expr::Literal(Scalar::Interval(interval), _) => interval,
            Expr::Literal(Scalar::Text(text), _) => parse_interval(&text)?,
            _ => return Err(Error::unsupported(format!("{name} with a width that is no constant interval"))),
        };
        let origin_ns = match origin {
            None => 0,
            Some(origin) => match self.bind(origin)?.cast(&TIME_TYPE) {
                Expr::Literal(Scalar::Time(time_ns), _) => time_ns,
                Expr::Cast { expr, .. } => match *expr {
                    Expr::Literal(Scalar::Text(text), _) => crate::sql::parse_timestamp(&text)?,
                    _ => return Err(Error::unsupported(format!("{name} with an origin that is no constant time"))),
                },
                _ => return Err(Error::unsupported(format!("{name} with an origin that is no constant time"))),
            },
        };
        let bucket = bucket_of(name, width, origin_ns)?;
        let time = self.bind(time)?;
        match time.data_type() {
            DataType::Timestamp(..) => Ok(fold(Expr::TimeBucket(bucket, Box::new(time)))),
            DataType::Utf8 => {
                let Expr::Literal(Scalar::Text(text), _) = &time else {
                    return Err(Error::unsupported(format!("{name} of text")));
                };
                let time = Expr::literal(Scalar::Time(crate::sql::parse_timestamp(text)?));
                Ok(fold(Expr::TimeBucket(bucket, Box::new(time))))
            }
            other => Err(Error::unsupported(format!("{name} of {other}"))),
        }
    }

    fn bind_trunc(&mut self, arguments: &[&'a ast::Expr]) -> Result<Expr> {
        let [unit, time] = arguments else {
            return Err(Error::plan("date_trunc takes (unit, time)"));
        };
        let Expr::Literal(Scalar::Text(unit), _) = self.bind(unit)? else {
            return Err(Error::unsupported("date_trunc with a unit that is no constant"));
        };
        let Some(bucket) = Bucket::from_unit(&unit) else {
            return Err(Error::unsupported(format!("date_trunc to '{unit}'")));
        };
        let time = self.bind(time)?;
        match time.data_type() {
            DataType::Timestamp(..) => Ok(fold(Expr::TimeBucket(bucket, Box::new(time)))),
            other => Err(Error::unsupported(format!("date_trunc of {other}"))),
        }
    }

    /// Binds FLOOR and CEIL, for which SQL has a syntax of its own.
    pub(super) fn bind_rounding(&mut self, name: &str, expr: &'a ast::Expr, kind: &ast::CeilFloorKind) -> Result<Expr> {
        match kind {
            ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => {
                self.bind_scalar_function(name, vec![expr])
            }
            _ => Err(Error::unsupported(format!("{name} with a unit or scale"))),
        }
    }

    /// Binds a call of a scalar function.
    pub(super) fn bind_scalar_function(&mut self, name: &str, arguments: Vec<&'a ast::Expr>) -> Result<Expr> {
        let Some(function) = ScalarFunction::from_name(name) else {
            return Err(Error::unsupported(format!("the function {name}")));
        };
        let bound = arguments.into_iter().map(|argument| self.bind(argument)).collect::<Result<Vec<_>>>()?;
        let together = match function {
            ScalarFunction::Coalesce => !bound.is_empty(),
            ScalarFunction::NullIf => bound.len() == 2,
            _ => false,
        };
        if together {
            let (bound, data_type) = coerce::unify(bound)?;
            return Ok(fold(Expr::Call(function, bound, data_type)));
        }
        let types: Vec<DataType> = bound.iter().map(Expr::data_type).collect();
        let Some((argument_type, result_type)) = function.signature(&types) else {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            return Err(Error::unsupported(format!("{name}({})", types.join(", "))));
        };
        let casts = if function == ScalarFunction::Round { 1 } else { bound.len() };
        let bound = bound
            .into_iter()
            .enumerate()
            .map(|(index, argument)| if index < casts { argument.cast(&argument_type) } else { argument })
            .collect();
        Ok(fold(Expr::Call(function, bound, result_type)))
    }
}

fn arguments<'a>(function: &'a ast::Function, name: &str) -> Result<Arguments<'a>> {
    let list = match &function.args {
        FunctionArguments::None => return Ok(Arguments::List(Vec::new())),
        FunctionArguments::Subquery(_) => return Err(Error::unsupported("a subquery as an argument")),
        FunctionArguments::List(list) => list,
    };
    if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct) || !list.clauses.is_empty() {
        return Err(Error::unsupported(format!("{name} with DISTINCT or clauses among its arguments")));
    }
    let mut arguments = Vec::with_capacity(list.args.len());
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if list.args.len() == 1 => return Ok(Arguments::Star),
            other => return Err(Error::unsupported(format!("the argument {other} of {name}"))),
        }
    }
    Ok(Arguments::List(arguments))
}

fn bucket_of(name: &str, width: Interval, origin_ns: i64) -> Result<Bucket> {
    if width.months > 0 && width.days == 0 && width.nanos == 0 {
        return Ok(Bucket::months(width.months, origin_ns));
    }
    match width.fixed_ns() {
        Some(width_ns) if width_ns > 0 => Ok(Bucket::fixed(width_ns, origin_ns)),
        _ => Err(Error::plan(format!("the width of {name} must be positive, and months stand alone"))),
    }
}
