//! Attributes of resources and points, as labels.

use std::collections::BTreeMap;

use super::names::label_name;
use super::point::{bytes, next};
use crate::ingest::prometheus::wire::{Reader, Value};
use crate::ingest::rows::{RowFault, RowLimits, RowReason, RowsError, quoted};

/// Depth of lists within lists.
const DEPTH_MAX: usize = 16;

/// A `KeyValue` that was checked: its key, and its value as the message of an `AnyValue`.
pub(super) type Attribute<'a> = (&'a str, &'a [u8]);

/// The parts of a `KeyValue`.
pub(super) fn attribute(message: &[u8]) -> Result<Result<Attribute<'_>, RowFault>, RowsError> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(message);
    while let Some((number, field)) = next(&mut reader)? {
        match number {
            1 => key = bytes(field)?,
            2 => value = bytes(field)?,
            _ => {}
        }
    }
    Ok(match str::from_utf8(key) {
        Ok(key) => Ok((key, value)),
        Err(_) => Err(RowFault::new(RowReason::InvalidUtf8, "the name of an attribute is not UTF-8")),
    })
}

/// Attributes as labels in the order of their names. Those whose names become equal are one, with `;` between the values;
/// an empty value is an absent label.
pub(super) fn labels(attributes: &[Attribute<'_>], limits: &RowLimits) -> Result<BTreeMap<String, String>, RowFault> {
    let mut sorted = attributes.to_vec();
    sorted.sort_unstable();
    let mut labels = BTreeMap::<String, String>::new();
    for (key, value) in sorted {
        if key.len() > limits.name_bytes_max || value.len() > limits.tag_value_bytes_max {
            let text = format!("attribute {} has {} bytes", quoted(key.as_bytes()), key.len() + value.len());
            return Err(RowFault::new(RowReason::TooLong, text));
        }
        let text = any_text(value)?;
        if key.is_empty() || text.is_empty() {
            continue;
        }
        labels
            .entry(label_name(key))
            .and_modify(|there| {
                there.push(';');
                there.push_str(&text);
            })
            .or_insert(text);
    }
    Ok(labels)
}

/// An `AnyValue` as text; lists as JSON.
pub(super) fn any_text(message: &[u8]) -> Result<String, RowFault> {
    Ok(match any(message, 0)? {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

fn any(message: &[u8], depth: usize) -> Result<serde_json::Value, RowFault> {
    use serde_json::Value as Json;
    let malformed = || RowFault::new(RowReason::Malformed, "the value of an attribute is not well-formed");
    if depth > DEPTH_MAX {
        return Err(RowFault::new(RowReason::Malformed, "the value of an attribute is nested too deep"));
    }
    let mut json = Json::Null;
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.next_field().map_err(|_| malformed())? {
        json = match (number, value) {
            (1, Value::Bytes(text)) => match str::from_utf8(text) {
                Ok(text) => Json::from(text),
                Err(_) => return Err(RowFault::new(RowReason::InvalidUtf8, "the value of an attribute is not UTF-8")),
            },
            (2, Value::Varint(flag)) => Json::from(flag != 0),
            (3, Value::Varint(number)) => Json::from(number as i64),
            (4, Value::Fixed64(bits)) => {
                let number = f64::from_bits(bits);
                serde_json::Number::from_f64(number).map_or_else(|| Json::from(number.to_string()), Json::Number)
            }
            (5, Value::Bytes(list)) => {
                let mut items = Vec::new();
                let mut reader = Reader::new(list);
                while let Some((_, value)) = reader.next_field().map_err(|_| malformed())? {
                    items.push(any(value.bytes(0).map_err(|_| malformed())?, depth + 1)?);
                }
                Json::from(items)
            }
            (6, Value::Bytes(list)) => {
                let mut members = serde_json::Map::new();
                let mut reader = Reader::new(list);
                while let Some((_, value)) = reader.next_field().map_err(|_| malformed())? {
                    let message = value.bytes(0).map_err(|_| malformed())?;
                    let (key, value) = attribute(message).map_err(|_| malformed())??;
                    members.insert(key.to_owned(), any(value, depth + 1)?);
                }
                Json::from(members)
            }
            (7, Value::Bytes(bytes)) => Json::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            (1..=7, _) => return Err(malformed()),
            _ => json,
        };
    }
    Ok(json)
}
