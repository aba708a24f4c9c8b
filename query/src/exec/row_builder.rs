//! Columns under construction: rows of blocks are copied into them until they make a batch.
//!
//! A tag costs nothing per row and column here: the series of each row is kept once, and the keys of all tags are taken
//! from it when a batch is finished.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, NullBufferBuilder,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::Int32Type;
use lynxstore_storage::encoding::{VECTOR_LEN, Validity, kernel};
use lynxstore_storage::snapshot::{Block, BlockTimes, TagValues};
use lynxstore_storage::types::FieldType;

use super::batch_scan::{BATCH_ROWS, Batch, Origin};
use super::row_mask::RowMask;
use super::source::take_rows;
use crate::error::{Error, Result};

/// Where a column of a batch comes from.
pub(super) enum ScanColumn {
    Time,
    /// The tag of every series of the set.
    Tag(DictionaryArray<Int32Type>),
    Field {
        position: usize,
        field_type: FieldType,
    },
}

impl ScanColumn {
    /// The column of a tag.
    pub(super) fn tag(tag: TagValues) -> Result<Self> {
        let keys: Int32Array =
            tag.indices.iter().map(|&code| (code != TagValues::NULL).then_some(code as i32)).collect();
        Ok(Self::Tag(DictionaryArray::try_new(keys, tag.values).map_err(Error::arrow)?))
    }
}

/// Rows of a block that are taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Picked<'a> {
    All,
    /// Those of a mask, and their positions.
    Mask(&'a RowMask, &'a [u32]),
    Positions(&'a [u32]),
}

impl Picked<'_> {
    /// Number of rows taken of `len`.
    pub(super) fn count(self, len: usize) -> usize {
        match self {
            Self::All => len,
            Self::Mask(_, positions) | Self::Positions(positions) => positions.len(),
        }
    }

    /// The positions, when not all rows are taken.
    fn positions(&self) -> Option<&[u32]> {
        match self {
            Self::All => None,
            Self::Mask(_, positions) | Self::Positions(positions) => Some(positions),
        }
    }
}

/// The columns of a batch under construction.
pub(super) struct RowBuilder<'a> {
    columns: &'a [ScanColumn],
    builders: Vec<ColumnBuilder>,
    /// Series per row.
    series: Vec<u32>,
    /// Times per row, when the origin of rows is asked for.
    times: Option<Vec<i64>>,
    rows: usize,
}

impl<'a> RowBuilder<'a> {
    /// A builder without rows, which tells their origin when `times` are there.
    pub(super) fn new(columns: &'a [ScanColumn], times: Option<Vec<i64>>) -> Self {
        let builders = columns.iter().map(ColumnBuilder::new).collect();
        Self { columns, builders, series: Vec::new(), times, rows: 0 }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows of a block of a series.
    pub(super) fn append(&mut self, series: usize, block: &mut Block<'_>, picked: Picked<'_>) -> Result<()> {
        for (builder, column) in self.builders.iter_mut().zip(self.columns) {
            builder.append(column, block, picked)?;
        }
        if let Some(times) = &mut self.times {
            let len = block.len();
            append_times(times, block.times()?, len, picked.positions());
        }
        self.rows += picked.count(block.len());
        self.series.resize(self.rows, series as u32);
        Ok(())
    }

    /// The rows as a batch; none are left.
    pub(super) fn finish(&mut self) -> Result<Batch> {
        let rows = std::mem::take(&mut self.rows);
        let series = UInt32Array::from(std::mem::take(&mut self.series));
        let columns = self.builders.iter_mut().zip(self.columns);
        let columns = columns.map(|(builder, column)| builder.finish(column, &series)).collect::<Result<_>>()?;
        let times = self.times.as_mut().map(std::mem::take);
        let origin = times.map(|times| Origin { times, series: series.values().to_vec() });
        Ok(Batch { columns, origin, rows })
    }

    /// Makes room for another batch of `rows` rows at once: one that grows is copied several times.
    pub(super) fn reserve(&mut self, rows: usize) {
        let rows = rows + VECTOR_LEN;
        self.series.reserve(rows);
        self.times.iter_mut().for_each(|times| times.reserve(rows));
        for builder in &mut self.builders {
            match builder {
                ColumnBuilder::Time(values) | ColumnBuilder::Integer(values, _) => values.reserve(rows),
                ColumnBuilder::Float(values, _) => values.reserve(rows),
                ColumnBuilder::Tag | ColumnBuilder::Arrays(_) => {}
            }
        }
    }
}

/// A column under construction.
enum ColumnBuilder {
    Time(Vec<i64>),
    Tag,
    Integer(Vec<i64>, NullBufferBuilder),
    Float(Vec<f64>, NullBufferBuilder),
    Arrays(Vec<ArrayRef>),
}

impl ColumnBuilder {
    fn new(column: &ScanColumn) -> Self {
        match column {
            ScanColumn::Time => Self::Time(Vec::new()),
            ScanColumn::Tag(_) => Self::Tag,
            ScanColumn::Field { field_type: FieldType::I64 | FieldType::U64, .. } => {
                Self::Integer(Vec::new(), NullBufferBuilder::new(BATCH_ROWS))
            }
            ScanColumn::Field { field_type: FieldType::F64, .. } => {
                Self::Float(Vec::new(), NullBufferBuilder::new(BATCH_ROWS))
            }
            ScanColumn::Field { .. } => Self::Arrays(Vec::new()),
        }
    }

