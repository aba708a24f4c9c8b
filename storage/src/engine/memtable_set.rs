//! The memtables and the version of the database that readers see; how they change is in `publication`.

use std::sync::Arc;

use super::publication::Publication;
use crate::memtable::{FoundSeries, Memtable};
use crate::snapshot::{Snapshot, Version};
use crate::types::{CommitSeq, SeriesBatch, TableId};

/// The current version and memtables, and the order of commits.
#[derive(Debug)]
pub(super) struct MemtableSet {
    current: Publication<Version, Memtable>,
}

/// The series of the batches of a commit in the memtable that took commits when it was asked.
#[derive(Debug)]
pub(super) struct FoundBatches {
    memtable: Arc<Memtable>,
    series: Vec<FoundSeries>,
}

impl FoundBatches {
    /// Batch by batch.
    pub(super) fn series(&self) -> &[FoundSeries] {
        &self.series
    }
}

impl MemtableSet {
    pub(super) fn new(version: Version) -> Self {
        Self { current: Publication::new(version) }
    }

    /// Finds the series of a commit, so that this is done once, and outside of the lock under which commits are applied.
    pub(super) fn find(&self, batches: &[SeriesBatch]) -> FoundBatches {
        let memtable = self.active();
        let series = memtable.find(batches);
        FoundBatches { memtable, series }
    }

    /// Puts the rows of the next commit into the memtable and shows them.
    pub(super) fn apply(&self, batches: &[SeriesBatch], found: &FoundBatches) -> CommitSeq {
        self.current.apply(|active, seq| {
            let found_again;
            let series = if std::ptr::eq(active, &*found.memtable) {
                &found.series
            } else {
                // A flush began meanwhile.
                found_again = active.find(batches);
                &found_again
            };
            for (batch, series) in batches.iter().zip(series) {
                active.apply(batch, series, seq);
            }
        })
    }

    pub(super) fn snapshot(&self, now_ns: i64) -> Snapshot {
        let view = self.current.view();
        Snapshot::new(view.version, view.memtables, view.visible, now_ns)
    }

    pub(super) fn active(&self) -> Arc<Memtable> {
        self.current.active()
    }

    /// Begins a new memtable when the current one has rows; returns those that wait for a flush, oldest first.
    pub(super) fn freeze(&self) -> Vec<Arc<Memtable>> {
        self.current.freeze(|active| active.rows() > 0)
    }

    /// Whether a memtable waits for its flush.
    pub(super) fn has_frozen(&self) -> bool {
        self.current.memtables().len() > 1
    }

    pub(super) fn version(&self) -> Arc<Version> {
        self.current.version()
    }

    /// Sets the version.
    pub(super) fn publish(&self, version: Version) {
        self.current.publish(version, &[]);
    }

    /// Sets the version and takes away the memtables whose rows its segments hold now, in one step for readers.
    pub(super) fn publish_flush(&self, version: Version, flushed: &[Arc<Memtable>]) {
        self.current.publish(version, flushed);
    }

    /// Whether a memtable has rows of a table.
    pub(super) fn has_rows_of(&self, table: TableId) -> bool {
        self.current.memtables().iter().any(|memtable| memtable.series_with_prefix(table, &[]).next().is_some())
    }

    /// Bytes in all memtables.
    pub(super) fn bytes(&self) -> u64 {
        self.current.memtables().iter().map(|memtable| memtable.bytes()).sum()
    }

    /// Rows in all memtables, before duplicates are resolved.
    pub(super) fn rows(&self) -> u64 {
        self.current.memtables().iter().map(|memtable| memtable.rows()).sum()
    }
}
