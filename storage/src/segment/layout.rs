//! The fixed structures of a segment file and the checks that they pass on reading. Format: `docs/format/segment.md`.
//!
//! Invariant: the magic, the version and the checksum of the file header keep their places in every format version, so
//! that an older build can tell a newer file from a damaged one.

use std::path::Path;

use super::bytes::{le_u32, le_u64};
use crate::error::{Error, Result};
use crate::types::{SegmentId, TableId, Tier, TombstoneId};

/// The format that this build writes and reads.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Data of a vector, dictionaries, metadata blocks and the footer start at multiples of this: a cache line, and what
/// Arrow recommends for buffers.
pub(super) const ALIGNMENT: usize = 64;
/// Length of the file header.
pub(super) const HEADER_BYTES: usize = 64;
/// Length of the trailer, the last bytes of the file.
pub(super) const TRAILER_BYTES: usize = 32;
/// Length of the fixed part of the footer.
pub(super) const FOOTER_HEADER_BYTES: usize = 16;
/// Length of a section's entry in the footer.
pub(super) const FOOTER_ENTRY_BYTES: usize = 48;
/// Length of the fixed part of a section's metadata block.
pub(super) const SECTION_HEADER_BYTES: usize = 64;
/// Length of a column's record in a section's metadata block.
pub(super) const COLUMN_RECORD_BYTES: usize = 32;

const HEADER_MAGIC: [u8; 8] = *b"LYNXSEG\0";
const TRAILER_MAGIC: [u8; 8] = *b"\0GESXNYL";
/// Bytes of the file header and of the trailer that their own checksum covers; the magic is compared as a whole.
const HEADER_CRC_OFFSET: usize = 60;
const TRAILER_CRC_OFFSET: usize = 20;
/// Where the file header has the code of the tier.
const HEADER_TIER_OFFSET: usize = 40;

/// How far `len` is from the next multiple of [`ALIGNMENT`].
pub(super) fn padding(len: u64) -> usize {
    (len.wrapping_neg() % ALIGNMENT as u64) as usize
}

/// Where the rows of a segment stand in the order of commits and deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentOrigin {
    /// Of two sections of a table, rows of the one in the segment of larger order were committed later.
    pub commit_order: u64,
    /// Deletes with a smaller id were applied when it was written.
    pub deletes_applied: TombstoneId,
}

impl SegmentOrigin {
    /// That of a flush: the order is the id, and rows that were deleted in memory were never written.
    pub fn of_flush(id: SegmentId) -> Self {
        Self { commit_order: id.0, deletes_applied: TombstoneId::default() }
    }
}

/// The first bytes of the file.
pub(super) fn encode_header(id: SegmentId, origin: SegmentOrigin, tier: Tier) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0..8].copy_from_slice(&HEADER_MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&id.0.to_le_bytes());
    // Zero stands for the id, as after a flush.
    let commit_order = if origin.commit_order == id.0 { 0 } else { origin.commit_order };
    bytes[24..32].copy_from_slice(&commit_order.to_le_bytes());
    bytes[32..40].copy_from_slice(&origin.deletes_applied.0.to_le_bytes());
    bytes[HEADER_TIER_OFFSET] = tier.code();
    let crc = crc32c::crc32c(&bytes[..HEADER_CRC_OFFSET]);
    bytes[HEADER_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Checks the file header and reads where the rows stand, and of which tier they are.
///
/// # Errors
/// `Corruption`, or `UnsupportedVersion` when the header is whole and of another version.
pub(super) fn check_header(path: &Path, file: &[u8], id: SegmentId) -> Result<(SegmentOrigin, Tier)> {
    let Some(bytes) = file.get(..HEADER_BYTES) else {
        return Err(Error::corruption(path, 0, format!("{} bytes are too short for a segment", file.len())));
    };
    if bytes[0..8] != HEADER_MAGIC {
        return Err(Error::corruption(path, 0, "the magic bytes of a segment are missing"));
    }
    check_crc(path, 0, &bytes[..HEADER_CRC_OFFSET], le_u32(bytes, HEADER_CRC_OFFSET), "file header")?;
    check_version(path, le_u32(bytes, 8))?;
    let found = le_u64(bytes, 16);
    if found != id.0 {
        return Err(Error::corruption(path, 16, format!("the file is segment {found}, expected segment {id}")));
    }
    let code = bytes[HEADER_TIER_OFFSET];
    let Some(tier) = Tier::from_code(code) else {
        return Err(Error::corruption(path, HEADER_TIER_OFFSET as u64, format!("there is no tier {code}")));
    };
    let origin = SegmentOrigin {
        commit_order: Some(le_u64(bytes, 24)).filter(|order| *order != 0).unwrap_or(id.0),
        deletes_applied: TombstoneId(le_u64(bytes, 32)),
    };
    Ok((origin, tier))
}

/// The last bytes of the file: where the footer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) footer_offset: u64,
    pub(super) footer_len: u32,
    pub(super) footer_crc: u32,
}

