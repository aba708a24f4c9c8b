//! Opens a segment file for reading.
//!
//! Opening checks the header, the trailer, the footer and the metadata of every section; vector data is checked where
//! it is used first. A segment is immutable, so any number of threads may read it.

use std::path::Path;
use std::sync::Arc;

use super::file::SegmentFile;
use super::layout::{Footer, Trailer, check_header};
use super::probe::probe;
use super::section::Section;
use crate::error::Result;
use crate::io::Io;
use crate::types::{SegmentId, TableId};

/// An open segment. The file stays mapped until the last [`Section`] or Arrow array that came from it is gone.
#[derive(Debug)]
pub struct Segment {
    file: Arc<SegmentFile>,
    id: SegmentId,
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
        let file = Arc::new(SegmentFile::new(io, path, map));
        check_header(path, file.bytes(), id)?;
        let trailer = Trailer::read(path, file.bytes())?;
        let footer = Footer::read(path, file.bytes(), trailer)?;
        let sections = footer
            .sections
            .iter()
            .map(|entry| Section::read(&file, entry).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        if sections.iter().map(|section| u64::from(section.row_count())).sum::<u64>() != footer.row_count {
            let offset = trailer.footer_offset as usize;
            return Err(file.corruption(offset, "the footer counts other rows than its sections"));
        }
        Ok(Self { file, id, row_count: footer.row_count, sections })
    }

    /// Identity of the segment. Of two segments the one with the larger id was written later.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Length of the file.
    pub fn file_len(&self) -> u64 {
        self.file.bytes().len() as u64
    }

    /// Number of rows of all tables.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The sections in table order.
    pub fn sections(&self) -> &[Arc<Section>] {
        &self.sections
    }

    /// The section of a table, if it has rows in this segment.
    pub fn section(&self, table: TableId) -> Option<&Arc<Section>> {
        let position = self.sections.binary_search_by_key(&table, |section| section.table_id()).ok()?;
        Some(&self.sections[position])
    }

    /// Makes the file go away when the last `Segment` or [`Section`] that reads it is dropped. The manifest must no
    /// longer name the segment.
    pub fn mark_obsolete(&self) {
        self.file.mark_obsolete();
    }

    pub(super) fn file(&self) -> &SegmentFile {
        &self.file
    }
}
