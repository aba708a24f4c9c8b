//! What `time_bucket_gapfill`, `locf` and `interpolate` ask for: which buckets every group has, and what stands in them.
//!
//! Filling comes between the grouping and HAVING. `locf` and `interpolate` stand over groups: their arguments are
//! expressions of keys and aggregates, and the rest of the query sees their results as further columns of the groups.

use lynxstore_storage::types::TimeRange;
use sqlparser::ast;

use super::bind::Binder;
use super::bucket::Bucket;
use super::expr::Expr;
use crate::error::{Error, Result};
use crate::scalar::Scalar;
use crate::sql::parse_interval;
use arrow::datatypes::DataType;

/// The buckets of a call of `time_bucket_gapfill`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GapBucket {
    /// How time is cut.
    pub(super) bucket: Bucket,
    /// Start and finish, the latter exclusive, when the call names them.
    pub(super) bounds: Option<(i64, i64)>,
}

/// What the gap functions of a query say, while it is bound.
#[derive(Debug, Default)]
pub(super) struct GapCalls {
    /// Whether the clause may hold `time_bucket_gapfill`.
    pub(super) is_allowed: bool,
    /// The buckets.
    pub(super) bucket: Option<GapBucket>,
    /// The calls of `locf` and `interpolate`.
    pub(super) fills: Vec<Fill>,
}

/// How the gaps of a column are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FillMethod {
    /// By the last value before.
    Locf,
    /// On the line between the values at both sides.
    Interpolate,
}

/// One call of `locf` or `interpolate`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fill {
    /// How.
    pub(crate) method: FillMethod,
    /// The value: an expression over the groups, once the plan is bound.
    pub(crate) value: Expr,
    /// How far a value is carried, or how far apart the ends of a line may be, between starts of buckets.
    pub(crate) limit_ns: Option<i64>,
}

/// Gap filling of a plan.
#[derive(Debug, Clone)]
pub(crate) struct GapFill {
    /// The key that holds the bucket.
    pub(crate) key: usize,
    /// How time is cut.
    pub(crate) bucket: Bucket,
    /// First and last bucket that every group has; `None` when there is none.
    pub(crate) ordinals: Option<(i64, i64)>,
    /// The columns that follow keys and aggregates.
    pub(crate) fills: Vec<Fill>,
}

impl GapCalls {
    /// What is to be filled in a query with these group keys over rows of `range`; `None` when it fills nothing.
    ///
    /// # Errors
    /// `Plan` when the bucket is no group key, or nothing says where it begins or ends.
    pub(super) fn finish(self, keys: &[Expr], range: TimeRange) -> Result<Option<GapFill>> {
        let Some(GapBucket { bucket, bounds }) = self.bucket else {
            return match self.fills.as_slice() {
                [] => Ok(None),
                _ => Err(Error::plan(
                    "locf and interpolate fill gaps between the buckets of time_bucket_gapfill: group by it",
                )),
            };
        };
        let is_bucket = |key: &Expr| matches!(key, Expr::TimeBucket(by, time) if *by == bucket && matches!(**time, Expr::Column(0, _)));
        let Some(key) = keys.iter().position(is_bucket) else {
            return Err(Error::plan("a query with time_bucket_gapfill groups by it: add it to GROUP BY"));
        };
        let (start_ns, last_ns) = match bounds {
            Some((start_ns, finish_ns)) if start_ns >= finish_ns => {
                return Err(Error::plan("the start of time_bucket_gapfill must be before its finish"));
            }
            Some((start_ns, finish_ns)) => (start_ns, finish_ns - 1),
            None if range.is_empty() => {
                return Ok(Some(GapFill { key, bucket, ordinals: None, fills: self.fills }));
            }
            None => {
                let unbounded = match (range.start_ns == i64::MIN, range.end_ns == i64::MAX) {
                    (true, true) => "begins and ends",
                    (true, false) => "begins",
                    (false, true) => "ends",
                    (false, false) => "",
                };
                if !unbounded.is_empty() {
                    return Err(Error::plan(format!(
                        "nothing says where time_bucket_gapfill {unbounded}: bound the time in WHERE (time >= '...' AND \
                         time < '...'), or give start and finish as its third and fourth argument"
                    )));
                }
                (range.start_ns, range.end_ns)
            }
        };
        let ordinals = Some((bucket.ordinal(start_ns), bucket.ordinal(last_ns)));
        Ok(Some(GapFill { key, bucket, ordinals, fills: self.fills }))
    }
}

impl<'a> Binder<'a> {
    /// Binds `locf(value [, limit])` and `interpolate(value [, limit])`.
    pub(super) fn bind_fill(&mut self, name: &str, method: FillMethod, arguments: &[&'a ast::Expr]) -> Result<Expr> {
        let (value, limit) = match arguments {
            [value] => (value, None),
            [value, limit] => (value, Some(limit)),
            _ => {
                return Err(Error::plan(format!(
                    "{name} takes (value [, limit]), {} arguments were given",
                    arguments.len()
                )));
            }
        };
        if self.aggregates.is_none() || !self.gaps.is_allowed {
            return Err(Error::plan(format!(
                "{name} stands in SELECT, HAVING and ORDER BY of a query that groups by time_bucket_gapfill"
            )));
        }
        let limit_ns = limit.map(|limit| self.bind_fill_limit(name, limit)).transpose()?;
        let known = self.gaps.fills.len();
        let mut value = self.bind(value)?;
        if self.gaps.fills.len() > known || contains_fill(&value) {
            return Err(Error::plan(format!("{name} of something that is filled already: one of them is enough")));
        }
        if method == FillMethod::Interpolate {
            if !matches!(value.data_type(), DataType::Int64 | DataType::UInt64 | DataType::Int32 | DataType::Float64) {
                return Err(Error::plan(format!("{name} draws lines between numbers, not {}", value.data_type())));
            }
            value = value.cast(&DataType::Float64);
        }
        let data_type = value.data_type();
        let fill = Fill { method, value, limit_ns };
        let fills = &mut self.gaps.fills;
        let index = fills.iter().position(|known| *known == fill).unwrap_or_else(|| {
            fills.push(fill);
            fills.len() - 1
        });
        Ok(Expr::Fill(index, data_type))
    }

    fn bind_fill_limit(&mut self, name: &str, limit: &'a ast::Expr) -> Result<i64> {
        let interval = match self.bind(limit)? {
            Expr::Literal(Scalar::Interval(interval), _) => interval,
            Expr::Literal(Scalar::Text(text), _) => parse_interval(&text)?,
            _ => return Err(Error::plan(format!("the limit of {name} is an interval such as '1 hour', not {limit}"))),
        };
        match interval.fixed_ns() {
            Some(limit_ns @ 0..) => Ok(limit_ns),
            _ => Err(Error::plan(format!("the limit of {name} is a span of days or less, and not negative"))),
        }
    }
}

fn contains_fill(expr: &Expr) -> bool {
    let mut found = matches!(expr, Expr::Fill(..));
    expr.for_each_child(|child| found |= contains_fill(child));
    found
}
