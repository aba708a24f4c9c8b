//! The vectorized executor as an operator of a DataFusion plan.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt;

use super::error::to_datafusion;
use super::served_query::ServedQuery;
use crate::cancellation::Cancellation;
use crate::exec::{ExecContext, run_select};

/// Batches that the executor may be ahead of its consumer.
const BATCHES_AHEAD: usize = 2;

/// Runs a served query and puts out its rows.
#[derive(Debug)]
pub(super) struct LynxAggregateExec {
    query: Arc<ServedQuery>,
    projection: Option<Vec<usize>>,
    /// The conditions of the statement around it that narrow what is read, in words.
    filters: String,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LynxAggregateExec {
    pub(super) fn new(query: ServedQuery, projection: Option<Vec<usize>>, filters: String) -> Result<Self> {
        let schema = match &projection {
            Some(columns) => Arc::new(query.plan.schema.project(columns)?),
            None => Arc::clone(&query.plan.schema),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            // It uses threads of its own.
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            query: Arc::new(query),
            projection,
            filters,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for LynxAggregateExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "LynxAggregateExec: {}", self.query.sql)?;
                if !self.filters.is_empty() {
                    write!(f, ", filters=[{}]", self.filters)?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => writeln!(f, "table={}", self.query.table.schema().name),
        }
    }
}

/// Cancels a run whose rows nobody wants any more.
#[derive(Debug)]
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl ExecutionPlan for LynxAggregateExec {
    fn name(&self) -> &'static str {
        "LynxAggregateExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut builder = RecordBatchReceiverStream::builder(self.schema(), BATCHES_AHEAD);
        let sender = builder.tx();
        let (query, projection) = (Arc::clone(&self.query), self.projection.clone());
        let cancellation = self.query.cancellation.child();
        let guard = CancelOnDrop(cancellation.clone());
        // Not on the threads of the runtime, which would serve nobody else meanwhile.
        builder.spawn_blocking(move || {
            let context = ExecContext {
                options: &query.options.query,
                workers: &query.options.workers,
                cancellation: &cancellation,
                memory: &query.options.memory,
                trace: None,
            };
            let batches = run_select(&query.plan, Some(&query.table), &context).map_err(to_datafusion)?;
            for batch in batches {
                let batch = match &projection {
                    Some(columns) => batch.project(columns)?,
                    None => batch,
                };
                if sender.blocking_send(Ok(batch)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = builder.build().inspect(move |batch| {
            let _dropped_with_the_stream = &guard;
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
