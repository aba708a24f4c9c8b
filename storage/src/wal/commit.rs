//! A commit as the payload of one record.
//!
//! Encoding runs on the thread of the writer, outside of any lock, checksum included. Decoding is for untrusted bytes:
//! it never panics, and what it allocates is bounded by [`COMMIT_RAW_BYTES_MAX`].

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, GenericByteArray, Int64Array, StringArray, UInt64Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::block;
use super::file::FORMAT;
use super::keys::{decode_keys, encode_keys};
use crate::error::{Error, Result};
use crate::framing::{ByteReader, RECORD_HEADER_BYTES, padded_len};
use crate::types::{ColumnId, FieldType, SeriesBatch, SeriesRows, TableId};

/// Bound on 8 bytes per value of a commit plus the bytes of its strings. It keeps a damaged record from asking for more
/// memory than a sound one may.
pub const COMMIT_RAW_BYTES_MAX: u64 = 1 << 30;

/// A commit, ready to be written: room for the header, the payload and its padding.
#[derive(Debug)]
pub struct EncodedCommit {
    pub(super) record: Vec<u8>,
    pub(super) payload_len: u32,
    pub(super) payload_crc: u32,
}

impl EncodedCommit {
    /// Bytes that the commit takes in the log, and in memory until then.
    pub fn byte_len(&self) -> usize {
        self.record.len()
    }
}

/// A payload that is no commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a commit is malformed at payload byte {offset}: {reason}")]
pub struct CommitError {
    /// Where in the payload.
    pub offset: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// Encodes the rows of a commit.
///
/// # Errors
/// `InvalidInput` when a column is not of a field type or not as long as the times, or when the commit is too large.
pub fn encode_commit(batches: &[SeriesBatch]) -> Result<EncodedCommit> {
    let raw_bytes: u64 = batches.iter().map(raw_bytes).sum();
    if raw_bytes > COMMIT_RAW_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a commit holds {raw_bytes} bytes, at most {COMMIT_RAW_BYTES_MAX} are possible: write in smaller batches"
        )));
    }
    // Most numbers take a byte or two of the eight that they were counted with.
    let mut out = Vec::with_capacity(RECORD_HEADER_BYTES + raw_bytes as usize / 4);
    out.resize(RECORD_HEADER_BYTES, 0);
    out.extend_from_slice(&u32_of(batches.len())?.to_le_bytes());
    for batch in batches {
        encode_batch(batch, &mut out)?;
    }
    let payload_len = out.len() - RECORD_HEADER_BYTES;
    let payload_crc = crc32c::crc32c(&out[RECORD_HEADER_BYTES..]);
    out.resize(RECORD_HEADER_BYTES + padded_len(payload_len), 0);
    // What waits for the log takes what it says it does, and not the room in which it grew.
    out.shrink_to_fit();
    let payload_len = u32_of(payload_len).ok().filter(|len| *len <= FORMAT.payload_bytes_max);
    let payload_len = payload_len.ok_or_else(|| Error::invalid("a commit is too large: write in smaller batches"))?;
    Ok(EncodedCommit { record: out, payload_len, payload_crc })
}

fn raw_bytes(batch: &SeriesBatch) -> u64 {
    let keys: usize = batch.series.iter().map(|one| one.key.as_bytes().len() + 8).sum();
    let strings: usize = batch.fields.iter().map(|(_, array)| value_bytes(array).len()).sum();
    ((1 + batch.fields.len()) * batch.row_count() * 8 + keys + strings) as u64
}

fn value_bytes(array: &ArrayRef) -> &[u8] {
    fn of<T: arrow_array::types::ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> &[u8] {
        let offsets = array.value_offsets();
        &array.value_data()[offsets[0] as usize..offsets[offsets.len() - 1] as usize]
    }
    match array.data_type() {
        DataType::Utf8 => of(array.as_string::<i32>()),
        DataType::Binary => of(array.as_binary::<i32>()),
        _ => &[],
    }
}

fn u32_of(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::invalid("a commit is too large: write in smaller batches"))
}

fn encode_batch(batch: &SeriesBatch, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&batch.table.0.to_le_bytes());
    out.extend_from_slice(&u32_of(batch.row_count())?.to_le_bytes());
    out.extend_from_slice(&u32_of(batch.series.len())?.to_le_bytes());
    out.extend_from_slice(&u32_of(batch.fields.len())?.to_le_bytes());
    let mut next_row = 0;
    for one in &batch.series {
        if one.rows.start != next_row || one.rows.end < one.rows.start {
            return Err(Error::invalid("the series of a batch do not cover its rows in order"));
        }
        next_row = one.rows.end;
    }
    if next_row as usize != batch.row_count() {
        return Err(Error::invalid("the series of a batch do not cover its rows"));
    }
    block::encode_row_counts(&batch.series, batch.row_count(), out);
    encode_keys(&batch.series, out);
    block::encode_times(&batch.times, &batch.series, out);
    for (id, array) in &batch.fields {
        encode_field(*id, array, batch.row_count(), out)?;
    }
    Ok(())
}

