//! Float vectors: decimals as integers (ALP), the bits as integers, or plain.
//!
//! Data: the integers as `integer` stores them (or 8 bytes per value when plain), then of decimals the exceptions
//! (positions, 2 bytes each, then bits, 8 bytes each), then the validity mask.

use super::fill::{fill_gaps, filled_copy};
use super::integer::{IntegerPlan, decode_numbers};
use super::kernel;
use super::validity::{Validity, split_mask};
use super::{DecodeError, Mask, VECTOR_LEN, VectorEncoding, VectorHeader, ZoneMap};

/// Position and bits.
const EXCEPTION_BYTES: usize = 2 + 8;

/// Values that the exponent is chosen by.
const SAMPLE_LEN: usize = 32;

/// Appends the data of a vector of 1 to 1024 floats and returns its header and statistics.
///
/// Values whose bit in `validity` is not set are NULL and may decode to anything. No mask means that all are there.
///
/// # Panics
/// When there are no values or more than 1024.
pub fn encode_f64(values: &[f64], validity: Option<&Mask>, out: &mut Vec<u8>) -> (VectorHeader, ZoneMap) {
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
    let plan = append_numbers(filled, out);
    validity.append_to(values.len(), out);
    (header.encoding, header.width, header.base) = (plan.encoding, plan.width, plan.base);
    header.param = VectorHeader::param_of(validity.kind(), plan.exponent);
    header.crc32c = crc32c::crc32c(&out[start..]);
    let sum = mask.map_or_else(|| kernel::sum_f64(values), |mask| kernel::sum_f64_masked(values, mask));
    (header, ZoneMap::of_f64(kernel::min_max_f64(filled), sum, null_count))
}

/// What of a float vector goes into its header.
struct FloatPlan {
    encoding: VectorEncoding,
    width: u8,
    base: i64,
    exponent: Option<u32>,
}

impl FloatPlan {
    fn of(plan: &IntegerPlan, exponent: Option<u32>) -> Self {
        Self { encoding: plan.encoding, width: plan.width as u8, base: plan.base, exponent }
    }
}

