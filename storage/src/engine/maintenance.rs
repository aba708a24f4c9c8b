//! Retention and compaction: what is due, in that order, so that nothing expired is rewritten.
//!
//! One run at a time, on the maintenance thread or by a caller. A failure is logged and tried again at the next turn; the
//! rows are safe either way.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::compaction::Effort;
use super::core::Core;
use super::task_log::{TaskKind, TaskResult};
use crate::error::{Error, Result};

/// Without a flush the thread looks this often for partitions that expired or were left alone.
const TURN: Duration = Duration::from_secs(60);

/// Wakes the maintenance thread after a flush, or ends it.
#[derive(Debug, Default)]
pub(super) struct MaintenanceSignal {
    request: Mutex<Request>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Request {
    #[default]
    Idle,
    Turn,
    Stop,
}

impl MaintenanceSignal {
    pub(super) fn request_turn(&self) {
        let mut request = self.request.lock();
        if *request == Request::Idle {
            *request = Request::Turn;
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        *self.request.lock() = Request::Stop;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.request.lock() == Request::Stop
    }

    /// Waits for a request or the next turn; `false` when the thread must end.
    fn wait(&self) -> bool {
        let mut request = self.request.lock();
        self.changed.wait_while_for(&mut request, |request| *request == Request::Idle, TURN);
        if *request == Request::Stop {
            return false;
        }
        *request = Request::Idle;
        true
    }
}

/// Starts the thread. It keeps the core alive until [`MaintenanceSignal::stop`].
pub(super) fn spawn(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(core);
    std::thread::Builder::new()
        .name("lynxstore-compact".into())
        .spawn(move || {
            while shared.maintenance_signal.wait() {
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
