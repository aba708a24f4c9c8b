//! The series of a table in memory, put in their places among those of the sections.
//!
//! Built once per set of sections and directories of memtables, and shared by the queries that follow until a series
//! comes or a flush ends. It holds numbers and tag values, no rows: those go with their memtable. Codes of a tag are made
//! when a query first asks for it.

use std::sync::{Arc, OnceLock};

use arrow_array::{Array, StringArray};
use hashbrown::{HashMap, HashSet};

use super::directory_budget::DirectoryBytes;
use super::filter::{TagFilter, TagTerm};
use super::index::SeriesIndex;
use super::series_set::TagValues;
use crate::memtable::{MemoryDirectory, SeriesBuffer};
use crate::types::SeriesKey;

/// A series within a directory.
#[derive(Debug, Clone, Copy)]
struct DirectorySeries {
    directory: u32,
    series: u32,
}

/// The series of some directories, in key order.
#[derive(Debug)]
pub(crate) struct MemoryIndex {
    /// Per series twice its position among the indexed ones, plus one when it is that series.
    positions: Vec<u64>,
    /// Where the sources of a series start; one more entry than series.
    source_starts: Vec<u32>,
    /// Those of a series in commit order.
    sources: Vec<DirectorySeries>,
    tags: Vec<OnceLock<MemoryTag>>,
    /// What it counts.
    #[expect(dead_code, reason = "given back when it is dropped")]
    bytes: DirectoryBytes,
}

/// A tag over the series in memory and those of the sections.
#[derive(Debug)]
struct MemoryTag {
    /// Distinct values of both, sorted.
    values: Arc<StringArray>,
    /// Per series in memory, the position in `values` or [`TagValues::NULL`].
    codes: Vec<u32>,
    /// Per position of a value of the sections its position in `values`; `None` when all stayed where they are.
    moved: Option<Vec<u32>>,
}

/// A memory index with the directories that it was made of.
#[derive(Debug, Clone)]
pub(super) struct MemorySeries {
    pub(super) index: Arc<MemoryIndex>,
    /// Oldest memtable first.
    pub(super) directories: Vec<Arc<MemoryDirectory>>,
}

impl MemoryIndex {
    /// Puts the series of `directories`, oldest first, beside those of `index`.
    pub(super) fn new(index: &SeriesIndex, directories: &[Arc<MemoryDirectory>], bytes: DirectoryBytes) -> Self {
        let total = directories.iter().map(|directory| directory.len()).sum();
        let mut sources = Vec::with_capacity(total);
        for (position, directory) in (0..).zip(directories) {
            sources.extend((0..directory.len() as u32).map(|series| DirectorySeries { directory: position, series }));
        }
        let key = |source: &DirectorySeries| directories[source.directory as usize].key(source.series as usize);
        if directories.len() > 1 {
            // Stable: of equal series the oldest comes first.
            sources.sort_by(|a, b| key(a).cmp(key(b)));
        }
        let tag_count = index.tags.len();
        let (mut positions, mut source_starts) = (Vec::with_capacity(total), Vec::with_capacity(total + 1));
        for (place, source) in sources.iter().enumerate() {
            if place > 0 && key(&sources[place - 1]) == key(source) {
                continue;
            }
            source_starts.push(place as u32);
            positions.push(match index.len() {
                0 => 0,
                _ => match index.find(&key(source).decode(tag_count)) {
                    Ok(position) => 2 * position as u64 + 1,
                    Err(position) => 2 * position as u64,
                },
            });
        }
        source_starts.push(sources.len() as u32);
        let tags = std::iter::repeat_with(OnceLock::new).take(tag_count).collect();
        Self { positions, source_starts, sources, tags, bytes }
    }

    /// The most that it takes once all tags were asked for, about, new lists of values left out.
    pub(super) fn bytes_max(index: &SeriesIndex, directories: &[Arc<MemoryDirectory>]) -> u64 {
        let series: usize = directories.iter().map(|directory| directory.len()).sum();
        let keys: usize = directories.iter().map(|directory| directory.key_bytes()).sum();
        let numbers = size_of::<u64>() + size_of::<u32>() + size_of::<DirectorySeries>() + 4 * index.tags.len();
        (size_of::<Self>() + numbers * (series + 1) + keys) as u64
    }

    /// The most that the lists of values take, which are new where the sections do not have a value.
    pub(super) fn list_bytes_max(index: &SeriesIndex) -> u64 {
        let list = |values: &StringArray| 8 * values.len() + values.value_data().len();
        index.tags.iter().map(|tag| list(&tag.values) as u64).sum()
    }

    fn len(&self) -> usize {
        self.positions.len()
    }
}

impl MemorySeries {
    /// Twice the position of a series among the indexed ones, plus one when it is that series.
    pub(super) fn position(&self, series: usize) -> u64 {
        self.index.positions[series]
    }

    /// The key of a series.
    pub(super) fn key(&self, series: usize) -> &SeriesKey {
        let source = self.index.sources[self.index.source_starts[series] as usize];
        self.directories[source.directory as usize].key(source.series as usize)
    }

