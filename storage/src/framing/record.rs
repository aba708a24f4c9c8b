//! The frame of a record and the header of a file of records. Formats: `docs/format/wal.md`, `docs/format/manifest.md`.
//!
//! Invariant: every byte of a record is covered: the header by its own CRC32C, the payload by one that stands in the
//! header, the padding by being zero. The CRC of a header starts from the identity of its file, so a record of another
//! file, or one that a user stored as a value, is not taken for a record of this one.

/// Magic (4) + payload length (4) + sequence (8) + synced sequence (8) + payload CRC (4) + zero (8) + header CRC (4).
pub(crate) const RECORD_HEADER_BYTES: usize = 40;

/// Records start at multiples of this, which bounds the work of finding the next one after damage.
const ALIGNMENT: usize = 8;

/// What tells the records of one kind of file from another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordFormat {
    pub(crate) magic: [u8; 4],
    /// A longer length in a header is damage.
    pub(crate) payload_bytes_max: u32,
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_len: u32,
    /// Position of the record in its log, counted from 1.
    pub(crate) sequence: u64,
    /// Records up to this one were durable when this one was written, so a hole among them is damage and not a torn tail.
    pub(crate) synced: u64,
    pub(crate) payload_crc: u32,
}

/// Length of a payload in the file.
pub(crate) fn padded_len(payload_len: usize) -> usize {
    payload_len.next_multiple_of(ALIGNMENT)
}

impl RecordHeader {
    /// Bytes of the whole record in the file.
    pub(crate) fn record_len(&self) -> u64 {
        (RECORD_HEADER_BYTES + padded_len(self.payload_len as usize)) as u64
    }

    pub(crate) fn to_bytes(self, format: RecordFormat, file: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&format.magic);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.synced.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = header_crc(file, &bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, or `None` when these are not one of this format and file.
    pub(crate) fn from_bytes(bytes: &[u8; RECORD_HEADER_BYTES], format: RecordFormat, file: u64) -> Option<Self> {
        let mut reader = super::ByteReader::new(bytes);
        if reader.take(4)? != format.magic {
            return None;
        }
        let payload_len = reader.u32()?;
        let sequence = reader.u64()?;
        let synced = reader.u64()?;
        let payload_crc = reader.u32()?;
        let _zero = reader.u64()?;
        let crc = reader.u32()?;
        let is_valid = crc == header_crc(file, &bytes[..36]) && payload_len <= format.payload_bytes_max;
        is_valid.then_some(Self { payload_len, sequence, synced, payload_crc })
    }
}

fn header_crc(file: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&file.to_le_bytes()), bytes)
}

/// The first 64 bytes of a file of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) version: u32,
    /// Identity of the file among those of its kind.
    pub(crate) file: u64,
    /// Sequence of the last record that the log had before this file.
    pub(crate) predecessor: u64,
    /// Sequence of the first record of this file.
    pub(crate) first: u64,
}

impl FileHeader {
    pub(crate) const BYTES: usize = 64;

    pub(crate) fn to_bytes(self, magic: [u8; 8]) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..8].copy_from_slice(&magic);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.file.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.predecessor.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, or `None` when it is damaged.
    ///
    /// Magic, version and CRC stay where they are in every version, so that an unknown version is told from damage.
    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES], magic: [u8; 8]) -> Option<Self> {
        let mut reader = super::ByteReader::new(bytes);
        if reader.take(8)? != magic || crc32c::crc32c(&bytes[..60]).to_le_bytes() != bytes[60..] {
            return None;
        }
        let version = reader.u32()?;
        let _zero = reader.u32()?;
        Some(Self { version, file: reader.u64()?, predecessor: reader.u64()?, first: reader.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: RecordFormat = RecordFormat { magic: *b"TEST", payload_bytes_max: 1000 };

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let header = RecordHeader { payload_len: 999, sequence: 5, synced: 4, payload_crc: 77 };
        let bytes = header.to_bytes(FORMAT, 3);
        assert_eq!(RecordHeader::from_bytes(&bytes, FORMAT, 3), Some(header));
        assert_eq!(RecordHeader::from_bytes(&bytes, FORMAT, 4), None, "a record of another file");
        let file = FileHeader { version: 1, file: 2, predecessor: 3, first: 4 };
        let file_bytes = file.to_bytes(*b"TESTFILE");
        assert_eq!(FileHeader::from_bytes(&file_bytes, *b"TESTFILE"), Some(file));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::from_bytes(&flipped, FORMAT, 3), None);
        }
        for bit in 0..file_bytes.len() * 8 {
            let mut flipped = file_bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FileHeader::from_bytes(&flipped, *b"TESTFILE"), None);
        }
    }

    #[test]
    fn a_length_above_the_bound_is_refused() {
        let header = RecordHeader { payload_len: 1001, sequence: 5, synced: 4, payload_crc: 77 };
        assert_eq!(RecordHeader::from_bytes(&header.to_bytes(FORMAT, 3), FORMAT, 3), None);
    }
}
