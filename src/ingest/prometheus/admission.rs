//! Which new series of a request may begin, and what it holds of the quota until they are written.
//!
//! A series that the cache does not know may be there all the same, since a restart, or since it was pushed out: only what
//! the store does not know either is new, and asks the quota. It asks before tables and columns are made for it. Exemplars
//! and metadata are rows of series too, those of the side tables, and ask for these.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use lynxstore_storage::types::TableSchema;

use super::names::{EXEMPLAR_TABLE, METADATA_TABLE};
use super::plan::Plan;
use super::rejection::{Counts, Description, RejectReason, Rejections};
use super::series_cache::CachedSeries;
use super::side_tables::{exemplar_key, metadata_key};
use super::writer::series_key;
use super::{RemoteWriter, WriteRequest};
use crate::ingest::Store;
use crate::ingest::quota::{IngestQuota, SeriesRefusal, SeriesReservation};

/// A new series with its key.
pub(super) struct AddedSeries {
    /// Position in the request.
    pub(super) index: u32,
    /// As [`super::plan::NewSeries::begins`].
    pub(super) begins: Option<usize>,
    pub(super) series: Arc<CachedSeries>,
}

/// Series that a request is about to begin; nothing without a quota. Those that are not kept go back.
#[derive(Default)]
pub(super) struct HeldSeries {
    metrics: Option<SeriesReservation>,
    pub(super) exemplars: Option<SeriesReservation>,
    pub(super) metadata: Option<SeriesReservation>,
}

impl HeldSeries {
    /// These series were written, and all of the side tables that are still held.
    pub(super) fn keep(self, added: &[AddedSeries]) {
        if let Some(metrics) = self.metrics {
            let mut is_written = vec![false; metrics.len()];
            added.iter().filter_map(|added| added.begins).for_each(|number| is_written[number] = true);
            metrics.keep(|number| is_written[number]);
        }
        self.exemplars.into_iter().chain(self.metadata).for_each(|side| side.keep(|_| true));
    }
}

/// The reason of a refusal.
fn reason(refusal: SeriesRefusal) -> RejectReason {
    match refusal {
        SeriesRefusal::Rate => RejectReason::SeriesRate,
        SeriesRefusal::Count => RejectReason::SeriesLimit,
    }
}

impl<S: Store> RemoteWriter<S> {
    /// Holds the new series that the quota lets begin, and leaves out the others with their exemplars and metadata where
    /// these would begin series too.
    pub(super) fn hold_series(
        &self,
        request: &WriteRequest<'_>,
        plan: &mut Plan<'_, '_>,
    ) -> lynxstore_storage::Result<HeldSeries> {
        let Some(quota) = &self.quota else { return Ok(HeldSeries::default()) };
        let metrics = self.hold_metrics(quota, request, plan)?;
        let Plan { exemplars, metadata, described, noted, outcome, .. } = plan;
        let written = outcome.written.metadata;
        let side = |table: &str| self.store.table(&self.namespace, table);
        let mut all = SideRows { store: &self.store, quota, rejected: &mut outcome.rejected, table: EXEMPLAR_TABLE };
        let counts = Counts { exemplars: 1, ..Counts::default() };
        let schema = if exemplars.is_empty() { None } else { side(EXEMPLAR_TABLE)? };
        let held_exemplars = all.hold(schema, exemplars, counts, |schema, row| {
            (schema.and_then(|schema| exemplar_key(schema, row)), (Arc::clone(&row.metric), Arc::clone(&row.series)))
        })?;
        all.table = METADATA_TABLE;
        let counts = Counts { metadata: 1, ..Counts::default() };
        let rows = metadata.len();
        let schema = if metadata.is_empty() { None } else { side(METADATA_TABLE)? };
        let held_metadata = all.hold(schema, metadata, counts, |schema, row| {
            (schema.and_then(|schema| metadata_key(schema, row)), row.metric.clone())
        })?;
        let refused = rows - metadata.len();
        if refused > 0 {
            // Which metadata it was is not worth knowing: what is not remembered is asked for again.
            described.clear();
            noted.clear();
            outcome.written.metadata = written.saturating_sub(refused as u64);
        }
        Ok(HeldSeries { metrics: Some(metrics), exemplars: Some(held_exemplars), metadata: Some(held_metadata) })
    }

