//! The HTTP server over a real socket: remote write in, SQL out, statuses, limits, shutdown.

mod attacks;
mod auth;
mod client;
mod documentation;
mod events;
mod examples;
mod http;
mod limit_table;
mod limits;
mod line_protocol;
pub mod message;
mod open_telemetry;
mod operation;
mod otlp;
mod remote_write;
mod remote_write_v2;
mod table_rows;
mod tls;
mod tls_rotation;
#[cfg(feature = "otel")]
mod trace_export;

pub use line_protocol::gzip;
pub use open_telemetry::python as otel_python;
