//! What of a WHERE clause the scan takes over.
//!
//! `push` looks at one conjunct. Time ranges and predicates on one tag are taken over exactly, so DataFusion drops
//! them; comparisons of a field with a value only skip vectors and stay in the plan.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, TableProviderFilterPushDown, Volatility};
use lynxstore_storage::types::{TableSchema, TimeRange};

use super::field_bound::FieldBound;

/// How the scan uses one conjunct.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pushed {
    /// Rows are within the range exactly when the conjunct holds.
    Time(TimeRange),
    /// The conjunct says that the tag is one of these values.
    TagOneOf(usize, Vec<String>),
    /// The conjunct is about this tag only.
    Tag(usize),
    /// No row outside the bound meets the conjunct.
    Field(FieldBound),
    /// It does not.
    Nothing,
}

impl Pushed {
    /// What DataFusion may leave out.
    pub(super) fn support(&self) -> TableProviderFilterPushDown {
        match self {
            Self::Time(_) | Self::TagOneOf(..) | Self::Tag(_) => TableProviderFilterPushDown::Exact,
            Self::Field(_) => TableProviderFilterPushDown::Inexact,
            Self::Nothing => TableProviderFilterPushDown::Unsupported,
        }
    }
}

/// Decides on one conjunct.
pub(super) fn push(schema: &TableSchema, expr: &Expr) -> Pushed {
    if let Some(range) = time_range(schema, expr) {
        return Pushed::Time(range);
    }
    if let Some((tag, values)) = tag_one_of(schema, expr) {
        return Pushed::TagOneOf(tag, values);
    }
    if let Some(tag) = only_tag(schema, expr) {
        return Pushed::Tag(tag);
    }
    if let Some((column, op, value)) = comparison(expr)
        && let Some(field) = schema.field_index(&column.name)
        && let Some(bound) = FieldBound::new(field, schema.fields[field].field_type, op, value)
    {
        return Pushed::Field(bound);
    }
    Pushed::Nothing
}

/// The expression with bare column names, as a schema without a table name resolves them.
pub(super) fn strip_qualifiers(expr: Expr) -> Result<Expr> {
    let stripped = expr.transform(|expr| match expr {
        Expr::Column(column) if column.relation.is_some() => {
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(stripped.data)
}

/// `column op literal`, turned round when it is written the other way.
pub(super) fn comparison(expr: &Expr) -> Option<(&Column, Operator, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    match (strip_casts(left), strip_casts(right)) {
        (Expr::Column(column), Expr::Literal(value, _)) => Some((column, *op, value)),
        (Expr::Literal(value, _), Expr::Column(column)) => Some((column, op.swap()?, value)),
        _ => None,
    }
}

/// Without casts that change neither the value nor the order: between timestamps of nanoseconds, and of tags to text.
fn strip_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if matches!(*cast.expr, Expr::Column(_)) && is_text_or_ns(cast.field.data_type()) => {
            &cast.expr
        }
        other => other,
    }
}

fn is_text_or_ns(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            true
        }
        DataType::Dictionary(_, value) => is_text_or_ns(value),
        _ => false,
    }
}

fn time_range(schema: &TableSchema, expr: &Expr) -> Option<TimeRange> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(time_range(schema, left)?.intersect(time_range(schema, right)?))
        }
        Expr::Between(Between { expr, negated: false, low, high }) => match (strip_casts(expr), &**low, &**high) {
            (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _))
                if column.name == schema.time.name =>
            {
                let start_ns = range_of(Operator::GtEq, low)?.start_ns;
                let end_ns = range_of(Operator::LtEq, high)?.end_ns;
                Some(TimeRange { start_ns, end_ns })
            }
            _ => None,
        },
        _ => {
            let (column, op, value) = comparison(expr)?;
            if column.name == schema.time.name { range_of(op, value) } else { None }
        }
    }
}

/// The times that stand in relation `op` to `value`.
pub(super) fn range_of(op: Operator, value: &ScalarValue) -> Option<TimeRange> {
    const NEVER: TimeRange = TimeRange { start_ns: i64::MAX, end_ns: i64::MIN };
    // Other units are cast by DataFusion before they get here, or change the meaning of the comparison.
    let ScalarValue::TimestampNanosecond(Some(ns), _) = value else { return None };
    let ns = *ns;
    let range = match op {
        Operator::Eq => TimeRange { start_ns: ns, end_ns: ns },
        Operator::GtEq => TimeRange { start_ns: ns, end_ns: i64::MAX },
        Operator::LtEq => TimeRange { start_ns: i64::MIN, end_ns: ns },
        Operator::Gt => match ns.checked_add(1) {
            Some(start_ns) => TimeRange { start_ns, end_ns: i64::MAX },
            None => NEVER,
        },
        Operator::Lt => match ns.checked_sub(1) {
            Some(end_ns) => TimeRange { start_ns: i64::MIN, end_ns },
            None => NEVER,
        },
        _ => return None,
    };
    Some(range)
}

/// `tag = 'x'` and `tag IN ('x', 'y')`.
fn tag_one_of(schema: &TableSchema, expr: &Expr) -> Option<(usize, Vec<String>)> {
    if let Some((column, Operator::Eq, value)) = comparison(expr) {
        return Some((schema.tag_index(&column.name)?, vec![text_of(value)?]));
    }
    let Expr::InList(list) = expr else { return None };
    let Expr::Column(column) = strip_casts(&list.expr) else { return None };
    if list.negated {
        return None;
    }
    let tag = schema.tag_index(&column.name)?;
    let values = list.list.iter().map(|item| match item {
        Expr::Literal(value, _) => text_of(value),
        _ => None,
    });
    Some((tag, values.collect::<Option<_>>()?))
}

pub(super) fn text_of(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Dictionary(_, value) => text_of(value),
        value => value.try_as_str()?.map(str::to_owned),
    }
}

/// The one tag that a predicate is about, when it is cheap, immutable and cannot fail on a value.
fn only_tag(schema: &TableSchema, expr: &Expr) -> Option<usize> {
    let mut tag = None;
    let mut is_simple = true;
    let visited = expr.apply(|node| {
        let is_allowed = match node {
            Expr::Column(column) => match (schema.tag_index(&column.name), tag) {
                (Some(found), None) => {
                    tag = Some(found);
                    true
                }
                (Some(found), Some(known)) => found == known,
                (None, _) => false,
            },
            Expr::Literal(..)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::InList(_)
            | Expr::TryCast(_) => true,
            Expr::BinaryExpr(binary) => !matches!(
                binary.op,
                Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
            ),
            // Another cast may fail on a value of a series that another conjunct excludes.
            Expr::Cast(cast) => is_text_or_ns(cast.field.data_type()),
            Expr::ScalarFunction(function) => function.func.signature().volatility == Volatility::Immutable,
            _ => false,
        };
        is_simple &= is_allowed;
        Ok(if is_allowed { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    if visited.is_ok() && is_simple { tag } else { None }
}
