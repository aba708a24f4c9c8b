//! The walk over a message: lists what is in it as slices of the message.
//!
//! Invariant: nothing here allocates per series or per sample; labels stay raw bytes, which is what the series cache of
//! the writer looks up. Everything but the inside of labels, exemplar labels and histogram buckets is checked here. The
//! parts of version 2, whose elements are counted before, are in `decode_v2`.
//!
//! Version 1 is walked once: each element is checked against its limit before it is listed, so that a list is never longer
//! than twice its limit, and labels that the caller knows are not walked at all.

use std::borrow::Cow;
use std::ops::Range;

use super::count::{ElementCounts, count};
use super::decode_v2;
use super::request::{Exemplar, HistogramSample, ListMemory, Metadata, Sample, Series, WriteRequest};
use super::version::Version;
use super::wire::Reader;
use super::{DecodeError, Limits};

/// Fields of `WriteRequest`.
const REQUEST_TIMESERIES: u32 = 1;
const REQUEST_METADATA: u32 = 3;
/// Fields of `TimeSeries`.
const SERIES_LABELS: u32 = 1;
const SERIES_SAMPLES: u32 = 2;
const SERIES_EXEMPLARS: u32 = 3;
const SERIES_HISTOGRAMS: u32 = 4;

/// Fewer bytes than nearly every series takes.
const SERIES_BYTES_EXPECTED: usize = 64;
/// Series that are made room for at first.
const SERIES_RESERVED: usize = 4096;

/// What the caller knows of the series of a message of version 1.
pub(super) trait KnownLabels {
    /// How many bytes at the beginning of a series are label fields that are known to be well-formed. Others may follow.
    fn known_bytes(&mut self, series: &[u8]) -> usize;

    /// Takes note of the labels of a series of which nothing was known.
    fn note(&mut self, labels: &[u8]);
}

/// Nothing is known.
struct NothingKnown;

impl KnownLabels for NothingKnown {
    fn known_bytes(&mut self, _series: &[u8]) -> usize {
        0
    }

    fn note(&mut self, _labels: &[u8]) {}
}

/// Decodes the message of a version.
///
/// # Errors
/// `TooLarge` when an element count is over its limit, `Protobuf` when the message is not well-formed, `Symbols` when
/// version 2 has no sound table of symbols.
pub fn decode<'a>(message: &'a [u8], version: Version, limits: &Limits) -> Result<WriteRequest<'a>, DecodeError> {
    decode_with(message, version, limits, &mut NothingKnown, ListMemory::default())
}

/// As [`decode`], with what is known of the labels, into the memory of a request before.
pub(super) fn decode_with<'a>(
    message: &'a [u8],
    version: Version,
    limits: &Limits,
    known: &mut impl KnownLabels,
    memory: ListMemory,
) -> Result<WriteRequest<'a>, DecodeError> {
    // Positions are u32; a caller may have raised the limit beyond them.
    DecodeError::check("decompressed bytes", message.len(), limits.decoded_bytes_max.min(u32::MAX as usize))?;
    let counts = match version {
        Version::V1 => {
            let expected = SERIES_RESERVED.min(message.len() / SERIES_BYTES_EXPECTED);
            ElementCounts { series: expected, samples: expected, ..ElementCounts::default() }
        }
        Version::V2 => count(message, limits)?,
    };
    let mut request = WriteRequest {
        version,
        symbols: Vec::with_capacity(counts.symbols),
        series: memory.series,
        samples: memory.samples,
        histograms: Vec::with_capacity(counts.histograms),
        exemplars: Vec::with_capacity(counts.exemplars),
        metadata: Vec::new(),
    };
    request.series.reserve(counts.series);
    request.samples.reserve(counts.samples);
    match version {
        Version::V1 => decode_v1(message, limits, known, &mut request)?,
        Version::V2 => decode_v2::decode(message, &mut request)?,
    }
    Ok(request)
}

