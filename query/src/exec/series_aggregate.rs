//! Grouping by tags and a time bucket, without a row ever being materialised.
//!
//! A series has one tag group; its blocks are cut at bucket boundaries, and each piece is added to the state of
//! (tag group, bucket) by a kernel over the decoded values, or from the zone map when a whole vector lies in one
//! bucket. Threads take disjoint runs of series, number the tag groups that they meet themselves, and are merged in the
//! order of the series.

use std::ops::Range;

use hashbrown::HashMap;
use lynxstore_storage::encoding::Validity;
use lynxstore_storage::snapshot::{Block, BlockTimes, SeriesScan};
use lynxstore_storage::types::{FieldType, TimeRange};

use super::bucket_runs::{BucketRun, for_each_run};
use super::context::ExecContext;
use super::field_filter::{FieldFilter, Selection};
use super::row_mask::RowMask;
use super::source::{ColumnPlace, Source, place_of};
use super::states::{ColumnStates, GroupStates, Layout, NumberKind, StateKind};
use super::tag_groups::TagGroups;
use crate::error::{Error, Result};
use crate::plan::{Aggregation, Bucket, Expr, SelectPlan};

/// Dense numbering of (tag group, bucket) is used up to this many states per thread; about 64 MiB with one argument.
const DENSE_STATES_MAX: u64 = 1 << 20;

/// A group key that a series or its times decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeriesKeyPart {
    /// A tag.
    Tag(usize),
    /// The bucket of the time.
    Bucket,
}

/// Where the values of an argument come from.
#[derive(Debug, Clone, Copy)]
enum ArgumentPlace {
    Time,
    Field(usize),
}

/// A grouping of the kind that this module runs.
#[derive(Debug)]
pub(crate) struct SeriesGrouping {
    /// Per group key what decides it.
    pub(crate) keys: Vec<SeriesKeyPart>,
    /// How times are cut; at most one way.
    pub(crate) bucket: Option<Bucket>,
    /// The states.
    pub(crate) layout: Layout,
    arguments: Vec<ArgumentPlace>,
}

impl SeriesGrouping {
    /// The grouping of a plan, when it is of this kind.
    pub(crate) fn of(plan: &SelectPlan, aggregation: &Aggregation) -> Option<Self> {
        let table = plan.table.as_ref()?;
        if plan.filter.residual.is_some() {
            return None;
        }
        let place = |column: usize| place_of(plan.columns[column], table.tags.len());
        let mut bucket = None;
        let mut keys = Vec::with_capacity(aggregation.keys.len());
        for key in &aggregation.keys {
            keys.push(match key {
                Expr::Column(column, _) => match place(*column) {
                    ColumnPlace::Tag(tag) => SeriesKeyPart::Tag(tag),
                    _ => return None,
                },
                Expr::TimeBucket(by, inner) => match &**inner {
                    Expr::Column(column, _) if place(*column) == ColumnPlace::Time && bucket.is_none() => {
                        bucket = Some(*by);
                        SeriesKeyPart::Bucket
                    }
                    _ => return None,
                },
                _ => return None,
            });
        }
        let layout = Layout::new(&aggregation.aggregates);
        let mut arguments = Vec::with_capacity(layout.arguments.len());
        for argument in &layout.arguments {
            let Expr::Column(column, _) = &argument.expr else { return None };
            let place = place(*column);
            arguments.push(match (place, &argument.kind) {
                (_, StateKind::Value(..)) | (ColumnPlace::Tag(_), _) => return None,
                (ColumnPlace::Time, _) => ArgumentPlace::Time,
                (ColumnPlace::Field(field), _) => {
                    // Booleans are counted only; their other functions are over values.
                    debug_assert!(
                        matches!(argument.kind, StateKind::Count) || table.fields[field].field_type != FieldType::Bool
                    );
                    ArgumentPlace::Field(field)
                }
            });
        }
        Some(Self { keys, bucket, layout, arguments })
    }
}

/// Whether a grouping is of the kind that this module runs.
pub(crate) fn groups_by_series(plan: &SelectPlan, aggregation: &Aggregation) -> bool {
    SeriesGrouping::of(plan, aggregation).is_some()
}

/// The result of a grouping: groups by tag group and bucket.
#[derive(Debug)]
pub(crate) struct SeriesGroups {
    /// The tag groups.
    pub(crate) tags: TagGroups,
    /// Per state its tag group and bucket; states without rows are no groups.
    pub(crate) groups: Vec<(u32, i64)>,
    /// The states.
    pub(crate) states: GroupStates,
}

