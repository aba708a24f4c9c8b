//! The rows of one table and partition within a segment: their directory, times and columns.
//!
//! Everything that [`Section::read`] accepts can be used without a further check of the metadata: counts fit, ranges
//! lie within the file, rows are covered by series and by vectors. Vector data is checked where it is used.

use std::ops::Range;

use super::bytes::{Cursor, LeU32s, LeU64s};
use super::column::{ColumnStorage, DictionaryPlace, SectionColumn};
use super::directory::{Directory, DirectoryShape, SeriesEntry, TagCodes, TagDictionary};
use super::file::{SegmentFile, SegmentPin};
use super::layout::{FooterEntry, SECTION_HEADER_BYTES, check_crc};
use super::rollup::SectionRollups;
use super::section_writer::{FLAG_ROLLUPS, FLAG_TIME_VECTORS};
use super::vector_table::{VectorBounds, VectorTable};
use crate::encoding::{VECTOR_LEN, VectorHeader, ZoneMap, decode_i64};
use crate::error::Result;
use crate::framing::{ByteReader, decode_schema};
use crate::types::{ColumnId, FieldType, SeriesKey, TableId, TableSchema, Tier, TimeRange};

/// The rows of one table and partition in a segment, ordered by series key, then time.
///
/// Methods that take a series, a row or a vector panic when the section has no such one.
#[derive(Debug)]
pub struct Section {
    file: SegmentPin,
    tier: Tier,
    table_id: TableId,
    partition_start_ns: i64,
    row_count: u32,
    time_range: TimeRange,
    data: Range<usize>,
    metadata: Range<usize>,
    schema: Range<usize>,
    directory: Directory,
    bounds: VectorBounds,
    vector_times: Range<usize>,
    times: Option<VectorTable>,
    columns: Vec<SectionColumn>,
    rollups: Option<SectionRollups>,
}

impl Section {
    /// Checks and reads the metadata of a section that the footer places within the file.
    pub(super) fn read(file: &SegmentPin, entry: &FooterEntry, tier: Tier) -> Result<Self> {
        let start = entry.metadata_offset as usize;
        let metadata = start..start + entry.metadata_len as usize;
        check_crc(
            file.path(),
            entry.metadata_offset,
            &file.bytes()[metadata.clone()],
            entry.metadata_crc,
            "section metadata",
        )?;
        let mut cursor = Cursor::new(file.bytes(), metadata.clone());
        let data = entry.data_offset as usize..start;
        Self::parse(file, &mut cursor, data, metadata, entry, tier)
            .map_err(|reason| file.corruption(cursor.position(), reason))
    }

    fn parse(
        file: &SegmentPin,
        cursor: &mut Cursor<'_>,
        data: Range<usize>,
        metadata: Range<usize>,
        entry: &FooterEntry,
        tier: Tier,
    ) -> std::result::Result<Self, &'static str> {
        let header = SectionHeader::read(cursor).ok_or("the section header is cut off")?;
        let FooterEntry { table_id, partition_start_ns, .. } = *entry;
        if header.table_id != table_id || header.row_count == 0 || header.vector_count == 0 {
            return Err("the section header does not fit the footer");
        }
        let schema = cursor.take(header.schema_len as usize, 1).ok_or("the schema is cut off")?;
        cursor.align().ok_or("the schema is cut off")?;
        let shape = DirectoryShape {
            row_count: header.row_count,
            series_count: header.series_count,
            tag_count: header.tag_count,
            time_range: header.time_range,
        };
        let directory = Directory::read(file, cursor, shape)?;

