//! What a commit that is taken whole or not at all holds of the quota of its tenant: rows of a body, and INSERT.

use std::sync::Arc;
use std::time::Instant;

use lynxstore_storage::Error;
use lynxstore_storage::types::SeriesBatch;

use super::Store;
use super::quota::{IngestQuota, RateExceeded, SampleReservation, SeriesRefusal, SeriesReservation};

/// Why a commit may not be.
#[derive(Debug)]
pub(crate) enum WriteRefused {
    /// More rows than fit now.
    Rate(RateExceeded),
    /// More series than may begin.
    Series(SeriesRefusal),
    /// Nobody could say which series there are.
    Store(Error),
}

/// Rows and new series of a commit; they go back when it is dropped.
#[derive(Debug)]
pub(crate) struct WriteReservation {
    samples: SampleReservation,
    series: SeriesReservation,
    rows: u64,
}

impl WriteReservation {
    /// Holds the rows of the batches, and the series that the store does not have.
    pub(crate) fn new(
        quota: &Arc<IngestQuota>,
        store: &impl Store,
        batches: &[SeriesBatch],
    ) -> Result<Self, WriteRefused> {
        let now = Instant::now();
        let rows = batches.iter().map(|batch| batch.row_count() as u64).sum();
        let samples = quota.reserve_samples(rows, now).map_err(WriteRefused::Rate)?;
        let mut series = quota.reserve_series();
        for batch in batches {
            let keys: Vec<_> = batch.series.iter().map(|series| series.key.clone()).collect();
            let known = store.has_series(batch.table, &keys).map_err(WriteRefused::Store)?;
            for (key, _) in keys.iter().zip(known).filter(|(_, is_known)| !is_known) {
                series.hold(Some(batch.table), (batch.table, key), store, now).map_err(WriteRefused::Series)?;
            }
        }
        Ok(Self { samples, series, rows })
    }

    /// All of it was written.
    pub(crate) fn keep(self) {
        self.samples.keep(self.rows);
        self.series.keep(|_| true);
    }
}
