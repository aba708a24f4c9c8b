//! The HTTP server over a real socket: remote write in, SQL out, statuses, limits, shutdown.

mod client;
mod events;
mod http;
mod line_protocol;
mod message;
mod open_telemetry;
mod otlp;
mod remote_write;
mod table_rows;
