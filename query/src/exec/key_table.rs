//! Numbers groups by their keys, in the order of first sight.
//!
//! Keys of fixed width are compared as words, which is a third of the work of byte rows. Keys with texts or bytes become the
//! byte rows of Arrow. Either way equal keys are keys of the same bits: callers give 0 for -0 before.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, TimestampNanosecondArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::DefaultHashBuilder;

use super::hashed_groups::HashedGroups;
use crate::error::{Error, Result};

/// The keys of groups; there is at least one key.
pub(crate) enum KeyTable {
    /// Every key has a fixed width.
    Words(WordKeys),
    /// Some key has not.
    Rows(RowKeys),
}

impl KeyTable {
    /// A table of no groups, whose keys have these types.
    pub(crate) fn new(types: &[DataType]) -> Result<Self> {
        if types.len() < u64::BITS as usize && types.iter().all(is_word) {
            return Ok(Self::Words(WordKeys::new(types)));
        }
        RowKeys::new(types).map(Self::Rows)
    }

    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Words(keys) => keys.words.len() / keys.stride,
            Self::Rows(keys) => keys.known.num_rows(),
        }
    }

    /// Bytes that the keys take.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Words(keys) => keys.words.capacity() * size_of::<u64>() + keys.groups.bytes(),
            Self::Rows(keys) => keys.known.size() + keys.groups.bytes(),
        };
        bytes as u64
    }

    /// The group of every row of some columns, which have the types of the table.
    pub(crate) fn number(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        match self {
            Self::Words(keys) => {
                let encoded = keys.encode(columns, rows);
                Ok(keys.number(&encoded))
            }
            Self::Rows(keys) => {
                let encoded = keys.converter.convert_columns(columns).map_err(Error::arrow)?;
                Ok(keys.number(&encoded))
            }
        }
    }

    /// The groups here of some groups of another table of the same types.
    pub(crate) fn number_groups(&mut self, other: &Self, groups: Range<usize>) -> Result<Vec<u32>> {
        match (self, other) {
            (Self::Words(keys), Self::Words(other)) => {
                Ok(keys.number(&other.words[groups.start * other.stride..groups.end * other.stride]))
            }
            (Self::Rows(keys), Self::Rows(other)) => {
                // The rows of another converter of the same fields have the same bytes, but only its own converter reads them.
                let rows = groups.map(|group| other.known.row(group));
                let columns = other.converter.convert_rows(rows).map_err(Error::arrow)?;
                let encoded = keys.converter.convert_columns(&columns).map_err(Error::arrow)?;
                Ok(keys.number(&encoded))
            }
            _ => Err(Error::execution("tables of the same keys differ")),
        }
    }

    /// The keys of all groups, a column per key.
    pub(crate) fn columns(&self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Words(keys) => Ok((0..keys.types.len()).map(|key| keys.column(key)).collect()),
            Self::Rows(keys) => keys.converter.convert_rows(keys.known.iter()).map_err(Error::arrow),
        }
    }
}

/// Whether values of a type fit into a word.
fn is_word(data_type: &DataType) -> bool {
    use DataType as T;
    let is_time = matches!(data_type, T::Timestamp(TimeUnit::Nanosecond, None));
    is_time || matches!(data_type, T::Int32 | T::Int64 | T::UInt64 | T::Float64 | T::Boolean)
}

/// Keys of fixed width.
pub(crate) struct WordKeys {
    types: Vec<DataType>,
    /// Words of a group: one per key, 0 for NULL, and one whose bits say which keys are NULL.
    stride: usize,
    words: Vec<u64>,
    groups: HashedGroups,
    hasher: DefaultHashBuilder,
    /// Groups that were found lately, each where its key may be looked up.
    recent: Vec<u32>,
}

/// Places of recent groups: as many as stay in the first-level cache.
const RECENT_BITS: u32 = 12;

/// Spreads keys over places (Knuth, The Art of Computer Programming, 6.4).
const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

impl WordKeys {
    fn new(types: &[DataType]) -> Self {
        let (groups, hasher) = (HashedGroups::default(), DefaultHashBuilder::default());
        let recent = vec![0; 1 << RECENT_BITS];
        Self { types: types.to_vec(), stride: types.len() + 1, words: Vec::new(), groups, hasher, recent }
    }

