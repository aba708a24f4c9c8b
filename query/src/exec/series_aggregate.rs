//! Grouping by tags and a time bucket, without a row ever being materialised.
//!
//! A series has one tag group; its blocks are cut at bucket boundaries, and each piece is added to the state of
//! (tag group, bucket) by a kernel over the decoded values, or from the zone map when a whole vector lies in one
//! bucket. Whole hours come from the rollups of segments where these suffice. Threads take disjoint runs of series, number
//! the tag groups that they meet themselves, and are put together in the order of the series.

use std::ops::Range;

use hashbrown::HashMap;
use lynxstore_storage::snapshot::{Piece, RollupPiece, SeriesScan, TableSnapshot, TagValues};
use lynxstore_storage::types::FieldType;

use super::context::ExecContext;
use super::discard::discard;
use super::field_filter::{FieldFilter, Selection};
use super::series_ends::WantedEnds;
use super::series_groups::{GroupPart, SeriesGroups};
use super::series_rollups::{rollup_use, wants_presence_only};
use super::series_sink::{ArgumentTag, SeriesArguments, Sink, StateIndex};
use super::source::{ColumnPlace, Source, Work, place_of};
use super::state_size::group_bytes;
use super::states::{ColumnStates, GroupStates, Layout, StateKind};
use super::summaries::SummaryKind;
use super::tag_groups::TagGroups;
use super::trace::{ScanTrace, Step};
use crate::error::Result;
use crate::memory::MemoryHolder;
use crate::plan::{Aggregation, Bucket, Expr, FieldTerm, SelectPlan};
use crate::scalar::Scalar;

/// Dense numbering of (tag group, bucket) is used up to this many states per thread; about 64 MiB with one argument.
const DENSE_STATES_MAX: u64 = if cfg!(test) { 1 << 9 } else { 1 << 20 };

