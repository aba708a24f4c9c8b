//! Makes the vectors of a column smaller with a prefix code that they share.
//!
//! A column is coded when its vectors are all encoded: the code follows from all of them. What is coded, differences or
//! values, about which center, and how many low bits are left out of the symbols, is decided by a sample. A vector stays
//! as it was where coding saves less than a twentieth, for it decodes several times slower.

#[cfg(debug_assertions)]
use super::coded::CodedNumbers;
use super::coded::{NumberKind, NumberParts};
#[cfg(debug_assertions)]
use super::column_code::DecodeTable;
use super::column_code::{ColumnCode, SYMBOLS, SymbolBits};
use super::integer_form::IntegerForm;
use super::patch::{PATCHES_MAX, width_of};
use super::validity::split_mask;
use super::{VECTOR_LEN, VectorEncoding, VectorHeader};

/// A coded vector is at most so much of the one it replaces.
const BYTES_OF_TWENTY_MAX: usize = 19;
/// Below so many bytes of a column, its code and the table to decode it are not worth it.
const COLUMN_BYTES_MIN: usize = 1024;
/// Vectors that the form of the numbers is chosen by.
const SAMPLE_VECTORS: usize = 32;
/// Widths of low bits that are tried.
const WIDTHS_TRIED: u32 = 9;
/// The most low bits of a number: a symbol has eight.
pub(super) const LOW_BITS_MAX: u32 = 56;
/// What an outlier is assumed to take: place and excess.
const OUTLIER_BITS: u64 = 10 + 16;
/// Fewer symbols for a number are decoded faster: up to half a per cent of the size is given for that.
const FASTER_OF_THOUSAND: u64 = 1005;

/// A vector as the encoders of single vectors left it.
#[derive(Debug, Clone, Copy)]
pub struct PlainVector<'a> {
    /// Its header.
    pub header: VectorHeader,
    /// What the encoder appended.
    pub data: &'a [u8],
    /// Number of values.
    pub len: usize,
}

/// About which number symbols stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Center {
    /// One for the column.
    Shared(i64),
    /// The median of each vector.
    Own,
}

/// What is coded of the values of a column.
#[derive(Debug, Clone, Copy)]
struct Form {
    kind: NumberKind,
    center: Center,
    width: u32,
}

/// Codes the vectors of one column.
#[derive(Debug)]
pub struct ColumnCoder {
    form: Form,
    exponent: Option<u32>,
    code: ColumnCode,
    bits: [SymbolBits; SYMBOLS],
    /// What was coded is decoded right away: an encoder that loses a bit must not get past a test.
    #[cfg(debug_assertions)]
    table: DecodeTable,
}

