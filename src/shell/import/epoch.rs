//! The time column: from any type that files use to nanoseconds since 1970, UTC.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, Int64Array, TimestampNanosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};

use crate::shell::cli::EpochUnit;

impl EpochUnit {
    /// Nanoseconds in one of the unit.
    fn nanoseconds(self) -> i64 {
        match self {
            Self::S => 1_000_000_000,
            Self::Ms => 1_000_000,
            Self::Us => 1_000,
            Self::Ns => 1,
        }
    }

    /// The unit in which a number is a time between 1973 and 5138; numbers nearer to 1970 read as the coarser unit.
    fn of_magnitude(number: f64) -> Self {
        match number.abs() {
            n if n < 1e11 => Self::S,
            n if n < 1e14 => Self::Ms,
            n if n < 1e17 => Self::Us,
            _ => Self::Ns,
        }
    }
}

/// Whether a column of this type can be read as time.
pub(super) fn can_be_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => can_be_time(value),
        other => other.is_temporal() || other.is_integer() || other.is_floating() || is_text(other),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Reads time columns; the unit of numbers is settled by the first number and kept, so that it cannot change midway.
pub(super) struct TimeReader {
    unit: Option<EpochUnit>,
}

impl TimeReader {
    /// A reader with a given unit of numbers, or with one that the first number tells.
    pub(super) fn new(unit: Option<EpochUnit>) -> Self {
        Self { unit }
    }

    /// The column as nanoseconds.
    ///
    /// # Errors
    /// The position of a row in the column, and what is wrong with its time.
    pub(super) fn read(&mut self, column: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
        let result = match column.data_type() {
            DataType::Dictionary(_, value) => {
                let values = cast(column, value)?;
                return self.read(&values);
            }
            data_type if data_type.is_integer() => self.read_integers(column)?,
            data_type if data_type.is_floating() => self.read_floats(column)?,
            DataType::Timestamp(_, Some(_)) => {
                let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
                Arc::new(
                    cast(column, &utc)?
                        .as_primitive::<arrow::datatypes::TimestampNanosecondType>()
                        .clone()
                        .with_timezone_opt(None::<&str>),
                )
            }
            _ => cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None))?,
        };
        match (0..result.len()).find(|row| result.is_null(*row)) {
            Some(row) => Err((row, "the row has no time".into())),
            None => Ok(result),
        }
    }

    fn read_integers(&mut self, column: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
        let numbers = cast(column, &DataType::Int64)?;
        let numbers: &Int64Array = numbers.as_primitive::<Int64Type>();
        let Some(first) = numbers.iter().flatten().find(|number| *number != 0).or(Some(0)) else {
            return Ok(numbers_to_time(numbers.clone()));
        };
        let factor = self.unit.get_or_insert_with(|| EpochUnit::of_magnitude(first as f64)).nanoseconds();
        let times: Vec<Option<i64>> = numbers
            .iter()
            .enumerate()
            .map(|(row, number)| {
                let scaled = number.map(|number| number.checked_mul(factor).ok_or_else(|| (row, out_of_range(number))));
                scaled.transpose()
            })
            .collect::<Result<_, _>>()?;
        Ok(numbers_to_time(times.into_iter().collect()))
    }

    fn read_floats(&mut self, column: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
        let numbers = cast(column, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let first = numbers.iter().flatten().find(|number| *number != 0.0).unwrap_or(0.0);
        let factor = self.unit.get_or_insert_with(|| EpochUnit::of_magnitude(first)).nanoseconds();
        let times: Vec<Option<i64>> = numbers
            .iter()
            .enumerate()
            .map(|(row, number)| {
                number.map(|n| float_to_ns(n, factor).ok_or_else(|| (row, out_of_range(n)))).transpose()
            })
            .collect::<Result<_, _>>()?;
        Ok(numbers_to_time(times.into_iter().collect()))
    }
}

