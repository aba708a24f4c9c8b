//! Which partition moves to another tier next.
//!
//! A partition of a table is moved whole: all its runs become one of the new tier. Tables of one width whose partition
//! is due move together, so that thousands of small tables do not become thousands of files. Rows that come later are a
//! hot run above it, which is the matter of compaction.

use std::collections::BTreeMap;

use super::strategy::{CompactionChoice, PartitionKey};
use crate::error::{Error, Result};
use crate::manifest::{ManifestState, SegmentMeta};
use crate::types::{TableId, Tier, partition_of};

/// A partition that could not be moved is left alone for this long, so that others get their turn.
const RETRY_NS: i64 = 3_600 * 1_000_000_000;

/// What a table has in a partition.
#[derive(Debug, Clone, Copy)]
struct Held {
    coldest: Tier,
    is_readable: bool,
    has_hot: bool,
    first_order: u64,
    last_order: u64,
}

/// Chooses moves, and remembers which failed.
#[derive(Debug, Default)]
pub(in crate::engine) struct Mover {
    /// When the last attempt failed.
    failed: BTreeMap<PartitionKey, i64>,
}

impl Mover {
    /// The oldest partition of which every row that may still come is too old for the hot tier, with all tables to which
    /// that applies; `None` when none is due.
    pub(super) fn choose(
        &mut self,
        state: &ManifestState,
        now_ns: i64,
        is_readable: &dyn Fn(&SegmentMeta) -> bool,
        is_claimed: &dyn Fn(PartitionKey) -> bool,
    ) -> Option<CompactionChoice> {
        self.failed.retain(|_, failed_ns| now_ns.saturating_sub(*failed_ns) < RETRY_NS);
        let hot_for: BTreeMap<TableId, i64> = state
            .tables
            .values()
            .filter_map(|table| Some((table.id, *state.tier_policy(table).hot_for_ns.value()?)))
            .collect();
        if hot_for.is_empty() {
            return None;
        }
        let mut oldest: Option<CompactionChoice> = None;
        for ((key, table), held) in held_by_partition(state, is_readable, &|table| hot_for.contains_key(&table)) {
            let Some(cutoff_ns) = hot_for.get(&table).and_then(|age_ns| now_ns.checked_sub(*age_ns)) else { continue };
            let end_ns = partition_of(key.start_ns, key.width_ns).end_ns;
            let is_due = held.coldest == Tier::Hot && held.is_readable && end_ns < cutoff_ns;
            if !is_due || self.failed.contains_key(&key) || is_claimed(key) {
                continue;
            }
            match &mut oldest {
                Some(choice) if choice.partition == key => choice.include(table, held.first_order, held.last_order),
                Some(choice) if partition_of(choice.partition.start_ns, choice.partition.width_ns).end_ns <= end_ns => {
                }
                _ => oldest = Some(CompactionChoice::of(key, table, held, Tier::Warm)),
            }
        }
        oldest
    }

    /// Remembers that a move failed.
    pub(super) fn failed(&mut self, key: PartitionKey, now_ns: i64) {
        self.failed.insert(key, now_ns);
    }
}

/// The partition of a table that holds a time.
///
/// # Errors
/// `TableNotFound`.
pub(super) fn partition_key(state: &ManifestState, table: TableId, time_ns: i64) -> Result<PartitionKey> {
    let schema = state.tables.get(&table).ok_or_else(|| Error::TableNotFound { name: format!("with id {table}") })?;
    let width_ns = schema.options.partition_ns;
    Ok(PartitionKey { width_ns, start_ns: partition_of(time_ns, width_ns).start_ns })
}

/// A partition of a table, whole, to a tier; `None` when all of it is there in one run.
///
/// # Errors
/// `TableNotFound`; `InvalidInput` when the table has no rows in segments there, or a segment of it cannot be read.
pub(super) fn choose_by_hand(
    state: &ManifestState,
    table: TableId,
    key: PartitionKey,
    tier: Tier,
    is_readable: &dyn Fn(&SegmentMeta) -> bool,
) -> Result<Option<CompactionChoice>> {
    let schema = state.tables.get(&table).ok_or_else(|| Error::TableNotFound { name: format!("with id {table}") })?;
    let held = held_by_partition(state, is_readable, &|one| one == table);
    let Some(held) = held.get(&(key, table)) else {
        return Err(Error::invalid(format!(
            "table '{}' has no rows in the partition of that time: see SELECT * FROM system.partitions",
            schema.name
        )));
    };
    if !held.is_readable {
        return Err(Error::invalid(format!(
            "a segment of that partition of table '{}' cannot be read: see SELECT * FROM system.corruption",
            schema.name
        )));
    }
    if tier == Tier::Cold {
        return Err(Error::invalid("this version cannot write cold partitions: move it to 'warm'"));
    }
    let is_there = held.coldest == tier && held.first_order == held.last_order && (tier == Tier::Hot || !held.has_hot);
    Ok((!is_there).then(|| CompactionChoice::of(key, table, *held, tier)))
}

/// What each table that is asked for has in each partition.
fn held_by_partition(
    state: &ManifestState,
    is_readable: &dyn Fn(&SegmentMeta) -> bool,
    is_wanted: &dyn Fn(TableId) -> bool,
) -> BTreeMap<(PartitionKey, TableId), Held> {
    let mut partitions: BTreeMap<(PartitionKey, TableId), Held> = BTreeMap::new();
    for segment in state.segments.values() {
        let is_readable = is_readable(segment);
        for section in segment.sections.iter().filter(|section| is_wanted(section.table)) {
            let Some(key) = PartitionKey::of(state, section) else { continue };
            let order = segment.commit_order;
            let held = partitions.entry((key, section.table)).or_insert(Held {
                coldest: Tier::Hot,
                is_readable: true,
                has_hot: false,
                first_order: order,
                last_order: order,
            });
            held.coldest = held.coldest.max(segment.tier);
            held.is_readable &= is_readable;
            held.has_hot |= segment.tier == Tier::Hot;
            held.first_order = held.first_order.min(order);
            held.last_order = held.last_order.max(order);
        }
    }
    partitions
}

impl CompactionChoice {
    fn of(partition: PartitionKey, table: TableId, held: Held, tier: Tier) -> Self {
        let (first_order, last_order) = (held.first_order, held.last_order);
        Self { partition, first_order, last_order, tables: [table].into(), tier }
    }

    fn include(&mut self, table: TableId, first_order: u64, last_order: u64) {
        self.tables.insert(table);
        self.first_order = self.first_order.min(first_order);
        self.last_order = self.last_order.max(last_order);
    }
}
