//! The prefix code of a column: which bits stand for which symbol in all its coded vectors.
//!
//! Symbols are the highest bits of numbers. Their codes are those of Huffman of at most [`CODE_BITS_MAX`] bits, found by
//! package-merge (Larmore and Hirschberg, 1990), and canonical, so that lengths say everything. A code is complete: any
//! bits are the codes of some symbols, and no decoder comes upon bits that mean nothing.

use super::DecodeError;
use super::kernel::{CODE_BITS_MAX, ENTRY_BITS_SHIFT, ENTRY_COUNT_SHIFT, ENTRY_SYMBOLS_MAX, TABLE_LEN};

/// Symbols that a code may have.
pub(super) const SYMBOLS: usize = 256;

/// The lengths of the codes of a column's symbols, and the step of its differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnCode {
    /// What is added to every difference of a vector that has no step of its own.
    step: i64,
    /// In bits; 0 for a symbol that does not occur.
    lengths: [u8; SYMBOLS],
}

/// The bits that stand for a symbol, the first one lowest, and how many there are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SymbolBits {
    pub(super) bits: u16,
    pub(super) len: u8,
}

impl ColumnCode {
    /// Bytes before the lengths: the step, the first and the last symbol.
    pub const HEAD_BYTES: usize = 8 + 2;

    /// The code that takes the fewest bits for symbols of these frequencies; `None` for fewer than two symbols.
    pub(super) fn of_frequencies(frequencies: &[u64; SYMBOLS], step: i64) -> Option<Self> {
        Some(Self { step, lengths: shortest_lengths(frequencies)? })
    }

    /// Bits that all symbols of these frequencies take. Each of them has a code.
    pub(super) fn bits_of(&self, frequencies: &[u64; SYMBOLS]) -> u64 {
        frequencies.iter().zip(&self.lengths).map(|(count, len)| count * u64::from(*len)).sum()
    }

    /// The step.
    pub(super) fn step(&self) -> i64 {
        self.step
    }

    /// Appends the code as it stands in files.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let used = |len: &u8| *len > 0;
        let first = self.lengths.iter().position(used).unwrap_or(0);
        let last = self.lengths.iter().rposition(used).unwrap_or(0);
        out.extend_from_slice(&self.step.to_le_bytes());
        out.extend_from_slice(&[first as u8, last as u8]);
        out.extend(self.lengths[first..=last].chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4));
    }

    /// Bytes of the code whose head is `head`.
    pub fn byte_len(head: &[u8; Self::HEAD_BYTES]) -> usize {
        let [.., first, last] = *head;
        Self::HEAD_BYTES + (usize::from(last.saturating_sub(first)) + 1).div_ceil(2)
    }

    /// Reads a code.
    ///
    /// # Errors
    /// When the bytes are not a complete code.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (head, nibbles) = bytes
            .split_first_chunk::<{ Self::HEAD_BYTES }>()
            .filter(|_| bytes.first_chunk().map(Self::byte_len) == Some(bytes.len()))
            .ok_or(DecodeError::new("the code of a column is cut off"))?;
        let [step @ .., first, last] = *head;
        let mut lengths = [0; SYMBOLS];
        let places = usize::from(first)..=usize::from(last.max(first));
        for (index, len) in lengths[places].iter_mut().enumerate() {
            *len = nibbles[index / 2] >> (index % 2 * 4) & 15;
        }
        let is_short = lengths.iter().all(|len| u32::from(*len) <= CODE_BITS_MAX);
        let used: usize = lengths.iter().filter(|len| **len > 0).map(|len| TABLE_LEN >> (*len).min(15)).sum();
        if !is_short || used != TABLE_LEN {
            return Err(DecodeError::new("the code of a column is not complete"));
        }
        Ok(Self { step: i64::from_le_bytes(step), lengths })
    }

    /// The bits of every symbol.
    pub(super) fn symbol_bits(&self) -> [SymbolBits; SYMBOLS] {
        let mut order: Vec<usize> = (0..SYMBOLS).filter(|symbol| self.lengths[*symbol] > 0).collect();
        order.sort_by_key(|symbol| (self.lengths[*symbol], *symbol));
        let mut bits = [SymbolBits::default(); SYMBOLS];
        let (mut next, mut len_before) = (0u16, 0);
        for symbol in order {
            let len = self.lengths[symbol];
            next <<= len - len_before;
            len_before = len;
            bits[symbol] = SymbolBits { bits: next.reverse_bits() >> (u16::BITS - u32::from(len)), len };
            next = next.wrapping_add(1);
        }
        bits
    }
}

