//! What makes up the database, for `system.segments` and `system.partitions`.

use crate::manifest::{ManifestState, SectionMeta};
use crate::types::{SegmentId, Tier, Tombstone};

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Identity; names the file.
    pub id: SegmentId,
    /// Length of the file.
    pub file_len: u64,
    /// Rows of a segment of larger order were committed later.
    pub commit_order: u64,
    /// The tier of its rows.
    pub tier: Tier,
    /// Its sections that are part of the database.
    pub sections: Vec<SectionMeta>,
}

/// The segments, oldest file first.
pub(super) fn segments(state: &ManifestState) -> Vec<SegmentInfo> {
    let segments = state.segments.values().map(|segment| SegmentInfo {
        id: segment.id,
        file_len: segment.file_len,
        commit_order: segment.commit_order,
        tier: segment.tier,
        sections: segment.sections.clone(),
    });
    segments.collect()
}

/// The deletes that still hide rows.
pub(super) fn tombstones(state: &ManifestState) -> Vec<Tombstone> {
    state.tombstones.values().map(|tombstone| Tombstone::clone(tombstone)).collect()
}
