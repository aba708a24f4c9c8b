//! The parts of `io.prometheus.write.v2.Request` that differ from version 1: symbols, references, metadata in the series,
//! start times.
//!
//! Invariant: as of `decode`. References are looked up when labels are parsed, since symbols may stand behind the series.

use std::borrow::Cow;

use super::DecodeError;
use super::decode::{Places, RawFields, decode_histogram, decode_sample};
use super::request::{Exemplar, SeriesMetadata, WriteRequest};
use super::wire::{Reader, Value};

/// Fields of `Request`.
pub(super) const REQUEST_SYMBOLS: u32 = 4;
pub(super) const REQUEST_TIMESERIES: u32 = 5;
/// Fields of `TimeSeries`.
const SERIES_LABELS_REFS: u32 = 1;
pub(super) const SERIES_SAMPLES: u32 = 2;
pub(super) const SERIES_HISTOGRAMS: u32 = 3;
pub(super) const SERIES_EXEMPLARS: u32 = 4;
const SERIES_METADATA: u32 = 5;
/// Of drafts of the protocol: when the counter began, for all samples of the series. Senders still write it.
const SERIES_CREATED_TIMESTAMP: u32 = 6;

pub(super) fn decode<'a>(message: &'a [u8], request: &mut WriteRequest<'a>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        let Some((number, value)) = reader.next_field()? else { break };
        match number {
            REQUEST_SYMBOLS => request.symbols.push(value.bytes(offset)?),
            REQUEST_TIMESERIES => push_series(value.bytes(offset)?, request)?,
            _ => {}
        }
    }
    match request.symbols.first() {
        Some(first) if !first.is_empty() => Err(DecodeError::Symbols { reason: "the first symbol is not empty" }),
        None if !request.series.is_empty() => Err(DecodeError::Symbols { reason: "there is none" }),
        _ => Ok(()),
    }
}

fn push_series<'a>(message: &'a [u8], request: &mut WriteRequest<'a>) -> Result<(), DecodeError> {
    let first = Places::of(request);
    let mut references = References::default();
    let (mut metadata, mut created_ms) = (None, 0);
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_short() {
            Some((SERIES_SAMPLES, sample)) => {
                request.samples.push(decode_sample(sample)?);
                continue;
            }
            Some(_) => reader.go_to(offset),
            None => {}
        }
        let Some((number, value)) = reader.next_field()? else { break };
        match number {
            SERIES_LABELS_REFS => references.push(message, value, offset, reader.position())?,
            SERIES_SAMPLES => request.samples.push(decode_sample(value.bytes(offset)?)?),
            SERIES_HISTOGRAMS => request.histograms.push(decode_histogram(value.bytes(offset)?)?),
            SERIES_EXEMPLARS => request.exemplars.push(decode_exemplar(value.bytes(offset)?)?),
            SERIES_METADATA => metadata = decode_metadata(value.bytes(offset)?)?,
            SERIES_CREATED_TIMESTAMP => created_ms = value.varint(offset)? as i64,
            _ => {}
        }
    }
    let has_start = first.settle_starts(request, created_ms);
    let mut series = first.series(request, references.finish(message));
    series.metadata = metadata;
    series.has_start = has_start;
    request.series.push(series);
    Ok(())
}

/// Gathers packed references. Senders write one packed field; the format allows several, and single ones.
#[derive(Default)]
struct References {
    fields: RawFields,
}

impl References {
    #[inline]
    fn push(&mut self, message: &[u8], value: Value<'_>, offset: usize, end: usize) -> Result<(), DecodeError> {
        match value {
            Value::Bytes(packed) => self.fields.push(message, end - packed.len()..end),
            Value::Varint(_) => {
                // The key takes a byte: the number of the field is below 16. A longer spelling of it is nobody's.
                let mut single = Reader::new(&message[offset..end]);
                single.varint()?;
                self.fields.push(message, offset + single.position()..end);
            }
            _ => return value.bytes(offset).map(drop),
        }
        Ok(())
    }

    fn finish<'a>(self, message: &'a [u8]) -> Cow<'a, [u8]> {
        self.fields.finish(message)
    }
}

fn decode_exemplar(message: &[u8]) -> Result<Exemplar<'_>, DecodeError> {
    let (mut time_ms, mut number_value) = (0, 0.0);
    let mut references = References::default();
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((1, value)) => references.push(message, value, offset, reader.position())?,
            Some((2, value)) => number_value = value.double(offset)?,
            Some((3, value)) => time_ms = value.varint(offset)? as i64,
            Some(_) => {}
            None => return Ok(Exemplar { time_ms, value: number_value, labels: references.finish(message) }),
        }
    }
}

/// The metadata of a series; `None` when it says nothing, as senders have it that know nothing.
fn decode_metadata(message: &[u8]) -> Result<Option<SeriesMetadata>, DecodeError> {
    let mut metadata = SeriesMetadata { metric_type: 0, help_ref: 0, unit_ref: 0 };
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((1, value)) => metadata.metric_type = value.varint(offset)?,
            Some((3, value)) => metadata.help_ref = reference(value, offset)?,
            Some((4, value)) => metadata.unit_ref = reference(value, offset)?,
            Some(_) => {}
            None => break,
        }
    }
    let says_nothing = SeriesMetadata { metric_type: 0, help_ref: 0, unit_ref: 0 };
    Ok((metadata != says_nothing).then_some(metadata))
}

/// A reference; one beyond 32 bits is beyond every table, and is refused as such later.
fn reference(value: Value<'_>, offset: usize) -> Result<u32, DecodeError> {
    Ok(u32::try_from(value.varint(offset)?).unwrap_or(u32::MAX))
}
