//! What one tenant may bring: samples per second, new series per minute, series in all.
//!
//! A sample rate over its bound refuses the request whole, with the time after which it fits. A bound on series refuses
//! only series that are not there yet: those that are go on, which is the point of it, since a deployment with one label too
//! many must not blind the dashboards of everything else. Whether a series is there is asked of the store and not of a
//! cache, so that a restart makes nothing new. At a bound the series are counted anew, as those of about one partition: what
//! came and went does not count for ever.
//!
//! Shared by all requests of a tenant; times come in as parameters.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lynxstore_storage::types::TableId;
use parking_lot::Mutex;

/// A rate is counted over this long: senders come in bursts.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// How often the series of a tenant are counted anew when they are at their bound: tables may have been dropped.
const RECOUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Bounds of a tenant; 0 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLimits {
    /// Samples per second, over ten seconds.
    pub samples_per_second: u64,
    /// Series that begin, per minute.
    pub new_series_per_minute: u64,
    /// Series of one table.
    pub series_per_table: u64,
    /// Series of all tables.
    pub series: u64,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self { samples_per_second: 0, new_series_per_minute: 50_000, series_per_table: 1_000_000, series: 5_000_000 }
    }
}

/// A rate is used up; there is room after the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant may bring {limit} samples per second: send again in {} s, or ask for more", retry_after.as_secs() + 1)]
pub struct RateExceeded {
    /// The bound.
    pub limit: u64,
    /// When it is worth coming back.
    pub retry_after: Duration,
}

/// Why a series may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesRefusal {
    /// Too many began in this minute; later it may.
    Rate,
    /// The table, or the tenant, has as many as it may.
    Count,
}

/// About how many series there are, counted anew.
pub trait SeriesCount {
    /// Series of a table; `None` when there is no such table any more.
    fn series_count(&self, table: TableId) -> Option<u64>;

    /// Series of all tables of a namespace.
    fn series_total(&self, namespace: &str) -> u64;
}

/// So many per time, with a burst: a bucket that fills as time goes by.
#[derive(Debug)]
struct Bucket {
    level: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// Takes `wanted` from a bucket that fills with `per_second` up to `burst`. One that is full gives more than it holds,
    /// and owes it: a request that is larger than the burst is slow, not impossible.
    fn take(&mut self, wanted: f64, per_second: f64, burst: f64, now: Instant) -> Result<(), Duration> {
        let elapsed = self.filled.map(|filled| now.saturating_duration_since(filled).as_secs_f64());
        self.level = elapsed.map_or(burst, |elapsed| (self.level + elapsed * per_second).min(burst));
        self.filled = Some(now);
        let needed = wanted.min(burst);
        if self.level < needed {
            return Err(Duration::from_secs_f64((needed - self.level) / per_second));
        }
        self.level -= wanted;
        Ok(())
    }
}

#[derive(Debug)]
struct SeriesState {
    begun: Bucket,
    /// Series of the tables in which some began since the start.
    by_table: HashMap<TableId, u64>,
    /// Series of all tables; `None` before the first count.
    total: Option<u64>,
    counted: Option<Instant>,
}

/// The quotas of a tenant; see the module.
#[derive(Debug)]
pub struct IngestQuota {
    namespace: String,
    limits: TenantLimits,
    samples: Mutex<Bucket>,
    series: Mutex<SeriesState>,
    accepted_samples: AtomicU64,
    refused_samples: AtomicU64,
    refused_series: AtomicU64,
}

impl IngestQuota {
    /// Quotas that nothing was taken of yet.
    pub fn new(namespace: impl Into<String>, limits: TenantLimits) -> Arc<Self> {
        let bucket = || Bucket { level: 0.0, filled: None };
        Arc::new(Self {
            namespace: namespace.into(),
            limits,
            samples: Mutex::new(bucket()),
            series: Mutex::new(SeriesState { begun: bucket(), by_table: HashMap::new(), total: None, counted: None }),
            accepted_samples: AtomicU64::new(0),
            refused_samples: AtomicU64::new(0),
            refused_series: AtomicU64::new(0),
        })
    }

    /// The bounds.
    pub fn limits(&self) -> &TenantLimits {
        &self.limits
    }

