//! Keeps a flood of failing requests from becoming a flood of log lines.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// At most one line in this time; the metrics have the true numbers.
const INTERVAL: Duration = Duration::from_secs(5);

/// Says when a line about failing requests may be written.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    last: Mutex<Option<Instant>>,
}

impl LogLimit {
    /// Whether a line may be written now.
    pub(super) fn allows(&self) -> bool {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> bool {
        let mut last = self.last.lock();
        let allows = last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        if allows {
            *last = Some(now);
        }
        allows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        assert!(limit.allows_at(start));
        assert!(!limit.allows_at(start + INTERVAL / 2));
        assert!(limit.allows_at(start + INTERVAL));
        assert!(!limit.allows_at(start));
    }
}
