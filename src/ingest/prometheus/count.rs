//! The first walk over a message of version 2: counts its elements and stops at the first limit.
//!
//! Two wire bytes can stand for one element, so byte limits alone do not bound memory. After this walk the decode pass
//! allocates each list once, at its exact length.

use super::decode_v2::{REQUEST_SYMBOLS, REQUEST_TIMESERIES, SERIES_EXEMPLARS, SERIES_HISTOGRAMS, SERIES_SAMPLES};
use super::wire::Reader;
use super::{DecodeError, Limits};

/// Number of elements in a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ElementCounts {
    pub(super) symbols: usize,
    pub(super) series: usize,
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
}

/// Counts the elements of a message within its limits.
pub(super) fn count(message: &[u8], limits: &Limits) -> Result<ElementCounts, DecodeError> {
    let mut counts = ElementCounts::default();
    let mut request = Reader::new(message);
    loop {
        let offset = request.position();
        let Some((number, value)) = request.next_field()? else { break };
        if number == REQUEST_TIMESERIES {
            counts.series += 1;
            DecodeError::check("time series", counts.series, limits.series_max)?;
            let mut series = Reader::new(value.bytes(offset)?);
            loop {
                let number = match series.next_short() {
                    Some((number, _)) => number,
                    None => match series.next_field()? {
                        Some((number, _)) => number,
                        None => break,
                    },
                };
                counts.samples += usize::from(number == SERIES_SAMPLES);
                counts.exemplars += usize::from(number == SERIES_EXEMPLARS);
                counts.histograms += usize::from(number == SERIES_HISTOGRAMS);
            }
            DecodeError::check("samples", counts.samples, limits.samples_max)?;
            DecodeError::check("histograms", counts.histograms, limits.histograms_max)?;
            DecodeError::check("exemplars", counts.exemplars, limits.exemplars_max)?;
        } else if number == REQUEST_SYMBOLS {
            counts.symbols += 1;
            DecodeError::check("symbols", counts.symbols, limits.symbols_max)?;
        }
    }
    Ok(counts)
}
