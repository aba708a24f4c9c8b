//! Cuts the rows of a block at bucket boundaries: by arithmetic for regular times, by search for others.

use std::ops::Range;

use lynxstore_storage::snapshot::BlockTimes;

use crate::plan::Bucket;

/// Rows of a block that lie in one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketRun {
    /// The number of the bucket.
    pub(crate) ordinal: i64,
    /// The rows; never empty.
    pub(crate) rows: Range<usize>,
}

/// Calls `emit` for the runs of a block of `len` rows, in order.
///
/// Runs are short in the worst case, so the way from one to the next costs an addition where it can: the next bucket is
/// mostly the following one, and when the step of regular times divides its width every whole bucket has as many rows.
pub(crate) fn for_each_run(bucket: Bucket, times: BlockTimes<'_>, len: usize, mut emit: impl FnMut(BucketRun)) {
    let width_ns = bucket.fixed_width();
    let rows_per_bucket = match (times, width_ns) {
        (BlockTimes::Regular { step_ns, .. }, Some(width_ns)) if step_ns > 0 && width_ns % step_ns == 0 => {
            usize::try_from(width_ns / step_ns).ok()
        }
        _ => None,
    };
    let mut start = 0;
    let mut ordinal = bucket.ordinal(times.get(0));
    let mut last_ns = bucket.last(ordinal);
    let mut follows_whole_bucket = false;
    while start < len {
        let end = match (times, rows_per_bucket) {
            (_, Some(rows)) if follows_whole_bucket => start.saturating_add(rows).min(len),
            (BlockTimes::Regular { step_ns, .. }, _) if step_ns > 0 => {
                // The row at `start` lies in the bucket, so the difference is not negative; it may exceed i64.
                let left_ns = last_ns.wrapping_sub(times.get(start)).cast_unsigned();
                let more = usize::try_from(left_ns / step_ns.cast_unsigned()).unwrap_or(len);
                start.saturating_add(more).saturating_add(1).min(len)
            }
            (BlockTimes::Regular { .. }, _) => len,
            (BlockTimes::Slice(times), _) => end_in_slice(times, start, last_ns).max(start + 1),
        };
        emit(BucketRun { ordinal, rows: start..end });
        start = end;
        if start < len {
            let next_ns = times.get(start);
            follows_whole_bucket = false;
            match width_ns.and_then(|width_ns| last_ns.checked_add(width_ns)) {
                Some(next_last_ns) if next_ns <= next_last_ns => {
                    (ordinal, last_ns) = (ordinal + 1, next_last_ns);
                    follows_whole_bucket = true;
                }
                _ => {
                    ordinal = bucket.ordinal(next_ns);
                    last_ns = bucket.last(ordinal);
                }
            }
        }
    }
}

/// The first row from `start` on that is after `last_ns`: galloping, since runs are short or span the block.
fn end_in_slice(times: &[i64], start: usize, last_ns: i64) -> usize {
    if times.last().is_some_and(|last| *last <= last_ns) {
        return times.len();
    }
    let mut step = 1;
    let mut low = start;
    while low + step < times.len() && times[low + step] <= last_ns {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(times.len());
    low + times[low..high].partition_point(|time| *time <= last_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_and_listed_times_give_the_same_runs() {
        for (start_ns, step_ns, len) in [(0i64, 10, 100usize), (-95, 7, 60), (59, 60, 5), (3, 1, 1), (-1_000, 250, 9)] {
            let times: Vec<i64> = (0..len as i64).map(|row| start_ns + row * step_ns).collect();
            for bucket in [Bucket::fixed(60, 0), Bucket::fixed(1_000, 30), Bucket::months(1, 0)] {
                let (mut regular, mut listed) = (Vec::new(), Vec::new());
                for_each_run(bucket, BlockTimes::Regular { start_ns, step_ns }, len, |run| regular.push(run));
                for_each_run(bucket, BlockTimes::Slice(&times), len, |run| listed.push(run));
                assert_eq!(regular, listed);
                for run in &regular {
                    assert!(run.rows.clone().all(|row| bucket.ordinal(times[row]) == run.ordinal));
                }
                assert_eq!(regular.iter().map(|run| run.rows.len()).sum::<usize>(), len);
            }
        }
    }
}
