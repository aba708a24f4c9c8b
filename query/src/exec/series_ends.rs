//! Groupings that want of each series only what stands at an end of it: first and last values, least and greatest time.
//!
//! Series are read from that end, up to the first value of each argument. A last row that can be found without a scan is
//! not even read: its values are looked up, all of one argument after the other.

use std::ops::Range;

use arrow::array::Array;
use lynxstore_storage::snapshot::Piece;
use lynxstore_storage::types::TableSchema;

use super::context::ExecContext;
use super::series_aggregate::{SeriesGrouping, Worker, rows_of};
use super::series_rollups::{add_column, keeps_duplicates};
use super::series_sink::{add_field, add_times};
use super::source::value_source;
use super::states::{ColumnStates, StateKind};
use crate::error::Result;
use crate::plan::{AggregateFunction, SelectPlan};

/// An end of a series in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeriesEnd {
    Oldest,
    Newest,
}

/// Per argument from which ends it is read.
#[derive(Debug)]
pub(super) struct WantedEnds {
    oldest: Vec<bool>,
    newest: Vec<bool>,
    keeps_duplicates: bool,
}

impl WantedEnds {
    /// The ends that are all that a grouping wants of a series; `None` when it wants more.
    pub(super) fn of(grouping: &SeriesGrouping, plan: &SelectPlan, table: &TableSchema) -> Option<Self> {
        use AggregateFunction as F;
        let arguments = &grouping.layout.arguments;
        let outputs = &grouping.layout.outputs;
        if outputs.is_empty()
            || grouping.bucket.is_some()
            || !plan.filter.fields.is_empty()
            || grouping.has_conditions()
        {
            return None;
        }
        let (mut oldest, mut newest) = (vec![false; arguments.len()], vec![false; arguments.len()]);
        for output in outputs {
            let argument = output.argument?;
            let is_time = grouping.is_time(argument);
            match (&arguments[argument].kind, output.function) {
                (StateKind::Number(..), F::Last) => newest[argument] = true,
                (StateKind::Number(..), F::First) => oldest[argument] = true,
                (StateKind::Number(..), F::Max) if is_time => newest[argument] = true,
                (StateKind::Number(..), F::Min) if is_time => oldest[argument] = true,
                _ => return None,
            }
        }
        // Of rows of one time, first and last are those of the least and the greatest value.
        let compares_values = outputs.iter().any(|output| matches!(output.function, F::First | F::Last));
        Some(Self { oldest, newest, keeps_duplicates: compares_values && keeps_duplicates(table) })
    }

    /// The arguments that are read from an end.
    pub(super) fn at(&self, end: SeriesEnd) -> &[bool] {
        match end {
            SeriesEnd::Oldest => &self.oldest,
            SeriesEnd::Newest => &self.newest,
        }
    }

    /// Whether all rows of the first or last time count, because a series may have several.
    pub(super) fn keeps_duplicates(&self) -> bool {
        self.keeps_duplicates
    }
}