fn decode_v1<'a>(
    message: &'a [u8],
    limits: &Limits,
    known: &mut impl KnownLabels,
    request: &mut WriteRequest<'a>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        let Some((number, value)) = reader.next_field()? else { return Ok(()) };
        match number {
            REQUEST_TIMESERIES => {
                DecodeError::check("time series", request.series.len() + 1, limits.series_max)?;
                push_series(value.bytes(offset)?, limits, known, request)?;
            }
            REQUEST_METADATA => {
                DecodeError::check("metadata entries", request.metadata.len() + 1, limits.metadata_max)?;
                request.metadata.push(decode_metadata(value.bytes(offset)?)?);
            }
            _ => {}
        }
    }
}

fn push_series<'a>(
    message: &'a [u8],
    limits: &Limits,
    known: &mut impl KnownLabels,
    request: &mut WriteRequest<'a>,
) -> Result<(), DecodeError> {
    let first = Places::of(request);
    let mut labels = RawFields::default();
    let mut reader = Reader::new(message);
    let known_bytes = known.known_bytes(message);
    if known_bytes > 0 {
        labels.push(message, 0..known_bytes);
        reader.go_to(known_bytes);
    }
    loop {
        let offset = reader.position();
        match reader.next_short() {
            Some((SERIES_LABELS, _)) => {
                labels.push(message, offset..reader.position());
                continue;
            }
            Some((SERIES_SAMPLES, sample)) => {
                push_sample(sample, limits, request)?;
                continue;
            }
            Some(_) => reader.go_to(offset),
            None => {}
        }
        let Some((number, value)) = reader.next_field()? else { break };
        match number {
            SERIES_LABELS => {
                value.bytes(offset)?;
                labels.push(message, offset..reader.position());
            }
            SERIES_SAMPLES => push_sample(value.bytes(offset)?, limits, request)?,
            SERIES_EXEMPLARS => {
                DecodeError::check("exemplars", request.exemplars.len() + 1, limits.exemplars_max)?;
                request.exemplars.push(decode_exemplar(value.bytes(offset)?)?);
            }
            SERIES_HISTOGRAMS => {
                DecodeError::check("histograms", request.histograms.len() + 1, limits.histograms_max)?;
                request.histograms.push(decode_histogram(value.bytes(offset)?)?);
            }
            _ => {}
        }
    }
    let labels = labels.finish(message);
    if known_bytes == 0 {
        known.note(&labels);
    }
    request.series.push(first.series(request, labels));
    Ok(())
}

#[inline]
fn push_sample(message: &[u8], limits: &Limits, request: &mut WriteRequest<'_>) -> Result<(), DecodeError> {
    DecodeError::check("samples", request.samples.len() + 1, limits.samples_max)?;
    request.samples.push(decode_sample(message)?);
    Ok(())
}

/// How long the lists of a request were when a series began.
pub(super) struct Places {
    samples: usize,
    histograms: usize,
    exemplars: usize,
}

impl Places {
    pub(super) fn of(request: &WriteRequest<'_>) -> Self {
        Self {
            samples: request.samples.len(),
            histograms: request.histograms.len(),
            exemplars: request.exemplars.len(),
        }
    }

    /// The series whose elements came since.
    pub(super) fn series<'a>(&self, request: &WriteRequest<'a>, labels: Cow<'a, [u8]>) -> Series<'a> {
        Series {
            labels,
            samples: span(self.samples, request.samples.len()),
            histograms: span(self.histograms, request.histograms.len()),
            exemplars: span(self.exemplars, request.exemplars.len()),
            metadata: None,
            has_start: false,
        }
    }

    /// Gives `created_ms` to the samples and histograms since that have no start of their own; returns whether one has.
    pub(super) fn settle_starts(&self, request: &mut WriteRequest<'_>, created_ms: i64) -> bool {
        let samples = request.samples[self.samples..].iter_mut().map(|sample| &mut sample.start_ms);
        let histograms = request.histograms[self.histograms..].iter_mut().map(|sample| &mut sample.start_ms);
        let mut has_start = false;
        for start_ms in samples.chain(histograms) {
            if *start_ms == 0 {
                *start_ms = created_ms;
            }
            has_start |= *start_ms != 0;
        }
        has_start
    }
}

fn span(start: usize, end: usize) -> Range<u32> {
    let position = |index: usize| u32::try_from(index).expect("a message of u32 bytes has fewer elements than that");
    position(start)..position(end)
}

