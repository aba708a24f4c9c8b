//! Which states a list of aggregates needs: arguments that occur twice share theirs.

use arrow::datatypes::DataType;

use super::number::{Needs, NumberKind};
use crate::exec::summaries::SummaryKind;
use crate::plan::{Aggregate, AggregateFunction, Expr};

/// The states behind a list of aggregates.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Distinct arguments.
    pub(crate) arguments: Vec<Argument>,
    /// Per aggregate its argument, `None` for `count(*)`.
    pub(crate) outputs: Vec<Output>,
}

/// A distinct argument.
#[derive(Debug, PartialEq)]
pub(crate) struct Argument {
    /// The expression over the scan.
    pub(crate) expr: Expr,
    /// The second value of functions of two.
    pub(crate) second: Option<Expr>,
    /// The state that it needs.
    pub(crate) kind: StateKind,
}

/// The kind of state of an argument.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StateKind {
    /// Only the number of values.
    Count,
    /// Numbers and times.
    Number(NumberKind, Needs),
    /// Texts, bytes and booleans; whether bounds and whether ends are needed.
    Value(DataType, Needs),
    /// More than that, over an argument of this type.
    Summary(SummaryKind, DataType),
}

/// How an aggregate is read off the states.
#[derive(Debug)]
pub(crate) struct Output {
    /// The function.
    pub(crate) function: AggregateFunction,
    /// Position in the arguments.
    pub(crate) argument: Option<usize>,
}

impl Layout {
    /// The layout of a list of aggregates.
    pub(crate) fn new(aggregates: &[Aggregate]) -> Self {
        let mut arguments: Vec<Argument> = Vec::new();
        let mut outputs = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let argument = aggregate.argument.as_ref().map(|expr| {
                if let Some(function) = aggregate.function.summary() {
                    return summary_argument(&mut arguments, aggregate, expr, SummaryKind::of(function));
                }
                let index =
                    arguments.iter().position(|known| known.expr == *expr && known.is_plain()).unwrap_or_else(|| {
                        arguments.push(Argument { expr: expr.clone(), second: None, kind: StateKind::Count });
                        arguments.len() - 1
                    });
                let kind = &mut arguments[index].kind;
                *kind = with_function(std::mem::replace(kind, StateKind::Count), aggregate.function, expr);
                index
            });
            outputs.push(Output { function: aggregate.function, argument });
        }
        Self { arguments, outputs }
    }

    /// Whether a function needs the times of the rows.
    pub(crate) fn needs_times(&self) -> bool {
        self.arguments.iter().any(|argument| match &argument.kind {
            StateKind::Count => false,
            StateKind::Number(_, needs) | StateKind::Value(_, needs) => needs.ends,
            StateKind::Summary(kind, _) => kind.is_by_series(),
        })
    }
}

impl Argument {
    /// Whether its states are counts, sums, bounds and ends.
    fn is_plain(&self) -> bool {
        !matches!(self.kind, StateKind::Summary(..))
    }
}

/// The argument of a summary of kind `kind`, which functions over the same values share.
fn summary_argument(arguments: &mut Vec<Argument>, aggregate: &Aggregate, expr: &Expr, kind: SummaryKind) -> usize {
    let argument = Argument {
        expr: expr.clone(),
        second: aggregate.second.clone(),
        kind: StateKind::Summary(kind, expr.data_type()),
    };
    arguments.iter().position(|known| *known == argument).unwrap_or_else(|| {
        arguments.push(argument);
        arguments.len() - 1
    })
}

fn with_function(kind: StateKind, function: AggregateFunction, argument: &Expr) -> StateKind {
    let mut needs = match &kind {
        StateKind::Count | StateKind::Summary(..) => Needs::default(),
        StateKind::Number(_, needs) | StateKind::Value(_, needs) => *needs,
    };
    match function {
        AggregateFunction::Count | AggregateFunction::Summary(_) => return kind,
        AggregateFunction::Sum | AggregateFunction::Avg => needs.sum = true,
        AggregateFunction::Min | AggregateFunction::Max => needs.bounds = true,
        AggregateFunction::First | AggregateFunction::Last => needs.ends = true,
        AggregateFunction::Stddev
        | AggregateFunction::StddevPop
        | AggregateFunction::Variance
        | AggregateFunction::VariancePop => needs.moments = true,
    }
    match argument.data_type() {
        DataType::Int64 => StateKind::Number(NumberKind::I64, needs),
        DataType::UInt64 => StateKind::Number(NumberKind::U64, needs),
        DataType::Float64 => StateKind::Number(NumberKind::F64, needs),
        DataType::Timestamp(..) => StateKind::Number(NumberKind::Time, needs),
        other => StateKind::Value(other, needs),
    }
}
