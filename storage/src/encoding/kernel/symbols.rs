//! Decodes the symbols of a prefix code, several by one look-up in a table, and joins them with the low bits of numbers.
//!
//! Four streams of bits are read side by side: a look-up waits for the one before it in its own stream only. Places in the
//! input and in the output are cut to the room there, so that damaged bytes give other symbols and nothing else; with
//! that the bounds are known to the compiler, and nothing here is unsafe.

use super::level::{Level, dispatch};
use super::pack::{lanes, unpack};
use crate::encoding::VECTOR_LEN;

/// The longest code. A code of 12 bits was measured to save nothing on metrics, and its table fills the nearest cache.
pub(crate) const CODE_BITS_MAX: u32 = 11;
/// Entries of a table: one for each way in which the next bits may go on.
pub(crate) const TABLE_LEN: usize = 1 << CODE_BITS_MAX;
/// Streams of a vector.
pub(crate) const STREAMS: usize = 4;
/// Symbols that an entry holds at most.
pub(crate) const ENTRY_SYMBOLS_MAX: usize = 7;
/// Where an entry has the number of bits that its symbols take, and the number of symbols; below that are the symbols.
pub(crate) const ENTRY_BITS_SHIFT: u32 = 56;
pub(crate) const ENTRY_COUNT_SHIFT: u32 = 60;

/// Room for the streams of a vector: a power of two, and behind it what the last word of a stream reaches into.
const INPUT_LEN: usize = 2048;
const WORD_BYTES: usize = 8;
/// Room for symbols, and behind it what the last entry of a stream reaches into.
pub(crate) const SYMBOL_ROOM: usize = VECTOR_LEN + WORD_BYTES;

/// The streams of a vector, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SymbolStreams<'a> {
    /// At most as many bytes as there is room for.
    pub(crate) bytes: &'a [u8],
    /// Where each stream starts.
    pub(crate) starts: [usize; STREAMS],
}

impl SymbolStreams<'_> {
    /// The most bytes of all streams of a vector.
    pub(crate) const BYTES_MAX: usize = INPUT_LEN;
}

dispatch! {
    /// Decodes `count` symbols to `out[first..]`, a quarter of them from each stream. All other symbols are unspecified
    /// but for those before `first`.
    pub(crate) fn decode_symbols(
        table: &[u64; TABLE_LEN], streams: &SymbolStreams<'_>, first: usize, count: usize, out: &mut [u8; SYMBOL_ROOM],
    ) = x86::decode_symbols_avx2, x86::decode_symbols_avx2, decode_symbols_body;

    /// Joins symbols with the `width` low bits of each number, 1 to 8, that are packed in `low`.
    pub(crate) fn join_words(
        symbols: &[u8; SYMBOL_ROOM], low: &[u8], width: u32, len: usize, out: &mut [u16; VECTOR_LEN],
    ) = join_words_body, join_words_body, join_words_body;

    /// Adds `base` and symbols, shifted by `width` bits, to numbers.
    pub(crate) fn add_symbols(symbols: &[u8; SYMBOL_ROOM], width: u32, base: i64, out: &mut [i64; VECTOR_LEN]) =
        add_symbols_body, add_symbols_body, add_symbols_body;

    /// Adds `base` to numbers of 16 bits.
    pub(crate) fn widen_words(words: &[u16; VECTOR_LEN], base: i64, out: &mut [i64; VECTOR_LEN]) =
        widen_words_body, widen_words_body, widen_words_body;
}

/// How far each stream has been read.
struct Streams {
    /// The next bit of the input.
    bits: [usize; STREAMS],
    /// The place of the next symbol, and that behind the last one.
    places: [usize; STREAMS],
    ends: [usize; STREAMS],
}

#[inline(always)]
fn word_at(input: &[u8; INPUT_LEN + WORD_BYTES], bit: usize) -> u64 {
    let start = bit / 8 % INPUT_LEN;
    let bytes = input[start..start + WORD_BYTES].first_chunk().expect("the slice has eight bytes");
    u64::from_le_bytes(*bytes) >> (bit % 8)
}

