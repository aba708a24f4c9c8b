//! What ends a command early.
//!
//! The text says what to do; [`CommandError::report`] is the one place that prints it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::Error as DatabaseError;

/// Result of a command.
pub(super) type Result<T, E = CommandError> = std::result::Result<T, E>;

/// What went wrong with a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A file that the command reads or writes.
    #[error(transparent)]
    File(#[from] lynxstore_query::files::FileError),
    /// An operating-system call failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The operation in words.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Rows could not be printed.
    #[error("cannot print the rows: {0}")]
    Output(io::Error),
    /// What the user asked for makes no sense.
    #[error("{0}")]
    Input(String),
    /// An error with the place that it came from.
    #[error("{place}: {source}")]
    At {
        /// File and line, or file and rows.
        place: String,
        /// The error.
        source: Box<CommandError>,
    },
}

impl CommandError {
    /// An I/O error with its context.
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), source }
    }

    /// An error in what the user asked for.
    pub(super) fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// Says where the error came from.
    pub(super) fn at(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), source: Box::new(self) }
    }

    /// Whether the reader of the output went away, as `head` does: nothing is wrong, there is only no one to tell.
    fn is_closed_output(&self) -> bool {
        match self {
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::At { source, .. } => source.is_closed_output(),
            _ => false,
        }
    }

    /// Prints the error, unless no one listens, and chooses the exit code.
    pub(super) fn report(&self, color: bool) -> ExitCode {
        /// As a shell reports a process that SIGPIPE ended.
        const CLOSED_OUTPUT: u8 = 128 + 13;
        if self.is_closed_output() {
            return ExitCode::from(CLOSED_OUTPUT);
        }
        let label = if color { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
        // Standard error may be closed too; then the exit code has to do.
        let _ = writeln!(io::stderr(), "{label} {self}");
        ExitCode::FAILURE
    }
}
