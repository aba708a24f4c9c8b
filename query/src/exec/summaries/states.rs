//! The summaries of one argument, one per group.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, ListBuilder, PrimitiveBuilder,
    StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use lynxstore_storage::snapshot::BlockTimes;

use super::cardinality::{hash_bytes, hash_key};
use super::extreme_row::{KeyColumn, add_row};
use super::key::{KeyKind, floats_of, key_of_float_value, keys_of};
use super::multiset::{between, continuous_rank, discrete_rank};
use super::series_fold::Sample;
use super::summary::{Summary, SummaryKind};
use super::texts::TextColumn;
use crate::error::{Error, Result};
use crate::exec::row_mask::RowMask;
use crate::plan::SummaryFunction;
use crate::scalar::Scalar;

/// Time and series of the rows of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowOrigin<'a> {
    pub(crate) times: &'a [i64],
    pub(crate) series: &'a [u32],
}

/// The values of a numeric field in a block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BlockNumbers<'a> {
    Integers(&'a [i64]),
    Floats(&'a [f64]),
}

/// The summaries of one argument, one per group.
#[derive(Debug)]
pub(crate) struct SummaryStates {
    kind: SummaryKind,
    data_type: DataType,
    keys: KeyKind,
    states: Vec<Summary>,
    heap_bytes: usize,
    scratch: Vec<i64>,
}

impl SummaryStates {
    /// Summaries of no group over a first argument of type `data_type`.
    pub(crate) fn new(kind: SummaryKind, data_type: DataType) -> Self {
        // Codes of tags are integers; texts have no keys.
        let keys = KeyKind::of(&data_type).unwrap_or(KeyKind::I64);
        Self { kind, data_type, keys, states: Vec::new(), heap_bytes: 0, scratch: Vec::new() }
    }

    /// Makes room for `groups` groups.
    pub(crate) fn resize(&mut self, groups: usize) {
        self.states.resize_with(groups, || Summary::new(self.kind, &self.data_type));
    }

    /// Bytes that the summaries take.
    pub(crate) fn bytes(&self) -> usize {
        self.heap_bytes + self.states.capacity() * size_of::<Summary>()
    }

    /// The type of the first argument.
    pub(crate) fn number_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether the keys of values are all that matters.
    pub(crate) fn takes_keys(&self) -> bool {
        matches!(
            self.kind,
            SummaryKind::Distinct | SummaryKind::Cardinality | SummaryKind::Values | SummaryKind::Sketch
        )
    }

    /// Whether the times of rows matter.
    pub(crate) fn needs_times(&self) -> bool {
        self.kind.is_by_series()
    }

    /// The number behind a key of the first argument.
    pub(crate) fn to_f64(&self, key: i64) -> f64 {
        self.keys.to_f64(key)
    }

    /// Changes a summary and keeps account of its bytes.
    fn change<R>(&mut self, group: usize, change: impl FnOnce(&mut Summary) -> R) -> R {
        let state = &mut self.states[group];
        let before = state.heap_bytes();
        let result = change(state);
        self.heap_bytes = self.heap_bytes + state.heap_bytes() - before;
        result
    }

    /// Adds a group of other summaries of the same kind.
    pub(crate) fn merge(&mut self, group: usize, other: &Self, other_group: usize) {
        self.merge_summary(group, &other.states[other_group]);
    }

    /// Adds another summary of the same kind.
    pub(crate) fn merge_summary(&mut self, group: usize, other: &Summary) {
        let (kind, keys) = (self.kind, self.keys);
        self.change(group, |state| state.merge(other, kind, keys));
    }

    /// Adds keys to a group.
    pub(crate) fn add_keys(&mut self, group: usize, added: &[i64]) {
        let kind = self.keys;
        self.change(group, |state| match state {
            Summary::Distinct(keys) => keys.add_all(added),
            Summary::Values(keys) => keys.add_all(added),
            Summary::Sketch(sketch) => sketch.add_all(added, kind),
            Summary::Cardinality(cardinality) => {
                let mut previous = None;
                for key in added.iter().copied().filter(|key| previous.replace(*key) != Some(*key)) {
                    cardinality.add(hash_key(key));
                }
            }
            _ => {}
        });
    }

    /// Adds one key `count` times to a group.
    pub(crate) fn add_key(&mut self, group: usize, key: i64, count: u64) {
        let kind = self.keys;
        self.change(group, |state| match state {
            Summary::Distinct(keys) => keys.add_all(&[key]),
            Summary::Values(keys) => keys.add(key, count),
            Summary::Sketch(sketch) => sketch.add(key, count, kind),
            Summary::Cardinality(cardinality) => cardinality.add(hash_key(key)),
            _ => {}
        });
    }

    /// Adds the rows of a block that `mask` keeps, to one group.
    pub(crate) fn add_block(
        &mut self,
        group: usize,
        values: BlockNumbers<'_>,
        mask: Option<&RowMask>,
        rows: Range<usize>,
        (times, series): (BlockTimes<'_>, u32),
    ) {
        match (self.kind, values, mask) {
            (SummaryKind::Histogram(_) | SummaryKind::Fold { .. }, _, None) => {
                rows.for_each(|row| self.add_number(group, values, row, times, series));
            }
            (SummaryKind::Histogram(_) | SummaryKind::Fold { .. }, _, Some(mask)) => {
                mask.iter(rows).for_each(|row| self.add_number(group, values, row, times, series));
            }
            (_, BlockNumbers::Integers(values), None) => self.add_keys(group, &values[rows]),
            _ => {
                let mut keys = std::mem::take(&mut self.scratch);
                keys.clear();
                let key = |row: usize| match values {
                    BlockNumbers::Integers(values) => values[row],
                    BlockNumbers::Floats(values) => key_of_float_value(values[row]),
                };
                match mask {
                    None => keys.extend(rows.map(key)),
                    Some(mask) => keys.extend(mask.iter(rows).map(key)),
                }
                self.add_keys(group, &keys);
                self.scratch = keys;
            }
        }
    }

    fn add_number(&mut self, group: usize, values: BlockNumbers<'_>, row: usize, times: BlockTimes<'_>, series: u32) {
        let value = match values {
            BlockNumbers::Integers(values) => self.keys.to_f64(values[row]),
            BlockNumbers::Floats(values) => values[row],
        };
        self.add_float(group, value, || (times.get(row), series));
    }

    /// Adds a number for which its own value and place in time matter, not its key.
    fn add_float(&mut self, group: usize, value: f64, origin: impl FnOnce() -> (i64, u32)) {
        match (&mut self.states[group], self.kind) {
            (Summary::Histogram(counts), SummaryKind::Histogram(shape)) => {
                if counts.is_empty() {
                    *counts = vec![0; shape.len()];
                    self.heap_bytes += shape.len() * size_of::<u64>();
                }
                counts[shape.place(value)] += 1;
            }
            (Summary::Fold(fold), SummaryKind::Fold { kind, .. }) => {
                if fold.is_none() {
                    self.heap_bytes += size_of::<super::SeriesFold>();
                }
                let (time_ns, series) = origin();
                fold.get_or_insert_default().push(series, Sample { time_ns, value }, kind);
            }
            _ => {}
        }
    }

    /// Adds a stretch of rows of a counter of which only the ends and the increase between them are known.
    pub(crate) fn add_stretch(&mut self, group: usize, series: u32, ends: (Sample, Sample), increase: f64) {
        self.change(group, |state| {
            if let Summary::Fold(fold) = state {
                fold.get_or_insert_default().push_stretch(series, ends.0, ends.1, increase);
            }
        });
    }

    /// Adds a row per group id.
    ///
    /// # Errors
    /// `Execution` when the columns are not of the types of the plan.
    pub(crate) fn add_rows(
        &mut self,
        array: &ArrayRef,
        second: Option<&ArrayRef>,
        groups: &[u32],
        origin: Option<RowOrigin<'_>>,
    ) -> Result<()> {
        match self.kind {
            SummaryKind::Pairs => self.add_pairs(array, required(second)?, groups),
            SummaryKind::Extreme(kind) => {
                let second = required(second)?;
                let keys = KeyColumn::new(second)?;
                for (row, &group) in groups.iter().enumerate() {
                    self.change(group as usize, |state| match state {
                        Summary::Extreme(best) => add_row(kind, best, (array, second, &keys), row),
                        _ => Ok(()),
                    })?;
                }
                Ok(())
            }
            SummaryKind::Histogram(_) | SummaryKind::Fold { .. } => {
                let values = floats_of(array)?;
                for (row, &group) in groups.iter().enumerate().filter(|(row, _)| array.is_valid(*row)) {
                    self.add_float(group as usize, values[row], || {
                        origin.map_or((0, 0), |origin| (origin.times[row], origin.series[row]))
                    });
                }
                Ok(())
            }
            _ => self.add_values(array, groups),
        }
    }

    fn add_pairs(&mut self, xs: &ArrayRef, ys: &ArrayRef, groups: &[u32]) -> Result<()> {
        let (x_values, y_values) = (floats_of(xs)?, floats_of(ys)?);
        for (row, &group) in groups.iter().enumerate() {
            if let Summary::Pairs(pairs) = &mut self.states[group as usize]
                && xs.is_valid(row)
                && ys.is_valid(row)
            {
                pairs.add(x_values[row], y_values[row]);
            }
        }
        Ok(())
    }

    fn add_values(&mut self, array: &ArrayRef, groups: &[u32]) -> Result<()> {
        let valid = |row: usize| array.is_valid(row);
        if let Some(texts) = TextColumn::new(array) {
            for (row, &group) in groups.iter().enumerate().filter(|(row, _)| valid(*row)) {
                self.change(group as usize, |state| match state {
                    Summary::Texts(known) => known.add(texts.get(row), 1),
                    Summary::Cardinality(cardinality) => cardinality.add(hash_bytes(texts.get(row))),
                    _ => {}
                });
            }
            return Ok(());
        }
        let keys = match array.as_dictionary_opt::<Int32Type>() {
            // Batches of a scan share the values of a tag, so that its codes tell them apart.
            Some(tags) => tags.keys().values().iter().map(|code| i64::from(*code)).collect(),
            None => keys_of(array)?,
        };
        // Rows of a group often stand together, and are then added together.
        let mut run = std::mem::take(&mut self.scratch);
        run.clear();
        let mut start = 0;
        while start < groups.len() {
            let group = groups[start];
            let len = groups[start..].iter().take_while(|next| **next == group).count();
            run.extend((start..start + len).filter(|row| valid(*row)).map(|row| keys[row]));
            match run.as_slice() {
                [] => {}
                [key] => self.add_key(group as usize, *key, 1),
                keys => self.add_keys(group as usize, keys),
            }
            run.clear();
            start += len;
        }
        self.scratch = run;
        Ok(())
    }

    /// The results of a function, one per entry of `groups`.
    pub(crate) fn finish(&self, function: SummaryFunction, groups: &[u32]) -> ArrayRef {
        let states = groups.iter().map(|&group| &self.states[group as usize]);
        match function {
            SummaryFunction::CountDistinct | SummaryFunction::ApproxDistinct => {
                Arc::new(states.map(|state| Some(distinct_count(state) as i64)).collect::<Int64Array>())
            }
            SummaryFunction::PercentileDisc(_) | SummaryFunction::Mode => self.finish_values(function, states),
            SummaryFunction::MinBy | SummaryFunction::MaxBy => {
                let values = states.map(|state| match state {
                    Summary::Extreme(Some(row)) => Some(&row.value),
                    _ => None,
                });
                scalars_to_array(values, &self.data_type)
            }
            SummaryFunction::Histogram(_) => {
                let mut lists = ListBuilder::new(PrimitiveBuilder::<Int64Type>::new());
                for state in states {
                    match state {
                        Summary::Histogram(counts) if !counts.is_empty() => {
                            lists.append_value(counts.iter().map(|count| Some(*count as i64)));
                        }
                        _ => lists.append_null(),
                    }
                }
                Arc::new(lists.finish())
            }
            _ => Arc::new(states.map(|state| self.float(function, state)).collect::<Float64Array>()),
        }
    }

    fn finish_values<'s>(&self, function: SummaryFunction, states: impl Iterator<Item = &'s Summary>) -> ArrayRef {
        let key = |state: &Summary| match (state, function) {
            (Summary::Values(keys), SummaryFunction::PercentileDisc(fraction)) if keys.len() > 0 => {
                let rank = discrete_rank(fraction.get(), keys.len());
                Some(keys.at(rank, rank).0)
            }
            (Summary::Values(keys), SummaryFunction::Mode) => keys.mode(),
            _ => None,
        };
        let text = |state: &'s Summary| match state {
            Summary::Texts(texts) => texts.mode(),
            _ => None,
        };
        match self.data_type {
            DataType::Utf8 => Arc::new(
                states.map(|state| text(state).and_then(|text| str::from_utf8(text).ok())).collect::<StringArray>(),
            ),
            DataType::Binary => Arc::new(states.map(text).collect::<BinaryArray>()),
            _ => self.keys.to_array(states.map(key)),
        }
    }

    fn float(&self, function: SummaryFunction, state: &Summary) -> Option<f64> {
        match (state, function) {
            (Summary::Values(keys), SummaryFunction::PercentileCont(fraction)) if keys.len() > 0 => {
                let (low, high, share) = continuous_rank(fraction.get(), keys.len());
                let (low, high) = keys.at(low, high);
                Some(between(self.keys.to_f64(low), self.keys.to_f64(high), share))
            }
            (Summary::Sketch(sketch), SummaryFunction::ApproxPercentile(fraction)) => {
                sketch.percentile(fraction.get(), self.keys)
            }
            (Summary::Pairs(pairs), SummaryFunction::Corr) => pairs.corr(),
            (Summary::Pairs(pairs), SummaryFunction::CovarSamp) => pairs.covar_samp(),
            (Summary::Pairs(pairs), SummaryFunction::CovarPop) => pairs.covar_pop(),
            (Summary::Fold(Some(fold)), function) => match self.kind {
                SummaryKind::Fold { kind, .. } => fold.totals(kind).finish(function),
                _ => None,
            },
            _ => None,
        }
    }

    /// The summary of a group.
    #[cfg(feature = "datafusion")]
    pub(crate) fn get(&self, group: usize) -> &Summary {
        &self.states[group]
    }
}

