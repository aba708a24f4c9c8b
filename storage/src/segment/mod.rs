//! Immutable column files. One flush writes one segment with a section per table; readers map it.
//!
//! Within a section rows are ordered by series key, then time. Tags stand once per series in its directory, fields in
//! columns that are cut into vectors of up to 1,024 values with a header, a checksum and a zone map each. The bytes are
//! described in `docs/format/segment.md`.
//!
//! Invariants: a file is written once, appears under its name whole and durable ([`SegmentWriter`]), and is never
//! changed or cut afterwards, only unlinked when nobody reads it ([`Segment::mark_obsolete`]). Every byte of it is
//! covered by a checksum or required to be zero. Everything read is untrusted: malformed bytes are
//! [`Error::Corruption`](crate::Error::Corruption) with an offset, never a panic.
//!
//! Writing: `writer` (file) → `section_writer` (table) → `column_writer`, `string_writer`, `directory_writer`,
//! `rollup_writer`.
//! Reading: `reader` (file) → `section` (table) → `directory`, `column`, `rollup` → `vector_table`
//! (checksums).

mod bytes;
mod code_cell;
mod column;
mod column_writer;
mod dictionary;
mod directory;
mod directory_writer;
mod file;
mod health;
mod interner;
mod layout;
mod packed_table;
mod pin;
mod probe;
mod reader;
mod rollup;
mod rollup_states;
mod rollup_verify;
mod rollup_writer;
mod section;
mod section_writer;
mod series_shape;
mod string_writer;
#[cfg(test)]
mod tests;
mod vector_table;
mod vector_writer;
mod verify;
mod warm_vectors;
mod writer;

pub use column::{ColumnStorage, SectionColumn};
pub use dictionary::StringDictionary;
pub use directory::{SeriesEntry, TagCodes, TagDictionary};
pub use file::{FoundBy, KnownDamage};
pub use health::DamagedRows;
pub use layout::SegmentOrigin;
#[cfg(all(loom, test))]
pub(crate) use pin::{Pin, Removable};
pub use reader::Segment;
pub use rollup::{FieldRollups, FieldStatistic, RowStatistic, SectionRollups};
pub(crate) use rollup_states::{BASE_BUCKET_NS, RollupNumber, cut_into_buckets};
pub(crate) use rollup_writer::ROWS_PER_BUCKET_MIN;
pub use section::Section;
pub use series_shape::{SeriesShape, SeriesShapeBuilder};
pub use vector_table::EncodedVector;
pub use writer::{SegmentWriter, segment_file_name};
