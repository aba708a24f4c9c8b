//! Texts or bytes of a group with how often each was added.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use hashbrown::HashMap;

/// Different texts with their counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    counts: HashMap<Box<[u8]>, u64>,
    text_bytes: usize,
}

impl Texts {
    /// Number of different texts.
    pub(crate) fn len(&self) -> u64 {
        self.counts.len() as u64
    }

    /// Adds a text `count` times.
    pub(crate) fn add(&mut self, text: &[u8], count: u64) {
        match self.counts.get_mut(text) {
            Some(known) => *known += count,
            None => {
                self.text_bytes += text.len();
                self.counts.insert(text.into(), count);
            }
        }
    }

    /// Adds the texts of another group.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(text, count)| self.add(text, *count));
    }

    /// The text that was added most often, of several the least.
    pub(crate) fn mode(&self) -> Option<&[u8]> {
        let best = self.counts.iter().max_by(|(a, many), (b, more)| many.cmp(more).then_with(|| b.cmp(a)));
        best.map(|(text, _)| &**text)
    }

    /// Texts with their counts, in no order.
    #[cfg(feature = "datafusion")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.counts.iter().map(|(text, count)| (&**text, *count))
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.counts.allocation_size() + self.text_bytes
    }
}

/// A column of texts or bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextColumn<'a>(&'a ArrayRef);

impl<'a> TextColumn<'a> {
    /// Of a column of type Utf8 or Binary.
    pub(crate) fn new(array: &'a ArrayRef) -> Option<Self> {
        matches!(array.data_type(), DataType::Utf8 | DataType::Binary).then_some(Self(array))
    }

    /// The bytes of a row that is not NULL.
    pub(crate) fn get(&self, row: usize) -> &'a [u8] {
        match self.0.data_type() {
            DataType::Utf8 => self.0.as_string::<i32>().value(row).as_bytes(),
            _ => self.0.as_binary::<i32>().value(row),
        }
    }
}
