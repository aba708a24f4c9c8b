//! Binds calls of aggregates, in the forms that users of other databases know.

use arrow::datatypes::DataType;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, NullTreatment};

use super::aggregate::{Aggregate, AggregateFunction, AggregateName, PercentileKind, SummaryFunction};
use super::bind::Binder;
use super::expr::Expr;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// A call with its arguments in the order `(values, constants)`, whatever its form.
struct Call<'n, 'a> {
    name: &'n str,
    arguments: Vec<&'a ast::Expr>,
    is_star: bool,
    is_distinct: bool,
    /// ORDER BY among the arguments.
    order: Option<&'a ast::OrderByExpr>,
    /// WITHIN GROUP with DESC.
    is_descending: bool,
}

impl<'a> Binder<'a> {
    /// Binds the call of an aggregate.
    pub(super) fn bind_aggregate(
        &mut self,
        name: &str,
        aggregate: AggregateName,
        function: &'a ast::Function,
    ) -> Result<Expr> {
        let call = read_call(name, aggregate, function)?;
        // Aggregates do not nest, so none are allowed inside.
        let Some(collected) = self.aggregates.take() else {
            return Err(Error::plan(format!(
                "the aggregate {name} cannot stand in WHERE, GROUP BY or another aggregate"
            )));
        };
        let bound = self.bind_arguments(aggregate, &call);
        let filter = function.filter.as_deref().map(|filter| self.bind_condition(filter)).transpose();
        self.aggregates = Some(collected);
        let (function, mut argument, second) = bound?;
        if let Some(filter) = filter? {
            // What the filter drops is NULL to the aggregate; a count of rows then counts ones.
            let value = argument.unwrap_or_else(|| Expr::literal(Scalar::I64(1)));
            // A count of distinct tags goes by codes, which only a plain column has.
            let is_distinct = function == AggregateFunction::Summary(SummaryFunction::CountDistinct);
            let value = if is_distinct { as_text(value) } else { value };
            let otherwise = Box::new(Expr::Literal(Scalar::Null, value.data_type()));
            argument = Some(Expr::Case { branches: vec![(filter, value)], otherwise });
        }
        let data_type = match &argument {
            None => DataType::Int64,
            Some(argument) => function
                .result_type(&argument.data_type())
                .ok_or_else(|| Error::unsupported(format!("the aggregate {name} of {}", argument.data_type())))?,
        };
        let aggregate = Aggregate { function, argument, second, data_type: data_type.clone() };
        let collected = self.aggregates.as_mut().expect("the list was put back above");
        let index = collected.iter().position(|known| *known == aggregate).unwrap_or_else(|| {
            collected.push(aggregate);
            collected.len() - 1
        });
        Ok(Expr::Aggregate(index, data_type))
    }

    fn bind_arguments(
        &mut self,
        aggregate: AggregateName,
        call: &Call<'_, 'a>,
    ) -> Result<(AggregateFunction, Option<Expr>, Option<Expr>)> {
        let name = call.name;
        let is_count = aggregate == AggregateName::Plain(AggregateFunction::Count);
        if call.is_star {
            return match is_count && !call.is_distinct {
                true => Ok((AggregateFunction::Count, None, None)),
                false => Err(Error::plan(format!("{name}(*) is no aggregate: name a column"))),
            };
        }
        let value_count = aggregate.value_count();
        let refused =
            || Error::plan(format!("{name} takes {}, {} were given", aggregate.arguments(), call.arguments.len()));
        if call.arguments.len() < value_count {
            return Err(refused());
        }
        let (values, rest) = call.arguments.split_at(value_count);
        let mut values = values.iter().map(|value| self.bind(value)).collect::<Result<Vec<_>>>()?.into_iter();
        let (argument, second) = (values.next(), values.next());
        let argument = argument.ok_or_else(refused)?;
        let rest = rest.iter().map(|argument| self.bind(argument)).collect::<Result<Vec<_>>>()?;
        if is_count {
            if !rest.is_empty() {
                return Err(Error::unsupported("count of several columns"));
            }
            return Ok(match (&argument, call.is_distinct) {
                (Expr::Column(..), true) => {
                    (AggregateFunction::Summary(SummaryFunction::CountDistinct), Some(argument), None)
                }
                (_, true) => {
                    (AggregateFunction::Summary(SummaryFunction::CountDistinct), Some(as_text(argument)), None)
                }
                // count(1) is count(*).
                (Expr::Literal(scalar, _), false) if *scalar != Scalar::Null => (AggregateFunction::Count, None, None),
                (_, false) => (AggregateFunction::Count, Some(argument), None),
            });
        }
        let (columns, mut constants) = constants_of(rest);
        if call.is_descending {
            match constants.first_mut() {
                Some(Scalar::F64(fraction)) => *fraction = 1.0 - *fraction,
                Some(Scalar::I64(fraction)) => *fraction = 1 - *fraction,
                _ => {}
            }
        }
        let mut function = aggregate.function(name, &constants).map_err(|error| match constants.is_empty() {
            true => error,
            false if matches!(aggregate, AggregateName::Plain(_)) => refused(),
            false => error,
        })?;
        let by_time = matches!(function, AggregateFunction::First | AggregateFunction::Last);
        match columns.as_slice() {
            [] => {}
            [time] if by_time => self.check_time(name, time)?,
            columns if aggregate.is_by_series() => self.check_series(name, columns)?,
            _ => return Err(refused()),
        }
        if let Some(order) = call.order {
            if !by_time {
                return Err(Error::unsupported(format!("{name} with ORDER BY")));
            }
            let time = self.bind(&order.expr)?;
            self.check_time(name, &time)?;
            if order.options.asc == Some(false) {
                function = match function {
                    AggregateFunction::First => AggregateFunction::Last,
                    _ => AggregateFunction::First,
                };
            }
        }
        if call.is_distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max) {
            return Err(Error::unsupported(format!("{name} with DISTINCT")));
        }
        // Aggregates return text, never dictionaries.
        let (argument, second) = (as_text(argument), second.map(as_text));
        if matches!(name, "bool_and" | "bool_or") && argument.data_type() != DataType::Boolean {
            return Err(Error::plan(format!("{name} takes a boolean, not {}", argument.data_type())));
        }
        if let Some(second) = second.as_ref().map(Expr::data_type)
            && !aggregate.takes_second(&second)
        {
            return Err(Error::unsupported(format!("the aggregate {name} of {second}")));
        }
        Ok((function, Some(argument), second))
    }

    fn check_time(&self, name: &str, time: &Expr) -> Result<()> {
        match time {
            Expr::Column(0, _) => Ok(()),
            _ => Err(Error::unsupported(format!("{name} by another order than the time column"))),
        }
    }

    /// Checks that the columns are the time and all tags: what identifies a series anyway.
    fn check_series(&self, name: &str, columns: &[Expr]) -> Result<()> {
        let tags = self.table.as_ref().map_or(0, |(table, _)| table.tags.len());
        let mut indices: Vec<usize> = columns
            .iter()
            .filter_map(|column| if let Expr::Column(index, _) = column { Some(*index) } else { None })
            .collect();
        let begins_with_time = indices.first() == Some(&0);
        indices.sort_unstable();
        if begins_with_time && indices.len() == columns.len() && indices.into_iter().eq(0..=tags) {
            return Ok(());
        }
        Err(Error::unsupported(format!("{name} over other series than those of the table")))
    }
}

