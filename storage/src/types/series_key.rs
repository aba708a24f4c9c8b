//! The identity of a series: its tag values as one byte string whose `memcmp` order is the order of the tag values.
//!
//! Encoding, tag after tag in schema order: NULL is `00`; a value is `01`, its bytes with `00` written as `00 FF`, then
//! `00 00`. NULL sorts before every value, and a value before every longer one that starts with it. Trailing NULLs are
//! cut, so that a tag that is added later (at the end) leaves every older key as it was.

use std::borrow::Borrow;
use std::sync::Arc;

/// The encoded tag values of a series within its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(Arc<[u8]>);

/// Maps of series are searched by encoded tags, which hash and compare as the key does.
impl Borrow<[u8]> for SeriesKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl SeriesKey {
    /// Encodes tag values, in the order of the table's tags.
    pub fn from_tags<'a>(tags: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut bytes = Vec::with_capacity(64);
        Self::encode_into(tags, &mut bytes);
        Self(bytes.into())
    }

    /// Encodes tag values into `bytes`, which is cleared first; for lookups without an allocation.
    pub fn encode_into<'a>(tags: impl IntoIterator<Item = Option<&'a [u8]>>, bytes: &mut Vec<u8>) {
        bytes.clear();
        let mut end_of_last_value = 0;
        for tag in tags {
            match tag {
                None => bytes.push(0),
                Some(value) => {
                    bytes.push(1);
                    if value.contains(&0) {
                        append_escaped(value, bytes);
                    } else {
                        bytes.extend_from_slice(value);
                    }
                    bytes.extend_from_slice(&[0, 0]);
                    end_of_last_value = bytes.len();
                }
            }
        }
        bytes.truncate(end_of_last_value);
    }

    /// Takes bytes that `encode_into` made, or bytes from disk that [`SeriesKey::is_well_formed`] accepted.
    pub fn from_encoded(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are one key, told by where they lie where that is the same place: keys that are handed on mostly do.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self == other
    }

    /// Whether `bytes` is an encoding of at most `tag_count` tags.
    pub fn is_well_formed(bytes: &[u8], tag_count: usize) -> bool {
        let mut position = 0;
        let mut tags = 0;
        while position < bytes.len() {
            tags += 1;
            match decode_one(bytes, &mut position, |_| {}) {
                Some(is_value) if tags <= tag_count => {
                    if position == bytes.len() && !is_value {
                        return false;
                    }
                }
                _ => return false,
            }
        }
        true
    }

    /// Decodes to `tag_count` values; tags beyond the end of the key are NULL.
    ///
    /// Bytes that are not well formed decode to fewer values followed by NULLs, never to a panic.
    pub fn decode(&self, tag_count: usize) -> Vec<Option<Vec<u8>>> {
        let mut values = Vec::with_capacity(tag_count);
        let mut position = 0;
        while position < self.0.len() && values.len() < tag_count {
            let mut value = Vec::new();
            match decode_one(&self.0, &mut position, |byte| value.push(byte)) {
                Some(true) => values.push(Some(value)),
                Some(false) => values.push(None),
                None => break,
            }
        }
        values.resize(tag_count, None);
        values
    }
}

fn append_escaped(value: &[u8], bytes: &mut Vec<u8>) {
    for &byte in value {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(0xFF);
        }
    }
}

/// Decodes one tag at `position`: `Some(true)` for a value, `Some(false)` for NULL, `None` when malformed.
fn decode_one(bytes: &[u8], position: &mut usize, mut sink: impl FnMut(u8)) -> Option<bool> {
    let kind = *bytes.get(*position)?;
    *position += 1;
    match kind {
        0 => Some(false),
        1 => loop {
            let byte = *bytes.get(*position)?;
            *position += 1;
            if byte != 0 {
                sink(byte);
                continue;
            }
            let escape = *bytes.get(*position)?;
            *position += 1;
            match escape {
                0xFF => sink(0),
                0 => return Some(true),
                _ => return None,
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tags: &[Option<&str>]) -> SeriesKey {
        SeriesKey::from_tags(tags.iter().map(|tag| tag.map(str::as_bytes)))
    }

    #[test]
    fn order_of_keys_is_order_of_tag_values() {
        let sorted = [
            key(&[None, Some("a")]),
            key(&[Some("")]),
            key(&[Some("\0")]),
            key(&[Some("\0\u{1}")]),
            key(&[Some("a")]),
            key(&[Some("a"), Some("b")]),
            key(&[Some("a\0")]),
            key(&[Some("a\0b")]),
            key(&[Some("ab")]),
            key(&[Some("b")]),
        ];
        for pair in sorted.windows(2) {
            assert!(pair[0] < pair[1], "{:?} < {:?}", pair[0], pair[1]);
        }
    }

    #[test]
    fn keys_round_trip_with_nulls_and_zero_bytes() {
        let tags = [Some("x\0y"), None, Some(""), None];
        let key = key(&tags);
        assert!(SeriesKey::is_well_formed(key.as_bytes(), 4));
        let expected: Vec<_> = tags.iter().map(|tag| tag.map(|text| text.as_bytes().to_vec())).collect();
        assert_eq!(key.decode(4), expected);
    }

    #[test]
    fn adding_a_tag_leaves_old_keys_unchanged() {
        assert_eq!(key(&[Some("a")]), key(&[Some("a"), None]));
        assert_eq!(key(&[]), key(&[None, None]));
    }

    #[test]
    fn malformed_keys_are_told_apart() {
        for bytes in [&[2u8][..], &[1, b'a'], &[1, 0], &[1, 0, 7], &[0], &[1, b'a', 0, 0, 0]] {
            assert!(!SeriesKey::is_well_formed(bytes, 4), "{bytes:?}");
        }
        assert!(!SeriesKey::is_well_formed(key(&[Some("a"), Some("b")]).as_bytes(), 1));
    }
}
