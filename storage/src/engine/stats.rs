//! Counters of an engine since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

use super::core::Core;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) rows_written: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) flush_failures: AtomicU64,
    pub(super) flushed_bytes: AtomicU64,
    pub(super) compactions: AtomicU64,
    pub(super) compacted_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}

/// Figures of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// Commits since the open.
    pub commits: u64,
    /// Rows written since the open, before duplicates are resolved.
    pub rows_written: u64,
    /// Flushes that ended well.
    pub flushes: u64,
    /// Flushes that failed and will be tried again.
    pub flush_failures: u64,
    /// Bytes of segments that flushes wrote.
    pub flushed_bytes: u64,
    /// Compactions that ended well.
    pub compactions: u64,
    /// Bytes of segments that compactions wrote; this and the flushed bytes, divided by the flushed bytes, is the write
    /// amplification.
    pub compacted_bytes: u64,
    /// Syncs of the write-ahead log.
    pub wal_syncs: u64,
    /// Bytes in files of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes in memtables.
    pub memtable_bytes: u64,
    /// Bytes of writes on their way: their rows, and their records for the log.
    pub writing_bytes: u64,
    /// Bytes of the buffer in which the log puts records together.
    pub wal_buffer_bytes: u64,
    /// Writes wait while memtables, writes on their way and the buffer of the log have this much together.
    pub memtable_bytes_max: u64,
    /// Rows in memtables, before duplicates are resolved.
    pub memtable_rows: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Tables.
    pub tables: u64,
}

impl Core {
    pub(super) fn stats(&self) -> EngineStats {
        let version = self.store.memtables.version();
        let counters = &self.store.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EngineStats {
            commits: load(&counters.commits),
            rows_written: load(&counters.rows_written),
            flushes: load(&counters.flushes),
            flush_failures: load(&counters.flush_failures),
            flushed_bytes: load(&counters.flushed_bytes),
            compactions: load(&counters.compactions),
            compacted_bytes: load(&counters.compacted_bytes),
            wal_syncs: self.wal.sync_count(),
            wal_bytes: self.wal.total_bytes(),
            memtable_bytes: self.store.memtables.bytes(),
            writing_bytes: self.store.memory.admitted_bytes(),
            wal_buffer_bytes: self.wal.buffer_bytes(),
            memtable_bytes_max: self.store.options.memtable_bytes_max,
            memtable_rows: self.store.memtables.rows(),
            segments: version.segments.len() as u64,
            segment_bytes: version.segments.values().map(|segment| segment.file_len()).sum(),
            tables: version.tables.len() as u64,
        }
    }
}
