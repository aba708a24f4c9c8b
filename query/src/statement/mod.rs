//! Statements: what each does with the engine, and which part of the system runs a query.

mod access;
mod alter_table;
mod analyze;
#[cfg(feature = "files")]
mod copy;
mod delete;
mod explain;
#[cfg(feature = "datafusion")]
mod filled_tables;
mod insert;
mod prepared;
mod query_engine;
mod row_stream;
mod schema;
mod select;

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod analyze_tests;
#[cfg(test)]
mod cancellation_tests;
#[cfg(test)]
#[cfg(feature = "datafusion")]
mod counter_tests;
#[cfg(test)]
#[cfg(feature = "datafusion")]
mod differential;
#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod prepared_tests;
#[cfg(test)]
mod rollup_tests;
#[cfg(test)]
mod series_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tier_tests;

pub use prepared::{PreparedStatement, StatementDescription};
pub use query_engine::QueryEngine;
pub use schema::sql_type;
