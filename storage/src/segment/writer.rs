//! Writes a segment file.
//!
//! Invariant: the file appears under its name whole and durable, or not at all. Steps: write `<name>.tmp` section by
//! section, sync it, rename it, sync the directory. A crash before the rename leaves the temporary file, which recovery
//! removes; one before the directory sync leaves the file under either name, and no manifest refers to it.
//! Memory: the encoded columns of the sections of the table that is being written, not the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;

use super::layout::{Footer, FooterEntry, HEADER_BYTES, SegmentOrigin, Trailer, encode_header, padding};
use super::section_writer::{ColumnPlace, DataPlaces, FinishedSection, SectionWriter};
use super::series_shape::SeriesShape;
use crate::error::{Error, Result};
use crate::io::{Io, IoFile, OpenMode};
use crate::manifest::{SectionMeta, SegmentMeta};
use crate::types::{ColumnId, SegmentId, SeriesKey, TableSchema, Tier, partition_of};

/// Writes smaller than this are gathered: thousands of small sections must not become thousands of system calls.
const BUFFER_BYTES: usize = 1 << 20;

/// The name of a segment's file: sixteen hexadecimal digits and `.seg`.
pub fn segment_file_name(id: SegmentId) -> String {
    format!("{:016x}.seg", id.0)
}

/// Writes one segment: tables in the order of their ids, of each the series in key order. The rows of a table are cut
/// into a section per partition.
///
/// After an error the writer is of no use: drop it, which removes the temporary file.
#[derive(Debug)]
pub struct SegmentWriter {
    io: Arc<dyn Io>,
    id: SegmentId,
    origin: SegmentOrigin,
    tier: Tier,
    path: PathBuf,
    output: Output,
    table: Option<OpenTable>,
    footer: Footer,
    sections: Vec<SectionMeta>,
    is_published: bool,
}

/// The table that is being written, with a section for each partition that has rows so far.
#[derive(Debug)]
struct OpenTable {
    schema: TableSchema,
    tier: Tier,
    sections: BTreeMap<i64, SectionWriter>,
    /// Partition of the series that was begun with [`SegmentWriter::begin_series`].
    open_partition: i64,
}

impl OpenTable {
    fn section(&mut self, partition_start_ns: i64) -> &mut SectionWriter {
        self.sections.entry(partition_start_ns).or_insert_with(|| SectionWriter::new(&self.schema, self.tier))
    }
}

impl SegmentWriter {
    /// Starts the segment of a flush, that will be the file `path`. It is of the hot tier.
    ///
    /// # Errors
    /// `Io` when the temporary file cannot be created.
    pub fn create(io: Arc<dyn Io>, path: &Path, id: SegmentId) -> Result<Self> {
        Self::create_with_origin(io, path, id, SegmentOrigin::of_flush(id), Tier::Hot)
    }

