//! Native histograms of Prometheus as SQL sees them: `histogram_count`, `histogram_sum` and `histogram_buckets` over the
//! bytes of the `Histogram` message that remote write keeps.
//!
//! Both executors evaluate through [`HistogramPart::evaluate`]. The bytes may come from anybody: what is no histogram is
//! NULL, and work and memory are bounded by their length. Field numbers: `prompb/types.proto` of Prometheus; bounds of
//! buckets: its `model/histogram`.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, StringArray};
use arrow::datatypes::DataType;

/// What of a histogram is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HistogramPart {
    /// The number of observations.
    Count,
    /// Their sum.
    Sum,
    /// The buckets that have observations, as JSON.
    Buckets,
}

impl HistogramPart {
    /// All of them.
    #[cfg(any(test, feature = "datafusion"))]
    pub(crate) const ALL: [Self; 3] = [Self::Count, Self::Sum, Self::Buckets];

    /// The name of the function.
    #[cfg(feature = "datafusion")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "histogram_count",
            Self::Sum => "histogram_sum",
            Self::Buckets => "histogram_buckets",
        }
    }

    /// The function of a name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "histogram_count" => Some(Self::Count),
            "histogram_sum" => Some(Self::Sum),
            "histogram_buckets" => Some(Self::Buckets),
            _ => None,
        }
    }

    /// The type of the result.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Count | Self::Sum => DataType::Float64,
            Self::Buckets => DataType::Utf8,
        }
    }

    /// The part of each histogram.
    pub(crate) fn evaluate(self, histograms: &BinaryArray) -> ArrayRef {
        let numbers = |part: fn(&Histogram) -> f64| -> ArrayRef {
            let numbers = histograms.iter().map(|bytes| Some(part(&Histogram::parse(bytes?, Buckets::Skipped)?)));
            Arc::new(numbers.collect::<Float64Array>())
        };
        match self {
            Self::Count => numbers(|histogram| histogram.count),
            Self::Sum => numbers(|histogram| histogram.sum),
            Self::Buckets => {
                let texts = histograms.iter().map(|bytes| Histogram::parse(bytes?, Buckets::Read)?.buckets_text());
                Arc::new(texts.collect::<StringArray>())
            }
        }
    }
}

/// The schema of custom bounds.
const SCHEMA_CUSTOM: i64 = -53;
/// Schemas with exponential bounds that Prometheus gives a meaning to.
const SCHEMA_MIN: i64 = -4;
const SCHEMA_MAX: i64 = 8;

/// Whether the buckets are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Buckets {
    Skipped,
    Read,
}

/// One side of the buckets: where they stand, and how many observations each has.
#[derive(Default)]
struct Side {
    spans: Vec<(i64, u64)>,
    counts: Vec<f64>,
    /// The count of the last bucket of integers, from which the next one differs.
    level: i64,
}

#[derive(Default)]
struct Histogram {
    count: f64,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    zero_count: f64,
    negative: Side,
    positive: Side,
    bounds: Vec<f64>,
}

/// A field of a message.
enum Value<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

/// Takes a varint off the front.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take_double(bytes: &mut &[u8]) -> Option<f64> {
    let (value, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(f64::from_le_bytes(*value))
}

