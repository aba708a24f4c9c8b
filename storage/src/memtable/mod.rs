//! Rows that are not flushed yet, queryable: a skip list of series, each with append-only column buffers, and the rows of
//! short batches that wait to be put there.

mod active_chunk;
mod chunk;
mod chunk_rollups;
mod column_buffer;
mod directory;
mod narrow;
mod narrow_chunk;
mod narrow_column;
mod series_buffer;
mod shared_batch;
mod table;
mod table_rows;
mod waiting_rows;

pub(crate) use chunk::{LazyZones, ReadChunk, RowChunk, TimeOrder, validity_of};
pub(crate) use column_buffer::TypedArray;
pub(crate) use directory::MemoryDirectory;
pub(crate) use narrow_chunk::NarrowChunk;
pub(crate) use series_buffer::{SeriesBuffer, SeriesSummary};
pub(crate) use table::{FoundSeries, Memtable, MemtableKey};
