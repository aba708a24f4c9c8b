//! Collects the values of one column until a vector is cut, and the encoded vectors until the section ends.
//!
//! Invariant: the data of every vector starts at a multiple of [`ALIGNMENT`](super::layout::ALIGNMENT) from the start of
//! the column, and what follows it up to the next one is zero. Warm vectors adjoin, and zeros follow the last one.

use arrow_buffer::NullBuffer;

use super::bytes::pad_to_8;
use super::layout::padding;
use super::packed_table::{VectorRecord, Zones, append_packed_table};
use super::warm_vectors::WarmVectors;
use crate::encoding::{ColumnCode, PlainVector, VECTOR_LEN, VectorHeader, ZoneMap};
use crate::error::Result;

/// The low bits of a location hold the number of padding bytes behind the vector.
pub(super) const LOCATION_PADDING_MASK: u64 = super::layout::ALIGNMENT as u64 - 1;

/// Which of the collected values are there.
#[derive(Debug, Default)]
pub(super) struct ValidityMask {
    words: [u64; VECTOR_LEN / 64],
    len: usize,
    valid_count: usize,
}

impl ValidityMask {
    /// Adds `count` values that are all there.
    pub(super) fn append_valid(&mut self, count: usize) {
        let (start, end) = (self.len, self.len + count);
        for word in start / 64..end.div_ceil(64) {
            let low = start.saturating_sub(word * 64);
            let high = (end - word * 64).min(64);
            self.words[word] |= (u64::MAX >> (64 - (high - low))) << low;
        }
        self.len = end;
        self.valid_count += count;
    }

    /// Adds `count` NULLs.
    pub(super) fn append_nulls(&mut self, count: usize) {
        self.len += count;
    }

    /// Adds the rows `start..start + count` of an array with these nulls.
    pub(super) fn append(&mut self, nulls: Option<&NullBuffer>, start: usize, count: usize) {
        let Some(nulls) = nulls else { return self.append_valid(count) };
        let slice = nulls.slice(start, count);
        if slice.null_count() == 0 {
            return self.append_valid(count);
        }
        for row in slice.valid_indices() {
            let position = self.len + row;
            self.words[position / 64] |= 1 << (position % 64);
        }
        self.len += count;
        self.valid_count += count - slice.null_count();
    }

    /// Number of values that are there.
    pub(super) fn valid_count(&self) -> usize {
        self.valid_count
    }

