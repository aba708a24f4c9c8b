//! Names within a database directory.

use std::path::{Path, PathBuf};

use crate::segment::segment_file_name;
use crate::types::SegmentId;

/// A database directory. Files are named by numbers; names of tables never become paths.
#[derive(Debug, Clone)]
pub(super) struct DatabaseDir {
    pub(super) root: PathBuf,
}

impl DatabaseDir {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(super) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(super) fn segment(&self, id: SegmentId) -> PathBuf {
        self.segments().join(segment_file_name(id))
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.root.join(crate::manifest::FILE_NAME)
    }

    /// What openings found.
    pub(super) fn recovery_history(&self) -> PathBuf {
        self.root.join("RECOVERY")
    }

    pub(super) fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// There while a restore is under way.
    pub(super) fn restore_mark(&self) -> PathBuf {
        self.root.join("RESTORE.unfinished")
    }

    /// Makes the directory a complete backup.
    pub(super) fn backup_marker(&self) -> PathBuf {
        self.root.join("BACKUP")
    }

    /// There while a backup is under way.
    pub(super) fn backup_mark(&self) -> PathBuf {
        self.root.join("BACKUP.unfinished")
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }
}
