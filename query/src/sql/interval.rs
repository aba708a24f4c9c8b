//! Times and spans of time as they stand in SQL text.

use arrow::compute::kernels::cast_utils::{parse_interval_month_day_nano, string_to_timestamp_nanos};
use arrow::datatypes::IntervalMonthDayNanoType;

use crate::error::{Error, Result};
use crate::scalar::Interval;

/// Reads `2026-01-01`, `2026-01-01T00:00:00Z`, `2026-01-01 00:00:00.123+02:00` and the like; without an offset, UTC.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64> {
    string_to_timestamp_nanos(text.trim())
        .map_err(|_| Error::plan(format!("'{text}' is no timestamp: write it like '2026-01-31T12:00:00Z'")))
}

/// Reads `1 minute`, `1 hour 30 minutes`, `1.5 days`, `1 month`, and the short forms `90s`, `1m`, `1h30m`, `1d`.
pub(crate) fn parse_interval(text: &str) -> Result<Interval> {
    // Arrow reads the forms with colons, `1 day 02:30:00`; of the others it takes more than we want to promise.
    let interval = if text.contains(':') {
        parse_interval_month_day_nano(text).ok().map(|value| {
            let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(value);
            Interval { months, days, nanos }
        })
    } else {
        parse_parts(text)
    };
    interval
        .ok_or_else(|| Error::plan(format!("'{text}' is no interval: write it like '5 minutes', '1h' or '1 month'")))
}

fn parse_parts(text: &str) -> Option<Interval> {
    let mut rest = text.trim();
    let mut total = Interval::default();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))?;
        let number = &rest[..number_len];
        let tail = rest[number_len..].trim_start();
        let unit_len = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        add_part(&mut total, number, &tail[..unit_len])?;
        rest = tail[unit_len..].trim_start();
    }
    Some(total)
}

fn add_part(total: &mut Interval, number: &str, unit: &str) -> Option<()> {
    const SECOND_NS: i64 = 1_000_000_000;
    let unit_ns = match unit.to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => 1,
        "us" | "microsecond" | "microseconds" => 1_000,
        "ms" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND_NS,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND_NS,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * SECOND_NS,
        "d" | "day" | "days" => return add_days(total, number, 1),
        "w" | "week" | "weeks" => return add_days(total, number, 7),
        "mon" | "mons" | "month" | "months" => return add_months(total, number, 1),
        "quarter" | "quarters" => return add_months(total, number, 3),
        "y" | "year" | "years" => return add_months(total, number, 12),
        _ => return None,
    };
    let nanos = match number.parse::<i64>() {
        Ok(count) => count.checked_mul(unit_ns)?,
        Err(_) => float_to_ns(number.parse::<f64>().ok()? * unit_ns as f64)?,
    };
    total.nanos = total.nanos.checked_add(nanos)?;
    Some(())
}

fn add_days(total: &mut Interval, number: &str, days_per_unit: i32) -> Option<()> {
    const DAY_NS: f64 = 86_400e9;
    match number.parse::<i32>() {
        Ok(count) => total.days = total.days.checked_add(count.checked_mul(days_per_unit)?)?,
        Err(_) => {
            let nanos = float_to_ns(number.parse::<f64>().ok()? * f64::from(days_per_unit) * DAY_NS)?;
            total.nanos = total.nanos.checked_add(nanos)?;
        }
    }
    Some(())
}

fn add_months(total: &mut Interval, number: &str, months_per_unit: i32) -> Option<()> {
    let months = number.parse::<i32>().ok()?.checked_mul(months_per_unit)?;
    total.months = total.months.checked_add(months)?;
    Some(())
}

fn float_to_ns(nanos: f64) -> Option<i64> {
    // 2^63 is exact as a float, so everything below it fits.
    (nanos.abs() < 9_223_372_036_854_775_808.0).then_some(nanos.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_forms_agree() {
        for (long, short) in
            [("1 minute", "1m"), ("1 hour 30 minutes", "1h30m"), ("2 weeks", "14d"), ("1 year", "12 months")]
        {
            assert_eq!(parse_interval(long).unwrap(), parse_interval(short).unwrap(), "{long}");
        }
        assert_eq!(parse_interval("1.5 s").unwrap().nanos, 1_500_000_000);
        assert_eq!(parse_interval("-5 minutes").unwrap().nanos, -300_000_000_000);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "minute", "1 parsec", "999999999999 hours", "1", "1..2 s"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_without_offset_are_utc() {
        let expected = 1_767_225_600_000_000_000;
        for text in ["2026-01-01", "2026-01-01 00:00:00", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00"] {
            assert_eq!(parse_timestamp(text).unwrap(), expected, "{text}");
        }
        assert!(parse_timestamp("yesterday").is_err());
        assert!(parse_timestamp("9999-01-01").is_err());
    }
}