/// Runs a grouping.
pub(crate) fn aggregate(
    grouping: &SeriesGrouping,
    plan: &SelectPlan,
    source: &Source,
    context: &ExecContext<'_>,
) -> Result<SeriesGroups> {
    let tags = TagGroups::new(source, &grouping.keys);
    let filter = FieldFilter::new(&plan.filter.fields, source)?;
    let partitions = source.partitions(context.threads());
    let mut parts = context.map(partitions, |series| {
        let mut worker = Worker::new(grouping, source, &filter, &tags, series.clone(), context)?;
        worker.run(series, context)?;
        Ok(worker.finish())
    })?;
    if parts.len() == 1
        && let Some((groups, states)) = parts.pop()
    {
        return Ok(SeriesGroups { tags, groups, states });
    }
    let (groups, states) = merge(&grouping.layout, parts, context)?;
    Ok(SeriesGroups { tags, groups, states })
}

type Part = (Vec<(u32, i64)>, GroupStates);

fn merge(layout: &Layout, parts: Vec<Part>, context: &ExecContext<'_>) -> Result<Part> {
    let mut index: HashMap<(u32, i64), u32> = HashMap::new();
    let mut groups: Vec<(u32, i64)> = Vec::new();
    let mut merged = GroupStates::new(layout, 0);
    for (part_groups, states) in parts {
        let mut pairs = Vec::with_capacity(part_groups.len());
        for (state, key) in part_groups.iter().enumerate().filter(|(state, _)| states.rows[*state] > 0) {
            let group = *index.entry(*key).or_insert_with(|| {
                groups.push(*key);
                (groups.len() - 1) as u32
            });
            pairs.push((group as usize, state));
        }
        context.check_groups(groups.len())?;
        merged.resize(groups.len());
        for (group, state) in pairs {
            merged.merge(group, &states, state);
        }
    }
    Ok((groups, merged))
}

/// How (tag group, bucket) becomes a state.
enum StateIndex {
    /// `group * buckets + (ordinal - first)`.
    Dense { first: i64, buckets: usize },
    /// By a table, in order of first sight.
    Sparse(HashMap<(u32, i64), u32>),
}

struct Worker<'a> {
    grouping: &'a SeriesGrouping,
    filter: &'a FieldFilter,
    scan: SeriesScan<'a>,
    tags: &'a TagGroups,
    /// Per tag group the number that this worker gave it.
    local_groups: HashMap<u32, u32>,
    index: StateIndex,
    /// Tag group and bucket per state, when the index is sparse; tag group per local group when it is dense.
    keys: Vec<(u32, i64)>,
    states: GroupStates,
    /// Arguments by their position in the scan.
    positions: Vec<Option<usize>>,
    runs: Vec<(usize, Range<usize>)>,
}

impl<'a> Worker<'a> {
    fn new(
        grouping: &'a SeriesGrouping,
        source: &'a Source,
        filter: &'a FieldFilter,
        tags: &'a TagGroups,
        series: Range<usize>,
        context: &ExecContext<'_>,
    ) -> Result<Self> {
        let positions = grouping.arguments.iter().map(|argument| match argument {
            ArgumentPlace::Time => Ok(None),
            ArgumentPlace::Field(field) => source.field_position(*field).map(Some),
        });
        let positions = positions.collect::<Result<Vec<_>>>()?;
        let groups = tags.count_in(series) as u64;
        let index = match (grouping.bucket, bucket_range(grouping, source)) {
            (None, _) => StateIndex::Dense { first: 0, buckets: 1 },
            (Some(_), Some((first, buckets))) if groups.saturating_mul(buckets) <= DENSE_STATES_MAX => {
                StateIndex::Dense { first, buckets: buckets as usize }
            }
            _ => StateIndex::Sparse(HashMap::new()),
        };
        let mut states = GroupStates::new(&grouping.layout, 0);
        if let StateIndex::Dense { buckets, .. } = index {
            context.check_groups(groups as usize)?;
            states.resize(groups as usize * buckets);
        }
        Ok(Self {
            grouping,
            filter,
            scan: source.set.scan(&source.fields, source.range),
            tags,
            local_groups: HashMap::new(),
            index,
            keys: Vec::new(),
            states,
            positions,
            runs: Vec::new(),
        })
    }

    fn run(&mut self, series: Range<usize>, context: &ExecContext<'_>) -> Result<()> {
        for index in series {
            context.cancellation.check()?;
            let group = self.tags.group_of(index);
            let local = match self.index {
                StateIndex::Dense { .. } => self.local_group(group),
                StateIndex::Sparse(_) => group,
            };
            self.scan.open(index)?;
            // The scan is taken out while its block is borrowed.
            while let Some(mut block) = self.scan.next_block()? {
                context.cancellation.check()?;
                let mut sink = Sink {
                    grouping: self.grouping,
                    index: &mut self.index,
                    keys: &mut self.keys,
                    states: &mut self.states,
                    positions: &self.positions,
                    runs: &mut self.runs,
                };
                match self.filter.select(&mut block)? {
                    Selection::Nothing => {}
                    selection => sink.add(&mut block, selection.mask(), local)?,
                }
            }
            context.check_groups(self.keys.len())?;
        }
        Ok(())
    }

