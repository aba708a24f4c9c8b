//! The logical operator of an ASOF join, and how it becomes a physical one.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchemaRef, JoinType, Result, plan_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::logical_plan::builder::build_join_schema;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::condition::{Direction, Distance};
use super::exec::{AsofJoinExec, AsofSpec};

/// What becomes of rows of the left side without a row of the right side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AsofKind {
    /// They are left out.
    Inner,
    /// They stay, with NULLs.
    Left,
}

/// An ASOF join. Its columns are those of the left side, then those of the right side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AsofJoin {
    pub(super) left: Arc<LogicalPlan>,
    pub(super) right: Arc<LogicalPlan>,
    /// Expressions of the left and the right side, of equal types, that must be equal.
    pub(super) keys: Vec<(Expr, Expr)>,
    /// The times of both sides, of one type.
    pub(super) times: (Expr, Expr),
    pub(super) distance: Distance,
    pub(super) direction: Direction,
    pub(super) kind: AsofKind,
    pub(super) schema: DFSchemaRef,
}

impl AsofJoin {
    pub(super) fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        keys: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        distance: Distance,
        direction: Direction,
        kind: AsofKind,
    ) -> Result<Self> {
        let join_type = match kind {
            AsofKind::Inner => JoinType::Inner,
            AsofKind::Left => JoinType::Left,
        };
        let schema = Arc::new(build_join_schema(left.schema(), right.schema(), &join_type)?);
        Ok(Self { left: Arc::new(left), right: Arc::new(right), keys, times, distance, direction, kind, schema })
    }
}

impl PartialOrd for AsofJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        // DataFusion asks for an order of all plans; there is none that means something.
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for AsofJoin {
    fn name(&self) -> &str {
        "AsofJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.keys.iter().flat_map(|(left, right)| [left, right]);
        keys.chain([&self.times.0, &self.times.1]).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsofJoin: {:?} {:?}, times=({}, {})", self.kind, self.direction, self.times.0, self.times.1)?;
        self.keys.iter().try_for_each(|(left, right)| write!(f, ", {left} = {right}"))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(right_time), Some(left_time)) = (exprs.pop(), exprs.pop()) else {
            return plan_err!("an ASOF JOIN lost its times");
        };
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return plan_err!("an ASOF JOIN has two sides");
        };
        let mut keys = Vec::with_capacity(exprs.len() / 2);
        let mut exprs = exprs.into_iter();
        while let (Some(left), Some(right)) = (exprs.next(), exprs.next()) {
            keys.push((left, right));
        }
        Self::new(left, right, keys, (left_time, right_time), self.distance, self.direction, self.kind)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left_len = self.left.schema().fields().len();
        let mut left: Vec<usize> = output_columns.iter().copied().filter(|column| *column < left_len).collect();
        let mut right: Vec<usize> = output_columns.iter().filter_map(|column| column.checked_sub(left_len)).collect();
        let (mut left_exprs, mut right_exprs) = (vec![&self.times.0], vec![&self.times.1]);
        for (left, right) in &self.keys {
            left_exprs.push(left);
            right_exprs.push(right);
        }
        for (exprs, side, columns) in [(left_exprs, &self.left, &mut left), (right_exprs, &self.right, &mut right)] {
            for column in exprs.into_iter().flat_map(Expr::column_refs) {
                columns.push(side.schema().maybe_index_of_column(column)?);
            }
            columns.sort_unstable();
            columns.dedup();
        }
        Some(vec![left, right])
    }
}

/// Plans statements with ASOF joins in them.
#[derive(Debug)]
pub(in crate::datafusion) struct AsofPlanner;

#[async_trait]
impl QueryPlanner for AsofPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for AsofPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(join) = node.as_any().downcast_ref::<AsofJoin>() else { return Ok(None) };
        let [left, right] = physical_inputs else { return plan_err!("an ASOF JOIN has two sides") };
        let of_left = |expr: &Expr| planner.create_physical_expr(expr, join.left.schema(), session, context);
        let of_right = |expr: &Expr| planner.create_physical_expr(expr, join.right.schema(), session, context);
        let keys = join.keys.iter().map(|(left, right)| Ok((of_left(left)?, of_right(right)?)));
        let spec = AsofSpec {
            keys: keys.collect::<Result<Vec<_>>>()?,
            times: (of_left(&join.times.0)?, of_right(&join.times.1)?),
            distance: join.distance,
            direction: join.direction,
            kind: join.kind,
        };
        let schema = Arc::clone(join.schema.inner());
        Ok(Some(Arc::new(AsofJoinExec::plan(Arc::clone(left), Arc::clone(right), spec, schema)?)))
    }
}