fn encode_field(id: ColumnId, array: &ArrayRef, row_count: usize, out: &mut Vec<u8>) -> Result<()> {
    let field_type = match array.data_type() {
        DataType::Float64 => FieldType::F64,
        DataType::Int64 => FieldType::I64,
        DataType::UInt64 => FieldType::U64,
        DataType::Boolean => FieldType::Bool,
        DataType::Utf8 => FieldType::String,
        DataType::Binary => FieldType::Binary,
        other => return Err(Error::invalid(format!("no field has the type {other}"))),
    };
    if array.len() != row_count {
        return Err(Error::invalid(format!("column {id} has {} values for {row_count} rows", array.len())));
    }
    out.extend_from_slice(&id.0.to_le_bytes());
    out.push(field_type.code());
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    out.push(u8::from(nulls.is_some()));
    if let Some(nulls) = nulls {
        encode_bits(nulls.inner(), out);
    }
    match field_type {
        FieldType::F64 => block::encode_floats(array.as_primitive::<Float64Type>().values(), out),
        FieldType::I64 => block::encode_integers(array.as_primitive::<Int64Type>().values(), out),
        FieldType::U64 => {
            // The same bits as signed integers: small values stay small, and differences wrap back.
            let values = array.as_primitive::<UInt64Type>().values();
            let signed = ScalarBuffer::<i64>::from(values.inner().clone());
            block::encode_integers(&signed, out);
        }
        FieldType::Bool => encode_bits(array.as_boolean().values(), out),
        FieldType::String => encode_bytes(array.as_string::<i32>(), array, out),
        FieldType::Binary => encode_bytes(array.as_binary::<i32>(), array, out),
    }
    Ok(())
}

fn encode_bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    let bytes = bits.sliced();
    out.extend_from_slice(&bytes[..bits.len().div_ceil(8)]);
    // What follows the last bit in a buffer is undefined.
    let used = bits.len() % 8;
    if let Some(last) = out.last_mut().filter(|_| used != 0) {
        *last &= (1 << used) - 1;
    }
}

fn encode_bytes<T: arrow_array::types::ByteArrayType<Offset = i32>>(
    array: &GenericByteArray<T>,
    any: &ArrayRef,
    out: &mut Vec<u8>,
) {
    let offsets = array.value_offsets();
    if array.null_count() == 0 {
        let lens: Vec<i64> = offsets.windows(2).map(|pair| i64::from(pair[1] - pair[0])).collect();
        block::encode_integers(&lens, out);
        out.extend_from_slice(value_bytes(any));
        return;
    }
    // What lies under a NULL is undefined, even whether it is UTF-8; it is logged as empty.
    let value = |row: usize| -> &[u8] {
        if array.is_null(row) {
            return &[];
        }
        &array.value_data()[offsets[row] as usize..offsets[row + 1] as usize]
    };
    let lens: Vec<i64> = (0..array.len()).map(|row| value(row).len() as i64).collect();
    block::encode_integers(&lens, out);
    (0..array.len()).for_each(|row| out.extend_from_slice(value(row)));
}

/// Decodes the payload of a record.
///
/// # Errors
/// For anything that `encode_commit` does not make.
pub fn decode_commit(payload: &[u8]) -> Result<Vec<SeriesBatch>, CommitError> {
    let mut reader = ByteReader::new(payload);
    let mut budget = COMMIT_RAW_BYTES_MAX;
    decode_batches(&mut reader, &mut budget)
        .map_err(|reason| CommitError { offset: reader.position(), reason })
        .and_then(|batches| match reader.remaining() {
            0 => Ok(batches),
            _ => Err(CommitError { offset: reader.position(), reason: "bytes after the last batch" }),
        })
}

const CUT: &str = "the payload ends too early";

fn decode_batches(reader: &mut ByteReader<'_>, budget: &mut u64) -> Result<Vec<SeriesBatch>, &'static str> {
    let mut batches = Vec::new();
    for _ in 0..reader.u32().ok_or(CUT)? {
        batches.push(decode_batch(reader, budget)?);
    }
    Ok(batches)
}

fn spend(budget: &mut u64, bytes: u64) -> Result<(), &'static str> {
    *budget = budget.checked_sub(bytes).ok_or("the commit is larger than any may be")?;
    Ok(())
}

