//! Bit masks over vectors: one bit per value.

use crate::encoding::{Mask, VECTOR_LEN};

/// A mask whose first `len` bits are set.
pub fn mask_first(len: usize) -> Mask {
    let mut mask = [u64::MAX; 16];
    mask_truncate(&mut mask, len);
    mask
}

/// Clears all bits from `len` on.
pub fn mask_truncate(mask: &mut Mask, len: usize) {
    for (index, word) in mask.iter_mut().enumerate() {
        let bits = len.saturating_sub(index * 64);
        if bits < 64 {
            *word &= (1 << bits) - 1;
        }
    }
}

/// Number of bits set.
pub fn mask_count(mask: &Mask) -> usize {
    mask.iter().map(|word| word.count_ones() as usize).sum()
}

/// Whether no bit is set.
pub fn mask_is_empty(mask: &Mask) -> bool {
    mask.iter().fold(0, |all, word| all | word) == 0
}

/// Clears in `mask` what is not set in `other`.
pub fn mask_and(mask: &mut Mask, other: &Mask) {
    for (word, other) in mask.iter_mut().zip(other) {
        *word &= other;
    }
}

/// Sets in `mask` what is set in `other`.
pub fn mask_or(mask: &mut Mask, other: &Mask) {
    for (word, other) in mask.iter_mut().zip(other) {
        *word |= other;
    }
}

/// Clears in `mask` what is set in `other`.
pub fn mask_and_not(mask: &mut Mask, other: &Mask) {
    for (word, other) in mask.iter_mut().zip(other) {
        *word &= !other;
    }
}

/// Whether the bit of value `index`, which is below 1024, is set.
#[inline]
pub fn mask_contains(mask: &Mask, index: usize) -> bool {
    mask[index / 64] >> (index % 64) & 1 == 1
}

/// Sets the bits of `range`, which lies within the vector.
pub fn mask_set_range(mask: &mut Mask, range: std::ops::Range<usize>) {
    let end = range.end.min(VECTOR_LEN);
    if range.start >= end {
        return;
    }
    let (first, last) = (range.start / 64, (end - 1) / 64);
    let (from_start, to_end) = (u64::MAX << (range.start % 64), u64::MAX >> (63 - (end - 1) % 64));
    if first == last {
        mask[first] |= from_start & to_end;
        return;
    }
    mask[first] |= from_start;
    mask[first + 1..last].fill(u64::MAX);
    mask[last] |= to_end;
}

/// The positions of the bits that are set, in order.
pub fn mask_iter(mask: &Mask) -> impl Iterator<Item = usize> + '_ {
    mask.iter().enumerate().flat_map(|(index, &word)| {
        std::iter::successors((word != 0).then_some(word), |word| {
            let rest = word & (word - 1);
            (rest != 0).then_some(rest)
        })
        .map(move |word| index * 64 + word.trailing_zeros() as usize)
    })
}

/// Appends the positions of the bits that are set, plus `offset`; faster than `mask_iter` for dense masks.
pub fn mask_positions(mask: &Mask, offset: u32, out: &mut Vec<u32>) {
    out.reserve(mask_count(mask));
    for (index, &word) in mask.iter().enumerate() {
        let first = offset + index as u32 * 64;
        if word == u64::MAX {
            out.extend(first..first + 64);
            continue;
        }
        let mut rest = word;
        while rest != 0 {
            out.push(first + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
}

/// The 0 or 1 of each byte as a bit.
#[inline(always)]
pub(super) fn word_of_bytes(bytes: &[u8; 64]) -> u64 {
    let (groups, _) = bytes.as_chunks::<8>();
    let mut word = 0;
    for (index, group) in groups.iter().enumerate() {
        // The multiplication moves bit 0 of byte k to bit 56 + k; no two products share a bit.
        let packed = u64::from_le_bytes(*group).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= packed << (index * 8);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_helpers_agree_with_sets_of_positions() {
        for (start, end) in [(0, 0), (0, 1024), (5, 64), (63, 65), (64, 128), (1000, 1024), (700, 30)] {
            let mut mask = [0; 16];
            mask_set_range(&mut mask, start..end);
            let expected: Vec<usize> = (start..end).collect();
            assert_eq!(mask_iter(&mask).collect::<Vec<_>>(), expected);
            assert_eq!(mask_count(&mask), expected.len());
            assert_eq!(mask_is_empty(&mask), expected.is_empty());
            assert!(expected.iter().all(|&index| mask_contains(&mask, index)));
            let mut positions = Vec::new();
            mask_positions(&mask, 7, &mut positions);
            assert_eq!(positions, (start as u32 + 7..(end as u32 + 7).max(start as u32 + 7)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn bytes_become_bits_in_order() {
        for bits in [0, 1, u64::MAX, 0x8000_0000_0000_0001, 0x0123_4567_89AB_CDEF] {
            let bytes = std::array::from_fn(|index| (bits >> index & 1) as u8);
            assert_eq!(word_of_bytes(&bytes), bits);
        }
    }
}
