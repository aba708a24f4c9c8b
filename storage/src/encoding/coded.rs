//! Coded vectors: numbers whose highest bits are symbols of the prefix code that a column shares.
//!
//! Number `i` is `symbol[i] << width | low[i]`, and the values follow from the numbers as in a frame of reference or as
//! in differences. Data: the lengths of four streams of symbols in bytes (10 bits each, 5 bytes), the streams, the packed
//! low bits, the step of differences when it is not that of the column, the list of outliers. A number that is too large
//! or too small for a symbol is an outlier.

use super::column_code::{DecodeTable, SYMBOLS, SymbolBits};
use super::header::Outliers;
use super::integer_form::{STEP_BYTES, take_step};
use super::kernel::{self, CODE_BITS_MAX, Patch, STREAMS, SYMBOL_ROOM, SymbolStreams, packed_bytes};
use super::patch::{PATCHES_MAX, PatchList, decode_patches, take_patches};
use super::{DecodeError, VECTOR_LEN, VectorEncoding, VectorHeader};

/// Bytes of the lengths of the streams.
const LENGTHS_BYTES: usize = 5;
const LENGTH_BITS: usize = 10;

const _: () = assert!(VECTOR_LEN / STREAMS * CODE_BITS_MAX as usize / 8 < 1 << LENGTH_BITS);

/// How the values of a vector follow from its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberKind {
    /// Value `i` is `base + number[i]`.
    Frame,
    /// Value 0 is `base`; value `i` is `value[i - 1] + step + number[i]`.
    Differences,
}

impl NumberKind {
    /// The first value with a number.
    pub(super) fn first(self) -> usize {
        match self {
            Self::Frame => 0,
            Self::Differences => 1,
        }
    }
}

/// The parts of a coded vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct CodedNumbers<'a> {
    kind: NumberKind,
    base: i64,
    width: u32,
    streams: SymbolStreams<'a>,
    low: &'a [u8],
    /// `None` when it is that of the column.
    step: Option<i64>,
    patches: &'a [u8],
}

impl<'a> CodedNumbers<'a> {
    /// Splits the parts of a vector of `len` values off the front of `rest`.
    pub(super) fn take(header: &VectorHeader, rest: &mut &'a [u8], len: usize) -> Result<Self, DecodeError> {
        const CUT: DecodeError = DecodeError { reason: "the coded numbers are cut off" };
        let kind = match header.encoding {
            VectorEncoding::CodedFrame => NumberKind::Frame,
            VectorEncoding::CodedDelta => NumberKind::Differences,
            _ => return Err(DecodeError::new("the vector does not hold coded numbers")),
        };
        let (lengths, behind) = rest.split_first_chunk::<LENGTHS_BYTES>().ok_or(CUT)?;
        let packed = lengths.iter().rev().fold(0, |packed, byte| packed << 8 | usize::from(*byte));
        let lengths: [usize; STREAMS] = std::array::from_fn(|stream| packed >> (stream * LENGTH_BITS) & 0x3FF);
        let stream_bytes = lengths.iter().sum();
        if stream_bytes > SymbolStreams::BYTES_MAX {
            return Err(DecodeError::new("the streams of symbols are too long"));
        }
        let (bytes, behind) = behind.split_at_checked(stream_bytes).ok_or(CUT)?;
        let starts = std::array::from_fn(|stream| lengths[..stream].iter().sum());
        let width = u32::from(header.width);
        let (low, behind) = behind.split_at_checked(packed_bytes(width, len)).ok_or(CUT)?;
        *rest = behind;
        let step = if header.has_own_step() { Some(take_step(rest)?) } else { None };
        let patches = match header.outliers() {
            Outliers::Fit => &[],
            Outliers::Patched => take_patches(rest)?,
        };
        let streams = SymbolStreams { bytes, starts };
        Ok(Self { kind, base: header.base, width, streams, low, step, patches })
    }

    /// Decodes all values; those of `out` from `len` on are unspecified.
    pub(super) fn decode(
        &self,
        table: &DecodeTable,
        len: usize,
        out: &mut [i64; VECTOR_LEN],
    ) -> Result<(), DecodeError> {
        let first = self.kind.first();
        let mut symbols = [0; SYMBOL_ROOM];
        kernel::decode_symbols(&table.entries, &self.streams, first, len - first, &mut symbols);
        let step = match self.kind {
            NumberKind::Frame => 0,
            NumberKind::Differences => self.step.unwrap_or(table.step),
        };
        match (self.kind, self.width) {
            (NumberKind::Differences, 0) => {
                kernel::sum_byte_deltas(&symbols[..len.next_multiple_of(8)], self.base, step, out);
            }
            (kind, 1..=8) => {
                let mut words = [0; VECTOR_LEN];
                kernel::join_words(&symbols, self.low, self.width, len, &mut words);
                match kind {
                    NumberKind::Frame => kernel::widen_words(&words, self.base, out),
                    NumberKind::Differences => {
                        // Of value 0 there is no number, whatever the bytes say.
                        words[0] = 0;
                        kernel::sum_word_deltas(&words[..len.next_multiple_of(8)], self.base, step, out);
                    }
                }
            }
            (NumberKind::Frame, _) => {
                kernel::unpack_linear(self.low, self.width, len, self.base, 0, out);
                kernel::add_symbols(&symbols, self.width, 0, out);
            }
            (NumberKind::Differences, _) => {
                kernel::unpack_linear(self.low, self.width, len, 0, 0, out);
                kernel::add_symbols(&symbols, self.width, step, out);
                let mut value = self.base;
                out[0] = value;
                for out in &mut out[1..len] {
                    value = value.wrapping_add(*out);
                    *out = value;
                }
            }
        }
        if !self.patches.is_empty() {
            let mut room = [Patch::default(); PATCHES_MAX];
            let patches = decode_patches(self.patches, len, &mut room)?;
            match self.kind {
                NumberKind::Frame => kernel::patch_values(out, self.width, patches),
                NumberKind::Differences => kernel::patch_sums(&mut out[..len], self.width, patches),
            }
        }
        Ok(())
    }
}

