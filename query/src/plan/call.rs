//! Binds function calls: `now()` and scalar functions; those of aggregates, time buckets and gaps have files of their own.

use arrow::datatypes::DataType;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::aggregate::AggregateName;
use super::bind::{Binder, fold};
use super::coerce;
use super::expr::Expr;
use super::function::ScalarFunction;
use super::gapfill::FillMethod;
use crate::error::{Error, Result};
use crate::sql::fold_ident;

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
            "time_bucket_gapfill" => self.bind_gapfill(&name, &arguments),
            "date_trunc" => self.bind_trunc(&arguments),
            "locf" => self.bind_fill(&name, FillMethod::Locf, &arguments),
            "interpolate" => self.bind_fill(&name, FillMethod::Interpolate, &arguments),
            _ => self.bind_scalar_function(&name, arguments),
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
