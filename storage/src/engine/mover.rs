//! The mover: partitions go to the tier that their age asks for, one after the other, oldest first.
//!
//! It has a thread of its own, so that a move that keeps to its rate does not hold up compactions; neither waits for the
//! other, because they claim their partitions. A failure is logged and the partition left alone for a while; its rows are
//! safe either way.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::core::Core;
use super::handle::{Engine, Mode};
use super::pacer::Pacer;
use super::task_log::{TaskKind, TaskResult};
use crate::error::{Error, Result};
use crate::types::{TableId, TableSchema, Tier, TierChange, TierPolicy, TimeRange, partition_of};

/// Unless it is asked, the thread looks this often for partitions that became old enough.
const TURN: Duration = Duration::from_secs(60);

/// How fast the mover goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoveSpeed {
    /// At most at the rate of the options.
    Paced,
    /// As fast as it can: the caller waits.
    Full,
}

/// What a move by hand did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveReceipt {
    /// First and last time of the partition.
    pub partition: TimeRange,
    /// Where it is now.
    pub tier: Tier,
    /// Rows that were rewritten; 0 when all of it was there before.
    pub rows: u64,
    /// Bytes of the sections that were read.
    pub bytes_in: u64,
    /// Bytes of the segments that were written.
    pub bytes_out: u64,
}

/// Starts the thread. It keeps the core alive until [`WorkSignal::stop`](super::signal::WorkSignal::stop).
pub(super) fn spawn(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(core);
    std::thread::Builder::new()
        .name("lynxstore-move".into())
        .spawn(move || {
            while shared.move_signal.wait(Some(TURN)) {
                match shared.move_due(MoveSpeed::Paced) {
                    Ok(()) | Err(Error::Closed) => {}
                    Err(error) => tracing::warn!(%error, "a partition was not moved; it will be tried again"),
                }
            }
        })
        .map_err(|source| Error::io("start a thread for", &core.store.dir.root, source))
}

impl Core {
    /// Moves every partition that is old enough. Ends early when the engine closes.
    pub(super) fn move_due(&self, speed: MoveSpeed) -> Result<()> {
        let mut mover = self.mover.lock();
        let clock = self.store.options.clock;
        let pacer = Pacer::new(self.store.options.move_bytes_per_s_max, clock());
        let mut result = Ok(());
        while !self.move_signal.is_stopped() {
            let moved = self.tasks.run_with_progress(TaskKind::Move, |report| {
                let bytes_done = std::cell::Cell::new(0);
                let moved = self.store.move_once(&mut mover, clock(), &|so_far| {
                    report(TaskResult { bytes_in: so_far.bytes_in, bytes_out: 0, rows: so_far.rows_in });
                    if speed == MoveSpeed::Paced {
                        let pause = pacer.add(so_far.bytes_in - bytes_done.replace(so_far.bytes_in), clock());
                        self.move_signal.pause(pause);
                    }
                    Ok(())
                })?;
                Ok::<_, Error>(moved.map(|moved| TaskResult {
                    bytes_in: moved.bytes_in,
                    bytes_out: moved.bytes_out,
                    rows: moved.rows_out,
                }))
            });
            match moved {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(Error::Closed) => return Err(Error::Closed),
                // The others are not to wait for the one that fails.
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn move_partition(&self, table: &TableSchema, time_ns: i64, tier: Tier) -> Result<MoveReceipt> {
        let mut receipt = MoveReceipt {
            partition: partition_of(time_ns, table.options.partition_ns),
            tier,
            rows: 0,
            bytes_in: 0,
            bytes_out: 0,
        };
        // Rows in memory belong to the partition too.
        self.flush()?;
        self.store.check_move(table.id, time_ns, tier)?;
        self.tasks.run_with_progress(TaskKind::Move, |report| {
            let moved = self.store.move_by_hand(table.id, time_ns, tier, &|so_far| {
                report(TaskResult { bytes_in: so_far.bytes_in, bytes_out: 0, rows: so_far.rows_in });
                Ok(())
            })?;
            (receipt.rows, receipt.bytes_in, receipt.bytes_out) = (moved.rows_out, moved.bytes_in, moved.bytes_out);
            let done = TaskResult { bytes_in: moved.bytes_in, bytes_out: moved.bytes_out, rows: moved.rows_out };
            Ok::<_, Error>((moved.rows_in > 0).then_some(done))
        })?;
        Ok(receipt)
    }
}

impl Engine {
    /// Moves the partition of a table that holds a time to a tier, at once and whatever its age. It stays there until its
    /// policy asks for another.
    ///
    /// # Errors
    /// `TableNotFound`; `InvalidInput` when the table has no rows there, they cannot be read, or it has no such tier;
    /// `Io`, `Corruption`; then the partition is where it was.
    pub fn move_partition(&self, table: TableId, time_ns: i64, tier: Tier) -> Result<MoveReceipt> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        let version = self.version();
        let found = version.tables.get(&table);
        let found = found.ok_or_else(|| Error::TableNotFound { name: format!("with id {table}") })?;
        core.move_partition(&found.schema, time_ns, tier)
    }

    /// Changes what the tables of a namespace, or without one those of the whole database, do where they do not say it
    /// themselves; returns what holds now. Durable when it returns.
    ///
    /// # Errors
    /// `InvalidInput` for options that make no sense; `Io`.
    pub fn alter_tier_defaults(&self, namespace: Option<&str>, change: &TierChange) -> Result<TierPolicy> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.alter_tier_defaults(namespace, change)
    }

    /// The tier policy of a table: what it says itself, then its namespace, then the database.
    pub fn tier_policy(&self, table: &TableSchema) -> TierPolicy {
        match self.mode() {
            Mode::Writing(writing) => writing.core.store.manifest.lock().state().tier_policy(table),
            Mode::ReadOnly(attachment) => attachment.manifest_state().tier_policy(table),
        }
    }
}
