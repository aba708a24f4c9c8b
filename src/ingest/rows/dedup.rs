//! Events of which each is stored once, by a key that the sender names.
//!
//! Exact by construction, without a window and without anything to persist: under the lock of the table the rows that
//! are stored between the first and the last time of the request are read, and rows whose key is among them are left
//! out. Memory is bounded by the request; the cost grows with the rows that are stored in that span of time, which is
//! split at its widest gaps, so that a few late events do not make everything between be read. Only requests that name a
//! key are held to it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use lynxstore_storage::snapshot::{Snapshot, TagFilter};
use lynxstore_storage::types::{TableSchema, TimeRange};
use lynxstore_storage::{Error, Result};
use parking_lot::{Mutex, MutexGuard};

use super::known_series::SeriesIndex;
use super::table_rows::TakenRows;

/// Locks of tables, shared by those whose names hash alike.
const LOCKS: usize = 64;
/// Spans into which the times of a request are split.
const SPANS_MAX: usize = 16;

/// The locks of tables whose requests name a key.
#[derive(Debug)]
pub(super) struct KeyLocks(Box<[Mutex<()>]>);

impl Default for KeyLocks {
    fn default() -> Self {
        Self((0..LOCKS).map(|_| Mutex::new(())).collect())
    }
}

impl KeyLocks {
    /// Locks tables, always in the same order.
    pub(super) fn lock<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<MutexGuard<'_, ()>> {
        let number = |name: &str| {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish() as usize % LOCKS
        };
        let numbers: BTreeSet<usize> = names.map(number).collect();
        numbers.into_iter().map(|number| self.0[number].lock()).collect()
    }
}

/// What a row is told by, beside its time: a part per column of the key.
type Key = Vec<u8>;

/// Appends the key of a row.
type FillKey<'f> = dyn FnMut(&mut Key) + 'f;

/// Is shown the time of a stored row, and a way to its key, which few rows need.
pub(super) type VisitRow<'v> = dyn FnMut(i64, &mut FillKey<'_>) + 'v;

/// Appends a part that is text or NULL.
fn push_text(key: &mut Key, text: Option<&str>) {
    match text {
        None => key.push(0),
        Some(text) => push_bytes(key, 1, text.as_bytes()),
    }
}

fn push_bytes(key: &mut Key, kind: u8, bytes: &[u8]) {
    key.push(kind);
    key.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    key.extend_from_slice(bytes);
}

/// Appends the value of a field; of numbers the bits.
fn push_value(key: &mut Key, values: &ArrayRef, row: usize) {
    use arrow::datatypes::DataType;
    if values.is_null(row) {
        key.push(0);
        return;
    }
    match values.data_type() {
        DataType::Utf8 => push_text(key, Some(values.as_string::<i32>().value(row))),
        DataType::Binary => push_bytes(key, 1, values.as_binary::<i32>().value(row)),
        DataType::Boolean => push_bytes(key, 2, &[u8::from(values.as_boolean().value(row))]),
        DataType::Int64 => push_bytes(key, 2, &values.as_primitive::<Int64Type>().value(row).to_le_bytes()),
        DataType::UInt64 => push_bytes(key, 2, &values.as_primitive::<UInt64Type>().value(row).to_le_bytes()),
        // The only other type of a field.
        _ => push_bytes(key, 2, &values.as_primitive::<Float64Type>().value(row).to_bits().to_le_bytes()),
    }
}

