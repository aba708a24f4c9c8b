//! The file of the manifest: reading it, appending to it and writing it anew.
//!
//! Invariant: after `append` returned `Ok`, every later open finds its edits, all of them and in order; after an error
//! the next open finds all of them or none. The file is made and replaced whole (temporary file, sync, rename, directory
//! sync), and appended to with one write and one sync. A descriptor whose write or sync failed is never used again: the
//! next append writes a new file. One writer; the lock of the database is the caller's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::edit::{Entry, ManifestEdit, decode_entries, encode_entries};
use super::state::ManifestState;
use crate::error::{Error, Result};
use crate::framing::{FileHeader, Found, RECORD_HEADER_BYTES, RecordFormat, RecordHeader, RecordScanner, padded_len};
use crate::io::{Io, IoFile, OpenMode, create_dir_synced, replace_file};

pub(crate) const FILE_NAME: &str = "MANIFEST";
pub(super) const FILE_MAGIC: [u8; 8] = *b"LYNXMAN\0";
pub(super) const VERSION: u32 = 1;
pub(super) const FORMAT: RecordFormat = RecordFormat { magic: *b"LXMR", payload_bytes_max: 1 << 30 };

/// A file is written anew when it is longer than this and than `REWRITE_FACTOR` times what it was when it was new.
/// Together they keep the cost of rewriting at a small part of that of appending.
const REWRITE_BYTES_MIN: u64 = 256 << 10;
const REWRITE_FACTOR: u64 = 4;

/// The manifest, open for appending.
#[derive(Debug)]
pub struct Manifest {
    io: Arc<dyn Io>,
    dir: PathBuf,
    state: ManifestState,
    generation: u64,
    /// `None` after a failure.
    active: Option<ActiveFile>,
}

#[derive(Debug)]
struct ActiveFile {
    file: Arc<dyn IoFile>,
    len: u64,
    len_when_new: u64,
    next_sequence: u64,
}

/// What a file holds.
pub(super) struct Loaded {
    pub(super) state: ManifestState,
    pub(super) generation: u64,
    pub(super) records: u64,
    /// Where the last valid record ends.
    pub(super) end: u64,
    file_len: u64,
}

impl Manifest {
    /// Opens the manifest of a directory; an absent one is made.
    ///
    /// A torn last record is dropped: its append did not return.
    ///
    /// # Errors
    /// `Corruption` for damage that is no torn tail, `UnsupportedVersion` for a file of a newer build, which is left as
    /// it is.
    pub fn open(io: Arc<dyn Io>, dir: &Path) -> Result<(Self, ManifestState)> {
        create_dir_synced(&*io, dir)?;
        let path = dir.join(FILE_NAME);
        let loaded = if io.exists(&path)? { Some(load(io.open(&path, OpenMode::Read)?)?) } else { None };
        let mut manifest =
            Self { io, dir: dir.to_path_buf(), state: ManifestState::default(), generation: 0, active: None };
        match loaded {
            Some(loaded) if loaded.records == 1 && loaded.end == loaded.file_len => {
                // Written whole, but its rename may not be durable yet.
                manifest.io.sync_dir(dir)?;
                manifest.generation = loaded.generation;
                manifest.state = loaded.state;
                let file = manifest.io.open(&path, OpenMode::ReadWrite)?;
                let (len, next_sequence) = (loaded.end, loaded.records + 1);
                manifest.active = Some(ActiveFile { file, len, len_when_new: len, next_sequence });
            }
            Some(loaded) => {
                // Also because of a record whose sync failed: reads find it, a sync from here would not write it.
                manifest.generation = loaded.generation;
                manifest.state = loaded.state;
                manifest.active = Some(manifest.rewrite(&manifest.state)?);
                manifest.generation += 1;
            }
            None => {
                manifest.active = Some(manifest.rewrite(&manifest.state)?);
                manifest.generation += 1;
            }
        }
        let state = manifest.state.clone();
        Ok((manifest, state))
    }

    /// What the manifest adds up to.
    pub fn state(&self) -> &ManifestState {
        &self.state
    }

    /// Appends edits as one atomic group, and returns when they are durable.
    ///
    /// # Errors
    /// `InvalidInput` when an edit does not fit the state, and nothing is written then. After an I/O error the state is
    /// the one before; a later append tries again with a new file, and only a crash before that can bring the edits
    /// back, so files that they name must be kept until an append succeeds.
    pub fn append(&mut self, edits: &[ManifestEdit]) -> Result<()> {
        let mut state = self.state.clone();
        let entries: Vec<Entry> = edits.iter().cloned().map(Entry::Edit).collect();
        for entry in &entries {
            state.apply(entry).map_err(Error::invalid)?;
        }
        // Taken out, so that it is gone after any error.
        match self.active.take() {
            Some(mut active) if !active.is_oversized() => {
                active.append(&encode_entries(&entries), self.generation)?;
                self.active = Some(active);
            }
            _ => {
                let active = self.rewrite(&state)?;
                self.active = Some(active);
                self.generation += 1;
            }
        }
        self.state = state;
        Ok(())
    }

