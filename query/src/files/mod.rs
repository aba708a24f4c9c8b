//! Files as tables: CSV and Parquet in and out.
//!
//! [`FileSet`] opens one file or a glob, settles one schema for all of it and streams record batches with bounded
//! memory; [`write()`] streams batches into one file that appears whole or not at all. Everything here is synchronous
//! and knows neither SQL nor the storage engine; a [`FileSet`] may be shared by threads, a [`FileBatches`] has one owner.

mod batches;
mod csv;
mod csv_types;
mod error;
mod file_set;
mod format;
mod options;
mod parquet;
mod path;
mod widen;
mod write;

#[cfg(test)]
mod tests;

pub use batches::FileBatches;
pub use error::FileError;
pub use file_set::{FileSet, read};
pub use format::FileFormat;
pub use options::{Header, ParquetStrings, ReadOptions};
pub use path::looks_like_file;
pub use write::{FileWriter, WriteOptions, WriteSummary, write};
