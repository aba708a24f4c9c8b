//! Adds the rows of a series, or what they come to, to the states of its tag group.

use std::ops::Range;

use arrow::datatypes::DataType;
use hashbrown::HashMap;
use lynxstore_storage::encoding::{PARTS_MAX, VECTOR_LEN, Validity};
use lynxstore_storage::snapshot::{Block, BlockTimes, RollupPiece, TagValues};

use super::bucket_runs::{BucketRun, for_each_run};
use super::field_filter::{FieldFilter, Selection};
use super::row_mask::RowMask;
use super::series_rollups::add_piece;
use super::states::{ColumnStates, GroupStates, NO_TIMES, NumberKind, NumberStates};
use super::summaries::{BlockNumbers, SummaryStates};
use crate::error::{Error, Result};
use crate::plan::Bucket;

/// How (tag group, bucket) becomes a state.
pub(super) enum StateIndex {
    /// `group * buckets + (ordinal - first)`.
    Dense { first: i64, buckets: usize },
    /// By a table, in order of first sight.
    Sparse(HashMap<(u32, i64), u32>),
}

/// What an argument that is a tag has in the series whose rows are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ArgumentTag {
    /// The argument is no tag.
    #[default]
    No,
    /// NULL.
    Null,
    /// A value, by its code.
    Code(i64),
}

/// The arguments of a grouping in the series whose rows are added.
#[derive(Debug)]
pub(super) struct SeriesArguments {
    /// Position of the series in its set.
    pub(super) series: u32,
    /// Positions in the scan; `None` for the time and for tags.
    pub(super) positions: Vec<Option<usize>>,
    /// Which rows count for an argument; empty when all do for every argument.
    pub(super) filters: Vec<Option<FieldFilter>>,
    /// Tags; empty when no argument is one.
    pub(super) tags: Vec<ArgumentTag>,
}

impl SeriesArguments {
    /// Goes over to a series; `tags` are the codes of the arguments that are tags.
    pub(super) fn enter(&mut self, series: usize, tags: &[Option<TagValues>]) {
        self.series = series as u32;
        self.tags.clear();
        self.tags.extend(tags.iter().map(|tag| match tag.as_ref().map(|tag| tag.indices[series]) {
            None => ArgumentTag::No,
            Some(TagValues::NULL) => ArgumentTag::Null,
            Some(code) => ArgumentTag::Code(i64::from(code)),
        }));
    }
}

/// Where the rows of a block go.
pub(super) struct Sink<'a> {
    pub(super) bucket: Option<Bucket>,
    pub(super) index: &'a mut StateIndex,
    pub(super) keys: &'a mut Vec<(u32, i64)>,
    pub(super) states: &'a mut GroupStates,
    pub(super) arguments: &'a SeriesArguments,
    pub(super) runs: &'a mut Vec<(usize, Range<usize>)>,
}

