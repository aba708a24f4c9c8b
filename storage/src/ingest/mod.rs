//! From an Arrow record batch, or rows one by one, to rows grouped by series.

mod columns;
mod grouping;
mod row_grouper;

pub use grouping::{arrange, group_rows};
pub use row_grouper::RowGrouper;