impl ColumnCoder {
    /// The coder of these vectors; `None` when coding them does not pay.
    pub fn choose(vectors: &[PlainVector<'_>]) -> Option<Self> {
        let can_be_coded: Vec<&PlainVector<'_>> = vectors.iter().filter(|vector| holds_numbers(vector)).collect();
        if can_be_coded.iter().map(|vector| vector.data.len()).sum::<usize>() < COLUMN_BYTES_MIN {
            return None;
        }
        let exponent = most_frequent_exponent(&can_be_coded);
        let form = choose_form(&can_be_coded, exponent)?;
        let mut frequencies = [0; SYMBOLS];
        let mut integers = [0; VECTOR_LEN];
        for vector in can_be_coded {
            if integers_of(vector, exponent, &mut integers).is_none() {
                continue;
            }
            let parts = form.parts_of(&integers[..vector.len]);
            if parts.outlier_count() <= PATCHES_MAX {
                parts.coded_symbols().iter().for_each(|symbol| frequencies[usize::from(*symbol)] += 1);
            }
        }
        let code = ColumnCode::of_frequencies(&frequencies, form.shared_step())?;
        let bits = code.symbol_bits();
        #[cfg(debug_assertions)]
        let table = DecodeTable::new(&code);
        Some(Self {
            form,
            exponent,
            code,
            bits,
            #[cfg(debug_assertions)]
            table,
        })
    }

    /// The code, which a reader needs for the vectors.
    pub fn code(&self) -> &ColumnCode {
        &self.code
    }

    /// Appends the data of the coded vector and returns its header; `None`, with nothing appended, when the vector stays
    /// as it is. It must be one of those that the coder was made for.
    pub fn encode(&self, vector: &PlainVector<'_>, out: &mut Vec<u8>) -> Option<VectorHeader> {
        let start = out.len();
        let mut integers = [0; VECTOR_LEN];
        if !holds_numbers(vector) {
            return None;
        }
        let behind = integers_of(vector, self.exponent, &mut integers)?;
        let parts = self.form.parts_of(&integers[..vector.len]);
        if parts.outlier_count() > PATCHES_MAX {
            return None;
        }
        let mut header = parts.append(&self.bits, self.code.step(), &vector.header, out);
        #[cfg(debug_assertions)]
        self.check(&header, &out[start..], &integers[..vector.len]);
        out.extend_from_slice(behind);
        if (out.len() - start) * 20 > vector.data.len() * BYTES_OF_TWENTY_MAX {
            out.truncate(start);
            return None;
        }
        header.crc32c = crc32c::crc32c(&out[start..]);
        Some(header)
    }

    /// Decodes coded numbers.
    #[cfg(debug_assertions)]
    fn check(&self, header: &VectorHeader, numbers: &[u8], integers: &[i64]) {
        let (mut rest, mut decoded) = (numbers, [0; VECTOR_LEN]);
        let taken = CodedNumbers::take(header, &mut rest, integers.len()).expect("a coded vector is whole");
        taken.decode(&self.table, integers.len(), &mut decoded).expect("a coded vector decodes");
        assert_eq!(decoded[..integers.len()], *integers, "coded numbers came back differently");
        assert!(rest.is_empty());
    }
}

/// Whether a vector has numbers that may be coded. Others are a few bytes long, or no integers.
fn holds_numbers(vector: &PlainVector<'_>) -> bool {
    use VectorEncoding::{Delta, FrameOfReference, Linear, Runs};
    matches!(vector.header.encoding, FrameOfReference | Linear | Delta | Runs)
}

/// The decimal exponent that most vectors have, the largest of several.
fn most_frequent_exponent(vectors: &[&PlainVector<'_>]) -> Option<u32> {
    let mut counts = [0; 33];
    for vector in vectors {
        counts[vector.header.decimal_exponent().map_or(0, |exponent| exponent as usize + 1)] += 1;
    }
    let (best, _) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    (best as u32).checked_sub(1)
}

/// Decodes the integers of a vector; returns the data behind them. `None` when they have another exponent than the column.
fn integers_of<'a>(vector: &PlainVector<'a>, exponent: Option<u32>, out: &mut [i64; VECTOR_LEN]) -> Option<&'a [u8]> {
    let PlainVector { header, data, len } = *vector;
    if header.decimal_exponent() != exponent {
        return None;
    }
    let (mut rest, mask) = split_mask(&header, data, len).ok()?;
    IntegerForm::take(&header, &mut rest, len).ok()?.decode(len, out).ok()?;
    data.get(data.len() - rest.len() - mask.len()..)
}

impl Form {
    fn parts_of(&self, values: &[i64]) -> NumberParts {
        let center = match self.center {
            Center::Shared(center) => center,
            Center::Own => median(&mut numbers_of(values, self.kind)),
        };
        NumberParts::of(values, self.kind, center, self.width)
    }

    /// The step of vectors whose center is that of the column.
    fn shared_step(&self) -> i64 {
        match (self.kind, self.center) {
            (NumberKind::Differences, Center::Shared(center)) => {
                NumberParts::of(&[0], self.kind, center, self.width).step
            }
            _ => 0,
        }
    }
}

