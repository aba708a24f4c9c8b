//! What the footer of a Parquet file says: its columns, and where their chunks lie.
//!
//! Everything that it claims is held against the limits and the length of the file here, so that what is read after it
//! may go by it. Columns that are nested or repeated, encrypted or compressed in a way that cannot be bounded are refused.

use std::ops::Range;

use arrow::datatypes::TimeUnit;
use parquet::basic::Type;

use super::thrift::{Fault, Kind, Thrift};
use crate::ingest::rows::{RowLimits, RowsError};

const MAGIC: &[u8; 4] = b"PAR1";
const ENCRYPTED_MAGIC: &[u8; 4] = b"PARE";

/// Column chunks of a file: a row group has one per column.
const CHUNKS_MAX: usize = 65_536;

/// The footer of a file.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) columns: Vec<Column>,
    pub(super) groups: Vec<RowGroup>,
    /// Rows of all groups.
    pub(super) rows: usize,
    /// What the pages of all chunks come to, with their heads.
    pub(super) unpacked_bytes: usize,
}

/// A flat column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) physical: Type,
    pub(super) meaning: Meaning,
    pub(super) is_nullable: bool,
}

/// What the values of a column stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What their physical type is.
    Plain,
    /// Integers of so many bits.
    Integer { bits: u8, is_signed: bool },
    /// Days since the epoch.
    Date,
    /// Units since the epoch.
    Timestamp(TimeUnit),
    /// UTF-8.
    Text,
}

/// Rows that lie together.
#[derive(Debug)]
pub(super) struct RowGroup {
    pub(super) rows: usize,
    /// One per column.
    pub(super) chunks: Vec<Chunk>,
}

/// The values of one column in one row group.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) codec: Codec,
    /// Where its pages lie in the file.
    pub(super) bytes: Range<usize>,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Plain,
    Snappy,
    Gzip,
    Zstd,
}

/// The error for a body that is not what it should be.
pub(super) fn malformed(reason: impl std::fmt::Display) -> RowsError {
    RowsError::Malformed(format!("the body is not a Parquet file that can be read: {reason}"))
}

/// An element of the schema as it stands in the footer.
#[derive(Debug, Default)]
struct Element {
    name: String,
    physical: Option<i64>,
    repetition: Option<i64>,
    children: usize,
    converted: Option<i64>,
    logical: Option<Logical>,
}

/// The annotation that newer writers make.
#[derive(Debug, Clone, Copy)]
struct Logical {
    /// Its number in the union.
    id: i64,
    unit: Option<TimeUnit>,
    bits: u8,
    is_signed: bool,
}

/// A chunk as it stands in the footer.
#[derive(Debug, Default)]
struct ChunkClaim {
    is_elsewhere: bool,
    has_metadata: bool,
    physical: Option<i64>,
    codec: i64,
    values: usize,
    unpacked_bytes: usize,
    packed_bytes: usize,
    data_offset: usize,
    dictionary_offset: Option<usize>,
}

/// A row group as it stands in the footer.
#[derive(Debug, Default)]
struct GroupClaim {
    rows: usize,
    chunks: Vec<ChunkClaim>,
}

impl Footer {
    /// Reads the footer of a file; a table has at most `columns_max` columns.
    pub(super) fn read(file: &[u8], columns_max: usize, limits: &RowLimits) -> Result<Self, RowsError> {
        let (pages, footer) = split(file)?;
        let (mut elements, mut groups) = (Vec::new(), Vec::new());
        let mut chunk_count = 0;
        Thrift::new(footer)
            .fields(|thrift, id, kind| match id {
                2 => thrift.list(kind, |thrift, kind| {
                    // One more than the root and the columns that there may be: enough to refuse them by their number.
                    if elements.len() > columns_max + 1 {
                        return thrift.skip(kind);
                    }
                    elements.push(element(thrift, kind)?);
                    Ok(())
                }),
                4 => thrift.list(kind, |thrift, kind| {
                    groups.push(group(thrift, kind, &mut chunk_count)?);
                    Ok(())
                }),
                8 | 9 => Err(Fault("it is encrypted")),
                _ => thrift.skip(kind),
            })
            .map_err(|Fault(reason)| malformed(reason))?;
        let columns = columns(elements, columns_max)?;
        let mut footer = Self { columns, groups: Vec::with_capacity(groups.len()), rows: 0, unpacked_bytes: 0 };
        let mut packed_bytes = 0_usize;
        for claim in groups {
            footer.rows = footer.rows.saturating_add(claim.rows);
            for chunk in &claim.chunks {
                footer.unpacked_bytes = footer.unpacked_bytes.saturating_add(chunk.unpacked_bytes);
                packed_bytes = packed_bytes.saturating_add(chunk.packed_bytes);
            }
            let group = footer.group(claim, pages)?;
            footer.groups.push(group);
        }
        RowsError::check("rows", footer.rows, limits.rows_max)?;
        let cells = footer.rows.saturating_mul(footer.columns.len());
        RowsError::check("cells (rows times columns)", cells, limits.cells_max)?;
        RowsError::check("bytes of pages after decompression", footer.unpacked_bytes, limits.decoded_bytes_max)?;
        if packed_bytes > pages {
            return Err(malformed("its column chunks lie over each other"));
        }
        Ok(footer)
    }

