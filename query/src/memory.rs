//! The account of a statement's memory: groups, sorted rows and results, of all threads and of both ways to run it.
//!
//! Threads take from the account in steps, so that it costs an atomic addition per megabyte. What a holder took it gives
//! back when it is dropped. The account is checked before memory is taken where its size is known, else right after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};

/// A holder takes whole steps: of this size, or of a 64th of the limit, so that a few holders do not lock up all there is.
const STEP_BYTES_MAX: u64 = 1 << 20;

/// The memory that a statement may use and uses.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

impl MemoryAccount {
    /// An account of which nothing is used.
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: AtomicU64::new(0), peak_bytes: AtomicU64::new(0) })
    }

    /// The bound.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Bytes in use.
    #[cfg(any(feature = "datafusion", test))]
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn step_bytes(&self) -> u64 {
        (self.limit_bytes / 64).clamp(1, STEP_BYTES_MAX)
    }

    /// The most that was in use at a time.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Takes bytes; fails when there are not enough.
    pub(crate) fn take(&self, bytes: u64) -> Result<()> {
        let taken = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.limit_bytes)
        });
        match taken {
            Ok(before) => {
                self.peak_bytes.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(_) => Err(exceeded(self.limit_bytes)),
        }
    }

    /// Takes bytes that are in use already, whether there are enough or not.
    #[cfg(feature = "datafusion")]
    pub(crate) fn take_unchecked(&self, bytes: u64) {
        let before = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.peak_bytes.fetch_max(before.saturating_add(bytes), Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A holder that has taken nothing yet.
    pub(crate) fn holder(self: &Arc<Self>) -> MemoryHolder {
        MemoryHolder { account: Arc::clone(self), taken_bytes: 0, used_bytes: 0 }
    }
}

/// The failure of a statement that needs more memory than it may use.
pub(crate) fn exceeded(limit_bytes: u64) -> Error {
    Error::LimitExceeded {
        what: "the memory of the statement in bytes",
        limit: limit_bytes,
        hint: "group by fewer keys, select fewer rows, add a LIMIT, or raise memory_bytes_max",
    }
}

/// A part of a statement that uses memory.
#[derive(Debug)]
pub(crate) struct MemoryHolder {
    account: Arc<MemoryAccount>,
    taken_bytes: u64,
    used_bytes: u64,
}

impl MemoryHolder {
    /// What is held.
    pub(crate) fn bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Says how much the holder uses now. It takes more when that is not enough, and keeps what it has.
    pub(crate) fn set(&mut self, bytes: u64) -> Result<()> {
        self.used_bytes = bytes;
        if bytes <= self.taken_bytes {
            return Ok(());
        }
        // Whole steps, but never so much that a small rest could not be used.
        let missing = bytes - self.taken_bytes;
        let step = missing.next_multiple_of(self.account.step_bytes());
        if self.account.take(step).is_ok() {
            self.taken_bytes += step;
            return Ok(());
        }
        self.account.take(missing)?;
        self.taken_bytes += missing;
        Ok(())
    }

    /// Says that the holder uses so much more.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<()> {
        self.set(self.used_bytes.saturating_add(bytes))
    }
}

impl Drop for MemoryHolder {
    fn drop(&mut self) {
        self.account.give_back(self.taken_bytes);
    }
}

/// Bytes of the rows of a batch. The values of dictionaries do not count: batches of a scan share them.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> u64 {
    let slice_bytes = |array: &dyn Array| {
        array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_buffer_memory_size()) as u64
    };
    let columns = batch.columns().iter();
    columns
        .map(|column| match column.as_any_dictionary_opt() {
            Some(dictionary) => slice_bytes(dictionary.keys()),
            None => slice_bytes(column),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_lends_up_to_its_limit_and_takes_back() {
        let account = MemoryAccount::new(64 * STEP_BYTES_MAX);
        let mut first = account.holder();
        first.set(10).unwrap();
        assert_eq!(account.used_bytes(), STEP_BYTES_MAX);
        let mut second = account.holder();
        second.set(62 * STEP_BYTES_MAX + 1).unwrap();
        assert_eq!(account.used_bytes(), 64 * STEP_BYTES_MAX);
        assert!(first.set(STEP_BYTES_MAX + 1).unwrap_err().to_string().contains("memory_bytes_max"));
        drop(second);
        first.add(1).unwrap();
        drop(first);
        assert_eq!((account.used_bytes(), account.peak_bytes()), (0, 64 * STEP_BYTES_MAX));
    }

    #[test]
    fn a_small_limit_can_be_used_up() {
        let account = MemoryAccount::new(100);
        let mut holder = account.holder();
        holder.set(90).unwrap();
        assert!(holder.set(101).is_err());
        assert_eq!(account.used_bytes(), 90);
    }
}
