//! Repeats the value of each run.

use super::level::{Level, dispatch};
use crate::encoding::VECTOR_LEN;

dispatch! {
    /// Writes each of `values` as often as its length says, which is one more than the number in `lengths`, and returns
    /// how many that were; `None` when they are more than a vector has. What is behind them is unspecified.
    pub(crate) fn expand_runs(values: &[i64], lengths: &[i64], out: &mut [i64; VECTOR_LEN]) -> Option<usize> =
        expand_runs_body, expand_runs_body, expand_runs_body;
}

/// Values that are written for a short run, however many it has: a fixed number of stores is faster than a loop, and
/// what it writes too much is overwritten by the next run.
const STRIDE: usize = 16;

#[inline(always)]
fn expand_runs_body(values: &[i64], lengths: &[i64], out: &mut [i64; VECTOR_LEN]) -> Option<usize> {
    let mut start = 0;
    for (&value, &length) in values.iter().zip(lengths) {
        let length = usize::try_from(length).ok()?.checked_add(1)?;
        let rest = &mut out[start..];
        match rest.first_chunk_mut::<STRIDE>() {
            Some(stride) if length <= STRIDE => *stride = [value; STRIDE],
            _ => rest.get_mut(..length)?.fill(value),
        }
        start += length;
    }
    Some(start)
}
