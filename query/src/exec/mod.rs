//! Runs plans over the scan interface of the storage engine.
//!
//! [`run_select`] chooses the way ([`stream_select`] the same one, without gathering rows that come as they are read):
//! groupings by tags and a time bucket work on decoded vectors series by series (`series_aggregate`), all others gather
//! columns (`batch_scan`) and group them by hash (`hash_aggregate`) or project them (`project`). Large scans are split by
//! series over the threads of [`Workers`]; small ones stay on the caller's.

mod batch_scan;
mod bucket_limit;
mod bucket_runs;
mod case;
mod context;
mod discard;
mod expr;
mod field_filter;
mod float_zero;
mod gapfill;
mod hash_aggregate;
mod hashed_groups;
mod key_table;
mod latest;
mod project;
mod result;
mod row_builder;
mod row_mask;
mod row_window;
mod run;
mod scalar_function;
mod series_aggregate;
mod series_ends;
mod series_groups;
mod series_rollups;
mod series_sink;
mod sort;
mod source;
mod state_size;
mod states;
mod summaries;
mod tag_groups;
mod time_order;
mod trace;

pub(crate) use context::{ExecContext, Workers};
pub(crate) use expr::evaluate_constant;
pub(crate) use run::{run_select, stream_select};
pub(crate) use series_aggregate::{groups_by_series, rollup_sections};
pub(crate) use source::tag_filter;
#[cfg(feature = "datafusion")]
pub(crate) use states::bound;
#[cfg(feature = "datafusion")]
pub(crate) use summaries::{
    FoldKind, Sample, SeriesFold, SummaryKind, SummaryStates, decode, encode, float_of_key, key_of_float_value,
};
pub(crate) use trace::{Step, Trace};
