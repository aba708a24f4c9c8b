//! The unsigned integers that packed numbers are worked on in, and the two layouts that they share.
//!
//! *Rows.* A vector is a matrix of 128-byte rows: value `i` stands in lane `i % LANES` of row `i / LANES`. Each lane packs its
//! rows least significant bit first into its own words, and the words of all lanes stand side by side, again 128 bytes
//! a row. Packing and unpacking are therefore the same shifts for all lanes, and unpacked rows are in natural order.
//!
//! *Sequence.* Rows have to be whole, which costs a short vector up to 128 bytes more than its numbers need. Where that
//! is an eighth or more, the numbers stand one behind the other instead (`sequence`). Vectors of 1024 values fill their
//! rows in every width and never do. The layout follows from width and length, so that no byte has to say it.

use crate::encoding::VECTOR_LEN;

/// Bytes of a row of lanes.
pub(super) const ROW_BYTES: usize = 128;

/// An unsigned integer that is a lane.
pub(super) trait Lane: Copy + Default + Ord {
    /// Bits of a lane.
    const BITS: u32;
    /// Lanes in a row.
    const LANES: usize;
    /// All bits of a lane.
    const MAX: Self;

    fn truncate(value: u64) -> Self;
    fn to_u64(self) -> u64;
    fn shl(self, bits: u32) -> Self;
    fn shr(self, bits: u32) -> Self;
    fn or(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn load(row: &[u8; ROW_BYTES], lane: usize) -> Self;
    fn store(self, row: &mut [u8; ROW_BYTES], lane: usize);

    /// A lane whose lowest `width` bits are set; `width` is at most `BITS`.
    #[inline(always)]
    fn low_bits(width: u32) -> Self {
        if width == 0 { Self::default() } else { Self::MAX.shr(Self::BITS - width) }
    }
}

macro_rules! lane {
    ($($ty:ty),*) => {$(
        impl Lane for $ty {
            const BITS: u32 = <$ty>::BITS;
            const LANES: usize = ROW_BYTES / size_of::<$ty>();
            const MAX: Self = <$ty>::MAX;

            #[inline(always)]
            fn truncate(value: u64) -> Self {
                value as $ty
            }
            #[inline(always)]
            fn to_u64(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn shl(self, bits: u32) -> Self {
                self.wrapping_shl(bits)
            }
            #[inline(always)]
            fn shr(self, bits: u32) -> Self {
                self.wrapping_shr(bits)
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self & other
            }
            #[inline(always)]
            fn load(row: &[u8; ROW_BYTES], lane: usize) -> Self {
                const SIZE: usize = size_of::<$ty>();
                let (lanes, _) = row.as_chunks::<SIZE>();
                <$ty>::from_le_bytes(lanes[lane])
            }
            #[inline(always)]
            fn store(self, row: &mut [u8; ROW_BYTES], lane: usize) {
                const SIZE: usize = size_of::<$ty>();
                let (lanes, _) = row.as_chunks_mut::<SIZE>();
                lanes[lane] = self.to_le_bytes();
            }
        }
    )*};
}

lane!(u8, u16, u32, u64);

/// Bits of the narrowest lane that holds `width` bits.
#[inline(always)]
pub(super) fn lane_bits(width: u32) -> u32 {
    match width {
        0..=8 => 8,
        9..=16 => 16,
        17..=32 => 32,
        _ => 64,
    }
}

/// How packed numbers stand in their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackedLayout {
    Rows,
    Sequence,
}

/// Bytes of `len` numbers of `width` bits as rows: the rows of words that hold the rows of numbers.
#[inline]
fn row_bytes(width: u32, len: usize) -> usize {
    // Shifts, because three divisions take as long as unpacking a tenth of a vector.
    let bits_shift = lane_bits(width).trailing_zeros();
    let lanes_shift = (ROW_BYTES * 8).trailing_zeros() - bits_shift;
    let rows = (len + (1 << lanes_shift) - 1) >> lanes_shift;
    ((rows * width as usize + (1 << bits_shift) - 1) >> bits_shift) * ROW_BYTES
}

#[inline]
fn sequence_bytes(width: u32, len: usize) -> usize {
    (len * width as usize).div_ceil(8)
}

/// The layout of `len` numbers of `width` bits.
#[inline]
pub(super) fn packed_layout(width: u32, len: usize) -> PackedLayout {
    if len == VECTOR_LEN {
        return PackedLayout::Rows;
    }
    let is_short = sequence_bytes(width, len) * 8 <= row_bytes(width, len) * 7;
    if is_short { PackedLayout::Sequence } else { PackedLayout::Rows }
}

/// Bytes of `len` numbers of `width` bits (at most 64).
#[inline]
pub(crate) fn packed_bytes(width: u32, len: usize) -> usize {
    if len == VECTOR_LEN {
        // Every row is full, so that no bit is lost.
        return VECTOR_LEN / 8 * width as usize;
    }
    match packed_layout(width, len) {
        PackedLayout::Rows => row_bytes(width, len),
        PackedLayout::Sequence => sequence_bytes(width, len),
    }
}

const _: () = assert!(VECTOR_LEN.is_multiple_of(ROW_BYTES), "a full vector has whole rows in every lane type");
