//! The words of the data model as types: ids, schema, series keys, rows of one table grouped by series.

mod batch;
mod id;
mod partition;
mod schema;
mod series_key;
mod tier;
mod tier_policy;
mod time_range;
mod tombstone;

pub use batch::{SeriesBatch, SeriesRows};
pub use id::{ColumnId, CommitSeq, Lsn, SegmentId, TableId, TombstoneId, WalFileId};
pub use partition::partition_of;
pub use schema::{
    Dedup, FieldColumn, FieldType, SchemaMode, TableOptions, TableSchema, TableSpec, TagColumn, TimeColumn,
};
pub use series_key::SeriesKey;
pub use tier::Tier;
pub use tier_policy::{Setting, TierChange, TierPolicy};
pub use time_range::TimeRange;
pub use tombstone::{TagCondition, Tombstone, TombstoneCause};
