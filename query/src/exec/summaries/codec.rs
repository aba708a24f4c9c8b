//! Summaries as bytes, for the stages of a DataFusion plan, which hand on columns only.
//!
//! The bytes never leave the process, except to a temporary file of a spill. Still nothing in them is trusted: what does
//! not fit is an error.

use std::sync::Arc;

use arrow::datatypes::DataType;

use super::cardinality::Cardinality;
use super::extreme_row::ExtremeRow;
use super::key::KeyKind;
use super::multiset::Multiset;
use super::pair_moments::PairMoments;
use super::sketch::{Entry, Sketch};
use super::summary::{Summary, SummaryKind};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// Puts a summary into bytes.
///
/// # Errors
/// `Execution` for a kind that DataFusion does not use.
pub(crate) fn encode(summary: &Summary) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match summary {
        Summary::Texts(texts) => {
            for (text, count) in texts.iter() {
                put(&mut out, count);
                put_bytes(&mut out, text);
            }
        }
        Summary::Cardinality(Cardinality::Hashes(hashes)) => {
            out.push(0);
            hashes.iter().for_each(|hash| put(&mut out, *hash));
        }
        Summary::Cardinality(Cardinality::Registers(registers)) => {
            out.push(1);
            out.extend_from_slice(&**registers);
        }
        Summary::Values(Multiset::List(keys)) => {
            out.push(0);
            keys.iter().for_each(|key| put(&mut out, key.cast_unsigned()));
        }
        Summary::Values(Multiset::Counts(tally)) => {
            out.push(1);
            for (key, count) in tally.iter() {
                put(&mut out, key.cast_unsigned());
                put(&mut out, count);
            }
        }
        Summary::Sketch(sketch) => put_sketch(&mut out, sketch),
        Summary::Histogram(counts) => counts.iter().for_each(|count| put(&mut out, *count)),
        Summary::Pairs(pairs) => {
            let (count, parts) = pairs.parts();
            put(&mut out, count);
            parts.iter().for_each(|part| put(&mut out, part.to_bits()));
        }
        Summary::Extreme(None) => {}
        Summary::Extreme(Some(row)) => {
            put_scalar(&mut out, &row.key)?;
            put_scalar(&mut out, &row.value)?;
        }
        Summary::Distinct(_) | Summary::Fold(_) => return Err(Error::execution("this summary has no bytes")),
    }
    Ok(out)
}

/// The summary behind bytes of [`encode`], for an argument of type `data_type`.
///
/// # Errors
/// `Execution` when the bytes are of another kind or cut off.
pub(crate) fn decode(bytes: &[u8], kind: SummaryKind, data_type: &DataType) -> Result<Summary> {
    let mut summary = Summary::new(kind, data_type);
    let keys = KeyKind::of(data_type).unwrap_or(KeyKind::I64);
    let mut input = Input(bytes);
    match &mut summary {
        Summary::Texts(texts) => {
            while !input.0.is_empty() {
                let count = input.number()?;
                texts.add(input.bytes()?, count);
            }
        }
        Summary::Cardinality(cardinality) => match input.byte()? {
            0 => {
                while !input.0.is_empty() {
                    cardinality.add(input.number()?);
                }
            }
            _ => *cardinality = Cardinality::from_registers(input.0).ok_or_else(damaged)?,
        },
        Summary::Values(values) => match input.byte()? {
            0 => {
                let mut list = Vec::with_capacity(input.0.len() / 8);
                while !input.0.is_empty() {
                    list.push(input.number()?.cast_signed());
                }
                values.add_all(&list);
            }
            _ => {
                while !input.0.is_empty() {
                    let key = input.number()?.cast_signed();
                    values.add(key, input.number()?);
                }
            }
        },
        Summary::Sketch(sketch) => read_sketch(&mut input, sketch, keys)?,
        Summary::Histogram(counts) => {
            while !input.0.is_empty() {
                counts.push(input.number()?);
            }
            if let SummaryKind::Histogram(shape) = kind
                && !counts.is_empty()
                && counts.len() != shape.len()
            {
                return Err(damaged());
            }
        }
        Summary::Pairs(pairs) => {
            let count = input.number()?;
            let mut parts = [0.0; PairMoments::PARTS];
            for part in &mut parts {
                *part = f64::from_bits(input.number()?);
            }
            **pairs = PairMoments::from_parts(count, parts);
        }
        Summary::Extreme(row) => {
            if !bytes.is_empty() {
                let (key, value) = (input.scalar()?, input.scalar()?);
                *row = Some(Box::new(ExtremeRow { key, value }));
            }
        }
        Summary::Distinct(_) | Summary::Fold(_) => return Err(damaged()),
    }
    Ok(summary)
}

