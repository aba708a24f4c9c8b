//! Carries out one move: the rows of a partition are rewritten in the form of another tier.
//!
//! It is the job of a compaction with another tier for its output, and as safe: the new segments are durable and compared
//! with their inputs before one manifest record exchanges them, and whoever reads the old ones goes on reading them. A
//! delete or a retention that comes while rows are copied holds for the output too, as for that of a compaction.

use std::cell::Cell;

use super::super::store::Store;
use super::job::{CompactionOutcome, Inputs, JobLimits};
use super::move_choice::{Mover, choose_by_hand, partition_key};
use super::strategy::{CompactionChoice, PartitionKey};
use crate::error::{Error, Result};
use crate::manifest::SegmentMeta;
use crate::types::{TableId, Tier};

/// A move takes this part of the memory of a compaction, which may run at the same time.
const MEMORY_PART: u64 = 2;

/// Is told what was read so far, and may take its time; its error ends the move.
pub(in crate::engine) type OnProgress<'a> = &'a dyn Fn(&CompactionOutcome) -> Result<()>;

impl Store {
    /// Moves the partition that is due first; `None` when none is. What was moved is nothing when its rows went
    /// meanwhile.
    pub(in crate::engine) fn move_once(
        &self,
        mover: &mut Mover,
        now_ns: i64,
        on_progress: OnProgress<'_>,
    ) -> Result<Option<CompactionOutcome>> {
        let (_claim, choice, inputs) = loop {
            let manifest = self.manifest.lock();
            let (state, version) = (manifest.state(), self.memtables.version());
            let is_readable = |segment: &SegmentMeta| version.segments.contains_key(&segment.id);
            let is_claimed = |key: PartitionKey| self.claims.contains(key);
            let Some(choice) = mover.choose(state, now_ns, &is_readable, &is_claimed) else { return Ok(None) };
            // A move by hand may have come in between.
            let Some(claim) = self.claims.claim(choice.partition) else { continue };
            let inputs = Inputs::collect(&choice, state, &version);
            break (claim, choice, inputs);
        };
        let moved = self.carry_out(&choice, &inputs, on_progress);
        if let Err(error) = &moved
            && !matches!(error, Error::Closed)
        {
            mover.failed(choice.partition, now_ns);
        }
        moved.map(|moved| Some(moved.unwrap_or_default()))
    }

    /// Whether a move by hand can begin: what cannot is a mistake of who asks, and no work that failed.
    ///
    /// # Errors
    /// As [`choose_by_hand`].
    pub(in crate::engine) fn check_move(&self, table: TableId, time_ns: i64, tier: Tier) -> Result<()> {
        let manifest = self.manifest.lock();
        let (state, version) = (manifest.state(), self.memtables.version());
        let is_readable = |segment: &SegmentMeta| version.segments.contains_key(&segment.id);
        choose_by_hand(state, table, partition_key(state, table, time_ns)?, tier, &is_readable).map(drop)
    }

    /// Moves the partition of a table that holds `time_ns`, whatever its age; nothing when all of it is there.
    ///
    /// # Errors
    /// As [`choose_by_hand`]; `Io`, `Corruption`.
    pub(in crate::engine) fn move_by_hand(
        &self,
        table: TableId,
        time_ns: i64,
        tier: Tier,
        on_progress: OnProgress<'_>,
    ) -> Result<CompactionOutcome> {
        let key = partition_key(self.manifest.lock().state(), table, time_ns)?;
        let _claim = self.claims.claim_when_free(key);
        loop {
            let (choice, inputs) = {
                let manifest = self.manifest.lock();
                let (state, version) = (manifest.state(), self.memtables.version());
                let is_readable = |segment: &SegmentMeta| version.segments.contains_key(&segment.id);
                let Some(choice) = choose_by_hand(state, table, key, tier, &is_readable)? else {
                    return Ok(CompactionOutcome::default());
                };
                let inputs = Inputs::collect(&choice, state, &version);
                (choice, inputs)
            };
            // A part of it may have expired meanwhile.
            if let Some(moved) = self.carry_out(&choice, &inputs, on_progress)? {
                return Ok(moved);
            }
        }
    }

    fn carry_out(
        &self,
        choice: &CompactionChoice,
        inputs: &Inputs,
        on_progress: OnProgress<'_>,
    ) -> Result<Option<CompactionOutcome>> {
        tracing::debug!(?choice, rows = inputs.outcome.rows_in, "a move begins");
        let rows_done = Cell::new(0);
        let on_rows = |rows: u64| {
            if self.memory.is_closed() {
                return Err(Error::Closed);
            }
            rows_done.set(rows_done.get() + rows);
            let total = inputs.outcome;
            // Deleted rows and duplicates are read and not copied, so it may end below the total.
            let bytes_in = u128::from(total.bytes_in) * u128::from(rows_done.get()) / u128::from(total.rows_in.max(1));
            let bytes_in = u64::try_from(bytes_in).unwrap_or(u64::MAX);
            let rows = rows_done.get();
            on_progress(&CompactionOutcome { bytes_in, bytes_out: 0, rows_in: rows, rows_out: rows })
        };
        let memory_bytes_max = self.options.compaction_bytes_max / MEMORY_PART;
        self.rewrite(inputs, &JobLimits { memory_bytes_max, on_rows: &on_rows })
    }
}
