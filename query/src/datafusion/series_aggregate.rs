//! Increases of counters and averages over time for DataFusion, which hands on rows in any order.
//!
//! Rows are collected per series and sorted by time at the end; then they go through the fold of the vectorized executor.
//! Series are told apart by the columns behind the time; without any, a group is one series.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;

use super::error::to_datafusion;
use super::summary_aggregate::damaged_state;
use crate::exec::{FoldKind, Sample, SeriesFold};
use crate::plan::SummaryFunction;

/// The rows of the series of one group.
#[derive(Debug)]
pub(super) struct SeriesAccumulator {
    kind: FoldKind,
    function: SummaryFunction,
    /// Position of the time among the arguments.
    time: usize,
    series: BTreeMap<Box<[u8]>, Vec<Sample>>,
    bytes: usize,
}

impl SeriesAccumulator {
    pub(super) fn new(kind: FoldKind, function: SummaryFunction, time: usize) -> Self {
        Self { kind, function, time, series: BTreeMap::new(), bytes: 0 }
    }

    fn add(&mut self, key: &[u8], samples: impl Iterator<Item = Sample>) {
        let known = match self.series.get_mut(key) {
            Some(known) => known,
            None => {
                self.bytes += key.len() + size_of::<(Box<[u8]>, Vec<Sample>)>();
                self.series.entry(key.into()).or_default()
            }
        };
        let before = known.capacity();
        known.extend(samples);
        self.bytes += (known.capacity() - before) * size_of::<Sample>();
    }
}

fn floats(array: &ArrayRef) -> Result<Vec<f64>> {
    Ok(match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().values().iter().map(|value| *value as f64).collect(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().values().iter().map(|value| *value as f64).collect(),
        DataType::Float64 => array.as_primitive::<Float64Type>().values().to_vec(),
        other => return exec_err!("a counter of type {other} is no number"),
    })
}

impl Accumulator for SeriesAccumulator {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let values = floats(&columns[0])?;
        let times = columns[self.time].as_primitive::<TimestampNanosecondType>();
        let keys = &columns[self.time + 1..];
        let mut key = Vec::new();
        for row in (0..values.len()).filter(|row| columns[0].is_valid(*row) && times.is_valid(*row)) {
            key.clear();
            for column in keys {
                if column.is_valid(row) {
                    let text = column.as_string::<i32>().value(row);
                    key.push(1);
                    key.extend_from_slice(&(text.len() as u64).to_le_bytes());
                    key.extend_from_slice(text.as_bytes());
                } else {
                    key.push(0);
                }
            }
            let sample = Sample { time_ns: times.value(row), value: values[row] };
            self.add(&key, std::iter::once(sample));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for mut bytes in states[0].as_binary::<i64>().iter().flatten() {
            while !bytes.is_empty() {
                let (key, samples, rest) = split_series(bytes).ok_or_else(|| to_datafusion(damaged_state()))?;
                let samples = samples.as_chunks::<16>().0.iter().map(|sample| {
                    let (time, value) = sample.as_chunks::<8>().0.split_at(1);
                    Sample { time_ns: i64::from_le_bytes(time[0]), value: f64::from_le_bytes(value[0]) }
                });
                self.add(key, samples);
                bytes = rest;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut fold = SeriesFold::default();
        for (number, samples) in self.series.values_mut().enumerate() {
            samples.sort_unstable_by_key(|sample| sample.time_ns);
            samples.iter().for_each(|sample| fold.push(number as u32, *sample, self.kind));
        }
        Ok(ScalarValue::Float64(fold.totals(self.kind).finish(self.function)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut bytes = Vec::new();
        for (key, samples) in &self.series {
            bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&(samples.len() as u64).to_le_bytes());
            for sample in samples {
                bytes.extend_from_slice(&sample.time_ns.to_le_bytes());
                bytes.extend_from_slice(&sample.value.to_le_bytes());
            }
        }
        Ok(vec![ScalarValue::LargeBinary(Some(bytes))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}

/// Key, samples and what follows; `None` when the bytes are cut off.
fn split_series(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let number = |bytes: &[u8; 8]| usize::try_from(u64::from_le_bytes(*bytes)).ok();
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    let (key, rest) = rest.split_at_checked(number(len)?)?;
    let (count, rest) = rest.split_first_chunk::<8>()?;
    let (samples, rest) = rest.split_at_checked(number(count)?.checked_mul(16)?)?;
    Some((key, samples, rest))
}
