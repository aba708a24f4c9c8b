//! Aggregates of packed numbers in their narrow lanes, without widening them.

use super::level::{Level, dispatch};
use super::pack::{lanes, unpack, with_lane};

dispatch! {
    /// Sum of the packed numbers of a vector. `data` has `packed_bytes` bytes.
    pub(crate) fn sum_packed(data: &[u8], width: u32, len: usize) -> u128 =
        sum_packed_body, sum_packed_body, sum_packed_body;

    /// Sum of `packed[i] * (len - i)` without the first number: what packed differences add to the sum of the values
    /// that they lead to. `data` has `packed_bytes` bytes.
    pub(crate) fn weighted_sum_packed(data: &[u8], width: u32, len: usize) -> u128 =
        weighted_sum_packed_body, weighted_sum_packed_body, weighted_sum_packed_body;

    /// Minimum and maximum of the packed numbers of a vector of at least one value. `data` has `packed_bytes` bytes.
    pub(crate) fn min_max_packed(data: &[u8], width: u32, len: usize) -> (u64, u64) =
        min_max_packed_body, min_max_packed_body, min_max_packed_body;
}

#[inline(always)]
fn sum_packed_body(data: &[u8], width: u32, len: usize) -> u128 {
    if width > 32 {
        let mut lanes = lanes::<u64>();
        let lanes = unpack(data, width, len, &mut lanes);
        let (mut low, mut high) = (0u64, 0u64);
        for lane in &lanes[..len] {
            low += lane & 0xFFFF_FFFF;
            high += lane >> 32;
        }
        return (u128::from(high) << 32) + u128::from(low);
    }
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        let lanes = unpack(data, width, len, &mut lanes);
        u128::from(sum_lanes(&lanes[..len]))
    })
}

#[inline(always)]
fn sum_lanes<T: super::lane::Lane>(lanes: &[T]) -> u64 {
    if T::BITS <= 16 {
        // 1024 numbers of 16 bits add up within 32 bits.
        u64::from(lanes.iter().fold(0u32, |sum, lane| sum.wrapping_add(lane.to_u64() as u32)))
    } else {
        lanes.iter().fold(0u64, |sum, lane| sum.wrapping_add(lane.to_u64()))
    }
}

/// For lanes `$lane`, of which sums over the rows of a vector fit in `$sum`, and these, each times its place in a row, in
/// `$total`.
///
/// A number counts once for each value from its own on. With rows taken in order, adding a row to the sums of the lanes
/// and these to a second set counts each number once for its own and every later row, in additions of narrow lanes; the
/// places within the rows are put right at the end.
macro_rules! weighted_sum {
    ($data:expr, $width:expr, $len:expr, $lane:ty, $sum:ty, $total:ty) => {{
        const LANES: usize = <$lane as super::lane::Lane>::LANES;
        let mut lanes = lanes::<$lane>();
        let lanes = &unpack($data, $width, $len, &mut lanes)[..$len];
        let (rows, rest) = lanes.as_chunks::<LANES>();
        let (mut once, mut often) = ([0 as $sum; LANES], [0 as $sum; LANES]);
        for row in rows {
            for ((once, often), &lane) in once.iter_mut().zip(&mut often).zip(row) {
                *once += <$sum>::from(lane);
                *often += *once;
            }
        }
        let (mut all_once, mut all_often, mut by_place) = (0 as $total, 0 as $total, 0 as $total);
        for ((&once, &often), place) in once.iter().zip(&often).zip(0..) {
            all_once += <$total>::from(once);
            all_often += <$total>::from(often);
            by_place += <$total>::from(once) * place;
        }
        // Behind the last whole row there are more values; in its own row a number does not count for those before it.
        let end_of_rows = (rows.len() * LANES) as u64;
        let mut sum = u64::from(all_often) * LANES as u64 + u64::from(all_once) * ($len as u64 - end_of_rows);
        sum -= u64::from(by_place);
        for (&lane, place) in rest.iter().zip(end_of_rows..) {
            sum += u64::from(lane) * ($len as u64 - place);
        }
        // Number 0 is none.
        sum - lanes.first().map_or(0, |&lane| u64::from(lane) * $len as u64)
    }};
}

#[inline(always)]
fn weighted_sum_packed_body(data: &[u8], width: u32, len: usize) -> u128 {
    match super::lane::lane_bits(width) {
        // Of 8 rows of 128 lanes, and 16 of 64: 255 * 36 and 65535 * 136 are the largest sums, and 255 * 8 and
        // 65535 * 16 times the sum of the places below 128 and 64.
        8 => u128::from(weighted_sum!(data, width, len, u8, u16, u32)),
        16 => u128::from(weighted_sum!(data, width, len, u16, u32, u32)),
        32 => u128::from(weighted_sum!(data, width, len, u32, u64, u64)),
        _ => {
            let mut lanes = lanes::<u64>();
            let lanes = unpack(data, width, len, &mut lanes);
            let (mut low, mut high) = (0u64, 0u64);
            for (lane, weight) in lanes[1..len].iter().zip((1..len as u64).rev()) {
                low += (lane & 0xFFFF_FFFF) * weight;
                high += (lane >> 32) * weight;
            }
            (u128::from(high) << 32) + u128::from(low)
        }
    }
}

#[inline(always)]
fn min_max_packed_body(data: &[u8], width: u32, len: usize) -> (u64, u64) {
    use super::lane::Lane;
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        let lanes = unpack(data, width, len, &mut lanes);
        let (mut min, mut max) = (T::MAX, T::default());
        for &lane in &lanes[..len] {
            min = min.min(lane);
            max = max.max(lane);
        }
        (min.to_u64(), max.to_u64())
    })
}
