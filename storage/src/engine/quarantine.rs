//! Moves files out of the database without losing them.
//!
//! Invariant: what is in `quarantine/` is never replaced, and a file is at its old place or there, whatever crashes.

use std::path::{Path, PathBuf};

use super::database_dir::DatabaseDir;
use crate::error::Result;
use crate::io::{Io, copy_file, create_dir_synced, free_name};

/// Moves a file to `quarantine/`; needs no space. Returns where it is.
pub(super) fn set_aside(io: &dyn Io, dir: &DatabaseDir, path: &Path) -> Result<PathBuf> {
    let quarantine = dir.quarantine();
    create_dir_synced(io, &quarantine)?;
    let kept = free_name(io, &quarantine, file_name(path))?;
    io.rename(path, &kept)?;
    io.sync_dir(&quarantine)?;
    path.parent().map_or(Ok(()), |parent| io.sync_dir(parent))?;
    Ok(kept)
}

/// Where the file that had this path was moved last, if it was.
pub(super) fn last_set_aside(io: &dyn Io, dir: &DatabaseDir, path: &Path) -> Result<Option<PathBuf>> {
    let name = file_name(path);
    let next = free_name(io, &dir.quarantine(), name)?;
    let mut last = None;
    let mut number = 1;
    let mut kept = dir.quarantine().join(name);
    while kept != next {
        last = Some(kept);
        number += 1;
        kept = dir.quarantine().join(format!("{name}.{number}"));
    }
    Ok(last)
}

/// Copies a file to `quarantine/`. Returns where the copy is.
pub(super) fn copy(io: &dyn Io, dir: &DatabaseDir, path: &Path) -> Result<PathBuf> {
    let quarantine = dir.quarantine();
    create_dir_synced(io, &quarantine)?;
    let kept = free_name(io, &quarantine, file_name(path))?;
    copy_file(io, path, &kept)?;
    Ok(kept)
}

fn file_name(path: &Path) -> &str {
    // This crate names its files in ASCII.
    path.file_name().and_then(|name| name.to_str()).unwrap_or("unnamed")
}
