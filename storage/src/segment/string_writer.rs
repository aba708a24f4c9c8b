//! Turns the rows of a string or binary column into vectors: codes into a sorted dictionary while distinct values are
//! few, plain strings otherwise.
//!
//! The dictionary's order, and with it every code, is known only at the end of the section; until then a row costs the
//! four bytes of a provisional code. A column that turns out to have too many distinct values goes over to plain
//! vectors at the end of a vector, so that memory stays near the size of the encoded column.

use super::column::ColumnStorage;
use super::column_writer::EncodedDictionary;
use super::interner::{ByteStrings, Interner, ranks};
use super::vector_writer::{EncodedVectors, ValidityMask};
use crate::encoding::{VECTOR_LEN, encode_dictionary, encode_i64, encode_strings_plain};
use crate::error::{Error, Result};

/// A dictionary has at most this many values: beyond it, loading it whole to answer one vector costs too much.
const DICTIONARY_VALUES_MAX: usize = 1 << 20;
/// A dictionary has at most this many bytes, for the same reason and because it is held in memory twice while sorted.
const DICTIONARY_BYTES_MAX: usize = 64 << 20;
/// Rows after which a column may be judged before its end.
const EARLY_DECISION_ROWS: usize = 64 << 10;
/// Provisional code of NULL.
const NULL_CODE: u32 = u32::MAX;

/// Collects the rows of one string column.
#[derive(Debug)]
pub(super) struct StringWriter {
    state: State,
    has_values: bool,
}

#[derive(Debug)]
enum State {
    Dictionary { values: Interner, codes: Vec<u32> },
    Plain { pending: PlainVector, vectors: EncodedVectors },
}

impl Default for StringWriter {
    fn default() -> Self {
        Self { state: State::Dictionary { values: Interner::default(), codes: Vec::new() }, has_values: false }
    }
}

impl StringWriter {
    /// Adds rows.
    pub(super) fn append<'a>(&mut self, rows: impl Iterator<Item = Option<&'a [u8]>>) {
        match &mut self.state {
            State::Dictionary { values, codes } => {
                // Values repeat from row to row more often than not; the comparison is cheaper than the hash.
                let mut previous: Option<(&[u8], u32)> = None;
                codes.extend(rows.map(|row| match row {
                    None => NULL_CODE,
                    Some(value) => {
                        if let Some((text, code)) = previous
                            && text == value
                        {
                            return code;
                        }
                        let code = values.intern(value);
                        previous = Some((value, code));
                        code
                    }
                }));
                self.has_values |= values.values().len() > 0;
            }
            State::Plain { pending, .. } => rows.for_each(|row| pending.push(row)),
        }
    }

    /// About how many bytes the column takes in memory so far.
    pub(super) fn byte_len(&self) -> usize {
        match &self.state {
            State::Dictionary { values, codes } => values.values().byte_len() + size_of_val(codes.as_slice()),
            State::Plain { vectors, .. } => vectors.byte_len(),
        }
    }

    /// Whether any row has a value.
    pub(super) fn has_values(&self) -> bool {
        self.has_values
    }

    /// Ends a vector. `vector_starts` holds the first row of every vector up to and with the one that ends.
    pub(super) fn cut(&mut self, vector_starts: &[u32]) -> Result<()> {
        match &mut self.state {
            State::Plain { pending, vectors } => pending.encode(vectors),
            State::Dictionary { values, codes } => {
                let is_early = codes.len() < EARLY_DECISION_ROWS && values.values().byte_len() <= DICTIONARY_BYTES_MAX;
                if is_early || is_dictionary_worthwhile(values, codes.len()) {
                    return Ok(());
                }
                let vectors = encode_plain(values, codes, vector_starts)?;
                self.state = State::Plain { pending: PlainVector::default(), vectors };
                Ok(())
            }
        }
    }

    /// The encoded vectors. Every row belongs to a vector of `vector_starts`.
    pub(super) fn finish(self, vector_starts: &[u32]) -> Result<(ColumnStorage, EncodedVectors, EncodedDictionary)> {
        match self.state {
            State::Plain { vectors, .. } => Ok((ColumnStorage::PlainStrings, vectors, EncodedDictionary::default())),
            State::Dictionary { values, codes } if is_dictionary_worthwhile(&values, codes.len()) => {
                let (vectors, dictionary) = encode_with_dictionary(&values, &codes, vector_starts)?;
                Ok((ColumnStorage::Dictionary, vectors, dictionary))
            }
            State::Dictionary { values, codes } => {
                let vectors = encode_plain(&values, &codes, vector_starts)?;
                Ok((ColumnStorage::PlainStrings, vectors, EncodedDictionary::default()))
            }
        }
    }
}

