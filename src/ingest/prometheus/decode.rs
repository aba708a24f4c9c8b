//! The second walk over a message: lists what is in it as slices of the message.
//!
//! Invariant: nothing here allocates per series or per sample; labels stay raw bytes, which is what the series cache of
//! the writer looks up. Everything but the inside of labels, exemplar labels and histogram buckets is checked here.

use std::borrow::Cow;
use std::ops::Range;

use super::count::{
    REQUEST_METADATA, REQUEST_TIMESERIES, SERIES_EXEMPLARS, SERIES_HISTOGRAMS, SERIES_LABELS, SERIES_SAMPLES, count,
};
use super::wire::Reader;
use super::{DecodeError, Limits};

/// A float sample.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The value; NaN payloads, stale markers among them, are as they came.
    pub value: f64,
}

/// A native histogram, kept as the message that it came as.
#[derive(Debug, Clone, Copy)]
pub struct HistogramSample<'a> {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The bytes of the `prometheus.Histogram` message.
    pub message: &'a [u8],
}

/// An exemplar of a series.
#[derive(Debug, Clone)]
pub struct Exemplar<'a> {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The value.
    pub value: f64,
    /// Its labels as raw fields, for [`parse_labels`](super::parse_labels).
    pub labels: Cow<'a, [u8]>,
}

/// A metadata entry.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    /// Number of the metric type as the protocol has it.
    pub metric_type: u64,
    /// The metric family; not yet checked to be UTF-8.
    pub family: &'a [u8],
    /// The help text; not yet checked to be UTF-8.
    pub help: &'a [u8],
    /// The unit; not yet checked to be UTF-8.
    pub unit: &'a [u8],
}

/// A series and where its elements stand in the lists of the [`WriteRequest`].
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// Its labels as raw fields, for [`parse_labels`](super::parse_labels). Equal bytes are equal labels.
    pub labels: Cow<'a, [u8]>,
    /// Its samples.
    pub samples: Range<u32>,
    /// Its native histograms.
    pub histograms: Range<u32>,
    /// Its exemplars.
    pub exemplars: Range<u32>,
}

/// A decoded request.
#[derive(Debug, Clone, Default)]
pub struct WriteRequest<'a> {
    /// The series, in request order; one may occur several times.
    pub series: Vec<Series<'a>>,
    /// The samples of all series.
    pub samples: Vec<Sample>,
    /// The native histograms of all series.
    pub histograms: Vec<HistogramSample<'a>>,
    /// The exemplars of all series.
    pub exemplars: Vec<Exemplar<'a>>,
    /// The metadata entries.
    pub metadata: Vec<Metadata<'a>>,
}

/// Decodes a `prometheus.WriteRequest`.
///
/// # Errors
/// `TooLarge` when an element count is over its limit, `Protobuf` when the message is not well-formed.
pub fn decode<'a>(message: &'a [u8], limits: &Limits) -> Result<WriteRequest<'a>, DecodeError> {
    // Positions are u32; a caller may have raised the limit beyond them.
    DecodeError::check("decompressed bytes", message.len(), limits.decoded_bytes_max.min(u32::MAX as usize))?;
    let counts = count(message, limits)?;
    let mut request = WriteRequest {
        series: Vec::with_capacity(counts.series),
        samples: Vec::with_capacity(counts.samples),
        histograms: Vec::with_capacity(counts.histograms),
        exemplars: Vec::with_capacity(counts.exemplars),
        metadata: Vec::with_capacity(counts.metadata),
    };
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        let Some((number, value)) = reader.next_field()? else { break };
        match number {
            REQUEST_TIMESERIES => request.push_series(value.bytes(offset)?)?,
            REQUEST_METADATA => request.metadata.push(decode_metadata(value.bytes(offset)?)?),
            _ => {}
        }
    }
    Ok(request)
}

impl<'a> WriteRequest<'a> {
    fn push_series(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let first = (self.samples.len(), self.histograms.len(), self.exemplars.len());
        let mut labels = RawLabels::default();
        let mut reader = Reader::new(message);
        loop {
            let offset = reader.position();
            let Some((number, value)) = reader.next_field()? else { break };
            match number {
                SERIES_LABELS => {
                    value.bytes(offset)?;
                    labels.push(message, offset..reader.position());
                }
                SERIES_SAMPLES => self.samples.push(decode_sample(value.bytes(offset)?)?),
                SERIES_EXEMPLARS => self.exemplars.push(decode_exemplar(value.bytes(offset)?)?),
                SERIES_HISTOGRAMS => self.histograms.push(decode_histogram(value.bytes(offset)?)?),
                _ => {}
            }
        }
        self.series.push(Series {
            labels: labels.finish(message),
            samples: span(first.0, self.samples.len()),
            histograms: span(first.1, self.histograms.len()),
            exemplars: span(first.2, self.exemplars.len()),
        });
        Ok(())
    }
}

fn span(start: usize, end: usize) -> Range<u32> {
    let position = |index: usize| u32::try_from(index).expect("a message of u32 bytes has fewer elements than that");
    position(start)..position(end)
}

/// Gathers label fields: one slice when they stand together, as every sender puts them, else a copy.
#[derive(Default)]
struct RawLabels {
    together: Range<usize>,
    copied: Option<Vec<u8>>,
}

impl RawLabels {
    #[inline]
    fn push(&mut self, message: &[u8], field: Range<usize>) {
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

    fn finish<'a>(self, message: &'a [u8]) -> Cow<'a, [u8]> {
        match self.copied {
            Some(copied) => Cow::Owned(copied),
            None => Cow::Borrowed(&message[self.together]),
        }
    }
}

#[inline]
fn decode_sample(message: &[u8]) -> Result<Sample, DecodeError> {
    // The shape that every sender writes: value, then a timestamp.
    let mut sample = Sample { time_ms: 0, value: 0.0 };
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((1, value)) => sample.value = value.double(offset)?,
            Some((2, value)) => sample.time_ms = value.varint(offset)? as i64,
            Some(_) => {}
            None => return Ok(sample),
        }
    }
}

fn decode_exemplar(message: &[u8]) -> Result<Exemplar<'_>, DecodeError> {
    let (mut time_ms, mut number_value) = (0, 0.0);
    let mut labels = RawLabels::default();
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

fn decode_histogram(message: &[u8]) -> Result<HistogramSample<'_>, DecodeError> {
    const TIMESTAMP: u32 = 15;
    let mut time_ms = 0;
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((TIMESTAMP, value)) => time_ms = value.varint(offset)? as i64,
            Some(_) => {}
            None => return Ok(HistogramSample { time_ms, message }),
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