/// Appends the smallest form of `values`.
fn append_numbers(values: &[f64], out: &mut Vec<u8>) -> FloatPlan {
    let plain_bytes = size_of_val(values);
    let mut smallest_bytes = plain_bytes;
    let mut decimal = None;
    let mut integers = [0; VECTOR_LEN];
    let mut exact = [0; 16];
    if let Some(exponent) = choose_exponent(values) {
        kernel::floats_to_decimals(values, exponent, &mut integers, &mut exact);
        let exceptions = values.len() - kernel::mask_count(&exact);
        // Few exceptions cost less than the integers; many are a sign of other data than decimals.
        if exceptions * EXCEPTION_BYTES < plain_bytes / 2 {
            let integers = &mut integers[..values.len()];
            if exceptions > 0 {
                fill_gaps(integers, &exact);
            }
            let plan = IntegerPlan::choose(integers, kernel::integer_bounds(integers));
            smallest_bytes = plan.bytes + exceptions * EXCEPTION_BYTES;
            decimal = Some((plan, exponent));
        }
    }
    if decimal.is_none() || smallest_bytes > plain_bytes / 2 {
        let bits = kernel::as_bits(values);
        let plan = IntegerPlan::choose(bits, kernel::integer_bounds(bits));
        // Patches and wide integers are slower than this, and this is slower than plain.
        if plan.bytes <= smallest_bytes && plan.bytes * 20 <= plain_bytes * 19 {
            plan.append(bits, out);
            return FloatPlan::of(&plan, None);
        }
    }
    match decimal {
        Some((plan, exponent)) if smallest_bytes < plain_bytes => {
            plan.append(&integers[..values.len()], out);
            append_exceptions(values, &exact, out);
            FloatPlan::of(&plan, Some(exponent as u32))
        }
        _ => {
            for value in values {
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            FloatPlan { encoding: VectorEncoding::Plain, width: 64, base: 0, exponent: None }
        }
    }
}

fn append_exceptions(values: &[f64], exact: &Mask, out: &mut Vec<u8>) {
    let mut inexact = kernel::mask_first(values.len());
    kernel::mask_and_not(&mut inexact, exact);
    for position in kernel::mask_iter(&inexact) {
        out.extend_from_slice(&(position as u16).to_le_bytes());
    }
    for position in kernel::mask_iter(&inexact) {
        out.extend_from_slice(&values[position].to_bits().to_le_bytes());
    }
}

/// The smallest exponent that leaves the fewest exceptions in a sample; `None` when most are exceptions.
fn choose_exponent(values: &[f64]) -> Option<usize> {
    let mut sample = [0.0; SAMPLE_LEN];
    let len = values.len().min(SAMPLE_LEN);
    for (index, sample) in sample[..len].iter_mut().enumerate() {
        *sample = values[index * values.len() / len];
    }
    let (mut best, mut best_misses) = (None, len / 2 + 1);
    let (mut integers, mut exact) = ([0; SAMPLE_LEN], [0; 16]);
    for exponent in 0..kernel::POWERS_OF_TEN.len() {
        kernel::floats_to_decimals(&sample[..len], exponent, &mut integers, &mut exact);
        let misses = len - kernel::mask_count(&exact);
        if misses < best_misses {
            (best, best_misses) = (Some(exponent), misses);
            if misses == 0 {
                break;
            }
        }
    }
    best
}

/// Decodes `len` floats; `data` is what the encoder appended. Values at NULL positions, and those of `out` from `len`
/// on, are unspecified.
///
/// # Errors
/// When header, data and length do not fit each other.
pub fn decode_f64(
    header: &VectorHeader,
    data: &[u8],
    len: usize,
    out: &mut [f64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    let (numbers, _) = split_mask(header, data, len)?;
    if header.encoding == VectorEncoding::Plain {
        return decode_plain(numbers, &mut out[..len]);
    }
    let Some(exponent) = header.decimal_exponent() else {
        return decode_numbers(header, numbers, len, kernel::as_bits_mut(out));
    };
    let exponent = exponent as usize;
    if exponent >= kernel::POWERS_OF_TEN.len() {
        return Err(DecodeError::new("the decimal exponent is too large"));
    }
    let integer_bytes = super::integer::integer_bytes(header.encoding, u32::from(header.width), len)
        .ok_or(DecodeError::new("the vector does not hold floats"))?;
    let (integers, exceptions) =
        numbers.split_at_checked(integer_bytes).ok_or(DecodeError::new("the packed numbers are cut off"))?;
    decode_numbers(header, integers, len, kernel::as_bits_mut(out))?;
    kernel::decimals_to_floats(&mut out[..len], exponent);
    patch(exceptions, &mut out[..len])
}

fn decode_plain(numbers: &[u8], out: &mut [f64]) -> Result<(), DecodeError> {
    let (words, rest) = numbers.as_chunks::<8>();
    if words.len() != out.len() || !rest.is_empty() {
        return Err(DecodeError::new("plain values do not have the length of the vector"));
    }
    for (out, word) in out.iter_mut().zip(words) {
        *out = f64::from_bits(u64::from_le_bytes(*word));
    }
    Ok(())
}

fn patch(exceptions: &[u8], out: &mut [f64]) -> Result<(), DecodeError> {
    let count = exceptions.len() / EXCEPTION_BYTES;
    if !exceptions.len().is_multiple_of(EXCEPTION_BYTES) {
        return Err(DecodeError::new("an exception is cut off"));
    }
    let (positions, bits) = exceptions.split_at(count * 2);
    for (position, bits) in positions.as_chunks::<2>().0.iter().zip(bits.as_chunks::<8>().0) {
        let value = out
            .get_mut(usize::from(u16::from_le_bytes(*position)))
            .ok_or(DecodeError::new("an exception lies beyond the vector"))?;
        *value = f64::from_bits(u64::from_le_bytes(*bits));
    }
    Ok(())
}
