//! From syntax to a plan: names and types are bound against one table, constants are folded, and predicates are split
//! into what prunes series, time and vectors and what is left to evaluate.

mod bind;
mod bucket;
mod call;
mod coerce;
mod expr;
mod function;
mod parameters;
mod predicate;
mod select;

pub(crate) use bind::{bind_condition_of, bind_constant};
pub(crate) use bucket::Bucket;
pub(crate) use expr::{Aggregate, AggregateFunction, ArithmeticOp, CompareOp, Expr};
pub(crate) use function::ScalarFunction;
pub(crate) use parameters::{check_parameters, parameter_types, placeholders};
pub(crate) use predicate::{FieldBound, FieldTerm, ScanFilter, TagPredicate, ordered};
pub(crate) use select::{Aggregation, OutputColumn, SelectPlan, SortKey, bind_query, query_table};
