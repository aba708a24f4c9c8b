//! The writer over a store in memory: what arrives in which table, and what happens when others change tables.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use lynxstore_storage::types::{SchemaMode, TableId, TableOptions, TableSpec};
use lynxstore_storage::{Error, Result};

use super::tests::{Message, captured, compress};
use super::writer::{RemoteWriter, WriteError, WriteOutcome};
use super::*;
use crate::ingest::Store;
use lynxstore_storage::types::{FieldType, SeriesBatch, TableSchema};
use parking_lot::Mutex;
use std::sync::Arc;

/// A time behind those of the captured bodies.
pub(super) const CAPTURED_BEFORE_NS: i64 = 1_800_000_000_000_000_000;

/// A cell as text: floats by their bits, so that NaNs compare.
type Row = (Vec<Option<String>>, i64, BTreeMap<String, String>);

/// Tables and rows in memory, with the checks that the engine makes.
#[derive(Default)]
pub(super) struct MemoryStore {
    tables: Mutex<BTreeMap<String, Arc<TableSchema>>>,
    rows: Mutex<BTreeMap<TableId, Vec<Row>>>,
    next_id: AtomicU64,
    changes: AtomicU64,
    /// The error of the next write.
    failure: Mutex<Option<Error>>,
}

impl MemoryStore {
    /// The next write fails.
    pub(super) fn fail_next(&self, error: Error) {
        *self.failure.lock() = Some(error);
    }

    pub(super) fn drop_table(&self, name: &str) {
        let schema = self.tables.lock().remove(name).unwrap();
        self.rows.lock().remove(&schema.id);
    }

    /// Rows of a table: tags as `name=value`, then time, then fields.
    pub(super) fn rows(&self, table: &str) -> Vec<(Vec<String>, i64, BTreeMap<String, String>)> {
        let schema = self.tables.lock()[table].clone();
        let mut rows: Vec<_> = self.rows.lock()[&schema.id]
            .iter()
            .map(|(tags, time, fields)| {
                let tags = schema.tags.iter().zip(tags);
                let tags = tags.filter_map(|(tag, value)| Some(format!("{}={}", tag.name, value.as_ref()?)));
                let mut tags: Vec<_> = tags.collect();
                tags.sort();
                (tags, *time, fields.clone())
            })
            .collect();
        rows.sort();
        rows
    }

    pub(super) fn row_count(&self) -> usize {
        self.rows.lock().values().map(Vec::len).sum()
    }
}

impl crate::ingest::quota::SeriesCount for Arc<MemoryStore> {
    fn series_count(&self, _: TableId) -> Option<u64> {
        None
    }

    fn series_total(&self, _: &str) -> u64 {
        0
    }
}

impl Store for Arc<MemoryStore> {
    fn table(&self, namespace: &str, name: &str) -> Result<Option<Arc<TableSchema>>> {
        assert_eq!(namespace, "public");
        Ok(self.tables.lock().get(name).cloned())
    }

