//! Numbers of line protocol, read in one pass.
//!
//! A decimal number of up to 19 digits whose value and power of ten are exact in binary is their quotient, rounded once
//! and so correctly (Clinger 1990, "How to Read Floating Point Numbers Accurately", the fast path). Every other number is
//! left to the standard library.

use super::LineValue;

/// Powers of ten that are exact as f64.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Integers up to here are exact as f64.
const EXACT_INTEGER_MAX: u64 = 1 << 53;
/// Decimal digits that always fit in 64 bits.
const DIGITS_MAX: usize = 19;

/// Reads the number at the start of `bytes`. Returns it with its length; `None` when there is none. What follows it is
/// for the caller to check.
#[inline]
pub(super) fn parse_number(bytes: &[u8]) -> Option<(LineValue<'static>, usize)> {
    let is_negative = bytes.first() == Some(&b'-');
    let start = usize::from(is_negative || bytes.first() == Some(&b'+'));
    let (mut digits, mut end) = (0_u64, start);
    while let Some(digit) = digit(bytes, end) {
        digits = digits.wrapping_mul(10).wrapping_add(digit);
        end += 1;
    }
    let whole_end = end;
    if bytes.get(end) == Some(&b'.') {
        end += 1;
        while let Some(digit) = digit(bytes, end) {
            digits = digits.wrapping_mul(10).wrapping_add(digit);
            end += 1;
        }
    }
    let has_point = end > whole_end;
    let digit_count = end - start - usize::from(has_point);
    if digit_count == 0 {
        return None;
    }
    match bytes.get(end) {
        Some(b'i') if !has_point => {
            let number = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
            return Some((LineValue::I64(number), end + 1));
        }
        Some(b'u') if !has_point && !is_negative => {
            let number = std::str::from_utf8(&bytes[start..end]).ok()?.parse().ok()?;
            return Some((LineValue::U64(number), end + 1));
        }
        Some(b'e' | b'E') => return parse_slowly(bytes, end),
        _ => {}
    }
    let decimals = if has_point { end - whole_end - 1 } else { 0 };
    if digit_count > DIGITS_MAX || digits > EXACT_INTEGER_MAX || decimals >= EXACT_POWERS.len() {
        return parse_slowly(bytes, end);
    }
    let magnitude = digits as f64 / EXACT_POWERS[decimals];
    Some((LineValue::F64(if is_negative { -magnitude } else { magnitude }), end))
}

#[inline]
fn digit(bytes: &[u8], position: usize) -> Option<u64> {
    let digit = bytes.get(position)?.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

/// A float with an exponent or many digits; `end` is that of its digits.
fn parse_slowly(bytes: &[u8], mut end: usize) -> Option<(LineValue<'static>, usize)> {
    if let Some(b'e' | b'E') = bytes.get(end) {
        end += 1;
        end += usize::from(matches!(bytes.get(end), Some(b'+' | b'-')));
        while digit(bytes, end).is_some() {
            end += 1;
        }
    }
    let number: f64 = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    // 1e999 is no number that a sender has.
    number.is_finite().then_some((LineValue::F64(number), end))
}

/// Reads a timestamp, all of `bytes`.
#[inline]
pub(super) fn parse_time(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
