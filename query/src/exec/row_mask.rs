//! Which rows of a block count: those that pass the field predicates and hold a value.

use std::ops::Range;

use lynxstore_storage::encoding::{Mask, Validity, kernel};

/// A set of rows of one block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowMask {
    words: Mask,
}

impl RowMask {
    /// The rows of a mask.
    pub(crate) fn new(words: Mask) -> Self {
        Self { words }
    }

    /// The rows that pass `selection` and are valid; `None` for all rows.
    pub(crate) fn combine(selection: Option<&Self>, validity: &Validity) -> Option<Self> {
        match (selection, validity) {
            (selection, Validity::AllValid) => selection.copied(),
            (_, Validity::AllNull) => Some(Self { words: [0; 16] }),
            (None, Validity::Mask(valid)) => Some(Self { words: *valid }),
            (Some(selection), Validity::Mask(valid)) => {
                let mut words = selection.words;
                kernel::mask_and(&mut words, valid);
                Some(Self { words })
            }
        }
    }

    /// The words of the mask.
    pub(crate) fn words(&self) -> &Mask {
        &self.words
    }

    /// Whether a row is in the set.
    pub(crate) fn contains(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    /// Number of rows of `rows` in the set.
    pub(crate) fn count(&self, rows: Range<usize>) -> usize {
        self.parts(rows).map(|(_, word)| word.count_ones() as usize).sum()
    }

    /// First and last row of `rows` in the set.
    pub(crate) fn bounds(&self, rows: Range<usize>) -> Option<(usize, usize)> {
        let mut bounds = None;
        for (start, word) in self.parts(rows).filter(|(_, word)| *word != 0) {
            let first = bounds.map_or(start + word.trailing_zeros() as usize, |(first, _)| first);
            bounds = Some((first, start + 63 - word.leading_zeros() as usize));
        }
        bounds
    }

    /// The rows of `rows` in the set, in order.
    pub(crate) fn iter(&self, rows: Range<usize>) -> impl Iterator<Item = usize> + Clone + '_ {
        self.parts(rows).flat_map(|(start, word)| {
            std::iter::successors((word != 0).then_some(word), |word| {
                let rest = word & (word - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |word| start + word.trailing_zeros() as usize)
        })
    }

    /// The mask of `rows` with its first row at bit 0.
    pub(crate) fn shifted(&self, rows: Range<usize>) -> Mask {
        let mut out = [0; 16];
        let (word_shift, bit_shift) = (rows.start / 64, rows.start % 64);
        for (index, word) in out.iter_mut().enumerate().take(rows.len().div_ceil(64)) {
            let low = self.words.get(index + word_shift).copied().unwrap_or(0);
            let high = self.words.get(index + word_shift + 1).copied().unwrap_or(0);
            *word = if bit_shift == 0 { low } else { low >> bit_shift | high << (64 - bit_shift) };
        }
        kernel::mask_truncate(&mut out, rows.len());
        out
    }

    /// Words that `rows` touches, cut to it, each with its first row.
    fn parts(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, u64)> + Clone + '_ {
        let words = rows.start / 64..rows.end.div_ceil(64);
        words.map(move |index| {
            let start = index * 64;
            let mut word = self.words[index];
            if rows.start > start {
                word &= u64::MAX << (rows.start - start);
            }
            if rows.end < start + 64 {
                word &= (1 << (rows.end - start)) - 1;
            }
            (start, word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_mask_agree_with_sets_of_rows() {
        let members = [0usize, 1, 5, 63, 64, 65, 127, 128, 500, 1000, 1023];
        let mut words = [0; 16];
        for row in members {
            words[row / 64] |= 1 << (row % 64);
        }
        let mask = RowMask::new(words);
        for rows in [0..1024, 0..64, 1..64, 63..65, 5..500, 1023..1024, 2..5, 130..131, 64..128, 10..10] {
            let expected: Vec<usize> = members.into_iter().filter(|row| rows.contains(row)).collect();
            assert_eq!(mask.iter(rows.clone()).collect::<Vec<_>>(), expected, "{rows:?}");
            assert_eq!(mask.count(rows.clone()), expected.len());
            assert_eq!(mask.bounds(rows.clone()), expected.first().copied().zip(expected.last().copied()));
            let shifted = RowMask::new(mask.shifted(rows.clone()));
            let back: Vec<usize> = shifted.iter(0..rows.len()).map(|row| row + rows.start).collect();
            assert_eq!(back, expected, "{rows:?}");
        }
    }
}
