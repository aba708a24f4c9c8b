//! Writes counts, sizes and durations for people.

use std::time::Duration;

/// `8640000` as `8,640,000`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(crate) fn plural(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// Three significant digits with a unit that fits.
pub(crate) fn duration(value: Duration) -> String {
    let seconds = value.as_secs_f64();
    if seconds < 1e-3 {
        format!("{} µs", three_digits(seconds * 1e6))
    } else if seconds < 1.0 {
        format!("{} ms", three_digits(seconds * 1e3))
    } else {
        format!("{} s", three_digits(seconds))
    }
}

/// Decimal units, as disks are sold.
pub(crate) fn bytes(value: u64) -> String {
    let exact = value as f64;
    if value < 1_000 {
        format!("{value} B")
    } else if value < 1_000_000 {
        format!("{} kB", three_digits(exact / 1e3))
    } else if value < 1_000_000_000 {
        format!("{} MB", three_digits(exact / 1e6))
    } else {
        format!("{} GB", three_digits(exact / 1e9))
    }
}

fn three_digits(value: f64) -> String {
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 8_640_000].map(count), ["0", "999", "1,000", "8,640,000"]);
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(0, "row"), "0 rows");
    }

    #[test]
    fn durations_and_sizes_have_a_unit_that_fits() {
        let texts = [9_500, 999_000, 1_234_000, 2_000_000_000].map(|ns| duration(Duration::from_nanos(ns)));
        assert_eq!(texts, ["9.50 µs", "999 µs", "1.23 ms", "2.00 s"]);
        assert_eq!([12, 48_200, 58_000_000].map(bytes), ["12 B", "48.2 kB", "58.0 MB"]);
    }
}
