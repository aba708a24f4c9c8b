//! An exponential histogram as the native histogram of Prometheus: the same buckets, numbered by their upper bounds.
//!
//! Bucket `i` of OpenTelemetry is (base^i, base^(i+1)], that of Prometheus (base^(i-1), base^i], so numbers shift by one.
//! Prometheus knows schemas up to 8: finer ones are made coarser, each step merging two buckets.

use super::point::{Buckets, Point};
use crate::ingest::prometheus::histogram::check;

const SCHEMA_MAX: i64 = 8;
const SCHEMA_MIN: i64 = -4;
/// The width of the zero bucket where none is given, as Prometheus sets it.
const ZERO_THRESHOLD: f64 = 1e-128;

/// The `prometheus.Histogram` message of a point.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn native_histogram(point: &Point<'_>, time_ms: i64) -> Result<Vec<u8>, &'static str> {
    if point.scale < SCHEMA_MIN {
        return Err("the scale of an exponential histogram is below -4");
    }
    let steps = (point.scale - SCHEMA_MAX).max(0);
    let mut message = Vec::new();
    push_varint(&mut message, 1, point.count);
    push_double(&mut message, 3, point.sum.unwrap_or(f64::NAN));
    push_varint(&mut message, 4, zigzag(point.scale.min(SCHEMA_MAX)));
    let threshold = if point.zero_threshold == 0.0 { ZERO_THRESHOLD } else { point.zero_threshold };
    push_double(&mut message, 5, threshold);
    push_varint(&mut message, 6, point.zero_count);
    push_side(&mut message, 8, &point.negative, steps)?;
    push_side(&mut message, 11, &point.positive, steps)?;
    push_varint(&mut message, 15, time_ms as u64);
    match check(&message) {
        Ok(Ok(())) => Ok(message),
        Ok(Err(rule)) => Err(rule),
        Err(_) => Err("the histogram cannot be represented"),
    }
}

/// Appends the spans (field `field`) and deltas (the field after it) of one side.
fn push_side(message: &mut Vec<u8>, field: u32, side: &Buckets, steps: i64) -> Result<(), &'static str> {
    // A scale is at most 20 in practice; after 62 halvings every bucket is one of two.
    let steps = steps.min(62);
    let index = |position: usize| {
        let position = i64::try_from(position).ok()?;
        side.offset.checked_add(position).map(|index| index >> steps)
    };
    let mut counts: Vec<u64> = Vec::new();
    let first = index(0).ok_or("the offset of a bucket is out of range")?;
    for (position, &count) in side.counts.iter().enumerate() {
        let place = index(position).ok_or("the offset of a bucket is out of range")? - first;
        if place == counts.len() as i64 {
            counts.push(count);
        } else if let Some(last) = counts.last_mut() {
            *last = last.checked_add(count).ok_or("the counts of buckets do not fit in 64 bits")?;
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let offset = i32::try_from(first + 1).map_err(|_| "the offset of a bucket is out of range")?;
    let mut span = Vec::new();
    push_varint(&mut span, 1, zigzag(i64::from(offset)));
    push_varint(&mut span, 2, counts.len() as u64);
    push_bytes(message, field, &span);
    let (mut deltas, mut before) = (Vec::new(), 0_i64);
    for count in counts {
        let count = i64::try_from(count).map_err(|_| "the count of a bucket does not fit in 63 bits")?;
        push_raw(&mut deltas, zigzag(count - before));
        before = count;
    }
    push_bytes(message, field + 1, &deltas);
    Ok(())
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn push_raw(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// Appends a varint field.
pub(super) fn push_varint(message: &mut Vec<u8>, number: u32, value: u64) {
    push_raw(message, u64::from(number) << 3);
    push_raw(message, value);
}

/// Appends a double field.
pub(super) fn push_double(message: &mut Vec<u8>, number: u32, value: f64) {
    push_fixed(message, number, value.to_bits());
}

/// Appends a fixed64 field.
pub(super) fn push_fixed(message: &mut Vec<u8>, number: u32, bits: u64) {
    push_raw(message, u64::from(number) << 3 | 1);
    message.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a string, bytes or message field.
pub(super) fn push_bytes(message: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    push_key(message, number);
    push_raw(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Begins a message field that is written in place; its length follows, by [`push_length_before`].
pub(super) fn push_key(message: &mut Vec<u8>, number: u32) {
    push_raw(message, u64::from(number) << 3 | 2);
}

/// Puts the length of what stands from `start` on before it.
pub(super) fn push_length_before(message: &mut Vec<u8>, start: usize) {
    let mut length = Vec::new();
    push_raw(&mut length, (message.len() - start) as u64);
    message.splice(start..start, length);
}
