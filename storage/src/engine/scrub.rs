//! Which damage of segments is known now, and the check that looks for more.
//!
//! There is no register to keep in step: an open segment remembers what its readers found, the current version has those
//! that could not be opened. A segment that leaves the database takes its damages along. A scrub runs beside reads and
//! writes; it pins the segments that it checks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::core::Core;
use super::database_dir::DatabaseDir;
use crate::error::{Error, Result};
use crate::io::{Io, MediaError, OpenMode};
use crate::segment::FoundBy;
use crate::snapshot::Version;
use crate::types::{SegmentId, TableId, TimeRange};

/// One read of a file that is scrubbed.
const READ_BYTES: u64 = 1 << 20;

/// A damage of a segment that is part of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The segment.
    pub segment: SegmentId,
    /// Its file.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// Tables that have rows there.
    pub tables: Vec<TableId>,
    /// Times of these rows.
    pub time_range: TimeRange,
    /// What was expected and what was found.
    pub reason: String,
    /// Who found it first.
    pub found_by: FoundBy,
}

/// What a scrub did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Segments that were checked.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Those that are damaged; what is damaged in them is among the known damages now.
    pub damaged: Vec<SegmentId>,
}

/// Every damage of segments of a version that is known.
pub(super) fn corruption(version: &Version, dir: &DatabaseDir) -> Vec<Corruption> {
    let mut known = Vec::new();
    for (id, damage) in &version.damaged {
        for (table, time_range) in &damage.sections {
            known.push(Corruption {
                segment: *id,
                path: damage.path.clone(),
                offset: damage.offset,
                tables: vec![*table],
                time_range: *time_range,
                reason: damage.reason.clone(),
                found_by: FoundBy::Open,
            });
        }
    }
    for (id, segment) in &version.segments {
        for damage in segment.known_damages() {
            let rows = segment.rows_at(damage.offset);
            known.push(Corruption {
                segment: *id,
                path: dir.segment(*id),
                offset: damage.offset,
                tables: rows.tables,
                time_range: rows.time_range,
                reason: damage.reason,
                found_by: damage.found_by,
            });
        }
    }
    known
}

impl Core {
    /// Checks every byte of every segment.
    pub(super) fn scrub(&self) -> Result<ScrubReport> {
        let version = self.store.memtables.version();
        let mut report = ScrubReport::default();
        for (id, segment) in &version.segments {
            // Not for the whole scrub: a close need not wait for more than one segment.
            let _open = self.stay_open()?;
            report.segments += 1;
            report.bytes += segment.file_len();
            let path = self.store.dir.segment(*id);
            let is_damaged = match unreadable_part(&self.store.io, &path, segment.file_len())? {
                Some((offset, error)) => {
                    segment.remember_unreadable(offset, &error);
                    true
                }
                None => !segment.scrub()?.is_empty(),
            };
            if is_damaged {
                report.damaged.push(*id);
            }
        }
        Ok(report)
    }
}

/// Reads a file as a file: the first part of it that the disk does not give back, with the error. Touching such a part of
/// a mapped file would end the process.
pub(super) fn unreadable_part(io: &Arc<dyn Io>, path: &Path, file_len: u64) -> Result<Option<(u64, Error)>> {
    let file = match io.open(path, OpenMode::Read) {
        Ok(file) => file,
        // Removed meanwhile: the segment left the database, and its pages are still mapped.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut offset = 0;
    let mut buffer = Vec::new();
    while offset < file_len {
        let len = READ_BYTES.min(file_len - offset);
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        match file.read_exact_at(offset, &mut buffer) {
            Err(error) if error.is_media_error() => return Ok(Some((offset, error))),
            other => other?,
        }
        offset += len;
    }
    Ok(None)
}
