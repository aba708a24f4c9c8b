//! Reads a body to the end without writing it: what a dry run, a test and the fuzzer want to know.

use super::rejection::{Counts, Rejections};
use super::{DecodeError, Limits, RejectReason, decode, decompress, histogram, parse_labels};

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
pub fn summarize(body: &[u8], limits: &Limits) -> Result<RequestSummary, DecodeError> {
    let mut buffer = Vec::new();
    let request = decode(decompress(body, limits, &mut buffer)?, limits)?;
    let mut summary = RequestSummary {
        counts: Counts {
            series: request.series.len() as u64,
            samples: request.samples.len() as u64,
            histograms: request.histograms.len() as u64,
            exemplars: request.exemplars.len() as u64,
            metadata: request.metadata.len() as u64,
        },
        rejections: Rejections::default(),
    };
    for series in &request.series {
        let counts = Counts {
            series: 1,
            samples: series.samples.len() as u64,
            histograms: series.histograms.len() as u64,
            exemplars: series.exemplars.len() as u64,
            metadata: 0,
        };
        match parse_labels(&series.labels, limits)? {
            Err(fault) => summary.rejections.add(fault.reason, counts, || fault.detail),
            Ok(labels) if labels.metric().is_none() => {
                summary.rejections.add(RejectReason::MissingMetricName, counts, || labels.to_text());
            }
            Ok(_) => {}
        }
    }
    for sample in &request.histograms {
        if let Err(rule) = histogram::check(sample.message)? {
            let counts = Counts { histograms: 1, ..Counts::default() };
            summary.rejections.add(RejectReason::InvalidHistogram, counts, || rule.into());
        }
    }
    for exemplar in &request.exemplars {
        if let Err(fault) = parse_labels(&exemplar.labels, limits)? {
            let counts = Counts { exemplars: 1, ..Counts::default() };
            summary.rejections.add(fault.reason, counts, || fault.detail);
        }
    }
    Ok(summary)
}
