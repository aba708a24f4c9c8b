//! The series that a query reads, in key order, each with the sources of its rows.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::StringArray;

use super::deletes::Deletes;
use super::filter::TagFilter;
use super::index::{SectionSeries, SeriesIndex};
use super::last_rows::{LastRows, ValueSource};
use super::memory_index::{MemorySeries, tag_of};
use super::scan::SeriesScan;
use super::table::TableSnapshot;
use crate::error::Result;
use crate::memtable::{SeriesBuffer, SeriesSummary};
use crate::segment::Section;
use crate::types::{SeriesKey, TimeRange};

/// Series of one table that match a filter and may have rows in a range.
#[derive(Debug)]
pub struct SeriesSet {
    table: TableSnapshot,
    index: Arc<SeriesIndex>,
    range: TimeRange,
    entries: Vec<Entry>,
    /// What memory has; `None` for nothing.
    memory: Option<MemorySeries>,
    /// Memory sources of all entries, each entry's together and in commit order.
    buffers: Vec<MemorySource>,
    /// `None` when nothing is deleted.
    deletes: Option<Deletes>,
}

#[derive(Debug)]
struct Entry {
    /// Position in the index, or [`NOWHERE`] for a series that only memory has.
    indexed: u32,
    /// Position among the series in memory, or [`NOWHERE`].
    in_memory: u32,
    buffers_start: u32,
    buffers_end: u32,
}

const NOWHERE: u32 = u32::MAX;

impl Entry {
    /// A series of the index of which memory has no row.
    fn stored(series: u32) -> Self {
        Self { indexed: series, in_memory: NOWHERE, buffers_start: 0, buffers_end: 0 }
    }

    fn indexed(&self) -> Option<usize> {
        (self.indexed != NOWHERE).then_some(self.indexed as usize)
    }

    fn in_memory(&self) -> Option<usize> {
        (self.in_memory != NOWHERE).then_some(self.in_memory as usize)
    }
}

/// Rows of a series in one memtable.
#[derive(Debug)]
pub(super) struct MemorySource {
    pub(super) buffer: Arc<SeriesBuffer>,
    /// As it was when the set was made.
    pub(super) summary: SeriesSummary,
}

/// A tag over the series of a set.
#[derive(Debug, Clone)]
pub struct TagValues {
    /// Distinct values; some may belong to no series of the set.
    pub values: Arc<StringArray>,
    /// Per series the position in `values`, or [`TagValues::NULL`].
    pub indices: Vec<u32>,
}

impl TagValues {
    /// The index of a series whose tag is NULL.
    pub const NULL: u32 = u32::MAX;
}

/// Where the rows of a set come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanSources {
    /// Starts of the partitions with rows in segments, ascending.
    pub partition_starts_ns: Vec<i64>,
    /// Segments with rows of the set.
    pub segments: usize,
    /// Segments with rows of the table.
    pub table_segments: usize,
    /// Rows in memtables, before duplicates are resolved and before the range cuts.
    pub memory_rows: u64,
}

impl SeriesSet {
    /// The partitions and segments in which the set has rows of its range, and what it has in memory.
    pub fn sources(&self) -> ScanSources {
        let mut is_used = vec![false; self.sections().len()];
        let mut sources = ScanSources::default();
        for series in 0..self.len() {
            for source in self.section_sources(series) {
                let entry = self.sections()[source.section as usize].series(source.series as usize);
                let rows = TimeRange { start_ns: entry.min_time, end_ns: entry.max_time };
                is_used[source.section as usize] |= rows.overlaps(self.range);
            }
            sources.memory_rows +=
                self.memory_sources(series).iter().map(|source| source.summary.rows as u64).sum::<u64>();
        }
        let used = self.sections().iter().zip(is_used).filter_map(|(section, is_used)| is_used.then_some(section));
        sources.partition_starts_ns = used.clone().map(|section| section.partition_start_ns()).collect();
        sources.partition_starts_ns.sort_unstable();
        sources.partition_starts_ns.dedup();
        sources.segments = segment_count(used);
        sources.table_segments = segment_count(self.sections().iter());
        sources
    }

