//! From lines to one commit.

use super::parser::{TimeForm, parse_sample, parse_series};
use crate::field_builder::FieldValue;
use crate::ingest::prometheus::{VALUE_COLUMN, tag_name};
use crate::ingest::rows::{RowOptions, RowOutcome, RowWriter, RowsError};

/// Writes the samples of a text, each with the tags `constants` beside its own labels, which win. Samples without a time
/// get `now_ns`. `first_line` is the number of the first line in its file.
///
/// # Errors
/// As [`RowWriter::write`].
pub fn write(
    writer: &RowWriter,
    text: &str,
    first_line: usize,
    times: TimeForm,
    constants: &[(String, String)],
    now_ns: i64,
) -> Result<RowOutcome, RowsError> {
    writer.write(&RowOptions::default(), |request| {
        for (number, line) in (first_line..).zip(text.lines()) {
            let sample = match parse_sample(line, times) {
                Ok(Some(sample)) => sample,
                Ok(None) => continue,
                Err(fault) => {
                    request.reject(number, fault);
                    continue;
                }
            };
            let name = || {
                let mut name = parse_series(sample.series)?;
                for (constant, value) in constants {
                    let tag = tag_name(constant);
                    if name.tags.iter().all(|(there, _)| *there != tag) {
                        name.tags.push((tag.into_owned().into(), value.as_str().into()));
                    }
                }
                Ok(name)
            };
            let field = std::iter::once((VALUE_COLUMN, FieldValue::F64(sample.value)));
            request.push(number, sample.series.as_bytes(), name, field, sample.time_ns.unwrap_or(now_ns))?;
        }
        Ok(())
    })
}