/// Whether the values repeat often enough: at least twice on average.
fn is_dictionary_worthwhile(values: &Interner, row_count: usize) -> bool {
    let values = values.values();
    values.len() <= row_count / 2 && values.len() <= DICTIONARY_VALUES_MAX && values.byte_len() <= DICTIONARY_BYTES_MAX
}

fn encode_with_dictionary(
    values: &Interner,
    codes: &[u32],
    vector_starts: &[u32],
) -> Result<(EncodedVectors, EncodedDictionary)> {
    let sorted = values.sorted_codes();
    let mut dictionary = EncodedDictionary { bytes: Vec::new(), value_count: sorted.len() as u32 };
    let sorted_values = sorted.iter().map(|&code| values.values().get(code as usize));
    encode_dictionary(sorted_values, &mut dictionary.bytes).map_err(|error| Error::invalid(error.to_string()))?;
    let ranks = ranks(&sorted);
    let mut vectors = EncodedVectors::default();
    let mut numbers = Vec::with_capacity(VECTOR_LEN);
    for rows in vectors_of(codes, vector_starts) {
        let mut validity = ValidityMask::default();
        numbers.clear();
        for &code in rows {
            if code == NULL_CODE {
                validity.append_nulls(1);
                numbers.push(0);
            } else {
                validity.append_valid(1);
                numbers.push(i64::from(ranks[code as usize]));
            }
        }
        vectors.push(|out| encode_i64(&numbers, validity.as_encoder_input(), out));
    }
    Ok((vectors, dictionary))
}

fn encode_plain(values: &Interner, codes: &[u32], vector_starts: &[u32]) -> Result<EncodedVectors> {
    let mut vectors = EncodedVectors::default();
    let mut pending = PlainVector::default();
    for rows in vectors_of(codes, vector_starts) {
        for &code in rows {
            pending.push((code != NULL_CODE).then(|| values.values().get(code as usize)));
        }
        pending.encode(&mut vectors)?;
    }
    Ok(vectors)
}

/// The rows of each vector.
fn vectors_of<'a>(codes: &'a [u32], vector_starts: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    vector_starts.iter().enumerate().map(|(vector, &start)| {
        let end = vector_starts.get(vector + 1).map_or(codes.len(), |&end| end as usize);
        &codes[start as usize..end]
    })
}

/// The vector of plain strings that is being filled.
#[derive(Debug, Default)]
struct PlainVector {
    values: ByteStrings,
    validity: ValidityMask,
}

impl PlainVector {
    fn push(&mut self, row: Option<&[u8]>) {
        match row {
            Some(_) => self.validity.append_valid(1),
            None => self.validity.append_nulls(1),
        }
        self.values.push(row.unwrap_or_default());
    }

    fn encode(&mut self, vectors: &mut EncodedVectors) -> Result<()> {
        let values: Vec<&[u8]> = self.values.iter().collect();
        vectors.try_push(|out| {
            encode_strings_plain(&values, self.validity.as_encoder_input(), out)
                .map_err(|error| Error::invalid(error.to_string()))
        })?;
        self.values.clear();
        self.validity.clear();
        Ok(())
    }
}
