//! The part of the memory budget for merged series directories, which queries make and keep for those that follow.
//!
//! Invariant: what is taken is at most the limit. Who needs more first gets what directories take that no query uses: they
//! are made again when somebody asks. Any thread may take and give back; a directory that is being made is never taken
//! away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::version::SectionSet;
use crate::error::{Error, Result};

/// What the directories of all tables may take and take.
#[derive(Debug)]
pub(crate) struct DirectoryBudget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    /// Sets of sections that may have a directory.
    holders: Mutex<Vec<Weak<SectionSet>>>,
}

/// Bytes of a directory; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryBytes {
    budget: Arc<DirectoryBudget>,
    bytes: u64,
}

impl Default for DirectoryBudget {
    /// Without a limit.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl DirectoryBudget {
    /// A budget of which nothing is taken.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: AtomicU64::new(0), holders: Mutex::default() }
    }

    /// Bytes that are taken.
    #[cfg(test)]
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Makes it known that a set of sections has a directory from now on.
    pub(super) fn register(&self, holder: &Arc<SectionSet>) {
        let mut holders = self.holders.lock();
        // Its directory may have been dropped and made before.
        holders.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(holder));
        holders.push(Arc::downgrade(holder));
    }

    /// Takes bytes for the directory of a table.
    ///
    /// # Errors
    /// `DirectoryTooLarge` when there are not enough, though everything that is not in use was given back.
    pub(super) fn take(self: &Arc<Self>, bytes: u64, table: &str) -> Result<DirectoryBytes> {
        if !self.try_take(bytes) {
            self.drop_unused();
            if !self.try_take(bytes) {
                let used_bytes = self.used_bytes.load(Ordering::Relaxed);
                let (table, limit_bytes) = (table.to_owned(), self.limit_bytes);
                return Err(Error::DirectoryTooLarge { table, needed_bytes: bytes, used_bytes, limit_bytes });
            }
        }
        Ok(DirectoryBytes { budget: Arc::clone(self), bytes })
    }

    fn try_take(&self, bytes: u64) -> bool {
        let taken = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.limit_bytes)
        });
        taken.is_ok()
    }

    /// Drops the directories that no query uses.
    fn drop_unused(&self) {
        let holders: Vec<_> = self.holders.lock().iter().filter_map(Weak::upgrade).collect();
        holders.iter().for_each(|holder| holder.drop_unused());
    }
}

impl DirectoryBytes {
    /// Gives back what turned out not to be needed.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.bytes, "a directory takes what it was let in for: {bytes} of {}", self.bytes);
        let freed = self.bytes.saturating_sub(bytes);
        self.budget.used_bytes.fetch_sub(freed, Ordering::Relaxed);
        self.bytes -= freed;
    }
}

impl Drop for DirectoryBytes {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
