//! Approximate percentiles: a mergeable histogram of relative error.
//!
//! The buckets are those of DDSketch (Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
//! relative-error guarantees", VLDB 2019) with the mapping that interpolates linearly between powers of two: the upper
//! bits of a float are its bucket, so that finding it costs a shift. Buckets never collapse, since floats have no more
//! than 2^18 of them per sign. A value read off is at most 0.4 % from the true one.
//!
//! Groups of few values, and integers that lie close together, are kept exactly. Whether they are depends on the values
//! of the whole group only, never on the order or on the parts in which they came.

use super::key::KeyKind;
use super::multiset::{Multiset, WINDOW_KEYS_MAX, between, continuous_rank};
use super::tally::{Tally, bounds_of};

/// Groups of at most this many values are kept exactly.
const EXACT_VALUES_MAX: u64 = 512;

/// Bits of a float below those that make its bucket: sign, exponent and seven bits of the fraction are left.
const BUCKET_SHIFT: u32 = 45;

/// Values of a group, exactly or in buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sketch {
    /// Least and greatest key; `None` while there is none.
    bounds: Option<(i64, i64)>,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Exact(Multiset),
    Buckets(Box<Buckets>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Exact(Multiset::default())
    }
}

/// Counts per bucket.
#[derive(Debug, Clone, Default)]
struct Buckets {
    /// Buckets of the magnitudes of negative values.
    negative: Tally,
    zeros: u64,
    /// Buckets of positive values.
    positive: Tally,
    negative_infinities: u64,
    infinities: u64,
    nans: u64,
}

impl Sketch {
    /// Number of buckets of a sign.
    #[cfg(feature = "datafusion")]
    pub(crate) const BUCKETS: i64 = 1 << (63 - BUCKET_SHIFT);

    /// Number of values.
    pub(crate) fn len(&self) -> u64 {
        match &self.values {
            Values::Exact(keys) => keys.len(),
            Values::Buckets(buckets) => buckets.len(),
        }
    }

    /// Adds keys of numbers, NaNs as one.
    pub(crate) fn add_all(&mut self, keys: &[i64], kind: KeyKind) {
        let Some((low, high)) = bounds_of(keys) else { return };
        self.widen(low, high, keys.len() as u64, kind);
        match &mut self.values {
            Values::Exact(exact) => exact.add_all(keys),
            Values::Buckets(buckets) => buckets.add_all(keys, kind),
        }
    }

    /// Adds a key `count` times.
    pub(crate) fn add(&mut self, key: i64, count: u64, kind: KeyKind) {
        self.widen(key, key, count, kind);
        match &mut self.values {
            Values::Exact(exact) => exact.add(key, count),
            Values::Buckets(buckets) => buckets.add(kind.to_f64(key), count),
        }
    }

    /// Takes in the bounds of `more` keys, and goes over to buckets where the group is no longer kept exactly.
    fn widen(&mut self, low: i64, high: i64, more: u64, kind: KeyKind) {
        let (low, high) = self.bounds.map_or((low, high), |(first, last)| (low.min(first), high.max(last)));
        self.bounds = Some((low, high));
        let is_narrow = i128::from(high) - i128::from(low) < WINDOW_KEYS_MAX as i128;
        if let Values::Exact(exact) = &self.values
            && !is_narrow
            && exact.len() + more > EXACT_VALUES_MAX
        {
            let mut buckets = Buckets::default();
            exact.for_each(|key, count| buckets.add(kind.to_f64(key), count));
            self.values = Values::Buckets(Box::new(buckets));
        }
    }

    /// Adds the values of another sketch.
    pub(crate) fn merge(&mut self, other: &Self, kind: KeyKind) {
        let Some((low, high)) = other.bounds else { return };
        self.widen(low, high, other.len(), kind);
        match (&mut self.values, &other.values) {
            (Values::Exact(exact), Values::Exact(others)) => exact.merge(others),
            (Values::Buckets(buckets), Values::Exact(others)) => {
                others.for_each(|key, count| buckets.add(kind.to_f64(key), count));
            }
            (Values::Buckets(buckets), Values::Buckets(others)) => buckets.merge(others),
            // Buckets are many and far apart, so the sum is, and `widen` went over to buckets.
            (Values::Exact(exact), Values::Buckets(others)) => {
                let mut buckets = (**others).clone();
                exact.for_each(|key, count| buckets.add(kind.to_f64(key), count));
                self.values = Values::Buckets(Box::new(buckets));
            }
        }
    }

