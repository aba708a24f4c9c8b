//! The parts of an encoded integer vector, and what can be done with them: decoding, and sums, bounds and comparisons
//! that leave the numbers packed.
//!
//! Work on the packed form counts in integers without bounds, where decoding wraps at 64 bits. It answers only when no
//! value can have wrapped; encoders wrap only in vectors that span more than half of all 64-bit integers.

use super::header::Outliers;
use super::kernel::{self, CompareOp, Packed, PackedDeltas, Patch, packed_bytes};
use super::patch::{PATCHES_MAX, decode_patches, take_patches};
use super::runs::PackedRuns;
use super::{DecodeError, Mask, VECTOR_LEN, VectorEncoding, VectorHeader};

pub(super) const STEP_BYTES: usize = 8;

/// Numbers of `width` bits, those wider patched, about a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedNumbers<'a> {
    pub(super) base: i64,
    pub(super) step: i64,
    pub(super) width: u32,
    pub(super) packed: &'a [u8],
    /// The list of outliers; empty when there are none.
    pub(super) patches: &'a [u8],
}

/// How the integers of a vector are stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum IntegerForm<'a> {
    /// `base + i * step`.
    Line { base: i64, step: i64 },
    /// `base + i * step + number[i]`.
    Numbers(PackedNumbers<'a>),
    /// The same with the sum of the numbers up to `i`, without number 0.
    Deltas(PackedNumbers<'a>),
    /// Runs.
    Runs(PackedRuns<'a>),
}

impl<'a> IntegerForm<'a> {
    /// Splits the parts of a vector of `len` values off the front of `rest`.
    // Inlined, with `decode`, so that the form never stands in memory: that takes a tenth of the time of a vector.
    #[inline(always)]
    pub(super) fn take(header: &VectorHeader, rest: &mut &'a [u8], len: usize) -> Result<Self, DecodeError> {
        let (base, width) = (header.base, u32::from(header.width));
        if width > 64 {
            return Err(DecodeError::new("a packed number has more than 64 bits"));
        }
        match header.encoding {
            VectorEncoding::Constant => Ok(Self::Line { base, step: 0 }),
            VectorEncoding::Regular => Ok(Self::Line { base, step: take_step(rest)? }),
            VectorEncoding::Runs => Ok(Self::Runs(PackedRuns::take(rest, width, base)?)),
            VectorEncoding::FrameOfReference | VectorEncoding::Linear | VectorEncoding::Delta => {
                let (packed, behind) = rest
                    .split_at_checked(packed_bytes(width, len))
                    .ok_or(DecodeError::new("the packed numbers are cut off"))?;
                *rest = behind;
                let step = match header.encoding {
                    VectorEncoding::FrameOfReference => 0,
                    _ => take_step(rest)?,
                };
                let patches = match header.outliers() {
                    Outliers::Fit => &[],
                    Outliers::Patched => take_patches(rest)?,
                };
                let numbers = PackedNumbers { base, step, width, packed, patches };
                Ok(match header.encoding {
                    VectorEncoding::Delta => Self::Deltas(numbers),
                    _ => Self::Numbers(numbers),
                })
            }
            VectorEncoding::Plain | VectorEncoding::Strings | VectorEncoding::Split => {
                Err(DecodeError::new("the vector does not hold integers"))
            }
            VectorEncoding::CodedFrame | VectorEncoding::CodedDelta => {
                Err(DecodeError::new("the numbers of the vector are not packed"))
            }
        }
    }

    /// Decodes all values; those of `out` from `len` on are unspecified.
    #[inline(always)]
    pub(super) fn decode(&self, len: usize, out: &mut [i64; VECTOR_LEN]) -> Result<(), DecodeError> {
        match self {
            Self::Line { base, step: 0 } => out[..len].fill(*base),
            Self::Line { base, step } => kernel::unpack_linear(&[], 0, len, *base, *step, out),
            Self::Numbers(numbers) => {
                kernel::unpack_linear(numbers.packed, numbers.width, len, numbers.base, numbers.step, out);
                if !numbers.patches.is_empty() {
                    numbers.patch_values(len, out)?;
                }
            }
            Self::Deltas(numbers) if numbers.patches.is_empty() => {
                kernel::unpack_delta(&numbers.deltas(&[]), len, out);
            }
            Self::Deltas(numbers) => numbers.unpack_patched_deltas(len, out)?,
            Self::Runs(runs) => runs.decode(len, out)?,
        }
        Ok(())
    }

    /// The sum of all values; `None` when it takes decoding.
    pub(super) fn sum(&self, len: usize) -> Option<i128> {
        match self {
            Self::Line { base, step } => {
                line_bounds(*base, *step, len)?;
                Some(line_sum(*base, *step, len))
            }
            Self::Numbers(numbers) => numbers.sum(len),
            Self::Deltas(numbers) => numbers.sum_of_sums(len),
            Self::Runs(runs) => runs.sum(len),
        }
    }

    /// Minimum and maximum of all values; `None` when it takes decoding.
    pub(super) fn min_max(&self, len: usize) -> Option<(i64, i64)> {
        match self {
            Self::Line { base, step } => line_bounds(*base, *step, len),
            Self::Numbers(numbers) => {
                let base = numbers.frame_base()?;
                let (min, max) = kernel::min_max_packed(numbers.packed, numbers.width, len);
                Some((base.checked_add_unsigned(min)?, base.checked_add_unsigned(max)?))
            }
            Self::Deltas(_) => None,
            Self::Runs(runs) => runs.min_max(len),
        }
    }

    /// Which values satisfy `value op constant`; `None` when it takes decoding.
    pub(super) fn compare(&self, len: usize, op: CompareOp, constant: i64) -> Option<Mask> {
        match self {
            Self::Line { base, step } => {
                line_bounds(*base, *step, len)?;
                Some(compare_line(*base, *step, len, op, constant))
            }
            Self::Numbers(numbers) => {
                let base = numbers.frame_base()?;
                let constant = i128::from(constant) - i128::from(base);
                let Some(constant) = u64::try_from(constant).ok().filter(|&constant| constant <= numbers.max()) else {
                    // All numbers lie on one side of it.
                    let holds = match op {
                        CompareOp::Equal => false,
                        CompareOp::NotEqual => true,
                        CompareOp::Less | CompareOp::LessOrEqual => constant > 0,
                        CompareOp::Greater | CompareOp::GreaterOrEqual => constant < 0,
                    };
                    return Some(if holds { kernel::mask_first(len) } else { [0; 16] });
                };
                let mut mask = [0; 16];
                let packed = Packed { data: numbers.packed, width: numbers.width, len };
                kernel::compare_packed(op, packed, constant, &mut mask);
                Some(mask)
            }
            Self::Deltas(_) => None,
            Self::Runs(runs) => runs.compare(len, op, constant),
        }
    }
}

pub(super) fn take_step(rest: &mut &[u8]) -> Result<i64, DecodeError> {
    let (step, behind) = rest.split_first_chunk::<STEP_BYTES>().ok_or(DecodeError::new("the step is cut off"))?;
    *rest = behind;
    Ok(i64::from_le_bytes(*step))
}

impl PackedNumbers<'_> {
    /// The largest number that `width` bits hold.
    fn max(&self) -> u64 {
        u64::MAX.checked_shr(u64::BITS - self.width).unwrap_or(0)
    }

    fn deltas<'a>(&'a self, patches: &'a [Patch]) -> PackedDeltas<'a> {
        PackedDeltas { packed: self.packed, width: self.width, base: self.base, step: self.step, patches }
    }

    /// The base, when every value is `base + packed[i]` and none wraps.
    fn frame_base(&self) -> Option<i64> {
        let is_frame = self.step == 0 && self.patches.is_empty();
        (is_frame && self.base.checked_add_unsigned(self.max()).is_some()).then_some(self.base)
    }

    // The room for patches takes longer to clear than a vector without them to decode: never inlined into that.
    #[inline(never)]
    fn patch_values(&self, len: usize, out: &mut [i64; VECTOR_LEN]) -> Result<(), DecodeError> {
        let mut room = [Patch::default(); PATCHES_MAX];
        kernel::patch_values(out, self.width, decode_patches(self.patches, len, &mut room)?);
        Ok(())
    }

    #[inline(never)]
    fn unpack_patched_deltas(&self, len: usize, out: &mut [i64; VECTOR_LEN]) -> Result<(), DecodeError> {
        let mut room = [Patch::default(); PATCHES_MAX];
        let patches = decode_patches(self.patches, len, &mut room)?;
        kernel::unpack_delta(&self.deltas(patches), len, out);
        Ok(())
    }

    /// What patches add: the sum of `weight(position)` times their excess, and the lowest and the highest that they
    /// make the sum of any of the numbers.
    fn patched(&self, len: usize, weight: impl Fn(usize) -> i128) -> Option<(i128, i128, i128)> {
        let (mut sum, mut low, mut high) = (0, 0, 0);
        if !self.patches.is_empty() {
            let mut room = [Patch::default(); PATCHES_MAX];
            for patch in decode_patches(self.patches, len, &mut room).ok()? {
                // An excess that loses bits is one that wraps.
                let excess = i128::from(patch.excess).checked_mul(1 << self.width)?;
                i64::try_from(excess).ok()?;
                sum += excess * weight(usize::from(patch.position));
                low += excess.min(0);
                high += excess.max(0);
            }
        }
        Some((sum, low, high))
    }

    /// `Some` when no value wraps; patches add from `low` to `high` to each.
    pub(super) fn check_bounds(&self, len: usize, low: i128, high: i128) -> Option<()> {
        let (first, last) = (i128::from(self.base), line_end(self.base, self.step, len));
        in_range(first.min(last) + low, first.max(last) + high + i128::from(self.max())).map(drop)
    }

    /// The same for a vector of differences.
    pub(super) fn check_sums(&self, len: usize, low: i128, high: i128) -> Option<()> {
        let (first, last) = (i128::from(self.base), line_end(self.base, self.step, len));
        let highest = last + i128::from(self.max()) * (len as i128 - 1);
        in_range(first.min(last) + low, first.max(highest) + high).map(drop)
    }

    fn sum(&self, len: usize) -> Option<i128> {
        let (patched, low, high) = self.patched(len, |_| 1)?;
        self.check_bounds(len, low, high)?;
        let packed = i128::try_from(kernel::sum_packed(self.packed, self.width, len)).ok()?;
        Some(line_sum(self.base, self.step, len) + packed + patched)
    }

    fn sum_of_sums(&self, len: usize) -> Option<i128> {
        let (patched, low, high) = self.patched(len, |position| (len - position) as i128)?;
        self.check_sums(len, low, high)?;
        let packed = i128::try_from(kernel::weighted_sum_packed(self.packed, self.width, len)).ok()?;
        Some(line_sum(self.base, self.step, len) + packed + patched)
    }
}

/// `Some` when both are 64-bit integers.
fn in_range(low: i128, high: i128) -> Option<(i64, i64)> {
    Some((i64::try_from(low).ok()?, i64::try_from(high).ok()?))
}

/// The last value of a line.
fn line_end(base: i64, step: i64, len: usize) -> i128 {
    i128::from(base) + i128::from(step) * (len as i128 - 1)
}

/// Minimum and maximum of a line; `None` when it wraps.
pub(super) fn line_bounds(base: i64, step: i64, len: usize) -> Option<(i64, i64)> {
    let end = line_end(base, step, len);
    in_range(end.min(base.into()), end.max(base.into()))
}

fn line_sum(base: i64, step: i64, len: usize) -> i128 {
    let len = len as i128;
    len * i128::from(base) + i128::from(step) * (len * (len - 1) / 2)
}

/// Compares a line that does not wrap.
fn compare_line(base: i64, step: i64, len: usize, op: CompareOp, constant: i64) -> Mask {
    // Values in increasing order, from the end when the line falls: how many are below the constant, and not above it.
    let first = if step < 0 { line_end(base, step, len) } else { base.into() };
    let above = i128::from(constant) - first;
    let (below, up_to) = match i128::from(step.unsigned_abs()) {
        0 => (if above > 0 { i128::MAX } else { 0 }, if above >= 0 { i128::MAX } else { 0 }),
        distance => ((above + distance - 1).div_euclid(distance), above.div_euclid(distance) + 1),
    };
    let [below, up_to] = [below, up_to].map(|count| count.clamp(0, len as i128) as usize);
    let range = match op {
        CompareOp::Equal | CompareOp::NotEqual => below..up_to,
        CompareOp::Less => 0..below,
        CompareOp::LessOrEqual => 0..up_to,
        CompareOp::Greater => up_to..len,
        CompareOp::GreaterOrEqual => below..len,
    };
    let range = if step < 0 { len - range.end..len - range.start } else { range };
    let mut mask = [0; 16];
    kernel::mask_set_range(&mut mask, range);
    if op == CompareOp::NotEqual {
        let equal = mask;
        mask = kernel::mask_first(len);
        kernel::mask_and_not(&mut mask, &equal);
    }
    mask
}