    /// The words of rows, one row after the other.
    fn encode(&self, columns: &[ArrayRef], rows: usize) -> Vec<u64> {
        let stride = self.stride;
        let mut words = vec![0; rows * stride];
        for (key, column) in columns.iter().enumerate() {
            let places = words.iter_mut().skip(key).step_by(stride);
            match &self.types[key] {
                DataType::Int32 => {
                    let values = column.as_primitive::<Int32Type>().values();
                    places.zip(values).for_each(|(word, value)| *word = u64::from(value.cast_unsigned()));
                }
                DataType::Int64 => {
                    let values = column.as_primitive::<Int64Type>().values();
                    places.zip(values).for_each(|(word, value)| *word = value.cast_unsigned());
                }
                DataType::UInt64 => {
                    let values = column.as_primitive::<UInt64Type>().values();
                    places.zip(values).for_each(|(word, value)| *word = *value);
                }
                DataType::Float64 => {
                    let values = column.as_primitive::<Float64Type>().values();
                    places.zip(values).for_each(|(word, value)| *word = value.to_bits());
                }
                DataType::Boolean => {
                    let values = column.as_boolean().values();
                    places.zip(values).for_each(|(word, value)| *word = u64::from(value));
                }
                _ => {
                    let values = column.as_primitive::<TimestampNanosecondType>().values();
                    places.zip(values).for_each(|(word, value)| *word = value.cast_unsigned());
                }
            }
            if let Some(nulls) = column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
                for row in (0..rows).filter(|row| nulls.is_null(*row)) {
                    words[row * stride + key] = 0;
                    words[row * stride + stride - 1] |= 1 << key;
                }
            }
        }
        words
    }

    fn number(&mut self, encoded: &[u64]) -> Vec<u32> {
        // The number of words of a key is known where it matters most, so that comparisons are of registers.
        match self.stride {
            2 => encoded.as_chunks::<2>().0.iter().map(|key| self.number_one(key)).collect(),
            3 => encoded.as_chunks::<3>().0.iter().map(|key| self.number_one(key)).collect(),
            stride => encoded.chunks_exact(stride).map(|key| self.number_one(key)).collect(),
        }
    }

    /// The group of a key. Few groups take most rows, so a place in `recent` answers without a search, and without a branch
    /// that goes now this way and now that.
    #[inline(always)]
    fn number_one(&mut self, key: &[u64]) -> u32 {
        let place = key.iter().fold(0u64, |place, word| (place ^ word).wrapping_mul(GOLDEN_RATIO));
        let place = (place >> (64 - RECENT_BITS)) as usize;
        let recent = self.recent[place];
        let start = recent as usize * key.len();
        if self.words.get(start..start + key.len()).is_some_and(|known| known == key) {
            return recent;
        }
        let group = self.search(key);
        self.recent[place] = group;
        group
    }

    /// The group of a key, a new one if there is none.
    fn search(&mut self, key: &[u64]) -> u32 {
        let known = |group: u32| &self.words[group as usize * self.stride..][..self.stride];
        let hash = hash_of(&self.hasher, key);
        match self.groups.find(hash, |group| known(group) == key) {
            Some(group) => group,
            None => self.insert(hash, key),
        }
    }

    fn insert(&mut self, hash: u64, key: &[u64]) -> u32 {
        let group = (self.words.len() / self.stride) as u32;
        self.words.extend_from_slice(key);
        self.groups.insert(hash, group);
        group
    }

    /// A key of all groups.
    fn column(&self, key: usize) -> ArrayRef {
        let words = || self.words.iter().skip(key).step_by(self.stride).copied();
        let null_bits = || self.words.iter().skip(self.stride - 1).step_by(self.stride);
        let has_null = null_bits().any(|bits| bits >> key & 1 == 1);
        let nulls: Option<NullBuffer> = has_null.then(|| null_bits().map(|bits| bits >> key & 1 == 0).collect());
        match &self.types[key] {
            DataType::Int32 => {
                Arc::new(Int32Array::new(words().map(|word| word as u32 as i32).collect::<Vec<_>>().into(), nulls))
            }
            DataType::Int64 => Arc::new(Int64Array::new(signed(words()).into(), nulls)),
            DataType::UInt64 => Arc::new(UInt64Array::new(words().collect::<Vec<_>>().into(), nulls)),
            DataType::Float64 => {
                Arc::new(Float64Array::new(words().map(f64::from_bits).collect::<Vec<_>>().into(), nulls))
            }
            DataType::Boolean => Arc::new(BooleanArray::new(words().map(|word| word != 0).collect(), nulls)),
            _ => Arc::new(TimestampNanosecondArray::new(signed(words()).into(), nulls)),
        }
    }
}

fn signed(words: impl Iterator<Item = u64>) -> Vec<i64> {
    words.map(u64::cast_signed).collect()
}

/// The hash of a key, seeded anew in each table: keys come from users.
fn hash_of(hasher: &DefaultHashBuilder, key: &[u64]) -> u64 {
    let mut state = hasher.build_hasher();
    key.iter().for_each(|word| state.write_u64(*word));
    state.finish()
}

