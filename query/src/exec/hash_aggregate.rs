//! Grouping by any expressions: a table of keys numbers the groups, states are kept per number.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, UInt32Type};

use super::batch_scan::{BATCH_ROWS, BatchScan};
use super::context::ExecContext;
use super::expr::evaluate;
use super::float_zero::without_negative_zero;
use super::key_table::KeyTable;
use super::project::filter_columns;
use super::source::{Source, Work};
use super::state_size::group_bytes;
use super::states::{GroupStates, Layout};
use super::summaries::RowOrigin;
use super::trace::Step;
use crate::error::{Error, Result};
use crate::memory::MemoryHolder;
use crate::plan::{Aggregation, Expr, SelectPlan};

/// Groups by key, numbered in order of first sight, with their states.
pub(crate) struct HashGroups<'a> {
    keys: &'a [Expr],
    layout: &'a Layout,
    /// Per key that is a tag column the values behind its codes: all batches of a scan share them, so the codes alone
    /// are the key. `None` for every other key, and before the first row.
    tag_values: Vec<Option<ArrayRef>>,
    /// `None` without keys.
    table: Option<KeyTable>,
    states: GroupStates,
    group_bytes: u64,
    memory: MemoryHolder,
}

/// Groups that are merged between two looks at the token.
const GROUPS_AT_ONCE: usize = 1 << 15;

/// Columns of the groups of a grouping: keys, then aggregates.
pub(crate) type GroupColumns = (Vec<ArrayRef>, usize);

/// Runs a grouping over the scan of a plan.
pub(crate) fn aggregate(
    plan: &SelectPlan,
    aggregation: &Aggregation,
    source: &Source,
    context: &ExecContext<'_>,
) -> Result<GroupColumns> {
    let layout = Layout::new(&aggregation.aggregates);
    let scan = BatchScan::new(plan, source)?;
    let partitions = source.partitions(context.threads(), Work::Values);
    let work = |series| {
        let mut groups = HashGroups::new(&aggregation.keys, &layout, context)?;
        scan.run(series, BATCH_ROWS, layout.needs_times(), context, |batch| {
            let mut columns = batch.columns;
            // Times and series pass through the filter as two more columns.
            let with_origin = batch.origin.is_some();
            if let Some(origin) = batch.origin {
                columns.push(Arc::new(Int64Array::from(origin.times)));
                columns.push(Arc::new(UInt32Array::from(origin.series)));
            }
            let (mut columns, rows) = filter_columns(columns, batch.rows, plan.filter.residual.as_ref())?;
            let series = if with_origin { columns.pop() } else { None };
            let times = if with_origin { columns.pop() } else { None };
            let origin = times.as_ref().zip(series.as_ref()).map(|(times, series)| RowOrigin {
                times: times.as_primitive::<Int64Type>().values(),
                series: series.as_primitive::<UInt32Type>().values(),
            });
            groups.add(&columns, rows, origin)?;
            context.check_groups(groups.len())?;
            Ok(ControlFlow::Continue(source.range))
        })?;
        Ok(groups)
    };
    let parts = context.timed(Step::Scan, || context.map(partitions, work))?;
    let mut parts = parts.into_iter();
    let Some(mut groups) = parts.next() else { return Err(Error::execution("a grouping has no part")) };
    context.timed(Step::Merge, || parts.try_for_each(|part| groups.merge(&part, context)))?;
    context.timed(Step::Finish, || groups.finish(context))
}

impl<'a> HashGroups<'a> {
    fn new(keys: &'a [Expr], layout: &'a Layout, context: &ExecContext<'_>) -> Result<Self> {
        let types: Vec<DataType> = keys.iter().map(encoded_type).collect();
        let table = if keys.is_empty() { None } else { Some(KeyTable::new(&types)?) };
        // Without keys there is one group, also of no rows.
        let states = GroupStates::new(layout, usize::from(keys.is_empty()));
        Ok(Self {
            keys,
            layout,
            tag_values: vec![None; keys.len()],
            table,
            states,
            group_bytes: group_bytes(layout),
            memory: context.memory.holder(),
        })
    }

    fn len(&self) -> usize {
        self.states.rows.len()
    }

