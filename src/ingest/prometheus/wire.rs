//! The protobuf wire format, walked field by field over borrowed bytes.
//!
//! Invariant: a reader never reads outside its slice and always moves forward, so any input ends the walk.

use super::DecodeError;

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::ingest) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5; nothing in remote write has it, so it is only ever skipped.
    Fixed32,
}

impl<'a> Value<'a> {
    /// The bytes of a string, a bytes field or a nested message.
    pub(in crate::ingest) fn bytes(self, offset: usize) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(wrong_type(offset)),
        }
    }

    /// An `int64`, `uint64` or enum.
    pub(in crate::ingest) fn varint(self, offset: usize) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(wrong_type(offset)),
        }
    }

    /// A `double`, with every bit as it came.
    pub(in crate::ingest) fn double(self, offset: usize) -> Result<f64, DecodeError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(wrong_type(offset)),
        }
    }
}

fn wrong_type(offset: usize) -> DecodeError {
    DecodeError::Protobuf { reason: "a field has the wrong wire type", offset }
}

/// Walks the fields of one message.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::ingest) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Offset of the next field.
    pub(in crate::ingest) fn position(&self) -> usize {
        self.position
    }

    /// The next field and its number; `None` at the end of the message.
    #[inline]
    pub(in crate::ingest) fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        if self.position == self.bytes.len() {
            return Ok(None);
        }
        let start = self.position;
        let key = self.varint()?;
        let number = match u32::try_from(key >> 3) {
            Ok(number @ 1..=0x1FFF_FFFF) => number,
            _ => return Err(DecodeError::Protobuf { reason: "a field number is out of range", offset: start }),
        };
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take_array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            // Groups left the language before remote write was born.
            _ => return Err(DecodeError::Protobuf { reason: "a field has an unknown wire type", offset: start }),
        };
        Ok(Some((number, value)))
    }

    /// Goes to a position within the message, where a field begins or the message ends.
    #[inline]
    pub(super) fn go_to(&mut self, position: usize) {
        self.position = position.min(self.bytes.len());
    }

    /// The next field when it is a nested message or text with a key and a length of one byte each, as nearly all fields of
    /// a series are; `None` for any other, which [`Reader::next_field`] reads.
    #[inline(always)]
    pub(super) fn next_short(&mut self) -> Option<(u32, &'a [u8])> {
        let (&[key, length], rest) = self.bytes[self.position..].split_first_chunk()?;
        // Wire type 2, and a field number from 1 to 15.
        if key & 0x87 != 2 || key < 8 || length >= 0x80 {
            return None;
        }
        let value = rest.get(..usize::from(length))?;
        self.position += 2 + value.len();
        Some((u32::from(key >> 3), value))
    }

    /// A base-128 varint without its field key, as packed fields hold them.
    #[inline]
    pub(in crate::ingest) fn varint(&mut self) -> Result<u64, DecodeError> {
        if let Some(&byte) = self.bytes.get(self.position)
            && byte < 0x80
        {
            self.position += 1;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.position;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.position) else {
                return Err(DecodeError::Protobuf { reason: "the message ends within a field", offset: start });
            };
            self.position += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Protobuf { reason: "a varint is longer than 64 bits", offset: start })
    }

    /// Eight bytes without a field key, as packed doubles have them.
    pub(in crate::ingest) fn fixed64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.take_array()?))
    }

    pub(in crate::ingest) fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N as u64)?;
        Ok(taken.try_into().expect("`take` returns as many bytes as it was asked for"))
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.position..];
        match usize::try_from(length) {
            Ok(length) if length <= rest.len() => {
                self.position += length;
                Ok(&rest[..length])
            }
            _ => Err(DecodeError::Protobuf { reason: "the message ends within a field", offset: self.position }),
        }
    }
}

/// Appends the length of a field.
pub(super) fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Undoes the zigzag of `sint32` and `sint64`.
pub(in crate::ingest) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut fields = Vec::new();
        while let Some(field) = reader.next_field()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn every_wire_type_is_read() {
        let bytes = [0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'h', b'i', 0x25, 9, 9, 9, 9];
        let expected = [(1, Value::Varint(150)), (2, Value::Fixed64(1)), (3, Value::Bytes(b"hi")), (4, Value::Fixed32)];
        assert_eq!(fields(&bytes).unwrap(), expected);
    }

    #[test]
    fn short_fields_are_those_that_every_field_would_be() {
        let mut messages: Vec<Vec<u8>> =
            vec![vec![], vec![0x0a], vec![0x0a, 0x01], vec![0x02, 0x00], vec![0x8a, 0x01, 0x00]];
        for key in 0..=u8::MAX {
            messages.extend([vec![key, 2, b'h', b'i', 9], vec![key, 0x82, 0x00, 1], vec![key, 3, b'h', b'i']]);
        }
        let mut short = 0;
        for message in &messages {
            let (mut one, mut other) = (Reader::new(message), Reader::new(message));
            if let Some((number, value)) = one.next_short() {
                assert_eq!(other.next_field(), Ok(Some((number, Value::Bytes(value)))), "{message:?}");
                assert_eq!(one.position(), other.position());
                short += 1;
            } else {
                assert_eq!(one.position(), 0);
            }
        }
        assert_eq!(short, 15);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_message() {
        let bytes = [0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'h', b'i', 0x25, 9, 9, 9, 9];
        let whole_fields = [0, 3, 12, 16, 21];
        for length in 0..=bytes.len() {
            assert_eq!(fields(&bytes[..length]).is_ok(), whole_fields.contains(&length), "{length}");
        }
    }

    #[test]
    fn varints_hold_64_bits_and_no_more() {
        let mut largest = vec![0x08];
        largest.extend_from_slice(&[0xff; 9]);
        let mut too_long = largest.clone();
        largest.push(0x01);
        too_long.push(0x02);
        assert_eq!(fields(&largest).unwrap(), [(1, Value::Varint(u64::MAX))]);
        assert!(fields(&too_long).is_err());
        assert!(fields(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x01]).is_err());
    }

    #[test]
    fn groups_field_number_zero_and_lengths_past_the_end_are_errors() {
        for bytes in
            [&[0x0b_u8, 0x0c][..], &[0x00, 0x01], &[0x07], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0a, 2, 1]]
        {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn zigzag_reaches_both_ends() {
        assert_eq!([0, 1, 2, 3].map(zigzag), [0, -1, 1, -2]);
        assert_eq!(zigzag(u64::MAX), i64::MIN);
        assert_eq!(zigzag(u64::MAX - 1), i64::MAX);
    }
}
