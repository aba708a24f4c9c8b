//! The series directory of a section, read in place from the mapped file.

use std::ops::Range;

use super::bytes::{Cursor, LeU32s, LeU64s};
use super::file::SegmentPin;
use crate::types::{ColumnId, SeriesKey, TimeRange};

/// What the directory knows of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Its first row in the section.
    pub row_start: u32,
    /// Number of its rows, at least one.
    pub row_count: u32,
    /// Time of its first row.
    pub min_time: i64,
    /// Time of its last row.
    pub max_time: i64,
    /// Constant distance of its times in nanoseconds, so that row `i` has the time `min_time + i * step_ns`; 0 when
    /// they are not regular.
    pub step_ns: i64,
}

/// The distinct values of a tag in a section, sorted. Code 0 is NULL, code `k` is value `k - 1`.
#[derive(Debug)]
pub struct TagDictionary {
    file: SegmentPin,
    offsets: Range<usize>,
    bytes: Range<usize>,
}

impl TagDictionary {
    /// Number of distinct values, without NULL.
    pub fn len(&self) -> usize {
        self.offsets().len() - 1
    }

    /// Bytes of all values together.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the tag is NULL in every series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a code; `None` for NULL.
    ///
    /// # Panics
    /// When the code is larger than [`TagDictionary::len`].
    pub fn value(&self, code: u32) -> Option<&str> {
        let index = (code as usize).checked_sub(1)?;
        // Opening the segment has checked that all values are UTF-8.
        Some(std::str::from_utf8(self.value_bytes(index)).unwrap_or_default())
    }

    /// The values in order; the first has code 1.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| std::str::from_utf8(self.value_bytes(index)).unwrap_or_default())
    }

    /// The code of a value, if a series has it.
    pub fn code_of(&self, value: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.value_bytes(middle).cmp(value.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle as u32 + 1),
            }
        }
        None
    }

    fn offsets(&self) -> LeU32s<'_> {
        LeU32s::new(&self.file.bytes()[self.offsets.clone()])
    }

    fn value_bytes(&self, index: usize) -> &[u8] {
        let offsets = self.offsets();
        let bytes = &self.file.bytes()[self.bytes.clone()];
        &bytes[offsets.get(index) as usize..offsets.get(index + 1) as usize]
    }

    /// Whether the values ascend without repetition.
    pub(super) fn is_sorted(&self) -> bool {
        (1..self.len()).all(|index| self.value_bytes(index - 1) < self.value_bytes(index))
    }
}

/// One dictionary code per series.
#[derive(Debug, Clone, Copy)]
pub struct TagCodes<'a>(LeU32s<'a>);

impl<'a> TagCodes<'a> {
    /// Number of series.
    #[expect(clippy::len_without_is_empty, reason = "a section has at least one series")]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// The code of a series.
    ///
    /// # Panics
    /// When there is no such series.
    pub fn get(self, series: usize) -> u32 {
        self.0.get(series)
    }

    /// The codes in series order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u32> + DoubleEndedIterator + Clone + 'a {
        self.0.iter()
    }
}

#[derive(Debug)]
struct TagColumn {
    dictionary: TagDictionary,
    codes: Range<usize>,
}

/// The directory of one section.
#[derive(Debug)]
pub(super) struct Directory {
    file: SegmentPin,
    row_starts: Range<usize>,
    min_times: Range<usize>,
    max_times: Range<usize>,
    steps: Range<usize>,
    tag_ids: Vec<ColumnId>,
    tags: Vec<TagColumn>,
}

/// Numbers from the section header that the directory must fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryShape {
    pub(super) row_count: u32,
    pub(super) series_count: u32,
    pub(super) tag_count: u32,
    pub(super) time_range: TimeRange,
}