    /// Checks the chunks of a group; pages lie in the first `pages` bytes of the file.
    fn group(&self, claim: GroupClaim, pages: usize) -> Result<RowGroup, RowsError> {
        if claim.chunks.len() != self.columns.len() {
            return Err(malformed("a row group has not one chunk per column"));
        }
        let chunks = claim.chunks.into_iter().zip(&self.columns).map(|(chunk, column)| {
            let name = &column.name;
            if chunk.is_elsewhere || !chunk.has_metadata {
                return Err(malformed(format!("column '{name}' lies in another file, or is encrypted")));
            }
            if chunk.values != claim.rows || chunk.physical != Some(column.physical as i64) {
                return Err(malformed(format!("a chunk of column '{name}' contradicts the schema or its row group")));
            }
            let codec = match chunk.codec {
                0 => Codec::Plain,
                1 => Codec::Snappy,
                2 => Codec::Gzip,
                6 => Codec::Zstd,
                _ => {
                    let reason = "is compressed otherwise than by snappy, gzip or zstd";
                    return Err(malformed(format!("column '{name}' {reason}")));
                }
            };
            // Some writers put 0 where there is no dictionary.
            let dictionary = chunk.dictionary_offset.filter(|&offset| offset > 0 && offset < chunk.data_offset);
            let start = dictionary.unwrap_or(chunk.data_offset);
            let end = start.checked_add(chunk.packed_bytes).filter(|&end| start >= MAGIC.len() && end <= pages);
            let end = end.ok_or_else(|| malformed(format!("a chunk of column '{name}' lies outside of the file")))?;
            Ok(Chunk { codec, bytes: start..end })
        });
        Ok(RowGroup { rows: claim.rows, chunks: chunks.collect::<Result<_, _>>()? })
    }
}

/// Where the pages end, and the footer.
fn split(file: &[u8]) -> Result<(usize, &[u8]), RowsError> {
    let not_parquet = || malformed("it does not begin and end as one");
    let (rest, magic) = file.split_last_chunk::<4>().ok_or_else(not_parquet)?;
    if magic == ENCRYPTED_MAGIC {
        return Err(malformed("it is encrypted"));
    }
    if magic != MAGIC || !file.starts_with(MAGIC) {
        return Err(not_parquet());
    }
    let (rest, len) = rest.split_last_chunk::<4>().ok_or_else(not_parquet)?;
    let pages = rest.len().checked_sub(u32::from_le_bytes(*len) as usize).filter(|&pages| pages >= MAGIC.len());
    let pages = pages.ok_or_else(|| malformed("its footer is longer than the file"))?;
    Ok((pages, &rest[pages..]))
}