    fn ensure_tables(&self, specs: &[TableSpec]) -> Result<()> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut tables = self.tables.lock();
        for spec in specs {
            if tables.contains_key(&spec.name) {
                continue;
            }
            let id = TableId(self.next_id.fetch_add(1, Ordering::Relaxed) + 1);
            tables.insert(spec.name.clone(), Arc::new(TableSchema::from_spec(id, spec)?));
            self.rows.lock().insert(id, Vec::new());
        }
        Ok(())
    }

    fn add_columns(&self, table: TableId, tags: &[String], fields: &[(String, FieldType)]) -> Result<()> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut tables = self.tables.lock();
        let Some(schema) = tables.values_mut().find(|schema| schema.id == table) else {
            return Err(Error::TableNotFound { name: table.to_string() });
        };
        let mut changed = TableSchema::clone(schema);
        for tag in tags {
            changed.add_tag(tag)?;
        }
        for (name, field_type) in fields {
            changed.add_field(name, *field_type)?;
        }
        *schema = Arc::new(changed);
        Ok(())
    }

    fn write_durably(&self, batches: Vec<SeriesBatch>) -> Result<()> {
        if let Some(error) = self.failure.lock().take() {
            return Err(error);
        }
        let tables = self.tables.lock();
        let mut all_rows = self.rows.lock();
        for batch in &batches {
            if !all_rows.contains_key(&batch.table) {
                return Err(Error::TableNotFound { name: batch.table.to_string() });
            }
        }
        for batch in batches {
            let schema = tables.values().find(|schema| schema.id == batch.table).unwrap();
            let keys: std::collections::BTreeSet<_> = batch.series.iter().map(|series| &series.key).collect();
            assert_eq!(keys.len(), batch.series.len(), "no key stands twice");
            let mut position = 0;
            for series in &batch.series {
                assert_eq!(series.rows.start, position, "ranges cover the rows");
                position = series.rows.end;
                let tags = series.key.decode(schema.tags.len());
                let tags: Vec<_> = tags.into_iter().map(|tag| tag.map(|tag| String::from_utf8(tag).unwrap())).collect();
                for row in series.rows.clone() {
                    let fields = batch.fields.iter().filter(|(_, array)| array.is_valid(row as usize));
                    let fields = fields.map(|(id, array)| {
                        let field = &schema.fields[schema.field_index_by_id(*id).unwrap()];
                        assert_eq!(*array.data_type(), field.field_type.arrow_type());
                        assert_eq!(array.len(), batch.times.len());
                        (field.name.clone(), cell(array, row as usize))
                    });
                    let row = (tags.clone(), batch.times[row as usize], fields.collect());
                    all_rows.get_mut(&batch.table).unwrap().push(row);
                }
            }
            assert_eq!(position as usize, batch.row_count());
        }
        Ok(())
    }
}

fn cell(array: &dyn Array, row: usize) -> String {
    if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        format!("{:016x}", values.value(row).to_bits())
    } else if let Some(values) = array.as_primitive_opt::<Int64Type>() {
        values.value(row).to_string()
    } else if let Some(values) = array.as_binary_opt::<i32>() {
        format!("{:02x?}", values.value(row))
    } else {
        array.as_string::<i32>().value(row).to_owned()
    }
}

pub(super) fn writer() -> (Arc<MemoryStore>, RemoteWriter<Arc<MemoryStore>>) {
    let store = Arc::new(MemoryStore::default());
    (store.clone(), RemoteWriter::new(store, "public", Limits::default(), 64 << 20))
}

fn write(writer: &RemoteWriter<Arc<MemoryStore>>, message: &Message) -> WriteOutcome {
    writer.write(&compress(message), Version::V1, 1_000).unwrap()
}

fn request(series: impl IntoIterator<Item = Message>) -> Message {
    series.into_iter().fold(Message::default(), |request, series| request.message(1, series))
}

fn series(metric: &str, labels: &[(&str, &str)]) -> Message {
    labels
        .iter()
        .fold(Message::default().label("__name__", metric), |message, (name, value)| message.label(name, value))
}

pub(super) fn bits(value: f64) -> BTreeMap<String, String> {
    BTreeMap::from([("value".into(), format!("{:016x}", value.to_bits()))])
}

fn good_histogram(time_ms: u64) -> Message {
    Message::default().varint(1, 1).double(3, 0.5).varint(6, 1).varint(15, time_ms)
}

#[test]
fn real_bodies_are_written_whole_and_the_second_time_from_the_cache() {
    for (name, body, stats) in captured("prometheus-3.5.3-rw1") {
        let (store, writer) = writer();
        let outcome = writer.write(&body, Version::V1, CAPTURED_BEFORE_NS).unwrap();
        let recorded = |key: &str| stats[key].as_u64().unwrap();
        let expected = Counts {
            series: recorded("series"),
            samples: recorded("samples"),
            histograms: recorded("histograms"),
            exemplars: recorded("exemplars"),
            metadata: recorded("metadata"),
        };
        assert_eq!(outcome.written, expected, "{name}");
        assert!(outcome.rejected.is_empty(), "{name}");
        assert_eq!(outcome.decoded_bytes, recorded("raw_len"), "{name}");
        let rows = expected.samples + expected.histograms + expected.exemplars + expected.metadata;
        assert_eq!(store.row_count() as u64, rows, "{name}");
        let (cached, changes) = (writer.cached_series(), store.changes.load(Ordering::Relaxed));
        // A request may name a series more than once.
        assert!(cached as u64 <= expected.samples + expected.histograms, "{name}: {cached}");
        assert_eq!(cached > 0, expected.series > 0, "{name}");

        assert_eq!(writer.write(&body, Version::V1, CAPTURED_BEFORE_NS).unwrap().written, expected, "{name}");
        assert_eq!(store.row_count() as u64, 2 * rows, "{name}");
        assert_eq!(store.changes.load(Ordering::Relaxed), changes, "{name}: no table changes");
        assert_eq!(writer.cached_series(), cached, "{name}");
    }
}

