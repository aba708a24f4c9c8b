//! What aggregates remember per group: one state per argument and group, whatever the number of functions over it.

mod ends;
mod layout;
mod number;
mod output;
mod rollup;
mod rows;
mod value;

pub(super) use layout::{Layout, Output, StateKind};
pub(super) use number::{NO_TIMES, Needs, NumberKind, NumberStates};
#[cfg(feature = "datafusion")]
pub(crate) use output::bound;
pub(super) use output::{ColumnStates, GroupStates};