impl Streams {
    /// Takes `LOOKUPS` entries from each stream, as long as none of them can reach the end of its stream. A word has at
    /// least 57 bits that were not read, which is room for five codes.
    #[inline(always)]
    fn take_rounds<const LOOKUPS: usize>(
        &mut self,
        table: &[u64; TABLE_LEN],
        input: &[u8; INPUT_LEN + WORD_BYTES],
        out: &mut [u8; SYMBOL_ROOM],
    ) {
        // The last entry is stored as a whole word.
        let reach = (LOOKUPS - 1) * ENTRY_SYMBOLS_MAX + WORD_BYTES;
        while (0..STREAMS).all(|stream| self.places[stream] + reach <= self.ends[stream]) {
            let mut words = self.bits.map(|bit| word_at(input, bit));
            for _ in 0..LOOKUPS {
                for (stream, word) in words.iter_mut().enumerate() {
                    let used = self.take_entry(stream, *word, table, out);
                    *word >>= used;
                }
            }
        }
    }

    /// Stores the symbols that the lowest bits of `word` stand for; returns the number of these bits.
    #[inline(always)]
    fn take_entry(&mut self, stream: usize, word: u64, table: &[u64; TABLE_LEN], out: &mut [u8; SYMBOL_ROOM]) -> u32 {
        let entry = table[word as usize % TABLE_LEN];
        let place = self.places[stream] % VECTOR_LEN;
        out[place..place + WORD_BYTES].copy_from_slice(&entry.to_le_bytes());
        let used = (entry >> ENTRY_BITS_SHIFT) as u32 & 15;
        self.bits[stream] += used as usize;
        self.places[stream] += (entry >> ENTRY_COUNT_SHIFT) as usize;
        used
    }
}

#[inline(always)]
fn decode_symbols_body(
    table: &[u64; TABLE_LEN],
    streams: &SymbolStreams<'_>,
    first: usize,
    count: usize,
    out: &mut [u8; SYMBOL_ROOM],
) {
    let mut input = [0; INPUT_LEN + WORD_BYTES];
    input[..streams.bytes.len()].copy_from_slice(streams.bytes);
    let quarter = count.div_ceil(STREAMS);
    let mut streams = Streams {
        bits: streams.starts.map(|start| start * 8),
        places: std::array::from_fn(|stream| first + (stream * quarter).min(count)),
        ends: std::array::from_fn(|stream| first + ((stream + 1) * quarter).min(count)),
    };
    streams.take_rounds::<5>(table, &input, out);
    streams.take_rounds::<1>(table, &input, out);
    for stream in 0..STREAMS {
        let end = streams.ends[stream];
        // What the last entry has too many would take the place of the first symbols of the next stream.
        let behind: [u8; WORD_BYTES] = *out[end..].first_chunk().expect("there is room behind a vector");
        while streams.places[stream] < end {
            let word = word_at(&input, streams.bits[stream]);
            streams.take_entry(stream, word, table, out);
        }
        out[end..end + WORD_BYTES].copy_from_slice(&behind);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;

    /// Also for AVX-512, never inlined into what is compiled for that: there the compiler puts the four words into one
    /// register and takes them out again for each look-up, which halves the speed.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline(never)]
    pub(super) fn decode_symbols_avx2(
        table: &[u64; TABLE_LEN],
        streams: &SymbolStreams<'_>,
        first: usize,
        count: usize,
        out: &mut [u8; SYMBOL_ROOM],
    ) {
        decode_symbols_body(table, streams, first, count, out);
    }
}

#[inline(always)]
fn join_words_body(symbols: &[u8; SYMBOL_ROOM], low: &[u8], width: u32, len: usize, out: &mut [u16; VECTOR_LEN]) {
    let mut lanes = lanes::<u8>();
    let lanes = unpack(low, width, len, &mut lanes);
    for ((out, symbol), low) in out.iter_mut().zip(symbols).zip(lanes.iter()) {
        *out = u16::from(*symbol) << width | u16::from(*low);
    }
}

#[inline(always)]
fn add_symbols_body(symbols: &[u8; SYMBOL_ROOM], width: u32, base: i64, out: &mut [i64; VECTOR_LEN]) {
    for (out, symbol) in out.iter_mut().zip(symbols) {
        *out = out.wrapping_add(base).wrapping_add(i64::from(*symbol) << width);
    }
}

#[inline(always)]
fn widen_words_body(words: &[u16; VECTOR_LEN], base: i64, out: &mut [i64; VECTOR_LEN]) {
    for (out, word) in out.iter_mut().zip(words) {
        *out = base.wrapping_add(i64::from(*word));
    }
}
