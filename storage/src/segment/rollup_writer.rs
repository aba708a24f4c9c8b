//! Builds the rollups of a section while its series are added: a few small vectors per field, a value per series and
//! base bucket.
//!
//! What does not pay is left out: series with few rows per bucket, the increase of what is no counter, sums that are
//! beyond their type, and all rollups of a section of which they would be more than a small part.

use std::collections::HashSet;

use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_select::concat::concat;

use super::bytes::pad_to_8;
use super::column_writer::{ColumnWriter, FinishedColumn};
use super::packed_table::Zones;
use super::rollup::{FieldStatistic, RowStatistic};
use super::rollup_states::{
    BASE_BUCKET_NS, BucketRows, NumberState, PresentValues, RollupNumber, SeriesValues, cut_into_buckets,
};
use super::series_shape::SeriesShape;
use super::vector_writer::EncodedVectors;
use crate::encoding::{VECTOR_LEN, VectorHeader, ZoneMap, encode_f64, encode_i64};
use crate::error::{Error, Result};
use crate::types::{ColumnId, FieldType};

/// A series with fewer rows per bucket on average has no rollups: to decode so few rows costs about as much as to read
/// their states.
pub(crate) const ROWS_PER_BUCKET_MIN: usize = 32;

/// Rollups that would take more than this part of the columns are left out of the section.
const PART_OF_COLUMNS_MAX: usize = 8;

/// A field of which more than one value in so many follows a greater one is no counter.
const VALUES_PER_RESET_MIN: u64 = 64;
/// Values before that is decided.
const VALUES_BEFORE_DECISION: u64 = 1024;

/// The rollups of the section that is being written.
#[derive(Debug)]
pub(super) struct RollupWriter {
    /// First rollup row of each series.
    series_starts: Vec<u32>,
    row_count: u32,
    rows: RowStatistics,
    fields: Vec<FieldWriter>,
    converted: Vec<i64>,
    open: OpenSeries,
}

/// The series whose rows are being taken.
#[derive(Debug, Default)]
struct OpenSeries {
    has_rollups: bool,
    /// Rows of the buckets that are done.
    rows_done: usize,
    /// Rows of the bucket that the last part ended in.
    rest: Option<SeriesPart>,
}

/// Rows of a series; a field without an array is NULL in all of them.
#[derive(Debug)]
struct SeriesPart {
    times: Vec<i64>,
    arrays: Vec<Option<ArrayRef>>,
}

/// Rollups that are ready to be written.
#[derive(Debug)]
pub(super) struct FinishedRollups {
    series_starts: Vec<u32>,
    row_count: u32,
    rows: [EncodedVectors; RowStatistic::COUNT],
    fields: Vec<FinishedField>,
}

#[derive(Debug)]
struct FinishedField {
    id: ColumnId,
    statistics: Vec<(FieldStatistic, EncodedVectors)>,
}

impl RollupWriter {
    pub(super) fn new(columns: &[ColumnWriter]) -> Self {
        Self {
            series_starts: Vec::new(),
            row_count: 0,
            rows: RowStatistics::default(),
            fields: columns.iter().map(|column| FieldWriter::new(column.id(), column.field_type())).collect(),
            converted: Vec::new(),
            open: OpenSeries::default(),
        }
    }

    /// Begins a series.
    pub(super) fn begin_series(&mut self, shape: &SeriesShape) {
        self.series_starts.push(self.row_count);
        let pays = u64::from(shape.bucket_count) * ROWS_PER_BUCKET_MIN as u64 <= u64::from(shape.row_count);
        let fits = self.row_count.checked_add(shape.bucket_count).is_some();
        self.open = OpenSeries { has_rollups: pays && fits, ..OpenSeries::default() };
    }

