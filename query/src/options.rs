//! How a [`QueryEngine`](crate::QueryEngine) runs statements: namespace, threads, limits, and what it may touch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lynxstore_storage::snapshot::DamagePolicy;

use crate::error::{Error, Result};

/// Whether statements may name files (`COPY`, `FROM 'file'`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileAccess {
    /// Files are read and written with the rights of the process.
    Allowed,
    /// Statements that name a file fail; for SQL from elsewhere.
    #[default]
    Denied,
}

/// Whether statements are answered from the rollups of segments where these suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RollupMode {
    /// Rollups stand in for the rows of whole hours.
    #[default]
    On,
    /// Rows are always read; for comparing.
    Off,
}

/// Options of a [`QueryEngine`](crate::QueryEngine).
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// The namespace of table names without one.
    pub namespace: String,
    /// Threads for one statement; statements below about a million values stay on the caller's thread.
    pub threads: usize,
    /// Whether statements may name files.
    pub file_access: FileAccess,
    /// A statement whose result has more rows fails.
    pub rows_out_max: u64,
    /// A statement that needs more groups at once fails.
    pub groups_max: u64,
    /// Exact distinct counts, percentiles and modes of a statement may collect this many bytes.
    pub summary_bytes_max: u64,
    /// Whether rollups are used.
    pub rollups: RollupMode,
    /// What a statement does where rows cannot be read because their segment is damaged: `Skip` answers from the rest.
    pub on_damage: DamagePolicy,
}

impl Default for QueryOptions {
    fn default() -> Self {
        // 64 Mi rows of a few columns are some GiB of Arrow data: beyond that, COPY to a file is the way.
        const ROWS_OUT_MAX: u64 = 1 << 26;
        // A group with one aggregate takes about 64 bytes: 1 GiB.
        const GROUPS_MAX: u64 = 1 << 24;
        const SUMMARY_BYTES_MAX: u64 = 1 << 30;
        Self {
            namespace: "public".into(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            file_access: FileAccess::Denied,
            rows_out_max: ROWS_OUT_MAX,
            groups_max: GROUPS_MAX,
            summary_bytes_max: SUMMARY_BYTES_MAX,
            rollups: RollupMode::On,
            on_damage: DamagePolicy::Fail,
        }
    }
}

/// Cancels a running statement from another thread.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the statement to stop; it fails with [`Error::Cancelled`] at its next series.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Fails when the statement was cancelled.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}
