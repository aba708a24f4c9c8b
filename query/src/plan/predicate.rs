//! Splits a WHERE condition into what the scan can use and what is left.
//!
//! A conjunct that bounds the time column narrows the time range; one that reads a single tag and cannot fail is
//! decided once per distinct value of the tag; one that compares a numeric field with a constant, or asks whether a field has
//! a value, skips vectors by their zone maps and masks the rest. Each of these is exact, so only the other conjuncts are evaluated row by row.

use arrow::datatypes::DataType;
use lynxstore_storage::types::{FieldType, TableSchema, TimeRange};

use super::expr::{CompareOp, Expr};
use crate::error::Result;
use crate::exec::evaluate_constant;
use crate::scalar::Scalar;

/// A WHERE condition, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct ScanFilter {
    /// Times that can pass.
    pub(crate) range: TimeRange,
    /// Conditions on one tag each.
    pub(crate) tags: Vec<TagPredicate>,
    /// Comparisons of numeric fields with constants, and whether fields have a value.
    pub(crate) fields: Vec<FieldTerm>,
    /// What is left, over the columns of the table.
    pub(crate) residual: Option<Expr>,
}

/// A condition on one tag.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TagPredicate {
    /// Position in the tags of the table.
    pub(crate) tag: usize,
    /// The condition; its only column is column 0, the tag.
    pub(crate) condition: Expr,
    /// The values that pass, when the condition names them.
    pub(crate) equals: Option<Vec<String>>,
}

/// A test of one field that whole vectors can pass or fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FieldTerm {
    /// Position in the fields of the table.
    pub(crate) field: usize,
    /// The test.
    pub(crate) test: FieldTest,
}

/// The test of a [`FieldTerm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FieldTest {
    /// `field op constant` on a numeric field, the constant in the form in which vectors are decoded.
    Compare(CompareOp, FieldBound),
    /// `field IS NULL`.
    IsNull,
    /// `field IS NOT NULL`.
    IsNotNull,
}

/// The constant of a [`FieldTest`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FieldBound {
    /// Of a signed field, or of an unsigned one in the ordered form (highest bit flipped).
    I64(i64),
    /// Of a float field; never NaN.
    F64(f64),
}

impl ScanFilter {
    /// A filter that passes everything.
    pub(crate) fn all() -> Self {
        Self { range: TimeRange::ALL, tags: Vec::new(), fields: Vec::new(), residual: None }
    }

    /// Takes a condition over the columns of `table` apart.
    pub(crate) fn split(table: &TableSchema, condition: Option<Expr>) -> Result<Self> {
        let mut filter = Self::all();
        if let Some(condition) = condition {
            filter.add(table, condition)?;
        }
        Ok(filter)
    }

    fn add(&mut self, table: &TableSchema, condition: Expr) -> Result<()> {
        match condition {
            Expr::And(left, right) => {
                self.add(table, *left)?;
                self.add(table, *right)
            }
            condition => self.add_conjunct(table, condition),
        }
    }

    fn add_conjunct(&mut self, table: &TableSchema, condition: Expr) -> Result<()> {
        let mut columns = Vec::new();
        condition.collect_columns(&mut columns);
        match columns.as_slice() {
            [] => {
                if evaluate_constant(&condition)? != Scalar::Bool(true) {
                    self.range = EMPTY;
                }
                return Ok(());
            }
            [0] => {
                if let Some(range) = time_range(&condition) {
                    self.range = self.range.intersect(range);
                    return Ok(());
                }
            }
            [column] if *column <= table.tags.len() && !condition.can_fail() => {
                self.tags.push(TagPredicate::new(*column, condition));
                return Ok(());
            }
            [column] if *column > table.tags.len() => {
                let field = *column - 1 - table.tags.len();
                match FieldTerm::from_condition(field, table.fields[field].field_type, &condition) {
                    Some(FieldCondition::Term(term)) => {
                        self.fields.push(term);
                        return Ok(());
                    }
                    Some(FieldCondition::Never) => {
                        self.range = EMPTY;
                        return Ok(());
                    }
                    None => {}
                }
            }
            _ => {}
        }
        self.residual = Some(match self.residual.take() {
            None => condition,
            Some(residual) => Expr::And(Box::new(residual), Box::new(condition)),
        });
        Ok(())
    }
}

const EMPTY: TimeRange = TimeRange { start_ns: i64::MAX, end_ns: i64::MIN };

