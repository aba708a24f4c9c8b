//! What was begun and what was acknowledged, and what a snapshot may therefore show.
//!
//! Each number only grows. A writer raises `begun` before it writes and `acked` after it was told so; a reader reads
//! `acked` before it takes its snapshot and `begun` after, and what it sees must lie between.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::ledger::{EXPIRES_AFTER, STEP_NS, WRITERS};

/// The clock of the engine, in nanoseconds. A static, since the engine takes its clock as a function.
static NOW_NS: AtomicI64 = AtomicI64::new(0);

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct History {
    writers: [Writer; WRITERS],
}

/// Of one writer. Batches and deletes count from 0: a delete up to `n` takes the batches below `n`.
#[derive(Debug, Default)]
struct Writer {
    begun: AtomicU64,
    acked: AtomicU64,
    delete_acked: AtomicU64,
    /// Deletes that were begun.
    deletes: Mutex<BTreeSet<u64>>,
}

/// What was acknowledged before a snapshot was taken, and the time then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    acked: [u64; WRITERS],
    deleted: [u64; WRITERS],
    now_ns: i64,
}

pub(super) fn clock() -> i64 {
    NOW_NS.load(Ordering::SeqCst)
}

impl History {
    pub(super) fn begin() -> Self {
        NOW_NS.store(0, Ordering::SeqCst);
        let history = Self::default();
        for writer in &history.writers {
            writer.deletes.lock().insert(0);
        }
        history
    }

    pub(super) fn begin_batch(&self, writer: usize, number: u64) {
        self.writers[writer].begun.store(number + 1, Ordering::SeqCst);
    }

    /// The clock follows the slowest writer, so that no batch is written that expired before.
    pub(super) fn ack_batch(&self, writer: usize, number: u64) {
        self.writers[writer].acked.store(number + 1, Ordering::SeqCst);
        let slowest = self.writers.iter().map(|writer| writer.acked.load(Ordering::SeqCst)).min().unwrap_or(0);
        NOW_NS.fetch_max(slowest as i64 * STEP_NS, Ordering::SeqCst);
    }

    pub(super) fn acked(&self, writer: usize) -> u64 {
        self.writers[writer].acked.load(Ordering::SeqCst)
    }

    pub(super) fn deleted(&self, writer: usize) -> u64 {
        self.writers[writer].delete_acked.load(Ordering::SeqCst)
    }

    pub(super) fn begin_delete(&self, writer: usize, up_to: u64) {
        self.writers[writer].deletes.lock().insert(up_to);
    }

    pub(super) fn ack_delete(&self, writer: usize, up_to: u64) {
        self.writers[writer].delete_acked.store(up_to, Ordering::SeqCst);
    }

    pub(super) fn before(&self) -> Before {
        Before {
            acked: std::array::from_fn(|writer| self.acked(writer)),
            deleted: std::array::from_fn(|writer| self.deleted(writer)),
            now_ns: clock(),
        }
    }

    /// Checks the batches that a snapshot shows of a writer, from `first` up to `end`, and the first that it shows of
    /// those that expire.
    pub(super) fn check(&self, before: &Before, writer: usize, first: u64, end: u64, first_unexpired: u64) {
        let Writer { begun, deletes, .. } = &self.writers[writer];
        let (acked, begun) = (before.acked[writer], begun.load(Ordering::SeqCst));
        assert!((acked..=begun).contains(&end), "writer {writer}: {acked} acknowledged, {begun} begun, {end} shown");
        let deleted = before.deleted[writer];
        assert!(first >= deleted, "writer {writer}: batch {first} is back, those below {deleted} were deleted");
        assert!(deletes.lock().contains(&first), "writer {writer}: no delete ended at batch {first}");
        // The snapshot was taken at a moment between these two.
        let bounds = [before.now_ns, clock()].map(|now_ns| ((now_ns / STEP_NS) as u64).saturating_sub(EXPIRES_AFTER));
        assert!(
            (bounds[0].min(end)..=bounds[1]).contains(&first_unexpired),
            "writer {writer}: batches from {first_unexpired} on are shown, those below {bounds:?} have expired"
        );
    }
}
