//! How much of a flood of events is kept: a state machine over four rates.
//!
//! Under pressure an event table that opts in keeps fewer rows, and each kept row carries its weight, so that the sum of the
//! weights estimates how many came. Pressure is the largest of three ratios: rows that would be kept per second, the 95th
//! percentile of write latency, and the part of writes that fail, each to its bound. Over its bound the rate falls a step at
//! a time, each given time to show its effect, and at once to the least rate when it is far over. It rises a step when all
//! has been calm for long, and the next rate would still be within the bounds: without these two distances between falling
//! and rising it would swing.
//!
//! Pure: what was measured and the time come in as parameters. One sampler belongs to one table; who shares it locks it.

use std::time::Duration;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SamplingRate {
    /// One row of a hundred.
    Percent1,
    /// One row of twenty.
    Percent5,
    /// One row of five.
    Percent20,
    /// Every row.
    Percent100,
}

impl SamplingRate {
    /// Every rate, the least first.
    pub const ALL: [Self; 4] = [Self::Percent1, Self::Percent5, Self::Percent20, Self::Percent100];

    /// Rows of a hundred that are kept.
    pub fn percent(self) -> u64 {
        match self {
            Self::Percent1 => 1,
            Self::Percent5 => 5,
            Self::Percent20 => 20,
            Self::Percent100 => 100,
        }
    }

    /// How many rows a kept one stands for.
    pub fn weight(self) -> u64 {
        100 / self.percent()
    }

    /// Whether a row is kept, by a hash of what makes it the same row when it is sent again: a repetition meets the same
    /// fate, and what a rate keeps the higher ones keep too.
    pub fn keeps(self, row_hash: u64) -> bool {
        row_hash % 100 < self.percent()
    }

    fn lower(self) -> Self {
        match self {
            Self::Percent1 | Self::Percent5 => Self::Percent1,
            Self::Percent20 => Self::Percent5,
            Self::Percent100 => Self::Percent20,
        }
    }

    fn higher(self) -> Self {
        match self {
            Self::Percent1 => Self::Percent5,
            Self::Percent5 => Self::Percent20,
            Self::Percent20 | Self::Percent100 => Self::Percent100,
        }
    }
}

/// What was measured lately.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingLoad {
    /// Rows per second that came, kept or not.
    pub rows_per_second: f64,
    /// The 95th percentile of write latency.
    pub write_p95: Duration,
    /// Writes that failed, of all, from 0 to 1.
    pub error_rate: f64,
}

/// When the rate changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingOptions {
    /// Rows per second that may be kept.
    pub rows_per_second_max: f64,
    /// The bound of the 95th percentile of write latency.
    pub write_p95_max: Duration,
    /// The bound of failing writes, from 0 to 1.
    pub error_rate_max: f64,
    /// After a change, this long passes before the rate falls further.
    pub settle: Duration,
    /// Calm has to last this long before the rate rises.
    pub calm: Duration,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            rows_per_second_max: 100_000.0,
            write_p95_max: Duration::from_millis(250),
            error_rate_max: 0.01,
            settle: Duration::from_secs(5),
            calm: Duration::from_secs(60),
        }
    }
}

/// Pressure from which on the rate falls to the least at once.
const FLOOD: f64 = 10.0;
/// Latency and errors below this part of their bounds are calm.
const CALM: f64 = 0.5;

/// The state machine; see the module.
#[derive(Debug, Clone)]
pub struct AdaptiveSampler {
    options: SamplingOptions,
    rate: SamplingRate,
    /// When the rate changed, as time since any fixed moment.
    changed: Option<Duration>,
    calm_since: Option<Duration>,
}

impl AdaptiveSampler {
    /// A sampler that keeps everything until it learns of pressure.
    pub fn new(options: SamplingOptions) -> Self {
        Self { options, rate: SamplingRate::Percent100, changed: None, calm_since: None }
    }

    /// The rate now.
    pub fn rate(&self) -> SamplingRate {
        self.rate
    }

    /// Takes a measurement at a time since any fixed moment, and says the rate from then on. Times that go back count as
    /// no time.
    pub fn observe(&mut self, load: &SamplingLoad, now: Duration) -> SamplingRate {
        let strain = self.strain(load);
        let pressure = self.volume(load, self.rate).max(strain);
        let has_settled = self.changed.is_none_or(|changed| now.saturating_sub(changed) >= self.options.settle);
        let next = self.rate.higher();
        if pressure > 1.0 {
            self.calm_since = None;
            if has_settled {
                let lower = if pressure >= FLOOD { SamplingRate::Percent1 } else { self.rate.lower() };
                self.change(lower, now);
            }
        } else if strain < CALM && self.volume(load, next) <= 1.0 {
            let since = *self.calm_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.options.calm {
                self.change(next, now);
            }
        } else {
            // Neither: as it is.
            self.calm_since = None;
        }
        self.rate
    }

    fn change(&mut self, rate: SamplingRate, now: Duration) {
        if rate != self.rate {
            self.rate = rate;
            self.changed = Some(now);
            self.calm_since = None;
        }
    }

