//! Comparing two answers to one query.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::query::Query;

/// A value of a result.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Cell {
    /// Whether both are the same. Floats may differ in the last digits, since the order of additions differs.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => {
                a.to_bits() == b.to_bits()
                    || (a.is_nan() && b.is_nan())
                    || ((*a != 0.0 || *b != 0.0) && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + 1e-9)
            }
            _ => self == other,
        }
    }

    /// An order for lining up rows; floats after all others, by their leading digits.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Self::Null) => Ordering::Greater,
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => rounded(*a).total_cmp(&rounded(*b)),
            _ => Ordering::Equal,
        }
    }
}

fn rounded(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { f64::from(value as f32) }
}

type Row = Vec<Cell>;

/// What a way to run a query gave.
pub(super) struct Answer {
    schema: SchemaRef,
    rows: Vec<Row>,
}

impl Answer {
    pub(super) fn new(schema: SchemaRef, batches: &[RecordBatch]) -> Self {
        let mut rows = Vec::new();
        for batch in batches {
            let columns: Vec<Vec<Cell>> = batch.columns().iter().map(cells).collect();
            rows.extend(
                (0..batch.num_rows()).map(|row| columns.iter().map(|cells| cells[row].clone()).collect::<Row>()),
            );
        }
        Self { schema, rows }
    }

    /// What is wrong with this answer to a query, given another one; `all` is the other one without LIMIT.
    pub(super) fn differs(&self, other: &Self, query: &Query, all: Option<&Self>) -> Option<String> {
        for (ours, theirs) in self.schema.fields().iter().zip(other.schema.fields()) {
            let is_text = |data_type: &DataType| {
                matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(..))
            };
            let (a, b) = (ours.data_type(), theirs.data_type());
            if a != b && !(is_text(a) && is_text(b)) {
                return Some(format!("'{}' is {a} or {b}", ours.name()));
            }
        }
        if self.rows.len() != other.rows.len() {
            return Some(format!("{} rows or {}", self.rows.len(), other.rows.len()));
        }
        for (row, (ours, theirs)) in self.rows.iter().zip(&other.rows).enumerate() {
            // Floats that differ in their last digits are ties in one answer alone: keys behind them say nothing.
            let floats = query.order.iter().position(|key| matches!(ours[key.item], Cell::Float(_)));
            let mut keys = query.order.iter().take(floats.map_or(usize::MAX, |key| key + 1));
            if !keys.all(|key| ours[key.item].agrees(&theirs[key.item])) {
                return Some(format!("row {row} of the order is {ours:?} or {theirs:?}"));
            }
        }
        if query.limit.is_none() && query.offset == 0 || query.is_totally_ordered() {
            return first_unmatched(&self.rows, &other.rows).map(|row| format!("only one answer has {row:?}"));
        }
        // Any rows will do that are rows of the whole answer.
        first_unmatched(&self.rows, &all?.rows).map(|row| format!("{row:?} is no row of the whole answer"))
    }
}

fn cells(array: &ArrayRef) -> Vec<Cell> {
    let nulls = array.logical_nulls();
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let cell = |value: &dyn Fn(usize) -> Cell| -> Vec<Cell> {
        (0..array.len()).map(|row| if is_null(row) { Cell::Null } else { value(row) }).collect()
    };
    match array.data_type() {
        DataType::Float64 => cell(&|row| Cell::Float(array.as_primitive::<Float64Type>().value(row))),
        DataType::Int64 => cell(&|row| Cell::Integer(array.as_primitive::<Int64Type>().value(row))),
        DataType::Timestamp(..) => {
            let times = cast(array, &DataType::Int64).unwrap();
            cell(&|row| Cell::Integer(times.as_primitive::<Int64Type>().value(row)))
        }
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
            cell(&|row| Cell::Text(formatter.value(row).to_string()))
        }
    }
}

/// A row of `part` that has no partner in `whole`.
fn first_unmatched(part: &[Row], whole: &[Row]) -> Option<Row> {
    let agree = |a: &Row, b: &Row| a.iter().zip(b).all(|(a, b)| a.agrees(b));
    let sorted = |rows: &[Row]| {
        let mut rows: Vec<Row> = rows.to_vec();
        rows.sort_by(|a, b| {
            // Floats stand aside at first: that one is NULL counts, not which it is.
            let aside = |cell: &Cell| if let Cell::Float(_) = cell { Cell::Text(String::new()) } else { cell.clone() };
            let exact = |row: &Row| row.iter().map(aside).collect::<Row>();
            let compare =
                |a: &Row, b: &Row| a.iter().zip(b).map(|(a, b)| a.order(b)).find(|order| *order != Ordering::Equal);
            compare(&exact(a), &exact(b)).or_else(|| compare(a, b)).unwrap_or(Ordering::Equal)
        });
        rows
    };
    let (part, mut whole) = (sorted(part), sorted(whole));
    if part.len() == whole.len() && part.iter().zip(&whole).all(|(a, b)| agree(a, b)) {
        return None;
    }
    // Floats at the edge of rounding may stand in another order.
    for row in part {
        match whole.iter().position(|other| agree(&row, other)) {
            Some(position) => drop(whole.remove(position)),
            None => return Some(row),
        }
    }
    None
}
