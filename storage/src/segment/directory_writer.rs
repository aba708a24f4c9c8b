//! Collects the series directory of a section: where each series lies, its times, and its tags as dictionary codes.

use super::bytes::pad_to_8;
use super::interner::{Interner, ranks};
use super::series_shape::SeriesShape;
use crate::error::{Error, Result};
use crate::types::{ColumnId, SeriesKey};

/// The directory of the section that is being written.
#[derive(Debug)]
pub(super) struct DirectoryWriter {
    row_starts: Vec<u32>,
    min_times: Vec<i64>,
    max_times: Vec<i64>,
    steps: Vec<i64>,
    tags: Vec<TagWriter>,
}

#[derive(Debug)]
struct TagWriter {
    id: ColumnId,
    values: Interner,
    /// Per series: 0 for NULL, else the provisional code plus one.
    codes: Vec<u32>,
}

impl DirectoryWriter {
    pub(super) fn new(tags: impl Iterator<Item = ColumnId>) -> Self {
        let tags = tags.map(|id| TagWriter { id, values: Interner::default(), codes: Vec::new() }).collect();
        Self { row_starts: Vec::new(), min_times: Vec::new(), max_times: Vec::new(), steps: Vec::new(), tags }
    }

    pub(super) fn series_count(&self) -> usize {
        self.row_starts.len()
    }

    /// Adds a series whose rows start at `row_start`.
    ///
    /// # Errors
    /// `InvalidInput` when the key has more tags than the table, or text that is not UTF-8.
    pub(super) fn push(&mut self, key: &SeriesKey, row_start: u32, shape: &SeriesShape) -> Result<()> {
        if !SeriesKey::is_well_formed(key.as_bytes(), self.tags.len()) {
            return Err(Error::invalid(format!("a series key does not fit the {} tags of the table", self.tags.len())));
        }
        let values = key.decode(self.tags.len());
        for (tag, value) in self.tags.iter_mut().zip(values) {
            let code = match value {
                None => 0,
                Some(value) if std::str::from_utf8(&value).is_ok() => tag.values.intern(&value) + 1,
                Some(_) => return Err(Error::invalid("the value of a tag must be UTF-8")),
            };
            tag.codes.push(code);
        }
        self.row_starts.push(row_start);
        self.min_times.push(shape.min_time);
        self.max_times.push(shape.max_time);
        self.steps.push(shape.step_ns);
        Ok(())
    }

    /// About how much memory the directory will have taken when it ends here: its entries, its tag values, and the bytes
    /// of the file that are made of both.
    pub(super) fn memory_bytes(&self) -> usize {
        // First row, three times, a code per tag; here and in the file.
        let entries = 2 * self.series_count() * (28 + 4 * self.tags.len());
        entries + self.tags.iter().map(|tag| tag.values.memory_bytes_sorted()).sum::<usize>()
    }

    /// Smallest and largest time of all series.
    pub(super) fn time_bounds(&self) -> Option<(i64, i64)> {
        Some((*self.min_times.iter().min()?, *self.max_times.iter().max()?))
    }

    /// Appends the directory, `row_count` rows long, to the metadata of the section.
    pub(super) fn append_to(&self, row_count: u32, out: &mut Vec<u8>) -> Result<()> {
        for row in self.row_starts.iter().chain([&row_count]) {
            out.extend_from_slice(&row.to_le_bytes());
        }
        pad_to_8(out);
        for times in [&self.min_times, &self.max_times, &self.steps] {
            for value in times {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        self.tags.iter().try_for_each(|tag| tag.append_to(out))
    }
}

impl TagWriter {
    fn append_to(&self, out: &mut Vec<u8>) -> Result<()> {
        let values = self.values.values();
        if u32::try_from(values.byte_len()).is_err() {
            return Err(Error::invalid("the distinct values of a tag exceed 4 GiB in one segment"));
        }
        let sorted = self.values.sorted_codes();
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&(values.len() as u32).to_le_bytes());
        let mut end = 0u32;
        out.extend_from_slice(&end.to_le_bytes());
        for &code in &sorted {
            end += values.get(code as usize).len() as u32;
            out.extend_from_slice(&end.to_le_bytes());
        }
        for &code in &sorted {
            out.extend_from_slice(values.get(code as usize));
        }
        pad_to_8(out);
        let ranks = ranks(&sorted);
        for &code in &self.codes {
            let code = if code == 0 { 0 } else { ranks[code as usize - 1] + 1 };
            out.extend_from_slice(&code.to_le_bytes());
        }
        pad_to_8(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_that_do_not_fit_the_table_are_refused() {
        let mut directory = DirectoryWriter::new([ColumnId(1)].into_iter());
        let key = |tags: &[&[u8]]| SeriesKey::from_tags(tags.iter().map(|tag| Some(*tag)));
        let shape = SeriesShape::of(&[1, 1]).unwrap();
        assert!(directory.push(&key(&[b"a", b"b"]), 0, &shape).is_err());
        assert!(directory.push(&key(&[b"\xFF"]), 0, &shape).is_err());
        assert!(directory.push(&key(&[b"a"]), 0, &shape).is_ok());
    }
}
