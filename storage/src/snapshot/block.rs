//! A block: up to one vector of rows of one series, decoded on demand.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, new_null_array};

use super::scratch::{ScanScratch, VectorKey};
use super::widen::decode_as;
use crate::encoding::{PARTS_MAX, VECTOR_LEN, Validity, ZoneMap, sum_parts_i64};
use crate::error::{Error, Result};
use crate::memtable::{NarrowChunk, RowChunk, validity_of};
use crate::segment::{Section, SectionColumn};
use crate::types::{FieldColumn, FieldType, TimeRange};

/// Times of the rows of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockTimes<'a> {
    /// Row i is at `start_ns + i * step_ns`.
    Regular {
        /// Time of the first row.
        start_ns: i64,
        /// Distance of two rows; positive.
        step_ns: i64,
    },
    /// A time per row, never decreasing.
    Slice(&'a [i64]),
}

impl BlockTimes<'_> {
    /// Time of a row of the block.
    pub fn get(&self, row: usize) -> i64 {
        match self {
            Self::Regular { start_ns, step_ns } => start_ns.wrapping_add(step_ns.wrapping_mul(row as i64)),
            Self::Slice(times) => times[row],
        }
    }
}

/// Values of a numeric field of a block, one per row; those at NULL rows mean nothing.
#[derive(Debug, Clone, Copy)]
pub enum BlockValues<'a> {
    /// I64 as it is; Bool as 0 and 1; U64 with the top bit flipped, so that the order is that of i64.
    I64(&'a [i64]),
    /// F64.
    F64(&'a [f64]),
}

/// Where the rows of a block are.
#[derive(Debug)]
pub(super) enum BlockSource<'a> {
    Section {
        key: VectorKey,
        section: &'a Section,
        /// Column of each scanned field; `None` when the section does not have it.
        columns: &'a [Option<&'a SectionColumn>],
        /// Time of the first row and step, when the series is regular.
        regular: Option<(i64, i64)>,
        /// Whether the block is the whole vector.
        whole: bool,
        /// Whether all rows of the vector are those of one series.
        own: bool,
    },
    Chunk {
        chunk: &'a RowChunk,
    },
    /// Rows in memory that are widened as they are asked for.
    Narrow {
        key: VectorKey,
        chunk: &'a NarrowChunk,
    },
}

/// Up to [`VECTOR_LEN`] rows of one series in time order, with no duplicates left unless the table keeps them.
///
/// Nothing is decoded until it is asked for. Fields are named by their position in the list given to the scan.
#[derive(Debug)]
pub struct Block<'a> {
    pub(super) source: BlockSource<'a>,
    /// First row of the block within its vector or chunk.
    pub(super) offset: usize,
    pub(super) len: usize,
    pub(super) fields: &'a [FieldColumn],
    pub(super) scratch: &'a mut ScanScratch,
}

