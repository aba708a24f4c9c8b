//! Arrow IPC streams.
//!
//! Arrays point into the body, so what the lengths in a stream claim allocates nothing; compressed buffers and dictionaries
//! that grow, for which that would not hold, are refused before anything is decoded. The decoder of the arrow crate
//! checks offsets and UTF-8, but panics on some streams that no writer makes; a panic there refuses the request.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{MessageHeader, root_as_message};

use crate::ingest::rows::{RowLimits, RowsError};

fn malformed(reason: impl std::fmt::Display) -> RowsError {
    RowsError::Malformed(format!("the body is not an Arrow IPC stream that can be read: {reason}"))
}

/// The rows of a stream as one batch; `None` when it has none.
pub(super) fn read(body: &[u8], limits: &RowLimits) -> Result<Option<RecordBatch>, RowsError> {
    // The decoder holds nothing that a panic could leave half done and that is used after it.
    catch_unwind(AssertUnwindSafe(|| decode(body, limits))).unwrap_or_else(|_| Err(malformed("it contradicts itself")))
}

fn decode(body: &[u8], limits: &RowLimits) -> Result<Option<RecordBatch>, RowsError> {
    check_messages(body)?;
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from_slice_ref(body);
    let (mut batches, mut rows, mut bytes, mut dictionary_values) = (Vec::new(), 0_usize, 0_usize, 0_usize);
    loop {
        match decoder.decode(&mut buffer).map_err(malformed)? {
            Some(batch) => {
                rows = rows.saturating_add(batch.num_rows());
                RowsError::check("rows", rows, limits.rows_max)?;
                RowsError::check(
                    "cells (rows times columns)",
                    rows.saturating_mul(batch.num_columns()),
                    limits.cells_max,
                )?;
                for column in batch.columns() {
                    // They are looked at once per batch, however few of its rows name them.
                    dictionary_values = dictionary_values.saturating_add(dictionary_len(column));
                    RowsError::check("values of dictionaries", dictionary_values, limits.cells_max)?;
                    bytes = bytes.saturating_add(text_bytes(column));
                    RowsError::check("bytes of text", bytes, limits.decoded_bytes_max)?;
                }
                batches.push(batch);
            }
            None if buffer.is_empty() => break,
            None => {}
        }
    }
    decoder.finish().map_err(malformed)?;
    let Some(schema) = decoder.schema() else { return Err(malformed(ArrowError::IpcError("it has no schema".into()))) };
    if rows == 0 {
        return Ok(None);
    }
    concat_batches(&schema, &batches).map(Some).map_err(malformed)
}

/// Refuses what makes much memory out of few bytes: compressed buffers, whatever length they claim, and dictionaries that grow
/// with every message. The frames are walked as the decoder walks them.
fn check_messages(mut rest: &[u8]) -> Result<(), RowsError> {
    let cut = || malformed("it is cut");
    while !rest.is_empty() {
        let (mut head, mut after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        if *head == [0xff; 4] {
            (head, after) = after.split_first_chunk::<4>().ok_or_else(cut)?;
        }
        let metadata_len = u32::from_le_bytes(*head) as usize;
        if metadata_len == 0 {
            return Ok(());
        }
        let (metadata, body) = after.split_at_checked(metadata_len).ok_or_else(cut)?;
        let message = root_as_message(metadata).map_err(malformed)?;
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => {
                let dictionary = message.header_as_dictionary_batch();
                if dictionary.is_some_and(|dictionary| dictionary.isDelta()) {
                    return Err(malformed("it adds to a dictionary: send each dictionary whole"));
                }
                dictionary.and_then(|dictionary| dictionary.data())
            }
            _ => None,
        };
        if batch.is_some_and(|batch| batch.compression().is_some()) {
            return Err(malformed("its buffers are compressed: send them plain, or the whole body as gzip"));
        }
        let body_len = usize::try_from(message.bodyLength()).map_err(|_| cut())?;
        rest = body.split_at_checked(body_len).ok_or_else(cut)?.1;
    }
    Ok(())
}

/// Values of the dictionary of a column; 0 when it has none.
fn dictionary_len(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Dictionary(_, _) => column.as_any_dictionary().values().len(),
        _ => 0,
    }
}

