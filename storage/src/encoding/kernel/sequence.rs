//! The layout of short vectors: numbers one behind the other, least significant bit first, without gaps.
//!
//! Eight numbers of `width` bits are `width` bytes, so that every group of eight starts at a byte and its numbers have
//! the same places in it. Up to 8 bits one load serves a group, up to 16 bits two do; the shifts within are independent
//! of each other, which the compiler turns into vector instructions.

use std::mem::MaybeUninit;

use super::lane::Lane;

/// Numbers that start at a byte together.
const GROUP: usize = 8;

/// Bytes that decoding a group may look at: the last of eight 64-bit numbers starts at byte 56 and may reach into a
/// ninth byte; places are cut to 63 for the compiler to see that they lie within.
const WINDOW: usize = 72;

/// Room for the groups whose window reaches beyond the data, of which fewer than `WINDOW` bytes are left, with the two
/// groups of zeros behind them that fill up a block, and a window.
const TAIL_BYTES: usize = WINDOW + 3 * u64::BITS as usize + WINDOW;

/// Appends the lanes, of which only the lowest `width` bits are set.
#[inline(always)]
pub(super) fn pack_sequence<T: Lane>(lanes: &[T], width: u32, out: &mut Vec<u8>) {
    let (mut word, mut used) = (0u64, 0);
    for lane in lanes {
        let number = lane.to_u64();
        word |= number << used;
        used += width;
        if used >= u64::BITS {
            out.extend_from_slice(&word.to_le_bytes());
            used -= u64::BITS;
            word = number.checked_shr(width - used).unwrap_or(0);
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..(used as usize).div_ceil(8)]);
}

/// Unpacks `out.len()` numbers, a multiple of eight; those that are not in `data` are 0.
#[inline(always)]
pub(super) fn unpack_sequence<T: Lane>(data: &[u8], width: u32, out: &mut [MaybeUninit<T>]) {
    let group_bytes = width as usize;
    let (groups, _) = out.as_chunks_mut::<GROUP>();
    let whole = match data.len().checked_sub(WINDOW) {
        Some(room) => (room / group_bytes + 1).min(groups.len()),
        None => 0,
    };
    let (front, back) = groups.split_at_mut(whole);
    let places = Places::new(width);
    for (index, group) in front.iter_mut().enumerate() {
        let window = data[index * group_bytes..].first_chunk::<WINDOW>();
        places.unpack(window.expect("the windows of the front lie within the data"), group);
    }
    if back.is_empty() {
        return;
    }
    let mut tail = [0; TAIL_BYTES];
    let rest = &data[(whole * group_bytes).min(data.len())..];
    tail[..rest.len()].copy_from_slice(rest);
    for (index, group) in back.iter_mut().enumerate() {
        let window = tail[index * group_bytes..].first_chunk::<WINDOW>();
        places.unpack(window.expect("the tail has room for the groups that are left"), group);
    }
}

/// Unpacks numbers of at most 8 bits, a group with one instruction, into whole groups; those that are not in `data` are 0.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2")]
#[inline]
pub(super) fn unpack_bytes_bmi2(data: &[u8], width: u32, out: &mut [MaybeUninit<u8>]) {
    let places = 0x0101_0101_0101_0101 * ((1 << width) - 1);
    let group_bytes = width as usize;
    for (index, out) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let bytes = data.get(index * group_bytes..).unwrap_or_default();
        let word = match bytes.first_chunk() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        let numbers = std::arch::x86_64::_pdep_u64(word, places);
        *out = numbers.to_le_bytes().map(MaybeUninit::new);
    }
}

/// Where the numbers of a group stand in it.
struct Places {
    width: u32,
    bytes: [usize; GROUP],
    shifts: [u32; GROUP],
}

impl Places {
    #[inline(always)]
    fn new(width: u32) -> Self {
        let bits: [u32; GROUP] = std::array::from_fn(|index| index as u32 * width);
        Self { width, bytes: bits.map(|bit| bit as usize / 8), shifts: bits.map(|bit| bit % 8) }
    }

    #[inline(always)]
    fn unpack<T: Lane>(&self, window: &[u8; WINDOW], out: &mut [MaybeUninit<T>; GROUP]) {
        let load = |byte: usize| {
            let byte = byte & 63;
            u64::from_le_bytes(std::array::from_fn(|index| window[byte + index]))
        };
        let mask = T::low_bits(self.width);
        if self.width <= 8 {
            let word = load(0);
            for (index, out) in out.iter_mut().enumerate() {
                out.write(T::truncate(word >> (index as u32 * self.width)).and(mask));
            }
        } else if self.width <= 16 {
            // The second half starts at half a byte when the width is odd; 4 + 4 * 15 bits are still one word.
            let words = [load(0), load(self.bytes[4]) >> self.shifts[4]];
            for (index, out) in out.iter_mut().enumerate() {
                out.write(T::truncate(words[index / 4] >> (index as u32 % 4 * self.width)).and(mask));
            }
        } else {
            for ((out, &byte), &shift) in out.iter_mut().zip(&self.bytes).zip(&self.shifts) {
                let mut word = load(byte) >> shift;
                if self.width > 57 {
                    // Two shifts, because one by 64 is none.
                    word |= u64::from(window[(byte & 63) + 8]) << 1 << (63 - shift);
                }
                out.write(T::truncate(word).and(mask));
            }
        }
    }
}
