//! Which integer encoding a vector gets, and its data.
//!
//! The candidates are tried from the fastest to the slowest to decode, and a slower one has to save something: a tenth
//! for lines and differences, which allow no access to single values, a sixteenth for runs, a sixth for outliers, whose
//! list takes as long to decode as the vector. Below a sixth they were measured to halve the speed of both directions on
//! random walks for 2 to 8 per cent of the bytes.

use super::header::Outliers;
use super::integer_form::STEP_BYTES;
use super::kernel::{self, IntegerBounds, SAMPLE_LEN, packed_bytes};
use super::patch::{PatchList, patch_bytes, width_of};
use super::runs::{RUNS_MAX, append_runs, length_width, run_bytes};
use super::{Mask, VectorEncoding};

/// How a vector of integers will be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IntegerPlan {
    pub(super) encoding: VectorEncoding,
    pub(super) width: u32,
    pub(super) base: i64,
    pub(super) step: i64,
    pub(super) outliers: Outliers,
    /// Bytes of the data without the validity mask.
    pub(super) bytes: usize,
}

/// Sizes are compared as they are in a segment, where each vector starts at such a multiple: no encoding is better than
/// another for bytes that padding fills up, and most short vectors need no search at all.
const SEGMENT_UNIT: usize = 64;

impl IntegerPlan {
    /// The best plan for values of the given bounds, of which there is at least one.
    pub(super) fn choose(values: &[i64], bounds: IntegerBounds) -> Self {
        let IntegerBounds { min, max, min_delta, max_delta, run_count } = bounds;
        let (first, last, len) = (values[0], values[values.len() - 1], values.len());
        if min == max {
            return Self::new(VectorEncoding::Constant, 0, min, 0, 0);
        }
        if min_delta == max_delta {
            return Self::new(VectorEncoding::Regular, 0, first, min_delta, STEP_BYTES);
        }
        let numbers = |encoding, width, base, step| {
            let step_bytes = if encoding == VectorEncoding::FrameOfReference { 0 } else { STEP_BYTES };
            Self::new(encoding, width, base, step, packed_bytes(width, len) + step_bytes)
        };
        let range = max.wrapping_sub(min).cast_unsigned();
        let mut best = numbers(VectorEncoding::FrameOfReference, width_of(range), min, 0);
        // Without a trend, residuals from the line through the ends are as wide as the values.
        if last.abs_diff(first) >= range / 2 {
            let step = (i128::from(last) - i128::from(first)) / (len as i128 - 1);
            if let Ok(step) = i64::try_from(step) {
                let (low, high) = kernel::residual_bounds(values, step);
                let width = width_of(high.wrapping_sub(low).cast_unsigned());
                best.replace_if_saves(10, numbers(VectorEncoding::Linear, width, first.wrapping_add(low), step));
            }
        }
        if best.bytes <= SEGMENT_UNIT {
            return best;
        }
        let delta_width = width_of(max_delta.wrapping_sub(min_delta).cast_unsigned());
        best.replace_if_saves(10, numbers(VectorEncoding::Delta, delta_width, first, min_delta));
        // As many runs as that are at least this long on average; the longest, which decides, is longer.
        let fewest_bytes = run_bytes(width_of(range), width_of((len / run_count) as u64 - 1), run_count);
        if run_count <= RUNS_MAX && best.is_beaten_by(16, fewest_bytes) {
            let bytes = run_bytes(width_of(range), length_width(values), run_count);
            best.replace_if_saves(16, Self::new(VectorEncoding::Runs, width_of(range), min, 0, bytes));
        }
        if let Some(plan) = Self::patched_frame(values, min, max, best.bytes_that_save(6)) {
            best.replace_if_saves(6, plan);
        }
        if let Some(plan) = Self::patched_deltas(values, min_delta, max_delta, best.bytes_that_save(6)) {
            best.replace_if_saves(6, plan);
        }
        best
    }

    /// A plan without outliers.
    pub(super) fn new(encoding: VectorEncoding, width: u32, base: i64, step: i64, bytes: usize) -> Self {
        Self { encoding, width, base, step, outliers: Outliers::Fit, bytes }
    }