impl Sink<'_> {
    /// Adds the rows of a block that `selection` keeps.
    pub(super) fn add(&mut self, block: &mut Block<'_>, selection: Option<&RowMask>, group: u32) -> Result<()> {
        self.cut(block, group)?;
        // A whole vector of one bucket is mostly answered from its statistics.
        if selection.is_some() || self.runs.len() > 1 || !block.is_whole_vector() {
            block.prefetch();
        }
        for (state, rows) in self.runs.iter() {
            self.states.rows[*state] += match selection {
                None => rows.len() as u64,
                Some(mask) => mask.count(rows.clone()) as u64,
            };
        }
        let arguments = self.arguments;
        for (index, column) in self.states.columns.iter_mut().enumerate() {
            let own;
            let selection = match arguments.filters.get(index) {
                Some(Some(filter)) => {
                    own = filter.select(block)?.within(selection);
                    match &own {
                        Selection::Nothing => continue,
                        own => own.mask(),
                    }
                }
                _ => selection,
            };
            match (&mut *column, arguments.tags.get(index).copied().unwrap_or_default(), arguments.positions[index]) {
                (ColumnStates::Summary(states), ArgumentTag::Code(code), _) => {
                    for (state, rows) in self.runs.iter() {
                        let count = selection.map_or(rows.len(), |mask| mask.count(rows.clone())) as u64;
                        if count > 0 {
                            states.add_key(*state, code, count);
                        }
                    }
                }
                (_, ArgumentTag::Null, _) => {}
                (ColumnStates::Summary(states), _, Some(position)) => {
                    add_summary(states, block, position, selection, self.runs, arguments.series)?;
                }
                (_, _, None) => add_times(column, block, selection, self.runs)?,
                (_, _, Some(position)) => add_field(column, block, position, selection, self.runs)?,
            }
        }
        Ok(())
    }

    /// Adds whole base buckets.
    pub(super) fn add_rollups(&mut self, piece: &mut RollupPiece<'_>, group: u32) -> Result<()> {
        self.runs.clear();
        match self.bucket {
            None => self.runs.push((group as usize, 0..piece.len())),
            // A base bucket lies in one bucket, so its first time says which.
            Some(bucket) => self.cut_times(bucket, BlockTimes::Slice(piece.first_times()), piece.len(), group)?,
        }
        add_piece(self.states, self.arguments, piece, self.runs)
    }

    /// Finds the state of every run of rows.
    fn cut(&mut self, block: &mut Block<'_>, group: u32) -> Result<()> {
        self.runs.clear();
        let len = block.len();
        let Some(bucket) = self.bucket else {
            self.runs.push((group as usize, 0..len));
            return Ok(());
        };
        self.cut_times(bucket, block.times()?, len, group)
    }

    fn cut_times(&mut self, bucket: Bucket, times: BlockTimes<'_>, len: usize, group: u32) -> Result<()> {
        match &mut *self.index {
            StateIndex::Dense { first, buckets } => {
                let base = group as usize * *buckets;
                let mut all_inside = true;
                for_each_run(bucket, times, len, |run| {
                    let offset = run.ordinal.wrapping_sub(*first) as usize;
                    all_inside &= offset < *buckets;
                    self.runs.push((base + offset, run.rows));
                });
                if !all_inside {
                    return Err(Error::execution("a row lies outside the times of its series: the segment is damaged"));
                }
            }
            StateIndex::Sparse(index) => {
                let (keys, runs) = (&mut *self.keys, &mut *self.runs);
                for_each_run(bucket, times, len, |BucketRun { ordinal, rows }| {
                    let state = *index.entry((group, ordinal)).or_insert_with(|| {
                        keys.push((group, ordinal));
                        (keys.len() - 1) as u32
                    });
                    runs.push((state as usize, rows));
                });
                if self.keys.len() > self.states.rows.len() {
                    self.states.grow(self.keys.len());
                }
            }
        }
        Ok(())
    }
}

/// Adds the times of a block, cut into `runs` of one state each.
pub(super) fn add_times(
    column: &mut ColumnStates,
    block: &mut Block<'_>,
    selection: Option<&RowMask>,
    runs: &[(usize, Range<usize>)],
) -> Result<()> {
    let times = block.times()?;
    for (state, rows) in runs {
        let (count, bounds) = match selection {
            None => (rows.len(), Some((rows.start, rows.end - 1))),
            Some(mask) => (mask.count(rows.clone()), mask.bounds(rows.clone())),
        };
        let Some((first, last)) = bounds else { continue };
        match column {
            ColumnStates::Count(counts) => counts[*state] += count as u64,
            ColumnStates::Number(states) => states.add_times(*state, count, times.get(first), times.get(last)),
            ColumnStates::Value(_) => {}
            ColumnStates::Summary(states) => {
                let keys: Vec<i64> = match selection {
                    None => rows.clone().map(|row| times.get(row)).collect(),
                    Some(mask) => mask.iter(rows.clone()).map(|row| times.get(row)).collect(),
                };
                states.add_keys(*state, &keys);
            }
        }
    }
    Ok(())
}

/// Adds a field of a block to summaries, cut into `runs` of one state each.
fn add_summary(
    states: &mut SummaryStates,
    block: &mut Block<'_>,
    position: usize,
    selection: Option<&RowMask>,
    runs: &[(usize, Range<usize>)],
    series: u32,
) -> Result<()> {
    if let ([(state, rows)], None) = (runs, selection)
        && rows.len() == block.len()
        && states.takes_keys()
        // Bounds of floats say neither whether a NaN is there nor which zero.
        && *states.number_type() != DataType::Float64
        && let Some(zone) = block.zone(position)
        && let (Some(min), Some(max)) = (zone.min_i64(), zone.max_i64())
        && min == max
    {
        let count = (rows.len() - zone.null_count()) as u64;
        if count > 0 {
            states.add_key(*state, min, count);
        }
        return Ok(());
    }
    let validity = block.validity(position)?;
    if validity == Validity::AllNull {
        return Ok(());
    }
    let mask = RowMask::combine(selection, &validity);
    let mut listed = Vec::new();
    let times = if states.needs_times() { copied_times(block, &mut listed)? } else { NO_TIMES };
    let values = match states.number_type() {
        DataType::Float64 => BlockNumbers::Floats(block.f64_values(position)?),
        _ => BlockNumbers::Integers(block.i64_values(position)?),
    };
    for (state, rows) in runs {
        states.add_block(*state, values, mask.as_ref(), rows.clone(), (times, series));
    }
    Ok(())
}