#[test]
fn samples_land_in_the_series_of_their_labels_bit_for_bit() {
    let (store, writer) = writer();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let message = request([
        series("up", &[("job", "a"), ("host", "h")]).sample(1.0, 5).sample(stale, -7),
        series("up", &[("host", "h"), ("job", "a"), ("none", "")]).sample(-0.0, 3),
        series("up", &[("job", "b")]).sample(f64::INFINITY, 0),
        series("down", &[]).sample(2.0, 1),
    ]);
    for _ in 0..2 {
        let outcome = write(&writer, &message);
        assert!(outcome.rejected.is_empty());
        assert_eq!((outcome.written.series, outcome.written.samples), (4, 5));
    }
    let mut rows = store.rows("up");
    rows.dedup();
    let both = vec!["host=h".to_owned(), "job=a".to_owned()];
    assert_eq!(
        rows,
        [
            (both.clone(), -7_000_000, bits(stale)),
            (both.clone(), 3_000_000, bits(-0.0)),
            (both, 5_000_000, bits(1.0)),
            (vec!["job=b".to_owned()], 0, bits(f64::INFINITY)),
        ]
    );
    assert_eq!(store.rows("down")[0], (vec![], 1_000_000, bits(2.0)));
}

#[test]
fn a_bad_series_is_counted_and_the_rest_is_written() {
    let (store, writer) = writer();
    let message = request([
        series("up", &[("job", "a"), ("job", "b")]).sample(1.0, 1).sample(1.0, 2),
        series("up", &[("job", "a")]).sample(1.0, 1).sample(1.0, i64::MAX),
        series("", &[("job", "a")]).sample(1.0, 1),
        Message::default(),
        series("up", &[("job", "h")]).message(4, Message::default().varint(1, 5).varint(15, 1)),
        series("up", &[("job", "x")]),
    ]);
    for _ in 0..2 {
        let outcome = write(&writer, &message);
        assert_eq!(outcome.written, Counts { series: 3, samples: 1, ..Counts::default() });
        assert_eq!(outcome.rejected.total(), Counts { series: 3, samples: 4, histograms: 1, ..Counts::default() });
        let by_reason: Vec<_> = outcome.rejected.by_reason().collect();
        assert_eq!(
            by_reason,
            [
                (RejectReason::MissingMetricName, 2),
                (RejectReason::DuplicateLabel, 1),
                (RejectReason::TimeOutOfRange, 1),
                (RejectReason::InvalidHistogram, 1),
            ]
        );
        assert_eq!(outcome.rejected.described()[0].detail, "series 0: label \"job\" stands twice");
    }
    assert_eq!(store.rows("up").len(), 2);
}

#[test]
fn a_body_that_is_not_well_formed_writes_and_creates_nothing() {
    let (store, writer) = writer();
    let good = series("up", &[]).sample(1.0, 1);
    let broken_label = Message::default().bytes(1, [0x0a, 0x05, b'x']).sample(1.0, 1);
    let broken_exemplar = good.clone().message(3, Message::default().bytes(1, [0x0a, 0x05]));
    for broken in [broken_label, broken_exemplar, Message::default().varint(2, 1)] {
        let error = writer.write(&compress(&request([good.clone(), broken])), Version::V1, 1_000).unwrap_err();
        assert!(matches!(error, WriteError::Decode(DecodeError::Protobuf { .. })), "{error}");
        assert!(store.tables.lock().is_empty());
    }
}

