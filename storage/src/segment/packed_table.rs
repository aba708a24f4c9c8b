//! The table of a warm column's vectors: places, headers and zone maps as records of a fixed number of bits.
//!
//! Every field of a record is packed about the smallest one of the column, in the bits that the largest takes, and
//! the place about a line, because vectors are about equally long. A record is read in place: nothing is decompressed,
//! kept in memory or trusted for its length. Headers and zone maps are those of the other tables, byte for byte.

use std::ops::Range;

use super::bytes::{Cursor, le_u64};
use crate::encoding::{VectorHeader, ZoneMap};

/// Fields of a record: place, kind, checksum, base; then those of the zone map: minimum, maximum, sum, NULLs with flags.
const FIELDS: usize = 8;
const FIELDS_WITHOUT_ZONE: usize = 4;
/// Base and width of a field.
const FIELD_BYTES: usize = 8 + 1;
const SLOPE_BYTES: usize = 8;
/// Bytes behind the records that reading the last one may reach into.
const REACH_BYTES: usize = 8;

/// Whether records have a zone map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zones {
    Kept,
    Left,
}

impl Zones {
    fn fields(self) -> usize {
        match self {
            Self::Kept => FIELDS,
            Self::Left => FIELDS_WITHOUT_ZONE,
        }
    }
}

/// What a table says of one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VectorRecord {
    /// Where its data starts in the file.
    pub(super) start: u64,
    /// Number of values, which a record does not hold.
    pub(super) len: usize,
    pub(super) header: [u8; VectorHeader::BYTES],
    pub(super) zone: [u8; ZoneMap::BYTES],
}

impl VectorRecord {
    /// The fields. Bounds are counted from the base and the sum from as many of it, for they are mostly close.
    fn to_fields(self) -> [u64; FIELDS] {
        let base = le_u64(&self.header, 8);
        let zone: [u64; 4] = std::array::from_fn(|word| le_u64(&self.zone, 8 * word));
        let kind = le_u64(&self.header, 0);
        [
            self.start,
            kind & u64::from(u32::MAX),
            kind >> 32,
            base,
            base.wrapping_sub(zone[0]),
            zone[1].wrapping_sub(base),
            zone[2].wrapping_sub(base.wrapping_mul(self.len as u64)),
            zone[3],
        ]
    }
}

fn header_of(kind: u64, crc: u64, base: u64) -> [u8; VectorHeader::BYTES] {
    let mut header = [0; VectorHeader::BYTES];
    header[..8].copy_from_slice(&(kind & u64::from(u32::MAX) | crc << 32).to_le_bytes());
    header[8..].copy_from_slice(&base.to_le_bytes());
    header
}

/// One field of all records.
#[derive(Debug, Clone, Copy, Default)]
struct Field {
    base: u64,
    width: u32,
    /// Its first bit in a record.
    shift: u32,
}

/// A table in the file.
#[derive(Debug)]
pub(super) struct PackedTable {
    fields: [Field; FIELDS],
    slope: u64,
    record_bits: usize,
    records: Range<usize>,
}

impl PackedTable {
    /// Reads the table of so many records at the cursor; `None` when it is cut off or a field is too wide.
    pub(super) fn read(cursor: &mut Cursor<'_>, record_count: usize, zones: Zones) -> Option<Self> {
        let slope = cursor.u64()?;
        let (mut fields, mut shift) = ([Field::default(); FIELDS], 0);
        for field in &mut fields[..zones.fields()] {
            let (base, width) = (cursor.u64()?, u32::from(cursor.u8()?));
            if width > u64::BITS {
                return None;
            }
            *field = Field { base, width, shift };
            shift += width;
        }
        let record_bits = shift as usize;
        let bytes = record_bits.checked_mul(record_count)?.div_ceil(8).checked_add(REACH_BYTES)?;
        let records = cursor.take(bytes, 1)?;
        Some(Self { fields, slope, record_bits, records })
    }

    /// The bytes of the file that hold the records.
    pub(super) fn records(&self) -> Range<usize> {
        self.records.clone()
    }

    /// The header of a vector.
    pub(super) fn header(&self, file: &[u8], vector: usize) -> [u8; VectorHeader::BYTES] {
        let records = &file[self.records.clone()];
        let [kind, crc, base] = [1, 2, 3].map(|field| self.field(records, field, vector));
        header_of(kind, crc, base)
    }

    /// The zone map of a vector of `len` values; nothing when the records have none.
    pub(super) fn zone(&self, file: &[u8], vector: usize, len: usize) -> [u8; ZoneMap::BYTES] {
        let records = &file[self.records.clone()];
        let [base, below, above, sum, nulls] = [3, 4, 5, 6, 7].map(|field| self.field(records, field, vector));
        let words = [
            base.wrapping_sub(below),
            above.wrapping_add(base),
            sum.wrapping_add(base.wrapping_mul(len as u64)),
            nulls,
        ];
        let mut zone = [0; ZoneMap::BYTES];
        for (bytes, word) in zone.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        zone
    }

    /// Where the data of a vector starts. Behind the last one, where its data ends.
    pub(super) fn start(&self, file: &[u8], vector: usize) -> u64 {
        self.field(&file[self.records.clone()], 0, vector)
    }

    fn field(&self, records: &[u8], field: usize, vector: usize) -> u64 {
        let Field { base, width, shift } = self.fields[field];
        let line = if field == 0 { self.slope.wrapping_mul(vector as u64) } else { 0 };
        let base = base.wrapping_add(line);
        if width == 0 {
            return base;
        }
        let bit = vector * self.record_bits + shift as usize;
        let start = bit / 8;
        let low = le_u64(records, start) >> (bit % 8);
        // At most seven bits are beyond the first eight bytes; there are bytes behind the records for that.
        let high = u64::from(records[start + 8]).checked_shl(64 - bit as u32 % 8).unwrap_or(0);
        base.wrapping_add((low | high) & (u64::MAX >> (64 - width)))
    }
}

