//! What is known of the damage of an open segment, and which rows it concerns.

use super::file::{FoundBy, KnownDamage};
use super::layout::{SegmentOrigin, padding};
use super::reader::Segment;
use super::section::Section;
use crate::error::{Error, Result};
use crate::manifest::{SectionMeta, SegmentMeta};
use crate::types::{TableId, TimeRange};

/// Rows that a damage concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRows {
    /// Tables that have rows there.
    pub tables: Vec<TableId>,
    /// Times of these rows; rows that are sound may be among them.
    pub time_range: TimeRange,
}

impl Segment {
    /// Damage that reads and checks have found since the segment was opened.
    pub fn known_damages(&self) -> Vec<KnownDamage> {
        self.file().damages()
    }

    /// Remembers that the disk does not give back what stands at `offset`.
    pub(crate) fn remember_unreadable(&self, offset: u64, error: &Error) {
        let reason = format!("the disk does not give it back: {error}");
        self.file().remember(&Error::corruption(self.file().path(), offset, reason), FoundBy::Scrub);
    }

    /// What the manifest says of the segment when nothing of it was removed.
    pub fn meta(&self) -> SegmentMeta {
        let SegmentOrigin { commit_order, deletes_applied } = self.origin();
        SegmentMeta {
            id: self.id(),
            file_len: self.file_len(),
            commit_order,
            deletes_applied,
            tier: self.tier(),
            sections: self.sections().iter().map(|section| section.meta()).collect(),
        }
    }

    /// Which rows the damage of one byte concerns: those of its vector, of its section, or all.
    pub fn rows_at(&self, offset: u64) -> DamagedRows {
        let within = |section: &&std::sync::Arc<Section>| {
            let end = section.metadata_range().end as u64;
            (section.data_range().start as u64..end).contains(&offset)
        };
        match self.sections().iter().find(within) {
            Some(section) => DamagedRows { tables: vec![section.table_id()], time_range: section.times_at(offset) },
            None => {
                let ranges = self.sections().iter().map(|section| section.time_range());
                let hull = |a: TimeRange, b: TimeRange| TimeRange {
                    start_ns: a.start_ns.min(b.start_ns),
                    end_ns: a.end_ns.max(b.end_ns),
                };
                let mut tables: Vec<TableId> = self.sections().iter().map(|section| section.table_id()).collect();
                tables.dedup();
                DamagedRows { tables, time_range: ranges.reduce(hull).unwrap_or(TimeRange::ALL) }
            }
        }
    }

    /// Checks every section on its own, as [`Segment::verify_all`] does, and returns all damages that it finds; the
    /// first of each section. They are remembered as found by a scrub.
    ///
    /// # Errors
    /// Those that are no damage.
    pub fn scrub(&self) -> Result<Vec<Error>> {
        let mut damages: Vec<Error> = Vec::new();
        for check in self.file().scrub(|| self.verify_each()) {
            match check {
                Ok(()) => {}
                Err(error @ Error::Corruption { .. }) => damages.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(damages)
    }
}

impl Section {
    fn meta(&self) -> SectionMeta {
        let metadata_end = self.metadata_range().end;
        let end = metadata_end + padding(metadata_end as u64);
        SectionMeta {
            table: self.table_id(),
            partition_start_ns: self.partition_start_ns(),
            row_count: self.row_count(),
            byte_len: (end - self.data_range().start) as u64,
            time_range: self.time_range(),
        }
    }

    /// Times of the rows whose data holds a byte.
    fn times_at(&self, offset: u64) -> TimeRange {
        let tables = self.times().into_iter().chain(self.columns().iter().map(|column| column.vectors()));
        let vector = tables.into_iter().find_map(|table| table.vector_at(offset));
        vector.map_or(self.time_range(), |vector| {
            let (start_ns, end_ns) = self.time_zone(vector);
            TimeRange { start_ns, end_ns }
        })
    }
}
