//! Binds function calls: aggregates, `now()` and scalar functions; those of time buckets and gaps have files of their own.

use arrow::datatypes::DataType;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::bind::{Binder, fold};
use super::coerce;
use super::expr::{Aggregate, AggregateFunction, Expr};
use super::function::ScalarFunction;
use super::gapfill::FillMethod;
use crate::error::{Error, Result};
use crate::scalar::Scalar;
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
        let modified = function.over.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
            || !matches!(function.parameters, FunctionArguments::None);
        if modified {
            return Err(Error::unsupported(format!("{name} with OVER, WITHIN GROUP or a treatment of NULLs")));
        }
        let arguments = arguments(function, &name)?;
        if let Some(aggregate) = AggregateFunction::from_name(&name) {
            return self.bind_aggregate(&name, aggregate, arguments, function.filter.as_deref());
        }
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

    fn bind_aggregate(
        &mut self,
        name: &str,
        function: AggregateFunction,
        arguments: Arguments<'a>,
        filter: Option<&'a ast::Expr>,
    ) -> Result<Expr> {
        // Aggregates do not nest, so none are allowed inside.
        let Some(collected) = self.aggregates.take() else {
            return Err(Error::plan(format!(
                "the aggregate {name} cannot stand in WHERE, GROUP BY or another aggregate"
            )));
        };
        let argument = self.bind_aggregate_argument(name, function, arguments);
        let filter = filter.map(|filter| self.bind_condition(filter)).transpose();
        self.aggregates = Some(collected);
        let mut argument = argument?;
        if let Some(filter) = filter? {
            // What the filter drops is NULL to the aggregate; a count of rows then counts ones.
            let value = argument.unwrap_or_else(|| Expr::literal(Scalar::I64(1)));
            let otherwise = Box::new(Expr::Literal(Scalar::Null, value.data_type()));
            argument = Some(Expr::Case { branches: vec![(filter, value)], otherwise });
        }
        let data_type = match &argument {
            None => DataType::Int64,
            Some(argument) => function
                .result_type(&argument.data_type())
                .ok_or_else(|| Error::unsupported(format!("the aggregate {name} of {}", argument.data_type())))?,
        };
        let aggregate = Aggregate { function, argument, data_type: data_type.clone() };
        let collected = self.aggregates.as_mut().expect("the list was put back above");
        let index = collected.iter().position(|known| *known == aggregate).unwrap_or_else(|| {
            collected.push(aggregate);
            collected.len() - 1
        });
        Ok(Expr::Aggregate(index, data_type))
    }

    fn bind_aggregate_argument(
        &mut self,
        name: &str,
        function: AggregateFunction,
        arguments: Arguments<'a>,
    ) -> Result<Option<Expr>> {
        let list = match arguments {
            Arguments::Star if function == AggregateFunction::Count => return Ok(None),
            Arguments::Star => return Err(Error::plan(format!("{name}(*) is no aggregate: name a column"))),
            Arguments::List(list) => list,
        };
        let by_time = matches!(function, AggregateFunction::First | AggregateFunction::Last);
        match list.as_slice() {
            [value] => {
                let value = self.bind(value)?;
                if function == AggregateFunction::Count
                    && matches!(&value, Expr::Literal(scalar, _) if *scalar != Scalar::Null)
                {
                    // count(1) is count(*).
                    return Ok(None);
                }
                // Aggregates return text, never dictionaries.
                let is_tag = matches!(value.data_type(), DataType::Dictionary(..));
                let keeps_value = function != AggregateFunction::Count;
                Ok(Some(if is_tag && keeps_value { value.cast(&DataType::Utf8) } else { value }))
            }
            [value, time] if by_time => {
                if !matches!(self.bind(time)?, Expr::Column(0, _)) {
                    return Err(Error::unsupported(format!("{name} by another order than the time column")));
                }
                let value = self.bind(value)?;
                let is_tag = matches!(value.data_type(), DataType::Dictionary(..));
                Ok(Some(if is_tag { value.cast(&DataType::Utf8) } else { value }))
            }
            _ => Err(Error::plan(format!("{name} takes one argument, {} were given", list.len()))),
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