/// Takes a field off the front.
fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = take_varint(bytes)?;
    let value = match key & 7 {
        0 => Value::Varint(take_varint(bytes)?),
        1 => Value::Double(take_double(bytes)?),
        2 => {
            let length = usize::try_from(take_varint(bytes)?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Value::Bytes(value)
        }
        _ => return None,
    };
    Some((key >> 3, value))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

impl Side {
    fn push_span(&mut self, mut message: &[u8]) -> Option<()> {
        let (mut gap, mut length) = (0, 0);
        while !message.is_empty() {
            match take_field(&mut message)? {
                (1, Value::Varint(value)) => gap = zigzag(value),
                (2, Value::Varint(value)) => length = value,
                _ => {}
            }
        }
        self.spans.push((gap, length));
        Some(())
    }

    fn push_delta(&mut self, delta: u64) {
        self.level = self.level.wrapping_add(zigzag(delta));
        self.counts.push(self.level as f64);
    }

    /// Index and count of each bucket that has observations.
    fn buckets(&self) -> Vec<(i64, f64)> {
        let mut buckets = Vec::with_capacity(self.counts.len());
        let mut counts = self.counts.iter();
        let mut index = 0_i64;
        for &(gap, length) in &self.spans {
            index = index.saturating_add(gap);
            // A span may claim more buckets than there are.
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            for &count in counts.by_ref().take(length) {
                if count != 0.0 {
                    buckets.push((index, count));
                }
                index = index.saturating_add(1);
            }
        }
        buckets
    }
}

impl Histogram {
    /// Reads a message; `None` when it is not well-formed.
    fn parse(mut message: &[u8], buckets: Buckets) -> Option<Self> {
        let mut histogram = Self::default();
        while !message.is_empty() {
            match take_field(&mut message)? {
                (1, Value::Varint(count)) => histogram.count = count as f64,
                (2, Value::Double(count)) => histogram.count = count,
                (3, Value::Double(sum)) => histogram.sum = sum,
                (4, Value::Varint(schema)) => histogram.schema = zigzag(schema),
                (5, Value::Double(threshold)) => histogram.zero_threshold = threshold,
                (6, Value::Varint(count)) => histogram.zero_count = count as f64,
                (7, Value::Double(count)) => histogram.zero_count = count,
                (8..=13 | 16, _) if buckets == Buckets::Skipped => {}
                (8, Value::Bytes(span)) => histogram.negative.push_span(span)?,
                (11, Value::Bytes(span)) => histogram.positive.push_span(span)?,
                (9, value) => varints(value, |delta| histogram.negative.push_delta(delta))?,
                (12, value) => varints(value, |delta| histogram.positive.push_delta(delta))?,
                (10, value) => doubles(value, &mut histogram.negative.counts)?,
                (13, value) => doubles(value, &mut histogram.positive.counts)?,
                (16, value) => doubles(value, &mut histogram.bounds)?,
                _ => {}
            }
        }
        Some(histogram)
    }

    /// The buckets as the HTTP API of Prometheus writes them: `[[rule,"low","high","count"],...]` in rising order, where
    /// the rule says which bounds belong to the bucket: 0 the upper, 1 the lower, 2 none, 3 both.
    fn buckets_text(&self) -> Option<String> {
        let is_known = self.schema == SCHEMA_CUSTOM || (SCHEMA_MIN..=SCHEMA_MAX).contains(&self.schema);
        if !is_known {
            return None;
        }
        let mut text = String::from("[");
        let mut push = |rule: u8, low: f64, high: f64, count: f64| {
            let comma = if text.len() > 1 { "," } else { "" };
            write!(text, "{comma}[{rule},\"{}\",\"{}\",\"{}\"]", Number(low), Number(high), Number(count))
                .expect("writing to a string does not fail");
        };
        for (index, count) in self.negative.buckets().into_iter().rev() {
            push(1, -self.bound(index), -self.bound(index.saturating_sub(1)), count);
        }
        if self.zero_count != 0.0 {
            push(3, -self.zero_threshold, self.zero_threshold, self.zero_count);
        }
        for (index, count) in self.positive.buckets() {
            let rule = if self.schema == SCHEMA_CUSTOM && index == 0 { 3 } else { 0 };
            push(rule, self.bound(index.saturating_sub(1)), self.bound(index), count);
        }
        text.push(']');
        Some(text)
    }

    /// The upper bound of a bucket.
    fn bound(&self, index: i64) -> f64 {
        if self.schema == SCHEMA_CUSTOM {
            return match usize::try_from(index) {
                Err(_) => f64::NEG_INFINITY,
                Ok(index) => self.bounds.get(index).copied().unwrap_or(f64::INFINITY),
            };
        }
        if self.schema <= 0 {
            return (index as f64 * f64::powi(2.0, -self.schema as i32)).exp2();
        }
        // Whole powers are exact; what is left of the exponent is below one.
        let parts = 1_i64 << self.schema;
        let (whole, part) = (index.div_euclid(parts), index.rem_euclid(parts));
        (whole as f64).exp2() * (part as f64 / parts as f64).exp2()
    }
}

/// A number in JSON text, with the names of Prometheus for what is none.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            number if number == f64::INFINITY => f.write_str("+Inf"),
            number if number == f64::NEG_INFINITY => f.write_str("-Inf"),
            number if number != 0.0 && !(1e-6..1e21).contains(&number.abs()) => write!(f, "{number:e}"),
            number => write!(f, "{number}"),
        }
    }
}

/// A repeated varint field, packed or not.
fn varints(value: Value<'_>, mut each: impl FnMut(u64)) -> Option<()> {
    match value {
        Value::Varint(value) => each(value),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                each(take_varint(&mut packed)?);
            }
        }
        Value::Double(_) => return None,
    }
    Some(())
}

