//! What the tables have in each tier, for `system.tiers`.

use std::collections::{BTreeMap, BTreeSet};

use super::handle::{Engine, Mode};
use crate::manifest::ManifestState;
use crate::segment::Section;
use crate::snapshot::Version;
use crate::types::{FieldType, TableId, Tier, TimeRange};

/// A text counts as this much before compression, its place in a column of Arrow: how long texts are is not looked up.
const TEXT_BYTES: u64 = 16;

/// What a table has in a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierInfo {
    /// The table.
    pub table: TableId,
    /// The tier.
    pub tier: Tier,
    /// Partitions with rows in it.
    pub partitions: u64,
    /// Segments with rows in it.
    pub segments: u64,
    /// Rows, before duplicates are resolved.
    pub rows: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// What they would take as plain columns: 8 bytes per time and per number, 1 per boolean, 16 per text; tags are not
    /// counted. Segments that cannot be read count for nothing.
    pub raw_bytes: u64,
    /// First and last time.
    pub time_range: TimeRange,
}

impl Engine {
    /// The time now by the clock of the options, in nanoseconds since the epoch: what ages count from.
    pub fn now_ns(&self) -> i64 {
        match self.mode() {
            Mode::Writing(writing) => (writing.core.store.options.clock)(),
            Mode::ReadOnly(attachment) => attachment.now_ns(),
        }
    }

    /// What each table has in each tier, in the order of tables. Rows in memory are in none yet.
    pub fn tiers(&self) -> Vec<TierInfo> {
        match self.mode() {
            Mode::Writing(writing) => {
                let store = &writing.core.store;
                let manifest = store.manifest.lock();
                tiers(manifest.state(), &store.memtables.version())
            }
            Mode::ReadOnly(attachment) => tiers(&attachment.manifest_state(), &attachment.version()),
        }
    }
}

fn tiers(state: &ManifestState, version: &Version) -> Vec<TierInfo> {
    let mut tiers: BTreeMap<(TableId, Tier), (TierInfo, BTreeSet<i64>)> = BTreeMap::new();
    for segment in state.segments.values() {
        let open = version.segments.get(&segment.id);
        for section in &segment.sections {
            let (table, tier, time_range) = (section.table, segment.tier, section.time_range);
            let (info, partitions) = tiers.entry((table, tier)).or_insert_with(|| {
                let none =
                    TierInfo { table, tier, partitions: 0, segments: 0, rows: 0, bytes: 0, raw_bytes: 0, time_range };
                (none, BTreeSet::new())
            });
            partitions.insert(section.partition_start_ns);
            info.partitions = partitions.len() as u64;
            info.rows += u64::from(section.row_count);
            info.bytes += section.byte_len;
            info.time_range.start_ns = info.time_range.start_ns.min(time_range.start_ns);
            info.time_range.end_ns = info.time_range.end_ns.max(time_range.end_ns);
            let found = open.and_then(|open| open.section(table, section.partition_start_ns));
            info.raw_bytes += found.map_or(0, |section| raw_bytes(section));
        }
        let tables: BTreeSet<TableId> = segment.sections.iter().map(|section| section.table).collect();
        for table in tables {
            if let Some((info, _)) = tiers.get_mut(&(table, segment.tier)) {
                info.segments += 1;
            }
        }
    }
    tiers.into_values().map(|(info, _)| info).collect()
}

fn raw_bytes(section: &Section) -> u64 {
    let width = |field_type: FieldType| match field_type {
        FieldType::Bool => 1,
        FieldType::String | FieldType::Binary => TEXT_BYTES,
        FieldType::F64 | FieldType::I64 | FieldType::U64 => 8,
    };
    let row_bytes = 8 + section.columns().iter().map(|column| width(column.field_type())).sum::<u64>();
    u64::from(section.row_count()) * row_bytes
}
