//! Values that compress well in place of those that do not count (NULLs, floats that are patched).

use super::{Mask, VECTOR_LEN, kernel};

/// Copies `values` and puts at every position that is not in `valid` the nearest value before it that is, or the first
/// that is when there is none before. At least one position is valid.
pub(super) fn fill_gaps<T: Copy>(values: &mut [T], valid: &Mask) {
    let Some(first) = kernel::mask_iter(valid).next() else { return };
    let mut last = values[first];
    for (position, value) in values.iter_mut().enumerate() {
        if valid[position / 64] >> (position % 64) & 1 == 1 {
            last = *value;
        } else {
            *value = last;
        }
    }
}

/// A copy of `values` without gaps; what lies behind them is unspecified.
pub(super) fn filled_copy<T: Copy + Default>(values: &[T], valid: &Mask) -> [T; VECTOR_LEN] {
    let mut copy = [T::default(); VECTOR_LEN];
    let filled = &mut copy[..values.len()];
    filled.copy_from_slice(values);
    fill_gaps(filled, valid);
    copy
}