    /// Rows that a rate would keep, as a part of the bound.
    fn volume(&self, load: &SamplingLoad, rate: SamplingRate) -> f64 {
        load.rows_per_second * rate.percent() as f64 / 100.0 / self.options.rows_per_second_max
    }

    fn strain(&self, load: &SamplingLoad) -> f64 {
        let latency = load.write_p95.as_secs_f64() / self.options.write_p95_max.as_secs_f64();
        latency.max(load.error_rate / self.options.error_rate_max)
    }
}

#[cfg(test)]
mod tests {
    use super::SamplingRate::{Percent1, Percent5, Percent20, Percent100};
    use super::*;

    /// Seconds, rows per second, P95 in milliseconds, failing writes of 1,000, and the rate after it.
    type Step = (u64, f64, u64, f64, SamplingRate);

    fn follow(steps: &[Step]) {
        let mut sampler = AdaptiveSampler::new(SamplingOptions::default());
        for (number, &(second, rows_per_second, p95_ms, failing, expected)) in steps.iter().enumerate() {
            let load = SamplingLoad {
                rows_per_second,
                write_p95: Duration::from_millis(p95_ms),
                error_rate: failing / 1_000.0,
            };
            let rate = sampler.observe(&load, Duration::from_secs(second));
            assert_eq!(rate, expected, "step {number} of {steps:?}");
        }
    }

    #[test]
    fn the_rate_falls_by_steps_that_may_show_their_effect() {
        // 250,000 rows: a fifth of them fits, all do not.
        follow(&[
            (0, 50_000.0, 10, 0.0, Percent100),
            (1, 250_000.0, 10, 0.0, Percent20),
            (2, 250_000.0, 10, 0.0, Percent20),
        ]);
        // 900,000: a twentieth fits.
        follow(&[
            (0, 900_000.0, 10, 0.0, Percent20),
            (4, 900_000.0, 10, 0.0, Percent20),
            (5, 900_000.0, 10, 0.0, Percent5),
            (10, 900_000.0, 10, 0.0, Percent5),
        ]);
    }

    #[test]
    fn each_cause_alone_is_enough_and_only_above_its_bound() {
        follow(&[(0, 100_000.0, 250, 10.0, Percent100)]);
        follow(&[(0, 100_001.0, 0, 0.0, Percent20)]);
        follow(&[(0, 0.0, 251, 0.0, Percent20)]);
        follow(&[(0, 0.0, 0, 10.1, Percent20)]);
    }

    #[test]
    fn a_flood_goes_to_the_least_rate_at_once_and_there_is_none_below() {
        follow(&[
            (0, 1_000_000.0, 10, 0.0, Percent1),
            (5, 50_000_000.0, 10, 0.0, Percent1),
            (10, 50_000_000.0, 9_000, 900.0, Percent1),
        ]);
    }

    #[test]
    fn the_rate_rises_a_step_after_long_calm_each_time() {
        follow(&[
            (0, 1_000_000.0, 10, 0.0, Percent1),
            (10, 1_000.0, 10, 0.0, Percent1),
            (69, 1_000.0, 10, 0.0, Percent1),
            (70, 1_000.0, 10, 0.0, Percent5),
            (71, 1_000.0, 10, 0.0, Percent5),
            (130, 1_000.0, 10, 0.0, Percent5),
            (131, 1_000.0, 10, 0.0, Percent20),
            (200, 1_000.0, 10, 0.0, Percent20),
            (260, 1_000.0, 10, 0.0, Percent100),
        ]);
    }

    #[test]
    fn what_is_between_calm_and_pressure_changes_nothing_and_starts_the_calm_anew() {
        follow(&[
            (0, 0.0, 300, 0.0, Percent20),
            (10, 0.0, 100, 0.0, Percent20),
            (60, 0.0, 130, 0.0, Percent20),
            (71, 0.0, 100, 0.0, Percent20),
            (130, 0.0, 100, 0.0, Percent20),
            (131, 0.0, 100, 0.0, Percent100),
        ]);
        // Calm, but the next rate would be too much: it would only fall again.
        follow(&[
            (0, 200_000.0, 10, 0.0, Percent20),
            (100, 200_000.0, 10, 0.0, Percent20),
            (500, 200_000.0, 10, 0.0, Percent20),
        ]);
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        follow(&[
            (100, 0.0, 300, 0.0, Percent20),
            (1, 0.0, 300, 0.0, Percent20),
            (2, 0.0, 10, 0.0, Percent20),
            (61, 0.0, 10, 0.0, Percent20),
        ]);
    }

    #[test]
    fn weights_of_kept_rows_estimate_how_many_came() {
        let rows = 100_000_u64;
        // Any hash will do: a counter through a mixer.
        let hash = |row: u64| row.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31) ^ row;
        for rate in [Percent1, Percent5, Percent20, Percent100] {
            let kept = (0..rows).filter(|row| rate.keeps(hash(*row))).count() as u64;
            let estimate = (kept * rate.weight()) as f64;
            assert!((estimate / rows as f64 - 1.0).abs() < 0.1, "{rate:?}: {estimate}");
        }
        assert!((0..rows).all(|row| !Percent1.keeps(hash(row)) || Percent5.keeps(hash(row))));
    }
}
