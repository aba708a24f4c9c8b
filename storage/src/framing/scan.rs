//! Reads the records of a file one by one and finds the next valid one after damage.
//!
//! Memory is bounded by the window and the longest record. A length is trusted only when the CRC of its header holds
//! and the file is long enough for it.
//!
//! Bytes that the disk does not give back are damage like any other: they read as bytes that are neither zero nor the
//! start of a record, and [`RecordScanner::unreadable`] says where they are. Before a part is given up it is read again,
//! alone. The caller must not take such a part for a torn tail, nor remove the file without keeping it elsewhere: the
//! next try may succeed.

use std::ops::Range;
use std::sync::Arc;

use super::{RECORD_HEADER_BYTES, RecordFormat, RecordHeader, padded_len};
use crate::error::Result;
use crate::io::{IoFile, MediaError};

/// One read of a file that is scanned.
const WINDOW_BYTES: usize = 1 << 20;

/// The unit in which disks fail to read.
const SECTOR_BYTES: u64 = 4096;

/// Stands for a byte that cannot be read. Not zero, for zeros mean the end of a log.
const UNREADABLE_BYTE: u8 = 0xFF;

/// What stands at a place of a file.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A valid record.
    Record(RecordHeader, &'a [u8]),
    /// A valid header whose payload is damaged.
    DamagedPayload(RecordHeader),
    /// Bytes that are not a record.
    Damage,
    /// Nothing but zeros up to the end of the file.
    End,
}

/// A reader of records.
#[derive(Debug)]
pub(crate) struct RecordScanner {
    file: Arc<dyn IoFile>,
    format: RecordFormat,
    file_id: u64,
    len: u64,
    window: Vec<u8>,
    window_start: u64,
    /// In order, none next to another.
    unreadable: Vec<Range<u64>>,
}

impl RecordScanner {
    pub(crate) fn new(file: Arc<dyn IoFile>, format: RecordFormat, file_id: u64) -> Result<Self> {
        let len = file.len()?;
        Ok(Self { file, format, file_id, len, window: Vec::new(), window_start: 0, unreadable: Vec::new() })
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.len
    }

    /// Forgets what was read, so that the next look sees what another process has written since.
    pub(crate) fn look_anew(&mut self) -> Result<()> {
        self.window.clear();
        self.len = self.file.len()?;
        Ok(())
    }

    /// Whether no record begins at `offset` yet: the file ends there, or its next bytes are reserved and not written.
    pub(crate) fn is_unwritten(&mut self, offset: u64) -> Result<bool> {
        match self.bytes(offset, RECORD_HEADER_BYTES)? {
            Some(bytes) => Ok(bytes.iter().all(|&byte| byte == 0)),
            None => self.is_zero_from(offset),
        }
    }

    /// The parts that could not be read, of those that were scanned so far.
    pub(crate) fn unreadable(&self) -> &[Range<u64>] {
        &self.unreadable
    }