    /// The value at the share `fraction` of all in order, between its two neighbours; `None` without values.
    pub(crate) fn percentile(&self, fraction: f64, kind: KeyKind) -> Option<f64> {
        let (least, greatest) = self.bounds?;
        let (low, high, share) = continuous_rank(fraction, self.len());
        let (low, high) = match &self.values {
            Values::Exact(keys) => {
                let (low, high) = keys.at(low, high);
                (kind.to_f64(low), kind.to_f64(high))
            }
            Values::Buckets(buckets) => {
                let (least, greatest) = (kind.to_f64(least), kind.to_f64(greatest));
                // The middle of an outermost bucket may lie beyond its values.
                let within = |value: f64| match value {
                    value if value < least => least,
                    value if value > greatest => greatest,
                    value => value,
                };
                // The two ends are known exactly.
                let last = self.len() - 1;
                let at = |rank: u64| match rank {
                    0 => least,
                    rank if rank == last => greatest,
                    rank => within(buckets.at(rank)),
                };
                (at(low), at(high))
            }
        };
        Some(between(low, high, share))
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.values {
            Values::Exact(keys) => keys.heap_bytes(),
            Values::Buckets(buckets) => {
                size_of::<Buckets>() + buckets.negative.heap_bytes() + buckets.positive.heap_bytes()
            }
        }
    }

    /// Calls `visit` for entries from which [`Self::add_entry`] makes an equal sketch.
    #[cfg(feature = "datafusion")]
    pub(crate) fn for_each_entry(&self, mut visit: impl FnMut(Entry)) {
        match &self.values {
            Values::Exact(keys) => keys.for_each(|key, count| visit(Entry::Key(key, count))),
            Values::Buckets(buckets) => {
                buckets.negative.iter().for_each(|(bucket, count)| visit(Entry::Negative(bucket, count)));
                buckets.positive.iter().for_each(|(bucket, count)| visit(Entry::Positive(bucket, count)));
                let others = [buckets.zeros, buckets.negative_infinities, buckets.infinities, buckets.nans];
                visit(Entry::Others(others));
            }
        }
    }

    /// Adds an entry of another sketch.
    #[cfg(feature = "datafusion")]
    pub(crate) fn add_entry(&mut self, entry: Entry, kind: KeyKind) {
        if let Entry::Key(key, count) = entry {
            return self.add(key, count, kind);
        }
        if let Values::Exact(exact) = &self.values {
            let mut buckets = Buckets::default();
            exact.for_each(|key, count| buckets.add(kind.to_f64(key), count));
            self.values = Values::Buckets(Box::new(buckets));
        }
        let Values::Buckets(buckets) = &mut self.values else { return };
        match entry {
            Entry::Negative(bucket, count) => buckets.negative.add(bucket, count),
            Entry::Positive(bucket, count) => buckets.positive.add(bucket, count),
            Entry::Others([zeros, negative_infinities, infinities, nans]) => {
                buckets.zeros += zeros;
                buckets.negative_infinities += negative_infinities;
                buckets.infinities += infinities;
                buckets.nans += nans;
            }
            Entry::Key(..) => {}
        }
    }

    /// Least and greatest key.
    #[cfg(feature = "datafusion")]
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        self.bounds
    }

    /// Takes in bounds of entries that are added.
    #[cfg(feature = "datafusion")]
    pub(crate) fn add_bounds(&mut self, (low, high): (i64, i64)) {
        let (first, last) = self.bounds.unwrap_or((low, high));
        self.bounds = Some((low.min(first), high.max(last)));
    }
}

/// A part of a sketch on its way from one process stage to another.
#[cfg(feature = "datafusion")]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    Key(i64, u64),
    Negative(i64, u64),
    Positive(i64, u64),
    Others([u64; 4]),
}

/// The bucket of a positive finite float.
fn bucket_of(value: f64) -> i64 {
    (value.to_bits() >> BUCKET_SHIFT).cast_signed()
}

/// The middle of a bucket.
fn middle_of(bucket: i64) -> f64 {
    let low = f64::from_bits(bucket.cast_unsigned() << BUCKET_SHIFT);
    let high = f64::from_bits((bucket + 1).cast_unsigned() << BUCKET_SHIFT);
    if high.is_finite() { low + (high - low) / 2.0 } else { low }
}

impl Buckets {
    fn len(&self) -> u64 {
        self.negative_infinities
            + self.negative.total()
            + self.zeros
            + self.positive.total()
            + self.infinities
            + self.nans
    }

    fn add_all(&mut self, keys: &[i64], kind: KeyKind) {
        // Most are positive; those are found and counted without a look at the others.
        let mut positive = [0; 256];
        for part in keys.chunks(positive.len()) {
            let mut len = 0;
            let (mut low, mut high) = (i64::MAX, i64::MIN);
            for key in part {
                let value = kind.to_f64(*key);
                if value > 0.0 && value < f64::INFINITY {
                    let bucket = bucket_of(value);
                    positive[len] = bucket;
                    len += 1;
                    low = low.min(bucket);
                    high = high.max(bucket);
                } else {
                    self.add(value, 1);
                }
            }
            if len > 0 {
                self.positive.add_all(&positive[..len], low, high);
            }
        }
    }

