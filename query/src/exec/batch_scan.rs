//! Turns the rows of series into columns: the general way, for projections and for groupings by anything.
//!
//! Rows that the field predicates drop are never copied. Tags are dictionaries over the distinct values of the whole
//! set, so a tag costs one key per row.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, NullBufferBuilder, StringArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::concat;
use arrow::datatypes::Int32Type;
use lynxstore_storage::encoding::Validity;
use lynxstore_storage::snapshot::{Block, BlockTimes, Piece, TagValues};
use lynxstore_storage::types::{FieldType, TimeRange};

use super::context::ExecContext;
use super::expr::evaluate_mask;
use super::field_filter::{FieldFilter, Selection};
use super::row_mask::RowMask;
use super::source::{ColumnPlace, Source, place_of, take_rows};
use super::trace::ScanTrace;
use crate::error::{Error, Result};
use crate::plan::{Expr, SelectPlan};

/// Rows of a batch: enough to pay for a call of a kernel, few enough to stay in the second-level cache.
pub(crate) const BATCH_ROWS: usize = 16 * 1024;

/// How the columns of a plan are gathered.
pub(crate) struct BatchScan<'a> {
    source: &'a Source,
    filter: FieldFilter,
    columns: Vec<ScanColumn>,
}

enum ScanColumn {
    Time,
    Tag(TagValues),
    Field { position: usize, field_type: FieldType },
}

impl<'a> BatchScan<'a> {
    /// Prepares the columns of a plan.
    pub(crate) fn new(plan: &SelectPlan, source: &'a Source) -> Result<Self> {
        let filter = FieldFilter::new(&plan.filter.fields, source)?;
        let table = source.set.table().schema();
        let columns = plan.columns.iter().map(|&column| {
            Ok(match place_of(column, table.tags.len()) {
                ColumnPlace::Time => ScanColumn::Time,
                ColumnPlace::Tag(tag) => ScanColumn::Tag(source.set.tag_column(tag)),
                ColumnPlace::Field(field) => ScanColumn::Field {
                    position: source.field_position(field)?,
                    field_type: table.fields[field].field_type,
                },
            })
        });
        Ok(Self { source, filter, columns: columns.collect::<Result<_>>()? })
    }

    /// Hands the rows of `series` to `sink` in batches of about `batch_rows` rows: columns, the origin of every
    /// row when `with_origin`, and the number of rows. The sink can stop the scan and, through the range that it returns, narrow the times
    /// that are still of interest.
    pub(crate) fn run(
        &self,
        series: Range<usize>,
        batch_rows: usize,
        with_origin: bool,
        context: &ExecContext<'_>,
        mut sink: impl FnMut(Batch) -> Result<ControlFlow<(), TimeRange>>,
    ) -> Result<()> {
        let mut range = self.source.range;
        let mut wanted_range = range;
        let mut scan = self.source.set.scan(&self.source.fields, range);
        let mut builders: Vec<ColumnBuilder> = self.columns.iter().map(ColumnBuilder::new).collect();
        let mut origin = with_origin.then(Origin::default);
        let mut rows = 0;
        let mut counted = ScanTrace::default();
        for index in series {
            context.cancellation.check()?;
            // Only between series: a scan with another range would begin the series anew.
            if wanted_range != range {
                range = wanted_range;
                if let Some(trace) = context.trace {
                    trace.add_scan(std::mem::take(&mut counted), &scan);
                }
                scan = self.source.set.scan(&self.source.fields, range);
            }
            scan.open(index)?;
            loop {
                context.cancellation.check()?;
                let before = context.trace.map(|_| scan.counters());
                let Some(mut block) = scan.next_block()? else { break };
                let selection = self.filter.select(&mut block)?;
                let positions = match &selection {
                    Selection::Nothing => {
                        if let Some(before) = before {
                            counted.add_block(&scan, before, true);
                        }
                        continue;
                    }
                    Selection::All => None,
                    Selection::Some(mask) => Some(positions_of(mask)),
                };
                for (builder, column) in builders.iter_mut().zip(&self.columns) {
                    builder.append(column, index, &mut block, positions.as_deref())?;
                }
                if let Some(origin) = &mut origin {
                    let len = block.len();
                    append_times(&mut origin.times, block.times()?, len, positions.as_deref());
                    origin.series.resize(origin.times.len(), index as u32);
                }
                rows += positions.map_or(block.len(), |positions| positions.len());
                if let Some(before) = before {
                    counted.add_block(&scan, before, false);
                }
                if rows >= batch_rows {
                    match sink(finish(&mut builders, &self.columns, &mut origin, &mut rows)?)? {
                        ControlFlow::Break(()) => {
                            if let Some(trace) = context.trace {
                                trace.add_scan(counted, &scan);
                            }
                            return Ok(());
                        }
                        ControlFlow::Continue(narrowed) => wanted_range = narrowed,
                    }
                }
            }
        }
        if let Some(trace) = context.trace {
            trace.add_scan(counted, &scan);
        }
        if rows > 0 {
            let _last = sink(finish(&mut builders, &self.columns, &mut origin, &mut rows)?)?;
        }
        Ok(())
    }

