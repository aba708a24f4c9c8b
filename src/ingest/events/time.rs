//! The time of an event: RFC 3339, or a number since 1970 in any unit.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

use super::MemberValue;
use crate::ingest::Precision;
use crate::ingest::rows::{RowFault, RowReason, quoted};

/// Nanoseconds of a time.
pub(in crate::ingest) fn nanoseconds(value: &MemberValue, unit: Precision) -> Result<i64, RowFault> {
    let time_ns = match value {
        MemberValue::I64(number) => unit.nanoseconds(*number),
        MemberValue::F64(number) => of_float(*number, unit),
        MemberValue::String(text) => match text.parse::<i64>() {
            Ok(number) => unit.nanoseconds(number),
            Err(_) => string_to_timestamp_nanos(text.trim()).ok(),
        },
        MemberValue::U64(_) | MemberValue::Bool(_) => None,
    };
    time_ns.ok_or_else(|| {
        let shown = match value {
            MemberValue::String(text) => quoted(text.as_bytes()),
            other => format!("{other:?}"),
        };
        let detail = format!("the time {shown} is neither RFC 3339 nor a number that fits in 64-bit nanoseconds");
        RowFault::new(RowReason::InvalidTime, detail)
    })
}

/// The whole part and the fraction each on their own: together they need more digits than a float has.
fn of_float(number: f64, unit: Precision) -> Option<i64> {
    const EXACT_MAX: f64 = 9e18;
    if number.is_nan() || number.abs() > EXACT_MAX {
        return None;
    }
    let whole = number.trunc() as i64;
    let unit_ns = unit.unit_ns(whole.unsigned_abs());
    let fraction_ns = ((number - number.trunc()) * unit_ns as f64).round() as i64;
    whole.checked_mul(unit_ns)?.checked_add(fraction_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_text_or_numbers_of_any_unit() {
        let expected = 1_700_000_000_500_000_000;
        let text = |text: &str| MemberValue::String(text.into());
        for value in [
            text("2023-11-14T22:13:20.5Z"),
            text("2023-11-14T23:13:20.500+01:00"),
            text("1700000000500"),
            MemberValue::I64(1_700_000_000_500),
            MemberValue::I64(1_700_000_000_500_000),
            MemberValue::F64(1_700_000_000.5),
        ] {
            assert_eq!(nanoseconds(&value, Precision::Auto), Ok(expected), "{value:?}");
        }
        assert_eq!(nanoseconds(&MemberValue::I64(2), Precision::Milliseconds), Ok(2_000_000));
        assert_eq!(nanoseconds(&MemberValue::F64(-1.5), Precision::Seconds), Ok(-1_500_000_000));
        for value in [
            text(""),
            text("yesterday"),
            MemberValue::Bool(true),
            MemberValue::U64(u64::MAX),
            MemberValue::F64(1e300),
            MemberValue::I64(i64::MAX),
        ] {
            assert_eq!(
                nanoseconds(&value, Precision::Seconds).unwrap_err().reason,
                RowReason::InvalidTime,
                "{value:?}"
            );
        }
    }
}
