//! The thread that flushes full memtables.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::core::Core;
use crate::error::{Error, Result};

/// A failed flush is tried again after this long; its memtable stays readable and its WAL files stay.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Asks the background thread for a flush, or to end.
#[derive(Debug, Default)]
pub(super) struct FlushSignal {
    request: Mutex<Request>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Request {
    #[default]
    Idle,
    Flush,
    Stop,
}

impl FlushSignal {
    pub(super) fn request_flush(&self) {
        let mut request = self.request.lock();
        if *request == Request::Idle {
            *request = Request::Flush;
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        *self.request.lock() = Request::Stop;
        self.changed.notify_all();
    }

    /// Waits for a request; `false` when the thread must end.
    fn wait(&self) -> bool {
        let mut request = self.request.lock();
        while *request == Request::Idle {
            self.changed.wait(&mut request);
        }
        let go_on = *request == Request::Flush;
        if go_on {
            *request = Request::Idle;
        }
        go_on
    }

    /// Waits for the end of `delay` or for `stop`.
    fn pause(&self, delay: Duration) {
        let mut request = self.request.lock();
        if *request != Request::Stop {
            // A flush that is asked for meanwhile does not shorten the pause: it would fail the same way.
            self.changed.wait_while_for(&mut request, |request| *request != Request::Stop, delay);
        }
    }
}

/// Starts the thread. It keeps the core alive until [`FlushSignal::stop`].
pub(super) fn spawn(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(core);
    std::thread::Builder::new()
        .name("lynxstore-flush".into())
        .spawn(move || run(&shared))
        .map_err(|source| Error::io("start a thread for", &core.store.dir.root, source))
}

fn run(core: &Core) {
    while core.flush_signal.wait() {
        if !core.is_flush_due() {
            // Asked for again while the last flush ran, which took the rows along.
            continue;
        }
        if let Err(error) = core.flush() {
            tracing::warn!(%error, "flush failed; it will be tried again");
            core.flush_signal.pause(RETRY_DELAY);
            core.flush_signal.request_flush();
        }
    }
}
