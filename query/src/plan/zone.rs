//! Time zones, as lists of spans of one offset each.
//!
//! The rules are those of the IANA database that `chrono-tz` carries, the one that DataFusion reads too, so an answer
//! does not depend on the machine. The crate tells the offset at a time but not where offsets change; that is searched
//! for once per zone and process, by steps of a day, which takes some milliseconds. Tables are made by the first
//! statement that names a zone and live as long as the process; any number of threads may ask for them.

use std::sync::{LazyLock, OnceLock};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use lynxstore_storage::types::TimeRange;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Zones kept local mean time before, and the database knows no change after.
const CHANGES: std::ops::Range<i64> = -4_102_444_800..4_133_980_800;

static ZONES: LazyLock<Vec<OnceLock<ZoneSpans>>> =
    LazyLock::new(|| TZ_VARIANTS.iter().map(|_| OnceLock::new()).collect());

/// A time zone. Comparing two of them compares their places in the table of zones.
#[derive(Clone, Copy)]
pub(crate) struct Zone {
    spans: &'static ZoneSpans,
}

/// The offsets of a zone in the order of time.
struct ZoneSpans {
    name: &'static str,
    /// First time of every span; that of the first span is the least time.
    starts_ns: Vec<i64>,
    /// What local clocks are ahead of UTC in a span.
    offsets_ns: Vec<i64>,
    /// Per span the greatest reading of a local clock before it; the least time for the first one.
    readings_before_ns: Vec<i64>,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.spans, other.spans)
    }
}

impl Eq for Zone {}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.spans.name)
    }
}

impl Zone {
    /// The zone of a name such as `Europe/Berlin`.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let zone: Tz = name.parse().ok()?;
        let place = TZ_VARIANTS.iter().position(|known| *known == zone)?;
        Some(Self { spans: ZONES.get(place)?.get_or_init(|| ZoneSpans::search(zone)) })
    }

    /// What the clocks of the zone read at a time, as if that were UTC.
    pub(crate) fn reading_at(self, time_ns: i64) -> i64 {
        time_ns.saturating_add(self.spans.offsets_ns[self.spans.at(time_ns)])
    }

    /// The greatest reading up to a time: like [`Zone::reading_at`], but it stands still after clocks were put back.
    pub(crate) fn greatest_reading(self, time_ns: i64) -> i64 {
        let span = self.spans.at(time_ns);
        time_ns.saturating_add(self.spans.offsets_ns[span]).max(self.spans.readings_before_ns[span])
    }

    /// The first time at which clocks read `reading_ns` or more.
    pub(crate) fn first_time_of(self, reading_ns: i64) -> i64 {
        // Readings beyond the range of time were clamped to its ends.
        if matches!(reading_ns, i64::MIN | i64::MAX) {
            return reading_ns;
        }
        let spans = self.spans;
        let span = spans.readings_before_ns[1..].partition_point(|before| *before < reading_ns);
        reading_ns.saturating_sub(spans.offsets_ns[span]).max(spans.starts_ns[span])
    }

    /// The offset that all of the zone's are whole multiples of `width_ns` away from, since 1970.
    pub(crate) fn common_offset(self, width_ns: i64) -> Option<i64> {
        let spans = self.spans;
        let first = spans.at(0);
        let offset_ns = spans.offsets_ns[first].rem_euclid(width_ns);
        spans.offsets_ns[first..].iter().all(|other| other.rem_euclid(width_ns) == offset_ns).then_some(offset_ns)
    }

    /// A width of which every offset that applies in `range`, and every time in it at which one begins, is a multiple.
    pub(crate) fn grid_ns(self, range: TimeRange, width_ns: i64) -> i64 {
        let spans = self.spans;
        let first = spans.at(range.start_ns);
        let mut grid_ns = common_divisor(width_ns, spans.offsets_ns[first]);
        for span in first + 1..=spans.at(range.end_ns) {
            grid_ns = common_divisor(common_divisor(grid_ns, spans.offsets_ns[span]), spans.starts_ns[span]);
        }
        grid_ns
    }
}

impl ZoneSpans {
    /// The span that holds a time.
    fn at(&self, time_ns: i64) -> usize {
        // The first span starts at the least time, so there is one.
        self.starts_ns.partition_point(|start| *start <= time_ns) - 1
    }

