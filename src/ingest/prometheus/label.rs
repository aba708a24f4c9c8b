//! The labels of a series or an exemplar: parsed, checked and sorted.
//!
//! Runs once per new series, not per request: the writer caches by the raw bytes.

use std::fmt::Write as _;

use super::names::NAME_LABEL;
use super::wire::Reader;
use super::{DecodeError, Limits, RejectReason};

/// Labels in the order of their names, each name once, without empty values (an empty value is an absent label).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels<'a> {
    metric: Option<&'a str>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Labels<'a> {
    /// The value of `__name__`.
    pub fn metric(&self) -> Option<&'a str> {
        self.metric
    }

    /// Names and values without `__name__`, in the order of the names.
    pub fn pairs(&self) -> &[(&'a str, &'a str)] {
        &self.pairs
    }

    /// The labels without `__name__` as Prometheus writes them: `{a="x",b="y"}`.
    pub fn to_text(&self) -> String {
        let mut text = String::from("{");
        for (index, (name, value)) in self.pairs.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            if is_plain_name(name) {
                text.push_str(name);
            } else {
                push_quoted(&mut text, name);
            }
            text.push('=');
            push_quoted(&mut text, value);
        }
        text.push('}');
        text
    }
}

fn is_plain_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Labels that break a rule: the series is left out, the rest of the request is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFault {
    /// The rule.
    pub reason: RejectReason,
    /// What breaks it, in words.
    pub detail: String,
}

impl LabelFault {
    fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Parses the raw label fields of a series or exemplar. The outer result says whether the bytes are well-formed, the
/// inner one whether the labels keep the rules.
///
/// # Errors
/// `Protobuf` when the bytes are not label messages.
pub fn parse_labels<'a>(raw: &'a [u8], limits: &Limits) -> Result<Result<Labels<'a>, LabelFault>, DecodeError> {
    let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
    let (mut label_count, mut label_bytes) = (0, 0);
    let mut fields = Reader::new(raw);
    loop {
        let offset = fields.position();
        let Some((_, value)) = fields.next_field()? else { break };
        let (name, value) = parse_label(value.bytes(offset)?)?;
        label_count += 1;
        label_bytes += name.len() + value.len();
        // Past the limit only the shape is still checked, so that `pairs` stays bounded.
        if label_count <= limits.labels_max {
            pairs.push((name, value));
        }
    }
    Ok(check(pairs, label_count, label_bytes, limits))
}

fn parse_label(message: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (mut name, mut text): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(message);
    loop {
        let offset = reader.position();
        match reader.next_field()? {
            Some((1, value)) => name = value.bytes(offset)?,
            Some((2, value)) => text = value.bytes(offset)?,
            Some(_) => {}
            None => return Ok((name, text)),
        }
    }
}

pub(super) fn check<'a>(
    raw: Vec<(&'a [u8], &'a [u8])>,
    label_count: usize,
    label_bytes: usize,
    limits: &Limits,
) -> Result<Labels<'a>, LabelFault> {
    if label_count > limits.labels_max {
        let detail = format!("{label_count} labels, at most {} are accepted", limits.labels_max);
        return Err(LabelFault::new(RejectReason::TooManyLabels, detail));
    }
    if label_bytes > limits.label_bytes_max {
        let detail = format!("{label_bytes} bytes of labels, at most {} are accepted", limits.label_bytes_max);
        return Err(LabelFault::new(RejectReason::LabelsTooLong, detail));
    }
    let mut pairs = Vec::with_capacity(raw.len());
    for (name, value) in raw {
        if name.is_empty() {
            return Err(LabelFault::new(RejectReason::EmptyLabelName, "a label has no name"));
        }
        let Ok(name) = str::from_utf8(name) else {
            return Err(LabelFault::new(RejectReason::InvalidUtf8, "a label name is not UTF-8"));
        };
        if name.len() > limits.label_name_bytes_max {
            let detail = format!("a label name of {} bytes, at most {}", name.len(), limits.label_name_bytes_max);
            return Err(LabelFault::new(RejectReason::LabelsTooLong, detail));
        }
        let Ok(value) = str::from_utf8(value) else {
            return Err(LabelFault::new(
                RejectReason::InvalidUtf8,
                format!("the value of label {name:?} is not UTF-8"),
            ));
        };
        if value.len() > limits.label_value_bytes_max {
            let mut detail = String::new();
            write!(
                detail,
                "label {name:?} has a value of {} bytes, at most {}",
                value.len(),
                limits.label_value_bytes_max
            )
            .expect("writing to a string does not fail");
            return Err(LabelFault::new(RejectReason::LabelsTooLong, detail));
        }
        pairs.push((name, value));
    }
    pairs.sort_unstable();
    if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let detail = format!("label {:?} stands twice", twice[0].0);
        return Err(LabelFault::new(RejectReason::DuplicateLabel, detail));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    let metric = pairs.iter().position(|(name, _)| *name == NAME_LABEL).map(|index| pairs.remove(index).1);
    Ok(Labels { metric, pairs })
}
