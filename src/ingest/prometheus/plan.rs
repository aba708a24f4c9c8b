//! What a request comes to on its way into the store: which series it names, which of them are new, and which rows of
//! the side tables it brings.

use std::sync::Arc;

use hashbrown::HashSet;

use super::batches::{Occurrence, TimeBounds};
use super::label::{LabelFault, Labels};
use super::metadata_memory::{MetadataHashes, MetadataMemory};
use super::rejection::{Counts, Description, RejectReason};
use super::request::{Series, SeriesMetadata, WriteRequest};
use super::side_tables::{ExemplarRow, MetadataRow, metadata_row, metadata_rows};
use super::{DecodeError, Limits, WriteOutcome, table_name};

/// A series that is not in the cache, with its labels checked.
pub(super) struct NewSeries<'r> {
    pub(super) index: u32,
    pub(super) table: String,
    pub(super) labels: Labels<'r>,
    /// Its number among those that the quota holds, when the store does not have it.
    pub(super) begins: Option<usize>,
}

/// A request on its way.
#[derive(Default)]
pub(super) struct Plan<'r, 'c> {
    pub(super) occurrences: Vec<Occurrence<'c>>,
    /// Places of occurrences whose series were found in the old generation of the cache.
    pub(super) old: Vec<usize>,
    pub(super) new: Vec<NewSeries<'r>>,
    pub(super) exemplars: Vec<ExemplarRow>,
    pub(super) metadata: Vec<MetadataRow<'r>>,
    /// What stands for the metadata of metrics that is among the rows.
    pub(super) described: HashSet<u64>,
    /// Cached series whose metadata is written with this request, by their occurrence, with its hash.
    pub(super) noted: Vec<(usize, u64)>,
    pub(super) outcome: WriteOutcome,
}

impl<'r> Plan<'r, '_> {
    /// Whether nothing but samples of known series is to be written, which needs no change of the cache or of tables.
    pub(super) fn is_plain(&self) -> bool {
        self.new.is_empty()
            && self.old.is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_empty()
            && self.noted.is_empty()
    }

    /// The same without the lock of the cache.
    pub(super) fn share(self) -> Plan<'r, 'static> {
        Plan {
            occurrences: self.occurrences.into_iter().map(Occurrence::share).collect(),
            old: self.old,
            new: self.new,
            exemplars: self.exemplars,
            metadata: self.metadata,
            described: self.described,
            noted: self.noted,
            outcome: self.outcome,
        }
    }
}

/// Makes a plan; what is refused is counted in it.
pub(super) struct Planner<'r> {
    pub(super) request: &'r WriteRequest<'r>,
    pub(super) limits: &'r Limits,
    pub(super) bounds: TimeBounds,
    pub(super) memory: &'r MetadataMemory,
}

impl<'r> Planner<'r> {
    /// Checks a series that the cache does not know.
    pub(super) fn add_new(&self, index: u32, plan: &mut Plan<'r, '_>) -> Result<(), DecodeError> {
        let series = &self.request.series[index as usize];
        match self.checked_labels(series)? {
            Ok((metric, labels)) => {
                plan.outcome.written.series += 1;
                if !series.samples.is_empty() || !series.histograms.is_empty() {
                    let table = table_name(metric).into_owned();
                    plan.new.push(NewSeries { index, table, labels, begins: None });
                }
            }
            Err(fault) => {
                plan.outcome.rejected.add(fault.reason, series.counts(), || {
                    Description::new(fault.reason, format!("series {index}: {}", fault.detail))
                });
            }
        }
        Ok(())
    }

    /// The metric and the labels of a series.
    fn checked_labels(&self, series: &'r Series<'r>) -> Result<Result<(&'r str, Labels<'r>), LabelFault>, DecodeError> {
        Ok(self.request.labels(&series.labels, self.limits)?.and_then(|labels| match labels.metric() {
            Some(metric) => Ok((metric, labels)),
            None => Err(LabelFault { reason: RejectReason::MissingMetricName, detail: labels.to_text() }),
        }))
    }

