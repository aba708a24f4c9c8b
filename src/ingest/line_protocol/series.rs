//! Measurement and tags of a line; runs once per new series, not per line.

use std::borrow::Cow;

use super::parser::ESCAPED_IN_NAMES;
use crate::ingest::rows::{RowFault, RowReason, SeriesName, quoted};

/// Takes the series of a [`Line`](super::Line) apart.
///
/// # Errors
/// `Malformed` when a tag lacks its name or its value.
pub fn parse_series(raw: &str) -> Result<SeriesName<'_>, RowFault> {
    let mut parts = split(raw, b',');
    let table = parts.next().unwrap_or_default();
    let tags = parts.map(|part| {
        let mut sides = split(part, b'=');
        match (sides.next(), sides.next(), sides.next()) {
            (Some(name), Some(value), None) if !name.is_empty() && !value.is_empty() => {
                Ok((unescaped(name, &ESCAPED_IN_NAMES), unescaped(value, &ESCAPED_IN_NAMES)))
            }
            _ => {
                let detail = format!("{} is no tag: name=value", quoted(part.as_bytes()));
                Err(RowFault::new(RowReason::Malformed, detail))
            }
        }
    });
    Ok(SeriesName { table: unescaped(table, b", "), tags: tags.collect::<Result<_, _>>()? })
}

/// The parts of a text between separators that are not escaped.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let mut position = 0;
        while let Some(&byte) = bytes.get(position) {
            if byte == separator {
                rest = Some(&text[position + 1..]);
                return Some(&text[..position]);
            }
            let is_escape =
                byte == b'\\' && bytes.get(position + 1).is_some_and(|next| ESCAPED_IN_NAMES.contains(next));
            position += if is_escape { 2 } else { 1 };
        }
        rest = None;
        Some(text)
    })
}

/// Text without the backslashes before `escaped` characters; other backslashes stay.
pub(super) fn unescaped<'a>(text: &'a str, escaped: &[u8]) -> Cow<'a, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find('\\') {
        out.push_str(&rest[..found]);
        let after = &rest[found + 1..];
        match after.chars().next() {
            Some(next) if next.is_ascii() && escaped.contains(&(next as u8)) => {
                out.push(next);
                rest = &after[1..];
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}
