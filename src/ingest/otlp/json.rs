//! The JSON form of an export request, turned into the protobuf message.
//!
//! Tables of fields drive one visitor, so that both encodings are decoded by one decoder. A number takes two bytes as text
//! and up to nine in the message, so the message has a bound of its own, lists of numbers have the bound that the decoder
//! sets on them, and memory is asked for before it is taken. Messages within messages are written in place. Names are those of the JSON mapping (lowerCamelCase); unknown members are passed over, 64-bit
//! integers may be text, `null` is an absent member.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::histogram::{push_bytes, push_double, push_fixed, push_key, push_length_before, push_varint};
use super::point::BUCKETS_MAX;
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

/// Bytes of the message between two looks at the memory.
const ROOM_AT_ONCE: usize = 256 << 10;

/// The protobuf message of a JSON export request, of at most `bytes_max` bytes. `has_room` is asked, with the bytes that
/// the message may take from then on, before it grows.
///
/// # Errors
/// `Malformed` when the text is no JSON, or a member is of another type than the protocol says; `TooLarge` when the
/// message or a list of numbers in it would be; `NoRoom` when `has_room` says so.
pub fn json_to_protobuf(
    json: &[u8],
    bytes_max: usize,
    has_room: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<u8>, RowsError> {
    let mut out = Message { bytes: Vec::new(), bytes_max, has_room, refusal: None };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let seed = Value { number: None, kind: Kind::Message(&REQUEST), out: &mut out };
    let result = seed.deserialize(&mut reader).and_then(|()| reader.end());
    match (result, out.refusal) {
        (Ok(()), None) => Ok(out.bytes),
        (_, Some(refusal)) => Err(refusal),
        (Err(error), None) => Err(RowsError::Malformed(format!("the body is not an export request as JSON: {error}"))),
    }
}

/// The message as far as it is written.
struct Message<'r> {
    bytes: Vec<u8>,
    bytes_max: usize,
    has_room: &'r mut dyn FnMut(usize) -> bool,
    /// Why the walk was ended; errors of the JSON reader are only text.
    refusal: Option<RowsError>,
}

impl Message<'_> {
    /// Makes room for a few more bytes, or ends the walk.
    fn reserve<E: serde::de::Error>(&mut self, more: usize) -> Result<(), E> {
        let needed = self.bytes.len().saturating_add(more);
        let checked = RowsError::check("bytes as a message", needed, self.bytes_max);
        if let Err(refusal) = checked {
            return self.refuse(refusal);
        }
        if needed > self.bytes.capacity() {
            // Twice as much each time, in steps, but never beyond the bound.
            let wanted = needed.max(2 * self.bytes.capacity()).next_multiple_of(ROOM_AT_ONCE).min(self.bytes_max);
            if !(self.has_room)(wanted) {
                return self.refuse(RowsError::NoRoom);
            }
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        Ok(())
    }

    fn refuse<E: serde::de::Error>(&mut self, refusal: RowsError) -> Result<(), E> {
        let error = E::custom(&refusal);
        self.refusal = Some(refusal);
        Err(error)
    }
}

/// Bytes of a field of a number: the key and the value, both at their longest.
const NUMBER_BYTES_MAX: usize = 15;
/// Bytes of a length at its longest.
const LENGTH_BYTES_MAX: usize = 10;

/// Reads a value and appends it as a field; without a number the members of the outermost message.
struct Value<'o, 'r> {
    number: Option<u32>,
    kind: Kind,
    out: &'o mut Message<'r>,
}

impl Value<'_, '_> {
    /// Appends a number that fits in 64 bits, by its bits.
    fn integer<E: serde::de::Error>(self, bits: u64, negative: bool) -> Result<(), E> {
        let Some(number) = self.number else { return Err(E::custom("an object is expected")) };
        self.out.reserve(NUMBER_BYTES_MAX)?;
        let out = &mut self.out.bytes;
        match self.kind {
            Kind::Fixed64 => push_fixed(out, number, bits),
            Kind::Varint => push_varint(out, number, bits),
            Kind::Zigzag => {
                let value = bits as i64;
                push_varint(out, number, (value << 1 ^ value >> 63) as u64);
            }
            Kind::Double => push_double(out, number, if negative { bits as i64 as f64 } else { bits as f64 }),
            _ => return Err(E::custom("a number stands where none belongs")),
        }
        Ok(())
    }

    fn text<E: serde::de::Error>(self, number: u32, text: &str) -> Result<(), E> {
        self.out.reserve(NUMBER_BYTES_MAX + text.len())?;
        push_bytes(&mut self.out.bytes, number, text.as_bytes());
        Ok(())
    }

