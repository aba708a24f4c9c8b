//! From a body of JSON lines to one commit.

use std::borrow::Cow;
use std::collections::HashSet;

use lynxstore_storage::types::Dedup;
use memchr::memchr_iter;

use super::flatten::{Member, MemberValue, Nested, flatten};
use super::sampler::{WEIGHT_COLUMN, keeps};
use super::time::nanoseconds;
use crate::field_builder::FieldValue;
use crate::ingest::Precision;
use crate::ingest::rows::{
    IntegerTyping, RowFault, RowOptions, RowOutcome, RowReason, RowRequest, RowWriter, RowsError, SampledRows,
    SeriesName, Unfit,
};
use crate::ingest::sampling::SamplingRate;

/// Members that are the time when nothing is said, the first that is there.
const TIME_NAMES: [&str; 3] = ["time", "timestamp", "ts"];

/// What the parameters of a request say.
#[derive(Debug, Clone, Default)]
pub struct EventOptions {
    /// The member that is the time.
    pub time: Option<String>,
    /// The unit of times that are numbers.
    pub time_unit: Precision,
    /// Members that are tags, beside the tags that the table has.
    pub tags: Vec<String>,
    /// What becomes of objects within objects.
    pub nested: Nested,
    /// Members that together with the time name an event; see [`RowOptions::dedup_key`].
    pub dedup_key: Vec<String>,
    /// How much is kept; what is kept says its weight in a field. `None`: everything, and no such field.
    pub sampling: Option<SamplingRate>,
}

/// Writes the lines of a body into a table, which is created when absent: such a table keeps every row, also rows of
/// equal tags and time.
///
/// # Errors
/// As [`RowWriter::write`].
pub fn write(writer: &RowWriter, table: &str, body: &[u8], options: &EventOptions) -> Result<RowOutcome, RowsError> {
    // An upper bound, before anything grows.
    RowsError::check("lines", memchr_iter(b'\n', body).count(), writer.limits().rows_max)?;
    let row_options = RowOptions {
        integers: IntegerTyping::Plain,
        unfit: Unfit::LeaveOut,
        dedup: Dedup::Off,
        dedup_key: options.dedup_key.clone(),
    };
    let mut sampled_out = 0;
    let mut outcome = writer.write(&row_options, |request| {
        // It may run again.
        sampled_out = 0;
        let schema = writer.table(table)?;
        let mut tags = options.tags.clone();
        let mut time_names = TIME_NAMES.map(str::to_owned).to_vec();
        if let Some(schema) = &schema {
            tags.extend(schema.tags.iter().map(|tag| tag.name.clone()));
            time_names.insert(0, schema.time.name.clone());
        }
        if let Some(name) = &options.time {
            time_names = vec![name.clone()];
        }
        let tags = tags.into_iter().collect();
        let mut lines = Lines { table, options, time_names, tags, members: Vec::new(), raw: Vec::new() };
        for (number, line) in (1..).zip(body.split(|&byte| byte == b'\n')) {
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if options.sampling.is_some_and(|rate| !keeps(rate, text)) {
                sampled_out += 1;
                continue;
            }
            lines.push(number, line, request, writer)?;
        }
        Ok(())
    })?;
    outcome.sampled = options.sampling.map(|rate| SampledRows { sampled_out, weight: rate.weight() });
    Ok(outcome)
}

/// Reads line after line; its buffers are used again.
struct Lines<'o> {
    table: &'o str,
    options: &'o EventOptions,
    time_names: Vec<String>,
    tags: HashSet<String>,
    members: Vec<Member>,
    raw: Vec<u8>,
}

impl Lines<'_> {
    fn push(
        &mut self,
        number: usize,
        line: &[u8],
        request: &mut RowRequest<'_>,
        writer: &RowWriter,
    ) -> Result<(), RowsError> {
        let time_ns = match self.read(line, writer) {
            Ok(time_ns) => time_ns,
            Err(fault) => {
                request.reject(number, fault);
                return Ok(());
            }
        };
        // Tags first; the order of members is that of the line.
        let is_field = |member: &Member| !self.tags.contains(&member.name);
        self.members.sort_by_key(is_field);
        let (tags, fields) = self.members.split_at(self.members.partition_point(|member| !is_field(member)));
        // No line of another protocol begins with a line break.
        self.raw.clear();
        self.raw.extend_from_slice(b"\n");
        for part in std::iter::once(self.table).chain(tags.iter().map(|tag| tag.name.as_str())) {
            self.raw.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.raw.extend_from_slice(part.as_bytes());
        }
        let texts: Vec<Cow<'_, str>> = tags.iter().map(|tag| tag_text(&tag.value)).collect();
        for text in &texts {
            self.raw.extend_from_slice(&(text.len() as u64).to_le_bytes());
            self.raw.extend_from_slice(text.as_bytes());
        }
        let name = || {
            let tags = tags.iter().zip(&texts).map(|(tag, text)| (tag.name.as_str().into(), (&**text).into()));
            Ok(SeriesName { table: self.table.into(), tags: tags.collect() })
        };
        // At most 100.
        let weight = self.options.sampling.map(|rate| (WEIGHT_COLUMN, FieldValue::I64(rate.weight() as i64)));
        let fields = fields.iter().map(|member| (member.name.as_str(), member.value.as_field())).chain(weight);
        request.push(number, &self.raw, name, fields, time_ns)
    }

    /// Reads a line into `members`, without its time, which it returns.
    fn read(&mut self, line: &[u8], writer: &RowWriter) -> Result<i64, RowFault> {
        let limits = writer.limits();
        if line.len() > limits.line_bytes_max {
            let detail = format!("a line of {} bytes, at most {} are accepted", line.len(), limits.line_bytes_max);
            return Err(RowFault::new(RowReason::TooLong, detail));
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(RowFault::new(RowReason::InvalidUtf8, "the line is not UTF-8"));
        };
        flatten(text, self.options.nested, limits.name_bytes_max, &mut self.members)?;
        let position = |name: &String| self.members.iter().position(|member| member.name == *name);
        let Some(time) = self.time_names.iter().find_map(position) else {
            let detail = format!("the event has no time: a member {}", self.time_names.join(", or "));
            return Err(RowFault::new(RowReason::MissingTime, detail));
        };
        let time = self.members.remove(time);
        nanoseconds(&time.value, self.options.time_unit)
    }
}

fn tag_text(value: &MemberValue) -> Cow<'_, str> {
    match value {
        MemberValue::String(text) => Cow::Borrowed(text),
        MemberValue::I64(number) => number.to_string().into(),
        MemberValue::U64(number) => number.to_string().into(),
        MemberValue::F64(number) => number.to_string().into(),
        MemberValue::Bool(flag) => flag.to_string().into(),
    }
}
