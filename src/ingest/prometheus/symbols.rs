//! Labels of version 2: pairs of references into the symbols of the request.
//!
//! A reference takes a byte and may stand for kilobytes, so the labels of one series are spelled out at a time, within
//! the limits of a series.

use super::label::{LabelFault, Labels, check};
use super::rejection::RejectReason;
use super::wire::{Reader, push_length};
use super::{DecodeError, Limits};

/// The next name and value; `None` at the end.
#[inline]
fn next_pair(references: &mut Reader<'_>) -> Result<Option<(u64, Option<u64>)>, DecodeError> {
    if references.is_at_end() {
        return Ok(None);
    }
    let name = references.varint()?;
    if references.is_at_end() {
        return Ok(Some((name, None)));
    }
    Ok(Some((name, Some(references.varint()?))))
}

#[inline]
fn symbol<'a>(symbols: &[&'a [u8]], reference: u64) -> Option<&'a [u8]> {
    usize::try_from(reference).ok().and_then(|index| symbols.get(index)).copied()
}

/// Parses and checks packed references.
pub(super) fn parse_labels<'s>(
    symbols: &[&'s [u8]],
    raw: &[u8],
    limits: &Limits,
) -> Result<Result<Labels<'s>, LabelFault>, DecodeError> {
    let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
    let (mut label_count, mut label_bytes) = (0, 0);
    let mut fault = None;
    let mut references = Reader::new(raw);
    while let Some((name, value)) = next_pair(&mut references)? {
        let Some(value) = value else {
            fault = Some(format!("{} references: the last name has no value", 2 * label_count + 1));
            break;
        };
        match (symbol(symbols, name), symbol(symbols, value)) {
            (Some(name), Some(value)) => {
                label_count += 1;
                label_bytes += name.len() + value.len();
                // Past the limit only the shape is still checked, so that `pairs` stays bounded.
                if label_count <= limits.labels_max {
                    pairs.push((name, value));
                }
            }
            _ => {
                let reference = name.max(value);
                fault = Some(format!("reference {reference} into a table of {} symbols", symbols.len()));
                break;
            }
        }
    }
    Ok(match fault {
        Some(detail) => Err(LabelFault { reason: RejectReason::InvalidReference, detail }),
        None => check(pairs, label_count, label_bytes, limits),
    })
}

/// Spells labels out as the fields of version 1, so that a series is the same one in both; `None` when they break a rule.
pub(super) fn spell_labels(symbols: &[&[u8]], raw: &[u8], limits: &Limits, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let (mut label_count, mut label_bytes) = (0, 0);
    let mut references = Reader::new(raw);
    while let Some((name, value)) = next_pair(&mut references).ok()? {
        let (name, value) = (symbol(symbols, name)?, symbol(symbols, value?)?);
        label_count += 1;
        label_bytes += name.len() + value.len();
        if label_count > limits.labels_max || label_bytes > limits.label_bytes_max {
            return None;
        }
        let field_bytes = |text: &[u8]| 1 + length_bytes(text.len()) + text.len();
        out.push(0x0a);
        push_length(out, field_bytes(name) + field_bytes(value));
        out.push(0x0a);
        push_length(out, name.len());
        out.extend_from_slice(name);
        out.push(0x12);
        push_length(out, value.len());
        out.extend_from_slice(value);
    }
    Some(())
}

fn length_bytes(length: usize) -> usize {
    (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::super::label;
    use super::*;

    const SYMBOLS: [&[u8]; 5] = [b"", b"__name__", b"up", b"job", b"api"];

    fn reason(references: &[u8]) -> RejectReason {
        parse_labels(&SYMBOLS, references, &Limits::default()).unwrap().unwrap_err().reason
    }

    #[test]
    fn references_are_spelled_out_as_the_labels_of_version_1() {
        let references = [1, 2, 3, 4];
        let direct = parse_labels(&SYMBOLS, &references, &Limits::default()).unwrap().unwrap();
        let mut spelled = Vec::new();
        spell_labels(&SYMBOLS, &references, &Limits::default(), &mut spelled).unwrap();
        assert_eq!(label::parse_labels(&spelled, &Limits::default()).unwrap().unwrap(), direct);
        assert_eq!((direct.metric(), direct.pairs()), (Some("up"), &[("job", "api")][..]));
        let long = "x".repeat(300);
        let symbols = [b"".as_slice(), b"a", long.as_bytes()];
        spell_labels(&symbols, &[1, 2], &Limits::default(), &mut spelled).unwrap();
        let labels = label::parse_labels(&spelled, &Limits::default()).unwrap().unwrap();
        assert_eq!(labels.pairs(), [("a", long.as_str())]);
    }

    #[test]
    fn references_out_of_range_and_odd_ones_are_told_from_labels_that_break_a_rule() {
        for references in
            [&[1, 2, 3][..], &[1, 5], &[5, 1], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert_eq!(reason(references), RejectReason::InvalidReference, "{references:?}");
            assert!(spell_labels(&SYMBOLS, references, &Limits::default(), &mut Vec::new()).is_none());
        }
        assert_eq!(reason(&[0, 2]), RejectReason::EmptyLabelName);
        assert_eq!(reason(&[3, 4, 3, 2]), RejectReason::DuplicateLabel);
        assert_eq!(reason(&[3, 4].repeat(41)), RejectReason::TooManyLabels);
        assert!(parse_labels(&SYMBOLS, &[0x80], &Limits::default()).is_err(), "a varint that does not end");
    }

    #[test]
    fn a_byte_that_stands_for_many_is_spelled_out_within_the_limits_of_a_series_only() {
        let long = vec![b'x'; 1 << 20];
        let symbols = [b"".as_slice(), b"a", &long];
        let mut spelled = Vec::new();
        assert!(spell_labels(&symbols, &[1, 2, 1, 2], &Limits::default(), &mut spelled).is_none());
        assert!(spelled.capacity() < 64 << 10, "{}", spelled.capacity());
    }
}
