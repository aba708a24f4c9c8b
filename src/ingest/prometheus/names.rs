//! How metric and label names become table and column names, without two names ever meeting.
//!
//! A metric is a table of its name and a label a tag of its name. Names that the store needs for itself are escaped by a
//! prefix, and so is every name that already looks escaped, which makes the mapping one-to-one:
//! label `time` is tag `label_time`, label `label_time` is tag `label_label_time`.

use std::borrow::Cow;

/// The time column of a metric's table.
pub const TIME_COLUMN: &str = "time";
/// The field of float samples.
pub const VALUE_COLUMN: &str = "value";
/// The field of native histograms.
pub const HISTOGRAM_COLUMN: &str = "histogram";
/// The field of start times, in nanoseconds since the epoch; absent until a sender says when a counter began.
pub const START_COLUMN: &str = "start_time";
/// The table of exemplars.
pub const EXEMPLAR_TABLE: &str = "prometheus_exemplars";
/// The table of metadata.
pub const METADATA_TABLE: &str = "prometheus_metadata";

/// The label that holds the metric name.
pub(super) const NAME_LABEL: &str = "__name__";

/// The table of a metric.
pub fn table_name(metric: &str) -> Cow<'_, str> {
    escape(metric, "metric_", &[EXEMPLAR_TABLE, METADATA_TABLE])
}

/// The tag of a label.
pub fn tag_name(label: &str) -> Cow<'_, str> {
    escape(label, "label_", &[TIME_COLUMN, VALUE_COLUMN, HISTOGRAM_COLUMN, START_COLUMN])
}

fn escape<'a>(name: &'a str, prefix: &str, reserved: &[&str]) -> Cow<'a, str> {
    let mut bare = name;
    while let Some(rest) = bare.strip_prefix(prefix) {
        bare = rest;
    }
    if reserved.contains(&bare) { Cow::Owned(format!("{prefix}{name}")) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in ["job", "Time", "label", "label_", "label_job", "le", "a.b", "\u{1F41F}", "values"] {
            assert_eq!(tag_name(name), name);
            assert_eq!(table_name(name), name);
        }
        assert_eq!(table_name("time"), "time");
    }

    #[test]
    fn reserved_names_are_escaped_one_to_one() {
        assert_eq!(tag_name("time"), "label_time");
        assert_eq!(tag_name("label_time"), "label_label_time");
        assert_eq!(tag_name("value"), "label_value");
        assert_eq!(tag_name("histogram"), "label_histogram");
        assert_eq!(tag_name("start_time"), "label_start_time");
        assert_eq!(table_name("prometheus_exemplars"), "metric_prometheus_exemplars");
        assert_eq!(table_name("metric_prometheus_exemplars"), "metric_metric_prometheus_exemplars");

        let names = ["time", "label_time", "label_label_time", "value", "label_value", "label_", "label_label_"];
        let mut escaped: Vec<_> = names.iter().map(|name| tag_name(name)).collect();
        escaped.sort();
        escaped.dedup();
        assert_eq!(escaped.len(), names.len());
    }
}
