//! Decoded vectors of a scan, kept between blocks and between series.
//!
//! Small series share vectors: the vector that was decoded for one series mostly holds the next one too, so each buffer
//! remembers what it holds.

use super::widen::widen_to_f64;
use crate::encoding::{VECTOR_LEN, Validity, VectorBuffer};
use crate::error::Result;
use crate::segment::{Section, SectionColumn};
use crate::types::FieldType;

/// Names a vector of a section of the scanned table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VectorKey {
    pub(super) section: usize,
    pub(super) vector: usize,
}

impl VectorKey {
    /// Names what a scan reads from memory, by a number that it gives once.
    pub(super) fn of_memory(number: usize) -> Self {
        Self { section: usize::MAX, vector: number }
    }
}

/// Buffers of one scan.
#[derive(Debug)]
pub(super) struct ScanScratch {
    pub(super) times: TimesScratch,
    pub(super) fields: Vec<FieldScratch>,
}

impl ScanScratch {
    pub(super) fn new(field_count: usize) -> Self {
        Self { times: TimesScratch::default(), fields: (0..field_count).map(|_| FieldScratch::default()).collect() }
    }
}

/// The decoded time vector.
#[derive(Debug, Default)]
pub(super) struct TimesScratch {
    key: Option<VectorKey>,
    values: Option<Box<VectorBuffer<i64>>>,
    pub(super) decoded: u64,
}

impl TimesScratch {
    /// Decodes a vector unless it is there already.
    pub(super) fn load(&mut self, key: VectorKey, section: &Section) -> Result<&[i64; VECTOR_LEN]> {
        let values = self.values.get_or_insert_with(VectorBuffer::boxed);
        if self.key != Some(key) {
            self.key = None;
            section.decode_times(key.vector, values)?;
            self.decoded += 1;
            self.key = Some(key);
        }
        Ok(values)
    }

    /// Has `write` write times unless they are there already.
    pub(super) fn load_memory(&mut self, key: VectorKey, write: impl FnOnce(&mut [i64])) -> &[i64; VECTOR_LEN] {
        let values = self.values.get_or_insert_with(VectorBuffer::boxed);
        if self.key != Some(key) {
            write(values.as_mut_slice());
            self.key = Some(key);
        }
        values
    }
}

/// The decoded vector of one field.
#[derive(Debug)]
pub(super) struct FieldScratch {
    key: Option<VectorKey>,
    i64s: Option<Box<VectorBuffer<i64>>>,
    f64s: Option<Box<VectorBuffer<f64>>>,
    validity_key: Option<VectorKey>,
    validity: Validity,
    pub(super) decoded: u64,
    pub(super) bytes_decoded: u64,
}

impl Default for FieldScratch {
    fn default() -> Self {
        Self {
            key: None,
            i64s: None,
            f64s: None,
            validity_key: None,
            validity: Validity::AllValid,
            decoded: 0,
            bytes_decoded: 0,
        }
    }
}

impl FieldScratch {
    /// The buffer for integers that do not come from a vector.
    pub(super) fn i64_buffer(&mut self) -> &mut [i64; VECTOR_LEN] {
        self.key = None;
        self.i64s.get_or_insert_with(VectorBuffer::boxed)
    }

    /// The buffer for floats that do not come from a vector.
    pub(super) fn f64_buffer(&mut self) -> &mut [f64; VECTOR_LEN] {
        self.key = None;
        self.f64s.get_or_insert_with(VectorBuffer::boxed)
    }

    /// Whether a vector is decoded already.
    pub(super) fn holds(&self, key: VectorKey) -> bool {
        self.key == Some(key)
    }

    /// Decodes an integer vector unless it is there already.
    pub(super) fn load_i64(&mut self, key: VectorKey, column: &SectionColumn) -> Result<()> {
        if self.key != Some(key) {
            self.key = None;
            // A boolean that was widened to an integer is stored as 0 and 1 already.
            column.decode_i64(key.vector, self.i64s.get_or_insert_with(VectorBuffer::boxed))?;
            self.key = Some(key);
            self.count(key, column)?;
        }
        Ok(())
    }

    /// Counts a vector that was decoded.
    pub(super) fn count(&mut self, key: VectorKey, column: &SectionColumn) -> Result<()> {
        self.decoded += 1;
        self.bytes_decoded += column.encoded(key.vector)?.data.len() as u64;
        Ok(())
    }

    /// Decodes a float vector unless it is there already.
    pub(super) fn load_f64(&mut self, key: VectorKey, column: &SectionColumn) -> Result<()> {
        if self.key != Some(key) {
            self.key = None;
            let floats = self.f64s.get_or_insert_with(VectorBuffer::boxed);
            if column.field_type() == FieldType::F64 {
                column.decode_f64(key.vector, floats)?;
            } else {
                column.decode_i64(key.vector, self.i64s.get_or_insert_with(VectorBuffer::boxed))?;
                let integers = self.i64s.as_deref().map_or(&[][..], |values| values.as_slice());
                widen_to_f64(integers, column.field_type(), floats.as_mut_slice());
            }
            self.key = Some(key);
            self.count(key, column)?;
        }
        Ok(())
    }

    /// Has `write` write integers unless they are there already.
    pub(super) fn load_i64_memory(&mut self, key: VectorKey, write: impl FnOnce(&mut [i64])) {
        if self.key != Some(key) {
            write(self.i64s.get_or_insert_with(VectorBuffer::boxed).as_mut_slice());
            self.key = Some(key);
        }
    }

    /// Has `write` write floats unless they are there already.
    pub(super) fn load_f64_memory(&mut self, key: VectorKey, write: impl FnOnce(&mut [f64])) {
        if self.key != Some(key) {
            write(self.f64s.get_or_insert_with(VectorBuffer::boxed).as_mut_slice());
            self.key = Some(key);
        }
    }

    /// The validity of a vector.
    pub(super) fn validity(&mut self, key: VectorKey, column: &SectionColumn) -> Result<Validity> {
        if self.validity_key != Some(key) {
            self.validity_key = None;
            self.validity = column.validity(key.vector)?;
            self.validity_key = Some(key);
        }
        Ok(self.validity)
    }

    /// The integers that were loaded last.
    pub(super) fn i64s(&self) -> &[i64] {
        self.i64s.as_ref().map_or(&[], |values| values.as_slice())
    }

    /// The floats that were loaded last.
    pub(super) fn f64s(&self) -> &[f64] {
        self.f64s.as_ref().map_or(&[], |values| values.as_slice())
    }
}