/// The number of a tag group that a worker has not met.
const NO_GROUP: u32 = u32::MAX;

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
    Tag(usize),
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
    /// Per argument the tests that a row must pass to count for it, as `FILTER` asks; none for most.
    conditions: Vec<Vec<FieldTerm>>,
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
        let field_of = |column: usize| match place(column) {
            ColumnPlace::Field(field) => Some((field, table.fields[field].field_type)),
            ColumnPlace::Time | ColumnPlace::Tag(_) => None,
        };
        let mut arguments = Vec::with_capacity(layout.arguments.len());
        let mut conditions = Vec::with_capacity(layout.arguments.len());
        for argument in &layout.arguments {
            if argument.second.is_some() {
                return None;
            }
            let (condition, value) = split_condition(&argument.expr);
            conditions.push(match condition {
                None => Vec::new(),
                Some(condition) => FieldTerm::all_of(condition, &field_of)?,
            });
            let place = match value {
                Expr::Column(column, _) => place(*column),
                // A number of rows is one of times, which every row has.
                Expr::Literal(value, _) if *value != Scalar::Null && argument.kind == StateKind::Count => {
                    ColumnPlace::Time
                }
                _ => return None,
            };
            arguments.push(match (place, &argument.kind) {
                (ColumnPlace::Tag(tag), StateKind::Summary(SummaryKind::Distinct, _)) => ArgumentPlace::Tag(tag),
                (_, StateKind::Value(..)) | (ColumnPlace::Tag(_), _) => return None,
                (ColumnPlace::Field(field), StateKind::Summary(..))
                    if !matches!(table.fields[field].field_type, FieldType::I64 | FieldType::U64 | FieldType::F64) =>
                {
                    return None;
                }
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
        Some(Self { keys, bucket, layout, arguments, conditions })
    }

    /// Whether an argument leaves out rows that others take.
    pub(crate) fn has_conditions(&self) -> bool {
        self.conditions.iter().any(|terms| !terms.is_empty())
    }

    /// The conditions of the arguments; empty when none has one.
    fn argument_filters(&self, source: &Source) -> Result<Vec<Option<FieldFilter>>> {
        if !self.has_conditions() {
            return Ok(Vec::new());
        }
        let filter = |terms: &Vec<FieldTerm>| {
            if terms.is_empty() { Ok(None) } else { FieldFilter::new(terms, source).map(Some) }
        };
        self.conditions.iter().map(filter).collect()
    }

    /// The codes of the arguments that are tags, for all series.
    fn tag_arguments(&self, source: &Source) -> Vec<Option<TagValues>> {
        if !self.arguments.iter().any(|argument| matches!(argument, ArgumentPlace::Tag(_))) {
            return Vec::new();
        }
        let tags = self.arguments.iter().map(|argument| match argument {
            ArgumentPlace::Tag(tag) => Some(source.set.tag_column(*tag)),
            _ => None,
        });
        tags.collect()
    }

    /// Whether an argument is the time.
    pub(crate) fn is_time(&self, argument: usize) -> bool {
        matches!(self.arguments[argument], ArgumentPlace::Time)
    }

    /// Per argument its position in the scan; `None` for the time and for tags.
    pub(crate) fn positions(&self, source: &Source) -> Result<Vec<Option<usize>>> {
        let positions = self.arguments.iter().map(|argument| match argument {
            ArgumentPlace::Time | ArgumentPlace::Tag(_) => Ok(None),
            ArgumentPlace::Field(field) => source.field_position(*field).map(Some),
        });
        positions.collect()
    }

    /// A scan that serves rollups where the grouping can use them.
    fn scan<'a>(&self, plan: &SelectPlan, source: &'a Source, context: &ExecContext<'_>) -> Result<SeriesScan<'a>> {
        let scan = source.set.scan(&source.fields, source.range);
        Ok(match rollup_use(self, plan, source, context.options.rollups)? {
            Some(uses) => scan.with_rollups(uses),
            None => scan,
        })
    }
}

/// The condition and the value of `CASE WHEN condition THEN value END`, which is what `FILTER` becomes.
fn split_condition(expr: &Expr) -> (Option<&Expr>, &Expr) {
    match expr {
        Expr::Case { branches, otherwise } => match (branches.as_slice(), &**otherwise) {
            ([(condition, value)], Expr::Literal(Scalar::Null, _)) => (Some(condition), value),
            _ => (None, expr),
        },
        _ => (None, expr),
    }
}

/// Number of sections whose rollups stand in for rows of a query, for `EXPLAIN`.
pub(crate) fn rollup_sections(plan: &SelectPlan, table: &TableSnapshot, context: &ExecContext<'_>) -> Result<usize> {
    let grouping = plan.aggregation.as_ref().and_then(|aggregation| SeriesGrouping::of(plan, aggregation));
    let Some(grouping) = grouping else { return Ok(0) };
    let source = Source::open(plan, table)?;
    Ok(grouping.scan(plan, &source, context)?.rollup_section_count())
}

/// Whether a grouping is of the kind that this module runs.
pub(crate) fn groups_by_series(plan: &SelectPlan, aggregation: &Aggregation) -> bool {
    SeriesGrouping::of(plan, aggregation).is_some()
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
    let scan = grouping.scan(plan, source, context)?;
    let wanted_ends = WantedEnds::of(grouping, plan, source.set.table().schema());
    let reads_presence = wants_presence_only(grouping, plan);
    let reads_little = wanted_ends.is_some() || reads_presence || scan.rollup_section_count() > 0;
    let work = if reads_little { Work::States } else { Work::Values };
    drop(scan);
    let partitions = source.partitions(context.threads(), work);
    let tag_arguments = grouping.tag_arguments(source);
    let surroundings = Surroundings { source, filter: &filter, tags: &tags, tag_arguments: &tag_arguments };
    let work = |series: Range<usize>| {
        let scan = grouping.scan(plan, source, context)?;
        let mut worker = Worker::new(grouping, &surroundings, scan, series.clone(), context)?;
        let done = match &wanted_ends {
            Some(wanted) => worker.run_ends(wanted, series, context),
            None if reads_presence => worker.run_presence(series, context),
            None => worker.run(series, context),
        };
        let part = worker.finish(context);
        done.map(|()| part)
    };
    let parts = context.timed(Step::Scan, || context.map(partitions, work))?;
    context.timed(Step::Merge, || SeriesGroups::new(&grouping.layout, tags, parts, context))
}

/// What the workers of a grouping share.
pub(super) struct Surroundings<'a> {
    pub(super) source: &'a Source,
    filter: &'a FieldFilter,
    pub(super) tags: &'a TagGroups,
    /// Codes per series of the arguments that are tags; empty when none is.
    tag_arguments: &'a [Option<TagValues>],
}

