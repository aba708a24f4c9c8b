//! Time buckets: the aligned spans of `time_bucket`, `date_bin` and `date_trunc`.
//!
//! A bucket has an ordinal, so that an executor can count buckets instead of comparing times; a later time never has a
//! smaller one. Times before the epoch floor like those after it. A start below the range of time is clamped to its end.
//!
//! With a time zone the cuts are readings of local clocks: a bucket begins at the first time at which they have read its
//! start. So a day has 23 hours when clocks go forward and 25 when they go back, and a bucket within the hour that clocks
//! leave out is empty. Widths of which all offsets of a zone are multiples apart, such as an hour in most zones, need no
//! clock: they are fixed spans, and an hour that comes twice is two buckets.

use lynxstore_storage::types::TimeRange;

use super::zone::{Zone, common_divisor};

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    cut: Cut,
    /// Whose clocks are cut; those of UTC without one.
    zone: Option<Zone>,
}

/// How the readings of a clock are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
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
        /// How much later than the month a span begins.
        shift_ns: i64,
    },
}

const DAY_NS: i64 = 86_400_000_000_000;

/// Up to this width buckets of a zone are fixed spans where its offsets allow that.
const FIXED_IN_ZONE_NS_MAX: i64 = 3_600_000_000_000;

impl Bucket {
    /// Spans of `width_ns` that start at `origin_ns` and its multiples.
    pub(crate) fn fixed(width_ns: i64, origin_ns: i64) -> Self {
        Self { cut: Cut::Fixed { width_ns, offset_ns: origin_ns.rem_euclid(width_ns) }, zone: None }
    }

    /// Spans of `count` months, aligned to the month of `origin_ns`.
    pub(crate) fn months(count: i32, origin_ns: i64) -> Self {
        Self { cut: Cut::Months { count, offset: month_of(origin_ns).rem_euclid(count), shift_ns: 0 }, zone: None }
    }

    /// The spans moved by `months` and `shift_ns`; `None` when months would move spans of a fixed width.
    pub(crate) fn shifted(mut self, months: i32, shift_ns: i64) -> Option<Self> {
        match &mut self.cut {
            Cut::Fixed { .. } if months != 0 => return None,
            Cut::Fixed { width_ns, offset_ns } => {
                let moved = i128::from(*offset_ns) + i128::from(shift_ns);
                // The remainder is below the width.
                *offset_ns = moved.rem_euclid(i128::from(*width_ns)) as i64;
            }
            Cut::Months { count, offset, shift_ns: shift } => {
                *offset = offset.checked_add(months)?.rem_euclid(*count);
                *shift = shift_ns;
            }
        }
        Some(self)
    }

    /// The spans by the clocks of a zone instead of UTC. The origin that they were made with is a reading of these clocks.
    pub(crate) fn in_zone(self, zone: Zone) -> Self {
        if let Cut::Fixed { width_ns, offset_ns } = self.cut
            && width_ns <= FIXED_IN_ZONE_NS_MAX
            && let Some(ahead_ns) = zone.common_offset(width_ns)
        {
            return Self::fixed(width_ns, offset_ns - ahead_ns);
        }
        Self { zone: Some(zone), ..self }
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

    /// The width, when all buckets have the same.
    pub(crate) fn fixed_width(self) -> Option<i64> {
        match self {
            Self { cut: Cut::Fixed { width_ns, .. }, zone: None } => Some(width_ns),
            _ => None,
        }
    }

    /// A width and an offset such that buckets with times in a range begin and end at whole widths from the offset.
    pub(crate) fn grid(self, range: impl FnOnce() -> TimeRange) -> (i64, i64) {
        let (unit_ns, offset_ns) = match self.cut {
            Cut::Fixed { width_ns, offset_ns } => (width_ns, offset_ns),
            // Months start with a day.
            Cut::Months { shift_ns, .. } => (DAY_NS, shift_ns),
        };
        match self.zone {
            None => (unit_ns, offset_ns),
            Some(zone) => (zone.grid_ns(range(), common_divisor(unit_ns, offset_ns)), 0),
        }
    }

    /// The number of the bucket that holds `time_ns`.
    pub(crate) fn ordinal(self, time_ns: i64) -> i64 {
        match self.zone {
            None => self.cut.ordinal(time_ns),
            Some(zone) => self.cut.ordinal(zone.greatest_reading(time_ns)),
        }
    }

    /// The first time of bucket `ordinal`.
    pub(crate) fn start(self, ordinal: i64) -> i64 {
        match self.zone {
            None => self.cut.start(ordinal),
            Some(zone) => zone.first_time_of(self.cut.start(ordinal)),
        }
    }

    /// The last time of bucket `ordinal`; before its start when the bucket is empty.
    pub(crate) fn last(self, ordinal: i64) -> i64 {
        match (self.zone, self.cut) {
            (None, Cut::Fixed { width_ns, offset_ns }) => {
                clamp((i128::from(ordinal) + 1) * i128::from(width_ns) + i128::from(offset_ns) - 1)
            }
            _ => match self.start(ordinal.saturating_add(1)) {
                i64::MAX => i64::MAX,
                next => next.saturating_sub(1),
            },
        }
    }

    /// The start of the bucket that holds `time_ns`.
    pub(crate) fn floor(self, time_ns: i64) -> i64 {
        match (self.zone, self.cut) {
            (None, Cut::Fixed { width_ns, offset_ns }) => {
                let past = (time_ns.rem_euclid(width_ns) - offset_ns).rem_euclid(width_ns);
                time_ns.saturating_sub(past)
            }
            _ => self.start(self.ordinal(time_ns)),
        }
    }
}

impl Cut {
    fn ordinal(self, reading_ns: i64) -> i64 {
        match self {
            Self::Fixed { width_ns, offset_ns } => {
                // Floor first and correct by the offset afterwards: `reading_ns - offset_ns` could overflow.
                let ordinal = reading_ns.div_euclid(width_ns);
                if reading_ns.rem_euclid(width_ns) < offset_ns { ordinal - 1 } else { ordinal }
            }
            Self::Months { count, offset, shift_ns } => {
                i64::from((month_of(reading_ns.saturating_sub(shift_ns)) - offset).div_euclid(count))
            }
        }
    }