    /// The rows of a block of a series that pass the field predicates and are of `range`, with their times; `None` when
    /// there are none.
    pub(crate) fn block_rows(&self, series: usize, block: &mut Block<'_>, range: TimeRange) -> Result<Option<Batch>> {
        let mut positions = match self.filter.select(block)? {
            Selection::Nothing => return Ok(None),
            Selection::All => None,
            Selection::Some(mask) => Some(positions_of(&mask)),
        };
        if !range.covers(block.time_bounds()?) {
            let len = block.len() as u32;
            let times = block.times()?;
            let is_wanted = |row: &u32| range.contains(times.get(*row as usize));
            positions = Some(match positions {
                None => (0..len).filter(is_wanted).collect(),
                Some(positions) => positions.into_iter().filter(is_wanted).collect(),
            });
        }
        let mut rows = positions.as_ref().map_or(block.len(), Vec::len);
        if rows == 0 {
            return Ok(None);
        }
        let mut builders: Vec<ColumnBuilder> = self.columns.iter().map(ColumnBuilder::new).collect();
        for (builder, column) in builders.iter_mut().zip(&self.columns) {
            builder.append(column, series, block, positions.as_deref())?;
        }
        let mut times = Vec::with_capacity(rows);
        let len = block.len();
        append_times(&mut times, block.times()?, len, positions.as_deref());
        let origin = Origin { series: vec![series as u32; rows], times };
        finish(&mut builders, &self.columns, &mut Some(origin), &mut rows).map(Some)
    }

    /// The last row of every series that has one that passes the field predicates and `residual`, with its time and
    /// series. Each series is read from its end, up to that row.
    pub(crate) fn last_rows(
        &self,
        series: Range<usize>,
        residual: Option<&Expr>,
        context: &ExecContext<'_>,
    ) -> Result<Batch> {
        let mut scan = self.source.set.scan(&self.source.fields, self.source.range);
        let mut builders: Vec<ColumnBuilder> = self.columns.iter().map(ColumnBuilder::new).collect();
        let mut origin = Origin::default();
        for index in series {
            context.cancellation.check()?;
            scan.open(index)?;
            while let Some(piece) = scan.next_piece_back()? {
                context.cancellation.check()?;
                let Piece::Block(mut block) = piece else {
                    return Err(Error::execution("a scan of rows serves something else"));
                };
                let Some(row) = self.last_row(index, &mut block, residual)? else { continue };
                for (builder, column) in builders.iter_mut().zip(&self.columns) {
                    builder.append(column, index, &mut block, Some(&[row]))?;
                }
                origin.times.push(block.times()?.get(row as usize));
                origin.series.push(index as u32);
                break;
            }
        }
        let mut rows = origin.times.len();
        let mut origin = Some(origin);
        if rows == 0 {
            // Columns of no parts have no type of their own; nobody reads them.
            return Ok(Batch { columns: Vec::new(), origin, rows });
        }
        finish(&mut builders, &self.columns, &mut origin, &mut rows)
    }

    /// The last row of a block that passes.
    fn last_row(&self, series: usize, block: &mut Block<'_>, residual: Option<&Expr>) -> Result<Option<u32>> {
        let positions = match self.filter.select(block)? {
            Selection::Nothing => return Ok(None),
            Selection::All => None,
            Selection::Some(mask) => Some(positions_of(&mask)),
        };
        let last = positions.as_ref().map_or(block.len(), Vec::len).checked_sub(1);
        let last = match residual {
            None => last,
            Some(condition) => {
                let mut builders: Vec<ColumnBuilder> = self.columns.iter().map(ColumnBuilder::new).collect();
                for (builder, column) in builders.iter_mut().zip(&self.columns) {
                    builder.append(column, series, block, positions.as_deref())?;
                }
                let mut rows = last.map_or(0, |last| last + 1);
                let batch = finish(&mut builders, &self.columns, &mut None, &mut rows)?;
                let mask = evaluate_mask(condition, &batch.columns, batch.rows)?;
                (0..batch.rows).rev().find(|row| mask.value(*row))
            }
        };
        Ok(last.map(|last| positions.map_or(last as u32, |positions| positions[last])))
    }
}

/// Rows of some series.
pub(crate) struct Batch {
    /// The columns of the plan.
    pub(crate) columns: Vec<ArrayRef>,
    /// Where the rows come from, when asked for.
    pub(crate) origin: Option<Origin>,
    /// Number of rows.
    pub(crate) rows: usize,
}

/// Time and series of every row of a batch.
#[derive(Default)]
pub(crate) struct Origin {
    /// Times.
    pub(crate) times: Vec<i64>,
    /// Positions of the series in their set; rows of one stand together.
    pub(crate) series: Vec<u32>,
}

