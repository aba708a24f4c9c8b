//! The JSON form of an export request, turned into the protobuf message.
//!
//! Tables of fields drive one visitor, so that both encodings are decoded by one decoder, and memory stays a small
//! multiple of the text. Names are those of the JSON mapping (lowerCamelCase); unknown members are passed over, 64-bit
//! integers may be text, `null` is an absent member.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::histogram::{push_bytes, push_double, push_fixed, push_varint};
use crate::ingest::rows::RowsError;

/// What the value of a member is.
#[derive(Clone, Copy)]
enum Kind {
    String,
    Bytes,
    Double,
    Fixed64,
    Varint,
    Zigzag,
    Bool,
    /// By reference to the table, since values hold lists of values.
    Message(&'static &'static [Member]),
}

/// A member: its name, the number of its field, its kind. Lists are spelled out, so each may stand once or as an array.
type Member = (&'static str, u32, Kind);

static REQUEST: &[Member] = &[("resourceMetrics", 1, Kind::Message(&RESOURCE_METRICS))];
static RESOURCE_METRICS: &[Member] =
    &[("resource", 1, Kind::Message(&RESOURCE)), ("scopeMetrics", 2, Kind::Message(&SCOPE_METRICS))];
static RESOURCE: &[Member] = &[("attributes", 1, Kind::Message(&KEY_VALUE))];
static SCOPE_METRICS: &[Member] = &[("metrics", 2, Kind::Message(&METRIC))];
static METRIC: &[Member] = &[
    ("name", 1, Kind::String),
    ("unit", 3, Kind::String),
    ("gauge", 5, Kind::Message(&GAUGE)),
    ("sum", 7, Kind::Message(&SUM)),
    ("histogram", 9, Kind::Message(&HISTOGRAM)),
    ("exponentialHistogram", 10, Kind::Message(&EXPONENTIAL)),
    ("summary", 11, Kind::Message(&SUMMARY)),
];
static GAUGE: &[Member] = &[("dataPoints", 1, Kind::Message(&NUMBER_POINT))];
static SUM: &[Member] = &[
    ("dataPoints", 1, Kind::Message(&NUMBER_POINT)),
    ("aggregationTemporality", 2, Kind::Varint),
    ("isMonotonic", 3, Kind::Bool),
];
static HISTOGRAM: &[Member] =
    &[("dataPoints", 1, Kind::Message(&HISTOGRAM_POINT)), ("aggregationTemporality", 2, Kind::Varint)];
static EXPONENTIAL: &[Member] =
    &[("dataPoints", 1, Kind::Message(&EXPONENTIAL_POINT)), ("aggregationTemporality", 2, Kind::Varint)];
static SUMMARY: &[Member] = &[("dataPoints", 1, Kind::Message(&SUMMARY_POINT))];
static NUMBER_POINT: &[Member] = &[
    ("attributes", 7, Kind::Message(&KEY_VALUE)),
    ("timeUnixNano", 3, Kind::Fixed64),
    ("asDouble", 4, Kind::Double),
    ("asInt", 6, Kind::Fixed64),
    ("flags", 8, Kind::Varint),
];
static HISTOGRAM_POINT: &[Member] = &[
    ("attributes", 9, Kind::Message(&KEY_VALUE)),
    ("timeUnixNano", 3, Kind::Fixed64),
    ("count", 4, Kind::Fixed64),
    ("sum", 5, Kind::Double),
    ("bucketCounts", 6, Kind::Fixed64),
    ("explicitBounds", 7, Kind::Double),
    ("flags", 10, Kind::Varint),
];
static EXPONENTIAL_POINT: &[Member] = &[
    ("attributes", 1, Kind::Message(&KEY_VALUE)),
    ("timeUnixNano", 3, Kind::Fixed64),
    ("count", 4, Kind::Fixed64),
    ("sum", 5, Kind::Double),
    ("scale", 6, Kind::Zigzag),
    ("zeroCount", 7, Kind::Fixed64),
    ("positive", 8, Kind::Message(&BUCKETS)),
    ("negative", 9, Kind::Message(&BUCKETS)),
    ("flags", 10, Kind::Varint),
    ("zeroThreshold", 14, Kind::Double),
];
static BUCKETS: &[Member] = &[("offset", 1, Kind::Zigzag), ("bucketCounts", 2, Kind::Varint)];
static SUMMARY_POINT: &[Member] = &[
    ("attributes", 7, Kind::Message(&KEY_VALUE)),
    ("timeUnixNano", 3, Kind::Fixed64),
    ("count", 4, Kind::Fixed64),
    ("sum", 5, Kind::Double),
    ("quantileValues", 6, Kind::Message(&QUANTILE)),
    ("flags", 8, Kind::Varint),
];
static QUANTILE: &[Member] = &[("quantile", 1, Kind::Double), ("value", 2, Kind::Double)];
static KEY_VALUE: &[Member] = &[("key", 1, Kind::String), ("value", 2, Kind::Message(&ANY_VALUE))];
static ANY_VALUE: &[Member] = &[
    ("stringValue", 1, Kind::String),
    ("boolValue", 2, Kind::Bool),
    ("intValue", 3, Kind::Varint),
    ("doubleValue", 4, Kind::Double),
    ("arrayValue", 5, Kind::Message(&ARRAY)),
    ("kvlistValue", 6, Kind::Message(&LIST)),
    ("bytesValue", 7, Kind::Bytes),
];
static ARRAY: &[Member] = &[("values", 1, Kind::Message(&ANY_VALUE))];
static LIST: &[Member] = &[("values", 1, Kind::Message(&KEY_VALUE))];

/// The protobuf message of a JSON export request.
///
/// # Errors
/// `Malformed` when the text is no JSON, or a member is of another type than the protocol says.
pub fn json_to_protobuf(json: &[u8]) -> Result<Vec<u8>, RowsError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let seed = Value { number: None, kind: Kind::Message(&REQUEST), out: &mut out };
    let result = seed.deserialize(&mut reader).and_then(|()| reader.end());
    match result {
        Ok(()) => Ok(out),
        Err(error) => Err(RowsError::Malformed(format!("the body is not an export request as JSON: {error}"))),
    }
}

