//! From memtables to a segment.
//!
//! Order of steps: seal the WAL file and freeze the memtable with no commit between; write the segment (temporary file,
//! sync, rename, directory sync); record it and the flushed LSN in the manifest; show it to readers while the memtable
//! goes; remove WAL files. A crash before the manifest record leaves a segment file that the next open removes, and the
//! WAL still has the rows; a crash after it leaves WAL files whose records replay skips.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::Array;

use super::core::Core;
use super::stats::Counters;
use super::store::Store;
use super::task_log::{TaskKind, TaskResult};
use crate::error::{Error, Result};
use crate::manifest::{ManifestEdit, SegmentMeta};
use crate::memtable::{Memtable, MemtableKey, SeriesBuffer, TimeOrder};
use crate::segment::{Segment, SegmentWriter};
use crate::snapshot::{Version, merge_chunks};
use crate::types::{Lsn, SegmentId, TableSchema, TimeRange};

impl Core {
    /// Writes every row that is in memory to a segment.
    pub(super) fn flush(&self) -> Result<()> {
        let _one_at_a_time = self.flush.lock();
        let result = self.flush_locked();
        if result.is_err() {
            Counters::add(&self.store.counters.flush_failures, 1);
        }
        self.store.memory.set_log_bytes(self.wal.total_bytes(), self.wal.buffer_bytes());
        result
    }

    /// The same for a caller that holds the `flush` lock.
    pub(super) fn flush_locked(&self) -> Result<()> {
        let store = &self.store;
        store.release_retired();
        // Files of the log without rows, of dropped tables or damaged ones, go with the next flush too.
        if store.memtables.rows() == 0 && !self.wal.has_sealed_files() {
            store.memory.refresh(|| store.memtables.bytes());
            return Ok(());
        }
        let mut frozen = Vec::new();
        let mut sealed_lsn = Lsn::default();
        self.wal.rotate(|last| {
            sealed_lsn = last;
            frozen = store.memtables.freeze();
        })?;
        self.tasks.run(TaskKind::Flush, || {
            let rows = frozen.iter().map(|memtable| memtable.rows()).sum();
            let bytes_in = frozen.iter().map(|memtable| memtable.bytes()).sum();
            let bytes_out = store.flush_memtables(&frozen, sealed_lsn)?;
            Ok::<_, Error>(Some(TaskResult { bytes_in, bytes_out, rows }))
        })?;
        self.wal.remove_up_to(sealed_lsn)?;
        self.maintenance_signal.request();
        Ok(())
    }
}

impl Store {
    /// Writes frozen memtables, which hold the commits up to `flushed_lsn`, and publishes the segment; returns its bytes.
    /// One at a time.
    ///
    /// The manifest is locked only to record the result: tables are created and changed while the segment is written.
    pub(super) fn flush_memtables(&self, frozen: &[Arc<Memtable>], flushed_lsn: Lsn) -> Result<u64> {
        let mut bytes_out = 0;
        let id = self.take_segment_id();
        let written = match self.write_segment(id, frozen, &self.memtables.version())? {
            None => None,
            Some(meta) => Some((self.open_written(&meta)?, meta)),
        };

        let mut manifest = self.manifest.lock();
        let mut edits = Vec::with_capacity(2);
        let mut added = Vec::with_capacity(1);
        if let Some((segment, mut meta)) = written {
            bytes_out = meta.file_len;
            Counters::add(&self.counters.flushed_bytes, bytes_out);
            // A table that was dropped meanwhile has no rows any more.
            meta.sections.retain(|section| manifest.state().tables.contains_key(&section.table));
            if meta.sections.is_empty() {
                segment.mark_obsolete();
            } else {
                added.push(segment);
                edits.push(ManifestEdit::AddSegment(meta));
            }
        }
        edits.push(ManifestEdit::FlushedLsn(flushed_lsn));
        if let Err(error) = manifest.append(&edits) {
            self.unnamed_segments.lock().push(id);
            return Err(error);
        }
        let next = self.next_version(&manifest, added);
        self.memtables.publish_flush(next, frozen);
        Counters::add(&self.counters.flushes, 1);
        self.memory.refresh(|| self.memtables.bytes());
        self.remove_unnamed_segments();
        Ok(bytes_out)
    }

