//! Quotas by themselves, over tables that are only numbers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lynxstore_storage::types::TableId;
use parking_lot::Mutex;

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

/// Reserves samples that are then written.
fn write(quota: &Arc<IngestQuota>, samples: u64, now: Instant) -> Result<(), RateExceeded> {
    quota.reserve_samples(samples, now).map(|reservation| reservation.keep(samples))
}

/// Begins a series that no other is like.
fn begin(
    quota: &Arc<IngestQuota>,
    table: Option<u64>,
    store: &impl SeriesCount,
    now: Instant,
) -> Result<(), SeriesRefusal> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let name = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut reservation = quota.reserve_series();
    reservation.hold(table.map(TableId), name, store, now)?;
    reservation.keep(|_| true);
    Ok(())
}

#[test]
fn samples_up_to_the_rate_pass_and_one_more_waits_for_its_time() {
    let quota = IngestQuota::new("public", TenantLimits { samples_per_second: 100, ..NONE });
    let start = Instant::now();
    assert_eq!(write(&quota, 999, start), Ok(()));
    assert_eq!(write(&quota, 1, start), Ok(()));
    let refused = write(&quota, 1, start).unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (100, Duration::from_millis(10)));
    assert_eq!(write(&quota, 1, start + Duration::from_millis(10)), Ok(()));
    assert_eq!((quota.accepted_samples(), quota.refused_samples()), (1001, 1));
    // More than the burst passes when nothing was taken, and is owed.
    let later = start + Duration::from_secs(60);
    assert_eq!(write(&quota, 1500, later), Ok(()));
    assert!(write(&quota, 1, later + Duration::from_secs(5)).is_err());
    assert!(write(&quota, 1, later + Duration::from_secs(6)).is_ok());
}

#[test]
fn samples_that_are_not_written_go_back() {
    let quota = IngestQuota::new("public", TenantLimits { samples_per_second: 10, ..NONE });
    let start = Instant::now();
    for _ in 0..5 {
        // A commit that fails.
        drop(quota.reserve_samples(100, start).unwrap());
        assert_eq!(quota.accepted_samples(), 0);
    }
    let held = quota.reserve_samples(100, start).unwrap();
    assert!(quota.reserve_samples(1, start).is_err(), "what is held is nobody else's");
    held.keep(60);
    assert_eq!(quota.accepted_samples(), 60);
    assert!(quota.reserve_samples(41, start).is_err());
    assert_eq!(write(&quota, 40, start), Ok(()));
}

#[test]
fn a_reservation_that_grows_past_the_burst_is_slow_and_not_impossible() {
    let quota = IngestQuota::new("public", TenantLimits { samples_per_second: 10, ..NONE });
    let start = Instant::now();
    let mut held = quota.reserve_samples(100, start).unwrap();
    assert_eq!(held.grow_to(150, start), Ok(()));
    held.keep(150);
    assert!(quota.reserve_samples(1, start + Duration::from_secs(5)).is_err());
    let mut held = quota.reserve_samples(10, start + Duration::from_secs(6)).unwrap();
    assert!(held.grow_to(11, start + Duration::from_secs(6)).is_err());
    drop(held);
    assert!(quota.reserve_samples(10, start + Duration::from_secs(6)).is_ok(), "what it held before went back");
}

#[test]
fn a_clock_that_goes_back_gives_nothing_and_takes_nothing() {
    let quota = IngestQuota::new("public", TenantLimits { samples_per_second: 1, ..NONE });
    let start = Instant::now() + Duration::from_secs(100);
    assert_eq!(write(&quota, 10, start), Ok(()));
    assert!(write(&quota, 1, start - Duration::from_secs(50)).is_err());
}