    fn add(&mut self, columns: &[ArrayRef], rows: usize, origin: Option<RowOrigin<'_>>) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let mut keys = Vec::with_capacity(self.keys.len());
        for (key, values) in self.keys.iter().zip(&mut self.tag_values) {
            let array = evaluate(key, columns, rows)?.into_array(rows)?;
            keys.push(match array.as_dictionary_opt::<Int32Type>() {
                Some(tags) if is_tag(key) => {
                    *values = Some(Arc::clone(tags.values()));
                    Arc::new(tags.keys().clone())
                }
                _ => without_negative_zero(&to_plain(array)?),
            });
        }
        let arguments = self
            .layout
            .arguments
            .iter()
            .map(|argument| {
                let value = |expr| evaluate(expr, columns, rows)?.into_array(rows);
                Ok((value(&argument.expr)?, argument.second.as_ref().map(value).transpose()?))
            })
            .collect::<Result<Vec<_>>>()?;
        let groups = self.number(&keys, rows)?;
        self.states.add_rows(&arguments, &groups, origin)?;
        self.account()
    }

    /// Takes what the groups need by now.
    fn account(&mut self) -> Result<()> {
        let (groups, key_bytes) = self.table.as_ref().map_or((0, 0), |table| (table.len() as u64, table.bytes()));
        self.memory.set(key_bytes + groups * self.group_bytes + self.states.summary_bytes())
    }

    /// The group of every row.
    fn number(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let Some(table) = &mut self.table else { return Ok(vec![0; rows]) };
        let groups = table.number(keys, rows)?;
        self.make_room()?;
        Ok(groups)
    }

    /// Gives every group of the table a state.
    fn make_room(&mut self) -> Result<()> {
        self.account()?;
        if let Some(table) = &self.table {
            self.states.resize(table.len());
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self, context: &ExecContext<'_>) -> Result<()> {
        let Some(other_table) = &other.table else {
            self.states.merge(0, &other.states, 0);
            return self.account();
        };
        for (values, others) in self.tag_values.iter_mut().zip(&other.tag_values) {
            *values = values.take().or_else(|| others.clone());
        }
        let count = other_table.len();
        for start in (0..count).step_by(GROUPS_AT_ONCE) {
            context.cancellation.check()?;
            let part = start..(start + GROUPS_AT_ONCE).min(count);
            let Some(table) = &mut self.table else { break };
            let groups = table.number_groups(other_table, part.clone())?;
            self.make_room()?;
            for (other_group, group) in part.zip(groups) {
                self.states.merge(group as usize, &other.states, other_group);
            }
            context.check_groups(self.len())?;
        }
        self.account()
    }

    fn finish(self, context: &ExecContext<'_>) -> Result<GroupColumns> {
        let count = self.len();
        context.cancellation.check()?;
        let mut columns = self.table.as_ref().map_or_else(|| Ok(Vec::new()), KeyTable::columns)?;
        for ((column, key), values) in columns.iter_mut().zip(self.keys).zip(self.tag_values) {
            context.cancellation.check()?;
            if is_tag(key) {
                let values = values.unwrap_or_else(|| Arc::new(StringArray::new_null(0)));
                let codes = column.as_primitive::<Int32Type>().clone();
                *column = Arc::new(DictionaryArray::<Int32Type>::try_new(codes, values).map_err(Error::arrow)?);
            } else if *column.data_type() != key.data_type() {
                *column = cast(column, &key.data_type()).map_err(Error::arrow)?;
            }
        }
        let groups: Vec<u32> = (0..count as u32).collect();
        columns.extend(self.states.finish(self.layout, &groups));
        Ok((columns, count))
    }
}

/// Merges equal rows: a grouping by all columns without aggregates.
pub(crate) fn distinct(columns: &[ArrayRef], rows: usize, context: &ExecContext<'_>) -> Result<GroupColumns> {
    let keys: Vec<Expr> =
        columns.iter().enumerate().map(|(index, column)| Expr::Column(index, column.data_type().clone())).collect();
    let layout = Layout::new(&[]);
    let mut groups = HashGroups::new(&keys, &layout, context)?;
    for start in (0..rows).step_by(GROUPS_AT_ONCE) {
        context.cancellation.check()?;
        let len = GROUPS_AT_ONCE.min(rows - start);
        let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, len)).collect();
        groups.add(&part, len, None)?;
    }
    groups.finish(context)
}

/// Whether a key is a tag column as it comes from the scan.
fn is_tag(key: &Expr) -> bool {
    matches!(key, Expr::Column(_, DataType::Dictionary(..)))
}

/// The type that a key is encoded in.
fn encoded_type(key: &Expr) -> DataType {
    if is_tag(key) { DataType::Int32 } else { plain(&key.data_type()) }
}

/// A type without dictionaries.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => (**value).clone(),
        other => other.clone(),
    }
}

fn to_plain(array: ArrayRef) -> Result<ArrayRef> {
    let target = plain(array.data_type());
    if *array.data_type() == target { Ok(array) } else { cast(&array, &target).map_err(Error::arrow) }
}
