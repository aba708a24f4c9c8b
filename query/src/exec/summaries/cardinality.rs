//! `approx_distinct`: about how many different values a group has.
//!
//! HyperLogLog (Flajolet and others, 2007) with 2^14 registers: a standard error of 0.8 %. The estimate is Ertl's
//! improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no
//! tables of bias. Up to 1,024 values are counted exactly; whether they are depends on the number of different values only.

use hashbrown::HashSet;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Greatest value of a register.
const RANK_MAX: usize = (64 - INDEX_BITS + 1) as usize;

/// Different hashes that are kept apart.
const HASHES_MAX: usize = 1_024;

/// The hashes of a group's values, or what is remembered of them.
#[derive(Debug, Clone)]
pub(crate) enum Cardinality {
    /// Few: each.
    Hashes(HashSet<u64>),
    /// Many: per register the longest run of zeros, counted from one.
    Registers(Box<[u8; REGISTERS]>),
}

impl Default for Cardinality {
    fn default() -> Self {
        Self::Hashes(HashSet::new())
    }
}

impl Cardinality {
    /// Adds a value by its hash.
    pub(crate) fn add(&mut self, hash: u64) {
        match self {
            Self::Hashes(hashes) => {
                hashes.insert(hash);
                if hashes.len() > HASHES_MAX {
                    let mut registers = Box::new([0; REGISTERS]);
                    hashes.iter().for_each(|hash| raise(&mut registers, *hash));
                    *self = Self::Registers(registers);
                }
            }
            Self::Registers(registers) => raise(registers, hash),
        }
    }

    /// Adds the values of another group.
    pub(crate) fn merge(&mut self, other: &Self) {
        match other {
            Self::Hashes(hashes) => hashes.iter().for_each(|hash| self.add(*hash)),
            Self::Registers(others) => {
                if let Self::Hashes(hashes) = self {
                    let mut registers = others.clone();
                    hashes.iter().for_each(|hash| raise(&mut registers, *hash));
                    *self = Self::Registers(registers);
                } else if let Self::Registers(registers) = self {
                    registers.iter_mut().zip(others.iter()).for_each(|(mine, other)| *mine = (*mine).max(*other));
                }
            }
        }
    }

    /// About how many different values were added.
    pub(crate) fn estimate(&self) -> u64 {
        match self {
            Self::Hashes(hashes) => hashes.len() as u64,
            Self::Registers(registers) => estimate(registers),
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Hashes(hashes) => hashes.allocation_size(),
            Self::Registers(_) => REGISTERS,
        }
    }

    /// Registers of another stage; `None` when there are not as many as here.
    #[cfg(feature = "datafusion")]
    pub(crate) fn from_registers(bytes: &[u8]) -> Option<Self> {
        let registers: Box<[u8; REGISTERS]> = bytes.to_vec().into_boxed_slice().try_into().ok()?;
        registers.iter().all(|rank| usize::from(*rank) <= RANK_MAX).then_some(Self::Registers(registers))
    }
}

fn raise(registers: &mut [u8; REGISTERS], hash: u64) {
    let register = &mut registers[(hash >> (64 - INDEX_BITS)) as usize];
    // The bit behind the hash ends a run of zeros that reaches it.
    let rest = hash << INDEX_BITS | 1 << (INDEX_BITS - 1);
    *register = (*register).max(rest.leading_zeros() as u8 + 1);
}

/// Ertl's improved raw estimator, algorithm 6.
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let mut counts = [0u32; RANK_MAX + 1];
    registers.iter().for_each(|rank| counts[usize::from(*rank)] += 1);
    let m = REGISTERS as f64;
    let mut z = m * tau(1.0 - f64::from(counts[RANK_MAX]) / m);
    for count in counts[1..RANK_MAX].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(counts[0]) / m);
    let alpha = 0.5 / std::f64::consts::LN_2;
    (alpha * m * m / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// The hash of a number's key: the finalizer of MurmurHash3, the same in every process.
pub(crate) fn hash_key(key: i64) -> u64 {
    let mut hash = key.cast_unsigned() ^ 0x9e37_79b9_7f4a_7c15;
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// The hash of text or bytes: eight at a time, then as above.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hash_key((hash ^ u64::from_le_bytes(last)).wrapping_mul(0x9fb2_1c65_1e98_df25).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_near_and_do_not_depend_on_parts() {
        for count in [10i64, 1_024, 1_025, 20_000, 500_000] {
            let mut whole = Cardinality::default();
            let (mut left, mut right) = (Cardinality::default(), Cardinality::default());
            for key in 0..count {
                whole.add(hash_key(key));
                whole.add(hash_key(key));
                if key % 3 == 0 { left.add(hash_key(key)) } else { right.add(hash_key(key)) }
            }
            left.merge(&right);
            assert_eq!(left.estimate(), whole.estimate());
            let error = (whole.estimate() as f64 - count as f64).abs() / count as f64;
            assert!(error < 0.025 && (count > 1_024 || error == 0.0), "{count}: {}", whole.estimate());
        }
    }

    #[test]
    fn texts_have_hashes_as_different_as_numbers() {
        let mut texts = Cardinality::default();
        (0..50_000).for_each(|i| texts.add(hash_bytes(format!("host_{i}").as_bytes())));
        let error = (texts.estimate() as f64 - 50_000.0).abs() / 50_000.0;
        assert!(error < 0.025, "{}", texts.estimate());
    }
}
