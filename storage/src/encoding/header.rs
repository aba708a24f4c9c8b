//! The header of an encoded vector: 16 bytes, little endian.

use super::DecodeError;
use super::column_coder::LOW_BITS_MAX;
use super::validity::ValidityKind;

/// How the numbers of a vector are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum VectorEncoding {
    /// Every value is `base`; no data.
    Constant = 0,
    /// Value `i` is `base + i * step`.
    Regular = 1,
    /// Value `i` is `base + packed[i]`.
    FrameOfReference = 2,
    /// Value `i` is `base + i * step + packed[i]`.
    Linear = 3,
    /// Value 0 is `base`; value `i` is `value[i - 1] + step + packed[i]`.
    Delta = 4,
    /// 64-bit values as they are.
    Plain = 5,
    /// Byte strings: their lengths as an integer vector, then their bytes.
    Strings = 6,
    /// Stretches of equal values: the values are `base + packed[run]`, beside the length of each.
    Runs = 7,
    /// The lowest `width` bits of floats packed, the others as codes of up to eight values (ALP_RD).
    Split = 8,
    /// Value `i` is `base + number[i]`; the highest bits of numbers are symbols of the code of the column.
    CodedFrame = 9,
    /// The same with differences as in `Delta`.
    CodedDelta = 10,
}

impl VectorEncoding {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Constant,
            1 => Self::Regular,
            2 => Self::FrameOfReference,
            3 => Self::Linear,
            4 => Self::Delta,
            5 => Self::Plain,
            6 => Self::Strings,
            7 => Self::Runs,
            8 => Self::Split,
            9 => Self::CodedFrame,
            10 => Self::CodedDelta,
            _ => return None,
        })
    }
}

/// What stands before the data of a vector, or beside it in a table of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorHeader {
    /// How the numbers are stored.
    pub encoding: VectorEncoding,
    /// Bits per packed number, 0 to 64.
    pub width: u8,
    /// Bits 0 and 1: validity (0 all valid, 1 mask, 2 all NULL). Bits 2 to 6: 0, or the decimal exponent of a float
    /// plus one. Bit 7: outliers are patched. Bit 8: coded differences have a step of their own. Bits 9 to 15: 0.
    pub param: u16,
    /// CRC32C of the data of the vector.
    pub crc32c: u32,
    /// The reference of the encoding.
    pub base: i64,
}

const VALIDITY_BITS: u16 = 0b11;
const EXPONENT_SHIFT: u32 = 2;
const EXPONENT_MASK: u16 = 0x1F;
const PATCHED: u16 = 1 << 7;
const OWN_STEP: u16 = 1 << 8;
const KNOWN_BITS: u16 = VALIDITY_BITS | EXPONENT_MASK << EXPONENT_SHIFT | PATCHED | OWN_STEP;

/// What a vector does with numbers that are wider than the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outliers {
    /// Every number has the width of the widest.
    Fit,
    /// Their bits beyond the width stand in a list.
    Patched,
}

impl VectorHeader {
    /// Bytes of a header on disk.
    pub const BYTES: usize = 16;

    /// The header as it stands on disk.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.encoding as u8;
        bytes[1] = self.width;
        bytes[2..4].copy_from_slice(&self.param.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.crc32c.to_le_bytes());
        bytes[8..].copy_from_slice(&self.base.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when no encoder writes such bytes.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let [encoding, width, p0, p1, c0, c1, c2, c3, base @ ..] = *bytes;
        let header = Self {
            encoding: VectorEncoding::from_byte(encoding)?,
            width,
            param: u16::from_le_bytes([p0, p1]),
            crc32c: u32::from_le_bytes([c0, c1, c2, c3]),
            base: i64::from_le_bytes(base),
        };
        let is_coded = header.is_coded();
        let may_be_patched = is_coded
            || matches!(header.encoding, VectorEncoding::FrameOfReference | VectorEncoding::Delta) && width < 64;
        let is_known = header.param & !KNOWN_BITS == 0
            && (may_be_patched || header.outliers() == Outliers::Fit)
            && (header.encoding == VectorEncoding::CodedDelta || !header.has_own_step())
            && header.validity_kind().is_ok();
        let width_max = if is_coded { LOW_BITS_MAX } else { 64 };
        (u32::from(width) <= width_max && is_known).then_some(header)
    }

