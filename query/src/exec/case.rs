//! `CASE`: a branch that can fail is evaluated only on the rows that take it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::kernels::boolean::{and, and_not};
use arrow::compute::{filter, prep_null_mask_filter, take};

use super::expr::{ColumnValue, evaluate};
use crate::error::{Error, Result};
use crate::plan::Expr;

/// Evaluates a CASE over `columns`.
pub(super) fn evaluate_case(
    branches: &[(Expr, Expr)],
    otherwise: &Expr,
    columns: &[ArrayRef],
    rows: usize,
) -> Result<ColumnValue> {
    let mut undecided = BooleanArray::from(vec![true; rows]);
    let mut chosen = Vec::with_capacity(branches.len());
    for (condition, value) in branches {
        if undecided.true_count() == 0 {
            break;
        }
        let holds = evaluate_where(condition, &undecided, columns, rows)?;
        let holds = holds.as_boolean();
        let holds = if holds.null_count() == 0 { holds.clone() } else { prep_null_mask_filter(holds) };
        let taken = and(&holds, &undecided).map_err(Error::arrow)?;
        undecided = and_not(&undecided, &taken).map_err(Error::arrow)?;
        chosen.push((taken, value));
    }
    let mut result =
        if undecided.true_count() == 0 { None } else { Some(evaluate_where(otherwise, &undecided, columns, rows)?) };
    // The masks are disjoint, so the branches can be laid over each other in any order.
    for (taken, value) in chosen.into_iter().rev() {
        if taken.true_count() == 0 && result.is_some() {
            continue;
        }
        let value = evaluate_where(value, &taken, columns, rows)?;
        result = Some(match result {
            None => value,
            Some(below) => arrow::compute::kernels::zip::zip(&taken, &value, &below).map_err(Error::arrow)?,
        });
    }
    match result {
        Some(result) => Ok(ColumnValue::Array(result)),
        None => evaluate(otherwise, columns, rows),
    }
}

/// Evaluates `expr` for the rows of `mask`; the other rows hold anything.
fn evaluate_where(expr: &Expr, mask: &BooleanArray, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let selected = mask.true_count();
    if selected == rows || !expr.can_fail() {
        return evaluate(expr, columns, rows)?.into_array(rows);
    }
    let columns = columns.iter().map(|column| filter(column, mask)).collect::<Result<Vec<_>, _>>();
    let compact = evaluate(expr, &columns.map_err(Error::arrow)?, selected)?.into_array(selected)?;
    let mut next = 0;
    let positions: UInt32Array = mask
        .values()
        .iter()
        .map(|is_selected| {
            is_selected.then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    take(&compact, &(Arc::new(positions) as ArrayRef), None).map_err(Error::arrow)
}
