//! From an Arrow record batch to rows grouped by series.

mod columns;
mod grouping;

pub use grouping::group_rows;