    /// The most bytes that are smaller by `1 / part` or more.
    fn bytes_that_save(&self, part: usize) -> usize {
        let limit = self.bytes.next_multiple_of(SEGMENT_UNIT) * (part - 1) / part;
        limit - limit % SEGMENT_UNIT
    }

    /// Whether `bytes` are smaller by `1 / part` or more.
    fn is_beaten_by(&self, part: usize, bytes: usize) -> bool {
        bytes <= self.bytes_that_save(part)
    }

    /// Takes `other`, which decodes slower, when it saves `1 / part` or more.
    fn replace_if_saves(&mut self, part: usize, other: Self) {
        if self.is_beaten_by(part, other.bytes) {
            *self = other;
        }
    }

    /// A plan of frame of reference that patches values outside of a window.
    fn patched_frame(values: &[i64], min: i64, max: i64, bytes_max: usize) -> Option<Self> {
        let sample = sample(values.len(), |index| values[index]);
        let window = Window::find(&sample, min, max, values.len(), bytes_max)?;
        Self::patch_frame(values, window.width, window.base, bytes_max)
    }

    /// A plan of differences that patches those outside of a window.
    fn patched_deltas(values: &[i64], min_delta: i64, max_delta: i64, bytes_max: usize) -> Option<Self> {
        let sample = sample(values.len() - 1, |index| values[index + 1].wrapping_sub(values[index]));
        let window = Window::find(&sample, min_delta, max_delta, values.len(), bytes_max)?;
        Self::patch_deltas(values, window.width, window.base, bytes_max)
    }

    /// Frame of reference about `base`; `None` without outliers, or with too many for `bytes_max`.
    pub(super) fn patch_frame(values: &[i64], width: u32, base: i64, bytes_max: usize) -> Option<Self> {
        let outlier_mask = kernel::outliers_of_values(values, base, width);
        if packed_bytes(width, values.len()) + patch_bytes(kernel::mask_count(&outlier_mask), 1) > bytes_max {
            return None;
        }
        let list = frame_patches(values, width, base, &outlier_mask)?;
        let bytes = packed_bytes(width, values.len()) + list.bytes();
        let plan = Self::new(VectorEncoding::FrameOfReference, width, base, 0, bytes);
        Some(Self { outliers: Outliers::Patched, ..plan })
    }

    /// Differences about `step`; `None` without outliers, or with too many for `bytes_max`.
    pub(super) fn patch_deltas(values: &[i64], width: u32, step: i64, bytes_max: usize) -> Option<Self> {
        let outlier_mask = kernel::outliers_of_deltas(values, step, width);
        if packed_bytes(width, values.len()) + patch_bytes(kernel::mask_count(&outlier_mask), 1) > bytes_max {
            return None;
        }
        let list = delta_patches(values, width, step, &outlier_mask)?;
        let bytes = packed_bytes(width, values.len()) + STEP_BYTES + list.bytes();
        let plan = Self::new(VectorEncoding::Delta, width, values[0], step, bytes);
        Some(Self { outliers: Outliers::Patched, ..plan })
    }

    /// Appends the data without the validity mask.
    pub(super) fn append(&self, values: &[i64], out: &mut Vec<u8>) {
        let start = out.len();
        let &Self { encoding, width, base, step, .. } = self;
        match encoding {
            VectorEncoding::FrameOfReference | VectorEncoding::Linear => {
                kernel::pack_linear(values, base, step, width, out);
            }
            VectorEncoding::Delta => kernel::pack_delta(values, step, width, out),
            VectorEncoding::Runs => append_runs(values, base, width, out),
            _ => {}
        }
        if matches!(encoding, VectorEncoding::Regular | VectorEncoding::Linear | VectorEncoding::Delta) {
            out.extend_from_slice(&step.to_le_bytes());
        }
        if self.outliers == Outliers::Patched {
            let list = match encoding {
                VectorEncoding::Delta => {
                    delta_patches(values, width, step, &kernel::outliers_of_deltas(values, step, width))
                }
                _ => frame_patches(values, width, base, &kernel::outliers_of_values(values, base, width)),
            };
            list.expect("the plan was made for values with outliers").append_to(out);
        }
        debug_assert_eq!(out.len() - start, self.bytes, "the plan knows its size");
    }
}

