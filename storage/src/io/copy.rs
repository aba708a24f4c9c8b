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
