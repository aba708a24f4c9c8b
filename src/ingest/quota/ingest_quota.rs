//! The quotas of a tenant and what requests hold of them.
//!
//! A sample rate over its bound refuses the request whole, with the time after which it fits. A bound on series refuses
//! only series that are not there yet: those that are go on, which is the point of it, since a deployment with one label too
//! many must not blind the dashboards of everything else. Whether a series is there is asked of the store and not of a
//! cache, so that a restart makes nothing new. At a bound the series are counted anew, as those of about one partition: what
//! came and went does not count for ever.
//!
//! What a request takes it holds as a reservation, which gives back what was not written when it goes: taking afterwards
//! would let requests at the same time through together, taking for good would charge for what failed. Shared by all
//! requests of a tenant; times come in as parameters.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::DefaultHashBuilder;
use lynxstore_storage::types::TableId;
use parking_lot::Mutex;

use super::bucket::{Bucket, Fill};
use super::limits::{RateExceeded, SeriesCount, SeriesRefusal, TenantLimits};
use super::series_state::{CountScope, Counted, Decision, SeriesState};

/// A rate is counted over this long: senders come in bursts.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// The quotas of a tenant; see the module.
#[derive(Debug)]
pub struct IngestQuota {
    namespace: String,
    limits: TenantLimits,
    hasher: DefaultHashBuilder,
    samples: Mutex<Bucket>,
    series: Mutex<SeriesState>,
    accepted_samples: AtomicU64,
    refused_samples: AtomicU64,
    refused_series: AtomicU64,
}

impl IngestQuota {
    /// Quotas that nothing was taken of yet.
    pub fn new(namespace: impl Into<String>, limits: TenantLimits) -> Arc<Self> {
        Arc::new(Self {
            namespace: namespace.into(),
            limits,
            hasher: DefaultHashBuilder::default(),
            samples: Mutex::default(),
            series: Mutex::default(),
            accepted_samples: AtomicU64::new(0),
            refused_samples: AtomicU64::new(0),
            refused_series: AtomicU64::new(0),
        })
    }

    /// The bounds.
    pub fn limits(&self) -> &TenantLimits {
        &self.limits
    }

    /// Reserves the samples of a request.
    ///
    /// # Errors
    /// When the rate is used up; then nothing was taken.
    pub fn reserve_samples(self: &Arc<Self>, samples: u64, now: Instant) -> Result<SampleReservation, RateExceeded> {
        let mut reservation = SampleReservation { quota: Arc::clone(self), held: 0 };
        reservation.grow_to(samples, now)?;
        Ok(reservation)
    }

    /// A reservation of no series yet.
    pub fn reserve_series(self: &Arc<Self>) -> SeriesReservation {
        SeriesReservation { quota: Arc::clone(self), held: Vec::new() }
    }

    /// Samples that were written since the start.
    pub fn accepted_samples(&self) -> u64 {
        self.accepted_samples.load(Ordering::Relaxed)
    }

    /// Samples of requests that were over the rate.
    pub fn refused_samples(&self) -> u64 {
        self.refused_samples.load(Ordering::Relaxed)
    }

    /// Series that were not let begin, each time that one came.
    pub fn refused_series(&self) -> u64 {
        self.refused_series.load(Ordering::Relaxed)
    }

    /// Series of all tables as they were last counted, with those that began since; 0 before the first began.
    pub fn series(&self) -> u64 {
        self.series.lock().total()
    }

    /// How fast samples may come; `None` is as fast as they like.
    fn sample_fill(&self) -> Option<Fill> {
        let per_second = self.limits.samples_per_second as f64;
        (per_second > 0.0).then_some(Fill { per_second, burst: per_second * RATE_WINDOW.as_secs_f64() })
    }
}

/// Samples that a request holds. What it does not keep goes back when it is dropped.
#[derive(Debug)]
pub struct SampleReservation {
    quota: Arc<IngestQuota>,
    held: u64,
}

impl SampleReservation {
    /// Holds so many samples in all, when it is found that the request has more of them.
    ///
    /// # Errors
    /// When the rate is used up; then it holds what it held.
    pub fn grow_to(&mut self, samples: u64, now: Instant) -> Result<(), RateExceeded> {
        let more = samples.saturating_sub(self.held);
        if let Some(fill) = self.quota.sample_fill()
            && more > 0
            && let Err(retry_after) = self.quota.samples.lock().take(self.held as f64, more as f64, fill, now)
        {
            self.quota.refused_samples.fetch_add(samples, Ordering::Relaxed);
            return Err(RateExceeded { limit: self.quota.limits.samples_per_second, retry_after });
        }
        self.held += more;
        Ok(())
    }

    /// So many of them were written; the others go back.
    pub fn keep(mut self, written: u64) {
        let written = written.min(self.held);
        self.quota.accepted_samples.fetch_add(written, Ordering::Relaxed);
        self.held -= written;
    }
}

impl Drop for SampleReservation {
    fn drop(&mut self) {
        if let Some(fill) = self.quota.sample_fill()
            && self.held > 0
        {
            self.quota.samples.lock().give_back(self.held as f64, fill);
        }
    }
}

/// Series that a request is about to begin. Those that it does not keep go back when it is dropped.
#[derive(Debug)]
pub struct SeriesReservation {
    quota: Arc<IngestQuota>,
    /// By the hashes of what names them.
    held: Vec<u64>,
}

impl SeriesReservation {
    /// Holds a series that the store does not have; `table` is `None` when that is not there either. `series` names it
    /// within the tenant: a series that another request holds too counts once. Series are numbered from 0 in the order in
    /// which they are held.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn hold(
        &mut self,
        table: Option<TableId>,
        series: impl Hash,
        store: &impl SeriesCount,
        now: Instant,
    ) -> Result<(), SeriesRefusal> {
        let quota = &self.quota;
        let hash = quota.hasher.hash_one(series);
        loop {
            let decision = quota.series.lock().hold(table, hash, &quota.limits, now);
            match decision {
                Decision::Held => {
                    self.held.push(hash);
                    return Ok(());
                }
                Decision::Refused(refusal) => {
                    quota.refused_series.fetch_add(1, Ordering::Relaxed);
                    return Err(refusal);
                }
                Decision::Count(need) => {
                    // Without the lock: there may be many tables.
                    let tables = need.tables.iter().map(|table| store.series_count(*table)).collect();
                    let total = (need.scope == CountScope::WithTotal).then(|| store.series_total(&quota.namespace));
                    quota.series.lock().learn(Counted { need, tables, total });
                }
            }
        }
    }

    /// Number of series that are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Those of which the number is written are there now; the others go back.
    pub fn keep(mut self, is_written: impl Fn(usize) -> bool) {
        self.settle(is_written);
    }

    fn settle(&mut self, is_written: impl Fn(usize) -> bool) {
        if self.held.is_empty() {
            return;
        }
        let mut state = self.quota.series.lock();
        for (number, hash) in self.held.drain(..).enumerate() {
            state.settle(hash, is_written(number), &self.quota.limits);
        }
    }
}

impl Drop for SeriesReservation {
    fn drop(&mut self) {
        self.settle(|_| false);
    }
}
