//! The series of the sections of a table in slices: series that follow each other in key order, few enough for memory.
//!
//! Invariant: the slices ascend and are disjoint, and every series of every section is in exactly one of them. The
//! directories of the sections are read in place; in memory is the merged directory of one slice. A walk belongs to one
//! thread.

use std::ops::Range;

use super::index::SeriesIndex;
use super::series_set::SeriesSet;
use super::table::TableSnapshot;
use crate::segment::Section;

/// A walk over the series of a table's sections, whatever their times and without what is in memory.
#[derive(Debug)]
pub(crate) struct SeriesSlices {
    table: TableSnapshot,
    series_max: usize,
    /// Per section its first series that was in no slice.
    starts: Vec<usize>,
}

impl SeriesSlices {
    /// Slices in which the sections have about `series_max` series together: at most that and one per section.
    pub(crate) fn new(table: TableSnapshot, series_max: usize) -> Self {
        let starts = vec![0; table.sections().len()];
        Self { table, series_max, starts }
    }

    /// The next slice; `None` at the end.
    pub(crate) fn next_slice(&mut self) -> Option<SeriesSet> {
        let sections = self.table.sections();
        let left = |(section, start): (usize, &usize)| *start..sections[section].series_count();
        let left: Vec<Range<usize>> = self.starts.iter().enumerate().map(left).collect();
        let total: usize = left.iter().map(Range::len).sum();
        if total == 0 {
            return None;
        }
        // Each section may give its share; the one whose share ends first in key order says where the slice ends. That
        // one gives all of its share, so the walk goes on.
        let share =
            |left: &Range<usize>| (left.len() as u128 * self.series_max as u128 / total as u128).max(1) as usize;
        let ends = sections.iter().zip(&left).filter_map(|(section, left)| {
            let end = left.start + share(left);
            (end < left.end).then(|| section.series_key(end))
        });
        let parts: Vec<Range<usize>> = match ends.min() {
            Some(end) => {
                sections.iter().zip(left).map(|(section, left)| cut(section, left, |key| *key < end)).collect()
            }
            None => left,
        };
        let index = SeriesIndex::of_parts(self.table.schema(), sections, &parts);
        self.starts = parts.into_iter().map(|part| part.end).collect();
        Some(SeriesSet::of_index(self.table.clone(), index))
    }
}

/// The first of the series `left` for which `is_before` holds.
fn cut(section: &Section, left: Range<usize>, is_before: impl Fn(&crate::types::SeriesKey) -> bool) -> Range<usize> {
    let (mut low, mut high) = (left.start, left.end);
    while low < high {
        let middle = low.midpoint(high);
        match is_before(&section.series_key(middle)) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    left.start..low
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

    use super::*;
    use crate::engine::{Ack, Background, Engine, EngineOptions};
    use crate::ingest::group_rows;
    use crate::io::sim::SimIo;
    use crate::snapshot::TagFilter;
    use crate::types::{FieldType, SeriesKey, TableSchema, TableSpec, TimeRange};

    type Tags = (Option<String>, Option<String>);

    /// Writes a row per series and flushes; the second tag only where the table has it.
    fn flush(engine: &Engine, schema: &TableSchema, series: &[Tags]) {
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(0..series.len() as i64));
        let hosts: ArrayRef = Arc::new(series.iter().map(|(host, _)| host.clone()).collect::<StringArray>());
        let regions: ArrayRef = Arc::new(series.iter().map(|(_, region)| region.clone()).collect::<StringArray>());
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..series.len() as i64));
        let mut columns = vec![("time", times, false), ("host", hosts, true), ("v", values, true)];
        if schema.tags.len() > 1 {
            columns.push(("region", regions, true));
        }
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        engine.write(vec![group_rows(schema, &batch).unwrap()], Ack::Durable).unwrap();
        engine.flush().unwrap();
    }

    /// Six sections: overlapping, disjoint and equal series, NULLs, and a tag that the first three do not have.
    fn table() -> (Engine, TableSnapshot) {
        let options =
            EngineOptions { background: Background::Caller, wal_file_bytes_max: 64 << 10, ..EngineOptions::default() };
        let engine = Engine::open_with(Arc::new(SimIo::new()), Path::new("/db"), options).unwrap();
        let spec = TableSpec::new("t").tag("host").field("v", FieldType::I64);
        let schema = engine.create_table(&spec).unwrap();
        let hosts = |numbers: &mut dyn Iterator<Item = u32>| -> Vec<Tags> {
            numbers.map(|number| (Some(format!("host-{number:03}")), None)).collect()
        };
        flush(&engine, &schema, &hosts(&mut (0..100)));
        flush(&engine, &schema, &hosts(&mut (0..100).map(|number| number * 3)));
        flush(&engine, &schema, &[(None, None)]);
        let schema = engine.add_columns(schema.id, &["region".into()], &[]).unwrap();
        let regions = |number: u32| (!number.is_multiple_of(3)).then(|| format!("region-{}", number * 7 % 50));
        let with_region = |(host, _): Tags, number: u32| (host, regions(number));
        let many = hosts(&mut (50..150)).into_iter().zip(0..).map(|(tags, number)| with_region(tags, number));
        flush(&engine, &schema, &many.collect::<Vec<_>>());
        let one_host = (0..40).map(|number| (Some("host-060".to_owned()), regions(number)));
        flush(&engine, &schema, &one_host.collect::<Vec<_>>());
        flush(&engine, &schema, &hosts(&mut (900..950)));
        let table = engine.snapshot().table("public", "t").unwrap();
        (engine, table)
    }

    fn series_of(set: &SeriesSet) -> Vec<(SeriesKey, Vec<super::super::index::SectionSeries>)> {
        (0..set.len()).map(|series| (set.get(series).key(), set.section_sources(series).to_vec())).collect()
    }

    #[test]
    fn slices_together_are_the_merged_directory_and_none_is_larger_than_asked_for() {
        let (_engine, table) = table();
        let sections = table.section_count();
        assert_eq!(sections, 6);
        let whole = series_of(&table.series(&TagFilter::all(), TimeRange::ALL).unwrap());
        assert!(whole.is_sorted_by(|(a, _), (b, _)| a < b));
        for series_max in [1, 2, 3, 10, 50, 1_000] {
            let mut slices = SeriesSlices::new(table.clone(), series_max);
            let mut found = Vec::new();
            let mut count = 0;
            while let Some(set) = slices.next_slice() {
                let slice = series_of(&set);
                let sources: usize = slice.iter().map(|(_, sources)| sources.len()).sum();
                assert!(sources > 0 && sources <= series_max + sections, "{series_max}: {sources}");
                found.extend(slice);
                count += 1;
            }
            assert_eq!(found, whole, "{series_max}");
            assert_eq!(count > 1, series_max < 1_000, "{series_max}: {count} slices");
        }
    }
}
