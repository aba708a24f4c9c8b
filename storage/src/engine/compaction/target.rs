//! Where rewritten rows go: the one place that knows how a segment of each tier is begun.

use std::sync::Arc;

use super::super::store::Store;
use crate::error::{Error, Result};
use crate::segment::{SegmentOrigin, SegmentWriter};
use crate::types::{SegmentId, Tier};

impl Store {
    /// Begins the segment of a tier. It appears under its name when it is finished.
    ///
    /// # Errors
    /// `Io`; `InvalidInput` for the cold tier, which this build cannot write.
    pub(super) fn begin_segment(&self, tier: Tier, id: SegmentId, origin: SegmentOrigin) -> Result<SegmentWriter> {
        match tier {
            Tier::Hot | Tier::Warm => {
                SegmentWriter::create_with_origin(Arc::clone(&self.io), &self.dir.segment(id), id, origin, tier)
            }
            Tier::Cold => Err(Error::invalid("this build cannot write the cold tier")),
        }
    }
}