/// Lengths of the codes that take the fewest bits in all.
fn shortest_lengths(frequencies: &[u64; SYMBOLS]) -> Option<[u8; SYMBOLS]> {
    let mut leaves: Vec<(u64, usize)> = frequencies
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(symbol, count)| (*count, symbol))
        .collect();
    if leaves.len() < 2 {
        return None;
    }
    leaves.sort_unstable();
    // Of each level the weights in order, and whether one is a leaf or a pair of the level below.
    let mut levels: Vec<Vec<(u64, bool)>> = vec![leaves.iter().map(|(weight, _)| (*weight, true)).collect()];
    for level in 1..CODE_BITS_MAX as usize {
        let pairs = levels[level - 1].chunks_exact(2).map(|pair| (pair[0].0 + pair[1].0, false));
        let mut merged: Vec<(u64, bool)> = leaves.iter().map(|(weight, _)| (*weight, true)).chain(pairs).collect();
        merged.sort_by_key(|(weight, _)| *weight);
        levels.push(merged);
    }
    let mut lengths = [0; SYMBOLS];
    let mut taken = 2 * leaves.len() - 2;
    for level in levels.iter().rev() {
        let leaves_taken = level[..taken].iter().filter(|(_, is_leaf)| *is_leaf).count();
        leaves[..leaves_taken].iter().for_each(|(_, symbol)| lengths[*symbol] += 1);
        taken = 2 * (taken - leaves_taken);
    }
    Some(lengths)
}

/// What decoding a column looks up: the symbols that the next bits of a stream stand for, as many as fit into an entry.
#[derive(Debug)]
pub struct DecodeTable {
    pub(super) step: i64,
    pub(super) entries: Box<[u64; TABLE_LEN]>,
}

impl DecodeTable {
    /// The table of a code.
    pub fn new(code: &ColumnCode) -> Self {
        // The first symbol of each entry alone.
        let mut first = vec![(0u8, 0u8); TABLE_LEN];
        for (symbol, bits) in code.symbol_bits().iter().enumerate().filter(|(_, bits)| bits.len > 0) {
            for entry in first[usize::from(bits.bits)..].iter_mut().step_by(1 << bits.len) {
                *entry = (symbol as u8, bits.len);
            }
        }
        let mut entries = Box::new([0; TABLE_LEN]);
        for (place, entry) in entries.iter_mut().enumerate() {
            let (mut used, mut count) = (0, 0);
            while count < ENTRY_SYMBOLS_MAX {
                let (symbol, len) = first[place >> used];
                // Bits beyond the place are not known.
                if used + u32::from(len) > CODE_BITS_MAX {
                    break;
                }
                *entry |= u64::from(symbol) << (8 * count);
                used += u32::from(len);
                count += 1;
            }
            *entry |= u64::from(used) << ENTRY_BITS_SHIFT | (count as u64) << ENTRY_COUNT_SHIFT;
        }
        Self { step: code.step, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(code: &ColumnCode) -> Vec<u8> {
        let mut bytes = Vec::new();
        code.append_to(&mut bytes);
        bytes
    }

    #[test]
    fn codes_are_complete_short_and_come_back() {
        let mut fibonacci = [0; SYMBOLS];
        let (mut one, mut other) = (1u64, 1u64);
        for count in &mut fibonacci[40..100] {
            *count = one;
            (one, other) = (other, one + other);
        }
        let mut two = [0; SYMBOLS];
        (two[0], two[255]) = (1, u64::from(u32::MAX));
        for frequencies in [fibonacci, two, [7; SYMBOLS], std::array::from_fn(|symbol| symbol as u64 % 3)] {
            let code = ColumnCode::of_frequencies(&frequencies, -5).unwrap();
            assert_eq!(ColumnCode::from_bytes(&bytes_of(&code)), Ok(code.clone()));
            assert!(frequencies.iter().zip(&code.lengths).all(|(count, len)| (*count > 0) == (*len > 0)));
        }
        assert_eq!(ColumnCode::of_frequencies(&[0; SYMBOLS], 0), None);
    }

    #[test]
    fn frequencies_of_halves_give_the_lengths_of_huffman() {
        let mut frequencies = [0; SYMBOLS];
        frequencies[3..7].copy_from_slice(&[8, 4, 2, 2]);
        let code = ColumnCode::of_frequencies(&frequencies, 0).unwrap();
        assert_eq!(code.lengths[3..7], [1, 2, 3, 3]);
        assert_eq!(code.bits_of(&frequencies), 8 + 8 + 6 + 6);
    }

    #[test]
    fn codes_that_are_not_complete_are_refused() {
        let mut frequencies = [0; SYMBOLS];
        frequencies[3..7].copy_from_slice(&[8, 4, 2, 2]);
        let good = bytes_of(&ColumnCode::of_frequencies(&frequencies, 0).unwrap());
        assert_eq!(good, [0, 0, 0, 0, 0, 0, 0, 0, 3, 6, 0x21, 0x33], "the bytes of a code never change");
        assert!(ColumnCode::from_bytes(&good).is_ok());
        for (place, byte) in [(8, 4), (9, 7), (9, 0), (10, 0x22), (10, 0x11), (11, 0xC3), (11, 0)] {
            let mut bytes = good.clone();
            bytes[place] = byte;
            assert!(ColumnCode::from_bytes(&bytes).is_err(), "byte {place} = {byte}");
        }
        (0..good.len()).for_each(|len| assert!(ColumnCode::from_bytes(&good[..len]).is_err()));
    }
}
