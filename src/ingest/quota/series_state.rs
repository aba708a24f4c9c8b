//! How many series a tenant has, which are about to begin, and how many may.
//!
//! A series that requests hold and nobody has written yet counts as if it were there. It counts once, however many requests
//! hold it: a sender that gives up and comes again does so beside its first request. All under one lock, so nothing here
//! walks anything of the store: what has to be counted is said by [`Decision::Count`], counted without the lock, and handed
//! to [`SeriesState::learn`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lynxstore_storage::types::TableId;

use super::bucket::{Bucket, Fill};
use super::limits::{SeriesRefusal, TenantLimits};

/// How often the series of a tenant are counted anew when they are at their bound: tables may have been dropped.
const RECOUNT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct SeriesState {
    begun: Bucket,
    /// Tables in which some began since the start.
    by_table: HashMap<TableId, TableSeries>,
    /// Series of all tables that are there; `None` before the first count.
    total: Option<u64>,
    /// Series of all tables that are held.
    reserved: u64,
    /// Series that requests hold, by a hash of what names them.
    pending: HashMap<u64, Pending>,
    counted: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct TableSeries {
    /// As they were counted, and those that were written since.
    there: u64,
    /// Held and not written.
    reserved: u64,
}

#[derive(Debug)]
struct Pending {
    table: Option<TableId>,
    holders: u32,
    is_written: bool,
}

/// What came of the question whether a series may begin.
#[derive(Debug)]
pub(super) enum Decision {
    /// It may, and is held.
    Held,
    Refused(SeriesRefusal),
    /// These have to be counted first.
    Count(CountNeed),
}

/// Tables to be counted, with what is known of them now.
#[derive(Debug)]
pub(super) struct CountNeed {
    pub(super) tables: Vec<TableId>,
    pub(super) scope: CountScope,
    there: Vec<Option<u64>>,
    total: Option<u64>,
}

/// Whether the series of all tables are to be counted too: that goes through every table of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountScope {
    Tables,
    WithTotal,
}

/// Series as they were counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) need: CountNeed,
    /// In the order of the tables; `None` for those that are gone.
    pub(super) tables: Vec<Option<u64>>,
    /// Where it was asked for.
    pub(super) total: Option<u64>,
}

/// A count of things that are there, when so many were known at its begin and so many are now: what came in between may
/// or may not be in it, and counts. Too many is put right by the next count, too few would let more begin.
fn settled(counted: u64, before: u64, now: u64) -> u64 {
    counted + now.saturating_sub(before)
}

/// How fast series may begin; `None` is as fast as they like.
fn fill(limits: &TenantLimits) -> Option<Fill> {
    let burst = limits.new_series_per_minute as f64;
    (limits.new_series_per_minute > 0).then_some(Fill { per_second: burst / 60.0, burst })
}

impl SeriesState {
    /// Whether a series may begin in a table; `None` is a table that is not there yet.
    pub(super) fn hold(
        &mut self,
        table: Option<TableId>,
        series: u64,
        limits: &TenantLimits,
        now: Instant,
    ) -> Decision {
        if let Some(pending) = self.pending.get_mut(&series) {
            pending.holders += 1;
            return Decision::Held;
        }
        if self.total.is_none() || table.is_some_and(|table| !self.by_table.contains_key(&table)) {
            let scope = if self.total.is_none() { CountScope::WithTotal } else { CountScope::Tables };
            return Decision::Count(self.need(table.into_iter().collect(), scope));
        }
        if self.is_full(table, limits) {
            if self.counted.is_none_or(|counted| now.saturating_duration_since(counted) >= RECOUNT_INTERVAL) {
                self.counted = Some(now);
                return Decision::Count(self.need(self.by_table.keys().copied().collect(), CountScope::WithTotal));
            }
            return Decision::Refused(SeriesRefusal::Count);
        }
        if let Some(fill) = fill(limits)
            && self.begun.take(0.0, 1.0, fill, now).is_err()
        {
            return Decision::Refused(SeriesRefusal::Rate);
        }
        self.pending.insert(series, Pending { table, holders: 1, is_written: false });
        self.reserved += 1;
        if let Some(table) = table {
            self.by_table.entry(table).or_default().reserved += 1;
        }
        Decision::Held
    }

    /// One of those who hold a series is done with it.
    pub(super) fn settle(&mut self, series: u64, is_written: bool, limits: &TenantLimits) {
        let Some(pending) = self.pending.get_mut(&series) else { return };
        let (table, began) = (pending.table, is_written && !pending.is_written);
        pending.is_written |= is_written;
        pending.holders -= 1;
        let (is_last, was_written) = (pending.holders == 0, pending.is_written);
        if is_last {
            self.pending.remove(&series);
        }
        if !began && (!is_last || was_written) {
            return;
        }
        // No more held: it is there now, or never came.
        self.reserved -= 1;
        let mut scratch = TableSeries { there: 0, reserved: 1 };
        let of_table = table.and_then(|table| self.by_table.get_mut(&table)).unwrap_or(&mut scratch);
        of_table.reserved -= 1;
        if began {
            of_table.there += 1;
            self.total = self.total.map(|total| total + 1);
        } else if let Some(fill) = fill(limits) {
            self.begun.give_back(1.0, fill);
        }
    }

    /// Takes what was counted.
    pub(super) fn learn(&mut self, counted: Counted) {
        let Counted { need, tables, total } = counted;
        // Somebody else may have counted at the same time as the first; then theirs stands, with what came since.
        self.total = match (total, need.total, self.total) {
            (None, _, known) | (Some(_), None, known @ Some(_)) => known,
            (Some(total), before, now) => Some(settled(total, before.unwrap_or(0), now.unwrap_or(0))),
        };
        for ((table, before), found) in need.tables.into_iter().zip(need.there).zip(tables) {
            match (before, found) {
                (None, found) => {
                    _ = self.by_table.entry(table).or_insert(TableSeries { there: found.unwrap_or(0), reserved: 0 })
                }
                (Some(_), None) if self.by_table.get(&table).is_some_and(|known| known.reserved == 0) => {
                    self.by_table.remove(&table);
                }
                (Some(before), found) => {
                    if let Some(known) = self.by_table.get_mut(&table) {
                        known.there = settled(found.unwrap_or(0), before, known.there);
                    }
                }
            }
        }
    }

    /// Series of all tables that are there.
    pub(super) fn total(&self) -> u64 {
        self.total.unwrap_or(0)
    }

    fn need(&self, tables: Vec<TableId>, scope: CountScope) -> CountNeed {
        let there = tables.iter().map(|table| self.by_table.get(table).map(|known| known.there)).collect();
        CountNeed { tables, scope, there, total: self.total }
    }

    fn is_full(&self, table: Option<TableId>, limits: &TenantLimits) -> bool {
        let is_over = |count: u64, limit: u64| limit > 0 && count >= limit;
        let of_table = table.and_then(|table| self.by_table.get(&table)).map_or(0, |of| of.there + of.reserved);
        is_over(of_table, limits.series_per_table) || is_over(self.total() + self.reserved, limits.series)
    }
}
