//! Puts blocks of several series together into record batches.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBufferBuilder, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::concat;
use arrow::datatypes::Int32Type;
use datafusion::common::Result;
use hashbrown::HashMap;
use lynxstore_storage::encoding::Validity;
use lynxstore_storage::snapshot::{Block, BlockTimes, TagValues};
use lynxstore_storage::types::FieldType;

use super::error::to_datafusion;
use super::scan_source::{ScanColumn, ScanSource};

/// The rows of the batch that is being put together.
pub(super) struct BatchBuilder<'a> {
    source: &'a ScanSource,
    columns: Vec<ColumnBuilder>,
    /// Series in the batch with their number of rows, in order.
    runs: Vec<(usize, usize)>,
    batch_rows: usize,
    len: usize,
}

enum ColumnBuilder {
    Time(Vec<i64>),
    /// Position among the tag columns of the scan; made from the runs at the end.
    Tag(usize),
    I64(usize, Vec<i64>, Nulls),
    F64(usize, Vec<f64>, Nulls),
    /// Any other field: the arrays of the blocks.
    Parts(usize, Vec<ArrayRef>),
}

/// Validity of a column; nothing is stored while every value is there.
#[derive(Default)]
struct Nulls {
    valid: Option<BooleanBufferBuilder>,
}

impl Nulls {
    fn append(&mut self, validity: &Validity, len_before: usize, len: usize) {
        if matches!(validity, Validity::AllValid) && self.valid.is_none() {
            return;
        }
        let valid = self.valid.get_or_insert_with(|| {
            let mut valid = BooleanBufferBuilder::new(len_before + len);
            valid.append_n(len_before, true);
            valid
        });
        match validity {
            Validity::AllValid => valid.append_n(len, true),
            Validity::AllNull => valid.append_n(len, false),
            Validity::Mask(words) => {
                let bits = BooleanBuffer::collect_bool(len, |row| words[row / 64] >> (row % 64) & 1 == 1);
                valid.append_buffer(&bits);
            }
        }
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.valid.take().map(|mut valid| NullBuffer::new(valid.finish()))
    }
}

impl<'a> BatchBuilder<'a> {
    pub(super) fn new(source: &'a ScanSource, batch_rows: usize) -> Self {
        let fields = &source.series.table().schema().fields;
        let (mut tag_count, mut field_count) = (0, 0);
        let columns = source
            .columns
            .iter()
            .map(|column| match column {
                ScanColumn::Time => ColumnBuilder::Time(Vec::with_capacity(batch_rows)),
                ScanColumn::Tag(_) => {
                    tag_count += 1;
                    ColumnBuilder::Tag(tag_count - 1)
                }
                ScanColumn::Field(field) => {
                    field_count += 1;
                    let position = field_count - 1;
                    match fields[*field].field_type {
                        FieldType::I64 => {
                            ColumnBuilder::I64(position, Vec::with_capacity(batch_rows), Nulls::default())
                        }
                        FieldType::F64 => {
                            ColumnBuilder::F64(position, Vec::with_capacity(batch_rows), Nulls::default())
                        }
                        _ => ColumnBuilder::Parts(position, Vec::new()),
                    }
                }
            })
            .collect();
        Self { source, columns, runs: Vec::new(), batch_rows, len: 0 }
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the rows of a block of the series at this position of the set.
    pub(super) fn push(&mut self, series: usize, block: &mut Block<'_>) -> Result<()> {
        let len = block.len();
        for column in &mut self.columns {
            match column {
                ColumnBuilder::Tag(_) => {}
                ColumnBuilder::Time(times) => match block.times().map_err(to_datafusion)? {
                    BlockTimes::Regular { start_ns, step_ns } => {
                        times.extend((0..len as i64).map(|row| start_ns.wrapping_add(step_ns.wrapping_mul(row))));
                    }
                    BlockTimes::Slice(slice) => times.extend_from_slice(slice),
                },
                ColumnBuilder::I64(field, values, nulls) => {
                    nulls.append(&block.validity(*field).map_err(to_datafusion)?, self.len, len);
                    values.extend_from_slice(block.i64_values(*field).map_err(to_datafusion)?);
                }
                ColumnBuilder::F64(field, values, nulls) => {
                    nulls.append(&block.validity(*field).map_err(to_datafusion)?, self.len, len);
                    values.extend_from_slice(block.f64_values(*field).map_err(to_datafusion)?);
                }
                ColumnBuilder::Parts(field, parts) => parts.push(block.array(*field).map_err(to_datafusion)?),
            }
        }
        match self.runs.last_mut() {
            Some((last, rows)) if *last == series => *rows += len,
            _ => self.runs.push((series, len)),
        }
        self.len += len;
        Ok(())
    }

    /// Takes the rows as a batch, at most `rows_max` of them; the rest is dropped.
    pub(super) fn finish(&mut self, rows_max: usize) -> Result<RecordBatch> {
        let source = self.source;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let fresh = self.batch_rows;
            columns.push(match column {
                ColumnBuilder::Time(times) => {
                    Arc::new(TimestampNanosecondArray::from(std::mem::replace(times, Vec::with_capacity(fresh))))
                }
                ColumnBuilder::Tag(tag) => Arc::new(tag_array(&source.tags[*tag], &self.runs, self.len)?),
                ColumnBuilder::I64(_, values, nulls) => {
                    let values = std::mem::replace(values, Vec::with_capacity(fresh));
                    Arc::new(Int64Array::new(values.into(), nulls.finish()))
                }
                ColumnBuilder::F64(_, values, nulls) => {
                    let values = std::mem::replace(values, Vec::with_capacity(fresh));
                    Arc::new(Float64Array::new(values.into(), nulls.finish()))
                }
                ColumnBuilder::Parts(_, parts) => {
                    let parts = std::mem::take(parts);
                    let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                    concat(&arrays)?
                }
            });
        }
        // The row count stands apart from the columns because there may be none.
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&source.schema), columns, &options)?;
        self.runs.clear();
        self.len = 0;
        Ok(if batch.num_rows() > rows_max { batch.slice(0, rows_max) } else { batch })
    }
}

/// The tag of every row. All batches share the dictionary of the scan while it is not larger than a batch; beyond that
/// each batch gets the few values of its own series, because operators go over whole dictionaries.
fn tag_array(tag: &TagValues, runs: &[(usize, usize)], len: usize) -> Result<DictionaryArray<Int32Type>> {
    let mut keys = Vec::with_capacity(len);
    let mut valid = BooleanBufferBuilder::new(len);
    let is_shared = tag.values.len() <= len;
    let mut values: Vec<&str> = Vec::new();
    let mut key_of_index: HashMap<u32, i32> = HashMap::new();
    for &(series, rows) in runs {
        let index = tag.indices[series];
        let is_valid = index != TagValues::NULL;
        let key = match (is_valid, is_shared) {
            (false, _) => 0,
            (true, true) => index as i32,
            (true, false) => *key_of_index.entry(index).or_insert_with(|| {
                values.push(tag.values.value(index as usize));
                values.len() as i32 - 1
            }),
        };
        keys.resize(keys.len() + rows, key);
        valid.append_n(rows, is_valid);
    }
    let keys = Int32Array::new(keys.into(), Some(NullBuffer::new(valid.finish())));
    let values: ArrayRef =
        if is_shared { Arc::clone(&tag.values) as ArrayRef } else { Arc::new(StringArray::from_iter_values(values)) };
    Ok(DictionaryArray::try_new(keys, values)?)
}
