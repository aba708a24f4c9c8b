//! Comparisons of fields with constants, over whole blocks: skipped or passed by zone map, else a mask.
//!
//! Floats compare like everywhere in the executor: NaN is greater than every number, -0 equals 0. Zone maps leave NaN
//! out, so a vector with NaN is never decided by its bounds.

use lynxstore_storage::encoding::{VECTOR_LEN, Validity, ZoneMap, kernel};
use lynxstore_storage::snapshot::Block;

use super::row_mask::RowMask;
use super::source::Source;
use crate::error::Result;
use crate::plan::{CompareOp, FieldBound, FieldTerm};

/// Which rows of a block pass.
#[derive(Debug)]
pub(crate) enum Selection {
    /// All.
    All,
    /// None.
    Nothing,
    /// Those of a mask, at least one.
    Some(RowMask),
}

impl Selection {
    /// The mask, when not all rows pass.
    pub(crate) fn mask(&self) -> Option<&RowMask> {
        match self {
            Self::Some(mask) => Some(mask),
            Self::All | Self::Nothing => None,
        }
    }
}

/// The field predicates of a plan, bound to the positions of a scan.
#[derive(Debug, Clone)]
pub(crate) struct FieldFilter {
    terms: Vec<(usize, FieldTerm)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Never,
    Always,
    Depends,
}

impl FieldFilter {
    /// Binds the terms of a plan.
    pub(crate) fn new(terms: &[FieldTerm], source: &Source) -> Result<Self> {
        let terms = terms.iter().map(|term| Ok((source.field_position(term.field)?, *term)));
        Ok(Self { terms: terms.collect::<Result<_>>()? })
    }

    /// Whether every row passes.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Decides on the rows of a block.
    pub(crate) fn select(&self, block: &mut Block<'_>) -> Result<Selection> {
        let mut undecided = 0u64;
        for (index, (position, term)) in self.terms.iter().enumerate() {
            match block.zone_bound(*position).map_or(Outcome::Depends, |zone| outcome(term, &zone)) {
                Outcome::Never => return Ok(Selection::Nothing),
                Outcome::Always => {}
                // Beyond 64 terms every one is evaluated.
                Outcome::Depends => undecided |= 1u64.checked_shl(index as u32).unwrap_or(0),
            }
        }
        let mut selected: Option<RowMask> = None;
        for (index, (position, term)) in self.terms.iter().enumerate() {
            if index < 64 && undecided >> index & 1 == 0 {
                continue;
            }
            let validity = block.validity(*position)?;
            if validity == Validity::AllNull {
                return Ok(Selection::Nothing);
            }
            let mut words = [0; 16];
            compare_block(block, *position, term, &mut words)?;
            if let Some(selected) = &selected {
                kernel::mask_and(&mut words, selected.words());
            }
            let mask = match &validity {
                Validity::Mask(valid) => {
                    kernel::mask_and(&mut words, valid);
                    RowMask::new(words)
                }
                _ => RowMask::new(words),
            };
            if kernel::mask_is_empty(mask.words()) {
                return Ok(Selection::Nothing);
            }
            selected = Some(mask);
        }
        Ok(match selected {
            None => Selection::All,
            Some(mask) if kernel::mask_count(mask.words()) == block.len() => Selection::All,
            Some(mask) => Selection::Some(mask),
        })
    }
}

fn compare_block(block: &mut Block<'_>, position: usize, term: &FieldTerm, words: &mut [u64; 16]) -> Result<()> {
    let op = kernel_op(term.op);
    match term.bound {
        FieldBound::I64(bound) => kernel::compare_i64(op, block.i64_values(position)?, bound, words),
        FieldBound::F64(bound) => {
            let mut keys = [0i64; VECTOR_LEN];
            let values = block.f64_values(position)?;
            for (key, value) in keys.iter_mut().zip(values) {
                *key = total_order(*value);
            }
            kernel::compare_i64(op, &keys[..values.len()], total_order(bound), words);
        }
    }
    Ok(())
}

/// An integer whose order is that of floats.
fn total_order(value: f64) -> i64 {
    // Adding 0 makes -0 positive.
    let bits = (value + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn kernel_op(op: CompareOp) -> kernel::CompareOp {
    match op {
        CompareOp::Eq => kernel::CompareOp::Equal,
        CompareOp::NotEq => kernel::CompareOp::NotEqual,
        CompareOp::Lt => kernel::CompareOp::Less,
        CompareOp::LtEq => kernel::CompareOp::LessOrEqual,
        CompareOp::Gt => kernel::CompareOp::Greater,
        CompareOp::GtEq => kernel::CompareOp::GreaterOrEqual,
    }
}

fn outcome(term: &FieldTerm, zone: &ZoneMap) -> Outcome {
    if zone.all_null() {
        return Outcome::Never;
    }
    let decided = match term.bound {
        FieldBound::I64(bound) => zone.min_i64().zip(zone.max_i64()).map(|(min, max)| decide(term.op, min, max, bound)),
        FieldBound::F64(bound) if !zone.has_nan() => {
            zone.min_f64().zip(zone.max_f64()).map(|(min, max)| decide(term.op, min, max, bound))
        }
        FieldBound::F64(_) => None,
    };
    match decided {
        Some(Outcome::Always) if zone.null_count() > 0 => Outcome::Depends,
        Some(outcome) => outcome,
        None => Outcome::Depends,
    }
}

fn decide<T: PartialOrd>(op: CompareOp, min: T, max: T, bound: T) -> Outcome {
    let (always, never) = match op {
        CompareOp::Gt => (min > bound, max <= bound),
        CompareOp::GtEq => (min >= bound, max < bound),
        CompareOp::Lt => (max < bound, min >= bound),
        CompareOp::LtEq => (max <= bound, min > bound),
        CompareOp::Eq => (min == bound && max == bound, bound < min || bound > max),
        CompareOp::NotEq => (bound < min || bound > max, min == bound && max == bound),
    };
    match (always, never) {
        (true, _) => Outcome::Always,
        (_, true) => Outcome::Never,
        _ => Outcome::Depends,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_decide_what_they_can() {
        use CompareOp as Op;
        for (op, bound, expected) in [
            (Op::Gt, 9, Outcome::Always),
            (Op::Gt, 20, Outcome::Never),
            (Op::Gt, 15, Outcome::Depends),
            (Op::GtEq, 10, Outcome::Always),
            (Op::Lt, 10, Outcome::Never),
            (Op::LtEq, 20, Outcome::Always),
            (Op::Eq, 21, Outcome::Never),
            (Op::NotEq, 21, Outcome::Always),
            (Op::NotEq, 15, Outcome::Depends),
        ] {
            assert_eq!(decide(op, 10, 20, bound), expected, "{op:?} {bound}");
        }
    }

    #[test]
    fn the_key_of_a_float_orders_nan_after_all_and_knows_one_zero() {
        assert_eq!(total_order(-0.0), total_order(0.0));
        let sorted = [-f64::NAN, f64::NEG_INFINITY, -1.0, -0.0, f64::MIN_POSITIVE, 1.0, f64::INFINITY, f64::NAN];
        for pair in sorted.windows(2) {
            assert!(total_order(pair[0]) < total_order(pair[1]), "{pair:?}");
        }
    }
}
