//! A decoded request: flat lists whose elements are slices of the message, the same for both versions of the protocol.

use std::borrow::Cow;
use std::ops::Range;

use super::label::{self, LabelFault, Labels};
use super::rejection::Counts;
use super::version::Version;
use super::{DecodeError, Limits, symbols};

/// A float sample.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The value; NaN payloads, stale markers among them, are as they came.
    pub value: f64,
    /// When the counter began, in milliseconds since the epoch; 0 when the sender does not say.
    pub start_ms: i64,
}

/// A native histogram, kept as the message that it came as.
#[derive(Debug, Clone, Copy)]
pub struct HistogramSample<'a> {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// As of [`Sample`].
    pub start_ms: i64,
    /// The bytes of the `Histogram` message, whose fields have the same numbers in both versions.
    pub message: &'a [u8],
}

/// An exemplar of a series.
#[derive(Debug, Clone)]
pub struct Exemplar<'a> {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The value.
    pub value: f64,
    /// Its labels, for [`WriteRequest::labels`].
    pub labels: Cow<'a, [u8]>,
}

/// A metadata entry of version 1, which names a metric family.
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

/// The metadata of a series of version 2. It is absent when it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesMetadata {
    /// Number of the metric type as the protocol has it.
    pub metric_type: u64,
    /// The symbol of the help text.
    pub help_ref: u32,
    /// The symbol of the unit.
    pub unit_ref: u32,
}

/// A series and where its elements stand in the lists of the [`WriteRequest`].
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// Its labels, for [`WriteRequest::labels`]: raw fields in version 1, packed references in version 2.
    pub labels: Cow<'a, [u8]>,
    /// Its samples.
    pub samples: Range<u32>,
    /// Its native histograms.
    pub histograms: Range<u32>,
    /// Its exemplars.
    pub exemplars: Range<u32>,
    /// What version 2 says of its metric.
    pub metadata: Option<SeriesMetadata>,
    /// Whether one of its samples or histograms says when its counter began.
    pub has_start: bool,
}

impl Series<'_> {
    /// What stands in it, itself included.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            series: 1,
            samples: self.samples.len() as u64,
            histograms: self.histograms.len() as u64,
            exemplars: self.exemplars.len() as u64,
            metadata: u64::from(self.metadata.is_some()),
        }
    }
}

/// A decoded request.
#[derive(Debug, Clone, Default)]
pub struct WriteRequest<'a> {
    /// The version that it came in.
    pub version: Version,
    /// The symbols of version 2.
    pub symbols: Vec<&'a [u8]>,
    /// The series, in request order; one may occur several times.
    pub series: Vec<Series<'a>>,
    /// The samples of all series.
    pub samples: Vec<Sample>,
    /// The native histograms of all series.
    pub histograms: Vec<HistogramSample<'a>>,
    /// The exemplars of all series.
    pub exemplars: Vec<Exemplar<'a>>,
    /// The metadata entries of version 1.
    pub metadata: Vec<Metadata<'a>>,
}

impl<'a> WriteRequest<'a> {
    /// Parses and checks the labels of a series or an exemplar. The outer result says whether the bytes are well-formed,
    /// the inner one whether the labels keep the rules.
    ///
    /// # Errors
    /// `Protobuf` when the bytes are not labels.
    pub fn labels<'s>(&'s self, raw: &'s [u8], limits: &Limits) -> Result<Result<Labels<'s>, LabelFault>, DecodeError> {
        match self.version {
            Version::V1 => label::parse_labels(raw, limits),
            Version::V2 => symbols::parse_labels(&self.symbols, raw, limits),
        }
    }

    /// The labels of a series as one byte string, by which a series is known again: the raw fields of version 1, which
    /// `scratch` receives for version 2. `None` when they break a rule that [`WriteRequest::labels`] names.
    pub(super) fn label_bytes<'s>(&self, raw: &'s [u8], limits: &Limits, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        match self.version {
            Version::V1 => Some(raw),
            Version::V2 => {
                symbols::spell_labels(&self.symbols, raw, limits, scratch)?;
                Some(scratch)
            }
        }
    }

    /// A symbol; `None` for a reference beyond the table.
    pub(super) fn symbol(&self, reference: u32) -> Option<&'a [u8]> {
        self.symbols.get(reference as usize).copied()
    }
}

/// The memory of the long lists of a request, for another one.
#[derive(Debug, Default)]
pub(super) struct ListMemory {
    pub(super) series: Vec<Series<'static>>,
    pub(super) samples: Vec<Sample>,
}

impl ListMemory {
    /// What a request leaves.
    pub(super) fn of(request: WriteRequest<'_>) -> Self {
        let WriteRequest { mut series, mut samples, .. } = request;
        series.clear();
        samples.clear();
        // Collected in place: a list without elements is one of any lifetime.
        Self { series: series.into_iter().map(|_| unreachable!("the list is empty")).collect(), samples }
    }

    /// Bytes of memory.
    pub(super) fn byte_len(&self) -> usize {
        self.series.capacity() * size_of::<Series<'_>>() + self.samples.capacity() * size_of::<Sample>()
    }
}
