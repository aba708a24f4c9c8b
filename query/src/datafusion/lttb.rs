//! `lttb(time, value, n)`: `n` points of a series that look like all of them, as a list of structs.
//!
//! Largest Triangle Three Buckets (Sveinn Steinarsson, Downsampling Time Series for Visual Representation, 2013): the
//! points between first and last are cut into `n - 2` runs of about equal length, and of each run the point stays that
//! makes the largest triangle with the point kept before it and the mean of the run behind it. Points whose time or
//! value is NULL or whose value is NaN are left out. All points of a group are held in memory, 16 bytes each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray, TimestampNanosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int64Type, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::first_last::TIME;

const NAME: &str = "lttb";

/// The function for DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Lttb {
    signature: Signature,
}

impl Lttb {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn point_fields() -> Fields {
    Fields::from(vec![Field::new("time", TIME, true), Field::new("value", DataType::Float64, true)])
}

fn item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("item", data_type, true))
}

impl AggregateUDFImpl for Lttb {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Timestamp(..) | DataType::Date32, value, points]
                if (value.is_numeric() || value.is_null()) && points.is_integer() =>
            {
                Ok(vec![TIME, DataType::Float64, DataType::Int64])
            }
            _ => plan_err!("{NAME} takes (time, number, points), such as {NAME}(time, usage, 500)"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item(DataType::Struct(point_fields()))))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let state = |name, data_type| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(vec![
            state("times", DataType::List(item(TIME))),
            state("values", DataType::List(item(DataType::Float64))),
            state("points", DataType::Int64),
        ])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Points::default()))
    }
}

/// The points of one group.
#[derive(Debug, Default)]
struct Points {
    points: Vec<(i64, f64)>,
    /// How many are wanted; 0 before the first row.
    wanted: usize,
}

impl Points {
    fn add(&mut self, times: &ArrayRef, values: &ArrayRef) {
        let times = times.as_primitive::<TimestampNanosecondType>();
        let values = values.as_primitive::<Float64Type>();
        self.points.extend(
            times
                .iter()
                .zip(values)
                .filter_map(|(time, value)| Some((time?, value?)))
                .filter(|(_, value)| !value.is_nan()),
        );
    }

    fn want(&mut self, points: &ArrayRef) -> Result<()> {
        let points = points.as_primitive::<Int64Type>();
        for wanted in points.iter().flatten() {
            let wanted = match usize::try_from(wanted) {
                Ok(wanted @ 3..) => wanted,
                _ => return exec_err!("the number of points of {NAME} is at least 3, not {wanted}"),
            };
            if self.wanted != 0 && self.wanted != wanted {
                return exec_err!("the number of points of {NAME} is a constant");
            }
            self.wanted = wanted;
        }
        Ok(())
    }
}

impl Accumulator for Points {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [times, values, points] = columns else { return plan_err!("{NAME} takes (time, number, points)") };
        self.want(points)?;
        self.add(times, values);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [times, values, points] = states else { return plan_err!("{NAME} lost its state") };
        self.want(points)?;
        let (times, values) = (times.as_list::<i32>(), values.as_list::<i32>());
        for row in (0..times.len()).filter(|row| times.is_valid(*row)) {
            self.add(&times.value(row), &values.value(row));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.points.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let kept = downsample(&self.points, self.wanted);
        let (times, values) = columns(&kept);
        let points = StructArray::new(point_fields(), vec![times, values], None);
        Ok(ScalarValue::List(Arc::new(list_of(Arc::new(points)))))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (times, values) = columns(&self.points);
        let wanted = i64::try_from(self.wanted).ok().filter(|wanted| *wanted > 0);
        Ok(vec![
            ScalarValue::List(Arc::new(list_of(times))),
            ScalarValue::List(Arc::new(list_of(values))),
            ScalarValue::Int64(wanted),
        ])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.points.capacity() * size_of::<(i64, f64)>()
    }
}

fn columns(points: &[(i64, f64)]) -> (ArrayRef, ArrayRef) {
    let times = TimestampNanosecondArray::from_iter_values(points.iter().map(|(time, _)| *time));
    let values = Float64Array::from_iter_values(points.iter().map(|(_, value)| *value));
    (Arc::new(times), Arc::new(values))
}

/// A column of one list.
fn list_of(values: ArrayRef) -> ListArray {
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ListArray::new(item(values.data_type().clone()), offsets, values, None)
}

/// The points that stay, of points in the order of time.
fn downsample(points: &[(i64, f64)], wanted: usize) -> Vec<(i64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= wanted {
        return points.to_vec();
    }
    let inner = points.len() - 2;
    let runs = wanted.saturating_sub(2).max(1);
    // The points of a run; behind the last one comes the last point alone.
    let start_of = |run: usize| 1 + (run as u128 * inner as u128 / runs as u128) as usize;
    let run = |run: usize| if run < runs { start_of(run)..start_of(run + 1) } else { points.len() - 1..points.len() };
    // Relative to the first time, so that nanoseconds of a day are exact.
    let at = |time: i64| time.wrapping_sub(first.0).cast_unsigned() as f64;
    let mut kept = Vec::with_capacity(wanted);
    kept.push(*first);
    let mut before = *first;
    for index in 0..runs {
        let next = &points[run(index + 1)];
        let count = next.len() as f64;
        let mean_time = next.iter().map(|(time, _)| at(*time)).sum::<f64>() / count;
        let mean_value = next.iter().map(|(_, value)| *value).sum::<f64>() / count;
        let mut best: Option<(f64, (i64, f64))> = None;
        for point in &points[run(index)] {
            // Twice the area; only their order matters.
            let area = ((at(before.0) - mean_time) * (point.1 - before.1)
                - (at(before.0) - at(point.0)) * (mean_value - before.1))
                .abs();
            if best.is_none_or(|(largest, _)| area > largest) {
                best = Some((area, *point));
            }
        }
        if let Some((_, point)) = best {
            kept.push(point);
            before = point;
        }
    }
    kept.push(*last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_stay_and_flat_parts_go() {
        let points: Vec<(i64, f64)> = (0..1_000).map(|t| (t * 1_000, if t == 500 { 100.0 } else { 0.0 })).collect();
        let kept = downsample(&points, 10);
        assert_eq!(kept.len(), 10);
        assert!(kept.contains(&(500_000, 100.0)));
        assert_eq!((kept[0], kept[9]), (points[0], points[999]));
        assert!(kept.is_sorted_by_key(|(time, _)| *time));
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let points = [(1, 1.0), (2, 5.0), (3, 2.0)];
        assert_eq!(downsample(&points, 3), points);
        assert_eq!(downsample(&points, 500), points);
        assert_eq!(downsample(&[], 3), []);
        for len in 4..40 {
            let points: Vec<(i64, f64)> = (0..len).map(|t| (t, (t * t % 7) as f64)).collect();
            for wanted in 3..len as usize {
                assert_eq!(downsample(&points, wanted).len(), wanted, "{len} {wanted}");
            }
        }
    }
}