/// The times that satisfy a comparison of the time column with a constant.
fn time_range(condition: &Expr) -> Option<TimeRange> {
    let Expr::Compare(op, left, right) = condition else { return None };
    if !matches!(**left, Expr::Column(0, _)) {
        return None;
    }
    let time_ns = match &**right {
        Expr::Literal(Scalar::Time(time_ns), _) => *time_ns,
        Expr::Literal(Scalar::Null, _) => return Some(EMPTY),
        _ => return None,
    };
    let from = |start: Option<i64>| start.map_or(EMPTY, |start_ns| TimeRange { start_ns, ..TimeRange::ALL });
    let to = |end: Option<i64>| end.map_or(EMPTY, |end_ns| TimeRange { end_ns, ..TimeRange::ALL });
    match op {
        CompareOp::Eq => Some(TimeRange { start_ns: time_ns, end_ns: time_ns }),
        CompareOp::GtEq => Some(from(Some(time_ns))),
        CompareOp::Gt => Some(from(time_ns.checked_add(1))),
        CompareOp::LtEq => Some(to(Some(time_ns))),
        CompareOp::Lt => Some(to(time_ns.checked_sub(1))),
        CompareOp::NotEq => None,
    }
}

impl TagPredicate {
    fn new(column: usize, mut condition: Expr) -> Self {
        condition.remap_columns(&|_| 0);
        let equals = match &condition {
            Expr::Compare(CompareOp::Eq, left, right) if matches!(**left, Expr::Column(..)) => match &**right {
                Expr::Literal(Scalar::Text(text), _) => Some(vec![text.to_string()]),
                _ => None,
            },
            Expr::InList { expr, list, negated: false } if matches!(**expr, Expr::Column(..)) => list
                .iter()
                .map(|item| match item {
                    Scalar::Text(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        Self { tag: column - 1, condition, equals }
    }
}

/// What a condition on one field comes down to.
#[derive(Debug, PartialEq)]
enum FieldCondition {
    Term(FieldTerm),
    Never,
}

impl FieldTerm {
    /// The terms that `condition` consists of, when it consists of nothing else; `field_of` tells the position and the type of
    /// the field that a column is.
    pub(crate) fn all_of(
        condition: &Expr,
        field_of: &impl Fn(usize) -> Option<(usize, FieldType)>,
    ) -> Option<Vec<Self>> {
        if let Expr::And(left, right) = condition {
            let mut terms = Self::all_of(left, field_of)?;
            terms.extend(Self::all_of(right, field_of)?);
            return Some(terms);
        }
        let mut columns = Vec::new();
        condition.collect_columns(&mut columns);
        let [column] = columns.as_slice() else { return None };
        let (field, field_type) = field_of(*column)?;
        match Self::from_condition(field, field_type, condition)? {
            FieldCondition::Term(term) => Some(vec![term]),
            FieldCondition::Never => None,
        }
    }

    fn from_condition(field: usize, field_type: FieldType, condition: &Expr) -> Option<FieldCondition> {
        let term = |test| Some(FieldCondition::Term(Self { field, test }));
        let is_column = |expr: &Expr| matches!(expr, Expr::Column(..));
        let (op, left, right) = match condition {
            Expr::Compare(op, left, right) => (op, left, right),
            Expr::IsNull(inner) if is_column(inner) => return term(FieldTest::IsNull),
            Expr::Not(inner) => match &**inner {
                Expr::IsNull(inner) if is_column(inner) => return term(FieldTest::IsNotNull),
                _ => return None,
            },
            _ => return None,
        };
        let Expr::Literal(value, _) = &**right else { return None };
        if *value == Scalar::Null {
            return Some(FieldCondition::Never);
        }
        let term = |op, bound| term(FieldTest::Compare(op, bound));
        match (&**left, field_type, value) {
            (Expr::Column(..), FieldType::I64, Scalar::I64(value)) => term(*op, FieldBound::I64(*value)),
            (Expr::Column(..), FieldType::U64, Scalar::U64(value)) => term(*op, FieldBound::I64(ordered(*value))),
            (Expr::Column(..), FieldType::F64, Scalar::F64(value)) if !value.is_nan() => {
                term(*op, FieldBound::F64(*value))
            }
            // An integer column against a float constant is compared as integers: exact, and without a conversion per row.
            (Expr::Cast { expr, to: DataType::Float64, .. }, FieldType::I64, Scalar::F64(value))
                if matches!(**expr, Expr::Column(..)) =>
            {
                let (op, bound) = integer_bound(*op, *value)?;
                term(op, FieldBound::I64(bound))
            }
            _ => None,
        }
    }
}

/// The form of an unsigned value whose signed order is its order.
pub(crate) fn ordered(value: u64) -> i64 {
    (value ^ (1 << 63)) as i64
}

/// `integer op value` as a comparison with an integer, where one says the same.
fn integer_bound(op: CompareOp, value: f64) -> Option<(CompareOp, i64)> {
    // Up to 2^53 the conversion of the column would be exact too, so both readings agree.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() || value.abs() >= EXACT {
        return None;
    }
    let (floor, ceil) = (value.floor() as i64, value.ceil() as i64);
    match op {
        CompareOp::Gt => Some((op, floor)),
        CompareOp::GtEq => Some((op, ceil)),
        CompareOp::Lt => Some((op, ceil)),
        CompareOp::LtEq => Some((op, floor)),
        CompareOp::Eq | CompareOp::NotEq if floor == ceil => Some((op, floor)),
        CompareOp::Eq | CompareOp::NotEq => None,
    }
}

#[cfg(test)]
mod tests {
    use lynxstore_storage::types::{TableId, TableSpec};

    use super::super::bind::Binder;
    use super::*;
    use crate::sql::parse_condition;

    fn split(condition: &str) -> ScanFilter {
        let spec = TableSpec::new("t").tag("host").tag("region").field("i", FieldType::I64).field("f", FieldType::F64);
        let spec = spec.field("u", FieldType::U64);
        let schema = TableSchema::from_spec(TableId(1), &spec).unwrap();
        let ast = parse_condition(condition).unwrap();
        let bound = Binder::new(Some((&schema, "t".into())), &[], 0).bind_condition(&ast).unwrap();
        ScanFilter::split(&schema, Some(bound)).unwrap()
    }

    #[test]
    fn time_bounds_become_a_closed_range() {
        let filter = split("time >= '1970-01-01T00:00:01Z' and '1970-01-01T00:00:02Z' > time");
        assert_eq!(filter.range, TimeRange { start_ns: 1_000_000_000, end_ns: 1_999_999_999 });
        assert!(filter.residual.is_none());
        let filter = split("time between '1970-01-01' and timestamp '1970-01-01' + interval '1 second'");
        assert_eq!(filter.range, TimeRange { start_ns: 0, end_ns: 1_000_000_000 });
        assert!(split("1 = 2").range.is_empty() && split("time > null").range.is_empty());
        assert!(split("time <> '1970-01-01'").residual.is_some());
    }

    #[test]
    fn conditions_on_one_tag_are_decided_per_value() {
        let filter = split("host in ('a', 'b') and (region = 'x' or region is null) and host like 'a%'");
        assert_eq!(filter.tags.len(), 3);
        assert_eq!(filter.tags[0].equals.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert_eq!((filter.tags[1].tag, &filter.tags[1].equals), (1, &None));
        assert!(filter.residual.is_none());
        assert!(split("host = region").residual.is_some());
    }

    #[test]
    fn numeric_comparisons_become_terms_of_the_column_type() {
        let filter = split("i > 90.5 and 3 <= f and u <> 7 and i = 2.0");
        let terms: Vec<_> = filter.fields.iter().map(|term| (term.field, term.test)).collect();
        assert_eq!(
            terms,
            [
                (0, FieldTest::Compare(CompareOp::Gt, FieldBound::I64(90))),
                (1, FieldTest::Compare(CompareOp::GtEq, FieldBound::F64(3.0))),
                (2, FieldTest::Compare(CompareOp::NotEq, FieldBound::I64(ordered(7)))),
                (0, FieldTest::Compare(CompareOp::Eq, FieldBound::I64(2))),
            ]
        );
        assert!(filter.residual.is_none());
        assert!(split("i > f").residual.is_some() && split("i + 1 > 2").residual.is_some());
        assert!(split("i = 2.5").residual.is_some());
    }

    #[test]
    fn whether_a_field_has_a_value_is_a_term() {
        let filter = split("i is null and not (f is null) and u is not null");
        let terms: Vec<_> = filter.fields.iter().map(|term| (term.field, term.test)).collect();
        assert_eq!(terms, [(0, FieldTest::IsNull), (1, FieldTest::IsNotNull), (2, FieldTest::IsNotNull)]);
        assert!(filter.residual.is_none());
        assert!(split("i + 1 is null").residual.is_some() && split("not (i > 1)").residual.is_some());
    }
}