    /// Adds the next rows of the series, whose times ascend; `arrays` are in the order of the columns.
    pub(super) fn push_rows(&mut self, times: &[i64], arrays: &[Option<&ArrayRef>], is_end: bool) -> Result<()> {
        if !self.open.has_rollups {
            return Ok(());
        }
        match self.open.rest.take() {
            None => self.push_buckets(times, arrays, is_end),
            Some(rest) => {
                let part = self.join(rest, times, arrays)?;
                let arrays: Vec<_> = part.arrays.iter().map(Option::as_ref).collect();
                self.push_buckets(&part.times, &arrays, is_end);
            }
        }
        Ok(())
    }

    /// Takes the buckets that no later row belongs to and keeps the rest.
    fn push_buckets(&mut self, times: &[i64], arrays: &[Option<&ArrayRef>], is_end: bool) {
        let Some(mut buckets) = cut_into_buckets(times, BASE_BUCKET_NS, usize::MAX) else { return };
        let open = if is_end { None } else { buckets.pop() };
        for bucket in &buckets {
            self.rows.push(bucket, times, self.open.rows_done);
        }
        for (field, array) in self.fields.iter_mut().zip(arrays) {
            field.push(*array, &buckets, &mut self.converted);
        }
        self.row_count += buckets.len() as u32;
        let done = open.as_ref().map_or(times.len(), |open| open.rows.start);
        self.open.rows_done += done;
        self.open.rest = open.map(|open| SeriesPart {
            times: times[done..].to_vec(),
            arrays: arrays.iter().map(|array| array.map(|array| array.slice(done, open.rows.len()))).collect(),
        });
    }

    fn join(&self, rest: SeriesPart, times: &[i64], arrays: &[Option<&ArrayRef>]) -> Result<SeriesPart> {
        let rest_len = rest.times.len();
        let mut all = rest.times;
        all.extend_from_slice(times);
        let mut joined = Vec::with_capacity(arrays.len());
        for ((field, before), after) in self.fields.iter().zip(rest.arrays).zip(arrays) {
            if before.is_none() && after.is_none() {
                joined.push(None);
                continue;
            }
            let nulls = |len| new_null_array(&field.field_type.arrow_type(), len);
            let before = before.unwrap_or_else(|| nulls(rest_len));
            let after = after.map_or_else(|| nulls(times.len()), ArrayRef::clone);
            let array = concat(&[before.as_ref(), after.as_ref()])
                .map_err(|error| Error::invalid(format!("field column {}: {error}", field.id)))?;
            joined.push(Some(array));
        }
        Ok(SeriesPart { times: all, arrays: joined })
    }

    /// Ends the rollups; `None` when there are none or they do not pay.
    pub(super) fn finish(self, columns: &[FinishedColumn]) -> Option<FinishedRollups> {
        if self.row_count == 0 {
            return None;
        }
        let written: HashSet<ColumnId> = columns.iter().map(|column| column.id).collect();
        let fields = self.fields.into_iter().filter(|field| written.contains(&field.id));
        let rollups = FinishedRollups {
            series_starts: self.series_starts,
            row_count: self.row_count,
            rows: self.rows.statistics.map(StatisticWriter::finish),
            fields: fields.filter_map(FieldWriter::finish).collect(),
        };
        let column_bytes: usize =
            columns.iter().map(|column| column.vectors.data().len() + column.dictionary.bytes.len()).sum();
        let pays = rollups.byte_len() * PART_OF_COLUMNS_MAX <= column_bytes;
        (pays && !rollups.fields.is_empty()).then_some(rollups)
    }
}

impl FinishedRollups {
    /// The vectors in the order of the file.
    pub(super) fn vectors(&self) -> impl Iterator<Item = &EncodedVectors> {
        let fields = self.fields.iter().flat_map(|field| &field.statistics);
        self.rows.iter().chain(fields.map(|(_, vectors)| vectors))
    }

