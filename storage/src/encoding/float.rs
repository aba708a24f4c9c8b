//! Float vectors: decimals as integers (ALP), the bits as integers, split in two (ALP_RD), or plain.
//!
//! Data: the integers as `integer` stores them (or what `split` describes, or 8 bytes per value when plain), then of
//! decimals the exceptions (positions, 2 bytes each, then bits, 8 bytes each), then the validity mask.

use super::column_code::DecodeTable;
use super::fill::{fill_gaps, filled_copy};
use super::header::Outliers;
use super::integer::{decode_coded, decode_numbers};
use super::integer_form::IntegerForm;
use super::integer_plan::IntegerPlan;
use super::kernel;
use super::split::{SplitPlan, decode_split};
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
        param: VectorHeader::param_of(validity.kind(), None, Outliers::Fit),
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
    header.param = VectorHeader::param_of(validity.kind(), plan.exponent, plan.outliers);
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
    outliers: Outliers,
}

impl FloatPlan {
    fn of_integers(plan: &IntegerPlan, exponent: Option<u32>) -> Self {
        let &IntegerPlan { encoding, width, base, outliers, .. } = plan;
        Self { encoding, width: width as u8, base, exponent, outliers }
    }

    fn of_bits(encoding: VectorEncoding, width: u32) -> Self {
        Self { encoding, width: width as u8, base: 0, exponent: None, outliers: Outliers::Fit }
    }
}

/// The candidates for a float vector.
enum Candidate {
    Decimal(IntegerPlan, usize),
    Bits(IntegerPlan),
    Split(SplitPlan),
    Plain,
}

/// Appends the smallest form of `values`.
fn append_numbers(values: &[f64], out: &mut Vec<u8>) -> FloatPlan {
    let plain_bytes = size_of_val(values);
    let (mut best, mut best_bytes) = (Candidate::Plain, plain_bytes);
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
            let bytes = plan.bytes + exceptions * EXCEPTION_BYTES;
            if bytes < plain_bytes {
                (best, best_bytes) = (Candidate::Decimal(plan, exponent), bytes);
            }
        }
    }
    let bits = kernel::as_bits(values);
    if best_bytes * 2 > plain_bytes {
        let plan = IntegerPlan::choose(bits, kernel::integer_bounds(bits));
        // Patches and wide integers are slower than this, and this is slower than plain.
        if plan.bytes <= best_bytes && plan.bytes * 20 <= plain_bytes * 19 {
            (best, best_bytes) = (Candidate::Bits(plan), plan.bytes);
        }
    }
    // A split keeps at least three quarters of the bits, and decodes slower than any other form.
    if best_bytes * 4 > plain_bytes * 3
        && let Some(plan) = SplitPlan::choose(bits, best_bytes * 15 / 16)
    {
        best = Candidate::Split(plan);
    }
    match best {
        Candidate::Decimal(plan, exponent) => {
            plan.append(&integers[..values.len()], out);
            append_exceptions(values, &exact, out);
            FloatPlan::of_integers(&plan, Some(exponent as u32))
        }
        Candidate::Bits(plan) => {
            plan.append(bits, out);
            FloatPlan::of_integers(&plan, None)
        }
        Candidate::Split(plan) => {
            plan.append(bits, out);
            FloatPlan::of_bits(VectorEncoding::Split, plan.right_width)
        }
        Candidate::Plain => {
            for value in values {
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            FloatPlan::of_bits(VectorEncoding::Plain, u64::BITS)
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

/// The integers and the exponent of which all values are `integer / 10^exponent`, bit for bit; `None` when one is not.
pub(crate) fn as_decimals(values: &[f64]) -> Option<(Vec<i64>, usize)> {
    let exponent = choose_exponent(values)?;
    let mut integers = vec![0; values.len()];
    for (values, integers) in values.chunks(VECTOR_LEN).zip(integers.chunks_mut(VECTOR_LEN)) {
        let mut exact = [0; 16];
        kernel::floats_to_decimals(values, exponent, integers, &mut exact);
        if kernel::mask_count(&exact) < values.len() {
            return None;
        }
    }
    Some((integers, exponent))
}

/// What the integers of [`as_decimals`] are to be divided by; `None` for an exponent that it does not give.
pub(crate) fn power_of_ten(exponent: usize) -> Option<f64> {
    kernel::POWERS_OF_TEN.get(exponent).copied()
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
    decode_column_f64(header, data, len, None, out)
}

/// The same for a vector of a column that has a code.
///
/// # Errors
/// When header, data, code and length do not fit each other.
pub fn decode_column_f64(
    header: &VectorHeader,
    data: &[u8],
    len: usize,
    code: Option<&DecodeTable>,
    out: &mut [f64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    let (numbers, _) = split_mask(header, data, len)?;
    if header.encoding == VectorEncoding::Plain {
        return decode_plain(numbers, &mut out[..len]);
    }
    if header.encoding == VectorEncoding::Split {
        return decode_split(header, numbers, len, kernel::as_bits_mut(out));
    }
    let mut exceptions = numbers;
    if header.is_coded() {
        decode_coded(header, &mut exceptions, len, code, kernel::as_bits_mut(out))?;
    }
    let Some(exponent) = header.decimal_exponent() else {
        return match (header.is_coded(), exceptions) {
            (true, []) => Ok(()),
            (true, _) => Err(DecodeError::new("the numbers have more bytes than the header says")),
            (false, _) => decode_numbers(header, numbers, len, kernel::as_bits_mut(out)),
        };
    };
    let exponent = exponent as usize;
    if exponent >= kernel::POWERS_OF_TEN.len() {
        return Err(DecodeError::new("the decimal exponent is too large"));
    }
    if !header.is_coded() {
        IntegerForm::take(header, &mut exceptions, len)?.decode(len, kernel::as_bits_mut(out))?;
    }
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
