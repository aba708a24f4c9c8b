//! Takes the condition of an ASOF join apart: equalities of keys, and bounds of how far apart the times are.
//!
//! Every comparison of the two times, with spans added or not, is a bound of their distance left minus right:
//! `a.time >= b.time` says that it is at least 0, `a.time - b.time <= INTERVAL '1 minute'` that it is at most a minute.
//! The bound at or above 0 from below asks for an earlier row of the right side, the one at or below 0 from above for a
//! later one.

use arrow::datatypes::IntervalMonthDayNanoType;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::scalar::Interval;

/// Where the row of the right side is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// The latest one that is early enough.
    Backward,
    /// The earliest one that is late enough.
    Forward,
}

/// Bounds of the time of the left side minus that of the right side, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Distance {
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

impl Distance {
    fn at_least(&mut self, bound: i64) {
        self.min = Some(self.min.map_or(bound, |min| min.max(bound)));
    }

    fn at_most(&mut self, bound: i64) {
        self.max = Some(self.max.map_or(bound, |max| max.min(bound)));
    }

    /// Where rows are looked for, when the bounds say so.
    pub(super) fn direction(self) -> Result<Direction> {
        match (self.min, self.max) {
            (Some(_), None) => Ok(Direction::Backward),
            (None, Some(_)) => Ok(Direction::Forward),
            (Some(min), Some(_)) if min >= 0 => Ok(Direction::Backward),
            (Some(_), Some(max)) if max <= 0 => Ok(Direction::Forward),
            _ => plan_err!(
                "an ASOF JOIN needs one comparison of times that says on which side the nearest row is, such as \
                 a.time >= b.time"
            ),
        }
    }

    /// With a distance that neither direction exceeds.
    pub(super) fn within(mut self, tolerance_ns: i64) -> Result<Self> {
        match self.direction()? {
            Direction::Backward => self.at_most(tolerance_ns),
            Direction::Forward => self.at_least(-tolerance_ns),
        }
        Ok(self)
    }
}

/// A condition, taken apart.
#[derive(Debug, Default)]
pub(super) struct AsofCondition {
    /// Expressions of the left and of the right side that are equal.
    pub(super) keys: Vec<(Expr, Expr)>,
    /// The times of both sides.
    pub(super) times: Option<(Expr, Expr)>,
    /// How far apart they are.
    pub(super) distance: Distance,
}

impl AsofCondition {
    /// Adds the conjuncts of a condition over both sides.
    pub(super) fn add(&mut self, condition: Expr, left: &DFSchema, right: &DFSchema) -> Result<()> {
        for conjunct in split_conjunction_owned(condition) {
            self.add_conjunct(&conjunct, left, right)?;
        }
        Ok(())
    }

    fn add_conjunct(&mut self, conjunct: &Expr, left: &DFSchema, right: &DFSchema) -> Result<()> {
        let refuse = || {
            plan_err!(
                "an ASOF JOIN takes equalities of both sides and comparisons of their times; put the condition \
                 '{conjunct}' into WHERE or into a subquery"
            )
        };
        let Expr::BinaryExpr(BinaryExpr { left: a, op, right: b }) = conjunct else { return refuse() };
        if *op == Operator::Eq {
            return match (side_of(a, left, right), side_of(b, left, right)) {
                (Some(Side::Left), Some(Side::Right)) => {
                    self.keys.push(((**a).clone(), (**b).clone()));
                    Ok(())
                }
                (Some(Side::Right), Some(Side::Left)) => {
                    self.keys.push(((**b).clone(), (**a).clone()));
                    Ok(())
                }
                _ => refuse(),
            };
        }
        let mut sum = Sum::default();
        if !sum.add(a, 1, left, right) || !sum.add(b, -1, left, right) {
            return refuse();
        }
        let (Some((left_time, sign)), Some((right_time, other_sign))) = (sum.left, sum.right) else { return refuse() };
        if sign != -other_sign {
            return refuse();
        }
        let times = (left_time, right_time);
        if self.times.as_ref().is_some_and(|known| *known != times) {
            return plan_err!("an ASOF JOIN compares one time of each side, here are more");
        }
        self.times = Some(times);
        // `sign * (left - right) + constant op 0`
        let strict = i64::from(matches!(op, Operator::Lt | Operator::Gt));
        let bound = match sum.constant_ns.checked_neg() {
            Some(bound) => bound,
            None => return refuse(),
        };
        match (op, sign) {
            (Operator::GtEq | Operator::Gt, 1) => self.distance.at_least(bound.saturating_add(strict)),
            (Operator::LtEq | Operator::Lt, 1) => self.distance.at_most(bound.saturating_sub(strict)),
            (Operator::GtEq | Operator::Gt, _) => self.distance.at_most(sum.constant_ns.saturating_sub(strict)),
            (Operator::LtEq | Operator::Lt, _) => self.distance.at_least(sum.constant_ns.saturating_add(strict)),
            _ => return refuse(),
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The side that all columns of an expression are of.
fn side_of(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Option<Side> {
    let columns = expr.column_refs();
    if columns.is_empty() {
        None
    } else if columns.iter().all(|column| left.has_column(column)) {
        Some(Side::Left)
    } else if columns.iter().all(|column| right.has_column(column)) {
        Some(Side::Right)
    } else {
        None
    }
}

/// A sum of at most one time of each side and of spans.
#[derive(Debug, Default)]
struct Sum {
    left: Option<(Expr, i64)>,
    right: Option<(Expr, i64)>,
    constant_ns: i64,
}

impl Sum {
    /// Adds `sign` times an expression; false when it is no such sum.
    fn add(&mut self, expr: &Expr, sign: i64, left: &DFSchema, right: &DFSchema) -> bool {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Plus, right: b }) => {
                self.add(a, sign, left, right) && self.add(b, sign, left, right)
            }
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Minus, right: b }) => {
                self.add(a, sign, left, right) && self.add(b, -sign, left, right)
            }
            Expr::Literal(value, _) => {
                let added = span_ns(value).and_then(|span_ns| self.constant_ns.checked_add(sign.checked_mul(span_ns)?));
                added.map(|constant_ns| self.constant_ns = constant_ns).is_some()
            }
            other => {
                let place = match side_of(other, left, right) {
                    Some(Side::Left) => &mut self.left,
                    Some(Side::Right) => &mut self.right,
                    None => return false,
                };
                place.replace((other.clone(), sign)).is_none()
            }
        }
    }
}

fn span_ns(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(value)) => {
            let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(*value);
            Interval { months, days, nanos }.fixed_ns()
        }
        ScalarValue::Int64(Some(value)) => Some(*value),
        _ => None,
    }
}
