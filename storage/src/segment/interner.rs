//! Distinct byte strings numbered in the order in which they were first seen, and their sorted order at the end.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A set of byte strings with a code for each. One allocation holds the bytes of all.
#[derive(Debug, Default)]
pub(super) struct Interner {
    codes: HashTable<u32>,
    hasher: DefaultHashBuilder,
    values: ByteStrings,
}

impl Interner {
    /// The code of `value`, new when it was not seen before.
    pub(super) fn intern(&mut self, value: &[u8]) -> u32 {
        let Self { codes, hasher, values } = self;
        let hash = hasher.hash_one(value);
        let is_equal = |&code: &u32| values.get(code as usize) == value;
        if let Some(&code) = codes.find(hash, is_equal) {
            return code;
        }
        let code = values.len() as u32;
        values.push(value);
        codes.insert_unique(hash, code, |&code| hasher.hash_one(values.get(code as usize)));
        code
    }

    /// The distinct values by code.
    pub(super) fn values(&self) -> &ByteStrings {
        &self.values
    }

    /// About how much memory the set takes, with a second copy of the values, their order and their ranks.
    pub(super) fn memory_bytes_sorted(&self) -> usize {
        // Per value: its end here and there, its code in the table, in the order and among the ranks.
        const VALUE_BYTES: usize = 8 + 4 + 8 + 4 + 4;
        2 * self.values.byte_len() + self.values.len() * VALUE_BYTES
    }

    /// The codes in the order of their values.
    pub(super) fn sorted_codes(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.values.len() as u32).collect();
        sorted.sort_unstable_by_key(|&code| self.values.get(code as usize));
        sorted
    }
}

/// The position of each code in `sorted_codes`.
pub(super) fn ranks(sorted_codes: &[u32]) -> Vec<u32> {
    let mut ranks = vec![0; sorted_codes.len()];
    for (rank, &code) in sorted_codes.iter().enumerate() {
        ranks[code as usize] = rank as u32;
    }
    ranks
}

/// Byte strings behind each other.
#[derive(Debug, Default)]
pub(super) struct ByteStrings {
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl ByteStrings {
    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Length of all values together.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(super) fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_code_and_sort_by_bytes() {
        let mut interner = Interner::default();
        let codes: Vec<u32> =
            [&b"b"[..], b"", b"b", b"a\0", b"a"].into_iter().map(|value| interner.intern(value)).collect();
        assert_eq!(codes, [0, 1, 0, 2, 3]);
        let sorted = interner.sorted_codes();
        let values: Vec<&[u8]> = sorted.iter().map(|&code| interner.values().get(code as usize)).collect();
        assert_eq!(values, [&b""[..], b"a", b"a\0", b"b"]);
        assert_eq!(ranks(&sorted), [3, 0, 2, 1]);
    }
}
