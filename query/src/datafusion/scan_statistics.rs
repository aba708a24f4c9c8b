//! What a scan says of its rows before it reads them.
//!
//! Exact numbers answer `count(*)`, `min(time)` and `max(time)` without a scan, so they are given only where the snapshot
//! proves them: see `SeriesSet::known_rows`. Everything else is an estimate or absent.

use std::ops::Range;

use arrow::array::Array;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use lynxstore_storage::encoding::VECTOR_LEN;
use lynxstore_storage::snapshot::{KnownRows, TagValues};

use super::scan_source::{ScanColumn, ScanSource};

/// Zone maps that are looked at for the number of NULLs of all fields.
const ZONE_MAPS_MAX: u64 = 1 << 16;

/// The statistics of some series of a scan that reads at most `fetch` rows of them.
pub(super) fn statistics(source: &ScanSource, series: Range<usize>, fetch: Option<usize>) -> Statistics {
    // Bounds of fields leave out whole blocks of rows that the condition above would drop.
    let known = if source.bounds.is_empty() { source.series.known_rows(series.clone()) } else { None };
    let mut statistics = Statistics::new_unknown(&source.schema);
    let Some(known) = known else {
        // Duplicates are still in the estimate, and so are rows outside the time range.
        let estimate = source.series.iter().skip(series.start).take(series.len());
        let rows = as_count(estimate.map(|series| series.row_count_estimate()).sum());
        statistics.num_rows = Precision::Inexact(fetch.map_or(rows, |fetch| rows.min(fetch)));
        return statistics;
    };
    let rows = as_count(known.count);
    if let Some(fetch) = fetch.filter(|fetch| *fetch < rows) {
        statistics.num_rows = Precision::Exact(fetch);
        return statistics;
    }
    statistics.num_rows = Precision::Exact(rows);
    let mut tags = source.tags.iter();
    statistics.column_statistics = source
        .columns
        .iter()
        .map(|column| match column {
            ScanColumn::Time => time_statistics(known),
            ScanColumn::Tag(_) => {
                tags.next().map_or_else(ColumnStatistics::default, |tag| tag_statistics(source, tag, series.clone()))
            }
            ScanColumn::Field(field) => field_statistics(source, *field, known),
        })
        .collect();
    statistics
}

fn time_statistics(known: KnownRows) -> ColumnStatistics {
    let column = ColumnStatistics::new_unknown().with_null_count(Precision::Exact(0));
    if known.count == 0 {
        return column;
    }
    let time = |time_ns| Precision::Exact(ScalarValue::TimestampNanosecond(Some(time_ns), None));
    column.with_min_value(time(known.times.start_ns)).with_max_value(time(known.times.end_ns))
}

/// Of a tag the rows without it, and how many values it has. The rows of its series are known when those of all are.
fn tag_statistics(source: &ScanSource, tag: &TagValues, series: Range<usize>) -> ColumnStatistics {
    let mut has_rows = vec![false; tag.values.len()];
    let mut nulls = 0;
    for position in series {
        let rows = source.series.known_rows(position..position + 1).map_or(0, |known| known.count);
        match tag.indices[position] {
            TagValues::NULL => nulls += rows,
            index => has_rows[index as usize] |= rows > 0,
        }
    }
    let values = has_rows.into_iter().filter(|has_rows| *has_rows).count();
    ColumnStatistics::new_unknown()
        .with_null_count(Precision::Exact(as_count(nulls)))
        .with_distinct_count(Precision::Exact(values))
}

fn field_statistics(source: &ScanSource, field: usize, known: KnownRows) -> ColumnStatistics {
    let zone_maps = known.count / VECTOR_LEN as u64 * source.columns.len() as u64;
    let nulls = if zone_maps <= ZONE_MAPS_MAX { source.series.known_null_count(field, known) } else { None };
    let nulls = nulls.map_or(Precision::Absent, |nulls| Precision::Exact(as_count(nulls)));
    ColumnStatistics::new_unknown().with_null_count(nulls)
}

fn as_count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
