//! InfluxDB line protocol: `measurement,tag=value field=value,field=value timestamp`, a line per row.
//!
//! [`LineParser`] walks a text once and copies nothing but text with escapes; the tags of a line stay one slice, which
//! [`parse_series`] takes apart when the writer does not know it. A bad line is skipped with its number and reason.
//! [`write()`] is all of it: a body becomes one commit.

mod line;
mod number;
mod parser;
mod series;
#[cfg(test)]
mod tests;
mod write;

pub use line::{Line, LineField, LineValue};
pub use parser::LineParser;
pub use series::parse_series;
pub use write::{LineOptions, write};
