//! The aggregate functions: their names, the shape of their calls, and the types of their results.
//!
//! Both routes of a query read calls by this table, so that a name means one thing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::coerce::TIME_TYPE;
use super::expr::Expr;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// An aggregate function with its constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AggregateFunction {
    /// `count(*)` and `count(x)`.
    Count,
    /// `sum(x)`.
    Sum,
    /// `avg(x)`.
    Avg,
    /// `min(x)`.
    Min,
    /// `max(x)`.
    Max,
    /// `first(x)`: the value of the earliest row where it is not NULL.
    First,
    /// `last(x)`: the value of the latest row where it is not NULL.
    Last,
    /// `stddev(x)`: of a sample.
    Stddev,
    /// `stddev_pop(x)`: of the population.
    StddevPop,
    /// `var(x)`: of a sample.
    Variance,
    /// `var_pop(x)`: of the population.
    VariancePop,
    /// A function that is read off a summary.
    Summary(SummaryFunction),
}

/// An aggregate that needs more than counts, sums, bounds and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SummaryFunction {
    /// `count(DISTINCT x)`.
    CountDistinct,
    /// `approx_distinct(x)`.
    ApproxDistinct,
    /// `percentile_cont(x, p)`: between the two nearest values.
    PercentileCont(Constant),
    /// `percentile_disc(x, p)`: one of the values.
    PercentileDisc(Constant),
    /// `approx_percentile_cont(x, p)`.
    ApproxPercentile(Constant),
    /// `mode(x)`.
    Mode,
    /// `histogram(x, low, high, buckets)`.
    Histogram(HistogramShape),
    /// `corr(x, y)`.
    Corr,
    /// `covar_samp(x, y)`.
    CovarSamp,
    /// `covar_pop(x, y)`.
    CovarPop,
    /// `min_by(x, y)`: the x of the least y.
    MinBy,
    /// `max_by(x, y)`: the x of the greatest y.
    MaxBy,
    /// `increase(x)` of a counter.
    Increase,
    /// `rate(x)` of a counter, per second.
    Rate,
    /// `irate(x)` of a counter, per second between its last two values.
    Irate,
    /// `delta(x)`: the last value without the first.
    Delta,
    /// `time_weight(x)`: the average over time.
    TimeWeight(WeightMethod),
}

/// A float constant of a call; equal when its bits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Constant(u64);

impl Constant {
    pub(crate) fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    pub(crate) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// Equal buckets of a histogram between two bounds, with one more on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct HistogramShape {
    /// Lower bound of the first bucket.
    pub(crate) low: Constant,
    /// Upper bound of the last bucket, which it excludes.
    pub(crate) high: Constant,
    /// Number of buckets without the two outer ones.
    pub(crate) buckets: u32,
}

/// What a value counts for between its row and the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WeightMethod {
    /// The value stays until the next row.
    Locf,
    /// The value moves on a straight line to that of the next row.
    Linear,
}

/// Buckets of a histogram at most: a group's counts then take 64 KiB.
const HISTOGRAM_BUCKETS_MAX: i64 = 8_192;

/// The name of an aggregate: what a call of it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AggregateName {
    /// Arguments that are values of rows only.
    Plain(AggregateFunction),
    /// `(x, p)`; also `(p) WITHIN GROUP (ORDER BY x)` and `(p)(x)`.
    Percentile(PercentileKind),
    /// `(x, low, high, buckets)`.
    Histogram,
    /// `(x [, method])`.
    TimeWeight,
}

/// How a percentile is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PercentileKind {
    Continuous,
    Discrete,
    Approximate,
}

