//! Prints results: one format per caller's taste, data only, nothing that a program would have to skip.

mod cell;
mod format;
mod quantity;
mod structured;
mod table;
mod text;

pub(super) use format::{Format, Rows};
pub(super) use quantity::{bytes, count, duration, plural};
pub(super) use table::TableStyle;
