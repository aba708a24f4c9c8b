//! What a batch writer is told at its start.

use std::time::Duration;

use crate::ingest::rows::RowOptions;

/// What a producer meets when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits for room.
    #[default]
    Block,
    /// It gets [`Busy`](crate::ErrorKind::Busy) and keeps the row.
    Fail,
}

/// How a commit is tried again when the engine has no memory for it. Every other failure is final: a log that failed must
/// be reopened, and a bad row stays bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; then the rows are given up, counted and logged.
    pub attempts_max: u32,
    /// Pause after the first attempt; it doubles with each further one. The real pause is between half of it and all of
    /// it, at random, so that writers do not come back together.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts_max: 10, pause: Duration::from_millis(50), pause_max: Duration::from_secs(5) }
    }
}

impl Retry {
    /// The pause after an attempt, counted from 1; `random` is any number.
    pub(super) fn pause_after(&self, attempt: u32, random: u64) -> Duration {
        let doubled = 2_u32.checked_pow(attempt.saturating_sub(1)).and_then(|factor| self.pause.checked_mul(factor));
        let whole = doubled.map_or(self.pause_max, |pause| pause.min(self.pause_max));
        let part = (random % 1_024) as u32;
        whole / 2 + whole / 2 * part / 1_024
    }
}

/// Options of a batch writer.
#[derive(Debug, Clone)]
pub struct BatchWriterOptions {
    /// Rows that wait in the queue.
    pub queue_rows_max: usize,
    /// Rows that are written together at the latest.
    pub flush_rows: usize,
    /// How long a row waits for others at the most before it is written.
    pub linger: Duration,
    /// What a producer meets when the queue is full.
    pub when_full: WhenFull,
    /// What happens when memory is full.
    pub retry: Retry,
    /// How rows are taken: the rule for duplicates of new tables, a deduplication key.
    pub rows: RowOptions,
}

impl Default for BatchWriterOptions {
    fn default() -> Self {
        Self {
            queue_rows_max: 10_000,
            flush_rows: 500,
            linger: Duration::from_millis(200),
            when_full: WhenFull::default(),
            retry: Retry::default(),
            rows: RowOptions::default(),
        }
    }
}