/// Reads a value and appends it as a field; without a number the members of the outermost message.
struct Value<'o> {
    number: Option<u32>,
    kind: Kind,
    out: &'o mut Vec<u8>,
}

impl Value<'_> {
    /// Appends a number that fits in 64 bits, by its bits.
    fn integer<E: serde::de::Error>(self, bits: u64, negative: bool) -> Result<(), E> {
        let Some(number) = self.number else { return Err(E::custom("an object is expected")) };
        match self.kind {
            Kind::Fixed64 => push_fixed(self.out, number, bits),
            Kind::Varint => push_varint(self.out, number, bits),
            Kind::Zigzag => {
                let value = bits as i64;
                push_varint(self.out, number, (value << 1 ^ value >> 63) as u64);
            }
            Kind::Double => push_double(self.out, number, if negative { bits as i64 as f64 } else { bits as f64 }),
            _ => return Err(E::custom("a number stands where none belongs")),
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member of an export request")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<(), E> {
        match (self.kind, self.number) {
            (Kind::Bool, Some(number)) => {
                push_varint(self.out, number, u64::from(flag));
                Ok(())
            }
            _ => Err(E::custom("true or false stands where none belongs")),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.integer(number, false)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.integer(number as u64, true)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        match (self.kind, self.number) {
            (Kind::Double, Some(number)) => {
                push_double(self.out, number, value);
                Ok(())
            }
            _ => Err(E::custom("a fraction stands where a whole number belongs")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let Some(number) = self.number else { return Err(E::custom("an object is expected")) };
        match self.kind {
            Kind::String => {
                push_bytes(self.out, number, text.as_bytes());
                Ok(())
            }
            // Base64 in the JSON mapping; labels show it as it stands there.
            Kind::Bytes => {
                push_bytes(self.out, 1, text.as_bytes());
                Ok(())
            }
            Kind::Double => {
                let value = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    text => text.parse().map_err(|_| E::custom("a text stands where a number belongs"))?,
                };
                push_double(self.out, number, value);
                Ok(())
            }
            Kind::Varint if text.starts_with("AGGREGATION_TEMPORALITY_") => {
                let value = match text {
                    "AGGREGATION_TEMPORALITY_DELTA" => 1,
                    "AGGREGATION_TEMPORALITY_CUMULATIVE" => 2,
                    _ => 0,
                };
                self.integer(value, false)
            }
            Kind::Fixed64 | Kind::Varint | Kind::Zigzag => match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(value), _) => self.integer(value, false),
                (_, Ok(value)) => self.integer(value as u64, true),
                _ => Err(E::custom("a text stands where a whole number belongs")),
            },
            Kind::Bool | Kind::Message(&_) => Err(E::custom("a text stands where none belongs")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element_seed(Value { number: self.number, kind: self.kind, out: &mut *self.out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Kind::Message(members) = self.kind else {
            return Err(A::Error::custom("an object stands where none belongs"));
        };
        let mut message = Vec::new();
        // The outermost message has no field around it.
        let out = if self.number.is_some() { &mut message } else { &mut *self.out };
        while let Some(name) = object.next_key::<std::borrow::Cow<'de, str>>()? {
            match members.iter().find(|(known, _, _)| *known == name) {
                Some(&(_, number, kind)) => {
                    object.next_value_seed(Value { number: Some(number), kind, out: &mut *out })?
                }
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        if let Some(number) = self.number {
            push_bytes(self.out, number, &message);
        }
        Ok(())
    }
}