fn decode_batch(reader: &mut ByteReader<'_>, budget: &mut u64) -> Result<SeriesBatch, &'static str> {
    let table = TableId(reader.u64().ok_or(CUT)?);
    let row_count = reader.u32().ok_or(CUT)?;
    let series_count = reader.u32().ok_or(CUT)? as usize;
    let field_count = reader.u32().ok_or(CUT)?;
    let cells = (1 + u64::from(field_count)).checked_mul(u64::from(row_count) * 8);
    spend(budget, cells.unwrap_or(u64::MAX))?;
    spend(budget, series_count as u64 * 8)?;
    let series = decode_series(reader, row_count, series_count, budget)?;
    let rows = row_count as usize;
    let times = block::decode_times(reader, &series, rows).ok_or("the times are malformed")?;
    let mut fields: Vec<(ColumnId, ArrayRef)> = Vec::new();
    for _ in 0..field_count {
        let id = ColumnId(reader.u32().ok_or(CUT)?);
        if fields.iter().any(|(other, _)| *other == id) {
            return Err("a column stands twice");
        }
        fields.push((id, decode_field(reader, rows).ok_or("a column is malformed")?));
    }
    Ok(SeriesBatch { table, series, times: times.into(), fields })
}

fn decode_series(
    reader: &mut ByteReader<'_>,
    row_count: u32,
    series_count: usize,
    budget: &mut u64,
) -> Result<Vec<SeriesRows>, &'static str> {
    // Keys are distinct, and all but the empty one take three bytes or more.
    if series_count > reader.remaining() / 3 + 1 {
        return Err(CUT);
    }
    let row_counts = block::decode_integers(reader, series_count).ok_or("the row counts are malformed")?;
    let keys = decode_keys(reader, series_count, budget).ok_or("a series key is malformed or stands twice")?;
    let mut series = Vec::with_capacity(series_count);
    let mut next_row = 0u32;
    for (rows, key) in row_counts.into_iter().zip(keys) {
        let end = u32::try_from(rows).ok().and_then(|rows| next_row.checked_add(rows));
        let end = end.filter(|end| *end <= row_count).ok_or("the series have more rows than the batch")?;
        series.push(SeriesRows { key, rows: next_row..end });
        next_row = end;
    }
    if next_row != row_count {
        return Err("the series have fewer rows than the batch");
    }
    Ok(series)
}

fn decode_field(reader: &mut ByteReader<'_>, rows: usize) -> Option<ArrayRef> {
    let field_type = FieldType::from_code(reader.u8()?)?;
    let nulls = match reader.u8()? {
        0 => None,
        1 => Some(NullBuffer::new(decode_bits(reader, rows)?)),
        _ => return None,
    };
    Some(match field_type {
        FieldType::F64 => Arc::new(Float64Array::new(block::decode_floats(reader, rows)?.into(), nulls)),
        FieldType::I64 => Arc::new(Int64Array::new(block::decode_integers(reader, rows)?.into(), nulls)),
        FieldType::U64 => {
            let bits = Buffer::from_vec(block::decode_integers(reader, rows)?);
            Arc::new(UInt64Array::new(bits.into(), nulls))
        }
        FieldType::Bool => Arc::new(BooleanArray::new(decode_bits(reader, rows)?, nulls)),
        FieldType::String => {
            let (offsets, bytes) = decode_bytes(reader, rows)?;
            Arc::new(StringArray::try_new(offsets, bytes, nulls).ok()?)
        }
        FieldType::Binary => {
            let (offsets, bytes) = decode_bytes(reader, rows)?;
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls).ok()?)
        }
    })
}

fn decode_bits(reader: &mut ByteReader<'_>, len: usize) -> Option<BooleanBuffer> {
    let bytes = reader.take(len.div_ceil(8))?;
    Some(BooleanBuffer::new(Buffer::from(bytes), 0, len))
}

fn decode_bytes(reader: &mut ByteReader<'_>, rows: usize) -> Option<(OffsetBuffer<i32>, Buffer)> {
    let lens = block::decode_integers(reader, rows)?;
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut end = 0i32;
    offsets.push(end);
    for len in lens {
        end = end.checked_add(i32::try_from(len).ok().filter(|len| *len >= 0)?)?;
        offsets.push(end);
    }
    let bytes = reader.take(usize::try_from(end).ok()?)?;
    Some((OffsetBuffer::new(offsets.into()), Buffer::from(bytes)))
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
