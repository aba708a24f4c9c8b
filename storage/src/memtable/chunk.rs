//! An immutable run of rows of one series in memory, in the order in which they were committed.

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::narrow_chunk::NarrowChunk;
use crate::encoding::{MASK_WORDS, VECTOR_LEN, Validity, ZoneMap};
use crate::types::{ColumnId, TimeRange};

/// How the times of a chunk are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeOrder {
    /// Each time is later than the one before: no duplicates.
    StrictlyIncreasing,
    /// Anything else; the reader sorts and resolves duplicates.
    Mixed,
}

/// Rows of one series as a reader gets them from memory.
#[derive(Debug, Clone)]
pub(crate) enum ReadChunk {
    /// Rows as they are.
    Wide(Arc<RowChunk>),
    /// The first `rows` rows of a chunk, to be widened as they are read.
    Narrow {
        /// The chunk.
        chunk: Arc<NarrowChunk>,
        /// How many of its rows the reader may see.
        rows: usize,
    },
}

impl ReadChunk {
    /// The rows with at least all fields or those given.
    pub(crate) fn widen(&self, fields: Option<&[ColumnId]>) -> Arc<RowChunk> {
        match self {
            Self::Wide(chunk) => Arc::clone(chunk),
            Self::Narrow { chunk, rows } => chunk.widen(*rows, fields),
        }
    }
}

/// Rows of one series; columns are as long as `times`.
#[derive(Debug, Clone)]
pub(crate) struct RowChunk {
    pub(crate) times: ScalarBuffer<i64>,
    pub(crate) columns: Vec<(ColumnId, ArrayRef)>,
    pub(crate) order: TimeOrder,
    /// First and last time; of the rows in the chunk, or of more rows than it shows.
    pub(crate) bounds: TimeRange,
    pub(crate) zones: LazyZones,
}

impl RowChunk {
    /// The column of a field, when any row of the chunk's origin had it.
    pub(crate) fn column(&self, id: ColumnId) -> Option<&ArrayRef> {
        self.columns.iter().find(|(column, _)| *column == id).map(|(_, array)| array)
    }

    /// Statistics of a field over all rows, where they are kept.
    pub(crate) fn zone(&self, id: ColumnId) -> Option<ZoneMap> {
        let zones = self.zones.0.as_ref()?;
        let position = self.columns.iter().position(|(column, _)| *column == id)?;
        Some(*zones[position].get_or_init(|| zone_of(&self.columns[position].1)))
    }
}

/// Statistics per column, each made when a reader first asks for it. Only of chunks that many readers share: those of a
/// copy would cost more than they spare.
#[derive(Debug, Clone, Default)]
pub(crate) struct LazyZones(Option<Box<[OnceLock<ZoneMap>]>>);

impl LazyZones {
    /// Memory of a column.
    pub(super) const COLUMN_BYTES: usize = size_of::<OnceLock<ZoneMap>>();

    /// For a chunk that is shared, of at most a vector of rows.
    pub(super) fn of_columns(count: usize) -> Self {
        Self(Some(std::iter::repeat_with(OnceLock::new).take(count).collect()))
    }
}

/// Statistics of a column of at most a vector of rows.
fn zone_of(array: &ArrayRef) -> ZoneMap {
    let validity = validity_of(array.nulls(), 0, array.len());
    match array.data_type() {
        DataType::Int64 => ZoneMap::of_integers(array.as_primitive::<Int64Type>().values(), &validity),
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>().values();
            let ordered: Vec<i64> = values.iter().map(|value| (value ^ (1 << 63)) as i64).collect();
            ZoneMap::of_integers(&ordered, &validity)
        }
        DataType::Float64 => ZoneMap::of_floats(array.as_primitive::<Float64Type>().values(), &validity),
        DataType::Boolean => {
            let values = array.as_boolean().values();
            let integers: Vec<i64> = values.iter().map(i64::from).collect();
            ZoneMap::of_integers(&integers, &validity)
        }
        _ => ZoneMap::of_nulls(array.null_count(), array.len()),
    }
}

/// Which of at most a vector of rows are not NULL.
pub(crate) fn validity_of(nulls: Option<&NullBuffer>, offset: usize, len: usize) -> Validity {
    debug_assert!(len <= VECTOR_LEN);
    let Some(nulls) = nulls else { return Validity::AllValid };
    let mut words = [0; MASK_WORDS];
    for (word, bits) in words.iter_mut().zip(nulls.inner().slice(offset, len).bit_chunks().iter_padded()) {
        *word = bits;
    }
    Validity::of(Some(&words), len)
}
