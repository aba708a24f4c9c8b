//! Retention and compaction: what is due, in that order, so that nothing expired is rewritten.
//!
//! One run at a time, on the maintenance thread or by a caller. A failure is logged and tried again at the next turn; the
//! rows are safe either way.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::compaction::Effort;
use super::core::Core;
use super::task_log::{TaskKind, TaskResult};
use crate::error::{Error, Result};

/// Without a flush the thread looks this often for partitions that expired or were left alone.
const TURN: Duration = Duration::from_secs(60);

/// Starts the thread. It keeps the core alive until [`WorkSignal::stop`](super::signal::WorkSignal::stop).
pub(super) fn spawn(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(core);
    std::thread::Builder::new()
        .name("lynxstore-compact".into())
        .spawn(move || {
            while shared.maintenance_signal.wait(Some(TURN)) {
                match shared.maintain(Effort::Background) {
                    Ok(()) | Err(Error::Closed) => {}
                    Err(error) => tracing::warn!(%error, "background work failed; it will be tried again"),
                }
            }
        })
        .map_err(|source| Error::io("start a thread for", &core.store.dir.root, source))
}

impl Core {
    /// Does what is due: retention, then compactions until none pays. Ends early when the engine closes.
    pub(super) fn maintain(&self, effort: Effort) -> Result<()> {
        let mut compactor = self.maintenance.lock();
        // Leases end without a word: this is the turn that finds out.
        self.store.release_retired();
        let now_ns = (self.store.options.clock)();
        self.tasks.run(TaskKind::Retention, || {
            let rows = self.store.apply_retention(now_ns)?;
            Ok::<_, Error>((rows > 0).then_some(TaskResult { rows, ..TaskResult::default() }))
        })?;
        while !self.maintenance_signal.is_stopped() {
            let done = self.tasks.run(TaskKind::Compaction, || {
                let outcome = self.store.compact_once(&mut compactor, effort, now_ns)?;
                Ok::<_, Error>(outcome.map(|outcome| TaskResult {
                    bytes_in: outcome.bytes_in,
                    bytes_out: outcome.bytes_out,
                    rows: outcome.rows_out,
                }))
            })?;
            if done.is_none() {
                break;
            }
        }
        Ok(())
    }
}