fn required(second: Option<&ArrayRef>) -> Result<&ArrayRef> {
    second.ok_or_else(|| Error::execution("an aggregate of two values got one"))
}

fn distinct_count(state: &Summary) -> u64 {
    match state {
        Summary::Distinct(keys) => keys.len(),
        Summary::Texts(texts) => texts.len(),
        Summary::Cardinality(cardinality) => cardinality.estimate(),
        _ => 0,
    }
}

fn scalars_to_array<'a>(values: impl Iterator<Item = Option<&'a Scalar>>, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Utf8 => Arc::new(
            values
                .map(|value| if let Some(Scalar::Text(text)) = value { Some(&**text) } else { None })
                .collect::<StringArray>(),
        ),
        DataType::Binary => Arc::new(
            values
                .map(|value| if let Some(Scalar::Binary(bytes)) = value { Some(&**bytes) } else { None })
                .collect::<BinaryArray>(),
        ),
        DataType::Boolean => Arc::new(
            values
                .map(|value| if let Some(Scalar::Bool(value)) = value { Some(*value) } else { None })
                .collect::<BooleanArray>(),
        ),
        DataType::UInt64 => Arc::new(
            values
                .map(|value| if let Some(Scalar::U64(value)) = value { Some(*value) } else { None })
                .collect::<UInt64Array>(),
        ),
        DataType::Float64 => Arc::new(
            values
                .map(|value| if let Some(Scalar::F64(value)) = value { Some(*value) } else { None })
                .collect::<Float64Array>(),
        ),
        DataType::Timestamp(..) => Arc::new(
            values
                .map(|value| if let Some(Scalar::Time(value)) = value { Some(*value) } else { None })
                .collect::<TimestampNanosecondArray>(),
        ),
        _ => Arc::new(
            values
                .map(|value| if let Some(Scalar::I64(value)) = value { Some(*value) } else { None })
                .collect::<Int64Array>(),
        ),
    }
}
