//! Writes remote-write requests: one request is one atomic, durable commit.
//!
//! Steps of a request: decompress and decode; find every series in the cache; parse the labels of those that are not in
//! it; create missing tables and columns; build one batch per table; commit. Nothing is written before the whole body is
//! known to be well-formed. Several threads write at once; they share the cache (read lock while looking up and, for a
//! request of known series only, while building its batches; write lock for what is new) and the order of table changes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lynxstore_storage::types::{FieldType, SeriesBatch, SeriesKey, TableSchema};
use parking_lot::{Mutex, RwLock};

use super::admission::AddedSeries;
use super::batches::{BatchSource, Occurrence, SeriesHandle, TimeBounds};
use super::decode::decode_with;
use super::metadata_memory::MetadataMemory;
use super::names::{EXEMPLAR_TABLE, HISTOGRAM_COLUMN, METADATA_TABLE, START_COLUMN, VALUE_COLUMN};
use super::plan::{Plan, Planner};
use super::rejection::{Counts, Description, RejectReason, Rejections};
use super::request::ListMemory;
use super::series_cache::{CachedSeries, Guess, KnownPlaces, MetricTable, SeriesCache};
use super::side_tables::{exemplar_batch, exemplar_need, metadata_batch, metadata_need};
use super::{DecodeError, Labels, Limits, Series, Version, WriteRequest, decompress, tag_name};
use crate::ingest::Store;
use crate::ingest::quota::{IngestQuota, RateExceeded, SampleReservation};
use crate::ingest::tables::{TableMaker, TableNeed};

