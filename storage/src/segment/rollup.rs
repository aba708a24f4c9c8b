//! The rollups of a section: per series and base bucket one rollup row, with the states of every field over the rows of
//! the section that it stands for.
//!
//! Statistics are vectors like those of columns, so a query decodes only what it asks for. What [`SectionRollups::read`]
//! accepts has ranges that fit the file and the series; the numbers within the vectors are checked where they are used.
//! A statistic is there for all rollup rows or for none: what is there is exact for every rollup row with a value.

use std::ops::Range;

use super::bytes::{Cursor, LeU32s};
use super::directory::Directory;
use super::file::SegmentPin;
use super::packed_table::Zones;
use super::vector_table::{TableForm, VectorBounds, VectorTable};
use crate::encoding::{DecodeError, VECTOR_LEN};
use crate::error::{Error, Result};
use crate::types::{ColumnId, FieldType};

/// What a rollup row says of its rows, whatever the field. All are integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowStatistic {
    /// Number of the base bucket: it starts at this many widths from the epoch.
    Bucket,
    /// Its first row within the series. Its last one is before the first of the next rollup row of the series.
    FirstRow,
    /// Time of the first row, from the start of the bucket.
    FirstTime,
    /// Time of the last row, from the start of the bucket.
    LastTime,
}

impl RowStatistic {
    /// Number of statistics.
    pub const COUNT: usize = 4;
}

/// What a rollup row says of a field. Numbers have the form of the field's vectors: floats for F64, else integers, of
/// U64 with the highest bit flipped, of Bool 0 and 1. Of a rollup row without values only the first three mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldStatistic {
    /// Number of values that are not NULL. Absent, with the two below, when no row of any series with rollups is NULL.
    Count,
    /// Rows before the first value.
    FirstSkip,
    /// Rows behind the last value.
    LastSkip,
    /// Sum of the values; of floats in the order of `kernel::sum_f64`. Absent when one is beyond the type.
    Sum,
    /// Smallest value; of floats that are not NaN, never -0.0, and NaN when there is nothing else.
    Min,
    /// Largest value; NaN when one is NaN, never -0.0.
    Max,
    /// First value by time.
    First,
    /// Last value by time.
    Last,
    /// Sum of the values that are followed by a smaller one. The increase of a counter that starts anew from zero is
    /// `last - first + resets`. Absent for what is no counter and where a value is NaN.
    Resets,
}

impl FieldStatistic {
    /// All, in the order of the file.
    pub const ALL: [Self; 9] = [
        Self::Count,
        Self::FirstSkip,
        Self::LastSkip,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::First,
        Self::Last,
        Self::Resets,
    ];

    /// Its bit in the record of a field.
    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Whether its vectors hold integers, whatever the type of the field.
    pub(crate) fn counts_rows(self) -> bool {
        matches!(self, Self::Count | Self::FirstSkip | Self::LastSkip)
    }
}

/// The statistics that may be absent.
const OPTIONAL: u32 = 0b1_0000_1111;
/// Those that are there together or not at all.
const OF_NULLS: u32 = 0b111;

/// The states of one field.
#[derive(Debug)]
pub struct FieldRollups {
    id: ColumnId,
    field_type: FieldType,
    tables: [Option<VectorTable>; FieldStatistic::ALL.len()],
}

impl FieldRollups {
    /// The field.
    pub fn id(&self) -> ColumnId {
        self.id
    }

    /// Its type when the section was written.
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// Whether a statistic is known.
    pub fn has(&self, statistic: FieldStatistic) -> bool {
        self.tables[statistic as usize].is_some()
    }

    /// Decodes a statistic that is a number of rows, or of a field that is not F64, for the rollup rows from
    /// `vector * VECTOR_LEN` on. Returns how many there are; `out` beyond them is unspecified.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` when the statistic is absent or of floats.
    pub fn decode_i64(&self, statistic: FieldStatistic, vector: usize, out: &mut [i64; VECTOR_LEN]) -> Result<usize> {
        if self.field_type == FieldType::F64 && !statistic.counts_rows() {
            return Err(self.mismatch(statistic));
        }
        decode_integers(self.table(statistic)?, vector, out)
    }

