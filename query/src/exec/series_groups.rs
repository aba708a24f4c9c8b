//! The groups of a grouping by series, put together from what the threads have.
//!
//! Series belong to one thread each. Where the tag groups of the threads have no series in common either, as with a tag
//! that names hosts, the states stay where they are and only the columns made of them are joined; else groups are looked
//! up in a table and their states merged.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, TimestampNanosecondArray};
use arrow::compute::{concat, interleave};
use hashbrown::HashMap;

use super::context::ExecContext;
use super::discard::discard;
use super::series_aggregate::{SeriesGrouping, SeriesKeyPart};
use super::state_size::group_bytes;
use super::states::{GroupStates, Layout, Output};
use super::tag_groups::TagGroups;
use crate::error::{Error, Result};
use crate::memory::MemoryHolder;
use crate::plan::{Aggregation, Bucket, Expr, SelectPlan};

/// What one thread has.
#[derive(Debug)]
pub(super) struct GroupPart {
    /// Per state its tag group and bucket; states without rows are no groups.
    pub(super) groups: Vec<(u32, i64)>,
    pub(super) states: GroupStates,
    /// What they take.
    pub(super) memory: MemoryHolder,
}

impl Drop for GroupPart {
    fn drop(&mut self) {
        let bytes = self.memory.bytes();
        let states = GroupStates {
            rows: std::mem::take(&mut self.states.rows),
            columns: std::mem::take(&mut self.states.columns),
        };
        discard((std::mem::take(&mut self.groups), states), bytes);
    }
}

/// The result of a grouping: groups by tag group and bucket.
#[derive(Debug)]
pub(crate) struct SeriesGroups {
    tags: TagGroups,
    /// No two have a group in common.
    parts: Vec<GroupPart>,
}

/// A group and where its state is.
#[derive(Debug, Clone, Copy)]
struct Place {
    group: u32,
    part: u32,
    state: u32,
    ordinal: i64,
}

/// A column of the result.
#[derive(Debug, Clone, Copy)]
enum GroupColumn<'a> {
    Key(&'a SeriesKeyPart),
    Output(&'a Output),
}

/// Whether groups stand in the order that the query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupOrder {
    /// They do.
    Wanted,
    /// Not surely.
    Any,
}

/// Values of all columns together from which on threads make them.
const VALUES_FOR_THREADS_MIN: usize = if cfg!(test) { 64 } else { 1 << 14 };

/// Groups whose columns a thread makes without a look at the token.
const PLACES_AT_ONCE: usize = if cfg!(test) { 1 << 8 } else { 1 << 18 };

/// Groups that are merged between two looks at the token.
const GROUPS_AT_ONCE: usize = 1 << 15;

impl SeriesGroups {
    /// Puts the parts of all threads together.
    pub(super) fn new(
        layout: &Layout,
        tags: TagGroups,
        parts: Vec<GroupPart>,
        context: &ExecContext<'_>,
    ) -> Result<Self> {
        if !are_apart(&parts, tags.len()) {
            let merged = merge(layout, parts, context)?;
            return Ok(Self { tags, parts: vec![merged] });
        }
        let groups = parts.iter().map(|part| part.states.rows.iter().filter(|rows| **rows > 0).count());
        context.check_groups(groups.sum())?;
        Ok(Self { tags, parts })
    }