    /// The same with warm vectors.
    pub(super) fn into_warm(self) -> Self {
        let row_count = self.row_count as usize;
        let lens = || (0..row_count).step_by(VECTOR_LEN).map(|start| (row_count - start).min(VECTOR_LEN));
        let into_warm = |vectors: EncodedVectors| vectors.into_warm(lens());
        let fields = self.fields.into_iter().map(|FinishedField { id, statistics }| {
            let statistics = statistics.into_iter().map(|(statistic, vectors)| (statistic, into_warm(vectors)));
            FinishedField { id, statistics: statistics.collect() }
        });
        Self { rows: self.rows.map(into_warm), fields: fields.collect(), ..self }
    }

    fn byte_len(&self) -> usize {
        let starts = self.series_starts.len() * size_of::<u32>();
        starts + self.vectors().map(|vectors| vectors.data().len() + vectors.headers().len() * 3 / 2).sum::<usize>()
    }

    /// Appends the rollups to the metadata of the section, given where the data of their first vector was written.
    pub(super) fn append_to(&self, data_offset: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&BASE_BUCKET_NS.to_le_bytes());
        out.extend_from_slice(&self.row_count.to_le_bytes());
        out.extend_from_slice(&(self.fields.len() as u32).to_le_bytes());
        for start in self.series_starts.iter().chain([&self.row_count]) {
            out.extend_from_slice(&start.to_le_bytes());
        }
        pad_to_8(out);
        for start in (0..self.row_count).step_by(VECTOR_LEN).chain([self.row_count]) {
            out.extend_from_slice(&start.to_le_bytes());
        }
        pad_to_8(out);
        let mut position = data_offset;
        let mut append_tables = |vectors: &EncodedVectors, out: &mut Vec<u8>| {
            vectors.append_tables(position, Zones::Left, out);
            position += vectors.data().len() as u64;
        };
        self.rows.iter().for_each(|vectors| append_tables(vectors, out));
        for field in &self.fields {
            let present: u32 = field.statistics.iter().map(|(statistic, _)| statistic.bit()).sum();
            out.extend_from_slice(&field.id.0.to_le_bytes());
            out.extend_from_slice(&present.to_le_bytes());
            field.statistics.iter().for_each(|(_, vectors)| append_tables(vectors, out));
        }
    }
}

/// One number per rollup row; a vector is encoded whenever there are enough.
#[derive(Debug, Default)]
struct StatisticWriter<T> {
    pending: Vec<T>,
    vectors: EncodedVectors,
}

trait Encode: Copy {
    fn encode(values: &[Self], out: &mut Vec<u8>) -> (VectorHeader, ZoneMap);
}

impl Encode for i64 {
    fn encode(values: &[Self], out: &mut Vec<u8>) -> (VectorHeader, ZoneMap) {
        encode_i64(values, None, out)
    }
}

impl Encode for f64 {
    fn encode(values: &[Self], out: &mut Vec<u8>) -> (VectorHeader, ZoneMap) {
        encode_f64(values, None, out)
    }
}

