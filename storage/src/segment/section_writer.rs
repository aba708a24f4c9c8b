//! Builds one table section: takes series in key order, cuts vectors, and hands over data and metadata at the end.
//!
//! Where vectors are cut: a series of [`OWN_VECTORS_ROWS_MIN`] rows or more starts a vector and the series behind it
//! does too, so that reading it decodes nothing of another. Smaller series share vectors, and one that does not fit
//! into what is left of a vector starts the next, so that it lies in exactly one.

use std::collections::HashMap;

use arrow_array::{Array, ArrayRef};

use super::bytes::pad_to_8;
use super::column_writer::{ColumnWriter, FinishedColumn};
use super::directory_writer::DirectoryWriter;
use super::layout::{COLUMN_RECORD_BYTES, SECTION_HEADER_BYTES};
use super::packed_table::Zones;
use super::rollup_writer::{FinishedRollups, RollupWriter};
use super::series_shape::SeriesShape;
use super::vector_writer::EncodedVectors;
use crate::encoding::{VECTOR_LEN, encode_i64};
use crate::error::{Error, Result};
use crate::framing::{ByteWriter, encode_schema};
use crate::types::{ColumnId, SeriesKey, TableId, TableSchema, Tier, TimeRange};

/// From this many rows on a series has vectors of its own: a quarter of a vector, so that a vector that is cut for it
/// wastes at most that share of the fixed cost per vector, and smaller series fill a shared one to three quarters.
const OWN_VECTORS_ROWS_MIN: usize = 256;

/// Section flag: the time column has tables, because some vector holds rows of an irregular series.
pub(super) const FLAG_TIME_VECTORS: u32 = 1;
/// Section flag: the section has rollups.
pub(super) const FLAG_ROLLUPS: u32 = 2;
/// Section flag: vectors are warm, and their tables are packed.
pub(super) const FLAG_WARM: u32 = 4;

/// The section that is being written.
#[derive(Debug)]
pub(super) struct SectionWriter {
    tier: Tier,
    table_id: TableId,
    schema_block: Vec<u8>,
    tag_count: usize,
    columns: Vec<ColumnWriter>,
    rollups: RollupWriter,
    column_positions: HashMap<ColumnId, usize>,
    directory: DirectoryWriter,
    last_key: Option<SeriesKey>,
    previous_series_rows: usize,
    /// The series whose rows are being taken.
    open: OpenSeries,
    row_count: u32,
    /// First row of every vector that has been begun; the last one is being filled while `times.pending` has rows.
    vector_starts: Vec<u32>,
    times: TimeWriter,
}

/// What is still to come of a series.
#[derive(Debug, Default)]
struct OpenSeries {
    rows_left: usize,
    is_regular: bool,
    last_time: i64,
    max_time: i64,
}

/// A section whose vectors are all encoded.
pub(super) struct FinishedSection {
    tier: Tier,
    pub(super) table_id: TableId,
    pub(super) row_count: u32,
    pub(super) time_range: TimeRange,
    /// Absent when every series is regular.
    pub(super) times: Option<EncodedVectors>,
    pub(super) columns: Vec<FinishedColumn>,
    pub(super) rollups: Option<FinishedRollups>,
    schema_block: Vec<u8>,
    tag_count: usize,
    directory: DirectoryWriter,
    vector_starts: Vec<u32>,
    vector_bounds: Vec<(i64, i64)>,
}

/// File offsets of what was written for a column.
pub(super) struct ColumnPlace {
    pub(super) data_offset: u64,
    pub(super) dictionary_offset: u64,
}

/// File offsets of what was written for a section.
pub(super) struct DataPlaces {
    pub(super) times_offset: u64,
    pub(super) columns: Vec<ColumnPlace>,
    pub(super) rollups_offset: u64,
}

impl SectionWriter {
    pub(super) fn new(schema: &TableSchema, tier: Tier) -> Self {
        let mut schema_block = ByteWriter::default();
        encode_schema(schema, &mut schema_block);
        let columns: Vec<_> = schema.fields.iter().map(|field| ColumnWriter::new(field.id, field.field_type)).collect();
        Self {
            tier,
            table_id: schema.id,
            schema_block: schema_block.bytes,
            tag_count: schema.tags.len(),
            column_positions: columns.iter().enumerate().map(|(position, column)| (column.id(), position)).collect(),
            rollups: RollupWriter::new(&columns),
            columns,
            directory: DirectoryWriter::new(schema.tags.iter().map(|tag| tag.id)),
            last_key: None,
            previous_series_rows: 0,
            open: OpenSeries::default(),
            row_count: 0,
            vector_starts: Vec::new(),
            times: TimeWriter::default(),
        }
    }

