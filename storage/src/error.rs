//! The typed error of the storage engine.
//!
//! A variant exists where a caller (recovery, the facade, an operator) acts differently. Corruption says where and what;
//! I/O says which path and operation. Nothing here is built from untrusted bytes without a bound.

use std::path::{Path, PathBuf};

/// Result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong in the storage engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operating-system call failed.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// The operation in words, such as `sync`.
        operation: &'static str,
        /// The file or directory that it touched.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Corruption {
        /// The damaged file.
        path: PathBuf,
        /// Offset of the damaged structure.
        offset: u64,
        /// What was expected and what was found.
        reason: String,
    },
    /// A file of a format version that this build does not read.
    #[error("{} has format version {found}, this build reads {supported}: open it with a newer version of LynxStore", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version that this build reads.
        supported: u32,
    },
    /// Another process (or another handle of this one) has the directory open for writing.
    #[error("{} is already open for writing{}: close the other process, or open it read-only", path.display(), by(*holder))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if it said so.
        holder: Option<u32>,
    },
    /// A change was asked of a database that is open read-only.
    #[error("the database {} is open read-only{}: nothing can be changed here", path.display(), by_writer(*holder))]
    ReadOnly {
        /// The database directory.
        path: PathBuf,
        /// The process that opened it for writing and did not close it, if there is one and it said so.
        holder: Option<u32>,
    },
    /// A writer changed the database again and again while it was read.
    #[error("{} changed {attempts} times while it was read: try again", path.display())]
    Changing {
        /// The database directory.
        path: PathBuf,
        /// How often it was read.
        attempts: u32,
    },
    /// The write-ahead log refused further work after a failed write or sync.
    #[error("the write-ahead log is closed after a failed {operation}: {reason}; reopen the database")]
    WalPoisoned {
        /// The first operation that failed.
        operation: &'static str,
        /// The text of the first failure.
        reason: String,
    },
    /// Unflushed rows are over their bound, in memory or in the log, and did not come down within the caller's deadline.
    #[error(
        "unflushed rows take {used_bytes} of {limit_bytes} bytes, in memory or in the log: retry later, raise the memory \
         budget, or see whether flushes fail"
    )]
    Backpressure {
        /// Bytes in memtables, or in the write-ahead log.
        used_bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
    /// The merged series directory that a query needs does not fit its part of the memory budget.
    #[error(
        "the series directory of table '{table}' needs {needed_bytes} bytes, and {used_bytes} of {limit_bytes} are in use: \
         raise the memory budget, or keep values that are nearly unique in fields instead of tags"
    )]
    DirectoryTooLarge {
        /// The table.
        table: String,
        /// Bytes that building it takes.
        needed_bytes: u64,
        /// Bytes that directories in use take.
        used_bytes: u64,
        /// The bound of all directories together.
        limit_bytes: u64,
    },
    /// No such table.
    #[error("table '{name}' does not exist: create it, or see SHOW TABLES")]
    TableNotFound {
        /// The name as given.
        name: String,
    },
    /// A table of that name is there already.
    #[error("table '{name}' exists already")]
    TableExists {
        /// The name as given.
        name: String,
    },
    /// The rows or the declaration do not fit the schema.
    #[error("{reason}")]
    InvalidInput {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The handle was closed.
    #[error("the database is closed")]
    Closed,
}

fn by(holder: Option<u32>) -> String {
    holder.map(|process| format!(" by process {process}")).unwrap_or_default()
}

fn by_writer(holder: Option<u32>) -> String {
    holder.map(|process| format!(", process {process} opened it for writing")).unwrap_or_default()
}

// An error travels through every hot `Result`; keep it small.
const _: () = assert!(size_of::<Error>() <= 72);

impl Error {
    /// An I/O error with its context.
    pub fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), source }
    }

    /// A corruption error with its place.
    pub fn corruption(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corruption { path: path.to_path_buf(), offset, reason: reason.into() }
    }

    /// An error in what the caller passed.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidInput { reason: reason.into() }
    }
}
