//! Retention: rows that are older than their table keeps them.
//!
//! Sections that expired whole are removed, which gives their space back at once when a segment has no other. What
//! remains of a partition that has expired in part is hidden by a tombstone and goes with its partition.
//!
//! Queries do not wait for that: a snapshot leaves out what had expired when it was taken. What is dropped here does not
//! come back when the retention is made longer; what was only left out does.

use super::compaction::settled_tombstones;
use super::store::Store;
use crate::error::Result;
use crate::manifest::{ManifestEdit, ManifestState};
use crate::types::{TableId, TableSchema, TimeRange, Tombstone, TombstoneCause, TombstoneId};

/// The tombstone of a table moves when the time it hides up to moved by at least this part of the retention: each move is
/// a record in the manifest.
const MOVE_PART: i64 = 100;

impl Store {
    /// Drops what expired at `now_ns`; returns how many rows of whole sections went.
    pub(super) fn apply_retention(&self, now_ns: i64) -> Result<u64> {
        let mut manifest = self.manifest.lock();
        let (edits, rows) = expired(manifest.state(), now_ns);
        if edits.is_empty() {
            return Ok(0);
        }
        manifest.append(&edits)?;
        let settled = settled_tombstones(manifest.state());
        if !settled.is_empty() {
            manifest.append(&settled)?;
        }
        self.memtables.publish(self.next_version(&manifest, Vec::new()));
        Ok(rows)
    }
}

/// The edits that drop what expired, and the rows of the sections that go whole.
fn expired(state: &ManifestState, now_ns: i64) -> (Vec<ManifestEdit>, u64) {
    let cutoff = |table: TableId| {
        let unexpired = state.tables.get(&table)?.options.unexpired(now_ns);
        (unexpired != TimeRange::ALL).then_some(unexpired.start_ns)
    };
    let mut edits = Vec::new();
    let mut rows = 0;
    for (id, segment) in &state.segments {
        let mut places = Vec::new();
        for section in &segment.sections {
            if cutoff(section.table).is_some_and(|cutoff_ns| section.time_range.end_ns < cutoff_ns) {
                places.push((section.table, section.partition_start_ns));
                rows += u64::from(section.row_count);
            }
        }
        if !places.is_empty() {
            edits.push(ManifestEdit::RemoveSections(*id, places));
        }
    }
    let mut next_id = state.next_tombstone_id;
    for table in state.tables.values() {
        let Some(cutoff_ns) = cutoff(table.id) else { continue };
        if let Some((tombstone, replaced)) = hidden(state, table, cutoff_ns) {
            edits.extend(replaced.into_iter().map(ManifestEdit::RemoveTombstone));
            edits.push(ManifestEdit::AddTombstone(Tombstone { id: next_id, ..tombstone }));
            next_id = next_id.next();
        }
    }
    (edits, rows)
}

/// The tombstone for the sections of a table that expired in part, and those that it takes the place of; `None` when
/// they are hidden already.
fn hidden(state: &ManifestState, table: &TableSchema, cutoff_ns: i64) -> Option<(Tombstone, Vec<TombstoneId>)> {
    let step_ns = table.options.retention_ns.unwrap_or(0) / MOVE_PART;
    let own = || {
        let mut tombstones = state.tombstones.values();
        std::iter::from_fn(move || {
            tombstones.find(|tombstone| tombstone.table == table.id && tombstone.cause == TombstoneCause::Retention)
        })
    };
    let is_hidden = |commit_order: u64| {
        own().any(|tombstone| {
            let reaches = tombstone.range.end_ns >= cutoff_ns.saturating_sub(1 + step_ns);
            reaches && tombstone.commit_order >= commit_order
        })
    };
    let in_part = state.segments.values().filter(|segment| {
        let expired_in_part = segment.sections.iter().any(|section| {
            let range = section.time_range;
            section.table == table.id && range.start_ns < cutoff_ns && range.end_ns >= cutoff_ns
        });
        expired_in_part && !is_hidden(segment.commit_order)
    });
    let commit_order = in_part.map(|segment| segment.commit_order).max()?;
    let range = TimeRange { start_ns: i64::MIN, end_ns: cutoff_ns - 1 };
    // One that hid more, under a shorter retention, stays: what was dropped does not come back.
    let replaced =
        own().filter(|old| old.range.end_ns <= range.end_ns && old.commit_order <= commit_order).map(|old| old.id);
    let (id, cause) = (state.next_tombstone_id, TombstoneCause::Retention);
    let tombstone = Tombstone { id, table: table.id, commit_order, range, conditions: Vec::new(), cause };
    Some((tombstone, replaced.collect()))
}
