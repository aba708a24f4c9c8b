//! Copies of files that must outlive their originals, and the errors that say that a disk does not give bytes back.

use std::path::{Path, PathBuf};

use super::{Io, OpenMode, create_dir_synced};
use crate::error::{Error, Result};

/// One step of a copy.
const COPY_BYTES: usize = 1 << 20;

/// Tells an error of the medium, which concerns some bytes for good, from one of the call.
pub(crate) trait MediaError {
    /// Whether the device or the file system cannot give back bytes that it holds.
    fn is_media_error(&self) -> bool;
}

impl MediaError for Error {
    fn is_media_error(&self) -> bool {
        // What Linux returns for a sector that cannot be read, by device, and for one that fails a checksum below.
        #[cfg(target_os = "linux")]
        const CODES: [i32; 5] = [libc::EIO, libc::ENODATA, libc::EREMOTEIO, libc::EBADMSG, libc::EILSEQ];
        #[cfg(not(target_os = "linux"))]
        const CODES: [i32; 1] = [libc::EIO];
        matches!(self, Self::Io { source, .. } if source.raw_os_error().is_some_and(|code| CODES.contains(&code)))
    }
}

/// Copies a file to `target`, in a directory that is made when missing; the copy is durable under its name, or not
/// there.
///
/// A crash leaves `target` with the extension `tmp`, which the next call replaces.
///
/// # Errors
/// `Io`, also when a part of the source cannot be read.
pub(crate) fn copy_file(io: &dyn Io, path: &Path, target: &Path) -> Result<()> {
    let dir = target.parent().unwrap_or(Path::new(""));
    create_dir_synced(io, dir)?;
    let temporary = target.with_extension("tmp");
    if io.exists(&temporary)? {
        io.remove(&temporary)?;
    }
    let source = io.open(path, OpenMode::Read)?;
    let copy = io.open(&temporary, OpenMode::CreateNew)?;
    let (mut offset, len) = (0, source.len()?);
    let mut buffer = Vec::new();
    while offset < len {
        buffer.resize(usize::try_from(len - offset).unwrap_or(usize::MAX).min(COPY_BYTES), 0);
        source.read_exact_at(offset, &mut buffer)?;
        copy.write_all_at(offset, &buffer)?;
        offset += buffer.len() as u64;
    }
    copy.sync()?;
    io.rename(&temporary, target)?;
    io.sync_dir(dir)
}

/// Copies a file to `dir` unless a copy of what it holds now is there already. Returns where the copy is.
///
/// # Errors
/// As of [`copy_file`].
pub(crate) fn copy_once(io: &dyn Io, path: &Path, dir: &Path) -> Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("unnamed");
    let mut target = dir.join(name);
    let mut number = 1;
    while io.exists(&target)? {
        if is_same(io, path, &target)? {
            return Ok(target);
        }
        number += 1;
        target = dir.join(format!("{name}.{number}"));
    }
    copy_file(io, path, &target)?;
    Ok(target)
}

fn is_same(io: &dyn Io, one: &Path, other: &Path) -> Result<bool> {
    let (one, other) = (io.open(one, OpenMode::Read)?, io.open(other, OpenMode::Read)?);
    let len = one.len()?;
    if other.len()? != len {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut offset = 0;
    while offset < len {
        let step = usize::try_from(len - offset).unwrap_or(usize::MAX).min(COPY_BYTES);
        left.resize(step, 0);
        right.resize(step, 0);
        one.read_exact_at(offset, &mut left)?;
        other.read_exact_at(offset, &mut right)?;
        if left != right {
            return Ok(false);
        }
        offset += step as u64;
    }
    Ok(true)
}

/// `name` in `dir`, with a number behind it when the name is taken: what is in quarantine is never replaced.
pub(crate) fn free_name(io: &dyn Io, dir: &Path, name: &str) -> Result<PathBuf> {
    let mut path = dir.join(name);
    let mut number = 1;
    while io.exists(&path)? {
        number += 1;
        path = dir.join(format!("{name}.{number}"));
    }
    Ok(path)
}
