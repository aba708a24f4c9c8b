//! Walks the lines of a text.
//!
//! The parser moves forward with every call, so any input ends the walk. Line breaks within quotes belong to the text;
//! after a bad line it goes on behind the next line break.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memchr3};

use super::line::{Line, LineField, LineValue};
use super::number::{parse_number, parse_time};
use super::series::unescaped;
use crate::ingest::rows::{RowFault, RowReason, quoted};

/// Characters that a backslash takes their meaning from, in names and tag values.
pub(super) const ESCAPED_IN_NAMES: [u8; 3] = *b",= ";

/// The lines of a text, one after the other.
#[derive(Debug)]
pub struct LineParser<'a> {
    text: &'a str,
    position: usize,
    /// Number of the line at `position`.
    number: usize,
    fields: Vec<LineField<'a>>,
}

/// A fault, and where in the text it was seen.
struct Fault(usize, &'static str);

impl<'a> LineParser<'a> {
    /// A parser of a text whose first line has the number `first_line`.
    pub fn new(text: &'a str, first_line: usize) -> Self {
        Self { text, position: 0, number: first_line, fields: Vec::new() }
    }

    /// The fields of the line that came last; at least one.
    pub fn fields(&self) -> &[LineField<'a>] {
        &self.fields
    }

    /// The next line, or the number of the next bad line with what is wrong; `None` at the end. Empty lines and comments
    /// are passed over.
    pub fn next_line(&mut self) -> Option<Result<Line<'a>, (usize, RowFault)>> {
        let bytes = self.text.as_bytes();
        loop {
            while let Some(b' ' | b'\t' | b'\r') = bytes.get(self.position) {
                self.position += 1;
            }
            match bytes.get(self.position)? {
                b'\n' => self.advance(self.position + 1),
                b'#' => self.advance(line_end(bytes, self.position) + 1),
                _ => break,
            }
        }
        let (number, start) = (self.number, self.position);
        self.fields.clear();
        match self.line(start) {
            Ok((line, end)) => {
                self.advance(end);
                Some(Ok(line))
            }
            Err(Fault(position, what)) => {
                let end = line_end(bytes, position.min(bytes.len()));
                let line = &bytes[start..end];
                self.advance(end + 1);
                let detail = format!("{what} at byte {} of {}", position - start + 1, quoted(line));
                Some(Err((number, RowFault::new(RowReason::Malformed, detail))))
            }
        }
    }

    /// Moves on and counts the lines that are passed.
    fn advance(&mut self, position: usize) {
        let position = position.min(self.text.len());
        self.number += memchr_iter(b'\n', &self.text.as_bytes()[self.position..position]).count();
        self.position = position;
    }

    fn line(&mut self, start: usize) -> Result<(Line<'a>, usize), Fault> {
        let bytes = self.text.as_bytes();
        let series_end = series_end(bytes, start)?;
        let mut position = skip_spaces(bytes, series_end);
        loop {
            position = self.field(position)?;
            match bytes.get(position) {
                Some(b',') => position += 1,
                _ => break,
            }
        }
        let mut time = None;
        position = skip_spaces(bytes, position);
        let end = end_of_word(bytes, position);
        if end > position {
            let word = &bytes[position..end];
            time = Some(parse_time(word).ok_or(Fault(position, "the timestamp is no 64-bit integer"))?);
            position = skip_spaces(bytes, end);
        }
        match &bytes[position..] {
            [] | [b'\n', ..] => {}
            [b'\r', b'\n', ..] | [b'\r'] => position += 1,
            _ => return Err(Fault(position, "the line goes on after its end")),
        }
        let line = Line { number: self.number, series: &self.text[start..series_end], time };
        Ok((line, position + 1))
    }

    /// Reads a field and returns its end.
    fn field(&mut self, start: usize) -> Result<usize, Fault> {
        let bytes = self.text.as_bytes();
        let mut position = start;
        let mut has_escape = false;
        loop {
            // Names are short: a loop over bytes beats a call that looks at 32 of them.
            match bytes.get(position) {
                Some(b'=') => break,
                Some(b'\\') if bytes.get(position + 1).is_some_and(|next| ESCAPED_IN_NAMES.contains(next)) => {
                    has_escape = true;
                    position += 2;
                }
                None | Some(b'\n') => return Err(Fault(position, "a line needs a field with a value")),
                Some(b' ' | b',') => return Err(Fault(position, "a field needs a value")),
                Some(_) => position += 1,
            }
        }
        if position == start {
            return Err(Fault(position, "a field needs a name"));
        }
        let name = &self.text[start..position];
        let name = if has_escape { unescaped(name, &ESCAPED_IN_NAMES) } else { Cow::Borrowed(name) };
        position += 1;
        let (value, end) = match bytes.get(position) {
            Some(b'"') => self.string(position)?,
            Some(b't' | b'T' | b'f' | b'F') => boolean(bytes, position)?,
            _ => {
                let number = parse_number(&bytes[position..]);
                let (value, len) = number.ok_or(Fault(position, "a value is no number, boolean or quoted text"))?;
                (value, position + len)
            }
        };
        if !matches!(bytes.get(end), None | Some(b',' | b' ' | b'\n' | b'\r')) {
            return Err(Fault(end, "a value goes on after its end"));
        }
        self.fields.push(LineField { name, value });
        Ok(end)
    }

    /// Reads text in quotes.
    fn string(&self, quote: usize) -> Result<(LineValue<'a>, usize), Fault> {
        let bytes = self.text.as_bytes();
        let start = quote + 1;
        let mut position = start;
        let mut has_escape = false;
        loop {
            // The rest of a text without its end is not taken for part of it: the next line begins a new row.
            let Some(found) = memchr2(b'"', b'\\', &bytes[position..]) else {
                return Err(Fault(quote, "a text has no closing quote"));
            };
            position += found;
            if bytes[position] == b'"' {
                break;
            }
            let is_escape = matches!(bytes.get(position + 1), Some(b'"' | b'\\'));
            has_escape |= is_escape;
            position += if is_escape { 2 } else { 1 };
        }
        let text = &self.text[start..position];
        let text = if has_escape { unescaped(text, b"\"\\") } else { Cow::Borrowed(text) };
        Ok((LineValue::String(text), position + 1))
    }
}

