//! Groupings from rollups: when they may be used, what is asked of them, and how they are added to the states.

use std::ops::Range;

use lynxstore_storage::snapshot::{RollupNeeds, RollupPiece, RollupUse, TimeCuts, ValueCounts};

use super::series_aggregate::SeriesGrouping;
use super::source::Source;
use super::states::{ColumnStates, GroupStates, StateKind};
use crate::error::{Error, Result};
use crate::options::RollupMode;
use crate::plan::{AggregateFunction, SelectPlan};

/// What a grouping asks of rollups; `None` when only rows answer it.
pub(crate) fn rollup_use(
    grouping: &SeriesGrouping,
    plan: &SelectPlan,
    source: &Source,
    mode: RollupMode,
) -> Result<Option<RollupUse>> {
    if mode == RollupMode::Off || !plan.filter.fields.is_empty() {
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
        let StateKind::Number(_, wanted) = &argument.kind else { continue };
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

/// Whether the last value of each series by time is all that a grouping wants of it.
pub(crate) fn wants_last_only(grouping: &SeriesGrouping, plan: &SelectPlan) -> bool {
    let outputs = &grouping.layout.outputs;
    let are_last = outputs.iter().all(|output| {
        let argument = output.argument.map(|argument| &grouping.layout.arguments[argument].kind);
        output.function == AggregateFunction::Last && matches!(argument, Some(StateKind::Number(..)))
    });
    are_last && !outputs.is_empty() && grouping.bucket.is_none() && plan.filter.fields.is_empty()
}

/// Adds the rollup rows of a piece, cut into `runs` of one state each.
pub(crate) fn add_piece(
    states: &mut GroupStates,
    positions: &[Option<usize>],
    piece: &mut RollupPiece<'_>,
    runs: &[(usize, Range<usize>)],
) -> Result<()> {
    for (state, rows) in runs {
        let counts = &piece.row_counts()[rows.clone()];
        states.rows[*state] += counts.iter().map(|&count| u64::from(count)).sum::<u64>();
    }
    for (column, position) in states.columns.iter_mut().zip(positions) {
        add_column(column, *position, piece, runs)?;
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
        (ColumnStates::Value(_), _) => return Err(Error::execution("values are not aggregated by series")),
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

fn row_count(piece: &RollupPiece<'_>, rows: &Range<usize>) -> u64 {
    piece.row_counts()[rows.clone()].iter().map(|&count| u64::from(count)).sum()
}
