//! Finds the encoded vectors of one column in the mapped file and checks each the first time it is used.
//!
//! Concurrency: any number of threads may read. Two that use a vector for the first time may both check it; the bitmap
//! remembers only that a check succeeded, and the bytes are immutable, so relaxed ordering is enough.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bytes::{LeU32s, LeU64s};
use super::file::{SegmentFile, SegmentPin};
use super::vector_writer::LOCATION_PADDING_MASK;
use crate::encoding::VectorHeader;
use crate::encoding::kernel::prefetch;
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

/// The tables of one column: where its vectors are and what their headers say.
#[derive(Debug)]
pub(super) struct VectorTable {
    file: SegmentPin,
    bounds: VectorBounds,
    locations: Range<usize>,
    headers: Range<usize>,
    /// Where vector data of the section may stand.
    data: Range<usize>,
    /// A bit per vector: its data was checked and found whole.
    verified: Box<[AtomicU64]>,
}

impl VectorTable {
    /// `locations` and `headers` hold as many elements as the vectors of `bounds` need.
    pub(super) fn new(
        file: SegmentPin,
        bounds: VectorBounds,
        locations: Range<usize>,
        headers: Range<usize>,
        data: Range<usize>,
    ) -> Self {
        let verified = (0..bounds.vector_count().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { file, bounds, locations, headers, data, verified }
    }

    pub(super) fn file(&self) -> &SegmentPin {
        &self.file
    }

    pub(super) fn bounds(&self) -> &VectorBounds {
        &self.bounds
    }

    /// The file range from the first vector to behind the padding of the last, for checking that columns adjoin.
    pub(super) fn data_range(&self) -> Range<u64> {
        let locations = self.locations();
        let start = locations.get(0) & !LOCATION_PADDING_MASK;
        start..locations.get(self.bounds.vector_count())
    }

    /// The vector whose data or padding holds a byte of the file.
    pub(super) fn vector_at(&self, offset: u64) -> Option<usize> {
        let locations = self.locations();
        let start_of = |vector: usize| locations.get(vector) & !LOCATION_PADDING_MASK;
        (0..self.bounds.vector_count()).find(|&vector| (start_of(vector)..start_of(vector + 1)).contains(&offset))
    }

    fn locations(&self) -> LeU64s<'_> {
        LeU64s::new(&self.file.bytes()[self.locations.clone()])
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

    /// Asks the processor for a vector that is read soon.
    pub(super) fn prefetch(&self, vector: usize) {
        let bytes = self.file.bytes();
        let header = self.headers.start + vector * VectorHeader::BYTES;
        prefetch(&bytes[header..header + VectorHeader::BYTES]);
        let locations = self.locations();
        let [start, end] = [vector, vector + 1].map(|vector| (locations.get(vector) & !LOCATION_PADDING_MASK) as usize);
        // Where the table is wrong, reading says so.
        prefetch(bytes.get(start..end).unwrap_or_default());
    }

    /// Checks the bytes of a vector on the disk again, whatever the bitmap says.
    pub(super) fn verify(&self, vector: usize) -> Result<()> {
        let (encoded, padding) = self.locate(vector)?;
        self.check(vector, &encoded, padding)
    }

    /// Whether nothing is stored for a vector.
    pub(super) fn is_absent(&self, vector: usize) -> bool {
        let locations = self.locations();
        let header = self.headers.start + vector * VectorHeader::BYTES;
        let header = &self.file.bytes()[header..header + VectorHeader::BYTES];
        locations.get(vector) == locations.get(vector + 1) & !LOCATION_PADDING_MASK && header.iter().all(|&b| b == 0)
    }

    fn locate(&self, vector: usize) -> Result<(EncodedVector<'_>, &[u8])> {
        let bytes = self.file.bytes();
        let locations = self.locations();
        let location = locations.get(vector);
        let padding = location & LOCATION_PADDING_MASK;
        let start = location - padding;
        let end = locations.get(vector + 1) & !LOCATION_PADDING_MASK;
        let table_offset = self.locations.start + vector * size_of::<u64>();
        let is_inside = self.data.start as u64 <= start && end <= self.data.end as u64;
        let Some(data_end) = end.checked_sub(padding).filter(|&data_end| is_inside && start <= data_end) else {
            return Err(self.file.corruption(table_offset, format!("vector {vector} lies outside of its section")));
        };
        let header_offset = self.headers.start + vector * VectorHeader::BYTES;
        let header = bytes[header_offset..].first_chunk().and_then(VectorHeader::from_bytes);
        let Some(header) = header else {
            return Err(self.file.corruption(header_offset, format!("vector {vector} has an unknown header")));
        };
        // Both ends lie within the section, which lies within the mapped file, so they fit `usize`.
        let (offset, data_end) = (start as usize, data_end as usize);
        let encoded = EncodedVector { header, data: &bytes[offset..data_end], len: self.bounds.len(vector), offset };
        Ok((encoded, &bytes[data_end..end as usize]))
    }

    #[cold]
    fn check(&self, vector: usize, encoded: &EncodedVector<'_>, padding: &[u8]) -> Result<()> {
        if !encoded.header.verify(encoded.data) {
            let expected = encoded.header.crc32c;
            let reason = format!("the checksum of vector {vector} is not {expected:08x}");
            return Err(self.file.corruption(encoded.offset, reason));
        }
        check_zeros(&self.file, encoded.offset + encoded.data.len(), padding)
    }
}

/// Requires padding to be zero: no byte of the file may change unseen.
pub(super) fn check_zeros(file: &SegmentFile, offset: usize, padding: &[u8]) -> Result<()> {
    match padding.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(position) => Err(file.corruption(offset + position, "padding is not zero")),
    }
}
