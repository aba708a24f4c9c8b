//! A line: `name{label="value",...} value [timestamp]`.

use std::borrow::Cow;

use memchr::memchr2;

use crate::ingest::prometheus::{table_name, tag_name};
use crate::ingest::rows::{RowFault, RowReason, SeriesName, quoted};

/// How timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Whole milliseconds: the text format.
    Milliseconds,
    /// Seconds with a fraction: OpenMetrics.
    Seconds,
}

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as they came.
    pub series: &'a str,
    /// The value, every bit of NaN aside.
    pub value: f64,
    /// The time, when the line has one.
    pub time_ns: Option<i64>,
}

fn malformed(what: &str, line: &str) -> RowFault {
    RowFault::new(RowReason::Malformed, format!("{what}: {}", quoted(line.as_bytes())))
}

/// Reads a line; `None` for an empty one or a comment.
///
/// # Errors
/// `Malformed` and `InvalidTime`.
pub fn parse_sample(line: &str, times: TimeForm) -> Result<Option<Sample<'_>>, RowFault> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = series_end(line).ok_or_else(|| malformed("a label has no closing quote or brace", line))?;
    let (series, rest) = line.split_at(end);
    // An exemplar of OpenMetrics.
    let rest = rest.split_once(" # ").map_or(rest, |(sample, _)| sample);
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().and_then(|word| word.parse::<f64>().ok());
    let value = value.ok_or_else(|| malformed("a sample has no value", line))?;
    let time_ns = words.next().map(|word| {
        let time_ns = match times {
            TimeForm::Milliseconds => word.parse::<i64>().ok().and_then(|time_ms| time_ms.checked_mul(1_000_000)),
            TimeForm::Seconds => seconds(word),
        };
        time_ns.ok_or_else(|| {
            let text = format!("{} is no time that fits in 64-bit nanoseconds", quoted(word.as_bytes()));
            RowFault::new(RowReason::InvalidTime, text)
        })
    });
    if words.next().is_some() {
        return Err(malformed("a sample goes on after its time", line));
    }
    Ok(Some(Sample { series, value, time_ns: time_ns.transpose()? }))
}

/// Decimal seconds without the rounding of a float.
fn seconds(word: &str) -> Option<i64> {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        // Such as 1.5e9.
        let seconds: f64 = word.parse().ok()?;
        return (seconds.abs() < 9e9).then_some((seconds * 1e9) as i64);
    }
    let whole_ns = whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let fraction_ns: i64 = digits.parse().ok()?;
    if whole.starts_with('-') { whole_ns.checked_sub(fraction_ns) } else { whole_ns.checked_add(fraction_ns) }
}

/// The end of name and labels.
fn series_end(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let brace = bytes.iter().position(|byte| *byte == b'{' || byte.is_ascii_whitespace());
    match brace {
        None => Some(bytes.len()),
        Some(position) if bytes[position] != b'{' => {
            // A space may stand before the brace.
            let next = position + line[position..].len() - line[position..].trim_start().len();
            if bytes.get(next) == Some(&b'{') { braces_end(bytes, next) } else { Some(position) }
        }
        Some(position) => braces_end(bytes, position),
    }
}

fn braces_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut position = start;
    loop {
        position += memchr2(b'"', b'}', &bytes[position..])?;
        if bytes[position] == b'}' {
            return Some(position + 1);
        }
        position = quote_end(bytes, position)?;
    }
}

/// The place behind the quote that closes the one at `quote`.
fn quote_end(bytes: &[u8], quote: usize) -> Option<usize> {
    let mut position = quote + 1;
    loop {
        position += memchr2(b'"', b'\\', bytes.get(position..)?)?;
        if bytes[position] == b'"' {
            return Some(position + 1);
        }
        position += 2;
    }
}

