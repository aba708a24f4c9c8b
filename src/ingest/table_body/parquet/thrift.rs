//! Thrift's compact protocol, as far as Parquet uses it.
//!
//! Nothing is allocated by a length that is read: lists are visited element by element, and each element takes at least
//! one byte of the input. Fields that nobody asks for are skipped down to a bounded depth.

/// How deep structs and lists may lie in each other; those of Parquet have about six levels.
const DEPTH_MAX: usize = 16;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(pub(super) &'static str);

const CUT: Fault = Fault("it is cut");
const OTHER_TYPE: Fault = Fault("a field has another type than it should have");

/// The type of a field or element as it stands in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    const TRUE: Self = Self(1);
    const FALSE: Self = Self(2);
    const I8: Self = Self(3);
    const I16: Self = Self(4);
    const I32: Self = Self(5);
    const I64: Self = Self(6);
    const DOUBLE: Self = Self(7);
    const BINARY: Self = Self(8);
    const LIST: Self = Self(9);
    const SET: Self = Self(10);
    const MAP: Self = Self(11);
    const STRUCT: Self = Self(12);
    const UUID: Self = Self(13);
}

/// Reads values from bytes.
#[derive(Debug)]
pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let taken = self.bytes[self.at..].get(..len).ok_or(CUT)?;
        self.at += len;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault("a number is too long"))
    }

    fn zigzag(&mut self) -> Result<i64, Fault> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// An integer of any width.
    pub(super) fn integer(&mut self, kind: Kind) -> Result<i64, Fault> {
        match kind {
            Kind::I8 => Ok(i64::from(self.byte()?.cast_signed())),
            Kind::I16 | Kind::I32 | Kind::I64 => self.zigzag(),
            _ => Err(OTHER_TYPE),
        }
    }

    /// A number of bytes, rows or things; negative ones are refused.
    pub(super) fn size(&mut self, kind: Kind) -> Result<usize, Fault> {
        usize::try_from(self.integer(kind)?).map_err(|_| Fault("a size is negative"))
    }

    /// The boolean of a field: its type is its value.
    pub(super) fn boolean(kind: Kind) -> Result<bool, Fault> {
        match kind {
            Kind::TRUE => Ok(true),
            Kind::FALSE => Ok(false),
            _ => Err(OTHER_TYPE),
        }
    }

    /// A text.
    pub(super) fn text(&mut self, kind: Kind) -> Result<&'a str, Fault> {
        if kind != Kind::BINARY {
            return Err(OTHER_TYPE);
        }
        let len = usize::try_from(self.varint()?).map_err(|_| CUT)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| Fault("a name is not UTF-8"))
    }

    /// Visits the fields of a struct that stands where a field or element of `kind` was announced. `visit` reads or skips
    /// each by its number.
    pub(super) fn structure(
        &mut self,
        kind: Kind,
        visit: impl FnMut(&mut Self, i64, Kind) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if kind == Kind::STRUCT { self.fields(visit) } else { Err(OTHER_TYPE) }
    }

    /// Visits the fields of a struct that begins here.
    pub(super) fn fields(
        &mut self,
        mut visit: impl FnMut(&mut Self, i64, Kind) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut id = 0;
        loop {
            let head = self.byte()?;
            let kind = Kind(head & 0xf);
            if kind.0 == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.zigzag()?,
                delta => id + i64::from(delta),
            };
            if !(0..=i64::from(i16::MAX)).contains(&id) {
                return Err(Fault("a field has an odd number"));
            }
            visit(self, id, kind)?;
        }
    }

    /// Visits the elements of a list; `visit` reads or skips each, and ends the visit with an error when they are too many.
    pub(super) fn list(
        &mut self,
        kind: Kind,
        mut visit: impl FnMut(&mut Self, Kind) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if kind != Kind::LIST {
            return Err(OTHER_TYPE);
        }
        let (element, len) = self.list_head()?;
        for _ in 0..len {
            visit(self, element)?;
        }
        Ok(())
    }

    fn list_head(&mut self) -> Result<(Kind, u64), Fault> {
        let head = self.byte()?;
        let len = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Ok((Kind(head & 0xf), len))
    }

    /// Skips the value of a field.
    pub(super) fn skip(&mut self, kind: Kind) -> Result<(), Fault> {
        match kind {
            // The type is the value.
            Kind::TRUE | Kind::FALSE => Ok(()),
            kind => self.skip_element(kind, DEPTH_MAX),
        }
    }

    /// Skips an element, which takes a byte at least: no count of them is larger than the input.
    fn skip_element(&mut self, kind: Kind, depth: usize) -> Result<(), Fault> {
        let Some(depth) = depth.checked_sub(1) else { return Err(Fault("its structs lie too deep in each other")) };
        match kind {
            Kind::TRUE | Kind::FALSE | Kind::I8 => self.take(1).map(drop),
            Kind::I16 | Kind::I32 | Kind::I64 => self.varint().map(drop),
            Kind::DOUBLE => self.take(8).map(drop),
            Kind::UUID => self.take(16).map(drop),
            Kind::BINARY => {
                let len = usize::try_from(self.varint()?).map_err(|_| CUT)?;
                self.take(len).map(drop)
            }
            Kind::LIST | Kind::SET => {
                let (element, len) = self.list_head()?;
                for _ in 0..len {
                    self.skip_element(element, depth)?;
                }
                Ok(())
            }
            Kind::MAP => {
                let len = self.varint()?;
                if len == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                for _ in 0..len {
                    self.skip_element(Kind(kinds >> 4), depth)?;
                    self.skip_element(Kind(kinds & 0xf), depth)?;
                }
                Ok(())
            }
            Kind::STRUCT => self.fields(|thrift, _, kind| match kind {
                Kind::TRUE | Kind::FALSE => Ok(()),
                kind => thrift.skip_element(kind, depth),
            }),
            _ => Err(OTHER_TYPE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_claims_to_be_long_ends_with_the_bytes() {
        let claim = [0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 2, 4];
        let mut seen = Vec::new();
        let ended = Thrift::new(&claim).list(Kind::LIST, |thrift, kind| {
            seen.push(thrift.integer(kind)?);
            Ok(())
        });
        assert_eq!((ended, seen), (Err(CUT), vec![1, 2]));
        for element in [1_u8, 2, 3, 5, 7, 8, 9, 11, 12, 13] {
            let claim = [0xf0 | element, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0, 0];
            assert!(Thrift::new(&claim).skip(Kind::LIST).is_err(), "elements of type {element}");
        }
    }

    #[test]
    fn structs_are_skipped_down_to_a_depth() {
        let nested = |depth: usize| [vec![0x1c; depth], vec![0; depth + 1]].concat();
        assert_eq!(Thrift::new(&nested(DEPTH_MAX - 1)).skip(Kind::STRUCT), Ok(()));
        assert!(Thrift::new(&nested(DEPTH_MAX)).skip(Kind::STRUCT).is_err());
        assert!(Thrift::new(&vec![0x1c; 1 << 20]).skip(Kind::STRUCT).is_err());
        assert!(Thrift::new(&vec![0x19; 1 << 20]).skip(Kind::LIST).is_err());
    }

    #[test]
    fn integers_of_every_width_are_read() {
        assert_eq!(Thrift::new(&[0x80]).integer(Kind::I8), Ok(-128));
        assert_eq!(Thrift::new(&[3]).integer(Kind::I32), Ok(-2));
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Thrift::new(&least).integer(Kind::I64), Ok(i64::MIN));
        assert!(Thrift::new(&[0xff; 11]).integer(Kind::I64).is_err());
        assert!(Thrift::new(&[3]).size(Kind::I32).is_err());
    }
}
