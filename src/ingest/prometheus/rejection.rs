//! What of a well-formed request was left out, and why.

use std::fmt;

/// Longest example that a response quotes; the whole text must fit in the 1,024 bytes that Prometheus reads.
const EXAMPLE_BYTES_MAX: usize = 300;

/// Why an element of a request was left out. The sender must not send it again as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// No label `__name__`, or an empty one; a metadata entry without a metric family.
    MissingMetricName,
    /// A label without a name.
    EmptyLabelName,
    /// Two labels of one name.
    DuplicateLabel,
    /// A text that is not UTF-8.
    InvalidUtf8,
    /// More labels than a series may have.
    TooManyLabels,
    /// A label name or value, or all of them together, longer than allowed.
    LabelsTooLong,
    /// A time that does not fit in 64-bit nanoseconds.
    TimeOutOfRange,
    /// A native histogram whose parts contradict each other.
    InvalidHistogram,
    /// The table of the metric was declared with other columns, or takes no new ones.
    SchemaConflict,
    /// A new series, and too many began in this minute.
    SeriesRate,
    /// A new series, and the table or the tenant has as many as it may.
    SeriesLimit,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::MissingMetricName,
        Self::EmptyLabelName,
        Self::DuplicateLabel,
        Self::InvalidUtf8,
        Self::TooManyLabels,
        Self::LabelsTooLong,
        Self::TimeOutOfRange,
        Self::InvalidHistogram,
        Self::SchemaConflict,
        Self::SeriesRate,
        Self::SeriesLimit,
    ];

    /// The reason as one word, for responses and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingMetricName => "missing_metric_name",
            Self::EmptyLabelName => "empty_label_name",
            Self::DuplicateLabel => "duplicate_label",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooManyLabels => "too_many_labels",
            Self::LabelsTooLong => "labels_too_long",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::InvalidHistogram => "invalid_histogram",
            Self::SchemaConflict => "schema_conflict",
            Self::SeriesRate => "series_rate",
            Self::SeriesLimit => "series_limit",
        }
    }
}

/// Numbers of elements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Time series.
    pub series: u64,
    /// Float samples.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metadata entries.
    pub metadata: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.series += other.series;
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
        self.metadata += other.metadata;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { series, samples, histograms, exemplars, metadata } = self;
        write!(
            f,
            "{series} series, {samples} samples, {histograms} histograms, {exemplars} exemplars, {metadata} metadata"
        )
    }
}

/// The elements of a request that were left out.
#[derive(Debug, Clone, Default)]
pub struct Rejections {
    total: Counts,
    by_reason: [u64; RejectReason::ALL.len()],
    example: Option<String>,
}

impl Rejections {
    /// Notes that `counts` elements were left out; `example` describes the first of them.
    pub(super) fn add(&mut self, reason: RejectReason, counts: Counts, example: impl FnOnce() -> String) {
        self.total.add(counts);
        self.by_reason[reason as usize] += 1;
        if self.example.is_none() {
            self.example = Some(truncated(example(), EXAMPLE_BYTES_MAX));
        }
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.by_reason.iter().all(|&count| count == 0)
    }

    /// All that was left out. A series that is refused takes everything in it along.
    pub fn total(&self) -> Counts {
        self.total
    }

    /// How often each reason was met: once per refused series, and once per element refused within a good series.
    pub fn by_reason(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        RejectReason::ALL.into_iter().zip(self.by_reason).filter(|(_, count)| *count > 0)
    }

    /// The first element that was left out, in words.
    pub fn example(&self) -> Option<&str> {
        self.example.as_deref()
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rejected {}:", self.total)?;
        for (reason, count) in self.by_reason() {
            write!(f, " {}={count}", reason.as_str())?;
        }
        if let Some(example) = &self.example {
            write!(f, "; first: {example}")?;
        }
        Ok(())
    }
}

/// Cuts a text at a character boundary.
fn truncated(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_every_reason_and_a_long_example_fits_in_what_senders_read() {
        let mut rejections = Rejections::default();
        assert!(rejections.is_empty());
        let most = Counts { series: u64::MAX / 16, samples: u64::MAX / 16, ..Counts::default() };
        for reason in RejectReason::ALL {
            rejections.add(reason, most, || "\u{1F41F}".repeat(1000));
        }
        let text = rejections.to_string();
        assert!(text.len() < 900, "{}", text.len());
        assert!(text.contains("duplicate_label=1"), "{text}");
        assert_eq!(rejections.by_reason().count(), RejectReason::ALL.len());
    }

    #[test]
    fn reasons_stand_at_their_own_index() {
        for (index, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
