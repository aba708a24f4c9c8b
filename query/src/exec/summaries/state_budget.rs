//! The bytes that the summaries of one statement may take, over all of its threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Bytes in use and their bound.
#[derive(Debug)]
pub(crate) struct StateBudget {
    used: AtomicU64,
    bytes_max: u64,
}

impl StateBudget {
    /// A budget of which nothing is in use.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { used: AtomicU64::new(0), bytes_max }
    }

    /// Takes note that a thread that had reported `reported` bytes now has `bytes`.
    ///
    /// # Errors
    /// `LimitExceeded` when all threads together have more than is allowed.
    pub(crate) fn report(&self, reported: &mut u64, bytes: u64) -> Result<()> {
        if bytes == *reported {
            return Ok(());
        }
        let change = bytes.wrapping_sub(*reported);
        *reported = bytes;
        // Additions of differences modulo 2^64, so the sum is right in every order.
        let used = self.used.fetch_add(change, Ordering::Relaxed).wrapping_add(change);
        if used <= self.bytes_max {
            return Ok(());
        }
        Err(Error::LimitExceeded {
            what: "the memory for distinct values, percentiles and modes in bytes",
            limit: self.bytes_max,
            hint: "use approx_distinct or approx_percentile_cont, narrow the time range, or raise summary_bytes_max",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_one_bound() {
        let budget = StateBudget::new(100);
        let (mut left, mut right) = (0, 0);
        budget.report(&mut left, 60).unwrap();
        budget.report(&mut right, 40).unwrap();
        assert!(budget.report(&mut right, 41).is_err());
        budget.report(&mut left, 10).unwrap();
        budget.report(&mut right, 90).unwrap();
    }
}
