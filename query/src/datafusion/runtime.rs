//! The tokio runtime on which DataFusion runs, and the bridge to it from any thread.
//!
//! One runtime per process, made at the first statement and never shut down. Callers block on a standard channel and
//! never on tokio, so that they may stand inside another runtime. A caller that goes away drops its end of the channel,
//! which ends the task at its next send.

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cancellation::Cancellation;
use crate::error::{Error, Result};

/// DataFusion's planner recurses; deep plans need more than the default 2 MiB. Only touched pages are memory.
const THREAD_STACK_BYTES: usize = 8 << 20;
/// How long a statement that yields no rows yet may run on after it was cancelled.
const CANCELLATION_PERIOD: Duration = Duration::from_millis(20);
/// Items that may wait for the caller.
const ITEMS_IN_FLIGHT: usize = 4;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
/// Held while the runtime is made, because a failure to make it must be reported and tried again.
static STARTING: Mutex<()> = Mutex::new(());

fn runtime() -> Result<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _starting = STARTING.lock();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(THREAD_STACK_BYTES)
        .thread_name("lynx-query")
        .enable_time()
        .build()
        .map_err(|error| Error::execution(format!("cannot start threads for the query: {error}")))?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// The task's end of the bridge.
pub(super) struct Sender<T> {
    items: mpsc::Sender<(T, OwnedSemaphorePermit)>,
    in_flight: Arc<Semaphore>,
}

impl<T> Sender<T> {
    /// Hands an item to the caller, waiting while it has too many; `false` when the caller is gone.
    pub(super) async fn send(&self, item: T) -> bool {
        match Arc::clone(&self.in_flight).acquire_owned().await {
            Ok(permit) => self.items.send((item, permit)).is_ok(),
            Err(_) => false,
        }
    }
}

/// Runs `task` on the runtime and gives every item that it sends to `sink` on this thread, until the task ends, `sink`
/// fails or the statement is cancelled.
///
/// # Errors
/// What the task or `sink` fails with; `Cancelled`.
pub(super) fn drive<T, F, Fut>(
    task: F,
    cancellation: &Cancellation,
    mut sink: impl FnMut(T) -> Result<()>,
) -> Result<()>
where
    T: Send + 'static,
    F: FnOnce(Sender<T>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let (items, received) = mpsc::channel();
    let (result_sender, result) = mpsc::channel();
    let sender = Sender { items, in_flight: Arc::new(Semaphore::new(ITEMS_IN_FLIGHT)) };
    let handle = runtime()?.spawn(async move {
        let outcome = task(sender).await;
        // A caller that is gone does not want to know.
        let _ = result_sender.send(outcome);
    });
    loop {
        let step = match received.recv_timeout(CANCELLATION_PERIOD) {
            Ok((item, permit)) => {
                drop(permit);
                cancellation.check().and_then(|()| sink(item))
            }
            Err(RecvTimeoutError::Timeout) => cancellation.check(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = step {
            handle.abort();
            return Err(error);
        }
    }
    // Both senders are gone without a result only when the task panicked.
    result.recv().unwrap_or_else(|_| Err(Error::execution("the query stopped on an internal error; please report it")))
}