#[test]
fn histograms_keep_their_bytes_and_get_their_column_when_they_come() {
    let (store, writer) = writer();
    write(&writer, &request([series("latency", &[]).sample(1.0, 1)]));
    let histogram = good_histogram(2);
    let message = request([series("latency", &[]).message(4, histogram.clone()).sample(3.0, 3)]);
    for _ in 0..2 {
        let outcome = write(&writer, &message);
        assert!(outcome.rejected.is_empty());
        assert_eq!((outcome.written.samples, outcome.written.histograms), (1, 1));
    }
    let mut rows = store.rows("latency");
    rows.dedup();
    let stored = BTreeMap::from([("histogram".to_owned(), format!("{:02x?}", histogram.0))]);
    assert_eq!(rows, [(vec![], 1_000_000, bits(1.0)), (vec![], 2_000_000, stored), (vec![], 3_000_000, bits(3.0))]);
}

#[test]
fn reserved_names_of_labels_and_metrics_are_escaped() {
    let (store, writer) = writer();
    let labels = [("time", "t"), ("value", "v"), ("histogram", "h"), ("label_time", "lt"), ("start_time", "s")];
    let exemplar = Message::default().label("trace_id", "1").double(2, 1.0).varint(3, 1);
    let message = request([
        series("up", &labels).sample(1.0, 1),
        series("prometheus_exemplars", &[]).sample(2.0, 1).message(3, exemplar),
        series("prometheus_metadata", &[]).sample(3.0, 1),
    ]);
    assert!(write(&writer, &message).rejected.is_empty());
    let tags = ["label_histogram=h", "label_label_time=lt", "label_start_time=s", "label_time=t", "label_value=v"];
    assert_eq!(store.rows("up")[0].0, tags);
    assert_eq!(store.rows("metric_prometheus_exemplars")[0].2, bits(2.0));
    assert_eq!(store.rows("metric_prometheus_metadata")[0].2, bits(3.0));
    assert_eq!(store.rows("prometheus_exemplars")[0].0[0], "metric=prometheus_exemplars");
}

#[test]
fn exemplars_of_one_millisecond_are_told_apart_and_a_repeated_request_changes_nothing() {
    let (store, writer) = writer();
    let exemplar = |id: &str, value| Message::default().label("trace_id", id).double(2, value).varint(3, 4);
    let message = request([series("up", &[("job", "a\"b")])
        .message(3, exemplar("x", 1.0))
        .message(3, exemplar("y", 1.0))
        .message(3, exemplar("x", 1.0))
        .message(3, exemplar("x", f64::from_bits(0x7ff0_0000_0000_0002)))]);
    let outcome = write(&writer, &message);
    assert_eq!(outcome.written, Counts { series: 1, exemplars: 4, ..Counts::default() });
    let rows = |store: &MemoryStore| {
        let mut rows = store.rows("prometheus_exemplars");
        rows.dedup();
        rows
    };
    let first = rows(&store);
    assert_eq!(first.len(), 3);
    for row in &first {
        assert_eq!(row.0, ["metric=up", "series={job=\"a\\\"b\"}"]);
        assert_eq!(row.1.div_euclid(1_000_000), 4, "the millisecond is that of the exemplar");
    }
    let stale = first.iter().filter(|row| row.2["value"] == "7ff0000000000002").count();
    assert_eq!(stale, 1);
    // Others of that millisecond, and one of them again, in a request of their own.
    let other =
        request([series("up", &[("job", "a\"b")]).message(3, exemplar("z", 1.0)).message(3, exemplar("y", 1.0))]);
    write(&writer, &other);
    let mut all = rows(&store);
    all.dedup();
    assert_eq!(all.len(), 4);
    assert!(first.iter().all(|row| all.contains(row)));
    let first = all;
    write(&writer, &message);
    assert_eq!(rows(&store), first);
    assert!(!store.tables.lock().contains_key("up"), "a series without samples needs no table");
}

