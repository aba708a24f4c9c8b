//! Whether rows of a statement may be written: asked of whoever runs statements for others.
//!
//! A statement asks once per commit, with all of its rows, before anything is written; what it was given is held until the
//! commit has ended, so that a commit that fails costs nothing.

use std::fmt::Debug;
use std::time::Duration;

use lynxstore_storage::types::SeriesBatch;

/// Lets rows of `INSERT` and `COPY` in, or not. Asked by several threads at once.
pub trait WriteAdmission: Debug + Send + Sync {
    /// Asks for a commit of these batches.
    ///
    /// # Errors
    /// Why they may not be written now, or at all.
    fn admit(&self, batches: &[SeriesBatch]) -> Result<Box<dyn AdmittedWrite>, WriteRefusal>;
}

/// A commit that was let in. Dropped without [`AdmittedWrite::written`], it was not made.
pub trait AdmittedWrite {
    /// The rows are on disk.
    fn written(self: Box<Self>);
}

/// Why a commit is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WriteRefusal {
    /// What the caller can do.
    pub kind: RefusalKind,
    /// What is the matter, and what to do.
    pub message: String,
}

/// What the caller of a refused statement can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Come back: the server has no room.
    Busy,
    /// Come back after the time: the caller has brought as much as it may for now.
    OverRate {
        /// When it is worth it.
        retry_after: Duration,
    },
    /// Bring less: a bound is reached that time does not move.
    OverLimit,
}
