//! A JSON object as a flat list of members.
//!
//! The object is never built as a tree: members are listed while the text is read. Depth is bounded by serde_json (128),
//! the length of a name by the caller, so that deep names times many members stay small.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::field_builder::FieldValue;
use crate::ingest::rows::{RowFault, RowReason};

/// What becomes of objects within objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nested {
    /// `{"a": {"b": 1}}` has the member `a.b`.
    #[default]
    Flatten,
    /// They stay JSON text, with their members in the order of the names.
    Json,
}

/// A value of a member.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberValue {
    /// A number with a fraction or exponent.
    F64(f64),
    /// A whole number.
    I64(i64),
    /// A whole number that does not fit in 63 bits.
    U64(u64),
    /// `true` or `false`.
    Bool(bool),
    /// Text; of arrays, and of objects that are not flattened, their JSON.
    String(String),
}

impl MemberValue {
    /// The value for a field of a table.
    pub fn as_field(&self) -> FieldValue<'_> {
        match self {
            Self::F64(value) => FieldValue::F64(*value),
            Self::I64(value) => FieldValue::I64(*value),
            Self::U64(value) => FieldValue::U64(*value),
            Self::Bool(value) => FieldValue::Bool(*value),
            Self::String(value) => FieldValue::String(value),
        }
    }
}

/// A member of an object; those that are `null` are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name, after flattening.
    pub name: String,
    /// Its value.
    pub value: MemberValue,
}

/// Lists the members of the object that `line` is, in their order, into `members`.
///
/// # Errors
/// `Malformed` when the line is not one JSON object, `InvalidName` when a name is longer than `name_bytes_max`.
pub fn flatten(line: &str, nested: Nested, name_bytes_max: usize, members: &mut Vec<Member>) -> Result<(), RowFault> {
    members.clear();
    let mut walk = Walk { name: String::new(), members, nested, name_bytes_max, is_name_too_long: false };
    let mut reader = serde_json::Deserializer::from_str(line);
    let result = reader.deserialize_map(ObjectVisitor(&mut walk)).and_then(|()| reader.end());
    match result {
        Ok(()) => Ok(()),
        Err(_) if walk.is_name_too_long => {
            let detail = format!("a member has a name of more than {name_bytes_max} bytes");
            Err(RowFault::new(RowReason::InvalidName, detail))
        }
        Err(error) => Err(RowFault::new(RowReason::Malformed, format!("not a JSON object: {error}"))),
    }
}

struct Walk<'m> {
    /// Name of the member that is being read, with those of the objects around it.
    name: String,
    members: &'m mut Vec<Member>,
    nested: Nested,
    name_bytes_max: usize,
    is_name_too_long: bool,
}

impl Walk<'_> {
    fn push(&mut self, value: MemberValue) {
        self.members.push(Member { name: self.name.clone(), value });
    }

    /// Reads the members of an object; when it is within another, its own name stands in `name`.
    fn object<'de, A: MapAccess<'de>>(&mut self, mut object: A, is_inner: bool) -> Result<(), A::Error> {
        let outer = self.name.len();
        while object.next_key_seed(NameSeed { walk: self, is_inner })?.is_some() {
            if self.name.len() > self.name_bytes_max {
                self.is_name_too_long = true;
                return Err(A::Error::custom("a name is too long"));
            }
            object.next_value_seed(ValueSeed(self))?;
            self.name.truncate(outer);
        }
        Ok(())
    }
}

/// Appends a name to those of the objects around it.
struct NameSeed<'s, 'm> {
    walk: &'s mut Walk<'m>,
    is_inner: bool,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        if self.is_inner {
            self.walk.name.push('.');
        }
        self.walk.name.push_str(name);
        Ok(())
    }
}

struct ObjectVisitor<'s, 'm>(&'s mut Walk<'m>);

impl<'de> Visitor<'de> for ObjectVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.0.object(object, false)
    }
}

struct ValueSeed<'s, 'm>(&'s mut Walk<'m>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push(MemberValue::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(MemberValue::I64(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(i64::try_from(value).map_or(MemberValue::U64(value), MemberValue::I64));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(MemberValue::F64(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.push(MemberValue::String(value.to_owned()));
        Ok(())
    }

    fn visit_string<E>(self, value: String) -> Result<(), E> {
        self.0.push(MemberValue::String(value));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<(), A::Error> {
        self.0.push(json_text(SeqAccessDeserializer::new(array))?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        match self.0.nested {
            Nested::Flatten => self.0.object(object, true),
            Nested::Json => {
                self.0.push(json_text(MapAccessDeserializer::new(object))?);
                Ok(())
            }
        }
    }
}

fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MemberValue, D::Error> {
    let value: serde_json::Value = serde::Deserialize::deserialize(deserializer)?;
    Ok(MemberValue::String(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(line: &str, nested: Nested) -> Result<Vec<(String, MemberValue)>, RowReason> {
        let mut members = vec![Member { name: "left over".into(), value: MemberValue::Bool(true) }];
        flatten(line, nested, 20, &mut members).map_err(|fault| fault.reason)?;
        Ok(members.into_iter().map(|member| (member.name, member.value)).collect())
    }

    fn text(text: &str) -> MemberValue {
        MemberValue::String(text.into())
    }

    #[test]
    fn objects_are_flattened_or_kept_as_json_and_arrays_are_kept() {
        let line = r#"{"a":1,"b":{"c":-2.5,"d":{"e":"x\ny"},"n":null},"l":[1,{"z":1,"y":2}],"t":true,"u":18446744073709551615}"#;
        let flat = vec![
            ("a".to_owned(), MemberValue::I64(1)),
            ("b.c".to_owned(), MemberValue::F64(-2.5)),
            ("b.d.e".to_owned(), text("x\ny")),
            ("l".to_owned(), text(r#"[1,{"y":2,"z":1}]"#)),
            ("t".to_owned(), MemberValue::Bool(true)),
            ("u".to_owned(), MemberValue::U64(u64::MAX)),
        ];
        assert_eq!(members(line, Nested::Flatten).unwrap(), flat);
        let kept = members(line, Nested::Json).unwrap();
        assert_eq!(kept[1], ("b".to_owned(), text(r#"{"c":-2.5,"d":{"e":"x\ny"},"n":null}"#)));
        assert_eq!(kept.len(), 5);
        assert_eq!(members("{}", Nested::Flatten), Ok(Vec::new()));
        assert_eq!(members(r#"{"":{"b":1}}"#, Nested::Flatten).unwrap()[0].0, ".b");
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for line in
            ["", "1", "[]", "null", "{", r#"{"a":}"#, r#"{"a":1} {"a":2}"#, r#"{"a":1}x"#, r#"{a:1}"#, r#"{"a":1e999}"#]
        {
            assert_eq!(members(line, Nested::Flatten), Err(RowReason::Malformed), "{line}");
        }
        let deep = format!("{}1{}", r#"{"":"#.repeat(500), "}".repeat(500));
        assert!(members(&deep, Nested::Flatten).is_err());
        assert!(members(&deep, Nested::Json).is_err());
        let long = format!(r#"{{"{}":{{"x":1}}}}"#, "n".repeat(19));
        assert_eq!(members(&long, Nested::Flatten), Err(RowReason::InvalidName));
    }
}
