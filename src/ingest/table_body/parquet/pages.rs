//! The pages of column chunks, unpacked and checked, and handed to the decoders of the parquet crate.
//!
//! All pages of a file together come to no more bytes than its footer says; a page is unpacked into as many bytes as its
//! head says and no further. Encodings by which a few bytes become long texts, or whose decoders believe a length, are
//! refused: what a page decodes to is bounded by its bytes and its number of rows.

use std::collections::VecDeque;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;

use super::footer::{Chunk, Codec, Column, Footer, malformed};
use super::thrift::{Fault, Kind, Thrift};
use crate::ingest::rows::RowsError;

/// The pages of one chunk.
#[derive(Debug, Clone)]
pub(super) struct ChunkPages(VecDeque<Page>);

/// The pages of one column, chunk by chunk.
#[derive(Debug, Clone)]
pub(super) struct ColumnPages(pub(super) VecDeque<ChunkPages>);

/// The head of a page.
#[derive(Debug, Default)]
struct Head {
    kind: i64,
    unpacked_bytes: usize,
    packed_bytes: usize,
    data: Option<DataHead>,
    dictionary: Option<DataHead>,
    data_v2: Option<DataHead>,
}

/// What is said of the values of a page.
#[derive(Debug)]
struct DataHead {
    values: usize,
    encoding: i64,
    definition_encoding: i64,
    repetition_encoding: i64,
    nulls: usize,
    rows: usize,
    definition_bytes: usize,
    repetition_bytes: usize,
    is_compressed: bool,
}

/// Unpacks the pages of all columns of a file.
pub(super) fn unpack(file: &[u8], footer: &Footer) -> Result<Vec<ColumnPages>, RowsError> {
    let mut unpacker = Unpacker { bytes_left: footer.unpacked_bytes };
    let mut columns: Vec<_> = footer.columns.iter().map(|_| ColumnPages(VecDeque::new())).collect();
    for group in &footer.groups {
        for ((chunk, column), pages) in group.chunks.iter().zip(&footer.columns).zip(&mut columns) {
            pages.0.push_back(unpacker.chunk(file, chunk, column, group.rows)?);
        }
    }
    Ok(columns)
}

struct Unpacker {
    /// Bytes of heads and unpacked pages that may still come.
    bytes_left: usize,
}

impl Unpacker {
    fn chunk(&mut self, file: &[u8], chunk: &Chunk, column: &Column, rows: usize) -> Result<ChunkPages, RowsError> {
        let refused = |Fault(reason)| malformed(format!("column '{}': {reason}", column.name));
        let mut rest = file.get(chunk.bytes.clone()).ok_or_else(|| malformed("it is cut"))?;
        let (mut pages, mut rows_left) = (VecDeque::new(), rows);
        while !rest.is_empty() {
            let mut thrift = Thrift::new(rest);
            let head = head(&mut thrift).map_err(refused)?;
            let head_bytes = thrift.position();
            let (packed, after) = rest[head_bytes..]
                .split_at_checked(head.packed_bytes)
                .ok_or_else(|| refused(Fault("a page is longer than its chunk")))?;
            rest = after;
            let taken = head_bytes.saturating_add(head.unpacked_bytes);
            self.bytes_left = self
                .bytes_left
                .checked_sub(taken)
                .ok_or_else(|| refused(Fault("the pages are larger than the footer says")))?;
            // An index of the pages is no page of values.
            if head.kind == 1 {
                continue;
            }
            let page = page(&head, packed, chunk.codec, column, rows_left, pages.is_empty()).map_err(refused)?;
            if page.is_data_page() {
                rows_left -= page.num_values() as usize;
            }
            pages.push_back(page);
        }
        if rows_left > 0 {
            return Err(refused(Fault("a chunk has fewer values than its row group has rows")));
        }
        Ok(ChunkPages(pages))
    }
}

