//! Integer vectors: constant, regular, frame of reference, linear and delta, whichever is smallest.
//!
//! Data: the packed numbers, then the step (8 bytes) where the encoding has one, then the validity mask.

use super::fill::filled_copy;
use super::kernel;
use super::validity::{Validity, split_mask};
use super::{DecodeError, Mask, VECTOR_LEN, VectorEncoding, VectorHeader, ZoneMap};

const STEP_BYTES: usize = 8;

/// How a vector of integers will be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IntegerPlan {
    pub(super) encoding: VectorEncoding,
    pub(super) width: u32,
    pub(super) base: i64,
    pub(super) step: i64,
    /// Bytes of packed numbers and step.
    pub(super) bytes: usize,
}

/// Bits of an unsigned number.
fn width_of(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Bytes of packed numbers and step; `None` for an encoding that is not one of integers.
pub(super) fn integer_bytes(encoding: VectorEncoding, width: u32, len: usize) -> Option<usize> {
    match encoding {
        VectorEncoding::Constant => Some(0),
        VectorEncoding::Regular => Some(STEP_BYTES),
        VectorEncoding::FrameOfReference => Some(kernel::packed_bytes(width, len)),
        VectorEncoding::Linear | VectorEncoding::Delta => Some(kernel::packed_bytes(width, len) + STEP_BYTES),
        VectorEncoding::Plain | VectorEncoding::Strings => None,
    }
}

impl IntegerPlan {
    /// The best plan for values of the given bounds, of which there is at least one.
    pub(super) fn choose(values: &[i64], bounds: kernel::IntegerBounds) -> Self {
        let kernel::IntegerBounds { min, max, min_delta, max_delta } = bounds;
        let (first, last, len) = (values[0], values[values.len() - 1], values.len());
        let plan = |encoding, width, base, step| {
            let bytes = integer_bytes(encoding, width, len).expect("every candidate is an integer encoding");
            Self { encoding, width, base, step, bytes }
        };
        if min == max {
            return plan(VectorEncoding::Constant, 0, min, 0);
        }
        if min_delta == max_delta {
            return plan(VectorEncoding::Regular, 0, first, min_delta);
        }
        let range = max.wrapping_sub(min).cast_unsigned();
        let mut best = plan(VectorEncoding::FrameOfReference, width_of(range), min, 0);
        // Without a trend, residuals from the line through the ends are as wide as the values.
        if last.abs_diff(first) >= range / 2 {
            let step = (i128::from(last) - i128::from(first)) / (len as i128 - 1);
            if let Ok(step) = i64::try_from(step) {
                let (low, high) = kernel::residual_bounds(values, step);
                let width = width_of(high.wrapping_sub(low).cast_unsigned());
                best = best.or_if_smaller(plan(VectorEncoding::Linear, width, first.wrapping_add(low), step));
            }
        }
        let width = width_of(max_delta.wrapping_sub(min_delta).cast_unsigned());
        best.or_if_smaller(plan(VectorEncoding::Delta, width, first, min_delta))
    }

    /// `other` when it saves a tenth or more: it is slower to decode, and does not allow access to single values.
    fn or_if_smaller(self, other: Self) -> Self {
        if other.bytes * 10 <= self.bytes * 9 { other } else { self }
    }

    /// Appends packed numbers and step.
    pub(super) fn append(&self, values: &[i64], out: &mut Vec<u8>) {
        let start = out.len();
        match self.encoding {
            VectorEncoding::FrameOfReference | VectorEncoding::Linear => {
                kernel::pack_linear(values, self.base, self.step, self.width, out);
            }
            VectorEncoding::Delta => kernel::pack_delta(values, self.step, self.width, out),
            _ => {}
        }
        if matches!(self.encoding, VectorEncoding::Regular | VectorEncoding::Linear | VectorEncoding::Delta) {
            out.extend_from_slice(&self.step.to_le_bytes());
        }
        debug_assert_eq!(out.len() - start, self.bytes, "the plan knows its size");
    }
}

/// The packed numbers and the step of an integer vector whose data, without the mask, is `numbers`.
fn split_step<'a>(header: &VectorHeader, numbers: &'a [u8], len: usize) -> Result<(&'a [u8], i64), DecodeError> {
    let expected = integer_bytes(header.encoding, u32::from(header.width), len)
        .ok_or(DecodeError::new("the vector does not hold integers"))?;
    if header.width > 64 || numbers.len() != expected {
        return Err(DecodeError::new("the packed numbers do not have the length that the header says"));
    }
    match header.encoding {
        VectorEncoding::Constant | VectorEncoding::FrameOfReference => Ok((numbers, 0)),
        _ => {
            let (packed, step) =
                numbers.split_last_chunk::<STEP_BYTES>().ok_or(DecodeError::new("the step is cut off"))?;
            Ok((packed, i64::from_le_bytes(*step)))
        }
    }
}

