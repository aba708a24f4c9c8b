//! The list of outliers of a vector: place and high bits of each number that is wider than the packed ones.
//!
//! Bytes: the number of patches less one, the width of the high bits, then all patches as one sequence of bits, of each
//! the place (10 bits) and the high bits in zigzag order (0, -1, 1, -2, ...).

use super::kernel::Patch;
use super::{DecodeError, Mask, VECTOR_LEN, kernel};

/// The most patches of a vector. Beyond it, numbers are better packed in their own width, and decoders need no heap.
pub(super) const PATCHES_MAX: usize = 128;

const POSITION_BITS: u32 = VECTOR_LEN.trailing_zeros();
const HEAD_BYTES: usize = 2;

/// Bytes of a list of patches.
pub(super) fn patch_bytes(count: usize, excess_width: u32) -> usize {
    HEAD_BYTES + (count * (POSITION_BITS + excess_width) as usize).div_ceil(8)
}

fn zigzag(excess: i64) -> u64 {
    (excess << 1 ^ excess >> 63).cast_unsigned()
}

fn from_zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Bits of an unsigned number.
pub(super) fn width_of(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// The patches of a vector that is being encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct PatchList {
    patches: [Patch; PATCHES_MAX],
    count: usize,
    excess_width: u32,
}

impl PatchList {
    /// Of the positions in `outliers`, whose numbers `number_at` gives; `None` when they are none or too many.
    pub(super) fn new(outliers: &Mask, width: u32, number_at: impl Fn(usize) -> i64) -> Option<Self> {
        let count = kernel::mask_count(outliers);
        if count == 0 || count > PATCHES_MAX {
            return None;
        }
        let mut list = Self { patches: [Patch::default(); PATCHES_MAX], count, excess_width: 0 };
        for (patch, position) in list.patches.iter_mut().zip(kernel::mask_iter(outliers)) {
            *patch = Patch { position: position as u16, excess: number_at(position) >> width };
            list.excess_width = list.excess_width.max(width_of(zigzag(patch.excess)));
        }
        Some(list)
    }

    pub(super) fn bytes(&self) -> usize {
        patch_bytes(self.count, self.excess_width)
    }

    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[(self.count - 1) as u8, self.excess_width as u8]);
        let (mut bits, mut used) = (0u128, 0);
        for patch in &self.patches[..self.count] {
            let number = u128::from(zigzag(patch.excess)) << POSITION_BITS | u128::from(patch.position);
            bits |= number << used;
            used += POSITION_BITS + self.excess_width;
            while used >= 8 {
                out.push(bits as u8);
                bits >>= 8;
                used -= 8;
            }
        }
        if used > 0 {
            out.push(bits as u8);
        }
    }
}

/// Splits the list of patches off the front of `rest`.
pub(super) fn take_patches<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    const CUT: DecodeError = DecodeError { reason: "the list of outliers is cut off" };
    let &[count, excess_width] = rest.first_chunk::<HEAD_BYTES>().ok_or(CUT)?;
    let (count, excess_width) = (usize::from(count) + 1, u32::from(excess_width));
    if count > PATCHES_MAX || excess_width > 64 {
        return Err(DecodeError::new("the list of outliers has an impossible head"));
    }
    let (list, behind) = rest.split_at_checked(patch_bytes(count, excess_width)).ok_or(CUT)?;
    *rest = behind;
    Ok(list)
}

/// Decodes a list that `take_patches` split off, of a vector of `len` values.
pub(super) fn decode_patches<'a>(
    list: &[u8],
    len: usize,
    room: &'a mut [Patch; PATCHES_MAX],
) -> Result<&'a [Patch], DecodeError> {
    let Some(([count, excess_width], bits)) = list.split_first_chunk::<HEAD_BYTES>() else { return Ok(&[]) };
    let (count, excess_width) = (usize::from(*count) + 1, u32::from(*excess_width));
    let patch_bits = POSITION_BITS + excess_width;
    let excess_mask = u64::MAX.checked_shr(u64::BITS - excess_width).unwrap_or(0);
    let mut next_position = 0;
    for (index, patch) in room[..count].iter_mut().enumerate() {
        let bit = index * patch_bits as usize;
        // Seven bits before and 74 of a patch lie within sixteen bytes.
        let bytes = &bits[bit / 8..];
        let window = bytes.first_chunk().copied().unwrap_or_else(|| {
            let mut window = [0; 16];
            window[..bytes.len()].copy_from_slice(bytes);
            window
        });
        let number = u128::from_le_bytes(window) >> (bit % 8);
        let position = number as usize % VECTOR_LEN;
        if position < next_position || position >= len {
            return Err(DecodeError::new("an outlier lies beyond the vector or out of order"));
        }
        next_position = position + 1;
        let excess = from_zigzag((number >> POSITION_BITS) as u64 & excess_mask);
        *patch = Patch { position: position as u16, excess };
    }
    Ok(&room[..count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zigzag_is_a_bijection_of_small_numbers_to_small_numbers() {
        for (number, excess) in [0, -1, 1, -2, 2].into_iter().enumerate() {
            assert_eq!((zigzag(excess), from_zigzag(number as u64)), (number as u64, excess));
        }
        for excess in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            assert_eq!(from_zigzag(zigzag(excess)), excess);
        }
    }

    #[test]
    fn patches_of_every_width_and_count_come_back() {
        for excess_width in 0..=64 {
            for count in [1, 2, 3, 7, 8, 127, 128] {
                let mut positions = [0; 16];
                (0..count).for_each(|index| kernel::mask_set_range(&mut positions, index * 7 + 3..index * 7 + 4));
                let number = |position: usize| {
                    from_zigzag(
                        (position as u64)
                            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                            .checked_shr(64 - excess_width)
                            .unwrap_or(0),
                    )
                };
                let list = PatchList::new(&positions, 0, number).unwrap();
                let mut bytes = Vec::new();
                list.append_to(&mut bytes);
                assert_eq!(bytes.len(), list.bytes());
                let (mut rest, mut room) = (bytes.as_slice(), [Patch::default(); PATCHES_MAX]);
                let taken = take_patches(&mut rest).unwrap();
                let patches = decode_patches(taken, 1024, &mut room).unwrap();
                assert!(rest.is_empty());
                let expected = kernel::mask_iter(&positions);
                let expected = expected.map(|position| Patch { position: position as u16, excess: number(position) });
                assert_eq!(patches, expected.collect::<Vec<_>>());
                let last = usize::from(patches[count - 1].position);
                assert!(decode_patches(&bytes, last, &mut room).is_err(), "beyond the vector");
                assert!((0..bytes.len()).all(|cut| take_patches(&mut &bytes[..cut]).is_err()));
            }
        }
    }
}
