//! All keys of a group, exactly: what percentiles and the mode are read off.
//!
//! Keys that lie close together become counts in a window, others stay a list. Which of the two depends on the order
//! in which they came; what is read off does not.

use super::tally::{Tally, bounds_of};

/// Windows have at most this many keys: 512 KiB.
pub(crate) const WINDOW_KEYS_MAX: usize = 1 << 16;

/// A list becomes counts when its window has at most this many keys per entry.
const WINDOW_KEYS_PER_ENTRY: usize = 4;

/// Shorter lists stay lists.
const LIST_KEYS_MIN: usize = 32;

/// Keys, each as often as it was added.
#[derive(Debug, Clone)]
pub(crate) enum Multiset {
    /// As they came.
    List(Vec<i64>),
    /// Counted.
    Counts(Tally),
}

impl Default for Multiset {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Multiset {
    /// Number of keys.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::List(keys) => keys.len() as u64,
            Self::Counts(tally) => tally.total(),
        }
    }

    /// Adds keys.
    pub(crate) fn add_all(&mut self, keys: &[i64]) {
        let Some((low, high)) = bounds_of(keys) else { return };
        self.make_room(low, high, keys.len());
        match self {
            Self::List(list) => list.extend_from_slice(keys),
            Self::Counts(tally) => tally.add_all(keys, low, high),
        }
    }

    /// Adds a key `count` times.
    pub(crate) fn add(&mut self, key: i64, count: u64) {
        self.make_room(key, key, count as usize);
        match self {
            Self::List(list) => list.extend(std::iter::repeat_n(key, count as usize)),
            Self::Counts(tally) => tally.add(key, count),
        }
    }

    /// Chooses the form for `more` keys in `low..=high`.
    fn make_room(&mut self, low: i64, high: i64, more: usize) {
        match self {
            Self::List(list) => {
                let len = list.len() + more;
                // Asked when the list has grown by half, so that finding its bounds costs little per key.
                if len < LIST_KEYS_MIN || (!list.is_empty() && len < list.capacity()) {
                    return;
                }
                let (low, high) = bounds_of(list).map_or((low, high), |(first, last)| (low.min(first), high.max(last)));
                let window = usize::try_from(i128::from(high) - i128::from(low) + 1).unwrap_or(usize::MAX);
                if window <= WINDOW_KEYS_MAX && window / WINDOW_KEYS_PER_ENTRY <= len {
                    let mut tally = Tally::default();
                    if let Some((first, last)) = bounds_of(list) {
                        tally.add_all(list, first, last);
                    }
                    *self = Self::Counts(tally);
                }
            }
            Self::Counts(tally) => {
                let allowed = WINDOW_KEYS_PER_ENTRY * (tally.total() as usize).saturating_add(more);
                if tally.window_with(low, high).is_none_or(|window| window > WINDOW_KEYS_MAX.min(allowed)) {
                    let mut list = Vec::with_capacity(tally.total() as usize + more);
                    tally.iter().for_each(|(key, count)| list.extend(std::iter::repeat_n(key, count as usize)));
                    *self = Self::List(list);
                }
            }
        }
    }

    /// Adds the keys of another multiset.
    pub(crate) fn merge(&mut self, other: &Self) {
        match other {
            Self::List(keys) => self.add_all(keys),
            Self::Counts(tally) => match self {
                Self::Counts(mine)
                    if tally.bounds().is_none_or(|(low, high)| {
                        mine.window_with(low, high).is_some_and(|window| window <= WINDOW_KEYS_MAX)
                    }) =>
                {
                    mine.merge(tally);
                }
                Self::List(keys) if keys.is_empty() => *self = other.clone(),
                _ => tally.iter().for_each(|(key, count)| self.add(key, count)),
            },
        }
    }

    /// The keys at two positions of all in order, of which `low` is at most `high` and `high` below the length.
    pub(crate) fn at(&self, low: u64, high: u64) -> (i64, i64) {
        match self {
            Self::Counts(tally) => (tally.at(low), if low == high { tally.at(low) } else { tally.at(high) }),
            Self::List(keys) => {
                let mut keys = keys.clone();
                let (_, lower, above) = keys.select_nth_unstable(low as usize);
                let lower = *lower;
                // The two positions are neighbours, so the upper one is the least of what lies above.
                let upper = if high == low { lower } else { above.iter().copied().min().unwrap_or(lower) };
                (lower, upper)
            }
        }
    }

    /// The key that was added most often, of several the least.
    pub(crate) fn mode(&self) -> Option<i64> {
        let best = |best: Option<(i64, u64)>, (key, count): (i64, u64)| match best {
            Some((_, most)) if most >= count => best,
            _ => Some((key, count)),
        };
        let most = match self {
            Self::Counts(tally) => tally.iter().fold(None, best),
            Self::List(keys) => {
                let mut keys = keys.clone();
                keys.sort_unstable();
                keys.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u64)).fold(None, best)
            }
        };
        most.map(|(key, _)| key)
    }

    /// Keys with how often they were added; a key of a list comes as often as it stands there.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(i64, u64)) {
        match self {
            Self::List(keys) => keys.iter().for_each(|key| visit(*key, 1)),
            Self::Counts(tally) => tally.iter().for_each(|(key, count)| visit(key, count)),
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::List(keys) => keys.capacity() * size_of::<i64>(),
            Self::Counts(tally) => tally.heap_bytes(),
        }
    }
}