/// Memory of requests that is kept for later ones is at most this large and this often there.
const KEPT_MEMORY_BYTES_MAX: usize = 4 << 20;
const KEPT_MEMORIES_MAX: usize = 16;

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
    /// The tenant has brought as much as it may for now.
    #[error(transparent)]
    Rate(#[from] RateExceeded),
    /// The engine did not take it; the same request may be sent again.
    #[error(transparent)]
    Store(#[from] lynxstore_storage::Error),
}

/// Memory that a request works with.
#[derive(Debug, Default)]
struct RequestMemory {
    /// The decompressed body.
    message: Vec<u8>,
    lists: ListMemory,
    places: KnownPlaces,
}

/// Writes remote-write requests into a store.
#[derive(Debug)]
pub struct RemoteWriter<S> {
    pub(super) store: S,
    pub(super) namespace: String,
    pub(super) quota: Option<Arc<IngestQuota>>,
    limits: Limits,
    cache: RwLock<SeriesCache>,
    metadata: MetadataMemory,
    /// Changes of tables that the cache knows of.
    seen_changes: AtomicU64,
    tables: TableMaker,
    memory: Mutex<Vec<RequestMemory>>,
}

impl<S: Store> RemoteWriter<S> {
    /// A writer into `namespace` of the store, with a series cache of at most `cache_bytes_max` bytes.
    pub fn new(store: S, namespace: impl Into<String>, limits: Limits, cache_bytes_max: usize) -> Self {
        Self {
            store,
            namespace: namespace.into(),
            quota: None,
            limits,
            cache: RwLock::new(SeriesCache::new(cache_bytes_max)),
            metadata: MetadataMemory::default(),
            seen_changes: AtomicU64::new(0),
            tables: TableMaker::default(),
            memory: Mutex::default(),
        }
    }

    /// The same writer under the quota of its tenant.
    #[must_use]
    pub fn with_quota(self, quota: Arc<IngestQuota>) -> Self {
        Self { quota: Some(quota), ..self }
    }

    /// The limits of a request.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Number of series in the cache.
    pub fn cached_series(&self) -> usize {
        self.cache.read().len()
    }

    /// Writes one request body of a version; `arrival_ns` is the time of its metadata, and the present that bounds the
    /// times of its samples. When it returns `Ok`, everything in [`WriteOutcome::written`] is on disk.
    ///
    /// # Errors
    /// `Decode` when the body is refused, `Store` when the engine fails; in both cases nothing was written.
    pub fn write(&self, body: &[u8], version: Version, arrival_ns: i64) -> Result<WriteOutcome, WriteError> {
        let mut memory = self.memory.lock().pop().unwrap_or_default();
        let result = self.write_with(body, version, arrival_ns, &mut memory);
        if memory.message.capacity() + memory.lists.byte_len() <= KEPT_MEMORY_BYTES_MAX {
            let mut kept = self.memory.lock();
            if kept.len() < KEPT_MEMORIES_MAX {
                kept.push(memory);
            }
        }
        result
    }

    fn write_with(
        &self,
        body: &[u8],
        version: Version,
        arrival_ns: i64,
        memory: &mut RequestMemory,
    ) -> Result<WriteOutcome, WriteError> {
        let message = decompress(body, &self.limits, &mut memory.message)?;
        let lists = std::mem::take(&mut memory.lists);
        let places = &mut memory.places;
        let request = {
            let cache = self.cache.read();
            decode_with(message, version, &self.limits, &mut cache.known_labels(places), lists)?
        };
        let samples = (request.samples.len() + request.histograms.len()) as u64;
        let reserve = |quota: &Arc<IngestQuota>| quota.reserve_samples(samples, Instant::now());
        // Given back by whatever ends the request before it is written.
        let reserved = self.quota.as_ref().map(reserve).transpose()?;
        let mut outcome = self.commit_again(&request, &memory.places, arrival_ns, reserved)?;
        outcome.decoded_bytes = message.len() as u64;
        memory.lists = ListMemory::of(request);
        Ok(outcome)
    }

    /// Commits a request, again when one of its tables was dropped under it.
    fn commit_again(
        &self,
        request: &WriteRequest<'_>,
        places: &KnownPlaces,
        arrival_ns: i64,
        mut reserved: Option<SampleReservation>,
    ) -> Result<WriteOutcome, WriteError> {
        let mut attempt = 1;
        loop {
            match self.commit(request, places, arrival_ns, &mut reserved) {
                // A table that the cache or this request relied on was dropped: look again, create it again.
                Err(WriteError::Store(lynxstore_storage::Error::TableNotFound { .. })) if attempt < ATTEMPTS_MAX => {
                    self.cache.write().clear();
                    self.metadata.clear();
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn commit(
        &self,
        request: &WriteRequest<'_>,
        places: &KnownPlaces,
        arrival_ns: i64,
        reserved: &mut Option<SampleReservation>,
    ) -> Result<WriteOutcome, WriteError> {
        self.forget_changed_tables();
        let bounds = TimeBounds::new(arrival_ns, &self.limits);
        let source = BatchSource { request, bounds, limits: &self.limits };
        let cache = self.cache.read();
        let plan = self.plan(&cache, request, places, bounds, arrival_ns)?;
        if plan.is_plain() {
            let Plan { occurrences, mut outcome, .. } = plan;
            let batches = source.batches(&occurrences, &mut outcome.written, &mut outcome.rejected)?;
            drop(cache);
            self.write_batches(batches, reserved)?;
            return Ok(outcome);
        }
        let plan = plan.share();
        drop(cache);
        self.commit_changes(source, plan, arrival_ns, reserved)
    }

    /// Writes the batches; what the request holds of the sample rate beyond their rows goes back.
    fn write_batches(
        &self,
        batches: Vec<SeriesBatch>,
        reserved: &mut Option<SampleReservation>,
    ) -> lynxstore_storage::Result<()> {
        let rows: usize = batches.iter().map(SeriesBatch::row_count).sum();
        if !batches.is_empty() {
            self.store.write_durably(batches)?;
        }
        if let Some(reserved) = reserved.take() {
            reserved.keep(rows as u64);
        }
        Ok(())
    }

    /// A cached series names columns by id: after ALTER TABLE they may be gone, or belong to a table of another name.
    fn forget_changed_tables(&self) {
        let changes = self.store.table_changes();
        if self.seen_changes.load(Ordering::Acquire) != changes {
            self.cache.write().clear();
            self.metadata.clear();
            self.seen_changes.store(changes, Ordering::Release);
        }
    }

    /// Commits a request that changes the cache, tables or side tables.
    fn commit_changes(
        &self,
        source: BatchSource<'_>,
        mut plan: Plan<'_, 'static>,
        arrival_ns: i64,
        reserved: &mut Option<SampleReservation>,
    ) -> Result<WriteOutcome, WriteError> {
        let request = source.request;
        self.keep_old(request, &plan);
        let mut held = self.hold_series(request, &mut plan)?;
        if let Some(reserved) = reserved {
            let rows = request.samples.len() + request.histograms.len() + plan.exemplars.len() + plan.metadata.len();
            reserved.grow_to(rows as u64, Instant::now())?;
        }
        let schemas = self.make_tables(request, &plan)?;
        let mut added = self.add_new_series(request, &mut plan, &schemas);
        let noted: Vec<_> =
            plan.noted.iter().map(|&(position, hash)| (plan.occurrences[position].series.share(), hash)).collect();
        let Plan { occurrences, exemplars, metadata, described, mut outcome, .. } = plan;
        let WriteOutcome { written, rejected, .. } = &mut outcome;
        let mut batches = source.batches(&occurrences, written, rejected)?;
        if let Some(schema) = schemas.get(EXEMPLAR_TABLE).filter(|_| !exemplars.is_empty()) {
            let counts = Counts { exemplars: exemplars.len() as u64, ..Counts::default() };
            match exemplar_batch(schema, exemplars) {
                Some(batch) => {
                    batches.push(batch);
                    written.add(counts);
                }
                None => {
                    held.exemplars = None;
                    reject_side_table(rejected, counts, EXEMPLAR_TABLE);
                }
            }
        }
        if let Some(schema) = schemas.get(METADATA_TABLE).filter(|_| !metadata.is_empty()) {
            match metadata_batch(schema, metadata, arrival_ns) {
                Some(batch) => batches.push(batch),
                None => {
                    let counts = Counts { metadata: written.metadata, ..Counts::default() };
                    written.metadata = 0;
                    held.metadata = None;
                    reject_side_table(rejected, counts, METADATA_TABLE);
                }
            }
        }
        if !rejected.is_empty() {
            keep_written(&mut added, &batches);
        }
        self.write_batches(batches, reserved)?;
        held.keep(&added);
        self.cache_series(request, added);
        if written.metadata > 0 {
            self.metadata.remember(described);
            noted.iter().for_each(|(series, hash)| series.metadata.store(*hash, Ordering::Relaxed));
        }
        Ok(outcome)
    }

    /// Looks every series up, and checks what the cache does not know.
    fn plan<'r, 'c>(
        &'r self,
        cache: &'c SeriesCache,
        request: &'r WriteRequest<'r>,
        places: &KnownPlaces,
        bounds: TimeBounds,
        arrival_ns: i64,
    ) -> Result<Plan<'r, 'c>, DecodeError> {
        let planner = Planner { request, limits: &self.limits, bounds, memory: &self.metadata };
        let mut hashes = self.metadata.hashes(request, arrival_ns);
        let mut plan = Plan { occurrences: Vec::with_capacity(request.series.len()), ..Plan::default() };
        let mut unknown = Vec::new();
        let mut scratch = Vec::new();
        let mut guess = Guess::default();
        for (index, series) in (0_u32..).zip(&request.series) {
            let mut search = || {
                let mut is_old = false;
                let labels = request.label_bytes(&series.labels, &self.limits, &mut scratch)?;
                let found = cache.find(labels, &mut guess, &mut is_old)?;
                Some((found, is_old))
            };
            let found = match cache.at(places, index as usize, &series.labels) {
                Some(found) => Some((found, false)),
                None => search(),
            };
            match found.filter(|(found, _)| is_usable(found, series)) {
                Some((found, is_old)) => {
                    if is_old {
                        plan.old.push(plan.occurrences.len());
                    }
                    plan.occurrences.push(Occurrence { series: SeriesHandle::Cached(found), index });
                }
                None => unknown.push(index),
            }
        }
        plan.outcome.written.series = plan.occurrences.len() as u64;
        planner.add_metadata(&mut plan);
        for position in 0..plan.occurrences.len() {
            let occurrence = &plan.occurrences[position];
            if let Some(metadata) = request.series[occurrence.index as usize].metadata {
                let known = occurrence.series.metadata.load(Ordering::Relaxed);
                planner.add_cached_metadata(position, known, metadata, &mut hashes, &mut plan)?;
            }
        }
        for index in unknown {
            planner.add_new(index, &mut plan)?;
            let series = &request.series[index as usize];
            if let Some(metadata) = series.metadata {
                planner.add_series_metadata(series, metadata, hashes.hash(metadata), &mut plan)?;
            }
        }
        planner.add_exemplars(&mut plan)?;
        Ok(plan)
    }

    /// Moves series that were found in the old generation of the cache to the young one.
    fn keep_old(&self, request: &WriteRequest<'_>, plan: &Plan<'_, '_>) {
        if plan.old.is_empty() {
            return;
        }
        let mut scratch = Vec::new();
        let mut cache = self.cache.write();
        for &position in &plan.old {
            let occurrence = &plan.occurrences[position];
            let raw = &request.series[occurrence.index as usize].labels;
            if let Some(labels) = request.label_bytes(raw, &self.limits, &mut scratch) {
                cache.insert(labels, occurrence.series.share());
            }
        }
    }

    fn make_tables(
        &self,
        request: &WriteRequest<'_>,
        plan: &Plan<'_, '_>,
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
            let series = &request.series[new.index as usize];
            if !series.histograms.is_empty() {
                need.field(HISTOGRAM_COLUMN, FieldType::Binary);
            }
            if series.has_start {
                need.field(START_COLUMN, FieldType::I64);
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

    /// Gives every new series its key.
    fn add_new_series(
        &self,
        request: &WriteRequest<'_>,
        plan: &mut Plan<'_, '_>,
        schemas: &HashMap<String, Arc<TableSchema>>,
    ) -> Vec<AddedSeries> {
        let mut added = Vec::with_capacity(plan.new.len());
        let mut metric_tables = HashMap::<&str, Arc<MetricTable>>::new();
        let cache = self.cache.read();
        for new in &plan.new {
            let schema = &schemas[&new.table];
            let series = &request.series[new.index as usize];
            let Some(key) = series_key(schema, &new.labels) else {
                plan.outcome.written.series -= 1;
                // Exemplars and metadata do not need the table of the metric and are written.
                let counts = Counts { exemplars: 0, metadata: 0, ..series.counts() };
                plan.outcome.rejected.add(RejectReason::SchemaConflict, counts, || {
                    let detail = format!("table {:?} has no tags for the labels {}", new.table, new.labels.to_text());
                    Description::new(RejectReason::SchemaConflict, detail).of_series(&new.labels)
                });
                continue;
            };
            let table = metric_tables.entry(&new.table).or_insert_with(|| Arc::new(metric_table(schema)));
            let cached = cache.series(table, key);
            added.push(AddedSeries { index: new.index, begins: new.begins, series: Arc::clone(&cached) });
            plan.occurrences.push(Occurrence { series: SeriesHandle::Shared(cached), index: new.index });
        }
        added
    }

    /// Puts series into the cache once they are written: what is found there asks the quota no more.
    fn cache_series(&self, request: &WriteRequest<'_>, added: Vec<AddedSeries>) {
        if added.is_empty() {
            return;
        }
        let mut scratch = Vec::new();
        let mut cache = self.cache.write();
        for AddedSeries { index, series, .. } in added {
            let raw = &request.series[index as usize].labels;
            if let Some(labels) = request.label_bytes(raw, &self.limits, &mut scratch) {
                cache.insert(labels, series);
            }
        }
    }
}

/// Leaves those of which a batch has rows. Series are looked for only where something was refused: else all of them have.
fn keep_written(added: &mut Vec<AddedSeries>, batches: &[SeriesBatch]) {
    let rows = batches.iter().flat_map(|batch| batch.series.iter().map(|series| (batch.table, &series.key)));
    let written: HashSet<_> = rows.collect();
    added.retain(|added| written.contains(&(added.series.table.id, &added.series.key)));
}

/// Whether the table of a cached series has what this occurrence of the series needs.
#[inline]
fn is_usable(found: &CachedSeries, series: &Series<'_>) -> bool {
    // A table whose column is in the way may have been dropped since, so a conflict is looked at anew each time.
    (series.samples.is_empty() || found.table.value.is_some())
        && (series.histograms.is_empty() || found.table.histogram.is_some())
        && (!series.has_start || found.table.start.is_some())
}

/// The key of labels in a table; `None` when the table lacks a tag for one of them.
pub(super) fn series_key(schema: &TableSchema, labels: &Labels<'_>) -> Option<SeriesKey> {
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
        start: field(START_COLUMN, FieldType::I64),
    }
}

fn reject_side_table(rejected: &mut Rejections, counts: Counts, table: &str) {
    let reason = RejectReason::SchemaConflict;
    rejected
        .add(reason, counts, || Description::new(reason, format!("table {table:?} was declared with other columns")));
}
