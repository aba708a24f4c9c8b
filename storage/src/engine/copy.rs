//! Copies and checksums of whole files, in steps of bounded size.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::io::{Io, IoFile, OpenMode};

const STEP_BYTES: u64 = 1 << 20;

/// Writes the first `len` bytes of `from` as a new file and syncs it; its name is not durable yet. Returns their CRC32C.
pub(super) fn copy_file(io: &dyn Io, from: &dyn IoFile, len: u64, to: &Path) -> Result<u32> {
    if io.exists(to)? {
        io.remove(to)?;
    }
    let copy = io.open(to, OpenMode::CreateNew)?;
    let crc = for_each_step(from, len, |offset, bytes| copy.write_all_at(offset, bytes))?;
    copy.sync()?;
    Ok(crc)
}

/// The CRC32C of the first `len` bytes.
pub(super) fn checksum(file: &dyn IoFile, len: u64) -> Result<u32> {
    for_each_step(file, len, |_, _| Ok(()))
}

/// The path of a file while it is made.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn for_each_step(file: &dyn IoFile, len: u64, mut step: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<u32> {
    let mut buffer = Vec::new();
    let (mut offset, mut crc) = (0, 0);
    while offset < len {
        buffer.resize(usize::try_from((len - offset).min(STEP_BYTES)).expect("a step is small"), 0);
        file.read_exact_at(offset, &mut buffer)?;
        crc = crc32c::crc32c_append(crc, &buffer);
        step(offset, &buffer)?;
        offset += buffer.len() as u64;
    }
    Ok(crc)
}
