//! What the handle and the background thread share: the store and its write-ahead log.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::background::FlushSignal;
use super::store::Store;
use crate::error::{Error, Result};
use crate::wal::WalWriter;

/// The engine without its thread and its directory lock.
#[derive(Debug)]
pub(super) struct Core {
    /// Shared with the closures that the log runs when a commit is safe.
    pub(super) store: Arc<Store>,
    pub(super) wal: WalWriter,
    /// Held for a whole flush.
    pub(super) flush: Mutex<()>,
    pub(super) flush_signal: FlushSignal,
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