fn damaged() -> Error {
    Error::execution("the state of an aggregate is damaged")
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_sketch(out: &mut Vec<u8>, sketch: &Sketch) {
    let Some((low, high)) = sketch.bounds() else { return };
    put(out, low.cast_unsigned());
    put(out, high.cast_unsigned());
    sketch.for_each_entry(|entry| {
        let (tag, numbers): (u8, &[u64]) = match &entry {
            Entry::Key(key, count) => (0, &[key.cast_unsigned(), *count]),
            Entry::Negative(bucket, count) => (1, &[bucket.cast_unsigned(), *count]),
            Entry::Positive(bucket, count) => (2, &[bucket.cast_unsigned(), *count]),
            Entry::Others(counts) => (3, counts),
        };
        out.push(tag);
        numbers.iter().for_each(|number| put(out, *number));
    });
}

fn read_sketch(input: &mut Input<'_>, sketch: &mut Sketch, keys: KeyKind) -> Result<()> {
    if input.0.is_empty() {
        return Ok(());
    }
    let bounds = (input.number()?.cast_signed(), input.number()?.cast_signed());
    while !input.0.is_empty() {
        let tag = input.byte()?;
        let entry = match tag {
            0 => Entry::Key(input.number()?.cast_signed(), input.number()?),
            1 | 2 => {
                let bucket = input.number()?.cast_signed();
                if !(0..Sketch::BUCKETS).contains(&bucket) {
                    return Err(damaged());
                }
                let count = input.number()?;
                if tag == 1 { Entry::Negative(bucket, count) } else { Entry::Positive(bucket, count) }
            }
            _ => Entry::Others([input.number()?, input.number()?, input.number()?, input.number()?]),
        };
        sketch.add_entry(entry, keys);
    }
    sketch.add_bounds(bounds);
    Ok(())
}

fn put_scalar(out: &mut Vec<u8>, scalar: &Scalar) -> Result<()> {
    let (tag, number) = match scalar {
        Scalar::Bool(value) => (0, u64::from(*value)),
        Scalar::I64(value) => (1, value.cast_unsigned()),
        Scalar::U64(value) => (2, *value),
        Scalar::F64(value) => (3, value.to_bits()),
        Scalar::Time(value) => (4, value.cast_unsigned()),
        Scalar::Text(text) => {
            out.push(5);
            put_bytes(out, text.as_bytes());
            return Ok(());
        }
        Scalar::Binary(bytes) => {
            out.push(6);
            put_bytes(out, bytes);
            return Ok(());
        }
        Scalar::Null | Scalar::Interval(_) => return Err(Error::execution("no field has a value of this type")),
    };
    out.push(tag);
    put(out, number);
    Ok(())
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8> {
        let (byte, rest) = self.0.split_first().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.number()?).map_err(|_| damaged())?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn scalar(&mut self) -> Result<Scalar> {
        Ok(match self.byte()? {
            0 => Scalar::Bool(self.number()? != 0),
            1 => Scalar::I64(self.number()?.cast_signed()),
            2 => Scalar::U64(self.number()?),
            3 => Scalar::F64(f64::from_bits(self.number()?)),
            4 => Scalar::Time(self.number()?.cast_signed()),
            5 => Scalar::Text(str::from_utf8(self.bytes()?).map_err(|_| damaged())?.into()),
            6 => Scalar::Binary(Arc::from(self.bytes()?)),
            _ => return Err(damaged()),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::super::states::SummaryStates;
    use super::*;
    use crate::plan::AggregateName;

    fn columns() -> Vec<(ArrayRef, ArrayRef)> {
        let row = |i: i64| (i * 7_919 % 1_000) as f64 * if i % 3 == 0 { -1.5 } else { 1e3 };
        let numbers: ArrayRef = Arc::new((0..3_000).map(|i| (i % 11 > 0).then(|| row(i))).collect::<Float64Array>());
        let integers: ArrayRef = Arc::new((0..3_000).map(|i| (i % 7 > 0).then_some(i % 90)).collect::<Int64Array>());
        let texts: ArrayRef = Arc::new((0..3_000).map(|i| Some(format!("t{}", i % 1_500))).collect::<StringArray>());
        vec![(Arc::clone(&numbers), Arc::clone(&integers)), (integers, Arc::clone(&texts)), (texts, numbers)]
    }

    #[test]
    fn what_is_read_off_does_not_change_on_the_way_and_cut_bytes_are_errors() {
        let fraction = [Scalar::F64(0.3)];
        let bounds = [Scalar::I64(-100), Scalar::I64(100), Scalar::I64(8)];
        let mut tried = 0;
        for (name, aggregate) in AggregateName::of_summaries().filter(|(_, name)| !name.is_by_series()) {
            let constants: &[Scalar] = match name {
                "histogram" => &bounds,
                _ if matches!(aggregate, AggregateName::Percentile(_)) => &fraction,
                _ => &[],
            };
            let function = aggregate.function(name, constants).unwrap().summary().unwrap();
            let kind = SummaryKind::of(function);
            for (first, second) in columns() {
                let data_type = first.data_type().clone();
                let is_text = *second.data_type() == DataType::Utf8;
                if function.result_type(&data_type).is_none() || kind == SummaryKind::Pairs && is_text {
                    continue;
                }
                tried += 1;
                let mut whole = SummaryStates::new(kind, data_type.clone());
                let mut moved = SummaryStates::new(kind, data_type.clone());
                whole.resize(1);
                moved.resize(1);
                for (start, len) in [(0, 40), (40, 1_960), (2_000, 1_000)] {
                    let (first, second) = (first.slice(start, len), second.slice(start, len));
                    whole.add_rows(&first, Some(&second), &vec![0; len], None).unwrap();
                    let mut part = SummaryStates::new(kind, data_type.clone());
                    part.resize(1);
                    part.add_rows(&first, Some(&second), &vec![0; len], None).unwrap();
                    let bytes = encode(part.get(0)).unwrap();
                    moved.merge_summary(0, &decode(&bytes, kind, &data_type).unwrap());
                    for cut in [1, 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                        // Any answer but a panic.
                        let _ = decode(&bytes[..cut.min(bytes.len())], kind, &data_type);
                    }
                }
                let (whole, moved) = (whole.finish(function, &[0]), moved.finish(function, &[0]));
                if kind != SummaryKind::Pairs {
                    assert_eq!(&whole, &moved, "{name} of {data_type}");
                }
                assert!(whole.is_valid(0), "{name} of {data_type}");
            }
        }
        assert!(tried > 30, "{tried}");
    }
}