/// The page behind a head; a chunk has `rows_left` rows of which no page came yet.
fn page(
    head: &Head,
    packed: &[u8],
    codec: Codec,
    column: &Column,
    rows_left: usize,
    is_first: bool,
) -> Result<Page, Fault> {
    const NO_HEAD: Fault = Fault("a page has no head of its kind");
    let count = |count: usize| u32::try_from(count).map_err(|_| Fault("a page has too many values"));
    match head.kind {
        2 => {
            let values = head.dictionary.as_ref().ok_or(NO_HEAD)?;
            // Of a boolean there are two, and each other value takes its width in bytes, or those of its length.
            let width = match column.physical {
                Type::INT64 | Type::DOUBLE => 8,
                Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
                _ => return Err(Fault("a column of its type has a dictionary")),
            };
            if values.values.saturating_mul(width) > head.unpacked_bytes {
                return Err(Fault("a dictionary has fewer bytes than its values take"));
            }
            if !is_first {
                return Err(Fault("a dictionary does not come first"));
            }
            if !matches!(values.encoding, 0 | 2) {
                return Err(Fault("a dictionary is not written plainly"));
            }
            let buf = unpack_page(codec, packed, head.unpacked_bytes)?.into();
            Ok(Page::DictionaryPage {
                buf,
                num_values: count(values.values)?,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            })
        }
        0 => {
            let values = head.data.as_ref().ok_or(NO_HEAD)?;
            check_rows(values.values, rows_left)?;
            Ok(Page::DataPage {
                buf: unpack_page(codec, packed, head.unpacked_bytes)?.into(),
                num_values: count(values.values)?,
                encoding: value_encoding(values.encoding, column.physical)?,
                def_level_encoding: level_encoding(values.definition_encoding)?,
                rep_level_encoding: level_encoding(values.repetition_encoding)?,
                statistics: None,
            })
        }
        3 => {
            let values = head.data_v2.as_ref().ok_or(NO_HEAD)?;
            check_rows(values.values, rows_left)?;
            // Levels lie before the values and are never compressed.
            let level_bytes = values.definition_bytes.saturating_add(values.repetition_bytes);
            let (levels, packed) =
                packed.split_at_checked(level_bytes).ok_or(Fault("the levels of a page are longer than it"))?;
            let value_bytes =
                head.unpacked_bytes.checked_sub(level_bytes).ok_or(Fault("the levels of a page are longer than it"))?;
            let codec = if values.is_compressed && value_bytes > 0 { codec } else { Codec::Plain };
            let unpacked = if value_bytes == 0 { Vec::new() } else { unpack_page(codec, packed, value_bytes)? };
            Ok(Page::DataPageV2 {
                buf: [levels, &unpacked].concat().into(),
                num_values: count(values.values)?,
                encoding: value_encoding(values.encoding, column.physical)?,
                num_nulls: count(values.nulls)?,
                num_rows: count(values.rows)?,
                def_levels_byte_len: count(values.definition_bytes)?,
                rep_levels_byte_len: count(values.repetition_bytes)?,
                is_compressed: false,
                statistics: None,
            })
        }
        _ => Err(Fault("a page is of a kind that does not exist")),
    }
}

fn check_rows(values: usize, rows_left: usize) -> Result<(), Fault> {
    if values > rows_left { Err(Fault("a chunk has more values than its row group has rows")) } else { Ok(()) }
}

/// Encodings of values that cannot grow. Of texts only those that hold each one whole: where a text says how much of the
/// one before it repeats, a page of a few bytes becomes any number of them.
fn value_encoding(encoding: i64, physical: Type) -> Result<Encoding, Fault> {
    match (encoding, physical) {
        (0, _) => Ok(Encoding::PLAIN),
        (2 | 8, _) => Ok(Encoding::RLE_DICTIONARY),
        (3, Type::BOOLEAN) => Ok(Encoding::RLE),
        (5, Type::INT32 | Type::INT64) => Ok(Encoding::DELTA_BINARY_PACKED),
        (9, Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE) => Ok(Encoding::BYTE_STREAM_SPLIT),
        (6 | 7, _) => Err(Fault("its texts are delta encoded: write them plainly or by a dictionary")),
        _ => Err(Fault("its encoding does not fit its type")),
    }
}

fn level_encoding(encoding: i64) -> Result<Encoding, Fault> {
    match encoding {
        3 => Ok(Encoding::RLE),
        // It is what the levels of columns that have none are said to have.
        #[expect(deprecated, reason = "files have it")]
        4 => Ok(Encoding::BIT_PACKED),
        _ => Err(Fault("the levels of a page have an unknown encoding")),
    }
}

