//! Writes a segment file.
//!
//! Invariant: the file appears under its name whole and durable, or not at all. Steps: write `<name>.tmp` section by
//! section, sync it, rename it, sync the directory. A crash before the rename leaves the temporary file, which recovery
//! removes; one before the directory sync leaves the file under either name, and no manifest refers to it.
//! Memory: the encoded columns of the section that is being written, not the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;

use super::layout::{Footer, FooterEntry, HEADER_BYTES, Trailer, encode_header, padding};
use super::section_writer::{ColumnPlace, DataPlaces, FinishedSection, SectionWriter};
use crate::error::{Error, Result};
use crate::io::{Io, IoFile, OpenMode};
use crate::manifest::SegmentMeta;
use crate::types::{ColumnId, SegmentId, SeriesKey, TableId, TableSchema, TimeRange};

/// Writes smaller than this are gathered: thousands of small sections must not become thousands of system calls.
const BUFFER_BYTES: usize = 1 << 20;

/// The name of a segment's file: sixteen hexadecimal digits and `.seg`.
pub fn segment_file_name(id: SegmentId) -> String {
    format!("{:016x}.seg", id.0)
}

/// Writes one segment: sections in table order, in each the series in key order.
///
/// After an error the writer is of no use: drop it, which removes the temporary file.
#[derive(Debug)]
pub struct SegmentWriter {
    io: Arc<dyn Io>,
    id: SegmentId,
    path: PathBuf,
    output: Output,
    section: Option<Box<SectionWriter>>,
    footer: Footer,
    time_range: TimeRange,
    is_published: bool,
}

impl SegmentWriter {
    /// Starts the segment that will be the file `path`.
    ///
    /// # Errors
    /// `Io` when the temporary file cannot be created.
    pub fn create(io: Arc<dyn Io>, path: &Path, id: SegmentId) -> Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        if io.exists(&temporary)? {
            io.remove(&temporary)?;
        }
        let file = io.open(&temporary, OpenMode::CreateNew)?;
        let mut output = Output { file, path: temporary, written: 0, buffer: Vec::new() };
        output.append(&encode_header(id))?;
        Ok(Self {
            io,
            id,
            path: path.to_path_buf(),
            output,
            section: None,
            footer: Footer { row_count: 0, sections: Vec::new() },
            time_range: TimeRange { start_ns: i64::MAX, end_ns: i64::MIN },
            is_published: false,
        })
    }

    /// Starts the section of a table. Tables come in the order of their ids, each once.
    ///
    /// # Errors
    /// `InvalidInput` when a section is open or the table is out of order.
    pub fn begin_section(&mut self, schema: &TableSchema) -> Result<()> {
        if self.section.is_some() {
            return Err(Error::invalid("the previous section has not ended"));
        }
        if self.footer.sections.last().is_some_and(|last| last.table_id >= schema.id) {
            return Err(Error::invalid("the sections of a segment must come in the order of their tables, each once"));
        }
        self.section = Some(Box::new(SectionWriter::new(schema)));
        Ok(())
    }

    /// Adds a series to the open section: at least one row, `times` ascending (equal times may repeat), `fields` typed
    /// as the schema says and as long as `times`. A field that is absent is NULL in every row.
    ///
    /// # Errors
    /// `InvalidInput` when the series is none of that, or its key does not follow the previous one.
    pub fn push_series(&mut self, key: &SeriesKey, times: &[i64], fields: &[(ColumnId, ArrayRef)]) -> Result<()> {
        match &mut self.section {
            Some(section) => section.push_series(key, times, fields),
            None => Err(Error::invalid("no section has begun")),
        }
    }

    /// Ends the open section and writes it. A section without a series is left out of the file.
    ///
    /// # Errors
    /// `InvalidInput` when no section is open; `Io` when writing fails.
    pub fn end_section(&mut self) -> Result<()> {
        let section = self.section.take().ok_or_else(|| Error::invalid("no section has begun"))?;
        match section.finish()? {
            Some(section) => self.write_section(&section),
            None => Ok(()),
        }
    }

    fn write_section(&mut self, section: &FinishedSection) -> Result<()> {
        let output = &mut self.output;
        let data_offset = output.position();
        if let Some(times) = &section.times {
            output.append(times.data())?;
        }
        let mut places = Vec::with_capacity(section.columns.len());
        for column in &section.columns {
            let data_offset = output.position();
            output.append(column.vectors.data())?;
            let dictionary_offset = output.position();
            output.append(&column.dictionary.bytes)?;
            output.align()?;
            places.push(ColumnPlace { data_offset, dictionary_offset });
        }
        let rollups_offset = output.position();
        if let Some(rollups) = &section.rollups {
            rollups.vectors().try_for_each(|vectors| output.append(vectors.data()))?;
        }
        let places = DataPlaces { times_offset: data_offset, columns: places, rollups_offset };
        let metadata = section.metadata(&places)?;
        self.footer.sections.push(FooterEntry {
            table_id: section.table_id,
            data_offset,
            metadata_offset: output.position(),
            metadata_len: metadata.len() as u64,
            metadata_crc: crc32c::crc32c(&metadata),
        });
        output.append(&metadata)?;
        output.align()?;
        self.footer.row_count += u64::from(section.row_count);
        self.time_range.start_ns = self.time_range.start_ns.min(section.time_range.start_ns);
        self.time_range.end_ns = self.time_range.end_ns.max(section.time_range.end_ns);
        Ok(())
    }

    /// Writes the footer and makes the file durable under its name.
    ///
    /// # Errors
    /// `InvalidInput` when a section is open or the segment has no row; `Io` when writing, syncing or renaming fails.
    pub fn finish(mut self) -> Result<SegmentMeta> {
        if self.section.is_some() || self.footer.sections.is_empty() {
            return Err(Error::invalid("a segment ends after its sections and has at least one row"));
        }
        let footer = self.footer.to_bytes();
        let footer_len = u32::try_from(footer.len()).map_err(|_| Error::invalid("a segment has too many tables"))?;
        let footer_offset = self.output.position();
        self.output.append(&footer)?;
        self.output.append(&Trailer { footer_offset, footer_len, footer_crc: crc32c::crc32c(&footer) }.to_bytes())?;
        self.output.flush()?;
        self.output.file.sync()?;
        self.io.rename(&self.output.path, &self.path)?;
        self.is_published = true;
        if let Some(dir) = self.path.parent() {
            self.io.sync_dir(dir)?;
        }
        Ok(SegmentMeta {
            id: self.id,
            file_len: self.output.position(),
            row_count: self.footer.row_count,
            tables: self.footer.sections.iter().map(|section| section.table_id).collect::<Vec<TableId>>(),
            time_range: self.time_range,
        })
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.is_published {
            // A file that stays costs space until recovery removes it, nothing else; the error that led here matters.
            let _ = self.io.remove(&self.output.path);
        }
    }
}

/// The end of a file that grows.
#[derive(Debug)]
struct Output {
    file: Arc<dyn IoFile>,
    path: PathBuf,
    written: u64,
    buffer: Vec<u8>,
}

impl Output {
    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() > BUFFER_BYTES {
            self.file.write_all_at(self.written, bytes)?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Appends zeros up to the next multiple of the alignment.
    fn align(&mut self) -> Result<()> {
        const ZEROS: [u8; HEADER_BYTES] = [0; HEADER_BYTES];
        self.append(&ZEROS[..padding(self.position())])
    }

    fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(self.written, &self.buffer)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}
