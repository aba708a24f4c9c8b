//! Edits of the manifest and their bytes.
//!
//! Decoding is for untrusted bytes: it never panics, and allocates no more than a small multiple of what it was given.

use crate::framing::{ByteReader, ByteWriter, decode_schema, encode_schema};
use crate::types::{Lsn, SegmentId, TableId, TableSchema, TimeRange};

/// What the manifest knows of a segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// The segment; also names its file.
    pub id: SegmentId,
    /// Length of the file.
    pub file_len: u64,
    /// Rows of all tables.
    pub row_count: u64,
    /// Tables that have a section in it.
    pub tables: Vec<TableId>,
    /// First and last time of any row.
    pub time_range: TimeRange,
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
    /// Commits up to this one are in segments.
    FlushedLsn(Lsn),
}

/// What stands in the file: an edit, or the ids that a rewritten manifest must not give out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Edit(ManifestEdit),
    NextIds { table: TableId, segment: SegmentId },
}

const CREATE_TABLE: u8 = 1;
const ALTER_TABLE: u8 = 2;
const DROP_TABLE: u8 = 3;
const ADD_SEGMENT: u8 = 4;
const REMOVE_SEGMENT: u8 = 5;
const FLUSHED_LSN: u8 = 6;
const NEXT_IDS: u8 = 7;

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
            Entry::NextIds { table, segment } => {
                out.u8(NEXT_IDS);
                out.u64(table.0);
                out.u64(segment.0);
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
    out.u8(ADD_SEGMENT);
    out.u64(segment.id.0);
    out.u64(segment.file_len);
    out.u64(segment.row_count);
    out.i64(segment.time_range.start_ns);
    out.i64(segment.time_range.end_ns);
    out.u32(u32::try_from(segment.tables.len()).expect("a segment has far fewer than 4 G tables"));
    for table in &segment.tables {
        out.u64(table.0);
    }
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
        ADD_SEGMENT => ManifestEdit::AddSegment(decode_segment(reader)?),
        REMOVE_SEGMENT => ManifestEdit::RemoveSegment(SegmentId(reader.u64()?)),
        FLUSHED_LSN => ManifestEdit::FlushedLsn(Lsn(reader.u64()?)),
        NEXT_IDS => {
            return Some(Entry::NextIds { table: TableId(reader.u64()?), segment: SegmentId(reader.u64()?) });
        }
        _ => return None,
    };
    Some(Entry::Edit(edit))
}

fn decode_segment(reader: &mut ByteReader<'_>) -> Option<SegmentMeta> {
    let id = SegmentId(reader.u64()?);
    let file_len = reader.u64()?;
    let row_count = reader.u64()?;
    let time_range = TimeRange { start_ns: reader.i64()?, end_ns: reader.i64()? };
    let mut tables = Vec::new();
    for _ in 0..reader.u32()? {
        tables.push(TableId(reader.u64()?));
    }
    Some(SegmentMeta { id, file_len, row_count, tables, time_range })
}