    /// Adds a series; see [`SegmentWriter::push_series`](super::SegmentWriter::push_series).
    pub(super) fn push_series(
        &mut self,
        key: &SeriesKey,
        times: &[i64],
        fields: &[(ColumnId, ArrayRef)],
    ) -> Result<()> {
        self.begin_series(key, &SeriesShape::of(times)?)?;
        self.append_rows(times, fields)
    }

    /// Begins a series whose rows come with [`SectionWriter::append_rows`].
    pub(super) fn begin_series(&mut self, key: &SeriesKey, shape: &SeriesShape) -> Result<()> {
        self.check_series_is_whole()?;
        if self.last_key.as_ref().is_some_and(|last| last >= key) {
            return Err(Error::invalid("the series of a section must come in the order of their keys, each once"));
        }
        if self.row_count.checked_add(shape.row_count).is_none() {
            return Err(Error::invalid("a section has at most 4,294,967,295 rows"));
        }
        self.directory.push(key, self.row_count, shape)?;
        self.rollups.begin_series(shape);
        self.last_key = Some(key.clone());
        let rows = shape.row_count as usize;
        let vector_room = VECTOR_LEN - self.times.pending.len();
        if self.previous_series_rows.max(rows) >= OWN_VECTORS_ROWS_MIN || rows > vector_room {
            self.cut_vector()?;
        }
        self.previous_series_rows = rows;
        self.open = OpenSeries {
            rows_left: rows,
            is_regular: shape.is_regular(),
            last_time: shape.min_time,
            max_time: shape.max_time,
        };
        Ok(())
    }

    /// Adds the next rows of the series that was begun.
    pub(super) fn append_rows(&mut self, times: &[i64], fields: &[(ColumnId, ArrayRef)]) -> Result<()> {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Ok(()) };
        let rows_left = self.open.rows_left.checked_sub(times.len());
        let rows_left = rows_left.ok_or_else(|| Error::invalid("a series has more rows than was said"))?;
        let ends_well = rows_left > 0 || last == self.open.max_time;
        if first < self.open.last_time || last > self.open.max_time || !ends_well {
            return Err(Error::invalid("the rows of a series do not fit the times that were said"));
        }
        let arrays = self.arrays_by_column(times.len(), fields)?;
        self.rollups.push_rows(times, &arrays, rows_left == 0)?;
        let is_regular = self.open.is_regular;
        let mut start = 0;
        while start < times.len() {
            let count = (times.len() - start).min(VECTOR_LEN - self.times.pending.len());
            if self.times.pending.is_empty() {
                self.vector_starts.push(self.row_count + start as u32);
            }
            self.times.append(&times[start..start + count], is_regular);
            for (column, array) in self.columns.iter_mut().zip(&arrays) {
                match array {
                    Some(array) => column.append(array, start, count),
                    None => column.append_nulls(count),
                }
            }
            if self.times.pending.len() == VECTOR_LEN {
                self.cut_vector()?;
            }
            start += count;
        }
        self.row_count += times.len() as u32;
        self.open.rows_left = rows_left;
        self.open.last_time = last;
        Ok(())
    }

    fn check_series_is_whole(&self) -> Result<()> {
        match self.open.rows_left {
            0 => Ok(()),
            missing => Err(Error::invalid(format!("the last series lacks {missing} rows"))),
        }
    }

    /// About how much memory the section will have taken when it ends here.
    pub(super) fn memory_bytes(&self) -> usize {
        self.directory.memory_bytes() + self.columns.iter().map(ColumnWriter::byte_len).sum::<usize>()
    }

    /// Checks the fields of a series and puts them in the order of the columns.
    fn arrays_by_column<'a>(
        &self,
        row_count: usize,
        fields: &'a [(ColumnId, ArrayRef)],
    ) -> Result<Vec<Option<&'a ArrayRef>>> {
        let mut arrays = vec![None; self.columns.len()];
        for (id, array) in fields {
            let Some(&position) = self.column_positions.get(id) else {
                return Err(Error::invalid(format!("table {} has no field column {id}", self.table_id)));
            };
            let expected = self.columns[position].field_type().arrow_type();
            if *array.data_type() != expected || array.len() != row_count {
                return Err(Error::invalid(format!(
                    "field column {id} has {} values of type {}, expected {row_count} of type {expected}",
                    array.len(),
                    array.data_type(),
                )));
            }
            if arrays[position].replace(array).is_some() {
                return Err(Error::invalid(format!("field column {id} is given twice")));
            }
        }
        Ok(arrays)
    }

    fn cut_vector(&mut self) -> Result<()> {
        if self.times.pending.is_empty() {
            return Ok(());
        }
        self.times.cut();
        self.columns.iter_mut().try_for_each(|column| column.cut(&self.vector_starts))
    }

    /// Ends the section; `None` when it has no rows.
    pub(super) fn finish(mut self) -> Result<Option<FinishedSection>> {
        self.check_series_is_whole()?;
        self.cut_vector()?;
        let Some((start_ns, end_ns)) = self.directory.time_bounds() else { return Ok(None) };
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            columns.extend(column.finish(&self.vector_starts)?);
        }
        let mut times = self.times.has_vectors.then_some(self.times.vectors);
        let mut rollups = self.rollups.finish(&columns);
        if self.tier == Tier::Warm {
            let ends = self.vector_starts.iter().skip(1).chain([&self.row_count]);
            let lens = || self.vector_starts.iter().zip(ends.clone()).map(|(start, end)| (end - start) as usize);
            times = times.map(|times| times.into_warm(lens()));
            for column in &mut columns {
                column.vectors = std::mem::take(&mut column.vectors).into_warm(lens());
            }
            rollups = rollups.map(FinishedRollups::into_warm);
        }
        Ok(Some(FinishedSection {
            tier: self.tier,
            table_id: self.table_id,
            row_count: self.row_count,
            time_range: TimeRange { start_ns, end_ns },
            times,
            rollups,
            columns,
            schema_block: self.schema_block,
            tag_count: self.tag_count,
            directory: self.directory,
            vector_starts: self.vector_starts,
            vector_bounds: self.times.bounds,
        }))
    }
}

