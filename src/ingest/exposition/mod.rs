//! What a target shows to Prometheus: the text format (`.prom`) and OpenMetrics (`.om`), a sample per line.
//!
//! A sample becomes a row as in remote write: the metric is the table, labels are tags, `value` the field. Metadata and
//! exemplars are passed over.

mod parser;
mod write;

pub use parser::{Sample, TimeForm, parse_sample, parse_series};
pub use write::write;
