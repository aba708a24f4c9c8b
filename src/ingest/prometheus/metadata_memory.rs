//! Which metadata of version 2 was written already.
//!
//! A sender of version 2 repeats the metadata of a series in every request. Written each time, it would take more rows
//! than the samples; so what is said of a metric is written once an hour, also where several targets say different things.
//! Two memories, neither of them needed for correctness: each cached series knows what came with it last, and a set knows
//! what was written of any metric. Losing either costs a repeated row.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashSet;
use parking_lot::Mutex;

use super::request::{SeriesMetadata, WriteRequest};

/// What the set knows at most; when there is more it begins anew.
const WRITTEN_MAX: usize = 1 << 16;

/// How long metadata is not written again.
const REPEAT_NS: i64 = 3_600_000_000_000;

/// The memory of one writer.
#[derive(Debug, Default)]
pub(super) struct MetadataMemory {
    hasher: RandomState,
    /// By a hash of metric, metadata and hour.
    written: Mutex<HashSet<u64>>,
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

    /// What stands for this metadata of a metric.
    pub(super) fn key(&self, metric: &str, hash: u64) -> u64 {
        self.hasher.hash_one((metric, hash))
    }

    /// Whether it was written.
    pub(super) fn knows(&self, key: u64) -> bool {
        self.written.lock().contains(&key)
    }

    /// Notes what was written.
    pub(super) fn remember(&self, keys: impl IntoIterator<Item = u64>) {
        let mut written = self.written.lock();
        for key in keys {
            if written.len() >= WRITTEN_MAX {
                written.clear();
            }
            written.insert(key);
        }
    }

    /// Forgets everything: the table may be another one.
    pub(super) fn clear(&self) {
        self.written.lock().clear();
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
