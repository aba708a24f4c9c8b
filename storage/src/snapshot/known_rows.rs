//! What a scan will show, as far as directories and zone maps tell it exactly, without a row being read.
//!
//! Invariant: what is said is what a scan of the same set serves, row for row. So nothing is said of rows in memory, of
//! rows that several sections may share, of deletes that touch a section, and of a set that may leave out damaged rows.

use std::ops::Range;

use super::run::Run;
use super::series_set::SeriesSet;
use super::table::DamagePolicy;
use crate::types::{Dedup, TimeRange};

/// The rows of some series of a set, within its time range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRows {
    /// Their number.
    pub count: u64,
    /// First and last time; empty when there is no row.
    pub times: TimeRange,
}

impl KnownRows {
    const NONE: Self = Self { count: 0, times: TimeRange { start_ns: i64::MAX, end_ns: i64::MIN } };

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.times.start_ns = self.times.start_ns.min(other.times.start_ns);
        self.times.end_ns = self.times.end_ns.max(other.times.end_ns);
    }
}

impl SeriesSet {
    /// The rows that a scan of the series at these positions serves; `None` when only reading them can tell.
    pub fn known_rows(&self, series: Range<usize>) -> Option<KnownRows> {
        if self.table().damage_policy() == DamagePolicy::Skip {
            return None;
        }
        let mut known = KnownRows::NONE;
        for position in series {
            known.add(self.known_rows_of(position)?);
        }
        Some(known)
    }

    fn known_rows_of(&self, series: usize) -> Option<KnownRows> {
        if !self.memory_sources(series).is_empty() {
            return None;
        }
        let mut known = KnownRows::NONE;
        let mut shown: Vec<TimeRange> = Vec::new();
        for source in self.section_sources(series) {
            let position = source.section as usize;
            let section = &self.sections()[position];
            let Some(run) = Run::of_section(position, section, source.series as usize, self.range()) else { continue };
            let Run::Section(run) = run else { return None };
            let parts = self.shown_parts(series, position, run.bounds);
            if run.trim || parts.is_some_and(|parts| parts != [run.bounds]) {
                return None;
            }
            let times = match run.entry.step_ns {
                // An irregular series that is not trimmed lies in the range as a whole.
                ..=0 => run.bounds,
                _ => TimeRange { start_ns: run.time_of(run.row), end_ns: run.time_of(run.row_end - 1) },
            };
            known.add(KnownRows { count: u64::from(run.row_end - run.row), times });
            shown.push(run.bounds);
        }
        // Where sections overlap, rows of one may be duplicates of rows of the other.
        shown.sort_unstable_by_key(|times| times.start_ns);
        let is_apart = shown.is_sorted_by(|before, after| before.end_ns < after.start_ns);
        (is_apart || self.table().schema().options.dedup == Dedup::Off).then_some(known)
    }

    /// NULLs of a field (position in `TableSchema::fields`) in `rows`, which are all that the set shows; `None` when
    /// these are not all rows of all sections, to which zone maps refer.
    pub fn known_null_count(&self, field: usize, rows: KnownRows) -> Option<u64> {
        let stored: u64 = self.sections().iter().map(|section| u64::from(section.row_count())).sum();
        if rows.count != stored {
            return None;
        }
        let id = self.table().schema().fields.get(field)?.id;
        let nulls = self.sections().iter().map(|section| match section.column(id) {
            Some(column) => (0..section.vector_count()).map(|vector| column.zone(vector).null_count() as u64).sum(),
            // The column is younger than the section.
            None => u64::from(section.row_count()),
        });
        Some(nulls.sum())
    }
}
