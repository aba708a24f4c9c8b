//! Fills the gaps of groups by time: gives every group a row per bucket, and values to what `locf` and `interpolate` ask.
//!
//! Groups are those of the other keys, in the order in which they come; a query without other keys has one, also without
//! rows. Buckets outside the bounds that have rows stay. A bucket without rows has NULL in every aggregate; `locf` and
//! `interpolate` treat a NULL alike wherever it comes from. The rows are counted before any is made.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type, TimestampNanosecondType};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;

use super::context::ExecContext;
use super::expr::evaluate;
use crate::error::{Error, Result};
use crate::plan::{Fill, FillMethod, GapFill};

/// The filled rows: keys, aggregates, and a column per `locf` or `interpolate`.
pub(crate) fn fill_gaps(
    gapfill: &GapFill,
    keys: usize,
    columns: Vec<ArrayRef>,
    rows: usize,
    context: &ExecContext<'_>,
) -> Result<(Vec<ArrayRef>, usize)> {
    let others: Vec<ArrayRef> =
        (0..keys).filter(|key| *key != gapfill.key).map(|key| Arc::clone(&columns[key])).collect();
    let groups = context.long_step(rows, move || number_groups(&others, rows))?;
    let buckets = gapfill.ordinals.map_or(0, |(first, last)| i128::from(last) - i128::from(first) + 1).max(0);
    let total = buckets.saturating_mul(groups.len() as i128).saturating_add(rows as i128);
    // Without gaps to fill, the rows are groups that were counted before.
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    context.check_groups(total)?;
    let gapfill = gapfill.clone();
    context.long_step(total, move || fill(&gapfill, keys, &columns, &groups, total))
}

fn fill(
    gapfill: &GapFill,
    keys: usize,
    columns: &[ArrayRef],
    groups: &[Vec<u32>],
    total: usize,
) -> Result<(Vec<ArrayRef>, usize)> {
    let starts_ns = columns[gapfill.key].as_primitive::<TimestampNanosecondType>().values();
    let plan = FilledRows::new(gapfill, groups, starts_ns, total);
    let mut filled = Vec::with_capacity(columns.len() + gapfill.fills.len());
    for (index, column) in columns.iter().enumerate() {
        filled.push(if index == gapfill.key {
            Arc::new(TimestampNanosecondArray::from(plan.starts_ns.clone()))
        } else if index < keys {
            take(column, &plan.group_rows, None).map_err(Error::arrow)?
        } else {
            take(column, &plan.rows, None).map_err(Error::arrow)?
        });
    }
    let rows = plan.starts_ns.len();
    for fill in &gapfill.fills {
        let values = evaluate(&fill.value, &filled[..columns.len()], rows)?.into_array(rows)?;
        filled.push(match fill.method {
            FillMethod::Locf => carry_forward(&values, fill, &plan)?,
            FillMethod::Interpolate => interpolate(&values, fill, &plan),
        });
    }
    Ok((filled, rows))
}

/// Per group its rows, groups in order of first sight.
fn number_groups(keys: &[ArrayRef], rows: usize) -> Result<Vec<Vec<u32>>> {
    if keys.is_empty() {
        return Ok(vec![(0..rows as u32).collect()]);
    }
    let keys = keys
        .iter()
        .map(|key| match key.data_type() {
            DataType::Dictionary(_, value) => cast(key, value).map_err(Error::arrow),
            _ => Ok(Arc::clone(key)),
        })
        .collect::<Result<Vec<_>>>()?;
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let encoded = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&keys));
    let encoded = encoded.map_err(Error::arrow)?;
    let mut index: HashMap<&[u8], usize> = HashMap::new();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for row in 0..rows {
        let group = *index.entry(encoded.row(row).data()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(row as u32);
    }
    Ok(groups)
}

/// Where the filled rows come from, group by group in order of time.
struct FilledRows {
    /// The row of the grouping that a row is; NULL in a gap.
    rows: UInt32Array,
    /// A row of the grouping with the other keys of the group.
    group_rows: UInt32Array,
    starts_ns: Vec<i64>,
    /// The rows of every group.
    groups: Vec<Range<usize>>,
}