    fn append(&mut self, column: &ScanColumn, block: &mut Block<'_>, picked: Picked<'_>) -> Result<()> {
        let len = block.len();
        match (self, column) {
            (Self::Time(out), _) => append_times(out, block.times()?, len, picked.positions()),
            (Self::Tag, _) => {}
            (Self::Integer(out, nulls), ScanColumn::Field { position, field_type }) => {
                append_validity(nulls, &block.validity(*position)?, len, picked.positions());
                let start = out.len();
                let values = block.i64_values(*position)?;
                match picked {
                    Picked::All => out.extend_from_slice(values),
                    Picked::Mask(mask, _) => kernel::take_i64(values, mask.words(), out),
                    Picked::Positions(positions) => out.extend(positions.iter().map(|row| values[*row as usize])),
                }
                if *field_type == FieldType::U64 {
                    out[start..].iter_mut().for_each(|value| *value ^= i64::MIN);
                }
            }
            (Self::Float(out, nulls), ScanColumn::Field { position, .. }) => {
                append_validity(nulls, &block.validity(*position)?, len, picked.positions());
                let values = block.f64_values(*position)?;
                match picked {
                    Picked::All => out.extend_from_slice(values),
                    Picked::Mask(mask, _) => kernel::take_f64(values, mask.words(), out),
                    Picked::Positions(positions) => out.extend(positions.iter().map(|row| values[*row as usize])),
                }
            }
            (Self::Arrays(parts), ScanColumn::Field { position, .. }) => {
                let array = block.array(*position)?;
                parts.push(match picked.positions() {
                    None => array,
                    Some(positions) => take_rows(&array, &UInt32Array::from(positions.to_vec()))?,
                });
            }
            _ => return Err(Error::execution("a column changed its kind during the scan")),
        }
        Ok(())
    }

    /// The column; `series` are those of its rows.
    fn finish(&mut self, column: &ScanColumn, series: &UInt32Array) -> Result<ArrayRef> {
        Ok(match self {
            Self::Time(times) => Arc::new(TimestampNanosecondArray::from(std::mem::take(times))),
            Self::Tag => match column {
                ScanColumn::Tag(tag) => take(tag, series, None).map_err(Error::arrow)?,
                _ => return Err(Error::execution("a column changed its kind during the scan")),
            },
            Self::Integer(values, nulls) => {
                let (values, nulls) = (std::mem::take(values), nulls.finish());
                match column {
                    ScanColumn::Field { field_type: FieldType::U64, .. } => {
                        let values: Vec<u64> = values.into_iter().map(i64::cast_unsigned).collect();
                        Arc::new(UInt64Array::new(values.into(), nulls))
                    }
                    _ => Arc::new(Int64Array::new(values.into(), nulls)),
                }
            }
            Self::Float(values, nulls) => Arc::new(Float64Array::new(std::mem::take(values).into(), nulls.finish())),
            Self::Arrays(parts) => {
                let parts = std::mem::take(parts);
                match parts.as_slice() {
                    [only] => Arc::clone(only),
                    parts => {
                        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                        let array = concat(&parts).map_err(Error::arrow)?;
                        debug_assert_eq!(array.len(), series.len(), "every block adds its rows to every column");
                        array
                    }
                }
            }
        })
    }
}

fn append_times(out: &mut Vec<i64>, times: BlockTimes<'_>, len: usize, positions: Option<&[u32]>) {
    match (times, positions) {
        (BlockTimes::Slice(times), None) => out.extend_from_slice(times),
        (BlockTimes::Regular { start_ns, step_ns }, None) => {
            out.extend((0..len as i64).map(|row| start_ns.wrapping_add(step_ns.wrapping_mul(row))));
        }
        (BlockTimes::Regular { start_ns, step_ns }, Some(positions)) => {
            out.extend(positions.iter().map(|row| start_ns.wrapping_add(step_ns.wrapping_mul(i64::from(*row)))));
        }
        (BlockTimes::Slice(times), Some(positions)) => out.extend(positions.iter().map(|row| times[*row as usize])),
    }
}

fn append_validity(nulls: &mut NullBufferBuilder, validity: &Validity, len: usize, positions: Option<&[u32]>) {
    let added = positions.map_or(len, <[u32]>::len);
    match validity {
        Validity::AllValid => nulls.append_n_non_nulls(added),
        Validity::AllNull => nulls.append_n_nulls(added),
        Validity::Mask(words) => {
            let is_valid = |row: usize| words[row / 64] >> (row % 64) & 1 == 1;
            match positions {
                None => (0..len).for_each(|row| nulls.append(is_valid(row))),
                Some(positions) => positions.iter().for_each(|row| nulls.append(is_valid(*row as usize))),
            }
        }
    }
}
