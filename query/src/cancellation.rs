//! Ending a statement before it is done: because its caller wants it, or because its time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Cancels a running statement from another thread.
#[derive(Debug, Clone, Default)]
pub struct Cancellation {
    is_cancelled: Arc<AtomicBool>,
    /// That of the statement around a part of it.
    outer: Option<Arc<AtomicBool>>,
    deadline: Option<Deadline>,
}

#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    time_max: Duration,
}

impl Cancellation {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the statement to stop; it fails with [`Error::Cancelled`] within a tenth of a second.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// The same token with a deadline from now on, where there is one.
    pub(crate) fn within(&self, time_max: Option<Duration>) -> Self {
        let deadline = time_max.and_then(|time_max| {
            // A deadline beyond the end of the clock is none.
            Instant::now().checked_add(time_max).map(|at| Deadline { at, time_max })
        });
        Self { deadline, ..self.clone() }
    }

    /// The token of a part of the statement, which can be cancelled alone.
    #[cfg(feature = "datafusion")]
    pub(crate) fn child(&self) -> Self {
        Self { is_cancelled: Arc::default(), outer: Some(Arc::clone(&self.is_cancelled)), deadline: self.deadline }
    }

    /// Fails when the statement was cancelled, or its time is over.
    pub(crate) fn check(&self) -> Result<()> {
        let is_set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        if is_set(&self.is_cancelled) || self.outer.as_ref().is_some_and(is_set) {
            return Err(Error::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline.at => Err(Error::LimitExceeded {
                what: "the run time in milliseconds",
                limit: u64::try_from(deadline.time_max.as_millis()).unwrap_or(u64::MAX),
                hint: "narrow the time range or select less, or raise time_max",
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_an_error_that_names_its_setting_and_leaves_the_token_alone() {
        let token = Cancellation::new();
        let late = token.within(Some(Duration::ZERO));
        assert!(late.check().unwrap_err().to_string().contains("time_max"));
        assert!(token.check().is_ok() && token.within(None).check().is_ok());
        assert!(token.within(Some(Duration::MAX)).check().is_ok());
        token.cancel();
        assert!(matches!(late.check(), Err(Error::Cancelled)));
    }
}