fn numbers_to_time(numbers: Int64Array) -> ArrayRef {
    Arc::new(numbers.reinterpret_cast::<arrow::datatypes::TimestampNanosecondType>()) as Arc<TimestampNanosecondArray>
}

/// Whole units exactly, the fraction to the nanosecond: multiplying the whole number would round to about 0.2 µs.
fn float_to_ns(number: f64, factor: i64) -> Option<i64> {
    /// 2^63, the first float beyond `i64`.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let whole = number.floor();
    if !(-LIMIT..LIMIT).contains(&whole) {
        return None;
    }
    let fraction_ns = ((number - whole) * factor as f64).round() as i64;
    (whole as i64).checked_mul(factor)?.checked_add(fraction_ns)
}

fn out_of_range(number: impl std::fmt::Display) -> String {
    format!("{number} is no time between 1677 and 2262: see --time-unit")
}

/// Casts, and finds the row that cannot be cast.
fn cast(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, (usize, String)> {
    let lossy = CastOptions { safe: true, ..CastOptions::default() };
    let result = cast_with_options(column, target, &lossy).map_err(|error| (0, error.to_string()))?;
    match (0..column.len()).find(|row| result.is_null(*row) && !column.is_null(*row)) {
        None => Ok(result),
        Some(row) => {
            let text = arrow::util::display::array_value_to_string(column, row).unwrap_or_default();
            Err((row, format!("'{text}' is no time; times look like 2026-01-31 12:00:00 or are epoch numbers")))
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float64Array, StringArray, TimestampMillisecondArray, UInt64Array};

    use super::*;

    fn read(column: impl Array + 'static) -> Result<Vec<i64>, (usize, String)> {
        let column: ArrayRef = Arc::new(column);
        let times = TimeReader::new(None).read(&column)?;
        Ok(times.as_primitive::<arrow::datatypes::TimestampNanosecondType>().values().to_vec())
    }

    const JAN_2026_NS: i64 = 1_767_225_600_000_000_000;

    #[test]
    fn every_common_form_of_a_time_is_the_same_instant() {
        for text in ["2026-01-01 00:00:00", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01"] {
            assert_eq!(read(StringArray::from(vec![text])), Ok(vec![JAN_2026_NS]), "{text}");
        }
        assert_eq!(read(Int64Array::from(vec![0, 1_767_225_600])), Ok(vec![0, JAN_2026_NS]));
        for unit in [1_000, 1_000_000, 1_000_000_000] {
            assert_eq!(read(UInt64Array::from(vec![1_767_225_600 * unit])), Ok(vec![JAN_2026_NS]));
        }
        assert_eq!(read(Float64Array::from(vec![1_767_225_600.25])), Ok(vec![JAN_2026_NS + 250_000_000]));
        assert_eq!(read(TimestampMillisecondArray::from(vec![1_767_225_600_000])), Ok(vec![JAN_2026_NS]));
        assert_eq!(
            read(TimestampMillisecondArray::from(vec![1_767_225_600_000]).with_timezone("+05:00")),
            Ok(vec![JAN_2026_NS])
        );
        assert_eq!(read(Date32Array::from(vec![20_454])), Ok(vec![JAN_2026_NS]));
    }

    #[test]
    fn a_bad_time_is_found() {
        assert_eq!(read(Int64Array::from(vec![Some(1), None])), Err((1, "the row has no time".into())));
        let (row, text) = read(StringArray::from(vec!["2026-01-01 00:00:00", "soon"])).unwrap_err();
        assert_eq!((row, text.starts_with("'soon' is no time")), (1, true));
        assert_eq!(read(Float64Array::from(vec![f64::NAN])).unwrap_err().0, 0);
        let seconds_then_more = Int64Array::from(vec![1_767_225_600, 1_767_225_600_000]);
        assert_eq!(read(seconds_then_more).unwrap_err().0, 1);
    }
}
