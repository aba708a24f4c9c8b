//! Exemplars and metadata as rows of tables of their own.
//!
//! `prometheus_exemplars` has the tags `metric`, `series` (the labels as text) and `ordinal`, and the fields `value` and
//! `labels`. A row is identified by tags and time, so exemplars of one series that share a millisecond are told apart by
//! `ordinal`: NULL for the first in a request, then `1`, `2` and so on. A repeated request gets the same ordinals.
//!
//! `prometheus_metadata` has the tag `metric` and the fields `type`, `help` and `unit`. Its time is that of arrival; a
//! family that a request describes more than once (several targets, several texts) gets one row per nanosecond after it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::buffer::ScalarBuffer;
use lynxstore_storage::types::{ColumnId, FieldType, SeriesBatch, SeriesKey, SeriesRows, TableSchema};

use super::Metadata;
use super::rejection::{Counts, RejectReason, Rejections};
use crate::ingest::tables::TableNeed;

const EXEMPLAR_TAGS: [&str; 3] = ["metric", "series", "ordinal"];
const EXEMPLAR_FIELDS: [(&str, FieldType); 2] = [("value", FieldType::F64), ("labels", FieldType::String)];
const METADATA_TAGS: [&str; 1] = ["metric"];
const METADATA_FIELDS: [(&str, FieldType); 3] =
    [("type", FieldType::String), ("help", FieldType::String), ("unit", FieldType::String)];

/// An exemplar with its series in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExemplarRow {
    pub(super) metric: Arc<str>,
    pub(super) series: Arc<str>,
    pub(super) time_ns: i64,
    pub(super) value: f64,
    pub(super) labels: String,
}

/// A metadata entry that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetadataRow<'a> {
    metric: &'a str,
    metric_type: String,
    help: &'a str,
    unit: &'a str,
}

pub(super) fn exemplar_need() -> TableNeed {
    need(&EXEMPLAR_TAGS, &EXEMPLAR_FIELDS)
}

pub(super) fn metadata_need() -> TableNeed {
    need(&METADATA_TAGS, &METADATA_FIELDS)
}