impl Worker<'_> {
    /// Reads every series from the ends that are wanted.
    pub(super) fn run_ends(
        &mut self,
        wanted: &WantedEnds,
        series: Range<usize>,
        context: &ExecContext<'_>,
    ) -> Result<()> {
        if wanted.at(SeriesEnd::Newest).contains(&true) {
            let others = self.add_last_rows(wanted, series.clone(), context)?;
            for index in others {
                self.read_end(index, SeriesEnd::Newest, wanted, context)?;
            }
        }
        if wanted.at(SeriesEnd::Oldest).contains(&true) {
            for index in series {
                self.read_end(index, SeriesEnd::Oldest, wanted, context)?;
            }
        }
        Ok(())
    }

    /// Adds the last rows that are found without a scan; gives the series of which that is not all that is wanted.
    fn add_last_rows(
        &mut self,
        wanted: &WantedEnds,
        series: Range<usize>,
        context: &ExecContext<'_>,
    ) -> Result<Vec<usize>> {
        context.cancellation.check()?;
        let source = self.shared.source;
        let mut found = source.set.last_rows(series, &source.fields, source.range, value_source(context));
        let states: Vec<u32> =
            found.series().iter().map(|series| self.local_group(self.shared.tags.group_of(*series as usize))).collect();
        for state in &states {
            self.states.rows[*state as usize] += 1;
        }
        let mut is_complete = vec![true; found.len()];
        let columns = self.states.columns.iter_mut().zip(&self.arguments.positions).zip(wanted.at(SeriesEnd::Newest));
        for ((column, position), _) in columns.filter(|(_, is_wanted)| **is_wanted) {
            let ColumnStates::Number(column) = column else { continue };
            match position {
                None => {
                    for (state, time_ns) in states.iter().zip(found.times()) {
                        column.add_times(*state as usize, 1, *time_ns, *time_ns);
                    }
                }
                Some(position) => {
                    let values = found.values(*position)?;
                    column.add_array(&values, &states, Some(found.times()));
                    if let Some(nulls) = values.nulls() {
                        is_complete.iter_mut().zip(nulls).for_each(|(all, is_valid)| *all &= is_valid);
                    }
                }
            }
        }
        if let Some(trace) = context.trace {
            trace.add_counters(found.counters());
        }
        // A value that is not in the last row stands in an older one.
        let incomplete = found.series().iter().zip(is_complete).filter(|(_, is_complete)| !is_complete);
        let mut others = found.others().to_vec();
        others.extend(incomplete.map(|(series, _)| *series as usize));
        Ok(others)
    }

    /// Reads a series from one end, up to the first value of each argument that is wanted there, and where a table keeps
    /// duplicates all rows of that time.
    fn read_end(
        &mut self,
        series: usize,
        end: SeriesEnd,
        wanted: &WantedEnds,
        context: &ExecContext<'_>,
    ) -> Result<()> {
        context.cancellation.check()?;
        let keeps_duplicates = wanted.keeps_duplicates();
        let state = self.local_group(self.shared.tags.group_of(series)) as usize;
        let mut is_missing = wanted.at(end).to_vec();
        // The time that reading has come to.
        let mut reached_ns = None;
        self.scan.open(series)?;
        while keeps_duplicates || is_missing.contains(&true) {
            let piece = match end {
                SeriesEnd::Newest => self.scan.next_piece_back()?,
                SeriesEnd::Oldest => self.scan.next_piece()?,
            };
            let Some(mut piece) = piece else { break };
            if let (Piece::Block(block), true) = (&mut piece, keeps_duplicates) {
                let times = block.time_bounds()?;
                let (near_ns, far_ns) = match end {
                    SeriesEnd::Newest => (times.end_ns, times.start_ns),
                    SeriesEnd::Oldest => (times.start_ns, times.end_ns),
                };
                if reached_ns.is_some_and(|reached_ns| near_ns != reached_ns) && !is_missing.contains(&true) {
                    break;
                }
                reached_ns = Some(far_ns);
            }
            self.states.rows[state] += 1;
            if let (Piece::Rollup(piece), Some(_)) = (&piece, context.trace) {
                self.counted.rollup_rows += rows_of(piece);
            }
            let columns = self.states.columns.iter_mut().zip(&self.arguments.positions);
            let columns = columns.zip(wanted.at(end)).zip(&mut is_missing);
            // An argument that was found needs no further row, except one of the same time.
            for (((column, position), is_wanted), is_missing) in columns {
                if !is_wanted || !(keeps_duplicates || *is_missing) {
                    continue;
                }
                let before = column.number_count(state);
                match (&mut piece, position) {
                    (Piece::Rollup(piece), _) => add_column(column, *position, piece, &[(state, 0..piece.len())])?,
                    (Piece::Block(block), None) => add_times(column, block, None, &[(state, 0..block.len())])?,
                    (Piece::Block(block), Some(position)) => {
                        let rows = 0..block.len();
                        add_field(column, block, *position, None, &[(state, rows)])?;
                    }
                }
                *is_missing &= column.number_count(state) == before;
            }
        }
        Ok(())
    }
}