impl Trailer {
    pub(super) fn to_bytes(self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[0..8].copy_from_slice(&self.footer_offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.footer_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.footer_crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..TRAILER_CRC_OFFSET]);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        bytes[24..32].copy_from_slice(&TRAILER_MAGIC);
        bytes
    }

    /// Reads the trailer at the end of `file` and checks that the footer fills the bytes up to it.
    pub(super) fn read(path: &Path, file: &[u8]) -> Result<Self> {
        let Some(start) = file.len().checked_sub(TRAILER_BYTES).filter(|&start| start >= HEADER_BYTES) else {
            return Err(Error::corruption(path, 0, format!("{} bytes are too short for a segment", file.len())));
        };
        let bytes = &file[start..];
        if bytes[24..32] != TRAILER_MAGIC {
            return Err(Error::corruption(path, start as u64 + 24, "the magic bytes of the trailer are missing"));
        }
        check_crc(path, start as u64, &bytes[..TRAILER_CRC_OFFSET], le_u32(bytes, TRAILER_CRC_OFFSET), "trailer")?;
        check_version(path, le_u32(bytes, 16))?;
        let trailer =
            Self { footer_offset: le_u64(bytes, 0), footer_len: le_u32(bytes, 8), footer_crc: le_u32(bytes, 12) };
        let end = trailer.footer_offset.checked_add(u64::from(trailer.footer_len));
        if end != Some(start as u64) || trailer.footer_offset < HEADER_BYTES as u64 {
            return Err(Error::corruption(path, start as u64, "the footer does not end at the trailer"));
        }
        Ok(trailer)
    }
}

/// Where a section stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FooterEntry {
    pub(super) table_id: TableId,
    /// First time of the partition that all rows of the section belong to.
    pub(super) partition_start_ns: i64,
    /// First byte of the section's vector data; the data ends, padded, at `metadata_offset`.
    pub(super) data_offset: u64,
    pub(super) metadata_offset: u64,
    pub(super) metadata_len: u64,
    pub(super) metadata_crc: u32,
}

impl FooterEntry {
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.table_id.0.to_le_bytes());
        out.extend_from_slice(&self.partition_start_ns.to_le_bytes());
        out.extend_from_slice(&self.data_offset.to_le_bytes());
        out.extend_from_slice(&self.metadata_offset.to_le_bytes());
        out.extend_from_slice(&self.metadata_len.to_le_bytes());
        out.extend_from_slice(&self.metadata_crc.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }

    /// Table and partition, which order the sections of a file.
    pub(super) fn place(&self) -> (TableId, i64) {
        (self.table_id, self.partition_start_ns)
    }

    pub(super) fn from_bytes(bytes: &[u8; FOOTER_ENTRY_BYTES]) -> Self {
        Self {
            table_id: TableId(le_u64(bytes, 0)),
            partition_start_ns: le_u64(bytes, 8).cast_signed(),
            data_offset: le_u64(bytes, 16),
            metadata_offset: le_u64(bytes, 24),
            metadata_len: le_u64(bytes, 32),
            metadata_crc: le_u32(bytes, 40),
        }
    }
}

/// The footer: the sections of the file in the order of tables, then partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) row_count: u64,
    pub(super) sections: Vec<FooterEntry>,
}

