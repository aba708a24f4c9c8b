//! Data points, read field by field.

use super::attributes::{Attribute, attribute};
use crate::ingest::prometheus::DecodeError;
use crate::ingest::prometheus::wire::{Reader, Value, zigzag};
use crate::ingest::rows::{RowFault, RowReason, RowsError};

/// Attributes of one resource or point; more refuse it.
pub(super) const ATTRIBUTES_MAX: usize = 128;
/// Buckets or quantiles of one point; a byte can stand for one.
pub(super) const BUCKETS_MAX: usize = 10_000;

fn check_buckets(count: usize) -> Result<(), RowsError> {
    RowsError::check("buckets in one histogram", count, BUCKETS_MAX)
}

fn malformed(error: DecodeError) -> RowsError {
    let reason = match error {
        DecodeError::Protobuf { reason, .. } => reason,
        _ => "it cannot be decoded",
    };
    RowsError::Malformed(format!("the message is not a valid ExportMetricsServiceRequest: {reason}"))
}

/// The next field of a message.
pub(super) fn next<'a>(reader: &mut Reader<'a>) -> Result<Option<(u32, Value<'a>)>, RowsError> {
    reader.next_field().map_err(malformed)
}

pub(super) fn bytes(value: Value<'_>) -> Result<&[u8], RowsError> {
    value.bytes(0).map_err(malformed)
}

pub(super) fn varint(value: Value<'_>) -> Result<u64, RowsError> {
    value.varint(0).map_err(malformed)
}

pub(super) fn double(value: Value<'_>) -> Result<f64, RowsError> {
    value.double(0).map_err(malformed)
}

/// A `fixed64` or the bits of an `sfixed64`.
pub(super) fn fixed(value: Value<'_>) -> Result<u64, RowsError> {
    double(value).map(f64::to_bits)
}

/// Adds a repeated `fixed64` or `double`, packed or not; its length is that of bytes that are there.
pub(super) fn push_fixed(values: &mut Vec<u64>, value: Value<'_>) -> Result<(), RowsError> {
    match value {
        Value::Fixed64(bits) => values.push(bits),
        value => {
            let packed = bytes(value)?;
            check_buckets(values.len() + packed.len() / 8)?;
            let (whole, []) = packed.as_chunks::<8>() else {
                return Err(malformed(DecodeError::Protobuf {
                    reason: "a packed field ends within a value",
                    offset: 0,
                }));
            };
            values.extend(whole.iter().map(|bits| u64::from_le_bytes(*bits)));
        }
    }
    check_buckets(values.len())
}

/// Adds a repeated `uint64`, packed or not.
pub(super) fn push_varints(values: &mut Vec<u64>, value: Value<'_>) -> Result<(), RowsError> {
    match value {
        Value::Varint(value) => values.push(value),
        value => {
            let mut reader = Reader::new(bytes(value)?);
            while !reader.is_at_end() {
                values.push(reader.varint().map_err(malformed)?);
                check_buckets(values.len())?;
            }
        }
    }
    check_buckets(values.len())
}

/// The sort of a point, which says what the numbers of its fields mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointKind {
    Number,
    Histogram,
    Exponential,
    Summary,
}

/// One side of the buckets of an exponential histogram.
#[derive(Debug, Clone, Default)]
pub(super) struct Buckets {
    pub(super) offset: i64,
    pub(super) counts: Vec<u64>,
}

/// A data point of any sort; what a sort does not have stays empty.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub(super) attributes: Vec<Attribute<'a>>,
    /// The attributes as they came.
    pub(super) raw_attributes: Vec<&'a [u8]>,
    pub(super) time_ns: u64,
    pub(super) value: Option<f64>,
    pub(super) flags: u64,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) bucket_counts: Vec<u64>,
    /// As bits.
    pub(super) bounds: Vec<u64>,
    pub(super) scale: i64,
    pub(super) zero_count: u64,
    pub(super) zero_threshold: f64,
    pub(super) positive: Buckets,
    pub(super) negative: Buckets,
    /// Quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
    /// Why it cannot be kept.
    pub(super) fault: Option<RowFault>,
}

impl<'a> Point<'a> {
    /// Reads a point.
    pub(super) fn read(message: &'a [u8], kind: PointKind) -> Result<Self, RowsError> {
        use PointKind::{Exponential, Histogram, Number, Summary};
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = next(&mut reader)? {
            match (kind, number) {
                (Number | Summary, 7) | (Histogram, 9) | (Exponential, 1) => point.push_attribute(bytes(value)?)?,
                (_, 3) => point.time_ns = fixed(value)?,
                (Number, 4) => point.value = Some(double(value)?),
                (Number, 6) => point.value = Some(fixed(value)? as i64 as f64),
                (Number | Summary, 8) | (Histogram | Exponential, 10) => point.flags = varint(value)?,
                (_, 4) => point.count = fixed(value)?,
                (_, 5) => point.sum = Some(double(value)?),
                (Histogram, 6) => push_fixed(&mut point.bucket_counts, value)?,
                (Histogram, 7) => push_fixed(&mut point.bounds, value)?,
                (Exponential, 6) => point.scale = zigzag(varint(value)?),
                (Exponential, 7) => point.zero_count = fixed(value)?,
                (Exponential, 8) => point.positive = buckets(bytes(value)?)?,
                (Exponential, 9) => point.negative = buckets(bytes(value)?)?,
                (Exponential, 14) => point.zero_threshold = double(value)?,
                (Summary, 6) => {
                    let (mut quantile, mut at) = (0.0, 0.0);
                    let mut reader = Reader::new(bytes(value)?);
                    while let Some((number, value)) = next(&mut reader)? {
                        match number {
                            1 => quantile = double(value)?,
                            2 => at = double(value)?,
                            _ => {}
                        }
                    }
                    point.quantiles.push((quantile, at));
                    check_buckets(point.quantiles.len())?;
                }
                _ => {}
            }
        }
        Ok(point)
    }

    fn push_attribute(&mut self, message: &'a [u8]) -> Result<(), RowsError> {
        match attribute(message)? {
            Ok(_) if self.attributes.len() >= ATTRIBUTES_MAX => {
                let text = format!("a point has more than {ATTRIBUTES_MAX} attributes");
                self.fault = Some(RowFault::new(RowReason::TooManyColumns, text));
            }
            Ok(attribute) => {
                self.attributes.push(attribute);
                self.raw_attributes.push(message);
            }
            Err(fault) => self.fault = Some(fault),
        }
        Ok(())
    }
}

fn buckets(message: &[u8]) -> Result<Buckets, RowsError> {
    let mut buckets = Buckets::default();
    let mut reader = Reader::new(message);
    while let Some((number, value)) = next(&mut reader)? {
        match number {
            1 => buckets.offset = zigzag(varint(value)?),
            2 => push_varints(&mut buckets.counts, value)?,
            _ => {}
        }
    }
    Ok(buckets)
}
