//! What can go wrong with a file that is read or written as a table.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

/// A file could not be read or written as a table. The text names the file and says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// No file has that name, or none matches the pattern.
    NotFound {
        /// The path or glob as given.
        pattern: String,
    },
    /// The glob itself is malformed.
    Pattern {
        /// The glob as given.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// The extension says nothing about the format.
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A compressed container.
    Compressed {
        /// The file.
        path: PathBuf,
    },
    /// An operating-system call failed.
    Io {
        /// The operation in words, such as `open`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The bytes are not what the format or the settled schema asks for.
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl FileError {
    pub(super) fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), source }
    }

    pub(super) fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_path_buf(), reason: reason.into() }
    }

    /// The file, or the pattern as given.
    pub fn path(&self) -> String {
        match self {
            Self::NotFound { pattern } | Self::Pattern { pattern, .. } => pattern.clone(),
            Self::UnknownFormat { path }
            | Self::Compressed { path }
            | Self::Io { path, .. }
            | Self::Invalid { path, .. } => path.display().to_string(),
        }
    }

    /// What is wrong with it and what to do.
    pub fn reason(&self) -> String {
        match self {
            Self::NotFound { .. } => "there is no such file".into(),
            Self::Pattern { reason, .. } => format!("this is no valid pattern: {reason}"),
            Self::UnknownFormat { .. } => {
                "the extension is none of .csv, .tsv, .parquet and .pq: rename the file, or name its format".into()
            }
            Self::Compressed { .. } => {
                "files compressed as a whole are not read: unpack it first (Parquet is compressed inside)".into()
            }
            Self::Io { operation, source, .. } => format!("{operation} failed: {source}"),
            Self::Invalid { reason, .. } => reason.clone(),
        }
    }
}

impl Display for FileError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "file '{}': {}", self.path(), self.reason())
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<FileError> for crate::Error {
    fn from(error: FileError) -> Self {
        Self::File { path: error.path(), message: error.reason() }
    }
}
