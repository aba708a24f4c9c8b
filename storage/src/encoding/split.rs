//! Split floats (ALP_RD): true doubles whose sign, exponent and first bits of the mantissa repeat.
//!
//! The lowest `width` bits of each float are packed as they are. The others, at most 16, are one of up to eight values,
//! and a code of at most three bits says which; floats with other highest bits are patched.
//!
//! Data: the packed low bits; the number of highest values less one (1 byte) and these values (2 bytes each); the packed
//! codes; the exceptions, all positions (2 bytes each), then all highest bits (2 bytes each).

use super::kernel::{self, LEFT_VALUES, SplitParts, packed_bytes};
use super::patch::width_of;
use super::{DecodeError, Mask, VECTOR_LEN, VectorHeader};

/// Position and highest bits.
const EXCEPTION_BYTES: usize = 2 + 2;

/// Low bits of a float; at most 16 are left for the codes.
const RIGHT_WIDTHS: std::ops::RangeInclusive<u32> = 48..=63;

/// Values that the place of the split is chosen by.
const SAMPLE_LEN: usize = 64;

/// How a vector of floats will be split.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitPlan {
    pub(super) right_width: u32,
    left: [u64; LEFT_VALUES],
    left_count: usize,
}

fn code_width(left_count: usize) -> u32 {
    width_of(left_count as u64 - 1)
}

/// Bytes of the data without exceptions.
fn bytes_without_exceptions(right_width: u32, left_count: usize, len: usize) -> usize {
    packed_bytes(right_width, len) + 1 + 2 * left_count + packed_bytes(code_width(left_count), len)
}

impl SplitPlan {
    /// The best split of floats of these bits, of which there is at least one, when it takes at most `bytes_max`.
    pub(super) fn choose(bits: &[i64], bytes_max: usize) -> Option<Self> {
        let mut sample = [0; SAMPLE_LEN];
        let sample_len = bits.len().min(SAMPLE_LEN);
        let sample = &mut sample[..sample_len];
        for (index, sample) in sample.iter_mut().enumerate() {
            *sample = bits[index * bits.len() / sample_len].cast_unsigned();
        }
        sample.sort_unstable();
        // In bits of all the sample.
        let mut best_cost = usize::MAX;
        let mut best = Self { right_width: *RIGHT_WIDTHS.end(), left: [0; LEFT_VALUES], left_count: 1 };
        for right_width in RIGHT_WIDTHS.rev() {
            let (left, left_count, covered) = most_frequent(sample, right_width);
            let missed_cost = (sample_len - covered) * EXCEPTION_BYTES * 8;
            let cost = sample_len * (right_width + code_width(left_count)) as usize + missed_cost;
            if cost < best_cost {
                best_cost = cost;
                best = Self { right_width, left, left_count };
            }
            // A split further down misses no fewer.
            if missed_cost + sample_len * *RIGHT_WIDTHS.start() as usize >= best_cost {
                break;
            }
        }
        let bytes = bytes_without_exceptions(best.right_width, best.left_count, bits.len());
        if bytes > bytes_max {
            return None;
        }
        let bytes = bytes + kernel::mask_count(&best.codes(bits).1) * EXCEPTION_BYTES;
        (bytes <= bytes_max).then_some(best)
    }

    /// The code of each float, and which have none.
    fn codes(&self, bits: &[i64]) -> ([i64; VECTOR_LEN], Mask) {
        let mut codes = [0; VECTOR_LEN];
        let coded = kernel::split_codes(bits, self.right_width, &self.left[..self.left_count], &mut codes);
        let mut exceptions = kernel::mask_first(bits.len());
        kernel::mask_and_not(&mut exceptions, &coded);
        (codes, exceptions)
    }

