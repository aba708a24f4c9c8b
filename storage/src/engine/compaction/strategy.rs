//! Which runs of which partition to merge.
//!
//! A run is what one flush or one compaction left in a partition. While a partition grows, runs are merged when at least
//! [`FAN_IN`] of them stand at the young end and the oldest of these has at most half the bytes of the others together:
//! each row is then rewritten about log4(n) times for n flushes of its partition, whatever the order of its rows. A partition that
//! was left alone for [`IDLE_NS`] is merged to one run when that costs little compared with what it saves. Runs with
//! deleted rows are rewritten so that their space comes back.
//!
//! Tables whose rows of a partition have left the hot tier are chosen for by themselves: what is merged with a warm run
//! becomes warm. Late rows are hot runs above it, merged among themselves as ever, and into the warm run when they have
//! [`LATE_PART`] of its bytes: a late row costs at most that many rewritten ones, and one. Nothing makes warm rows hot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::tombstones::affects;
use crate::manifest::{ManifestState, SectionMeta, SegmentMeta};
use crate::types::{TableId, Tier, TombstoneCause, partition_of};

/// Runs that are merged at once while a partition grows.
const FAN_IN: usize = 4;
/// A partition that got no run for this long is not expected to grow.
const IDLE_NS: i64 = 10 * 60 * 1_000_000_000;
/// An idle partition is merged when its younger runs have at least this part of the bytes of the oldest: below it, the
/// rewrite of a large run for a few late rows costs more than it saves.
const IDLE_PART: u64 = 8;
/// A warm run is rewritten when the hot runs above it have at least this part of its bytes.
const LATE_PART: u64 = 8;

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

impl PartitionKey {
    /// That of a section; `None` when its table is gone.
    pub(super) fn of(state: &ManifestState, section: &SectionMeta) -> Option<Self> {
        let width_ns = state.tables.get(&section.table)?.options.partition_ns;
        Some(Self { width_ns, start_ns: partition_of(section.time_range.start_ns, width_ns).start_ns })
    }
}

/// The tables whose rows of a partition reach the same tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Group {
    partition: PartitionKey,
    /// The coldest in which each of them has rows there.
    tier: Tier,
}

/// Runs of one partition that are to become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CompactionChoice {
    pub(super) partition: PartitionKey,
    /// All runs of the partition from this commit order on, ...
    pub(super) first_order: u64,
    /// ... up to this one.
    pub(super) last_order: u64,
    /// The tables whose rows they are.
    pub(super) tables: BTreeSet<TableId>,
    /// The tier of the output.
    pub(super) tier: Tier,
}

/// What the sections of one commit order hold of a partition.
#[derive(Debug, Clone, Copy)]
struct Run {
    commit_order: u64,
    byte_len: u64,
    /// Those of its bytes that are in hot segments.
    hot_bytes: u64,
    /// The coldest of its segments' tiers.
    tier: Tier,
    /// Whether all of its segments could be opened.
    is_readable: bool,
    has_deleted: bool,
}

