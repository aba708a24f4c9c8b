//! Time buckets: the aligned spans of `time_bucket`, `date_bin` and `date_trunc`.
//!
//! A bucket has an ordinal, so that an executor can count buckets instead of comparing times. Times before the epoch
//! floor like those after it. A start below the range of time is clamped to its end.

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// Spans of a fixed width.
    Fixed {
        /// Width, positive.
        width_ns: i64,
        /// Start of bucket 0, in `0..width_ns`.
        offset_ns: i64,
    },
    /// Spans of calendar months.
    Months {
        /// Months of a span, positive.
        count: i32,
        /// The first month of bucket 0, counted from January 1970.
        offset: i32,
    },
}

const DAY_NS: i64 = 86_400_000_000_000;

impl Bucket {
    /// Spans of `width_ns` that start at `origin_ns` and its multiples.
    pub(crate) fn fixed(width_ns: i64, origin_ns: i64) -> Self {
        Self::Fixed { width_ns, offset_ns: origin_ns.rem_euclid(width_ns) }
    }

    /// Spans of `count` months, aligned to the month of `origin_ns`.
    pub(crate) fn months(count: i32, origin_ns: i64) -> Self {
        Self::Months { count, offset: month_of(origin_ns).rem_euclid(count) }
    }

    /// The span that `date_trunc` names.
    pub(crate) fn from_unit(unit: &str) -> Option<Self> {
        const SECOND_NS: i64 = 1_000_000_000;
        // Weeks start on Monday; 1970-01-05 was one.
        const MONDAY_NS: i64 = 4 * DAY_NS;
        Some(match unit.to_ascii_lowercase().as_str() {
            "microsecond" => Self::fixed(1_000, 0),
            "millisecond" => Self::fixed(1_000_000, 0),
            "second" => Self::fixed(SECOND_NS, 0),
            "minute" => Self::fixed(60 * SECOND_NS, 0),
            "hour" => Self::fixed(3_600 * SECOND_NS, 0),
            "day" => Self::fixed(DAY_NS, 0),
            "week" => Self::fixed(7 * DAY_NS, MONDAY_NS),
            "month" => Self::months(1, 0),
            "quarter" => Self::months(3, 0),
            "year" => Self::months(12, 0),
            _ => return None,
        })
    }

    /// The number of the bucket that holds `time_ns`.
    pub(crate) fn ordinal(self, time_ns: i64) -> i64 {
        match self {
            Self::Fixed { width_ns, offset_ns } => {
                // Floor first and correct by the offset afterwards: `time_ns - offset_ns` could overflow.
                let ordinal = time_ns.div_euclid(width_ns);
                if time_ns.rem_euclid(width_ns) < offset_ns { ordinal - 1 } else { ordinal }
            }
            Self::Months { count, offset } => i64::from((month_of(time_ns) - offset).div_euclid(count)),
        }
    }

    /// The first time of bucket `ordinal`.
    pub(crate) fn start(self, ordinal: i64) -> i64 {
        match self {
            Self::Fixed { width_ns, offset_ns } => {
                clamp(i128::from(ordinal) * i128::from(width_ns) + i128::from(offset_ns))
            }
            Self::Months { count, offset } => {
                month_start(ordinal.saturating_mul(i64::from(count)).saturating_add(i64::from(offset)))
            }
        }
    }

    /// The last time of bucket `ordinal`.
    pub(crate) fn last(self, ordinal: i64) -> i64 {
        match self {
            Self::Fixed { width_ns, offset_ns } => {
                clamp((i128::from(ordinal) + 1) * i128::from(width_ns) + i128::from(offset_ns) - 1)
            }
            Self::Months { .. } => match self.start(ordinal.saturating_add(1)) {
                i64::MAX => i64::MAX,
                next => next - 1,
            },
        }
    }

    /// The start of the bucket that holds `time_ns`.
    pub(crate) fn floor(self, time_ns: i64) -> i64 {
        match self {
            Self::Fixed { width_ns, offset_ns } => {
                let past = (time_ns.rem_euclid(width_ns) - offset_ns).rem_euclid(width_ns);
                time_ns.saturating_sub(past)
            }
            Self::Months { .. } => self.start(self.ordinal(time_ns)),
        }
    }
}

fn clamp(time_ns: i128) -> i64 {
    time_ns.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// Months since January 1970 of the month that holds a time.
fn month_of(time_ns: i64) -> i32 {
    // Days to civil date, after Howard Hinnant; the range of i64 nanoseconds spans the years 1677 to 2262.
    let shifted = time_ns.div_euclid(DAY_NS) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    // March is month 0 of the shifted year, so January and February belong to the next civil year.
    ((era * 400 + year_of_era) * 12 + month_from_march + 2 - 1_970 * 12) as i32
}

/// The first nanosecond of a month counted from January 1970, clamped to the range of time.
fn month_start(month: i64) -> i64 {
    let from_march = month.saturating_add(1_970 * 12 - 2);
    let (year, month) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    clamp((i128::from(era) * 146_097 + i128::from(day_of_era) - 719_468) * i128::from(DAY_NS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse_timestamp;

    fn time(text: &str) -> i64 {
        parse_timestamp(text).unwrap()
    }

    #[test]
    fn fixed_buckets_floor_on_both_sides_of_the_epoch() {
        let bucket = Bucket::fixed(60, 0);
        assert_eq!([-61, -60, -1, 0, 59, 60].map(|t| bucket.floor(t)), [-120, -60, -60, 0, 0, 60]);
        let shifted = Bucket::fixed(60, -10);
        assert_eq!([-11, -10, 49, 50].map(|t| shifted.floor(t)), [-70, -10, -10, 50]);
        for t in [-200i64, -61, -11, -10, -1, 0, 49, 50, 51, 1_000] {
            for bucket in [bucket, shifted] {
                let ordinal = bucket.ordinal(t);
                assert_eq!(bucket.start(ordinal), bucket.floor(t));
                assert!(bucket.last(ordinal) >= t && bucket.last(ordinal) == bucket.start(ordinal + 1) - 1);
            }
        }
    }

    #[test]
    fn extremes_of_time_do_not_overflow() {
        for bucket in [Bucket::fixed(i64::MAX, 7), Bucket::fixed(1, 0), Bucket::months(5, 0), Bucket::fixed(DAY_NS, 3)]
        {
            for t in [i64::MIN, i64::MAX, 0] {
                let ordinal = bucket.ordinal(t);
                assert!(bucket.start(ordinal) <= t && bucket.last(ordinal) >= t, "{bucket:?} {t}");
                assert!(bucket.floor(t) <= t);
            }
        }
    }

    #[test]
    fn months_quarters_years_and_weeks_follow_the_calendar() {
        let at = time("2024-02-29T23:59:59.999999999Z");
        for (unit, expected) in
            [("month", "2024-02-01"), ("quarter", "2024-01-01"), ("year", "2024-01-01"), ("week", "2024-02-26")]
        {
            assert_eq!(Bucket::from_unit(unit).unwrap().floor(at), time(expected), "{unit}");
        }
        let old = time("1899-12-31T12:00:00Z");
        assert_eq!(Bucket::from_unit("month").unwrap().floor(old), time("1899-12-01"));
        assert_eq!(Bucket::from_unit("year").unwrap().floor(old), time("1899-01-01"));
        for month in -3_000..3_000i64 {
            assert_eq!(i64::from(month_of(month_start(month))), month);
        }
    }
}
