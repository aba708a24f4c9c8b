//! A small pseudo-random generator with a fixed algorithm.
//!
//! xoshiro256++ (Blackman and Vigna), seeded through SplitMix64. Only integer arithmetic and single rounded float
//! operations are used, no functions of a maths library, so that a stream is the same on every platform. Changing
//! anything here changes published data sets: the golden checksums of `cpu` guard it.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of `seed` for one entity, independent of the streams of all others.
    pub(super) fn new(seed: u64, entity: u64) -> Self {
        let mut split = seed ^ entity.wrapping_mul(0xD134_2543_DE82_EF95);
        Self { state: std::array::from_fn(|_| split_mix(&mut split)) }
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in `0..bound`, by multiplication; its bias is below `bound / 2^64`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `0.0..1.0`, with 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        unit_of(self.bits())
    }

    /// Close to the standard normal distribution: the number of ones in 64 random bits (binomial, variance 16),
    /// smoothed by a uniform number of width one (variance 1/12). Mean 0, variance 1, and never beyond 8.2.
    pub(super) fn normal(&mut self) -> f64 {
        /// `1 / sqrt(16 + 1/12)`.
        const SCALE: f64 = 0.249_351_490_477_014_83;
        let ones = f64::from(self.bits().count_ones());
        (ones - 32.5 + unit_of(self.bits())) * SCALE
    }
}

fn unit_of(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_the_published_sequence() {
        let mut state = 1_234_567;
        let first: Vec<u64> = (0..3).map(|_| split_mix(&mut state)).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn xoshiro_gives_the_published_sequence() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        const COUNT: u32 = 200_000;
        let mut random = Random::new(1, 2);
        let numbers: Vec<f64> = (0..COUNT).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / f64::from(COUNT);
        let variance = numbers.iter().map(|n| n * n).sum::<f64>() / f64::from(COUNT);
        let beyond_two = numbers.iter().filter(|n| n.abs() > 2.0).count() as f64 / f64::from(COUNT);
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
        assert!((beyond_two - 0.0455).abs() < 0.003, "{beyond_two}");
    }

    #[test]
    fn streams_of_neighbouring_entities_differ() {
        assert_ne!(Random::new(123, 0).bits(), Random::new(123, 1).bits());
        assert_ne!(Random::new(123, 0).bits(), Random::new(124, 0).bits());
    }
}
