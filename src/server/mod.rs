//! The HTTP server: Prometheus remote write and SQL in, rows and metrics out.
//!
//! HTTP/1.1 over tokio. Async workers only move bytes; decoding, commits and queries run on blocking threads behind
//! gates, or where a connection that writes has a thread of its own, so that a flood of one kind of request neither starves the others nor grows without bound. Every limit of
//! [`ServerOptions`] is checked before what it bounds is allocated.
//!
//! Shutdown: no new connections, requests in flight finish within a grace period, then the database is flushed and
//! closed. What was answered with success is durable at any moment, so an end without all this loses nothing either.

mod auth;
mod body;
pub mod config;
mod connection;
mod disk;
mod events;
mod gate;
mod in_flight;
mod line_protocol;
mod load_metrics;
mod log_limit;
mod metrics;
mod negotiation;
mod options;
mod otlp;
mod process;
mod reload;
mod remote_write;
mod request_trace;
mod response;
mod router;
mod run;
mod secret_file;
mod sql;
mod sql_admission;
mod sql_output;
mod state;
mod stream;
mod table_rows;
mod tenant;
mod tls;
#[cfg(feature = "otel")]
mod trace_export;
mod trace_options;
mod unread_body;
mod upload;
mod writer_thread;

pub use crate::ingest::quota::TenantLimits;
pub use auth::{Credentials, PASSWORD_BYTES_MAX, Role, TenantName, hash_password, hash_token, new_token};
pub use options::{Exposure, ServerOptions};
pub use run::{Server, ServerHandle, serve, shutdown_signal};
pub use tls::{ClientAuth, TlsOptions, TlsVersion};
#[cfg(feature = "otel")]
pub use trace_export::TraceExport;
pub use trace_options::TraceOptions;