impl<T: Encode> StatisticWriter<T> {
    fn push(&mut self, value: T) {
        self.pending.push(value);
        if self.pending.len() == VECTOR_LEN {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.vectors.push(|out| T::encode(&self.pending, out));
        self.pending.clear();
    }

    fn finish(mut self) -> EncodedVectors {
        if !self.pending.is_empty() {
            self.cut();
        }
        self.vectors
    }
}

/// What all fields of a rollup row share.
#[derive(Debug, Default)]
struct RowStatistics {
    statistics: [StatisticWriter<i64>; RowStatistic::COUNT],
}

impl RowStatistics {
    /// Adds a bucket; its rows are `rows_before` rows later in the series than in `times`.
    fn push(&mut self, bucket: &BucketRows, times: &[i64], rows_before: usize) {
        // Wrapping, because the start of the first bucket of time is before the first i64; the offset is exact.
        let start_ns = bucket.bucket.wrapping_mul(BASE_BUCKET_NS);
        let offset = |row: usize| times[row].wrapping_sub(start_ns);
        let statistics = &mut self.statistics;
        statistics[RowStatistic::Bucket as usize].push(bucket.bucket);
        statistics[RowStatistic::FirstRow as usize].push((rows_before + bucket.rows.start) as i64);
        statistics[RowStatistic::FirstTime as usize].push(offset(bucket.rows.start));
        statistics[RowStatistic::LastTime as usize].push(offset(bucket.rows.end - 1));
    }
}

/// The states of one field.
#[derive(Debug)]
struct FieldWriter {
    id: ColumnId,
    field_type: FieldType,
    numbers: Numbers,
}

#[derive(Debug)]
enum Numbers {
    Integers(NumberWriter<i64>),
    Floats(NumberWriter<f64>),
    /// Texts and bytes.
    None,
}

impl FieldWriter {
    fn new(id: ColumnId, field_type: FieldType) -> Self {
        let numbers = match field_type {
            FieldType::F64 => Numbers::Floats(NumberWriter::default()),
            FieldType::I64 | FieldType::U64 | FieldType::Bool => Numbers::Integers(NumberWriter::default()),
            FieldType::String | FieldType::Binary => Numbers::None,
        };
        Self { id, field_type, numbers }
    }

    fn push(&mut self, array: Option<&ArrayRef>, buckets: &[BucketRows], converted: &mut Vec<i64>) {
        let nulls = array.and_then(|array| array.nulls());
        match (&mut self.numbers, array.map(|array| SeriesValues::of(array, self.field_type, converted))) {
            (Numbers::Integers(writer), Some(Some(SeriesValues::Integers(values)))) => {
                writer.push_series(values, nulls, buckets, self.field_type);
            }
            (Numbers::Floats(writer), Some(Some(SeriesValues::Floats(values)))) => {
                writer.push_series(values, nulls, buckets, self.field_type);
            }
            (Numbers::Integers(writer), _) => buckets.iter().for_each(|bucket| writer.push_nulls(bucket.rows.len())),
            (Numbers::Floats(writer), _) => buckets.iter().for_each(|bucket| writer.push_nulls(bucket.rows.len())),
            (Numbers::None, _) => {}
        }
    }

    fn finish(self) -> Option<FinishedField> {
        let statistics = match self.numbers {
            Numbers::Integers(writer) => writer.finish(),
            Numbers::Floats(writer) => writer.finish(),
            Numbers::None => return None,
        };
        Some(FinishedField { id: self.id, statistics })
    }
}

#[derive(Debug, Default)]
struct NumberWriter<T> {
    has_nulls: bool,
    count: StatisticWriter<i64>,
    first_skip: StatisticWriter<i64>,
    last_skip: StatisticWriter<i64>,
    sum: MaybeStatistic<T>,
    min: StatisticWriter<T>,
    max: StatisticWriter<T>,
    first: StatisticWriter<T>,
    last: StatisticWriter<T>,
    resets: MaybeStatistic<T>,
    /// Values and resets so far, as long as the field may be a counter.
    value_count: u64,
    reset_count: u64,
    present: Vec<T>,
    /// The state before, repeated for a bucket without values because that packs best.
    previous: [T; 6],
}

impl<T: RollupNumber + Encode> NumberWriter<T> {
    fn push_series(
        &mut self,
        values: &[T],
        nulls: Option<&arrow_buffer::NullBuffer>,
        buckets: &[BucketRows],
        field_type: FieldType,
    ) {
        let mut buffer = std::mem::take(&mut self.present);
        for bucket in buckets {
            let present = PresentValues::of(values, nulls, &bucket.rows, &mut buffer);
            if present.values.is_empty() {
                self.push_nulls(bucket.rows.len());
            } else {
                self.push_bucket(&present, bucket.rows.len(), field_type);
            }
        }
        self.present = buffer;
    }

