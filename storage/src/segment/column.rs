//! Reads the field columns of a section, vector by vector.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, UInt32Array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow_select::take::take;

use super::column_writer::u64_from_ordered;
use super::dictionary::{StringDictionary, typed_strings};
use super::file::{FoundBy, SegmentPin};
use super::layout::check_crc;
use super::vector_table::{EncodedVector, VectorTable};
use crate::encoding::{
    DecodeError, VECTOR_LEN, Validity, VectorEncoding, ZoneMap, decode_dictionary, decode_strings_plain,
    decode_validity, value_at_i64,
};
use crate::error::{Error, Result};
use crate::types::{ColumnId, FieldType};

/// How the values of a column are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnStorage {
    /// Vectors of numbers.
    Numbers,
    /// Vectors of codes into one dictionary for the column.
    Dictionary,
    /// Vectors of byte strings.
    PlainStrings,
}

impl ColumnStorage {
    /// The code in files.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Numbers => 0,
            Self::Dictionary => 1,
            Self::PlainStrings => 2,
        }
    }

    /// The storage of a code in a file, if a column of `field_type` can be stored so.
    pub(super) fn from_code(code: u8, field_type: FieldType) -> Option<Self> {
        let is_text = matches!(field_type, FieldType::String | FieldType::Binary);
        match (code, is_text) {
            (0, false) => Some(Self::Numbers),
            (1, true) => Some(Self::Dictionary),
            (2, true) => Some(Self::PlainStrings),
            _ => None,
        }
    }
}

/// Where the dictionary of a column stands in the file.
#[derive(Debug)]
pub(super) struct DictionaryPlace {
    pub(super) range: Range<usize>,
    pub(super) value_count: u32,
    pub(super) crc32c: u32,
}

/// One field column of a section.
///
/// Methods that take a vector panic when the section has no such vector.
#[derive(Debug)]
pub struct SectionColumn {
    id: ColumnId,
    field_type: FieldType,
    storage: ColumnStorage,
    vectors: VectorTable,
    dictionary_place: DictionaryPlace,
    dictionary: OnceLock<Arc<StringDictionary>>,
}

impl SectionColumn {
    /// Puts together what the section's metadata says; `None` when a zone map is malformed.
    pub(super) fn new(
        id: ColumnId,
        field_type: FieldType,
        storage: ColumnStorage,
        vectors: VectorTable,
        dictionary_place: DictionaryPlace,
    ) -> Option<Self> {
        // Checked here once, so that planning can read zone maps without an error path.
        let is_sound = |vector| ZoneMap::from_bytes(&vectors.zone_bytes(vector)).is_some();
        let are_zones_sound = (0..vectors.bounds().vector_count()).all(is_sound);
        let dictionary = OnceLock::new();
        are_zones_sound.then_some(Self { id, field_type, storage, vectors, dictionary_place, dictionary })
    }

    /// Identity of the column.
    pub fn id(&self) -> ColumnId {
        self.id
    }

    /// Type of its values.
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// How its values are stored.
    pub fn storage(&self) -> ColumnStorage {
        self.storage
    }

    pub(super) fn vectors(&self) -> &VectorTable {
        &self.vectors
    }

    pub(super) fn dictionary_place(&self) -> &DictionaryPlace {
        &self.dictionary_place
    }

    fn file(&self) -> &SegmentPin {
        self.vectors.file()
    }

    /// What is known of a vector without decoding it. Of a dictionary column it describes the codes, which are in the
    /// order of the values; of plain strings only the NULLs.
    pub fn zone(&self, vector: usize) -> ZoneMap {
        ZoneMap::from_bytes(&self.vectors.zone_bytes(vector)).unwrap_or_default()
    }

    /// Asks the processor for a vector and what is known of it, which are read soon.
    pub(crate) fn prefetch(&self, vector: usize) {
        self.vectors.prefetch(vector);
    }

