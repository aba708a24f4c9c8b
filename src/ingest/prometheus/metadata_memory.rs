//! Which metadata of version 2 was written already.
//!
//! A sender of version 2 repeats the metadata of a series in every request. Written each time, it would take more rows
//! than the samples; so a row is written when it says something new of its metric, and once an hour otherwise. Two
//! memories, neither of them needed for correctness: each cached series knows what came with it last, and for series that
//! are not cached there is a map from metrics. Losing either costs a repeated row.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::request::{SeriesMetadata, WriteRequest};

/// Metrics in the map; when there are more it begins anew.
const METRICS_MAX: usize = 1 << 14;

/// How long metadata is not written again.
const REPEAT_NS: i64 = 3_600_000_000_000;

/// The memory of one writer.
#[derive(Debug, Default)]
pub(super) struct MetadataMemory {
    hasher: RandomState,
    metrics: Mutex<HashMap<String, u64>>,
}

/// Hashes the metadata of the series of one request; neighbours mostly have the same.
pub(super) struct MetadataHashes<'r> {
    request: &'r WriteRequest<'r>,
    hasher: &'r RandomState,
    hour: i64,
    last: Option<(SeriesMetadata, u64)>,
}

impl MetadataMemory {
    pub(super) fn hashes<'r>(&'r self, request: &'r WriteRequest<'r>, arrival_ns: i64) -> MetadataHashes<'r> {
        MetadataHashes { request, hasher: &self.hasher, hour: arrival_ns.div_euclid(REPEAT_NS), last: None }
    }

    /// Whether this metadata of a metric was written.
    pub(super) fn knows(&self, metric: &str, hash: u64) -> bool {
        self.metrics.lock().get(metric) == Some(&hash)
    }

    /// Notes what was written.
    pub(super) fn remember<'m>(&self, written: impl IntoIterator<Item = (&'m str, u64)>) {
        let mut metrics = self.metrics.lock();
        for (metric, hash) in written {
            if metrics.len() >= METRICS_MAX {
                metrics.clear();
            }
            metrics.insert(metric.to_owned(), hash);
        }
    }

    /// Forgets everything: the table may be another one.
    pub(super) fn clear(&self) {
        self.metrics.lock().clear();
    }
}

impl MetadataHashes<'_> {
    /// The hash of what metadata says, in this hour; never 0.
    pub(super) fn hash(&mut self, metadata: SeriesMetadata) -> u64 {
        if let Some((last, hash)) = self.last
            && last == metadata
        {
            return hash;
        }
        let (help, unit) = (self.request.symbol(metadata.help_ref), self.request.symbol(metadata.unit_ref));
        let hash = self.hasher.hash_one((metadata.metric_type, help, unit, self.hour)).max(1);
        self.last = Some((metadata, hash));
        hash
    }
}
