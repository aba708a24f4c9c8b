//! Statements: what each does with the engine, and which part of the system runs a query.

mod alter_table;
#[cfg(feature = "files")]
mod copy;
mod delete;
mod explain;
#[cfg(feature = "datafusion")]
mod filled_tables;
mod insert;
mod prepared;
mod query_engine;
mod schema;
mod select;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod rollup_tests;
#[cfg(test)]
mod series_tests;
#[cfg(test)]
mod tests;

pub use prepared::PreparedStatement;
pub use query_engine::QueryEngine;
pub use schema::sql_type;