    /// The columns of the groups, keys first, and their number; in an order that the query's ORDER BY likes.
    pub(crate) fn columns(
        &self,
        plan: &SelectPlan,
        aggregation: &Aggregation,
        grouping: &SeriesGrouping,
        context: &ExecContext<'_>,
    ) -> Result<(Vec<ArrayRef>, usize, GroupOrder)> {
        let places = self.places(plan, aggregation, grouping, context)?;
        if aggregation.keys.is_empty() && places.is_empty() {
            let columns = GroupStates::new(&grouping.layout, 1).finish(&grouping.layout, &[0]);
            return Ok((columns, 1, GroupOrder::Any));
        }
        // Slices, so that no thread goes on for long without a look at the token.
        let slices: Vec<&[Place]> = match places.is_empty() {
            true => vec![&[]],
            false => places.chunks(PLACES_AT_ONCE).collect(),
        };
        let columns = grouping.keys.iter().map(GroupColumn::Key);
        let columns: Vec<_> = columns.chain(grouping.layout.outputs.iter().map(GroupColumn::Output)).collect();
        let pieces = columns.iter().flat_map(|column| slices.iter().map(move |slice| (column, *slice)));
        let finish = |(column, slice): (&GroupColumn<'_>, &[Place])| {
            context.cancellation.check()?;
            match column {
                GroupColumn::Key(SeriesKeyPart::Tag(tag)) => {
                    Ok(self.tags.column(*tag, slice.iter().map(|place| place.group)))
                }
                GroupColumn::Key(SeriesKeyPart::Bucket) => {
                    Ok(bucket_column(grouping.bucket, slice.iter().map(|place| place.ordinal)))
                }
                GroupColumn::Output(output) => self.finish_slice(output, slice),
            }
        };
        let mut pieces: Vec<ArrayRef> = match columns.len() * places.len() >= VALUES_FOR_THREADS_MIN {
            true => context.map(pieces.collect(), finish)?,
            false => pieces.map(finish).collect::<Result<_>>()?,
        };
        if slices.len() > 1 {
            let joined = pieces.chunks(slices.len()).map(|pieces| {
                let pieces = pieces.to_vec();
                context.long_step(places.len(), move || {
                    concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>()).map_err(Error::arrow)
                })
            });
            pieces = joined.collect::<Result<_>>()?;
        }
        Ok((pieces, places.len(), self.order(plan, grouping)))
    }

    /// What a function comes to in some groups.
    fn finish_slice(&self, output: &Output, places: &[Place]) -> Result<ArrayRef> {
        // Per part its states in the order of the places, and per place where to find it among them.
        let mut states: Vec<Vec<u32>> = vec![Vec::new(); self.parts.len()];
        let mut picks = Vec::with_capacity(places.len());
        for place in places {
            let states = &mut states[place.part as usize];
            picks.push((place.part as usize, states.len()));
            states.push(place.state);
        }
        let mut alone = self.parts.iter().zip(&states).filter(|(_, states)| states.len() == places.len());
        if let Some((part, states)) = alone.next() {
            return Ok(part.states.finish_one(output, states));
        }
        let parts = self.parts.iter().zip(&states);
        let parts: Vec<ArrayRef> = parts.map(|(part, states)| part.states.finish_one(output, states)).collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        interleave(&parts, &picks).map_err(Error::arrow)
    }

    /// The groups with rows, in order.
    fn places(
        &self,
        plan: &SelectPlan,
        aggregation: &Aggregation,
        grouping: &SeriesGrouping,
        context: &ExecContext<'_>,
    ) -> Result<Vec<Place>> {
        let total = self.parts.iter().map(|part| part.groups.len()).sum();
        let mut places = Vec::with_capacity(total);
        for (part, GroupPart { groups, states, .. }) in self.parts.iter().enumerate() {
            // A grouping without keys has one group, also when no row is in it.
            let is_group = |rows: u64| rows > 0 || aggregation.keys.is_empty();
            for (state, (&(group, ordinal), rows)) in groups.iter().zip(&states.rows).enumerate() {
                if state.is_multiple_of(GROUPS_AT_ONCE) {
                    context.cancellation.check()?;
                }
                if is_group(*rows) {
                    places.push(Place { group, part: part as u32, state: state as u32, ordinal });
                }
            }
        }
        let by_bucket = is_bucket_first(plan, grouping);
        let is_reversed = is_reversed(plan);
        context.long_step(places.len(), move || Ok(ordered(places, by_bucket, is_reversed)))
    }

    /// Whether `places` gives the order of the query.
    fn order(&self, plan: &SelectPlan, grouping: &SeriesGrouping) -> GroupOrder {
        let mut parts: Vec<SeriesKeyPart> = self.tags.tags().iter().map(|tag| SeriesKeyPart::Tag(*tag)).collect();
        if grouping.bucket.is_some() {
            let position = if is_bucket_first(plan, grouping) { 0 } else { parts.len() };
            parts.insert(position, SeriesKeyPart::Bucket);
        }
        let is_reversed = is_reversed(plan);
        let mut wanted = plan.order.iter().zip(parts.iter().map(Some).chain(std::iter::repeat(None)));
        let fits = wanted.all(|(key, part)| {
            // A NULL stands behind all values.
            let is_null_right = part == Some(&SeriesKeyPart::Bucket) || key.nulls_first == is_reversed;
            let column = match plan.projection[key.column].expr {
                Expr::Column(column, _) => grouping.keys.get(column),
                _ => None,
            };
            column.is_some() && column == part && key.descending == is_reversed && is_null_right
        });
        if fits { GroupOrder::Wanted } else { GroupOrder::Any }
    }
}

