//! Writes remote-write requests: one request is one atomic, durable commit.
//!
//! Steps of a request: decompress and decode; find every series in the cache; parse the labels of those that are not in
//! it; create missing tables and columns; build one batch per table; commit. Nothing is written before the whole body is
//! known to be well-formed. Several threads write at once; they share the cache (read lock while looking up, write lock
//! for what is new) and the order of table changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lynxstore_storage::types::{FieldType, SeriesBatch, SeriesKey, TableSchema};
use parking_lot::{Mutex, RwLock};

use super::batches::{Occurrence, metric_batches, nanoseconds, time_example};
use super::label::LabelFault;
use super::names::{EXEMPLAR_TABLE, HISTOGRAM_COLUMN, METADATA_TABLE, VALUE_COLUMN};
use super::rejection::{Counts, RejectReason, Rejections};
use super::series_cache::{CachedSeries, MetricTable, SeriesCache};
use super::side_tables::{
    ExemplarRow, MetadataRow, exemplar_batch, exemplar_need, metadata_batch, metadata_need, metadata_rows,
};
use super::{
    DecodeError, Labels, Limits, Series, WriteRequest, decode, decompress, parse_labels, table_name, tag_name,
};
use crate::ingest::Store;
use crate::ingest::tables::{TableMaker, TableNeed};

/// Buffers for decompressed bodies that are kept for the next request are at most this large and this many.
const KEPT_BUFFER_BYTES_MAX: usize = 4 << 20;
const KEPT_BUFFERS_MAX: usize = 16;

/// How often a request starts again because one of its tables was dropped under it.
const ATTEMPTS_MAX: usize = 4;

/// What became of a request.
#[derive(Debug, Clone, Default)]
pub struct WriteOutcome {
    /// What is durable now. A series counts when it was not refused, even if it had no samples.
    pub written: Counts,
    /// What was left out.
    pub rejected: Rejections,
    /// Bytes of the decompressed request.
    pub decoded_bytes: u64,
}

/// A request of which nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The body is not an acceptable request.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The engine did not take it; the same request may be sent again.
    #[error(transparent)]
    Store(#[from] lynxstore_storage::Error),
}

/// Writes remote-write requests into a store.
#[derive(Debug)]
pub struct RemoteWriter<S> {
    store: S,
    namespace: String,
    limits: Limits,
    cache: RwLock<SeriesCache>,
    tables: TableMaker,
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// A series that is not in the cache, with its labels checked.
struct NewSeries<'r> {
    index: u32,
    hash: u64,
    table: String,
    labels: Labels<'r>,
}

/// What a request comes to on its way into the store.
struct Plan<'r> {
    occurrences: Vec<Occurrence>,
    new: Vec<NewSeries<'r>>,
    exemplars: Vec<ExemplarRow>,
    metadata: Vec<MetadataRow<'r>>,
    outcome: WriteOutcome,
}

impl<S: Store> RemoteWriter<S> {
    /// A writer into `namespace` of the store, with a series cache of at most `cache_bytes_max` bytes.
    pub fn new(store: S, namespace: impl Into<String>, limits: Limits, cache_bytes_max: usize) -> Self {
        Self {
            store,
            namespace: namespace.into(),
            limits,
            cache: RwLock::new(SeriesCache::new(cache_bytes_max)),
            tables: TableMaker::default(),
            buffers: Mutex::default(),
        }
    }

    /// The limits of a request.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Number of series in the cache.
    pub fn cached_series(&self) -> usize {
        self.cache.read().len()
    }

