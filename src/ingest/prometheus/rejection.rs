//! What of a well-formed request was left out, and why.

use std::borrow::Cow;
use std::fmt;

use super::Labels;

/// Longest example that a response quotes; the whole text must fit in the 1,024 bytes that Prometheus reads.
const EXAMPLE_BYTES_MAX: usize = 300;

/// Descriptions that are made of one request; all that it has is counted.
const DESCRIBED_MAX: usize = 16;

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
    /// A reference to a symbol that the request does not have, or a name without its value.
    InvalidReference,
    /// More labels than a series may have.
    TooManyLabels,
    /// A label name or value, or all of them together, longer than allowed.
    LabelsTooLong,
    /// A time that does not fit in 64-bit nanoseconds.
    TimeOutOfRange,
    /// A time further ahead of the clock than allowed.
    TooFarInFuture,
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
    pub const ALL: [Self; 13] = [
        Self::MissingMetricName,
        Self::EmptyLabelName,
        Self::DuplicateLabel,
        Self::InvalidUtf8,
        Self::InvalidReference,
        Self::TooManyLabels,
        Self::LabelsTooLong,
        Self::TimeOutOfRange,
        Self::TooFarInFuture,
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
            Self::InvalidReference => "invalid_reference",
            Self::TooManyLabels => "too_many_labels",
            Self::LabelsTooLong => "labels_too_long",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::TooFarInFuture => "too_far_in_future",
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

    /// Everything but series; at least one.
    fn elements(&self) -> u64 {
        (self.samples + self.histograms + self.exemplars + self.metadata).max(1)
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

/// Something that was left out, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The rule that it breaks.
    pub reason: RejectReason,
    /// The metric, as far as it is known.
    pub metric: String,
    /// Its labels as text, as far as they can be read.
    pub labels: String,
    /// Its own time, in nanoseconds since the epoch.
    pub time_ns: Option<i64>,
    /// What breaks the rule.
    pub detail: String,
}

impl Description {
    /// A description of nothing but what breaks the rule; more may be set.
    pub(super) fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, metric: String::new(), labels: String::new(), time_ns: None, detail: detail.into() }
    }

    /// With the series that it belongs to.
    pub(super) fn of_series(mut self, labels: &Labels<'_>) -> Self {
        self.metric = labels.metric().unwrap_or_default().to_owned();
        self.labels = labels.to_text();
        self
    }
}

/// The elements of a request that were left out.
#[derive(Debug, Clone, Default)]
pub struct Rejections {
    total: Counts,
    /// How often each rule was broken, and by how many elements.
    by_reason: [(u64, u64); RejectReason::ALL.len()],
    described: Vec<Description>,
}

impl Rejections {
    /// Notes that `counts` elements were left out; `describe` puts it into words, if there is still room for them.
    pub(super) fn add(&mut self, reason: RejectReason, counts: Counts, describe: impl FnOnce() -> Description) {
        self.total.add(counts);
        let (cases, elements) = &mut self.by_reason[reason as usize];
        *cases += 1;
        *elements += counts.elements();
        if self.described.len() < DESCRIBED_MAX {
            self.described.push(describe());
        }
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.by_reason.iter().all(|&(cases, _)| cases == 0)
    }

    /// All that was left out. A series that is refused takes everything in it along.
    pub fn total(&self) -> Counts {
        self.total
    }

    /// How often each reason was met: once per refused series, and once per element refused within a good series.
    pub fn by_reason(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        let reasons = RejectReason::ALL.into_iter().zip(self.by_reason);
        reasons.filter(|(_, (cases, _))| *cases > 0).map(|(reason, (cases, _))| (reason, cases))
    }

    /// How many samples, histograms, exemplars and metadata entries each reason left out. A series that has none of them
    /// counts once.
    pub fn elements_by_reason(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        let reasons = RejectReason::ALL.into_iter().zip(self.by_reason);
        reasons.filter(|(_, (cases, _))| *cases > 0).map(|(reason, (_, elements))| (reason, elements))
    }

    /// The first of what was left out, in words.
    pub fn described(&self) -> &[Description] {
        &self.described
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rejected {}:", self.total)?;
        for (reason, count) in self.by_reason() {
            write!(f, " {}={count}", reason.as_str())?;
        }
        if let Some(first) = self.described.first() {
            write!(f, "; first: {}", truncated(&first.detail, EXAMPLE_BYTES_MAX))?;
        }
        Ok(())
    }
}

/// A text cut at a character.
fn truncated(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}...", &text[..text.floor_char_boundary(bytes_max)]))
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
            rejections.add(reason, most, || Description::new(reason, "\u{1F41F}".repeat(1000)));
        }
        let text = rejections.to_string();
        assert!(text.len() < 900, "{}", text.len());
        assert!(text.contains("duplicate_label=1"), "{text}");
        assert_eq!(rejections.by_reason().count(), RejectReason::ALL.len());
    }

    #[test]
    fn elements_are_counted_beside_cases_and_few_of_them_are_described() {
        let mut rejections = Rejections::default();
        for _ in 0..100 {
            let counts = Counts { series: 1, samples: 3, ..Counts::default() };
            rejections
                .add(RejectReason::DuplicateLabel, counts, || Description::new(RejectReason::DuplicateLabel, "twice"));
        }
        assert_eq!(rejections.by_reason().collect::<Vec<_>>(), [(RejectReason::DuplicateLabel, 100)]);
        assert_eq!(rejections.elements_by_reason().collect::<Vec<_>>(), [(RejectReason::DuplicateLabel, 300)]);
        assert_eq!(rejections.described().len(), DESCRIBED_MAX);
    }

    #[test]
    fn reasons_stand_at_their_own_index() {
        for (index, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
