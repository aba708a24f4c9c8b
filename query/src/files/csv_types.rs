//! The type of a CSV column from the texts of its cells.
//!
//! Invariant: a cell is counted as a type exactly when arrow's CSV reader can parse it as that type, because both use
//! the same parsers; so a file that was sampled whole always reads.

use arrow::compute::kernels::cast_utils::{Parser, string_to_timestamp_nanos};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, UInt64Type};

/// What the cells of a column looked like so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ColumnEvidence {
    seen: u8,
}

const BOOL: u8 = 1;
const NEGATIVE: u8 = 1 << 1;
const INTEGER: u8 = 1 << 2;
const BEYOND_I64: u8 = 1 << 3;
const FLOAT: u8 = 1 << 4;
const TIME: u8 = 1 << 5;
const TEXT: u8 = 1 << 6;
const NUMBER: u8 = NEGATIVE | INTEGER | BEYOND_I64 | FLOAT;

impl ColumnEvidence {
    /// Counts one cell that is not NULL.
    pub(super) fn add(&mut self, cell: &str) {
        if self.seen & TEXT == 0 {
            self.seen |= classify(cell);
        }
    }

    /// Whether some cell has a type of its own.
    pub(super) fn is_typed(self) -> bool {
        self.seen & !TEXT != 0
    }

    /// The narrowest type that holds every cell.
    pub(super) fn data_type(self) -> DataType {
        match self.seen {
            BOOL => DataType::Boolean,
            TIME => DataType::Timestamp(TimeUnit::Nanosecond, None),
            seen if seen == 0 || seen & !NUMBER != 0 => DataType::Utf8,
            seen if seen & FLOAT != 0 => DataType::Float64,
            seen if seen & BEYOND_I64 == 0 => DataType::Int64,
            seen if seen & NEGATIVE == 0 => DataType::UInt64,
            _ => DataType::Float64,
        }
    }
}

fn classify(cell: &str) -> u8 {
    if cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false") {
        return BOOL;
    }
    if let Some(value) = Int64Type::parse(cell) {
        return if value < 0 { NEGATIVE } else { INTEGER };
    }
    if UInt64Type::parse(cell).is_some() {
        return BEYOND_I64;
    }
    if Float64Type::parse(cell).is_some() {
        return FLOAT;
    }
    if string_to_timestamp_nanos(cell).is_ok() { TIME } else { TEXT }
}
