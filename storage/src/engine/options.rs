//! Options of an engine and what a write returns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::types::{CommitSeq, Lsn};

/// How safe a write is when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// Synced to disk: survives a power cut.
    #[default]
    Durable,
    /// Written to the WAL file: survives the end of the process, not a power cut.
    Logged,
    /// In the memtable only: gone when the process ends before a flush.
    Volatile,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteReceipt {
    /// How safe the rows are.
    pub ack: Ack,
    /// Rows written, before duplicates are resolved.
    pub rows: u64,
    /// The commit; a snapshot taken from now on shows it.
    pub commit_seq: CommitSeq,
    /// Place in the WAL; `None` for `Volatile`.
    pub lsn: Option<Lsn>,
}

/// Who runs flushes, compactions and retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Background {
    /// Threads of the engine.
    #[default]
    Thread,
    /// The write that fills the memtable flushes it, and [`Engine::maintain`](super::Engine::maintain) does the rest when
    /// it is called; deterministic, for tests on a simulated disk.
    Caller,
}

/// How segments are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SegmentReads {
    /// From a mapping of the file: what is read takes no memory of the process. Bytes that the disk does not give back are
    /// found before they are touched for the first time. A sector that goes bad later, when the system has let go of its
    /// page, or a file that another program cuts ends the process.
    #[default]
    Mapped,
    /// From a copy of the whole file in memory, made when it is opened. No disk can end the process. The copies are beside
    /// the memory budget: for databases that are small, or on disks that cannot be trusted.
    Copied,
}

/// Options of an engine.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Memtables, writes on their way into them and the buffers of the log may take this much together; above it writes
    /// wait, then fail with `Backpressure`.
    pub memtable_bytes_max: u64,
    /// A memtable of this size is flushed.
    pub flush_bytes_max: u64,
    /// A log of this size is flushed, whatever the memtable takes: it bounds how long the next open replays. Where
    /// flushes fail, writes wait at twice this size, then fail with `Backpressure`.
    pub wal_bytes_max: u64,
    /// A compaction takes about this much beside what it copies at a time, however many series there are: the smaller it
    /// is, the more segments it writes for a run of many series.
    pub compaction_bytes_max: u64,
    /// The mover reads at most so many bytes of segments per second. It takes half the memory of a compaction.
    pub move_bytes_per_s_max: u64,
    /// The merged series directories of all tables, which queries make and keep, may take this much together: about 12
    /// bytes per series and 4 per tag of it, and the distinct values of tags. A query that needs more fails with
    /// `DirectoryTooLarge`.
    pub directory_bytes_max: u64,
    /// A WAL file of this size is closed and the next one begun.
    pub wal_file_bytes_max: u64,
    /// How long a write waits for memory.
    pub write_deadline: Duration,
    /// Who runs flushes, compactions, retention and moves.
    pub background: Background,
    /// How segments are read.
    pub segment_reads: SegmentReads,
    /// The time now in nanoseconds since the epoch: what retention counts from, and how long a partition was left alone.
    /// It orders nothing.
    pub clock: fn() -> i64,
}

impl EngineOptions {
    /// Divides a memory budget: a quarter of it may hold unflushed rows, and a flush begins when half of that is full, so
    /// that writes go on while it runs. An eighth is for compactions and half as much for moves between tiers, a quarter for the series directories of queries. The rest is what a flush holds of the segment that
    /// it writes, and what the allocator does not give back at once: with many small series as much again as the rows. A
    /// memtable beyond 256 MiB makes segments no better. Rows take about as much in the
    /// log as in memory, except in commits of a few rows, which the bound of the log is for.
    pub fn with_memory_budget(budget_bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let flush_bytes_max = (budget_bytes / 8).clamp(MIB, 256 * MIB);
        Self {
            memtable_bytes_max: 2 * flush_bytes_max,
            flush_bytes_max,
            compaction_bytes_max: (budget_bytes / 8).max(MIB),
            move_bytes_per_s_max: 32 * MIB,
            directory_bytes_max: (budget_bytes / 4).max(MIB),
            wal_bytes_max: (2 * flush_bytes_max).clamp(128 * MIB, 512 * MIB),
            wal_file_bytes_max: 64 * MIB,
            write_deadline: Duration::from_secs(30),
            background: Background::Thread,
            segment_reads: SegmentReads::Mapped,
            clock: system_clock,
        }
    }
}

/// The clock of the machine.
fn system_clock() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

impl Default for EngineOptions {
    /// A budget of 1 GiB.
    fn default() -> Self {
        Self::with_memory_budget(1 << 30)
    }
}
