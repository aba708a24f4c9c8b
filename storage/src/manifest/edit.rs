//! Edits of the manifest and their bytes.
//!
//! Decoding is for untrusted bytes: it never panics, and allocates no more than a small multiple of what it was given.

use crate::framing::{ByteReader, ByteWriter, decode_schema, decode_tier_policy, encode_schema, encode_tier_policy};
use crate::types::{
    ColumnId, Lsn, SegmentId, TableId, TableSchema, TagCondition, Tier, TierPolicy, TimeRange, Tombstone,
    TombstoneCause, TombstoneId,
};

/// What the manifest knows of a segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// The segment; also names its file.
    pub id: SegmentId,
    /// Length of the file.
    pub file_len: u64,
    /// Of two sections of a table, rows of the one in the segment of larger order were committed later. A flush takes
    /// the id of its segment; a compaction the largest order of what it merged.
    pub commit_order: u64,
    /// Deletes with a smaller id were applied when it was written.
    pub deletes_applied: TombstoneId,
    /// The tier of its rows.
    pub tier: Tier,
    /// Its sections that are part of the database, in the order of tables, then partitions.
    pub sections: Vec<SectionMeta>,
}

impl SegmentMeta {
    /// Rows of all its sections.
    pub fn row_count(&self) -> u64 {
        self.sections.iter().map(|section| u64::from(section.row_count)).sum()
    }
}

/// What the manifest knows of a section of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionMeta {
    /// The table.
    pub table: TableId,
    /// First time of the partition.
    pub partition_start_ns: i64,
    /// Its rows.
    pub row_count: u32,
    /// Bytes of its data and metadata.
    pub byte_len: u64,
    /// First and last time of its rows.
    pub time_range: TimeRange,
}

impl SectionMeta {
    /// Whether it is the section of this table and partition.
    pub(crate) fn is_at(&self, table: TableId, partition_start_ns: i64) -> bool {
        self.table == table && self.partition_start_ns == partition_start_ns
    }
}

/// One change of what makes up the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestEdit {
    /// A table is there from now on. Its id is new.
    CreateTable(TableSchema),
    /// A table has another schema from now on.
    AlterTable(TableSchema),
    /// A table is gone, and its id stays used.
    DropTable(TableId),
    /// A segment is part of the database from now on. Its id is new.
    AddSegment(SegmentMeta),
    /// A segment is part of the database no more, and its id stays used.
    RemoveSegment(SegmentId),
    /// Sections of a segment, named by table and partition, are part of the database no more. The segment goes with its
    /// last section.
    RemoveSections(SegmentId, Vec<(TableId, i64)>),
    /// Rows are deleted from now on. Its id is new.
    AddTombstone(Tombstone),
    /// No section holds rows that the tombstone names.
    RemoveTombstone(TombstoneId),
    /// Commits up to this one are in segments.
    FlushedLsn(Lsn),
    /// What the tables of a namespace, or without one those of all, do where they do not say it themselves.
    SetTierDefaults(Option<String>, TierPolicy),
}

/// What stands in the file: an edit, or the ids that a rewritten manifest must not give out again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "all but one entry of a file are edits")]
pub(super) enum Entry {
    Edit(ManifestEdit),
    NextIds { table: TableId, segment: SegmentId, tombstone: TombstoneId },
}

const CREATE_TABLE: u8 = 1;
const ALTER_TABLE: u8 = 2;
const DROP_TABLE: u8 = 3;
const ADD_SEGMENT: u8 = 4;
const REMOVE_SEGMENT: u8 = 5;
const FLUSHED_LSN: u8 = 6;
const NEXT_IDS: u8 = 7;
const REMOVE_SECTIONS: u8 = 8;
const ADD_TOMBSTONE: u8 = 9;
const REMOVE_TOMBSTONE: u8 = 10;
const ADD_TIERED_SEGMENT: u8 = 11;
const SET_TIER_DEFAULTS: u8 = 12;

/// A segment file in the directory of the database.
const PLACE_DATABASE: u8 = 0;

const CAUSE_DELETE: u8 = 0;
const CAUSE_RETENTION: u8 = 1;

