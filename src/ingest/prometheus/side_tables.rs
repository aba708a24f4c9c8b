//! Exemplars and metadata as rows of tables of their own.
//!
//! `prometheus_exemplars` has the tags `metric` and `series` (the labels as text), and the fields `value` and `labels`. A
//! row is identified by tags and time, and the time of an exemplar is a whole millisecond: the digits below it are taken
//! from a hash of its labels and its value. So different exemplars of one series and millisecond are different rows,
//! whatever request brings them, and a repeated one is the same row. Two of a million pairs of them would still meet; a
//! tag in place of the digits would make a series of each exemplar.
//!
//! `prometheus_metadata` has the tag `metric` and the fields `type`, `help` and `unit`. Its time is that of arrival; a
//! family that a request describes more than once (several targets, several texts) gets one row per nanosecond after it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::buffer::ScalarBuffer;
use lynxstore_storage::types::{ColumnId, FieldType, SeriesBatch, SeriesKey, SeriesRows, TableSchema};

use super::Metadata;
use super::rejection::{Counts, Description, RejectReason, Rejections};
use crate::ingest::tables::TableNeed;

const EXEMPLAR_TAGS: [&str; 2] = ["metric", "series"];
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

impl ExemplarRow {
    /// The time of the row: that of the exemplar, a whole millisecond, and what tells it from others of that millisecond.
    fn row_time_ns(&self) -> i64 {
        const MILLISECOND_NS: u64 = 1_000_000;
        // FNV-1a: the same in every build and on every machine, since it ends up on the disk.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let bytes = self.labels.bytes().chain(self.value.to_bits().to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, step);
        self.time_ns.saturating_add((hash % MILLISECOND_NS) as i64)
    }
}

/// A metadata entry that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetadataRow<'a> {
    pub(super) metric: String,
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

/// The key of the series of an exemplar; `None` when the table was declared otherwise.
pub(super) fn exemplar_key(schema: &TableSchema, row: &ExemplarRow) -> Option<SeriesKey> {
    let (positions, _) = columns(schema, EXEMPLAR_TAGS, EXEMPLAR_FIELDS)?;
    Some(key(schema, positions, [Some(&row.metric), Some(&row.series)]))
}

/// The key of the series of a metadata entry; `None` when the table was declared otherwise.
pub(super) fn metadata_key(schema: &TableSchema, row: &MetadataRow<'_>) -> Option<SeriesKey> {
    let (positions, _) = columns(schema, METADATA_TAGS, METADATA_FIELDS)?;
    Some(key(schema, positions, [Some(&row.metric)]))
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
    let mut keyed: Vec<_> =
        rows.into_iter().map(|row| (key(schema, positions, [Some(&row.metric), Some(&row.series)]), row)).collect();
    let series = group(&mut keyed);
    let times: Vec<_> = keyed.iter().map(|(_, row)| row.row_time_ns()).collect();
    let values: ArrayRef = Arc::new(keyed.iter().map(|(_, row)| Some(row.value)).collect::<Float64Array>());
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(keyed.iter().map(|(_, row)| &row.labels)));
    let fields = vec![(value, values), (labels, texts)];
    Some(SeriesBatch { table: schema.id, series, times: ScalarBuffer::from(times), fields })
}

/// Checks metadata entries and puts their types into words.
pub(super) fn metadata_rows<'a>(metadata: &[Metadata<'a>], rejections: &mut Rejections) -> Vec<MetadataRow<'a>> {
    let mut rows = Vec::with_capacity(metadata.len());
    for entry in metadata {
        let counts = Counts { metadata: 1, ..Counts::default() };
        match (str::from_utf8(entry.family), metadata_row(entry.metric_type, entry.help, entry.unit)) {
            (Ok(""), _) => rejections.add(RejectReason::MissingMetricName, counts, || {
                Description::new(RejectReason::MissingMetricName, "a metadata entry names no metric family")
            }),
            (Ok(family), Some(row)) => rows.push(MetadataRow { metric: family.into(), ..row }),
            _ => rejections.add(RejectReason::InvalidUtf8, counts, || {
                Description::new(RejectReason::InvalidUtf8, "a metadata entry has text that is not UTF-8")
            }),
        }
    }
    rows
}

/// Metadata of a metric that is still to be named; `None` when a text is not UTF-8.
pub(super) fn metadata_row<'a>(metric_type: u64, help: &'a [u8], unit: &'a [u8]) -> Option<MetadataRow<'a>> {
    let (help, unit) = (str::from_utf8(help).ok()?, str::from_utf8(unit).ok()?);
    Some(MetadataRow { metric: String::new(), metric_type: type_name(metric_type), help, unit })
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
    let mut keyed: Vec<_> = rows.into_iter().map(|row| (key(schema, positions, [Some(&row.metric)]), row)).collect();
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
