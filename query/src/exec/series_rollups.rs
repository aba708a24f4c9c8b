//! Groupings from rollups: when they may be used, what is asked of them, and how they are added to the states.

use std::ops::Range;

use arrow::datatypes::DataType;
use lynxstore_storage::segment::FieldStatistic;
use lynxstore_storage::snapshot::{RollupNeeds, RollupPiece, RollupUse, TimeCuts, ValueCounts};
use lynxstore_storage::types::{Dedup, TableSchema};

use super::series_aggregate::SeriesGrouping;
use super::series_sink::{ArgumentTag, SeriesArguments};
use super::source::Source;
use super::states::{ColumnStates, GroupStates, Needs, StateKind};
use super::summaries::{FoldKind, Sample, SummaryKind, SummaryStates};
use crate::error::{Error, Result};
use crate::options::RollupMode;
use crate::plan::SelectPlan;

/// What a grouping asks of rollups; `None` when only rows answer it.
pub(crate) fn rollup_use(
    grouping: &SeriesGrouping,
    plan: &SelectPlan,
    source: &Source,
    mode: RollupMode,
) -> Result<Option<RollupUse>> {
    if mode == RollupMode::Off || !plan.filter.fields.is_empty() || grouping.has_conditions() {
        return Ok(None);
    }
    let cuts = match grouping.bucket {
        None => TimeCuts::Nowhere,
        Some(bucket) => {
            let (unit_ns, offset_ns) = bucket.grid(|| source.row_range());
            TimeCuts::Every { unit_ns, offset_ns }
        }
    };
    let mut times = grouping.bucket.is_some();
    let mut needs = vec![RollupNeeds::default(); source.fields.len()];
    for (position, argument) in grouping.positions(source)?.into_iter().zip(&grouping.layout.arguments) {
        let wanted = match &argument.kind {
            StateKind::Number(_, wanted) => *wanted,
            StateKind::Count | StateKind::Value(..) => continue,
            // A piece without rows is none, so its series has the tags.
            StateKind::Summary(SummaryKind::Distinct, DataType::Dictionary(..)) => continue,
            StateKind::Summary(SummaryKind::Fold { kind: FoldKind::Counter, needs_rows: false }, _) => {
                let Some(position) = position else { return Ok(None) };
                needs[position].resets = true;
                Needs { ends: true, ..Needs::default() }
            }
            StateKind::Summary(..) => return Ok(None),
        };
        // Rollups know the outermost row of each hour, not all rows of its time.
        if wanted.ends && keeps_duplicates(source.set.table().schema()) {
            return Ok(None);
        }
        times |= position.is_none() || wanted.ends;
        let Some(position) = position else { continue };
        if wanted.moments {
            return Ok(None);
        }
        needs[position].sum |= wanted.sum;
        needs[position].bounds |= wanted.bounds;
        needs[position].ends |= wanted.ends;
    }
    Ok(Some(RollupUse { cuts, needs, times }))
}

/// Whether several rows of a series may have one time.
pub(crate) fn keeps_duplicates(table: &TableSchema) -> bool {
    table.options.dedup == Dedup::Off
}

/// Whether all that a grouping wants of a series is whether it has rows.
pub(crate) fn wants_presence_only(grouping: &SeriesGrouping, plan: &SelectPlan) -> bool {
    let arguments = &grouping.layout.arguments;
    let are_tags = arguments
        .iter()
        .all(|argument| matches!(argument.kind, StateKind::Summary(SummaryKind::Distinct, DataType::Dictionary(..))));
    let counts_rows = grouping.layout.outputs.iter().any(|output| output.argument.is_none());
    are_tags && !arguments.is_empty() && !counts_rows && grouping.bucket.is_none() && plan.filter.fields.is_empty()
}

