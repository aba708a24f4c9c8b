//! Rows of any protocol: from (table, tags, typed fields, time) to one atomic commit.
//!
//! A decoder hands each row to [`RowRequest::push`] as it reads it. A row of a known series costs one search by its raw
//! bytes; tags are parsed only when those are new. Missing tables and columns are created for all rows together, then
//! the rows become one batch per table, in one durable commit. A row that does not fit is left out with its reason
//! ([`RowFault`]); a request that is over a limit is refused whole ([`RowsError`]).

mod begun_series;
mod dedup;
mod fault;
mod known_series;
mod limits;
mod request;
mod table_rows;
#[cfg(test)]
mod tests;
mod writer;

#[cfg(feature = "server")]
pub(crate) use fault::quoted;
pub use fault::{RejectedRow, RejectedRows, RowFault, RowReason};
pub use known_series::SeriesName;
pub use limits::RowLimits;
pub use request::RowRequest;
pub use writer::{IntegerTyping, RowOptions, RowOutcome, RowWriter, RowsError, SampledRows, Unfit};