impl Block<'_> {
    /// Number of rows; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a block has at least one row")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the rows stand in vectors that no other series shares: once decoded, they serve this series alone.
    pub fn has_own_vectors(&self) -> bool {
        matches!(self.source, BlockSource::Section { own: true, .. } | BlockSource::Narrow { .. })
    }

    /// Whether the rows are a whole vector or chunk, of which [`Block::zone`] may know enough.
    pub fn is_whole_vector(&self) -> bool {
        match &self.source {
            BlockSource::Section { whole, .. } => *whole,
            BlockSource::Chunk { chunk } => self.len == chunk.times.len(),
            BlockSource::Narrow { chunk, .. } => self.len == chunk.row_count(),
        }
    }

    /// Gets the vectors of all fields on their way to the processor: for a reader that is going to look at the values of
    /// several of them.
    pub fn prefetch(&self) {
        let BlockSource::Section { key, columns, .. } = &self.source else { return };
        for (column, scratch) in columns.iter().zip(&self.scratch.fields) {
            if let Some(column) = column.filter(|_| !scratch.holds(*key)) {
                column.prefetch(key.vector);
            }
        }
    }

    /// Times of the rows; decodes them when the series is irregular.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged.
    pub fn times(&mut self) -> Result<BlockTimes<'_>> {
        let rows = self.offset..self.offset + self.len;
        match &self.source {
            BlockSource::Section { regular: Some((start_ns, step_ns)), .. } => {
                Ok(BlockTimes::Regular { start_ns: *start_ns, step_ns: *step_ns })
            }
            BlockSource::Section { key, section, .. } => {
                Ok(BlockTimes::Slice(&self.scratch.times.load(*key, section)?[rows]))
            }
            BlockSource::Chunk { chunk } => Ok(BlockTimes::Slice(&chunk.times[rows])),
            BlockSource::Narrow { key, chunk } => match chunk.time_step() {
                Some(step_ns) => Ok(BlockTimes::Regular { start_ns: chunk.time(self.offset), step_ns }),
                None => {
                    let len = rows.len();
                    let times = self.scratch.times.load_memory(*key, |out| chunk.write_times(rows, out));
                    Ok(BlockTimes::Slice(&times[..len]))
                }
            },
        }
    }

    /// First and last time of the rows.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged.
    pub fn time_bounds(&mut self) -> Result<TimeRange> {
        let last = self.len - 1;
        let times = self.times()?;
        Ok(TimeRange { start_ns: times.get(0), end_ns: times.get(last) })
    }

    /// Statistics of a field over exactly the rows of this block, when they are known without decoding.
    pub fn zone(&self, field: usize) -> Option<ZoneMap> {
        if self.is_whole_vector() { self.zone_bound(field) } else { None }
    }

    /// Statistics of a field over rows that include those of this block, for skipping.
    pub fn zone_bound(&self, field: usize) -> Option<ZoneMap> {
        match &self.source {
            BlockSource::Section { key, columns, .. } => self.zone_of(columns[field]?, key.vector, field),
            BlockSource::Chunk { chunk } => chunk.zone(self.fields[field].id),
            BlockSource::Narrow { chunk, .. } => chunk.zone(self.fields[field].id),
        }
    }

    /// The zone map of a column whose type is that of the field; one of another type says nothing of the cast values.
    fn zone_of(&self, column: &SectionColumn, vector: usize, field: usize) -> Option<ZoneMap> {
        (column.field_type() == self.fields[field].field_type).then(|| column.zone(vector))
    }

    /// Which rows of a field are not NULL; bit `row % 64` of word `row / 64`.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged.
    pub fn validity(&mut self, field: usize) -> Result<Validity> {
        match &self.source {
            BlockSource::Section { key, columns, .. } => match columns[field] {
                None => Ok(Validity::AllNull),
                Some(column) => {
                    let validity = self.scratch.fields[field].validity(*key, column)?;
                    Ok(cut(validity, self.offset, self.len))
                }
            },
            BlockSource::Chunk { chunk } => Ok(match chunk.column(self.fields[field].id) {
                None => Validity::AllNull,
                Some(array) => validity_of(array.nulls(), self.offset, self.len),
            }),
            BlockSource::Narrow { chunk, .. } => Ok(match chunk.field(self.fields[field].id) {
                None => Validity::AllNull,
                Some(column) => column.validity(self.offset..self.offset + self.len),
            }),
        }
    }

    /// Values of a numeric or boolean field.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged; `InvalidInput` for a string or binary field.
    pub fn values(&mut self, field: usize) -> Result<BlockValues<'_>> {
        match self.fields[field].field_type {
            FieldType::F64 => self.f64_values(field).map(BlockValues::F64),
            _ => self.i64_values(field).map(BlockValues::I64),
        }
    }

    /// Values of an I64, U64 or Bool field, as [`BlockValues::I64`] says.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged; `InvalidInput` for a field of another type.
    pub fn i64_values(&mut self, field: usize) -> Result<&[i64]> {
        let rows = self.offset..self.offset + self.len;
        let field_type = self.fields[field].field_type;
        if !matches!(field_type, FieldType::I64 | FieldType::U64 | FieldType::Bool) {
            return Err(wrong_type(&self.fields[field]));
        }
        match &self.source {
            BlockSource::Section { key, columns, .. } => match columns[field] {
                Some(column) => {
                    let scratch = &mut self.scratch.fields[field];
                    scratch.load_i64(*key, column)?;
                    Ok(&scratch.i64s()[rows])
                }
                None => Ok(&self.scratch.fields[field].i64_buffer()[..self.len]),
            },
            BlockSource::Chunk { chunk } => {
                let scratch = &mut self.scratch.fields[field];
                let Some(array) = chunk.column(self.fields[field].id) else {
                    return Ok(&scratch.i64_buffer()[..self.len]);
                };
                match field_type {
                    FieldType::I64 => Ok(&array.as_primitive::<Int64Type>().values()[rows]),
                    FieldType::U64 => {
                        let buffer = scratch.i64_buffer();
                        let values = &array.as_primitive::<UInt64Type>().values()[rows];
                        for (out, value) in buffer.iter_mut().zip(values) {
                            *out = (value ^ (1 << 63)) as i64;
                        }
                        Ok(&buffer[..self.len])
                    }
                    _ => {
                        let buffer = scratch.i64_buffer();
                        let values = array.as_boolean().values();
                        for (out, row) in buffer.iter_mut().zip(rows) {
                            *out = i64::from(values.value(row));
                        }
                        Ok(&buffer[..self.len])
                    }
                }
            }
            BlockSource::Narrow { key, chunk } => {
                let scratch = &mut self.scratch.fields[field];
                let Some(column) = chunk.field(self.fields[field].id) else {
                    return Ok(&scratch.i64_buffer()[..self.len]);
                };
                scratch.load_i64_memory(*key, |out| column.write_integers(rows, out));
                Ok(&scratch.i64s()[..self.len])
            }
        }
    }

    /// Sums of an I64 or U64 field (in the form of [`BlockValues::I64`]) without NULLs between each of `cuts` (rows of the
    /// block, ascending) and the next one, on the packed numbers; `sums` has one element less than there are cuts.
    /// `None`, with `sums` unspecified, when the values have to be decoded or are decoded already.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged.
    pub fn packed_sums(&self, field: usize, cuts: &[usize], sums: &mut [i128]) -> Result<Option<()>> {
        let (key, columns) = match &self.source {
            BlockSource::Section { key, columns, .. } => (key, columns),
            BlockSource::Narrow { chunk, .. } => {
                let column = chunk.field(self.fields[field].id);
                return Ok(column.and_then(|column| column.sum_parts(self.offset, cuts, sums)));
            }
            BlockSource::Chunk { .. } => return Ok(None),
        };
        let Some(column) = columns[field] else { return Ok(None) };
        let field_type = self.fields[field].field_type;
        let is_stored_so = column.field_type() == field_type && matches!(field_type, FieldType::I64 | FieldType::U64);
        if !is_stored_so || cuts.len() > PARTS_MAX + 1 || self.scratch.fields[field].holds(*key) {
            return Ok(None);
        }
        let mut rows = [0; PARTS_MAX + 1];
        let rows = &mut rows[..cuts.len()];
        for (row, cut) in rows.iter_mut().zip(cuts) {
            *row = self.offset + cut;
        }
        let encoded = column.encoded(key.vector)?;
        Ok(sum_parts_i64(&encoded.header, encoded.data, encoded.len, rows, sums))
    }

    /// Values of an F64 field.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged; `InvalidInput` for a field of another type.
    pub fn f64_values(&mut self, field: usize) -> Result<&[f64]> {
        let rows = self.offset..self.offset + self.len;
        if self.fields[field].field_type != FieldType::F64 {
            return Err(wrong_type(&self.fields[field]));
        }
        match &self.source {
            BlockSource::Section { key, columns, .. } => match columns[field] {
                Some(column) => {
                    let scratch = &mut self.scratch.fields[field];
                    scratch.load_f64(*key, column)?;
                    Ok(&scratch.f64s()[rows])
                }
                None => Ok(&self.scratch.fields[field].f64_buffer()[..self.len]),
            },
            BlockSource::Chunk { chunk } => match chunk.column(self.fields[field].id) {
                Some(array) => Ok(&array.as_primitive::<Float64Type>().values()[rows]),
                None => Ok(&self.scratch.fields[field].f64_buffer()[..self.len]),
            },
            BlockSource::Narrow { key, chunk } => {
                let scratch = &mut self.scratch.fields[field];
                let Some(column) = chunk.field(self.fields[field].id) else {
                    return Ok(&scratch.f64_buffer()[..self.len]);
                };
                scratch.load_f64_memory(*key, |out| column.write_floats(rows, out));
                Ok(&scratch.f64s()[..self.len])
            }
        }
    }

    /// Any field as an Arrow array of its type, with NULLs.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged.
    pub fn array(&mut self, field: usize) -> Result<ArrayRef> {
        let rows = self.offset..self.offset + self.len;
        let null = || new_null_array(&self.fields[field].field_type.arrow_type(), self.len);
        match &self.source {
            BlockSource::Section { key, columns, .. } => match columns[field] {
                Some(column) => {
                    self.scratch.fields[field].count(*key, column)?;
                    decode_as(column, key.vector, rows, self.fields[field].field_type)
                }
                None => Ok(null()),
            },
            BlockSource::Chunk { chunk } => Ok(match chunk.column(self.fields[field].id) {
                Some(array) => array.slice(self.offset, self.len),
                None => null(),
            }),
            BlockSource::Narrow { chunk, .. } => {
                Ok(chunk.field(self.fields[field].id).map_or_else(null, |column| column.array(rows)))
            }
        }
    }

    /// Times of the rows as an Arrow timestamp array.
    ///
    /// # Errors
    /// `Corruption` when the vector is damaged.
    pub fn time_array(&mut self) -> Result<ArrayRef> {
        let len = self.len;
        let times: Vec<i64> = match self.times()? {
            BlockTimes::Regular { start_ns, step_ns } => {
                (0..len as i64).map(|row| start_ns.wrapping_add(step_ns.wrapping_mul(row))).collect()
            }
            BlockTimes::Slice(times) => times.to_vec(),
        };
        Ok(Arc::new(arrow_array::TimestampNanosecondArray::from(times)))
    }
}

