//! Byte strings: the dictionary of a column as one block, and plain vectors.
//!
//! Both compress lengths and bytes apart from each other where it pays. Memory for untrusted data grows with what
//! really decompresses, up to the length that the block states.

use std::io::Read;

use arrow_array::{Array, BinaryArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::header::Outliers;
use super::validity::{Validity, split_mask};
use super::{
    DecodeError, EncodeError, Mask, PlainVector, VECTOR_LEN, VectorEncoding, VectorHeader, ZoneMap, decode_i64,
    encode_i64,
};

/// Above it ZSTD takes much longer for a few per cent; below it loses them without being much faster to read.
const ZSTD_LEVEL: i32 = 3;

/// That of warm vectors, which are written once and kept long: a sixth smaller than at level 3 (lines of a web log), at a
/// sixth of the speed; level 15 saves 9 % more and takes 14 times as long. Decompressing takes what it does at any level.
const WARM_ZSTD_LEVEL: i32 = 9;

/// How the bytes behind a length stand there.
const STORED: u8 = 0;
const COMPRESSED: u8 = 1;

/// The most bytes that a block holds, as Arrow's 32-bit offsets have it.
const BLOCK_BYTES_MAX: usize = i32::MAX as usize;

/// Bytes or offsets that are reserved for a block before any of it has been decoded.
const TRUSTED_BYTES: usize = 1 << 20;

/// Appends the sorted distinct values of a column as one block.
///
/// # Errors
/// When the values are more than `i32::MAX` bytes.
///
/// # Panics
/// When the values are not sorted and distinct.
pub fn encode_dictionary<'a>(values: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
    let mut before: Option<&[u8]> = None;
    for value in values {
        assert!(before.is_none_or(|before| before < value), "a dictionary is sorted and distinct");
        before = Some(value);
        if bytes.len() + value.len() > BLOCK_BYTES_MAX || lengths.len() >= BLOCK_BYTES_MAX {
            return Err(EncodeError { reason: "the distinct values of a column are more than 2 GiB" });
        }
        lengths.push(value.len() as i64);
        bytes.extend_from_slice(value);
    }
    out.extend_from_slice(&(lengths.len() as u32).to_le_bytes());
    for lengths in lengths.chunks(VECTOR_LEN) {
        append_lengths(lengths, out);
    }
    append_bytes(&bytes, out);
    Ok(())
}

/// Decodes a block that `encode_dictionary` appended.
///
/// # Errors
/// When `block` is not exactly such a block, or its values are not sorted and distinct.
pub fn decode_dictionary(block: &[u8]) -> Result<BinaryArray, DecodeError> {
    let mut rest = block;
    let count = u32::from_le_bytes(*take(&mut rest)?) as usize;
    // A vector of lengths is at least its header, which bounds the count by the size of the block.
    if count.div_ceil(VECTOR_LEN) > rest.len() / VectorHeader::BYTES {
        return Err(DecodeError::new("the dictionary has fewer bytes than values"));
    }
    let mut offsets = Vec::with_capacity((count + 1).min(TRUSTED_BYTES));
    offsets.push(0);
    let mut left = count;
    while left > 0 {
        let len = left.min(VECTOR_LEN);
        take_lengths(&mut rest, len, &mut offsets)?;
        left -= len;
    }
    let array = byte_strings(offsets, rest)?;
    let sorted = (1..array.len()).all(|index| array.value(index - 1) < array.value(index));
    if sorted { Ok(array) } else { Err(DecodeError::new("the dictionary is not sorted")) }
}

/// Appends the data of a vector of 1 to 1024 byte strings and returns its header and the number of NULLs.
///
/// Values whose bit in `validity` is not set are NULL and decode to empty strings. No mask means that all are there.
///
/// # Errors
/// When the values are more than `i32::MAX` bytes.
///
/// # Panics
/// When there are no values or more than 1024.
pub fn encode_strings_plain(
    values: &[&[u8]],
    validity: Option<&Mask>,
    out: &mut Vec<u8>,
) -> Result<(VectorHeader, ZoneMap), EncodeError> {
    assert!((1..=VECTOR_LEN).contains(&values.len()), "a vector has 1 to 1024 values");
    let start = out.len();
    let validity = Validity::of(validity, values.len());
    let null_count = validity.null_count(values.len());
    let mut lengths = [0; VECTOR_LEN];
    let mut bytes = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if validity.is_valid(index) {
            if bytes.len() + value.len() > BLOCK_BYTES_MAX {
                return Err(EncodeError { reason: "1024 strings of a column are more than 2 GiB" });
            }
            lengths[index] = value.len() as i64;
            bytes.extend_from_slice(value);
        }
    }
    append_lengths(&lengths[..values.len()], out);
    append_bytes(&bytes, out);
    validity.append_to(values.len(), out);
    let header = VectorHeader {
        encoding: VectorEncoding::Strings,
        width: 0,
        param: VectorHeader::param_of(validity.kind(), None, Outliers::Fit),
        crc32c: crc32c::crc32c(&out[start..]),
        base: 0,
    };
    Ok((header, ZoneMap::of_nulls(null_count, values.len())))
}