/// The end of measurement and tags: the first space that is not escaped.
fn series_end(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut position = start;
    loop {
        let Some(found) = memchr3(b' ', b'\\', b'\n', &bytes[position..]) else {
            return Err(Fault(bytes.len(), "a line needs a field"));
        };
        position += found;
        match bytes[position] {
            b' ' => return Ok(position),
            b'\n' => return Err(Fault(position, "a line needs a field")),
            _ => {
                position += 1 + usize::from(bytes.get(position + 1).is_some_and(|next| ESCAPED_IN_NAMES.contains(next)))
            }
        }
    }
}

fn boolean(bytes: &[u8], start: usize) -> Result<(LineValue<'static>, usize), Fault> {
    let len = bytes[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let value = match &bytes[start..start + len] {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => true,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => false,
        _ => return Err(Fault(start, "a value is no number, boolean or quoted text")),
    };
    Ok((LineValue::Bool(value), start + len))
}

fn skip_spaces(bytes: &[u8], mut position: usize) -> usize {
    while bytes.get(position) == Some(&b' ') {
        position += 1;
    }
    position
}

fn end_of_word(bytes: &[u8], start: usize) -> usize {
    let len = bytes[start..].iter().take_while(|byte| !matches!(byte, b' ' | b'\n' | b'\r')).count();
    start + len
}

/// The line break at or after a place, or the end of the text.
fn line_end(bytes: &[u8], position: usize) -> usize {
    memchr(b'\n', &bytes[position..]).map_or(bytes.len(), |found| position + found)
}
