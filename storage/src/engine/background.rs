//! The thread that flushes full memtables.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::core::Core;
use crate::error::{Error, Result};

/// A failed flush is tried again after this long; its memtable stays readable and its WAL files stay.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Starts the thread. It keeps the core alive until [`WorkSignal::stop`](super::signal::WorkSignal::stop).
pub(super) fn spawn(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(core);
    std::thread::Builder::new()
        .name("lynxstore-flush".into())
        .spawn(move || run(&shared))
        .map_err(|source| Error::io("start a thread for", &core.store.dir.root, source))
}

fn run(core: &Core) {
    while core.flush_signal.wait(None) {
        if !core.is_flush_due() {
            // Asked for again while the last flush ran, which took the rows along.
            continue;
        }
        if let Err(error) = core.flush() {
            tracing::warn!(%error, "flush failed; it will be tried again");
            core.flush_signal.pause(RETRY_DELAY);
            core.flush_signal.request();
        }
    }
}