/// Appends the table of vectors in the order of their places; the last record is the end of the data.
pub(super) fn append_packed_table(records: &[VectorRecord], zones: Zones, out: &mut Vec<u8>) {
    let mut rows: Vec<[u64; FIELDS]> = records.iter().map(|record| record.to_fields()).collect();
    let (first, last) = (rows[0][0], rows[rows.len() - 1][0]);
    let slope = (last - first) / (rows.len() as u64 - 1).max(1);
    for (index, row) in rows.iter_mut().enumerate() {
        row[0] = row[0].wrapping_sub(slope.wrapping_mul(index as u64));
    }
    // The end of the data has no header: whatever takes no bits.
    if let [.., before, end] = rows.as_mut_slice() {
        end[1..].copy_from_slice(&before[1..]);
    }
    out.extend_from_slice(&slope.to_le_bytes());
    let mut fields = [Field::default(); FIELDS];
    let mut record_bits = 0;
    for (index, field) in fields[..zones.fields()].iter_mut().enumerate() {
        let values = || rows.iter().map(|row| row[index].cast_signed());
        let base = values().min().unwrap_or(0);
        let span = values().max().unwrap_or(0).wrapping_sub(base).cast_unsigned();
        *field = Field { base: base.cast_unsigned(), width: u64::BITS - span.leading_zeros(), shift: record_bits };
        record_bits += field.width;
        out.extend_from_slice(&field.base.to_le_bytes());
        out.push(field.width as u8);
    }
    debug_assert!(FIELD_BYTES * zones.fields() + SLOPE_BYTES <= out.len(), "the descriptions of fields stand there");
    let (mut pending, mut used) = (0u128, 0);
    for row in &rows {
        for (field, value) in fields[..zones.fields()].iter().zip(row) {
            pending |= u128::from(value.wrapping_sub(field.base)) << used;
            used += field.width;
            while used >= 8 {
                out.push(pending as u8);
                pending >>= 8;
                used -= 8;
            }
        }
    }
    if used > 0 {
        out.push(pending as u8);
    }
    out.extend_from_slice(&[0; REACH_BYTES]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes records and reads them back; returns the bytes of the table.
    fn round_trip(records: &[VectorRecord], zones: Zones) -> usize {
        let mut bytes = vec![0xAA; 3];
        append_packed_table(records, zones, &mut bytes);
        let mut cursor = Cursor::new(&bytes, 3..bytes.len());
        let table = PackedTable::read(&mut cursor, records.len(), zones).unwrap();
        assert!(cursor.is_at_end());
        let (end, vectors) = records.split_last().unwrap();
        for (vector, record) in vectors.iter().enumerate() {
            assert_eq!(table.start(&bytes, vector), record.start, "vector {vector}");
            assert_eq!(table.header(&bytes, vector), record.header, "vector {vector}");
            if zones == Zones::Kept {
                assert_eq!(table.zone(&bytes, vector, record.len), record.zone, "vector {vector}");
            }
        }
        assert_eq!(table.start(&bytes, vectors.len()), end.start);
        for cut in 3..bytes.len() {
            assert!(PackedTable::read(&mut Cursor::new(&bytes, 3..cut), records.len(), zones).is_none());
        }
        bytes.len() - 3
    }

    #[test]
    fn any_records_come_back() {
        let mut state = 3u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 31
        };
        for count in [1, 2, 3, 9, 100] {
            for bits in [0, 1, 7, 8, 31, 63, 64] {
                let mut start = 64;
                let mut record = || {
                    start += random() % 300;
                    let mut noise = || random().checked_shr(64 - bits).unwrap_or(0).to_le_bytes();
                    let mut record = VectorRecord { start, len: 1024, header: [0; 16], zone: [0; 32] };
                    let words = record.header.as_chunks_mut::<8>().0.iter_mut();
                    words.chain(record.zone.as_chunks_mut::<8>().0).for_each(|word| *word = noise());
                    record
                };
                let records: Vec<_> = (0..=count).map(|_| record()).collect();
                round_trip(&records, Zones::Kept);
                round_trip(&records, Zones::Left);
            }
        }
    }

    #[test]
    fn alike_vectors_take_the_bits_of_what_differs() {
        let record = |vector: u64| {
            let mut record = VectorRecord { start: 4096 + 100 * vector, len: 1024, header: [0; 16], zone: [0; 32] };
            record.header[..4].copy_from_slice(&[10, 3, 1, 0]);
            record.header[4..8].copy_from_slice(&(vector as u32).wrapping_mul(0x9E37_79B9).to_le_bytes());
            record.header[8] = vector as u8 % 64;
            record.zone[26] = 3;
            record
        };
        let records: Vec<_> = (0..1001).map(record).collect();
        // The checksum, the base of six bits, bounds and sum that do not follow it.
        assert!(round_trip(&records, Zones::Kept) < 1000 * (32 + 6 + 6 + 6 + 16) / 8 + 200);
    }

    #[test]
    fn fields_that_are_too_wide_are_refused() {
        let records = [VectorRecord { start: 0, len: 1, header: [0; 16], zone: [0; 32] }; 2];
        let mut bytes = Vec::new();
        append_packed_table(&records, Zones::Left, &mut bytes);
        bytes[SLOPE_BYTES + 8] = 65;
        bytes.resize(1000, 0);
        assert!(PackedTable::read(&mut Cursor::new(&bytes, 0..1000), 2, Zones::Left).is_none());
    }
}
