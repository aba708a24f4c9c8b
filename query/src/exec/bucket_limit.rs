//! `ORDER BY bucket LIMIT n` over groups: the buckets at one end of the time are grouped first, and the rest only when
//! those give too few rows.
//!
//! Exact, because a window of time ends where a bucket does: its groups are complete, and every group outside of it
//! sorts behind them all.

use lynxstore_storage::types::TimeRange;

use super::source::{ColumnPlace, Source, place_of};
use crate::plan::{Aggregation, Bucket, Expr, SelectPlan};

/// How much wider the next window is when one gave too few rows: what was read in vain is a seventh of what follows.
const GROWTH: u64 = 8;

/// A limit on groups that are ordered by their bucket first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketLimit {
    bucket: Bucket,
    descending: bool,
    /// Rows that the result needs.
    pub(crate) wanted: usize,
    /// Whether the bucket is the only key, so that it makes one group.
    is_only_key: bool,
}

impl BucketLimit {
    /// The limit of a plan; `None` when it has none, or another order.
    pub(crate) fn of(plan: &SelectPlan, aggregation: &Aggregation) -> Option<Self> {
        if plan.gapfill.is_some() {
            // The buckets of a gap are rows too, wherever rows were read.
            return None;
        }
        let wanted = plan.rows_wanted()?;
        let order = plan.order.first()?;
        let Expr::Column(group_column, _) = &plan.projection[order.column].expr else { return None };
        let Expr::TimeBucket(bucket, time) = aggregation.keys.get(*group_column)? else { return None };
        let Expr::Column(column, _) = &**time else { return None };
        let tags = plan.table.as_ref()?.tags.len();
        (place_of(plan.columns[*column], tags) == ColumnPlace::Time).then_some(Self {
            bucket: *bucket,
            descending: order.descending,
            wanted,
            is_only_key: aggregation.keys.len() == 1,
        })
    }

    /// Windows of time to group one after the other until there are rows enough; the last is all that `source` reads.
    pub(crate) fn windows(self, source: &Source) -> impl Iterator<Item = TimeRange> + use<> {
        let groups_per_bucket = if self.is_only_key { 1 } else { source.set.len().max(1) };
        self.windows_over(source.range, source.row_range(), groups_per_bucket)
    }

    /// The windows over `rows`, the times of `whole` that rows can have.
    fn windows_over(
        self,
        whole: TimeRange,
        rows: TimeRange,
        groups_per_bucket: usize,
    ) -> impl Iterator<Item = TimeRange> + use<> {
        let (first, last) = match rows.is_empty() {
            true => (0, 0),
            false => (self.bucket.ordinal(rows.start_ns), self.bucket.ordinal(rows.end_ns)),
        };
        let count = last.abs_diff(first).saturating_add(1);
        let mut wanted = Some(self.wanted.div_ceil(groups_per_bucket).max(1) as u64);
        std::iter::from_fn(move || {
            let buckets = wanted?;
            if buckets >= count / 2 {
                wanted = None;
                return Some(whole);
            }
            wanted = Some(buckets.saturating_mul(GROWTH));
            // Fewer than half of the buckets between two i64, so the step fits one.
            let step = (buckets - 1) as i64;
            Some(whole.intersect(if self.descending {
                TimeRange { start_ns: self.bucket.start(last - step), end_ns: i64::MAX }
            } else {
                TimeRange { start_ns: i64::MIN, end_ns: self.bucket.last(first + step) }
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(descending: bool, wanted: usize, rows: TimeRange) -> Vec<TimeRange> {
        let limit = BucketLimit { bucket: Bucket::fixed(10, 0), descending, wanted, is_only_key: true };
        limit.windows_over(TimeRange { start_ns: 3, end_ns: i64::MAX }, rows, 1).collect()
    }

    #[test]
    fn windows_end_where_buckets_do_and_the_last_one_is_everything() {
        let rows = TimeRange { start_ns: 3, end_ns: 1_994 };
        let newest = windows(true, 2, rows);
        let starts: Vec<i64> = newest.iter().map(|window| window.start_ns).collect();
        // 200 buckets: the last 2, the last 16, then all, since 128 are more than half of them.
        assert_eq!(starts, [1_980, 1_840, 3]);
        assert!(newest.iter().all(|window| window.end_ns == i64::MAX));
        let oldest: Vec<i64> = windows(false, 2, rows).iter().map(|window| window.end_ns).collect();
        assert_eq!(oldest, [19, 159, i64::MAX]);
    }

    #[test]
    fn no_rows_and_all_of_time_make_windows_without_overflow() {
        assert_eq!(windows(true, 5, TimeRange { start_ns: i64::MAX, end_ns: i64::MIN }).len(), 1);
        let limit = BucketLimit { bucket: Bucket::fixed(1, 0), descending: true, wanted: 1, is_only_key: true };
        let all: Vec<TimeRange> = limit.windows_over(TimeRange::ALL, TimeRange::ALL, 1).collect();
        assert_eq!(all[0], TimeRange { start_ns: i64::MAX, end_ns: i64::MAX });
        assert_eq!(all.last(), Some(&TimeRange::ALL));
    }
}