/// A repeated double field, packed or not.
fn doubles(value: Value<'_>, out: &mut Vec<f64>) -> Option<()> {
    match value {
        Value::Double(value) => out.push(value),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                out.push(take_double(&mut packed)?);
            }
        }
        Value::Varint(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;

    use super::*;

    fn varint(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    fn double(number: u8, value: f64) -> Vec<u8> {
        [vec![number << 3 | 1], value.to_le_bytes().to_vec()].concat()
    }

    fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
        // Field 16 has a key of two bytes.
        let key = if number < 16 { vec![number << 3 | 2] } else { vec![0x82, 0x01] };
        [key, vec![value.len() as u8], value.to_vec()].concat()
    }

    fn buckets(message: &[u8]) -> Option<String> {
        let text = HistogramPart::Buckets.evaluate(&BinaryArray::from(vec![message]));
        let text = text.as_string::<i32>();
        text.is_valid(0).then(|| text.value(0).to_owned())
    }

    #[test]
    fn a_histogram_of_integers_has_its_buckets_in_rising_order() {
        // Schema 0; negative bucket 1 with 3; zero bucket 2; positive buckets 0, 1 and 3 with 1, 2, 4.
        let message = [
            varint(1, 12),
            double(3, -7.5),
            double(5, 0.5),
            varint(6, 2),
            bytes(8, &[8, 2, 16, 1]),
            bytes(9, &[6]),
            bytes(11, &[16, 2]),
            bytes(11, &[8, 2, 16, 1]),
            bytes(12, &[2, 2, 4]),
        ]
        .concat();
        let expected = "[[1,\"-2\",\"-1\",\"3\"],[3,\"-0.5\",\"0.5\",\"2\"],[0,\"0.5\",\"1\",\"1\"],[0,\"1\",\"2\",\"2\"],[0,\"4\",\"8\",\"4\"]]";
        assert_eq!(buckets(&message).unwrap(), expected);
        let array = BinaryArray::from(vec![Some(&message[..]), None, Some(b"\xff"), Some(b"")]);
        let numbers = |part: HistogramPart| -> Vec<Option<f64>> {
            part.evaluate(&array).as_primitive::<Float64Type>().iter().collect()
        };
        assert_eq!(numbers(HistogramPart::Count), [Some(12.0), None, None, Some(0.0)]);
        assert_eq!(numbers(HistogramPart::Sum), [Some(-7.5), None, None, Some(0.0)]);
    }

    #[test]
    fn floats_and_custom_bounds_have_buckets_too() {
        let counts: Vec<u8> = [0.5_f64, 0.0, 2.0].iter().flat_map(|count| count.to_le_bytes()).collect();
        let message = [double(2, 2.5), varint(4, 2), bytes(11, &[16, 3]), bytes(13, &counts)].concat();
        assert_eq!(
            buckets(&message).unwrap(),
            "[[0,\"0.7071067811865476\",\"1\",\"0.5\"],[0,\"1.4142135623730951\",\"2\",\"2\"]]"
        );
        let bounds: Vec<u8> = [1.0_f64, 2.5].iter().flat_map(|bound| bound.to_le_bytes()).collect();
        let custom = [varint(4, 105), bytes(11, &[16, 3]), bytes(12, &[2, 2, 2]), bytes(16, &bounds)].concat();
        assert_eq!(
            buckets(&custom).unwrap(),
            "[[3,\"-Inf\",\"1\",\"1\"],[0,\"1\",\"2.5\",\"2\"],[0,\"2.5\",\"+Inf\",\"3\"]]"
        );
        let coarse = [varint(4, 7), bytes(11, &[8, 2, 16, 1]), bytes(12, &[2])].concat();
        assert_eq!(buckets(&coarse).unwrap(), "[[0,\"1\",\"6.5536e4\",\"1\"]]".replace("6.5536e4", "65536"));
    }

    #[test]
    fn bytes_of_anybody_end_in_null_or_in_text_and_take_no_memory() {
        assert_eq!(buckets(&varint(4, 200)), None, "a schema that means nothing");
        let long_span = [bytes(11, &[8, 1, 16, 0xff, 0xff, 0xff, 0xff, 0x0f]), bytes(12, &[2])].concat();
        assert_eq!(buckets(&long_span).unwrap(), "[[0,\"0.25\",\"0.5\",\"1\"]]");
        let good = [varint(1, 1), double(3, 1.0), bytes(11, &[16, 1]), bytes(12, &[2]), bytes(16, &[0; 8])].concat();
        for place in 0..good.len() {
            for byte in 0..=u8::MAX {
                let mut changed = good.clone();
                changed[place] = byte;
                for part in HistogramPart::ALL {
                    assert_eq!(part.evaluate(&BinaryArray::from(vec![&changed[..], &good[..place]])).len(), 2);
                }
            }
        }
    }
}
