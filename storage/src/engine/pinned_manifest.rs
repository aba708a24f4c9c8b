//! The manifest of a database that another process may be writing, with a lease on the segments that it names.

use std::sync::Arc;

use super::database_dir::DatabaseDir;
use super::lease::{Lease, LeaseContent};
use crate::error::{Error, Result};
use crate::io::Io;
use crate::manifest::{ManifestReader, ManifestState, Reading};

/// A manifest whose segments are pinned.
///
/// Invariant: when [`PinnedManifest::is_current`] says so after segments were named, they stay until the lease names
/// others or goes. Without a lease (nothing can be written there) files may go; those that are mapped stay readable, as a
/// file on Unix does after it lost its name.
#[derive(Debug)]
pub(super) struct PinnedManifest {
    reader: ManifestReader,
    lease: Option<Lease>,
}

impl PinnedManifest {
    pub(super) fn open(io: &Arc<dyn Io>, dir: &DatabaseDir) -> Result<Self> {
        refuse_unfinished(&**io, dir)?;
        let reader = ManifestReader::open(Arc::clone(io), &dir.root)?;
        let lease = match Lease::take(Arc::clone(io), dir, content(&reader)) {
            Ok(lease) => Some(lease),
            Err(error @ Error::Io { .. }) => {
                tracing::debug!(%error, "attached without a lease");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { reader, lease })
    }

    pub(super) fn state(&self) -> &ManifestState {
        self.reader.state()
    }

    pub(super) fn version(&self) -> (u64, u64) {
        self.reader.version()
    }

    pub(super) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Reads what was written since, and pins the segments of the new state in place of the old.
    pub(super) fn read_on(&mut self) -> Result<Reading> {
        let reading = self.reader.read_on()?;
        if reading != Reading::Unchanged
            && let Some(lease) = &self.lease
            && let Err(error) = lease.pin(content(&self.reader))
        {
            // A full disk, perhaps, is no reason not to read on.
            tracing::warn!(%error, "the lease was lost");
            self.lease = None;
        }
        Ok(reading)
    }

    /// Whether the manifest is still the one that was read.
    pub(super) fn is_current(&self) -> Result<bool> {
        self.reader.is_current()
    }
}

fn content(reader: &ManifestReader) -> LeaseContent {
    LeaseContent {
        process: std::process::id(),
        serial: 0,
        manifest: reader.version(),
        flushed_lsn: reader.state().flushed_lsn,
        segments: reader.state().segments.keys().copied().collect(),
    }
}

/// A directory into which a restore or a backup did not end, or goes on, is no database.
pub(super) fn refuse_unfinished(io: &dyn Io, dir: &DatabaseDir) -> Result<()> {
    if io.exists(&dir.restore_mark())? {
        let reason = "a restore into this directory did not end: remove the directory and restore again";
        return Err(Error::corruption(&dir.restore_mark(), 0, reason));
    }
    if io.exists(&dir.backup_mark())? && !io.exists(&dir.backup_marker())? {
        let reason = "a backup into this directory did not end: back up again";
        return Err(Error::corruption(&dir.backup_mark(), 0, reason));
    }
    Ok(())
}

/// Whether the error says that a file went, or was cut, while it was read.
pub(super) fn is_vanished_file(error: &Error) -> bool {
    use std::io::ErrorKind::{NotFound, UnexpectedEof};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), NotFound | UnexpectedEof))
}
