//! What the edits of a manifest add up to.
//!
//! Invariant: ids below `next_table_id` and `next_segment_id` were given out and are never given out again, whether or
//! not the table or segment is still there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::edit::{Entry, ManifestEdit, SegmentMeta};
use crate::types::{Lsn, SegmentId, TableId, TableSchema, TierPolicy, Tombstone, TombstoneId};

/// The tables and segments of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestState {
    /// The tables.
    pub tables: BTreeMap<TableId, Arc<TableSchema>>,
    /// The segments.
    pub segments: BTreeMap<SegmentId, SegmentMeta>,
    /// The deletes that may still affect a section.
    pub tombstones: BTreeMap<TombstoneId, Arc<Tombstone>>,
    /// What the tables of a namespace do where they do not say it themselves; without a name, those of all.
    pub tier_defaults: BTreeMap<Option<String>, TierPolicy>,
    /// Commits up to this one are in segments.
    pub flushed_lsn: Lsn,
    /// Id for the next table.
    pub next_table_id: TableId,
    /// Id for the next segment.
    pub next_segment_id: SegmentId,
    /// Id for the next delete.
    pub next_tombstone_id: TombstoneId,
}

impl Default for ManifestState {
    fn default() -> Self {
        Self {
            tables: BTreeMap::new(),
            segments: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            tier_defaults: BTreeMap::new(),
            flushed_lsn: Lsn(0),
            next_table_id: TableId(1),
            next_segment_id: SegmentId(1),
            next_tombstone_id: TombstoneId(1),
        }
    }
}

impl ManifestState {
    /// Applies an entry; the error is the reason why it does not fit, and the state is unchanged then.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        match entry {
            Entry::Edit(edit) => self.apply_edit(edit),
            Entry::NextIds { table, segment, tombstone } => {
                self.next_table_id = self.next_table_id.max(*table);
                self.next_segment_id = self.next_segment_id.max(*segment);
                self.next_tombstone_id = self.next_tombstone_id.max(*tombstone);
                Ok(())
            }
        }
    }

    fn apply_edit(&mut self, edit: &ManifestEdit) -> Result<(), String> {
        match edit {
            ManifestEdit::CreateTable(schema) => {
                if schema.id < self.next_table_id || schema.id.0 == u64::MAX {
                    return Err(format!("table id {} was given out before", schema.id));
                }
                self.next_table_id = schema.id.next();
                self.tables.insert(schema.id, Arc::new(schema.clone()));
            }
            ManifestEdit::AlterTable(schema) => {
                let table = self.tables.get_mut(&schema.id);
                *table.ok_or_else(|| format!("there is no table {} to alter", schema.id))? = Arc::new(schema.clone());
            }
            ManifestEdit::DropTable(id) => {
                self.tables.remove(id).ok_or_else(|| format!("there is no table {id} to drop"))?;
                self.tombstones.retain(|_, tombstone| tombstone.table != *id);
                for segment in self.segments.values_mut() {
                    segment.sections.retain(|section| section.table != *id);
                }
                self.segments.retain(|_, segment| !segment.sections.is_empty());
            }
            ManifestEdit::AddSegment(segment) => {
                // Segments are written side by side, so they may be added in another order than that of their ids.
                if self.segments.contains_key(&segment.id) || segment.id.0 == u64::MAX {
                    return Err(format!("segment id {} is taken", segment.id));
                }
                self.next_segment_id = self.next_segment_id.max(segment.id.next());
                self.segments.insert(segment.id, segment.clone());
            }
            ManifestEdit::RemoveSegment(id) => {
                self.segments.remove(id).ok_or_else(|| format!("there is no segment {id} to remove"))?;
            }
            ManifestEdit::RemoveSections(id, removed) => {
                let segment = self.segments.get_mut(id).ok_or_else(|| format!("there is no segment {id}"))?;
                let is_there = |(table, partition_start_ns): &(TableId, i64)| {
                    let mut sections = segment.sections.iter();
                    sections.any(|section| section.is_at(*table, *partition_start_ns))
                };
                if let Some((table, partition)) = removed.iter().find(|place| !is_there(place)) {
                    return Err(format!("segment {id} has no section of table {table} and partition {partition}"));
                }
                segment
                    .sections
                    .retain(|section| !removed.iter().any(|(table, partition)| section.is_at(*table, *partition)));
                if segment.sections.is_empty() {
                    self.segments.remove(id);
                }
            }
            ManifestEdit::AddTombstone(tombstone) => {
                if tombstone.id < self.next_tombstone_id || tombstone.id.0 == u64::MAX {
                    return Err(format!("tombstone id {} was given out before", tombstone.id));
                }
                if !self.tables.contains_key(&tombstone.table) {
                    return Err(format!("there is no table {} to delete from", tombstone.table));
                }
                self.next_tombstone_id = tombstone.id.next();
                self.tombstones.insert(tombstone.id, Arc::new(tombstone.clone()));
            }
            ManifestEdit::RemoveTombstone(id) => {
                self.tombstones.remove(id).ok_or_else(|| format!("there is no tombstone {id} to remove"))?;
            }
            ManifestEdit::FlushedLsn(lsn) => {
                if *lsn < self.flushed_lsn {
                    return Err(format!("flushed LSN {lsn} is below {}", self.flushed_lsn));
                }
                self.flushed_lsn = *lsn;
            }
            ManifestEdit::SetTierDefaults(namespace, policy) if *policy == TierPolicy::default() => {
                self.tier_defaults.remove(namespace);
            }
            ManifestEdit::SetTierDefaults(namespace, policy) => {
                self.tier_defaults.insert(namespace.clone(), policy.clone());
            }
        }
        Ok(())
    }

    /// The tier policy of a table: what it says itself, then its namespace, then the database.
    pub fn tier_policy(&self, table: &TableSchema) -> TierPolicy {
        let levels = [Some(table.namespace.clone()), None];
        let wider = levels.iter().filter_map(|level| self.tier_defaults.get(level));
        wider.fold(table.options.tiers.clone(), |policy, wider| policy.within(wider))
    }

    /// Entries that lead from an empty manifest to this state.
    pub(super) fn to_entries(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.tables.len() + self.segments.len() + self.tombstones.len() + 2);
        entries.extend(self.tables.values().map(|table| Entry::Edit(ManifestEdit::CreateTable((**table).clone()))));
        entries.extend(self.segments.values().map(|segment| Entry::Edit(ManifestEdit::AddSegment(segment.clone()))));
        entries
            .extend(self.tombstones.values().map(|delete| Entry::Edit(ManifestEdit::AddTombstone((**delete).clone()))));
        let defaults = self.tier_defaults.iter();
        entries.extend(
            defaults.map(|(namespace, policy)| {
                Entry::Edit(ManifestEdit::SetTierDefaults(namespace.clone(), policy.clone()))
            }),
        );
        entries.push(Entry::Edit(ManifestEdit::FlushedLsn(self.flushed_lsn)));
        entries.push(Entry::NextIds {
            table: self.next_table_id,
            segment: self.next_segment_id,
            tombstone: self.next_tombstone_id,
        });
        entries
    }
}