/// Takes the series of a sample apart. A name in quotes within the braces is that of the metric.
///
/// # Errors
/// `Malformed`.
pub fn parse_series(series: &str) -> Result<SeriesName<'_>, RowFault> {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut name: Cow<'_, str> = name.trim().into();
    let fault = || malformed("the labels are not name=\"value\" with commas between them", series);
    let mut tags = Vec::new();
    let mut rest = labels.trim_start();
    while !rest.starts_with('}') {
        let (key, after) = match rest.strip_prefix('"') {
            Some(_) => take_quoted(rest).ok_or_else(fault)?,
            None => {
                let end = rest.find(['=', '"', ',', '}']).ok_or_else(fault)?;
                (Cow::Borrowed(rest[..end].trim()), &rest[end..])
            }
        };
        let after = after.trim_start();
        rest = match after.strip_prefix('=') {
            Some(value) => {
                let (value, after) = take_quoted(value.trim_start()).ok_or_else(fault)?;
                if key.is_empty() {
                    return Err(fault());
                }
                if !value.is_empty() {
                    tags.push((Cow::Owned(tag_name(&key).into_owned()), value));
                }
                after.trim_start()
            }
            None if rest.starts_with('"') && name.is_empty() => {
                name = key;
                after
            }
            None => return Err(fault()),
        };
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.starts_with('}') => {}
            None => return Err(fault()),
        }
    }
    if name.is_empty() {
        return Err(malformed("a sample has no name", series));
    }
    Ok(SeriesName { table: table_name(&name).into_owned().into(), tags })
}

/// The text in the quotes at the start, without escapes, and what follows.
fn take_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    if !text.starts_with('"') {
        return None;
    }
    let end = quote_end(text.as_bytes(), 0)?;
    let (inner, rest) = (&text[1..end - 1], &text[end..]);
    if !inner.contains('\\') {
        return Some((inner.into(), rest));
    }
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                'n' => out.push('\n'),
                escaped @ ('\\' | '"') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
    Some((out.into(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &str) -> (String, Vec<(String, String)>) {
        let name = parse_series(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        let tags = name.tags.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
        (name.table.into_owned(), tags.collect())
    }

    #[test]
    fn a_line_is_name_labels_value_and_time() {
        let line = r#"http_requests_total{method="post",path="/a b}",q="\"x\\\n"} 1027 1395066363000"#;
        let sample = parse_sample(line, TimeForm::Milliseconds).unwrap().unwrap();
        assert_eq!((sample.value, sample.time_ns), (1027.0, Some(1_395_066_363_000_000_000)));
        let tags = [("method", "post"), ("path", "/a b}"), ("q", "\"x\\\n")];
        let expected = tags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(series(sample.series), ("http_requests_total".to_owned(), expected));
        for (line, value) in
            [("up 1", 1.0), ("x{} -Inf", f64::NEG_INFINITY), ("a {b=\"c\",} 1e3", 1e3), ("n +Inf", f64::INFINITY)]
        {
            assert_eq!(parse_sample(line, TimeForm::Milliseconds).unwrap().unwrap().value, value, "{line}");
        }
        assert_eq!(series(r#"{"my.metric",time="x",e=""}"#).0, "my.metric");
        assert_eq!(series(r#"{"my.metric",time="x",e=""}"#).1, [("label_time".to_owned(), "x".to_owned())]);
        for line in ["", "  ", "# HELP x y", "# EOF"] {
            assert_eq!(parse_sample(line, TimeForm::Milliseconds), Ok(None));
        }
    }

    #[test]
    fn open_metrics_has_seconds_and_exemplars() {
        let line = r#"foo_bucket{le="0.1"} 8 1520879607.789000001 # {trace_id="x"} 0.054"#;
        let sample = parse_sample(line, TimeForm::Seconds).unwrap().unwrap();
        assert_eq!((sample.value, sample.time_ns), (8.0, Some(1_520_879_607_789_000_001)));
        for (time, time_ns) in [("-1.5", -1_500_000_000), ("1.5e3", 1_500_000_000_000), ("7", 7_000_000_000)] {
            let line = format!("x 1 {time}");
            assert_eq!(parse_sample(&line, TimeForm::Seconds).unwrap().unwrap().time_ns, Some(time_ns));
        }
    }

    #[test]
    fn bad_lines_are_refused() {
        for line in ["x", "x{", "x{a=\"b} 1", "x one", "x 1 2 3", "x{a=\"b\\", "x 1 1.5", "x 1 99999999999999999999"] {
            assert!(parse_sample(line, TimeForm::Milliseconds).is_err(), "{line}");
        }
        for text in ["", "{}", "x{a}", "x{a=b}", "x{=\"b\"}", "x{a=\"b\" c=\"d\"}", "x{\"y\"}", "{a=\"b\"}"] {
            assert!(parse_series(text).is_err(), "{text}");
        }
    }
}
