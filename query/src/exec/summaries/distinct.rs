//! The different values of a group, exactly.
//!
//! Keys that lie close together are marked in a window of counts, others stand in a set; which of the two depends on
//! the order in which they came, their number does not.

use hashbrown::HashSet;

use super::multiset::WINDOW_KEYS_MAX;
use super::tally::{Tally, bounds_of};

/// A window has at most this many keys for each that was added, so that small groups stay small.
const WINDOW_KEYS_PER_KEY: usize = 4;

/// The different keys of a group.
#[derive(Debug, Clone)]
pub(crate) enum DistinctKeys {
    /// A set with its bounds.
    Set { keys: HashSet<i64>, bounds: Option<(i64, i64)> },
    /// Keys that lie close together.
    Window(Tally),
}

impl Default for DistinctKeys {
    fn default() -> Self {
        Self::Set { keys: HashSet::new(), bounds: None }
    }
}

impl DistinctKeys {
    /// Number of different keys.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Set { keys, .. } => keys.len() as u64,
            Self::Window(tally) => tally.distinct(),
        }
    }

    /// Adds keys.
    pub(crate) fn add_all(&mut self, added: &[i64]) {
        let Some((low, high)) = bounds_of(added) else { return };
        match self {
            Self::Set { keys, bounds } => {
                let (low, high) = bounds.map_or((low, high), |(first, last)| (low.min(first), high.max(last)));
                *bounds = Some((low, high));
                let window = i128::from(high) - i128::from(low) + 1;
                let allowed = (keys.len() + added.len()).saturating_mul(WINDOW_KEYS_PER_KEY).min(WINDOW_KEYS_MAX);
                if window <= allowed as i128 {
                    let known: Vec<i64> = keys.iter().copied().collect();
                    let mut tally = Tally::default();
                    if let Some((first, last)) = bounds_of(&known) {
                        tally.add_all(&known, first, last);
                    }
                    *self = Self::Window(tally);
                    self.add_all(added);
                } else {
                    keys.extend(added);
                }
            }
            Self::Window(tally) => {
                let keys = (tally.total() as usize).saturating_add(added.len());
                let allowed = keys.saturating_mul(WINDOW_KEYS_PER_KEY).min(WINDOW_KEYS_MAX);
                if tally.window_with(low, high).is_some_and(|window| window <= allowed) {
                    tally.add_all(added, low, high);
                    return;
                }
                let bounds = tally.bounds().map(|(first, last)| (low.min(first), high.max(last)));
                let mut keys: HashSet<i64> = tally.iter().map(|(key, _)| key).collect();
                keys.extend(added);
                *self = Self::Set { keys, bounds };
            }
        }
    }

    /// Adds the keys of another group.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Window(mine), Self::Window(tally))
                if tally.bounds().is_none_or(|(low, high)| {
                    mine.window_with(low, high).is_some_and(|window| window <= WINDOW_KEYS_MAX)
                }) =>
            {
                mine.merge(tally);
            }
            (_, Self::Window(tally)) => self.add_all(&tally.iter().map(|(key, _)| key).collect::<Vec<_>>()),
            (_, Self::Set { keys, .. }) => self.add_all(&keys.iter().copied().collect::<Vec<_>>()),
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Set { keys, .. } => keys.allocation_size(),
            Self::Window(tally) => tally.heap_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_keys_does_not_depend_on_order_or_parts() {
        let near: Vec<i64> = (0..4_000).map(|i| i * 37 % 300).collect();
        let far: Vec<i64> = (0..1_000).map(|i| i % 500 * 10_000_019).collect();
        for order in [[&near, &far], [&far, &near]] {
            let mut whole = DistinctKeys::default();
            let mut parts = DistinctKeys::default();
            for keys in order {
                keys.chunks(64).for_each(|keys| whole.add_all(keys));
                let mut part = DistinctKeys::default();
                keys.iter().for_each(|key| part.add_all(&[*key]));
                parts.merge(&part);
            }
            assert_eq!((whole.len(), parts.len()), (799, 799));
        }
        let mut ends = DistinctKeys::default();
        ends.add_all(&near);
        ends.add_all(&[i64::MIN, i64::MAX]);
        assert_eq!(ends.len(), 302);
    }
}