/// The values or their differences.
fn numbers_of(values: &[i64], kind: NumberKind) -> Vec<i64> {
    match kind {
        NumberKind::Frame => values.to_vec(),
        NumberKind::Differences => values.array_windows().map(|[before, value]| value.wrapping_sub(*before)).collect(),
    }
}

fn median(numbers: &mut [i64]) -> i64 {
    let middle = numbers.len() / 2;
    if numbers.is_empty() { 0 } else { *numbers.select_nth_unstable(middle).1 }
}

/// The form that takes the fewest bits for a sample of the vectors.
fn choose_form(vectors: &[&PlainVector<'_>], exponent: Option<u32>) -> Option<Form> {
    let mut sample: Vec<Vec<i64>> = Vec::new();
    for vector in vectors.iter().step_by(vectors.len().div_ceil(SAMPLE_VECTORS).max(1)) {
        let mut integers = [0; VECTOR_LEN];
        if integers_of(vector, exponent, &mut integers).is_some() {
            sample.push(integers[..vector.len].to_vec());
        }
    }
    let mut best: Option<(u64, Form)> = None;
    for kind in [NumberKind::Frame, NumberKind::Differences] {
        let numbers: Vec<Vec<i64>> = sample.iter().map(|values| numbers_of(values, kind)).collect();
        let shared = median(&mut numbers.concat());
        for center in [Center::Shared(shared), Center::Own] {
            let distances = distances_of(&numbers, center);
            // An own center is written with the vector: as the base, which costs about as much, or as a step.
            let own_bits = if center == Center::Own { 64 * sample.len() as u64 } else { 0 };
            let Some((bits, width)) = choose_width(&distances) else { continue };
            if best.as_ref().is_none_or(|(best_bits, _)| bits + own_bits < *best_bits) {
                best = Some((bits + own_bits, Form { kind, center, width }));
            }
        }
    }
    best.map(|(_, form)| form)
}

/// How far numbers are from their center.
fn distances_of(numbers: &[Vec<i64>], center: Center) -> Vec<i64> {
    let distances = numbers.iter().flat_map(|numbers| {
        let center = match center {
            Center::Shared(center) => center,
            Center::Own => median(&mut numbers.clone()),
        };
        numbers.iter().map(move |number| number.wrapping_sub(center))
    });
    distances.collect()
}

/// The width of low bits with which numbers take the fewest bits or hardly more, and these.
fn choose_width(distances: &[i64]) -> Option<(u64, u32)> {
    let mut counts = [0usize; 65];
    distances.iter().for_each(|distance| counts[width_of(distance.unsigned_abs()) as usize] += 1);
    let mut covered = 0;
    let widest = counts.iter().position(|count| {
        covered += count;
        covered * 10 >= distances.len() * 9
    })?;
    // Symbols reach 128 to both sides of the center.
    let narrowest = (widest as u32).saturating_sub(8).min(LOW_BITS_MAX);
    let tried = narrowest..=(narrowest + WIDTHS_TRIED).min(LOW_BITS_MAX);
    let costs: Vec<(u64, u32)> = tried.filter_map(|width| Some((bits_at(distances, width)?, width))).collect();
    let least = costs.iter().map(|(bits, _)| *bits).min()?;
    costs.into_iter().rev().find(|(bits, _)| bits * 1000 <= least * FASTER_OF_THOUSAND)
}

/// Bits that numbers take with so many low bits; `None` when they are all of one symbol.
fn bits_at(distances: &[i64], width: u32) -> Option<u64> {
    let mut frequencies = [0; SYMBOLS];
    let mut outlier_count = 0;
    for distance in distances {
        let number = distance.wrapping_add(128 << width).cast_unsigned() >> width;
        match frequencies.get_mut(number as usize) {
            Some(count) => *count += 1,
            None => outlier_count += 1,
        }
    }
    let code = ColumnCode::of_frequencies(&frequencies, 0)?;
    Some(code.bits_of(&frequencies) + distances.len() as u64 * u64::from(width) + outlier_count * OUTLIER_BITS)
}
