//! The physical operator of an ASOF join: asks for both sides sorted by keys and time, as a whole where a side comes in that
//! order, else a partition of the keys at a time. The rows of the left side keep their order.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::condition::{Direction, Distance};
use super::input_order::in_order;
use super::merge::Merge;
use super::node::AsofKind;

/// Keys and times in this order; NULLs match nothing, so where they stand does not matter.
pub(super) const ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// What is joined.
#[derive(Debug, Clone)]
pub(super) struct AsofSpec {
    pub(super) keys: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    pub(super) times: (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>),
    pub(super) distance: Distance,
    pub(super) direction: Direction,
    pub(super) kind: AsofKind,
}

/// How the rows of both sides are spread over partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// By a hash of the keys.
    ByKeys,
    /// There is one partition.
    Whole,
}

/// The operator.
#[derive(Debug, Clone)]
pub(super) struct AsofJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    spec: Arc<AsofSpec>,
    schema: SchemaRef,
    left_order: LexOrdering,
    right_order: LexOrdering,
    spread: Spread,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsofJoinExec {
    /// Plans the join of two sides, as they are before anything is partitioned or sorted.
    pub(super) fn plan(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        spec: AsofSpec,
        schema: SchemaRef,
    ) -> Result<Self> {
        let spread = if spec.keys.is_empty() { Spread::Whole } else { Spread::ByKeys };
        let join = Self::new(left, right, Arc::new(spec), schema, spread)?;
        let sides = [in_order(&join.left, &join.left_order)?, in_order(&join.right, &join.right_order)?];
        if sides.iter().all(Option::is_none) {
            return Ok(join);
        }
        let [left, right] = sides;
        let (left, right) = (left.unwrap_or(join.left), right.unwrap_or(join.right));
        Self::new(left, right, join.spec, join.schema, Spread::Whole)
    }

    fn new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        spec: Arc<AsofSpec>,
        schema: SchemaRef,
        spread: Spread,
    ) -> Result<Self> {
        let order = |keys: Vec<&Arc<dyn PhysicalExpr>>, time: &Arc<dyn PhysicalExpr>| {
            let keys = keys.into_iter().chain([time]);
            LexOrdering::new(keys.map(|expr| PhysicalSortExpr::new(Arc::clone(expr), ORDER)))
        };
        let left_order = order(spec.keys.iter().map(|(left, _)| left).collect(), &spec.times.0);
        let right_order = order(spec.keys.iter().map(|(_, right)| right).collect(), &spec.times.1);
        let (Some(left_order), Some(right_order)) = (left_order, right_order) else {
            return plan_err!("an ASOF JOIN has no order");
        };
        let left_orders = left.equivalence_properties().oeq_class().iter().cloned();
        let properties = PlanProperties::new(
            // The columns of the left side come first, so its orders and its partitioning hold as they are.
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), left_orders),
            left.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            left,
            right,
            spec,
            schema,
            left_order,
            right_order,
            spread,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for AsofJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        let AsofSpec { keys, times, distance, direction, kind } = &*self.spec;
        write!(f, "AsofJoinExec: kind={kind:?}, direction={direction:?}, times=({}, {})", times.0, times.1)?;
        keys.iter().try_for_each(|(left, right)| write!(f, ", {left} = {right}"))?;
        let bounds = [("min", distance.min), ("max", distance.max)];
        bounds.iter().try_for_each(|(name, bound)| match bound {
            Some(bound) => write!(f, ", {name}_distance={bound}"),
            None => Ok(()),
        })
    }
}

impl ExecutionPlan for AsofJoinExec {
    fn name(&self) -> &'static str {
        "AsofJoinExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        if self.spread == Spread::Whole {
            return InputDistributionRequirements::new(vec![
                Distribution::SinglePartition,
                Distribution::SinglePartition,
            ]);
        }
        let (left, right) = self.spec.keys.iter().cloned().unzip();
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(left),
            Distribution::KeyPartitioned(right),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![
            Some(OrderingRequirements::from(self.left_order.clone())),
            Some(OrderingRequirements::from(self.right_order.clone())),
        ]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return plan_err!("an ASOF JOIN has two sides");
        };
        Ok(Arc::new(Self::new(left, right, Arc::clone(&self.spec), Arc::clone(&self.schema), self.spread)?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys = self.spec.keys.iter().flat_map(|(left, right)| [left, right]);
        for expr in keys.chain([&self.spec.times.0, &self.spec.times.1]) {
            if visit(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let right = self.right.execute(partition, context)?;
        let merge = Merge::new(left, right, Arc::clone(&self.spec), self.schema())?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::try_unfold(merge, async move |mut merge| {
            let batch = merge.next_batch().await?;
            Ok(batch.map(|batch| (batch, merge)))
        });
        let batches = batches.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema)))
    }
}
