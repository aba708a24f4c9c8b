//! Statements: what each does with the engine, and which part of the system runs a query.

#[cfg(feature = "files")]
mod copy;
mod explain;
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
mod tests;

pub use prepared::PreparedStatement;
pub use query_engine::QueryEngine;
