//! What an execution did, for `EXPLAIN ANALYZE`: threads count for themselves and add up when they are done.

use std::time::{Duration, Instant};

use lynxstore_storage::snapshot::{ScanCounters, ScanSources, SeriesScan};
use parking_lot::Mutex;

/// A part of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Finding the series.
    Open,
    /// Reading rows, and grouping or projecting them.
    Scan,
    /// Putting together what the threads have.
    Merge,
    /// HAVING, projection of groups, DISTINCT, ORDER BY and LIMIT.
    Finish,
}

/// What the scans of an execution did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ScanTrace {
    /// What the storage engine counts.
    pub(crate) read: ScanCounters,
    /// Rows of blocks of which no row passed the field conditions.
    pub(crate) rows_skipped: u64,
    /// Vectors of these blocks that were not decoded.
    pub(crate) vectors_skipped: u64,
    /// Vectors of other blocks that were not decoded: their statistics said all that was asked.
    pub(crate) vectors_answered: u64,
    /// Rows that rollups stood for.
    pub(crate) rollup_rows: u64,
    /// Threads that scanned.
    pub(crate) threads: u64,
}

impl ScanTrace {
    /// Counts the vectors of a block that were not decoded; `before` is what the scan had read before it.
    pub(crate) fn add_block(&mut self, scan: &SeriesScan<'_>, before: ScanCounters, is_skipped: bool) {
        let after = scan.counters();
        let decoded = after.vectors_decoded - before.vectors_decoded;
        let left = (after.vectors - before.vectors).saturating_sub(decoded);
        if is_skipped {
            self.vectors_skipped += left;
            self.rows_skipped += after.rows - before.rows;
        } else {
            self.vectors_answered += left;
        }
    }
}

/// The record of one execution.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    scan: Mutex<ScanTrace>,
    sources: Mutex<Option<ScanSources>>,
    steps: Mutex<Vec<(Step, Duration)>>,
}

impl Trace {
    /// Adds what a thread has counted, and what its scan has.
    pub(crate) fn add_scan(&self, mut thread: ScanTrace, scan: &SeriesScan<'_>) {
        thread.read = scan.counters();
        let mut all = self.scan.lock();
        all.read += thread.read;
        all.rows_skipped += thread.rows_skipped;
        all.vectors_skipped += thread.vectors_skipped;
        all.vectors_answered += thread.vectors_answered;
        all.rollup_rows += thread.rollup_rows;
        all.threads += 1;
    }

    /// Adds what was read beside scans.
    pub(crate) fn add_counters(&self, read: ScanCounters) {
        self.scan.lock().read += read;
    }

    /// Notes where rows come from.
    pub(crate) fn set_sources(&self, sources: ScanSources) {
        *self.sources.lock() = Some(sources);
    }

    /// Ends a step that began at `start`.
    pub(crate) fn end_step(&self, step: Step, start: Instant) {
        self.steps.lock().push((step, start.elapsed()));
    }

    /// What all scans did.
    pub(crate) fn scan(&self) -> ScanTrace {
        *self.scan.lock()
    }

    /// Where rows came from.
    pub(crate) fn sources(&self) -> Option<ScanSources> {
        self.sources.lock().clone()
    }

    /// The time of a step.
    pub(crate) fn time_of(&self, step: Step) -> Duration {
        self.steps.lock().iter().filter(|(known, _)| *known == step).map(|(_, time)| *time).sum()
    }
}