impl Footer {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_HEADER_BYTES + self.sections.len() * FOOTER_ENTRY_BYTES);
        out.extend_from_slice(&(self.sections.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.row_count.to_le_bytes());
        self.sections.iter().for_each(|entry| entry.append_to(&mut out));
        out
    }

    /// Reads the footer and checks that its sections, padded, fill the file from the header to the footer.
    pub(super) fn read(path: &Path, file: &[u8], trailer: Trailer) -> Result<Self> {
        // `Trailer::read` has checked that the footer lies within the file.
        let start = trailer.footer_offset as usize;
        let bytes = &file[start..start + trailer.footer_len as usize];
        check_crc(path, start as u64, bytes, trailer.footer_crc, "footer")?;
        let damaged = |reason: &str| Error::corruption(path, start as u64, reason);
        if bytes.len() < FOOTER_HEADER_BYTES {
            return Err(damaged("the footer is too short"));
        }
        let (entries, rest) = bytes[FOOTER_HEADER_BYTES..].as_chunks::<FOOTER_ENTRY_BYTES>();
        if le_u64(bytes, 0) != entries.len() as u64 || !rest.is_empty() {
            return Err(damaged("the length of the footer does not fit its number of sections"));
        }
        let sections: Vec<_> = entries.iter().map(FooterEntry::from_bytes).collect();
        if !sections.is_sorted_by(|a, b| a.place() < b.place()) {
            return Err(damaged("the sections are not in the order of their tables and partitions"));
        }
        let mut position = HEADER_BYTES as u64;
        for section in &sections {
            let end = section.metadata_offset.checked_add(section.metadata_len);
            let padded_end = end.and_then(|end| end.checked_add(padding(end) as u64));
            let aligned = section.metadata_offset % ALIGNMENT as u64 == 0;
            match padded_end {
                Some(next) if section.data_offset == position && aligned && position <= section.metadata_offset => {
                    position = next;
                }
                _ => return Err(damaged(&format!("the section of table {} is out of place", section.table_id))),
            }
        }
        if position != trailer.footer_offset {
            return Err(damaged("the sections do not end at the footer"));
        }
        Ok(Self { row_count: le_u64(bytes, 8), sections })
    }
}

fn check_version(path: &Path, found: u32) -> Result<()> {
    if found == FORMAT_VERSION {
        return Ok(());
    }
    Err(Error::UnsupportedVersion { path: path.to_path_buf(), found, supported: FORMAT_VERSION })
}

/// Compares the checksum of `bytes`, which stand at `offset`.
pub(super) fn check_crc(path: &Path, offset: u64, bytes: &[u8], expected: u32, what: &str) -> Result<()> {
    let found = crc32c::crc32c(bytes);
    if found == expected {
        return Ok(());
    }
    let reason = format!("checksum of the {what} is {found:08x}, expected {expected:08x}");
    Err(Error::corruption(path, offset, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_of_format_version_1_never_change() {
        assert_eq!(FORMAT_VERSION, 1);
        assert_eq!(
            encode_header(SegmentId(0x0102), SegmentOrigin::of_flush(SegmentId(0x0102)), Tier::Hot)[..24],
            *b"LYNXSEG\0\x01\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0"
        );
        let trailer = Trailer { footer_offset: 1, footer_len: 2, footer_crc: 3 }.to_bytes();
        assert_eq!(trailer[..20], *b"\x01\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\x01\0\0\0");
        assert_eq!(trailer[24..], *b"\0GESXNYL");
    }

    #[test]
    fn a_header_of_another_version_is_refused_as_such() {
        let mut bytes = encode_header(SegmentId(7), SegmentOrigin::of_flush(SegmentId(7)), Tier::Hot);
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC_OFFSET]);
        bytes[HEADER_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        let error = check_header(Path::new("x.seg"), &bytes, SegmentId(7)).unwrap_err();
        assert!(matches!(error, Error::UnsupportedVersion { found: 2, supported: 1, .. }), "{error}");
    }

    #[test]
    fn a_file_under_the_name_of_another_segment_is_refused() {
        let origin = SegmentOrigin { commit_order: 3, deletes_applied: TombstoneId(9) };
        for tier in Tier::ALL {
            let bytes = encode_header(SegmentId(7), origin, tier);
            assert_eq!(check_header(Path::new("x.seg"), &bytes, SegmentId(7)).unwrap(), (origin, tier));
        }
        let bytes = encode_header(SegmentId(7), SegmentOrigin::of_flush(SegmentId(7)), Tier::Hot);
        assert_eq!(bytes[24..60], [0; 36], "that of a flush follows from the id");
        assert!(check_header(Path::new("x.seg"), &bytes, SegmentId(7)).is_ok());
        let error = check_header(Path::new("x.seg"), &bytes, SegmentId(8)).unwrap_err();
        assert!(error.to_string().contains("segment 7, expected segment 8"), "{error}");
    }

    #[test]
    fn a_tier_that_this_build_does_not_know_is_refused() {
        let mut bytes = encode_header(SegmentId(7), SegmentOrigin::of_flush(SegmentId(7)), Tier::Hot);
        bytes[HEADER_TIER_OFFSET] = 9;
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC_OFFSET]);
        bytes[HEADER_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        let error = check_header(Path::new("x.seg"), &bytes, SegmentId(7)).unwrap_err();
        assert!(error.to_string().contains("no tier 9"), "{error}");
    }

    #[test]
    fn padding_reaches_the_next_multiple() {
        assert_eq!([0, 1, 63, 64, 65].map(padding), [0, 63, 1, 0, 63]);
    }
}