    /// Writes one request body; `arrival_ns` is the time of its metadata. When it returns `Ok`, everything in
    /// [`WriteOutcome::written`] is on disk.
    ///
    /// # Errors
    /// `Decode` when the body is refused, `Store` when the engine fails; in both cases nothing was written.
    pub fn write(&self, body: &[u8], arrival_ns: i64) -> Result<WriteOutcome, WriteError> {
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        let result = self.write_with(body, arrival_ns, &mut buffer);
        if buffer.capacity() <= KEPT_BUFFER_BYTES_MAX {
            let mut buffers = self.buffers.lock();
            if buffers.len() < KEPT_BUFFERS_MAX {
                buffers.push(buffer);
            }
        }
        result
    }

    fn write_with(&self, body: &[u8], arrival_ns: i64, buffer: &mut Vec<u8>) -> Result<WriteOutcome, WriteError> {
        let message = decompress(body, &self.limits, buffer)?;
        let request = decode(message, &self.limits)?;
        let mut attempt = 1;
        loop {
            match self.commit(&request, arrival_ns) {
                // A table that the cache or this request relied on was dropped: look again, create it again.
                Err(WriteError::Store(lynxstore_storage::Error::TableNotFound { .. })) if attempt < ATTEMPTS_MAX => {
                    self.cache.write().clear();
                    attempt += 1;
                }
                Ok(mut outcome) => {
                    outcome.decoded_bytes = message.len() as u64;
                    return Ok(outcome);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn commit(&self, request: &WriteRequest<'_>, arrival_ns: i64) -> Result<WriteOutcome, WriteError> {
        let mut plan = self.plan(request)?;
        let schemas = self.make_tables(request, &plan)?;
        self.add_new_series(request, &mut plan, &schemas);
        let Plan { mut occurrences, exemplars, metadata, mut outcome, .. } = plan;
        let WriteOutcome { written, rejected, .. } = &mut outcome;
        let mut batches = metric_batches(request, &mut occurrences, written, rejected)?;
        let (exemplar_count, metadata_count) = (exemplars.len() as u64, metadata.len() as u64);
        if let Some(schema) = schemas.get(EXEMPLAR_TABLE) {
            let counts = Counts { exemplars: exemplar_count, ..Counts::default() };
            push_side_batch(&mut batches, exemplar_batch(schema, exemplars), counts, EXEMPLAR_TABLE, &mut outcome);
        }
        if let Some(schema) = schemas.get(METADATA_TABLE) {
            let counts = Counts { metadata: metadata_count, ..Counts::default() };
            let batch = metadata_batch(schema, metadata, arrival_ns);
            push_side_batch(&mut batches, batch, counts, METADATA_TABLE, &mut outcome);
        }
        if !batches.is_empty() {
            self.store.write_durably(batches)?;
        }
        Ok(outcome)
    }

    /// Looks every series up, and checks what the cache does not know.
    fn plan<'r>(&self, request: &'r WriteRequest<'r>) -> Result<Plan<'r>, DecodeError> {
        let mut plan = Plan {
            occurrences: Vec::with_capacity(request.series.len()),
            new: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
            outcome: WriteOutcome::default(),
        };
        let mut unknown = Vec::new();
        let mut old = Vec::new();
        let cache = self.cache.read();
        for (index, series) in (0_u32..).zip(&request.series) {
            let hash = cache.hash(&series.labels);
            let mut is_old = false;
            match cache.find(hash, &series.labels, &mut is_old) {
                Some(found) if is_usable(found, series) => {
                    if is_old {
                        old.push((index, hash));
                    }
                    plan.occurrences.push(Occurrence { series: found.clone(), index });
                }
                _ => unknown.push((index, hash)),
            }
        }
        drop(cache);
        self.keep_old(request, &plan.occurrences, &old);

        plan.outcome.written.series = plan.occurrences.len() as u64;
        for (index, hash) in unknown {
            self.plan_new(index, hash, &request.series[index as usize], &mut plan)?;
        }
        for series in request.series.iter().filter(|series| !series.exemplars.is_empty()) {
            self.plan_exemplars(request, series, &mut plan)?;
        }
        plan.metadata = metadata_rows(&request.metadata, &mut plan.outcome.rejected);
        Ok(plan)
    }

    /// Moves series that were found in the old generation to the young one.
    fn keep_old(&self, request: &WriteRequest<'_>, occurrences: &[Occurrence], old: &[(u32, u64)]) {
        if old.is_empty() {
            return;
        }
        let mut cache = self.cache.write();
        for &(index, hash) in old {
            // Occurrences were pushed in request order.
            if let Ok(position) = occurrences.binary_search_by_key(&index, |occurrence| occurrence.index) {
                let labels = &request.series[index as usize].labels;
                cache.insert(hash, labels, occurrences[position].series.clone());
            }
        }
    }

    fn plan_new<'r>(
        &self,
        index: u32,
        hash: u64,
        series: &'r Series<'r>,
        plan: &mut Plan<'r>,
    ) -> Result<(), DecodeError> {
        match checked_labels(series, &self.limits)? {
            Ok((metric, labels)) => {
                plan.outcome.written.series += 1;
                if !series.samples.is_empty() || !series.histograms.is_empty() {
                    let table = table_name(metric).into_owned();
                    plan.new.push(NewSeries { index, hash, table, labels });
                }
            }
            Err(fault) => {
                let counts = counts_of(series);
                plan.outcome.rejected.add(fault.reason, counts, || format!("series {index}: {}", fault.detail));
            }
        }
        Ok(())
    }

    fn plan_exemplars<'r>(
        &self,
        request: &'r WriteRequest<'r>,
        series: &'r Series<'r>,
        plan: &mut Plan<'r>,
    ) -> Result<(), DecodeError> {
        // A series that was refused has already been counted with all its exemplars.
        let Ok((metric, labels)) = checked_labels(series, &self.limits)? else { return Ok(()) };
        let (metric, text) = (Arc::from(metric), Arc::from(labels.to_text()));
        for exemplar in &request.exemplars[series.exemplars.start as usize..series.exemplars.end as usize] {
            let counts = Counts { exemplars: 1, ..Counts::default() };
            let rejected = &mut plan.outcome.rejected;
            match (parse_labels(&exemplar.labels, &self.limits)?, nanoseconds(exemplar.time_ms)) {
                (Ok(labels), Some(time_ns)) => plan.exemplars.push(ExemplarRow {
                    metric: Arc::clone(&metric),
                    series: Arc::clone(&text),
                    time_ns,
                    value: exemplar.value,
                    labels: labels.to_text(),
                }),
                (Err(fault), _) => {
                    rejected.add(fault.reason, counts, || format!("exemplar of {metric}: {}", fault.detail))
                }
                (_, None) => rejected.add(RejectReason::TimeOutOfRange, counts, || time_example(exemplar.time_ms)),
            }
        }
        Ok(())
    }

    fn make_tables(
        &self,
        request: &WriteRequest<'_>,
        plan: &Plan<'_>,
    ) -> lynxstore_storage::Result<HashMap<String, Arc<TableSchema>>> {
        let mut needs = BTreeMap::<String, TableNeed>::new();
        for new in &plan.new {
            if !needs.contains_key(&new.table) {
                needs.insert(new.table.clone(), TableNeed::default());
            }
            let need = needs.get_mut(&new.table).expect("it was inserted just now");
            for (name, _) in new.labels.pairs() {
                let tag = tag_name(name);
                if !need.tags.contains(&*tag) {
                    need.tags.insert(tag.into_owned());
                }
            }
            need.field(VALUE_COLUMN, FieldType::F64);
            if !request.series[new.index as usize].histograms.is_empty() {
                need.field(HISTOGRAM_COLUMN, FieldType::Binary);
            }
        }
        if !plan.exemplars.is_empty() {
            needs.insert(EXEMPLAR_TABLE.into(), exemplar_need());
        }
        if !plan.metadata.is_empty() {
            needs.insert(METADATA_TABLE.into(), metadata_need());
        }
        if needs.is_empty() {
            return Ok(HashMap::new());
        }
        self.tables.ensure(&self.store, &self.namespace, &needs)
    }

    /// Gives every new series its key, and puts it into the cache.
    fn add_new_series(
        &self,
        request: &WriteRequest<'_>,
        plan: &mut Plan<'_>,
        schemas: &HashMap<String, Arc<TableSchema>>,
    ) {
        if plan.new.is_empty() {
            return;
        }
        let mut metric_tables = HashMap::<&str, Arc<MetricTable>>::new();
        let mut cache = self.cache.write();
        for new in &plan.new {
            let schema = &schemas[&new.table];
            let series = &request.series[new.index as usize];
            let Some(key) = series_key(schema, &new.labels) else {
                plan.outcome.written.series -= 1;
                // Exemplars do not need the table of the metric and are written.
                let counts = Counts { exemplars: 0, ..counts_of(series) };
                plan.outcome.rejected.add(RejectReason::SchemaConflict, counts, || {
                    format!("table {:?} has no tags for the labels {}", new.table, new.labels.to_text())
                });
                continue;
            };
            let table = metric_tables.entry(&new.table).or_insert_with(|| Arc::new(metric_table(schema)));
            let cached = cache.series(table, key);
            cache.insert(new.hash, &series.labels, Arc::clone(&cached));
            plan.occurrences.push(Occurrence { series: cached, index: new.index });
        }
    }
}

/// Whether the table of a cached series has what this occurrence of the series needs.
fn is_usable(found: &CachedSeries, series: &Series<'_>) -> bool {
    // A table whose column is in the way may have been dropped since, so a conflict is looked at anew each time.
    (series.samples.is_empty() || found.table.value.is_some())
        && (series.histograms.is_empty() || found.table.histogram.is_some())
}

/// The metric and the labels of a series.
fn checked_labels<'r>(
    series: &'r Series<'_>,
    limits: &Limits,
) -> Result<Result<(&'r str, Labels<'r>), LabelFault>, DecodeError> {
    Ok(parse_labels(&series.labels, limits)?.and_then(|labels| match labels.metric() {
        Some(metric) => Ok((metric, labels)),
        None => Err(LabelFault { reason: RejectReason::MissingMetricName, detail: labels.to_text() }),
    }))
}

fn counts_of(series: &Series<'_>) -> Counts {
    Counts {
        series: 1,
        samples: series.samples.len() as u64,
        histograms: series.histograms.len() as u64,
        exemplars: series.exemplars.len() as u64,
        metadata: 0,
    }
}

/// The key of labels in a table; `None` when the table lacks a tag for one of them.
fn series_key(schema: &TableSchema, labels: &Labels<'_>) -> Option<SeriesKey> {
    let mut values = vec![None; schema.tags.len()];
    for (name, value) in labels.pairs() {
        values[schema.tag_index(&tag_name(name))?] = Some(value.as_bytes());
    }
    Some(SeriesKey::from_tags(values))
}

fn metric_table(schema: &TableSchema) -> MetricTable {
    let field = |name: &str, field_type: FieldType| {
        let field = &schema.fields[schema.field_index(name)?];
        (field.field_type == field_type).then_some(field.id)
    };
    MetricTable {
        id: schema.id,
        value: field(VALUE_COLUMN, FieldType::F64),
        histogram: field(HISTOGRAM_COLUMN, FieldType::Binary),
    }
}

fn push_side_batch(
    batches: &mut Vec<SeriesBatch>,
    batch: Option<SeriesBatch>,
    counts: Counts,
    table: &str,
    outcome: &mut WriteOutcome,
) {
    match batch {
        Some(batch) => {
            batches.push(batch);
            outcome.written.add(counts);
        }
        None => outcome
            .rejected
            .add(RejectReason::SchemaConflict, counts, || format!("table {table:?} was declared with other columns")),
    }
}
