//! The error of the public API: what happened, and what kind of thing the caller can do about it.

use std::fmt::{self, Display, Formatter};

use lynxstore_query::{Error as QueryError, RefusalKind};
use lynxstore_storage::Error as StorageError;

/// Result of an operation on a database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Fix the statement, the rows or the declaration.
    InvalidInput,
    /// Name a table or file that exists.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// Try again later: memory is full, the database is open elsewhere, or it changed too fast to be read.
    Busy,
    /// Open the database for writing: this handle only reads.
    ReadOnly,
    /// Send less, or later: the caller has brought as much as it may for now.
    OverRate,
    /// Ask an administrator: the statement is not allowed to this caller.
    Denied,
    /// Ask for less: a limit was reached or the statement was cancelled.
    LimitExceeded,
    /// The statement needs a feature that this build or this caller does not have.
    Unsupported,
    /// Data on disk is damaged: restore it.
    Damaged,
    /// The operating system refused: disk full, no permission. Reopen the database once it is mended.
    Io,
    /// The handle was closed.
    Closed,
}

/// An error of the public API.
///
/// `Display` says what happened and what to do, in one line; [`std::error::Error::source`] leads to the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Storage(StorageError),
    Query(QueryError),
    Message(String),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// When it is worth coming back, where that is known.
    #[cfg(feature = "server")]
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        match &self.inner {
            Inner::Query(QueryError::Refused(refusal)) => match refusal.kind {
                RefusalKind::OverRate { retry_after } => Some(retry_after),
                RefusalKind::Busy | RefusalKind::OverLimit => None,
            },
            _ => None,
        }
    }

    /// An error in what the caller passed.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidInput, inner: Inner::Message(message.into()) }
    }

    /// An error of a layer of the facade.
    #[cfg(feature = "async")]
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, inner: Inner::Message(message.into()) }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Storage(error) => error.fmt(f),
            Inner::Query(error) => error.fmt(f),
            Inner::Message(message) => message.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.inner {
            Inner::Storage(error) => error.source(),
            Inner::Query(error) => error.source(),
            Inner::Message(_) => None,
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self { kind: storage_kind(&error), inner: Inner::Storage(error) }
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        let kind = match &error {
            QueryError::Storage(storage) => storage_kind(storage),
            QueryError::Unsupported { .. } | QueryError::FileAccessDenied { .. } => ErrorKind::Unsupported,
            QueryError::AccessDenied { .. } => ErrorKind::Denied,
            QueryError::LimitExceeded { .. } | QueryError::Cancelled => ErrorKind::LimitExceeded,
            QueryError::File { .. } => ErrorKind::Io,
            QueryError::Refused(refusal) => match refusal.kind {
                RefusalKind::Busy => ErrorKind::Busy,
                RefusalKind::OverRate { .. } => ErrorKind::OverRate,
                RefusalKind::OverLimit => ErrorKind::LimitExceeded,
            },
            _ => ErrorKind::InvalidInput,
        };
        Self { kind, inner: Inner::Query(error) }
    }
}

fn storage_kind(error: &StorageError) -> ErrorKind {
    match error {
        StorageError::Io { .. } | StorageError::WalPoisoned { .. } => ErrorKind::Io,
        StorageError::Corruption { .. } => ErrorKind::Damaged,
        StorageError::UnsupportedVersion { .. } => ErrorKind::Unsupported,
        StorageError::Locked { .. } | StorageError::Backpressure { .. } | StorageError::Changing { .. } => {
            ErrorKind::Busy
        }
        StorageError::DirectoryTooLarge { .. } => ErrorKind::LimitExceeded,
        StorageError::ReadOnly { .. } => ErrorKind::ReadOnly,
        StorageError::TableNotFound { .. } => ErrorKind::NotFound,
        StorageError::TableExists { .. } => ErrorKind::AlreadyExists,
        StorageError::Closed => ErrorKind::Closed,
        _ => ErrorKind::InvalidInput,
    }
}
