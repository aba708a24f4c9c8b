//! Segments that the manifest names no more, until their files may go.
//!
//! Invariant: a segment is given free for removal only after a look at the leases that came after the manifest record
//! that removed it. One that a live lease pins waits here; the next flush, compaction, drop, open or maintenance turn looks
//! again.

use std::sync::Arc;

use parking_lot::Mutex;

use super::lease::live_pins;
use super::store::Store;
use crate::segment::Segment;
use crate::types::SegmentId;

/// Segments that wait for the leases that pin them.
#[derive(Debug, Default)]
pub(super) struct RetiredSegments {
    waiting: Mutex<Vec<Retired>>,
}

#[derive(Debug)]
enum Retired {
    Open(Arc<Segment>),
    /// Found by the open of the database, which has no reader of its own for it.
    FileOnly(SegmentId),
}

impl RetiredSegments {
    /// Files that the open left because a lease pins them.
    pub(super) fn with_files(ids: Vec<SegmentId>) -> Self {
        Self { waiting: Mutex::new(ids.into_iter().map(Retired::FileOnly).collect()) }
    }
}

impl Store {
    /// Lets segments go that the manifest names no more: at once, or when the leases on them end.
    pub(super) fn retire(&self, segments: impl IntoIterator<Item = Arc<Segment>>) {
        self.retired.waiting.lock().extend(segments.into_iter().map(Retired::Open));
        self.release_retired();
    }

    /// Looks at the leases again and lets go what none of them pins.
    pub(super) fn release_retired(&self) {
        let mut waiting = self.retired.waiting.lock();
        if waiting.is_empty() {
            return;
        }
        let pins = live_pins(&*self.io, &self.dir);
        waiting.retain(|retired| match retired {
            Retired::Open(segment) if !pins.contains(segment.id()) => {
                // The file goes when the last snapshot of this process that reads it goes.
                segment.mark_obsolete();
                false
            }
            Retired::FileOnly(id) if !pins.contains(*id) => {
                if let Err(error) = self.io.remove(&self.dir.segment(*id)) {
                    tracing::warn!(segment = id.0, %error, "an obsolete segment file stays until the next open");
                }
                false
            }
            Retired::Open(_) | Retired::FileOnly(_) => true,
        });
    }
}
