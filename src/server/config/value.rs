//! Values of keys as text: sizes, times, counts, lists.

use std::path::PathBuf;
use std::time::Duration;

/// Units of sizes, the largest first.
const SIZES: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Units of times in nanoseconds, the largest first.
const TIMES: [(&str, u64); 6] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// A number with one of some units, as a number of the smallest; `None` without one of them.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = text[digits..].trim_start();
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    text[..digits].parse::<u64>().ok()?.checked_mul(*factor)
}

fn show_unit(value: u64, units: &[(&str, u64)]) -> Option<String> {
    let (name, factor) = units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))?;
    Some(format!("{}{name}", value / factor))
}

/// Bytes: `16MiB`, `4096`.
pub(super) mod bytes {
    pub(in crate::server::config) fn read<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
        let value = text.parse().ok().or_else(|| super::with_unit(text, &super::SIZES));
        value
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| format!("'{text}' is no size: write bytes, or a number with KiB, MiB, GiB or TiB"))
    }

    pub(in crate::server::config) fn show<T: Copy + TryInto<u64>>(value: &T) -> String {
        let value: u64 = (*value).try_into().unwrap_or(u64::MAX);
        super::show_unit(value, &super::SIZES).unwrap_or_else(|| value.to_string())
    }
}

/// Times: `10s`, `500ms`, `1h`.
pub(super) mod time {
    use super::Duration;

    pub(in crate::server::config) fn read(text: &str) -> Result<Duration, String> {
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        super::with_unit(text, &super::TIMES)
            .map(Duration::from_nanos)
            .ok_or_else(|| format!("'{text}' is no time: write a number with us, ms, s, m, h or d, such as 10s"))
    }

    pub(in crate::server::config) fn show(value: &Duration) -> String {
        let value = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        super::show_unit(value, &super::TIMES).unwrap_or_else(|| "0".into())
    }
}

/// Whole numbers.
pub(super) mod count {
    pub(in crate::server::config) fn read<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
        let value = text.replace('_', "").parse::<u64>().ok();
        value.and_then(|value| T::try_from(value).ok()).ok_or_else(|| format!("'{text}' is no whole number"))
    }

    pub(in crate::server::config) fn show<T: Copy + TryInto<u64>>(value: &T) -> String {
        (*value).try_into().unwrap_or(u64::MAX).to_string()
    }
}

/// Numbers above 0 that may have a fraction.
pub(super) mod number {
    pub(in crate::server::config) fn read(text: &str) -> Result<f64, String> {
        let value = text.replace('_', "").parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
        value.ok_or_else(|| format!("'{text}' is no number above 0"))
    }

    pub(in crate::server::config) fn show(value: &f64) -> String {
        value.to_string()
    }
}

/// `true`, `false`.
pub(super) mod switch {
    pub(in crate::server::config) fn read(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| format!("'{text}' is neither true nor false"))
    }

    pub(in crate::server::config) fn show(value: &bool) -> String {
        value.to_string()
    }
}

/// Files and directories; the empty text is none.
pub(super) mod path {
    use super::PathBuf;

    pub(in crate::server::config) fn read(text: &str) -> Result<Option<PathBuf>, String> {
        Ok((!text.is_empty()).then(|| text.into()))
    }

    pub(in crate::server::config) fn show(value: &Option<PathBuf>) -> String {
        value.as_ref().map_or_else(String::new, |path| path.display().to_string())
    }
}

/// Texts as they are; the empty text is none.
pub(super) mod text {
    pub(in crate::server::config) fn read(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    pub(in crate::server::config) fn show(value: &str) -> String {
        value.to_owned()
    }
}

/// Parts of a whole: `1`, `0.05`.
pub(super) mod ratio {
    pub(in crate::server::config) fn read(text: &str) -> Result<f64, String> {
        let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
        value.ok_or_else(|| format!("'{text}' is no part of a whole: write a number from 0 to 1"))
    }

    pub(in crate::server::config) fn show(value: &f64) -> String {
        value.to_string()
    }
}

/// Texts separated by commas.
pub(super) mod list {
    pub(in crate::server::config) fn read(text: &str) -> Result<Vec<String>, String> {
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    pub(in crate::server::config) fn show(value: &[String]) -> String {
        value.join(",")
    }
}

/// Words that serde knows.
pub(super) mod word {
    use serde::Serialize;
    use serde::de::value::{Error, StrDeserializer};
    use serde::de::{Deserialize, IntoDeserializer};

    pub(in crate::server::config) fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, String> {
        let deserializer: StrDeserializer<'t, Error> = text.into_deserializer();
        T::deserialize(deserializer).map_err(|error| error.to_string())
    }

    pub(in crate::server::config) fn show(value: &impl Serialize) -> String {
        match serde_json::to_value(value) {
            Ok(serde_json::Value::String(text)) => text,
            other => format!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_back_as_they_are_shown() {
        for (text, value) in
            [("0", 0_u64), ("1", 1), ("1KiB", 1024), ("1536", 1536), ("16MiB", 16 << 20), ("3TiB", 3 << 40)]
        {
            assert_eq!(bytes::read::<u64>(text), Ok(value));
            assert_eq!(bytes::show(&value), text);
        }
        assert_eq!(bytes::read::<u64>("2 mib"), Ok(2 << 20));
        for text in ["", "x", "-1", "1MB", "1.5GiB", "99999999999999TiB"] {
            assert!(bytes::read::<u64>(text).is_err(), "{text}");
        }
        for (text, value) in [
            ("0", Duration::ZERO),
            ("500ms", Duration::from_millis(500)),
            ("90s", Duration::from_secs(90)),
            ("2h", Duration::from_secs(7200)),
        ] {
            assert_eq!(time::read(text), Ok(value));
            assert_eq!(time::show(&value), text);
        }
        for text in ["10", "s", "1y", "-1s"] {
            assert!(time::read(text).is_err(), "{text}");
        }
        assert_eq!(count::read::<u32>("50_000"), Ok(50_000));
        assert!(count::read::<u32>("5000000000").is_err());
        assert_eq!(ratio::read("0.05"), Ok(0.05));
        assert_eq!(ratio::show(&1.0), "1");
        for text in ["", "-0.1", "1.1", "NaN", "5%"] {
            assert!(ratio::read(text).is_err(), "{text}");
        }
        for (text, value) in [("0.01", 0.01), ("100000", 100_000.0)] {
            assert_eq!(number::read(text), Ok(value));
            assert_eq!(number::show(&value), text);
        }
        for text in ["", "0", "-1", "NaN", "inf", "1%"] {
            assert!(number::read(text).is_err(), "{text}");
        }
        assert_eq!(list::read(" a, b,,"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    }
}