    fn hold_metrics(
        &self,
        quota: &Arc<IngestQuota>,
        request: &WriteRequest<'_>,
        plan: &mut Plan<'_, '_>,
    ) -> lynxstore_storage::Result<SeriesReservation> {
        let (now, mut held) = (Instant::now(), quota.reserve_series());
        let mut tables = HashMap::new();
        for (position, new) in plan.new.iter().enumerate() {
            if !tables.contains_key(&new.table) {
                let schema = self.store.table(&self.namespace, &new.table)?;
                tables.insert(new.table.clone(), (schema, Vec::new()));
            }
            let (schema, series) = tables.get_mut(&new.table).expect("it was inserted just now");
            series.push((position, schema.as_ref().and_then(|schema| series_key(schema, &new.labels))));
        }
        let mut refused = vec![None; plan.new.len()];
        for (schema, series) in tables.into_values() {
            let id = schema.as_ref().map(|schema| schema.id);
            let (at, keys): (Vec<_>, Vec<_>) = series.iter().filter_map(|(at, key)| Some((*at, key.clone()?))).unzip();
            let known = id.map_or_else(|| Ok(Vec::new()), |id| self.store.has_series(id, &keys))?;
            let known: HashMap<usize, bool> = at.into_iter().zip(known).collect();
            for (position, _) in series.iter().filter(|(position, _)| known.get(position) != Some(&true)) {
                let new = &mut plan.new[*position];
                match held.hold(id, (&new.table, new.labels.pairs()), &self.store, now) {
                    Ok(()) => new.begins = Some(held.len() - 1),
                    Err(refusal) => refused[*position] = Some(refusal),
                }
            }
        }
        let mut refused = refused.into_iter();
        let Plan { new, outcome, .. } = plan;
        new.retain(|new| {
            let Some(refusal) = refused.next().flatten() else { return true };
            outcome.written.series -= 1;
            let counts = Counts { exemplars: 0, metadata: 0, ..request.series[new.index as usize].counts() };
            outcome.rejected.add(reason(refusal), counts, || {
                let detail = format!("{}: series {:?}{}", refusal.why(), new.table, new.labels.to_text());
                Description::new(reason(refusal), detail).of_series(&new.labels)
            });
            false
        });
        Ok(held)
    }
}

/// Holds the series of the rows of a side table.
struct SideRows<'a, S> {
    store: &'a S,
    quota: &'a Arc<IngestQuota>,
    rejected: &'a mut Rejections,
    table: &'static str,
}

impl<S: Store> SideRows<'_, S> {
    /// Leaves out the rows whose series may not begin; `name` is the key of the series in the table as it is, and what
    /// names it in any case.
    fn hold<R, N: std::hash::Hash + Eq>(
        &mut self,
        schema: Option<Arc<TableSchema>>,
        rows: &mut Vec<R>,
        counts: Counts,
        name: impl Fn(Option<&TableSchema>, &R) -> (Option<lynxstore_storage::types::SeriesKey>, N),
    ) -> lynxstore_storage::Result<SeriesReservation> {
        let (now, mut held) = (Instant::now(), self.quota.reserve_series());
        let id = schema.as_ref().map(|schema| schema.id);
        let (mut names, mut numbers) = (HashMap::new(), Vec::with_capacity(rows.len()));
        let mut series = Vec::new();
        for row in rows.iter() {
            let (key, name) = name(schema.as_deref(), row);
            let next = names.len();
            let number = *names.entry(name).or_insert(next);
            if number == series.len() {
                series.push(key);
            }
            numbers.push(number);
        }
        let keys: Vec<_> = series.iter().flatten().cloned().collect();
        let mut known = id.map_or_else(|| Ok(Vec::new()), |id| self.store.has_series(id, &keys))?.into_iter();
        let is_known: Vec<bool> = series.iter().map(|key| key.is_some() && known.next().unwrap_or(false)).collect();
        let mut refusals = vec![None; series.len()];
        let mut in_order: Vec<_> = names.iter().map(|(name, number)| (*number, name)).collect();
        in_order.sort_unstable_by_key(|(number, _)| *number);
        for (number, name) in in_order {
            if !is_known[number] {
                refusals[number] = held.hold(id, (self.table, name), self.store, now).err();
            }
        }
        let mut numbers = numbers.into_iter();
        let (rejected, table) = (&mut *self.rejected, self.table);
        rows.retain(|_| {
            let Some(refusal) = numbers.next().and_then(|number| refusals[number]) else { return true };
            rejected.add(reason(refusal), counts, || {
                Description::new(reason(refusal), format!("{}: a series of table {table:?}", refusal.why()))
            });
            false
        });
        Ok(held)
    }
}
