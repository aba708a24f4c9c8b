//! Finds the encoded vectors of one column in the mapped file and checks each the first time it is used.
//!
//! Concurrency: any number of threads may read. Two that use a vector for the first time may both check it; the bitmap
//! remembers only that a check succeeded, and the bytes are immutable, so relaxed ordering is enough.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bytes::{Cursor, LeU32s, LeU64s};
use super::code_cell::CodeCell;
use super::file::{SegmentFile, SegmentPin};
use super::layout::padding;
use super::packed_table::{PackedTable, Zones};
use super::vector_writer::LOCATION_PADDING_MASK;
use crate::encoding::kernel::prefetch;
use crate::encoding::{
    ColumnCode, DecodeError, DecodeTable, VECTOR_LEN, VectorHeader, ZoneMap, decode_column_f64, decode_column_i64,
};
use crate::error::Result;

/// One encoded vector in the mapped file.
#[derive(Debug, Clone, Copy)]
pub struct EncodedVector<'a> {
    /// Its header.
    pub header: VectorHeader,
    /// What the encoder appended.
    pub data: &'a [u8],
    /// Number of values.
    pub len: usize,
    /// Where `data` stands in the file.
    pub(super) offset: usize,
}

/// The first row of every vector of a section, and the number of rows behind the last.
#[derive(Debug, Clone)]
pub(super) struct VectorBounds {
    file: SegmentPin,
    row_starts: Range<usize>,
}

impl VectorBounds {
    /// Bounds at `row_starts` of the file, which the caller has checked: ascending, vectors of 1 to 1024 rows.
    pub(super) fn new(file: SegmentPin, row_starts: Range<usize>) -> Self {
        Self { file, row_starts }
    }

    fn row_starts(&self) -> LeU32s<'_> {
        LeU32s::new(&self.file.bytes()[self.row_starts.clone()])
    }

    pub(super) fn vector_count(&self) -> usize {
        self.row_starts().len() - 1
    }

    pub(super) fn rows(&self, vector: usize) -> Range<u32> {
        let row_starts = self.row_starts();
        row_starts.get(vector)..row_starts.get(vector + 1)
    }

    pub(super) fn len(&self, vector: usize) -> usize {
        self.rows(vector).len()
    }

    pub(super) fn vector_of_row(&self, row: u32) -> usize {
        self.row_starts().partition_point_at_most(row) - 1
    }
}

/// How the tables of a section's vectors stand in its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableForm {
    /// Arrays of locations, headers and zone maps.
    Plain,
    /// A code of the column where it has one, then records; the vectors adjoin.
    Packed,
}

/// The tables of one column: where its vectors are, what their headers say, and their zone maps.
#[derive(Debug)]
pub(super) struct VectorTable {
    file: SegmentPin,
    bounds: VectorBounds,
    tables: Tables,
    /// Where vector data of the section may stand.
    data: Range<usize>,
    /// A bit per vector: its data was checked and found whole.
    verified: Box<[AtomicU64]>,
}

#[derive(Debug)]
enum Tables {
    /// Elements for as many vectors as there are. Without zone maps the last range is empty.
    Plain {
        locations: Range<usize>,
        headers: Range<usize>,
        zones: Range<usize>,
    },
    Packed {
        records: PackedTable,
        code: Option<CodeCell>,
    },
}

