//! Reads a body to the end without writing it: what a dry run, a test and the fuzzer want to know.

use super::rejection::{Counts, Description, RejectReason, Rejections};
use super::{DecodeError, Limits, Version, decode, decompress, histogram};

/// What a body holds.
#[derive(Debug, Clone, Default)]
pub struct RequestSummary {
    /// Elements in the body.
    pub counts: Counts,
    /// Elements that a writer would leave out whatever its tables look like.
    pub rejections: Rejections,
}

/// Decodes and checks a body as the writer does, and counts what is in it.
///
/// # Errors
/// The [`DecodeError`] with which the body would be refused.
pub fn summarize(body: &[u8], version: Version, limits: &Limits) -> Result<RequestSummary, DecodeError> {
    let mut buffer = Vec::new();
    let request = decode(decompress(body, limits, &mut buffer)?, version, limits)?;
    let of_series = request.series.iter().filter(|series| series.metadata.is_some()).count();
    let mut summary = RequestSummary {
        counts: Counts {
            series: request.series.len() as u64,
            samples: request.samples.len() as u64,
            histograms: request.histograms.len() as u64,
            exemplars: request.exemplars.len() as u64,
            metadata: (request.metadata.len() + of_series) as u64,
        },
        rejections: Rejections::default(),
    };
    let rejections = &mut summary.rejections;
    for series in &request.series {
        let counts = series.counts();
        match request.labels(&series.labels, limits)? {
            Err(fault) => {
                rejections.add(fault.reason, counts, || Description::new(fault.reason, fault.detail));
            }
            Ok(labels) if labels.metric().is_none() => {
                let reason = RejectReason::MissingMetricName;
                rejections.add(reason, counts, || Description::new(reason, labels.to_text()));
            }
            Ok(_) => {}
        }
    }
    for sample in &request.histograms {
        if let Err(rule) = histogram::check(sample.message)? {
            let counts = Counts { histograms: 1, ..Counts::default() };
            let reason = RejectReason::InvalidHistogram;
            rejections.add(reason, counts, || Description::new(reason, rule));
        }
    }
    for exemplar in &request.exemplars {
        if let Err(fault) = request.labels(&exemplar.labels, limits)? {
            let counts = Counts { exemplars: 1, ..Counts::default() };
            rejections.add(fault.reason, counts, || Description::new(fault.reason, fault.detail));
        }
    }
    Ok(summary)
}
