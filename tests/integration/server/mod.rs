//! The HTTP server over a real socket: remote write in, SQL out, statuses, limits, shutdown.

mod auth;
mod client;
mod http;
mod message;
mod remote_write;
mod tls;