/// Adds a field of a block, by its position in the scan, cut into `runs` of one state each.
pub(super) fn add_field(
    column: &mut ColumnStates,
    block: &mut Block<'_>,
    position: usize,
    selection: Option<&RowMask>,
    runs: &[(usize, Range<usize>)],
) -> Result<()> {
    if let ([(state, rows)], None) = (runs, selection)
        && rows.len() == block.len()
        && let Some(zone) = block.zone(position)
    {
        let added = match column {
            ColumnStates::Count(counts) => {
                counts[*state] += (rows.len() - zone.null_count()) as u64;
                true
            }
            ColumnStates::Number(states) => states.add_zone(*state, &zone, rows.len()),
            ColumnStates::Value(_) | ColumnStates::Summary(_) => false,
        };
        if added {
            return Ok(());
        }
    }
    let validity = block.validity(position)?;
    if validity == Validity::AllNull {
        return Ok(());
    }
    let mask = RowMask::combine(selection, &validity);
    if let (ColumnStates::Number(states), None) = (&mut *column, &mask)
        && add_packed_sums(states, block, position, runs)?
    {
        return Ok(());
    }
    let states = match column {
        ColumnStates::Count(counts) => {
            for (state, rows) in runs {
                counts[*state] += mask.as_ref().map_or(rows.len(), |mask| mask.count(rows.clone())) as u64;
            }
            return Ok(());
        }
        ColumnStates::Number(states) => states,
        ColumnStates::Value(_) | ColumnStates::Summary(_) => {
            return Err(Error::execution("values are not aggregated by series"));
        }
    };
    let mut listed = Vec::new();
    let times = if states.needs_times() { copied_times(block, &mut listed)? } else { NO_TIMES };
    if states.kind() == NumberKind::F64 {
        let values = block.f64_values(position)?;
        for (state, rows) in runs {
            states.add_floats(*state, values, mask.as_ref(), rows.clone(), times);
        }
    } else {
        let values = block.i64_values(position)?;
        for (state, rows) in runs {
            states.add_integers(*state, values, mask.as_ref(), rows.clone(), times);
        }
    }
    Ok(())
}

/// The times of a block, those of an irregular one copied to `listed`: values and times share the block's buffers.
fn copied_times<'t>(block: &mut Block<'_>, listed: &'t mut Vec<i64>) -> Result<BlockTimes<'t>> {
    Ok(match block.times()? {
        BlockTimes::Regular { start_ns, step_ns } => BlockTimes::Regular { start_ns, step_ns },
        BlockTimes::Slice(times) => {
            listed.extend_from_slice(times);
            BlockTimes::Slice(listed)
        }
    })
}

/// Of small series dozens share a vector, which is decoded once for all of them: only a block of so many rows of such a
/// vector, cut into runs of so many rows on average, is summed on the packed numbers.
const SHARED_BLOCK_ROWS_MIN: usize = VECTOR_LEN / 8;
const SHARED_RUN_ROWS_MIN: usize = VECTOR_LEN / PARTS_MAX;

/// Adds the sums of runs, which cover the rows of the block in order, without decoding; `false` when that gives less than
/// the states need.
fn add_packed_sums(
    states: &mut NumberStates,
    block: &Block<'_>,
    position: usize,
    runs: &[(usize, Range<usize>)],
) -> Result<bool> {
    let pays = match block.has_own_vectors() {
        true => runs.len() <= PARTS_MAX,
        false => block.len() >= SHARED_BLOCK_ROWS_MIN.max(runs.len() * SHARED_RUN_ROWS_MIN),
    };
    if !pays || !states.needs_sum_alone() {
        return Ok(false);
    }
    let mut cuts = [0; PARTS_MAX + 1];
    let mut sums = [0; PARTS_MAX];
    for (cut, (_, rows)) in cuts[1..].iter_mut().zip(runs) {
        *cut = rows.end;
    }
    let sums = &mut sums[..runs.len()];
    if block.packed_sums(position, &cuts[..=runs.len()], sums)?.is_none() {
        return Ok(false);
    }
    for ((state, rows), sum) in runs.iter().zip(sums) {
        states.add_sum(*state, *sum, rows.len());
    }
    Ok(true)
}
