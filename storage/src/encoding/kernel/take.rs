//! Takes the values of a mask out of a vector.

use std::mem::MaybeUninit;

use super::level::{Level, dispatch};
use super::mask::{mask_count, mask_iter, mask_truncate};
use super::{as_bits, lane};
use crate::encoding::Mask;

/// Values that one store writes; those behind the last one are overwritten or left out.
const STORE: usize = lane::ROW_BYTES / 2 / size_of::<i64>();

/// Appends the values whose bit is set. There are at most as many values as bits; bits of more are ignored.
pub fn take_i64(values: &[i64], mask: &Mask, out: &mut Vec<i64>) {
    let (mask, count) = cut(mask, values.len());
    out.reserve(count + STORE);
    let taken = take(values, &mask, &mut out.spare_capacity_mut()[..count + STORE]);
    debug_assert_eq!(taken, count);
    // SAFETY: a value was written for each bit of the mask.
    unsafe { out.set_len(out.len() + taken) };
}

/// Appends the values whose bit is set. There are at most as many values as bits; bits of more are ignored.
pub fn take_f64(values: &[f64], mask: &Mask, out: &mut Vec<f64>) {
    let (mask, count) = cut(mask, values.len());
    out.reserve(count + STORE);
    let room: *mut [MaybeUninit<f64>] = &raw mut out.spare_capacity_mut()[..count + STORE];
    // SAFETY: both types have the same size and alignment, and every bit pattern is a value of both.
    let taken = take(as_bits(values), &mask, unsafe { &mut *(room as *mut [MaybeUninit<i64>]) });
    debug_assert_eq!(taken, count);
    // SAFETY: a value was written for each bit of the mask.
    unsafe { out.set_len(out.len() + taken) };
}

/// The bits of the first `len` values and their number.
fn cut(mask: &Mask, len: usize) -> (Mask, usize) {
    assert!(len <= u64::BITS as usize * mask.len(), "a mask has a bit for every value");
    let mut mask = *mask;
    mask_truncate(&mut mask, len);
    (mask, mask_count(&mask))
}

dispatch! {
    /// Writes the values whose bit is set to the front of `out`, which has room for [`STORE`] more, and says how many.
    /// No bit is set behind the last value.
    fn take(values: &[i64], mask: &Mask, out: &mut [MaybeUninit<i64>]) -> usize =
        x86::take_avx512, take_body, take_body;
}

#[inline(always)]
fn take_body(values: &[i64], mask: &Mask, out: &mut [MaybeUninit<i64>]) -> usize {
    let mut taken = 0;
    for (row, out) in mask_iter(mask).zip(out) {
        out.write(values[row]);
        taken += 1;
    }
    taken
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn take_avx512(values: &[i64], mask: &Mask, out: &mut [MaybeUninit<i64>]) -> usize {
        let mut taken = 0;
        for (values, &word) in values.chunks(64).zip(mask) {
            if word == 0 {
                continue;
            }
            for (index, values) in values.chunks(STORE).enumerate() {
                let bits = (word >> (index * STORE)) as u8;
                if bits == 0 {
                    continue;
                }
                let room = &mut out[taken..taken + STORE];
                // SAFETY: only values whose bit is set are read, and those lie within `values`; the room takes a register.
                unsafe {
                    let values = _mm512_maskz_loadu_epi64(bits, values.as_ptr());
                    _mm512_storeu_epi64(room.as_mut_ptr().cast(), _mm512_maskz_compress_epi64(bits, values));
                }
                taken += bits.count_ones() as usize;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::VECTOR_LEN;

    #[test]
    fn values_of_every_kind_of_mask_are_taken_in_order() {
        let values: Vec<i64> = (0..VECTOR_LEN as i64).map(|row| row * 0x1234_5678_9ABC - 77).collect();
        let floats: Vec<f64> = values.iter().map(|&value| f64::from_bits(value.cast_unsigned())).collect();
        let masks: [Mask; 6] = [
            [0; 16],
            [u64::MAX; 16],
            [1; 16],
            [1 << 63; 16],
            [0xFF00_FF00_0000_00F0; 16],
            std::array::from_fn(|word| 0x9E37_79B9_7F4A_7C15_u64.rotate_left(word as u32 * 7)),
        ];
        for mask in &masks {
            for len in [0, 1, 7, 8, 9, 63, 64, 65, 1_000, VECTOR_LEN] {
                let expected: Vec<i64> =
                    (0..len).filter(|row| mask[row / 64] >> (row % 64) & 1 == 1).map(|row| values[row]).collect();
                let (mut integers, mut doubles) = (vec![5], Vec::new());
                take_i64(&values[..len], mask, &mut integers);
                assert_eq!((integers[0], &integers[1..]), (5, expected.as_slice()), "{len} values");
                take_f64(&floats[..len], mask, &mut doubles);
                assert_eq!(as_bits(&doubles), expected.as_slice(), "{len} values");
                for level in Level::available() {
                    let (mask, count) = cut(mask, len);
                    let mut room = vec![MaybeUninit::new(0); count + STORE];
                    assert_eq!(at::take(level, &values[..len], &mask, &mut room), count, "{level:?}");
                    // SAFETY: all of it was initialised.
                    let taken: Vec<i64> = room[..count].iter().map(|value| unsafe { value.assume_init() }).collect();
                    assert_eq!(taken, expected, "{level:?}");
                }
            }
        }
    }
}
