//! The series of all segment sections of a table, merged: one entry per series with the sections that hold its rows.
//!
//! Built once per set of sections, at the first query after a flush, and shared by every snapshot of that set. Tag
//! dictionaries of the sections are merged in order, so comparing two series is comparing their codes.
//!
//! 12 bytes per series, 4 per tag and the distinct values stay as long as the set of sections, and building takes as much
//! again: it draws on a part of the memory budget. Compactions, which look at a table once, merge it part by part instead.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::StringArray;

use super::directory_budget::DirectoryBytes;
use super::filter::{TagFilter, TagTerm};
use crate::segment::{Section, TagCodes, TagDictionary};
use crate::types::{ColumnId, SeriesKey, TableSchema};

/// A series within a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SectionSeries {
    /// Position of the section in the table's list, older sections first.
    pub(crate) section: u32,
    /// Position of the series in the section's directory.
    pub(crate) series: u32,
}

/// Tag values and codes of one tag over all series. Code 0 is NULL, code k the value k - 1.
#[derive(Debug)]
pub(crate) struct MergedTag {
    pub(crate) values: Arc<StringArray>,
    pub(crate) codes: Vec<u32>,
}

impl MergedTag {
    fn value(&self, code: u32) -> Option<&str> {
        code.checked_sub(1).map(|index| self.values.value(index as usize))
    }

    /// What a predicate says of each code, that of NULL first.
    pub(crate) fn evaluate(&self, accept: impl Fn(Option<&str>) -> bool) -> Vec<bool> {
        use arrow_array::Array;
        (0..=self.values.len() as u32).map(|code| accept(self.value(code))).collect()
    }

    fn code_of(&self, value: &str) -> Option<u32> {
        self.position(value).ok().map(|index| index as u32 + 1)
    }

    /// Position of `value` among the values, or where it would stand.
    fn position(&self, value: &str) -> Result<usize, usize> {
        use arrow_array::Array;
        let (mut low, mut high) = (0, self.values.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.values.value(middle).cmp(value) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }
}

/// The merged directory of a table's sections.
#[derive(Debug)]
pub(crate) struct SeriesIndex {
    pub(crate) tags: Vec<MergedTag>,
    /// Where the sources of a series start; one more entry than series.
    source_starts: Vec<u32>,
    sources: Vec<SectionSeries>,
    /// What it counts; `None` for a part that lives for a moment.
    bytes: Option<DirectoryBytes>,
}

impl SeriesIndex {
    /// Merges the directories of `sections`, for the tags of `schema`; `bytes` were taken for building it.
    pub(super) fn build(schema: &TableSchema, sections: &[Arc<Section>], mut bytes: DirectoryBytes) -> Self {
        let all: Vec<_> = sections.iter().map(|section| 0..section.series_count()).collect();
        let mut index = Self::of_parts(schema, sections, &all);
        bytes.shrink_to(index.byte_len());
        index.bytes = Some(bytes);
        index
    }

    /// The most that building it from `sections` takes.
    pub(super) fn building_bytes(schema: &TableSchema, sections: &[Arc<Section>]) -> u64 {
        // A value in a set of references, in a list of them, and its number.
        const VALUE_BYTES: usize = 64;
        let series: usize = sections.iter().map(|section| section.series_count()).sum();
        let (mut texts, mut values_max) = (0, 0);
        for tag in &schema.tags {
            let dictionaries = || sections.iter().filter_map(|section| section.tag_values(tag.id));
            let values: usize = dictionaries().map(TagDictionary::len).sum();
            // Buffers of text double as they grow.
            texts += 4 * values + 2 * dictionaries().map(TagDictionary::byte_len).sum::<usize>() + 1024;
            values_max = values_max.max(values);
        }
        let tags = schema.tags.len();
        // Kept: sources, their starts, and codes. Beside them codes per section and what the sort takes.
        let kept = size_of::<Self>() + (8 + 4 + 4 * tags) * (series + 1) + size_of::<MergedTag>() * tags;
        (kept + texts + (4 + 4 * tags) * series + VALUE_BYTES * values_max) as u64
    }