impl FilledRows {
    /// At most `total` rows.
    fn new(gapfill: &GapFill, groups: &[Vec<u32>], starts_ns: &[i64], total: usize) -> Self {
        let mut rows: Vec<Option<u32>> = Vec::with_capacity(total);
        let mut group_rows: Vec<u32> = Vec::with_capacity(total);
        let mut filled_ns: Vec<i64> = Vec::with_capacity(total);
        let mut ranges = Vec::with_capacity(groups.len());
        for group in groups {
            let from = rows.len();
            let mut known: Vec<(i64, u32)> =
                group.iter().map(|row| (gapfill.bucket.ordinal(starts_ns[*row as usize]), *row)).collect();
            known.sort_unstable();
            let mut known = known.into_iter().peekable();
            let mut push = |start_ns: i64, row: Option<u32>| {
                rows.push(row);
                group_rows.push(group.first().copied().unwrap_or(0));
                filled_ns.push(start_ns);
            };
            if let Some((first, last)) = gapfill.ordinals {
                while let Some((_, row)) = known.next_if(|(ordinal, _)| *ordinal < first) {
                    push(starts_ns[row as usize], Some(row));
                }
                for ordinal in first..=last {
                    match known.next_if(|(known, _)| *known == ordinal) {
                        Some((_, row)) => push(starts_ns[row as usize], Some(row)),
                        // Clocks that go forward leave out what they do not read.
                        None if gapfill.bucket.last(ordinal) < gapfill.bucket.start(ordinal) => {}
                        None => push(gapfill.bucket.start(ordinal), None),
                    }
                }
            }
            known.for_each(|(_, row)| push(starts_ns[row as usize], Some(row)));
            ranges.push(from..rows.len());
        }
        Self {
            rows: UInt32Array::from(rows),
            group_rows: UInt32Array::from(group_rows),
            starts_ns: filled_ns,
            groups: ranges,
        }
    }

    /// Whether the starts of two rows of a group lie within the limit of a fill.
    fn is_within(&self, fill: &Fill, from: usize, to: usize) -> bool {
        // The difference of two times may exceed i64, but not u64.
        let apart_ns = self.starts_ns[to].wrapping_sub(self.starts_ns[from]).cast_unsigned();
        fill.limit_ns.is_none_or(|limit_ns| apart_ns <= limit_ns.cast_unsigned())
    }
}

fn carry_forward(values: &ArrayRef, fill: &Fill, plan: &FilledRows) -> Result<ArrayRef> {
    if values.null_count() == 0 {
        return Ok(Arc::clone(values));
    }
    let mut sources: Vec<Option<u32>> = Vec::with_capacity(values.len());
    for group in &plan.groups {
        let mut last: Option<usize> = None;
        for row in group.clone() {
            if values.is_valid(row) {
                last = Some(row);
            }
            sources.push(last.filter(|last| plan.is_within(fill, *last, row)).map(|last| last as u32));
        }
    }
    take(values, &UInt32Array::from(sources), None).map_err(Error::arrow)
}

fn interpolate(values: &ArrayRef, fill: &Fill, plan: &FilledRows) -> ArrayRef {
    let values = values.as_primitive::<Float64Type>();
    if values.null_count() == 0 {
        return Arc::new(values.clone());
    }
    let mut filled: Vec<Option<f64>> = values.iter().collect();
    for group in &plan.groups {
        let mut before: Option<usize> = None;
        for row in group.clone().filter(|row| values.is_valid(*row)) {
            if let Some(before) = before.filter(|before| before + 1 < row && plan.is_within(fill, *before, row)) {
                let (from, to) = (values.value(before), values.value(row));
                let apart =
                    |row: usize| plan.starts_ns[row].wrapping_sub(plan.starts_ns[before]).cast_unsigned() as f64;
                for (gap, value) in filled.iter_mut().enumerate().take(row).skip(before + 1) {
                    let share = apart(gap) / apart(row);
                    *value = Some(from * (1.0 - share) + to * share);
                }
            }
            before = Some(row);
        }
    }
    Arc::new(Float64Array::from(filled))
}
