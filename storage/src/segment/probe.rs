//! Reads what the opening of a segment will touch, as a file, before it is touched in the mapping.
//!
//! A mapped page that the disk does not give back ends the process; a read of it is an error, for which the segment is
//! set aside. Nothing is judged here: what is malformed, opening finds. Vector data is not read, for it is most of the
//! file: it is fetched where it is used first, see `file`. A scrub reads all of it as a file.

use std::path::Path;

use super::bytes::{le_u32, le_u64};
use super::layout::{FOOTER_ENTRY_BYTES, FOOTER_HEADER_BYTES, FooterEntry, HEADER_BYTES, TRAILER_BYTES};
use crate::error::Result;
use crate::io::{Io, OpenMode};

/// One read.
const READ_BYTES: u64 = 1 << 20;

/// Reads the header, the trailer, the footer and the metadata that it places.
///
/// # Errors
/// `Io`.
pub(super) fn probe(io: &dyn Io, path: &Path) -> Result<()> {
    let file = io.open(path, OpenMode::Read)?;
    let len = file.len()?;
    let mut buffer = Vec::new();
    let mut read = |start: u64, end: u64, mut keep: Option<&mut Vec<u8>>| -> Result<()> {
        let (mut start, end) = (start, end.min(len));
        while start < end {
            buffer.resize(usize::try_from((end - start).min(READ_BYTES)).unwrap_or(0), 0);
            file.read_exact_at(start, &mut buffer)?;
            if let Some(keep) = &mut keep {
                keep.extend_from_slice(&buffer);
            }
            start += buffer.len() as u64;
        }
        Ok(())
    };
    let Some(trailer_start) = len.checked_sub(TRAILER_BYTES as u64) else { return Ok(()) };
    let (mut trailer, mut footer) = (Vec::new(), Vec::new());
    read(0, HEADER_BYTES as u64, None)?;
    read(trailer_start, len, Some(&mut trailer))?;
    let footer_start = le_u64(&trailer, 0);
    read(footer_start, footer_start.saturating_add(u64::from(le_u32(&trailer, 8))), Some(&mut footer))?;
    let entries = footer.get(FOOTER_HEADER_BYTES..).unwrap_or_default().as_chunks::<FOOTER_ENTRY_BYTES>().0;
    // The metadata of a section stands behind that of the one before; a forged footer must not have it read many times.
    let mut position = 0;
    for entry in entries.iter().map(FooterEntry::from_bytes) {
        let end = entry.metadata_offset.saturating_add(entry.metadata_len).min(len);
        read(entry.metadata_offset.max(position), end, None)?;
        position = position.max(end);
    }
    Ok(())
}
