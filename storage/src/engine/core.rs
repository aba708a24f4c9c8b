//! What the handle and the background threads share: the store and its write-ahead log.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::compaction::{Compactor, Mover};
use super::signal::WorkSignal;
use super::store::Store;
use super::task_log::TaskLog;
use crate::error::{Error, Result};
use crate::wal::WalWriter;

/// The engine without its threads and its directory lock.
#[derive(Debug)]
pub(super) struct Core {
    /// Shared with the closures that the log runs when a commit is safe.
    pub(super) store: Arc<Store>,
    pub(super) wal: WalWriter,
    /// Held for a whole flush.
    pub(super) flush: Mutex<()>,
    pub(super) flush_signal: WorkSignal,
    /// Compactions and retention, one at a time.
    pub(super) maintenance: Mutex<Compactor>,
    pub(super) maintenance_signal: WorkSignal,
    /// Moves to other tiers, one at a time but for those by hand.
    pub(super) mover: Mutex<Mover>,
    pub(super) move_signal: WorkSignal,
    /// Changes of tables since the open.
    pub(super) table_changes: AtomicU64,
    pub(super) tasks: TaskLog,
    /// Shared by writes; held alone while the type of a column changes, when no row of the old type may be in memory.
    pub(super) widening: RwLock<()>,
    /// Read-locked by every call that changes something, for as long as it runs: the directory is not given free while
    /// one is under way.
    pub(super) closed: RwLock<bool>,
}

impl Core {
    /// Keeps the engine open until the guard is dropped.
    ///
    /// # Errors
    /// `Closed`.
    pub(super) fn stay_open(&self) -> Result<RwLockReadGuard<'_, bool>> {
        let closed = self.closed.read();
        if *closed { Err(Error::Closed) } else { Ok(closed) }
    }
}
