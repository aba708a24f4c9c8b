//! The decoded dictionary of a string column.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray};

use crate::types::FieldType;

/// The distinct values of a string or binary column of a section, sorted; code `k` is value `k`.
#[derive(Debug)]
pub struct StringDictionary {
    values: ArrayRef,
}

impl StringDictionary {
    /// `None` when a text column holds bytes that are not UTF-8.
    pub(super) fn new(values: BinaryArray, field_type: FieldType) -> Option<Self> {
        Some(Self { values: typed_strings(values, field_type)? })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The bytes of a value.
    ///
    /// # Panics
    /// When there is no such code.
    pub fn value(&self, code: u32) -> &[u8] {
        match self.values.as_string_opt::<i32>() {
            Some(texts) => texts.value(code as usize).as_bytes(),
            None => self.values.as_binary::<i32>().value(code as usize),
        }
    }

    /// The code of a value, if a row has it.
    pub fn code_of(&self, value: &[u8]) -> Option<u32> {
        let (mut low, mut high) = (0, self.len() as u32);
        while low < high {
            let middle = low.midpoint(high);
            match self.value(middle).cmp(value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// All values, as `Utf8` or `Binary` like the column.
    pub fn values(&self) -> &ArrayRef {
        &self.values
    }
}

/// `values` as the Arrow type of the column; `None` when a text column holds bytes that are not UTF-8.
pub(super) fn typed_strings(values: BinaryArray, field_type: FieldType) -> Option<ArrayRef> {
    if field_type == FieldType::Binary {
        return Some(Arc::new(values));
    }
    let (offsets, bytes, nulls) = values.into_parts();
    Some(Arc::new(StringArray::try_new(offsets, bytes, nulls).ok()?))
}
