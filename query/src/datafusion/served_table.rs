//! The rows of a served query as a table of the statement around it.
//!
//! Conditions of that statement on the keys of the groups narrow what the query reads: on a tag its series, on a bucket
//! its times. They are not exact for buckets, so DataFusion applies them once more.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lynxstore_storage::types::{TableSchema, TimeRange};

use super::aggregate_exec::LynxAggregateExec;
use super::pushdown::{comparison, range_of, text_of};
use super::served_query::ServedQuery;
use crate::plan::{Bucket, Expr as Bound, SelectPlan, TagPredicate};
use crate::scalar::Scalar;

/// A served query.
#[derive(Debug)]
pub(super) struct ServedTable {
    query: ServedQuery,
}

impl ServedTable {
    pub(super) fn new(query: ServedQuery) -> Self {
        Self { query }
    }
}

#[async_trait]
impl TableProvider for ServedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.query.plan.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match Narrowing::of(&self.query.plan, filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut query = self.query.clone();
        let mut applied = Vec::new();
        for filter in filters {
            if let Some(narrowing) = Narrowing::of(&self.query.plan, filter) {
                narrowing.apply(Arc::make_mut(&mut query.plan));
                applied.push(filter.to_string());
            }
        }
        Ok(Arc::new(LynxAggregateExec::new(query, projection.cloned(), applied.join(", "))?))
    }
}

/// What a condition on the result says of the rows that are read for it.
enum Narrowing {
    Tag(TagPredicate),
    Time(TimeRange),
}

impl Narrowing {
    fn of(plan: &SelectPlan, filter: &Expr) -> Option<Self> {
        // A query that cuts its rows would choose others among fewer.
        if plan.limit.is_some() || plan.offset > 0 {
            return None;
        }
        if let Some((tag, values)) = tag_values(plan, filter) {
            return Some(Self::Tag(one_of(tag, values)));
        }
        let (column, op, value) = comparison(filter)?;
        match key_of(plan, &column.name)? {
            Key::Bucket(bucket) => bucket_range(bucket, op, value).map(Self::Time),
            Key::Tag(_) => None,
        }
    }

    fn apply(self, plan: &mut SelectPlan) {
        match self {
            Self::Tag(predicate) => plan.filter.tags.push(predicate),
            Self::Time(range) => plan.filter.range = plan.filter.range.intersect(range),
        }
    }
}

/// The values of which a condition says that a tag is one; DataFusion writes short lists as a chain of OR.
fn tag_values(plan: &SelectPlan, filter: &Expr) -> Option<(usize, Vec<String>)> {
    let tag_of = |name: &str| match key_of(plan, name)? {
        Key::Tag(tag) => Some(tag),
        Key::Bucket(_) => None,
    };
    if let Some((column, Operator::Eq, value)) = comparison(filter) {
        return Some((tag_of(&column.name)?, vec![text_of(value)?]));
    }
    match filter {
        Expr::BinaryExpr(either) if either.op == Operator::Or => {
            let (tag, mut values) = tag_values(plan, &either.left)?;
            let (other, more) = tag_values(plan, &either.right)?;
            values.extend(more);
            (tag == other).then_some((tag, values))
        }
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = &*list.expr else { return None };
            let values = list.list.iter().map(|item| match item {
                Expr::Literal(value, _) => text_of(value),
                _ => None,
            });
            Some((tag_of(&column.name)?, values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// A key of the groups.
enum Key {
    Tag(usize),
    Bucket(Bucket),
}

/// The key that a result column shows as it is.
fn key_of(plan: &SelectPlan, name: &str) -> Option<Key> {
    let aggregation = plan.aggregation.as_ref()?;
    let column = plan.projection[..plan.visible].iter().find(|column| column.name == name)?;
    let Bound::Column(position, _) = column.expr else { return None };
    let table_column = |expr: &Bound| match expr {
        Bound::Column(position, _) => plan.columns.get(*position).copied(),
        _ => None,
    };
    match aggregation.keys.get(position)? {
        Bound::TimeBucket(bucket, inner) => (table_column(inner)? == 0).then_some(Key::Bucket(*bucket)),
        key => match table_column(key)?.checked_sub(1)? {
            tag if tag < plan.table.as_ref()?.tags.len() => Some(Key::Tag(tag)),
            _ => None,
        },
    }
}

fn one_of(tag: usize, values: Vec<String>) -> TagPredicate {
    let list = values.iter().map(|value| Scalar::from(value.as_str())).collect();
    let column = Box::new(Bound::Column(0, TableSchema::tag_type()));
    TagPredicate { tag, condition: Bound::InList { expr: column, list, negated: false }, equals: Some(values) }
}

/// The times of rows whose bucket can start in relation `op` to `value`. A bucket that satisfies it has all its rows there.
fn bucket_range(bucket: Bucket, op: Operator, value: &ScalarValue) -> Option<TimeRange> {
    let starts = range_of(op, value)?;
    if starts.is_empty() || starts.end_ns == i64::MAX {
        // Rows are never before the start of their bucket.
        return Some(starts);
    }
    // The last bucket that starts in time ends after its start.
    let end_ns = bucket.last(bucket.ordinal(starts.end_ns));
    Some(TimeRange { start_ns: starts.start_ns, end_ns })
}