fn finish(
    builders: &mut [ColumnBuilder],
    columns: &[ScanColumn],
    origin: &mut Option<Origin>,
    rows: &mut usize,
) -> Result<Batch> {
    let count = std::mem::take(rows);
    let arrays = builders.iter_mut().zip(columns).map(|(builder, column)| builder.finish(column, count));
    let columns = arrays.collect::<Result<_>>()?;
    Ok(Batch { columns, origin: origin.as_mut().map(std::mem::take), rows: count })
}

fn positions_of(mask: &RowMask) -> Vec<u32> {
    let mut positions = Vec::new();
    lynxstore_storage::encoding::kernel::mask_positions(mask.words(), 0, &mut positions);
    positions
}

fn append_times(out: &mut Vec<i64>, times: BlockTimes<'_>, len: usize, positions: Option<&[u32]>) {
    match (times, positions) {
        (BlockTimes::Slice(times), None) => out.extend_from_slice(times),
        (BlockTimes::Regular { start_ns, step_ns }, None) => {
            out.extend((0..len as i64).map(|row| start_ns.wrapping_add(step_ns.wrapping_mul(row))));
        }
        (times, Some(positions)) => out.extend(positions.iter().map(|row| times.get(*row as usize))),
    }
}

/// A column under construction.
enum ColumnBuilder {
    Time(Vec<i64>),
    Tag(Vec<i32>, NullBufferBuilder),
    Integer(Vec<i64>, NullBufferBuilder),
    Float(Vec<f64>, NullBufferBuilder),
    Arrays(Vec<ArrayRef>),
}

impl ColumnBuilder {
    fn new(column: &ScanColumn) -> Self {
        match column {
            ScanColumn::Time => Self::Time(Vec::new()),
            ScanColumn::Tag(_) => Self::Tag(Vec::new(), NullBufferBuilder::new(BATCH_ROWS)),
            ScanColumn::Field { field_type: FieldType::I64 | FieldType::U64, .. } => {
                Self::Integer(Vec::new(), NullBufferBuilder::new(BATCH_ROWS))
            }
            ScanColumn::Field { field_type: FieldType::F64, .. } => {
                Self::Float(Vec::new(), NullBufferBuilder::new(BATCH_ROWS))
            }
            ScanColumn::Field { .. } => Self::Arrays(Vec::new()),
        }
    }

    fn append(
        &mut self,
        column: &ScanColumn,
        series: usize,
        block: &mut Block<'_>,
        positions: Option<&[u32]>,
    ) -> Result<()> {
        let len = block.len();
        let added = positions.map_or(len, <[u32]>::len);
        match (self, column) {
            (Self::Time(out), _) => append_times(out, block.times()?, len, positions),
            (Self::Tag(keys, nulls), ScanColumn::Tag(values)) => {
                let code = values.indices[series];
                if code == TagValues::NULL {
                    keys.resize(keys.len() + added, 0);
                    nulls.append_n_nulls(added);
                } else {
                    keys.resize(keys.len() + added, code as i32);
                    nulls.append_n_non_nulls(added);
                }
            }
            (Self::Integer(out, nulls), ScanColumn::Field { position, field_type }) => {
                append_validity(nulls, &block.validity(*position)?, len, positions);
                let start = out.len();
                gather(out, block.i64_values(*position)?, positions);
                if *field_type == FieldType::U64 {
                    out[start..].iter_mut().for_each(|value| *value ^= i64::MIN);
                }
            }
            (Self::Float(out, nulls), ScanColumn::Field { position, .. }) => {
                append_validity(nulls, &block.validity(*position)?, len, positions);
                gather(out, block.f64_values(*position)?, positions);
            }
            (Self::Arrays(parts), ScanColumn::Field { position, .. }) => {
                let array = block.array(*position)?;
                parts.push(match positions {
                    None => array,
                    Some(positions) => take_rows(&array, &UInt32Array::from(positions.to_vec()))?,
                });
            }
            _ => return Err(Error::execution("a column changed its kind during the scan")),
        }
        Ok(())
    }

    fn finish(&mut self, column: &ScanColumn, rows: usize) -> Result<ArrayRef> {
        Ok(match self {
            Self::Time(times) => Arc::new(TimestampNanosecondArray::from(std::mem::take(times))),
            Self::Tag(keys, nulls) => {
                let keys = Int32Array::new(std::mem::take(keys).into(), nulls.finish());
                let values: ArrayRef = match column {
                    ScanColumn::Tag(values) => values.values.clone(),
                    _ => Arc::new(StringArray::new_null(0)),
                };
                Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).map_err(Error::arrow)?)
            }
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
                        debug_assert_eq!(array.len(), rows, "every block adds its rows to every column");
                        array
                    }
                }
            }
        })
    }
}

fn gather<T: Copy>(out: &mut Vec<T>, values: &[T], positions: Option<&[u32]>) {
    match positions {
        None => out.extend_from_slice(values),
        Some(positions) => out.extend(positions.iter().map(|row| values[*row as usize])),
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