/// The work of one thread.
pub(super) struct Worker<'a> {
    grouping: &'a SeriesGrouping,
    pub(super) shared: &'a Surroundings<'a>,
    pub(super) scan: SeriesScan<'a>,
    /// Per tag group the number that this worker gave it, or [`NO_GROUP`].
    local_groups: Vec<u32>,
    index: StateIndex,
    /// Tag group and bucket per state, when the index is sparse; tag group per local group when it is dense.
    keys: Vec<(u32, i64)>,
    pub(super) states: GroupStates,
    pub(super) arguments: SeriesArguments,
    runs: Vec<(usize, Range<usize>)>,
    group_bytes: u64,
    memory: MemoryHolder,
    pub(super) counted: ScanTrace,
}

impl<'a> Worker<'a> {
    fn new(
        grouping: &'a SeriesGrouping,
        shared: &'a Surroundings<'a>,
        scan: SeriesScan<'a>,
        series: Range<usize>,
        context: &ExecContext<'_>,
    ) -> Result<Self> {
        let source = shared.source;
        let positions = grouping.positions(source)?;
        let groups = shared.tags.count_in(series.clone()) as u64;
        let mut states = GroupStates::new(&grouping.layout, 0);
        let mut keys = Vec::new();
        let group_bytes = group_bytes(&grouping.layout);
        let mut memory = context.memory.holder();
        let index = match (grouping.bucket, bucket_range(grouping, source)) {
            (None, _) => StateIndex::Dense { first: 0, buckets: 1 },
            (Some(_), Some((first, buckets))) if groups.saturating_mul(buckets) <= DENSE_STATES_MAX => {
                StateIndex::Dense { first, buckets: buckets as usize }
            }
            (Some(_), bounds) => {
                // Every row in a group of its own is the most; no more than the statement may have.
                let rows = series.map(|index| source.values_estimate(index)).sum::<u64>();
                let most = bounds.map_or(rows, |(_, buckets)| rows.min(groups.saturating_mul(buckets)));
                let expected = most.min(context.memory.limit_bytes() / group_bytes) as usize;
                states.reserve(expected);
                keys.reserve_exact(expected);
                StateIndex::Sparse(HashMap::with_capacity(expected))
            }
        };
        if let StateIndex::Dense { buckets, .. } = index {
            context.check_groups(groups as usize)?;
            memory.set(groups.saturating_mul(buckets as u64).saturating_mul(group_bytes))?;
            states.resize(groups as usize * buckets);
        }
        Ok(Self {
            grouping,
            shared,
            scan,
            local_groups: vec![NO_GROUP; shared.tags.len()],
            index,
            keys,
            states,
            arguments: SeriesArguments {
                series: 0,
                positions,
                filters: grouping.argument_filters(source)?,
                tags: Vec::new(),
            },
            runs: Vec::new(),
            group_bytes,
            memory,
            counted: ScanTrace::default(),
        })
    }