    /// Decodes a statistic of an F64 field like [`FieldRollups::decode_i64`].
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` when the statistic is absent or of integers.
    pub fn decode_f64(&self, statistic: FieldStatistic, vector: usize, out: &mut [f64; VECTOR_LEN]) -> Result<usize> {
        if self.field_type != FieldType::F64 || statistic.counts_rows() {
            return Err(self.mismatch(statistic));
        }
        let table = self.table(statistic)?;
        let encoded = table.encoded(vector)?;
        table.decode_f64(&encoded, out).map_err(|error| undecodable(table, encoded.offset, error))?;
        Ok(encoded.len)
    }

    fn table(&self, statistic: FieldStatistic) -> Result<&VectorTable> {
        self.tables[statistic as usize].as_ref().ok_or_else(|| self.mismatch(statistic))
    }

    fn mismatch(&self, statistic: FieldStatistic) -> Error {
        Error::invalid(format!("the rollups of column {} do not have {statistic:?} in that form", self.id))
    }
}

/// The rollups of one section.
#[derive(Debug)]
pub struct SectionRollups {
    file: SegmentPin,
    base_ns: i64,
    row_count: u32,
    series_starts: Range<usize>,
    rows: Vec<VectorTable>,
    fields: Vec<FieldRollups>,
}

impl SectionRollups {
    /// Reads the rollups at the cursor; `type_of` knows the columns of the section. The error says what does not fit.
    pub(super) fn read(
        file: &SegmentPin,
        cursor: &mut Cursor<'_>,
        directory: &Directory,
        (data, form): (&Range<usize>, TableForm),
        type_of: impl Fn(ColumnId) -> Option<FieldType>,
    ) -> std::result::Result<Self, &'static str> {
        const CUT: &str = "the rollups are cut off";
        let (base_ns, row_count) = (cursor.i64().ok_or(CUT)?, cursor.u32().ok_or(CUT)?);
        let field_count = cursor.u32().ok_or(CUT)?;
        if base_ns <= 0 || row_count == 0 {
            return Err("the rollups have no rows or no width");
        }
        let series_starts = cursor.take(directory.series_count() + 1, 4).ok_or(CUT)?;
        cursor.align().ok_or(CUT)?;
        check_series_starts(LeU32s::new(&file.bytes()[series_starts.clone()]), row_count, directory)?;
        let vector_count = (row_count as usize).div_ceil(VECTOR_LEN);
        let vector_starts = cursor.take(vector_count + 1, 4).ok_or(CUT)?;
        cursor.align().ok_or(CUT)?;
        let expected = (0..row_count).step_by(VECTOR_LEN).chain([row_count]);
        if !LeU32s::new(&file.bytes()[vector_starts.clone()]).iter().eq(expected) {
            return Err("the vectors of the rollups do not cover them");
        }
        let bounds = VectorBounds::new(file.clone(), vector_starts);
        let table = |cursor: &mut Cursor<'_>| VectorTable::read(file, cursor, &bounds, data, (form, Zones::Left));
        let rows = (0..RowStatistic::COUNT).map(|_| table(cursor)).collect::<std::result::Result<_, _>>()?;
        let mut fields: Vec<FieldRollups> = Vec::new();
        for _ in 0..field_count {
            let id = ColumnId(cursor.u32().ok_or(CUT)?);
            let present = cursor.u32().ok_or(CUT)?;
            let field_type = type_of(id).filter(|_| fields.iter().all(|known| known.id != id));
            let field_type = field_type.ok_or("a rollup is of no column, or of one that has it already")?;
            let is_text = matches!(field_type, FieldType::String | FieldType::Binary);
            let all: u32 = FieldStatistic::ALL.iter().map(|statistic| statistic.bit()).sum();
            let are_nulls_whole = present & OF_NULLS == 0 || present & OF_NULLS == OF_NULLS;
            if is_text || present & !all != 0 || (present | OPTIONAL) != all || !are_nulls_whole {
                return Err("the statistics of a rollup are none that fit together");
            }
            let mut tables = [const { None }; FieldStatistic::ALL.len()];
            for statistic in FieldStatistic::ALL.iter().filter(|statistic| present & statistic.bit() != 0) {
                tables[*statistic as usize] = Some(table(cursor)?);
            }
            fields.push(FieldRollups { id, field_type, tables });
        }
        Ok(Self { file: file.clone(), base_ns, row_count, series_starts, rows, fields })
    }

    /// Width of the base buckets, which are aligned to the epoch; positive.
    pub fn base_ns(&self) -> i64 {
        self.base_ns
    }

    /// Number of rollup rows, at least one.
    pub fn row_count(&self) -> u32 {
        self.row_count
    }

    /// The rollup rows of a series, in time order; together they stand for all of its rows. Empty when the series has
    /// none.
    ///
    /// # Panics
    /// When the section has no such series.
    pub fn rows_of(&self, series: usize) -> Range<u32> {
        let starts = LeU32s::new(&self.file.bytes()[self.series_starts.clone()]);
        starts.get(series)..starts.get(series + 1)
    }

    /// The states of a field. `None` for a text, and for a column without a value in the section.
    pub fn field(&self, id: ColumnId) -> Option<&FieldRollups> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// All fields with states.
    pub fn fields(&self) -> &[FieldRollups] {
        &self.fields
    }

    /// Decodes a statistic for the rollup rows from `vector * VECTOR_LEN` on. Returns how many there are; `out` beyond
    /// them is unspecified.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn decode(&self, statistic: RowStatistic, vector: usize, out: &mut [i64; VECTOR_LEN]) -> Result<usize> {
        decode_integers(&self.rows[statistic as usize], vector, out)
    }

    /// What a statistic that contradicts the section is.
    pub(crate) fn contradiction(&self, rollup_row: u32) -> Error {
        let reason = format!("rollup row {rollup_row} contradicts its series");
        self.file.corruption(self.series_starts.start, reason)
    }

    /// The tables of all statistics in the order of the file.
    pub(super) fn tables(&self) -> impl Iterator<Item = &VectorTable> {
        self.rows.iter().chain(self.fields.iter().flat_map(|field| field.tables.iter().flatten()))
    }
}

fn check_series_starts(
    starts: LeU32s<'_>,
    row_count: u32,
    directory: &Directory,
) -> std::result::Result<(), &'static str> {
    let pairs = starts.iter().zip(starts.iter().skip(1)).enumerate();
    // A rollup row stands for at least one row.
    let mut pairs = pairs
        .map(|(series, (start, end))| start <= end && end.wrapping_sub(start) <= directory.series(series).row_count);
    if starts.get(0) == 0 && starts.get(starts.len() - 1) == row_count && pairs.all(|fits| fits) {
        return Ok(());
    }
    Err("the rollup rows do not fit the series")
}

fn decode_integers(table: &VectorTable, vector: usize, out: &mut [i64; VECTOR_LEN]) -> Result<usize> {
    let encoded = table.encoded(vector)?;
    table.decode_i64(&encoded, out).map_err(|error| undecodable(table, encoded.offset, error))?;
    Ok(encoded.len)
}

fn undecodable(table: &VectorTable, offset: usize, error: DecodeError) -> Error {
    table.file().corruption(offset, format!("a vector of rollups: {error}"))
}