#[test]
fn metadata_has_the_time_of_arrival_and_keeps_every_text_of_a_family() {
    let (store, writer) = writer();
    let entry = |metric_type, family: &[u8], help: &str| {
        Message::default().varint(1, metric_type).bytes(2, family).bytes(4, help).bytes(5, "s")
    };
    let message = Message::default()
        .message(3, entry(1, b"up", "one"))
        .message(3, entry(99, b"up", "two"))
        .message(3, entry(1, b"", "three"))
        .message(3, entry(1, b"\xff", "four"));
    let outcome = write(&writer, &message);
    assert_eq!((outcome.written.metadata, outcome.rejected.total().metadata), (2, 2));
    let rows = store.rows("prometheus_metadata");
    let expected = |metric_type: &str, help: &str| {
        let fields = [("type", metric_type), ("help", help), ("unit", "s")];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    };
    let tags = vec!["metric=up".to_owned()];
    assert_eq!(rows, [(tags.clone(), 1_000, expected("counter", "one")), (tags, 1_001, expected("99", "two"))]);
}

#[test]
fn a_table_that_someone_declared_otherwise_refuses_only_what_does_not_fit() {
    let (store, writer) = writer();
    let strict = TableOptions { schema_mode: SchemaMode::Strict, ..TableOptions::default() };
    let specs = [
        TableSpec::new("integers").tag("job").field("value", FieldType::I64),
        TableSpec::new("field_named_job").field("job", FieldType::String),
        TableSpec::new("strict").tag("job").field("value", FieldType::F64).options(strict),
        TableSpec::new("other_time").time("ts").field("usage", FieldType::F64),
        TableSpec::new("prometheus_metadata").field("type", FieldType::I64),
    ];
    store.ensure_tables(&specs).unwrap();
    let message = request([
        series("integers", &[("job", "a")]).sample(1.0, 1),
        series("field_named_job", &[("job", "a")]).sample(1.0, 1),
        series("field_named_job", &[("host", "a")]).sample(2.0, 1),
        series("strict", &[("job", "a")]).sample(3.0, 1),
        series("strict", &[("host", "a")]).sample(1.0, 1),
        series("other_time", &[("job", "a")]).sample(4.0, 1),
    ])
    .message(3, Message::default().bytes(2, "up"));
    for _ in 0..2 {
        let outcome = write(&writer, &message);
        assert_eq!((outcome.written.samples, outcome.written.series), (3, 4));
        assert_eq!(outcome.rejected.by_reason().collect::<Vec<_>>(), [(RejectReason::SchemaConflict, 4)]);
        assert_eq!(outcome.rejected.total(), Counts { series: 2, samples: 3, metadata: 1, ..Counts::default() });
    }
    assert_eq!(store.rows("field_named_job")[0], (vec!["host=a".to_owned()], 1_000_000, bits(2.0)));
    assert_eq!(store.rows("strict")[0].2, bits(3.0));
    assert_eq!(store.rows("other_time")[0].2, bits(4.0));
}

#[test]
fn a_dropped_table_is_created_again() {
    let (store, writer) = writer();
    let message = request([series("up", &[("job", "a")]).sample(1.0, 1)]);
    write(&writer, &message);
    store.drop_table("up");
    let outcome = write(&writer, &message);
    assert_eq!(outcome.written.samples, 1);
    assert_eq!(store.rows("up").len(), 1);
}

#[test]
fn a_failing_store_is_reported_and_the_request_can_be_repeated() {
    let (store, writer) = writer();
    let message = request([series("up", &[]).sample(1.0, 1)]);
    *store.failure.lock() = Some(Error::Backpressure { used_bytes: 2, limit_bytes: 1 });
    let error = writer.write(&compress(&message), Version::V1, 1_000).unwrap_err();
    assert!(matches!(error, WriteError::Store(Error::Backpressure { .. })), "{error}");
    assert_eq!(store.row_count(), 0);
    assert_eq!(write(&writer, &message).written.samples, 1);
}

#[test]
fn concurrent_requests_that_create_the_same_tables_all_succeed() {
    let (store, writer) = writer();
    std::thread::scope(|scope| {
        for thread in 0..8_i64 {
            let writer = &writer;
            scope.spawn(move || {
                for round in 0..20 {
                    let label = format!("label{}", round / 4);
                    let all = (0..10).map(|metric| {
                        series(&format!("metric{}", metric + round), &[(&label, "x")]).sample(1.0, thread * 100 + round)
                    });
                    let outcome = write(writer, &request(all));
                    assert_eq!(outcome.written.samples, 10);
                    assert!(outcome.rejected.is_empty());
                }
            });
        }
    });
    assert_eq!(store.row_count(), 8 * 20 * 10);
}
