//! From a body of line protocol to one commit.

use memchr::{memchr, memchr_iter, memrchr};

use super::{LineParser, parse_series};
use crate::ingest::Precision;
use crate::ingest::rows::{RowFault, RowOptions, RowOutcome, RowReason, RowRequest, RowWriter, RowsError, Unfit};

/// What the parameters of a request say.
#[derive(Debug, Clone, Default)]
pub struct LineOptions {
    /// The unit of timestamps.
    pub precision: Precision,
    /// What bad lines mean for the others.
    pub unfit: Unfit,
}

/// Writes the lines of a body. Lines without a timestamp get `arrival_ns`.
///
/// # Errors
/// As [`RowWriter::write`].
pub fn write(writer: &RowWriter, body: &[u8], options: &LineOptions, arrival_ns: i64) -> Result<RowOutcome, RowsError> {
    // An upper bound, before anything grows: text may hold line breaks, but few senders have any.
    RowsError::check("lines", memchr_iter(b'\n', body).count(), writer.limits().rows_max)?;
    let row_options = RowOptions { unfit: options.unfit, ..RowOptions::default() };
    writer.write(&row_options, |request| {
        let (mut rest, mut line) = (body, 1);
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(text) => return push_lines(request, text, line, options.precision, arrival_ns),
                Err(error) => error,
            };
            // The line with the bytes that are no text is left out, those before and after it are not.
            let good = memrchr(b'\n', &rest[..error.valid_up_to()]).map_or(0, |end| end + 1);
            let text = std::str::from_utf8(&rest[..good]).expect("it was found valid up to a later byte");
            push_lines(request, text, line, options.precision, arrival_ns)?;
            line += memchr_iter(b'\n', &rest[..good]).count();
            request.reject(line, RowFault::new(RowReason::InvalidUtf8, "the line is not UTF-8"));
            let Some(end) = memchr(b'\n', &rest[error.valid_up_to()..]) else { return Ok(()) };
            rest = &rest[error.valid_up_to() + end + 1..];
            line += 1;
        }
    })
}

fn push_lines(
    request: &mut RowRequest<'_>,
    text: &str,
    first_line: usize,
    precision: Precision,
    arrival_ns: i64,
) -> Result<(), RowsError> {
    let mut parser = LineParser::new(text, first_line);
    while let Some(line) = parser.next_line() {
        let line = match line {
            Ok(line) => line,
            Err((number, fault)) => {
                request.reject(number, fault);
                continue;
            }
        };
        let Some(time_ns) = line.time.map_or(Some(arrival_ns), |time| precision.nanoseconds(time)) else {
            let detail = "the timestamp does not fit in 64-bit nanoseconds: is the precision right?";
            request.reject(line.number, RowFault::new(RowReason::InvalidTime, detail));
            continue;
        };
        let fields = parser.fields().iter().map(|field| (&*field.name, field.value.as_field()));
        request.push(line.number, line.series.as_bytes(), || parse_series(line.series), fields, time_ns)?;
    }
    Ok(())
}