    pub(super) fn build(table: TableSnapshot, filter: &TagFilter, range: TimeRange) -> Result<Self> {
        let index = table.index()?;
        let deletes = Deletes::new(table.tombstones(), table.schema(), &index);
        let mut set = Self { table, index, range, entries: Vec::new(), memory: None, buffers: Vec::new(), deletes };
        if range.is_empty() {
            return Ok(set);
        }
        let matching = set.index.matching(filter);
        let prefix = key_prefix(filter, set.table.schema().tags.len());
        let Some(memory) = set.table.memory_series(&set.index, &prefix)? else {
            set.entries.reserve(matching.len());
            for series in matching {
                if set.has_rows(series) {
                    set.entries.push(Entry::stored(series));
                }
            }
            return Ok(set);
        };
        let in_memory = memory.matching(filter, &set.index);
        set.entries.reserve(matching.len() + in_memory.len());
        set.buffers.reserve(in_memory.len());
        // Both lists are in key order; a series that only memory has goes before the one at its position.
        let mut in_memory = in_memory.into_iter().map(|series| (memory.position(series as usize), series)).peekable();
        for series in matching {
            let position = 2 * u64::from(series) + 1;
            while let Some((_, next)) = in_memory.next_if(|(next, _)| *next < position) {
                set.push_memory(&memory, next, NOWHERE);
            }
            let own = in_memory.next_if(|(next, _)| *next == position);
            if !own.is_some_and(|(_, own)| set.push_memory(&memory, own, series)) && set.has_rows(series) {
                set.entries.push(Entry::stored(series));
            }
        }
        for (_, next) in in_memory {
            set.push_memory(&memory, next, NOWHERE);
        }
        set.memory = Some(memory);
        Ok(set)
    }

    /// All series of an index of the table's sections, whatever their times, without what is in memory.
    pub(super) fn of_index(table: TableSnapshot, index: SeriesIndex) -> Self {
        let deletes = Deletes::new(table.tombstones(), table.schema(), &index);
        let entries = (0..index.len() as u32).map(Entry::stored).collect();
        let index = Arc::new(index);
        Self { table, index, range: TimeRange::ALL, entries, memory: None, buffers: Vec::new(), deletes }
    }

    /// Adds a series of which memory has rows that may be in the range; `false` when it has none.
    fn push_memory(&mut self, memory: &MemorySeries, series: u32, indexed: u32) -> bool {
        let buffers_start = self.buffers.len() as u32;
        for buffer in memory.buffers(series as usize) {
            let summary = buffer.summary(self.table.visible());
            if !summary.bounds.is_empty() && summary.bounds.overlaps(self.range) {
                self.buffers.push(MemorySource { buffer: Arc::clone(buffer), summary });
            }
        }
        let buffers_end = self.buffers.len() as u32;
        if buffers_start < buffers_end {
            self.entries.push(Entry { indexed, in_memory: series, buffers_start, buffers_end });
        }
        buffers_start < buffers_end
    }

    fn has_rows(&self, series: u32) -> bool {
        self.range == TimeRange::ALL
            || self.index.sources(series as usize).iter().any(|source| {
                let entry = self.sections()[source.section as usize].series(source.series as usize);
                TimeRange { start_ns: entry.min_time, end_ns: entry.max_time }.overlaps(self.range)
            })
    }

    /// Bytes of memory that the set takes for itself.
    pub fn byte_len(&self) -> u64 {
        let entries = self.entries.capacity() * size_of::<Entry>();
        (entries + self.buffers.capacity() * size_of::<MemorySource>()) as u64
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A series by its position in the set.
    pub fn get(&self, series: usize) -> SeriesHandle<'_> {
        SeriesHandle { set: self, series }
    }

    /// The series, in key order.
    pub fn iter(&self) -> impl Iterator<Item = SeriesHandle<'_>> {
        (0..self.len()).map(|series| self.get(series))
    }

    /// Rows of all series before duplicates are resolved and before the range cuts.
    pub fn row_count_estimate(&self) -> u64 {
        self.iter().map(|series| series.row_count_estimate()).sum()
    }

    /// The table.
    pub fn table(&self) -> &TableSnapshot {
        &self.table
    }

    /// The range that the set was made for.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// A cursor for `fields` (positions in `TableSchema::fields`); open a series with [`SeriesScan::open`].
    pub fn scan(&self, fields: &[usize], range: TimeRange) -> SeriesScan<'_> {
        SeriesScan::new(self, fields, range)
    }

    /// The last rows of some series of the set, with `fields` (positions in `TableSchema::fields`), as far as they are
    /// found without a scan.
    pub fn last_rows(
        &self,
        series: Range<usize>,
        fields: &[usize],
        range: TimeRange,
        source: ValueSource,
    ) -> LastRows<'_> {
        LastRows::new(self, series, fields, range, source)
    }

    /// A tag (position in `TableSchema::tags`) over the series of the set.
    pub fn tag_column(&self, tag: usize) -> TagValues {
        let Some(merged) = self.index.tags.get(tag) else {
            return TagValues { values: Arc::new(StringArray::from(Vec::<&str>::new())), indices: Vec::new() };
        };
        let stored = |position: usize| merged.codes[position].wrapping_sub(1);
        let Some(memory) = &self.memory else {
            let indices = self.entries.iter().map(|entry| stored(entry.indexed as usize)).collect();
            return TagValues { values: Arc::clone(&merged.values), indices };
        };
        let values = memory.values(tag, &self.index).unwrap_or(&merged.values);
        let indices = self.entries.iter().map(|entry| match (entry.indexed(), entry.in_memory()) {
            (_, Some(series)) => memory.code(tag, series),
            (Some(position), None) => memory.moved_code(tag, stored(position)),
            (None, None) => TagValues::NULL,
        });
        TagValues { indices: indices.collect(), values: Arc::clone(values) }
    }

    pub(super) fn sections(&self) -> &[Arc<Section>] {
        self.table.sections()
    }

    pub(super) fn section_sources(&self, series: usize) -> &[SectionSeries] {
        self.entries[series].indexed().map_or(&[], |position| self.index.sources(position))
    }

    /// The parts of `range` that a section (by its position) shows of a series; `None` for all of it.
    pub(super) fn shown_parts(&self, series: usize, section: usize, range: TimeRange) -> Option<Vec<TimeRange>> {
        let (deletes, indexed) = (self.deletes.as_ref()?, self.entries[series].indexed()?);
        Some(deletes.remaining(&self.index, indexed as u32, self.table.commit_orders()[section], range))
    }

    pub(super) fn memory_sources(&self, series: usize) -> &[MemorySource] {
        let entry = &self.entries[series];
        &self.buffers[entry.buffers_start as usize..entry.buffers_end as usize]
    }
}