    fn add(&mut self, value: f64, count: u64) {
        match value {
            value if value.is_nan() => self.nans += count,
            f64::INFINITY => self.infinities += count,
            f64::NEG_INFINITY => self.negative_infinities += count,
            0.0 => self.zeros += count,
            value if value < 0.0 => self.negative.add(bucket_of(-value), count),
            value => self.positive.add(bucket_of(value), count),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.negative.merge(&other.negative);
        self.positive.merge(&other.positive);
        self.zeros += other.zeros;
        self.negative_infinities += other.negative_infinities;
        self.infinities += other.infinities;
        self.nans += other.nans;
    }

    /// The value at a position of all in order.
    fn at(&self, rank: u64) -> f64 {
        let mut rank = rank;
        for (count, part) in [
            (self.negative_infinities, Part::Value(f64::NEG_INFINITY)),
            (self.negative.total(), Part::Negative),
            (self.zeros, Part::Value(0.0)),
            (self.positive.total(), Part::Positive),
            (self.infinities, Part::Value(f64::INFINITY)),
        ] {
            if rank < count {
                return match part {
                    Part::Value(value) => value,
                    // Great magnitudes come first.
                    Part::Negative => -middle_of(self.negative.at(count - 1 - rank)),
                    Part::Positive => middle_of(self.positive.at(rank)),
                };
            }
            rank -= count;
        }
        f64::NAN
    }
}

/// Where values of a range of positions are.
enum Part {
    Value(f64),
    Negative,
    Positive,
}

#[cfg(test)]
mod tests {
    use super::super::key::key_of_float_value;
    use super::*;

    fn float_keys(values: &[f64]) -> impl Iterator<Item = i64> + '_ {
        values.iter().map(|value| key_of_float_value(*value))
    }

    fn exact(values: &[f64], fraction: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (low, high, share) = continuous_rank(fraction, sorted.len() as u64);
        between(sorted[low as usize], sorted[high as usize], share)
    }

    #[test]
    fn percentiles_of_floats_are_within_the_promised_error_in_any_order_of_merging() {
        let mut state = 1u64;
        let values: Vec<f64> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
                (unit * 30.0).exp() * if state & 1 << 40 == 0 { 1.0 } else { -1e-3 }
            })
            .collect();
        let keys: Vec<i64> = float_keys(&values).collect();
        let mut whole = Sketch::default();
        whole.add_all(&keys, KeyKind::F64);
        let mut parts = Sketch::default();
        for part in keys.rchunks(333) {
            let mut sketch = Sketch::default();
            part.iter().for_each(|key| sketch.add(*key, 1, KeyKind::F64));
            parts.merge(&sketch, KeyKind::F64);
        }
        for fraction in [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let found = whole.percentile(fraction, KeyKind::F64).unwrap();
            let expected = exact(&values, fraction);
            assert!((found - expected).abs() <= expected.abs() * 0.004, "{fraction}: {found}, {expected}");
            assert_eq!(parts.percentile(fraction, KeyKind::F64), Some(found));
        }
    }

    #[test]
    fn integers_that_lie_close_together_and_small_groups_are_exact() {
        let keys: Vec<i64> = (0..100_000).map(|i| i * 7_919 % 60_000 - 30_000).collect();
        let mut sketch = Sketch::default();
        keys.chunks(1_000).for_each(|part| sketch.add_all(part, KeyKind::I64));
        let values: Vec<f64> = keys.iter().map(|key| *key as f64).collect();
        assert_eq!(sketch.percentile(0.99, KeyKind::I64), Some(exact(&values, 0.99)));
        let mut few = Sketch::default();
        few.add_all(&[i64::MIN, 3, i64::MAX], KeyKind::I64);
        assert_eq!(few.percentile(0.5, KeyKind::I64), Some(3.0));
    }

    #[test]
    fn infinities_zeros_and_nans_have_their_places() {
        let mut sketch = Sketch::default();
        let values = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f64::INFINITY, f64::NAN];
        for _ in 0..100 {
            let keys: Vec<i64> = float_keys(&values).collect();
            sketch.add_all(&keys, KeyKind::F64);
        }
        let at = |place: f64| sketch.percentile((place * 100.0 + 50.0) / 699.0, KeyKind::F64).unwrap();
        assert_eq!((at(0.0), at(2.0), at(3.0), at(5.0)), (f64::NEG_INFINITY, 0.0, 0.0, f64::INFINITY));
        assert!((at(1.0) + 1.0).abs() < 0.004 && (at(4.0) - 1.0).abs() < 0.004);
        assert!(at(6.0).is_nan());
    }
}