/// Gathers fields of one number: one slice when they stand together, as every sender puts them, else a copy.
#[derive(Default)]
pub(super) struct RawFields {
    together: Range<usize>,
    copied: Option<Vec<u8>>,
}

impl RawFields {
    #[inline]
    pub(super) fn push(&mut self, message: &[u8], field: Range<usize>) {
        if let Some(copied) = &mut self.copied {
            copied.extend_from_slice(&message[field]);
        } else if self.together.is_empty() {
            self.together = field;
        } else if self.together.end == field.start {
            self.together.end = field.end;
        } else {
            self.copied = Some([&message[self.together.clone()], &message[field]].concat());
        }
    }

    pub(super) fn finish<'a>(self, message: &'a [u8]) -> Cow<'a, [u8]> {
        match self.copied {
            Some(copied) => Cow::Owned(copied),
            None => Cow::Borrowed(&message[self.together]),
        }
    }
}

#[inline]
pub(super) fn decode_sample(message: &[u8]) -> Result<Sample, DecodeError> {
    // The shape that every sender writes: a value, then a time of six bytes, as it is from 2004 to 2109.
    if let &[0x09, v0, v1, v2, v3, v4, v5, v6, v7, 0x10, t0, t1, t2, t3, t4, t5] = message {
        let time = [t0, t1, t2, t3, t4, t5];
        if time[..5].iter().all(|byte| byte & 0x80 != 0) && t5 < 0x80 {
            let parts = time.iter().zip((0..).step_by(7)).map(|(byte, shift)| i64::from(byte & 0x7f) << shift);
            let value = f64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]);
            return Ok(Sample { time_ms: parts.sum(), value, start_ms: 0 });
        }
    }
    decode_sample_of_any_shape(message)
}

fn decode_sample_of_any_shape(message: &[u8]) -> Result<Sample, DecodeError> {
    let mut sample = Sample { time_ms: 0, value: 0.0, start_ms: 0 };
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((1, value)) => sample.value = value.double(offset)?,
            Some((2, value)) => sample.time_ms = value.varint(offset)? as i64,
            // Only version 2 has it, and no other field of that number ever was in version 1.
            Some((3, value)) => sample.start_ms = value.varint(offset)? as i64,
            Some(_) => {}
            None => return Ok(sample),
        }
    }
}

fn decode_exemplar(message: &[u8]) -> Result<Exemplar<'_>, DecodeError> {
    let (mut time_ms, mut number_value) = (0, 0.0);
    let mut labels = RawFields::default();
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((1, value)) => {
                value.bytes(offset)?;
                labels.push(message, offset..reader.position());
            }
            Some((2, value)) => number_value = value.double(offset)?,
            Some((3, value)) => time_ms = value.varint(offset)? as i64,
            Some(_) => {}
            None => return Ok(Exemplar { time_ms, value: number_value, labels: labels.finish(message) }),
        }
    }
}

pub(super) fn decode_histogram(message: &[u8]) -> Result<HistogramSample<'_>, DecodeError> {
    const TIMESTAMP: u32 = 15;
    const START_TIMESTAMP: u32 = 17;
    let mut sample = HistogramSample { time_ms: 0, start_ms: 0, message };
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((TIMESTAMP, value)) => sample.time_ms = value.varint(offset)? as i64,
            Some((START_TIMESTAMP, value)) => sample.start_ms = value.varint(offset)? as i64,
            Some(_) => {}
            None => return Ok(sample),
        }
    }
}

fn decode_metadata(message: &[u8]) -> Result<Metadata<'_>, DecodeError> {
    let mut metadata = Metadata { metric_type: 0, family: &[], help: &[], unit: &[] };
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((1, value)) => metadata.metric_type = value.varint(offset)?,
            Some((2, value)) => metadata.family = value.bytes(offset)?,
            Some((4, value)) => metadata.help = value.bytes(offset)?,
            Some((5, value)) => metadata.unit = value.bytes(offset)?,
            Some(_) => {}
            None => return Ok(metadata),
        }
    }
}
