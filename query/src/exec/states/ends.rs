//! The values of the earliest and the latest row of a group.

/// First and last value of a group by time, as bits of their column.
///
/// At equal times the first row that was added is the first, and the last one the last, so adding series in their order
/// and merging partial results in theirs gives one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    is_set: bool,
    first_time_ns: i64,
    last_time_ns: i64,
    pub(super) first_bits: u64,
    pub(super) last_bits: u64,
}

impl Ends {
    /// Of no row.
    pub(super) const EMPTY: Self =
        Self { is_set: false, first_time_ns: 0, last_time_ns: 0, first_bits: 0, last_bits: 0 };

    /// Of rows that stand in time order, of which only the outermost matter.
    pub(super) fn of(first: (i64, u64), last: (i64, u64)) -> Self {
        Self { is_set: true, first_time_ns: first.0, last_time_ns: last.0, first_bits: first.1, last_bits: last.1 }
    }

    /// Adds rows that came later than those added so far, though perhaps with earlier times.
    pub(super) fn merge(&mut self, other: &Self) {
        if !other.is_set {
            return;
        }
        if !self.is_set {
            *self = *other;
            return;
        }
        if other.first_time_ns < self.first_time_ns {
            (self.first_time_ns, self.first_bits) = (other.first_time_ns, other.first_bits);
        }
        if other.last_time_ns >= self.last_time_ns {
            (self.last_time_ns, self.last_bits) = (other.last_time_ns, other.last_bits);
        }
    }
}
