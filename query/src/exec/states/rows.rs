//! Adds columns of values to number states, each value to the group of its row.
//!
//! Rows of one group that stand together go through the kernels, as blocks of series do; the rest is added value by value.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use lynxstore_storage::encoding::VECTOR_LEN;

use super::number::{NO_TIMES, NumberKind, NumberStates};
use crate::exec::row_mask::RowMask;

/// Rows of one group that must stand together on average for kernels to be worth their calls.
const RUN_ROWS_MIN: usize = 32;

impl NumberStates {
    /// Adds a value per row, each to the group of its row; `array` has the type of the argument.
    pub(crate) fn add_array(&mut self, array: &ArrayRef, groups: &[u32], times: Option<&[i64]>) {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        match self.kind {
            NumberKind::I64 => self.add_all_integers(array.as_primitive::<Int64Type>().values(), nulls, groups, times),
            NumberKind::U64 => {
                let values = array.as_primitive::<UInt64Type>().values();
                let ordered: Vec<i64> = values.iter().map(|value| crate::plan::ordered(*value)).collect();
                self.add_all_integers(&ordered, nulls, groups, times);
            }
            NumberKind::Time => {
                let values = array.as_primitive::<TimestampNanosecondType>().values();
                self.add_all_integers(values, nulls, groups, times);
            }
            NumberKind::F64 => {
                let values: &[f64] = array.as_primitive::<Float64Type>().values();
                let rows = Rows { groups, nulls, has_order: self.needs.ends };
                rows.visit(|part| match part {
                    Part::Run { group, start, len, mask } => {
                        self.add_floats(group, &values[start..start + len], mask.as_ref(), 0..len, NO_TIMES);
                    }
                    Part::Row { group, row } => self.add_float(group, values[row], times.map_or(0, |times| times[row])),
                });
            }
        }
    }

    fn add_all_integers(&mut self, values: &[i64], nulls: Option<&NullBuffer>, groups: &[u32], times: Option<&[i64]>) {
        let rows = Rows { groups, nulls, has_order: self.needs.ends };
        rows.visit(|part| match part {
            Part::Run { group, start, len, mask } => {
                self.add_integers(group, &values[start..start + len], mask.as_ref(), 0..len, NO_TIMES);
            }
            Part::Row { group, row } => self.add_integer(group, values[row], times.map_or(0, |times| times[row])),
        });
    }
}

/// Rows with their groups.
struct Rows<'a> {
    groups: &'a [u32],
    nulls: Option<&'a NullBuffer>,
    /// Whether the order of the rows in time matters, which those of several series do not have.
    has_order: bool,
}

/// Rows that are added at once.
enum Part {
    /// Rows of one group, at most a vector of them; with a mask those that are not NULL.
    Run { group: usize, start: usize, len: usize, mask: Option<RowMask> },
    /// One row, which is not NULL.
    Row { group: usize, row: usize },
}

impl Rows<'_> {
    /// Calls `add` for all rows that are not NULL. Whether rows stand together is asked once: asking it of each row is a
    /// branch that cannot be foretold where groups come mixed.
    #[inline(always)]
    fn visit(&self, mut add: impl FnMut(Part)) {
        let runs = 1 + self.groups.windows(2).filter(|pair| pair[0] != pair[1]).count();
        if self.has_order || self.groups.len() / runs < RUN_ROWS_MIN {
            match self.nulls {
                None => self.groups.iter().enumerate().for_each(|(row, group)| {
                    add(Part::Row { group: *group as usize, row });
                }),
                Some(nulls) => nulls.valid_indices().for_each(|row| {
                    add(Part::Row { group: self.groups[row] as usize, row });
                }),
            }
            return;
        }
        let mut start = 0;
        for run in self.groups.chunk_by(u32::eq) {
            let (group, end) = (run[0] as usize, start + run.len());
            for start in (start..end).step_by(VECTOR_LEN) {
                let len = VECTOR_LEN.min(end - start);
                add(Part::Run { group, start, len, mask: self.nulls.map(|nulls| mask_of(nulls, start, len)) });
            }
            start = end;
        }
    }
}

/// The rows from `start` on that are not NULL, at most a vector of them.
fn mask_of(nulls: &NullBuffer, start: usize, len: usize) -> RowMask {
    let bits = nulls.inner().slice(start, len);
    let mut words = [0; VECTOR_LEN / 64];
    words.iter_mut().zip(bits.bit_chunks().iter_padded()).for_each(|(word, bits)| *word = bits);
    RowMask::new(words)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array};

    use super::super::number::Needs;
    use super::*;

    #[test]
    fn runs_and_single_rows_add_up_alike() {
        // Runs of every length around the vector, with NULLs at their ends.
        let mut groups = Vec::new();
        for (group, len) in [1, 31, 32, 33, 1_023, 1_024, 1_025, 2_500, 2].into_iter().enumerate() {
            groups.extend(std::iter::repeat_n((group % 5) as u32, len));
        }
        let value = |row: usize| (!row.is_multiple_of(7) && row % 1_024 != 1_023).then_some(row as i64 * 3 - 5_000);
        for nullable in [false, true] {
            let values = (0..groups.len()).map(|row| if nullable { value(row) } else { Some(row as i64) });
            let integers: Int64Array = values.clone().collect();
            let floats: Float64Array = values.clone().map(|value| value.map(|value| value as f64)).collect();
            for (kind, array) in
                [(NumberKind::I64, Arc::new(integers) as ArrayRef), (NumberKind::F64, Arc::new(floats))]
            {
                let needs = Needs { sum: true, bounds: true, moments: true, ends: false };
                let (mut all, mut each) = (NumberStates::new(kind, needs), NumberStates::new(kind, needs));
                all.resize(5);
                each.resize(5);
                all.add_array(&array, &groups, None);
                for row in 0..groups.len() {
                    each.add_array(&array.slice(row, 1), &groups[row..=row], None);
                }
                assert_eq!(all.counts, each.counts);
                for group in 0..5 {
                    match kind {
                        NumberKind::F64 => {
                            let (all, each) = (all.floats[group], each.floats[group]);
                            assert_eq!((all.sum, all.min, all.max), (each.sum, each.min, each.max));
                        }
                        _ => {
                            assert_eq!(all.sums[group], each.sums[group]);
                            let (all, each) = (all.bounds[group], each.bounds[group]);
                            assert_eq!((all.min, all.max), (each.min, each.max));
                        }
                    }
                    let (all, each) = (all.moments[group], each.moments[group]);
                    assert!((all.squares / each.squares - 1.0).abs() < 1e-9 && (all.mean - each.mean).abs() < 1e-6);
                }
            }
        }
    }
}