    /// What stands at `offset`.
    pub(crate) fn at(&mut self, offset: u64) -> Result<Found<'_>> {
        let Some(header_bytes) = self.bytes(offset, RECORD_HEADER_BYTES)? else {
            let is_end = self.is_zero_from(offset)?;
            return Ok(if is_end { Found::End } else { Found::Damage });
        };
        let header_bytes = *header_bytes.first_chunk().expect("as many bytes as asked for");
        let Some(header) = RecordHeader::from_bytes(&header_bytes, self.format, self.file_id) else {
            let is_end = header_bytes.iter().all(|&byte| byte == 0) && self.is_zero_from(offset)?;
            return Ok(if is_end { Found::End } else { Found::Damage });
        };
        let payload_len = header.payload_len as usize;
        let payload_start = offset + RECORD_HEADER_BYTES as u64;
        let Some(padded) = self.bytes(payload_start, padded_len(payload_len))? else {
            // The file was cut within the record, so its header says nothing about what follows.
            return Ok(Found::Damage);
        };
        let (payload, padding) = padded.split_at(payload_len);
        if crc32c::crc32c(payload) != header.payload_crc || padding.iter().any(|&byte| byte != 0) {
            return Ok(Found::DamagedPayload(header));
        }
        Ok(Found::Record(header, payload))
    }

    /// Offset and header of the first valid record at or after `offset`.
    pub(crate) fn next_valid(&mut self, offset: u64) -> Result<Option<(u64, RecordHeader)>> {
        let mut offset = offset.next_multiple_of(8);
        let magic = self.format.magic;
        while let Some(start) = self.find_magic(offset, magic)? {
            match self.at(start)? {
                Found::Record(header, _) => return Ok(Some((start, header))),
                // The header is sound, so what stands in its payload are values and no records of the log.
                Found::DamagedPayload(header) => offset = start + header.record_len(),
                Found::Damage | Found::End => offset = start + 8,
            }
        }
        Ok(None)
    }

    /// Offset of the next bytes that look like the start of a record, valid or not.
    pub(crate) fn next_magic(&mut self, offset: u64) -> Result<Option<u64>> {
        self.find_magic(offset.next_multiple_of(8), self.format.magic)
    }

    fn find_magic(&mut self, mut offset: u64, magic: [u8; 4]) -> Result<Option<u64>> {
        while offset + RECORD_HEADER_BYTES as u64 <= self.len {
            let rest = usize::try_from(self.len - offset).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let Some(bytes) = self.bytes(offset, rest)? else { return Ok(None) };
            if let Some(index) = bytes.chunks(8).position(|word| word.starts_with(&magic)) {
                return Ok(Some(offset + index as u64 * 8));
            }
            offset += (bytes.len() as u64).next_multiple_of(8);
        }
        Ok(None)
    }

    /// Whether only zeros follow from `offset` on.
    pub(crate) fn is_zero_from(&mut self, mut offset: u64) -> Result<bool> {
        while offset < self.len {
            let rest = usize::try_from(self.len - offset).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let Some(bytes) = self.bytes(offset, rest)? else { return Ok(false) };
            if bytes.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            offset += rest as u64;
        }
        Ok(true)
    }

    /// `len` bytes from `offset`, or `None` when the file ends before.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>> {
        let end = offset + len as u64;
        if end > self.len {
            return Ok(None);
        }
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || end > window_end {
            let ahead = usize::try_from(self.len - offset).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            // Emptied first: a failed read must not leave a window that claims to hold the file's bytes.
            self.window.clear();
            let mut window = std::mem::take(&mut self.window);
            window.resize(len.max(ahead), 0);
            self.read(offset, &mut window)?;
            self.window = window;
            self.window_start = offset;
        }
        let start = usize::try_from(offset - self.window_start).expect("the window is in memory");
        Ok(Some(&self.window[start..start + len]))
    }

    /// Fills `window` from `offset`, and what cannot be read of it with [`UNREADABLE_BYTE`].
    fn read(&mut self, offset: u64, window: &mut [u8]) -> Result<()> {
        match self.file.read_exact_at(offset, window) {
            Err(error) if error.is_media_error() => {}
            other => return other,
        }
        let mut rest = window;
        let mut start = offset;
        while !rest.is_empty() {
            let len = (SECTOR_BYTES - start % SECTOR_BYTES).min(rest.len() as u64);
            let (piece, behind) = rest.split_at_mut(len as usize);
            match self.file.read_exact_at(start, piece) {
                Ok(()) => {}
                Err(error) if error.is_media_error() => {
                    tracing::error!(path = %self.file.path().display(), start, %error, "a part cannot be read");
                    piece.fill(UNREADABLE_BYTE);
                    self.add_unreadable(start..start + len);
                }
                Err(error) => return Err(error),
            }
            (rest, start) = (behind, start + len);
        }
        Ok(())
    }

    fn add_unreadable(&mut self, part: Range<u64>) {
        self.unreadable.push(part);
        self.unreadable.sort_unstable_by_key(|part| part.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(self.unreadable.len());
        for part in self.unreadable.drain(..) {
            match merged.last_mut() {
                Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
                _ => merged.push(part),
            }
        }
        self.unreadable = merged;
    }
}