    /// Whether `data` is what the encoder wrote, by its checksum.
    pub fn verify(&self, data: &[u8]) -> bool {
        crc32c::crc32c(data) == self.crc32c
    }

    /// Whether it takes the code of the column to decode the vector.
    pub fn is_coded(&self) -> bool {
        matches!(self.encoding, VectorEncoding::CodedFrame | VectorEncoding::CodedDelta)
    }

    pub(super) fn has_own_step(&self) -> bool {
        self.param & OWN_STEP != 0
    }

    /// The header of a coded vector with these parts, else as it is.
    pub(super) fn with_parts(self, outliers: Outliers, has_own_step: bool) -> Self {
        let patched = if outliers == Outliers::Patched { PATCHED } else { 0 };
        let own_step = if has_own_step { OWN_STEP } else { 0 };
        Self { param: self.param & !(PATCHED | OWN_STEP) | patched | own_step, ..self }
    }

    pub(super) fn validity_kind(&self) -> Result<ValidityKind, DecodeError> {
        match self.param & VALIDITY_BITS {
            0 => Ok(ValidityKind::AllValid),
            1 => Ok(ValidityKind::Mask),
            2 => Ok(ValidityKind::AllNull),
            _ => Err(DecodeError::new("unknown kind of validity")),
        }
    }

    /// The decimal exponent of a float vector; `None` when its integers are the bits of the floats.
    pub(super) fn decimal_exponent(&self) -> Option<u32> {
        u32::from((self.param >> EXPONENT_SHIFT) & EXPONENT_MASK).checked_sub(1)
    }

    pub(super) fn outliers(&self) -> Outliers {
        if self.param & PATCHED == 0 { Outliers::Fit } else { Outliers::Patched }
    }

    pub(super) fn param_of(validity: ValidityKind, decimal_exponent: Option<u32>, outliers: Outliers) -> u16 {
        let exponent = decimal_exponent.map_or(0, |exponent| exponent as u16 + 1);
        debug_assert!(exponent <= EXPONENT_MASK, "the exponent has five bits");
        let patched = match outliers {
            Outliers::Fit => 0,
            Outliers::Patched => PATCHED,
        };
        validity as u16 | exponent << EXPONENT_SHIFT | patched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_bytes_never_change() {
        let header = VectorHeader {
            encoding: VectorEncoding::Delta,
            width: 7,
            param: VectorHeader::param_of(ValidityKind::Mask, Some(2), Outliers::Patched),
            crc32c: 0x0102_0304,
            base: -2,
        };
        let bytes = [4, 7, 0b1000_1101, 0, 4, 3, 2, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(VectorHeader::from_bytes(&bytes), Some(header));
        assert_eq!(header.decimal_exponent(), Some(2));
    }

    #[test]
    fn unknown_headers_are_refused() {
        let good = [2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(VectorHeader::from_bytes(&good).is_some());
        for (position, byte) in [(0, 11), (0, 255), (1, 65), (2, 3), (3, 1), (3, 2), (3, 0x80)] {
            let mut bytes = good;
            bytes[position] = byte;
            assert_eq!(VectorHeader::from_bytes(&bytes), None, "byte {position} = {byte}");
        }
        let widths =
            [(2, 7, true), (4, 63, true), (2, 64, false), (3, 7, false), (7, 7, false), (9, 56, true), (10, 57, false)];
        for (encoding, width, is_known) in widths {
            let mut bytes = good;
            (bytes[0], bytes[1], bytes[2]) = (encoding, width, 0x80);
            assert_eq!(
                VectorHeader::from_bytes(&bytes).is_some(),
                is_known,
                "patched encoding {encoding}, {width} bits"
            );
        }
    }
}
