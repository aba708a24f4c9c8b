//! Packs numbers into the layouts of `lane` and unpacks them.

use std::mem::MaybeUninit;

use super::lane::{Lane, PackedLayout, ROW_BYTES, packed_bytes, packed_layout};
use super::level::{Level, dispatch};
use super::sequence::{pack_sequence, unpack_sequence};
use crate::encoding::VECTOR_LEN;

dispatch! {
    /// Appends the lowest `width` bits of `values[i] - base - i * step`.
    pub(crate) fn pack_linear(values: &[i64], base: i64, step: i64, width: u32, out: &mut Vec<u8>) =
        pack_linear_body, pack_linear_body, pack_linear_body;

    /// Appends 0, then `values[i] - values[i - 1] - step`, the lowest `width` bits of each.
    pub(crate) fn pack_delta(values: &[i64], step: i64, width: u32, out: &mut Vec<u8>) =
        pack_delta_body, pack_delta_body, pack_delta_body;

    /// Decodes `base + i * step + packed[i]`. `data` has `packed_bytes` bytes. `out` has at least `len` values, rounded
    /// up to a multiple of 16; those from `len` on are unspecified.
    pub(crate) fn unpack_linear(data: &[u8], width: u32, len: usize, base: i64, step: i64, out: &mut [i64]) =
        unpack_linear_body, unpack_linear_body, unpack_linear_body;
}

/// Values that are widened at a time: the lanes of a row of the widest lane type.
const BLOCK: usize = <u64 as Lane>::LANES;

/// Runs a block with `$lane` as the lane type of `$width`.
macro_rules! with_lane {
    ($width:expr, $lane:ident => $body:expr) => {
        match super::lane::lane_bits($width) {
            8 => {
                type $lane = u8;
                $body
            }
            16 => {
                type $lane = u16;
                $body
            }
            32 => {
                type $lane = u32;
                $body
            }
            _ => {
                type $lane = u64;
                $body
            }
        }
    };
}
pub(super) use with_lane;

#[inline(always)]
fn pack_linear_body(values: &[i64], base: i64, step: i64, width: u32, out: &mut Vec<u8>) {
    with_lane!(width, T => {
        let (mut lanes, mask) = (lanes::<T>(), T::low_bits(width));
        let mut line = base;
        for (lane, value) in lanes.iter_mut().zip(values) {
            lane.write(T::truncate(value.wrapping_sub(line).cast_unsigned()).and(mask));
            line = line.wrapping_add(step);
        }
        pack(&mut lanes, width, values.len(), out);
    });
}

#[inline(always)]
fn pack_delta_body(values: &[i64], step: i64, width: u32, out: &mut Vec<u8>) {
    with_lane!(width, T => {
        let (mut lanes, mask) = (lanes::<T>(), T::low_bits(width));
        lanes[0].write(T::default());
        for (lane, (before, value)) in lanes[1..].iter_mut().zip(values.iter().zip(&values[1..])) {
            let delta = value.wrapping_sub(*before).wrapping_sub(step);
            lane.write(T::truncate(delta.cast_unsigned()).and(mask));
        }
        pack(&mut lanes, width, values.len(), out);
    });
}

/// Appends the first `len` lanes, which the caller has written, packed, with zeros up to the end of the last row.
#[inline(always)]
fn pack<T: Lane>(lanes: &mut [MaybeUninit<T>; VECTOR_LEN], width: u32, len: usize, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let lanes = &mut lanes[..len.next_multiple_of(T::LANES)];
    for lane in &mut lanes[len..] {
        lane.write(T::default());
    }
    // SAFETY: the caller has written the lanes up to `len`, the loop above those behind.
    let lanes = unsafe { lanes.assume_init_mut() };
    if packed_layout(width, len) == PackedLayout::Sequence {
        return pack_sequence(&lanes[..len], width, out);
    }
    let start = out.len();
    out.resize(start + packed_bytes(width, len), 0);
    let (words, _) = out[start..].as_chunks_mut::<ROW_BYTES>();
    // A row of words is collected in registers as far as they go, not in `out`, of which the compiler knows less.
    let mut pending = [T::default(); ROW_BYTES];
    let pending = &mut pending[..T::LANES];
    let (mut word, mut shift) = (0, 0);
    for lanes in lanes.chunks_exact(T::LANES) {
        for (pending, lane) in pending.iter_mut().zip(lanes) {
            *pending = pending.or(lane.shl(shift));
        }
        shift += width;
        if shift >= T::BITS {
            store(pending, &mut words[word]);
            word += 1;
            shift -= T::BITS;
            if shift == 0 {
                pending.fill(T::default());
            } else {
                for (pending, lane) in pending.iter_mut().zip(lanes) {
                    *pending = lane.shr(width - shift);
                }
            }
        }
    }
    if shift > 0 {
        store(pending, &mut words[word]);
    }
}

