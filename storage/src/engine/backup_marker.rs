//! The marker that makes a directory a complete backup: which files belong to it, with their lengths and checksums.
//!
//! Bytes: `docs/format/backup.md`. Decoding is for untrusted bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::database_dir::DatabaseDir;
use crate::error::{Error, Result};
use crate::framing::{ByteReader, ByteWriter};
use crate::io::{Io, OpenMode};
use crate::types::{Lsn, SegmentId, WalFileId};
use crate::wal::wal_file_name;

const MAGIC: [u8; 8] = *b"LYNXBAK\0";
const VERSION: u32 = 1;
/// A longer file is no marker.
const BYTES_MAX: u64 = 1 << 30;

const MANIFEST: u8 = 1;
const SEGMENT: u8 = 2;
const WAL: u8 = 3;

/// A file of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BackupFile {
    Manifest,
    Segment(SegmentId),
    Wal(WalFileId),
}

impl BackupFile {
    /// Where it stands in a directory, which is the same in a database and in its backup.
    pub(super) fn path(self, dir: &DatabaseDir) -> PathBuf {
        match self {
            Self::Manifest => dir.manifest(),
            Self::Segment(id) => dir.segment(id),
            Self::Wal(id) => dir.wal().join(wal_file_name(id)),
        }
    }
}

/// Length and CRC32C of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSum {
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BackupMarker {
    /// The last commit in it.
    pub(super) lsn: Lsn,
    pub(super) files: BTreeMap<BackupFile, FileSum>,
}

impl BackupMarker {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::default();
        out.bytes.extend_from_slice(&MAGIC);
        out.u32(VERSION);
        out.u64(self.lsn.0);
        out.u64(self.files.len() as u64);
        for (file, sum) in &self.files {
            let (kind, id) = match file {
                BackupFile::Manifest => (MANIFEST, 0),
                BackupFile::Segment(id) => (SEGMENT, id.0),
                BackupFile::Wal(id) => (WAL, id.0),
            };
            out.u8(kind);
            out.u64(id);
            out.u64(sum.len);
            out.u32(sum.crc);
        }
        out.u32(crc32c::crc32c(&out.bytes));
        out.bytes
    }

    /// Reads a marker.
    ///
    /// # Errors
    /// `Io`; `Corruption`; `UnsupportedVersion`.
    pub(super) fn read(io: &dyn Io, path: &Path) -> Result<Self> {
        let file = io.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len > BYTES_MAX {
            return Err(Error::corruption(path, 0, format!("{len} bytes are too long for the marker of a backup")));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        file.read_exact_at(0, &mut bytes)?;
        let damaged = |reason: &str| Error::corruption(path, 0, reason);
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("the marker is cut"))?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
            return Err(damaged("the marker does not match its checksum"));
        }
        let mut reader = ByteReader::new(body);
        if reader.take(8) != Some(&MAGIC[..]) {
            return Err(damaged("the file is no marker of a backup"));
        }
        let version = reader.u32().ok_or_else(|| damaged("the marker is cut"))?;
        if version != VERSION {
            return Err(Error::UnsupportedVersion { path: path.to_path_buf(), found: version, supported: VERSION });
        }
        decode(&mut reader).ok_or_else(|| damaged("the marker is malformed"))
    }
}

fn decode(reader: &mut ByteReader<'_>) -> Option<BackupMarker> {
    let lsn = Lsn(reader.u64()?);
    let mut files = BTreeMap::new();
    for _ in 0..reader.u64()? {
        let file = match (reader.u8()?, reader.u64()?) {
            (MANIFEST, 0) => BackupFile::Manifest,
            (SEGMENT, id) => BackupFile::Segment(SegmentId(id)),
            (WAL, id) => BackupFile::Wal(WalFileId(id)),
            _ => return None,
        };
        let sum = FileSum { len: reader.u64()?, crc: reader.u32()? };
        if files.insert(file, sum).is_some() {
            return None;
        }
    }
    (reader.remaining() == 0).then_some(BackupMarker { lsn, files })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::replace_file;
    use crate::io::sim::SimIo;

    #[test]
    fn a_marker_round_trips_and_every_flipped_bit_and_cut_is_found() {
        let io = SimIo::new();
        let path = Path::new("/backup/BACKUP");
        io.create_dir_all(path.parent().unwrap()).unwrap();
        let files = [BackupFile::Manifest, BackupFile::Segment(SegmentId(7)), BackupFile::Wal(WalFileId(9))];
        let files = files.into_iter().zip(1..).map(|(file, n)| (file, FileSum { len: u64::from(n), crc: n })).collect();
        let marker = BackupMarker { lsn: Lsn(5), files };
        let whole = marker.to_bytes();
        assert_eq!(whole, include_bytes!("../../../testdata/compat/v1/BACKUP"), "version 1 stays as it is");
        replace_file(&io, path, &whole).unwrap();
        assert_eq!(BackupMarker::read(&io, path).unwrap(), marker);
        for bit in 0..whole.len() * 8 {
            io.damage(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            assert!(matches!(BackupMarker::read(&io, path), Err(Error::Corruption { .. })), "{bit}");
            io.damage(path, |bytes| *bytes = whole.clone());
        }
        for len in 0..whole.len() {
            io.damage(path, |bytes| bytes.truncate(len));
            assert!(matches!(BackupMarker::read(&io, path), Err(Error::Corruption { .. })), "{len}");
            io.damage(path, |bytes| *bytes = whole.clone());
        }
    }
}
