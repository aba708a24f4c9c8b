//! Sums of the packed numbers of parts of a vector, in their narrow lanes: unpacked once, never widened.

use super::lane::Lane;
use super::level::{Level, dispatch};
use super::pack::{lanes, unpack_front, with_lane};

/// The widest numbers that these functions take.
pub(crate) const PART_WIDTH_MAX: u32 = 32;

/// What the packed numbers of a part come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PartSum {
    /// Their sum.
    pub(crate) once: u64,
    /// The sum of each times the number of positions from its own to the end of the part: what differences add to the
    /// sum of the values that they lead to.
    pub(crate) weighted: u64,
}

dispatch! {
    /// Sums of the numbers between each cut and the next one; `weighted` is any number. `data` has `packed_bytes`
    /// bytes, `width` is at most [`PART_WIDTH_MAX`], cuts ascend up to `len`, and `out` has one element less than they.
    pub(crate) fn sum_parts(data: &[u8], width: u32, len: usize, cuts: &[usize], out: &mut [PartSum]) =
        x86::sum_parts_avx512, sum_parts_body, sum_parts_body;

    /// Both sums of the numbers between each cut and the next one, number 0 of the vector taken as 0; otherwise as
    /// `sum_parts`.
    pub(crate) fn weighted_sum_parts(data: &[u8], width: u32, len: usize, cuts: &[usize], out: &mut [PartSum]) =
        x86::weighted_sum_parts_avx512, weighted_sum_parts_body, weighted_sum_parts_body;
}

/// How many numbers are looked at; at least one, which the vector has.
#[inline(always)]
fn last_of(cuts: &[usize]) -> usize {
    cuts.last().map_or(1, |&last| last.max(1))
}

#[inline(always)]
fn sum_parts_body(data: &[u8], width: u32, len: usize, cuts: &[usize], out: &mut [PartSum]) {
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        let lanes = unpack_front(data, width, len, last_of(cuts), &mut lanes);
        for (cut, out) in cuts.array_windows().zip(out) {
            let &[start, end] = cut;
            out.once = lanes[start..end].iter().fold(0u64, |sum, &lane| sum.wrapping_add(Lane::to_u64(lane)));
        }
    });
}

/// Of lanes `$lane`, of which sums over a vector and sums of these sums fit in `$sum`.
///
/// Rows of 64 bytes are taken in order. Adding a row to the sums of the lanes and these to a second set counts each
/// number once for its own and every later row; the places within the rows are put right at the end.
macro_rules! weighted_parts {
    ($data:expr, $width:expr, $len:expr, $cuts:expr, $out:expr, $lane:ty, $sum:ty) => {{
        const LANES: usize = 64 / size_of::<$lane>();
        let mut lanes = lanes::<$lane>();
        let lanes = unpack_front($data, $width, $len, last_of($cuts), &mut lanes);
        lanes[0] = 0;
        for (cut, out) in $cuts.array_windows().zip($out) {
            let &[start, end] = cut;
            let (rows, rest) = lanes[start..end].as_chunks::<LANES>();
            // Zeros add nothing wherever they stand.
            let mut last = [0; LANES];
            last[..rest.len()].copy_from_slice(rest);
            let (mut once, mut often) = ([0 as $sum; LANES], [0 as $sum; LANES]);
            // Not one loop over both: that would keep the sums in memory.
            for row in rows {
                for ((once, often), &lane) in once.iter_mut().zip(&mut often).zip(row) {
                    *once += <$sum>::from(lane);
                    *often += *once;
                }
            }
            for ((once, often), &lane) in once.iter_mut().zip(&mut often).zip(&last) {
                *once += <$sum>::from(lane);
                *often += *once;
            }
            // How many positions follow the start of the row behind the last one: none, and some are missing.
            let behind = (end - start) as i64 - ((rows.len() + 1) * LANES) as i64;
            let (mut sum, mut weighted) = (0, 0);
            for ((&once, &often), place) in once.iter().zip(&often).zip(0i64..) {
                sum += u64::from(once);
                weighted += u64::from(often) as i64 * LANES as i64 + u64::from(once) as i64 * (behind - place);
            }
            *out = PartSum { once: sum, weighted: weighted.cast_unsigned() };
        }
    }};
}

#[inline(always)]
fn weighted_sum_parts_body(data: &[u8], width: u32, len: usize, cuts: &[usize], out: &mut [PartSum]) {
    match super::lane::lane_bits(width) {
        // 255 * 153, and 65535 * 561, are the largest.
        8 => weighted_parts!(data, width, len, cuts, out, u8, u16),
        16 => weighted_parts!(data, width, len, cuts, out, u16, u32),
        _ => weighted_parts!(data, width, len, cuts, out, u32, u64),
    }
}

