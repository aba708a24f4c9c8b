//! Integer vectors: constant, regular, frame of reference, linear, delta and runs, whichever is smallest.
//!
//! Data: the numbers as `integer_plan` appends and `integer_form` reads them, then the validity mask.

use super::coded::CodedNumbers;
use super::column_code::DecodeTable;
use super::fill::filled_copy;
use super::header::Outliers;
use super::integer_form::IntegerForm;
use super::integer_plan::IntegerPlan;
use super::kernel::{self, CompareOp};
use super::validity::{Validity, ValidityKind, split_mask};
use super::{DecodeError, Mask, VECTOR_LEN, VectorEncoding, VectorHeader, ZoneMap};

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
    let bounds = kernel::integer_bounds(filled);
    let plan = IntegerPlan::choose(filled, bounds);
    plan.append(filled, out);
    validity.append_to(values.len(), out);
    (header.encoding, header.width, header.base) = (plan.encoding, plan.width as u8, plan.base);
    header.param = VectorHeader::param_of(validity.kind(), None, plan.outliers);
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
    decode_column_i64(header, data, len, None, out)
}

/// The same for a vector of a column that has a code.
///
/// # Errors
/// When header, data, code and length do not fit each other.
pub fn decode_column_i64(
    header: &VectorHeader,
    data: &[u8],
    len: usize,
    code: Option<&DecodeTable>,
    out: &mut [i64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    let (numbers, _) = split_mask(header, data, len)?;
    if header.decimal_exponent().is_some() {
        return Err(DecodeError::new("the vector holds floats"));
    }
    if !header.is_coded() {
        return decode_numbers(header, numbers, len, out);
    }
    let mut rest = numbers;
    decode_coded(header, &mut rest, len, code, out)?;
    match rest {
        [] => Ok(()),
        _ => Err(DecodeError::new("the numbers have more bytes than the header says")),
    }
}

/// Decodes the numbers of a coded vector off the front of `rest`.
// Most vectors are not coded: never inlined into the decoding of those.
#[inline(never)]
pub(super) fn decode_coded(
    header: &VectorHeader,
    rest: &mut &[u8],
    len: usize,
    code: Option<&DecodeTable>,
    out: &mut [i64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    let code = code.ok_or(DecodeError::new("the column of a coded vector has no code"))?;
    CodedNumbers::take(header, rest, len)?.decode(code, len, out)
}

/// Decodes `numbers`, the data of a vector without its mask and without what else a float vector has.
#[inline]
pub(super) fn decode_numbers(
    header: &VectorHeader,
    numbers: &[u8],
    len: usize,
    out: &mut [i64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    let mut rest = numbers;
    let form = IntegerForm::take(header, &mut rest, len)?;
    if !rest.is_empty() {
        return Err(DecodeError::new("the numbers have more bytes than the header says"));
    }
    form.decode(len, out)
}

/// The sum of all values of an integer vector without NULLs, computed on the packed numbers.
///
/// `None` when the vector has NULLs, does not fit its header, or is stored in a way that has no such shortcut.
pub fn sum_vector_i64(header: &VectorHeader, data: &[u8], len: usize) -> Option<i128> {
    whole_form(header, data, len)?.sum(len)
}

/// Minimum and maximum of all values of an integer vector without NULLs, computed on the packed numbers.
///
/// `None` when the vector has NULLs, does not fit its header, or is stored in a way that has no such shortcut.
pub fn min_max_vector_i64(header: &VectorHeader, data: &[u8], len: usize) -> Option<(i64, i64)> {
    whole_form(header, data, len)?.min_max(len)
}

/// Which values of an integer vector satisfy `value op constant`, computed on the packed numbers. Bits of NULLs are
/// unspecified, those from `len` on are 0.
///
/// `None` when the vector does not fit its header or is stored in a way that has no such shortcut.
pub fn compare_vector_i64(
    header: &VectorHeader,
    data: &[u8],
    len: usize,
    op: CompareOp,
    constant: i64,
) -> Option<Mask> {
    integer_form(header, data, len)?.compare(len, op, constant)
}

/// The form of a vector of integers.
// Inlined for the reason that `IntegerForm::take` is.
#[inline(always)]
pub(super) fn integer_form<'a>(header: &VectorHeader, data: &'a [u8], len: usize) -> Option<IntegerForm<'a>> {
    let (mut rest, _) = split_mask(header, data, len).ok()?;
    let form = IntegerForm::take(header, &mut rest, len).ok()?;
    (rest.is_empty() && header.decimal_exponent().is_none()).then_some(form)
}

/// The form of a vector of integers without NULLs.
#[inline(always)]
pub(super) fn whole_form<'a>(header: &VectorHeader, data: &'a [u8], len: usize) -> Option<IntegerForm<'a>> {
    let is_whole = header.validity_kind() == Ok(ValidityKind::AllValid);
    integer_form(header, data, len).filter(|_| is_whole)
}
