//! The series that a query reads, in key order, each with the sources of its rows.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, StringArray};
use hashbrown::HashMap;

use super::deletes::Deletes;
use super::filter::TagFilter;
use super::index::{SectionSeries, SeriesIndex};
use super::last_rows::{LastRows, ValueSource};
use super::scan::SeriesScan;
use super::table::TableSnapshot;
use crate::error::Result;
use crate::memtable::SeriesBuffer;
use crate::segment::Section;
use crate::types::{SeriesKey, TimeRange};

/// Series of one table that match a filter and may have rows in a range.
#[derive(Debug)]
pub struct SeriesSet {
    table: TableSnapshot,
    index: Arc<SeriesIndex>,
    range: TimeRange,
    entries: Vec<Entry>,
    /// Memory sources of all entries, each entry's together and in commit order.
    memory: Vec<Arc<SeriesBuffer>>,
    /// `None` when nothing is deleted.
    deletes: Option<Deletes>,
}

#[derive(Debug)]
struct Entry {
    /// Position in the index; `None` for a series that only the memtable has.
    indexed: Option<u32>,
    /// Key of a series that only the memtable has.
    key: Option<SeriesKey>,
    memory_start: u32,
    memory_end: u32,
}

impl Entry {
    /// A series of the index of which memory has no row.
    fn stored(series: u32) -> Self {
        Self { indexed: Some(series), key: None, memory_start: 0, memory_end: 0 }
    }
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
                self.memory_sources(series).iter().map(|buffer| buffer.row_count() as u64).sum::<u64>();
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
        let mut set = Self { table, index, range, entries: Vec::new(), memory: Vec::new(), deletes };
        if range.is_empty() {
            return Ok(set);
        }
        let matching = set.index.matching(filter);
        let mut memory = set.memory_series(filter);
        set.entries.reserve(matching.len() + memory.len());
        if memory.is_empty() {
            for series in matching {
                if set.has_rows(series) {
                    set.entries.push(Entry::stored(series));
                }
            }
            return Ok(set);
        }
        // Both lists are in key order; a series that only memory has goes before the one at its position.
        let mut memory = memory.drain(..).peekable();
        for series in matching {
            while let Some(next) = memory.next_if(|next| next.position < 2 * u64::from(series) + 1) {
                set.push_memory_only(next);
            }
            match memory.next_if(|next| next.position == 2 * u64::from(series) + 1) {
                Some(next) => {
                    let memory_start = set.memory.len() as u32;
                    set.memory.extend(next.buffers);
                    let memory_end = set.memory.len() as u32;
                    set.entries.push(Entry { indexed: Some(series), key: None, memory_start, memory_end });
                }
                None if set.has_rows(series) => {
                    set.entries.push(Entry::stored(series));
                }
                None => {}
            }
        }
        for next in memory {
            set.push_memory_only(next);
        }
        Ok(set)
    }

    /// All series of an index of the table's sections, whatever their times, without what is in memory.
    pub(super) fn of_index(table: TableSnapshot, index: SeriesIndex) -> Self {
        let deletes = Deletes::new(table.tombstones(), table.schema(), &index);
        let entries = (0..index.len() as u32).map(Entry::stored).collect();
        Self { table, index: Arc::new(index), range: TimeRange::ALL, entries, memory: Vec::new(), deletes }
    }

    fn push_memory_only(&mut self, series: MemorySeries) {
        let memory_start = self.memory.len() as u32;
        self.memory.extend(series.buffers);
        let memory_end = self.memory.len() as u32;
        self.entries.push(Entry { indexed: None, key: Some(series.key), memory_start, memory_end });
    }

    fn has_rows(&self, series: u32) -> bool {
        self.range == TimeRange::ALL
            || self.index.sources(series as usize).iter().any(|source| {
                let entry = self.sections()[source.section as usize].series(source.series as usize);
                TimeRange { start_ns: entry.min_time, end_ns: entry.max_time }.overlaps(self.range)
            })
    }

    /// The matching series of the memtables, in key order, with their place among the indexed ones.
    fn memory_series(&self, filter: &TagFilter) -> Vec<MemorySeries> {
        let schema = self.table.schema();
        let prefix = key_prefix(filter, schema.tags.len());
        let mut found: HashMap<SeriesKey, Vec<Arc<SeriesBuffer>>> = HashMap::new();
        for memtable in self.table.memtables() {
            for (key, buffer) in memtable.series_with_prefix(schema.id, &prefix) {
                if buffer.time_bounds().is_some_and(|bounds| bounds.overlaps(self.range)) {
                    found.entry(key).or_default().push(buffer);
                }
            }
        }
        let mut series: Vec<MemorySeries> = found
            .into_iter()
            .filter_map(|(key, buffers)| {
                let tags = key.decode(schema.tags.len());
                filter.accepts(&tags).then(|| {
                    let position = match self.index.find(&tags) {
                        Ok(position) => 2 * position as u64 + 1,
                        Err(position) => 2 * position as u64,
                    };
                    MemorySeries { position, key, buffers }
                })
            })
            .collect();
        series.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        series
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
        let mut extra: Vec<String> = Vec::new();
        let mut extra_positions: HashMap<String, u32> = HashMap::new();
        let known = merged.values.len();
        let indices = self
            .entries
            .iter()
            .enumerate()
            .map(|(series, entry)| match entry.indexed {
                Some(position) => merged.codes[position as usize].wrapping_sub(1),
                None => match self.memory_tag(series, tag) {
                    None => TagValues::NULL,
                    Some(value) => match position_of(&merged.values, &value) {
                        Some(position) => position,
                        None => *extra_positions.entry_ref(value.as_str()).or_insert_with(|| {
                            extra.push(value.clone());
                            (known + extra.len() - 1) as u32
                        }),
                    },
                },
            })
            .collect();
        let values = if extra.is_empty() {
            Arc::clone(&merged.values)
        } else {
            let all = merged.values.iter().flatten().map(str::to_owned).chain(extra);
            Arc::new(StringArray::from_iter_values(all))
        };
        TagValues { values, indices }
    }

    pub(super) fn sections(&self) -> &[Arc<Section>] {
        self.table.sections()
    }

    pub(super) fn section_sources(&self, series: usize) -> &[SectionSeries] {
        match self.entries[series].indexed {
            Some(position) => self.index.sources(position as usize),
            None => &[],
        }
    }

    /// The parts of `range` that a section (by its position) shows of a series; `None` for all of it.
    pub(super) fn shown_parts(&self, series: usize, section: usize, range: TimeRange) -> Option<Vec<TimeRange>> {
        let (deletes, indexed) = (self.deletes.as_ref()?, self.entries[series].indexed?);
        Some(deletes.remaining(&self.index, indexed, self.table.commit_orders()[section], range))
    }

    pub(super) fn memory_sources(&self, series: usize) -> &[Arc<SeriesBuffer>] {
        let entry = &self.entries[series];
        &self.memory[entry.memory_start as usize..entry.memory_end as usize]
    }

    fn memory_tag(&self, series: usize, tag: usize) -> Option<String> {
        let tags = self.entries[series].key.as_ref()?.decode(tag + 1);
        tags.into_iter().nth(tag).flatten().map(|value| String::from_utf8_lossy(&value).into_owned())
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

struct MemorySeries {
    /// Twice the position among the indexed series, plus one when it is that series.
    position: u64,
    key: SeriesKey,
    buffers: Vec<Arc<SeriesBuffer>>,
}

fn position_of(values: &StringArray, value: &str) -> Option<u32> {
    let (mut low, mut high) = (0, values.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match values.value(middle).cmp(value) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Some(middle as u32),
        }
    }
    None
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
        match self.set.entries[self.series].indexed {
            Some(position) => self.set.index.tag(position as usize, tag).map(str::to_owned),
            None => self.set.memory_tag(self.series, tag),
        }
    }

    /// The key of the series.
    pub fn key(&self) -> SeriesKey {
        let entry = &self.set.entries[self.series];
        match (&entry.key, entry.indexed) {
            (Some(key), _) => key.clone(),
            (None, Some(position)) => self.set.index.key(position as usize),
            (None, None) => SeriesKey::from_encoded(&[]),
        }
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
        for buffer in self.set.memory_sources(self.series) {
            if let Some(other) = buffer.time_bounds() {
                add(other);
            }
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
        let memory: u64 = self.set.memory_sources(self.series).iter().map(|buffer| buffer.row_count() as u64).sum();
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