/// Splits arguments into columns and constants.
fn constants_of(arguments: Vec<Expr>) -> (Vec<Expr>, Vec<Scalar>) {
    let (mut columns, mut constants) = (Vec::new(), Vec::new());
    for argument in arguments {
        match argument {
            Expr::Literal(scalar, _) => constants.push(scalar),
            other => columns.push(other),
        }
    }
    (columns, constants)
}

fn as_text(value: Expr) -> Expr {
    if matches!(value.data_type(), DataType::Dictionary(..)) { value.cast(&DataType::Utf8) } else { value }
}

fn read_call<'n, 'a>(name: &'n str, aggregate: AggregateName, function: &'a ast::Function) -> Result<Call<'n, 'a>> {
    if function.over.is_some() {
        return Err(Error::unsupported(format!("{name} with OVER")));
    }
    let mut call =
        Call { name, arguments: Vec::new(), is_star: false, is_distinct: false, order: None, is_descending: false };
    let takes_group = matches!(
        aggregate,
        AggregateName::Percentile(_) | AggregateName::Plain(AggregateFunction::Summary(SummaryFunction::Mode))
    );
    match function.within_group.as_slice() {
        [] => {}
        [order] if takes_group => {
            call.arguments.push(&order.expr);
            let turns_round = matches!(
                aggregate,
                AggregateName::Percentile(PercentileKind::Continuous | PercentileKind::Approximate)
            );
            call.is_descending = order.options.asc == Some(false);
            if call.is_descending && !turns_round {
                return Err(Error::plan(format!("{name} takes WITHIN GROUP in ascending order only")));
            }
        }
        _ => return Err(Error::plan(format!("{name} takes no WITHIN GROUP, or one expression in it"))),
    }
    read_list(&mut call, &function.args)?;
    read_list(&mut call, &function.parameters)?;
    if function.null_treatment == Some(NullTreatment::RespectNulls) {
        return Err(Error::unsupported(format!("{name} with RESPECT NULLS")));
    }
    Ok(call)
}

fn read_list<'a>(call: &mut Call<'_, 'a>, arguments: &'a FunctionArguments) -> Result<()> {
    let name = call.name;
    let list = match arguments {
        FunctionArguments::None => return Ok(()),
        FunctionArguments::Subquery(_) => return Err(Error::unsupported("a subquery as an argument")),
        FunctionArguments::List(list) => list,
    };
    call.is_distinct |= list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
    for clause in &list.clauses {
        match clause {
            FunctionArgumentClause::OrderBy(order) if order.len() == 1 => call.order = order.first(),
            FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::IgnoreNulls) => {}
            other => return Err(Error::unsupported(format!("{name} with {other}"))),
        }
    }
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => call.arguments.push(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if list.args.len() == 1 => call.is_star = true,
            other => return Err(Error::unsupported(format!("the argument {other} of {name}"))),
        }
    }
    Ok(())
}
