//! So many per time, with a burst: a bucket that fills as time goes by. Belongs to whoever holds its lock.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    level: f64,
    filled: Option<Instant>,
}

/// How fast a bucket fills, and up to where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill {
    pub(super) per_second: f64,
    pub(super) burst: f64,
}

impl Bucket {
    /// Takes `wanted` more for someone who holds `held` already. One that is full gives more than it holds, and owes it: a
    /// request that is larger than the burst is slow, not impossible.
    pub(super) fn take(&mut self, held: f64, wanted: f64, fill: Fill, now: Instant) -> Result<(), Duration> {
        let Fill { per_second, burst } = fill;
        let elapsed = self.filled.map(|filled| now.saturating_duration_since(filled).as_secs_f64());
        self.level = elapsed.map_or(burst, |elapsed| (self.level + elapsed * per_second).min(burst));
        self.filled = Some(now);
        let needed = (held + wanted).min(burst) - held.min(burst);
        if self.level < needed {
            return Err(Duration::from_secs_f64((needed - self.level) / per_second));
        }
        self.level -= wanted;
        Ok(())
    }

    /// Takes back what was not used.
    pub(super) fn give_back(&mut self, count: f64, fill: Fill) {
        self.level = (self.level + count).min(fill.burst);
    }
}