    /// Replaces the file by one of the next generation that holds `state` as its only record.
    fn rewrite(&self, state: &ManifestState) -> Result<ActiveFile> {
        let path = self.dir.join(FILE_NAME);
        let bytes = encode_file(state, self.generation + 1)?;
        replace_file(&*self.io, &path, &bytes)?;
        let file = self.io.open(&path, OpenMode::ReadWrite)?;
        let len = bytes.len() as u64;
        Ok(ActiveFile { file, len, len_when_new: len, next_sequence: 2 })
    }
}

impl ActiveFile {
    fn is_oversized(&self) -> bool {
        self.len > REWRITE_BYTES_MIN.max(self.len_when_new.saturating_mul(REWRITE_FACTOR))
    }

    fn append(&mut self, payload: &[u8], generation: u64) -> Result<()> {
        let record = encode_record(payload, self.next_sequence, generation)?;
        self.file.write_all_at(self.len, &record)?;
        self.file.sync()?;
        self.len += record.len() as u64;
        self.next_sequence += 1;
        Ok(())
    }
}

/// A whole file that holds `state` as its only record.
pub(crate) fn encode_file(state: &ManifestState, generation: u64) -> Result<Vec<u8>> {
    let header = FileHeader { version: VERSION, file: generation, predecessor: 0, first: 1 };
    let mut bytes = header.to_bytes(FILE_MAGIC).to_vec();
    bytes.extend(encode_record(&encode_entries(&state.to_entries()), 1, generation)?);
    Ok(bytes)
}

fn encode_record(payload: &[u8], sequence: u64, generation: u64) -> Result<Vec<u8>> {
    let payload_len = u32::try_from(payload.len()).ok().filter(|len| *len <= FORMAT.payload_bytes_max);
    let payload_len = payload_len.ok_or_else(|| Error::invalid("too many tables and segments for one manifest"))?;
    let header = RecordHeader { payload_len, sequence, synced: sequence - 1, payload_crc: crc32c::crc32c(payload) };
    let mut record = header.to_bytes(FORMAT, generation).to_vec();
    record.extend_from_slice(payload);
    record.resize(RECORD_HEADER_BYTES + padded_len(payload.len()), 0);
    Ok(record)
}

/// The header of a file, checked.
pub(super) fn read_header(file: &dyn IoFile) -> Result<FileHeader> {
    let path = file.path();
    let mut header = [0; FileHeader::BYTES];
    if file.len()? < header.len() as u64 {
        return Err(Error::corruption(path, 0, "the file is shorter than its header"));
    }
    file.read_exact_at(0, &mut header)?;
    let header = FileHeader::from_bytes(&header, FILE_MAGIC)
        .ok_or_else(|| Error::corruption(path, 0, "the header is not that of a manifest"))?;
    if header.version != VERSION {
        let path = path.to_path_buf();
        return Err(Error::UnsupportedVersion { path, found: header.version, supported: VERSION });
    }
    Ok(header)
}

/// Reads a manifest without changing it.
pub(super) fn load(file: Arc<dyn IoFile>) -> Result<Loaded> {
    let path = file.path().to_path_buf();
    let header = read_header(&*file)?;
    let mut scanner = RecordScanner::new(file, FORMAT, header.file)?;
    let mut state = ManifestState::default();
    let mut end = FileHeader::BYTES as u64;
    let mut records = 0;
    let resume_at = loop {
        match scanner.at(end)? {
            Found::Record(record, payload) => {
                let fail = |reason: String| Error::corruption(&path, end, reason);
                if record.sequence != records + 1 {
                    return Err(fail(format!("record {} where {} is due", record.sequence, records + 1)));
                }
                for entry in decode_entries(payload).map_err(fail)? {
                    state.apply(&entry).map_err(fail)?;
                }
                end += record.record_len();
                records += 1;
            }
            Found::DamagedPayload(record) => break end + record.record_len(),
            Found::Damage => break end + 8,
            Found::End => break scanner.file_len(),
        }
    };
    // Every append is synced before the next, so only the last record can be torn. The first was never appended.
    if records == 0 || scanner.next_valid(resume_at)?.is_some() {
        return Err(Error::corruption(&path, end, format!("record {} is damaged", records + 1)));
    }
    Ok(Loaded { state, generation: header.file, records, end, file_len: scanner.file_len() })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
