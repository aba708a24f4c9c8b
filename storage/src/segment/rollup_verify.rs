//! Computes the rollups of a section anew from its rows and compares.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_select::concat::concat;

use super::rollup::{FieldRollups, FieldStatistic, RowStatistic, SectionRollups};
use super::rollup_states::{BucketRows, PresentValues, RollupNumber, SeriesValues, cut_into_buckets};
use super::section::Section;
use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};

/// Requires every statistic of every rollup row to be what the rows of the section come to.
pub(super) fn verify_rollups(section: &Section, rollups: &SectionRollups) -> Result<()> {
    for table in rollups.tables() {
        for vector in 0..(rollups.row_count() as usize).div_ceil(VECTOR_LEN) {
            table.verify(vector)?;
        }
    }
    for series in 0..section.series_count() {
        let rollup_rows = rollups.rows_of(series);
        if rollup_rows.is_empty() {
            continue;
        }
        let wrong = || rollups.contradiction(rollup_rows.start);
        let times = times_of(section, series)?;
        let buckets = cut_into_buckets(&times, rollups.base_ns(), rollup_rows.len());
        let buckets = buckets.filter(|buckets| buckets.len() == rollup_rows.len()).ok_or_else(wrong)?;
        let mut reader = Reader::new(rollups, rollup_rows.start);
        for bucket in &buckets {
            let start_ns = bucket.bucket.wrapping_mul(rollups.base_ns());
            let offset = |row: usize| times[row].wrapping_sub(start_ns);
            let expected =
                [bucket.bucket, bucket.rows.start as i64, offset(bucket.rows.start), offset(bucket.rows.end - 1)];
            if reader.row_statistics()? != expected {
                return Err(wrong());
            }
            reader.row += 1;
        }
        for field in rollups.fields() {
            reader.row = rollup_rows.start;
            let array = array_of(section, series, field)?;
            verify_field(&mut reader, field, &array, &buckets)?;
        }
    }
    Ok(())
}

fn times_of(section: &Section, series: usize) -> Result<Vec<i64>> {
    let mut times = Vec::new();
    let mut buffer = [0; VECTOR_LEN];
    for (vector, rows) in parts(section, series) {
        section.decode_times(vector, &mut buffer)?;
        times.extend_from_slice(&buffer[rows]);
    }
    match times.is_sorted() {
        true => Ok(times),
        false => Err(section.file().corruption(section.metadata_range().start, "the times of a series descend")),
    }
}

fn array_of(section: &Section, series: usize, field: &FieldRollups) -> Result<ArrayRef> {
    let column = section.column(field.id()).ok_or_else(|| Error::invalid("a rollup is of a column of the section"))?;
    let arrays = parts(section, series).map(|(vector, rows)| column.decode_array(vector, rows));
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    match arrays.as_slice() {
        [only] => Ok(Arc::clone(only)),
        arrays => concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>())
            .map_err(|error| Error::invalid(format!("arrays of one column do not fit each other: {error}"))),
    }
}

/// The vectors of a series with its rows in each.
fn parts(section: &Section, series: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let entry = section.series(series);
    let (start, end) = (entry.row_start, entry.row_start + entry.row_count);
    (section.vector_of_row(start)..=section.vector_of_row(end - 1)).map(move |vector| {
        let rows = section.vector_rows(vector);
        (vector, (start.max(rows.start) - rows.start) as usize..(end.min(rows.end) - rows.start) as usize)
    })
}

fn verify_field(reader: &mut Reader<'_>, field: &FieldRollups, array: &ArrayRef, buckets: &[BucketRows]) -> Result<()> {
    let (mut integers, mut floats, mut converted) = (Vec::new(), Vec::new(), Vec::new());
    let values = SeriesValues::of(array, field.field_type(), &mut converted);
    for bucket in buckets {
        let nulls = array.nulls();
        let is_right = match &values {
            Some(SeriesValues::Integers(values)) => {
                let present = PresentValues::of(values, nulls, &bucket.rows, &mut integers);
                reader.agrees(field, &present, bucket, |reader, statistic| reader.i64(field, statistic))?
            }
            Some(SeriesValues::Floats(values)) => {
                let present = PresentValues::of(values, nulls, &bucket.rows, &mut floats);
                reader.agrees(field, &present, bucket, |reader, statistic| reader.f64(field, statistic))?
            }
            None => false,
        };
        if !is_right {
            return Err(reader.rollups.contradiction(reader.row));
        }
        reader.row += 1;
    }
    Ok(())
}