/// Bytes that the values of a column take one by one. Dictionaries and views may say the same long text many times.
fn text_bytes(column: &ArrayRef) -> usize {
    let sum = |lengths: &mut dyn Iterator<Item = usize>| lengths.fold(0_usize, usize::saturating_add);
    match column.data_type() {
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_any_dictionary();
            let values = dictionary.values();
            let lengths: Vec<usize> = (0..values.len()).map(|value| value_bytes(values, value)).collect();
            if lengths.is_empty() {
                return 0;
            }
            sum(&mut dictionary.normalized_keys().into_iter().map(|key| lengths.get(key).copied().unwrap_or(0)))
        }
        DataType::Utf8View | DataType::BinaryView => sum(&mut (0..column.len()).map(|row| value_bytes(column, row))),
        // Others hold each value once.
        _ => 0,
    }
}

fn value_bytes(values: &ArrayRef, index: usize) -> usize {
    match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value_length(index) as usize,
        DataType::LargeUtf8 => values.as_string::<i64>().value_length(index) as usize,
        DataType::Binary => values.as_binary::<i32>().value_length(index) as usize,
        DataType::LargeBinary => values.as_binary::<i64>().value_length(index) as usize,
        DataType::Utf8View => values.as_string_view().value(index).len(),
        DataType::BinaryView => values.as_binary_view().value(index).len(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int32Array, StringArray};
    use arrow_ipc::writer::StreamWriter;
    #[cfg(feature = "datafusion")]
    use arrow_ipc::{CompressionType, writer::IpcWriteOptions};

    use super::*;

    fn stream(batch: &RecordBatch) -> Vec<u8> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([("s", column)]).unwrap()
    }

    #[test]
    fn batches_of_a_stream_become_one_and_truncations_are_refused() {
        let body = stream(&batch(Arc::new(StringArray::from(vec!["a", "b"]))));
        let limits = RowLimits::default();
        assert_eq!(read(&body, &limits).unwrap().unwrap().num_rows(), 4);
        // The last 8 bytes say that it ends.
        for end in 0..body.len() - 8 {
            let result = read(&body[..end], &limits);
            assert!(
                result.is_err() || result.is_ok_and(|batch| batch.is_none_or(|batch| batch.num_rows() < 4)),
                "{end}"
            );
        }
        for place in 0..body.len() {
            let mut changed = body.clone();
            changed[place] ^= 0x41;
            let _ = read(&changed, &limits);
        }
    }

    /// Writing them takes a feature that only a build with DataFusion has, as does reading them.
    #[test]
    #[cfg(feature = "datafusion")]
    fn compressed_buffers_are_refused_before_their_lengths_are_believed() {
        let column = batch(Arc::new(StringArray::from(vec!["a".repeat(1_000); 100])));
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &column.schema(), options).unwrap();
        writer.write(&column).unwrap();
        let refused = read(&writer.into_inner().unwrap(), &RowLimits::default()).unwrap_err();
        assert!(refused.to_string().contains("compressed"), "{refused}");
    }

    #[test]
    fn a_dictionary_counts_in_every_batch_that_has_it() {
        let values = Arc::new(Int32Array::from_iter_values(0..1_000));
        let body = stream(&batch(Arc::new(DictionaryArray::new(Int32Array::from(vec![0; 2]), values))));
        let limits = |cells_max| RowLimits { cells_max, ..RowLimits::default() };
        assert!(matches!(read(&body, &limits(1_999)), Err(RowsError::TooLarge { .. })));
        assert!(read(&body, &limits(2_000)).is_ok());
    }

    #[test]
    fn a_long_text_that_is_said_many_times_counts_each_time() {
        let values = Arc::new(StringArray::from(vec!["x".repeat(1_000)]));
        let dictionary = DictionaryArray::new(Int32Array::from(vec![0; 100]), values);
        let body = stream(&batch(Arc::new(dictionary)));
        let limits = |decoded_bytes_max| RowLimits { decoded_bytes_max, ..RowLimits::default() };
        assert!(matches!(read(&body, &limits(199_999)), Err(RowsError::TooLarge { .. })));
        assert!(read(&body, &limits(200_000)).is_ok());
    }
}
