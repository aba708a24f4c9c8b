//! The two messages of remote write.
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
