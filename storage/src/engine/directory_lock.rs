//! The lock of a database directory: one writer. Its file says which process holds it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::{Io, IoLock, OpenMode};

/// The digits of a process id and a line end are no more.
const BYTES_MAX: u64 = 16;

/// Takes the lock and says in the file who has it.
///
/// # Errors
/// `Locked`, with the process that holds it when it said so; `Io`.
pub(super) fn take(io: &dyn Io, path: &Path) -> Result<Box<dyn IoLock>> {
    match io.lock(path) {
        Ok(lock) => {
            // For messages of others only: a full disk must not stop the open.
            if let Err(error) = lock.replace_content(format!("{}\n", std::process::id()).as_bytes()) {
                tracing::debug!(%error, "the lock file does not name this process");
            }
            Ok(lock)
        }
        Err(Error::Locked { path, .. }) => {
            let holder = named_process(io, &path);
            Err(Error::Locked { path, holder })
        }
        Err(error) => Err(error),
    }
}

/// Gives the lock free, and takes the name of this process away.
pub(super) fn release(lock: Box<dyn IoLock>) {
    if let Err(error) = lock.replace_content(b"") {
        tracing::debug!(%error, "the lock file still names this process");
    }
}

/// The process that the lock file names, whether or not it still holds the lock.
pub(super) fn named_process(io: &dyn Io, path: &Path) -> Option<u32> {
    let file = io.open(path, OpenMode::Read).ok()?;
    let len = file.len().ok().filter(|len| *len <= BYTES_MAX)?;
    let mut text = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(0, &mut text).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}
