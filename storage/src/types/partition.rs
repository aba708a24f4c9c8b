//! Partitions: aligned ranges of time, each as wide as its table says.

use super::TimeRange;

/// The partition of width `width_ns` that a time falls into. Partitions are aligned to the epoch; the first and the last
/// one are cut off at the ends of `i64`.
///
/// # Panics
/// When the width is zero, which no schema allows.
pub fn partition_of(time_ns: i64, width_ns: i64) -> TimeRange {
    let index = time_ns.div_euclid(width_ns);
    let start_ns = index.checked_mul(width_ns).unwrap_or(i64::MIN);
    let end_ns = match index.checked_add(1).and_then(|next| next.checked_mul(width_ns)) {
        Some(next_start) => next_start - 1,
        None => i64::MAX,
    };
    TimeRange { start_ns, end_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_its_partition_and_partitions_adjoin() {
        for width in [1, 2, 7, 1_000, 86_400_000_000_000, i64::MAX] {
            for time in [i64::MIN, i64::MIN + 1, -width, -1, 0, 1, width - 1, width, i64::MAX - 1, i64::MAX] {
                let partition = partition_of(time, width);
                assert!(partition.contains(time), "{time} of width {width} in {partition:?}");
                assert_eq!(partition_of(partition.start_ns, width), partition);
                assert_eq!(partition_of(partition.end_ns, width), partition);
                if partition.end_ns < i64::MAX {
                    assert_eq!(partition_of(partition.end_ns + 1, width).start_ns, partition.end_ns + 1);
                }
            }
        }
    }
}
