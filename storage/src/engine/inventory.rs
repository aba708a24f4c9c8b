//! What makes up the database, for `system.segments` and `system.partitions`.

use super::core::Core;
use crate::manifest::SectionMeta;
use crate::types::{SegmentId, Tombstone};

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Identity; names the file.
    pub id: SegmentId,
    /// Length of the file.
    pub file_len: u64,
    /// Rows of a segment of larger order were committed later.
    pub commit_order: u64,
    /// Its sections that are part of the database.
    pub sections: Vec<SectionMeta>,
}

impl Core {
    /// The segments, oldest file first.
    pub(super) fn segments(&self) -> Vec<SegmentInfo> {
        let manifest = self.store.manifest.lock();
        let segments = manifest.state().segments.values().map(|segment| SegmentInfo {
            id: segment.id,
            file_len: segment.file_len,
            commit_order: segment.commit_order,
            sections: segment.sections.clone(),
        });
        segments.collect()
    }

    /// The deletes that still hide rows.
    pub(super) fn tombstones(&self) -> Vec<Tombstone> {
        let manifest = self.store.manifest.lock();
        manifest.state().tombstones.values().map(|tombstone| Tombstone::clone(tombstone)).collect()
    }
}