    fn run(&mut self, series: Range<usize>, context: &ExecContext<'_>) -> Result<()> {
        for index in series {
            context.cancellation.check()?;
            self.arguments.enter(index, self.shared.tag_arguments);
            let group = self.shared.tags.group_of(index);
            let local = match self.index {
                StateIndex::Dense { .. } => self.local_group(group),
                StateIndex::Sparse(_) => group,
            };
            self.scan.open(index)?;
            loop {
                context.cancellation.check()?;
                let before = context.trace.map(|_| self.scan.counters());
                let Some(piece) = self.scan.next_piece()? else { break };
                let mut is_skipped = false;
                let mut sink = Sink {
                    bucket: self.grouping.bucket,
                    index: &mut self.index,
                    keys: &mut self.keys,
                    states: &mut self.states,
                    arguments: &self.arguments,
                    runs: &mut self.runs,
                };
                match piece {
                    Piece::Rollup(mut piece) => {
                        sink.add_rollups(&mut piece, local)?;
                        if before.is_some() {
                            self.counted.rollup_rows += rows_of(&piece);
                        }
                    }
                    Piece::Block(mut block) => match self.shared.filter.select(&mut block)? {
                        Selection::Nothing => is_skipped = true,
                        selection => sink.add(&mut block, selection.mask(), local)?,
                    },
                }
                self.memory.set(self.states.rows.len() as u64 * self.group_bytes + self.states.summary_bytes())?;
                if let Some(before) = before {
                    self.counted.add_block(&self.scan, before, is_skipped);
                }
            }
            context.check_groups(self.keys.len())?;
        }
        Ok(())
    }

    /// Looks whether each series has a row, and adds its tags then.
    fn run_presence(&mut self, series: Range<usize>, context: &ExecContext<'_>) -> Result<()> {
        for index in series {
            context.cancellation.check()?;
            let state = self.local_group(self.shared.tags.group_of(index)) as usize;
            self.scan.open(index)?;
            if self.scan.next_piece()?.is_none() {
                continue;
            }
            self.states.rows[state] += 1;
            self.arguments.enter(index, self.shared.tag_arguments);
            for (column, tag) in self.states.columns.iter_mut().zip(&self.arguments.tags) {
                if let (ColumnStates::Summary(states), ArgumentTag::Code(code)) = (column, tag) {
                    states.add_key(state, *code, 1);
                }
            }
            self.memory.set(self.states.rows.len() as u64 * self.group_bytes + self.states.summary_bytes())?;
        }
        Ok(())
    }

    /// The number that this worker gives a tag group.
    pub(super) fn local_group(&mut self, group: u32) -> u32 {
        let local = &mut self.local_groups[group as usize];
        if *local == NO_GROUP {
            *local = self.keys.len() as u32;
            self.keys.push((group, 0));
        }
        *local
    }

    fn finish(self, context: &ExecContext<'_>) -> GroupPart {
        if let Some(trace) = context.trace {
            trace.add_scan(self.counted, &self.scan);
        }
        let groups = match self.index {
            StateIndex::Sparse(index) => {
                let bytes = index.allocation_size() as u64;
                discard(index, bytes);
                self.keys
            }
            StateIndex::Dense { first, buckets } => {
                let mut groups = Vec::with_capacity(self.keys.len() * buckets);
                for (group, _) in &self.keys {
                    groups.extend((0..buckets as i64).map(|bucket| (*group, first + bucket)));
                }
                groups
            }
        };
        GroupPart { groups, states: self.states, memory: self.memory }
    }
}

/// Rows that a piece stands for.
pub(super) fn rows_of(piece: &RollupPiece<'_>) -> u64 {
    piece.row_counts().iter().map(|&rows| u64::from(rows)).sum()
}

/// First bucket and number of buckets that the rows can fall into.
fn bucket_range(grouping: &SeriesGrouping, source: &Source) -> Option<(i64, u64)> {
    let bucket = grouping.bucket?;
    let bounds = source.row_range();
    if bounds.is_empty() {
        return Some((0, 0));
    }
    let (first, last) = (bucket.ordinal(bounds.start_ns), bucket.ordinal(bounds.end_ns));
    Some((first, u64::try_from(i128::from(last) - i128::from(first) + 1).ok()?))
}