    /// The rows of a series, oldest memtable first.
    pub(super) fn buffers(&self, series: usize) -> impl Iterator<Item = &Arc<SeriesBuffer>> {
        let starts = &self.index.source_starts;
        let sources = &self.index.sources[starts[series] as usize..starts[series + 1] as usize];
        sources.iter().map(|source| self.directories[source.directory as usize].buffer(source.series as usize))
    }

    /// The series that match, in key order; `index` is the one that the memory index was made for.
    pub(super) fn matching(&self, filter: &TagFilter, index: &SeriesIndex) -> Vec<u32> {
        let mut matching: Vec<u32> = (0..self.index.len() as u32).collect();
        for term in &filter.terms {
            if matching.is_empty() {
                break;
            }
            let Some(tag) = self.tag(term.tag, index) else {
                if !(term.accept)(None) {
                    matching.clear();
                }
                continue;
            };
            if tag.values.len() > matching.len() {
                matching.retain(|&series| (term.accept)(tag.value(tag.codes[series as usize])));
            } else {
                let accepted = accepted_codes(tag, term);
                let null = (term.accept)(None);
                matching.retain(|&series| match tag.codes[series as usize] {
                    TagValues::NULL => null,
                    code => accepted[code as usize],
                });
            }
        }
        matching
    }

    /// The sorted values of a tag over series of the sections and of memory.
    pub(super) fn values(&self, tag: usize, index: &SeriesIndex) -> Option<&Arc<StringArray>> {
        self.tag(tag, index).map(|tag| &tag.values)
    }

    /// The position of the value of a series of memory.
    pub(super) fn code(&self, tag: usize, series: usize) -> u32 {
        self.index.tags[tag].get().map_or(TagValues::NULL, |tag| tag.codes[series])
    }

    /// The position of a value that has `code` among the values of the sections.
    pub(super) fn moved_code(&self, tag: usize, code: u32) -> u32 {
        let moved = self.index.tags[tag].get().and_then(|tag| tag.moved.as_ref());
        moved.and_then(|moved| moved.get(code as usize)).copied().unwrap_or(code)
    }

    fn tag(&self, tag: usize, index: &SeriesIndex) -> Option<&MemoryTag> {
        let known = self.index.tags.get(tag)?;
        Some(known.get_or_init(|| self.build_tag(tag, &index.tags[tag].values)))
    }

    fn build_tag(&self, tag: usize, stored: &Arc<StringArray>) -> MemoryTag {
        let own: Vec<Option<String>> = (0..self.index.len()).map(|series| tag_of(self.key(series), tag)).collect();
        let distinct: HashSet<&str> = own.iter().flatten().map(String::as_str).collect();
        let mut extra: Vec<&str> = distinct.into_iter().filter(|value| position_of(stored, value).is_err()).collect();
        let (values, moved) = if extra.is_empty() {
            (Arc::clone(stored), None)
        } else {
            extra.sort_unstable();
            let mut all: Vec<&str> = Vec::with_capacity(stored.len() + extra.len());
            let mut moved = Vec::with_capacity(stored.len());
            let mut extra = extra.into_iter().peekable();
            for value in stored.iter().flatten() {
                while let Some(before) = extra.next_if(|extra| *extra < value) {
                    all.push(before);
                }
                moved.push(all.len() as u32);
                all.push(value);
            }
            all.extend(extra);
            (Arc::new(StringArray::from_iter_values(all)), Some(moved))
        };
        let mut known: HashMap<&str, u32> = HashMap::new();
        let codes = own.iter().map(|value| match value {
            None => TagValues::NULL,
            Some(value) => *known
                .entry(value.as_str())
                .or_insert_with(|| position_of(&values, value).map_or(TagValues::NULL, |position| position as u32)),
        });
        MemoryTag { codes: codes.collect(), values: Arc::clone(&values), moved }
    }
}

impl MemoryTag {
    fn value(&self, code: u32) -> Option<&str> {
        (code != TagValues::NULL).then(|| self.values.value(code as usize))
    }
}

/// The value of a tag in a key.
pub(super) fn tag_of(key: &SeriesKey, tag: usize) -> Option<String> {
    let value = key.decode(tag + 1).into_iter().nth(tag).flatten()?;
    // Tags were checked to be UTF-8 when their rows were grouped.
    Some(String::from_utf8_lossy(&value).into_owned())
}

/// Which values a term accepts.
fn accepted_codes(tag: &MemoryTag, term: &TagTerm) -> Vec<bool> {
    let Some(values) = &term.equals else {
        return tag.values.iter().map(|value| (term.accept)(value)).collect();
    };
    let mut accepted = vec![false; tag.values.len()];
    for value in values {
        if let Ok(position) = position_of(&tag.values, value) {
            accepted[position] = true;
        }
    }
    accepted
}

/// Position of `value` among sorted values, or where it would stand.
fn position_of(values: &StringArray, value: &str) -> Result<usize, usize> {
    let (mut low, mut high) = (0, values.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match values.value(middle).cmp(value) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Ok(middle),
        }
    }
    Err(low)
}
