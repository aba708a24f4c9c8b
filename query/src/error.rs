//! The typed error of the query layer.
//!
//! A variant exists where a caller acts differently: fix the text, fix the data, ask for less, or report storage trouble.
//! Arrow's and DataFusion's error types stay inside; their text is kept.

/// Result of a query operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not SQL.
    #[error("syntax error: {message}")]
    Parse {
        /// What was expected and where.
        message: String,
    },
    /// The statement does not fit the schema: unknown names, types that do not go together.
    #[error("{message}")]
    Plan {
        /// What is wrong and what to do.
        message: String,
    },
    /// The statement is SQL, but this build does not run it.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// The construct.
        what: String,
        /// How to get the same result.
        hint: String,
    },
    /// The statement failed on the data, such as a division by zero.
    #[error("{message}")]
    Execution {
        /// What happened and with which value.
        message: String,
    },
    /// The result or the intermediate state is larger than the options allow.
    #[error("{what} is over the limit of {limit}: {hint}")]
    LimitExceeded {
        /// What grew too large.
        what: &'static str,
        /// The bound.
        limit: u64,
        /// What to do.
        hint: &'static str,
    },
    /// The statement was cancelled by its caller.
    #[error("the statement was cancelled")]
    Cancelled,
    /// The statement reads or writes files, and the options deny that.
    #[error("access to file '{path}' is denied: allow file access in the query options")]
    FileAccessDenied {
        /// The path in the statement.
        path: String,
    },
    /// The options do not allow the statement.
    #[error("{what} needs the access '{needs}': ask an administrator")]
    AccessDenied {
        /// The kind of statement, or the table.
        what: String,
        /// The least [`StatementAccess`](crate::StatementAccess) that allows it.
        needs: &'static str,
    },
    /// The rows of the statement are not let in.
    #[error(transparent)]
    Refused(#[from] crate::write_admission::WriteRefusal),
    /// A file could not be read or written.
    #[error("file '{path}': {message}")]
    File {
        /// The path.
        path: String,
        /// What happened.
        message: String,
    },
    /// The storage engine failed.
    #[error(transparent)]
    Storage(#[from] lynxstore_storage::Error),
}

// An error travels through every hot `Result`; keep it small.
const _: () = assert!(size_of::<Error>() <= 80);

impl Error {
    /// A statement that does not fit the schema.
    pub(crate) fn plan(message: impl Into<String>) -> Self {
        Self::Plan { message: message.into() }
    }

    /// A failure on the data.
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution { message: message.into() }
    }

    /// A construct outside what the vectorized executor runs; DataFusion takes it over when it is compiled in.
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), hint: "build with the feature `datafusion` for general SQL".into() }
    }

    /// A failure of an Arrow kernel, in the words of a query.
    pub(crate) fn arrow(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError;
        match error {
            ArrowError::DivideByZero => Self::execution("division by zero"),
            ArrowError::ComputeError(message)
            | ArrowError::CastError(message)
            | ArrowError::ArithmeticOverflow(message)
            | ArrowError::InvalidArgumentError(message) => Self::execution(message),
            other => Self::execution(other.to_string()),
        }
    }
}