/// Reads the keys of the stored rows of a table within a range: hands their times and keys to `visit`.
pub(super) fn stored_rows(
    snapshot: &Snapshot,
    table: &TableSchema,
    range: TimeRange,
    columns: &[String],
    visit: &mut VisitRow<'_>,
) -> Result<()> {
    let table = match snapshot.table_by_id(table.id) {
        Ok(table) => table,
        // It was dropped: nothing is stored.
        Err(Error::TableNotFound { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let schema = table.schema().clone();
    let fields: Vec<usize> = columns.iter().filter_map(|name| schema.field_index(name)).collect();
    let set = table.series(&TagFilter::all(), range)?;
    let mut scan = set.scan(&fields, range);
    for number in 0..set.len() {
        let series = set.get(number);
        if !series.time_bounds().overlaps(range) {
            continue;
        }
        let tags: Vec<Option<String>> =
            columns.iter().map(|name| schema.tag_index(name).and_then(|tag| series.tag(tag))).collect();
        scan.open(number)?;
        while let Some(mut block) = scan.next_block()? {
            let arrays = (0..fields.len()).map(|field| block.array(field)).collect::<Result<Vec<_>>>()?;
            let len = block.len();
            let times = block.times()?;
            for row in 0..len {
                visit(times.get(row), &mut |key| {
                    let mut arrays = arrays.iter();
                    for (name, tag) in columns.iter().zip(&tags) {
                        if schema.field_index(name).is_some() {
                            push_value(key, arrays.next().expect("there is an array per field of the key"), row);
                        } else {
                            push_text(key, tag.as_deref());
                        }
                    }
                });
            }
        }
    }
    Ok(())
}

impl TakenRows {
    /// Leaves out rows whose time and key `stored` shows, or an earlier row has.
    pub(super) fn remove_duplicates(
        &mut self,
        columns: &[String],
        index: &SeriesIndex,
        stored: impl Fn(TimeRange, &[String], &mut VisitRow<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut rows = HashMap::<(i64, Key), usize>::with_capacity(self.times.len());
        let mut keep = vec![false; self.times.len()];
        for (row, (&time_ns, keep)) in self.times.iter().zip(&mut keep).enumerate() {
            let key = self.key(columns, index, row);
            if let Entry::Vacant(entry) = rows.entry((time_ns, key)) {
                entry.insert(row);
                *keep = true;
            }
        }
        let times: HashSet<i64> = self.times.iter().copied().collect();
        let mut probe = (0, Key::new());
        for range in spans(&self.times) {
            stored(range, columns, &mut |time_ns, fill| {
                if times.contains(&time_ns) {
                    probe.0 = time_ns;
                    probe.1.clear();
                    fill(&mut probe.1);
                    if let Some(&row) = rows.get(&probe) {
                        keep[row] = false;
                    }
                }
            })?;
        }
        if keep.contains(&false) {
            self.retain(keep)?;
        }
        Ok(())
    }

    fn key(&self, columns: &[String], index: &SeriesIndex, row: usize) -> Key {
        let mut key = Key::new();
        for name in columns {
            if let Some(column) = self.columns.iter().find(|column| *column.name == **name) {
                push_value(&mut key, &column.values, row);
            } else {
                let series = index.get(self.series[self.groups[row] as usize]);
                push_text(&mut key, series.tags.iter().find(|(tag, _)| **tag == **name).map(|(_, value)| &**value));
            }
        }
        key
    }

    fn retain(&mut self, keep: Vec<bool>) -> Result<()> {
        let mut flags = keep.iter();
        self.times.retain(|_| *flags.next().expect("there is a flag per row"));
        let mut flags = keep.iter();
        self.groups.retain(|_| *flags.next().expect("there is a flag per row"));
        let mask = BooleanArray::from(keep);
        for column in &mut self.columns {
            column.values = filter(&column.values, &mask)
                .map_err(|error| Error::invalid(format!("rows cannot be left out: {error}")))?;
        }
        self.columns.retain(|column| column.values.null_count() < column.values.len());
        // Every series of a batch has a row.
        let mut places = vec![u32::MAX; self.series.len()];
        let mut series = Vec::new();
        for group in &mut self.groups {
            let place = &mut places[*group as usize];
            if *place == u32::MAX {
                *place = u32::try_from(series.len()).expect("there are no more series than before");
                series.push(self.series[*group as usize]);
            }
            *group = *place;
        }
        self.series = series;
        Ok(())
    }
}

/// The times as a few closed ranges, split where the gaps are widest.
fn spans(times: &[i64]) -> Vec<TimeRange> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let Some((&first, &last)) = sorted.first().zip(sorted.last()) else { return Vec::new() };
    let mut gaps: Vec<(u64, usize)> =
        sorted.windows(2).enumerate().map(|(index, pair)| (pair[1].abs_diff(pair[0]), index)).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    let mut cuts: Vec<usize> = gaps.into_iter().take(SPANS_MAX - 1).map(|(_, index)| index).collect();
    cuts.sort_unstable();
    let mut ranges = Vec::with_capacity(cuts.len() + 1);
    let mut start_ns = first;
    for cut in cuts {
        ranges.push(TimeRange { start_ns, end_ns: sorted[cut] });
        start_ns = sorted[cut + 1];
    }
    ranges.push(TimeRange { start_ns, end_ns: last });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_every_time_and_leave_out_the_widest_gaps() {
        assert!(spans(&[]).is_empty());
        assert_eq!(spans(&[7, 7]), [TimeRange { start_ns: 7, end_ns: 7 }]);
        let times: Vec<i64> =
            (0..40).flat_map(|hour| [hour * 1_000 + hour * hour, hour * 1_000 + hour * hour + 1]).collect();
        let spans = spans(&times);
        assert_eq!(spans.len(), SPANS_MAX);
        assert!(times.iter().all(|&time| spans.iter().filter(|span| span.contains(time)).count() == 1));
        // The gaps grow, so the last ones are the widest.
        assert!(spans[0].end_ns - spans[0].start_ns > 20_000);
        assert_eq!(spans[15].end_ns - spans[15].start_ns, 1);
        assert_eq!(super::spans(&[i64::MIN, i64::MAX]).len(), 2);
    }
}