/// Encodes a group of entries as the payload of one record.
pub(super) fn encode_entries<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u8> {
    let mut out = ByteWriter::default();
    for entry in entries {
        match entry {
            Entry::Edit(ManifestEdit::CreateTable(schema)) => encode_table(CREATE_TABLE, schema, &mut out),
            Entry::Edit(ManifestEdit::AlterTable(schema)) => encode_table(ALTER_TABLE, schema, &mut out),
            Entry::Edit(ManifestEdit::DropTable(id)) => {
                out.u8(DROP_TABLE);
                out.u64(id.0);
            }
            Entry::Edit(ManifestEdit::AddSegment(segment)) => encode_segment(segment, &mut out),
            Entry::Edit(ManifestEdit::RemoveSegment(id)) => {
                out.u8(REMOVE_SEGMENT);
                out.u64(id.0);
            }
            Entry::Edit(ManifestEdit::FlushedLsn(lsn)) => {
                out.u8(FLUSHED_LSN);
                out.u64(lsn.0);
            }
            Entry::Edit(ManifestEdit::RemoveSections(id, sections)) => {
                out.u8(REMOVE_SECTIONS);
                out.u64(id.0);
                out.u32(count(sections));
                for (table, partition_start_ns) in sections {
                    out.u64(table.0);
                    out.i64(*partition_start_ns);
                }
            }
            Entry::Edit(ManifestEdit::AddTombstone(tombstone)) => encode_tombstone(tombstone, &mut out),
            Entry::Edit(ManifestEdit::RemoveTombstone(id)) => {
                out.u8(REMOVE_TOMBSTONE);
                out.u64(id.0);
            }
            Entry::Edit(ManifestEdit::SetTierDefaults(namespace, policy)) => {
                out.u8(SET_TIER_DEFAULTS);
                // No namespace has an empty name.
                out.text(namespace.as_deref().unwrap_or_default());
                encode_tier_policy(policy, &mut out);
            }
            Entry::NextIds { table, segment, tombstone } => {
                out.u8(NEXT_IDS);
                out.u64(table.0);
                out.u64(segment.0);
                out.u64(tombstone.0);
            }
        }
    }
    out.bytes
}

fn encode_table(kind: u8, schema: &TableSchema, out: &mut ByteWriter) {
    out.u8(kind);
    encode_schema(schema, out);
}

fn encode_segment(segment: &SegmentMeta, out: &mut ByteWriter) {
    // Hot ones have the kind of before there were tiers: a database of hot rows alone stays readable for older builds.
    out.u8(if segment.tier == Tier::Hot { ADD_SEGMENT } else { ADD_TIERED_SEGMENT });
    out.u64(segment.id.0);
    out.u64(segment.file_len);
    out.u64(segment.commit_order);
    out.u64(segment.deletes_applied.0);
    if segment.tier != Tier::Hot {
        out.u8(segment.tier.code());
        out.u8(PLACE_DATABASE);
    }
    out.u32(count(&segment.sections));
    for section in &segment.sections {
        out.u64(section.table.0);
        out.i64(section.partition_start_ns);
        out.u32(section.row_count);
        out.u64(section.byte_len);
        out.i64(section.time_range.start_ns);
        out.i64(section.time_range.end_ns);
    }
}

