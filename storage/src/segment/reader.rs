//! Opens a segment file for reading.
//!
//! Opening checks the header, the trailer, the footer and the metadata of every section; vector data is checked where
//! it is used first. A segment is immutable, so any number of threads may read it.

use std::path::Path;
use std::sync::Arc;

use super::file::{SegmentFile, SegmentPin};
use super::layout::{Footer, SegmentOrigin, Trailer, check_header};
use super::probe::probe;
use super::section::Section;
use crate::error::Result;
use crate::io::Io;
use crate::manifest::SegmentMeta;
use crate::types::{SegmentId, TableId, Tier};

/// An open segment. The file stays mapped until the last [`Section`] or Arrow array that came from it is gone.
#[derive(Debug)]
pub struct Segment {
    file: SegmentPin,
    id: SegmentId,
    origin: SegmentOrigin,
    tier: Tier,
    row_count: u64,
    sections: Vec<Arc<Section>>,
}

impl Segment {
    /// Maps a segment file of `expected_len` bytes, as the manifest has it.
    ///
    /// # Errors
    /// `Io` when the file cannot be mapped; `UnsupportedVersion`; `Corruption` with the offset of what is damaged.
    pub fn open(io: Arc<dyn Io>, path: &Path, id: SegmentId, expected_len: u64) -> Result<Self> {
        probe(io.as_ref(), path)?;
        let map = io.map(path, expected_len)?;
        let file = SegmentPin::new(SegmentFile::new(io, path, map));
        let (origin, tier) = check_header(path, file.bytes(), id)?;
        let trailer = Trailer::read(path, file.bytes())?;
        let footer = Footer::read(path, file.bytes(), trailer)?;
        let sections = footer
            .sections
            .iter()
            .map(|entry| Section::read(&file, entry, tier).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        if sections.iter().map(|section| u64::from(section.row_count())).sum::<u64>() != footer.row_count {
            let offset = trailer.footer_offset as usize;
            return Err(file.corruption(offset, "the footer counts other rows than its sections"));
        }
        Ok(Self { file, id, origin, tier, row_count: footer.row_count, sections })
    }

    /// Identity of the segment. Of two segments the one with the larger id was written later.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Where its rows stand in the order of commits and deletes.
    pub fn origin(&self) -> SegmentOrigin {
        self.origin
    }

    /// The tier for which it was written.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Length of the file.
    pub fn file_len(&self) -> u64 {
        self.file.bytes().len() as u64
    }

    /// Number of rows of all tables.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The sections in the order of tables, then partitions.
    pub fn sections(&self) -> &[Arc<Section>] {
        &self.sections
    }

    /// The section of a table and partition, if it has rows in this segment.
    pub fn section(&self, table: TableId, partition_start_ns: i64) -> Option<&Arc<Section>> {
        let place = |section: &Arc<Section>| (section.table_id(), section.partition_start_ns());
        let position = self.sections.binary_search_by_key(&(table, partition_start_ns), place).ok()?;
        Some(&self.sections[position])
    }

    /// Whether the file has every section that the manifest names, with as many rows.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn check_sections(&self, meta: &SegmentMeta) -> Result<()> {
        for place in &meta.sections {
            let found = self.section(place.table, place.partition_start_ns).map(|section| section.row_count());
            if found != Some(place.row_count) {
                let found = found.map_or("no".to_owned(), |rows| rows.to_string());
                let reason = format!(
                    "the segment has {found} rows of table {} from {} on, the manifest says {}",
                    place.table, place.partition_start_ns, place.row_count
                );
                return Err(self.file.corruption(0, reason));
            }
        }
        Ok(())
    }

    /// Makes the file go away when the last `Segment` or [`Section`] that reads it is dropped. The manifest must no
    /// longer name the segment.
    pub fn mark_obsolete(&self) {
        self.file.mark_obsolete();
    }

    /// Takes [`Segment::mark_obsolete`] back.
    pub(crate) fn keep(&self) {
        self.file.keep();
    }

    pub(super) fn file(&self) -> &SegmentFile {
        &self.file
    }
}