#[test]
fn series_begin_up_to_the_bound_of_a_minute() {
    let quota = IngestQuota::new("public", TenantLimits { new_series_per_minute: 3, ..NONE });
    let (store, start) = (tables(&[(1, 0)]), Instant::now());
    let admit = |after: u64| begin(&quota, Some(1), &store, start + Duration::from_secs(after));
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
    let admit = |table: u64, after: u64| begin(&quota, Some(table), &store, start + Duration::from_secs(after));
    assert_eq!(admit(1, 0), Ok(()), "the third of the table");
    store.0.lock().insert(TableId(1), 3);
    assert_eq!(admit(1, 0), Err(SeriesRefusal::Count));
    assert_eq!(admit(2, 0), Ok(()), "the fifth of the tenant");
    store.0.lock().insert(TableId(2), 2);
    assert_eq!(admit(2, 0), Err(SeriesRefusal::Count));
    assert_eq!(begin(&quota, None, &store, start), Err(SeriesRefusal::Count));
    store.0.lock().remove(&TableId(1));
    assert_eq!(admit(2, 2), Ok(()), "a table was dropped");
    assert_eq!(quota.series(), 3);
    let absent = || begin(&quota, None, &store, start + Duration::from_secs(2));
    assert_eq!([absent(), absent()], [Ok(()); 2], "series of tables to come count too");
    assert_eq!(absent(), Err(SeriesRefusal::Count));
}

#[test]
fn series_that_never_came_go_back_and_one_that_two_requests_bring_counts_once() {
    let limits = TenantLimits { new_series_per_minute: 3, series_per_table: 2, ..NONE };
    let quota = IngestQuota::new("public", limits);
    let (store, now) = (tables(&[(1, 0)]), Instant::now());
    let hold = |names: &[&str]| {
        let mut reservation = quota.reserve_series();
        names.iter().try_for_each(|name| reservation.hold(Some(TableId(1)), name, &store, now))?;
        Ok::<_, SeriesRefusal>(reservation)
    };
    // Requests that fail, one after the other and at once, cost nothing.
    for _ in 0..10 {
        let both = [hold(&["a", "b"]).unwrap(), hold(&["b", "a", "a"]).unwrap()];
        assert_eq!(hold(&["c"]).unwrap_err(), SeriesRefusal::Count, "held series count");
        drop(both);
    }
    // The first is written, the one beside it fails: the series is there, and one was taken of the minute.
    let (first, second) = (hold(&["a"]).unwrap(), hold(&["a", "b"]).unwrap());
    first.keep(|_| true);
    drop(second);
    assert_eq!(quota.series(), 1);
    store.0.lock().insert(TableId(1), 1);
    // Of two, one is refused further on.
    hold(&["b"]).unwrap().keep(|_| false);
    hold(&["c"]).unwrap().keep(|_| true);
    assert_eq!(quota.series(), 2);
    assert_eq!(hold(&["d"]).unwrap_err(), SeriesRefusal::Count);
    store.0.lock().insert(TableId(1), 0);
    let later = now + Duration::from_secs(2);
    assert_eq!(begin(&quota, Some(1), &store, later), Ok(()), "the third of the minute");
    assert_eq!(begin(&quota, Some(1), &store, later), Err(SeriesRefusal::Rate));
}

/// A store in which a series is written and kept while it counts.
struct Busy<'q> {
    quota: &'q Arc<IngestQuota>,
    held: Mutex<Option<SeriesReservation>>,
}

impl SeriesCount for Busy<'_> {
    fn series_count(&self, _: TableId) -> Option<u64> {
        // It would wait for ever if it were asked under the lock.
        assert!(self.quota.series() < 100);
        if let Some(held) = self.held.lock().take() {
            held.keep(|_| true);
        }
        Some(1)
    }

    fn series_total(&self, _: &str) -> u64 {
        1
    }
}

#[test]
fn series_are_counted_without_the_lock_and_those_that_come_meanwhile_are_not_lost() {
    let quota = IngestQuota::new("public", TenantLimits { series_per_table: 3, ..NONE });
    let (table, now) = (Some(TableId(1)), Instant::now());
    let busy = Busy { quota: &quota, held: Mutex::default() };
    let mut held = quota.reserve_series();
    held.hold(table, "b", &busy, now).unwrap();
    held.hold(table, "c", &busy, now).unwrap();
    *busy.held.lock() = Some(held);
    // At the bound; the two are written while it is counted, and the count of 1 does not know them.
    assert_eq!(begin(&quota, Some(1), &busy, now), Err(SeriesRefusal::Count));
    assert_eq!(quota.series(), 3);
}
