//! Follows a manifest that another process writes, without changing it.
//!
//! Invariant: the state is that of a record that the file holds whole, and every record before it is applied. The writer
//! may append, or rename a new file over the old one, at any moment: a record that is not whole is not there yet, and a
//! file of another first record is read from its start. A record counts when it is whole, a moment before the writer's
//! sync returns; a power cut may still take it back, and then the rows that it speaks of are in the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::edit::decode_entries;
use super::log::{FILE_NAME, FORMAT, load, read_header};
use super::state::ManifestState;
use crate::error::{Error, Result};
use crate::framing::{FileHeader, Found, RECORD_HEADER_BYTES, RecordHeader, RecordScanner};
use crate::io::{Io, IoFile, OpenMode};

/// What reading on found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing new.
    Unchanged,
    /// A later state of the same database.
    Advanced,
    /// A state that does not follow the one before: somebody put another database into the directory.
    Replaced,
}

/// A manifest, open for reading.
#[derive(Debug)]
pub(crate) struct ManifestReader {
    io: Arc<dyn Io>,
    path: PathBuf,
    place: Place,
    state: ManifestState,
}

/// What was read of which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    generation: u64,
    /// Tells two files of one generation apart: a rename whose directory sync failed is followed by another.
    first_record: RecordHeader,
    end: u64,
    records: u64,
}

impl ManifestReader {
    /// Reads the manifest of a database directory.
    ///
    /// # Errors
    /// `InvalidInput` when there is none; `Corruption`; `UnsupportedVersion`.
    pub(crate) fn open(io: Arc<dyn Io>, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        if !io.exists(&path)? {
            return Err(Error::invalid(format!("{} holds no database: it has no {FILE_NAME}", dir.display())));
        }
        let (place, state) = read_whole(&*io, &path)?;
        Ok(Self { io, path, place, state })
    }

    /// What the manifest adds up to.
    pub(crate) fn state(&self) -> &ManifestState {
        &self.state
    }

    /// Names the version: generation of the file and number of its records.
    pub(crate) fn version(&self) -> (u64, u64) {
        (self.place.generation, self.place.records)
    }

    /// Reads what was written since.
    ///
    /// # Errors
    /// As [`ManifestReader::open`]; the state is the one before.
    pub(crate) fn read_on(&mut self) -> Result<Reading> {
        let mut scanner = match self.same_file()? {
            Some(scanner) => scanner,
            None => return self.read_anew(),
        };
        let (mut state, mut place) = (self.state.clone(), self.place);
        let resume_at = loop {
            match scanner.at(place.end)? {
                Found::Record(record, payload) => {
                    let fail = |reason: String| Error::corruption(&self.path, place.end, reason);
                    if record.sequence != place.records + 1 {
                        return Err(fail(format!("record {} where {} is due", record.sequence, place.records + 1)));
                    }
                    for entry in decode_entries(payload).map_err(fail)? {
                        state.apply(&entry).map_err(fail)?;
                    }
                    place.end += record.record_len();
                    place.records += 1;
                }
                Found::End => break None,
                Found::DamagedPayload(record) => break Some(place.end + record.record_len()),
                Found::Damage => break Some(place.end + 8),
            }
        };
        if let Some(resume_at) = resume_at
            && scanner.next_valid(resume_at)?.is_some()
        {
            // Damage, or it was read while it was written: a read from the start tells.
            return self.read_anew();
        }
        if place == self.place {
            return Ok(Reading::Unchanged);
        }
        (self.state, self.place) = (state, place);
        Ok(Reading::Advanced)
    }

    /// Whether nothing was written since.
    pub(crate) fn is_current(&self) -> Result<bool> {
        match self.same_file()? {
            Some(mut scanner) => Ok(!matches!(scanner.at(self.place.end)?, Found::Record(..))),
            None => Ok(false),
        }
    }

    fn read_anew(&mut self) -> Result<Reading> {
        let (place, state) = read_whole(&*self.io, &self.path)?;
        let follows = state.flushed_lsn >= self.state.flushed_lsn
            && state.next_table_id >= self.state.next_table_id
            && state.next_segment_id >= self.state.next_segment_id
            && state
                .segments
                .iter()
                .all(|(id, meta)| self.state.segments.get(id).is_none_or(|old| old.file_len == meta.file_len));
        (self.place, self.state) = (place, state);
        Ok(if follows { Reading::Advanced } else { Reading::Replaced })
    }