/// Reads statistics of one rollup row after the other, with the last vector of each kept.
struct Reader<'a> {
    rollups: &'a SectionRollups,
    row: u32,
    integers: Vec<Kept<i64>>,
    floats: Vec<Kept<f64>>,
}

/// The vector of a statistic that was decoded last: column (none for what all fields share), statistic, vector.
struct Kept<T> {
    key: Option<(Option<u32>, usize, usize)>,
    values: Box<[T; VECTOR_LEN]>,
}

impl<'a> Reader<'a> {
    fn new(rollups: &'a SectionRollups, row: u32) -> Self {
        let integers = || Kept { key: None, values: Box::new([0; VECTOR_LEN]) };
        let floats = || Kept { key: None, values: Box::new([0.0; VECTOR_LEN]) };
        let statistics = FieldStatistic::ALL.len();
        Self {
            rollups,
            row,
            integers: std::iter::repeat_with(integers).take(statistics).collect(),
            floats: std::iter::repeat_with(floats).take(statistics).collect(),
        }
    }

    fn place(&self) -> (usize, usize) {
        (self.row as usize / VECTOR_LEN, self.row as usize % VECTOR_LEN)
    }

    fn row_statistics(&mut self) -> Result<[i64; RowStatistic::COUNT]> {
        use RowStatistic as R;
        let (vector, offset) = self.place();
        let mut found = [0; RowStatistic::COUNT];
        for (index, statistic) in [R::Bucket, R::FirstRow, R::FirstTime, R::LastTime].into_iter().enumerate() {
            let kept = &mut self.integers[index];
            if kept.key != Some((None, index, vector)) {
                kept.key = None;
                self.rollups.decode(statistic, vector, &mut kept.values)?;
                kept.key = Some((None, index, vector));
            }
            found[index] = kept.values[offset];
        }
        Ok(found)
    }

    fn i64(&mut self, field: &FieldRollups, statistic: FieldStatistic) -> Result<i64> {
        let (vector, offset) = self.place();
        let kept = &mut self.integers[statistic as usize];
        let key = Some((Some(field.id().0), statistic as usize, vector));
        if kept.key != key {
            kept.key = None;
            field.decode_i64(statistic, vector, &mut kept.values)?;
            kept.key = key;
        }
        Ok(kept.values[offset])
    }

    fn f64(&mut self, field: &FieldRollups, statistic: FieldStatistic) -> Result<f64> {
        let (vector, offset) = self.place();
        let kept = &mut self.floats[statistic as usize];
        let key = Some((Some(field.id().0), statistic as usize, vector));
        if kept.key != key {
            kept.key = None;
            field.decode_f64(statistic, vector, &mut kept.values)?;
            kept.key = key;
        }
        Ok(kept.values[offset])
    }

    fn agrees<T: RollupNumber + SameBits>(
        &mut self,
        field: &FieldRollups,
        present: &PresentValues<'_, T>,
        bucket: &BucketRows,
        read: impl Fn(&mut Self, FieldStatistic) -> Result<T>,
    ) -> Result<bool> {
        use FieldStatistic as F;
        let values = present.values;
        if field.has(F::Count) {
            let expected = [values.len(), present.first_skip, present.last_skip].map(|count| count as i64);
            let found = [self.i64(field, F::Count)?, self.i64(field, F::FirstSkip)?, self.i64(field, F::LastSkip)?];
            if found != expected {
                return Ok(false);
            }
        } else if values.len() != bucket.rows.len() {
            return Ok(false);
        }
        let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return Ok(true) };
        let field_type = field.field_type();
        let state = T::state_of(values, field_type);
        let resets = T::sum_of_resets(values, &state, T::count_resets(values), field_type);
        let expected = [
            (F::Sum, state.sum),
            (F::Min, Some(state.min)),
            (F::Max, Some(state.max)),
            (F::First, Some(first)),
            (F::Last, Some(last)),
            (F::Resets, resets),
        ];
        for (statistic, expected) in expected {
            if field.has(statistic) {
                let found = read(self, statistic)?;
                if !expected.is_some_and(|expected| expected.has_same_bits(found)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

trait SameBits {
    fn has_same_bits(self, other: Self) -> bool;
}

impl SameBits for i64 {
    fn has_same_bits(self, other: Self) -> bool {
        self == other
    }
}

impl SameBits for f64 {
    fn has_same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}
