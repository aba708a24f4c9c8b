//! The bounds of one request, all of them checked before the memory that they bound is allocated.

/// Bounds of one remote-write request.
///
/// A plain Prometheus sends 2,000 samples per request and `vmagent` up to 10,000 rows; the defaults are at least five
/// times that, so that only abuse meets them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the body as it came over the wire.
    pub body_bytes_max: usize,
    /// Bytes of the body after decompression, by its own declaration.
    pub decoded_bytes_max: usize,
    /// Symbols in a request of version 2.
    pub symbols_max: usize,
    /// Time series in a request.
    pub series_max: usize,
    /// Samples in a request.
    pub samples_max: usize,
    /// Native histograms in a request.
    pub histograms_max: usize,
    /// Exemplars in a request.
    pub exemplars_max: usize,
    /// Metadata entries in a request.
    pub metadata_max: usize,
    /// Labels of one series or exemplar, `__name__` included.
    pub labels_max: usize,
    /// Bytes of a label name.
    pub label_name_bytes_max: usize,
    /// Bytes of a label value, and so of a metric name.
    pub label_value_bytes_max: usize,
    /// Bytes of all label names and values of one series or exemplar.
    pub label_bytes_max: usize,
    /// How far ahead of the clock of this machine a sample may be, in milliseconds. A clock that is wrong by years would
    /// otherwise make rows that no retention ever drops.
    pub future_ms_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            decoded_bytes_max: 32 << 20,
            symbols_max: 200_000,
            series_max: 50_000,
            samples_max: 500_000,
            histograms_max: 50_000,
            exemplars_max: 50_000,
            metadata_max: 50_000,
            labels_max: 40,
            label_name_bytes_max: 256,
            label_value_bytes_max: 4 << 10,
            label_bytes_max: 16 << 10,
            future_ms_max: 10 * 60 * 1000,
        }
    }
}
