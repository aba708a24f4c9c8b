//! Which runs of which partition to merge.
//!
//! A run is what one flush or one compaction left in a partition. While a partition grows, runs are merged when at least
//! [`FAN_IN`] of them stand at the young end and the oldest of these has at most half the bytes of the others together:
//! each row is then rewritten about log4(n) times for n flushes of its partition, whatever the order of its rows. A partition that
//! was left alone for [`IDLE_NS`] is merged to one run when that costs little compared with what it saves. Runs with
//! deleted rows are rewritten so that their space comes back.

use std::collections::{BTreeMap, HashMap};

use super::tombstones::affects;
use crate::manifest::{ManifestState, SegmentMeta};
use crate::types::{TombstoneCause, partition_of};

/// Runs that are merged at once while a partition grows.
const FAN_IN: usize = 4;
/// A partition that got no run for this long is not expected to grow.
const IDLE_NS: i64 = 10 * 60 * 1_000_000_000;
/// An idle partition is merged when its younger runs have at least this part of the bytes of the oldest: below it, the
/// rewrite of a large run for a few late rows costs more than it saves.
const IDLE_PART: u64 = 8;

/// How much the caller wants to be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What pays.
    Background,
    /// Every partition to one run.
    Full,
}

/// A partition: its width and its first time. Tables of one width share their compactions, so that thousands of small
/// tables do not become thousands of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PartitionKey {
    pub(super) width_ns: i64,
    pub(super) start_ns: i64,
}

/// Runs of one partition that are to become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CompactionChoice {
    pub(super) partition: PartitionKey,
    /// All runs of the partition from this commit order on, ...
    pub(super) first_order: u64,
    /// ... up to this one.
    pub(super) last_order: u64,
}

/// What the sections of one commit order hold of a partition.
#[derive(Debug, Clone, Copy)]
struct Run {
    commit_order: u64,
    byte_len: u64,
    /// Whether all of its segments could be opened.
    is_readable: bool,
    has_deleted: bool,
}

/// Remembers between choices when partitions changed and which choices are not to be made again.
#[derive(Debug, Default)]
pub(crate) struct Compactor {
    /// Per partition its youngest run and when that was first seen.
    seen: HashMap<PartitionKey, (u64, i64)>,
}

impl Compactor {
    /// The next thing to do; `None` when nothing pays. Segments that are not readable are left where they are, and nothing
    /// is merged across them.
    pub(super) fn choose(
        &mut self,
        state: &ManifestState,
        effort: Effort,
        now_ns: i64,
        is_readable: &dyn Fn(&SegmentMeta) -> bool,
    ) -> Option<CompactionChoice> {
        let partitions = runs_by_partition(state, is_readable);
        self.seen.retain(|key, _| partitions.contains_key(key));
        let mut best: Option<(usize, CompactionChoice)> = None;
        for (key, runs) in &partitions {
            let Some(newest) = runs.last() else { continue };
            let seen = self.seen.entry(*key).or_insert((newest.commit_order, now_ns));
            if seen.0 != newest.commit_order {
                *seen = (newest.commit_order, now_ns);
            }
            let is_idle = now_ns.saturating_sub(seen.1) >= IDLE_NS;
            let Some((first, last)) = select(runs, effort, is_idle) else { continue };
            let count = last - first + 1;
            if best.as_ref().is_none_or(|(most, _)| count > *most) {
                let (first_order, last_order) = (runs[first].commit_order, runs[last].commit_order);
                best = Some((count, CompactionChoice { partition: *key, first_order, last_order }));
            }
        }
        best.map(|(_, choice)| choice)
    }
}

/// First and last of the runs to merge.
fn select(runs: &[Run], effort: Effort, is_idle: bool) -> Option<(usize, usize)> {
    let last = runs.len() - 1;
    let are_readable = |first: usize| runs[first..].iter().all(|run| run.is_readable);
    let younger_bytes = |first: usize| runs[first + 1..].iter().map(|run| run.byte_len).sum::<u64>();
    let choice = match effort {
        Effort::Full if last > 0 => Some(0),
        _ if is_idle && last > 0 && younger_bytes(0).saturating_mul(IDLE_PART) >= runs[0].byte_len => Some(0),
        _ => (0..runs.len()).find(|&first| {
            // Four runs of one size, or what comes near it.
            runs.len() - first >= FAN_IN && younger_bytes(first) >= 2 * runs[first].byte_len
        }),
    };
    if let Some(first) = choice {
        // Behind the last run that cannot be read.
        let first = (first..last).find(|&first| are_readable(first));
        if let Some(first) = first.filter(|first| effort == Effort::Full || is_idle || last - first + 1 >= FAN_IN) {
            return Some((first, last));
        }
    }
    // A run whose rows were deleted, alone.
    let with_deleted = runs.iter().position(|run| run.has_deleted && run.is_readable)?;
    Some((with_deleted, with_deleted))
}