    fn start(self, ordinal: i64) -> i64 {
        match self {
            Self::Fixed { width_ns, offset_ns } => {
                clamp(i128::from(ordinal) * i128::from(width_ns) + i128::from(offset_ns))
            }
            Self::Months { count, offset, shift_ns } => {
                let month = ordinal.saturating_mul(i64::from(count)).saturating_add(i64::from(offset));
                match month_start(month) {
                    i64::MIN => i64::MIN,
                    start => start.saturating_add(shift_ns),
                }
            }
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
    fn days_of_a_zone_have_23_or_25_hours_when_clocks_change() {
        const HOUR_NS: i64 = 3_600_000_000_000;
        let day = Bucket::fixed(DAY_NS, 0).in_zone(Zone::find("Europe/Berlin").unwrap());
        for (noon, start, hours) in [
            ("2024-01-15T12:00:00", "2024-01-14T23:00:00", 24),
            ("2024-03-31T12:00:00", "2024-03-30T23:00:00", 23),
            ("2024-07-15T12:00:00", "2024-07-14T22:00:00", 24),
            ("2024-10-27T12:00:00", "2024-10-26T22:00:00", 25),
        ] {
            let ordinal = day.ordinal(time(noon));
            assert_eq!(day.floor(time(noon)), time(start), "{noon}");
            assert_eq!(day.last(ordinal) + 1 - day.start(ordinal), hours * HOUR_NS, "{noon}");
        }
    }

    #[test]
    fn buckets_of_a_zone_are_spans_one_after_the_other() {
        let zones = ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"];
        let cuts = [
            Bucket::fixed(DAY_NS, 0),
            Bucket::fixed(DAY_NS / 24, 0),
            Bucket::fixed(DAY_NS / 4, DAY_NS / 8),
            Bucket::fixed(7 * 60_000_000_000, 0),
            Bucket::from_unit("week").unwrap(),
            Bucket::months(1, 0),
            Bucket::months(1, 0).shifted(0, 5 * DAY_NS).unwrap(),
        ];
        for (zone, cut) in zones.iter().flat_map(|zone| cuts.map(|cut| (zone, cut))) {
            let bucket = cut.in_zone(Zone::find(zone).unwrap());
            let mut previous = bucket.ordinal(time("2011-01-01"));
            for quarter in 0..4 * 24 * 400 {
                let t = time("2011-01-01") + quarter * (DAY_NS / 96) + 5;
                let ordinal = bucket.ordinal(t);
                assert!(bucket.start(ordinal) <= t && t <= bucket.last(ordinal), "{bucket:?} {t}");
                assert_eq!(bucket.floor(t), bucket.start(ordinal));
                assert!(ordinal >= previous, "{bucket:?} {t}");
                for between in previous..ordinal {
                    assert_eq!(bucket.last(between) + 1, bucket.start(between + 1), "{bucket:?} {t}");
                }
                previous = ordinal;
            }
        }
    }

    #[test]
    fn hours_of_most_zones_are_fixed_spans() {
        let hour = |zone: &str| Bucket::fixed(DAY_NS / 24, 0).in_zone(Zone::find(zone).unwrap());
        assert_eq!(hour("Europe/Berlin"), Bucket::fixed(DAY_NS / 24, 0));
        assert_eq!(hour("Asia/Kolkata"), Bucket::fixed(DAY_NS / 24, DAY_NS / 48));
        assert_eq!(hour("Australia/Lord_Howe").fixed_width(), None);
        // An hour of Kolkata is cut in the middle of the hours of rollups.
        assert_eq!(hour("Asia/Kolkata").grid(|| TimeRange::ALL), (DAY_NS / 24, DAY_NS / 48));
    }

    #[test]
    fn extremes_of_time_do_not_overflow_in_a_zone() {
        for zone in ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"] {
            for bucket in [Bucket::fixed(DAY_NS, 3), Bucket::months(5, 0), Bucket::fixed(i64::MAX, 7)] {
                let bucket = bucket.in_zone(Zone::find(zone).unwrap());
                for t in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
                    let ordinal = bucket.ordinal(t);
                    assert!(bucket.start(ordinal) <= t && bucket.last(ordinal) >= t, "{bucket:?} {t}");
                    assert!(bucket.floor(t) <= t);
                }
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
