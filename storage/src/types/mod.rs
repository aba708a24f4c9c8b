//! The words of the data model as types: ids, schema, series keys, rows of one table grouped by series.

mod batch;
mod id;
mod schema;
mod series_key;
mod time_range;

pub use batch::{SeriesBatch, SeriesRows};
pub use id::{ColumnId, CommitSeq, Lsn, SegmentId, TableId, WalFileId};
pub use schema::{
    Dedup, FieldColumn, FieldType, SchemaMode, TableOptions, TableSchema, TableSpec, TagColumn, TimeColumn,
};
pub use series_key::SeriesKey;
pub use time_range::TimeRange;
