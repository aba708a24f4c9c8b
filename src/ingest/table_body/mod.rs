//! Bodies that are rows of one declared table: an Arrow IPC stream, CSV with a header, or a Parquet file.
//!
//! The whole body is one commit or nothing: a column or value that does not fit the table refuses it. The table decides
//! about types, so nothing is guessed, and no column is added.

mod arrow_stream;
mod csv;
#[cfg(feature = "files")]
mod parquet;
mod write;

pub use write::{BodyFormat, write};
