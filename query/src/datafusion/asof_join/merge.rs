//! The merge of an ASOF join: one pass over both sides, which arrive sorted by keys and time.
//!
//! Per row of the left side the right side is read up to the row that may be its nearest one; it is never read back. In
//! memory are a batch of the left side and the batches of the right side that the rows found so far are in, of which
//! there are at most [`SOURCES_MAX`]; beyond that the rows found are given out first. Rows with a NULL in a key or time
//! find nothing and are found by nothing. Of right rows at the same time, the last one is found looking back and the
//! first one looking ahead, in the order in which they arrive.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit, TimestampNanosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use futures::StreamExt;

use super::condition::Direction;
use super::exec::{AsofSpec, ORDER};
use super::node::AsofKind;

/// Batches of the right side that one batch of the result takes rows of.
const SOURCES_MAX: usize = 16;

/// A join under way.
pub(super) struct Merge {
    spec: Arc<AsofSpec>,
    schema: SchemaRef,
    converter: RowConverter,
    left: SendableRecordBatchStream,
    right: SendableRecordBatchStream,
    /// The batch of the left side that is worked on, and its next row.
    left_batch: Option<(Arc<SortedBatch>, usize)>,
    /// The batch of the right side that is read, and its next row; `None` before the first one and behind the last.
    right_batch: Option<(Arc<SortedBatch>, usize)>,
    is_right_done: bool,
    /// The last row of the right side that was passed.
    passed: Option<(Arc<SortedBatch>, usize)>,
}

/// A batch with its keys and times.
struct SortedBatch {
    batch: RecordBatch,
    /// Keys as bytes that compare like them; `None` for a join without keys.
    keys: Option<Rows>,
    times: Int64Array,
    /// Rows of which no key and no time is NULL.
    valid: Option<NullBuffer>,
}

impl SortedBatch {
    fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.is_valid(row))
    }

    fn compare_keys(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (&self.keys, &other.keys) {
            (Some(keys), Some(others)) => keys.row(row).cmp(&others.row(other_row)),
            _ => Ordering::Equal,
        }
    }
}

/// What a row of the left side comes to with the rows of the right side at hand.
enum Step {
    Found(Option<(Arc<SortedBatch>, usize)>),
    NeedsRight,
}

impl Merge {
    pub(super) fn new(
        left: SendableRecordBatchStream,
        right: SendableRecordBatchStream,
        spec: Arc<AsofSpec>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let left_schema = left.schema();
        let fields =
            spec.keys.iter().map(|(key, _)| Ok(SortField::new_with_options(key.data_type(&left_schema)?, ORDER)));
        let converter = RowConverter::new(fields.collect::<Result<_>>()?)?;
        Ok(Self {
            spec,
            schema,
            converter,
            left,
            right,
            left_batch: None,
            right_batch: None,
            is_right_done: false,
            passed: None,
        })
    }

