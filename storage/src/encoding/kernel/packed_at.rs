//! One packed number, read where it stands.

use super::lane::{Lane, PackedLayout, ROW_BYTES, packed_layout};
use super::pack::with_lane;

/// Number `index` of `len` numbers of `width` bits (at most 64). `data` has `packed_bytes` bytes, `index` is below `len`.
pub(crate) fn packed_at(data: &[u8], width: u32, len: usize, index: usize) -> u64 {
    if width == 0 {
        return 0;
    }
    match packed_layout(width, len) {
        PackedLayout::Sequence => {
            let bit = index * width as usize;
            // Seven bits before and 64 of a number lie within sixteen bytes.
            let bytes = &data[bit / 8..];
            let window = bytes.first_chunk().copied().unwrap_or_else(|| {
                let mut window = [0; 16];
                window[..bytes.len()].copy_from_slice(bytes);
                window
            });
            (u128::from_le_bytes(window) >> (bit % 8)) as u64 & u64::low_bits(width)
        }
        PackedLayout::Rows => with_lane!(width, T => lane_at::<T>(data, width, index)),
    }
}

fn lane_at<T: Lane>(data: &[u8], width: u32, index: usize) -> u64 {
    let (words, _) = data.as_chunks::<ROW_BYTES>();
    let (row, lane) = (index / T::LANES, index % T::LANES);
    let bit = row as u32 * width;
    let (word, shift) = ((bit / T::BITS) as usize, bit % T::BITS);
    let mut number = T::load(&words[word], lane).shr(shift);
    if shift + width > T::BITS {
        number = number.or(T::load(&words[word + 1], lane).shl(T::BITS - shift));
    }
    number.and(T::low_bits(width)).to_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::VECTOR_LEN;
    use crate::encoding::kernel::pack::{pack_linear, unpack_linear};

    #[test]
    fn each_number_of_every_width_and_length_is_found_alone() {
        for width in 0..=64 {
            let most = u64::MAX.checked_shr(64 - width).unwrap_or(0);
            for len in [1, 9, 100, 360, 832, 1_000, VECTOR_LEN] {
                let numbers: Vec<i64> = (0..len as u64)
                    .map(|index| (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) & most).cast_signed())
                    .collect();
                let mut data = Vec::new();
                pack_linear(&numbers, 0, 0, width, &mut data);
                let mut all = [0; VECTOR_LEN];
                unpack_linear(&data, width, len, 0, 0, &mut all);
                for (index, &number) in all[..len].iter().enumerate() {
                    let found = packed_at(&data, width, len, index).cast_signed();
                    assert_eq!(found, number, "{width} bits, number {index} of {len}");
                }
                assert_eq!(all[..len], numbers, "{width} bits");
            }
        }
    }
}