    fn push_bucket(&mut self, present: &PresentValues<'_, T>, row_count: usize, field_type: FieldType) {
        let values = present.values;
        let state = T::state_of(values, field_type);
        self.has_nulls |= values.len() < row_count;
        self.push_counts(values.len(), present.first_skip, present.last_skip);
        let resets = self.resets_of(values, &state, field_type);
        self.push_state(state.sum, resets, [state.min, state.max, values[0], values[values.len() - 1]]);
    }

    /// The sum of resets as long as the field may be a counter.
    fn resets_of(&mut self, values: &[T], state: &NumberState<T>, field_type: FieldType) -> Option<T> {
        if matches!(self.resets, MaybeStatistic::Unknown) {
            return None;
        }
        let reset_count = T::count_resets(values);
        self.value_count += values.len() as u64;
        self.reset_count += reset_count as u64;
        let is_decided = self.value_count >= VALUES_BEFORE_DECISION;
        if is_decided && self.reset_count * VALUES_PER_RESET_MIN > self.value_count {
            return None;
        }
        T::sum_of_resets(values, state, reset_count, field_type)
    }

    fn push_nulls(&mut self, row_count: usize) {
        self.has_nulls = true;
        self.push_counts(0, row_count, row_count);
        let [sum, resets, ends @ ..] = self.previous;
        self.push_state(Some(sum), Some(resets), ends);
    }

    fn push_counts(&mut self, count: usize, first_skip: usize, last_skip: usize) {
        self.count.push(count as i64);
        self.first_skip.push(first_skip as i64);
        self.last_skip.push(last_skip as i64);
    }

    fn push_state(&mut self, sum: Option<T>, resets: Option<T>, [min, max, first, last]: [T; 4]) {
        self.sum.push(sum);
        self.resets.push(resets);
        self.min.push(min);
        self.max.push(max);
        self.first.push(first);
        self.last.push(last);
        self.previous = [sum.unwrap_or_default(), resets.unwrap_or_default(), min, max, first, last];
    }

    fn finish(mut self) -> Vec<(FieldStatistic, EncodedVectors)> {
        if self.reset_count * VALUES_PER_RESET_MIN > self.value_count {
            self.resets = MaybeStatistic::Unknown;
        }
        let mut statistics = Vec::new();
        if self.has_nulls {
            statistics.push((FieldStatistic::Count, self.count.finish()));
            statistics.push((FieldStatistic::FirstSkip, self.first_skip.finish()));
            statistics.push((FieldStatistic::LastSkip, self.last_skip.finish()));
        }
        statistics.extend(self.sum.finish().map(|vectors| (FieldStatistic::Sum, vectors)));
        statistics.push((FieldStatistic::Min, self.min.finish()));
        statistics.push((FieldStatistic::Max, self.max.finish()));
        statistics.push((FieldStatistic::First, self.first.finish()));
        statistics.push((FieldStatistic::Last, self.last.finish()));
        statistics.extend(self.resets.finish().map(|vectors| (FieldStatistic::Resets, vectors)));
        statistics
    }
}

/// A statistic that is there for every bucket of the section or for none, so that a reader need not look bucket by
/// bucket whether it is known.
#[derive(Debug)]
enum MaybeStatistic<T> {
    Known(StatisticWriter<T>),
    Unknown,
}

impl<T: Default> Default for MaybeStatistic<T> {
    fn default() -> Self {
        Self::Known(StatisticWriter { pending: Vec::new(), vectors: EncodedVectors::default() })
    }
}

impl<T: Encode> MaybeStatistic<T> {
    fn push(&mut self, value: Option<T>) {
        match (&mut *self, value) {
            (Self::Known(writer), Some(value)) => writer.push(value),
            (Self::Known(_), None) => *self = Self::Unknown,
            (Self::Unknown, _) => {}
        }
    }

    fn finish(self) -> Option<EncodedVectors> {
        match self {
            Self::Known(writer) => Some(writer.finish()),
            Self::Unknown => None,
        }
    }
}