    /// The next rows of the result; `None` at the end.
    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some((left, first)) = self.left_batch.take() else {
                let Some(batch) = self.left.next().await else { return Ok(None) };
                let sorted =
                    self.sorted(batch?, |spec| (spec.keys.iter().map(|(left, _)| left).collect(), &spec.times.0))?;
                self.left_batch = Some((Arc::new(sorted), 0));
                continue;
            };
            let mut found = FoundRows::new(first);
            let mut row = first;
            while row < left.batch.num_rows() && found.sources.len() < SOURCES_MAX {
                match self.step(&left, row) {
                    Step::Found(right) => {
                        found.push(right, row, self.spec.kind);
                        row += 1;
                    }
                    Step::NeedsRight => self.read_right().await?,
                }
            }
            let batch = found.into_batch(&left.batch, row, self.spec.kind, &self.right.schema(), &self.schema)?;
            if row < left.batch.num_rows() {
                self.left_batch = Some((left, row));
            }
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }

    async fn read_right(&mut self) -> Result<()> {
        match self.right.next().await {
            None => {
                self.right_batch = None;
                self.is_right_done = true;
            }
            Some(batch) => {
                let sorted =
                    self.sorted(batch?, |spec| (spec.keys.iter().map(|(_, right)| right).collect(), &spec.times.1))?;
                self.right_batch = Some((Arc::new(sorted), 0));
            }
        }
        Ok(())
    }

    fn sorted(
        &self,
        batch: RecordBatch,
        side: impl FnOnce(&AsofSpec) -> (Vec<&Arc<dyn PhysicalExpr>>, &Arc<dyn PhysicalExpr>),
    ) -> Result<SortedBatch> {
        let rows = batch.num_rows();
        let (keys, time) = side(&self.spec);
        let keys = keys.into_iter().map(|key| key.evaluate(&batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let times = integers(&time.evaluate(&batch)?.into_array(rows)?)?;
        let mut valid = times.nulls().cloned();
        for key in &keys {
            valid = NullBuffer::union(valid.as_ref(), key.logical_nulls().as_ref());
        }
        let keys = if keys.is_empty() { None } else { Some(self.converter.convert_columns(&keys)?) };
        Ok(SortedBatch { batch, keys, times, valid })
    }

    /// Reads the right side as far as a row of the left side needs it.
    fn step(&mut self, left: &Arc<SortedBatch>, row: usize) -> Step {
        if !left.is_valid(row) {
            return Step::Found(None);
        }
        let time = left.times.value(row);
        let distance = self.spec.distance;
        loop {
            let Some((right, next)) = &mut self.right_batch else {
                if self.is_right_done {
                    break;
                }
                return Step::NeedsRight;
            };
            if *next == right.batch.num_rows() {
                // Rows of it may be found yet; what is passed keeps them.
                self.right_batch = None;
                continue;
            }
            let is_before = match right.compare_keys(*next, left, row) {
                Ordering::Less => true,
                Ordering::Greater => false,
                Ordering::Equal if !right.is_valid(*next) => false,
                Ordering::Equal => {
                    let apart = i128::from(time) - i128::from(right.times.value(*next));
                    match self.spec.direction {
                        Direction::Backward => distance.min.is_none_or(|min| apart >= i128::from(min)),
                        Direction::Forward => distance.max.is_some_and(|max| apart > i128::from(max)),
                    }
                }
            };
            if !is_before {
                break;
            }
            self.passed = Some((Arc::clone(right), *next));
            *next += 1;
        }
        let candidate = match self.spec.direction {
            Direction::Backward => &self.passed,
            Direction::Forward => &self.right_batch,
        };
        let found = candidate.as_ref().filter(|(right, candidate)| {
            if !right.is_valid(*candidate) || right.compare_keys(*candidate, left, row) != Ordering::Equal {
                return false;
            }
            let apart = i128::from(time) - i128::from(right.times.value(*candidate));
            distance.min.is_none_or(|min| apart >= i128::from(min))
                && distance.max.is_none_or(|max| apart <= i128::from(max))
        });
        Step::Found(found.cloned())
    }
}

/// The rows of one batch of the result.
struct FoundRows {
    /// First row of the left side.
    first: usize,
    /// Rows of the left side that stay.
    left_rows: Vec<u32>,
    /// Per row that stays its source, 0 for none, and the row in it.
    right_rows: Vec<(usize, usize)>,
    sources: Vec<Arc<SortedBatch>>,
}

impl FoundRows {
    fn new(first: usize) -> Self {
        Self { first, left_rows: Vec::new(), right_rows: Vec::new(), sources: Vec::new() }
    }

    fn push(&mut self, right: Option<(Arc<SortedBatch>, usize)>, left_row: usize, kind: AsofKind) {
        match right {
            None if kind == AsofKind::Inner => return,
            None => self.right_rows.push((0, 0)),
            Some((source, row)) => {
                // The right side is never read back, so a known source is the last one.
                if !self.sources.last().is_some_and(|last| Arc::ptr_eq(last, &source)) {
                    self.sources.push(source);
                }
                self.right_rows.push((self.sources.len(), row));
            }
        }
        self.left_rows.push(left_row as u32);
    }

    fn into_batch(
        self,
        left: &RecordBatch,
        end: usize,
        kind: AsofKind,
        right_schema: &SchemaRef,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let rows = self.left_rows.len();
        let mut columns: Vec<ArrayRef> = if kind == AsofKind::Left || rows == end - self.first {
            left.slice(self.first, end - self.first).columns().to_vec()
        } else {
            let kept = UInt32Array::from(self.left_rows);
            left.columns().iter().map(|column| take(column, &kept, None)).collect::<Result<_, _>>()?
        };
        for (index, field) in right_schema.fields().iter().enumerate() {
            let nothing = new_null_array(field.data_type(), 1);
            let mut sources: Vec<&dyn Array> = vec![&*nothing];
            sources.extend(self.sources.iter().map(|source| &**source.batch.column(index)));
            columns.push(interleave(&sources, &self.right_rows)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

/// Times or integers as integers.
fn integers(array: &ArrayRef) -> Result<Int64Array> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Ok(array.as_primitive::<TimestampNanosecondType>().reinterpret_cast::<Int64Type>())
        }
        DataType::Int64 => Ok(array.as_primitive::<Int64Type>().clone()),
        other => exec_err!("an ASOF JOIN compares times or integers, not {other}"),
    }
}