#[inline(always)]
fn store<T: Lane>(lanes: &[T], row: &mut [u8; ROW_BYTES]) {
    for (index, lane) in lanes.iter().enumerate() {
        lane.store(row, index);
    }
}

/// Room for the lanes of a vector, not cleared: clearing 64-bit lanes would take a third of the time of decoding them.
#[inline(always)]
pub(super) fn lanes<T: Lane>() -> [MaybeUninit<T>; VECTOR_LEN] {
    [const { MaybeUninit::uninit() }; VECTOR_LEN]
}

/// Unpacks whole blocks into `out` and returns them; lanes beyond `len` are any numbers.
#[inline(always)]
pub(super) fn unpack<'a, T: Lane>(
    data: &[u8],
    width: u32,
    len: usize,
    out: &'a mut [MaybeUninit<T>; VECTOR_LEN],
) -> &'a mut [T] {
    unpack_front(data, width, len, len, out)
}

/// The same up to number `count`, which is at most `len`.
#[inline(always)]
pub(super) fn unpack_front<'a, T: Lane>(
    data: &[u8],
    width: u32,
    len: usize,
    count: usize,
    out: &'a mut [MaybeUninit<T>; VECTOR_LEN],
) -> &'a mut [T] {
    let out = if width == 0 {
        let out = &mut out[..count.next_multiple_of(BLOCK)];
        out.fill(MaybeUninit::new(T::default()));
        out
    } else if packed_layout(width, len) == PackedLayout::Sequence {
        let out = &mut out[..count.next_multiple_of(BLOCK)];
        unpack_sequence(data, width, out);
        out
    } else {
        // A row is one block or several.
        let out = &mut out[..count.next_multiple_of(T::LANES)];
        unpack_rows(data, width, out);
        out
    };
    // SAFETY: each branch has written every lane of `out`.
    unsafe { out.assume_init_mut() }
}

/// The same for numbers of at most 8 bits on a processor that takes groups apart at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
#[inline]
pub(super) fn unpack_bytes_avx512<'a>(
    data: &[u8],
    width: u32,
    len: usize,
    count: usize,
    out: &'a mut [MaybeUninit<u8>; VECTOR_LEN],
) -> &'a mut [u8] {
    if width == 0 || packed_layout(width, len) == PackedLayout::Rows {
        return unpack_front(data, width, len, count, out);
    }
    let out = &mut out[..count.next_multiple_of(BLOCK)];
    super::sequence::unpack_bytes_bmi2(data, width, out);
    // SAFETY: whole blocks are whole groups, and each group was written.
    unsafe { out.assume_init_mut() }
}

/// Unpacks whole rows.
#[inline(always)]
fn unpack_rows<T: Lane>(data: &[u8], width: u32, out: &mut [MaybeUninit<T>]) {
    let (words, _) = data.as_chunks::<ROW_BYTES>();
    let mask = T::low_bits(width);
    for (row, out) in out.chunks_exact_mut(T::LANES).enumerate() {
        let bit = row as u32 * width;
        let (word, shift) = ((bit / T::BITS) as usize, bit % T::BITS);
        let low = &words[word];
        if shift + width <= T::BITS {
            for (lane, out) in out.iter_mut().enumerate() {
                out.write(T::load(low, lane).shr(shift).and(mask));
            }
        } else {
            let high = &words[word + 1];
            for (lane, out) in out.iter_mut().enumerate() {
                out.write(T::load(low, lane).shr(shift).or(T::load(high, lane).shl(T::BITS - shift)).and(mask));
            }
        }
    }
}

#[inline(always)]
fn unpack_linear_body(data: &[u8], width: u32, len: usize, base: i64, step: i64, out: &mut [i64]) {
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        let lanes = unpack(data, width, len, &mut lanes);
        // Every lane type has whole blocks in a row, so that no loop has a remainder.
        let len = len.next_multiple_of(BLOCK);
        let (out, lanes) = (&mut out[..len], &lanes[..len]);
        if step == 0 {
            for (out, lane) in out.iter_mut().zip(lanes) {
                *out = base.wrapping_add(lane.to_u64().cast_signed());
            }
        } else {
            let mut line = base;
            for (out, lane) in out.iter_mut().zip(lanes) {
                *out = line.wrapping_add(lane.to_u64().cast_signed());
                line = line.wrapping_add(step);
            }
        }
    });
}
