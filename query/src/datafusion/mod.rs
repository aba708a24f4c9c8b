//! General SQL over a snapshot, through DataFusion: joins, subqueries, CTEs, windows, set operations.
//!
//! [`run`], [`explain`] and [`analyze`] are the whole interface, synchronous to the caller; arrow is the only thing that both sides
//! share. Tables of the snapshot are scanned through the same interface that the vectorized executor uses, so both see
//! the same rows. DataFusion's own statements that change anything (DDL, DML, SET) are refused.

mod aggregate_calls;
mod aggregate_exec;
mod analyze;
mod asof_join;
mod batch_builder;
mod bounded_function;
mod catalog;
mod describe;
mod error;
mod extreme;
mod field_bound;
mod file_table;
mod first_last;
mod first_last_groups;
mod histogram_function;
mod json;
mod lttb;
mod memory_pool;
mod moving_avg;
mod names;
mod patient_joins;
mod predicate;
mod pushdown;
mod run;
mod runtime;
mod scan_exec;
mod scan_metrics;
mod scan_ordering;
mod scan_source;
mod scan_statistics;
mod series_aggregate;
mod served_query;
mod served_table;
mod session;
mod summary_aggregate;
mod table;
mod text_patterns;
mod time_bucket;

#[cfg(test)]
mod scan_tests;
#[cfg(test)]
mod served_tests;
#[cfg(test)]
mod test_fixture;
#[cfg(test)]
mod tests;

pub(crate) use analyze::analyze;
pub(crate) use describe::describe;
pub(crate) use run::{RowTable, RunOptions, SqlInput, explain, run, run_each};
