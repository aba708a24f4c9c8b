//! Read-only views of whole files.
//!
//! Invariant: a mapped file is immutable and is never cut or overwritten in place while any view of it lives; files are
//! unlinked instead, which leaves the pages of a view in place. The length was compared with the expected one before
//! mapping, so no page lies beyond the end of the file (reading such a page kills the process).
#![allow(unsafe_code, reason = "mapping a file into memory cannot be expressed in safe Rust")]

use std::fmt::Debug;
use std::fs::File;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_buffer::{Buffer, MutableBuffer};

use super::IoFile;
use crate::error::{Error, Result};

/// One read of a file that is copied.
const READ_BYTES: usize = 16 << 20;

/// What fetches the bytes of a file from its disk.
pub trait FetchBytes: Debug + Send + Sync {
    /// Brings bytes into memory; fails when the disk does not give them back.
    fn fetch(&self, range: Range<usize>) -> std::io::Result<()>;
}

/// A whole file, mapped or copied.
///
/// Its bytes start at a multiple of 64, as those of every Arrow allocation and of every page do.
#[derive(Debug)]
pub struct MappedFile {
    bytes: Buffer,
    /// `None` when all bytes are in memory for good.
    source: Option<Arc<dyn FetchBytes>>,
}

#[derive(Debug)]
struct Mapping(memmap2::Mmap);

impl FetchBytes for Mapping {
    #[cfg(target_os = "linux")]
    fn fetch(&self, range: Range<usize>) -> std::io::Result<()> {
        match self.0.advise_range(memmap2::Advice::PopulateRead, range.start, range.len()) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EFAULT | libc::EHWPOISON)) => {
                // Touching them would have ended the process.
                Err(std::io::Error::from_raw_os_error(libc::EIO))
            }
            // A kernel before 5.14 does not know how; nothing else says that the bytes cannot be read.
            _ => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn fetch(&self, _range: Range<usize>) -> std::io::Result<()> {
        Ok(())
    }
}

impl MappedFile {
    /// Maps a whole file whose length the caller has checked.
    pub(super) fn from_file(file: &File, len: u64) -> std::io::Result<Self> {
        if len == 0 {
            // The operating system refuses to map nothing.
            return Ok(Self::copied(&[]));
        }
        // SAFETY: the invariant of the module: nobody writes to or cuts a file that is mapped.
        let map = Arc::new(Mapping(unsafe { memmap2::Mmap::map(file)? }));
        let start = NonNull::from_ref(map.0.as_ref()).cast();
        // SAFETY: the mapping is `map.0.len()` readable bytes at `start`, which stay in place and unchanged (the
        // invariant of the module) until the buffer drops its owner.
        let bytes = unsafe { Buffer::from_custom_allocation(start, map.0.len(), map.clone()) };
        Ok(Self { bytes, source: Some(map) })
    }

    /// A copy of `bytes`, aligned to 64 bytes, for file systems that cannot map.
    pub fn copied(bytes: &[u8]) -> Self {
        Self { bytes: Buffer::from_slice_ref(bytes), source: None }
    }

    /// A copy of the `len` bytes of a file.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn read(file: &dyn IoFile, len: u64) -> Result<Self> {
        let len = usize::try_from(len).map_err(|_| Error::invalid("a file is too large to be copied into memory"))?;
        let mut bytes = MutableBuffer::from_len_zeroed(len);
        let mut offset = 0;
        for part in bytes.as_slice_mut().chunks_mut(READ_BYTES) {
            file.read_exact_at(offset, part)?;
            offset += part.len() as u64;
        }
        Ok(Self { bytes: bytes.into(), source: None })
    }

    /// A copy whose bytes `source` is asked for all the same, as a file system in memory does that simulates a disk.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn copied_from(bytes: &[u8], source: Arc<dyn FetchBytes>) -> Self {
        Self { source: Some(source), ..Self::copied(bytes) }
    }

    /// Brings bytes into memory before they are touched: where the disk does not give them back, touching them ends the
    /// process. The system may let go of them again.
    ///
    /// # Errors
    /// `EIO` when the disk does not give them back.
    pub fn fetch(&self, range: Range<usize>) -> std::io::Result<()> {
        self.source.as_ref().map_or(Ok(()), |source| source.fetch(range))
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
    #[cfg(target_os = "linux")]
    fn bytes_that_are_gone_from_the_file_are_an_error_and_not_the_end_of_the_process() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[7; 16 << 10]).unwrap();
        let mapped = MappedFile::from_file(&file, 16 << 10).unwrap();
        mapped.fetch(0..16 << 10).unwrap();
        // What the invariant of the module forbids, but another program may do.
        file.set_len(5_000).unwrap();
        mapped.fetch(0..8 << 10).unwrap();
        assert_eq!(mapped[4_999], 7);
        for range in [8 << 10..9 << 10, 4_000..10_000, (16 << 10) - 1..16 << 10] {
            assert_eq!(mapped.fetch(range).unwrap_err().raw_os_error(), Some(libc::EIO));
        }
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
