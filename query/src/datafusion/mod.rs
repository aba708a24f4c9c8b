//! General SQL over a snapshot, through DataFusion: joins, subqueries, CTEs, windows, set operations.
//!
//! [`run`] and [`explain`] are the whole interface, synchronous to the caller; arrow is the only thing that both sides
//! share. Tables of the snapshot are scanned through the same interface that the vectorized executor uses, so both see
//! the same rows. DataFusion's own statements that change anything (DDL, DML, SET) are refused.

mod asof_join;
mod batch_builder;
mod catalog;
mod error;
mod field_bound;
mod file_table;
mod first_last;
mod first_last_groups;
mod lttb;
mod moving_avg;
mod names;
mod predicate;
mod pushdown;
mod run;
mod runtime;
mod scan_exec;
mod scan_source;
mod session;
mod table;
mod time_bucket;

#[cfg(test)]
mod test_fixture;
#[cfg(test)]
mod tests;

pub(crate) use run::{RowTable, RunOptions, SqlInput, explain, run};