/// Names in lower case with what they mean. The first name of a function is the one that DataFusion shows.
const NAMES: &[(&str, AggregateName)] = {
    use AggregateFunction as F;
    use AggregateName as N;
    use SummaryFunction as S;
    const MEDIAN: Constant = Constant(0.5f64.to_bits());
    const fn plain(function: S) -> N {
        N::Plain(F::Summary(function))
    }
    &[
        ("count", N::Plain(F::Count)),
        ("sum", N::Plain(F::Sum)),
        ("avg", N::Plain(F::Avg)),
        ("mean", N::Plain(F::Avg)),
        ("min", N::Plain(F::Min)),
        ("max", N::Plain(F::Max)),
        ("any_value", N::Plain(F::Min)),
        ("bool_and", N::Plain(F::Min)),
        ("bool_or", N::Plain(F::Max)),
        ("first", N::Plain(F::First)),
        ("first_value", N::Plain(F::First)),
        ("last", N::Plain(F::Last)),
        ("last_value", N::Plain(F::Last)),
        ("stddev", N::Plain(F::Stddev)),
        ("stddev_samp", N::Plain(F::Stddev)),
        ("stddev_pop", N::Plain(F::StddevPop)),
        ("var", N::Plain(F::Variance)),
        ("var_samp", N::Plain(F::Variance)),
        ("var_sample", N::Plain(F::Variance)),
        ("variance", N::Plain(F::Variance)),
        ("var_pop", N::Plain(F::VariancePop)),
        ("var_population", N::Plain(F::VariancePop)),
        ("approx_distinct", plain(S::ApproxDistinct)),
        ("approx_count_distinct", plain(S::ApproxDistinct)),
        ("median", plain(S::PercentileCont(MEDIAN))),
        ("approx_median", plain(S::ApproxPercentile(MEDIAN))),
        ("mode", plain(S::Mode)),
        ("corr", plain(S::Corr)),
        ("covar_samp", plain(S::CovarSamp)),
        ("covar", plain(S::CovarSamp)),
        ("covar_pop", plain(S::CovarPop)),
        ("min_by", plain(S::MinBy)),
        ("arg_min", plain(S::MinBy)),
        ("max_by", plain(S::MaxBy)),
        ("arg_max", plain(S::MaxBy)),
        ("increase", plain(S::Increase)),
        ("rate", plain(S::Rate)),
        ("irate", plain(S::Irate)),
        ("delta", plain(S::Delta)),
        ("percentile_cont", N::Percentile(PercentileKind::Continuous)),
        ("quantile_cont", N::Percentile(PercentileKind::Continuous)),
        ("quantile", N::Percentile(PercentileKind::Continuous)),
        ("percentile_disc", N::Percentile(PercentileKind::Discrete)),
        ("quantile_disc", N::Percentile(PercentileKind::Discrete)),
        ("approx_percentile_cont", N::Percentile(PercentileKind::Approximate)),
        ("approx_percentile", N::Percentile(PercentileKind::Approximate)),
        ("approx_quantile", N::Percentile(PercentileKind::Approximate)),
        ("histogram", N::Histogram),
        ("time_weight", N::TimeWeight),
    ]
};

impl AggregateName {
    /// The aggregate of a name in lower case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
    }

    /// The names of everything that is read off a summary, with their meaning.
    #[cfg(feature = "datafusion")]
    pub(crate) fn of_summaries() -> impl Iterator<Item = (&'static str, Self)> {
        NAMES.iter().filter(|(_, name)| !matches!(name, Self::Plain(function) if function.summary().is_none())).copied()
    }

    /// Number of arguments that are values of rows; constants follow them.
    pub(crate) fn value_count(self) -> usize {
        use SummaryFunction as S;
        match self {
            Self::Plain(AggregateFunction::Summary(S::Corr | S::CovarSamp | S::CovarPop | S::MinBy | S::MaxBy)) => 2,
            _ => 1,
        }
    }

    /// Whether values of one series after the other are looked at, in the order of time.
    pub(crate) fn is_by_series(self) -> bool {
        match self {
            Self::Plain(AggregateFunction::Summary(function)) => function.is_by_series(),
            Self::TimeWeight => true,
            _ => false,
        }
    }

    /// The type of the result over a first argument of type `argument`; `None` when they do not fit.
    #[cfg(feature = "datafusion")]
    pub(crate) fn result_type(self, argument: &DataType) -> Option<DataType> {
        const ANY: Constant = Constant(0);
        let function = match self {
            Self::Plain(function) => return function.result_type(argument),
            Self::Percentile(PercentileKind::Discrete) => SummaryFunction::PercentileDisc(ANY),
            Self::Percentile(_) => SummaryFunction::PercentileCont(ANY),
            Self::Histogram => SummaryFunction::Histogram(HistogramShape { low: ANY, high: ANY, buckets: 1 }),
            Self::TimeWeight => SummaryFunction::TimeWeight(WeightMethod::Locf),
        };
        function.result_type(argument)
    }

    /// Whether a second argument may have the type `second`.
    pub(crate) fn takes_second(self, second: &DataType) -> bool {
        use SummaryFunction as S;
        match self {
            Self::Plain(AggregateFunction::Summary(S::MinBy | S::MaxBy)) => is_value(second),
            _ => is_number(second),
        }
    }

    /// What a call takes, for messages.
    pub(crate) fn arguments(self) -> &'static str {
        match self {
            Self::Plain(_) if self.value_count() == 2 => "two arguments",
            Self::Plain(_) => "one argument",
            Self::Percentile(_) => "(x, p) with p between 0 and 1, or (p) WITHIN GROUP (ORDER BY x)",
            Self::Histogram => "(x, low, high, buckets)",
            Self::TimeWeight => "(x) or (x, 'locf' or 'linear')",
        }
    }

    /// The function with the constants of a call that was written as `name`.
    ///
    /// # Errors
    /// `Plan` when the constants are too many, too few, or make no sense.
    pub(crate) fn function(self, name: &str, constants: &[Scalar]) -> Result<AggregateFunction> {
        let refused = || Error::plan(format!("{name} takes {}", self.arguments()));
        let function = match (self, constants) {
            (Self::Plain(function), []) => return Ok(function),
            // DataFusion's third argument is a number of centroids, which this sketch does not have.
            (Self::Percentile(PercentileKind::Approximate), [fraction, _]) | (Self::Percentile(_), [fraction]) => {
                let fraction = number(fraction).filter(|value| (0.0..=1.0).contains(value)).ok_or_else(refused)?;
                let fraction = Constant::new(fraction);
                match self {
                    Self::Percentile(PercentileKind::Continuous) => SummaryFunction::PercentileCont(fraction),
                    Self::Percentile(PercentileKind::Discrete) => SummaryFunction::PercentileDisc(fraction),
                    _ => SummaryFunction::ApproxPercentile(fraction),
                }
            }
            (Self::Histogram, [low, high, Scalar::I64(buckets)]) => {
                let (Some(low), Some(high)) = (number(low), number(high)) else { return Err(refused()) };
                if !(1..=HISTOGRAM_BUCKETS_MAX).contains(buckets) || !(high - low).is_finite() || high <= low {
                    return Err(Error::plan(format!(
                        "{name} takes finite bounds in ascending order and 1 to {HISTOGRAM_BUCKETS_MAX} buckets"
                    )));
                }
                let (low, high) = (Constant::new(low), Constant::new(high));
                SummaryFunction::Histogram(HistogramShape { low, high, buckets: *buckets as u32 })
            }
            (Self::TimeWeight, []) => SummaryFunction::TimeWeight(WeightMethod::Locf),
            (Self::TimeWeight, [Scalar::Text(method)]) => match method.to_lowercase().as_str() {
                "locf" => SummaryFunction::TimeWeight(WeightMethod::Locf),
                "linear" => SummaryFunction::TimeWeight(WeightMethod::Linear),
                _ => return Err(refused()),
            },
            _ => return Err(refused()),
        };
        Ok(AggregateFunction::Summary(function))
    }
}

