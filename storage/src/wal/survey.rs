//! Reads a log without changing anything, for those who must know what is in it before it is replayed.
//!
//! Damage is passed over here: replay, and [`super::verify_file`], report it.

use std::path::Path;

use super::commit::decode_commit;
use super::file::{self, FORMAT, HEADER_BYTES};
use crate::error::Result;
use crate::framing::{Found, RecordScanner};
use crate::io::{Io, OpenMode};
use crate::types::{Lsn, SeriesBatch};

/// The last commit before the oldest file of a log: a flush has covered it, for only then is its file removed. `None`
/// when there is no log, or its oldest file does not say so any more.
pub(crate) fn last_lsn_before_log(io: &dyn Io, dir: &Path) -> Result<Option<Lsn>> {
    let Some(oldest) = (if io.exists(dir)? { file::list(io, dir)?.first().copied() } else { None }) else {
        return Ok(None);
    };
    let header = file::read_header(&*io.open(&file::path_of(dir, oldest), OpenMode::Read)?, oldest)?;
    Ok(header.map(|header| Lsn(header.predecessor)))
}

/// Gives every commit that can be read to `sink`.
pub(crate) fn read_commits(io: &dyn Io, dir: &Path, mut sink: impl FnMut(Lsn, &[SeriesBatch])) -> Result<()> {
    if !io.exists(dir)? {
        return Ok(());
    }
    for id in file::list(io, dir)? {
        let mut scanner = RecordScanner::new(io.open(&file::path_of(dir, id), OpenMode::Read)?, FORMAT, id.0)?;
        let mut offset = HEADER_BYTES;
        while let Some((start, header)) = scanner.next_valid(offset)? {
            offset = start + header.record_len();
            if let Found::Record(header, payload) = scanner.at(start)?
                && let Ok(batches) = decode_commit(payload)
            {
                sink(Lsn(header.sequence), &batches);
            }
        }
    }
    Ok(())
}
