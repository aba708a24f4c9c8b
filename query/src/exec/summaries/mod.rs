//! What aggregates remember beyond counts, sums, bounds and ends: different values, percentiles, pairs, counters.
//!
//! A summary is mergeable, and what is read off it does not depend on the order of rows or on how they were divided.
//! The vectorized executor and DataFusion use the same ones.

mod cardinality;
#[cfg(feature = "datafusion")]
mod codec;
mod distinct;
mod extreme_row;
mod key;
mod multiset;
mod pair_moments;
mod series_fold;
mod sketch;
mod states;
mod summary;
mod tally;
mod texts;

#[cfg(feature = "datafusion")]
pub(crate) use codec::{decode, encode};
#[cfg(feature = "datafusion")]
pub(crate) use key::key_of_float_value;
pub(crate) use key::{float_of_key, key_of_float};
pub(crate) use series_fold::{FoldKind, Sample, SeriesFold};
pub(crate) use states::{BlockNumbers, RowOrigin, SummaryStates};
pub(crate) use summary::SummaryKind;
