//! Turns the rows of series into columns: the general way, for projections and for groupings by anything.
//!
//! Rows that the field predicates drop are never copied. Tags are dictionaries over the distinct values of the whole
//! set, so a tag costs one key per row (`row_builder`).

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray, UInt32Array};
use arrow::compute::take;
use lynxstore_storage::encoding::kernel;
use lynxstore_storage::snapshot::{Block, LastRows, Piece};
use lynxstore_storage::types::TimeRange;

use super::context::ExecContext;
use super::expr::evaluate_mask;
use super::field_filter::{FieldFilter, Selection};
use super::row_builder::{Picked, RowBuilder, ScanColumn};
use super::row_mask::RowMask;
use super::source::{ColumnPlace, Source, place_of, value_source};
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

impl<'a> BatchScan<'a> {
    /// Prepares the columns of a plan.
    pub(crate) fn new(plan: &SelectPlan, source: &'a Source) -> Result<Self> {
        let filter = FieldFilter::new(&plan.filter.fields, source)?;
        let table = source.set.table().schema();
        let columns = plan.columns.iter().map(|&column| {
            Ok(match place_of(column, table.tags.len()) {
                ColumnPlace::Time => ScanColumn::Time,
                ColumnPlace::Tag(tag) => ScanColumn::tag(source.set.tag_column(tag))?,
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
        let mut builder = RowBuilder::new(&self.columns, with_origin.then(Vec::new));
        let mut positions = Vec::new();
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
                if !matches!(selection, Selection::Nothing) {
                    block.prefetch();
                }
                match &selection {
                    Selection::Nothing => {
                        if let Some(before) = before {
                            counted.add_block(&scan, before, true);
                        }
                        continue;
                    }
                    Selection::All => builder.append(index, &mut block, Picked::All)?,
                    Selection::Some(mask) => {
                        positions_of(mask, &mut positions);
                        builder.append(index, &mut block, Picked::Mask(mask, &positions))?;
                    }
                }
                if let Some(before) = before {
                    counted.add_block(&scan, before, false);
                }
                if builder.rows() >= batch_rows {
                    let batch = builder.finish()?;
                    builder.reserve(batch.rows);
                    match sink(batch)? {
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
        if builder.rows() > 0 {
            let _last = sink(builder.finish()?)?;
        }
        Ok(())
    }

    /// The rows of a block of a series that pass the field predicates and are of `range`, with their times; `None` when
    /// there are none.
    pub(crate) fn block_rows(&self, series: usize, block: &mut Block<'_>, range: TimeRange) -> Result<Option<Batch>> {
        let selection = self.filter.select(block)?;
        let mut positions = match &selection {
            Selection::Nothing => return Ok(None),
            Selection::All => None,
            Selection::Some(mask) => {
                let mut positions = Vec::new();
                positions_of(mask, &mut positions);
                Some(positions)
            }
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
        if positions.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let mut builder = RowBuilder::new(&self.columns, Some(Vec::new()));
        builder.append(series, block, positions.as_deref().map_or(Picked::All, Picked::Positions))?;
        builder.finish().map(Some)
    }

    /// The last row of every series that has one that passes the field predicates and `residual`, with its time and
    /// series. Where nothing is asked of the row, it is looked up; else each series is read from its end, up to that row.
    pub(crate) fn last_rows(
        &self,
        series: Range<usize>,
        residual: Option<&Expr>,
        context: &ExecContext<'_>,
    ) -> Result<Vec<Batch>> {
        let (set, fields, range) = (&self.source.set, &self.source.fields, self.source.range);
        let mut batches = Vec::with_capacity(2);
        if residual.is_none() && self.filter.is_empty() {
            let mut found = set.last_rows(series, fields, range, value_source(context));
            if !found.is_empty() {
                batches.push(self.found_rows(&mut found)?);
            }
            if !found.others().is_empty() {
                batches.push(self.scanned_last_rows(found.others().iter().copied(), None, context)?);
            }
        } else {
            batches.push(self.scanned_last_rows(series, residual, context)?);
        }
        Ok(batches)
    }

    /// The columns of rows that were found without a scan.
    fn found_rows(&self, found: &mut LastRows<'_>) -> Result<Batch> {
        let series = UInt32Array::from(found.series().to_vec());
        let columns = self.columns.iter().map(|column| -> Result<ArrayRef> {
            Ok(match column {
                ScanColumn::Time => Arc::new(TimestampNanosecondArray::from(found.times().to_vec())),
                ScanColumn::Tag(tag) => take(tag, &series, None).map_err(Error::arrow)?,
                ScanColumn::Field { position, .. } => found.values(*position)?,
            })
        });
        let columns = columns.collect::<Result<_>>()?;
        let origin = Origin { times: found.times().to_vec(), series: found.series().to_vec() };
        Ok(Batch { columns, origin: Some(origin), rows: found.len() })
    }

    fn scanned_last_rows(
        &self,
        series: impl Iterator<Item = usize>,
        residual: Option<&Expr>,
        context: &ExecContext<'_>,
    ) -> Result<Batch> {
        let mut scan = self.source.set.scan(&self.source.fields, self.source.range);
        let mut builder = RowBuilder::new(&self.columns, Some(Vec::new()));
        for index in series {
            context.cancellation.check()?;
            scan.open(index)?;
            while let Some(piece) = scan.next_piece_back()? {
                context.cancellation.check()?;
                let Piece::Block(mut block) = piece else {
                    return Err(Error::execution("a scan of rows serves something else"));
                };
                let Some(row) = self.last_row(index, &mut block, residual)? else { continue };
                builder.append(index, &mut block, Picked::Positions(&[row]))?;
                break;
            }
        }
        if builder.rows() == 0 {
            // Columns of no parts have no type of their own; nobody reads them.
            return Ok(Batch { columns: Vec::new(), origin: Some(Origin::default()), rows: 0 });
        }
        builder.finish()
    }

    /// The last row of a block that passes.
    fn last_row(&self, series: usize, block: &mut Block<'_>, residual: Option<&Expr>) -> Result<Option<u32>> {
        let selection = self.filter.select(block)?;
        let positions = match &selection {
            Selection::Nothing => return Ok(None),
            Selection::All => None,
            Selection::Some(mask) => {
                let mut positions = Vec::new();
                positions_of(mask, &mut positions);
                Some(positions)
            }
        };
        let last = positions.as_ref().map_or(block.len(), Vec::len).checked_sub(1);
        let last = match residual {
            None => last,
            Some(condition) => {
                let mut builder = RowBuilder::new(&self.columns, None);
                builder.append(series, block, positions.as_deref().map_or(Picked::All, Picked::Positions))?;
                let batch = builder.finish()?;
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

/// Puts the rows of a mask into `positions`.
fn positions_of(mask: &RowMask, positions: &mut Vec<u32>) {
    positions.clear();
    kernel::mask_positions(mask.words(), 0, positions);
}
