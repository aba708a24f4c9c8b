//! The values of the earliest and the latest row of a group.

/// First and last value of a group by time, as keys that compare like the values.
///
/// At equal times the least value is the first and the greatest the last, so that neither the order of rows nor their
/// division over threads matters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    is_set: bool,
    first: (i64, i64),
    last: (i64, i64),
}

impl Ends {
    /// Of no row.
    pub(super) const EMPTY: Self = Self { is_set: false, first: (0, 0), last: (0, 0) };

    /// Of rows whose outermost ones are these; each is a time and a key.
    pub(super) fn of(first: (i64, i64), last: (i64, i64)) -> Self {
        Self { is_set: true, first, last }
    }

    /// Adds other rows.
    pub(super) fn merge(&mut self, other: &Self) {
        if !other.is_set {
            return;
        }
        if !self.is_set {
            *self = *other;
            return;
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// The key of the first value.
    pub(super) fn first_key(&self) -> i64 {
        self.first.1
    }

    /// The key of the last value.
    pub(super) fn last_key(&self) -> i64 {
        self.last.1
    }
}