/// The places by group and bucket, or by bucket and group.
fn ordered(mut places: Vec<Place>, by_bucket: bool, is_reversed: bool) -> Vec<Place> {
    let key = |place: &Place| (place.group, place.ordinal);
    if !places.is_sorted_by_key(key) {
        places.sort_unstable_by_key(key);
    }
    if by_bucket {
        places = by_ordinal(places);
    }
    if is_reversed {
        places.reverse();
    }
    places
}

/// Whether no tag group is in two parts.
fn are_apart(parts: &[GroupPart], groups: usize) -> bool {
    let mut part_of = vec![usize::MAX; groups];
    parts.len() < 2
        || parts.iter().enumerate().all(|(part, GroupPart { groups, .. })| {
            groups.iter().all(|(group, _)| {
                let known = &mut part_of[*group as usize];
                let is_own = *known == usize::MAX || *known == part;
                *known = part;
                is_own
            })
        })
}

fn merge(layout: &Layout, parts: Vec<GroupPart>, context: &ExecContext<'_>) -> Result<GroupPart> {
    let most = parts.iter().map(|part| part.groups.len()).sum();
    let mut index: HashMap<(u32, i64), u32> = HashMap::with_capacity(most);
    let mut groups: Vec<(u32, i64)> = Vec::with_capacity(most);
    let mut merged = GroupStates::new(layout, 0);
    merged.reserve(most);
    let mut memory = context.memory.holder();
    // What a part takes is given back when it is merged.
    for part in parts {
        let states = &part.states;
        let mut pairs = Vec::with_capacity(part.groups.len());
        for (state, key) in part.groups.iter().enumerate().filter(|(state, _)| states.rows[*state] > 0) {
            if pairs.len().is_multiple_of(GROUPS_AT_ONCE) {
                context.cancellation.check()?;
            }
            let group = *index.entry(*key).or_insert_with(|| {
                groups.push(*key);
                (groups.len() - 1) as u32
            });
            pairs.push((group as usize, state));
        }
        context.check_groups(groups.len())?;
        memory.set(groups.len() as u64 * group_bytes(layout))?;
        merged.resize(groups.len());
        for pairs in pairs.chunks(GROUPS_AT_ONCE) {
            context.cancellation.check()?;
            for &(group, state) in pairs {
                merged.merge(group, states, state);
            }
        }
    }
    Ok(GroupPart { groups, states: merged, memory })
}

/// The places by their bucket, those of one bucket as they stand: counted where buckets are few.
fn by_ordinal(mut places: Vec<Place>) -> Vec<Place> {
    let (Some(first), Some(last)) =
        (places.iter().map(|place| place.ordinal).min(), places.iter().map(|place| place.ordinal).max())
    else {
        return places;
    };
    let buckets = last.abs_diff(first).saturating_add(1);
    if buckets > places.len() as u64 {
        places.sort_by_key(|place| place.ordinal);
        return places;
    }
    let bucket = |place: &Place| place.ordinal.abs_diff(first) as usize;
    // Where the places of each bucket start.
    let mut starts = vec![0; buckets as usize + 1];
    places.iter().for_each(|place| starts[bucket(place) + 1] += 1);
    (1..starts.len()).for_each(|index| starts[index] += starts[index - 1]);
    let mut ordered = places.clone();
    for place in places {
        let next = &mut starts[bucket(&place)];
        ordered[*next] = place;
        *next += 1;
    }
    ordered
}

/// Whether the first sort key is the bucket.
fn is_bucket_first(plan: &SelectPlan, grouping: &SeriesGrouping) -> bool {
    plan.order.first().is_some_and(|key| match plan.projection[key.column].expr {
        Expr::Column(column, _) => grouping.keys.get(column) == Some(&SeriesKeyPart::Bucket),
        _ => false,
    })
}

/// Whether all sort keys descend.
fn is_reversed(plan: &SelectPlan) -> bool {
    !plan.order.is_empty() && plan.order.iter().all(|key| key.descending)
}

fn bucket_column(bucket: Option<Bucket>, ordinals: impl Iterator<Item = i64>) -> ArrayRef {
    let start = |ordinal| bucket.map_or(0, |bucket| bucket.start(ordinal));
    Arc::new(TimestampNanosecondArray::from_iter_values(ordinals.map(start)))
}
