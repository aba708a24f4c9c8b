//! Leases: a reader of another process says which segments must stay.
//!
//! A lease is a file in `leases/` that its reader keeps locked. Before a writer removes a segment that the manifest names
//! no more, it reads the leases that are locked. A lock ends with its process, so the lease of a reader that crashed is
//! found unlocked, and removed.
//!
//! Invariant: a segment that a live lease names keeps its file. A reader names segments, and only then looks whether the
//! manifest still does; the writer removes them from the manifest, and only then looks for leases. So one of them sees
//! the other. A lease that cannot be read, because it is being written, names every segment.
//!
//! Bytes: `docs/format/lease.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::database_dir::DatabaseDir;
use crate::error::{Error, Result};
use crate::framing::{ByteReader, ByteWriter};
use crate::io::{Io, IoLock, OpenMode};
use crate::types::{Lsn, SegmentId};

const MAGIC: [u8; 8] = *b"LYNXLEA\0";
const VERSION: u32 = 1;
/// A longer file is no lease.
const BYTES_MAX: u64 = 1 << 30;
/// So many numbers are tried; each miss is another reader that came first.
const ATTEMPTS_MAX: u32 = 1_000;

/// Tells the leases of one process apart.
static LEASES_TAKEN: AtomicU64 = AtomicU64::new(0);

/// What a reader pins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LeaseContent {
    pub(super) process: u32,
    /// Counts the leases of the process, so that no two leases on a machine have the same content.
    pub(super) serial: u64,
    /// Generation and number of records of the manifest that was read.
    pub(super) manifest: (u64, u64),
    pub(super) flushed_lsn: Lsn,
    pub(super) segments: BTreeSet<SegmentId>,
}

impl LeaseContent {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::default();
        out.bytes.extend_from_slice(&MAGIC);
        out.u32(VERSION);
        out.u32(self.process);
        out.u64(self.serial);
        out.u64(self.manifest.0);
        out.u64(self.manifest.1);
        out.u64(self.flushed_lsn.0);
        out.u64(self.segments.len() as u64);
        self.segments.iter().for_each(|id| out.u64(id.0));
        out.u32(crc32c::crc32c(&out.bytes));
        out.bytes
    }

    /// `None` for anything but a whole lease of this version.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
            return None;
        }
        let mut reader = ByteReader::new(body);
        if reader.take(8)? != MAGIC || reader.u32()? != VERSION {
            return None;
        }
        let (process, serial) = (reader.u32()?, reader.u64()?);
        let manifest = (reader.u64()?, reader.u64()?);
        let flushed_lsn = Lsn(reader.u64()?);
        let mut segments = BTreeSet::new();
        for _ in 0..reader.u64()? {
            segments.insert(SegmentId(reader.u64()?));
        }
        (reader.remaining() == 0).then_some(Self { process, serial, manifest, flushed_lsn, segments })
    }
}

/// The lease of a reader in this process; dropping it gives everything free.
#[derive(Debug)]
pub(super) struct Lease {
    io: Arc<dyn Io>,
    path: PathBuf,
    lock: Box<dyn IoLock>,
    serial: u64,
}

impl Lease {
    /// Takes a lease on a database.
    ///
    /// # Errors
    /// `Io` where nothing can be written.
    pub(super) fn take(io: Arc<dyn Io>, dir: &DatabaseDir, mut content: LeaseContent) -> Result<Self> {
        if !io.exists(&dir.leases())? {
            io.create_dir_all(&dir.leases())?;
        }
        let numbers = io.list(&dir.leases())?.iter().filter_map(|name| number_of(name)).max();
        let first = numbers.map_or(1, |number| number.saturating_add(1));
        content.serial = next_serial();
        for number in first..first.saturating_add(u64::from(ATTEMPTS_MAX)) {
            let path = dir.leases().join(number.to_string());
            let lock = match io.lock(&path) {
                Ok(lock) => lock,
                Err(Error::Locked { .. }) => continue,
                Err(error) => return Err(error),
            };
            if owns_name(&*io, &path, &*lock, &content)? {
                return Ok(Self { io, path, lock, serial: content.serial });
            }
        }
        Err(Error::Changing { path: dir.leases(), attempts: ATTEMPTS_MAX })
    }

    /// Names other segments from now on. Until it returns, those of before or all of them are pinned.
    pub(super) fn pin(&self, mut content: LeaseContent) -> Result<()> {
        content.serial = self.serial;
        self.lock.replace_content(&content.to_bytes())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Still locked, so that nobody else can have taken the number.
        if let Err(error) = self.io.remove(&self.path) {
            tracing::debug!(%error, "a lease stays until the next writer removes it");
        }
    }
}

/// What live leases pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pins {
    /// Every segment: a lease could not be read.
    All,
    /// These.
    Segments(BTreeSet<SegmentId>),
}

impl Pins {
    pub(super) fn contains(&self, id: SegmentId) -> bool {
        match self {
            Self::All => true,
            Self::Segments(segments) => segments.contains(&id),
        }
    }
}

/// Reads the leases that are held, and removes those that are not. Only for the writer of the database.
pub(super) fn live_pins(io: &dyn Io, dir: &DatabaseDir) -> Pins {
    match collect_pins(io, dir) {
        Ok(pins) => pins,
        Err(error) => {
            tracing::warn!(%error, "leases cannot be read; obsolete segments stay");
            Pins::All
        }
    }
}

