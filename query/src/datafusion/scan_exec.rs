//! The leaf of a plan: reads the series of one table as record batches.
//!
//! Partitions are disjoint ranges of series in key order. Within a series rows are in time order, but that is not
//! claimed as an ordering: a partition holds many series.

use std::fmt::{self, Formatter};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt;

use super::scan_metrics::ScanMetrics;
use super::scan_source::ScanSource;

/// Batches that a partition may be ahead of its consumer.
const BATCHES_AHEAD: usize = 2;

/// Scans the series of one table.
#[derive(Debug, Clone)]
pub(super) struct SeriesScanExec {
    source: Arc<ScanSource>,
    partitions: Arc<Vec<Range<usize>>>,
    fetch: Option<usize>,
    /// The filters that the scan applies, in words.
    filters: Arc<str>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SeriesScanExec {
    pub(super) fn new(source: ScanSource, target_partitions: usize, fetch: Option<usize>, filters: String) -> Self {
        let partitions = source.partitions(target_partitions);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&source.schema)),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            source: Arc::new(source),
            partitions: Arc::new(partitions),
            fetch,
            filters: filters.into(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for SeriesScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        let schema = self.source.series.table().schema();
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "SeriesScanExec: table={}, series={}", schema.name, self.source.series.len())?;
                write!(f, ", partitions={}", self.partitions.len())?;
                if !self.filters.is_empty() {
                    write!(f, ", filters=[{}]", self.filters)?;
                }
                if let Some(fetch) = self.fetch {
                    write!(f, ", fetch={fetch}")?;
                }
                let sources = self.source.series.sources();
                let (used, all) = (sources.segments, sources.table_segments);
                write!(f, ", segments={used} of {all}, rows_in_memory={}", sources.memory_rows)
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "table={}", schema.name)?;
                writeln!(f, "series={}", self.source.series.len())
            }
        }
    }
}

impl ExecutionPlan for SeriesScanExec {
    fn name(&self) -> &'static str {
        "SeriesScanExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.source.schema)
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut builder = RecordBatchReceiverStream::builder(self.schema(), BATCHES_AHEAD);
        let sender = builder.tx();
        let source = Arc::clone(&self.source);
        let series = self.partitions[partition].clone();
        let batch_rows = context.session_config().batch_size();
        let scan_metrics = ScanMetrics::new(&self.metrics, partition);
        builder.spawn(source.send_batches(series, batch_rows, self.fetch, scan_metrics, sender));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = builder.build().inspect(move |batch| {
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.source.schema);
        // Duplicates are still in the estimate, and so are rows outside the time range.
        if args.partition().is_none() {
            let rows = usize::try_from(self.source.row_count_estimate).unwrap_or(usize::MAX);
            statistics.num_rows = Precision::Inexact(self.fetch.map_or(rows, |fetch| rows.min(fetch)));
        }
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { fetch: limit, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }
}
