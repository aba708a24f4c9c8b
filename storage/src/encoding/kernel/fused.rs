//! Aggregates of packed numbers in their narrow lanes, without widening them.

use super::level::{Level, dispatch};
use super::pack::{lanes, unpack, with_lane};

dispatch! {
    /// Sum of the packed numbers of a vector. `data` has `packed_bytes` bytes.
    pub(crate) fn sum_packed(data: &[u8], width: u32, len: usize) -> u128 =
        sum_packed_body, sum_packed_body, sum_packed_body;

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
        u64::from(lanes.iter().fold(0u32, |sum, lane| sum.wrapping_add(lane.widen() as u32)))
    } else {
        lanes.iter().fold(0u64, |sum, lane| sum.wrapping_add(lane.widen()))
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
        (min.widen(), max.widen())
    })
}