    /// The mask as the encoders take it.
    pub(super) fn as_encoder_input(&self) -> Option<&[u64; VECTOR_LEN / 64]> {
        (self.valid_count < self.len).then_some(&self.words)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The values of the vector that is being filled; a NULL has any value.
#[derive(Debug, Default)]
pub(super) struct PendingValues<T> {
    pub(super) values: Vec<T>,
    pub(super) validity: ValidityMask,
}

impl<T: Copy + Default> PendingValues<T> {
    pub(super) fn append_nulls(&mut self, count: usize) {
        self.values.resize(self.values.len() + count, T::default());
        self.validity.append_nulls(count);
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.validity.clear();
    }
}

/// The vectors of one column, encoded, with the tables that find and describe them.
#[derive(Debug, Default)]
pub(super) struct EncodedVectors {
    data: Vec<u8>,
    /// Start of each vector within `data`, with the padding behind it in the low bits.
    locations: Vec<u64>,
    headers: Vec<u8>,
    zones: Vec<u8>,
    /// What takes the place of the tables above when the vectors are warm.
    warm: Option<Box<WarmTables>>,
}

/// The tables of warm vectors.
#[derive(Debug)]
struct WarmTables {
    records: Vec<VectorRecord>,
    code: Option<ColumnCode>,
}

impl EncodedVectors {
    /// Adds the vector that `encode` appends to the buffer it is given.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> (VectorHeader, ZoneMap)) {
        let start = self.data.len();
        let (header, zone) = encode(&mut self.data);
        self.describe(start, header, zone);
    }

    /// Like [`EncodedVectors::push`], for an encoder that may refuse; the column is useless after an error.
    pub(super) fn try_push(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(VectorHeader, ZoneMap)>,
    ) -> Result<()> {
        let start = self.data.len();
        let (header, zone) = encode(&mut self.data)?;
        self.describe(start, header, zone);
        Ok(())
    }

    fn describe(&mut self, start: usize, header: VectorHeader, zone: ZoneMap) {
        let padding = padding(self.data.len() as u64);
        self.data.resize(self.data.len() + padding, 0);
        self.locations.push(start as u64 | padding as u64);
        self.headers.extend_from_slice(&header.to_bytes());
        self.zones.extend_from_slice(&zone.to_bytes());
    }

    /// Adds a vector that is stored elsewhere: no data, a header of zeros.
    pub(super) fn push_absent(&mut self) {
        self.locations.push(self.data.len() as u64);
        self.headers.extend_from_slice(&[0; VectorHeader::BYTES]);
        self.zones.extend_from_slice(&[0; ZoneMap::BYTES]);
    }

    /// The header and the data of a vector, for checking what was written.
    #[cfg(debug_assertions)]
    pub(super) fn last(&self) -> Option<(VectorHeader, &[u8])> {
        let location = *self.locations.last()?;
        let start = (location & !LOCATION_PADDING_MASK) as usize;
        let end = self.data.len() - (location & LOCATION_PADDING_MASK) as usize;
        let header = self.headers.last_chunk().and_then(VectorHeader::from_bytes)?;
        Some((header, &self.data[start..end]))
    }

    /// Bytes of the vectors with their headers and zone maps.
    pub(super) fn byte_len(&self) -> usize {
        self.data.len() + self.headers.len() + self.zones.len()
    }

    /// The data of all vectors, a multiple of the alignment long.
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(super) fn headers(&self) -> &[u8] {
        &self.headers
    }

    /// The same vectors as warm ones. `lens` are the numbers of their values.
    pub(super) fn into_warm(self, lens: impl Iterator<Item = usize>) -> Self {
        let ends = self.locations.iter().skip(1).copied().chain([self.data.len() as u64]);
        let places = self.locations.iter().zip(ends).map(|(start, end)| {
            let data_end = (end & !LOCATION_PADDING_MASK) - (start & LOCATION_PADDING_MASK);
            (start & !LOCATION_PADDING_MASK) as usize..data_end as usize
        });
        let headers = self.headers.as_chunks().0.iter().zip(lens);
        let vectors: Vec<PlainVector<'_>> = places
            .zip(headers)
            .map(|(place, (header, len))| PlainVector {
                header: VectorHeader::from_bytes(header).expect("the encoder wrote it"),
                data: &self.data[place],
                len,
            })
            .collect();
        let WarmVectors { data, records, code } = WarmVectors::of(&vectors, self.zones.as_chunks().0);
        Self { data, warm: Some(Box::new(WarmTables { records, code })), ..Self::default() }
    }

    /// Appends the tables for data that starts at `data_offset` of the file to the metadata of a section.
    pub(super) fn append_tables(&self, data_offset: u64, zones: Zones, out: &mut Vec<u8>) {
        if let Some(WarmTables { records, code }) = self.warm.as_deref() {
            out.push(u8::from(code.is_some()));
            if let Some(code) = code {
                code.append_to(out);
            }
            let in_file = |record: &VectorRecord| VectorRecord { start: data_offset + record.start, ..*record };
            append_packed_table(&records.iter().map(in_file).collect::<Vec<_>>(), zones, out);
            return pad_to_8(out);
        }
        let end = self.data.len() as u64;
        for location in self.locations.iter().chain([&end]) {
            out.extend_from_slice(&(data_offset + location).to_le_bytes());
        }
        out.extend_from_slice(&self.headers);
        if zones == Zones::Kept {
            out.extend_from_slice(&self.zones);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_bits_stand_where_the_values_stand() {
        let mut expected = Vec::new();
        let mut mask = ValidityMask::default();
        let nulls = NullBuffer::from_iter((0..300).map(|row| row % 3 != 0));
        for (start, count) in [(0, 1), (1, 62), (5, 200), (0, 300), (299, 1)] {
            mask.append(Some(&nulls), start, count);
            expected.extend((start..start + count).map(|row| row % 3 != 0));
            mask.append_valid(count.min(65));
            expected.extend(vec![true; count.min(65)]);
            mask.append_nulls(3);
            expected.extend([false; 3]);
        }
        let found: Vec<bool> = (0..expected.len()).map(|bit| mask.words[bit / 64] >> (bit % 64) & 1 == 1).collect();
        assert_eq!(found, expected);
        assert_eq!(mask.valid_count(), expected.iter().filter(|valid| **valid).count());
        assert_eq!(mask.len, expected.len());
    }

    #[test]
    fn a_full_mask_needs_no_bits() {
        let mut mask = ValidityMask::default();
        mask.append_valid(VECTOR_LEN);
        assert!(mask.as_encoder_input().is_none());
    }
}