        const CUT: &str = "the table of vectors is cut off";
        let vector_count = header.vector_count as usize;
        let row_starts = cursor.take(vector_count.saturating_add(1), 4).ok_or(CUT)?;
        cursor.align().ok_or(CUT)?;
        check_vector_starts(LeU32s::new(&file.bytes()[row_starts.clone()]), header.row_count)?;
        let bounds = VectorBounds::new(file.clone(), row_starts);
        let vector_times = cursor.take(vector_count, 16).ok_or(CUT)?;
        let vectors = |cursor: &mut Cursor<'_>| {
            let locations = cursor.take(vector_count + 1, 8).ok_or(CUT)?;
            let headers = cursor.take(vector_count, VectorHeader::BYTES).ok_or(CUT)?;
            Ok::<_, &'static str>(VectorTable::new(file.clone(), bounds.clone(), locations, headers, data.clone()))
        };
        if header.flags & !(FLAG_TIME_VECTORS | FLAG_ROLLUPS) != 0 {
            return Err("the section has unknown flags");
        }
        let times = if header.flags & FLAG_TIME_VECTORS == 0 { None } else { Some(vectors(cursor)?) };
        let mut columns: Vec<SectionColumn> = Vec::new();
        for _ in 0..header.column_count {
            let record = ColumnRecord::read(cursor, &data).ok_or("the record of a column is malformed")?;
            let vectors = vectors(cursor)?;
            let zones = cursor.take(vector_count, ZoneMap::BYTES).ok_or(CUT)?;
            let ColumnRecord { id, field_type, storage, dictionary } = record;
            let column = SectionColumn::new(id, field_type, storage, vectors, zones, dictionary);
            columns.push(column.ok_or("a zone map is malformed")?);
        }
        let type_of = |id: ColumnId| columns.iter().find(|column| column.id() == id).map(SectionColumn::field_type);
        let rollups = match header.flags & FLAG_ROLLUPS {
            0 => None,
            _ => Some(SectionRollups::read(file, cursor, &directory, &data, type_of)?),
        };
        if !cursor.is_at_end() {
            return Err("the section metadata is longer than its contents");
        }
        Ok(Self {
            file: file.clone(),
            tier,
            table_id,
            partition_start_ns,
            row_count: header.row_count,
            time_range: header.time_range,
            data,
            metadata,
            schema,
            directory,
            bounds,
            vector_times,
            times,
            columns,
            rollups,
        })
    }

    /// The tier for which its segment was written.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The table.
    pub fn table_id(&self) -> TableId {
        self.table_id
    }

    /// First time of the partition that all its rows belong to.
    pub fn partition_start_ns(&self) -> i64 {
        self.partition_start_ns
    }

    /// Number of rows, at least one.
    pub fn row_count(&self) -> u32 {
        self.row_count
    }

    /// Smallest and largest time.
    pub fn time_range(&self) -> TimeRange {
        self.time_range
    }

    /// The schema of the table when the segment was written. The manifest has the current one.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn written_schema(&self) -> Result<TableSchema> {
        let mut reader = ByteReader::new(&self.file.bytes()[self.schema.clone()]);
        decode_schema(&mut reader)
            .filter(|schema| schema.id == self.table_id && reader.remaining() == 0)
            .ok_or_else(|| self.file.corruption(self.schema.start, "the schema of a section is malformed"))
    }

    /// The tags that the table had when the segment was written, in key order.
    pub fn tags(&self) -> &[ColumnId] {
        self.directory.tag_ids()
    }

    /// The distinct values of a tag.
    pub fn tag_values(&self, tag: ColumnId) -> Option<&TagDictionary> {
        self.directory.tag_values(tag)
    }

    /// The dictionary code of a tag, one per series.
    pub fn tag_codes(&self, tag: ColumnId) -> Option<TagCodes<'_>> {
        self.directory.tag_codes(tag)
    }

    /// Number of series, at least one.
    pub fn series_count(&self) -> usize {
        self.directory.series_count()
    }

    /// The key of a series, put together from its tags.
    pub fn series_key(&self, series: usize) -> SeriesKey {
        self.directory.series_key(series)
    }

    /// Rows and times of a series.
    pub fn series(&self, series: usize) -> SeriesEntry {
        self.directory.series(series)
    }

    /// Number of rows of a series, which is cheaper to look up than the rest of its entry.
    pub fn series_row_count(&self, series: usize) -> u32 {
        self.directory.row_count(series)
    }

    /// The series that a row belongs to.
    pub fn series_of_row(&self, row: u32) -> usize {
        self.directory.series_of_row(row)
    }

    /// Number of vectors, at least one.
    pub fn vector_count(&self) -> usize {
        self.bounds.vector_count()
    }

    /// The rows of a vector, 1 to 1,024. All columns share them.
    pub fn vector_rows(&self, vector: usize) -> Range<u32> {
        self.bounds.rows(vector)
    }

    /// The vector that a row belongs to.
    pub fn vector_of_row(&self, row: u32) -> usize {
        self.bounds.vector_of_row(row)
    }

    /// Whether another section lies in the same segment.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.file.is_same(&other.file)
    }

    /// Smallest and largest time of a vector.
    pub fn time_zone(&self, vector: usize) -> (i64, i64) {
        let times = LeU64s::new(&self.file.bytes()[self.vector_times.clone()]);
        (times.get_i64(2 * vector), times.get_i64(2 * vector + 1))
    }

    /// Decodes the times of a vector. Returns their number; `out` beyond it is unspecified.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn decode_times(&self, vector: usize, out: &mut [i64; VECTOR_LEN]) -> Result<usize> {
        if self.are_times_in_directory(vector) {
            return Ok(self.fill_regular_times(vector, out));
        }
        let Some(times) = &self.times else {
            return Err(self.file.corruption(self.vector_times.start, "an irregular series has no times"));
        };
        let encoded = times.encoded(vector)?;
        decode_i64(&encoded.header, encoded.data, encoded.len, out)
            .map_err(|error| self.file.corruption(encoded.offset, format!("a vector of times: {error}")))?;
        Ok(encoded.len)
    }

    /// Whether every series with rows in the vector is regular, in which case the writer stores no times for it.
    pub(super) fn are_times_in_directory(&self, vector: usize) -> bool {
        let rows = self.bounds.rows(vector);
        let first = self.directory.series_of_row(rows.start);
        let entries = (first..self.series_count()).map(|series| self.directory.series(series));
        entries.take_while(|entry| entry.row_start < rows.end).all(|entry| entry.step_ns > 0)
    }

    fn fill_regular_times(&self, vector: usize, out: &mut [i64; VECTOR_LEN]) -> usize {
        let rows = self.bounds.rows(vector);
        let mut series = self.directory.series_of_row(rows.start);
        let mut row = rows.start;
        while row < rows.end {
            let entry = self.directory.series(series);
            let end = rows.end.min(entry.row_start + entry.row_count);
            let slots = &mut out[(row - rows.start) as usize..(end - rows.start) as usize];
            // The directory was checked to end at `max_time`, but a step times a row number may wrap on the way.
            let first = entry.min_time.wrapping_add(entry.step_ns.wrapping_mul(i64::from(row - entry.row_start)));
            for (index, slot) in slots.iter_mut().enumerate() {
                *slot = first.wrapping_add(entry.step_ns.wrapping_mul(index as i64));
            }
            row = end;
            series += 1;
        }
        rows.len()
    }

    /// A field column. `None` when the table did not have it or no row has a value: it is NULL in every row.
    pub fn column(&self, id: ColumnId) -> Option<&SectionColumn> {
        self.columns.iter().find(|column| column.id() == id)
    }

    /// The field columns in which some row has a value.
    pub fn columns(&self) -> &[SectionColumn] {
        &self.columns
    }

    /// The rollups of the section, if it has any.
    pub fn rollups(&self) -> Option<&SectionRollups> {
        self.rollups.as_ref()
    }

    /// The file range of vector data and dictionaries.
    pub(super) fn data_range(&self) -> Range<usize> {
        self.data.clone()
    }

    pub(super) fn metadata_range(&self) -> Range<usize> {
        self.metadata.clone()
    }

    pub(super) fn times(&self) -> Option<&VectorTable> {
        self.times.as_ref()
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn file(&self) -> &SegmentFile {
        &self.file
    }
}

