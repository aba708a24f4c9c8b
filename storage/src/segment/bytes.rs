//! Little-endian numbers in untrusted bytes: arrays read in place, and a cursor that never leaves its block.

use std::ops::Range;

/// The number at `offset`, which the caller has checked to lie within `bytes`.
pub(super) fn le_u32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("the slice has four bytes"))
}

/// The number at `offset`, which the caller has checked to lie within `bytes`.
pub(super) fn le_u64(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("the slice has eight bytes"))
}

/// Numbers that stand in mapped bytes, of any alignment.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeU32s<'a>(&'a [[u8; 4]]);

impl<'a> LeU32s<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn get(self, index: usize) -> u32 {
        u32::from_le_bytes(self.0[index])
    }

    pub(super) fn iter(self) -> impl ExactSizeIterator<Item = u32> + DoubleEndedIterator + Clone + 'a {
        self.0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Number of leading elements that are at most `limit`, in an ascending array.
    pub(super) fn partition_point_at_most(self, limit: u32) -> usize {
        self.0.partition_point(|bytes| u32::from_le_bytes(*bytes) <= limit)
    }
}

/// Numbers that stand in mapped bytes, of any alignment.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeU64s<'a>(&'a [[u8; 8]]);

impl<'a> LeU64s<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    pub(super) fn get(self, index: usize) -> u64 {
        u64::from_le_bytes(self.0[index])
    }

    pub(super) fn get_i64(self, index: usize) -> i64 {
        i64::from_le_bytes(self.0[index])
    }
}

/// Walks over one block of a file; every step that would leave the block is `None`.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    file: &'a [u8],
    block: Range<usize>,
    position: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor over `block`, which the caller has checked to lie within `file`.
    pub(super) fn new(file: &'a [u8], block: Range<usize>) -> Self {
        Self { file, position: block.start, block }
    }

    /// Offset in the file.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.position == self.block.end
    }

    /// The file range of the next `count` elements of `width` bytes.
    pub(super) fn take(&mut self, count: usize, width: usize) -> Option<Range<usize>> {
        let end = self.position.checked_add(count.checked_mul(width)?)?;
        if end > self.block.end {
            return None;
        }
        let range = self.position..end;
        self.position = end;
        Some(range)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        self.take(len, 1).map(|range| &self.file[range])
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(|bytes| le_u32(bytes, 0))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.bytes(8).map(|bytes| le_u64(bytes, 0))
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.u64().map(u64::cast_signed)
    }

    /// Skips to the next multiple of 8 within the block, counted from its start.
    pub(super) fn align(&mut self) -> Option<()> {
        let used = self.position - self.block.start;
        self.take(used.wrapping_neg() % 8, 1).map(|_| ())
    }
}

/// Appends zeros up to the next multiple of 8, as [`Cursor::align`] expects.
pub(super) fn pad_to_8(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_never_leaves_its_block() {
        let file = [1, 0, 0, 0, 9, 9, 9, 9, 9, 9];
        let mut cursor = Cursor::new(&file, 0..6);
        assert_eq!(cursor.u32(), Some(1));
        assert_eq!(cursor.align(), None);
        assert_eq!(cursor.take(usize::MAX, 8), None);
        assert_eq!(cursor.take(3, 1), None);
        assert_eq!(cursor.take(1, 1), Some(4..5));
        assert_eq!(cursor.u8(), Some(9));
        assert!(cursor.is_at_end());
    }

    #[test]
    fn partition_point_counts_the_elements_up_to_the_limit() {
        let bytes: Vec<u8> = [0u32, 5, 5, 9].iter().flat_map(|value| value.to_le_bytes()).collect();
        let array = LeU32s::new(&bytes);
        assert_eq!([0, 4, 5, 9].map(|limit| array.partition_point_at_most(limit)), [1, 1, 3, 4]);
    }
}
