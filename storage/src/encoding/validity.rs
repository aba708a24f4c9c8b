//! Which values of a vector are NULL. A mask stands behind the numbers in the data of the vector, one bit per value.

use super::{DecodeError, Mask, VECTOR_LEN, VectorHeader, kernel};

/// Which values of a vector are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// No NULL.
    AllValid,
    /// Only NULL.
    AllNull,
    /// Bit `i % 64` of word `i / 64` is set when value `i` is there; bits beyond the length are 0.
    Mask(Mask),
}

/// [`Validity`] without the mask, as the header holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum ValidityKind {
    AllValid = 0,
    Mask = 1,
    AllNull = 2,
}

impl ValidityKind {
    /// Bytes of the mask in the data of a vector of `len` values.
    pub(super) fn mask_bytes(self, len: usize) -> usize {
        match self {
            Self::AllValid | Self::AllNull => 0,
            Self::Mask => len.div_ceil(64) * 8,
        }
    }
}

impl Validity {
    /// Reads a mask over `len` values as the caller of an encoder gave it.
    pub(crate) fn of(validity: Option<&Mask>, len: usize) -> Self {
        let Some(mask) = validity else { return Self::AllValid };
        let mut mask = *mask;
        kernel::mask_truncate(&mut mask, len);
        match kernel::mask_count(&mask) {
            0 => Self::AllNull,
            count if count == len => Self::AllValid,
            _ => Self::Mask(mask),
        }
    }

    pub(super) fn kind(&self) -> ValidityKind {
        match self {
            Self::AllValid => ValidityKind::AllValid,
            Self::AllNull => ValidityKind::AllNull,
            Self::Mask(_) => ValidityKind::Mask,
        }
    }

    pub(super) fn null_count(&self, len: usize) -> usize {
        match self {
            Self::AllValid => 0,
            Self::AllNull => len,
            Self::Mask(mask) => len - kernel::mask_count(mask),
        }
    }

    pub(super) fn is_valid(&self, index: usize) -> bool {
        match self {
            Self::AllValid => true,
            Self::AllNull => false,
            Self::Mask(mask) => kernel::mask_contains(mask, index),
        }
    }

    pub(super) fn append_to(&self, len: usize, out: &mut Vec<u8>) {
        if let Self::Mask(mask) = self {
            for word in &mask[..len.div_ceil(64)] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// Splits the data of a vector of `len` values into numbers and mask.
pub(super) fn split_mask<'a>(
    header: &VectorHeader,
    data: &'a [u8],
    len: usize,
) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    if len == 0 || len > VECTOR_LEN {
        return Err(DecodeError::new("a vector has 1 to 1024 values"));
    }
    let mask_bytes = header.validity_kind()?.mask_bytes(len);
    let numbers_len = data.len().checked_sub(mask_bytes).ok_or(DecodeError::new("the validity mask is cut off"))?;
    Ok(data.split_at(numbers_len))
}

/// Decodes which of `len` values are there; `data` is what the encoder appended.
///
/// # Errors
/// When `data` is too short for the mask, or the mask has bits beyond `len`.
pub fn decode_validity(header: &VectorHeader, data: &[u8], len: usize) -> Result<Validity, DecodeError> {
    let (_, bytes) = split_mask(header, data, len)?;
    match header.validity_kind()? {
        ValidityKind::AllValid => Ok(Validity::AllValid),
        ValidityKind::AllNull => Ok(Validity::AllNull),
        ValidityKind::Mask => {
            let mut mask = [0; 16];
            let (words, _) = bytes.as_chunks::<8>();
            for (word, bytes) in mask.iter_mut().zip(words) {
                *word = u64::from_le_bytes(*bytes);
            }
            let mut cut = mask;
            kernel::mask_truncate(&mut cut, len);
            if cut != mask {
                return Err(DecodeError::new("the validity mask has bits beyond the vector"));
            }
            Ok(Validity::Mask(mask))
        }
    }
}
