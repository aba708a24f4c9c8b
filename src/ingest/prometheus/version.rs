//! The two messages of remote write, and the numbers of their fields.
//!
//! Sources: `prompb/types.proto`, `prompb/remote.proto` and `prompb/io/prometheus/write/v2/types.proto` of Prometheus.

/// Which message a body holds. It follows from the content type alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// `prometheus.WriteRequest`: labels stand in each series.
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`: labels are references into a table of symbols.
    V2,
}

/// Numbers of the fields that a walk over a request looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldNumbers {
    /// In the request.
    pub(super) series: u32,
    pub(super) metadata: Option<u32>,
    pub(super) symbols: Option<u32>,
    /// In a series.
    pub(super) samples: u32,
    pub(super) exemplars: u32,
    pub(super) histograms: u32,
}

impl Version {
    pub(super) fn field_numbers(self) -> FieldNumbers {
        match self {
            Self::V1 => {
                FieldNumbers { series: 1, metadata: Some(3), symbols: None, samples: 2, exemplars: 3, histograms: 4 }
            }
            Self::V2 => {
                FieldNumbers { series: 5, metadata: None, symbols: Some(4), samples: 2, exemplars: 4, histograms: 3 }
            }
        }
    }
}
