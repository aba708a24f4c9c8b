//! The rollups of rows in memory: what the rows of a chunk come to per base bucket.
//!
//! Made when a reader first asks, field by field, by the functions that define the rollups of segments, and kept with the
//! chunk, which does not change. Fields with NULLs have none, nor have chunks of few rows per bucket: their rows are read.

use std::ops::Range;
use std::sync::OnceLock;

use super::narrow_column::NarrowColumn;
use crate::encoding::VECTOR_LEN;
use crate::segment::{BASE_BUCKET_NS, FieldStatistic, ROWS_PER_BUCKET_MIN, RollupNumber, cut_into_buckets};
use crate::types::{FieldType, TimeRange};

/// Rows of a chunk in one base bucket; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkBucket {
    pub(crate) rows: Range<usize>,
    /// Time of the first row.
    pub(crate) first_ns: i64,
    /// Time of the last row.
    pub(crate) last_ns: i64,
}

/// The buckets of a chunk, once somebody asked.
#[derive(Debug, Default)]
pub(super) struct LazyBuckets(OnceLock<Box<[ChunkBucket]>>);

impl LazyBuckets {
    /// The buckets of ascending times; none when there are few rows in each.
    pub(super) fn get(&self, times: impl FnOnce() -> Vec<i64>) -> &[ChunkBucket] {
        self.0.get_or_init(|| {
            let times = times();
            let buckets = cut_into_buckets(&times, BASE_BUCKET_NS, buckets_max(times.len())).unwrap_or_default();
            let bucket = |rows: Range<usize>| {
                let (first_ns, last_ns) = (times[rows.start], times[rows.end - 1]);
                ChunkBucket { rows, first_ns, last_ns }
            };
            buckets.into_iter().map(|bucket_rows| bucket(bucket_rows.rows)).collect()
        })
    }

    /// The most that the buckets of a chunk and the states of `fields` fields take.
    pub(super) fn bytes_max(row_count: usize, bounds: TimeRange, fields: usize) -> usize {
        let ordinal = |time_ns: i64| time_ns.div_euclid(BASE_BUCKET_NS);
        let touched = (ordinal(bounds.end_ns) - ordinal(bounds.start_ns)).cast_unsigned().saturating_add(1);
        let touched = usize::try_from(touched).unwrap_or(usize::MAX);
        let buckets = if touched <= buckets_max(row_count) { touched } else { 0 };
        buckets * (size_of::<ChunkBucket>() + fields * (size_of::<BucketState>() + size_of::<u64>()))
    }
}

/// More buckets than this do not pay.
fn buckets_max(row_count: usize) -> usize {
    (row_count / ROWS_PER_BUCKET_MIN).max(1)
}

/// Numbers of one field in one bucket, floats by their bits.
#[derive(Debug, Clone, Copy)]
struct BucketState {
    sum: u64,
    min: u64,
    max: u64,
}

/// The states of a field per bucket, once somebody asked.
#[derive(Debug, Default)]
pub(super) struct LazyStates {
    /// `None` when a bucket has none.
    states: OnceLock<Option<Box<[BucketState]>>>,
    /// Asked for by few; `None` when a bucket has none.
    resets: OnceLock<Option<Box<[u64]>>>,
}

impl LazyStates {
    /// Whether a statistic of `column` is known for all buckets.
    pub(super) fn serve(&self, column: &NarrowColumn, buckets: &[ChunkBucket], statistic: FieldStatistic) -> bool {
        match statistic {
            FieldStatistic::Sum | FieldStatistic::Min | FieldStatistic::Max => self.states(column, buckets).is_some(),
            FieldStatistic::Resets => self.resets(column, buckets).is_some(),
            FieldStatistic::First | FieldStatistic::Last => is_number(column.field_type()),
            FieldStatistic::Count | FieldStatistic::FirstSkip | FieldStatistic::LastSkip => false,
        }
    }