impl FinishedSection {
    /// The metadata block, given where the data was written.
    pub(super) fn metadata(&self, places: &DataPlaces) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(SECTION_HEADER_BYTES + self.schema_block.len());
        out.extend_from_slice(&self.table_id.0.to_le_bytes());
        let mut flags = if self.times.is_some() { FLAG_TIME_VECTORS } else { 0 };
        flags |= if self.rollups.is_some() { FLAG_ROLLUPS } else { 0 };
        flags |= if self.tier == Tier::Warm { FLAG_WARM } else { 0 };
        let counts = [
            self.row_count,
            self.directory.series_count() as u32,
            self.vector_starts.len() as u32,
            self.tag_count as u32,
            self.columns.len() as u32,
            self.schema_block.len() as u32,
        ];
        for value in counts {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&self.time_range.start_ns.to_le_bytes());
        out.extend_from_slice(&self.time_range.end_ns.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        out.resize(SECTION_HEADER_BYTES, 0);

        out.extend_from_slice(&self.schema_block);
        pad_to_8(&mut out);
        self.directory.append_to(self.row_count, &mut out)?;

        for row in self.vector_starts.iter().chain([&self.row_count]) {
            out.extend_from_slice(&row.to_le_bytes());
        }
        pad_to_8(&mut out);
        for (min, max) in &self.vector_bounds {
            out.extend_from_slice(&min.to_le_bytes());
            out.extend_from_slice(&max.to_le_bytes());
        }
        if let Some(times) = &self.times {
            times.append_tables(places.times_offset, Zones::Left, &mut out);
        }
        for (column, place) in self.columns.iter().zip(&places.columns) {
            append_column(column, place, &mut out);
        }
        if let Some(rollups) = &self.rollups {
            rollups.append_to(places.rollups_offset, &mut out);
        }
        Ok(out)
    }
}

fn append_column(column: &FinishedColumn, place: &ColumnPlace, out: &mut Vec<u8>) {
    let start = out.len();
    let dictionary = &column.dictionary;
    out.extend_from_slice(&column.id.0.to_le_bytes());
    out.extend_from_slice(&[column.field_type.code(), column.storage.code(), 0, 0]);
    out.extend_from_slice(&place.dictionary_offset.to_le_bytes());
    out.extend_from_slice(&(dictionary.bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(&dictionary.value_count.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&dictionary.bytes).to_le_bytes());
    debug_assert_eq!(out.len() - start, COLUMN_RECORD_BYTES);
    column.vectors.append_tables(place.data_offset, Zones::Kept, out);
}

/// Collects the time column. A vector of regular series only is not stored: the directory says its times.
#[derive(Debug, Default)]
struct TimeWriter {
    pending: Vec<i64>,
    has_irregular: bool,
    /// Whether any vector is stored.
    has_vectors: bool,
    vectors: EncodedVectors,
    /// Smallest and largest time of every vector.
    bounds: Vec<(i64, i64)>,
}

impl TimeWriter {
    fn append(&mut self, times: &[i64], is_regular: bool) {
        self.pending.extend_from_slice(times);
        self.has_irregular |= !is_regular;
    }

    fn cut(&mut self) {
        let pending = &self.pending;
        let bounds = pending.iter().fold((i64::MAX, i64::MIN), |(min, max), &time| (min.min(time), max.max(time)));
        self.bounds.push(bounds);
        if self.has_irregular {
            self.vectors.push(|out| encode_i64(pending, None, out));
        } else {
            self.vectors.push_absent();
        }
        self.has_vectors |= self.has_irregular;
        self.pending.clear();
        self.has_irregular = false;
    }
}
