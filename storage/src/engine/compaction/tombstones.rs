//! Which sections a delete still affects, and the end of deletes that affect none.

use crate::manifest::{ManifestEdit, ManifestState, SectionMeta, SegmentMeta};
use crate::types::Tombstone;

/// Whether the section may hold rows that the tombstone names.
pub(crate) fn affects(tombstone: &Tombstone, segment: &SegmentMeta, section: &SectionMeta) -> bool {
    tombstone.table == section.table
        && tombstone.commit_order >= segment.commit_order
        && tombstone.id >= segment.deletes_applied
        && tombstone.range.overlaps(section.time_range)
}

/// Edits that remove the tombstones which affect no section.
pub(crate) fn settled_tombstones(state: &ManifestState) -> Vec<ManifestEdit> {
    let is_settled = |tombstone: &Tombstone| {
        let mut segments = state.segments.values();
        !segments.any(|segment| segment.sections.iter().any(|section| affects(tombstone, segment, section)))
    };
    let settled = state.tombstones.values().filter(|tombstone| is_settled(tombstone));
    settled.map(|tombstone| ManifestEdit::RemoveTombstone(tombstone.id)).collect()
}