    /// Adds the rows of all exemplars.
    pub(super) fn add_exemplars(&self, plan: &mut Plan<'r, '_>) -> Result<(), DecodeError> {
        for series in self.request.series.iter().filter(|series| !series.exemplars.is_empty()) {
            self.add_exemplars_of(series, plan)?;
        }
        Ok(())
    }

    fn add_exemplars_of(&self, series: &'r Series<'r>, plan: &mut Plan<'r, '_>) -> Result<(), DecodeError> {
        // A series that was refused has already been counted with all its exemplars.
        let Ok((metric, labels)) = self.checked_labels(series)? else { return Ok(()) };
        let (metric, text) = (Arc::<str>::from(metric), Arc::<str>::from(labels.to_text()));
        for exemplar in &self.request.exemplars[series.exemplars.start as usize..series.exemplars.end as usize] {
            let counts = Counts { exemplars: 1, ..Counts::default() };
            let rejected = &mut plan.outcome.rejected;
            let of_series = |description: Description| description.of_series(&labels);
            match (self.request.labels(&exemplar.labels, self.limits)?, self.bounds.nanoseconds(exemplar.time_ms)) {
                (Ok(labels), Ok(time_ns)) => plan.exemplars.push(ExemplarRow {
                    metric: Arc::clone(&metric),
                    series: Arc::clone(&text),
                    time_ns,
                    value: exemplar.value,
                    labels: labels.to_text(),
                }),
                (Err(fault), _) => rejected.add(fault.reason, counts, || {
                    of_series(Description::new(fault.reason, format!("exemplar of {metric}: {}", fault.detail)))
                }),
                (_, Err(reason)) => {
                    rejected.add(reason, counts, || of_series(self.bounds.describe(reason, exemplar.time_ms)));
                }
            }
        }
        Ok(())
    }

    /// Adds the rows of metadata of version 1.
    pub(super) fn add_metadata(&self, plan: &mut Plan<'r, '_>) {
        plan.metadata = metadata_rows(&self.request.metadata, &mut plan.outcome.rejected);
        plan.outcome.written.metadata = plan.metadata.len() as u64;
    }

    /// Looks at the metadata of a cached series, which mostly says what it said before. `position` is its occurrence.
    #[inline]
    pub(super) fn add_cached_metadata(
        &self,
        position: usize,
        known: u64,
        metadata: SeriesMetadata,
        hashes: &mut MetadataHashes<'_>,
        plan: &mut Plan<'r, '_>,
    ) -> Result<(), DecodeError> {
        let hash = hashes.hash(metadata);
        if known == hash {
            plan.outcome.written.metadata += 1;
            return Ok(());
        }
        let series = &self.request.series[plan.occurrences[position].index as usize];
        if self.add_series_metadata(series, metadata, hash, plan)? {
            plan.noted.push((position, hash));
        }
        Ok(())
    }

    /// Adds a row for the metadata of a series, unless it says nothing new of its metric; returns whether it is accepted.
    pub(super) fn add_series_metadata(
        &self,
        series: &'r Series<'r>,
        metadata: SeriesMetadata,
        hash: u64,
        plan: &mut Plan<'r, '_>,
    ) -> Result<bool, DecodeError> {
        let Ok((metric, labels)) = self.checked_labels(series)? else { return Ok(false) };
        let counts = Counts { metadata: 1, ..Counts::default() };
        let (help, unit) = (self.request.symbol(metadata.help_ref), self.request.symbol(metadata.unit_ref));
        let reason = match help.zip(unit).map(|(help, unit)| metadata_row(metadata.metric_type, help, unit)) {
            Some(Some(mut row)) => {
                plan.outcome.written.metadata += 1;
                let key = self.memory.key(metric, hash);
                if !self.memory.knows(key) && plan.described.insert(key) {
                    row.metric = metric.to_owned();
                    plan.metadata.push(row);
                }
                return Ok(true);
            }
            Some(None) => RejectReason::InvalidUtf8,
            None => RejectReason::InvalidReference,
        };
        plan.outcome.rejected.add(reason, counts, || {
            Description::new(reason, format!("metadata of {metric}: help or unit is no symbol of UTF-8"))
                .of_series(&labels)
        });
        Ok(false)
    }
}
