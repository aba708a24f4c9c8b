//! Rows that are not flushed yet, queryable: a skip list of series, each with append-only column buffers.

mod active_chunk;
mod chunk;
mod column_buffer;
mod narrow;
mod narrow_chunk;
mod narrow_column;
mod series_buffer;
mod shared_batch;
mod table;

pub(crate) use chunk::{RowChunk, TimeOrder};
pub(crate) use column_buffer::TypedArray;
pub(crate) use series_buffer::SeriesBuffer;
pub(crate) use table::{FoundSeries, Memtable, MemtableKey};
