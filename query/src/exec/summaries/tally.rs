//! Counts per key in a window of keys that lie close together.
//!
//! Invariant: the counts add up to `total`, and every key that was added lies in the window.

use lynxstore_storage::encoding::kernel;

/// Windows up to this length are counted in four tables side by side: equal neighbours, the rule in a slowly moving
/// gauge, would otherwise wait for each other's store.
const LANE_KEYS: usize = 128;

/// Counts of the keys `base..base + counts.len()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    base: i64,
    counts: Vec<u64>,
    total: u64,
}

impl Tally {
    /// Number of keys that were added.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Number of different keys.
    pub(crate) fn distinct(&self) -> u64 {
        self.counts.iter().filter(|count| **count > 0).count() as u64
    }

    /// Keys that the window would span with `low..=high` in it; `None` beyond the numbers of this machine.
    pub(crate) fn window_with(&self, low: i64, high: i64) -> Option<usize> {
        let (low, high) = match self.bounds() {
            None => (low, high),
            Some((first, last)) => (low.min(first), high.max(last)),
        };
        usize::try_from(i128::from(high) - i128::from(low) + 1).ok()
    }

    /// First and last key of the window; both were added.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        let last = self.counts.len().checked_sub(1)?;
        Some((self.base, self.base + last as i64))
    }

    /// Makes room for `low..=high`; the caller made sure by [`Self::window_with`] that it is little.
    fn cover(&mut self, low: i64, high: i64) {
        let Some((first, last)) = self.bounds() else {
            self.base = low;
            self.counts = vec![0; (high - low) as usize + 1];
            return;
        };
        if low < first {
            let missing = (first - low) as usize;
            self.counts.splice(..0, std::iter::repeat_n(0, missing));
            self.base = low;
        }
        if high > last {
            self.counts.resize((high - self.base) as usize + 1, 0);
        }
    }

    /// Adds a key `count` times.
    pub(crate) fn add(&mut self, key: i64, count: u64) {
        self.cover(key, key);
        self.counts[(key - self.base) as usize] += count;
        self.total += count;
    }

    /// Adds keys that all lie in `low..=high`.
    pub(crate) fn add_all(&mut self, keys: &[i64], low: i64, high: i64) {
        self.cover(low, high);
        self.total += keys.len() as u64;
        let range = (high - low) as usize + 1;
        let start = (low - self.base) as usize;
        if range > LANE_KEYS || keys.len() < LANE_KEYS {
            for key in keys {
                self.counts[key.wrapping_sub(self.base) as usize] += 1;
            }
            return;
        }
        let mut lanes = [[0u32; LANE_KEYS]; 4];
        let place = |key: i64| key.wrapping_sub(low) as usize % LANE_KEYS;
        let (chunks, rest) = keys.as_chunks::<4>();
        for chunk in chunks {
            for (lane, key) in lanes.iter_mut().zip(chunk) {
                lane[place(*key)] += 1;
            }
        }
        for key in rest {
            lanes[0][place(*key)] += 1;
        }
        let [a, b, c, d] = &lanes;
        for (index, count) in self.counts[start..start + range].iter_mut().enumerate() {
            *count += u64::from(a[index] + b[index] + c[index] + d[index]);
        }
    }

    /// Adds the counts of another tally.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Some((low, high)) = other.bounds() else { return };
        self.cover(low, high);
        let start = (low - self.base) as usize;
        for (count, more) in self.counts[start..].iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// Keys with their counts, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(index, count)| (self.base + index as i64, *count))
    }

    /// The key at position `rank` of all in order, which must be below the total.
    pub(crate) fn at(&self, rank: u64) -> i64 {
        let mut before = 0;
        for (key, count) in self.iter() {
            before += count;
            if rank < before {
                return key;
            }
        }
        self.base
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<u64>()
    }
}

/// Least and greatest of keys.
pub(crate) fn bounds_of(keys: &[i64]) -> Option<(i64, i64)> {
    if keys.len() <= 16 {
        return Some((*keys.iter().min()?, *keys.iter().max()?));
    }
    kernel::min_max_i64(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_like_a_map_however_the_keys_come() {
        let keys: Vec<i64> = (0..5_000).map(|i: i64| (i * i) % 97 - 40).collect();
        let mut expected = std::collections::BTreeMap::new();
        keys.iter().for_each(|key| *expected.entry(*key).or_insert(0u64) += 1);
        let expected: Vec<(i64, u64)> = expected.into_iter().collect();
        let mut one_by_one = Tally::default();
        keys.iter().for_each(|key| one_by_one.add(*key, 1));
        let mut merged = Tally::default();
        for part in keys.chunks(777) {
            let mut tally = Tally::default();
            let (low, high) = bounds_of(part).unwrap();
            tally.add_all(part, low, high);
            merged.merge(&tally);
        }
        assert_eq!(one_by_one.iter().collect::<Vec<_>>(), expected);
        assert_eq!(merged.iter().collect::<Vec<_>>(), expected);
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        for rank in [0, 1, 2_500, 4_999] {
            assert_eq!(merged.at(rank), sorted[rank as usize]);
        }
    }
}
