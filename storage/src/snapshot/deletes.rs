//! The deletes of a table, seen from its series: which parts of a time range a section still shows.
//!
//! A condition is evaluated once per value of its tag, so that a series is judged by looking up its codes. Rows in
//! memory are never affected: a delete flushes first.

use std::sync::Arc;

use super::index::SeriesIndex;
use crate::types::{TableSchema, TimeRange, Tombstone};

/// The deletes of a table over the series of one index.
#[derive(Debug)]
pub(crate) struct Deletes {
    deletes: Vec<Delete>,
}

#[derive(Debug)]
struct Delete {
    commit_order: u64,
    range: TimeRange,
    /// Per condition the position of the tag and whether each of its codes is accepted.
    accepted: Vec<(usize, Vec<bool>)>,
}

impl Deletes {
    /// `None` when nothing is deleted.
    pub(crate) fn new(tombstones: &[Arc<Tombstone>], schema: &TableSchema, index: &SeriesIndex) -> Option<Self> {
        let deletes: Vec<_> = tombstones.iter().filter_map(|tombstone| Delete::new(tombstone, schema, index)).collect();
        (!deletes.is_empty()).then_some(Self { deletes })
    }

    /// The parts of `range` that a section of `commit_order` shows of a series of the index, in time order.
    pub(crate) fn remaining(
        &self,
        index: &SeriesIndex,
        series: u32,
        commit_order: u64,
        range: TimeRange,
    ) -> Vec<TimeRange> {
        let mut parts = vec![range];
        for delete in &self.deletes {
            if delete.commit_order >= commit_order && delete.accepts(index, series) {
                parts = parts.into_iter().flat_map(|part| subtract(part, delete.range)).collect();
            }
        }
        parts
    }
}

impl Delete {
    /// `None` when no series of the index is affected.
    fn new(tombstone: &Tombstone, schema: &TableSchema, index: &SeriesIndex) -> Option<Self> {
        let mut accepted = Vec::with_capacity(tombstone.conditions.len());
        for condition in &tombstone.conditions {
            match schema.tags.iter().position(|tag| tag.id == condition.tag) {
                Some(tag) => {
                    let codes = index.tags[tag].evaluate(|value| condition.accepts(value));
                    if !codes.contains(&true) {
                        return None;
                    }
                    accepted.push((tag, codes));
                }
                None if condition.accepts_null => {}
                None => return None,
            }
        }
        Some(Self { commit_order: tombstone.commit_order, range: tombstone.range, accepted })
    }

    fn accepts(&self, index: &SeriesIndex, series: u32) -> bool {
        self.accepted.iter().all(|(tag, accepted)| accepted[index.tags[*tag].codes[series as usize] as usize])
    }
}

/// What is left of `part` without `deleted`.
fn subtract(part: TimeRange, deleted: TimeRange) -> impl Iterator<Item = TimeRange> {
    let (before, after) = if part.overlaps(deleted) {
        let before = deleted.start_ns.checked_sub(1).map(|end_ns| TimeRange { start_ns: part.start_ns, end_ns });
        let after = deleted.end_ns.checked_add(1).map(|start_ns| TimeRange { start_ns, end_ns: part.end_ns });
        (before, after)
    } else {
        (Some(part), None)
    };
    [before, after].into_iter().flatten().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_has_no_deleted_time_and_every_other_one() {
        let ends = [i64::MIN, i64::MIN + 1, -3, 0, 1, 5, i64::MAX - 1, i64::MAX];
        let ranges = || ends.iter().flat_map(|&a| ends.iter().map(move |&b| TimeRange { start_ns: a, end_ns: b }));
        for part in ranges().filter(|range| !range.is_empty()) {
            for deleted in ranges().filter(|range| !range.is_empty()) {
                let left: Vec<_> = subtract(part, deleted).collect();
                for time in ends {
                    let expected = part.contains(time) && !deleted.contains(time);
                    assert_eq!(left.iter().filter(|range| range.contains(time)).count(), usize::from(expected));
                }
            }
        }
    }
}