    /// Finds where the offsets of a zone change.
    fn search(zone: Tz) -> Self {
        let offset_at = |second: i64| -> i64 {
            let time = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
            i64::from(zone.offset_from_utc_datetime(&time).fix().local_minus_utc())
        };
        let mut spans = Self {
            name: zone.name(),
            starts_ns: vec![i64::MIN],
            offsets_ns: vec![offset_at(CHANGES.start) * SECOND_NS],
            readings_before_ns: vec![i64::MIN],
        };
        let (mut second, mut offset) = (CHANGES.start, offset_at(CHANGES.start));
        while second < CHANGES.end {
            let next = second + DAY_SECONDS;
            if offset_at(next) == offset {
                second = next;
                continue;
            }
            // The offset is the old one at `low` and another one at `high`.
            let (mut low, mut high) = (second, next);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if offset_at(middle) == offset { low = middle } else { high = middle }
            }
            let reading_ns = (high + offset) * SECOND_NS - 1;
            let before_ns = spans.readings_before_ns.last().map_or(reading_ns, |before| reading_ns.max(*before));
            (second, offset) = (high, offset_at(high));
            spans.starts_ns.push(high * SECOND_NS);
            spans.offsets_ns.push(offset * SECOND_NS);
            spans.readings_before_ns.push(before_ns);
        }
        spans
    }
}

/// The greatest common divisor of a positive number and another one.
pub(super) fn common_divisor(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    // It is at most the first number.
    a.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse_timestamp;

    fn time(text: &str) -> i64 {
        parse_timestamp(text).unwrap()
    }

    #[test]
    fn clocks_go_forward_and_back_when_the_database_says_so() {
        let berlin = Zone::find("Europe/Berlin").unwrap();
        for (utc, local) in [
            ("2024-01-01T00:00:00", "2024-01-01T01:00:00"),
            ("2024-03-31T00:59:59", "2024-03-31T01:59:59"),
            ("2024-03-31T01:00:00", "2024-03-31T03:00:00"),
            ("2024-10-27T00:59:59", "2024-10-27T02:59:59"),
            ("2024-10-27T01:00:00", "2024-10-27T02:00:00"),
            ("2050-07-01T00:00:00", "2050-07-01T02:00:00"),
        ] {
            assert_eq!(berlin.reading_at(time(utc)), time(local), "{utc}");
        }
        // After the clocks were put back the greatest reading waits for the hour to be over.
        assert_eq!(berlin.greatest_reading(time("2024-10-27T01:30:00")), time("2024-10-27T03:00:00") - 1);
        assert_eq!(berlin.greatest_reading(time("2024-10-27T02:00:00")), time("2024-10-27T03:00:00"));
        // A reading that does not exist is that of the change, one that comes twice is the earlier one.
        assert_eq!(berlin.first_time_of(time("2024-03-31T02:30:00")), time("2024-03-31T01:00:00"));
        assert_eq!(berlin.first_time_of(time("2024-10-27T02:30:00")), time("2024-10-27T00:30:00"));
        assert_eq!(berlin.first_time_of(time("2024-10-27T03:00:00")), time("2024-10-27T02:00:00"));
        assert!(Zone::find("Europe/Berlinn").is_none() && Zone::find("").is_none());
    }

    #[test]
    fn first_time_of_a_reading_is_the_inverse_of_the_greatest_reading() {
        for name in ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/Havana", "Asia/Kolkata", "UTC"] {
            let zone = Zone::find(name).unwrap();
            for hour in (0..24 * 365 * 60).step_by(5) {
                let time_ns = hour * 3_600 * SECOND_NS + 17;
                let reading_ns = zone.greatest_reading(time_ns);
                let first_ns = zone.first_time_of(reading_ns);
                assert!(first_ns <= time_ns, "{name} {hour}");
                assert!(zone.greatest_reading(first_ns) >= reading_ns, "{name} {hour}");
                assert!(zone.greatest_reading(first_ns - 1) < reading_ns, "{name} {hour}");
            }
        }
    }

    #[test]
    fn grids_say_which_whole_hours_are_never_cut() {
        const HOUR_NS: i64 = 3_600 * SECOND_NS;
        let range = TimeRange { start_ns: time("2024-01-01"), end_ns: time("2025-01-01") };
        let grid = |name: &str| Zone::find(name).unwrap().grid_ns(range, 24 * HOUR_NS);
        assert_eq!(grid("Europe/Berlin") % HOUR_NS, 0);
        assert_eq!(grid("Asia/Kolkata"), HOUR_NS / 2);
        assert_eq!(grid("Asia/Kathmandu"), HOUR_NS / 4);
        assert_eq!(grid("UTC"), 24 * HOUR_NS);
        assert_eq!(Zone::find("Asia/Kolkata").unwrap().common_offset(HOUR_NS), Some(HOUR_NS / 2));
        assert_eq!(Zone::find("Australia/Lord_Howe").unwrap().common_offset(HOUR_NS), None);
        assert_eq!(Zone::find("Europe/Berlin").unwrap().common_offset(24 * HOUR_NS), None);
    }
}