fn runs_by_partition(
    state: &ManifestState,
    is_readable: &dyn Fn(&SegmentMeta) -> bool,
) -> BTreeMap<PartitionKey, Vec<Run>> {
    let mut partitions: BTreeMap<PartitionKey, Vec<Run>> = BTreeMap::new();
    let mut segments: Vec<_> = state.segments.values().collect();
    segments.sort_by_key(|segment| segment.commit_order);
    for segment in segments {
        let mut here: BTreeMap<PartitionKey, (u64, bool)> = BTreeMap::new();
        for section in &segment.sections {
            let Some(table) = state.tables.get(&section.table) else { continue };
            let width_ns = table.options.partition_ns;
            let key = PartitionKey { width_ns, start_ns: partition_of(section.time_range.start_ns, width_ns).start_ns };
            let has_deleted = state
                .tombstones
                .values()
                .any(|tombstone| tombstone.cause == TombstoneCause::Delete && affects(tombstone, segment, section));
            let entry = here.entry(key).or_default();
            entry.0 += section.byte_len;
            entry.1 |= has_deleted;
        }
        for (key, (byte_len, has_deleted)) in here {
            let runs = partitions.entry(key).or_default();
            let is_readable = is_readable(segment);
            match runs.last_mut().filter(|run| run.commit_order == segment.commit_order) {
                Some(run) => {
                    run.byte_len += byte_len;
                    run.is_readable &= is_readable;
                    run.has_deleted |= has_deleted;
                }
                None => runs.push(Run { commit_order: segment.commit_order, byte_len, is_readable, has_deleted }),
            }
        }
    }
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(byte_len: u64) -> Run {
        Run { commit_order: 0, byte_len, is_readable: true, has_deleted: false }
    }

    /// Feeds flushes of one size; returns bytes rewritten per byte flushed and the most runs seen.
    fn simulate(flushes: u64) -> (f64, usize) {
        let mut runs: Vec<Run> = Vec::new();
        let (mut rewritten, mut most) = (0, 0);
        for _ in 0..flushes {
            runs.push(run(100));
            while let Some((first, last)) = select(&runs, Effort::Background, false) {
                let byte_len = runs[first..=last].iter().map(|run| run.byte_len).sum();
                rewritten += byte_len;
                runs.splice(first..=last, [run(byte_len)]);
            }
            most = most.max(runs.len());
        }
        (rewritten as f64 / (100 * flushes) as f64, most)
    }

    #[test]
    fn each_row_is_rewritten_at_most_log4_times_and_runs_stay_few() {
        for (flushes, levels) in [(4, 1.0), (16, 2.0), (64, 3.0), (1024, 5.0)] {
            let (amplification, most) = simulate(flushes);
            assert!(amplification <= levels, "{flushes} flushes: {amplification}");
            assert!(most as f64 <= 3.0 * levels + 1.0, "{flushes} flushes: {most} runs");
        }
    }

    #[test]
    fn an_idle_partition_is_merged_unless_a_large_run_is_rewritten_for_little() {
        let select =
            |sizes: &[u64]| select(&sizes.iter().copied().map(run).collect::<Vec<_>>(), Effort::Background, true);
        assert_eq!(select(&[100, 100]), Some((0, 1)));
        assert_eq!(select(&[1000, 10]), None);
        assert_eq!(select(&[100]), None);
    }

    #[test]
    fn nothing_is_merged_across_a_run_that_cannot_be_read() {
        let runs = |unreadable: usize| -> Vec<Run> {
            (0..6).map(|position| Run { is_readable: position != unreadable, ..run(100) }).collect()
        };
        assert_eq!(select(&runs(6), Effort::Full, false), Some((0, 5)));
        assert_eq!(select(&runs(1), Effort::Full, false), Some((2, 5)));
        assert_eq!(select(&runs(5), Effort::Full, false), None);
        let mut deleted = runs(1);
        deleted[1].has_deleted = true;
        assert_eq!(select(&deleted[..2], Effort::Full, false), None);
    }

    #[test]
    fn a_run_with_deleted_rows_is_rewritten_alone() {
        let mut runs = [run(100), run(10)];
        runs[1].has_deleted = true;
        assert_eq!(select(&runs, Effort::Background, false), Some((1, 1)));
    }
}
