//! The rules of a native histogram, checked over the bytes of its message.
//!
//! A histogram is stored as the message that came, so nothing is decoded into vectors: counts and sums are carried along
//! while its fields stream by. The rules are those of Prometheus' `model/histogram`.

use super::DecodeError;
use super::wire::{Reader, Value, zigzag};

/// The schema of custom bucket bounds.
const SCHEMA_CUSTOM: i64 = -53;
/// Schemas with exponential bounds; those above 8 are reserved and kept as they are.
const SCHEMA_EXPONENTIAL_MIN: i64 = -9;
const SCHEMA_EXPONENTIAL_MAX: i64 = 52;

/// One side (positive or negative) of the buckets.
#[derive(Default)]
struct Side {
    span_count: u64,
    span_buckets: u64,
    /// Buckets and gaps together, for the bounds that custom buckets need.
    span_extent: i64,
    gap_is_negative: bool,
    first_gap_is_negative: bool,
    delta_count: u64,
    delta_level: i64,
    delta_total: u64,
    count_count: u64,
    bucket_is_negative: bool,
}

#[derive(Default)]
struct Histogram {
    is_float: bool,
    count: u64,
    count_float: f64,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    positive: Side,
    negative: Side,
    bound_count: u64,
    last_bound: Option<f64>,
    bounds_are_bad: bool,
}

/// Checks a `prometheus.Histogram` message. The outer result says whether the bytes are well-formed, the inner one what
/// rule the histogram breaks.
///
/// # Errors
/// `Protobuf` when the bytes are not a histogram message.
pub(in crate::ingest) fn check(message: &[u8]) -> Result<Result<(), &'static str>, DecodeError> {
    let mut histogram = Histogram::default();
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        let Some((number, value)) = reader.next_field()? else { break };
        match number {
            1 => (histogram.count, histogram.is_float) = (value.varint(offset)?, false),
            2 => (histogram.count_float, histogram.is_float) = (value.double(offset)?, true),
            3 => histogram.sum = value.double(offset)?,
            4 => histogram.schema = zigzag(value.varint(offset)?),
            5 => histogram.zero_threshold = value.double(offset)?,
            6 => histogram.zero_count = value.varint(offset)?,
            7 => histogram.zero_count_float = value.double(offset)?,
            8 => histogram.negative.span(value.bytes(offset)?)?,
            9 => varints(value, offset, |delta| histogram.negative.delta(zigzag(delta)))?,
            10 => doubles(value, offset, |count| histogram.negative.count(count))?,
            11 => histogram.positive.span(value.bytes(offset)?)?,
            12 => varints(value, offset, |delta| histogram.positive.delta(zigzag(delta)))?,
            13 => doubles(value, offset, |count| histogram.positive.count(count))?,
            16 => doubles(value, offset, |bound| histogram.bound(bound))?,
            _ => {}
        }
    }
    Ok(histogram.check())
}

/// A repeated varint field, packed or not.
fn varints(value: Value<'_>, offset: usize, mut each: impl FnMut(u64)) -> Result<(), DecodeError> {
    if let Value::Bytes(packed) = value {
        let mut reader = Reader::new(packed);
        while !reader.is_at_end() {
            each(reader.varint()?);
        }
    } else {
        each(value.varint(offset)?);
    }
    Ok(())
}

/// A repeated double field, packed or not.
fn doubles(value: Value<'_>, offset: usize, mut each: impl FnMut(f64)) -> Result<(), DecodeError> {
    if let Value::Bytes(packed) = value {
        let mut reader = Reader::new(packed);
        while !reader.is_at_end() {
            each(f64::from_bits(reader.fixed64()?));
        }
    } else {
        each(value.double(offset)?);
    }
    Ok(())
}