/// Adds the rollup rows of a piece, cut into `runs` of one state each.
pub(crate) fn add_piece(
    states: &mut GroupStates,
    arguments: &SeriesArguments,
    piece: &mut RollupPiece<'_>,
    runs: &[(usize, Range<usize>)],
) -> Result<()> {
    for (state, rows) in runs {
        let counts = &piece.row_counts()[rows.clone()];
        states.rows[*state] += counts.iter().map(|&count| u64::from(count)).sum::<u64>();
    }
    for (index, column) in states.columns.iter_mut().enumerate() {
        match (&mut *column, arguments.tags.get(index).copied().unwrap_or_default(), arguments.positions[index]) {
            (ColumnStates::Summary(_), ArgumentTag::Null, _) => {}
            (ColumnStates::Summary(states), ArgumentTag::Code(code), _) => {
                runs.iter().for_each(|(state, _)| states.add_key(*state, code, 1));
            }
            (ColumnStates::Summary(states), ArgumentTag::No, Some(position)) => {
                add_stretches(states, arguments.series, piece, position, runs)?;
            }
            (_, _, position) => add_column(column, position, piece, runs)?,
        }
    }
    Ok(())
}

/// Adds a piece to the states of one argument: of a field by its position in the scan, or of the time.
pub(crate) fn add_column(
    column: &mut ColumnStates,
    position: Option<usize>,
    piece: &mut RollupPiece<'_>,
    runs: &[(usize, Range<usize>)],
) -> Result<()> {
    match (column, position) {
        (ColumnStates::Value(_) | ColumnStates::Summary(_), _) => {
            return Err(Error::execution("values are not aggregated by series"));
        }
        (ColumnStates::Number(states), Some(position)) => return states.add_rollups(piece, position, runs),
        (ColumnStates::Number(states), None) => {
            for (state, rows) in runs {
                let (first_ns, last_ns) = (piece.first_times()[rows.start], piece.last_times()[rows.end - 1]);
                states.add_times(*state, row_count(piece, rows) as usize, first_ns, last_ns);
            }
        }
        (ColumnStates::Count(counts), None) => {
            runs.iter().for_each(|(state, rows)| counts[*state] += row_count(piece, rows));
        }
        (ColumnStates::Count(counts), Some(position)) => match piece.value_counts(position) {
            ValueCounts::None => {}
            ValueCounts::OnePerRow => runs.iter().for_each(|(state, rows)| counts[*state] += row_count(piece, rows)),
            ValueCounts::Each(values) => {
                for (state, rows) in runs {
                    counts[*state] += values[rows.clone()].iter().map(|count| count.cast_unsigned()).sum::<u64>();
                }
            }
        },
    }
    Ok(())
}

/// Adds the counters of a piece: between its base buckets they grow as between rows.
fn add_stretches(
    states: &mut SummaryStates,
    series: u32,
    piece: &mut RollupPiece<'_>,
    field: usize,
    runs: &[(usize, Range<usize>)],
) -> Result<()> {
    for (state, rows) in runs {
        for row in rows.clone() {
            let has_value = match piece.value_counts(field) {
                ValueCounts::None => false,
                ValueCounts::OnePerRow => true,
                ValueCounts::Each(counts) => counts[row] > 0,
            };
            if !has_value {
                continue;
            }
            let value = |statistic| match states.number_type() {
                DataType::Float64 => piece.floats(field, statistic)[row],
                _ => states.to_f64(piece.integers(field, statistic)[row]),
            };
            let (first, last) = (value(FieldStatistic::First), value(FieldStatistic::Last));
            let increase = last - first + value(FieldStatistic::Resets);
            let first = Sample { time_ns: piece.first_value_time(field, row)?, value: first };
            let last = Sample { time_ns: piece.last_value_time(field, row)?, value: last };
            states.add_stretch(*state, series, (first, last), increase);
        }
    }
    Ok(())
}

fn row_count(piece: &RollupPiece<'_>, rows: &Range<usize>) -> u64 {
    piece.row_counts()[rows.clone()].iter().map(|&count| u64::from(count)).sum()
}
