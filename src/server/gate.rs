//! A gate in front of work: so many at a time, so many waiting, for so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The gate is full: the caller should come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overloaded;

/// Admits a bounded number of jobs at a time; a bounded number of others wait, each for a bounded time.
#[derive(Debug)]
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    slots_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait_max: Duration,
}

impl Gate {
    pub(super) fn new(slots: usize, waiting_max: usize, wait_max: Duration) -> Self {
        let slots_max = slots.max(1);
        let slots = Arc::new(Semaphore::new(slots_max));
        Self { slots, slots_max, waiting: AtomicUsize::new(0), waiting_max, wait_max }
    }

    /// Waits for a slot, which is free again when the permit is dropped. The permit goes with the job to its blocking
    /// thread: a client that hangs up frees its slot only when the job is done.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, Overloaded> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = self.join_queue().ok_or(Overloaded)?;
        match tokio::time::timeout(self.wait_max, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Overloaded),
        }
    }

    /// Jobs that run.
    pub(super) fn running(&self) -> usize {
        self.slots_max - self.slots.available_permits()
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn join_queue(&self) -> Option<Waiting<'_>> {
        let joined = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
            (waiting < self.waiting_max).then_some(waiting + 1)
        });
        joined.is_ok().then(|| Waiting(&self.waiting))
    }
}

/// A place in the queue; given back also when the future that waits is dropped.
struct Waiting<'g>(&'g AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_over_the_slots_wait_and_jobs_over_the_queue_are_refused() {
        let gate = Arc::new(Gate::new(1, 1, Duration::from_secs(600)));
        let running = gate.enter().await.unwrap();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await.map(drop) }
        });
        while gate.waiting.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter().await.unwrap_err(), Overloaded);
        drop(running);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!(gate.waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_job_that_waits_too_long_is_refused() {
        let gate = Gate::new(1, 1, Duration::ZERO);
        let _running = gate.enter().await.unwrap();
        assert_eq!(gate.enter().await.unwrap_err(), Overloaded);
        assert_eq!(gate.waiting.load(Ordering::Acquire), 0);
    }
}
