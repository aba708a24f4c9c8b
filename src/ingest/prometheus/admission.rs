//! Which new series of a request may begin.
//!
//! A series that the cache does not know may be there all the same, since a restart, or since it was pushed out: only what
//! the store does not know either is new, and asks the quota. It asks before tables and columns are made for it.

use std::collections::HashMap;
use std::time::Instant;

use super::plan::Plan;
use super::rejection::{Counts, Description, RejectReason};
use super::writer::series_key;
use super::{RemoteWriter, WriteRequest};
use crate::ingest::Store;
use crate::ingest::quota::SeriesRefusal;

impl<S: Store> RemoteWriter<S> {
    /// Leaves out the new series that the quota refuses; all others go on.
    pub(super) fn admit_new(
        &self,
        request: &WriteRequest<'_>,
        plan: &mut Plan<'_, '_>,
    ) -> lynxstore_storage::Result<()> {
        let Some(quota) = &self.quota else { return Ok(()) };
        let now = Instant::now();
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
                refused[*position] = quota.admit_series(id, &self.store, now).err();
            }
        }
        let mut refused = refused.into_iter();
        let Plan { new, outcome, .. } = plan;
        new.retain(|new| {
            let Some(refusal) = refused.next().flatten() else { return true };
            let (reason, why) = match refusal {
                SeriesRefusal::Rate => (RejectReason::SeriesRate, "too many series began in this minute"),
                SeriesRefusal::Count => {
                    (RejectReason::SeriesLimit, "the table or the tenant has as many series as it may")
                }
            };
            outcome.written.series -= 1;
            let counts = Counts { exemplars: 0, metadata: 0, ..request.series[new.index as usize].counts() };
            outcome.rejected.add(reason, counts, || {
                Description::new(reason, format!("{why}: series {:?}{}", new.table, new.labels.to_text()))
                    .of_series(&new.labels)
            });
            false
        });
        Ok(())
    }
}
