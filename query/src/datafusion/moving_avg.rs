//! `moving_avg(x, n) OVER (PARTITION BY ... ORDER BY time)`: the average of a row and the `n - 1` rows before it.
//!
//! NULL is left out of the average but is one of the rows; where all of them are NULL the average is. Sums are made by
//! additions only, as the sum of the end of one block of `n` rows and the beginning of the next (van Herk 1992, Gil and
//! Werman 1993): nothing is subtracted, so no rounding error drifts and a NaN is gone when its row is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDFImpl};
use datafusion::physical_expr::expressions::Literal;

const NAME: &str = "moving_avg";

/// The function for DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MovingAvg {
    signature: Signature,
}

impl MovingAvg {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl WindowUDFImpl for MovingAvg {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, rows] if (value.is_numeric() || value.is_null()) && rows.is_integer() => {
                Ok(vec![DataType::Float64, DataType::Int64])
            }
            _ => plan_err!("{NAME} takes (number, rows): {NAME}(usage, 5) OVER (PARTITION BY host ORDER BY time)"),
        }
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Float64, true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        let rows = args.input_exprs().get(1).and_then(|expr| expr.downcast_ref::<Literal>()).map(Literal::value);
        match rows {
            Some(ScalarValue::Int64(Some(rows @ 1..))) => {
                Ok(Box::new(Evaluator { rows: usize::try_from(*rows).unwrap_or(usize::MAX) }))
            }
            _ => plan_err!("the number of rows of {NAME} is a constant of at least 1"),
        }
    }
}

#[derive(Debug)]
struct Evaluator {
    rows: usize,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let Some(values) = values.first().and_then(|values| values.as_primitive_opt::<Float64Type>()) else {
            return exec_err!("{NAME} works on numbers");
        };
        let values: Vec<Option<f64>> =
            (0..num_rows).map(|row| values.is_valid(row).then(|| values.value(row))).collect();
        Ok(Arc::new(Float64Array::from(moving_averages(&values, self.rows))))
    }
}

/// The average of each value and those before it, `rows` altogether.
fn moving_averages(values: &[Option<f64>], rows: usize) -> Vec<Option<f64>> {
    // What is summed: values and how many they are.
    let add = |sum: (f64, usize), value: Option<f64>| match value {
        Some(value) => (sum.0 + value, sum.1 + 1),
        None => sum,
    };
    // Sums from a row to the end of its block.
    let mut to_end = vec![(0.0, 0); values.len()];
    for block in (0..values.len()).step_by(rows) {
        let mut sum = (0.0, 0);
        for row in (block..block.saturating_add(rows).min(values.len())).rev() {
            sum = add(sum, values[row]);
            to_end[row] = sum;
        }
    }
    // The sum from the beginning of the block to the row.
    let mut from_start = (0.0, 0);
    let averages = values.iter().enumerate().map(|(row, value)| {
        if row % rows == 0 {
            from_start = (0.0, 0);
        }
        from_start = add(from_start, *value);
        let before = match (row + 1).checked_sub(rows) {
            // The window begins with a block, so it is all in `from_start`.
            Some(first) if first % rows != 0 => to_end[first],
            _ => (0.0, 0),
        };
        let (sum, count) = (before.0 + from_start.0, before.1 + from_start.1);
        (count > 0).then(|| sum / count as f64)
    });
    averages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_those_of_the_rows_of_the_window() {
        let values: Vec<Option<f64>> =
            (0..50u32).map(|row| (row % 7 != 3).then(|| f64::from(row * row % 31))).collect();
        for rows in [1, 2, 3, 5, 7, 49, 50, 51, usize::MAX] {
            let averages = moving_averages(&values, rows);
            for row in 0..values.len() {
                let window: Vec<f64> = values[(row + 1).saturating_sub(rows)..=row].iter().flatten().copied().collect();
                let expected = (!window.is_empty()).then(|| window.iter().sum::<f64>() / window.len() as f64);
                assert_eq!(averages[row], expected, "{rows} {row}");
            }
        }
    }

    #[test]
    fn a_nan_is_gone_when_its_row_is() {
        let averages = moving_averages(&[Some(1.0), Some(f64::NAN), Some(3.0), Some(5.0), Some(7.0)], 2);
        assert_eq!((averages[3], averages[4]), (Some(4.0), Some(6.0)));
        assert!(averages[1].is_some_and(f64::is_nan) && averages[2].is_some_and(f64::is_nan));
    }
}