/// Appends the data of a vector of strings with its bytes compressed harder and returns its header; `None`, with nothing
/// appended, when that saves less than a twentieth or the vector holds no strings.
pub(crate) fn recompress_strings(vector: &PlainVector<'_>, out: &mut Vec<u8>) -> Option<VectorHeader> {
    let PlainVector { header, data, len } = *vector;
    if header.encoding != VectorEncoding::Strings {
        return None;
    }
    let (numbers, mask) = split_mask(&header, data, len).ok()?;
    let (mut rest, mut offsets) = (numbers, vec![0]);
    take_lengths(&mut rest, len, &mut offsets).ok()?;
    let lengths = &numbers[..numbers.len() - rest.len()];
    let strings = byte_strings(offsets, rest).ok()?;
    let compressed = zstd::bulk::compress(strings.value_data(), WARM_ZSTD_LEVEL).ok()?;
    if (lengths.len() + 1 + compressed.len() + mask.len()) * 20 > data.len() * 19 {
        return None;
    }
    let start = out.len();
    out.extend_from_slice(lengths);
    out.push(COMPRESSED);
    out.extend_from_slice(&compressed);
    out.extend_from_slice(mask);
    Some(VectorHeader { crc32c: crc32c::crc32c(&out[start..]), ..header })
}

/// Decodes `len` byte strings; `data` is what the encoder appended. NULLs are empty strings; `decode_validity` tells.
///
/// # Errors
/// When header, data and length do not fit each other.
pub fn decode_strings_plain(header: &VectorHeader, data: &[u8], len: usize) -> Result<BinaryArray, DecodeError> {
    let (mut rest, _) = split_mask(header, data, len)?;
    if header.encoding != VectorEncoding::Strings {
        return Err(DecodeError::new("the vector does not hold strings"));
    }
    let mut offsets = Vec::with_capacity(len + 1);
    offsets.push(0);
    take_lengths(&mut rest, len, &mut offsets)?;
    byte_strings(offsets, rest)
}

/// Appends lengths as an integer vector: header, number of data bytes, data.
fn append_lengths(lengths: &[i64], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + VectorHeader::BYTES + 4, 0);
    let (header, _) = encode_i64(lengths, None, out);
    let data_bytes = (out.len() - start - VectorHeader::BYTES - 4) as u32;
    out[start..start + VectorHeader::BYTES].copy_from_slice(&header.to_bytes());
    out[start + VectorHeader::BYTES..start + VectorHeader::BYTES + 4].copy_from_slice(&data_bytes.to_le_bytes());
}

/// Takes `len` lengths off the front of `rest` and appends the offsets that they lead to.
fn take_lengths(rest: &mut &[u8], len: usize, offsets: &mut Vec<i32>) -> Result<(), DecodeError> {
    let header = VectorHeader::from_bytes(take(rest)?).ok_or(DecodeError::new("the header of the lengths is bad"))?;
    let data_bytes = u32::from_le_bytes(*take(rest)?) as usize;
    let (data, behind) =
        rest.split_at_checked(data_bytes).ok_or(DecodeError::new("the lengths of strings are cut off"))?;
    *rest = behind;
    let mut lengths = [0; VECTOR_LEN];
    decode_i64(&header, data, len, &mut lengths)?;
    let mut end = *offsets.last().expect("offsets start with 0");
    for &length in &lengths[..len] {
        end = i32::try_from(length)
            .ok()
            .filter(|&length| length >= 0)
            .and_then(|length| end.checked_add(length))
            .ok_or(DecodeError::new("the length of a string is out of range"))?;
        offsets.push(end);
    }
    Ok(())
}

/// Appends `bytes`, compressed when that saves a sixteenth: less is not worth the time of decompressing.
fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match zstd::bulk::compress(bytes, ZSTD_LEVEL) {
        Ok(compressed) if compressed.len() * 16 <= bytes.len() * 15 && !bytes.is_empty() => {
            out.push(COMPRESSED);
            out.extend_from_slice(&compressed);
        }
        // ZSTD fails only for want of memory; stored bytes need none.
        _ => {
            out.push(STORED);
            out.extend_from_slice(bytes);
        }
    }
}

/// Strings of the given offsets whose bytes are all of `block`.
fn byte_strings(offsets: Vec<i32>, mut block: &[u8]) -> Result<BinaryArray, DecodeError> {
    let end = *offsets.last().expect("offsets start with 0");
    let expected = usize::try_from(end).expect("offsets only grow from 0");
    let [kind] = *take(&mut block)?;
    let bytes = match kind {
        STORED => block.to_vec(),
        COMPRESSED => {
            let mut bytes = Vec::with_capacity(expected.min(TRUSTED_BYTES));
            let decoder = zstd::stream::read::Decoder::with_buffer(block)
                .map_err(|_| DecodeError::new("the bytes of strings do not decompress"))?;
            // One byte more than expected, so that too many are noticed.
            decoder
                .take(expected as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(|_| DecodeError::new("the bytes of strings do not decompress"))?;
            bytes
        }
        _ => return Err(DecodeError::new("the bytes of strings are stored in an unknown way")),
    };
    if bytes.len() != expected {
        return Err(DecodeError::new("the bytes of strings do not have the length that the lengths add up to"));
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    BinaryArray::try_new(offsets, Buffer::from_vec(bytes), None)
        .map_err(|_| DecodeError::new("the strings do not fit their bytes"))
}

/// Takes `N` bytes off the front of `rest`.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], DecodeError> {
    let (front, behind) = rest.split_first_chunk::<N>().ok_or(DecodeError::new("a block of strings is cut off"))?;
    *rest = behind;
    Ok(front)
}
