//! Functions whose result may be far larger than their arguments, such as `repeat`: how much they would put out is
//! reckoned before they are called. DataFusion accounts for the memory of operators, not for that of functions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::error::to_datafusion;
use crate::error::Error;

/// What the result of a call is reckoned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// `repeat(text, count)`.
    Repeat,
    /// `lpad(text, length)`: characters of up to four bytes.
    Pad,
    /// `replace(text, from, to)`.
    Replace,
    /// `array_repeat(element, count)`.
    ArrayRepeat,
    /// `array_resize(array, length)`.
    ArrayResize,
    /// `generate_series([start,] stop [, step])`.
    Series,
}

/// The functions and how they grow, by the names of DataFusion.
const FUNCTIONS: [(&str, Growth); 8] = [
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("replace", Growth::Replace),
    ("array_repeat", Growth::ArrayRepeat),
    ("array_resize", Growth::ArrayResize),
    ("generate_series", Growth::Series),
    ("range", Growth::Series),
];

/// The bounded forms of those functions that `function` finds by their names.
pub(super) fn bounded_functions(
    bytes_max: u64,
    function: impl Fn(&str) -> Option<Arc<ScalarUDF>>,
) -> impl Iterator<Item = Arc<ScalarUDF>> {
    FUNCTIONS.into_iter().filter_map(move |(name, growth)| {
        let inner = function(name)?;
        Some(Arc::new(ScalarUDF::from(Bounded { inner, growth, bytes_max })))
    })
}

/// A function that refuses calls with too large a result.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    bytes_max: u64,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if reckon(self.growth, &args)? > self.bytes_max as f64 {
            return Err(to_datafusion(Error::LimitExceeded {
                what: "the result of repeat, lpad, replace, generate_series or their like in bytes",
                limit: self.bytes_max,
                hint: "ask for less at once, or raise memory_bytes_max, of which a call may take a sixteenth",
            }));
        }
        self.inner.invoke_with_args(args)
    }
}

/// About how many bytes a call puts out. A float, because it may be beyond every integer.
fn reckon(growth: Growth, args: &ScalarFunctionArgs) -> Result<f64> {
    let rows = if args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) { 1 } else { args.number_rows };
    let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let (Some(first), Some(second)) = (arrays.first(), arrays.get(1)) else {
        // One argument: generate_series(stop).
        return Ok(match arrays.first() {
            Some(stop) if growth == Growth::Series => numbers(stop)?.iter().flatten().sum::<f64>().max(0.0) * 8.0,
            _ => 0.0,
        });
    };
    let sum = |bytes: &dyn Fn(usize) -> Option<f64>| (0..rows).filter_map(bytes).filter(|bytes| *bytes > 0.0).sum();
    Ok(match growth {
        Growth::Repeat => {
            let (lengths, counts) = (lengths(first)?, numbers(second)?);
            sum(&|row| Some(lengths[row]? * counts[row]?))
        }
        Growth::Pad => {
            let counts = numbers(second)?;
            sum(&|row| Some(counts[row]? * 4.0))
        }
        Growth::Replace => {
            let Some(third) = arrays.get(2) else { return Ok(0.0) };
            let (texts, from, to) = (lengths(first)?, lengths(second)?, lengths(third)?);
            sum(&|row| Some(texts[row]? + texts[row]? / from[row]?.max(1.0) * to[row]?))
        }
        Growth::ArrayRepeat => {
            let element_bytes = first.get_array_memory_size() as f64 / rows.max(1) as f64;
            let counts = numbers(second)?;
            sum(&|row| Some(counts[row]? * element_bytes.clamp(8.0, 1e6)))
        }
        Growth::ArrayResize => {
            let counts = numbers(second)?;
            sum(&|row| Some(counts[row]? * 8.0))
        }
        Growth::Series => {
            let (starts, stops) = (numbers(first)?, numbers(second)?);
            let steps = arrays.get(2).map(numbers).transpose()?;
            let step = |row: usize| match &steps {
                None => Some(1.0),
                Some(steps) => steps[row].map(f64::abs),
            };
            sum(&|row| Some((stops[row]? - starts[row]?).abs() / step(row)?.max(1.0) * 8.0))
        }
    })
}

/// Bytes of each text.
fn lengths(array: &ArrayRef) -> Result<Vec<Option<f64>>> {
    numbers(&length(array)?)
}

/// Each number, time in nanoseconds, or span in nanoseconds; months count as the shortest.
fn numbers(array: &ArrayRef) -> Result<Vec<Option<f64>>> {
    const DAY_NS: f64 = 86.4e12;
    let integers = match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let spans = array.as_primitive::<IntervalMonthDayNanoType>();
            return Ok(spans
                .iter()
                .map(|span| {
                    let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(span?);
                    Some((f64::from(months) * 28.0 + f64::from(days)) * DAY_NS + nanos as f64)
                })
                .collect());
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let times = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
            cast(&times, &DataType::Int64)?
        }
        DataType::Null => return Ok(vec![None; array.len()]),
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(integers.as_primitive::<Int64Type>().iter().map(|value| value.map(|value| value as f64)).collect())
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;

    #[test]
    fn the_size_of_a_result_is_reckoned_from_the_arguments() {
        let text = |text: &str| ColumnarValue::Scalar(ScalarValue::from(text));
        let number = |value: i64| ColumnarValue::Scalar(ScalarValue::from(value));
        let bytes = |growth, arguments: Vec<ColumnarValue>| {
            let field: FieldRef = Arc::new(arrow::datatypes::Field::new("f", DataType::Utf8, true));
            let args = ScalarFunctionArgs {
                args: arguments,
                arg_fields: Vec::new(),
                number_rows: 1,
                return_field: field,
                config_options: Arc::default(),
            };
            reckon(growth, &args).unwrap()
        };
        assert_eq!(bytes(Growth::Repeat, vec![text("abc"), number(5)]), 15.0);
        assert_eq!(bytes(Growth::Repeat, vec![text("abc"), number(-5)]), 0.0);
        assert_eq!(bytes(Growth::Pad, vec![text("abc"), number(10), text("x")]), 40.0);
        assert_eq!(bytes(Growth::Replace, vec![text("aaaa"), text("a"), text("bbb")]), 16.0);
        assert_eq!(bytes(Growth::Series, vec![number(i64::MIN), number(i64::MAX)]), 8.0 * 2f64.powi(64));
        assert_eq!(bytes(Growth::Series, vec![number(0), number(100), number(10)]), 80.0);
        assert_eq!(bytes(Growth::Series, vec![number(100)]), 800.0);
    }
}