/// Keys with texts or bytes among them.
pub(crate) struct RowKeys {
    converter: RowConverter,
    known: Rows,
    groups: HashedGroups,
    hasher: DefaultHashBuilder,
}

impl RowKeys {
    fn new(types: &[DataType]) -> Result<Self> {
        let fields = types.iter().map(|data_type| SortField::new(data_type.clone())).collect();
        let converter = RowConverter::new(fields).map_err(Error::arrow)?;
        let known = converter.empty_rows(0, 0);
        Ok(Self { converter, known, groups: HashedGroups::default(), hasher: DefaultHashBuilder::default() })
    }

    fn number(&mut self, encoded: &Rows) -> Vec<u32> {
        let mut previous: Option<u32> = None;
        let groups = encoded.iter().map(|row| {
            if let Some(previous) = previous
                && self.known.row(previous as usize) == row
            {
                return previous;
            }
            let hash = self.hasher.hash_one(row.as_ref());
            let known = &self.known;
            let group = match self.groups.find(hash, |group| known.row(group as usize) == row) {
                Some(group) => group,
                None => {
                    let group = self.known.num_rows() as u32;
                    self.known.push(row);
                    self.groups.insert(hash, group);
                    group
                }
            };
            previous = Some(group);
            group
        });
        groups.collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn numbered(types: &[DataType], columns: &[ArrayRef]) -> (Vec<u32>, KeyTable) {
        let mut table = KeyTable::new(types).unwrap();
        let groups = table.number(columns, columns[0].len()).unwrap();
        (groups, table)
    }

    fn columns() -> Vec<ArrayRef> {
        let times = TimestampNanosecondArray::from(vec![Some(5), Some(5), None, Some(-1), Some(5), Some(0)]);
        vec![
            Arc::new(Int32Array::from(vec![Some(-1), Some(-1), None, Some(0), Some(-1), None])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MIN), Some(0), None, Some(i64::MIN), Some(0)])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(u64::MAX), None, Some(0), Some(u64::MAX), Some(0)])),
            Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(f64::NAN), Some(0.0), None, Some(f64::NAN), None])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(true), Some(false), None, Some(true), Some(false)])),
            Arc::new(times),
        ]
    }

    #[test]
    fn every_prefix_of_keys_has_the_groups_of_byte_rows_and_comes_back() {
        let columns = columns();
        for width in 1..=columns.len() {
            let keys = &columns[..width];
            let types: Vec<DataType> = keys.iter().map(|column| column.data_type().clone()).collect();
            let (groups, table) = numbered(&types, keys);
            assert!(matches!(table, KeyTable::Words(_)));
            let mut rows = RowKeys::new(&types).unwrap();
            let encoded = rows.converter.convert_columns(keys).unwrap();
            assert_eq!(groups, rows.number(&encoded), "{width} keys");
            let expected = rows.converter.convert_rows(rows.known.iter()).unwrap();
            assert_eq!(table.len(), rows.known.num_rows());
            // By their text: NaN is not equal to itself.
            assert_eq!(format!("{:?}", table.columns().unwrap()), format!("{expected:?}"));
        }
    }

    #[test]
    fn null_is_another_key_than_zero_and_false() {
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(0), None]));
        assert_eq!(numbered(&[DataType::Int64], &[integers]).0, [0, 1, 0, 1]);
        let booleans: ArrayRef = Arc::new(BooleanArray::from(vec![None, Some(false), Some(true), None]));
        assert_eq!(numbered(&[DataType::Boolean], &[booleans]).0, [0, 1, 2, 0]);
    }

    #[test]
    fn groups_of_another_table_find_theirs() {
        let texts = |values: [&str; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let numbers = |values: [i64; 3]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let pairs = [
            (vec![DataType::Utf8], vec![texts(["a", "b", "c"])], vec![texts(["c", "x", "a"])]),
            (vec![DataType::Int64], vec![numbers([1, 2, 3])], vec![numbers([3, 9, 1])]),
            (vec![DataType::Int64; 2], vec![numbers([1, 2, 3]); 2], vec![numbers([3, 9, 1]); 2]),
            (vec![DataType::Int64; 3], vec![numbers([1, 2, 3]); 3], vec![numbers([3, 9, 1]); 3]),
        ];
        for (types, first, second) in pairs {
            let (_, mut table) = numbered(&types, &first);
            let (_, other) = numbered(&types, &second);
            assert_eq!(table.number_groups(&other, 0..3).unwrap(), [2, 3, 0]);
            assert_eq!(table.number_groups(&other, 1..2).unwrap(), [3]);
            assert_eq!(table.len(), 4);
        }
    }
}