/// Decodes `numbers`, the data of a vector without its mask.
pub(super) fn decode_numbers(
    header: &VectorHeader,
    numbers: &[u8],
    len: usize,
    out: &mut [i64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    let (packed, step) = split_step(header, numbers, len)?;
    let width = u32::from(header.width);
    match header.encoding {
        VectorEncoding::Constant => out[..len].fill(header.base),
        VectorEncoding::Regular => kernel::unpack_linear(&[], 0, len, header.base, step, out),
        VectorEncoding::Delta => kernel::unpack_delta(packed, width, len, header.base, step, out),
        _ => kernel::unpack_linear(packed, width, len, header.base, step, out),
    }
    Ok(())
}

/// Appends the data of a vector of 1 to 1024 integers and returns its header and statistics.
///
/// Values whose bit in `validity` is not set are NULL and may decode to anything. No mask means that all are there.
///
/// # Panics
/// When there are no values or more than 1024.
pub fn encode_i64(values: &[i64], validity: Option<&Mask>, out: &mut Vec<u8>) -> (VectorHeader, ZoneMap) {
    assert!((1..=VECTOR_LEN).contains(&values.len()), "a vector has 1 to 1024 values");
    let start = out.len();
    let validity = Validity::of(validity, values.len());
    let null_count = validity.null_count(values.len());
    let mut header = VectorHeader {
        encoding: VectorEncoding::Constant,
        width: 0,
        param: VectorHeader::param_of(validity.kind(), None),
        crc32c: 0,
        base: 0,
    };
    let mask = match &validity {
        Validity::AllNull => return (header, ZoneMap::of_nulls(null_count, values.len())),
        Validity::AllValid => None,
        Validity::Mask(mask) => Some(mask),
    };
    let copy;
    let filled = match mask {
        None => values,
        Some(mask) => {
            copy = filled_copy(values, mask);
            &copy[..values.len()]
        }
    };
    let bounds = kernel::integer_bounds(filled);
    let plan = IntegerPlan::choose(filled, bounds);
    plan.append(filled, out);
    validity.append_to(values.len(), out);
    (header.encoding, header.width, header.base) = (plan.encoding, plan.width as u8, plan.base);
    header.crc32c = crc32c::crc32c(&out[start..]);
    let sum = mask.map_or_else(|| kernel::sum_i64(values), |mask| kernel::sum_i64_masked(values, mask));
    (header, ZoneMap::of_i64(bounds.min, bounds.max, i64::try_from(sum).ok(), null_count))
}

/// Decodes `len` integers; `data` is what the encoder appended. Values at NULL positions, and those of `out` from `len`
/// on, are unspecified.
///
/// # Errors
/// When header, data and length do not fit each other.
pub fn decode_i64(
    header: &VectorHeader,
    data: &[u8],
    len: usize,
    out: &mut [i64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    let (numbers, _) = split_mask(header, data, len)?;
    if header.decimal_exponent().is_some() {
        return Err(DecodeError::new("the vector holds floats"));
    }
    decode_numbers(header, numbers, len, out)
}

/// The sum of all values of an integer vector without NULLs, computed without widening the packed numbers.
///
/// `None` when the vector has NULLs, does not fit its header, or is stored in a way that has no such shortcut.
pub fn sum_vector_i64(header: &VectorHeader, data: &[u8], len: usize) -> Option<i128> {
    let (packed, step) = whole_numbers(header, data, len)?;
    let count = len as i128;
    let line = count * i128::from(header.base) + i128::from(step) * (count * (count - 1) / 2);
    match header.encoding {
        VectorEncoding::Constant => Some(line),
        VectorEncoding::FrameOfReference => {
            let packed_sum = kernel::sum_packed(packed, u32::from(header.width), len);
            Some(line + i128::try_from(packed_sum).ok()?)
        }
        // Sums that wrap on the way are those of the wrapped values only when nothing wraps; decoding is exact.
        _ => None,
    }
}

/// Minimum and maximum of all values of an integer vector without NULLs, computed without widening the packed numbers.
///
/// `None` when the vector has NULLs, does not fit its header, or is stored in a way that has no such shortcut.
pub fn min_max_vector_i64(header: &VectorHeader, data: &[u8], len: usize) -> Option<(i64, i64)> {
    let (packed, _) = whole_numbers(header, data, len)?;
    match header.encoding {
        VectorEncoding::Constant => Some((header.base, header.base)),
        VectorEncoding::FrameOfReference => {
            let (min, max) = kernel::min_max_packed(packed, u32::from(header.width), len);
            let value = |packed: u64| header.base.checked_add_unsigned(packed);
            Some((value(min)?, value(max)?))
        }
        _ => None,
    }
}

/// The packed numbers and the step of a vector of integers without NULLs.
fn whole_numbers<'a>(header: &VectorHeader, data: &'a [u8], len: usize) -> Option<(&'a [u8], i64)> {
    let (numbers, _) = split_mask(header, data, len).ok()?;
    let is_whole = header.validity_kind() == Ok(super::validity::ValidityKind::AllValid);
    if !is_whole || header.decimal_exponent().is_some() {
        return None;
    }
    split_step(header, numbers, len).ok()
}