fn collect_pins(io: &dyn Io, dir: &DatabaseDir) -> Result<Pins> {
    let mut pinned = BTreeSet::new();
    if !io.exists(&dir.leases())? {
        return Ok(Pins::Segments(pinned));
    }
    for name in io.list(&dir.leases())? {
        let path = dir.leases().join(&name);
        if number_of(&name).is_none() {
            continue;
        }
        match io.lock(&path) {
            // Nobody holds it. It is removed under the lock, so that a reader that takes it now notices.
            Ok(stale) => {
                let mark =
                    LeaseContent { process: std::process::id(), serial: next_serial(), ..LeaseContent::default() };
                if owns_name(io, &path, &*stale, &mark)? {
                    io.remove(&path)?;
                } else {
                    // Its reader went while we looked, and another one has its number now.
                    return Ok(Pins::All);
                }
            }
            Err(Error::Locked { .. }) => match read(io, &path)? {
                Some(content) => pinned.extend(content.segments),
                None => return Ok(Pins::All),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(Pins::Segments(pinned))
}

/// Writes `content` to a file that is locked, and says whether the name still leads to that file: others may have removed
/// it between its open and its lock.
fn owns_name(io: &dyn Io, path: &Path, lock: &dyn IoLock, content: &LeaseContent) -> Result<bool> {
    lock.replace_content(&content.to_bytes())?;
    Ok(read(io, path)?.as_ref() == Some(content))
}

fn next_serial() -> u64 {
    LEASES_TAKEN.fetch_add(1, Ordering::Relaxed)
}

/// The content of a lease; `None` when it is not whole, or gone.
fn read(io: &dyn Io, path: &Path) -> Result<Option<LeaseContent>> {
    let file = match io.open(path, OpenMode::Read) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let len = file.len()?;
    if len > BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    match file.read_exact_at(0, &mut bytes) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        done => done.map(|()| LeaseContent::from_bytes(&bytes)),
    }
}

fn number_of(name: &str) -> Option<u64> {
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::RealIo;
    use crate::io::sim::{CrashModel, SimIo};

    fn content(ids: &[u64]) -> LeaseContent {
        LeaseContent {
            process: 7,
            manifest: (1, 2),
            flushed_lsn: Lsn(3),
            segments: ids.iter().map(|id| SegmentId(*id)).collect(),
            ..LeaseContent::default()
        }
    }

    fn pinned(ids: &[u64]) -> Pins {
        Pins::Segments(content(ids).segments)
    }

    #[test]
    fn a_lease_of_version_1_stays_as_it_is() {
        let golden = include_bytes!("../../../testdata/compat/v1/lease");
        assert_eq!(content(&[1, 2]).to_bytes(), golden);
        assert_eq!(LeaseContent::from_bytes(golden), Some(content(&[1, 2])));
    }

    #[test]
    fn a_lease_pins_until_it_is_dropped() {
        let scratch = tempfile::tempdir().unwrap();
        for (io, root) in
            [(Arc::new(SimIo::new()) as Arc<dyn Io>, Path::new("/db")), (Arc::new(RealIo), scratch.path())]
        {
            let dir = DatabaseDir::new(root);
            io.create_dir_all(root).unwrap();
            assert_eq!(live_pins(&*io, &dir), pinned(&[]));
            let first = Lease::take(Arc::clone(&io), &dir, content(&[1, 2])).unwrap();
            let second = Lease::take(Arc::clone(&io), &dir, content(&[2, 3])).unwrap();
            assert_eq!(live_pins(&*io, &dir), pinned(&[1, 2, 3]));
            second.pin(content(&[9])).unwrap();
            assert_eq!(live_pins(&*io, &dir), pinned(&[1, 2, 9]));
            drop(first);
            assert_eq!(live_pins(&*io, &dir), pinned(&[9]));
            drop(second);
            assert_eq!(live_pins(&*io, &dir), pinned(&[]));
            assert!(io.list(&dir.leases()).unwrap().is_empty());
        }
    }

    #[test]
    fn the_lease_of_a_reader_that_crashed_is_removed() {
        let io = SimIo::new();
        let dir = DatabaseDir::new(Path::new("/db"));
        let lease = Lease::take(Arc::new(io.clone()), &dir, content(&[1])).unwrap();
        let later = io.after_crash(0, CrashModel::KeepAll);
        assert_eq!(later.list(&dir.leases()).unwrap().len(), 1);
        assert_eq!(live_pins(&later, &dir), pinned(&[]));
        assert!(later.list(&dir.leases()).unwrap().is_empty());
        drop(lease);
    }

    #[test]
    fn a_lease_that_is_being_written_pins_everything() {
        let io = SimIo::new();
        let dir = DatabaseDir::new(Path::new("/db"));
        let lease = Lease::take(Arc::new(io.clone()), &dir, content(&[1, 2, 3])).unwrap();
        let whole = io.content(&lease.path).unwrap();
        for len in 0..whole.len() {
            io.damage(&lease.path, |bytes| bytes.truncate(len));
            assert_eq!(live_pins(&io, &dir), Pins::All, "{len}");
            io.damage(&lease.path, |bytes| *bytes = whole.clone());
        }
        for bit in 0..whole.len() * 8 {
            io.damage(&lease.path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            assert_eq!(live_pins(&io, &dir), Pins::All, "{bit}");
            io.damage(&lease.path, |bytes| *bytes = whole.clone());
        }
        assert_eq!(live_pins(&io, &dir), pinned(&[1, 2, 3]));
    }
}