fn frame_patches(values: &[i64], width: u32, base: i64, outliers: &Mask) -> Option<PatchList> {
    PatchList::new(outliers, width, |index| values[index].wrapping_sub(base))
}

fn delta_patches(values: &[i64], width: u32, step: i64, outliers: &Mask) -> Option<PatchList> {
    PatchList::new(outliers, width, |index| values[index].wrapping_sub(values[index - 1]).wrapping_sub(step))
}

/// Numbers from all over `len` of them, in which outliers are looked for; some of them several times when there are no more.
fn sample(len: usize, number: impl Fn(usize) -> i64) -> [i64; SAMPLE_LEN] {
    // Not the same place in each stride: what repeats with it would be seen always or never.
    let (stride, jitter) = (len / SAMPLE_LEN, if len >= 8 * SAMPLE_LEN { 7 } else { 0 });
    if stride == 0 {
        return std::array::from_fn(|index| number(index % len));
    }
    std::array::from_fn(|index| number(index * stride + ((index * 5) & jitter)))
}

/// `base` and the `2^width - 1` numbers above it.
#[derive(Debug, Clone, Copy)]
struct Window {
    width: u32,
    base: i64,
}

/// Where a window lies among the numbers.
#[derive(Debug, Clone, Copy)]
enum Place {
    Lowest,
    Highest,
    Middle,
}

impl Window {
    /// The window that seems to cost the fewest bytes, at most `bytes_max`, for `len` numbers between `min` and `max`
    /// with those outside patched. It starts at the minimum, ends at the maximum or lies about the middle of the sample.
    fn find(sample: &[i64; SAMPLE_LEN], min: i64, max: i64, len: usize, bytes_max: usize) -> Option<Self> {
        let full_width = width_of(max.wrapping_sub(min).cast_unsigned());
        let middle = middle(sample);
        let widest = (bytes_max * 8 / len).min(full_width as usize - 1) as u32;
        let (mut best, mut best_bits) = (None, bytes_max * 8 + 1);
        for width in (0..=widest).rev() {
            let near = kernel::count_near(sample, (min, max), middle, width);
            for (place, count) in [Place::Lowest, Place::Highest, Place::Middle].into_iter().zip(near) {
                let outside = SAMPLE_LEN - count as usize;
                // Half a miss more than was seen: outliers that are rarer than the sample is long cost something too.
                let outliers = (2 * outside + 1) * len / (2 * SAMPLE_LEN);
                let bits = len * width as usize + outliers * (10 + full_width - width) as usize;
                if bits < best_bits {
                    (best, best_bits) = (Some((width, place)), bits);
                }
            }
            // Most vectors have no outliers: the first window holds too few of them, and narrower ones even fewer.
            if near.into_iter().max() < Some(SAMPLE_LEN as u64 * 3 / 4) {
                break;
            }
        }
        let (width, place) = best?;
        let span = u64::MAX.checked_shr(u64::BITS - width).unwrap_or(0);
        let base = match place {
            Place::Lowest => min,
            Place::Highest => max.wrapping_sub(span.cast_signed()),
            Place::Middle => {
                // The middle is that of few numbers; the window moves to the middle of those of the sample within it.
                let low = middle.saturating_sub_unsigned(span.div_ceil(2));
                let inside = |number: &&i64| **number >= low && number.abs_diff(low) <= span;
                let first = sample.iter().filter(inside).min().copied().unwrap_or(low);
                let last = sample.iter().filter(inside).max().copied().unwrap_or(low);
                first.saturating_sub_unsigned((span - last.abs_diff(first)) / 2).max(min)
            }
        };
        Some(Self { width, base })
    }
}

/// A number near the middle of a sample: the median of three medians of three.
fn middle(sample: &[i64; SAMPLE_LEN]) -> i64 {
    let of_three = |a: i64, b: i64, c: i64| a.min(b).max(a.max(b).min(c));
    let group = |first: usize| of_three(sample[first], sample[first + 11], sample[first + 21]);
    of_three(group(0), group(4), group(8))
}
