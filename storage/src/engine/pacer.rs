//! Spreads work over time: so many bytes per second, counted from its beginning.

use std::cell::Cell;
use std::time::Duration;

/// The longest pause at once: a clock that jumps costs no more.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How far work is ahead of its rate. For one thread.
#[derive(Debug)]
pub(super) struct Pacer {
    bytes_per_s_max: u64,
    started_ns: i64,
    bytes: Cell<u64>,
}

impl Pacer {
    /// Begins at `now_ns`.
    pub(super) fn new(bytes_per_s_max: u64, now_ns: i64) -> Self {
        Self { bytes_per_s_max: bytes_per_s_max.max(1), started_ns: now_ns, bytes: Cell::new(0) }
    }

    /// Counts bytes that were worked on; returns how long to pause before the next ones.
    pub(super) fn add(&self, bytes: u64, now_ns: i64) -> Duration {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        let due_ns = u128::from(self.bytes.get()) * 1_000_000_000 / u128::from(self.bytes_per_s_max);
        let elapsed_ns = u128::try_from(i128::from(now_ns) - i128::from(self.started_ns)).unwrap_or(0);
        let ahead_ns = u64::try_from(due_ns.saturating_sub(elapsed_ns)).unwrap_or(u64::MAX);
        Duration::from_nanos(ahead_ns).min(PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_pauses_as_long_as_it_is_ahead_of_its_rate() {
        const SECOND_NS: i64 = 1_000_000_000;
        let pacer = Pacer::new(1_000, 50);
        assert_eq!(pacer.add(100, 50), Duration::from_millis(100));
        assert_eq!(pacer.add(100, 50 + SECOND_NS / 10), Duration::from_millis(100));
        assert_eq!(pacer.add(100, 50 + SECOND_NS), Duration::ZERO);
        assert_eq!(pacer.add(u64::MAX, 50), PAUSE_MAX);
        assert_eq!(pacer.add(0, i64::MIN), PAUSE_MAX, "a clock that went back");
    }
}