fn wrong_type(field: &FieldColumn) -> Error {
    Error::invalid(format!("field '{}' is not of the type that the operation works on", field.name))
}

/// The validity of `len` rows from `offset` on.
fn cut(validity: Validity, offset: usize, len: usize) -> Validity {
    let Validity::Mask(words) = validity else { return validity };
    if offset == 0 {
        return Validity::Mask(words);
    }
    let (word_shift, bit_shift) = (offset / 64, offset % 64);
    let mut out = [0; VECTOR_LEN / 64];
    for (index, word) in out.iter_mut().enumerate().take(len.div_ceil(64)) {
        let low = words.get(index + word_shift).copied().unwrap_or(0);
        let high = words.get(index + word_shift + 1).copied().unwrap_or(0);
        *word = if bit_shift == 0 { low } else { low >> bit_shift | high << (64 - bit_shift) };
    }
    Validity::Mask(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_moves_the_first_row_to_bit_zero() {
        let mut words = [0_u64; 16];
        for row in [3, 64, 65, 130, 1023] {
            words[row / 64] |= 1 << (row % 64);
        }
        for offset in [0, 1, 63, 64, 65, 128, 1000] {
            let len = 1024 - offset;
            let Validity::Mask(out) = cut(Validity::Mask(words), offset, len) else { panic!("a mask stays a mask") };
            for row in 0..len {
                let expected = words[(row + offset) / 64] >> ((row + offset) % 64) & 1;
                assert_eq!(out[row / 64] >> (row % 64) & 1, expected, "offset {offset} row {row}");
            }
        }
    }
}