    fn byte_len(&self) -> u64 {
        use arrow_array::Array;
        let tag =
            |tag: &MergedTag| 4 * tag.codes.capacity() + size_of::<MergedTag>() + tag.values.get_buffer_memory_size();
        let tags = self.tags.iter().map(tag).sum::<usize>();
        let sources = self.sources.capacity() * size_of::<SectionSeries>();
        (size_of::<Self>() + tags + 4 * self.source_starts.capacity() + sources) as u64
    }

    /// Merges a part of the directory of each section: its series `parts`. Memory is taken for these alone.
    pub(crate) fn of_parts(schema: &TableSchema, sections: &[Arc<Section>], parts: &[Range<usize>]) -> Self {
        let tag_count = schema.tags.len();
        // Per section and tag: merged code of every series of the part.
        let mut section_codes: Vec<Vec<Vec<u32>>> = sections.iter().map(|_| Vec::with_capacity(tag_count)).collect();
        let mut merged_values = Vec::with_capacity(tag_count);
        for tag in &schema.tags {
            let used: Vec<_> =
                sections.iter().zip(parts).map(|(section, part)| UsedValues::new(section, tag.id, part)).collect();
            let distinct: BTreeSet<&str> = used.iter().flatten().flat_map(UsedValues::iter).collect();
            let sorted: Vec<&str> = distinct.into_iter().collect();
            for ((used, part), codes) in used.iter().zip(parts).zip(&mut section_codes) {
                // Without values the tag is younger than the section.
                codes.push(used.as_ref().map_or_else(|| vec![0; part.len()], |used| used.merged_codes(part, &sorted)));
            }
            merged_values.push(Arc::new(StringArray::from(sorted)));
        }

        let total: usize = parts.iter().map(Range::len).sum();
        let mut order = Vec::with_capacity(total);
        for (section, part) in parts.iter().enumerate() {
            // Counted from the start of the part until all are in order.
            order.extend((0..part.len() as u32).map(|series| SectionSeries { section: section as u32, series }));
        }
        let compare = |a: &SectionSeries, b: &SectionSeries| {
            let (left, right) = (&section_codes[a.section as usize], &section_codes[b.section as usize]);
            left.iter()
                .zip(right)
                .map(|(left, right)| left[a.series as usize].cmp(&right[b.series as usize]))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        // Every section is sorted: the stable sort finds the runs and merges them; equal series stay oldest first.
        order.sort_by(compare);

        let mut source_starts = Vec::with_capacity(total + 1);
        let mut tags: Vec<MergedTag> =
            merged_values.into_iter().map(|values| MergedTag { values, codes: Vec::with_capacity(total) }).collect();
        for (position, source) in order.iter().enumerate() {
            if position == 0 || compare(&order[position - 1], source).is_ne() {
                source_starts.push(position as u32);
                for (tag, codes) in tags.iter_mut().zip(&section_codes[source.section as usize]) {
                    tag.codes.push(codes[source.series as usize]);
                }
            }
        }
        source_starts.push(order.len() as u32);
        for source in &mut order {
            source.series += parts[source.section as usize].start as u32;
        }
        Self { tags, source_starts, sources: order, bytes: None }
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.source_starts.len() - 1
    }

    /// The sections that hold rows of a series, oldest first.
    pub(crate) fn sources(&self, series: usize) -> &[SectionSeries] {
        &self.sources[self.source_starts[series] as usize..self.source_starts[series + 1] as usize]
    }

    /// The value of a tag of a series.
    pub(crate) fn tag(&self, series: usize, tag: usize) -> Option<&str> {
        let merged = self.tags.get(tag)?;
        merged.value(merged.codes[series])
    }

    /// The key of a series.
    pub(crate) fn key(&self, series: usize) -> SeriesKey {
        SeriesKey::from_tags((0..self.tags.len()).map(|tag| self.tag(series, tag).map(str::as_bytes)))
    }

    /// The series that match, in key order.
    pub(crate) fn matching(&self, filter: &TagFilter) -> Vec<u32> {
        let mut candidates = 0..self.len() as u32;
        let mut rest = Vec::with_capacity(filter.terms.len());
        for term in &filter.terms {
            // Series are sorted by their first tag: an equality on it is a range.
            match (term.tag, self.single_code(term)) {
                (0, Some(code)) => {
                    let codes = &self.tags[0].codes;
                    let start = codes.partition_point(|&other| other < code) as u32;
                    let end = codes.partition_point(|&other| other <= code) as u32;
                    candidates = candidates.start.max(start)..candidates.end.min(end);
                }
                _ => rest.push(term),
            }
        }
        let mut matching: Vec<u32> = candidates.collect();
        for term in rest {
            if matching.is_empty() {
                break;
            }
            match self.tags.get(term.tag) {
                Some(tag) => {
                    let accepted = accepted_codes(tag, term);
                    matching.retain(|&series| accepted[tag.codes[series as usize] as usize]);
                }
                None => {
                    if !(term.accept)(None) {
                        matching.clear();
                    }
                }
            }
        }
        matching
    }

    /// The code that a term accepts, when it accepts one value only. A value that no series has gives a code that no
    /// series has.
    fn single_code(&self, term: &TagTerm) -> Option<u32> {
        match term.equals.as_deref() {
            Some([value]) => self.tags.get(term.tag).map(|tag| tag.code_of(value).unwrap_or(u32::MAX)),
            _ => None,
        }
    }

    /// The series with these tag values, or the position at which it would stand.
    pub(crate) fn find(&self, tags: &[Option<Vec<u8>>]) -> Result<usize, usize> {
        // Doubled codes leave room for values that stand between two known ones.
        let wanted: Vec<u64> = self
            .tags
            .iter()
            .enumerate()
            .map(|(index, tag)| match tags.get(index).and_then(|value| value.as_deref()) {
                None => 0,
                Some(value) => match tag.position(&String::from_utf8_lossy(value)) {
                    Ok(position) => 2 * (position as u64 + 1),
                    Err(position) => 2 * position as u64 + 1,
                },
            })
            .collect();
        let compare = |series: usize| {
            self.tags
                .iter()
                .zip(&wanted)
                .map(|(tag, wanted)| (2 * u64::from(tag.codes[series])).cmp(wanted))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(middle) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }
}

/// The values of a tag that some series of a section have.
struct UsedValues<'a> {
    dictionary: &'a TagDictionary,
    codes: TagCodes<'a>,
    /// The codes that the series have, ascending, without that of NULL; `None` for all of the dictionary.
    used: Option<Vec<u32>>,
}

impl<'a> UsedValues<'a> {
    /// `None` when the section does not have the tag.
    fn new(section: &'a Section, tag: ColumnId, part: &Range<usize>) -> Option<Self> {
        let (dictionary, codes) = (section.tag_values(tag)?, section.tag_codes(tag)?);
        let used = (part.len() < codes.len()).then(|| {
            let mut used: Vec<u32> = part.clone().map(|series| codes.get(series)).filter(|&code| code > 0).collect();
            used.sort_unstable();
            used.dedup();
            used
        });
        Some(Self { dictionary, codes, used })
    }