/// Remembers between choices when partitions changed and which choices are not to be made again.
#[derive(Debug, Default)]
pub(crate) struct Compactor {
    /// Per partition its youngest run and when that was first seen.
    seen: HashMap<Group, (u64, i64)>,
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
        is_claimed: &dyn Fn(PartitionKey) -> bool,
    ) -> Option<CompactionChoice> {
        let partitions = runs_by_partition(state, is_readable);
        self.seen.retain(|key, _| partitions.contains_key(key));
        let mut best: Option<(usize, CompactionChoice)> = None;
        for (key, (tables, runs)) in &partitions {
            let Some(newest) = runs.last() else { continue };
            let seen = self.seen.entry(*key).or_insert((newest.commit_order, now_ns));
            if seen.0 != newest.commit_order {
                *seen = (newest.commit_order, now_ns);
            }
            let is_idle = now_ns.saturating_sub(seen.1) >= IDLE_NS;
            if is_claimed(key.partition) {
                continue;
            }
            let selected = if key.tier == Tier::Hot {
                select(runs, effort, is_idle)
            } else {
                select_late(runs, key.tier, effort, is_idle)
            };
            let Some((first, last)) = selected else { continue };
            let count = last - first + 1;
            if best.as_ref().is_none_or(|(most, _)| count > *most) {
                let (first_order, last_order) = (runs[first].commit_order, runs[last].commit_order);
                let tier = runs[first..=last].iter().map(|run| run.tier).max().unwrap_or_default();
                let (partition, tables) = (key.partition, tables.clone());
                best = Some((count, CompactionChoice { partition, first_order, last_order, tables, tier }));
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

/// The same for tables whose rows of the partition have left the hot tier.
fn select_late(runs: &[Run], tier: Tier, effort: Effort, is_idle: bool) -> Option<(usize, usize)> {
    let last = runs.len() - 1;
    let hot_bytes: u64 = runs.iter().map(|run| run.hot_bytes).sum();
    let settled_bytes = runs.iter().map(|run| run.byte_len).sum::<u64>() - hot_bytes;
    // Rows that are on an object store are moved, not merged.
    if tier == Tier::Warm && runs.iter().all(|run| run.is_readable) {
        let is_due = hot_bytes > 0 && hot_bytes.saturating_mul(LATE_PART) >= settled_bytes;
        if is_due || effort == Effort::Full && last > 0 {
            return Some((0, last));
        }
    }
    let late = runs.iter().rposition(|run| run.tier != Tier::Hot).map_or(0, |settled| settled + 1);
    if late <= last
        && let Some((first, last)) = select(&runs[late..], effort, is_idle)
    {
        return Some((late + first, late + last));
    }
    let with_deleted = runs.iter().position(|run| run.has_deleted && run.is_readable && run.tier != Tier::Cold)?;
    Some((with_deleted, with_deleted))
}

/// The tables of each group, and their runs, oldest first.
type Runs = BTreeMap<Group, (BTreeSet<TableId>, Vec<Run>)>;

fn runs_by_partition(state: &ManifestState, is_readable: &dyn Fn(&SegmentMeta) -> bool) -> Runs {
    // The tables and partitions that have left the hot tier.
    let mut settled: HashMap<(PartitionKey, TableId), Tier> = HashMap::new();
    for segment in state.segments.values().filter(|segment| segment.tier != Tier::Hot) {
        for section in &segment.sections {
            let Some(key) = PartitionKey::of(state, section) else { continue };
            let tier = settled.entry((key, section.table)).or_default();
            *tier = (*tier).max(segment.tier);
        }
    }
    let mut partitions = Runs::new();
    let mut segments: Vec<_> = state.segments.values().collect();
    segments.sort_by_key(|segment| segment.commit_order);
    for segment in segments {
        let is_readable = is_readable(segment);
        for section in &segment.sections {
            let Some(partition) = PartitionKey::of(state, section) else { continue };
            let tier = settled.get(&(partition, section.table)).copied().unwrap_or_default();
            let has_deleted = state
                .tombstones
                .values()
                .any(|tombstone| tombstone.cause == TombstoneCause::Delete && affects(tombstone, segment, section));
            let (tables, runs) = partitions.entry(Group { partition, tier }).or_default();
            tables.insert(section.table);
            if runs.last().is_none_or(|run| run.commit_order != segment.commit_order) {
                runs.push(Run {
                    commit_order: segment.commit_order,
                    byte_len: 0,
                    hot_bytes: 0,
                    tier: Tier::Hot,
                    is_readable: true,
                    has_deleted: false,
                });
            }
            let Some(run) = runs.last_mut() else { continue };
            run.byte_len += section.byte_len;
            run.hot_bytes += if segment.tier == Tier::Hot { section.byte_len } else { 0 };
            run.tier = run.tier.max(segment.tier);
            run.is_readable &= is_readable;
            run.has_deleted |= has_deleted;
        }
    }
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(byte_len: u64) -> Run {
        Run { commit_order: 0, byte_len, hot_bytes: byte_len, tier: Tier::Hot, is_readable: true, has_deleted: false }
    }

    fn warm(byte_len: u64) -> Run {
        Run { hot_bytes: 0, tier: Tier::Warm, ..run(byte_len) }
    }

    #[test]
    fn late_rows_go_into_the_warm_run_when_they_come_to_a_part_of_it() {
        let late = |runs: &[Run], effort| select_late(runs, Tier::Warm, effort, false);
        let background = |runs: &[Run]| late(runs, Effort::Background);
        assert_eq!(background(&[warm(800), run(99)]), None);
        assert_eq!(background(&[warm(800), run(50), run(50)]), Some((0, 2)));
        assert_eq!(background(&[warm(8000), run(9), run(9), run(9), run(9)]), Some((1, 4)), "among themselves");
        assert_eq!(background(&[warm(8000)]), None);
        assert_eq!(late(&[warm(8000), run(1)], Effort::Full), Some((0, 1)));
        let unreadable = Run { is_readable: false, ..warm(80) };
        assert_eq!(background(&[unreadable, run(50)]), None);
        let deleted = Run { has_deleted: true, ..warm(800) };
        assert_eq!(background(&[deleted, run(50)]), Some((0, 0)));
        let cold = Run { tier: Tier::Cold, ..warm(10) };
        assert_eq!(select_late(&[cold, run(50), run(50)], Tier::Cold, Effort::Full, false), Some((1, 2)));
    }

    #[test]
    fn a_late_row_costs_a_bounded_number_of_rewritten_ones() {
        let (mut runs, mut rewritten, mut late) = (vec![warm(100_000)], 0, 0);
        for _ in 0..10_000 {
            runs.push(run(50));
            late += 50;
            while let Some((first, last)) = select_late(&runs, Tier::Warm, Effort::Background, false) {
                let byte_len = runs[first..=last].iter().map(|run| run.byte_len).sum();
                rewritten += byte_len;
                let tier = runs[first].tier;
                runs.splice(first..=last, [if tier == Tier::Hot { run(byte_len) } else { warm(byte_len) }]);
            }
        }
        // Of the runs among themselves at most log4 of the largest part, and once into the warm run.
        assert!(rewritten < (LATE_PART + 1 + 6) * late, "{rewritten} for {late}");
        assert!(runs.len() < 20 && rewritten > late);
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