impl Directory {
    /// Reads the directory at the cursor; the error says what does not fit.
    pub(super) fn read(
        file: &SegmentPin,
        cursor: &mut Cursor<'_>,
        shape: DirectoryShape,
    ) -> Result<Self, &'static str> {
        const CUT: &str = "the series directory is cut off";
        let series_count = shape.series_count as usize;
        let row_starts = cursor.take(series_count.saturating_add(1), 4).ok_or(CUT)?;
        cursor.align().ok_or(CUT)?;
        let mut times = || cursor.take(series_count, 8).ok_or(CUT);
        let (min_times, max_times, steps) = (times()?, times()?, times()?);
        let (mut tag_ids, mut tags) = (Vec::new(), Vec::new());
        for _ in 0..shape.tag_count {
            tag_ids.push(ColumnId(cursor.u32().ok_or(CUT)?));
            tags.push(read_tag(file, cursor, series_count)?);
        }
        let directory = Self { file: file.clone(), row_starts, min_times, max_times, steps, tag_ids, tags };
        directory.check_series(shape)?;
        Ok(directory)
    }

    fn check_series(&self, shape: DirectoryShape) -> Result<(), &'static str> {
        let row_starts = self.u32s(&self.row_starts);
        let is_ascending = row_starts.iter().zip(row_starts.iter().skip(1)).all(|(start, end)| start < end);
        if row_starts.get(0) != 0 || row_starts.get(self.series_count()) != shape.row_count || !is_ascending {
            return Err("the series do not cover the rows of the section");
        }
        for series in 0..self.series_count() {
            let entry = self.series(series);
            let bounds = TimeRange { start_ns: entry.min_time, end_ns: entry.max_time };
            if bounds.is_empty() || !shape.time_range.covers(bounds) {
                return Err("the times of a series lie outside of the section");
            }
            let is_regular_right = match (entry.step_ns, entry.row_count) {
                (0, 2..) => true,
                (1, 1) => entry.min_time == entry.max_time,
                (step @ 1.., rows @ 2..) => {
                    // The span of a regular series may be beyond an i64.
                    let span = i128::from(step) * i128::from(rows - 1);
                    i128::from(entry.min_time) + span == i128::from(entry.max_time)
                }
                _ => false,
            };
            if !is_regular_right {
                return Err("the step of a series does not fit its times");
            }
        }
        Ok(())
    }

    fn u32s(&self, range: &Range<usize>) -> LeU32s<'_> {
        LeU32s::new(&self.file.bytes()[range.clone()])
    }

    fn i64_at(&self, range: &Range<usize>, index: usize) -> i64 {
        LeU64s::new(&self.file.bytes()[range.clone()]).get_i64(index)
    }

    pub(super) fn series_count(&self) -> usize {
        self.u32s(&self.row_starts).len() - 1
    }

    pub(super) fn series(&self, series: usize) -> SeriesEntry {
        let row_starts = self.u32s(&self.row_starts);
        let row_start = row_starts.get(series);
        SeriesEntry {
            row_start,
            row_count: row_starts.get(series + 1) - row_start,
            min_time: self.i64_at(&self.min_times, series),
            max_time: self.i64_at(&self.max_times, series),
            step_ns: self.i64_at(&self.steps, series),
        }
    }

    pub(super) fn row_count(&self, series: usize) -> u32 {
        let row_starts = self.u32s(&self.row_starts);
        row_starts.get(series + 1) - row_starts.get(series)
    }

    pub(super) fn series_of_row(&self, row: u32) -> usize {
        self.u32s(&self.row_starts).partition_point_at_most(row) - 1
    }

    pub(super) fn series_key(&self, series: usize) -> SeriesKey {
        SeriesKey::from_tags(self.tags.iter().map(|tag| {
            let code = self.u32s(&tag.codes).get(series) as usize;
            code.checked_sub(1).map(|index| tag.dictionary.value_bytes(index))
        }))
    }

    pub(super) fn tag_ids(&self) -> &[ColumnId] {
        &self.tag_ids
    }

    fn tag(&self, id: ColumnId) -> Option<&TagColumn> {
        let position = self.tag_ids.iter().position(|tag| *tag == id)?;
        Some(&self.tags[position])
    }

    pub(super) fn tag_values(&self, id: ColumnId) -> Option<&TagDictionary> {
        self.tag(id).map(|tag| &tag.dictionary)
    }

    pub(super) fn tag_codes(&self, id: ColumnId) -> Option<TagCodes<'_>> {
        self.tag(id).map(|tag| TagCodes(self.u32s(&tag.codes)))
    }

    /// Checks the order of tag values and of series, which opening takes on trust from the checksum.
    pub(super) fn check_order(&self) -> Result<(), &'static str> {
        if !self.tags.iter().all(|tag| tag.dictionary.is_sorted()) {
            return Err("the values of a tag are not sorted");
        }
        // Codes are ranks, NULL first, so comparing them tag by tag is comparing keys.
        let codes: Vec<_> = self.tags.iter().map(|tag| self.u32s(&tag.codes)).collect();
        let key = |series: usize| codes.iter().map(move |codes| codes.get(series));
        match (1..self.series_count()).all(|series| key(series - 1).lt(key(series))) {
            true => Ok(()),
            false => Err("the series are not in the order of their keys"),
        }
    }
}

fn read_tag(file: &SegmentPin, cursor: &mut Cursor<'_>, series_count: usize) -> Result<TagColumn, &'static str> {
    const CUT: &str = "the values of a tag are cut off";
    let value_count = cursor.u32().ok_or(CUT)?;
    let offsets = cursor.take((value_count as usize).saturating_add(1), 4).ok_or(CUT)?;
    let ends = LeU32s::new(&file.bytes()[offsets.clone()]);
    let byte_len = ends.get(value_count as usize) as usize;
    let bytes = cursor.take(byte_len, 1).ok_or(CUT)?;
    cursor.align().ok_or(CUT)?;
    let text = std::str::from_utf8(&file.bytes()[bytes.clone()]).map_err(|_| "the values of a tag are not UTF-8")?;
    let is_ascending = ends.iter().zip(ends.iter().skip(1)).all(|(start, end)| start <= end);
    let is_cut_between_characters = ends.iter().all(|end| text.is_char_boundary(end as usize));
    if ends.get(0) != 0 || !is_ascending || !is_cut_between_characters {
        return Err("the values of a tag overlap");
    }
    let codes = cursor.take(series_count, 4).ok_or(CUT)?;
    cursor.align().ok_or(CUT)?;
    if LeU32s::new(&file.bytes()[codes.clone()]).iter().any(|code| code > value_count) {
        return Err("a series has a tag value that is not in the dictionary");
    }
    Ok(TagColumn { dictionary: TagDictionary { file: file.clone(), offsets, bytes }, codes })
}