fn element(thrift: &mut Thrift<'_>, kind: Kind) -> Result<Element, Fault> {
    let mut element = Element::default();
    thrift.structure(kind, |thrift, id, kind| {
        match id {
            1 => element.physical = Some(thrift.integer(kind)?),
            3 => element.repetition = Some(thrift.integer(kind)?),
            4 => element.name = thrift.text(kind)?.to_owned(),
            5 => element.children = thrift.size(kind)?,
            6 => element.converted = Some(thrift.integer(kind)?),
            10 => element.logical = logical(thrift, kind)?,
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(element)
}

fn logical(thrift: &mut Thrift<'_>, kind: Kind) -> Result<Option<Logical>, Fault> {
    let mut found = None;
    thrift.structure(kind, |thrift, id, kind| {
        let mut logical = Logical { id, unit: None, bits: 0, is_signed: false };
        thrift.structure(kind, |thrift, field, kind| {
            match (id, field) {
                (8, 2) => thrift.structure(kind, |thrift, unit, kind| {
                    logical.unit = match unit {
                        1 => Some(TimeUnit::Millisecond),
                        2 => Some(TimeUnit::Microsecond),
                        3 => Some(TimeUnit::Nanosecond),
                        _ => None,
                    };
                    thrift.skip(kind)
                })?,
                (10, 1) => logical.bits = u8::try_from(thrift.integer(kind)?).unwrap_or(0),
                (10, 2) => logical.is_signed = Thrift::boolean(kind)?,
                _ => thrift.skip(kind)?,
            }
            Ok(())
        })?;
        found = Some(logical);
        Ok(())
    })?;
    Ok(found)
}

fn group(thrift: &mut Thrift<'_>, kind: Kind, chunk_count: &mut usize) -> Result<GroupClaim, Fault> {
    let mut group = GroupClaim::default();
    // A group without chunks takes memory too.
    *chunk_count += 1;
    thrift.structure(kind, |thrift, id, kind| {
        match id {
            1 => thrift.list(kind, |thrift, kind| {
                *chunk_count += 1;
                if *chunk_count > CHUNKS_MAX {
                    return Err(Fault("it has too many row groups"));
                }
                group.chunks.push(chunk(thrift, kind)?);
                Ok(())
            })?,
            3 => group.rows = thrift.size(kind)?,
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    if *chunk_count > CHUNKS_MAX { Err(Fault("it has too many row groups")) } else { Ok(group) }
}

fn chunk(thrift: &mut Thrift<'_>, kind: Kind) -> Result<ChunkClaim, Fault> {
    let mut chunk = ChunkClaim::default();
    thrift.structure(kind, |thrift, id, kind| match id {
        1 => {
            chunk.is_elsewhere = true;
            thrift.skip(kind)
        }
        3 => {
            chunk.has_metadata = true;
            thrift.structure(kind, |thrift, id, kind| {
                match id {
                    1 => chunk.physical = Some(thrift.integer(kind)?),
                    4 => chunk.codec = thrift.integer(kind)?,
                    5 => chunk.values = thrift.size(kind)?,
                    6 => chunk.unpacked_bytes = thrift.size(kind)?,
                    7 => chunk.packed_bytes = thrift.size(kind)?,
                    9 => chunk.data_offset = thrift.size(kind)?,
                    11 => chunk.dictionary_offset = Some(thrift.size(kind)?),
                    _ => thrift.skip(kind)?,
                }
                Ok(())
            })
        }
        _ => thrift.skip(kind),
    })?;
    Ok(chunk)
}

/// The columns that follow the root of a schema.
fn columns(elements: Vec<Element>, columns_max: usize) -> Result<Vec<Column>, RowsError> {
    let mut elements = elements.into_iter();
    let root = elements.next().ok_or_else(|| malformed("it has no schema"))?;
    RowsError::check("columns", elements.len(), columns_max)?;
    if root.children != elements.len() {
        return Err(malformed("it has nested columns, and a table has none"));
    }
    elements.map(column).collect()
}

fn column(element: Element) -> Result<Column, RowsError> {
    let refuse = |reason: &str| Err(malformed(format!("column '{}' {reason}", element.name)));
    let is_nullable = match element.repetition {
        Some(0) => false,
        Some(1) => true,
        _ => return refuse("is a list, and a table has none"),
    };
    if element.children != 0 {
        return refuse("is nested, and a table has no such columns");
    }
    let physical = match element.physical {
        Some(0) => Type::BOOLEAN,
        Some(1) => Type::INT32,
        Some(2) => Type::INT64,
        Some(3) => return refuse("has times of the old type INT96: write them as TIMESTAMP"),
        Some(4) => Type::FLOAT,
        Some(5) => Type::DOUBLE,
        Some(6) => Type::BYTE_ARRAY,
        Some(7) => return refuse("has values of a fixed length in bytes: write them as BYTE_ARRAY"),
        _ => return refuse("has a type that does not exist"),
    };
    let Some(meaning) = meaning(physical, &element) else {
        return refuse("is annotated as something that no column of a table can be");
    };
    Ok(Column { name: element.name, physical, meaning, is_nullable })
}

/// What a column stands for: by the newer annotation, else by the older one. `None` when a table has nothing like it.
fn meaning(physical: Type, element: &Element) -> Option<Meaning> {
    let integer = |bits, is_signed| Some(Meaning::Integer { bits, is_signed });
    let meaning = match (element.logical, element.converted) {
        (Some(logical), _) => match logical.id {
            // STRING, ENUM, JSON
            1 | 4 | 12 => Meaning::Text,
            6 => Meaning::Date,
            8 => Meaning::Timestamp(logical.unit?),
            10 => integer(logical.bits, logical.is_signed)?,
            // BSON
            13 => Meaning::Plain,
            _ => return None,
        },
        (None, None) => Meaning::Plain,
        (None, Some(converted)) => match converted {
            // UTF8, ENUM, JSON
            0 | 4 | 19 => Meaning::Text,
            6 => Meaning::Date,
            9 => Meaning::Timestamp(TimeUnit::Millisecond),
            10 => Meaning::Timestamp(TimeUnit::Microsecond),
            11 => integer(8, false)?,
            12 => integer(16, false)?,
            13 => integer(32, false)?,
            14 => integer(64, false)?,
            15 => integer(8, true)?,
            16 => integer(16, true)?,
            17 => integer(32, true)?,
            18 => integer(64, true)?,
            20 => Meaning::Plain,
            _ => return None,
        },
    };
    let fits = match meaning {
        Meaning::Plain => true,
        Meaning::Integer { bits, .. } => match physical {
            Type::INT32 => matches!(bits, 8 | 16 | 32),
            Type::INT64 => bits == 64,
            _ => false,
        },
        Meaning::Date => physical == Type::INT32,
        Meaning::Timestamp(_) => physical == Type::INT64,
        Meaning::Text => physical == Type::BYTE_ARRAY,
    };
    fits.then_some(meaning)
}
