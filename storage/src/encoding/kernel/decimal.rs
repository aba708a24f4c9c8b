//! Floats as integers times a power of ten (ALP): `value == integer / 10^exponent`, bit for bit, or the value is patched.
//!
//! The division is exact in the sense of IEEE 754, so every decimal number of up to 15 digits is found at the exponent
//! that equals its number of decimal places, without exceptions; multiplying by an inexact 10^-e would miss some.
//!
//! Where there is a fused multiply-add, the quotient comes from `q = a * y` with `y` the double next to `1 / b`, and one
//! correction `q + (a - b * q) * y`. That is the correctly rounded quotient for `|a| <= 2^51` and `b = 10^e`, `e <= 18`:
//! `q` is off by less than 1.5 ulp, so the remainder, a multiple of `2^e ulp(q)` below `1.5 * 5^18 * 2^e ulp(q)`, is
//! exact, and the corrected quotient is off by less than `1.5 * 2^-53` ulp before it is rounded. The nearest point where
//! rounding changes direction is at least `5^-18 / 2 > 2^-43` ulp away from `a / b`, or else is `a / b` itself, which
//! would need an `a` of 54 significant bits. All instruction sets therefore agree.

use super::level::{Level, dispatch};
use crate::encoding::Mask;

/// The powers of ten that values are scaled by; doubles hold them exactly.
pub(crate) const POWERS_OF_TEN: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// 1.5 * 2^52: added to a double within +-2^51 it leaves the nearest integer in the low bits of the mantissa, which
/// converts both ways with one addition in every instruction set.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

dispatch! {
    /// Writes the integers of `values` to `out`, which is at least as long; clears the bits in `exact` of those that do not come back bit for bit. Bits of
    /// `exact` beyond the values are cleared too.
    pub(crate) fn floats_to_decimals(values: &[f64], exponent: usize, out: &mut [i64], exact: &mut Mask) =
        floats_to_decimals_fused, floats_to_decimals_fused, floats_to_decimals_divided;

    /// Turns integers into floats in place.
    pub(crate) fn decimals_to_floats(values: &mut [f64], exponent: usize) =
        decimals_to_floats_fused, decimals_to_floats_fused, decimals_to_floats_divided;
}

/// How a quotient is computed; both ways give the same bits.
trait Divide: Copy {
    fn by(self, dividend: f64) -> f64;
}

/// With the division of the processor, which is slow but everywhere.
#[derive(Clone, Copy)]
struct Divided {
    power: f64,
}

/// With fused multiply-adds, for which the caller must be compiled, or they are slower still.
#[derive(Clone, Copy)]
struct Fused {
    power: f64,
    inverse: f64,
}

impl Divide for Divided {
    #[inline(always)]
    fn by(self, dividend: f64) -> f64 {
        dividend / self.power
    }
}

impl Divide for Fused {
    #[inline(always)]
    fn by(self, dividend: f64) -> f64 {
        let quotient = dividend * self.inverse;
        let remainder = quotient.mul_add(-self.power, dividend);
        remainder.mul_add(self.inverse, quotient)
    }
}

/// The integer next to `value * power`; something else when that is beyond +-2^51.
#[inline(always)]
fn float_to_decimal(value: f64, power: f64) -> i64 {
    (value * power + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed()
}

/// The integer as a float; something else when it is beyond +-2^51.
#[inline(always)]
fn integer_to_float(integer: i64) -> f64 {
    f64::from_bits(integer.cast_unsigned().wrapping_add(ROUNDER.to_bits())) - ROUNDER
}

#[inline(always)]
fn floats_to_decimals_fused(values: &[f64], exponent: usize, out: &mut [i64], exact: &mut Mask) {
    let power = POWERS_OF_TEN[exponent];
    floats_to_decimals_body(values, power, Fused { power, inverse: 1.0 / power }, out, exact);
}

#[inline(always)]
fn floats_to_decimals_divided(values: &[f64], exponent: usize, out: &mut [i64], exact: &mut Mask) {
    let power = POWERS_OF_TEN[exponent];
    floats_to_decimals_body(values, power, Divided { power }, out, exact);
}

#[inline(always)]
fn floats_to_decimals_body(values: &[f64], power: f64, quotient: impl Divide, out: &mut [i64], exact: &mut Mask) {
    *exact = [0; 16];
    for ((values, out), word) in values.chunks(64).zip(out.chunks_mut(64)).zip(exact) {
        let mut is_exact = [0u8; 64];
        for ((value, out), is_exact) in values.iter().zip(out).zip(&mut is_exact) {
            let integer = float_to_decimal(*value, power);
            *out = integer;
            // The proof above does not hold beyond 2^51, where integers would not come back from the rounder anyway.
            let in_range = integer.wrapping_add(1 << 51).cast_unsigned() <= 1 << 52;
            let back = quotient.by(integer_to_float(integer));
            *is_exact = u8::from((back.to_bits() == value.to_bits()) & in_range);
        }
        *word = super::mask::word_of_bytes(&is_exact);
    }
}

#[inline(always)]
fn decimals_to_floats_fused(values: &mut [f64], exponent: usize) {
    let power = POWERS_OF_TEN[exponent];
    decimals_to_floats_body(values, exponent, Fused { power, inverse: 1.0 / power });
}

#[inline(always)]
fn decimals_to_floats_divided(values: &mut [f64], exponent: usize) {
    decimals_to_floats_body(values, exponent, Divided { power: POWERS_OF_TEN[exponent] });
}

#[inline(always)]
fn decimals_to_floats_body(values: &mut [f64], exponent: usize, quotient: impl Divide) {
    if exponent == 0 {
        for value in values {
            *value = integer_to_float(value.to_bits().cast_signed());
        }
    } else {
        for value in values {
            *value = quotient.by(integer_to_float(value.to_bits().cast_signed()));
        }
    }
}
