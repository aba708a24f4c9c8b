//! From syntax to a plan: names and types are bound against one table, constants are folded, and predicates are split
//! into what prunes series, time and vectors and what is left to evaluate.

mod aggregate;
mod aggregate_call;
mod bind;
mod bucket;
mod bucket_call;
mod bucket_spec;
mod call;
mod coerce;
mod expr;
mod function;
mod gapfill;
mod latest;
mod parameters;
mod predicate;
mod select;
mod zone;

pub(crate) use aggregate::{Aggregate, AggregateFunction, HistogramShape, SummaryFunction, WeightMethod};
#[cfg(feature = "datafusion")]
pub(crate) use aggregate::{AggregateName, PercentileKind};
pub(crate) use bind::{bind_condition_of, bind_constant};
pub(crate) use bucket::Bucket;
#[cfg(feature = "datafusion")]
pub(crate) use bucket_spec::{BucketSpec, trunc_bucket};
pub(crate) use expr::{ArithmeticOp, CompareOp, Expr};
pub(crate) use function::ScalarFunction;
pub(crate) use gapfill::{Fill, FillMethod, GapFill};
pub(crate) use parameters::{check_parameters, parameter_types, placeholders};
pub(crate) use predicate::{FieldBound, FieldTerm, FieldTest, ScanFilter, TagPredicate, ordered};
pub(crate) use select::{Aggregation, OutputColumn, SelectPlan, SortKey, bind_query, query_table};