/// The symbol that an outlier has; the list of outliers says how far it is from the number.
pub(super) const OUTLIER_SYMBOL: u8 = 128;

/// The numbers of a vector, taken apart.
#[derive(Debug)]
pub(super) struct NumberParts {
    pub(super) kind: NumberKind,
    pub(super) base: i64,
    /// What each difference is more than its number; 0 in a frame.
    pub(super) step: i64,
    pub(super) width: u32,
    numbers: [i64; VECTOR_LEN],
    pub(super) symbols: [u8; VECTOR_LEN],
    pub(super) outliers: super::Mask,
    len: usize,
}

impl NumberParts {
    /// Takes values apart so that `center`, a difference or a value, has a symbol in the middle.
    pub(super) fn of(values: &[i64], kind: NumberKind, center: i64, width: u32) -> Self {
        let start = center.wrapping_sub(i64::from(OUTLIER_SYMBOL) << width);
        let (base, step) = match kind {
            NumberKind::Frame => (start, 0),
            NumberKind::Differences => (values[0], start),
        };
        let (mut numbers, mut symbols) = ([0; VECTOR_LEN], [0; VECTOR_LEN]);
        match kind {
            NumberKind::Frame => {
                numbers.iter_mut().zip(values).for_each(|(number, value)| *number = value.wrapping_sub(base));
            }
            NumberKind::Differences => {
                for (number, pair) in numbers[1..].iter_mut().zip(values.array_windows()) {
                    let &[before, value] = pair;
                    *number = value.wrapping_sub(before).wrapping_sub(step);
                }
            }
        }
        let mut outliers = [0; 16];
        for place in kind.first()..values.len() {
            symbols[place] = match u8::try_from(numbers[place].cast_unsigned() >> width) {
                Ok(symbol) => symbol,
                Err(_) => {
                    outliers[place / 64] |= 1 << (place % 64);
                    OUTLIER_SYMBOL
                }
            };
        }
        Self { kind, base, step, width, numbers, symbols, outliers, len: values.len() }
    }

    /// The symbols of all values that have one.
    pub(super) fn coded_symbols(&self) -> &[u8] {
        &self.symbols[self.kind.first()..self.len]
    }

    /// How many numbers are outliers.
    pub(super) fn outlier_count(&self) -> usize {
        kernel::mask_count(&self.outliers)
    }

    /// The list of outliers; `None` when there are none.
    fn patches(&self) -> Option<PatchList> {
        let middle = i64::from(OUTLIER_SYMBOL) << self.width;
        PatchList::new(&self.outliers, self.width, |place| self.numbers[place].wrapping_sub(middle))
    }

    /// Appends the data of the vector up to its outliers and returns its header without what stands behind them. All
    /// symbols have bits, and the outliers are at most [`PATCHES_MAX`].
    pub(super) fn append(
        &self,
        bits: &[SymbolBits; SYMBOLS],
        column_step: i64,
        header: &VectorHeader,
        out: &mut Vec<u8>,
    ) -> VectorHeader {
        let start = out.len();
        out.resize(start + LENGTHS_BYTES, 0);
        let symbols = self.coded_symbols();
        let quarter = symbols.len().div_ceil(STREAMS);
        let mut lengths = 0u64;
        for stream in 0..STREAMS {
            let part = &symbols[(stream * quarter).min(symbols.len())..((stream + 1) * quarter).min(symbols.len())];
            let stream_start = out.len();
            append_stream(part, bits, out);
            lengths |= ((out.len() - stream_start) as u64) << (stream * LENGTH_BITS);
        }
        out[start..start + LENGTHS_BYTES].copy_from_slice(&lengths.to_le_bytes()[..LENGTHS_BYTES]);
        kernel::pack_linear(&self.numbers[..self.len], 0, 0, self.width, out);
        let has_own_step = self.kind == NumberKind::Differences && self.step != column_step;
        if has_own_step {
            out.extend_from_slice(&self.step.to_le_bytes());
            debug_assert_eq!(self.step.to_le_bytes().len(), STEP_BYTES);
        }
        let patches = self.patches();
        let outliers = if patches.is_some() { Outliers::Patched } else { Outliers::Fit };
        if let Some(patches) = patches {
            patches.append_to(out);
        }
        let encoding = match self.kind {
            NumberKind::Frame => VectorEncoding::CodedFrame,
            NumberKind::Differences => VectorEncoding::CodedDelta,
        };
        VectorHeader { encoding, width: self.width as u8, base: self.base, ..*header }
            .with_parts(outliers, has_own_step)
    }
}

/// Appends the bits of symbols, the first ones lowest.
fn append_stream(symbols: &[u8], bits: &[SymbolBits; SYMBOLS], out: &mut Vec<u8>) {
    let (mut pending, mut used) = (0u64, 0);
    for symbol in symbols {
        let SymbolBits { bits, len } = bits[usize::from(*symbol)];
        pending |= u64::from(bits) << used;
        used += u32::from(len);
        while used >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            used -= 8;
        }
    }
    if used > 0 {
        out.push(pending as u8);
    }
}