fn number(constant: &Scalar) -> Option<f64> {
    match constant {
        Scalar::I64(value) => Some(*value as f64),
        Scalar::U64(value) => Some(*value as f64),
        Scalar::F64(value) => Some(*value),
        _ => None,
    }
}

impl AggregateFunction {
    /// The function when it is read off a summary.
    pub(crate) fn summary(self) -> Option<SummaryFunction> {
        match self {
            Self::Summary(function) => Some(function),
            _ => None,
        }
    }

    /// The type of the result over a first argument of type `argument`; `None` when they do not fit.
    pub(crate) fn result_type(self, argument: &DataType) -> Option<DataType> {
        let numeric = is_number(argument);
        match self {
            Self::Count => Some(DataType::Int64),
            Self::Sum => numeric.then(|| argument.clone()),
            Self::Avg | Self::Stddev | Self::StddevPop | Self::Variance | Self::VariancePop => {
                numeric.then_some(DataType::Float64)
            }
            Self::Min | Self::Max | Self::First | Self::Last => is_value(argument).then(|| argument.clone()),
            Self::Summary(function) => function.result_type(argument),
        }
    }
}

impl SummaryFunction {
    /// Whether values of one series after the other are looked at, in the order of time.
    pub(crate) fn is_by_series(self) -> bool {
        matches!(self, Self::Increase | Self::Rate | Self::Irate | Self::Delta | Self::TimeWeight(_))
    }

    /// The type of the result over a first argument of type `argument`; `None` when they do not fit.
    pub(crate) fn result_type(self, argument: &DataType) -> Option<DataType> {
        let numeric = is_number(argument);
        match self {
            Self::CountDistinct => {
                let is_tag = matches!(argument, DataType::Dictionary(..));
                (is_tag || is_value(argument)).then_some(DataType::Int64)
            }
            Self::ApproxDistinct => is_value(argument).then_some(DataType::Int64),
            Self::PercentileCont(_) | Self::ApproxPercentile(_) => numeric.then_some(DataType::Float64),
            Self::PercentileDisc(_) => (numeric || *argument == TIME_TYPE).then(|| argument.clone()),
            Self::Mode | Self::MinBy | Self::MaxBy => is_value(argument).then(|| argument.clone()),
            Self::Histogram(_) => {
                let item = Arc::new(Field::new_list_field(DataType::Int64, true));
                numeric.then_some(DataType::List(item))
            }
            Self::Corr
            | Self::CovarSamp
            | Self::CovarPop
            | Self::Increase
            | Self::Rate
            | Self::Irate
            | Self::Delta
            | Self::TimeWeight(_) => numeric.then_some(DataType::Float64),
        }
    }
}

/// Whether a type is one of the numbers of fields.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64 | DataType::Float64)
}

/// Whether a type is one that values of rows have, tags as text.
pub(crate) fn is_value(data_type: &DataType) -> bool {
    is_number(data_type)
        || *data_type == TIME_TYPE
        || matches!(data_type, DataType::Boolean | DataType::Utf8 | DataType::Binary)
}

/// One aggregate of a plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aggregate {
    /// The function.
    pub(crate) function: AggregateFunction,
    /// Its argument over the columns of the scan; `None` for `count(*)`.
    pub(crate) argument: Option<Expr>,
    /// The second argument of functions of two values.
    pub(crate) second: Option<Expr>,
    /// The type of the result.
    pub(crate) data_type: DataType,
}

impl Aggregate {
    /// The expressions over the scan.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.argument.iter().chain(&self.second)
    }

    /// The expressions over the scan, to change them.
    pub(crate) fn expressions_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.argument.iter_mut().chain(&mut self.second)
    }
}
