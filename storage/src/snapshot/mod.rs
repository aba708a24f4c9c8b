//! What a query sees: a manifest version and a commit sequence number, and the one scan interface over both.
//!
//! A [`Snapshot`] pins its segments and memtables; flush, compaction and retention never change it. The scan goes from
//! tag predicates to series ([`TableSnapshot::series`]) to blocks of at most one vector of rows in time order
//! ([`SeriesScan`]), duplicates resolved, or to whole base buckets as states ([`RollupPiece`]). It knows no SQL.

mod block;
mod counters;
mod deletes;
mod directory_budget;
#[cfg(test)]
mod directory_tests;
mod filter;
mod index;
mod known_rows;
#[cfg(test)]
mod known_rows_tests;
mod last_rows;
mod memory_index;
mod merge;
mod merge_run;
mod rollup_piece;
mod rollup_run;
mod rollup_scratch;
#[cfg(test)]
mod rollup_tests;
mod rollup_use;
mod run;
mod scan;
mod scratch;
mod series_set;
mod series_slices;
mod table;
mod vector_step;
mod version;
mod view;
mod widen;

pub use block::{Block, BlockTimes, BlockValues};
pub use counters::ScanCounters;
pub use filter::{TagFilter, TagPredicate, TagTerm};
pub use known_rows::KnownRows;
pub use last_rows::{LastRows, ValueSource};
pub use rollup_piece::{RollupPiece, ValueCounts};
pub use rollup_use::{RollupNeeds, RollupUse, TimeCuts};
pub use scan::{Piece, SeriesScan};
pub use series_set::{ScanSources, SeriesHandle, SeriesSet, TagValues};
pub use table::{DamagePolicy, TableSnapshot};
pub use view::Snapshot;

pub(crate) use directory_budget::DirectoryBudget;
pub(crate) use merge::merge_chunks;
pub(crate) use series_slices::SeriesSlices;
pub(crate) use version::{DamagedSegment, Version};
pub(crate) use widen::cast_to;
