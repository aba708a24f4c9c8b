//! `min_by` and `max_by`: the value of the row in which another value is least or greatest.
//!
//! Of rows with equal keys the least value wins for `min_by` and the greatest for `max_by`, so that the order of rows
//! does not matter.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};

use super::key::{KeyKind, key_of_float_value, keys_of};
use crate::error::{Error, Result};
use crate::plan::ordered;
use crate::scalar::Scalar;

/// Which row is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtremeKind {
    Min,
    Max,
}

/// The row that won so far.
#[derive(Debug, Clone)]
pub(crate) struct ExtremeRow {
    pub(crate) key: Scalar,
    pub(crate) value: Scalar,
}

impl ExtremeKind {
    fn prefers(self, ordering: Ordering) -> bool {
        match self {
            Self::Min => ordering == Ordering::Less,
            Self::Max => ordering == Ordering::Greater,
        }
    }

    /// Puts `row` in place of `best` where it wins.
    pub(crate) fn offer(self, best: &mut Option<Box<ExtremeRow>>, row: ExtremeRow) {
        let wins = best.as_ref().is_none_or(|best| {
            let by_key = compare(&row.key, &best.key);
            self.prefers(by_key.then_with(|| compare(&row.value, &best.value)))
        });
        if wins {
            *best = Some(Box::new(row));
        }
    }
}

/// The order of two values of one type; NaN is the greatest number.
pub(crate) fn compare(left: &Scalar, right: &Scalar) -> Ordering {
    match (left, right) {
        (Scalar::Text(left), Scalar::Text(right)) => left.cmp(right),
        (Scalar::Binary(left), Scalar::Binary(right)) => left.cmp(right),
        _ => key_of(left).cmp(&key_of(right)),
    }
}

/// The key of a value that has one; equal for all others.
fn key_of(scalar: &Scalar) -> i64 {
    match scalar {
        Scalar::I64(value) | Scalar::Time(value) => *value,
        Scalar::U64(value) => ordered(*value),
        Scalar::F64(value) => key_of_float_value(*value),
        Scalar::Bool(value) => i64::from(*value),
        _ => 0,
    }
}

/// A column by which rows are compared, so that most rows cost a comparison and no copy.
pub(crate) enum KeyColumn<'a> {
    Keys(Vec<i64>),
    Texts(&'a ArrayRef),
}

impl<'a> KeyColumn<'a> {
    /// Of a column of any value type.
    pub(crate) fn new(array: &'a ArrayRef) -> Result<Self> {
        match KeyKind::of(array.data_type()) {
            Some(_) => keys_of(array).map(Self::Keys),
            None => Ok(Self::Texts(array)),
        }
    }

    /// How the key of a row stands to a known one.
    pub(crate) fn compare(&self, row: usize, known: &Scalar) -> Result<Ordering> {
        match (self, known) {
            (Self::Keys(keys), known) => Ok(keys[row].cmp(&key_of(known))),
            (Self::Texts(array), Scalar::Text(known)) => Ok(array.as_string::<i32>().value(row).cmp(known)),
            (Self::Texts(array), Scalar::Binary(known)) => Ok(array.as_binary::<i32>().value(row).cmp(known)),
            _ => Err(Error::execution("the values by which rows are compared have different types")),
        }
    }
}

/// Adds the row of two columns.
pub(crate) fn add_row(
    kind: ExtremeKind,
    best: &mut Option<Box<ExtremeRow>>,
    (values, keys, key_column): (&ArrayRef, &ArrayRef, &KeyColumn<'_>),
    row: usize,
) -> Result<()> {
    if values.is_null(row) || keys.is_null(row) {
        return Ok(());
    }
    if let Some(best) = best {
        let by_key = key_column.compare(row, &best.key)?;
        if by_key != Ordering::Equal && !kind.prefers(by_key) {
            return Ok(());
        }
    }
    let row = ExtremeRow { key: Scalar::from_array(keys, row)?, value: Scalar::from_array(values, row)? };
    kind.offer(best, row);
    Ok(())
}

impl ExtremeRow {
    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let text = |scalar: &Scalar| match scalar {
            Scalar::Text(text) => text.len(),
            Scalar::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + text(&self.key) + text(&self.value)
    }
}
