//! `first` and `last` over many groups at once.
//!
//! Per batch the winning row of each group is found by comparing rows in place; a value is copied out once per group
//! and batch at most, whatever the number of rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampNanosecondArray, new_empty_array};
use arrow::compute::{and, is_not_null, not, nullif};
use arrow::datatypes::{DataType, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::first_last::{Candidates, End};

/// No row of the batch belongs to the group.
const NO_ROW: u32 = u32::MAX;

/// The winners of all groups.
#[derive(Debug)]
pub(super) struct FirstLastGroups {
    end: End,
    data_type: DataType,
    /// `None` while no row of the group counted.
    times: Vec<Option<i64>>,
    values: Vec<ScalarValue>,
    value_bytes: usize,
    /// Per group the winning row of the current batch; [`NO_ROW`] between batches.
    rows: Vec<u32>,
}

impl FirstLastGroups {
    pub(super) fn new(end: End, data_type: DataType) -> Self {
        Self { end, data_type, times: Vec::new(), values: Vec::new(), value_bytes: 0, rows: Vec::new() }
    }

    fn update(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        let null = ScalarValue::try_from(&self.data_type)?;
        self.times.resize(group_count, None);
        self.values.resize(group_count, null);
        self.rows.resize(group_count, NO_ROW);
        let candidates = Candidates::new(columns)?;
        let mut touched = Vec::new();
        for (row, &group) in groups.iter().enumerate() {
            let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if !passes || !candidates.counts(row) {
                continue;
            }
            let best = &mut self.rows[group];
            if *best == NO_ROW {
                touched.push(group);
                *best = row as u32;
            } else if self.end.prefers(candidates.compare(row, *best as usize)) {
                *best = row as u32;
            }
        }
        for group in touched {
            let row = std::mem::replace(&mut self.rows[group], NO_ROW) as usize;
            let time_ns = candidates.times[row];
            // Most batches bring nothing better; their values are not copied.
            if self.times[group].is_some_and(|best| self.end.prefers(best.cmp(&time_ns))) {
                continue;
            }
            let value = candidates.value(row)?;
            if self.times[group].is_none_or(|best| self.end.wins((time_ns, &value), (best, &self.values[group]))) {
                self.value_bytes += value.size();
                self.value_bytes = self.value_bytes.saturating_sub(self.values[group].size());
                self.times[group] = Some(time_ns);
                self.values[group] = value;
            }
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<(ArrayRef, TimestampNanosecondArray)> {
        let times = emit_to.take_needed(&mut self.times);
        let values = emit_to.take_needed(&mut self.values);
        self.rows.truncate(self.times.len());
        let bytes: usize = values.iter().map(ScalarValue::size).sum();
        self.value_bytes = self.value_bytes.saturating_sub(bytes);
        let array =
            if values.is_empty() { new_empty_array(&self.data_type) } else { ScalarValue::iter_to_array(values)? };
        Ok((array, TimestampNanosecondArray::from(times)))
    }
}

impl GroupsAccumulator for FirstLastGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.update(values, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.update(states, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.emit(emit_to)?.0)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, times) = self.emit(emit_to)?;
        Ok(vec![values, Arc::new(times)])
    }

    fn convert_to_state(&self, columns: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(filter) = opt_filter else { return Ok(columns.to_vec()) };
        // A row that the filter drops becomes one without a time, which never counts.
        let passes = and(filter, &is_not_null(filter)?)?;
        let times = columns[1].as_primitive::<TimestampNanosecondType>();
        let times = nullif(times, &not(&passes)?)?;
        Ok(vec![Arc::clone(&columns[0]), times])
    }

    fn size(&self) -> usize {
        self.times.capacity() * size_of::<Option<i64>>()
            + self.values.capacity() * size_of::<ScalarValue>()
            + self.value_bytes
            + self.rows.capacity() * size_of::<u32>()
    }
}