fn encode_tombstone(tombstone: &Tombstone, out: &mut ByteWriter) {
    out.u8(ADD_TOMBSTONE);
    out.u64(tombstone.id.0);
    out.u64(tombstone.table.0);
    out.u64(tombstone.commit_order);
    out.i64(tombstone.range.start_ns);
    out.i64(tombstone.range.end_ns);
    out.u8(match tombstone.cause {
        TombstoneCause::Delete => CAUSE_DELETE,
        TombstoneCause::Retention => CAUSE_RETENTION,
    });
    out.u32(count(&tombstone.conditions));
    for condition in &tombstone.conditions {
        out.u32(condition.tag.0);
        out.u8(u8::from(condition.accepts_null));
        out.u32(count(&condition.values));
        condition.values.iter().for_each(|value| out.text(value));
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("a record of at most 1 GiB lists fewer than 4 G items")
}

/// Decodes the payload of a record; the error is the reason.
pub(super) fn decode_entries(payload: &[u8]) -> Result<Vec<Entry>, String> {
    let mut reader = ByteReader::new(payload);
    let mut entries = Vec::new();
    while reader.remaining() > 0 {
        let start = reader.position();
        let kind = reader.u8().unwrap_or(0);
        let entry = decode_entry(kind, &mut reader);
        entries.push(entry.ok_or_else(|| format!("an edit of kind {kind} at payload byte {start} is malformed"))?);
    }
    Ok(entries)
}

fn decode_entry(kind: u8, reader: &mut ByteReader<'_>) -> Option<Entry> {
    let edit = match kind {
        CREATE_TABLE => ManifestEdit::CreateTable(decode_schema(reader)?),
        ALTER_TABLE => ManifestEdit::AlterTable(decode_schema(reader)?),
        DROP_TABLE => ManifestEdit::DropTable(TableId(reader.u64()?)),
        ADD_SEGMENT | ADD_TIERED_SEGMENT => ManifestEdit::AddSegment(decode_segment(kind, reader)?),
        REMOVE_SEGMENT => ManifestEdit::RemoveSegment(SegmentId(reader.u64()?)),
        FLUSHED_LSN => ManifestEdit::FlushedLsn(Lsn(reader.u64()?)),
        REMOVE_SECTIONS => {
            let id = SegmentId(reader.u64()?);
            let mut sections = Vec::new();
            for _ in 0..reader.u32()? {
                sections.push((TableId(reader.u64()?), reader.i64()?));
            }
            ManifestEdit::RemoveSections(id, sections)
        }
        ADD_TOMBSTONE => ManifestEdit::AddTombstone(decode_tombstone(reader)?),
        REMOVE_TOMBSTONE => ManifestEdit::RemoveTombstone(TombstoneId(reader.u64()?)),
        SET_TIER_DEFAULTS => {
            let namespace = Some(reader.text()?.to_owned()).filter(|namespace| !namespace.is_empty());
            ManifestEdit::SetTierDefaults(namespace, decode_tier_policy(reader)?)
        }
        NEXT_IDS => {
            return Some(Entry::NextIds {
                table: TableId(reader.u64()?),
                segment: SegmentId(reader.u64()?),
                tombstone: TombstoneId(reader.u64()?),
            });
        }
        _ => return None,
    };
    Some(Entry::Edit(edit))
}

fn decode_segment(kind: u8, reader: &mut ByteReader<'_>) -> Option<SegmentMeta> {
    let id = SegmentId(reader.u64()?);
    let file_len = reader.u64()?;
    let commit_order = reader.u64()?;
    let deletes_applied = TombstoneId(reader.u64()?);
    let tier = match kind {
        ADD_TIERED_SEGMENT => {
            let tier = Tier::from_code(reader.u8()?).filter(|tier| *tier != Tier::Hot)?;
            (reader.u8()? == PLACE_DATABASE).then_some(tier)?
        }
        _ => Tier::Hot,
    };
    let mut sections = Vec::new();
    for _ in 0..reader.u32()? {
        sections.push(SectionMeta {
            table: TableId(reader.u64()?),
            partition_start_ns: reader.i64()?,
            row_count: reader.u32()?,
            byte_len: reader.u64()?,
            time_range: TimeRange { start_ns: reader.i64()?, end_ns: reader.i64()? },
        });
    }
    let place = |section: &SectionMeta| (section.table, section.partition_start_ns);
    let is_sorted = sections.is_sorted_by(|a, b| place(a) < place(b));
    is_sorted.then_some(SegmentMeta { id, file_len, commit_order, deletes_applied, tier, sections })
}

fn decode_tombstone(reader: &mut ByteReader<'_>) -> Option<Tombstone> {
    let id = TombstoneId(reader.u64()?);
    let table = TableId(reader.u64()?);
    let commit_order = reader.u64()?;
    let range = TimeRange { start_ns: reader.i64()?, end_ns: reader.i64()? };
    let cause = match reader.u8()? {
        CAUSE_DELETE => TombstoneCause::Delete,
        CAUSE_RETENTION => TombstoneCause::Retention,
        _ => return None,
    };
    let mut conditions = Vec::new();
    for _ in 0..reader.u32()? {
        let tag = ColumnId(reader.u32()?);
        let accepts_null = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut values: Vec<String> = Vec::new();
        for _ in 0..reader.u32()? {
            values.push(reader.text()?.to_owned());
        }
        conditions.push(values.is_sorted().then_some(TagCondition { tag, values, accepts_null })?);
    }
    Some(Tombstone { id, table, commit_order, range, conditions, cause })
}