    /// Takes the samples of a request.
    ///
    /// # Errors
    /// When the rate is used up; then nothing was taken.
    pub fn admit_samples(&self, samples: u64, now: Instant) -> Result<(), RateExceeded> {
        let limit = self.limits.samples_per_second;
        if limit > 0 {
            let (rate, wanted) = (limit as f64, samples as f64);
            let burst = rate * RATE_WINDOW.as_secs_f64();
            if let Err(retry_after) = self.samples.lock().take(wanted, rate, burst, now) {
                self.refused_samples.fetch_add(samples, Ordering::Relaxed);
                return Err(RateExceeded { limit, retry_after });
            }
        }
        self.accepted_samples.fetch_add(samples, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a series that is not there yet may begin in a table; `None` is a table that is not there yet either.
    ///
    /// # Errors
    /// Which bound is reached.
    pub fn admit_series(
        &self,
        table: Option<TableId>,
        store: &impl SeriesCount,
        now: Instant,
    ) -> Result<(), SeriesRefusal> {
        let admitted = self.try_admit_series(table, store, now);
        if admitted.is_err() {
            self.refused_series.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn try_admit_series(
        &self,
        table: Option<TableId>,
        store: &impl SeriesCount,
        now: Instant,
    ) -> Result<(), SeriesRefusal> {
        let TenantLimits { new_series_per_minute, series_per_table, series, .. } = self.limits;
        let is_over = |count: u64, limit: u64| limit > 0 && count >= limit;
        let mut state = self.series.lock();
        if let Some(table) = table {
            state.by_table.entry(table).or_insert_with(|| store.series_count(table).unwrap_or(0));
        }
        let of_table = |state: &SeriesState| table.and_then(|table| state.by_table.get(&table)).copied().unwrap_or(0);
        state.total.get_or_insert_with(|| store.series_total(&self.namespace));
        let of_tenant = |state: &SeriesState| state.total.unwrap_or(0);
        let is_full =
            |state: &SeriesState| is_over(of_table(state), series_per_table) || is_over(of_tenant(state), series);
        if is_full(&state) {
            if state.counted.is_none_or(|counted| now.saturating_duration_since(counted) >= RECOUNT_INTERVAL) {
                state.counted = Some(now);
                state.total = Some(store.series_total(&self.namespace));
                state.by_table.retain(|table, count| match store.series_count(*table) {
                    Some(found) => {
                        *count = found;
                        true
                    }
                    None => false,
                });
            }
            if is_full(&state) {
                return Err(SeriesRefusal::Count);
            }
        }
        if new_series_per_minute > 0 {
            let burst = new_series_per_minute as f64;
            state.begun.take(1.0, burst / 60.0, burst, now).map_err(|_| SeriesRefusal::Rate)?;
        }
        if let Some(table) = table {
            *state.by_table.entry(table).or_default() += 1;
        }
        state.total = state.total.map(|total| total + 1);
        Ok(())
    }

    /// Samples that were let through since the start.
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
        self.series.lock().total.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tables(Mutex<HashMap<TableId, u64>>);

    impl SeriesCount for Tables {
        fn series_count(&self, table: TableId) -> Option<u64> {
            self.0.lock().get(&table).copied()
        }

        fn series_total(&self, _: &str) -> u64 {
            self.0.lock().values().sum()
        }
    }

    fn tables(counts: &[(u64, u64)]) -> Tables {
        Tables(Mutex::new(counts.iter().map(|&(id, count)| (TableId(id), count)).collect()))
    }

    const NONE: TenantLimits =
        TenantLimits { samples_per_second: 0, new_series_per_minute: 0, series_per_table: 0, series: 0 };

    #[test]
    fn samples_up_to_the_rate_pass_and_one_more_waits_for_its_time() {
        let quota = IngestQuota::new("public", TenantLimits { samples_per_second: 100, ..NONE });
        let start = Instant::now();
        assert_eq!(quota.admit_samples(999, start), Ok(()));
        assert_eq!(quota.admit_samples(1, start), Ok(()));
        let refused = quota.admit_samples(1, start).unwrap_err();
        assert_eq!((refused.limit, refused.retry_after), (100, Duration::from_millis(10)));
        assert_eq!(quota.admit_samples(1, start + Duration::from_millis(10)), Ok(()));
        assert_eq!((quota.accepted_samples(), quota.refused_samples()), (1001, 1));
        // More than the burst passes when nothing was taken, and is owed.
        let later = start + Duration::from_secs(60);
        assert_eq!(quota.admit_samples(1500, later), Ok(()));
        assert!(quota.admit_samples(1, later + Duration::from_secs(5)).is_err());
        assert!(quota.admit_samples(1, later + Duration::from_secs(6)).is_ok());
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_takes_nothing() {
        let quota = IngestQuota::new("public", TenantLimits { samples_per_second: 1, ..NONE });
        let start = Instant::now() + Duration::from_secs(100);
        assert_eq!(quota.admit_samples(10, start), Ok(()));
        assert!(quota.admit_samples(1, start - Duration::from_secs(50)).is_err());
    }

    #[test]
    fn series_begin_up_to_the_bound_of_a_minute() {
        let quota = IngestQuota::new("public", TenantLimits { new_series_per_minute: 3, ..NONE });
        let (store, start) = (tables(&[(1, 0)]), Instant::now());
        let admit = |after: u64| quota.admit_series(Some(TableId(1)), &store, start + Duration::from_secs(after));
        assert_eq!([admit(0), admit(0), admit(0)], [Ok(()); 3]);
        assert_eq!(admit(0), Err(SeriesRefusal::Rate));
        assert_eq!(admit(20), Ok(()));
        assert_eq!(admit(20), Err(SeriesRefusal::Rate));
        assert_eq!(quota.refused_series(), 2);
    }

    #[test]
    fn a_table_and_a_tenant_take_series_up_to_their_bounds_and_again_when_a_table_goes() {
        let quota = IngestQuota::new("public", TenantLimits { series_per_table: 3, series: 5, ..NONE });
        let (store, start) = (tables(&[(1, 2), (2, 1)]), Instant::now());
        let admit = |table: u64, after: u64| {
            quota.admit_series(Some(TableId(table)), &store, start + Duration::from_secs(after))
        };
        assert_eq!(admit(1, 0), Ok(()), "the third of the table");
        store.0.lock().insert(TableId(1), 3);
        assert_eq!(admit(1, 0), Err(SeriesRefusal::Count));
        assert_eq!(admit(2, 0), Ok(()), "the fifth of the tenant");
        store.0.lock().insert(TableId(2), 2);
        assert_eq!(admit(2, 0), Err(SeriesRefusal::Count));
        assert_eq!(quota.admit_series(None, &store, start), Err(SeriesRefusal::Count));
        store.0.lock().remove(&TableId(1));
        assert_eq!(admit(2, 2), Ok(()), "a table was dropped");
        assert_eq!(quota.series(), 3);
        let absent = || quota.admit_series(None, &store, start + Duration::from_secs(2));
        assert_eq!([absent(), absent()], [Ok(()); 2], "series of tables to come count too");
        assert_eq!(absent(), Err(SeriesRefusal::Count));
    }
}
