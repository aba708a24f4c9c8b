//! What the directory says of a series before its rows are there: how many, from when to when, and whether regular.
//!
//! A series that is too long for memory is written in parts; its shape is taken in a first pass over its times.

use crate::error::{Error, Result};

/// Step of a series of one row: any step describes it, and one makes it a regular series.
const STEP_OF_ONE_ROW_NS: i64 = 1;

/// Rows and times of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesShape {
    /// Number of rows, at least one.
    pub row_count: u32,
    /// Time of the first row.
    pub min_time: i64,
    /// Time of the last row.
    pub max_time: i64,
    /// Constant positive distance of the times; 0 when there is none.
    pub step_ns: i64,
}

impl SeriesShape {
    /// The shape of a series whose times are all here.
    ///
    /// # Errors
    /// `InvalidInput` when there is none, or one descends.
    pub fn of(times: &[i64]) -> Result<Self> {
        let mut builder = SeriesShapeBuilder::default();
        builder.append(times)?;
        builder.finish().ok_or_else(|| Error::invalid("a series needs at least one row"))
    }

    /// Whether the directory alone says all times.
    pub(super) fn is_regular(&self) -> bool {
        self.step_ns > 0
    }
}

/// Takes the shape of a series part by part.
#[derive(Debug, Default)]
pub struct SeriesShapeBuilder {
    shape: Option<SeriesShape>,
}

impl SeriesShapeBuilder {
    /// Adds times.
    ///
    /// # Errors
    /// `InvalidInput` when a time descends, or there are more than 2^32 - 1.
    pub fn append(&mut self, times: &[i64]) -> Result<()> {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Ok(()) };
        let rows = u32::try_from(times.len()).map_err(|_| too_long())?;
        let before = self.shape.as_ref().map(|shape| shape.max_time);
        if !times.is_sorted() || before.is_some_and(|before| before > first) {
            return Err(Error::invalid("the times of a series must ascend"));
        }
        let Some(shape) = &mut self.shape else {
            let step_ns = constant_step(times).unwrap_or(0);
            self.shape = Some(SeriesShape { row_count: rows, min_time: first, max_time: last, step_ns });
            return Ok(());
        };
        let gap = positive_step(shape.max_time, first);
        let inner = if times.len() == 1 { gap } else { constant_step(times) };
        let own = if shape.row_count == 1 { gap } else { Some(shape.step_ns).filter(|&step| step > 0) };
        shape.step_ns = match (own, gap, inner) {
            (Some(own), Some(gap), Some(inner)) if own == gap && gap == inner => own,
            _ => 0,
        };
        shape.row_count = shape.row_count.checked_add(rows).ok_or_else(too_long)?;
        shape.max_time = last;
        Ok(())
    }

    /// The shape; `None` when no time was added.
    pub fn finish(self) -> Option<SeriesShape> {
        self.shape
    }
}

fn too_long() -> Error {
    Error::invalid("a series has at most 4,294,967,295 rows in one section")
}

fn positive_step(first: i64, second: i64) -> Option<i64> {
    second.checked_sub(first).filter(|&step| step > 0)
}

/// The positive step between all neighbours of ascending `times`; `None` when there is none.
fn constant_step(times: &[i64]) -> Option<i64> {
    let [first, second, ..] = times else { return Some(STEP_OF_ONE_ROW_NS) };
    let step = positive_step(*first, *second)?;
    // Ascending times differ by less than 2^64, so a wrapped difference that equals a positive step is exact.
    times.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_constant_positive_step_is_regular() {
        assert_eq!(constant_step(&[7]), Some(1));
        assert_eq!(constant_step(&[7, 9, 11]), Some(2));
        assert_eq!(constant_step(&[7, 7]), None);
        assert_eq!(constant_step(&[7, 9, 12]), None);
        assert_eq!(constant_step(&[i64::MIN, i64::MAX]), None);
        assert_eq!(constant_step(&[i64::MIN, -1]), Some(i64::MAX));
        assert_eq!(constant_step(&[i64::MIN, -1, i64::MAX]), None);
    }

    #[test]
    fn a_series_without_rows_or_out_of_order_has_no_shape() {
        assert!(SeriesShape::of(&[]).is_err());
        assert!(SeriesShape::of(&[2, 1]).is_err());
        let mut builder = SeriesShapeBuilder::default();
        builder.append(&[1, 3]).unwrap();
        assert!(builder.append(&[2]).is_err());
    }

    #[test]
    fn parts_have_the_shape_of_the_whole() {
        let series: [&[i64]; 8] = [
            &[1],
            &[1, 2, 3, 4, 5],
            &[1, 3, 5, 7],
            &[1, 3, 5, 6],
            &[1, 2, 4],
            &[1, 1, 2],
            &[i64::MIN, -1, i64::MAX],
            &[0, 10, 20, 20],
        ];
        for times in series {
            let whole = SeriesShape::of(times).unwrap();
            for first in 0..=times.len() {
                for second in first..=times.len() {
                    let mut builder = SeriesShapeBuilder::default();
                    for part in [&times[..first], &times[first..second], &times[second..]] {
                        builder.append(part).unwrap();
                    }
                    assert_eq!(builder.finish(), Some(whole), "{times:?} cut at {first} and {second}");
                }
            }
        }
    }
}