    /// A vector as it is stored, checked against its checksum at first use; for work on the encoded form.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn encoded(&self, vector: usize) -> Result<EncodedVector<'_>> {
        self.vectors.encoded(vector)
    }

    /// Which values of a vector are there.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn validity(&self, vector: usize) -> Result<Validity> {
        let zone = self.zone(vector);
        if zone.null_count() == 0 {
            return Ok(Validity::AllValid);
        }
        if zone.all_null() {
            return Ok(Validity::AllNull);
        }
        let encoded = self.encoded(vector)?;
        decode_validity(&encoded.header, encoded.data, encoded.len).map_err(|error| self.undecodable(&encoded, error))
    }

    /// Decodes a vector of an `I64`, `U64` (as integers of the same order) or `Bool` (0 and 1) column. A NULL decodes
    /// to any value. Returns the number of values; `out` beyond it is unspecified.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` for a column of another type.
    pub fn decode_i64(&self, vector: usize, out: &mut [i64; VECTOR_LEN]) -> Result<usize> {
        if self.storage != ColumnStorage::Numbers || self.field_type == FieldType::F64 {
            return Err(self.mismatch("integers"));
        }
        self.decode_integers(vector, out)
    }

    /// Value `row` of a vector of an `I64`, `U64` or `Bool` column in the form of [`SectionColumn::decode_i64`], mostly
    /// without decoding the others; `None` when it is NULL.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` for a column of another type.
    pub fn value_i64(&self, vector: usize, row: usize) -> Result<Option<i64>> {
        if self.storage != ColumnStorage::Numbers || self.field_type == FieldType::F64 {
            return Err(self.mismatch("integers"));
        }
        if !is_valid(&self.validity(vector)?, row) {
            return Ok(None);
        }
        let encoded = self.encoded(vector)?;
        if let Some(value) = value_at_i64(&encoded.header, encoded.data, encoded.len, row) {
            return Ok(Some(value));
        }
        let mut numbers = [0; VECTOR_LEN];
        self.decode_integers(vector, &mut numbers)?;
        Ok(Some(numbers[row]))
    }

    /// Value `row` of a vector of an `F64` column; `None` when it is NULL.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` for a column of another type.
    pub fn value_f64(&self, vector: usize, row: usize) -> Result<Option<f64>> {
        if !is_valid(&self.validity(vector)?, row) {
            return Ok(None);
        }
        let mut numbers = [0.0; VECTOR_LEN];
        self.decode_f64(vector, &mut numbers)?;
        Ok(Some(numbers[row]))
    }

    fn decode_integers(&self, vector: usize, out: &mut [i64; VECTOR_LEN]) -> Result<usize> {
        let encoded = self.encoded(vector)?;
        self.vectors.decode_i64(&encoded, out).map_err(|error| self.undecodable(&encoded, error))?;
        Ok(encoded.len)
    }

    /// Decodes a vector of an `F64` column bit for bit. A NULL decodes to any value. Returns the number of values;
    /// `out` beyond it is unspecified.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` for a column of another type.
    pub fn decode_f64(&self, vector: usize, out: &mut [f64; VECTOR_LEN]) -> Result<usize> {
        if self.field_type != FieldType::F64 {
            return Err(self.mismatch("floats"));
        }
        let encoded = self.encoded(vector)?;
        self.vectors.decode_f64(&encoded, out).map_err(|error| self.undecodable(&encoded, error))?;
        Ok(encoded.len)
    }

    /// Decodes the dictionary codes of a vector, each below the length of the dictionary except that of a NULL, which
    /// is 0. Returns the number of values; `out` beyond it is unspecified.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` for a column without a dictionary.
    pub fn decode_codes(&self, vector: usize, out: &mut [u32; VECTOR_LEN]) -> Result<usize> {
        if self.storage != ColumnStorage::Dictionary {
            return Err(self.mismatch("dictionary codes"));
        }
        let mut numbers = [0; VECTOR_LEN];
        let len = self.decode_integers(vector, &mut numbers)?;
        let validity = self.validity(vector)?;
        let count = i64::from(self.dictionary_place.value_count);
        for (row, (code, &number)) in out.iter_mut().zip(&numbers[..len]).enumerate() {
            *code = match is_valid(&validity, row) {
                true if (0..count).contains(&number) => number as u32,
                true => {
                    let reason =
                        format!("vector {vector} of column {} has a code that is not in its dictionary", self.id);
                    return Err(self.file().corruption(self.vectors.encoded(vector)?.offset, reason));
                }
                false => 0,
            };
        }
        Ok(len)
    }

    /// The dictionary of the column, decoded at first use and kept as long as the segment is open.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` for a column without a dictionary.
    pub fn dictionary(&self) -> Result<Arc<StringDictionary>> {
        if let Some(dictionary) = self.dictionary.get() {
            return Ok(dictionary.clone());
        }
        let dictionary = Arc::new(self.read_dictionary()?);
        // When two threads come here at once the first one's dictionary stays, and both are equal.
        Ok(self.dictionary.get_or_init(|| dictionary).clone())
    }

    /// Decodes the dictionary from the file, whether it is kept already or not.
    pub(super) fn read_dictionary(&self) -> Result<StringDictionary> {
        if self.storage != ColumnStorage::Dictionary {
            return Err(self.mismatch("a dictionary"));
        }
        let place = &self.dictionary_place;
        let offset = place.range.start;
        self.file().fetch(place.range.clone())?;
        let bytes = &self.file().bytes()[place.range.clone()];
        check_crc(self.file().path(), offset as u64, bytes, place.crc32c, "dictionary")
            .inspect_err(|error| self.file().remember(error, FoundBy::Read))?;
        let values = decode_dictionary(bytes).map_err(|error| self.file().corruption(offset, error.to_string()))?;
        if values.len() != place.value_count as usize {
            return Err(self.file().corruption(offset, "the dictionary has another length than its column says"));
        }
        StringDictionary::new(values, self.field_type)
            .ok_or_else(|| self.file().corruption(offset, "the dictionary of a text column is not UTF-8"))
    }

    /// All strings of a vector as a `Utf8` or `Binary` array, whatever their storage.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` for a column of numbers, or when the strings are more than 2 GiB.
    pub fn decode_strings(&self, vector: usize) -> Result<ArrayRef> {
        match self.storage {
            ColumnStorage::Numbers => Err(self.mismatch("strings")),
            _ => self.decode_array(vector, 0..self.vectors.bounds().len(vector)),
        }
    }

    /// Rows of a vector as an array of the column's Arrow type. Plain floats are not copied: the array keeps the file
    /// mapped.
    ///
    /// # Errors
    /// `Corruption`; `InvalidInput` when strings are more than 2 GiB.
    ///
    /// # Panics
    /// When `rows` are not rows of the vector.
    pub fn decode_array(&self, vector: usize, rows: Range<usize>) -> Result<ArrayRef> {
        assert!(rows.start <= rows.end && rows.end <= self.vectors.bounds().len(vector), "rows lie within the vector");
        let nulls = || Ok::<_, Error>(null_buffer(&self.validity(vector)?, &rows));
        match self.storage {
            ColumnStorage::PlainStrings => self.plain_strings(vector, &rows, nulls()?),
            ColumnStorage::Dictionary => self.dictionary_strings(vector, &rows, nulls()?),
            ColumnStorage::Numbers if self.field_type == FieldType::F64 => {
                let values = self.float_buffer(vector, &rows)?;
                Ok(Arc::new(PrimitiveArray::<Float64Type>::new(values, nulls()?)))
            }
            ColumnStorage::Numbers => {
                let mut numbers = [0; VECTOR_LEN];
                self.decode_i64(vector, &mut numbers)?;
                let (values, nulls) = (&numbers[rows.clone()], nulls()?);
                Ok(match self.field_type {
                    FieldType::Bool => {
                        let bits = BooleanBuffer::collect_bool(values.len(), |row| values[row] != 0);
                        Arc::new(BooleanArray::new(bits, nulls))
                    }
                    FieldType::U64 => {
                        let values: ScalarBuffer<u64> = values.iter().map(|&value| u64_from_ordered(value)).collect();
                        Arc::new(PrimitiveArray::<UInt64Type>::new(values, nulls))
                    }
                    _ => Arc::new(PrimitiveArray::<Int64Type>::new(values.to_vec().into(), nulls)),
                })
            }
        }
    }

    fn float_buffer(&self, vector: usize, rows: &Range<usize>) -> Result<ScalarBuffer<f64>> {
        let encoded = self.encoded(vector)?;
        if let Some(offset) = plain_floats(&encoded) {
            let buffer =
                self.file().arrow_buffer(offset + rows.start * size_of::<f64>(), rows.len() * size_of::<f64>());
            if buffer.as_ptr().align_offset(align_of::<f64>()) == 0 {
                return Ok(ScalarBuffer::from(buffer));
            }
        }
        let mut numbers = [0.0; VECTOR_LEN];
        self.decode_f64(vector, &mut numbers)?;
        Ok(numbers[rows.clone()].to_vec().into())
    }

    fn plain_strings(&self, vector: usize, rows: &Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let encoded = self.encoded(vector)?;
        let values = decode_strings_plain(&encoded.header, encoded.data, encoded.len)
            .map_err(|error| self.undecodable(&encoded, error))?;
        let (offsets, bytes, _) = values.into_parts();
        let values = arrow_array::BinaryArray::try_new(offsets.slice(rows.start, rows.len()), bytes, nulls)
            .map_err(|error| self.file().corruption(encoded.offset, error.to_string()))?;
        typed_strings(values, self.field_type)
            .ok_or_else(|| self.file().corruption(encoded.offset, "a text is not UTF-8"))
    }

    fn dictionary_strings(&self, vector: usize, rows: &Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let dictionary = self.dictionary()?;
        let mut codes = [0; VECTOR_LEN];
        self.decode_codes(vector, &mut codes)?;
        let codes = UInt32Array::new(codes[rows.clone()].to_vec().into(), nulls);
        take(dictionary.values(), &codes, None)
            .map_err(|error| Error::invalid(format!("strings of one block do not fit an array: {error}")))
    }

    fn undecodable(&self, encoded: &EncodedVector<'_>, error: DecodeError) -> Error {
        self.file().corruption(encoded.offset, format!("a vector of column {}: {error}", self.id))
    }

    fn mismatch(&self, wanted: &str) -> Error {
        let reason = format!("column {} of type {:?} does not hold {wanted}", self.id, self.field_type);
        Error::invalid(reason)
    }
}

/// Whether value `row` of a vector is there.
pub(super) fn is_valid(validity: &Validity, row: usize) -> bool {
    match validity {
        Validity::AllValid => true,
        Validity::AllNull => false,
        Validity::Mask(words) => words[row / 64] >> (row % 64) & 1 == 1,
    }
}

/// Where the floats of a vector stand in the file as Arrow wants them: plain, little endian on a little-endian machine.
fn plain_floats(encoded: &EncodedVector<'_>) -> Option<usize> {
    let is_plain = encoded.header.encoding == VectorEncoding::Plain && cfg!(target_endian = "little");
    let is_whole = encoded.data.len() >= encoded.len * size_of::<f64>();
    (is_plain && is_whole).then_some(encoded.offset)
}

/// The NULLs of `rows` of a vector.
fn null_buffer(validity: &Validity, rows: &Range<usize>) -> Option<NullBuffer> {
    match validity {
        Validity::AllValid => None,
        Validity::AllNull => Some(NullBuffer::new_null(rows.len())),
        Validity::Mask(words) => {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let bits = BooleanBuffer::new(Buffer::from_vec(bytes), rows.start, rows.len());
            Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0)
        }
    }
}