/// The positions between which the percentile `fraction` of `len` values lies, and how far it is from the lower one.
pub(crate) fn continuous_rank(fraction: f64, len: u64) -> (u64, u64, f64) {
    let position = fraction * (len - 1) as f64;
    let low = (position.floor() as u64).min(len - 1);
    let high = (position.ceil() as u64).min(len - 1);
    (low, high, position - low as f64)
}

/// The position of the first of `len` values at or below which the share `fraction` of them lies.
pub(crate) fn discrete_rank(fraction: f64, len: u64) -> u64 {
    ((fraction * len as f64).ceil() as u64).clamp(1, len) - 1
}

/// A value between two others.
pub(crate) fn between(low: f64, high: f64, share: f64) -> f64 {
    // Also where both are infinite, and without the rounding that equal values could suffer.
    if low == high || share == 0.0 { low } else { low + (high - low) * share }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(keys: &Multiset) -> Vec<i64> {
        let mut all = Vec::new();
        keys.for_each(|key, count| all.extend(std::iter::repeat_n(key, count as usize)));
        all.sort_unstable();
        all
    }

    #[test]
    fn a_multiset_holds_what_was_added_in_either_form() {
        let near: Vec<i64> = (0..3_000).map(|i| i % 50).collect();
        let far: Vec<i64> = (0..200).map(|i| i * 1_000_000_007).chain([i64::MIN, i64::MAX]).collect();
        for order in [[&near, &far], [&far, &near]] {
            let mut expected: Vec<i64> = near.iter().chain(&far).copied().collect();
            expected.sort_unstable();
            let mut at_once = Multiset::default();
            let mut parts = Multiset::default();
            for keys in order {
                at_once.add_all(keys);
                let mut part = Multiset::default();
                keys.iter().for_each(|key| part.add(*key, 1));
                parts.merge(&part);
            }
            for keys in [&at_once, &parts] {
                assert_eq!(sorted(keys), expected);
                assert_eq!(keys.len(), expected.len() as u64);
                assert_eq!(keys.at(7, 8), (expected[7], expected[8]));
                assert_eq!(keys.mode(), Some(0));
            }
        }
        let mut counted = Multiset::default();
        counted.add_all(&near);
        assert!(matches!(counted, Multiset::Counts(_)), "near keys are counted");
        assert_eq!((counted.at(0, 1), counted.at(2_998, 2_999)), ((0, 0), (49, 49)));
    }
}
