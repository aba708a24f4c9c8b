//! OpenTelemetry metrics (OTLP): from the body of an export request to one commit.
//!
//! Both encodings take one way: [`json_to_protobuf`] turns JSON into the protobuf message, and [`write()`] walks that message
//! point by point without building a tree, so that two bytes never become a hundred. Metrics become tables as Prometheus
//! translates them (`UnderscoreEscapingWithSuffixes`): see [`metric_name`]. A point that cannot be kept is left out and
//! counted; a message that is not well-formed is refused whole. Field numbers: opentelemetry-proto `metrics/v1`.

mod answer;
mod attributes;
mod histogram;
mod json;
mod names;
mod point;
mod write;

pub use answer::{partial_success, status};
pub use json::json_to_protobuf;
pub use names::{MetricKind, label_name, metric_name};
pub use write::write;
