//! What a query sees: a manifest version and a commit sequence number, and the one scan interface over both.
//!
//! A [`Snapshot`] pins its segments and memtables; flush, compaction and retention never change it. The scan goes from
//! tag predicates to series ([`TableSnapshot::series`]) to blocks of at most one vector of rows in time order
//! ([`SeriesScan`]), duplicates resolved. It knows no SQL.

mod block;
mod deletes;
mod filter;
mod index;
mod merge;
mod merge_run;
mod run;
mod scan;
mod scratch;
mod series_set;
mod table;
mod version;
mod view;
mod widen;

pub use block::{Block, BlockTimes, BlockValues};
pub use filter::{TagFilter, TagPredicate, TagTerm};
pub use scan::SeriesScan;
pub use series_set::{SeriesHandle, SeriesSet, TagValues};
pub use table::{DamagePolicy, TableSnapshot};
pub use view::Snapshot;

pub(crate) use merge::merge_chunks;
pub(crate) use version::{DamagedSegment, Version};
pub(crate) use widen::cast_to;