    fn double<E: serde::de::Error>(self, number: u32, value: f64) -> Result<(), E> {
        self.out.reserve(NUMBER_BYTES_MAX)?;
        push_double(&mut self.out.bytes, number, value);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
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
                self.out.reserve(NUMBER_BYTES_MAX)?;
                push_varint(&mut self.out.bytes, number, u64::from(flag));
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
            (Kind::Double, Some(number)) => self.double(number, value),
            _ => Err(E::custom("a fraction stands where a whole number belongs")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let Some(number) = self.number else { return Err(E::custom("an object is expected")) };
        match self.kind {
            Kind::String => self.text(number, text),
            // Base64 in the JSON mapping; labels show it as it stands there.
            Kind::Bytes => self.text(1, text),
            Kind::Double => {
                let value = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    text => text.parse().map_err(|_| E::custom("a text stands where a number belongs"))?,
                };
                self.double(number, value)
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
        let is_number = matches!(self.kind, Kind::Double | Kind::Fixed64 | Kind::Varint | Kind::Zigzag);
        let mut count = 0;
        while array.next_element_seed(Value { number: self.number, kind: self.kind, out: &mut *self.out })?.is_some() {
            count += usize::from(is_number);
            if let Err(refusal) = RowsError::check("numbers in one list", count, BUCKETS_MAX) {
                self.out.refuse(refusal)?;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Kind::Message(members) = self.kind else {
            return Err(A::Error::custom("an object stands where none belongs"));
        };
        self.out.reserve(NUMBER_BYTES_MAX)?;
        if let Some(number) = self.number {
            push_key(&mut self.out.bytes, number);
        }
        let start = self.out.bytes.len();
        while let Some(name) = object.next_key::<std::borrow::Cow<'de, str>>()? {
            match members.iter().find(|(known, _, _)| *known == name) {
                Some(&(_, number, kind)) => {
                    object.next_value_seed(Value { number: Some(number), kind, out: &mut *self.out })?
                }
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        // The outermost message has no field around it, and no length.
        if self.number.is_some() {
            self.out.reserve(LENGTH_BYTES_MAX)?;
            push_length_before(&mut self.out.bytes, start);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of a text, and the most memory that was asked for.
    fn convert(json: &str, bytes_max: usize, room: usize) -> (Result<Vec<u8>, RowsError>, usize) {
        let mut asked = 0;
        let result = json_to_protobuf(json.as_bytes(), bytes_max, &mut |bytes| {
            asked = asked.max(bytes);
            bytes <= room
        });
        (result, asked)
    }

    fn histogram(points: usize, buckets: usize) -> String {
        let point = format!("{{\"bucketCounts\":[{}]}}", vec!["1"; buckets].join(","));
        let points = vec![point; points].join(",");
        format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"histogram\":{{\"dataPoints\":[{points}]}}}}]}}]}}]}}"
        )
    }

    #[test]
    fn messages_are_written_in_place_with_their_lengths() {
        let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":{"intValue":"-1"}}]}},{}]}"#;
        let value = [0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let attribute = [&[0x0a, 1, b'k', 0x12, 11][..], &value].concat();
        let resource = [&[0x0a, 16][..], &attribute].concat();
        let expected = [&[0x0a, 20, 0x0a, 18][..], &resource, &[0x0a, 0]].concat();
        assert_eq!(convert(json, 1 << 20, 1 << 20).0.unwrap(), expected);
        // A length of two bytes is put before what it counts.
        let long = convert(&histogram(1, 20), 1 << 20, 1 << 20).0.unwrap();
        assert_eq!((long[0], long[1], long[2], long.len()), (0x0a, 0xc0, 0x01, 195));
    }

    #[test]
    fn a_list_of_numbers_ends_at_its_bound() {
        assert!(convert(&histogram(1, BUCKETS_MAX), 32 << 20, 1 << 20).0.is_ok());
        // A megabyte of text that would be four and a half as a message.
        let (refused, asked) = convert(&histogram(1, 500_000), 32 << 20, usize::MAX);
        assert!(matches!(refused, Err(RowsError::TooLarge { limit: BUCKETS_MAX, .. })), "{refused:?}");
        assert!(asked < 1 << 20, "{asked}");
    }

    #[test]
    fn the_message_ends_at_its_bound_and_asks_for_its_memory() {
        let json = histogram(100, 5_000);
        let whole = convert(&json, 32 << 20, usize::MAX).0.unwrap();
        assert!(whole.len() > 4 * json.len(), "{} of {}", whole.len(), json.len());
        for (bytes_max, is_taken) in [(whole.len() + 32, true), (whole.len() - 1, false)] {
            let (result, asked) = convert(&json, bytes_max, usize::MAX);
            assert_eq!((result.is_ok(), asked <= bytes_max), (is_taken, true), "{bytes_max}: {asked}");
        }
        let (refused, _) = convert(&json, 1 << 20, usize::MAX);
        assert!(matches!(refused, Err(RowsError::TooLarge { limit: 0x10_0000, .. })), "{refused:?}");
        let (refused, asked) = convert(&json, 32 << 20, 1 << 20);
        assert!(matches!(refused, Err(RowsError::NoRoom)), "{refused:?}");
        assert_eq!(asked, 2 << 20, "it asks before it takes");
    }
}