    /// Passes the bits of a statistic that is served to `push`, bucket by bucket.
    pub(super) fn for_each(
        &self,
        column: &NarrowColumn,
        buckets: &[ChunkBucket],
        wanted: Range<usize>,
        statistic: FieldStatistic,
        mut push: impl FnMut(u64),
    ) {
        let bits = |row: usize| match column.field_type() {
            FieldType::F64 => column.float(row).map(f64::to_bits),
            _ => column.integer(row).map(i64::cast_unsigned),
        };
        let states = || self.states(column, buckets).unwrap_or_default()[wanted.clone()].iter();
        match statistic {
            FieldStatistic::Sum => states().for_each(|state| push(state.sum)),
            FieldStatistic::Min => states().for_each(|state| push(state.min)),
            FieldStatistic::Max => states().for_each(|state| push(state.max)),
            FieldStatistic::Resets => {
                self.resets(column, buckets).unwrap_or_default()[wanted].iter().for_each(|bits| push(*bits));
            }
            FieldStatistic::First => {
                buckets[wanted].iter().for_each(|bucket| push(bits(bucket.rows.start).unwrap_or_default()));
            }
            FieldStatistic::Last => {
                buckets[wanted].iter().for_each(|bucket| push(bits(bucket.rows.end - 1).unwrap_or_default()));
            }
            FieldStatistic::Count | FieldStatistic::FirstSkip | FieldStatistic::LastSkip => {}
        }
    }

    fn states(&self, column: &NarrowColumn, buckets: &[ChunkBucket]) -> Option<&[BucketState]> {
        let make = || match column.field_type() {
            FieldType::F64 => with_floats(column, buckets, |values| states_of(values, FieldType::F64, f64::to_bits)),
            field_type => with_integers(column, buckets, |values| states_of(values, field_type, i64::cast_unsigned)),
        };
        self.states.get_or_init(|| is_number(column.field_type()).then(make)?).as_deref()
    }

    fn resets(&self, column: &NarrowColumn, buckets: &[ChunkBucket]) -> Option<&[u64]> {
        let make = || match column.field_type() {
            FieldType::F64 => with_floats(column, buckets, |values| resets_of(values, FieldType::F64, f64::to_bits)),
            field_type => with_integers(column, buckets, |values| resets_of(values, field_type, i64::cast_unsigned)),
        };
        self.resets.get_or_init(|| is_number(column.field_type()).then(make)?).as_deref()
    }
}

/// Booleans have states in segments as numbers, which nobody asks for.
fn is_number(field_type: FieldType) -> bool {
    matches!(field_type, FieldType::I64 | FieldType::U64 | FieldType::F64)
}

fn states_of<T: RollupNumber>(values: &[T], field_type: FieldType, bits: fn(T) -> u64) -> Option<BucketState> {
    let state = T::state_of(values, field_type);
    Some(BucketState { sum: bits(state.sum?), min: bits(state.min), max: bits(state.max) })
}

fn resets_of<T: RollupNumber>(values: &[T], field_type: FieldType, bits: fn(T) -> u64) -> Option<u64> {
    let state = T::state_of(values, field_type);
    T::sum_of_resets(values, &state, T::count_resets(values), field_type).map(bits)
}

fn with_integers<S>(
    column: &NarrowColumn,
    buckets: &[ChunkBucket],
    state: impl Fn(&[i64]) -> Option<S>,
) -> Option<Box<[S]>> {
    let mut values = [0; VECTOR_LEN];
    let row_count = buckets.last()?.rows.end;
    column.write_integers(0..row_count, &mut values);
    buckets.iter().map(|bucket| state(&values[bucket.rows.clone()])).collect()
}

fn with_floats<S>(
    column: &NarrowColumn,
    buckets: &[ChunkBucket],
    state: impl Fn(&[f64]) -> Option<S>,
) -> Option<Box<[S]>> {
    let mut values = [0.0; VECTOR_LEN];
    let row_count = buckets.last()?.rows.end;
    column.write_floats(0..row_count, &mut values);
    buckets.iter().map(|bucket| state(&values[bucket.rows.clone()])).collect()
}
