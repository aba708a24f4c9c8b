//! Runs: vectors in which values repeat, as the value and the length of each stretch.
//!
//! Data: the number of runs less one (2 bytes), the width of the lengths (1 byte), the values of the runs as
//! `base + packed[run]`, the lengths of the runs less one, packed.

use super::kernel::{self, packed_bytes};
use super::patch::width_of;
use super::{DecodeError, Mask, VECTOR_LEN};

const HEAD_BYTES: usize = 2 + 1;

/// The most runs of a vector: with more, the lengths cost about what runs save, and decoders would need more room.
pub(super) const RUNS_MAX: usize = VECTOR_LEN / 2;

/// Bits of the longest length less one.
const LENGTH_BITS_MAX: u32 = VECTOR_LEN.trailing_zeros();

/// Bytes of runs.
pub(super) fn run_bytes(width: u32, length_width: u32, count: usize) -> usize {
    HEAD_BYTES + packed_bytes(width, count) + packed_bytes(length_width, count)
}

/// The width of the lengths of `values`, of which there is at least one.
pub(super) fn length_width(values: &[i64]) -> u32 {
    let longest = values.chunk_by(|left, right| left == right).map(<[i64]>::len).max().unwrap_or(1);
    width_of(longest as u64 - 1)
}

/// Appends the runs of `values`, at most `RUNS_MAX`, none of which is below `base` or further above it than `width` bits say.
pub(super) fn append_runs(values: &[i64], base: i64, width: u32, out: &mut Vec<u8>) {
    let (mut run_values, mut lengths, mut count) = ([0; RUNS_MAX], [0; RUNS_MAX], 0);
    for run in values.chunk_by(|left, right| left == right) {
        (run_values[count], lengths[count]) = (run[0], run.len() as i64 - 1);
        count += 1;
    }
    let longest = lengths[..count].iter().copied().max().unwrap_or(0);
    let length_width = width_of(longest.cast_unsigned());
    out.extend_from_slice(&(count as u16 - 1).to_le_bytes());
    out.push(length_width as u8);
    kernel::pack_linear(&run_values[..count], base, 0, width, out);
    kernel::pack_linear(&lengths[..count], 0, 0, length_width, out);
}

/// The parts of a vector of runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedRuns<'a> {
    count: usize,
    width: u32,
    base: i64,
    values: &'a [u8],
    length_width: u32,
    lengths: &'a [u8],
}

impl<'a> PackedRuns<'a> {
    /// Splits the parts off the front of `rest`; `width` is at most 64.
    pub(super) fn take(rest: &mut &'a [u8], width: u32, base: i64) -> Result<Self, DecodeError> {
        const CUT: DecodeError = DecodeError { reason: "the runs are cut off" };
        let ([count_low, count_high, length_width], behind) = rest.split_first_chunk::<HEAD_BYTES>().ok_or(CUT)?;
        let count = usize::from(u16::from_le_bytes([*count_low, *count_high])) + 1;
        let length_width = u32::from(*length_width);
        if count > RUNS_MAX || length_width > LENGTH_BITS_MAX {
            return Err(DecodeError::new("the runs have an impossible head"));
        }
        let (values, behind) = behind.split_at_checked(packed_bytes(width, count)).ok_or(CUT)?;
        let (lengths, behind) = behind.split_at_checked(packed_bytes(length_width, count)).ok_or(CUT)?;
        *rest = behind;
        Ok(Self { count, width, base, values, length_width, lengths })
    }

    /// Calls `work` with the values of the runs and their lengths less one.
    #[inline]
    fn with_runs<R>(&self, work: impl FnOnce(&[i64], &[i64]) -> R) -> R {
        let (mut values, mut lengths) = ([0; RUNS_MAX], [0; RUNS_MAX]);
        kernel::unpack_linear(self.values, self.width, self.count, self.base, 0, &mut values);
        kernel::unpack_linear(self.lengths, self.length_width, self.count, 0, 0, &mut lengths);
        work(&values[..self.count], &lengths[..self.count])
    }

    pub(super) fn decode(&self, len: usize, out: &mut [i64; VECTOR_LEN]) -> Result<(), DecodeError> {
        match self.with_runs(|values, lengths| kernel::expand_runs(values, lengths, out)) {
            Some(total) if total == len => Ok(()),
            _ => Err(DecodeError::new("the runs do not have the length of the vector")),
        }
    }

    pub(super) fn sum(&self, len: usize) -> Option<i128> {
        self.with_runs(|values, lengths| {
            has_length(lengths, len)?;
            Some(values.iter().zip(lengths).map(|(&value, &length)| i128::from(value) * i128::from(length + 1)).sum())
        })
    }

    pub(super) fn min_max(&self, len: usize) -> Option<(i64, i64)> {
        self.with_runs(|values, lengths| {
            has_length(lengths, len)?;
            kernel::min_max_i64(values)
        })
    }

    pub(super) fn compare(&self, len: usize, op: kernel::CompareOp, constant: i64) -> Option<Mask> {
        self.with_runs(|values, lengths| {
            has_length(lengths, len)?;
            let (mut accepted, mut mask) = ([0; 16], [0; 16]);
            kernel::compare_i64(op, values, constant, &mut accepted);
            let mut start = 0;
            for (run, &length) in lengths.iter().enumerate() {
                let end = start + length as usize + 1;
                if kernel::mask_contains(&accepted, run) {
                    kernel::mask_set_range(&mut mask, start..end);
                }
                start = end;
            }
            Some(mask)
        })
    }
}

/// `Some` when the lengths, which are at most 512 numbers of ten bits, add up to `len`.
fn has_length(lengths: &[i64], len: usize) -> Option<()> {
    let total: i64 = lengths.iter().map(|length| length + 1).sum();
    (total == len as i64).then_some(())
}