fn need(tags: &[&str], fields: &[(&'static str, FieldType)]) -> TableNeed {
    TableNeed {
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        fields: fields.iter().map(|(name, field_type)| ((*name).into(), *field_type)).collect(),
        ..TableNeed::default()
    }
}

/// Positions of tags in the key and ids of fields; `None` when the table was declared otherwise.
fn columns<const T: usize, const F: usize>(
    schema: &TableSchema,
    tags: [&str; T],
    fields: [(&str, FieldType); F],
) -> Option<([usize; T], [ColumnId; F])> {
    let mut positions = [0; T];
    for (position, tag) in positions.iter_mut().zip(tags) {
        *position = schema.tag_index(tag)?;
    }
    let mut ids = [ColumnId(0); F];
    for (id, (name, field_type)) in ids.iter_mut().zip(fields) {
        let field = &schema.fields[schema.field_index(name)?];
        *id = (field.field_type == field_type).then_some(field.id)?;
    }
    Some((positions, ids))
}

fn key<const T: usize>(schema: &TableSchema, positions: [usize; T], values: [Option<&str>; T]) -> SeriesKey {
    let mut tags = vec![None; schema.tags.len()];
    for (position, value) in positions.into_iter().zip(values) {
        tags[position] = value.map(str::as_bytes);
    }
    SeriesKey::from_tags(tags)
}

/// Sorts rows by series and says where each series stands.
fn group<R>(rows: &mut [(SeriesKey, R)]) -> Vec<SeriesRows> {
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut series = Vec::new();
    let mut start = 0_u32;
    for of_series in rows.chunk_by(|(a, _), (b, _)| a == b) {
        let end = start + u32::try_from(of_series.len()).expect("limits are far below u32");
        series.push(SeriesRows { key: of_series[0].0.clone(), rows: start..end });
        start = end;
    }
    series
}

/// The batch of exemplars; `None` when the table cannot take them.
pub(super) fn exemplar_batch(schema: &TableSchema, rows: Vec<ExemplarRow>) -> Option<SeriesBatch> {
    let (positions, [value, labels]) = columns(schema, EXEMPLAR_TAGS, EXEMPLAR_FIELDS)?;
    let ordinals = ordinals(&rows);
    let mut keyed: Vec<_> = rows
        .into_iter()
        .zip(ordinals)
        .map(|(row, ordinal)| {
            let ordinal = (ordinal > 0).then(|| ordinal.to_string());
            (key(schema, positions, [Some(&row.metric), Some(&row.series), ordinal.as_deref()]), row)
        })
        .collect();
    let series = group(&mut keyed);
    let times: Vec<_> = keyed.iter().map(|(_, row)| row.time_ns).collect();
    let values: ArrayRef = Arc::new(keyed.iter().map(|(_, row)| Some(row.value)).collect::<Float64Array>());
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(keyed.iter().map(|(_, row)| &row.labels)));
    let fields = vec![(value, values), (labels, texts)];
    Some(SeriesBatch { table: schema.id, series, times: ScalarBuffer::from(times), fields })
}

/// Numbers the different exemplars of each series and time from 0; equal ones share a number.
fn ordinals(rows: &[ExemplarRow]) -> Vec<u32> {
    let mut seen = HashMap::<(&str, &str, i64), HashMap<(&str, u64), u32>>::with_capacity(rows.len());
    let mut ordinals = Vec::with_capacity(rows.len());
    for row in rows {
        let contents = seen.entry((&*row.metric, &*row.series, row.time_ns)).or_default();
        let next = u32::try_from(contents.len()).expect("limits are far below u32");
        ordinals.push(*contents.entry((row.labels.as_str(), row.value.to_bits())).or_insert(next));
    }
    ordinals
}

/// Checks metadata entries and puts their types into words.
pub(super) fn metadata_rows<'a>(metadata: &[Metadata<'a>], rejections: &mut Rejections) -> Vec<MetadataRow<'a>> {
    let mut rows = Vec::with_capacity(metadata.len());
    for entry in metadata {
        let counts = Counts { metadata: 1, ..Counts::default() };
        let texts = [entry.family, entry.help, entry.unit].map(str::from_utf8);
        match texts {
            [Ok(""), _, _] => rejections
                .add(RejectReason::MissingMetricName, counts, || "a metadata entry names no metric family".into()),
            [Ok(metric), Ok(help), Ok(unit)] => {
                rows.push(MetadataRow { metric, metric_type: type_name(entry.metric_type), help, unit });
            }
            _ => rejections
                .add(RejectReason::InvalidUtf8, counts, || "a metadata entry has text that is not UTF-8".into()),
        }
    }
    rows
}

/// The metric type in the words of the exposition formats; a number that the protocol does not know stays a number.
fn type_name(number: u64) -> String {
    const NAMES: [&str; 8] =
        ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
    match usize::try_from(number).ok().and_then(|index| NAMES.get(index)) {
        Some(name) => (*name).to_owned(),
        None => number.to_string(),
    }
}

/// The batch of metadata; `None` when the table cannot take it.
pub(super) fn metadata_batch(schema: &TableSchema, rows: Vec<MetadataRow<'_>>, arrival_ns: i64) -> Option<SeriesBatch> {
    let (positions, [metric_type, help, unit]) = columns(schema, METADATA_TAGS, METADATA_FIELDS)?;
    let mut keyed: Vec<_> = rows.into_iter().map(|row| (key(schema, positions, [Some(row.metric)]), row)).collect();
    let series = group(&mut keyed);
    let mut times = vec![arrival_ns; keyed.len()];
    for of_series in &series {
        let range = of_series.rows.start as usize..of_series.rows.end as usize;
        for (offset, time) in times[range].iter_mut().enumerate() {
            *time = time.saturating_add(i64::try_from(offset).expect("limits are far below i64"));
        }
    }
    let types: ArrayRef = Arc::new(StringArray::from_iter_values(keyed.iter().map(|(_, row)| &row.metric_type)));
    let helps: ArrayRef = Arc::new(StringArray::from_iter_values(keyed.iter().map(|(_, row)| row.help)));
    let units: ArrayRef = Arc::new(StringArray::from_iter_values(keyed.iter().map(|(_, row)| row.unit)));
    let fields = vec![(metric_type, types), (help, helps), (unit, units)];
    Some(SeriesBatch { table: schema.id, series, times: ScalarBuffer::from(times), fields })
}