    /// The file when it is the one that was read before.
    fn same_file(&self) -> Result<Option<RecordScanner>> {
        let file = self.io.open(&self.path, OpenMode::Read)?;
        let header = read_header(&*file)?;
        let is_same = header.file == self.place.generation
            && file.len()? >= self.place.end
            && first_record(&*file, header.file)? == Some(self.place.first_record);
        if is_same { RecordScanner::new(file, FORMAT, header.file).map(Some) } else { Ok(None) }
    }
}

/// The header alone: the first record may be long, and it is looked at often.
fn first_record(file: &dyn IoFile, generation: u64) -> Result<Option<RecordHeader>> {
    let mut bytes = [0; RECORD_HEADER_BYTES];
    if file.len()? < (FileHeader::BYTES + bytes.len()) as u64 {
        return Ok(None);
    }
    file.read_exact_at(FileHeader::BYTES as u64, &mut bytes)?;
    Ok(RecordHeader::from_bytes(&bytes, FORMAT, generation))
}

fn read_whole(io: &dyn Io, path: &Path) -> Result<(Place, ManifestState)> {
    let read = || -> Result<(Place, ManifestState)> {
        let file: Arc<dyn IoFile> = io.open(path, OpenMode::Read)?;
        let loaded = load(Arc::clone(&file))?;
        let first_record = first_record(&*file, loaded.generation)?;
        let first_record = first_record.ok_or_else(|| Error::corruption(path, 0, "the first record is gone"))?;
        let place = Place { generation: loaded.generation, first_record, end: loaded.end, records: loaded.records };
        Ok((place, loaded.state))
    };
    match read() {
        // A record may have been read while it was written, and the one behind it after that. It is whole by now.
        Err(Error::Corruption { .. }) => read(),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::SimIo;
    use crate::manifest::{Manifest, ManifestEdit};
    use crate::types::{Lsn, TableId, TableSchema, TableSpec};

    fn create(id: u64) -> ManifestEdit {
        let spec = TableSpec::new(format!("t{id}"));
        ManifestEdit::CreateTable(TableSchema::from_spec(TableId(id), &spec).unwrap())
    }

    #[test]
    fn a_reader_follows_appends_and_files_written_anew() {
        let io: Arc<dyn Io> = Arc::new(SimIo::new());
        let dir = Path::new("/db");
        let (mut writer, _) = Manifest::open(Arc::clone(&io), dir).unwrap();
        let mut reader = ManifestReader::open(Arc::clone(&io), dir).unwrap();
        for id in 1..200 {
            assert_eq!(reader.read_on().unwrap(), Reading::Unchanged);
            assert!(reader.is_current().unwrap());
            writer.append(&[create(id), ManifestEdit::FlushedLsn(Lsn(id))]).unwrap();
            assert!(!reader.is_current().unwrap());
            if id % 50 == 0 {
                // An open after appends writes the file anew.
                drop(writer);
                writer = Manifest::open(Arc::clone(&io), dir).unwrap().0;
            }
            assert_eq!(reader.read_on().unwrap(), Reading::Advanced);
            assert_eq!(reader.state(), writer.state());
        }
    }

    #[test]
    fn a_record_that_is_half_written_is_not_there_yet() {
        let io = SimIo::new();
        let dir = Path::new("/db");
        let (mut writer, _) = Manifest::open(Arc::new(io.clone()), dir).unwrap();
        let mut reader = ManifestReader::open(Arc::new(io.clone()), dir).unwrap();
        writer.append(&[create(1)]).unwrap();
        let path = dir.join(FILE_NAME);
        let whole = io.content(&path).unwrap();
        for cut in 1..30 {
            io.damage(&path, |bytes| bytes.truncate(whole.len() - cut));
            assert_eq!(reader.read_on().unwrap(), Reading::Unchanged, "{cut}");
        }
        io.damage(&path, |bytes| *bytes = whole);
        assert_eq!(reader.read_on().unwrap(), Reading::Advanced);
    }

    #[test]
    fn another_database_in_the_same_place_is_noticed() {
        let io = SimIo::new();
        let (here, there) = (Path::new("/db"), Path::new("/other"));
        let (mut writer, _) = Manifest::open(Arc::new(io.clone()), here).unwrap();
        writer.append(&[create(1), ManifestEdit::FlushedLsn(Lsn(9))]).unwrap();
        let mut reader = ManifestReader::open(Arc::new(io.clone()), here).unwrap();
        Manifest::open(Arc::new(io.clone()), there).unwrap();
        io.rename(&there.join(FILE_NAME), &here.join(FILE_NAME)).unwrap();
        assert_eq!(reader.read_on().unwrap(), Reading::Replaced);
        assert_eq!(reader.state().flushed_lsn, Lsn(0));
    }
}
