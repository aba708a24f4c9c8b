//! Comparisons of fields with constants and tests for NULL, over whole blocks: skipped or passed by zone map, else a mask.
//!
//! Floats compare like everywhere in the executor: NaN is greater than every number, -0 equals 0. Zone maps leave NaN
//! out, so a vector with NaN is never decided by its bounds.

use lynxstore_storage::encoding::{Mask, VECTOR_LEN, Validity, ZoneMap, kernel};
use lynxstore_storage::snapshot::Block;

use super::row_mask::RowMask;
use super::source::Source;
use crate::error::Result;
use crate::plan::{CompareOp, FieldBound, FieldTerm, FieldTest};

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

    /// Those of these rows that are in `outer` too; `None` stands for all rows.
    pub(crate) fn within(self, outer: Option<&RowMask>) -> Self {
        match (self, outer) {
            (Self::Nothing, _) => Self::Nothing,
            (own, None) => own,
            (Self::All, Some(outer)) => Self::Some(*outer),
            (Self::Some(own), Some(outer)) => {
                let mut words = *own.words();
                kernel::mask_and(&mut words, outer.words());
                if kernel::mask_is_empty(&words) { Self::Nothing } else { Self::Some(RowMask::new(words)) }
            }
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
            match block.zone_bound(*position).map_or(Outcome::Depends, |zone| outcome(term.test, &zone)) {
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
            let mut words = match test_block(block, *position, term.test)? {
                BlockTest::Nothing => return Ok(Selection::Nothing),
                BlockTest::All => continue,
                BlockTest::Some(words) => words,
            };
            if let Some(selected) = &selected {
                kernel::mask_and(&mut words, selected.words());
            }
            let mask = RowMask::new(words);
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

/// What a test of a whole block comes to.
enum BlockTest {
    Nothing,
    All,
    /// The rows that pass; maybe none.
    Some(Mask),
}

fn test_block(block: &mut Block<'_>, position: usize, test: FieldTest) -> Result<BlockTest> {
    let validity = block.validity(position)?;
    let (op, bound) = match (test, &validity) {
        (FieldTest::IsNull, Validity::AllNull) | (FieldTest::IsNotNull, Validity::AllValid) => {
            return Ok(BlockTest::All);
        }
        (FieldTest::IsNull, Validity::AllValid) | (_, Validity::AllNull) => return Ok(BlockTest::Nothing),
        (FieldTest::IsNotNull, Validity::Mask(valid)) => return Ok(BlockTest::Some(first_rows(*valid, block.len()))),
        (FieldTest::IsNull, Validity::Mask(valid)) => {
            return Ok(BlockTest::Some(first_rows(valid.map(|word| !word), block.len())));
        }
        (FieldTest::Compare(op, bound), _) => (kernel_op(op), bound),
    };
    let mut words = [0; 16];
    match bound {
        FieldBound::I64(bound) => kernel::compare_i64(op, block.i64_values(position)?, bound, &mut words),
        FieldBound::F64(bound) => {
            let mut keys = [0i64; VECTOR_LEN];
            let values = block.f64_values(position)?;
            for (key, value) in keys.iter_mut().zip(values) {
                *key = total_order(*value);
            }
            kernel::compare_i64(op, &keys[..values.len()], total_order(bound), &mut words);
        }
    }
    if let Validity::Mask(valid) = &validity {
        kernel::mask_and(&mut words, valid);
    }
    Ok(BlockTest::Some(words))
}

/// A mask without the bits beyond the rows of a block, which say nothing in a validity.
fn first_rows(mut words: Mask, rows: usize) -> Mask {
    kernel::mask_truncate(&mut words, rows);
    words
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

fn outcome(test: FieldTest, zone: &ZoneMap) -> Outcome {
    let (op, bound) = match test {
        FieldTest::Compare(..) | FieldTest::IsNotNull if zone.all_null() => return Outcome::Never,
        FieldTest::IsNull if zone.all_null() => return Outcome::Always,
        FieldTest::IsNotNull if zone.null_count() == 0 => return Outcome::Always,
        FieldTest::IsNull if zone.null_count() == 0 => return Outcome::Never,
        FieldTest::IsNull | FieldTest::IsNotNull => return Outcome::Depends,
        FieldTest::Compare(op, bound) => (op, bound),
    };
    let decided = match bound {
        FieldBound::I64(bound) => zone.min_i64().zip(zone.max_i64()).map(|(min, max)| decide(op, min, max, bound)),
        FieldBound::F64(bound) if !zone.has_nan() => {
            zone.min_f64().zip(zone.max_f64()).map(|(min, max)| decide(op, min, max, bound))
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