    /// Opens a segment that was just written. When that fails the file goes: no manifest record names it.
    pub(super) fn open_written(&self, meta: &SegmentMeta) -> Result<Arc<Segment>> {
        let path = self.dir.segment(meta.id);
        match Segment::open(Arc::clone(&self.io), &path, meta.id, meta.file_len) {
            Ok(segment) => Ok(Arc::new(segment)),
            Err(error) => {
                self.io.remove(&path)?;
                Err(error)
            }
        }
    }

    /// After a successful append the manifest is known, and it does not name the files of failed ones.
    pub(super) fn remove_unnamed_segments(&self) {
        for id in self.unnamed_segments.lock().drain(..) {
            if let Err(error) = self.io.remove(&self.dir.segment(id)) {
                // The next open finds it.
                tracing::warn!(segment = id.0, %error, "the file of a failed flush stays");
            }
        }
    }

    /// Writes the segment; `None` when no row belongs to a table that still exists.
    fn write_segment(&self, id: SegmentId, frozen: &[Arc<Memtable>], version: &Version) -> Result<Option<SegmentMeta>> {
        let mut writer = SegmentWriter::create(Arc::clone(&self.io), &self.dir.segment(id), id)?;
        let mut open_table: Option<Arc<TableSchema>> = None;
        let mut series_written = 0_u64;
        for (key, buffers) in ordered_series(frozen) {
            let Some(table) = version.tables.get(&key.table) else { continue };
            if open_table.as_ref().is_none_or(|open| open.id != key.table) {
                if open_table.is_some() {
                    writer.end_table()?;
                }
                writer.begin_table(&table.schema)?;
                open_table = Some(Arc::clone(&table.schema));
            }
            push_series(&mut writer, &table.schema, &key, &buffers)?;
            series_written += 1;
        }
        if series_written == 0 {
            // Dropping the writer removes its temporary file.
            return Ok(None);
        }
        writer.end_table()?;
        writer.finish().map(Some)
    }
}

/// The series of several memtables in order, each with its buffers, oldest first.
fn ordered_series<'a>(
    frozen: &'a [Arc<Memtable>],
) -> Box<dyn Iterator<Item = (MemtableKey, Vec<Arc<SeriesBuffer>>)> + 'a> {
    match frozen {
        [only] => Box::new(only.iter().map(|(key, buffer)| (key, vec![buffer]))),
        several => {
            // More than one waits only after a flush failed.
            let mut merged: BTreeMap<MemtableKey, Vec<Arc<SeriesBuffer>>> = BTreeMap::new();
            for memtable in several {
                for (key, buffer) in memtable.iter() {
                    merged.entry(key).or_default().push(buffer);
                }
            }
            Box::new(merged.into_iter())
        }
    }
}

fn push_series(
    writer: &mut SegmentWriter,
    schema: &TableSchema,
    key: &MemtableKey,
    buffers: &[Arc<SeriesBuffer>],
) -> Result<()> {
    let chunks: Vec<_> = buffers.iter().flat_map(|buffer| buffer.all_chunks()).collect();
    if let [only] = chunks.as_slice()
        && only.order == TimeOrder::StrictlyIncreasing
    {
        let fields: Vec<_> =
            schema.fields.iter().filter_map(|field| Some((field.id, Arc::clone(only.column(field.id)?)))).collect();
        return writer.push_series(&key.series, &only.times, &fields);
    }
    let fields: Vec<_> = schema
        .fields
        .iter()
        .filter(|field| chunks.iter().any(|chunk| chunk.column(field.id).is_some()))
        .cloned()
        .collect();
    let merged = merge_chunks(&chunks, &fields, schema.options.dedup, TimeRange::ALL)?;
    if merged.columns.iter().any(|(_, array)| array.len() != merged.times.len()) {
        return Err(Error::invalid("a merged column has another length than its times"));
    }
    writer.push_series(&key.series, &merged.times, &merged.columns)
}