    /// Appends the data without the validity mask.
    pub(super) fn append(&self, bits: &[i64], out: &mut Vec<u8>) {
        let (codes, exceptions) = self.codes(bits);
        kernel::pack_linear(bits, 0, 0, self.right_width, out);
        out.push(self.left_count as u8 - 1);
        let left = |value: u64| (value as u16).to_le_bytes();
        for &value in &self.left[..self.left_count] {
            out.extend_from_slice(&left(value));
        }
        kernel::pack_linear(&codes[..bits.len()], 0, 0, code_width(self.left_count), out);
        for position in kernel::mask_iter(&exceptions) {
            out.extend_from_slice(&(position as u16).to_le_bytes());
        }
        for position in kernel::mask_iter(&exceptions) {
            out.extend_from_slice(&left(bits[position].cast_unsigned() >> self.right_width));
        }
    }
}

/// The most frequent highest bits of a sorted sample, how many these are, and how much of the sample has them.
fn most_frequent(sample: &[u64], right_width: u32) -> ([u64; LEFT_VALUES], usize, usize) {
    let mut found = [(0, 0); SAMPLE_LEN];
    let mut found_count = 0;
    for group in sample.chunk_by(|one, other| one >> right_width == other >> right_width) {
        found[found_count] = (group.len(), group[0] >> right_width);
        found_count += 1;
    }
    let found = &mut found[..found_count];
    if found.len() > LEFT_VALUES {
        found.select_nth_unstable_by(LEFT_VALUES - 1, |one, other| other.cmp(one));
    }
    let count = found.len().min(LEFT_VALUES);
    let mut left = [0; LEFT_VALUES];
    for (left, (_, value)) in left.iter_mut().zip(found.iter()) {
        *left = *value;
    }
    (left, count, found[..count].iter().map(|(count, _)| count).sum())
}

/// Decodes the bits of `len` floats from `numbers`, the data of a vector without its mask.
pub(super) fn decode_split(
    header: &VectorHeader,
    numbers: &[u8],
    len: usize,
    out: &mut [i64; VECTOR_LEN],
) -> Result<(), DecodeError> {
    const CUT: DecodeError = DecodeError { reason: "the split floats are cut off" };
    let right_width = u32::from(header.width);
    if !RIGHT_WIDTHS.contains(&right_width) || header.decimal_exponent().is_some() {
        return Err(DecodeError::new("the floats are split at an impossible place"));
    }
    let (right, rest) = numbers.split_at_checked(packed_bytes(right_width, len)).ok_or(CUT)?;
    let (&last_code, rest) = rest.split_first().ok_or(CUT)?;
    let left_count = usize::from(last_code) + 1;
    if left_count > LEFT_VALUES {
        return Err(DecodeError::new("the split floats have too many highest values"));
    }
    let (left_bytes, rest) = rest.split_at_checked(2 * left_count).ok_or(CUT)?;
    let code_width = code_width(left_count);
    let (codes, exceptions) = rest.split_at_checked(packed_bytes(code_width, len)).ok_or(CUT)?;
    let (mut left, in_place) =
        ([0; LEFT_VALUES], |bytes: &[u8; 2]| u64::from(u16::from_le_bytes(*bytes)) << right_width);
    for (left, bytes) in left.iter_mut().zip(left_bytes.as_chunks::<2>().0) {
        *left = in_place(bytes);
    }
    kernel::unpack_split(&SplitParts { codes, code_width, right, right_width, left }, len, out);
    if !exceptions.len().is_multiple_of(EXCEPTION_BYTES) {
        return Err(DecodeError::new("an exception is cut off"));
    }
    let (positions, left) = exceptions.split_at(exceptions.len() / 2);
    let right_mask = (1 << right_width) - 1;
    for (position, left) in positions.as_chunks::<2>().0.iter().zip(left.as_chunks::<2>().0) {
        let value = out[..len]
            .get_mut(usize::from(u16::from_le_bytes(*position)))
            .ok_or(DecodeError::new("an exception lies beyond the vector"))?;
        *value = (value.cast_unsigned() & right_mask | in_place(left)).cast_signed();
    }
    Ok(())
}
