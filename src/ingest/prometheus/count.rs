//! The first walk over a message: counts its elements and stops at the first limit.
//!
//! Two wire bytes can stand for one element, so byte limits alone do not bound memory. After this walk the decode pass
//! allocates each list once, at its exact length. Field numbers: `prompb/remote.proto` and `prompb/types.proto`.

use super::wire::Reader;
use super::{DecodeError, Limits};

/// Fields of `WriteRequest`.
pub(super) const REQUEST_TIMESERIES: u32 = 1;
pub(super) const REQUEST_METADATA: u32 = 3;
/// Fields of `TimeSeries`.
pub(super) const SERIES_LABELS: u32 = 1;
pub(super) const SERIES_SAMPLES: u32 = 2;
pub(super) const SERIES_EXEMPLARS: u32 = 3;
pub(super) const SERIES_HISTOGRAMS: u32 = 4;

/// Number of elements in a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ElementCounts {
    pub(super) series: usize,
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
    pub(super) metadata: usize,
}

/// Counts the elements of a message within its limits.
pub(super) fn count(message: &[u8], limits: &Limits) -> Result<ElementCounts, DecodeError> {
    let mut counts = ElementCounts::default();
    let mut request = Reader::new(message);
    loop {
        let offset = request.position();
        let Some((number, value)) = request.next_field()? else { break };
        match number {
            REQUEST_TIMESERIES => {
                counts.series += 1;
                DecodeError::check("time series", counts.series, limits.series_max)?;
                let mut series = Reader::new(value.bytes(offset)?);
                while let Some((number, _)) = series.next_field()? {
                    match number {
                        SERIES_SAMPLES => counts.samples += 1,
                        SERIES_EXEMPLARS => counts.exemplars += 1,
                        SERIES_HISTOGRAMS => counts.histograms += 1,
                        _ => {}
                    }
                }
                DecodeError::check("samples", counts.samples, limits.samples_max)?;
                DecodeError::check("histograms", counts.histograms, limits.histograms_max)?;
                DecodeError::check("exemplars", counts.exemplars, limits.exemplars_max)?;
            }
            REQUEST_METADATA => {
                counts.metadata += 1;
                DecodeError::check("metadata entries", counts.metadata, limits.metadata_max)?;
            }
            _ => {}
        }
    }
    Ok(counts)
}