/// The fixed part of the metadata.
struct SectionHeader {
    table_id: TableId,
    row_count: u32,
    series_count: u32,
    vector_count: u32,
    tag_count: u32,
    column_count: u32,
    schema_len: u32,
    time_range: TimeRange,
    flags: u32,
}

impl SectionHeader {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let start = cursor.position();
        let header = Self {
            table_id: TableId(cursor.u64()?),
            row_count: cursor.u32()?,
            series_count: cursor.u32()?,
            vector_count: cursor.u32()?,
            tag_count: cursor.u32()?,
            column_count: cursor.u32()?,
            schema_len: cursor.u32()?,
            time_range: TimeRange { start_ns: cursor.i64()?, end_ns: cursor.i64()? },
            flags: cursor.u32()?,
        };
        cursor.take(SECTION_HEADER_BYTES - (cursor.position() - start), 1)?;
        Some(header)
    }
}

/// The fixed part of a column's metadata.
struct ColumnRecord {
    id: ColumnId,
    field_type: FieldType,
    storage: ColumnStorage,
    dictionary: DictionaryPlace,
}

impl ColumnRecord {
    /// Reads a record; `None` when it is cut off, of an unknown kind, or places its dictionary outside of `data`.
    fn read(cursor: &mut Cursor<'_>, data: &Range<usize>) -> Option<Self> {
        let id = ColumnId(cursor.u32()?);
        let field_type = FieldType::from_code(cursor.u8()?)?;
        let storage = ColumnStorage::from_code(cursor.u8()?, field_type)?;
        cursor.take(2, 1)?;
        let start = usize::try_from(cursor.u64()?).ok()?;
        let end = start.checked_add(usize::try_from(cursor.u64()?).ok()?)?;
        if start < data.start || end > data.end {
            return None;
        }
        let (value_count, crc32c) = (cursor.u32()?, cursor.u32()?);
        Some(Self { id, field_type, storage, dictionary: DictionaryPlace { range: start..end, value_count, crc32c } })
    }
}

fn check_vector_starts(row_starts: LeU32s<'_>, row_count: u32) -> std::result::Result<(), &'static str> {
    let pairs = row_starts.iter().zip(row_starts.iter().skip(1));
    let are_lengths_right = pairs.into_iter().all(|(start, end)| start < end && (end - start) as usize <= VECTOR_LEN);
    if row_starts.get(0) == 0 && row_starts.get(row_starts.len() - 1) == row_count && are_lengths_right {
        return Ok(());
    }
    Err("the vectors do not cover the rows of the section")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_do_not_cover_the_rows_are_refused() {
        let check = |starts: &[u32], row_count| {
            let bytes: Vec<u8> = starts.iter().flat_map(|start| start.to_le_bytes()).collect();
            check_vector_starts(LeU32s::new(&bytes), row_count).is_ok()
        };
        assert!(check(&[0, 1024, 1025], 1025));
        assert!(!check(&[0, 1025], 1025), "longer than a vector");
        assert!(!check(&[0, 0, 5], 5), "an empty vector");
        assert!(!check(&[0, 5, 3], 3), "descending");
        assert!(!check(&[1, 5], 5), "a gap at the start");
        assert!(!check(&[0, 4], 5), "a gap at the end");
    }
}
