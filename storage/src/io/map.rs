//! Read-only views of whole files.
//!
//! Invariant: a mapped file is immutable and is never cut or overwritten in place while any view of it lives; files are
//! unlinked instead, which leaves the pages of a view in place. The length was compared with the expected one before
//! mapping, so no page lies beyond the end of the file (reading such a page kills the process).
#![allow(unsafe_code, reason = "mapping a file into memory cannot be expressed in safe Rust")]

use std::fs::File;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_buffer::Buffer;

/// A whole file, mapped or copied.
///
/// Its bytes start at a multiple of 64, as those of every Arrow allocation and of every page do.
#[derive(Debug)]
pub struct MappedFile {
    bytes: Buffer,
}

impl MappedFile {
    /// Maps a whole file whose length the caller has checked.
    pub(super) fn from_file(file: &File, len: u64) -> std::io::Result<Self> {
        if len == 0 {
            // The operating system refuses to map nothing.
            return Ok(Self::copied(&[]));
        }
        // SAFETY: the invariant of the module: nobody writes to or cuts a file that is mapped.
        let map = Arc::new(unsafe { memmap2::Mmap::map(file)? });
        let start = NonNull::from_ref(map.as_ref().as_ref()).cast();
        // SAFETY: the mapping is `map.len()` readable bytes at `start`, which stay in place and unchanged (the
        // invariant of the module) until the buffer drops its owner.
        let bytes = unsafe { Buffer::from_custom_allocation(start, map.len(), map.clone()) };
        Ok(Self { bytes })
    }

    /// A copy of `bytes`, aligned to 64 bytes, for file systems that cannot map.
    pub fn copied(bytes: &[u8]) -> Self {
        Self { bytes: Buffer::from_slice_ref(bytes) }
    }

    /// Bytes of the file as an Arrow buffer, without a copy; the file stays mapped as long as the buffer lives.
    ///
    /// # Panics
    /// When `range` reaches beyond the file.
    pub fn arrow_buffer(&self, range: Range<usize>) -> Buffer {
        self.bytes.slice_with_length(range.start, range.len())
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_aligned_to_64_bytes() {
        for len in [1, 63, 64, 4097] {
            let bytes = vec![7u8; len];
            let mapped = MappedFile::copied(&bytes);
            assert_eq!(&*mapped, &bytes[..]);
            assert_eq!(mapped.as_ptr() as usize % 64, 0);
        }
        assert!(MappedFile::copied(&[]).is_empty());
    }

    #[test]
    fn an_arrow_buffer_outlives_the_view_it_came_from() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"0123456789").unwrap();
        let mapped = MappedFile::from_file(&file, 10).unwrap();
        let buffer = mapped.arrow_buffer(3..7);
        assert_eq!(buffer.as_ptr(), mapped[3..].as_ptr());
        drop(mapped);
        assert_eq!(buffer.as_slice(), b"3456");
    }
}