impl Side {
    fn span(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let (mut gap, mut length) = (0, 0);
        let mut reader = Reader::new(message);
        loop {
            let offset = reader.position();
            match reader.next_field()? {
                Some((1, value)) => gap = zigzag(value.varint(offset)?),
                Some((2, value)) => length = value.varint(offset)?,
                Some(_) => {}
                None => break,
            }
        }
        if self.span_count == 0 {
            self.first_gap_is_negative = gap < 0;
        } else {
            // The first span starts anywhere; the others count from the end of the one before.
            self.gap_is_negative |= gap < 0;
        }
        self.span_count += 1;
        self.span_buckets = self.span_buckets.saturating_add(length);
        let extent = i64::try_from(length).unwrap_or(i64::MAX);
        self.span_extent = self.span_extent.saturating_add(gap).saturating_add(extent);
        Ok(())
    }

    /// An integer bucket, as the difference from the bucket before.
    fn delta(&mut self, delta: i64) {
        self.delta_count += 1;
        self.delta_level = self.delta_level.wrapping_add(delta);
        match u64::try_from(self.delta_level) {
            Ok(level) => self.delta_total = self.delta_total.saturating_add(level),
            Err(_) => self.bucket_is_negative = true,
        }
    }

    /// A float bucket.
    fn count(&mut self, count: f64) {
        self.count_count += 1;
        self.bucket_is_negative |= count < 0.0;
    }

    fn check(&self, is_float: bool) -> Result<(), &'static str> {
        let bucket_count = if is_float { self.count_count } else { self.delta_count };
        if self.gap_is_negative {
            return Err("a span has a negative offset");
        }
        if self.span_buckets != bucket_count {
            return Err("spans and buckets differ in number");
        }
        if self.bucket_is_negative {
            return Err("a bucket has a negative count");
        }
        Ok(())
    }
}

impl Histogram {
    /// A custom bucket bound; bounds rise strictly and the last one, +Inf, is implied.
    fn bound(&mut self, bound: f64) {
        self.bound_count += 1;
        self.bounds_are_bad |= !bound.is_finite() || self.last_bound.is_some_and(|last| bound <= last);
        self.last_bound = Some(bound);
    }

    fn check(&self) -> Result<(), &'static str> {
        match self.schema {
            SCHEMA_CUSTOM => self.check_custom()?,
            SCHEMA_EXPONENTIAL_MIN..=SCHEMA_EXPONENTIAL_MAX => {
                if self.bound_count > 0 {
                    return Err("an exponential schema has custom bounds");
                }
                self.negative.check(self.is_float)?;
            }
            _ => return Err("the schema is unknown"),
        }
        self.positive.check(self.is_float)?;
        if self.is_float {
            if self.count_float < 0.0 || self.zero_count_float < 0.0 {
                return Err("a count is negative");
            }
            return Ok(());
        }
        let buckets =
            self.zero_count.saturating_add(self.positive.delta_total).saturating_add(self.negative.delta_total);
        // Observations of NaN are in the count, in no bucket, and make the sum NaN.
        if self.sum.is_nan() && buckets > self.count {
            return Err("the count is less than the sum of the buckets");
        }
        if !self.sum.is_nan() && buckets != self.count {
            return Err("the count is not the sum of the buckets");
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), &'static str> {
        let zero_is_used = self.zero_count != 0 || self.zero_count_float != 0.0 || self.zero_threshold != 0.0;
        let negative_is_used =
            self.negative.span_count > 0 || self.negative.delta_count > 0 || self.negative.count_count > 0;
        if zero_is_used {
            return Err("custom buckets have no zero bucket");
        }
        if negative_is_used {
            return Err("custom buckets have no negative side");
        }
        if self.bounds_are_bad {
            return Err("the custom bounds do not rise or are not finite");
        }
        if self.positive.first_gap_is_negative {
            return Err("a span has a negative offset");
        }
        let reachable = i64::try_from(self.bound_count + 1).unwrap_or(i64::MAX);
        if self.positive.span_extent > reachable {
            return Err("there are fewer custom bounds than the spans reach");
        }
        Ok(())
    }
}
