//! An independent reader of the NAB files: no Arrow, no CSV library, no engine code.

use std::path::Path;

/// One line of a file.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// UTC time.
    pub time_ns: i64,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// Orders by time, then by the bits of the value, so that equal times compare in one way only.
    pub fn sort_key(&self) -> (i64, u64) {
        (self.time_ns, self.value.to_bits())
    }
}

/// One file.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Name of the folder.
    pub category: String,
    /// Name of the file without `.csv`.
    pub name: String,
    /// The rows, sorted by [`Sample::sort_key`].
    pub samples: Vec<Sample>,
}

impl Dataset {
    /// The least value.
    pub fn min(&self) -> f64 {
        self.samples.iter().map(|sample| sample.value).fold(f64::INFINITY, f64::min)
    }

    /// The greatest value.
    pub fn max(&self) -> f64 {
        self.samples.iter().map(|sample| sample.value).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The sum, compensated so that its own error is negligible, and how far any order of plain additions may be off:
    /// n additions, each rounded to half a unit in the last place of a partial sum that is at most the sum of all
    /// magnitudes.
    pub fn sum_with_rounding_bound(&self) -> (f64, f64) {
        let (mut sum, mut lost, mut magnitude) = (0.0_f64, 0.0_f64, 0.0_f64);
        for sample in &self.samples {
            let next = sum + sample.value;
            lost +=
                if sum.abs() >= sample.value.abs() { (sum - next) + sample.value } else { (sample.value - next) + sum };
            sum = next;
            magnitude += sample.value.abs();
        }
        (sum + lost, magnitude * self.samples.len() as f64 * f64::EPSILON)
    }
}

/// Reads `timestamp,value` lines after a header line; lines may end in CRLF.
pub fn read(category: &str, path: &Path) -> Dataset {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().map(str::trim_end), Some("timestamp,value"), "{}", path.display());
    let mut samples: Vec<_> = lines
        .map(|line| {
            let (time, value) = line.trim_end().split_once(',').unwrap();
            Sample { time_ns: parse_time(time), value: value.parse().unwrap() }
        })
        .collect();
    samples.sort_by_key(Sample::sort_key);
    let name = path.file_stem().unwrap().to_str().expect("file names are UTF-8").to_owned();
    Dataset { category: category.to_owned(), name, samples }
}

/// Nanoseconds since the epoch of a UTC time `YYYY-MM-DD HH:MM:SS`.
fn parse_time(text: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| -> i64 { text[range].parse().unwrap() };
    assert_eq!(text.len(), 19, "{text}");
    let days = days_from_civil(part(0..4), part(5..7), part(8..10));
    (days * 86_400 + part(11..13) * 3_600 + part(14..16) * 60 + part(17..19)) * 1_000_000_000
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that start in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[test]
fn times_are_read_as_the_calendar_says() {
    assert_eq!(parse_time("1970-01-01 00:00:00"), 0);
    assert_eq!(parse_time("2000-02-29 12:34:56"), 951_827_696_000_000_000);
    assert_eq!(parse_time("2014-02-14 14:30:00"), 1_392_388_200_000_000_000);
}