impl VectorTable {
    /// Reads the tables at the cursor, which are for the vectors of `bounds`; the error says what does not fit.
    pub(super) fn read(
        file: &SegmentPin,
        cursor: &mut Cursor<'_>,
        bounds: &VectorBounds,
        data: &Range<usize>,
        (form, zones): (TableForm, Zones),
    ) -> std::result::Result<Self, &'static str> {
        const CUT: &str = "the table of vectors is cut off";
        let vector_count = bounds.vector_count();
        let tables = match form {
            TableForm::Plain => {
                let locations = cursor.take(vector_count + 1, 8).ok_or(CUT)?;
                let headers = cursor.take(vector_count, VectorHeader::BYTES).ok_or(CUT)?;
                let zone_count = if zones == Zones::Kept { vector_count } else { 0 };
                let zones = cursor.take(zone_count, ZoneMap::BYTES).ok_or(CUT)?;
                Tables::Plain { locations, headers, zones }
            }
            TableForm::Packed => {
                let code = match cursor.u8().ok_or(CUT)? {
                    0 => None,
                    1 => Some(read_code(file, cursor)?),
                    _ => return Err("a column has an unknown kind of code"),
                };
                let records = PackedTable::read(cursor, vector_count + 1, zones).ok_or(CUT)?;
                cursor.align().ok_or(CUT)?;
                Tables::Packed { records, code }
            }
        };
        let verified = (0..vector_count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { file: file.clone(), bounds: bounds.clone(), tables, data: data.clone(), verified })
    }

    pub(super) fn file(&self) -> &SegmentPin {
        &self.file
    }

    pub(super) fn bounds(&self) -> &VectorBounds {
        &self.bounds
    }

    /// Where the data of a vector starts, and how many bytes of padding follow it. Of the vector behind the last one,
    /// where the data ends.
    fn location(&self, vector: usize) -> (u64, u64) {
        match &self.tables {
            Tables::Plain { locations, .. } => {
                let location = LeU64s::new(&self.file.bytes()[locations.clone()]).get(vector);
                (location & !LOCATION_PADDING_MASK, location & LOCATION_PADDING_MASK)
            }
            Tables::Packed { records, .. } => (records.start(self.file.bytes(), vector), 0),
        }
    }

    /// The file range from the first vector to behind the padding of the last, for checking that columns adjoin.
    pub(super) fn data_range(&self) -> Range<u64> {
        let end = match &self.tables {
            // The end has no padding; what looks like one is no place where a column ends.
            Tables::Plain { locations, .. } => {
                LeU64s::new(&self.file.bytes()[locations.clone()]).get(self.bounds.vector_count())
            }
            Tables::Packed { .. } => {
                let (end, _) = self.location(self.bounds.vector_count());
                end.saturating_add(padding(end) as u64)
            }
        };
        self.location(0).0..end
    }

    /// The vector whose data or padding holds a byte of the file.
    pub(super) fn vector_at(&self, offset: u64) -> Option<usize> {
        let holds = |vector: usize| (self.location(vector).0..self.location(vector + 1).0).contains(&offset);
        (0..self.bounds.vector_count()).find(|&vector| holds(vector))
    }

    /// A vector whose data is whole.
    ///
    /// # Errors
    /// `Corruption` when its place, header or checksum is wrong.
    pub(super) fn encoded(&self, vector: usize) -> Result<EncodedVector<'_>> {
        let word = &self.verified[vector / 64];
        let bit = 1 << (vector % 64);
        let (encoded, padding) = self.locate(vector)?;
        if word.load(Ordering::Relaxed) & bit == 0 {
            self.check(vector, &encoded, padding)?;
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(encoded)
    }

    /// What is known of a vector without decoding it, as it stands on disk; the table has zone maps.
    pub(super) fn zone_bytes(&self, vector: usize) -> [u8; ZoneMap::BYTES] {
        match &self.tables {
            Tables::Plain { zones, .. } => self.file.bytes()[zones.clone()].as_chunks().0[vector],
            Tables::Packed { records, .. } => records.zone(self.file.bytes(), vector, self.bounds.len(vector)),
        }
    }

    fn header_bytes(&self, vector: usize) -> [u8; VectorHeader::BYTES] {
        match &self.tables {
            Tables::Plain { headers, .. } => self.file.bytes()[headers.clone()].as_chunks().0[vector],
            Tables::Packed { records, .. } => records.header(self.file.bytes(), vector),
        }
    }

    /// Decodes a vector of integers that this table gave.
    ///
    /// # Errors
    /// When header, data and code do not fit each other.
    pub(super) fn decode_i64(
        &self,
        encoded: &EncodedVector<'_>,
        out: &mut [i64; VECTOR_LEN],
    ) -> std::result::Result<(), DecodeError> {
        let code = self.code_of(encoded)?;
        decode_column_i64(&encoded.header, encoded.data, encoded.len, code.as_deref(), out)
    }

    /// Decodes a vector of floats that this table gave.
    ///
    /// # Errors
    /// When header, data and code do not fit each other.
    pub(super) fn decode_f64(
        &self,
        encoded: &EncodedVector<'_>,
        out: &mut [f64; VECTOR_LEN],
    ) -> std::result::Result<(), DecodeError> {
        let code = self.code_of(encoded)?;
        decode_column_f64(&encoded.header, encoded.data, encoded.len, code.as_deref(), out)
    }

    /// The code that it takes to decode a vector, if the column has one.
    fn code_of(&self, encoded: &EncodedVector<'_>) -> std::result::Result<Option<Arc<DecodeTable>>, DecodeError> {
        match &self.tables {
            Tables::Packed { code: Some(code), .. } if encoded.header.is_coded() => {
                code.table(self.file.bytes()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Asks the processor for a vector that is read soon, and for what is known of it.
    pub(super) fn prefetch(&self, vector: usize) {
        let bytes = self.file.bytes();
        if let Tables::Plain { headers, zones, .. } = &self.tables {
            for (table, width) in [(headers, VectorHeader::BYTES), (zones, ZoneMap::BYTES)] {
                let start = table.start + vector * width;
                prefetch(bytes.get(start..table.end.min(start + width)).unwrap_or_default());
            }
        }
        let [start, end] = [vector, vector + 1].map(|vector| self.location(vector).0 as usize);
        // Where the table is wrong, reading says so.
        prefetch(bytes.get(start..end).unwrap_or_default());
    }

    /// Checks the bytes of a vector on the disk again, whatever the bitmap says.
    pub(super) fn verify(&self, vector: usize) -> Result<()> {
        let (encoded, padding) = self.locate(vector)?;
        self.check(vector, &encoded, padding)
    }

    /// Checks what stands behind the last vector up to where the next part starts.
    pub(super) fn verify_end(&self) -> Result<()> {
        match &self.tables {
            Tables::Plain { .. } => Ok(()),
            Tables::Packed { .. } => {
                let (start, _) = self.location(self.bounds.vector_count());
                let padding = self.file.bytes().get(start as usize..self.data_range().end as usize);
                let padding = padding.ok_or_else(|| self.file.corruption(self.offset(), "a column ends nowhere"))?;
                check_zeros(&self.file, start as usize, padding)
            }
        }
    }

    /// Whether nothing is stored for a vector.
    pub(super) fn is_absent(&self, vector: usize) -> bool {
        let (start, padding) = self.location(vector);
        let is_empty = start == self.location(vector + 1).0 && padding == 0;
        is_empty && self.header_bytes(vector) == [0; VectorHeader::BYTES]
    }

    /// Where the tables stand in the file.
    fn offset(&self) -> usize {
        match &self.tables {
            Tables::Plain { locations, .. } => locations.start,
            Tables::Packed { records, .. } => records.records().start,
        }
    }

    fn locate(&self, vector: usize) -> Result<(EncodedVector<'_>, &[u8])> {
        let bytes = self.file.bytes();
        let (start, padding) = self.location(vector);
        let (end, _) = self.location(vector + 1);
        let is_inside = self.data.start as u64 <= start && end <= self.data.end as u64;
        let Some(data_end) = end.checked_sub(padding).filter(|&data_end| is_inside && start <= data_end) else {
            return Err(self.file.corruption(self.offset(), format!("vector {vector} lies outside of its section")));
        };
        let Some(header) = VectorHeader::from_bytes(&self.header_bytes(vector)) else {
            return Err(self.file.corruption(self.offset(), format!("vector {vector} has an unknown header")));
        };
        // Both ends lie within the section, which lies within the mapped file, so they fit `usize`.
        let (offset, data_end) = (start as usize, data_end as usize);
        let encoded = EncodedVector { header, data: &bytes[offset..data_end], len: self.bounds.len(vector), offset };
        Ok((encoded, &bytes[data_end..end as usize]))
    }

    #[cold]
    fn check(&self, vector: usize, encoded: &EncodedVector<'_>, padding: &[u8]) -> Result<()> {
        self.file.fetch(encoded.offset..encoded.offset + encoded.data.len() + padding.len())?;
        if !encoded.header.verify(encoded.data) {
            let expected = encoded.header.crc32c;
            let reason = format!("the checksum of vector {vector} is not {expected:08x}");
            return Err(self.file.corruption(encoded.offset, reason));
        }
        check_zeros(&self.file, encoded.offset + encoded.data.len(), padding)
    }
}

/// Reads the code of a column at the cursor.
fn read_code(file: &SegmentPin, cursor: &mut Cursor<'_>) -> std::result::Result<CodeCell, &'static str> {
    const CUT: &str = "the code of a column is cut off";
    let head = cursor.take(ColumnCode::HEAD_BYTES, 1).ok_or(CUT)?;
    let bytes = file.bytes();
    let len = bytes[head.clone()].first_chunk().map_or(0, ColumnCode::byte_len);
    let rest = cursor.take(len - ColumnCode::HEAD_BYTES, 1).ok_or(CUT)?;
    let code = head.start..rest.end;
    ColumnCode::from_bytes(&bytes[code.clone()]).map_err(|error| error.reason)?;
    Ok(CodeCell::new(code))
}

/// Requires padding to be zero: no byte of the file may change unseen.
pub(super) fn check_zeros(file: &SegmentFile, offset: usize, padding: &[u8]) -> Result<()> {
    match padding.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(position) => Err(file.corruption(offset + position, "padding is not zero")),
    }
}
