//! One commit: check, log, apply.

use std::sync::Arc;

use parking_lot::Mutex;

use super::batch_check::{check_batches, widen_batches};
use super::core::Core;
use super::options::{Ack, Background, WriteReceipt};
use super::stats::Counters;
use crate::error::Result;
use crate::memtable::TypedArray;
use crate::types::{CommitSeq, SeriesBatch};
use crate::wal::{SyncMode, encode_commit};

impl Core {
    /// Writes batches of one or several tables as one commit.
    pub(super) fn write(&self, mut batches: Vec<SeriesBatch>, ack: Ack) -> Result<WriteReceipt> {
        let _no_column_changes_its_type = self.widening.read();
        let version = self.store.memtables.version();
        widen_batches(&version, &mut batches)?;
        let found = self.store.memtables.find(&batches);
        check_batches(&version, &batches, found.series())?;
        let rows = batches.iter().map(|batch| batch.row_count() as u64).sum();
        self.flush_when_full();
        let rows_bytes: u64 = batches.iter().map(raw_bytes).sum();
        // The record takes about as much as its rows at most. It is made when there is room for it, not before.
        let record_bytes_estimate = if ack == Ack::Volatile { 0 } else { rows_bytes };
        self.store.memory.set_log_bytes(self.wal.total_bytes(), self.wal.buffer_bytes());
        let deadline = self.store.options.write_deadline;
        let mut admitted = self.store.memory.admit(rows_bytes + record_bytes_estimate, deadline)?;
        let (commit_seq, lsn) = match ack {
            Ack::Volatile => {
                // After a failure of the log nothing can be flushed, and memory would only fill.
                self.wal.check()?;
                (self.store.apply(&batches, &found), None)
            }
            Ack::Durable | Ack::Logged => {
                let record = encode_commit(&batches)?;
                admitted.settle(rows_bytes + record.byte_len() as u64);
                let sync = if ack == Ack::Durable { SyncMode::Sync } else { SyncMode::Write };
                let (store, applied) = (Arc::clone(&self.store), Arc::new(Mutex::new(CommitSeq::default())));
                let result = Arc::clone(&applied);
                let lsn = self.wal.commit(record, sync, move |_lsn| *result.lock() = store.apply(&batches, &found))?;
                let commit_seq = *applied.lock();
                (commit_seq, Some(lsn))
            }
        };
        Counters::add(&self.store.counters.commits, 1);
        Counters::add(&self.store.counters.rows_written, rows);
        self.flush_when_full();
        Ok(WriteReceipt { ack, rows, commit_seq, lsn })
    }

    /// Whether a memtable or the log is full, or a memtable waits because its flush failed.
    pub(super) fn is_flush_due(&self) -> bool {
        let memtables = &self.store.memtables;
        memtables.has_frozen()
            || memtables.active().bytes() >= self.store.options.flush_bytes_max
            || self.wal.total_bytes() >= self.store.options.wal_bytes_max
    }

    fn flush_when_full(&self) {
        if !self.is_flush_due() {
            return;
        }
        match self.store.options.background {
            Background::Thread => self.flush_signal.request(),
            Background::Caller => {
                // The rows are safe in the WAL; a flush that fails is tried again by the next write.
                if let Err(error) = self.flush() {
                    tracing::warn!(%error, "flush failed; it will be tried again");
                }
            }
        }
    }
}

/// About what a batch takes in memory.
pub(super) fn raw_bytes(batch: &SeriesBatch) -> u64 {
    let text_bytes = |offsets: &[i32]| match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (last - first) as u64,
        _ => 0,
    };
    let fields = batch.fields.iter().map(|(_, array)| match TypedArray::new(array) {
        Some(TypedArray::String(array)) => text_bytes(array.value_offsets()),
        Some(TypedArray::Binary(array)) => text_bytes(array.value_offsets()),
        _ => 8 * array.len() as u64,
    });
    8 * batch.row_count() as u64 + fields.sum::<u64>()
}
