//! A range of time in nanoseconds since the epoch, closed at both ends so that `i64::MAX` is a time like any other.

/// Times from `start_ns` to `end_ns`, both included. Empty when `start_ns > end_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First time in the range.
    pub start_ns: i64,
    /// Last time in the range.
    pub end_ns: i64,
}

impl TimeRange {
    /// Every time.
    pub const ALL: Self = Self { start_ns: i64::MIN, end_ns: i64::MAX };

    /// Whether no time is in the range.
    pub fn is_empty(self) -> bool {
        self.start_ns > self.end_ns
    }

    /// Whether `time_ns` is in the range.
    pub fn contains(self, time_ns: i64) -> bool {
        self.start_ns <= time_ns && time_ns <= self.end_ns
    }

    /// Whether every time of `other` is in the range.
    pub fn covers(self, other: Self) -> bool {
        self.start_ns <= other.start_ns && other.end_ns <= self.end_ns
    }

    /// Whether the ranges share a time.
    pub fn overlaps(self, other: Self) -> bool {
        self.start_ns <= other.end_ns && other.start_ns <= self.end_ns
    }

    /// The times in both ranges.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self { start_ns: self.start_ns.max(other.start_ns), end_ns: self.end_ns.min(other.end_ns) }
    }
}
