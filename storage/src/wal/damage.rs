//! What is known of a damaged part of the log.

use std::path::PathBuf;

use super::commit::decode_commit;
use crate::types::{Lsn, SeriesBatch, TableId, TimeRange};

/// A damaged part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalDamage {
    /// The file.
    pub path: PathBuf,
    /// First damaged byte.
    pub start: u64,
    /// End of the damaged bytes; equal to `start` where records are missing without a trace.
    pub end: u64,
    /// First lost commit.
    pub first_lost: Lsn,
    /// Last lost commit; below `first_lost` when no commit that was asked for was lost.
    pub last_lost: Lsn,
    /// Whether these two say all that was lost.
    pub loss: Loss,
    /// Where the file was copied to, if that succeeded.
    pub quarantined: Option<PathBuf>,
    /// What was found.
    pub reason: String,
    /// What the lost commits held, when the damaged bytes still say so; they may say so wrongly.
    pub contents: Option<Contents>,
}

/// What is known of the commits that a damage lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// A commit behind the damage, or a later file, says which they are; perhaps none.
    Known,
    /// Nothing stands behind the damage that would tell how many commits it held.
    Unknown,
}

/// Tables, times and rows of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Tables, in order.
    pub tables: Vec<TableId>,
    /// First and last time of any row; `None` when there is no row.
    pub time_range: Option<TimeRange>,
    /// Number of rows.
    pub rows: u64,
}

impl WalDamage {
    /// Number of lost commits.
    pub fn lost_commits(&self) -> u64 {
        (self.last_lost.0 + 1).saturating_sub(self.first_lost.0)
    }
}

impl Contents {
    /// What a commit holds.
    pub(crate) fn of(batches: &[SeriesBatch]) -> Self {
        let mut tables: Vec<TableId> = batches.iter().map(|batch| batch.table).collect();
        tables.sort_unstable();
        tables.dedup();
        let times = || batches.iter().flat_map(|batch| batch.times.iter().copied());
        let time_range = times().min().zip(times().max()).map(|(start_ns, end_ns)| TimeRange { start_ns, end_ns });
        Self { tables, time_range, rows: batches.iter().map(|batch| batch.row_count() as u64).sum() }
    }
}

/// What a payload that does not match its checksum held, as far as it can still be decoded.
pub(super) fn contents_of(damaged_payload: &[u8]) -> Option<Contents> {
    decode_commit(damaged_payload).ok().map(|batches| Contents::of(&batches))
}