/// Numbers of up to 8 bits in rows of 64: the instruction for sums of absolute differences adds a row up, and one that
/// multiplies bytes with signed bytes weighs it by the places in it. The places of the rows come from adding the sum so
/// far once more with every row, as above.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::pack::unpack_bytes_avx512;
    use super::*;

    const ROW: usize = 64;

    const PLACES: [i8; ROW] = {
        let mut places = [0; ROW];
        let mut place = 0;
        while place < ROW {
            places[place] = place as i8;
            place += 1;
        }
        places
    };

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn sum_parts_avx512(data: &[u8], width: u32, len: usize, cuts: &[usize], out: &mut [PartSum]) {
        if width > u8::BITS {
            return sum_parts_body(data, width, len, cuts, out);
        }
        let mut lanes = lanes();
        let lanes = unpack_bytes_avx512(data, width, len, last_of(cuts), &mut lanes);
        for (cut, out) in cuts.array_windows().zip(out) {
            let &[start, end] = cut;
            *out = sum_bytes(&lanes[start..end]);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn weighted_sum_parts_avx512(data: &[u8], width: u32, len: usize, cuts: &[usize], out: &mut [PartSum]) {
        if width > u8::BITS {
            return weighted_sum_parts_body(data, width, len, cuts, out);
        }
        let mut lanes = lanes();
        let lanes = unpack_bytes_avx512(data, width, len, last_of(cuts), &mut lanes);
        lanes[0] = 0;
        for (cut, out) in cuts.array_windows().zip(out) {
            let &[start, end] = cut;
            *out = sum_bytes(&lanes[start..end]);
        }
    }

    /// Both sums of the bytes of a part, at most a vector of them.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    fn sum_bytes(bytes: &[u8]) -> PartSum {
        let (zero, ones) = (_mm512_setzero_si512(), _mm512_set1_epi16(1));
        // SAFETY: the array is 64 bytes; unaligned load.
        let places = unsafe { _mm512_loadu_si512(PLACES.as_ptr().cast()) };
        let (mut once, mut often, mut by_place) = (zero, zero, zero);
        let mut add = |row: __m512i| {
            once = _mm512_add_epi64(once, _mm512_sad_epu8(row, zero));
            often = _mm512_add_epi64(often, once);
            // 255 * (62 + 63) fits 16 bits, and 16 rows of two such sums 32 bits.
            let pairs = _mm512_maddubs_epi16(row, places);
            by_place = _mm512_add_epi32(by_place, _mm512_madd_epi16(pairs, ones));
        };
        let (rows, rest) = bytes.as_chunks::<ROW>();
        for row in rows {
            // SAFETY: the row is 64 bytes; unaligned load.
            add(unsafe { _mm512_loadu_si512(row.as_ptr().cast()) });
        }
        let mut row_count = rows.len();
        if !rest.is_empty() {
            let present = u64::MAX >> (ROW - rest.len());
            // SAFETY: only bytes of `rest` are read; those masked out are not.
            add(unsafe { _mm512_maskz_loadu_epi8(present, rest.as_ptr().cast()) });
            row_count += 1;
        }
        let (once, often) = (_mm512_reduce_add_epi64(once), _mm512_reduce_add_epi64(often));
        // How many positions follow the last row: none, and some are missing.
        let behind = bytes.len() as i64 - (row_count * ROW) as i64;
        let weighted = often * ROW as i64 + once * behind - i64::from(_mm512_reduce_add_epi32(by_place));
        PartSum { once: once.cast_unsigned(), weighted: weighted.cast_unsigned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::VECTOR_LEN;
    use crate::encoding::kernel::pack::pack_linear;

    #[test]
    fn parts_of_every_width_and_length_add_up_on_every_instruction_set() {
        for width in 0..=PART_WIDTH_MAX {
            let most = u64::MAX.checked_shr(64 - width).unwrap_or(0);
            for (len, cuts) in [
                (1, vec![0, 1]),
                (31, vec![0, 0, 7, 31]),
                (360, vec![13, 13, 200, 360]),
                (1_000, vec![63, 64, 65, 128, 640, 999]),
                (VECTOR_LEN, vec![0, VECTOR_LEN]),
                (VECTOR_LEN, vec![0, 140, 500, 860, 1_024]),
            ] {
                let numbers: Vec<i64> = (0..len as u64)
                    .map(|row| (if row % 3 == 0 { most } else { row.wrapping_mul(0x9E37_79B9) & most }) as i64)
                    .collect();
                let mut data = Vec::new();
                pack_linear(&numbers, 0, 0, width, &mut data);
                let expected = |from: usize| -> Vec<PartSum> {
                    let part = |cut: &[usize]| {
                        let rows =
                            || (cut[0].max(from)..cut[1]).map(|row| (numbers[row] as u64, (cut[1] - row) as u64));
                        PartSum {
                            once: rows().map(|(number, _)| number).sum(),
                            weighted: rows().map(|(number, weight)| number * weight).sum(),
                        }
                    };
                    cuts.windows(2).map(part).collect()
                };
                for level in Level::available() {
                    let mut out = vec![PartSum::default(); cuts.len() - 1];
                    at::weighted_sum_parts(level, &data, width, len, &cuts, &mut out);
                    assert_eq!(out, expected(1), "{level:?}, {width} bits, {len} numbers");
                    at::sum_parts(level, &data, width, len, &cuts, &mut out);
                    let (once, all) = (out.iter().map(|part| part.once), expected(0));
                    assert!(once.eq(all.iter().map(|part| part.once)), "{level:?}, {width} bits, {len} numbers");
                }
            }
        }
    }
}
