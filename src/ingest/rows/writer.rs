//! Makes a request of rows one atomic, durable commit.
//!
//! Several threads write at once. Each request has a state of its own from a small pool, so no row waits for a lock;
//! requests share the order of table changes, and those with a deduplication key the lock of their table.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashSet;
use lynxstore_storage::Error;
use lynxstore_storage::engine::{Ack, Engine};
use lynxstore_storage::ingest::arrange;
use lynxstore_storage::types::{Dedup, SeriesBatch, SeriesKey, TableId, TableSchema};
use parking_lot::Mutex;

use super::RowLimits;
use super::begun_series::BegunSeries;
use super::dedup::KeyLocks;
use super::fault::{RejectedRows, RowFault, RowReason};
use super::request::{RowRequest, RowState, series_key};
use super::table_rows::TakenRows;
use crate::ingest::Store;
use crate::ingest::quota::{IngestQuota, RateExceeded, SampleReservation, SeriesRefusal};
use crate::ingest::tables::{TableMaker, TableNeed};
#[cfg(feature = "server")]
use crate::ingest::write_reservation::{WriteRefused, WriteReservation};

/// States that are kept for the next request; more run at once only when more requests do.
const IDLE_STATES_MAX: usize = 4;

/// How often a request starts again because one of its tables was changed under it.
const ATTEMPTS_MAX: usize = 4;

/// Whether a protocol tells signed from unsigned integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntegerTyping {
    /// An integer says whether it is signed.
    #[default]
    Declared,
    /// A number is just a number: one that is not negative goes into a U64 field too.
    Plain,
}

/// What happens to a request some rows of which do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unfit {
    /// They are left out, the others are written.
    #[default]
    LeaveOut,
    /// Nothing is written.
    RefuseAll,
}

/// How the rows of a request are taken.
#[derive(Debug, Clone, Default)]
pub struct RowOptions {
    /// What integers may go into.
    pub integers: IntegerTyping,
    /// What rows that do not fit mean for the others.
    pub unfit: Unfit,
    /// The rule for duplicates of tables that the request creates.
    pub dedup: Dedup,
    /// Columns, tags or fields, that together with the time name an event: a row is left out, silently but counted, when
    /// the table has one of the same key, or the request has one before it. Empty: no key.
    pub dedup_key: Vec<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Default)]
pub struct RowOutcome {
    /// Rows that are on disk now.
    pub written: u64,
    /// Rows that were left out because their deduplication key is there already.
    pub duplicates: u64,
    /// Rows that were left out because they do not fit.
    pub rejected: RejectedRows,
    /// What sampling did, where it was asked for.
    pub sampled: Option<SampledRows>,
}

/// What sampling did to the rows of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampledRows {
    /// Rows that were left out unread.
    pub sampled_out: u64,
    /// How many rows each of the others stands for.
    pub weight: u64,
}

