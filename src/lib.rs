//! LynxStore: an embedded columnar time-series store.
//!
//! A [`Database`] is one directory, opened by one process. Batches are written through a write-ahead log into memory and
//! flushed into compressed column segments; SQL answers come as Arrow record batches.
//!
//! ```
//! use std::sync::Arc;
//! use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
//! use lynxstore::{Database, FieldType, TableSpec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! let database = Database::open(path)?;
//! database.create_table(&TableSpec::new("cpu").tag("host").field("usage", FieldType::F64))?;
//!
//! // A batch is one commit: after a crash it is there whole or not at all. `write` returns when it is on disk.
//! let batch = RecordBatch::try_from_iter([
//!     ("time", Arc::new(TimestampNanosecondArray::from(vec![0, 60_000_000_000])) as _),
//!     ("host", Arc::new(StringArray::from(vec!["a", "a"])) as _),
//!     ("usage", Arc::new(Float64Array::from(vec![10.0, 30.0])) as _),
//! ])?;
//! database.write("cpu", &batch)?;
//!
//! // Rows come one by one as well.
//! let mut appender = database.appender("cpu")?;
//! appender.row(120_000_000_000)?.tag("host", "b")?.field("usage", 50.0)?;
//! appender.finish()?;
//!
//! let result = database.query("SELECT host, avg(usage) AS usage FROM cpu GROUP BY host ORDER BY host")?;
//! assert_eq!(result.row_count(), 2);
//! database.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not do
//!
//! One process writes a database; there is no replication and no distributed query. Rows are identified by their tags
//! and time: there are no other keys, no foreign keys and no transactions over several writes.

mod appender;
mod backup;
#[cfg(feature = "async")]
pub mod batch_writer;
mod check;
mod database;
mod error;
mod field_builder;
#[cfg(feature = "async")]
mod future;
pub mod generate;
#[cfg(feature = "async")]
pub mod ingest;
mod options;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "shell")]
pub mod shell;

pub use appender::{Appender, AppenderRow};
pub use backup::{backup, restore};
pub use check::{repair, verify};
pub use database::Database;
pub use error::{Error, ErrorKind, Result};
pub use field_builder::FieldValue;
pub use lynxstore_query::{
    Cancellation, DamagePolicy, FileAccess, NamespaceAccess, PreparedStatement, QueryOptions, QueryOutput, RollupMode,
    Route, ScalarParam, SqlLimits, StatementAccess, StatementDescription, SystemAccess,
};
pub use lynxstore_storage::engine::{
    Ack, BackupStats, Engine, EngineStats, RecoveryReport, Refresh, RepairMode, RepairReport, RestoreStats,
    SegmentReads, VerifyReport, WriteReceipt,
};
pub use lynxstore_storage::types::{Dedup, FieldType, SchemaMode, TableOptions, TableSchema, TableSpec};
pub use options::Options;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