/// Unpacks a page into exactly `len` bytes.
fn unpack_page(codec: Codec, packed: &[u8], len: usize) -> Result<Vec<u8>, Fault> {
    const OTHER: Fault = Fault("a page is not compressed as it says, or has another length");
    let unpacked = match codec {
        Codec::Plain => packed.to_vec(),
        Codec::Snappy => {
            // Without this check the decoder would be asked to write nothing into nothing.
            if snap::raw::decompress_len(packed).ok() != Some(len) {
                return Err(OTHER);
            }
            let mut unpacked = vec![0; len];
            let written = snap::raw::Decoder::new().decompress(packed, &mut unpacked).map_err(|_| OTHER)?;
            unpacked.truncate(written);
            unpacked
        }
        Codec::Gzip => {
            let mut unpacked = Vec::with_capacity(len + 1);
            // One byte more shows that there is more.
            MultiGzDecoder::new(packed).take(len as u64 + 1).read_to_end(&mut unpacked).map_err(|_| OTHER)?;
            unpacked
        }
        Codec::Zstd => {
            let mut unpacked = vec![0; len];
            let written = zstd::bulk::decompress_to_buffer(packed, &mut unpacked[..]).map_err(|_| OTHER)?;
            unpacked.truncate(written);
            unpacked
        }
    };
    if unpacked.len() == len { Ok(unpacked) } else { Err(OTHER) }
}

fn head(thrift: &mut Thrift<'_>) -> Result<Head, Fault> {
    let mut head = Head { kind: -1, ..Head::default() };
    thrift.fields(|thrift, id, kind| {
        match id {
            1 => head.kind = thrift.integer(kind)?,
            2 => head.unpacked_bytes = thrift.size(kind)?,
            3 => head.packed_bytes = thrift.size(kind)?,
            5 => head.data = Some(data_head(thrift, kind, [1, 2, 3, 4, 0, 0, 0, 0, 0])?),
            7 => head.dictionary = Some(data_head(thrift, kind, [1, 2, 0, 0, 0, 0, 0, 0, 0])?),
            8 => head.data_v2 = Some(data_head(thrift, kind, [1, 4, 0, 0, 2, 3, 5, 6, 7])?),
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(head)
}

/// Reads what is said of values, whose parts have other numbers in each kind of head: those of the number of values, the
/// encodings of values, definition and repetition levels, the nulls, rows, bytes of both levels, and whether the values
/// are compressed; 0 for what there is not.
fn data_head(thrift: &mut Thrift<'_>, kind: Kind, ids: [i64; 9]) -> Result<DataHead, Fault> {
    let mut head = DataHead {
        values: 0,
        encoding: -1,
        definition_encoding: -1,
        repetition_encoding: -1,
        nulls: 0,
        rows: 0,
        definition_bytes: 0,
        repetition_bytes: 0,
        is_compressed: true,
    };
    thrift.structure(kind, |thrift, id, kind| {
        match ids.iter().position(|&known| known == id && id != 0) {
            Some(0) => head.values = thrift.size(kind)?,
            Some(1) => head.encoding = thrift.integer(kind)?,
            Some(2) => head.definition_encoding = thrift.integer(kind)?,
            Some(3) => head.repetition_encoding = thrift.integer(kind)?,
            Some(4) => head.nulls = thrift.size(kind)?,
            Some(5) => head.rows = thrift.size(kind)?,
            Some(6) => head.definition_bytes = thrift.size(kind)?,
            Some(7) => head.repetition_bytes = thrift.size(kind)?,
            Some(8) => head.is_compressed = Thrift::boolean(kind)?,
            _ => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(head)
}

impl Iterator for ChunkPages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front().map(Ok)
    }
}

impl PageReader for ChunkPages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        Ok(self.0.pop_front())
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        Ok(self.0.front().map(|page| {
            // Columns are flat: values are rows.
            let rows = page.is_data_page().then(|| page.num_values() as usize);
            PageMetadata { num_rows: rows, num_levels: rows, is_dict: page.is_dictionary_page() }
        }))
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.0.pop_front();
        Ok(())
    }
}

impl Iterator for ColumnPages {
    type Item = Result<Box<dyn PageReader>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front().map(|chunk| Ok(Box::new(chunk) as Box<dyn PageReader>))
    }
}

impl PageIterator for ColumnPages {}
