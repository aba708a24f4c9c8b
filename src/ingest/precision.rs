//! The unit of times that are numbers, which is said for a whole request.

use std::str::FromStr;

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// By the size of each number, with the bounds of InfluxDB 3: below 5e9 seconds, below 5e12 milliseconds, below 5e15
    /// microseconds, else nanoseconds.
    Auto,
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Precision {
    /// The nanoseconds of a number in this unit; `None` when they do not fit.
    #[inline]
    pub fn nanoseconds(self, number: i64) -> Option<i64> {
        number.checked_mul(self.unit_ns(number.unsigned_abs()))
    }

    /// Nanoseconds in one of the unit; `magnitude` is that of the number, for `Auto`.
    pub(crate) fn unit_ns(self, magnitude: u64) -> i64 {
        match self {
            Self::Auto => match magnitude {
                0..5_000_000_000 => 1_000_000_000,
                5_000_000_000..5_000_000_000_000 => 1_000_000,
                5_000_000_000_000..5_000_000_000_000_000 => 1_000,
                _ => 1,
            },
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    /// The names of all three versions of the protocol.
    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "auto" => Self::Auto,
            "" | "n" | "ns" | "nanosecond" => Self::Nanoseconds,
            "u" | "\u{b5}" | "us" | "microsecond" => Self::Microseconds,
            "ms" | "millisecond" => Self::Milliseconds,
            "s" | "second" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            other => {
                let end = other.floor_char_boundary(40);
                return Err(format!("precision {:?} is unknown: use ns, us, ms or s", &other[..end]));
            }
        })
    }
}