/// A request of which nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// More than a request may have.
    #[error("the request has more than {limit} {what}: send smaller requests")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// There is no memory for what the body comes to; the same request may be sent again.
    #[error("the server holds as many request bodies as it may")]
    NoRoom,
    /// The body is not in the form of its protocol.
    #[error("{0}")]
    Malformed(String),
    /// The table must be there and is not.
    #[error("table '{0}' does not exist: create it with CREATE TABLE")]
    NotFound(String),
    /// The tenant has brought as much as it may for now.
    #[error(transparent)]
    Rate(#[from] RateExceeded),
    /// The body would begin more series than the tenant may have, and is taken whole or not at all.
    #[error("{}", .0.detail)]
    Series(RowFault),
    /// The engine did not take it; the same request may be sent again.
    #[error(transparent)]
    Store(#[from] Error),
}

impl RowsError {
    /// Refuses `found` when it is over `limit`.
    pub(crate) fn check(what: &'static str, found: usize, limit: usize) -> Result<(), Self> {
        if found > limit { Err(Self::TooLarge { what, limit }) } else { Ok(()) }
    }
}

#[cfg(feature = "server")]
impl From<WriteRefused> for RowsError {
    fn from(refused: WriteRefused) -> Self {
        match refused {
            WriteRefused::Rate(rate) => Self::Rate(rate),
            WriteRefused::Series(refusal) => Self::Series(series_fault(refusal)),
            WriteRefused::Store(error) => Self::Store(error),
        }
    }
}

/// Writes rows of any protocol into a namespace.
#[derive(Debug)]
pub struct RowWriter {
    engine: Arc<Engine>,
    namespace: String,
    limits: RowLimits,
    quota: Option<Arc<IngestQuota>>,
    /// Bytes of the series that one state remembers.
    state_bytes_max: usize,
    tables: TableMaker,
    idle: Mutex<Vec<RowState>>,
    key_locks: KeyLocks,
}

/// The rows of one table on their way into the commit.
struct TableCommit {
    /// Position among the tables of the state.
    table: u32,
    name: String,
    rows: TakenRows,
}

impl RowWriter {
    /// A writer into `namespace`, which remembers series within about `cache_bytes_max` bytes.
    pub fn new(engine: Arc<Engine>, namespace: impl Into<String>, limits: RowLimits, cache_bytes_max: usize) -> Self {
        Self {
            engine,
            namespace: namespace.into(),
            limits,
            quota: None,
            state_bytes_max: cache_bytes_max / IDLE_STATES_MAX,
            tables: TableMaker::default(),
            idle: Mutex::default(),
            key_locks: KeyLocks::default(),
        }
    }

    /// The same writer under the quota of its tenant.
    #[must_use]
    pub fn with_quota(self, quota: Arc<IngestQuota>) -> Self {
        Self { quota: Some(quota), ..self }
    }

    /// Whether a series may have rows: those that the table has always may, others are held in `begun`. `name` says what
    /// the series is in any case.
    pub(super) fn hold_series(
        &self,
        table: Option<TableId>,
        key: Option<&SeriesKey>,
        name: impl Hash,
        number: u32,
        begun: &mut BegunSeries,
    ) -> Result<Result<(), RowFault>, RowsError> {
        let Some(quota) = &self.quota else { return Ok(Ok(())) };
        if let Some((table, key)) = table.zip(key)
            && Store::has_series(&self.engine, table, std::slice::from_ref(key))? == [true]
        {
            return Ok(Ok(()));
        }
        let reservation = begun.reservation.get_or_insert_with(|| quota.reserve_series());
        let held = reservation.hold(table, name, &self.engine, Instant::now());
        if held.is_ok() {
            begun.numbers.push(number);
        }
        Ok(held.map_err(series_fault))
    }

    /// Takes the rows from the rate of the tenant until they are written, or are not.
    fn reserve_rows(&self, rows: u64) -> Result<Option<SampleReservation>, RateExceeded> {
        self.quota.as_ref().map(|quota| quota.reserve_samples(rows, Instant::now())).transpose()
    }

    /// The limits of a request.
    pub fn limits(&self) -> &RowLimits {
        &self.limits
    }

    pub(super) fn engine(&self) -> &impl Store {
        &self.engine
    }

    /// The namespace that it writes into.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The table of that name as it is now.
    ///
    /// # Errors
    /// Whatever the engine reports but the absence of the table.
    pub fn table(&self, name: &str) -> lynxstore_storage::Result<Option<Arc<TableSchema>>> {
        Store::table(&self.engine, &self.namespace, name)
    }

    /// Number of series that idle states remember.
    pub fn cached_series(&self) -> usize {
        self.idle.lock().iter().map(|state| state.index.len()).sum()
    }

    /// Writes the rows that `fill` pushes as one commit. When it returns `Ok`, [`RowOutcome::written`] rows are on disk.
    /// `fill` runs again when a table was changed under the request.
    ///
    /// # Errors
    /// What `fill` returns, `TooLarge`, or `Store` when the engine fails; nothing was written then.
    pub fn write(
        &self,
        options: &RowOptions,
        mut fill: impl FnMut(&mut RowRequest<'_>) -> Result<(), RowsError>,
    ) -> Result<RowOutcome, RowsError> {
        let mut state = self.idle.lock().pop().unwrap_or_default();
        let mut attempt = 1;
        loop {
            let mut request = RowRequest::new(self, &mut state, options);
            let filled = fill(&mut request);
            let rejected = std::mem::take(&mut request.rejected);
            let begun = std::mem::take(&mut request.begun);
            let mut written = HashSet::new();
            let result = filled.and_then(|()| self.commit(&mut state, rejected, options, &mut written));
            begun.settle(&written, &mut state.index);
            match result {
                Err(RowsError::Store(Error::TableNotFound { .. })) if attempt < ATTEMPTS_MAX => attempt += 1,
                Ok(outcome) => {
                    self.keep(state);
                    return Ok(outcome);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the rows of a batch into a table as one commit, all or none.
    ///
    /// # Errors
    /// `Malformed` when it does not fit the table, `Store` when the engine fails.
    #[cfg(feature = "server")]
    pub fn write_batch(
        &self,
        table: &TableSchema,
        batch: &arrow::record_batch::RecordBatch,
    ) -> Result<RowOutcome, RowsError> {
        let rows = lynxstore_storage::ingest::group_rows(table, batch).map_err(|error| match error {
            Error::InvalidInput { .. } => RowsError::Malformed(error.to_string()),
            error => RowsError::Store(error),
        })?;
        let written = batch.num_rows() as u64;
        let reserved = match &self.quota {
            Some(quota) => Some(WriteReservation::new(quota, &self.engine, std::slice::from_ref(&rows))?),
            None => None,
        };
        self.engine.write(vec![rows], Ack::Durable)?;
        if let Some(reserved) = reserved {
            reserved.keep();
        }
        Ok(RowOutcome { written, ..RowOutcome::default() })
    }

    fn keep(&self, state: RowState) {
        let has_few_columns = state.columns <= 4 * self.limits.columns_max;
        if state.index.bytes() <= self.state_bytes_max && has_few_columns {
            let mut idle = self.idle.lock();
            if idle.len() < IDLE_STATES_MAX {
                idle.push(state);
            }
        }
    }

    fn commit(
        &self,
        state: &mut RowState,
        rejected: RejectedRows,
        options: &RowOptions,
        written: &mut HashSet<u32>,
    ) -> Result<RowOutcome, RowsError> {
        let mut outcome = RowOutcome { rejected, ..RowOutcome::default() };
        if options.unfit == Unfit::RefuseAll && !outcome.rejected.is_empty() {
            return Ok(outcome);
        }
        let mut commits = Vec::with_capacity(state.used.len());
        for &table in &state.used {
            let rows = state.tables[table as usize].take();
            if !rows.times.is_empty() {
                let name = state.tables[table as usize].name.to_string();
                commits.push(TableCommit { table, name, rows });
            }
        }
        // From the search for older rows of a key to the end of the commit nobody else may write that key.
        let _keys =
            (!options.dedup_key.is_empty()).then(|| self.key_locks.lock(commits.iter().map(|commit| &*commit.name)));
        if !options.dedup_key.is_empty() {
            for commit in &mut commits {
                let table = self.table(&commit.name)?;
                let before = commit.rows.times.len();
                commit.rows.remove_duplicates(
                    &options.dedup_key,
                    &state.index,
                    |range, fields, visit| match &table {
                        Some(table) => super::dedup::stored_rows(&self.engine.snapshot(), table, range, fields, visit),
                        None => Ok(()),
                    },
                )?;
                outcome.duplicates += (before - commit.rows.times.len()) as u64;
            }
            commits.retain(|commit| !commit.rows.times.is_empty());
        }
        if commits.is_empty() {
            return Ok(outcome);
        }
        let rows = commits.iter().map(|commit| commit.rows.times.len() as u64).sum();
        let reserved = self.reserve_rows(rows)?;
        let series: Vec<u32> = commits.iter().flat_map(|commit| &commit.rows.series).copied().collect();
        self.make_tables(&commits, state, options)?;
        let mut batches = Vec::with_capacity(commits.len());
        for commit in commits {
            batches.push(batch(commit, state)?);
        }
        self.engine.write(batches, Ack::Durable)?;
        if let Some(reserved) = reserved {
            reserved.keep(rows);
        }
        outcome.written = rows;
        written.extend(series);
        Ok(outcome)
    }

    /// Creates what tables and columns are missing, with one sync for all new tables.
    fn make_tables(
        &self,
        commits: &[TableCommit],
        state: &mut RowState,
        options: &RowOptions,
    ) -> Result<(), RowsError> {
        let mut needs = BTreeMap::new();
        for commit in commits {
            let rows = &commit.rows;
            let new = rows.columns.iter().filter(|column| column.id.is_none());
            let need = TableNeed {
                tags: rows.new_tags.clone(),
                fields: new.map(|column| (column.name.to_string().into(), column.field_type)).collect(),
                dedup: options.dedup,
            };
            if state.tables[commit.table as usize].schema.is_none() || !need.tags.is_empty() || !need.fields.is_empty()
            {
                needs.insert(commit.name.clone(), need);
            }
        }
        if needs.is_empty() {
            return Ok(());
        }
        let schemas = self.tables.ensure(&self.engine, &self.namespace, &needs)?;
        for commit in commits {
            if let Some(schema) = schemas.get(&commit.name) {
                state.tables[commit.table as usize].schema = Some(schema.clone());
            }
        }
        Ok(())
    }
}

/// A refused series as the fault of its row.
fn series_fault(refusal: SeriesRefusal) -> RowFault {
    match refusal {
        SeriesRefusal::Rate => {
            RowFault::new(RowReason::SeriesRate, format!("{}: send the row again later", refusal.why()))
        }
        SeriesRefusal::Count => {
            RowFault::new(RowReason::SeriesLimit, format!("the series is new, and {}", refusal.why()))
        }
    }
}

/// The batch of a table. A column or tag that the table has otherwise by now, because someone else made it since, counts
/// as a table that is gone: the request starts again on what is there.
fn batch(commit: TableCommit, state: &mut RowState) -> Result<SeriesBatch, RowsError> {
    let gone = || RowsError::Store(Error::TableNotFound { name: commit.name.clone() });
    let schema = state.tables[commit.table as usize].schema.clone().ok_or_else(gone)?;
    let mut keys: Vec<SeriesKey> = Vec::with_capacity(commit.rows.series.len());
    for &number in &commit.rows.series {
        let series = state.index.get_mut(number);
        if series.key.is_none() {
            series.key = series_key(&schema, series);
        }
        series.version = (schema.id, schema.version);
        keys.push(series.key.clone().ok_or_else(gone)?);
    }
    let mut fields = Vec::with_capacity(commit.rows.columns.len());
    for column in commit.rows.columns {
        let id = match column.id {
            Some(id) => id,
            None => {
                let field = schema.field_index(&column.name).map(|index| &schema.fields[index]);
                field.filter(|field| field.field_type == column.field_type).ok_or_else(gone)?.id
            }
        };
        fields.push((id, column.values));
    }
    Ok(arrange(schema.id, keys, &commit.rows.groups, commit.rows.times.into(), fields)?)
}
