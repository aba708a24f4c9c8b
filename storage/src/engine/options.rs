//! Options of an engine and what a write returns.

use std::time::Duration;

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

/// Who runs flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Background {
    /// A thread of the engine.
    #[default]
    Thread,
    /// The write that fills the memtable; deterministic, for tests on a simulated disk.
    Caller,
}

/// Options of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Memtables may take this much; above it writes wait, then fail with `Backpressure`.
    pub memtable_bytes_max: u64,
    /// A memtable of this size is flushed.
    pub flush_bytes_max: u64,
    /// A log of this size is flushed, whatever the memtable takes: it bounds how long the next open replays. Where
    /// flushes fail, writes wait at twice this size, then fail with `Backpressure`.
    pub wal_bytes_max: u64,
    /// A WAL file of this size is closed and the next one begun.
    pub wal_file_bytes_max: u64,
    /// How long a write waits for memory.
    pub write_deadline: Duration,
    /// Who runs flushes.
    pub background: Background,
}

impl EngineOptions {
    /// Divides a memory budget: half of it may hold unflushed rows, and a flush begins when half of that is full, so
    /// that writes go on while it runs. A memtable beyond 256 MiB makes segments no better. Rows take about as much in the
    /// log as in memory, except in commits of a few rows, which the bound of the log is for.
    pub fn with_memory_budget(budget_bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let flush_bytes_max = (budget_bytes / 4).clamp(MIB, 256 * MIB);
        Self {
            memtable_bytes_max: 2 * flush_bytes_max,
            flush_bytes_max,
            wal_bytes_max: (2 * flush_bytes_max).clamp(128 * MIB, 512 * MIB),
            wal_file_bytes_max: 64 * MIB,
            write_deadline: Duration::from_secs(30),
            background: Background::Thread,
        }
    }
}

impl Default for EngineOptions {
    /// A budget of 1 GiB.
    fn default() -> Self {
        Self::with_memory_budget(1 << 30)
    }
}
