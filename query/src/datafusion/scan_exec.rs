//! The leaf of a plan: reads the series of one table as record batches.
//!
//! Partitions are disjoint ranges of series in key order, so that each is sorted by tags and time; see `scan_ordering`.

use std::fmt::{self, Formatter};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt;

use super::scan_metrics::ScanMetrics;
use super::scan_ordering::equivalences;
use super::scan_source::ScanSource;
use super::scan_statistics::statistics;

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
    /// Of all partitions, once somebody asked.
    statistics: OnceLock<Arc<Statistics>>,
    metrics: ExecutionPlanMetricsSet,
}

impl SeriesScanExec {
    pub(super) fn new(
        source: ScanSource,
        target_partitions: usize,
        fetch: Option<usize>,
        filters: String,
    ) -> Result<Self> {
        let partitions = source.partitions(target_partitions);
        let properties = PlanProperties::new(
            equivalences(&source)?,
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            source: Arc::new(source),
            partitions: Arc::new(partitions),
            fetch,
            filters: filters.into(),
            properties: Arc::new(properties),
            statistics: OnceLock::new(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same scan in one partition, whose order is that of all rows.
    pub(super) fn in_one_partition(&self) -> Self {
        let properties =
            PlanProperties::clone(&self.properties).with_partitioning(Partitioning::UnknownPartitioning(1));
        let partitions = Arc::new(std::iter::once(0..self.source.series.len()).collect());
        let (statistics, metrics) = (OnceLock::new(), ExecutionPlanMetricsSet::new());
        Self { partitions, properties: Arc::new(properties), statistics, metrics, ..self.clone() }
    }

    fn statistics_of_all(&self) -> &Arc<Statistics> {
        self.statistics.get_or_init(|| {
            let all = 0..self.source.series.len();
            if self.partitions.len() == 1 {
                return Arc::new(statistics(&self.source, all, self.fetch));
            }
            let mut statistics = statistics(&self.source, all, None);
            if let Some(fetch) = self.fetch
                && statistics.num_rows.get_value().is_none_or(|rows| *rows > fetch)
            {
                // Each partition stops by itself: how many rows come is not known.
                statistics = statistics.to_inexact();
                statistics.num_rows = Precision::Inexact(fetch);
            }
            Arc::new(statistics)
        })
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
                write!(f, ", segments={used} of {all}, rows_in_memory={}", sources.memory_rows)?;
                if let Some(order) = self.properties.output_ordering() {
                    write!(f, ", order=[{order}]")?;
                }
                match self.statistics_of_all().num_rows {
                    Precision::Exact(rows) => write!(f, ", rows={rows}"),
                    _ => Ok(()),
                }
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
        Ok(match args.partition() {
            None => Arc::clone(self.statistics_of_all()),
            Some(partition) => Arc::new(statistics(&self.source, self.partitions[partition].clone(), self.fetch)),
        })
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let (statistics, metrics) = (OnceLock::new(), ExecutionPlanMetricsSet::new());
        Some(Arc::new(Self { fetch: limit, statistics, metrics, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }
}