    fn local_group(&mut self, group: u32) -> u32 {
        let next = self.keys.len() as u32;
        *self.local_groups.entry(group).or_insert_with(|| {
            self.keys.push((group, 0));
            next
        })
    }

    fn finish(self) -> Part {
        match self.index {
            StateIndex::Sparse(_) => (self.keys, self.states),
            StateIndex::Dense { first, buckets } => {
                let mut groups = Vec::with_capacity(self.keys.len() * buckets);
                for (group, _) in &self.keys {
                    groups.extend((0..buckets as i64).map(|bucket| (*group, first + bucket)));
                }
                (groups, self.states)
            }
        }
    }
}

/// First bucket and number of buckets that the rows can fall into.
fn bucket_range(grouping: &SeriesGrouping, source: &Source) -> Option<(i64, u64)> {
    let bucket = grouping.bucket?;
    // The range of the statement may be years wide over an hour of rows.
    let mut rows = TimeRange { start_ns: i64::MAX, end_ns: i64::MIN };
    for series in source.set.iter() {
        let series = series.time_bounds();
        rows = TimeRange { start_ns: rows.start_ns.min(series.start_ns), end_ns: rows.end_ns.max(series.end_ns) };
    }
    let bounds = source.range.intersect(rows);
    if bounds.is_empty() {
        return Some((0, 0));
    }
    let (first, last) = (bucket.ordinal(bounds.start_ns), bucket.ordinal(bounds.end_ns));
    Some((first, u64::try_from(i128::from(last) - i128::from(first) + 1).ok()?))
}

/// Where the rows of a block go.
struct Sink<'a> {
    grouping: &'a SeriesGrouping,
    index: &'a mut StateIndex,
    keys: &'a mut Vec<(u32, i64)>,
    states: &'a mut GroupStates,
    positions: &'a [Option<usize>],
    runs: &'a mut Vec<(usize, Range<usize>)>,
}

impl Sink<'_> {
    fn add(&mut self, block: &mut Block<'_>, selection: Option<&RowMask>, group: u32) -> Result<()> {
        self.cut(block, group)?;
        for (state, rows) in self.runs.iter() {
            self.states.rows[*state] += match selection {
                None => rows.len() as u64,
                Some(mask) => mask.count(rows.clone()) as u64,
            };
        }
        for (column, position) in self.states.columns.iter_mut().zip(self.positions) {
            match position {
                None => add_times(column, block, selection, self.runs)?,
                Some(position) => add_field(column, block, *position, selection, self.runs)?,
            }
        }
        Ok(())
    }

    /// Finds the state of every run of rows.
    fn cut(&mut self, block: &mut Block<'_>, group: u32) -> Result<()> {
        self.runs.clear();
        let len = block.len();
        let Some(bucket) = self.grouping.bucket else {
            self.runs.push((group as usize, 0..len));
            return Ok(());
        };
        match &mut *self.index {
            StateIndex::Dense { first, buckets } => {
                let base = group as usize * *buckets;
                let mut all_inside = true;
                for_each_run(bucket, block.times()?, len, |run| {
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
                for_each_run(bucket, block.times()?, len, |BucketRun { ordinal, rows }| {
                    let state = *index.entry((group, ordinal)).or_insert_with(|| {
                        keys.push((group, ordinal));
                        (keys.len() - 1) as u32
                    });
                    runs.push((state as usize, rows));
                });
                if self.keys.len() > self.states.rows.len() {
                    // Grows in steps, so that a new bucket per block does not copy all states each time.
                    self.states.resize(self.keys.len().next_power_of_two());
                }
            }
        }
        Ok(())
    }
}

fn add_times(
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
        }
    }
    Ok(())
}

fn add_field(
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
            ColumnStates::Value(_) => false,
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
    let states = match column {
        ColumnStates::Count(counts) => {
            for (state, rows) in runs {
                counts[*state] += mask.as_ref().map_or(rows.len(), |mask| mask.count(rows.clone())) as u64;
            }
            return Ok(());
        }
        ColumnStates::Number(states) => states,
        ColumnStates::Value(_) => return Err(Error::execution("values are not aggregated by series")),
    };
    // Only `first` and `last` read times; they are copied out because values and times share the block's buffers.
    let listed: Vec<i64>;
    let times = if states.needs_times() {
        match block.times()? {
            BlockTimes::Regular { start_ns, step_ns } => BlockTimes::Regular { start_ns, step_ns },
            BlockTimes::Slice(times) => {
                listed = times.to_vec();
                BlockTimes::Slice(&listed)
            }
        }
    } else {
        BlockTimes::Regular { start_ns: 0, step_ns: 0 }
    };
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
