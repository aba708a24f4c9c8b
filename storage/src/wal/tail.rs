//! Follows a log that another process writes: reads on from where a reader stands, and changes nothing.
//!
//! Invariant: commits are delivered whole, in LSN order and without a gap, or [`Followed::Lost`] says that the place was
//! lost and that the log must be read from the start. A record that is not whole ends the reading for now: it is being
//! written. The writer may append, begin files, cut the reserved rest of a file and remove files at any moment.

use std::path::Path;

use super::commit::decode_commit;
use super::file::{self, FORMAT, HEADER_BYTES};
use super::replay::{WalPosition, is_durable};
use crate::error::Result;
use crate::framing::{Found, RecordScanner};
use crate::io::{Io, OpenMode};
use crate::types::{Lsn, SeriesBatch, WalFileId};

/// How far following came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// Every record that is whole was delivered.
    UpToDate,
    /// Records between the place and what the log holds now are gone or damaged.
    Lost,
}

/// Delivers the commits behind `position`, with the file that each stands in, and moves the position along.
///
/// # Errors
/// Those of `sink` and of the file system; `NotFound` when the writer removed a file before it was opened.
pub(crate) fn follow(
    io: &dyn Io,
    dir: &Path,
    position: &mut WalPosition,
    mut sink: impl FnMut(WalFileId, Lsn, Vec<SeriesBatch>) -> Result<()>,
) -> Result<Followed> {
    loop {
        // Listed before the file is read: when a later one was there by then, the file holds all that it ever will.
        let next = file::list(io, dir)?.into_iter().find(|id| *id > position.file);
        let file = io.open(&file::path_of(dir, position.file), OpenMode::Read)?;
        let mut scanner = RecordScanner::new(file, FORMAT, position.file.0)?;
        if read_on(&mut scanner, position, next, &mut sink)? == Followed::Lost {
            return Ok(Followed::Lost);
        }
        let Some(next) = next else { return Ok(Followed::UpToDate) };
        let file = io.open(&file::path_of(dir, next), OpenMode::Read)?;
        match file::read_header(&*file, next)? {
            // It is being made; no record was written to it yet.
            None => return Ok(Followed::UpToDate),
            Some(header) if header.predecessor != position.last_lsn.0 => return Ok(Followed::Lost),
            Some(header) => {
                let last_lsn = Lsn(header.predecessor.max(header.first.saturating_sub(1)));
                *position = WalPosition { file: next, offset: HEADER_BYTES, last_lsn };
            }
        }
    }
}

/// Reads on in one file; `next` is the file behind it, if there is one.
fn read_on(
    scanner: &mut RecordScanner,
    position: &mut WalPosition,
    next: Option<WalFileId>,
    sink: &mut impl FnMut(WalFileId, Lsn, Vec<SeriesBatch>) -> Result<()>,
) -> Result<Followed> {
    let mut looked_again_at = None;
    while !scanner.is_unwritten(position.offset)? {
        let due = position.last_lsn.next();
        let resume_at = match scanner.at(position.offset)? {
            Found::Record(header, payload) => {
                let Ok(commit) = decode_commit(payload) else { return Ok(Followed::Lost) };
                if header.sequence != due.0 {
                    return Ok(Followed::Lost);
                }
                sink(position.file, due, commit)?;
                position.offset += header.record_len();
                position.last_lsn = due;
                continue;
            }
            Found::End => break,
            Found::DamagedPayload(header) => position.offset + header.record_len(),
            Found::Damage => position.offset + 8,
        };
        if next.is_none() && !is_durable(scanner, resume_at, due.0)? {
            break;
        }
        if looked_again_at == Some(position.offset) {
            return Ok(Followed::Lost);
        }
        // It was read while it was written, and is whole by now.
        looked_again_at = Some(position.offset);
        scanner.look_anew()?;
    }
    Ok(Followed::UpToDate)
}

/// Makes durable what was read up to a position, whoever wrote it. Files before that of the position are durable: each
/// was synced before the next was made.
///
/// # Errors
/// `Io`. A file system that cannot be written to has nothing to sync.
pub(crate) fn sync_up_to(io: &dyn Io, dir: &Path, position: WalPosition) -> Result<()> {
    use std::io::ErrorKind::{InvalidInput, ReadOnlyFilesystem, Unsupported};
    let file = io.open(&file::path_of(dir, position.file), OpenMode::Read)?;
    match file.sync() {
        Err(crate::Error::Io { source, .. })
            if matches!(source.kind(), InvalidInput | ReadOnlyFilesystem | Unsupported) =>
        {
            Ok(())
        }
        done => done,
    }
}