    fn iter(&self) -> Box<dyn Iterator<Item = &'a str> + '_> {
        match &self.used {
            None => Box::new(self.dictionary.iter()),
            Some(used) => Box::new(used.iter().filter_map(|&code| self.dictionary.value(code))),
        }
    }

    /// Per series of the part, its value as a position in `sorted` plus one; 0 for NULL.
    fn merged_codes(&self, part: &Range<usize>, sorted: &[&str]) -> Vec<u32> {
        let merged = |value| sorted.partition_point(|&other| other < value) as u32 + 1;
        let translation: Vec<u32> = std::iter::once(0).chain(self.iter().map(merged)).collect();
        let codes = part.clone().map(|series| self.codes.get(series));
        match &self.used {
            None => codes.map(|code| translation[code as usize]).collect(),
            // Every code but that of NULL, which none of these is below, is among them.
            Some(used) => codes.map(|code| translation[used.partition_point(|&other| other <= code)]).collect(),
        }
    }
}

fn accepted_codes(tag: &MergedTag, term: &TagTerm) -> Vec<bool> {
    use arrow_array::Array;
    let Some(values) = &term.equals else { return tag.evaluate(|value| (term.accept)(value)) };
    let mut accepted = vec![false; tag.values.len() + 1];
    for value in values {
        if let Some(code) = tag.code_of(value) {
            accepted[code as usize] = true;
        }
    }
    accepted
}