    /// Starts a segment of rows that were in other segments. The tier says in which form they are written.
    ///
    /// # Errors
    /// `Io` when the temporary file cannot be created.
    pub fn create_with_origin(
        io: Arc<dyn Io>,
        path: &Path,
        id: SegmentId,
        origin: SegmentOrigin,
        tier: Tier,
    ) -> Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        if io.exists(&temporary)? {
            io.remove(&temporary)?;
        }
        let file = io.open(&temporary, OpenMode::CreateNew)?;
        let mut output = Output { file, path: temporary, written: 0, buffer: Vec::new() };
        output.append(&encode_header(id, origin, tier))?;
        Ok(Self {
            io,
            id,
            origin,
            tier,
            path: path.to_path_buf(),
            output,
            table: None,
            footer: Footer { row_count: 0, sections: Vec::new() },
            sections: Vec::new(),
            is_published: false,
        })
    }

    /// Starts a table. Tables come in the order of their ids, each once.
    ///
    /// # Errors
    /// `InvalidInput` when a table is open or this one is out of order.
    pub fn begin_table(&mut self, schema: &TableSchema) -> Result<()> {
        if self.table.is_some() {
            return Err(Error::invalid("the previous table has not ended"));
        }
        if self.footer.sections.last().is_some_and(|last| last.table_id >= schema.id) {
            return Err(Error::invalid("the tables of a segment must come in the order of their ids, each once"));
        }
        self.table =
            Some(OpenTable { schema: schema.clone(), tier: self.tier, sections: BTreeMap::new(), open_partition: 0 });
        Ok(())
    }

    fn open_table(&mut self) -> Result<&mut OpenTable> {
        self.table.as_mut().ok_or_else(|| Error::invalid("no table has begun"))
    }

    /// Adds a series to the open table: at least one row, `times` ascending (equal times may repeat), `fields` typed
    /// as the schema says and as long as `times`. A field that is absent is NULL in every row.
    ///
    /// # Errors
    /// `InvalidInput` when the series is none of that, or its key does not follow the previous one.
    pub fn push_series(&mut self, key: &SeriesKey, times: &[i64], fields: &[(ColumnId, ArrayRef)]) -> Result<()> {
        let table = self.open_table()?;
        let width = table.schema.options.partition_ns;
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return Err(Error::invalid("a series needs at least one row"));
        };
        let partition = partition_of(first, width);
        if partition.contains(last) {
            return table.section(partition.start_ns).push_series(key, times, fields);
        }
        if !times.is_sorted() {
            return Err(Error::invalid("the times of a series must ascend"));
        }
        let mut start = 0;
        while start < times.len() {
            let partition = partition_of(times[start], width);
            let rows = times[start..].partition_point(|&time| time <= partition.end_ns);
            let part: Vec<_> = fields
                .iter()
                // An array of another length is refused by the section, whichever part it is given.
                .map(|(id, array)| {
                    (*id, if array.len() == times.len() { array.slice(start, rows) } else { array.clone() })
                })
                .collect();
            table.section(partition.start_ns).push_series(key, &times[start..start + rows], &part)?;
            start += rows;
        }
        Ok(())
    }

    /// Begins a series whose rows, all of one partition, come in parts with [`SegmentWriter::append_rows`].
    ///
    /// # Errors
    /// `InvalidInput` as for [`SegmentWriter::push_series`], or when the times are not of one partition.
    pub fn begin_series(&mut self, key: &SeriesKey, shape: &SeriesShape) -> Result<()> {
        let table = self.open_table()?;
        let partition = partition_of(shape.min_time, table.schema.options.partition_ns);
        if !partition.contains(shape.max_time) {
            return Err(Error::invalid("the rows of the series are not of one partition"));
        }
        table.open_partition = partition.start_ns;
        table.section(partition.start_ns).begin_series(key, shape)
    }

    /// Adds the next rows of the series that was begun.
    ///
    /// # Errors
    /// `InvalidInput` when they do not fit what was said of the series or the schema.
    pub fn append_rows(&mut self, times: &[i64], fields: &[(ColumnId, ArrayRef)]) -> Result<()> {
        let table = self.open_table()?;
        let partition = table.open_partition;
        table.section(partition).append_rows(times, fields)
    }

    /// About how much memory the open table takes until it has ended.
    pub fn buffered_bytes(&self) -> usize {
        self.table.iter().flat_map(|table| table.sections.values()).map(SectionWriter::memory_bytes).sum()
    }

    /// Ends the open table and writes its sections. A table without a series is left out of the file.
    ///
    /// # Errors
    /// `InvalidInput` when no table is open; `Io` when writing fails.
    pub fn end_table(&mut self) -> Result<()> {
        let table = self.table.take().ok_or_else(|| Error::invalid("no table has begun"))?;
        for (partition_start_ns, section) in table.sections {
            if let Some(section) = section.finish()? {
                self.write_section(partition_start_ns, &section)?;
            }
        }
        Ok(())
    }

    fn write_section(&mut self, partition_start_ns: i64, section: &FinishedSection) -> Result<()> {
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
            partition_start_ns,
            data_offset,
            metadata_offset: output.position(),
            metadata_len: metadata.len() as u64,
            metadata_crc: crc32c::crc32c(&metadata),
        });
        output.append(&metadata)?;
        output.align()?;
        self.footer.row_count += u64::from(section.row_count);
        self.sections.push(SectionMeta {
            table: section.table_id,
            partition_start_ns,
            row_count: section.row_count,
            byte_len: output.position() - data_offset,
            time_range: section.time_range,
        });
        Ok(())
    }

    /// Writes the footer and makes the file durable under its name.
    ///
    /// # Errors
    /// `InvalidInput` when a section is open or the segment has no row; `Io` when writing, syncing or renaming fails.
    pub fn finish(mut self) -> Result<SegmentMeta> {
        if self.table.is_some() || self.footer.sections.is_empty() {
            return Err(Error::invalid("a segment ends after its tables and has at least one row"));
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
        let sections = std::mem::take(&mut self.sections);
        Ok(SegmentMeta {
            id: self.id,
            file_len: self.output.position(),
            commit_order: self.origin.commit_order,
            deletes_applied: self.origin.deletes_applied,
            tier: self.tier,
            sections,
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