/// Number of segments that some sections lie in.
fn segment_count<'a>(sections: impl Iterator<Item = &'a Arc<Section>>) -> usize {
    let mut one_per_segment: Vec<&Section> = Vec::new();
    for section in sections {
        if !one_per_segment.iter().any(|known| known.is_beside(section)) {
            one_per_segment.push(section);
        }
    }
    one_per_segment.len()
}

/// The start that the keys of all matching series share: the leading tags that must equal one value.
fn key_prefix(filter: &TagFilter, tag_count: usize) -> Vec<u8> {
    let mut values: Vec<Option<&[u8]>> = Vec::new();
    for tag in 0..tag_count {
        let value = filter.terms.iter().filter(|term| term.tag == tag).find_map(|term| match term.equals.as_deref() {
            Some([value]) => Some(value.as_bytes()),
            _ => None,
        });
        match value {
            Some(value) => values.push(Some(value)),
            None => break,
        }
    }
    let mut prefix = Vec::new();
    SeriesKey::encode_into(values, &mut prefix);
    prefix
}

/// One series of a set.
#[derive(Debug, Clone, Copy)]
pub struct SeriesHandle<'a> {
    set: &'a SeriesSet,
    series: usize,
}

impl<'a> SeriesHandle<'a> {
    /// The value of a tag (position in `TableSchema::tags`); `None` is NULL.
    pub fn tag(&self, tag: usize) -> Option<String> {
        match self.set.entries[self.series].indexed() {
            Some(position) => self.set.index.tag(position, tag).map(str::to_owned),
            None => tag_of(self.memory_key()?, tag),
        }
    }

    /// The key of the series.
    pub fn key(&self) -> SeriesKey {
        match (self.memory_key(), self.set.entries[self.series].indexed()) {
            (Some(key), _) => key.clone(),
            (None, Some(position)) => self.set.index.key(position),
            (None, None) => SeriesKey::from_encoded(&[]),
        }
    }

    /// The key of a series of which memory has rows.
    fn memory_key(&self) -> Option<&'a SeriesKey> {
        Some(self.set.memory.as_ref()?.key(self.set.entries[self.series].in_memory()?))
    }

    /// First and last time of the rows, within the set's range or not; wider than the rows that a snapshot shows at most.
    pub fn time_bounds(&self) -> TimeRange {
        let mut bounds = TimeRange { start_ns: i64::MAX, end_ns: i64::MIN };
        let mut add = |other: TimeRange| {
            bounds.start_ns = bounds.start_ns.min(other.start_ns);
            bounds.end_ns = bounds.end_ns.max(other.end_ns);
        };
        for source in self.set.section_sources(self.series) {
            let entry = self.set.sections()[source.section as usize].series(source.series as usize);
            add(TimeRange { start_ns: entry.min_time, end_ns: entry.max_time });
        }
        for source in self.set.memory_sources(self.series) {
            add(source.summary.bounds);
        }
        bounds
    }

    /// Rows before duplicates are resolved and before the range cuts.
    pub fn row_count_estimate(&self) -> u64 {
        let stored: u64 = self
            .set
            .section_sources(self.series)
            .iter()
            .map(|source| {
                u64::from(self.set.sections()[source.section as usize].series_row_count(source.series as usize))
            })
            .sum();
        let memory: u64 = self.set.memory_sources(self.series).iter().map(|source| source.summary.rows as u64).sum();
        stored + memory
    }

    /// A cursor over this series alone.
    ///
    /// # Errors
    /// `Corruption` when rows that must be merged are damaged.
    pub fn scan(&self, fields: &[usize], range: TimeRange) -> Result<SeriesScan<'a>> {
        let mut scan = self.set.scan(fields, range);
        scan.open(self.series)?;
        Ok(scan)
    }
}
